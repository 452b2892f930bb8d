/*
 * rv_fd: files, as they are created, written to and read.
 */
#include "rv_fd.h"

#include "descriptors.h"

#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define NOBODY 65534

static char directory[] = "/tmp/rv_test_fd_XXXXXX";
static char path[64];

static void
setup_run(void)
{
    ck_assert_ptr_nonnull(mkdtemp(directory));
    ck_assert_int_eq(chmod(directory, 0755), 0);
    snprintf(path, sizeof(path), "%s/file", directory);
}

static void
clear(void)
{
    unlink(path);
}

static void
teardown_run(void)
{
    clear();
    rmdir(directory);
}

static int
is_close_on_exec(int fd)
{
    return (fcntl(fd, F_GETFD) & FD_CLOEXEC) != 0;
}

/* --- creating ----------------------------------------------------------------- */

START_TEST(file_is_created_with_its_flags_and_mode)
{
    struct stat st;

    umask(0);
    int fd = rv_fd_create(path, O_WRONLY | O_APPEND, 0640);
    ck_assert_int_ge(fd, 0);
    ck_assert(is_close_on_exec(fd));
    ck_assert(fcntl(fd, F_GETFL) & O_APPEND);
    ck_assert_int_eq(fstat(fd, &st), 0);
    ck_assert_uint_eq(st.st_mode & 07777, 0640);
    ck_assert_int_eq(write(fd, "x", 1), 1);
    rv_fd_close(&fd);

    fd = rv_fd_create(path, O_WRONLY, 0640); /* it is there: nothing is lost */
    ck_assert_int_eq(fstat(fd, &st), 0);
    ck_assert_int_eq(st.st_size, 1);
    rv_fd_close(&fd);
    ck_assert_int_eq(rv_fd_create(path, O_WRONLY | O_EXCL, 0640), -1);
    ck_assert_int_eq(errno, EEXIST);
}
END_TEST

START_TEST(one_missing_folder_is_made_and_not_two)
{
    char folder[64], file[80], deep[96];
    struct stat st;

    umask(0);
    snprintf(folder, sizeof(folder), "%s/logs", directory);
    snprintf(file, sizeof(file), "%s/error.log", folder);
    snprintf(deep, sizeof(deep), "%s/a/error.log", folder);

    errno = 0;
    ck_assert_int_eq(rv_fd_create(deep, O_WRONLY, 0644), -1);
    ck_assert_int_eq(errno, ENOENT);
    ck_assert_int_eq(access(folder, F_OK), -1);

    int fd = rv_fd_create(file, O_WRONLY, 0644);
    ck_assert_int_ge(fd, 0);
    ck_assert(is_close_on_exec(fd));
    rv_fd_close(&fd);
    ck_assert_int_eq(stat(folder, &st), 0);
    ck_assert_uint_eq(st.st_mode & 07777, 0755);
    ck_assert_int_eq(unlink(file), 0);
    ck_assert_int_eq(rmdir(folder), 0);
}
END_TEST

START_TEST(file_that_cannot_be_created_says_why)
{
    char long_path[8192];

    memset(long_path, 'x', sizeof(long_path));
    for (size_t i = 0; i < sizeof(long_path); i += 100)
        long_path[i] = '/';
    long_path[sizeof(long_path) - 1] = '\0';
    ck_assert_int_eq(rv_fd_create(long_path, O_WRONLY, 0644), -1);
    ck_assert_int_eq(errno, ENAMETOOLONG);
    ck_assert_int_eq(rv_fd_create(directory, O_WRONLY, 0644), -1);
    ck_assert_int_eq(errno, EISDIR);
    ck_assert_int_eq(rv_fd_create("", O_WRONLY, 0644), -1);
    ck_assert_int_eq(errno, ENOENT);
}
END_TEST

/* --- writing ------------------------------------------------------------------ */

static volatile sig_atomic_t *alarms; /* shared with the reader */

static void
on_alarm(RV_UNUSED int number)
{
    ++*alarms;
}

static void
wait_for_alarms(int number)
{
    while (*alarms < number)
        nanosleep(&(struct timespec){ .tv_nsec = 5000000 }, NULL);
}

