/*
 * test_outside: `reeve status`, which shows a daemon without asking it.
 */
#include "json.h"
#include "look.h"
#include "test_http.h"

#include "rv_shm.h"

#include <signal.h>

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

/* So many workers, and this zone for the counters. */
static void
configure(int workers, const char *zone)
{
    daemon_conff(&d,
        "[main]\nworker_processes = %d\nerror_log = logs/error.log info\npid = logs/reeve.pid\n"
        "working_directory = %s\n[zone stats]\ntype = %s\n%s",
        workers, d.prefix, zone, DAEMON_HTTP);
}

static void
start(int workers, const char *zone)
{
    configure(workers, zone);
    daemon_start(&d);
}

/* The object that -j prints. */
static const char *
status_json(void)
{
    ck_assert_msg(daemon_run(&d, "status", "-j", NULL) == 0, "%s", d.output);
    const char *wrong = json_check(d.output);
    ck_assert_msg(wrong == NULL, "not JSON from here on:\n%s", wrong);
    return d.output;
}

static double
number_of(int worker, const char *name)
{
    char path[64];

    snprintf(path, sizeof(path), "workers/%d/%s", worker, name);
    return json_number(d.output, path);
}

static int
worker_is(int worker, const char *name, const char *text)
{
    char path[64];

    snprintf(path, sizeof(path), "workers/%d/%s", worker, name);
    return json_is(d.output, path, text);
}

static void
ask(int times)
{
    char text[1024];

    for (int i = 0; i < times; i++)
        ck_assert_int_eq(daemon_get(&d, "/hello", text, sizeof(text)), 200);
}

/* A new connection that keeps its worker busy until finish(). */
static int
begin(void)
{
    return http_open(&d, "GET /hello HTTP/1.1\r\nHost: x\r\n");
}

static void
finish(int fd)
{
    char text[1024];

    http_send(fd, "\r\n");
    ck_assert_int_eq(daemon_answer(fd, text, sizeof(text), 0), 200);
    close(fd);
}

/* Until all is counted that was asked: so many that begin() has made are there, and no
 * other connection. */
static void
wait_for_reading(int count)
{
    look_t look;

    look_open(&d, &look);
    look_wait(&d, &look, "connections", "reading", count);
    look_wait_connections(&d, &look, count);
    look_close(&look);
}

/* --- what is shown --------------------------------------------------------------------- */

typedef struct {
    unsigned worker, slot, generation;
    long pid;
    char state[16], up[24], beat[24];
    unsigned long connections, requests, restarts;
} row_t;

/* The rows of the table, which come after the line of titles; how many. */
static int
read_rows(row_t *rows, int room)
{
    const char *p = strstr(d.output, "\nworker  slot "), *end;
    int n = 0;

    if (p == NULL)
        p = strstr(d.output, "\n worker");
    ck_assert_msg(
        p != NULL && (end = strstr(p, "\n\ntotals\n")) != NULL, "no table:\n%s", d.output);
    for (p = strchr(p + 1, '\n'); p != NULL && p < end; p = strchr(p + 1, '\n'), n++) {
        row_t row;

        ck_assert_msg(sscanf(p, "%u %u %ld %u %15s %23s %23s %lu %lu %lu\n", &row.worker, &row.slot,
                          &row.pid, &row.generation, row.state, row.up, row.beat, &row.connections,
                          &row.requests, &row.restarts)
                == 10,
            "not a row of the table:%.200s", p);
        ck_assert_int_lt(n, room);
        rows[n] = row;
    }
    return n;
}

static int
has_line(const char *begin, unsigned long value)
{
    const char *line = strstr(d.output, begin);
    unsigned long found;

    return line != NULL && sscanf(line + strlen(begin), " %lu\n", &found) == 1 && found == value;
}

static int
is_replaced(daemon_t *unused, void *data)
{
    pid_t pid = 0;

    return daemon_children(unused->master, &pid, 1) == 1 && pid != *(pid_t *) data;
}

