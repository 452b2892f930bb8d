/*
 * test_outcome: what a word of -s says when it comes back.
 */
#include "heir.h"
#include "look.h"

#include "rv_process.h"
#include "rv_shm.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

enum { WORKERS = 2 };

static daemon_t d;

/* More of [main] and of [zone stats]. */
static void
configure(const char *lines, const char *type)
{
    daemon_conff(&d,
        "[main]\nworker_processes = %d\nerror_log = logs/error.log info\npid = logs/reeve.pid\n%s"
        "[zone stats]\ntype = %s\n%s",
        WORKERS, lines, type, DAEMON_HTTP);
}

static void
setup(void)
{
    daemon_setup(&d);
    configure("", look_type());
}

static void
teardown(void)
{
    daemon_teardown(&d);
}

static void
expect(int status, const char *output, const char *word, const char *wait)
{
    int is = daemon_run(&d, "-s", word, wait == NULL ? NULL : "-w", wait, NULL);

    ck_assert_msg(is == status, "-s %s: exit status %d, not %d\n%s", word, is, status, d.output);
    ck_assert_str_eq(d.output, output);
}

/* One line, and the log has the same reason behind `logged`. */
static void
expect_failure(const char *word, const char *logged)
{
    static char line[sizeof(d.output) + 128];
    char told[64];

    snprintf(told, sizeof(told), "reeve: [emerg] %s failed: ", word);
    ck_assert_msg(daemon_run(&d, "-s", word, NULL) == 1, "%s", d.output);
    ck_assert_msg(strncmp(d.output, told, strlen(told)) == 0, "%s", d.output);
    ck_assert_msg(strchr(d.output, '\n') == d.output + strlen(d.output) - 1, "%s", d.output);
    snprintf(line, sizeof(line), "%s%s", logged, d.output + strlen(told));
    ck_assert_msg(daemon_log_count(&d, line) == 1, "not in the log: %s", line);
}

static void
expect_hello(void)
{
    char text[1024];

    ck_assert_int_eq(daemon_get(&d, "/hello", text, sizeof(text)), 200);
}

/* --- reload ------------------------------------------------------------------------------------ */

/* At the moment in which it returns: nothing is waited for. */
START_TEST(reload_is_done_when_the_command_returns)
{
    daemon_start(&d);
    for (unsigned generation = 2; generation < 7; generation++) {
        rv_stats_master_t master;
        rv_stats_view_t view;
        unsigned ready = 0;
        look_t look;

        expect(0, "", "reload", NULL);
        look_open(&d, &look);
        rv_stats_master(look.stats, &master);
        ck_assert_uint_eq(master.generation, generation);
        look_take(&look, &view);
        for (unsigned i = 0; i < view.count; i++) {
            const rv_stats_owner_t *owner = &view.process[i].owner;

            if (owner->worker == RV_STATS_MASTER)
                continue;
            ready += owner->generation == generation && owner->state == RV_PROCESS_READY;
            ck_assert_msg(owner->generation == generation || owner->state == RV_PROCESS_DRAINING,
                "worker %u of generation %u was not told", owner->worker, owner->generation);
        }
        ck_assert_uint_eq(ready, WORKERS);
        rv_stats_view_free(&view);
        look_close(&look);
    }
    ck_assert_int_eq(daemon_log_count(&d, "reload done"), 5);
}
END_TEST

static void
break_lines(void)
{
    daemon_conff(
        &d, "[main]\nworker_proceses = 2\npid = logs/reeve.pid\nuser\n[htp]\n%s", DAEMON_HTTP);
}

static void
take_port(void)
{
    struct sockaddr_in in = { .sin_family = AF_INET };
    socklen_t length = sizeof(in);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    in.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    ck_assert_int_eq(bind(fd, (struct sockaddr *) &in, sizeof(in)), 0);
    ck_assert_int_eq(listen(fd, 1), 0);
    ck_assert_int_eq(getsockname(fd, (struct sockaddr *) &in, &length), 0);
    daemon_conff(&d,
        "[main]\nerror_log = logs/error.log info\npid = logs/reeve.pid\n[http]\n"
        "listen = 127.0.0.1:%d\nlisten = 127.0.0.1:%d\n[location /hello]\nhandler = return\n"
        "return = 200 hello\n",
        d.port, ntohs(in.sin_port));
}

