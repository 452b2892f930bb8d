/*
 * rv_conf_set: the functions that read a directive's value.
 *
 * A row of a table is a value and what it makes of the field, or the error
 * that the operator gets; a value that is refused leaves the field alone.
 */
#include "rv_conf_set.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define UNTOUCHED 4242

static rv_pool_t *pool;
static rv_conf_t *cf;

static void
setup(void)
{
    pool = rv_pool_create();
    cf = rv_conf_create(pool, "/prefix/");
    rv_conf_place(cf, "f", 3);
}

static void
teardown(void)
{
    rv_pool_destroy(pool);
}

static const rv_conf_bounds_t small = { 1, 10 };
static const rv_conf_bounds_t around = { -5, 5 };
static const rv_conf_bounds_t one_m = { 1024, 1024 * 1024 };
static const rv_conf_bounds_t seconds = { 500, 60000 };
static const rv_conf_bounds_t any = { 0, INT64_MAX };
static const rv_conf_word_t words[] = { { "poll", 1 }, { "epoll", 2 }, { "off", 0 }, { NULL, 9 } };

static const rv_directive_t flag = { "f", rv_conf_set_flag, 0, NULL, "", NULL, 0 };
static const rv_directive_t word = { "w", rv_conf_set_word, 0, NULL, "", words, 0 };
static const rv_directive_t free_int = { "i", rv_conf_set_int, 0, NULL, "", NULL, 0 };
static const rv_directive_t int5 = { "i", rv_conf_set_int, 0, NULL, "", &around, 0 };
static const rv_directive_t free_uint = { "u", rv_conf_set_uint, 0, NULL, "", NULL, 0 };
static const rv_directive_t uint10 = { "u", rv_conf_set_uint, 0, NULL, "", &small, 0 };
static const rv_directive_t uint63 = { "u", rv_conf_set_uint, 0, NULL, "", &any, 0 };
static const rv_directive_t free_size = { "s", rv_conf_set_size, 0, NULL, "", NULL, 0 };
static const rv_directive_t size1m = { "s", rv_conf_set_size, 0, NULL, "", &one_m, 0 };
static const rv_directive_t free_msec = { "t", rv_conf_set_msec, 0, NULL, "", NULL, 0 };
static const rv_directive_t msec60 = { "t", rv_conf_set_msec, 0, NULL, "", &seconds, 0 };

#define INVALID(name, value) "invalid value \"" value "\" in directive \"" name "\" in f:3"
#define OUTSIDE(name, value, range) \
    "value \"" value "\" in directive \"" name "\" is out of range, " range " in f:3"
#define ON_OR_OFF(value) \
    "invalid value \"" value "\" in directive \"f\", it must be \"on\" or \"off\" in f:3"

/* `error` NULL: the field becomes `result`. */
static const struct {
    const rv_directive_t *d;
    const char *value;
    int64_t result;
    const char *error;
} numbers[] = {
    { &free_int, "7", 7, NULL },
    { &free_int, "-7", -7, NULL },
    { &free_int, "9223372036854775807", INT64_MAX, NULL },
    { &free_int, "9223372036854775808", 0, INVALID("i", "9223372036854775808") },
    { &free_int, "x", 0, INVALID("i", "x") },
    { &free_int, "1 ", 0, INVALID("i", "1 ") },
    { &int5, "-5", -5, NULL },
    { &int5, "5", 5, NULL },
    { &int5, "-6", 0, OUTSIDE("i", "-6", "-5 to 5") },
    { &int5, "6", 0, OUTSIDE("i", "6", "-5 to 5") },
    { &free_uint, "0", 0, NULL },
    { &free_uint, "18446744073709551615", -1, NULL },
    { &free_uint, "-1", 0, INVALID("u", "-1") },
    { &free_uint, "auto", 0, INVALID("u", "auto") },
    { &uint10, "1", 1, NULL },
    { &uint10, "10", 10, NULL },
    { &uint10, "0", 0, OUTSIDE("u", "0", "1 to 10") },
    { &uint10, "11", 0, OUTSIDE("u", "11", "1 to 10") },
    { &uint10, "ten", 0, INVALID("u", "ten") },
    { &uint63, "9223372036854775807", INT64_MAX, NULL },
    { &uint63, "9223372036854775808", 0,
        OUTSIDE("u", "9223372036854775808", "0 to 9223372036854775807") },
    { &free_size, "0", 0, NULL },
    { &free_size, "4k", 4096, NULL },
    { &free_size, "4x", 0, INVALID("s", "4x") },
    { &size1m, "1k", 1024, NULL },
    { &size1m, "1m", 1024 * 1024, NULL },
    { &size1m, "1023", 0, OUTSIDE("s", "1023", "1024 to 1048576") },
    { &size1m, "1025k", 0, OUTSIDE("s", "1025k", "1024 to 1048576") },
    { &free_msec, "250ms", 250, NULL },
    { &free_msec, "1h30m", 5400000, NULL },
    { &free_msec, "30", 30000, NULL },
    { &free_msec, "soon", 0, INVALID("t", "soon") },
    { &msec60, "500ms", 500, NULL },
    { &msec60, "1m", 60000, NULL },
    { &msec60, "499ms", 0, OUTSIDE("t", "499ms", "500ms to 60000ms") },
    { &msec60, "61s", 0, OUTSIDE("t", "61s", "500ms to 60000ms") },
};

