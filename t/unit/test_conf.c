/*
 * rv_conf: sections and directives as tables, and what was made of them.
 *
 * The tests are the reader: they call begin and directive as rv_conf_read
 * does after it has taken a file apart.
 */
#include "rv_conf.h"

#include <check.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SAID_SIZE 4096

typedef struct {
    char seen[64]; /* all values of "word", one after the other */
    char many[64];
    char plain[64]; /* no default */
    const char *finished;
} box_t;

static rv_pool_t *pool;
static rv_conf_t *cf;
static int finished; /* how often, in all sections */

/* "bad" is an error; everything else is appended. */
static int
set_text(rv_conf_t *conf, const rv_directive_t *d, const char *value, void *field)
{
    char *text = field;
    size_t length = strlen(text);

    if (strcmp(value, "bad") == 0)
        return rv_conf_error(conf, "bad value in \"%s\"", d->name);

    snprintf(text + length, 64 - length, "%s,", value);
    return RV_OK;
}

static int
finish_box(rv_conf_t *conf, const char *argument, void *data)
{
    box_t *box = data;

    box->finished = argument == NULL ? "none" : argument;
    finished++;
    if (strstr(box->seen, "fail") != NULL)
        return rv_conf_error(conf, "it cannot work");
    return RV_OK;
}

static const rv_directive_t directives[] = {
    { "word", set_text, offsetof(box_t, seen), "initial", "a word", NULL, 0 },
    { "many", set_text, offsetof(box_t, many), "m", "words", NULL, RV_DIRECTIVE_REPEAT },
    { "plain", set_text, offsetof(box_t, plain), NULL, "no default", NULL, 0 },
    { 0 },
};
static const rv_directive_t none[] = { { 0 } };
static const rv_directive_t wrong_default[] = {
    { "word", set_text, offsetof(box_t, seen), "bad", "a word", NULL, 0 },
    { 0 },
};

static const rv_conf_section_t box = { "box", NULL, sizeof(box_t), directives, finish_box };
static const rv_conf_section_t item = { "item", "NAME", sizeof(box_t), directives, finish_box };
static const rv_conf_section_t bare = { "bare", NULL, sizeof(box_t), none, NULL };
static const rv_conf_section_t broken = { "broken", NULL, sizeof(box_t), wrong_default, NULL };

static void
setup(void)
{
    pool = rv_pool_create();
    cf = rv_conf_create(pool, "/prefix/");
    ck_assert_ptr_nonnull(cf);
    ck_assert_int_eq(rv_conf_add(cf, &box), RV_OK);
    ck_assert_int_eq(rv_conf_add(cf, &item), RV_OK);
    ck_assert_int_eq(rv_conf_add(cf, &bare), RV_OK);
}

static void
teardown(void)
{
    rv_pool_destroy(pool);
}

/* All that was collected, a line each. */
static const char *
said(void)
{
    static char text[SAID_SIZE];
    size_t length = 0;

    text[0] = '\0';
    for (const rv_conf_message_t *m = rv_conf_messages(cf); m != NULL; m = m->next)
        length += (size_t) snprintf(text + length, sizeof(text) - length, "%s%s\n",
            m->is_warning ? "warning: " : "", m->text);
    return text;
}

static void
at_line(unsigned line)
{
    rv_conf_place(cf, "reeve.conf", line);
}

static box_t *
box_of(const char *name, const char *argument)
{
    box_t *data = rv_conf_get(cf, name, argument);

    ck_assert_ptr_nonnull(data);
    return data;
}

/* --- sections ----------------------------------------------------------------------- */

START_TEST(section_without_argument_is_there_though_the_file_is_silent)
{
    ck_assert_ptr_nonnull(rv_conf_get(cf, "bare", NULL));
    ck_assert_ptr_null(rv_conf_get(cf, "item", NULL));
    ck_assert_ptr_null(rv_conf_get(cf, "item", "a"));
    ck_assert_ptr_null(rv_conf_get(cf, "box", "a"));
    ck_assert_ptr_null(rv_conf_get(cf, "nothing", NULL));
    ck_assert_int_eq(rv_conf_finish(cf), RV_OK);
    ck_assert_str_eq(said(), "");
}
END_TEST

