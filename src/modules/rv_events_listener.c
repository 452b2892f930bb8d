/*
 * rv_events_listener: who listens to what at this worker, and what is written to them.
 *
 * All listeners stand at the same id, `here`. One that has come with an id of its own is behind: it
 * reads the ring for itself, a portion each time that its client has taken the last, until it
 * stands where all do. So each gets each message once and in order, whoever has died after putting
 * it into the ring, and however often a worker hears that there is something new.
 *
 * What is new is formatted once for each topic, and written to all of its listeners.
 */
#include "rv_events_listener.h"

#include "rv_sse.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    PORTION = 16 * 1024, /* bytes that are written to a stream at once, or one event */
    SOON_MSEC = 100,     /* when clients of a worker that finishes are to come again */
    BUCKETS = 256
};

const rv_stats_def_t rv_events_listener_stats[] = {
    { "listeners", RV_STATS_GAUGE, "Clients that listen to a topic." },
    { "delivered", RV_STATS_COUNTER, "Messages that were written to a listener." },
    { "lost", RV_STATS_COUNTER,
        "Times that a listener was told that messages were gone before it could have them." },
    { "published", RV_STATS_COUNTER, "Messages that were published." },
    { NULL, 0, NULL },
};

enum { LISTENERS, DELIVERED, LOST, COUNTERS };

typedef struct topic_s topic_t;

struct rv_events_listener_s {
    rv_events_listener_t *next, **link; /* of the topic's */
    topic_t *topic;
    rv_http_stream_t *stream;
    rv_replay_cursor_t at; /* of one that is behind */
    int behind;
    int blocked; /* it could not be read when it was to go on */
};

struct topic_s {
    topic_t *next, **link;           /* of its bucket */
    topic_t *next_new;               /* of those that have something to be written */
    rv_events_listener_t *listeners; /* never none */
    char *text;                      /* what is to be written; owned */
    size_t length, room;
    unsigned events; /* in it */
    int is_new;      /* it is one of new_topics */
    char name[RV_EVENTS_RING_TOPIC + 1];
};

static rv_stats_t *stats;
static int cell[COUNTERS]; /* of the first of them */
static topic_t *topics[BUCKETS];
static topic_t *new_topics;
static rv_replay_cursor_t here; /* up to which all is delivered */

static void
count(unsigned counter, int64_t change)
{
    const rv_stats_change_t one = { (unsigned) cell[counter], change };

    rv_stats_apply(stats, &one, 1);
}

void
rv_events_listener_init(rv_stats_t *st)
{
    stats = st;
    for (size_t i = 0; i < rv_countof(cell); i++)
        cell[i] = rv_stats_find(stats, "events", rv_events_listener_stats[i].name);
    here.id = rv_events_ring_last();
}

uint64_t
rv_events_listener_here(void)
{
    return here.id;
}

/* --- topics ------------------------------------------------------------------------------ */

static topic_t **
bucket_of(const char *name, size_t length)
{
    uint32_t hash = 5381;

    for (size_t i = 0; i < length; i++)
        hash = hash * 33 + (unsigned char) name[i];
    return &topics[hash % BUCKETS];
}

static topic_t *
find_topic(const char *name, size_t length)
{
    topic_t *t = length > RV_EVENTS_RING_TOPIC ? NULL : *bucket_of(name, length);

    while (t != NULL && (strncmp(t->name, name, length) != 0 || t->name[length] != '\0'))
        t = t->next;
    return t;
}

static topic_t *
need_topic(const char *name)
{
    topic_t *t = find_topic(name, strlen(name)), **bucket = bucket_of(name, strlen(name));

    if (t != NULL || (t = calloc(1, sizeof(*t))) == NULL)
        return t;
    snprintf(t->name, sizeof(t->name), "%s", name);
    t->next = *bucket;
    t->link = bucket;
    if (t->next != NULL)
        t->next->link = &t->next;
    *bucket = t;
    return t;
}

