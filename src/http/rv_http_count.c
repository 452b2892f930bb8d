/*
 * rv_http_count: what is counted of requests, and of the connections that bring them.
 *
 * The client's state is counted as nginx does: reading from the first byte,
 * writing from the complete head to the last byte of the answer, else waiting.
 * What changes together is one transaction. The one global is the cells of the
 * counters, which are the same for all connections of a worker.
 */
#include "rv_http_count.h"

static struct {
    int requests, refused, cut, duration;
} cells;

const rv_stats_def_t rv_http_count_stats[] = {
    { "requests", RV_STATS_COUNTER, "Client requests." },
    { "refused", RV_STATS_COUNTER,
        "Requests that were malformed, too large, too slow or not supported." },
    { "streams_cut", RV_STATS_COUNTER,
        "Streams that were cut off because the client did not keep up." },
    { "request_duration", RV_STATS_HISTOGRAM,
        "Time from a request's first byte to the last byte of its answer." },
    { NULL, 0, NULL },
};

int
rv_http_count_init(rv_stats_t *stats)
{
    cells.requests = rv_stats_find(stats, "http", "requests");
    cells.refused = rv_stats_find(stats, "http", "refused");
    cells.cut = rv_stats_find(stats, "http", "streams_cut");
    cells.duration = rv_stats_find(stats, "http", "request_duration");
    return rv_min(rv_min(cells.requests, cells.refused), rv_min(cells.cut, cells.duration)) < 0
        ? RV_ERROR
        : RV_OK;
}

void
rv_http_count_request(rv_http_request_t *r, rv_connection_state_t state)
{
    const rv_stats_change_t one = { (unsigned) cells.requests, 1 };

    rv_connection_set_state(r->connection, state, &one, r->counted ? 0 : 1);
    r->counted = 1;
}

void
rv_http_count_refused(rv_http_request_t *r)
{
    const rv_stats_change_t one = { (unsigned) cells.refused, 1 };

    rv_http_count_request(r, RV_CONNECTION_WRITING);
    rv_connection_set_state(r->connection, RV_CONNECTION_WRITING, &one, 1);
}

void
rv_http_count_answer(rv_http_request_t *r)
{
    size_t i = r->answered[0].count > 0 && r->answered[0].began != r->began ? 1 : 0;

    if (r->foreign) /* no row has more durations than requests */
        return;
    if (r->answered[i].count == 0)
        r->answered[i].began = r->began;
    r->answered[i].count++;
}

/* What the answers that have been sent do to the histogram: how many changes. */
static unsigned
observe(rv_http_request_t *r, size_t i, int64_t now, rv_stats_change_t *changes)
{
    unsigned count = r->answered[i].count;
    uint64_t took = (uint64_t) rv_max(now - r->answered[i].began, 0);

    r->answered[i].count = 0;
    return rv_stats_observe(
        rv_connections_stats(r->connection->all), cells.duration, took, count, changes);
}

void
rv_http_count_state(rv_http_request_t *r, rv_connection_state_t state)
{
    rv_stats_change_t changes[RV_STATS_OBSERVATION];
    rv_stats_t *st = rv_connections_stats(r->connection->all);
    int64_t now = r->answered[0].count > 0 ? rv_loop_now_usec() : 0;

    if (r->answered[1].count > 0)
        rv_stats_apply(st, changes, observe(r, 1, now, changes));
    unsigned count = observe(r, 0, now, changes);
    rv_connection_set_state(r->connection, state, changes, count);
}

void
rv_http_count_stream(rv_connection_t *c, int64_t began)
{
    rv_stats_change_t changes[RV_STATS_OBSERVATION];
    rv_stats_t *st = rv_connections_stats(c->all);
    uint64_t took = (uint64_t) rv_max(rv_loop_now_usec() - began, 0);

    rv_stats_apply(st, changes, rv_stats_observe(st, cells.duration, took, 1, changes));
}

void
rv_http_count_cut(rv_connection_t *c)
{
    const rv_stats_change_t one = { (unsigned) cells.cut, 1 };

    rv_stats_apply(rv_connections_stats(c->all), &one, 1);
}
