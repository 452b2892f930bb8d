/*
 * rv_stats: rows, transactions and folds, while nobody is killed.
 *
 * What happens when somebody is killed is in test_stats_step (anywhere),
 * test_stats_fold (two masters) and test_stats_witness.
 */
#include "stats_fixture.h"

#include <errno.h>

#define ROWS 16

static const rv_stats_def_t connection_defs[] = {
    { "accepts", RV_STATS_COUNTER, "connections accepted" },
    { "handled", RV_STATS_COUNTER, "connections taken on" },
    { "active", RV_STATS_GAUGE, "open connections" },
    { 0 },
};
static const rv_stats_def_t http_defs[] = {
    { "requests", RV_STATS_COUNTER, "requests begun" },
    { "active", RV_STATS_GAUGE, "requests being answered" },
    { 0 },
};

enum { ACCEPTS, HANDLED, ACTIVE, REQUESTS, HTTP_ACTIVE, VALUES };

static rv_stats_defs_t defs;
static rv_stats_t *st;

static void
setup(void)
{
    defs = (rv_stats_defs_t){ 0 };
    ck_assert_int_eq(rv_stats_define(&defs, "connections", connection_defs), RV_OK);
    ck_assert_int_eq(rv_stats_define(&defs, "http", http_defs), RV_OK);
    st = stats_of(&defs, ROWS);
}

static void
teardown(void)
{
    rv_stats_free(st);
}

static void
add(unsigned cell, int64_t delta)
{
    stats_add(st, cell, delta);
}

static void
assert_totals(uint64_t accepts, uint64_t handled, uint64_t active)
{
    ck_assert_uint_eq(stats_total(st, ACCEPTS), accepts);
    ck_assert_uint_eq(stats_total(st, HANDLED), handled);
    ck_assert_uint_eq(stats_total(st, ACTIVE), active);
    ck_assert_uint_eq(stats_total(st, REQUESTS), 0);
}

/* --- rows and transactions ---------------------------------------------------------------- */

START_TEST(snapshot_is_the_sum_of_all_rows)
{
    assert_totals(0, 0, 0);
    unsigned first = stats_own(st);
    add(ACCEPTS, 3);
    add(HANDLED, 2);
    stats_own(st);
    add(ACCEPTS, 10);
    stats_own(st);
    add(ACCEPTS, 100);
    add(ACTIVE, 1);
    assert_totals(113, 2, 1);

    ck_assert_int_eq(rv_stats_own(st, first), RV_OK); /* goes on where it was */
    add(ACCEPTS, 1);
    assert_totals(114, 2, 1);
}
END_TEST

/* Whoever wants the first values gets these, and nothing is written behind them. */
START_TEST(snapshot_writes_as_many_values_as_were_asked_for)
{
    stats_own(st);
    for (unsigned i = 0; i < VALUES; i++)
        add(i, i + 1);
    for (unsigned wanted = 0; wanted <= VALUES + 2; wanted++) {
        uint64_t values[VALUES + 2];

        for (unsigned i = 0; i < VALUES + 2; i++)
            values[i] = 77;
        rv_stats_snapshot(st, values, wanted);
        for (unsigned i = 0; i < VALUES + 2; i++)
            ck_assert_uint_eq(values[i], i < wanted && i < VALUES ? i + 1 : 77);
    }
}
END_TEST

START_TEST(each_process_gets_a_row_until_there_is_none)
{
    int taken[ROWS] = { 0 };

    for (int i = 0; i < ROWS; i++) {
        int row = rv_stats_claim(st);
        ck_assert(row >= 0 && row < ROWS);
        taken[row]++;
    }
    for (int i = 0; i < ROWS; i++)
        ck_assert_int_eq(taken[i], 1);

    errno = 0;
    ck_assert_int_eq(rv_stats_claim(st), RV_ERROR);
    ck_assert_int_eq(errno, EAGAIN);
    ck_assert_int_eq(rv_stats_fold(st, 5), RV_OK);
    ck_assert_int_eq(rv_stats_claim(st), 5);
    ck_assert_int_eq(rv_stats_claim(st), RV_ERROR);
}
END_TEST

START_TEST(transaction_changes_all_of_its_values)
{
    const rv_stats_change_t up[] = { { ACCEPTS, 1 }, { HANDLED, 1 }, { ACTIVE, 1 } };
    const rv_stats_change_t down[] = { { ACTIVE, -1 }, { ACCEPTS, 5 } };

    stats_own(st);
    rv_stats_apply(st, up, 3);
    assert_totals(1, 1, 1);
    rv_stats_apply(st, down, 2);
    assert_totals(6, 1, 0);
    rv_stats_apply(st, up, 2);
    assert_totals(7, 2, 0);
    rv_stats_apply(st, up, 0);
    assert_totals(7, 2, 0);
    ck_assert_uint_eq(rv_stats_recoveries(st), 0);
}
END_TEST

