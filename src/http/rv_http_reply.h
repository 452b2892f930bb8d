/*
 * rv_http_reply: answers, as bytes in a request's output.
 */
#ifndef RV_HTTP_REPLY_H
#define RV_HTTP_REPLY_H

#include "rv_http_conf.h"
#include "rv_text.h"

/*
 * Answers the request: head and, unless the method is HEAD, body, which is
 * copied. `type` NULL: no Content-Type. `extra` is header lines, each ending in CRLF, or NULL.
 * Where memory is short the connection is closed instead.
 */
void rv_http_reply(rv_http_request_t *r, unsigned code, const char *type, const void *body,
    size_t length, const char *extra);

/*
 * For large pages: a text, not begun yet, that will be the body of an answer, which is what is
 * added to it after this; and the answer. Nothing is copied as long as no other answer waits to be
 * sent. The text is taken over, and empty afterwards; if it has failed the answer is 503.
 */
void rv_http_reply_text_begin(rv_text_t *text);
void rv_http_reply_text(
    rv_http_request_t *r, unsigned code, const char *type, rv_text_t *text, const char *extra);

/* Begins an answer whose length is not known: its head, for HTTP/1.1 with a
 * body in chunks. RV_ERROR where memory is short: the connection is closed then. */
int rv_http_reply_begin(rv_http_request_t *r, unsigned code, const char *type, const char *extra);

/* The usual answer of this code: its name as text. */
void rv_http_reply_status(rv_http_request_t *r, unsigned code, const char *extra);

/* "HTTP/1.1 100 Continue", ahead of the answer. */
void rv_http_reply_continue(rv_http_request_t *r);

#endif
