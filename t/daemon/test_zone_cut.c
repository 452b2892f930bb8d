/*
 * test_zone_cut: somebody cuts off the file that the counters are in.
 *
 * Nobody dies of it, and no count is lost: each process knows its own, and the
 * master what the dead have counted.
 */
#include "json.h"
#include "load.h"
#include "test_http.h"

#include <signal.h>
#include <sys/stat.h>

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

static void
configure(int workers, const char *more)
{
    daemon_conff(&d,
        "[main]\nworker_processes = %d\nerror_log = logs/error.log info\npid = logs/reeve.pid\n"
        "[zone stats]\ntype = file\npath = logs/stats.zone\n%s"
        "[http]\nlisten = 127.0.0.1:%d\nkeepalive_requests = 1000000000\n"
        "[location /hello]\nhandler = return\nreturn = 200 hello\n%s",
        workers, more, d.port, LOAD_PAGES);
}

static void
start(int workers)
{
    configure(workers, "");
    daemon_start(&d);
}

static void
ask(int times)
{
    char text[1024];

    for (int i = 0; i < times; i++)
        ck_assert_int_eq(daemon_get(&d, "/hello", text, sizeof(text)), 200);
}

static off_t
file_size(void)
{
    struct stat st;

    ck_assert_int_eq(stat(daemon_path(&d, "logs/stats.zone"), &st), 0);
    return st.st_size;
}

enum { WAYS = 4 };

/* To nothing, to the header, in the middle, by one byte. */
static void
cut(int way)
{
    off_t size = file_size();
    const off_t lengths[WAYS] = { 0, 64, size / 2, size - 1 };

    ck_assert_int_eq(truncate(daemon_path(&d, "logs/stats.zone"), lengths[way]), 0);
}

static void
wait_repaired(int count)
{
    daemon_wait_log(&d, "[warn]", count);
    ck_assert_int_ge(
        daemon_log_count(&d, "zone \"stats\" was repaired: its file was cut off"), count);
}

/* -1: not to be had as long as not all is mended, and that is said. */
static int64_t
number(const char *path)
{
    if (daemon_run(&d, "status", "-j", NULL) != 0) {
        daemon_expect_output(&d, "logs/stats.zone\" was cut off");
        return -1;
    }
    ck_assert_ptr_null(json_check(d.output));
    return (int64_t) json_number(d.output, path);
}

typedef struct {
    const char *path;
    int64_t value;
} number_t;

static int
is_so(daemon_t *unused, void *data)
{
    const number_t *wanted = data;

    (void) unused;
    return number(wanted->path) == wanted->value;
}

/* A process puts back its own counts when it has something to count, or a heartbeat to give. */
static void
expect(const char *path, int64_t value)
{
    number_t wanted = { path, value };
    char what[128];

    snprintf(what, sizeof(what), "%s is %ld", path, (long) value);
    daemon_wait(&d, is_so, &wanted, what);
}

static void
expect_counts(int64_t accepts, int64_t requests)
{
    expect("totals/http/request_duration/count", requests);
    expect("totals/http/requests", requests);
    expect("totals/connections/accepts", accepts);
    expect("totals/connections/handled", accepts);
}

/* --- tests ------------------------------------------------------------------------------- */

START_TEST(a_daemon_at_rest_loses_nothing)
{
    pid_t before[4], after[4];

    start(2);
    off_t size = file_size();
    ask(10);
    expect_counts(10, 10);
    int waiting = http_connect(&d);
    ask(1); /* so the other one is accepted */
    expect_counts(12, 11);
    ck_assert_int_eq(daemon_children(d.master, before, 4), 2);

    cut(_i);
    wait_repaired(1);
    ck_assert_int_eq(file_size(), size);
    expect_counts(12, 11);
    expect("totals/connections/waiting", 1);
    ck_assert_int_eq(json_count(d.output, "workers"), 2);
    close(waiting);
    ask(3);
    expect_counts(15, 14);
    expect("totals/connections/waiting", 0);
    ck_assert_int_eq(daemon_children(d.master, after, 4), 2);
    for (int i = 0; i < 2; i++)
        ck_assert_int_eq(before[i], after[i]);
    ck_assert_int_eq(daemon_log_count(&d, "was killed"), 0);

    daemon_signal(&d, "quit");
    daemon_wait_gone(&d);
    daemon_start(&d);
    expect_counts(15, 14);
}
END_TEST

