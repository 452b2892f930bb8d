/*
 * rv_stats: what was counted before is counted on, in memory of another layout.
 *
 * After a reload that needs other definitions the old generation goes on
 * counting in its own memory until it is gone. The totals that are shown never
 * dip nor double, at no instruction of taking them over.
 */
#include "rv_stats_layout.h"
#include "stats_step.h"

#define ROWS 3

#define COUNTER(name)              \
    {                              \
        name, RV_STATS_COUNTER, "" \
    }
#define GAUGE(name)              \
    {                            \
        name, RV_STATS_GAUGE, "" \
    }

static const rv_stats_def_t abc[] = { COUNTER("a"), COUNTER("b"), GAUGE("g"), { 0 } };
static const rv_stats_def_t more[] = { COUNTER("new"), COUNTER("a"), COUNTER("b"), GAUGE("g"),
    GAUGE("h"), { 0 } };
static const rv_stats_def_t fewer[] = { COUNTER("b"), { 0 } };
static const rv_stats_def_t reordered[] = { GAUGE("g"), COUNTER("b"), COUNTER("a"), { 0 } };
static const rv_stats_def_t other_kinds[] = { GAUGE("a"), COUNTER("b"), COUNTER("g"), { 0 } };

/* Each memory's definitions live as long as it does. */
static rv_stats_t *
stats_with(const rv_stats_def_t *def, unsigned rows)
{
    static rv_stats_defs_t all[64];
    static unsigned used;

    ck_assert_uint_lt(used, rv_countof(all));
    ck_assert_int_eq(rv_stats_define(&all[used], "m", def), RV_OK);
    return stats_of(&all[used++], rows);
}

static void
add(rv_stats_t *st, const char *name, int64_t delta)
{
    stats_add(st, stats_cell(st, "m", name), delta);
}

/* UINT64_MAX: there is no such value. */
static uint64_t
total(const rv_stats_t *st, const char *name)
{
    int cell = rv_stats_find(st, "m", name);

    return cell < 0 ? UINT64_MAX : stats_total(st, (unsigned) cell);
}

#define NONE UINT64_MAX

static void
assert_totals(const rv_stats_t *st, uint64_t a, uint64_t b, uint64_t g)
{
    ck_assert_uint_eq(total(st, "a"), a);
    ck_assert_uint_eq(total(st, "b"), b);
    ck_assert_uint_eq(total(st, "g"), g);
}

/* Row 0 counts, and its owner before has counted. */
static rv_stats_t *
old_stats(void)
{
    rv_stats_t *old = stats_with(abc, ROWS);

    ck_assert_uint_eq(stats_own(old), 0);
    add(old, "a", 100);
    add(old, "g", 1);
    ck_assert_int_eq(rv_stats_fold(old, 0), RV_OK);
    ck_assert_uint_eq(stats_own(old), 0);
    add(old, "a", 7);
    add(old, "b", 3);
    add(old, "g", 2);
    return old;
}

static const struct {
    const rv_stats_def_t *def;
    uint64_t a, b, g;    /* while the old generation is there */
    uint64_t a2, b2, g2; /* when it is gone */
} layouts[] = {
    { abc, 107, 3, 2, 107, 3, 0 },
    { more, 107, 3, 2, 107, 3, 0 },
    { reordered, 107, 3, 2, 107, 3, 0 },
    { fewer, NONE, 3, NONE, NONE, 3, NONE },
    { other_kinds, 0, 3, 0, 0, 3, 0 },
};

START_TEST(totals_are_matched_by_name_before_and_after)
{
    rv_stats_t *old = old_stats(), *st = stats_with(layouts[_i].def, ROWS + 2);

    rv_stats_succeed(st, old);
    assert_totals(st, layouts[_i].a, layouts[_i].b, layouts[_i].g);

    ck_assert_int_eq(rv_stats_fold(old, 0), RV_OK);
    assert_totals(st, layouts[_i].a2, layouts[_i].b2, layouts[_i].g2);
    ck_assert_int_eq(rv_stats_retire(st, old), RV_OK);
    assert_totals(st, layouts[_i].a2, layouts[_i].b2, layouts[_i].g2);

    /* what happens to the old memory is no matter any more */
    stats_own(old);
    add(old, "b", 1000);
    assert_totals(st, layouts[_i].a2, layouts[_i].b2, layouts[_i].g2);
    rv_stats_free(old);
    rv_stats_free(st);
}
END_TEST

