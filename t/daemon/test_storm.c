/*
 * test_storm: hundreds of reloads and deaths, under clients that never pause.
 */
#include "load.h"
#include "mesh.h"
#include "mesh_sockets.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static daemon_t d;
static mesh_t first, now;
static load_t *load;
static uint64_t looks; /* status requests of the test itself */

/* More lines of [main], and what follows the address at "listen". */
static void
configure(int workers, const char *lines, const char *options)
{
    daemon_conff(&d,
        "[main]\n"
        "worker_processes = %d\n"
        "error_log = logs/error.log notice\n"
        "pid = logs/reeve.pid\n%s"
        "[http]\nkeepalive_requests = 1000000000\nlisten = 127.0.0.1:%d %s\n%s",
        workers, lines, d.port, options, LOAD_PAGES);
}

static void
look(daemon_status_t *status)
{
    looks++;
    daemon_status(&d, status);
}

/* A daemon under load: two clients of each kind, one that watches the status. */
static void
start(int workers, const char *options, daemon_status_t *status)
{
    daemon_setup(&d);
    configure(workers, "", options);
    daemon_start(&d);
    mesh_wait(&d, workers, &first);
    look(status);
    looks = 0;

    load = load_create(&d);
    load_add(load, LOAD_KEPT, 2);
    load_add(load, LOAD_FRESH, 2);
    load_add(load, LOAD_PIPELINED, 2);
    load_add(load, LOAD_STATUS, 1);
    load_wait_answers(&d, load, 10);
}

static int
is_alone(daemon_t *unused, void *data)
{
    daemon_status_t *status = data;

    (void) unused;
    look(status);
    return status->active == 1;
}

/* Ends the clients, and waits until the daemon is as it was before they came. */
static load_sum_t
finish(int workers, const mesh_t *kinds, daemon_status_t *status)
{
    load_wait_answers(&d, load, 10);
    load_stop(&d, load);
    daemon_wait(&d, is_alone, status, "the status request is the only connection");
    mesh_wait_same_kinds(&d, workers, kinds, &now);
    ck_assert_uint_eq(status->writing, 1);
    return load_sum(load);
}

static void
expect_no_failure(load_sum_t sum)
{
    if (sum.failures == 0)
        return;
    load_print(load);
    ck_abort_msg("%lu of %lu requests failed, %lu connections", (unsigned long) sum.failures,
        (unsigned long) sum.sent, (unsigned long) sum.opened);
}

/* Every fifth is one that fails, after its workers have been forked. */
static int
reload(int i, const char *options)
{
    int workers = 1 + i % 4, fails = i % 5 == 0;

    configure(workers, fails ? "working_directory = /nonexistent\n" : "", options);
    ck_assert_int_eq(kill(d.master, SIGHUP), 0);
    if (fails)
        daemon_wait_log(&d, "reload failed", i / 5);
    else
        daemon_wait_log(&d, "reload done", i - i / 5);
    if (i % 4 == 0)
        load_wait_answers(&d, load, 5);
    return workers;
}

/* Of the sockets of "reuseport" there is one for each worker, so how many a
 * process holds depends on what was before. */
START_TEST(reloads_under_load_fail_no_request)
{
    enum { RELOADS = 250, DONE = RELOADS - RELOADS / 5 };
    static const char *const options[] = { "", "reuseport" };
    daemon_status_t before, after;
    int workers = 3;

    start(workers, options[_i], &before);
    for (int i = 1; i <= RELOADS + 2; i++)
        workers = reload(i, options[_i]);
    daemon_wait_log(&d, " is gone", DONE + 2); /* no client holds on to an old generation */
    load_sum_t sum = finish(workers, _i == 0 ? &first : NULL, &after);

    expect_no_failure(sum);
    ck_assert_int_eq(daemon_log_count(&d, "reload failed"), RELOADS / 5);

    /* nobody died, so nothing is lost from the counts either */
    ck_assert_uint_eq(after.accepts - before.accepts, sum.opened + looks);
    ck_assert_uint_eq(after.handled, after.accepts);
    ck_assert_uint_eq(after.requests - before.requests, sum.answered + looks);
    ck_assert_uint_eq(sum.unanswered, 0);
    daemon_teardown(&d);
}
END_TEST

