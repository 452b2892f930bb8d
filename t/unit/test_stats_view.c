/*
 * rv_stats_view: all that there is to show, as of one moment.
 *
 * What is shown of another layout is in test_stats_versions.
 */
#include "rv_stats_layout.h"
#include "stats_step.h"

#include <stdatomic.h>

enum { ROWS = 6 };

static const rv_stats_def_t all_defs[] = {
    { "accepts", RV_STATS_COUNTER, "" },
    { "requests", RV_STATS_COUNTER, "" },
    { "active", RV_STATS_GAUGE, "" },
    { "time", RV_STATS_HISTOGRAM, "" },
    { 0 },
};

enum { ACCEPTS, REQUESTS, ACTIVE, TIME };

static rv_stats_defs_t defs;
static rv_stats_t *st;

static void
setup(void)
{
    rv_stats_define(&defs, "m", all_defs);
    st = stats_of(&defs, ROWS);
}

static void
teardown(void)
{
    rv_stats_free(st);
}

static rv_stats_view_t
view_of(const rv_stats_t *of)
{
    rv_stats_view_t view;

    ck_assert_int_eq(rv_stats_view(of, &view), RV_OK);
    return view;
}

/* --- processes ---------------------------------------------------------------------------- */

START_TEST(processes_are_listed_by_worker_and_generation)
{
    static const struct {
        unsigned worker, generation;
    } order[ROWS - 1] = { { 0, 1 }, { 0, 2 }, { 1, 2 }, { 10, 1 }, { RV_STATS_MASTER, 2 } };
    static const int claimed[ROWS - 1] = { 4, 2, 1, 3, 0 };

    for (int i = 0; i < ROWS - 1; i++) {
        int n = claimed[i];
        const rv_stats_owner_t owner = { .worker = order[n].worker,
            .generation = order[n].generation,
            .slot = (unsigned) n,
            .state = n + 1,
            .started = 1700000000 + n,
            .restarts = (uint64_t) n * 2,
            .pid = 100 + n };
        unsigned row = stats_own(st);

        rv_stats_set_owner(st, row, &owner);
        stats_add(st, ACCEPTS, n + 1);
        rv_stats_heartbeat(st, 1000 + (uint64_t) n);
    }
    rv_stats_claim(st); /* nobody has been forked for this one */

    rv_stats_view_t view = view_of(st);
    ck_assert_uint_eq(view.count, ROWS - 1);
    ck_assert_uint_eq(view.totals[ACCEPTS], 1 + 2 + 3 + 4 + 5);
    for (unsigned i = 0; i < view.count; i++) {
        const rv_stats_process_t *p = &view.process[i];

        ck_assert_uint_eq(p->owner.worker, order[i].worker);
        ck_assert_uint_eq(p->owner.generation, order[i].generation);
        ck_assert_uint_eq(p->owner.slot, i);
        ck_assert_int_eq(p->owner.state, (int) i + 1);
        ck_assert_int_eq(p->owner.started, 1700000000 + i);
        ck_assert_uint_eq(p->owner.restarts, 2 * i);
        ck_assert_int_eq(p->owner.pid, 100 + (int) i);
        ck_assert_uint_eq(p->heartbeat, 1000 + i);
        ck_assert_uint_eq(p->values[ACCEPTS], i + 1);
        ck_assert_uint_eq(p->values[REQUESTS], 0);
    }
    rv_stats_view_free(&view);
    ck_assert_ptr_null(view.totals);
    rv_stats_view_free(&view); /* does no harm */
}
END_TEST

/* Also where the memory of the view has been in use before. */
START_TEST(histogram_of_a_process_has_what_it_observed_and_no_more)
{
    static const struct {
        uint64_t usec;
        unsigned times;
    } observed[] = { { 0, 0 }, { 0, 2 }, { 1000, 3 } };
    rv_stats_change_t changes[RV_STATS_OBSERVATION];

    for (unsigned i = 0; i < rv_countof(observed); i++) {
        unsigned row = stats_own(st);
        unsigned n = rv_stats_observe(st, TIME, observed[i].usec, observed[i].times, changes);

        rv_stats_set_owner(st, row, &(rv_stats_owner_t){ .worker = i, .pid = 100 });
        rv_stats_apply(st, changes, n);
    }
    rv_stats_view_t view = view_of(st);
    memset(view.values, 0xff, rv_countof(observed) * rv_stats_cells(st) * sizeof(*view.values));
    rv_stats_view_free(&view);

    view = view_of(st);
    ck_assert_uint_eq(view.count, rv_countof(observed));
    ck_assert_uint_eq(rv_stats_histogram_count(view.totals + TIME), 5);
    for (unsigned i = 0; i < view.count; i++) {
        const uint64_t *cells = view.process[i].values + TIME;

        ck_assert_uint_eq(rv_stats_histogram_count(cells), observed[i].times);
        ck_assert_uint_eq(
            cells[RV_STATS_HISTOGRAM_SUM], observed[i].usec * (uint64_t) observed[i].times);
        ck_assert_int_eq(rv_stats_histogram_is_empty(cells), observed[i].times == 0);
    }
    rv_stats_view_free(&view);
}
END_TEST

