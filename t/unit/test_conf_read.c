/*
 * rv_conf_read: an INI file, and the command line's overrides, into rv_conf.
 *
 * A row of a table is what stands in the file and all that the operator is
 * told, each error with its line. What was read is written down as
 * "section.name=value;" in the order in which it came.
 */
#include "rv_conf_read.h"

#include <check.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define SAID_SIZE (64 * 1024)

static char directory[] = "/tmp/rv_test_read_XXXXXX";
static char path[64];
static char got[SAID_SIZE];

static rv_pool_t *pool;
static rv_conf_t *cf;

static int
note(rv_conf_t *conf, const rv_directive_t *d, const char *value, RV_UNUSED void *field)
{
    size_t length = strlen(got);

    if (strcmp(value, "bad") == 0)
        return rv_conf_error(conf, "bad value in \"%s\"", d->name);

    snprintf(got + length, sizeof(got) - length, "%s=%s;", d->name, value);
    return RV_OK;
}

static int
note_section(rv_conf_t *conf, const char *argument, RV_UNUSED void *data)
{
    size_t length = strlen(got);

    (void) conf;
    snprintf(got + length, sizeof(got) - length, "[%s]", argument == NULL ? "" : argument);
    return RV_OK;
}

#define NAME49 "n23456789_123456789_123456789_123456789_123456789"

static const rv_directive_t main_directives[] = {
    { "word", note, 0, NULL, "", NULL, RV_DIRECTIVE_REPEAT },
    { "once", note, 0, NULL, "", NULL, 0 },
    { NAME49, note, 0, NULL, "", NULL, 0 },
    { 0 },
};
static const rv_directive_t location_directives[] = {
    { "handler", note, 0, NULL, "", NULL, 0 },
    { 0 },
};
static const rv_conf_section_t main_section = { "main", NULL, 1, main_directives, NULL };
static const rv_conf_section_t location = { "location", "PATH", 1, location_directives,
    note_section };

static void
setup_run(void)
{
    ck_assert_ptr_nonnull(mkdtemp(directory));
    snprintf(path, sizeof(path), "%s/conf", directory);
}

static void
teardown_run(void)
{
    rmdir(path);
    unlink(path);
    rmdir(directory);
}

static void
setup(void)
{
    unlink(path);
    got[0] = '\0';
    pool = rv_pool_create();
    cf = rv_conf_create(pool, "/prefix/");
    ck_assert_int_eq(rv_conf_add(cf, &main_section), RV_OK);
    ck_assert_int_eq(rv_conf_add(cf, &location), RV_OK);
}

static void
teardown(void)
{
    rv_pool_destroy(pool);
}

static void
write_file(const char *data, size_t size)
{
    FILE *file = fopen(path, "we");

    ck_assert_ptr_nonnull(file);
    ck_assert_uint_eq(fwrite(data, 1, size, file), size);
    ck_assert_int_eq(fclose(file), 0);
}

/* All messages, a line each, the place as ":LINE" alone. */
static const char *
said(void)
{
    static char text[SAID_SIZE];
    char place[96];
    size_t length = 0;

    text[0] = '\0';
    snprintf(place, sizeof(place), " in %s", path);
    for (const rv_conf_message_t *m = rv_conf_messages(cf); m != NULL; m = m->next) {
        const char *at = strstr(m->text, place);

        ck_assert(!m->is_warning);
        if (at == NULL)
            length += (size_t) snprintf(text + length, sizeof(text) - length, "%s\n", m->text);
        else
            length += (size_t) snprintf(text + length, sizeof(text) - length, "%.*s%s\n",
                (int) (at - m->text), m->text, at + strlen(place));
        ck_assert_uint_lt(length, sizeof(text));
    }
    return text;
}

static void
read_text(const char *data, size_t size, int result)
{
    write_file(data, size);
    ck_assert_int_eq(rv_conf_read_file(cf, path, NULL), result);
}

/* --- what is read ----------------------------------------------------------------------- */

