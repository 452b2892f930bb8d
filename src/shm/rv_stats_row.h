/*
 * rv_stats_row: the values of one process, as it alone writes them.
 *
 * Several values change together or not at all, at whatever instruction the
 * writer is killed, and a reader never waits for it.
 */
#ifndef RV_STATS_ROW_H
#define RV_STATS_ROW_H

#include "rv_base.h"
#include "rv_lock.h"

#include <stdatomic.h>

#define RV_STATS_CHANGES 8 /* values in one transaction */

typedef struct {
    unsigned index; /* of the value */
    int64_t delta;
} rv_stats_change_t;

typedef struct {
    _Atomic uint64_t index;
    _Atomic uint64_t value; /* the new one */
} rv_stats_entry_t;

/* In shared memory, zeroed to begin with. */
typedef struct {
    rv_lock_t lock;
    _Atomic uint32_t sequence; /* odd: a transaction is open */
    _Atomic uint32_t entries;  /* of its journal; 0: the journal is not complete */
    rv_stats_entry_t journal[RV_STATS_CHANGES];

    /* the master's: whose row it is */
    _Atomic int64_t pid; /* 0: nobody's */
    _Atomic uint32_t worker;
    _Atomic uint32_t generation;
    _Atomic int32_t state;
    _Atomic int64_t started;

    /* the owner's */
    _Atomic uint64_t heartbeat;
    _Atomic uint64_t value[];
} rv_stats_row_t;

/* A row of `count` values and this process's way to it. */
typedef struct {
    rv_stats_row_t *row;
    unsigned count;
    unsigned completed; /* transactions of a dead writer that were found open */
} rv_stats_row_ref_t;

/* For a new, zeroed row. */
int rv_stats_row_init(rv_stats_row_t *row);

/* Adds to several values, at most RV_STATS_CHANGES, each index once. More, or an
 * index that there is not: nothing happens. */
void rv_stats_row_apply(
    rv_stats_row_ref_t *ref, const rv_stats_change_t *changes, unsigned changed);

/* Copies the values as they are between two transactions. */
void rv_stats_row_read(const rv_stats_row_ref_t *ref, uint64_t *values);

/*
 * Takes the row from its writer, which is dead, and completes its last
 * transaction. RV_OK: to be given back with rv_stats_row_give_back. RV_ERROR: the lock could not be
 * had; the transaction is complete all the same.
 */
int rv_stats_row_take_over(rv_stats_row_ref_t *ref);
void rv_stats_row_give_back(rv_stats_row_ref_t *ref);

/* Zero values, nobody's. Only in a row without a writer. */
void rv_stats_row_empty(rv_stats_row_ref_t *ref);

#endif