START_TEST(section_with_argument_is_one_structure_each)
{
    char argument[] = "a";

    ck_assert_int_eq(rv_conf_begin(cf, "item", argument), RV_OK);
    argument[0] = 'x'; /* the reader goes on */
    ck_assert_int_eq(rv_conf_directive(cf, "word", "x"), RV_OK);
    ck_assert_int_eq(rv_conf_begin(cf, "item", "b"), RV_OK);
    ck_assert_int_eq(rv_conf_directive(cf, "word", "y"), RV_OK);
    ck_assert_int_eq(rv_conf_begin(cf, "item", "empty"), RV_OK);
    ck_assert_int_eq(rv_conf_finish(cf), RV_OK);

    ck_assert_str_eq(box_of("item", "a")->seen, "x,");
    ck_assert_str_eq(box_of("item", "b")->seen, "y,");
    ck_assert_str_eq(box_of("item", "empty")->seen, "initial,");
    ck_assert_str_eq(box_of("box", NULL)->seen, "initial,");
}
END_TEST

START_TEST(sections_are_visited_in_the_order_of_the_file)
{
    static const char *const names[] = { "z", "a", "m" };
    const void *at = NULL;
    const char *argument;
    void *data;
    size_t n = 0;

    for (size_t i = 0; i < rv_countof(names); i++)
        ck_assert_int_eq(rv_conf_begin(cf, "item", names[i]), RV_OK);
    while ((data = rv_conf_each(cf, "item", &at, &argument)) != NULL) {
        ck_assert_str_eq(argument, names[n++]);
        ck_assert_ptr_eq(data, rv_conf_get(cf, "item", argument));
    }
    ck_assert_uint_eq(n, 3);
    at = NULL;
    ck_assert_ptr_eq(rv_conf_each(cf, "box", &at, NULL), rv_conf_get(cf, "box", NULL));
    ck_assert_ptr_null(rv_conf_each(cf, "box", &at, NULL));
    at = NULL;
    ck_assert_ptr_null(rv_conf_each(cf, "nothing", &at, NULL));
}
END_TEST

START_TEST(sections_that_do_not_fit_are_errors)
{
    at_line(1);
    ck_assert_int_eq(rv_conf_begin(cf, "nothing", NULL), RV_ERROR);
    at_line(2);
    ck_assert_int_eq(rv_conf_begin(cf, "box", "a"), RV_ERROR);
    at_line(3);
    ck_assert_int_eq(rv_conf_begin(cf, "item", NULL), RV_ERROR);
    at_line(4);
    ck_assert_int_eq(rv_conf_begin(cf, "item", "a"), RV_OK);
    ck_assert_int_eq(rv_conf_begin(cf, "box", NULL), RV_OK);
    at_line(6);
    ck_assert_int_eq(rv_conf_begin(cf, "item", "a"), RV_ERROR);
    at_line(7);
    ck_assert_int_eq(rv_conf_begin(cf, "box", NULL), RV_ERROR);
    ck_assert_str_eq(said(),
        "unknown section \"[nothing]\" in reeve.conf:1\n"
        "section \"[box]\" takes no argument in reeve.conf:2\n"
        "section \"[item]\" needs an argument: \"[item NAME]\""
        " in reeve.conf:3\n"
        "duplicate section \"[item a]\", first in line 4 in reeve.conf:6\n"
        "duplicate section \"[box]\", first in line 4 in reeve.conf:7\n");
    ck_assert_uint_eq(rv_conf_error_count(cf), 5);
}
END_TEST

START_TEST(directives_of_a_wrong_section_are_passed_over)
{
    ck_assert_int_eq(rv_conf_begin(cf, "nothing", NULL), RV_ERROR);
    ck_assert_int_eq(rv_conf_directive(cf, "word", "x"), RV_ERROR);
    ck_assert_int_eq(rv_conf_begin(cf, "item", "a"), RV_OK);
    rv_conf_skip(cf);
    ck_assert_int_eq(rv_conf_directive(cf, "word", "x"), RV_ERROR);
    ck_assert_uint_eq(rv_conf_error_count(cf), 1);
    ck_assert_int_eq(rv_conf_finish(cf), RV_ERROR);
    ck_assert_str_eq(box_of("box", NULL)->seen, "initial,");
    ck_assert_str_eq(box_of("item", "a")->seen, "initial,");
}
END_TEST

START_TEST(too_many_kinds_of_sections_are_an_error)
{
    int added = 0;

    while (added < 1000 && rv_conf_add(cf, &bare) == RV_OK)
        added++;
    ck_assert_int_ge(added, 20);
    ck_assert_int_lt(added, 1000);
    ck_assert_int_eq(errno, ENOSPC);
}
END_TEST

