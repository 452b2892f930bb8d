/*
 * rv_stats_histogram: durations are found again, nearly, and add up.
 */
#include "stats_fixture.h"

#define ROWS 4
#define LAST (RV_STATS_HISTOGRAM_BUCKETS - 1)
#define SECOND UINT64_C(1000000) /* in microseconds */

static uint64_t cells[RV_STATS_HISTOGRAM_CELLS];

/* As rv_stats_observe does, without a row. */
static void
observe(uint64_t usec)
{
    cells[RV_STATS_HISTOGRAM_SUM] += usec;
    cells[RV_STATS_HISTOGRAM_MAX] = rv_max(cells[RV_STATS_HISTOGRAM_MAX], usec);
    cells[RV_STATS_HISTOGRAM_FIRST + rv_stats_histogram_bucket(usec)]++;
}

static uint64_t
quantile(const uint64_t *of, double q)
{
    uint64_t usec;

    rv_stats_histogram_quantiles(of, &q, 1, &usec);
    return usec;
}

/* --- buckets ------------------------------------------------------------------------------ */

START_TEST(bucket_begins_where_its_floor_is)
{
    ck_assert_uint_eq(rv_stats_histogram_floor(0), 0);
    for (unsigned i = 0; i <= LAST; i++) {
        uint64_t floor = rv_stats_histogram_floor(i), next = rv_stats_histogram_floor(i + 1);

        ck_assert_uint_lt(floor, next);
        ck_assert_uint_eq(rv_stats_histogram_bucket(floor), i);
        ck_assert_uint_eq(rv_stats_histogram_bucket(next - 1), i);
        ck_assert_uint_eq(rv_stats_histogram_bucket(floor + (next - floor) / 2), i);
    }
    ck_assert_uint_eq(rv_stats_histogram_floor(LAST + 1), UINT64_MAX);
    ck_assert_uint_eq(rv_stats_histogram_floor(LAST + 1000), UINT64_MAX);
}
END_TEST

START_TEST(bucket_of_a_longer_time_is_never_before)
{
    for (uint64_t usec = 0, last = 0; usec < 2 * SECOND; usec++) {
        unsigned bucket = rv_stats_histogram_bucket(usec);

        ck_assert(bucket == last || bucket == last + 1);
        last = bucket;
    }
}
END_TEST

START_TEST(last_bucket_takes_whatever_is_longer)
{
    static const uint64_t longer[] = { 135 * SECOND, 3600 * SECOND, UINT64_C(1) << 32,
        UINT64_C(1) << 63, UINT64_MAX };

    ck_assert_uint_lt(rv_stats_histogram_bucket(100 * SECOND), LAST);
    ck_assert_uint_gt(rv_stats_histogram_floor(LAST), 100 * SECOND);
    for (size_t i = 0; i < rv_countof(longer); i++)
        ck_assert_uint_eq(rv_stats_histogram_bucket(longer[i]), LAST);
}
END_TEST

/* What is shown of a bucket: the median of one that is in it, and of others above. */
static uint64_t
shown(uint64_t usec)
{
    memset(cells, 0, sizeof(cells));
    observe(usec);
    cells[RV_STATS_HISTOGRAM_MAX] = UINT64_MAX;
    return quantile(cells, 0.5);
}

static void
assert_near(uint64_t usec)
{
    uint64_t middle = shown(usec), error = middle > usec ? middle - usec : usec - middle;

    ck_assert_msg(error * 10 <= usec, "%llu is shown as %llu", (unsigned long long) usec,
        (unsigned long long) middle);
}

/* All of the short ones; of a bucket of the longer ones its ends, as they are furthest away. */
START_TEST(time_of_1_us_to_100_s_is_within_10_percent_of_what_is_shown)
{
    for (uint64_t usec = 1; usec <= 10000; usec++)
        assert_near(usec);
    for (unsigned i = rv_stats_histogram_bucket(10000); i < LAST; i++) {
        assert_near(rv_stats_histogram_floor(i));
        assert_near(rv_stats_histogram_floor(i + 1) - 1);
    }
    assert_near(100 * SECOND);
}
END_TEST

