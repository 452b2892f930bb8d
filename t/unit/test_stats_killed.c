/*
 * rv_stats, an instruction at a time: masters that claim, sweep and revive.
 *
 * A master is killed after every instruction that has changed what its death
 * leaves (stats_step.h). And the memory as it is after each, a file on a machine
 * that loses its power, is copied to another place and revived there.
 */
#include "rv_stats_layout.h"
#include "stats_step.h"

#define ROWS 4

static const rv_stats_def_t all_defs[] = {
    { "accepts", RV_STATS_COUNTER, "" },
    { "requests", RV_STATS_COUNTER, "" },
    { "active", RV_STATS_GAUGE, "" },
    { 0 },
};

enum { ACCEPTS, REQUESTS, ACTIVE, VALUES };

static const rv_stats_change_t accepted[] = { { ACCEPTS, 1 }, { REQUESTS, 2 }, { ACTIVE, 1 } };

static rv_stats_defs_t defs;
static rv_stats_t *st;
static step_t s;
static char *other; /* memory of another daemon, later */

static void
setup(void)
{
    rv_stats_define(&defs, "m", all_defs);
    size_t size = rv_stats_size(&defs, ROWS);
    void *memory = stats_shared(size);
    st = rv_stats_create(memory, &defs, ROWS);
    ck_assert_ptr_nonnull(st);
    step_init(&s, memory, size);
    other = stats_shared(2 * size); /* and how it was copied last */
}

static void
teardown(void)
{
    rv_stats_free(st);
    step_free(&s);
}

static void
end_at_once(void)
{
}

/* The id of a process that was there. */
static pid_t
dead(void)
{
    pid_t pid = stats_spawn(end_at_once);

    stats_wait(pid);
    return pid;
}

/* A row of a worker with so many connections, that is dead, as its master is. */
static unsigned
leave_row(int connections)
{
    rv_stats_owner_t owner = { .pid = dead() };
    unsigned row = stats_own(st);

    for (int i = 0; i < connections; i++)
        rv_stats_apply(st, accepted, 3);
    rv_stats_set_owner(st, row, &owner);
    rv_stats_layout_row(st, row).row->master = owner.pid;
    return row;
}

static void
assert_totals(const rv_stats_t *of, uint64_t accepts, uint64_t active, int steps)
{
    uint64_t values[VALUES];

    rv_stats_snapshot(of, values, VALUES);
    ck_assert_msg(
        values[ACCEPTS] == accepts && values[REQUESTS] == 2 * accepts && values[ACTIVE] == active,
        "after %d: %d accepts, %d requests, %d active", steps, (int) values[ACCEPTS],
        (int) values[REQUESTS], (int) values[ACTIVE]);
}

/* How many rows are to be had; they are given back. */
static int
free_rows(rv_stats_t *of)
{
    int count = 0, rows[ROWS + 1];

    while ((rows[count] = rv_stats_claim(of)) >= 0)
        count++;
    for (int i = 0; i < count; i++)
        ck_assert_int_eq(rv_stats_fold(of, (unsigned) rows[i]), RV_OK);
    return count;
}

/* --- claims ------------------------------------------------------------------------------- */

static void
claim(void)
{
    if (rv_stats_claim(st) < 0)
        abort();
}

static void
look_at_claim(int steps)
{
    assert_totals(st, 5, 5, steps);
}

/* Of a row that was never used, and of one that was. */
START_TEST(master_killed_anywhere_in_a_claim_costs_a_row_until_it_is_swept)
{
    int left = 0;
    step_path_t path;

    if (_i == 1)
        ck_assert_int_eq(rv_stats_fold(st, leave_row(0)), RV_OK);
    unsigned row = stats_own(st);
    for (int i = 0; i < 5; i++)
        rv_stats_apply(st, accepted, 3);
    if (_i == 1)
        ck_assert_int_eq(rv_stats_fold(st, leave_row(0)), RV_OK);
    step_save(&s);
    step_follow(&s, claim, look_at_claim, &path);
    ck_assert_int_ge(path.changes, 4);

    for (int i = 0; i < path.changes; i++) {
        step_kill_at(&s, claim, &path, i, look_at_claim);
        int rows = free_rows(st);
        ck_assert_int_ge(rows, ROWS - 2);
        left += rows == ROWS - 2;
        ck_assert_int_eq(rv_stats_sweep(st), RV_OK);
        ck_assert_int_eq(free_rows(st), ROWS - 1);
        assert_totals(st, 5, 5, path.after[i]);
        ck_assert_int_eq(rv_stats_fold(st, row), RV_OK);
        assert_totals(st, 5, 0, path.after[i]);
    }
    ck_assert_int_ge(left, 1);
    ck_assert_int_lt(left, path.changes);
}
END_TEST

/* --- sweeps ------------------------------------------------------------------------------- */

static void
sweep(void)
{
    if (rv_stats_sweep(st) == RV_ERROR)
        abort();
}

static uint64_t was_active; /* at the last look */

