/*
 * load: clients, in a process of their own.
 *
 * One loop over epoll. A client sends, reads answers whose length is told, and sends again; one
 * whose connection is closed connects anew. A request that was sent and not answered then has
 * failed, unless the answer before it had said that it would be the last.
 */
#include "load.h"

#include <arpa/inet.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum {
    HEAD_ROOM = 2048,
    READ_ROOM = 256 * 1024,
    EVENTS = 64,
    PIPELINE = 64,
    PATIENCE = 60,  /* s */
    FINE = 64,      /* buckets for each power of two */
    TICK_MSEC = 5,  /* of the slow ones */
    RETRY_MSEC = 10 /* where a connection was refused */
};

typedef enum { BUSY, IDLE, SLOW, SILENT } kind_t;

typedef struct {
    int fd;
    kind_t kind;
    unsigned is_connected : 1;
    unsigned is_settled : 1;
    unsigned is_last : 1; /* the answer at hand has said so */
    unsigned waiting;     /* answers that are to come */
    unsigned sent;        /* bytes, of a slow one */
    size_t body;          /* bytes of the answer at hand that are to come */
    size_t filled;
    int64_t since; /* us */
    char head[HEAD_ROOM];
} client_t;

static load_plan_t plan;
static load_counts_t *counts;
static client_t *clients;
static unsigned count;
static int set;
static char *text; /* what a client sends */
static size_t text_length, one_length;

static int64_t
now_usec(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t) t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

/* --- times --------------------------------------------------------------------------------- */

static unsigned
bucket_of(unsigned long usec)
{
    unsigned shift = 0;

    while (usec >> shift >= 2 * FINE)
        shift++;
    return rv_min(shift * FINE + (unsigned) (usec >> shift), LOAD_BUCKETS - 1u);
}

static double
time_of(unsigned bucket)
{
    unsigned shift = bucket < 2 * FINE ? 0 : bucket / FINE - 1;

    return (double) ((unsigned long) (bucket - shift * FINE) << shift);
}

double
load_percentile(const load_t *l, const load_counts_t *before, double part)
{
    unsigned long all = 0, sum = 0;
    unsigned i;

    for (i = 0; i < LOAD_BUCKETS; i++)
        all += l->counts->took[i] - before->took[i];
    for (i = 0; i < LOAD_BUCKETS; i++) {
        sum += l->counts->took[i] - before->took[i];
        if ((double) sum >= part * (double) all)
            break;
    }
    return time_of(i);
}

/* --- one client ---------------------------------------------------------------------------- */

static void
settle(client_t *c)
{
    if (!c->is_settled)
        counts->settled++;
    c->is_settled = 1;
}

static void
watch(client_t *c, uint32_t events, int operation)
{
    struct epoll_event e = { .events = events, .data.ptr = c };

    if (epoll_ctl(set, operation, c->fd, &e) == -1)
        bench_fail("epoll_ctl");
}

static void connect_client(client_t *c);

/* What was asked and not answered has failed. */
static void
reconnect(client_t *c, int failed)
{
    close(c->fd);
    counts->open--;
    if (failed)
        counts->failed += c->waiting;
    connect_client(c);
}

static void
ask(client_t *c)
{
    size_t length = c->kind == BUSY ? text_length : one_length;

    c->since = now_usec();
    c->waiting = c->kind == BUSY ? plan.pipeline : 1;
    if (send(c->fd, text, length, MSG_NOSIGNAL) != (ssize_t) length)
        reconnect(c, 1);
}

static void
on_connected(client_t *c)
{
    int error = 0;
    socklen_t length = sizeof(error);

    if (getsockopt(c->fd, SOL_SOCKET, SO_ERROR, &error, &length) == -1 || error != 0) {
        bench_pause(RETRY_MSEC);
        reconnect(c, 1);
        return;
    }
    c->is_connected = 1;
    watch(c, EPOLLIN, EPOLL_CTL_MOD);
    if (c->kind == SLOW || c->kind == SILENT)
        settle(c);
    else
        ask(c);
}

static void
connect_client(client_t *c)
{
    struct sockaddr_in in = { .sin_family = AF_INET, .sin_port = htons((uint16_t) plan.port) };

    in.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    c->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (c->fd == -1)
        bench_fail("socket");
    c->is_connected = c->is_last = 0;
    c->waiting = c->sent = 0;
    c->body = c->filled = 0;
    if (connect(c->fd, (struct sockaddr *) &in, sizeof(in)) == -1 && errno != EINPROGRESS
        && errno != ECONNREFUSED)
        bench_fail("connect");
    counts->open++;
    watch(c, EPOLLOUT, EPOLL_CTL_ADD);
}

static void
on_answer(client_t *c)
{
    unsigned long took = (unsigned long) (now_usec() - c->since);

    settle(c);
    c->waiting--;
    if (c->kind != BUSY)
        return;
    counts->answers++;
    counts->took[bucket_of(took)]++;
    if (took > counts->slowest)
        counts->slowest = took;
}

/* The head is complete, but for the last of its blank lines. */
static void
on_head(client_t *c, char *head, size_t length)
{
    head[length] = '\0';
    if (strncmp(head, "HTTP/1.1 200", 12) != 0)
        counts->failed++;

    const char *line = strcasestr(head, "\r\nContent-Length:");
    if (line == NULL)
        bench_give_up("an answer without a length: %s", head);
    c->body = strtoul(line + 17, NULL, 10);
    line = strcasestr(head, "\r\nConnection:");
    c->is_last = plan.once || (line != NULL && strncasecmp(line + 14, "close", 5) == 0);
}

