/*
 * rv_zone_add: shared memory for modules.
 */
#ifndef RV_ZONE_ADD_H
#define RV_ZONE_ADD_H

#include "rv_cycle.h"
#include "rv_zone.h"

/*
 * In a module's configure hook: asks for a zone of this name whose content takes `size` bytes;
 * owner is the module's name. All live as long as the process, for a zone outlives its
 * generation. [zone NAME] of the configuration decides its type, and may give it more room. Once
 * the generation is open, rv_cycle_find_zone has it. RV_ERROR: collected in the cycle's conf.
 */
int rv_zone_add(rv_cycle_t *cycle, const char *name, size_t size, const char *owner,
    const rv_zone_calls_t *calls, void *data);

#endif
