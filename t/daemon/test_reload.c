/*
 * test_reload: a configuration that has changed, and one that does not work.
 */
#include "daemon.h"

#include "rv_shm.h"

#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

static daemon_t d;

static void
setup(void)
{
    daemon_setup(&d);
}

static void
teardown(void)
{
    daemon_teardown(&d);
}

#define MAIN "[main]\nerror_log = logs/error.log info\n"
#define LOCATIONS                                               \
    "[location /hello]\nhandler = return\nreturn = 200 hello\n" \
    "[location /stub_status]\nhandler = stub_status\n"

static void
expect_hello(void)
{
    char text[1024];

    ck_assert_int_eq(daemon_get(&d, "/hello", text, sizeof(text)), 200);
    ck_assert_str_eq(text, "hello");
}

/* Says HUP, and waits until the log tells that it came to nothing. */
static void
expect_failed_reload(const char *reason)
{
    char line[512];
    int failed = daemon_log_count(&d, "reload failed");

    ck_assert_int_eq(kill(d.master, SIGHUP), 0);
    daemon_wait_log(&d, "reload failed", failed + 1);
    snprintf(line, sizeof(line), "goes on: %s", reason);
    ck_assert_msg(daemon_log_count(&d, line) > 0, "not in the log: %s", line);
    expect_hello();
}

/* --- what may change ---------------------------------------------------------------- */

START_TEST(the_number_of_workers_follows_the_configuration)
{
    static const int counts[] = { 1, 4, 2 };

    for (int i = 0; i < 3; i++) {
        daemon_conff(&d, MAIN "worker_processes = %d\n%s", counts[i], DAEMON_HTTP);
        if (i == 0)
            daemon_start(&d);
        else
            daemon_reload(&d);
        daemon_wait_workers(&d, counts[i]);
        expect_hello();
    }
}
END_TEST

START_TEST(a_listener_comes_and_goes)
{
    int second = daemon_free_port();

    daemon_conf(&d, DAEMON_CONF);
    daemon_start(&d);
    ck_assert_int_eq(daemon_connect_port(second), -1);
    daemon_conff(
        &d, MAIN "[http]\nlisten = 127.0.0.1:%%PORT%%\nlisten = 127.0.0.1:%d\n" LOCATIONS, second);
    daemon_reload(&d);
    int fd = daemon_connect_port(second);
    ck_assert_int_ne(fd, -1);
    close(fd);
    expect_hello();

    daemon_conf(&d, DAEMON_CONF);
    daemon_reload(&d);
    ck_assert_int_eq(daemon_connect_port(second), -1);
    expect_hello();
}
END_TEST

/* Also while a worker that has listened there is still busy. */
START_TEST(an_address_that_is_given_up_refuses_at_once)
{
    static const char half[] = "GET /hello HTTP/1.1\r\nHost: x\r\n";
    daemon_status_t status;
    char text[1024];
    int second = daemon_free_port();

    daemon_conff(&d,
        MAIN "worker_processes = 1\n[http]\nlisten = 127.0.0.1:%%PORT%%\n"
             "listen = 127.0.0.1:%d\n" LOCATIONS,
        second);
    daemon_start(&d);
    int fd = daemon_connect(&d);
    ck_assert_int_ne(fd, -1);
    daemon_send(fd, half, strlen(half));
    do
        daemon_status(&d, &status);
    while (status.reading != 1);

    daemon_conf(&d, DAEMON_CONF);
    ck_assert_int_eq(kill(d.master, SIGHUP), 0);
    daemon_wait_log(&d, "told to quit, worker 0 finishes 1 connections", 1);
    daemon_settle(&d);
    ck_assert_int_eq(daemon_connect_port(second), -1);
    daemon_send(fd, "\r\n", 2);
    ck_assert_int_eq(daemon_answer(fd, text, sizeof(text), 0), 200);
    close(fd);
    daemon_wait_log(&d, "generation 1 is gone", 1);
}
END_TEST

START_TEST(a_kept_address_never_refuses_a_connection)
{
    daemon_conf(&d, DAEMON_CONF);
    daemon_start(&d);
    for (int i = 2; i < 7; i++) {
        char line[64];

        ck_assert_int_eq(kill(d.master, SIGHUP), 0);
        snprintf(line, sizeof(line), "generation %d is gone", i - 1);
        while (daemon_log_count(&d, line) == 0)
            expect_hello();
    }
}
END_TEST

