/*
 * rv_http: the HTTP service, from a request's first byte to its answer's last.
 *
 * One receive, as many requests as it held, one send. serve() goes on until it
 * needs the socket, and settle() says what for: to send what is left, to read
 * more of a request, to wait for its handler, or for the next request. Nothing
 * is kept of a request while none is in flight. A stream takes the connection over.
 */
#include "rv_http.h"

#include "rv_http_body.h"
#include "rv_http_count.h"
#include "rv_http_defer.h"
#include "rv_http_pass.h"
#include "rv_http_reply.h"
#include "rv_http_route.h"
#include "rv_http_stream.h"
#include "rv_worker.h"

#include <sys/socket.h>

enum {
    FLUSH_LENGTH = 16 * 1024, /* answers of pipelined requests sent at a time */
    LINGER_MSEC = 5 * 1000,   /* for one more read, and */
    LINGER_TOTAL_MSEC = 30 * 1000
};

static struct {
    const struct timeval *keepalive, *header, *send, *linger;
} timeouts; /* of this worker */

/* --- idle connections -------------------------------------------------------------- */

/* Waits for the next request: as long as configured, in a draining worker at
 * least keepalive_min_timeout and no longer. */
static void
wait_for_request(rv_connection_t *c)
{
    const rv_http_conf_t *conf = c->conf;
    const struct timeval *timeout = c->requests == 0 ? timeouts.header : timeouts.keepalive;
    struct timeval last = { (time_t) (conf->keepalive_min_timeout / 1000),
        (suseconds_t) (conf->keepalive_min_timeout % 1000 * 1000) };

    if (rv_connections_draining(c->all))
        timeout = &last;
    if (rv_connection_watch(c, RV_LOOP_READ, timeout) != RV_OK)
        rv_connection_close(c);
}

/* --- one request ---------------------------------------------------------------------- */

/* Answers with an error after which the bytes that follow mean nothing. */
static void
refuse(rv_http_request_t *r, unsigned code)
{
    rv_http_count_refused(r);
    rv_http_count_answer(r);
    r->keep = 0;
    r->closing = 1;
    r->linger = 1;
    rv_http_reply_status(r, code, NULL);
}

/* The head is complete: what comes of the connection, and is there a body? */
static void
begin_body(rv_http_request_t *r)
{
    rv_connection_t *c = r->connection;
    const rv_http_parser_t *p = &r->parser;
    int wanted = rv_http_parse_keep_alive(p);

    rv_http_count_request(r, RV_CONNECTION_WRITING);
    c->requests++;
    r->keep = wanted && r->conf->keepalive_timeout > 0 && !rv_connections_draining(c->all)
        && c->requests < r->conf->keepalive_requests;
    r->linger = wanted && !r->keep;
    rv_http_route_find(r);
    rv_http_body_begin(r);

    if (p->expect_other)
        refuse(r, 417);
    else if (r->body_left > rv_http_body_limit(r))
        refuse(r, 413);
    else if (p->expect_continue && (p->chunked || r->body_left > 0) && r->start == r->filled)
        rv_http_reply_continue(r);
}

/* The head and the body, as far as they are there. RV_OK: both are complete. */
static int
read_request(rv_http_request_t *r)
{
    int result = RV_OK;

    if (r->phase == RV_HTTP_HEAD_PHASE) {
        result = rv_http_request_head(r);
        if (result == RV_OK)
            begin_body(r);
    }
    if (result == RV_OK && !r->closing)
        result = rv_http_body_read(r);

    if (result >= 400)
        refuse(r, (unsigned) result);
    return r->closing ? RV_DONE : result;
}

/* Not answered yet, or by a stream that is to take the connection. */
static int
is_with_handler(const rv_http_request_t *r)
{
    return r->deferred || r->stream != NULL;
}

/* Reads a request and has it answered. RV_OK: the answer is there, now or at last. */
static int
serve_one(rv_http_request_t *r)
{
    if (r->phase != RV_HTTP_ANSWER_PHASE) {
        int result = read_request(r);

        if (result != RV_OK)
            return result;
        rv_http_route_answer(r);
        if (is_with_handler(r))
            r->phase = RV_HTTP_ANSWER_PHASE;
    }
    return is_with_handler(r) ? RV_AGAIN : RV_OK;
}

/* Answers all that is there in full. 1: there may be more, when what is in the
 * output has been sent. */
static int
serve(rv_http_request_t *r)
{
    while (!r->closing && r->out_length < FLUSH_LENGTH) {
        if (serve_one(r) != RV_OK)
            return 0;

        rv_http_count_answer(r);
        r->closing = !r->keep;
        rv_http_request_next(r);
    }
    return !r->closing;
}

