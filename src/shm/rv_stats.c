/*
 * rv_stats: counters that are exact whatever dies.
 *
 * Who writes what: a process its own row's values; the master every row's
 * owner, the bases and the header. No cell has two writers.
 *
 * A fold works on two bases, one of them in force. The sum goes into the other
 * one; then a single store, of `fold`, says that this one is in force and that
 * the row is part of it. The row is emptied after that, and a last store says
 * that no row is to be passed over any more. A master killed in between left
 * either the state before or a row that readers pass over.
 */
#include "rv_stats.h"

#include "rv_stats_layout.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* `fold`: a count of its changes, whether the predecessor's totals are part of the base, the
 * slot + 1 of the row that is part of it, and which base is in force. */
#define FOLD_BASE UINT64_C(0x1)
#define FOLD_PREDECESSOR UINT64_C(0x2)
#define FOLD_SLOT_SHIFT 2
#define FOLD_SLOT_MASK UINT64_C(0xfffff)
#define FOLD_COUNT_SHIFT 32

struct rv_stats_s {
    rv_stats_layout_t *header;
    unsigned count;         /* of definitions */
    rv_stats_row_ref_t own; /* its row NULL: this process has none */
    rv_stats_t *predecessor;
};

static rv_stats_row_ref_t
row_at(const rv_stats_t *st, unsigned slot)
{
    return (rv_stats_row_ref_t){ .row = rv_stats_layout_row(st->header, slot), .count = st->count };
}

static _Atomic uint64_t *
base_at(const rv_stats_t *st, uint64_t fold)
{
    return rv_stats_layout_base(st->header, (fold & FOLD_BASE) != 0);
}

static uint64_t
load(const _Atomic uint64_t *cell)
{
    return atomic_load_explicit(cell, memory_order_relaxed);
}

static void
store(_Atomic uint64_t *cell, uint64_t value)
{
    atomic_store_explicit(cell, value, memory_order_relaxed);
}

/* --- definitions ---------------------------------------------------------------- */

int
rv_stats_define(rv_stats_defs_t *defs, const char *module, const rv_stats_def_t *def)
{
    for (; def->name != NULL; def++) {
        if (defs->count == RV_STATS_MAX || strlen(module) >= RV_STATS_MODULE
            || strlen(def->name) >= RV_STATS_NAME)
            return RV_ERROR;
        defs->entry[defs->count].module = module;
        defs->entry[defs->count].def = def;
        defs->count++;
    }
    return RV_OK;
}

size_t
rv_stats_size(const rv_stats_defs_t *defs, unsigned rows)
{
    return rv_stats_layout_size(defs->count, rows);
}

rv_stats_t *
rv_stats_create(void *memory, const rv_stats_defs_t *defs, unsigned rows)
{
    rv_stats_t *st = calloc(1, sizeof(*st));

    if (st == NULL)
        return NULL;

    st->header = memory;
    st->count = defs->count;
    if (rv_stats_layout_fill(st->header, defs, rows) != RV_OK) {
        free(st);
        return NULL;
    }
    rv_stats_layout_finish(st->header);
    return st;
}

rv_stats_t *
rv_stats_attach(void *memory, size_t size)
{
    rv_stats_layout_t *h = memory;

    if (!rv_stats_layout_is_valid(h, size)) {
        errno = EINVAL;
        return NULL;
    }

    rv_stats_t *st = calloc(1, sizeof(*st));
    if (st == NULL)
        return NULL;

    st->header = h;
    st->count = h->count;
    return st;
}

void
rv_stats_free(rv_stats_t *st)
{
    free(st);
}

int
rv_stats_same(const rv_stats_t *st, const rv_stats_defs_t *defs, unsigned rows)
{
    if (st->count != defs->count || st->header->rows != rows)
        return 0;

    for (unsigned i = 0; i < defs->count; i++) {
        const rv_stats_layout_def_t *def = rv_stats_layout_def(st->header, i);

        if (strcmp(def->module, defs->entry[i].module) != 0
            || strcmp(def->name, defs->entry[i].def->name) != 0
            || def->kind != (uint32_t) defs->entry[i].def->kind)
            return 0;
    }
    return 1;
}

int
rv_stats_find(const rv_stats_t *st, const char *module, const char *name)
{
    for (unsigned i = 0; i < st->count; i++) {
        const rv_stats_layout_def_t *def = rv_stats_layout_def(st->header, i);

        if (strcmp(def->module, module) == 0 && strcmp(def->name, name) == 0)
            return (int) i;
    }
    return RV_ERROR;
}

unsigned
rv_stats_count(const rv_stats_t *st)
{
    return st->count;
}

const char *
rv_stats_name(const rv_stats_t *st, unsigned index)
{
    return rv_stats_layout_def(st->header, index)->name;
}

