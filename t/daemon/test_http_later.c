/*
 * test_http_later: answers that come later.
 *
 * Whoever waits is answered as if it had been at once, what was sent behind
 * the request is answered behind it, and whoever goes is forgotten. The handler
 * is that of module_waiter.c: "hold" is answered when somebody asks for "release".
 */
#include "test_http.h"
#include "test_http_waiter.h"

static daemon_t d;
static char text[HTTP_ROOM];

static const char conf[] = HTTP_MAIN("1") WAITER_LISTEN HTTP_STATUS WAITER;

/* Waits until the handler has so many, and has been told of so many that are gone. */
static void
wait_held(int control, unsigned held, unsigned gone)
{
    char wanted[64];

    snprintf(wanted, sizeof(wanted), "held %u gone %u\n", held, gone);
    waiter_wait_count(control, wanted);
}

/* The next answer has this body. */
static void
expect_answer(int fd, const char *body)
{
    ck_assert_int_eq(daemon_answer(fd, text, sizeof(text), 0), 200);
    ck_assert_str_eq(strstr(text, "\r\n\r\n") + 4, body);
}

static void
release(int control, const char *count)
{
    http_send(control, DO("release"));
    expect_answer(control, count);
}

START_TEST(answer_comes_when_its_handler_has_it)
{
    char value[32];
    daemon_status_t s;

    waiter_start(&d, conf);
    int control = http_connect(&d);
    int fd = http_open(&d, DO("hold"));
    wait_held(control, 1, 0);
    http_wait_counts(control, 0, 2, 0, &s); /* it is being answered */
    ck_assert(!http_readable(fd, 0));
    release(control, "1 released\n");
    expect_answer(fd, "/do/hold released\n");
    ck_assert_str_eq(http_field(text, "Connection", value, sizeof(value)), "keep-alive");
    http_wait_counts(control, 0, 1, 1, &s);

    http_send(fd, DO("after")); /* the same connection, and another way */
    expect_answer(fd, "/do/after in time\n");
    http_send(fd, DO("now"));
    expect_answer(fd, "/do/now at once\n");
    http_wait_counts(control, 0, 1, 1, &s);
    close(fd);
    close(control);
    daemon_teardown(&d);
}
END_TEST

START_TEST(requests_behind_it_are_answered_behind_it)
{
    daemon_status_t s;

    waiter_start(&d, conf);
    int control = http_connect(&d);
    int fd = http_open(&d, HELLO_REQUEST DO("hold") HELLO_REQUEST DO("hold") DO("after") "GET /he");
    expect_answer(fd, "hello");
    wait_held(control, 1, 0);
    http_send(fd, "llo HTTP/1.1\r\nHost: a\r\n\r\n"); /* and what comes meanwhile */
    ck_assert(!http_readable(fd, 0));
    release(control, "1 released\n");
    expect_answer(fd, "/do/hold released\n");
    expect_answer(fd, "hello");
    wait_held(control, 1, 0);
    release(control, "1 released\n");
    expect_answer(fd, "/do/hold released\n");
    expect_answer(fd, "/do/after in time\n");
    expect_answer(fd, "hello");
    http_wait_counts(control, 0, 1, 1, &s);
    close(fd);
    close(control);
    daemon_teardown(&d);
}
END_TEST

/* More than there is room for, sent before the first is answered. */
START_TEST(more_behind_it_than_there_is_room_for_waits_in_the_socket)
{
    enum { MANY = 2000 };

    waiter_start(&d, conf);
    int control = http_connect(&d);
    int fd = http_open(&d, DO("hold"));
    for (int i = 0; i < MANY; i++)
        http_send(fd, HELLO_REQUEST);
    wait_held(control, 1, 0);
    release(control, "1 released\n");
    expect_answer(fd, "/do/hold released\n");
    for (int i = 0; i < MANY; i++)
        expect_answer(fd, "hello");
    close(fd);
    close(control);
    daemon_teardown(&d);
}
END_TEST

START_TEST(client_that_goes_meanwhile_is_forgotten)
{
    daemon_status_t s;

    waiter_start(&d, conf);
    int control = http_connect(&d);
    int closed = http_open(&d, DO("hold")), halved = http_open(&d, DO("hold") HELLO_REQUEST);
    int reset = http_open(&d, HELLO_REQUEST DO("hold")), stays = http_open(&d, DO("hold"));
    int timed = http_open(&d, DO("after"));
    wait_held(control, 4, 0);
    expect_answer(timed, "/do/after in time\n");
    close(closed);
    wait_held(control, 3, 1);
    shutdown(halved, SHUT_WR);
    wait_held(control, 2, 2);
    http_reset(reset);
    wait_held(control, 1, 3);
    http_wait_counts(control, 0, 2, 1, &s);
    release(control, "1 released\n");
    expect_answer(stays, "/do/hold released\n");
    http_wait_counts(control, 0, 1, 2, &s);
    close(halved);
    close(timed);
    close(stays);
    http_wait_counts(control, 0, 1, 0, &s);
    close(control);
    daemon_teardown(&d);
}
END_TEST

