/*
 * rv_control: what the master and its workers say to one another.
 *
 * The master introduces: it passes a new worker's descriptor to all that live
 * (OPEN). On a death it sends CLOSE. Both are sent by rv_peers, for many at a time. A worker
 * says READY when it is initialised, and may not send to others before START: then it is known to
 * them, or told to whom it is not yet, so that nobody gets a message from a process it does
 * not know.
 *
 * How it grows with n workers:
 *
 * - Descriptors: n in each process beside a constant, so n x n of them; that is what a mesh is. A
 *   process pays 8 bytes of the kernel's memory for each, and a third of a KiB of its own (Pss of
 *   a worker: 272 KiB with 64 workers, 306 with 256, 393 with 512). A socketpair takes 5 KiB of
 *   the kernel's memory, and there are n.
 * - Messages: few for each worker, not n for each. rv_peers tells a worker of all that has
 *   changed at once, up to 253 descriptors in a message: a start of 256 takes 257 OPENs (one
 *   for each descriptor would be 32,640). Of a new generation only that itself is told, as those
 *   before it mostly go at once: a reload of 256 takes 257 OPENs too (and not 98,176), and with
 *   CLOSE, START, and QUIT about 5 messages for each worker.
 * - What waits for a worker that does not read: one message, and 128 bytes.
 *
 * On two cores, in one run with nginx 1.22 (make bench), from exec until the mesh is complete,
 * for nginx until the workers run: 256 workers 0.23 s (nginx 0.45 s), 512 workers 1.0 s (2.6 s).
 * Reloads of 256: 0.3 s (2.3 s), of 512: 2.4 s (11 s).
 */
#ifndef RV_CONTROL_H
#define RV_CONTROL_H

#include "rv_base.h"
#include "rv_process.h"

typedef enum {
    RV_CONTROL_OPEN = 1,  /* rv_process_id_t, a descriptor for each: these slots are those */
    RV_CONTROL_CLOSE,     /* rv_process_id_t: nobody is in these slots */
    RV_CONTROL_START,     /* accept, and send to all but these slots (uint32_t each) */
    RV_CONTROL_KNOWN,     /* send to these slots (uint32_t each) too */
    RV_CONTROL_READY,     /* to the master: initialised */
    RV_CONTROL_QUIT,      /* drain and exit */
    RV_CONTROL_TERMINATE, /* exit */
    RV_CONTROL_REOPEN,    /* + descriptor: a log output */
    RV_CONTROL_REOPENED,  /* to the master: it is in use */
    RV_CONTROL_LISTEN,    /* + descriptor: a socket more of the listener of this index */
    RV_CONTROL_WORKERS,   /* uint32_t: how many your generation is to have */
    RV_CONTROL_USER = 64  /* modules' types begin here */
} rv_control_type_t;

/* REOPEN and REOPENED carry this. */
typedef struct {
    uint32_t output; /* its index */
    uint32_t round;
} rv_control_log_t;

/* --- the master --- */

/*
 * Sends START, which names the workers that have not taken the OPEN of p yet: what p sends these
 * is to wait, since they would not believe it. Returns how many there are.
 */
unsigned rv_control_start(rv_process_t *p);

/* Tells p of those that have taken it since; how many are left. */
unsigned rv_control_introduce(rv_process_t *p);

/* Sends QUIT or TERMINATE. */
int rv_control_order(const rv_process_t *p, rv_control_type_t order);

/* Tells the workers of a generation that do not drain how many there are to be. */
void rv_control_workers(unsigned generation, unsigned count);

/* Passes a log's new descriptor to every worker; those of a round follow one another. */
void rv_control_reopen(unsigned output, int fd, uint32_t round);

/* A REOPENED has come. RV_ERROR: it is malformed, or more often than the worker was told. */
int rv_control_take_reopened(rv_process_t *p, const rv_message_t *msg);

/* 1: every worker that was told of the round has taken all of it. */
int rv_control_has_reopened(uint32_t round);

/* Passes a listener's socket, which has this place among its sockets, to the workers of a
 * generation that do not drain. */
void rv_control_listen(unsigned generation, unsigned listener, unsigned place, int fd);

/* --- a worker --- */

/* Tells the master that this worker is initialised. */
int rv_control_ready(void);

/* The i-th slot that an OPEN or CLOSE is about. RV_DONE: there are no more; RV_ERROR: it is
 * malformed. */
int rv_control_peer(const rv_message_t *msg, unsigned i, rv_process_id_t *peer);

/* Enters that into the table. An OPEN's descriptor is taken over. */
int rv_control_enter(rv_message_t *msg, unsigned i, const rv_process_id_t *peer);

/* Lets through what waits for others: of a START for all but those that it names, of a KNOWN for
 * those. RV_ERROR: it is malformed. */
int rv_control_uncork(const rv_message_t *msg);

/* What a REOPEN is about; RV_ERROR: it is malformed. And the answer to it. */
int rv_control_log(const rv_message_t *msg, rv_control_log_t *log);
int rv_control_reopened(const rv_control_log_t *log);

/* The number that a WORKERS carries; RV_ERROR: it is malformed. */
int rv_control_count(const rv_message_t *msg, unsigned *count);

/* The index of the listener that a LISTEN is about; RV_ERROR: it is malformed. */
int rv_control_index(const rv_message_t *msg, unsigned *index);

/*
 * Whether a message that this process received is from whom it says: by the
 * kernel's pid against the table, and control messages from the master alone.
 */
int rv_control_is_genuine(const rv_message_t *msg);

#endif
