/*
 * test_control: who holds which end of which channel, whatever has happened.
 */
#include "mesh.h"

#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static daemon_t d;
static mesh_t first, now;

static const int numbers[] = { 1, 2, 4, 16 };

/* The usual sections after a [main] that ends in these lines. */
static void
configure(int workers, const char *lines)
{
    daemon_conff(&d,
        "[main]\n"
        "worker_processes = %d\n"
        "error_log = logs/error.log notice\n"
        "pid = logs/reeve.pid\n"
        "%s\n%s",
        workers, lines, DAEMON_HTTP);
}

static void
start(int workers)
{
    daemon_setup(&d);
    configure(workers, "");
    daemon_start(&d);
    mesh_wait(&d, workers, &first);
}

static void
expect_service(void)
{
    char text[1024];

    ck_assert_int_eq(daemon_get(&d, "/hello", text, sizeof(text)), 200);
    ck_assert_str_eq(text, "hello");
}

static int
is_dead(daemon_t *unused, void *data)
{
    (void) unused;
    return !daemon_alive(*(const pid_t *) data);
}

static void
kill_worker(pid_t pid)
{
    ck_assert_int_eq(kill(pid, SIGKILL), 0);
    daemon_wait(&d, is_dead, &pid, "the killed worker is dead");
}

static void
stop_worker(pid_t pid)
{
    daemon_freeze(&d, pid);
}

/* Sends HUP, waits for the reload to fail, and for the reason to be this one. */
static void
reload_in_vain(const char *reason)
{
    int failed = daemon_log_count(&d, "reload failed");
    int known = daemon_log_count(&d, reason);

    ck_assert_int_eq(kill(d.master, SIGHUP), 0);
    daemon_wait_log(&d, "reload failed", failed + 1);
    ck_assert_int_gt(daemon_log_count(&d, reason), known);
}

START_TEST(each_worker_holds_its_own_end_and_the_other_of_each_peer)
{
    start(numbers[_i]);
    ck_assert_int_eq(mesh_generation_count(&first, 1), numbers[_i]);
    for (int i = 1; i < first.count; i++)
        ck_assert_int_eq(daemon_fd_count(first.process[i].pid), first.process[i].count);
    expect_service();
    daemon_teardown(&d);
}
END_TEST

START_TEST(a_killed_worker_is_replaced_in_every_table)
{
    start(numbers[_i]);
    for (int i = 1; i < first.count; i++) {
        pid_t pid = first.process[i].pid;

        kill_worker(pid);
        mesh_wait_same_kinds(&d, numbers[_i], &first, &now);
        ck_assert_ptr_null(mesh_find(&now, pid));
        ck_assert_int_eq(mesh_generation_count(&now, 1), numbers[_i]);
    }
    expect_service();
    daemon_teardown(&d);
}
END_TEST

START_TEST(all_workers_killed_at_once_are_replaced)
{
    start(numbers[_i]);
    for (int i = 1; i < first.count; i++)
        ck_assert_int_eq(kill(first.process[i].pid, SIGKILL), 0);
    for (int i = 1; i < first.count; i++)
        daemon_wait(&d, is_dead, &first.process[i].pid, "the killed worker is dead");

    mesh_wait_same_kinds(&d, numbers[_i], &first, &now);
    expect_service();
    daemon_teardown(&d);
}
END_TEST

START_TEST(a_reload_leaves_nothing_of_the_old_generation)
{
    start(numbers[_i]);
    for (int generation = 2; generation < 6; generation++) {
        daemon_reload(&d);
        mesh_wait_same_kinds(&d, numbers[_i], &first, &now);
        ck_assert_int_eq(mesh_generation_count(&now, generation), numbers[_i]);
    }
    expect_service();
    daemon_teardown(&d);
}
END_TEST

START_TEST(a_reload_changes_the_number_of_workers)
{
    static const int then[] = { 16, 1, 4, 3, 2 };

    start(2);
    for (size_t i = 0; i < sizeof(then) / sizeof(then[0]); i++) {
        configure(then[i], "");
        daemon_reload(&d);
        mesh_wait_same_kinds(&d, then[i], &first, &now);
        expect_service();
    }
    daemon_teardown(&d);
}
END_TEST

/* --- generations that drain ------------------------------------------------------------ */

static int
is_reading(daemon_t *unused, void *data)
{
    daemon_status_t status;

    (void) unused;
    daemon_status(&d, &status);
    return status.reading == *(const uint64_t *) data;
}

/* A request without its last byte, the n-th of those: its worker has to wait. */
static int
begin_request(uint64_t n)
{
    static const char head[] = "GET /hello HTTP/1.1\r\nHost: a\r\n\r";
    int fd = daemon_connect(&d);

    ck_assert_int_ne(fd, -1);
    daemon_send(fd, head, sizeof(head) - 1);
    daemon_wait(&d, is_reading, &n, "the request is being read");
    return fd;
}

static void
end_request(int fd)
{
    char text[1024];

    daemon_send(fd, "\n", 1);
    ck_assert_int_eq(daemon_answer(fd, text, sizeof(text), 0), 200);
    ck_assert_ptr_nonnull(strstr(text, "\r\nConnection: close\r\n"));
    ck_assert_int_eq(daemon_read_end(fd, text, sizeof(text)), 0);
    close(fd);
}

