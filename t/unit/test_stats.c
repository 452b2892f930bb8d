/*
 * rv_stats: definitions, rows, transactions and folds, while nobody is killed.
 *
 * What happens when somebody is killed is in test_stats_row (a writer) and
 * test_stats_fold (the master).
 */
#include "rv_stats.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

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

/* Shared, zeroed memory for these definitions and rows. */
static void *
memory_for(const rv_stats_defs_t *d, unsigned rows)
{
    void *memory = mmap(
        NULL, rv_stats_size(d, rows), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

    ck_assert_ptr_ne(memory, MAP_FAILED);
    return memory;
}

static rv_stats_t *
stats_of(const rv_stats_defs_t *d, unsigned rows)
{
    rv_stats_t *made = rv_stats_create(memory_for(d, rows), d, rows);

    ck_assert_ptr_nonnull(made);
    return made;
}

static void
setup(void)
{
    defs.count = 0;
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
own(unsigned slot, pid_t pid)
{
    const rv_stats_owner_t owner = { .slot = slot, .pid = pid };

    ck_assert_int_eq(rv_stats_prepare(st, slot), RV_OK);
    rv_stats_set_owner(st, &owner);
    rv_stats_own(st, slot);
}

static void
add(unsigned index, int64_t delta)
{
    rv_stats_apply(st, &(rv_stats_change_t){ index, delta }, 1);
}

static uint64_t
total(unsigned index)
{
    uint64_t values[RV_STATS_MAX];

    rv_stats_snapshot(st, values);
    return values[index];
}

static void
assert_totals(uint64_t accepts, uint64_t handled, uint64_t active)
{
    ck_assert_uint_eq(total(ACCEPTS), accepts);
    ck_assert_uint_eq(total(HANDLED), handled);
    ck_assert_uint_eq(total(ACTIVE), active);
    ck_assert_uint_eq(total(REQUESTS), 0);
}

/* --- definitions -------------------------------------------------------------------- */

START_TEST(values_are_found_by_module_and_name)
{
    ck_assert_uint_eq(rv_stats_count(st), VALUES);
    ck_assert_int_eq(rv_stats_find(st, "connections", "accepts"), ACCEPTS);
    ck_assert_int_eq(rv_stats_find(st, "connections", "active"), ACTIVE);
    ck_assert_int_eq(rv_stats_find(st, "http", "requests"), REQUESTS);
    ck_assert_int_eq(rv_stats_find(st, "http", "active"), HTTP_ACTIVE);
    ck_assert_int_eq(rv_stats_find(st, "http", "accepts"), RV_ERROR);
    ck_assert_int_eq(rv_stats_find(st, "http", "request"), RV_ERROR);
    ck_assert_int_eq(rv_stats_find(st, "echo", "requests"), RV_ERROR);

    ck_assert_str_eq(rv_stats_name(st, REQUESTS), "requests");
    ck_assert_int_eq(rv_stats_kind(st, REQUESTS), RV_STATS_COUNTER);
    ck_assert_int_eq(rv_stats_kind(st, HTTP_ACTIVE), RV_STATS_GAUGE);
}
END_TEST

START_TEST(as_many_values_as_there_may_be_are_counted)
{
    static char names[RV_STATS_MAX][16];
    static rv_stats_def_t all[RV_STATS_MAX][2]; /* the second ends the list */
    rv_stats_defs_t many = { 0 };
    uint64_t values[RV_STATS_MAX];

    for (unsigned i = 0; i < RV_STATS_MAX; i++) {
        snprintf(names[i], sizeof(names[i]), "n%u", i);
        all[i][0] = (rv_stats_def_t){ names[i], RV_STATS_COUNTER, "" };
        ck_assert_int_eq(rv_stats_define(&many, "m", all[i]), RV_OK);
    }
    ck_assert_int_eq(rv_stats_define(&many, "m", connection_defs), RV_ERROR);
    ck_assert_uint_eq(many.count, RV_STATS_MAX);

    teardown();
    st = stats_of(&many, 2);
    own(1, 4711);
    for (unsigned i = 0; i < RV_STATS_MAX; i++)
        add(i, i + 1);
    for (int folded = 0; folded < 2; folded++) {
        rv_stats_snapshot(st, values);
        for (unsigned i = 0; i < RV_STATS_MAX; i++)
            ck_assert_uint_eq(values[i], i + 1);
        ck_assert_int_eq(rv_stats_fold(st, 1), RV_OK);
    }
    ck_assert_int_eq(rv_stats_find(st, "m", "n127"), 127);
}
END_TEST

START_TEST(sameness_is_that_of_names_kinds_order_and_rows)
{
    static const rv_stats_def_t renamed[] = { { "requests", RV_STATS_COUNTER, "" },
        { "activ", RV_STATS_GAUGE, "" }, { 0 } };
    static const rv_stats_def_t rekinded[] = { { "requests", RV_STATS_GAUGE, "" },
        { "active", RV_STATS_GAUGE, "" }, { 0 } };
    static const rv_stats_def_t other_help[] = { { "requests", RV_STATS_COUNTER, "other words" },
        { "active", RV_STATS_GAUGE, "" }, { 0 } };
    const struct {
        const rv_stats_def_t *first, *second;
        const char *module;
        int same;
    } cases[] = {
        { connection_defs, http_defs, "http", 1 },
        { connection_defs, other_help, "http", 1 },
        { connection_defs, renamed, "http", 0 },
        { connection_defs, rekinded, "http", 0 },
        { connection_defs, http_defs, "http2", 0 },
        { connection_defs, NULL, NULL, 0 },
        { http_defs, connection_defs, "http", 0 },
    };

    for (size_t i = 0; i < rv_countof(cases); i++) {
        rv_stats_defs_t other = { 0 };

        rv_stats_define(&other, "connections", cases[i].first);
        if (cases[i].second != NULL)
            rv_stats_define(&other, cases[i].module, cases[i].second);
        ck_assert_msg(rv_stats_same(st, &other, ROWS) == cases[i].same, "case %zu", i);
    }
    ck_assert(!rv_stats_same(st, &defs, ROWS + 1));
    ck_assert(!rv_stats_same(st, &defs, ROWS - 1));
}
END_TEST

/* --- rows and transactions ---------------------------------------------------------- */

START_TEST(snapshot_is_the_sum_of_all_rows)
{
    assert_totals(0, 0, 0);
    own(0, 100);
    add(ACCEPTS, 3);
    add(HANDLED, 2);
    own(ROWS - 1, 101);
    add(ACCEPTS, 10);
    own(7, 102);
    add(ACCEPTS, 100);
    add(ACTIVE, 1);
    assert_totals(113, 2, 1);

    rv_stats_own(st, 0); /* goes on where it was */
    add(ACCEPTS, 1);
    assert_totals(114, 2, 1);
}
END_TEST

START_TEST(transaction_changes_all_of_its_values)
{
    const rv_stats_change_t up[] = { { ACCEPTS, 1 }, { HANDLED, 1 }, { ACTIVE, 1 } };
    const rv_stats_change_t down[] = { { ACTIVE, -1 }, { ACCEPTS, 5 } };

    own(1, 100);
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
    static const rv_stats_def_t many[] = { { "0", RV_STATS_COUNTER, "" },
        { "1", RV_STATS_COUNTER, "" }, { "2", RV_STATS_COUNTER, "" }, { "3", RV_STATS_COUNTER, "" },
        { "4", RV_STATS_COUNTER, "" }, { "5", RV_STATS_COUNTER, "" }, { "6", RV_STATS_COUNTER, "" },
        { "7", RV_STATS_COUNTER, "" }, { "8", RV_STATS_COUNTER, "" }, { 0 } };
    rv_stats_defs_t nine = { 0 };
    rv_stats_change_t changes[RV_STATS_CHANGES + 1];

    ck_assert_int_eq(rv_stats_define(&nine, "m", many), RV_OK);
    teardown();
    st = stats_of(&nine, 1);
    own(0, 100);
    for (unsigned i = 0; i <= RV_STATS_CHANGES; i++)
        changes[i] = (rv_stats_change_t){ i, (int64_t) i + 1 };

    rv_stats_apply(st, changes, RV_STATS_CHANGES + 1);
    for (unsigned i = 0; i <= RV_STATS_CHANGES; i++)
        ck_assert_uint_eq(total(i), 0);
    rv_stats_apply(st, changes, RV_STATS_CHANGES);
    for (unsigned i = 0; i < RV_STATS_CHANGES; i++)
        ck_assert_uint_eq(total(i), i + 1);
    ck_assert_uint_eq(total(RV_STATS_CHANGES), 0);
}
END_TEST

START_TEST(process_without_a_row_writes_nowhere)
{
    rv_stats_apply(st, &(rv_stats_change_t){ ACCEPTS, 1 }, 1);
    rv_stats_heartbeat(st, 1000);
    assert_totals(0, 0, 0);
}
END_TEST

START_TEST(row_tells_its_owner_and_its_values)
{
    const rv_stats_owner_t owner = {
        .slot = 3, .worker = 2, .generation = 7, .pid = 4711, .state = 2, .started = 1700000000
    };
    rv_stats_owner_t seen;
    uint64_t values[VALUES];

    ck_assert_int_eq(rv_stats_prepare(st, 3), RV_OK);
    ck_assert_int_eq(rv_stats_row(st, 3, &seen, values), RV_DONE);
    rv_stats_set_owner(st, &owner);
    rv_stats_own(st, 3);
    add(ACCEPTS, 5);
    rv_stats_heartbeat(st, 1000);

    ck_assert_int_eq(rv_stats_row(st, 3, &seen, values), RV_OK);
    ck_assert_uint_eq(seen.slot, 3);
    ck_assert_uint_eq(seen.worker, 2);
    ck_assert_uint_eq(seen.generation, 7);
    ck_assert_int_eq(seen.pid, 4711);
    ck_assert_int_eq(seen.state, 2);
    ck_assert_int_eq(seen.started, 1700000000);
    ck_assert_uint_eq(values[ACCEPTS], 5);
    ck_assert_uint_eq(values[HANDLED], 0);

    ck_assert_int_eq(rv_stats_row(st, 0, &seen, values), RV_DONE);
    ck_assert_int_eq(rv_stats_row(st, 4, &seen, values), RV_DONE);
    ck_assert_int_eq(rv_stats_row(st, ROWS - 1, &seen, values), RV_DONE);
    ck_assert_int_eq(rv_stats_row(st, ROWS, &seen, values), RV_DONE);
    ck_assert_int_eq(rv_stats_row(st, UINT32_MAX, &seen, values), RV_DONE);
}
END_TEST

/* --- folds ---------------------------------------------------------------------------- */

START_TEST(counters_of_a_dead_process_stay_and_its_gauges_go)
{
    rv_stats_owner_t owner;
    uint64_t values[VALUES];

    own(1, 100);
    add(ACCEPTS, 7);
    add(ACTIVE, 3);
    own(2, 101);
    add(ACCEPTS, 1);
    add(ACTIVE, 2);
    assert_totals(8, 0, 5);

    ck_assert_int_eq(rv_stats_fold(st, 1), RV_OK);
    assert_totals(8, 0, 2);
    ck_assert_int_eq(rv_stats_row(st, 1, &owner, values), RV_DONE);
    ck_assert_int_eq(rv_stats_fold(st, 2), RV_OK);
    assert_totals(8, 0, 0);
    ck_assert_uint_eq(rv_stats_recoveries(st), 0);
}
END_TEST

START_TEST(next_owner_of_a_slot_begins_at_nothing)
{
    rv_stats_owner_t owner;
    uint64_t values[VALUES];

    for (int round = 1; round <= 50; round++) {
        own(1, 100 + round);
        ck_assert_int_eq(rv_stats_row(st, 1, &owner, values), RV_OK);
        ck_assert_uint_eq(values[ACCEPTS], 0);
        ck_assert_uint_eq(values[ACTIVE], 0);
        add(ACCEPTS, round);
        add(ACTIVE, 1);
        assert_totals((uint64_t) (round * (round + 1) / 2), 0, 1);
        ck_assert_int_eq(rv_stats_fold(st, 1), RV_OK);
    }
    assert_totals(50 * 51 / 2, 0, 0);
}
END_TEST

START_TEST(folding_an_empty_slot_changes_nothing)
{
    own(1, 100);
    add(ACCEPTS, 7);
    for (unsigned slot = 0; slot < ROWS; slot++) {
        if (slot != 1)
            ck_assert_int_eq(rv_stats_fold(st, slot), RV_OK);
    }
    assert_totals(7, 0, 0);
    ck_assert_int_eq(rv_stats_fold(st, 1), RV_OK);
    ck_assert_int_eq(rv_stats_fold(st, 1), RV_OK);
    assert_totals(7, 0, 0);
    ck_assert_uint_eq(rv_stats_recoveries(st), 0);
}
END_TEST

START_TEST(counters_are_not_bounded_by_32_bits)
{
    own(1, 100);
    add(ACCEPTS, INT64_C(0x7fffffff00000000));
    own(2, 101);
    add(ACCEPTS, INT64_C(0x00000000ffffffff));
    assert_totals(0x7fffffffffffffff, 0, 0);
    ck_assert_int_eq(rv_stats_fold(st, 1), RV_OK);
    ck_assert_int_eq(rv_stats_fold(st, 2), RV_OK);
    assert_totals(0x7fffffffffffffff, 0, 0);
}
END_TEST

/* Several processes at once, each in a row of its own, as long as they like. */
START_TEST(many_processes_lose_no_count)
{
    enum { PROCESSES = 4, ROUNDS = 20000 };
    const rv_stats_change_t up[] = { { ACCEPTS, 1 }, { HANDLED, 2 }, { ACTIVE, 1 } };
    const rv_stats_change_t down[] = { { ACTIVE, -1 } };
    int status;

    for (unsigned i = 0; i < PROCESSES; i++) {
        own(i, (pid_t) i + 1);
        pid_t pid = fork();
        ck_assert_int_ne(pid, -1);
        if (pid == 0) {
            for (int round = 0; round < ROUNDS; round++) {
                rv_stats_apply(st, up, 3);
                rv_stats_apply(st, down, 1);
            }
            _exit(0);
        }
    }
    while (wait(&status) > 0)
        ck_assert(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    assert_totals(PROCESSES * ROUNDS, 2 * PROCESSES * ROUNDS, 0);
    for (unsigned i = 0; i < PROCESSES; i++)
        ck_assert_int_eq(rv_stats_fold(st, i), RV_OK);
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
    tcase_add_test(tcase, values_are_found_by_module_and_name);
    tcase_add_test(tcase, as_many_values_as_there_may_be_are_counted);
    tcase_add_test(tcase, sameness_is_that_of_names_kinds_order_and_rows);
    tcase_add_test(tcase, snapshot_is_the_sum_of_all_rows);
    tcase_add_test(tcase, transaction_changes_all_of_its_values);
    tcase_add_test(tcase, transaction_takes_its_most_and_no_more);
    tcase_add_test(tcase, process_without_a_row_writes_nowhere);
    tcase_add_test(tcase, row_tells_its_owner_and_its_values);
    tcase_add_test(tcase, counters_of_a_dead_process_stay_and_its_gauges_go);
    tcase_add_test(tcase, next_owner_of_a_slot_begins_at_nothing);
    tcase_add_test(tcase, folding_an_empty_slot_changes_nothing);
    tcase_add_test(tcase, counters_are_not_bounded_by_32_bits);
    tcase_add_test(tcase, many_processes_lose_no_count);

    suite_add_tcase(suite, tcase);
    return suite;
}

int
main(void)
{
    SRunner *runner = srunner_create(stats_suite());

    srunner_run_all(runner, CK_NORMAL);

    int failed = srunner_ntests_failed(runner);

    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
