/*
 * server: reeve, and who stands beside it.
 */
#include "server.h"

#include "bare.h"
#include "rv_fd.h"

#include <arpa/inet.h>
#include <errno.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

enum { ARGUMENTS = 10, PATIENCE_MSEC = 60 * 1000, TRIAL_MSEC = 10 * 1000 };

typedef struct {
    const char *name;
    const char *variable; /* of the environment, that names the program */
    const char *version;  /* the option that every build of it knows; NULL: it is ours */
    unsigned abilities;
    void (*configure)(const server_t *s);
    const char *arguments[ARGUMENTS]; /* %: the folder, @: the configuration */
} kind_t;

static void __attribute__((format(printf, 2, 3))) write_file(const char *name, const char *fmt, ...)
{
    FILE *f = fopen(bench_path(name), "w");
    va_list args;

    if (f == NULL)
        bench_fail(name);
    va_start(args, fmt);
    vfprintf(f, fmt, args);
    va_end(args);
    if (fclose(f) != 0)
        bench_fail(name);
}

/* The file of a server; its others have names that begin the same. */
static const char *
conf_of(const server_t *s)
{
    static char name[32];

    snprintf(name, sizeof(name), "%s.conf", s->name);
    return name;
}

/* --- configurations ---------------------------------------------------------------------------- */

static void
configure_reeve(const server_t *s)
{
    write_file(conf_of(s),
        "[main]\ndaemon = off\nworker_processes = %u\nerror_log = %s.log notice\npid = %s.pid\n%s%s"
        "[events]\nworker_connections = %u\n"
        "[http]\nlisten = 127.0.0.1:%d\nkeepalive_requests = 1000000000\n"
        "keepalive_timeout = 1h\n"
        "[location /stub_status]\nhandler = stub_status\n"
        "[location /status]\nhandler = status\n[location /metrics]\nhandler = metrics\n"
        "[location /hello]\nhandler = return\nreturn = 200 hello!\n",
        s->plan.workers, s->name, s->name, s->plan.more == NULL ? "" : s->plan.more,
        strcmp(s->name, "unconfined") == 0 ? "sandbox = off\n" : "", s->plan.connections, s->port);
}

static void
configure_nginx(const server_t *s)
{
    write_file(conf_of(s),
        "daemon off;\nworker_processes %u;\nerror_log nginx.log notice;\npid nginx.pid;\n"
        "events { worker_connections %u; }\n"
        "http {\n access_log off;\n default_type text/plain;\n"
        " client_body_temp_path body;\n proxy_temp_path proxy;\n fastcgi_temp_path fastcgi;\n"
        " uwsgi_temp_path uwsgi;\n scgi_temp_path scgi;\n"
        " keepalive_requests 1000000000;\n keepalive_timeout 1h;\n"
        " server {\n  listen 127.0.0.1:%d;\n"
        "  location = /stub_status { stub_status; }\n"
        "  location = /hello { return 200 \"hello!\"; }\n }\n}\n",
        s->plan.workers, s->plan.connections, s->port);
}

static void
configure_h2o(const server_t *s)
{
    if (mkdir(bench_path("www"), 0755) == -1 && errno != EEXIST)
        bench_fail("www");
    write_file("www/hello", "hello!");
    write_file(conf_of(s),
        "num-threads: 1\nmax-connections: %u\nhttp1-request-timeout: 3600\n%s"
        "error-log: /dev/null\nlisten:\n  host: 127.0.0.1\n  port: %d\n"
        "hosts:\n  default:\n    paths:\n      /:\n        file.dir: %s\n",
        s->plan.connections, getuid() == 0 ? "user: root\n" : "", s->port, bench_path("www"));
}

static void
configure_haproxy(const server_t *s)
{
    write_file(conf_of(s),
        "global\n maxconn %u\n nbthread 1\n"
        "defaults\n mode http\n timeout client 1h\n timeout connect 1s\n timeout server 1h\n"
        "frontend all\n bind 127.0.0.1:%d\n"
        " http-request return status 200 content-type text/plain string hello!\n",
        s->plan.connections, s->port);
}

