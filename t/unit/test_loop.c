/*
 * rv_loop: one step at a time, watches, forks.
 */
#include "rv_loop.h"

#include "descriptors.h"
#include "rv_fd.h"
#include "rv_log.h"

#include <check.h>
#include <errno.h>
#include <grp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

static rv_loop_t *loop;
static int calls;      /* of any callback */
static short happened; /* what it was called for */

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

static void
on_ready(int fd, short what, void *data)
{
    ck_assert_int_eq(fd, *(int *) data);
    happened = what;
    calls++;
}

static void
on_byte(int fd, RV_UNUSED short what, RV_UNUSED void *data)
{
    char byte;

    ck_assert_int_eq(read(fd, &byte, 1), 1);
    calls++;
}

START_TEST(step_ends_at_its_limit)
{
    int64_t begin = rv_loop_now();

    ck_assert_int_eq(rv_loop_once(loop, 50), RV_OK);
    ck_assert_int_ge(rv_loop_now() - begin, 45); /* a clock of milliseconds, rounded */
    ck_assert_int_eq(rv_loop_once(loop, 0), RV_OK);
    ck_assert_int_lt(rv_loop_now() - begin, 60 * 1000);
}
END_TEST

START_TEST(what_happens_ends_the_step)
{
    int fds[2];

    ck_assert_int_eq(rv_fd_pipe(fds), RV_OK);
    rv_loop_watch_t *watch = rv_loop_watch(loop, fds[0], RV_LOOP_READ, on_byte, NULL);
    ck_assert_ptr_nonnull(watch);
    ck_assert_int_eq(rv_loop_once(loop, 0), RV_OK);
    ck_assert_int_eq(calls, 0);

    ck_assert_int_eq(write(fds[1], "xy", 2), 2);
    ck_assert_int_eq(rv_loop_once(loop, 3600 * 1000), RV_OK);
    ck_assert_int_eq(calls, 1);
    ck_assert_int_eq(rv_loop_once(loop, -1), RV_OK); /* again: there is more */
    ck_assert_int_eq(calls, 2);
    ck_assert_int_eq(rv_loop_once(loop, 0), RV_OK); /* and the hour has been forgotten */
    ck_assert_int_eq(rv_loop_once(loop, 20), RV_OK);
    ck_assert_int_eq(calls, 2);

    rv_loop_unwatch(watch);
    rv_fd_close(&fds[0]);
    rv_fd_close(&fds[1]);
}
END_TEST

static void
on_timer(RV_UNUSED int fd, RV_UNUSED short what, void *data)
{
    *(int *) data = 1;
}

static void
on_beat(int fd, RV_UNUSED short what, RV_UNUSED void *data)
{
    ck_assert_int_eq(fd, -1);
    calls++;
}

START_TEST(a_beat_ends_steps_again_and_again)
{
    rv_loop_watch_t *beat = rv_loop_every(loop, 5, on_beat, NULL);

    ck_assert_ptr_nonnull(beat);
    for (int i = 1; i <= 3; i++) {
        ck_assert_int_eq(rv_loop_once(loop, -1), RV_OK);
        ck_assert_int_eq(calls, i);
    }
    rv_loop_unwatch(beat);
    ck_assert_int_eq(rv_loop_once(loop, 20), RV_OK);
    ck_assert_int_eq(calls, 3);
}
END_TEST

START_TEST(limit_is_of_one_step_only)
{
    const struct timeval late = { 0, 80 * 1000 };
    int fds[2], over = 0;

    ck_assert_int_eq(rv_fd_pipe(fds), RV_OK);
    rv_loop_watch_t *watch = rv_loop_watch(loop, fds[0], RV_LOOP_READ, on_byte, NULL);
    ck_assert_int_eq(
        event_base_once(rv_loop_base(loop), -1, EV_TIMEOUT, on_timer, &over, &late), 0);
    ck_assert_int_eq(write(fds[1], "x", 1), 1);
    ck_assert_int_eq(rv_loop_once(loop, 20), RV_OK);
    ck_assert_int_eq(calls, 1);

    ck_assert_int_eq(rv_loop_once(loop, -1), RV_OK); /* the 20 ms have no part in it */
    ck_assert_int_eq(over, 1);
    rv_loop_unwatch(watch);
    rv_fd_close(&fds[0]);
    rv_fd_close(&fds[1]);
}
END_TEST

START_TEST(watch_says_what_for)
{
    int fds[2];

    ck_assert_int_eq(rv_fd_socketpair(SOCK_STREAM, fds), RV_OK);
    rv_loop_watch_t *watch = rv_loop_watch(loop, fds[0], RV_LOOP_WRITE, on_ready, &fds[0]);

    ck_assert_int_eq(rv_loop_once(loop, -1), RV_OK);
    ck_assert_int_eq(happened, RV_LOOP_WRITE);
    rv_loop_unwatch(watch);

    watch = rv_loop_watch(loop, fds[0], RV_LOOP_READ, on_ready, &fds[0]);
    rv_fd_close(&fds[1]); /* the end is something to read, too */
    ck_assert_int_eq(rv_loop_once(loop, -1), RV_OK);
    ck_assert_int_eq(happened, RV_LOOP_READ);
    rv_loop_unwatch(watch);
    rv_fd_close(&fds[0]);
}
END_TEST

