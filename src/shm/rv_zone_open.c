/*
 * rv_zone_open: how a zone comes to be: new, shared with the generation
 * before, left behind in a file, or handed over.
 *
 * A new file is made beside its path and put there when the generation is
 * in force, so that a failure has changed nothing. What was at the path is
 * mapped first: it must be ours, nobody may be using it, and its content is the old
 * zone's. Nothing else is ever overwritten.
 */
#include "rv_zone.h"

#include "rv_alive.h"
#include "rv_zone_layout.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { ATTEMPTS = 16, NAME_ROOM = 128 };

#define NAME_FORMAT RV_NAME ".%s.%s.%d" /* instance, zone, number */

#define BESIDE ".new" /* of a path: where its new file is made */

static int RV_PRINTF(2, 3) fail(char *error, const char *fmt, ...)
{
    va_list args;

    va_start(args, fmt);
    vsnprintf(error, RV_ZONE_ERROR, fmt, args);
    va_end(args);
    return RV_ERROR;
}

static int
name_text(const char *a, const char *b)
{
    return strncmp(a, b, RV_ZONE_NAME) == 0;
}

/* Memory that was there: is it this zone? */
static int
check_content(const rv_zone_t *zone, char *error)
{
    const rv_zone_header_t *h = rv_zone_layout_header(zone);
    const char *where = zone->shm.path == NULL ? zone->shm.type->name : zone->shm.path;
    const char *what = NULL;

    /* a page is mapped in any case, with zeros behind the end of a shorter file */
    if (h->magic != RV_ZONE_LAYOUT_MAGIC)
        what = "is not a zone";
    else if (h->version != RV_ZONE_LAYOUT_VERSION)
        what = "is a zone of another layout version";
    else if (!name_text(h->name, zone->name))
        what = "is a zone of another name";
    else if (!name_text(h->owner, zone->owner))
        what = "is a zone of another owner";
    else
        return RV_OK;

    return fail(error, "zone \"%s\": \"%s\" %s", zone->name, where, what);
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
    return old->fits && rv_zone_is_in_place(old) && old->shm.type == type
        && old->spec.size == spec->size && old->spec.need == spec->need
        && old->spec.huge == spec->huge && old->spec.pinned == spec->pinned
        && same_text(old->path, spec->path);
}

/* --- making one ----------------------------------------------------------------- */

/* A zone of ours whose master is dead. */
static int
is_stale(const rv_shm_type_t *type, const char *name)
{
    rv_zone_header_t h;

    return rv_shm_peek(type, name, &h, sizeof(h)) == RV_OK && h.magic == RV_ZONE_LAYOUT_MAGIC
        && !rv_alive((pid_t) atomic_load(&h.pid));
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
    zone->fits = 1;
    zone->generation = 1;
    zone->used = rv_zone_layout_align(sizeof(rv_zone_header_t));
    snprintf(zone->name, sizeof(zone->name), "%s", spec->name);
    snprintf(zone->owner, sizeof(zone->owner), "%s", spec->owner);
    zone->spec.name = zone->name;
    zone->spec.owner = zone->owner;
    zone->spec.path = NULL;
    zone->spec.instance = NULL;
    if (spec->path != NULL && (zone->path = strdup(spec->path)) == NULL) {
        free(zone);
        return NULL;
    }
    return zone;
}

/* What a daemon left behind that died while it made its file. */
static void
remove_stale_file(const rv_shm_type_t *type, const char *path)
{
    rv_zone_header_t h;
    struct stat st;
    int fd = rv_shm_open(type, path);

    if (fd == -1)
        return;

    int unused = flock(fd, LOCK_EX | LOCK_NB) == 0;
    int ours = fstat(fd, &st) == 0 && S_ISREG(st.st_mode);
    ours = ours
        && (st.st_size == 0
            || (pread(fd, &h, sizeof(h), 0) == (ssize_t) sizeof(h)
                && (h.magic == RV_ZONE_LAYOUT_MAGIC || h.magic == 0)));
    if (unused && ours)
        rv_shm_remove(type, path);
    close(fd);
}

