/*
 * manager: what a service manager has to do with a daemon, played by the test.
 */
#include "manager.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
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

int
manager_hear(daemon_t *d, int abstract)
{
    const struct timeval limit = { DAEMON_LIMIT, 0 };
    struct sockaddr_un addr = { .sun_family = AF_UNIX };
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0), on = 1;
    const char *path = daemon_path(d, "notify");
    size_t length = strlen(path);

    ck_assert_int_ne(fd, -1);
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
    ck_assert_int_eq(setsockopt(fd, SOL_SOCKET, SO_PASSCRED, &on, sizeof(on)), 0);
    ck_assert_uint_lt(length, sizeof(addr.sun_path) - 1);
    strcpy(addr.sun_path, path);
    if (abstract)
        addr.sun_path[0] = '\0'; /* the prefix makes it this test's own */
    length += offsetof(struct sockaddr_un, sun_path);
    ck_assert_int_eq(bind(fd, (struct sockaddr *) &addr, (socklen_t) length), 0);

    addr.sun_path[0] = abstract ? '@' : '/';
    setenv("NOTIFY_SOCKET", addr.sun_path, 1);
    return fd;
}

pid_t
manager_heard(int fd, char *text, size_t room)
{
    union {
        struct cmsghdr align;
        char space[CMSG_SPACE(sizeof(struct ucred))];
    } control;
    struct iovec iov = { text, room - 1 };
    struct msghdr msg = {
        .msg_iov = &iov, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof(control)
    };
    struct ucred sender;
    ssize_t n = recvmsg(fd, &msg, 0);

    ck_assert_msg(n > 0, "nothing was told: %s", strerror(errno));
    text[n] = '\0';
    ck_assert_ptr_nonnull(CMSG_FIRSTHDR(&msg));
    memcpy(&sender, CMSG_DATA(CMSG_FIRSTHDR(&msg)), sizeof(sender));
    return sender.pid;
}

void
manager_expect(daemon_t *d, int fd, const char *fmt, ...)
{
    char text[2048], wanted[2048];
    va_list args;

    va_start(args, fmt);
    vsnprintf(wanted, sizeof(wanted), fmt, args);
    va_end(args);
    pid_t sender = manager_heard(fd, text, sizeof(text));
    ck_assert_str_eq(text, wanted);
    ck_assert_int_eq(sender, d->master);
}

void
manager_expect_silence(int fd)
{
    char text[2048];
    ssize_t n = recv(fd, text, sizeof(text) - 1, MSG_DONTWAIT);

    ck_assert_msg(n == -1, "told: %.*s", (int) n, text);
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
