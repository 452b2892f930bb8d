/*
 * rv_activity: what each worker is doing, for whoever finds it dead or hanging.
 *
 * A worker notes it in memory that it shares with the master alone: a store each time.
 * The master looks when there is a reason to.
 */
#ifndef RV_ACTIVITY_H
#define RV_ACTIVITY_H

#include "rv_base.h"

typedef enum {
    RV_ACTIVITY_STARTING = 0, /* what a cleared slot says */
    RV_ACTIVITY_IDLE,         /* waiting for something to happen, or between two things */
    RV_ACTIVITY_SERVING,      /* a service was called for a connection */
    RV_ACTIVITY_ANSWERING,    /* and has called a handler */
    RV_ACTIVITY_DRAINING,     /* modules are told to finish */
    RV_ACTIVITY_EXITING
} rv_activity_kind_t;

typedef struct {
    rv_activity_kind_t kind;
    unsigned listener; /* of its generation, from 1; 0: none that is known */
    unsigned handler;  /* as rv_activity_define gave it; 0: none */
} rv_activity_t;

/* In the master, before the first fork: room for so many slots. RV_ERROR and errno. */
int rv_activity_init(unsigned slots);
void rv_activity_free(void);

/*
 * Makes a handler's name, which must live as long as the program, known to this process and those
 * that it forks; the same name has the same number. 0: there is no room.
 */
unsigned rv_activity_define(const char *name);

/* NULL: there is no such number. */
const char *rv_activity_name(unsigned number);

/* --- a worker -------------------------------------------------------------------- */

/* From now on what this process does is noted in this slot; without a slot, nowhere. */
void rv_activity_own(unsigned slot);

void rv_activity_note(rv_activity_kind_t kind, unsigned listener, unsigned handler);

/* Once in each step of the loop: it goes on, and is idle. */
void rv_activity_beat(void);

/* --- the master ------------------------------------------------------------------- */

/* For the next one in this slot. */
void rv_activity_clear(unsigned slot);

/* The worker's word: the numbers may be any. */
rv_activity_t rv_activity_of(unsigned slot);

/* A number that changes with each beat. */
uint64_t rv_activity_beats(unsigned slot);

#endif
