/*
 * test_mesh_page: `handler = mesh`, asked of workers that are well, stopped, and killed.
 */
#include "daemon.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { WORKERS = 4 };

static const char conf[] = "[main]\nworker_processes = %d\nerror_log = logs/error.log info\n"
                           "pid = logs/reeve.pid\n%s[http]\nlisten = 127.0.0.1:%d\n"
                           "[location /mesh]\nhandler = mesh\n";

static daemon_t d;
static char text[8192];

static void
setup(void)
{
    daemon_setup(&d);
    daemon_conff(&d, conf, WORKERS, "", d.port);
    daemon_start(&d);
}

static void
teardown(void)
{
    daemon_teardown(&d);
}

static pid_t
stop_one(void)
{
    pid_t pid = daemon_worker(&d);

    daemon_freeze(&d, pid);
    return pid;
}

/* The line of a process in the page; NULL: it has none. */
static const char *
line_of(pid_t pid)
{
    char number[32];

    snprintf(number, sizeof(number), " %d ", (int) pid);
    return strstr(text, number);
}

typedef struct {
    const char *path, *said;
    int status;
} wanted_t;

static int
is_said(daemon_t *daemon, void *data)
{
    const wanted_t *w = data;

    return daemon_get(daemon, w->path, text, sizeof(text)) == w->status
        && strstr(text, w->said) != NULL;
}

/* A busy machine may make who is well miss the 100 ms; it answers the next time. */
static void
wait_page(const char *path, int status, const char *said)
{
    wanted_t wanted = { path, said, status };

    daemon_wait(&d, is_said, &wanted, said);
}

START_TEST(each_process_answers_and_is_named)
{
    pid_t pids[WORKERS];
    int self = -1;

    wait_page("/mesh", 200, ": 4 of 4 peers answered\n");
    ck_assert_int_eq(daemon_children(d.master, pids, WORKERS), WORKERS);
    ck_assert_ptr_nonnull(line_of(d.master));
    ck_assert_int_eq(sscanf(text, "worker %*d, slot %*d, pid %d,", &self), 1);
    for (int i = 0; i < WORKERS; i++) {
        if (pids[i] == self)
            continue;
        ck_assert_ptr_nonnull(line_of(pids[i]));
        ck_assert_ptr_null(strstr(text, "no answer"));
    }
}
END_TEST

START_TEST(same_as_json)
{
    pid_t pids[WORKERS];
    char pid[32];

    wait_page("/mesh?format=json", 200, "\"whole\":true,\"peers\":[{\"peer\":\"master\",");
    ck_assert_int_eq(text[0], '{');
    ck_assert_int_eq(daemon_children(d.master, pids, WORKERS), WORKERS);
    for (int i = 0; i < WORKERS; i++) {
        snprintf(pid, sizeof(pid), "\"pid\":%d,", (int) pids[i]);
        ck_assert_msg(strstr(text, pid) != NULL, "no %s in %s", pid, text);
    }
    int times = 0;
    for (const char *p = text; (p = strstr(p, "\"round_trip\":0.")) != NULL; p++)
        times++;
    ck_assert_int_eq(times, WORKERS); /* the master and the other workers */
    ck_assert_ptr_null(strstr(text, "failed"));
}
END_TEST

START_TEST(stopped_worker_does_not_answer)
{
    pid_t stopped = stop_one();

    wait_page("/mesh", 503, ": 3 of 4 peers answered\n");
    const char *line = line_of(stopped);
    ck_assert_ptr_nonnull(line);
    const char *why = strstr(line, "no answer");
    ck_assert(why != NULL && why < strchr(line, '\n'));
    wait_page("/mesh?format=json", 503, "\"whole\":false,");
    ck_assert_ptr_nonnull(strstr(text, "\"failed\":\"no answer\""));
    ck_assert_int_eq(kill(stopped, SIGCONT), 0);
    wait_page("/mesh", 200, ": 4 of 4 peers answered\n");
}
END_TEST

