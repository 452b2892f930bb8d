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

#if !defined(SCM_PIDFD)
#define SCM_PIDFD 4 /* younger than some C libraries */
#endif

enum { SMALL = 2048 }; /* bytes */

#if RV_HAVE_SCM_CREDENTIALS

enum {
    CONTROL = CMSG_SPACE(sizeof(int) * RV_CHANNEL_SOCKET_FDS) + CMSG_SPACE(sizeof(int))
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

enum { CONTROL = CMSG_SPACE(sizeof(int) * RV_CHANNEL_SOCKET_FDS) + CMSG_SPACE(sizeof(int)) };

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

static ssize_t
send_parts(int socket, const struct iovec parts[2], const int *fds, unsigned fd_count)
{
    char control[CMSG_SPACE(sizeof(int) * RV_CHANNEL_SOCKET_FDS)] __attribute__((aligned(8)));
    struct msghdr m = { .msg_iov = (struct iovec *) (uintptr_t) parts,
        .msg_iovlen = parts[1].iov_len > 0 ? 2 : 1 };

    if (fd_count > 0) {
        size_t length = sizeof(int) * fd_count;

        memset(control, 0, CMSG_SPACE(length));
        m.msg_control = control;
        m.msg_controllen = CMSG_SPACE(length);
        struct cmsghdr *cmsg = CMSG_FIRSTHDR(&m);
        cmsg->cmsg_level = SOL_SOCKET;
        cmsg->cmsg_type = SCM_RIGHTS;
        cmsg->cmsg_len = CMSG_LEN(length);
        memcpy(CMSG_DATA(cmsg), fds, length);
    }

    ssize_t n;
    do
        n = sendmsg(socket, &m, MSG_NOSIGNAL | MSG_DONTWAIT);
    while (n == -1 && errno == EINTR);
    return n;
}

/* A message like most: to copy it takes less time than the kernel takes to find out that it is in
 * two parts. */
static ssize_t
send_small(int socket, const struct iovec parts[2])
{
    char bytes[SMALL];
    size_t length = parts[0].iov_len + parts[1].iov_len;

    memcpy(bytes, parts[0].iov_base, parts[0].iov_len);
    if (parts[1].iov_len > 0)
        memcpy(bytes + parts[0].iov_len, parts[1].iov_base, parts[1].iov_len);

    ssize_t n;
    do
        n = send(socket, bytes, length, MSG_NOSIGNAL | MSG_DONTWAIT);
    while (n == -1 && errno == EINTR);
    return n;
}

ssize_t
rv_channel_socket_send(int socket, const struct iovec parts[2], const int *fds, unsigned fd_count)
{
    int is_small = fd_count == 0 && parts[0].iov_len + parts[1].iov_len <= SMALL;

    return is_small ? send_small(socket, parts) : send_parts(socket, parts, fds, fd_count);
}

/* Keeps the descriptors that were sent, closes others. */
static void
take_descriptors(struct cmsghdr *cmsg, rv_channel_received_t *received)
{
    int is_sent = cmsg->cmsg_type == SCM_RIGHTS;

    if (cmsg->cmsg_level != SOL_SOCKET || (!is_sent && cmsg->cmsg_type != SCM_PIDFD))
        return;

    size_t count = (cmsg->cmsg_len - CMSG_LEN(0)) / sizeof(int);
    for (size_t i = 0; i < count; i++) {
        int one;

        memcpy(&one, CMSG_DATA(cmsg) + i * sizeof(int), sizeof(int));
        if (is_sent && received->fd_count < RV_CHANNEL_SOCKET_FDS)
            received->fd[received->fd_count++] = one;
        else
            rv_fd_discard(&one);
    }
}

int
rv_channel_socket_receive(int socket, void *bytes, size_t room, rv_channel_received_t *received)
{
    char control[CONTROL] __attribute__((aligned(8)));
    struct iovec iov = { bytes, room };
    struct msghdr m = {
        .msg_iov = &iov, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof(control)
    };
    ssize_t n;

    received->pid = -1;
    received->fd_count = 0;
    do
        n = recvmsg(socket, &m, MSG_CMSG_CLOEXEC | MSG_DONTWAIT);
    while (n == -1 && errno == EINTR);

    if (n == -1)
        return rv_channel_socket_would_block(errno) ? RV_AGAIN : RV_ERROR;

    for (struct cmsghdr *c = CMSG_FIRSTHDR(&m); c != NULL; c = CMSG_NXTHDR(&m, c)) {
        take_descriptors(c, received);
        take_credentials(c, &received->pid);
    }
    received->length = (size_t) n;
    if (n > 0 && !(m.msg_flags & (MSG_TRUNC | MSG_CTRUNC)))
        return RV_OK;

    /* the end has no sender (a stream's is said to be 0), an empty message has */
    int is_end = n == 0 && received->fd_count == 0 && received->pid <= 0;
    while (received->fd_count > 0)
        rv_fd_discard(&received->fd[--received->fd_count]);
    errno = EPROTO;
    return is_end ? RV_DONE : RV_ERROR;
}
