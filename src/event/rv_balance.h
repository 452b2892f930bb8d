/*
 * rv_balance: accept_balance, clients from workers that have many to those that have few.
 */
#ifndef RV_BALANCE_H
#define RV_BALANCE_H

#include "rv_base.h"
#include "rv_connection.h"
#include "rv_process.h"
#include "rv_stats.h"

typedef struct rv_balance_s rv_balance_t;

/* For this process, which has its row in st (rv_connection_stats are in it), and workers
 * that are to have at most `limit` connections each. NULL: not enough memory. */
rv_balance_t *rv_balance_create(const rv_stats_t *st, unsigned limit);

/* NULL is allowed. */
void rv_balance_free(rv_balance_t *b);

/*
 * Where a client that has just come is to go, who makes `count` here; now in ms. RV_OK: to
 * this worker, and what came of that is to be said next. RV_DONE: it stays.
 */
int rv_balance_choose(rv_balance_t *b, unsigned count, int64_t now, rv_process_id_t *to);

/* The worker that was chosen last has it (RV_OK), or does not take it. */
void rv_balance_say(rv_balance_t *b, int result);

/* From time to time: where this worker is full and another is not, clients are accepted again, to be
 * passed. */
void rv_balance_look(rv_balance_t *b, rv_connections_t *all, int64_t now);

/* For rv_connections_on_fresh: chooses and passes. */
int rv_balance_fresh(rv_connection_t *c, void *balance);

#endif
