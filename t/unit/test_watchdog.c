/*
 * rv_watchdog: the judgement, look after look, with a limit of two seconds.
 */
#include "rv_watchdog.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>

enum { LOOKS = 8, LIMIT = 2000 };

/* A worker that last beat before the first look; each look is this much after the one before. */
typedef struct {
    char state;
    int cpu;  /* ms used since the last look */
    int beat; /* it has beaten since */
    int passed;
} look_t;

static const struct {
    const char *what;
    unsigned hangs; /* at which look, from 1; 0: at none */
    look_t look[LOOKS];
} cases[] = {
    { "one that waits for clients", 0,
        { { 'S', 0, 1, 1000 }, { 'S', 0, 1, 1000 }, { 'S', 0, 1, 1000 }, { 'S', 0, 1, 1000 } } },
    { "one that has all the processor and goes on", 0,
        { { 'R', 1000, 1, 1000 }, { 'R', 1000, 1, 1000 }, { 'R', 1000, 1, 1000 } } },
    { "one that spins", 2, { { 'R', 1000, 0, 1000 }, { 'R', 1000, 0, 1000 } } },
    { "one that spins on half a processor", 4,
        { { 'R', 500, 0, 1000 }, { 'R', 500, 0, 1000 }, { 'R', 500, 0, 1000 },
            { 'R', 500, 0, 1000 } } },
    { "one that would run and gets no processor", 0,
        { { 'R', 0, 0, 1000 }, { 'R', 10, 0, 1000 }, { 'R', 0, 0, 1000 }, { 'R', 20, 0, 1000 },
            { 'R', 0, 0, 1000 }, { 'R', 0, 0, 1000 }, { 'R', 10, 0, 1000 }, { 'R', 0, 0, 1000 } } },
    { "one in a system call", 2, { { 'S', 0, 0, 1000 }, { 'S', 0, 0, 1000 } } },
    { "one at a disk", 2, { { 'D', 0, 0, 1000 }, { 'D', 0, 0, 1000 } } },
    { "one that spins in system calls", 3,
        { { 'S', 10, 0, 1000 }, { 'R', 10, 0, 1000 }, { 'S', 10, 0, 1000 } } },
    { "one that comes back in time", 0,
        { { 'S', 0, 0, 1000 }, { 'S', 0, 1, 1000 }, { 'S', 0, 0, 1000 }, { 'S', 0, 1, 1000 } } },
    { "one that is stopped", 0,
        { { 'T', 0, 0, 1000 }, { 'T', 0, 0, 1000 }, { 'T', 0, 0, 1000 }, { 'T', 0, 0, 1000 } } },
    { "one that a debugger has", 0,
        { { 't', 0, 0, 1000 }, { 't', 0, 0, 1000 }, { 't', 0, 0, 1000 }, { 't', 0, 0, 1000 } } },
    { "one that was stopped has all its time before it", 4,
        { { 'S', 0, 0, 1000 }, { 'T', 0, 0, 1000 }, { 'S', 0, 0, 1000 }, { 'S', 0, 0, 1000 } } },
    { "a machine that slept", 0, { { 'S', 0, 0, 1000 }, { 'S', 0, 0, 3600000 } } },
    { "and one that hung before and after", 3,
        { { 'S', 0, 0, 1000 }, { 'S', 0, 0, 3600000 }, { 'S', 0, 0, 1000 } } },
    { "a master that is always late", 0,
        { { 'S', 0, 0, 2500 }, { 'S', 0, 0, 2500 }, { 'S', 0, 0, 2500 }, { 'S', 0, 0, 2500 } } },
    { "a master that is a little late", 2, { { 'S', 0, 0, 1400 }, { 'S', 0, 0, 1400 } } },
    { "a spin that began before the first look", 2,
        { { 'R', 5000, 0, 1000 }, { 'R', 1000, 0, 1000 } } },
    { "nothing is known but that it does not beat", 2, { { 0, 0, 0, 1000 }, { 0, 0, 0, 1000 } } },
};

START_TEST(who_hangs_and_who_does_not)
{
    rv_watchdog_t w = { 0 };
    rv_watchdog_sight_t sight = { .beats = 7, .state = 'S', .cpu = 90000, .passed = 1000000 };
    unsigned hangs = 0;

    ck_assert_int_eq(rv_watchdog_judge(&w, &sight, LIMIT), 0);
    for (unsigned i = 0; i < LOOKS && cases[_i].look[i].passed > 0 && hangs == 0; i++) {
        const look_t *look = &cases[_i].look[i];

        sight.beats += (uint64_t) look->beat;
        sight.cpu += look->cpu;
        sight.state = look->state;
        sight.passed = look->passed;
        if (rv_watchdog_judge(&w, &sight, LIMIT))
            hangs = i + 1;
    }
    ck_assert_msg(hangs == cases[_i].hangs, "%s: hangs at look %u", cases[_i].what, hangs);
}
END_TEST

int
main(void)
{
    Suite *suite = suite_create("watchdog");
    TCase *tcase = tcase_create("watchdog");
    SRunner *runner = srunner_create(suite);

    tcase_add_loop_test(tcase, who_hangs_and_who_does_not, 0, (int) rv_countof(cases));
    suite_add_tcase(suite, tcase);

    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
