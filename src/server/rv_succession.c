/*
 * rv_succession: from one master to the next.
 *
 * Both may write to the same counters, each in rows of its own. So what is left when one
 * of them is gone, killed perhaps, is added up by the other, as soon as none of its
 * processes lives.
 */
#include "rv_succession.h"

#include "rv_daemon.h"
#include "rv_fd.h"
#include "rv_keeper.h"
#include "rv_signal.h"
#include "rv_stats_fold.h"
#include "rv_stats_outcome.h"

#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static void
on_end(int fd, short what, void *data)
{
    (void) fd;
    (void) what;
    ((rv_succession_t *) data)->ended = 1;
}

int
rv_succession_init(rv_succession_t *s)
{
    s->after = (rv_upgrade_t) RV_UPGRADE_NONE;
    s->keeper[0] = -1;
    s->keeper[1] = s->before.keeper;
    if (s->before.master == 0)
        return RV_OK;

    s->watch = rv_loop_watch(s->loop, s->before.alive, RV_LOOP_READ, on_end, s);
    return s->watch == NULL ? RV_ERROR : RV_OK;
}

/* What was given is not needed any more: what nobody wants goes for good where there is nobody
 * else. */
static void
give_up(rv_succession_t *s)
{
    rv_cycle_t *given = s->reload->given;

    if (given == NULL)
        return;
    rv_cycle_close_listeners(given, s->before.master == 0);
    rv_cycle_free(given, 0);
    s->reload->given = NULL;
}

/* The other master has its own: here nobody would answer. Whose file it was is still known. */
static void
close_unwanted(rv_cycle_t *given, const rv_cycle_t *current)
{
    for (rv_cycle_listener_t *l = given->listeners; l != NULL; l = l->next) {
        int fd;

        if (rv_cycle_find_listener(current, &l->listener.addr) != NULL)
            continue;
        while ((fd = rv_listener_pop(&l->listener)) != -1)
            rv_fd_close(&fd);
    }
}

/* What one that was killed has left. */
static void
remove_old_pidfile(const rv_pidfile_t *own)
{
    char path[PATH_MAX];
    pid_t pid;

    if (own->fd != -1
        && snprintf(path, sizeof(path), "%s" RV_PIDFILE_OLD, own->path) < (int) sizeof(path)
        && rv_pidfile_find(path, &pid) == RV_DONE)
        (void) unlink(path);
}

/* The one before is gone, and this one is in force: what it has not got to is done here. */
static void
complete(const rv_succession_t *s)
{
    rv_stats_t *st = s->reload->all->current->stats;
    rv_stats_outcome_t upgrade;

    remove_old_pidfile(&s->reload->pidfile);
    rv_stats_outcome(st, RV_STATS_UPGRADE, &upgrade);
    if (upgrade.begun > upgrade.finished)
        rv_stats_finish(st, RV_STATS_UPGRADE, 0, "");
}

void
rv_succession_started(rv_succession_t *s)
{
    if (s->before.master == 0 && s->follows)
        complete(s);
    if (s->reload->given != NULL)
        close_unwanted(s->reload->given, s->reload->all->current);
    if (s->before.master != 0 && s->keeper[1] != -1)
        dprintf(s->keeper[1], "%ld\n", (long) getpid());
    if (s->before.master == 0)
        give_up(s); /* passed sockets are the first generation's */
}

/* --- the one after ------------------------------------------------------------------ */

static void
refuse(rv_succession_t *s, const char *reason)
{
    /* one that is new itself is what the sender has asked for */
    int is_new = s->before.master != 0;

    rv_log(RV_LOG_ERROR, 0, "upgrade failed, this master process goes on: %s", reason);
    rv_stats_finish(
        s->reload->all->current->stats, RV_STATS_UPGRADE, !is_new, is_new ? "" : reason);
}

static int
open_keeper(rv_succession_t *s)
{
    if (!s->keeping || s->keeper[1] != -1)
        return RV_OK;

    rv_keeper_prepare();
    return rv_fd_pipe(s->keeper);
}

