/*
 * rv_stats: counters that are exact whatever dies.
 *
 * Who writes what: a process its own row's values; the master every row's
 * owner, the bases and the header. No cell has two writers, so nothing here
 * takes a lock; what the master does is in rv_stats_fold.c, how it is read in
 * rv_stats_view.c.
 */
#include "rv_stats.h"

#include "rv_stats_layout.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

size_t
rv_stats_size(const rv_stats_defs_t *defs, unsigned rows)
{
    rv_stats_geometry_t at;

    rv_stats_layout_place(&at, defs, rows);
    return rv_stats_layout_size(&at);
}

/* --- handles ---------------------------------------------------------------------- */

rv_stats_t *
rv_stats_create(void *memory, const rv_stats_defs_t *defs, unsigned rows)
{
    rv_stats_geometry_t at;

    rv_stats_layout_place(&at, defs, rows);
    rv_stats_t *st = rv_stats_layout_handle(memory, &at);
    if (st == NULL)
        return NULL;

    if (rv_stats_layout_fill(st->header, &at, defs) != RV_OK) {
        rv_stats_free(st);
        return NULL;
    }
    st->defs = defs;
    rv_stats_layout_learn(st);
    rv_stats_layout_finish(st->header);
    return st;
}

rv_stats_t *
rv_stats_attach(void *memory, size_t size)
{
    rv_stats_geometry_t at;

    if (!rv_stats_layout_read(memory, size, &at)) {
        errno = EINVAL;
        return NULL;
    }
    rv_stats_t *st = rv_stats_layout_handle(memory, &at);
    if (st != NULL)
        rv_stats_layout_learn(st);
    return st;
}

void
rv_stats_free(rv_stats_t *st)
{
    if (st == NULL)
        return;

    if (st->witnesses != NULL)
        munmap(st->witnesses, rv_stats_layout_witness_size(st));
    free(st->own.local);
    free(st->saved);
    free(st->how);
    free(st->def);
    free(st);
}

int
rv_stats_same(rv_stats_t *st, const rv_stats_defs_t *defs, unsigned rows)
{
    rv_stats_geometry_t at;

    rv_stats_layout_place(&at, defs, rows);
    if (memcmp(&at, &st->at, sizeof(at)) != 0)
        return 0;

    for (unsigned i = 0; i < defs->count; i++) {
        const rv_stats_layout_def_t *def = &st->def[i];

        if (strcmp(def->module, defs->entry[i].module) != 0
            || strcmp(def->name, defs->entry[i].def->name) != 0
            || def->kind != (uint32_t) defs->entry[i].def->kind)
            return 0;
    }
    st->defs = defs;
    return 1;
}

int
rv_stats_find(const rv_stats_t *st, const char *module, const char *name)
{
    for (unsigned i = 0; i < st->at.count; i++) {
        const rv_stats_layout_def_t *def = &st->def[i];

        if (strcmp(def->module, module) == 0 && strcmp(def->name, name) == 0)
            return rv_stats_info(st, i).kind == 0 ? RV_ERROR : (int) def->cell;
    }
    return RV_ERROR;
}

unsigned
rv_stats_count(const rv_stats_t *st)
{
    return st->at.count;
}

rv_stats_info_t
rv_stats_info(const rv_stats_t *st, unsigned index)
{
    const rv_stats_layout_def_t *def = &st->def[index];
    unsigned cells = rv_stats_layout_cells(def->kind);
    int fits = cells > 0 && cells <= st->at.cells && def->cell <= st->at.cells - cells;

    return (rv_stats_info_t){ .module = def->module,
        .name = def->name,
        .help = def->help,
        .kind = fits ? def->kind : 0,
        .cell = fits ? def->cell : 0 };
}

unsigned
rv_stats_cells(const rv_stats_t *st)
{
    return st->at.cells;
}

unsigned
rv_stats_plain(const rv_stats_t *st)
{
    return st->at.plain;
}

/* --- a row's writer ---------------------------------------------------------- */

int
rv_stats_own(rv_stats_t *st, unsigned row)
{
    rv_stats_row_ref_t ref = rv_stats_layout_row(st, row);

    ref.local = calloc(st->at.cells + 1, sizeof(*ref.local)); /* there may be none */
    if (ref.local == NULL)
        return RV_ERROR;

    rv_stats_row_read(&ref, ref.local, ref.cells);
    atomic_store(&ref.row->pid, getpid()); /* the master may be killed before it says so */
    free(st->own.local);
    st->own = ref;
    st->own_row = row;
    return RV_OK;
}

void
rv_stats_apply(rv_stats_t *st, const rv_stats_change_t *changes, unsigned count)
{
    if (st->own.row != NULL)
        rv_stats_row_apply(&st->own, changes, count);
}

unsigned
rv_stats_observe(
    const rv_stats_t *st, int cell, uint64_t usec, unsigned times, rv_stats_change_t *changes)
{
    if (st->own.row == NULL || times == 0 || cell < 0
        || (unsigned) cell + RV_STATS_HISTOGRAM_CELLS > st->own.cells)
        return 0;

    unsigned first = (unsigned) cell, n = 0;
    unsigned bucket = RV_STATS_HISTOGRAM_FIRST + rv_stats_histogram_bucket(usec);
    uint64_t max = st->own.local[first + RV_STATS_HISTOGRAM_MAX];

    changes[n++] = (rv_stats_change_t){ first + bucket, times };
    changes[n++] = (rv_stats_change_t){ first + RV_STATS_HISTOGRAM_SUM, (int64_t) (usec * times) };
    if (usec > max)
        changes[n++] =
            (rv_stats_change_t){ first + RV_STATS_HISTOGRAM_MAX, (int64_t) (usec - max) };
    return n;
}

uint32_t *
rv_stats_witness(rv_stats_t *st, unsigned cell, uint32_t initial)
{
    if (st->own.row == NULL || cell >= st->own.cells) {
        st->no_witness = initial;
        return &st->no_witness;
    }
    rv_stats_row_witness_t *w = rv_stats_layout_witness(st, st->own_row);

    /* no cell at first: what stands there is of an event that was counted */
    atomic_store_explicit(&w->cell, UINT64_MAX, memory_order_relaxed);
    atomic_thread_fence(memory_order_release);
    *(volatile uint32_t *) &w->word = initial;
    atomic_store_explicit(&w->initial, initial, memory_order_relaxed);
    atomic_store_explicit(&w->value, st->own.local[cell], memory_order_relaxed);
    atomic_store_explicit(&w->cell, cell, memory_order_release);
    return &w->word;
}

void
rv_stats_heartbeat(rv_stats_t *st, uint64_t now)
{
    if (st->own.row == NULL)
        return;

    rv_stats_row_check(&st->own);
    atomic_store_explicit(&st->own.row->heartbeat, now, memory_order_relaxed);
}
