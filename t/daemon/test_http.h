/*
 * test_http: what the tests of HTTP share.
 *
 * A control connection, kept alive, asks for the status: what it shows is the
 * state that tests wait for. Whatever else a test does with a client is bytes.
 */
#ifndef TEST_HTTP_H
#define TEST_HTTP_H

#include "daemon.h"

#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

/* Pieces of a configuration. */
#define HTTP_MAIN(workers)              \
    "[main]\n"                          \
    "worker_processes = " workers "\n"  \
    "error_log = logs/error.log info\n" \
    "pid = logs/reeve.pid\n"
#define HTTP_LISTEN "[http]\nlisten = 127.0.0.1:%PORT%\n"
#define HTTP_LISTEN_AT "[http]\nlisten = 127.0.0.1:%d\n" /* for daemon_conff */
#define HTTP_STATUS "[location /stub_status]\nhandler = stub_status\n"
#define HTTP_RETURN(path, what) "[location " path "]\nhandler = return\nreturn = " what "\n"

#define HTTP_STATUS_REQUEST "GET /stub_status HTTP/1.1\r\nHost: a\r\n\r\n"
#define HTTP_BYTES(literal) (literal), sizeof(literal) - 1

enum { HTTP_ROOM = 64 * 1024 };

typedef struct {
    int code;
    const char *head, *body; /* in the text they were taken from */
    size_t head_length, body_length;
} http_answer_t;

static inline void
http_start(daemon_t *d, const char *conf)
{
    daemon_setup(d);
    daemon_conf(d, conf);
    daemon_start(d);
}

static inline int
http_connect(daemon_t *d)
{
    int fd = daemon_connect(d);

    ck_assert_int_ne(fd, -1);
    return fd;
}

static inline void
http_send(int fd, const char *text)
{
    daemon_send(fd, text, strlen(text));
}

/* A new connection that has sent this. */
static inline int
http_open(daemon_t *d, const char *text)
{
    int fd = http_connect(d);

    http_send(fd, text);
    return fd;
}

/* Closes with a reset. */
static inline void
http_reset(int fd)
{
    const struct linger now = { 1, 0 };

    ck_assert_int_eq(setsockopt(fd, SOL_SOCKET, SO_LINGER, &now, sizeof(now)), 0);
    close(fd);
}

/* The value of a header field of an answer's head, or NULL. */
static inline const char *
http_field(const char *head, const char *name, char *value, size_t room)
{
    char mark[64];

    snprintf(mark, sizeof(mark), "\r\n%s: ", name);
    const char *end = strstr(head, "\r\n\r\n");
    const char *line = strstr(head, mark);
    if (line == NULL || end == NULL || line >= end)
        return NULL;

    line += strlen(mark);
    snprintf(value, room, "%.*s", (int) strcspn(line, "\r\n"), line);
    return value;
}

/* Takes the first answer off *text. 0: there are no more; a piece of one, or
 * anything else, fails the test. */
static inline int
http_next(const char **text, http_answer_t *a, int head_only)
{
    char value[32];

    if (**text == '\0')
        return 0;
    a->head = *text;
    a->body = strstr(*text, "\r\n\r\n");
    if (a->body == NULL || sscanf(*text, "HTTP/1.1 %3d ", &a->code) != 1)
        ck_abort_msg("not an answer:\n%s", *text);

    a->body += 4;
    a->head_length = (size_t) (a->body - a->head);
    a->body_length = 0;
    if (!head_only && http_field(a->head, "Content-Length", value, sizeof(value)) != NULL)
        a->body_length = strtoul(value, NULL, 10);
    if (strnlen(a->body, a->body_length) < a->body_length)
        ck_abort_msg("the answer is cut:\n%s", *text);
    *text = a->body + a->body_length;
    return 1;
}

/* Sends this on a connection of its own and reads to its end; fails the test
 * when it is reset. */
