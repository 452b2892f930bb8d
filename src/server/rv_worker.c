/*
 * rv_worker: a worker process.
 *
 * Callbacks only note that something is there; rv_worker_run acts between two
 * steps of the loop. The worker is unprivileged before it looks at a client:
 * its listening sockets and logs were opened by the master.
 */
#include "rv_worker.h"

#include "rv_activity.h"
#include "rv_announce.h"
#include "rv_backtrace.h"
#include "rv_connection_pass.h"
#include "rv_control.h"
#include "rv_counts.h"
#include "rv_daemon.h"
#include "rv_fd.h"
#include "rv_log_output.h"
#include "rv_mesh.h"
#include "rv_orders.h"
#include "rv_process.h"
#include "rv_reopen.h"
#include "rv_rights.h"
#include "rv_signal.h"
#include "rv_stats_fold.h"
#include "rv_stats_outcome.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
    BEAT_MSEC = 1000,       /* the longest time without a sign of life */
    BEHIND_MSEC = 1000,     /* that calls get when there are many messages */
    LAST_WORDS_MSEC = 1000, /* for messages that still wait when all connections are closed */
    SPARE = 16              /* descriptors for logs, and what services open now and then */
};

/* --- notes ------------------------------------------------------------------------- */

static void
on_signal(int fd, short what, void *data)
{
    (void) fd;
    (void) what;
    ((rv_worker_t *) data)->signalled = 1;
}

static void
on_message(int fd, short what, void *data)
{
    (void) fd;
    (void) what;
    ((rv_worker_t *) data)->readable = 1;
}

static void
on_liveness(int fd, short what, void *data)
{
    (void) fd;
    (void) what;
    ((rv_worker_t *) data)->orphaned = 1;
}

static void
on_beat(int fd, short what, void *data)
{
    (void) fd;
    (void) what;
    (void) data;
}

/* --- becoming a worker ---------------------------------------------------------------- */

static int
set_directory(const rv_core_conf_t *core)
{
    if (core->working_directory == NULL || chdir(core->working_directory) == 0)
        return RV_OK;

    rv_log(RV_LOG_EMERG, errno, "changing to working_directory \"%s\" failed",
        core->working_directory);
    return RV_ERROR;
}

/* Gives up the listening descriptors that are other workers'. */
static void
keep_listeners(rv_worker_t *w)
{
    for (rv_cycle_listener_t *l = w->cycle->listeners; l != NULL; l = l->next)
        rv_listener_keep(&l->listener, w->number);
}

/* The channels, and the pipe that ends with the master. */
static int
watch_others(rv_worker_t *w)
{
    rv_process_t *self = rv_process_self();

    w->alive = rv_loop_watch(w->loop, w->liveness, RV_LOOP_READ, on_liveness, w);
    if (w->alive == NULL)
        return RV_ERROR;

    if (rv_loop_watch_channel(w->loop, self->channel[1], on_message, w) != RV_OK)
        return RV_ERROR;

    for (rv_process_t *p = rv_process_each(NULL); p != NULL; p = rv_process_each(p)) {
        if (p == self)
            continue;
        if (rv_loop_watch_channel(w->loop, p->channel[0], NULL, NULL) != RV_OK)
            return RV_ERROR;
        rv_channel_cork(p->channel[0], 1); /* until START says who knows this worker */
    }
    return RV_OK;
}

static int
init_modules(rv_worker_t *w)
{
    for (size_t i = 0; rv_modules[i] != NULL; i++) {
        if (rv_modules[i]->init_worker != NULL && rv_modules[i]->init_worker(w) != RV_OK)
            return RV_ERROR;
    }
    return RV_OK;
}

