/*
 * rv_master_orders: what the master does when it is told to.
 *
 * One thing at a time changes what there is: a reload waits for the upgrade that is
 * under way, and that one for a worker that is being added. What is still waiting
 * when the master ends is answered too.
 */
#include "rv_master_orders.h"

#include "rv_announce.h"
#include "rv_stats_outcome.h"

#include <signal.h>
#include <unistd.h>

static void
reopen(rv_master_t *m)
{
    rv_reopen_begin(&m->reopen, m->all.current->stats, 1);
}

static void
begin_reload(rv_master_t *m)
{
    rv_reload_begin(&m->reload);
}

static void
upgrade(rv_master_t *m)
{
    rv_succession_begin(&m->succession);
}

/* Tells all workers but those of a pending generation, which are told already. */
static void
stop_workers(rv_master_t *m, int quit)
{
    int64_t now = rv_loop_now();

    for (rv_cycle_t *c = NULL; (c = rv_generations_each(&m->all, c)) != NULL;) {
        int64_t limit = (int64_t) c->core->worker_shutdown_timeout + RV_RELOAD_GRACE_MSEC;

        if (c != m->all.pending)
            rv_workers_stop(c, quit ? RV_CONTROL_QUIT : RV_CONTROL_TERMINATE,
                now + (quit ? limit : RV_RELOAD_TERMINATE_MSEC));
    }
}

/* Another master serves. Until its workers have gone this one keeps what it takes to
 * serve again, should that one end. */
static void
step_aside(rv_master_t *m, pid_t heir)
{
    rv_announce_heir(heir);
    (void) rv_announce_hold(1);
    rv_succession_leave_word(&m->succession);
    m->succession.aside = 1;
    m->stopping = RV_SIGNAL_QUIT;
    rv_log(RV_LOG_NOTICE, 0, "told to quit");
    if (m->all.pending != NULL)
        m->wanted |= RV_SIGNAL_RELOAD; /* for the heir then */
    rv_reload_fail(&m->reload, "told to stop");
    stop_workers(m, 1);
    rv_workers_let_go(m->all.current);
}

/* The older master is gone, and this one is whom a manager listens to. */
static void
take_the_word(const rv_master_t *m)
{
    if (rv_announce_hold(0) && m->all.current != NULL)
        rv_announce_ready(m->all.current, 1);
}

/* That one has ended. */
static void
step_forward(rv_master_t *m)
{
    m->succession.aside = 0;
    m->stopping = 0;
    take_the_word(m);
}

void
rv_master_orders_stop(rv_master_t *m, unsigned how)
{
    int quit = how == RV_SIGNAL_QUIT;
    pid_t heir = rv_succession_heir(&m->succession);

    if (quit && heir != 0) {
        step_aside(m, heir);
        return;
    }
    if (m->stopping == 0 && heir != 0) {
        rv_announce_heir(heir);
        (void) rv_announce_hold(1);
        rv_succession_leave_word(&m->succession);
    } else if (m->stopping == 0) {
        rv_announce_stopping();
    }
    m->succession.aside = 0;
    m->stopping = how;
    rv_log(RV_LOG_NOTICE, 0, quit ? "told to quit" : "told to stop");
    rv_reload_fail(&m->reload, "told to stop");
    rv_upgrade_abort(&m->succession.after, "told to stop");
    rv_succession_leave_names(&m->succession);
    if (m->all.current != NULL)
        rv_scale_stop(&m->scale, m->all.current);

    stop_workers(m, quit);
    for (rv_cycle_t *c = NULL; (c = rv_generations_each(&m->all, c)) != NULL;) {
        if (c != m->all.pending)
            rv_cycle_close_listeners(c, 1);
    }
}

/* The workers go, the master stays: another one serves, perhaps for good. */
static void
drain(rv_master_t *m)
{
    const rv_core_conf_t *core = m->all.current->core;

    if (!core->daemon && isatty(STDIN_FILENO)) /* a window that changes its size */
        return;

    m->drained = 1;
    rv_log(RV_LOG_NOTICE, 0, "told to drain: the workers finish");
    rv_workers_stop(m->all.current, RV_CONTROL_QUIT,
        rv_loop_now() + (int64_t) core->worker_shutdown_timeout + RV_RELOAD_GRACE_MSEC);
    rv_workers_let_go(m->all.current);
}

/* A new master that is ready is told what came while it was started; where it is gone
 * this one serves again. */
