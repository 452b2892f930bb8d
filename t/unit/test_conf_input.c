/*
 * rv_conf_read: files as a whole, the command line, and bytes that mean nothing.
 */
#include "rv_conf_read.h"

#include <check.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define GOT_SIZE 4096
#define MESSAGES_SIZE (64 * 1024)

static char directory[] = "/tmp/rv_test_input_XXXXXX";
static char path[64];

static rv_pool_t *pool;
static rv_conf_t *cf;

/* What was read: how many values, and the first of them as "name=value;". */
static size_t values;
static char got[GOT_SIZE];

static int
note(RV_UNUSED rv_conf_t *conf, const rv_directive_t *d, const char *value, RV_UNUSED void *field)
{
    size_t length = strlen(got);

    values++;
    snprintf(got + length, sizeof(got) - length, "%s=%s;", d->name, value);
    return RV_OK;
}

static const rv_directive_t main_directives[] = {
    { "word", note, 0, NULL, "", NULL, RV_DIRECTIVE_REPEAT },
    { "once", note, 0, NULL, "", NULL, 0 },
    { 0 },
};
static const rv_directive_t location_directives[] = {
    { "handler", note, 0, NULL, "", NULL, 0 },
    { 0 },
};
static const rv_conf_section_t main_section = { "main", NULL, 1, main_directives, NULL };
static const rv_conf_section_t location = { "location", "PATH", 1, location_directives, NULL };

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
    values = 0;
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
    unlink(path); /* writing over it would wait for the disk */
    FILE *file = fopen(path, "we");

    ck_assert_ptr_nonnull(file);
    ck_assert_uint_eq(fwrite(data, 1, size, file), size);
    ck_assert_int_eq(fclose(file), 0);
}

static const char *
said(void)
{
    static char text[MESSAGES_SIZE];
    size_t length = 0;

    text[0] = '\0';
    for (const rv_conf_message_t *m = rv_conf_messages(cf); m != NULL; m = m->next) {
        length += (size_t) snprintf(text + length, sizeof(text) - length, "%s\n", m->text);
        ck_assert_uint_lt(length, sizeof(text));
    }
    return text;
}

/* --- files -------------------------------------------------------------------------------- */

START_TEST(text_of_the_file_is_kept_for_printing)
{
    static const char good[] = "# c\r\n[main]\nword = a\n", bad[] = "[min]\nx\n";
    const char *text = NULL;

    write_file(good, strlen(good));
    ck_assert_int_eq(rv_conf_read_file(cf, path, &text), RV_OK);
    ck_assert_str_eq(text, good);
    write_file(bad, strlen(bad));
    ck_assert_int_eq(rv_conf_read_file(cf, path, &text), RV_ERROR);
    ck_assert_str_eq(text, bad);
}
END_TEST

static void
assert_unreadable(const char *file, int error)
{
    char want[256];
    const char *text = NULL;

    teardown();
    setup();
    ck_assert_int_eq(rv_conf_read_file(cf, file, &text), RV_ERROR);
    snprintf(want, sizeof(want), "reading configuration file \"%s\" failed (%d: %s)\n", file, error,
        strerror(error));
    ck_assert_str_eq(said(), want);
    ck_assert_ptr_null(text);
    ck_assert_uint_eq(rv_conf_error_count(cf), 1);
}

START_TEST(file_that_cannot_be_read_says_why)
{
    char missing[80];

    snprintf(missing, sizeof(missing), "%s/missing", directory);
    assert_unreadable(missing, ENOENT);
    assert_unreadable(directory, EISDIR);
    assert_unreadable("", ENOENT);
    snprintf(missing, sizeof(missing), "%s/x", path);
    write_file("", 0);
    assert_unreadable(missing, ENOTDIR);
}
END_TEST

