/*
 * rv_stats between versions of the program: values are known by module, name
 * and kind, wherever they lie and whatever lies between them.
 *
 * A reader here has nothing but the memories: it maps both, and links them.
 */
#include "rv_stats_layout.h"
#include "stats_fixture.h"

enum { ROWS = 3, MOST_DEFS = 8 };

typedef struct {
    const char *module;
    rv_stats_def_t def;
} value_t;

#define COUNTER(module, name)          \
    {                                  \
        module,                        \
        {                              \
            name, RV_STATS_COUNTER, "" \
        }                              \
    }
#define GAUGE(module, name)          \
    {                                \
        module,                      \
        {                            \
            name, RV_STATS_GAUGE, "" \
        }                            \
    }
#define TIME(module, name)               \
    {                                    \
        module,                          \
        {                                \
            name, RV_STATS_HISTOGRAM, "" \
        }                                \
    }

/* What is counted here: a, b, gauge and time of module m. */
static const value_t here[] = { COUNTER("m", "a"), GAUGE("m", "gauge"), TIME("m", "time"),
    COUNTER("m", "b"), { 0 } };
static const value_t more[] = { TIME("x", "wait"), COUNTER("x", "c"), COUNTER("m", "a"),
    TIME("m", "time"), GAUGE("m", "gauge"), COUNTER("m", "b"), GAUGE("x", "g"), { 0 } };
static const value_t fewer[] = { COUNTER("m", "b"), { 0 } };
static const value_t reordered[] = { COUNTER("m", "b"), TIME("m", "time"), COUNTER("m", "a"),
    GAUGE("m", "gauge"), { 0 } };
static const value_t other_kinds[] = { GAUGE("m", "a"), COUNTER("m", "gauge"), COUNTER("m", "time"),
    TIME("m", "b"), { 0 } };
static const value_t other_modules[] = { COUNTER("n", "a"), GAUGE("mm", "gauge"), TIME("x", "time"),
    COUNTER("m", "b"), { 0 } };
static const value_t nothing[] = { { 0 } };

/* A daemon's memory, and the daemon's way to it. */
typedef struct {
    rv_stats_defs_t defs;
    rv_stats_def_t def[MOST_DEFS][2]; /* the second ends the list */
    rv_stats_t *st;
} daemon_t;

static daemon_t old_daemon, new_daemon;

static void
make_daemon(daemon_t *d, const value_t *values)
{
    for (int i = 0; values[i].module != NULL; i++) {
        d->def[i][0] = values[i].def;
        ck_assert_int_eq(rv_stats_define(&d->defs, values[i].module, d->def[i]), RV_OK);
    }
    d->st = stats_of(&d->defs, ROWS);
}

static void
teardown(void)
{
    rv_stats_free(old_daemon.st);
    rv_stats_free(new_daemon.st);
}

/* A reader's handle on the same memory. */
static rv_stats_t *
reader_of(const rv_stats_t *st)
{
    rv_stats_t *reader = rv_stats_attach(st->header, rv_stats_layout_size(&st->at));

    ck_assert_ptr_nonnull(reader);
    return reader;
}

/* Counts in every value that there is: n of the first, 2n of the second, ... */
static unsigned
count(const daemon_t *d, unsigned worker, unsigned generation, int64_t n)
{
    const rv_stats_owner_t owner = { .worker = worker, .generation = generation, .pid = 100 };
    unsigned row = stats_own(d->st);

    rv_stats_set_owner(d->st, row, &owner);
    for (unsigned i = 0; i < rv_stats_count(d->st); i++) {
        const rv_stats_info_t info = rv_stats_info(d->st, i);
        rv_stats_change_t changes[RV_STATS_OBSERVATION];

        if (info.kind != RV_STATS_HISTOGRAM)
            stats_add(d->st, info.cell, n * (i + 1));
        else
            rv_stats_apply(d->st, changes,
                rv_stats_observe(
                    d->st, (int) info.cell, 1000 * (uint64_t) n, (unsigned) n, changes));
    }
    return row;
}

/* UINT64_MAX: there is none. Of a histogram how many there are. */
static uint64_t
value_of(const rv_stats_t *st, const uint64_t *values, const char *name)
{
    for (unsigned i = 0; i < rv_stats_count(st); i++) {
        const rv_stats_info_t info = rv_stats_info(st, i);

        if (strcmp(info.module, "m") != 0 || strcmp(info.name, name) != 0)
            continue;
        return info.kind == RV_STATS_HISTOGRAM ? rv_stats_histogram_count(values + info.cell)
                                               : values[info.cell];
    }
    return UINT64_MAX;
}

