/*
 * rv_log_output: files and standard error as places where log lines end up.
 */
#include "rv_log_output.h"

#include "descriptors.h"
#include "rv_log.h"

#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <syslog.h>
#include <unistd.h>

#define TEXT_SIZE 16384
#define PATH_SIZE 96
#define WHEN "2026/11/21 02:51:03 [error] 7#0: "

static char directory[] = "/tmp/rv_test_output_XXXXXX";
static char path[PATH_SIZE], moved[PATH_SIZE], other[PATH_SIZE];
static char text[TEXT_SIZE];
static char why[RV_LOG_OUTPUT_ERROR];

static void
setup_run(void)
{
    ck_assert_ptr_nonnull(mkdtemp(directory));
    snprintf(path, sizeof(path), "%s/log", directory);
    snprintf(moved, sizeof(moved), "%s/log.1", directory);
    snprintf(other, sizeof(other), "%s/other", directory);
}

static void
clear(void)
{
    rmdir(path);
    unlink(path);
    unlink(moved);
    unlink(other);
}

static void
teardown_run(void)
{
    clear();
    rmdir(directory);
}

static const char *
content(const char *file)
{
    FILE *stream = fopen(file, "re");
    size_t n = stream == NULL ? 0 : fread(text, 1, sizeof(text) - 1, stream);

    text[n] = '\0';
    if (stream != NULL)
        fclose(stream);
    return text;
}

static unsigned
opened(const char *target)
{
    unsigned output = 4242;

    ck_assert_msg(rv_log_output_open(target, &output, why) == RV_OK, "%s: %s %s", target, why,
        strerror(errno));
    return output;
}

/* A line as rv_log makes it, and its text alone. */
static void
write_line(unsigned output, const char *message)
{
    char line[TEXT_SIZE];
    int n = snprintf(line, sizeof(line), "%s%s\n", WHEN, message);

    rv_log_output_write(output, LOG_ERR, line, (size_t) n, strlen(WHEN));
}

static int
is_open(int fd)
{
    return fcntl(fd, F_GETFD) != -1;
}

/* --- opening and releasing --------------------------------------------------------- */

START_TEST(file_is_made_and_appended_to)
{
    struct stat st;

    umask(022);
    unsigned output = opened(path);
    ck_assert_str_eq(rv_log_output_target(output), path);
    ck_assert(!rv_log_output_is_stderr(output));
    ck_assert(fcntl(rv_log_output_fd(output), F_GETFD) & FD_CLOEXEC);
    ck_assert_int_eq(stat(path, &st), 0);
    ck_assert_uint_eq(st.st_mode & 07777, 0644);

    write_line(output, "one");
    rv_log_output_release(output);
    output = opened(path);
    write_line(output, "two");
    ck_assert_str_eq(content(path), WHEN "one\n" WHEN "two\n");

    ck_assert_int_eq(truncate(path, 0), 0); /* by somebody else */
    write_line(output, "three");
    ck_assert_str_eq(content(path), WHEN "three\n");
}
END_TEST

static const char *const standards[] = { [STDOUT_FILENO] = "stdout", [STDERR_FILENO] = "stderr" };

START_TEST(standard_outputs_are_never_closed)
{
    unsigned output = opened(standards[_i]);

    ck_assert_int_eq(rv_log_output_is_stderr(output), _i == STDERR_FILENO);
    ck_assert_uint_eq(opened(standards[_i]), output);
    rv_log_output_replace(output, dup(_i));
    ck_assert_int_eq(rv_log_output_fd(output), _i);
    for (int users = 2; users > 0; users--)
        rv_log_output_release(output);
    ck_assert(is_open(_i));
}
END_TEST

START_TEST(same_target_is_opened_once_and_closed_by_the_last)
{
    unsigned output = opened(path);
    int fd = rv_log_output_fd(output), descriptors = descriptors_open();

    ck_assert_uint_eq(opened(path), output);
    ck_assert_uint_eq(opened(path), output);
    ck_assert_int_eq(descriptors_open(), descriptors);
    ck_assert_uint_ne(opened(other), output);

    rv_log_output_release(output);
    rv_log_output_release(output);
    ck_assert(is_open(fd));
    write_line(output, "still there");
    ck_assert_str_eq(content(path), WHEN "still there\n");
    rv_log_output_release(output);
    ck_assert(!is_open(fd));
}
END_TEST

