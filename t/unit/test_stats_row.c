/*
 * rv_stats_row: the values of one process, and what its death leaves of them.
 *
 * The deaths are made by hand here, in the row itself: a sequence number that
 * is odd, a journal that is there or not. Real ones, at every instruction,
 * are in test_stats_step.
 */
#include "rv_stats_row.h"

#include <check.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

enum { VALUES = 3 };

static rv_stats_row_ref_t ref;

static void
setup(void)
{
    void *memory = mmap(NULL, sizeof(rv_stats_row_t) + (VALUES + 1) * sizeof(uint64_t),
        PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

    ck_assert_ptr_ne(memory, MAP_FAILED);
    ref = (rv_stats_row_ref_t){ .row = memory, .count = VALUES };
    ck_assert_int_eq(rv_stats_row_init(ref.row), RV_OK);
}

static void
assert_values(uint64_t a, uint64_t b, uint64_t c)
{
    uint64_t values[VALUES];

    rv_stats_row_read(&ref, values);
    ck_assert_uint_eq(values[0], a);
    ck_assert_uint_eq(values[1], b);
    ck_assert_uint_eq(values[2], c);
}

static void
add(int64_t a, int64_t b, int64_t c)
{
    const rv_stats_change_t changes[] = { { 0, a }, { 1, b }, { 2, c } };

    rv_stats_row_apply(&ref, changes, 3);
}

/* The writer dies holding the row's lock. */
static void
die_with_the_lock(void)
{
    int status;
    pid_t pid = fork();

    ck_assert_int_ne(pid, -1);
    if (pid == 0)
        _exit(rv_lock_acquire(&ref.row->lock, NULL, NULL) == RV_OK ? 0 : 1);
    ck_assert_int_eq(waitpid(pid, &status, 0), pid);
    ck_assert_int_eq(status, 0);
}

/* A transaction on 1 and 2 is open, `entries` of its journal are said to be there. */
static void
open_transaction(uint32_t entries)
{
    ref.row->sequence++;
    ref.row->journal[0].index = 1;
    ref.row->journal[0].value = 200;
    ref.row->journal[1].index = 2;
    ref.row->journal[1].value = 300;
    ref.row->entries = entries;
}

START_TEST(new_row_is_empty_and_adds_up)
{
    assert_values(0, 0, 0);
    add(1, 2, 3);
    add(1, 0, -3);
    assert_values(2, 2, 0);
    ck_assert_uint_eq(ref.row->sequence % 2, 0);
    ck_assert_uint_eq(ref.completed, 0);
}
END_TEST

START_TEST(journal_that_was_not_complete_counts_for_nothing)
{
    add(10, 20, 30);
    die_with_the_lock();
    open_transaction(0);
    assert_values(10, 20, 30);

    ck_assert_int_eq(rv_stats_row_take_over(&ref), RV_OK);
    assert_values(10, 20, 30);
    ck_assert_uint_eq(ref.completed, 1);
    rv_stats_row_give_back(&ref);
    add(1, 1, 1);
    assert_values(11, 21, 31);
}
END_TEST

START_TEST(journal_that_was_complete_counts_as_a_whole)
{
    add(10, 20, 30);
    die_with_the_lock();
    open_transaction(2);
    ref.row->value[1] = 200; /* this was stored, the other not yet */
    assert_values(10, 200, 300);

    ck_assert_int_eq(rv_stats_row_take_over(&ref), RV_OK);
    assert_values(10, 200, 300);
    ck_assert_uint_eq(ref.row->value[2], 300);
    ck_assert_uint_eq(ref.completed, 1);
    rv_stats_row_give_back(&ref);
    add(1, 1, 1);
    assert_values(11, 201, 301);
}
END_TEST

START_TEST(writer_itself_completes_what_another_left)
{
    add(10, 20, 30);
    die_with_the_lock();
    open_transaction(2);
    add(1, 1, 1);
    assert_values(11, 201, 301);
    ck_assert_uint_eq(ref.completed, 1);
}
END_TEST

START_TEST(death_between_two_transactions_leaves_nothing_to_complete)
{
    add(10, 20, 30);
    ref.row->journal[0].value = 999; /* an old journal means nothing */
    die_with_the_lock();
    ck_assert_int_eq(rv_stats_row_take_over(&ref), RV_OK);
    assert_values(10, 20, 30);
    ck_assert_uint_eq(ref.completed, 0);
    rv_stats_row_give_back(&ref);

    ck_assert_int_eq(rv_stats_row_take_over(&ref), RV_OK); /* nobody had it */
    ck_assert_uint_eq(ref.completed, 0);
    rv_stats_row_give_back(&ref);
}
END_TEST

START_TEST(journal_of_a_value_that_is_not_there_is_passed_over)
{
    static const uint64_t wrong[] = { VALUES, UINT64_MAX };

    for (size_t i = 0; i < rv_countof(wrong); i++) {
        rv_stats_row_empty(&ref);
        add(10, 20, 30);
        open_transaction(2);
        ref.row->journal[0].index = wrong[i];
        assert_values(10, 20, 300);
        ck_assert_int_eq(rv_stats_row_take_over(&ref), RV_OK);
        assert_values(10, 20, 300);
        rv_stats_row_give_back(&ref);
        ck_assert_uint_eq(ref.row->value[VALUES], 0); /* behind the row, */
        ck_assert_uint_eq(ref.row->heartbeat, 0);     /* and before its values */
    }
}
END_TEST

/* A lock that nobody can have any more: the counts are safe all the same. */
START_TEST(row_whose_lock_is_broken_can_be_read_and_completed)
{
    add(10, 20, 30);
    die_with_the_lock();
    ck_assert_int_eq(rv_lock_acquire(&ref.row->lock, NULL, NULL), RV_ERROR);
    ck_assert_int_eq(errno, ENOTRECOVERABLE);
    open_transaction(2);
    ck_assert_int_eq(rv_stats_row_take_over(&ref), RV_ERROR);
    ck_assert_uint_eq(ref.row->sequence % 2, 0);
    assert_values(10, 200, 300);
    add(1, 1, 1);
    assert_values(10, 200, 300);
}
END_TEST

START_TEST(emptied_row_is_nobodys_and_zero)
{
    add(10, 20, 30);
    ref.row->pid = 4711;
    ref.row->heartbeat = 1000;
    rv_stats_row_empty(&ref);
    assert_values(0, 0, 0);
    ck_assert_int_eq(ref.row->pid, 0);
    ck_assert_uint_eq(ref.row->heartbeat, 0);
    add(1, 2, 3);
    assert_values(1, 2, 3);
}
END_TEST

START_TEST(change_of_a_value_that_is_not_there_harms_nothing)
{
    static const unsigned wrong[] = { VALUES, VALUES + 1, UINT32_MAX };
    rv_stats_change_t changes[] = { { 0, 1 }, { 0, 1 } };

    for (size_t i = 0; i < rv_countof(wrong); i++) {
        changes[1].index = wrong[i];
        rv_stats_row_apply(&ref, changes, 2);
    }
    add(1, 2, 3);
    uint64_t values[VALUES];
    rv_stats_row_read(&ref, values);
    ck_assert_uint_eq(values[1], 2);
    ck_assert_uint_eq(values[2], 3);
}
END_TEST

static Suite *
stats_row_suite(void)
{
    Suite *suite = suite_create("stats_row");
    TCase *tcase = tcase_create("stats_row");

    tcase_add_checked_fixture(tcase, setup, NULL);
    tcase_set_timeout(tcase, 60);
    tcase_add_test(tcase, new_row_is_empty_and_adds_up);
    tcase_add_test(tcase, journal_that_was_not_complete_counts_for_nothing);
    tcase_add_test(tcase, journal_that_was_complete_counts_as_a_whole);
    tcase_add_test(tcase, writer_itself_completes_what_another_left);
    tcase_add_test(tcase, death_between_two_transactions_leaves_nothing_to_complete);
    tcase_add_test(tcase, journal_of_a_value_that_is_not_there_is_passed_over);
    tcase_add_test(tcase, row_whose_lock_is_broken_can_be_read_and_completed);
    tcase_add_test(tcase, emptied_row_is_nobodys_and_zero);
    tcase_add_test(tcase, change_of_a_value_that_is_not_there_harms_nothing);

    suite_add_tcase(suite, tcase);
    return suite;
}

int
main(void)
{
    SRunner *runner = srunner_create(stats_row_suite());

    srunner_run_all(runner, CK_NORMAL);

    int failed = srunner_ntests_failed(runner);

    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
