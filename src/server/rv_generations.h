/*
 * rv_generations: the generations that a master has at a time.
 *
 * One in force, one that is being built, and older ones whose workers drain.
 */
#ifndef RV_GENERATIONS_H
#define RV_GENERATIONS_H

#include "rv_cycle.h"

typedef struct {
    rv_cycle_t *current;  /* in force; NULL: none yet */
    rv_cycle_t *pending;  /* being built; NULL: none */
    rv_cycle_t *draining; /* older ones, the youngest first */
} rv_generations_t;

/* Every one: begin with NULL, NULL after the last. */
rv_cycle_t *rv_generations_each(const rv_generations_t *g, const rv_cycle_t *after);

/* The one of this number; NULL: there is none. */
rv_cycle_t *rv_generations_find(const rv_generations_t *g, unsigned generation);

/* Gives up the draining ones none of whose workers lives, the oldest first. */
void rv_generations_retire(rv_generations_t *g);

/* Takes counters to which nobody writes any more over into those that succeed them, unless
 * a generation has them still. */
void rv_generations_retire_stats(const rv_generations_t *g, const rv_stats_t *old);

/* After a death: repairs what the dead left half-done in any zone. */
void rv_generations_look_after_zones(const rv_generations_t *g);

/* Looks whether zones were cut off, and mends them. Cheap where none was. */
void rv_generations_mend_zones(const rv_generations_t *g);

/* Gives up all of them but `keep` (NULL: none is kept); remove as rv_cycle_free. */
void rv_generations_free(rv_generations_t *g, const rv_cycle_t *keep, int remove);

#endif