START_TEST(unwatched_descriptor_is_silent)
{
    int fds[2];

    ck_assert_int_eq(rv_fd_pipe(fds), RV_OK);
    rv_loop_watch_t *watch = rv_loop_watch(loop, fds[0], RV_LOOP_READ, on_byte, NULL);

    ck_assert_int_eq(write(fds[1], "x", 1), 1);
    rv_loop_unwatch(watch);
    rv_loop_unwatch(NULL);
    ck_assert_int_eq(rv_loop_once(loop, 10), RV_OK);
    ck_assert_int_eq(calls, 0);
    rv_fd_close(&fds[0]);
    rv_fd_close(&fds[1]);
}
END_TEST

START_TEST(each_method_that_is_listed_works)
{
    enum { MANY = 16 };
    char name[MANY][32];
    size_t n = 0;

    for (const char **method = rv_loop_methods(); *method != NULL && n < MANY; method++)
        snprintf(name[n++], sizeof(name[0]), "%s", *method);
    ck_assert_uint_gt(n, 0);

    for (size_t i = 0; i < n; i++) {
        ck_assert_int_eq(rv_loop_has_method(name[i]), 1);
        rv_loop_t *one = rv_loop_create(name[i]);
        ck_assert_ptr_nonnull(one);
        ck_assert_str_eq(event_base_get_method(rv_loop_base(one)), name[i]);
        ck_assert_int_eq(rv_loop_once(one, 0), RV_OK);
        rv_loop_destroy(one);
    }
}
END_TEST

START_TEST(method_that_is_not_there_is_no_loop)
{
    ck_assert_int_eq(rv_loop_has_method("none"), 0);
    ck_assert_int_eq(rv_loop_has_method(""), 0);
    ck_assert_int_eq(rv_loop_has_method("epol"), 0);
    rv_log_terminal(RV_LOG_NONE);
    rv_loop_log();
    ck_assert_ptr_null(rv_loop_create("none"));
}
END_TEST

START_TEST(loop_leaves_no_descriptor)
{
    int before = descriptors_open();
    rv_loop_t *one = rv_loop_create(NULL);

    ck_assert_int_eq(rv_loop_once(one, 0), RV_OK);
    rv_loop_destroy(one);
    ck_assert_int_eq(descriptors_open(), before);
}
END_TEST

/* --- fork ------------------------------------------------------------------------ */

/* In the child: takes the parent's loop apart, as a worker does. 0, or what is wrong. */
static int
take_apart(rv_loop_watch_t *watch, int fd)
{
    if (rv_loop_reinit(loop) != RV_OK)
        return 1;
    rv_loop_unwatch(watch);
    close(fd);
    rv_loop_destroy(loop);

    rv_loop_t *own = rv_loop_create(NULL);
    if (own == NULL || rv_loop_once(own, 0) != RV_OK)
        return 2;
    rv_loop_destroy(own);
    return 0;
}

START_TEST(child_that_takes_the_loop_apart_takes_nothing_from_its_parent)
{
    int fds[2], status;

    ck_assert_int_eq(rv_fd_pipe(fds), RV_OK);
    rv_loop_watch_t *watch = rv_loop_watch(loop, fds[0], RV_LOOP_READ, on_byte, NULL);
    ck_assert_int_eq(rv_loop_once(loop, 0), RV_OK);

    pid_t pid = fork();
    ck_assert_int_ne(pid, -1);
    if (pid == 0)
        _exit(take_apart(watch, fds[0]));
    ck_assert_int_eq(waitpid(pid, &status, 0), pid);
    ck_assert_msg(status == 0, "status %#x", status);

    ck_assert_int_eq(write(fds[1], "x", 1), 1);
    ck_assert_int_eq(rv_loop_once(loop, 60 * 1000), RV_OK);
    ck_assert_int_eq(calls, 1);
    rv_loop_unwatch(watch);
    rv_fd_close(&fds[0]);
    rv_fd_close(&fds[1]);
}
END_TEST

static Suite *
loop_suite(void)
{
    Suite *suite = suite_create("loop");
    TCase *tcase = tcase_create("loop");

    tcase_set_timeout(tcase, 120);
    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_add_test(tcase, step_ends_at_its_limit);
    tcase_add_test(tcase, what_happens_ends_the_step);
    tcase_add_test(tcase, a_beat_ends_steps_again_and_again);
    tcase_add_test(tcase, limit_is_of_one_step_only);
    tcase_add_test(tcase, watch_says_what_for);
    tcase_add_test(tcase, unwatched_descriptor_is_silent);
    tcase_add_test(tcase, each_method_that_is_listed_works);
    tcase_add_test(tcase, method_that_is_not_there_is_no_loop);
    tcase_add_test(tcase, loop_leaves_no_descriptor);
    tcase_add_test(tcase, child_that_takes_the_loop_apart_takes_nothing_from_its_parent);
    suite_add_tcase(suite, tcase);
    return suite;
}

int
main(void)
{
    SRunner *runner = srunner_create(loop_suite());

    srunner_run_all(runner, CK_NORMAL);

    int failed = srunner_ntests_failed(runner);

    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
