/*
 * rv_loop: channels that empty themselves.
 */
#include "rv_loop.h"

#include "rv_fd.h"

#include <check.h>
#include <errno.h>
#include <grp.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#define KEY 7

static rv_loop_t *loop;

static void
setup(void)
{
    loop = rv_loop_create(NULL);
    ck_assert_ptr_nonnull(loop);
}

static void
teardown(void)
{
    rv_loop_destroy(loop);
}

static rv_channel_t *from, *to;

static void
open_pair(void)
{
    int fds[2], small = 8192;

    ck_assert_int_eq(rv_channel_pair(NULL, fds), RV_OK);
    ck_assert_int_eq(setsockopt(fds[0], SOL_SOCKET, SO_SNDBUF, &small, sizeof(small)), 0);
    from = rv_channel_create(NULL, fds[0]);
    to = rv_channel_create(NULL, fds[1]);
    ck_assert_ptr_nonnull(from);
    ck_assert_ptr_nonnull(to);
}

static void
close_pair(void)
{
    rv_loop_unwatch_channel(from);
    rv_loop_unwatch_channel(to);
    rv_channel_destroy(from);
    rv_channel_destroy(to);
}

/* Until some wait; how many were sent. */
static unsigned
send_many(void)
{
    static const char data[4000];
    rv_message_t msg = { .type = 70, .length = sizeof(data), .data = data, .fd = -1 };
    unsigned n = 0;

    while (rv_channel_counts(from)->queued < 20 * sizeof(data)) {
        ck_assert_int_eq(rv_channel_send(from, &msg), RV_OK);
        n++;
    }
    msg.key = KEY;
    ck_assert_int_eq(rv_channel_send(from, &msg), RV_OK);
    return n + 1;
}

static void
on_message(int fd, RV_UNUSED short what, void *data)
{
    rv_message_t msg;

    ck_assert_int_eq(fd, rv_channel_fd(to));
    while (rv_channel_receive(to, &msg) == RV_OK)
        (*(unsigned *) data)++;
}

START_TEST(watched_channel_empties_its_queue)
{
    unsigned received = 0;

    open_pair();
    ck_assert_int_eq(rv_loop_watch_channel(loop, from, NULL, NULL), RV_OK);
    ck_assert_int_eq(rv_loop_watch_channel(loop, to, on_message, &received), RV_OK);
    for (int round = 0; round < 3; round++) {
        unsigned sent = send_many();

        received = 0;
        while (received < sent)
            ck_assert_int_eq(rv_loop_once(loop, 60 * 1000), RV_OK);
        ck_assert_int_eq(rv_loop_once(loop, 0), RV_OK);
        ck_assert_uint_eq(received, sent);
        ck_assert_int_eq(rv_channel_is_waiting(from, KEY), 0);
    }
    close_pair();
}
END_TEST

START_TEST(channel_with_a_queue_may_be_watched_later)
{
    unsigned received = 0;

    open_pair();
    unsigned sent = send_many();
    ck_assert_int_eq(rv_loop_watch_channel(loop, from, NULL, NULL), RV_OK);
    ck_assert_int_eq(rv_loop_watch_channel(loop, to, on_message, &received), RV_OK);
    for (int left = 200; received < sent && left > 0; left--)
        ck_assert_int_eq(rv_loop_once(loop, 1), RV_OK);
    ck_assert_uint_eq(received, sent);
    close_pair();
}
END_TEST

START_TEST(channel_that_nothing_waits_in_costs_no_step)
{
    open_pair();
    ck_assert_int_eq(rv_loop_watch_channel(loop, from, NULL, NULL), RV_OK);
    int64_t begin = rv_loop_now();

    ck_assert_int_eq(rv_loop_once(loop, 30), RV_OK);
    ck_assert_int_ge(rv_loop_now() - begin, 25);
    close_pair();
}
END_TEST

START_TEST(queue_to_nobody_is_given_up_and_not_tried_for_ever)
{
    open_pair();
    ck_assert_int_eq(rv_loop_watch_channel(loop, from, NULL, NULL), RV_OK);
    (void) send_many();
    rv_channel_destroy(to);
    to = NULL;
    ck_assert_int_eq(rv_loop_once(loop, 60 * 1000), RV_OK);
    ck_assert_int_eq(rv_channel_is_waiting(from, KEY), 0);

    int64_t begin = rv_loop_now();
    ck_assert_int_eq(rv_loop_once(loop, 30), RV_OK);
    ck_assert_int_ge(rv_loop_now() - begin, 25);
    close_pair();
}
END_TEST

