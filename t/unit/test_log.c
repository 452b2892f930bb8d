/*
 * rv_log: one line for everything worth telling an operator.
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
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define TEXT_SIZE 65536
#define HEAD "^[0-9]{4}/[0-9]{2}/[0-9]{2} [0-9]{2}:[0-9]{2}:[0-9]{2} \\[[a-z]+\\] [0-9]+#0: "

static char directory[] = "/tmp/rv_test_log_XXXXXX";
static char log_path[64], other_path[64], stderr_path[64];
static char text[TEXT_SIZE];

static const rv_log_set_t no_set;

static void
setup_run(void)
{
    ck_assert_ptr_nonnull(mkdtemp(directory));
    snprintf(log_path, sizeof(log_path), "%s/log", directory);
    snprintf(other_path, sizeof(other_path), "%s/other", directory);
    snprintf(stderr_path, sizeof(stderr_path), "%s/stderr", directory);
}

static void
clear(void)
{
    unlink(log_path);
    unlink(other_path);
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

/* What the file holds, NULs as "\0" so that no byte can hide. */
static const char *
content(const char *path)
{
    FILE *file = fopen(path, "re");
    size_t length = 0;
    int c;

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
empty(const char *path)
{
    ck_assert_int_eq(truncate(path, 0), 0);
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
matches(const char *line, const char *pattern)
{
    regex_t regex;

    ck_assert_int_eq(regcomp(&regex, pattern, REG_EXTENDED | REG_NOSUB), 0);
    int result = regexec(&regex, line, 0, NULL, 0) == 0;
    regfree(&regex);
    return result;
}

/* The text of the only line in the file, without what rv_log puts in front. */
static const char *
only_line(const char *path)
{
    static char line[TEXT_SIZE];
    const char *all = content(path);
    size_t length = strlen(all);

    ck_assert_msg(length > 0 && strchr(all, '\n') == all + length - 1, "no single line: %s", all);
    ck_assert_msg(matches(all, HEAD), "not a log line: %s", all);
    snprintf(line, sizeof(line), "%.*s", (int) (length - 1), strstr(all, "#0: ") + 4);
    line[strlen(line) - (line[strlen(line) - 1] == '\n')] = '\0';
    return line;
}

START_TEST(line_is_time_level_pid_and_text)
{
    char pattern[256];

    use_file(RV_LOG_DEBUG);
    rv_log(RV_LOG_NOTICE, 0, "worker %d started, slot %d", 3, 5);
    snprintf(pattern, sizeof(pattern),
        "^[0-9]{4}/[0-9]{2}/[0-9]{2} [0-9]{2}:[0-9]{2}:[0-9]{2} "
        "\\[notice\\] %ld#0: worker 3 started, slot 5\n$",
        (long) getpid());
    ck_assert_msg(matches(content(log_path), pattern), "line is: %s", text);
}
END_TEST

static time_t
time_of_line(void)
{
    struct tm tm = { .tm_isdst = -1 };
    const char *rest = strptime(content(log_path), "%Y/%m/%d %H:%M:%S", &tm);

    ck_assert_ptr_nonnull(rest);
    return mktime(&tm);
}

static void
wait_for_next_second(time_t second)
{
    while (time(NULL) <= second)
        nanosleep(&(struct timespec){ .tv_nsec = 5000000 }, NULL);
}

START_TEST(time_is_local_and_follows_the_clock)
{
    setenv("TZ", "XYZ-5:30", 1);
    tzset();
    use_file(RV_LOG_DEBUG);
    for (int i = 0; i < 2; i++) {
        time_t before = time(NULL);

        rv_log(RV_LOG_NOTICE, 0, "x");
        time_t after = time(NULL);
        ck_assert_int_ge(time_of_line(), before);
        ck_assert_int_le(time_of_line(), after);
        empty(log_path);
        if (i == 0)
            wait_for_next_second(after);
    }
}
END_TEST

START_TEST(forked_process_writes_its_own_pid)
{
    char pattern[64];
    int status;

    use_file(RV_LOG_DEBUG);
    rv_log(RV_LOG_NOTICE, 0, "parent");
    empty(log_path);

    pid_t pid = fork();
    ck_assert_int_ne(pid, -1);
    if (pid == 0) {
        rv_log(RV_LOG_NOTICE, 0, "child");
        _exit(0);
    }
    ck_assert_int_eq(waitpid(pid, &status, 0), pid);
    snprintf(pattern, sizeof(pattern), " %ld#0: child\n$", (long) pid);
    ck_assert_msg(matches(content(log_path), pattern), "line is: %s", text);
}
END_TEST

/* --- levels --------------------------------------------------------------------- */

static const struct {
    const char *name;
    rv_log_level_t level;
} levels[] = {
    { "emerg", RV_LOG_EMERG },
    { "alert", RV_LOG_ALERT },
    { "crit", RV_LOG_CRIT },
    { "error", RV_LOG_ERROR },
    { "warn", RV_LOG_WARN },
    { "notice", RV_LOG_NOTICE },
    { "info", RV_LOG_INFO },
    { "debug", RV_LOG_DEBUG },
    { "", RV_LOG_NONE },
    { "EMERG", RV_LOG_NONE },
    { "warning", RV_LOG_NONE },
    { "err", RV_LOG_NONE },
    { "debug ", RV_LOG_NONE },
    { "none", RV_LOG_NONE },
};

enum { LEVELS = 8 };

START_TEST(levels_are_called_as_an_operator_writes_them)
{
    ck_assert_int_eq(rv_log_level(levels[_i].name), levels[_i].level);
}
END_TEST

START_TEST(level_stands_in_the_line)
{
    char tag[32];

    use_file(RV_LOG_DEBUG);
    rv_log(levels[_i].level, 0, "x");
    snprintf(tag, sizeof(tag), " [%s] ", levels[_i].name);
    ck_assert_ptr_nonnull(strstr(content(log_path), tag));
}
END_TEST

START_TEST(only_lines_of_the_level_and_graver_are_written)
{
    rv_log_level_t wanted = levels[_i].level;
    int lines = 0;

    use_file(wanted);
    for (int level = RV_LOG_EMERG; level <= RV_LOG_DEBUG; level++) {
        ck_assert_int_eq(rv_log_enabled((rv_log_level_t) level), level <= (int) wanted);
        rv_log((rv_log_level_t) level, 0, "level %d.", level);
    }
    for (const char *p = content(log_path); *p != '\0'; p++)
        lines += *p == '\n';
    ck_assert_int_eq(lines, (int) wanted);
    for (int level = RV_LOG_EMERG; level <= RV_LOG_DEBUG; level++) {
        char want[32];

        snprintf(want, sizeof(want), "level %d.", level);
        ck_assert_int_eq(strstr(text, want) != NULL, level <= (int) wanted);
    }
}
END_TEST

START_TEST(each_output_has_a_level_of_its_own)
{
    rv_log_set_t set = no_set;

    add_output(&set, log_path, RV_LOG_ERROR);
    add_output(&set, other_path, RV_LOG_INFO);
    rv_log_use(&set);
    rv_log_terminal(RV_LOG_NONE);
    ck_assert(rv_log_enabled(RV_LOG_INFO));
    ck_assert(!rv_log_enabled(RV_LOG_DEBUG));

    rv_log(RV_LOG_INFO, 0, "small");
    ck_assert_str_eq(content(log_path), "");
    ck_assert_str_eq(only_line(other_path), "small");
    empty(other_path);
    rv_log(RV_LOG_ERROR, 0, "large");
    ck_assert_str_eq(only_line(log_path), "large");
    ck_assert_str_eq(only_line(other_path), "large");
}
END_TEST

START_TEST(set_in_use_is_a_copy_that_can_be_exchanged)
{
    rv_log_set_t set = no_set, other = no_set;

    rv_log_terminal(RV_LOG_NONE);
    add_output(&set, log_path, RV_LOG_DEBUG);
    add_output(&other, other_path, RV_LOG_DEBUG);
    rv_log_use(&set);
    set.count = 0;
    rv_log(RV_LOG_NOTICE, 0, "first");
    rv_log_use(&other);
    rv_log(RV_LOG_NOTICE, 0, "second");
    ck_assert_str_eq(only_line(log_path), "first");
    ck_assert_str_eq(only_line(other_path), "second");

    rv_log_use(&no_set);
    ck_assert(!rv_log_enabled(RV_LOG_EMERG));
    rv_log(RV_LOG_EMERG, 0, "nowhere");
    ck_assert_str_eq(only_line(other_path), "second");
}
END_TEST

START_TEST(full_set_writes_to_all_of_it)
{
    rv_log_set_t set = no_set;
    char path[96];

    for (int i = 0; i < RV_LOG_SET_MAX; i++) {
        snprintf(path, sizeof(path), "%s.%d", log_path, i);
        add_output(&set, path, RV_LOG_INFO);
    }
    rv_log_use(&set);
    rv_log_terminal(RV_LOG_NONE);
    rv_log(RV_LOG_NOTICE, 0, "everywhere");
    for (int i = 0; i < RV_LOG_SET_MAX; i++) {
        snprintf(path, sizeof(path), "%s.%d", log_path, i);
        content(path);
        unlink(path);
        ck_assert_ptr_nonnull(strstr(text, "everywhere\n"));
    }
}
END_TEST

START_TEST(released_set_has_closed_its_files)
{
    rv_log_set_t set = no_set;

    add_output(&set, log_path, RV_LOG_DEBUG);
    add_output(&set, other_path, RV_LOG_DEBUG);
    int fd = rv_log_output_fd(set.entry[0].output), other = rv_log_output_fd(set.entry[1].output);

    rv_log_set_release(&set);
    ck_assert_uint_eq(set.count, 0);
    ck_assert_int_eq(fcntl(fd, F_GETFD), -1);
    ck_assert_int_eq(fcntl(other, F_GETFD), -1);
    rv_log_set_release(&set);
}
END_TEST

/* --- the terminal ------------------------------------------------------------------ */

START_TEST(new_process_shows_notices_on_the_terminal)
{
    ck_assert(rv_log_enabled(RV_LOG_NOTICE));
    ck_assert(!rv_log_enabled(RV_LOG_INFO));
    rv_log(RV_LOG_INFO, 0, "unseen");
    rv_log(RV_LOG_NOTICE, 0, "seen");
    rv_log(RV_LOG_EMERG, ENOENT, "opening \"%s\" failed", "a\nb");
    ck_assert_str_eq(content(stderr_path),
        "reeve: [notice] seen\n"
        "reeve: [emerg] opening \"a\\x0Ab\" failed (2: No such file or directory)\n");
}
END_TEST

START_TEST(terminal_shows_its_level_and_graver)
{
    use_file(RV_LOG_DEBUG);
    rv_log_terminal(RV_LOG_ERROR);
    rv_log(RV_LOG_WARN, 0, "small");
    ck_assert_str_eq(content(stderr_path), "");
    empty(log_path);
    rv_log(RV_LOG_ERROR, 0, "large");
    ck_assert_str_eq(content(stderr_path), "reeve: [error] large\n");
    ck_assert_str_eq(only_line(log_path), "large");

    rv_log_terminal(RV_LOG_NONE);
    rv_log(RV_LOG_EMERG, 0, "silent");
    ck_assert_str_eq(content(stderr_path), "reeve: [error] large\n");
}
END_TEST

START_TEST(log_on_standard_error_is_not_doubled_there)
{
    rv_log_set_t set = no_set;

    ck_assert(!rv_log_uses_stderr());
    add_output(&set, log_path, RV_LOG_DEBUG);
    rv_log_use(&set);
    ck_assert(!rv_log_uses_stderr());
    add_output(&set, "stderr", RV_LOG_ERROR);
    rv_log_use(&set);
    ck_assert(rv_log_uses_stderr());

    rv_log(RV_LOG_ERROR, 0, "once");
    ck_assert_str_eq(only_line(stderr_path), "once");
    ck_assert_ptr_null(strstr(content(stderr_path), "reeve: ["));

    /* below that log's level, but still one for the terminal */
    empty(stderr_path);
    rv_log(RV_LOG_NOTICE, 0, "short form");
    ck_assert_str_eq(content(stderr_path), "reeve: [notice] short form\n");
}
END_TEST

static void
add_level_tests(TCase *tcase)
{
    tcase_add_loop_test(
        tcase, levels_are_called_as_an_operator_writes_them, 0, (int) rv_countof(levels));
    tcase_add_loop_test(tcase, level_stands_in_the_line, 0, LEVELS);
    tcase_add_loop_test(tcase, only_lines_of_the_level_and_graver_are_written, 0, LEVELS);
    tcase_add_test(tcase, each_output_has_a_level_of_its_own);
    tcase_add_test(tcase, set_in_use_is_a_copy_that_can_be_exchanged);
    tcase_add_test(tcase, full_set_writes_to_all_of_it);
    tcase_add_test(tcase, released_set_has_closed_its_files);
}

static Suite *
log_suite(void)
{
    Suite *suite = suite_create("log");
    TCase *tcase = tcase_create("log");

    tcase_add_unchecked_fixture(tcase, setup_run, teardown_run);
    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_set_timeout(tcase, 120);
    tcase_add_test(tcase, line_is_time_level_pid_and_text);
    tcase_add_test(tcase, time_is_local_and_follows_the_clock);
    tcase_add_test(tcase, forked_process_writes_its_own_pid);
    add_level_tests(tcase);
    tcase_add_test(tcase, new_process_shows_notices_on_the_terminal);
    tcase_add_test(tcase, terminal_shows_its_level_and_graver);
    tcase_add_test(tcase, log_on_standard_error_is_not_doubled_there);

    suite_add_tcase(suite, tcase);
    return suite;
}

int
main(void)
{
    SRunner *runner = srunner_create(log_suite());

    srunner_run_all(runner, CK_NORMAL);

    int failed = srunner_ntests_failed(runner);

    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
