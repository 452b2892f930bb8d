/*
 * test_pass: what the tests of rv_connection_pass share.
 *
 * The program is the one with module_pass.c, which passes connections when it is asked to: by a
 * guide, a connection of the test to each worker.
 */
#ifndef TEST_PASS_H
#define TEST_PASS_H

#include "look.h"
#include "test_http.h"

#include "rv_base.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <signal.h>

enum { PASS_MOST = 4, PASS_UNIX = 2 /* number of the listener */ };

typedef struct {
    unsigned passed, again, failed;
    int error;
} pass_outcome_t;

typedef struct {
    unsigned worker, requests;
    long pid;
    char rest[512]; /* what it has understood of the request */
} pass_who_t;

static daemon_t d;
static look_t look;
static unsigned workers;
static int echo_port;
static pid_t pids[PASS_MOST];   /* by worker number */
static int guides[PASS_MOST];   /* the same */
static int free_fds[PASS_MOST]; /* descriptors that each had without clients */
static const char *preloaded;   /* into the daemon; NULL: nothing */
static unsigned opened, asked;  /* connections and requests of the test so far */

static inline void
pass_ask(int fd, const char *target)
{
    char request[256];

    snprintf(request, sizeof(request), "GET %s HTTP/1.1\r\nHost: a\r\n\r\n", target);
    http_send(fd, request);
}

/* The answer's body. */
static inline const char *
pass_answer(int fd)
{
    static char text[4096];

    ck_assert_int_eq(daemon_answer(fd, text, sizeof(text), 0), 200);
    asked++;
    return strstr(text, "\r\n\r\n") + 4;
}

static inline pass_who_t
pass_read_who(int fd)
{
    pass_who_t who;
    const char *text = pass_answer(fd);

    ck_assert_msg(sscanf(text, "worker %u pid %ld requests %u %511[^\n]", &who.worker, &who.pid,
                      &who.requests, who.rest)
            == 4,
        "%s", text);
    return who;
}

static inline pass_who_t
pass_who(int fd)
{
    pass_ask(fd, "/who");
    return pass_read_who(fd);
}

static inline pass_outcome_t
pass_read_outcome(int fd)
{
    pass_outcome_t o;
    const char *text = pass_answer(fd);

    ck_assert_msg(sscanf(text, "passed %u again %u failed %u error %d", &o.passed, &o.again,
                      &o.failed, &o.error)
            == 4,
        "%s", text);
    return o;
}

static inline int
pass_connect(int listener)
{
    int fd = listener == PASS_UNIX ? daemon_connect_unix(daemon_path(&d, "reeve.sock"))
                                   : daemon_connect(&d);

    ck_assert_int_ne(fd, -1);
    opened++;
    return fd;
}

static inline unsigned
pass_port(int fd)
{
    struct sockaddr_in in;
    socklen_t length = sizeof(in);

    ck_assert_int_eq(getsockname(fd, (struct sockaddr *) &in, &length), 0);
    return ntohs(in.sin_port);
}

/* Has that worker pass the client's connection, all that are at the unix socket
 * (client -1), or all but the guide's (-2). */
static inline pass_outcome_t
pass_by(unsigned worker, int client, unsigned to)
{
    char target[128];

    if (client >= 0)
        snprintf(target, sizeof(target), "/pass?to=%u&port=%u", to, pass_port(client));
    else
        snprintf(
            target, sizeof(target), "/pass?to=%u&listener=%d", to, client == -1 ? PASS_UNIX : 0);
    pass_ask(guides[worker], target);
    return pass_read_outcome(guides[worker]);
}

/* It is passed, and nothing else, and it has arrived. */
static inline void
pass_on(unsigned worker, int client, unsigned to)
{
    int64_t taken = look_total(&look, "connections", "taken");
    pass_outcome_t o = pass_by(worker, client, to);

    ck_assert_msg(o.passed == 1 && o.again == 0 && o.failed == 0,
        "passed %u, again %u, failed %u (%d)", o.passed, o.again, o.failed, o.error);
    look_wait(&d, &look, "connections", "taken", taken + 1);
}

static inline void
pass_find_guides(void)
{
    unsigned found = 0;

    for (unsigned i = 0; i < workers; i++)
        guides[i] = -1;
    for (int tries = 0; found < workers; tries++) {
        ck_assert_int_lt(tries, 10000);
        int fd = pass_connect(0);
        pass_who_t who = pass_who(fd);

        if (guides[who.worker] == -1) {
            guides[who.worker] = fd;
            pids[who.worker] = (pid_t) who.pid;
            found++;
        } else {
            close(fd);
        }
    }
    look_wait_connections(&d, &look, workers);
    for (unsigned i = 0; i < workers; i++)
        free_fds[i] = daemon_fd_count(pids[i]) - 1;
}

static inline void
pass_start(unsigned count)
{
    char program[256];

    snprintf(program, sizeof(program), "%s/t/reeve", getenv("RV_BUILD"));
    setenv("RV_BINARY", program, 1);
    daemon_setup(&d);
    workers = count;
    echo_port = daemon_free_port();
    if (preloaded != NULL)
        daemon_preload(&d, preloaded);
    setenv("RV_TEST_STOP_SHUTDOWN", daemon_path(&d, "stop"), 1);
    daemon_conff(&d,
        "[main]\n%sworker_processes = %u\nerror_log = logs/error.log info\npid = logs/reeve.pid\n"
        "[zone stats]\ntype = %s\n"
        "[http]\nlisten = 127.0.0.1:%d\nlisten = unix:reeve.sock\n"
        "keepalive_requests = 1000000\nkeepalive_min_timeout = 60s\nclient_max_header_size = 64k\n"
        "[location /]\nhandler = pass\n" HTTP_STATUS "[echo]\nlisten = 127.0.0.1:%d\n",
        preloaded != NULL ? "sandbox = off\n" : "", count, look_type(), d.port, echo_port);
    daemon_start(&d);
    daemon_wait_workers(&d, (int) workers);
    look_open(&d, &look);
    pass_find_guides();
}

/* What must be exact when nothing goes on: `lost` is what was killed with workers. */
static inline void
pass_expect_counts(unsigned open, unsigned requests)
{
    rv_stats_view_t view;

    look_wait_connections(&d, &look, open);
    look_take(&look, &view);
    look_judge(&look, &view);
    ck_assert_int_eq(look_value(&look, view.totals, "connections", "accepts"), opened);
    ck_assert_int_eq(look_value(&look, view.totals, "connections", "handled"), opened);
    ck_assert_int_eq(look_value(&look, view.totals, "http", "requests"), requests);
    rv_stats_view_free(&view);
}

static inline void
pass_stop(void)
{
    for (unsigned i = 0; i < workers; i++)
        close(guides[i]);
    look_wait_connections(&d, &look, 0);
    for (unsigned i = 0; i < workers; i++)
        daemon_wait_fd_count(&d, pids[i], free_fds[i]);
    look_close(&look);
    daemon_teardown(&d);
}

#endif
