/*
 * notify.c - sd_notify, the watchdog and socket activation.
 */
#include <config.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <event2/event.h>

#ifdef HAVE_SYSTEMD
#include <sys/socket.h>
#include <systemd/sd-daemon.h>
#endif

#include "daemon/control/notify.h"

struct notify {
	struct event *watchdog;   /* NULL: systemd does not ask for it */
	bool (*alive)(void *arg); /* NULL: it is fed whenever the control loop turns */
	void *alive_arg;
	struct listener_fd *sockets;
	char **names; /* what sockets[].name points to */
	unsigned count;
};

#ifdef HAVE_SYSTEMD

static void on_watchdog(evutil_socket_t fd, short what, void *arg)
{
	const struct notify *n = arg;

	(void)fd, (void)what;
	if (!n->alive || n->alive(n->alive_arg))
		sd_notify(0, "WATCHDOG=1");
}

/*
 * Four times in the time that WatchdogSec= allows: what does not answer within a quarter is found
 * before a half is over, and one answer that is late does no harm.
 */
static int watchdog_start(struct notify *n, struct event_base *base)
{
	struct timeval tv;
	uint64_t usec = 0;

	if (sd_watchdog_enabled(0, &usec) <= 0)
		return 0;
	usec /= 4;
	tv.tv_sec = (time_t)(usec / 1000000);
	tv.tv_usec = (suseconds_t)(usec % 1000000);
	n->watchdog = event_new(base, -1, EV_PERSIST, on_watchdog, n);
	return n->watchdog ? event_add(n->watchdog, &tv) : -1;
}

static char *check_socket(const struct listener_fd *s)
{
	char *error = NULL;

	if (sd_is_socket_unix(s->fd, SOCK_STREAM, 1, NULL, 0) > 0)
		return NULL;
	if (asprintf(&error,
		    "systemd passed \"%s\" (descriptor %d), which is not a listening stream "
		    "socket of the Unix family; the socket unit must say "
		    "ListenStream=/a/path and Accept=no",
		    s->name, s->fd) < 0)
		return NULL;
	return error;
}

/* The variables are removed from the environment, so that they are taken only once. */
static char *take_sockets(struct notify *n)
{
	int count = sd_listen_fds_with_names(1, &n->names);
	char *error = NULL;

	if (count < 0 && asprintf(&error, "cannot take the sockets that systemd passes: %s",
				 strerror(-count)) < 0)
		return NULL;
	if (count <= 0)
		return error;

	n->sockets = calloc((size_t)count, sizeof(n->sockets[0]));
	if (!n->sockets)
		return strdup("out of memory");
	for (; n->count < (unsigned)count; n->count++) {
		struct listener_fd *s = &n->sockets[n->count];

		s->fd = SD_LISTEN_FDS_START + (int)n->count;
		s->name = n->names[n->count];
		error = check_socket(s);
		if (error)
			return error;
	}
	return NULL;
}

#else

static int watchdog_start(struct notify *n, struct event_base *base)
{
	(void)n, (void)base;
	return 0;
}

static char *take_sockets(struct notify *n)
{
	(void)n;
	return NULL;
}

static void sd_notify(int unset, const char *state)
{
	(void)unset, (void)state;
}

#endif

struct notify *notify_new(struct event_base *base, char **error)
{
	struct notify *n = calloc(1, sizeof(*n));

	*error = NULL;
	if (!n || watchdog_start(n, base) < 0)
		*error = strdup("out of memory");
	else
		*error = take_sockets(n);
	if (!*error)
		return n;
	notify_free(n);
	return NULL;
}

void notify_free(struct notify *n)
{
	if (!n)
		return;

	if (n->watchdog)
		event_free(n->watchdog);
	for (char **name = n->names; name && *name; name++)
		free(*name);
	free(n->names);
	free(n->sockets);
	free(n);
}

const struct listener_fd *notify_sockets(const struct notify *n, unsigned *count)
{
	*count = n->count;
	return n->sockets;
}

void notify_watch(struct notify *n, bool (*alive)(void *arg), void *arg)
{
	n->alive = alive;
	n->alive_arg = arg;
}

void notify_ready(struct notify *n, const char *status)
{
	char text[512];

	(void)n;
	snprintf(text, sizeof(text), "READY=1\nSTATUS=%s", status);
	sd_notify(0, text);
}

/* The time tells systemd which of two reloads this answers (Type=notify-reload, systemd 253). */
void notify_reloading(struct notify *n)
{
	char text[128];
	struct timespec now;

	(void)n;
	clock_gettime(CLOCK_MONOTONIC, &now);
	snprintf(text, sizeof(text), "RELOADING=1\nMONOTONIC_USEC=%llu\nSTATUS=Reloading.",
		(unsigned long long)now.tv_sec * 1000000 + (unsigned long long)now.tv_nsec / 1000);
	sd_notify(0, text);
}

void notify_stopping(struct notify *n, uint64_t timeout)
{
	char text[128];

	(void)n;
	snprintf(text, sizeof(text),
		"STOPPING=1\nEXTEND_TIMEOUT_USEC=%llu\nSTATUS=Finishing what runs.",
		(unsigned long long)(timeout + 5000) * 1000);
	sd_notify(0, text);
}
