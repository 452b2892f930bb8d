/*
 * rv_stats_layout: where things are in the memory of rv_stats.
 *
 * Whoever maps it copies the places once and believes the memory no more:
 * it may be a file that somebody cuts off.
 */
#include "rv_stats_layout.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define MAGIC UINT64_C(0x7265657665737432) /* "reevest2" */

/* Two cache lines: processors fetch them in pairs, and rows have different writers. */
enum { VERSION = 3, ALIGN = 128 };

static size_t
align(size_t n)
{
    return (n + ALIGN - 1) / ALIGN * ALIGN;
}

unsigned
rv_stats_layout_cells(unsigned kind)
{
    switch (kind) {
    case RV_STATS_COUNTER:
    case RV_STATS_GAUGE:
        return 1;
    case RV_STATS_HISTOGRAM:
        return RV_STATS_HISTOGRAM_CELLS;
    default:
        return 0;
    }
}

void
rv_stats_layout_place(rv_stats_geometry_t *at, const rv_stats_defs_t *defs, unsigned rows)
{
    at->count = defs->count;
    at->cells = defs->cells;
    at->plain = defs->plain;
    at->rows = rows;
    at->def_size = sizeof(rv_stats_layout_def_t);
    at->value_offset = sizeof(rv_stats_row_t);
    /* the mark is a row's last word */
    at->row_size = align(at->value_offset + (at->cells + 1) * sizeof(uint64_t));
    at->base_size = align(2 * at->cells * sizeof(uint64_t));
    at->def_offset = align(sizeof(rv_stats_layout_t));
    at->base_offset = align(at->def_offset + at->count * at->def_size);
    at->row_offset = align(at->base_offset + 2 * at->base_size + sizeof(uint64_t));
}

size_t
rv_stats_layout_size(const rv_stats_geometry_t *at)
{
    return at->row_offset + at->rows * at->row_size;
}

void
rv_stats_layout_copy(char *to, size_t room, const char *from)
{
    size_t length = rv_min(strlen(from), room - 1);

    memcpy(to, from, length);
    to[length] = '\0';
}

/* Tells this memory from any other on this machine. */
static uint64_t
new_id(void)
{
    static uint64_t made;
    struct timespec now;

    clock_gettime(CLOCK_REALTIME, &now);
    made++;
    return ((uint64_t) now.tv_sec << 30 ^ (uint64_t) now.tv_nsec) ^ (uint64_t) getpid() << 40
        ^ made;
}

int
rv_stats_layout_fill(
    rv_stats_layout_t *h, const rv_stats_geometry_t *at, const rv_stats_defs_t *defs)
{
    rv_stats_layout_def_t *def = (void *) ((char *) h + at->def_offset);
    unsigned plain = 0, other = defs->plain;

    h->count = at->count;
    h->cells = at->cells;
    h->plain = at->plain;
    h->rows = at->rows;
    h->def_size = (uint32_t) at->def_size;
    h->row_size = (uint32_t) at->row_size;
    h->base_size = (uint32_t) at->base_size;
    h->def_offset = (uint32_t) at->def_offset;
    h->base_offset = (uint32_t) at->base_offset;
    h->row_offset = (uint32_t) at->row_offset;
    h->value_offset = (uint32_t) at->value_offset;

    for (unsigned i = 0; i < defs->count; i++, def++) {
        const rv_stats_def_t *from = defs->entry[i].def;
        unsigned *next = from->kind == RV_STATS_HISTOGRAM ? &other : &plain;

        rv_stats_layout_copy(def->module, sizeof(def->module), defs->entry[i].module);
        rv_stats_layout_copy(def->name, sizeof(def->name), from->name);
        rv_stats_layout_copy(def->help, sizeof(def->help), from->help);
        def->kind = from->kind;
        def->cell = *next;
        *next += rv_stats_layout_cells(from->kind);
    }
    h->version = VERSION;
    h->id = new_id();
    *(uint64_t *) (void *) ((char *) h + at->row_offset - sizeof(uint64_t)) = MAGIC;
    return rv_lock_init(&h->lock);
}

void
rv_stats_layout_finish(rv_stats_layout_t *h)
{
    h->magic = MAGIC;
}

/* Whether `count` pieces of `each` bytes from `offset` on end before `end`. */
static int
fits(uint64_t offset, uint64_t count, uint64_t each, uint64_t end)
{
    /* 32 bits each */
    return offset % sizeof(uint64_t) == 0 && each % sizeof(uint64_t) == 0
        && offset + count * each <= end;
}

