/*
 * measure: a server under a load, for a while.
 */
#include "measure.h"

#include <string.h>

enum { WARM_MSEC = 200, MEASURE_MSEC = 1000 };

void
measure(const server_t *s, load_t *l, unsigned msec, measure_t *m)
{
    load_counts_t before;

    memcpy(&before, l->counts, sizeof(before));
    l->counts->slowest = 0;
    double cpu = tree_cpu(s->pid), began = bench_now();
    unsigned long answers = l->counts->answers;
    bench_pause(msec);
    answers = l->counts->answers - answers;
    m->usec = (tree_cpu(s->pid) - cpu) / (double) rv_max(answers, 1ul);
    m->per_second = (double) answers / (bench_now() - began);
    m->p99 = load_percentile(l, &before, 0.99);
    m->slowest = (double) l->counts->slowest;
    m->failed = l->counts->failed - before.failed;
}

void
measure_plan(const server_t *s, const load_plan_t *plan, measure_t *m)
{
    load_t l;

    load_start(&l, plan);
    load_wait(&l);
    bench_pause(WARM_MSEC);
    measure(s, &l, MEASURE_MSEC, m);
    load_stop(&l);
    if (m->failed > 0 || m->per_second < 1)
        bench_give_up("%s: %s: %lu failed", s->name, plan->path, m->failed);
}
