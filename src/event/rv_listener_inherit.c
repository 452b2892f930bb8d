/*
 * rv_listener_inherit: listening sockets that somebody else has bound.
 *
 * What was bound cannot be bound otherwise, so the socket itself is asked, and
 * nothing that can be seen from outside is changed: neither its backlog nor the
 * mode of its file.
 */
#include "rv_listener_inherit.h"

#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>

/* An option's value, 0 where there is no such option. */
static int
option(int fd, int level, int name)
{
    int value = 0;
    socklen_t length = sizeof(value);

    return getsockopt(fd, level, name, &value, &length) == 0 ? value : 0;
}

#if RV_HAVE_REUSEPORT

static int
shares_address(int fd)
{
    return option(fd, SOL_SOCKET, SO_REUSEPORT) != 0;
}

#else

static int
shares_address(int fd)
{
    (void) fd;
    return 0;
}

#endif

static int
read_address(int fd, rv_addr_t *addr)
{
    *addr = (rv_addr_t){ .length = sizeof(addr->sockaddr) };
    if (getsockname(fd, &addr->sockaddr.sa, &addr->length) == -1)
        return RV_ERROR;

    addr->length = rv_min(addr->length, (socklen_t) sizeof(addr->sockaddr));
    return RV_OK;
}

int
rv_listener_inherit_look(rv_listener_t *ls, int fd, const char **why)
{
    int type = option(fd, SOL_SOCKET, SO_TYPE);

    *ls = (rv_listener_t){ .backlog = RV_LISTENER_BACKLOG, .mode = 0666, .ipv6only = 1 };
    if (type == 0 || read_address(fd, &ls->addr) != RV_OK)
        *why = "not a socket";
    else if (type != SOCK_STREAM)
        *why = "not a stream socket";
    else if (!option(fd, SOL_SOCKET, SO_ACCEPTCONN))
        *why = "not listening";
    else
        *why = NULL;
    if (*why != NULL)
        return RV_ERROR;

    ls->reuseport = shares_address(fd);
    if (ls->addr.sockaddr.sa.sa_family == AF_INET6)
        ls->ipv6only = option(fd, IPPROTO_IPV6, IPV6_V6ONLY);
    return RV_OK;
}

int
rv_listener_inherit_add(rv_listener_t *ls, int fd)
{
    int *fds = realloc(ls->fds, (ls->count + 1) * sizeof(int));
    int on = 1;

    if (fds == NULL)
        return RV_ERROR;

    if (ls->addr.sockaddr.sa.sa_family != AF_UNIX) /* what is accepted inherits it */
        (void) setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    ls->fds = fds;
    ls->fds[ls->count++] = fd;
    ls->active = ls->count;
    return RV_OK;
}
