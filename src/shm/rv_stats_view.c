/*
 * rv_stats_view: what is shown: the sum of base and rows.
 *
 * A reader takes no lock. It reads the word `fold`, everything else, and
 * `fold` again; where a fold has come in between it begins anew. That word says
 * which base counts and which row is part of it already.
 */
#include "rv_stats.h"

#include "rv_stats_layout.h"

#include <stdlib.h>
#include <string.h>

enum { MOST_DEPTH = 8 }; /* of predecessors that are read themselves */

/* Where a view's processes go; NULL: only sums are wanted. */
typedef struct {
    rv_stats_view_t *view;
    unsigned room;
    unsigned stride; /* cells of one process */
} list_t;

static uint64_t
load(const _Atomic uint64_t *cell)
{
    return atomic_load_explicit(cell, memory_order_relaxed);
}

/* Adds the cells from `first` to `end`: sums but for the largest of each histogram, where what is
 * not greater is taken off again. */
static void
add(const rv_stats_t *st, uint64_t *values, const uint64_t *more, unsigned first, unsigned end)
{
    for (unsigned i = first; i < end; i++)
        values[i] += more[i];

    for (unsigned i = rv_max(first, st->at.plain); i < end; i++) {
        const unsigned char *max = memchr(st->how + i, RV_STATS_LAYOUT_MAX, end - i);

        if (max == NULL)
            break;
        i = (unsigned) (max - st->how);
        values[i] = rv_max(values[i] - more[i], more[i]);
    }
}

/* A row as it was read: of its histograms those with a bit in `seen`. */
typedef struct {
    rv_stats_row_shape_t shape;
    uint32_t seen;
    uint64_t *values;
} copy_t;

static void
add_copy(const rv_stats_t *st, uint64_t *values, const copy_t *copy)
{
    add(st, values, copy->values, 0, copy->shape.plain);
    for (unsigned i = 0; i < copy->shape.histograms; i++) {
        if (copy->seen & UINT32_C(1) << i)
            add(st, values, copy->values, rv_stats_row_histogram(&copy->shape, i),
                rv_stats_row_histogram(&copy->shape, i + 1));
    }
}

/* All cells of it. */
static void
write_copy(uint64_t *to, const copy_t *copy)
{
    memcpy(to, copy->values, copy->shape.plain * sizeof(*to));
    for (unsigned i = 0; i < copy->shape.histograms; i++) {
        unsigned first = rv_stats_row_histogram(&copy->shape, i);
        size_t size = RV_STATS_HISTOGRAM_CELLS * sizeof(*to);

        if (copy->seen & UINT32_C(1) << i)
            memcpy(to + first, copy->values + first, size);
        else
            memset(to + first, 0, size);
    }
}

static void
read_owner(const rv_stats_row_t *row, rv_stats_owner_t *owner)
{
    owner->slot = atomic_load(&row->slot);
    owner->worker = atomic_load(&row->worker);
    owner->generation = atomic_load(&row->generation);
    owner->pid = (pid_t) atomic_load(&row->pid);
    owner->state = atomic_load(&row->state);
    owner->started = atomic_load(&row->started);
    owner->restarts = atomic_load(&row->restarts);
}

/* Lists the process of a row, its values included. */
static void
list(list_t *l, const rv_stats_row_t *row, const copy_t *copy)
{
    rv_stats_view_t *view = l->view;

    if (view->count == l->room || atomic_load(&row->pid) == 0
        || atomic_load(&row->worker) == RV_STATS_UNKNOWN)
        return;

    uint64_t *values = view->values + (size_t) view->count * l->stride;
    rv_stats_process_t *p = &view->process[view->count++];

    read_owner(row, &p->owner);
    p->heartbeat = atomic_load(&row->heartbeat);
    p->values = values;
    write_copy(values, copy);
}

/* Base and rows, as one state of `fold`. */
static void
sum(const rv_stats_t *st, uint64_t fold, uint64_t *values, unsigned cells, list_t *l)
{
    uint64_t room[RV_STATS_CELLS];
    copy_t copy = { .values = room };
    unsigned used = atomic_load(&st->header->rows_used);
    uint64_t passed_over = fold >> RV_STATS_FOLD_ROW_SHIFT & RV_STATS_FOLD_ROW_MASK;
    const _Atomic uint64_t *base = rv_stats_layout_base(st, (fold & RV_STATS_FOLD_BASE) != 0);

    for (unsigned i = 0; i < cells; i++)
        values[i] = load(&base[i]);

    copy.shape = cells == st->at.cells ? st->shape : (rv_stats_row_shape_t){ cells, 0 };
    used = rv_min(used, st->at.rows);
    for (unsigned i = 0; i < used; i++) {
        const rv_stats_row_ref_t ref = rv_stats_layout_row(st, i);

        if (atomic_load_explicit(&ref.row->master, memory_order_acquire) == 0
            || i + 1 == passed_over)
            continue;
        copy.seen = rv_stats_row_read_seen(&ref, copy.values, &copy.shape);
        add_copy(st, values, &copy);
        if (l != NULL)
            list(l, ref.row, &copy);
    }
}

