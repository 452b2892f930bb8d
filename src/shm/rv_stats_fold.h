/*
 * rv_stats_fold: the master's part of the statistics.
 *
 * Gives rows to processes, adds those of the dead to the base, and takes over
 * what an earlier generation, daemon or version of the program has counted.
 */
#ifndef RV_STATS_FOLD_H
#define RV_STATS_FOLD_H

#include "rv_stats.h"

/*
 * Claims a row, for a process that is about to be forked or for this one; RV_ERROR: none is free
 * (EAGAIN), or the lock could not be had. Two masters may share the memory.
 */
int rv_stats_claim(rv_stats_t *st);

/* Says whose a claimed row is; again when the owner's state has changed. */
void rv_stats_set_owner(rv_stats_t *st, unsigned row, const rv_stats_owner_t *owner);

/*
 * The process of that row is dead, or was never forked: completes its last
 * transaction, adds its counters to the base, drops its gauges and frees the
 * row. No reader ever sees a count twice or not at all. RV_ERROR: the lock could not be
 * had.
 */
int rv_stats_fold(rv_stats_t *st, unsigned row);

/* Folds what processes of masters that are gone have left; of the living nothing
 * is touched. For one that shares the memory with another master. RV_OK: nothing is left that
 * is not this master's. RV_AGAIN: there is. RV_ERROR: the lock could not be had. */
int rv_stats_sweep(rv_stats_t *st);

/*
 * Takes over memory that no process uses any more (a file): its locks are made
 * new and every row is folded.
 */
int rv_stats_revive(rv_stats_t *st);

/*
 * Makes `st` the successor of `old`: what old counts is shown by st too, until
 * rv_stats_retire(st, old) takes old's totals over for good, which is when no
 * process writes to old any more. Definitions are matched by module, name and
 * kind. RV_DONE: old is not the predecessor.
 */
void rv_stats_succeed(rv_stats_t *st, rv_stats_t *old);
int rv_stats_retire(rv_stats_t *st, const rv_stats_t *old);

/*
 * Takes over what old counts so far: now and then, for readers that have not mapped old
 * and for a restart after everybody was killed. RV_DONE: there is no predecessor.
 */
int rv_stats_carry(rv_stats_t *st);

/* st is in force in the place of old, and says what old has said of actions. */
void rv_stats_supersede(rv_stats_t *st, rv_stats_t *old);

/* Who the master is, and since when (seconds since 1970); a new one has not reloaded yet. */
void rv_stats_set_master(rv_stats_t *st, pid_t pid, int64_t started, unsigned generation);

/* How many transactions or folds of the dead were completed since the last call. */
unsigned rv_stats_recoveries(rv_stats_t *st);

/*
 * For memory that others can cut off (a file): keeps a copy of all but the rows, from
 * now on up to date; puts it back. Rows are given back by their owners, who they are by
 * rv_stats_set_owner.
 */
int rv_stats_save(rv_stats_t *st);
int rv_stats_restore(rv_stats_t *st);

/*
 * For such memory too, before any process is forked: witnesses (rv_stats_witness) are in
 * memory that nobody can cut off, for the kernel would refuse to write to the other. They are
 * seen by processes that were forked after this alone.
 */
int rv_stats_keep_witnesses(rv_stats_t *st);

#endif