START_TEST(table_has_master_workers_and_totals)
{
    char wanted[64];
    row_t row[4];
    pid_t first;

    start(1, look_type());
    ask(3);
    wait_for_reading(0);
    first = daemon_worker(&d);
    ck_assert_int_eq(kill(first, SIGKILL), 0);
    daemon_wait(&d, is_replaced, &first, "another worker is there");
    daemon_wait_workers(&d, 1);
    ask(2);
    int fd = begin();
    ask(1);
    wait_for_reading(1);

    ck_assert_int_eq(daemon_run(&d, "status", NULL), 0);
    snprintf(wanted, sizeof(wanted), "master   pid %ld, up 00:0", (long) d.master);
    ck_assert_msg(strncmp(d.output, wanted, strlen(wanted)) == 0, "%s", d.output);
    daemon_expect_output(&d, ", generation 1, heartbeat ");
    daemon_expect_output(&d, "\nreload   none yet\n");
    snprintf(wanted, sizeof(wanted), "\nzone     stats: %s, ", look_type());
    daemon_expect_output(&d, wanted);

    ck_assert_int_eq(read_rows(row, 4), 1);
    ck_assert_uint_eq(row[0].worker, 0);
    ck_assert_int_eq(row[0].pid, daemon_worker(&d));
    ck_assert_uint_eq(row[0].generation, 1);
    ck_assert_str_eq(row[0].state, "ready");
    ck_assert_uint_eq(row[0].connections, 1);
    ck_assert_uint_eq(row[0].requests, 4);
    ck_assert_uint_eq(row[0].restarts, 1);

    ck_assert_msg(has_line("  connections accepts", 7), "%s", d.output);
    ck_assert_msg(has_line("  connections reading", 1), "%s", d.output);
    ck_assert_msg(has_line("  http requests", 7), "%s", d.output);
    ck_assert_msg(has_line("  workers restarts{reason=\"signal\"}", 1), "%s", d.output);
    daemon_expect_output(&d, "  http request_duration                6  p50 ");
    finish(fd);
}
END_TEST

START_TEST(json_says_the_same)
{
    pid_t pids[4];
    double requests = 0;

    start(2, look_type());
    ask(5);
    int fd = begin();
    wait_for_reading(1);
    const char *text = status_json();

    ck_assert_int_eq((pid_t) json_number(text, "master/pid"), d.master);
    ck_assert_int_eq((int) json_number(text, "master/generation"), 1);
    ck_assert_int_ge((int) json_number(text, "master/uptime"), 0);
    ck_assert_int_eq(strncmp(json_at(text, "reload"), "null", 4), 0);
    ck_assert_int_eq(json_count(text, "workers"), 2);
    ck_assert_int_eq(daemon_children(d.master, pids, 4), 2);
    for (int i = 0; i < 2; i++) {
        ck_assert_int_eq((int) number_of(i, "worker"), i);
        ck_assert_int_eq((pid_t) number_of(i, "pid"), pids[i]);
        ck_assert_int_eq((int) number_of(i, "restarts"), 0);
        ck_assert(worker_is(i, "state", "ready"));
        ck_assert_double_ge(number_of(i, "heartbeat_age"), 0);
        ck_assert(number_of(i, "requests") == number_of(i, "values/http/requests"));
        requests += number_of(i, "requests");
    }
    ck_assert(requests == json_number(text, "totals/http/requests") && requests == 6);
    ck_assert(json_number(text, "totals/connections/accepts") == 6);
    ck_assert(json_number(text, "totals/connections/reading") == 1);
    ck_assert(json_number(text, "totals/http/request_duration/count") == 5);
    ck_assert(json_number(text, "totals/http/request_duration/p50")
        <= json_number(text, "totals/http/request_duration/max"));
    ck_assert(json_is(text, "zones/0/name", "stats"));
    ck_assert(json_is(text, "zones/0/type", look_type()));
    finish(fd);
}
END_TEST

static int
prints(daemon_t *unused, void *data)
{
    ck_assert_int_eq(daemon_run(unused, "status", "-s", NULL), 0);
    return strcmp(unused->output, data) == 0;
}

START_TEST(stub_status_is_the_page_s)
{
    char wanted[512];
    daemon_status_t s;

    start(2, look_type());
    ask(2);
    int fd = http_connect(&d);
    http_wait_counts(fd, 0, 1, 0, &s);
    s.writing--; /* once it has its answer */
    s.waiting++;
    http_format_status(&s, wanted, sizeof(wanted));
    daemon_wait(&d, prints, wanted, wanted);
    close(fd);
}
END_TEST

/* --- states ---------------------------------------------------------------------------- */

static int
has_rows(daemon_t *unused, void *data)
{
    row_t row[8];

    ck_assert_int_eq(daemon_run(unused, "status", NULL), 0);
    return read_rows(row, 8) == *(int *) data;
}

