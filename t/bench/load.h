/*
 * load: clients, in a process of their own.
 */
#ifndef LOAD_H
#define LOAD_H

#include "bench.h"

#include <stdatomic.h>

enum { LOAD_BUCKETS = 2048 };

typedef struct {
    int port; /* at 127.0.0.1 */
    const char *path;
    unsigned busy;     /* ask again and again */
    unsigned pipeline; /* requests that one of them sends at once; 0 is 1 */
    int once;          /* each with a connection of its own */
    unsigned idle;     /* ask once, and stay */
    unsigned slow;     /* send a byte of a request each second */
    unsigned silent;   /* connect, and say nothing */
} load_plan_t;

/* What has come of it so far. */
typedef struct {
    _Atomic unsigned long answers;            /* of those that are busy */
    _Atomic unsigned long failed;             /* requests without an answer of status 200 */
    _Atomic unsigned long slowest;            /* us; may be set to 0 at any time */
    _Atomic unsigned settled;                 /* clients that are what they are to be */
    _Atomic unsigned open;                    /* connections */
    _Atomic unsigned long took[LOAD_BUCKETS]; /* answers by time */
} load_counts_t;

typedef struct {
    pid_t pid;
    unsigned clients;
    load_counts_t *counts;
} load_t;

/* Starts them, on the core for that. */
void load_start(load_t *l, const load_plan_t *plan);

/* Waits until all have connected, and those who are to have been answered. */
void load_wait(const load_t *l);

void load_stop(load_t *l);

/* Microseconds that so large a part of the answers took that came after `before` was copied. */
double load_percentile(const load_t *l, const load_counts_t *before, double part);

#endif
