/*
 * module_waiter: a handler that takes its time, as a service might.
 *
 * A module of the test program alone. "GET /do/NAME" of a location with
 * "handler = waiter" does what the table below says, in the worker that is asked.
 */
#include "rv_http_body.h"
#include "rv_http_defer.h"
#include "rv_http_parse.h"
#include "rv_http_query.h"
#include "rv_http_reply.h"
#include "rv_http_request.h"
#include "rv_http_stream.h"
#include "rv_parse.h"
#include "rv_worker.h"

#include <event2/event.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* --- those who wait for an answer ------------------------------------------------------ */

typedef struct held_s {
    struct held_s *next;
    rv_http_request_t *request;
    struct event *timer; /* NULL: one of /do/release */
} held_t;

static held_t *held;
static unsigned gone;

static void
reply_text(rv_http_request_t *r, const char *text)
{
    rv_http_reply(r, 200, "text/plain", text, strlen(text), NULL);
}

static void
forget(held_t *h)
{
    held_t **link = &held;

    while (*link != h)
        link = &(*link)->next;
    *link = h->next;
    if (h->timer != NULL)
        event_free(h->timer);
    free(h);
}

static void
on_gone(rv_http_request_t *r, void *data)
{
    (void) r;
    gone++;
    forget(data);
}

/* At the end, so that those who wait are answered in their order. */
static held_t *
hold(rv_http_request_t *r)
{
    held_t *h = calloc(1, sizeof(*h)), **link = &held;

    if (h == NULL)
        abort();
    while (*link != NULL)
        link = &(*link)->next;
    *link = h;
    h->request = r;
    rv_http_defer(r, on_gone, h);
    return h;
}

static void
do_hold(rv_http_request_t *r)
{
    (void) hold(r);
}

static void
answer_held(held_t *h, const char *text)
{
    rv_http_request_t *r = h->request;
    char line[256];

    snprintf(line, sizeof(line), "%s %s\n", r->parser.path, text);
    forget(h);
    reply_text(r, line);
}

static void
do_release(rv_http_request_t *r)
{
    char text[64];
    unsigned count = 0;

    for (held_t *h = held, *next; h != NULL; h = next) {
        next = h->next;
        if (h->timer != NULL)
            continue;
        answer_held(h, "released");
        count++;
    }
    snprintf(text, sizeof(text), "%u released\n", count);
    reply_text(r, text);
}

static void
on_timer(int fd, short what, void *data)
{
    (void) fd;
    (void) what;
    answer_held(data, "in time");
}

static void
hold_for_timer(rv_http_request_t *r, event_callback_fn callback)
{
    const struct timeval soon = { 0, 20 * 1000 };
    held_t *h = hold(r);

    h->timer = event_new(rv_loop_base(rv_connections_loop(r->connection->all)), -1, 0, callback, h);
    if (h->timer == NULL || event_add(h->timer, &soon) != 0)
        abort();
}

static void
do_after(rv_http_request_t *r)
{
    hold_for_timer(r, on_timer);
}

static void
do_now(rv_http_request_t *r)
{
    answer_held(hold(r), "at once");
}

/* --- bodies and queries ----------------------------------------------------------------- */

static void
do_echo(rv_http_request_t *r)
{
    size_t length;
    const char *body = rv_http_body(r, &length);

    rv_http_reply(r, 200, "text/plain", body, length, NULL);
}

/* The body is there still when the answer comes later. */
static void
on_echo_timer(int fd, short what, void *data)
{
    held_t *h = data;
    rv_http_request_t *r = h->request;

    (void) fd;
    (void) what;
    forget(h);
    do_echo(r);
}

static void
do_echo_after(rv_http_request_t *r)
{
    hold_for_timer(r, on_echo_timer);
}

static void
do_block(rv_http_request_t *r)
{
    char text[2000];

    memset(text, 'b', sizeof(text));
    rv_http_reply(r, 200, "text/plain", text, sizeof(text), NULL);
}

static void
do_query(rv_http_request_t *r)
{
    char value[16];
    int result = rv_http_query_get(r->parser.query, "topic", value, sizeof(value));

    if (result >= 400)
        rv_http_reply_status(r, (unsigned) result, NULL);
    else
        reply_text(r, result == RV_OK ? value : "there is none");
}

/* --- streams ------------------------------------------------------------------------------ */

typedef struct listener_s {
    struct listener_s *next;
    rv_http_stream_t *stream;
} listener_t;

static listener_t *listeners;
static unsigned closed, drained;

static void
remove_listener(listener_t *l)
{
    listener_t **link = &listeners;

    while (*link != l)
        link = &(*link)->next;
    *link = l->next;
    free(l);
}

static void
on_close(rv_http_stream_t *s, void *data)
{
    (void) s;
    closed++;
    remove_listener(data);
}

static void
on_drain(rv_http_stream_t *s, void *data)
{
    drained++;
    (void) rv_http_stream_write(s, "bye", 3);
    rv_http_stream_end(s);
    remove_listener(data);
}

static void
on_drain_stay(rv_http_stream_t *s, void *data)
{
    (void) data;
    drained++;
    (void) rv_http_stream_write(s, "soon", 4);
}

