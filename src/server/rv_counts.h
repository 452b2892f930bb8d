/*
 * rv_counts: the daemon's own counters, those that are no module's.
 *
 * What happens to workers, reloads, zones and channels. Each process counts what it
 * sees in its own row; the master has one too.
 */
#ifndef RV_COUNTS_H
#define RV_COUNTS_H

#include "rv_stats.h"

/* Adds the definitions. RV_ERROR as rv_stats_define. */
int rv_counts_define(rv_stats_defs_t *defs);

/* Gives this process, which has none given by a master, a row of its own: as RV_STATS_MASTER, or
 * as the one worker without a master. Once more for other memory, the former is mapped still. */
int rv_counts_enter(rv_stats_t *st, unsigned worker, unsigned generation);

/* Says once more whose that row is: it was cut off. */
void rv_counts_enter_again(rv_stats_t *st);

/* Gives the row up: this process ends, and others may go on with the memory. */
void rv_counts_leave(void);

/* A worker died unasked, with this status of waitpid, or was ended because it hung. */
void rv_counts_death(rv_stats_t *st, int status, int hung);

/* A reload was done (0) or not. */
void rv_counts_reload(rv_stats_t *st, int failed);

/* Zones or rows were found half-written and made whole, or made anew. */
void rv_counts_recoveries(rv_stats_t *st, unsigned count);
void rv_counts_rebuilds(rv_stats_t *st, unsigned count);

/* After a fork: this process counts there, and what the parent has sent and received is not its
 * own. */
void rv_counts_forked(rv_stats_t *st);

/* A message has come that was sent at that time, us as rv_loop_now_usec. */
void rv_counts_delay(uint64_t sent);

/* Brings what the channels count into the row. Cheap where nothing has changed. */
void rv_counts_channels(rv_stats_t *st);

#endif
