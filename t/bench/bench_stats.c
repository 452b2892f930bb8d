/*
 * What counting costs: a transaction of rv_stats beside shared atomics, as
 * nginx counts, and beside one robust mutex for all; and what reading costs.
 *
 * The figure is processor time, since there may be more processes than
 * processors: nanoseconds for one transaction, the mean of the processes, the
 * median of the rounds. All ways take their turn in each round.
 */
#include "figure.h"
#include "rv_lock.h"
#include "rv_stats.h"
#include "rv_stats_fold.h"

#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum {
    PROCESSES = 8,
    TIMES = 5000 * 1000, /* transactions of a process in a round */
    VALUES = 24,         /* as many as the daemon has */
    ROWS = 1000,
    SNAPSHOTS = 200
};

static rv_stats_def_t values[VALUES + 2]; /* counters, a histogram and the end */
static char names[VALUES][16];
static rv_stats_defs_t defs;

/* What the processes share beside the counters. */
static struct {
    atomic_uint ready;
    atomic_int go;
    double cost[PROCESSES];
    _Alignas(128) atomic_ulong atomics[3];
    _Alignas(128) rv_lock_t lock;
    unsigned long locked[3];
} * shared;

static rv_stats_t *st;

static double
now(clockid_t clock)
{
    struct timespec t;

    clock_gettime(clock, &t);
    return (double) t.tv_sec * 1e9 + (double) t.tv_nsec;
}

/* --- the ways --------------------------------------------------------------------------- */

static void
count_stats(unsigned n)
{
    const rv_stats_change_t changes[] = { { 0, 1 }, { 1, 1 }, { 2, 1 } };

    for (unsigned i = 0; i < TIMES; i++)
        rv_stats_apply(st, changes, n);
}

static void
count_atomics(unsigned n)
{
    for (unsigned i = 0; i < TIMES; i++) {
        for (unsigned k = 0; k < n; k++)
            atomic_fetch_add(&shared->atomics[k], 1);
    }
}

static void
count_locked(unsigned n)
{
    for (unsigned i = 0; i < TIMES; i++) {
        (void) rv_lock_acquire(&shared->lock, NULL, NULL);
        for (unsigned k = 0; k < n; k++)
            shared->locked[k]++;
        rv_lock_release(&shared->lock);
    }
}

static void (*const ways[])(unsigned) = { count_stats, count_atomics, count_locked };
static const char *const way_names[] = { "reeve", "atomics", "mutex" };

/* The processes are spread over the processors. */
static void
pin(unsigned i)
{
    cpu_set_t set;

    CPU_ZERO(&set);
    CPU_SET(i % (unsigned) sysconf(_SC_NPROCESSORS_ONLN), &set);
    (void) sched_setaffinity(0, sizeof(set), &set);
}

static void
run_child(unsigned i, void (*way)(unsigned), unsigned n)
{
    int row = rv_stats_claim(st);

    pin(i);
    if (row < 0 || rv_stats_own(st, (unsigned) row) != RV_OK)
        _exit(1);
    atomic_fetch_add(&shared->ready, 1);
    while (!atomic_load(&shared->go))
        sched_yield();

    double began = now(CLOCK_PROCESS_CPUTIME_ID);
    way(n);
    shared->cost[i] = (now(CLOCK_PROCESS_CPUTIME_ID) - began) / TIMES;
    _exit(rv_stats_fold(st, (unsigned) row) == RV_OK ? 0 : 1);
}

/* Nanoseconds for a transaction of n values, that many processes at once. */
static double
measure(void (*way)(unsigned), unsigned processes, unsigned n)
{
    double sum = 0;
    int status, failed = 0;

    atomic_store(&shared->ready, 0);
    atomic_store(&shared->go, 0);
    for (unsigned i = 0; i < processes; i++) {
        if (fork() == 0)
            run_child(i, way, n);
    }
    while (atomic_load(&shared->ready) < processes)
        usleep(100);
    atomic_store(&shared->go, 1);
    for (unsigned i = 0; i < processes; i++) {
        wait(&status);
        failed |= status;
    }
    if (failed) {
        fprintf(stderr, "a process failed\n");
        exit(1);
    }
    for (unsigned i = 0; i < processes; i++)
        sum += shared->cost[i];
    return sum / processes;
}

