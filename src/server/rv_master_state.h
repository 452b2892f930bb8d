/*
 * rv_master_state: what the master knows, for its own units alone.
 */
#ifndef RV_MASTER_STATE_H
#define RV_MASTER_STATE_H

#include "rv_master.h"
#include "rv_reload.h"
#include "rv_reopen.h"
#include "rv_scale.h"
#include "rv_signal.h"
#include "rv_succession.h"

typedef struct {
    const rv_master_options_t *options;
    rv_workers_t workers;
    rv_loop_watch_t *signals;
    int notify;

    rv_generations_t all;
    rv_reload_t reload;
    rv_succession_t succession;
    rv_reopen_t reopen;
    rv_scale_t scale;
    int drained;    /* told to have no workers */
    int64_t ticked; /* ms: the last look */

    unsigned came;     /* signals not yet acted on */
    unsigned wanted;   /* of these what has to wait for its turn */
    unsigned stopping; /* RV_SIGNAL_QUIT or _TERMINATE once it was acted on */
    int status;
} rv_master_t;

#endif
