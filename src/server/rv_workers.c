/*
 * rv_workers: the master's hand on the worker processes.
 *
 * A worker number that dies is filled again at once. One that died young does
 * so with a delay that doubles each time, so that a worker which cannot live
 * does not turn into a fork bomb. The one global is how often each has died.
 */
#include "rv_workers.h"

#include "rv_activity.h"
#include "rv_counts.h"
#include "rv_daemon.h"
#include "rv_doing.h"
#include "rv_fd.h"
#include "rv_mesh.h"
#include "rv_peers.h"
#include "rv_stats_fold.h"
#include "rv_worker.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <sys/wait.h>
#include <time.h>

enum {
    TURN = 64,               /* messages of one worker at a time */
    LAST_TURNS = 64,         /* more than a socket holds */
    REFUSED = 1000,          /* messages: nobody errs that often */
    CLOSED_MSEC = 10 * 1000, /* from closing its channel, which is its end, to exiting */
    YOUNG_MSEC = 1000,       /* dying before that is dying early */
    OLD_MSEC = 60 * 1000,    /* living that long makes early deaths forgotten */
    FIRST_DELAY_MSEC = 100,  /* doubled from the second early death on */
    LAST_DELAY_MSEC = 10 * 1000
};

typedef struct {
    rv_workers_t *ws;
    rv_cycle_t *cycle;
    unsigned number;
    unsigned row; /* of the statistics */
} child_t;

static int
run_child(void *data)
{
    child_t *child = data;
    rv_workers_t *ws = child->ws;

    ws->forget(ws->data, child->cycle);
    rv_fd_close(&ws->liveness[1]);
    rv_activity_own(rv_process_self()->slot);
    return rv_worker_run(child->cycle, child->number, child->row, ws->liveness[0]);
}

/* After one more early death: 0, then 100 ms, doubling up to 10 s. */
static int64_t
next_delay(rv_cycle_worker_t *w)
{
    int64_t delay = FIRST_DELAY_MSEC;

    if (++w->early_deaths == 1)
        return 0;
    for (unsigned i = 2; i < w->early_deaths && delay < LAST_DELAY_MSEC; i++)
        delay *= 2;
    return rv_min(delay, LAST_DELAY_MSEC);
}

static void
on_message(int fd, short what, void *data)
{
    (void) fd;
    (void) what;
    ((rv_process_t *) data)->readable = 1;
}

/* How often each worker number has died unasked. */
static uint64_t restarts[RV_CORE_WORKERS];

void
rv_workers_inherit(const rv_stats_t *st)
{
    rv_stats_view_t view;

    if (rv_stats_view(st, &view) != RV_OK)
        return; /* it is not worth an upgrade that fails */
    for (unsigned i = 0; i < view.count; i++) {
        const rv_stats_owner_t *owner = &view.process[i].owner;

        if (owner->worker < RV_CORE_WORKERS)
            restarts[owner->worker] = rv_max(restarts[owner->worker], owner->restarts);
    }
    rv_stats_view_free(&view);
}

static void
set_row(const rv_process_t *p, const rv_cycle_t *cycle)
{
    const rv_stats_owner_t owner = { .slot = p->slot,
        .worker = p->worker,
        .generation = p->generation,
        .pid = p->pid,
        .state = p->state,
        .started = time(NULL) - (rv_loop_now() - p->started) / 1000,
        .restarts = restarts[p->worker] };

    rv_stats_set_owner(cycle->stats, p->row, &owner);
}

void
rv_workers_enter_rows(const rv_cycle_t *cycle)
{
    for (const rv_process_t *p = rv_process_each(NULL); p != NULL; p = rv_process_each(p)) {
        if (p->generation == cycle->generation)
            set_row(p, cycle);
    }
}