static void
assert_values(const rv_stats_t *st, const uint64_t *values, const uint64_t want[4])
{
    static const char *const names[4] = { "a", "gauge", "time", "b" };

    for (int i = 0; i < 4; i++)
        ck_assert_msg(value_of(st, values, names[i]) == want[i], "%s is %lld, not %lld", names[i],
            (long long) value_of(st, values, names[i]), (long long) want[i]);
}

/* --- two layouts -------------------------------------------------------------------------- */

/* What of the old daemon's counts the new one shows, in parts of n. */
static const struct {
    const value_t *values;
    int a, gauge, time, b;
} layouts[] = {
    { here, 1, 2, 1, 4 },
    { more, 3, 5, 1, 6 },
    { fewer, 0, 0, 0, 1 },
    { reordered, 3, 4, 1, 1 },
    { other_kinds, 0, 0, 0, 0 },
    { other_modules, 0, 0, 0, 4 },
    { nothing, 0, 0, 0, 0 },
};

static void
assert_view(const rv_stats_t *reader, int layout, uint64_t of_old, uint64_t gauge_of_old)
{
    const uint64_t a = (uint64_t) layouts[layout].a, gauge = (uint64_t) layouts[layout].gauge,
                   time = (uint64_t) layouts[layout].time, b = (uint64_t) layouts[layout].b;
    const uint64_t totals[] = { 5 + a * of_old, 10 + gauge * gauge_of_old, 5 + time * of_old,
        20 + b * of_old };
    const uint64_t listed[] = { a * gauge_of_old, gauge * gauge_of_old, time * gauge_of_old,
        b * gauge_of_old };
    const uint64_t own[] = { 5, 10, 5, 20 };
    rv_stats_view_t view;

    ck_assert_int_eq(rv_stats_view(reader, &view), RV_OK);
    assert_values(reader, view.totals, totals);
    ck_assert_uint_eq(view.count, gauge_of_old > 0 ? 2 : 1);
    for (unsigned i = 0; i < view.count; i++) {
        int is_old = view.process[i].owner.generation == 1;

        ck_assert_uint_eq(view.process[i].owner.worker, 0);
        ck_assert(is_old == (view.count == 2 && i == 0));
        assert_values(reader, view.process[i].values, is_old ? listed : own);
    }
    if (time > 0) {
        const uint64_t *cells = view.totals + stats_cell(reader, "m", "time");
        ck_assert_uint_eq(cells[RV_STATS_HISTOGRAM_MAX], 7000);
    }
    rv_stats_view_free(&view);
}

START_TEST(predecessor_is_shown_by_module_name_and_kind)
{
    make_daemon(&old_daemon, layouts[_i].values);
    make_daemon(&new_daemon, here);
    ck_assert_int_eq(rv_stats_fold(old_daemon.st, count(&old_daemon, 0, 1, 2)), RV_OK);
    unsigned row = count(&old_daemon, 0, 1, 7);
    rv_stats_succeed(new_daemon.st, old_daemon.st);
    count(&new_daemon, 0, 2, 5);

    rv_stats_t *reader = reader_of(new_daemon.st), *old = reader_of(old_daemon.st);
    assert_view(reader, (int) rv_countof(layouts) - 1, 0, 0); /* itself alone */
    ck_assert_int_eq(rv_stats_link(reader, old), 1);
    assert_view(reader, _i, 9, 7);
    assert_view(new_daemon.st, _i, 9, 7);

    /* its last process is gone, then it is gone itself */
    ck_assert_int_eq(rv_stats_fold(old_daemon.st, row), RV_OK);
    assert_view(reader, _i, 9, 0);
    ck_assert_int_eq(rv_stats_retire(new_daemon.st, old_daemon.st), RV_OK);
    count(&old_daemon, 0, 1, 1000);
    assert_view(reader, _i, 9, 0);
    rv_stats_free(reader);
    reader = reader_of(new_daemon.st);
    assert_view(reader, _i, 9, 0);
    rv_stats_free(reader);
    rv_stats_free(old);
}
END_TEST

