/*
 * preload_calls: counts what a process asks of the kernel, see counts.h.
 */
#include "counts.h"

#include <dlfcn.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/select.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <sys/uio.h>

static counts_t *counts;

__attribute__((constructor)) static void
init(void)
{
    counts = counts_map(0);
}

static void
count(unsigned number)
{
    if (counts != NULL && counts->pid == (int) getpid())
        counts->of[number]++;
}

/* A function of libc that is counted, and does what it does. */
#define COUNTED(type, name, parameters, arguments)               \
    type name parameters                                         \
    {                                                            \
        static type(*next) parameters;                           \
                                                                 \
        if (next == NULL)                                        \
            next = (type(*) parameters) dlsym(RTLD_NEXT, #name); \
        count(COUNTS_##name);                                    \
        return next arguments;                                   \
    }

COUNTED(ssize_t, recv, (int fd, void *p, size_t n, int flags), (fd, p, n, flags))
COUNTED(ssize_t, recvfrom,
    (int fd, void *p, size_t n, int flags, struct sockaddr *addr, socklen_t *length),
    (fd, p, n, flags, addr, length))
COUNTED(ssize_t, recvmsg, (int fd, struct msghdr *message, int flags), (fd, message, flags))
COUNTED(ssize_t, read, (int fd, void *p, size_t n), (fd, p, n))
COUNTED(ssize_t, readv, (int fd, const struct iovec *parts, int n), (fd, parts, n))
COUNTED(ssize_t, send, (int fd, const void *p, size_t n, int flags), (fd, p, n, flags))
COUNTED(ssize_t, sendto,
    (int fd, const void *p, size_t n, int flags, const struct sockaddr *addr, socklen_t length),
    (fd, p, n, flags, addr, length))
COUNTED(ssize_t, sendmsg, (int fd, const struct msghdr *message, int flags), (fd, message, flags))
COUNTED(ssize_t, write, (int fd, const void *p, size_t n), (fd, p, n))
COUNTED(ssize_t, writev, (int fd, const struct iovec *parts, int n), (fd, parts, n))
COUNTED(int, epoll_wait, (int set, struct epoll_event *e, int n, int msec), (set, e, n, msec))
COUNTED(int, poll, (struct pollfd * p, nfds_t n, int msec), (p, n, msec))
COUNTED(int, select, (int n, fd_set *r, fd_set *w, fd_set *x, struct timeval *t), (n, r, w, x, t))
COUNTED(int, epoll_ctl, (int set, int what, int fd, struct epoll_event *e), (set, what, fd, e))
COUNTED(int, timerfd_settime,
    (int fd, int flags, const struct itimerspec *value, struct itimerspec *old),
    (fd, flags, value, old))
COUNTED(int, accept, (int fd, struct sockaddr *addr, socklen_t *length), (fd, addr, length))
COUNTED(int, accept4, (int fd, struct sockaddr *addr, socklen_t *length, int flags),
    (fd, addr, length, flags))
COUNTED(int, getsockopt, (int fd, int level, int name, void *value, socklen_t *length),
    (fd, level, name, value, length))
COUNTED(int, setsockopt, (int fd, int level, int name, const void *value, socklen_t length),
    (fd, level, name, value, length))
COUNTED(int, shutdown, (int fd, int how), (fd, how))
COUNTED(int, close, (int fd), (fd))
COUNTED(void *, mmap, (void *p, size_t n, int access, int flags, int fd, off_t from),
    (p, n, access, flags, fd, from))
COUNTED(int, munmap, (void *p, size_t n), (p, n))
