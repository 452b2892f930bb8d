/*
 * rv_backtrace: where a process was when it was told to abort.
 *
 * For one that hangs: nothing of it need work any more but the kernel.
 */
#ifndef RV_BACKTRACE_H
#define RV_BACKTRACE_H

#include "rv_base.h"

/*
 * From now on SIGABRT (or abort()) writes the functions that the process is in to its logs
 * that take [error], syslog apart, and then kills it, with a core file where that is allowed.
 * RV_ERROR and errno: a SIGABRT just kills.
 */
int rv_backtrace_init(void);

/* Loads what that needs: before a fork, so that not every child has to. */
void rv_backtrace_load(void);

#endif