static int
fork_one(rv_workers_t *ws, rv_cycle_t *cycle, unsigned number, int64_t now)
{
    int row = rv_stats_claim(cycle->stats);
    child_t child = { ws, cycle, number, (unsigned) row };
    rv_process_t *p;

    if (row < 0)
        return RV_ERROR;
    if (rv_process_spawn(cycle->generation, number, run_child, &child, &p) != RV_OK) {
        int err = errno;

        (void) rv_stats_fold(cycle->stats, (unsigned) row);
        errno = err;
        return RV_ERROR;
    }

    cycle->worker[number].slot = (int) p->slot;
    cycle->living++;
    p->started = now;
    p->row = (unsigned) row;
    set_row(p, cycle);
    rv_log(RV_LOG_NOTICE, 0, "worker %u started, pid %ld, slot %u, generation %u", number,
        (long) p->pid, p->slot, p->generation);

    rv_peers_note(p);
    return RV_OK;
}

static void
watch_all(const rv_workers_t *ws)
{
    for (rv_process_t *p = rv_process_each(NULL); p != NULL; p = rv_process_each(p)) {
        if (p->unheard || rv_loop_watch_channel(ws->loop, p->channel[0], on_message, p) == RV_OK)
            continue;
        rv_log(RV_LOG_CRIT, ENOMEM, "watching the channel of worker %u failed", p->worker);
        kill(p->pid, SIGKILL);
    }
}

static void
unwatch_all(void)
{
    for (rv_process_t *p = rv_process_each(NULL); p != NULL; p = rv_process_each(p))
        rv_loop_unwatch_channel(p->channel[0]);
}

void
rv_workers_fill(rv_workers_t *ws, rv_cycle_t *cycle, int64_t now)
{
    if (rv_workers_due(cycle) > now)
        return;

    unwatch_all(); /* else each child would have to */
    for (unsigned i = 0; i < cycle->workers; i++) {
        rv_cycle_worker_t *w = &cycle->worker[i];

        if (w->slot != -1 || w->due > now)
            continue;
        if (fork_one(ws, cycle, i, now) != RV_OK) {
            int err = errno;
            int64_t delay = next_delay(w);

            delay = rv_max(delay, FIRST_DELAY_MSEC);
            w->due = now + delay;
            rv_log(RV_LOG_CRIT, err, "starting worker %u failed, next try in %lld ms", i,
                (long long) delay);
        }
    }
    watch_all(ws);
}

int64_t
rv_workers_due(const rv_cycle_t *cycle)
{
    int64_t due = INT64_MAX;

    for (unsigned i = 0; i < cycle->workers; i++) {
        if (cycle->worker[i].slot == -1)
            due = rv_min(due, cycle->worker[i].due);
    }
    return due;
}

/* --- messages ------------------------------------------------------------------------- */

static int
take_ready(rv_workers_t *ws, rv_process_t *p, const rv_message_t *msg)
{
    if (msg->length != 0 || p->ready != 0) /* it says so once */
        return RV_ERROR;

    p->ready = rv_loop_now();
    if (p->state == RV_PROCESS_STARTING) {
        p->state = RV_PROCESS_READY;
        ws->unstarted = 1;
    }
    return RV_OK;
}

/* RV_ERROR: it is not for this worker to send that. */
static int
try_message(rv_workers_t *ws, rv_process_t *p, rv_message_t *msg)
{
    if (msg->pid != p->pid || msg->slot != p->slot || msg->generation != p->generation)
        return RV_ERROR;
    if (msg->type >= RV_CONTROL_USER) {
        rv_counts_delay(msg->sent);
        return rv_mesh_receive(msg);
    }
    if (msg->fd != -1)
        return RV_ERROR;

    switch (msg->type) {
    case RV_CONTROL_READY:
        return take_ready(ws, p, msg);
    case RV_CONTROL_REOPENED:
        return rv_control_take_reopened(p, msg);
    default:
        return RV_ERROR;
    }
}

static void
take_message(rv_workers_t *ws, rv_process_t *p, rv_message_t *msg)
{
    if (try_message(ws, p, msg) != RV_OK && rv_channel_refuse(p->channel[0]) == 1)
        rv_log(RV_LOG_ERROR, 0, "message of type %u from process %ld at slot %u refused", msg->type,
            (long) msg->pid, p->slot);
    rv_channel_discard(msg);
}

