/*
 * rv_viewer: `reeve status`, a look at a running daemon from outside.
 */
#include "rv_viewer.h"

#include "rv_outside.h"
#include "rv_report.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

static int
print(const rv_outside_t *o, rv_viewer_form_t form)
{
    static void (*const forms[])(const rv_report_t *, rv_text_t *) = {
        [RV_VIEWER_TABLE] = rv_report_table,
        [RV_VIEWER_JSON] = rv_report_json,
        [RV_VIEWER_STUB] = rv_report_stub,
    };
    rv_text_t text = { 0 };
    rv_report_t r;

    if (o->left_out)
        rv_log(RV_LOG_WARN, 0, "there are more than %d files, not all were looked at",
            RV_OUTSIDE_ZONES);
    if (!rv_stats_is_complete(o->stats))
        rv_log(RV_LOG_WARN, 0,
            "memory of a generation that drains cannot be mapped from outside: "
            "its workers are not listed, what they count is of the last second");
    if (rv_report_take(&r, o->stats) != RV_OK) {
        rv_log(RV_LOG_EMERG, ENOMEM, "reading the counters failed");
        return 1;
    }
    for (unsigned i = 0; i < o->count; i++) {
        if (o->zone[i].stats == o->stats || o->zone[i].stats == NULL) /* no predecessors */
            rv_report_add_zone(&r, &o->zone[i].info);
    }
    forms[form](&r, &text);
    rv_report_free(&r);

    int failed = text.failed || fwrite(text.data, 1, text.length, stdout) != text.length
        || fflush(stdout) != 0;
    if (failed)
        rv_log(RV_LOG_EMERG, text.failed ? ENOMEM : errno, "printing the status failed");
    rv_text_free(&text);
    return failed;
}

/* Why there is nothing to be seen. */
static void
explain(const rv_cycle_t *cycle, pid_t pid, int error)
{
    const rv_core_zone_t *conf = rv_conf_get(cycle->conf, "zone", "stats");

    if (error != 0)
        rv_log(RV_LOG_EMERG, error, "looking at the descriptors of process %ld failed%s",
            (long) pid, error == EACCES ? ", it takes the rights of its owner" : "");
    else if (conf != NULL && conf->path != NULL)
        rv_log(RV_LOG_EMERG, 0,
            "zone \"stats\" of process %ld has nothing to show: \"%s\" was cut off and is mended within "
            "a second, or is not in use yet",
            (long) pid, conf->path);
    else
        rv_log(RV_LOG_EMERG, 0,
            "zone \"stats\" of process %ld cannot be mapped from outside: it is of type anon, devzero "
            "or sysv; \"type = memfd\" (or posix, or file) in [zone stats] and a reload change that",
            (long) pid);
}

static int
view(rv_cycle_t *cycle, rv_viewer_form_t form)
{
    static rv_outside_t o;
    int status = 1;
    const char *path;
    pid_t pid;

    if (rv_outside_find(cycle, &path, &pid) != RV_OK)
        return 1;

    if (rv_outside_map(&o, cycle, pid) != RV_OK || !rv_stats_is_whole(o.stats))
        explain(cycle, pid, o.error);
    else
        status = print(&o, form);
    rv_outside_unmap(&o);
    return status;
}

int
rv_viewer_run(const rv_cycle_options_t *options, rv_viewer_form_t form)
{
    /* for the pid file and the zones, however broken the rest of it is */
    rv_cycle_t *cycle = rv_cycle_read(options, 1);

    if (cycle == NULL) {
        rv_log(RV_LOG_EMERG, ENOMEM, "reading the configuration failed");
        return 1;
    }
    int status = view(cycle, form);
    rv_cycle_free(cycle, 0);
    return status;
}
