/*
 * test_watchdog: workers that hang are ended and replaced, and others are let be.
 */
#include "look.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* As long as the limit, and a few looks of the master more. */
enum { LONG_MSEC = 5000 };

static daemon_t d;
static look_t look;
static pid_t first; /* worker 0 */

static void
setup(void)
{
    daemon_setup(&d);
}

static void
teardown(void)
{
    look_close(&look);
    daemon_teardown(&d);
}

static void
configure(const char *directives)
{
    daemon_conff(&d,
        "[main]\nworker_processes = 1\nerror_log = logs/error.log notice\n"
        "worker_rlimit_core = 0\n%s[zone stats]\ntype = %s\n%s"
        "[location /spin]\nhandler = return\nreturn = 200 spin\n"
        "[location /block]\nhandler = return\nreturn = 200 block\n"
        "[location /deaf]\nhandler = return\nreturn = 200 deaf\n"
        "[location /abort]\nhandler = return\nreturn = 200 abort\n",
        directives, look_type(), DAEMON_HTTP);
}

static void
start_with(const char *directives)
{
    daemon_preload(&d, "preload_hang");
    configure(directives);
    daemon_start(&d);
    look_open(&d, &look);
    first = daemon_worker(&d);
}

#define WATCHED "worker_hang_timeout = 2s\n"

static void
expect_hello(void)
{
    char text[1024];

    ck_assert_int_eq(daemon_get(&d, "/hello", text, sizeof(text)), 200);
}

/* Lets the worker come to grief over this path; the client waits. */
static int
hang(const char *path)
{
    char request[128];
    int fd = daemon_connect(&d);

    ck_assert_int_ne(fd, -1);
    snprintf(request, sizeof(request), "GET %s HTTP/1.1\r\nHost: x\r\n\r\n", path);
    daemon_send(fd, request, strlen(request));
    return fd;
}

/* When the master has looked around last, ms. */
static uint64_t
master_beat(void)
{
    rv_stats_view_t view;
    uint64_t beat = 0;

    look_take(&look, &view);
    for (unsigned i = 0; i < view.count; i++) {
        if (view.process[i].owner.worker == RV_STATS_MASTER)
            beat = view.process[i].heartbeat;
    }
    rv_stats_view_free(&view);
    return beat;
}

static int
has_looked(daemon_t *unused, void *data)
{
    (void) unused;
    return master_beat() >= *(const uint64_t *) data;
}

/* Until the master has looked around for longer than any worker may hang. */
static void
wait_looks(void)
{
    uint64_t until = 1; /* the first one is a second after its start */

    daemon_wait(&d, has_looked, &until, "the master has looked around");
    until = master_beat() + LONG_MSEC;
    daemon_wait(&d, has_looked, &until, "the master has looked several times");
}

static int64_t
restarts(const char *reason)
{
    char name[64];

    snprintf(name, sizeof(name), "restarts{reason=\"%s\"}", reason);
    return look_total(&look, "workers", name);
}

/* How many lines there are of this process with this text. */
static int
count_lines(pid_t pid, const char *text)
{
    char wanted[128];

    snprintf(wanted, sizeof(wanted), "%ld#0: %s", (long) pid, text);
    return daemon_log_count(&d, wanted);
}

static void
expect_doing(const char *text)
{
    char wanted[256];

    snprintf(wanted, sizeof(wanted),
        "worker 0 (pid %ld) %s, answering at \"127.0.0.1:%d\", handler \"return\"\n", (long) first,
        text, d.port);
    daemon_wait_log(&d, wanted, 1);
}

static const struct {
    const char *path;
    const char *how;
} griefs[] = {
    { "/spin", "hangs, running for 2s" },
    { "/block", "hangs, blocked for 2s" },
};

START_TEST(a_worker_that_hangs_tells_where_and_is_replaced)
{
    start_with(WATCHED);
    int fd = hang(griefs[_i].path);
    expect_doing(griefs[_i].how);
    daemon_wait_log(&d, "worker 0 started", 2);
    daemon_wait_workers(&d, 1);
    expect_hello();
    ck_assert(!daemon_alive(first));
    ck_assert_int_eq(daemon_log_count(&d, "was killed by signal 6 after "), 1);
    ck_assert_int_eq(count_lines(first, "aborted"), 1);
    if (RV_HAVE_BACKTRACE) {
        ck_assert_int_eq(count_lines(first, "aborted, it was here"), 1);
        ck_assert_int_eq(count_lines(first, "#1 "), 1);
        ck_assert_int_gt(daemon_log_count(&d, "preload_hang.so("), 0);
        ck_assert_int_gt(daemon_log_count(&d, "reeve("), 0);
    }
    ck_assert_int_eq(restarts("hang"), 1);
    ck_assert_int_eq(restarts("signal"), 0);
    close(fd);
}
END_TEST

