/*
 * test_zones: the counters' memory over restarts and reloads.
 */
#include "json.h"
#include "load.h"
#include "look.h"
#include "test_http.h"

#include "rv_shm.h"

#include <signal.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>

#define FILE_ZONE "file\npath = logs/stats.zone"

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
configure(int workers, const char *zone)
{
    daemon_conff(&d,
        "[main]\nworker_processes = %d\nerror_log = logs/error.log info\npid = logs/reeve.pid\n"
        "[zone stats]\ntype = %s\n"
        "[http]\nlisten = 127.0.0.1:%d\nkeepalive_requests = 1000000000\n"
        "[location /hello]\nhandler = return\nreturn = 200 hello\n%s",
        workers, zone, d.port, LOAD_PAGES);
}

static void
start(int workers, const char *zone)
{
    configure(workers, zone);
    daemon_start(&d);
}

static void
ask(int times)
{
    char text[1024];

    for (int i = 0; i < times; i++)
        ck_assert_int_eq(daemon_get(&d, "/hello", text, sizeof(text)), 200);
}

static int64_t
number(const char *path)
{
    ck_assert_msg(daemon_run(&d, "status", "-j", NULL) == 0, "%s", d.output);
    ck_assert_ptr_null(json_check(d.output));
    return (int64_t) json_number(d.output, path);
}

static int
is_counted(daemon_t *unused, void *data)
{
    (void) unused;
    return number("totals/http/request_duration/count") == *(int64_t *) data;
}

/* So many requests of ask() so far, all over. */
static void
expect_counts(int64_t count)
{
    daemon_wait(&d, is_counted, &count, "all requests are counted");
    ck_assert_int_eq((int64_t) json_number(d.output, "totals/connections/accepts"), count);
    ck_assert_int_eq((int64_t) json_number(d.output, "totals/connections/handled"), count);
    ck_assert_int_eq((int64_t) json_number(d.output, "totals/http/requests"), count);
}

static void
quit(void)
{
    daemon_signal(&d, "quit");
    daemon_wait_gone(&d);
}

static void
kill_all(void)
{
    pid_t pids[16];
    int n = daemon_children(d.master, pids, 16);

    ck_assert_int_eq(kill(d.master, SIGKILL), 0);
    for (int i = 0; i < n; i++)
        ck_assert_int_eq(kill(pids[i], SIGKILL), 0);
    daemon_wait_gone(&d);
    for (int i = 0; i < n; i++)
        (void) daemon_wait_process(&d, pids[i]);
}

/* --- restarts ---------------------------------------------------------------------------- */

/* With more workers, fewer, and another size. */
START_TEST(counters_in_a_file_go_on_after_a_restart)
{
    static const char *const zones[] = { FILE_ZONE, FILE_ZONE, FILE_ZONE "\nsize = 8m",
        FILE_ZONE "\nsize = 8m", FILE_ZONE };
    static const int workers[] = { 2, 4, 1, 2, 1 };
    int64_t asked = 0;

    for (int i = 0; i < 5; i++) {
        start(workers[i], zones[i]);
        expect_counts(asked);
        ask(3);
        asked += 3;
        expect_counts(asked);
        ck_assert_int_eq(
            number("zones/0/size") == INT64_C(8) << 20, strstr(zones[i], "8m") != NULL);
        if (_i == 0)
            quit();
        else
            kill_all();
    }
    if (access(d.pid, F_OK) == 0)
        ck_assert_int_eq(unlink(d.pid), 0);
    ck_assert_int_eq(access(daemon_path(&d, "logs/stats.zone.new"), F_OK), -1);
    ck_assert_int_eq(daemon_log_count(&d, "[error]"), 0);
    ck_assert_int_eq(daemon_log_count(&d, "[warn]"), 0);
}
END_TEST

START_TEST(connections_of_a_killed_daemon_do_not_count)
{
    start(2, FILE_ZONE);
    ask(2);
    expect_counts(2);
    int reading = http_open(&d, "GET /hello"), waiting = http_connect(&d);
    look_t look;
    look_open(&d, &look);
    look_wait(&d, &look, "connections", "reading", 1);
    look_wait(&d, &look, "connections", "waiting", 1);
    look_close(&look);
    kill_all();
    close(reading);
    close(waiting);

    daemon_start(&d);
    ck_assert_int_eq(number("totals/connections/reading"), 0);
    ck_assert_int_eq(number("totals/connections/waiting"), 0);
    ck_assert_int_eq(number("totals/connections/accepts"), 4);
    ck_assert_int_eq(number("totals/http/requests"), 3);
}
END_TEST

/* A worker that was killed, too: what it has counted is in the file. */
START_TEST(what_a_killed_worker_counted_survives_a_restart)
{
    start(1, FILE_ZONE);
    ask(5);
    expect_counts(5);
    ck_assert_int_eq(kill(daemon_worker(&d), SIGKILL), 0);
    daemon_wait_log(&d, "worker 0 started", 2);
    ask(2);
    expect_counts(7);
    kill_all();
    daemon_start(&d);
    expect_counts(7);
    ck_assert_int_eq(number("totals/workers/restarts/signal"), 1);
}
END_TEST

