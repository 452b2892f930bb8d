/*
 * rv_connection: clients, from accept to close.
 *
 * A service is what speaks to them. This unit accepts, keeps to the limit of
 * worker_connections, counts, and watches one descriptor for one thing at a
 * time with one timer; the service reads, writes and decides. A connection is
 * always in one of three states, and counted as such.
 */
#ifndef RV_CONNECTION_H
#define RV_CONNECTION_H

#include "rv_acceptor.h"
#include "rv_addr.h"
#include "rv_base.h"
#include "rv_loop.h"
#include "rv_stats.h"

#include <event2/event_struct.h>
#include <sys/time.h>

typedef enum {
    RV_CONNECTION_WAITING = 0, /* idle: nothing of a request is there */
    RV_CONNECTION_READING,
    RV_CONNECTION_WRITING
} rv_connection_state_t;

typedef struct rv_connection_s rv_connection_t;
typedef struct rv_connections_s rv_connections_t;

/* What a service has read of a client and not answered yet. */
typedef struct {
    const void *bytes;
    size_t length;
    const void *state; /* what the service knows of them, with no pointers in it */
    size_t state_length;
    int64_t began; /* us, rv_loop_now_usec: when the first of them came */
} rv_connection_read_t;

/* Each but pack may be called with the connection closed inside it. */
typedef struct {
    const char *name;
    /* A client has connected: watch it, or close it. */
    void (*open)(rv_connection_t *c);
    /* What was watched for has happened: RV_LOOP_READ, RV_LOOP_WRITE,
     * EV_TIMEOUT, or several of them. */
    void (*ready)(rv_connection_t *c, short what);
    /* The worker drains: finish soon. */
    void (*drain)(rv_connection_t *c);
    /* Give back c->data; the descriptor is closed after this. */
    void (*close)(rv_connection_t *c);

    /*
     * Both or neither; without them a connection stays in the worker that has opened it.
     * pack: may it go to another worker just now? RV_OK, and *read (zeroed before) is what
     * goes with it, as it is until close is called. RV_ERROR: not while it is as it is.
     * unpack: in place of open, in the other worker: go on where it stood. c->requests and
     * c->opened are as they were, and it is counted in the state that it had.
     */
    int (*pack)(const rv_connection_t *c, rv_connection_read_t *read);
    void (*unpack)(rv_connection_t *c, const rv_connection_read_t *read);
} rv_service_t;

struct rv_connection_s {
    struct event event;
    rv_connections_t *all;
    const rv_service_t *service; /* may be replaced by it: data is then the new one's */
    const void *conf;            /* the service's, of this listener */
    void *data;                  /* the service's */
    rv_connection_t *next;       /* of all that are open, or of the free ones */
    rv_connection_t **link;
    int fd;
    uint32_t requests; /* the service's count */
    int64_t opened;    /* ms, rv_loop_now */
    uint16_t listener; /* as rv_connections_listener said */
    uint8_t state;
    uint8_t watching; /* RV_LOOP_READ, RV_LOOP_WRITE, 0: nothing */
    uint8_t peer_length;
    uint8_t fresh; /* the service has not heard of it yet */
    union {
        struct sockaddr sa;
        struct sockaddr_in in;
        struct sockaddr_in6 in6;
    } peer; /* of a unix socket nothing but the family */
};

/*
 * The definitions of the counters, for rv_stats_define(…, "connections", …). One that is
 * passed to another worker is counted as accepted and handled where it was accepted, at
 * once: so accepts >= handled in each row. Its state is counted where it is, and on its way
 * between two workers nowhere.
 */
extern const rv_stats_def_t rv_connection_stats[];

/* At most `limit` connections; counts go to stats. NULL where memory is short. */
rv_connections_t *rv_connections_create(rv_loop_t *loop, rv_stats_t *stats, unsigned limit);

/* Leaves so many descriptors (half of all, at most) to others than clients:
 * what the master passes must find room. */
void rv_connections_reserve(rv_connections_t *all, unsigned count);