START_TEST(one_that_does_not_hear_is_killed)
{
    start_with(WATCHED);
    int fd = hang("/deaf");
    expect_doing("hangs, running for 2s");
    daemon_wait_log(&d, "does not exit and is killed", 1);
    daemon_wait_log(&d, "was killed by signal 9 after ", 1);
    daemon_wait_log(&d, "worker 0 started", 2);
    daemon_wait_workers(&d, 1);
    expect_hello();
    ck_assert_int_eq(restarts("hang"), 1);
    ck_assert_int_eq(restarts("signal"), 0);
    close(fd);
}
END_TEST

START_TEST(one_that_drains_is_watched_too)
{
    start_with(WATCHED);
    int fd = hang("/block");
    ck_assert_int_eq(kill(d.master, SIGHUP), 0);
    daemon_wait_log(&d, "reload done", 1);
    expect_doing("hangs, blocked for 2s");
    daemon_wait_log(&d, "generation 1 is gone", 1);
    daemon_wait_workers(&d, 1);
    expect_hello();
    ck_assert_int_eq(daemon_log_count(&d, "does not exit and is killed"), 0);
    ck_assert_int_eq(restarts("hang"), 0); /* nobody took its place */
    close(fd);
}
END_TEST

/* --- what is no hang ------------------------------------------------------------------- */

START_TEST(a_worker_that_waits_does_not_hang)
{
    start_with(WATCHED);
    wait_looks();
    expect_hello();
    ck_assert_int_eq(daemon_worker(&d), first);
    ck_assert_int_eq(daemon_log_count(&d, "hangs"), 0);
}
END_TEST

START_TEST(a_worker_that_is_stopped_does_not_hang)
{
    start_with(WATCHED);
    daemon_freeze(&d, first);
    wait_looks();
    ck_assert_int_eq(kill(first, SIGCONT), 0);
    expect_hello();
    wait_looks();
    ck_assert_int_eq(daemon_worker(&d), first);
    ck_assert_int_eq(daemon_log_count(&d, "hangs"), 0);
}
END_TEST

START_TEST(nobody_is_watched_unless_it_is_asked_for)
{
    start_with("");
    int fd = hang("/block");
    wait_looks();
    ck_assert(daemon_alive(first));
    ck_assert_int_eq(daemon_log_count(&d, "hangs"), 0);
    ck_assert_int_eq(kill(first, SIGKILL), 0);
    daemon_wait_log(&d, "worker 0 started", 2);
    daemon_wait_workers(&d, 1);
    close(fd);
}
END_TEST

/* That is worker_startup_timeout's; the worker is held by preload_worker. */
START_TEST(a_worker_that_is_not_ready_does_not_hang)
{
    const char *hold = daemon_path(&d, "hold");

    setenv("RV_TEST_HOLD", hold, 1);
    daemon_preload(&d, "preload_worker");
    configure(WATCHED "working_directory = /\n");
    daemon_start(&d);
    look_open(&d, &look);
    daemon_write(hold, "", 0);
    ck_assert_int_eq(kill(d.master, SIGHUP), 0);
    daemon_wait_log(&d, "worker 0 started", 2);
    wait_looks();
    ck_assert_int_eq(unlink(hold), 0);
    daemon_wait_log(&d, "reload done", 1);
    expect_hello();
    ck_assert_int_eq(daemon_log_count(&d, "hangs"), 0);
}
END_TEST

/* --- without a watchdog ---------------------------------------------------------------- */

START_TEST(a_worker_that_aborts_by_itself_tells_where)
{
    char text[1024];

    start_with("");
    (void) daemon_get(&d, "/abort", text, sizeof(text));
    daemon_wait_log(&d, "was killed by signal 6 after ", 1);
    ck_assert_int_eq(count_lines(first, "aborted"), 1);
    if (RV_HAVE_BACKTRACE)
        ck_assert_int_gt(daemon_log_count(&d, "preload_hang.so("), 0);
    daemon_wait_log(&d, "worker 0 started", 2);
    daemon_wait_workers(&d, 1);
    expect_hello();
    ck_assert_int_eq(restarts("signal"), 1);
    ck_assert_int_eq(restarts("hang"), 0);
}
END_TEST

int
main(void)
{
    Suite *s = suite_create("watchdog");
    TCase *tc = daemon_case(s, "watchdog");

    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_add_loop_test(tc, a_worker_that_hangs_tells_where_and_is_replaced, 0,
        (int) (sizeof(griefs) / sizeof(griefs[0])));
    tcase_add_test(tc, one_that_does_not_hear_is_killed);
    tcase_add_test(tc, one_that_drains_is_watched_too);
    tcase_add_test(tc, a_worker_that_waits_does_not_hang);
    tcase_add_test(tc, a_worker_that_is_stopped_does_not_hang);
    tcase_add_test(tc, nobody_is_watched_unless_it_is_asked_for);
    tcase_add_test(tc, a_worker_that_is_not_ready_does_not_hang);
    tcase_add_test(tc, a_worker_that_aborts_by_itself_tells_where);
    return daemon_main(s);
}
