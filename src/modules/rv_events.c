/*
 * rv_events: `handler = events`: GET /events?topic=NAME, a stream of server-sent events.
 *
 * A message is first put into the ring that all workers share (rv_events_ring), and then the others
 * are told that there is something new. That word carries nothing, and may be lost: whoever hears
 * it, or looks by itself each second, reads the ring from where it stands (rv_events_listener).
 * What is new in one step of the loop is delivered at its end.
 */
#include "rv_events.h"

#include "rv_conf_set.h"
#include "rv_events_listener.h"
#include "rv_fd.h"
#include "rv_http_query.h"
#include "rv_http_reply.h"
#include "rv_http_stream.h"
#include "rv_mesh.h"
#include "rv_parse.h"
#include "rv_sse.h"
#include "rv_worker.h"

#include <event2/event.h>
#include <string.h>

enum { BEAT_MSEC = 1000 }; /* how often a worker looks for itself */

/* --- the section ------------------------------------------------------------------------- */

typedef struct {
    size_t max_message; /* bytes */
    size_t buffer;      /* bytes */
    uint64_t heartbeat; /* ms */
    uint64_t retry;     /* ms */
} topics_conf_t;

static const rv_conf_bounds_t message_bounds = { 1, RV_EVENTS_RING_LARGEST };
static const rv_conf_bounds_t heartbeat_bounds = { 1000, INT64_C(24) * 60 * 60 * 1000 };
static const rv_conf_bounds_t buffer_bounds = { 64 * 1024, 1 << 30 };

static const rv_directive_t directives[] = {
    { "max_message", rv_conf_set_size, offsetof(topics_conf_t, max_message), "16k",
        "the largest message that may be published (SIZE)", &message_bounds, 0 },
    { "buffer", rv_conf_set_size, offsetof(topics_conf_t, buffer), "256k",
        "what may wait for a listener before it is cut off (SIZE)", &buffer_bounds, 0 },
    { "heartbeat", rv_conf_set_msec, offsetof(topics_conf_t, heartbeat), "15s",
        "how often listeners are sent a sign of life (TIME)", &heartbeat_bounds, 0 },
    { "retry", rv_conf_set_msec, offsetof(topics_conf_t, retry), "2s",
        "when listeners that have lost the connection are to come again (TIME)", NULL, 0 },
    { .name = NULL },
};

/* What one message can become, and others before it, is to have room. */
static int
finish(rv_conf_t *cf, const char *argument, void *data)
{
    const topics_conf_t *conf = data;

    (void) argument;
    if (conf->buffer / (RV_SSE_WORST + 1) < conf->max_message)
        return rv_conf_error(
            cf, "\"buffer\" is less than %d times \"max_message\"", RV_SSE_WORST + 1);
    return RV_OK;
}

static const rv_conf_section_t section = { "topics", NULL, sizeof(topics_conf_t), directives,
    finish };
static const rv_conf_section_t *const sections[] = { &section, NULL };

/* --- what a worker knows ----------------------------------------------------------------- */

static const topics_conf_t *conf;
static rv_stats_t *stats;
static int published; /* the counter's cell */
static int news_type;
static struct event *step; /* for the end of this step of the loop */
static rv_loop_watch_t *beat;
static int64_t next_greeting; /* ms */
static rv_http_stream_options_t options;

size_t
rv_events_largest(void)
{
    return conf->max_message;
}

/* --- a listener comes and goes ----------------------------------------------------------- */

static void
on_sent(rv_http_stream_t *s, void *data)
{
    (void) s;
    rv_events_listener_go_on(data);
}

static void
on_close(rv_http_stream_t *s, void *data)
{
    (void) s;
    rv_events_listener_destroy(data);
}

/* All that is there so far goes with it. */
static void
on_drain(rv_http_stream_t *s, void *data)
{
    rv_events_listener_deliver();
    rv_events_listener_send_away(data);
    rv_events_listener_destroy(data);
    rv_http_stream_end(s);
}

int
rv_events_topic(const rv_http_request_t *r, char topic[RV_EVENTS_RING_TOPIC + 1])
{
    static const char allowed[] =
        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.:/";

    if (rv_http_query_get(r->parser.query, "topic", topic, RV_EVENTS_RING_TOPIC + 1) != RV_OK
        || topic[0] == '\0' || topic[strspn(topic, allowed)] != '\0')
        return 400;
    return RV_OK;
}

/*
 * The id behind which to begin; what a client that comes again says counts more than its URL.
 * One that is none was not given out here, and is as good as one that is too old.
 */
static int
read_since(const rv_http_request_t *r, uint64_t *since)
{
    const char *last = r->parser.last_event_id;
    char text[32];
    int found;

    if (last != NULL && last[0] != '\0') {
        if (rv_parse_uint(last, since) != RV_OK)
            *since = 0;
        return RV_OK;
    }
    found = rv_http_query_get(r->parser.query, "since", text, sizeof(text));
    if (found == RV_DONE)
        return RV_OK;
    return found == RV_OK && rv_parse_uint(text, since) == RV_OK ? RV_OK : 400;
}

