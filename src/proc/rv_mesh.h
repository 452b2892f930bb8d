/*
 * rv_mesh: messages between processes, for modules.
 *
 * A module names its types of messages in a table (rv_module_t.messages); each process of
 * the daemon then knows them by the same number. Messages of one sender to one receiver
 * arrive in the order in which they were sent, each once, and also if the sender has died
 * since: what the kernel has taken is as good as there. What it does not take at once waits
 * in the sender, at most channel_queue bytes for each receiver. Nothing here blocks, and nothing
 * is dropped but by a type's own policy, and counted.
 *
 * A worker may send from its init_worker hook on; until it is started, messages to other workers
 * wait. Callbacks are called between two steps of the loop and may send, call and reply.
 */
#ifndef RV_MESH_H
#define RV_MESH_H

#include "rv_base.h"
#include "rv_channel.h"
#include "rv_process.h"

typedef struct {
    rv_process_id_t from; /* as the kernel says; slot RV_PROCESS_MASTER: the master */
    int type;
    const void *data; /* as long as the callback runs */
    size_t length;    /* bytes */
    int fd;           /* the callback's to close; -1: none came */
    uint32_t call;    /* 0: nobody waits for an answer */
    uint64_t sent;    /* us, monotonic */
} rv_mesh_message_t;

#define RV_MESH_ANY_GENERATION 1 /* also from and to workers of other generations */
#define RV_MESH_NO_DESCRIPTOR 2  /* one that comes all the same is closed before the callback */

typedef struct {
    const char *name;
    rv_channel_policy_t policy; /* of what has to wait */
    unsigned flags;

    /* A message has come to a worker; or to the master, which has rights that a worker has
     * not. NULL: it is refused there. */
    void (*receive)(const rv_mesh_message_t *msg);
    void (*receive_master)(const rv_mesh_message_t *msg);

    /* After RV_AGAIN because of a full queue: at least half of that receiver's is free again. May
     * be NULL. */
    void (*room)(const rv_process_id_t *to);
} rv_mesh_type_t;

/* --- before the first fork ------------------------------------------------------------ */

/* Gives the types of a module, up to one without a name, their numbers; they must live as long as
 * the process. RV_ERROR: EEXIST, the module has such a name already; ENOSPC, too many types. */
int rv_mesh_register(const char *module, const rv_mesh_type_t *types);

/* The number of a type; RV_ERROR: there is none. */
int rv_mesh_find(const char *module, const char *name);

/* --- receivers --------------------------------------------------------------------------- */

/* The master; in a worker. */
rv_process_id_t rv_mesh_master(void);

/* This process itself. */
rv_process_id_t rv_mesh_self(void);

/* The worker that has this number in this generation (in the master: the youngest that it has one
 * of). RV_ERROR: there is none, or it is this one; *id is as it was. */
int rv_mesh_worker(unsigned number, rv_process_id_t *id);

/*
 * Every other worker that broadcasts reach, in the order of slots: begin with *slot 0, go on
 * while RV_OK. RV_DONE: no more.
 */
int rv_mesh_next(unsigned *slot, rv_process_id_t *id);

/* What this process has had to do with another one. */
typedef struct {
    uint64_t sent;     /* messages, those of the master and its workers about each other too */
    uint64_t received; /* messages of modules */
    uint64_t full;     /* sends answered with RV_AGAIN */
    uint64_t dropped;
    size_t queued; /* bytes that wait */
    size_t most;   /* the most that have */
} rv_mesh_counts_t;

/* Zeros for one that is not there. */
rv_mesh_counts_t rv_mesh_counts(const rv_process_id_t *id);

/* --- sending ------------------------------------------------------------------------------ */

/*
 * Sends to that very process: not to another that has its slot by now. Of fd (-1: none) a
 * duplicate is sent. More than RV_CHANNEL_DATA bytes go as a file in memory, behind a descriptor.
 * RV_OK: the kernel has it, or it waits. RV_AGAIN: its queue is full (or, with the policy NOW,
 * the kernel does not take it): nothing was sent. RV_ERROR: there is no such process (ESRCH,
 * EPIPE, ECONNRESET), it is of another generation and the type is not for that, or nobody
 * receives the type there (EPERM), or memory or descriptors are short, or it is more than 256 MiB
 * (EMSGSIZE).
 */
int rv_mesh_send(const rv_process_id_t *to, int type, const void *data, size_t length, int fd);

/* The same of something: with the policy COALESCE what waits about the same is replaced, unless
 * it is a call or an answer. rv_mesh_send is about 0. */
int rv_mesh_send_about(
    const rv_process_id_t *to, int type, uint64_t about, const void *data, size_t length, int fd);

/*
 * Sends to every other worker of this generation, also to one that is just being started, or
 * taken away (in the master: to all workers that serve). Returns how many it was not sent to;
 * `told`, if not NULL, is called for each receiver with the result as of rv_mesh_send.
 */
unsigned rv_mesh_broadcast(int type, uint64_t about, const void *data, size_t length,
    void (*told)(const rv_process_id_t *to, int result, void *arg), void *arg);

/* What came of a call: RV_OK, the answer; RV_AGAIN, it did not come in time; RV_ERROR, the other
 * process has died. Without an answer the message is empty, and `from` who was called. */
typedef void (*rv_mesh_answered_t)(int result, const rv_mesh_message_t *answer, void *arg);

/*
 * Sends, as rv_mesh_send, and calls `answered` exactly once: with what the receiver replied,
 * after `msec` milliseconds without that, or when the receiver has died. Where the
 * result is not RV_OK it is not called.
 */
int rv_mesh_call(const rv_process_id_t *to, int type, const void *data, size_t length,
    uint64_t msec, rv_mesh_answered_t answered, void *arg);

/* Answers a message that was a call, now or later (a copy of *call will do, its data is not
 * looked at). Results as of rv_mesh_send; EINVAL: it was none. */
int rv_mesh_reply(const rv_mesh_message_t *call, const void *data, size_t length, int fd);

/* --- for the loops of master and worker ------------------------------------------------ */

/* A received message whose type is RV_CONTROL_USER or above and whose sender is genuine. Its
 * descriptors are taken. RV_ERROR: nobody wants it; to be counted as refused. */
int rv_mesh_receive(rv_message_t *msg);

/* A process is gone: whoever called it is told. */
void rv_mesh_gone(const rv_process_id_t *id);

/* In a worker: the master is. */
void rv_mesh_lost_master(void);

/* When a call is to be given up, ms as of `now`; INT64_MAX: none is. */
int64_t rv_mesh_due(void);

/* Gives up the calls that are due, and tells who waits for room. */
void rv_mesh_settle(int64_t now);

/* 1: something waits to be sent to somebody. */
int rv_mesh_is_waiting(void);

/* Forgets all calls without a word: after a fork, and at the end. */
void rv_mesh_forget(void);

#endif
