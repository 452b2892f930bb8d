/*
 * rv_keeper: the process that somebody has started and waits for.
 *
 * With "daemon = off" a supervisor, a container or a shell knows the process that
 * it has started and no other. When that one has handed over to a new master it
 * stays as the keeper: it passes signals on, and ends when and as the
 * master ends.
 */
#ifndef RV_KEEPER_H
#define RV_KEEPER_H

#include "rv_base.h"

#include <sys/types.h>

/* From now on masters whose parent is gone become this process's children. Before the first
 * upgrade. */
void rv_keeper_prepare(void);

/*
 * Keeps the master, and those that come after it: each writes its pid and a line's end to the
 * pipe whose reading end this is, which is taken over, when it is ready. Signals are
 * taken from rv_signal, as before. Returns the exit status.
 */
int rv_keeper_run(int pipe, pid_t master);

#endif