rv_stats_kind_t
rv_stats_kind(const rv_stats_t *st, unsigned index)
{
    return (rv_stats_kind_t) rv_stats_layout_def(st->header, index)->kind;
}

/* --- a row's writer ---------------------------------------------------------- */

void
rv_stats_own(rv_stats_t *st, unsigned slot)
{
    st->own = row_at(st, slot);
}

/* Adds what was found open to the count of recoveries. */
static void
count_completed(rv_stats_t *st, rv_stats_row_ref_t *ref)
{
    if (ref->completed > 0)
        atomic_fetch_add(&st->header->recoveries, ref->completed);
    ref->completed = 0;
}

void
rv_stats_apply(rv_stats_t *st, const rv_stats_change_t *changes, unsigned count)
{
    if (st->own.row == NULL)
        return;

    rv_stats_row_apply(&st->own, changes, count);
    if (st->own.completed > 0)
        count_completed(st, &st->own);
}

void
rv_stats_heartbeat(rv_stats_t *st, uint64_t now)
{
    if (st->own.row != NULL)
        store(&st->own.row->heartbeat, now);
}

/* --- readers ------------------------------------------------------------------- */

/* Adds base and rows to values, as one state of `fold`. */
static void
sum(const rv_stats_t *st, uint64_t fold, uint64_t *values)
{
    uint64_t copy[RV_STATS_MAX];
    unsigned count = st->count;
    unsigned used = atomic_load(&st->header->rows_used);
    uint64_t passed_over = fold >> FOLD_SLOT_SHIFT & FOLD_SLOT_MASK;
    const _Atomic uint64_t *base = base_at(st, fold);

    for (unsigned i = 0; i < count; i++)
        values[i] = load(&base[i]);

    used = rv_min(used, st->header->rows);
    for (unsigned slot = 0; slot < used; slot++) {
        const rv_stats_row_ref_t ref = row_at(st, slot);

        if (atomic_load(&ref.row->pid) == 0 || slot + 1 == passed_over)
            continue;
        rv_stats_row_read(&ref, copy);
        for (unsigned i = 0; i < count; i++)
            values[i] += copy[i];
    }
}

/* Adds the predecessor's totals, its definitions matched by name. */
static void
add_predecessor(const rv_stats_t *st, uint64_t *values)
{
    const rv_stats_t *old = st->predecessor;
    uint64_t copy[RV_STATS_MAX];

    rv_stats_snapshot(old, copy);
    for (unsigned i = 0; i < old->count; i++) {
        const rv_stats_layout_def_t *def = rv_stats_layout_def(old->header, i);
        int index = rv_stats_find(st, def->module, def->name);

        if (index >= 0 && def->kind == rv_stats_layout_def(st->header, (unsigned) index)->kind)
            values[index] += copy[i];
    }
}

void
rv_stats_snapshot(const rv_stats_t *st, uint64_t *values)
{
    uint64_t fold;

    do {
        fold = atomic_load(&st->header->fold);
        sum(st, fold, values);
        if (st->predecessor != NULL && !(fold & FOLD_PREDECESSOR))
            add_predecessor(st, values);
        atomic_thread_fence(memory_order_acquire);
    } while (atomic_load(&st->header->fold) != fold);
}

int
rv_stats_row(const rv_stats_t *st, unsigned slot, rv_stats_owner_t *owner, uint64_t *values)
{
    if (slot >= st->header->rows)
        return RV_DONE;

    const rv_stats_row_ref_t ref = row_at(st, slot);
    const rv_stats_row_t *row = ref.row;
    owner->slot = slot;
    owner->pid = (pid_t) atomic_load(&row->pid);
    owner->worker = atomic_load(&row->worker);
    owner->generation = atomic_load(&row->generation);
    owner->state = atomic_load(&row->state);
    owner->started = atomic_load(&row->started);
    if (owner->pid == 0)
        return RV_DONE;

    rv_stats_row_read(&ref, values);
    return RV_OK;
}

uint64_t
rv_stats_recoveries(const rv_stats_t *st)
{
    return atomic_load(&st->header->recoveries);
}

/* --- the master ------------------------------------------------------------------- */

int
rv_stats_prepare(rv_stats_t *st, unsigned slot)
{
    unsigned used = atomic_load(&st->header->rows_used);

    /* memory of rows that nobody has ever used stays untouched */
    for (; used <= slot; used++) {
        if (rv_stats_row_init(row_at(st, used).row) != RV_OK)
            return RV_ERROR;
        atomic_store(&st->header->rows_used, used + 1);
    }
    return RV_OK;
}

