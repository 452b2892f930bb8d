/*
 * rv_master: the process that never serves, and never dies.
 *
 * At most three kinds of generations live: the one in force, one that is
 * being built (pending), and older ones whose workers drain. A pending one is
 * committed when all its workers are READY, and until then nothing of it has
 * been seen by a client. The first start is a reload without an old one.
 *
 * Nothing is decided in callbacks: they end the step of the loop, and act()
 * goes through what there is to do, always in the same order.
 */
#include "rv_master.h"

#include "rv_activity.h"
#include "rv_announce.h"
#include "rv_build.h"
#include "rv_counts.h"
#include "rv_daemon.h"
#include "rv_fd.h"
#include "rv_generations.h"
#include "rv_log_output.h"
#include "rv_master_orders.h"
#include "rv_mesh.h"
#include "rv_peers.h"
#include "rv_stats_fold.h"
#include "rv_watchdog.h"
#include "rv_workers.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { TICK_MSEC = 1000 }; /* between two looks at what tells of itself to nobody */

/* --- a child gives up what is the master's ------------------------------------------- */

static void
forget(void *data, const rv_cycle_t *keep)
{
    rv_master_t *m = data;

    (void) rv_loop_reinit(m->workers.loop);
    rv_loop_unwatch(m->signals);
    rv_succession_forget(&m->succession);
    rv_loop_destroy(m->workers.loop);
    rv_signal_reset();

    rv_announce_forked();
    rv_fd_close(&m->notify);
    if (m->reload.given != NULL)
        rv_cycle_free(m->reload.given, 0);
    rv_fd_close(&m->reload.pidfile.fd);
    rv_fd_close(&m->reload.pending_pidfile.fd);
    rv_generations_free(&m->all, keep, 0);
}

/* --- signals ------------------------------------------------------------------------------- */

static void
on_signal(int fd, short what, void *data)
{
    (void) fd;
    (void) what;
    (void) data;
}

static void
reap(rv_master_t *m)
{
    char text[RV_WORKERS_TEXT];
    int status;
    pid_t pid;

    while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
        rv_process_t *p = rv_process_find(pid);
        rv_cycle_t *cycle = p == NULL ? NULL : rv_generations_find(&m->all, p->generation);

        if (rv_upgrade_reaped(&m->succession.after, pid, status) || cycle == NULL)
            continue;

        rv_workers_tell(p, cycle, status, rv_loop_now());
        if (cycle == m->all.pending)
            rv_reload_fail(&m->reload, "worker %u %s before it was ready", p->worker,
                rv_workers_describe(status, text));
        if (p->state != RV_PROCESS_DRAINING)
            rv_counts_death(cycle->stats, status, p->hangs);
        rv_workers_bury(&m->workers, p, cycle, rv_loop_now());
        rv_counts_recoveries(cycle->stats, rv_stats_recoveries(cycle->stats));
        rv_generations_look_after_zones(&m->all);
    }
}

/* What nobody tells the master; and that it lives. */
static void
tick(rv_master_t *m)
{
    m->ticked = rv_loop_now();
    if (m->all.current == NULL)
        return;

    rv_watchdog_look(&m->all, m->ticked);
    rv_cycle_check_files(m->all.current);
    if (m->all.pending == NULL && rv_succession_is_alone(&m->succession))
        rv_scale_retire(m->all.current);
    for (rv_cycle_t *c = NULL; (c = rv_generations_each(&m->all, c)) != NULL;)
        (void) rv_stats_carry(c->stats);
    rv_succession_tick(&m->succession);
    (void) rv_stats_save(m->all.current->stats);
    rv_stats_heartbeat(m->all.current->stats, (uint64_t) m->ticked);
}

