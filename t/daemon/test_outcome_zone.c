/*
 * test_outcome_zone: what a word of -s can tell of memory that changes or is not to be seen; and a
 * storm of signals.
 */
#include "load.h"
#include "look.h"

#include "rv_process.h"
#include "rv_shm.h"
#include "rv_stats_outcome.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static daemon_t d;

static void
configure(int workers, const char *type)
{
    daemon_conff(&d,
        "[main]\nworker_processes = %d\nerror_log = logs/error.log notice\npid = logs/reeve.pid\n"
        "[zone stats]\ntype = %s\n[http]\nkeepalive_requests = 1000000\nlisten = 127.0.0.1:%d\n"
        "keepalive_min_timeout = 300ms\n%s",
        workers, type, d.port, LOAD_PAGES);
}

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
expect(int status, const char *output, const char *word)
{
    int is = daemon_run(&d, "-s", word, NULL);

    ck_assert_msg(is == status, "-s %s: exit status %d, not %d\n%s", word, is, status, d.output);
    ck_assert_str_eq(d.output, output);
}

/* --- memory ------------------------------------------------------------------------------------- */

static const char *const unseen[] = { "anon", "devzero", "sysv" };

static void
only_sent(char *text, size_t room)
{
    snprintf(text, room,
        "reeve: [warn] only the signal was sent: the counters of process %ld cannot be mapped from "
        "outside, and what becomes of it is in its log\n",
        (long) d.master);
}

START_TEST(of_memory_that_cannot_be_seen_only_the_signal_is_told)
{
    char wanted[512], text[1024];

    if (rv_shm_type(unseen[_i]) == NULL)
        return; /* not in this build */
    configure(2, unseen[_i]);
    daemon_start(&d);
    only_sent(wanted, sizeof(wanted));
    expect(0, wanted, "reload");
    daemon_wait_log(&d, "reload done, generation 2", 1);
    expect(0, wanted, "reopen");
    daemon_wait_log(&d, "reopening logs", 1);

    daemon_conff(&d, "[main]\nworker_proceses = 2\npid = logs/reeve.pid\n%s", DAEMON_HTTP);
    snprintf(text, sizeof(text), "reeve: [emerg] unknown directive \"worker_proceses\" in %s:2\n%s",
        d.conf, wanted);
    expect(1, text, "reload");
    daemon_wait_log(&d, "reload failed", 1);
    expect(0, "", "quit"); /* for which no memory is needed */
    daemon_wait_gone(&d);
}
END_TEST

START_TEST(reload_that_changes_the_memory_is_told_all_the_same)
{
    static const char *const types[] = { "memfd", "file\npath = logs/a.zone", "posix",
        "file\npath = logs/b.zone", "memfd", "posix" };
    unsigned generation = 1;

    configure(2, look_type());
    daemon_start(&d);
    for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++) {
        char line[64];

        if (strncmp(types[i], "file", 4) != 0 && rv_shm_type(types[i]) == NULL)
            continue;
        configure(2, types[i]);
        expect(0, "", "reload");
        generation++;
        snprintf(line, sizeof(line), "reload done, generation %u", generation);
        ck_assert_int_eq(daemon_log_count(&d, line), 1);
        daemon_conff(&d, "[main]\nnonsense = 1\npid = logs/reeve.pid\n");
        ck_assert_int_eq(daemon_run(&d, "-s", "reload", NULL), 1);
        daemon_expect_output(&d, "reeve: [emerg] reload failed: unknown directive \"nonsense\"");
    }
    ck_assert_int_eq(daemon_run(&d, "status", NULL), 0);
}
END_TEST

/* The outcome is written where nobody sees it; but it is not waited for in vain. */
START_TEST(reload_to_memory_that_cannot_be_seen_is_not_waited_for)
{
    if (rv_shm_type("anon") == NULL)
        return;
    configure(2, look_type());
    daemon_start(&d);
    configure(2, "anon");
    ck_assert_msg(daemon_run(&d, "-s", "reload", "-w", "50", NULL) == 0, "%s", d.output);
    daemon_wait_log(&d, "reload done, generation 2", 1);
}
END_TEST

/* --- nobody, and a process without a master ------------------------------------------------------- */

static const char *const words[] = { "stop", "quit", "reload", "reopen", "upgrade" };

START_TEST(no_daemon_is_a_failure)
{
    char wanted[256];

    configure(2, look_type());
    snprintf(
        wanted, sizeof(wanted), "reeve: [emerg] not running: no process holds \"%s\"\n", d.pid);
    expect(1, wanted, words[_i]);
}
END_TEST

