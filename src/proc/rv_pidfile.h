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

#include <sys/types.h>

/*
 * Creates or takes over the file, locks it and writes this process's pid.
 * RV_OK: *fd holds the lock, and no other descriptor of the file may ever be
 * closed in this process. RV_AGAIN: *holder has it. RV_ERROR: errno.
 */
int rv_pidfile_create(const char *path, int *fd, pid_t *holder);

/* RV_OK: *pid runs. RV_DONE: nobody holds the lock, or there is no file.
 * RV_ERROR: errno. Not in the process that holds it. */
int rv_pidfile_find(const char *path, pid_t *pid);

/* Removes the file and lets go of it. */
void rv_pidfile_remove(const char *path, int *fd);

#endif
