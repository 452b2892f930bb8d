/*
 * rv_fd: descriptors, close-on-exec and non-blocking from their creation.
 */
#include "rv_fd.h"

#include <check.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
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

#define KEPT_ERRNO 77
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
teardown_run(void)
{
    unlink(path);
    rmdir(directory);
}

static int
is_close_on_exec(int fd)
{
    return (fcntl(fd, F_GETFD) & FD_CLOEXEC) != 0;
}

static int
is_nonblocking(int fd)
{
    return (fcntl(fd, F_GETFL) & O_NONBLOCK) != 0;
}

static void
assert_flags(int fd)
{
    ck_assert_int_ge(fd, 0);
    ck_assert(is_close_on_exec(fd));
    ck_assert(is_nonblocking(fd));
}

static int
open_descriptors(void)
{
    DIR *dir = opendir("/proc/self/fd");
    int n = 0;

    ck_assert_ptr_nonnull(dir);
    while (readdir(dir) != NULL)
        n++;
    closedir(dir);
    return n;
}

START_TEST(closing_marks_it_closed_and_keeps_errno)
{
    int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
    int number = fd;

    errno = KEPT_ERRNO;
    rv_fd_close(&fd);
    ck_assert_int_eq(fd, -1);
    ck_assert_int_eq(errno, KEPT_ERRNO);
    ck_assert_int_eq(fcntl(number, F_GETFD), -1);

    errno = KEPT_ERRNO;
    rv_fd_close(&fd);
    ck_assert_int_eq(fd, -1);
    ck_assert_int_eq(errno, KEPT_ERRNO);

    fd = number; /* close() fails */
    errno = KEPT_ERRNO;
    rv_fd_close(&fd);
    ck_assert_int_eq(fd, -1);
    ck_assert_int_eq(errno, KEPT_ERRNO);
}
END_TEST

START_TEST(pipe_carries_bytes_and_never_blocks)
{
    int fds[2];
    char byte = 0;

    ck_assert_int_eq(rv_fd_pipe(fds), RV_OK);
    assert_flags(fds[0]);
    assert_flags(fds[1]);

    ck_assert_int_eq(read(fds[0], &byte, 1), -1);
    ck_assert_int_eq(errno, EAGAIN);
    ck_assert_int_eq(write(fds[1], "x", 1), 1);
    ck_assert_int_eq(read(fds[0], &byte, 1), 1);
    ck_assert_int_eq(byte, 'x');
    rv_fd_close(&fds[0]);
    rv_fd_close(&fds[1]);
}
END_TEST

START_TEST(socket_pairs_are_connected)
{
    static const int types[] = { SOCK_STREAM, SOCK_DGRAM, SOCK_SEQPACKET };

    for (size_t i = 0; i < rv_countof(types); i++) {
        int fds[2];
        char byte = 0;

        ck_assert_int_eq(rv_fd_socketpair(types[i], fds), RV_OK);
        assert_flags(fds[0]);
        assert_flags(fds[1]);
        ck_assert_int_eq(write(fds[0], "x", 1), 1);
        ck_assert_int_eq(read(fds[1], &byte, 1), 1);
        rv_fd_close(&fds[0]);
        rv_fd_close(&fds[1]);
    }
}
END_TEST

START_TEST(what_cannot_be_made_is_an_error)
{
    int fds[2] = { -1, -1 };

    errno = 0;
    ck_assert_int_eq(rv_fd_socket(-5, SOCK_STREAM), -1);
    ck_assert_int_eq(errno, EAFNOSUPPORT);
    errno = 0;
    ck_assert_int_eq(rv_fd_socketpair(12345 & ~(SOCK_CLOEXEC | SOCK_NONBLOCK), fds), RV_ERROR);
    ck_assert_int_ne(errno, 0);
    errno = 0;
    ck_assert_int_eq(rv_fd_dup(-1), -1);
    ck_assert_int_eq(errno, EBADF);
}
END_TEST

