/*
 * rv_command: `reeve -s`, an order to a running daemon and what became of it.
 */
#ifndef RV_COMMAND_H
#define RV_COMMAND_H

#include "rv_cycle.h"
#include "rv_signal.h"

#define RV_COMMAND_WAIT_MSEC (30 * 1000)

/* Exit statuses. */
#define RV_COMMAND_DONE 0
#define RV_COMMAND_FAILED 1
#define RV_COMMAND_UNDER_WAY 2

/*
 * Sends the signal to the master that has the pid file, and waits for the outcome for
 * `wait` milliseconds at most; 0: not at all. Returns the exit status; whatever is not done
 * is explained on the terminal.
 */
int rv_command_run(const rv_cycle_options_t *options, const rv_signal_t *order, uint64_t wait);

#endif
