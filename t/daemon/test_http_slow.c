/*
 * test_http_slow: streams to clients that do not read, or not at once.
 */
#include "test_http_stream.h"

#include "rv_base.h"

#include <errno.h>
#include <signal.h>
#include <sys/wait.h>

static const char conf[] = HTTP_MAIN("1") WAITER_LISTEN HTTP_STATUS WAITER;
static const char unix_conf[] =
    HTTP_MAIN("1") WAITER_LISTEN "listen = unix:logs/a.sock\n" HTTP_STATUS WAITER;

/* --- clients that do not read --------------------------------------------------------------- */

static char block[1000 + 1];

/* Reads the rest of a stream of blocks: how many they were; the last may be cut. */
static long
count_blocks(int fd)
{
    static const char frame[] = "3e8\r\n";
    size_t at = 0, length = sizeof(frame) - 1 + sizeof(block) - 1 + 2;
    char wanted[2048];
    ssize_t n;

    snprintf(wanted, sizeof(wanted), "%s%s\r\n", frame, block);
    while ((n = recv(fd, text, sizeof(text), 0)) > 0) {
        for (ssize_t i = 0; i < n; i++, at++) {
            if (text[i] != wanted[at % length])
                ck_abort_msg("byte %zu is wrong", at);
        }
    }
    return (long) (at / length);
}

/* The socket takes no more than such a one has room for, which is not much. */
static int
connect_unix(void)
{
    int fd = daemon_connect_unix(daemon_path(&d, "logs/a.sock"));

    ck_assert_int_ne(fd, -1);
    return fd;
}

static int
open_unix_stream(void)
{
    int fd = connect_unix();

    http_send(fd, DO("stream?limit=262144"));
    expect_head(fd, 200);
    return fd;
}

static int
is_cut(daemon_t *daemon, void *count)
{
    return waiter_total(daemon, "http/streams_cut") == *(int *) count;
}

START_TEST(client_that_does_not_read_is_cut_off_and_others_get_all)
{
    enum { DEAF = 5, LIMIT_KB = 256, TIMES = 50, MOST = 1000 };
    int deaf[DEAF], cut = DEAF, written = 0, keen;
    char answer[256] = "";

    memset(block, 'x', sizeof(block) - 1);
    waiter_setup(&d, unix_conf);
    http_give_back_memory();
    daemon_start(&d);
    int control = http_connect(&d);
    for (int i = 0; i < DEAF; i++)
        deaf[i] = open_unix_stream();
    keen = open_unix_stream();
    long before = http_worker_memory(&d, "VmRSS");

    /* The keen one reads what was written before more is. */
    for (; strstr(answer, "streams 1 ") == NULL && written < MOST; written++) {
        char request[2048];

        snprintf(request, sizeof(request),
            "POST /do/write?times=%d HTTP/1.1\r\nHost: a\r\nContent-Length: %zu\r\n\r\n%s", TIMES,
            sizeof(block) - 1, block);
        expect_done(control, request);
        for (int i = 0; i < TIMES; i++) {
            expect_bytes(keen, "3e8\r\n");
            expect_bytes(keen, block);
            expect_bytes(keen, "\r\n");
        }
        http_send(control, DO("count"));
        ck_assert_int_eq(daemon_answer(control, answer, sizeof(answer), 0), 200);
    }
    ck_assert_int_lt(written, MOST);
    wait_streams(control, 1, DEAF, 0);
    ck_assert_int_lt(http_worker_memory(&d, "VmHWM") - before, 4 * (DEAF + 1) * LIMIT_KB + 1024);
    for (int i = 0; i < DEAF; i++) { /* what they get is the beginning of it */
        ck_assert_int_le(count_blocks(deaf[i]), (written - 1) * TIMES);
        close(deaf[i]);
    }
    write_all(control, "end", 1);
    expect_bytes(keen, "3\r\nend\r\n");
    close(keen);
    wait_streams(control, 0, DEAF + 1, 0);
    close(control);
    waiter_wait_exact(&d, 0);
    ck_assert(is_cut(&d, &cut));
    daemon_teardown(&d);
}
END_TEST

