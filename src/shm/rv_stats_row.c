/*
 * rv_stats_row: the values of one process, as it alone writes them.
 *
 * A transaction is a redo journal: the new values are noted, their number is
 * published, they are stored, the sequence becomes even. Storing them a second
 * time does no harm, so whoever finds the transaction open (the master after a
 * death, or a reader at any time) stores them, or reads them, from the journal:
 * either nothing of it counts or all of it does, and nobody ever waits for the writer.
 *
 * The writer adds to a copy of its own and publishes the results: what is in
 * shared memory is never read back by it, so it can be written anew.
 */
#include "rv_stats_row.h"

#define MARK UINT64_C(0x65767265776f7221) /* any number but 0 */

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

void
rv_stats_row_init(const rv_stats_row_ref_t *ref)
{
    store(ref->mark, MARK);
}

int
rv_stats_row_is_whole(const rv_stats_row_ref_t *ref)
{
    return load(ref->mark) == MARK;
}

void
rv_stats_row_check(const rv_stats_row_ref_t *ref)
{
    if (load(ref->mark) == MARK)
        return;

    atomic_store(&ref->row->entries, 0);
    atomic_store(&ref->row->sequence, 0);
    for (unsigned i = 0; i < ref->cells; i++)
        store(&ref->value[i], ref->local[i]);
    atomic_store(ref->mark, MARK);
}

int
rv_stats_row_complete(const rv_stats_row_ref_t *ref)
{
    rv_stats_row_t *row = ref->row;
    uint32_t sequence = atomic_load(&row->sequence);

    if (sequence % 2 == 0)
        return 0;

    uint32_t entries = atomic_load(&row->entries);
    for (uint32_t i = 0; i < entries && i < RV_STATS_CHANGES; i++) {
        uint64_t cell = load(&row->journal[i].cell);
        if (cell < ref->cells)
            store(&ref->value[cell], load(&row->journal[i].value));
    }
    atomic_store(&row->sequence, sequence + 1);
    return 1;
}

void
rv_stats_row_apply(
    const rv_stats_row_ref_t *ref, const rv_stats_change_t *changes, unsigned changed)
{
    rv_stats_row_t *row = ref->row;
    _Atomic uint64_t *value = ref->value;
    uint64_t *local = ref->local;

    if (changed > RV_STATS_CHANGES)
        return;
    for (unsigned i = 0; i < changed; i++) {
        if (changes[i].cell >= ref->cells)
            return;
    }
    rv_stats_row_check(ref);

    uint32_t sequence = atomic_load_explicit(&row->sequence, memory_order_relaxed);

    /* within one odd sequence `entries` goes from 0 to its number, once */
    atomic_store_explicit(&row->entries, 0, memory_order_relaxed);
    atomic_store_explicit(&row->sequence, sequence + 1, memory_order_release);
    atomic_thread_fence(memory_order_release);

    for (unsigned i = 0; i < changed; i++) {
        local[changes[i].cell] += (uint64_t) changes[i].delta;
        store(&row->journal[i].cell, changes[i].cell);
        store(&row->journal[i].value, local[changes[i].cell]);
    }
    atomic_store_explicit(&row->entries, changed, memory_order_release);
    atomic_thread_fence(memory_order_release);

    for (unsigned i = 0; i < changed; i++)
        store(&value[changes[i].cell], local[changes[i].cell]);
    atomic_store_explicit(&row->sequence, sequence + 2, memory_order_release);
}

static void
copy_cells(const rv_stats_row_ref_t *ref, uint64_t *values, unsigned first, unsigned count)
{
    for (unsigned i = first; i < first + count; i++)
        values[i] = load(&ref->value[i]);
}

/* As rv_stats_histogram_is_empty. */
static int
is_empty(const rv_stats_row_ref_t *ref, unsigned first)
{
    return load(&ref->value[first + RV_STATS_HISTOGRAM_SUM]) == 0
        && load(&ref->value[first + RV_STATS_HISTOGRAM_FIRST]) == 0;
}

/* Bits of the histograms that were copied; with `all` those that are empty too. */
static uint32_t
copy_shape(
    const rv_stats_row_ref_t *ref, uint64_t *values, const rv_stats_row_shape_t *shape, int all)
{
    uint32_t seen = 0;

    copy_cells(ref, values, 0, shape->plain);
    for (unsigned i = 0; i < shape->histograms; i++) {
        unsigned first = rv_stats_row_histogram(shape, i);

        if (!all && is_empty(ref, first))
            continue;
        copy_cells(ref, values, first, RV_STATS_HISTOGRAM_CELLS);
        seen |= UINT32_C(1) << i;
    }
    return seen;
}

/* One try at a consistent copy. */
static int
copy(const rv_stats_row_ref_t *ref, uint64_t *values, const rv_stats_row_shape_t *shape,
    uint32_t *seen)
{
    unsigned cells = rv_stats_row_histogram(shape, shape->histograms);
    rv_stats_row_t *row = ref->row;
    uint64_t cell[RV_STATS_CHANGES], value[RV_STATS_CHANGES];

    uint32_t sequence = atomic_load_explicit(&row->sequence, memory_order_acquire);
    uint32_t entries = atomic_load_explicit(&row->entries, memory_order_acquire);
    entries = sequence % 2 == 0 ? 0 : rv_min(entries, (uint32_t) RV_STATS_CHANGES);

    for (uint32_t i = 0; i < entries; i++) {
        cell[i] = load(&row->journal[i].cell);
        value[i] = load(&row->journal[i].value);
    }
    /* an open transaction may be the first to change an empty histogram */
    *seen = copy_shape(ref, values, shape, entries > 0);

    atomic_thread_fence(memory_order_acquire);
    /* the sequence last: the next transaction sets `entries` to 0 before it begins */
    uint32_t entries_now = atomic_load_explicit(&row->entries, memory_order_acquire);
    if (atomic_load_explicit(&row->sequence, memory_order_relaxed) != sequence)
        return RV_AGAIN;
    if (sequence % 2 == 0)
        return RV_OK;
    if (rv_min(entries_now, (uint32_t) RV_STATS_CHANGES) != entries)
        return RV_AGAIN;

    for (uint32_t i = 0; i < entries; i++) {
        if (cell[i] < cells)
            values[cell[i]] = value[i];
    }
    return RV_OK;
}

void
rv_stats_row_read(const rv_stats_row_ref_t *ref, uint64_t *values, unsigned cells)
{
    const rv_stats_row_shape_t plain = { cells, 0 };

    (void) rv_stats_row_read_seen(ref, values, &plain);
}

uint32_t
rv_stats_row_read_seen(
    const rv_stats_row_ref_t *ref, uint64_t *values, const rv_stats_row_shape_t *shape)
{
    uint32_t seen;

    while (copy(ref, values, shape, &seen) != RV_OK)
        continue; /* the writer is running: it cannot be caught for long */
    return seen;
}

void
rv_stats_row_empty(const rv_stats_row_ref_t *ref)
{
    rv_stats_row_t *row = ref->row;

    atomic_store(&row->entries, 0);
    atomic_store(&row->heartbeat, 0);
    atomic_store(&row->restarts, 0);
    atomic_store(&row->pid, 0);
    row->witness.word = 0;
    atomic_store(&row->witness.initial, 0);
    for (unsigned i = 0; i < ref->cells; i++)
        store(&ref->value[i], 0);
    atomic_store(&row->master, 0); /* last: from now on another may claim it */
}
