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
    unsigned accepts, handled, requests, reading, writing, waiting;
    unsigned end; /* of what is wanted */
} at;

static unsigned
find(const rv_stats_t *st, const char *module, const char *name)
{
    unsigned index = (unsigned) rv_stats_find(st, module, name);

    at.end = rv_max(at.end, index + 1);
    return index;
}

static int
init_worker(rv_worker_t *w)
{
    const rv_stats_t *st = w->stats;

    cycle = w->cycle;
    at.accepts = find(st, "connections", "accepts");
    at.handled = find(st, "connections", "handled");
    at.reading = find(st, "connections", "reading");
    at.writing = find(st, "connections", "writing");
    at.waiting = find(st, "connections", "waiting");
    at.requests = find(st, "http", "requests");
    return RV_OK;
}

static void
put(const char *label, size_t length, uint64_t number)
{
    rv_text_add_bytes(&text, label, length);
    rv_text_add_number(&text, number);
}

#define PUT(label, number) put((label), sizeof(label) - 1, (number))

static void
answer(rv_http_request_t *r, const rv_http_location_t *location)
{
    uint64_t v[RV_STATS_CELLS];
    const rv_stats_t *st = rv_connections_stats(r->connection->all);

    (void) location;
    rv_stats_snapshot(st, v, at.end);
    if (!rv_cycle_counts_are_whole(cycle)) { /* a truncated file; the master mends it */
        rv_http_reply_status(r, 503, NULL);
        return;
    }
    text.length = 0;
    PUT("Active connections: ", v[at.reading] + v[at.writing] + v[at.waiting]);
    PUT(" \nserver accepts handled requests\n ", v[at.accepts]);
    PUT(" ", v[at.handled]);
    PUT(" ", v[at.requests]);
    PUT(" \nReading: ", v[at.reading]);
    PUT(" Writing: ", v[at.writing]);
    PUT(" Waiting: ", v[at.waiting]);
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
