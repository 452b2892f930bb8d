/*
 * rv_proc_stat: what the kernel says of another process: whether it runs, and for how long it did.
 */
#ifndef RV_PROC_STAT_H
#define RV_PROC_STAT_H

#include "rv_base.h"

#include <sys/types.h>

typedef struct {
    char state;  /* R runs or would, S and D wait, T and t are stopped, Z is dead; see proc(5) */
    int64_t cpu; /* ms of CPU time, user and system */
} rv_proc_stat_t;

/* RV_ERROR: there is no such process, or no /proc. */
int rv_proc_stat_read(pid_t pid, rv_proc_stat_t *stat);

/* The same from the text of /proc/PID/stat, with so many clock ticks in a second. */
int rv_proc_stat_parse(const char *text, long ticks, rv_proc_stat_t *stat);

#endif