/* --- quantiles ---------------------------------------------------------------------------- */

enum { SAMPLE = 5000 };

static uint64_t sample[SAMPLE];

static int
compare(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *) a, y = *(const uint64_t *) b;

    return x < y ? -1 : x > y;
}

static uint64_t
random_number(void)
{
    static uint64_t state = 42;

    state = state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return state >> 33;
}

static uint64_t
even(void)
{
    return 1 + random_number() % 100000;
}

/* As many of 1 to 2 us as of 1 to 2 minutes. */
static uint64_t
scattered(void)
{
    uint64_t power = UINT64_C(1) << random_number() % 26;

    return power + random_number() % power;
}

static uint64_t
two_peaks(void)
{
    return random_number() % 10 == 0 ? 5 * SECOND + random_number() % 1000 : 300;
}

static uint64_t
alike(void)
{
    return 777;
}

static uint64_t
short_ones(void)
{
    return random_number() % 8;
}

static uint64_t (*const samples[])(void) = { even, scattered, two_peaks, alike, short_ones };

/* The least of the sample that the share q does not exceed. */
static uint64_t
exact(double q)
{
    unsigned rank = 1;

    while (rank < SAMPLE && rank < q * SAMPLE)
        rank++;
    return sample[rank - 1];
}

START_TEST(quantiles_are_within_10_percent_of_the_sample)
{
    static const double shares[] = { 0, 0.001, 0.1, 0.25, 0.5, 0.75, 0.9, 0.99, 0.999, 0.9999, 1 };

    memset(cells, 0, sizeof(cells));
    for (unsigned i = 0; i < SAMPLE; i++) {
        sample[i] = samples[_i]();
        observe(sample[i]);
    }
    qsort(sample, SAMPLE, sizeof(*sample), compare);
    ck_assert_uint_eq(rv_stats_histogram_count(cells), SAMPLE);

    for (size_t i = 0; i < rv_countof(shares); i++) {
        uint64_t want = exact(shares[i]), got = quantile(cells, shares[i]);
        uint64_t error = got > want ? got - want : want - got;

        ck_assert_msg(error * 10 <= want, "%g: %llu, not %llu", shares[i], (unsigned long long) got,
            (unsigned long long) want);
    }
}
END_TEST

START_TEST(several_quantiles_are_those_one_by_one)
{
    static const double shares_of_all[] = { 0, 0.1, 0.5, 0.5, 0.999, 1 };
    uint64_t some[RV_STATS_HISTOGRAM_CELLS] = { 0 }, got[rv_countof(shares_of_all)];

    for (unsigned i = 3; i < RV_STATS_HISTOGRAM_BUCKETS; i += 1 + i / 4)
        some[RV_STATS_HISTOGRAM_FIRST + i] = i;
    some[RV_STATS_HISTOGRAM_MAX] = rv_stats_histogram_floor(120);
    rv_stats_histogram_quantiles(some, shares_of_all, rv_countof(shares_of_all), got);
    for (size_t i = 0; i < rv_countof(shares_of_all); i++)
        ck_assert_uint_eq(got[i], quantile(some, shares_of_all[i]));
    ck_assert_uint_eq(got[0], 3);
}
END_TEST

START_TEST(histogram_without_observations_has_no_quantiles)
{
    memset(cells, 0, sizeof(cells));
    ck_assert_uint_eq(rv_stats_histogram_count(cells), 0);
    ck_assert_uint_eq(quantile(cells, 0.5), 0);
    ck_assert_uint_eq(quantile(cells, 1), 0);
}
END_TEST

