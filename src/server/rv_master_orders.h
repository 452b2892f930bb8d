/*
 * rv_master_orders: what the master does when it is told to.
 */
#ifndef RV_MASTER_ORDERS_H
#define RV_MASTER_ORDERS_H

#include "rv_master_state.h"

/* RV_SIGNAL_QUIT or _TERMINATE: everything that is told of it in this and the next steps ends the
 * master. */
void rv_master_orders_stop(rv_master_t *m, unsigned how);

/* What has become of the master before this one, and of the one after it. */
void rv_master_orders_settle(rv_master_t *m);

/* Workers that are to be added or removed. */
void rv_master_orders_scale(rv_master_t *m);

/* All that has to wait for its turn, as far as its turn has come. */
void rv_master_orders_take(rv_master_t *m);

#endif
