/*
 * test_http_waiter: what the tests of the handler of module_waiter.c share.
 */
#ifndef TEST_HTTP_WAITER_H
#define TEST_HTTP_WAITER_H

#include "json.h"
#include "test_http.h"

#define WAITER_LISTEN HTTP_LISTEN "keepalive_requests = 1000000\n" /* waiting takes many */
#define WAITER HTTP_RETURN("/hello", "200 hello") "[location /do/]\nhandler = waiter\n"
#define DO(what) "GET /do/" what " HTTP/1.1\r\nHost: a\r\n\r\n"
#define HELLO_REQUEST "GET /hello HTTP/1.1\r\nHost: a\r\n\r\n"

/* With the program that has the handler, but not started yet. */
static inline void
waiter_setup(daemon_t *d, const char *conf)
{
    char program[256];

    snprintf(program, sizeof(program), "%s/t/reeve", getenv("RV_BUILD"));
    setenv("RV_BINARY", program, 1);
    daemon_setup(d);
    daemon_conf(d, conf);
}

static inline void
waiter_start(daemon_t *d, const char *conf)
{
    waiter_setup(d, conf);
    daemon_start(d);
}

/* Asks the handler on this connection until its counts have this in them. */
static inline void
waiter_wait_count(int fd, const char *wanted)
{
    const struct timespec pause = { 0, 5 * 1000 * 1000 };
    int64_t end = http_now() + DAEMON_LIMIT * 1000;
    char text[1024];

    for (;;) {
        http_send(fd, DO("count"));
        ck_assert_int_eq(daemon_answer(fd, text, sizeof(text), 0), 200);
        if (strstr(text, wanted) != NULL)
            return;
        if (http_now() > end)
            ck_abort_msg("\"%s\" did not come about, but\n%s", wanted, text);
        nanosleep(&pause, NULL);
    }
}

/* What all workers have counted, seen from outside. */
static inline double
waiter_total(daemon_t *d, const char *name)
{
    char path[128];

    ck_assert_int_eq(daemon_run(d, "status", "-j", NULL), 0);
    snprintf(path, sizeof(path), "totals/%s", name);
    return json_number(d->output, path);
}

/* All requests but so many have been answered, and their time taken. */
static inline int
waiter_is_exact(daemon_t *d, void *unanswered)
{
    return waiter_total(d, "http/request_duration/count") + *(int *) unanswered
        == json_number(d->output, "totals/http/requests")
        && json_number(d->output, "totals/connections/writing") == 0
        && json_number(d->output, "totals/connections/reading") == 0;
}

static inline void
waiter_wait_exact(daemon_t *d, int unanswered)
{
    daemon_wait(d, waiter_is_exact, &unanswered, "all requests have been timed once");
}

#endif
