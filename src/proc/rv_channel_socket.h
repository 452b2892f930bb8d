/*
 * rv_channel_socket: what a channel asks of its socket.
 *
 * Bytes, a descriptor beside them, and the kernel's word for who sent them.
 */
#ifndef RV_CHANNEL_SOCKET_H
#define RV_CHANNEL_SOCKET_H

#include "rv_base.h"

#include <sys/types.h>
#include <sys/uio.h>

enum { RV_CHANNEL_SOCKET_FDS = 253 }; /* SCM_MAX_FD, the most that a message can carry */

typedef struct {
    size_t length;
    pid_t pid;         /* of the sender, -1: the kernel does not say */
    unsigned fd_count; /* descriptors, the caller's to close */
    int fd[RV_CHANNEL_SOCKET_FDS];
} rv_channel_received_t;

/* A connected pair that is told its senders' pids where the kernel knows. */
int rv_channel_socket_pair(int type, int fds[2]);

/* One send of two parts, with so many descriptors. How many bytes went, or -1 and errno. */
ssize_t rv_channel_socket_send(
    int socket, const struct iovec parts[2], const int *fds, unsigned fd_count);

/*
 * One receive of at most `room` bytes. RV_OK; RV_AGAIN; RV_DONE: the other end
 * is closed; RV_ERROR: errno, EPROTO where what came was cut; its descriptors are closed.
 */
int rv_channel_socket_receive(
    int socket, void *bytes, size_t room, rv_channel_received_t *received);

/* 1 when this errno of a send or receive means: later. */
int rv_channel_socket_would_block(int err);

#endif
