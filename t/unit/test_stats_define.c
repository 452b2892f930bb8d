/*
 * rv_stats: what may be defined, and where it is found.
 */
#include "stats_fixture.h"

#include <stdio.h>

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

    const rv_stats_info_t info = rv_stats_info(st, REQUESTS);
    ck_assert_str_eq(info.module, "http");
    ck_assert_str_eq(info.name, "requests");
    ck_assert_str_eq(info.help, "requests begun");
    ck_assert_uint_eq(info.kind, RV_STATS_COUNTER);
    ck_assert_uint_eq(info.cell, REQUESTS);
    ck_assert_uint_eq(rv_stats_info(st, HTTP_ACTIVE).kind, RV_STATS_GAUGE);
}
END_TEST

/* In the order of their definitions, but a histogram's come behind all others. */
START_TEST(cells_of_histograms_come_last)
{
    static const rv_stats_def_t mixed[] = { { "time", RV_STATS_HISTOGRAM, "" },
        { "requests", RV_STATS_COUNTER, "" }, { "wait", RV_STATS_HISTOGRAM, "" },
        { "active", RV_STATS_GAUGE, "" }, { 0 } };
    rv_stats_defs_t some = { 0 };

    ck_assert_int_eq(rv_stats_define(&some, "m", mixed), RV_OK);
    teardown();
    st = stats_of(&some, 1);
    ck_assert_uint_eq(rv_stats_count(st), 4);
    ck_assert_uint_eq(rv_stats_plain(st), 2);
    ck_assert_uint_eq(rv_stats_cells(st), 2 + 2 * RV_STATS_HISTOGRAM_CELLS);
    ck_assert_int_eq(rv_stats_find(st, "m", "requests"), 0);
    ck_assert_int_eq(rv_stats_find(st, "m", "active"), 1);
    ck_assert_int_eq(rv_stats_find(st, "m", "time"), 2);
    ck_assert_int_eq(rv_stats_find(st, "m", "wait"), 2 + RV_STATS_HISTOGRAM_CELLS);
}
END_TEST

START_TEST(names_are_words_and_may_have_a_label)
{
    static const struct {
        const char *module, *name;
        int result;
    } cases[] = {
        { "m", "requests", RV_OK },
        { "m", "requests_2xx", RV_OK },
        { "m", "restarts{reason=\"exit\"}", RV_OK },
        { "http_2", "a", RV_OK },
        { "m", "", RV_ERROR },
        { "m", "2xx", RV_ERROR },
        { "m", "_a", RV_ERROR },
        { "m", "Requests", RV_ERROR },
        { "m", "a b", RV_ERROR },
        { "m", "a-b", RV_ERROR },
        { "m", "a\n", RV_ERROR },
        { "m", "a{", RV_ERROR },
        { "m", "a{}", RV_ERROR },
        { "m", "a{b}", RV_ERROR },
        { "m", "a{=\"c\"}", RV_ERROR },
        { "m", "a{b=\"\"}", RV_ERROR },
        { "m", "a{b=\"c\"", RV_ERROR },
        { "m", "a{b=\"c\"}d", RV_ERROR },
        { "m", "a{b=\"c\\\"}", RV_ERROR },
        { "m", "{b=\"c\"}", RV_ERROR },
        { "", "a", RV_ERROR },
        { "m{b=\"c\"}", "a", RV_ERROR },
        { "m-n", "a", RV_ERROR },
    };

    for (size_t i = 0; i < rv_countof(cases); i++) {
        const rv_stats_def_t def[] = { { cases[i].name, RV_STATS_COUNTER, "" }, { 0 } };
        rv_stats_defs_t some = { 0 };

        ck_assert_msg(rv_stats_define(&some, cases[i].module, def) == cases[i].result,
            "\"%s\" of \"%s\"", cases[i].name, cases[i].module);
        ck_assert_uint_eq(some.count, cases[i].result == RV_OK);
    }
}
END_TEST

