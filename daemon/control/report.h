/*
 * report.h - the numbers of workers in words. Workers only copy them; printing is the control
 * thread's.
 */
#ifndef REPORT_H
#define REPORT_H

struct log_set;
struct stats_view;
struct worker_report;
struct worker_stats;

/* Of one pool, each short enough for a line of the log. */
enum report_part { REPORT_COUNTS, REPORT_REJECTED, REPORT_CLOSED, REPORT_DURATIONS, REPORT_PARTS };

/* One JSON object in one line, to be freed; NULL: no memory. */
char *report_pool_json(const struct stats_view *v, enum report_part part);
char *report_worker_json(unsigned worker, const struct worker_stats *s);

/* All of it, as lines of the control thread's log. */
void report_log(struct log_set *logs, const struct worker_report *r);

#endif