rv_events_listener_t *
rv_events_listener_create(const char *topic)
{
    rv_events_listener_t *l = calloc(1, sizeof(*l));
    topic_t *t = l == NULL ? NULL : need_topic(topic);

    if (t == NULL) {
        free(l);
        return NULL;
    }
    l->behind = 1;
    l->topic = t;
    l->next = t->listeners;
    l->link = &t->listeners;
    if (l->next != NULL)
        l->next->link = &l->next;
    t->listeners = l;
    count(LISTENERS, 1);
    return l;
}

void
rv_events_listener_destroy(rv_events_listener_t *l)
{
    topic_t *t = l->topic;

    *l->link = l->next;
    if (l->next != NULL)
        l->next->link = l->link;
    free(l);
    count(LISTENERS, -1);
    if (t->listeners != NULL)
        return;
    *t->link = t->next;
    if (t->next != NULL)
        t->next->link = t->link;
    free(t->text);
    free(t);
}

/* --- writing ----------------------------------------------------------------------------- */

static int RV_PRINTF(2, 3) write_words(const rv_events_listener_t *l, const char *fmt, ...)
{
    char text[160];
    va_list args;

    va_start(args, fmt);
    int n = vsnprintf(text, sizeof(text), fmt, args);
    va_end(args);
    return rv_http_stream_write(l->stream, text, rv_min((size_t) n, sizeof(text) - 1));
}

/* What followed `after`, up to `until`, is not to be had any more, or some of it. */
static void
tell_lost(const rv_events_listener_t *l, uint64_t after, uint64_t until)
{
    (void) write_words(l,
        "event: lost\nid: %" PRIu64 "\ndata: {\"after\":%" PRIu64 ",\"until\":%" PRIu64 "}\n\n",
        until, after, until);
    count(LOST, 1);
}

/* Until where that was, of a reader whose last batch this is. */
static uint64_t
lost_until(const void *batch, size_t length, const rv_replay_cursor_t *at)
{
    rv_replay_message_t first;
    size_t offset = 0;

    return rv_replay_next(batch, length, &offset, &first) == RV_OK ? first.id - 1 : at->id;
}

static void
clear_text(topic_t *t)
{
    t->length = 0;
    t->events = 0;
}

/* Where there is no memory the event is not there, and listeners are told. */
static void
add_event(topic_t *t, const rv_replay_message_t *m)
{
    size_t length = rv_sse_event(NULL, m->id, m->text, m->text_length);

    if (length > t->room - t->length) {
        size_t room = rv_max(t->length + length, (size_t) PORTION);
        char *text = realloc(t->text, room);

        if (text == NULL) {
            for (const rv_events_listener_t *l = t->listeners; l != NULL; l = l->next)
                tell_lost(l, m->id - 1, m->id);
            return;
        }
        t->text = text;
        t->room = room;
    }
    t->length += rv_sse_event(t->text + t->length, m->id, m->text, m->text_length);
    t->events++;
}

/* --- what is new, for all that stand here ------------------------------------------------ */

static void
write_topic(topic_t *t)
{
    unsigned writes = 0;

    if (t->events == 0)
        return;
    for (const rv_events_listener_t *l = t->listeners; l != NULL; l = l->next)
        writes += !l->behind && rv_http_stream_write(l->stream, t->text, t->length) == RV_OK;
    count(DELIVERED, (int64_t) writes * t->events);
    clear_text(t);
}

static void
deliver_message(const rv_replay_message_t *m)
{
    topic_t *t = find_topic(m->topic, m->topic_length);

    if (t == NULL)
        return;
    if (t->length + m->text_length > PORTION)
        write_topic(t);
    if (!t->is_new) {
        t->is_new = 1;
        t->next_new = new_topics;
        new_topics = t;
    }
    add_event(t, m);
}

/* The next of all who stand here, or are behind; NULL to begin with, and at the end. */
static rv_events_listener_t *
each(rv_events_listener_t *l, int behind)
{
    size_t bucket = 0;
    const topic_t *t = NULL;

    if (l != NULL) {
        t = l->topic;
        bucket = (size_t) (bucket_of(t->name, strlen(t->name)) - topics);
        l = l->next;
    }
    for (;;) {
        for (; l != NULL; l = l->next) {
            if (l->behind == behind)
                return l;
        }
        t = t == NULL ? topics[bucket] : t->next;
        while (t == NULL && ++bucket < BUCKETS)
            t = topics[bucket];
        if (t == NULL)
            return NULL;
        l = t->listeners;
    }
}

