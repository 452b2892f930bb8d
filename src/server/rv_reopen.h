/*
 * rv_reopen: log files that were moved away are made anew.
 *
 * It is done when no process writes to the old ones any more: each worker says
 * that it has taken the new descriptors.
 */
#ifndef RV_REOPEN_H
#define RV_REOPEN_H

#include "rv_cycle.h"

typedef struct {
    uint32_t round; /* of descriptors that were passed */
    int is_waiting; /* for workers */
    int failed;
    char reason[RV_CYCLE_REASON]; /* the last line that was logged about it */
} rv_reopen_t;

/*
 * Reopens every log of this process, and with `workers` passes the new descriptors to these.
 * What cannot be opened stays as it was, and is logged. Once more before the last one
 * is done is allowed.
 */
void rv_reopen_begin(rv_reopen_t *r, rv_stats_t *st, int workers);

/* Reports the outcome once all have taken their descriptors. */
void rv_reopen_settle(rv_reopen_t *r, rv_stats_t *st);

#endif