static int
map_file(rv_zone_t *zone, const rv_zone_spec_t *spec, const rv_shm_type_t *type)
{
    char path[PATH_MAX];

    if (snprintf(path, sizeof(path), "%s" BESIDE, spec->path) >= (int) sizeof(path)) {
        errno = ENAMETOOLONG;
        return RV_ERROR;
    }
    remove_stale_file(type, path);
    if (rv_shm_create(&zone->shm, type, spec->name, path, spec->size, spec->huge) != RV_OK)
        return RV_ERROR;

    return flock(zone->shm.fd, LOCK_EX | LOCK_NB) == 0 ? RV_OK : RV_ERROR;
}

/*
 * A name in the system that a killed daemon left behind is taken
 * over; one that belongs to a living process (this one too: the zone that is
 * being replaced) makes us try the next number.
 */
static int
map_name(rv_zone_t *zone, const rv_zone_spec_t *spec, const rv_shm_type_t *type)
{
    char name[NAME_ROOM];

    for (int i = 0; i < ATTEMPTS; i++) {
        snprintf(name, sizeof(name), NAME_FORMAT, spec->instance, spec->name, i);
        if (rv_shm_create(&zone->shm, type, name, NULL, spec->size, spec->huge) == RV_OK)
            return RV_OK;
        if (errno != EEXIST)
            return RV_ERROR;

        if (is_stale(type, name)) {
            rv_shm_remove(type, name);
            if (rv_shm_create(&zone->shm, type, name, NULL, spec->size, spec->huge) == RV_OK)
                return RV_OK;
        }
        errno = EEXIST;
    }
    return RV_ERROR;
}

static int
map(rv_zone_t *zone, const rv_zone_spec_t *spec, const rv_shm_type_t *type)
{
    return type->flags & RV_SHM_PATH ? map_file(zone, spec, type) : map_name(zone, spec, type);
}

static int
make(const rv_zone_spec_t *spec, rv_zone_t *old, rv_zone_t **zone, char *error)
{
    const rv_shm_type_t *type = rv_shm_type(spec->type);
    rv_zone_t *fresh = new_zone(spec);

    if (fresh == NULL)
        return fail(error, "zone \"%s\": not enough memory", spec->name);

    if (map(fresh, spec, type) != RV_OK) {
        const char *path = spec->path == NULL ? "" : spec->path;
        fail(error, "zone \"%s\": mapping %zu bytes of %s%s%s failed (%d: %s)", spec->name,
            spec->size, type->name, *path ? " " : "", path, errno, strerror(errno));
        rv_zone_close(fresh, 1);
        return RV_ERROR;
    }
    if (rv_zone_layout_write(fresh) == RV_OK) {
        rv_zone_layout_mark(fresh);
        if (rv_zone_layout_init(fresh, old) == RV_OK) {
            *zone = fresh;
            return RV_OK;
        }
    }
    fail(error, "zone \"%s\": filling it failed (%d: %s)", spec->name, errno, strerror(errno));
    rv_zone_close(fresh, 1);
    return RV_ERROR;
}

/* --- one that is there ---------------------------------------------------------------- */

/* What its last user left in the middle of something, and then the owner's word. */
static int
take_over(rv_zone_t *zone, char *error)
{
    rv_zone_header_t *h = rv_zone_layout_header(zone);
    const rv_zone_calls_t *calls = zone->spec.calls;

    if (h->size != zone->shm.size || !rv_zone_layout_is_plausible(h))
        return fail(error, "zone \"%s\": its size is not what its header says", zone->name);

    zone->used = h->used;
    zone->generation = zone->told_generation = atomic_load(&h->generation);
    zone->recoveries = zone->told_recoveries = atomic_load(&h->recoveries);
    int result = calls->attach == NULL ? RV_OK : calls->attach(zone, zone->spec.data);

    if (result == RV_ERROR)
        return fail(error, "zone \"%s\": its content is not understood", zone->name);
    if (zone->alone && rv_lock_init(&h->lock) != RV_OK)
        return fail(error, "zone \"%s\": making its lock failed", zone->name);
    if (zone->alone && atomic_exchange(&h->holder, 0) != 0) {
        if (rv_zone_layout_repair(zone, calls->repair) != RV_OK)
            return fail(error, "zone \"%s\": repairing it failed", zone->name);
        if (zone->outcome == RV_ZONE_REBUILT)
            (void) fail(error, "zone \"%s\" was beyond repair and is made anew", zone->name);
    }

    zone->fits = result == RV_OK;
    return RV_OK;
}

