/*
 * rv_upgrade: a new master from a new program, beside this one.
 *
 * The new one writes to the pipe `ready` what it would say on a terminal, and a NUL byte
 * when it serves. The end of the pipe `alive` tells it that this process is
 * gone; until then the names in the system (pid file, unix sockets, zones) are this one's.
 */
#include "rv_upgrade.h"

#include "rv_fd.h"
#include "rv_heritage.h"
#include "rv_signal.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum {
    GRACE_MSEC = 1000,    /* for it to say itself that its workers do not get ready */
    KILL_MSEC = 10 * 1000 /* from TERM to KILL */
};

static void
on_ready(int fd, short what, void *data)
{
    (void) fd; /* it ends the step of the loop */
    (void) what;
    (void) data;
}

void
rv_upgrade_forget(rv_upgrade_t *u)
{
    rv_loop_unwatch(u->watch);
    u->watch = NULL;
    for (int i = 0; i < 2; i++) {
        rv_fd_close(&u->ready[i]);
        rv_fd_close(&u->alive[i]);
    }
}

/* The child: never comes back. What fails here is said on the pipe. */
static void
execute(const rv_upgrade_command_t *command, const char *text, int ready)
{
    rv_signal_reset();
    rv_signal_unblock();
    if (rv_heritage_keep(text) == RV_OK && setenv(RV_HERITAGE_VARIABLE, text, 1) == 0)
        (void) execv(command->program, command->argv);

    dprintf(ready, "executing \"%s\" failed (%d: %s)\n", command->program, errno, strerror(errno));
    _exit(1);
}

static pid_t
start(const rv_upgrade_command_t *command, const char *text, int ready)
{
    sigset_t all, before;

    sigfillset(&all);
    sigdelset(&all, SIGBUS); /* a fault that is blocked kills at once */
    sigprocmask(SIG_BLOCK, &all, &before);
    pid_t pid = fork();
    if (pid == 0)
        execute(command, text, ready);
    sigprocmask(SIG_SETMASK, &before, NULL);
    return pid;
}

static int
open_pipes(rv_upgrade_t *u, rv_loop_t *loop)
{
    if (rv_fd_pipe(u->ready) != RV_OK || rv_fd_pipe(u->alive) != RV_OK)
        return RV_ERROR;

    u->watch = rv_loop_watch(loop, u->ready[0], RV_LOOP_READ, on_ready, u);
    return u->watch == NULL ? RV_ERROR : RV_OK;
}

int
rv_upgrade_begin(rv_upgrade_t *u, const rv_upgrade_command_t *command, rv_loop_t *loop,
    const rv_cycle_t *cycle, int keeper, char reason[RV_CYCLE_REASON])
{
    char *text = NULL;

    *u = (rv_upgrade_t) RV_UPGRADE_NONE;
    if (open_pipes(u, loop) == RV_OK) {
        const rv_heritage_t h = { .master = getpid(),
            .generation = cycle->generation,
            .ready = u->ready[1],
            .alive = u->alive[0],
            .keeper = keeper };

        text = rv_heritage_write(&h, cycle);
    }
    pid_t pid = text == NULL ? -1 : start(command, text, u->ready[1]);
    int err = errno;

    free(text);
    rv_fd_close(&u->ready[1]);
    rv_fd_close(&u->alive[0]);
    if (pid != -1) {
        u->pid = pid;
        u->until = rv_loop_now() + (int64_t) cycle->core->worker_startup_timeout + GRACE_MSEC;
        return RV_OK;
    }
    rv_upgrade_forget(u);
    snprintf(reason, RV_CYCLE_REASON, "starting a new master process failed (%d: %s)", err,
        strerror(err));
    return RV_ERROR;
}

int
rv_upgrade_reaped(rv_upgrade_t *u, pid_t pid, int status)
{
    if (u->pid == 0 || pid != u->pid)
        return 0;

    u->gone = 1;
    u->status = status;
    return 1;
}

static void
keep(rv_upgrade_t *u, const char *bytes, size_t length)
{
    for (size_t i = 0; i < length; i++) {
        if (bytes[i] == '\0')
            u->is_ready = 1;
        else if (u->used < sizeof(u->text) - 1)
            u->text[u->used++] = bytes[i];
    }
    u->text[u->used] = '\0';
}

static void
listen_to(rv_upgrade_t *u)
{
    char bytes[512];
    ssize_t n;

    while ((n = read(u->ready[0], bytes, sizeof(bytes))) > 0)
        keep(u, bytes, (size_t) n);
    if (n == 0 || u->is_ready) { /* all was said: what follows is its death, if any */
        rv_loop_unwatch(u->watch);
        u->watch = NULL;
    }
}

/* Every error that it has told, without the marks that a terminal gets. */
static size_t
list_errors(const rv_upgrade_t *u, char *reason)
{
    static const char warning[] = RV_NAME ": [warn] ";
    size_t used = 0;

    for (const char *line = u->text, *end; *line != '\0'; line = end + (*end != '\0')) {
        const char *mark = strstr(line, "] ");

        end = line + strcspn(line, "\n");
        if (strncmp(line, warning, strlen(warning)) == 0 || used >= RV_CYCLE_REASON)
            continue;
        if (strncmp(line, RV_NAME ": [", strlen(RV_NAME) + 3) == 0 && mark != NULL && mark < end)
            line = mark + 2;
        used += (size_t) snprintf(reason + used, RV_CYCLE_REASON - used, "%s%.*s",
            used > 0 ? "; " : "", (int) (end - line), line);
    }
    return used;
}

/* Why there is no new master any more. */
static void
explain(const rv_upgrade_t *u, int was_ready, char *reason)
{
    if (!was_ready && (list_errors(u, reason) > 0 || u->failing != NULL)) {
        if (u->failing != NULL)
            snprintf(reason, RV_CYCLE_REASON, "%s", u->failing);
    } else if (WIFSIGNALED(u->status)) {
        snprintf(reason, RV_CYCLE_REASON, "the new master process %ld was killed by signal %d",
            (long) u->pid, WTERMSIG(u->status));
    } else {
        snprintf(reason, RV_CYCLE_REASON, "the new master process %ld exited with code %d",
            (long) u->pid, WEXITSTATUS(u->status));
    }
}

void
rv_upgrade_abort(rv_upgrade_t *u, const char *why)
{
    if (u->pid == 0 || u->is_ready || u->failing != NULL)
        return;

    u->failing = why;
    u->until = rv_loop_now() + KILL_MSEC;
    kill(u->pid, SIGINT);
}

int
rv_upgrade_settle(rv_upgrade_t *u, char reason[RV_CYCLE_REASON])
{
    int was_ready = u->is_ready;

    if (u->pid == 0)
        return RV_AGAIN;
    if (!u->is_ready || u->gone)
        listen_to(u);

    if (u->gone) {
        explain(u, was_ready, reason);
        rv_upgrade_forget(u);
        *u = (rv_upgrade_t) RV_UPGRADE_NONE;
        return RV_ERROR;
    }
    if (u->is_ready)
        return was_ready ? RV_AGAIN : RV_OK;

    if (rv_loop_now() >= u->until && u->failing != NULL) {
        u->until = INT64_MAX;
        kill(u->pid, SIGKILL);
    } else if (rv_loop_now() >= u->until) {
        rv_upgrade_abort(u, "the new master process was not ready within worker_startup_timeout");
    }
    return RV_AGAIN;
}

int64_t
rv_upgrade_due(const rv_upgrade_t *u)
{
    return u->pid == 0 || u->is_ready ? INT64_MAX : u->until;
}
