/*
 * rv_stats: what was counted before is counted on, in memory of another layout.
 *
 * After a reload that needs other definitions the old generation goes on
 * counting in its own memory until it is gone. The totals that are shown never
 * dip nor double, at no instruction of taking them over.
 */
#include "rv_stats.h"

#include <check.h>
#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define ROWS 3
#define MOST_STEPS 20000

#define COUNTER(name)              \
    {                              \
        name, RV_STATS_COUNTER, "" \
    }
#define GAUGE(name)              \
    {                            \
        name, RV_STATS_GAUGE, "" \
    }

static const rv_stats_def_t abc[] = { COUNTER("a"), COUNTER("b"), GAUGE("g"), { 0 } };
static const rv_stats_def_t more[] = { COUNTER("new"), COUNTER("a"), COUNTER("b"), GAUGE("g"),
    GAUGE("h"), { 0 } };
static const rv_stats_def_t fewer[] = { COUNTER("b"), { 0 } };
static const rv_stats_def_t reordered[] = { GAUGE("g"), COUNTER("b"), COUNTER("a"), { 0 } };
static const rv_stats_def_t other_kinds[] = { GAUGE("a"), COUNTER("b"), COUNTER("g"), { 0 } };

/* Memory of these definitions, shared with all children. */
static rv_stats_t *
stats_of(const rv_stats_def_t *def, unsigned rows)
{
    rv_stats_defs_t defs = { 0 };

    ck_assert_int_eq(rv_stats_define(&defs, "m", def), RV_OK);
    void *memory = mmap(NULL, rv_stats_size(&defs, rows), PROT_READ | PROT_WRITE,
        MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    ck_assert_ptr_ne(memory, MAP_FAILED);
    rv_stats_t *st = rv_stats_create(memory, &defs, rows);
    ck_assert_ptr_nonnull(st);
    return st;
}

static void
own(rv_stats_t *st, unsigned slot)
{
    const rv_stats_owner_t owner = { .slot = slot, .pid = 100 };

    ck_assert_int_eq(rv_stats_prepare(st, slot), RV_OK);
    ck_assert_int_eq(rv_stats_set_owner(st, &owner), RV_OK);
    rv_stats_own(st, slot);
}

static void
add(rv_stats_t *st, const char *name, int64_t delta)
{
    int index = rv_stats_find(st, "m", name);

    ck_assert_int_ge(index, 0);
    rv_stats_apply(st, &(rv_stats_change_t){ (unsigned) index, delta }, 1);
}

/* UINT64_MAX: there is no such value. */
static uint64_t
total(const rv_stats_t *st, const char *name)
{
    uint64_t values[RV_STATS_MAX];
    int index = rv_stats_find(st, "m", name);

    rv_stats_snapshot(st, values);
    return index < 0 ? UINT64_MAX : values[index];
}

#define NONE UINT64_MAX

static void
assert_totals(const rv_stats_t *st, uint64_t a, uint64_t b, uint64_t g)
{
    ck_assert_uint_eq(total(st, "a"), a);
    ck_assert_uint_eq(total(st, "b"), b);
    ck_assert_uint_eq(total(st, "g"), g);
}

/* Slot 1 counts, slot 0 has counted. */
static rv_stats_t *
old_stats(void)
{
    rv_stats_t *old = stats_of(abc, ROWS);

    own(old, 0);
    add(old, "a", 100);
    add(old, "g", 1);
    ck_assert_int_eq(rv_stats_fold(old, 0), RV_OK);
    own(old, 1);
    add(old, "a", 7);
    add(old, "b", 3);
    add(old, "g", 2);
    return old;
}

static const struct {
    const rv_stats_def_t *def;
    uint64_t a, b, g;    /* while the old generation is there */
    uint64_t a2, b2, g2; /* when it is gone */
} layouts[] = {
    { abc, 107, 3, 2, 107, 3, 0 },
    { more, 107, 3, 2, 107, 3, 0 },
    { reordered, 107, 3, 2, 107, 3, 0 },
    { fewer, NONE, 3, NONE, NONE, 3, NONE },
    { other_kinds, 0, 3, 0, 0, 3, 0 },
};

START_TEST(totals_are_matched_by_name_before_and_after)
{
    rv_stats_t *old = old_stats(), *st = stats_of(layouts[_i].def, ROWS + 2);

    rv_stats_succeed(st, old);
    assert_totals(st, layouts[_i].a, layouts[_i].b, layouts[_i].g);

    ck_assert_int_eq(rv_stats_fold(old, 1), RV_OK);
    assert_totals(st, layouts[_i].a2, layouts[_i].b2, layouts[_i].g2);
    ck_assert_int_eq(rv_stats_retire(st, old), RV_OK);
    assert_totals(st, layouts[_i].a2, layouts[_i].b2, layouts[_i].g2);

    /* what happens to the old memory is no matter any more */
    own(old, 1);
    add(old, "b", 1000);
    assert_totals(st, layouts[_i].a2, layouts[_i].b2, layouts[_i].g2);
    rv_stats_free(old);
    rv_stats_free(st);
}
END_TEST

START_TEST(both_generations_count_on_side_by_side)
{
    rv_stats_t *old = old_stats(), *st = stats_of(more, ROWS);

    rv_stats_succeed(st, old);
    own(st, 2);
    for (unsigned i = 1; i <= 20; i++) {
        add(old, "a", 1);
        add(st, "a", 1);
        add(st, "g", 1);
        add(st, "new", 1);
        assert_totals(st, 107 + 2 * i, 3, 2 + i);
        ck_assert_uint_eq(total(st, "new"), i);
    }
    ck_assert_int_eq(rv_stats_fold(old, 1), RV_OK);
    assert_totals(st, 147, 3, 20);
    ck_assert_int_eq(rv_stats_retire(st, old), RV_OK);
    add(st, "a", 1);
    assert_totals(st, 148, 3, 20);
    ck_assert_int_eq(rv_stats_fold(st, 2), RV_OK);
    assert_totals(st, 148, 3, 0);
    rv_stats_free(old);
    rv_stats_free(st);
}
END_TEST

START_TEST(only_the_predecessor_is_retired_and_only_once)
{
    rv_stats_t *old = old_stats(), *other = old_stats(), *st = stats_of(abc, ROWS);

    ck_assert_int_eq(rv_stats_retire(st, NULL), RV_DONE);
    ck_assert_int_eq(rv_stats_retire(st, old), RV_DONE);
    assert_totals(st, 0, 0, 0);

    rv_stats_succeed(st, old);
    ck_assert_int_eq(rv_stats_retire(st, other), RV_DONE);
    ck_assert_int_eq(rv_stats_retire(st, NULL), RV_DONE);
    assert_totals(st, 107, 3, 2);
    ck_assert_int_eq(rv_stats_fold(old, 1), RV_OK);
    ck_assert_int_eq(rv_stats_retire(st, old), RV_OK);
    ck_assert_int_eq(rv_stats_retire(st, old), RV_DONE);
    assert_totals(st, 107, 3, 0);
    rv_stats_free(old);
    rv_stats_free(other);
    rv_stats_free(st);
}
END_TEST

/* Two reloads before the first generation is gone. */
START_TEST(chain_of_generations_is_one_sum)
{
    rv_stats_t *first = old_stats(), *second = stats_of(more, ROWS), *third = stats_of(abc, ROWS);

    rv_stats_succeed(second, first);
    rv_stats_succeed(third, second);
    own(second, 2);
    add(second, "a", 10);
    add(second, "g", 5);
    own(third, 0);
    add(third, "a", 1);
    assert_totals(third, 118, 3, 7);

    ck_assert_int_eq(rv_stats_fold(first, 1), RV_OK);
    assert_totals(third, 118, 3, 5);
    ck_assert_int_eq(rv_stats_retire(second, first), RV_OK);
    assert_totals(third, 118, 3, 5);
    ck_assert_int_eq(rv_stats_fold(second, 2), RV_OK);
    ck_assert_int_eq(rv_stats_retire(third, second), RV_OK);
    assert_totals(third, 118, 3, 0);
    rv_stats_free(first);
    rv_stats_free(second);
    rv_stats_free(third);
}
END_TEST

/* --- in other processes ------------------------------------------------------------------ */

static rv_stats_t *old, *successor;

static pid_t
spawn(void (*body)(void))
{
    pid_t pid = fork();

    ck_assert_int_ne(pid, -1);
    if (pid == 0) {
        body();
        _exit(0);
    }
    return pid;
}

static void
kill_it(pid_t pid)
{
    int status;

    ck_assert_int_eq(kill(pid, SIGKILL), 0);
    ck_assert_int_eq(waitpid(pid, &status, 0), pid);
    ck_assert_msg(WIFSIGNALED(status), "it had exited before");
}

/* Shared with a child: it is done, or has looked so often. */
static volatile int *done;

static void
make_shared(void)
{
    done = mmap(NULL, sizeof(*done), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    ck_assert_ptr_ne((void *) done, MAP_FAILED);
}

/* A worker of the new generation: it was told of its predecessor, but not of the end of that. */
static void
watch_totals(void)
{
    for (;; ++*done) {
        if (total(successor, "a") != 107 || total(successor, "b") != 3)
            _exit(EXIT_FAILURE);
    }
}

static void
wait_for_looks(pid_t pid, int number)
{
    for (int wanted = *done + number; *done < wanted;) {
        ck_assert_msg(waitpid(pid, NULL, WNOHANG) == 0, "the totals did not stand still");
        nanosleep(&(struct timespec){ .tv_nsec = 5000000 }, NULL);
    }
}

START_TEST(worker_that_watches_sees_totals_stand_still)
{
    enum { ROUNDS = 10 };

    make_shared();
    for (int round = 0; round < ROUNDS; round++) {
        old = old_stats();
        successor = stats_of(more, ROWS);
        rv_stats_succeed(successor, old);
        pid_t pid = spawn(watch_totals);

        wait_for_looks(pid, 3);
        ck_assert_int_eq(rv_stats_fold(old, 1), RV_OK);
        ck_assert_int_eq(rv_stats_retire(successor, old), RV_OK);
        own(successor, 0);
        wait_for_looks(pid, 3);
        ck_assert_int_eq(rv_stats_fold(successor, 0), RV_OK);
        wait_for_looks(pid, 3);
        kill_it(pid);
        rv_stats_free(old);
        rv_stats_free(successor);
    }
}
END_TEST

static void
retire_stepped(void)
{
    if (ptrace(PTRACE_TRACEME, 0, NULL, NULL) == -1)
        _exit(errno);
    raise(SIGSTOP);
    if (rv_stats_retire(successor, old) != RV_OK)
        _exit(1);
    *done = 1;
}

static pid_t
start_retiring(void)
{
    int status;

    *done = 0;
    pid_t pid = spawn(retire_stepped);
    ck_assert_int_eq(waitpid(pid, &status, 0), pid);
    ck_assert_msg(WIFSTOPPED(status), "tracing a child failed (%d: %s)", WEXITSTATUS(status),
        strerror(WEXITSTATUS(status)));
    return pid;
}

static int
step(pid_t pid)
{
    int status;

    ck_assert_int_eq(ptrace(PTRACE_SINGLESTEP, pid, NULL, NULL), 0);
    ck_assert_int_eq(waitpid(pid, &status, 0), pid);
    ck_assert(WIFSTOPPED(status) && WSTOPSIG(status) == SIGTRAP);
    return !*done;
}

/* With one value, so that there are few instructions to be killed at. */
static void
make_generations(void)
{
    static const rv_stats_def_t one[] = { COUNTER("a"), { 0 } };

    rv_stats_free(old);
    rv_stats_free(successor);
    old = stats_of(one, 1);
    successor = stats_of(one, 1);
    own(old, 0);
    add(old, "a", 7);
    ck_assert_int_eq(rv_stats_fold(old, 0), RV_OK);
    rv_stats_succeed(successor, old);
    own(successor, 0);
    add(successor, "a", 1);
}

/* Each stop is looked at; killed it is at every `stride`th. */
START_TEST(master_killed_anywhere_while_it_retires_doubles_nothing)
{
    enum { RUNS = 100 };
    cpu_set_t cpu; /* on one processor the steps take half the time */
    int steps = 0;

    CPU_ZERO(&cpu);
    CPU_SET(sched_getcpu(), &cpu);
    (void) sched_setaffinity(0, sizeof(cpu), &cpu);
    make_shared();
    make_generations();
    pid_t pid = start_retiring();
    for (; step(pid); steps++) {
        ck_assert_uint_eq(total(successor, "a"), 8);
        ck_assert_int_lt(steps, MOST_STEPS);
    }
    kill_it(pid);

    for (int at = 0; at <= steps + 1; at += 1 + steps / RUNS) {
        make_generations();
        pid = start_retiring();
        for (int i = 0; i < at && step(pid); i++)
            continue;
        kill_it(pid);

        ck_assert_msg(total(successor, "a") == 8, "killed after %d instructions", at);
        ck_assert_int_eq(rv_stats_retire(successor, old), RV_OK);
        ck_assert_msg(total(successor, "a") == 8, "retired again after %d instructions", at);
        ck_assert_int_eq(rv_stats_fold(successor, 0), RV_OK);
        ck_assert_msg(total(successor, "a") == 8, "folded after %d instructions", at);
    }
}
END_TEST

static Suite *
stats_succeed_suite(void)
{
    Suite *suite = suite_create("stats_succeed");
    TCase *tcase = tcase_create("stats_succeed");

    tcase_set_timeout(tcase, 120);
    tcase_add_loop_test(
        tcase, totals_are_matched_by_name_before_and_after, 0, (int) rv_countof(layouts));
    tcase_add_test(tcase, both_generations_count_on_side_by_side);
    tcase_add_test(tcase, only_the_predecessor_is_retired_and_only_once);
    tcase_add_test(tcase, chain_of_generations_is_one_sum);
    tcase_add_test(tcase, worker_that_watches_sees_totals_stand_still);
    tcase_add_test(tcase, master_killed_anywhere_while_it_retires_doubles_nothing);

    suite_add_tcase(suite, tcase);
    return suite;
}

int
main(void)
{
    SRunner *runner = srunner_create(stats_succeed_suite());

    srunner_run_all(runner, CK_NORMAL);

    int failed = srunner_ntests_failed(runner);

    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
