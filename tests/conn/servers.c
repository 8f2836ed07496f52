/* servers.c - nginx, nghttpd and Apache httpd for one test. */
#include <check.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/conn/servers.h"
#include "tests/programs.h"

#define PATIENCE 60000 /* ms */

const struct setup setups[SETUPS] = {
	[NGINX_H1] = {"nginx, HTTP/1.1", NGINX, false, false},
	[NGINX_H1_TLS] = {"nginx, HTTP/1.1 over TLS", NGINX, true, false},
	[NGINX_H2_TLS] = {"nginx, HTTP/2 over TLS", NGINX, true, true},
	[NGHTTPD_H2] = {"nghttpd, HTTP/2", NGHTTPD, false, true},
	[NGHTTPD_H2_TLS] = {"nghttpd, HTTP/2 over TLS", NGHTTPD, true, true},
	[APACHE_H1] = {"Apache, HTTP/1.1", APACHE, false, false},
	[APACHE_H1_TLS] = {"Apache, HTTP/1.1 over TLS", APACHE, true, false},
	[APACHE_H2] = {"Apache, HTTP/2", APACHE, false, true},
	[APACHE_H2_TLS] = {"Apache, HTTP/2 over TLS", APACHE, true, true},
};

static char top[128]; /* of the program; the tests' folders are in it */

const char *servers_dir(void)
{
	return top;
}

bool servers_prepare(void)
{
	const char *tmp = getenv("TMPDIR"), *src = getenv("srcdir");
	char command[512];

	snprintf(top, sizeof(top), "%s/servers-XXXXXX", tmp ? tmp : "/tmp");
	if (!mkdtemp(top))
		return false;
	chmod(top, 0755); /* started by root, Apache serves as another user */
	snprintf(command, sizeof(command), "sh %s/tests/tools/certs.sh %s", src ? src : ".", top);
	return system(command) == 0;
}

void servers_remove(void)
{
	remove_tree(top);
}

/* ---- files ------------------------------------------------------------- */

static const char *in_dir(const struct server *s, char path[256], const char *name)
{
	ck_assert_int_lt(snprintf(path, 256, "%s/%s", s->dir, name), 256);
	return path;
}