/* Reads to the end; before each of the first rounds it lets the writer be interrupted. */
static int
read_slowly(int fd, size_t expected)
{
    unsigned char data[8192];
    size_t total = 0;
    ssize_t n;

    for (int round = 1;; round++) {
        if (round <= 5)
            wait_for_alarms(round * 3);
        n = read(fd, data, sizeof(data));
        if (n <= 0)
            return n == 0 && total == expected ? EXIT_SUCCESS : EXIT_FAILURE;
        for (ssize_t i = 0; i < n; i++, total++) {
            if (data[i] != total % 251)
                return EXIT_FAILURE;
        }
    }
}

START_TEST(all_is_written_to_a_slow_reader_between_signals)
{
    enum { SIZE = 1024 * 1024 };
    const struct itimerval often = { { 0, 1000 }, { 0, 1000 } }, never = { { 0, 0 }, { 0, 0 } };
    struct sigaction action = { .sa_handler = on_alarm }; /* without SA_RESTART */
    unsigned char *data = malloc(SIZE);
    int fds[2], status;

    for (size_t i = 0; i < SIZE; i++)
        data[i] = (unsigned char) (i % 251);
    alarms = mmap(NULL, sizeof(*alarms), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    ck_assert_ptr_ne((void *) alarms, MAP_FAILED);
    ck_assert_int_eq(pipe(fds), 0);

    pid_t pid = fork();
    ck_assert_int_ne(pid, -1);
    if (pid == 0) {
        close(fds[1]);
        _exit(read_slowly(fds[0], SIZE));
    }

    close(fds[0]);
    sigaction(SIGALRM, &action, NULL);
    setitimer(ITIMER_REAL, &often, NULL);
    ck_assert_int_eq(rv_fd_write(fds[1], data, SIZE), RV_OK);
    setitimer(ITIMER_REAL, &never, NULL);
    close(fds[1]);

    ck_assert_int_eq(waitpid(pid, &status, 0), pid);
    ck_assert(WIFEXITED(status));
    ck_assert_int_eq(WEXITSTATUS(status), EXIT_SUCCESS);
    free(data);
}
END_TEST

START_TEST(failed_write_says_why)
{
    static const char data[256 * 1024];
    int fds[2];

    signal(SIGPIPE, SIG_IGN);
    ck_assert_int_eq(rv_fd_pipe(fds), RV_OK);
    ck_assert_int_eq(rv_fd_write(fds[1], data, 0), RV_OK);
    errno = 0;
    ck_assert_int_eq(rv_fd_write(fds[1], data, sizeof(data)), RV_ERROR);
    ck_assert_int_eq(errno, EAGAIN);

    rv_fd_close(&fds[0]);
    errno = 0;
    ck_assert_int_eq(rv_fd_write(fds[1], data, 1), RV_ERROR);
    ck_assert_int_eq(errno, EPIPE);
    rv_fd_close(&fds[1]);

    int full = open("/dev/full", O_WRONLY | O_CLOEXEC);
    errno = 0;
    ck_assert_int_eq(rv_fd_write(full, data, 1), RV_ERROR);
    ck_assert_int_eq(errno, ENOSPC);
    rv_fd_close(&full);
}
END_TEST

/* --- reading a file ------------------------------------------------------------ */

static void
make_file(size_t size)
{
    FILE *file = fopen(path, "we");

    ck_assert_ptr_nonnull(file);
    for (size_t i = 0; i < size; i++)
        fputc((int) (i % 256), file);
    ck_assert_int_eq(fclose(file), 0);
}

static const size_t sizes[] = { 0, 1, 100, 4095, 4096, 4097, 8191, 8192, 8193, 16384, 70000 };

static void
assert_read(size_t size, size_t limit)
{
    char *data = NULL;
    size_t length = 4242;

    ck_assert_int_eq(rv_fd_read_file(path, limit, &data, &length), RV_OK);
    ck_assert_uint_eq(length, size);
    ck_assert_int_eq(data[length], '\0');
    size_t same = 0;
    while (same < size && data[same] == (char) (same % 256))
        same++;
    ck_assert_uint_eq(same, size);
    free(data);
}

static void
assert_not_read(const char *file, size_t limit, int error)
{
    char *data = path; /* anything but NULL */
    size_t length;

    errno = 0;
    ck_assert_int_eq(rv_fd_read_file(file, limit, &data, &length), RV_ERROR);
    ck_assert_int_eq(errno, error);
    ck_assert_ptr_null(data);
}

START_TEST(file_of_any_size_is_read_to_its_end)
{
    size_t size = sizes[_i];

    make_file(size);
    assert_read(size, size);
    assert_read(size, size + 1);
    assert_read(size, SIZE_MAX / 4);
}
END_TEST

START_TEST(file_over_the_limit_is_refused)
{
    size_t size = sizes[_i];

    make_file(size);
    if (size > 0)
        assert_not_read(path, size - 1, EFBIG);
    if (size > 1)
        assert_not_read(path, size / 2, EFBIG);
}
END_TEST

/* None of them may keep the reader waiting: the fifo has no writer. */
START_TEST(what_is_no_file_is_refused_at_once)
{
    assert_not_read("/dev/zero", 10, EINVAL);
    assert_not_read("/dev/null", 10, EINVAL);
    ck_assert_int_eq(mkfifo(path, 0600), 0);
    assert_not_read(path, 10, EINVAL);
}
END_TEST

START_TEST(file_whose_size_is_not_known_before_is_read)
{
    char *data;
    size_t length;

    ck_assert_int_eq(rv_fd_read_file("/proc/self/status", 1000000, &data, &length), RV_OK);
    ck_assert_uint_eq(length, strlen(data));
    ck_assert_ptr_nonnull(strstr(data, "Pid:"));
    free(data);
}
END_TEST

START_TEST(what_is_no_readable_file_says_why)
{
    char missing[80];

    snprintf(missing, sizeof(missing), "%s/missing", directory);
    assert_not_read(missing, 100, ENOENT);
    assert_not_read(directory, 100, EISDIR);
    assert_not_read(directory, 1000000, EISDIR);

    make_file(10);
    ck_assert_int_eq(chmod(path, 0), 0);
    if (geteuid() == 0)
        ck_assert_int_eq(setresuid(NOBODY, NOBODY, NOBODY), 0);
    assert_not_read(path, 100, EACCES);
}
END_TEST

START_TEST(reading_leaves_no_descriptor_open)
{
    int before = descriptors_open();

    make_file(10000);
    for (int i = 0; i < 5; i++) {
        assert_read(10000, 10000);
        assert_not_read(path, 9999, EFBIG);
        assert_not_read(directory, 100, EISDIR);
    }
    ck_assert_int_eq(descriptors_open(), before);
}
END_TEST

static Suite *
fd_file_suite(void)
{
    Suite *suite = suite_create("fd_file");
    TCase *tcase = tcase_create("fd_file");

    tcase_add_unchecked_fixture(tcase, setup_run, teardown_run);
    tcase_add_checked_fixture(tcase, clear, clear);
    tcase_set_timeout(tcase, 120);
    tcase_add_test(tcase, file_is_created_with_its_flags_and_mode);
    tcase_add_test(tcase, one_missing_folder_is_made_and_not_two);
    tcase_add_test(tcase, file_that_cannot_be_created_says_why);
    tcase_add_test(tcase, all_is_written_to_a_slow_reader_between_signals);
    tcase_add_test(tcase, failed_write_says_why);
    tcase_add_loop_test(tcase, file_of_any_size_is_read_to_its_end, 0, (int) rv_countof(sizes));
    tcase_add_loop_test(tcase, file_over_the_limit_is_refused, 0, (int) rv_countof(sizes));
    tcase_add_test(tcase, what_is_no_file_is_refused_at_once);
    tcase_add_test(tcase, file_whose_size_is_not_known_before_is_read);
    tcase_add_test(tcase, what_is_no_readable_file_says_why);
    tcase_add_test(tcase, reading_leaves_no_descriptor_open);

    suite_add_tcase(suite, tcase);
    return suite;
}

int
main(void)
{
    SRunner *runner = srunner_create(fd_file_suite());

    srunner_run_all(runner, CK_NORMAL);

    int failed = srunner_ntests_failed(runner);

    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
