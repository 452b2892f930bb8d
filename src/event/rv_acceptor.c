/*
 * rv_acceptor: listening sockets, and clients that are accepted there while there is room.
 *
 * Who is accepted is served. Where there is no room for one more, be it that the
 * limit is reached or that descriptors or memory are short, accepting pauses: the
 * sockets are not watched, and clients wait in the kernel's queue, where any other
 * process that has the socket finds them. A client that leaves ends the pause at
 * once; what else may give room is looked for twice a second.
 *
 * No descriptor is kept to be given up when there are no more: it would serve to
 * accept a client only to close it. What must find room in any case are the
 * channels and logs that the master passes. They need numbers below the limit of
 * this process, not room in the system's table, so clients leave some numbers free.
 *
 * Of the processes that sleep, one is woken for a client (rv_exclusive). When it
 * has accepted it goes to the end of their queue, so that clients spread evenly; in a rush
 * of them it does so after a turn.
 * If it does not accept, nobody does: it may be killed or stopped before it has come
 * to that, or pause just then. So each second everybody enters the queue
 * anew and sees who waits; whoever has room finds the client then at the latest.
 */
#include "rv_acceptor.h"

#include "rv_activity.h"
#include "rv_exclusive.h"
#include "rv_fd.h"
#include "rv_log.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

typedef struct acceptor_s {
    struct acceptor_s *next;
    rv_acceptors_t *all;
    const void *service;
    const void *conf;
    unsigned listener;
    int fd;
    struct event *event;
    int64_t queued; /* us: when it last went to the end */
} acceptor_t;

typedef struct {
    int on;
    int64_t ended; /* ms: the last one */
    int count;     /* index of the counter */
} pause_t;

struct rv_acceptors_s {
    rv_loop_t *loop;
    rv_stats_t *stats;
    rv_acceptor_owner_t owner;
    acceptor_t *first;
    pause_t pause[2]; /* by reason */
    struct event *retry;
    rv_loop_watch_t *round; /* NULL: nobody is woken alone */
    int alone;              /* no other process has the sockets */
    int set;                /* rv_exclusive's */
    int last_fd;            /* with a client above this one accepting pauses */
    int accepts;            /* index of the counter */
    unsigned listener;      /* number of the next one */
};

enum {
    RETRY_MSEC = 500,
    ROUND_MSEC = 1000,
    CALM_MSEC = 10 * 1000, /* without a pause: the next one is news */
    TURN_USEC = 100
};

/* --- watching ---------------------------------------------------------------------- */

static int
is_paused(const rv_acceptors_t *as)
{
    return as->pause[RV_ACCEPTOR_LIMIT].on || as->pause[RV_ACCEPTOR_DESCRIPTORS].on;
}

static void
on_round(int fd, short what, void *data)
{
    rv_acceptors_t *as = data;

    (void) fd;
    (void) what;
    for (acceptor_t *a = as->first; a != NULL && !is_paused(as); a = a->next)
        (void) rv_exclusive_queue(as->loop, &as->set, a->fd);
}

/* To be woken alone is not safe without the rounds. */
static int
watch(acceptor_t *a)
{
    rv_acceptors_t *as = a->all;

    if (event_add(a->event, NULL) == -1)
        return RV_ERROR;
    if (rv_exclusive_queue(as->loop, &as->set, a->fd) != RV_OK || as->round != NULL)
        return RV_OK;

    as->round = rv_loop_every(as->loop, ROUND_MSEC, on_round, as);
    return as->round != NULL ? RV_OK : RV_ERROR;
}

static void
watch_all(rv_acceptors_t *as)
{
    for (acceptor_t *a = as->first; a != NULL && !is_paused(as); a = a->next) {
        if (watch(a) != RV_OK && rv_acceptors_pause(as, RV_ACCEPTOR_DESCRIPTORS))
            rv_log(RV_LOG_WARN, errno, "watching for clients failed, accepting pauses");
    }
}

/* --- pauses ------------------------------------------------------------------------ */

int
rv_acceptors_pause(rv_acceptors_t *as, rv_acceptor_reason_t reason)
{
    const struct timeval retry = { 0, RETRY_MSEC * 1000 };
    pause_t *pause = &as->pause[reason];
    const rv_stats_change_t one = { (unsigned) pause->count, 1 };

    if (pause->on)
        return 0;

    pause->on = 1;
    rv_stats_apply(as->stats, &one, 1);
    for (acceptor_t *a = as->first; a != NULL; a = a->next)
        event_del(a->event);
    if (reason == RV_ACCEPTOR_DESCRIPTORS)
        event_add(as->retry, &retry);
    return rv_loop_now() - pause->ended >= CALM_MSEC;
}

