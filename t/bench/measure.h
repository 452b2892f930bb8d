/*
 * measure: a server under a load, for a while.
 */
#ifndef MEASURE_H
#define MEASURE_H

#include "figure.h"
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

/*
 * Adds to a figure what an answer costs each of the servers, in microseconds, once for a round;
 * the plan's port is theirs. All clients are there all the time, but those of one server alone
 * are let run, for a part of a second at a time: what the machine does beside hits all the same.
 */
void measure_in_turn(
    const server_t *servers, unsigned count, const load_plan_t *plan, unsigned rounds, figure_t *f);

#endif
