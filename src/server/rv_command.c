/*
 * rv_command: `reeve -s`, an order to a running daemon and what became of it.
 *
 * The order is a signal; the outcome is read from the memory of the counters
 * (rv_stats_outcome), or is the end of the process. Nobody is asked and nothing is
 * held up: what is waited for is looked at fifty times a second. An outcome counts
 * when more of its kind has been finished than was begun before the signal
 * was sent: so it is this order's, or that of another one after which this
 * one is fulfilled too. For `add` and `remove` that is not so, which is why the
 * senders of these take turns, by a lock on the pid file.
 */
#include "rv_command.h"

#include "rv_alive.h"
#include "rv_fd.h"
#include "rv_outside.h"
#include "rv_pidfile.h"
#include "rv_stats_outcome.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <time.h>
#include <unistd.h>

enum { LOOK_MSEC = 20, ENDS = -1 /* the action that ends the process */ };

typedef struct {
    const rv_signal_t *order;
    int action; /* rv_stats_action_t or ENDS */
    rv_cycle_t *cycle;
    const char *path; /* of the pid file */
    pid_t pid;
    uint64_t begun;  /* before the signal */
    int64_t until;   /* ms: end of the wait */
    uint64_t wait;   /* ms, for the message */
    rv_outside_t *o; /* o->stats NULL: nothing is to be seen from outside */
} command_t;

static const struct {
    const char *word;
    int action;
    int takes_turns;
} actions[] = {
    { "stop", ENDS, 0 },
    { "quit", ENDS, 0 },
    { "reload", RV_STATS_RELOAD, 0 },
    { "reopen", RV_STATS_REOPEN, 0 },
    { "upgrade", RV_STATS_UPGRADE, 0 },
    { "add", RV_STATS_ADD, 1 },
    { "remove", RV_STATS_REMOVE, 1 },
};

/* 0: the time is over. */
static int
pause_a_moment(const command_t *c)
{
    const struct timespec moment = { 0, LOOK_MSEC * 1000000L };

    if (rv_loop_now() >= c->until)
        return 0;
    nanosleep(&moment, NULL);
    return 1;
}

static int
under_way(const command_t *c)
{
    int whole = c->wait % 1000 == 0;

    rv_log(RV_LOG_WARN, 0, "%s is still under way after %llu %s", c->order->command,
        (unsigned long long) (whole ? c->wait / 1000 : c->wait), whole ? "s" : "ms");
    return RV_COMMAND_UNDER_WAY;
}

static int
send_order(const command_t *c, int number)
{
    /* whoever waits sees that it is gone, and what goes on */
    if (kill(c->pid, number) == 0 || (errno == ESRCH && c->wait > 0))
        return RV_OK;

    rv_log(RV_LOG_EMERG, errno, "signalling process %ld failed", (long) c->pid);
    return RV_ERROR;
}

/* --- the end of the process -------------------------------------------------------- */

static int
wait_for_end(const command_t *c)
{
    while (rv_alive(c->pid)) {
        if (!pause_a_moment(c))
            return under_way(c);
    }
    return RV_COMMAND_DONE;
}

/* The process list says so. */
static int
is_keeper(pid_t pid)
{
    static const char title[] = RV_NAME ": keeper";
    char path[64], text[sizeof(title)] = "";

    snprintf(path, sizeof(path), "/proc/%ld/cmdline", (long) pid);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd == -1)
        return 0;
    ssize_t n = read(fd, text, sizeof(text) - 1);
    rv_fd_close(&fd);
    return n > 0 && strcmp(text, title) == 0;
}

/* The old one of two masters that both serve; 0: there are not two. One whose heir has no pid
 * file yet is the only one. */
static pid_t
find_old_master(const command_t *c)
{
    pid_t pid, old;

    return rv_pidfile_find_old(c->path, &old) == RV_OK && rv_pidfile_find(c->path, &pid) == RV_OK
            && pid != old
        ? old
        : 0;
}

/*
 * The new master is ready: now the old one goes. Another sender may have told it already, and
 * that is as good.
 */
static int
finish_upgrade(const command_t *c)
{
    pid_t pid, old;

    /* the pid file is in its place in a moment */
    while ((old = find_old_master(c)) == 0 && rv_pidfile_find_old(c->path, &pid) == RV_OK) {
        if (!pause_a_moment(c))
            return under_way(c);
    }
    if (old != 0 && kill(old, SIGQUIT) == -1 && errno != ESRCH) {
        rv_log(RV_LOG_EMERG, errno, "signalling process %ld failed", (long) old);
        return RV_COMMAND_FAILED;
    }
    while (old != 0 && (find_old_master(c) == old || (rv_alive(old) && !is_keeper(old)))) {
        if (!pause_a_moment(c))
            return under_way(c);
    }
    if (rv_pidfile_find_any(c->path, &pid) == RV_OK && pid != old)
        return RV_COMMAND_DONE;

    rv_log(RV_LOG_EMERG, 0, "the new master process is gone too");
    return RV_COMMAND_FAILED;
}

/* --- the outcome of an action ---------------------------------------------------------- */

/* The one before has ended: unless it has begun with the order, it has not seen it. */
static void
send_again(const command_t *c)
{
    rv_stats_outcome_t outcome;

    rv_stats_outcome(c->o->stats, (rv_stats_action_t) c->action, &outcome);
    if (outcome.begun <= c->begun)
        (void) send_order(c, c->order->number);
}

/* What is in force now: a reload may have brought other memory. 1: it cannot be mapped, so
 * there was one. */