/* To which cell of st each of old belongs, or -1. */
static void
match(const rv_stats_t *st, const rv_stats_t *old, int *to)
{
    memset(to, -1, old->at.cells * sizeof(*to));
    for (unsigned i = 0; i < old->at.count; i++) {
        const rv_stats_info_t from = rv_stats_info(old, i);
        unsigned cells = rv_stats_layout_cells(from.kind);

        for (unsigned k = 0; cells > 0 && k < st->at.count; k++) {
            const rv_stats_info_t info = rv_stats_info(st, k);

            if (info.kind != from.kind || strcmp(info.module, from.module) != 0
                || strcmp(info.name, from.name) != 0)
                continue;
            for (unsigned n = 0; n < cells; n++)
                to[from.cell + n] = (int) (info.cell + n);
        }
    }
}

static void
translate(const int *to, const uint64_t *from, unsigned count, uint64_t *values, unsigned cells)
{
    memset(values, 0, cells * sizeof(*values));
    for (unsigned i = 0; i < count; i++) {
        if (to[i] >= 0 && (unsigned) to[i] < cells)
            values[to[i]] = from[i];
    }
}

static void collect(const rv_stats_t *st, uint64_t *values, unsigned cells, list_t *l, int depth);

/* Adds what the predecessor counts and the base has not got yet. */
static void
add_predecessor(
    const rv_stats_t *st, uint64_t fold, uint64_t *values, unsigned cells, list_t *l, int depth)
{
    const _Atomic uint64_t *carried =
        rv_stats_layout_carried(st, fold & RV_STATS_FOLD_BASE ? 1 : 0);
    const rv_stats_t *old = st->predecessor;
    uint64_t from[RV_STATS_CELLS], copy[RV_STATS_CELLS];
    int to[RV_STATS_CELLS];
    unsigned first = l == NULL ? 0 : l->view->count;

    match(st, old, to);
    collect(old, from, old->at.cells, l, depth + 1);
    translate(to, from, old->at.cells, copy, cells);
    for (unsigned i = 0; i < cells; i++)
        copy[i] -= st->how[i] == RV_STATS_LAYOUT_MAX ? 0 : load(&carried[i]);
    add(st, values, copy, 0, cells);

    for (unsigned i = first; l != NULL && i < l->view->count; i++) {
        uint64_t *listed = l->view->values + (size_t) i * l->stride;

        translate(to, listed, old->at.cells, copy, cells);
        memcpy(listed, copy, cells * sizeof(*copy));
    }
}

static void
collect(const rv_stats_t *st, uint64_t *values, unsigned cells, list_t *l, int depth)
{
    unsigned first = l == NULL ? 0 : l->view->count;
    uint64_t fold;

    do {
        if (l != NULL)
            l->view->count = first;
        fold = atomic_load(&st->header->fold);
        sum(st, fold, values, cells, l);
        /* of more than these what was carried last counts */
        if (st->predecessor != NULL && !(fold & RV_STATS_FOLD_PREDECESSOR) && depth < MOST_DEPTH)
            add_predecessor(st, fold, values, cells, l, depth);
        atomic_thread_fence(memory_order_acquire);
    } while (atomic_load(&st->header->fold) != fold);
}

void
rv_stats_predecessor(const rv_stats_t *st, uint64_t *values)
{
    memset(values, 0, st->at.cells * sizeof(*values));
    add_predecessor(st, atomic_load(&st->header->fold), values, st->at.cells, NULL, 0);
}

void
rv_stats_snapshot(const rv_stats_t *st, uint64_t *values, unsigned cells)
{
    collect(st, values, rv_min(cells, st->at.cells), NULL, 0);
}

int
rv_stats_row(const rv_stats_t *st, unsigned row, rv_stats_owner_t *owner, uint64_t *values)
{
    if (row >= st->at.rows)
        return RV_DONE;

    const rv_stats_row_ref_t ref = rv_stats_layout_row(st, row);
    if (atomic_load(&ref.row->master) == 0 || atomic_load(&ref.row->pid) == 0)
        return RV_DONE;

    read_owner(ref.row, owner);
    rv_stats_row_read(&ref, values, ref.cells);
    return RV_OK;
}

