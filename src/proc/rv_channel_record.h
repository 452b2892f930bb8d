/*
 * rv_channel_record: the bytes of one message.
 *
 * A head, and behind it the data; on a stream filled up to a fixed length, and so
 * received in pieces.
 */
#ifndef RV_CHANNEL_RECORD_H
#define RV_CHANNEL_RECORD_H

#include "rv_base.h"
#include "rv_channel.h"

#include <sys/types.h>

typedef struct {
    uint32_t magic;
    uint32_t type;
    uint32_t length;
    uint32_t slot;
    uint32_t generation;
    uint32_t pid; /* the word of those whose kernel gives none */
    uint32_t call;
    uint16_t flags;
    uint16_t fd_count;
    uint64_t sent; /* us, monotonic */
} rv_channel_head_t;

enum { RV_CHANNEL_RECORD = sizeof(rv_channel_head_t) + RV_CHANNEL_DATA };

typedef struct {
    size_t filled; /* of bytes */
    unsigned fd_count;
    int fd[RV_CHANNEL_FDS];
    char bytes[RV_CHANNEL_RECORD];
} rv_channel_record_t;

/* The head of a message that is sent now. */
rv_channel_head_t rv_channel_record_head(const rv_message_t *msg);

/* Adds what has come at the socket; `whole`: all records have the fixed length. RV_OK: that is
 * one; RV_AGAIN, RV_DONE and RV_ERROR as rv_channel_socket_receive. */
int rv_channel_record_collect(rv_channel_record_t *in, int socket, int whole, pid_t *pid);

/*
 * The message that a complete record is, from the process that the kernel says, its data and
 * further descriptors in the record. RV_ERROR: it is none (EPROTO).
 */
int rv_channel_record_read(rv_channel_record_t *in, int whole, pid_t pid, rv_message_t *msg);

/* Throws away what is there. NULL is allowed. */
void rv_channel_record_forget(rv_channel_record_t *in);

#endif
