/*
 * rv_sandbox: rights that a worker gives up.
 *
 * Whoever has been taken over by a client cannot have back what the process
 * no longer has. Which system calls it may make is rv_sandbox_filter's.
 */
#ifndef RV_SANDBOX_H
#define RV_SANDBOX_H

#include "rv_base.h"

/*
 * Makes this folder the root of all paths, and the current folder. Needs the
 * rights of root. RV_ERROR and errno.
 */
int rv_sandbox_chroot(const char *path);

/*
 * Empties the bounding set of capabilities, which takes rights of root: before
 * they are given up. Where that is not allowed the set stays as it is.
 */
void rv_sandbox_bound(void);

/*
 * Gives up all capabilities (effective, permitted, inheritable, ambient), and
 * for good: no program that it might execute gets more rights. RV_ERROR and errno.
 */
int rv_sandbox_drop(void);

/*
 * Lets a process that has changed its user leave a core file, or lets nobody
 * but root look into it. One that has the user that it began with
 * stays as it is.
 */
void rv_sandbox_set_core(int allowed);

#endif
