/*
 * rv_signal: what a signal means, and that it came.
 *
 * A handler sets a bit and wakes the loop through a pipe; the loop takes the
 * bits and acts. A storm of one signal is one bit: none of another is lost. Where it matters how
 * often one came, that is counted beside the bit.
 */
#ifndef RV_SIGNAL_H
#define RV_SIGNAL_H

#include "rv_base.h"

#define RV_SIGNAL_QUIT 0x1u      /* drain and exit */
#define RV_SIGNAL_TERMINATE 0x2u /* exit */
#define RV_SIGNAL_RELOAD 0x4u
#define RV_SIGNAL_REOPEN 0x8u
#define RV_SIGNAL_CHILD 0x10u
#define RV_SIGNAL_UPGRADE 0x20u /* of the program */
#define RV_SIGNAL_DRAIN 0x40u   /* the workers go, the master stays */
#define RV_SIGNAL_TERM 0x80u    /* QUIT or TERMINATE, see rv_signal_resolve */
#define RV_SIGNAL_ADD 0x100u    /* one worker more */
#define RV_SIGNAL_REMOVE 0x200u /* one worker fewer */

typedef struct {
    int number;
    const char *name;    /* "SIGHUP" */
    const char *command; /* the word after -s; NULL: there is none */
    unsigned sets;       /* RV_SIGNAL_*; 0: ignored */
} rv_signal_t;

/* The table, row by row; NULL after the last. */
const rv_signal_t *rv_signal_at(size_t i);

/* The row of a -s word; NULL: no such word. */
const rv_signal_t *rv_signal_command(const char *word);

/*
 * Installs the handlers, with a new pipe (a forked process must not share its
 * parent's), and forgets what came before. Signals that were blocked stay so.
 */
int rv_signal_init(void);

/* Default handlers again, and closes the pipe. */
void rv_signal_reset(void);

/* Readable when there is something to take. */
int rv_signal_fd(void);

/* What came since the last call, RV_SIGNAL_* or'ed. */
unsigned rv_signal_take(void);

/* Those that have come and were not taken yet are as if they had not. */
void rv_signal_drop(unsigned bits);

/* The same with RV_SIGNAL_QUIT in the place of RV_SIGNAL_TERM where TERM is to be `graceful`,
 * otherwise RV_SIGNAL_TERMINATE. */
unsigned rv_signal_resolve(unsigned taken, int graceful);
/* How often a signal that sets this bit was handled since the last call for it. */
unsigned rv_signal_times(unsigned bit);

/* Lets all signals through again, after a fork that blocked them. */
void rv_signal_unblock(void);

#endif