START_TEST(both_generations_count_on_side_by_side)
{
    rv_stats_t *old = old_stats(), *st = stats_with(more, ROWS);

    rv_stats_succeed(st, old);
    unsigned row = stats_own(st);
    for (unsigned i = 1; i <= 20; i++) {
        add(old, "a", 1);
        add(st, "a", 1);
        add(st, "g", 1);
        add(st, "new", 1);
        assert_totals(st, 107 + 2 * i, 3, 2 + i);
        ck_assert_uint_eq(total(st, "new"), i);
    }
    ck_assert_int_eq(rv_stats_fold(old, 0), RV_OK);
    assert_totals(st, 147, 3, 20);
    ck_assert_int_eq(rv_stats_retire(st, old), RV_OK);
    add(st, "a", 1);
    assert_totals(st, 148, 3, 20);
    ck_assert_int_eq(rv_stats_fold(st, row), RV_OK);
    assert_totals(st, 148, 3, 0);
    rv_stats_free(old);
    rv_stats_free(st);
}
END_TEST

START_TEST(only_the_predecessor_is_retired_and_only_once)
{
    rv_stats_t *old = old_stats(), *other = old_stats(), *st = stats_with(abc, ROWS);

    ck_assert_int_eq(rv_stats_retire(st, NULL), RV_DONE);
    ck_assert_int_eq(rv_stats_retire(st, old), RV_DONE);
    assert_totals(st, 0, 0, 0);

    rv_stats_succeed(st, old);
    ck_assert_int_eq(rv_stats_retire(st, other), RV_DONE);
    ck_assert_int_eq(rv_stats_retire(st, NULL), RV_DONE);
    assert_totals(st, 107, 3, 2);
    ck_assert_int_eq(rv_stats_fold(old, 0), RV_OK);
    ck_assert_int_eq(rv_stats_retire(st, old), RV_OK);
    ck_assert_int_eq(rv_stats_retire(st, old), RV_DONE);
    assert_totals(st, 107, 3, 0);
    rv_stats_free(old);
    rv_stats_free(other);
    rv_stats_free(st);
}
END_TEST

/* Two reloads before the first generation is gone. */
START_TEST(chain_of_generations_is_one_sum)
{
    rv_stats_t *first = old_stats(), *second = stats_with(more, ROWS),
               *third = stats_with(abc, ROWS);

    rv_stats_succeed(second, first);
    rv_stats_succeed(third, second);
    unsigned row = stats_own(second);
    add(second, "a", 10);
    add(second, "g", 5);
    stats_own(third);
    add(third, "a", 1);
    assert_totals(third, 118, 3, 7);

    ck_assert_int_eq(rv_stats_fold(first, 0), RV_OK);
    assert_totals(third, 118, 3, 5);
    ck_assert_int_eq(rv_stats_retire(second, first), RV_OK);
    assert_totals(third, 118, 3, 5);
    ck_assert_int_eq(rv_stats_fold(second, row), RV_OK);
    ck_assert_int_eq(rv_stats_retire(third, second), RV_OK);
    assert_totals(third, 118, 3, 0);
    rv_stats_free(first);
    rv_stats_free(second);
    rv_stats_free(third);
}
END_TEST

/* --- what is carried over meanwhile ------------------------------------------------------- */

/* A reader that has not mapped the predecessor, or has. */
static rv_stats_t *
reader_of(const rv_stats_t *st)
{
    rv_stats_t *reader = rv_stats_attach(st->header, rv_stats_layout_size(&st->at));

    ck_assert_ptr_nonnull(reader);
    return reader;
}

START_TEST(what_was_carried_over_is_shown_without_the_predecessor)
{
    rv_stats_t *of = old_stats(), *st = stats_with(more, ROWS);
    rv_stats_t *alone = reader_of(st), *linked = reader_of(st);

    ck_assert_int_eq(rv_stats_carry(st), RV_DONE);
    ck_assert_int_eq(rv_stats_is_complete(alone), 1);
    rv_stats_succeed(st, of);
    ck_assert_int_eq(rv_stats_link(linked, of), 1);
    ck_assert_int_eq(rv_stats_is_complete(linked), 1);
    ck_assert_int_eq(rv_stats_is_complete(alone), 0);
    assert_totals(alone, 0, 0, 0);

    for (unsigned i = 0; i < 3; i++) {
        ck_assert_int_eq(rv_stats_carry(st), RV_OK);
        assert_totals(alone, 107 + 10 * i, 3, 2 + i);
        add(of, "a", 10);
        add(of, "g", 1);
        assert_totals(alone, 107 + 10 * i, 3, 2 + i); /* as old as that */
        assert_totals(linked, 117 + 10 * i, 3, 3 + i);
        assert_totals(st, 117 + 10 * i, 3, 3 + i);
    }
    ck_assert_int_eq(rv_stats_fold(of, 0), RV_OK);
    assert_totals(linked, 137, 3, 0);
    ck_assert_int_eq(rv_stats_retire(st, of), RV_OK);
    assert_totals(alone, 137, 3, 0);
    assert_totals(linked, 137, 3, 0);
    ck_assert_int_eq(rv_stats_is_complete(alone), 1);
    ck_assert_int_eq(rv_stats_carry(st), RV_DONE);
    rv_stats_free(alone);
    rv_stats_free(linked);
    rv_stats_free(of);
    rv_stats_free(st);
}
END_TEST

