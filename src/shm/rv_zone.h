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

/* What the owner of a zone does with its content. All but init may be NULL. */
typedef struct {
    /*
     * Fills a new zone, whose content is zeroed. old: the zone of the same
     * name before, or NULL, to carry over what it holds; it goes on being used
     * until its own generation is gone. RV_ERROR undoes the opening.
     */
    int (*init)(rv_zone_t *zone, rv_zone_t *old, void *data);

    /*
     * The content was made by another process: by a daemon that is gone (a file)
     * or before an exec. RV_OK: it is used as it is. RV_DONE: it is to be
     * carried over into a new zone. RV_ERROR: it is not understood, and the
     * opening fails. NULL: RV_OK.
     */
    int (*attach)(rv_zone_t *zone, void *data);

    /* A process died holding the lock: makes the content whole. RV_ERROR, or
     * NULL: the zone is emptied and filled by init. */
    int (*repair)(rv_zone_t *zone, void *data);

    /* The memory was cut off (a truncated file) and is zeros from somewhere on:
     * puts back what this process knows. As repair. */
    int (*restore)(rv_zone_t *zone, void *data);
} rv_zone_calls_t;

typedef struct {
    const char *name; /* letters, digits, "_", "-" and "." */
    const char *owner;
    const char *type;     /* a mechanism of rv_shm, or "auto" */
    const char *path;     /* file: where; otherwise NULL */
    const char *instance; /* told apart by this from other daemons' zones (posix) */
    size_t size;          /* bytes, the header included */
    size_t need;          /* what the owner's content takes */
    int huge;             /* of huge pages, where there are some */
    int pinned;           /* kept in memory */

    const rv_zone_calls_t *calls; /* both must live as long as the process: */
    void *data;                   /* a zone outlives its generation */
} rv_zone_spec_t;

/* Checks all that can be checked without opening: RV_OK, or RV_ERROR and `error`. */
int rv_zone_check(const rv_zone_spec_t *spec, char error[RV_ZONE_ERROR]);

/*
 * Opens a zone: the old one once more where owner, size, type and path are the
 * same, otherwise a new one; a file that was left by a daemon that is gone
 * counts as the old one where there is none. A new file is beside its path until
 * rv_zone_adopt. RV_OK: where `error` is not empty, it says what is not as it was
 * asked for. RV_ERROR: `error` says in words what is wrong; old is as it was.
 */
int rv_zone_open(
    const rv_zone_spec_t *spec, rv_zone_t *old, rv_zone_t **zone, char error[RV_ZONE_ERROR]);

/*
 * Opens the zone behind a descriptor that was inherited over an exec, which is
 * taken over; type, path and size are what spec says of it or, size 0, what it has. The other
 * process may go on using it. It is then the `old` of rv_zone_open, which decides whether it
 * serves.
 */
int rv_zone_inherit(
    const rv_zone_spec_t *spec, int fd, rv_zone_t **zone, char error[RV_ZONE_ERROR]);

/* The descriptor to be inherited; -1: the type has none. */
int rv_zone_fd(const rv_zone_t *zone);

/* 1: no other process has it (a file that was left behind). */
int rv_zone_is_alone(const rv_zone_t *zone);

/* Gives up one opening. The last one unmaps it in this process, and where
 * `remove` is set and it is this process's takes its name from the system. */
void rv_zone_close(rv_zone_t *zone, int remove);

/*
 * Keeps `old` open as long as `zone` is, for a content that refers to it: a
 * process that gives up the generation of the old one must still have it. One
 * at a time; NULL lets go.
 */
void rv_zone_hold(rv_zone_t *zone, rv_zone_t *old);

/* The zone is in use for good, and this process the one that removes its name in
 * the end. A new file takes its place; one that was never adopted goes with its
 * last opening. RV_ERROR and errno: the file could not be put there. */
int rv_zone_adopt(rv_zone_t *zone);

/* Its name is that other process's to remove, which has it too. */
void rv_zone_leave_to(rv_zone_t *zone, pid_t pid);

/* An object of this process that lives as long as the zone is open here; `release` gives it back.
 * */
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

/* What was allocated first, for attach; NULL: nothing was. *room is what there
 * is from there to the end of the zone. */
void *rv_zone_content(const rv_zone_t *zone, size_t *room);

#define RV_ZONE_REBUILT 1
#define RV_ZONE_REPAIRED 2

/*
 * Takes the zone's lock. RV_OK; RV_ZONE_REPAIRED: somebody died holding it and the
 * content is whole again; RV_ZONE_REBUILT: it was beyond repair, is empty and filled
 * anew by init, and the zone's generation is one higher.
 * RV_ERROR: the lock is not held, init failed. The master logs and counts it (rv_zone_news).
 */
int rv_zone_lock(rv_zone_t *zone);

/* The same, but for so many milliseconds at most: RV_ERROR, errno ETIMEDOUT. Who holds it may be
 * stopped, and a worker, or the master, has more to do than to wait for that. */
int rv_zone_lock_within(rv_zone_t *zone, unsigned msec);
void rv_zone_unlock(rv_zone_t *zone);

/*
 * As rv_zone_lock and rv_zone_unlock, for the master to look after the death of a
 * process: whoever holds the lock and lives is not waited for (RV_OK).
 */
int rv_zone_look_after(rv_zone_t *zone);

/*
 * Whether the zone's file was cut off: RV_DONE, it cannot be; RV_OK, it was not. Otherwise it is
 * made whole: RV_ZONE_REPAIRED by restore, RV_ZONE_REBUILT by init; RV_ERROR: neither, errno.
 */
int rv_zone_mend(rv_zone_t *zone);

/* 1: others can cut it off (posix, file). */
int rv_zone_is_loose(const rv_zone_t *zone);

/* 0: its file was cut off, and is not mended yet. */
int rv_zone_is_whole(const rv_zone_t *zone);

/* 0: its file is no more where it was: somebody has removed or replaced it. */
int rv_zone_is_in_place(const rv_zone_t *zone);

/* How often the content was repaired, and made anew, by whatever process, since this one
 * has asked last or opened the zone. 1: there was something. */
int rv_zone_news(rv_zone_t *zone, unsigned *repaired, unsigned *rebuilt);

/* What there is to tell of a zone. */
typedef struct {
    char name[RV_ZONE_NAME];
    char owner[RV_ZONE_NAME];
    const char *type;
    uint64_t size;
    uint64_t used;
    unsigned generation; /* how often the content was made anew */
    unsigned recoveries; /* how often it was repaired */
} rv_zone_info_t;

void rv_zone_info(const rv_zone_t *zone, rv_zone_info_t *info);

/* The same of memory that holds a zone, mapped for reading; its type is not known to it.
 * *content and *room as rv_zone_content. RV_ERROR: it is no zone of this version, or was
 * cut off. */
int rv_zone_look(
    const void *memory, size_t size, rv_zone_info_t *info, void **content, size_t *room);

#endif
