/*
 * rv_connection: clients, from accept to close.
 *
 * Accepting is rv_acceptor's affair; what it brings becomes a connection here,
 * and at the limit it is told to pause. Connection objects come from a list of free ones
 * and are as small as an idle client should be; whatever a
 * request needs hangs on c->data while it lasts.
 */
#include "rv_connection.h"

#include "rv_activity.h"
#include "rv_fd.h"
#include "rv_log.h"

#include <stdlib.h>
#include <string.h>

struct rv_connections_s {
    rv_loop_t *loop;
    rv_stats_t *stats;
    rv_acceptors_t *acceptors;
    unsigned limit;
    unsigned count;
    rv_connection_t *open;
    rv_connection_t *free;
    const rv_connection_t *ready; /* the one whose service is being called */
    int draining;
    int (*fresh)(rv_connection_t *c, void *data);
    void *fresh_data;
    int accepts, handled, aborted, passed, taken;
    int state[3]; /* indices of the gauges, by state */
};

const rv_stats_def_t rv_connection_stats[] = {
    { "accepts", RV_STATS_COUNTER, "Accepted client connections." },
    { "handled", RV_STATS_COUNTER, "Client connections that were taken on." },
    { "pauses{reason=\"limit\"}", RV_STATS_COUNTER, "Times that accepting clients paused." },
    { "pauses{reason=\"descriptors\"}", RV_STATS_COUNTER, "Times that accepting clients paused." },
    { "aborted", RV_STATS_COUNTER,
        "Client connections that were closed because worker_shutdown_timeout was over." },
    { "passed", RV_STATS_COUNTER, "Client connections that were handed to another worker." },
    { "taken", RV_STATS_COUNTER, "Client connections that came from another worker." },
    { "waiting", RV_STATS_GAUGE, "Idle client connections." },
    { "reading", RV_STATS_GAUGE, "Client connections whose request is being read." },
    { "writing", RV_STATS_GAUGE, "Client connections that are being answered." },
    { NULL, 0, NULL },
};

/* --- clients come ------------------------------------------------------------------ */

/* The object is made before the client is accepted: none is closed for want of memory. */
static int
prepare(void *data)
{
    rv_connections_t *all = data;

    if (all->free != NULL)
        return RV_OK;

    rv_connection_t *c = malloc(sizeof(*c));
    if (c == NULL)
        return RV_ERROR;
    c->next = NULL;
    all->free = c;
    return RV_OK;
}

static rv_connection_t *
new_connection(rv_connections_t *all, const rv_acceptor_client_t *client)
{
    rv_connection_t *c = all->free;

    all->free = c->next;
    memset(c, 0, sizeof(*c));
    c->all = all;
    c->service = client->service;
    c->conf = client->conf;
    c->listener = (uint16_t) client->listener;
    c->fd = client->fd;
    c->opened = rv_loop_now();
    c->peer.sa.sa_family = AF_UNIX;
    if (client->length > 0 && client->peer.sa.sa_family != AF_UNIX) {
        c->peer_length = (uint8_t) rv_min((size_t) client->length, sizeof(c->peer));
        memcpy(&c->peer, &client->peer, c->peer_length);
    }
    return c;
}

static rv_connection_t *
add_connection(rv_connections_t *all, const rv_acceptor_client_t *client)
{
    rv_connection_t *c = new_connection(all, client);

    c->next = all->open;
    c->link = &all->open;
    if (c->next != NULL)
        c->next->link = &c->next;
    all->open = c;
    all->count++;
    return c;
}

static void
keep_to_limit(rv_connections_t *all)
{
    if (all->count >= all->limit && rv_acceptors_pause(all->acceptors, RV_ACCEPTOR_LIMIT))
        rv_log(RV_LOG_WARN, 0, "%u worker_connections are in use, accepting pauses", all->limit);
}

static void
take(void *data, const rv_acceptor_client_t *client)
{
    rv_connections_t *all = data;
    rv_connection_t *c = add_connection(all, client);
    const rv_stats_change_t changes[] = {
        { (unsigned) all->accepts, 1 },
        { (unsigned) all->handled, 1 },
        { (unsigned) all->state[RV_CONNECTION_WAITING], 1 },
    };

    rv_stats_apply(all->stats, changes, rv_countof(changes));
    c->fresh = 1;
    if (all->fresh != NULL && all->fresh(c, all->fresh_data) == RV_OK)
        return;
    c->fresh = 0;

    keep_to_limit(all);
    rv_activity_note(RV_ACTIVITY_SERVING, c->listener, 0);
    c->service->open(c);
}

