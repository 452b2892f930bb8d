/*
 * rv_lock: a lock in shared memory that notices when its owner died.
 *
 * A pthread mutex, process-shared and robust. Whoever takes it after a dead
 * owner runs `repair` before anybody else may look at the data.
 */
#ifndef RV_LOCK_H
#define RV_LOCK_H

#include "rv_base.h"

#include <pthread.h>

typedef struct {
    pthread_mutex_t mutex;
    int broken; /* a repair failed; under the mutex, never cleared but by init */
} rv_lock_t;

/*
 * RV_OK: the data is whole again. RV_ERROR: it could not be repaired. It runs
 * with the lock held, so it is also the one place where data can be rebuilt
 * from nothing while other processes are waiting. A process may be killed in
 * the middle of it: then it runs again, in another one.
 */
typedef int (*rv_lock_repair_t)(void *data);

#define RV_LOCK_REPAIRED 1

/* Makes a new lock, free. Never on a lock that somebody may hold. */
int rv_lock_init(rv_lock_t *lock);

/*
 * Waits for the lock. RV_OK: it is held. RV_LOCK_REPAIRED: it is held, its last
 * owner died holding it and repair(data) succeeded (called exactly once).
 * RV_ERROR: it is not held; errno is ENOTRECOVERABLE where a repair failed,
 * now or before (whoever owns the memory must rebuild it and, once nobody uses
 * the lock any more, call rv_lock_init), or pthread's error: EDEADLK where the
 * caller holds it already. A NULL repair counts as one that failed.
 */
int rv_lock_acquire(rv_lock_t *lock, rv_lock_repair_t repair, void *data);

/* The same, but for so many milliseconds at most: RV_ERROR, errno ETIMEDOUT. For memory that a
 * process may have which is stopped, or not to be trusted. */
int rv_lock_acquire_within(rv_lock_t *lock, unsigned msec, rv_lock_repair_t repair, void *data);

/* The same without waiting: RV_AGAIN, somebody who lives holds it. */
int rv_lock_try(rv_lock_t *lock, rv_lock_repair_t repair, void *data);

/* Gives it back. Only the thread that holds it can; for others it does nothing. */
void rv_lock_release(rv_lock_t *lock);

#endif