void
rv_events_listener_greet(void)
{
    for (rv_events_listener_t *l = each(NULL, 0); l != NULL; l = each(l, 0))
        (void) write_words(l, ":\nid: %" PRIu64 "\n\n", here.id);
}

void
rv_events_listener_deliver(void)
{
    static char batch[RV_EVENTS_RING_BATCH];
    rv_replay_message_t m;

    while (rv_events_ring_last() != here.id) {
        uint64_t after = here.id;
        size_t length;
        int lost;

        if (rv_events_ring_read(&here, UINT64_MAX, batch, &length, &lost) != RV_OK)
            return; /* the next beat comes */
        if (lost) { /* the ring went round while this worker slept */
            const uint64_t until = lost_until(batch, length, &here);

            for (rv_events_listener_t *l = each(NULL, 0); l != NULL; l = each(l, 0))
                tell_lost(l, after, until);
        }
        if (length == 0)
            return;
        for (size_t at = 0; rv_replay_next(batch, length, &at, &m) == RV_OK;)
            deliver_message(&m);
        for (; new_topics != NULL; new_topics = new_topics->next_new) {
            new_topics->is_new = 0;
            write_topic(new_topics);
        }
    }
}

/* --- what is old, for one that is behind ------------------------------------------------- */

/* Formats what of the batch is for the topic, a portion; returns how far that is. */
static size_t
take_portion(topic_t *t, const char *batch, size_t length, uint64_t *id)
{
    rv_replay_message_t m;
    size_t at = 0;

    while (t->length < PORTION && rv_replay_next(batch, length, &at, &m) == RV_OK) {
        *id = m.id;
        if (m.topic_length == strlen(t->name) && memcmp(m.topic, t->name, m.topic_length) == 0)
            add_event(t, &m);
    }
    return at;
}

/* Until the client has enough for now, or the listener stands where all do. */
void
rv_events_listener_go_on(rv_events_listener_t *l)
{
    static char batch[RV_EVENTS_RING_BATCH];
    size_t written = 0;

    while (l->behind && written < PORTION) {
        uint64_t after = l->at.id;
        size_t length;
        int lost;

        l->blocked = rv_events_ring_read(&l->at, here.id, batch, &length, &lost) != RV_OK;
        if (l->blocked)
            return;
        if (lost)
            tell_lost(l, after, lost_until(batch, length, &l->at));
        if (length == 0) {
            l->behind = 0;
            return;
        }
        l->at.place -= length - take_portion(l->topic, batch, length, &l->at.id);
        written += l->topic->length;
        if (l->topic->length > 0) {
            if (rv_http_stream_write(l->stream, l->topic->text, l->topic->length) == RV_OK)
                count(DELIVERED, l->topic->events);
            else
                written = PORTION; /* it is over, and will be closed */
        }
        clear_text(l->topic);
    }
}

void
rv_events_listener_retry(void)
{
    rv_events_listener_t *next;

    for (rv_events_listener_t *l = each(NULL, 1); l != NULL; l = next) {
        next = each(l, 1); /* before this one is behind no more */
        if (l->blocked)
            rv_events_listener_go_on(l);
    }
}

/* --- beginning and end ------------------------------------------------------------------- */

void
rv_events_listener_begin(
    rv_events_listener_t *l, rv_http_stream_t *stream, uint64_t since, uint64_t retry)
{
    l->stream = stream;
    l->at.id = since;
    l->behind = since != here.id;
    (void) write_words(l, "retry: %" PRIu64 "\nid: %" PRIu64 "\n\n", retry, since);
    rv_events_listener_go_on(l);
}

void
rv_events_listener_send_away(rv_events_listener_t *l)
{
    (void) write_words(
        l, "retry: %d\nid: %" PRIu64 "\n\n", SOON_MSEC, l->behind ? l->at.id : here.id);
}
