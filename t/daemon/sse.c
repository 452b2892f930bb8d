/*
 * sse: clients of server-sent events.
 *
 * Requests are HTTP/1.0, whose answers come without chunks.
 */
#include "sse.h"

#include "load.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

uint64_t
sse_sum(uint64_t sum, uint64_t id, const char *data)
{
    for (; *data != '\0'; data++)
        sum = (sum ^ (unsigned char) *data) * UINT64_C(0x100000001b3);
    return (sum ^ id) * UINT64_C(0x100000001b3);
}

/* --- blocks ------------------------------------------------------------------------------ */

static void
clear_block(sse_reader_t *r)
{
    r->next = r->id;
    r->is_event = 0;
    r->name[0] = r->data[0] = '\0';
}

static void
take_field(sse_reader_t *r, char *line)
{
    size_t length = strlen(r->data);

    if (sscanf(line, "id: %" SCNu64, &r->next) == 1
        || sscanf(line, "retry: %" SCNd64, &r->retry) == 1
        || sscanf(line, "event: %31s", r->name) == 1 || line[0] == ':')
        return;
    r->is_bad |= strncmp(line, "data: ", 6) != 0;
    snprintf(r->data + length, sizeof(r->data) - length, "%s%s", r->is_event ? "\n" : "", line + 6);
    r->is_event = 1;
}

/* Takes what there is up to an empty line. 1: there was one. */
static int
take_block(sse_reader_t *r, size_t *at)
{
    char *lf;

    while ((lf = memchr(r->in + *at, '\n', r->length - *at)) != NULL) {
        char *line = r->in + *at;

        *lf = '\0';
        *at += (size_t) (lf - line) + 1;
        if (line != lf) {
            take_field(r, line);
            continue;
        }
        r->id = r->next;
        return 1;
    }
    return 0;
}

static void
move_rest(sse_reader_t *r, size_t at)
{
    r->length -= at;
    memmove(r->in, r->in + at, r->length);
}

/* Receives some. 0: the end. */
static ssize_t
receive(sse_reader_t *r)
{
    ssize_t n = recv(r->fd, r->in + r->length, sizeof(r->in) - r->length, 0);

    if (n > 0)
        r->length += (size_t) n;
    return n;
}

/* --- one --------------------------------------------------------------------------------- */

int
sse_connect(int port)
{
    const struct timeval limit = { DAEMON_LIMIT, 0 };
    struct sockaddr_in in = { .sin_family = AF_INET, .sin_port = htons((uint16_t) port) };
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    in.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (fd == -1)
        return -1;
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
    if (connect(fd, (struct sockaddr *) &in, sizeof(in)) == 0)
        return fd;
    close(fd);
    return -1;
}

/* 0: no connection, or no answer. */
static int
ask(int port, sse_reader_t *r, const char *path, const char *lines)
{
    char request[512];
    int n = snprintf(request, sizeof(request), "GET %s HTTP/1.0\r\n%s\r\n", path, lines);

    r->length = 0;
    clear_block(r);
    r->fd = sse_connect(port);
    return r->fd != -1 && send(r->fd, request, (size_t) n, MSG_NOSIGNAL) == n;
}

void
sse_open(daemon_t *d, sse_reader_t *r, const char *path, const char *lines)
{
    char *end = NULL;

    ck_assert(ask(d->port, r, path, lines));
    while (end == NULL) {
        ck_assert_int_gt(receive(r), 0);
        end = memmem(r->in, r->length, "\r\n\r\n", 4);
    }
    ck_assert_msg(memcmp(r->in, "HTTP/1.1 200 ", 13) == 0, "%.*s", (int) r->length, r->in);
    move_rest(r, (size_t) (end - r->in) + 4);
}

int
sse_block(sse_reader_t *r)
{
    clear_block(r);
    for (;;) {
        size_t at = 0;
        int found = take_block(r, &at);

        move_rest(r, at);
        ck_assert(!r->is_bad);
        if (found)
            return 1;
        ssize_t n = receive(r);
        ck_assert_msg(n >= 0 || errno == ECONNRESET, "no event: %s", strerror(errno));
        if (n <= 0)
            return 0;
    }
}

int
sse_event(sse_reader_t *r)
{
    while (sse_block(r)) {
        if (r->is_event)
            return 1;
    }
    return 0;
}

void
sse_close(sse_reader_t *r)
{
    close(r->fd);
    r->fd = -1;
}

int64_t
sse_publish(daemon_t *d, const char *topic, const char *text, size_t length)
{
    char head[256], answer[1024];
    int n = snprintf(head, sizeof(head),
        "POST /publish?topic=%s HTTP/1.1\r\nHost: a\r\nContent-Length: %zu\r\n"
        "Connection: close\r\n\r\n",
        topic, length);
    int fd = daemon_connect(d);

    ck_assert_int_ne(fd, -1);
    daemon_send(fd, head, (size_t) n);
    if (send(fd, text, length, MSG_NOSIGNAL) == -1)
        ck_assert(errno == EPIPE || errno == ECONNRESET); /* refused by its head */
    int status = daemon_answer(fd, answer, sizeof(answer), 0);
    close(fd);
    if (status != 200)
        return -status;
    const char *body = strstr(answer, "\r\n\r\n");
    return body == NULL ? 0 : atoll(body + 4);
}