enum { NOBODY = 65534, FEW = 64, WAITING = 10 };

/* Of somebody whom the kernel limits: sends descriptors until some wait. How many, or -1. */
static int
pass_too_many(void)
{
    const struct rlimit limit = { FEW, FEW };
    const rv_message_t msg = { .type = 70, .fd = rv_channel_fd(to) };
    int n = 0;

    if (geteuid() == 0
        && (setgroups(0, NULL) == -1 || setgid(NOBODY) == -1 || setuid(NOBODY) == -1))
        return -1;
    if (setrlimit(RLIMIT_NOFILE, &limit) == -1)
        return -1;
    for (; rv_channel_counts(from)->waiting < WAITING; n++) {
        if (rv_channel_send(from, &msg) != RV_OK)
            return -1;
    }
    return n;
}

/* 0, or what went wrong. */
static int
wait_for_a_way(void)
{
    rv_message_t msg;
    int sent = pass_too_many(), received = 0, steps = 0;

    loop = rv_loop_create(NULL);
    if (sent == -1 || rv_loop_watch_channel(loop, from, NULL, NULL) != RV_OK)
        return 1;
    for (int64_t until = rv_loop_now() + 100; rv_loop_now() < until; steps++)
        (void) rv_loop_once(loop, 10);
    if (steps > 50) /* it is a few in 100 ms, or as many as the processor can */
        return 2;

    while (received < sent) {
        if (rv_channel_receive(to, &msg) == RV_OK) {
            received += msg.fd != -1;
            close(msg.fd);
        } else if (rv_loop_once(loop, 60 * 1000) != RV_OK) {
            return 3;
        }
    }
    return rv_channel_counts(from)->waiting == 0 ? 0 : 4;
}

START_TEST(descriptors_that_are_too_many_wait_without_a_busy_loop)
{
    int large = 1024 * 1024, status;

    open_pair();
    (void) setsockopt(rv_channel_fd(from), SOL_SOCKET, SO_SNDBUF, &large, sizeof(large));

    pid_t pid = fork();
    ck_assert_int_ne(pid, -1);
    if (pid == 0)
        _exit(wait_for_a_way());
    ck_assert_int_eq(waitpid(pid, &status, 0), pid);
    ck_assert_msg(WIFEXITED(status) && WEXITSTATUS(status) == 0, "status %#x", status);
    close_pair();
}
END_TEST

START_TEST(unwatched_channel_is_silent)
{
    unsigned received = 0;

    open_pair();
    rv_loop_unwatch_channel(NULL);
    rv_loop_unwatch_channel(from); /* which never was watched */
    ck_assert_int_eq(rv_loop_watch_channel(loop, from, NULL, NULL), RV_OK);
    ck_assert_int_eq(rv_loop_watch_channel(loop, to, on_message, &received), RV_OK);
    rv_loop_unwatch_channel(to);
    (void) send_many();
    ck_assert_int_eq(rv_loop_once(loop, 10), RV_OK);
    ck_assert_uint_eq(received, 0);

    rv_loop_unwatch_channel(from);
    (void) send_many();
    ck_assert_int_eq(rv_channel_is_waiting(from, KEY), 1);
    ck_assert_int_eq(rv_loop_once(loop, 10), RV_OK);
    close_pair();
}
END_TEST

int
main(void)
{
    Suite *suite = suite_create("loop_channel");
    TCase *tcase = tcase_create("loop_channel");

    tcase_set_timeout(tcase, 120);
    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_add_test(tcase, watched_channel_empties_its_queue);
    tcase_add_test(tcase, channel_with_a_queue_may_be_watched_later);
    tcase_add_test(tcase, channel_that_nothing_waits_in_costs_no_step);
    tcase_add_test(tcase, queue_to_nobody_is_given_up_and_not_tried_for_ever);
    tcase_add_test(tcase, descriptors_that_are_too_many_wait_without_a_busy_loop);
    tcase_add_test(tcase, unwatched_channel_is_silent);
    suite_add_tcase(suite, tcase);

    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
