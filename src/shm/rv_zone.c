/*
 * rv_zone: named pieces of shared memory and their life.
 *
 * The handle is this process's; the header and the content are everybody's.
 * Zones are opened by the master only (rv_zone_open.c) and inherited over fork, so a handle is
 * shared by the generations that use the same zone and counts them.
 *
 * The content is trusted only while nobody died holding the lock: then the
 * owner repairs it, or it is made anew, and the generation in the header
 * tells everybody who looked before.
 */
#include "rv_zone.h"

#include "rv_zone_layout.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* --- life ----------------------------------------------------------------------------- */

void
rv_zone_close(rv_zone_t *zone, int remove)
{
    if (--zone->users > 0)
        return;

    if (zone->release != NULL)
        zone->release(zone->handle);
    if (zone->held != NULL)
        rv_zone_close(zone->held, remove);
    /* a name or a file that nothing ever came of, or a name of this process's own */
    int unused = !zone->adopted && !zone->alone;
    if (remove && unused && zone->shm.path != NULL)
        rv_shm_remove(zone->shm.type, zone->shm.path);
    if (remove && zone->shm.addr != NULL
        && (unused || atomic_load(&rv_zone_layout_header(zone)->pid) == getpid()))
        rv_shm_destroy(&zone->shm);
    else
        rv_shm_detach(&zone->shm);
    free(zone->path);
    free(zone);
}

void
rv_zone_hold(rv_zone_t *zone, rv_zone_t *old)
{
    if (zone->held != NULL)
        rv_zone_close(zone->held, 1);
    if (old != NULL)
        old->users++;
    zone->held = old;
}

int
rv_zone_adopt(rv_zone_t *zone)
{
    atomic_store(&rv_zone_layout_header(zone)->pid, getpid());
    zone->adopted = 1;
    zone->alone = 0;
    if (zone->spec.pinned) /* again: a fork on the way here has lost it; it was possible before */
        (void) rv_shm_pin(&zone->shm);
    if (zone->path == NULL || strcmp(zone->path, zone->shm.path) == 0)
        return RV_OK;

    return rv_shm_move(&zone->shm, zone->path);
}

void
rv_zone_leave_to(rv_zone_t *zone, pid_t pid)
{
    atomic_store(&rv_zone_layout_header(zone)->pid, pid);
}

int
rv_zone_fd(const rv_zone_t *zone)
{
    return zone->shm.type->flags & RV_SHM_EXEC ? zone->shm.fd : -1;
}

int
rv_zone_is_alone(const rv_zone_t *zone)
{
    return zone->alone;
}

void
rv_zone_set_handle(rv_zone_t *zone, void *handle, void (*release)(void *))
{
    if (zone->release != NULL)
        zone->release(zone->handle);
    zone->handle = handle;
    zone->release = release;
}

void *
rv_zone_handle(const rv_zone_t *zone)
{
    return zone->handle;
}

const char *
rv_zone_name(const rv_zone_t *zone)
{
    return zone->name;
}

const char *
rv_zone_type(const rv_zone_t *zone)
{
    return zone->shm.type->name;
}

/* --- the content ------------------------------------------------------------------------ */

static size_t
begin(void)
{
    return rv_zone_layout_align(sizeof(rv_zone_header_t));
}

/* What of the memory is for the content. */
static size_t
end(size_t size)
{
    return size - (rv_zone_layout_overhead() - begin());
}

void *
rv_zone_alloc(rv_zone_t *zone, size_t size)
{
    rv_zone_header_t *h = rv_zone_layout_header(zone);
    size_t room = end(zone->shm.size) - (size_t) h->used;

    if (size > room || rv_zone_layout_align(size) > room) {
        errno = ENOMEM;
        return NULL;
    }
    void *memory = (char *) zone->shm.addr + h->used;
    h->used += rv_zone_layout_align(size);
    zone->used = h->used;
    return memory;
}

void *
rv_zone_content(const rv_zone_t *zone, size_t *room)
{
    *room = end(zone->shm.size) - begin();
    return zone->used > begin() ? (char *) zone->shm.addr + begin() : NULL;
}

static void
tell(const rv_zone_header_t *h, rv_zone_info_t *info)
{
    memcpy(info->name, h->name, sizeof(info->name));
    memcpy(info->owner, h->owner, sizeof(info->owner));
    info->name[RV_ZONE_NAME - 1] = info->owner[RV_ZONE_NAME - 1] = '\0';
    info->size = h->size;
    info->used = h->used;
    info->generation = atomic_load(&h->generation);
    info->recoveries = atomic_load(&h->recoveries);
}