/* --- kills ------------------------------------------------------------------------------- */

enum { KILLS = 200, WORKERS = 16, CONNECTIONS = 64 };

/* What a killed worker took with it. */
typedef struct {
    double at;
    int count;
    mesh_client_t client[CONNECTIONS];
} death_t;

static death_t deaths[KILLS];

static int
is_dead(daemon_t *unused, void *data)
{
    (void) unused;
    return !daemon_alive(*(const pid_t *) data);
}

static int
holds_inode(const mesh_process_t *p, unsigned long inode)
{
    for (int i = 0; i < p->count; i++) {
        if (p->fd[i].inode == inode)
            return 1;
    }
    return 0;
}

/* The clients of a worker that stands still. */
static void
find_clients(pid_t pid, death_t *death)
{
    static mesh_process_t p;
    const mesh_client_t *list;
    int n = mesh_sockets_clients(d.port, &list);

    mesh_read_process(&p, pid);
    for (int i = 0; i < n; i++) {
        if (!holds_inode(&p, list[i].inode))
            continue;
        ck_assert_int_lt(death->count, CONNECTIONS);
        death->client[death->count++] = list[i];
    }
}

/* Seconds since the process was forked. */
static double
age(pid_t pid)
{
    char path[64];
    unsigned long long ticks = 0;
    struct timespec ts;

    snprintf(path, sizeof(path), "/proc/%ld/stat", (long) pid);
    char *text = daemon_read(path);
    char *end = text == NULL ? NULL : strrchr(text, ')');
    int known = end != NULL
        && sscanf(end,
               ") %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %*u %*u %*d %*d %*d %*d %*d %*d %llu",
               &ticks)
            == 1;

    free(text);
    clock_gettime(CLOCK_BOOTTIME, &ts);
    return known ? (double) ts.tv_sec + (double) ts.tv_nsec / 1e9
            - (double) ticks / (double) sysconf(_SC_CLK_TCK)
                 : 0;
}

/* One that has lived for long enough to be replaced at once when it dies. */
static int
has_victim(daemon_t *unused, void *data)
{
    pid_t pids[WORKERS], old[WORKERS];
    int n = daemon_children(d.master, pids, WORKERS), count = 0;

    (void) unused;
    for (int i = 0; i < n && i < WORKERS; i++) {
        if (daemon_alive(pids[i]) && age(pids[i]) > 1.2)
            old[count++] = pids[i];
    }
    if (count > 0)
        *(pid_t *) data = old[random() % count];
    return count > 0;
}

/* Stops it first, so that who its clients are does not change any more. */
static void
kill_worker(death_t *death)
{
    pid_t pid = 0;

    daemon_wait(&d, has_victim, &pid, "a worker is more than a second old");
    daemon_freeze(&d, pid);
    find_clients(pid, death);
    death->at = load_now();
    ck_assert_int_eq(kill(pid, SIGKILL), 0);
    daemon_wait(&d, is_dead, &pid, "the worker is dead");
}

static int
is_excused(const load_client_t *client, const load_failure_t *failure)
{
    for (int i = 0; i < KILLS; i++) {
        const death_t *death = &deaths[i];

        if (failure->opened > death->at || failure->failed < death->at)
            continue;
        for (int j = 0; j < death->count; j++) {
            if (death->client[j].address == client->address
                && death->client[j].port == failure->port)
                return 1;
        }
    }
    return 0;
}

