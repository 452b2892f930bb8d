/*
 * rv_lock: a lock in shared memory that notices when its owner died.
 *
 * The kernel knows which robust mutexes a thread holds and marks them when it
 * dies, at whatever instruction: no owner is written down by us that could be
 * written too late. The mark says "the owner died", and stays until somebody
 * calls pthread_mutex_consistent while holding the mutex.
 *
 * The rule: the data behind a lock that was acquired is whole. So a repair is
 * done before consistent is called: a process killed during its repair leaves
 * the mark, and the next one repairs again. After a repair that failed, `broken`
 * is set before consistent is called, and nobody gets past it.
 *
 * POSIX has a state for that, a mutex unlocked without consistent; it cannot be
 * used. In glibc the first waiter that is told ENOTRECOVERABLE wakes no other
 * (its lll_unlock takes a lock word with FUTEX_WAITERS set for a negative
 * number), and they sleep for ever. Here waiters pass a sound mutex on, each
 * looks at `broken`, and each gets its ENOTRECOVERABLE.
 *
 * The mutex checks for errors: a process that takes its own lock twice gets
 * EDEADLK instead of hanging, and one cannot release what it does not hold.
 */
#include "rv_lock.h"

#include <errno.h>
#include <time.h>

static int
failed_with(int error)
{
    errno = error;
    return RV_ERROR;
}

static int
set_attributes(pthread_mutexattr_t *attr)
{
    int error = pthread_mutexattr_setpshared(attr, PTHREAD_PROCESS_SHARED);

    if (error == 0)
        error = pthread_mutexattr_setrobust(attr, PTHREAD_MUTEX_ROBUST);

    if (error == 0)
        error = pthread_mutexattr_settype(attr, PTHREAD_MUTEX_ERRORCHECK);

    return error;
}

int
rv_lock_init(rv_lock_t *lock)
{
    pthread_mutexattr_t attr;
    int error = pthread_mutexattr_init(&attr);

    if (error != 0)
        return failed_with(error);

    lock->broken = 0;
    error = set_attributes(&attr);

    if (error == 0)
        error = pthread_mutex_init(&lock->mutex, &attr);

    pthread_mutexattr_destroy(&attr);
    return error == 0 ? RV_OK : failed_with(error);
}

/* The mutex is held, and what it guards is not whole. */
static int
recover(rv_lock_t *lock, rv_lock_repair_t repair, void *data)
{
    if (!lock->broken && (repair == NULL || repair(data) != RV_OK))
        lock->broken = 1;

    int error = pthread_mutex_consistent(&lock->mutex);

    if (error == 0 && !lock->broken)
        return RV_LOCK_REPAIRED;

    pthread_mutex_unlock(&lock->mutex);
    return failed_with(error == 0 ? ENOTRECOVERABLE : error);
}

/* What came of taking the mutex. */
static int
taken(rv_lock_t *lock, int error, rv_lock_repair_t repair, void *data)
{
    if (error == EOWNERDEAD)
        return recover(lock, repair, data);

    if (error != 0)
        return failed_with(error);

    if (!lock->broken)
        return RV_OK;

    pthread_mutex_unlock(&lock->mutex);
    return failed_with(ENOTRECOVERABLE);
}

int
rv_lock_acquire(rv_lock_t *lock, rv_lock_repair_t repair, void *data)
{
    return taken(lock, pthread_mutex_lock(&lock->mutex), repair, data);
}

int
rv_lock_acquire_within(rv_lock_t *lock, unsigned msec, rv_lock_repair_t repair, void *data)
{
    int error = pthread_mutex_trylock(&lock->mutex);
    struct timespec until;

    if (error == EBUSY) {
        clock_gettime(CLOCK_REALTIME, &until);
        until.tv_sec += msec / 1000;
        until.tv_nsec += (long) (msec % 1000) * 1000000;
        if (until.tv_nsec >= 1000000000) {
            until.tv_nsec -= 1000000000;
            until.tv_sec++;
        }
        error = pthread_mutex_timedlock(&lock->mutex, &until);
    }
    return taken(lock, error, repair, data);
}

int
rv_lock_try(rv_lock_t *lock, rv_lock_repair_t repair, void *data)
{
    int error = pthread_mutex_trylock(&lock->mutex);

    return error == EBUSY ? RV_AGAIN : taken(lock, error, repair, data);
}

void
rv_lock_release(rv_lock_t *lock)
{
    pthread_mutex_unlock(&lock->mutex);
}
