/*
 * rv_build: a new generation, read and opened beside the one in force.
 */
#ifndef RV_BUILD_H
#define RV_BUILD_H

#include "rv_cycle.h"
#include "rv_pidfile.h"

/* Whether the two have not the same pid file, or only one of them has any. */
int rv_build_pid_moves(const rv_cycle_t *cycle, const rv_cycle_t *old);

/* As rv_pidfile_create, and where path is NULL there is nothing to be held; RV_ERROR: `reason`
 * says why, also who holds it. */
int rv_build_pidfile(
    rv_pidfile_t *file, const char *path, int beside, char reason[RV_CYCLE_REASON]);

/*
 * Builds the generation that is to follow `current`. Its pid file, where it is
 * another one, is created and *pidfile holds it; otherwise *pidfile is left alone.
 * What reading it found is logged. NULL: nothing of it is left, `reason` says why.
 */
rv_cycle_t *rv_build_next(const rv_cycle_options_t *options, unsigned generation,
    const rv_cycle_t *current, rv_pidfile_t *pidfile, char reason[RV_CYCLE_REASON]);

#endif