/* Changes `fold`: which base, which row is part of it, the flags as they are. */
static void
set_fold(rv_stats_t *st, uint64_t base, uint64_t flags, uint64_t slot)
{
    uint64_t count = (atomic_load(&st->header->fold) >> FOLD_COUNT_SHIFT) + 1;

    atomic_store(&st->header->fold,
        count << FOLD_COUNT_SHIFT | slot << FOLD_SLOT_SHIFT | flags | (base & FOLD_BASE));
    atomic_thread_fence(memory_order_seq_cst); /* before what follows is changed */
}

/* Empties the row that a fold left to be passed over. */
static void
end_fold(rv_stats_t *st)
{
    uint64_t fold = atomic_load(&st->header->fold);
    uint64_t slot = fold >> FOLD_SLOT_SHIFT & FOLD_SLOT_MASK;

    if (slot == 0)
        return;

    rv_stats_row_ref_t ref = row_at(st, (unsigned) slot - 1);
    rv_stats_row_empty(&ref);
    set_fold(st, fold, fold & FOLD_PREDECESSOR, 0);
}

static int
complete_fold(void *data)
{
    rv_stats_t *st = data;

    end_fold(st);
    atomic_fetch_add(&st->header->recoveries, 1);
    return RV_OK;
}

int
rv_stats_set_owner(rv_stats_t *st, const rv_stats_owner_t *owner)
{
    rv_stats_row_t *row = row_at(st, owner->slot).row;

    if (rv_lock_acquire(&st->header->lock, complete_fold, st) == RV_ERROR)
        return RV_ERROR;

    atomic_store(&row->worker, owner->worker);
    atomic_store(&row->generation, owner->generation);
    atomic_store(&row->state, owner->state);
    atomic_store(&row->started, owner->started);
    atomic_store(&row->pid, owner->pid);
    rv_lock_release(&st->header->lock);
    return RV_OK;
}

/* Puts base + added counters in force, together with flags and the slot. */
static void
add_to_base(rv_stats_t *st, const uint64_t *added, uint64_t flags, uint64_t slot)
{
    uint64_t fold = atomic_load(&st->header->fold);
    const _Atomic uint64_t *from = base_at(st, fold);
    _Atomic uint64_t *to = base_at(st, ~fold);

    for (unsigned i = 0; i < st->count; i++) {
        int counts = rv_stats_layout_def(st->header, i)->kind == RV_STATS_COUNTER;
        store(&to[i], load(&from[i]) + (counts ? added[i] : 0));
    }
    set_fold(st, ~fold, (fold & FOLD_PREDECESSOR) | flags, slot);
}

int
rv_stats_fold(rv_stats_t *st, unsigned slot)
{
    rv_stats_row_ref_t ref = row_at(st, slot);
    uint64_t values[RV_STATS_MAX];

    /* first the lock, which completes what a dead master began */
    if (rv_lock_acquire(&st->header->lock, complete_fold, st) == RV_ERROR)
        return RV_ERROR;
    if (atomic_load(&ref.row->pid) == 0) {
        rv_lock_release(&st->header->lock);
        return RV_OK;
    }

    int taken = rv_stats_row_take_over(&ref);
    count_completed(st, &ref);
    rv_stats_row_read(&ref, values);
    add_to_base(st, values, 0, slot + 1);
    end_fold(st);

    if (taken == RV_OK)
        rv_stats_row_give_back(&ref);
    rv_lock_release(&st->header->lock);
    return RV_OK;
}

void
rv_stats_succeed(rv_stats_t *st, rv_stats_t *old)
{
    st->predecessor = old;
}

int
rv_stats_retire(rv_stats_t *st, const rv_stats_t *old)
{
    uint64_t values[RV_STATS_MAX] = { 0 };

    if (old == NULL || st->predecessor != old)
        return RV_DONE;
    if (rv_lock_acquire(&st->header->lock, complete_fold, st) == RV_ERROR)
        return RV_ERROR;

    /* unless somebody did so and was killed behind it */
    if (!(atomic_load(&st->header->fold) & FOLD_PREDECESSOR)) {
        add_predecessor(st, values);
        add_to_base(st, values, FOLD_PREDECESSOR, 0);
    }
    st->predecessor = NULL;

    rv_lock_release(&st->header->lock);
    return RV_OK;
}

void
rv_stats_set_master(rv_stats_t *st, pid_t pid, unsigned generation)
{
    atomic_store(&st->header->master, pid);
    atomic_store(&st->header->generation, generation);
}

void
rv_stats_set_reload(rv_stats_t *st, int result, const char *text)
{
    rv_stats_layout_t *h = st->header;

    rv_stats_layout_copy(h->reload_text, sizeof(h->reload_text), text);
    atomic_store(&h->reload_time, (int64_t) time(NULL));
    atomic_store(&h->reload_result, result);
    atomic_fetch_add(&h->reloads, 1);
}