static void
reload_and_wait(int generation, int workers)
{
    char text[64];

    snprintf(text, sizeof(text), "reload done, generation %d,", generation);
    ck_assert_int_eq(kill(d.master, SIGHUP), 0);
    daemon_wait_log(&d, text, 1);
    mesh_wait(&d, workers, &now);
}

START_TEST(workers_of_draining_generations_keep_their_place)
{
    enum { WORKERS = 3, OLD = 4 };
    int slow[OLD];

    start(WORKERS);
    for (int i = 0; i < OLD; i++) {
        slow[i] = begin_request((uint64_t) i + 1);
        reload_and_wait(i + 2, WORKERS + i + 1);
        for (int generation = 1; generation <= i + 1; generation++)
            ck_assert_int_eq(mesh_generation_count(&now, generation), 1);
    }

    kill_worker(now.process[now.count - 1].pid);
    mesh_wait(&d, WORKERS + OLD, &now);
    for (int i = 0; i < OLD; i++) {
        end_request(slow[i]);
        mesh_wait(&d, WORKERS + OLD - 1 - i, &now);
    }
    mesh_wait_same_kinds(&d, WORKERS, &first, &now);
    daemon_teardown(&d);
}
END_TEST

START_TEST(a_draining_worker_that_is_killed_is_not_replaced)
{
    start(4);
    int slow = begin_request(1);
    pid_t pid = 0;

    reload_and_wait(2, 5);
    for (int i = 1; i < now.count; i++) {
        if (now.process[i].generation == 1)
            pid = now.process[i].pid;
    }
    kill_worker(pid);
    mesh_wait_same_kinds(&d, 4, &first, &now);
    ck_assert_int_eq(mesh_generation_count(&now, 2), 4);
    close(slow);
    daemon_teardown(&d);
}
END_TEST

/* --- reloads that fail ------------------------------------------------------------------ */

/* Takes the port, as another server would. */
static int
take_port(int *port)
{
    struct sockaddr_in in = { .sin_family = AF_INET };
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    socklen_t length = sizeof(in);

    in.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    ck_assert_int_eq(bind(fd, (struct sockaddr *) &in, sizeof(in)), 0);
    ck_assert_int_eq(listen(fd, 1), 0);
    ck_assert_int_eq(getsockname(fd, (struct sockaddr *) &in, &length), 0);
    *port = ntohs(in.sin_port);
    return fd;
}

START_TEST(a_reload_onto_a_taken_port_changes_nothing)
{
    int port, fd = take_port(&port);

    start(4);
    daemon_conff(&d, "%s[echo]\nlisten = 127.0.0.1:%d\n", DAEMON_CONF, port);
    for (int i = 0; i < 3; i++)
        reload_in_vain("Address already in use");

    mesh_wait(&d, 4, &now);
    mesh_expect_same(&first, &now);
    expect_service();
    close(fd);
    daemon_teardown(&d);
}
END_TEST

START_TEST(a_reload_with_an_error_in_the_file_changes_nothing)
{
    start(4);
    configure(7, "worker_proceses = 3\n");
    for (int i = 0; i < 3; i++)
        reload_in_vain("unknown directive \"worker_proceses\"");

    mesh_wait(&d, 4, &now);
    mesh_expect_same(&first, &now);
    expect_service();
    daemon_teardown(&d);
}
END_TEST

/* The new workers have been introduced to the old ones by then. */
START_TEST(a_reload_whose_workers_cannot_start_changes_nothing)
{
    start(4);
    configure(7, "working_directory = /nonexistent\n");
    for (int i = 0; i < 3; i++)
        reload_in_vain("before it was ready");

    mesh_wait(&d, 4, &now);
    mesh_expect_same(&first, &now);
    expect_service();
    daemon_teardown(&d);
}
END_TEST

/* --- other messages ----------------------------------------------------------------------- */

START_TEST(reopened_logs_leave_no_descriptor_behind)
{
    start(4);
    for (int i = 1; i <= 20; i++) {
        ck_assert_int_eq(kill(d.master, SIGUSR1), 0);
        daemon_wait_log(&d, "reopening logs", i);
    }
    mesh_wait_same_kinds(&d, 4, &first, &now);
    daemon_teardown(&d);
}
END_TEST

/* A new worker has not inherited what its master had in a queue. */
static void
expect_each_end_once(const mesh_process_t *p)
{
    for (int i = 0; i < p->count; i++) {
        for (int j = 0; j < i; j++) {
            if (p->fd[i].is_end && p->fd[i].inode == p->fd[j].inode) {
                mesh_print(&now);
                ck_abort_msg("process %d holds an end twice", (int) p->pid);
            }
        }
    }
}

/*
 * Ten times sixteen workers that come and go are more than a channel holds, so
 * what the sleeper is to know waits in the master, at most once for each slot.
 */