/* --- the connection --------------------------------------------------------------------- */

static void
linger(rv_http_request_t *r)
{
    rv_connection_t *c = r->connection;

    if (!r->linger || shutdown(c->fd, SHUT_WR) == -1) {
        rv_connection_close(c);
        return;
    }
    r->phase = RV_HTTP_LINGER_PHASE;
    r->began = rv_loop_now_usec();
    if (rv_connection_watch(c, RV_LOOP_READ, timeouts.linger) != RV_OK)
        rv_connection_close(c);
}

static void
read_lingering(rv_http_request_t *r)
{
    r->start = r->filled = 0;
    int result = rv_http_request_receive(r);

    if (result == RV_DONE || rv_loop_now_usec() - r->began > LINGER_TOTAL_MSEC * INT64_C(1000))
        rv_connection_close(r->connection);
}

/* What is left of the time for a head. */
static void
wait_for_head(rv_http_request_t *r)
{
    rv_connection_t *c = r->connection;
    int64_t limit = (int64_t) r->conf->client_header_timeout * 1000;
    int64_t left = rv_max(r->began + limit - rv_loop_now_usec(), 1000);
    struct timeval tv = { (time_t) (left / 1000000), (suseconds_t) (left % 1000000) };

    rv_http_count_request(r, RV_CONNECTION_READING);
    if (rv_connection_watch(c, RV_LOOP_READ, &tv) != RV_OK)
        rv_connection_close(c);
}

/* No time limits the handler. The client is watched for its end; what it sends
 * waits, here or, where there is no room for it, in the socket. */
static void
wait_for_answer(rv_http_request_t *r)
{
    rv_connection_t *c = r->connection;
    short what = rv_http_request_room(r) > 0 ? RV_LOOP_READ : 0;

    if (rv_connection_watch(c, what, NULL) != RV_OK)
        rv_connection_close(c);
}

/* By what came of sending: what the connection waits for next. */
static void
settle(rv_http_request_t *r, int sent)
{
    rv_connection_t *c = r->connection;
    int idle =
        sent == RV_OK && !r->closing && r->phase == RV_HTTP_HEAD_PHASE && r->start == r->filled;

    if (sent == RV_OK)
        rv_http_count_state(r, idle ? RV_CONNECTION_WAITING : (rv_connection_state_t) c->state);
    if (sent == RV_DONE) {
        rv_connection_close(c);
    } else if (sent == RV_AGAIN) {
        if (rv_connection_watch(c, RV_LOOP_WRITE, timeouts.send) != RV_OK)
            rv_connection_close(c);
    } else if (r->stream != NULL) {
        rv_http_stream_take(r);
    } else if (r->closing) {
        linger(r);
    } else if (r->phase == RV_HTTP_ANSWER_PHASE) {
        wait_for_answer(r);
    } else if (r->phase == RV_HTTP_BODY_PHASE) {
        if (rv_connection_watch(c, RV_LOOP_READ, timeouts.header) != RV_OK)
            rv_connection_close(c);
    } else if (!idle) {
        wait_for_head(r);
    } else {
        rv_http_request_release(c);
        wait_for_request(c);
    }
}

/* Serves and sends, until the socket or the client is to be waited for. */
static void
go_on(rv_http_request_t *r)
{
    int more, sent;

    do {
        more = serve(r);
        sent = rv_http_request_flush(r);
        if (more && sent == RV_OK)
            rv_http_count_state(r, RV_CONNECTION_WRITING);
    } while (more && sent == RV_OK);
    settle(r, sent);
}

/* There is room again in the socket, or an answer at last. The time that the
 * client, or the handler, took for that is not taken off the time for the next head. */
static void
on_writable(rv_http_request_t *r)
{
    if (r->phase == RV_HTTP_HEAD_PHASE)
        r->began = r->received = rv_loop_now_usec();
    else if (r->phase == RV_HTTP_ANSWER_PHASE)
        r->received = rv_loop_now_usec();
    go_on(r);
}

/* The client has sent more, or has gone, while its request is with a handler. */
static void
read_ahead(rv_http_request_t *r)
{
    if (rv_http_request_receive(r) == RV_DONE)
        rv_connection_close(r->connection);
    else
        wait_for_answer(r);
}

/* There is something to read, or (late) no more time for it: what has come
 * before the time was over counts, however late this worker looks. */
