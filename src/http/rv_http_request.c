/*
 * rv_http_request: one request while it is in flight.
 *
 * The buffer `in` holds, from `start`, the request at hand and what was
 * pipelined behind it. The bytes of a head stay until it is answered, since
 * the path points into them; those of a body leave it as they come, so there is always room
 * behind the largest head. What follows a request that is answered later may fill it. The one
 * global is the request object at rest. A single one serves all requests that come whole, one
 * after the other; who sends his in pieces has one of his own for as long as that takes, and
 * what a crowd of those had is given back.
 */
#include "rv_http_request.h"

#include "rv_http_body.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

enum { OUT_KEPT = 16 * 1024 }; /* enough for pipelined requests; a larger output is given back */

static rv_http_request_t *spare;

rv_http_request_t *
rv_http_request_take(rv_connection_t *c)
{
    const rv_http_conf_t *conf = c->conf;
    rv_http_request_t *r = spare;

    spare = NULL;
    if (r == NULL) {
        size_t room = conf->client_max_header_size + RV_HTTP_REQUEST_TAIL;

        r = malloc(sizeof(*r) + room);
        if (r == NULL)
            return NULL;
        r->room = room;
        r->out = NULL;
        r->out_room = 0;
    }

    char *out = r->out;
    size_t out_room = r->out_room, room = r->room;
    memset(r, 0, sizeof(*r));
    r->connection = c;
    r->conf = conf;
    r->out = out;
    r->out_room = out_room;
    r->room = room;
    r->began = r->received = rv_loop_now_usec();
    rv_http_parse_init(&r->parser);
    c->data = r;
    return r;
}

static void
free_request(rv_http_request_t *r)
{
    free(r->out);
    free(r);
}

void
rv_http_request_release(rv_connection_t *c)
{
    rv_http_request_t *r = c->data;

    c->data = NULL;
    if (r == NULL)
        return;
    rv_http_body_free(r);
    if (spare != NULL) {
        free_request(r);
        return;
    }
    if (r->out_room > OUT_KEPT) {
        free(r->out);
        r->out = NULL;
        r->out_room = 0;
    }
    spare = r;
}

void
rv_http_request_free_all(void)
{
    if (spare != NULL)
        free_request(spare);
    spare = NULL;
}

/* Where the head begins; the path points into it until it is answered. */
static size_t
head_start(const rv_http_request_t *r)
{
    int has_head = r->phase == RV_HTTP_BODY_PHASE || r->phase == RV_HTTP_ANSWER_PHASE;

    return has_head ? (size_t) (r->parser.path - r->in) : r->start;
}

/*
 * Makes room at the end of the buffer: what is before this request's head goes;
 * the bytes of a body that were passed over have gone already.
 */
static void
compact(rv_http_request_t *r)
{
    size_t from = head_start(r);

    if (from == 0 || r->filled + RV_HTTP_REQUEST_TAIL <= r->room)
        return;

    memmove(r->in, r->in + from, r->filled - from);
    r->filled -= from;
    r->start -= from;
    for (size_t i = 0; i < RV_HTTP_PARSE_TEXTS; i++) {
        char **text = rv_http_parse_text(&r->parser, i);

        if (*text != NULL)
            *text -= from;
    }
}

size_t
rv_http_request_room(rv_http_request_t *r)
{
    compact(r);
    return r->room - r->filled;
}

int
rv_http_request_receive(rv_http_request_t *r)
{
    compact(r);
    if (r->filled > 0) /* else just taken */
        r->received = rv_loop_now_usec();

    ssize_t n = recv(r->connection->fd, r->in + r->filled, r->room - r->filled, 0);

    if (n > 0) {
        r->filled += (size_t) n;
        return RV_OK;
    }
    if (n == -1 && (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR))
        return RV_AGAIN;
    return RV_DONE;
}

int
rv_http_request_flush(rv_http_request_t *r)
{
    while (r->out_sent < r->out_length) {
        ssize_t n = send(
            r->connection->fd, r->out + r->out_sent, r->out_length - r->out_sent, MSG_NOSIGNAL);

        if (n == -1 && errno == EINTR)
            continue;
        if (n == -1)
            return errno == EAGAIN || errno == EWOULDBLOCK ? RV_AGAIN : RV_DONE;
        r->out_sent += (size_t) n;
    }
    r->out_sent = r->out_length = 0;
    return RV_OK;
}

int
rv_http_request_head(rv_http_request_t *r)
{
    size_t limit = r->conf->client_max_header_size;
    size_t have = rv_min(r->filled - r->start, limit);

    if (have == 0)
        return RV_AGAIN;

    int result = rv_http_parse_head(&r->parser, r->in + r->start, have);
    if (result == RV_AGAIN && have == limit)
        return rv_http_parse_has_line(&r->parser) ? 431 : 414;

    return result;
}

void
rv_http_request_next(rv_http_request_t *r)
{
    r->phase = RV_HTTP_HEAD_PHASE;
    r->counted = r->foreign = 0;
    r->location = NULL;
    rv_http_body_free(r);
    r->began = r->received;
    if (r->start == r->filled)
        r->start = r->filled = 0;
    rv_http_parse_init(&r->parser);
}
