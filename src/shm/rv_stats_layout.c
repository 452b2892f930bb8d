/*
 * rv_stats_layout: where things are in the memory of rv_stats.
 */
#include "rv_stats_layout.h"

#include <string.h>
#include <time.h>

#define MAGIC UINT64_C(0x7265657665737431) /* "reevest1" */

enum { VERSION = 1, ALIGN = 64 };

static size_t
align(size_t n)
{
    return (n + ALIGN - 1) / ALIGN * ALIGN;
}

static void
set_offsets(rv_stats_layout_t *h, unsigned count, unsigned rows)
{
    h->count = count;
    h->rows = rows;
    h->def_size = sizeof(rv_stats_layout_def_t);
    h->row_size = (uint32_t) align(sizeof(rv_stats_row_t) + count * sizeof(uint64_t));
    h->value_offset = offsetof(rv_stats_row_t, value);
    h->def_offset = (uint32_t) align(sizeof(*h));
    h->base_offset = (uint32_t) align(h->def_offset + count * sizeof(rv_stats_layout_def_t));
    h->row_offset = h->base_offset + 2 * (uint32_t) align(count * sizeof(uint64_t));
}

static size_t
total_size(const rv_stats_layout_t *h)
{
    return h->row_offset + (size_t) h->rows * h->row_size;
}

size_t
rv_stats_layout_size(unsigned count, unsigned rows)
{
    rv_stats_layout_t h = { 0 };

    set_offsets(&h, count, rows);
    return total_size(&h);
}

void
rv_stats_layout_copy(char *to, size_t room, const char *from)
{
    size_t length = rv_min(strlen(from), room - 1);

    memcpy(to, from, length);
    to[length] = '\0';
}

int
rv_stats_layout_fill(rv_stats_layout_t *h, const rv_stats_defs_t *defs, unsigned rows)
{
    set_offsets(h, defs->count, rows);
    for (unsigned i = 0; i < defs->count; i++) {
        const rv_stats_def_t *from = defs->entry[i].def;
        rv_stats_layout_def_t *def = rv_stats_layout_def(h, i);

        rv_stats_layout_copy(def->module, sizeof(def->module), defs->entry[i].module);
        rv_stats_layout_copy(def->name, sizeof(def->name), from->name);
        rv_stats_layout_copy(def->help, sizeof(def->help), from->help);
        def->kind = from->kind;
    }
    h->version = VERSION;
    atomic_store(&h->started, (int64_t) time(NULL));
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
    return offset % ALIGN == 0 && offset + count * each <= end; /* 32 bits each */
}

int
rv_stats_layout_is_valid(const rv_stats_layout_t *h, size_t size)
{
    if (size < sizeof(*h) || h->magic != MAGIC || h->version != VERSION || h->count > RV_STATS_MAX)
        return 0;

    uint64_t base = align(h->count * sizeof(uint64_t));
    uint64_t values = h->value_offset + (uint64_t) h->count * sizeof(uint64_t);

    return h->def_offset >= sizeof(*h) && h->def_size == sizeof(rv_stats_layout_def_t)
        && h->row_size % ALIGN == 0 && h->value_offset == offsetof(rv_stats_row_t, value)
        && values <= h->row_size && fits(h->def_offset, h->count, h->def_size, h->base_offset)
        && fits(h->base_offset, 2, base, h->row_offset)
        && fits(h->row_offset, h->rows, h->row_size, size);
}

static void *
at_offset(const rv_stats_layout_t *h, size_t offset)
{
    return (char *) (uintptr_t) h + offset;
}

rv_stats_layout_def_t *
rv_stats_layout_def(const rv_stats_layout_t *h, unsigned i)
{
    return at_offset(h, h->def_offset + (size_t) i * h->def_size);
}

rv_stats_row_t *
rv_stats_layout_row(const rv_stats_layout_t *h, unsigned slot)
{
    return at_offset(h, h->row_offset + (size_t) slot * h->row_size);
}

_Atomic uint64_t *
rv_stats_layout_base(const rv_stats_layout_t *h, unsigned which)
{
    return at_offset(h, h->base_offset + which * align(h->count * sizeof(uint64_t)));
}
