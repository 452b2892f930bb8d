/*
 * rv_report_json: the report as one object of JSON.
 *
 * Values stand as module, name and, where the name has a label, what the label
 * is: {"workers": {"restarts": {"exit": 0, "signal": 2}}}. Times are seconds.
 *
 * The values of each process stand in the same frame of names. It is made once, and then a
 * process is only copying, piece by piece, and numbers.
 */
#include "rv_report.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

/* What stands in front of a value, all of it that does not depend on the process. */
typedef struct {
    size_t length; /* of the text in front */
    unsigned kind;
    unsigned cell;
} piece_t;

typedef struct {
    rv_text_t text; /* of the pieces, one behind the other, and what is behind the last */
    piece_t *piece;
    unsigned count;
    rv_text_t empty; /* a histogram that has observed nothing: most, with many workers */
} frame_t;

/* --- the frame --------------------------------------------------------------------- */

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
frame_names(frame_t *frame, const rv_report_t *r)
{
    rv_text_t *text = &frame->text;
    rv_stats_info_t last_info;
    const rv_stats_info_t *last = NULL;
    int in_family = 0;

    rv_text_add(text, "{");
    for (unsigned i = 0; i < rv_stats_count(r->stats); i++) {
        const rv_stats_info_t info = rv_stats_info(r->stats, i);
        size_t before = last == NULL ? 0 : text->length;
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
        frame->piece[frame->count++] = (piece_t){ text->length - before, info.kind, info.cell };
        last_info = info;
        last = &last_info;
    }
    rv_text_add(text, "%s%s}", in_family ? "}" : "", last == NULL ? "" : "}");
}

static void
add_histogram(rv_text_t *text, const uint64_t *cells)
{
    uint64_t usec[RV_REPORT_QUANTILES];

    rv_report_quantiles(cells, usec);
    rv_text_add_string(text, "{\"count\":");
    rv_text_add_number(text, rv_stats_histogram_count(cells));
    rv_text_add_string(text, ",\"sum\":");
    rv_text_add_seconds(text, cells[RV_STATS_HISTOGRAM_SUM]);
    for (unsigned i = 0; i < RV_REPORT_QUANTILES; i++) {
        rv_text_add_string(text, ",\"");
        rv_text_add_string(text, rv_report_quantile_name(i));
        rv_text_add_string(text, "\":");
        rv_text_add_seconds(text, usec[i]);
    }
    rv_text_add_string(text, ",\"max\":");
    rv_text_add_seconds(text, cells[RV_STATS_HISTOGRAM_MAX]);
    rv_text_add_string(text, "}");
}

/* RV_ERROR: not enough memory. To be freed either way. */
static int
frame_make(frame_t *frame, const rv_report_t *r)
{
    static const uint64_t nothing[RV_STATS_HISTOGRAM_CELLS];

    *frame = (frame_t){ .piece = calloc(rv_stats_count(r->stats) + 1, sizeof(*frame->piece)) };
    if (frame->piece == NULL)
        return RV_ERROR;

    frame_names(frame, r);
    add_histogram(&frame->empty, nothing);
    return frame->text.failed || frame->empty.failed ? RV_ERROR : RV_OK;
}

static void
frame_free(frame_t *frame)
{
    rv_text_free(&frame->text);
    rv_text_free(&frame->empty);
    free(frame->piece);
}

/* --- values ------------------------------------------------------------------------ */

static void
add_values(rv_text_t *text, const frame_t *frame, const uint64_t *values)
{
    const char *next = frame->text.data, *end = next + frame->text.length;

    for (unsigned i = 0; i < frame->count; i++) {
        const piece_t *piece = &frame->piece[i];

        rv_text_add_bytes(text, next, piece->length);
        next += piece->length;
        if (piece->kind != RV_STATS_HISTOGRAM)
            rv_text_add_signed(text, (int64_t) values[piece->cell]);
        else if (rv_stats_histogram_is_empty(values + piece->cell))
            rv_text_add_bytes(text, frame->empty.data, frame->empty.length);
        else
            add_histogram(text, values + piece->cell);
    }
    rv_text_add_bytes(text, next, (size_t) (end - next));
}

static void
add_field(rv_text_t *text, const char *name, uint64_t value)
{
    rv_text_add_string(text, name);
    rv_text_add_number(text, value);
}

/* Seconds since a heartbeat, or null. */
static void
add_beat(const rv_report_t *r, rv_text_t *text, const rv_stats_process_t *p)
{
    rv_text_add_string(text, "\"heartbeat_age\":");
    if (p == NULL || p->heartbeat == 0)
        rv_text_add_string(text, "null");
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
add_worker(const rv_report_t *r, rv_text_t *text, const rv_stats_process_t *p)
{
    const rv_stats_owner_t *o = &p->owner;

    add_field(text, "\n{\"worker\":", o->worker);
    add_field(text, ",\"slot\":", o->slot);
    add_field(text, ",\"pid\":", (uint64_t) o->pid);
    add_field(text, ",\"generation\":", o->generation);
    rv_text_add_string(text, ",\"state\":\"");
    rv_text_add_string(text, rv_report_state(o->state));
    rv_text_add_string(text, "\",\"started\":");
    rv_text_add_signed(text, o->started);
    rv_text_add_string(text, ",\"uptime\":");
    rv_text_add_signed(text, r->now - o->started);
    add_field(text, ",\"restarts\":", o->restarts);
    add_field(text, ",\"connections\":", rv_report_connections(r, p));
    add_field(text, ",\"requests\":", rv_report_value(r, p, RV_REPORT_REQUESTS));
    rv_text_add_string(text, ",");
    add_beat(r, text, p);
}

static void
add_workers(const rv_report_t *r, rv_text_t *text, const frame_t *frame)
{
    const char *comma = "";

    rv_text_add(text, "\"workers\":[");
    for (unsigned i = 0; i < r->view.count; i++) {
        const rv_stats_process_t *p = &r->view.process[i];

        if (!rv_report_is_worker(p))
            continue;
        rv_text_add_string(text, comma);
        add_worker(r, text, p);
        rv_text_add_string(text, ",\"values\":");
        add_values(text, frame, p->values);
        rv_text_add_string(text, "}");
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
    frame_t frame;

    if (frame_make(&frame, r) != RV_OK) {
        frame_free(&frame);
        text->failed = 1;
        return;
    }
    rv_text_add(text, "{\"version\":\"" RV_VERSION "\",\"time\":%" PRId64 ",\n", r->now);
    add_master(r, text);
    rv_text_add(text, ",\n");
    add_workers(r, text, &frame);
    rv_text_add(text, ",\n\"totals\":");
    add_values(text, &frame, r->view.totals);
    rv_text_add(text, ",\n");
    add_zones(r, text);
    rv_text_add(text, "}\n");
    frame_free(&frame);
}
