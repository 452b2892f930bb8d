/*
 * rv_announce: what a daemon tells those who started it.
 *
 * By rv_notify, and by a newline on the descriptor of -n.
 */
#ifndef RV_ANNOUNCE_H
#define RV_ANNOUNCE_H

#include "rv_cycle.h"

/*
 * At the start, before going to the background: whom to tell. ready_fd is the
 * descriptor of -n, which it takes over, or -1. RV_ERROR: it is none that was
 * passed to this process and can be written, errno says why.
 */
int rv_announce_init(int ready_fd);

/* The first generation is in force; `detached`: in a process that the manager does not know. */
void rv_announce_ready(const rv_cycle_t *cycle, int detached);

/* A reload begins, and ends: `current` is in force, `failure` is NULL or why it still is. */
void rv_announce_reloading(unsigned generation);
void rv_announce_reloaded(const rv_cycle_t *current, const char *failure);

/* What is in force has changed otherwise. */
void rv_announce_status(const rv_cycle_t *cycle);

void rv_announce_stopping(void);

/* This master ends, and the one with this pid goes on in its place. */
void rv_announce_heir(pid_t pid);

/* 1: another master speaks for both, this one is silent. 0: it speaks from now on. Returns
 * what it was before. */
int rv_announce_hold(int hold);

/* After each step of the loop, for the watchdog; and when the next one is due, ms. */
void rv_announce_beat(int64_t now);
int64_t rv_announce_due(void);

/* In a forked child: it has nothing to announce. */
void rv_announce_forked(void);

#endif
