/*
 * rv_http_body: what follows the head of a request.
 *
 * For a handler that has a body_limit it is collected; any other body is
 * passed over.
 */
#ifndef RV_HTTP_BODY_H
#define RV_HTTP_BODY_H

#include "rv_http_request.h"

/*
 * For a handler: the whole body, decoded where it came in chunks, with a NUL
 * behind it; "" where there is none. It lives as long as the request.
 */
const char *rv_http_body(const rv_http_request_t *r, size_t *length);

/* The largest body that is taken of this request, bytes. */
uint64_t rv_http_body_limit(const rv_http_request_t *r);

/* Begins it, behind a complete head; r->location says who wants it. */
void rv_http_body_begin(rv_http_request_t *r);

/* Takes what there is of it. RV_OK: it is complete; RV_AGAIN; or the status
 * to answer before closing. */
int rv_http_body_read(rv_http_request_t *r);

/* Gives back what was collected. */
void rv_http_body_free(rv_http_request_t *r);

#endif
