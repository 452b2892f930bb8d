/*
 * test_http_stream: answers that go on.
 *
 * Everything written comes, in order; whoever goes, or does not read, costs
 * nobody else anything; and a worker that finishes says so. The handler is
 * that of module_waiter.c: what is posted to "write" goes to all its streams.
 */
#include "test_http_stream.h"

#include "rv_base.h"

#include <errno.h>
#include <signal.h>
#include <sys/wait.h>

static const char conf[] = HTTP_MAIN("1") WAITER_LISTEN HTTP_STATUS WAITER;

START_TEST(what_is_written_comes_in_order)
{
    char value[64];
    daemon_status_t s;

    waiter_start(&d, conf);
    int control = http_connect(&d);
    int fd = open_stream(DO("stream")), other = open_stream(DO("stream"));
    ck_assert_str_eq(http_field(text, "Transfer-Encoding", value, sizeof(value)), "chunked");
    ck_assert_str_eq(http_field(text, "Connection", value, sizeof(value)), "close");
    ck_assert_str_eq(http_field(text, "Content-Type", value, sizeof(value)), "text/plain");
    ck_assert_str_eq(http_field(text, "Cache-Control", value, sizeof(value)), "no-store");
    ck_assert_ptr_null(http_field(text, "Content-Length", value, sizeof(value)));
    http_wait_counts(control, 0, 3, 0, &s); /* they are being answered */

    write_all(control, "hello", 1);
    expect_bytes(fd, "5\r\nhello\r\n");
    write_all(control, "a longer one, 26 bytes\r\n\r\n", 2);
    expect_bytes(fd, "1a\r\na longer one, 26 bytes\r\n\r\n\r\n");
    expect_bytes(fd, "1a\r\na longer one, 26 bytes\r\n\r\n\r\n");
    write_all(control, "", 1); /* nothing, and not the end */
    write_all(control, "x", 1);
    expect_bytes(fd, "1\r\nx\r\n");
    expect_done(control, DO("end"));
    expect_end(fd, "0\r\n\r\n");
    expect_end(other,
        "5\r\nhello\r\n1a\r\na longer one, 26 bytes\r\n\r\n\r\n"
        "1a\r\na longer one, 26 bytes\r\n\r\n\r\n1\r\nx\r\n0\r\n\r\n");
    http_wait_counts(control, 0, 1, 0, &s);
    wait_streams(control, 0, 0, 0); /* who has ended it himself is not told */
    close(control);
    waiter_wait_exact(&d, 0);
    daemon_teardown(&d);
}
END_TEST

