/*
 * rv_stats_row: the values of one process, as it alone writes them.
 *
 * Several values change together or not at all, at whatever instruction the
 * writer is killed, and a reader never waits for it. There is no lock: a row
 * has one writer, and the master touches it only when that one is dead.
 */
#ifndef RV_STATS_ROW_H
#define RV_STATS_ROW_H

#include "rv_base.h"
#include "rv_stats_histogram.h"

#include <stdatomic.h>

#define RV_STATS_CHANGES 8 /* cells in one transaction */

typedef struct {
    unsigned cell;
    int64_t delta;
} rv_stats_change_t;

typedef struct {
    _Atomic uint64_t cell;
    _Atomic uint64_t value; /* the new one */
} rv_stats_entry_t;

/* rv_stats_witness says what this is. */
typedef struct {
    uint32_t word;
    _Atomic uint32_t initial;
    _Atomic uint64_t cell;
    _Atomic uint64_t value;
} rv_stats_row_witness_t;

/* In shared memory, zeroed to begin with; the values follow. */
typedef struct {
    _Atomic uint32_t sequence; /* odd: a transaction is open */
    _Atomic uint32_t entries;  /* of its journal; 0: the journal is not complete */
    rv_stats_entry_t journal[RV_STATS_CHANGES];

    /* the master's: whose row it is */
    _Atomic int64_t master; /* who claimed it; 0: nobody */
    _Atomic int64_t pid;    /* 0: not known yet */
    _Atomic uint32_t slot;
    _Atomic uint32_t worker;
    _Atomic uint32_t generation;
    _Atomic int32_t state;
    _Atomic int64_t started;
    _Atomic uint64_t restarts;

    /* the owner's */
    _Atomic uint64_t heartbeat;
    rv_stats_row_witness_t witness;
} rv_stats_row_t;

/* A row and this process's way to it. */
typedef struct {
    rv_stats_row_t *row;
    _Atomic uint64_t *value;
    _Atomic uint64_t *mark; /* behind the last value: the row was not cut off */
    unsigned cells;
    uint64_t *local; /* the writer's own copy of the values; NULL: for reading only */
} rv_stats_row_ref_t;

/* Marks a zeroed row as whole. */
void rv_stats_row_init(const rv_stats_row_ref_t *ref);

/*
 * Adds to several values, at most RV_STATS_CHANGES, each cell once. More, or a
 * cell that there is not: nothing happens. A row that was cut off (a truncated
 * file) is written anew from the copy.
 */
void rv_stats_row_apply(
    const rv_stats_row_ref_t *ref, const rv_stats_change_t *changes, unsigned changed);

/* 1: its mark is there. */
int rv_stats_row_is_whole(const rv_stats_row_ref_t *ref);

/* Writes it anew where it was cut off. */
void rv_stats_row_check(const rv_stats_row_ref_t *ref);

/* Copies the first `cells` values as they are between two transactions. */
void rv_stats_row_read(const rv_stats_row_ref_t *ref, uint64_t *values, unsigned cells);

#define RV_STATS_HISTOGRAMS 32

/* So many plain values, and histograms one behind the other behind them. */
typedef struct {
    unsigned plain;
    unsigned histograms; /* RV_STATS_HISTOGRAMS at most */
} rv_stats_row_shape_t;

/* The first cell of a histogram. */
static inline unsigned
rv_stats_row_histogram(const rv_stats_row_shape_t *shape, unsigned i)
{
    return shape->plain + i * RV_STATS_HISTOGRAM_CELLS;
}

/* The same but for histograms that have observed nothing, which cost nothing: returns a bit
 * for each of the others. The cells of those without one are left as they are. */
uint32_t rv_stats_row_read_seen(
    const rv_stats_row_ref_t *ref, uint64_t *values, const rv_stats_row_shape_t *shape);

/* Of a row whose writer is dead: completes its last transaction. 1: it was open. */
int rv_stats_row_complete(const rv_stats_row_ref_t *ref);

/* Zero values, nobody's. Only in a row without a writer. */
void rv_stats_row_empty(const rv_stats_row_ref_t *ref);

#endif