static const struct {
    const char *text, *got;
} good[] = {
    { "", "" },
    { "\n\n", "" },
    { "[main]\n", "" },
    { "[main]", "" },
    { "[main]\nword = a", "word=a;" },
    { "[main]\nword = a\n", "word=a;" },
    { "[main]\nword=a\nonce=b\n", "word=a;once=b;" },
    { "[main]\nword: a\n", "word=a;" },
    { "[main]\nword = a = b\n", "word=a = b;" },
    { "[main]\nword = a: b\n", "word=a: b;" },
    { "[main]\nword =  two  words  \n", "word=two  words;" },
    { "[main]\r\nword = a\r\n\r\nonce = b\r\n", "word=a;once=b;" },
    { "\xef\xbb\xbf[main]\nword = a\n", "word=a;" },
    { "\xef\xbb\xbf", "" },
    { "  [main]  \n\t word = a \t\n\tonce = b\n", "word=a;once=b;" },
    { "[main]\nword = a\n    once = b\n", "word=a;once=b;" },
    { "[main]\nword = a\n    word = b\n", "word=a;word=b;" },
    { "# c\n; c\n  # c\n\t; c\n[main]\n#word = x\n;word = y\nword = a\n", "word=a;" },
    { "[main]\nword = a ; comment\n", "word=a;" },
    { "[main]\nword = a;b\n", "word=a;b;" },
    { "[main]\nword = a # b\n", "word=a # b;" },
    { "[main] ; comment\nword = a\n", "word=a;" },
    { "[ main ]\nword = a\n", "word=a;" },
    { "[location /a]\n[location /b]\n", "[/a][/b]" },
    { "[location /a]\nhandler = x\n[main]\nword = a\n", "handler=x;word=a;[/a]" },
    { "[location   /a b]\n", "[/a b]" },
    { "[location\t/]\n", "[/]" },
    { "[location /a;b]\nhandler = x\n", "handler=x;[/a;b]" },
    { "[location /a ;b]\nhandler = x\n", "handler=x;[/a ;b]" },
    { "[location /#=:[]\nhandler = x\n", "handler=x;[/#=:[]" },
    { "[main]\nword = \"quoted\"\n", "word=\"quoted\";" },
    { "[main]\nword = [x]\n", "word=[x];" },
    { "[main]\nword = gr\xc3\xbc\xc3\x9f\x80\xff\n", "word=gr\xc3\xbc\xc3\x9f\x80\xff;" },
    { "[main]\n" NAME49 " = a\n", NAME49 "=a;" },
};

START_TEST(good_file_is_read)
{
    read_text(good[_i].text, strlen(good[_i].text), RV_OK);
    ck_assert_int_eq(rv_conf_finish(cf), RV_OK);
    ck_assert_str_eq(said(), "");
    ck_assert_str_eq(got, good[_i].got);
}
END_TEST

/* --- what is refused --------------------------------------------------------------------- */

#define UNKNOWN "unknown directive "
#define LONG_NAME "directive name is longer than 49 bytes: "
#define LONG_SECTION "section name is longer than 49 bytes: "