static void
end_pause(rv_acceptors_t *as, rv_acceptor_reason_t reason)
{
    pause_t *pause = &as->pause[reason];

    if (!pause->on)
        return;
    pause->on = 0;
    pause->ended = rv_loop_now();
    if (!is_paused(as))
        watch_all(as);
}

/* Whether the next descriptor would still be a client's. */
static int
has_descriptor(const rv_acceptors_t *as)
{
    int fd = rv_fd_dup(STDIN_FILENO);
    int has = fd != -1 && fd <= as->last_fd + 1; /* that one, and then a pause */

    rv_fd_close(&fd);
    return has;
}

static void
look_for_descriptors(rv_acceptors_t *as)
{
    const struct timeval retry = { 0, RETRY_MSEC * 1000 };

    if (!as->pause[RV_ACCEPTOR_DESCRIPTORS].on)
        return;

    if (!has_descriptor(as)) {
        event_add(as->retry, &retry);
        return;
    }
    event_del(as->retry);
    end_pause(as, RV_ACCEPTOR_DESCRIPTORS);
}

static void
on_retry(int fd, short what, void *data)
{
    (void) fd;
    (void) what;
    look_for_descriptors(data);
}

void
rv_acceptors_resume(rv_acceptors_t *as)
{
    look_for_descriptors(as);
    end_pause(as, RV_ACCEPTOR_LIMIT);
}

/* err is 0 where there is room, but not for clients. */
static void
pause_for_room(rv_acceptors_t *as, int err, const char *what)
{
    if (rv_acceptors_pause(as, RV_ACCEPTOR_DESCRIPTORS))
        rv_log(RV_LOG_WARN, err, "%s, accepting pauses", what);
}

void
rv_acceptors_see(rv_acceptors_t *as, int fd)
{
    if (fd > as->last_fd)
        pause_for_room(as, 0, "descriptors run short");
}

/* --- accepting --------------------------------------------------------------------- */

/* accept() failed: a client that is gone already, or the system has no room. */
static int
accept_failed(rv_acceptors_t *as, int err)
{
    static const int passing[] = { EAGAIN, EWOULDBLOCK, EINTR, ECONNABORTED, EPROTO };

    for (size_t i = 0; i < rv_countof(passing); i++) {
        if (err == passing[i])
            return RV_AGAIN;
    }
    pause_for_room(as, err, "accept() failed");
    return RV_ERROR;
}

/* RV_OK: a client was accepted. RV_AGAIN: none waits. RV_ERROR: there is no room. RV_DONE: the
 * socket listens no more. */
static int
accept_one(acceptor_t *a)
{
    rv_acceptors_t *as = a->all;
    rv_acceptor_client_t client = {
        .service = a->service, .conf = a->conf, .listener = a->listener
    };

    if (as->owner.prepare(as->owner.data) != RV_OK) {
        pause_for_room(as, errno, "no memory for a client");
        return RV_ERROR;
    }

    /* the kernel writes the length where it is seen if we are killed before we have counted */
    socklen_t *length = rv_stats_witness(as->stats, (unsigned) as->accepts, sizeof(client.peer));
    client.fd = rv_fd_accept(a->fd, &client.peer.sa, length);
    if (client.fd == -1 && errno == EINVAL) /* the master has shut it down */
        return RV_DONE;
    if (client.fd == -1)
        return accept_failed(as, errno);

    client.length = *length;
    rv_acceptors_see(as, client.fd);
    as->owner.take(as->owner.data, &client);
    return RV_OK;
}

static void
free_acceptor(acceptor_t *a)
{
    event_free(a->event);
    rv_fd_close(&a->fd);
    free(a);
}

static void
close_one(acceptor_t *a)
{
    acceptor_t **link = &a->all->first;

    while (*link != a)
        link = &(*link)->next;
    *link = a->next;
    free_acceptor(a);
}

static void
end_turn(acceptor_t *a)
{
    int64_t now = rv_loop_now_usec();

    if (a->all->alone || a->all->round == NULL || is_paused(a->all) || now - a->queued < TURN_USEC)
        return;
    a->queued = now;
    (void) rv_exclusive_queue(a->all->loop, &a->all->set, a->fd);
}