static inline void
http_exchange(daemon_t *d, const char *bytes, size_t length, char *text, size_t room)
{
    int fd = http_connect(d);

    daemon_send(fd, bytes, length);
    ck_assert_msg(daemon_read_end(fd, text, room) >= 0, "reset after:\n%s", bytes);
    close(fd);
}

/* Two answers differ in their dates only: nothing is left of the date. */
static inline void
http_mask_dates(char *text)
{
    while ((text = strstr(text, "\r\nDate: ")) != NULL) {
        text += strlen("\r\nDate: ");
        memset(text, 'x', strcspn(text, "\r\n"));
    }
}

static inline void
http_format_status(const daemon_status_t *s, char *text, size_t room)
{
    snprintf(text, room,
        "Active connections: %" PRIu64 " \n"
        "server accepts handled requests\n"
        " %" PRIu64 " %" PRIu64 " %" PRIu64 " \n"
        "Reading: %" PRIu64 " Writing: %" PRIu64 " Waiting: %" PRIu64 " \n",
        s->active, s->accepts, s->handled, s->requests, s->reading, s->writing, s->waiting);
}

/* Asks on this connection, which stays open. The page's form is checked byte for byte. */
static inline void
http_status(int fd, daemon_status_t *s)
{
    char text[1024], wanted[512];

    http_send(fd, HTTP_STATUS_REQUEST);
    ck_assert_int_eq(daemon_answer(fd, text, sizeof(text), 0), 200);

    const char *body = strstr(text, "\r\n\r\n") + 4;
    ck_assert_msg(
        sscanf(body,
            "Active connections: %" SCNu64 " server accepts handled requests %" SCNu64 " %" SCNu64
            " %" SCNu64 " Reading: %" SCNu64 " Writing: %" SCNu64 " Waiting: %" SCNu64,
            &s->active, &s->accepts, &s->handled, &s->requests, &s->reading, &s->writing,
            &s->waiting)
            == 7,
        "not a status:\n%s", text);
    http_format_status(s, wanted, sizeof(wanted));
    ck_assert_str_eq(body, wanted);
}

/*
 * Asks on this connection until so many connections are reading, writing (the
 * one that asks included) and waiting. Returns how often it asked.
 */
static inline unsigned
http_wait_counts(int fd, unsigned reading, unsigned writing, unsigned waiting, daemon_status_t *s)
{
    const struct timespec pause = { 0, 5 * 1000 * 1000 };
    time_t end = time(NULL) + DAEMON_LIMIT;
    unsigned asked = 0;

    for (;;) {
        http_status(fd, s);
        asked++;
        if (s->reading == reading && s->writing == writing && s->waiting == waiting)
            return asked;
        if (time(NULL) > end)
            ck_abort_msg("Reading: %u Writing: %u Waiting: %u did not come about, but %" PRIu64
                         ", %" PRIu64 ", %" PRIu64,
                reading, writing, waiting, s->reading, s->writing, s->waiting);
        nanosleep(&pause, NULL);
    }
}

/* 1 when there is something to read, or an end, within so many milliseconds. */
static inline int
http_readable(int fd, int msec)
{
    struct pollfd p = { .fd = fd, .events = POLLIN };

    return poll(&p, 1, msec) == 1;
}

/* Milliseconds, from some time in the past. */
static inline int64_t
http_now(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t) now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* KiB of memory that the only worker has ("VmRSS"), or had at most ("VmHWM"). */
static inline long
http_worker_memory(daemon_t *d, const char *what)
{
    char value[64];
    pid_t worker;

    ck_assert_int_eq(daemon_children(d->master, &worker, 1), 1);
    return strtol(daemon_proc_status(worker, what, value, sizeof(value)), NULL, 10);
}

/* AddressSanitizer, where the daemon is built with it, keeps what is freed: not
 * in one that is started after this. */
static inline void
http_give_back_memory(void)
{
    const char *set = getenv("ASAN_OPTIONS");
    char options[1024];

    snprintf(options, sizeof(options), "%s:quarantine_size_mb=0", set == NULL ? "" : set);
    setenv("ASAN_OPTIONS", options, 1);
}

#endif
