/*
 * rv_stats in a file that somebody cuts off: nothing that the living have
 * counted is lost.
 *
 * What is there after a file was cut, and made as long as it was again, is
 * zeros from some place on. Here they are written by hand.
 */
#include "rv_stats_layout.h"
#include "stats_fixture.h"

#include <stdatomic.h>

enum { ROWS = 4, WRITERS = 2 };

static const rv_stats_def_t all_defs[] = {
    { "accepts", RV_STATS_COUNTER, "" },
    { "requests", RV_STATS_COUNTER, "" },
    { "active", RV_STATS_GAUGE, "" },
    { "time", RV_STATS_HISTOGRAM, "" },
    { 0 },
};

enum { ACCEPTS, REQUESTS, ACTIVE, TIME };

static rv_stats_defs_t defs;
static size_t size;
static char *memory;
static rv_stats_t *st;               /* the master's */
static rv_stats_t *writers[WRITERS]; /* each as in a process of its own */
static unsigned rows[WRITERS];

static void
forget(void)
{
    for (int i = 0; i < WRITERS; i++) {
        rv_stats_free(writers[i]);
        writers[i] = NULL;
    }
    rv_stats_free(st);
    st = NULL;
}

/* 7 of the dead, 10 and 20 of the living. */
static void
make(void)
{
    rv_stats_change_t changes[RV_STATS_OBSERVATION];

    forget();
    memset(memory, 0, size);
    st = rv_stats_create(memory, &defs, ROWS);
    ck_assert_ptr_nonnull(st);
    ck_assert_int_eq(rv_stats_save(st), RV_OK);
    rv_stats_set_master(st, 4711, 1700000000, 3);
    rv_stats_finish(st, RV_STATS_RELOAD, 0, "done");

    unsigned row = stats_own(st);
    stats_add(st, ACCEPTS, 7);
    rv_stats_apply(st, changes, rv_stats_observe(st, TIME, 500, 7, changes));
    ck_assert_int_eq(rv_stats_fold(st, row), RV_OK);

    for (int i = 0; i < WRITERS; i++) {
        rows[i] = stats_claim(st, getpid());
        writers[i] = rv_stats_attach(memory, size);
        ck_assert_ptr_nonnull(writers[i]);
        ck_assert_int_eq(rv_stats_own(writers[i], rows[i]), RV_OK);
        stats_add(writers[i], ACCEPTS, 10 * (i + 1));
        stats_add(writers[i], ACTIVE, i + 1);
        rv_stats_apply(writers[i], changes, rv_stats_observe(writers[i], TIME, 9000, 2, changes));
    }
}

static void
setup(void)
{
    rv_stats_define(&defs, "m", all_defs);
    size = rv_stats_size(&defs, ROWS);
    memory = stats_shared(size);
    make();
}

static void
teardown(void)
{
    forget();
    munmap(memory, size);
}

/* From the front to the end, as a file's pages are. */
static void
cut_off(size_t at)
{
    for (volatile char *p = memory + at; p < memory + size; p++)
        *p = 0;
}

static void
set_owners(void)
{
    for (int i = 0; i < WRITERS; i++) {
        const rv_stats_owner_t owner = { .worker = (unsigned) i, .pid = getpid() };
        rv_stats_set_owner(st, rows[i], &owner);
    }
}

static void
assert_totals(uint64_t accepts, uint64_t active, uint64_t times, size_t at)
{
    uint64_t values[RV_STATS_CELLS];

    rv_stats_snapshot(st, values, RV_STATS_CELLS);
    ck_assert_msg(values[ACCEPTS] == accepts && values[ACTIVE] == active
            && rv_stats_histogram_count(values + TIME) == times,
        "cut at %zu: %d accepts, %d active, %d times", at, (int) values[ACCEPTS],
        (int) values[ACTIVE], (int) rv_stats_histogram_count(values + TIME));
    ck_assert_uint_eq(values[TIME + RV_STATS_HISTOGRAM_MAX], 9000);
}

/* Both go on: one has something to count, the other only says that it is alive. */
static void
assert_all_is_back(size_t at)
{
    rv_stats_master_t master;

    set_owners();
    stats_add(writers[0], ACCEPTS, 1);
    rv_stats_heartbeat(writers[1], 1000);
    assert_totals(38, 3, 11, at);
    rv_stats_master(st, &master);
    ck_assert_int_eq(master.master, 4711);
    ck_assert_int_eq(master.started, 1700000000);
    ck_assert_uint_eq(master.generation, 3);
    ck_assert_uint_eq(master.reloads, 1);
    ck_assert_str_eq(master.reload_text, "done");

    /* and so it goes on */
    ck_assert_int_eq(rv_stats_fold(st, rows[0]), RV_OK);
    assert_totals(38, 2, 11, at);
    ck_assert_int_eq(rv_stats_fold(st, rows[1]), RV_OK);
    assert_totals(38, 0, 11, at);
    for (int i = 0; i < ROWS; i++)
        ck_assert_int_ge(rv_stats_claim(st), 0);
    ck_assert_uint_eq(rv_stats_recoveries(st), 0);
}

