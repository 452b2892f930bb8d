/*
 * rv_signal: what a signal means, and that it came.
 *
 * The globals are the pipe, the bits, and how often each was set. Only the handler runs in a
 * signal's context, and it does three things: one atomic or, one atomic increment, one write to
 * a pipe that does not block. A full pipe is fine: the loop will look at the bits anyway.
 */
#include "rv_signal.h"

#include "rv_fd.h"

#include <errno.h>
#include <signal.h>
#include <stdatomic.h>
#include <string.h>
#include <unistd.h>

static int wake[2] = { -1, -1 };
static atomic_uint came;
static atomic_uint times[32]; /* for each bit how often it was set */

static const rv_signal_t signals[] = {
    { SIGQUIT, "SIGQUIT", "quit", RV_SIGNAL_QUIT }, { SIGTERM, "SIGTERM", NULL, RV_SIGNAL_TERM },
    { SIGINT, "SIGINT", "stop", RV_SIGNAL_TERMINATE }, /* whatever TERM does */
    { SIGHUP, "SIGHUP", "reload", RV_SIGNAL_RELOAD },
    { SIGUSR1, "SIGUSR1", "reopen", RV_SIGNAL_REOPEN },
    { SIGUSR2, "SIGUSR2", "upgrade", RV_SIGNAL_UPGRADE },
    { SIGWINCH, "SIGWINCH", NULL, RV_SIGNAL_DRAIN }, { SIGTTIN, "SIGTTIN", "add", RV_SIGNAL_ADD },
    { SIGTTOU, "SIGTTOU", "remove", RV_SIGNAL_REMOVE },
    { SIGCHLD, "SIGCHLD", NULL, RV_SIGNAL_CHILD }, { SIGPIPE, "SIGPIPE", NULL, 0 },
    { SIGXFSZ, "SIGXFSZ", NULL, 0 }, /* a log at its limit is a write that fails */
};

const rv_signal_t *
rv_signal_at(size_t i)
{
    return i < rv_countof(signals) ? &signals[i] : NULL;
}

const rv_signal_t *
rv_signal_command(const char *word)
{
    for (size_t i = 0; i < rv_countof(signals); i++) {
        if (signals[i].command != NULL && strcmp(signals[i].command, word) == 0)
            return &signals[i];
    }
    return NULL;
}

/* The place of the one bit that is set. */
static unsigned
place_of(unsigned bit)
{
    unsigned place = 0;

    while (bit >> place > 1)
        place++;
    return place;
}

static void
on_signal(int number)
{
    int saved = errno;

    for (size_t i = 0; i < rv_countof(signals); i++) {
        if (signals[i].number != number)
            continue;
        atomic_fetch_add(&times[place_of(signals[i].sets)], 1);
        atomic_fetch_or(&came, signals[i].sets);
    }
    (void) !write(wake[1], "", 1);
    errno = saved;
}

int
rv_signal_init(void)
{
    rv_fd_close(&wake[0]);
    rv_fd_close(&wake[1]);
    if (rv_fd_pipe(wake) != RV_OK)
        return RV_ERROR;

    atomic_store(&came, 0);
    for (size_t i = 0; i < rv_countof(times); i++)
        atomic_store(&times[i], 0);
    for (size_t i = 0; i < rv_countof(signals); i++) {
        struct sigaction sa = { .sa_flags = SA_RESTART };

        sa.sa_handler = signals[i].sets != 0 ? on_signal : SIG_IGN;
        sigfillset(&sa.sa_mask);
        if (sigaction(signals[i].number, &sa, NULL) == -1)
            return RV_ERROR;
    }
    return RV_OK;
}

void
rv_signal_reset(void)
{
    for (size_t i = 0; i < rv_countof(signals); i++)
        (void) signal(signals[i].number, SIG_DFL);

    rv_fd_close(&wake[0]);
    rv_fd_close(&wake[1]);
}

int
rv_signal_fd(void)
{
    return wake[0];
}

unsigned
rv_signal_take(void)
{
    char bytes[64];

    while (read(wake[0], bytes, sizeof(bytes)) > 0)
        continue;

    return atomic_exchange(&came, 0);
}

void
rv_signal_drop(unsigned bits)
{
    atomic_fetch_and(&came, ~bits);
}

unsigned
rv_signal_resolve(unsigned taken, int graceful)
{
    if ((taken & RV_SIGNAL_TERM) == 0)
        return taken;

    return (taken & ~RV_SIGNAL_TERM) | (graceful ? RV_SIGNAL_QUIT : RV_SIGNAL_TERMINATE);
}

unsigned
rv_signal_times(unsigned bit)
{
    return atomic_exchange(&times[place_of(bit)], 0);
}

void
rv_signal_unblock(void)
{
    sigset_t none;

    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
}
