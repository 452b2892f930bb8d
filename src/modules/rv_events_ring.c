/*
 * rv_events_ring: the zone "events", where messages are kept for those who come late or again.
 *
 * Ids begin with the microseconds since 1970 and grow by one. So they grow also when the memory
 * is made anew, after a restart for instance: whoever has an id of the old one and asks for what
 * followed is found to have missed something, and not taken for one who has it all.
 */
#include "rv_events_ring.h"

#include "rv_loop.h"
#include "rv_zone_add.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum {
    LEAST = 1024 * 1024, /* bytes: what is asked for, unless [zone events] says more */
    LOCK_MSEC = 20,      /* others have it for microseconds, unless they are stopped; */
    SHUN_MSEC = 1000,    /* then it is not tried again for so long */
    CARRY_MSEC = 1000
};

static rv_zone_t *zone; /* of this worker's generation; NULL: nobody wants one */

/* --- the zone's content ------------------------------------------------------------------ */

static int
keep_handle(rv_zone_t *z, const rv_replay_t *r)
{
    rv_replay_t *copy = malloc(sizeof(*copy));

    if (copy == NULL)
        return RV_ERROR;
    *copy = *r;
    rv_zone_set_handle(z, copy, free);
    return RV_OK;
}

static uint64_t
now_usec(void)
{
    struct timespec t;

    clock_gettime(CLOCK_REALTIME, &t);
    return (uint64_t) t.tv_sec * 1000000 + (uint64_t) t.tv_nsec / 1000;
}

/* What the old one holds; its own workers may go on adding to it. */
static int
carry_over(rv_replay_t *r, rv_zone_t *old)
{
    const rv_replay_t *from = old == NULL ? NULL : rv_zone_handle(old);

    if (from == NULL)
        return RV_OK;
    if (rv_zone_lock_within(old, CARRY_MSEC) == RV_ERROR)
        return errno == ETIMEDOUT ? RV_ERROR : RV_OK; /* else it is lost */
    from = rv_zone_handle(old);
    if (from != NULL && rv_replay_last(from) < rv_replay_last(r))
        rv_replay_copy(r, from);
    rv_zone_unlock(old);
    return RV_OK;
}

static int
init(rv_zone_t *z, rv_zone_t *old, void *data)
{
    const rv_replay_t *from = old == NULL ? NULL : rv_zone_handle(old);
    uint64_t last = now_usec();
    rv_replay_t r;
    size_t room;

    (void) data;
    (void) rv_zone_content(z, &room);
    void *memory = rv_zone_alloc(z, room / 64 * 64);
    if (from != NULL)
        last = rv_max(last, rv_replay_last(from) + 1);
    if (memory == NULL || rv_replay_create(&r, memory, room / 64 * 64, last) != RV_OK)
        return RV_ERROR;
    return carry_over(&r, old) == RV_OK ? keep_handle(z, &r) : RV_ERROR;
}

/* Others may be using it. What is not understood is not carried over either. */
static int
attach(rv_zone_t *z, void *data)
{
    rv_replay_t r;
    size_t room;
    void *memory = rv_zone_content(z, &room);

    (void) data;
    int result = memory == NULL ? RV_ERROR
        : rv_zone_is_alone(z)   ? rv_replay_check(&r, memory, room / 64 * 64)
                                : rv_replay_attach(&r, memory, room / 64 * 64);
    return result == RV_OK && keep_handle(z, &r) == RV_OK ? RV_OK : RV_DONE;
}

static int
repair(rv_zone_t *z, void *data)
{
    const rv_replay_t *r = rv_zone_handle(z);
    rv_replay_t whole;
    size_t room;

    (void) data;
    void *memory = rv_zone_content(z, &room);
    return r == NULL ? RV_ERROR : rv_replay_check(&whole, memory, room / 64 * 64);
}

int
rv_events_ring_add(rv_cycle_t *cycle)
{
    static const rv_zone_calls_t calls = { .init = init, .attach = attach, .repair = repair };

    return rv_zone_add(cycle, "events", LEAST, "events", &calls, NULL);
}

void
rv_events_ring_use(const rv_cycle_t *cycle)
{
    zone = rv_cycle_find_zone(cycle, "events");
}

/* --- messages ---------------------------------------------------------------------------- */

/* Whoever was killed meanwhile has left it whole, or it is empty now. NULL and errno. */
static rv_replay_t *
lock(void)
{
    static int64_t shunned_until;

    errno = EIO;
    if (zone == NULL)
        return NULL;
    if (rv_loop_now() < shunned_until) {
        errno = ETIMEDOUT;
        return NULL;
    }
    if (rv_zone_lock_within(zone, LOCK_MSEC) == RV_ERROR) {
        if (errno == ETIMEDOUT)
            shunned_until = rv_loop_now() + SHUN_MSEC;
        return NULL;
    }

    rv_replay_t *r = rv_zone_is_whole(zone) ? rv_zone_handle(zone) : NULL;
    if (r == NULL) { /* or its file was cut off, and the master will mend it */
        rv_zone_unlock(zone);
        errno = EIO;
    }
    return r;
}

/* How often it was made anew; each time what was in it is gone. */
static unsigned
generation(void)
{
    rv_zone_info_t info;

    rv_zone_info(zone, &info);
    return info.generation;
}

/* The file may be cut off, and be mended, at any instruction, and the lock with it. */
int
rv_events_ring_append(const char *topic, const char *text, size_t length, uint64_t *id)
{
    rv_replay_t *r = lock();

    if (r == NULL)
        return RV_ERROR;
    unsigned before = generation();
    int result = rv_replay_append(r, topic, strlen(topic), text, length, id), err = errno;
    if (!rv_zone_is_whole(zone) || generation() != before) {
        result = RV_ERROR;
        err = EIO;
    }
    rv_zone_unlock(zone);
    errno = err;
    return result;
}

uint64_t
rv_events_ring_last(void)
{
    const rv_replay_t *r = zone == NULL ? NULL : rv_zone_handle(zone);

    return r == NULL ? 0 : rv_replay_last(r);
}

int
rv_events_ring_read(
    rv_replay_cursor_t *cursor, uint64_t until, void *batch, size_t *length, int *lost)
{
    const rv_replay_t *r = lock();

    if (r == NULL)
        return RV_ERROR;
    *length = rv_replay_read(r, cursor, until, batch, RV_EVENTS_RING_BATCH, lost);
    rv_zone_unlock(zone);
    return RV_OK;
}
