/*
 * rv_zone: named pieces of shared memory and their life.
 *
 * The handle is this process's; the header and the content are everybody's.
 * Zones are opened by the master only and inherited over fork, so a handle is
 * shared by the generations that use the same zone and counts them.
 *
 * The content is trusted only while nobody died holding the lock: then the
 * owner repairs it, or it is made anew, and the generation in the header
 * tells everybody who looked before.
 */
#include "rv_zone.h"

#include "rv_lock.h"
#include "rv_shm.h"

#include <errno.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#define MAGIC UINT64_C(0x72656576657a6e31) /* "reevezn1" */

enum { VERSION = 1, ALIGN = 64, ATTEMPTS = 16 };

typedef struct {
    uint64_t magic;
    uint32_t version;
    _Atomic uint32_t generation;
    uint64_t size;
    uint64_t used; /* the allocator: the content up to here is given out */
    char name[RV_ZONE_NAME];
    char owner[RV_ZONE_NAME];
    _Atomic int64_t pid;    /* who removes the name in the end */
    _Atomic uint32_t dirty; /* set while init or repair is at work */
    _Atomic uint32_t recoveries;
    rv_lock_t lock;
} header_t;

struct rv_zone_s {
    rv_shm_t shm;
    rv_zone_spec_t spec;
    char name[RV_ZONE_NAME];
    char owner[RV_ZONE_NAME];
    unsigned users;
    int rebuilt; /* by the last rv_zone_lock */
    int adopted;
    rv_zone_t *held; /* one opening of an older zone */
    void *handle;
    void (*release)(void *);
};

static header_t *
header_of(const rv_zone_t *zone)
{
    return zone->shm.addr;
}

static size_t
align(size_t n)
{
    return (n + ALIGN - 1) / ALIGN * ALIGN;
}

/* --- checks, each with a message of its own ---------------------------------- */

static int
check_name(const char *name, char *error)
{
    static const char word[] = "abcdefghijklmnopqrstuvwxyz"
                               "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-.";
    size_t length = strlen(name);

    if (length == 0 || length >= RV_ZONE_NAME || strspn(name, word) != length) {
        snprintf(error, RV_ZONE_ERROR,
            "zone name \"%s\" is not 1 to %d letters, digits, \"_\", \"-\" or \".\"", name,
            RV_ZONE_NAME - 1);
        return RV_ERROR;
    }
    return RV_OK;
}

int
rv_zone_check(const rv_zone_spec_t *spec, char error[RV_ZONE_ERROR])
{
    const rv_shm_type_t *type = rv_shm_type(spec->type);
    size_t need = align(sizeof(header_t)) + align(rv_min(spec->need, SIZE_MAX / 2));

    if (check_name(spec->name, error) != RV_OK)
        return RV_ERROR;

    if (type == NULL)
        snprintf(error, RV_ZONE_ERROR, "zone \"%s\": type \"%s\" is not in this build", spec->name,
            spec->type);
    else if (spec->size == 0)
        snprintf(error, RV_ZONE_ERROR, "zone \"%s\": size is zero", spec->name);
    else if (spec->size < need)
        snprintf(error, RV_ZONE_ERROR,
            "zone \"%s\": size %zu is smaller than its content needs, %zu", spec->name, spec->size,
            need);
    else if ((type->flags & RV_SHM_PATH) && spec->path == NULL)
        snprintf(
            error, RV_ZONE_ERROR, "zone \"%s\": type \"%s\" needs a path", spec->name, type->name);
    else if (!(type->flags & RV_SHM_PATH) && spec->path != NULL)
        snprintf(
            error, RV_ZONE_ERROR, "zone \"%s\": type \"%s\" takes no path", spec->name, type->name);
    else
        return RV_OK;

    return RV_ERROR;
}

/* A file that was there: is it this zone? */
static int
check_content(const rv_zone_t *zone, char *error)
{
    const header_t *h = header_of(zone);
    const char *what = NULL;

    if (h->magic != MAGIC)
        what = "is not a zone";
    else if (h->version != VERSION)
        what = "is a zone of another layout version";
    else if (h->size != zone->shm.size)
        what = "is a zone of another size";
    else if (strncmp(h->name, zone->name, RV_ZONE_NAME) != 0)
        what = "is a zone of another name";
    else if (strncmp(h->owner, zone->owner, RV_ZONE_NAME) != 0)
        what = "is a zone of another owner";
    else
        return RV_OK;

    snprintf(error, RV_ZONE_ERROR, "zone \"%s\": \"%s\" %s", zone->name, zone->shm.path, what);
    return RV_ERROR;
}