START_TEST(no_quantile_is_more_than_the_longest_time)
{
    memset(cells, 0, sizeof(cells));
    observe(rv_stats_histogram_floor(100)); /* the middle of its bucket is more */
    ck_assert_uint_eq(quantile(cells, 0.5), rv_stats_histogram_floor(100));
    ck_assert_uint_eq(quantile(cells, 1), rv_stats_histogram_floor(100));
}
END_TEST

START_TEST(quantile_among_the_too_long_ones_is_the_longest)
{
    memset(cells, 0, sizeof(cells));
    for (int i = 0; i < 8; i++)
        observe(7);
    observe(200 * SECOND);
    observe(4000 * SECOND);
    ck_assert_uint_eq(quantile(cells, 0.8), 7);
    ck_assert_uint_eq(quantile(cells, 0.81), 4000 * SECOND);
    ck_assert_uint_eq(quantile(cells, 1), 4000 * SECOND);
}
END_TEST

/* --- in shared memory --------------------------------------------------------------------- */

static const rv_stats_def_t all_defs[] = {
    { "time", RV_STATS_HISTOGRAM, "" },
    { "requests", RV_STATS_COUNTER, "" },
    { "active", RV_STATS_GAUGE, "" },
    { "wait", RV_STATS_HISTOGRAM, "" },
    { 0 },
};

static rv_stats_defs_t defs;
static rv_stats_t *st;
static int time_cell, wait_cell;

static void
setup(void)
{
    rv_stats_define(&defs, "m", all_defs);
    st = stats_of(&defs, ROWS);
    time_cell = rv_stats_find(st, "m", "time");
    wait_cell = rv_stats_find(st, "m", "wait");
}

static void
teardown(void)
{
    rv_stats_free(st);
}

/* In one transaction with a gauge's change, as servers do it. */
static void
end_request(uint64_t usec, unsigned times)
{
    rv_stats_change_t changes[1 + RV_STATS_OBSERVATION] = {
        { stats_cell(st, "m", "active"), -1 },
    };

    stats_add(st, stats_cell(st, "m", "active"), 1);
    unsigned n = rv_stats_observe(st, time_cell, usec, times, changes + 1);
    ck_assert_uint_le(n, RV_STATS_OBSERVATION);
    rv_stats_apply(st, changes, 1 + n);
}

static void
assert_time(uint64_t count, uint64_t sum, uint64_t max)
{
    uint64_t values[RV_STATS_CELLS];

    rv_stats_snapshot(st, values, RV_STATS_CELLS);
    ck_assert_uint_eq(rv_stats_histogram_count(values + time_cell), count);
    ck_assert_uint_eq(values[time_cell + RV_STATS_HISTOGRAM_SUM], sum);
    ck_assert_uint_eq(values[time_cell + RV_STATS_HISTOGRAM_MAX], max);
    ck_assert_uint_eq(rv_stats_histogram_count(values + wait_cell), 0);
    ck_assert_uint_eq(values[stats_cell(st, "m", "active")], 0);
}

START_TEST(observations_go_to_sum_longest_and_bucket)
{
    stats_own(st);
    assert_time(0, 0, 0);
    end_request(1000, 1);
    assert_time(1, 1000, 1000);
    end_request(400, 1);
    assert_time(2, 1400, 1000);
    end_request(5000, 3);
    assert_time(5, 16400, 5000);
    end_request(0, 1);
    assert_time(6, 16400, 5000);
    end_request(9000, 0);
    assert_time(6, 16400, 5000);

    uint64_t values[RV_STATS_CELLS];
    rv_stats_snapshot(st, values, RV_STATS_CELLS);
    const uint64_t *bucket = values + time_cell + RV_STATS_HISTOGRAM_FIRST;
    ck_assert_uint_eq(bucket[rv_stats_histogram_bucket(5000)], 3);
    ck_assert_uint_eq(bucket[rv_stats_histogram_bucket(400)], 1);
    ck_assert_uint_eq(bucket[0], 1);
}
END_TEST

