/*
 * What a connection wakes: 16 idle workers of rv_connection beside 16 that wait for the
 * same socket as libevent has it, and as an epoll set of their own inside libevent's.
 *
 * One client comes after the other, is sent a byte, and leaves. Wake-ups are voluntary
 * context switches of the workers, a connection's cost is their processor time.
 */
#include "figure.h"
#include "rv_connection.h"
#include "rv_fd.h"
#include "rv_stats_fold.h"
#include "tree.h"

#include <arpa/inet.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/wait.h>
#include <unistd.h>

#ifndef EPOLLEXCLUSIVE
#define EPOLLEXCLUSIVE 0
#endif

enum {
    WORKERS = 16,
    CLIENTS = 1000, /* in a round */
    KEPT = 160      /* clients that stay, for the spread */
};

typedef struct {
    double wakeups, usec; /* of a connection */
} cost_t;

static int listening;
static rv_addr_t address;
static rv_stats_t *st;
static unsigned *taken; /* by worker: connections that stay */
static unsigned number; /* the worker's */
static int stay;        /* clients are kept */

/* --- workers --------------------------------------------------------------------------- */

static void
open_client(rv_connection_t *c)
{
    taken[number]++;
    if (write(c->fd, "x", 1) != 1)
        bench_fail("write");
    if (!stay)
        rv_connection_close(c);
}

static void
ignore(rv_connection_t *c)
{
    (void) c;
}

static const rv_service_t service = {
    .name = "bench", .open = open_client, .drain = ignore, .close = ignore
};

static void
watch_as_reeve(rv_loop_t *loop)
{
    rv_connections_t *all = rv_connections_create(loop, st, 10000);
    int row = rv_stats_claim(st);

    if (row < 0 || rv_stats_own(st, (unsigned) row) != RV_OK || all == NULL
        || rv_connections_listen(all, listening, &service, NULL) != RV_OK)
        bench_fail("rv_connections_listen");
}

static void
on_acceptable(int fd, short what, void *data)
{
    int client = rv_fd_accept(listening, NULL, NULL);

    (void) fd;
    (void) what;
    (void) data;
    if (client == -1)
        return;
    taken[number]++;
    if (write(client, "x", 1) != 1)
        bench_fail("write");
    if (!stay)
        close(client);
}

static void
watch_as_libevent(rv_loop_t *loop)
{
    if (rv_loop_watch(loop, listening, RV_LOOP_READ, on_acceptable, NULL) == NULL)
        bench_fail("rv_loop_watch");
}

static void
watch_nested(rv_loop_t *loop)
{
    struct epoll_event e = { .events = EPOLLIN | EPOLLEXCLUSIVE };
    int set = epoll_create1(EPOLL_CLOEXEC);

    if (set == -1 || epoll_ctl(set, EPOLL_CTL_ADD, listening, &e) == -1
        || rv_loop_watch(loop, set, RV_LOOP_READ, on_acceptable, NULL) == NULL)
        bench_fail("epoll");
}

static const struct {
    const char *name;
    void (*watch)(rv_loop_t *loop);
} ways[] = { { "reeve", watch_as_reeve }, { "libevent", watch_as_libevent },
    { "nested", watch_nested } };

static void
run_worker(void (*watch)(rv_loop_t *loop), int ready)
{
    rv_loop_t *loop = rv_loop_create(NULL);

    if (loop == NULL)
        bench_fail("rv_loop_create");
    watch(loop);
    close(ready);
    while (rv_loop_once(loop, -1) == RV_OK)
        continue;
    exit(1);
}

static void
start_workers(void (*watch)(rv_loop_t *loop), pid_t *pids)
{
    int ready[2];
    char byte;

    if (pipe(ready) == -1)
        bench_fail("pipe");
    for (number = 0; number < WORKERS; number++) {
        taken[number] = 0;
        pids[number] = bench_fork();
        if (pids[number] == 0)
            run_worker(watch, ready[1]);
    }
    close(ready[1]);
    if (read(ready[0], &byte, 1) != 0) /* the end: all have closed it */
        bench_fail("read");
    close(ready[0]);
}