void
rv_master_orders_settle(rv_master_t *m)
{
    int followed = m->succession.before.master != 0;
    int result = rv_succession_settle(&m->succession);
    pid_t heir = rv_succession_heir(&m->succession);

    if (result == RV_OK && m->wanted & RV_SIGNAL_RELOAD)
        kill(heir, SIGHUP);
    if (result == RV_OK && m->wanted & RV_SIGNAL_REOPEN)
        kill(heir, SIGUSR1); /* and this one does it too */
    if (result == RV_OK)
        m->wanted &= ~RV_SIGNAL_RELOAD;
    if (result != RV_AGAIN && m->wanted & RV_SIGNAL_UPGRADE) {
        m->wanted &= ~RV_SIGNAL_UPGRADE;
        rv_succession_repeat_outcome(&m->succession);
    }
    if (result == RV_DONE)
        rv_master_orders_stop(m, RV_SIGNAL_QUIT);
    if (result == RV_ERROR && m->succession.aside)
        step_forward(m);
    if (result == RV_ERROR) {
        m->drained = 0;
        rv_scale_reclaim(m->all.current);
        m->wanted &= ~RV_SIGNAL_DRAIN; /* it was meant for the time of two masters, */
        m->came &= ~RV_SIGNAL_DRAIN;   /* also where it came in the same moment */
        rv_signal_drop(RV_SIGNAL_DRAIN);
    }
    if (m->succession.speaks || (followed && m->succession.before.master == 0))
        take_the_word(m);
}

/* One more or fewer, of the generation that a pending one leaves in force. Another master
 * may give the same sockets to its own workers. */
void
rv_master_orders_scale(rv_master_t *m)
{
    unsigned waiting = rv_scale_take(&m->scale);
    const char *why = m->stopping != 0 ? "told to stop"
        : m->drained                   ? "the workers are told to drain"
                                       : "an upgrade is under way";

    if (m->all.current == NULL || rv_succession_is_starting(&m->succession)
        || (m->all.pending != NULL && m->stopping == 0))
        return;
    if (m->stopping != 0 || m->drained || !rv_succession_is_alone(&m->succession))
        rv_scale_refuse(&m->scale, m->all.current, why);
    else if (waiting > 0 || m->scale.adding)
        rv_scale_act(&m->scale, m->all.current, rv_loop_now());
}

/* What has to wait for its turn: one thing at a time changes what there is. */
static const struct {
    unsigned signal;
    int action;    /* rv_stats_action_t, -1: none */
    int passes_on; /* the signal for an heir; 0: none */
    int waits;     /* for a generation that is pending, and a worker that is being added */
    void (*act)(rv_master_t *m);
} in_turn[] = {
    { RV_SIGNAL_REOPEN, RV_STATS_REOPEN, SIGUSR1, 0, reopen },
    { RV_SIGNAL_RELOAD, RV_STATS_RELOAD, SIGHUP, 1, begin_reload },
    { RV_SIGNAL_DRAIN, -1, 0, 1, drain },
    { RV_SIGNAL_UPGRADE, RV_STATS_UPGRADE, 0, 1, upgrade },
};

/* This master ends. With an heir, what is for the daemon is the heir's to do, and an upgrade is
 * just being made; all else is not done. */
static void
refuse_turns(rv_master_t *m)
{
    pid_t heir = rv_succession_heir(&m->succession);

    for (size_t i = 0; i < rv_countof(in_turn) && m->all.current != NULL; i++) {
        if (!(m->wanted & in_turn[i].signal) || in_turn[i].action == -1)
            continue;
        if (heir != 0 && in_turn[i].passes_on != 0) {
            kill(heir, in_turn[i].passes_on);
            continue;
        }
        rv_stats_begin(m->all.current->stats, (rv_stats_action_t) in_turn[i].action);
        rv_stats_finish(m->all.current->stats, (rv_stats_action_t) in_turn[i].action, heir == 0,
            heir == 0 ? "told to stop" : "");
    }
    m->wanted = 0;
}

void
rv_master_orders_take(rv_master_t *m)
{
    for (size_t i = 0; i < rv_countof(in_turn); i++)
        m->wanted |= m->came & in_turn[i].signal;
    if (m->stopping != 0)
        refuse_turns(m);

    for (size_t i = 0; i < rv_countof(in_turn); i++) {
        int is_changing = m->all.pending != NULL || m->scale.adding;

        if (m->all.current == NULL || rv_succession_is_starting(&m->succession))
            return;
        if (m->wanted & in_turn[i].signal && !(in_turn[i].waits && is_changing)) {
            m->wanted &= ~in_turn[i].signal;
            in_turn[i].act(m);
        }
    }
}
