/*
 * rv_alive: whether a process lives.
 */
#include "rv_alive.h"

#include <check.h>
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

START_TEST(who_runs_or_is_stopped_lives)
{
    int status;

    errno = 77;
    ck_assert_int_eq(rv_alive(getpid()), 1);
    ck_assert_int_eq(rv_alive(1), 1); /* somebody else's, perhaps */

    pid_t child = fork();
    ck_assert_int_ne(child, -1);
    if (child == 0)
        for (;;)
            pause();
    ck_assert_int_eq(rv_alive(child), 1);
    ck_assert_int_eq(kill(child, SIGSTOP), 0);
    ck_assert_int_eq(waitpid(child, &status, WUNTRACED), child);
    ck_assert_int_eq(rv_alive(child), 1);
    ck_assert_int_eq(errno, 77);
    ck_assert_int_eq(kill(child, SIGKILL), 0);
    ck_assert_int_eq(waitpid(child, &status, 0), child);
}
END_TEST

START_TEST(zombie_does_not_live)
{
    siginfo_t info;
    int status;
    pid_t child = fork();

    ck_assert_int_ne(child, -1);
    if (child == 0)
        _exit(0);
    ck_assert_int_eq(waitid(P_PID, (id_t) child, &info, WEXITED | WNOWAIT), 0);
    if (access("/proc/self/stat", R_OK) == 0)
        ck_assert_int_eq(rv_alive(child), 0);
    ck_assert_int_eq(waitpid(child, &status, 0), child);
    ck_assert_int_eq(rv_alive(child), 0);
}
END_TEST

START_TEST(numbers_that_are_no_process_s_do_not_live)
{
    ck_assert_int_eq(rv_alive(0), 0);
    ck_assert_int_eq(rv_alive(-1), 0);
    ck_assert_int_eq(rv_alive(-getpgrp()), 0);
}
END_TEST

int
main(void)
{
    Suite *suite = suite_create("alive");
    TCase *tcase = tcase_create("alive");

    tcase_add_test(tcase, who_runs_or_is_stopped_lives);
    tcase_add_test(tcase, zombie_does_not_live);
    tcase_add_test(tcase, numbers_that_are_no_process_s_do_not_live);
    suite_add_tcase(suite, tcase);

    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
