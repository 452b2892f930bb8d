/*
 * rv_http_defer: an answer that comes later.
 *
 * For a handler that must wait for something: a message, a timer. Meanwhile
 * the worker goes on with others, and what this client has sent behind the
 * request waits.
 */
#ifndef RV_HTTP_DEFER_H
#define RV_HTTP_DEFER_H

#include "rv_http_request.h"

/*
 * In answer(): the handler will answer r with one rv_http_reply, or whatever
 * else answers, from any callback of the worker; no time limits that. Until
 * then r stays where it is, with its path, query and body, whose places may
 * change; after that it is not the handler's any more.
 *
 * If the connection is closed before, because the client has gone or the
 * worker ends, gone(r, data) is called instead, and must forget r. A client
 * that closes its sending half has gone: TCP does not tell the two apart. One
 * that has sent more than client_max_header_size behind its request is found
 * to be gone when it is answered.
 */
void rv_http_defer(rv_http_request_t *r, rv_http_gone_t gone, void *data);

/* For whatever answers, before it looks at r->keep: of a request that was
 * deferred, has the connection go on, in this step of the loop or the next. */
void rv_http_defer_end(rv_http_request_t *r);

/* For the service: the connection is being closed. */
void rv_http_defer_gone(rv_http_request_t *r);

#endif
