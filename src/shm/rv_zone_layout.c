/*
 * rv_zone_layout: what is in front of a zone's content, and a process's handle on it.
 *
 * The last word of the memory is a mark. Whatever is cut off from a file takes
 * it away, and what grows back is zeros.
 */
#include "rv_zone_layout.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define MARK UINT64_C(0x7265657665656e64) /* "reeveend" */

enum { ALIGN = 64 };

rv_zone_header_t *
rv_zone_layout_header(const rv_zone_t *zone)
{
    return zone->shm.addr;
}

size_t
rv_zone_layout_align(size_t n)
{
    return (n + ALIGN - 1) / ALIGN * ALIGN;
}

size_t
rv_zone_layout_overhead(void)
{
    return rv_zone_layout_align(sizeof(rv_zone_header_t)) + ALIGN;
}

static _Atomic uint64_t *
mark_of(const void *memory, size_t size)
{
    return (void *) ((char *) (uintptr_t) memory + size - sizeof(uint64_t));
}

int
rv_zone_layout_has_mark(const void *memory, size_t size)
{
    return atomic_load(mark_of(memory, size)) == MARK;
}

int
rv_zone_layout_is_whole(const rv_zone_t *zone)
{
    return rv_zone_layout_has_mark(zone->shm.addr, zone->shm.size);
}

int
rv_zone_layout_is_plausible(const rv_zone_header_t *h)
{
    return h->used >= rv_zone_layout_align(sizeof(*h)) && h->used <= h->size - ALIGN;
}

int
rv_zone_layout_write(rv_zone_t *zone)
{
    rv_zone_header_t *h = rv_zone_layout_header(zone);

    /* what others have done, where the header is still there */
    if (h->magic == RV_ZONE_LAYOUT_MAGIC) {
        if (rv_zone_layout_is_plausible(h))
            zone->used = rv_max(zone->used, h->used);
        zone->generation = rv_max(zone->generation, atomic_load(&h->generation));
        zone->recoveries = rv_max(zone->recoveries, atomic_load(&h->recoveries));
    }
    h->version = RV_ZONE_LAYOUT_VERSION;
    h->size = zone->shm.size;
    h->used = zone->used;
    memcpy(h->name, zone->name, sizeof(h->name));
    memcpy(h->owner, zone->owner, sizeof(h->owner));
    atomic_store(&h->pid, getpid());
    atomic_store(&h->generation, zone->generation);
    atomic_store(&h->recoveries, zone->recoveries);
    atomic_store(&h->holder, 0);
    if (rv_lock_init(&h->lock) != RV_OK)
        return RV_ERROR;

    h->magic = RV_ZONE_LAYOUT_MAGIC;
    return RV_OK;
}

void
rv_zone_layout_mark(rv_zone_t *zone)
{
    atomic_store(mark_of(zone->shm.addr, zone->shm.size), MARK);
}

int
rv_zone_layout_init(rv_zone_t *zone, rv_zone_t *old)
{
    rv_zone_header_t *h = rv_zone_layout_header(zone);

    atomic_store(&h->dirty, 1);
    int result = zone->spec.calls->init(zone, old, zone->spec.data);
    zone->used = h->used;
    atomic_store(&h->dirty, 0);
    return result;
}

int
rv_zone_layout_rebuild(rv_zone_t *zone)
{
    rv_zone_header_t *h = rv_zone_layout_header(zone);
    size_t begin = rv_zone_layout_align(sizeof(*h));

    h->used = begin;
    memset((char *) zone->shm.addr + begin, 0, zone->shm.size - begin - sizeof(uint64_t));
    zone->generation = atomic_fetch_add(&h->generation, 1) + 1;
    zone->outcome = RV_ZONE_REBUILT;
    return rv_zone_layout_init(zone, NULL);
}

/* A process that died while it repaired, or filled, left nothing that could be
 * repaired. */
int
rv_zone_layout_repair(rv_zone_t *zone, int (*call)(rv_zone_t *, void *))
{
    rv_zone_header_t *h = rv_zone_layout_header(zone);

    if (atomic_load(&h->dirty) || call == NULL)
        return rv_zone_layout_rebuild(zone);

    atomic_store(&h->dirty, 1);
    if (call(zone, zone->spec.data) != RV_OK)
        return rv_zone_layout_rebuild(zone);
    atomic_store(&h->dirty, 0);
    zone->recoveries = atomic_fetch_add(&h->recoveries, 1) + 1;
    zone->outcome = RV_ZONE_REPAIRED;
    return RV_OK;
}
