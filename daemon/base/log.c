/*
 * log.c - finished lines go through one byte ring a thread to the control thread, which writes
 * them.
 *
 *   worker:   log_line -> limit -> line -> ring[head]     never waits, drops when the ring is full
 *   control:  log_set_drain -> ring[tail] -> out_fd       waits WRITE_WAIT for a slow reader
 *
 * A ring has one writer and one reader, so two counters are all the locking it needs. The writer
 * wakes the reader only when the ring was empty.
 */
#include <errno.h>
#include <poll.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "daemon/base/log.h"

#define RING_SIZE      (256 * 1024) /* a power of two */
#define LINE_SIZE      1024
#define LINE_TAIL      80   /* kept free in a line for what is added behind its fields */
#define CHUNK_SIZE     4096 /* PIPE_BUF: a pipe that polls as writable takes so much at once */
#define WRITE_WAIT     1000 /* ms; well below any watchdog, the control thread has other duties */
#define LIMITS         64
#define LINES_A_SECOND 10

struct limit { /* lines of one event in the second that began at since */
	const char *what;
	uint64_t since; /* ms */
	unsigned count;
	unsigned suppressed;
};

struct log {
	struct log_set *set;
	struct limit limits[LIMITS]; /* hashed by address; the writer's, as lost is */
	unsigned lost;
	_Atomic size_t head; /* bytes ever written, by the owning thread */
	char apart[64];      /* head and tail in lines of cache of their own */
	_Atomic size_t tail; /* bytes ever taken, by the control thread */
	char ring[RING_SIZE];
};

struct log_set {
	int out_fd;
	int wake_fd;
	bool priorities;
	_Atomic int level;
	void (*clock)(struct timespec *now);
	unsigned count;
	struct log *logs[];
};

struct line {
	size_t n;
	char text[LINE_SIZE];
};

static void wall_clock(struct timespec *now)
{
	clock_gettime(CLOCK_REALTIME, now);
}

struct log_set *log_set_new(int out_fd, bool priorities, unsigned rings)
{
	struct log_set *s = calloc(1, sizeof(*s) + rings * sizeof(s->logs[0]));

	if (!s)
		return NULL;

	s->out_fd = out_fd;
	s->priorities = priorities;
	s->clock = wall_clock;
	s->level = LOG_LEVEL_INFO;
	s->wake_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	if (s->wake_fd < 0)
		goto fail;
	for (; s->count < rings; s->count++) {
		s->logs[s->count] = calloc(1, sizeof(struct log));
		if (!s->logs[s->count])
			goto fail;
		s->logs[s->count]->set = s;
	}
	return s;

fail:
	log_set_free(s);
	return NULL;
}

void log_set_free(struct log_set *s)
{
	if (!s)
		return;

	for (unsigned i = 0; i < s->count; i++)
		free(s->logs[i]);
	if (s->wake_fd >= 0)
		close(s->wake_fd);
	free(s);
}

int log_set_fd(const struct log_set *s)
{
	return s->wake_fd;
}

void log_set_level(struct log_set *s, enum log_level level)
{
	atomic_store_explicit(&s->level, (int)level, memory_order_relaxed);
}

void log_set_clock(struct log_set *s, void (*clock)(struct timespec *now))
{
	s->clock = clock;
}

struct log *log_of(struct log_set *s, unsigned ring)
{
	return ring < s->count ? s->logs[ring] : NULL;
}

bool log_enabled(const struct log *l, enum log_level level)
{
	return (int)level <= atomic_load_explicit(&l->set->level, memory_order_relaxed);
}

/* ---- the reader: rings to the descriptor ------------------------------------------------ */

static void wake(struct log_set *s)
{
	uint64_t one = 1;
	ssize_t n = write(s->wake_fd, &one, sizeof(one));

	(void)n; /* EAGAIN: the counter is full, so the reader is awake already */
}

/* Copies whole lines of at most CHUNK_SIZE bytes; those of a line that was written half as well. */
static size_t ring_peek(const struct log *l, size_t tail, size_t head, char *out)
{
	size_t n = head - tail < CHUNK_SIZE ? head - tail : CHUNK_SIZE;
	size_t at = tail % RING_SIZE;
	size_t first = n < RING_SIZE - at ? n : RING_SIZE - at;

	memcpy(out, l->ring + at, first);
	memcpy(out + first, l->ring, n - first);
	while (n > 0 && out[n - 1] != '\n')
		n--;
	return n;
}