/* The first generation is in force. */
static void
on_started(rv_master_t *m)
{
    rv_log(RV_LOG_NOTICE, 0, "%s/%s started, %u workers are ready", RV_NAME, RV_VERSION,
        rv_workers_ready(m->all.current));
    rv_succession_started(&m->succession);
    rv_announce_ready(m->all.current, m->notify != -1); /* before the command returns */
    rv_daemon_ready(&m->notify, m->succession.before.master != 0 || rv_log_uses_stderr());
    rv_log_terminal(RV_LOG_NONE);
    /* whoever sees it in its place may tell the master before this one to quit: that must know */
    if (rv_pidfile_take_place(&m->reload.pidfile) != RV_OK)
        rv_log(RV_LOG_ERROR, errno, "moving pid file \"%s\" into place failed",
            m->reload.pidfile.path);
}

static void
settle(rv_master_t *m)
{
    int first = m->all.current == NULL;
    int result = rv_reload_settle(&m->reload, m->stopping != 0 && !first);

    if (result == RV_OK)
        m->drained = 0;
    if (first && result == RV_OK)
        on_started(m);
    if (first && result == RV_ERROR && m->stopping == 0) {
        m->status = 1;
        m->stopping = RV_SIGNAL_TERMINATE;
    }
}

/* --- the loop ------------------------------------------------------------------------------ */

static void
fill(rv_master_t *m)
{
    if (m->all.current != NULL && !m->drained)
        rv_workers_fill(&m->workers, m->all.current, rv_loop_now());
    if (m->all.pending != NULL && !m->reload.aborting)
        rv_workers_fill(&m->workers, m->all.pending, rv_loop_now());
    rv_peers_tell(rv_loop_now());
    if (m->all.current != NULL && m->workers.unstarted)
        rv_workers_start(&m->workers, m->all.current);
    if (m->workers.unknown)
        rv_workers_introduce(&m->workers);
}

/* The fixed order: the end (a Ctrl-C has ended the workers too, which is then
 * no surprise), the dead, the new, what else was asked for. */
static void
act(rv_master_t *m)
{
    unsigned came = m->came;

    rv_workers_receive(&m->workers);
    if (came & (RV_SIGNAL_QUIT | RV_SIGNAL_TERMINATE))
        rv_master_orders_settle(m); /* is there another one? */
    if (came & RV_SIGNAL_TERMINATE && m->stopping != RV_SIGNAL_TERMINATE)
        rv_master_orders_stop(m, RV_SIGNAL_TERMINATE);
    else if (came & RV_SIGNAL_QUIT && m->stopping == 0)
        rv_master_orders_stop(m, RV_SIGNAL_QUIT);
    if (came & RV_SIGNAL_CHILD)
        reap(m);

    if (m->all.current != NULL)
        rv_generations_mend_zones(&m->all); /* before rows are given to anybody */
    settle(m);
    rv_master_orders_settle(m);
    rv_master_orders_scale(m);
    rv_master_orders_take(m);
    if (m->stopping == 0)
        fill(m);
    else
        rv_peers_tell(rv_loop_now());
    if (m->all.current != NULL)
        rv_reopen_settle(&m->reopen, m->all.current->stats);
    rv_generations_retire(&m->all);
    if (rv_loop_now() - m->ticked >= TICK_MSEC)
        tick(m);
    if (m->all.current != NULL)
        rv_counts_channels(m->all.current->stats);
    rv_mesh_settle(rv_loop_now());
    rv_announce_beat(rv_loop_now());
}

static int64_t
earlier(int64_t a, int64_t b)
{
    return rv_min(a, b);
}

/* How long the next step may wait, ms. */
static int64_t
next_wait(const rv_master_t *m)
{
    int64_t now = rv_loop_now();
    int64_t at = earlier(rv_workers_kill_overdue(now), m->ticked + TICK_MSEC);
    int running = m->stopping == 0 && m->all.current != NULL;

    at = earlier(earlier(at, rv_reload_due(&m->reload)), rv_announce_due());
    at = earlier(at, rv_upgrade_due(&m->succession.after));
    at = earlier(at, rv_scale_due(&m->scale));
    if (running && !m->drained)
        at = earlier(at, rv_workers_due(m->all.current));
    at = earlier(earlier(at, rv_mesh_due()), rv_peers_due());

    return at > now ? at - now : 0;
}

