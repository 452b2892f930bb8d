/*
 * rv_listener_group: which of the sockets of an address get new clients.
 *
 * The kernel asks a program of the group once for each client, when its first
 * packet comes; where the client goes is settled with that, whatever becomes
 * of the program before the client is there. The program takes a random number
 * and not the packet's hash, which not every network device gives.
 */
#include "rv_listener_group.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#if RV_HAVE_REUSEPORT_CBPF

#include <linux/filter.h>

int
rv_listener_group_limit(int fd, unsigned count)
{
    struct sock_filter code[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, (unsigned) (SKF_AD_OFF + SKF_AD_RANDOM)),
        BPF_STMT(BPF_ALU | BPF_MOD | BPF_K, count),
        BPF_STMT(BPF_RET | BPF_A, 0),
    };
    const struct sock_fprog program = { .len = rv_countof(code), .filter = code };

    return setsockopt(fd, SOL_SOCKET, SO_ATTACH_REUSEPORT_CBPF, &program, sizeof(program)) == 0
        ? RV_OK
        : RV_ERROR;
}

/* Kernels before 5.3 have programs that stay: then it is one that names all. There is none
 * (ENOENT) where clients come to all anyway, or no group (EINVAL). */
void
rv_listener_group_free(int fd, unsigned count)
{
    const int unused = 0;

    if (setsockopt(fd, SOL_SOCKET, SO_DETACH_REUSEPORT_BPF, &unused, sizeof(unused)) == -1
        && errno != ENOENT && errno != EINVAL)
        (void) rv_listener_group_limit(fd, count);
}

int
rv_listener_group_waiting(int fd)
{
    struct tcp_info info = { .tcpi_unacked = 0 };
    socklen_t length = sizeof(info);

    if (getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &length) == -1)
        return -1;
    return (int) info.tcpi_unacked; /* of a socket that listens: the queue's length */
}

#else

int
rv_listener_group_limit(int fd, unsigned count)
{
    (void) fd;
    (void) count;
    errno = ENOTSUP;
    return RV_ERROR;
}

void
rv_listener_group_free(int fd, unsigned count)
{
    (void) fd;
    (void) count;
}

int
rv_listener_group_waiting(int fd)
{
    (void) fd;
    return -1;
}

#endif
