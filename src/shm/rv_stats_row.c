/*
 * rv_stats_row: the values of one process, as it alone writes them.
 *
 * A transaction is a redo journal: the new values are noted, their number is
 * published, they are stored, the sequence becomes even. Storing them a second
 * time does no harm, so whoever finds the transaction open (the master after a
 * death, or a reader at any time) stores them, or reads them, from the journal:
 * either nothing of it counts or all of it does, and nobody ever waits for the writer.
 */
#include "rv_stats_row.h"

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

int
rv_stats_row_init(rv_stats_row_t *row)
{
    return rv_lock_init(&row->lock);
}

/* A rv_lock_repair_t, too. */
static int
complete(void *data)
{
    rv_stats_row_ref_t *ref = data;
    rv_stats_row_t *row = ref->row;
    uint32_t sequence = atomic_load(&row->sequence);

    if (sequence % 2 == 0)
        return RV_OK;

    uint32_t entries = atomic_load(&row->entries);
    for (uint32_t i = 0; i < entries && i < RV_STATS_CHANGES; i++) {
        uint64_t index = load(&row->journal[i].index);
        if (index < ref->count)
            store(&row->value[index], load(&row->journal[i].value));
    }
    atomic_store(&row->sequence, sequence + 1);
    ref->completed++;
    return RV_OK;
}

void
rv_stats_row_apply(rv_stats_row_ref_t *ref, const rv_stats_change_t *changes, unsigned changed)
{
    rv_stats_row_t *row = ref->row;

    for (unsigned i = 0; i < changed && i < RV_STATS_CHANGES; i++) {
        if (changes[i].index >= ref->count)
            return;
    }
    if (changed > RV_STATS_CHANGES || rv_lock_acquire(&row->lock, complete, ref) == RV_ERROR)
        return;

    _Atomic uint64_t *value = row->value;
    uint32_t sequence = atomic_load_explicit(&row->sequence, memory_order_relaxed);

    /* within one odd sequence `entries` goes from 0 to its number, once */
    atomic_store_explicit(&row->entries, 0, memory_order_relaxed);
    atomic_store_explicit(&row->sequence, sequence + 1, memory_order_release);
    atomic_thread_fence(memory_order_release);

    for (unsigned i = 0; i < changed; i++) {
        store(&row->journal[i].index, changes[i].index);
        store(&row->journal[i].value, load(&value[changes[i].index]) + (uint64_t) changes[i].delta);
    }
    atomic_store_explicit(&row->entries, changed, memory_order_release);
    atomic_thread_fence(memory_order_release);

    for (unsigned i = 0; i < changed; i++)
        store(&value[changes[i].index], load(&row->journal[i].value));
    atomic_store_explicit(&row->sequence, sequence + 2, memory_order_release);

    rv_lock_release(&row->lock);
}

/* One try at a consistent copy. */
static int
copy(const rv_stats_row_ref_t *ref, uint64_t *values)
{
    rv_stats_row_t *row = ref->row;
    uint64_t index[RV_STATS_CHANGES], value[RV_STATS_CHANGES];

    uint32_t sequence = atomic_load_explicit(&row->sequence, memory_order_acquire);
    uint32_t entries = atomic_load_explicit(&row->entries, memory_order_acquire);
    if (sequence % 2 == 0)
        entries = 0;
    if (entries > RV_STATS_CHANGES)
        return RV_AGAIN;

    for (uint32_t i = 0; i < entries; i++) {
        index[i] = load(&row->journal[i].index);
        value[i] = load(&row->journal[i].value);
    }
    for (unsigned i = 0; i < ref->count; i++)
        values[i] = load(&row->value[i]);

    atomic_thread_fence(memory_order_acquire);
    /* the sequence last: the next transaction sets `entries` to 0 before it begins */
    uint32_t entries_now = atomic_load_explicit(&row->entries, memory_order_acquire);
    if (atomic_load_explicit(&row->sequence, memory_order_relaxed) != sequence)
        return RV_AGAIN;
    if (sequence % 2 == 0)
        return RV_OK;
    if (entries_now != entries)
        return RV_AGAIN;

    for (uint32_t i = 0; i < entries; i++) {
        if (index[i] < ref->count)
            values[index[i]] = value[i];
    }
    return RV_OK;
}

void
rv_stats_row_read(const rv_stats_row_ref_t *ref, uint64_t *values)
{
    while (copy(ref, values) != RV_OK)
        continue; /* the writer is running: it cannot be caught for long */
}

int
rv_stats_row_take_over(rv_stats_row_ref_t *ref)
{
    int locked = rv_lock_acquire(&ref->row->lock, complete, ref);

    /* it may have died before its lock, or behind its unlock */
    if (locked != RV_LOCK_REPAIRED)
        (void) complete(ref);
    return locked == RV_ERROR ? RV_ERROR : RV_OK;
}

void
rv_stats_row_give_back(rv_stats_row_ref_t *ref)
{
    rv_lock_release(&ref->row->lock);
}

void
rv_stats_row_empty(rv_stats_row_ref_t *ref)
{
    atomic_store(&ref->row->pid, 0);
    atomic_store(&ref->row->entries, 0);
    atomic_store(&ref->row->heartbeat, 0);
    for (unsigned i = 0; i < ref->count; i++)
        store(&ref->row->value[i], 0);
}
