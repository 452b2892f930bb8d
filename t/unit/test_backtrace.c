/*
 * rv_backtrace: what a process leaves in its logs when it is told to abort.
 */
#include "rv_backtrace.h"

#include "rv_fd.h"
#include "rv_log.h"
#include "rv_log_output.h"

#include <check.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

enum { LIMIT = 1024 * 1024 };

static char directory[] = "/tmp/rv_test_backtrace_XXXXXX";
static char takes[64], refuses[64], server[64];

static void
setup(void)
{
    ck_assert_ptr_nonnull(mkdtemp(directory));
    snprintf(takes, sizeof(takes), "%s/takes", directory);
    snprintf(refuses, sizeof(refuses), "%s/refuses", directory);
    snprintf(server, sizeof(server), "%s/server", directory);
}

static void
teardown(void)
{
    unlink(takes);
    unlink(refuses);
    unlink(server);
    rmdir(directory);
}

static void
add(rv_log_set_t *set, const char *target, rv_log_level_t level)
{
    char error[RV_LOG_OUTPUT_ERROR];

    set->entry[set->count].level = level;
    ck_assert_msg(
        rv_log_output_open(target, &set->entry[set->count++].output, error) == RV_OK, "%s", error);
}

static int
open_server(void)
{
    struct sockaddr_un address = { .sun_family = AF_UNIX };
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK, 0);

    snprintf(address.sun_path, sizeof(address.sun_path), "%s", server);
    ck_assert_int_eq(bind(fd, (struct sockaddr *) &address, sizeof(address)), 0);
    return fd;
}

/* How the child ends that does this with its logs open. */
static int
end_of(void (*act)(void))
{
    char target[128];
    rv_log_set_t set = { .count = 0 };
    int status;

    snprintf(target, sizeof(target), "syslog:server=unix:%s", server);
    add(&set, takes, RV_LOG_ERROR);
    add(&set, refuses, RV_LOG_CRIT);
    add(&set, target, RV_LOG_DEBUG);

    pid_t child = fork();
    ck_assert_int_ne(child, -1);
    if (child == 0) {
        const struct rlimit none = { 0, 0 };

        (void) setrlimit(RLIMIT_CORE, &none);
        rv_log_terminal(RV_LOG_NONE);
        rv_log_use(&set);
        if (rv_backtrace_init() == RV_OK)
            act();
        _exit(1);
    }
    ck_assert_int_eq(waitpid(child, &status, 0), child);
    rv_log_set_release(&set);
    return status;
}

static size_t
size_of(const char *path)
{
    char *text;
    size_t length = 0;

    ck_assert_int_eq(rv_fd_read_file(path, LIMIT, &text, &length), RV_OK);
    free(text);
    return length;
}

static void
be_told(void)
{
    (void) kill(getpid(), SIGABRT);
}

static void (*const acts[])(void) = { abort, be_told };

START_TEST(where_it_was_stands_in_the_logs_that_take_errors)
{
    char byte, *text;
    size_t length;
    int fd = open_server();
    int status = end_of(acts[_i]);

    ck_assert(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
    ck_assert_int_eq(rv_fd_read_file(takes, LIMIT, &text, &length), RV_OK);
    ck_assert_ptr_nonnull(strstr(text, "#0: aborted"));
    if (RV_HAVE_BACKTRACE) {
        ck_assert_ptr_nonnull(strstr(text, "#0: aborted, it was here"));
        ck_assert_ptr_nonnull(strstr(text, "#0: #2 "));
        ck_assert_ptr_nonnull(strstr(text, "test_backtrace("));
    }
    ck_assert_int_eq(text[length - 1], '\n');
    free(text);
    ck_assert_uint_eq(size_of(refuses), 0);
    ck_assert_int_eq(recv(fd, &byte, 1, 0), -1);
    close(fd);
}
END_TEST

int
main(void)
{
    Suite *suite = suite_create("backtrace");
    TCase *tcase = tcase_create("backtrace");
    SRunner *runner = srunner_create(suite);

    tcase_set_timeout(tcase, 60);
    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_add_loop_test(
        tcase, where_it_was_stands_in_the_logs_that_take_errors, 0, (int) rv_countof(acts));
    suite_add_tcase(suite, tcase);

    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