START_TEST(view_of_nobody_has_what_was_counted)
{
    unsigned row = stats_own(st);
    rv_stats_change_t changes[RV_STATS_OBSERVATION];

    stats_add(st, ACCEPTS, 7);
    stats_add(st, ACTIVE, 2);
    rv_stats_apply(st, changes, rv_stats_observe(st, TIME, 1000, 3, changes));
    ck_assert_int_eq(rv_stats_fold(st, row), RV_OK);
    rv_stats_view_t view = view_of(st);
    ck_assert_uint_eq(view.count, 0);
    ck_assert_uint_eq(view.totals[ACCEPTS], 7);
    ck_assert_uint_eq(view.totals[ACTIVE], 0);
    ck_assert_uint_eq(rv_stats_histogram_count(view.totals + TIME), 3);
    rv_stats_view_free(&view);
}
END_TEST

/* --- while others write and fold ---------------------------------------------------------- */

enum { ROUNDS = 60 };

typedef struct {
    atomic_uint_fast64_t bases[ROUNDS + 1]; /* what the base has been, or will be next */
    atomic_int count;
    atomic_uint_fast64_t views;
} report_t;

static report_t *report;

static void
write_for_ever(void)
{
    const rv_stats_change_t ended[] = { { ACTIVE, -1 } };
    rv_stats_change_t began[3 + RV_STATS_OBSERVATION] = { { ACCEPTS, 1 }, { REQUESTS, 2 },
        { ACTIVE, 1 } };

    for (uint64_t usec = 0;; usec++) {
        rv_stats_apply(st, began, 3 + rv_stats_observe(st, TIME, usec % 999, 1, began + 3));
        rv_stats_apply(st, ended, 1);
    }
}

/* Two requests and one observation for each connection. */
static int
is_one_state(const uint64_t *values)
{
    return values[REQUESTS] == 2 * values[ACCEPTS]
        && rv_stats_histogram_count(values + TIME) == values[ACCEPTS]
        && values[TIME + RV_STATS_HISTOGRAM_MAX] < 999;
}

static int
is_a_base(uint64_t accepts)
{
    for (int i = 0; i < report->count; i++) {
        if (report->bases[i] == accepts)
            return 1;
    }
    return 0;
}

/* What a view says, together with the one before. */
static int
is_sane(const rv_stats_view_t *view, uint64_t *last)
{
    uint64_t accepts = 0, active = 0;
    int sane = is_one_state(view->totals) && view->count <= ROWS && view->totals[ACCEPTS] >= *last;

    for (unsigned i = 0; i < view->count; i++) {
        const rv_stats_process_t *p = &view->process[i];

        sane = sane && is_one_state(p->values) && p->values[ACTIVE] <= 1
            && (i == 0 || p->owner.worker >= view->process[i - 1].owner.worker);
        accepts += p->values[ACCEPTS];
        active += p->values[ACTIVE];
    }
    *last = view->totals[ACCEPTS];
    return sane && view->totals[ACTIVE] == active && is_a_base(view->totals[ACCEPTS] - accepts);
}

static void
view_for_ever(void)
{
    uint64_t last = 0;

    for (;;) {
        rv_stats_view_t view;

        if (rv_stats_view(st, &view) != RV_OK || !is_sane(&view, &last))
            _exit(EXIT_FAILURE);
        rv_stats_view_free(&view);
        report->views++;
    }
}

static uint64_t
accepts_of(unsigned row)
{
    uint64_t values[RV_STATS_CELLS];
    rv_stats_owner_t owner;

    ck_assert_int_eq(rv_stats_row(st, row, &owner, values), RV_OK);
    return values[ACCEPTS];
}

static pid_t
start_writer(unsigned worker, unsigned *row)
{
    *row = stats_own(st);
    const rv_stats_owner_t owner = { .worker = worker, .pid = getpid() };
    rv_stats_set_owner(st, *row, &owner);
    return stats_spawn(write_for_ever);
}

START_TEST(totals_are_base_and_processes_in_each_view_while_writers_are_killed_and_folded)
{
    enum { WRITERS = 3 };
    unsigned rows[WRITERS];
    pid_t pids[WRITERS];
    uint64_t base = 0;

    report = stats_shared(sizeof(*report));
    report->count = 1; /* 0 */
    pid_t viewer = stats_spawn(view_for_ever);
    for (unsigned i = 0; i < WRITERS; i++)
        pids[i] = start_writer(i, &rows[i]);

    for (unsigned round = 0; round < ROUNDS; round++) {
        unsigned i = round % WRITERS;

        for (uint64_t want = report->views + 2; report->views < want;) {
            ck_assert_msg(waitpid(viewer, NULL, WNOHANG) == 0, "a view was no state");
            stats_moment();
        }
        stats_kill(pids[i]);
        base += accepts_of(rows[i]);
        report->bases[report->count] = base;
        report->count++;
        ck_assert_int_eq(rv_stats_fold(st, rows[i]), RV_OK);
        pids[i] = start_writer(i, &rows[i]);
    }
    stats_kill(viewer);
    for (unsigned i = 0; i < WRITERS; i++)
        stats_kill(pids[i]);
    ck_assert_uint_gt(base, ROUNDS);
}
END_TEST

