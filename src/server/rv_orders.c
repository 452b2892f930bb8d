/*
 * rv_orders: what a worker does when the master has sent it something.
 *
 * Orders are the master's alone, by the kernel's word for who has sent them. What modules
 * send each other goes to rv_mesh. All else is counted and thrown away.
 */
#include "rv_orders.h"

#include "rv_connection.h"
#include "rv_control.h"
#include "rv_counts.h"
#include "rv_fd.h"
#include "rv_log_output.h"
#include "rv_mesh.h"
#include "rv_process.h"
#include "rv_worker.h"

#include <errno.h>
#include <sys/socket.h>

enum { TURN = 64 /* messages in one step of the loop: clients are to have their turn too */ };

static void
on_start(rv_worker_t *w, rv_message_t *msg)
{
    (void) rv_control_uncork(msg);
    rv_worker_start(w);
}

static void
on_known(rv_worker_t *w, rv_message_t *msg)
{
    (void) w;
    (void) rv_control_uncork(msg);
}

/* One was taken away; one that is added shows itself by its OPEN. */
static void
on_workers(rv_worker_t *w, rv_message_t *msg)
{
    unsigned workers;

    if (rv_control_count(msg, &workers) == RV_OK)
        rv_worker_set_workers(w, workers);
}

static void
on_quit(rv_worker_t *w, rv_message_t *msg)
{
    (void) msg;
    rv_worker_drain(w, "told to quit");
}

static void
on_terminate(rv_worker_t *w, rv_message_t *msg)
{
    (void) msg;
    w->done = 1;
}

static void
watch_peer(rv_worker_t *w, unsigned slot)
{
    rv_channel_t *ch = rv_process_at(slot)->channel[0];

    if (rv_loop_watch_channel(w->loop, ch, NULL, NULL) != RV_OK)
        rv_log(RV_LOG_CRIT, ENOMEM, "watching the channel of slot %u failed", slot);
    if (!w->started)
        rv_channel_cork(ch, 1);
}

static void
enter_peer(rv_worker_t *w, rv_message_t *msg, unsigned i, rv_process_id_t peer)
{
    /* what stands in the slot goes, and with it the watch of its channel */
    const rv_process_t *p = rv_process_at(peer.slot);
    const rv_process_id_t gone = { p->slot, p->worker, p->generation, p->pid };

    rv_loop_unwatch_channel(p->channel[0]);
    if (rv_control_enter(msg, i, &peer) != RV_OK)
        rv_log(RV_LOG_CRIT, errno, "entering slot %u failed", peer.slot);
    else if (msg->type == RV_CONTROL_OPEN)
        watch_peer(w, peer.slot);
    rv_mesh_gone(&gone);
    if (peer.generation == w->cycle->generation && peer.worker >= w->cycle->workers)
        rv_worker_set_workers(w, peer.worker + 1); /* one was added */
}

static void
on_peers(rv_worker_t *w, rv_message_t *msg)
{
    rv_process_id_t peer;
    int result;

    for (unsigned i = 0; (result = rv_control_peer(msg, i, &peer)) == RV_OK; i++)
        enter_peer(w, msg, i, peer);
    if (result == RV_ERROR)
        rv_log(RV_LOG_ALERT, 0, "malformed message about workers");
}

/* Clients may wait at the socket of a worker that is no more. */
static void
on_listen(rv_worker_t *w, rv_message_t *msg)
{
    rv_cycle_listener_t *l = w->cycle->listeners;
    unsigned index;
    int fd = msg->fd;

    if (rv_control_index(msg, &index) != RV_OK || w->draining)
        return;
    for (; l != NULL && index > 0; index--)
        l = l->next;
    if (l == NULL)
        return;

    msg->fd = -1;
    rv_connections_listener(w->connections, l->number);
    if ((w->started ? rv_connections_join(w->connections, fd, l->service, l->conf)
                    : rv_listener_push(&l->listener, fd))
        != RV_OK)
        rv_log(RV_LOG_CRIT, ENOMEM, "accepting for another worker failed");
}

static void
on_reopen(rv_worker_t *w, rv_message_t *msg)
{
    rv_control_log_t log;

    (void) w;
    if (rv_control_log(msg, &log) != RV_OK)
        return;

    rv_log_output_replace(log.output, msg->fd);
    msg->fd = -1;
    (void) rv_control_reopened(&log); /* a failing send means that the master is dead */
}

static const struct {
    rv_control_type_t type;
    void (*obey)(rv_worker_t *w, rv_message_t *msg);
} orders[] = {
    { RV_CONTROL_OPEN, on_peers },
    { RV_CONTROL_CLOSE, on_peers },
    { RV_CONTROL_START, on_start },
    { RV_CONTROL_KNOWN, on_known },
    { RV_CONTROL_QUIT, on_quit },
    { RV_CONTROL_TERMINATE, on_terminate },
    { RV_CONTROL_REOPEN, on_reopen },
    { RV_CONTROL_LISTEN, on_listen },
    { RV_CONTROL_WORKERS, on_workers },
};

static void
take_message(rv_message_t *msg)
{
    rv_counts_delay(msg->sent);
    if (rv_mesh_receive(msg) != RV_OK && rv_channel_refuse(rv_process_self()->channel[1]) == 1)
        rv_log(RV_LOG_ERROR, 0,
            "message of type %u from process %ld refused: it is not for this worker", msg->type,
            (long) msg->pid);
}

static void
obey(rv_worker_t *w, rv_message_t *msg)
{
    rv_channel_t *ch = rv_process_self()->channel[1];

    if (rv_control_is_genuine(msg) && msg->type >= RV_CONTROL_USER) {
        take_message(msg);
    } else if (rv_control_is_genuine(msg)) {
        for (size_t i = 0; i < rv_countof(orders); i++) {
            if (orders[i].type == msg->type && msg->slot == RV_PROCESS_MASTER)
                orders[i].obey(w, msg);
        }
    } else if (rv_channel_refuse(ch) == 1) {
        rv_log(RV_LOG_ERROR, 0, "message of type %u refused: process %ld is not slot %u", msg->type,
            (long) msg->pid, msg->slot);
    }
    rv_channel_discard(msg);
}

void
rv_orders_receive(rv_worker_t *w)
{
    rv_channel_t *ch = rv_process_self()->channel[1];
    rv_message_t msg;

    w->readable = 0;
    w->behind = 0;
    for (int i = 0; i < TURN; i++) {
        int result = rv_channel_receive(ch, &msg);

        if (result == RV_OK) {
            w->behind = i == TURN - 1;
            obey(w, &msg);
        } else if (result == RV_AGAIN) {
            return;
        } else if (result == RV_ERROR && errno == EPROTO) {
            if (rv_channel_counts(ch)->refused == 1)
                rv_log(RV_LOG_ERROR, 0, "malformed message on the channel refused");
        } else { /* nobody can speak to us any more */
            w->orphaned = !w->deaf;
            rv_loop_unwatch_channel(ch);
            if (w->deaf) /* but we can */
                (void) rv_loop_watch_channel(w->loop, ch, NULL, NULL);
            return;
        }
    }
}

void
rv_orders_close(rv_worker_t *w)
{
    rv_process_t *self = rv_process_self();

    if (self == NULL || w->deaf)
        return;

    /* what the kernel has taken until now can still be received */
    w->deaf = 1;
    (void) shutdown(rv_channel_fd(self->channel[1]), SHUT_RD);
    rv_orders_receive(w);
}