/* As after a master that was killed behind it: what old counts since is not st's. */
START_TEST(predecessor_that_was_retired_is_not_carried_over_by_another)
{
    rv_stats_t *of = old_stats(), *st = stats_with(abc, ROWS);

    rv_stats_succeed(st, of);
    rv_stats_t *another = reader_of(st), *third = reader_of(st);
    ck_assert_int_eq(rv_stats_link(another, of), 1);
    ck_assert_int_eq(rv_stats_link(third, of), 1);
    ck_assert_int_eq(rv_stats_fold(of, 0), RV_OK);
    ck_assert_int_eq(rv_stats_retire(st, of), RV_OK);
    stats_own(of);
    add(of, "a", 1000);
    ck_assert_int_eq(rv_stats_carry(third), RV_DONE);
    assert_totals(st, 107, 3, 0);
    ck_assert_int_eq(rv_stats_retire(another, of), RV_OK);
    assert_totals(st, 107, 3, 0);
    rv_stats_free(another);
    rv_stats_free(third);
    rv_stats_free(of);
    rv_stats_free(st);
}
END_TEST

/* Everybody was killed: counters that were carried over stay, gauges do not. */
START_TEST(what_was_carried_over_outlives_the_predecessor)
{
    rv_stats_t *of = old_stats(), *st = stats_with(reordered, ROWS);

    rv_stats_succeed(st, of);
    ck_assert_int_eq(rv_stats_carry(st), RV_OK);
    stats_own(st);
    add(st, "a", 1);
    add(st, "g", 1);
    rv_stats_t *next = reader_of(st);
    ck_assert_int_eq(rv_stats_revive(next), RV_OK);
    assert_totals(next, 108, 3, 0);
    ck_assert_int_eq(rv_stats_is_complete(next), 1);
    ck_assert_int_eq(rv_stats_link(next, of), 0);
    rv_stats_free(next);
    rv_stats_free(of);
    rv_stats_free(st);
}
END_TEST

START_TEST(successor_shows_its_predecessors_reloads_until_it_has_a_master_of_its_own)
{
    rv_stats_t *of = old_stats(), *st = stats_with(abc, ROWS);
    rv_stats_master_t master;

    rv_stats_set_master(of, 4711, 1700000000, 3);
    rv_stats_finish(of, RV_STATS_RELOAD, 1, "unknown directive");
    rv_stats_succeed(st, of);
    rv_stats_master(st, &master);
    ck_assert_int_eq(master.master, 4711);
    ck_assert_int_eq(master.started, 1700000000);
    ck_assert_uint_eq(master.reloads, 1);
    ck_assert_int_eq(master.reload_result, 1);
    ck_assert_str_eq(master.reload_text, "unknown directive");

    rv_stats_supersede(of, of); /* it is itself in force */
    rv_stats_master(of, &master);
    ck_assert_int_eq(master.superseded, 0);
    rv_stats_supersede(st, of);
    rv_stats_master(of, &master);
    ck_assert_int_eq(master.superseded, 1);
    rv_stats_set_master(st, 4711, 1700000000, 4);
    rv_stats_master(st, &master);
    ck_assert_int_eq(master.superseded, 0);
    ck_assert_uint_eq(master.reloads, 1);
    rv_stats_set_master(st, 4712, 1700000000, 5);
    rv_stats_master(st, &master);
    ck_assert_uint_eq(master.reloads, 0);
    rv_stats_set_master(of, 4711, 1700000000, 6); /* back in force */
    rv_stats_master(of, &master);
    ck_assert_int_eq(master.superseded, 0);
    rv_stats_free(of);
    rv_stats_free(st);
}
END_TEST

/* --- in other processes ------------------------------------------------------------------- */

static rv_stats_t *old, *successor;

static volatile int *looks; /* of a child */

/* A worker of the new generation: it was told of its predecessor, but not of the end of that. */
static void
watch_totals(void)
{
    for (;; ++*looks) {
        if (total(successor, "a") != 107 || total(successor, "b") != 3)
            _exit(EXIT_FAILURE);
    }
}

