/*
 * rv_http_reply: answers, as bytes in a request's output.
 */
#ifndef RV_HTTP_REPLY_H
#define RV_HTTP_REPLY_H

#include "rv_http_conf.h"

/*
 * Answers the request: head and, unless the method is HEAD, body, which is
 * copied. `type` NULL: no Content-Type. `extra` is header lines, each ending in CRLF, or NULL.
 * Where memory is short the connection is closed instead.
 */
void rv_http_reply(rv_http_request_t *r, unsigned code, const char *type, const void *body,
    size_t length, const char *extra);

/* Begins an answer whose length is not known: its head, for HTTP/1.1 with a
 * body in chunks. RV_ERROR where memory is short: the connection is closed then. */
int rv_http_reply_begin(rv_http_request_t *r, unsigned code, const char *type, const char *extra);

/* The usual answer of this code: its name as text. */
void rv_http_reply_status(rv_http_request_t *r, unsigned code, const char *extra);

/* "HTTP/1.1 100 Continue", ahead of the answer. */
void rv_http_reply_continue(rv_http_request_t *r);

#endif
