/*
 * test_hung: workers that stand still for a while must not hold up the others,
 * nor lose what came meanwhile.
 */
#include "mesh.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static daemon_t d;
static mesh_t first, now;

static void
configure(int workers, const char *lines)
{
    daemon_conff(&d,
        "[main]\n"
        "worker_processes = %d\n"
        "error_log = logs/error.log notice\n"
        "pid = logs/reeve.pid\n%s%s",
        workers, lines, DAEMON_HTTP);
}

static int
is_dead(daemon_t *unused, void *data)
{
    (void) unused;
    return !daemon_alive(*(const pid_t *) data);
}

static void
expect_service(int reload)
{
    char text[1024];
    int status = daemon_get(&d, "/hello", text, sizeof(text));

    ck_assert_msg(status == 200, "after reload %d: no answer, status %d", reload, status);
}

static void
stop_worker(pid_t pid)
{
    daemon_freeze(&d, pid);
}

/* Far more is sent to it than its channel holds. */
START_TEST(service_goes_on_while_a_draining_worker_hangs)
{
    daemon_setup(&d);
    configure(4, "");
    daemon_start(&d);
    mesh_wait(&d, 4, &first);

    pid_t hung = first.process[1].pid;
    stop_worker(hung);
    for (int i = 1; i <= 80; i++) {
        ck_assert_int_eq(kill(d.master, SIGHUP), 0);
        daemon_wait_log(&d, "reload done", i);
        expect_service(i);
    }
    ck_assert_int_eq(kill(hung, SIGCONT), 0);
    mesh_wait_same_kinds(&d, 4, &first, &now);
    daemon_teardown(&d);
}
END_TEST

/* Reloads that fail fill the channel of one that is not told to drain. */
START_TEST(a_new_worker_serves_while_another_hangs)
{
    daemon_setup(&d);
    configure(2, "");
    daemon_start(&d);
    mesh_wait(&d, 2, &first);

    pid_t hung = first.process[1].pid, victim = first.process[2].pid;
    stop_worker(hung);
    configure(16, "working_directory = /nonexistent\n");
    for (int i = 1; i <= 15; i++) {
        ck_assert_int_eq(kill(d.master, SIGHUP), 0);
        daemon_wait_log(&d, "reload failed", i);
        expect_service(i);
    }
    ck_assert_int_eq(kill(victim, SIGKILL), 0);
    daemon_wait(&d, is_dead, &victim, "the worker is dead");
    expect_service(15);

    ck_assert_int_eq(kill(hung, SIGCONT), 0);
    mesh_wait_same_kinds(&d, 2, &first, &now);
    daemon_teardown(&d);
}
END_TEST

/* --- what came in time ----------------------------------------------------------------------- */

static const char REQUEST[] = "GET /hello HTTP/1.1\r\nHost: a\r\n\r\n";

static double
seconds(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (double) ts.tv_sec + (double) ts.tv_nsec / 1e9;
}

static int
is_later(daemon_t *unused, void *data)
{
    (void) unused;
    return seconds() > *(const double *) data;
}

static int
is_shutting_down(daemon_t *unused, void *data)
{
    char title[128];

    (void) unused;
    return strcmp(daemon_title(*(const pid_t *) data, title, sizeof(title)),
               "reeve: worker process is shutting down")
        == 0;
}

/*
 * The only connection of a draining worker that now stands still, with a
 * request sent on it; -1: too late, on a slow machine. *due is when the worker would
 * have closed it.
 */
static int
ask_a_drained_worker(pid_t *pid, double *due)
{
    char text[1024];
    int fd = daemon_connect(&d);

    daemon_send(fd, REQUEST, sizeof(REQUEST) - 1);
    ck_assert_int_eq(daemon_answer(fd, text, sizeof(text), 0), 200);
    *pid = daemon_worker(&d);
    double began = seconds();
    ck_assert_int_eq(kill(*pid, SIGQUIT), 0);
    daemon_wait(&d, is_shutting_down, pid, "the worker drains");
    *due = seconds() + 1;
    stop_worker(*pid);
    daemon_send(fd, REQUEST, sizeof(REQUEST) - 1);
    if (seconds() < began + 0.9)
        return fd;

    close(fd);
    ck_assert_int_eq(kill(*pid, SIGCONT), 0);
    daemon_wait(&d, is_dead, pid, "the worker is gone");
    daemon_wait_workers(&d, 1);
    return -1;
}

START_TEST(a_request_in_time_is_answered_by_a_late_worker)
{
    char text[1024];
    double due;
    pid_t pid;
    int fd;

    daemon_setup(&d);
    daemon_conff(&d,
        "[main]\nworker_processes = 1\nerror_log = logs/error.log notice\npid = logs/reeve.pid\n"
        "[http]\nkeepalive_min_timeout = 1s\n%s",
        DAEMON_HTTP + strlen("[http]\n"));
    daemon_start(&d);
    while ((fd = ask_a_drained_worker(&pid, &due)) == -1)
        continue;

    due += 0.1;
    daemon_wait(&d, is_later, &due, "the time for a request is over");
    ck_assert_int_eq(kill(pid, SIGCONT), 0);
    ck_assert_int_eq(daemon_answer(fd, text, sizeof(text), 0), 200);
    ck_assert_ptr_nonnull(strstr(text, "\r\nConnection: close\r\n"));
    ck_assert_int_eq(daemon_read_end(fd, text, sizeof(text)), 0);
    close(fd);
    daemon_teardown(&d);
}
END_TEST

int
main(void)
{
    Suite *s = suite_create("hung");
    TCase *tc = daemon_case(s, "hung");

    tcase_add_test(tc, service_goes_on_while_a_draining_worker_hangs);
    tcase_add_test(tc, a_new_worker_serves_while_another_hangs);
    tcase_add_test(tc, a_request_in_time_is_answered_by_a_late_worker);
    return daemon_main(s);
}
