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

/* All clients of a service in this worker; lives as long as that. What the service sets: */
typedef struct {
    size_t longest;                /* bytes of a line, without its end */
    size_t unsent;                 /* bytes that may wait for a client; beyond them it is cut off */
    const struct timeval *timeout; /* of a client that sends nothing; NULL: none */

    /* A line that ends in LF or CRLF, which are not in it; NUL-terminated, to be changed at will.
     * NULL: it was too long. What has no end when the client goes is no line. */
    void (*line)(rv_lines_t *l, char *text, size_t length);

    /* and what it may look at */
    rv_lines_t *first; /* the youngest */
    unsigned count;
    unsigned begun; /* so far */
} rv_lines_all_t;

struct rv_lines_s {
    rv_connection_t *connection;
    void *data; /* the service's */
    rv_lines_all_t *all;
    rv_lines_t *next;
    rv_lines_t **link;
    unsigned number; /* no other has had it in this worker */
    int cut;         /* it was too slow */
    int ending;      /* rv_lines_end was called */
    int skipping;    /* the rest of a line that is too long */
    char *in;        /* the beginning of a line; NULL: nothing */
    size_t in_length;
    char *out; /* NULL: nothing is to be sent */
    size_t out_length, out_room, out_sent;
};

/* In service->open: a client more, which is c->data from now on. NULL: there is
 * no memory for it, and the connection is closed. */
rv_lines_t *rv_lines_begin(rv_connection_t *c, rv_lines_all_t *all);

/* For service->ready. */
void rv_lines_ready(rv_connection_t *c, short what);

/* Copies the bytes. What is written to a client that is cut off, or that was told the end, is
 * dropped. */
void rv_lines_write(rv_lines_t *l, const void *bytes, size_t length);

/* The same of a text, 1023 bytes of it at most. */
void rv_lines_printf(rv_lines_t *l, const char *fmt, ...) RV_PRINTF(2, 3);

/* The same to all but one; NULL: to all. */
void rv_lines_write_all(
    rv_lines_all_t *all, const rv_lines_t *except, const void *bytes, size_t length);

/* The client with this number; NULL: it has gone. */
rv_lines_t *rv_lines_find(const rv_lines_all_t *all, unsigned number);

/* No more lines are taken; what was written is sent, and then the connection is closed. */
void rv_lines_end(rv_lines_t *l);

/* In service->close. */
void rv_lines_free(rv_lines_t *l);

#endif
