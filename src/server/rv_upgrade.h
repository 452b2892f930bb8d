/*
 * rv_upgrade: a new master from a new program, beside this one.
 *
 * It is started from the same path with all sockets and zones of the generation in
 * force, and says when it is ready. Until then, and whatever becomes of it,
 * this master goes on as if nothing had happened.
 */
#ifndef RV_UPGRADE_H
#define RV_UPGRADE_H

#include "rv_cycle.h"
#include "rv_loop.h"
#include "rv_pidfile.h"

typedef struct {
    const char *program; /* an absolute path, found once (rv_daemon_program) */
    char **argv;         /* as this process got them */
} rv_upgrade_command_t;

typedef struct {
    pid_t pid; /* of the new master; 0: there is none */
    int is_ready;
    int gone; /* reaped */
    int status;
    int64_t until;       /* ms: it has until then to get ready, then until it is killed */
    const char *failing; /* why it is told to go; NULL: it is not */

    int ready[2]; /* [0]: what it says */
    int alive[2]; /* [1]: it sees the end of this process */
    rv_loop_watch_t *watch;
    char text[4096]; /* what it said */
    size_t used;
} rv_upgrade_t;

#define RV_UPGRADE_NONE                          \
    {                                            \
        .ready = { -1, -1 }, .alive = { -1, -1 } \
    }

/*
 * Starts it with what `cycle` has; the pid file makes room. keeper: as in rv_heritage.h.
 * RV_ERROR: nothing has changed, `reason` says why.
 */
int rv_upgrade_begin(rv_upgrade_t *u, const rv_upgrade_command_t *command, rv_loop_t *loop,
    const rv_cycle_t *cycle, int keeper, char reason[RV_CYCLE_REASON]);

/* One of this process's children was reaped; 1: it was the new master. */
int rv_upgrade_reaped(rv_upgrade_t *u, pid_t pid, int status);

/*
 * What has become of it? RV_AGAIN: nothing new. RV_OK, once: it is ready. RV_ERROR: it is gone,
 * `reason` says why, and there is none any more; it may have been ready before.
 */
int rv_upgrade_settle(rv_upgrade_t *u, char reason[RV_CYCLE_REASON]);

/* It is not to become ready any more, for this reason, a constant text. */
void rv_upgrade_abort(rv_upgrade_t *u, const char *why);

/* When to ask that next, ms; INT64_MAX: not before something happens. */
int64_t rv_upgrade_due(const rv_upgrade_t *u);

/* In a forked child, and in the end: gives up this process's descriptors of it. */
void rv_upgrade_forget(rv_upgrade_t *u);

#endif
