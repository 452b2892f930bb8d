/*
 * rv_listener_scale: a socket more, a socket fewer, while a generation serves.
 *
 * A socket that is given up gets no new client, but some may wait there, and
 * some may be on their way: whose first packet was answered and who have not
 * answered in turn. So it stays for the time that lost packets need, somebody
 * goes on accepting, and it ends when it was seen empty. It is shut down and
 * not only closed: a process that stands still may have a duplicate, and would
 * keep the socket's number in the group.
 */
#include "rv_listener_scale.h"

#include "rv_fd.h"
#include "rv_listener_group.h"
#include "rv_loop.h"

#include <sys/socket.h>

/* An answer that is lost is repeated after 1 and after 3 seconds. */
enum { RETIRE_MSEC = 4000 };

int
rv_listener_scale_open(rv_listener_t *ls, char error[RV_LISTENER_ERROR])
{
    ls->kept = ls->count;
    if (!ls->reuseport || ls->count > ls->active)
        return RV_OK;

    return rv_listener_bind_more(ls, error);
}

int
rv_listener_scale_listen(rv_listener_t *ls, char error[RV_LISTENER_ERROR])
{
    if (ls->kept == ls->count)
        return RV_OK;

    if (!ls->limited)
        ls->limited = rv_listener_group_limit(ls->fds[0], ls->active) == RV_OK;
    if (rv_listener_listen_at(ls, ls->kept, error) != RV_OK)
        return RV_ERROR;
    ls->kept = ls->count;
    return RV_OK;
}

void
rv_listener_scale_commit(rv_listener_t *ls)
{
    if (!ls->reuseport)
        return;

    ls->active++;
    rv_listener_choose(ls);
}

static int
give_up(rv_listener_t *ls)
{
    ls->since = rv_loop_now();
    rv_listener_choose(ls);
    return ls->fds[ls->active];
}

int
rv_listener_scale_undo(rv_listener_t *ls)
{
    if (ls->kept < ls->count) /* nobody has listened there */
        rv_fd_close(&ls->fds[--ls->count]);

    return ls->count > ls->active ? give_up(ls) : -1;
}

int
rv_listener_scale_down(rv_listener_t *ls)
{
    if (!ls->reuseport)
        return -1;

    ls->active--;
    return give_up(ls);
}

void
rv_listener_scale_retire(rv_listener_t *ls)
{
    if (!ls->limited || rv_loop_now() - ls->since < RETIRE_MSEC)
        return;

    while (ls->count > ls->active && rv_listener_group_waiting(ls->fds[ls->count - 1]) == 0) {
        int *last = &ls->fds[--ls->count];

        (void) shutdown(*last, SHUT_RDWR);
        rv_fd_close(last);
    }
    if (ls->count == ls->active)
        rv_listener_choose(ls);
}