/* Its pages are functions of a library that it loads. */
static void
configure_kore(const server_t *s)
{
    char command[3 * BENCH_PATH];

    write_file("kore.c",
        "#include <stddef.h>\nstruct http_request;\n"
        "void http_response(struct http_request *, int, const void *, size_t);\n"
        "int page(struct http_request *);\n"
        "int page(struct http_request *r) { http_response(r, 200, \"hello!\", 6); return 1; }\n");
    snprintf(command, sizeof(command), "cc -shared -fPIC -o %s %s", bench_path("kore.so"),
        bench_path("kore.c"));
    if (system(command) != 0) // NOLINT(cert-env33-c): a compiler is a program
        bench_give_up("kore: compiling its page failed");
    write_file(conf_of(s),
        "server all {\n bind 127.0.0.1 %d\n tls no\n}\nload %s\nroot %s\nworkers 1\n"
        "worker_max_connections %u\nhttp_keepalive_time 3600\npidfile %s\n"
        "domain * {\n attach all\n route / page\n route /hello page\n}\n",
        s->port, bench_path("kore.so"), bench_path(""), s->plan.connections,
        bench_path("kore.pid"));
}

static const kind_t kinds[] = {
    { "reeve", NULL, NULL,
        SERVER_IS_OURS | SERVER_HAS_STATUS | SERVER_HAS_WORKERS | SERVER_HAS_PIPELINING,
        configure_reeve, { "reeve", "-p", "%", "-c", "@" } },
    { "uncounted", NULL, NULL, SERVER_IS_OURS | SERVER_HAS_STATUS | SERVER_HAS_PIPELINING,
        configure_reeve, { "t/bench/reeve_uncounted", "-p", "%", "-c", "@" } },
    { "unconfined", NULL, NULL, SERVER_IS_OURS | SERVER_HAS_STATUS | SERVER_HAS_PIPELINING,
        configure_reeve, { "reeve", "-p", "%", "-c", "@" } },
    { "bare", NULL, NULL, SERVER_HAS_STATUS | SERVER_HAS_PIPELINING, NULL, { NULL } },
    { "nginx", "RV_NGINX", "-v", SERVER_HAS_STATUS | SERVER_HAS_WORKERS | SERVER_HAS_PIPELINING,
        configure_nginx, { "nginx", "-e", "stderr", "-p", "%", "-c", "@" } },
    { "h2o", "RV_H2O", "--version", SERVER_HAS_PIPELINING, configure_h2o,
        { "h2o", "-m", "worker", "-c", "@" } },
    { "haproxy", "RV_HAPROXY", "-v", SERVER_HAS_PIPELINING, configure_haproxy,
        { "haproxy", "-db", "-f", "@" } },
    { "kore", "RV_KORE", "-v", 0, configure_kore, { "kore", "-f", "-n", "-r", "-q", "-c", "@" } },
};

static const kind_t *
kind_of(const char *name)
{
    for (size_t i = 0; i < rv_countof(kinds); i++) {
        if (strcmp(kinds[i].name, name) == 0)
            return &kinds[i];
    }
    bench_give_up("no server is called \"%s\"", name);
}

static const char *
program_of(const kind_t *k)
{
    const char *other = k->variable == NULL ? NULL : getenv(k->variable);

    return other != NULL     ? other
        : k->version == NULL ? bench_built(k->arguments[0])
                             : k->arguments[0];
}

/* --- which there are --------------------------------------------------------------------------- */

static int
is_installed(const kind_t *k)
{
    int status;

    if (k->version == NULL)
        return 1;
    pid_t pid = bench_fork();
    if (pid == 0) {
        bench_be_quiet();
        execlp(program_of(k), k->name, k->version, (char *) NULL);
        _exit(127);
    }
    return waitpid(pid, &status, 0) == pid && status == 0;
}

int
server_find(server_t *s, const char *name)
{
    const kind_t *k = kind_of(name);

    memset(s, 0, sizeof(*s));
    s->name = k->name;
    s->abilities = k->abilities;
    return is_installed(k) ? RV_OK : RV_ERROR;
}

/* --- start and stop ------------------------------------------------------------------------------ */

static int
free_port(void)
{
    struct sockaddr_in in = { .sin_family = AF_INET };
    socklen_t length = sizeof(in);
    int fd = rv_fd_socket(AF_INET, SOCK_STREAM);

    in.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (fd == -1 || bind(fd, (struct sockaddr *) &in, sizeof(in)) == -1
        || getsockname(fd, (struct sockaddr *) &in, &length) == -1)
        bench_fail("bind");
    close(fd);
    return ntohs(in.sin_port);
}

