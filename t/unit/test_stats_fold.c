/*
 * rv_stats_fold: masters, and what is left when they are killed.
 *
 * Several masters, real processes with workers of their own, share the memory,
 * as during an upgrade. Nobody's row is touched by another while it lives.
 */
#include "rv_stats_layout.h"
#include "stats_fixture.h"

#include <errno.h>
#include <stdatomic.h>
#include <sys/prctl.h>

enum { ROWS = 16, MASTERS = 2, WORKERS = 3 };

static const rv_stats_def_t all_defs[] = {
    { "accepts", RV_STATS_COUNTER, "" },
    { "requests", RV_STATS_COUNTER, "" },
    { "active", RV_STATS_GAUGE, "" },
    { "time", RV_STATS_HISTOGRAM, "" },
    { 0 },
};

enum { ACCEPTS, REQUESTS, ACTIVE, TIME };

/* What the processes tell each other. */
typedef struct {
    atomic_int taken[ROWS];
    atomic_uint rows[MASTERS][WORKERS];
    atomic_int pids[MASTERS][WORKERS];
    atomic_int ready[MASTERS]; /* workers that have counted */
    atomic_int go_on[MASTERS]; /* so often the workers are to count */
    atomic_int failed;
} report_t;

static rv_stats_defs_t defs;
static rv_stats_t *st;
static report_t *report;
static int number; /* of a master, in it and its workers */

static void
setup(void)
{
    rv_stats_define(&defs, "m", all_defs);
    st = stats_of(&defs, ROWS);
    report = stats_shared(sizeof(*report));
    /* workers whose master was killed come to us, and are reaped here */
    ck_assert_int_eq(prctl(PR_SET_CHILD_SUBREAPER, 1L), 0);
}

static void
teardown(void)
{
    rv_stats_free(st);
    munmap(report, sizeof(*report));
}

static void
assert_totals(uint64_t accepts, uint64_t active)
{
    ck_assert_uint_eq(stats_total(st, ACCEPTS), accepts);
    ck_assert_uint_eq(stats_total(st, REQUESTS), 2 * accepts);
    ck_assert_uint_eq(stats_total(st, ACTIVE), active);
}

/* --- masters and workers ------------------------------------------------------------------ */

static const rv_stats_change_t accepted[] = { { ACCEPTS, 1 }, { REQUESTS, 2 } };

/* One connection is open as long as it lives; each round is one more. */
static void
run_worker(unsigned row)
{
    int rounds = 0;

    (void) prctl(PR_SET_PDEATHSIG, 0L);
    if (rv_stats_own(st, row) != RV_OK)
        _exit(1);
    stats_add(st, ACTIVE, 1);
    for (;;) {
        while (rounds == report->go_on[number])
            stats_moment();
        rv_stats_apply(st, accepted, 2);
        rounds++;
        report->ready[number]++;
    }
}

static void
run_master(void)
{
    for (int i = 0; i < WORKERS; i++) {
        int row = rv_stats_claim(st);
        pid_t pid = row < 0 ? -1 : fork();

        if (pid == -1)
            _exit(1);
        if (pid == 0)
            run_worker((unsigned) row);
        const rv_stats_owner_t owner = { .worker = (unsigned) i, .pid = pid };
        rv_stats_set_owner(st, (unsigned) row, &owner);
        report->rows[number][i] = (unsigned) row;
        report->pids[number][i] = pid;
    }
    (void) rv_stats_claim(st); /* for one that it never came to fork */
    for (;;)
        pause();
}

/* All workers of that master count once more. */
static void
count_once_more(int master)
{
    int want = report->ready[master] + WORKERS;

    report->go_on[master]++;
    while (report->ready[master] != want)
        stats_moment();
}

static pid_t
start_master(int n)
{
    number = n;
    pid_t pid = stats_spawn(run_master);

    count_once_more(n);
    while (report->pids[n][WORKERS - 1] == 0)
        stats_moment();
    return pid;
}

static void
kill_worker(int master, int i)
{
    stats_kill(report->pids[master][i]);
}

