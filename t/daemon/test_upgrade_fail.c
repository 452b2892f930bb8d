/*
 * test_upgrade_fail: a new master that does not come into being, and what is told to the masters
 * meanwhile.
 */
#include "heir.h"
#include "load.h"

#include <arpa/inet.h>
#include <errno.h>
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
static int descriptors; /* of the master before all upgrades */

/* More lines of [main] and of [http]. */
static void
configure(const char *main_lines, const char *http_lines)
{
    daemon_conff(&d,
        "[main]\nworker_processes = %d\nerror_log = logs/error.log info\npid = logs/reeve.pid\n%s\n"
        "[http]\nlisten = 127.0.0.1:%d\nlisten = unix:%ss.sock\nkeepalive_min_timeout = 300ms\n"
        "keepalive_requests = 1000000\n%s\n[location /hello]\nhandler = return\nreturn = 200 hello\n%s",
        WORKERS, main_lines, d.port, d.prefix, http_lines, LOAD_PAGES);
}

static void
setup(void)
{
    daemon_setup(&d);
    heir_setup(&d);
    configure("", "");
}

static void
teardown(void)
{
    daemon_teardown(&d);
}

static void
start(void)
{
    daemon_start(&d);
    heir_expect_hello(&d);
    daemon_settle(&d);
    descriptors = daemon_fd_count(d.master);
}

/* --- reasons ------------------------------------------------------------------------------ */

static void
exits(void)
{
    heir_script(&d, "exit 3");
}

static void
exits_as_if_all_were_well(void)
{
    heir_script(&d, "exit 0");
}

static void
is_killed(void)
{
    heir_script(&d, "kill -9 $$");
}

static void
hangs(void)
{
    configure("worker_startup_timeout = 1s\n", "");
    daemon_reload(&d);
    heir_script(&d, "exec sleep 1000");
}

static void
is_missing(void)
{
    ck_assert_int_eq(unlink(d.program), 0);
}

static void
is_not_executable(void)
{
    heir_script(&d, "exit 0");
    ck_assert_int_eq(chmod(d.program, 0644), 0);
}

static void
is_no_program(void)
{
    daemon_write(daemon_path(&d, "script"), "\177nothing", 8);
    ck_assert_int_eq(chmod(daemon_path(&d, "script"), 0755), 0);
    ck_assert_int_eq(rename(daemon_path(&d, "script"), d.program), 0);
}

static void
has_broken_configuration(void)
{
    configure("worker_proceses = 3\nuser = nobody\n", "nonsense = 1\n");
}

static void
cannot_bind(void)
{
    struct sockaddr_in in = { .sin_family = AF_INET };
    socklen_t length = sizeof(in);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0); /* until the test ends */
    char line[64];

    in.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    ck_assert_int_eq(bind(fd, (struct sockaddr *) &in, sizeof(in)), 0);
    ck_assert_int_eq(listen(fd, 1), 0);
    ck_assert_int_eq(getsockname(fd, (struct sockaddr *) &in, &length), 0);
    snprintf(line, sizeof(line), "listen = 127.0.0.1:%d\n", ntohs(in.sin_port));
    configure("", line);
}

static void
has_workers_that_die(void)
{
    configure("working_directory = /nonexistent\n", "");
}

static const struct {
    void (*prepare)(void);
    const char *reason[2]; /* parts of it */
} failures[] = {
    { exits, { " exited with code 3\n" } },
    { exits_as_if_all_were_well, { " exited with code 0\n" } },
    { is_killed, { " was killed by signal 9\n" } },
    { hangs, { ": the new master process was not ready within worker_startup_timeout\n" } },
    { is_missing, { "program\" failed (2: " } },
    { is_not_executable, { "program\" failed (13: " } },
    { is_no_program, { "program\" failed (8: " } },
    { has_broken_configuration,
        { "unknown directive \"worker_proceses\" in ", "directive \"nonsense\" in " } },
    { cannot_bind, { "bind() to \"127.0.0.1:", "failed (98: " } },
    { has_workers_that_die, { " before it was ready" } },
};

static load_t *
start_load(void)
{
    load_t *load = load_create(&d);

    load_add(load, LOAD_FRESH, 1);
    load_add(load, LOAD_KEPT, 1);
    load_add(load, LOAD_STATUS, 1);
    load_wait_answers(&d, load, 5);
    return load;
}

static void
stop_load(load_t *load)
{
    load_wait_answers(&d, load, 5);
    load_stop(&d, load);
    load_print(load);
    ck_assert_uint_eq(load_sum(load).failures, 0);
}

