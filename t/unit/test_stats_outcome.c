/*
 * rv_stats_outcome: a caller learns what became of what it has asked for.
 */
#include "stats_fixture.h"

static const rv_stats_def_t defs_table[] = { { "accepts", RV_STATS_COUNTER, "" }, { 0 } };
static rv_stats_defs_t defs;
static rv_stats_t *st;

static void
setup(void)
{
    defs = (rv_stats_defs_t){ 0 };
    ck_assert_int_eq(rv_stats_define(&defs, "m", defs_table), RV_OK);
    st = stats_of(&defs, 2);
}

static void
teardown(void)
{
    rv_stats_free(st);
}

static void
expect(const rv_stats_t *of, rv_stats_action_t action, uint64_t begun, uint64_t finished,
    int result, const char *text)
{
    rv_stats_outcome_t o;

    rv_stats_outcome(of, action, &o);
    ck_assert_uint_eq(o.begun, begun);
    ck_assert_uint_eq(o.finished, finished);
    ck_assert_int_eq(o.result, result);
    ck_assert_str_eq(o.text, text);
}

START_TEST(each_action_has_an_outcome_of_its_own)
{
    for (int i = 0; i < RV_STATS_ACTIONS; i++)
        expect(st, (rv_stats_action_t) i, 0, 0, 0, "");
    rv_stats_begin(st, RV_STATS_RELOAD);
    rv_stats_begin(st, RV_STATS_ADD);
    rv_stats_finish(st, RV_STATS_RELOAD, 1, "unknown directive");
    expect(st, RV_STATS_RELOAD, 1, 1, 1, "unknown directive");
    expect(st, RV_STATS_ADD, 1, 0, 0, "");
    expect(st, RV_STATS_REMOVE, 0, 0, 0, "");
    rv_stats_begin(st, RV_STATS_RELOAD);
    expect(st, RV_STATS_RELOAD, 2, 1, 1, "unknown directive");
    rv_stats_finish(st, RV_STATS_RELOAD, 0, "");
    expect(st, RV_STATS_RELOAD, 2, 2, 0, "");
}
END_TEST

START_TEST(text_that_is_too_long_is_cut)
{
    rv_stats_outcome_t o;
    char text[RV_STATS_TEXT + 100];

    memset(text, 'x', sizeof(text));
    text[sizeof(text) - 1] = '\0';
    rv_stats_finish(st, RV_STATS_UPGRADE, 1, text);
    rv_stats_outcome(st, RV_STATS_UPGRADE, &o);
    ck_assert_uint_eq(strlen(o.text), RV_STATS_TEXT - 1);
}
END_TEST

/* What a caller has read before is still true in the memory that follows. */
START_TEST(numbers_go_on_in_memory_that_takes_this_ones_place)
{
    rv_stats_t *next = stats_of(&defs, 2);

    rv_stats_begin(st, RV_STATS_REOPEN);
    rv_stats_finish(st, RV_STATS_REOPEN, 0, "");
    rv_stats_begin(st, RV_STATS_RELOAD);
    rv_stats_succeed(next, st);
    expect(next, RV_STATS_RELOAD, 1, 0, 0, "");
    rv_stats_begin(st, RV_STATS_REOPEN); /* before the new one is in force */
    rv_stats_finish(st, RV_STATS_REOPEN, 1, "disk full");
    rv_stats_supersede(next, st);
    rv_stats_finish(next, RV_STATS_RELOAD, 0, "");
    expect(next, RV_STATS_RELOAD, 1, 1, 0, "");
    expect(next, RV_STATS_REOPEN, 2, 2, 1, "disk full");
    rv_stats_free(next);
}
END_TEST

START_TEST(numbers_go_on_under_the_next_master)
{
    rv_stats_master_t master;

    rv_stats_set_master(st, 4711, 1700000000, 1);
    rv_stats_begin(st, RV_STATS_RELOAD);
    rv_stats_finish(st, RV_STATS_RELOAD, 1, "unknown directive");
    rv_stats_set_master(st, 4712, 1700000001, 2);
    expect(st, RV_STATS_RELOAD, 1, 1, 1, "unknown directive");
    rv_stats_master(st, &master);
    ck_assert_uint_eq(master.reloads, 0); /* none of this one's */
    rv_stats_begin(st, RV_STATS_RELOAD);
    rv_stats_finish(st, RV_STATS_RELOAD, 0, "");
    rv_stats_master(st, &master);
    ck_assert_uint_eq(master.reloads, 1);
}
END_TEST

static Suite *
stats_outcome_suite(void)
{
    Suite *suite = suite_create("stats_outcome");
    TCase *tcase = tcase_create("stats_outcome");

    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_add_test(tcase, each_action_has_an_outcome_of_its_own);
    tcase_add_test(tcase, text_that_is_too_long_is_cut);
    tcase_add_test(tcase, numbers_go_on_in_memory_that_takes_this_ones_place);
    tcase_add_test(tcase, numbers_go_on_under_the_next_master);
    suite_add_tcase(suite, tcase);
    return suite;
}

int
main(void)
{
    return stats_run(stats_outcome_suite());
}