static uint64_t
number_of(const rv_http_request_t *r, const char *name, uint64_t otherwise)
{
    char value[32];
    uint64_t number;

    if (rv_http_query_get(r->parser.query, name, value, sizeof(value)) != RV_OK)
        return otherwise;
    return rv_parse_uint(value, &number) == RV_OK ? number : otherwise;
}

static void
write_times(rv_http_stream_t *s, const rv_http_request_t *r, const char *text, size_t length)
{
    for (uint64_t i = number_of(r, "times", 1); i > 0; i--)
        (void) rv_http_stream_write(s, text, length);
}

/* "drain": 0 has it ended, 1 says a last word and ends it, 2 does not end it. */
static listener_t *
add_listener(rv_http_request_t *r)
{
    static void (*const drain[])(rv_http_stream_t *, void *) = { NULL, on_drain, on_drain_stay };
    rv_http_stream_options_t options = { .type = "text/plain",
        .extra = "Cache-Control: no-store\r\n",
        .limit = number_of(r, "limit", 64 * 1024),
        .close = on_close,
        .drain = drain[number_of(r, "drain", 1)] };
    listener_t *l = calloc(1, sizeof(*l));

    if (l == NULL)
        abort();
    l->stream = rv_http_stream_begin(r, &options, l);
    if (l->stream == NULL) {
        free(l);
        return NULL;
    }
    l->next = listeners;
    listeners = l;
    return l;
}

static void
do_stream(rv_http_request_t *r)
{
    (void) add_listener(r);
}

/* With something to say at once: so many bytes, so often. */
static void
do_stream_burst(rv_http_request_t *r)
{
    static char text[64 * 1024];
    size_t length = (size_t) number_of(r, "bytes", sizeof(text));
    listener_t *l = add_listener(r);

    memset(text, 'b', sizeof(text));
    if (l != NULL)
        write_times(l->stream, r, text, rv_min(length, sizeof(text)));
}

static void
on_stream_timer(int fd, short what, void *data)
{
    held_t *h = data;
    rv_http_request_t *r = h->request;

    (void) fd;
    (void) what;
    forget(h);
    listener_t *l = add_listener(r);
    if (l != NULL)
        (void) rv_http_stream_write(l->stream, "late", 4);
}

static void
do_stream_after(rv_http_request_t *r)
{
    hold_for_timer(r, on_stream_timer);
}

static void
do_write(rv_http_request_t *r)
{
    size_t length;
    const char *body = rv_http_body(r, &length);

    for (listener_t *l = listeners; l != NULL; l = l->next)
        write_times(l->stream, r, body, length);
    reply_text(r, "written\n");
}

static void
do_end(rv_http_request_t *r)
{
    while (listeners != NULL) {
        rv_http_stream_end(listeners->stream);
        remove_listener(listeners);
    }
    reply_text(r, "ended\n");
}

/* --- the handler ----------------------------------------------------------------------- */

static void
do_count(rv_http_request_t *r)
{
    char text[128];
    unsigned count = 0, streams = 0;

    for (const listener_t *l = listeners; l != NULL; l = l->next)
        streams++;
    for (const held_t *h = held; h != NULL; h = h->next)
        count++;
    snprintf(text, sizeof(text), "held %u gone %u\nstreams %u closed %u drained %u\n", count, gone,
        streams, closed, drained);
    reply_text(r, text);
}

static const struct {
    const char *name;
    void (*deed)(rv_http_request_t *r);
} deeds[] = {
    { "hold", do_hold },       /* answered when somebody asks for "release" */
    { "release", do_release }, /* how many that were */
    { "after", do_after },     /* answered by a timer */
    { "now", do_now },         /* deferred, and answered before the handler returns */
    { "echo", do_echo },       /* the body */
    { "echo-after", do_echo_after },
    { "block", do_block }, /* 2000 bytes */
    { "query", do_query }, /* the parameter "topic" */
    { "stream", do_stream },
    { "stream-burst", do_stream_burst },
    { "stream-after", do_stream_after },
    { "write", do_write }, /* the body, to all streams */
    { "end", do_end },
    { "count", do_count },
};

static void
answer(rv_http_request_t *r, const rv_http_location_t *location)
{
    const char *name = strrchr(r->parser.path, '/') + 1;

    (void) location;
    for (size_t i = 0; i < rv_countof(deeds); i++) {
        if (strcmp(deeds[i].name, name) == 0) {
            deeds[i].deed(r);
            return;
        }
    }
    rv_http_reply_status(r, 404, NULL);
}

/* All have been told: whoever waits here still is waited for by nobody. */
static void
exit_worker(rv_worker_t *w)
{
    if (held != NULL || listeners != NULL)
        rv_log(RV_LOG_ALERT, 0, "worker %u exits with requests that nobody has closed", w->number);
}

static const rv_http_handler_t handler = {
    .name = "waiter",
    .methods = RV_HTTP_GET | RV_HTTP_HEAD | RV_HTTP_POST,
    .body_limit = 100 * 1024,
    .answer = answer,
};

extern const rv_module_t rv_waiter_module;

const rv_module_t rv_waiter_module = {
    .name = "waiter", .http_handler = &handler, .exit_worker = exit_worker
};