static int
same_text(const char *a, const char *b)
{
    return a == b || (a != NULL && b != NULL && strcmp(a, b) == 0);
}

/* Whether the old zone serves for this spec as it is. */
static int
is_same(const rv_zone_t *old, const rv_zone_spec_t *spec, const rv_shm_type_t *type)
{
    return old->shm.type == type && old->spec.size == spec->size && old->spec.need == spec->need
        && same_text(old->shm.path, spec->path);
}

/* --- making one ----------------------------------------------------------------- */

static int
is_alive(pid_t pid)
{
    return pid > 0 && (kill(pid, 0) == 0 || errno == EPERM);
}

/* A zone of ours whose master is dead. */
static int
is_stale(const rv_shm_type_t *type, const char *name)
{
    header_t h;

    return rv_shm_peek(type, name, &h, sizeof(h)) == RV_OK && h.magic == MAGIC
        && !is_alive((pid_t) atomic_load(&h.pid));
}

/*
 * Maps it. A name in the system that a killed daemon left behind is taken
 * over; one that belongs to a living process (this one too: the zone that is
 * being replaced) makes us try the next number.
 */
static int
map(rv_zone_t *zone, const rv_shm_type_t *type)
{
    const rv_zone_spec_t *spec = &zone->spec;
    char name[128];

    for (int i = 0; i < ATTEMPTS; i++) {
        snprintf(name, sizeof(name), RV_NAME ".%s.%s.%d", spec->instance, spec->name, i);
        if (rv_shm_create(&zone->shm, type, name, spec->path, spec->size) == RV_OK)
            return RV_OK;
        if (errno != EEXIST)
            return RV_ERROR;

        if (is_stale(type, name)) {
            rv_shm_remove(type, name);
            if (rv_shm_create(&zone->shm, type, name, spec->path, spec->size) == RV_OK)
                return RV_OK;
        }
        errno = EEXIST;
    }
    return RV_ERROR;
}

static int
write_header(rv_zone_t *zone)
{
    header_t *h = header_of(zone);

    h->version = VERSION;
    h->size = zone->shm.size;
    h->used = align(sizeof(*h));
    memcpy(h->name, zone->name, sizeof(h->name));
    memcpy(h->owner, zone->owner, sizeof(h->owner));
    atomic_store(&h->pid, getpid());
    atomic_store(&h->generation, 1);
    if (rv_lock_init(&h->lock) != RV_OK)
        return RV_ERROR;

    h->magic = MAGIC;
    return RV_OK;
}

static int
call_init(rv_zone_t *zone, rv_zone_t *old)
{
    header_t *h = header_of(zone);

    atomic_store(&h->dirty, 1);
    int result = zone->spec.init(zone, old, zone->spec.data);
    atomic_store(&h->dirty, 0);
    return result;
}

static rv_zone_t *
new_zone(const rv_zone_spec_t *spec)
{
    rv_zone_t *zone = calloc(1, sizeof(*zone));

    if (zone == NULL)
        return NULL;

    zone->spec = *spec;
    zone->shm.fd = -1;
    zone->users = 1;
    snprintf(zone->name, sizeof(zone->name), "%s", spec->name);
    snprintf(zone->owner, sizeof(zone->owner), "%s", spec->owner);
    zone->spec.name = zone->name;
    zone->spec.owner = zone->owner;
    return zone;
}

static void
explain_mapping(const rv_zone_t *zone, const rv_shm_type_t *type, char *error)
{
    const char *path = zone->spec.path;

    if (errno == EFBIG && path != NULL)
        snprintf(error, RV_ZONE_ERROR, "zone \"%s\": \"%s\" is a file of another size, not %zu",
            zone->name, path, zone->spec.size);
    else
        snprintf(error, RV_ZONE_ERROR, "zone \"%s\": mapping %zu bytes of %s%s%s failed (%d: %s)",
            zone->name, zone->spec.size, type->name, path ? " " : "", path ? path : "", errno,
            strerror(errno));
}

static int
open_new(rv_zone_t *zone, const rv_shm_type_t *type, rv_zone_t *old, char *error)
{
    if (map(zone, type) != RV_OK) {
        explain_mapping(zone, type, error);
        return RV_ERROR;
    }
    zone->spec.path = zone->shm.path;
    if ((type->flags & RV_SHM_KEPT) && flock(zone->shm.fd, LOCK_EX | LOCK_NB) == -1) {
        zone->shm.existed = 1; /* by somebody else, though empty as yet */
        snprintf(error, RV_ZONE_ERROR, "zone \"%s\": \"%s\" is in use", zone->name, zone->shm.path);
        return RV_ERROR;
    }
    zone->spec.instance = NULL;

    if (zone->shm.existed) {
        if (check_content(zone, error) != RV_OK)
            return RV_ERROR;
        memset(zone->shm.addr, 0, zone->shm.size);
    }
    if (write_header(zone) == RV_OK && call_init(zone, old) == RV_OK)
        return RV_OK;

    snprintf(error, RV_ZONE_ERROR, "zone \"%s\": filling it failed (%d: %s)", zone->name, errno,
        strerror(errno));
    return RV_ERROR;
}