static void
let_workers_die(void)
{
    daemon_write(daemon_path(&d, "die"), "", 0);
    configure("working_directory = /\n", look_type());
}

static void
lose_folder(void)
{
    configure("working_directory = /nonexistent\n", look_type());
}

static void
lose_log(void)
{
    daemon_conff(
        &d, "[main]\nerror_log = reeve.conf/error.log info\npid = logs/reeve.pid\n%s", DAEMON_HTTP);
}

static void
stop_masters(void)
{
    daemon_conff(&d, "[main]\nmaster_process = off\npid = logs/reeve.pid\n%s", DAEMON_HTTP);
}

static const struct {
    void (*prepare)(void);
    const char *reason[3]; /* parts of it */
} failures[] = {
    { break_lines,
        { "unknown directive \"worker_proceses\" in ", "reeve.conf:2; ", "[htp]\" in " } },
    { take_port, { "bind() to \"127.0.0.1:", "failed (98: " } },
    { let_workers_die, { "was killed by signal 9 before it was ready" } },
    { lose_folder, { "before it was ready" } },
    { lose_log, { "reeve.conf/error.log\" failed (20: " } },
    { stop_masters, { "\"master_process\" cannot be changed by a reload" } },
};

START_TEST(reload_that_fails_is_told_as_it_is_logged)
{
    pid_t before[8], after[8];

    setenv("RV_TEST_DIE", daemon_path(&d, "die"), 1);
    daemon_preload(&d, "preload_worker");
    daemon_start(&d);
    ck_assert_int_eq(daemon_children(d.master, before, 8), WORKERS);
    failures[_i].prepare();
    expect_failure("reload", "#0: reload failed, generation 1 goes on: ");
    for (int i = 0; i < 3 && failures[_i].reason[i] != NULL; i++)
        daemon_expect_output(&d, failures[_i].reason[i]);
    daemon_wait_workers(&d, WORKERS);
    ck_assert_int_eq(daemon_children(d.master, after, 8), WORKERS);
    ck_assert_int_eq(memcmp(before, after, WORKERS * sizeof(pid_t)), 0);
    expect_hello();
    configure("", look_type());
    expect(0, "", "reload", NULL);
}
END_TEST

static void
hold(void)
{
    daemon_write(daemon_path(&d, "hold"), "", 0);
}

static void
let_go(void)
{
    ck_assert_int_eq(unlink(daemon_path(&d, "hold")), 0);
}

static const char half[] = "GET /hello HTTP/1.1\r\nHost: x\r\n";

/* A connection in the middle of its request, taken on by a worker. */
static int
open_half(void)
{
    look_t look;
    int fd = daemon_connect(&d);

    ck_assert_int_ne(fd, -1);
    daemon_send(fd, half, sizeof(half) - 1);
    look_open(&d, &look);
    look_wait(&d, &look, "connections", "reading", 1);
    look_close(&look);
    return fd;
}

static void
finish_half(int fd)
{
    char text[1024];

    daemon_send(fd, "\r\n", 2);
    ck_assert_int_eq(daemon_answer(fd, text, sizeof(text), 0), 200);
    close(fd);
}

/* A daemon whose workers get ready only while PREFIX/hold does not exist. */
static void
start_that_can_be_held(const char *lines)
{
    char text[256];

    setenv("RV_TEST_HOLD", daemon_path(&d, "hold"), 1);
    daemon_preload(&d, "preload_worker");
    snprintf(text, sizeof(text), "working_directory = %s\n%s", d.prefix, lines);
    configure(text, look_type());
    daemon_start(&d);
}

/* The workers take no notice, and are killed in the end. */
START_TEST(reload_whose_workers_do_not_get_ready_fails)
{
    start_that_can_be_held("worker_startup_timeout = 100ms\n");
    hold();
    expect_failure("reload", "#0: reload failed, generation 1 goes on: ");
    daemon_expect_output(
        &d, " failed: 2 of 2 workers were not ready within worker_startup_timeout\n");
    let_go();
    expect_hello();
}
END_TEST

START_TEST(two_reloads_at_once_are_both_done)
{
    start_that_can_be_held("");
    hold();
    pid_t first = daemon_launch(&d, "-s", "reload", NULL);
    if (_i == 1)
        daemon_wait_log(&d, "reload of ", 1);
    pid_t second = daemon_launch(&d, "-s", "reload", NULL);
    daemon_wait_log(&d, "generation 2", WORKERS);
    daemon_settle(&d);
    let_go();
    ck_assert_int_eq(daemon_wait_process(&d, first), 0);
    ck_assert_int_eq(daemon_wait_process(&d, second), 0);
    int done = daemon_log_count(&d, "reload done");
    ck_assert_msg(done == 1 || done == 2, "%d reloads", done);
}
END_TEST

