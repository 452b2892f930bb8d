/*
 * rv_stats, an instruction at a time: whoever is stopped or killed, wherever
 * it is, a transaction and a fold are there as a whole or not at all.
 *
 * The process under test is single-stepped: it stands still after each of its
 * instructions, while the test looks at the memory as an operator's reader
 * would. What its death leaves depends on the shared memory and on the list of
 * locks that the kernel looks through then; so it is killed once after every
 * instruction that has changed one of these, in a run of its own each.
 */
#include "rv_stats.h"

#include <check.h>
#include <errno.h>
#include <linux/futex.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define ROWS 3
#define MEMORY_SIZE 16384
#define MOST_STEPS 20000
#define MOST_CHANGES 400
#define LOCK_WORDS (sizeof(struct robust_list_head) / sizeof(long))

static const rv_stats_def_t all_defs[] = {
    { "accepts", RV_STATS_COUNTER, "" },
    { "requests", RV_STATS_COUNTER, "" },
    { "reading", RV_STATS_GAUGE, "" },
    { "waiting", RV_STATS_GAUGE, "" },
    { 0 },
};

enum { ACCEPTS, REQUESTS, READING, WAITING, VALUES };

typedef struct {
    uint64_t value[VALUES];
} totals_t;

static const rv_stats_change_t accepted[] = { { ACCEPTS, 1 }, { WAITING, 1 } };
static const rv_stats_change_t began[] = { { REQUESTS, 1 }, { READING, 1 }, { WAITING, -1 } };

static rv_stats_defs_t defs;
static char *memory;
static char *image;        /* of the memory, as each run finds it */
static volatile int *done; /* the process under test is */
static rv_stats_t *st;

static void *
shared(size_t size)
{
    void *p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

    ck_assert_ptr_ne(p, MAP_FAILED);
    return p;
}

/* On one processor the steps take half the time. */
static void
setup(void)
{
    cpu_set_t cpu;

    CPU_ZERO(&cpu);
    CPU_SET(sched_getcpu(), &cpu);
    (void) sched_setaffinity(0, sizeof(cpu), &cpu);

    rv_stats_define(&defs, "http", all_defs);
    ck_assert_uint_le(rv_stats_size(&defs, ROWS), MEMORY_SIZE);
    memory = shared(MEMORY_SIZE);
    image = malloc(MEMORY_SIZE);
    done = shared(sizeof(*done));
}

static void
teardown(void)
{
    rv_stats_free(st);
    st = NULL;
    free(image);
}

static void
own(unsigned slot)
{
    const rv_stats_owner_t owner = { .slot = slot, .pid = 100 };

    ck_assert_int_eq(rv_stats_prepare(st, slot), RV_OK);
    rv_stats_set_owner(st, &owner);
    rv_stats_own(st, slot);
}

static totals_t
totals(void)
{
    totals_t t;

    rv_stats_snapshot(st, t.value);
    return t;
}

static int
same(const totals_t *a, const totals_t *b)
{
    return memcmp(a, b, sizeof(*a)) == 0;
}

static void
assert_totals(const totals_t *want, const char *when, int steps)
{
    const totals_t now = totals();

    for (int i = 0; i < VALUES; i++)
        ck_assert_msg(now.value[i] == want->value[i], "%s %d instructions: value %d is %lld", when,
            steps, i, (long long) now.value[i]);
}

/* --- single steps ------------------------------------------------------------------- */

static pid_t
start(void (*body)(void))
{
    int status;

    *done = 0;
    pid_t pid = fork();
    ck_assert_int_ne(pid, -1);
    if (pid == 0) {
        if (ptrace(PTRACE_TRACEME, 0, NULL, NULL) == -1)
            _exit(errno);
        raise(SIGSTOP);
        body();
        *done = 1;
        _exit(0);
    }
    ck_assert_int_eq(waitpid(pid, &status, 0), pid);
    ck_assert_msg(WIFSTOPPED(status), "tracing a child failed (%d: %s)", WEXITSTATUS(status),
        strerror(WEXITSTATUS(status)));
    return pid;
}

/* 0 when the process is through with what it had to do. */
static int
step(pid_t pid)
{
    int status;

    ck_assert_int_eq(ptrace(PTRACE_SINGLESTEP, pid, NULL, NULL), 0);
    ck_assert_int_eq(waitpid(pid, &status, 0), pid);
    ck_assert_msg(
        WIFSTOPPED(status) && WSTOPSIG(status) == SIGTRAP, "status is %x", (unsigned) status);
    return !*done;
}

static void
kill_it(pid_t pid)
{
    int status;

    ck_assert_int_eq(kill(pid, SIGKILL), 0);
    ck_assert_int_eq(waitpid(pid, &status, 0), pid);
    ck_assert(WIFSIGNALED(status));
}

