/*
 * bare: the least that a server can do, to stand beside.
 *
 * It reads no more of a request than where it ends and whether it is the last, has no timeouts,
 * counts nothing, and expects whole requests.
 */
#include "bare.h"

#include "bench.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

enum { EVENTS = 64, ROOM = 4096 };

static const char page[] =
    "Active connections: 65 \nserver accepts handled requests\n 65 65 1000000 \n"
    "Reading: 0 Writing: 64 Waiting: 1 \n";

static char answers[2][ROOM]; /* to /hello, and to others */
static size_t lengths[2];

static void
write_answers(void)
{
    static const char *const bodies[] = { "hello\n", page };

    for (size_t i = 0; i < rv_countof(bodies); i++)
        lengths[i] = (size_t) snprintf(answers[i], ROOM,
            "HTTP/1.1 200 OK\r\nServer: bare\r\nDate: Sat, 21 Nov 2026 00:00:00 GMT\r\n"
            "Content-Type: text/plain\r\nContent-Length: %zu\r\nConnection: keep-alive\r\n\r\n%s",
            strlen(bodies[i]), bodies[i]);
}

static void
serve(int fd)
{
    static char in[ROOM], out[64 * 1024];
    ssize_t n = recv(fd, in, sizeof(in) - 1, 0);
    size_t length = 0;
    int is_last = n <= 0;

    in[n < 0 ? 0 : n] = '\0';
    for (const char *at = in, *end; (end = strstr(at, "\r\n\r\n")) != NULL; at = end + 4) {
        size_t i = strncmp(at, "GET /hello", 10) == 0 ? 0 : 1;

        memcpy(out + length, answers[i], lengths[i]);
        length += lengths[i];
        is_last = memmem(at, (size_t) (end - at), "close", 5) != NULL;
    }
    if (length > 0 && send(fd, out, length, MSG_NOSIGNAL) != (ssize_t) length)
        is_last = 1;
    if (is_last)
        close(fd);
}

static int
listen_at(int port)
{
    struct sockaddr_in in = { .sin_family = AF_INET, .sin_port = htons((uint16_t) port) };
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), on = 1;

    in.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (fd == -1 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) == -1
        || bind(fd, (struct sockaddr *) &in, sizeof(in)) == -1 || listen(fd, 511) == -1)
        bench_fail("listen");
    return fd;
}

static void
watch(int set, int fd)
{
    struct epoll_event e = { .events = EPOLLIN, .data.fd = fd };

    if (epoll_ctl(set, EPOLL_CTL_ADD, fd, &e) == -1)
        bench_fail("epoll_ctl");
}

void
bare_serve(int port)
{
    struct epoll_event events[EVENTS];
    int listening = listen_at(port), set = epoll_create1(EPOLL_CLOEXEC);

    write_answers();
    watch(set, listening);
    for (;;) {
        int n = epoll_wait(set, events, EVENTS, -1);

        for (int i = 0; i < n; i++) {
            if (events[i].data.fd != listening) {
                serve(events[i].data.fd);
                continue;
            }
            int fd = accept4(listening, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
            if (fd != -1)
                watch(set, fd);
        }
    }
}