START_TEST(answers_to_old_clients_and_for_heads_are_as_ever)
{
    char value[32];

    waiter_start(&d, conf);
    int control = http_connect(&d);
    int old = http_open(&d, "GET /do/hold HTTP/1.0\r\n\r\n");
    int head = http_open(&d, "HEAD /do/hold HTTP/1.1\r\nHost: a\r\n\r\n");
    int last = http_open(&d, "GET /do/hold HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    wait_held(control, 3, 0);
    release(control, "3 released\n");
    expect_answer(old, "/do/hold released\n");
    ck_assert_int_eq(daemon_read_end(old, text, sizeof(text)), 0);
    expect_answer(last, "/do/hold released\n");
    ck_assert_int_eq(daemon_read_end(last, text, sizeof(text)), 0);
    ck_assert_int_eq(daemon_answer(head, text, sizeof(text), 1), 200);
    ck_assert_str_eq(http_field(text, "Content-Length", value, sizeof(value)), "18");
    http_send(head, HELLO_REQUEST);
    expect_answer(head, "hello");
    close(old);
    close(last);
    close(head);
    close(control);
    daemon_teardown(&d);
}
END_TEST

/* Asks until there is one to be released. */
static void
release_one(int control)
{
    do {
        http_send(control, DO("release"));
        ck_assert_int_eq(daemon_answer(control, text, sizeof(text), 0), 200);
    } while (strstr(text, "\r\n0 released\n") != NULL);
    ck_assert_ptr_nonnull(strstr(text, "\r\n1 released\n"));
}

START_TEST(each_request_is_counted_once)
{
    enum { TIMES = 20 };

    waiter_start(&d, conf);
    int control = http_connect(&d);
    for (int i = 0; i < TIMES; i++) {
        int fd = http_open(&d, HELLO_REQUEST DO("hold") DO("hold") HELLO_REQUEST);

        expect_answer(fd, "hello");
        release_one(control);
        expect_answer(fd, "/do/hold released\n");
        release_one(control);
        expect_answer(fd, "/do/hold released\n");
        expect_answer(fd, "hello");
        http_send(fd, DO("hold")); /* and this one is never answered */
        wait_held(control, 1, (unsigned) i);
        close(fd);
        wait_held(control, 0, (unsigned) i + 1);
    }
    close(control);
    waiter_wait_exact(&d, TIMES);
    ck_assert_double_eq(waiter_total(&d, "connections/accepts"), TIMES + 1);
    ck_assert_double_eq(waiter_total(&d, "connections/waiting"), 0);
    ck_assert_double_eq(waiter_total(&d, "http/refused"), 0);
    daemon_teardown(&d);
}
END_TEST

/* --- and the worker ends ------------------------------------------------------------------ */

START_TEST(old_worker_waits_for_an_answer)
{
    char value[32];

    waiter_start(
        &d, HTTP_MAIN("1") WAITER_LISTEN "keepalive_min_timeout = 60s\n" HTTP_STATUS WAITER);
    int control = http_connect(&d);
    int fd = http_open(&d, DO("hold"));
    wait_held(control, 1, 0);
    pid_t old = daemon_worker(&d);
    daemon_signal(&d, "reload");
    daemon_wait_log(&d, "worker 0 finishes 2 connections", 1);
    ck_assert_int_eq(daemon_get(&d, "/hello", text, sizeof(text)), 200); /* from the new one */
    release(control, "1 released\n"); /* from the old one, which knows this client */
    ck_assert_str_eq(http_field(text, "Connection", value, sizeof(value)), "close");
    expect_answer(fd, "/do/hold released\n");
    ck_assert_str_eq(http_field(text, "Connection", value, sizeof(value)), "close");
    close(fd);
    close(control);
    daemon_wait_process(&d, old);
    daemon_teardown(&d);
}
END_TEST

START_TEST(old_worker_waits_no_longer_than_it_may)
{
    waiter_start(
        &d, HTTP_MAIN("1") "worker_shutdown_timeout = 1s\n" WAITER_LISTEN HTTP_STATUS WAITER);
    int control = http_connect(&d);
    int fd = http_open(&d, DO("hold"));
    wait_held(control, 1, 0);
    close(control);
    daemon_signal(&d, "reload");
    daemon_wait_log(&d, "worker_shutdown_timeout is over, 1 connections closed", 1);
    ck_assert_int_eq(daemon_read_end(fd, text, sizeof(text)), 0);
    close(fd);
    daemon_teardown(&d); /* the handler was told, else there is an alert */
}
END_TEST

START_TEST(stopped_worker_waits_for_nobody)
{
    waiter_start(&d, conf);
    int control = http_connect(&d);
    int fd = http_open(&d, DO("hold")), timed = http_open(&d, HELLO_REQUEST DO("hold"));
    wait_held(control, 2, 0);
    daemon_signal(&d, "stop");
    daemon_wait_gone(&d);
    ck_assert_int_eq(daemon_read_end(fd, text, sizeof(text)), 0);
    close(fd);
    close(timed);
    close(control);
    daemon_teardown(&d);
}
END_TEST

int
main(void)
{
    Suite *s = suite_create("http later");
    TCase *tc = daemon_case(s, "later");

    tcase_add_test(tc, answer_comes_when_its_handler_has_it);
    tcase_add_test(tc, requests_behind_it_are_answered_behind_it);
    tcase_add_test(tc, more_behind_it_than_there_is_room_for_waits_in_the_socket);
    tcase_add_test(tc, client_that_goes_meanwhile_is_forgotten);
    tcase_add_test(tc, answers_to_old_clients_and_for_heads_are_as_ever);
    tcase_add_test(tc, each_request_is_counted_once);

    tc = daemon_case(s, "end");
    tcase_add_test(tc, old_worker_waits_for_an_answer);
    tcase_add_test(tc, old_worker_waits_no_longer_than_it_may);
    tcase_add_test(tc, stopped_worker_waits_for_nobody);
    return daemon_main(s);
}