START_TEST(only_the_predecessor_is_linked_and_only_while_it_counts)
{
    make_daemon(&old_daemon, reordered);
    make_daemon(&new_daemon, here);
    rv_stats_t *reader = reader_of(new_daemon.st), *old = reader_of(old_daemon.st);

    ck_assert_int_eq(rv_stats_link(reader, old), 0);
    rv_stats_succeed(new_daemon.st, old_daemon.st);
    ck_assert_int_eq(rv_stats_link(reader, reader), 0);
    ck_assert_int_eq(rv_stats_link(old, reader), 0);
    rv_stats_t *again = reader_of(new_daemon.st);
    ck_assert_int_eq(rv_stats_link(reader, again), 0);
    rv_stats_free(again);
    ck_assert_int_eq(rv_stats_link(reader, old), 1);
    ck_assert_int_eq(rv_stats_retire(new_daemon.st, old_daemon.st), RV_OK);
    ck_assert_int_eq(rv_stats_link(reader, old), 0);
    rv_stats_free(reader);
    rv_stats_free(old);
}
END_TEST

/* Between two upgrades at once: the reader has all three. */
START_TEST(chain_of_three_is_shown_as_one)
{
    static daemon_t newest;
    rv_stats_view_t view;

    make_daemon(&old_daemon, more);
    make_daemon(&new_daemon, reordered);
    make_daemon(&newest, here);
    rv_stats_succeed(new_daemon.st, old_daemon.st);
    rv_stats_succeed(newest.st, new_daemon.st);
    count(&newest, 0, 3, 100);
    count(&old_daemon, 0, 1, 1);
    count(&new_daemon, 0, 2, 10);

    rv_stats_t *readers[] = { reader_of(newest.st), reader_of(new_daemon.st),
        reader_of(old_daemon.st) };
    ck_assert_int_eq(rv_stats_link(readers[0], readers[1]), 1);
    ck_assert_int_eq(rv_stats_link(readers[1], readers[2]), 1);
    ck_assert_int_eq(rv_stats_view(readers[0], &view), RV_OK);
    assert_values(readers[0], view.totals, (uint64_t[]){ 133, 245, 111, 416 });
    ck_assert_uint_eq(view.count, 3);
    assert_values(readers[0], view.process[0].values, (uint64_t[]){ 3, 5, 1, 6 });
    assert_values(readers[0], view.process[1].values, (uint64_t[]){ 30, 40, 10, 10 });
    assert_values(readers[0], view.process[2].values, (uint64_t[]){ 100, 200, 100, 400 });
    rv_stats_view_free(&view);
    for (size_t i = 0; i < rv_countof(readers); i++)
        rv_stats_free(readers[i]);
    rv_stats_free(newest.st);
}
END_TEST

/* --- another version of the layout -------------------------------------------------------- */

/*
 * The memory as a later version may write it: each part begins later and is longer,
 * definitions of a kind that we do not know stand between ours, and
 * their cells between our cells.
 */
enum { PLUS = 256, UNKNOWN_CELLS = 5, ROOM = 128 * 1024 };

static void
put_values(_Atomic uint64_t *to, const rv_stats_t *st, const _Atomic uint64_t *from)
{
    for (unsigned i = 0; i < st->at.cells; i++)
        to[i < st->at.plain ? i : i + UNKNOWN_CELLS] = from[i];
    for (unsigned i = 0; i < UNKNOWN_CELLS; i++)
        to[st->at.plain + i] = 999999;
}

static void
put_definitions(char *later, const rv_stats_layout_t *h, const rv_stats_t *st)
{
    for (unsigned i = 0; i < h->count; i++) {
        rv_stats_layout_def_t *def = (void *) (later + h->def_offset + i * h->def_size);

        memset(def, 0x5a, h->def_size);
        if (i % 2 == 0) { /* theirs */
            *def = (rv_stats_layout_def_t){ .kind = 4 + i, .cell = st->at.plain };
            strcpy(def->module, "m");
            strcpy(def->name, "unknown");
            continue;
        }
        *def = st->def[i / 2];
        if (def->cell >= st->at.plain)
            def->cell += UNKNOWN_CELLS;
    }
}

