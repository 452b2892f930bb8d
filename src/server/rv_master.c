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

#include "rv_build.h"
#include "rv_counts.h"
#include "rv_daemon.h"
#include "rv_fd.h"
#include "rv_generations.h"
#include "rv_log_output.h"
#include "rv_pidfile.h"
#include "rv_signal.h"
#include "rv_stats_fold.h"
#include "rv_stats_outcome.h"
#include "rv_workers.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum {
    TERMINATE_MSEC = 10 * 1000, /* until a worker told to TERMINATE is killed */
    QUIT_GRACE_MSEC = 5 * 1000, /* beyond its worker_shutdown_timeout */
    TICK_MSEC = 1000            /* between two looks at what tells of itself to nobody */
};

typedef struct {
    const rv_master_options_t *options;
    rv_workers_t workers;
    rv_loop_watch_t *signals;
    int notify;

    rv_generations_t all;
    unsigned generation; /* of the youngest so far */

    int64_t started; /* seconds since 1970 */
    int64_t ticked;  /* ms: the last look */
    int pidfile;
    int pending_pidfile; /* -1: the pending one has the same path */

    int64_t pending_until; /* ms */
    int aborting;          /* the pending one has failed, its workers are going */
    char reason[RV_CYCLE_REASON];

    unsigned came;     /* signals not yet acted on */
    int reload;        /* asked for, not yet begun */
    unsigned stopping; /* RV_SIGNAL_QUIT or _TERMINATE once it was acted on */
    int status;
} master_t;

/* --- a child gives up what is the master's ------------------------------------------- */

static void
forget(void *data, const rv_cycle_t *keep)
{
    master_t *m = data;

    (void) rv_loop_reinit(m->workers.loop);
    for (rv_process_t *p = rv_process_each(NULL); p != NULL; p = rv_process_each(p))
        rv_loop_unwatch_channel(p->channel[0]);
    rv_loop_unwatch(m->signals);
    rv_loop_destroy(m->workers.loop);
    rv_signal_reset();

    rv_fd_close(&m->notify);
    rv_fd_close(&m->pidfile);
    rv_fd_close(&m->pending_pidfile);
    rv_generations_free(&m->all, keep, 0);
}

/* --- building, commit, abort --------------------------------------------------------------- */

/* The pending generation will not be: notes why, the first reason counts. */
static void RV_PRINTF(2, 3) fail_pending(master_t *m, const char *fmt, ...)
{
    va_list args;

    if (m->aborting)
        return;

    va_start(args, fmt);
    vsnprintf(m->reason, sizeof(m->reason), fmt, args);
    va_end(args);
    m->aborting = 1;
    rv_workers_stop(m->all.pending, RV_MESH_TERMINATE, rv_loop_now() + TERMINATE_MSEC);
}

static void
report_failure(master_t *m)
{
    if (m->all.current == NULL) {
        rv_log(RV_LOG_EMERG, 0, "start failed: %s", m->reason);
        return;
    }
    rv_log(RV_LOG_ERROR, 0, "reload failed, generation %u goes on: %s", m->all.current->generation,
        m->reason);
    rv_stats_finish(m->all.current->stats, RV_STATS_RELOAD, 1, m->reason);
    rv_counts_reload(m->all.current->stats, 1);
}

static void
begin(master_t *m, rv_cycle_t *cycle)
{
    int64_t now = rv_loop_now();

    m->all.pending = cycle;
    m->pending_until = now + (int64_t) cycle->core->worker_startup_timeout;
    rv_workers_fill(&m->workers, cycle, now);
}

static void
begin_reload(master_t *m)
{
    const rv_cycle_options_t *options = m->options->options;

    rv_stats_begin(m->all.current->stats, RV_STATS_RELOAD);
    rv_log(RV_LOG_NOTICE, 0, "reload of \"%s\" begins", options->conf);
    rv_cycle_t *cycle =
        rv_build_next(options, m->generation + 1, m->all.current, &m->pending_pidfile, m->reason);
    if (cycle == NULL) {
        report_failure(m);
        return;
    }
    m->generation = cycle->generation;
    begin(m, cycle);
}

