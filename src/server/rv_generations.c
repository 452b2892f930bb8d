/*
 * rv_generations: the generations that a master has at a time.
 *
 * They may share zones, so what is done to a zone may concern the processes of
 * all of them.
 */
#include "rv_generations.h"

#include "rv_counts.h"
#include "rv_stats_fold.h"
#include "rv_workers.h"

#include <errno.h>

rv_cycle_t *
rv_generations_each(const rv_generations_t *g, const rv_cycle_t *after)
{
    if (after == NULL && g->current != NULL)
        return g->current;
    if ((after == NULL || after == g->current) && g->pending != NULL)
        return g->pending;
    if (after == NULL || after == g->current || after == g->pending)
        return g->draining;

    return after->next;
}

rv_cycle_t *
rv_generations_find(const rv_generations_t *g, unsigned generation)
{
    rv_cycle_t *cycle = NULL;

    while ((cycle = rv_generations_each(g, cycle)) != NULL) {
        if (cycle->generation == generation)
            return cycle;
    }
    return NULL;
}

void
rv_generations_retire_stats(const rv_generations_t *g, const rv_stats_t *old)
{
    for (rv_cycle_t *c = NULL; (c = rv_generations_each(g, c)) != NULL;) {
        if (c->stats == old)
            return;
    }
    for (rv_cycle_t *c = NULL; (c = rv_generations_each(g, c)) != NULL;) {
        int retired = rv_stats_retire(c->stats, old);

        if (retired == RV_OK)
            rv_zone_hold(rv_cycle_find_zone(c, "stats"), NULL);
        else if (retired == RV_ERROR)
            rv_log(RV_LOG_ALERT, errno, "taking over counters failed");
    }
}

void
rv_generations_retire(rv_generations_t *g)
{
    while (g->draining != NULL) {
        rv_cycle_t **last = &g->draining;

        while ((*last)->next != NULL)
            last = &(*last)->next;

        rv_cycle_t *cycle = *last;
        if (cycle->living > 0)
            return;

        *last = NULL;
        rv_generations_retire_stats(g, cycle->stats);
        rv_log(RV_LOG_NOTICE, 0, "generation %u is gone", cycle->generation);
        rv_cycle_free(cycle, 1);
    }
}

void
rv_generations_look_after_zones(const rv_generations_t *g)
{
    for (rv_cycle_t *c = NULL; (c = rv_generations_each(g, c)) != NULL;)
        rv_cycle_look_after_zones(c);
}

void
rv_generations_mend_zones(const rv_generations_t *g)
{
    int mended = 0;

    for (rv_cycle_t *c = NULL; (c = rv_generations_each(g, c)) != NULL;)
        mended |= rv_cycle_mend_zones(c);
    if (!mended)
        return;

    for (rv_cycle_t *c = NULL; (c = rv_generations_each(g, c)) != NULL;)
        rv_workers_enter_rows(c);
    rv_counts_enter_again(g->current->stats);
}

void
rv_generations_free(rv_generations_t *g, const rv_cycle_t *keep, int remove)
{
    rv_cycle_t *next;

    for (rv_cycle_t *c = rv_generations_each(g, NULL); c != NULL; c = next) {
        next = rv_generations_each(g, c);
        if (c != keep)
            rv_cycle_free(c, remove);
    }
    *g = (rv_generations_t){ 0 };
}
