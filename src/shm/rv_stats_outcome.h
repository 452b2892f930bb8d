/*
 * rv_stats_outcome: what became of the actions that a master was told to do.
 *
 * A signal carries no number and brings no answer. So the memory of the
 * counters says of each kind of action how often it was begun and finished,
 * and how the last one ended. Whoever has read `begun`, sends a signal and
 * then sees more than that finished, knows that the signal, or one that came
 * after he had looked, was obeyed. The numbers are never reset: they go on
 * in the memory that takes this one's place, and under the next master.
 */
#ifndef RV_STATS_OUTCOME_H
#define RV_STATS_OUTCOME_H

#include "rv_stats.h"

typedef enum {
    RV_STATS_RELOAD = 0,
    RV_STATS_REOPEN,
    RV_STATS_UPGRADE,
    RV_STATS_ADD,
    RV_STATS_REMOVE,
    RV_STATS_ACTIONS
} rv_stats_action_t;

typedef struct {
    uint64_t begun;
    uint64_t finished;
    int64_t time;             /* of the last end, seconds since 1970 */
    int result;               /* of the last one, 0: done */
    char text[RV_STATS_TEXT]; /* why it failed, or "" */
} rv_stats_outcome_t;

/* The master begins an action. One of a kind at a time. */
void rv_stats_begin(rv_stats_t *st, rv_stats_action_t action);

/* What was begun has ended: result 0, it is done; otherwise nothing has changed, and `text` says
 * why. */
void rv_stats_finish(rv_stats_t *st, rv_stats_action_t action, int result, const char *text);

/* Takes over what `old` says: st takes its place. */
void rv_stats_outcome_succeed(rv_stats_t *st, const rv_stats_t *old);

/* Takes no lock, and never waits for the master. */
void rv_stats_outcome(const rv_stats_t *st, rv_stats_action_t action, rv_stats_outcome_t *outcome);

#endif