/* They become one metric: it has one kind, stands in one place, and is of one piece. */
START_TEST(values_that_differ_in_the_label_belong_together)
{
    static const struct {
        const char *module;
        rv_stats_def_t def;
        const char *error; /* NULL: it may stand behind the others */
    } cases[] = {
        { "m", { "restarts{reason=\"kill\"}", RV_STATS_COUNTER, "" }, NULL },
        { "m", { "restart", RV_STATS_GAUGE, "" }, NULL },
        { "n", { "a", RV_STATS_GAUGE, "" }, NULL },
        { "m", { "restarts{reason=\"exit\"}", RV_STATS_COUNTER, "" }, "there already" },
        { "m", { "a", RV_STATS_COUNTER, "" }, "there already" },
        { "m", { "restarts{reason=\"kill\"}", RV_STATS_GAUGE, "" }, "another kind" },
        { "m", { "restarts", RV_STATS_COUNTER, "" }, "without a label" },
        { "m", { "a{b=\"c\"}", RV_STATS_COUNTER, "" }, "without a label" },
        { "m", { "h{b=\"c\"}", RV_STATS_HISTOGRAM, "" }, "takes no label" },
        { "m", { "apart{b=\"d\"}", RV_STATS_COUNTER, "" }, "does not stand behind" },
        { "m", { "h", RV_STATS_COUNTER, "two\nlines" }, "control characters" },
    };
    static const rv_stats_def_t first[] = { { "apart{b=\"c\"}", RV_STATS_COUNTER, "" },
        { "a", RV_STATS_COUNTER, "" }, { "restarts{reason=\"exit\"}", RV_STATS_COUNTER, "" },
        { 0 } };

    for (size_t i = 0; i < rv_countof(cases); i++) {
        const rv_stats_def_t def[] = { cases[i].def, { 0 } };
        rv_stats_defs_t some = { 0 };

        ck_assert_int_eq(rv_stats_define(&some, "m", first), RV_OK);
        int result = rv_stats_define(&some, cases[i].module, def);
        ck_assert_msg(
            (result == RV_OK) == (cases[i].error == NULL), "%s: %s", def->name, some.error);
        if (cases[i].error == NULL)
            continue;
        ck_assert_msg(strstr(some.error, cases[i].error) != NULL, "%s", some.error);
        ck_assert_ptr_nonnull(strstr(some.error, def->name));
        ck_assert_uint_eq(some.count, 3);
    }
}
END_TEST

START_TEST(value_of_no_kind_is_refused)
{
    static const int kinds[] = { 0, 4, 99, -1 };

    for (size_t i = 0; i < rv_countof(kinds); i++) {
        const rv_stats_def_t def[] = { { "a", (rv_stats_kind_t) kinds[i], "" }, { 0 } };
        rv_stats_defs_t some = { 0 };

        ck_assert_int_eq(rv_stats_define(&some, "m", def), RV_ERROR);
    }
}
END_TEST

/* Twenty histograms and what is left beside them. */
START_TEST(row_has_so_many_cells_and_no_more)
{
    enum { MOST = RV_STATS_CELLS / RV_STATS_HISTOGRAM_CELLS };
    static char names[MOST + 1][16];
    static rv_stats_def_t all[MOST + 1][2]; /* the second ends the list */
    rv_stats_defs_t many = { 0 };

    for (int i = 0; i <= MOST; i++) {
        snprintf(names[i], sizeof(names[i]), "h%d", i);
        all[i][0] = (rv_stats_def_t){ names[i], RV_STATS_HISTOGRAM, "" };
        ck_assert_int_eq(rv_stats_define(&many, "m", all[i]), i < MOST ? RV_OK : RV_ERROR);
    }
    ck_assert_ptr_nonnull(strstr(many.error, "too many"));
    ck_assert_int_eq(rv_stats_define(&many, "connections", connection_defs), RV_OK);
    teardown();
    st = stats_of(&many, 1);
    unsigned cells = rv_stats_cells(st), row = stats_own(st);

    ck_assert_uint_eq(cells, MOST * RV_STATS_HISTOGRAM_CELLS + 3);
    const rv_stats_change_t changes[] = {
        { cells - RV_STATS_HISTOGRAM_CELLS + RV_STATS_HISTOGRAM_SUM, 1 }, { cells - 1, 7 }
    };
    rv_stats_apply(st, changes, rv_countof(changes));
    ck_assert_uint_eq(stats_total(st, cells - 1), 7);
    ck_assert_int_eq(rv_stats_fold(st, row), RV_OK);
    ck_assert_uint_eq(stats_total(st, cells - 1), 7);
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
    unsigned row = stats_own(st);
    for (unsigned i = 0; i < RV_STATS_MAX; i++)
        add(i, i + 1);
    for (int folded = 0; folded < 2; folded++) {
        rv_stats_snapshot(st, values, RV_STATS_MAX);
        for (unsigned i = 0; i < RV_STATS_MAX; i++)
            ck_assert_uint_eq(values[i], i + 1);
        ck_assert_int_eq(rv_stats_fold(st, row), RV_OK);
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

static Suite *
stats_define_suite(void)
{
    Suite *suite = suite_create("stats_define");
    TCase *tcase = tcase_create("stats_define");

    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_set_timeout(tcase, 120);
    tcase_add_test(tcase, values_are_found_by_module_and_name);
    tcase_add_test(tcase, cells_of_histograms_come_last);
    tcase_add_test(tcase, names_are_words_and_may_have_a_label);
    tcase_add_test(tcase, values_that_differ_in_the_label_belong_together);
    tcase_add_test(tcase, value_of_no_kind_is_refused);
    tcase_add_test(tcase, row_has_so_many_cells_and_no_more);
    tcase_add_test(tcase, as_many_values_as_there_may_be_are_counted);
    tcase_add_test(tcase, sameness_is_that_of_names_kinds_order_and_rows);

    suite_add_tcase(suite, tcase);
    return suite;
}

int
main(void)
{
    return stats_run(stats_define_suite());
}