static void
on_acceptable(int fd, short what, void *data)
{
    acceptor_t *a = data;
    int result = accept_one(a);

    (void) fd;
    (void) what;
    if (result == RV_DONE)
        close_one(a);
    else if (result == RV_OK)
        end_turn(a);
    rv_activity_note(RV_ACTIVITY_IDLE, 0, 0);
}

void
rv_acceptors_alone(rv_acceptors_t *as, int alone)
{
    as->alone = alone;
}

void
rv_acceptors_listener(rv_acceptors_t *as, unsigned number)
{
    as->listener = number;
}

int
rv_acceptors_listen(rv_acceptors_t *as, int fd, const void *service, const void *conf)
{
    acceptor_t *a = calloc(1, sizeof(*a));

    if (a == NULL)
        goto failed;
    a->all = as;
    a->service = service;
    a->conf = conf;
    a->listener = as->listener;
    a->fd = fd;
    a->event = event_new(rv_loop_base(as->loop), fd, EV_READ | EV_PERSIST, on_acceptable, a);
    if (a->event == NULL)
        goto failed;

    a->next = as->first;
    as->first = a;
    return is_paused(as) ? RV_OK : watch(a);

failed:
    free(a);
    rv_fd_close(&fd);
    return RV_ERROR;
}

int
rv_acceptors_join(rv_acceptors_t *as, int fd, const void *service, const void *conf)
{
    struct stat st, own;

    for (const acceptor_t *a = as->first; a != NULL; a = a->next) {
        if (fstat(fd, &st) == 0 && fstat(a->fd, &own) == 0 && st.st_ino == own.st_ino) {
            rv_fd_close(&fd);
            return RV_OK;
        }
    }
    return rv_acceptors_listen(as, fd, service, conf);
}

static void
close_all(rv_acceptors_t *as)
{
    while (as->first != NULL) {
        acceptor_t *a = as->first;

        as->first = a->next;
        free_acceptor(a);
    }
    rv_loop_unwatch(as->round);
    as->round = NULL;
    event_del(as->retry);
    as->pause[RV_ACCEPTOR_LIMIT].on = as->pause[RV_ACCEPTOR_DESCRIPTORS].on = 0;
}

void
rv_acceptors_drain(rv_acceptors_t *as)
{
    /* whoever waits already may wait at a socket that nobody else holds */
    for (acceptor_t *a = as->first; a != NULL; a = a->next) {
        while (!is_paused(as) && accept_one(a) == RV_OK)
            continue;
    }
    close_all(as);
}

/* --- all of them ------------------------------------------------------------------- */

rv_acceptors_t *
rv_acceptors_create(rv_loop_t *loop, rv_stats_t *stats, const rv_acceptor_owner_t *owner)
{
    static const char module[] = "connections";
    static const char *const names[] = { [RV_ACCEPTOR_LIMIT] = "pauses{reason=\"limit\"}",
        [RV_ACCEPTOR_DESCRIPTORS] = "pauses{reason=\"descriptors\"}" };
    rv_acceptors_t *as = calloc(1, sizeof(*as));

    if (as == NULL)
        return NULL;

    as->loop = loop;
    as->stats = stats;
    as->owner = *owner;
    as->set = RV_EXCLUSIVE_UNKNOWN;
    as->last_fd = INT_MAX - 1;
    as->accepts = rv_stats_find(stats, module, "accepts");
    for (size_t i = 0; i < rv_countof(names); i++) {
        as->pause[i].ended = INT64_MIN / 2;
        as->pause[i].count = rv_stats_find(stats, module, names[i]);
    }
    as->retry = event_new(rv_loop_base(loop), -1, 0, on_retry, as);
    if (as->retry == NULL) {
        free(as);
        return NULL;
    }
    return as;
}

void
rv_acceptors_destroy(rv_acceptors_t *as)
{
    if (as == NULL)
        return;

    close_all(as);
    event_free(as->retry);
    free(as);
}

void
rv_acceptors_reserve(rv_acceptors_t *as, unsigned count)
{
    struct rlimit limit;

    if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur < INT_MAX)
        as->last_fd = (int) (limit.rlim_cur - rv_min(count, limit.rlim_cur / 2)) - 2;
}