/* --- directives ---------------------------------------------------------------------- */

START_TEST(default_is_taken_where_the_file_is_silent)
{
    ck_assert_int_eq(rv_conf_begin(cf, "box", NULL), RV_OK);
    ck_assert_int_eq(rv_conf_directive(cf, "many", "x"), RV_OK);
    ck_assert_int_eq(rv_conf_finish(cf), RV_OK);
    ck_assert_str_eq(box_of("box", NULL)->seen, "initial,");
    ck_assert_str_eq(box_of("box", NULL)->many, "x,");
    ck_assert_str_eq(box_of("box", NULL)->plain, "");
}
END_TEST

START_TEST(value_that_failed_does_not_become_the_default)
{
    ck_assert_int_eq(rv_conf_begin(cf, "box", NULL), RV_OK);
    at_line(2);
    ck_assert_int_eq(rv_conf_directive(cf, "word", "bad"), RV_ERROR);
    ck_assert_int_eq(rv_conf_finish(cf), RV_ERROR);
    ck_assert_str_eq(box_of("box", NULL)->seen, "");
    ck_assert_str_eq(said(), "bad value in \"word\" in reeve.conf:2\n");
}
END_TEST

START_TEST(default_that_is_wrong_is_an_error)
{
    ck_assert_int_eq(rv_conf_add(cf, &broken), RV_OK);
    at_line(0);
    ck_assert_int_eq(rv_conf_finish(cf), RV_ERROR);
    ck_assert_str_eq(said(), "bad value in \"word\" in reeve.conf\n");
}
END_TEST

START_TEST(only_some_directives_may_be_repeated)
{
    ck_assert_int_eq(rv_conf_begin(cf, "box", NULL), RV_OK);
    ck_assert_int_eq(rv_conf_directive(cf, "word", "x"), RV_OK);
    ck_assert_int_eq(rv_conf_directive(cf, "many", "1"), RV_OK);
    ck_assert_int_eq(rv_conf_directive(cf, "many", "2"), RV_OK);
    at_line(5);
    ck_assert_int_eq(rv_conf_directive(cf, "word", "y"), RV_ERROR);
    ck_assert_int_eq(rv_conf_begin(cf, "item", "a"), RV_OK);
    ck_assert_int_eq(rv_conf_directive(cf, "word", "z"), RV_OK);

    ck_assert_str_eq(box_of("box", NULL)->many, "1,2,");
    ck_assert_str_eq(box_of("box", NULL)->seen, "x,");
    ck_assert_str_eq(said(), "duplicate directive \"word\" in reeve.conf:5\n");
}
END_TEST

START_TEST(unknown_and_empty_directives_are_errors)
{
    ck_assert_int_eq(rv_conf_begin(cf, "box", NULL), RV_OK);
    at_line(3);
    ck_assert_int_eq(rv_conf_directive(cf, "worde", "x"), RV_ERROR);
    ck_assert_int_eq(rv_conf_directive(cf, "wor", "x"), RV_ERROR);
    ck_assert_int_eq(rv_conf_directive(cf, "Word", "x"), RV_ERROR);
    at_line(4);
    ck_assert_int_eq(rv_conf_directive(cf, "word", ""), RV_ERROR);
    ck_assert_int_eq(rv_conf_begin(cf, "bare", NULL), RV_OK);
    ck_assert_int_eq(rv_conf_directive(cf, "word", "x"), RV_ERROR);
    ck_assert_str_eq(said(),
        "unknown directive \"worde\" in reeve.conf:3\n"
        "unknown directive \"wor\" in reeve.conf:3\n"
        "unknown directive \"Word\" in reeve.conf:3\n"
        "no value for directive \"word\" in reeve.conf:4\n"
        "unknown directive \"word\" in reeve.conf:4\n");
}
END_TEST

/* --- the end ---------------------------------------------------------------------------- */

START_TEST(every_section_is_finished_once_with_defaults_in_place)
{
    ck_assert_int_eq(rv_conf_begin(cf, "item", "a"), RV_OK);
    ck_assert_int_eq(rv_conf_begin(cf, "item", "b"), RV_OK);
    ck_assert_int_eq(rv_conf_finish(cf), RV_OK);
    ck_assert_int_eq(finished, 3);
    ck_assert_str_eq(box_of("box", NULL)->finished, "none");
    ck_assert_str_eq(box_of("item", "a")->finished, "a");
    ck_assert_str_eq(box_of("item", "b")->finished, "b");
}
END_TEST

