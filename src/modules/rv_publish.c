/*
 * rv_publish: `handler = publish`: POST /publish?topic=NAME, and the body goes to whoever
 * listens to the topic. The answer is the message's id.
 */
#include "rv_events.h"
#include "rv_http_body.h"
#include "rv_http_reply.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>

static void
answer(rv_http_request_t *r, const rv_http_location_t *location)
{
    char topic[RV_EVENTS_RING_TOPIC + 1], text[32];
    size_t length;
    const char *body = rv_http_body(r, &length);
    int status = rv_events_topic(r, topic);
    uint64_t id = 0;

    (void) location;
    if (status == RV_OK && length > rv_events_largest())
        status = 413;
    if (status == RV_OK && rv_events_publish(topic, body, length, &id) != RV_OK)
        status = errno == EMSGSIZE ? 413 : 503;
    if (status != RV_OK) {
        rv_http_reply_status(r, (unsigned) status, NULL);
        return;
    }
    int n = snprintf(text, sizeof(text), "%" PRIu64 "\n", id);
    rv_http_reply(r, 200, "text/plain", text, (size_t) n, NULL);
}

static const rv_http_handler_t handler = {
    .name = "publish",
    .methods = RV_HTTP_POST,
    .body_limit = RV_EVENTS_RING_LARGEST,
    .answer = answer,
};

const rv_module_t rv_publish_module = { .name = "publish", .http_handler = &handler };