/* What the command told is what stands in the log. */
static void
expect_logged_reason(void)
{
    static const char told[] = "reeve: [emerg] upgrade failed: ";
    char line[2048];

    ck_assert_msg(strncmp(d.output, told, strlen(told)) == 0, "%s", d.output);
    ck_assert_msg(strchr(d.output, '\n') == d.output + strlen(d.output) - 1, "%s", d.output);
    snprintf(line, sizeof(line), "#0: upgrade failed, this master process goes on: %.1900s",
        d.output + strlen(told));
    ck_assert_msg(daemon_log_count(&d, line) == 1, "not in the log: %s", line);
}

static void
expect_unix_socket(void)
{
    char text[1024];
    static const char request[] = "GET /hello HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
    int fd = daemon_connect_unix(daemon_path(&d, "s.sock"));

    ck_assert_msg(fd != -1, "connecting to s.sock: %s", strerror(errno));
    daemon_send(fd, request, sizeof(request) - 1);
    ck_assert_int_eq(daemon_answer(fd, text, sizeof(text), 0), 200);
    close(fd);
}

START_TEST(old_master_goes_on_and_says_why)
{
    start();
    load_t *load = start_load();
    failures[_i].prepare();
    ck_assert_msg(daemon_run(&d, "-s", "upgrade", NULL) == 1, "%s", d.output);
    for (int i = 0; i < 2 && failures[_i].reason[i] != NULL; i++)
        daemon_expect_output(&d, failures[_i].reason[i]);
    expect_logged_reason();
    expect_unix_socket();
    stop_load(load);
    heir_wait_undone(&d, WORKERS, descriptors);
    ck_assert_msg(daemon_run(&d, "status", NULL) == 0, "%s", d.output);

    configure("", "");
    heir_link(&d);
    heir_upgrade(&d);
    heir_expect_hello(&d);
    expect_unix_socket();
    daemon_wait_fd_count(&d, d.master, descriptors);
}
END_TEST

/* --- signals while a new master is starting ------------------------------------------------- */

/* The next upgrade starts something that waits as long as PREFIX/hold exists, and then does this. */
static void
hold(const char *then)
{
    char lines[512];

    daemon_write(daemon_path(&d, "hold"), "", 0);
    snprintf(lines, sizeof(lines), "while [ -e %shold ]; do sleep 0.01; done\n%s", d.prefix, then);
    heir_script(&d, lines);
}

static const char becomes_ready[] = "exec \"$RV_BINARY\" \"$@\"";

static void
let_go(void)
{
    ck_assert_int_eq(unlink(daemon_path(&d, "hold")), 0);
}

static pid_t
begin(void)
{
    pid_t sender = daemon_launch(&d, "-s", "upgrade", NULL);

    daemon_wait_log(&d, "new master process ", 1);
    return sender;
}

START_TEST(end_of_the_master_is_that_of_one_that_starts_too)
{
    static const int signals[] = { SIGQUIT, SIGTERM, SIGINT };
    pid_t pids[8];

    start();
    hold(becomes_ready);
    pid_t sender = begin();
    ck_assert_int_eq(daemon_children(d.master, pids, 8), WORKERS + 1);
    ck_assert_int_eq(kill(d.master, signals[_i]), 0);
    daemon_wait_gone(&d);
    ck_assert_int_eq(d.status, 0);
    for (int i = 0; i < WORKERS + 1; i++)
        ck_assert(!daemon_alive(pids[i]));
    ck_assert_int_eq(daemon_wait_process(&d, sender), 1);
    ck_assert_int_eq(daemon_file_count(d.terminal, "upgrade failed: "), 1);
    ck_assert_int_eq(daemon_file_count(d.terminal, "worker_startup_timeout"), 0);
    ck_assert_int_eq(heir_old_pid(&d), 0);
    let_go();
}
END_TEST

/* 0: the upgrade is done; 1: it fails. */
START_TEST(orders_of_that_time_are_not_lost)
{
    start();
    hold(_i == 0 ? becomes_ready : "exit 1");
    pid_t upgrade = begin();
    pid_t reload = daemon_launch(&d, "-s", "reload", NULL);
    pid_t reopen = daemon_launch(&d, "-s", "reopen", NULL);
    ck_assert_int_eq(rename(d.log, daemon_path(&d, "logs/moved.log")), 0);
    ck_assert_int_eq(kill(d.master, SIGHUP), 0);
    ck_assert_int_eq(kill(d.master, SIGUSR1), 0);
    heir_expect_hello(&d);
    let_go();
    ck_assert_int_eq(daemon_wait_process(&d, upgrade), _i);
    ck_assert_int_eq(daemon_wait_process(&d, reload), 0);
    ck_assert_int_eq(daemon_wait_process(&d, reopen), 0);
    daemon_wait_log(&d, "reload done", 1);
    if (_i == 0)
        heir_succeeds(&d, heir_pid(&d));
    heir_wait_workers(d.master, WORKERS);
    heir_expect_hello(&d);
}
END_TEST

