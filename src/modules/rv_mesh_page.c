/*
 * rv_mesh_page: `handler = mesh`, whether the processes hear each other.
 *
 * The worker that answers calls the master and every other worker of its generation, and
 * prints when each has answered and what was sent to it so far. The answer is 503 where
 * one did not: a check that the mesh is whole need not read the page. A call has
 * exactly one end, so the page lives until the last, whether the client waits for it or not.
 */
#include "rv_http_defer.h"
#include "rv_http_parse.h"
#include "rv_http_query.h"
#include "rv_http_reply.h"
#include "rv_loop.h"
#include "rv_mesh.h"
#include "rv_text.h"
#include "rv_worker.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

enum { LIMIT_MSEC = 100 };

typedef struct {
    struct page_s *page;
    rv_process_id_t id;
    const char *failed; /* why there is no round trip; NULL: there is one */
    int64_t called;     /* us */
    uint64_t took;      /* us */
} peer_t;

typedef struct page_s {
    rv_http_request_t *request; /* NULL: the client is gone */
    int json;
    unsigned waiting; /* calls without an end yet */
    unsigned count;
    peer_t peer[];
} page_t;

static const rv_worker_t *worker;
static int ping; /* the number of its type of messages */

/* --- the page ------------------------------------------------------------------------------ */

static unsigned
count_answers(const page_t *page)
{
    unsigned answered = 0;

    for (unsigned i = 0; i < page->count; i++)
        answered += page->peer[i].failed == NULL;
    return answered;
}

static void
add_text(const page_t *page, rv_text_t *text)
{
    rv_process_id_t self = rv_mesh_self();

    if (self.slot == RV_PROCESS_MASTER)
        rv_text_add(text, "process %d, which has no master", (int) self.pid);
    else
        rv_text_add(text, "worker %u, slot %u, pid %d, generation %u", worker->number, self.slot,
            (int) self.pid, self.generation);
    rv_text_add(text, ": %u of %u peers answered\n", count_answers(page), page->count);
    rv_text_add(text, "%-12s %8s %12s %10s %10s %8s %10s %8s\n", "peer", "pid", "round trip",
        "sent", "received", "queued", "most", "dropped");
    for (unsigned i = 0; i < page->count; i++) {
        const peer_t *p = &page->peer[i];
        rv_mesh_counts_t counts = rv_mesh_counts(&p->id);
        char name[32] = "master";

        if (p->id.slot != RV_PROCESS_MASTER)
            snprintf(name, sizeof(name), "worker %u", p->id.worker);
        rv_text_add(text, "%-12s %8d ", name, (int) p->id.pid);
        if (p->failed == NULL)
            rv_text_add(text, "%9" PRIu64 " us", p->took);
        else
            rv_text_add(text, "%12s", p->failed);
        rv_text_add(text, " %10" PRIu64 " %10" PRIu64 " %8zu %10zu %8" PRIu64 "\n", counts.sent,
            counts.received, counts.queued, counts.most, counts.dropped);
    }
}

static void
add_json(const page_t *page, rv_text_t *text)
{
    rv_process_id_t self = rv_mesh_self();

    rv_text_add(text, "{");
    if (self.slot != RV_PROCESS_MASTER)
        rv_text_add(text, "\"worker\":%u,\"slot\":%u,\"generation\":%u,", worker->number, self.slot,
            self.generation);
    rv_text_add(text, "\"pid\":%d,\"whole\":%s,\"peers\":[", (int) self.pid,
        count_answers(page) == page->count ? "true" : "false");
    for (unsigned i = 0; i < page->count; i++) {
        const peer_t *p = &page->peer[i];
        rv_mesh_counts_t counts = rv_mesh_counts(&p->id);

        rv_text_add(text, "%s{\"peer\":", i == 0 ? "" : ",");
        if (p->id.slot == RV_PROCESS_MASTER)
            rv_text_add(text, "\"master\"");
        else
            rv_text_add(text, "\"worker\",\"worker\":%u", p->id.worker);
        rv_text_add(text, ",\"pid\":%d,", (int) p->id.pid);
        if (p->failed == NULL) {
            rv_text_add(text, "\"round_trip\":");
            rv_text_add_seconds(text, p->took);
        } else {
            rv_text_add(text, "\"failed\":\"%s\"", p->failed);
        }
        rv_text_add(text,
            ",\"sent\":%" PRIu64 ",\"received\":%" PRIu64
            ",\"queued\":%zu,\"queued_most\":%zu,\"dropped\":%" PRIu64 "}",
            counts.sent, counts.received, counts.queued, counts.most, counts.dropped);
    }
    rv_text_add(text, "]}\n");
}