START_TEST(section_that_does_not_fit_together_is_told_with_its_line)
{
    at_line(7);
    ck_assert_int_eq(rv_conf_begin(cf, "item", "a"), RV_OK);
    at_line(8);
    ck_assert_int_eq(rv_conf_directive(cf, "word", "fail"), RV_OK);
    at_line(9);
    ck_assert_int_eq(rv_conf_finish(cf), RV_ERROR);
    ck_assert_str_eq(said(), "it cannot work in reeve.conf:7\n");

    /* what comes after all that is about the file */
    rv_conf_error(cf, "late");
    ck_assert_ptr_nonnull(strstr(said(), "\nlate in reeve.conf\n"));
}
END_TEST

/* --- overrides -------------------------------------------------------------------------- */

static void
override_word(const char *argument, const char *value)
{
    rv_conf_overrides(cf, 1);
    ck_assert_int_eq(rv_conf_begin(cf, argument == NULL ? "box" : "item", argument), RV_OK);
    ck_assert_int_eq(rv_conf_directive(cf, "word", value), RV_OK);
    rv_conf_overrides(cf, 0);
}

START_TEST(override_wins_over_the_file_and_the_default)
{
    override_word(NULL, "cmd");
    ck_assert_int_eq(rv_conf_directive(cf, "plain", "x"), RV_ERROR); /* in no section yet */

    ck_assert_int_eq(rv_conf_begin(cf, "box", NULL), RV_OK);
    ck_assert_int_eq(rv_conf_directive(cf, "word", "file"), RV_OK);
    ck_assert_int_eq(rv_conf_directive(cf, "word", "bad"), RV_OK); /* never looked at */
    ck_assert_int_eq(rv_conf_directive(cf, "plain", "file"), RV_OK);
    ck_assert_int_eq(rv_conf_finish(cf), RV_OK);
    ck_assert_str_eq(box_of("box", NULL)->seen, "cmd,");
    ck_assert_str_eq(box_of("box", NULL)->plain, "file,");
}
END_TEST

START_TEST(overrides_of_a_repeated_directive_replace_all_of_the_files)
{
    rv_conf_overrides(cf, 1);
    ck_assert_int_eq(rv_conf_begin(cf, "box", NULL), RV_OK);
    ck_assert_int_eq(rv_conf_directive(cf, "many", "c1"), RV_OK);
    ck_assert_int_eq(rv_conf_begin(cf, "box", NULL), RV_OK); /* again: no duplicate */
    ck_assert_int_eq(rv_conf_directive(cf, "many", "c2"), RV_OK);
    ck_assert_int_eq(rv_conf_directive(cf, "word", "1"), RV_OK);
    ck_assert_int_eq(rv_conf_directive(cf, "word", "2"), RV_ERROR);
    rv_conf_overrides(cf, 0);

    ck_assert_int_eq(rv_conf_begin(cf, "box", NULL), RV_OK);
    ck_assert_int_eq(rv_conf_directive(cf, "many", "f"), RV_OK);
    ck_assert_str_eq(box_of("box", NULL)->many, "c1,c2,");
    ck_assert_str_eq(said(), "duplicate directive \"word\"\n");
}
END_TEST

START_TEST(override_makes_a_section_that_the_file_may_still_have)
{
    override_word("a", "cmd");
    override_word("b", "cmd");
    at_line(3);
    ck_assert_int_eq(rv_conf_begin(cf, "item", "a"), RV_OK);
    ck_assert_int_eq(rv_conf_directive(cf, "many", "f"), RV_OK);
    ck_assert_int_eq(rv_conf_begin(cf, "item", "a"), RV_ERROR);
    ck_assert_str_eq(said(), "duplicate section \"[item a]\", first in line 3 in reeve.conf:3\n");
    ck_assert_int_eq(rv_conf_finish(cf), RV_ERROR);
    ck_assert_str_eq(box_of("item", "a")->seen, "cmd,");
    ck_assert_str_eq(box_of("item", "a")->many, "f,");
    ck_assert_str_eq(box_of("item", "b")->many, "m,");
}
END_TEST

/* --- messages and paths ------------------------------------------------------------------ */

