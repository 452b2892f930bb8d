/*
 * rv_control: what the master and its workers say to one another.
 *
 * The master introduces: it passes a new worker's descriptor to all that live
 * (OPEN), and only when the last of these has left sends START to the new
 * one, so that nobody gets a message from a process it does not know. On a
 * death it sends CLOSE. Workers answer READY, and otherwise obey.
 */
#ifndef RV_CONTROL_H
#define RV_CONTROL_H

#include "rv_base.h"
#include "rv_process.h"

typedef enum {
    RV_CONTROL_OPEN = 1,  /* rv_process_id_t + descriptor: this slot is that process */
    RV_CONTROL_CLOSE,     /* rv_process_id_t: that process is gone */
    RV_CONTROL_START,     /* the mesh knows you: accept, and send if you like */
    RV_CONTROL_READY,     /* to the master: initialised */
    RV_CONTROL_QUIT,      /* drain and exit */
    RV_CONTROL_TERMINATE, /* exit */
    RV_CONTROL_REOPEN,    /* + descriptor: a log output */
    RV_CONTROL_REOPENED,  /* to the master: it is in use */
    RV_CONTROL_LISTEN,    /* + descriptor: a socket more of the listener of this index */
    RV_CONTROL_USER = 64  /* modules' types begin here */
} rv_control_type_t;

/* REOPEN and REOPENED carry this. */
typedef struct {
    uint32_t output; /* its index */
    uint32_t round;
} rv_control_log_t;

/* --- the master --- */

/* Tells every other living worker of p, or that p is gone. */
void rv_control_open(const rv_process_t *p);
void rv_control_close(const rv_process_t *p);

/* 1 when the kernel has taken the OPEN of p for every other worker that is not
 * draining. */
int rv_control_is_open(const rv_process_t *p);

/* Sends START, QUIT or TERMINATE. */
int rv_control_order(const rv_process_t *p, rv_control_type_t order);

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

/* What an OPEN or CLOSE says; RV_ERROR: it is malformed. */
int rv_control_peer(const rv_message_t *msg, rv_process_id_t *peer);

/* Enters that into the table. An OPEN's descriptor is taken over. */
int rv_control_enter(rv_message_t *msg, const rv_process_id_t *peer);

/* What a REOPEN is about; RV_ERROR: it is malformed. And the answer to it. */
int rv_control_log(const rv_message_t *msg, rv_control_log_t *log);
int rv_control_reopened(const rv_control_log_t *log);

/* The index of the listener that a LISTEN is about; RV_ERROR: it is malformed. */
int rv_control_index(const rv_message_t *msg, unsigned *index);

/*
 * Whether a message that this process received is from whom it says: by the
 * kernel's pid against the table, and control messages from the master alone.
 */
int rv_control_is_genuine(const rv_message_t *msg);

#endif