/* A worker may still be sent a descriptor by the old index. */
START_TEST(index_is_not_used_again_before_all_have_released_it)
{
    unsigned output = opened(path);

    ck_assert_uint_eq(opened(path), output);
    rv_log_output_release(output);
    ck_assert_uint_ne(opened(other), output);
    rv_log_output_release(output);
    ck_assert_uint_eq(opened(moved), output);
}
END_TEST

START_TEST(outputs_can_be_used_up_and_come_free_again)
{
    char name[PATH_SIZE + 16], limit[64];
    unsigned outputs[RV_LOG_OUTPUTS], output = 4242;

    for (int i = 0; i < RV_LOG_OUTPUTS; i++) {
        snprintf(name, sizeof(name), "%s.%d", path, i);
        outputs[i] = opened(name);
        unlink(name);
        for (int j = 0; j < i; j++)
            ck_assert_uint_ne(outputs[i], outputs[j]);
    }

    snprintf(limit, sizeof(limit), "more than %d logs are open", RV_LOG_OUTPUTS);
    errno = 77;
    ck_assert_int_eq(rv_log_output_open(other, &output, why), RV_ERROR);
    ck_assert_str_eq(why, limit);
    ck_assert_int_eq(errno, 0);
    ck_assert_int_eq(access(other, F_OK), -1);
    ck_assert_uint_eq(opened(name), outputs[RV_LOG_OUTPUTS - 1]); /* shared, not new */

    rv_log_output_release(outputs[10]);
    ck_assert_uint_eq(opened(other), outputs[10]);
}
END_TEST

START_TEST(file_that_cannot_be_opened_leaves_errno)
{
    char missing[PATH_SIZE + 32];
    unsigned output = 4242;
    int descriptors = descriptors_open();

    snprintf(missing, sizeof(missing), "%s/missing/far/log", directory);
    ck_assert_int_eq(rv_log_output_open(missing, &output, why), RV_ERROR);
    ck_assert_int_eq(errno, ENOENT);
    ck_assert_str_eq(why, "");
    ck_assert_int_eq(rv_log_output_open(directory, &output, why), RV_ERROR);
    ck_assert_int_eq(errno, EISDIR);
    ck_assert_str_eq(why, "");
    ck_assert_uint_eq(output, 4242);
    ck_assert_int_eq(descriptors_open(), descriptors);
}
END_TEST

START_TEST(checking_a_target_opens_nothing)
{
    int descriptors = descriptors_open();

    ck_assert_int_eq(rv_log_output_check(path, why), RV_OK);
    ck_assert_int_eq(rv_log_output_check("/missing/folder/log", why), RV_OK);
    ck_assert_int_eq(rv_log_output_check("stderr", why), RV_OK);
    ck_assert_int_eq(rv_log_output_check("syslog:server=unix:/missing/socket", why), RV_OK);
    ck_assert_int_eq(access(path, F_OK), -1);
    ck_assert_int_eq(descriptors_open(), descriptors);
}
END_TEST

/* --- another descriptor -------------------------------------------------------------- */

START_TEST(reopened_log_leaves_the_moved_file_behind)
{
    unsigned output = opened(path), at = 0;

    ck_assert_uint_eq(opened(path), output); /* by two generations */
    write_line(output, "before");
    ck_assert_int_eq(rename(path, moved), 0);
    write_line(output, "moved");
    ck_assert_int_eq(access(path, F_OK), -1);

    int descriptors = descriptors_open();
    ck_assert_int_eq(rv_log_output_reopen(&at), RV_OK);
    ck_assert_uint_eq(at, output + 1);
    ck_assert_int_eq(rv_log_output_reopen(&at), RV_DONE);
    ck_assert_int_eq(descriptors_open(), descriptors);
    ck_assert(fcntl(rv_log_output_fd(output), F_GETFD) & FD_CLOEXEC);

    write_line(output, "after");
    ck_assert_str_eq(content(path), WHEN "after\n");
    ck_assert_str_eq(content(moved), WHEN "before\n" WHEN "moved\n");
}
END_TEST

START_TEST(reopening_goes_over_all_files_and_skips_standard_ones)
{
    unsigned outputs[] = { opened(path), opened(standards[_i]), opened(other), opened(moved) };
    unsigned at = 0, seen = 0;

    rv_log_output_release(outputs[2]);
    unlink(other);
    while (rv_log_output_reopen(&at) == RV_OK)
        seen |= 1u << (at - 1);
    ck_assert_uint_eq(seen, 1u << outputs[0] | 1u << outputs[3]);
    ck_assert_int_eq(rv_log_output_fd(outputs[1]), _i);
    ck_assert_int_eq(access(other, F_OK), -1);
}
END_TEST