/* Clients that other workers pass to this one, and the other way round. */
static int
init_passing(rv_worker_t *w)
{
    if (rv_connection_pass_init(w->connections) != RV_OK)
        return RV_ERROR;
    for (const rv_cycle_listener_t *l = w->cycle->listeners; l != NULL; l = l->next) {
        if (rv_connection_pass_listener(l->number, l->service, l->conf) != RV_OK)
            return RV_ERROR;
    }
    if (!w->cycle->events->accept_balance || rv_process_self() == NULL)
        return RV_OK;

    w->balance = rv_balance_create(w->stats, (unsigned) w->cycle->events->worker_connections);
    if (w->balance == NULL)
        return RV_ERROR;
    rv_connections_on_fresh(w->connections, rv_balance_fresh, w->balance);
    return RV_OK;
}

/* A reload passes as many channels as there are workers, and logs. */
void
rv_worker_set_workers(rv_worker_t *w, unsigned workers)
{
    w->cycle->workers = workers;
    rv_connections_reserve(w->connections, workers + SPARE);
    rv_connections_alone(w->connections, workers == 1);
}

static int
init(rv_worker_t *w)
{
    const rv_cycle_t *cycle = w->cycle;

    if (set_directory(cycle->core) != RV_OK || rv_signal_init() != RV_OK
        || rv_backtrace_init() != RV_OK)
        return RV_ERROR;

    w->stats = cycle->stats;
    rv_channel_set_limit(cycle->core->channel_queue);
    w->loop = rv_loop_create(cycle->events->use);
    if (w->loop == NULL)
        return RV_ERROR;

    w->connections =
        rv_connections_create(w->loop, w->stats, (unsigned) cycle->events->worker_connections);
    w->signals = rv_loop_watch(w->loop, rv_signal_fd(), RV_LOOP_READ, on_signal, w);
    w->beat = rv_loop_every(w->loop, BEAT_MSEC, on_beat, NULL);
    if (w->connections == NULL || w->signals == NULL || w->beat == NULL)
        return RV_ERROR;

    rv_worker_set_workers(w, cycle->workers);
    return init_passing(w);
}

/* For leave_terminal, which comes after a chroot. */
static int
open_null(rv_worker_t *w)
{
    w->null = open("/dev/null", O_RDWR | O_CLOEXEC);
    return w->null == -1 ? RV_ERROR : RV_OK;
}

/* The terminal was for what could go wrong until now. */
static void
leave_terminal(rv_worker_t *w)
{
    const rv_core_conf_t *core = w->cycle->core;

    rv_log_terminal(RV_LOG_NONE);
    if (core->daemon && !rv_log_uses_stderr())
        (void) dup2(w->null, STDERR_FILENO);
    rv_fd_close(&w->null);
}

/* --- beginning and end ----------------------------------------------------------------- */

void
rv_worker_start(rv_worker_t *w)
{
    if (w->started || w->draining)
        return;
    w->started = 1;
    leave_terminal(w);
    for (rv_cycle_listener_t *l = w->cycle->listeners; l != NULL; l = l->next) {
        rv_connections_listener(w->connections, l->number);
        for (int fd; (fd = rv_listener_pop(&l->listener)) != -1;) {
            if (rv_connections_join(w->connections, fd, l->service, l->conf) != RV_OK) {
                rv_log(RV_LOG_EMERG, errno, "accepting connections failed");
                w->done = 1;
            }
        }
    }
}

void
rv_worker_drain(rv_worker_t *w, const char *why)
{
    if (w->draining)
        return;

    rv_log(RV_LOG_NOTICE, 0, "%s, worker %u finishes %u connections", why, w->number,
        rv_connections_count(w->connections));
    rv_daemon_title("worker process is shutting down");
    w->draining = 1;
    w->deadline = rv_loop_now() + (int64_t) w->cycle->core->worker_shutdown_timeout;

    rv_activity_note(RV_ACTIVITY_DRAINING, 0, 0);
    for (size_t i = 0; rv_modules[i] != NULL; i++) {
        if (rv_modules[i]->drain != NULL)
            rv_modules[i]->drain(w);
    }
    rv_cycle_close_listeners(w->cycle, 0);
    rv_connections_drain(w->connections);
}

