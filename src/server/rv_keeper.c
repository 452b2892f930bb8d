/*
 * rv_keeper: the process that somebody has started and waits for.
 *
 * Of the masters that have said they are ready the youngest that lives is the
 * one that counts: an upgrade may fail after that, and the one before go on.
 */
#include "rv_keeper.h"

#include "rv_alive.h"
#include "rv_fd.h"
#include "rv_signal.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

enum { MOST = 64 }; /* masters that are remembered */

typedef struct {
    pid_t pid;
    int ended; /* it was reaped */
    int status;
} kept_t;

typedef struct {
    kept_t master[MOST]; /* the youngest last */
    unsigned count;
    int status; /* of the one that was in charge last */
} keeper_t;

#if RV_HAVE_SUBREAPER

void
rv_keeper_prepare(void)
{
    (void) prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0);
}

#else

void
rv_keeper_prepare(void)
{
}

#endif

static void
add(keeper_t *k, pid_t pid)
{
    if (k->count == MOST)
        memmove(k->master, k->master + 1, --k->count * sizeof(k->master[0]));
    k->master[k->count++] = (kept_t){ .pid = pid };
}

/* Short lines, each written at once: none comes in pieces. */
static void
read_pids(keeper_t *k, int *pipe)
{
    char text[512];
    ssize_t n;

    while ((n = read(*pipe, text, sizeof(text) - 1)) > 0) {
        text[n] = '\0';
        for (char *at = text, *end; *at != '\0'; at = end + 1) {
            long pid = strtol(at, &end, 10);

            if (end == at || *end != '\n')
                break;
            add(k, (pid_t) pid);
        }
    }
    if (n == 0)
        rv_fd_close(pipe); /* there is nobody to write to it any more */
}

static void
note_end(kept_t *m, int status)
{
    m->ended = 1;
    m->status = WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}

static void
reap(keeper_t *k)
{
    int status;
    pid_t pid;

    while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
        for (unsigned i = 0; i < k->count; i++) {
            if (k->master[i].pid == pid)
                note_end(&k->master[i], status);
        }
    }
}

/* A master is this process's child, or the child of another one that lives. */
static int
is_alive(kept_t *m)
{
    int status;

    if (m->ended)
        return 0;
    if (rv_alive(m->pid))
        return 1;
    if (waitpid(m->pid, &status, WNOHANG) == m->pid)
        note_end(m, status);
    return 0;
}

/* The one in charge; 0: there is none any more. Who says that he is ready does so before
 * the one before him goes: so nobody is missed that is asked for after a death was seen. */
static pid_t
in_charge(keeper_t *k, int *pipe)
{
    unsigned last = k->count;

    do {
        while (k->count > 0 && !is_alive(&k->master[k->count - 1])) {
            k->count--;
            if (k->count + 1 >= last && k->master[k->count].ended) /* those before are long gone */
                k->status = k->master[k->count].status;
        }
        if (k->count > 0)
            return k->master[k->count - 1].pid;
        read_pids(k, pipe);
    } while (k->count > 0);
    return 0;
}

/* What ends the daemon is for every master, all else for the one in charge. */
static void
pass_on(const keeper_t *k, unsigned came)
{
    const unsigned ends = RV_SIGNAL_QUIT | RV_SIGNAL_TERMINATE | RV_SIGNAL_TERM;
    const rv_signal_t *sig;

    for (size_t i = 0; (sig = rv_signal_at(i)) != NULL; i++) {
        unsigned sets = sig->sets & ~RV_SIGNAL_CHILD;
        unsigned first = came & sets & ends ? 0 : k->count - 1;

        for (unsigned n = first; came & sets && n < k->count; n++) {
            if (!k->master[n].ended && rv_alive(k->master[n].pid))
                kill(k->master[n].pid, sig->number);
        }
        came &= ~sets;
    }
}

int
rv_keeper_run(int pipe, pid_t master)
{
    keeper_t k = { .status = 1 };

    add(&k, master);
    for (;;) {
        struct pollfd fds[] = { { .fd = rv_signal_fd(), .events = POLLIN },
            { .fd = pipe, .events = POLLIN } };

        read_pids(&k, &pipe);
        reap(&k);
        if (in_charge(&k, &pipe) == 0)
            break;

        fds[1].fd = pipe;
        if (poll(fds, rv_countof(fds), -1) == -1 && errno != EINTR)
            break;
        pass_on(&k, rv_signal_take());
    }
    rv_fd_close(&pipe);
    return k.status;
}