static int
has_dead_child(daemon_t *daemon, void *unused)
{
    char state[32];
    pid_t pids[16];
    int n = daemon_children(daemon->master, pids, 16), dead = 0;

    (void) unused;
    for (int i = 0; i < n; i++)
        dead += daemon_proc_status(pids[i], "State", state, sizeof(state))[0] == 'Z';
    return dead > 0;
}

/* 1: the master hears of the signal and of the failure at the same time. */
START_TEST(service_does_not_drain_for_an_upgrade_that_fails)
{
    start();
    hold("exit 1");
    pid_t sender = begin();
    if (_i == 1) {
        daemon_freeze(&d, d.master);
    }
    ck_assert_int_eq(kill(d.master, SIGWINCH), 0);
    let_go();
    if (_i == 1) {
        daemon_wait(&d, has_dead_child, NULL, "the new master has exited");
        ck_assert_int_eq(kill(d.master, SIGCONT), 0);
    }
    ck_assert_int_eq(daemon_wait_process(&d, sender), 1);
    daemon_settle(&d);
    ck_assert_int_eq(daemon_log_count(&d, "told to drain"), 0);
    heir_wait_undone(&d, WORKERS, descriptors);
}
END_TEST

START_TEST(order_to_drain_waits_for_the_new_master)
{
    start();
    hold(becomes_ready);
    ck_assert_int_eq(kill(d.master, SIGUSR2), 0);
    daemon_wait_log(&d, "new master process ", 1);
    ck_assert_int_eq(kill(d.master, SIGWINCH), 0);
    heir_expect_hello(&d);
    heir_wait_workers(d.master, WORKERS);
    let_go();
    daemon_wait_log(&d, "told to drain", 1);
    heir_wait_workers(d.master, 0);
    pid_t heir = heir_wait(&d, d.master, 1);
    heir_wait_workers(heir, WORKERS);
    heir_expect_hello(&d);
    ck_assert_int_eq(kill(d.master, SIGQUIT), 0);
    heir_succeeds(&d, heir);
}
END_TEST

/* One of them is refused, or both are told that it is done. */
START_TEST(two_upgrades_at_once_are_both_told_the_outcome)
{
    start();
    hold(becomes_ready);
    pid_t first = begin(), second = daemon_launch(&d, "-s", "upgrade", NULL);
    daemon_wait_log(&d, "upgrade begins", 1);
    let_go();
    ck_assert_int_eq(daemon_wait_process(&d, first), 0);
    ck_assert_int_le(daemon_wait_process(&d, second), 1);
    daemon_wait_gone(&d);
    daemon_wait_master(&d);
    heir_wait_workers(d.master, WORKERS);
    heir_expect_hello(&d);
}
END_TEST

START_TEST(upgrade_waits_for_a_reload_that_is_pending)
{
    setenv("RV_TEST_HOLD", daemon_path(&d, "hold"), 1);
    daemon_preload(&d, "preload_worker");
    configure("working_directory = /\n", "");
    start();
    daemon_write(daemon_path(&d, "hold"), "", 0);
    pid_t reload = daemon_launch(&d, "-s", "reload", NULL);
    daemon_wait_log(&d, "generation 2", WORKERS);
    pid_t upgrade = daemon_launch(&d, "-s", "upgrade", NULL);
    daemon_settle(&d);
    ck_assert_int_eq(daemon_log_count(&d, "upgrade begins"), 0);
    let_go();
    ck_assert_int_eq(daemon_wait_process(&d, reload), 0);
    ck_assert_int_eq(daemon_wait_process(&d, upgrade), 0);
    heir_succeeds(&d, heir_pid(&d));
    daemon_wait_log(&d, "generation 3", WORKERS);
    heir_wait_workers(d.master, WORKERS);
    heir_expect_hello(&d);
}
END_TEST

int
main(void)
{
    Suite *s = suite_create("upgrade_fail");
    TCase *tc = daemon_case(s, "upgrade_fail");

    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_add_loop_test(
        tc, old_master_goes_on_and_says_why, 0, (int) (sizeof(failures) / sizeof(failures[0])));
    tcase_add_loop_test(tc, end_of_the_master_is_that_of_one_that_starts_too, 0, 3);
    tcase_add_loop_test(tc, orders_of_that_time_are_not_lost, 0, 2);
    tcase_add_loop_test(tc, service_does_not_drain_for_an_upgrade_that_fails, 0, 2);
    tcase_add_test(tc, order_to_drain_waits_for_the_new_master);
    tcase_add_test(tc, two_upgrades_at_once_are_both_told_the_outcome);
    tcase_add_test(tc, upgrade_waits_for_a_reload_that_is_pending);
    return daemon_main(s);
}