static void
stop_workers(const pid_t *pids)
{
    for (unsigned i = 0; i < WORKERS; i++) {
        kill(pids[i], SIGKILL);
        waitpid(pids[i], NULL, 0);
    }
}

/* --- measuring --------------------------------------------------------------------------- */

static long
count_switches(pid_t pid)
{
    static const char name[] = "\nvoluntary_ctxt_switches:";
    char text[4096];

    (void) tree_read(pid, "status", text, sizeof(text));
    const char *at = strstr(text, name);
    return at == NULL ? 0 : strtol(at + sizeof(name) - 1, NULL, 10);
}

/* So far, of all workers. */
static cost_t
sum(const pid_t *pids)
{
    cost_t c = { 0, 0 };

    for (unsigned i = 0; i < WORKERS; i++) {
        c.wakeups += (double) count_switches(pids[i]);
        c.usec += tree_cpu(pids[i]);
    }
    return c;
}

static int
connect_client(void)
{
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    char byte;

    if (fd == -1 || connect(fd, &address.sockaddr.sa, address.length) == -1
        || read(fd, &byte, 1) != 1)
        bench_fail("connect");
    return fd;
}

static cost_t
measure(void (*watch)(rv_loop_t *loop))
{
    pid_t pids[WORKERS];

    stay = 0;
    start_workers(watch, pids);
    for (int i = 0; i < WORKERS; i++) /* everybody sleeps, or soon will */
        close(connect_client());
    cost_t before = sum(pids);
    for (int i = 0; i < CLIENTS; i++)
        close(connect_client());
    cost_t after = sum(pids);
    stop_workers(pids);
    return (
        cost_t){ (after.wakeups - before.wakeups) / CLIENTS, (after.usec - before.usec) / CLIENTS };
}

/* How many clients the fullest worker has, of those that stay. */
static double
measure_spread(void (*watch)(rv_loop_t *loop))
{
    pid_t pids[WORKERS];
    int fds[KEPT];
    unsigned most = 0;

    stay = 1;
    start_workers(watch, pids);
    for (int i = 0; i < KEPT; i++)
        fds[i] = connect_client();
    for (unsigned i = 0; i < WORKERS; i++)
        most = rv_max(most, taken[i]);
    stop_workers(pids);
    for (int i = 0; i < KEPT; i++)
        close(fds[i]);
    return most;
}

static void
listen_anywhere(void)
{
    address.length = sizeof(struct sockaddr_in);
    address.sockaddr.in.sin_family = AF_INET;
    address.sockaddr.in.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    listening = rv_fd_socket(AF_INET, SOCK_STREAM);
    if (listening == -1 || bind(listening, &address.sockaddr.sa, address.length) == -1
        || listen(listening, 511) == -1
        || getsockname(listening, &address.sockaddr.sa, &address.length) == -1)
        bench_fail("listen");
}

int
main(int argc, char **argv)
{
    static rv_stats_defs_t defs;
    const unsigned rows = WORKERS * BENCH_ROUNDS * 2;
    figure_t wakeups, usec, spread;

    (void) argc;
    bench_init(argv[0]);
    if (!figure_is_chosen("accept."))
        return 0;
    if (rv_stats_define(&defs, "connections", rv_connection_stats) != RV_OK)
        return 1;
    st = rv_stats_create(bench_map(rv_stats_size(&defs, rows)), &defs, rows);
    taken = bench_map(WORKERS * sizeof(*taken));
    listen_anywhere();
    if (st == NULL)
        return 1;

    figure_init(&wakeups, "accept.wakeups", "", WORKERS);
    figure_init(&usec, "accept.cpu", "us", WORKERS);
    figure_init(&spread, "accept.fullest_of_160_clients", "", WORKERS);
    for (unsigned r = 0; r < BENCH_ROUNDS; r++) {
        for (size_t w = 0; w < rv_countof(ways); w++) {
            cost_t c = measure(ways[w].watch);

            figure_add(&wakeups, ways[w].name, c.wakeups);
            figure_add(&usec, ways[w].name, c.usec);
            figure_add(&spread, ways[w].name, measure_spread(ways[w].watch));
        }
    }
    figure_print(&wakeups);
    figure_print(&usec);
    figure_print(&spread);
    return 0;
}
