/*
 * outside: strace and wrk, where they are installed.
 */
#ifndef OUTSIDE_H
#define OUTSIDE_H

#include "load.h"
#include "server.h"

/* System calls of the server's first worker for each answer, by strace -c. RV_ERROR: none is
 * there, or it may not look. */
int outside_count_calls(const server_t *s, const load_plan_t *plan, double *calls);

/* Microseconds for each answer, under wrk with as many connections. RV_ERROR: there is none. */
int outside_run_wrk(const server_t *s, const load_plan_t *plan, double *usec);

#endif