START_TEST(transaction_takes_its_most_and_no_more)
{
    static const rv_stats_def_t many[] = { { "n0", RV_STATS_COUNTER, "" },
        { "n1", RV_STATS_COUNTER, "" }, { "n2", RV_STATS_COUNTER, "" },
        { "n3", RV_STATS_COUNTER, "" }, { "n4", RV_STATS_COUNTER, "" },
        { "n5", RV_STATS_COUNTER, "" }, { "n6", RV_STATS_COUNTER, "" },
        { "n7", RV_STATS_COUNTER, "" }, { "n8", RV_STATS_COUNTER, "" }, { 0 } };
    rv_stats_defs_t nine = { 0 };
    rv_stats_change_t changes[RV_STATS_CHANGES + 1];

    ck_assert_int_eq(rv_stats_define(&nine, "m", many), RV_OK);
    teardown();
    st = stats_of(&nine, 1);
    stats_own(st);
    for (unsigned i = 0; i <= RV_STATS_CHANGES; i++)
        changes[i] = (rv_stats_change_t){ i, (int64_t) i + 1 };

    rv_stats_apply(st, changes, RV_STATS_CHANGES + 1);
    for (unsigned i = 0; i <= RV_STATS_CHANGES; i++)
        ck_assert_uint_eq(stats_total(st, i), 0);
    rv_stats_apply(st, changes, RV_STATS_CHANGES);
    for (unsigned i = 0; i < RV_STATS_CHANGES; i++)
        ck_assert_uint_eq(stats_total(st, i), i + 1);
    ck_assert_uint_eq(stats_total(st, RV_STATS_CHANGES), 0);
}
END_TEST

START_TEST(process_without_a_row_writes_nowhere)
{
    rv_stats_change_t changes[RV_STATS_OBSERVATION];

    add(ACCEPTS, 1);
    rv_stats_heartbeat(st, 1000);
    ck_assert_uint_eq(*rv_stats_witness(st, ACCEPTS, 16), 16);
    ck_assert_uint_eq(rv_stats_observe(st, 0, 1000, 1, changes), 0);
    assert_totals(0, 0, 0);
}
END_TEST

START_TEST(row_tells_its_owner_and_its_values)
{
    const rv_stats_owner_t owner = { .slot = 3,
        .worker = 2,
        .generation = 7,
        .pid = getpid(),
        .state = 2,
        .started = 1700000000,
        .restarts = 5 };
    rv_stats_owner_t seen;
    uint64_t values[VALUES];

    unsigned row = (unsigned) rv_stats_claim(st);
    ck_assert_int_eq(rv_stats_row(st, row, &seen, values), RV_DONE); /* nobody's yet */
    rv_stats_set_owner(st, row, &owner);
    ck_assert_int_eq(rv_stats_own(st, row), RV_OK);
    add(ACCEPTS, 5);
    rv_stats_heartbeat(st, 1000);

    ck_assert_int_eq(rv_stats_row(st, row, &seen, values), RV_OK);
    ck_assert_uint_eq(seen.slot, 3);
    ck_assert_uint_eq(seen.worker, 2);
    ck_assert_uint_eq(seen.generation, 7);
    ck_assert_int_eq(seen.pid, getpid());
    ck_assert_int_eq(seen.state, 2);
    ck_assert_int_eq(seen.started, 1700000000);
    ck_assert_uint_eq(seen.restarts, 5);
    ck_assert_uint_eq(values[ACCEPTS], 5);
    ck_assert_uint_eq(values[HANDLED], 0);

    ck_assert_int_eq(rv_stats_row(st, row + 1, &seen, values), RV_DONE);
    ck_assert_int_eq(rv_stats_row(st, ROWS - 1, &seen, values), RV_DONE);
    ck_assert_int_eq(rv_stats_row(st, ROWS, &seen, values), RV_DONE);
    ck_assert_int_eq(rv_stats_row(st, UINT32_MAX, &seen, values), RV_DONE);
}
END_TEST

/* --- folds -------------------------------------------------------------------------------- */

START_TEST(counters_of_a_dead_process_stay_and_its_gauges_go)
{
    rv_stats_owner_t owner;
    uint64_t values[VALUES];

    unsigned first = stats_own(st);
    add(ACCEPTS, 7);
    add(ACTIVE, 3);
    unsigned second = stats_own(st);
    add(ACCEPTS, 1);
    add(ACTIVE, 2);
    assert_totals(8, 0, 5);

    ck_assert_int_eq(rv_stats_fold(st, first), RV_OK);
    assert_totals(8, 0, 2);
    ck_assert_int_eq(rv_stats_row(st, first, &owner, values), RV_DONE);
    ck_assert_int_eq(rv_stats_fold(st, second), RV_OK);
    assert_totals(8, 0, 0);
    ck_assert_uint_eq(rv_stats_recoveries(st), 0);
}
END_TEST

