/*
 * load: clients that never pause, each a process of its own.
 *
 * They know what a client may know: a server that says "Connection: close"
 * answers no more, and a connection may be closed only after that was said.
 * All else is a failure and noted with what is needed to understand it.
 * Each client has an address of its own, 127.0.1.N, so that a connection of it can be
 * told from all others by its port.
 */
#ifndef LOAD_H
#define LOAD_H

#include "daemon.h"

#include <stdatomic.h>

#define LOAD_CLIENTS 32
#define LOAD_FAILURES 64 /* noted of each client */

typedef enum {
    LOAD_KEPT,      /* one request after the other on a connection */
    LOAD_FRESH,     /* a connection for each request */
    LOAD_PIPELINED, /* eight requests at once, over and over */
    LOAD_STATUS     /* asks for the status, and holds it against what it must be */
} load_kind_t;

typedef struct {
    char text[240];
    int port;              /* of the client's end */
    double opened, failed; /* by load_now() */
} load_failure_t;

typedef struct {
    load_kind_t kind;
    pid_t pid;
    uint32_t address; /* host byte order */
    int ipv6;         /* over IPv6, then without an address of its own */

    /* written by the client alone */
    _Atomic uint64_t opened;     /* connections, as the kernel made them */
    _Atomic uint64_t unanswered; /* of them, those on which not a byte came back */
    _Atomic uint64_t sent;       /* requests, of which at least a part was sent */
    _Atomic uint64_t answered;
    _Atomic uint64_t failures;
    _Atomic uint64_t wrong; /* of them, answers that should never be */
    load_failure_t failure[LOAD_FAILURES];
} load_client_t;

typedef struct {
    int port;
    int count;
    int ipv6; /* what clients that are added from now on use */
    _Atomic int stop;
    load_client_t client[LOAD_CLIENTS];
} load_t;

/* The locations that the clients expect. */
extern const char LOAD_PAGES[];

/* In memory that clients will share. */
load_t *load_create(daemon_t *d);

/* Starts so many more clients of this kind. */
void load_add(load_t *load, load_kind_t kind, int count);

/* Each finishes what it has begun and closes; waits for their end. */
void load_stop(daemon_t *d, load_t *load);

/* Waits until every client has had so many answers more than it has now. */
void load_wait_answers(daemon_t *d, load_t *load, unsigned more);

typedef struct {
    uint64_t opened, unanswered, sent, answered, failures, wrong;
} load_sum_t;

load_sum_t load_sum(const load_t *load);

/* Prints every failure that is noted. */
void load_print(const load_t *load);

/* Seconds of the monotonic clock. */
double load_now(void);

#endif
