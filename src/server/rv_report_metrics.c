/*
 * rv_report_metrics: the report for Prometheus, in its text format 0.0.4 or as OpenMetrics 1.0.
 *
 * What all processes count together is reeve_MODULE_NAME; the same of a worker is
 * reeve_worker_MODULE_NAME{worker="0"}, so that a sum over one of them counts
 * nothing twice. A worker number is the one in the youngest generation: its
 * series begins anew with each new process, as a counter may. The formats differ in where a
 * counter's "_total" belongs, in one type, and in the last line.
 *
 * https://prometheus.io/docs/instrumenting/exposition_formats/
 */
#include "rv_report.h"

#include "rv_process.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { NAME = RV_STATS_MODULE + RV_STATS_NAME + 32, LABELS = 160 };

typedef struct {
    const rv_report_t *r;
    rv_text_t *text;
    int openmetrics;
    const rv_stats_process_t **worker; /* of each number the youngest */
    unsigned workers;
} page_t;

/* What the formats want escaped in a help; one that is missing is the name. */
static void
add_help(const page_t *page, const char *name, const char *help)
{
    if (*help == '\0')
        rv_text_add(page->text, "%s", name);
    while (*help != '\0') {
        size_t plain = strcspn(help, page->openmetrics ? "\n\\\"" : "\n\\");

        rv_text_add(page->text, "%.*s", (int) plain, help);
        help += plain;
        if (*help == '\n')
            rv_text_add(page->text, "\\n");
        else if (*help != '\0')
            rv_text_add(page->text, "\\%c", *help);
        help += *help != '\0';
    }
}

/* HELP and TYPE of a family. */
static void
head(const page_t *page, const char *name, const char *type, const char *help)
{
    int counter = strcmp(type, "counter") == 0 && !page->openmetrics;
    const char *suffix = counter ? "_total" : "";

    rv_text_add(page->text, "# HELP %s%s ", name, suffix);
    add_help(page, name, help);
    rv_text_add(page->text, "\n# TYPE %s%s %s\n", name, suffix, type);
}

static void
sample(const page_t *page, const char *name, const char *suffix, const char *labels, int64_t value)
{
    rv_text_add(page->text, "%s%s%s%s%s %" PRId64 "\n", name, suffix, labels[0] == '\0' ? "" : "{",
        labels, labels[0] == '\0' ? "" : "}", value);
}

static void
gauge(const page_t *page, const char *name, const char *help, int64_t value)
{
    head(page, name, "gauge", help);
    sample(page, name, "", "", value);
}

/* --- the daemon ---------------------------------------------------------------------- */

static void
add_build(const page_t *page)
{
    if (page->openmetrics)
        head(page, "reeve_build", "info", "Version of the program.");
    else
        head(page, "reeve_build_info", "gauge", "Version of the program.");
    sample(page, "reeve_build_info", "", "version=\"" RV_VERSION "\"", 1);
}

static void
add_states(const page_t *page)
{
    static const int states[] = { RV_PROCESS_STARTING, RV_PROCESS_READY, RV_PROCESS_DRAINING };
    const rv_stats_view_t *view = &page->r->view;
    char labels[LABELS];

    head(page, "reeve_workers", "gauge", "Worker processes by state.");
    for (size_t k = 0; k < rv_countof(states); k++) {
        int64_t count = 0;

        for (unsigned i = 0; i < view->count; i++)
            count +=
                rv_report_is_worker(&view->process[i]) && view->process[i].owner.state == states[k];
        snprintf(labels, sizeof(labels), "state=\"%s\"", rv_report_state(states[k]));
        sample(page, "reeve_workers", "", labels, count);
    }
}

static void
add_master(const page_t *page)
{
    const rv_stats_master_t *m = &page->r->view.master;

    add_build(page);
    gauge(
        page, "process_start_time_seconds", "Start of the master process, since 1970.", m->started);
    gauge(page, "reeve_generation", "Generation of the configuration in force.", m->generation);
    gauge(page, "reeve_last_reload_successful", "Whether the last reload was done.",
        m->reloads == 0 || m->reload_result == 0);
    gauge(page, "reeve_last_reload_timestamp_seconds", "Time of the last reload, or of the start.",
        m->reloads == 0 ? m->started : m->reload_time);
    add_states(page);
}

/* --- the values of all processes together ------------------------------------------------ */

/* Of a bucket's upper bound: all powers of two, and half-way between. */
static int
is_shown(uint64_t bound)
{
    while (bound > 3 && bound % 2 == 0)
        bound /= 2;
    return bound <= 3;
}

