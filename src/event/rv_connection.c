/*
 * rv_connection: clients, from accept to close.
 *
 * Who is accepted is served: where there is no room for one more, accepting
 * pauses and clients wait in the kernel's queue. Connection objects come from a list of free ones
 * and are as small as an idle client should be; whatever a
 * request needs hangs on c->data while it lasts.
 */
#include "rv_connection.h"

#include "rv_fd.h"
#include "rv_log.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

typedef struct acceptor_s {
    struct acceptor_s *next;
    rv_connections_t *all;
    const rv_service_t *service;
    const void *conf;
    int fd;
    struct event *event;
} acceptor_t;

struct rv_connections_s {
    rv_loop_t *loop;
    rv_stats_t *stats;
    unsigned limit;
    unsigned count;
    rv_connection_t *open;
    rv_connection_t *free;
    acceptor_t *acceptors;
    struct event *resume; /* ends a pause that no closing client ends */
    int paused;
    int last_fd;      /* with a client above this one accepting pauses */
    int short_of_fds; /* why accepting pauses */
    int draining;
    int limit_logged;
    int64_t failure_logged; /* ms: when accept() failed so last */
    int accepts, handled;
    int state[3]; /* indices of the gauges, by state */
};

enum {
    PAUSE_MSEC = 500,
    PAUSE_LOG_MSEC = 10 * 1000 /* between two lines about it */
};

const rv_stats_def_t rv_connection_stats[] = {
    { "accepts", RV_STATS_COUNTER, "Accepted client connections." },
    { "handled", RV_STATS_COUNTER, "Client connections that were taken on." },
    { "waiting", RV_STATS_GAUGE, "Idle client connections." },
    { "reading", RV_STATS_GAUGE, "Client connections whose request is being read." },
    { "writing", RV_STATS_GAUGE, "Client connections that are being answered." },
    { NULL, 0, NULL },
};

static void
pause_accepting(rv_connections_t *all)
{
    if (all->paused)
        return;

    all->paused = 1;
    for (acceptor_t *a = all->acceptors; a != NULL; a = a->next)
        event_del(a->event);
}

/* Whether the next descriptor would still be a client's. */
static int
has_descriptor(const rv_connections_t *all)
{
    int fd = rv_fd_dup(STDIN_FILENO);
    int has = fd != -1 && fd <= all->last_fd + 1; /* that one, and then a pause */

    rv_fd_close(&fd);
    return has;
}

static void
resume_accepting(rv_connections_t *all)
{
    struct timeval pause = { 0, PAUSE_MSEC * 1000 };

    if (!all->paused || all->draining || all->count >= all->limit)
        return;
    if (all->short_of_fds && !has_descriptor(all)) {
        event_add(all->resume, &pause);
        return;
    }

    all->paused = all->short_of_fds = 0;
    event_del(all->resume);
    for (acceptor_t *a = all->acceptors; a != NULL; a = a->next)
        event_add(a->event, NULL);
}

static void
on_resume(int fd, short what, void *data)
{
    (void) fd;
    (void) what;
    resume_accepting(data);
}

rv_connections_t *
rv_connections_create(rv_loop_t *loop, rv_stats_t *stats, unsigned limit)
{
    static const char module[] = "connections";
    rv_connections_t *all = calloc(1, sizeof(*all));

    if (all == NULL)
        return NULL;

    all->loop = loop;
    all->stats = stats;
    all->limit = limit;
    all->last_fd = INT_MAX - 1;
    all->failure_logged = INT64_MIN / 2;
    all->accepts = rv_stats_find(stats, module, "accepts");
    all->handled = rv_stats_find(stats, module, "handled");
    all->state[RV_CONNECTION_WAITING] = rv_stats_find(stats, module, "waiting");
    all->state[RV_CONNECTION_READING] = rv_stats_find(stats, module, "reading");
    all->state[RV_CONNECTION_WRITING] = rv_stats_find(stats, module, "writing");
    all->resume = event_new(rv_loop_base(loop), -1, 0, on_resume, all);
    if (all->resume == NULL) {
        free(all);
        return NULL;
    }
    return all;
}

void
rv_connections_reserve(rv_connections_t *all, unsigned count)
{
    struct rlimit limit;

    if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur < INT_MAX)
        all->last_fd = (int) (limit.rlim_cur - rv_min(count, limit.rlim_cur / 2)) - 2;
}

static void
close_acceptors(rv_connections_t *all)
{
    while (all->acceptors != NULL) {
        acceptor_t *a = all->acceptors;

        all->acceptors = a->next;
        if (a->event != NULL)
            event_free(a->event);
        rv_fd_close(&a->fd);
        free(a);
    }
}

void
rv_connections_destroy(rv_connections_t *all)
{
    close_acceptors(all);
    while (all->open != NULL)
        rv_connection_close(all->open);

    while (all->free != NULL) {
        rv_connection_t *c = all->free;
        all->free = c->next;
        free(c);
    }
    event_free(all->resume);
    free(all);
}

/* --- accepting ------------------------------------------------------------------- */

static rv_connection_t *
new_connection(rv_connections_t *all)
{
    rv_connection_t *c = all->free;

    if (c == NULL)
        return malloc(sizeof(*c));

    all->free = c->next;
    return c;
}

