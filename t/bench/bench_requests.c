/*
 * What a request costs: processor time of the server's processes for each answer, beside others
 * in turn, and beside a loop that does nothing else.
 */
#include "figure.h"
#include "measure.h"
#include "outside.h"

enum { SERVERS = 8, BUSY = 64, OUTSIDE_MSEC = 1000 };

static const char *const names[] = { "reeve", "bare", "nginx", "uncounted", "unconfined", "h2o",
    "haproxy", "kore" };

typedef struct {
    const char *figure;
    const char *path;
    unsigned pipeline;
    int once;
    unsigned needed; /* abilities */
    double beside_bare, beside_nginx;
} row_t;

static const row_t rows[] = {
    { "requests.stub_status", "/stub_status", 1, 0, SERVER_HAS_STATUS, 1.12, 0.90 },
    { "requests.six_bytes", "/hello", 1, 0, 0, 1.12, 0.90 },
    { "requests.sixteen_pipelined", "/hello", 16, 0, SERVER_HAS_PIPELINING, 0, 0.70 },
    { "requests.with_a_connection_each", "/hello", 1, 1, 0, 0, 0.95 },
};

static void
measure_row(const row_t *row, const server_t *servers, unsigned count)
{
    const load_plan_t plan = {
        .path = row->path, .busy = BUSY, .pipeline = row->pipeline, .once = row->once
    };
    server_t able[SERVERS];
    unsigned n = 0;
    figure_t f;

    for (unsigned i = 0; i < count; i++) {
        int is_variant = servers[i].abilities & SERVER_IS_OURS && i > 0;

        if ((servers[i].abilities & row->needed) == row->needed && !is_variant)
            able[n++] = servers[i];
    }
    figure_init(&f, row->figure, "us", -1);
    measure_in_turn(able, n, &plan, BENCH_ROUNDS, &f);
    figure_want(&f, "bare", row->beside_bare);
    figure_want(&f, "nginx", row->beside_nginx);
    figure_print(&f);
}

/* With and without them, and the filter of system calls; what they take off is less than
 * what a machine changes by. */
static void
measure_transactions(const server_t *servers, unsigned count)
{
    const load_plan_t plan = { .path = "/hello", .busy = BUSY };
    server_t ours[SERVERS];
    unsigned n = 0;
    figure_t f;

    for (unsigned i = 0; i < count; i++) {
        if (servers[i].abilities & SERVER_IS_OURS)
            ours[n++] = servers[i];
    }
    figure_init(&f, "requests.transactions", "us", -1);
    measure_in_turn(ours, n, &plan, 3 * BENCH_ROUNDS, &f);
    figure_want(&f, "uncounted", 1.03);
    figure_print(&f);
}

/* By strace, and by clients that are not ours, where they are installed. */
static void
measure_outside(server_t *servers, unsigned count)
{
    figure_t calls, by_wrk;

    figure_init(&calls, "requests.system_calls", "", -1);
    calls.wanted = 2.1;
    figure_init(&by_wrk, "requests.six_bytes_by_wrk", "us", -1);
    for (unsigned r = 0; r < BENCH_ROUNDS; r++) {
        for (unsigned i = 0; i < count; i++) {
            if (servers[i].abilities & SERVER_IS_OURS && i > 0)
                continue;
            const load_plan_t plan = { .port = servers[i].port, .path = "/hello", .busy = BUSY };
            double figure;

            if (outside_count_calls(&servers[i], &plan, &figure) == RV_OK)
                figure_add(&calls, servers[i].name, figure);
            if (outside_run_wrk(&servers[i], &plan, &figure) == RV_OK)
                figure_add(&by_wrk, servers[i].name, figure);
        }
    }
    figure_want(&by_wrk, "bare", 1.12);
    figure_want(&by_wrk, "nginx", 0.90);
    figure_print(&calls);
    figure_print(&by_wrk);
}

int
main(int argc, char **argv)
{
    server_t servers[SERVERS];

    (void) argc;
    bench_init(argv[0]);
    if (!figure_is_chosen("requests."))
        return 0;
    unsigned count = server_find_all(servers, names, rv_countof(names), 0);
    for (unsigned i = 0; i < count; i++)
        server_start(&servers[i], &(server_plan_t){ .connections = 1024 });
    for (size_t i = 0; i < rv_countof(rows); i++) {
        if (figure_is_chosen(rows[i].figure))
            measure_row(&rows[i], servers, count);
    }
    if (figure_is_chosen("requests.transactions"))
        measure_transactions(servers, count);
    if (figure_is_chosen("requests.system_calls") || figure_is_chosen("requests.six_bytes_by_wrk"))
        measure_outside(servers, count);
    return 0;
}
