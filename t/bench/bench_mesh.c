/*
 * How the mesh grows: start, reload, and the death of every third worker, with hundreds of
 * them, beside nginx with as many, in turn.
 *
 * A start lasts from exec until every worker runs; here, until each has the descriptor of every
 * other as well, as /proc shows. A reload lasts until that is so of the new generation and nobody
 * of the old one is left. RV_BENCH_WORKERS="64 128" chooses the numbers of workers.
 */
#include "figure.h"
#include "server.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

enum { MOST = 512, SERVERS = 2, ROUNDS = 3, CONNECTIONS = 64, LIMIT = 60 /* s */ };

typedef enum { START, RELOAD, KILL, CPU, STEPS } step_t;

static const char *const names[] = { "reeve", "nginx" };
static int beside; /* descriptors of a worker of ours that are no channels */

/* --- complete --------------------------------------------------------------------------------- */

static int
is_complete(const server_t *s, pid_t worker)
{
    static const char title[] = "nginx: worker process";
    char text[64];

    if (strcmp(s->name, "reeve") == 0)
        return tree_descriptors(worker) == (int) s->plan.workers + beside;
    (void) tree_read(worker, "cmdline", text, sizeof(text));
    return strncmp(text, title, sizeof(title) - 1) == 0 && strstr(text, "shutting") == NULL;
}

/* Waits until there are so many workers, all complete and none of `old`. */
static void
wait_complete(const server_t *s, const pid_t *old, int old_count, pid_t *pids)
{
    int workers = (int) s->plan.workers, done = 0;
    double until = bench_now() + LIMIT;

    for (; bench_now() < until; bench_pause(2)) {
        while (old_count > 0 && kill(old[old_count - 1], 0) == -1)
            old_count--;
        if (old_count > 0 || tree_children(s->pid, pids) != workers)
            continue;
        while (done < workers && is_complete(s, pids[done]))
            done++;
        if (done == workers)
            return;
    }
    bench_give_up(
        "%s: %d of %d workers are complete after %d seconds", s->name, done, workers, LIMIT);
}

static void
start(server_t *s, unsigned workers, pid_t *pids)
{
    server_launch(s,
        &(server_plan_t){ .workers = workers, .connections = CONNECTIONS, .core = BENCH_ANY_CORE });
    wait_complete(s, NULL, 0, pids);
}

/* What a worker of ours holds beside the mesh, once it serves. */
static int
count_beside(server_t *s)
{
    server_start(s, &(server_plan_t){ .workers = 2, .connections = CONNECTIONS });
    server_wait_workers(s, 2, NULL, 0);
    bench_pause(300);
    int n = tree_descriptors(server_worker(s)) - 2;
    server_stop(s);
    return n;
}

/* --- steps -------------------------------------------------------------------------------------- */

static void
measure(server_t *s, unsigned workers, figure_t *figures)
{
    static pid_t pids[TREE_MOST], old[TREE_MOST];
    double cpu = bench_cpu(RUSAGE_CHILDREN), began = bench_now();

    start(s, workers, pids);
    figure_add(&figures[START], s->name, bench_now() - began);

    memcpy(old, pids, sizeof(old));
    began = bench_now();
    kill(s->pid, SIGHUP);
    wait_complete(s, old, (int) workers, pids);
    figure_add(&figures[RELOAD], s->name, bench_now() - began);

    int killed = 0;
    began = bench_now();
    for (unsigned i = 0; i < workers; i += 3) {
        old[killed++] = pids[i];
        kill(pids[i], SIGKILL);
    }
    wait_complete(s, old, killed, pids);
    figure_add(&figures[KILL], s->name, bench_now() - began);

    server_stop(s);
    figure_add(&figures[CPU], s->name, bench_cpu(RUSAGE_CHILDREN) - cpu);
}

static void
measure_steps(server_t *servers, unsigned count, unsigned workers)
{
    static const char *const steps[] = {
        [START] = "start", [RELOAD] = "reload", [KILL] = "third_killed", [CPU] = "cpu_of_all"
    };
    figure_t figures[STEPS];
    char name[FIGURE_NAME];

    for (int i = 0; i < STEPS; i++) {
        snprintf(name, sizeof(name), "mesh.%s", steps[i]);
        figure_init(&figures[i], name, "s", workers);
    }
    for (int round = 0; round < ROUNDS; round++) {
        for (unsigned i = 0; i < count; i++)
            measure(&servers[i], workers, figures);
    }
    figure_want(&figures[START], "nginx", 1.0);
    figure_want(&figures[RELOAD], "nginx", 1.0);
    for (int i = 0; i < STEPS; i++)
        figure_print(&figures[i]);
}

static void
measure_sizes(server_t *servers, unsigned count, unsigned workers)
{
    static pid_t pids[TREE_MOST];
    figure_t memory, master, descriptors;

    figure_init(&memory, "mesh.worker_memory", "KiB", workers);
    figure_init(&master, "mesh.master_memory", "KiB", workers);
    figure_init(&descriptors, "mesh.worker_descriptors", "", workers);
    for (unsigned i = 0; i < count; i++) {
        double size = 0;

        start(&servers[i], workers, pids);
        for (unsigned w = 0; w < workers; w++)
            size += tree_memory(pids[w]);
        figure_add(&memory, servers[i].name, size / 1024 / workers);
        figure_add(&master, servers[i].name, tree_memory(servers[i].pid) / 1024);
        figure_add(&descriptors, servers[i].name, tree_descriptors(pids[0]));
        server_stop(&servers[i]);
    }
    figure_print(&memory);
    figure_print(&master);
    figure_print(&descriptors);
}

int
main(int argc, char **argv)
{
    const char *sizes = getenv("RV_BENCH_WORKERS");
    server_t servers[SERVERS];

    (void) argc;
    bench_init(argv[0]);
    if (!figure_is_chosen("mesh."))
        return 0;
    unsigned count = server_find_all(servers, names, rv_countof(names), SERVER_HAS_WORKERS);
    beside = count_beside(&servers[0]);

    char *at = (char *) (uintptr_t) (sizes == NULL ? "256 512" : sizes);
    for (long n; (n = strtol(at, &at, 10)) > 0;) {
        unsigned workers = (unsigned) rv_min(n, (long) MOST);

        measure_steps(servers, count, workers);
        measure_sizes(servers, count, workers);
    }
    return 0;
}
