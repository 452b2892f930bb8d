/*
 * rv_loop: libevent, as little of it as the daemon needs.
 *
 * Watches of descriptors that never move, watches of channels, and one step of
 * the loop at a time: what happened is acted on between the steps. Services
 * that want more of libevent take the base.
 */
#ifndef RV_LOOP_H
#define RV_LOOP_H

#include "rv_base.h"
#include "rv_channel.h"

#include <event2/event.h>

typedef struct rv_loop_s rv_loop_t;
typedef struct rv_loop_watch_s rv_loop_watch_t;

#define RV_LOOP_READ EV_READ
#define RV_LOOP_WRITE EV_WRITE

typedef void (*rv_loop_ready_t)(int fd, short what, void *data);

/* 1 when libevent has this method here: "epoll", "poll", "select", ... */
int rv_loop_has_method(const char *method);

/* The names of all it has, up to NULL; libevent's, until the next call of
 * anything here that takes a method. */
const char **rv_loop_methods(void);

/* libevent's own messages go to our log from now on. */
void rv_loop_log(void);

/* method NULL: the best there is. NULL and errno. */
rv_loop_t *rv_loop_create(const char *method);

/* After its watches are gone. */
void rv_loop_destroy(rv_loop_t *loop);

/* In a forked child, before anything else is done with the parent's loop: from
 * then on it can be taken apart without touching what the parent waits for. */
int rv_loop_reinit(rv_loop_t *loop);

struct event_base *rv_loop_base(rv_loop_t *loop);

/* Waits until something happens or `msec` have passed (-1: for ever), calls
 * the callbacks, returns. RV_ERROR: libevent failed. */
int rv_loop_once(rv_loop_t *loop, int64_t msec);

/* Milliseconds since some time in the past, never going back, and the same for
 * all processes of the machine. */
int64_t rv_loop_now(void);

/* The same time in microseconds. */
int64_t rv_loop_now_usec(void);

/* Calls ready(fd, what, data) whenever fd is. NULL where memory is short. */
rv_loop_watch_t *rv_loop_watch(
    rv_loop_t *loop, int fd, short what, rv_loop_ready_t ready, void *data);

/* Calls ready(-1, EV_TIMEOUT, data) every `msec` milliseconds. NULL where memory is short. */
rv_loop_watch_t *rv_loop_every(rv_loop_t *loop, int64_t msec, rv_loop_ready_t ready, void *data);

/* Before fd is closed. NULL is allowed. */
void rv_loop_unwatch(rv_loop_watch_t *watch);

/*
 * Flushes the channel whenever messages wait in it and the socket takes them, every few
 * milliseconds where only time helps (ETOOMANYREFS);
 * with `ready`, also calls it when there is something to receive.
 */
int rv_loop_watch_channel(rv_loop_t *loop, rv_channel_t *ch, rv_loop_ready_t ready, void *data);

/* Before the channel is destroyed. A channel that is not watched, or NULL, is allowed. */
void rv_loop_unwatch_channel(rv_channel_t *ch);

#endif
