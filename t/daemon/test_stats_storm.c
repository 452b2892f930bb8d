/*
 * test_stats_storm: counters that stay exact while workers are killed at random.
 *
 * Clients never pause, and three kinds of readers look on all the time: the
 * pages of the daemon, `reeve status`, and this process, which has mapped the
 * memory. Nobody may ever see a number that cannot be.
 */
#include "json.h"
#include "load.h"
#include "look.h"

#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { ROUNDS = 4, KILLS = 125, WORKERS = 24, ROOM = 512 * 1024 };

static daemon_t d;
static load_t *load;
static look_t look;
static uint64_t before[RV_STATS_CELLS]; /* of the last look */

static uint64_t connects, asked; /* connections and requests of this process itself */
static unsigned looks, pages;    /* snapshots taken: of the memory, of the pages */

static void
start(const char *option)
{
    daemon_setup(&d);
    daemon_conff(&d,
        "[main]\n"
        "worker_processes = %d\n"
        "worker_priority = 5\n" /* so that who looks on gets a turn */
        "error_log = logs/error.log notice\n"
        "[zone stats]\ntype = %s\n"
        "[http]\nkeepalive_requests = 1000000000\nlisten = 127.0.0.1:%d %s\n"
        "[location /status]\nhandler = status\n%s",
        WORKERS, look_type(), d.port, option, LOAD_PAGES);
    daemon_start(&d);
    look_open(&d, &look);

    load = load_create(&d);
    load_add(load, LOAD_KEPT, 1);
    load_add(load, LOAD_FRESH, 2);
    load_add(load, LOAD_PIPELINED, 1);
    load_add(load, LOAD_STATUS, 1);
    load_wait_answers(&d, load, 10);
}

/* --- readers ------------------------------------------------------------------------- */

/* What was so at the last page. */
typedef struct {
    double accepts, handled, requests, restarts;
} page_t;

static void
judge_page(const char *text)
{
    static page_t last;
    const char *wrong = json_check(text);

    ck_assert_msg(wrong == NULL, "not JSON from here on:\n%s", wrong);
    const page_t now = { json_number(text, "totals/connections/accepts"),
        json_number(text, "totals/connections/handled"), json_number(text, "totals/http/requests"),
        json_number(text, "totals/workers/restarts/signal") };
    const double gauges[] = { json_number(text, "totals/connections/reading"),
        json_number(text, "totals/connections/writing"),
        json_number(text, "totals/connections/waiting") };

    for (size_t i = 0; i < 3; i++)
        ck_assert_msg(gauges[i] >= 0, "a gauge is negative:\n%s", text);
    ck_assert_msg(now.accepts >= now.handled, "more handled than accepted:\n%s", text);
    ck_assert_msg(now.requests >= json_number(text, "totals/http/request_duration/count"),
        "more requests were timed than counted:\n%s", text);
    ck_assert_msg(now.accepts >= last.accepts && now.handled >= last.handled
            && now.requests >= last.requests && now.restarts >= last.restarts,
        "a counter went down:\n%s", text);
    last = now;
    pages++;
}

/* The status page, unless the worker that was to give it is killed meanwhile. */
static void
ask_for_page(void)
{
    static const char request[] =
        "GET /status HTTP/1.1\r\nHost: reeve\r\nConnection: close\r\n\r\n";
    static char text[ROOM];
    size_t length = 0;
    int fd = daemon_connect(&d);

    ck_assert_msg(fd != -1, "connecting: %s", strerror(errno));
    connects++;
    asked++;
    ssize_t n = send(fd, request, sizeof(request) - 1, MSG_NOSIGNAL);
    while (n > 0 && length < sizeof(text) - 1) {
        n = recv(fd, text + length, sizeof(text) - 1 - length, 0);
        length += n > 0 ? (size_t) n : 0;
    }
    close(fd);
    text[length] = '\0';

    char *body = strstr(text, "\r\n\r\n"), *at = strstr(text, "\r\nContent-Length: ");
    if (body != NULL && at != NULL && at < body
        && strlen(body + 4) == strtoul(at + strlen("\r\nContent-Length: "), NULL, 10))
        judge_page(body + 4);
}

static void
run_status(void)
{
    ck_assert_msg(daemon_run(&d, "status", "-j", NULL) == 0, "%s", d.output);
    judge_page(d.output);
}

/* --- kills --------------------------------------------------------------------------- */

/* The process of a worker number. */
typedef struct {
    pid_t pid;
    double since; /* when it was seen first */
    int killed;
} worker_t;

static worker_t workers[WORKERS];

static void
note_workers(const rv_stats_view_t *view)
{
    for (unsigned i = 0; i < view->count; i++) {
        const rv_stats_owner_t *owner = &view->process[i].owner;

        if (owner->worker < WORKERS && owner->pid > 0 && workers[owner->worker].pid != owner->pid)
            workers[owner->worker] = (worker_t){ owner->pid, load_now(), 0 };
    }
}

static void
take_looks(unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        rv_stats_view_t view;

        look_take(&look, &view);
        look_judge(&look, &view);
        look_judge_growth(&look, &view, before);
        note_workers(&view);
        rv_stats_view_free(&view);
        looks++;
    }
}

/* One older than a second is replaced at once; one that dies younger makes its
 * successor wait, so only some of them are. */
static worker_t *
find_victim(int young)
{
    worker_t *fit[WORKERS];
    double now = load_now();
    int count = 0;

    for (int i = 0; i < WORKERS; i++) {
        worker_t *w = &workers[i];

        if (w->pid != 0 && !w->killed && (young || now - w->since > 1.1))
            fit[count++] = w;
    }
    return count == 0 ? NULL : fit[random() % count];
}