START_TEST(old_clients_get_bytes_up_to_the_end)
{
    char value[64];

    waiter_start(&d, conf);
    int control = http_connect(&d);
    int fd = open_stream("GET /do/stream HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
    ck_assert_str_eq(http_field(text, "Connection", value, sizeof(value)), "close");
    ck_assert_ptr_null(http_field(text, "Transfer-Encoding", value, sizeof(value)));
    write_all(control, "hello", 2);
    expect_bytes(fd, "hellohello");
    expect_done(control, DO("end"));
    expect_end(fd, "");
    close(control);
    daemon_teardown(&d);
}
END_TEST

START_TEST(head_of_a_stream_has_no_stream)
{
    char value[64];

    waiter_start(&d, conf);
    int fd = http_open(&d,
        "HEAD /do/stream HTTP/1.1\r\nHost: a\r\n\r\n"
        "HEAD /do/stream-after HTTP/1.1\r\nHost: a\r\n\r\n" HELLO_REQUEST);
    for (int i = 0; i < 2; i++) {
        expect_head(fd, 200);
        ck_assert_str_eq(http_field(text, "Transfer-Encoding", value, sizeof(value)), "chunked");
        ck_assert_str_eq(http_field(text, "Connection", value, sizeof(value)), "keep-alive");
    }
    ck_assert_int_eq(daemon_answer(fd, text, sizeof(text), 0), 200);
    wait_streams(fd, 0, 0, 0);
    close(fd);
    daemon_teardown(&d);
}
END_TEST

START_TEST(stream_comes_behind_other_answers_and_later)
{
    waiter_start(&d, conf);
    int control = http_connect(&d);
    int fd = http_open(&d, HELLO_REQUEST DO("after") DO("stream-after") "what follows is nothing");
    ck_assert_int_eq(daemon_answer(fd, text, sizeof(text), 0), 200);
    ck_assert_int_eq(daemon_answer(fd, text, sizeof(text), 0), 200);
    ck_assert_ptr_nonnull(strstr(text, "in time"));
    expect_head(fd, 200);
    expect_bytes(fd, "4\r\nlate\r\n");
    http_send(fd, "and this, too");
    write_all(control, "x", 1);
    expect_bytes(fd, "1\r\nx\r\n");
    expect_done(control, DO("end"));
    expect_end(fd, "0\r\n\r\n");
    close(control);
    waiter_wait_exact(&d, 0);
    daemon_teardown(&d);
}
END_TEST

/* All timeouts are over for a client that came later. */
START_TEST(no_timeout_ends_a_stream)
{
    waiter_start(&d,
        HTTP_MAIN("1") WAITER_LISTEN
        "keepalive_timeout = 100ms\nclient_header_timeout = 100ms\nsend_timeout = 100ms\n"
        "keepalive_min_timeout = 100ms\n" HTTP_STATUS WAITER);
    int fd = open_stream(DO("stream"));
    expect_end(http_connect(&d), "");
    int idle = http_open(&d, HELLO_REQUEST);
    ck_assert_int_eq(daemon_answer(idle, text, sizeof(text), 0), 200);
    expect_end(idle, "");
    int control = http_connect(&d);
    write_all(control, "x", 1);
    expect_bytes(fd, "1\r\nx\r\n");
    close(fd);
    close(control);
    daemon_teardown(&d);
}
END_TEST

/* --- clients that go ---------------------------------------------------------------------- */

/* Another process listens, and is killed. */
static void
kill_listener(int control)
{
    pid_t pid = fork();

    ck_assert_int_ne(pid, -1);
    if (pid == 0) {
        int fd = http_open(&d, DO("stream"));

        while (recv(fd, text, sizeof(text), 0) > 0)
            continue;
        _exit(0);
    }
    wait_streams(control, 1, 3, 0);
    write_all(control, "x", 1);
    kill(pid, SIGKILL);
    ck_assert_int_eq(waitpid(pid, NULL, 0), pid);
    wait_streams(control, 0, 4, 0);
}

START_TEST(client_that_goes_is_noticed_at_once)
{
    daemon_status_t s;

    waiter_start(&d, conf);
    int control = http_connect(&d);
    int closing = open_stream(DO("stream")), halving = open_stream(DO("stream"));
    int resetting = open_stream(DO("stream"));
    close(closing);
    wait_streams(control, 2, 1, 0);
    shutdown(halving, SHUT_WR);
    expect_end(halving, "");
    wait_streams(control, 1, 2, 0);
    http_reset(resetting);
    wait_streams(control, 0, 3, 0);
    kill_listener(control);
    http_wait_counts(control, 0, 1, 0, &s);
    ck_assert_uint_eq(s.active, 1);
    close(control);
    waiter_wait_exact(&d, 0);
    ck_assert(waiter_total(&d, "http/streams_cut") == 0);
    daemon_teardown(&d);
}
END_TEST

/* --- and the worker ends ------------------------------------------------------------------------ */

START_TEST(old_worker_tells_its_streams_to_go)
{
    waiter_start(&d, conf);
    int last_word = open_stream(DO("stream")), none = open_stream(DO("stream?drain=0"));
    pid_t old = daemon_worker(&d);
    daemon_signal(&d, "reload");
    expect_end(last_word, "3\r\nbye\r\n0\r\n\r\n");
    expect_end(none, "0\r\n\r\n");
    daemon_wait_process(&d, old);
    int fd = open_stream(DO("stream")); /* by the new one */
    close(fd);
    daemon_teardown(&d);
}
END_TEST

START_TEST(old_worker_waits_for_streams_that_stay)
{
    waiter_start(
        &d, HTTP_MAIN("1") WAITER_LISTEN "keepalive_min_timeout = 60s\n" HTTP_STATUS WAITER);
    int control = http_connect(&d), next = http_connect(&d);
    wait_streams(control, 0, 0, 0);
    wait_streams(next, 0, 0, 0);
    int fd = open_stream(DO("stream?drain=2"));
    pid_t old = daemon_worker(&d);
    daemon_signal(&d, "reload");
    expect_bytes(fd, "4\r\nsoon\r\n");
    http_send(next, DO("stream?drain=2")); /* begun by a worker that finishes */
    expect_head(next, 200);
    expect_bytes(next, "4\r\nsoon\r\n");
    expect_done(control, DO("end"));
    expect_end(fd, "0\r\n\r\n");
    expect_end(next, "0\r\n\r\n");
    close(control);
    daemon_wait_process(&d, old);
    waiter_wait_exact(&d, 0);
    daemon_teardown(&d);
}
END_TEST

START_TEST(old_worker_waits_no_longer_than_it_may)
{
    waiter_start(
        &d, HTTP_MAIN("1") "worker_shutdown_timeout = 1s\n" WAITER_LISTEN HTTP_STATUS WAITER);
    int fd = open_stream(DO("stream?drain=2"));
    daemon_signal(&d, "reload");
    daemon_wait_log(&d, "worker_shutdown_timeout is over, 1 connections closed", 1);
    expect_end(fd, "4\r\nsoon\r\n");
    daemon_teardown(&d); /* the handler was told, else there is an alert */
}
END_TEST

START_TEST(stopped_worker_closes_streams)
{
    waiter_start(&d, conf);
    int fd = open_stream(DO("stream")), stays = open_stream(DO("stream?drain=2"));
    daemon_signal(&d, "stop");
    daemon_wait_gone(&d);
    expect_end(fd, "");
    expect_end(stays, "");
    daemon_teardown(&d);
}
END_TEST

int
main(void)
{
    Suite *s = suite_create("http stream");
    TCase *tc = daemon_case(s, "stream");

    tcase_add_test(tc, what_is_written_comes_in_order);
    tcase_add_test(tc, old_clients_get_bytes_up_to_the_end);
    tcase_add_test(tc, head_of_a_stream_has_no_stream);
    tcase_add_test(tc, stream_comes_behind_other_answers_and_later);
    tcase_add_test(tc, no_timeout_ends_a_stream);
    tcase_add_test(tc, client_that_goes_is_noticed_at_once);

    tc = daemon_case(s, "end");
    tcase_add_test(tc, old_worker_tells_its_streams_to_go);
    tcase_add_test(tc, old_worker_waits_for_streams_that_stay);
    tcase_add_test(tc, old_worker_waits_no_longer_than_it_may);
    tcase_add_test(tc, stopped_worker_closes_streams);
    return daemon_main(s);
}