/* Some of what the worker has sent: one that floods gets its turn, no more. RV_DONE:
 * its channel is of no more use. */
static int
receive_turn(rv_workers_t *ws, rv_process_t *p)
{
    rv_message_t msg;

    for (int i = 0; i < TURN; i++) {
        int result = rv_channel_receive(p->channel[0], &msg);

        if (result == RV_OK) {
            take_message(ws, p, &msg);
        } else if (result == RV_ERROR && errno == EPROTO) {
            if (rv_channel_counts(p->channel[0])->refused == 1)
                rv_log(RV_LOG_ERROR, 0, "malformed message from worker %u refused", p->worker);
        } else {
            return result == RV_AGAIN ? RV_OK : RV_DONE;
        }
    }
    return RV_OK;
}

/* One that goes on sending what nobody wants is not ours any more, and one that
 * has closed its channel cannot be told anything. */
static void
receive_from(rv_workers_t *ws, rv_process_t *p)
{
    int64_t now = rv_loop_now();
    int result = receive_turn(ws, p);
    uint64_t refused = rv_channel_counts(p->channel[0])->refused;

    if (refused >= REFUSED) {
        rv_log(RV_LOG_ERROR, 0, "worker %u (pid %ld) is killed: %llu of its messages were refused",
            p->worker, (long) p->pid, (unsigned long long) refused);
        kill(p->pid, SIGKILL);
    } else if (result == RV_DONE) { /* it is about to die, or dead */
        p->kill_at = p->kill_at == 0 ? now + CLOSED_MSEC : rv_min(p->kill_at, now + CLOSED_MSEC);
    } else {
        return;
    }
    p->unheard = 1;
    rv_loop_unwatch_channel(p->channel[0]);
}

void
rv_workers_receive(rv_workers_t *ws)
{
    for (rv_process_t *p = rv_process_each(NULL); p != NULL; p = rv_process_each(p)) {
        if (p->readable)
            receive_from(ws, p);
        p->readable = 0;
    }
}

unsigned
rv_workers_ready(const rv_cycle_t *cycle)
{
    unsigned ready = 0;

    for (unsigned i = 0; i < cycle->workers; i++) {
        int slot = cycle->worker[i].slot;

        if (slot != -1 && rv_process_at((unsigned) slot)->state == RV_PROCESS_READY)
            ready++;
    }
    return ready;
}

void
rv_workers_start(rv_workers_t *ws, const rv_cycle_t *cycle)
{
    ws->unstarted = 0;
    for (rv_process_t *p = rv_process_each(NULL); p != NULL; p = rv_process_each(p)) {
        if (p->state != RV_PROCESS_READY || p->start_sent || p->generation != cycle->generation)
            continue;
        ws->unknown |= rv_control_start(p) > 0;
        p->start_sent = 1;
        set_row(p, cycle);
    }
}

void
rv_workers_introduce(rv_workers_t *ws)
{
    ws->unknown = 0;
    for (rv_process_t *p = rv_process_each(NULL); p != NULL; p = rv_process_each(p)) {
        if (p->unknown_count > 0)
            ws->unknown |= rv_control_introduce(p) > 0;
    }
}

static void
stop_one(rv_process_t *p, const rv_cycle_t *cycle, rv_control_type_t order, int64_t kill_at)
{
    (void) rv_control_order(p, order);
    p->state = RV_PROCESS_DRAINING;
    p->left = p->left == 0 ? rv_loop_now() : p->left;
    p->kill_at = p->kill_at == 0 ? kill_at : rv_min(p->kill_at, kill_at);
    set_row(p, cycle);
}

void
rv_workers_stop(const rv_cycle_t *cycle, rv_control_type_t order, int64_t kill_at)
{
    for (rv_process_t *p = rv_process_each(NULL); p != NULL; p = rv_process_each(p)) {
        if (p->generation == cycle->generation)
            stop_one(p, cycle, order, kill_at);
    }
}

void
rv_workers_let_go(rv_cycle_t *cycle)
{
    for (unsigned i = 0; i < cycle->workers; i++)
        cycle->worker[i] = (rv_cycle_worker_t){ .slot = -1, .due = rv_loop_now() };
}

