/*
 * rv_affinity: which processors a process runs on.
 *
 * Sets are ours, so that everything but the two system calls is the same
 * everywhere, and can be tested on a machine with one processor.
 */
#include "rv_affinity.h"

#include <errno.h>
#include <sched.h>
#include <string.h>

static int
has(const rv_affinity_set_t *set, unsigned cpu)
{
    return (int) (set->word[cpu / 64] >> cpu % 64 & 1);
}

static void
add(rv_affinity_set_t *set, unsigned cpu)
{
    set->word[cpu / 64] |= UINT64_C(1) << cpu % 64;
}

#if RV_HAVE_SCHED_SETAFFINITY

_Static_assert(RV_AFFINITY_CPUS <= CPU_SETSIZE, "the system's set has room for ours");

int
rv_affinity_allowed(rv_affinity_set_t *set)
{
    cpu_set_t cpus;

    memset(set, 0, sizeof(*set));
    if (sched_getaffinity(0, sizeof(cpus), &cpus) == -1)
        return RV_ERROR;
    for (unsigned i = 0; i < RV_AFFINITY_CPUS; i++) {
        if (CPU_ISSET(i, &cpus))
            add(set, i);
    }
    return RV_OK;
}

int
rv_affinity_bind(const rv_affinity_set_t *set)
{
    cpu_set_t cpus;

    CPU_ZERO(&cpus);
    for (unsigned i = 0; i < RV_AFFINITY_CPUS; i++) {
        if (has(set, i))
            CPU_SET(i, &cpus);
    }
    return sched_setaffinity(0, sizeof(cpus), &cpus) == 0 ? RV_OK : RV_ERROR;
}

#else

int
rv_affinity_allowed(rv_affinity_set_t *set)
{
    memset(set, 0, sizeof(*set));
    errno = ENOSYS;
    return RV_ERROR;
}

int
rv_affinity_bind(const rv_affinity_set_t *set)
{
    (void) set;
    errno = ENOSYS;
    return RV_ERROR;
}

#endif

int
rv_affinity_parse(const char *text, rv_affinity_set_t *set)
{
    size_t length = strlen(text);

    memset(set, 0, sizeof(*set));
    if (length > RV_AFFINITY_CPUS || strspn(text, "01") != length || strchr(text, '1') == NULL)
        return RV_ERROR;

    for (size_t i = 0; i < length; i++) {
        if (text[length - 1 - i] == '1')
            add(set, (unsigned) i);
    }
    return RV_OK;
}

/* The n-th processor of a set, counted on from the first after the last. */
static int
pick(const rv_affinity_set_t *from, unsigned n, rv_affinity_set_t *set)
{
    unsigned cpus[RV_AFFINITY_CPUS], count = 0;

    for (unsigned i = 0; i < RV_AFFINITY_CPUS; i++) {
        if (has(from, i))
            cpus[count++] = i;
    }
    memset(set, 0, sizeof(*set));
    if (count == 0) {
        errno = EINVAL;
        return RV_ERROR;
    }
    add(set, cpus[n % count]);
    return RV_OK;
}

int
rv_affinity_choose(const rv_affinity_t *affinity, unsigned worker, const rv_affinity_set_t *allowed,
    rv_affinity_set_t *set)
{
    rv_affinity_set_t from = *allowed;

    if (!affinity->automatic) {
        *set = affinity->mask[rv_min(worker, affinity->count - 1)];
        return RV_OK;
    }
    for (size_t i = 0; affinity->count > 0 && i < rv_countof(from.word); i++)
        from.word[i] &= affinity->mask[0].word[i];
    return pick(&from, worker, set);
}

int
rv_affinity_apply(const rv_affinity_t *affinity, unsigned worker)
{
    rv_affinity_set_t allowed, wanted;

    if (!affinity->automatic && affinity->count == 0)
        return RV_OK;
    if (rv_affinity_allowed(&allowed) != RV_OK
        || rv_affinity_choose(affinity, worker, &allowed, &wanted) != RV_OK)
        return RV_ERROR;
    return rv_affinity_bind(&wanted);
}
