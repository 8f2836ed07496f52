/*
 * servers.h - nginx, nghttpd and Apache httpd, each started for one test on a free port of
 * 127.0.0.1 with all its files in one folder, by root or by anybody. Check kills what a failed
 * test leaves: everything stays in the process group of its test.
 *
 * Documents: /small, /large (SMALL, LARGE bytes of the pattern), /huge (HUGE_FILE zeros),
 * /nothing (204, not nghttpd). What is sent to /echo comes back (nghttpd, Apache); nginx keeps
 * what is put below /dav/.
 */
#ifndef TESTS_CONN_SERVERS_H
#define TESTS_CONN_SERVERS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define SMALL     1000
#define LARGE     (4u << 20)
#define HUGE_FILE (64u << 20) /* more than all buffers between two processes hold */

enum program { NGINX, NGHTTPD, APACHE };

struct setup {
	const char *name;
	enum program program;
	bool tls, h2;
};

/* Every program in every protocol it speaks. */
enum {
	NGINX_H1,
	NGINX_H1_TLS,
	NGINX_H2_TLS,
	NGHTTPD_H2,
	NGHTTPD_H2_TLS,
	APACHE_H1,
	APACHE_H1_TLS,
	APACHE_H2,
	APACHE_H2_TLS,
	SETUPS
};
extern const struct setup setups[SETUPS];

struct server {
	const struct setup *setup;
	char dir[200];
	unsigned port;
	pid_t pid; /* 0: stopped */
};

/* Once a program: the folder of all tests, with certificates; ca.pem is in it. */
bool servers_prepare(void);
const char *servers_dir(void);
void servers_remove(void);

/*
 * more: lines of the configuration (nginx: of the server block), or one option for nghttpd; or "".
 */
void server_start(struct server *s, const struct setup *setup, const char *more);
void server_stop(struct server *s); /* SIGTERM, waits, and the log is whole */
void server_kill(struct server *s); /* all its processes at once; waits */
void server_reload(struct server *s);
/* No new connections, what runs is finished; does not wait. */
void server_quit(struct server *s);

/* How often a text stands in the server's log. */
unsigned server_logged(const struct server *s, const char *text);
/* Of requests for "...?n=NUMBER" how many came to the server for each number below n. */
void server_count(const struct server *s, unsigned *counts, unsigned n);

#endif