START_TEST(client_that_has_room_is_not_cut_by_a_burst)
{
    int none = 0, one = 1;

    waiter_start(&d, conf);
    int control = http_connect(&d);
    int fd = open_stream(DO("stream?limit=1000"));
    write_all(control, "0123456789", 500); /* in one step of the loop */
    for (int i = 0; i < 500; i++)
        expect_bytes(fd, "a\r\n0123456789\r\n");
    int burst = open_stream(HELLO_REQUEST DO("stream-burst?limit=1000&bytes=100&times=100"));
    expect_bytes(burst, "hello");
    expect_head(burst, 200);
    for (int i = 0; i < 100; i++) {
        expect_bytes(burst, "64\r\n");
        ck_assert_int_eq(recv(burst, text, 102, MSG_WAITALL), 102);
    }
    ck_assert(is_cut(&d, &none));
    wait_streams(control, 2, 0, 0);

    int small = open_stream(DO("stream?limit=100")); /* less than any write */
    char request[512];
    snprintf(request, sizeof(request),
        "POST /do/write HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\n%0100d", 0);
    expect_done(control, request);
    expect_end(small, "");
    wait_streams(control, 2, 1, 0);
    ck_assert(is_cut(&d, &one));
    close(fd);
    close(burst);
    close(control);
    daemon_teardown(&d);
}
END_TEST

/* So many answers before it, and then the stream: has it begun, though nobody reads? */
static int
open_behind(int control, int count, int *fd)
{
    char requests[8 * 1024], *at = requests, answer[256];
    daemon_status_t s;

    for (int i = 0; i < count; i++)
        at = stpcpy(at, DO("block"));
    stpcpy(at, DO("stream"));
    *fd = connect_unix();
    http_send(*fd, requests);
    http_wait_counts(control, 0, 2, 0, &s);
    http_send(control, DO("count"));
    ck_assert_int_eq(daemon_answer(control, answer, sizeof(answer), 0), 200);
    return strstr(answer, "streams 1 ") != NULL;
}

/*
 * With one answer more each time, until the stream cannot begin: in between it
 * has begun, but the answers before it are not all sent.
 */
START_TEST(stream_behind_answers_that_are_stuck_comes_behind_them)
{
    enum { LEAST = 20, MOST = 200 };
    unsigned closed = 0;
    int fd, count, begun = 1;

    waiter_start(&d, HTTP_MAIN("1") WAITER_LISTEN "listen = unix:logs/a.sock\n" HTTP_STATUS WAITER);
    int control = http_connect(&d);
    for (count = LEAST; begun && count < MOST; count++) {
        begun = open_behind(control, count, &fd);
        closed += begun;
        close(fd);
        wait_streams(control, 0, closed, 0);

        if (!open_behind(control, count, &fd))
            ck_assert(!begun);
        write_all(control, "hello", begun);
        for (int i = 0; i < count; i++)
            ck_assert_int_eq(daemon_answer(fd, text, sizeof(text), 0), 200);
        expect_head(fd, 200);
        if (begun)
            expect_bytes(fd, "5\r\nhello\r\n");
        close(fd);
        wait_streams(control, 0, ++closed, 0);
    }
    ck_assert_int_lt(count, MOST);
    close(control);
    waiter_wait_exact(&d, 0);
    daemon_teardown(&d);
}
END_TEST

int
main(void)
{
    Suite *s = suite_create("http slow");
    TCase *tc = daemon_case(s, "slow");

    tcase_add_test(tc, client_that_does_not_read_is_cut_off_and_others_get_all);
    tcase_add_test(tc, client_that_has_room_is_not_cut_by_a_burst);
    tcase_add_test(tc, stream_behind_answers_that_are_stuck_comes_behind_them);
    return daemon_main(s);
}