START_TEST(log_that_cannot_be_reopened_goes_on_as_it_was)
{
    unsigned first = opened(path), second = opened(other), at = 0;

    ck_assert_int_eq(rename(path, moved), 0);
    ck_assert_int_eq(mkdir(path, 0700), 0);
    ck_assert_int_eq(unlink(other), 0);

    ck_assert_int_eq(rv_log_output_reopen(&at), RV_ERROR);
    ck_assert_int_eq(errno, EISDIR);
    ck_assert_uint_eq(at, first + 1);
    ck_assert_int_eq(rv_log_output_reopen(&at), RV_OK);
    ck_assert_uint_eq(at, second + 1);
    ck_assert_int_eq(rv_log_output_reopen(&at), RV_DONE);

    write_line(first, "old file");
    write_line(second, "new file");
    ck_assert_str_eq(content(moved), WHEN "old file\n");
    ck_assert_str_eq(content(other), WHEN "new file\n");
}
END_TEST

START_TEST(passed_descriptor_takes_the_place_of_the_old_one)
{
    unsigned output = opened(path);
    int old = rv_log_output_fd(output);
    int fd = open(other, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600);

    rv_log_output_replace(output, fd);
    ck_assert_int_eq(rv_log_output_fd(output), fd);
    ck_assert(!is_open(old));
    write_line(output, "x");
    ck_assert_str_eq(content(path), "");
    ck_assert_str_eq(content(other), WHEN "x\n");

    rv_log_output_release(output);
    ck_assert(!is_open(fd));
}
END_TEST

START_TEST(descriptor_for_no_such_output_is_closed)
{
    unsigned used = opened(path), standard = opened("stderr"), freed = opened(other);
    unsigned wrong[] = { standard, freed, freed + 1, RV_LOG_OUTPUTS - 1, RV_LOG_OUTPUTS,
        RV_LOG_OUTPUTS + 1, UINT32_MAX };

    rv_log_output_release(freed);
    for (size_t i = 0; i < rv_countof(wrong); i++) {
        int fd = open("/dev/null", O_WRONLY | O_CLOEXEC);

        rv_log_output_replace(wrong[i], fd);
        ck_assert(!is_open(fd));
    }
    ck_assert(is_open(STDERR_FILENO));
    ck_assert_int_eq(rv_log_output_fd(standard), STDERR_FILENO);
    write_line(used, "x"); /* it is still there */
    ck_assert_str_eq(content(path), WHEN "x\n");
}
END_TEST

/* --- lines that cannot be written ------------------------------------------------------ */

START_TEST(lost_lines_are_counted_and_reported_once)
{
    unsigned output = opened("/dev/full");

    for (int i = 0; i < 3; i++)
        write_line(output, "lost");
    rv_log_output_replace(output, open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600));
    write_line(output, "works");
    write_line(output, "still");
    ck_assert_str_eq(
        content(path), WHEN "3 log lines were lost here\n" WHEN "works\n" WHEN "still\n");

    rv_log_output_replace(output, open("/dev/full", O_WRONLY | O_CLOEXEC));
    write_line(output, "lost");
    write_line(output, "lost");
    rv_log_output_replace(output, open(other, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600));
    write_line(output, "again");
    ck_assert_str_eq(content(other), WHEN "2 log lines were lost here\n" WHEN "again\n");
}
END_TEST

START_TEST(lost_lines_of_one_log_are_not_those_of_another)
{
    unsigned full = opened("/dev/full"), file = opened(path);

    write_line(full, "lost");
    write_line(file, "x");
    ck_assert_str_eq(content(path), WHEN "x\n");
    /* the next to get this place in the table has lost nothing */
    rv_log_output_release(full);
    ck_assert_uint_eq(opened(other), full);
    write_line(full, "y");
    ck_assert_str_eq(content(other), WHEN "y\n");
}
END_TEST

static size_t
drained_lines(int fd)
{
    size_t lines = 0;
    ssize_t n;

    while ((n = read(fd, text, sizeof(text))) > 0) {
        for (ssize_t i = 0; i < n; i++)
            lines += text[i] == '\n';
    }
    return lines;
}

/* What the master lost, the master reports. */
START_TEST(forked_process_does_not_report_its_parents_lost_lines)
{
    unsigned output = opened("/dev/full");

    write_line(output, "lost");
    rv_log_output_forked();
    rv_log_output_replace(output, open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600));
    write_line(output, "worker");
    ck_assert_str_eq(content(path), WHEN "worker\n");
}
END_TEST

