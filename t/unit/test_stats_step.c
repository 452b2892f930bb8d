/*
 * rv_stats, an instruction at a time: whoever is stopped or killed, wherever
 * it is, a transaction and a fold are there as a whole or not at all.
 *
 * The process under test is killed after every instruction that has changed
 * what its death leaves (stats_step.h). The master's other doings are in
 * test_stats_killed.
 */
#include "stats_step.h"

#define ROWS 3

static const rv_stats_def_t plain_defs[] = {
    { "accepts", RV_STATS_COUNTER, "" },
    { "requests", RV_STATS_COUNTER, "" },
    { "reading", RV_STATS_GAUGE, "" },
    { "waiting", RV_STATS_GAUGE, "" },
    { 0 },
};
static const rv_stats_def_t time_defs[] = { { "time", RV_STATS_HISTOGRAM, "" }, { 0 } };

enum { ACCEPTS, REQUESTS, READING, WAITING, TIME, CELLS = TIME + RV_STATS_HISTOGRAM_CELLS };

typedef struct {
    uint64_t value[CELLS];
} totals_t;

static const rv_stats_change_t accepted[] = { { ACCEPTS, 1 }, { WAITING, 1 } };
static const rv_stats_change_t began[] = { { REQUESTS, 1 }, { READING, 1 }, { WAITING, -1 } };

/* All of them, and without the histogram: with it a fold has thousands of instructions. */
static rv_stats_defs_t all, plain;
static step_t s;
static rv_stats_t *st;
static unsigned row, other_row; /* the one under test, and another's */

static void
setup(void)
{
    rv_stats_define(&plain, "http", plain_defs);
    rv_stats_define(&all, "http", plain_defs);
    rv_stats_define(&all, "http", time_defs);
    size_t size = rv_stats_size(&all, ROWS);
    step_init(&s, stats_shared(size), size);
}

static void
teardown(void)
{
    rv_stats_free(st);
    st = NULL;
    step_free(&s);
}

static totals_t
totals(void)
{
    totals_t t = { 0 };

    rv_stats_snapshot(st, t.value, CELLS);
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

    /* an assertion costs a write() each */
    for (int i = 0; i < CELLS && !same(&now, want); i++)
        ck_assert_msg(now.value[i] == want->value[i], "%s %d instructions: value %d is %lld", when,
            steps, i, (long long) now.value[i]);
}

/* --- transactions ------------------------------------------------------------------------- */

static void
begin_a_request(void)
{
    rv_stats_apply(st, began, 3);
}

/* An observation, together with a gauge and a counter. */
static void
end_a_request(void)
{
    rv_stats_change_t changes[2 + RV_STATS_OBSERVATION] = { { READING, -1 }, { WAITING, 1 } };
    unsigned n = 2 + rv_stats_observe(st, TIME, 3000, 1, changes + 2);

    rv_stats_apply(st, changes, n);
}

static void
began_a_request(totals_t *t)
{
    t->value[REQUESTS]++;
    t->value[READING]++;
    t->value[WAITING]--;
}

static void
ended_a_request(totals_t *t)
{
    t->value[READING]--;
    t->value[WAITING]++;
    t->value[TIME + RV_STATS_HISTOGRAM_SUM] += 3000;
    t->value[TIME + RV_STATS_HISTOGRAM_MAX] = 3000;
    t->value[TIME + RV_STATS_HISTOGRAM_FIRST + rv_stats_histogram_bucket(3000)]++;
}

static const struct {
    void (*body)(void);
    void (*effect)(totals_t *t);
} transactions[] = { { begin_a_request, began_a_request }, { end_a_request, ended_a_request } };

static totals_t before, after;
static int seen_after;

static void
own_again(void)
{
    ck_assert_int_eq(rv_stats_own(st, row), RV_OK);
}

/* In one row the process of the transaction, in the other somebody else. */
static void
make_process(int transaction)
{
    row = stats_own(st);
    for (int i = 0; i < 3; i++)
        rv_stats_apply(st, accepted, 2);
    begin_a_request();
    int time = rv_stats_find(st, "http", "time"); /* if there is one */
    rv_stats_change_t changes[RV_STATS_OBSERVATION];
    rv_stats_apply(st, changes, rv_stats_observe(st, time, 7, 1, changes));
    step_save(&s);
    s.restored = own_again;

    before = after = totals();
    transactions[transaction].effect(&after);
    seen_after = 0;
}

static void
make_processes(const rv_stats_defs_t *defs, int transaction)
{
    rv_stats_free(st);
    memset(s.memory, 0, s.size);
    st = rv_stats_create(s.memory, defs, ROWS);
    ck_assert_ptr_nonnull(st);

    other_row = stats_own(st);
    rv_stats_apply(st, accepted, 2);
    make_process(transaction);
}

/* What was seen once is not gone the next time. */
static void
look(int steps)
{
    const totals_t now = totals();

    if (!seen_after)
        seen_after = same(&now, &after);
    assert_totals(seen_after ? &after : &before, "after", steps);
}

/* The writer is dead. */
static void
assert_transaction_is_kept(int steps)
{
    totals_t want = seen_after ? after : before;

    assert_totals(&want, "killed after", steps);
    ck_assert_int_eq(rv_stats_fold(st, row), RV_OK);
    want.value[READING] = 0;
    want.value[WAITING] = 1;
    assert_totals(&want, "folded after", steps);
    ck_assert_uint_le(rv_stats_recoveries(st), 1);

    /* its successor in the row begins at nothing, and can write */
    ck_assert_uint_eq(stats_own(st), row);
    assert_totals(&want, "next owner after", steps);
    rv_stats_apply(st, accepted, 2);
    want.value[ACCEPTS]++;
    want.value[WAITING]++;
    assert_totals(&want, "next count after", steps);
}

