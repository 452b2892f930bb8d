/*
 * rv_http_route: which handler answers a request.
 *
 * That is known as soon as the head is, because the handler may want the body;
 * whoever gets an error instead has his body passed over.
 */
#include "rv_http_route.h"

#include "rv_activity.h"
#include "rv_http_reply.h"

#include <string.h>

/* 0, or the status of the error. */
static unsigned
find_fault(const rv_http_request_t *r, const rv_http_location_t *location)
{
    rv_addr_t client;

    if (location == NULL)
        return 404;
    if (location->rules != NULL) {
        rv_connection_peer(r->connection, &client);
        if (!rv_http_conf_allows(location, &client))
            return 403;
    }
    return location->handler->methods & r->parser.method ? 0 : 405;
}

void
rv_http_route_find(rv_http_request_t *r)
{
    const rv_http_location_t *location =
        rv_http_conf_find(r->conf, r->parser.path, r->parser.path_length);

    r->status = find_fault(r, location);
    r->location = r->status == 0 ? location : NULL;
    r->methods = location == NULL ? 0 : location->handler->methods;
}

/* "Allow: GET, HEAD" and CRLF. */
static const char *
allow_line(unsigned methods)
{
    static const char *const names[] = { "GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH",
        "TRACE", "CONNECT" };
    static char line[128];
    size_t length = (size_t) (stpcpy(line, "Allow: ") - line);

    for (size_t i = 0; i < rv_countof(names); i++) {
        if (!(methods >> i & 1))
            continue;
        if (line[length - 2] != ':')
            length = (size_t) (stpcpy(line + length, ", ") - line);
        length = (size_t) (stpcpy(line + length, names[i]) - line);
    }
    memcpy(line + length, "\r\n", 3);
    return line;
}

void
rv_http_route_answer(rv_http_request_t *r)
{
    const rv_http_location_t *location = r->location;

    if (location == NULL) {
        rv_http_reply_status(r, r->status, r->status == 405 ? allow_line(r->methods) : NULL);
        return;
    }
    rv_activity_note(RV_ACTIVITY_ANSWERING, r->connection->listener, location->handler_number);
    location->handler->answer(r, location);
}
