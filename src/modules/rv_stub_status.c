/*
 * rv_stub_status: `handler = stub_status`, nginx's page, byte for byte.
 */
#include "rv_http_parse.h"
#include "rv_http_reply.h"
#include "rv_http_request.h"
#include "rv_text.h"
#include "rv_worker.h"

static const rv_cycle_t *cycle;
static rv_text_t text; /* the page, kept for the next */

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
put(const char *label, uint64_t number)
{
    rv_text_add_string(&text, label);
    rv_text_add_number(&text, number);
}

static void
answer(rv_http_request_t *r, const rv_http_location_t *location)
{
    uint64_t v[RV_STATS_CELLS];
    const rv_stats_t *st = rv_connections_stats(r->connection->all);

    (void) location;
    rv_stats_snapshot(st, v, rv_stats_plain(st));
    if (!rv_cycle_counts_are_whole(cycle)) { /* a truncated file; the master mends it */
        rv_http_reply_status(r, 503, NULL);
        return;
    }
    text.length = 0;
    put("Active connections: ", v[at.reading] + v[at.writing] + v[at.waiting]);
    put(" \nserver accepts handled requests\n ", v[at.accepts]);
    put(" ", v[at.handled]);
    put(" ", v[at.requests]);
    put(" \nReading: ", v[at.reading]);
    put(" Writing: ", v[at.writing]);
    put(" Waiting: ", v[at.waiting]);
    rv_text_add_string(&text, " \n");
    if (!text.failed) {
        rv_http_reply(r, 200, "text/plain", text.data, text.length, NULL);
    } else {
        rv_http_reply_status(r, 503, NULL);
        rv_text_free(&text);
    }
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
