/*
 * rv_succession: from one master to the next.
 *
 * A master may have one before it, which has started it and still serves, and one
 * after it, which it has started itself. Names in the system (the pid file
 * apart, of which each has one) are the older one's as long as it lives.
 */
#ifndef RV_SUCCESSION_H
#define RV_SUCCESSION_H

#include "rv_heritage.h"
#include "rv_reload.h"
#include "rv_upgrade.h"

typedef struct {
    const rv_upgrade_command_t *command;
    rv_heritage_t before; /* the master before; .master 0: there is none, or no more */
    rv_upgrade_t after;   /* the one that is to follow */
    rv_reload_t *reload;
    rv_loop_t *loop;

    rv_loop_watch_t *watch; /* of the end of the master before */
    int ended;              /* it has come */
    int follows;            /* there was one */
    int speaks;             /* it has left it to this one to speak to the service manager */
    int sweeping; /* what processes of another master have left in the counters is not all taken over */
    int aside;     /* this one quits because the one after it serves */
    int stopping;  /* this one is told to end */
    int keeping;   /* somebody waits for this very process (rv_keeper.h) */
    int keeper[2]; /* [0]: pids of the masters that follow, [1]: where they write them */
} rv_succession_t;

/* RV_ERROR: errno. */
int rv_succession_init(rv_succession_t *s);

/* The first generation is in force: whoever waits for that is told. */
void rv_succession_started(rv_succession_t *s);

/* Starts a new master; there is no pending generation. What fails at once is reported. */
void rv_succession_begin(rv_succession_t *s);

/*
 * What has become of the others. RV_AGAIN: nothing new. RV_OK: the new master is ready.
 * RV_ERROR: it is gone, that was reported, and this one has what is its own again. RV_DONE: the
 * same while this one stands aside, and it was told to end: so is this one.
 */
int rv_succession_settle(rv_succession_t *s);

/* Each second: takes over what the dead of another master have counted. */
void rv_succession_tick(rv_succession_t *s);

/* 1: a new master is being started. */
int rv_succession_is_starting(const rv_succession_t *s);

/* 1: no other master has the same sockets. */
int rv_succession_is_alone(const rv_succession_t *s);

/* The pid of the one that follows and is ready; 0: there is none. */
pid_t rv_succession_heir(const rv_succession_t *s);

/* It is for the heir from now on to speak to the service manager. */
void rv_succession_leave_word(const rv_succession_t *s);

/* This master is told to end: names in the system that another one has use for are left to that. */
void rv_succession_leave_names(rv_succession_t *s);

/* Of those who have asked for an upgrade while one was made: theirs is the same outcome. */
void rv_succession_repeat_outcome(rv_succession_t *s);

/*
 * Where somebody waits for this very process: TERM and INT are meant for the daemon, not just
 * for this master, and are passed on to the heir. QUIT may be a step of the upgrade, and is not.
 * `came` is what rv_signal_take said.
 */
void rv_succession_pass_on(const rv_succession_t *s, unsigned came);

/* In a forked child: gives up what is the master's. */
void rv_succession_forget(rv_succession_t *s);

/* The end: gives up all of it. If somebody waits for this process and there is an heir: keeps
 * that one first, and returns its exit status; otherwise `status`. */
int rv_succession_finish(rv_succession_t *s, int status);

#endif
