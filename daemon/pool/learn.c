/* learn.c - idle timeout learned from the server, lifetime. No clock, no memory. */
#include <strings.h>

#include "daemon/pool/learn.h"

#define LEAST       1000u     /* ms; who closes sooner has another reason than idleness */
#define SAME_MOMENT 1000u     /* ms; closes within it have one cause */
#define FIRST_PAUSE 600000u   /* ms */
#define LAST_PAUSE  86400000u /* ms */
#define MAX_HINT    1000000u  /* s */

/* Timers are not exact, and neither is the way of the news. */
static bool agree(uint64_t a, uint64_t b)
{
	uint64_t more = a > b ? a : b, less = a > b ? b : a;

	return more - less <= more / 8;
}

static void set_timeout(struct learn *l, uint64_t timeout, uint64_t now)
{
	*l = (struct learn){
		.timeout = timeout,
		.closed_at = l->closed_at,
		.pause = FIRST_PAUSE,
		.watch_at = now + FIRST_PAUSE,
	};
}

/* It is as before, so the next look can wait longer. */
static void confirm(struct learn *l, uint64_t idle, uint64_t now)
{
	if (idle < l->timeout)
		l->timeout = idle;
	l->watch_at = now + l->pause;
	l->pause = l->pause < LAST_PAUSE / 2 ? l->pause * 2 : LAST_PAUSE;
}

void learn_closed(struct learn *l, uint64_t idle, uint64_t now)
{
	bool same_moment = l->closed_at > 0 && now - l->closed_at < SAME_MOMENT;

	if (idle < LEAST || same_moment)
		return;
	l->closed_at = now;
	if (l->timeout > 0 && agree(idle, l->timeout)) {
		confirm(l, idle, now);
		return;
	}
	if (l->timeout > 0 && idle > l->timeout) { /* one that was watched */
		set_timeout(l, idle, now);
		return;
	}
	for (int i = 0; i < 2; i++) {
		if (l->seen[i] > 0 && agree(idle, l->seen[i])) {
			set_timeout(l, idle < l->seen[i] ? idle : l->seen[i], now);
			return;
		}
	}
	l->seen[0] = l->seen[1];
	l->seen[1] = idle;
}

static uint64_t less_margin(uint64_t timeout, uint64_t margin)
{
	return timeout / 2 > margin ? timeout - margin : timeout / 2;
}

static uint64_t smaller(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

static uint64_t configured(const struct learn_rules *r)
{
	return r->idle_timeout > 0 ? r->idle_timeout : LEARN_NEVER;
}

uint64_t learn_limit(const struct learn *l, const struct learn_rules *r, uint64_t hint)
{
	uint64_t limit = configured(r);

	if (!r->learn)
		return limit;
	if (hint != LEARN_NO_HINT)
		limit = smaller(limit, less_margin(hint, r->margin));
	if (l->timeout > 0)
		limit = smaller(limit, less_margin(l->timeout, r->margin));
	return limit;
}

uint64_t learn_watch(const struct learn *l, const struct learn_rules *r, uint64_t now)
{
	uint64_t longer = l->timeout + l->timeout / 2;

	if (!r->learn || l->timeout == 0 || now < l->watch_at ||
		less_margin(l->timeout, r->margin) >= configured(r))
		return 0;
	if (r->idle_timeout == 0)
		return longer;
	return smaller(longer, r->idle_timeout + 2 * r->margin); /* more would change nothing */
}

void learn_outlived(struct learn *l, uint64_t idle, uint64_t now)
{
	if (l->timeout == 0 || idle <= l->timeout)
		return;
	set_timeout(l, idle, now);
	l->watch_at = now; /* and may be longer still */
}

/* ---- Keep-Alive (RFC 2068 19.7.1.1) ------------------------------------ */

/* What stands before the separator, without the blanks around it; *rest goes on behind. */
static struct cc_str cut(struct cc_str *rest, char separator)
{
	struct cc_str part = {rest->p, 0};

	while (part.n < rest->n && part.p[part.n] != separator)
		part.n++;
	rest->p += part.n + (part.n < rest->n);
	rest->n -= part.n + (part.n < rest->n);
	while (part.n > 0 && (*part.p == ' ' || *part.p == '\t')) {
		part.p++;
		part.n--;
	}
	while (part.n > 0 && (part.p[part.n - 1] == ' ' || part.p[part.n - 1] == '\t'))
		part.n--;
	return part;
}

static bool seconds(struct cc_str s, uint64_t *ret)
{
	uint64_t n = 0;

	for (size_t i = 0; i < s.n; i++) {
		if (s.p[i] < '0' || s.p[i] > '9')
			return false;
		n = smaller(n * 10 + (uint64_t)(s.p[i] - '0'), MAX_HINT);
	}
	*ret = n;
	return s.n > 0;
}

uint64_t learn_hint(struct cc_str value)
{
	uint64_t n;

	while (value.n > 0) {
		struct cc_str param = cut(&value, ',');
		struct cc_str name = cut(&param, '='), rest = cut(&param, '\0');

		if (name.n == 7 && strncasecmp(name.p, "timeout", 7) == 0 && seconds(rest, &n))
			return n * 1000;
	}
	return LEARN_NO_HINT;
}

/* ---- lifetime ---------------------------------------------------------- */

uint64_t lifetime_draw(uint64_t max, unsigned jitter, uint64_t random)
{
	uint64_t span = max / 100 * jitter + max % 100 * jitter / 100;
	uint64_t life = max - random % (span + 1);

	return max > 0 && life == 0 ? 1 : life;
}