void
rv_workers_remove(rv_cycle_t *cycle, rv_control_type_t order, int64_t kill_at)
{
    rv_cycle_worker_t *w = &cycle->worker[--cycle->workers];

    if (w->slot != -1)
        stop_one(rv_process_at((unsigned) w->slot), cycle, order, kill_at);
    *w = (rv_cycle_worker_t){ .slot = -1 };
    rv_control_workers(cycle->generation, cycle->workers);
}

/* --- death --------------------------------------------------------------------------------- */

int64_t
rv_workers_kill_overdue(int64_t now)
{
    int64_t next = INT64_MAX;

    for (rv_process_t *p = rv_process_each(NULL); p != NULL; p = rv_process_each(p)) {
        if (p->kill_at == 0)
            continue;
        if (p->kill_at > now) {
            next = rv_min(next, p->kill_at);
            continue;
        }
        rv_log(RV_LOG_ERROR, 0, "worker %u (pid %ld) does not exit and is killed", p->worker,
            (long) p->pid);
        kill(p->pid, SIGKILL);
        p->kill_at = 0;
    }
    return next;
}

void
rv_workers_tell(const rv_process_t *p, const rv_cycle_t *cycle, int status, int64_t now)
{
    char how[RV_WORKERS_TEXT], lived[RV_DOING_TIME], doing[RV_DOING_TEXT];
    int expected = p->state == RV_PROCESS_DRAINING && WIFEXITED(status);
    int orderly = WIFEXITED(status) && rv_activity_of(p->slot).kind == RV_ACTIVITY_EXITING;

    rv_log(expected ? RV_LOG_NOTICE : RV_LOG_ERROR, 0, "worker %u (pid %ld) %s after %s%s%s",
        p->worker, (long) p->pid, rv_workers_describe(status, how),
        rv_doing_time(now - p->started, lived), orderly ? "" : ", ",
        orderly ? "" : rv_doing(cycle, p->slot, doing));
}

/* What it said before its death; not of one that nobody listens to any more. */
static void
receive_rest(rv_workers_t *ws, rv_process_t *p)
{
    for (int i = 0; i < LAST_TURNS && !p->unheard && receive_turn(ws, p) == RV_OK; i++)
        continue;
}

void
rv_workers_bury(rv_workers_t *ws, rv_process_t *p, rv_cycle_t *cycle, int64_t now)
{
    rv_cycle_worker_t *w = &cycle->worker[p->worker];
    int64_t lived = now - p->started;

    if (p->state != RV_PROCESS_DRAINING)
        restarts[p->worker]++;

    if (rv_stats_fold(cycle->stats, p->row) != RV_OK)
        rv_log(RV_LOG_ALERT, errno, "adding up the counters of worker %u failed", p->worker);

    receive_rest(ws, p);
    rv_peers_note(p);
    rv_loop_unwatch_channel(p->channel[0]);
    rv_channel_drain(p->channel[0]);
    if (w->slot == (int) p->slot) { /* else another one has the number */
        w->slot = -1;
        w->due = now;
        if (lived >= OLD_MSEC)
            w->early_deaths = 0;
        if (lived < YOUNG_MSEC)
            w->due = now + next_delay(w);
    }

    const rv_process_id_t id = { p->slot, p->worker, p->generation, p->pid };
    rv_activity_clear(p->slot);
    rv_process_release(p);
    rv_mesh_gone(&id);
    cycle->living--;
}

const char *
rv_workers_describe(int status, char text[RV_WORKERS_TEXT])
{
    if (WIFSIGNALED(status))
        snprintf(text, RV_WORKERS_TEXT, "was killed by signal %d%s%s", WTERMSIG(status),
            WTERMSIG(status) == SIGSYS ? " (a system call that the sandbox does not allow)" : "",
            WCOREDUMP(status) ? " (core dumped)" : "");
    else
        snprintf(text, RV_WORKERS_TEXT, "exited with code %d", WEXITSTATUS(status));
    return text;
}