static void
let_go(pid_t pid)
{
    int status;

    ck_assert_int_eq(ptrace(PTRACE_CONT, pid, NULL, NULL), 0);
    ck_assert_int_eq(waitpid(pid, &status, 0), pid);
    ck_assert(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

/* Where in the process the kernel will look for its locks. */
static long
lock_list(pid_t pid)
{
    struct robust_list_head *head = NULL;
    size_t length;

    ck_assert_int_eq(syscall(SYS_get_robust_list, pid, &head, &length), 0);
    return (long) head;
}

static void
copy_locks(pid_t pid, long list, long words[LOCK_WORDS])
{
    for (size_t i = 0; i < LOCK_WORDS; i++)
        words[i] = ptrace(PTRACE_PEEKDATA, pid, list + (long) (i * sizeof(long)), NULL);
}

typedef struct {
    int changes;
    int after[MOST_CHANGES]; /* that many instructions each */
} path_t;

/* Runs the body once, `look` at every stop; where something has changed goes to *path. */
static void
follow(void (*body)(void), void (*look)(int steps), path_t *path)
{
    static char last[MEMORY_SIZE];
    long locks[2][LOCK_WORDS];
    pid_t pid = start(body);
    long list = lock_list(pid);
    int steps = 0;

    path->changes = 0;
    memcpy(last, memory, MEMORY_SIZE);
    copy_locks(pid, list, locks[0]);
    for (int running = 1; running;) {
        running = step(pid);
        steps++;
        ck_assert_int_lt(steps, MOST_STEPS);
        look(steps);
        copy_locks(pid, list, locks[1]);
        if (memcmp(last, memory, MEMORY_SIZE) == 0
            && memcmp(locks[0], locks[1], sizeof(locks[0])) == 0)
            continue;

        ck_assert_int_lt(path->changes, MOST_CHANGES);
        path->after[path->changes++] = steps;
        memcpy(last, memory, MEMORY_SIZE);
        memcpy(locks[0], locks[1], sizeof(locks[0]));
    }
    let_go(pid);
}

/* Runs the body up to there, and kills it. */
static void
kill_after(void (*body)(void), int steps, void (*look)(int steps))
{
    memcpy(memory, image, MEMORY_SIZE);
    pid_t pid = start(body);

    for (int i = 0; i < steps && step(pid); i++)
        continue;
    if (look != NULL)
        look(steps);
    kill_it(pid);
}

/* --- a writer --------------------------------------------------------------------------- */

static totals_t before, after;
static int seen_after;

/* In slot 1 the process that begins a request, in slot 2 another one. */
static void
make_second_process(void)
{
    own(1);
    for (int i = 0; i < 3; i++)
        rv_stats_apply(st, accepted, 2);
    rv_stats_apply(st, began, 3);
    memcpy(image, memory, MEMORY_SIZE);

    before = after = totals();
    after.value[REQUESTS]++;
    after.value[READING]++;
    after.value[WAITING]--;
    seen_after = 0;
}

static void
make_processes(void)
{
    rv_stats_free(st);
    memset(memory, 0, MEMORY_SIZE);
    st = rv_stats_create(memory, &defs, ROWS);
    ck_assert_ptr_nonnull(st);

    own(2);
    rv_stats_apply(st, accepted, 2);
    make_second_process();
}

static void
begin_a_request(void)
{
    rv_stats_apply(st, began, 3);
}

/* What was seen once is not gone the next time. */
static void
look_at_transaction(int steps)
{
    const totals_t now = totals();

    if (!seen_after)
        seen_after = same(&now, &after);
    assert_totals(seen_after ? &after : &before, "after", steps);
}

/* Slot 1's writer is dead. */
static void
assert_transaction_is_kept(int steps)
{
    totals_t want = seen_after ? after : before;

    assert_totals(&want, "killed after", steps);
    ck_assert_int_eq(rv_stats_fold(st, 1), RV_OK);
    want.value[READING] = 0;
    want.value[WAITING] = 1;
    assert_totals(&want, "folded after", steps);
    ck_assert_uint_le(rv_stats_recoveries(st), 1);

    /* its successor in the slot begins at nothing, and can write */
    own(1);
    assert_totals(&want, "next owner after", steps);
    rv_stats_apply(st, accepted, 2);
    want.value[ACCEPTS]++;
    want.value[WAITING]++;
    assert_totals(&want, "next count after", steps);
}

START_TEST(writer_killed_anywhere_leaves_all_of_its_transaction_or_nothing)
{
    int left_all = 0;
    path_t path;

    make_processes();
    follow(begin_a_request, look_at_transaction, &path);
    ck_assert_int_eq(seen_after, 1);
    ck_assert_int_ge(path.changes, 15);

    for (int i = 0; i < path.changes; i++) {
        seen_after = 0;
        kill_after(begin_a_request, path.after[i], look_at_transaction);
        left_all += seen_after;
        assert_transaction_is_kept(path.after[i]);
    }
    ck_assert_int_ge(left_all, 5);
    ck_assert_int_le(left_all, path.changes - 5);
}
END_TEST

/* --- the master ------------------------------------------------------------------------ */

static void
fold(void)
{
    if (rv_stats_fold(st, 1) != RV_OK)
        abort();
}

static void
look_at_fold(int steps)
{
    const totals_t now = totals();

    if (!seen_after)
        seen_after = same(&now, &after);
    assert_totals(seen_after ? &after : &before, "fold, after", steps);
}

/* A worker that died in its transaction, so that its fold has it to complete. */
static void
make_dead_worker(void)
{
    path_t path;

    make_processes();
    follow(begin_a_request, look_at_transaction, &path);
    kill_after(begin_a_request, path.after[path.changes / 2], NULL);
    memcpy(image, memory, MEMORY_SIZE);
    before = after = totals();
    after.value[READING] = 0;
    after.value[WAITING] = 1;
    seen_after = 0;
}

/* The orders in which another master may go on: with the same, or so. */

static void
fold_another_before(void)
{
    ck_assert_int_eq(rv_stats_fold(st, 2), RV_OK);
    fold();
    own(2);
    rv_stats_apply(st, &(rv_stats_change_t){ WAITING, 1 }, 1); /* as it was */
}

static void (*const successors[])(void) = { fold, fold_another_before };

static void
assert_fold_is_kept(void (*go_on)(void), int steps)
{
    totals_t want = after;

    assert_totals(seen_after ? &after : &before, "master killed after", steps);
    go_on();
    assert_totals(&want, "folded again after", steps);

    /* a new process in the slot counts, and is not taken for the dead one */
    own(1);
    rv_stats_apply(st, accepted, 2);
    want.value[ACCEPTS]++;
    want.value[WAITING]++;
    assert_totals(&want, "next count after", steps);
    ck_assert_int_eq(rv_stats_fold(st, 0), RV_OK);
    assert_totals(&want, "next fold after", steps);
    ck_assert_int_eq(rv_stats_fold(st, 1), RV_OK);
    want.value[WAITING]--;
    assert_totals(&want, "last fold after", steps);
}

START_TEST(master_killed_anywhere_in_a_fold_loses_and_doubles_nothing)
{
    int was_in_force = 0;
    path_t path;

    make_dead_worker();
    follow(fold, look_at_fold, &path);
    ck_assert_int_eq(seen_after, 1);
    ck_assert_int_ge(path.changes, 20);

    for (int i = 0; i < path.changes; i++) {
        seen_after = 0;
        kill_after(fold, path.after[i], look_at_fold);
        was_in_force += seen_after;
        assert_fold_is_kept(successors[_i], path.after[i]);
    }
    ck_assert_int_ge(was_in_force, 5);
    ck_assert_int_le(was_in_force, path.changes - 5);
}
END_TEST

START_TEST(next_writer_in_the_slot_of_a_killed_one_is_as_exact)
{
    path_t path;

    make_dead_worker();
    fold();
    make_second_process();
    follow(begin_a_request, look_at_transaction, &path);
    ck_assert_int_eq(seen_after, 1);
}
END_TEST

/* It is killed, and the next that goes on is killed too, wherever that is. */
START_TEST(second_master_killed_in_the_same_fold_loses_nothing_either)
{
    path_t first, second;

    make_dead_worker();
    follow(fold, look_at_fold, &first);
    for (int i = 0; i < first.changes; i += 10) {
        make_dead_worker();
        kill_after(fold, first.after[i], NULL);
        memcpy(image, memory, MEMORY_SIZE);
        follow(fold, look_at_fold, &second);
        for (int j = 0; j < second.changes; j += 5) {
            seen_after = 0;
            kill_after(fold, second.after[j], look_at_fold);
            assert_fold_is_kept(successors[j % 2], second.after[j]);
        }
    }
}
END_TEST

static Suite *
stats_step_suite(void)
{
    Suite *suite = suite_create("stats_step");
    TCase *tcase = tcase_create("stats_step");

    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_set_timeout(tcase, 120);
    tcase_add_test(tcase, writer_killed_anywhere_leaves_all_of_its_transaction_or_nothing);
    tcase_add_loop_test(tcase, master_killed_anywhere_in_a_fold_loses_and_doubles_nothing, 0,
        (int) rv_countof(successors));
    tcase_add_test(tcase, next_writer_in_the_slot_of_a_killed_one_is_as_exact);
    tcase_add_test(tcase, second_master_killed_in_the_same_fold_loses_nothing_either);

    suite_add_tcase(suite, tcase);
    return suite;
}

int
main(void)
{
    SRunner *runner = srunner_create(stats_step_suite());

    srunner_run_all(runner, CK_NORMAL);

    int failed = srunner_ntests_failed(runner);

    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
