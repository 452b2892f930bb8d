/*
 * rv_stats_zone: the zone "stats", in which the counters are.
 */
#ifndef RV_STATS_ZONE_H
#define RV_STATS_ZONE_H

#include "rv_cycle.h"

/* Asks for it. RV_ERROR: collected in the cycle's conf. */
int rv_stats_zone_add(rv_cycle_t *cycle);

#endif
