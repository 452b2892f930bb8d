/*
 * rv_log: what a line does to its text, its errno and its length.
 *
 * Standard error is a file while a test runs, and logs are files beside it;
 * what stands in them afterwards is what the operator sees.
 */
#include "rv_log.h"

#include "rv_log_output.h"

#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <regex.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define KEPT_ERRNO 77
#define TEXT_SIZE 65536
#define LONGEST 6000
#define HEAD "^[0-9]{4}/[0-9]{2}/[0-9]{2} [0-9]{2}:[0-9]{2}:[0-9]{2} \\[[a-z]+\\] [0-9]+#0: "

static char directory[] = "/tmp/rv_test_log_XXXXXX";
static char log_path[64], stderr_path[64];
static char text[TEXT_SIZE];

static const rv_log_set_t no_set;

static void
setup_run(void)
{
    ck_assert_ptr_nonnull(mkdtemp(directory));
    snprintf(log_path, sizeof(log_path), "%s/log", directory);
    snprintf(stderr_path, sizeof(stderr_path), "%s/stderr", directory);
}

static void
clear(void)
{
    unlink(log_path);
    unlink(stderr_path);
}

static void
teardown_run(void)
{
    clear();
    rmdir(directory);
}

static int saved_stderr;

static void
setup(void)
{
    clear();
    int fd = open(stderr_path, O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC, 0600);

    ck_assert_int_ge(fd, 0);
    saved_stderr = dup(STDERR_FILENO);
    ck_assert_int_eq(dup2(fd, STDERR_FILENO), STDERR_FILENO);
    close(fd);
}

static void
teardown(void)
{
    dup2(saved_stderr, STDERR_FILENO);
    close(saved_stderr);
}

/* Where in a file begins what a test has not looked at yet. */
static long *
start_of(const char *path)
{
    static long starts[2];

    return &starts[path == stderr_path];
}

/* What is new in the file, NULs as "\0" so that no byte can hide. */
static const char *
content(const char *path)
{
    FILE *file = fopen(path, "re");
    size_t length = 0;
    int c;

    if (file != NULL)
        ck_assert_int_eq(fseek(file, *start_of(path), SEEK_SET), 0);
    while (file != NULL && (c = getc_unlocked(file)) != EOF && length < sizeof(text) - 3) {
        if (c == '\0')
            text[length++] = '\\';
        text[length++] = (char) (c == '\0' ? '0' : c);
    }
    text[length] = '\0';
    if (file != NULL)
        fclose(file);
    return text;
}

static void
pass_over(const char *path)
{
    struct stat st;

    ck_assert_int_eq(stat(path, &st), 0);
    *start_of(path) = st.st_size;
}

static void
add_output(rv_log_set_t *set, const char *target, rv_log_level_t level)
{
    char error[RV_LOG_OUTPUT_ERROR];

    ck_assert_int_eq(rv_log_output_open(target, &set->entry[set->count].output, error), RV_OK);
    set->entry[set->count++].level = level;
}

/* One log file for lines of this level and graver; nothing on the terminal. */
static void
use_file(rv_log_level_t level)
{
    rv_log_set_t set = no_set;

    add_output(&set, log_path, level);
    rv_log_use(&set);
    rv_log_terminal(RV_LOG_NONE);
}

static int
has_head(const char *line)
{
    static regex_t regex;
    static int compiled;

    if (!compiled)
        ck_assert_int_eq(regcomp(&regex, HEAD, REG_EXTENDED | REG_NOSUB), 0);
    compiled = 1;
    return regexec(&regex, line, 0, NULL, 0) == 0;
}

/* The text of the only line in the file, without what rv_log puts in front. */
static const char *
only_line(const char *path)
{
    static char line[TEXT_SIZE];
    const char *all = content(path);
    size_t length = strlen(all);

    ck_assert_msg(length > 0 && strchr(all, '\n') == all + length - 1, "no single line: %s", all);
    ck_assert_msg(has_head(all), "not a log line: %s", all);
    snprintf(line, sizeof(line), "%.*s", (int) (length - 1), strstr(all, "#0: ") + 4);
    line[strlen(line) - (line[strlen(line) - 1] == '\n')] = '\0';
    return line;
}

/* --- text ----------------------------------------------------------------------- */

START_TEST(errno_is_appended_with_its_text)
{
    char want[128];

    use_file(RV_LOG_DEBUG);
    rv_log(RV_LOG_EMERG, EADDRINUSE, "bind() to \"%s\" failed", "127.0.0.1:80");
    snprintf(want, sizeof(want), "bind() to \"127.0.0.1:80\" failed (%d: Address already in use)",
        EADDRINUSE);
    ck_assert_str_eq(only_line(log_path), want);

    pass_over(log_path);
    errno = ENOENT;
    rv_log(RV_LOG_EMERG, 0, "no reason");
    ck_assert_str_eq(only_line(log_path), "no reason");
}
END_TEST

START_TEST(errno_survives_logging)
{
    rv_log_set_t set = no_set;

    add_output(&set, log_path, RV_LOG_DEBUG);
    add_output(&set, "/dev/full", RV_LOG_DEBUG);
    rv_log_use(&set);
    close(STDERR_FILENO); /* writing there fails too */

    for (int err = 0; err <= ENOENT; err += ENOENT) {
        errno = KEPT_ERRNO;
        rv_log(RV_LOG_ERROR, err, "x");
        ck_assert_int_eq(errno, KEPT_ERRNO);
        rv_log(RV_LOG_DEBUG, err, "x");
        ck_assert_int_eq(errno, KEPT_ERRNO);
    }
    ck_assert_ptr_nonnull(strstr(content(log_path), "x (2: "));
}
END_TEST

