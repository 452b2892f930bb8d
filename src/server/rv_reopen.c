/*
 * rv_reopen: log files that were moved away are made anew.
 */
#include "rv_reopen.h"

#include "rv_control.h"
#include "rv_log_output.h"
#include "rv_stats_outcome.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

void
rv_reopen_begin(rv_reopen_t *r, rv_stats_t *st, int workers)
{
    unsigned output = 0;
    int result;

    rv_stats_begin(st, RV_STATS_REOPEN);
    rv_log(RV_LOG_NOTICE, 0, "reopening logs");
    r->is_waiting = 1;
    r->failed = 0;
    r->reason[0] = '\0';
    r->round++;
    while ((result = rv_log_output_reopen(&output)) != RV_DONE) {
        if (result == RV_OK && workers)
            rv_control_reopen(output - 1, rv_log_output_fd(output - 1), r->round);
        if (result == RV_OK)
            continue;

        r->failed = 1;
        snprintf(r->reason, sizeof(r->reason), "reopening log \"%s\" failed (%d: %s)",
            rv_log_output_target(output - 1), errno, strerror(errno));
        rv_log(RV_LOG_ERROR, 0, "%s", r->reason);
    }
}

void
rv_reopen_settle(rv_reopen_t *r, rv_stats_t *st)
{
    if (!r->is_waiting || !rv_control_has_reopened(r->round))
        return;

    r->is_waiting = 0;
    rv_stats_finish(st, RV_STATS_REOPEN, r->failed, r->reason);
}
