/*
 * rv_status: `handler = status`, all there is to know of the daemon, as JSON.
 */
#include "rv_http_parse.h"
#include "rv_http_reply.h"
#include "rv_http_request.h"
#include "rv_report.h"
#include "rv_worker.h"

static const rv_cycle_t *cycle; /* of this worker */

static int
init_worker(rv_worker_t *w)
{
    cycle = w->cycle;
    return RV_OK;
}

static void
answer(rv_http_request_t *r, const rv_http_location_t *location)
{
    rv_text_t text;
    rv_report_t report;

    (void) location;
    if (rv_report_take_cycle(&report, cycle) != RV_OK) {
        rv_http_reply_status(r, 503, NULL);
        return;
    }
    rv_http_reply_text_begin(&text);
    rv_report_json(&report, &text);
    rv_report_free(&report);
    rv_http_reply_text(r, 200, "application/json", &text, NULL);
}

static const rv_http_handler_t handler = {
    .name = "status",
    .methods = RV_HTTP_GET | RV_HTTP_HEAD,
    .answer = answer,
};

const rv_module_t rv_status_module = {
    .name = "status",
    .http_handler = &handler,
    .init_worker = init_worker,
};
