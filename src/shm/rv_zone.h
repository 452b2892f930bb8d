/*
 * rv_zone: named pieces of shared memory and their life.
 *
 * A zone is a name, an owner (the module that asked for it), a size and a
 * type. The same zone in the next generation is the same memory; one of
 * another size or type is new memory, and its owner's `init` is shown the old
 * one. In front of the content stands a header that says what it is.
 */
#ifndef RV_ZONE_H
#define RV_ZONE_H

#include "rv_base.h"

#include <sys/types.h>

typedef struct rv_zone_s rv_zone_t;

#define RV_ZONE_NAME 48 /* room for a name, the NUL included */
#define RV_ZONE_ERROR 256

typedef struct {
    const char *name; /* letters, digits, "_", "-" and "." */
    const char *owner;
    const char *type;     /* a mechanism of rv_shm, or "auto" */
    const char *path;     /* file: where; otherwise NULL */
    const char *instance; /* told apart by this from other daemons' zones (posix) */
    size_t size;          /* bytes, the header included */
    size_t need;          /* what the owner's content takes */

    /*
     * Fills a new zone, whose content is zeroed. old: the zone of the same
     * name before, or NULL; it goes on being used until its own generation is
     * gone. RV_ERROR undoes the opening.
     */
    int (*init)(rv_zone_t *zone, rv_zone_t *old, void *data);

    /* A process died holding the lock: makes the content whole. */
    int (*repair)(rv_zone_t *zone, void *data);
    void *data; /* for both; must live as long as the process: a zone outlives its generation */
} rv_zone_spec_t;

/* Checks all that can be checked without opening: RV_OK, or RV_ERROR and `error`. */
int rv_zone_check(const rv_zone_spec_t *spec, char error[RV_ZONE_ERROR]);

/*
 * Opens a zone: the old one once more where owner, size, type and path are the
 * same, otherwise a new one. RV_ERROR: `error` says in words what is wrong;
 * old is as it was.
 */
int rv_zone_open(
    const rv_zone_spec_t *spec, rv_zone_t *old, rv_zone_t **zone, char error[RV_ZONE_ERROR]);

/* Gives up one opening. The last one unmaps it in this process, and where
 * `remove` is set takes its name from the system. */
void rv_zone_close(rv_zone_t *zone, int remove);

/*
 * Keeps `old` open as long as `zone` is, for a content that refers to it: a
 * process that gives up the generation of the old one must still have it. One
 * at a time; NULL lets go.
 */
void rv_zone_hold(rv_zone_t *zone, rv_zone_t *old);

/* The zone is in use for good, and this process the one that removes its name in
 * the end. A new file that was never adopted goes with its last opening. */
void rv_zone_adopt(rv_zone_t *zone);

/* An object of this process that lives as long as the zone is open here; `release` gives it back. */
void rv_zone_set_handle(rv_zone_t *zone, void *handle, void (*release)(void *));
void *rv_zone_handle(const rv_zone_t *zone);

const char *rv_zone_name(const rv_zone_t *zone);
const char *rv_zone_type(const rv_zone_t *zone);

/*
 * Zeroed memory from the zone, aligned to 64 bytes, for good; NULL where it
 * is used up. The same address in all processes that inherited the mapping. Under
 * the lock, or in init.
 */
void *rv_zone_alloc(rv_zone_t *zone, size_t size);

#define RV_ZONE_REBUILT 1

/*
 * Takes the zone's lock. RV_OK, also when its content had to be repaired after
 * somebody died; RV_ZONE_REBUILT: it was beyond repair, is empty and filled
 * anew by init, and the zone's generation is one higher; the caller logs that.
 * RV_ERROR: the lock is not held, init failed.
 */
int rv_zone_lock(rv_zone_t *zone);
void rv_zone_unlock(rv_zone_t *zone);

/* How often the content was made anew, and how often it was repaired. */
unsigned rv_zone_generation(const rv_zone_t *zone);
unsigned rv_zone_recoveries(const rv_zone_t *zone);

#endif
