/*
 * sse: clients of server-sent events.
 *
 * One is read event by event. Many are a process of their own, which does what a browser does:
 * it comes again when the connection is lost, after the time that it was told, with the id that it
 * has seen last. It notes what each has got, so that it can be held against what
 * there was to get.
 */
#ifndef SSE_H
#define SSE_H

#include "daemon.h"

#include <stdatomic.h>

/* --- one --------------------------------------------------------------------------------- */

typedef struct {
    int fd;
    uint64_t id;      /* of the last block that is complete */
    int64_t retry;    /* ms */
    int is_event;     /* the block is, not only an id, or a comment */
    char name[32];    /* of the event, "": none */
    char data[70000]; /* of the event, lines with LF between them */
    uint64_t next;    /* the id that the block says */
    int is_bad;       /* there was a line that should not be */
    char in[70000];
    size_t length;
} sse_reader_t;

/* GET path, with further header lines that end in CRLF; the head of the answer is read, and 200. */
void sse_open(daemon_t *d, sse_reader_t *r, const char *path, const char *lines);

/* The next block that the server has sent, an event or not. 0: the end of the stream. */
int sse_block(sse_reader_t *r);

/* The next event; what is none is passed over. 0: the end of the stream. */
int sse_event(sse_reader_t *r);

void sse_close(sse_reader_t *r);

/* A connection to the port, or -1; without Check, which processes that the test forks must not
 * use. */
int sse_connect(int port);

/* Publishes: the id, or minus the status of the answer. */
int64_t sse_publish(daemon_t *d, const char *topic, const char *text, size_t length);

/* --- many -------------------------------------------------------------------------------- */

typedef struct {
    _Atomic uint64_t begin, last; /* ids: the first that it was told, and the last */
    _Atomic uint64_t count;       /* events */
    _Atomic uint64_t sum;         /* of their ids and texts, in their order */
    _Atomic uint64_t opened;      /* connections */
    _Atomic uint64_t ends;        /* that the server has ended as it should, */
    _Atomic uint64_t losts;       /* events that say that something is lost */
    _Atomic uint64_t wrong;       /* ids that were not higher than the one before */
} sse_client_t;

typedef struct {
    int port;
    int count;
    pid_t pid;
    char path[128];
    _Atomic int stop;
    sse_client_t client[];
} sse_t;

/* Starts so many, and waits until all listen. */
sse_t *sse_start(daemon_t *d, const char *path, int count);

/* Waits until all have got what has this id. */
void sse_wait(daemon_t *d, sse_t *all, uint64_t id);
void sse_stop(daemon_t *d, sse_t *all);

/* How `sum` goes on with an event. */
uint64_t sse_sum(uint64_t sum, uint64_t id, const char *data);

#endif
