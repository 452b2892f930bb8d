/*
 * rv_connection_pass: a client's connection goes to another worker.
 *
 * The client notices nothing: what it has sent and nobody has read goes with the socket, and what
 * the service has read and not answered goes with the message.
 */
#ifndef RV_CONNECTION_PASS_H
#define RV_CONNECTION_PASS_H

#include "rv_connection.h"
#include "rv_mesh.h"

/* For rv_mesh_register("connections", …). */
extern const rv_mesh_type_t rv_connection_pass_messages[];

/* In a worker, before it is READY: what comes goes to these connections, and of this
 * listener (rv_connections_listener) are clients of that service. RV_ERROR: not enough
 * memory, or the messages are not registered. */
int rv_connection_pass_init(rv_connections_t *all);
int rv_connection_pass_listener(unsigned number, const rv_service_t *service, const void *conf);

/* Nothing is taken from now on, and the listeners are forgotten. */
void rv_connection_pass_finish(void);

/*
 * Hands a connection to another worker of this generation, which goes on as if it had
 * accepted it: one that the service has not opened yet, or one that its service lets go
 * (rv_service_t.pack: with HTTP one that is idle, or of whose next request no more than a
 * part of the head has come). Timeouts begin anew there, but for the one of a head.
 *
 * RV_OK: it is that worker's, c is gone as after rv_connection_close. It arrives, also if
 * this worker dies now, and also in a worker that drains, which finishes it; if that worker
 * dies before it has looked, the client is disconnected as the others of that worker are. A
 * worker that has worker_connections already takes it all the same, and accepts nobody
 * until it has fewer; if it has no memory or descriptor for it, the client is lost.
 * RV_AGAIN: that worker does not take it at once (it is busy, stopped, or not started yet);
 * RV_ERROR: there is no such worker (ESRCH, EPIPE), it is of another generation (EPERM),
 * the service does not let it go (EBUSY), or memory is short. c stays, and nothing has
 * happened to it.
 */
int rv_connection_pass(rv_connection_t *c, const rv_process_id_t *to);

#endif
