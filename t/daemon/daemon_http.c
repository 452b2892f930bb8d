/*
 * daemon_http: a client that sees every byte.
 *
 * An answer is taken from the socket up to its last byte and no further, so
 * that pipelined answers can be read one by one.
 */
#include "daemon.h"

#include <arpa/inet.h>
#include <errno.h>
#include <inttypes.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

static int
connect_to(const struct sockaddr *addr, socklen_t length)
{
    const struct timeval limit = { DAEMON_LIMIT, 0 };
    int on = 1, fd = socket(addr->sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);

    ck_assert_int_ne(fd, -1);
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit));
    if (addr->sa_family != AF_UNIX)
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    if (connect(fd, addr, length) == 0)
        return fd;

    int err = errno;
    close(fd);
    errno = err;
    return -1;
}

int
daemon_connect_port(int port)
{
    struct sockaddr_in in = { .sin_family = AF_INET, .sin_port = htons((uint16_t) port) };

    in.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    return connect_to((struct sockaddr *) &in, sizeof(in));
}

int
daemon_connect(daemon_t *d)
{
    return daemon_connect_port(d->port);
}

int
daemon_connect_unix(const char *path)
{
    struct sockaddr_un un = { .sun_family = AF_UNIX };

    ck_assert_uint_lt(strlen(path), sizeof(un.sun_path));
    strcpy(un.sun_path, path);
    return connect_to((struct sockaddr *) &un, sizeof(un));
}

void
daemon_send(int fd, const char *bytes, size_t length)
{
    while (length > 0) {
        ssize_t n = send(fd, bytes, length, MSG_NOSIGNAL);

        if (n == -1 && errno == EINTR)
            continue;
        if (n <= 0)
            ck_abort_msg("sending %zu bytes: %s", length, strerror(errno));
        bytes += n;
        length -= (size_t) n;
    }
}

/* recv, where an end and a reset are both 0. */
static size_t
receive(int fd, char *text, size_t room, int flags)
{
    ssize_t n;

    if (room == 0)
        ck_abort_msg("the answer is longer than the test has room for");
    do
        n = recv(fd, text, room, flags);
    while (n == -1 && errno == EINTR);
    if (n == -1 && (errno == EAGAIN || errno == EWOULDBLOCK))
        ck_abort_msg("no answer within %d seconds", DAEMON_LIMIT);
    return n > 0 ? (size_t) n : 0;
}

/* Reads a head, up to and with its empty line; its length, 0: there is none. */
static size_t
read_head(int fd, char *text, size_t room)
{
    size_t length = 0;

    for (;;) {
        size_t n = receive(fd, text + length, room - length - 1, MSG_PEEK);
        text[length + n] = '\0';
        if (n == 0)
            return 0;

        char *end = strstr(text + (length < 3 ? 0 : length - 3), "\r\n\r\n");
        size_t take = end == NULL ? n : (size_t) (end + 4 - text) - length;
        receive(fd, text + length, take, 0);
        length += take;
        text[length] = '\0';
        if (end != NULL)
            return length;
    }
}

/* The value of Content-Length, -1: there is none. */
static long
content_length(const char *head)
{
    const char *line = strcasestr(head, "\r\nContent-Length:");

    return line == NULL ? -1 : strtol(line + strlen("\r\nContent-Length:"), NULL, 10);
}

static int
has_no_body(int code)
{
    return code / 100 == 1 || code == 204 || code == 304;
}

int
daemon_answer(int fd, char *text, size_t room, int head_only)
{
    int code = 0;
    size_t length = read_head(fd, text, room);

    if (length == 0)
        return 0;
    if (sscanf(text, "HTTP/1.1 %3d ", &code) != 1)
        ck_abort_msg("not an answer:\n%s", text);
    if (head_only || has_no_body(code))
        return code;

    long left = content_length(text);
    if (left == -1) /* up to the end of the connection */
        return daemon_read_end(fd, text + length, room - length) >= 0 ? code : 0;

    if ((size_t) left >= room - length)
        ck_abort_msg("no room for a body of %ld bytes", left);
    while (left > 0) {
        size_t n = receive(fd, text + length, (size_t) left, 0);

        if (n == 0)
            return 0;
        length += n;
        left -= (long) n;
        text[length] = '\0';
    }
    return code;
}

long
daemon_read_end(int fd, char *text, size_t room)
{
    size_t length = 0;

    for (;;) {
        if (length + 1 >= room)
            ck_abort_msg("more bytes than the test has room for");
        ssize_t n = recv(fd, text + length, room - length - 1, 0);

        if (n == -1 && errno == EINTR)
            continue;
        if (n == -1 && (errno == EAGAIN || errno == EWOULDBLOCK))
            ck_abort_msg("the connection was not closed within %d seconds", DAEMON_LIMIT);
        if (n == -1)
            return -1;
        length += (size_t) n;
        text[length] = '\0';
        if (n == 0)
            return (long) length;
    }
}

int
daemon_get(daemon_t *d, const char *path, char *text, size_t room)
{
    char request[512];
    int fd = daemon_connect(d);

    text[0] = '\0';
    if (fd == -1)
        return -1;

    int n = snprintf(request, sizeof(request),
        "GET %s HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n", path);
    daemon_send(fd, request, (size_t) n);
    int code = daemon_answer(fd, text, room, 0);
    close(fd);

    char *body = strstr(text, "\r\n\r\n");
    if (body != NULL)
        memmove(text, body + 4, strlen(body + 4) + 1);
    return code;
}

void
daemon_status(daemon_t *d, daemon_status_t *s)
{
    char text[1024], wanted[512];

    memset(s, 0, sizeof(*s));
    ck_assert_int_eq(daemon_get(d, "/stub_status", text, sizeof(text)), 200);
    ck_assert_msg(sscanf(text,
                      "Active connections: %" SCNu64 " \n"
                      "server accepts handled requests\n"
                      " %" SCNu64 " %" SCNu64 " %" SCNu64 " \n"
                      "Reading: %" SCNu64 " Writing: %" SCNu64 " Waiting: %" SCNu64 " \n",
                      &s->active, &s->accepts, &s->handled, &s->requests, &s->reading, &s->writing,
                      &s->waiting)
            == 7,
        "not a status:\n%s", text);

    snprintf(wanted, sizeof(wanted),
        "Active connections: %" PRIu64 " \n"
        "server accepts handled requests\n"
        " %" PRIu64 " %" PRIu64 " %" PRIu64 " \n"
        "Reading: %" PRIu64 " Writing: %" PRIu64 " Waiting: %" PRIu64 " \n",
        s->active, s->accepts, s->handled, s->requests, s->reading, s->writing, s->waiting);
    ck_assert_str_eq(text, wanted);
}