/* --- all at rest -------------------------------------------------------------------------- */

START_TEST(memory_cut_off_anywhere_is_as_it_was_when_its_owners_have_gone_on)
{
    for (size_t at = 0; at <= size; at += 4) {
        make();
        cut_off(at);
        ck_assert_int_eq(rv_stats_restore(st), RV_OK);
        assert_all_is_back(at);

        rv_stats_t *other = rv_stats_attach(memory, size);
        ck_assert_msg(other != NULL && rv_stats_same(other, &defs, ROWS), "cut at %zu", at);
        rv_stats_free(other);
    }
}
END_TEST

/* What the master may do before it has noticed. */

static void
fold_a_row(void)
{
    ck_assert_int_eq(rv_stats_fold(st, ROWS - 1), RV_OK);
}

static void
sweep(void)
{
    ck_assert_int_eq(rv_stats_sweep(st), RV_OK);
}

static void
save(void)
{
    ck_assert_int_eq(rv_stats_save(st), RV_OK);
}

static void
set_master(void)
{
    rv_stats_set_master(st, 4711, 1700000000, 3);
}

static void (*const early[])(void) = { fold_a_row, sweep, save, set_master };

START_TEST(nothing_is_built_on_what_was_cut_off)
{
    for (size_t at = 0; at <= size; at += 36) {
        make();
        cut_off(at);
        early[_i]();
        ck_assert_int_eq(rv_stats_restore(st), RV_OK);
        assert_all_is_back(at);
    }
}
END_TEST

START_TEST(copy_is_kept_up_to_date)
{
    unsigned row = stats_own(st);

    stats_add(st, ACCEPTS, 100);
    ck_assert_int_eq(rv_stats_fold(st, row), RV_OK);
    rv_stats_finish(st, RV_STATS_RELOAD, 1, "unknown directive");
    cut_off(0);
    ck_assert_int_eq(rv_stats_restore(st), RV_OK);
    set_owners();
    for (int i = 0; i < WRITERS; i++)
        rv_stats_heartbeat(writers[i], 1000);
    assert_totals(137, 3, 11, 0);

    rv_stats_master_t master;
    rv_stats_master(st, &master);
    ck_assert_uint_eq(master.reloads, 2);
    ck_assert_int_eq(master.reload_result, 1);
    ck_assert_str_eq(master.reload_text, "unknown directive");
    rv_stats_finish(st, RV_STATS_RELOAD, 0, "done"); /* it can be written as before */
    rv_stats_master(st, &master);
    ck_assert_str_eq(master.reload_text, "done");
}
END_TEST

/* It is cut off after the predecessor was retired, or before, and nobody has noticed. */
START_TEST(totals_of_a_predecessor_are_in_the_copy)
{
    rv_stats_t *old = stats_of(&defs, 1);
    unsigned row = stats_own(old);

    stats_add(old, ACCEPTS, 1000);
    rv_stats_succeed(st, old);
    ck_assert_int_eq(rv_stats_fold(old, row), RV_OK);
    if (_i == 1)
        cut_off(0);
    ck_assert_int_eq(rv_stats_retire(st, old), RV_OK);
    if (_i == 0)
        cut_off(0);
    ck_assert_int_eq(rv_stats_restore(st), RV_OK);
    set_owners();
    for (int i = 0; i < WRITERS; i++)
        rv_stats_heartbeat(writers[i], 1000);
    assert_totals(1037, 3, 11, 0);
    rv_stats_free(old);
}
END_TEST

static void
die_with_the_lock(void)
{
    if (rv_lock_acquire(&st->header->lock, NULL, NULL) != RV_OK)
        _exit(1);
}

START_TEST(death_with_the_new_lock_is_noticed)
{
    cut_off(0);
    ck_assert_int_eq(rv_stats_restore(st), RV_OK);
    stats_wait(stats_spawn(die_with_the_lock));
    ck_assert_int_eq(rv_stats_claim(st), 0);
    ck_assert_uint_eq(rv_stats_recoveries(st), 1);
}
END_TEST

/* A worker that starts just then looks up its values. */
START_TEST(values_are_found_while_their_names_are_cut_off)
{
    make();
    memset(memory, 0, size);
    ck_assert_int_eq(rv_stats_find(st, "m", "requests"), REQUESTS);
    ck_assert_int_eq(rv_stats_find(st, "m", "time"), TIME);
    ck_assert_str_eq(rv_stats_info(st, ACTIVE).name, "active");
    ck_assert_uint_eq(rv_stats_info(st, ACTIVE).kind, RV_STATS_GAUGE);
}
END_TEST

