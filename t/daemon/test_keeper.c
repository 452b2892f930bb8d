/*
 * test_keeper: upgrades of a process that somebody has started and waits for.
 */
#include "heir.h"
#include "look.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { WORKERS = 2 };

static daemon_t d; /* .master is the process that was started, whatever it is by now */

static void
setup(void)
{
    daemon_setup(&d);
    heir_setup(&d);
    daemon_conff(&d,
        "[main]\nworker_processes = %d\nerror_log = logs/error.log info\npid = logs/reeve.pid\n"
        "[zone stats]\ntype = %s\n%s",
        WORKERS, look_type(), DAEMON_HTTP);
    daemon_start_foreground(&d, NULL);
    daemon_wait_workers(&d, WORKERS);
    heir_expect_hello(&d);
}

static void
teardown(void)
{
    daemon_teardown(&d);
}

static int
is_keeper(daemon_t *daemon, void *unused)
{
    char title[128];

    (void) unused;
    return strcmp(daemon_title(daemon->master, title, sizeof(title)),
               "reeve: keeper of the master process")
        == 0;
}

/* -s upgrade; the new master. */
static pid_t
upgrade(void)
{
    pid_t before = heir_pid(&d);

    ck_assert_msg(daemon_run(&d, "-s", "upgrade", NULL) == 0, "%s", d.output);
    daemon_wait(&d, is_keeper, NULL, "the first process keeps the new master");
    pid_t now = heir_pid(&d);
    ck_assert_int_ne(now, before);
    ck_assert_int_eq(heir_old_pid(&d), 0);
    heir_wait_workers(now, WORKERS);
    heir_expect_hello(&d);
    return now;
}

static void
expect_gone(int status)
{
    daemon_wait_gone(&d);
    ck_assert_int_eq(d.status, status);
    ck_assert_int_eq(daemon_connect(&d), -1);
}

static int
is_dead(daemon_t *unused, void *data)
{
    (void) unused;
    return !daemon_alive(*(pid_t *) data);
}

static int
has_only_child(daemon_t *daemon, void *data)
{
    pid_t pids[4];

    return daemon_children(daemon->master, pids, 4) == 1 && pids[0] == *(pid_t *) data;
}

START_TEST(process_that_was_started_stays_through_upgrades)
{
    pid_t master = upgrade();
    int descriptors = daemon_fd_count(d.master);

    for (int i = 0; i < 4; i++) {
        pid_t before = master;

        master = upgrade();
        ck_assert(daemon_alive(d.master));
        daemon_wait(&d, is_dead, &before, "the master before is gone");
        daemon_wait(&d, has_only_child, &master, "the keeper has no child but the master");
        daemon_wait_fd_count(&d, d.master, descriptors);
        ck_assert_int_eq(daemon_run(&d, "status", NULL), 0);
        ck_assert_int_eq(daemon_run(&d, "-s", "reload", NULL), 0);
    }
}
END_TEST

static const int ends[] = { SIGTERM, SIGINT, SIGQUIT };

START_TEST(keeper_ends_with_the_master_that_it_is_told_to_end)
{
    pid_t master = upgrade();

    ck_assert_int_eq(kill(d.master, ends[_i]), 0);
    expect_gone(0);
    ck_assert(!daemon_alive(master));
    ck_assert_int_eq(access(d.pid, F_OK), -1);
    ck_assert_int_eq(daemon_log_count(&d, "told to quit\n"), ends[_i] == SIGQUIT ? 2 : 1);
}
END_TEST

START_TEST(keeper_ends_when_the_master_is_told_to_end)
{
    static const char *const words[] = { "stop", "quit" };

    upgrade();
    ck_assert_int_eq(daemon_run(&d, "-s", words[_i], NULL), 0);
    expect_gone(0);
}
END_TEST

static int
has_log(daemon_t *daemon, void *data)
{
    return access(daemon->log, F_OK) == 0 && daemon_has_file(*(pid_t *) data, daemon->log);
}

START_TEST(keeper_passes_on_what_is_for_the_master)
{
    pid_t master = upgrade();

    ck_assert_int_eq(kill(d.master, SIGHUP), 0);
    daemon_wait_log(&d, "reload done", 1);
    ck_assert_int_eq(rename(d.log, daemon_path(&d, "logs/moved.log")), 0);
    ck_assert_int_eq(kill(d.master, SIGUSR1), 0);
    daemon_wait(&d, has_log, &master, "the master has a new log");

    ck_assert_int_eq(kill(d.master, SIGUSR2), 0);
    pid_t heir = heir_wait(&d, master, 1);
    ck_assert_int_eq(kill(master, SIGWINCH), 0);
    heir_wait_workers(master, 0);
    ck_assert_int_eq(kill(master, SIGQUIT), 0);
    daemon_wait(&d, has_only_child, &heir, "the keeper has the youngest master");
    heir_expect_hello(&d);
    ck_assert_int_eq(kill(d.master, SIGWINCH), 0); /* to the one that is left */
    heir_wait_workers(heir, 0);
    ck_assert_int_eq(kill(d.master, SIGHUP), 0);
    heir_wait_workers(heir, WORKERS);
}
END_TEST

