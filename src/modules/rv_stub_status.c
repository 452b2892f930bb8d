/*
 * rv_stub_status: `handler = stub_status`, nginx's page, byte for byte.
 */
#include "rv_http_parse.h"
#include "rv_http_reply.h"
#include "rv_http_request.h"
#include "rv_worker.h"

#include <inttypes.h>
#include <stdio.h>

static const rv_cycle_t *cycle;

/* Indices of the values; both the same as long as the worker lives. */
static struct {
    int accepts, handled, requests, reading, writing, waiting;
} at;

static int
init_worker(rv_worker_t *w)
{
    const rv_stats_t *st = w->stats;

    cycle = w->cycle;
    at.accepts = rv_stats_find(st, "connections", "accepts");
    at.handled = rv_stats_find(st, "connections", "handled");
    at.reading = rv_stats_find(st, "connections", "reading");
    at.writing = rv_stats_find(st, "connections", "writing");
    at.waiting = rv_stats_find(st, "connections", "waiting");
    at.requests = rv_stats_find(st, "http", "requests");
    return RV_OK;
}

static void
answer(rv_http_request_t *r, const rv_http_location_t *location)
{
    uint64_t v[RV_STATS_CELLS];
    const rv_stats_t *st = rv_connections_stats(r->connection->all);
    char text[256];

    (void) location;
    rv_stats_snapshot(st, v, rv_stats_plain(st));
    if (!rv_cycle_counts_are_whole(cycle)) { /* a truncated file; the master mends it */
        rv_http_reply_status(r, 503, NULL);
        return;
    }
    int n = snprintf(text, sizeof(text),
        "Active connections: %" PRIu64 " \n"
        "server accepts handled requests\n"
        " %" PRIu64 " %" PRIu64 " %" PRIu64 " \n"
        "Reading: %" PRIu64 " Writing: %" PRIu64 " Waiting: %" PRIu64 " \n",
        v[at.reading] + v[at.writing] + v[at.waiting], v[at.accepts], v[at.handled], v[at.requests],
        v[at.reading], v[at.writing], v[at.waiting]);

    rv_http_reply(r, 200, "text/plain", text, (size_t) n, NULL);
}

static const rv_http_handler_t handler = {
    .name = "stub_status",
    .methods = RV_HTTP_GET | RV_HTTP_HEAD,
    .answer = answer,
};

const rv_module_t rv_stub_status_module = {
    .name = "stub_status",
    .http_handler = &handler,
    .init_worker = init_worker,
};
