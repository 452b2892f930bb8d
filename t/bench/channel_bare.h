/*
 * channel_bare: messages over a SEQPACKET socketpair as they are without rv_channel.
 *
 * And what both sides of the comparison have in common.
 */
#ifndef CHANNEL_BARE_H
#define CHANNEL_BARE_H

#include "bench.h"
#include "rv_channel.h"
#include "rv_fd.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

enum { RECEIVERS = 16 };

typedef struct {
    const char *name;
    size_t length;
    int with_fd;
    unsigned trips, messages, broadcasts; /* in a round */
} kind_t;

/* What the processes of a round have in common; a time each, seconds. */
typedef struct {
    double trip, message, broadcast;
} result_t;

static result_t *shared;
static char data[RV_CHANNEL_DATA];
static int passed; /* the descriptor that goes with messages */

static void
reap(unsigned count)
{
    for (int status; count > 0; count--) {
        if (wait(&status) == -1 || status != 0)
            bench_fail("a process of the bench");
    }
}

/* --- bare ----------------------------------------------------------------------------------- */

static int
poll_set(int fd)
{
    struct epoll_event e = { .events = EPOLLIN, .data.fd = fd };
    int set = epoll_create1(EPOLL_CLOEXEC);

    if (set == -1 || epoll_ctl(set, EPOLL_CTL_ADD, fd, &e) == -1)
        bench_fail("epoll");
    return set;
}

static void
bare_wait(int set, int fd, unsigned events)
{
    struct epoll_event e = { .events = events, .data.fd = fd };

    if (events != EPOLLIN && epoll_ctl(set, EPOLL_CTL_MOD, fd, &e) == -1)
        bench_fail("epoll_ctl");
    while (epoll_wait(set, &e, 1, -1) == -1)
        continue;
    e.events = EPOLLIN;
    if (events != EPOLLIN && epoll_ctl(set, EPOLL_CTL_MOD, fd, &e) == -1)
        bench_fail("epoll_ctl");
}

static ssize_t
bare_send_once(int fd, const kind_t *k, size_t length)
{
    char control[CMSG_SPACE(sizeof(int))] __attribute__((aligned(8))) = { 0 };
    struct iovec iov = { data, length };
    struct msghdr m = {
        .msg_iov = &iov, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof(control)
    };

    if (!k->with_fd)
        return send(fd, data, length, MSG_NOSIGNAL);
    *CMSG_FIRSTHDR(&m) = (struct cmsghdr){
        .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS, .cmsg_len = CMSG_LEN(sizeof(int))
    };
    memcpy(CMSG_DATA(CMSG_FIRSTHDR(&m)), &passed, sizeof(int));
    return sendmsg(fd, &m, MSG_NOSIGNAL);
}

static void
bare_send(int set, int fd, const kind_t *k, size_t length)
{
    while (bare_send_once(fd, k, length) == -1) {
        if (errno != EAGAIN && errno != ETOOMANYREFS)
            bench_fail("send");
        bare_wait(set, fd, EPOLLOUT);
    }
}

static void
bare_receive(int set, int fd, const kind_t *k)
{
    static char bytes[RV_CHANNEL_DATA];
    char control[CMSG_SPACE(sizeof(int))] __attribute__((aligned(8)));
    struct iovec iov = { bytes, sizeof(bytes) };
    struct msghdr m = {
        .msg_iov = &iov, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof(control)
    };

    while ((k->with_fd ? recvmsg(fd, &m, MSG_CMSG_CLOEXEC) : recv(fd, bytes, sizeof(bytes), 0))
        == -1) {
        if (errno != EAGAIN)
            bench_fail("recv");
        bare_wait(set, fd, EPOLLIN);
    }
    if (k->with_fd) {
        int got;

        memcpy(&got, CMSG_DATA(CMSG_FIRSTHDR(&m)), sizeof(int));
        close(got);
    }
}

static void
bare_answer(int fd, const kind_t *k)
{
    int set = poll_set(fd);

    for (unsigned i = 0; i < k->trips; i++) {
        bare_receive(set, fd, k);
        bare_send(set, fd, k, k->length);
    }
    for (unsigned i = 0; i < k->messages; i++)
        bare_receive(set, fd, k);
    bare_send(set, fd, k, 1);
}

static void
bare_ask(int fd, const kind_t *k)
{
    int set = poll_set(fd);
    double began = bench_now();

    for (unsigned i = 0; i < k->trips; i++) {
        bare_send(set, fd, k, k->length);
        bare_receive(set, fd, k);
    }
    shared->trip = (bench_now() - began) / k->trips;
    began = bench_now();
    for (unsigned i = 0; i < k->messages; i++)
        bare_send(set, fd, k, k->length);
    bare_receive(set, fd, k);
    shared->message = (bench_now() - began) / k->messages;
}

static void
bare_pair(const kind_t *k)
{
    for (int side = 0, fds[2]; side < 2; side++) {
        if (side == 0 && rv_fd_socketpair(SOCK_SEQPACKET, fds) != RV_OK)
            bench_fail("socketpair");
        pid_t pid = fork();
        if (pid == -1)
            bench_fail("fork");
        if (pid == 0) {
            (side == 0 ? bare_answer : bare_ask)(fds[side], k);
            _exit(0);
        }
        rv_fd_close(&fds[side]);
    }
    reap(2);
}

static void
bare_broadcast(const kind_t *k)
{
    int fds[RECEIVERS][2], set[RECEIVERS];

    for (int i = 0; i < RECEIVERS; i++) {
        if (rv_fd_socketpair(SOCK_SEQPACKET, fds[i]) != RV_OK)
            bench_fail("socketpair");
        pid_t pid = fork();
        if (pid == -1)
            bench_fail("fork");
        if (pid == 0) {
            int in = poll_set(fds[i][1]);

            for (unsigned n = 0; n < k->broadcasts; n++)
                bare_receive(in, fds[i][1], k);
            _exit(0);
        }
        rv_fd_close(&fds[i][1]);
        set[i] = poll_set(fds[i][0]);
    }
    double began = bench_cpu(RUSAGE_SELF);
    for (unsigned n = 0; n < k->broadcasts; n++) {
        for (int i = 0; i < RECEIVERS; i++)
            bare_send(set[i], fds[i][0], k, k->length);
    }
    shared->broadcast = (bench_cpu(RUSAGE_SELF) - began) / k->broadcasts;
    reap(RECEIVERS);
    for (int i = 0; i < RECEIVERS; i++) {
        close(set[i]);
        close(fds[i][0]);
    }
}

#endif
