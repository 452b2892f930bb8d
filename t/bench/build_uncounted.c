/*
 * What stands in for the transactions of the counters, in a build that is there to show what
 * they cost: the linker has every call of rv_stats_apply come here.
 */
#include "rv_stats.h"

void __wrap_rv_stats_apply(rv_stats_t *st, const rv_stats_change_t *changes, unsigned count);

void
__wrap_rv_stats_apply(rv_stats_t *st, const rv_stats_change_t *changes, unsigned count)
{
    (void) st;
    (void) changes;
    (void) count;
}
