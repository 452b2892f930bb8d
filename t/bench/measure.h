/*
 * measure: a server under a load, for a while.
 */
#ifndef MEASURE_H
#define MEASURE_H

#include "load.h"
#include "server.h"

typedef struct {
    double usec;       /* processor time of the server's processes for an answer */
    double per_second; /* answers */
    double p99;        /* us: all but a hundredth of the answers took less */
    double slowest;    /* us */
    unsigned long failed;
} measure_t;

/* What `server` and its clients do from now on for so many milliseconds. */
void measure(const server_t *s, load_t *l, unsigned msec, measure_t *m);

/* The same of clients that come for this, after they have settled. Those whose requests fail, or
 * get no answer, end the program. */
void measure_plan(const server_t *s, const load_plan_t *plan, measure_t *m);

#endif
