/*
 * module_pass: a handler that passes the connections of its worker to others.
 *
 * A module of the test program alone. In a location with "handler = pass":
 *
 *     /who        says which worker answers, and what of the request it has understood
 *     /pass       passes all other connections to worker `to`, or those of `port`, or of
 *                 `listener`; with `kill` the worker is killed then
 *     /pass-self  tries to pass the very connection that asks
 *     /shuffle    passes each other connection to any worker
 */
#include "rv_connection_pass.h"
#include "rv_http_parse.h"
#include "rv_http_query.h"
#include "rv_http_reply.h"
#include "rv_http_request.h"
#include "rv_worker.h"

#include <arpa/inet.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static rv_worker_t *worker;

/* --- passing ----------------------------------------------------------------------------- */

typedef struct {
    unsigned passed, again, failed;
    int error;
} outcome_t;

static void
pass(rv_connection_t *c, unsigned to, outcome_t *o)
{
    rv_process_id_t id;
    int result = RV_ERROR;

    errno = ESRCH;
    if (rv_mesh_worker(to, &id) == RV_OK)
        result = rv_connection_pass(c, &id);
    o->passed += result == RV_OK;
    o->again += result == RV_AGAIN;
    o->failed += result == RV_ERROR;
    if (result == RV_ERROR)
        o->error = errno;
}

/* A parameter that is a number; 0: it is not there. */
static unsigned
number(const rv_http_request_t *r, const char *name)
{
    char value[16];

    return rv_http_query_get(r->parser.query, name, value, sizeof(value)) == RV_OK
        ? (unsigned) atoi(value)
        : 0;
}

static unsigned
port_of(const rv_connection_t *c)
{
    return c->peer.sa.sa_family == AF_INET ? ntohs(c->peer.in.sin_port) : 0;
}

static int
is_meant(const rv_http_request_t *r, const rv_connection_t *c)
{
    unsigned port = number(r, "port"), listener = number(r, "listener");

    return c != r->connection && (port == 0 || port == port_of(c))
        && (listener == 0 || listener == c->listener);
}

/* To worker `to`, or to any (-1). */
static void
pass_all(const rv_http_request_t *r, int to, outcome_t *o)
{
    rv_connection_t *next;

    for (rv_connection_t *c = rv_connections_each(worker->connections, NULL); c != NULL; c = next) {
        next = rv_connections_each(worker->connections, c);
        if (is_meant(r, c))
            pass(c, to == -1 ? (unsigned) rand() % worker->cycle->workers : (unsigned) to, o);
    }
}

/* --- the handler ------------------------------------------------------------------------- */

static void
reply_outcome(rv_http_request_t *r, const outcome_t *o)
{
    char text[128];
    int n = snprintf(text, sizeof(text), "passed %u again %u failed %u error %d\n", o->passed,
        o->again, o->failed, o->error);

    rv_http_reply(r, 200, "text/plain", text, (size_t) n, NULL);
}

static void
do_who(rv_http_request_t *r)
{
    const rv_http_parser_t *p = &r->parser;
    char text[1024];
    int n = snprintf(text, sizeof(text),
        "worker %u pid %ld requests %u path \"%s\" query \"%s\" accept \"%s\"\n", worker->number,
        (long) getpid(), r->connection->requests, p->path, p->query == NULL ? "" : p->query,
        p->accept == NULL ? "" : p->accept);

    rv_http_reply(r, 200, "text/plain", text, rv_min((size_t) n, sizeof(text) - 1), NULL);
}

static void
do_pass(rv_http_request_t *r)
{
    outcome_t o = { 0 };

    pass_all(r, (int) number(r, "to"), &o);
    if (number(r, "kill"))
        raise(SIGKILL);
    reply_outcome(r, &o);
}

static void
do_pass_self(rv_http_request_t *r)
{
    outcome_t o = { 0 };

    pass(r->connection, number(r, "to"), &o);
    reply_outcome(r, &o);
}

static void
do_shuffle(rv_http_request_t *r)
{
    outcome_t o = { 0 };

    pass_all(r, -1, &o);
    reply_outcome(r, &o);
}

static const struct {
    const char *name;
    void (*act)(rv_http_request_t *r);
} acts[] = {
    { "/pass", do_pass },
    { "/pass-self", do_pass_self },
    { "/shuffle", do_shuffle },
};

static void
answer(rv_http_request_t *r, const rv_http_location_t *location)
{
    (void) location;
    for (size_t i = 0; i < rv_countof(acts); i++) {
        if (strcmp(acts[i].name, r->parser.path) == 0) {
            acts[i].act(r);
            return;
        }
    }
    do_who(r);
}

static int
init_worker(rv_worker_t *w)
{
    worker = w;
    srand((unsigned) getpid());
    return RV_OK;
}

static const rv_http_handler_t handler = {
    .name = "pass", .methods = RV_HTTP_GET | RV_HTTP_POST, .answer = answer
};

extern const rv_module_t rv_pass_module;

const rv_module_t rv_pass_module = {
    .name = "pass", .http_handler = &handler, .init_worker = init_worker
};
