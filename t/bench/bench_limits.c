/*
 * What clients that are being served notice when no more find room, and that it is over when
 * the others have gone.
 */
#include "figure.h"
#include "measure.h"

#include <signal.h>
#include <stdio.h>

enum { BUSY = 64, PAUSE_MSEC = 300, MEASURE_MSEC = 1000 };

typedef struct {
    const char *name;
    server_plan_t plan;
    unsigned others; /* who come and find none */
} limit_t;

/* The kernel's queue takes 511, and for whoever comes then it has no answer. */
static const limit_t limits[] = {
    { "limits.worker_connections", { .connections = BUSY }, 200 },
    { "limits.descriptors", { .connections = 10000, .more = "worker_rlimit_nofile = 128\n" }, 200 },
    { "limits.accept_queue", { .connections = BUSY }, 2000 },
};

/* They are still served, and so are new ones. */
static void
expect_recovery(const server_t *s)
{
    load_t l;

    load_start(&l, &(load_plan_t){ .port = s->port, .path = "/hello", .idle = BUSY });
    load_wait(&l);
    load_stop(&l);
}

static void
run(server_t *s, const load_plan_t *plan, unsigned others, figure_t *rate, figure_t *cost)
{
    load_t busy, more;
    measure_t with, without;

    load_start(&busy, plan);
    load_wait(&busy);
    bench_pause(PAUSE_MSEC);
    measure(s, &busy, MEASURE_MSEC, &without);

    load_start(&more, &(load_plan_t){ .port = s->port, .path = "/hello", .idle = others });
    bench_pause(PAUSE_MSEC);
    measure(s, &busy, MEASURE_MSEC, &with);
    if (more.counts->settled >= others || with.failed > 0)
        bench_give_up("%s: %u were served, %lu requests failed", rate->name, more.counts->settled,
            with.failed);
    load_stop(&more);
    load_stop(&busy);
    expect_recovery(s);

    figure_add(rate, "without", without.per_second);
    figure_add(rate, "with", with.per_second);
    figure_add(cost, "with", with.usec);
    figure_add(cost, "without", without.usec);
}

static void
measure_limit(server_t *s, const limit_t *limit)
{
    figure_t rate, cost;
    char name[FIGURE_NAME];

    snprintf(name, sizeof(name), "%s.per_second", limit->name);
    figure_init(&rate, name, "", -1);
    figure_init(&cost, limit->name, "us", -1);
    for (unsigned r = 0; r < BENCH_ROUNDS; r++) {
        server_start(s, &limit->plan);
        const load_plan_t plan = { .port = s->port, .path = "/hello", .busy = BUSY };
        run(s, &plan, limit->others, &rate, &cost);
        server_stop(s);
    }
    figure_print(&rate);
    figure_print(&cost);
}

int
main(int argc, char **argv)
{
    server_t reeve;

    (void) argc;
    bench_init(argv[0]);
    (void) server_find(&reeve, "reeve");
    for (size_t i = 0; i < rv_countof(limits); i++) {
        if (figure_is_chosen(limits[i].name))
            measure_limit(&reeve, &limits[i]);
    }
    return 0;
}