rv_connection_t *
rv_connections_take(
    rv_connections_t *all, const rv_acceptor_client_t *client, rv_connection_state_t state)
{
    if (prepare(all) != RV_OK)
        return NULL;

    rv_connection_t *c = add_connection(all, client);
    const rv_stats_change_t changes[] = {
        { (unsigned) all->taken, 1 },
        { (unsigned) all->state[state], 1 },
    };

    c->state = (uint8_t) state;
    rv_stats_apply(all->stats, changes, rv_countof(changes));
    if (!all->draining) {
        keep_to_limit(all);
        rv_acceptors_see(all->acceptors, c->fd);
    }
    return c;
}

/* --- all of them ------------------------------------------------------------------- */

rv_connections_t *
rv_connections_create(rv_loop_t *loop, rv_stats_t *stats, unsigned limit)
{
    static const char module[] = "connections";
    rv_connections_t *all = calloc(1, sizeof(*all));
    const rv_acceptor_owner_t owner = { prepare, take, all };

    if (all == NULL)
        return NULL;

    all->loop = loop;
    all->stats = stats;
    all->limit = limit;
    all->accepts = rv_stats_find(stats, module, "accepts");
    all->handled = rv_stats_find(stats, module, "handled");
    all->aborted = rv_stats_find(stats, module, "aborted");
    all->passed = rv_stats_find(stats, module, "passed");
    all->taken = rv_stats_find(stats, module, "taken");
    all->state[RV_CONNECTION_WAITING] = rv_stats_find(stats, module, "waiting");
    all->state[RV_CONNECTION_READING] = rv_stats_find(stats, module, "reading");
    all->state[RV_CONNECTION_WRITING] = rv_stats_find(stats, module, "writing");
    all->acceptors = rv_acceptors_create(loop, stats, &owner);
    if (all->acceptors == NULL) {
        free(all);
        return NULL;
    }
    return all;
}

void
rv_connections_reserve(rv_connections_t *all, unsigned count)
{
    rv_acceptors_reserve(all->acceptors, count);
}

void
rv_connections_alone(rv_connections_t *all, int alone)
{
    rv_acceptors_alone(all->acceptors, alone);
}

void
rv_connections_listener(rv_connections_t *all, unsigned number)
{
    rv_acceptors_listener(all->acceptors, number);
}

int
rv_connections_listen(rv_connections_t *all, int fd, const rv_service_t *service, const void *conf)
{
    return rv_acceptors_listen(all->acceptors, fd, service, conf);
}

int
rv_connections_join(rv_connections_t *all, int fd, const rv_service_t *service, const void *conf)
{
    return rv_acceptors_join(all->acceptors, fd, service, conf);
}

void
rv_connections_on_fresh(
    rv_connections_t *all, int (*fresh)(rv_connection_t *c, void *data), void *data)
{
    all->fresh = fresh;
    all->fresh_data = data;
}

unsigned
rv_connections_abort(rv_connections_t *all)
{
    const rv_stats_change_t one = { (unsigned) all->aborted, 1 };
    unsigned count = 0;

    for (; all->open != NULL; count++) {
        rv_stats_apply(all->stats, &one, 1);
        rv_connection_close(all->open);
    }
    return count;
}

void
rv_connections_destroy(rv_connections_t *all)
{
    rv_acceptors_destroy(all->acceptors);
    all->acceptors = NULL;
    while (all->open != NULL)
        rv_connection_close(all->open);

    while (all->free != NULL) {
        rv_connection_t *c = all->free;
        all->free = c->next;
        free(c);
    }
    free(all);
}

void
rv_connections_drain(rv_connections_t *all)
{
    rv_connection_t *next;

    all->fresh = NULL; /* all workers of the generation may be about to go */
    rv_acceptors_drain(all->acceptors);
    all->draining = 1;
    for (rv_connection_t *c = all->open; c != NULL; c = next) {
        next = c->next;
        rv_activity_note(RV_ACTIVITY_SERVING, c->listener, 0);
        c->service->drain(c);
    }
}

int
rv_connections_draining(const rv_connections_t *all)
{
    return all->draining;
}

unsigned
rv_connections_count(const rv_connections_t *all)
{
    return all->count;
}

rv_connection_t *
rv_connections_each(const rv_connections_t *all, const rv_connection_t *after)
{
    return after == NULL ? all->open : after->next;
}

int
rv_connections_are_full(const rv_connections_t *all)
{
    return all->count >= all->limit;
}

void
rv_connections_accept_again(rv_connections_t *all)
{
    rv_acceptors_resume(all->acceptors);
}

rv_loop_t *
rv_connections_loop(const rv_connections_t *all)
{
    return all->loop;
}