static void
commit(master_t *m)
{
    rv_cycle_t *cycle = m->all.pending, *old = m->all.current;
    int64_t now = rv_loop_now();

    rv_stats_set_master(cycle->stats, getpid(), m->started, cycle->generation);
    if ((old == NULL || old->stats != cycle->stats)
        && rv_counts_enter(cycle->stats, RV_STATS_MASTER, cycle->generation) != RV_OK)
        rv_log(RV_LOG_ALERT, errno, "entering the master into the statistics failed");
    if (old != NULL)
        rv_stats_supersede(cycle->stats, old->stats);
    rv_cycle_commit(cycle, old);
    m->all.pending = NULL;
    m->all.current = cycle;
    rv_workers_start(&m->workers, cycle);

    if (old == NULL) {
        rv_log(RV_LOG_NOTICE, 0, "%s/%s started, %u workers are ready", RV_NAME, RV_VERSION,
            rv_workers_ready(cycle));
        rv_daemon_ready(&m->notify, rv_log_uses_stderr());
        rv_log_terminal(RV_LOG_NONE);
        return;
    }

    if (m->pending_pidfile != -1) {
        rv_pidfile_remove(old->core->pid, &m->pidfile);
        m->pidfile = m->pending_pidfile;
        m->pending_pidfile = -1;
    }
    rv_workers_stop(
        old, RV_MESH_QUIT, now + (int64_t) old->core->worker_shutdown_timeout + QUIT_GRACE_MSEC);
    old->next = m->all.draining;
    m->all.draining = old;
    rv_stats_finish(cycle->stats, RV_STATS_RELOAD, 0, "");
    rv_counts_reload(cycle->stats, 0);
    rv_log(RV_LOG_NOTICE, 0, "reload done, generation %u, %u workers are ready", cycle->generation,
        rv_workers_ready(cycle));
}

/* What is to become of the pending generation? */
static void
settle(master_t *m)
{
    char reason[RV_CYCLE_REASON];

    if (m->all.pending == NULL)
        return;

    int ready = rv_workers_ready(m->all.pending) == m->all.pending->core->worker_processes;
    if (!m->aborting && ready) {
        if (rv_workers_unknown_until(m->all.pending) > rv_loop_now())
            return;
        if (rv_cycle_listen_all(m->all.pending, reason) == RV_OK) {
            commit(m);
            return;
        }
        fail_pending(m, "%s", reason);
    }
    if (!m->aborting && rv_loop_now() >= m->pending_until)
        fail_pending(m, "%u of %llu workers were not ready within worker_startup_timeout",
            (unsigned) m->all.pending->core->worker_processes - rv_workers_ready(m->all.pending),
            (unsigned long long) m->all.pending->core->worker_processes);

    if (!m->aborting || m->all.pending->living > 0)
        return;

    if (m->stopping == 0 || m->all.current == NULL)
        report_failure(m);
    rv_pidfile_remove(m->all.pending->core->pid, &m->pending_pidfile);
    if (m->all.current == NULL && m->stopping == 0) {
        m->status = 1;
        m->stopping = RV_SIGNAL_TERMINATE;
    }
    m->aborting = 0;
    if (m->all.current != NULL) {
        rv_cycle_free(m->all.pending, 1);
        m->all.pending = NULL;
    }
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
reap(master_t *m)
{
    char text[RV_WORKERS_TEXT];
    int status;
    pid_t pid;

    while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
        rv_process_t *p = rv_process_find(pid);

        rv_cycle_t *cycle = p == NULL ? NULL : rv_generations_find(&m->all, p->generation);
        if (cycle == NULL)
            continue;

        int expected = p->state == RV_PROCESS_DRAINING && WIFEXITED(status);
        rv_log(expected ? RV_LOG_NOTICE : RV_LOG_ERROR, 0, "worker %u (pid %ld) %s", p->worker,
            (long) pid, rv_workers_describe(status, text));
        if (cycle == m->all.pending)
            fail_pending(m, "worker %u %s before it was ready", p->worker, text);
        if (p->state != RV_PROCESS_DRAINING)
            rv_counts_death(cycle->stats, status);
        rv_workers_bury(p, cycle, rv_loop_now());
        rv_counts_recoveries(cycle->stats, rv_stats_recoveries(cycle->stats));
        rv_generations_look_after_zones(&m->all);
    }
}