/* The end of the liveness pipe stays readable: once is enough. */
static void
drain_orphaned(rv_worker_t *w)
{
    w->orphaned = 0;
    rv_loop_unwatch(w->alive);
    w->alive = NULL;
    rv_mesh_lost_master();
    rv_worker_drain(w, "the master process is gone");
}

/* What takes a master. */
static void
refuse_orders(rv_worker_t *w, unsigned came)
{
    static const struct {
        unsigned signal;
        rv_stats_action_t action;
        const char *name;
    } refused[] = {
        { RV_SIGNAL_RELOAD, RV_STATS_RELOAD, "reload" },
        { RV_SIGNAL_UPGRADE, RV_STATS_UPGRADE, "upgrade" },
        { RV_SIGNAL_ADD, RV_STATS_ADD, "add" },
        { RV_SIGNAL_REMOVE, RV_STATS_REMOVE, "remove" },
    };
    static const char why[] = "it needs \"master_process = on\"";

    for (size_t i = 0; i < rv_countof(refused); i++) {
        if (!(came & refused[i].signal))
            continue;
        rv_stats_begin(w->stats, refused[i].action);
        rv_log(RV_LOG_ERROR, 0, "%s refused: %s", refused[i].name, why);
        rv_stats_finish(w->stats, refused[i].action, 1, why);
    }
}

static void
take_signals(rv_worker_t *w, int alone)
{
    unsigned came = rv_signal_resolve(rv_signal_take(), w->cycle->core->graceful_term);
    int ending = w->done || w->draining;

    w->signalled = 0;
    if (came & RV_SIGNAL_TERMINATE)
        w->done = 1;
    if (came & RV_SIGNAL_QUIT)
        rv_worker_drain(w, "signal to quit received");
    if (!alone)
        return;

    if (!ending && (w->done || w->draining))
        rv_announce_stopping();
    refuse_orders(w, came);
    if (came & RV_SIGNAL_REOPEN) {
        rv_reopen_t reopen = { 0 };

        rv_reopen_begin(&reopen, w->stats, 0);
        rv_reopen_settle(&reopen, w->stats);
    }
}

/* --- running ------------------------------------------------------------------------------- */

/* What it has said to others is to arrive, unless they do not listen. */
static int
drained(rv_worker_t *w)
{
    if (rv_connections_count(w->connections) == 0)
        rv_orders_close(w); /* a client that was passed to it may be on its way */
    if (rv_connections_count(w->connections) == 0) {
        w->deadline = rv_min(w->deadline, rv_loop_now() + LAST_WORDS_MSEC);
        if (!rv_mesh_is_waiting())
            return 1;
    }
    if (rv_loop_now() < w->deadline)
        return 0;
    if (rv_connections_count(w->connections) == 0)
        return 1;

    rv_log(RV_LOG_WARN, 0, "worker_shutdown_timeout is over, %u connections closed",
        rv_connections_abort(w->connections));
    return 1;
}

/* ms; -1: until something happens, a beat for example */
static int64_t
next_wait(const rv_worker_t *w, int alone)
{
    int64_t now = rv_loop_now(), at = alone ? rv_announce_due() : INT64_MAX;

    if (w->draining)
        at = rv_min(at, w->deadline);
    at = rv_min(at, rv_mesh_due());
    return at == INT64_MAX ? -1 : rv_max(at - now, 0);
}

static int
loop(rv_worker_t *w, int alone)
{
    while (!w->done) {
        int64_t wait = next_wait(w, alone);

        rv_stats_heartbeat(w->stats, (uint64_t) rv_loop_now());
        rv_activity_beat();
        if (rv_loop_once(w->loop, wait) != RV_OK)
            return RV_ERROR;
        if (w->signalled)
            take_signals(w, alone);
        if (w->readable)
            rv_orders_receive(w);
        if (w->orphaned)
            drain_orphaned(w);
        if (w->draining && drained(w))
            w->done = 1;
        if (alone && rv_cycle_mend_zones(w->cycle))
            rv_counts_enter_again(w->stats);
        if (w->balance != NULL && w->started && !w->draining)
            rv_balance_look(w->balance, w->connections, rv_loop_now());
        /* answers may be there that were not looked at yet */
        rv_mesh_settle(rv_loop_now() - (w->behind ? BEHIND_MSEC : 0));
        rv_counts_channels(w->stats);
        if (alone)
            rv_announce_beat(rv_loop_now());
    }
    return RV_OK;
}