static void
read_more(rv_connection_t *c, int late)
{
    rv_http_request_t *r = c->data == NULL ? rv_http_request_take(c) : c->data;

    if (r == NULL) {
        rv_connection_close(c);
        return;
    }

    int result = rv_http_request_receive(r);
    if (result == RV_OK) {
        go_on(r);
    } else if (result == RV_DONE || (late && r->filled == 0 && !r->counted)) {
        rv_connection_close(c);
    } else if (late) {
        refuse(r, 408);
        settle(r, rv_http_request_flush(r));
    } else if (r->filled == 0 && !r->counted) {
        rv_http_request_release(c);
    }
}

static void
http_ready(rv_connection_t *c, short what)
{
    const rv_http_request_t *r = c->data;
    int late = (what & EV_TIMEOUT) != 0;

    if (late && r != NULL && (r->phase == RV_HTTP_LINGER_PHASE || r->out_length > 0))
        rv_connection_close(c);
    else if (r != NULL && (what & RV_LOOP_WRITE))
        on_writable(c->data);
    else if (r != NULL && r->phase == RV_HTTP_LINGER_PHASE)
        read_lingering(c->data);
    else if (r != NULL && r->phase == RV_HTTP_ANSWER_PHASE)
        read_ahead(c->data);
    else
        read_more(c, late);
}

static void
http_open(rv_connection_t *c)
{
    wait_for_request(c);
}

/* A connection that has been silent for long enough since it was opened goes
 * at once; one that may be about to ask gets its time. */
static void
http_drain(rv_connection_t *c)
{
    const rv_http_conf_t *conf = c->conf;
    int64_t age = rv_loop_now() - c->opened;

    if (c->data != NULL)
        return;
    if (c->requests == 0 && age >= (int64_t) conf->keepalive_min_timeout)
        read_more(c, 1);
    else
        wait_for_request(c);
}

/* Answers that nobody has read took their time too. */
static void
http_close(rv_connection_t *c)
{
    rv_http_request_t *r = c->data;

    if (r != NULL) {
        if (r->phase == RV_HTTP_ANSWER_PHASE && !is_with_handler(r))
            rv_http_count_answer(r);
        rv_http_defer_gone(r);
        if (r->stream != NULL)
            rv_http_stream_gone(r->stream);
        rv_http_count_state(r, (rv_connection_state_t) c->state);
    }
    rv_http_request_release(c);
}

static void
http_unpack(rv_connection_t *c, const rv_connection_read_t *read)
{
    if (read->length == 0)
        wait_for_request(c);
    else if (rv_http_pass_unpack(c, read) == RV_OK)
        go_on(c->data);
    else
        rv_connection_close(c);
}

static const rv_service_t service = {
    .name = "http",
    .open = http_open,
    .ready = http_ready,
    .drain = http_drain,
    .close = http_close,
    .pack = rv_http_pass_pack,
    .unpack = http_unpack,
};

/* --- the module ------------------------------------------------------------------------------ */

static int
configure(rv_cycle_t *cycle, rv_conf_t *cf)
{
    rv_http_conf_t *conf = rv_conf_get(cf, "http", NULL);

    if (rv_http_conf_collect(cf, conf) != RV_OK)
        return RV_ERROR;

    for (const rv_http_listen_t *l = conf->listens; l != NULL; l = l->next) {
        rv_conf_at_line(cf, l->line);
        (void) rv_cycle_listen(cycle, cf, &l->listener, &service, conf);
    }
    rv_conf_at_line(cf, 0);
    return RV_OK;
}

static int
init_worker(rv_worker_t *w)
{
    const rv_http_conf_t *conf = rv_conf_get(w->cycle->conf, "http", NULL);

    timeouts.keepalive = rv_connections_timeout(w->connections, conf->keepalive_timeout);
    timeouts.header = rv_connections_timeout(w->connections, conf->client_header_timeout);
    timeouts.send = rv_connections_timeout(w->connections, conf->send_timeout);
    timeouts.linger = rv_connections_timeout(w->connections, LINGER_MSEC);

    if (timeouts.keepalive == NULL || timeouts.header == NULL || timeouts.send == NULL
        || timeouts.linger == NULL)
        return RV_ERROR;
    if (rv_http_stream_init(w->connections, conf) != RV_OK)
        return RV_ERROR;
    return rv_http_count_init(w->stats);
}

static void
exit_worker(rv_worker_t *w)
{
    (void) w;
    rv_http_request_free_all();
}

const rv_module_t rv_http_module = {
    .name = "http",
    .sections = rv_http_conf_sections,
    .stats = rv_http_count_stats,
    .configure = configure,
    .init_worker = init_worker,
    .exit_worker = exit_worker,
};