/* Two generations with memory of their own. */
START_TEST(workers_that_drain_are_shown_and_counted)
{
    int rows = 2;
    row_t row[8];

    start(2, look_type());
    ask(4);
    int fd = begin();
    daemon_status_t s;
    do
        daemon_status(&d, &s);
    while (s.reading != 1);

    configure(1, rv_shm_type("posix") == NULL ? look_type() : "posix\nsize = 8m");
    ck_assert_int_eq(kill(d.master, SIGHUP), 0);
    daemon_wait_log(&d, "reload done", 1);
    daemon_wait(&d, has_rows, &rows, "the old worker that has nothing to finish is gone");
    ck_assert_int_eq(read_rows(row, 8), 2);
    for (int i = 0; i < 2; i++) {
        int old = row[i].generation == 1;

        ck_assert_uint_eq(row[i].generation, old ? 1 : 2);
        ck_assert_str_eq(row[i].state, old ? "draining" : "ready");
        ck_assert_uint_eq(row[i].connections, old ? 1 : 0);
    }
    ck_assert_uint_eq(row[0].generation + row[1].generation, 3);
    ask(3);
    status_json();
    ck_assert(json_number(d.output, "totals/http/requests") == (double) s.requests + 3);
    ck_assert(json_number(d.output, "totals/connections/accepts") == (double) s.accepts + 3);
    ck_assert(json_number(d.output, "totals/connections/reading") == 1);
    ck_assert_int_eq(json_count(d.output, "zones"), 1); /* the one in force */

    finish(fd);
    daemon_wait_log(&d, "generation 1 is gone", 1);
    status_json();
    ck_assert_int_eq(json_count(d.output, "workers"), 1);
    ck_assert_int_eq(json_count(d.output, "zones"), 1);
    ck_assert(json_number(d.output, "totals/http/requests") == (double) s.requests + 3);
    ck_assert(
        json_number(d.output, "totals/http/request_duration/count") == (double) s.requests + 3);
    ck_assert(json_number(d.output, "totals/connections/reading") == 0);
}
END_TEST

START_TEST(workers_that_start_are_shown)
{
    row_t row[8];
    const char *hold = daemon_path(&d, "hold");

    setenv("RV_TEST_HOLD", hold, 1);
    daemon_preload(&d, "preload_worker");
    start(1, look_type());
    daemon_write(hold, "", 0);
    ck_assert_int_eq(kill(d.master, SIGHUP), 0);
    daemon_wait_workers(&d, 2);
    ck_assert_int_eq(daemon_run(&d, "status", NULL), 0);
    ck_assert_int_eq(read_rows(row, 8), 2);
    ck_assert_uint_eq(row[0].generation, 1);
    ck_assert_str_eq(row[0].state, "ready");
    ck_assert_uint_eq(row[1].generation, 2);
    ck_assert_str_eq(row[1].state, "starting");
    ck_assert_int_eq(unlink(hold), 0);
    daemon_wait_log(&d, "generation 1 is gone", 1);
}
END_TEST

START_TEST(process_without_a_master_is_shown)
{
    row_t row[4];

    daemon_conff(&d,
        "[main]\nmaster_process = off\npid = logs/reeve.pid\n[zone stats]\ntype = %s\n%s",
        look_type(), DAEMON_HTTP);
    daemon_start(&d);
    ask(2);
    wait_for_reading(0);
    ck_assert_int_eq(daemon_run(&d, "status", NULL), 0);
    ck_assert_int_eq(read_rows(row, 4), 1);
    ck_assert_int_eq(row[0].pid, d.master);
    ck_assert_uint_eq(row[0].requests, 2);
    ck_assert(json_number(status_json(), "master/pid") == d.master);
}
END_TEST

START_TEST(last_reload_is_shown_with_its_reason)
{
    static const char reason[] = "\"unknown directive \\\"worker_proceses\\\" in ";

    start(1, look_type());
    ck_assert_int_eq(strncmp(json_at(status_json(), "reload"), "null", 4), 0);
    daemon_reload(&d);
    status_json();
    ck_assert(json_is(d.output, "reload/result", "done"));
    ck_assert_int_eq((int) json_number(d.output, "master/generation"), 2);
    ck_assert_int_le(labs((long) json_number(d.output, "reload/time") - (long) time(NULL)), 60);

    daemon_conff(&d, "[main]\npid = logs/reeve.pid\nworker_proceses = 2\n%s", DAEMON_HTTP);
    ck_assert_int_eq(kill(d.master, SIGHUP), 0);
    daemon_wait_log(&d, "reload failed", 1);
    status_json();
    ck_assert(json_is(d.output, "reload/result", "failed"));
    ck_assert_int_eq(strncmp(json_at(d.output, "reload/text"), reason, strlen(reason)), 0);
    ck_assert_int_eq((int) json_number(d.output, "reload/count"), 2);
    ck_assert_int_eq((int) json_number(d.output, "master/generation"), 2);
    ck_assert_int_eq(daemon_run(&d, "status", NULL), 0);
    daemon_expect_output(&d, ", failed: unknown directive \"worker_proceses\" in ");
}
END_TEST

int
main(void)
{
    Suite *s = suite_create("outside");
    TCase *tc = daemon_case(s, "outside");

    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_add_test(tc, table_has_master_workers_and_totals);
    tcase_add_test(tc, json_says_the_same);
    tcase_add_test(tc, stub_status_is_the_page_s);
    tcase_add_test(tc, workers_that_drain_are_shown_and_counted);
    tcase_add_test(tc, workers_that_start_are_shown);
    tcase_add_test(tc, process_without_a_master_is_shown);
    tcase_add_test(tc, last_reload_is_shown_with_its_reason);
    return daemon_main(s);
}
