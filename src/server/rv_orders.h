/*
 * rv_orders: what a worker does when the master has sent it something.
 */
#ifndef RV_ORDERS_H
#define RV_ORDERS_H

#include "rv_module.h"

/* Takes and obeys all that waits in the worker's channel. */
void rv_orders_receive(rv_worker_t *w);

/* Before a worker that has drained goes: nobody can send it anything from now on (EPIPE),
 * so that nothing is lost in its channel; obeys what has been sent. Once more is allowed. */
void rv_orders_close(rv_worker_t *w);

#endif
