/*
 * rv_http_defer: an answer that comes later.
 *
 * The connection does not go on inside the call that answers, which may be in
 * the middle of a handler's list of those who wait: it is woken, and goes on
 * when its turn comes.
 */
#include "rv_http_defer.h"

void
rv_http_defer(rv_http_request_t *r, rv_http_gone_t gone, void *data)
{
    r->deferred = 1;
    r->gone = gone;
    r->data = data;
}

void
rv_http_defer_end(rv_http_request_t *r)
{
    if (!r->deferred)
        return;

    r->deferred = 0;
    if (r->phase != RV_HTTP_ANSWER_PHASE) /* answer() has not returned yet */
        return;

    if (r->keep && rv_connections_draining(r->connection->all)) {
        r->keep = 0;
        r->linger = 1;
    }
    rv_connection_wake(r->connection);
}

void
rv_http_defer_gone(rv_http_request_t *r)
{
    if (!r->deferred)
        return;

    r->deferred = 0;
    r->gone(r, r->data);
}
