/*
 * rv_scale: one worker more, one fewer, in the generation in force.
 *
 * It is always the highest number that comes or goes. A new one gets its
 * sockets first, is forked, and only when it is READY do its sockets listen,
 * and only when it has its START do clients come to them: until then all can
 * be undone. One that goes leaves its sockets to the others before it is told to quit.
 */
#include "rv_scale.h"

#include "rv_announce.h"
#include "rv_listener_scale.h"
#include "rv_reload.h"
#include "rv_signal.h"
#include "rv_stats_outcome.h"

#include <stdio.h>

unsigned
rv_scale_take(rv_scale_t *s)
{
    s->adds += rv_signal_times(RV_SIGNAL_ADD);
    s->removes += rv_signal_times(RV_SIGNAL_REMOVE);
    return s->adds + s->removes;
}

static const char *const what[RV_STATS_ACTIONS] = {
    [RV_STATS_ADD] = "adding a worker", [RV_STATS_REMOVE] = "removing a worker"
};

/* It has failed, or (reason NULL) is done. */
static void
report(const rv_cycle_t *cycle, rv_stats_action_t action, const char *reason)
{
    if (reason == NULL) {
        rv_log(RV_LOG_NOTICE, 0, "worker %s, %u workers",
            action == RV_STATS_ADD ? "added" : "removed", cycle->workers);
        rv_announce_status(cycle);
        rv_stats_finish(cycle->stats, action, 0, "");
        return;
    }
    rv_log(RV_LOG_ERROR, 0, "%s failed, there are %u: %s", what[action], cycle->workers, reason);
    rv_stats_finish(cycle->stats, action, 1, reason);
}

/* --- one more ---------------------------------------------------------------------------- */

/* The highest number's sockets are given up: the others accept who waits there. */
static void
leave_sockets(const rv_cycle_t *cycle, int (*give_up)(rv_listener_t *), const void *end)
{
    unsigned index = 0;

    for (rv_cycle_listener_t *l = cycle->listeners; l != end; l = l->next, index++) {
        int fd = give_up(&l->listener);

        if (fd != -1)
            rv_control_listen(cycle->generation, index, l->listener.active, fd);
    }
}

static int
open_sockets(const rv_cycle_t *cycle, char *error)
{
    for (rv_cycle_listener_t *l = cycle->listeners; l != NULL; l = l->next) {
        if (rv_listener_scale_open(&l->listener, error) != RV_OK) {
            leave_sockets(cycle, rv_listener_scale_undo, l);
            return RV_ERROR;
        }
    }
    return RV_OK;
}

static void
begin_add(rv_scale_t *s, rv_cycle_t *cycle, int64_t now)
{
    char error[RV_LISTENER_ERROR];

    rv_stats_begin(cycle->stats, RV_STATS_ADD);
    if (cycle->workers == RV_CORE_WORKERS) {
        report(cycle, RV_STATS_ADD, "that is the most there can be");
        return;
    }
    if (open_sockets(cycle, error) != RV_OK) {
        report(cycle, RV_STATS_ADD, error);
        return;
    }
    cycle->workers++;
    s->adding = 1;
    s->listening = 0;
    s->until = now + (int64_t) cycle->core->worker_startup_timeout;
    rv_workers_fill(s->workers, cycle, now);
}

static void
undo_add(rv_scale_t *s, rv_cycle_t *cycle, const char *reason)
{
    s->adding = 0;
    rv_workers_remove(cycle, RV_CONTROL_TERMINATE, rv_loop_now() + RV_RELOAD_TERMINATE_MSEC);
    leave_sockets(cycle, rv_listener_scale_undo, NULL);
    report(cycle, RV_STATS_ADD, reason);
}

static int
listen_all(const rv_cycle_t *cycle, char *error)
{
    for (rv_cycle_listener_t *l = cycle->listeners; l != NULL; l = l->next) {
        if (rv_listener_scale_listen(&l->listener, error) != RV_OK)
            return RV_ERROR;
    }
    return RV_OK;
}

/* What has become of the new one? */
static void
settle_add(rv_scale_t *s, rv_cycle_t *cycle, int64_t now)
{
    char reason[RV_LISTENER_ERROR];
    int slot = cycle->worker[cycle->workers - 1].slot;
    const rv_process_t *p = slot == -1 ? NULL : rv_process_at((unsigned) slot);
    int is_ready = p != NULL && p->state == RV_PROCESS_READY;

    if (is_ready && !s->listening) {
        if (listen_all(cycle, reason) != RV_OK) {
            undo_add(s, cycle, reason);
            return;
        }
        s->listening = 1;
    }
    if (is_ready)
        rv_workers_start(s->workers, cycle);

    if (is_ready && p->start_sent) {
        for (rv_cycle_listener_t *l = cycle->listeners; l != NULL; l = l->next)
            rv_listener_scale_commit(&l->listener);
        s->adding = 0;
        report(cycle, RV_STATS_ADD, NULL);
    } else if (now >= s->until) {
        snprintf(reason, sizeof(reason), "worker %u was not ready within worker_startup_timeout",
            cycle->workers - 1);
        undo_add(s, cycle, reason);
    }
}

/* --- one fewer --------------------------------------------------------------------------- */

static void
remove_one(rv_cycle_t *cycle, int64_t now)
{
    rv_stats_begin(cycle->stats, RV_STATS_REMOVE);
    if (cycle->workers == 1) {
        report(cycle, RV_STATS_REMOVE, "that is the fewest there can be");
        return;
    }
    leave_sockets(cycle, rv_listener_scale_down, NULL);
    rv_workers_remove(cycle, RV_CONTROL_QUIT,
        now + (int64_t) cycle->core->worker_shutdown_timeout + RV_RELOAD_GRACE_MSEC);
    report(cycle, RV_STATS_REMOVE, NULL);
}

/* --- the master -------------------------------------------------------------------------- */

void
rv_scale_act(rv_scale_t *s, rv_cycle_t *cycle, int64_t now)
{
    if (s->adding)
        settle_add(s, cycle, now);

    for (; !s->adding && s->adds > 0; s->adds--)
        begin_add(s, cycle, now);

    for (; !s->adding && s->removes > 0; s->removes--)
        remove_one(cycle, now);
}

static void
refuse(const rv_cycle_t *cycle, rv_stats_action_t action, const char *reason)
{
    rv_stats_begin(cycle->stats, action);
    report(cycle, action, reason);
}

void
rv_scale_refuse(rv_scale_t *s, const rv_cycle_t *cycle, const char *reason)
{
    for (; s->adds > 0; s->adds--)
        refuse(cycle, RV_STATS_ADD, reason);
    for (; s->removes > 0; s->removes--)
        refuse(cycle, RV_STATS_REMOVE, reason);
}

void
rv_scale_stop(rv_scale_t *s, const rv_cycle_t *cycle)
{
    if (s->adding)
        report(cycle, RV_STATS_ADD, "told to stop");
    s->adding = 0;
    rv_scale_refuse(s, cycle, "told to stop");
}

void
rv_scale_retire(const rv_cycle_t *cycle)
{
    for (rv_cycle_listener_t *l = cycle->listeners; l != NULL; l = l->next)
        rv_listener_scale_retire(&l->listener);
}

void
rv_scale_reclaim(const rv_cycle_t *cycle)
{
    for (rv_cycle_listener_t *l = cycle->listeners; l != NULL; l = l->next)
        rv_listener_choose(&l->listener);
}

int64_t
rv_scale_due(const rv_scale_t *s)
{
    return s->adding ? s->until : INT64_MAX;
}