START_TEST(reload_is_done_while_an_older_generation_drains)
{
    daemon_start(&d);
    int fd = open_half();
    expect(0, "", "reload", NULL);
    ck_assert_int_eq(daemon_log_count(&d, "generation 1 is gone"), 0);
    expect(0, "", "reload", NULL);
    expect(0, "", "reload", NULL);
    expect_hello();
    finish_half(fd);
    daemon_wait_log(&d, "generation 1 is gone", 1);
    daemon_wait_workers(&d, WORKERS);
}
END_TEST

/* --- waiting ----------------------------------------------------------------------------------- */

START_TEST(wait_may_be_bounded)
{
    start_that_can_be_held("");
    hold();
    expect(2, "reeve: [warn] reload is still under way after 1 s\n", "reload", "1");
    expect(2, "reeve: [warn] reload is still under way after 1500 ms\n", "reload", "1500ms");
    expect(0, "", "reload", "0");
    expect(1, "reeve: [emerg] invalid option: \"-w x\", it must be a time\n", "reload", "x");
    let_go();
    expect(0, "", "reload", NULL);
}
END_TEST

START_TEST(master_that_stands_still_is_waited_for)
{
    static const char *const words[] = { "reload", "reopen", "upgrade", "quit", "stop" };
    char wanted[128];

    daemon_start(&d);
    ck_assert_int_eq(kill(d.master, SIGSTOP), 0);
    snprintf(
        wanted, sizeof(wanted), "reeve: [warn] %s is still under way after 200 ms\n", words[_i]);
    expect(2, wanted, words[_i], "200ms");
    ck_assert_int_eq(kill(d.master, SIGCONT), 0);
    if (_i >= 3)
        daemon_wait_gone(&d);
    else
        daemon_settle(&d);
}
END_TEST

START_TEST(quit_waits_for_the_last_connection)
{
    daemon_start(&d);
    int fd = open_half();
    pid_t sender = daemon_launch(&d, "-s", "quit", NULL);
    daemon_wait_log(&d, "finishes 1 connections", 1);
    ck_assert(daemon_alive(sender));
    finish_half(fd);
    ck_assert_int_eq(daemon_wait_process(&d, sender), 0);
    ck_assert(!daemon_alive(d.master)); /* it is so when the command returns */
    daemon_wait_gone(&d);
    ck_assert_int_eq(d.status, 0);
}
END_TEST

START_TEST(quit_that_takes_longer_than_the_wait_is_under_way)
{
    daemon_start(&d);
    int fd = open_half();
    expect(2, "reeve: [warn] quit is still under way after 1 s\n", "quit", "1");
    ck_assert(daemon_alive(d.master));
    finish_half(fd);
    daemon_wait_gone(&d);
    ck_assert_int_eq(d.status, 0);
}
END_TEST

START_TEST(master_is_gone_when_the_command_returns)
{
    static const char *const words[] = { "stop", "quit" };

    daemon_start(&d);
    expect(0, "", words[_i], NULL);
    ck_assert(!daemon_alive(d.master));
    ck_assert_int_eq(access(d.pid, F_OK), -1);
    daemon_wait_gone(&d);
    ck_assert_int_eq(d.status, 0);
}
END_TEST

START_TEST(master_that_is_killed_meanwhile_is_a_failure)
{
    char told[128];
    pid_t pids[16];

    start_that_can_be_held("");
    hold();
    pid_t sender = daemon_launch(&d, "-s", "reload", NULL), master = d.master;
    daemon_wait_log(&d, "generation 2", WORKERS);
    int n = daemon_children(master, pids, 16);
    ck_assert_int_eq(kill(master, SIGKILL), 0);
    daemon_wait_gone(&d);
    ck_assert_int_eq(daemon_wait_process(&d, sender), 1);
    snprintf(
        told, sizeof(told), "reeve: [emerg] reload failed: process %ld is gone\n", (long) master);
    ck_assert_int_eq(daemon_file_count(d.terminal, told), 1);
    let_go();
    for (int i = 0; i < n; i++)
        (void) daemon_wait_process(&d, pids[i]);
    ck_assert_int_eq(unlink(d.pid), 0);
}
END_TEST