/* --- reloads --------------------------------------------------------------------------- */

START_TEST(counters_go_on_when_the_file_gets_another_size)
{
    static const char *const zones[] = { FILE_ZONE "\nsize = 8m", FILE_ZONE, FILE_ZONE };
    int64_t asked = 2;

    start(2, FILE_ZONE);
    ask(2);
    for (int i = 0; i < 3; i++) {
        configure(2, zones[i]);
        daemon_reload(&d);
        expect_counts(asked);
        ask(1);
        asked++;
    }
    quit();
    daemon_start(&d);
    expect_counts(asked);
}
END_TEST

/* What is counted now goes on, not what the file says. */
START_TEST(a_reload_takes_a_file_that_was_left_behind)
{
    start(1, FILE_ZONE);
    ask(7);
    expect_counts(7);
    quit();
    start(1, look_type());
    ask(2);
    expect_counts(2);
    configure(1, FILE_ZONE);
    daemon_reload(&d);
    expect_counts(2);
    quit();
    daemon_start(&d);
    expect_counts(2);
}
END_TEST

/* Under load, the number of workers, the type and the size all change. */
START_TEST(reloads_lose_no_count_under_load)
{
    static const char *const zones[] = { FILE_ZONE, FILE_ZONE "\nsize = 8m", "posix", "auto",
        "anon" };
    static const int workers[] = { 1, 4, 2, 1, 4 };

    start(4, look_type());
    load_t *load = load_create(&d);
    load_add(load, LOAD_KEPT, 1);
    load_add(load, LOAD_FRESH, 2);
    load_add(load, LOAD_PIPELINED, 1);
    load_add(load, LOAD_STATUS, 1);
    load_wait_answers(&d, load, 10);
    for (int i = 0; i < 20; i++) {
        char type[16];

        if (sscanf(zones[i % 5], "%15s", type) != 1 || rv_shm_type(type) == NULL)
            continue;
        configure(workers[i % 4], _i == 0 ? look_type() : zones[i % 5]);
        daemon_reload(&d);
        load_wait_answers(&d, load, 3);
    }
    configure(4, look_type());
    daemon_reload(&d);
    load_stop(&d, load);

    load_sum_t sum = load_sum(load);
    if (sum.failures > 0)
        load_print(load);
    ck_assert_uint_eq(sum.failures, 0);
    int64_t answered = (int64_t) sum.answered;
    daemon_wait(&d, is_counted, &answered, "all requests are counted");
    ck_assert_int_eq(number("totals/http/requests"), answered);
    ck_assert_int_eq(number("totals/connections/accepts"), (int64_t) sum.opened);
    ck_assert_int_eq(number("totals/connections/handled"), (int64_t) sum.opened);
}
END_TEST

/* --- files that are not ours ------------------------------------------------------------ */

static void
expect_no_start(const char *message)
{
    ck_assert_int_eq(daemon_run(&d, NULL), 1);
    daemon_expect_output(&d, message);
    ck_assert_int_eq(access(d.pid, F_OK), -1);
    ck_assert_int_eq(daemon_connect(&d), -1);
}

START_TEST(file_that_is_no_zone_is_refused_and_left_as_it_is)
{
    static const char *const contents[] = { "not a zone", "all work and no play\n" };
    const char *path = daemon_path(&d, "logs/stats.zone");
    char all[64 * 1024] = "";

    for (int i = 0; i < 2; i++) {
        while (i == 1 && strlen(all) + 32 < sizeof(all))
            strcat(all, contents[i]);
        if (i == 0)
            strcpy(all, contents[i]);
        daemon_write(path, all, strlen(all));
        configure(1, FILE_ZONE);
        expect_no_start("zone \"stats\": \"");
        daemon_expect_output(&d, "logs/stats.zone\" is not a zone\n");
        char *now = daemon_read(path);
        ck_assert_str_eq(now, all);
        free(now);
    }

    /* nor does a reload take it */
    start(1, look_type());
    ask(1);
    configure(1, FILE_ZONE);
    ck_assert_int_eq(kill(d.master, SIGHUP), 0);
    daemon_wait_log(&d, "reload failed, generation 1 goes on: zone \"stats\"", 1);
    expect_counts(1);
    char *now = daemon_read(path);
    ck_assert_str_eq(now, all);
    free(now);
}
END_TEST

START_TEST(file_in_use_by_another_daemon_is_refused)
{
    char conf[1024];

    start(1, FILE_ZONE);
    ask(3);
    snprintf(conf, sizeof(conf),
        "[main]\npid = logs/other.pid\n[zone stats]\ntype = " FILE_ZONE
        "\n[http]\nlisten = 127.0.0.1:%d\n",
        daemon_free_port());
    daemon_write(daemon_path(&d, "other.conf"), conf, strlen(conf));
    ck_assert_int_eq(daemon_run_bare(&d, "-p", d.prefix, "-c", "other.conf", NULL), 1);
    daemon_expect_output(&d, "logs/stats.zone\" is in use\n");
    ask(1);
    expect_counts(4);
}
END_TEST