START_TEST(accepted_connection_has_its_flags_and_peer)
{
    struct sockaddr_in addr = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    struct sockaddr_in peer, own;
    socklen_t length = sizeof(addr);
    int server = rv_fd_socket(AF_INET, SOCK_STREAM);
    int client = socket(AF_INET, SOCK_STREAM, 0);

    assert_flags(server);
    ck_assert_int_eq(bind(server, (struct sockaddr *) &addr, sizeof(addr)), 0);
    ck_assert_int_eq(listen(server, 5), 0);
    ck_assert_int_eq(getsockname(server, (struct sockaddr *) &addr, &length), 0);

    errno = 0;
    ck_assert_int_eq(rv_fd_accept(server, NULL, NULL), -1);
    ck_assert_int_eq(errno, EAGAIN);

    ck_assert_int_eq(connect(client, (struct sockaddr *) &addr, sizeof(addr)), 0);
    length = sizeof(peer);
    int fd = rv_fd_accept(server, (struct sockaddr *) &peer, &length);
    assert_flags(fd);
    ck_assert_uint_eq(length, sizeof(peer));

    length = sizeof(own);
    ck_assert_int_eq(getsockname(client, (struct sockaddr *) &own, &length), 0);
    ck_assert_uint_eq(peer.sin_port, own.sin_port);
    ck_assert_uint_eq(peer.sin_addr.s_addr, htonl(INADDR_LOOPBACK));
    rv_fd_close(&fd);
    rv_fd_close(&client);
    rv_fd_close(&server);
}
END_TEST

START_TEST(duplicate_is_another_descriptor_for_the_same_file)
{
    int fds[2];
    char byte = 0;

    ck_assert_int_eq(rv_fd_pipe(fds), RV_OK);
    int copy = rv_fd_dup(fds[1]);
    ck_assert_int_ne(copy, fds[1]);
    ck_assert(is_close_on_exec(copy));

    rv_fd_close(&fds[1]);
    ck_assert_int_eq(write(copy, "x", 1), 1);
    ck_assert_int_eq(read(fds[0], &byte, 1), 1);
    rv_fd_close(&copy);
    rv_fd_close(&fds[0]);
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
    for (size_t i = 0; i < size; i++)
        ck_assert_int_eq(data[i], (char) (i % 256));
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

START_TEST(file_without_an_end_is_refused)
{
    assert_not_read("/dev/zero", 10, EINVAL);
    assert_not_read("/dev/zero", 100000, EINVAL);
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
    int before = open_descriptors();

    make_file(10000);
    for (int i = 0; i < 5; i++) {
        assert_read(10000, 10000);
        assert_not_read(path, 9999, EFBIG);
        assert_not_read(directory, 100, EISDIR);
    }
    ck_assert_int_eq(open_descriptors(), before);
}
END_TEST

static Suite *
fd_suite(void)
{
    Suite *suite = suite_create("fd");
    TCase *tcase = tcase_create("fd");

    tcase_add_unchecked_fixture(tcase, setup_run, teardown_run);
    tcase_set_timeout(tcase, 120);
    tcase_add_test(tcase, closing_marks_it_closed_and_keeps_errno);
    tcase_add_test(tcase, pipe_carries_bytes_and_never_blocks);
    tcase_add_test(tcase, socket_pairs_are_connected);
    tcase_add_test(tcase, what_cannot_be_made_is_an_error);
    tcase_add_test(tcase, accepted_connection_has_its_flags_and_peer);
    tcase_add_test(tcase, duplicate_is_another_descriptor_for_the_same_file);
    tcase_add_test(tcase, all_is_written_to_a_slow_reader_between_signals);
    tcase_add_test(tcase, failed_write_says_why);
    tcase_add_loop_test(tcase, file_of_any_size_is_read_to_its_end, 0, (int) rv_countof(sizes));
    tcase_add_loop_test(tcase, file_over_the_limit_is_refused, 0, (int) rv_countof(sizes));
    tcase_add_test(tcase, file_without_an_end_is_refused);
    tcase_add_test(tcase, file_whose_size_is_not_known_before_is_read);
    tcase_add_test(tcase, what_is_no_readable_file_says_why);
    tcase_add_test(tcase, reading_leaves_no_descriptor_open);

    suite_add_tcase(suite, tcase);
    return suite;
}

int
main(void)
{
    SRunner *runner = srunner_create(fd_suite());

    srunner_run_all(runner, CK_NORMAL);

    int failed = srunner_ntests_failed(runner);

    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
