/*
 * rv_exclusive: of all the processes that wait for one socket, only one wakes.
 */
#ifndef RV_EXCLUSIVE_H
#define RV_EXCLUSIVE_H

#include "rv_base.h"
#include "rv_loop.h"

/* What *set is before the first call for a loop. */
#define RV_EXCLUSIVE_UNKNOWN (-1)

/*
 * For a descriptor that is watched for reading, and for nothing else: from now on
 * this process stands last in the queue of those that wait for it, and whatever
 * comes wakes the first of them that sleeps. What is there already is not missed.
 * To be called again each time that it is watched anew, and to go to the end of
 * the queue. *set is for the caller to keep, one for a loop. RV_ERROR: it is
 * watched as it was.
 */
int rv_exclusive_queue(rv_loop_t *loop, int *set, int fd);

#endif