START_TEST(daemon_goes_on_when_its_file_is_unlinked_or_replaced)
{
    const char *path = daemon_path(&d, "logs/stats.zone");

    start(2, FILE_ZONE);
    ask(3);
    expect_counts(3);
    ck_assert_int_eq(unlink(path), 0);
    ask(1);
    expect_counts(4);
    daemon_write(path, "text", 4);
    ask(1);
    expect_counts(5);
    quit();
    char *now = daemon_read(path);
    ck_assert_str_eq(now, "text");
    free(now);
    expect_no_start("is not a zone");
}
END_TEST

/* --- pages ------------------------------------------------------------------------------- */

START_TEST(pages_that_cannot_be_had_are_a_warning)
{
    char *pool = daemon_read("/proc/sys/vm/nr_hugepages");
    int none = pool == NULL || atoi(pool) == 0;
    const char *types[] = { look_type(), "anon", FILE_ZONE };
    char zone[128];

    free(pool);
    snprintf(zone, sizeof(zone), "%s\nhugepages = on", types[_i]);
    start(1, zone);
    ask(2);
    if (_i == 2 || none) /* files have none */
        ck_assert_int_eq(daemon_file_count(d.terminal, "[warn]"), 1);
    ck_assert_int_eq(daemon_file_count(d.terminal, "no huge pages for "),
        daemon_file_count(d.terminal, "[warn]"));
    char text[1024];
    daemon_status_t s;
    daemon_status(&d, &s);
    ck_assert_uint_eq(s.accepts, 3);
    ck_assert_int_eq(daemon_get(&d, "/hello", text, sizeof(text)), 200);
}
END_TEST

/* AddressSanitizer's mlock does nothing. */
static int
can_lock(void)
{
    static char page[3 * 4096];
    char locked[64];

    if (mlock(page, sizeof(page)) == -1)
        return 0;
    int kept = atoi(daemon_proc_status(getpid(), "VmLck", locked, sizeof(locked)));
    ck_assert_int_eq(munlock(page, sizeof(page)), 0);
    return kept > 0;
}

START_TEST(memory_that_cannot_be_kept_is_a_warning)
{
    const struct rlimit none = { 0, 0 };
    char zone[128];

    if (!can_lock())
        return;
    if (geteuid() == 0)
        ck_assert_int_eq(chmod(daemon_path(&d, "logs"), 0777), 0);
    ck_assert_int_eq(setrlimit(RLIMIT_MEMLOCK, &none), 0);
    d.unprivileged = 1;
    snprintf(zone, sizeof(zone), "%s\nmlock = on", look_type());
    start(1, zone);
    ask(2);
    expect_counts(2);
    ck_assert_int_eq(daemon_file_count(d.terminal, "[warn]"), 1);
    ck_assert_int_eq(daemon_file_count(d.terminal, "zone \"stats\": mlock of "), 1);
}
END_TEST

START_TEST(memory_is_kept_where_that_is_allowed)
{
    char zone[128], locked[64];

    if (geteuid() != 0 || !can_lock())
        return;
    snprintf(zone, sizeof(zone), "%s\nmlock = on", look_type());
    start(1, zone);
    if (daemon_file_count(d.terminal, "mlock of ") == 0) /* without CAP_IPC_LOCK it may fail */
        ck_assert_int_ge(atoi(daemon_proc_status(d.master, "VmLck", locked, sizeof(locked))), 4096);
    ask(1);
    expect_counts(1);
}
END_TEST

int
main(void)
{
    Suite *s = suite_create("zones");
    TCase *tc = daemon_case(s, "zones");

    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_add_loop_test(tc, counters_in_a_file_go_on_after_a_restart, 0, 2);
    tcase_add_test(tc, connections_of_a_killed_daemon_do_not_count);
    tcase_add_test(tc, what_a_killed_worker_counted_survives_a_restart);
    tcase_add_test(tc, counters_go_on_when_the_file_gets_another_size);
    tcase_add_test(tc, a_reload_takes_a_file_that_was_left_behind);
    tcase_add_loop_test(tc, reloads_lose_no_count_under_load, 0, 2);
    tcase_add_test(tc, file_that_is_no_zone_is_refused_and_left_as_it_is);
    tcase_add_test(tc, file_in_use_by_another_daemon_is_refused);
    tcase_add_test(tc, daemon_goes_on_when_its_file_is_unlinked_or_replaced);
    tcase_add_loop_test(tc, pages_that_cannot_be_had_are_a_warning, 0, 3);
    tcase_add_test(tc, memory_that_cannot_be_kept_is_a_warning);
    tcase_add_test(tc, memory_is_kept_where_that_is_allowed);
    return daemon_main(s);
}
