/*
 * rv_pool: memory that is given back all at once.
 *
 * Each allocation is one malloc with a link before it. Configurations are
 * small and read once: being visible to the sanitizers and to valgrind is
 * worth more here than being fast.
 */
#include "rv_pool.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct block_s {
    struct block_s *next;
    max_align_t data[];
} block_t;

struct rv_pool_s {
    block_t *blocks;
};

rv_pool_t *
rv_pool_create(void)
{
    return calloc(1, sizeof(rv_pool_t));
}

void
rv_pool_destroy(rv_pool_t *pool)
{
    if (pool == NULL)
        return;

    block_t *next;
    for (block_t *block = pool->blocks; block != NULL; block = next) {
        next = block->next;
        free(block);
    }
    free(pool);
}

void *
rv_pool_alloc(rv_pool_t *pool, size_t size)
{
    return rv_pool_array(pool, 1, size);
}

void *
rv_pool_array(rv_pool_t *pool, size_t count, size_t size)
{
    if (size != 0 && count > (SIZE_MAX - sizeof(block_t)) / size) {
        errno = ENOMEM;
        return NULL;
    }

    block_t *block = calloc(1, sizeof(block_t) + count * size);
    if (block == NULL)
        return NULL;

    block->next = pool->blocks;
    pool->blocks = block;
    return block->data;
}

char *
rv_pool_strdup(rv_pool_t *pool, const char *text)
{
    size_t size = strlen(text) + 1;
    char *copy = rv_pool_alloc(pool, size);

    return copy == NULL ? NULL : memcpy(copy, text, size);
}

char *
rv_pool_printf(rv_pool_t *pool, const char *fmt, ...)
{
    va_list args;

    va_start(args, fmt);
    int length = vsnprintf(NULL, 0, fmt, args);
    va_end(args);
    if (length < 0)
        return NULL;

    char *text = rv_pool_alloc(pool, (size_t) length + 1);
    if (text == NULL)
        return NULL;

    va_start(args, fmt);
    vsnprintf(text, (size_t) length + 1, fmt, args);
    va_end(args);
    return text;
}