static int
free_rows(void)
{
    int count = 0, rows[ROWS + 1];

    while ((rows[count] = rv_stats_claim(st)) >= 0)
        count++;
    for (int i = 0; i < count; i++)
        ck_assert_int_eq(rv_stats_fold(st, (unsigned) rows[i]), RV_OK);
    return count;
}

/* --- two masters -------------------------------------------------------------------------- */

START_TEST(nothing_of_the_living_is_swept)
{
    pid_t masters[] = { start_master(0), start_master(1) };

    assert_totals(6, 6);
    ck_assert_int_eq(rv_stats_sweep(st), RV_AGAIN);
    assert_totals(6, 6);
    ck_assert_int_eq(free_rows(), ROWS - 2 * (WORKERS + 1));
    count_once_more(0);
    count_once_more(1);
    assert_totals(12, 6);
    for (int i = 0; i < WORKERS; i++)
        ck_assert_int_ne(report->rows[0][i], report->rows[1][i]);

    for (int m = 0; m < MASTERS; m++) {
        stats_kill(masters[m]);
        for (int i = 0; i < WORKERS; i++)
            kill_worker(m, i);
    }
}
END_TEST

START_TEST(other_master_sweeps_what_a_killed_one_and_its_workers_have_left)
{
    pid_t masters[] = { start_master(0), start_master(1) };

    stats_kill(masters[0]);
    ck_assert_int_eq(rv_stats_sweep(st), RV_AGAIN); /* its workers live, and go on */
    assert_totals(6, 6);
    ck_assert_int_eq(free_rows(), ROWS - 2 * (WORKERS + 1) + 1);
    count_once_more(0);
    assert_totals(9, 6);

    for (int i = 0; i < WORKERS; i++) {
        kill_worker(0, i);
        ck_assert_int_eq(rv_stats_sweep(st), RV_AGAIN); /* the other master lives */
        assert_totals(9, 5 - (unsigned) i);
    }
    count_once_more(1);
    assert_totals(12, 3);
    ck_assert_int_eq(free_rows(), ROWS - WORKERS - 1);

    stats_kill(masters[1]);
    for (int i = 0; i < WORKERS; i++)
        kill_worker(1, i);
    ck_assert_int_eq(rv_stats_sweep(st), RV_OK);
    assert_totals(12, 0);
    ck_assert_int_eq(free_rows(), ROWS);
}
END_TEST

static void
end_at_once(void)
{
}

/* It will find out itself. */
START_TEST(dead_worker_of_a_living_master_is_left_to_it)
{
    rv_stats_owner_t owner = { 0 }, seen;
    uint64_t values[RV_STATS_CELLS];
    unsigned row = stats_own(st); /* claimed by us */

    stats_add(st, ACCEPTS, 7);
    owner.pid = stats_spawn(end_at_once);
    stats_wait(owner.pid);
    rv_stats_set_owner(st, row, &owner);
    ck_assert_int_eq(rv_stats_sweep(st), RV_OK);
    ck_assert_int_eq(rv_stats_row(st, row, &seen, values), RV_OK);
    ck_assert_uint_eq(values[ACCEPTS], 7);
    ck_assert_uint_eq(stats_total(st, ACCEPTS), 7);
}
END_TEST

/* Each row has one owner at a time, and what it counts there is not lost. */
static void
claim_and_fold(void)
{
    for (int i = 0; i < 2000; i++) {
        int row = rv_stats_claim(st);

        if (row < 0 || atomic_exchange(&report->taken[row], 1) != 0
            || rv_stats_own(st, (unsigned) row) != RV_OK)
            _exit(1);
        rv_stats_apply(st, accepted, 2);
        stats_add(st, ACTIVE, 1);
        report->taken[row] = 0;
        if (rv_stats_fold(st, (unsigned) row) != RV_OK)
            _exit(2);
    }
}

START_TEST(masters_that_claim_and_fold_at_once_do_not_meet)
{
    enum { PROCESSES = 3 };
    pid_t pids[PROCESSES];

    for (int i = 0; i < PROCESSES; i++)
        pids[i] = stats_spawn(claim_and_fold);
    for (int i = 0; i < PROCESSES; i++)
        stats_wait(pids[i]);
    assert_totals(PROCESSES * 2000, 0);
    ck_assert_int_eq(free_rows(), ROWS);
}
END_TEST

