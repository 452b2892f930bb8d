/*
 * rv_stats_histogram: how a duration finds its bucket, and back.
 *
 * The number of a bucket is the number of the highest bit and the three bits
 * behind it, so that no table is needed and the buckets are the same in every
 * process, version and machine: histograms can be added up cell by cell.
 */
#include "rv_stats_histogram.h"

enum {
    SUB_BITS = 3,
    SUB = 1 << SUB_BITS, /* buckets of a power of two */
    TOP_BIT = 27         /* from here on there is one bucket for all */
};

unsigned
rv_stats_histogram_bucket(uint64_t usec)
{
    if (usec < SUB)
        return (unsigned) usec;
    if (usec >> TOP_BIT != 0)
        return RV_STATS_HISTOGRAM_BUCKETS - 1;

    unsigned top = 63 - (unsigned) __builtin_clzll(usec);
    unsigned sub = (unsigned) (usec >> (top - SUB_BITS)) & (SUB - 1);
    return (top - SUB_BITS + 1) * SUB + sub;
}

uint64_t
rv_stats_histogram_floor(unsigned bucket)
{
    if (bucket < SUB)
        return bucket;
    if (bucket >= RV_STATS_HISTOGRAM_BUCKETS)
        return UINT64_MAX;

    return (uint64_t) (SUB + bucket % SUB) << (bucket / SUB - 1);
}

uint64_t
rv_stats_histogram_count(const uint64_t *cells)
{
    uint64_t count = 0;

    for (unsigned i = 0; i < RV_STATS_HISTOGRAM_BUCKETS; i++)
        count += cells[RV_STATS_HISTOGRAM_FIRST + i];
    return count;
}

/* The middle of what may be in a bucket. */
static uint64_t
middle(unsigned bucket)
{
    uint64_t floor = rv_stats_histogram_floor(bucket);
    uint64_t last = rv_stats_histogram_floor(bucket + 1) - 1;

    return floor + (last - floor) / 2;
}

void
rv_stats_histogram_quantiles(const uint64_t *cells, const double *q, unsigned count, uint64_t *usec)
{
    uint64_t max = cells[RV_STATS_HISTOGRAM_MAX], seen = 0;
    double total = (double) rv_stats_histogram_count(cells);
    unsigned k = 0;

    for (unsigned i = 0; i + 1 < RV_STATS_HISTOGRAM_BUCKETS && k < count; i++) {
        uint64_t here = cells[RV_STATS_HISTOGRAM_FIRST + i];

        if (here == 0)
            continue;
        seen += here;
        while (k < count && (double) seen >= q[k] * total)
            usec[k++] = rv_min(middle(i), max);
    }
    while (k < count)
        usec[k++] = total > 0 ? max : 0;
}