static const struct {
    const char *text;
    const char *said; /* a line each, ending in the number of the line it is about */
} bad[] = {
    { "[main]\nworde = a\n", UNKNOWN "\"worde\":2\n" },
    { "\n# c\n\n[main]\n\n  worde = a\nword = a\nonce2 = a",
        UNKNOWN "\"worde\":6\n" UNKNOWN "\"once2\":8\n" },
    { "[main]\r\n\r\nworde = a\r\n", UNKNOWN "\"worde\":3\n" },
    { "\xef\xbb\xbfworde = a\n", "directive \"worde\" before the first section:1\n" },
    { "[main]\nonce = a\nword = a\nonce = b\n", "duplicate directive \"once\":4\n" },
    { "[main]\nword = bad\n", "bad value in \"word\":2\n" },
    { "[main]\nword =\n", "no value for directive \"word\":2\n" },
    { "[main]\nword = ; comment\n", "no value for directive \"word\":2\n" },
    { "[main]\nword\n", "no \"=\" in \"word\":2\n" },
    { "[main]\nword a b\n", "no \"=\" in \"word a b\":2\n" },
    { "[main]\n= a\n", "no directive name before \"=\":2\n" },
    { "[main]\n  : a\n", "no directive name before \"=\":2\n" },
    { "word = a\n[main]\n", "directive \"word\" before the first section:1\n" },
    { "[min]\nword = a\nx = y\n[main]\nword = b\n", "unknown section \"[min]\":1\n" },
    { "[Main]\n", "unknown section \"[Main]\":1\n" },
    { "[main]\nword = a\n[main]\nonce = b\n", "duplicate section \"[main]\", first in line 1:3\n" },
    { "[location /a]\n[location /b]\n[location /a]\n",
        "duplicate section \"[location /a]\", first in line 1:3\n" },
    { "[main x]\n", "section \"[main]\" takes no argument:1\n" },
    { "[location]\n", "section \"[location]\" needs an argument: \"[location PATH]\":1\n" },
    { "[location ]\n", "section \"[location]\" needs an argument: \"[location PATH]\":1\n" },
    { "[]\n", "section without a name:1\n" },
    { "[ \t ]\n", "section without a name:1\n" },
    { "[main\n", "no \"]\" after the section's name:1\n" },
    { "[\n", "no \"]\" after the section's name:1\n" },
    { "[main] word = a\n", "unexpected \"word = a\" after \"]\":1\n" },
    { "[main]]\n", "unexpected \"]\" after \"]\":1\n" },
    { "[main] # c\n", "unexpected \"# c\" after \"]\":1\n" },
    { "[main]\nword = a\001\n", "control character in line:2\n" },
    { "[main]\nword = a\033[1m\n", "control character in line:2\n" },
    { "[main]\nword = a\177\n", "control character in line:2\n" },
    { "[main]\nword = a\vb\n", "control character in line:2\n" },
    { "[main]\nword = a\rb\n", "control character in line:2\n" },
    { "# in a \001 comment\n", "control character in line:1\n" },
    { "[main]\n" NAME49 "0 = a\n", LONG_NAME "\"" NAME49 "0\":2\n" },
    { "[" NAME49 "0]\n", LONG_SECTION "\"" NAME49 "0\":1\n" },
    { "[location /" NAME49 "]\n", LONG_SECTION "\"location /" NAME49 "\":1\n" },
    /* one error for the section, none for what stands in it */
    { "[main]\n[location /a\nhandler = x\n", "no \"]\" after the section's name:2\n" },
    { "[main]\n[" NAME49 "0]\nhandler = x\n", LONG_SECTION "\"" NAME49 "0\":2\n" },
    { "[main]\n[] \nhandler = x\n", "section without a name:2\n" },
    { "[main]\n[location /a] x\nhandler = x\n", "unexpected \"x\" after \"]\":2\n" },
    { "[main]\n[location /\001]\nhandler = x\n", "control character in line:2\n" },
};

START_TEST(bad_line_is_told_with_its_number)
{
    read_text(bad[_i].text, strlen(bad[_i].text), RV_ERROR);
    ck_assert_str_eq(said(), bad[_i].said);
}
END_TEST

/* inih takes what follows " ;" for a comment, and says nothing of such a line. */
START_TEST(comment_before_the_equals_sign_is_an_error)
{
    static const char *const lines[] = { "word ;= a", "word ; x = a", "word\t;:a", "word ;" };
    char text[64];

    for (size_t i = 0; i < rv_countof(lines); i++) {
        int n = snprintf(text, sizeof(text), "[main]\n%s\nonce = b\n", lines[i]);

        read_text(text, (size_t) n, RV_ERROR);
        ck_assert_uint_eq(rv_conf_error_count(cf), 1);
        ck_assert_ptr_nonnull(strstr(said(), ":2\n"));
        ck_assert_str_eq(got, "once=b;");
        teardown();
        setup();
    }
}
END_TEST

