/*
 * rv_orders: what a worker does when the master has sent it something.
 */
#ifndef RV_ORDERS_H
#define RV_ORDERS_H

#include "rv_module.h"

/* Takes and obeys all that waits in the worker's channel. */
void rv_orders_receive(rv_worker_t *w);

#endif
