/*
 * rv_reload: from one generation to the next.
 *
 * Until the commit nothing of the new generation has been seen by a client, and
 * nothing of the old one was touched: so whatever fails is undone by giving
 * the new one up. After the commit nothing can fail any more.
 */
#include "rv_reload.h"

#include "rv_announce.h"
#include "rv_backtrace.h"
#include "rv_build.h"
#include "rv_counts.h"
#include "rv_memory.h"
#include "rv_rights.h"
#include "rv_stats_fold.h"
#include "rv_stats_outcome.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <unistd.h>

void
rv_reload_fail(rv_reload_t *r, const char *fmt, ...)
{
    va_list args;

    if (r->all->pending == NULL || r->aborting)
        return;

    va_start(args, fmt);
    vsnprintf(r->reason, sizeof(r->reason), fmt, args);
    va_end(args);
    r->aborting = 1;
    rv_workers_stop(
        r->all->pending, RV_CONTROL_TERMINATE, rv_loop_now() + RV_RELOAD_TERMINATE_MSEC);
}

static void
report_failure(const rv_reload_t *r)
{
    const rv_cycle_t *current = r->all->current;

    if (current == NULL) {
        rv_log(RV_LOG_EMERG, 0, "start failed: %s", r->reason);
        return;
    }
    rv_log(RV_LOG_ERROR, 0, "reload failed, generation %u goes on: %s", current->generation,
        r->reason);
    rv_announce_reloaded(current, r->reason);
    rv_counts_reload(current->stats, 1);
    rv_stats_finish(current->stats, RV_STATS_RELOAD, 1, r->reason);
}

static void
begin(rv_reload_t *r, rv_cycle_t *cycle)
{
    int64_t now = rv_loop_now();

    r->all->pending = cycle;
    r->until = now + (int64_t) cycle->core->worker_startup_timeout;
    rv_backtrace_load();
    rv_rights_load(cycle->core);
    rv_memory_trim(); /* configurations and the filter's making leave much */
    rv_workers_fill(r->workers, cycle, now);
}

void
rv_reload_first(rv_reload_t *r, rv_cycle_t *first)
{
    r->generation = first->generation;
    begin(r, first);
}

void
rv_reload_begin(rv_reload_t *r)
{
    rv_stats_begin(r->all->current->stats, RV_STATS_RELOAD);
    rv_announce_reloading(r->generation + 1);
    rv_log(RV_LOG_NOTICE, 0, "reload of \"%s\" begins", r->options->conf);

    rv_cycle_t *cycle = rv_build_next(
        r->options, r->generation + 1, r->all->current, &r->pending_pidfile, r->reason);
    if (cycle == NULL) {
        report_failure(r);
        return;
    }
    r->generation = cycle->generation;
    begin(r, cycle);
}

/* The one before: its pid file, if it was another one, its workers, its place. */
static void
step_down(rv_reload_t *r, rv_cycle_t *old)
{
    if (rv_build_pid_moves(r->all->current, old)) {
        rv_pidfile_remove(&r->pidfile);
        r->pidfile = r->pending_pidfile;
        r->pending_pidfile.fd = -1;
    }
    rv_workers_stop(old, RV_CONTROL_QUIT,
        rv_loop_now() + (int64_t) old->core->worker_shutdown_timeout + RV_RELOAD_GRACE_MSEC);
    old->next = r->all->draining;
    r->all->draining = old;
}

static void
commit(rv_reload_t *r)
{
    rv_cycle_t *cycle = r->all->pending, *old = r->all->current;

    if (!r->is_followed || old == NULL || old->stats != cycle->stats)
        rv_stats_set_master(cycle->stats, getpid(), r->started, cycle->generation);
    if ((old == NULL || old->stats != cycle->stats)
        && rv_counts_enter(cycle->stats, RV_STATS_MASTER, cycle->generation) != RV_OK)
        rv_log(RV_LOG_ALERT, errno, "entering the master into the statistics failed");
    if (old != NULL)
        rv_stats_supersede(cycle->stats, old->stats);
    rv_cycle_commit(cycle, old == NULL ? r->given : old);
    rv_channel_set_limit(cycle->core->channel_queue);
    r->all->pending = NULL;
    r->all->current = cycle;
    rv_workers_start(r->workers, cycle);
    if (old == NULL)
        return;

    rv_cycle_close_listeners(old, 1);
    step_down(r, old);
    rv_log(RV_LOG_NOTICE, 0, "reload done, generation %u, %u workers are ready", cycle->generation,
        rv_workers_ready(cycle));
    rv_announce_reloaded(cycle, NULL);
    rv_counts_reload(cycle->stats, 0);
    rv_stats_finish(cycle->stats, RV_STATS_RELOAD, 0, "");
}

/* The last steps before the commit, and the last that can fail. */
static int
prepare_commit(rv_reload_t *r, rv_cycle_t *cycle, char *reason)
{
    if (rv_cycle_listen_all(cycle, reason) != RV_OK)
        return RV_ERROR;
    if (r->late_pidfile != NULL
        && rv_build_pidfile(&r->pidfile, r->late_pidfile, 1, reason) != RV_OK)
        return RV_ERROR;

    r->late_pidfile = NULL;
    return RV_OK;
}

static unsigned
missing(const rv_cycle_t *cycle)
{
    return cycle->workers - rv_workers_ready(cycle);
}

int
rv_reload_settle(rv_reload_t *r, int quiet)
{
    rv_cycle_t *cycle = r->all->pending;
    char reason[RV_CYCLE_REASON];

    if (cycle == NULL)
        return RV_AGAIN;

    if (!r->aborting && missing(cycle) == 0) {
        if (prepare_commit(r, cycle, reason) == RV_OK) {
            commit(r);
            return RV_OK;
        }
        rv_reload_fail(r, "%s", reason);
    }
    if (rv_loop_now() >= r->until)
        rv_reload_fail(r, "%u of %u workers were not ready within worker_startup_timeout",
            missing(cycle), cycle->workers);
    if (!r->aborting || cycle->living > 0)
        return RV_AGAIN;

    if (!quiet)
        report_failure(r);
    else if (r->all->current != NULL && !r->is_followed) /* else another master does it */
        rv_stats_finish(r->all->current->stats, RV_STATS_RELOAD, 1, r->reason);
    rv_pidfile_remove(&r->pending_pidfile);
    r->aborting = 0;
    if (r->all->current != NULL) {
        rv_cycle_free(cycle, 1);
        r->all->pending = NULL;
    }
    return RV_ERROR;
}

int64_t
rv_reload_due(const rv_reload_t *r)
{
    const rv_cycle_t *cycle = r->all->pending;

    if (cycle == NULL || r->aborting)
        return INT64_MAX;

    return rv_min(r->until, rv_workers_due(cycle));
}
