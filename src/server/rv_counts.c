/*
 * rv_counts: the daemon's own counters, those that are no module's.
 *
 * The globals: what of the channels' totals stands in the row already, where the delays of
 * messages go, and a row that this process has given itself.
 */
#include "rv_counts.h"

#include "rv_channel.h"
#include "rv_loop.h"
#include "rv_process.h"
#include "rv_stats_fold.h"

#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static const rv_stats_def_t workers[] = {
    { "restarts{reason=\"exit\"}", RV_STATS_COUNTER, "Workers that ended unasked." },
    { "restarts{reason=\"signal\"}", RV_STATS_COUNTER, "Workers that ended unasked." },
    { "restarts{reason=\"hang\"}", RV_STATS_COUNTER, "Workers that ended unasked." },
    { NULL, 0, NULL },
};
static const rv_stats_def_t master[] = {
    { "reloads{result=\"done\"}", RV_STATS_COUNTER, "Reloads of the configuration." },
    { "reloads{result=\"failed\"}", RV_STATS_COUNTER, "Reloads of the configuration." },
    { NULL, 0, NULL },
};
static const rv_stats_def_t zones[] = {
    { "recoveries", RV_STATS_COUNTER,
        "Times that shared memory was found half-written by a dead process and made whole." },
    { "rebuilds", RV_STATS_COUNTER, "Times that a zone was beyond repair and made anew." },
    { NULL, 0, NULL },
};
static const rv_stats_def_t channel[] = {
    { "sent", RV_STATS_COUNTER, "Messages sent to other processes." },
    { "received", RV_STATS_COUNTER, "Messages received from other processes." },
    { "refused", RV_STATS_COUNTER, "Messages received and thrown away." },
    { "full", RV_STATS_COUNTER, "Messages not sent because a queue was full." },
    { "dropped", RV_STATS_COUNTER,
        "Messages that waited and made way for others of their type, or lost their receiver." },
    { "queued", RV_STATS_GAUGE, "Messages that wait to be sent." },
    { "queued_most_bytes", RV_STATS_GAUGE,
        "Bytes: the most that have waited for one process, added up over those that sent." },
    { "delay", RV_STATS_HISTOGRAM, "Time from sending a message of a module to receiving it." },
    { NULL, 0, NULL },
};

static const struct {
    const char *module;
    const rv_stats_def_t *defs;
} all[] = {
    { "master", master },
    { "workers", workers },
    { "zones", zones },
    { "channel", channel },
};

static rv_channel_totals_t published;
static struct {
    rv_stats_t *in;
    int cell; /* -1: nowhere */
} delay = { NULL, -1 };
static rv_stats_owner_t self; /* whose the row is */
static int row = -1;
static rv_stats_t *entered; /* where it is */

int
rv_counts_define(rv_stats_defs_t *defs)
{
    for (size_t i = 0; i < rv_countof(all); i++) {
        if (rv_stats_define(defs, all[i].module, all[i].defs) != RV_OK)
            return RV_ERROR;
    }
    return RV_OK;
}

static void
set_delay(rv_stats_t *st)
{
    delay.in = st;
    delay.cell = st == NULL ? -1 : rv_stats_find(st, "channel", "delay");
}

int
rv_counts_enter(rv_stats_t *st, unsigned worker, unsigned generation)
{
    /* what waits to be sent is counted here from now on */
    int queued = entered == NULL ? RV_ERROR : rv_stats_find(entered, "channel", "queued");
    if (queued >= 0) {
        const rv_stats_change_t moved[] = {
            { (unsigned) queued, -(int64_t) published.queued },
            { (unsigned) queued + 1, -(int64_t) published.most },
        };
        rv_stats_apply(entered, moved, rv_countof(moved));
    }
    published.queued = published.most = 0;
    entered = st;
    set_delay(st);

    self = (rv_stats_owner_t){ .worker = worker,
        .generation = generation,
        .pid = getpid(),
        .state = RV_PROCESS_READY,
        .started = time(NULL) };
    row = rv_stats_claim(st);
    if (row < 0)
        return RV_ERROR;

    rv_stats_set_owner(st, (unsigned) row, &self);
    return rv_stats_own(st, (unsigned) row);
}

void
rv_counts_enter_again(rv_stats_t *st)
{
    if (row >= 0)
        rv_stats_set_owner(st, (unsigned) row, &self);
}

void
rv_counts_leave(void)
{
    if (row >= 0 && entered != NULL)
        (void) rv_stats_fold(entered, (unsigned) row);
    row = -1;
    entered = NULL;
    set_delay(NULL);
}

static void
count(rv_stats_t *st, const char *module, const char *name, unsigned n)
{
    int cell = rv_stats_find(st, module, name);
    rv_stats_change_t change = { (unsigned) cell, n };

    if (cell >= 0 && n > 0)
        rv_stats_apply(st, &change, 1);
}

void
rv_counts_death(rv_stats_t *st, int status, int hung)
{
    count(st, "workers", workers[hung ? 2 : WIFSIGNALED(status) ? 1 : 0].name, 1);
}

void
rv_counts_reload(rv_stats_t *st, int failed)
{
    count(st, "master", master[failed ? 1 : 0].name, 1);
}

void
rv_counts_recoveries(rv_stats_t *st, unsigned n)
{
    count(st, "zones", "recoveries", n);
}

void
rv_counts_rebuilds(rv_stats_t *st, unsigned n)
{
    count(st, "zones", "rebuilds", n);
}

void
rv_counts_forked(rv_stats_t *st)
{
    set_delay(st);
    published = *rv_channel_totals();
    published.queued = published.most = 0; /* gauges: the row is new */
}

void
rv_counts_delay(uint64_t sent)
{
    rv_stats_change_t changes[RV_STATS_OBSERVATION];
    uint64_t now = (uint64_t) rv_loop_now_usec();
    uint64_t took = now > sent ? now - sent : 0;

    if (delay.cell >= 0)
        rv_stats_apply(delay.in, changes, rv_stats_observe(delay.in, delay.cell, took, 1, changes));
}

void
rv_counts_channels(rv_stats_t *st)
{
    const rv_channel_totals_t *now = rv_channel_totals();

    if (memcmp(now, &published, sizeof(*now)) == 0)
        return;

    /* the definitions stand one behind the other, and so do their cells */
    unsigned cell = (unsigned) rv_stats_find(st, "channel", "sent");
    const rv_stats_change_t changes[] = {
        { cell, (int64_t) (now->sent - published.sent) },
        { cell + 1, (int64_t) (now->received - published.received) },
        { cell + 2, (int64_t) (now->refused - published.refused) },
        { cell + 3, (int64_t) (now->full - published.full) },
        { cell + 4, (int64_t) (now->dropped - published.dropped) },
        { cell + 5, (int64_t) (now->queued - published.queued) },
        { cell + 6, (int64_t) (now->most - published.most) },
    };
    rv_stats_apply(st, changes, rv_countof(changes));
    published = *now;
}
