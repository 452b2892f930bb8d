/*
 * rv_report: what there is to show of a daemon, and the forms that it is shown in.
 *
 * Everything is looked up by name: the memory may be another version's, whose
 * values this one knows only in part.
 */
#include "rv_report.h"

#include "rv_process.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

int
rv_report_take(rv_report_t *r, const rv_stats_t *stats)
{
    r->stats = stats;
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

void
rv_report_split(const char *name, rv_report_name_t *parts)
{
    *parts = (rv_report_name_t){ "", "", "" };
    (void) sscanf(name, "%47[^{]{%47[^=]=\"%47[^\"]", parts->family, parts->label, parts->value);
}

const rv_report_quantile_t *
rv_report_quantile(size_t i)
{
    static const rv_report_quantile_t shown[] = { { "p50", 0.5 }, { "p90", 0.9 }, { "p99", 0.99 },
        { "p99.9", 0.999 } };

    return i < rv_countof(shown) ? &shown[i] : NULL;
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
rv_report_value(
    const rv_report_t *r, const rv_stats_process_t *p, const char *module, const char *name)
{
    int cell = rv_stats_find(r->stats, module, name);

    if (cell < 0)
        return 0;
    return p == NULL ? r->view.totals[cell] : p->values[cell];
}

uint64_t
rv_report_connections(const rv_report_t *r, const rv_stats_process_t *p)
{
    static const char module[] = "connections";

    return rv_report_value(r, p, module, "reading") + rv_report_value(r, p, module, "writing")
        + rv_report_value(r, p, module, "waiting");
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
    static const char module[] = "connections";

    rv_text_add(text,
        "Active connections: %" PRIu64 " \n"
        "server accepts handled requests\n"
        " %" PRIu64 " %" PRIu64 " %" PRIu64 " \n"
        "Reading: %" PRIu64 " Writing: %" PRIu64 " Waiting: %" PRIu64 " \n",
        rv_report_connections(r, NULL), rv_report_value(r, NULL, module, "accepts"),
        rv_report_value(r, NULL, module, "handled"), rv_report_value(r, NULL, "http", "requests"),
        rv_report_value(r, NULL, module, "reading"), rv_report_value(r, NULL, module, "writing"),
        rv_report_value(r, NULL, module, "waiting"));
}
