/*
 * rv_lines: clients that speak in lines.
 *
 * Between rv_connection and a service whose protocol is text: what comes is cut into lines,
 * and what is written in one step of the loop is sent together. A client that reads too
 * slowly is cut off, it is never waited for. An idle client takes no buffer.
 *
 * The rv_lines_t is the connection's c->data; rv_lines_ready is the `ready` of the service.
 * All closing is done in there: nothing else here closes a connection, so a service may write to
 * all its clients one after the other.
 */
#ifndef RV_LINES_H
#define RV_LINES_H

#include "rv_connection.h"

typedef struct rv_lines_s rv_lines_t;

typedef struct {
    size_t longest;                /* bytes of a line, without its end */
    size_t unsent;                 /* bytes that may wait for a client; beyond them it is cut off */
    const struct timeval *timeout; /* of a client that sends nothing; NULL: none */

    /* A line that ends in LF or CRLF, which are not in it; NUL-terminated, to be changed at will.
     * NULL: it was too long. What has no end when the client goes is no line. */
    void (*line)(rv_lines_t *l, char *text, size_t length);
} rv_lines_options_t;

/* Part of what the service has of a client, zeroed. */
struct rv_lines_s {
    rv_connection_t *connection;
    const rv_lines_options_t *options;
    int cut;      /* it was too slow */
    int ending;   /* rv_lines_end was called */
    int skipping; /* the rest of a line that is too long */
    char *in;     /* the beginning of a line; NULL: nothing */
    size_t in_length;
    char *out; /* NULL: nothing is to be sent */
    size_t out_length, out_room, out_sent;
};

/* In service->open, with the options living as long as the worker. RV_ERROR: close the connection. */
int rv_lines_begin(rv_lines_t *l, rv_connection_t *c, const rv_lines_options_t *options);

/* For service->ready. */
void rv_lines_ready(rv_connection_t *c, short what);

/* Copies the bytes. What is written to a client that is cut off, or that was told the end, is dropped. */
void rv_lines_write(rv_lines_t *l, const void *bytes, size_t length);

/* No more lines are taken; what was written is sent, and then the connection is closed. */
void rv_lines_end(rv_lines_t *l);

/* In service->close. */
void rv_lines_free(rv_lines_t *l);

#endif
