/*
 * rv_http_stream: an answer that goes on.
 *
 * A stream takes the place of the request as what hangs on the connection, and
 * of the HTTP service as what speaks to the client; it is small, and its buffer
 * is large only while the client does not keep up.
 *
 * Nobody who writes is called back: what is found out in a write, that the
 * client is too slow or has gone, is noted, and acted on when the connection's
 * turn comes. That is also when all that was written meanwhile is sent. Only
 * what would be too much is sent before: a burst is no reason to cut off a
 * client that has room for it.
 */
#include "rv_http_stream.h"

#include "rv_http_count.h"
#include "rv_http_reply.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

enum {
    OUT_ROOM = 512,  /* at first */
    OUT_KEPT = 1024, /* a larger buffer is given back when all is sent */
    FRAME_ROOM = 20, /* a chunk's size in hex, and two line ends */
    SCRAP_ROOM = 4096
};

struct rv_http_stream_s {
    rv_connection_t *connection;
    rv_http_request_t *request; /* until the connection is the stream's */
    rv_http_stream_options_t options;
    void *data;
    int64_t began;        /* us: the request */
    unsigned chunked : 1; /* else to the connection's end */
    unsigned ended : 1;   /* not the handler's any more */
    unsigned broken : 1;  /* to be closed, whatever is unsent */
    unsigned stuck : 1;   /* the socket has no room */
    unsigned woken : 1;
    unsigned wrote : 1; /* since options.sent was called */

    char *out;
    size_t room, length, sent;
};

static const struct timeval *send_timeout; /* of this worker, for streams that have ended */

int
rv_http_stream_init(rv_connections_t *all, const rv_http_conf_t *conf)
{
    send_timeout = rv_connections_timeout(all, conf->send_timeout);
    return send_timeout == NULL ? RV_ERROR : RV_OK;
}

/* --- bytes to send ------------------------------------------------------------------ */

/* RV_OK: all is sent. RV_AGAIN. RV_DONE: the client is gone. */
static int
flush(rv_http_stream_t *s)
{
    if (s->request != NULL && rv_http_request_flush(s->request) != RV_OK)
        return RV_AGAIN;

    while (s->sent < s->length) {
        ssize_t n = send(s->connection->fd, s->out + s->sent, s->length - s->sent, MSG_NOSIGNAL);

        if (n == -1 && errno == EINTR)
            continue;
        if (n == -1)
            return errno == EAGAIN || errno == EWOULDBLOCK ? RV_AGAIN : RV_DONE;
        s->sent += (size_t) n;
    }
    s->sent = s->length = 0;
    if (s->room > OUT_KEPT) {
        free(s->out);
        s->out = NULL;
        s->room = 0;
    }
    return RV_OK;
}

/* Room for so many more bytes. RV_ERROR: no memory. */
static int
reserve(rv_http_stream_t *s, size_t length)
{
    if (length <= s->room - s->length)
        return RV_OK;

    size_t unsent = s->length - s->sent;
    if (s->sent > 0)
        memmove(s->out, s->out + s->sent, unsent);
    s->sent = 0;
    s->length = unsent;
    if (length <= s->room - unsent)
        return RV_OK;

    size_t wanted = rv_max(s->room * 2, (size_t) OUT_ROOM);
    size_t room = rv_max(unsent + length, rv_min(wanted, s->options.limit));
    char *out = realloc(s->out, room);
    if (out == NULL)
        return RV_ERROR;
    s->out = out;
    s->room = room;
    return RV_OK;
}

static void
put(rv_http_stream_t *s, const void *bytes, size_t length)
{
    memcpy(s->out + s->length, bytes, length);
    s->length += length;
}

static void
put_size(rv_http_stream_t *s, size_t size)
{
    char digits[FRAME_ROOM];
    size_t n = sizeof(digits);

    digits[--n] = '\n';
    digits[--n] = '\r';
    do {
        digits[--n] = "0123456789abcdef"[size % 16];
        size /= 16;
    } while (size > 0);
    put(s, digits + n, sizeof(digits) - n);
}

/* --- the handler's side --------------------------------------------------------------- */

static void
wake(rv_http_stream_t *s)
{
    if (s->woken || s->request != NULL) /* else it goes on when it has the connection */
        return;
    s->woken = 1;
    rv_connection_wake(s->connection);
}

/*
 * Room for so many more bytes, once the client has got what its socket takes.
 * RV_AGAIN: that would be too much. RV_DONE: the client is gone, or there is no memory.
 */
static int
make_room(rv_http_stream_t *s, size_t length)
{
    size_t limit = s->options.limit;

    if (length > limit)
        return RV_AGAIN;
    if (s->length - s->sent + length > limit) {
        if (!s->stuck && flush(s) == RV_DONE)
            return RV_DONE;
        if (s->length - s->sent + length > limit)
            return RV_AGAIN;
    }
    return reserve(s, length) == RV_OK ? RV_OK : RV_DONE;
}

