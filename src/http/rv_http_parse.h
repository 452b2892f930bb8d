/*
 * rv_http_parse: HTTP/1.0 and 1.1 requests, from bytes.
 *
 * Knows syntax only: no sockets, no limits of the configuration, no replies.
 * The caller keeps all bytes of the request head in one buffer that may grow
 * but not move, and calls again with more of them; what was looked at is not
 * looked at again. Rules: RFC 9112, RFC 9110; a bare LF ends a line too.
 */
#ifndef RV_HTTP_PARSE_H
#define RV_HTTP_PARSE_H

#include "rv_base.h"
#include "rv_http_chunked.h"

typedef enum {
    RV_HTTP_UNKNOWN = 0,
    RV_HTTP_GET = 0x1,
    RV_HTTP_HEAD = 0x2,
    RV_HTTP_POST = 0x4,
    RV_HTTP_PUT = 0x8,
    RV_HTTP_DELETE = 0x10,
    RV_HTTP_OPTIONS = 0x20,
    RV_HTTP_PATCH = 0x40,
    RV_HTTP_TRACE = 0x80,
    RV_HTTP_CONNECT = 0x100
} rv_http_method_t;

typedef struct {
    /* progress; zero before the first byte */
    size_t scanned; /* bytes looked at for a line's end */
    size_t line;    /* where the line being collected begins */
    unsigned state;

    /* the request line */
    rv_http_method_t method;
    unsigned minor; /* HTTP/1.minor */
    char *path;     /* in the buffer: decoded, normalised, NUL-terminated */
    size_t path_length;
    char *query;         /* in the buffer, as sent, NUL-terminated; NULL: none */
    char *accept;        /* the first Accept field, the same */
    char *last_event_id; /* and Last-Event-ID */

    /* header fields */
    unsigned has_host : 1;
    unsigned has_length : 1;
    unsigned chunked : 1;
    unsigned transfer_encoding : 1;
    unsigned connection_close : 1;
    unsigned connection_keep_alive : 1;
    unsigned expect_continue : 1; /* never set by HTTP/1.0 */
    unsigned expect_other : 1;
    uint64_t content_length;

    size_t head_length; /* bytes of the head, valid after RV_OK */
} rv_http_parser_t;

/* Prepares for a new request. */
void rv_http_parse_init(rv_http_parser_t *p);

/* The fields that point into the buffer, one after the other, for whoever moves it: the i'th,
 * NULL after the last. */
#define RV_HTTP_PARSE_TEXTS 4
char **rv_http_parse_text(rv_http_parser_t *p, size_t i);

/*
 * Looks at buf[0..length). The parser may change the bytes of the head that
 * it has looked at, and no others. Empty lines before the request line are
 * skipped (their bytes count in head_length).
 * RV_OK: the head is complete, the fields above hold it; the body begins at
 * buf + head_length.
 * RV_AGAIN: more bytes are needed.
 * A number from 400 up: the status to answer before closing: 400 malformed, 501
 * unknown method or transfer coding, 505 a version other than HTTP/1.x. It is
 * found at the end of the line it is in; where the head has several faults it
 * is the first. Only rv_http_parse_init may follow.
 *
 * The path of a CONNECT is its host:port, that of "OPTIONS *" is "*"; every
 * other path begins with a slash and has no empty, "." or ".." segment.
 */
int rv_http_parse_head(rv_http_parser_t *p, char *buf, size_t length);

/*
 * 1 once the request line is complete: a head that outgrows its buffer is
 * 431 then, 414 before.
 */
int rv_http_parse_has_line(const rv_http_parser_t *p);

/* 1 when the client wants the connection kept after the answer. */
int rv_http_parse_keep_alive(const rv_http_parser_t *p);

#endif