/* What nobody tells the master; and that it lives. */
static void
tick(master_t *m)
{
    m->ticked = rv_loop_now();
    if (m->all.current == NULL)
        return;

    rv_cycle_check_files(m->all.current);
    for (rv_cycle_t *c = NULL; (c = rv_generations_each(&m->all, c)) != NULL;)
        (void) rv_stats_carry(c->stats);
    (void) rv_stats_save(m->all.current->stats);
    rv_stats_heartbeat(m->all.current->stats, (uint64_t) m->ticked);
}

static void
reopen(void)
{
    unsigned output = 0;
    int result;

    rv_log(RV_LOG_NOTICE, 0, "reopening logs");
    while ((result = rv_log_output_reopen(&output)) != RV_DONE) {
        if (result == RV_OK)
            rv_mesh_reopen(output - 1, rv_log_output_fd(output - 1));
        else
            rv_log(RV_LOG_ERROR, errno, "reopening log \"%s\" failed",
                rv_log_output_target(output - 1));
    }
}

static void
stop(master_t *m, unsigned how)
{
    int64_t now = rv_loop_now();
    int quit = how == RV_SIGNAL_QUIT;

    m->stopping = how;
    rv_log(RV_LOG_NOTICE, 0, quit ? "told to quit" : "told to stop");
    if (m->all.pending != NULL)
        fail_pending(m, "told to stop");

    for (rv_cycle_t *c = NULL; (c = rv_generations_each(&m->all, c)) != NULL;) {
        int64_t limit = (int64_t) c->core->worker_shutdown_timeout + QUIT_GRACE_MSEC;

        if (c == m->all.pending) /* told already */
            continue;
        rv_workers_stop(
            c, quit ? RV_MESH_QUIT : RV_MESH_TERMINATE, now + (quit ? limit : TERMINATE_MSEC));
        rv_cycle_close_listeners(c, 1);
    }
}

/* --- the loop ------------------------------------------------------------------------------ */

/* The fixed order: the end (a Ctrl-C has ended the workers too, which is then
 * no surprise), the dead, the new, the logs. */
static void
act(master_t *m)
{
    unsigned came = m->came;

    rv_workers_receive(&m->workers);
    if (came & RV_SIGNAL_TERMINATE && m->stopping != RV_SIGNAL_TERMINATE)
        stop(m, RV_SIGNAL_TERMINATE);
    else if (came & RV_SIGNAL_QUIT && m->stopping == 0)
        stop(m, RV_SIGNAL_QUIT);
    if (came & RV_SIGNAL_CHILD)
        reap(m);

    if (m->all.current != NULL)
        rv_generations_mend_zones(&m->all); /* before rows are given to anybody */
    settle(m);
    m->reload |= (came & RV_SIGNAL_RELOAD) != 0;
    if (m->reload && m->stopping == 0 && m->all.pending == NULL) { /* else after that one */
        m->reload = 0;
        begin_reload(m);
    }
    if (came & RV_SIGNAL_REOPEN)
        reopen();

    if (m->stopping == 0) {
        if (m->all.current != NULL)
            rv_workers_fill(&m->workers, m->all.current, rv_loop_now());
        if (m->all.pending != NULL && !m->aborting)
            rv_workers_fill(&m->workers, m->all.pending, rv_loop_now());
        if (m->all.current != NULL && m->workers.unstarted)
            rv_workers_start(&m->workers, m->all.current);
    }
    rv_generations_retire(&m->all);
    if (rv_loop_now() - m->ticked >= TICK_MSEC)
        tick(m);
    if (m->all.current != NULL)
        rv_counts_channels(m->all.current->stats);
}