rv_stats_t *
rv_connections_stats(const rv_connections_t *all)
{
    return all->stats;
}

const struct timeval *
rv_connections_timeout(rv_connections_t *all, uint64_t msec)
{
    struct timeval tv = { (time_t) (msec / 1000), (suseconds_t) (msec % 1000 * 1000) };

    return event_base_init_common_timeout(rv_loop_base(all->loop), &tv);
}

/* --- one connection ------------------------------------------------------------ */

static void
on_ready(int fd, short what, void *data)
{
    rv_connection_t *c = data;
    rv_connections_t *all = c->all;

    (void) fd;
    rv_activity_note(RV_ACTIVITY_SERVING, c->listener, 0);
    all->ready = c;
    c->service->ready(c, what);
    all->ready = NULL;
    rv_activity_note(RV_ACTIVITY_IDLE, 0, 0);
}

/* What is not watched may have been woken. */
static void
stop_watching(rv_connection_t *c)
{
    if (event_initialized(&c->event))
        event_del(&c->event);
}

/* libevent has let the timer begin anew before it called, and would do it all again. */
static int
is_watched(const rv_connection_t *c, short what, const struct timeval *timeout)
{
    const struct timeval *armed = &c->event.ev_.ev_io.ev_timeout; /* zero: there is no timer */

    return c->all->ready == c && c->watching == what && timeout != NULL
        && (armed->tv_sec != 0 || armed->tv_usec != 0) && armed->tv_sec == timeout->tv_sec
        && armed->tv_usec == timeout->tv_usec;
}

int
rv_connection_watch(rv_connection_t *c, short what, const struct timeval *timeout)
{
    if (is_watched(c, what, timeout))
        return RV_OK;
    if (c->watching != what) {
        stop_watching(c);
        c->watching = (uint8_t) what;
        event_assign(
            &c->event, rv_loop_base(c->all->loop), c->fd, (short) (what | EV_PERSIST), on_ready, c);
    }
    if (timeout == NULL)
        event_remove_timer(&c->event);
    return what == 0 || event_add(&c->event, timeout) == 0 ? RV_OK : RV_ERROR;
}

void
rv_connection_wake(rv_connection_t *c)
{
    event_active(&c->event, RV_LOOP_WRITE, 0);
}

void
rv_connection_set_state(rv_connection_t *c, rv_connection_state_t state,
    const rv_stats_change_t *more, unsigned more_count)
{
    rv_connections_t *all = c->all;
    rv_stats_change_t changes[RV_STATS_CHANGES];
    unsigned count = 0;

    if (c->state != state) {
        changes[count++] = (rv_stats_change_t){ (unsigned) all->state[c->state], -1 };
        changes[count++] = (rv_stats_change_t){ (unsigned) all->state[state], 1 };
        c->state = (uint8_t) state;
    }
    for (unsigned i = 0; i < more_count && count < RV_STATS_CHANGES; i++)
        changes[count++] = more[i];

    if (count > 0)
        rv_stats_apply(all->stats, changes, count);
}

void
rv_connection_peer(const rv_connection_t *c, rv_addr_t *addr)
{
    memset(addr, 0, sizeof(*addr));
    addr->sockaddr.sa.sa_family = AF_UNIX;
    addr->length = sizeof(sa_family_t);
    if (c->peer_length > 0) {
        memcpy(&addr->sockaddr, &c->peer, c->peer_length);
        addr->length = c->peer_length;
    }
}

void
rv_connection_count(const rv_connection_t *c, int by)
{
    const rv_stats_change_t change = { (unsigned) c->all->state[c->state], by };

    rv_stats_apply(c->all->stats, &change, 1);
}

/* `change` is counted with it. */
static void
end_connection(rv_connection_t *c, const rv_stats_change_t *change)
{
    rv_connections_t *all = c->all;

    if (!c->fresh)
        c->service->close(c);
    stop_watching(c);
    rv_fd_close(&c->fd);

    *c->link = c->next;
    if (c->next != NULL)
        c->next->link = c->link;
    c->next = all->free;
    all->free = c;
    all->count--;
    rv_stats_apply(all->stats, change, 1);
    if (all->acceptors != NULL && all->count < all->limit)
        rv_acceptors_resume(all->acceptors);
}

void
rv_connection_close(rv_connection_t *c)
{
    const rv_stats_change_t gone = { (unsigned) c->all->state[c->state], -1 };

    end_connection(c, &gone);
}

void
rv_connection_passed(rv_connection_t *c)
{
    const rv_stats_change_t one = { (unsigned) c->all->passed, 1 };

    end_connection(c, &one);
}