static void make_documents(const struct server *s)
{
	char path[256];
	int fd;

	ck_assert_int_eq(mkdir(in_dir(s, path, "www"), 0755), 0);
	ck_assert_int_eq(mkdir(in_dir(s, path, "tmp"), 0700), 0);
	ck_assert(pattern_write(in_dir(s, path, "www/small"), SMALL));
	ck_assert(pattern_write(in_dir(s, path, "www/large"), LARGE));
	fd = open(in_dir(s, path, "www/huge"), O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(ftruncate(fd, HUGE_FILE), 0);
	close(fd);
}

/* Apache's reflector sends nothing back in HTTP/2. This one reads all before it answers. */
static void make_script(const struct server *s)
{
	char path[256];
	FILE *f = fopen(in_dir(s, path, "echo"), "we");

	ck_assert_ptr_nonnull(f);
	fprintf(f,
		"#!/bin/sh\nf=%s/tmp/$$\ncat >$f\nprintf 'Content-Type: text/plain\\r\\n\\r\\n'\n"
		"cat $f\nrm -f $f\n",
		s->dir);
	ck_assert_int_eq(fclose(f), 0);
	chmod(path, 0755);
	chmod(in_dir(s, path, "tmp"), 0777);
}

static void write_conf(const struct server *s, const char *text)
{
	char path[256];
	FILE *f = fopen(in_dir(s, path, "conf"), "we");

	ck_assert_ptr_nonnull(f);
	fputs(text, f);
	ck_assert_int_eq(fclose(f), 0);
}

/* All of a file; the caller frees it. */
static char *read_log(const struct server *s, const char *name)
{
	char path[256];
	struct stat st = {0};
	int fd = open(in_dir(s, path, name), O_RDONLY | O_CLOEXEC);
	char *text;
	ssize_t n = 0;

	if (fd >= 0)
		fstat(fd, &st);
	text = malloc((size_t)st.st_size + 1);
	ck_assert_ptr_nonnull(text);
	if (fd >= 0) {
		n = read(fd, text, (size_t)st.st_size);
		close(fd);
	}
	text[n > 0 ? n : 0] = '\0';
	return text;
}

unsigned server_logged(const struct server *s, const char *text)
{
	char *log = read_log(s, "log");
	unsigned n = 0;

	for (const char *p = log; (p = strstr(p, text)); p += strlen(text))
		n++;
	free(log);
	return n;
}

void server_count(const struct server *s, unsigned *counts, unsigned n)
{
	char *log = read_log(s, "log");

	memset(counts, 0, n * sizeof(*counts));
	for (const char *p = log; (p = strstr(p, "?n=")); p++) {
		unsigned long i = strtoul(p + 3, NULL, 10);

		ck_assert_uint_lt(i, n);
		counts[i]++;
	}
	free(log);
}

/* ---- configurations ---------------------------------------------------- */

/* Paths are relative to the folder (-p); tmp is for what other folders would be made for. */
static void configure_nginx(const struct server *s, const char *more)
{
	char conf[4096];

	snprintf(conf, sizeof(conf),
		"%sdaemon off; worker_processes 1; pid pid; error_log errors;\n"
		"events { worker_connections 512; }\n"
		"http {\n"
		"  log_format line '$request_method $request_uri $status';\n"
		"  access_log log line;\n"
		"  client_body_temp_path tmp; proxy_temp_path tmp; fastcgi_temp_path tmp;\n"
		"  uwsgi_temp_path tmp; scgi_temp_path tmp;\n"
		"  client_max_body_size 0; root www;\n"
		"  server {\n"
		"    listen 127.0.0.1:%u%s%s;\n"
		"    ssl_certificate %s/server.pem; ssl_certificate_key %s/server.key;\n"
		"    location /dav/ { dav_methods PUT; create_full_put_path on; }\n"
		"    location /nothing { return 204; }\n"
		"    location /refuse { return 403; }\n"
		"    %s\n"
		"  }\n"
		"}\n",
		geteuid() == 0 ? "user root root;\n" : "", s->port, s->setup->tls ? " ssl" : "",
		s->setup->h2 ? " http2" : "", top, top, more);
	write_conf(s, conf);
}

#define MODULES "/usr/lib/apache2/modules"

static void configure_apache(const struct server *s, const char *more)
{
	char conf[4096], tls[600] = "", echo[300];

	if (s->setup->h2)
		snprintf(echo, sizeof(echo), "ScriptAlias /echo %s/echo\n", s->dir);
	else
		snprintf(echo, sizeof(echo),
			"<Location /echo>\nSetHandler reflector\n</Location>\n");
	if (s->setup->tls)
		snprintf(tls, sizeof(tls),
			"LoadModule ssl_module " MODULES "/mod_ssl.so\n"
			"SSLEngine on\nSSLSessionCache none\n"
			"SSLCertificateFile %s/server.pem\nSSLCertificateKeyFile %s/server.key\n",
			top, top);
	snprintf(conf, sizeof(conf),
		"ServerRoot %s\nDefaultRuntimeDir %s\nPidFile pid\nErrorLog errors\n"
		"LoadModule mpm_event_module " MODULES "/mod_mpm_event.so\n"
		"LoadModule authz_core_module " MODULES "/mod_authz_core.so\n"
		"LoadModule alias_module " MODULES "/mod_alias.so\n"
		"LoadModule http2_module " MODULES "/mod_http2.so\n"
		"LoadModule cgi_module " MODULES "/mod_cgi.so\n"
		"LoadModule reflector_module " MODULES "/mod_reflector.so\n"
		"%s" /* root does not serve: the user and group of Debian's web servers */
		"ServerName localhost\nListen 127.0.0.1:%u\nProtocols %s\n"
		"%s"
		"LogFormat \"%%m %%U%%q %%s\" line\nCustomLog log line\n"
		"StartServers 1\nServerLimit 4\nThreadsPerChild 25\nMaxRequestWorkers 100\n"
		"MinSpareThreads 1\nMaxSpareThreads 100\n"
		"KeepAliveTimeout 60\nTimeout 30\nMaxKeepAliveRequests 0\n"
		"DocumentRoot %s/www\n"
		"<Directory />\nRequire all granted\n</Directory>\n"
		"%s"
		"Redirect 204 /nothing\n"
		"%s\n",
		s->dir, s->dir, geteuid() == 0 ? "User www-data\nGroup www-data\n" : "", s->port,
		s->setup->h2 ? "h2 h2c" : "http/1.1", tls, s->dir, echo, more);
	write_conf(s, conf);
}

/* ---- start and stop ---------------------------------------------------- */

static pid_t start_nghttpd(const struct server *s, const char *more, int out)
{
	char port[8], docs[256], key[160], cert[160], www[256];
	const char *argv[12] = {
		"nghttpd", "-v", "-a127.0.0.1", "--echo-upload", "--mime-types-file=/dev/null"};
	int n = 5;

	snprintf(port, sizeof(port), "%u", s->port);
	snprintf(docs, sizeof(docs), "-d%.240s", in_dir(s, www, "www"));
	snprintf(key, sizeof(key), "%s/server.key", top);
	snprintf(cert, sizeof(cert), "%s/server.pem", top);
	argv[n++] = docs;
	if (more[0])
		argv[n++] = more;
	if (!s->setup->tls)
		argv[n++] = "--no-tls";
	argv[n++] = port;
	if (s->setup->tls) {
		argv[n++] = key;
		argv[n++] = cert;
	}
	return program_start(argv, out, out);
}

static pid_t start_program(const struct server *s, const char *more)
{
	char conf[256], path[256];
	const char *nginx[] = {
		"nginx", "-p", s->dir, "-c", in_dir(s, conf, "conf"), "-e", "errors", NULL};
	const char *apache[] = {"apache2", "-f", conf, "-D", "FOREGROUND", NULL};
	int out = open(in_dir(s, path, s->setup->program == NGHTTPD ? "log" : "out"),
		O_WRONLY | O_CREAT | O_TRUNC | O_APPEND | O_CLOEXEC, 0600);
	pid_t pid;

	ck_assert_int_ge(out, 0);
	switch (s->setup->program) {
	case NGINX:
		configure_nginx(s, more);
		pid = program_start(nginx, out, out);
		break;
	case APACHE:
		configure_apache(s, more);
		pid = program_start(apache, out, out);
		break;
	default:
		pid = start_nghttpd(s, more, out);
		break;
	}
	close(out);
	ck_assert_int_gt(pid, 0);
	return pid;
}

/* Its own file says that it is this one that came up, and that signals find it ready. */
static bool told_pid(const struct server *s)
{
	char path[256];
	struct stat st;

	if (s->setup->program == NGHTTPD)
		return true;
	in_dir(s, path, "pid");
	for (int i = 0; i < 1000; i++, program_nap())
		if (stat(path, &st) == 0 && st.st_size > 0)
			return true;
	return false;
}

void server_start(struct server *s, const struct setup *setup, const char *more)
{
	bool gone;
	char *out, *errors;

	*s = (struct server){.setup = setup};
	snprintf(s->dir, sizeof(s->dir), "%s/t-XXXXXX", top);
	ck_assert_ptr_nonnull(mkdtemp(s->dir));
	ck_assert_int_eq(chmod(s->dir, 0755), 0);
	make_documents(s);
	make_script(s);
	for (int i = 0; i < 5; i++) { /* somebody else may take the port */
		s->port = free_port();
		s->pid = start_program(s, more);
		if (program_came_up(s->pid, s->port, PATIENCE, &gone) && told_pid(s))
			return;
		if (!gone)
			program_end(s->pid);
	}
	out = read_log(s, "out");
	errors = read_log(s, "errors");
	ck_abort_msg("%s does not start: %.400s %.400s", setup->name, out, errors);
}

static void wait_gone(struct server *s, int ms)
{
	int status;

	ck_assert_msg(program_ended(s->pid, &status, ms), "%s does not end", s->setup->name);
	s->pid = 0;
}

void server_stop(struct server *s)
{
	if (s->pid == 0)
		return;
	kill(s->pid, SIGTERM);
	wait_gone(s, PATIENCE);
}

static void kill_children(pid_t pid)
{
	char path[64];
	int child;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%d/task/%d/children", (int)pid, (int)pid);
	f = fopen(path, "re");
	while (f && fscanf(f, "%d", &child) == 1)
		kill(child, SIGKILL);
	if (f)
		fclose(f);
}

/* The parent first: it would start others. */
void server_kill(struct server *s)
{
	kill(s->pid, SIGSTOP);
	kill_children(s->pid);
	kill(s->pid, SIGKILL);
	wait_gone(s, PATIENCE);
}

void server_reload(struct server *s)
{
	kill(s->pid, s->setup->program == APACHE ? SIGUSR1 : SIGHUP);
}

void server_quit(struct server *s)
{
	kill(s->pid, s->setup->program == APACHE ? SIGWINCH : SIGQUIT);
}
