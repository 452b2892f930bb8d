/*
 * mesh_sockets: sockets as the kernel lists them, whoever holds them.
 *
 * Over netlink, which tells the peers of unix sockets and need not list every
 * connection in TIME_WAIT; where there is no such netlink, from /proc/net. That a socket has a name says nothing: the
 * kernel gives one to each that sends or asks for credentials.
 */
#include "mesh_sockets.h"

#include <arpa/inet.h>
#include <check.h>
#include <errno.h>
#include <linux/inet_diag.h>
#include <linux/netlink.h>
#include <linux/sock_diag.h>
#include <linux/unix_diag.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { LISTENING = 10, UNIX_SOCKETS = 16384, CLIENTS = 1024 };

static mesh_socket_t sockets[UNIX_SOCKETS];
static int socket_count;
static mesh_client_t clients[CLIENTS];
static int client_count, client_port;

static void
add_socket(unsigned long inode, unsigned long peer, int type, int listening)
{
    ck_assert_msg(socket_count < UNIX_SOCKETS, "more unix sockets than expected");
    sockets[socket_count++] = (mesh_socket_t){ inode, peer,
        !listening && (type == SOCK_STREAM || type == SOCK_SEQPACKET) };
}

static void
take_diag(const struct nlmsghdr *h)
{
    const struct unix_diag_msg *msg = NLMSG_DATA(h);
    const char *at = (const char *) (msg + 1), *end = (const char *) h + h->nlmsg_len;
    unsigned long peer = 0;

    while (at + sizeof(struct nlattr) <= end) {
        struct nlattr attr;

        memcpy(&attr, at, sizeof(attr));
        if (attr.nla_type == UNIX_DIAG_PEER) {
            uint32_t inode;

            memcpy(&inode, at + NLA_HDRLEN, sizeof(inode));
            peer = inode;
        }
        at += NLA_ALIGN(attr.nla_len);
    }
    add_socket(msg->udiag_ino, peer, msg->udiag_type, msg->udiag_state == LISTENING);
}

/* Takes one answer of the kernel: 1 when it was the last, -1 when it was an error. */
static int
take_answer(const char *buffer, unsigned length, void (*take)(const struct nlmsghdr *))
{
    const struct nlmsghdr *h = (const struct nlmsghdr *) (const void *) buffer;

    for (; NLMSG_OK(h, length); h = NLMSG_NEXT(h, length)) {
        if (h->nlmsg_type == NLMSG_DONE)
            return 1;
        if (h->nlmsg_type == NLMSG_ERROR)
            return -1;
        take(h);
    }
    return 0;
}

/* Sends a request for a list, and takes each row of it. 0: the kernel cannot say. */
static int
ask_kernel(const void *request, size_t size, void (*take)(const struct nlmsghdr *))
{
    static char buffer[65536] __attribute__((aligned(8)));
    int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_SOCK_DIAG);
    int result = fd == -1 || send(fd, request, size, 0) == -1 ? -1 : 0;

    while (result == 0) {
        ssize_t n = recv(fd, buffer, sizeof(buffer), 0);
        result = n <= 0 ? -1 : take_answer(buffer, (unsigned) n, take);
    }
    if (fd != -1)
        close(fd);
    return result == 1;
}

static int
read_diag(void)
{
    const struct {
        struct nlmsghdr h;
        struct unix_diag_req r;
    } request = { { .nlmsg_len = sizeof(request),
                      .nlmsg_type = SOCK_DIAG_BY_FAMILY,
                      .nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP },
        { .sdiag_family = AF_UNIX, .udiag_states = UINT32_MAX, .udiag_show = UDIAG_SHOW_PEER } };

    socket_count = 0;
    return ask_kernel(&request, sizeof(request), take_diag);
}

static void
read_proc(void)
{
    FILE *f = fopen("/proc/net/unix", "r");
    char line[512];

    ck_assert_msg(f != NULL, "/proc/net/unix: %s", strerror(errno));
    socket_count = 0;
    while (fgets(line, sizeof(line), f) != NULL) {
        unsigned flags, type, state;
        unsigned long inode;

        if (sscanf(line, "%*s %*x %*x %x %x %x %lu", &flags, &type, &state, &inode) == 4)
            add_socket(inode, 0, (int) type, (flags & 0x10000) != 0);
    }
    fclose(f);
}

static int
by_inode(const void *a, const void *b)
{
    unsigned long x = ((const mesh_socket_t *) a)->inode, y = ((const mesh_socket_t *) b)->inode;

    return (x > y) - (x < y);
}

int
mesh_sockets_read(void)
{
    int peers_known = read_diag();

    if (!peers_known)
        read_proc();
    qsort(sockets, (size_t) socket_count, sizeof(sockets[0]), by_inode);
    return peers_known;
}

const mesh_socket_t *
mesh_sockets_find(unsigned long inode)
{
    const mesh_socket_t wanted = { .inode = inode };

    if (inode == 0)
        return NULL;
    return bsearch(&wanted, sockets, (size_t) socket_count, sizeof(sockets[0]), by_inode);
}

/* --- the clients of a port ------------------------------------------------------------ */

static void
add_client(unsigned long inode, uint32_t address, int port)
{
    if (inode == 0) /* no process holds it */
        return;
    ck_assert_msg(client_count < CLIENTS, "more clients than expected");
    clients[client_count++] = (mesh_client_t){ inode, ntohl(address), port };
}

static void
take_client(const struct nlmsghdr *h)
{
    const struct inet_diag_msg *msg = NLMSG_DATA(h);

    if (ntohs(msg->id.idiag_sport) == client_port)
        add_client(msg->idiag_inode, msg->id.idiag_dst[0], ntohs(msg->id.idiag_dport));
}

static int
read_client_diag(void)
{
    const uint32_t no_process = 1 << TCP_TIME_WAIT | 1 << TCP_SYN_RECV | 1 << TCP_LISTEN;
    const struct {
        struct nlmsghdr h;
        struct inet_diag_req_v2 r;
    } request = { { .nlmsg_len = sizeof(request),
                      .nlmsg_type = SOCK_DIAG_BY_FAMILY,
                      .nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP },
        { .sdiag_family = AF_INET,
            .sdiag_protocol = IPPROTO_TCP,
            .idiag_states = 0xfff & ~no_process,
            .id.idiag_sport = htons((uint16_t) client_port) } };

    return ask_kernel(&request, sizeof(request), take_client);
}

static void
read_client_proc(void)
{
    FILE *f = fopen("/proc/net/tcp", "r");
    char line[256];

    ck_assert_msg(f != NULL, "/proc/net/tcp: %s", strerror(errno));
    while (fgets(line, sizeof(line), f) != NULL) {
        unsigned port, remote, remote_port, state;
        unsigned long inode;

        if (sscanf(line, "%*d: %*x:%x %x:%x %x %*s %*s %*s %*s %*s %lu", &port, &remote,
                &remote_port, &state, &inode)
                == 5
            && (int) port == client_port && state != LISTENING)
            add_client(inode, remote, (int) remote_port);
    }
    fclose(f);
}

int
mesh_sockets_clients(int port, const mesh_client_t **list)
{
    client_port = port;
    client_count = 0;
    if (!read_client_diag()) {
        client_count = 0;
        read_client_proc();
    }
    *list = clients;
    return client_count;
}