/* --- reopen ------------------------------------------------------------------------------------- */

/* No worker writes to the old file any more. */
START_TEST(reopen_is_done_when_the_command_returns)
{
    pid_t pids[8];

    daemon_start(&d);
    const char *moved = daemon_path(&d, "logs/moved.log");
    for (int round = 0; round < 5; round++) {
        ck_assert_int_eq(rename(d.log, moved), 0);
        expect(0, "", "reopen", NULL);
        ck_assert_int_eq(access(d.log, F_OK), 0);
        int n = daemon_children(d.master, pids, 8);
        for (int i = 0; i < n; i++)
            ck_assert(!daemon_has_file(pids[i], moved));
        ck_assert(!daemon_has_file(d.master, moved));
    }
}
END_TEST

/* A worker that stands still keeps the first of them waiting. */
START_TEST(reopens_that_overtake_each_other_are_all_done)
{
    static const char under_way[] = "reeve: [warn] reopen is still under way after 200 ms\n";

    daemon_start(&d);
    pid_t worker = daemon_worker(&d);
    ck_assert_int_eq(kill(worker, SIGSTOP), 0);
    expect(2, under_way, "reopen", "200ms");
    pid_t sender = daemon_launch(&d, "-s", "reopen", NULL);
    expect(2, under_way, "reopen", "200ms");
    ck_assert_int_eq(kill(worker, SIGCONT), 0);
    ck_assert_int_eq(daemon_wait_process(&d, sender), 0);
    expect(0, "", "reopen", NULL);
}
END_TEST

START_TEST(reopen_that_fails_is_told_as_it_is_logged)
{
    char line[512];

    daemon_start(&d);
    ck_assert_int_eq(rename(daemon_path(&d, "logs"), daemon_path(&d, "moved")), 0);
    ck_assert_int_eq(mkdir(daemon_path(&d, "logs"), 0755), 0);
    ck_assert_int_eq(rename(daemon_path(&d, "moved/reeve.pid"), d.pid), 0);
    ck_assert_int_eq(mkdir(d.log, 0755), 0); /* what cannot be opened for writing, by root too */
    ck_assert_int_eq(daemon_run(&d, "-s", "reopen", NULL), 1);
    snprintf(line, sizeof(line), "reopening log \"%s\" failed (21: Is a directory)\n", d.log);
    ck_assert_int_eq(strncmp(d.output, "reeve: [emerg] reopen failed: ", 30), 0);
    ck_assert_str_eq(d.output + 30, line);
    ck_assert_int_eq(daemon_file_count(daemon_path(&d, "moved/error.log"), line), 1);
    expect_hello();
    ck_assert_int_eq(rmdir(d.log), 0);
    expect(0, "", "reopen", NULL);
    ck_assert_int_eq(access(d.log, F_OK), 0);
}
END_TEST

int
main(void)
{
    Suite *s = suite_create("outcome");
    TCase *tc = daemon_case(s, "outcome");

    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_add_test(tc, reload_is_done_when_the_command_returns);
    tcase_add_loop_test(tc, reload_that_fails_is_told_as_it_is_logged, 0,
        (int) (sizeof(failures) / sizeof(failures[0])));
    tcase_add_test(tc, reload_whose_workers_do_not_get_ready_fails);
    tcase_add_loop_test(tc, two_reloads_at_once_are_both_done, 0, 2);
    tcase_add_test(tc, reload_is_done_while_an_older_generation_drains);
    tcase_add_test(tc, wait_may_be_bounded);
    tcase_add_loop_test(tc, master_that_stands_still_is_waited_for, 0, 5);
    tcase_add_test(tc, quit_waits_for_the_last_connection);
    tcase_add_test(tc, quit_that_takes_longer_than_the_wait_is_under_way);
    tcase_add_loop_test(tc, master_is_gone_when_the_command_returns, 0, 2);
    tcase_add_test(tc, master_that_is_killed_meanwhile_is_a_failure);
    tcase_add_test(tc, reopen_is_done_when_the_command_returns);
    tcase_add_test(tc, reopens_that_overtake_each_other_are_all_done);
    tcase_add_test(tc, reopen_that_fails_is_told_as_it_is_logged);
    return daemon_main(s);
}
