/*
 * manager: what a service manager has to do with a daemon, played by the test.
 */
#include "manager.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

int
manager_listen(int *port, int shared)
{
    struct sockaddr_in addr = { .sin_family = AF_INET, .sin_port = htons((uint16_t) *port) };
    socklen_t length = sizeof(addr);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), on = 1;

    addr.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    ck_assert_int_ne(fd, -1);
    if (shared)
        ck_assert_int_eq(setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof(on)), 0);
    ck_assert_int_eq(bind(fd, (struct sockaddr *) &addr, length), 0);
    ck_assert_int_eq(listen(fd, 64), 0);
    ck_assert_int_eq(getsockname(fd, (struct sockaddr *) &addr, &length), 0);
    *port = ntohs(addr.sin_port);
    return fd;
}

int
manager_listen_unix(const char *path, int type)
{
    struct sockaddr_un addr = { .sun_family = AF_UNIX };
    int fd = socket(AF_UNIX, type | SOCK_CLOEXEC, 0);

    ck_assert_int_ne(fd, -1);
    ck_assert_uint_lt(strlen(path), sizeof(addr.sun_path));
    strcpy(addr.sun_path, path);
    ck_assert_int_eq(bind(fd, (struct sockaddr *) &addr, sizeof(addr)), 0);
    if (type == SOCK_STREAM)
        ck_assert_int_eq(listen(fd, 64), 0);
    return fd;
}

void
manager_pass(daemon_t *d, int fd)
{
    ck_assert_uint_lt((size_t) d->passed, sizeof(d->pass) / sizeof(d->pass[0]));
    d->pass[d->passed++] = fd;
}

int
manager_ask(int fd)
{
    static const char request[] = "GET /hello HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";

    ck_assert_int_ne(fd, -1);
    daemon_send(fd, request, sizeof(request) - 1);
    return fd;
}

void
manager_expect_hello(int fd)
{
    char text[1024];

    ck_assert_int_eq(daemon_answer(fd, text, sizeof(text), 0), 200);
    ck_assert_msg(strstr(text, "hello") != NULL, "%s", text);
    close(fd);
}
