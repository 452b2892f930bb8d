/*
 * test_notify: what a service manager hears, word for word and in order.
 */
#include "manager.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

static daemon_t d;
static int ear;

static void
setup(void)
{
    daemon_setup(&d);
}

static void
teardown(void)
{
    unlink(daemon_path(&d, "notify"));
    daemon_teardown(&d);
}

static void
conf(const char *main)
{
    daemon_conff(&d, "[main]\n%s\nworker_processes = 2\nerror_log = logs/error.log notice\n%s",
        main, DAEMON_HTTP);
}

/* In the background, or in the foreground. Either way it is told before the command
 * returns, or while it runs. */
static void
start(int foreground)
{
    if (foreground) {
        d.master = daemon_launch(&d, "-g", "daemon = off", NULL);
        manager_expect(&d, ear, "READY=1\nSTATUS=2 workers, generation 1");
    } else {
        daemon_start(&d);
        manager_expect(
            &d, ear, "READY=1\nMAINPID=%ld\nSTATUS=2 workers, generation 1", (long) d.master);
    }
}

static long long
now_usec(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (long long) now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

/* Orders a reload, and hears that it begins. */
static void
reload(int generation)
{
    char text[1024], wanted[1024];
    long long before = now_usec(), at = 0;

    ck_assert_int_eq(kill(d.master, SIGHUP), 0);
    ck_assert_int_eq(manager_heard(ear, text, sizeof(text)), d.master);
    ck_assert_int_eq(sscanf(text, "RELOADING=1\nMONOTONIC_USEC=%lld\n", &at), 1);
    ck_assert(at >= before && at <= now_usec());
    snprintf(wanted, sizeof(wanted),
        "RELOADING=1\nMONOTONIC_USEC=%lld\nSTATUS=reloading, generation %d", at, generation);
    ck_assert_str_eq(text, wanted);
}

static const struct {
    int foreground;
    int abstract;
    int ended_by;
} lives[] = { { 0, 0, SIGTERM }, { 0, 1, SIGQUIT }, { 1, 0, SIGQUIT }, { 1, 1, SIGINT } };

START_TEST(each_turn_of_a_life_is_told)
{
    ear = manager_hear(&d, lives[_i].abstract);
    conf("");
    start(lives[_i].foreground);

    reload(2);
    manager_expect(&d, ear, "READY=1\nSTATUS=2 workers, generation 2");

    conf("worker_proceses = 3"); /* cannot be read */
    reload(3);
    manager_expect(&d, ear,
        "READY=1\nSTATUS=2 workers, generation 2, the last reload failed: "
        "unknown directive \"worker_proceses\" in %s:2",
        d.conf);

    conf("working_directory = /nonexistent"); /* fails in the workers, and is undone */
    reload(3);
    char text[1024];
    manager_heard(ear, text, sizeof(text));
    ck_assert_msg(
        strstr(text, "READY=1\nSTATUS=2 workers, generation 2, the last reload failed: worker ")
            == text,
        "%s", text);

    conf("");
    reload(4);
    manager_expect(&d, ear, "READY=1\nSTATUS=2 workers, generation 4");

    ck_assert_int_eq(kill(d.master, lives[_i].ended_by), 0);
    manager_expect(&d, ear, "STOPPING=1\nSTATUS=stopping");
    daemon_wait_gone(&d);
    manager_expect_silence(ear);
}
END_TEST

START_TEST(the_number_of_workers_is_told_when_it_changes)
{
    ear = manager_hear(&d, 0);
    conf("");
    start(_i);
    ck_assert_int_eq(kill(d.master, SIGTTIN), 0);
    manager_expect(&d, ear, "STATUS=3 workers, generation 1");
    ck_assert_int_eq(kill(d.master, SIGTTOU), 0);
    manager_expect(&d, ear, "STATUS=2 workers, generation 1");
    ck_assert_int_eq(kill(d.master, SIGTTOU), 0);
    manager_expect(&d, ear, "STATUS=1 worker, generation 1");

    reload(2); /* which keeps what was asked for */
    manager_expect(&d, ear, "READY=1\nSTATUS=1 worker, generation 2");
}
END_TEST

START_TEST(one_process_tells_too)
{
    ear = manager_hear(&d, 0);
    conf("master_process = off");
    if (_i == 0) {
        daemon_start(&d);
        manager_expect(
            &d, ear, "READY=1\nMAINPID=%ld\nSTATUS=one process, without a master", (long) d.master);
    } else {
        d.master = daemon_launch(&d, "-g", "daemon = off", NULL);
        manager_expect(&d, ear, "READY=1\nSTATUS=one process, without a master");
    }
    ck_assert_int_eq(kill(d.master, _i == 0 ? SIGTERM : SIGQUIT), 0);
    manager_expect(&d, ear, "STOPPING=1\nSTATUS=stopping");
    daemon_wait_gone(&d);
    manager_expect_silence(ear);
}
END_TEST

START_TEST(a_start_that_fails_is_not_told_ready)
{
    ear = manager_hear(&d, 0);
    conf("working_directory = /nonexistent");
    ck_assert_int_eq(daemon_run(&d, "-g", _i == 0 ? "daemon = on" : "daemon = off", NULL), 1);
    manager_expect_silence(ear);
}
END_TEST

START_TEST(orders_to_a_daemon_tell_nothing_themselves)
{
    conf("");
    daemon_start(&d);
    ear = manager_hear(&d, 0);
    ck_assert_int_eq(daemon_run(&d, "-t", NULL), 0);
    daemon_signal(&d, "reload");
    daemon_wait_log(&d, "reload done", 1);
    manager_expect_silence(ear);
}
END_TEST

/* A hung manager must not make the daemon hang; what it was told waits for it. */
START_TEST(a_manager_that_does_not_listen_holds_nothing_up)
{
    struct sockaddr_un addr;
    socklen_t length = sizeof(addr);
    int mouth = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0), sent = 0;
    char text[1024];

    ear = manager_hear(&d, 0);
    ck_assert_int_eq(getsockname(ear, (struct sockaddr *) &addr, &length), 0);
    while (sendto(mouth, "X=1", 3, 0, (struct sockaddr *) &addr, length) == 3)
        sent++;

    conf("");
    daemon_start(&d);
    ck_assert_int_eq(daemon_get(&d, "/hello", text, sizeof(text)), 200);
    daemon_reload(&d);
    for (; sent > 0; sent--)
        ck_assert_int_eq(manager_heard(ear, text, sizeof(text)), getpid());
    manager_expect(
        &d, ear, "READY=1\nMAINPID=%ld\nSTATUS=2 workers, generation 1", (long) d.master);
    manager_heard(ear, text, sizeof(text));
    ck_assert_msg(strncmp(text, "RELOADING=1\n", 12) == 0, "%s", text);
    manager_expect(&d, ear, "READY=1\nSTATUS=2 workers, generation 2");
    close(mouth);
}
END_TEST

