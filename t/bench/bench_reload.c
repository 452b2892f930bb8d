/*
 * What clients at full speed notice of reloads.
 */
#include "figure.h"
#include "measure.h"

#include <signal.h>

enum { SERVERS = 2, BUSY = 64, RELOADS = 8, GAP_MSEC = 200, WORKERS = 2 };

static const char *const names[] = { "reeve", "nginx" };

typedef struct {
    unsigned long failed;
    double slowest; /* ms, with reloads */
    double calm;    /* and without, for as long */
} outcome_t;

static void
reload(const server_t *s)
{
    static pid_t old[TREE_MOST];
    int n = tree_children(s->pid, old);

    kill(s->pid, SIGHUP);
    server_wait_workers(s, WORKERS, old, n);
}

static outcome_t
run(server_t *s)
{
    const load_plan_t plan = { .port = s->port, .path = "/hello", .busy = BUSY };
    outcome_t outcome;
    measure_t m;
    load_t l;

    load_start(&l, &plan);
    load_wait(&l);
    bench_pause(GAP_MSEC);

    double began = bench_now();
    l.counts->slowest = 0;
    unsigned long failed = l.counts->failed;
    for (int i = 0; i < RELOADS; i++) {
        reload(s);
        bench_pause(GAP_MSEC);
    }
    outcome.failed = l.counts->failed - failed;
    outcome.slowest = (double) l.counts->slowest / 1e3;

    measure(s, &l, (unsigned) ((bench_now() - began) * 1e3), &m);
    outcome.calm = m.slowest / 1e3;
    load_stop(&l);
    return outcome;
}

int
main(int argc, char **argv)
{
    server_t servers[SERVERS];
    figure_t failed, slowest, more;

    (void) argc;
    bench_init(argv[0]);
    if (!figure_is_chosen("reload."))
        return 0;
    unsigned count = server_find_all(servers, names, rv_countof(names), SERVER_HAS_WORKERS);
    figure_init(&failed, "reload.failed_requests_of_eight", "", -1);
    failed.wanted = 0;
    figure_init(&slowest, "reload.slowest_request", "ms", -1);
    figure_init(&more, "reload.slower_than_without", "ms", -1);
    more.wanted = 50;
    for (unsigned i = 0; i < count; i++)
        server_start(&servers[i], &(server_plan_t){ .workers = WORKERS });

    for (unsigned r = 0; r < BENCH_ROUNDS; r++) {
        for (unsigned i = 0; i < count; i++) {
            outcome_t o = run(&servers[i]);

            figure_add(&failed, servers[i].name, (double) o.failed);
            figure_add(&slowest, servers[i].name, o.slowest);
            figure_add(&more, servers[i].name, rv_max(o.slowest - o.calm, 0.0));
        }
    }
    figure_print(&failed);
    figure_print(&slowest);
    figure_print(&more);
    return 0;
}