START_TEST(keeper_tells_how_the_master_died)
{
    pid_t master = upgrade(), pids[8];
    int n = heir_workers(master, pids, 8);

    ck_assert_int_eq(kill(master, SIGKILL), 0);
    daemon_wait_gone(&d);
    ck_assert_int_eq(d.status, 128 + SIGKILL);
    for (int i = 0; i < n; i++)
        (void) daemon_wait_process(&d, pids[i]);
    ck_assert_int_eq(unlink(d.pid), 0); /* which nobody was left to remove */
}
END_TEST

/* The status is that of who served last, whoever has died before it. */
START_TEST(keeper_goes_on_when_a_younger_master_is_killed)
{
    pid_t master = upgrade();

    ck_assert_int_eq(kill(master, SIGUSR2), 0);
    ck_assert_int_eq(kill(heir_wait(&d, master, 2), SIGKILL), 0);
    daemon_wait_log(&d, "this master process goes on: ", 1);
    heir_wait_workers(master, WORKERS);
    ck_assert_int_eq(heir_pid(&d), master);
    ck_assert(daemon_alive(d.master));
    heir_expect_hello(&d);
    upgrade();
    ck_assert_int_eq(kill(d.master, SIGTERM), 0);
    expect_gone(0);
}
END_TEST

START_TEST(first_process_goes_on_when_its_heir_ends)
{
    static const int signals[] = { SIGKILL, SIGQUIT };

    ck_assert_int_eq(kill(d.master, SIGUSR2), 0);
    ck_assert_int_eq(kill(heir_wait(&d, d.master, 1), signals[_i]), 0);
    daemon_wait_log(&d, "this master process goes on: ", 1);
    heir_wait_workers(d.master, WORKERS);
    ck_assert_int_eq(heir_pid(&d), d.master);
    heir_expect_hello(&d);
    ck_assert_int_eq(kill(d.master, SIGQUIT), 0);
    expect_gone(0);
}
END_TEST

START_TEST(upgrade_that_fails_leaves_the_first_process_as_it_was)
{
    daemon_settle(&d);
    int descriptors = daemon_fd_count(d.master);

    for (int i = 0; i < 2; i++) {
        heir_script(&d, "exit 7");
        ck_assert_int_eq(daemon_run(&d, "-s", "upgrade", NULL), 1);
        daemon_expect_output(&d, "exited with code 7");
        heir_wait_workers(d.master, WORKERS);
        ck_assert_int_eq(heir_pid(&d), d.master);
        if (i == 0)
            descriptors = daemon_fd_count(d.master); /* a pipe, kept for the next time */
        daemon_wait_fd_count(&d, d.master, descriptors);
    }
    heir_link(&d);
    pid_t master = upgrade();
    heir_script(&d, "kill -9 $$"); /* nor does one end the keeper */
    ck_assert_int_eq(daemon_run(&d, "-s", "upgrade", NULL), 1);
    ck_assert_int_eq(heir_pid(&d), master);
    heir_expect_hello(&d);
    ck_assert_int_eq(kill(d.master, SIGTERM), 0);
    expect_gone(0);
}
END_TEST

/* Who knows this process only, and tells it to stop, means all of it. Plain TERM, and one that is graceful. */
START_TEST(stop_of_the_first_process_that_drains_stops_the_heir_too)
{
    static const char half[] = "GET /hello HTTP/1.1\r\n", rest[] = "Host: a\r\n\r\n";
    char text[1024];
    look_t look;

    if (_i == 1) {
        daemon_conff(&d,
            "[main]\nworker_processes = %d\ngraceful_term = on\nerror_log = logs/error.log info\n"
            "[zone stats]\ntype = %s\n%s",
            WORKERS, look_type(), DAEMON_HTTP);
        daemon_reload(&d);
    }
    int fd = daemon_connect(&d);

    daemon_send(fd, half, sizeof(half) - 1);
    look_open(&d, &look);
    look_wait(&d, &look, "connections", "reading", 1);
    look_close(&look);
    pid_t heir = heir_begin(&d);
    ck_assert_int_eq(kill(d.master, SIGQUIT), 0);
    daemon_wait_log(&d, "told to quit", 1);
    ck_assert_int_eq(kill(d.master, SIGTERM), 0);
    if (_i == 1) {
        daemon_wait_process(&d, heir);
        daemon_send(fd, rest, sizeof(rest) - 1);
        ck_assert_int_eq(daemon_answer(fd, text, sizeof(text), 0), 200);
    }
    expect_gone(0);
    ck_assert(!daemon_alive(heir));
    close(fd);
}
END_TEST

int
main(void)
{
    Suite *s = suite_create("keeper");
    TCase *tc = daemon_case(s, "keeper");

    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_add_test(tc, process_that_was_started_stays_through_upgrades);
    tcase_add_loop_test(tc, keeper_ends_with_the_master_that_it_is_told_to_end, 0, 3);
    tcase_add_loop_test(tc, keeper_ends_when_the_master_is_told_to_end, 0, 2);
    tcase_add_test(tc, keeper_passes_on_what_is_for_the_master);
    tcase_add_test(tc, keeper_tells_how_the_master_died);
    tcase_add_test(tc, keeper_goes_on_when_a_younger_master_is_killed);
    tcase_add_loop_test(tc, first_process_goes_on_when_its_heir_ends, 0, 2);
    tcase_add_test(tc, upgrade_that_fails_leaves_the_first_process_as_it_was);
    tcase_add_loop_test(tc, stop_of_the_first_process_that_drains_stops_the_heir_too, 0, 2);
    return daemon_main(s);
}