/* A file whose maker was killed, or that somebody has cut off: RV_DONE. */
static int
check_whole(const rv_zone_t *zone, char *warning)
{
    const rv_zone_header_t *h = rv_zone_layout_header(zone);
    const char *what = NULL;

    if (h->size != zone->shm.size || zone->shm.size % sizeof(uint64_t) != 0
        || zone->shm.size < rv_zone_layout_overhead() || !rv_zone_layout_is_whole(zone))
        what = h->size < zone->shm.size ? "is longer than it says" : "was cut off";
    else if (atomic_load(&h->dirty) || !rv_zone_layout_is_plausible(h))
        what = "is unfinished";
    if (what == NULL)
        return RV_OK;

    (void) fail(warning, "zone \"%s\": \"%s\" %s and is made anew", zone->name, zone->path, what);
    return RV_DONE;
}

/* Somebody has locked the file: a daemon, or what one that was killed has left running. */
static void
explain_use(const rv_zone_spec_t *spec, const rv_shm_type_t *type, char *error)
{
    int orphans = is_stale(type, spec->path);

    fail(error, "zone \"%s\": \"%s\" is in use%s", spec->name, spec->path,
        orphans ? " by workers of a daemon that was killed, until they have finished" : "");
}

/*
 * Of processes that have just been killed the memory, and with it the lock, may stay a
 * moment longer than they do: as long as somebody looks at them in /proc.
 */
static int
lock_file(int fd)
{
    enum { TRIES = 50, PAUSE_MSEC = 10 };
    const struct timespec pause = { 0, PAUSE_MSEC * 1000 * 1000 };

    for (int i = 0; flock(fd, LOCK_EX | LOCK_NB) == -1; i++) {
        if (errno != EWOULDBLOCK || i == TRIES)
            return RV_ERROR;
        nanosleep(&pause, NULL);
    }
    return RV_OK;
}

/* The file at the path, locked: -1 and *result where there is nothing to be mapped. */
static int
open_file(const rv_zone_spec_t *spec, const rv_shm_type_t *type, int *result, char *error)
{
    int fd = rv_shm_open(type, spec->path);
    struct stat st;

    *result = RV_DONE;
    if (fd == -1 && errno == ENOENT)
        return -1;

    *result = RV_ERROR;
    if (fd == -1 || fstat(fd, &st) == -1)
        fail(error, "zone \"%s\": opening \"%s\" failed (%d: %s)", spec->name, spec->path, errno,
            strerror(errno));
    else if (!S_ISREG(st.st_mode))
        fail(error, "zone \"%s\": \"%s\" is not a file", spec->name, spec->path);
    else if (lock_file(fd) != RV_OK)
        explain_use(spec, type, error);
    else if (st.st_size == 0)
        *result = RV_DONE;
    else
        return fd;

    if (fd != -1)
        close(fd);
    return -1;
}

/* The file at the path, which a daemon that is gone has left there. RV_DONE:
 * there is none, or it is to be replaced. */
static int
find_file(const rv_zone_spec_t *spec, const rv_shm_type_t *type, rv_zone_t **zone, char *error)
{
    size_t page = (size_t) sysconf(_SC_PAGESIZE);
    int result, fd = open_file(spec, type, &result, error);
    rv_zone_t *found;

    if (fd == -1)
        return result;

    result = RV_ERROR;
    found = new_zone(spec);
    if (found == NULL || rv_shm_attach(&found->shm, type, fd, spec->name, spec->path) != RV_OK) {
        fail(error, "zone \"%s\": mapping \"%s\" failed (%d: %s)", spec->name, spec->path, errno,
            strerror(errno));
    } else if (check_content(found, error) == RV_OK) {
        found->alone = 1;
        found->adopted = 1;
        if (found->shm.size < spec->size || found->shm.size - spec->size >= page)
            found->spec.size = found->shm.size;
        result = check_whole(found, error);
        if (result == RV_OK)
            result = take_over(found, error);
    }
    if (result == RV_OK)
        *zone = found;
    else if (found != NULL)
        rv_zone_close(found, 0);
    return result;
}