START_TEST(messages_say_where_and_come_in_order)
{
    at_line(3);
    rv_conf_warn(cf, "odd %s", "thing");
    ck_assert_int_eq(rv_conf_finish(cf), RV_OK); /* a warning stops nobody */
    rv_conf_place(cf, NULL, 0);
    ck_assert_int_eq(rv_conf_error(cf, "nowhere"), RV_ERROR);
    at_line(0);
    rv_conf_error(cf, "in the file");
    rv_conf_place(cf, NULL, 0);
    rv_conf_warn(cf, "again nowhere");
    ck_assert_str_eq(said(),
        "warning: odd thing in reeve.conf:3\n"
        "nowhere\n"
        "in the file in reeve.conf\n"
        "warning: again nowhere\n");
    ck_assert_uint_eq(rv_conf_error_count(cf), 2);
}
END_TEST

START_TEST(late_errors_name_the_line_they_are_about)
{
    at_line(4);
    ck_assert_int_eq(rv_conf_begin(cf, "item", "a"), RV_OK);
    at_line(5);
    unsigned line = rv_conf_line(cf);
    ck_assert_uint_eq(line, 5);
    at_line(9);
    ck_assert_int_eq(rv_conf_finish(cf), RV_OK);

    rv_conf_at_line(cf, line);
    rv_conf_error(cf, "one");
    rv_conf_at_section(cf, "item", "a");
    rv_conf_error(cf, "two");
    rv_conf_at_section(cf, "item", "none");
    rv_conf_error(cf, "three");
    rv_conf_at_line(cf, 0);
    rv_conf_error(cf, "four");
    ck_assert_str_eq(said(),
        "one in reeve.conf:5\n"
        "two in reeve.conf:4\n"
        "three in reeve.conf\n"
        "four in reeve.conf\n");
}
END_TEST

START_TEST(long_message_is_cut_and_keeps_its_place)
{
    char text[3000];

    memset(text, 'x', sizeof(text) - 1);
    text[sizeof(text) - 1] = '\0';
    at_line(12);
    rv_conf_error(cf, "%s", text);
    ck_assert_uint_gt(strlen(said()), 500);
    ck_assert_ptr_nonnull(strstr(said(), "x in reeve.conf:12\n"));
}
END_TEST

START_TEST(relative_paths_are_under_the_prefix)
{
    ck_assert_str_eq(rv_conf_path(cf, "logs/error.log"), "/prefix/logs/error.log");
    ck_assert_str_eq(rv_conf_path(cf, "/var/log/x"), "/var/log/x");
    ck_assert_str_eq(rv_conf_path(cf, "../x"), "/prefix/../x");
    ck_assert_ptr_eq(rv_conf_pool(cf), pool);
}
END_TEST

static Suite *
conf_suite(void)
{
    Suite *suite = suite_create("conf");
    TCase *tcase = tcase_create("conf");

    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_set_timeout(tcase, 60);
    tcase_add_test(tcase, section_without_argument_is_there_though_the_file_is_silent);
    tcase_add_test(tcase, section_with_argument_is_one_structure_each);
    tcase_add_test(tcase, sections_are_visited_in_the_order_of_the_file);
    tcase_add_test(tcase, sections_that_do_not_fit_are_errors);
    tcase_add_test(tcase, directives_of_a_wrong_section_are_passed_over);
    tcase_add_test(tcase, too_many_kinds_of_sections_are_an_error);
    tcase_add_test(tcase, default_is_taken_where_the_file_is_silent);
    tcase_add_test(tcase, value_that_failed_does_not_become_the_default);
    tcase_add_test(tcase, default_that_is_wrong_is_an_error);
    tcase_add_test(tcase, only_some_directives_may_be_repeated);
    tcase_add_test(tcase, unknown_and_empty_directives_are_errors);
    tcase_add_test(tcase, every_section_is_finished_once_with_defaults_in_place);
    tcase_add_test(tcase, section_that_does_not_fit_together_is_told_with_its_line);
    tcase_add_test(tcase, override_wins_over_the_file_and_the_default);
    tcase_add_test(tcase, overrides_of_a_repeated_directive_replace_all_of_the_files);
    tcase_add_test(tcase, override_makes_a_section_that_the_file_may_still_have);
    tcase_add_test(tcase, messages_say_where_and_come_in_order);
    tcase_add_test(tcase, late_errors_name_the_line_they_are_about);
    tcase_add_test(tcase, long_message_is_cut_and_keeps_its_place);
    tcase_add_test(tcase, relative_paths_are_under_the_prefix);

    suite_add_tcase(suite, tcase);
    return suite;
}

int
main(void)
{
    SRunner *runner = srunner_create(conf_suite());

    srunner_run_all(runner, CK_NORMAL);

    int failed = srunner_ntests_failed(runner);

    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
