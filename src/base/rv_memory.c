/*
 * rv_memory: what malloc holds.
 */
#include "rv_memory.h"

#if RV_HAVE_MALLOC_TRIM

#include <malloc.h>

void
rv_memory_trim(void)
{
    (void) malloc_trim(0);
}

#else

void
rv_memory_trim(void)
{
}

#endif