START_TEST(observation_by_itself_changes_nothing)
{
    rv_stats_change_t changes[RV_STATS_OBSERVATION];

    stats_own(st);
    ck_assert_uint_gt(rv_stats_observe(st, time_cell, 1000, 1, changes), 0);
    assert_time(0, 0, 0);
    ck_assert_uint_eq(rv_stats_observe(st, RV_ERROR, 1000, 1, changes), 0);
}
END_TEST

/* Two at once have as many changes as there may be, and two more beside them. */
START_TEST(two_histograms_are_observed_in_one_transaction)
{
    rv_stats_change_t changes[2 + 2 * RV_STATS_OBSERVATION] = {
        { stats_cell(st, "m", "requests"), 1 },
        { stats_cell(st, "m", "active"), 1 },
    };
    uint64_t values[RV_STATS_CELLS];
    unsigned n = 2;

    stats_own(st);
    n += rv_stats_observe(st, time_cell, 1000, 1, changes + n);
    n += rv_stats_observe(st, wait_cell, 20, 1, changes + n);
    ck_assert_uint_eq(n, RV_STATS_CHANGES);
    rv_stats_apply(st, changes, n);
    rv_stats_snapshot(st, values, RV_STATS_CELLS);
    ck_assert_uint_eq(values[time_cell + RV_STATS_HISTOGRAM_SUM], 1000);
    ck_assert_uint_eq(values[wait_cell + RV_STATS_HISTOGRAM_MAX], 20);
    ck_assert_uint_eq(values[stats_cell(st, "m", "requests")], 1);
}
END_TEST

START_TEST(histograms_of_processes_add_up_and_the_longest_is_the_longest_of_all)
{
    unsigned rows[3];

    for (unsigned i = 0; i < 3; i++) {
        rows[i] = stats_own(st);
        end_request(1000 * (i == 1 ? 9 : i + 1), i + 1);
    }
    assert_time(6, 1000 + 18000 + 9000, 9000);

    /* and the dead keep theirs, whoever is folded first */
    for (unsigned i = 0; i < 3; i++) {
        ck_assert_int_eq(rv_stats_fold(st, rows[(i + 1) % 3]), RV_OK);
        assert_time(6, 28000, 9000);
    }
    stats_own(st);
    end_request(50, 1);
    assert_time(7, 28050, 9000);
    end_request(20000, 1);
    assert_time(8, 48050, 20000);
}
END_TEST

static Suite *
stats_histogram_suite(void)
{
    Suite *suite = suite_create("stats_histogram");
    TCase *tcase = tcase_create("buckets");

    tcase_set_timeout(tcase, 60);
    tcase_add_test(tcase, bucket_begins_where_its_floor_is);
    tcase_add_test(tcase, bucket_of_a_longer_time_is_never_before);
    tcase_add_test(tcase, last_bucket_takes_whatever_is_longer);
    tcase_add_test(tcase, time_of_1_us_to_100_s_is_within_10_percent_of_what_is_shown);
    tcase_add_loop_test(
        tcase, quantiles_are_within_10_percent_of_the_sample, 0, (int) rv_countof(samples));
    tcase_add_test(tcase, several_quantiles_are_those_one_by_one);
    tcase_add_test(tcase, histogram_without_observations_has_no_quantiles);
    tcase_add_test(tcase, no_quantile_is_more_than_the_longest_time);
    tcase_add_test(tcase, quantile_among_the_too_long_ones_is_the_longest);
    suite_add_tcase(suite, tcase);

    tcase = tcase_create("rows");
    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_add_test(tcase, observations_go_to_sum_longest_and_bucket);
    tcase_add_test(tcase, observation_by_itself_changes_nothing);
    tcase_add_test(tcase, two_histograms_are_observed_in_one_transaction);
    tcase_add_test(tcase, histograms_of_processes_add_up_and_the_longest_is_the_longest_of_all);
    suite_add_tcase(suite, tcase);
    return suite;
}

int
main(void)
{
    return stats_run(stats_histogram_suite());
}