/* How many bytes went out; 0: nobody reads them now; -1: nobody ever will. */
static ssize_t write_some(int fd, const char *p, size_t n)
{
	struct pollfd pfd = {.fd = fd, .events = POLLOUT};
	ssize_t done;

	if (poll(&pfd, 1, WRITE_WAIT) <= 0)
		return 0;
	done = send(fd, p, n, MSG_DONTWAIT | MSG_NOSIGNAL);
	if (done < 0 && errno == ENOTSOCK)
		done = write(fd, p, n);
	if (done < 0 && (errno == EAGAIN || errno == EINTR || errno == ENOBUFS))
		return 0;
	return done;
}

/* Writes what is in the ring now. false: the reader at the other end is too slow. */
static bool ring_drain(struct log *l)
{
	size_t tail = atomic_load_explicit(&l->tail, memory_order_relaxed);
	size_t head = atomic_load(&l->head);
	char chunk[CHUNK_SIZE];

	while (tail != head) {
		size_t n = ring_peek(l, tail, head, chunk);
		ssize_t done = write_some(l->set->out_fd, chunk, n);

		if (done == 0)
			return false;
		/* A descriptor that is broken for good takes no line: better lost than stuck. */
		tail += done > 0 ? (size_t)done : n;
		atomic_store(&l->tail, tail);
	}
	return true;
}

void log_set_drain(struct log_set *s)
{
	uint64_t count;
	ssize_t n = read(s->wake_fd, &count, sizeof(count));
	bool more = false;

	(void)n;
	for (unsigned i = 0; i < s->count; i++) {
		if (!ring_drain(s->logs[i])) {
			more = true;
			break;
		}
		/* What came meanwhile found the ring not empty and woke nobody. */
		if (atomic_load(&s->logs[i]->head) != atomic_load(&s->logs[i]->tail))
			more = true;
	}
	if (more)
		wake(s);
}

/* ---- the writer: a line into the ring of this thread ------------------------------------- */

static bool ring_push(struct log *l, const struct line *line)
{
	size_t head = atomic_load_explicit(&l->head, memory_order_relaxed);
	size_t at = head % RING_SIZE;
	size_t first = line->n < RING_SIZE - at ? line->n : RING_SIZE - at;

	if (RING_SIZE - (head - atomic_load(&l->tail)) < line->n)
		return false;
	memcpy(l->ring + at, line->text, first);
	memcpy(l->ring, line->text + first, line->n - first);

	/*
	 * Store head, then look at tail; the reader stores tail, then looks at head. In a total
	 * order of these four one of the two sees the other, so no line is left lying.
	 */
	atomic_store(&l->head, head + line->n);
	if (atomic_load(&l->tail) == head)
		wake(l->set);
	return true;
}

/* Bytes of the printable UTF-8 character at p; 0: a control character or not UTF-8. */
static size_t printable(const unsigned char *p, size_t n)
{
	size_t len = p[0] < 0xe0 ? 2 : p[0] < 0xf0 ? 3 : 4;

	if (p[0] < 0x80)
		return p[0] >= 0x20 && p[0] != 0x7f;
	if (p[0] < 0xc2 || p[0] > 0xf4 || len > n)
		return 0;
	for (size_t i = 1; i < len; i++)
		if ((p[i] & 0xc0) != 0x80)
			return 0;
	if (p[0] == 0xc2 && p[1] < 0xa0) /* U+0080 to U+009F: CSI is among them */
		return 0;
	if ((p[0] == 0xe0 && p[1] < 0xa0) || (p[0] == 0xed && p[1] > 0x9f) ||
		(p[0] == 0xf0 && p[1] < 0x90) || (p[0] == 0xf4 && p[1] > 0x8f))
		return 0;
	return len;
}

/* Adds text up to the limit of a line, which leaves room for the tail. false: it was cut. */
static bool line_escape(struct line *line, const char *text, size_t n)
{
	static const char hex[] = "0123456789abcdef";
	const unsigned char *p = (const unsigned char *)text;

	for (size_t i = 0; i < n;) {
		size_t len = printable(p + i, n - i);

		if (line->n + (len ? len : 4) > LINE_SIZE - LINE_TAIL)
			return false;
		if (len) {
			memcpy(line->text + line->n, p + i, len);
			line->n += len;
			i += len;
		} else {
			line->text[line->n++] = '\\';
			line->text[line->n++] = 'x';
			line->text[line->n++] = hex[p[i] >> 4];
			line->text[line->n++] = hex[p[i] & 15];
			i++;
		}
	}
	return true;
}

