/*
 * rv_channel_record: the bytes of one message.
 */
#include "rv_channel_record.h"

#include "rv_channel_socket.h"
#include "rv_fd.h"

#include <errno.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define MAGIC UINT32_C(0x72766d32) /* "rvm2" */

static uint64_t
now_usec(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t) t.tv_sec * 1000000 + (uint64_t) t.tv_nsec / 1000;
}

rv_channel_head_t
rv_channel_record_head(const rv_message_t *msg)
{
    return (rv_channel_head_t){ .magic = MAGIC,
        .type = msg->type,
        .length = msg->length,
        .slot = msg->slot,
        .generation = msg->generation,
        .pid = RV_HAVE_SCM_CREDENTIALS ? 0 : (uint32_t) getpid(),
        .call = msg->call,
        .flags = msg->flags,
        .fd_count = (uint16_t) (msg->fd == -1 ? 0 : 1 + msg->more_count),
        .sent = now_usec() };
}

static void
take_descriptors(rv_channel_record_t *in, rv_channel_received_t *got)
{
    for (unsigned i = 0; i < got->fd_count; i++) {
        if (in->fd_count < RV_CHANNEL_FDS)
            in->fd[in->fd_count++] = got->fd[i];
        else
            rv_fd_discard(&got->fd[i]);
    }
}

/*
 * Of a record in pieces: whether its beginning may be that of a message. Descriptors come with the
 * first piece, and are not held for one that will be none.
 */
static int
is_beginning(const rv_channel_record_t *in)
{
    rv_channel_head_t h;

    if (in->filled < sizeof(h))
        return in->fd_count <= 1;
    memcpy(&h, in->bytes, sizeof(h));
    return h.magic == MAGIC && h.fd_count == in->fd_count;
}

int
rv_channel_record_collect(rv_channel_record_t *in, int socket, int whole, pid_t *pid)
{
    rv_channel_received_t got;
    int result = rv_channel_socket_receive(
        socket, in->bytes + in->filled, sizeof(in->bytes) - in->filled, &got);

    if (result != RV_OK)
        return result;

    take_descriptors(in, &got);
    in->filled += got.length;
    *pid = got.pid;
    if (!whole || in->filled == sizeof(in->bytes))
        return RV_OK;

    errno = EPROTO;
    return is_beginning(in) ? RV_AGAIN : RV_ERROR;
}

int
rv_channel_record_read(rv_channel_record_t *in, int whole, pid_t pid, rv_message_t *msg)
{
    rv_channel_head_t h;

    errno = EPROTO;
    if (in->filled < sizeof(h))
        return RV_ERROR;
    memcpy(&h, in->bytes, sizeof(h));

    size_t length = whole ? sizeof(in->bytes) : sizeof(h) + h.length;
    if (h.magic != MAGIC || h.length > RV_CHANNEL_DATA || h.type > UINT16_MAX
        || in->filled != length || h.fd_count != in->fd_count)
        return RV_ERROR;

    *msg = (rv_message_t){ .type = (uint16_t) h.type,
        .flags = h.flags,
        .call = h.call,
        .slot = h.slot,
        .generation = h.generation,
        .length = h.length,
        .data = in->bytes + sizeof(h),
        .fd = in->fd_count > 0 ? in->fd[0] : -1,
        .more = in->fd + 1,
        .more_count = in->fd_count > 1 ? in->fd_count - 1 : 0,
        .pid = RV_HAVE_SCM_CREDENTIALS ? pid : (pid_t) h.pid,
        .sent = h.sent };
    in->filled = 0;
    in->fd_count = 0;
    return RV_OK;
}

void
rv_channel_record_forget(rv_channel_record_t *in)
{
    if (in == NULL)
        return;
    while (in->fd_count > 0)
        rv_fd_discard(&in->fd[--in->fd_count]);
    in->filled = 0;
}