static int
answers(int port)
{
    static const char request[] =
        "GET /hello HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
    struct sockaddr_in in = { .sin_family = AF_INET, .sin_port = htons((uint16_t) port) };
    char text[512] = "";
    const struct timeval limit = { 1, 0 };
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    (void) setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
    in.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int is_there = fd != -1 && connect(fd, (struct sockaddr *) &in, sizeof(in)) == 0
        && send(fd, request, sizeof(request) - 1, MSG_NOSIGNAL) > 0
        && recv(fd, text, sizeof(text) - 1, 0) > 0 && strstr(text, " 200 ") != NULL;
    if (fd != -1)
        close(fd);
    return is_there;
}

static void __attribute__((noreturn)) run(const server_t *s, const kind_t *k)
{
    const char *list[ARGUMENTS + 1];
    const char *program = program_of(k);

    bench_be_quiet();
    bench_pin(s->plan.core);
    if (k->configure == NULL)
        bare_serve(s->port);
    for (size_t i = 0; i < ARGUMENTS; i++) {
        const char *one = k->arguments[i];

        list[i] = one == NULL || (*one != '%' && *one != '@') ? one
            : *one == '%'                                     ? bench_path("")
                                                              : bench_path(conf_of(s));
    }
    list[ARGUMENTS] = NULL;
    execvp(program, (char *const *) (uintptr_t) list);
    _exit(127);
}

void
server_launch(server_t *s, const server_plan_t *plan)
{
    const kind_t *k = kind_of(s->name);

    s->plan = *plan;
    s->plan.workers = rv_max(s->plan.workers, 1u);
    if (s->plan.connections == 0)
        s->plan.connections = 1024;
    s->port = free_port();
    if (k->configure != NULL)
        k->configure(s);
    s->pid = bench_fork();
    if (s->pid == 0)
        run(s, k);
}

/* RV_ERROR: it does not answer in time. */
static int
try_start(server_t *s, const server_plan_t *plan, unsigned msec)
{
    double until = bench_now() + msec / 1e3;

    server_launch(s, plan);
    while (!answers(s->port)) {
        if (bench_now() > until || waitpid(s->pid, NULL, WNOHANG) != 0)
            return RV_ERROR;
        bench_pause(1);
    }
    return RV_OK;
}

void
server_start(server_t *s, const server_plan_t *plan)
{
    if (try_start(s, plan, PATIENCE_MSEC) != RV_OK)
        bench_give_up("%s does not answer", s->name);
}

void
server_stop(server_t *s)
{
    bench_end(s->pid, SIGTERM);
    s->pid = 0;
}

/* Others than ours are left out where they do not run. */
static int
is_usable(server_t *s)
{
    int result = try_start(s, &(server_plan_t){ .workers = 1 }, TRIAL_MSEC);

    server_stop(s);
    if (result != RV_OK)
        fprintf(stderr, "%s is left out: it does not answer\n", s->name);
    return result == RV_OK;
}

unsigned
server_find_all(server_t *list, const char *const *names, unsigned count, unsigned wanted)
{
    unsigned found = 0;

    for (unsigned i = 0; i < count; i++) {
        server_t *s = &list[found];

        if ((kind_of(names[i])->abilities & wanted) != wanted || server_find(s, names[i]) != RV_OK)
            continue;
        found += s->abilities & SERVER_IS_OURS || is_usable(s);
    }
    return found;
}

/* --- workers --------------------------------------------------------------------------------------- */

pid_t
server_worker(const server_t *s)
{
    static pid_t pids[TREE_MOST];

    return tree_children(s->pid, pids) > 0 ? pids[0] : s->pid;
}

static int
is_among(pid_t pid, const pid_t *list, int n)
{
    for (int i = 0; i < n; i++) {
        if (list[i] == pid)
            return 1;
    }
    return 0;
}

static int
has_workers(const server_t *s, unsigned count, const pid_t *old, int old_count)
{
    static pid_t pids[TREE_MOST];
    int n = tree_children(s->pid, pids);

    for (int i = 0; i < n; i++) {
        if (is_among(pids[i], old, old_count))
            return 0;
    }
    return n == (int) count;
}

void
server_wait_workers(const server_t *s, unsigned count, const pid_t *old, int old_count)
{
    double until = bench_now() + PATIENCE_MSEC / 1e3;

    while (!has_workers(s, count, old, old_count)) {
        if (bench_now() > until)
            bench_give_up("%s does not have its %u workers", s->name, count);
        bench_pause(1);
    }
}