START_TEST(next_owner_of_a_row_begins_at_nothing)
{
    rv_stats_owner_t owner;
    uint64_t values[VALUES];

    for (int round = 1; round <= 50; round++) {
        unsigned row = stats_own(st);

        ck_assert_uint_eq(row, 0); /* rows are used again before others are begun */
        ck_assert_int_eq(rv_stats_row(st, row, &owner, values), RV_OK);
        ck_assert_uint_eq(owner.restarts, 0);
        ck_assert_uint_eq(values[ACCEPTS], 0);
        ck_assert_uint_eq(values[ACTIVE], 0);
        add(ACCEPTS, round);
        add(ACTIVE, 1);
        assert_totals((uint64_t) (round * (round + 1) / 2), 0, 1);
        ck_assert_int_eq(rv_stats_fold(st, row), RV_OK);
    }
    assert_totals(50 * 51 / 2, 0, 0);
}
END_TEST

START_TEST(folding_a_row_that_nobody_has_changes_nothing)
{
    unsigned row = stats_own(st);

    add(ACCEPTS, 7);
    for (unsigned i = 0; i < ROWS; i++) {
        if (i != row)
            ck_assert_int_eq(rv_stats_fold(st, i), RV_OK);
    }
    assert_totals(7, 0, 0);
    ck_assert_int_eq(rv_stats_fold(st, row), RV_OK);
    ck_assert_int_eq(rv_stats_fold(st, row), RV_OK);
    assert_totals(7, 0, 0);
    ck_assert_uint_eq(rv_stats_recoveries(st), 0);
}
END_TEST

START_TEST(counters_are_not_bounded_by_32_bits)
{
    unsigned first = stats_own(st);
    add(ACCEPTS, INT64_C(0x7fffffff00000000));
    unsigned second = stats_own(st);
    add(ACCEPTS, INT64_C(0x00000000ffffffff));
    assert_totals(0x7fffffffffffffff, 0, 0);
    ck_assert_int_eq(rv_stats_fold(st, first), RV_OK);
    ck_assert_int_eq(rv_stats_fold(st, second), RV_OK);
    assert_totals(0x7fffffffffffffff, 0, 0);
}
END_TEST

/* Several processes at once, each in a row of its own, as long as they like. */
START_TEST(many_processes_lose_no_count)
{
    enum { PROCESSES = 4, ROUNDS = 20000 };
    const rv_stats_change_t up[] = { { ACCEPTS, 1 }, { HANDLED, 2 }, { ACTIVE, 1 } };
    const rv_stats_change_t down[] = { { ACTIVE, -1 } };
    pid_t pids[PROCESSES];
    unsigned rows[PROCESSES];

    for (unsigned i = 0; i < PROCESSES; i++) {
        rows[i] = stats_own(st);
        pids[i] = fork();
        ck_assert_int_ne(pids[i], -1);
        if (pids[i] == 0) {
            for (int round = 0; round < ROUNDS; round++) {
                rv_stats_apply(st, up, 3);
                rv_stats_apply(st, down, 1);
            }
            _exit(0);
        }
    }
    for (unsigned i = 0; i < PROCESSES; i++)
        stats_wait(pids[i]);
    assert_totals(PROCESSES * ROUNDS, 2 * PROCESSES * ROUNDS, 0);
    for (unsigned i = 0; i < PROCESSES; i++)
        ck_assert_int_eq(rv_stats_fold(st, rows[i]), RV_OK);
    assert_totals(PROCESSES * ROUNDS, 2 * PROCESSES * ROUNDS, 0);
}
END_TEST

static Suite *
stats_suite(void)
{
    Suite *suite = suite_create("stats");
    TCase *tcase = tcase_create("stats");

    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_set_timeout(tcase, 120);
    tcase_add_test(tcase, snapshot_is_the_sum_of_all_rows);
    tcase_add_test(tcase, snapshot_writes_as_many_values_as_were_asked_for);
    tcase_add_test(tcase, each_process_gets_a_row_until_there_is_none);
    tcase_add_test(tcase, transaction_changes_all_of_its_values);
    tcase_add_test(tcase, transaction_takes_its_most_and_no_more);
    tcase_add_test(tcase, process_without_a_row_writes_nowhere);
    tcase_add_test(tcase, row_tells_its_owner_and_its_values);
    tcase_add_test(tcase, counters_of_a_dead_process_stay_and_its_gauges_go);
    tcase_add_test(tcase, next_owner_of_a_row_begins_at_nothing);
    tcase_add_test(tcase, folding_a_row_that_nobody_has_changes_nothing);
    tcase_add_test(tcase, counters_are_not_bounded_by_32_bits);
    tcase_add_test(tcase, many_processes_lose_no_count);

    suite_add_tcase(suite, tcase);
    return suite;
}

int
main(void)
{
    return stats_run(stats_suite());
}
