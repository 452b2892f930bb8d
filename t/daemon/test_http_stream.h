/*
 * test_http_stream: what the tests of streams share: a daemon, and clients that read.
 */
#ifndef TEST_HTTP_STREAM_H
#define TEST_HTTP_STREAM_H

#include "test_http.h"
#include "test_http_waiter.h"

static daemon_t d;
static char text[HTTP_ROOM];

/* Waits until the handler has so many streams, and has been told of so many ends. */
static inline void
wait_streams(int control, unsigned streams, unsigned closed, unsigned drained)
{
    char wanted[64];

    snprintf(wanted, sizeof(wanted), "streams %u closed %u drained %u\n", streams, closed, drained);
    waiter_wait_count(control, wanted);
}

static inline void
expect_head(int fd, int code)
{
    ck_assert_int_eq(daemon_answer(fd, text, sizeof(text), 1), code);
}

/* Takes so many bytes as this has, and they are the same. */
static inline void
expect_bytes(int fd, const char *wanted)
{
    size_t length = strlen(wanted), have = 0;

    while (have < length) {
        ssize_t n = recv(fd, text + have, length - have, 0);

        ck_assert_msg(n > 0, "the stream ends, or is silent, after \"%.*s\"", (int) have, text);
        have += (size_t) n;
    }
    text[length] = '\0';
    ck_assert_str_eq(text, wanted);
}

static inline void
expect_end(int fd, const char *wanted)
{
    text[0] = '\0';
    ck_assert_int_ge(daemon_read_end(fd, text, sizeof(text)), 0);
    ck_assert_str_eq(text, wanted);
    close(fd);
}

/* A stream whose head has come. */
static inline int
open_stream(const char *request)
{
    int fd = http_open(&d, request);

    expect_head(fd, 200);
    return fd;
}

static inline void
expect_done(int control, const char *request)
{
    http_send(control, request);
    ck_assert_int_eq(daemon_answer(control, text, sizeof(text), 0), 200);
}

/* Has it written to all streams, so often; the answer may come before it is read. */
static inline void
write_all(int control, const char *body, int times)
{
    char request[512];

    snprintf(request, sizeof(request),
        "POST /do/write?times=%d HTTP/1.1\r\nHost: a\r\nContent-Length: %zu\r\n\r\n%s", times,
        strlen(body), body);
    expect_done(control, request);
}

#endif
