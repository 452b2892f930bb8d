/*
 * rv_shm: shared memory, by one of several mechanisms.
 *
 * A mechanism is a row in a table; configure found out which rows there are.
 * Every mapping is shared, readable and writable, zero-filled when new, and
 * inherited over fork.
 */
#ifndef RV_SHM_H
#define RV_SHM_H

#include "rv_base.h"

#define RV_SHM_OUTSIDE 0x1 /* another process can map it by name or through /proc */
#define RV_SHM_EXEC 0x2    /* its descriptor can be handed over an exec */
#define RV_SHM_PATH 0x4    /* needs a path (file) */
#define RV_SHM_NAMED 0x8   /* has a name in the system that must be removed (posix) */
#define RV_SHM_KEPT 0x10   /* the content outlives the daemon (file) */
#define RV_SHM_LOOSE 0x20  /* others can cut it off (posix, file): it is guarded */
#define RV_SHM_HUGE 0x40   /* can be made of huge pages */

typedef struct rv_shm_s rv_shm_t;

typedef struct {
    const char *name; /* memfd, anon, devzero, sysv, posix, file */
    unsigned flags;   /* RV_SHM_* */
    int (*create)(rv_shm_t *shm);
    void (*unmap)(rv_shm_t *shm);
    int (*open)(const char *where, int mode); /* by name or path; NULL: it has none */
    void (*remove)(const char *where);        /* takes the name or file away; NULL: as above */
} rv_shm_type_t;

struct rv_shm_s {
    const rv_shm_type_t *type;
    void *addr;
    size_t size; /* bytes, a whole number of pages */
    int fd;      /* close-on-exec, or -1: the mechanism keeps none open */
    int huge;    /* it is made of huge pages */
    char *name;  /* for people and, with posix, for the system; owned */
    char *path;  /* file: its path, otherwise NULL; owned */
};

/* The mechanism called `name`; "auto" is the first of memfd, anon, devzero and
 * sysv in this build. NULL: unknown, or not in this build. */
const rv_shm_type_t *rv_shm_type(const char *name);

/* The mechanisms of this build, in order: rv_shm_type_at(0), (1), … until NULL. */
const rv_shm_type_t *rv_shm_type_at(size_t i);

/* For the table: maps shm->fd, shm->size bytes of it, guarded where others can cut it off. */
int rv_shm_type_map(rv_shm_t *shm);

/*
 * Maps at least `size` bytes, rounded up to whole pages (0 is EINVAL, what no
 * address space holds ENOMEM). `name` is a word without "/" (memfd shows it in
 * /proc; posix uses "/NAME"); `path` is for file alone, otherwise NULL,
 * anything else is EINVAL; both are copied. A name or file that exists is
 * EEXIST. With `huge` it is made of huge pages where type and machine can;
 * shm->huge says so.
 *
 * New files and segments are mode 0600. The memory of file and posix is
 * reserved: a full file system is ENOSPC here, not a SIGBUS later.
 *
 * RV_ERROR keeps errno and leaves nothing behind: addr NULL, fd -1, no new
 * file or name; rv_shm_detach and rv_shm_destroy then do nothing.
 */
int rv_shm_create(rv_shm_t *shm, const rv_shm_type_t *type, const char *name, const char *path,
    size_t size, int huge);

/*
 * Maps what a descriptor refers to, all of it: an inherited one, or that of an
 * existing file. fd is taken over, in any case. RV_ERROR: it is no memory or
 * file (EINVAL), is empty (ENODATA), or errno.
 */
int rv_shm_attach(
    rv_shm_t *shm, const rv_shm_type_t *type, int fd, const char *name, const char *path);

/*
 * A descriptor, for reading and writing, of a file that exists; -1 and errno:
 * ENOENT, ELOOP for a link, ENOTSUP where the mechanism has no files.
 */
int rv_shm_open(const rv_shm_type_t *type, const char *where);

/* Keeps its pages in memory; RV_ERROR and errno. Not inherited over fork: pages are
 * kept as long as one process does so. */
int rv_shm_pin(const rv_shm_t *shm);

/* A file that was cut off is made as long as it was. RV_ERROR and errno. */
int rv_shm_mend(rv_shm_t *shm);

/* The file shm, made at shm->path, is at `path` from now on, in the place of what was
 * there. RV_ERROR: it is where it was. */
int rv_shm_move(rv_shm_t *shm, const char *path);

/* Unmaps and closes in this process alone; names in the system stay. Keeps
 * errno, and so does rv_shm_destroy; the second time it does nothing. */
void rv_shm_detach(rv_shm_t *shm);

/* rv_shm_detach, and removes the name from the system (posix). A file stays. */
void rv_shm_destroy(rv_shm_t *shm);

/*
 * Copies the first `size` bytes of what a process, dead perhaps, left in the
 * system; `where` is its name (posix) or path (file). RV_ERROR: there is none,
 * it is smaller (EINVAL), belongs to another user (EPERM), or the mechanism
 * leaves none (ENOTSUP).
 */
int rv_shm_peek(const rv_shm_type_t *type, const char *where, void *copy, size_t size);

/* Removes it, mapped by somebody or not; errno is kept. */
void rv_shm_remove(const rv_shm_type_t *type, const char *where);

/*
 * For looking at the memory of another process: maps what fd refers to, for
 * reading, guarded. *size is what is mapped. NULL and errno; fd stays the caller's, and open as
 * long as it is mapped.
 */
void *rv_shm_look(int fd, size_t *size);
void rv_shm_look_away(void *addr, size_t size);

#endif
