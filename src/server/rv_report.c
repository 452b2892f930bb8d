/*
 * rv_report: what there is to show of a daemon, and the forms that it is shown in.
 *
 * Everything is looked up by name, once: the memory may be another version's, whose
 * values this one knows only in part.
 */
#include "rv_report.h"

#include "rv_process.h"

#include <inttypes.h>
#include <string.h>
#include <time.h>

static const struct {
    const char *module;
    const char *name;
} values[] = {
    [RV_REPORT_READING] = { "connections", "reading" },
    [RV_REPORT_WRITING] = { "connections", "writing" },
    [RV_REPORT_WAITING] = { "connections", "waiting" },
    [RV_REPORT_ACCEPTS] = { "connections", "accepts" },
    [RV_REPORT_HANDLED] = { "connections", "handled" },
    [RV_REPORT_REQUESTS] = { "http", "requests" },
};

int
rv_report_take(rv_report_t *r, const rv_stats_t *stats)
{
    r->stats = stats;
    for (size_t i = 0; i < rv_countof(values); i++)
        r->cell[i] = rv_stats_find(stats, values[i].module, values[i].name);
    r->zones = 0;
    r->now = time(NULL);
    r->msec = rv_loop_now();
    return rv_stats_view(stats, &r->view);
}

void
rv_report_add_zone(rv_report_t *r, const rv_zone_info_t *zone)
{
    if (r->zones < RV_REPORT_ZONES)
        r->zone[r->zones++] = *zone;
}

int
rv_report_take_cycle(rv_report_t *r, const rv_cycle_t *cycle)
{
    if (rv_report_take(r, cycle->stats) != RV_OK)
        return RV_ERROR;
    if (!rv_cycle_counts_are_whole(cycle)) {
        rv_report_free(r);
        return RV_AGAIN;
    }

    for (const rv_cycle_zone_t *z = cycle->zones; z != NULL; z = z->next) {
        rv_zone_info_t info;

        rv_zone_info(z->zone, &info);
        rv_report_add_zone(r, &info);
    }
    return RV_OK;
}

void
rv_report_free(rv_report_t *r)
{
    rv_stats_view_free(&r->view);
}

/* Copies what stands before one of `ends`, and returns what stands behind it. */
static const char *
split(char to[RV_STATS_NAME], const char *from, const char *ends)
{
    size_t length = strcspn(from, ends);
    size_t copied = rv_min(length, (size_t) RV_STATS_NAME - 1);

    memcpy(to, from, copied);
    to[copied] = '\0';
    return from + length + (from[length] != '\0');
}

void
rv_report_split(const char *name, rv_report_name_t *parts)
{
    const char *label = split(parts->family, name, "{");
    const char *value = split(parts->label, label, "=");

    split(parts->value, value + (*value == '"'), "\"");
}

void
rv_report_quantiles(const uint64_t *cells, uint64_t usec[RV_REPORT_QUANTILES])
{
    static const double shown[RV_REPORT_QUANTILES] = { 0.5, 0.9, 0.99, 0.999 };

    rv_stats_histogram_quantiles(cells, shown, RV_REPORT_QUANTILES, usec);
}

const char *
rv_report_quantile_name(unsigned i)
{
    static const char *const names[RV_REPORT_QUANTILES] = { "p50", "p90", "p99", "p99.9" };

    return names[i];
}

const char *
rv_report_state(int state)
{
    static const char *const names[] = { [RV_PROCESS_FREE] = "free",
        [RV_PROCESS_STARTING] = "starting",
        [RV_PROCESS_READY] = "ready",
        [RV_PROCESS_DRAINING] = "draining" };

    return state >= 0 && (size_t) state < rv_countof(names) ? names[state] : "unknown";
}

uint64_t
rv_report_value(const rv_report_t *r, const rv_stats_process_t *p, rv_report_value_t value)
{
    int cell = r->cell[value];

    if (cell < 0)
        return 0;
    return p == NULL ? r->view.totals[cell] : p->values[cell];
}

uint64_t
rv_report_connections(const rv_report_t *r, const rv_stats_process_t *p)
{
    return rv_report_value(r, p, RV_REPORT_READING) + rv_report_value(r, p, RV_REPORT_WRITING)
        + rv_report_value(r, p, RV_REPORT_WAITING);
}

int
rv_report_is_worker(const rv_stats_process_t *p)
{
    return p->owner.worker != RV_STATS_MASTER;
}

const rv_stats_process_t *
rv_report_master(const rv_report_t *r)
{
    const rv_stats_process_t *found = NULL;

    for (unsigned i = 0; i < r->view.count; i++) {
        const rv_stats_process_t *p = &r->view.process[i];

        if (p->owner.pid == r->view.master.master)
            found = p;
    }
    return found;
}

void
rv_report_stub(const rv_report_t *r, rv_text_t *text)
{
    rv_text_add(text,
        "Active connections: %" PRIu64 " \n"
        "server accepts handled requests\n"
        " %" PRIu64 " %" PRIu64 " %" PRIu64 " \n"
        "Reading: %" PRIu64 " Writing: %" PRIu64 " Waiting: %" PRIu64 " \n",
        rv_report_connections(r, NULL), rv_report_value(r, NULL, RV_REPORT_ACCEPTS),
        rv_report_value(r, NULL, RV_REPORT_HANDLED), rv_report_value(r, NULL, RV_REPORT_REQUESTS),
        rv_report_value(r, NULL, RV_REPORT_READING), rv_report_value(r, NULL, RV_REPORT_WRITING),
        rv_report_value(r, NULL, RV_REPORT_WAITING));
}
