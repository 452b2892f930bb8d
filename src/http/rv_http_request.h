/*
 * rv_http_request: one request while it is in flight.
 *
 * Exists from a request's first byte to its answer's last; an idle connection
 * has none.
 */
#ifndef RV_HTTP_REQUEST_H
#define RV_HTTP_REQUEST_H

#include "rv_connection.h"
#include "rv_http_conf.h"
#include "rv_http_parse.h"

typedef enum {
    RV_HTTP_HEAD_PHASE = 0, /* the head is being read */
    RV_HTTP_BODY_PHASE,     /* the body is being read */
    RV_HTTP_ANSWER_PHASE,   /* complete; its handler answers later, or streams */
    RV_HTTP_LINGER_PHASE    /* answered; what the client still sends is thrown away */
} rv_http_phase_t;

/* What rv_http_defer takes. */
typedef void (*rv_http_gone_t)(rv_http_request_t *r, void *data);

/* Room behind the largest head, for bytes of the body. */
#define RV_HTTP_REQUEST_TAIL 1024

struct rv_http_request_s {
    rv_connection_t *connection;
    const rv_http_conf_t *conf;

    rv_http_phase_t phase;
    rv_http_parser_t parser;
    rv_http_chunked_t chunked;
    uint64_t body_left; /* bytes of a body of known length */
    uint64_t body_seen; /* bytes of a chunked one, all that it takes */
    struct {
        char *data; /* NULL: nothing yet, or nobody wants it */
        size_t length, room;
    } body;
    const rv_http_location_t *location; /* whose handler answers, once the head is complete; */
    unsigned status;                    /* NULL: this is answered, */
    unsigned methods;                   /* with these where it is 405 */
    int64_t began;                      /* us: its first byte */
    int64_t received;                   /* us: the last bytes */
    unsigned counted : 1;               /* as a request */
    unsigned foreign : 1;               /* by another worker */
    unsigned keep : 1;                  /* the connection, after this answer */
    unsigned linger : 1;                /* before closing: the client may still be sending */
    unsigned closing : 1;               /* no request after what is in `out` */
    unsigned deferred : 1;              /* its handler has it, see rv_http_defer.h */

    rv_http_gone_t gone; /* the handler's, of a deferred one */
    void *data;
    rv_http_stream_t *stream; /* that takes the connection when `out` is sent; NULL */

    /* requests whose answers are in `out`: the first may have begun earlier than the rest */
    struct {
        int64_t began;
        unsigned count;
    } answered[2];

    char *out; /* answers not yet sent */
    size_t out_room;
    size_t out_length;
    size_t out_sent; /* or never to be */

    size_t start;  /* of this request in `in` */
    size_t filled; /* of `in` */
    size_t room;   /* in `in` */
    char in[];
};

/* A request for this connection, which gets it as c->data; NULL: no memory. */
rv_http_request_t *rv_http_request_take(rv_connection_t *c);

/* Gives back the connection's request, if it has one. */
void rv_http_request_release(rv_connection_t *c);

/* Frees what is kept for the requests to come. */
void rv_http_request_free_all(void);

/* Receives once. RV_OK: there are more bytes. RV_AGAIN. RV_DONE: the client
 * sends no more, or is gone. There is always room, but for an unanswered request. */
int rv_http_request_receive(rv_http_request_t *r);

/* Makes room, where there can be any: how much. */
size_t rv_http_request_room(rv_http_request_t *r);

/* Sends what is in `out`. RV_OK: all of it. RV_AGAIN. RV_DONE: the client is gone. */
int rv_http_request_flush(rv_http_request_t *r);

/* Parses what there is of the head. RV_OK: it is complete; RV_AGAIN; or the
 * status to answer before closing. */
int rv_http_request_head(rv_http_request_t *r);

/* On to the next request of the connection, part of which may be there. */
void rv_http_request_next(rv_http_request_t *r);

#endif