static rv_stats_t *
later_version_of(const rv_stats_t *st)
{
    char *later = stats_shared(ROOM);
    rv_stats_layout_t *h = (void *) later;

    memcpy(later, st->header, sizeof(*h));
    h->count = 2 * h->count + 1;
    h->cells += UNKNOWN_CELLS;
    h->def_size += PLUS;
    h->def_offset += PLUS;
    h->base_offset = h->def_offset + h->count * h->def_size + PLUS;
    h->base_size += PLUS;
    h->row_offset = h->base_offset + 2 * h->base_size + PLUS;
    h->value_offset += PLUS;
    h->row_size += 2 * PLUS;
    put_definitions(later, h, st);
    for (unsigned i = 0; i < 2; i++)
        put_values(
            (void *) (later + h->base_offset + i * h->base_size), st, rv_stats_layout_base(st, i));
    for (unsigned i = 0; i < st->at.rows; i++) {
        const rv_stats_row_ref_t from = rv_stats_layout_row(st, i);
        char *to = later + h->row_offset + i * h->row_size;

        memcpy(to, from.row, sizeof(*from.row));
        put_values((void *) (to + h->value_offset), st, from.value);
    }
    rv_stats_t *reader = rv_stats_attach(later, ROOM);
    ck_assert_ptr_nonnull(reader);
    return reader;
}

START_TEST(what_is_known_of_a_later_version_is_shown_by_name)
{
    rv_stats_view_t view;

    make_daemon(&old_daemon, here);
    ck_assert_int_eq(rv_stats_fold(old_daemon.st, count(&old_daemon, 1, 1, 2)), RV_OK);
    count(&old_daemon, 0, 1, 7);
    rv_stats_finish(old_daemon.st, RV_STATS_RELOAD, 0, "done");
    rv_stats_t *later = later_version_of(old_daemon.st);

    ck_assert_uint_eq(rv_stats_count(later), 9);
    for (unsigned i = 0; i < 9; i++)
        ck_assert((rv_stats_info(later, i).kind == 0) == (i % 2 == 0));
    ck_assert_int_eq(rv_stats_find(later, "m", "unknown"), RV_ERROR);
    ck_assert_int_eq(rv_stats_view(later, &view), RV_OK);
    assert_values(later, view.totals, (uint64_t[]){ 9, 14, 9, 36 });
    ck_assert_uint_eq(view.count, 1);
    assert_values(later, view.process[0].values, (uint64_t[]){ 7, 14, 7, 28 });
    const uint64_t *time = view.totals + stats_cell(later, "m", "time");
    ck_assert_uint_eq(time[RV_STATS_HISTOGRAM_MAX], 7000);
    ck_assert_str_eq(view.master.reload_text, "done");
    ck_assert(!rv_stats_same(later, &old_daemon.defs, ROWS));
    rv_stats_view_free(&view);
    rv_stats_free(later);
}
END_TEST

/* A downgrade: the one before was of a later version. */
START_TEST(later_version_may_be_the_predecessor)
{
    rv_stats_view_t view;

    make_daemon(&old_daemon, reordered);
    make_daemon(&new_daemon, here);
    count(&old_daemon, 0, 1, 7);
    count(&new_daemon, 0, 2, 5);
    rv_stats_t *later = later_version_of(old_daemon.st);
    rv_stats_succeed(new_daemon.st, later);
    ck_assert_int_eq(rv_stats_view(new_daemon.st, &view), RV_OK);
    ck_assert_uint_eq(view.count, 2);
    assert_values(new_daemon.st, view.totals, (uint64_t[]){ 26, 38, 12, 27 });
    assert_values(new_daemon.st, view.process[0].values, (uint64_t[]){ 21, 28, 7, 7 });
    rv_stats_view_free(&view);

    ck_assert_int_eq(rv_stats_fold(later, 0), RV_OK);
    ck_assert_int_eq(rv_stats_retire(new_daemon.st, later), RV_OK);
    ck_assert_int_eq(rv_stats_view(new_daemon.st, &view), RV_OK);
    assert_values(new_daemon.st, view.totals, (uint64_t[]){ 26, 10, 12, 27 });
    rv_stats_view_free(&view);
    rv_stats_free(later);
}
END_TEST

static Suite *
stats_versions_suite(void)
{
    Suite *suite = suite_create("stats_versions");
    TCase *tcase = tcase_create("stats_versions");

    tcase_add_checked_fixture(tcase, NULL, teardown);
    tcase_set_timeout(tcase, 60);
    tcase_add_loop_test(
        tcase, predecessor_is_shown_by_module_name_and_kind, 0, (int) rv_countof(layouts));
    tcase_add_test(tcase, only_the_predecessor_is_linked_and_only_while_it_counts);
    tcase_add_test(tcase, chain_of_three_is_shown_as_one);
    tcase_add_test(tcase, what_is_known_of_a_later_version_is_shown_by_name);
    tcase_add_test(tcase, later_version_may_be_the_predecessor);

    suite_add_tcase(suite, tcase);
    return suite;
}

int
main(void)
{
    return stats_run(stats_versions_suite());
}