/* Of exactly `size` bytes: "[main]", lines of 16 bytes, a comment to fill it up. */
static char *
large_file(size_t size, unsigned *lines)
{
    char *data = malloc(size + 32);
    size_t length = (size_t) sprintf(data, "[main]\n");

    for (*lines = 1; length + 16 <= size; ++*lines)
        length += (size_t) sprintf(data + length, "word = %08u\n", *lines);
    if (length < size)
        ++*lines;
    memset(data + length, '#', size - length);
    return data;
}

START_TEST(file_up_to_the_limit_is_read_and_no_more)
{
    unsigned lines;
    char *data = large_file(RV_CONF_READ_FILE + 1, &lines);

    write_file(data, RV_CONF_READ_FILE);
    ck_assert_int_eq(rv_conf_read_file(cf, path, NULL), RV_OK);
    ck_assert_uint_eq(values, (RV_CONF_READ_FILE - 7) / 16);
    ck_assert_str_eq(said(), "");

    write_file(data, RV_CONF_READ_FILE + 1);
    assert_unreadable(path, EFBIG);
    ck_assert_uint_eq(values, 0);
    free(data);
}
END_TEST

START_TEST(lines_of_a_large_file_are_counted)
{
    unsigned lines;
    size_t size = RV_CONF_READ_FILE - 64;
    char *data = large_file(size, &lines);
    char want[160];

    size += (size_t) sprintf(data + size, "\nworde = x\n");
    write_file(data, size);
    ck_assert_int_eq(rv_conf_read_file(cf, path, NULL), RV_ERROR);
    snprintf(want, sizeof(want), "unknown directive \"worde\" in %s:%u\n", path, lines + 1);
    ck_assert_str_eq(said(), want);
    free(data);
}
END_TEST

START_TEST(one_line_as_long_as_a_file_is_one_error)
{
    char *data = malloc(RV_CONF_READ_FILE);
    char want[160];

    memset(data, 'x', RV_CONF_READ_FILE);
    write_file(data, RV_CONF_READ_FILE);
    ck_assert_int_eq(rv_conf_read_file(cf, path, NULL), RV_ERROR);
    snprintf(want, sizeof(want), "line is longer than 199 bytes in %s:1\n", path);
    ck_assert_str_eq(said(), want);
    free(data);
}
END_TEST

/* --- the command line ------------------------------------------------------------------------ */

#define HERE " in command line\n"

static const struct {
    const char *text, *got, *said;
} overrides[] = {
    { "", "", "" },
    { " ; ;; \n", "", "" },
    { "word = a", "word=a;", "" },
    { "word=a;once=b", "word=a;once=b;", "" },
    { "main.word = a; main.once = b ;", "word=a;once=b;", "" },
    { "word = a = b", "word=a = b;", "" },
    { "  word\t=\ta b\t", "word=a b;", "" },
    { "location /a.handler = x", "handler=x;", "" },
    { "location /a.b.c.handler = x", "handler=x;", "" },
    { "location /a.handler=x; location /b.handler=y", "handler=x;handler=y;", "" },
    { "word = 1.5", "word=1.5;", "" },
    { "worde = a", "", "unknown directive \"worde\"" HERE },
    { "word", "", "no \"=\" in \"word\"" HERE },
    { "word = ", "", "no value for directive \"word\"" HERE },
    { "= x", "", "unknown directive \"\"" HERE },
    { "main. = x", "", "unknown directive \"\"" HERE },
    { ".word = x", "", "section without a name" HERE },
    { "min.word = x", "", "unknown section \"[min]\"" HERE },
    { "main x.word = x", "", "section \"[main]\" takes no argument" HERE },
    { "location.handler = x", "",
        "section \"[location]\" needs an argument: \"[location PATH]\"" HERE },
    { "once = a; once = b", "once=a;", "duplicate directive \"once\"" HERE },
    { "x = 1; word = a; y = 2; min.z = 3", "word=a;",
        "unknown directive \"x\"" HERE "unknown directive \"y\"" HERE
        "unknown section \"[min]\"" HERE },
    { "n23456789_123456789_123456789_123456789_123456789_.word = a", "",
        "section name is longer than 49 bytes: "
        "\"n23456789_123456789_123456789_123456789_123456789_\"" HERE },
};