/* A log that is a pipe to another program, which reads no more. */
START_TEST(full_pipe_loses_lines_but_never_blocks)
{
    enum { LINES = 10000 }; /* far more than a pipe holds */
    unsigned output = opened(path);
    char note[128];
    int fds[2];

    ck_assert_int_eq(pipe2(fds, O_CLOEXEC | O_NONBLOCK), 0);
    rv_log_output_replace(output, fds[1]);
    for (int i = 0; i < LINES; i++)
        write_line(output, "x");

    size_t lines = drained_lines(fds[0]);
    ck_assert_uint_gt(lines, 0);
    ck_assert_uint_lt(lines, LINES);

    write_line(output, "after");
    ssize_t n = read(fds[0], text, sizeof(text) - 1);
    ck_assert_int_gt(n, 0);
    text[n] = '\0';
    snprintf(
        note, sizeof(note), WHEN "%zu log lines were lost here\n" WHEN "after\n", LINES - lines);
    ck_assert_str_eq(text, note);
    close(fds[0]);
}
END_TEST

static void
limit_file_size(rlim_t size)
{
    struct rlimit limit = { size, RLIM_INFINITY };

    ck_assert_int_eq(setrlimit(RLIMIT_FSIZE, &limit), 0);
}

/* A disk that is full takes the beginning of a line, and no more of it. */
START_TEST(note_about_lost_lines_stands_on_a_line_of_its_own)
{
    unsigned output = opened(path);

    signal(SIGXFSZ, SIG_IGN);
    write_line(output, "whole");
    limit_file_size(strlen(WHEN "whole\n") + 12);
    write_line(output, "cut");
    write_line(output, "lost");
    ck_assert_uint_eq(strlen(content(path)), strlen(WHEN "whole\n") + 12);

    limit_file_size(RLIM_INFINITY);
    write_line(output, "works");
    ck_assert_int_eq(memcmp(content(path), WHEN "whole\n", strlen(WHEN "whole\n")), 0);
    ck_assert_msg(strstr(text, "\n" WHEN "2 log lines were lost here\n") != NULL, "%s", text);
    ck_assert_msg(strstr(text, "\n" WHEN "works\n") != NULL, "%s", text);
}
END_TEST

static Suite *
log_output_suite(void)
{
    Suite *suite = suite_create("log_output");
    TCase *tcase = tcase_create("log_output");

    tcase_add_unchecked_fixture(tcase, setup_run, teardown_run);
    tcase_add_checked_fixture(tcase, clear, clear);
    tcase_set_timeout(tcase, 120);
    tcase_add_test(tcase, file_is_made_and_appended_to);
    tcase_add_loop_test(tcase, standard_outputs_are_never_closed, 1, 3);
    tcase_add_test(tcase, same_target_is_opened_once_and_closed_by_the_last);
    tcase_add_test(tcase, index_is_not_used_again_before_all_have_released_it);
    tcase_add_test(tcase, outputs_can_be_used_up_and_come_free_again);
    tcase_add_test(tcase, file_that_cannot_be_opened_leaves_errno);
    tcase_add_test(tcase, checking_a_target_opens_nothing);
    tcase_add_test(tcase, reopened_log_leaves_the_moved_file_behind);
    tcase_add_loop_test(tcase, reopening_goes_over_all_files_and_skips_standard_ones, 1, 3);
    tcase_add_test(tcase, log_that_cannot_be_reopened_goes_on_as_it_was);
    tcase_add_test(tcase, passed_descriptor_takes_the_place_of_the_old_one);
    tcase_add_test(tcase, descriptor_for_no_such_output_is_closed);
    tcase_add_test(tcase, lost_lines_are_counted_and_reported_once);
    tcase_add_test(tcase, lost_lines_of_one_log_are_not_those_of_another);
    tcase_add_test(tcase, forked_process_does_not_report_its_parents_lost_lines);
    tcase_add_test(tcase, full_pipe_loses_lines_but_never_blocks);
    tcase_add_test(tcase, note_about_lost_lines_stands_on_a_line_of_its_own);

    suite_add_tcase(suite, tcase);
    return suite;
}

int
main(void)
{
    SRunner *runner = srunner_create(log_output_suite());

    srunner_run_all(runner, CK_NORMAL);

    int failed = srunner_ntests_failed(runner);

    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
