/*
 * rv_http_route: which handler answers a request.
 */
#ifndef RV_HTTP_ROUTE_H
#define RV_HTTP_ROUTE_H

#include "rv_http_request.h"

/* With a complete head: sets r->location, or r->status to what is answered instead. */
void rv_http_route_find(rv_http_request_t *r);

/* Has the request, which is complete, answered. */
void rv_http_route_answer(rv_http_request_t *r);

#endif
