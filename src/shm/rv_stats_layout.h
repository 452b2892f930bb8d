/*
 * rv_stats_layout: where things are in the memory of rv_stats.
 *
 * The header says where definitions, bases and rows begin and how large each
 * is, so that another version of the program finds what it knows.
 */
#ifndef RV_STATS_LAYOUT_H
#define RV_STATS_LAYOUT_H

#include "rv_stats.h"

typedef struct {
    char module[RV_STATS_MODULE];
    char name[RV_STATS_NAME];
    char help[112];
    uint32_t kind;
    uint32_t reserved;
} rv_stats_layout_def_t;

typedef struct {
    uint64_t magic;
    uint32_t version;
    uint32_t count; /* definitions */
    uint32_t rows;
    uint32_t def_size; /* strides and offsets in bytes, for other versions */
    uint32_t row_size;
    uint32_t def_offset;
    uint32_t base_offset;
    uint32_t row_offset;
    uint32_t value_offset; /* in a row */

    _Atomic int64_t master;
    _Atomic int64_t started;
    _Atomic uint32_t generation;

    _Atomic uint64_t reloads;
    _Atomic int64_t reload_time;
    _Atomic int32_t reload_result;
    char reload_text[RV_STATS_TEXT];

    rv_lock_t lock;             /* of folds */
    _Atomic uint64_t fold;      /* rv_stats.c says how */
    _Atomic uint32_t rows_used; /* no row above has ever been used */
    _Atomic uint64_t recoveries;
} rv_stats_layout_t;

/* Bytes for so many definitions and rows. */
size_t rv_stats_layout_size(unsigned count, unsigned rows);

/* Fills zeroed memory of that size: the header but for its magic number, and the definitions. */
int rv_stats_layout_fill(rv_stats_layout_t *h, const rv_stats_defs_t *defs, unsigned rows);

/* The last step of filling: from now on others may rely on it. */
void rv_stats_layout_finish(rv_stats_layout_t *h);

/* Whether memory of `size` bytes holds what this program understands. */
int rv_stats_layout_is_valid(const rv_stats_layout_t *h, size_t size);

rv_stats_layout_def_t *rv_stats_layout_def(const rv_stats_layout_t *h, unsigned i);
rv_stats_row_t *rv_stats_layout_row(const rv_stats_layout_t *h, unsigned slot);

/* The values of one of the two bases, 0 or 1. */
_Atomic uint64_t *rv_stats_layout_base(const rv_stats_layout_t *h, unsigned which);

/* Copies text, cut where it must be, always NUL-terminated. */
void rv_stats_layout_copy(char *to, size_t room, const char *from);

#endif
