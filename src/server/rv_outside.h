/*
 * rv_outside: a running daemon as others see it.
 *
 * For commands that look at a daemon or wait for what it does: they ask nobody
 * and wait for nobody, so they work however badly the daemon fares.
 */
#ifndef RV_OUTSIDE_H
#define RV_OUTSIDE_H

#include "rv_cycle.h"
#include "rv_stats.h"
#include "rv_zone.h"

#define RV_OUTSIDE_ZONES 256

typedef struct {
    int fd;
    void *memory;
    size_t size;
    dev_t device;
    ino_t inode;
    rv_zone_info_t info;
    rv_stats_t *stats; /* NULL: another zone's */
} rv_outside_zone_t;

typedef struct {
    rv_outside_zone_t zone[RV_OUTSIDE_ZONES];
    unsigned count;
    int left_out;      /* there were more */
    int error;         /* errno of looking at the master's descriptors; 0: it could be done */
    rv_stats_t *stats; /* the counters in force; NULL: they cannot be mapped */
} rv_outside_t;

/* The master of this configuration, which is read, however broken it is; and the path of its
 * pid file. RV_ERROR: there is none, which is logged. */
int rv_outside_find(rv_cycle_t *cycle, const char **path, pid_t *pid);

/*
 * Maps for reading what the master has: its zones, those of generations that drain
 * included. RV_ERROR: the counters are not among them. To be unmapped either way.
 */
int rv_outside_map(rv_outside_t *o, rv_cycle_t *cycle, pid_t pid);
void rv_outside_unmap(rv_outside_t *o);

#endif