static void
finish(rv_worker_t *w)
{
    rv_activity_note(RV_ACTIVITY_EXITING, 0, 0);
    rv_connection_pass_finish();
    if (w->connections != NULL)
        rv_connections_destroy(w->connections);
    w->connections = NULL;
    rv_balance_free(w->balance);
    for (size_t i = 0; rv_modules[i] != NULL; i++) {
        if (rv_modules[i]->exit_worker != NULL)
            rv_modules[i]->exit_worker(w);
    }
    rv_cycle_close_listeners(w->cycle, 0);

    for (rv_process_t *p = rv_process_each(NULL); p != NULL; p = rv_process_each(p)) {
        rv_loop_unwatch_channel(p->channel[0]);
        rv_loop_unwatch_channel(p->channel[1]);
        rv_process_release(p);
    }
    rv_loop_unwatch(w->alive);
    rv_loop_unwatch(w->signals);
    rv_loop_unwatch(w->beat);
    if (w->loop != NULL)
        rv_loop_destroy(w->loop);
    rv_fd_close(&w->liveness);
    rv_fd_close(&w->null);
    rv_counts_channels(w->cycle->stats); /* what still waited is dropped */
    rv_stats_heartbeat(
        w->cycle->stats, (uint64_t) rv_loop_now()); /* the row is whole, or is again */
}

int
rv_worker_run(rv_cycle_t *cycle, unsigned number, unsigned row, int liveness)
{
    rv_worker_t w = { .cycle = cycle, .number = number, .liveness = liveness, .null = -1 };
    int result = RV_ERROR;

    rv_daemon_title("worker process");
    rv_log_output_forked();
    rv_log_use(&cycle->log);
    rv_counts_forked(cycle->stats);
    rv_mesh_forget();
    keep_listeners(&w);
    if (rv_affinity_apply(&cycle->core->worker_cpu_affinity, number) != RV_OK)
        rv_log(RV_LOG_ERROR, errno, "setting worker_cpu_affinity of worker %u failed", number);

    if (rv_stats_own(cycle->stats, row) != RV_OK || open_null(&w) != RV_OK
        || rv_core_set_environment(cycle->core) != RV_OK || rv_rights_give_up(cycle->core) != RV_OK
        || init(&w) != RV_OK || watch_others(&w) != RV_OK || init_modules(&w) != RV_OK
        || rv_rights_confine(cycle->core) != RV_OK) {
        rv_log(RV_LOG_ERROR, errno, "worker %u could not be initialised", number);
    } else if (rv_control_ready() == RV_OK) {
        rv_signal_unblock();
        result = loop(&w, 0);
    }
    finish(&w);
    return result == RV_OK ? 0 : 1;
}

int
rv_worker_run_alone(rv_cycle_t *cycle, void (*ready)(void *), void *data)
{
    rv_worker_t w = { .cycle = cycle, .liveness = -1, .null = -1 };
    int result = RV_ERROR;

    if (rv_counts_enter(cycle->stats, 0, cycle->generation) == RV_OK && open_null(&w) == RV_OK
        && rv_core_set_environment(cycle->core) == RV_OK && init(&w) == RV_OK
        && init_modules(&w) == RV_OK) {
        rv_stats_set_master(cycle->stats, getpid(), time(NULL), cycle->generation);
        rv_worker_start(&w);
        ready(data);
        result = loop(&w, 1);
        rv_log(RV_LOG_NOTICE, 0, "exit");
    } else {
        rv_log(RV_LOG_EMERG, errno, "the process could not be initialised");
    }
    finish(&w);
    return result == RV_OK ? 0 : 1;
}
