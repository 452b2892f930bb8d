/*
 * rv_exclusive: of all the processes that wait for one socket, only one wakes.
 *
 * The kernel wakes everybody unless the socket is in the epoll set with
 * EPOLLEXCLUSIVE, which libevent has no word for. A second set inside libevent's
 * is of no use: the kernel stops waking only where somebody sleeps in the very set
 * that has the flag. So libevent enters the socket as ever, and the entry is then
 * replaced by one with the flag. libevent does not notice: it removes an entry by
 * its descriptor, and the events are those that it asked for. configure has tried it.
 *
 * Nor does libevent tell its set. It is the descriptor that has an entry for the
 * socket: there the entry can be changed, to what it is, and nowhere else.
 */
#include "rv_exclusive.h"

#include <errno.h>

#if RV_HAVE_EPOLLEXCLUSIVE

#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>

enum {
    NONE = -2,             /* there is no such set */
    FARTHEST = 1024 * 1024 /* descriptor to be tried */
};

static int
control(int set, int operation, int fd, uint32_t events)
{
    struct epoll_event e;

    memset(&e, 0, sizeof(e));
    e.events = events;
    e.data.fd = fd; /* by which libevent knows it */
    return epoll_ctl(set, operation, fd, &e);
}

static int
find_set(rv_loop_t *loop, int fd)
{
    struct rlimit limit;

    if (strcmp(event_base_get_method(rv_loop_base(loop)), "epoll") != 0
        || getrlimit(RLIMIT_NOFILE, &limit) == -1)
        return NONE;

    int end = (int) rv_min(limit.rlim_cur, (rlim_t) FARTHEST);
    for (int set = 0; set < end; set++) {
        if (control(set, EPOLL_CTL_MOD, fd, EPOLLIN) == 0)
            return set;
    }
    return NONE;
}

int
rv_exclusive_queue(rv_loop_t *loop, int *set, int fd)
{
    if (*set == RV_EXCLUSIVE_UNKNOWN)
        *set = find_set(loop, fd);
    if (*set == NONE || control(*set, EPOLL_CTL_DEL, fd, 0) == -1)
        return RV_ERROR;

    if (control(*set, EPOLL_CTL_ADD, fd, EPOLLIN | EPOLLEXCLUSIVE) == 0)
        return RV_OK;
    (void) control(*set, EPOLL_CTL_ADD, fd, EPOLLIN);
    return RV_ERROR;
}

#else

int
rv_exclusive_queue(rv_loop_t *loop, int *set, int fd)
{
    (void) loop;
    (void) set;
    (void) fd;
    errno = ENOSYS;
    return RV_ERROR;
}

#endif