/* RV_ERROR: `reason` says why there can be no upgrade now. */
static int
begin(rv_succession_t *s, char *reason)
{
    rv_cycle_t *current = s->reload->all->current;

    if (s->before.master != 0)
        snprintf(reason, RV_CYCLE_REASON, "process %ld, which this one follows, is still there",
            (long) s->before.master);
    else if (s->command->program == NULL)
        snprintf(reason, RV_CYCLE_REASON, "where the program is could not be found out");
    else if (open_keeper(s) != RV_OK)
        snprintf(reason, RV_CYCLE_REASON, "making a pipe failed (%d: %s)", errno, strerror(errno));
    else if (rv_pidfile_make_room(&s->reload->pidfile) != RV_OK)
        snprintf(reason, RV_CYCLE_REASON, "moving pid file \"%.200s\" failed (%d: %s)",
            s->reload->pidfile.path, errno, strerror(errno));
    else if (rv_upgrade_begin(&s->after, s->command, s->loop, current, s->keeper[1], reason)
        == RV_OK)
        return RV_OK;
    else
        (void) rv_pidfile_move_back(&s->reload->pidfile);
    return RV_ERROR;
}

void
rv_succession_begin(rv_succession_t *s)
{
    char reason[RV_CYCLE_REASON];

    rv_stats_begin(s->reload->all->current->stats, RV_STATS_UPGRADE);
    if (rv_succession_heir(s) != 0) { /* there is one that is ready: it was done */
        rv_stats_finish(s->reload->all->current->stats, RV_STATS_UPGRADE, 0, "");
        return;
    }
    rv_log(RV_LOG_NOTICE, 0, "upgrade begins: starting \"%s\"",
        s->command->program == NULL ? "" : s->command->program);
    if (begin(s, reason) == RV_OK)
        rv_log(RV_LOG_NOTICE, 0, "new master process %ld started", (long) s->after.pid);
    else
        refuse(s, reason);
}

/* The heir is gone: what it had taken over is this one's again. */
static void
take_back(rv_succession_t *s)
{
    const rv_cycle_t *current = s->reload->all->current;

    for (const rv_cycle_zone_t *z = current->zones; z != NULL; z = z->next) {
        if (rv_zone_adopt(z->zone) != RV_OK)
            rv_log(RV_LOG_ERROR, errno, "zone \"%s\": putting its file into place failed",
                rv_zone_name(z->zone));
    }
    rv_stats_set_master(current->stats, getpid(), s->reload->started, current->generation);
    s->reload->is_followed = 0;
    s->sweeping = 1;
}

static int
settle_after(rv_succession_t *s)
{
    int was_ready = s->after.is_ready, status = s->after.status;
    char reason[RV_CYCLE_REASON];
    int result = rv_upgrade_settle(&s->after, reason);
    int is_over = was_ready && s->aside && WIFEXITED(status) && WEXITSTATUS(status) == 0;

    if (result == RV_OK) {
        rv_log(
            RV_LOG_NOTICE, 0, "upgrade done, new master process %ld is ready", (long) s->after.pid);
        rv_stats_finish(s->reload->all->current->stats, RV_STATS_UPGRADE, 0, "");
        s->reload->is_followed = 1;
    }
    if (result != RV_ERROR)
        return result;

    if (rv_pidfile_move_back(&s->reload->pidfile) != RV_OK)
        rv_log(RV_LOG_ERROR, errno, "moving pid file \"%s\" back failed", s->reload->pidfile.path);
    take_back(s);
    if (is_over)
        return RV_DONE;
    if (was_ready && s->stopping)
        rv_log(RV_LOG_CRIT, 0, "no master process goes on: %s", reason);
    else if (was_ready)
        rv_log(RV_LOG_ERROR, 0, "this master process goes on: %s", reason);
    else
        refuse(s, reason);
    return RV_ERROR;
}

void
rv_succession_repeat_outcome(rv_succession_t *s)
{
    rv_stats_t *st = s->reload->all->current->stats;
    rv_stats_outcome_t last;

    rv_stats_outcome(st, RV_STATS_UPGRADE, &last);
    rv_stats_begin(st, RV_STATS_UPGRADE);
    rv_stats_finish(st, RV_STATS_UPGRADE, last.result, last.text);
}

int
rv_succession_is_starting(const rv_succession_t *s)
{
    return s->after.pid != 0 && !s->after.is_ready;
}