START_TEST(successor_of_a_killed_worker_answers)
{
    pid_t killed = daemon_worker(&d), pids[WORKERS];

    ck_assert_int_eq(kill(killed, SIGKILL), 0);
    daemon_wait_log(&d, "was killed by signal 9", 1);
    daemon_wait_workers(&d, WORKERS);
    wait_page("/mesh", 200, ": 4 of 4 peers answered\n");
    ck_assert_ptr_null(line_of(killed));
    ck_assert_int_eq(daemon_children(d.master, pids, WORKERS), WORKERS);
}
END_TEST

/* Nobody waits for the page any more when the last call has ended. */
START_TEST(client_that_leaves_is_not_waited_for)
{
    static const char request[] = "GET /mesh HTTP/1.1\r\nHost: x\r\n\r\n";
    pid_t stopped = stop_one();

    for (int i = 0; i < 20; i++) {
        int fd = daemon_connect(&d);

        daemon_send(fd, request, sizeof(request) - 1);
        close(fd);
    }
    ck_assert_int_eq(daemon_get(&d, "/mesh", text, sizeof(text)), 503);
    ck_assert_int_eq(kill(stopped, SIGCONT), 0);
    wait_page("/mesh", 200, ": 4 of 4 peers answered\n");
    ck_assert_int_eq(daemon_log_count(&d, "exited"), 0);
    ck_assert_int_eq(daemon_log_count(&d, "killed"), 0);
}
END_TEST

START_TEST(worker_that_was_taken_away_is_not_missed)
{
    ck_assert_int_eq(daemon_run(&d, "-s", "remove", NULL), 0);
    wait_page("/mesh", 200, ": 3 of 3 peers answered\n");
    ck_assert_int_eq(daemon_run(&d, "-s", "add", NULL), 0);
    wait_page("/mesh", 200, ": 4 of 4 peers answered\n");
}
END_TEST

/* One that dies young again and again is not started for a while. */
START_TEST(worker_that_is_dead_is_not_there)
{
    pid_t pids[WORKERS];
    const char *line;

    for (int i = 0; i < 6; i++) {
        daemon_wait_workers(&d, WORKERS);
        ck_assert_int_eq(daemon_children(d.master, pids, WORKERS), WORKERS);
        ck_assert_int_eq(kill(pids[WORKERS - 1], SIGKILL), 0);
        daemon_wait_log(&d, "was killed by signal 9", i + 1);
    }
    wait_page("/mesh", 503, "not there");
    line = strstr(text, "not there");
    while (line > text && line[-1] != '\n')
        line--;
    ck_assert_int_eq(strncmp(line, "worker 3 ", 9), 0);
}
END_TEST

START_TEST(one_process_has_no_peers)
{
    daemon_signal(&d, "quit");
    daemon_wait_gone(&d);
    daemon_conff(&d, conf, WORKERS, "master_process = off\n", d.port);
    daemon_start(&d);
    ck_assert_int_eq(daemon_get(&d, "/mesh", text, sizeof(text)), 200);
    ck_assert_ptr_nonnull(strstr(text, ": 0 of 0 peers answered\n"));
}
END_TEST

int
main(void)
{
    Suite *s = suite_create("mesh_page");
    TCase *tc = daemon_case(s, "mesh_page");

    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_add_test(tc, each_process_answers_and_is_named);
    tcase_add_test(tc, same_as_json);
    tcase_add_test(tc, stopped_worker_does_not_answer);
    tcase_add_test(tc, successor_of_a_killed_worker_answers);
    tcase_add_test(tc, client_that_leaves_is_not_waited_for);
    tcase_add_test(tc, worker_that_was_taken_away_is_not_missed);
    tcase_add_test(tc, worker_that_is_dead_is_not_there);
    tcase_add_test(tc, one_process_has_no_peers);
    return daemon_main(s);
}