/* The kernel refuses to write where a file was cut off, and takes a connection for that. */
START_TEST(witness_is_where_nobody_can_cut_it_off)
{
    make();
    ck_assert_int_eq(rv_stats_keep_witnesses(st), RV_OK);
    uint64_t before = stats_total(st, ACCEPTS);
    unsigned row = stats_own(st);
    uint32_t *word = rv_stats_witness(st, ACCEPTS, 128);

    ck_assert((char *) word < memory || (char *) word >= memory + size);
    pid_t child = fork();
    if (child == 0) {
        *word = 16; /* as the kernel does for it */
        _exit(0);
    }
    ck_assert_int_eq(waitpid(child, NULL, 0), child);
    ck_assert_int_eq(rv_stats_fold(st, row), RV_OK);
    ck_assert_uint_eq(stats_total(st, ACCEPTS), before + 1);

    /* the next that has the row begins without one */
    ck_assert_uint_eq(stats_own(st), row);
    ck_assert_int_eq(rv_stats_fold(st, row), RV_OK);
    ck_assert_uint_eq(stats_total(st, ACCEPTS), before + 1);
}
END_TEST

START_TEST(what_was_never_saved_cannot_be_restored)
{
    rv_stats_t *other = rv_stats_attach(memory, size);

    ck_assert_int_eq(rv_stats_restore(other), RV_ERROR);
    assert_totals(37, 3, 11, 0);
    rv_stats_free(other);
}
END_TEST

/* --- while all are writing ---------------------------------------------------------------- */

typedef struct {
    atomic_ulong written[WRITERS];
    atomic_int stop;
} report_t;

static report_t *report;
static int number;

static void
write_until_stopped(void)
{
    if (rv_stats_own(st, rows[number]) != RV_OK)
        _exit(1);
    while (!report->stop) {
        const rv_stats_change_t changes[] = { { ACCEPTS, 1 }, { REQUESTS, 2 } };

        rv_stats_apply(st, changes, 2);
        report->written[number]++;
    }
    rv_stats_heartbeat(st, 1000); /* it may have been cut off since */
}

START_TEST(memory_that_is_cut_off_again_and_again_loses_nothing_of_its_writers)
{
    enum { ROUNDS = 200 };
    pid_t pids[WRITERS];

    report = stats_shared(sizeof(*report));
    for (number = 0; number < WRITERS; number++)
        pids[number] = stats_spawn(write_until_stopped);
    for (size_t round = 0; round < ROUNDS; round++) {
        for (int i = 0; i < WRITERS; i++) {
            for (unsigned long want = report->written[i] + 2; report->written[i] < want;)
                stats_moment(); /* it has seen what was before */
        }
        cut_off(round * 7919 % size);
        ck_assert_int_eq(rv_stats_restore(st), RV_OK);
        set_owners();
    }
    report->stop = 1;
    for (int i = 0; i < WRITERS; i++)
        stats_wait(pids[i]);

    for (int i = 0; i < WRITERS; i++)
        ck_assert_int_eq(rv_stats_fold(st, rows[i]), RV_OK);
    uint64_t written = report->written[0] + report->written[1];
    ck_assert_uint_gt(written, ROUNDS);
    ck_assert_uint_eq(stats_total(st, ACCEPTS), 37 + written);
    ck_assert_uint_eq(stats_total(st, REQUESTS), 2 * written);
}
END_TEST

static Suite *
stats_cut_suite(void)
{
    Suite *suite = suite_create("stats_cut");
    TCase *tcase = tcase_create("stats_cut");

    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_set_timeout(tcase, 120);
    tcase_add_test(tcase, memory_cut_off_anywhere_is_as_it_was_when_its_owners_have_gone_on);
    tcase_add_loop_test(tcase, nothing_is_built_on_what_was_cut_off, 0, (int) rv_countof(early));
    tcase_add_test(tcase, copy_is_kept_up_to_date);
    tcase_add_loop_test(tcase, totals_of_a_predecessor_are_in_the_copy, 0, 2);
    tcase_add_test(tcase, death_with_the_new_lock_is_noticed);
    tcase_add_test(tcase, values_are_found_while_their_names_are_cut_off);
    tcase_add_test(tcase, witness_is_where_nobody_can_cut_it_off);
    tcase_add_test(tcase, what_was_never_saved_cannot_be_restored);
    tcase_add_test(tcase, memory_that_is_cut_off_again_and_again_loses_nothing_of_its_writers);

    suite_add_tcase(suite, tcase);
    return suite;
}

int
main(void)
{
    return stats_run(stats_cut_suite());
}