static unsigned
take_signals(const rv_master_t *m)
{
    const rv_cycle_t *cycle = m->all.current != NULL ? m->all.current : m->all.pending;
    unsigned came = rv_signal_take();

    rv_succession_pass_on(&m->succession, came);
    return rv_signal_resolve(came, cycle->core->graceful_term);
}

static int
init(rv_master_t *m)
{
    m->workers.forget = forget;
    m->workers.data = m;
    rv_process_set_master(getpid());

    if (rv_signal_init() != RV_OK || rv_fd_pipe(m->workers.liveness) != RV_OK
        || rv_activity_init(RV_PROCESS_SLOTS) != RV_OK)
        return RV_ERROR;

    m->workers.loop = rv_loop_create(NULL);
    if (m->workers.loop == NULL)
        return RV_ERROR;

    m->signals = rv_loop_watch(m->workers.loop, rv_signal_fd(), RV_LOOP_READ, on_signal, m);
    m->succession.loop = m->workers.loop;
    return m->signals == NULL ? RV_ERROR : rv_succession_init(&m->succession);
}

static int
is_over(const rv_master_t *m)
{
    return m->stopping != 0 && !m->reload.aborting && rv_process_each(NULL) == NULL
        && !rv_succession_is_starting(&m->succession);
}

static int
finish(rv_master_t *m)
{
    if (m->succession.aside)
        rv_succession_leave_names(&m->succession);
    rv_pidfile_remove(&m->reload.pidfile);
    rv_log(RV_LOG_NOTICE, 0, "exit");
    rv_counts_leave();
    if (m->reload.given != NULL) /* zones of it may be the generation's too */
        rv_cycle_free(m->reload.given, 0);
    rv_generations_free(&m->all, NULL, 1);
    rv_fd_close(&m->notify);
    rv_fd_close(&m->workers.liveness[0]);
    rv_fd_close(&m->workers.liveness[1]);
    rv_loop_unwatch(m->signals);

    int status = rv_succession_finish(&m->succession, m->status);
    rv_activity_free();
    if (m->workers.loop != NULL)
        rv_loop_destroy(m->workers.loop);
    rv_signal_reset();
    return status;
}

static void
run(rv_master_t *m, rv_cycle_t *first)
{
    if (m->reload.given != NULL && m->reload.given->stats != NULL)
        rv_workers_inherit(m->reload.given->stats);
    rv_reload_first(&m->reload, first);
    while (!is_over(m)) {
        if (rv_loop_once(m->workers.loop, next_wait(m)) != RV_OK)
            rv_log(RV_LOG_ALERT, errno, "waiting for events failed");
        m->came = take_signals(m);
        act(m);
    }
}

int
rv_master_run(const rv_master_options_t *options, rv_cycle_t *first)
{
    static rv_master_t m; /* a child that is about to exit still refers to it */
    int follows = options->heritage.master != 0; /* the other one's pid file may be there still */

    m = (rv_master_t){ .options = options,
        .notify = options->notify,
        .reload = { .options = options->options,
            .workers = &m.workers,
            .all = &m.all,
            .given = options->given,
            .started = time(NULL),
            .late_pidfile = follows ? first->core->pid : NULL,
            .pidfile = { .fd = -1 },
            .pending_pidfile = { .fd = -1 } },
        .succession = { .command = &options->command,
            .before = options->heritage,
            .reload = &m.reload,
            .keeping = !first->core->daemon && (getpid() == 1 || getenv("NOTIFY_SOCKET") == NULL) },
        .scale = { .workers = &m.workers },
        .workers = { .liveness = { -1, -1 } } };

    m.all.pending = first;
    rv_daemon_title(options->title);
    if (!follows
        && rv_build_pidfile(&m.reload.pidfile, first->core->pid, 0, m.reload.reason) != RV_OK) {
        rv_log(RV_LOG_EMERG, 0, "%s", m.reload.reason);
        m.status = 1;
    } else if (init(&m) != RV_OK) {
        rv_log(RV_LOG_EMERG, errno, "starting the master process failed");
        m.status = 1;
    } else {
        run(&m, first);
    }
    return finish(&m);
}