static int
look_again(command_t *c)
{
    rv_stats_master_t master = { .superseded = 0 };

    if (c->o->stats != NULL)
        rv_stats_master(c->o->stats, &master);
    if (c->o->stats != NULL && !master.superseded)
        return 0;
    rv_outside_unmap(c->o);
    return rv_outside_map(c->o, c->cycle, c->pid) != RV_OK && master.superseded;
}

/* The master has ended. An upgrade may have brought another one; RV_ERROR: there is none. */
static int
follow(command_t *c)
{
    pid_t pid;

    if (rv_pidfile_find_any(c->path, &pid) != RV_OK || pid == c->pid)
        return RV_ERROR;
    c->pid = pid;
    rv_outside_unmap(c->o);
    if (rv_outside_map(c->o, c->cycle, c->pid) == RV_OK)
        send_again(c);
    return RV_OK;
}

static int
report(const command_t *c, const rv_stats_outcome_t *outcome)
{
    /* refused because somebody else's is done but for the end: that serves as well */
    if (c->action == RV_STATS_UPGRADE && (outcome->result == 0 || find_old_master(c) != 0))
        return finish_upgrade(c);
    if (outcome->result == 0)
        return RV_COMMAND_DONE;

    rv_log(RV_LOG_EMERG, 0, "%s failed: %s", c->order->command, outcome->text);
    return RV_COMMAND_FAILED;
}

static int
wait_for_outcome(command_t *c)
{
    rv_stats_outcome_t outcome;

    for (;;) {
        int gone = !rv_alive(c->pid);

        if (c->o->stats != NULL) {
            rv_stats_outcome(c->o->stats, (rv_stats_action_t) c->action, &outcome);
            if (outcome.finished > c->begun)
                return report(c, &outcome);
        }
        if (gone && follow(c) != RV_OK) {
            rv_log(RV_LOG_EMERG, 0, "%s failed: process %ld is gone", c->order->command,
                (long) c->pid);
            return RV_COMMAND_FAILED;
        }
        if (look_again(c) && c->action == RV_STATS_RELOAD)
            return RV_COMMAND_DONE;
        if (!pause_a_moment(c))
            return under_way(c);
    }
}

/* There is nothing to read an outcome from. A configuration that is broken is told at least. */
static int
send_only(const command_t *c)
{
    int broken = 0;

    if (c->action == RV_STATS_RELOAD) {
        rv_cycle_log_messages(c->cycle, RV_LOG_EMERG);
        broken = rv_conf_error_count(c->cycle->conf) > 0;
    }
    if (send_order(c, c->order->number) != RV_OK)
        return RV_COMMAND_FAILED;
    if (c->wait > 0)
        rv_log(RV_LOG_WARN, 0,
            "only the signal was sent: the counters of process %ld cannot be mapped from outside, "
            "and what becomes of it is in its log",
            (long) c->pid);
    return broken ? RV_COMMAND_FAILED : RV_COMMAND_DONE;
}

static int
order_and_wait(command_t *c)
{
    rv_stats_outcome_t before;

    if (c->action == ENDS) {
        if (send_order(c, c->order->number) != RV_OK)
            return RV_COMMAND_FAILED;
        return c->wait == 0 ? RV_COMMAND_DONE : wait_for_end(c);
    }
    if (c->wait > 0 && c->action == RV_STATS_UPGRADE && find_old_master(c) != 0)
        return finish_upgrade(c);
    while (c->wait > 0 && rv_outside_map(c->o, c->cycle, c->pid) != RV_OK) {
        pid_t pid;

        /* it has ended just now, and another one goes on */
        if (rv_alive(c->pid) || rv_pidfile_find_any(c->path, &pid) != RV_OK || pid == c->pid)
            return send_only(c);
        rv_outside_unmap(c->o);
        c->pid = pid;
    }
    if (c->wait == 0)
        return send_only(c);

    rv_stats_outcome(c->o->stats, (rv_stats_action_t) c->action, &before);
    c->begun = before.begun;
    return send_order(c, c->order->number) == RV_OK ? wait_for_outcome(c) : RV_COMMAND_FAILED;
}

static int
take_turns(command_t *c)
{
    int fd = open(c->path, O_RDONLY | O_CLOEXEC);
    int status;

    while (fd != -1 && c->wait > 0 && flock(fd, LOCK_EX | LOCK_NB) == -1 && errno == EWOULDBLOCK) {
        if (!pause_a_moment(c)) {
            status = under_way(c);
            rv_fd_close(&fd);
            return status;
        }
    }
    (void) rv_pidfile_find_any(c->path, &c->pid); /* it may be another one by now */
    status = order_and_wait(c);
    rv_fd_close(&fd);
    return status;
}

int
rv_command_run(const rv_cycle_options_t *options, const rv_signal_t *order, uint64_t wait)
{
    static rv_outside_t o;
    command_t c = { .order = order, .action = ENDS, .wait = wait, .o = &o };
    int status = RV_COMMAND_FAILED, takes_turns = 0;

    for (size_t i = 0; i < rv_countof(actions); i++) {
        if (strcmp(actions[i].word, order->command) == 0) {
            c.action = actions[i].action;
            takes_turns = actions[i].takes_turns;
        }
    }
    c.until = rv_loop_now() + (int64_t) wait;
    /* for the pid file and the zones, however broken the rest of it is */
    c.cycle = rv_cycle_read(options, 1);
    if (c.cycle == NULL)
        rv_log(RV_LOG_EMERG, ENOMEM, "reading the configuration failed");
    else if (rv_outside_find(c.cycle, &c.path, &c.pid) == RV_OK)
        status = takes_turns ? take_turns(&c) : order_and_wait(&c);
    rv_outside_unmap(&o);
    rv_cycle_free(c.cycle, 0);
    return status;
}
