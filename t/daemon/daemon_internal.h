/*
 * daemon_internal: what the harness's files share and tests do not need.
 */
#ifndef DAEMON_INTERNAL_H
#define DAEMON_INTERNAL_H

#include "daemon.h"

#include <sys/stat.h>

/* Calls visit(path, st, data) for every file under the folder, which ends in
 * "/"; for a folder after what is in it. */
void daemon_walk(const char *folder,
    void (*visit)(const char *path, const struct stat *st, void *data), void *data);

void daemon_remove_folder(const char *folder);

/* Seconds since some time in the past. */
double daemon_now(void);

/* The number in the pid file, 0: there is none. */
pid_t daemon_read_pid(const daemon_t *d);

/* Parent and state ('S', 'Z', ...) of a process; 0: there is none. */
int daemon_read_stat(pid_t pid, pid_t *parent, char *state);

#endif
