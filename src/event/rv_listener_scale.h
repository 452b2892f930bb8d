/*
 * rv_listener_scale: a socket more, a socket fewer, while a generation serves.
 *
 * Of a listener without reuseport nothing changes: it has its socket for all.
 */
#ifndef RV_LISTENER_SCALE_H
#define RV_LISTENER_SCALE_H

#include "rv_listener.h"

/*
 * For one worker more. Binds its socket, at which nobody can connect yet, then
 * listens at it, still without clients, then lets clients come. One that was given up and is
 * not closed yet is taken instead. RV_ERROR: `error` says why, and nothing has changed.
 */
int rv_listener_scale_open(rv_listener_t *ls, char error[RV_LISTENER_ERROR]);
int rv_listener_scale_listen(rv_listener_t *ls, char error[RV_LISTENER_ERROR]);
void rv_listener_scale_commit(rv_listener_t *ls);

/* Instead of the commit: closes what was opened, or gives it up like rv_listener_scale_down
 * where clients may have come. `worked` as there. */
int rv_listener_scale_undo(rv_listener_t *ls);

/*
 * For one worker fewer: new clients come to the others. The descriptor of the socket that
 * is given up, still the listener's, so that others can accept who waits there; -1: there is none.
 */
int rv_listener_scale_down(rv_listener_t *ls);

/*
 * Closes the sockets that were given up, and stops listening at them in all
 * processes that have them, once nobody waits there any more. Now and then, but
 * not between rv_listener_open with this one as the old one and its commit or end.
 */
void rv_listener_scale_retire(rv_listener_t *ls);

#endif