START_TEST(writer_killed_anywhere_leaves_all_of_its_transaction_or_nothing)
{
    void (*body)(void) = transactions[_i].body;
    int left_all = 0;
    step_path_t path;

    make_processes(&all, _i);
    step_follow(&s, body, look, &path);
    ck_assert_int_eq(seen_after, 1);
    ck_assert_int_ge(path.changes, 10);

    for (int i = 0; i < path.changes; i++) {
        seen_after = 0;
        step_kill_at(&s, body, &path, i, look);
        left_all += seen_after;
        assert_transaction_is_kept(path.after[i]);
    }
    ck_assert_int_ge(left_all, 4);
    ck_assert_int_le(left_all, path.changes - 4);
}
END_TEST

/* --- folds -------------------------------------------------------------------------------- */

static void
fold(void)
{
    if (rv_stats_fold(st, row) != RV_OK)
        abort();
}

/* A worker that died in its transaction, so that its fold has it to complete. */
static void
make_dead_worker(const rv_stats_defs_t *defs)
{
    int transaction = defs == &all;
    void (*body)(void) = transactions[transaction].body;
    step_path_t path;

    make_processes(defs, transaction);
    step_follow(&s, body, look, &path);
    step_kill_at(&s, body, &path, path.changes * 2 / 3, NULL);
    s.restored = NULL;
    step_save(&s);
    before = after = totals();
    after.value[READING] = 0;
    after.value[WAITING] = 1;
    seen_after = 0;
}

/* The orders in which another master may go on: with the same, or so. */

static void
fold_another_before(void)
{
    ck_assert_int_eq(rv_stats_fold(st, other_row), RV_OK);
    fold();
    other_row = stats_own(st);
    stats_add(st, WAITING, 1); /* as it was */
}

static void (*const successors[])(void) = { fold, fold_another_before };

static void
assert_fold_is_kept(void (*go_on)(void), int steps)
{
    totals_t want = after;

    assert_totals(seen_after ? &after : &before, "master killed after", steps);
    other_row = 0;
    row = 1;
    go_on();
    assert_totals(&want, "folded again after", steps);

    /* a new process in the row counts, and is not taken for the dead one */
    row = stats_own(st);
    rv_stats_apply(st, accepted, 2);
    want.value[ACCEPTS]++;
    want.value[WAITING]++;
    assert_totals(&want, "next count after", steps);
    ck_assert_int_eq(rv_stats_fold(st, ROWS - 1), RV_OK);
    assert_totals(&want, "next fold after", steps);
    ck_assert_int_eq(rv_stats_fold(st, row), RV_OK);
    want.value[WAITING]--;
    assert_totals(&want, "last fold after", steps);
    row = 1;
}

/* At every nth of the instructions that change something. */
static void
kill_masters(int n, void (*go_on)(void))
{
    int kills = 0, was_in_force = 0;
    step_path_t path;

    step_follow(&s, fold, look, &path);
    ck_assert_int_eq(seen_after, 1);
    ck_assert_int_ge(path.changes, 20);

    for (int i = 0; i < path.changes; i += n, kills++) {
        seen_after = 0;
        step_kill_at(&s, fold, &path, i, look);
        was_in_force += seen_after;
        assert_fold_is_kept(go_on, path.after[i]);
    }
    ck_assert_int_ge(was_in_force, 2);
    ck_assert_int_le(was_in_force, kills - 2);
}

START_TEST(master_killed_anywhere_in_a_fold_loses_and_doubles_nothing)
{
    make_dead_worker(&plain);
    kill_masters(1, successors[_i]);
}
END_TEST

START_TEST(master_killed_in_the_fold_of_a_histogram_loses_and_doubles_nothing)
{
    make_dead_worker(&all);
    ck_assert_uint_eq(before.value[TIME + RV_STATS_HISTOGRAM_MAX], 3000);
    kill_masters(5, fold);
}
END_TEST

START_TEST(next_writer_in_the_row_of_a_killed_one_is_as_exact)
{
    step_path_t path;

    make_dead_worker(&plain);
    fold();
    make_process(0);
    ck_assert_uint_eq(row, 1);
    step_follow(&s, begin_a_request, look, &path);
    ck_assert_int_eq(seen_after, 1);
}
END_TEST

/* It is killed, and the next that goes on is killed too, wherever that is. */
START_TEST(second_master_killed_in_the_same_fold_loses_nothing_either)
{
    step_path_t first, second;

    make_dead_worker(&plain);
    step_follow(&s, fold, look, &first);
    for (int i = 0; i < first.changes; i += 5) {
        make_dead_worker(&plain);
        step_kill_at(&s, fold, &first, i, NULL);
        step_save(&s);
        step_follow(&s, fold, look, &second);
        for (int j = 0; j < second.changes; j += 4) {
            seen_after = 0;
            step_kill_at(&s, fold, &second, j, look);
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
    tcase_add_loop_test(tcase, writer_killed_anywhere_leaves_all_of_its_transaction_or_nothing, 0,
        (int) rv_countof(transactions));
    tcase_add_loop_test(tcase, master_killed_anywhere_in_a_fold_loses_and_doubles_nothing, 0,
        (int) rv_countof(successors));
    tcase_add_test(tcase, master_killed_in_the_fold_of_a_histogram_loses_and_doubles_nothing);
    tcase_add_test(tcase, next_writer_in_the_row_of_a_killed_one_is_as_exact);
    tcase_add_test(tcase, second_master_killed_in_the_same_fold_loses_nothing_either);

    suite_add_tcase(suite, tcase);
    return suite;
}

int
main(int argc, char **argv)
{
    (void) argc;
    step_bind_now(argv);
    return stats_run(stats_step_suite());
}
