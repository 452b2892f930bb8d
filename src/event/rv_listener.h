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

    /*
     * One, or with reuseport one for each worker number; in the order in which they
     * began to listen. Behind those, sockets of workers that are no more: no new client comes
     * there, and when nobody waits any more they are closed, from the end.
     */
    int *fds;
    unsigned count;
    unsigned active; /* of them, from the front: those that clients come to */
    int limited;     /* the kernel was told so; 0: they come to all */
    int64_t since;   /* ms: when a socket was given up last */

    unsigned kept;      /* of them, from the front: duplicates of the old generation's */
    unsigned before;    /* its `active` */
    int held;           /* the kernel was told that clients come to these alone */
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

/* Listens at what is new; at an address that `old` has too clients come to that one's sockets
 * until the commit. RV_ERROR: `error` says why, and closing undoes it. */
int rv_listener_listen(rv_listener_t *ls, char error[RV_LISTENER_ERROR]);

/*
 * The listener takes the place of `old`, or (NULL) of none: clients come to as many sockets as
 * it has workers, and what they share gets its backlog and mode. Where the kernel cannot choose,
 * clients come to all. RV_ERROR: that failed, `error` says why, all else is done.
 */
int rv_listener_commit(rv_listener_t *ls, rv_listener_t *old, char error[RV_LISTENER_ERROR]);

/* Tells the kernel which sockets clients come to: the active ones. Again, where another process
 * that has them has told it something else. */
void rv_listener_choose(rv_listener_t *ls);

/* Closes this process's descriptors. With `remove` a unix socket's file that is
 * its own goes too, and what was changed for a commit that did not come is undone. */
void rv_listener_close(rv_listener_t *ls, int remove);

/*
 * In a worker: closes the descriptors that are another's. With reuseport worker
 * i keeps number i, and those that no worker has; otherwise all of them.
 */
void rv_listener_keep(rv_listener_t *ls, unsigned worker);

/* Takes a descriptor out of the listener, to be the caller's; -1: none is left. */
int rv_listener_pop(rv_listener_t *ls);

/* Adds one behind the last, taken over in any case. */
int rv_listener_push(rv_listener_t *ls, int fd);

/* Binds one more socket at a reuseport listener's address, and adds it. It does
 * not listen yet. RV_ERROR: `error` says why. */
int rv_listener_bind_more(rv_listener_t *ls, char error[RV_LISTENER_ERROR]);

/* Listens at one of its sockets. RV_ERROR: `error` says why. */
int rv_listener_listen_at(rv_listener_t *ls, unsigned i, char error[RV_LISTENER_ERROR]);

#endif