START_TEST(process_without_a_master_says_what_it_cannot_do)
{
    daemon_conff(&d,
        "[main]\nmaster_process = off\nerror_log = logs/error.log\npid = logs/reeve.pid\n"
        "[zone stats]\ntype = %s\n%s",
        look_type(), DAEMON_HTTP);
    daemon_start(&d);
    expect(0, "", "reopen");
    for (int i = 0; i < 2; i++) {
        const char *word = i == 0 ? "reload" : "upgrade";
        char told[64];

        ck_assert_msg(daemon_run(&d, "-s", word, NULL) == 1, "%s: %s", word, d.output);
        snprintf(told, sizeof(told), "reeve: [emerg] %s failed: ", word);
        daemon_expect_output(&d, told);
        daemon_expect_output(&d, "master_process");
    }
    expect(0, "", "quit");
    daemon_wait_gone(&d);
    ck_assert_int_eq(d.status, 0);
}
END_TEST

/* --- a storm -------------------------------------------------------------------------------------- */

enum { STORM = 1000, WORKERS = 2 };

typedef struct {
    rv_stats_outcome_t reload;
    rv_stats_master_t master;
} moment_t;

static moment_t
moment(const look_t *look)
{
    moment_t m;

    rv_stats_outcome(look->stats, RV_STATS_RELOAD, &m.reload);
    rv_stats_master(look->stats, &m.master);
    return m;
}

/* Those that do not drain; counts only what was seen while nothing began or ended. 0: it was not so. */
static int
count_workers(const look_t *look, int *count)
{
    rv_stats_view_t view;
    moment_t before = moment(look);

    look_take(look, &view);
    moment_t after = moment(look);
    *count = 0;
    for (unsigned i = 0; i < view.count; i++) {
        const rv_stats_owner_t *owner = &view.process[i].owner;

        *count += owner->worker < RV_STATS_UNKNOWN && owner->state != RV_PROCESS_DRAINING;
    }
    rv_stats_view_free(&view);
    return before.reload.begun == after.reload.begun
        && before.reload.finished == after.reload.finished
        && before.master.generation == after.master.generation;
}

START_TEST(storm_of_reloads_is_calmed)
{
    look_t look;
    int count, judged = 0, most = 0;

    configure(WORKERS, look_type());
    daemon_start(&d);
    load_t *load = load_create(&d);
    load_add(load, LOAD_FRESH, 1);
    load_add(load, LOAD_KEPT, 1);
    load_add(load, LOAD_STATUS, 1);
    load_wait_answers(&d, load, 5);

    look_open(&d, &look);
    for (int i = 0; i < STORM; i++) {
        ck_assert_int_eq(kill(d.master, SIGHUP), 0);
        if (!count_workers(&look, &count))
            continue;
        judged++;
        most = count > most ? count : most;
    }
    ck_assert_int_gt(judged, 0);
    ck_assert_msg(most <= 2 * WORKERS, "%d workers at a time", most);
    expect(0, "", "reload");
    moment_t end = moment(&look);
    ck_assert_uint_eq(end.reload.begun, end.reload.finished);
    ck_assert_uint_eq(end.master.generation, end.reload.finished + 1);
    look_close(&look);

    load_wait_answers(&d, load, 5);
    load_stop(&d, load);
    load_print(load);
    ck_assert_uint_eq(load_sum(load).failures, 0);
    daemon_wait_workers(&d, WORKERS);
    ck_assert_int_eq(daemon_log_count(&d, "reload failed"), 0);
    ck_assert_int_eq(daemon_log_count(&d, "reload done"), (int) end.reload.finished);
}
END_TEST

int
main(void)
{
    Suite *s = suite_create("outcome_zone");
    TCase *tc = daemon_case(s, "outcome_zone");

    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_add_loop_test(tc, of_memory_that_cannot_be_seen_only_the_signal_is_told, 0, 3);
    tcase_add_test(tc, reload_that_changes_the_memory_is_told_all_the_same);
    tcase_add_test(tc, reload_to_memory_that_cannot_be_seen_is_not_waited_for);
    tcase_add_loop_test(tc, no_daemon_is_a_failure, 0, 5);
    tcase_add_test(tc, process_without_a_master_says_what_it_cannot_do);
    tcase_add_test(tc, storm_of_reloads_is_calmed);
    return daemon_main(s);
}
