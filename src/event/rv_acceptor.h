/*
 * rv_acceptor: listening sockets, and clients that are accepted there while there is room.
 *
 * rv_connection is what it accepts for.
 */
#ifndef RV_ACCEPTOR_H
#define RV_ACCEPTOR_H

#include "rv_addr.h"
#include "rv_base.h"
#include "rv_loop.h"
#include "rv_stats.h"

typedef struct rv_acceptors_s rv_acceptors_t;

/* Why accepting pauses. */
typedef enum {
    RV_ACCEPTOR_LIMIT = 0,  /* the owner has as many clients as it wants */
    RV_ACCEPTOR_DESCRIPTORS /* descriptors or memory are short */
} rv_acceptor_reason_t;

typedef struct {
    int fd;
    rv_sockaddr_t peer;
    socklen_t length;    /* of peer */
    const void *service; /* as given for the socket, and so is conf */
    const void *conf;
    unsigned listener; /* as rv_acceptors_listener said before that */
} rv_acceptor_client_t;

typedef struct {
    /* Before a client is accepted: RV_OK where `take` will have room for it, RV_ERROR and
     * errno otherwise. */
    int (*prepare)(void *data);
    /* A client was accepted: counts it, client->fd is taken over. */
    void (*take)(void *data, const rv_acceptor_client_t *client);
    void *data;
} rv_acceptor_owner_t;

/* Counts go to stats, into rv_connection_stats. NULL where memory is short. */
rv_acceptors_t *rv_acceptors_create(
    rv_loop_t *loop, rv_stats_t *stats, const rv_acceptor_owner_t *owner);

/* NULL is allowed. */
void rv_acceptors_destroy(rv_acceptors_t *as);

/* Leaves so many descriptors (half of all, at most) to others than clients. */
void rv_acceptors_reserve(rv_acceptors_t *as, unsigned count);

/* 1: there is nobody to take turns with, which is cheaper. */
void rv_acceptors_alone(rv_acceptors_t *as, int alone);

/* What is listened at from now on is this listener. */
void rv_acceptors_listener(rv_acceptors_t *as, unsigned number);

/* Accepts at fd, which is taken over, from now on until the socket is shut down. */
int rv_acceptors_listen(rv_acceptors_t *as, int fd, const void *service, const void *conf);

/* The same, where it may be that it accepts at that socket already. */
int rv_acceptors_join(rv_acceptors_t *as, int fd, const void *service, const void *conf);

/* Takes on who waits, as far as there is room, and closes all sockets. */
void rv_acceptors_drain(rv_acceptors_t *as);

/*
 * Accepts nobody until rv_acceptors_resume, or, for want of descriptors, until there
 * are some. 1: there was no such pause for a while, which is worth a line in the log.
 */
int rv_acceptors_pause(rv_acceptors_t *as, rv_acceptor_reason_t reason);

/* A client's descriptor that was not accepted here: descriptors may run short by it. */
void rv_acceptors_see(rv_acceptors_t *as, int fd);

/* The limit is not reached, and perhaps a descriptor was given back. */
void rv_acceptors_resume(rv_acceptors_t *as);

#endif