static void
claim_and_fold_for_ever(void)
{
    for (;;)
        claim_and_fold();
}

/* Wherever: with the lock, with a row in the middle of its fold. */
START_TEST(killed_masters_stop_no_other)
{
    enum { ROUNDS = 60 };
    uint64_t last = 0;

    for (int round = 0; round < ROUNDS; round++) {
        pid_t pid = stats_spawn(claim_and_fold_for_ever);

        while (stats_total(st, ACCEPTS) < last + 1 + (unsigned) round)
            continue;
        stats_kill(pid);
        memset(report->taken, 0, sizeof(report->taken));
        uint64_t before = stats_total(st, ACCEPTS);
        ck_assert_int_eq(rv_stats_sweep(st), RV_OK);
        last = stats_total(st, ACCEPTS);
        ck_assert_uint_eq(last, before);
        assert_totals(last, 0);
        ck_assert_int_eq(free_rows(), ROWS);
    }
}
END_TEST

/* --- memory that outlives everybody ------------------------------------------------------- */

static void
write_for_ever(void)
{
    rv_stats_change_t changes[3 + RV_STATS_OBSERVATION] = { { ACCEPTS, 1 }, { REQUESTS, 2 },
        { ACTIVE, 1 } };
    int cell = rv_stats_find(st, "m", "time");

    for (uint64_t usec = 1;; usec++) {
        unsigned n = 3 + rv_stats_observe(st, cell, usec % 1000, 1, changes + 3);
        rv_stats_apply(st, changes, n);
    }
}

/* The next daemon finds the file at another place, and goes on with what all have counted. */
START_TEST(revived_memory_has_the_counts_of_all_that_were_killed)
{
    enum { ROUNDS = 30 };
    size_t size = rv_stats_size(&defs, ROWS);
    uint64_t last = 0;

    for (int round = 0; round < ROUNDS; round++) {
        pid_t pids[WORKERS];

        for (int i = 0; i < WORKERS; i++) {
            stats_own(st);
            pids[i] = stats_spawn(write_for_ever);
        }
        while (stats_total(st, ACCEPTS) < last + 100)
            continue;
        for (int i = 0; i < WORKERS; i++)
            stats_kill(pids[i]);
        pid_t master = stats_spawn(claim_and_fold_for_ever);
        while (stats_total(st, ACCEPTS) < last + 200)
            continue;
        stats_kill(master);
        memset(report->taken, 0, sizeof(report->taken));

        last = stats_total(st, ACCEPTS);
        void *memory = stats_shared(size);
        memcpy(memory, st->header, size);
        munmap(st->header, size);
        rv_stats_free(st);
        st = rv_stats_attach(memory, size);
        ck_assert_ptr_nonnull(st);
        ck_assert(rv_stats_same(st, &defs, ROWS));
        ck_assert_int_eq(rv_stats_revive(st), RV_OK);
        assert_totals(last, 0);
        uint64_t values[RV_STATS_CELLS];
        rv_stats_snapshot(st, values, RV_STATS_CELLS);
        ck_assert_uint_le(values[TIME + RV_STATS_HISTOGRAM_MAX], 999);
        ck_assert_uint_gt(values[TIME + RV_STATS_HISTOGRAM_MAX], 0);
        ck_assert_int_eq(free_rows(), ROWS);
    }
}
END_TEST

static Suite *
stats_fold_suite(void)
{
    Suite *suite = suite_create("stats_fold");
    TCase *tcase = tcase_create("stats_fold");

    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_set_timeout(tcase, 120);
    tcase_add_test(tcase, nothing_of_the_living_is_swept);
    tcase_add_test(tcase, other_master_sweeps_what_a_killed_one_and_its_workers_have_left);
    tcase_add_test(tcase, dead_worker_of_a_living_master_is_left_to_it);
    tcase_add_test(tcase, masters_that_claim_and_fold_at_once_do_not_meet);
    tcase_add_test(tcase, killed_masters_stop_no_other);
    tcase_add_test(tcase, revived_memory_has_the_counts_of_all_that_were_killed);

    suite_add_tcase(suite, tcase);
    return suite;
}

int
main(void)
{
    return stats_run(stats_fold_suite());
}
