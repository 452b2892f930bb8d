/*
 * rv_report_table: the report for people, on a terminal.
 */
#include "rv_report.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

enum { TEXT = 64 };

/* "3d 02:11:05" */
static const char *
format_age(int64_t seconds, char text[TEXT])
{
    int64_t s = rv_max(seconds, 0);
    size_t n = 0;

    if (s >= 24 * 3600)
        n = (size_t) snprintf(text, TEXT, "%" PRId64 "d ", s / (24 * 3600));
    snprintf(text + n, TEXT - n, "%02d:%02d:%02d", (int) (s / 3600 % 24), (int) (s / 60 % 60),
        (int) (s % 60));
    return text;
}

/* "0.4s", since a heartbeat */
static const char *
format_beat(const rv_report_t *r, uint64_t heartbeat, char text[TEXT])
{
    int64_t msec = rv_max(r->msec - (int64_t) heartbeat, 0);

    if (heartbeat == 0)
        snprintf(text, TEXT, "-");
    else
        snprintf(text, TEXT, "%" PRId64 ".%" PRId64 "s", msec / 1000, msec % 1000 / 100);
    return text;
}

/* "0.123ms" */
static const char *
format_duration(uint64_t usec, char text[TEXT])
{
    if (usec < 1000)
        snprintf(text, TEXT, "%" PRIu64 "us", usec);
    else if (usec < 999500)
        snprintf(text, TEXT, "%.3gms", (double) usec / 1e3);
    else if (usec < 1000 * UINT64_C(1000000))
        snprintf(text, TEXT, "%.4gs", (double) usec / 1e6);
    else
        snprintf(text, TEXT, "%.0fs", (double) usec / 1e6);
    return text;
}

static void
add_master(const rv_report_t *r, rv_text_t *text)
{
    const rv_stats_master_t *m = &r->view.master;
    const rv_stats_process_t *self = rv_report_master(r);
    char age[TEXT], beat[TEXT], when[TEXT] = "";
    time_t at = (time_t) m->reload_time;
    struct tm tm;

    rv_text_add(text, "master   pid %ld, up %s, generation %u, heartbeat ", (long) m->master,
        format_age(r->now - m->started, age), m->generation);
    if (self == NULL || self->heartbeat == 0)
        rv_text_add(text, "none yet\n");
    else
        rv_text_add(text, "%s ago\n", format_beat(r, self->heartbeat, beat));

    if (m->reloads > 0 && localtime_r(&at, &tm) != NULL)
        strftime(when, sizeof(when), "%Y-%m-%d %H:%M:%S", &tm);
    if (m->reloads == 0)
        rv_text_add(text, "reload   none yet\n");
    else if (m->reload_result == 0)
        rv_text_add(text, "reload   %s, done\n", when);
    else
        rv_text_add(text, "reload   %s, failed: %s\n", when, m->reload_text);

    for (unsigned i = 0; i < r->zones; i++) {
        const rv_zone_info_t *z = &r->zone[i];

        rv_text_add(text, "zone     %s: ", z->name);
        if (z->type != NULL)
            rv_text_add(text, "%s, ", z->type);
        rv_text_add(text, "%" PRIu64 "k, %" PRIu64 "k used, owner %s, repaired %u, made anew %u\n",
            z->size / 1024, (z->used + 1023) / 1024, z->owner, z->recoveries,
            z->generation > 0 ? z->generation - 1 : 0);
    }
}

static void
add_workers(const rv_report_t *r, rv_text_t *text)
{
    char age[TEXT], beat[TEXT];

    rv_text_add(text, "\n%6s %5s %8s %10s %-9s %12s %9s %11s %12s %8s\n", "worker", "slot", "pid",
        "generation", "state", "up", "heartbeat", "connections", "requests", "restarts");
    for (unsigned i = 0; i < r->view.count; i++) {
        const rv_stats_process_t *p = &r->view.process[i];
        const rv_stats_owner_t *o = &p->owner;

        if (!rv_report_is_worker(p))
            continue;
        rv_text_add(text,
            "%6u %5u %8ld %10u %-9s %12s %9s %11" PRIu64 " %12" PRIu64 " %8" PRIu64 "\n", o->worker,
            o->slot, (long) o->pid, o->generation, rv_report_state(o->state),
            format_age(r->now - o->started, age), format_beat(r, p->heartbeat, beat),
            rv_report_connections(r, p), rv_report_value(r, p, RV_REPORT_REQUESTS), o->restarts);
    }
}

static void
add_histogram(rv_text_t *text, const uint64_t *cells)
{
    uint64_t usec[RV_REPORT_QUANTILES];
    char duration[TEXT];

    rv_report_quantiles(cells, usec);
    rv_text_add(text, "%" PRIu64, rv_stats_histogram_count(cells));
    for (unsigned i = 0; i < RV_REPORT_QUANTILES; i++)
        rv_text_add(
            text, "  %s %s", rv_report_quantile_name(i), format_duration(usec[i], duration));
    rv_text_add(text, "  max %s\n", format_duration(cells[RV_STATS_HISTOGRAM_MAX], duration));
}

static void
add_totals(const rv_report_t *r, rv_text_t *text)
{
    char name[RV_STATS_MODULE + RV_STATS_NAME];

    rv_text_add(text, "\ntotals\n");
    for (unsigned i = 0; i < rv_stats_count(r->stats); i++) {
        const rv_stats_info_t info = rv_stats_info(r->stats, i);
        const uint64_t *cells = r->view.totals + info.cell;

        if (info.kind == 0)
            continue;
        snprintf(name, sizeof(name), "%s %s", info.module, info.name);
        rv_text_add(text, "  %-36s ", name);
        if (info.kind == RV_STATS_HISTOGRAM)
            add_histogram(text, cells);
        else
            rv_text_add(text, "%" PRId64 "\n", (int64_t) *cells);
    }
}

void
rv_report_table(const rv_report_t *r, rv_text_t *text)
{
    add_master(r, text);
    add_workers(r, text);
    add_totals(r, text);
}