int
rv_zone_open(
    const rv_zone_spec_t *spec, rv_zone_t *old, rv_zone_t **zone, char error[RV_ZONE_ERROR])
{
    const rv_shm_type_t *type = rv_shm_type(spec->type);

    if (rv_zone_check(spec, error) != RV_OK)
        return RV_ERROR;

    if (old != NULL && strcmp(old->owner, spec->owner) != 0) {
        snprintf(error, RV_ZONE_ERROR, "zone \"%s\" belongs to \"%s\", not to \"%s\"", spec->name,
            old->owner, spec->owner);
        return RV_ERROR;
    }
    if (old != NULL && is_same(old, spec, type)) {
        old->users++;
        *zone = old;
        return RV_OK;
    }

    rv_zone_t *fresh = new_zone(spec);
    if (fresh == NULL) {
        snprintf(error, RV_ZONE_ERROR, "zone \"%s\": not enough memory", spec->name);
        return RV_ERROR;
    }
    if (open_new(fresh, type, old, error) != RV_OK) {
        rv_zone_close(fresh, 1);
        return RV_ERROR;
    }
    *zone = fresh;
    return RV_OK;
}

void
rv_zone_close(rv_zone_t *zone, int remove)
{
    if (--zone->users > 0)
        return;

    if (zone->release != NULL)
        zone->release(zone->handle);
    if (zone->held != NULL)
        rv_zone_close(zone->held, remove);
    /* a file that nothing ever came of */
    if (remove && !zone->adopted && !zone->shm.existed && zone->shm.path != NULL)
        rv_shm_remove(zone->shm.type, zone->shm.path);
    if (remove)
        rv_shm_destroy(&zone->shm);
    else
        rv_shm_detach(&zone->shm);
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

void
rv_zone_adopt(rv_zone_t *zone)
{
    atomic_store(&header_of(zone)->pid, getpid());
    zone->adopted = 1;
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

void *
rv_zone_alloc(rv_zone_t *zone, size_t size)
{
    header_t *h = header_of(zone);

    if (size > h->size - h->used || align(size) > h->size - h->used) {
        errno = ENOMEM;
        return NULL;
    }
    void *memory = (char *) zone->shm.addr + h->used;
    h->used += align(size);
    return memory;
}

/* --- the lock ---------------------------------------------------------------------- */

/* Empties the zone and fills it again, under the lock. */
static int
rebuild(rv_zone_t *zone)
{
    header_t *h = header_of(zone);

    h->used = align(sizeof(*h));
    memset((char *) zone->shm.addr + h->used, 0, h->size - h->used);
    atomic_fetch_add(&h->generation, 1);
    zone->rebuilt = 1;
    return call_init(zone, NULL);
}

/* The last holder of the lock died. A process that died while it repaired, or
 * filled, left nothing that could be repaired. */
static int
repair(void *data)
{
    rv_zone_t *zone = data;
    header_t *h = header_of(zone);

    if (atomic_load(&h->dirty) || zone->spec.repair == NULL)
        return rebuild(zone);

    atomic_store(&h->dirty, 1);
    if (zone->spec.repair(zone, zone->spec.data) != RV_OK)
        return rebuild(zone);
    atomic_store(&h->dirty, 0);
    atomic_fetch_add(&h->recoveries, 1);
    return RV_OK;
}

int
rv_zone_lock(rv_zone_t *zone)
{
    zone->rebuilt = 0;
    if (rv_lock_acquire(&header_of(zone)->lock, repair, zone) == RV_ERROR)
        return RV_ERROR;

    return zone->rebuilt ? RV_ZONE_REBUILT : RV_OK;
}

void
rv_zone_unlock(rv_zone_t *zone)
{
    rv_lock_release(&header_of(zone)->lock);
}

unsigned
rv_zone_generation(const rv_zone_t *zone)
{
    return atomic_load(&header_of(zone)->generation);
}

unsigned
rv_zone_recoveries(const rv_zone_t *zone)
{
    return atomic_load(&header_of(zone)->recoveries);
}