static void
add_histogram(const page_t *page, const char *name, const rv_stats_info_t *info)
{
    const uint64_t *cells = page->r->view.totals + info->cell;
    uint64_t below = 0;
    char full[NAME + 16];

    snprintf(full, sizeof(full), "%s_seconds", name);
    head(page, full, "histogram", info->help);
    for (unsigned i = 0; i + 1 < RV_STATS_HISTOGRAM_BUCKETS; i++) {
        uint64_t bound = rv_stats_histogram_floor(i + 1);

        below += cells[RV_STATS_HISTOGRAM_FIRST + i];
        if (!is_shown(bound))
            continue;
        rv_text_add(page->text, "%s_bucket{le=\"", full);
        rv_text_add_seconds(page->text, bound);
        rv_text_add(page->text, "\"} %" PRIu64 "\n", below);
    }
    uint64_t count = rv_stats_histogram_count(cells);
    rv_text_add(page->text, "%s_bucket{le=\"+Inf\"} %" PRIu64 "\n%s_sum ", full, count, full);
    rv_text_add_seconds(page->text, cells[RV_STATS_HISTOGRAM_SUM]);
    rv_text_add(page->text, "\n%s_count %" PRIu64 "\n", full, count);
}

static const char *
type_of(const rv_stats_info_t *info)
{
    return info->kind == RV_STATS_COUNTER ? "counter" : "gauge";
}

static const char *
suffix_of(const rv_stats_info_t *info)
{
    return info->kind == RV_STATS_COUNTER ? "_total" : "";
}

/* Whether definition i is the first of its family, which has one HELP and TYPE. */
static int
is_first(const rv_report_t *r, unsigned i, const rv_report_name_t *name)
{
    rv_report_name_t before;

    if (i == 0)
        return 1;

    const rv_stats_info_t info = rv_stats_info(r->stats, i - 1);
    rv_report_split(info.name, &before);
    return strcmp(info.module, rv_stats_info(r->stats, i).module) != 0
        || strcmp(before.family, name->family) != 0;
}

static void
add_totals(const page_t *page)
{
    const rv_report_t *r = page->r;

    for (unsigned i = 0; i < rv_stats_count(r->stats); i++) {
        const rv_stats_info_t info = rv_stats_info(r->stats, i);
        char name[NAME], labels[LABELS] = "";
        rv_report_name_t parts;

        if (info.kind == 0)
            continue;
        rv_report_split(info.name, &parts);
        snprintf(name, sizeof(name), "reeve_%s_%s", info.module, parts.family);
        if (info.kind == RV_STATS_HISTOGRAM) {
            add_histogram(page, name, &info);
            continue;
        }
        if (is_first(r, i, &parts))
            head(page, name, type_of(&info), info.help);
        if (parts.label[0] != '\0')
            snprintf(labels, sizeof(labels), "%s=\"%s\"", parts.label, parts.value);
        sample(page, name, suffix_of(&info), labels, (int64_t) r->view.totals[info.cell]);
    }
}

/* --- each worker --------------------------------------------------------------------------- */

/* Whether a process is of a generation that was in force. */
static int
was_in_force(const rv_stats_view_t *view, unsigned i)
{
    const rv_stats_process_t *p = &view->process[i];

    return rv_report_is_worker(p) && p->owner.generation <= view->master.generation;
}

/* Finds the workers: of each number the youngest, one that is being started for the next
 * generation not counted. RV_ERROR: not enough memory. */
static int
find_workers(page_t *page)
{
    const rv_stats_view_t *view = &page->r->view;

    page->worker = calloc(view->count + 1, sizeof(void *));
    if (page->worker == NULL)
        return RV_ERROR;

    for (unsigned i = 0; i < view->count; i++) {
        const rv_stats_process_t *p = &view->process[i];

        if (was_in_force(view, i)
            && (i + 1 == view->count || p[1].owner.worker != p->owner.worker
                || !was_in_force(view, i + 1)))
            page->worker[page->workers++] = p;
    }
    return RV_OK;
}

/* What is the same in the lines of all workers: in front of the number, and behind it. */
typedef struct {
    char front[NAME + 16];
    char back[LABELS];
    size_t front_length;
    size_t back_length;
} line_t;

