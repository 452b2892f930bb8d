/*
 * rv_channel_socket: what a channel asks of its socket.
 *
 * Bytes, a descriptor beside them, and the kernel's word for who sent them.
 */
#ifndef RV_CHANNEL_SOCKET_H
#define RV_CHANNEL_SOCKET_H

#include "rv_base.h"

#include <sys/types.h>

typedef struct {
    size_t length;
    pid_t pid; /* of the sender, -1: the kernel does not say */
    int fd;    /* the caller's to close, -1: none came */
} rv_channel_received_t;

/* A connected pair that is told its senders' pids where the kernel knows. */
int rv_channel_socket_pair(int type, int fds[2]);

/* One send, with a descriptor (-1: none). How many bytes went, or -1 and errno. */
ssize_t rv_channel_socket_send(int socket, const void *bytes, size_t length, int fd);

/*
 * One receive of at most `room` bytes. RV_OK; RV_AGAIN; RV_DONE: the other end
 * is closed; RV_ERROR: errno, EPROTO where what came was cut, or had more than
 * one descriptor, all of which are closed.
 */
int rv_channel_socket_receive(
    int socket, void *bytes, size_t room, rv_channel_received_t *received);

/* 1 when this errno of a send or receive means: later. */
int rv_channel_socket_would_block(int err);

#endif
