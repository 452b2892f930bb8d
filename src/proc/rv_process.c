/*
 * rv_process: the table of processes, one row per slot, in every process.
 *
 * The globals: the table, how far it was ever used, the own row, the master's pid. A row's
 * descriptors are closed by rv_process_release and nowhere else.
 */
#include "rv_process.h"

#include "rv_fd.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

static rv_process_t table[RV_PROCESS_SLOTS];
static unsigned used;
static rv_process_t *self;
static pid_t master;

rv_process_t *
rv_process_at(unsigned slot)
{
    return &table[slot];
}

rv_process_t *
rv_process_from(unsigned slot)
{
    for (unsigned i = slot; i < used; i++) {
        if (table[i].state != RV_PROCESS_FREE)
            return &table[i];
    }
    return NULL;
}

rv_process_t *
rv_process_each(const rv_process_t *after)
{
    return rv_process_from(after == NULL ? 0 : after->slot + 1);
}

rv_process_t *
rv_process_find(pid_t pid)
{
    rv_process_t *p = NULL;

    while ((p = rv_process_each(p)) != NULL) {
        if (p->pid == pid)
            return p;
    }
    return NULL;
}

rv_process_t *
rv_process_self(void)
{
    return self;
}

pid_t
rv_process_master(void)
{
    return master;
}

void
rv_process_set_master(pid_t pid)
{
    master = pid;
}

static rv_process_t *
find_free(void)
{
    for (unsigned i = 0; i < RV_PROCESS_SLOTS; i++) {
        if (table[i].state == RV_PROCESS_FREE)
            return &table[i];
    }
    return NULL;
}

int
rv_process_next(void)
{
    const rv_process_t *p = find_free();

    return p == NULL ? RV_ERROR : (int) (p - table);
}

static void
mark_used(rv_process_t *p)
{
    p->slot = (unsigned) (p - table);
    used = rv_max(used, p->slot + 1);
}

void
rv_process_release(rv_process_t *p)
{
    rv_channel_destroy(p->channel[0]);
    rv_channel_destroy(p->channel[1]);
    *p = (rv_process_t){ .slot = p->slot };
}

/* The child's side of the fork: its own end instead of the master's. */
static int
become(rv_process_t *p, int fds[2])
{
    self = p;
    p->pid = getpid();
    rv_channel_forked();
    for (rv_process_t *other = rv_process_each(NULL); other != NULL;
         other = rv_process_each(other)) {
        if (other != p)
            rv_channel_inherit(other->channel[0]);
        if (other->received != 0) /* by the master */
            other->received = 0;
    }
    rv_fd_close(&fds[0]);
    p->channel[1] = rv_channel_create(NULL, fds[1]);
    return p->channel[1] == NULL ? RV_ERROR : RV_OK;
}

int
rv_process_spawn(
    unsigned generation, unsigned worker, int (*run)(void *), void *data, rv_process_t **process)
{
    rv_process_t *p = find_free();
    sigset_t all, before;
    int fds[2];

    if (p == NULL) {
        errno = EAGAIN;
        return RV_ERROR;
    }
    if (rv_channel_pair(NULL, fds) != RV_OK)
        return RV_ERROR;

    *p = (rv_process_t){ .state = RV_PROCESS_STARTING, .worker = worker, .generation = generation };
    mark_used(p);

    sigfillset(&all);
    sigdelset(&all, SIGBUS); /* a fault that is blocked kills at once */
    sigprocmask(SIG_BLOCK, &all, &before);
    p->pid = fork();
    if (p->pid == 0)
        exit(become(p, fds) == RV_OK ? run(data) : 1);
    int err = errno;
    sigprocmask(SIG_SETMASK, &before, NULL);

    rv_fd_close(&fds[1]);
    if (p->pid == -1) {
        rv_fd_close(&fds[0]);
    } else {
        p->channel[0] = rv_channel_create(NULL, fds[0]);
        err = errno;
    }

    /* without a channel the child, which sees its own closed, ends by itself */
    if (p->pid == -1 || p->channel[0] == NULL) {
        rv_process_release(p);
        errno = err;
        return RV_ERROR;
    }
    *process = p;
    return RV_OK;
}

int
rv_process_enter(unsigned slot, unsigned worker, unsigned generation, pid_t pid, int fd)
{
    rv_process_t *p = &table[slot];

    rv_process_release(p);
    p->channel[0] = rv_channel_create(NULL, fd);
    if (p->channel[0] == NULL)
        return RV_ERROR;

    mark_used(p);
    p->state = RV_PROCESS_READY;
    p->worker = worker;
    p->generation = generation;
    p->pid = pid;
    return RV_OK;
}
