/*
 * rv_sandbox_filter: the system calls that a worker may make.
 *
 * All that the event loop, the channels, logging and shared memory take is in
 * it from the beginning; what a module takes beyond that is added by name. A
 * call that is not in it kills the process with SIGSYS.
 */
#ifndef RV_SANDBOX_FILTER_H
#define RV_SANDBOX_FILTER_H

#include "rv_base.h"

typedef struct rv_sandbox_filter_s rv_sandbox_filter_t;

/* 1: this build can filter; where not, create fails with ENOSYS. */
int rv_sandbox_filter_is_there(void);

/* 1 when there is a system call of this name, on whatever architecture; and
 * where that cannot be told. */
int rv_sandbox_filter_knows(const char *name);

/* NULL and errno. */
rv_sandbox_filter_t *rv_sandbox_filter_create(void);

/* Adds a system call, with whatever arguments. RV_ERROR and errno, EINVAL: unknown. */
int rv_sandbox_filter_allow(rv_sandbox_filter_t *filter, const char *name);

/*
 * Makes all that can be made of it before a process is forked that loads it; the memory that
 * this takes is given back. Nothing more can be added. RV_ERROR and errno.
 */
int rv_sandbox_filter_finish(rv_sandbox_filter_t *filter);

/* Puts the filter into force for this process, for good; no other can load it after that. Who
 * has not called rv_sandbox_filter_finish has it called. RV_ERROR and errno. */
int rv_sandbox_filter_load(rv_sandbox_filter_t *filter);

/* What is in force stays in force. NULL is allowed. */
void rv_sandbox_filter_destroy(rv_sandbox_filter_t *filter);

#endif
