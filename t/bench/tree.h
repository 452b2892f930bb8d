/*
 * tree: what a server's processes take, as /proc tells.
 */
#ifndef TREE_H
#define TREE_H

#include "bench.h"

enum { TREE_MOST = 2048 };

/* The children of a process, the eldest first; how many. */
int tree_children(pid_t pid, pid_t *pids);

/* Microseconds of processor time that it and those below it that live have taken. */
double tree_cpu(pid_t pid);

/* Bytes of memory; what is shared is counted by its part (Pss). */
double tree_memory(pid_t pid);

/* The text of a file of /proc/PID; how long it is. */
size_t tree_read(pid_t pid, const char *name, char *text, size_t room);

/* Descriptors that it has; -1: it has gone. */
int tree_descriptors(pid_t pid);

#endif
