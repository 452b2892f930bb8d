/*
 * rv_stats_row: the values of one process, and what its death leaves of them.
 *
 * The deaths are made by hand here, in the row itself: a sequence number that
 * is odd, a journal that is there or not. Real ones, at every instruction,
 * are in test_stats_step.
 */
#include "stats_fixture.h"

enum { VALUES = 3, BYTES = sizeof(rv_stats_row_t) + (VALUES + 1) * sizeof(uint64_t) };

static rv_stats_row_ref_t ref;
static uint64_t local[VALUES + 1];

static void
setup(void)
{
    char *memory = stats_shared(BYTES);
    _Atomic uint64_t *values = (void *) (memory + sizeof(rv_stats_row_t));

    ref = (rv_stats_row_ref_t){ .row = (void *) memory,
        .value = values,
        .mark = &values[VALUES],
        .cells = VALUES,
        .local = local };
    rv_stats_row_init(&ref);
}

static void
teardown(void)
{
    munmap(ref.row, BYTES);
    memset(local, 0, sizeof(local));
}

static void
assert_values(uint64_t a, uint64_t b, uint64_t c)
{
    uint64_t values[VALUES];

    rv_stats_row_read(&ref, values, VALUES);
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

/* A transaction on 1 and 2 is open, `entries` of its journal are said to be there. */
static void
open_transaction(uint32_t entries)
{
    ref.row->sequence++;
    ref.row->journal[0].cell = 1;
    ref.row->journal[0].value = 200;
    ref.row->journal[1].cell = 2;
    ref.row->journal[1].value = 300;
    ref.row->entries = entries;
}

START_TEST(new_row_is_empty_and_adds_up)
{
    assert_values(0, 0, 0);
    add(1, 2, 3);
    add(1, 0, -3);
    assert_values(2, 2, 0);
    ck_assert_int_eq(rv_stats_row_complete(&ref), 0);
}
END_TEST

START_TEST(journal_that_was_not_complete_counts_for_nothing)
{
    add(10, 20, 30);
    open_transaction(0);
    assert_values(10, 20, 30);
    ck_assert_int_eq(rv_stats_row_complete(&ref), 1);
    assert_values(10, 20, 30);
    add(1, 1, 1);
    assert_values(11, 21, 31);
}
END_TEST

START_TEST(journal_that_was_complete_counts_as_a_whole)
{
    add(10, 20, 30);
    open_transaction(2);
    ref.value[1] = 200; /* this was stored, the other not yet */
    assert_values(10, 200, 300);

    ck_assert_int_eq(rv_stats_row_complete(&ref), 1);
    assert_values(10, 200, 300);
    ck_assert_uint_eq(ref.value[2], 300);
    ck_assert_int_eq(rv_stats_row_complete(&ref), 0);
    assert_values(10, 200, 300);
}
END_TEST

START_TEST(death_between_two_transactions_leaves_nothing_to_complete)
{
    add(10, 20, 30);
    ref.row->journal[0].value = 999; /* an old journal means nothing */
    ck_assert_int_eq(rv_stats_row_complete(&ref), 0);
    assert_values(10, 20, 30);
}
END_TEST

START_TEST(journal_of_a_value_that_is_not_there_is_passed_over)
{
    static const uint64_t wrong[] = { VALUES, VALUES + 1, UINT64_MAX };

    for (size_t i = 0; i < rv_countof(wrong); i++) {
        teardown();
        setup();
        add(10, 20, 30);
        uint64_t mark = *ref.mark;
        open_transaction(2);
        ref.row->journal[0].cell = wrong[i];
        assert_values(10, 20, 300);
        ck_assert_int_eq(rv_stats_row_complete(&ref), 1);
        assert_values(10, 20, 300);
        ck_assert_uint_eq(*ref.mark, mark);           /* behind the values, */
        ck_assert_uint_eq(ref.row->witness.value, 0); /* and before them */
    }
}
END_TEST

START_TEST(journal_that_says_it_is_longer_than_it_can_be_is_cut)
{
    add(10, 20, 30);
    open_transaction(UINT32_MAX);
    for (int i = 2; i < RV_STATS_CHANGES; i++)
        ref.row->journal[i].cell = VALUES;
    assert_values(10, 200, 300);
    ck_assert_int_eq(rv_stats_row_complete(&ref), 1);
    assert_values(10, 200, 300);
}
END_TEST

START_TEST(reader_of_the_first_values_gets_these)
{
    uint64_t values[VALUES] = { 77, 77, 77 };

    add(10, 20, 30);
    open_transaction(2); /* one of its changes is not among them */
    rv_stats_row_read(&ref, values, 2);
    ck_assert_uint_eq(values[0], 10);
    ck_assert_uint_eq(values[1], 200);
    ck_assert_uint_eq(values[2], 77);
}
END_TEST

/* The first observation of all is in the journal alone as yet: the histogram looks empty. */
START_TEST(first_observation_counts_from_its_journal_on)
{
    enum { PLAIN = 1, BUCKET = 7, CELLS = PLAIN + 2 * RV_STATS_HISTOGRAM_CELLS };
    static _Atomic uint64_t memory[CELLS + 1];
    static const rv_stats_row_shape_t shape = { PLAIN, 2 };
    const rv_stats_row_ref_t row = {
        .row = ref.row, .value = memory, .mark = &memory[CELLS], .cells = CELLS
    };
    unsigned second = rv_stats_row_histogram(&shape, 1);
    uint64_t values[CELLS];

    memset(values, 0xff, sizeof(values));
    ck_assert_uint_eq(rv_stats_row_read_seen(&row, values, &shape), 0);
    ck_assert_uint_eq(values[0], 0);
    open_transaction(1);
    ref.row->journal[0].cell = second + RV_STATS_HISTOGRAM_FIRST + BUCKET;
    ref.row->journal[0].value = 5;
    ck_assert_uint_ne(rv_stats_row_read_seen(&row, values, &shape) & 2, 0);
    ck_assert_uint_eq(rv_stats_histogram_count(values + second), 5);
    ck_assert_uint_eq(values[second + RV_STATS_HISTOGRAM_FIRST + BUCKET], 5);
}
END_TEST

START_TEST(emptied_row_is_nobodys_and_zero)
{
    add(10, 20, 30);
    ref.row->pid = 4711;
    ref.row->master = 4710;
    ref.row->heartbeat = 1000;
    ref.row->restarts = 3;
    rv_stats_row_empty(&ref);
    assert_values(0, 0, 0);
    ck_assert_int_eq(ref.row->pid, 0);
    ck_assert_int_eq(ref.row->master, 0);
    ck_assert_uint_eq(ref.row->heartbeat, 0);
    ck_assert_uint_eq(ref.row->restarts, 0);
}
END_TEST

/* All or nothing, also where a change makes no sense. */
START_TEST(transaction_on_a_value_that_is_not_there_does_nothing)
{
    static const unsigned wrong[] = { VALUES, VALUES + 1, UINT32_MAX };
    rv_stats_change_t changes[] = { { 0, 1 }, { 0, 1 } };

    for (size_t i = 0; i < rv_countof(wrong); i++) {
        changes[1].cell = wrong[i];
        rv_stats_row_apply(&ref, changes, 2);
        assert_values(0, 0, 0);
    }
    add(1, 2, 3);
    assert_values(1, 2, 3);
}
END_TEST

/* What stands in the shared memory is of no account to the one who writes it. */
START_TEST(writer_adds_to_its_own_copy)
{
    add(10, 20, 30);
    ref.value[0] = 9999;
    add(1, 1, 1);
    assert_values(11, 21, 31);
}
END_TEST

/* As when a file was cut there and made longer again. */
START_TEST(row_that_was_cut_off_is_written_anew_by_the_next_transaction)
{
    for (size_t from = 0; from < BYTES; from += 4) {
        teardown();
        setup();
        add(10, 20, 30);
        memset((char *) ref.row + from, 0, BYTES - from);
        add(0, 0, 1);
        assert_values(10, 20, 31);
        add(1, 1, 1);
        assert_values(11, 21, 32);
        ck_assert_int_eq(rv_stats_row_complete(&ref), 0);
    }
}
END_TEST

START_TEST(row_that_was_cut_off_is_written_anew_by_a_check)
{
    for (size_t from = 0; from < BYTES; from += 4) {
        teardown();
        setup();
        add(10, 20, 30);
        memset((char *) ref.row + from, 0, BYTES - from);
        rv_stats_row_check(&ref);
        assert_values(10, 20, 30);
        ck_assert_int_eq(rv_stats_row_complete(&ref), 0);
    }
}
END_TEST

/* Nothing is written where nothing was cut off, or not any more. */
START_TEST(check_of_a_whole_row_leaves_it_alone)
{
    add(10, 20, 30);
    ref.value[0] = 9999;
    rv_stats_row_check(&ref);
    assert_values(9999, 20, 30);

    memset((void *) ref.row, 0, BYTES);
    rv_stats_row_check(&ref);
    ref.value[0] = 9999;
    rv_stats_row_check(&ref);
    assert_values(9999, 20, 30);
}
END_TEST

static Suite *
stats_row_suite(void)
{
    Suite *suite = suite_create("stats_row");
    TCase *tcase = tcase_create("stats_row");

    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_set_timeout(tcase, 60);
    tcase_add_test(tcase, new_row_is_empty_and_adds_up);
    tcase_add_test(tcase, journal_that_was_not_complete_counts_for_nothing);
    tcase_add_test(tcase, journal_that_was_complete_counts_as_a_whole);
    tcase_add_test(tcase, death_between_two_transactions_leaves_nothing_to_complete);
    tcase_add_test(tcase, journal_of_a_value_that_is_not_there_is_passed_over);
    tcase_add_test(tcase, journal_that_says_it_is_longer_than_it_can_be_is_cut);
    tcase_add_test(tcase, reader_of_the_first_values_gets_these);
    tcase_add_test(tcase, first_observation_counts_from_its_journal_on);
    tcase_add_test(tcase, emptied_row_is_nobodys_and_zero);
    tcase_add_test(tcase, transaction_on_a_value_that_is_not_there_does_nothing);
    tcase_add_test(tcase, writer_adds_to_its_own_copy);
    tcase_add_test(tcase, row_that_was_cut_off_is_written_anew_by_the_next_transaction);
    tcase_add_test(tcase, row_that_was_cut_off_is_written_anew_by_a_check);
    tcase_add_test(tcase, check_of_a_whole_row_leaves_it_alone);

    suite_add_tcase(suite, tcase);
    return suite;
}

int
main(void)
{
    return stats_run(stats_row_suite());
}