START_TEST(answers_follow_the_configuration)
{
    char text[256];

    daemon_conf(&d, DAEMON_CONF);
    daemon_start(&d);
    daemon_conf(&d,
        MAIN "[http]\nlisten = 127.0.0.1:%PORT%\n"
             "[location /hello]\nhandler = return\nreturn = 200 good bye\n");
    daemon_reload(&d);
    ck_assert_int_eq(daemon_get(&d, "/hello", text, sizeof(text)), 200);
    ck_assert_str_eq(text, "good bye");
    ck_assert_int_eq(daemon_get(&d, "/stub_status", text, sizeof(text)), 404);
}
END_TEST

START_TEST(the_log_moves)
{
    char *old;

    daemon_conf(&d, DAEMON_CONF);
    daemon_start(&d);
    const char *moved = daemon_path(&d, "logs/moved.log");
    daemon_conff(
        &d, "[main]\nerror_log = logs/moved.log info\nworker_processes = 1\n%s", DAEMON_HTTP);
    ck_assert_int_eq(kill(d.master, SIGHUP), 0);
    daemon_wait_file(&d, moved, "generation 1 is gone", 1);
    ck_assert_int_eq(daemon_file_count(moved, "reload done, generation 2"), 1);

    old = daemon_read(d.log);
    ck_assert(daemon_has_file(daemon_worker(&d), moved));
    ck_assert(!daemon_has_file(daemon_worker(&d), d.log));
    ck_assert(!daemon_has_file(d.master, d.log));
    daemon_signal(&d, "quit");
    daemon_wait_gone(&d);
    ck_assert_int_eq(daemon_file_count(moved, "] "), daemon_file_count(moved, "#0: "));
    ck_assert_int_eq(daemon_file_count(moved, "#0: exit\n"), 1);
    char *now = daemon_read(d.log);
    ck_assert_str_eq(old, now);
    free(old);
    free(now);
}
END_TEST

START_TEST(the_pid_file_moves)
{
    char old[192];
    pid_t master;

    daemon_conf(&d, DAEMON_CONF);
    daemon_start(&d);
    master = d.master;
    snprintf(old, sizeof(old), "%s", d.pid);
    snprintf(d.pid, sizeof(d.pid), "%smoved.pid", d.prefix);
    daemon_conff(&d, MAIN "pid = moved.pid\n%s", DAEMON_HTTP);
    daemon_reload(&d);
    daemon_wait_master(&d);
    ck_assert_int_eq(d.master, master);
    ck_assert_int_eq(access(old, F_OK), -1);
    daemon_signal(&d, "quit");
    daemon_wait_gone(&d);
    ck_assert_int_eq(access(d.pid, F_OK), -1);
}
END_TEST

/* From each type to the next; -1: this build has no such type. */
START_TEST(counters_go_on_when_the_zone_changes_its_type)
{
    static const char *const types[] = { "auto", "anon", "memfd", "devzero", "sysv", "posix",
        "file\npath = logs/stats.zone", "posix\nsize = 8m", "auto" };
    daemon_status_t status;
    unsigned asked = 0;

    for (unsigned i = 0; i < sizeof(types) / sizeof(types[0]); i++) {
        char type[16];

        if (sscanf(types[i], "%15s", type) != 1 || rv_shm_type(type) == NULL)
            continue; /* not in this build */
        daemon_conff(
            &d, MAIN "worker_processes = 1\n[zone stats]\ntype = %s\n%s", types[i], DAEMON_HTTP);
        if (i == 0)
            daemon_start(&d);
        else
            daemon_reload(&d);
        expect_hello();
        daemon_status(&d, &status);
        asked += 2;
        ck_assert_msg(status.requests == asked && status.accepts == asked
                && status.handled == status.accepts && status.active == 1,
            "after %s: requests %lu, accepts %lu, active %lu", types[i], status.requests,
            status.accepts, status.active);
    }
}
END_TEST

/* --- what does not work ----------------------------------------------------------------- */

START_TEST(a_port_that_is_taken_leaves_the_old_generation)
{
    struct sockaddr_in in = { .sin_family = AF_INET };
    socklen_t length = sizeof(in);
    char reason[256];

    daemon_conf(&d, DAEMON_CONF);
    daemon_start(&d);
    pid_t worker = daemon_worker(&d);
    daemon_settle(&d);
    int before = daemon_fd_count(d.master);
    int taken = socket(AF_INET, SOCK_STREAM, 0);
    in.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    ck_assert_int_eq(bind(taken, (struct sockaddr *) &in, sizeof(in)), 0);
    ck_assert_int_eq(listen(taken, 1), 0);
    ck_assert_int_eq(getsockname(taken, (struct sockaddr *) &in, &length), 0);

    daemon_conff(&d,
        MAIN "[http]\nlisten = 127.0.0.1:%%PORT%%\nlisten = unix:new.sock\n"
             "listen = 127.0.0.1:%d\n" LOCATIONS,
        ntohs(in.sin_port));
    snprintf(reason, sizeof(reason),
        "bind() to \"127.0.0.1:%d\" failed (98: Address already in use)", ntohs(in.sin_port));
    expect_failed_reload(reason);
    ck_assert_int_eq(daemon_worker(&d), worker);
    daemon_wait_fd_count(&d, d.master, before);
    ck_assert_int_eq(access(daemon_path(&d, "new.sock"), F_OK), -1);

    close(taken);
    daemon_reload(&d);
    expect_hello();
}
END_TEST