/* RV_ERROR: no memory. */
static int
listen_to(rv_http_request_t *r, const char *topic, uint64_t since)
{
    rv_events_listener_t *l = rv_events_listener_create(topic);

    if (l == NULL)
        return RV_ERROR;
    rv_http_stream_t *stream = rv_http_stream_begin(r, &options, l);
    if (stream == NULL)
        rv_events_listener_destroy(l);
    else
        rv_events_listener_begin(l, stream, since, conf->retry);
    return RV_OK;
}

static void
answer(rv_http_request_t *r, const rv_http_location_t *location)
{
    char topic[RV_EVENTS_RING_TOPIC + 1];
    int status = rv_events_topic(r, topic);

    (void) location;
    rv_events_listener_deliver();
    uint64_t since = rv_events_listener_here();
    if (status == RV_OK)
        status = read_since(r, &since);
    if (status == RV_OK && listen_to(r, topic, since) != RV_OK)
        status = 503;
    if (status != RV_OK)
        rv_http_reply_status(r, (unsigned) status, NULL);
}

static const rv_http_handler_t handler = {
    .name = "events", .methods = RV_HTTP_GET, .answer = answer
};

/* --- a message comes --------------------------------------------------------------------- */

int
rv_events_publish(const char *topic, const char *text, size_t length, uint64_t *id)
{
    if (rv_events_ring_append(topic, text, length, id) != RV_OK)
        return RV_ERROR;
    const rv_stats_change_t one = { (unsigned) published, 1 };
    rv_stats_apply(stats, &one, 1);
    event_active(step, EV_TIMEOUT, 0);
    return RV_OK;
}

/* Who is not told will look. */
static void
on_step(int fd, short what, void *data)
{
    (void) fd;
    (void) what;
    (void) data;
    (void) rv_mesh_broadcast(news_type, 0, NULL, 0, NULL, NULL);
    rv_events_listener_deliver();
}

static void
on_news(const rv_mesh_message_t *msg)
{
    rv_fd_discard(&(int){ msg->fd });
    rv_events_listener_deliver();
}

/* Another may have died before it could say that there is something new. */
static void
on_beat(int fd, short what, void *data)
{
    (void) fd;
    (void) what;
    (void) data;
    rv_events_listener_deliver();
    rv_events_listener_retry();
    if (rv_loop_now() < next_greeting)
        return;
    next_greeting = rv_loop_now() + (int64_t) conf->heartbeat;
    rv_events_listener_greet();
}

static const rv_mesh_type_t messages[] = {
    { .name = "news", .policy = RV_CHANNEL_COALESCE, .receive = on_news },
    { .name = NULL },
};

/* --- hooks ------------------------------------------------------------------------------- */

static int
configure(rv_cycle_t *cycle, rv_conf_t *cf)
{
    const rv_http_location_t *location;
    const void *at = NULL;

    while ((location = rv_conf_each(cf, "location", &at, NULL)) != NULL) {
        const char *name = location->handler == NULL ? "" : location->handler->name;

        if (strcmp(name, "events") == 0 || strcmp(name, "publish") == 0)
            return rv_events_ring_add(cycle);
    }
    return RV_OK;
}

static int
init_worker(rv_worker_t *w)
{
    if (rv_cycle_find_zone(w->cycle, "events") == NULL)
        return RV_OK;

    conf = rv_conf_get(w->cycle->conf, "topics", NULL);
    stats = w->stats;
    published = rv_stats_find(stats, "events", "published");
    news_type = rv_mesh_find("events", "news");
    options = (rv_http_stream_options_t){ .type = "text/event-stream",
        .extra = "Cache-Control: no-store\r\nX-Accel-Buffering: no\r\n",
        .limit = conf->buffer,
        .close = on_close,
        .sent = on_sent,
        .drain = on_drain };
    rv_events_ring_use(w->cycle);
    rv_events_listener_init(stats);
    next_greeting = rv_loop_now() + (int64_t) conf->heartbeat;
    beat = rv_loop_every(w->loop, BEAT_MSEC, on_beat, NULL);
    step = event_new(rv_loop_base(w->loop), -1, 0, on_step, NULL);
    return beat != NULL && step != NULL ? RV_OK : RV_ERROR;
}

/* Its connections, and so its listeners, are gone by now. */
static void
exit_worker(rv_worker_t *w)
{
    (void) w;
    rv_loop_unwatch(beat);
    if (step != NULL)
        event_free(step);
}

const rv_module_t rv_events_module = {
    .name = "events",
    .sections = sections,
    .stats = rv_events_listener_stats,
    .http_handler = &handler,
    .messages = messages,
    .configure = configure,
    .init_worker = init_worker,
    .exit_worker = exit_worker,
};