static void
wait_for_looks(pid_t pid, int number)
{
    for (int wanted = *looks + number; *looks < wanted;) {
        ck_assert_msg(waitpid(pid, NULL, WNOHANG) == 0, "the totals did not stand still");
        stats_moment();
    }
}

START_TEST(worker_that_watches_sees_totals_stand_still)
{
    enum { ROUNDS = 10 };

    looks = stats_shared(sizeof(*looks));
    for (int round = 0; round < ROUNDS; round++) {
        old = old_stats();
        successor = stats_with(more, ROWS);
        rv_stats_succeed(successor, old);
        pid_t pid = stats_spawn(watch_totals);

        for (int i = 0; i < 3; i++) {
            wait_for_looks(pid, 3);
            ck_assert_int_eq(rv_stats_carry(successor), RV_OK);
        }
        ck_assert_int_eq(rv_stats_fold(old, 0), RV_OK);
        ck_assert_int_eq(rv_stats_retire(successor, old), RV_OK);
        unsigned row = stats_own(successor);
        wait_for_looks(pid, 3);
        ck_assert_int_eq(rv_stats_fold(successor, row), RV_OK);
        wait_for_looks(pid, 3);
        stats_kill(pid);
        rv_stats_free(old);
        rv_stats_free(successor);
    }
}
END_TEST

static void
retire(void)
{
    if (rv_stats_retire(successor, old) != RV_OK)
        _exit(1);
}

static void
carry(void)
{
    if (rv_stats_carry(successor) != RV_OK)
        _exit(1);
}

static void (*const bodies[])(void) = { retire, carry };

static void
look(int steps)
{
    ck_assert_msg(total(successor, "a") == 8, "after %d instructions", steps);
}

/* The master that goes on inherits what the first one had: its predecessor. */
static void
succeed_again(void)
{
    rv_stats_succeed(successor, old);
}

/* With one value, so that there are few instructions to be killed at. */
START_TEST(master_killed_anywhere_while_it_takes_totals_over_doubles_nothing)
{
    static const rv_stats_def_t one[] = { COUNTER("a"), { 0 } };
    step_path_t path;
    step_t s;

    old = stats_with(one, 1);
    successor = stats_with(one, 1);
    unsigned row = stats_own(old);
    add(old, "a", 7);
    ck_assert_int_eq(rv_stats_fold(old, row), RV_OK);
    rv_stats_succeed(successor, old);
    row = stats_own(successor);
    add(successor, "a", 1);

    step_init(&s, successor->header, rv_stats_layout_size(&successor->at));
    s.restored = succeed_again;
    step_save(&s);
    step_follow(&s, bodies[_i], look, &path);
    ck_assert_int_ge(path.changes, 5);
    for (int i = 0; i < path.changes; i++) {
        step_kill_at(&s, bodies[_i], &path, i, look);
        ck_assert_int_eq(rv_stats_retire(successor, old), RV_OK);
        ck_assert_msg(total(successor, "a") == 8, "retired again after %d", path.after[i]);
        ck_assert_int_eq(rv_stats_fold(successor, row), RV_OK);
        ck_assert_msg(total(successor, "a") == 8, "folded after %d", path.after[i]);
    }
    step_free(&s);
    rv_stats_free(old);
    rv_stats_free(successor);
}
END_TEST

static Suite *
stats_succeed_suite(void)
{
    Suite *suite = suite_create("stats_succeed");
    TCase *tcase = tcase_create("stats_succeed");

    tcase_set_timeout(tcase, 120);
    tcase_add_loop_test(
        tcase, totals_are_matched_by_name_before_and_after, 0, (int) rv_countof(layouts));
    tcase_add_test(tcase, both_generations_count_on_side_by_side);
    tcase_add_test(tcase, only_the_predecessor_is_retired_and_only_once);
    tcase_add_test(tcase, chain_of_generations_is_one_sum);
    tcase_add_test(tcase, what_was_carried_over_is_shown_without_the_predecessor);
    tcase_add_test(tcase, predecessor_that_was_retired_is_not_carried_over_by_another);
    tcase_add_test(tcase, what_was_carried_over_outlives_the_predecessor);
    tcase_add_test(
        tcase, successor_shows_its_predecessors_reloads_until_it_has_a_master_of_its_own);
    tcase_add_test(tcase, worker_that_watches_sees_totals_stand_still);
    tcase_add_loop_test(
        tcase, master_killed_anywhere_while_it_takes_totals_over_doubles_nothing, 0, 2);

    suite_add_tcase(suite, tcase);
    return suite;
}

int
main(int argc, char **argv)
{
    (void) argc;
    step_bind_now(argv);
    return stats_run(stats_succeed_suite());
}
