/*
 * rv_watchdog: finds workers that hang, and ends them.
 *
 * Only time in which a worker could have beaten counts. One that would run but
 * gets no processor has used none: what counts is the CPU time that it used.
 * One that is stopped has all its time before it. And when the master itself
 * comes late, the machine slept or is overloaded, and nobody is to blame. What
 * is left is a worker that runs and runs, or waits in the kernel: that time
 * counts in full.
 *
 * The globals: what is known of each slot, and when it was looked at last.
 */
#include "rv_watchdog.h"

#include "rv_activity.h"
#include "rv_doing.h"
#include "rv_proc_stat.h"
#include "rv_process.h"

#include <signal.h>
#include <string.h>

enum {
    LATE_MSEC = 2 * RV_WATCHDOG_TICK, /* between two looks: the master was held up */
    ABORT_MSEC = 1000                 /* for the backtrace */
};

static struct {
    pid_t pid;
    rv_watchdog_t watchdog;
} known[RV_PROCESS_SLOTS];
static int64_t looked; /* ms */

/* How much of the time since the last look counts. */
static int64_t
counting(const rv_watchdog_t *w, const rv_watchdog_sight_t *sight)
{
    if (sight->passed > LATE_MSEC)
        return 0;
    if (sight->state == 'R')
        return rv_min(sight->cpu - w->cpu, sight->passed);
    return sight->passed;
}

int
rv_watchdog_judge(rv_watchdog_t *w, const rv_watchdog_sight_t *sight, int64_t limit)
{
    int stopped = sight->state == 'T' || sight->state == 't';

    w->without = sight->beats != w->beats || stopped ? 0 : w->without + counting(w, sight);
    w->beats = sight->beats;
    w->cpu = sight->cpu;
    return w->without >= limit;
}

static void
end_worker(rv_process_t *p, const rv_cycle_t *cycle, char state, int64_t now)
{
    char doing[RV_DOING_TEXT], limit[RV_DOING_TIME];

    rv_log(RV_LOG_ERROR, 0, "worker %u (pid %ld) hangs, %s for %s, %s", p->worker, (long) p->pid,
        state == 'R' ? "running" : "blocked",
        rv_doing_time((int64_t) cycle->core->worker_hang_timeout, limit),
        rv_doing(cycle, p->slot, doing));
    p->hangs = 1;
    p->kill_at = p->kill_at == 0 ? now + ABORT_MSEC : rv_min(p->kill_at, now + ABORT_MSEC);
    kill(p->pid, SIGABRT);
}

static void
look_at(rv_process_t *p, const rv_cycle_t *cycle, int64_t now)
{
    int64_t limit = (int64_t) cycle->core->worker_hang_timeout;
    rv_watchdog_sight_t sight = { .beats = rv_activity_beats(p->slot), .passed = now - looked };
    rv_proc_stat_t stat = { 0 };

    if (limit == 0 || sight.beats == 0 || p->hangs) /* 0: it is getting ready still */
        return;
    if (known[p->slot].pid != p->pid) {
        memset(&known[p->slot], 0, sizeof(known[p->slot]));
        known[p->slot].pid = p->pid;
    }

    /* without /proc nothing is known but that it does not beat */
    (void) rv_proc_stat_read(p->pid, &stat);
    sight.state = stat.state;
    sight.cpu = stat.cpu;
    if (rv_watchdog_judge(&known[p->slot].watchdog, &sight, limit))
        end_worker(p, cycle, stat.state, now);
}

void
rv_watchdog_look(const rv_generations_t *all, int64_t now)
{
    for (rv_process_t *p = rv_process_each(NULL); p != NULL; p = rv_process_each(p)) {
        const rv_cycle_t *cycle = rv_generations_find(all, p->generation);

        if (cycle != NULL)
            look_at(p, cycle, now);
    }
    looked = now;
}
