/*
 * rv_metrics: `handler = metrics`, for Prometheus and whoever reads its formats.
 *
 * OpenMetrics to a client that likes it at least as well as the plain text
 * format, which everybody else gets.
 */
#include "rv_http_parse.h"
#include "rv_http_reply.h"
#include "rv_http_request.h"
#include "rv_report.h"
#include "rv_worker.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define OPENMETRICS "application/openmetrics-text"

static const rv_cycle_t *cycle; /* of this worker */

static int
init_worker(rv_worker_t *w)
{
    cycle = w->cycle;
    return RV_OK;
}

/* What is no number from 0 to 1 is 0. */
static int
to_thousandths(double q)
{
    return q >= 0 && q <= 1 ? (int) (q * 1000) : 0;
}

/* The q of a media range's parameters, from 0 to 1000; without one it is 1000. */
static int
quality(const char *parameters, size_t length)
{
    const char *end = parameters + length;

    for (const char *p = parameters; p < end; p++) {
        if (*p != ';')
            continue;
        p += 1 + strspn(p + 1, " \t");
        if (end - p > 2 && (*p == 'q' || *p == 'Q') && p[1] == '=')
            return to_thousandths(strtod(p + 2, NULL));
        p--;
    }
    return 1000;
}

/* How much a type is liked: the q of the range that names it most exactly; 0: it is not. */
static int
likes(const char *accept, const char *type)
{
    size_t major = strcspn(type, "/") + 1;
    int exact = -1, group = -1, any = -1;

    while (*accept != '\0') {
        accept += strspn(accept, ", \t");
        size_t length = strcspn(accept, ",");
        size_t name = strcspn(accept, ",; \t");
        int q = quality(accept + name, length - name);

        if (name == strlen(type) && strncasecmp(accept, type, name) == 0)
            exact = q;
        else if (name == major + 1 && accept[major] == '*' && strncasecmp(accept, type, major) == 0)
            group = q;
        else if (name == 3 && strncmp(accept, "*/*", 3) == 0)
            any = q;
        accept += length;
    }
    return exact >= 0 ? exact : group >= 0 ? group : rv_max(any, 0);
}

/* By name, that is: "*" alone is no wish for the newer format. */
static int
wants_openmetrics(const char *accept)
{
    if (accept == NULL || strcasestr(accept, OPENMETRICS) == NULL)
        return 0;

    int q = likes(accept, OPENMETRICS);
    return q > 0 && q >= likes(accept, "text/plain");
}

static void
answer(rv_http_request_t *r, const rv_http_location_t *location)
{
    int openmetrics = wants_openmetrics(r->parser.accept);
    const char *type = openmetrics ? OPENMETRICS "; version=1.0.0; charset=utf-8"
                                   : "text/plain; version=0.0.4; charset=utf-8";
    rv_text_t text;
    rv_report_t report;

    (void) location;
    if (rv_report_take_cycle(&report, cycle) != RV_OK) {
        rv_http_reply_status(r, 503, NULL);
        return;
    }
    rv_http_reply_text_begin(&text);
    rv_report_metrics(&report, &text, openmetrics);
    rv_report_free(&report);
    rv_http_reply_text(r, 200, type, &text, "Vary: Accept\r\n");
}

static const rv_http_handler_t handler = {
    .name = "metrics",
    .methods = RV_HTTP_GET | RV_HTTP_HEAD,
    .answer = answer,
};

const rv_module_t rv_metrics_module = {
    .name = "metrics",
    .http_handler = &handler,
    .init_worker = init_worker,
};