START_TEST(override_is_read_or_refused)
{
    int good = overrides[_i].said[0] == '\0';

    ck_assert_int_eq(rv_conf_read_overrides(cf, overrides[_i].text), good ? RV_OK : RV_ERROR);
    ck_assert_str_eq(said(), overrides[_i].said);
    ck_assert_str_eq(got, overrides[_i].got);
}
END_TEST

START_TEST(overrides_pass_over_what_the_file_says)
{
    static const char text[] = "[main]\nonce = file\nword = f1\nword = f2\n[location /a]\n";

    ck_assert_int_eq(rv_conf_read_overrides(cf, "once = cmd; location /a.handler = cmd"), RV_OK);
    write_file(text, strlen(text));
    ck_assert_int_eq(rv_conf_read_file(cf, path, NULL), RV_OK);
    ck_assert_str_eq(got, "once=cmd;handler=cmd;word=f1;word=f2;");
}
END_TEST

START_TEST(errors_of_overrides_and_file_are_told_together)
{
    char want[256];

    ck_assert_int_eq(rv_conf_read_overrides(cf, "x = 1"), RV_ERROR);
    write_file("y = 2\n", 6);
    ck_assert_int_eq(rv_conf_read_file(cf, path, NULL), RV_ERROR);
    snprintf(want, sizeof(want),
        "unknown directive \"x\" in command line\n"
        "directive \"y\" before the first section in %s:1\n",
        path);
    ck_assert_str_eq(said(), want);
}
END_TEST

/* --- bytes that mean nothing ------------------------------------------------------------------- */

static uint32_t
next_random(uint32_t *state)
{
    *state = *state * 1664525u + 1013904223u;
    return *state >> 8;
}

static const char *const tokens[] = { "word", "once", "handler", " = ", "=", ":", " ", "\t", "\n",
    "\n", "\r\n", ";", " ;", "#", "x", "\"", "\xef\xbb\xbf", "\xff", "\x80", "\1", "[main]\n",
    "[location /a]\n", "[location ", "[", "]", ".", "word = x\n", "long_long_long_long_long_long",
    "                                                                                ",
    "----------------------------------------------------------------------------------" };

enum { BRACKETS_FROM = 20, BRACKETS_TO = 25 };

static size_t
random_text(uint32_t *state, char *text, size_t room, int with_sections)
{
    size_t pieces = next_random(state) % 60, length = 0;

    text[0] = '\0';
    for (size_t i = 0; i < pieces; i++) {
        size_t which = next_random(state) % rv_countof(tokens);
        int is_section = which >= BRACKETS_FROM && which < BRACKETS_TO;

        if (!is_section || with_sections)
            length += (size_t) snprintf(text + length, room - length, "%s", tokens[which]);
    }
    return length;
}

/* Each error has the file's name and a line that it has. */
static void
assert_sane_messages(const char *text, size_t length)
{
    unsigned lines = 1, count = 0;
    char place[96];

    for (size_t i = 0; i < length; i++)
        lines += text[i] == '\n';
    snprintf(place, sizeof(place), " in %s:", path);
    for (const rv_conf_message_t *m = rv_conf_messages(cf); m != NULL; m = m->next, count++) {
        const char *at = strstr(m->text, place);

        ck_assert_msg(at != NULL, "no place in: %s", m->text);
        long line = strtol(at + strlen(place), NULL, 10);
        ck_assert_int_ge(line, 1);
        ck_assert_int_le(line, lines);
    }
    ck_assert_uint_eq(count, rv_conf_error_count(cf));
}