/* The name in the system of what fd refers to, "" where it has none any more. */
static void
find_name(const rv_zone_spec_t *spec, const rv_shm_type_t *type, int fd, char name[NAME_ROOM])
{
    struct stat ours, st;

    for (int i = 0; i < ATTEMPTS && (type->flags & RV_SHM_NAMED) && fstat(fd, &ours) == 0; i++) {
        snprintf(name, NAME_ROOM, NAME_FORMAT, spec->instance, spec->name, i);
        int other = type->open(name, O_RDONLY);
        int same = other != -1 && fstat(other, &st) == 0 && st.st_dev == ours.st_dev
            && st.st_ino == ours.st_ino;

        if (other != -1)
            close(other);
        if (same)
            return;
    }
    snprintf(name, NAME_ROOM, RV_NAME ".nameless"); /* nobody's */
}

int
rv_zone_inherit(const rv_zone_spec_t *spec, int fd, rv_zone_t **zone, char error[RV_ZONE_ERROR])
{
    const rv_shm_type_t *type = rv_shm_type(spec->type);
    rv_zone_t *found = type == NULL ? NULL : new_zone(spec);
    char name[NAME_ROOM];

    error[0] = '\0';
    if (found == NULL) {
        close(fd);
        return fail(error, "zone \"%s\": type \"%s\" is not in this build", spec->name, spec->type);
    }
    find_name(spec, type, fd, name);
    if (rv_shm_attach(&found->shm, type, fd, name, spec->path) != RV_OK) {
        fail(error, "zone \"%s\": mapping what was inherited failed (%d: %s)", spec->name, errno,
            strerror(errno));
    } else if (check_content(found, error) == RV_OK && take_over(found, error) == RV_OK) {
        found->adopted = 1;
        if (spec->size == 0)
            found->spec.size = found->shm.size;
        *zone = found;
        return RV_OK;
    }
    rv_zone_close(found, 0);
    return RV_ERROR;
}

/* --- opening ---------------------------------------------------------------------------- */

/* Adds to what has been said. */
static void RV_PRINTF(2, 3) warn(char *warning, const char *fmt, ...)
{
    size_t length = strlen(warning);
    va_list args;

    if (length > 0)
        length += (size_t) snprintf(warning + length, RV_ZONE_ERROR - length, "; ");
    if (length >= RV_ZONE_ERROR)
        return;
    va_start(args, fmt);
    vsnprintf(warning + length, RV_ZONE_ERROR - length, fmt, args);
    va_end(args);
}

/* What was asked for and cannot be had, but is no reason not to start. */
static void
set_extras(rv_zone_t *zone, char *warning)
{
    const rv_zone_spec_t *spec = &zone->spec;

    if (spec->huge && !zone->shm.huge)
        warn(warning, "zone \"%s\": no huge pages for %zu bytes of %s, using normal ones",
            zone->name, spec->size, zone->shm.type->name);
    if (spec->pinned && rv_shm_pin(&zone->shm) != RV_OK)
        warn(warning, "zone \"%s\": mlock of %zu bytes failed (%d: %s)", zone->name, zone->shm.size,
            errno, strerror(errno));
}

static int
check_old(const rv_zone_spec_t *spec, const rv_zone_t *old, char *error)
{
    if (old == NULL || strcmp(old->owner, spec->owner) == 0)
        return RV_OK;

    return fail(
        error, "zone \"%s\" belongs to \"%s\", not to \"%s\"", spec->name, old->owner, spec->owner);
}

int
rv_zone_open(
    const rv_zone_spec_t *spec, rv_zone_t *old, rv_zone_t **zone, char error[RV_ZONE_ERROR])
{
    const rv_shm_type_t *type = rv_shm_type(spec->type);
    rv_zone_t *found = NULL;
    unsigned repaired, rebuilt;
    int result = RV_OK;

    error[0] = '\0';
    if (rv_zone_check(spec, error) != RV_OK || check_old(spec, old, error) != RV_OK)
        return RV_ERROR;

    int its_own = old != NULL && same_text(old->path, spec->path) && rv_zone_is_in_place(old);
    if ((type->flags & RV_SHM_KEPT) && !its_own && find_file(spec, type, &found, error) == RV_ERROR)
        return RV_ERROR;
    if (old == NULL)
        old = found; /* else what is counted now counts more than what a file says */

    if (old != NULL && is_same(old, spec, type)) {
        old->users++;
        *zone = old;
    } else {
        result = make(spec, old, zone, error);
    }
    if (result == RV_OK) {
        set_extras(*zone, error);
        if (*zone != old)
            (void) rv_zone_news(*zone, &repaired, &rebuilt); /* that it is new is none */
    }
    if (found != NULL)
        rv_zone_close(found, 0);
    return result;
}