/* Only clients of killed workers may have failed. */
static void
expect_excused_failures(load_sum_t sum)
{
    uint64_t excused = 0;

    for (int i = 0; i < load->count; i++) {
        const load_client_t *client = &load->client[i];

        ck_assert_uint_le(client->failures, LOAD_FAILURES);
        for (uint64_t n = 0; n < client->failures; n++)
            excused += (uint64_t) is_excused(client, &client->failure[n]);
    }
    if (excused == sum.failures)
        return;
    load_print(load);
    ck_abort_msg("%lu of %lu failures are not those of a killed worker's clients",
        (unsigned long) (sum.failures - excused), (unsigned long) sum.failures);
}

START_TEST(killed_workers_cost_nobody_but_their_own_clients)
{
    daemon_status_t before, after;

    start(WORKERS, "", &before);
    for (int i = 0; i < KILLS; i++)
        kill_worker(&deaths[i]);
    load_sum_t sum = finish(WORKERS, &first, &after);

    expect_excused_failures(sum);
    ck_assert_int_eq(daemon_log_count(&d, "was killed by signal 9"), KILLS);
    ck_assert_int_eq(daemon_log_count(&d, "started, pid"), WORKERS + KILLS);

    /* an answered client was taken on; one that got nothing, perhaps */
    ck_assert_uint_eq(after.accepts - before.accepts, sum.opened + looks);
    ck_assert_uint_ge(after.handled - before.handled, sum.opened - sum.unanswered + looks);
    ck_assert_uint_le(after.handled, after.accepts);
    ck_assert_uint_ge(after.requests - before.requests, sum.answered + looks);
    ck_assert_uint_le(after.requests - before.requests, sum.sent + looks);
    ck_assert_uint_le(sum.unanswered, sum.failures);
    daemon_teardown(&d);
}
END_TEST

/* --- signals --------------------------------------------------------------------------------- */

/* "reload of ... begins" and "reload done" must take turns. */
static int
count_reloads(void)
{
    char *log = daemon_read(d.log), *at = log;
    int begun = 0, done = 0;

    while (at != NULL && (at = strstr(at, "] ")) != NULL) {
        const char *end = at + strcspn(at, "\n");
        const char *begins = strstr(at, ": reload of "), *ends = strstr(at, ": reload done");

        begun += begins != NULL && begins < end;
        done += ends != NULL && ends < end;
        ck_assert_msg(begun == done || begun == done + 1, "reload %d begins before %d is done",
            begun, done + 1);
        at += strcspn(at, "\n");
    }
    free(log);
    return begun == done ? done : -1;
}

static int
is_settled(daemon_t *unused, void *data)
{
    int *reloads = data;

    (void) unused;
    *reloads = count_reloads();
    mesh_read(&d, &now); /* who is there: clients come and go, so it may be wrong */
    return *reloads > 0 && now.count == 5 && mesh_generation_count(&now, *reloads + 1) == 4;
}

START_TEST(a_thousand_reloads_at_once_end_in_one_generation)
{
    daemon_status_t before, after;
    int reloads;

    start(4, "", &before);
    for (int i = 0; i < 1000; i++)
        ck_assert_int_eq(kill(d.master, SIGHUP), 0);
    daemon_wait(&d, is_settled, &reloads, "all workers are of the last generation");

    /* whatever was left of the thousand is done before this one */
    ck_assert_int_eq(kill(d.master, SIGHUP), 0);
    daemon_wait_log(&d, "reload done", reloads + 1);
    daemon_wait(&d, is_settled, &reloads, "all workers are of the last generation");

    expect_no_failure(finish(4, &first, &after));
    ck_assert_int_eq(daemon_log_count(&d, "reload failed"), 0);
    ck_assert_int_eq(count_reloads(), reloads);
    daemon_teardown(&d);
}
END_TEST

int
main(void)
{
    Suite *s = suite_create("storm");

    tcase_add_loop_test(daemon_case(s, "reloads"), reloads_under_load_fail_no_request, 0, 2);
    tcase_add_test(daemon_case(s, "kills"), killed_workers_cost_nobody_but_their_own_clients);
    tcase_add_test(daemon_case(s, "hups"), a_thousand_reloads_at_once_end_in_one_generation);
    return daemon_main(s);
}
