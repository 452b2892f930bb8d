/*
 * What grows with the connections and the workers that there are, and what does not.
 */
#include "figure.h"
#include "measure.h"

#include <stdio.h>

enum { SERVERS = 2, BUSY = 64, MANY = 12000, SLOW = 200, SILENT = 1000, SCRAPED = 512 };

static const char *const names[] = { "reeve", "nginx" };
static const unsigned idle_steps[] = { 1, 10, 100, 1000, 9000 };
static const unsigned worker_steps[] = { 1, 2, 4, 16, 64 };

static void
print_cost(const char *name, long at, const server_t *servers, unsigned count)
{
    const load_plan_t plan = { .path = "/hello", .busy = BUSY };
    figure_t f;

    figure_init(&f, name, "us", at);
    measure_in_turn(servers, count, &plan, BENCH_ROUNDS, &f);
    figure_print(&f);
}

/* With clients beside those that ask. */
static void
grow_connections(server_t *servers, unsigned count)
{
    load_t idle[SERVERS];

    for (size_t k = 0; k < rv_countof(idle_steps); k++) {
        if (idle_steps[k] > bench_most_connections())
            continue;
        for (unsigned i = 0; i < count; i++) {
            server_start(&servers[i], &(server_plan_t){ .connections = MANY });
            load_start(&idle[i],
                &(load_plan_t){ .port = servers[i].port, .path = "/hello", .idle = idle_steps[k] });
            load_wait(&idle[i]);
        }
        print_cost("growth.idle_connections", idle_steps[k], servers, count);
        for (unsigned i = 0; i < count; i++) {
            load_stop(&idle[i]);
            server_stop(&servers[i]);
        }
    }
}

static void
grow_workers(server_t *servers, unsigned count)
{
    for (size_t k = 0; k < rv_countof(worker_steps); k++) {
        for (unsigned i = 0; i < count; i++) {
            server_start(&servers[i], &(server_plan_t){ .workers = worker_steps[k] });
            server_wait_workers(&servers[i], worker_steps[k], NULL, 0);
        }
        print_cost("growth.workers", worker_steps[k], servers, count);
        for (unsigned i = 0; i < count; i++)
            server_stop(&servers[i]);
    }
}

/* The time that others wait, with clients that send a byte a second, or nothing. */
static void
measure_slow(server_t *s)
{
    const load_plan_t busy = { .port = s->port, .path = "/hello", .busy = BUSY };
    figure_t f;
    measure_t m;
    load_t slow;

    figure_init(&f, "growth.p99_beside_slow_clients", "us", SLOW + SILENT);
    for (unsigned r = 0; r < BENCH_ROUNDS; r++) {
        load_start(&slow,
            &(load_plan_t){ .port = s->port, .path = "/hello", .slow = SLOW, .silent = SILENT });
        load_wait(&slow);
        measure_plan(s, &busy, &m);
        load_stop(&slow);
        figure_add(&f, "with", m.p99);
        measure_plan(s, &busy, &m);
        figure_add(&f, "without", m.p99);
    }
    figure_want(&f, "without", 1.10);
    figure_print(&f);
}

/* One client that asks for all there is to know of so many workers. */
static void
measure_scrape(server_t *s)
{
    static const char *const paths[] = { "/status", "/metrics" };
    char name[FIGURE_NAME];

    for (size_t i = 0; i < rv_countof(paths); i++) {
        const load_plan_t plan = { .port = s->port, .path = paths[i], .busy = 1 };
        figure_t f;
        measure_t m;

        snprintf(name, sizeof(name), "growth.scrape_of_%s", paths[i] + 1);
        figure_init(&f, name, "us", SCRAPED);
        f.wanted = 1000;
        for (unsigned r = 0; r < BENCH_ROUNDS; r++) {
            measure_plan(s, &plan, &m);
            figure_add(&f, s->name, m.usec);
        }
        figure_print(&f);
    }
}

int
main(int argc, char **argv)
{
    server_t servers[SERVERS];

    (void) argc;
    bench_init(argv[0]);
    if (!figure_is_chosen("growth."))
        return 0;
    unsigned count = server_find_all(servers, names, rv_countof(names), SERVER_HAS_WORKERS);
    if (figure_is_chosen("growth.idle_connections"))
        grow_connections(servers, count);
    if (figure_is_chosen("growth.workers"))
        grow_workers(servers, count);

    server_start(&servers[0], &(server_plan_t){ .connections = MANY });
    measure_slow(&servers[0]);
    server_stop(&servers[0]);
    server_start(&servers[0], &(server_plan_t){ .workers = SCRAPED, .connections = 64 });
    server_wait_workers(&servers[0], SCRAPED, NULL, 0);
    measure_scrape(&servers[0]);
    server_stop(&servers[0]);
    return 0;
}
