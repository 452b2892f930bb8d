/*
 * rv_report: what there is to show of a daemon, and the forms that it is shown in.
 *
 * The same for a page of the daemon itself and for `reeve status`, which looks
 * from outside.
 */
#ifndef RV_REPORT_H
#define RV_REPORT_H

#include "rv_cycle.h"
#include "rv_stats.h"
#include "rv_text.h"
#include "rv_zone.h"

#define RV_REPORT_ZONES 32

/* Values that a form shows by themselves, and not as one of all. */
typedef enum {
    RV_REPORT_READING,
    RV_REPORT_WRITING,
    RV_REPORT_WAITING,
    RV_REPORT_ACCEPTS,
    RV_REPORT_HANDLED,
    RV_REPORT_REQUESTS,
    RV_REPORT_VALUES /* how many */
} rv_report_value_t;

typedef struct {
    const rv_stats_t *stats;
    int cell[RV_REPORT_VALUES]; /* below 0: there is no such value */
    rv_stats_view_t view;
    rv_zone_info_t zone[RV_REPORT_ZONES];
    unsigned zones;
    int64_t now;  /* seconds since 1970 */
    int64_t msec; /* rv_loop_now, for heartbeats */
} rv_report_t;

/* Takes it: the counters, now, and no zones yet. RV_ERROR: not enough memory. */
int rv_report_take(rv_report_t *r, const rv_stats_t *stats);

/* Adds a zone, as long as there is room. */
void rv_report_add_zone(rv_report_t *r, const rv_zone_info_t *zone);

/* Takes it of the generation that this process is of. RV_AGAIN: the counters were cut off
 * and are being mended. */
int rv_report_take_cycle(rv_report_t *r, const rv_cycle_t *cycle);

void rv_report_free(rv_report_t *r);

/* --- the forms ------------------------------------------------------------------- */

/* For people. */
void rv_report_table(const rv_report_t *r, rv_text_t *text);

/* One object, times in seconds. */
void rv_report_json(const rv_report_t *r, rv_text_t *text);

/* nginx's stub_status. */
void rv_report_stub(const rv_report_t *r, rv_text_t *text);

/* Prometheus' text format 0.0.4, or OpenMetrics 1.0. */
void rv_report_metrics(const rv_report_t *r, rv_text_t *text, int openmetrics);

/* --- for the forms --------------------------------------------------------------- */

/* A name taken apart: restarts{reason="exit"}. */
typedef struct {
    char family[RV_STATS_NAME];
    char label[RV_STATS_NAME]; /* "" where there is none */
    char value[RV_STATS_NAME];
} rv_report_name_t;

void rv_report_split(const char *name, rv_report_name_t *parts);

/* The quantiles that are shown of a histogram, and what they are called: p50, p90, p99, p99.9. */
#define RV_REPORT_QUANTILES 4

void rv_report_quantiles(const uint64_t *cells, uint64_t usec[RV_REPORT_QUANTILES]);
const char *rv_report_quantile_name(unsigned i);

/* "ready" and so on. */
const char *rv_report_state(int state);

/* A value, 0 where there is none; of NULL the total. */
uint64_t rv_report_value(
    const rv_report_t *r, const rv_stats_process_t *p, rv_report_value_t value);

/* All connections of a process, or of all. */
uint64_t rv_report_connections(const rv_report_t *r, const rv_stats_process_t *p);

/* The master itself, or the process without one; NULL: it is not listed. Workers are all others. */
const rv_stats_process_t *rv_report_master(const rv_report_t *r);
int rv_report_is_worker(const rv_stats_process_t *p);

#endif
