/*
 * rv_process: the table of processes, one row per slot, in every process.
 *
 * A slot is unique among all living workers, those of draining generations
 * included. In every process channel[0] of a row writes to that worker; the
 * worker itself has channel[1] in its own row, from which it reads what
 * anybody sends to it and through which it writes to the master.
 */
#ifndef RV_PROCESS_H
#define RV_PROCESS_H

#include "rv_base.h"
#include "rv_channel.h"

#include <sys/types.h>

#define RV_PROCESS_SLOTS 1024
#define RV_PROCESS_MASTER UINT32_MAX /* the master's slot in messages */

typedef enum {
    RV_PROCESS_FREE = 0,
    RV_PROCESS_STARTING, /* forked, not yet READY */
    RV_PROCESS_READY,
    RV_PROCESS_DRAINING /* told to QUIT or TERMINATE */
} rv_process_state_t;

/* Which process: slots and pids are used again, all four together are not. */
typedef struct {
    uint32_t slot;
    uint32_t worker;
    uint32_t generation;
    int32_t pid;
} rv_process_id_t;

typedef struct {
    rv_process_state_t state;
    unsigned slot;
    unsigned worker; /* 0..n-1 in its generation */
    unsigned generation;
    pid_t pid;
    rv_channel_t *channel[2];
    uint64_t
        received; /* messages of modules that came from there, in the own row from the master */

    /* the master's own notes */
    int64_t started; /* ms, monotonic */
    int64_t ready;   /* ms, monotonic: since when it is READY */
    int64_t left;    /* ms, monotonic: when it was told to go; 0: it was not */
    int64_t kill_at; /* ms, monotonic: it has until then to go; 0: it was not told to */
    unsigned row;    /* of the statistics */
    int start_sent;
    unsigned unknown_count;                  /* workers that have not taken its OPEN yet, */
    uint64_t unknown[RV_PROCESS_SLOTS / 64]; /* a bit each */
    uint32_t round;     /* of logs that were reopened, the last that it was told of */
    unsigned reopening; /* how many of these it has not taken yet */
    unsigned owed;      /* how many it may still say to have taken, of all rounds */
    int readable;       /* its channel has something to read */
    int unheard;        /* nothing more is read from it */
    int hangs;          /* the watchdog has found so */
} rv_process_t;

/* The row of a slot below RV_PROCESS_SLOTS. */
rv_process_t *rv_process_at(unsigned slot);

/* Every row that is not free: begin with NULL, NULL after the last. */
rv_process_t *rv_process_each(const rv_process_t *after);

/* The first that is not free from this slot on; NULL: none is. */
rv_process_t *rv_process_from(unsigned slot);

/* The row of a living process; NULL: there is none. */
rv_process_t *rv_process_find(pid_t pid);

/* The own row, NULL in the master. */
rv_process_t *rv_process_self(void);

/* The master's pid; in the master and in every worker. */
pid_t rv_process_master(void);
void rv_process_set_master(pid_t pid);

/* The slot that the next rv_process_spawn takes; RV_ERROR: none is free. */
int rv_process_next(void);

/*
 * Takes a free slot and forks a worker into it. All signals but SIGBUS are blocked in the
 * child, which has its row as rv_process_self, its channel[1], and
 * channel[0] of the workers before it; it calls run(data) and exits with what
 * that returns. In the parent *process is the row, in state STARTING.
 * RV_ERROR: errno (EAGAIN: no slot is free, or fork failed so); the slot is free again.
 */
int rv_process_spawn(
    unsigned generation, unsigned worker, int (*run)(void *), void *data, rv_process_t **process);

/* Closes what this process holds of the row's channel, and frees the row. */
void rv_process_release(rv_process_t *p);

/* Enters what another process said of the slot (OPEN): fd is its channel[0],
 * taken over. What stood there is released first. */
int rv_process_enter(unsigned slot, unsigned worker, unsigned generation, pid_t pid, int fd);

#endif
