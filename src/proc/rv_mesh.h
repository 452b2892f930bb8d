/*
 * rv_mesh: the channels of all processes as one mesh.
 *
 * The master introduces: it passes a new worker's descriptor to all that live
 * (OPEN), and only when the last of these has left sends START to the new
 * one, so that nobody gets a message from a process it does not know. On a
 * death it sends CLOSE. Workers answer READY, and otherwise obey.
 */
#ifndef RV_MESH_H
#define RV_MESH_H

#include "rv_base.h"
#include "rv_process.h"

typedef enum {
    RV_MESH_OPEN = 1,  /* + descriptor: this slot is that process */
    RV_MESH_CLOSE,     /* that process is gone */
    RV_MESH_START,     /* the mesh knows you: accept, and send if you like */
    RV_MESH_READY,     /* to the master: initialised */
    RV_MESH_QUIT,      /* drain and exit */
    RV_MESH_TERMINATE, /* exit */
    RV_MESH_REOPEN,    /* + descriptor: a log output */
    RV_MESH_REOPENED,  /* to the master: it is in use */
    RV_MESH_LISTEN,    /* + descriptor: a socket more of the listener of this index */
    RV_MESH_USER = 64  /* modules' types begin here */
} rv_mesh_type_t;

/* OPEN and CLOSE carry this. */
typedef struct {
    uint32_t slot;
    uint32_t worker;
    uint32_t generation;
    int32_t pid;
} rv_mesh_peer_t;

/* REOPEN and REOPENED carry this. */
typedef struct {
    uint32_t output; /* its index */
    uint32_t round;
} rv_mesh_log_t;

/* --- the master --- */

/* Tells every other living worker of p, or that p is gone. */
void rv_mesh_open(const rv_process_t *p);
void rv_mesh_close(const rv_process_t *p);

/* 1 when the kernel has taken the OPEN of p for every other worker that is not
 * draining. */
int rv_mesh_is_open(const rv_process_t *p);

/* Sends START, QUIT or TERMINATE. */
int rv_mesh_order(const rv_process_t *p, rv_mesh_type_t order);

/* Passes a log's new descriptor to every worker; those of a round follow one another. */
void rv_mesh_reopen(unsigned output, int fd, uint32_t round);

/* A REOPENED has come. RV_ERROR: it is malformed, or more often than the worker was told. */
int rv_mesh_take_reopened(rv_process_t *p, const rv_message_t *msg);

/* 1: every worker that was told of the round has taken all of it. */
int rv_mesh_has_reopened(uint32_t round);

/* Passes a listener's socket, which has this place among its sockets, to the workers of a
 * generation that do not drain. */
void rv_mesh_listen(unsigned generation, unsigned listener, unsigned place, int fd);

/* --- a worker --- */

/* Tells the master that this worker is initialised. */
int rv_mesh_ready(void);

/* What an OPEN or CLOSE says; RV_ERROR: it is malformed. */
int rv_mesh_peer(const rv_message_t *msg, rv_mesh_peer_t *peer);

/* Enters that into the table. An OPEN's descriptor is taken over. */
int rv_mesh_enter(rv_message_t *msg, const rv_mesh_peer_t *peer);

/* What a REOPEN is about; RV_ERROR: it is malformed. And the answer to it. */
int rv_mesh_log(const rv_message_t *msg, rv_mesh_log_t *log);
int rv_mesh_reopened(const rv_mesh_log_t *log);

/* The index of the listener that a LISTEN is about; RV_ERROR: it is malformed. */
int rv_mesh_index(const rv_message_t *msg, unsigned *index);

/*
 * Whether a message that this process received is from whom it says: by the
 * kernel's pid against the table, and control messages from the master alone.
 */
int rv_mesh_is_genuine(const rv_message_t *msg);

#endif
