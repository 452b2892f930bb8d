/*
 * preload_memory: counts what a process asks of the allocator, and the bytes that it has
 * of it, see counts.h.
 *
 * Not for a process with a sanitizer, which has an allocator of its own and looks at who
 * calls that.
 */
#include "counts.h"

#include <dlfcn.h>
#include <errno.h>
#include <malloc.h>

static counts_t *counts;

__attribute__((constructor)) static void
init(void)
{
    counts = counts_map(0);
}

/* What is counted. */
static struct {
    void *(*malloc)(size_t);
    void *(*calloc)(size_t, size_t);
    void *(*realloc)(void *, size_t);
    int (*posix_memalign)(void **, size_t, size_t);
    void *(*aligned_alloc)(size_t, size_t);
    void (*free)(void *);
} next;

/* 0: dlsym is at work below the caller, and does without what it does not get. */
static int
find_next(void)
{
    static int finding;

    if (next.free != NULL)
        return 1;
    if (finding++)
        return 0;
    next.malloc = (void *(*) (size_t)) dlsym(RTLD_NEXT, "malloc");
    next.calloc = (void *(*) (size_t, size_t)) dlsym(RTLD_NEXT, "calloc");
    next.realloc = (void *(*) (void *, size_t)) dlsym(RTLD_NEXT, "realloc");
    next.posix_memalign = (int (*)(void **, size_t, size_t)) dlsym(RTLD_NEXT, "posix_memalign");
    next.aligned_alloc = (void *(*) (size_t, size_t)) dlsym(RTLD_NEXT, "aligned_alloc");
    next.free = (void (*)(void *)) dlsym(RTLD_NEXT, "free");
    return 1;
}

/* This function made `before` bytes those of p, which it returns. */
static void *
count(unsigned number, size_t before, void *p)
{
    if (counts != NULL && counts->pid == (int) getpid()) {
        counts->of[number]++;
        counts->live += (int64_t) malloc_usable_size(p) - (int64_t) before;
    }
    return p;
}

void *
malloc(size_t size)
{
    return find_next() ? count(COUNTS_malloc, 0, next.malloc(size)) : NULL;
}

void *
calloc(size_t n, size_t size)
{
    return find_next() ? count(COUNTS_calloc, 0, next.calloc(n, size)) : NULL;
}

void *
realloc(void *p, size_t size)
{
    if (!find_next())
        return NULL;

    size_t before = malloc_usable_size(p);
    void *moved = next.realloc(p, size);

    return moved == NULL && size > 0 ? NULL : count(COUNTS_realloc, before, moved);
}

int
posix_memalign(void **p, size_t alignment, size_t size)
{
    int error = find_next() ? next.posix_memalign(p, alignment, size) : ENOMEM;

    if (error == 0)
        count(COUNTS_posix_memalign, 0, *p);
    return error;
}

void *
aligned_alloc(size_t alignment, size_t size)
{
    return find_next() ? count(COUNTS_aligned_alloc, 0, next.aligned_alloc(alignment, size)) : NULL;
}

void
free(void *p)
{
    if (p == NULL || !find_next())
        return;

    count(COUNTS_free, malloc_usable_size(p), NULL);
    next.free(p);
}
