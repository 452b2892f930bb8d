/*
 * rv_report_json: the report as one object of JSON.
 *
 * Values stand as module, name and, where the name has a label, what the label
 * is: {"workers": {"restarts": {"exit": 0, "signal": 2}}}. Times are seconds.
 */
#include "rv_report.h"

#include <inttypes.h>
#include <string.h>

static void
add_histogram(rv_text_t *text, const uint64_t *cells)
{
    const rv_report_quantile_t *shown;

    rv_text_add(text, "{\"count\":%" PRIu64 ",\"sum\":", rv_stats_histogram_count(cells));
    rv_text_add_seconds(text, cells[RV_STATS_HISTOGRAM_SUM]);
    for (size_t i = 0; (shown = rv_report_quantile(i)) != NULL; i++) {
        rv_text_add(text, ",\"%s\":", shown->name);
        rv_text_add_seconds(text, rv_stats_histogram_quantile(cells, shown->q));
    }
    rv_text_add(text, ",\"max\":");
    rv_text_add_seconds(text, cells[RV_STATS_HISTOGRAM_MAX]);
    rv_text_add(text, "}");
}

static void
add_value(rv_text_t *text, const rv_stats_info_t *info, const uint64_t *values)
{
    if (info->kind == RV_STATS_HISTOGRAM)
        add_histogram(text, values + info->cell);
    else
        rv_text_add(text, "%" PRId64, (int64_t) values[info->cell]);
}

/* Whether two values stand in the same object of this depth: module, family. */
static int
same_group(const rv_stats_info_t *a, const rv_stats_info_t *b, int depth)
{
    rv_report_name_t x, y;

    if (a == NULL || strcmp(a->module, b->module) != 0)
        return 0;
    if (depth == 1)
        return 1;

    rv_report_split(a->name, &x);
    rv_report_split(b->name, &y);
    return y.label[0] != '\0' && strcmp(x.family, y.family) == 0;
}

/* One name behind the other, objects opened and closed where module or family changes. */
static void
add_values(const rv_report_t *r, rv_text_t *text, const uint64_t *values)
{
    rv_stats_info_t last_info;
    const rv_stats_info_t *last = NULL;
    int in_family = 0;

    rv_text_add(text, "{");
    for (unsigned i = 0; i < rv_stats_count(r->stats); i++) {
        const rv_stats_info_t info = rv_stats_info(r->stats, i);
        rv_report_name_t name;

        if (info.kind == 0)
            continue;
        rv_report_split(info.name, &name);
        if (in_family && !same_group(last, &info, 2)) {
            rv_text_add(text, "}");
            in_family = 0;
        }
        if (last != NULL && !same_group(last, &info, 1))
            rv_text_add(text, "}");
        if (last != NULL)
            rv_text_add(text, ",");
        if (!same_group(last, &info, 1))
            rv_text_add(text, "\"%s\":{", info.module);
        if (!in_family)
            rv_text_add(text, "\"%s\":%s", name.family, name.label[0] == '\0' ? "" : "{");
        if (name.label[0] != '\0') {
            rv_text_add(text, "\"%s\":", name.value);
            in_family = 1;
        }
        add_value(text, &info, values);
        last_info = info;
        last = &last_info;
    }
    rv_text_add(text, "%s%s}", in_family ? "}" : "", last == NULL ? "" : "}");
}

/* Seconds since a heartbeat, or null. */
static void
add_beat(const rv_report_t *r, rv_text_t *text, const rv_stats_process_t *p)
{
    rv_text_add(text, "\"heartbeat_age\":");
    if (p == NULL || p->heartbeat == 0)
        rv_text_add(text, "null");
    else
        rv_text_add_seconds(text, (uint64_t) rv_max(r->msec - (int64_t) p->heartbeat, 0) * 1000);
}

static void
add_master(const rv_report_t *r, rv_text_t *text)
{
    const rv_stats_master_t *m = &r->view.master;

    rv_text_add(text,
        "\"master\":{\"pid\":%ld,\"started\":%" PRId64 ",\"uptime\":%" PRId64 ",\"generation\":%u,",
        (long) m->master, m->started, r->now - m->started, m->generation);
    add_beat(r, text, rv_report_master(r));
    rv_text_add(text, "},\n\"reload\":");
    if (m->reloads == 0) {
        rv_text_add(text, "null");
        return;
    }
    rv_text_add(text,
        "{\"count\":%" PRIu64 ",\"time\":%" PRId64 ",\"result\":\"%s\",\"text\":", m->reloads,
        m->reload_time, m->reload_result == 0 ? "done" : "failed");
    rv_text_add_quoted(text, m->reload_text);
    rv_text_add(text, "}");
}

static void
add_workers(const rv_report_t *r, rv_text_t *text)
{
    const char *comma = "";

    rv_text_add(text, "\"workers\":[");
    for (unsigned i = 0; i < r->view.count; i++) {
        const rv_stats_process_t *p = &r->view.process[i];
        const rv_stats_owner_t *o = &p->owner;

        if (!rv_report_is_worker(p))
            continue;
        rv_text_add(text,
            "%s\n{\"worker\":%u,\"slot\":%u,\"pid\":%ld,\"generation\":%u,\"state\":\"%s\","
            "\"started\":%" PRId64 ",\"uptime\":%" PRId64 ",\"restarts\":%" PRIu64
            ",\"connections\":%" PRIu64 ",\"requests\":%" PRIu64 ",",
            comma, o->worker, o->slot, (long) o->pid, o->generation, rv_report_state(o->state),
            o->started, r->now - o->started, o->restarts, rv_report_connections(r, p),
            rv_report_value(r, p, "http", "requests"));
        add_beat(r, text, p);
        rv_text_add(text, ",\"values\":");
        add_values(r, text, p->values);
        rv_text_add(text, "}");
        comma = ",";
    }
    rv_text_add(text, "]");
}

static void
add_zones(const rv_report_t *r, rv_text_t *text)
{
    rv_text_add(text, "\"zones\":[");
    for (unsigned i = 0; i < r->zones; i++) {
        const rv_zone_info_t *z = &r->zone[i];

        rv_text_add(text, "%s{\"name\":", i == 0 ? "" : ",");
        rv_text_add_quoted(text, z->name);
        rv_text_add(text, ",\"owner\":");
        rv_text_add_quoted(text, z->owner);
        if (z->type != NULL)
            rv_text_add(text, ",\"type\":\"%s\"", z->type);
        rv_text_add(text,
            ",\"size\":%" PRIu64 ",\"used\":%" PRIu64 ",\"generation\":%u,\"recoveries\":%u}",
            z->size, z->used, z->generation, z->recoveries);
    }
    rv_text_add(text, "]");
}

void
rv_report_json(const rv_report_t *r, rv_text_t *text)
{
    rv_text_add(text, "{\"version\":\"" RV_VERSION "\",\"time\":%" PRId64 ",\n", r->now);
    add_master(r, text);
    rv_text_add(text, ",\n");
    add_workers(r, text);
    rv_text_add(text, ",\n\"totals\":");
    add_values(r, text, r->view.totals);
    rv_text_add(text, ",\n");
    add_zones(r, text);
    rv_text_add(text, "}\n");
}
