/*
 * What a request costs: processor time of the server's processes for each answer, beside others
 * in turn, and a loop that does nothing else.
 */
#include "figure.h"
#include "load.h"
#include "server.h"

#include <string.h>

enum { WARM_MSEC = 200, MEASURE_MSEC = 1000, SERVERS = 7 };

static const char *const names[] = { "reeve", "uncounted", "bare", "nginx", "h2o", "haproxy",
    "kore" };

typedef struct {
    const char *figure;
    const char *path;
    unsigned pipeline;
    int once;
    unsigned wanted; /* of the servers */
    double beside_bare, beside_nginx;
} row_t;

static const row_t rows[] = {
    { "requests.stub_status", "/stub_status", 1, 0, SERVER_HAS_STATUS, 1.12, 0.90 },
    { "requests.six_bytes", "/hello", 1, 0, 0, 1.12, 0.90 },
    { "requests.sixteen_pipelined", "/hello", 16, 0, 0, 0, 0.7 },
    { "requests.with_a_connection_each", "/hello", 1, 1, 0, 0, 0.95 },
};

/* Microseconds for an answer. */
static double
measure(const server_t *s, const load_plan_t *plan)
{
    load_t l;

    load_start(&l, plan);
    load_wait(&l);
    bench_pause(WARM_MSEC);
    double cpu = tree_cpu(s->pid);
    unsigned long answers = l.counts->answers;
    bench_pause(MEASURE_MSEC);
    cpu = tree_cpu(s->pid) - cpu;
    answers = l.counts->answers - answers;
    if (l.counts->failed > 0 || answers == 0)
        bench_give_up("%s: %s: %lu failed", s->name, plan->path, l.counts->failed);
    load_stop(&l);
    return cpu / (double) answers;
}

static void
measure_row(const row_t *row, server_t *servers, unsigned count)
{
    figure_t f;

    figure_init(&f, row->figure, "us", -1);
    for (unsigned r = 0; r < BENCH_ROUNDS; r++) {
        for (unsigned i = 0; i < count; i++) {
            const load_plan_t plan = { .port = servers[i].port,
                .path = row->path,
                .busy = 64,
                .pipeline = row->pipeline,
                .once = row->once };

            if ((servers[i].abilities & row->wanted) == row->wanted)
                figure_add(&f, servers[i].name, measure(&servers[i], &plan));
        }
    }
    if (row->beside_bare > 0)
        figure_want(&f, "bare", row->beside_bare);
    figure_want(&f, "uncounted", 1.03);
    figure_want(&f, "nginx", row->beside_nginx);
    figure_print(&f);
}

int
main(int argc, char **argv)
{
    server_t servers[SERVERS];

    (void) argc;
    bench_init(argv[0]);
    unsigned count = server_find_all(servers, names, rv_countof(names), 0);
    for (unsigned i = 0; i < count; i++)
        server_start(&servers[i], &(server_plan_t){ .connections = 1024 });
    for (size_t i = 0; i < rv_countof(rows); i++)
        measure_row(&rows[i], servers, count);
    return 0;
}