START_TEST(a_worker_that_sleeps_through_it_all_knows_everybody_afterwards)
{
    enum { WORKERS = 4 };
    start(WORKERS);
    pid_t sleeper = first.process[1].pid;

    stop_worker(sleeper);
    configure(16, "working_directory = /nonexistent\n");
    for (int i = 0; i < 12; i++)
        reload_in_vain("before it was ready");
    for (int i = 0; i < 2; i++) { /* the second is born while word of the first waits */
        kill_worker(first.process[2 + i].pid);
        daemon_wait_log(&d, "started, pid", WORKERS + 12 * 16 + 1 + i);
    }
    mesh_read(&d, &now);
    for (int i = 1; i < now.count; i++)
        expect_each_end_once(&now.process[i]);
    ck_assert_int_eq(kill(sleeper, SIGCONT), 0);
    mesh_wait_same_kinds(&d, WORKERS, &first, &now);
    ck_assert_ptr_nonnull(mesh_find(&now, sleeper));
    ck_assert_int_eq(daemon_log_count(&d, "refused"), 0);
    expect_service();
    daemon_teardown(&d);
}
END_TEST

/* --- no descriptor to be had --------------------------------------------------------------- */

static int
has_paused(daemon_t *unused, void *data)
{
    char *log = daemon_read(d.log), text[64];
    int paused = 0;

    (void) unused;
    snprintf(text, sizeof(text), " %ld#0: ", (long) *(const pid_t *) data);
    for (char *at = log; at != NULL && (at = strstr(at, text)) != NULL; at++) {
        const char *found = strstr(at, "accepting pauses");
        paused |= found != NULL && found < at + strcspn(at, "\n");
    }
    free(log);
    return paused;
}

/* Lets each worker have only so few descriptors that clients use them up. */
static int
start_full(int clients[], int room)
{
    int limit = 0, n = 0;

    start(2);
    for (int i = 0; i < first.process[1].count; i++)
        limit = first.process[1].fd[i].fd + 12;
    char lines[64];
    snprintf(lines, sizeof(lines), "worker_rlimit_nofile = %d\n", limit);
    configure(2, lines);
    daemon_reload(&d);
    mesh_wait_same_kinds(&d, 2, &first, &now);
    for (; n < 2 * limit; n++) {
        ck_assert_int_lt(n, room);
        clients[n] = daemon_connect(&d);
        ck_assert_int_ne(clients[n], -1);
    }
    for (int i = 1; i < now.count; i++)
        daemon_wait(&d, has_paused, &now.process[i].pid, "the worker has no room left");
    return n;
}

static int
has_new_log(daemon_t *unused, void *data)
{
    (void) unused;
    (void) data;
    return access(d.log, F_OK) == 0;
}

/* The table is read from the new log, which knows nothing of what was before. */
static void
move_log(void)
{
    const char *moved = daemon_path(&d, "logs/moved.log");
    char *text;

    ck_assert_int_eq(rename(d.log, moved), 0);
    ck_assert_int_eq(kill(d.master, SIGUSR1), 0);
    daemon_wait(&d, has_new_log, NULL, "the log is opened anew");
    text = daemon_read(moved);
    FILE *f = fopen(d.log, "a");
    ck_assert_ptr_nonnull(f);
    fputs(text, f);
    fclose(f);
    free(text);
}

START_TEST(a_worker_without_a_free_descriptor_misses_no_message)
{
    static int clients[1024];
    int n = start_full(clients, 1024);
    pid_t victim = now.process[2].pid;

    kill_worker(victim);
    daemon_wait_log(&d, "started, pid", 5);
    move_log();
    for (int i = 0; i < n; i++)
        close(clients[i]);
    mesh_wait_same_kinds(&d, 2, &first, &now);
    expect_service();
    daemon_teardown(&d);
}
END_TEST

int
main(void)
{
    const int n = sizeof(numbers) / sizeof(numbers[0]);
    Suite *s = suite_create("mesh");
    TCase *tc = daemon_case(s, "mesh");

    tcase_add_loop_test(tc, each_worker_holds_its_own_end_and_the_other_of_each_peer, 0, n);
    tcase_add_loop_test(tc, a_killed_worker_is_replaced_in_every_table, 0, n);
    tcase_add_loop_test(tc, all_workers_killed_at_once_are_replaced, 0, n);
    tcase_add_loop_test(tc, a_reload_leaves_nothing_of_the_old_generation, 0, n);
    tcase_add_test(tc, a_reload_changes_the_number_of_workers);
    tcase_add_test(tc, workers_of_draining_generations_keep_their_place);
    tcase_add_test(tc, a_draining_worker_that_is_killed_is_not_replaced);
    tcase_add_test(tc, a_reload_onto_a_taken_port_changes_nothing);
    tcase_add_test(tc, a_reload_with_an_error_in_the_file_changes_nothing);
    tcase_add_test(tc, a_reload_whose_workers_cannot_start_changes_nothing);
    tcase_add_test(tc, reopened_logs_leave_no_descriptor_behind);
    tcase_add_test(tc, a_worker_that_sleeps_through_it_all_knows_everybody_afterwards);
    tcase_add_test(tc, a_worker_without_a_free_descriptor_misses_no_message);
    return daemon_main(s);
}