static void
line_make(line_t *line, const char *name, const char *suffix, const rv_report_name_t *parts)
{
    snprintf(line->front, sizeof(line->front), "%s%s{worker=\"", name, suffix);
    if (parts == NULL || parts->label[0] == '\0')
        snprintf(line->back, sizeof(line->back), "\"} ");
    else
        snprintf(line->back, sizeof(line->back), "\",%s=\"%s\"} ", parts->label, parts->value);
    line->front_length = strlen(line->front);
    line->back_length = strlen(line->back);
}

static void
add_line(rv_text_t *text, const line_t *line, const rv_stats_process_t *p, int64_t value)
{
    rv_text_add_bytes(text, line->front, line->front_length);
    rv_text_add_number(text, p->owner.worker);
    rv_text_add_bytes(text, line->back, line->back_length);
    rv_text_add_signed(text, value);
    rv_text_add_bytes(text, "\n", 1);
}

/* What the master alone counts is no worker's. */
static int
is_workers_own(const rv_stats_info_t *info)
{
    return (info->kind == RV_STATS_COUNTER || info->kind == RV_STATS_GAUGE)
        && strcmp(info->module, "master") != 0 && strcmp(info->module, "workers") != 0;
}

static void
add_worker_values(const page_t *page)
{
    const rv_report_t *r = page->r;

    for (unsigned i = 0; i < rv_stats_count(r->stats); i++) {
        const rv_stats_info_t info = rv_stats_info(r->stats, i);
        char name[NAME];
        rv_report_name_t parts;
        line_t line;

        if (!is_workers_own(&info))
            continue;
        rv_report_split(info.name, &parts);
        snprintf(name, sizeof(name), "reeve_worker_%s_%s", info.module, parts.family);
        if (is_first(r, i, &parts))
            head(page, name, type_of(&info), info.help);
        line_make(&line, name, suffix_of(&info), &parts);
        for (unsigned k = 0; k < page->workers; k++)
            add_line(
                page->text, &line, page->worker[k], (int64_t) page->worker[k]->values[info.cell]);
    }
}

static void
add_worker_life(const page_t *page)
{
    static const char started[] = "reeve_worker_start_time_seconds";
    static const char restarts[] = "reeve_worker_restarts";
    line_t line;

    head(page, started, "gauge", "Start of the worker process, since 1970.");
    line_make(&line, started, "", NULL);
    for (unsigned k = 0; k < page->workers; k++)
        add_line(page->text, &line, page->worker[k], page->worker[k]->owner.started);
    head(page, restarts, "counter", "Times that a worker of this number ended unasked.");
    line_make(&line, restarts, "_total", NULL);
    for (unsigned k = 0; k < page->workers; k++)
        add_line(page->text, &line, page->worker[k], (int64_t) page->worker[k]->owner.restarts);
}

/* --- zones --------------------------------------------------------------------------------- */

static void
add_zones(const page_t *page)
{
    static const struct {
        const char *name;
        const char *type;
        const char *suffix;
        const char *help;
    } shown[] = {
        { "reeve_zone_size_bytes", "gauge", "", "Size of a zone." },
        { "reeve_zone_used_bytes", "gauge", "", "What of a zone is given out." },
        { "reeve_zone_recoveries", "counter", "_total",
            "Times that a zone was made whole after the death of a process." },
        { "reeve_zone_rebuilds", "counter", "_total",
            "Times that a zone was beyond repair and made anew." },
    };
    const rv_report_t *r = page->r;
    char labels[LABELS];

    for (size_t k = 0; k < rv_countof(shown) && r->zones > 0; k++) {
        head(page, shown[k].name, shown[k].type, shown[k].help);
        for (unsigned i = 0; i < r->zones; i++) {
            const rv_zone_info_t *z = &r->zone[i];
            const int64_t values[] = { (int64_t) z->size, (int64_t) z->used, z->recoveries,
                (int64_t) z->generation - 1 };

            snprintf(labels, sizeof(labels), "zone=\"%s\"", z->name);
            sample(page, shown[k].name, shown[k].suffix, labels, values[k]);
        }
    }
}

void
rv_report_metrics(const rv_report_t *r, rv_text_t *text, int openmetrics)
{
    page_t page = { .r = r, .text = text, .openmetrics = openmetrics };

    if (find_workers(&page) != RV_OK) {
        text->failed = 1;
        return;
    }
    add_master(&page);
    add_totals(&page);
    add_worker_life(&page);
    add_worker_values(&page);
    add_zones(&page);
    if (openmetrics)
        rv_text_add(text, "# EOF\n");
    free(page.worker);
}