static int64_t
earlier(int64_t a, int64_t b)
{
    return rv_min(a, b);
}

/* How long the next step may wait, ms. */
static int64_t
next_wait(const master_t *m)
{
    int64_t now = rv_loop_now();
    int64_t at = earlier(rv_workers_kill_overdue(now), m->ticked + TICK_MSEC);
    int running = m->stopping == 0 && m->all.current != NULL;
    int building = m->all.pending != NULL && !m->aborting;

    if (running)
        at = earlier(at, rv_workers_due(m->all.current));
    if (running && m->workers.unstarted)
        at = earlier(at, rv_workers_unknown_until(m->all.current));
    if (building)
        at = earlier(earlier(at, m->pending_until), rv_workers_due(m->all.pending));
    if (building && rv_workers_ready(m->all.pending) == m->all.pending->core->worker_processes)
        at = earlier(at, rv_workers_unknown_until(m->all.pending));

    return at > now ? at - now : 0;
}

static int
init(master_t *m)
{
    m->workers.forget = forget;
    m->workers.data = m;
    rv_process_set_master(getpid());

    if (rv_signal_init() != RV_OK || rv_fd_pipe(m->workers.liveness) != RV_OK)
        return RV_ERROR;

    m->workers.loop = rv_loop_create(NULL);
    if (m->workers.loop == NULL)
        return RV_ERROR;

    m->signals = rv_loop_watch(m->workers.loop, rv_signal_fd(), RV_LOOP_READ, on_signal, m);
    return m->signals == NULL ? RV_ERROR : RV_OK;
}

static int
is_over(const master_t *m)
{
    return m->stopping != 0 && !m->aborting && rv_process_each(NULL) == NULL;
}

static void
finish(master_t *m)
{
    if (m->all.current != NULL)
        rv_pidfile_remove(m->all.current->core->pid, &m->pidfile);
    else if (m->all.pending != NULL)
        rv_pidfile_remove(m->all.pending->core->pid, &m->pidfile);

    rv_log(RV_LOG_NOTICE, 0, "exit");
    rv_generations_free(&m->all, NULL, 1);
    rv_fd_close(&m->notify);
    rv_fd_close(&m->workers.liveness[0]);
    rv_fd_close(&m->workers.liveness[1]);
    rv_loop_unwatch(m->signals);
    if (m->workers.loop != NULL)
        rv_loop_destroy(m->workers.loop);
    rv_signal_reset();
}

int
rv_master_run(const rv_master_options_t *options, rv_cycle_t *first)
{
    static master_t m; /* a child that is about to exit still refers to it */

    m = (master_t){ .options = options,
        .notify = options->notify,
        .pidfile = -1,
        .pending_pidfile = -1,
        .started = time(NULL),
        .generation = first->generation,
        .workers = { .liveness = { -1, -1 } } };

    m.all.pending = first;
    rv_daemon_title(options->title);
    if (rv_build_pidfile(first->core->pid, &m.pidfile, m.reason) != RV_OK) {
        rv_log(RV_LOG_EMERG, 0, "%s", m.reason);
        m.status = 1;
    } else if (init(&m) != RV_OK) {
        rv_log(RV_LOG_EMERG, errno, "starting the master process failed");
        m.status = 1;
    } else {
        begin(&m, first);
        while (!is_over(&m)) {
            if (rv_loop_once(m.workers.loop, next_wait(&m)) != RV_OK)
                rv_log(RV_LOG_ALERT, errno, "waiting for events failed");
            m.came = rv_signal_take();
            act(&m);
        }
    }

    finish(&m);
    return m.status;
}
