/*
 * measure: a server under a load, for a while.
 */
#include "measure.h"

#include <signal.h>
#include <string.h>

enum {
    SERVERS = 8,
    WARM_MSEC = 200,
    MEASURE_MSEC = 1000,
    SLICES = 5, /* of a server in a round */
    SLICE_WARM_MSEC = 20,
    SLICE_MSEC = 180
};

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

/* --- in turn ------------------------------------------------------------------------------- */

typedef struct {
    load_t load;
    double cpu; /* of a round */
    unsigned long answers;
} turn_t;

static void
begin(turn_t *t, const server_t *s, const load_plan_t *plan)
{
    load_plan_t here = *plan;

    here.port = s->port;
    load_start(&t->load, &here);
    load_wait(&t->load);
    bench_pause(WARM_MSEC);
    kill(t->load.pid, SIGSTOP);
}

static void
run_slice(turn_t *t, const server_t *s)
{
    kill(t->load.pid, SIGCONT);
    bench_pause(SLICE_WARM_MSEC);
    double cpu = tree_cpu(s->pid);
    unsigned long answers = t->load.counts->answers;
    bench_pause(SLICE_MSEC);
    t->answers += t->load.counts->answers - answers;
    t->cpu += tree_cpu(s->pid) - cpu;
    kill(t->load.pid, SIGSTOP);
}

void
measure_in_turn(
    const server_t *servers, unsigned count, const load_plan_t *plan, unsigned rounds, figure_t *f)
{
    turn_t turns[SERVERS];

    for (unsigned i = 0; i < count; i++)
        begin(&turns[i], &servers[i], plan);
    for (unsigned r = 0; r < rounds; r++) {
        for (unsigned i = 0; i < count; i++)
            turns[i].cpu = 0, turns[i].answers = 0;
        for (unsigned k = 0; k < SLICES * count; k++)
            run_slice(&turns[k % count], &servers[k % count]);
        for (unsigned i = 0; i < count; i++) {
            if (turns[i].answers == 0 || turns[i].load.counts->failed > 0)
                bench_give_up("%s: %s: %lu answers, %lu failed", f->name, servers[i].name,
                    turns[i].answers, turns[i].load.counts->failed);
            figure_add(f, servers[i].name, turns[i].cpu / (double) turns[i].answers);
        }
    }
    for (unsigned i = 0; i < count; i++)
        load_stop(&turns[i].load);
}
