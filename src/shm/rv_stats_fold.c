/*
 * rv_stats_fold: the master's part of the statistics.
 *
 * A fold works on two bases, one of them in force. The sum goes into the other
 * one; then a single store, of `fold`, says that this one is in force and that
 * the row is part of it. The row is emptied after that, and a last store says
 * that no row is to be passed over any more. A master killed in between left
 * either the state before or a row that readers pass over; whoever takes the
 * lock after it empties that row.
 */
#include "rv_stats_fold.h"

#include "rv_alive.h"
#include "rv_stats_layout.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

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

/* --- folds -------------------------------------------------------------------------- */

/* Changes `fold`: which base, which row is part of it, the flags as they are. */
static void
set_fold(rv_stats_t *st, uint64_t base, uint64_t flags, uint64_t row)
{
    uint64_t count = (atomic_load(&st->header->fold) >> RV_STATS_FOLD_COUNT_SHIFT) + 1;

    atomic_store(&st->header->fold,
        count << RV_STATS_FOLD_COUNT_SHIFT | row << RV_STATS_FOLD_ROW_SHIFT | flags
            | (base & RV_STATS_FOLD_BASE));
    atomic_thread_fence(memory_order_seq_cst); /* before what follows is changed */
}

/* Empties the row that a fold left to be passed over. 1: there was one. */
static int
end_fold(rv_stats_t *st)
{
    uint64_t fold = atomic_load(&st->header->fold);
    uint64_t row = fold >> RV_STATS_FOLD_ROW_SHIFT & RV_STATS_FOLD_ROW_MASK;

    if (row == 0 || row > st->at.rows)
        return 0;

    const rv_stats_row_ref_t ref = rv_stats_layout_row(st, (unsigned) row - 1);
    rv_stats_row_empty(&ref);
    set_fold(st, fold, fold & RV_STATS_FOLD_PREDECESSOR, 0);
    return 1;
}

static int
complete_fold(void *data)
{
    rv_stats_t *st = data;

    end_fold(st);
    st->recoveries++;
    return RV_OK;
}

/* Puts back all in front of the rows but the lock. */
static void
put_back(rv_stats_t *st)
{
    const size_t begin = offsetof(rv_stats_layout_t, lock), end = begin + sizeof(rv_lock_t);
    const char *from = st->saved;
    char *to = (char *) st->header;

    memcpy(to, from, begin);
    memcpy(to + end, from + end, st->at.row_offset - end);
}

/* Whoever has a copy sees to it that nothing is built on what was cut off. */
/* Only masters take it, and not for long: whoever else does is not waited for. */
static int
lock(rv_stats_t *st)
{
    enum { LIMIT_MSEC = 2000 };

    if (rv_lock_acquire_within(&st->header->lock, LIMIT_MSEC, complete_fold, st) == RV_ERROR)
        return RV_ERROR;

    if (st->saved != NULL && !rv_stats_layout_is_whole(st))
        put_back(st);
    return RV_OK;
}

static void
unlock(rv_stats_t *st)
{
    rv_lock_release(&st->header->lock);
}

/* Puts base + added in force, together with flags and the row. `carried`: it is the
 * predecessor's, gauges too, and noted as such. */
static void
add_to_base(rv_stats_t *st, const uint64_t *added, int carried, uint64_t flags, uint64_t row)
{
    uint64_t fold = atomic_load(&st->header->fold);
    unsigned in_force = fold & RV_STATS_FOLD_BASE ? 1 : 0;
    const _Atomic uint64_t *from = rv_stats_layout_base(st, in_force);
    const _Atomic uint64_t *carried_from = rv_stats_layout_carried(st, in_force);
    _Atomic uint64_t *to = rv_stats_layout_base(st, !in_force);
    _Atomic uint64_t *carried_to = rv_stats_layout_carried(st, !in_force);

    for (unsigned i = 0; i < st->at.cells; i++) {
        uint64_t value = load(&from[i]), part = load(&carried_from[i]);

        if (st->how[i] == RV_STATS_LAYOUT_MAX) {
            value = rv_max(value, added[i]);
        } else if (carried || st->how[i] == RV_STATS_LAYOUT_ADD) {
            value += added[i];
            part += carried ? added[i] : 0;
        }
        store(&to[i], value);
        store(&carried_to[i], part);
    }
    set_fold(st, ~fold, (fold & RV_STATS_FOLD_PREDECESSOR) | flags, row);
}