START_TEST(a_manager_that_is_gone_is_logged_once)
{
    char text[1024];

    ear = manager_hear(&d, 0);
    conf("");
    start(0);
    close(ear);
    for (int i = 0; i < 3; i++)
        daemon_reload(&d);
    ck_assert_int_eq(daemon_get(&d, "/hello", text, sizeof(text)), 200);
    ck_assert_int_eq(daemon_log_count(&d, "[warn]"), 1);
    ck_assert_int_eq(daemon_log_count(&d, "telling the service manager failed (111: "), 1);
}
END_TEST

START_TEST(a_name_that_cannot_be_told_is_a_warning)
{
    setenv("NOTIFY_SOCKET", "vsock:2:1234", 1);
    conf("");
    daemon_start(&d);
    ck_assert_str_eq(
        d.output, "reeve: [warn] NOTIFY_SOCKET is no path and no \"@\" name, ignored\n");
}
END_TEST

/* Only one master speaks: the older one as long as it lives, and its last word is who goes on. */
START_TEST(an_upgrade_makes_another_process_the_main_one)
{
    char text[1024];
    int heir = 0;

    setenv("PATH", getenv("RV_BUILD"), 1); /* where the command "reeve" is found again */
    ear = manager_hear(&d, 0);
    conf("");
    start(_i);
    ck_assert_int_eq(kill(d.master, SIGUSR2), 0);
    daemon_wait_log(&d, "upgrade done, new master process ", 1);
    manager_expect_silence(ear);

    ck_assert_int_eq(kill(d.master, SIGQUIT), 0);
    ck_assert_int_eq(manager_heard(ear, text, sizeof(text)), d.master);
    ck_assert_int_eq(sscanf(text, "MAINPID=%d\nSTATUS=process ", &heir), 1);
    if (_i == 0)
        daemon_wait_gone(&d);
    pid_t old = d.master;
    d.master = heir;
    manager_expect(&d, ear, "READY=1\nMAINPID=%d\nSTATUS=2 workers, generation 2", heir);

    reload(3);
    manager_expect(&d, ear, "READY=1\nSTATUS=2 workers, generation 3");
    ck_assert_int_eq(kill(heir, SIGTERM), 0);
    manager_expect(&d, ear, "STOPPING=1\nSTATUS=stopping");
    daemon_wait_process(&d, heir);
    if (_i == 1)
        ck_assert_int_eq(daemon_wait_process(&d, old), 0);
    d.master = 0;
    manager_expect_silence(ear);
}
END_TEST

