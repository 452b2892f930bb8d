/*
 * rv_alive: whether a process lives.
 */
#ifndef RV_ALIVE_H
#define RV_ALIVE_H

#include "rv_base.h"

#include <sys/types.h>

/* 1: a process has this pid, and it is no zombie. Another one than was meant, perhaps. Keeps
 * errno. */
int rv_alive(pid_t pid);

#endif