/* What the kernel did for the dead and it had no time to count. */
static void
add_witnessed(const rv_stats_row_witness_t *w, uint64_t *values, unsigned cells)
{
    uint64_t cell = load(&w->cell);

    if (w->word != atomic_load(&w->initial) && cell < cells && values[cell] == load(&w->value))
        values[cell]++;
}

static void
fold_row(rv_stats_t *st, unsigned i)
{
    const rv_stats_row_ref_t ref = rv_stats_layout_row(st, i);
    uint64_t values[RV_STATS_CELLS];

    st->recoveries += (unsigned) rv_stats_row_complete(&ref);
    rv_stats_row_read(&ref, values, ref.cells);
    add_witnessed(rv_stats_layout_witness(st, i), values, ref.cells);
    add_to_base(st, values, 0, 0, i + 1);
    end_fold(st);
}

int
rv_stats_fold(rv_stats_t *st, unsigned row)
{
    if (lock(st) != RV_OK)
        return RV_ERROR;

    if (atomic_load(&rv_stats_layout_row(st, row).row->master) != 0)
        fold_row(st, row);
    rv_stats_layout_refresh(st);
    unlock(st);
    return RV_OK;
}

int
rv_stats_sweep(rv_stats_t *st)
{
    if (lock(st) != RV_OK)
        return RV_ERROR;

    unsigned used = rv_min(atomic_load(&st->header->rows_used), st->at.rows);
    int result = RV_OK;

    for (unsigned i = 0; i < used; i++) {
        const rv_stats_row_t *row = rv_stats_layout_row(st, i).row;
        pid_t master = (pid_t) atomic_load(&row->master);

        if (master == 0 || master == getpid())
            continue;
        if (rv_alive(master) || rv_alive((pid_t) atomic_load(&row->pid)))
            result = RV_AGAIN;
        else
            fold_row(st, i);
    }
    rv_stats_layout_refresh(st);
    unlock(st);
    return result;
}

/* A predecessor is gone, with the gauges that were carried over from it. */
static void
forget_predecessor(rv_stats_t *st)
{
    uint64_t fold = atomic_load(&st->header->fold), less[RV_STATS_CELLS] = { 0 };
    const _Atomic uint64_t *base = rv_stats_layout_base(st, fold & RV_STATS_FOLD_BASE ? 1 : 0);

    for (unsigned i = 0; i < st->at.cells; i++)
        less[i] = st->how[i] == RV_STATS_LAYOUT_DROP ? 0 - load(&base[i]) : 0;
    add_to_base(st, less, 1, RV_STATS_FOLD_PREDECESSOR, 0);
}

int
rv_stats_revive(rv_stats_t *st)
{
    if (rv_lock_init(&st->header->lock) != RV_OK)
        return RV_ERROR;

    st->recoveries += (unsigned) end_fold(st);
    unsigned used = rv_min(atomic_load(&st->header->rows_used), st->at.rows);
    for (unsigned i = 0; i < used; i++) {
        if (atomic_load(&rv_stats_layout_row(st, i).row->master) != 0)
            fold_row(st, i);
    }
    forget_predecessor(st);
    return RV_OK;
}

unsigned
rv_stats_recoveries(rv_stats_t *st)
{
    unsigned recoveries = st->recoveries;

    st->recoveries = 0;
    return recoveries;
}

/* --- rows for processes ---------------------------------------------------------------- */

/* A row that nobody has; memory of rows that were never used stays untouched. */
static int
find_free(rv_stats_t *st)
{
    unsigned used = rv_min(atomic_load(&st->header->rows_used), st->at.rows);

    for (unsigned i = 0; i < used; i++) {
        if (atomic_load(&rv_stats_layout_row(st, i).row->master) == 0)
            return (int) i;
    }
    if (used == st->at.rows) {
        errno = EAGAIN;
        return RV_ERROR;
    }
    return (int) used;
}

int
rv_stats_claim(rv_stats_t *st)
{
    if (lock(st) != RV_OK)
        return RV_ERROR;

    int i = find_free(st);
    if (i >= 0) {
        const rv_stats_row_ref_t ref = rv_stats_layout_row(st, (unsigned) i);

        rv_stats_row_init(&ref);
        atomic_store(&rv_stats_layout_witness(st, (unsigned) i)->cell, UINT64_MAX);
        atomic_store(&ref.row->worker, RV_STATS_UNKNOWN);
        atomic_store(&ref.row->master, getpid());
        if ((unsigned) i >= atomic_load(&st->header->rows_used))
            atomic_store(&st->header->rows_used, (unsigned) i + 1);
    }
    rv_stats_layout_refresh(st);
    unlock(st);
    return i;
}

