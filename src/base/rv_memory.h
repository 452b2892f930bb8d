/*
 * rv_memory: what malloc holds.
 */
#ifndef RV_MEMORY_H
#define RV_MEMORY_H

#include "rv_base.h"

/*
 * Gives memory that is not in use back to the system, as far as the C library can. For a
 * process that has freed much and is about to fork: what children make of such memory
 * becomes a copy in each of them.
 */
void rv_memory_trim(void);

#endif