int
rv_stats_layout_read(const rv_stats_layout_t *h, size_t size, rv_stats_geometry_t *at)
{
    if (size < sizeof(*h) || h->magic != MAGIC || h->version != VERSION)
        return 0;

    *at = (rv_stats_geometry_t){ .count = h->count,
        .cells = h->cells,
        .plain = h->plain,
        .rows = h->rows,
        .def_size = h->def_size,
        .row_size = h->row_size,
        .base_size = h->base_size,
        .def_offset = h->def_offset,
        .base_offset = h->base_offset,
        .row_offset = h->row_offset,
        .value_offset = h->value_offset };

    return at->cells <= RV_STATS_CELLS && at->plain <= at->cells && at->def_offset >= sizeof(*h)
        && at->def_size >= sizeof(rv_stats_layout_def_t)
        && at->value_offset >= sizeof(rv_stats_row_t) && at->value_offset % sizeof(uint64_t) == 0
        && at->value_offset + (at->cells + 1) * sizeof(uint64_t) <= at->row_size
        && 2 * at->cells * sizeof(uint64_t) <= at->base_size
        && fits(at->def_offset, at->count, at->def_size, at->base_offset)
        && fits(at->base_offset, 2, at->base_size, at->row_offset)
        && fits(at->row_offset, at->rows, at->row_size, size);
}

rv_stats_t *
rv_stats_layout_handle(rv_stats_layout_t *h, const rv_stats_geometry_t *at)
{
    rv_stats_t *st = calloc(1, sizeof(*st));

    if (st == NULL)
        return NULL;

    st->header = h;
    st->at = *at;
    st->how = calloc(at->cells + 1, 1); /* there may be none */
    st->def = calloc(at->count + 1, sizeof(*st->def));
    if (st->how == NULL || st->def == NULL) {
        rv_stats_free(st);
        return NULL;
    }
    return st;
}

static void *
at_offset(const rv_stats_t *st, size_t offset)
{
    return (char *) st->header + offset;
}

/* Histograms stand behind all others in the order of their definitions: another version may
 * have it otherwise. */
static rv_stats_row_shape_t
learn_shape(const rv_stats_t *st)
{
    rv_stats_row_shape_t shape = { st->at.plain, 0 };

    for (unsigned i = 0; i < st->at.count && shape.histograms < RV_STATS_HISTOGRAMS; i++) {
        const rv_stats_layout_def_t *def = &st->def[i];

        if (def->kind == RV_STATS_HISTOGRAM
            && def->cell == rv_stats_row_histogram(&shape, shape.histograms))
            shape.histograms++;
    }
    if (rv_stats_row_histogram(&shape, shape.histograms) != st->at.cells)
        shape = (rv_stats_row_shape_t){ st->at.cells, 0 };
    return shape;
}

void
rv_stats_layout_learn(rv_stats_t *st)
{
    for (unsigned i = 0; i < st->at.count; i++) {
        rv_stats_layout_def_t *def = &st->def[i];

        memcpy(def, at_offset(st, st->at.def_offset + i * st->at.def_size), sizeof(*def));
        unsigned cells = rv_stats_layout_cells(def->kind);

        if (def->kind == RV_STATS_GAUGE || cells == 0 || cells > st->at.cells
            || def->cell > st->at.cells - cells)
            continue;
        memset(st->how + def->cell, RV_STATS_LAYOUT_ADD, cells);
        if (def->kind == RV_STATS_HISTOGRAM)
            st->how[def->cell + RV_STATS_HISTOGRAM_MAX] = RV_STATS_LAYOUT_MAX;
    }
    st->shape = learn_shape(st);
}

rv_stats_row_ref_t
rv_stats_layout_row(const rv_stats_t *st, unsigned row)
{
    char *begin = at_offset(st, st->at.row_offset + row * st->at.row_size);

    return (rv_stats_row_ref_t){ .row = (void *) begin,
        .value = (void *) (begin + st->at.value_offset),
        .mark = (void *) (begin + st->at.row_size - sizeof(uint64_t)),
        .cells = st->at.cells };
}

int
rv_stats_layout_is_whole(const rv_stats_t *st)
{
    const _Atomic uint64_t *mark = at_offset(st, st->at.row_offset - sizeof(uint64_t));

    return atomic_load(mark) == MAGIC;
}

void
rv_stats_layout_refresh(rv_stats_t *st)
{
    if (st->saved != NULL && rv_stats_layout_is_whole(st))
        memcpy(st->saved, st->header, st->at.row_offset);
}

_Atomic uint64_t *
rv_stats_layout_base(const rv_stats_t *st, unsigned which)
{
    return at_offset(st, st->at.base_offset + which * st->at.base_size);
}

_Atomic uint64_t *
rv_stats_layout_carried(const rv_stats_t *st, unsigned which)
{
    return rv_stats_layout_base(st, which) + st->at.cells;
}

size_t
rv_stats_layout_witness_size(const rv_stats_t *st)
{
    return (st->at.rows + 1) * (size_t) ALIGN;
}

rv_stats_row_witness_t *
rv_stats_layout_witness(const rv_stats_t *st, unsigned row)
{
    if (st->witnesses != NULL)
        return (void *) (st->witnesses + row * (size_t) ALIGN);

    return &rv_stats_layout_row(st, row).row->witness;
}
