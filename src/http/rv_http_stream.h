/*
 * rv_http_stream: an answer that goes on.
 *
 * For a handler that has something to say from time to time, to clients that
 * listen as long as they like: server-sent events, for instance. In chunks to
 * HTTP/1.1, up to the end of the connection to HTTP/1.0. No timeout closes a
 * stream, and what the client sends meanwhile is thrown away.
 *
 * A client that has gone is noticed at once, one that closes its sending half
 * has gone. One that reads too slowly is cut off: it is never waited for.
 */
#ifndef RV_HTTP_STREAM_H
#define RV_HTTP_STREAM_H

#include "rv_http_request.h"

typedef struct {
    const char *type;  /* Content-Type, or NULL */
    const char *extra; /* header lines, each ending in CRLF, or NULL */
    size_t limit;      /* unsent bytes, framing included, beyond which the client is cut off */

    /* The stream is over, but not by rv_http_stream_end, and is to be forgotten. Never
     * called inside a function of this header, and once. */
    void (*close)(rv_http_stream_t *s, void *data);

    /* All that was written has gone to the kernel: more may be written. NULL: never mind. */
    void (*sent)(rv_http_stream_t *s, void *data);

    /* The worker drains: a last word may be written, and the stream is to be
     * ended soon. NULL: it is ended, and then closed as above. */
    void (*drain)(rv_http_stream_t *s, void *data);
} rv_http_stream_options_t;

/*
 * In answer(), or for a request that was deferred: answers it with status 200
 * and a stream, and r is not the handler's any more. The options are copied.
 * NULL: there is nothing to stream to, because the method is HEAD or memory is
 * short; the request is answered in full, and no function is called.
 */
rv_http_stream_t *rv_http_stream_begin(
    rv_http_request_t *r, const rv_http_stream_options_t *options, void *data);

/*
 * Copies the bytes. They are sent together with all that is written in this step of the
 * loop. RV_ERROR: the stream is over; its close is yet to be called.
 */
int rv_http_stream_write(rv_http_stream_t *s, const void *bytes, size_t length);

/* What was written is still sent, then the connection is closed. The stream is
 * not the handler's any more. */
void rv_http_stream_end(rv_http_stream_t *s);

/* --- for the service --------------------------------------------------------------- */

/* In a worker, first. RV_ERROR: no memory. */
int rv_http_stream_init(rv_connections_t *all, const rv_http_conf_t *conf);

/* All answers before the stream are sent: the connection is the stream's from
 * now on, and the request is given back. */
void rv_http_stream_take(rv_http_request_t *r);

/* Frees a stream whose connection is being closed. */
void rv_http_stream_gone(rv_http_stream_t *s);

#endif
