/*
 * What memory a worker takes, and each connection that is kept alive and idle.
 *
 * A fresh worker is one of many, as the text of programs and libraries, which all processes
 * share, would hide the rest otherwise.
 *
 * A connection's part is what the worker has more than one that is fresh and made for few, so
 * that whatever was allocated for connections before they came is counted.
 */
#include "figure.h"
#include "load.h"
#include "server.h"

enum { SERVERS = 2, FEW = 64, USUAL = 1024, MANY = 10000, SETTLE_MSEC = 300, WORKERS = 64 };

static const char *const names[] = { "reeve", "nginx" };
static const unsigned steps[] = { 0, 1000, 3000, 5000, 7000, 9000 };

static double
worker_memory(server_t *s, unsigned workers, unsigned most, unsigned open)
{
    load_t l;

    server_start(s, &(server_plan_t){ .workers = workers, .connections = most });
    server_wait_workers(s, workers, NULL, 0);
    load_start(&l, &(load_plan_t){ .port = s->port, .path = "/hello", .idle = open });
    load_wait(&l);
    bench_pause(SETTLE_MSEC);
    double memory = tree_memory(server_worker(s));
    load_stop(&l);
    server_stop(s);
    return memory;
}

static void
measure_fresh(server_t *servers, unsigned count)
{
    figure_t f;

    figure_init(&f, "memory.fresh_worker", "KiB", -1);
    f.wanted = 400;
    for (unsigned r = 0; r < BENCH_ROUNDS; r++) {
        for (unsigned i = 0; i < count; i++)
            figure_add(&f, servers[i].name, worker_memory(&servers[i], WORKERS, USUAL, 0) / 1024);
    }
    figure_print(&f);
}

int
main(int argc, char **argv)
{
    server_t servers[SERVERS];
    double fresh[SERVERS];
    figure_t each;

    (void) argc;
    bench_init(argv[0]);
    if (!figure_is_chosen("memory."))
        return 0;
    unsigned count = server_find_all(servers, names, rv_countof(names), 0);
    measure_fresh(servers, count);
    for (unsigned i = 0; i < count; i++)
        fresh[i] = worker_memory(&servers[i], 1, FEW, 0);

    for (size_t k = 0; k < rv_countof(steps); k++) {
        figure_t all;

        if (steps[k] > bench_most_connections())
            continue;
        figure_init(&all, "memory.worker_with_idle", "KiB", steps[k]);
        figure_init(&each, "memory.of_an_idle_connection", "B", steps[k]);
        for (unsigned i = 0; i < count; i++) {
            double memory = worker_memory(&servers[i], 1, MANY, steps[k]);

            figure_add(&all, servers[i].name, memory / 1024);
            figure_add(&each, servers[i].name, (memory - fresh[i]) / rv_max(steps[k], 1u));
        }
        figure_print(&all);
    }
    each.wanted = 350; /* with as many as there were last */
    figure_print(&each);
    return 0;
}