int
rv_zone_is_loose(const rv_zone_t *zone)
{
    return (zone->shm.type->flags & RV_SHM_LOOSE) != 0;
}

int
rv_zone_is_whole(const rv_zone_t *zone)
{
    return !rv_zone_is_loose(zone) || rv_zone_layout_is_whole(zone);
}

int
rv_zone_is_in_place(const rv_zone_t *zone)
{
    struct stat ours, there;

    if (!(zone->shm.type->flags & RV_SHM_KEPT))
        return 1;

    return fstat(zone->shm.fd, &ours) == 0 && stat(zone->shm.path, &there) == 0
        && ours.st_dev == there.st_dev && ours.st_ino == there.st_ino;
}

int
rv_zone_news(rv_zone_t *zone, unsigned *repaired, unsigned *rebuilt)
{
    const rv_zone_header_t *h = rv_zone_layout_header(zone);
    unsigned generation = atomic_load(&h->generation), recoveries = atomic_load(&h->recoveries);

    /* lower: it is cut off, and will be mended */
    *repaired = recoveries > zone->told_recoveries ? recoveries - zone->told_recoveries : 0;
    *rebuilt = generation > zone->told_generation ? generation - zone->told_generation : 0;
    zone->told_recoveries += *repaired;
    zone->told_generation += *rebuilt;
    return *repaired > 0 || *rebuilt > 0;
}

void
rv_zone_info(const rv_zone_t *zone, rv_zone_info_t *info)
{
    tell(rv_zone_layout_header(zone), info);
    info->type = zone->shm.type->name;
}

int
rv_zone_look(const void *memory, size_t size, rv_zone_info_t *info, void **content, size_t *room)
{
    const rv_zone_header_t *h = memory;

    if (size < rv_zone_layout_overhead() || h->magic != RV_ZONE_LAYOUT_MAGIC
        || h->version != RV_ZONE_LAYOUT_VERSION || !rv_zone_layout_has_mark(memory, size))
        return RV_ERROR;

    tell(h, info);
    info->type = NULL;
    *content = (char *) (uintptr_t) memory + begin();
    *room = end(size) - begin();
    return RV_OK;
}

/* --- the lock ---------------------------------------------------------------------- */

/* The last holder of the lock died. */
static int
repair(void *data)
{
    rv_zone_t *zone = data;

    return rv_zone_layout_repair(zone, zone->spec.calls->repair);
}

/* The lock was asked for; what came of it. */
static int
taken(rv_zone_t *zone, int result)
{
    if (result == RV_ERROR || result == RV_AGAIN)
        return result;

    atomic_store(&rv_zone_layout_header(zone)->holder, getpid());
    return result == RV_LOCK_REPAIRED ? zone->outcome : RV_OK;
}

int
rv_zone_lock(rv_zone_t *zone)
{
    return taken(zone, rv_lock_acquire(&rv_zone_layout_header(zone)->lock, repair, zone));
}

int
rv_zone_lock_within(rv_zone_t *zone, unsigned msec)
{
    rv_lock_t *lock = &rv_zone_layout_header(zone)->lock;

    return taken(zone, rv_lock_acquire_within(lock, msec, repair, zone));
}

void
rv_zone_unlock(rv_zone_t *zone)
{
    atomic_store(&rv_zone_layout_header(zone)->holder, 0);
    rv_lock_release(&rv_zone_layout_header(zone)->lock);
}

int
rv_zone_look_after(rv_zone_t *zone)
{
    int result = taken(zone, rv_lock_try(&rv_zone_layout_header(zone)->lock, repair, zone));

    if (result == RV_AGAIN)
        return RV_OK;
    if (result != RV_ERROR)
        rv_zone_unlock(zone);
    return result;
}

/* --- memory that can be cut off ------------------------------------------------------- */

int
rv_zone_mend(rv_zone_t *zone)
{
    if (!rv_zone_is_loose(zone))
        return RV_DONE;
    if (rv_zone_layout_is_whole(zone))
        return RV_OK;

    if (rv_shm_mend(&zone->shm) != RV_OK || rv_zone_layout_write(zone) != RV_OK
        || rv_zone_layout_repair(zone, zone->spec.calls->restore) != RV_OK)
        return RV_ERROR;
    rv_zone_layout_mark(zone);
    return zone->outcome;
}