pid_t
rv_succession_heir(const rv_succession_t *s)
{
    return s->after.is_ready && !s->after.gone ? s->after.pid : 0;
}

void
rv_succession_leave_word(const rv_succession_t *s)
{
    (void) !write(
        s->after.alive[1], "", 1); /* a failure is the heir's end: that is told otherwise */
}

void
rv_succession_pass_on(const rv_succession_t *s, unsigned came)
{
    pid_t heir = rv_succession_heir(s);

    if (heir == 0 || s->keeper[0] == -1)
        return;
    if (came & RV_SIGNAL_TERM)
        kill(heir, SIGTERM);
    if (came & RV_SIGNAL_TERMINATE)
        kill(heir, SIGINT);
}

/* --- the one before ----------------------------------------------------------------- */

static void
settle_before(rv_succession_t *s)
{
    char byte;

    if (!s->ended)
        return;

    s->ended = 0;
    if (read(s->before.alive, &byte, 1) == 1) { /* no end: it has told the manager of this one */
        s->speaks = 1;
        return;
    }
    rv_log(RV_LOG_NOTICE, 0, "master process %ld, which this one follows, is gone",
        (long) s->before.master);
    rv_loop_unwatch(s->watch);
    s->watch = NULL;
    rv_fd_close(&s->before.alive);
    s->before.master = 0;
    s->sweeping = 1;
    s->follows = 1;
    if (s->reload->all->current != NULL)
        complete(s);
}

int
rv_succession_settle(rv_succession_t *s)
{
    settle_before(s);
    return settle_after(s);
}

void
rv_succession_tick(rv_succession_t *s)
{
    rv_cycle_t *given = s->reload->given, *current = s->reload->all->current;

    if (!s->sweeping || rv_stats_sweep(current->stats) != RV_OK)
        return;

    if (given != NULL && given->stats != NULL && given->stats != current->stats) {
        if (rv_stats_sweep(given->stats) != RV_OK)
            return;
        rv_generations_retire_stats(s->reload->all, given->stats);
    }
    give_up(s);
    s->sweeping = 0;
}

int
rv_succession_is_alone(const rv_succession_t *s)
{
    return s->before.master == 0 && rv_succession_heir(s) == 0;
}

/* --- names ---------------------------------------------------------------------------- */

/* Those files of unix sockets that others have too; NULL: all. */
static void
leave_sockets(rv_cycle_t *cycle, const rv_cycle_t *others)
{
    for (rv_cycle_listener_t *l = cycle->listeners; l != NULL; l = l->next) {
        if (others == NULL || rv_cycle_find_listener(others, &l->listener.addr) != NULL)
            l->listener.bound_path = 0;
    }
}

/* Zones that the heir uses are adopted by it. */
void
rv_succession_leave_names(rv_succession_t *s)
{
    rv_cycle_t *current = s->reload->all->current;

    s->stopping = 1;
    if (rv_succession_heir(s) != 0) {
        for (rv_cycle_t *c = NULL; (c = rv_generations_each(s->reload->all, c)) != NULL;)
            leave_sockets(c, NULL);
    } else if (s->before.master != 0 && current != NULL) {
        leave_sockets(current, s->reload->given);
        for (const rv_cycle_zone_t *z = current->zones; z != NULL; z = z->next)
            rv_zone_leave_to(z->zone, s->before.master);
    }
    give_up(s);
}

/* --- the end ------------------------------------------------------------------------- */

void
rv_succession_forget(rv_succession_t *s)
{
    rv_loop_unwatch(s->watch);
    s->watch = NULL;
    rv_fd_close(&s->before.alive);
    rv_fd_close(&s->keeper[0]);
    rv_fd_close(&s->keeper[1]);
    rv_upgrade_forget(&s->after);
}

int
rv_succession_finish(rv_succession_t *s, int status)
{
    pid_t heir = rv_succession_heir(s);
    int pipe = s->keeper[0];

    s->keeper[0] = -1;
    rv_succession_forget(s);
    if (pipe == -1)
        return status;
    if (heir == 0) {
        rv_fd_close(&pipe);
        return status;
    }
    rv_daemon_title("keeper of the master process");
    return rv_keeper_run(pipe, heir);
}