START_TEST(all_errors_of_a_file_are_told_in_its_order)
{
    static const char text[] = "early = 1\n"
                               "[main]\n"
                               "worde = a\n"
                               "word = a\n"
                               "no separator\n"
                               "\n"
                               "[nowhere]\n"
                               "word = x\n"
                               "[location /a]\n"
                               "handler = bad\n"
                               "[location]\n"
                               "[location /a]\n"
                               "handler = x\n"
                               "[location /b\n"
                               "[location /b]\n"
                               "handler =\n";

    read_text(text, strlen(text), RV_ERROR);
    ck_assert_str_eq(said(),
        "directive \"early\" before the first section:1\n"
        "unknown directive \"worde\":3\n"
        "no \"=\" in \"no separator\":5\n"
        "unknown section \"[nowhere]\":7\n"
        "bad value in \"handler\":10\n"
        "section \"[location]\" needs an argument: \"[location PATH]\":11\n"
        "duplicate section \"[location /a]\", first in line 9:12\n"
        "no \"]\" after the section's name:14\n"
        "no value for directive \"handler\":16\n");
    ck_assert_uint_eq(rv_conf_error_count(cf), 9);
    ck_assert_str_eq(got, "word=a;");
}
END_TEST

START_TEST(nul_byte_does_not_hide_the_rest_of_a_line)
{
    static const char text[] = "[main]\nword = a\0b\nonce = c\n";
    static const char comment[] = "[main]\n# x\0\nword = d\n";

    read_text(text, sizeof(text) - 1, RV_ERROR);
    ck_assert_str_eq(said(), "NUL byte in line:2\n");
    ck_assert_str_eq(got, "once=c;");
    teardown();
    setup();
    read_text(comment, sizeof(comment) - 1, RV_ERROR);
    ck_assert_str_eq(said(), "NUL byte in line:2\n");
    ck_assert_str_eq(got, "word=d;");
}
END_TEST

/* A line of `length` bytes, with white space around it that does not count. */
static void
read_long_line(size_t length, const char *around, const char *before, int result)
{
    char text[1024], value[512];

    memset(value, 'x', sizeof(value));
    int n = snprintf(text, sizeof(text), "[main]\n%s%s%.*s%s\nonce = b\n", around, before,
        (int) (length - strlen(before)), value, around);
    read_text(text, (size_t) n, result);
}

START_TEST(line_that_inih_would_cut_is_an_error)
{
    static const char *const around[] = { "", "  \t" };

    for (size_t i = 0; i < rv_countof(around); i++) {
        read_long_line(199, around[i], "word = ", RV_OK);
        ck_assert_uint_eq(strlen(got), 199 - 2 + strlen(";once=b;"));
        ck_assert_ptr_nonnull(strstr(got, "xx;once=b;"));
        teardown();
        setup();
        read_long_line(200, around[i], "word = ", RV_ERROR);
        ck_assert_str_eq(said(), "line is longer than 199 bytes:2\n");
        ck_assert_str_eq(got, "once=b;");
        teardown();
        setup();
    }
    read_long_line(400, "", "# ", RV_ERROR);
    ck_assert_str_eq(said(), "line is longer than 199 bytes:2\n");
}
END_TEST

static Suite *
conf_read_suite(void)
{
    Suite *suite = suite_create("conf_read");
    TCase *tcase = tcase_create("conf_read");

    tcase_add_unchecked_fixture(tcase, setup_run, teardown_run);
    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_set_timeout(tcase, 120);
    tcase_add_loop_test(tcase, good_file_is_read, 0, (int) rv_countof(good));
    tcase_add_loop_test(tcase, bad_line_is_told_with_its_number, 0, (int) rv_countof(bad));
    tcase_add_test(tcase, comment_before_the_equals_sign_is_an_error);
    tcase_add_test(tcase, all_errors_of_a_file_are_told_in_its_order);
    tcase_add_test(tcase, nul_byte_does_not_hide_the_rest_of_a_line);
    tcase_add_test(tcase, line_that_inih_would_cut_is_an_error);

    suite_add_tcase(suite, tcase);
    return suite;
}

int
main(void)
{
    SRunner *runner = srunner_create(conf_read_suite());

    srunner_run_all(runner, CK_NORMAL);

    int failed = srunner_ntests_failed(runner);

    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
