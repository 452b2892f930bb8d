/*
 * rv_pidfile: the file that says which process is the master.
 *
 * The master holds a lock on it, which the kernel drops whatever way the
 * master ends: so a stale file is told from a live one, and the pid of the
 * live one comes from the kernel, not from the file's text.
 */
#ifndef RV_PIDFILE_H
#define RV_PIDFILE_H

#include "rv_base.h"

#include <limits.h>
#include <sys/types.h>

/* { .fd = -1 } holds nothing. */
typedef struct {
    int fd;
    char path[PATH_MAX]; /* where it is now */
} rv_pidfile_t;

/*
 * Creates or takes over the file, locks it and writes this process's pid.
 * RV_OK: *file holds the lock, and no other descriptor of the file may ever be
 * closed in this process. RV_AGAIN: *holder has it. RV_ERROR: errno.
 */
int rv_pidfile_create(rv_pidfile_t *file, const char *path, pid_t *holder);

/* RV_OK: *pid runs. RV_DONE: nobody holds the lock, or there is no file.
 * RV_ERROR: errno. Not in the process that holds it. */
int rv_pidfile_find(const char *path, pid_t *pid);

/* Where the file of a master is that has made room for its heir's: path and ".oldbin". */
#define RV_PIDFILE_OLD ".oldbin"

/* As rv_pidfile_find, at that place; at `path` or else at that place. */
int rv_pidfile_find_old(const char *path, pid_t *pid);
int rv_pidfile_find_any(const char *path, pid_t *pid);

/*
 * As rv_pidfile_create, but beside the path, which another process may have still; then puts
 * it there. RV_ERROR: errno.
 */
int rv_pidfile_create_beside(rv_pidfile_t *file, const char *path, pid_t *holder);
int rv_pidfile_take_place(rv_pidfile_t *file);

/* Moves the file to that place, or from there back to where it was. RV_ERROR: errno. */
int rv_pidfile_make_room(rv_pidfile_t *file);
int rv_pidfile_move_back(rv_pidfile_t *file);

/* Removes the file, if it is still there, and lets go of it. */
void rv_pidfile_remove(rv_pidfile_t *file);

#endif
