/*
 * rv_channel_socket: what a channel asks of its socket.
 *
 * A probe decides whether the kernel vouches for the sender; where it does not
 * nobody does, and the pid is -1.
 *
 * The other processes of the mesh have the same open socket, and whoever of
 * them has been taken over may change its flags and options. So each call says for
 * itself that it must not wait, and takes every descriptor that can come with a message,
 * the one of SO_PASSPIDFD too: what is left in the kernel's hands it closes
 * in our name, and that can take as long as the sender has wished (SO_LINGER).
 */
#include "rv_channel_socket.h"

#include "rv_fd.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>

enum { MAX_FDS = 253 }; /* SCM_MAX_FD, the most that a message can carry */

#if !defined(SCM_PIDFD)
#define SCM_PIDFD 4 /* younger than some C libraries */
#endif

#if RV_HAVE_SCM_CREDENTIALS

enum {
    CONTROL = CMSG_SPACE(sizeof(int) * MAX_FDS) + CMSG_SPACE(sizeof(int))
        + CMSG_SPACE(sizeof(struct ucred))
};

static int
ask_credentials(int fd)
{
    int on = 1;

    return setsockopt(fd, SOL_SOCKET, SO_PASSCRED, &on, sizeof(on));
}

static void
take_credentials(struct cmsghdr *cmsg, pid_t *pid)
{
    struct ucred cred;

    if (cmsg->cmsg_level == SOL_SOCKET && cmsg->cmsg_type == SCM_CREDENTIALS) {
        memcpy(&cred, CMSG_DATA(cmsg), sizeof(cred));
        *pid = cred.pid;
    }
}

#else

enum { CONTROL = CMSG_SPACE(sizeof(int) * MAX_FDS) + CMSG_SPACE(sizeof(int)) };

static int
ask_credentials(int fd)
{
    (void) fd;
    return 0;
}

static void
take_credentials(struct cmsghdr *cmsg, pid_t *pid)
{
    (void) cmsg;
    (void) pid;
}

#endif

int
rv_channel_socket_pair(int type, int fds[2])
{
    if (rv_fd_socketpair(type, fds) != RV_OK)
        return RV_ERROR;

    if (ask_credentials(fds[0]) == 0 && ask_credentials(fds[1]) == 0)
        return RV_OK;

    rv_fd_close(&fds[0]);
    rv_fd_close(&fds[1]);
    return RV_ERROR;
}

int
rv_channel_socket_would_block(int err)
{
    /* a datagram socket of BSD says ENOBUFS; too many descriptors on their
     * way, ETOOMANYREFS: both pass */
    return err == EAGAIN || err == EWOULDBLOCK || err == ENOBUFS || err == ETOOMANYREFS;
}

ssize_t
rv_channel_socket_send(int socket, const void *bytes, size_t length, int fd)
{
    char control[CMSG_SPACE(sizeof(int))] __attribute__((aligned(8))) = { 0 };
    struct iovec iov = { .iov_base = (void *) (uintptr_t) bytes, .iov_len = length };
    struct msghdr m = { .msg_iov = &iov, .msg_iovlen = 1 };

    if (fd != -1) {
        m.msg_control = control;
        m.msg_controllen = sizeof(control);
        struct cmsghdr *cmsg = CMSG_FIRSTHDR(&m);
        cmsg->cmsg_level = SOL_SOCKET;
        cmsg->cmsg_type = SCM_RIGHTS;
        cmsg->cmsg_len = CMSG_LEN(sizeof(int));
        memcpy(CMSG_DATA(cmsg), &fd, sizeof(int));
    }

    ssize_t n;
    do
        n = sendmsg(socket, &m, MSG_NOSIGNAL | MSG_DONTWAIT);
    while (n == -1 && errno == EINTR);
    return n;
}

/* Takes the descriptors out of a received message: keeps the first that was sent in *fd,
 * closes the others. Returns how many were sent. */
static int
take_descriptors(struct cmsghdr *cmsg, int *fd)
{
    int is_sent = cmsg->cmsg_type == SCM_RIGHTS;

    if (cmsg->cmsg_level != SOL_SOCKET || (!is_sent && cmsg->cmsg_type != SCM_PIDFD))
        return 0;

    int count = (int) ((cmsg->cmsg_len - CMSG_LEN(0)) / sizeof(int));
    for (int i = 0; i < count; i++) {
        int one;

        memcpy(&one, CMSG_DATA(cmsg) + (size_t) i * sizeof(int), sizeof(int));
        if (is_sent && *fd == -1)
            *fd = one;
        else
            rv_fd_discard(&one);
    }
    return is_sent ? count : 0;
}

int
rv_channel_socket_receive(int socket, void *bytes, size_t room, rv_channel_received_t *received)
{
    char control[CONTROL] __attribute__((aligned(8)));
    struct iovec iov = { bytes, room };
    struct msghdr m = {
        .msg_iov = &iov, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof(control)
    };
    int fds = 0;
    ssize_t n;

    *received = (rv_channel_received_t){ .pid = -1, .fd = -1 };
    do
        n = recvmsg(socket, &m, MSG_CMSG_CLOEXEC | MSG_DONTWAIT);
    while (n == -1 && errno == EINTR);

    if (n == -1)
        return rv_channel_socket_would_block(errno) ? RV_AGAIN : RV_ERROR;

    for (struct cmsghdr *c = CMSG_FIRSTHDR(&m); c != NULL; c = CMSG_NXTHDR(&m, c)) {
        fds += take_descriptors(c, &received->fd);
        take_credentials(c, &received->pid);
    }
    received->length = (size_t) n;
    if (n > 0 && fds <= 1 && !(m.msg_flags & (MSG_TRUNC | MSG_CTRUNC)))
        return RV_OK;

    /* the end has no sender (a stream's is said to be 0), an empty message has */
    int is_end = n == 0 && fds == 0 && received->pid <= 0;
    rv_fd_discard(&received->fd);
    errno = EPROTO;
    return is_end ? RV_DONE : RV_ERROR;
}
