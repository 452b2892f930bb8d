/*
 * rv_proc_stat: lines as the kernel writes them, and real processes.
 */
#include "rv_proc_stat.h"

#include <check.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#define REST " 4711 4711 0 -1 4194560 70 0 1 0"

static const struct {
    const char *text;
    char state; /* 0: it is none */
    int64_t cpu;
} lines[] = {
    { "4712 (reeve) S 4711" REST " 12 3 0 0 20 0 1 0 4 5 6\n", 'S', 150 },
    { "4712 (reeve) R 4711" REST " 0 0 0 0 20 0 1 0 4 5 6\n", 'R', 0 },
    { "1 (a) R (b) D 4711" REST " 100000000 1 0 0 20\n", 'D', 1000000010 },
    { "1 (\n) t 0" REST " 1 1 0", 't', 20 },
    { "", 0, 0 },
    { "4712 (reeve", 0, 0 },
    { "4712 (reeve)", 0, 0 },
    { "4712 (reeve) S 4711 1 2 3", 0, 0 },
    { "4712 (reeve) S 4711" REST " 12", 0, 0 },
    { "4712 (reeve) S 4711" REST " many 3", 0, 0 },
};

START_TEST(a_line_of_the_kernel)
{
    rv_proc_stat_t stat;
    int result = rv_proc_stat_parse(lines[_i].text, 100, &stat);

    ck_assert_int_eq(result, lines[_i].state != 0 ? RV_OK : RV_ERROR);
    if (result == RV_OK) {
        ck_assert_int_eq(stat.state, lines[_i].state);
        ck_assert_int_eq(stat.cpu, lines[_i].cpu);
    }
}
END_TEST

START_TEST(ticks_are_what_they_are)
{
    rv_proc_stat_t stat;

    ck_assert_int_eq(rv_proc_stat_parse(lines[0].text, 1000, &stat), RV_OK);
    ck_assert_int_eq(stat.cpu, 15);
    ck_assert_int_eq(rv_proc_stat_parse(lines[0].text, -1, &stat), RV_ERROR);
}
END_TEST

START_TEST(processes_as_they_are)
{
    rv_proc_stat_t stat, later;
    int status;

    if (access("/proc/self/stat", R_OK) != 0)
        return;
    ck_assert_int_eq(rv_proc_stat_read(getpid(), &stat), RV_OK);
    ck_assert_int_eq(stat.state, 'R');
    do
        ck_assert_int_eq(rv_proc_stat_read(getpid(), &later), RV_OK);
    while (later.cpu <= stat.cpu);

    pid_t child = fork();
    ck_assert_int_ne(child, -1);
    if (child == 0)
        for (;;)
            pause();
    ck_assert_int_eq(kill(child, SIGSTOP), 0);
    ck_assert_int_eq(waitpid(child, &status, WUNTRACED), child);
    ck_assert_int_eq(rv_proc_stat_read(child, &stat), RV_OK);
    ck_assert_int_eq(stat.state, 'T');
    ck_assert_int_eq(kill(child, SIGKILL), 0);
    ck_assert_int_eq(waitpid(child, &status, 0), child);
    ck_assert_int_eq(rv_proc_stat_read(child, &stat), RV_ERROR);
}
END_TEST

int
main(void)
{
    Suite *suite = suite_create("proc_stat");
    TCase *tcase = tcase_create("proc_stat");
    SRunner *runner = srunner_create(suite);

    tcase_set_timeout(tcase, 60);
    tcase_add_loop_test(tcase, a_line_of_the_kernel, 0, (int) rv_countof(lines));
    tcase_add_test(tcase, ticks_are_what_they_are);
    tcase_add_test(tcase, processes_as_they_are);
    suite_add_tcase(suite, tcase);

    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
