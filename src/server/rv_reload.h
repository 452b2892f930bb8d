/*
 * rv_reload: from one generation to the next.
 *
 * Builds the next generation beside the one in force, waits until all its
 * workers are READY, and then either puts it in force or tears it down; the
 * first start is a reload without an old one.
 */
#ifndef RV_RELOAD_H
#define RV_RELOAD_H

#include "rv_generations.h"
#include "rv_pidfile.h"
#include "rv_workers.h"

typedef struct {
    const rv_cycle_options_t *options;
    rv_workers_t *workers;
    rv_generations_t *all;
    rv_cycle_t *given;   /* what was open before the first generation; NULL: nothing */
    unsigned generation; /* of the youngest so far */
    int64_t started;     /* of the master, seconds since 1970 */

    rv_pidfile_t pidfile;         /* of the generation in force */
    rv_pidfile_t pending_pidfile; /* the pending one's, where it is another one */
    const char *
        late_pidfile; /* made beside its place when the first generation is ready; NULL: it is there */
    int64_t until;    /* ms: the pending one has until then to get ready */
    int is_followed; /* another master has the counters too, and is the one to be asked */
    int aborting;    /* the pending one has failed, its workers are going */
    char reason[RV_CYCLE_REASON];
} rv_reload_t;

/* A worker told to TERMINATE is killed after that; one told to QUIT that much after its
 * worker_shutdown_timeout. */
#define RV_RELOAD_TERMINATE_MSEC (10 * 1000)
#define RV_RELOAD_GRACE_MSEC (5 * 1000)

/* Forks the workers of the first generation, which is read and open and taken over. */
void rv_reload_first(rv_reload_t *r, rv_cycle_t *first);

/* Begins a reload; there is no pending generation. What fails at once is reported. */
void rv_reload_begin(rv_reload_t *r);

/* The pending generation, if there is one, will not be: the first reason counts. */
void rv_reload_fail(rv_reload_t *r, const char *fmt, ...) RV_PRINTF(2, 3);

/*
 * What is to become of the pending generation? RV_AGAIN: nothing yet, or there is none.
 * RV_OK: it is in force, and the one before it has been told to quit. RV_ERROR: it is
 * gone, and that was reported unless `quiet`; the first one stays pending, to be freed.
 */
int rv_reload_settle(rv_reload_t *r, int quiet);

/* When to ask that next, ms; INT64_MAX: not before something happens. */
int64_t rv_reload_due(const rv_reload_t *r);

#endif