__attribute__((format(printf, 2, 3))) static void line_add(struct line *line, const char *fmt, ...)
{
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(line->text + line->n, LINE_SIZE - line->n, fmt, ap);
	va_end(ap);
	if (n > 0 && (size_t)n < LINE_SIZE - line->n)
		line->n += (size_t)n;
}

static void line_begin(struct line *line, const struct log *l, enum log_level level,
	const struct timespec *now, const char *what)
{
	static const char *const names[] = {"ERROR", "WARNING", "NOTICE", "INFO", "DEBUG"};
	struct tm tm;

	line->n = 0;
	if (l->set->priorities) {
		line_add(line, "<%d>", (int)level);
	} else {
		gmtime_r(&now->tv_sec, &tm);
		line_add(line, "%04d-%02d-%02dT%02d:%02d:%02d.%03dZ %s ", tm.tm_year + 1900,
			tm.tm_mon + 1, tm.tm_mday, tm.tm_hour, tm.tm_min, tm.tm_sec,
			(int)(now->tv_nsec / 1000000), names[level - LOG_LEVEL_ERROR]);
	}
	line_add(line, "event=\"");
	line_escape(line, what, strlen(what));
	line_add(line, "\"");
}

static void line_fields(struct line *line, const char *fmt, va_list ap)
{
	char raw[LINE_SIZE];
	int n = vsnprintf(raw, sizeof(raw), fmt, ap);

	if (n <= 0)
		return;
	line_add(line, " ");
	if (!line_escape(line, raw, (size_t)n < sizeof(raw) ? (size_t)n : sizeof(raw) - 1) ||
		(size_t)n >= sizeof(raw))
		line_add(line, "...");
}

static struct limit *limit_find(struct log *l, const char *what)
{
	size_t at = ((uintptr_t)what >> 3) % LIMITS;

	for (size_t i = 0; i < LIMITS; i++) {
		struct limit *lim = &l->limits[(at + i) % LIMITS];

		if (lim->what == what || !lim->what) {
			lim->what = what;
			return lim;
		}
	}
	return NULL; /* more events than there are in the program: not limited */
}

static bool limit_passes(struct limit *lim, const struct timespec *now)
{
	uint64_t ms = (uint64_t)now->tv_sec * 1000 + (uint64_t)now->tv_nsec / 1000000;

	if (ms < lim->since || ms - lim->since >= 1000) {
		lim->since = ms;
		lim->count = 0;
	}
	if (lim->count >= LINES_A_SECOND) {
		lim->suppressed++;
		return false;
	}
	lim->count++;
	return true;
}

/* lim NULL: every line counts. */
static void emit(struct log *l, enum log_level level, const char *what, struct limit *lim,
	const struct timespec *now, const char *fmt, va_list ap)
{
	struct line line;

	line_begin(&line, l, level, now, what);
	line_fields(&line, fmt, ap);
	if (lim && lim->suppressed)
		line_add(&line, " suppressed=%u", lim->suppressed);
	if (l->lost)
		line_add(&line, " lost=%u", l->lost);
	line_add(&line, "\n");

	if (!ring_push(l, &line)) {
		l->lost++;
		return;
	}
	l->lost = 0;
	if (lim)
		lim->suppressed = 0;
}

void log_line(struct log *l, enum log_level level, const char *what, const char *fmt, ...)
{
	struct limit *lim;
	struct timespec now;
	va_list ap;

	if (!log_enabled(l, level))
		return;
	l->set->clock(&now);
	lim = limit_find(l, what);
	if (lim && !limit_passes(lim, &now))
		return;

	va_start(ap, fmt);
	emit(l, level, what, lim, &now, fmt, ap);
	va_end(ap);
}

void log_always(struct log *l, enum log_level level, const char *what, const char *fmt, ...)
{
	struct timespec now;
	va_list ap;

	if (!log_enabled(l, level))
		return;
	l->set->clock(&now);
	va_start(ap, fmt);
	emit(l, level, what, NULL, &now, fmt, ap);
	va_end(ap);
}

void log_access(struct log *l, const char *fmt, ...)
{
	struct timespec now;
	va_list ap;

	l->set->clock(&now);
	va_start(ap, fmt);
	emit(l, LOG_LEVEL_INFO, "access", NULL, &now, fmt, ap);
	va_end(ap);
}