START_TEST(a_worker_that_cannot_start_leaves_the_old_generation)
{
    daemon_conf(&d, DAEMON_CONF);
    daemon_start(&d);
    pid_t worker = daemon_worker(&d);
    daemon_settle(&d);
    int before = daemon_fd_count(d.master);

    daemon_conf(&d,
        MAIN "working_directory = /no/such/folder\npid = other.pid\nerror_log = logs/other.log\n"
             "[http]\nlisten = 127.0.0.1:%PORT%\nlisten = unix:new.sock\n" LOCATIONS);
    expect_failed_reload("worker ");
    ck_assert_int_eq(
        daemon_file_count(daemon_path(&d, "logs/other.log"),
            "changing to working_directory \"/no/such/folder\" failed (2: No such file"),
        daemon_file_count(daemon_path(&d, "logs/other.log"), "working_directory"));
    ck_assert_int_ge(daemon_file_count(daemon_path(&d, "logs/other.log"), "working_directory"), 1);
    daemon_wait_workers(&d, 2);
    ck_assert_int_eq(daemon_worker(&d), worker);
    daemon_wait_fd_count(&d, d.master, before);
    ck_assert_int_eq(access(daemon_path(&d, "new.sock"), F_OK), -1);
    ck_assert_int_eq(access(daemon_path(&d, "other.pid"), F_OK), -1);
    ck_assert_int_eq(access(d.pid, F_OK), 0);
}
END_TEST

START_TEST(a_failed_reload_changes_nothing_of_a_kept_socket)
{
    struct stat st;
    const char *path = daemon_path(&d, "s.sock");

    daemon_conf(
        &d, MAIN "[http]\nlisten = 127.0.0.1:%PORT%\nlisten = unix:s.sock mode=0666\n" LOCATIONS);
    daemon_start(&d);
    daemon_conf(&d,
        MAIN "working_directory = /no/such/folder\n"
             "[http]\nlisten = 127.0.0.1:%PORT%\nlisten = unix:s.sock mode=0600\n" LOCATIONS);
    expect_failed_reload("worker ");
    ck_assert_int_eq(stat(path, &st), 0);
    ck_assert_int_eq(st.st_mode & 0777, 0666);
    int fd = daemon_connect_unix(path);
    ck_assert_int_ne(fd, -1);
    close(fd);

    daemon_conf(
        &d, MAIN "[http]\nlisten = 127.0.0.1:%PORT%\nlisten = unix:s.sock mode=0600\n" LOCATIONS);
    daemon_reload(&d);
    ck_assert_int_eq(stat(path, &st), 0);
    ck_assert_int_eq(st.st_mode & 0777, 0600);
}
END_TEST

static const struct {
    const char *main;
    const char *reason;
} refused[] = {
    { "master_process = off\n", "\"master_process\" cannot be changed by a reload" },
    { "pid = no/such/folder/reeve.pid\n", "creating pid file \"" },
    { "error_log = /no/such/folder/error.log\n",
        "opening log \"/no/such/folder/error.log\" failed"
        " (2: No such file or directory)" },
    { "[zone stats]\ntype = file\npath = /no/such/folder/zone\n", "zone \"stats\": " },
    { "[zone stats]\nsize = 4k\n", "zone \"stats\"" },
    { "worker_proceses = 2\n", "unknown directive \"worker_proceses\" in " },
};

START_TEST(what_cannot_be_done_is_told_and_leaves_the_old_generation)
{
    daemon_conf(&d, DAEMON_CONF);
    daemon_start(&d);
    daemon_settle(&d);
    int before = daemon_fd_count(d.master);
    daemon_conff(&d, MAIN "%s%s", refused[_i].main, DAEMON_HTTP);
    expect_failed_reload(refused[_i].reason);
    daemon_wait_workers(&d, 2);
    daemon_wait_fd_count(&d, d.master, before);

    daemon_conf(&d, DAEMON_CONF);
    daemon_reload(&d);
}
END_TEST

