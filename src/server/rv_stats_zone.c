/*
 * rv_stats_zone: the zone "stats", in which the counters are.
 *
 * The definitions are the program's, the same in every generation. Memory that
 * has them too, in a file or from before an exec, is used as it is; from any other
 * the counts are carried over by name.
 */
#include "rv_stats_zone.h"

#include "rv_connection.h"
#include "rv_counts.h"
#include "rv_process.h"
#include "rv_stats_fold.h"
#include "rv_zone_add.h"

/* Two masters, of two versions of the program, may have a row for each of their slots. */
enum { ROWS = 2 * RV_PROCESS_SLOTS };

static void
set_handle(rv_zone_t *zone, rv_stats_t *st)
{
    rv_zone_set_handle(zone, st, (void (*)(void *)) rv_stats_free);
}

/* Rows and definitions; once more, for memory that was beyond repair, what this
 * process knows of them. A zone that nobody else uses has come to its end: its counts are ours
 * at once; otherwise when its last process is gone. */
static int
init(rv_zone_t *zone, rv_zone_t *old, void *data)
{
    const rv_stats_defs_t *defs = data;
    void *memory = rv_zone_alloc(zone, rv_stats_size(defs, ROWS));

    if (memory == NULL)
        return RV_ERROR;
    if (rv_zone_handle(zone) != NULL)
        return rv_stats_restore(rv_zone_handle(zone));

    rv_stats_t *st = rv_stats_create(memory, defs, ROWS);
    if (st == NULL)
        return RV_ERROR;

    set_handle(zone, st);
    if (rv_zone_is_loose(zone) && rv_stats_keep_witnesses(st) != RV_OK)
        return RV_ERROR;
    if (old != NULL) {
        rv_stats_succeed(st, rv_zone_handle(old));
        if (!rv_zone_is_alone(old))
            rv_zone_hold(zone, old);
        int taken =
            rv_zone_is_alone(old) ? rv_stats_retire(st, rv_zone_handle(old)) : rv_stats_carry(st);
        if (taken == RV_ERROR)
            return RV_ERROR;
    }
    return rv_stats_save(st);
}

static int
attach(rv_zone_t *zone, void *data)
{
    const rv_stats_defs_t *defs = data;
    size_t room;
    void *memory = rv_zone_content(zone, &room);
    rv_stats_t *st = memory == NULL ? NULL : rv_stats_attach(memory, room);

    if (st == NULL)
        return RV_ERROR;

    set_handle(zone, st);
    if (rv_zone_is_alone(zone) && rv_stats_revive(st) != RV_OK)
        return RV_ERROR;
    if (rv_stats_save(st) != RV_OK
        || (rv_zone_is_loose(zone) && rv_stats_keep_witnesses(st) != RV_OK))
        return RV_ERROR;
    return rv_stats_same(st, defs, ROWS) ? RV_OK : RV_DONE;
}

static int
restore(rv_zone_t *zone, void *data)
{
    (void) data;
    return rv_stats_restore(rv_zone_handle(zone));
}

static int
define(rv_stats_defs_t *defs)
{
    *defs = (rv_stats_defs_t){ 0 };
    if (rv_counts_define(defs) != RV_OK
        || rv_stats_define(defs, "connections", rv_connection_stats) != RV_OK)
        return RV_ERROR;

    for (size_t i = 0; rv_modules[i] != NULL; i++) {
        if (rv_modules[i]->stats != NULL
            && rv_stats_define(defs, rv_modules[i]->name, rv_modules[i]->stats) != RV_OK)
            return RV_ERROR;
    }
    return RV_OK;
}

int
rv_stats_zone_add(rv_cycle_t *cycle)
{
    static rv_stats_defs_t defs; /* the zone outlives the generation */
    static const rv_zone_calls_t calls = { .init = init, .attach = attach, .restore = restore };

    if (define(&defs) != RV_OK)
        return rv_conf_error(cycle->conf, "%s", defs.error);

    return rv_zone_add(cycle, "stats", rv_stats_size(&defs, ROWS), "core", &calls, &defs);
}