void
rv_stats_set_owner(rv_stats_t *st, unsigned i, const rv_stats_owner_t *owner)
{
    rv_stats_row_t *row = rv_stats_layout_row(st, i).row;

    atomic_store(&row->slot, owner->slot);
    atomic_store(&row->worker, owner->worker);
    atomic_store(&row->generation, owner->generation);
    atomic_store(&row->state, owner->state);
    atomic_store(&row->started, owner->started);
    atomic_store(&row->restarts, owner->restarts);
    atomic_store(&row->pid, owner->pid);
    atomic_store(&row->master, getpid()); /* it may have been cut off */
}

/* --- generations ------------------------------------------------------------------------ */

void
rv_stats_succeed(rv_stats_t *st, rv_stats_t *old)
{
    rv_stats_layout_t *h = st->header;
    rv_stats_master_t before;

    st->predecessor = old;
    atomic_store(&h->predecessor, old->header->id);
    rv_stats_master(old, &before);
    rv_stats_outcome_succeed(st, old);
    atomic_store(&h->reloads_before, atomic_load(&old->header->reloads_before));
    atomic_store(&h->started, before.started);
    atomic_store(&h->master, before.master);
}

/* 1: the predecessor counts still. */
static int
carry(rv_stats_t *st, uint64_t flags)
{
    uint64_t more[RV_STATS_CELLS];

    /* unless somebody has retired it and was killed behind that */
    if (atomic_load(&st->header->fold) & RV_STATS_FOLD_PREDECESSOR)
        return 0;

    rv_stats_predecessor(st, more);
    add_to_base(st, more, 1, flags, 0);
    return 1;
}

int
rv_stats_retire(rv_stats_t *st, const rv_stats_t *old)
{
    if (old == NULL || st->predecessor != old)
        return RV_DONE;
    if (lock(st) != RV_OK)
        return RV_ERROR;

    (void) carry(st, RV_STATS_FOLD_PREDECESSOR);
    st->predecessor = NULL;

    rv_stats_layout_refresh(st);
    unlock(st);
    return RV_OK;
}

int
rv_stats_carry(rv_stats_t *st)
{
    if (st->predecessor == NULL)
        return RV_DONE;
    if (lock(st) != RV_OK)
        return RV_ERROR;

    int result = carry(st, 0) ? RV_OK : RV_DONE;
    rv_stats_layout_refresh(st);
    unlock(st);
    return result;
}

void
rv_stats_supersede(rv_stats_t *st, rv_stats_t *old)
{
    if (st == old)
        return;

    rv_stats_outcome_succeed(st, old);
    atomic_store(&old->header->successor, st->header->id);
}

void
rv_stats_set_master(rv_stats_t *st, pid_t pid, int64_t started, unsigned generation)
{
    rv_stats_outcome_t reload;

    rv_stats_outcome(st, RV_STATS_RELOAD, &reload);
    if (atomic_load(&st->header->master) != pid)
        atomic_store(&st->header->reloads_before, reload.finished);
    atomic_store(&st->header->successor, 0);
    atomic_store(&st->header->started, started);
    atomic_store(&st->header->generation, generation);
    atomic_store(&st->header->master, pid);
    rv_stats_layout_refresh(st);
}

int
rv_stats_keep_witnesses(rv_stats_t *st)
{
    char *memory = mmap(NULL, rv_stats_layout_witness_size(st), PROT_READ | PROT_WRITE,
        MAP_SHARED | MAP_ANONYMOUS, -1, 0);

    if (memory == MAP_FAILED)
        return RV_ERROR;

    st->witnesses = memory;
    return RV_OK;
}

/* --- memory that can be cut off ------------------------------------------------------------ */

int
rv_stats_save(rv_stats_t *st)
{
    if (lock(st) != RV_OK)
        return RV_ERROR;

    if (st->saved == NULL)
        st->saved = malloc(st->at.row_offset);
    rv_stats_layout_refresh(st);
    unlock(st);
    return st->saved == NULL ? RV_ERROR : RV_OK;
}

int
rv_stats_restore(rv_stats_t *st)
{
    if (st->saved == NULL)
        return RV_ERROR;

    put_back(st);
    return rv_lock_init(&st->header->lock);
}