static const struct {
    const char *message, *written;
} odd_bytes[] = {
    { "a\nb", "a\\x0Ab" },
    { "a\r\nb", "a\\x0D\\x0Ab" },
    { "tab\there", "tab\\x09here" },
    { "\033[31mred", "\\x1B[31mred" },
    { "del\177", "del\\x7F" },
    { "\001\037", "\\x01\\x1F" },
    { "\n", "\\x0A" },
    { "", "" },
    { "100% %s %n \\x41", "100% %s %n \\x41" },
    { "gr\xc3\xbc\xc3\x9f \x80\xff", "gr\xc3\xbc\xc3\x9f \x80\xff" },
};

START_TEST(control_characters_are_written_in_hexadecimal)
{
    use_file(RV_LOG_DEBUG);
    rv_log(RV_LOG_NOTICE, 0, "%s", odd_bytes[_i].message);
    ck_assert_str_eq(only_line(log_path), odd_bytes[_i].written);
}
END_TEST

/* --- long lines ------------------------------------------------------------------- */

/* What `line` must be, or begin with: `length` times c, as rv_log writes it. */
static const char *
repeated(size_t length, char c, char *message)
{
    static char written[4 * LONGEST + 1];
    char hex[8];

    memset(message, c, length);
    message[length] = '\0';
    if (c >= ' ')
        return message;
    snprintf(hex, sizeof(hex), "\\x%02X", (unsigned char) c);
    for (size_t i = 0; i < length; i++)
        memcpy(written + 4 * i, hex, 4);
    written[4 * length] = '\0';
    return written;
}

/* All of it, or its beginning and "..."; never cut without a sign. */
static void
assert_whole_or_marked(const char *line, const char *want, const char *end)
{
    size_t length = strlen(line), wanted = strlen(want);

    if (length == wanted + strlen(end) && memcmp(line, want, wanted) == 0
        && strcmp(line + wanted, end) == 0)
        return;

    ck_assert_uint_gt(wanted, 1900);
    ck_assert_uint_gt(length, 1900);
    ck_assert_msg(
        strcmp(line + length - strlen(end), end) == 0 || strcmp(line + length - 3, "...") == 0,
        "a line of %zu ends in: %s", wanted, line + length - 20);
    length -= strcmp(line + length - 3, "...") == 0 ? 3 : strlen(end);
    ck_assert_msg(memcmp(line + length - 3, "...", 3) != 0 || strcmp(line + length, end) == 0,
        "marked twice");
    const char *mark = strstr(line, "...");
    ck_assert_msg(mark != NULL, "a line of %zu was cut without a mark", wanted);
    ck_assert_int_eq(memcmp(line, want, rv_min((size_t) (mark - line), wanted)), 0);
}

static const struct {
    char c;
    int err;
    const char *end;
} long_lines[] = {
    { 'x', 0, "" },
    { 'x', ENOENT, " (2: No such file or directory)" },
    { '\n', 0, "" },
    { '\n', ENOENT, " (2: No such file or directory)" },
};

/* Each length where a line might just fit, plain or in hexadecimal. */
static size_t
next_length(size_t length)
{
    int close = (length >= 490 && length <= 550) || (length >= 1980 && length <= 2190);

    return length + (close ? 1 : 90);
}

START_TEST(overlong_line_ends_in_dots)
{
    char message[LONGEST + 1];

    use_file(RV_LOG_DEBUG);
    for (size_t length = 1; length < LONGEST; length = next_length(length)) {
        const char *want = repeated(length, long_lines[_i].c, message);

        rv_log(RV_LOG_ERROR, long_lines[_i].err, "%s", message);
        assert_whole_or_marked(only_line(log_path), want, long_lines[_i].end);
        pass_over(log_path);
    }
}
END_TEST

START_TEST(overlong_line_on_the_terminal_ends_in_dots)
{
    static const char head[] = "reeve: [error] ";
    char message[LONGEST + 1], line[TEXT_SIZE];

    for (size_t length = 1; length < LONGEST; length = next_length(length)) {
        const char *want = repeated(length, long_lines[_i].c, message);

        rv_log(RV_LOG_ERROR, long_lines[_i].err, "%s", message);
        snprintf(line, sizeof(line), "%s", content(stderr_path));
        ck_assert_int_eq(memcmp(line, head, strlen(head)), 0);
        ck_assert_ptr_eq(strchr(line, '\n'), line + strlen(line) - 1);
        ck_assert_ptr_null(strstr(line, "\\0\\0"));
        line[strlen(line) - 1] = '\0';
        assert_whole_or_marked(line + strlen(head), want, long_lines[_i].end);
        pass_over(stderr_path);
    }
}
END_TEST

static Suite *
log_text_suite(void)
{
    Suite *suite = suite_create("log_text");
    TCase *tcase = tcase_create("log_text");

    tcase_add_unchecked_fixture(tcase, setup_run, teardown_run);
    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_set_timeout(tcase, 120);
    tcase_add_test(tcase, errno_is_appended_with_its_text);
    tcase_add_test(tcase, errno_survives_logging);
    tcase_add_loop_test(
        tcase, control_characters_are_written_in_hexadecimal, 0, (int) rv_countof(odd_bytes));
    tcase_add_loop_test(tcase, overlong_line_ends_in_dots, 0, (int) rv_countof(long_lines));
    tcase_add_loop_test(
        tcase, overlong_line_on_the_terminal_ends_in_dots, 0, (int) rv_countof(long_lines));

    suite_add_tcase(suite, tcase);
    return suite;
}

int
main(void)
{
    SRunner *runner = srunner_create(log_text_suite());

    srunner_run_all(runner, CK_NORMAL);

    int failed = srunner_ntests_failed(runner);

    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
