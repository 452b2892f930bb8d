/*
 * rv_pool: memory that is given back all at once.
 *
 * Everything that lives exactly as long as one generation's configuration
 * comes from one pool, so that discarding a generation is one call.
 */
#ifndef RV_POOL_H
#define RV_POOL_H

#include "rv_base.h"

typedef struct rv_pool_s rv_pool_t;

/* NULL and errno ENOMEM where memory is short; so with each function here. */
rv_pool_t *rv_pool_create(void);

/* Gives back the pool and all that came from it. NULL is allowed. */
void rv_pool_destroy(rv_pool_t *pool);

/* Zeroed, aligned for any type. */
void *rv_pool_alloc(rv_pool_t *pool, size_t size);

/* As rv_pool_alloc(count * size), with the product checked. */
void *rv_pool_array(rv_pool_t *pool, size_t count, size_t size);

char *rv_pool_strdup(rv_pool_t *pool, const char *text);
char *rv_pool_printf(rv_pool_t *pool, const char *fmt, ...) RV_PRINTF(2, 3);

#endif