/* --- many: their process ----------------------------------------------------------------- */

typedef struct {
    sse_reader_t reader;
    int in_head;  /* of the answer */
    double again; /* when to come again */
} many_t;

static void
come(const sse_t *all, many_t *m, sse_client_t *c)
{
    char line[64] = "";

    if (c->opened > 0)
        snprintf(line, sizeof(line), "Last-Event-ID: %" PRIu64 "\r\n", m->reader.id);
    m->in_head = 1;
    if (!ask(all->port, &m->reader, all->path, line)) {
        if (m->reader.fd != -1)
            sse_close(&m->reader);
        m->again = load_now() + 0.05;
    } else {
        fcntl(m->reader.fd, F_SETFL, O_NONBLOCK);
    }
}

static void
go(many_t *m, sse_client_t *c)
{
    sse_close(&m->reader);
    m->again = load_now() + (double) m->reader.retry / 1000;
    c->ends += m->reader.retry < 1000;
}

static void
note(many_t *m, sse_client_t *c)
{
    sse_reader_t *r = &m->reader;

    if (c->begin == 0)
        c->begin = r->id;
    if (r->name[0] != '\0') {
        c->losts++;
    } else if (r->is_event) {
        c->wrong += r->id <= c->last;
        c->count++;
        c->sum = sse_sum(c->sum, r->id, r->data);
    }
    c->last = r->id;
}

static void
hear(many_t *m, sse_client_t *c)
{
    sse_reader_t *r = &m->reader;
    ssize_t n = receive(r);
    size_t at = 0;

    if (n == -1 && (errno == EAGAIN || errno == EINTR))
        return;
    if (n <= 0) {
        go(m, c);
        return;
    }
    if (m->in_head) {
        const char *end = memmem(r->in, r->length, "\r\n\r\n", 4);
        if (end == NULL)
            return;
        at = (size_t) (end - r->in) + 4;
        m->in_head = 0;
        c->opened++;
    }
    while (take_block(r, &at)) {
        note(m, c);
        clear_block(r);
    }
    c->wrong += (unsigned) r->is_bad;
    move_rest(r, at);
}

static void
step(sse_t *all, many_t *many, struct pollfd *polls)
{
    double now = load_now();

    for (int i = 0; i < all->count; i++) {
        if (many[i].reader.fd == -1 && many[i].again <= now)
            come(all, &many[i], &all->client[i]);
        polls[i] = (struct pollfd){ .fd = many[i].reader.fd, .events = POLLIN };
    }
    (void) poll(polls, (nfds_t) all->count, 10);
    for (int i = 0; i < all->count; i++) {
        if (polls[i].fd != -1 && polls[i].revents != 0)
            hear(&many[i], &all->client[i]);
    }
}

static void
run(sse_t *all)
{
    many_t *many = calloc((size_t) all->count, sizeof(*many));
    struct pollfd *polls = calloc((size_t) all->count, sizeof(*polls));

    if (many == NULL || polls == NULL)
        _exit(1);
    for (int i = 0; i < all->count; i++)
        many[i].reader.fd = -1;
    while (!all->stop && getppid() != 1)
        step(all, many, polls);
    _exit(0);
}

/* --- many: the test's side --------------------------------------------------------------- */

static int
all_listen(daemon_t *unused, void *data)
{
    const sse_t *all = data;

    (void) unused;
    for (int i = 0; i < all->count; i++) {
        if (all->client[i].begin == 0)
            return 0;
    }
    return 1;
}

sse_t *
sse_start(daemon_t *d, const char *path, int count)
{
    struct rlimit limit;
    size_t size = sizeof(sse_t) + (size_t) count * sizeof(sse_client_t);
    sse_t *all = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

    ck_assert_ptr_ne(all, MAP_FAILED);
    ck_assert_int_eq(getrlimit(RLIMIT_NOFILE, &limit), 0);
    limit.rlim_cur = limit.rlim_max;
    ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &limit), 0);
    all->port = d->port;
    all->count = count;
    snprintf(all->path, sizeof(all->path), "%s", path);
    pid_t pid = fork();
    ck_assert_int_ne(pid, -1);
    if (pid == 0)
        run(all);
    all->pid = pid;
    daemon_wait(d, all_listen, all, "all listen");
    return all;
}

typedef struct {
    const sse_t *all;
    uint64_t id;
} wanted_t;

static int
all_have(daemon_t *unused, void *data)
{
    const wanted_t *wanted = data;

    (void) unused;
    for (int i = 0; i < wanted->all->count; i++) {
        if (wanted->all->client[i].last < wanted->id)
            return 0;
    }
    return 1;
}

void
sse_wait(daemon_t *d, sse_t *all, uint64_t id)
{
    wanted_t wanted = { all, id };

    daemon_wait(d, all_have, &wanted, "all have the last message");
}

void
sse_stop(daemon_t *d, sse_t *all)
{
    all->stop = 1;
    ck_assert_int_eq(daemon_wait_process(d, all->pid), 0);
}