/* Answers, or parts of them. */
static void
take(client_t *c, char *bytes, size_t length)
{
    static const char blank[] = "\r\n\r\n";

    while (length > 0) {
        size_t part = rv_min(length, rv_min(HEAD_ROOM - 1 - c->filled, (size_t) HEAD_ROOM));
        memcpy(c->head + c->filled, bytes, part);
        char *end = memmem(c->head, c->filled + part, blank, 4);

        if (end == NULL) {
            c->filled += part;
            if (c->filled == HEAD_ROOM - 1)
                bench_give_up("a head that does not end");
            return;
        }
        size_t used = (size_t) (end - c->head) + 4 - c->filled;
        on_head(c, c->head, (size_t) (end - c->head));
        c->filled = 0;
        bytes += used;
        length -= used;

        size_t body = rv_min(length, c->body);
        bytes += body;
        length -= body;
        c->body -= body;
        if (c->body == 0)
            on_answer(c);
    }
}

/* What is left of a body first. */
static void
receive(client_t *c)
{
    static char bytes[READ_ROOM];
    ssize_t n = recv(c->fd, bytes, sizeof(bytes), 0);

    if (n == -1 && errno == EAGAIN)
        return;
    if (n <= 0) {
        reconnect(c, !(c->is_last && c->body == 0));
        return;
    }

    size_t body = rv_min((size_t) n, c->body);
    c->body -= body;
    if (body > 0 && c->body == 0)
        on_answer(c);
    take(c, bytes + body, (size_t) n - body);
    if (c->waiting == 0 && c->kind == BUSY && !c->is_last)
        ask(c);
}

/* --- all of them ----------------------------------------------------------------------------- */

static void
add(kind_t kind, unsigned n)
{
    while (n-- > 0) {
        clients[count].kind = kind;
        connect_client(&clients[count++]);
    }
}

static void
write_requests(void)
{
    char one[512];

    one_length = (size_t) snprintf(one, sizeof(one), "GET %s HTTP/1.1\r\nHost: localhost\r\n%s\r\n",
        plan.path, plan.once ? "Connection: close\r\n" : "");
    text = malloc(PIPELINE * one_length + 1);
    if (text == NULL || plan.pipeline > PIPELINE)
        bench_fail("pipeline");
    for (unsigned i = 0; i < plan.pipeline; i++)
        memcpy(text + i * one_length, one, one_length);
    text_length = plan.pipeline * one_length;
}

/* One after the other, so that each has sent as many bytes as seconds have passed. */
static void
dribble(int64_t began)
{
    static const char head[] = "GET /slow HTTP/1.1\r\nHost: localhost\r\nX-Slow: ";
    static uint64_t done;
    uint64_t due = (uint64_t) (now_usec() - began) * plan.slow / 1000000;

    for (; done < due; done++) {
        client_t *c = &clients[plan.busy + plan.idle + done % plan.slow];
        const char *byte = c->sent < sizeof(head) - 1 ? &head[c->sent] : "x";

        if (c->is_connected && send(c->fd, byte, 1, MSG_NOSIGNAL) == 1)
            c->sent++;
    }
}

static void __attribute__((noreturn)) run(void)
{
    struct epoll_event events[EVENTS];
    int64_t began = now_usec();

    set = epoll_create1(EPOLL_CLOEXEC);
    clients = calloc(plan.busy + plan.idle + plan.slow + plan.silent, sizeof(*clients));
    if (set == -1 || clients == NULL)
        bench_fail("epoll_create1");
    write_requests();
    add(BUSY, plan.busy);
    add(IDLE, plan.idle);
    add(SLOW, plan.slow);
    add(SILENT, plan.silent);
    for (;;) {
        int n = epoll_wait(set, events, EVENTS, plan.slow > 0 ? TICK_MSEC : -1);

        for (int i = 0; i < n; i++) {
            client_t *c = events[i].data.ptr;

            if (c->is_connected)
                receive(c);
            else
                on_connected(c);
        }
        if (plan.slow > 0)
            dribble(began);
    }
}

void
load_start(load_t *l, const load_plan_t *wanted)
{
    plan = *wanted;
    plan.pipeline = rv_max(plan.pipeline, 1u);
    counts = l->counts = bench_map(sizeof(*counts));
    l->clients = plan.busy + plan.idle + plan.slow + plan.silent;
    l->pid = bench_fork();
    if (l->pid == 0) {
        (void) prctl(PR_SET_PDEATHSIG, SIGKILL); /* another it does not see while it is stopped */
        bench_pin(BENCH_LOAD_CORE);
        run();
    }
}

void
load_wait(const load_t *l)
{
    double until = bench_now() + PATIENCE;

    while (l->counts->settled < l->clients) {
        if (waitpid(l->pid, NULL, WNOHANG) != 0)
            bench_give_up("the clients have ended");
        if (bench_now() > until)
            bench_give_up("%u of %u clients are served after %d seconds", l->counts->settled,
                l->clients, PATIENCE);
        bench_pause(1);
    }
}

void
load_stop(load_t *l)
{
    bench_end(l->pid, SIGKILL);
    munmap(l->counts, sizeof(*l->counts));
    l->counts = NULL;
}
