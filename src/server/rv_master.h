/*
 * rv_master: the process that never serves, and never dies.
 *
 * It forks workers, replaces those that die, and on a reload builds the new
 * generation beside the old one before the old one is told anything.
 */
#ifndef RV_MASTER_H
#define RV_MASTER_H

#include "rv_cycle.h"
#include "rv_heritage.h"
#include "rv_upgrade.h"

typedef struct {
    const rv_cycle_options_t *options; /* for reloads */
    const char *title;                 /* the command line, for the process list */
    rv_upgrade_command_t command;      /* to start the program once more */
    rv_heritage_t heritage;            /* of the master that this one is to follow */
    rv_cycle_t *given;                 /* what was open before; taken over */
    int notify;                        /* takes a byte when it has started; -1: nobody waits */
} rv_master_options_t;

/*
 * Becomes the master of the first generation, which is read and open and is
 * taken over. Returns the exit status once all is over: 1 also when the first
 * generation did not become ready.
 */
int rv_master_run(const rv_master_options_t *options, rv_cycle_t *first);

#endif