/* --- the watchdog ------------------------------------------------------------------------ */

START_TEST(the_watchdog_hears_of_the_master_all_the_time)
{
    static const char *const modes[] = { "daemon = on", "daemon = off",
        "daemon = off\nmaster_process = off" };
    char text[1024];

    ear = manager_hear(&d, 0);
    setenv("WATCHDOG_USEC", "100000", 1);
    conf(modes[_i]);
    if (_i == 0)
        daemon_start(&d);
    else
        d.master = daemon_launch(&d, NULL);

    for (int beats = 0; beats < 5; beats += strcmp(text, "WATCHDOG=1") == 0)
        ck_assert_int_eq(manager_heard(ear, text, sizeof(text)), d.master);
    ck_assert_int_eq(kill(d.master, SIGQUIT), 0);
    daemon_wait_gone(&d);
}
END_TEST

START_TEST(another_process_s_watchdog_hears_nothing)
{
    ear = manager_hear(&d, 0);
    setenv("WATCHDOG_USEC", "2000", 1); /* it would hear a thousand times a second */
    setenv("WATCHDOG_PID", "1", 1);
    conf("");
    start(_i);
    daemon_reload(&d);
    char text[1024];
    manager_heard(ear, text, sizeof(text));
    manager_expect(&d, ear, "READY=1\nSTATUS=2 workers, generation 2");
    ck_assert_int_eq(kill(d.master, SIGQUIT), 0);
    manager_expect(&d, ear, "STOPPING=1\nSTATUS=stopping");
    daemon_wait_gone(&d);
    manager_expect_silence(ear);
}
END_TEST

/* --- a newline on a descriptor ------------------------------------------------------------ */

static const char *const modes[] = { "daemon = on", "daemon = off",
    "daemon = on\nmaster_process = off", "daemon = off\nmaster_process = off" };

/* The end that follows shows that nobody has kept it, no worker either. */
START_TEST(a_newline_and_the_end_tell_readiness)
{
    char bytes[8] = "", text[1024];
    int fds[2];

    ck_assert_int_eq(pipe2(fds, O_CLOEXEC), 0);
    manager_pass(&d, fds[1]);
    conf(modes[_i]);
    pid_t pid = daemon_launch(&d, "-n", "3", NULL);
    close(fds[1]);
    ck_assert_int_eq(read(fds[0], bytes, sizeof(bytes)), 1);
    ck_assert_str_eq(bytes, "\n");
    ck_assert_int_eq(read(fds[0], bytes, sizeof(bytes)), 0);
    close(fds[0]);

    daemon_wait_master(&d);
    if (d.master != pid)
        ck_assert_int_eq(daemon_wait_process(&d, pid), 0);
    ck_assert_int_eq(daemon_get(&d, "/hello", text, sizeof(text)), 200);
}
END_TEST