START_TEST(a_daemon_under_load_loses_nothing)
{
    start(3);
    load_t *load = load_create(&d);
    load_add(load, LOAD_KEPT, 1);
    load_add(load, LOAD_FRESH, 2);
    load_add(load, LOAD_PIPELINED, 1);
    for (int i = 0; i < WAYS; i++) {
        load_wait_answers(&d, load, 50);
        cut(i);
        wait_repaired(i + 1);
    }
    load_wait_answers(&d, load, 50);
    load_stop(&d, load);

    load_sum_t sum = load_sum(load);
    if (sum.failures > 0)
        load_print(load);
    ck_assert_uint_eq(sum.failures, 0);
    expect_counts((int64_t) sum.opened, (int64_t) sum.answered);
    ck_assert_int_eq(daemon_log_count(&d, "was killed"), 0);
    ck_assert_int_eq(daemon_log_count(&d, "exited with"), 0);
}
END_TEST

/* Its counts are in no row any more. */
START_TEST(what_the_dead_have_counted_is_not_lost)
{
    start(1);
    ask(4);
    expect_counts(4, 4);
    ck_assert_int_eq(kill(daemon_worker(&d), SIGKILL), 0);
    ask(1); /* the next one is ready */
    cut(_i);
    ask(2);
    wait_repaired(1);
    expect_counts(7, 7);
    expect("totals/workers/restarts/signal", 1);
    expect("workers/0/restarts", 1);
    ask(1);
    expect_counts(8, 8);
}
END_TEST

static int
is_half_gone(daemon_t *unused, void *data)
{
    (void) unused;
    (void) data;
    return number("master/pid") > 0 && json_count(d.output, "workers") == 2;
}

/* The counters of both generations are in the same file, or each in its own. */
START_TEST(a_generation_that_drains_loses_nothing)
{
    start(2);
    ask(3);
    expect_counts(3, 3);
    int fd = http_open(&d, "GET /hello HTTP/1.1\r\nHost: x\r\n");
    expect("totals/connections/reading", 1);
    configure(1, _i < WAYS ? "" : "size = 8m\n");
    ck_assert_int_eq(kill(d.master, SIGHUP), 0);
    daemon_wait_log(&d, "reload done", 1);
    ask(2);
    daemon_wait(&d, is_half_gone, NULL, "the old worker that has nothing to finish is buried");

    cut(_i % WAYS);
    wait_repaired(1);
    expect("totals/connections/reading", 1);
    char text[1024];
    http_send(fd, "\r\n");
    ck_assert_int_eq(daemon_answer(fd, text, sizeof(text), 0), 200);
    close(fd);
    daemon_wait_log(&d, "generation 1 is gone", 1);
    ask(1);
    expect_counts(7, 7);
}
END_TEST

static int
are_stopped(daemon_t *unused, void *data)
{
    const pid_t *pids = data;
    char state[32];

    (void) unused;
    for (int i = 0; pids[i] != 0; i++) {
        if (daemon_proc_status(pids[i], "State", state, sizeof(state))[0] != 'T')
            return 0;
    }
    return 1;
}

/* Nobody mends it meanwhile. */
START_TEST(who_looks_from_outside_does_not_die_either)
{
    pid_t pids[4] = { 0 };

    start(2);
    ask(3);
    expect_counts(3, 3);
    ck_assert_int_eq(daemon_children(d.master, pids, 4), 2);
    pids[2] = d.master;
    for (int i = 0; i < 3; i++)
        ck_assert_int_eq(kill(pids[i], SIGSTOP), 0);
    daemon_wait(&d, are_stopped, pids, "all processes are stopped");

    cut(_i);
    if (daemon_run(&d, "status", NULL) != 0) {
        ck_assert_int_eq(strncmp(d.output, "reeve: [emerg] ", 15), 0);
        daemon_expect_output(&d, "logs/stats.zone\" was cut off");
    }
    for (int i = 0; i < 3; i++)
        ck_assert_int_eq(kill(pids[i], SIGCONT), 0);
    wait_repaired(1);
    expect_counts(3, 3);
}
END_TEST

int
main(void)
{
    Suite *s = suite_create("zone_cut");
    TCase *tc = daemon_case(s, "zone_cut");

    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_add_loop_test(tc, a_daemon_at_rest_loses_nothing, 0, WAYS);
    tcase_add_test(tc, a_daemon_under_load_loses_nothing);
    tcase_add_loop_test(tc, what_the_dead_have_counted_is_not_lost, 0, WAYS);
    tcase_add_loop_test(tc, a_generation_that_drains_loses_nothing, 0, 2 * WAYS);
    tcase_add_loop_test(tc, who_looks_from_outside_does_not_die_either, 0, WAYS);
    return daemon_main(s);
}
