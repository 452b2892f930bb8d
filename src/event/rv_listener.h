/*
 * rv_listener: listening sockets, and how they pass from one generation to the next.
 *
 * An address that is kept is never closed: the new generation holds a
 * duplicate of the old one's descriptor before the old one lets go of its own.
 */
#ifndef RV_LISTENER_H
#define RV_LISTENER_H

#include "rv_addr.h"
#include "rv_base.h"

#define RV_LISTENER_BACKLOG 511
#define RV_LISTENER_ERROR 256

typedef struct {
    rv_addr_t addr;
    int backlog;
    unsigned mode; /* of a unix socket's file */
    int reuseport; /* a socket for each worker */
    int ipv6only;

    int *fds; /* one, or with reuseport one for each worker number */
    unsigned count;
    unsigned kept;      /* of them, from the front: duplicates of the old generation's */
    int bound_path;     /* the unix socket's file is ours to remove */
    int lent_reuseport; /* the old generation's socket was made to share its address */
} rv_listener_t;

/*
 * Reads the words of a `listen` directive: an address, then any of reuseport,
 * backlog=N, mode=0660, ipv6only=on|off. Opens nothing. RV_ERROR: `error` says why.
 */
int rv_listener_parse(
    rv_listener_t *ls, char *const *words, size_t count, char error[RV_LISTENER_ERROR]);

/*
 * Binds it for `workers` workers: descriptors of `old`, which has the same
 * address, are duplicated, all of them, since clients may wait at each; others
 * are bound anew, but do not listen yet (unix sockets do). A stale unix socket is replaced, a live
 * one is an error. Nothing of old's changes. RV_ERROR: nothing is open, `error` says why.
 */
int rv_listener_open(
    rv_listener_t *ls, unsigned workers, const rv_listener_t *old, char error[RV_LISTENER_ERROR]);

/* Listens at what is new. RV_ERROR: `error` says why, and closing undoes it. */
int rv_listener_listen(rv_listener_t *ls, char error[RV_LISTENER_ERROR]);

/*
 * The listener takes the place of `old`, or (NULL) of none: what they share gets its
 * backlog and mode. RV_ERROR: that failed, `error` says why, all else is done.
 */
int rv_listener_commit(rv_listener_t *ls, rv_listener_t *old, char error[RV_LISTENER_ERROR]);

/* Closes this process's descriptors. With `remove` a unix socket's file that is
 * its own goes too. */
void rv_listener_close(rv_listener_t *ls, int remove);

/*
 * In a worker: closes the descriptors that are another's. With reuseport worker
 * i of n keeps those with the numbers i, i + n, i + 2n, ...; otherwise all of them.
 */
void rv_listener_keep(rv_listener_t *ls, unsigned worker, unsigned workers);

/* Takes a descriptor out of the listener, to be the caller's; -1: none is left. */
int rv_listener_pop(rv_listener_t *ls);

#endif
