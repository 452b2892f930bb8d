/*
 * rv_stats_histogram: how a duration finds its bucket, and back.
 *
 * Log-linear: below 8 each number of microseconds has a bucket of its own, then every
 * power of two is cut in eight. The middle of a bucket is at most 6.25 % away
 * from whatever fell into it.
 */
#ifndef RV_STATS_HISTOGRAM_H
#define RV_STATS_HISTOGRAM_H

#include "rv_base.h"

/* The last one takes all from 2^27 microseconds (134 s) on. */
#define RV_STATS_HISTOGRAM_BUCKETS 201

/* The cells of a histogram: the sum of what was observed, the largest, and the buckets. */
enum { RV_STATS_HISTOGRAM_SUM, RV_STATS_HISTOGRAM_MAX, RV_STATS_HISTOGRAM_FIRST };
#define RV_STATS_HISTOGRAM_CELLS (RV_STATS_HISTOGRAM_FIRST + RV_STATS_HISTOGRAM_BUCKETS)

/* The bucket of a number of microseconds. */
unsigned rv_stats_histogram_bucket(uint64_t usec);

/* The least that falls into a bucket; of the one behind the last, UINT64_MAX. */
uint64_t rv_stats_histogram_floor(unsigned bucket);

/* 1: nothing was observed: all its cells are zero. Looks at two of them: what is not in
 * the sum took no time, and is in the first bucket. */
static inline int
rv_stats_histogram_is_empty(const uint64_t *cells)
{
    return cells[RV_STATS_HISTOGRAM_SUM] == 0 && cells[RV_STATS_HISTOGRAM_FIRST] == 0;
}

/* How many observations there are in the cells of a histogram. */
uint64_t rv_stats_histogram_count(const uint64_t *cells);

/*
 * What each of `count` shares q (0 to 1, the smallest first) of the observations does not exceed,
 * microseconds; 0 where there are none.
 */
void rv_stats_histogram_quantiles(
    const uint64_t *cells, const double *q, unsigned count, uint64_t *usec);

#endif