/* For the types whose field is an int. */
static const struct {
    const rv_directive_t *d;
    const char *value;
    int result;
    const char *error;
} choices[] = {
    { &flag, "on", 1, NULL },
    { &flag, "off", 0, NULL },
    { &flag, "yes", 0, ON_OR_OFF("yes") },
    { &flag, "On", 0, ON_OR_OFF("On") },
    { &flag, "1", 0, ON_OR_OFF("1") },
    { &word, "poll", 1, NULL },
    { &word, "epoll", 2, NULL },
    { &word, "off", 0, NULL },
    { &word, "Poll", 0, INVALID("w", "Poll") },
    { &word, "pol", 0, INVALID("w", "pol") },
    { &word, "poll epoll", 0, INVALID("w", "poll epoll") },
};

static void
assert_said(const char *error)
{
    const rv_conf_message_t *message = rv_conf_messages(cf);

    if (error == NULL) {
        ck_assert_ptr_null(message);
        return;
    }
    ck_assert_ptr_nonnull(message);
    ck_assert_str_eq(message->text, error);
    ck_assert(!message->is_warning);
    ck_assert_ptr_null(message->next);
}

START_TEST(number_is_read_or_refused_in_words)
{
    int64_t field = UNTOUCHED;
    int result = numbers[_i].d->set(cf, numbers[_i].d, numbers[_i].value, &field);

    assert_said(numbers[_i].error);
    ck_assert_int_eq(result, numbers[_i].error == NULL ? RV_OK : RV_ERROR);
    ck_assert_int_eq(field, numbers[_i].error == NULL ? numbers[_i].result : UNTOUCHED);
}
END_TEST

START_TEST(choice_is_read_or_refused_in_words)
{
    int field[2] = { UNTOUCHED, UNTOUCHED };
    int result = choices[_i].d->set(cf, choices[_i].d, choices[_i].value, field);

    assert_said(choices[_i].error);
    ck_assert_int_eq(result, choices[_i].error == NULL ? RV_OK : RV_ERROR);
    ck_assert_int_eq(field[0], choices[_i].error == NULL ? choices[_i].result : UNTOUCHED);
    ck_assert_int_eq(field[1], UNTOUCHED);
}
END_TEST

START_TEST(text_is_a_copy)
{
    static const rv_directive_t d = { "d", rv_conf_set_string, 0, NULL, "", NULL, 0 };
    char value[] = "200 hello";
    const char *field = NULL;

    ck_assert_int_eq(rv_conf_set_string(cf, &d, value, &field), RV_OK);
    memset(value, 'x', sizeof(value) - 1);
    ck_assert_str_eq(field, "200 hello");
}
END_TEST

START_TEST(path_is_made_absolute)
{
    static const rv_directive_t d = { "d", rv_conf_set_path, 0, NULL, "", NULL, 0 };
    char value[] = "logs/reeve.pid";
    const char *field = NULL;

    ck_assert_int_eq(rv_conf_set_path(cf, &d, value, &field), RV_OK);
    memset(value, 'x', sizeof(value) - 1);
    ck_assert_str_eq(field, "/prefix/logs/reeve.pid");
    ck_assert_int_eq(rv_conf_set_path(cf, &d, "/run/reeve.pid", &field), RV_OK);
    ck_assert_str_eq(field, "/run/reeve.pid");
}
END_TEST

static const struct {
    const char *value;
    size_t max, count;
    const char *joined;
} splits[] = {
    { "one", 3, 1, "one|" },
    { "one two", 3, 2, "one|two|" },
    { "  one \t two\tthree ", 3, 3, "one|two|three|" },
    { "one two three four", 3, 4, "one|two|three|" },
    { "one two three four five", 3, 4, "one|two|three|" },
    { "one two", 1, 2, "one|" },
    { "", 3, 0, "" },
    { " \t ", 3, 0, "" },
    { "a=b,c", 3, 1, "a=b,c|" },
};

START_TEST(value_is_split_at_white_space)
{
    char *got[4] = { NULL, NULL, NULL, NULL };
    char joined[64] = "";

    size_t n = rv_conf_set_split(cf, splits[_i].value, got, splits[_i].max);
    ck_assert_uint_eq(n, splits[_i].count);
    for (size_t i = 0; i < n && i < splits[_i].max; i++) {
        strcat(joined, got[i]);
        strcat(joined, "|");
    }
    ck_assert_str_eq(joined, splits[_i].joined);
    ck_assert_ptr_null(got[splits[_i].max]);
    assert_said(NULL);
}
END_TEST

START_TEST(the_usual_error_has_one_form)
{
    ck_assert_int_eq(rv_conf_set_invalid(cf, &word, "a b"), RV_ERROR);
    assert_said(INVALID("w", "a b"));
}
END_TEST

static Suite *
conf_set_suite(void)
{
    Suite *suite = suite_create("conf_set");
    TCase *tcase = tcase_create("conf_set");

    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_set_timeout(tcase, 60);
    tcase_add_loop_test(tcase, number_is_read_or_refused_in_words, 0, (int) rv_countof(numbers));
    tcase_add_loop_test(tcase, choice_is_read_or_refused_in_words, 0, (int) rv_countof(choices));
    tcase_add_test(tcase, text_is_a_copy);
    tcase_add_test(tcase, path_is_made_absolute);
    tcase_add_loop_test(tcase, value_is_split_at_white_space, 0, (int) rv_countof(splits));
    tcase_add_test(tcase, the_usual_error_has_one_form);

    suite_add_tcase(suite, tcase);
    return suite;
}

int
main(void)
{
    SRunner *runner = srunner_create(conf_set_suite());

    srunner_run_all(runner, CK_NORMAL);

    int failed = srunner_ntests_failed(runner);

    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