/* --- the master --------------------------------------------------------------------------- */

START_TEST(result_of_the_last_reload_is_shown)
{
    char text[2000];
    time_t before = time(NULL);
    rv_stats_master_t master;

    rv_stats_master(st, &master);
    ck_assert_uint_eq(master.reloads, 0);
    rv_stats_set_master(st, 4711, 1700000000, 3);
    rv_stats_finish(st, RV_STATS_RELOAD, 1, "unknown directive \"x\" in f:3");
    rv_stats_master(st, &master);
    ck_assert_int_eq(master.master, 4711);
    ck_assert_int_eq(master.started, 1700000000);
    ck_assert_uint_eq(master.generation, 3);
    ck_assert_int_eq(master.reload_result, 1);
    ck_assert_uint_eq(master.reloads, 1);
    ck_assert_str_eq(master.reload_text, "unknown directive \"x\" in f:3");
    ck_assert_int_ge(master.reload_time, before);
    ck_assert_int_le(master.reload_time, time(NULL));

    memset(text, 'x', sizeof(text) - 1);
    text[sizeof(text) - 1] = '\0';
    rv_stats_finish(st, RV_STATS_RELOAD, 0, text);
    rv_stats_view_t view = view_of(st);
    ck_assert_uint_eq(strlen(view.master.reload_text), RV_STATS_TEXT - 1);
    ck_assert_uint_eq(view.master.reloads, 2);
    ck_assert_int_eq(view.master.reload_result, 0);
    ck_assert_int_eq(view.master.master, 4711);
    rv_stats_view_free(&view);
    ck_assert_int_eq(
        rv_stats_fold(st, stats_own(st)), RV_OK); /* the lock behind the text is sound */
}
END_TEST

static char old_text[RV_STATS_TEXT], new_text[RV_STATS_TEXT];

static void
reload(void)
{
    rv_stats_finish(st, RV_STATS_RELOAD, 2, new_text);
}

/* All of it is of the reload before, or of the last one; but where the writer is at it, the
 * reader comes back nevertheless, with some text. */
static void
look_at_reload(int steps)
{
    rv_stats_master_t master;

    rv_stats_master(st, &master);
    ck_assert_uint_le(strlen(master.reload_text), RV_STATS_TEXT - 1);
    if (st->header->outcome[RV_STATS_RELOAD].sequence % 2 != 0)
        return;

    int is_new = master.reloads == 2;
    ck_assert_msg(
        strcmp(master.reload_text, is_new ? new_text : old_text) == 0, "text after %d", steps);
    ck_assert_int_eq(master.reload_result, is_new ? 2 : 1);
}

START_TEST(text_of_a_reload_is_whole_wherever_its_writer_was_killed)
{
    step_path_t path;
    step_t s;
    rv_stats_master_t master;

    memset(old_text, 'a', RV_STATS_TEXT - 1);
    memset(new_text, 'b', RV_STATS_TEXT - 100);
    rv_stats_finish(st, RV_STATS_RELOAD, 1, old_text);
    step_init(&s, st->header, rv_stats_size(&defs, ROWS));
    step_save(&s);
    step_follow(&s, reload, look_at_reload, &path);
    for (int i = 0; i < path.changes; i += 1 + path.changes / 50) {
        step_kill_at(&s, reload, &path, i, look_at_reload);
        rv_stats_finish(st, RV_STATS_RELOAD, 3, "the next");
        ck_assert_uint_eq(st->header->outcome[RV_STATS_RELOAD].sequence % 2, 0);
        rv_stats_master(st, &master);
        ck_assert_str_eq(master.reload_text, "the next");
        ck_assert_int_eq(master.reload_result, 3);
    }
    step_free(&s);
}
END_TEST

static Suite *
stats_view_suite(void)
{
    Suite *suite = suite_create("stats_view");
    TCase *tcase = tcase_create("stats_view");

    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_set_timeout(tcase, 120);
    tcase_add_test(tcase, processes_are_listed_by_worker_and_generation);
    tcase_add_test(tcase, histogram_of_a_process_has_what_it_observed_and_no_more);
    tcase_add_test(tcase, view_of_nobody_has_what_was_counted);
    tcase_add_test(
        tcase, totals_are_base_and_processes_in_each_view_while_writers_are_killed_and_folded);
    tcase_add_test(tcase, result_of_the_last_reload_is_shown);
    tcase_add_test(tcase, text_of_a_reload_is_whole_wherever_its_writer_was_killed);

    suite_add_tcase(suite, tcase);
    return suite;
}

int
main(int argc, char **argv)
{
    (void) argc;
    step_bind_now(argv);
    return stats_run(stats_view_suite());
}