static void
compare_ways(unsigned n)
{
    static const unsigned counts[] = { 1, 2, 4, PROCESSES };
    figure_t figures[rv_countof(counts)];
    char name[FIGURE_NAME];

    snprintf(name, sizeof(name), "stats.transaction_of_%u", n);
    for (size_t p = 0; p < rv_countof(counts); p++)
        figure_init(&figures[p], name, "ns", counts[p]);
    for (unsigned r = 0; r < BENCH_ROUNDS; r++) {
        for (size_t p = 0; p < rv_countof(counts); p++) {
            for (size_t w = 0; w < rv_countof(ways); w++)
                figure_add(&figures[p], way_names[w], measure(ways[w], counts[p], n));
        }
    }
    for (size_t p = 0; p < rv_countof(counts); p++)
        figure_print(&figures[p]);
}

/* --- reading -------------------------------------------------------------------------------- */

static double
snapshot_cost(unsigned cells)
{
    uint64_t copy[RV_STATS_CELLS];
    double figures[SNAPSHOTS];

    for (unsigned i = 0; i < SNAPSHOTS; i++) {
        double began = now(CLOCK_MONOTONIC);
        rv_stats_snapshot(st, copy, cells);
        figures[i] = (now(CLOCK_MONOTONIC) - began) / 1000;
    }
    return bench_median(figures, SNAPSHOTS);
}

static void
show_snapshot(const char *name, unsigned cells)
{
    figure_t f;

    figure_init(&f, name, "us", ROWS);
    figure_add(&f, "reeve", snapshot_cost(cells));
    figure_print(&f);
}

static void
read_in_a_loop(void)
{
    uint64_t copy[RV_STATS_CELLS];

    for (;;)
        rv_stats_snapshot(st, copy, rv_stats_plain(st));
}

/* What a reader that never rests takes off one writer, in rounds with and without it. */
static void
measure_disturbance(void)
{
    figure_t f;

    figure_init(&f, "stats.writer_beside_a_reader", "ns", -1);
    for (unsigned r = 0; r < BENCH_ROUNDS * 3; r++) {
        pid_t reader = bench_fork();

        if (reader == 0) {
            pin(1);
            read_in_a_loop();
        }
        figure_add(&f, "with", measure(count_stats, 1, 3));
        bench_end(reader, SIGKILL);
        figure_add(&f, "without", measure(count_stats, 1, 3));
    }
    figure_print(&f);
}

static void
measure_snapshots(void)
{
    const rv_stats_change_t changes[] = { { 0, 1 }, { 1, 1 }, { 2, 1 } };

    for (unsigned i = 0; i < ROWS; i++) {
        int row = rv_stats_claim(st);

        if (row < 0 || rv_stats_own(st, (unsigned) row) != RV_OK)
            exit(1);
        rv_stats_apply(st, changes, 3);
    }
    show_snapshot("stats.snapshot", rv_stats_plain(st));
    show_snapshot("stats.snapshot_with_a_histogram", rv_stats_cells(st));
    measure_disturbance();
}

int
main(int argc, char **argv)
{
    (void) argc;
    bench_init(argv[0]);
    if (!figure_is_chosen("stats."))
        return 0;
    for (unsigned i = 0; i < VALUES; i++) {
        snprintf(names[i], sizeof(names[i]), "value_%u", i);
        values[i] = (rv_stats_def_t){ names[i], RV_STATS_COUNTER, "" };
    }
    values[VALUES] = (rv_stats_def_t){ "duration", RV_STATS_HISTOGRAM, "" };
    if (rv_stats_define(&defs, "bench", values) != RV_OK)
        return 1;

    shared = bench_map(sizeof(*shared));
    st =
        rv_stats_create(bench_map(rv_stats_size(&defs, ROWS + PROCESSES)), &defs, ROWS + PROCESSES);
    if (st == NULL || rv_lock_init(&shared->lock) != RV_OK)
        return 1;

    compare_ways(1);
    compare_ways(3);
    measure_snapshots();
    return 0;
}