/* At a random moment; whether the one before it is buried already does not matter. */
static void
kill_one(int i)
{
    const struct timespec pause = { 0, 1000 * 1000 };
    double end = load_now() + DAEMON_LIMIT;
    worker_t *victim;

    take_looks(8 + (unsigned) random() % 8);
    while ((victim = find_victim(i % 4 == 0)) == NULL) {
        if (load_now() > end)
            ck_abort_msg("in %d seconds no worker grew old enough", DAEMON_LIMIT);
        nanosleep(&pause, NULL);
        take_looks(1);
    }
    ck_assert_int_eq(kill(victim->pid, SIGKILL), 0);
    victim->killed = 1;
}

static int
are_buried(daemon_t *unused, void *data)
{
    (void) data;
    take_looks(1);
    for (int i = 0; i < WORKERS; i++) {
        if (workers[i].killed)
            return 0;
    }
    return daemon_log_count(unused, "was killed by signal 9") == KILLS;
}

/* --- in the end ---------------------------------------------------------------------- */

static void
expect_restarts(const rv_stats_view_t *view)
{
    uint64_t sum = 0;
    int count = 0;

    for (unsigned i = 0; i < view->count; i++) {
        if (view->process[i].owner.worker == RV_STATS_MASTER)
            continue;
        sum += view->process[i].owner.restarts;
        count++;
    }
    ck_assert_int_eq(count, WORKERS);
    ck_assert_uint_eq(sum, KILLS);
    ck_assert_int_eq(
        look_value(&look, view->totals, "workers", "restarts{reason=\"signal\"}"), KILLS);
    ck_assert_int_eq(look_value(&look, view->totals, "workers", "restarts{reason=\"exit\"}"), 0);
}

/* Nobody is there any more. Clients that a dead worker has left in its queue
 * are taken on by its successor, gone as they are. */
static void
expect_exact_counts(load_sum_t sum)
{
    rv_stats_view_t view;

    daemon_wait(&d, are_buried, NULL, "every killed worker has a successor");
    look_wait(&d, &look, "connections", "accepts", (int64_t) (sum.opened + connects));
    look_wait_connections(&d, &look, 0);
    look_take(&look, &view);

    int64_t accepts = look_value(&look, view.totals, "connections", "accepts");
    int64_t requests = look_value(&look, view.totals, "http", "requests");
    ck_assert_int_eq(accepts, (int64_t) (sum.opened + connects));
    ck_assert_int_ge(requests, (int64_t) (sum.answered));
    ck_assert_int_le(requests, (int64_t) (sum.sent + asked));
    expect_restarts(&view);
    rv_stats_view_free(&view);
}

/* The one that reads the page is then the only one. */
static void
expect_one_reader(void)
{
    daemon_status_t status;
    int64_t accepts = look_total(&look, "connections", "accepts");

    daemon_status(&d, &status);
    ck_assert_uint_eq(status.active, 1);
    ck_assert_uint_eq(status.writing, 1);
    ck_assert_int_eq((int64_t) status.accepts, accepts + 1);
}

START_TEST(no_snapshot_is_wrong_while_workers_are_killed)
{
    static const char *const options[] = { "", "reuseport" };

    srandom((unsigned) getpid());
    start(options[_i % 2]);
    for (int i = 0; i < KILLS; i++) {
        kill_one(i);
        if (i % 5 == 0)
            ask_for_page();
        if (i % 25 == 0)
            run_status();
    }
    load_wait_answers(&d, load, 10);
    load_stop(&d, load);

    load_sum_t sum = load_sum(load);
    if (sum.wrong > 0)
        load_print(load);
    ck_assert_uint_eq(sum.wrong, 0);
    expect_exact_counts(sum);
    expect_one_reader();
    ck_assert_uint_ge(looks, 8 * KILLS);
    ck_assert_uint_gt(pages, KILLS / 25); /* few are lost with their worker */
    look_close(&look);
    daemon_teardown(&d);
}
END_TEST

/* Random kills hit this moment too rarely. */
START_TEST(a_connection_counts_whose_worker_died_before_it_could_count)
{
    enum { DEATHS = 3 };
    char text[256];

    daemon_setup(&d);
    const char *die = daemon_path(&d, "die");
    setenv("RV_TEST_DIE_ACCEPTED", die, 1);
    daemon_preload(&d, "preload_accept");
    daemon_conff(
        &d, "[main]\nworker_processes = 1\n[zone stats]\ntype = %s\n%s", look_type(), DAEMON_HTTP);
    daemon_start(&d);
    look_open(&d, &look);
    for (int i = 1; i <= DEATHS; i++) {
        daemon_write(die, "", 0);
        int fd = daemon_connect(&d);
        ck_assert_int_ne(fd, -1);
        daemon_wait_log(&d, "was killed by signal 9", i);
        ck_assert_int_le(daemon_read_end(fd, text, sizeof(text)), 0);
        close(fd);

        ck_assert_int_eq(unlink(die), 0);
        ck_assert_int_eq(daemon_get(&d, "/hello", text, sizeof(text)), 200);
        look_wait_connections(&d, &look, 0);
        ck_assert_int_eq(look_total(&look, "connections", "accepts"), 2 * i);
        ck_assert_int_eq(look_total(&look, "connections", "handled"), i);
        ck_assert_int_eq(look_total(&look, "http", "requests"), i);
    }
    look_close(&look);
    daemon_teardown(&d);
}
END_TEST

int
main(void)
{
    Suite *s = suite_create("stats_storm");

    tcase_add_loop_test(
        daemon_case(s, "kills"), no_snapshot_is_wrong_while_workers_are_killed, 0, ROUNDS);
    tcase_add_test(
        daemon_case(s, "accept"), a_connection_counts_whose_worker_died_before_it_could_count);
    return daemon_main(s);
}
