/*
 * rv_announce: what a daemon tells those who started it.
 *
 * The globals are the descriptor of -n, when the manager is to hear next that
 * all is well, whether it was logged that telling it does not work, and whether
 * another master is the one to tell it. Telling
 * is no condition of serving: where it fails the daemon goes on.
 */
#include "rv_announce.h"

#include "rv_fd.h"
#include "rv_notify.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

static int ready = -1;
static int64_t next_beat = INT64_MAX;
static int failed;
static int held;

/* Logs it once when the manager cannot be told, until it can again. */
static void
check(int result)
{
    if (result == RV_ERROR && !failed)
        rv_log(RV_LOG_WARN, errno, "telling the service manager failed");
    failed = result == RV_ERROR;
}

static void RV_PRINTF(1, 2) tell(const char *fmt, ...)
{
    char text[RV_NOTIFY_TEXT];
    va_list args;

    if (held)
        return;
    va_start(args, fmt);
    vsnprintf(text, sizeof(text), fmt, args);
    va_end(args);
    check(rv_notify("%s", text));
}

/* What was passed over exec cannot be close-on-exec: that one is our own. */
static int
take_descriptor(int fd)
{
    int flags = fcntl(fd, F_GETFD), status = fcntl(fd, F_GETFL);

    if (flags == -1 || status == -1)
        return RV_ERROR;
    errno = EBADF;
    if (fd <= STDERR_FILENO || flags & FD_CLOEXEC || (status & O_ACCMODE) == O_RDONLY)
        return RV_ERROR;
    return fcntl(fd, F_SETFD, flags | FD_CLOEXEC) == -1 ? RV_ERROR : RV_OK;
}

int
rv_announce_init(int ready_fd)
{
    if (rv_notify_init() != RV_OK)
        rv_log(RV_LOG_WARN, 0, "NOTIFY_SOCKET is no path and no \"@\" name, ignored");
    if (rv_notify_watchdog() > 0)
        next_beat = rv_loop_now() + rv_notify_watchdog();

    if (ready_fd == -1)
        return RV_OK;
    if (take_descriptor(ready_fd) != RV_OK)
        return RV_ERROR;
    ready = ready_fd;
    return RV_OK;
}

/* "2 workers, generation 3" */
static const char *
describe(const rv_cycle_t *cycle, char text[64])
{
    unsigned n = cycle->workers;

    if (!cycle->core->master_process)
        snprintf(text, 64, "one process, without a master");
    else
        snprintf(text, 64, "%u worker%s, generation %u", n, n == 1 ? "" : "s", cycle->generation);
    return text;
}

void
rv_announce_ready(const rv_cycle_t *cycle, int detached)
{
    char text[64], pid[32] = "";

    if (detached)
        snprintf(pid, sizeof(pid), "\nMAINPID=%ld", (long) getpid());
    tell("READY=1%s\nSTATUS=%s", pid, describe(cycle, text));

    if (ready != -1 && rv_fd_write(ready, "\n", 1) != RV_OK)
        rv_log(RV_LOG_WARN, errno, "telling readiness by descriptor %d failed", ready);
    rv_fd_close(&ready);
}

void
rv_announce_reloading(unsigned generation)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    tell("RELOADING=1\nMONOTONIC_USEC=%lld\nSTATUS=reloading, generation %u",
        (long long) now.tv_sec * 1000000 + now.tv_nsec / 1000, generation);
}

/* A line of a configuration file may hold anything, and a manager reads lines. */
static void
make_printable(char *text)
{
    for (; *text != '\0'; text++) {
        if ((unsigned char) *text < ' ' || *text == '\x7f')
            *text = '?';
    }
}

void
rv_announce_reloaded(const rv_cycle_t *current, const char *failure)
{
    char text[64], why[RV_CYCLE_REASON];

    if (failure == NULL) {
        tell("READY=1\nSTATUS=%s", describe(current, text));
        return;
    }
    snprintf(why, sizeof(why), "%s", failure);
    make_printable(why);
    tell("READY=1\nSTATUS=%s, the last reload failed: %s", describe(current, text), why);
}

void
rv_announce_status(const rv_cycle_t *cycle)
{
    char text[64];

    tell("STATUS=%s", describe(cycle, text));
}

void
rv_announce_stopping(void)
{
    tell("STOPPING=1\nSTATUS=stopping");
}

void
rv_announce_heir(pid_t pid)
{
    tell("MAINPID=%ld\nSTATUS=process %ld goes on", (long) pid, (long) pid);
}

int
rv_announce_hold(int hold)
{
    int before = held;

    held = hold;
    return before;
}

void
rv_announce_beat(int64_t now)
{
    if (now >= next_beat) {
        next_beat = now + rv_notify_watchdog();
        tell("WATCHDOG=1");
    } else if (rv_notify_flush() == RV_ERROR) {
        check(RV_ERROR);
    }
}

int64_t
rv_announce_due(void)
{
    return next_beat;
}

void
rv_announce_forked(void)
{
    next_beat = INT64_MAX;
    rv_fd_close(&ready);
}
