/*
 * rv_watchdog: finds workers that hang, and ends them.
 *
 * A worker beats in each step of its loop, at least once a second. One that does not
 * for worker_hang_timeout hangs, unless something else explains it.
 */
#ifndef RV_WATCHDOG_H
#define RV_WATCHDOG_H

#include "rv_generations.h"

/* Looks at every worker that has been READY, once in each RV_WATCHDOG_TICK ms: one that hangs
 * is logged, told to abort, and killed a second later. */
#define RV_WATCHDOG_TICK 1000
void rv_watchdog_look(const rv_generations_t *all, int64_t now);

/* --- the judgement alone --------------------------------------------------------- */

/* What is known of a worker; zero to begin with. */
typedef struct {
    uint64_t beats; /* at the last look; 0: it has not been looked at */
    int64_t cpu;
    int64_t without; /* ms without a beat that count */
} rv_watchdog_t;

/* What is seen of it. */
typedef struct {
    uint64_t beats;
    char state;     /* as rv_proc_stat has it; 0: not known */
    int64_t cpu;    /* ms that it has used so far */
    int64_t passed; /* ms since the last look */
} rv_watchdog_sight_t;

/* 1: it hangs, it has not beaten for `limit` ms that count. */
int rv_watchdog_judge(rv_watchdog_t *w, const rv_watchdog_sight_t *sight, int64_t limit);

#endif