/* Two rows of the dead, 3 and 4, and one of the living, 1. */
static void
look_at_sweep(int steps)
{
    uint64_t active = stats_total(st, ACTIVE);

    ck_assert_msg(active == 8 || active == 5 || active == 1, "%d are active", (int) active);
    ck_assert_uint_le(active, was_active);
    was_active = active;
    assert_totals(st, 8, active, steps);
}

START_TEST(master_killed_anywhere_in_a_sweep_loses_and_doubles_nothing)
{
    step_path_t path;

    leave_row(3);
    leave_row(4);
    stats_own(st);
    rv_stats_apply(st, accepted, 3);
    step_save(&s);
    was_active = 8;
    step_follow(&s, sweep, look_at_sweep, &path);
    ck_assert_uint_eq(was_active, 1);

    for (int i = 0; i < path.changes; i++) {
        was_active = 8;
        step_kill_at(&s, sweep, &path, i, look_at_sweep);
        look_at_sweep(path.after[i]);
        sweep();
        assert_totals(st, 8, 1, path.after[i]);
        ck_assert_int_eq(free_rows(st), ROWS - 1);
    }
}
END_TEST

/* --- memory that nobody uses any more ----------------------------------------------------- */

static void
revive(void)
{
    if (rv_stats_revive(st) != RV_OK)
        abort();
}

static void
accept_one(void)
{
    rv_stats_apply(st, accepted, 3);
}

static void
fold(void)
{
    if (rv_stats_fold(st, 0) != RV_OK)
        abort();
}

/* What a reader saw last before the power was gone is what the next daemon begins with. */
static void
look_at_copy(int steps)
{
    if (steps > 1 && memcmp(s.memory, other + s.size, s.size) == 0)
        return; /* as it was after the instruction before */

    memcpy(other, s.memory, s.size);
    memcpy(other + s.size, s.memory, s.size);
    rv_stats_t *copy = rv_stats_attach(other, s.size);
    ck_assert_ptr_nonnull(copy);
    ck_assert_int_eq(rv_stats_revive(copy), RV_OK);
    assert_totals(copy, stats_total(st, ACCEPTS), 0, steps);
    ck_assert_int_eq(free_rows(copy), ROWS);
    stats_own(copy);
    rv_stats_apply(copy, accepted, 3);
    assert_totals(copy, stats_total(st, ACCEPTS) + 1, 1, steps);
    rv_stats_free(copy);
}

static void (*const bodies[])(void) = { accept_one, claim, fold, sweep, revive };

START_TEST(memory_is_revived_whatever_was_done_to_it_when_the_power_was_gone)
{
    step_path_t path;

    leave_row(3);
    leave_row(4);
    stats_own(st);
    accept_one();
    step_follow(&s, bodies[_i], look_at_copy, &path);
    ck_assert_int_ge(path.changes, 4);
}
END_TEST

static void
look_at_revival(int steps)
{
    ck_assert_msg(stats_total(st, ACCEPTS) == 8, "after %d: %d accepts", steps,
        (int) stats_total(st, ACCEPTS));
}

/* What it revives is a fold that was killed, and a transaction. */
START_TEST(master_killed_anywhere_while_it_revives_loses_and_doubles_nothing)
{
    step_path_t path;

    leave_row(3);
    leave_row(4);
    stats_own(st);
    step_save(&s);
    step_follow(&s, accept_one, look_at_copy, &path);
    step_kill_at(&s, accept_one, &path, path.changes * 2 / 3, NULL);
    ck_assert_uint_eq(stats_total(st, ACCEPTS), 8);
    step_save(&s);
    step_follow(&s, fold, look_at_revival, &path);
    step_kill_at(&s, fold, &path, path.changes * 2 / 3, NULL);
    ck_assert_uint_ne(st->header->fold >> RV_STATS_FOLD_ROW_SHIFT & RV_STATS_FOLD_ROW_MASK, 0);

    step_save(&s);
    step_follow(&s, revive, look_at_revival, &path);
    for (int i = 0; i < path.changes; i++) {
        step_kill_at(&s, revive, &path, i, look_at_revival);
        revive();
        assert_totals(st, 8, 0, path.after[i]);
        ck_assert_int_eq(free_rows(st), ROWS);
    }
}
END_TEST

static Suite *
stats_killed_suite(void)
{
    Suite *suite = suite_create("stats_killed");
    TCase *tcase = tcase_create("stats_killed");

    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_set_timeout(tcase, 120);
    tcase_add_loop_test(
        tcase, master_killed_anywhere_in_a_claim_costs_a_row_until_it_is_swept, 0, 2);
    tcase_add_test(tcase, master_killed_anywhere_in_a_sweep_loses_and_doubles_nothing);
    tcase_add_loop_test(tcase, memory_is_revived_whatever_was_done_to_it_when_the_power_was_gone, 0,
        (int) rv_countof(bodies));
    tcase_add_test(tcase, master_killed_anywhere_while_it_revives_loses_and_doubles_nothing);

    suite_add_tcase(suite, tcase);
    return suite;
}

int
main(int argc, char **argv)
{
    (void) argc;
    step_bind_now(argv);
    return stats_run(stats_killed_suite());
}