static void
finish(page_t *page)
{
    rv_http_request_t *r = page->request;
    rv_text_t text = { 0 };

    if (r != NULL) {
        (page->json ? add_json : add_text)(page, &text);
        if (text.failed)
            rv_http_reply_status(r, 500, NULL);
        else
            rv_http_reply(r, count_answers(page) == page->count ? 200 : 503,
                page->json ? "application/json" : "text/plain", text.data, text.length, NULL);
        rv_text_free(&text);
    }
    free(page);
}

/* --- calls ----------------------------------------------------------------------------------- */

static void
on_ping(const rv_mesh_message_t *msg)
{
    (void) rv_mesh_reply(
        msg, NULL, 0, -1); /* where that fails the other one hears nothing: as it is */
}

static const rv_mesh_type_t messages[] = {
    { .name = "ping",
        .flags = RV_MESH_NO_DESCRIPTOR,
        .receive = on_ping,
        .receive_master = on_ping },
    { .name = NULL },
};

static void
on_answer(int result, const rv_mesh_message_t *answer, void *data)
{
    peer_t *p = data;

    (void) answer;
    p->took = (uint64_t) (rv_loop_now_usec() - p->called);
    p->failed = result == RV_OK ? NULL : result == RV_AGAIN ? "no answer" : "died";
    if (--p->page->waiting == 0)
        finish(p->page);
}

static void
call(page_t *page, int known, const rv_process_id_t *id)
{
    peer_t *p = &page->peer[page->count++];

    *p = (peer_t){ .page = page, .id = *id, .called = rv_loop_now_usec() };
    int result =
        known == RV_OK ? rv_mesh_call(&p->id, ping, NULL, 0, LIMIT_MSEC, on_answer, p) : RV_ERROR;
    if (result == RV_OK)
        page->waiting++;
    else
        p->failed = known != RV_OK ? "not there" : result == RV_AGAIN ? "queue full" : "died";
}

static void
call_all(page_t *page)
{
    rv_process_id_t id = rv_mesh_master();

    if (id.pid == rv_mesh_self().pid) /* master_process = off: there is nobody else */
        return;
    call(page, RV_OK, &id);
    for (unsigned i = 0; i < worker->cycle->workers; i++) {
        if (i == worker->number)
            continue;
        id = (rv_process_id_t){ .worker = i };
        call(page, rv_mesh_worker(i, &id), &id);
    }
}

/* --- the handler ------------------------------------------------------------------------------ */

static void
on_gone(rv_http_request_t *r, void *data)
{
    (void) r;
    ((page_t *) data)->request = NULL;
}

static int
wants_json(const rv_http_request_t *r)
{
    char format[8];

    if (rv_http_query_get(r->parser.query, "format", format, sizeof(format)) == RV_OK)
        return strcmp(format, "json") == 0;
    return r->parser.accept != NULL && strstr(r->parser.accept, "application/json") != NULL;
}

static void
answer(rv_http_request_t *r, const rv_http_location_t *location)
{
    page_t *page = calloc(1, sizeof(*page) + worker->cycle->workers * sizeof(page->peer[0]));

    (void) location;
    if (page == NULL) {
        rv_http_reply_status(r, 500, NULL);
        return;
    }
    page->request = r;
    page->json = wants_json(r);
    call_all(page);
    if (page->waiting == 0)
        finish(page);
    else
        rv_http_defer(r, on_gone, page);
}

static int
init_worker(rv_worker_t *w)
{
    worker = w;
    ping = rv_mesh_find("mesh", "ping");
    return RV_OK;
}

static const rv_http_handler_t handler = {
    .name = "mesh",
    .methods = RV_HTTP_GET | RV_HTTP_HEAD,
    .answer = answer,
};

const rv_module_t rv_mesh_page_module = {
    .name = "mesh",
    .messages = messages,
    .http_handler = &handler,
    .init_worker = init_worker,
};
