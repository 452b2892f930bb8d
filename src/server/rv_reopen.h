/*
 * rv_reopen: log files that were moved away are made anew.
 */
#ifndef RV_REOPEN_H
#define RV_REOPEN_H

#include "rv_cycle.h"

/*
 * Reopens every log of this process, and gives each new descriptor to `pass` (NULL: to nobody).
 * RV_ERROR: some could not be opened and stay as they were; each is logged, and
 * `reason` is the last of these lines.
 */
int rv_reopen(void (*pass)(unsigned output, int fd), char reason[RV_CYCLE_REASON]);

#endif