static rv_connection_t *
take_on(acceptor_t *a, int fd, const rv_sockaddr_t *peer, socklen_t length)
{
    rv_connections_t *all = a->all;
    rv_connection_t *c = new_connection(all);
    rv_stats_change_t changes[] = {
        { (unsigned) all->accepts, 1 },
        { (unsigned) all->handled, 1 },
        { (unsigned) all->state[RV_CONNECTION_WAITING], 1 },
    };

    if (c == NULL) {
        rv_stats_apply(all->stats, changes, 1);
        return NULL;
    }

    memset(c, 0, sizeof(*c));
    c->all = all;
    c->service = a->service;
    c->conf = a->conf;
    c->fd = fd;
    c->opened = rv_loop_now();
    c->peer.sa.sa_family = AF_UNIX;
    if (length > 0 && peer->sa.sa_family != AF_UNIX) {
        c->peer_length = (uint8_t) rv_min((size_t) length, sizeof(c->peer));
        memcpy(&c->peer, peer, c->peer_length);
    }

    c->next = all->open;
    c->link = &all->open;
    if (c->next != NULL)
        c->next->link = &c->next;
    all->open = c;
    all->count++;
    rv_stats_apply(all->stats, changes, 3);
    return c;
}

/* The system has no room for one more client; err is 0 where the room that is
 * left is not for clients. */
static void
pause_for_room(rv_connections_t *all, int err)
{
    struct timeval pause = { 0, PAUSE_MSEC * 1000 };

    /* each client that leaves makes room for one more try: that is no news */
    if (rv_loop_now() - all->failure_logged >= PAUSE_LOG_MSEC) {
        all->failure_logged = rv_loop_now();
        rv_log(RV_LOG_CRIT, err,
            err == 0 ? "descriptors run short, accepting pauses"
                     : "accept() failed, accepting pauses");
    }
    all->short_of_fds = 1;
    pause_accepting(all);
    event_add(all->resume, &pause);
}

/* accept() failed: a client that is gone already, or the system has no room. */
static int
accept_failed(rv_connections_t *all, int err)
{
    static const int passing[] = { EAGAIN, EWOULDBLOCK, EINTR, ECONNABORTED, EPROTO };

    for (size_t i = 0; i < rv_countof(passing); i++) {
        if (err == passing[i])
            return RV_AGAIN;
    }
    pause_for_room(all, err);
    return RV_ERROR;
}

/* RV_OK: a client was accepted. RV_AGAIN: none waits. RV_ERROR: there is no room. */
static int
accept_one(acceptor_t *a)
{
    rv_connections_t *all = a->all;
    rv_sockaddr_t peer = { 0 };

    /* the kernel writes the length where it is seen if we are killed before we have counted */
    socklen_t *length = rv_stats_witness(all->stats, (unsigned) all->accepts, sizeof(peer));
    int client = rv_fd_accept(a->fd, &peer.sa, length);
    if (client == -1)
        return accept_failed(all, errno);

    rv_connection_t *c = take_on(a, client, &peer, *length);
    if (c == NULL) {
        rv_log(RV_LOG_CRIT, ENOMEM, "client connection closed, accepting pauses");
        rv_fd_close(&client);
        return accept_failed(all, ENOMEM);
    }

    if (all->count >= all->limit) {
        if (!all->limit_logged)
            rv_log(
                RV_LOG_WARN, 0, "%u worker_connections are in use, accepting pauses", all->limit);
        all->limit_logged = 1;
        pause_accepting(all);
    }
    if (client > all->last_fd)
        pause_for_room(all, 0);
    c->service->open(c);
    return RV_OK;
}

static void
on_acceptable(int fd, short what, void *data)
{
    (void) fd;
    (void) what;
    (void) accept_one(data);
}

int
rv_connections_listen(rv_connections_t *all, int fd, const rv_service_t *service, const void *conf)
{
    acceptor_t *a = calloc(1, sizeof(*a));

    if (a == NULL) {
        rv_fd_close(&fd);
        return RV_ERROR;
    }
    a->all = all;
    a->service = service;
    a->conf = conf;
    a->fd = fd;
    a->next = all->acceptors;
    all->acceptors = a;

    a->event = event_new(rv_loop_base(all->loop), fd, EV_READ | EV_PERSIST, on_acceptable, a);
    if (a->event == NULL || event_add(a->event, NULL) == -1)
        return RV_ERROR;
    return RV_OK;
}

void
rv_connections_drain(rv_connections_t *all)
{
    rv_connection_t *next;

    /* whoever waits already may wait at a socket that nobody else holds */
    for (acceptor_t *a = all->acceptors; a != NULL; a = a->next) {
        while (all->count < all->limit && !all->short_of_fds && accept_one(a) == RV_OK)
            continue;
    }
    all->draining = 1;
    close_acceptors(all);
    for (rv_connection_t *c = all->open; c != NULL; c = next) {
        next = c->next;
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

    (void) fd;
    c->service->ready(c, what);
}

int
rv_connection_watch(rv_connection_t *c, short what, const struct timeval *timeout)
{
    if (c->watching != what) {
        if (c->watching != 0)
            event_del(&c->event);
        c->watching = (uint8_t) what;
        event_assign(
            &c->event, rv_loop_base(c->all->loop), c->fd, (short) (what | EV_PERSIST), on_ready, c);
    }
    if (timeout == NULL)
        event_remove_timer(&c->event);
    return event_add(&c->event, timeout) == 0 ? RV_OK : RV_ERROR;
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
rv_connection_close(rv_connection_t *c)
{
    rv_connections_t *all = c->all;
    rv_stats_change_t gone = { (unsigned) all->state[c->state], -1 };

    c->service->close(c);
    if (c->watching != 0)
        event_del(&c->event);
    rv_fd_close(&c->fd);

    *c->link = c->next;
    if (c->next != NULL)
        c->next->link = c->link;
    c->next = all->free;
    all->free = c;
    all->count--;
    rv_stats_apply(all->stats, &gone, 1);
    resume_accepting(all);
}
