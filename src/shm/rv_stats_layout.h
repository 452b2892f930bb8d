/*
 * rv_stats_layout: where things are in the memory of rv_stats.
 *
 * The header says where definitions, bases and rows begin and how large each
 * is, so that another version of the program finds what it knows. Fields are
 * only ever added, at the end of each structure; what cannot be read so gets another version.
 */
#ifndef RV_STATS_LAYOUT_H
#define RV_STATS_LAYOUT_H

#include "rv_lock.h"
#include "rv_stats.h"
#include "rv_stats_outcome.h"

typedef struct {
    char module[RV_STATS_MODULE];
    char name[RV_STATS_NAME];
    char help[RV_STATS_HELP];
    uint32_t kind;
    uint32_t cell;
} rv_stats_layout_def_t;

typedef struct {
    _Atomic uint32_t sequence; /* odd: the end of an action is being written */
    _Atomic int32_t result;
    _Atomic uint64_t begun;
    _Atomic uint64_t finished;
    _Atomic int64_t time;
    char text[RV_STATS_TEXT];
} rv_stats_layout_outcome_t;

typedef struct {
    uint64_t magic;
    uint32_t version;
    uint32_t count; /* definitions */
    uint32_t cells;
    uint32_t plain;
    uint32_t rows;
    uint32_t def_size; /* strides and offsets in bytes, for other versions */
    uint32_t row_size;
    uint32_t def_offset;
    uint32_t base_offset;
    uint32_t base_size;
    uint32_t row_offset;
    uint32_t value_offset; /* in a row */

    uint64_t id; /* of this memory, of the one that it succeeds, and of the one that is in force */
    _Atomic uint64_t predecessor;
    _Atomic uint64_t successor;

    _Atomic int64_t master;
    _Atomic int64_t started;
    _Atomic uint32_t generation;

    _Atomic uint64_t reloads_before; /* of earlier masters */
    rv_stats_layout_outcome_t outcome[RV_STATS_ACTIONS];

    rv_lock_t lock;             /* of claims and folds */
    _Atomic uint64_t fold;      /* rv_stats_fold.c says how */
    _Atomic uint32_t rows_used; /* no row above has ever been used */
} rv_stats_layout_t;

/* What a process knows of the layout for itself: the memory may be cut off. */
typedef struct {
    unsigned count, cells, plain, rows;
    size_t def_size, row_size, base_size;
    size_t def_offset, base_offset, row_offset, value_offset;
} rv_stats_geometry_t;

/* A process's handle. */
struct rv_stats_s {
    rv_stats_layout_t *header;
    rv_stats_geometry_t at;
    rv_stats_layout_def_t *def;  /* a copy */
    unsigned char *how;          /* of each cell, rv_stats_layout_how_t */
    rv_stats_row_shape_t shape;  /* of all cells; without histograms where it is not just that */
    const rv_stats_defs_t *defs; /* NULL: attached to, not known as the same */

    rv_stats_row_ref_t own; /* its row NULL: this process has none */
    unsigned own_row;
    uint32_t no_witness;
    char *witnesses; /* of all rows, where these can be cut off; NULL: they are in the rows */
    rv_stats_t *predecessor;
    unsigned recoveries;
    void *saved; /* all before the rows */
};

/* How a cell is added up. */
typedef enum {
    RV_STATS_LAYOUT_DROP = 0, /* a gauge's: not kept */
    RV_STATS_LAYOUT_ADD,
    RV_STATS_LAYOUT_MAX
} rv_stats_layout_how_t;

/* `fold`: a count of its changes, the row + 1 that is part of the base, whether
 * the predecessor's totals are, and which base is in force. */
#define RV_STATS_FOLD_BASE UINT64_C(0x1)
#define RV_STATS_FOLD_PREDECESSOR UINT64_C(0x2)
#define RV_STATS_FOLD_ROW_SHIFT 2
#define RV_STATS_FOLD_ROW_MASK UINT64_C(0xfffff)
#define RV_STATS_FOLD_COUNT_SHIFT 32

/* The places for so many definitions, cells and rows, and the bytes of all. */
void rv_stats_layout_place(rv_stats_geometry_t *at, const rv_stats_defs_t *defs, unsigned rows);
size_t rv_stats_layout_size(const rv_stats_geometry_t *at);

/* Fills zeroed memory: the header but for its magic number, and the definitions. */
int rv_stats_layout_fill(
    rv_stats_layout_t *h, const rv_stats_geometry_t *at, const rv_stats_defs_t *defs);

/* The last step of filling: from now on others may rely on it. */
void rv_stats_layout_finish(rv_stats_layout_t *h);

/* Whether memory of `size` bytes holds what this program understands; then *at says where. */
int rv_stats_layout_read(const rv_stats_layout_t *h, size_t size, rv_stats_geometry_t *at);

/* A handle with what it needs of the layout; NULL: not enough memory. */
rv_stats_t *rv_stats_layout_handle(rv_stats_layout_t *h, const rv_stats_geometry_t *at);

/* Copies the definitions, and notes how the cells are added up by them. */
void rv_stats_layout_learn(rv_stats_t *st);

rv_stats_row_ref_t rv_stats_layout_row(const rv_stats_t *st, unsigned row);

/* 1: the mark behind the bases is there: nothing in front of the rows was cut off. */
int rv_stats_layout_is_whole(const rv_stats_t *st);

/* Brings the copy that is kept of memory that others can cut off up to date. */
void rv_stats_layout_refresh(rv_stats_t *st);

/* Where the witness of a row is. */
rv_stats_row_witness_t *rv_stats_layout_witness(const rv_stats_t *st, unsigned row);

/* Bytes of all witnesses outside the rows. */
size_t rv_stats_layout_witness_size(const rv_stats_t *st);

/* The values of one of the two bases, 0 or 1; and what of them is the predecessor's. */
_Atomic uint64_t *rv_stats_layout_base(const rv_stats_t *st, unsigned which);
_Atomic uint64_t *rv_stats_layout_carried(const rv_stats_t *st, unsigned which);

/* How many cells a value of this kind takes; 0: this version does not know it. */
unsigned rv_stats_layout_cells(unsigned kind);

/* What the predecessor counts and the base has not got yet, in the cells of st; of a
 * histogram's largest what it is. (In rv_stats_view.c.) */
void rv_stats_predecessor(const rv_stats_t *st, uint64_t *values);

/* Copies text, cut where it must be, always NUL-terminated. */
void rv_stats_layout_copy(char *to, size_t room, const char *from);

#endif