/* 1: no other process accepts where we do. Where that is wrong clients are just not spread. */
void rv_connections_alone(rv_connections_t *all, int alone);

/* From now on who is accepted is shown to `fresh` before the service hears of it, until the
 * worker drains. RV_OK: it has been passed to another worker. */
void rv_connections_on_fresh(
    rv_connections_t *all, int (*fresh)(rv_connection_t *c, void *data), void *data);

/* Closes all that is left, without a word to the clients. */
void rv_connections_destroy(rv_connections_t *all);

/* What is listened at from now on is this listener, counted from 1: for rv_activity. */
void rv_connections_listener(rv_connections_t *all, unsigned number);

/* Accepts at fd, which is taken over, from now on until the socket is shut down. */
int rv_connections_listen(
    rv_connections_t *all, int fd, const rv_service_t *service, const void *conf);

/* The same, where it may be that it accepts at that socket already. */
int rv_connections_join(
    rv_connections_t *all, int fd, const rv_service_t *service, const void *conf);

/* 1: there are as many as may be, and accepting pauses. Begins again all the same: for one who has
 * somebody to pass clients to. */
int rv_connections_are_full(const rv_connections_t *all);
void rv_connections_accept_again(rv_connections_t *all);

/* Takes on who waits, closes the listening descriptors, tells every service. */
void rv_connections_drain(rv_connections_t *all);

/* Closes all that is left because it took too long to drain, counted as such; how many. */
unsigned rv_connections_abort(rv_connections_t *all);

int rv_connections_draining(const rv_connections_t *all);
unsigned rv_connections_count(const rv_connections_t *all);

/* Every one that is open: begin with NULL, NULL after the last. */
rv_connection_t *rv_connections_each(const rv_connections_t *all, const rv_connection_t *after);

rv_loop_t *rv_connections_loop(const rv_connections_t *all);
rv_stats_t *rv_connections_stats(const rv_connections_t *all);

/*
 * A timeout of so many milliseconds, to be given to rv_connection_watch: all
 * connections that wait for it stand in one queue, so that arming costs the same however many
 * they are.
 */
const struct timeval *rv_connections_timeout(rv_connections_t *all, uint64_t msec);

/* --- one connection ------------------------------------------------------------ */

/*
 * Watches for what (RV_LOOP_READ, RV_LOOP_WRITE, or both; 0: nothing, without a
 * timeout) with a timeout that begins anew each time that service->ready is
 * called. NULL: none.
 */
int rv_connection_watch(rv_connection_t *c, short what, const struct timeval *timeout);

/*
 * For whoever has something to do with a connection outside of service->ready:
 * has that called, once, before the loop waits again, with RV_LOOP_WRITE as if there were
 * room in the socket. Costs no system call. After the first rv_connection_watch; one that
 * changes what is watched, or a close, takes it back.
 */
void rv_connection_wake(rv_connection_t *c);

/* Enters a state, and in the same transaction makes `count` other changes, at
 * most RV_STATS_CHANGES - 2. */
void rv_connection_set_state(rv_connection_t *c, rv_connection_state_t state,
    const rv_stats_change_t *changes, unsigned count);

/* The client's address. */
void rv_connection_peer(const rv_connection_t *c, rv_addr_t *addr);

void rv_connection_close(rv_connection_t *c);

/* --- for rv_connection_pass ------------------------------------------------------ */

/* A client that another worker has accepted, in this state; the service is not called.
 * client->fd is taken over. There may be more than the limit then, and nobody is accepted
 * until there are fewer. NULL: no memory, and fd is the caller's. */
rv_connection_t *rv_connections_take(
    rv_connections_t *all, const rv_acceptor_client_t *client, rv_connection_state_t state);

/* Counts it in its state once more (1) or once less (-1). */
void rv_connection_count(const rv_connection_t *c, int by);

/* Another worker has it, and it is not counted here any more: as rv_connection_close, but
 * for that. */
void rv_connection_passed(rv_connection_t *c);

#endif