START_TEST(a_pid_file_of_another_daemon_is_not_taken)
{
    daemon_t other;
    char reason[256];

    daemon_conf(&d, DAEMON_CONF);
    daemon_start(&d);
    daemon_setup(&other);
    daemon_conf(&other, DAEMON_CONF);
    daemon_start(&other);
    daemon_conff(&d, MAIN "pid = %s\n%s", other.pid, DAEMON_HTTP);
    snprintf(reason, sizeof(reason), "already running, pid %ld, by \"%s\"", (long) other.master,
        other.pid);
    expect_failed_reload(reason);
    ck_assert_int_eq(kill(d.master, SIGQUIT), 0);
    daemon_wait_gone(&d);
    daemon_teardown(&other);
}
END_TEST

/* --- more than one ------------------------------------------------------------------------- */

/* Starts a daemon whose next generation will not get ready before hold is removed. */
static const char *
start_held(void)
{
    const char *hold = daemon_path(&d, "hold");

    setenv("RV_TEST_HOLD", hold, 1);
    daemon_preload(&d, "preload_worker");
    daemon_conff(
        &d, MAIN "worker_processes = 1\nworking_directory = %s\n%s", d.prefix, DAEMON_HTTP);
    daemon_start(&d);
    daemon_write(hold, "", 0);
    ck_assert_int_eq(kill(d.master, SIGHUP), 0);
    daemon_wait_workers(&d, 2);
    return hold;
}

START_TEST(a_reload_during_a_reload_is_done_after_it)
{
    const char *hold = start_held();

    daemon_conff(
        &d, MAIN "worker_processes = 3\nworking_directory = %s\n%s", d.prefix, DAEMON_HTTP);
    ck_assert_int_eq(kill(d.master, SIGHUP), 0);
    expect_hello();
    ck_assert_int_eq(daemon_log_count(&d, "reload done"), 0);
    ck_assert_int_eq(unlink(hold), 0);
    daemon_wait_log(&d, "reload done, generation 3", 1);
    daemon_wait_log(&d, "generation 2 is gone", 1);
    daemon_wait_workers(&d, 3);
    expect_hello();
}
END_TEST

static double
now(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (double) ts.tv_sec + (double) ts.tv_nsec / 1e9;
}

START_TEST(a_master_that_waits_for_a_reload_does_not_turn_in_circles)
{
    const char *hold = start_held();

    ck_assert_int_eq(kill(d.master, SIGHUP), 0);
    expect_hello();
    double begin = now();
    long before = daemon_cpu(d.master);
    while (now() < begin + 0.3)
        expect_hello();
    double used = (double) (daemon_cpu(d.master) - before) / (double) sysconf(_SC_CLK_TCK);
    ck_assert_msg(used < 0.1, "the master used %.2f s of 0.3", used);
    ck_assert_int_eq(unlink(hold), 0);
    daemon_wait_log(&d, "reload done, generation 3", 1);
}
END_TEST

START_TEST(quit_during_a_reload_ends_both_generations)
{
    const char *hold = start_held();

    daemon_signal(&d, "quit");
    daemon_wait_log(&d, "told to quit, worker", 1);
    ck_assert_int_eq(unlink(hold), 0);
    daemon_wait_gone(&d);
    ck_assert_int_eq(d.status, 0);
    ck_assert_int_eq(daemon_log_count(&d, "reload done"), 0);
}
END_TEST

int
main(void)
{
    Suite *s = suite_create("reload");
    TCase *tc = daemon_case(s, "reload");

    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_add_test(tc, the_number_of_workers_follows_the_configuration);
    tcase_add_test(tc, a_listener_comes_and_goes);
    tcase_add_test(tc, an_address_that_is_given_up_refuses_at_once);
    tcase_add_test(tc, a_kept_address_never_refuses_a_connection);
    tcase_add_test(tc, answers_follow_the_configuration);
    tcase_add_test(tc, the_log_moves);
    tcase_add_test(tc, the_pid_file_moves);
    tcase_add_test(tc, counters_go_on_when_the_zone_changes_its_type);
    tcase_add_test(tc, a_port_that_is_taken_leaves_the_old_generation);
    tcase_add_test(tc, a_worker_that_cannot_start_leaves_the_old_generation);
    tcase_add_test(tc, a_failed_reload_changes_nothing_of_a_kept_socket);
    tcase_add_loop_test(tc, what_cannot_be_done_is_told_and_leaves_the_old_generation, 0,
        (int) (sizeof(refused) / sizeof(refused[0])));
    tcase_add_test(tc, a_pid_file_of_another_daemon_is_not_taken);
    tcase_add_test(tc, a_reload_during_a_reload_is_done_after_it);
    tcase_add_test(tc, a_master_that_waits_for_a_reload_does_not_turn_in_circles);
    tcase_add_test(tc, quit_during_a_reload_ends_both_generations);
    return daemon_main(s);
}