START_TEST(random_input_is_read_or_refused_but_harms_nothing)
{
    enum { ROUNDS = 1000, ROOM = 8192 };
    uint32_t state = 4711 + (uint32_t) _i;
    char text[ROOM];

    for (int round = 0; round < ROUNDS; round++) {
        size_t length;

        if (_i == 0) {
            length = next_random(&state) % 2000;
            for (size_t i = 0; i < length; i++)
                text[i] = (char) next_random(&state);
        } else {
            length = random_text(&state, text, sizeof(text), 1);
        }
        write_file(text, length);
        int result = rv_conf_read_file(cf, path, NULL);
        ck_assert_int_eq(result, rv_conf_error_count(cf) == 0 ? RV_OK : RV_ERROR);
        assert_sane_messages(text, length);
        text[length] = '\0';
        (void) rv_conf_read_overrides(cf, text);
        (void) rv_conf_finish(cf);
        teardown();
        setup();
    }
}
END_TEST

/* Lines that are neither empty nor comments, after the first. */
static size_t
meaningful_lines(const char *text)
{
    size_t n = 0;

    while ((text = strchr(text, '\n')) != NULL) {
        text++;
        char first = text[strspn(text, " \t\r")];
        n += first != '\0' && first != '\n' && first != '#' && first != ';';
    }
    return n;
}

static int
has_control_in_comment(const char *text)
{
    for (; text != NULL; text = strchr(text, '\n')) {
        text += *text == '\n';
        text += strspn(text, " \t\r");
        size_t length = strcspn(text, "\n");
        if ((*text == '#' || *text == ';')
            && (length > 190 || memchr(text, 1, length) != NULL
                || memchr(text, '\r', length > 0 ? length - 1 : 0) != NULL))
            return 1;
    }
    return 0;
}

START_TEST(no_line_is_passed_over_in_silence)
{
    enum { ROUNDS = 1500, ROOM = 8192 };
    uint32_t state = 815;
    char text[ROOM] = "[main]\n";
    size_t head = strlen(text), tried = 0;

    for (int round = 0; round < ROUNDS; round++) {
        size_t length = head + random_text(&state, text + head, sizeof(text) - head, 0);

        if (has_control_in_comment(text))
            continue; /* that is an error too */
        write_file(text, length);
        (void) rv_conf_read_file(cf, path, NULL);
        ck_assert_msg(values + rv_conf_error_count(cf) == meaningful_lines(text),
            "%zu values of %s\nand\n%s", values, text, said());
        tried++;
        teardown();
        setup();
    }
    ck_assert_uint_gt(tried, ROUNDS / 2);
}
END_TEST

static Suite *
conf_input_suite(void)
{
    Suite *suite = suite_create("conf_input");
    TCase *tcase = tcase_create("conf_input");

    tcase_add_unchecked_fixture(tcase, setup_run, teardown_run);
    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_set_timeout(tcase, 120);
    tcase_add_test(tcase, text_of_the_file_is_kept_for_printing);
    tcase_add_test(tcase, file_that_cannot_be_read_says_why);
    tcase_add_test(tcase, file_up_to_the_limit_is_read_and_no_more);
    tcase_add_test(tcase, lines_of_a_large_file_are_counted);
    tcase_add_test(tcase, one_line_as_long_as_a_file_is_one_error);
    tcase_add_loop_test(tcase, override_is_read_or_refused, 0, (int) rv_countof(overrides));
    tcase_add_test(tcase, overrides_pass_over_what_the_file_says);
    tcase_add_test(tcase, errors_of_overrides_and_file_are_told_together);
    tcase_add_loop_test(tcase, random_input_is_read_or_refused_but_harms_nothing, 0, 2);
    tcase_add_test(tcase, no_line_is_passed_over_in_silence);

    suite_add_tcase(suite, tcase);
    return suite;
}

int
main(void)
{
    SRunner *runner = srunner_create(conf_input_suite());

    srunner_run_all(runner, CK_NORMAL);

    int failed = srunner_ntests_failed(runner);

    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
