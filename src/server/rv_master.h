/*
 * rv_master: the process that never serves, and never dies.
 *
 * It forks workers, replaces those that die, and on a reload builds the new
 * generation beside the old one before the old one is told anything.
 */
#ifndef RV_MASTER_H
#define RV_MASTER_H

#include "rv_cycle.h"

typedef struct {
    const rv_cycle_options_t *options; /* for reloads */
    const char *title;                 /* the command line, for the process list */
    int notify;                        /* as rv_daemon_detach gave it; -1: not a daemon */
} rv_master_options_t;

/*
 * Becomes the master of the first generation, which is read and open and is
 * taken over. Returns the exit status once all is over: 1 also when the first
 * generation did not become ready.
 */
int rv_master_run(const rv_master_options_t *options, rv_cycle_t *first);

#endif