rv_http_stream_t *
rv_http_stream_begin(rv_http_request_t *r, const rv_http_stream_options_t *options, void *data)
{
    if (r->parser.method == RV_HTTP_HEAD) {
        rv_http_reply_begin(r, 200, options->type, options->extra);
        return NULL;
    }

    rv_http_stream_t *s = calloc(1, sizeof(*s));
    if (s == NULL) {
        rv_http_reply_status(r, 503, NULL);
        return NULL;
    }
    r->keep = 0;
    if (rv_http_reply_begin(r, 200, options->type, options->extra) != RV_OK) {
        free(s);
        return NULL;
    }
    s->connection = r->connection;
    s->request = r;
    s->options = *options;
    s->data = data;
    s->began = r->began;
    s->chunked = r->parser.minor > 0;
    r->stream = s;
    return s;
}

int
rv_http_stream_write(rv_http_stream_t *s, const void *bytes, size_t length)
{
    size_t framed = length + (s->chunked ? FRAME_ROOM : 0);

    if (s->broken)
        return RV_ERROR;
    if (length == 0) /* would be the end */
        return RV_OK;

    int result = make_room(s, framed);
    if (result == RV_AGAIN)
        rv_http_count_cut(s->connection);
    if (result != RV_OK) {
        s->broken = 1;
        wake(s);
        return RV_ERROR;
    }
    if (s->chunked)
        put_size(s, length);
    put(s, bytes, length);
    if (s->chunked)
        put(s, "\r\n", 2);
    s->wrote = 1;
    if (!s->stuck)
        wake(s);
    return RV_OK;
}

void
rv_http_stream_end(rv_http_stream_t *s)
{
    static const char last[] = "0\r\n\r\n";

    s->ended = 1;
    if (s->chunked && !s->broken) {
        if (reserve(s, sizeof(last)) == RV_OK)
            put(s, last, sizeof(last) - 1);
        else
            s->broken = 1;
    }
    wake(s);
}

/* --- the connection's side ------------------------------------------------------------- */

static void
tell_drain(rv_http_stream_t *s)
{
    if (s->ended || s->broken)
        return;

    if (s->options.drain != NULL) {
        s->options.drain(s, s->data);
    } else {
        rv_http_stream_end(s);
        s->options.close(s, s->data);
    }
}

/* Sends, and waits for the client to go, for room, or for whoever writes. */
static void
go_on(rv_http_stream_t *s)
{
    rv_connection_t *c = s->connection;
    int sent = s->broken ? RV_DONE : flush(s);

    s->woken = 0;
    if (sent == RV_DONE || (sent == RV_OK && s->ended)) {
        rv_connection_close(c);
        return;
    }
    s->stuck = sent == RV_AGAIN;
    short what = s->stuck ? RV_LOOP_READ | RV_LOOP_WRITE : RV_LOOP_READ;
    if ((c->watching != what || s->ended)
        && rv_connection_watch(c, what, s->ended ? send_timeout : NULL) != RV_OK) {
        rv_connection_close(c);
        return;
    }
    if (sent == RV_OK && s->wrote) {
        s->wrote = 0;
        if (s->options.sent != NULL)
            s->options.sent(s, s->data);
    }
}

/* What the client sends is thrown away. 1: it has gone. */
static int
is_gone(rv_connection_t *c)
{
    char scrap[SCRAP_ROOM];
    ssize_t n = recv(c->fd, scrap, sizeof(scrap), 0);

    return n == 0 || (n == -1 && errno != EAGAIN && errno != EWOULDBLOCK && errno != EINTR);
}

static void
stream_ready(rv_connection_t *c, short what)
{
    rv_http_stream_t *s = c->data;

    if ((what & EV_TIMEOUT) || ((what & RV_LOOP_READ) && is_gone(c)))
        rv_connection_close(c);
    else
        go_on(s);
}

static void
stream_drain(rv_connection_t *c)
{
    tell_drain(c->data);
}

static void
stream_close(rv_connection_t *c)
{
    rv_http_stream_gone(c->data);
    c->data = NULL;
}

static const rv_service_t service = {
    .name = "http",
    .ready = stream_ready,
    .drain = stream_drain,
    .close = stream_close,
};

void
rv_http_stream_take(rv_http_request_t *r)
{
    rv_http_stream_t *s = r->stream;
    rv_connection_t *c = r->connection;

    r->stream = NULL;
    rv_http_request_release(c);
    c->service = &service;
    c->data = s;
    s->request = NULL;
    if (rv_connection_watch(c, RV_LOOP_READ, NULL) != RV_OK) {
        rv_connection_close(c);
        return;
    }
    if (rv_connections_draining(c->all))
        tell_drain(s);
    go_on(s);
}

void
rv_http_stream_gone(rv_http_stream_t *s)
{
    rv_http_count_stream(s->connection, s->began);
    if (!s->ended)
        s->options.close(s, s->data);
    free(s->out);
    free(s);
}