unsigned
rv_stats_rows(const rv_stats_t *st)
{
    return rv_min(atomic_load(&st->header->rows_used), st->at.rows);
}

int
rv_stats_glance(const rv_stats_t *st, unsigned row, unsigned cell, unsigned count, uint64_t *values,
    rv_stats_process_t *p)
{
    if (row >= st->at.rows || count > st->at.cells || cell > st->at.cells - count)
        return RV_DONE;

    const rv_stats_row_ref_t ref = rv_stats_layout_row(st, row);
    if (atomic_load_explicit(&ref.row->master, memory_order_acquire) == 0
        || atomic_load(&ref.row->pid) == 0)
        return RV_DONE;

    read_owner(ref.row, &p->owner);
    p->heartbeat = atomic_load(&ref.row->heartbeat);
    for (unsigned i = 0; i < count; i++)
        values[i] = load(&ref.value[cell + i]);
    p->values = values;
    return RV_OK;
}

void
rv_stats_master(const rv_stats_t *st, rv_stats_master_t *master)
{
    const rv_stats_layout_t *h = st->header;
    rv_stats_outcome_t reload;
    uint64_t before = atomic_load(&h->reloads_before);

    rv_stats_outcome(st, RV_STATS_RELOAD, &reload);
    master->reloads = reload.finished - rv_min(before, reload.finished);
    master->reload_time = reload.time;
    master->reload_result = reload.result;
    memcpy(master->reload_text, reload.text, sizeof(master->reload_text));
    master->master = (pid_t) atomic_load(&h->master);
    master->started = atomic_load(&h->started);
    master->generation = atomic_load(&h->generation);
    master->superseded = atomic_load(&h->successor) != 0;
}

/* --- a view of everything ---------------------------------------------------------- */

static int
compare(const void *a, const void *b)
{
    const rv_stats_owner_t *x = &((const rv_stats_process_t *) a)->owner;
    const rv_stats_owner_t *y = &((const rv_stats_process_t *) b)->owner;

    if (x->worker != y->worker)
        return x->worker < y->worker ? -1 : 1;
    if (x->generation != y->generation)
        return x->generation < y->generation ? -1 : 1;
    return y->state - x->state; /* one that drains has made room for another */
}

int
rv_stats_view(const rv_stats_t *st, rv_stats_view_t *view)
{
    list_t l = { .view = view, .stride = 1 };

    *view = (rv_stats_view_t){ 0 };
    const rv_stats_t *each = st;
    do {
        l.stride = rv_max(l.stride, each->at.cells + 1);
        l.room += each->at.rows;
        each = each->predecessor;
    } while (each != NULL);
    view->totals = calloc(l.stride + 1, sizeof(uint64_t));
    /* most of it is never touched: not even zeroed */
    view->process = malloc((l.room + 1) * sizeof(*view->process));
    view->values = malloc(((size_t) l.room * l.stride + 1) * sizeof(uint64_t));
    if (view->totals == NULL || view->process == NULL || view->values == NULL) {
        rv_stats_view_free(view);
        return RV_ERROR;
    }

    rv_stats_master(st, &view->master);
    collect(st, view->totals, st->at.cells, &l, 0);
    qsort(view->process, view->count, sizeof(*view->process), compare);
    return RV_OK;
}

void
rv_stats_view_free(rv_stats_view_t *view)
{
    free(view->totals);
    free(view->process);
    free(view->values);
    *view = (rv_stats_view_t){ 0 };
}

int
rv_stats_is_whole(const rv_stats_t *st)
{
    unsigned used = rv_min(atomic_load(&st->header->rows_used), st->at.rows);

    for (unsigned i = 0; i < used; i++) {
        const rv_stats_row_ref_t ref = rv_stats_layout_row(st, i);

        if (atomic_load(&ref.row->master) != 0 && !rv_stats_row_is_whole(&ref))
            return 0;
    }
    return rv_stats_layout_is_whole(st);
}

int
rv_stats_is_complete(const rv_stats_t *st)
{
    for (; st != NULL; st = st->predecessor) {
        if (st->predecessor == NULL && atomic_load(&st->header->predecessor) != 0
            && !(atomic_load(&st->header->fold) & RV_STATS_FOLD_PREDECESSOR))
            return 0;
    }
    return 1;
}

int
rv_stats_link(rv_stats_t *st, rv_stats_t *old)
{
    uint64_t fold = atomic_load(&st->header->fold);

    if (st == old || old->header->id != atomic_load(&st->header->predecessor)
        || fold & RV_STATS_FOLD_PREDECESSOR)
        return 0;

    st->predecessor = old;
    return 1;
}