START_TEST(a_start_that_fails_writes_no_newline)
{
    char bytes[8];
    int fds[2];

    ck_assert_int_eq(pipe2(fds, O_CLOEXEC), 0);
    manager_pass(&d, fds[1]);
    conf("working_directory = /nonexistent");
    ck_assert_int_eq(daemon_run(&d, "-n", "3", NULL), 1);
    close(fds[1]);
    ck_assert_int_eq(read(fds[0], bytes, sizeof(bytes)), 0);
    close(fds[0]);
}
END_TEST

/* The command line of the new master still says -n, and nothing is passed to it. */
START_TEST(an_upgrade_needs_no_descriptor_again)
{
    char byte;
    int fds[2];

    setenv("PATH", getenv("RV_BUILD"), 1);
    ck_assert_int_eq(pipe2(fds, O_CLOEXEC), 0);
    manager_pass(&d, fds[1]);
    conf("");
    ck_assert_int_eq(daemon_run(&d, "-n", "3", NULL), 0);
    ck_assert_int_eq(read(fds[0], &byte, 1), 1);
    daemon_wait_master(&d);
    pid_t old = d.master;
    ck_assert_int_eq(kill(old, SIGUSR2), 0);
    daemon_wait_log(&d, "upgrade done, new master process ", 1);
    ck_assert_int_eq(kill(old, SIGQUIT), 0);
    daemon_wait_process(&d, old);
    daemon_wait_master(&d);
    ck_assert_int_ne(d.master, old);
    close(fds[0]);
    close(fds[1]);
}
END_TEST

static const char *const bad[] = { "77", "2", "3", "", "x", "-1", "99999999999" };

START_TEST(a_descriptor_that_cannot_be_written_is_an_error)
{
    int null = open("/dev/null", O_RDONLY | O_CLOEXEC);
    char wanted[128];

    manager_pass(&d, null);
    conf("");
    ck_assert_int_eq(daemon_run(&d, "-n", bad[_i], NULL), 1);
    snprintf(wanted, sizeof(wanted), "\"-n %s\"", bad[_i]);
    daemon_expect_output(&d, wanted);
    ck_assert_int_eq(access(d.log, F_OK), -1);
    close(null);
}
END_TEST

int
main(void)
{
    Suite *s = suite_create("notify");
    TCase *tc = daemon_case(s, "notify");

    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_add_loop_test(tc, each_turn_of_a_life_is_told, 0, sizeof(lives) / sizeof(lives[0]));
    tcase_add_loop_test(tc, the_number_of_workers_is_told_when_it_changes, 0, 2);
    tcase_add_loop_test(tc, one_process_tells_too, 0, 2);
    tcase_add_loop_test(tc, a_start_that_fails_is_not_told_ready, 0, 2);
    tcase_add_test(tc, orders_to_a_daemon_tell_nothing_themselves);
    tcase_add_test(tc, a_manager_that_does_not_listen_holds_nothing_up);
    tcase_add_test(tc, a_manager_that_is_gone_is_logged_once);
    tcase_add_loop_test(tc, an_upgrade_makes_another_process_the_main_one, 0, 2);
    tcase_add_test(tc, a_name_that_cannot_be_told_is_a_warning);
    tcase_add_loop_test(tc, the_watchdog_hears_of_the_master_all_the_time, 0, 3);
    tcase_add_loop_test(tc, another_process_s_watchdog_hears_nothing, 0, 2);
    tcase_add_loop_test(
        tc, a_newline_and_the_end_tell_readiness, 0, sizeof(modes) / sizeof(modes[0]));
    tcase_add_test(tc, an_upgrade_needs_no_descriptor_again);
    tcase_add_test(tc, a_start_that_fails_writes_no_newline);
    tcase_add_loop_test(
        tc, a_descriptor_that_cannot_be_written_is_an_error, 0, sizeof(bad) / sizeof(bad[0]));
    return daemon_main(s);
}
