/*
 * test_events_crowd: many who listen, while workers are killed and replaced.
 *
 * RV_EVENTS=1000x10000 in the environment makes it so many listeners and messages.
 */
#include "load.h"
#include "look.h"
#include "sse.h"

#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

enum { WORKERS = 4, PUBLISHERS = 4 };

static daemon_t d;

static void
start(void)
{
    daemon_conff(&d,
        "[main]\nworker_processes = %d\nerror_log = logs/error.log info\n"
        "[events]\nworker_connections = 4096\n[zone stats]\ntype = %s\n"
        "[zone events]\nsize = 16m\n"
        "[http]\nlisten = 127.0.0.1:%d reuseport\nkeepalive_requests = 1000000\n"
        "[location /events]\nhandler = events\n[location /publish]\nhandler = publish\n",
        WORKERS, look_type(), d.port);
    daemon_start(&d);
}

/* What publishers have been told: written by each for its own. */
typedef struct {
    int count;             /* messages */
    _Atomic int published; /* and answered with an id */
    _Atomic int retries;   /* without an answer: such a message may be there twice */
    _Atomic int wrong;
    _Atomic uint64_t id[];
} told_t;

/* Message n, until there is an answer. */
static int
publish_one(int *fd, int n, told_t *told)
{
    char request[256], answer[1024];
    int length = snprintf(answer, sizeof(answer), "message %d", n);

    length = snprintf(request, sizeof(request),
        "POST /publish?topic=crowd HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n%s", length,
        answer);
    for (;;) {
        if (*fd == -1)
            *fd = sse_connect(d.port);
        if (*fd != -1 && send(*fd, request, (size_t) length, MSG_NOSIGNAL) == length) {
            ssize_t got = recv(*fd, answer, sizeof(answer) - 1, 0);

            answer[got > 0 ? got : 0] = '\0';
            const char *body = strstr(answer, "\r\n\r\n");
            if (body != NULL && strncmp(answer, "HTTP/1.1 200", 12) == 0) {
                told->id[n] = strtoull(body + 4, NULL, 10);
                told->published++;
                return strstr(answer, "Connection: close") != NULL;
            }
            told->wrong += got > 0;
            told->retries++;
        }
        close(*fd);
        *fd = -1;
    }
}

static pid_t
start_publisher(int which, told_t *told)
{
    pid_t pid = fork();
    int fd = -1;

    ck_assert_int_ne(pid, -1);
    if (pid > 0)
        return pid;
    for (int n = which; n < told->count; n += PUBLISHERS) {
        if (publish_one(&fd, n, told)) {
            close(fd);
            fd = -1;
        }
    }
    _exit(0);
}

typedef struct {
    const told_t *told;
    int count;
} wanted_t;

static int
has_published(daemon_t *unused, void *data)
{
    const wanted_t *wanted = data;

    (void) unused;
    return wanted->told->published >= wanted->count;
}

static void
wait_published(const told_t *told, int count)
{
    wanted_t wanted = { told, count };

    daemon_wait(&d, has_published, &wanted, "so many messages are published");
}

/* Kills a worker, or reloads: what happens to a crowd. */
static void
disturb(int which)
{
    pid_t pids[2 * WORKERS];

    if (which % 2 == 0) {
        int n = daemon_children(d.master, pids, 2 * WORKERS);

        ck_assert_int_gt(n, 0);
        ck_assert_int_eq(kill(pids[which % n], SIGKILL), 0);
    } else {
        daemon_reload(&d);
    }
}

/* What there was to get, from one who comes when all is over. Each message that was answered is
 * there, as it was. */
static void
read_all(uint64_t begin, uint64_t end, const told_t *told, sse_client_t *all)
{
    static sse_reader_t reader;
    char line[64];
    int n;

    snprintf(line, sizeof(line), "Last-Event-ID: %" PRIu64 "\r\n", begin);
    sse_open(&d, &reader, "/events?topic=crowd", line);
    memset(all, 0, sizeof(*all));
    while (all->last < end) {
        ck_assert(sse_event(&reader));
        ck_assert_str_eq(reader.name, "");
        ck_assert_uint_gt(reader.id, all->last);
        all->last = reader.id;
        all->count++;
        all->sum = sse_sum(all->sum, reader.id, reader.data);
        if (sscanf(reader.data, "message %d", &n) != 1)
            continue;
        ck_assert_int_lt(n, told->count);
        all->begin += told->id[n] == reader.id;
    }
    ck_assert_int_eq((int) all->begin, told->count);
    sse_close(&reader);
}

static void
expect_crowd(const sse_t *crowd, const sse_client_t *all)
{
    uint64_t opened = 0, ends = 0;

    for (int i = 0; i < crowd->count; i++) {
        const sse_client_t *c = &crowd->client[i];

        ck_assert_uint_eq(c->wrong, 0);
        ck_assert_uint_eq(c->losts, 0);
        ck_assert_uint_eq(c->last, all->last);
        ck_assert_uint_eq(c->count, all->count);
        ck_assert_uint_eq(c->sum, all->sum);
        opened += c->opened;
        ends += c->ends;
    }
    ck_assert_uint_gt(ends, 0); /* by the reload; who was killed had none */
    ck_assert_uint_gt(opened, (unsigned) crowd->count + ends);
    if (getenv("RV_EVENTS") != NULL)
        printf("%d listeners, %" PRIu64 " connections\n", crowd->count, opened);
}

/* Each gets each message once, in the order of their ids, whoever is killed or finishes
 * meanwhile. */
START_TEST(a_crowd_gets_each_message_once_and_in_order)
{
    const char *wanted = getenv("RV_EVENTS");
    int listeners = 100, messages = 500, steps = 4;
    pid_t pids[PUBLISHERS];
    sse_client_t all;

    if (wanted != NULL)
        ck_assert_int_eq(sscanf(wanted, "%dx%d", &listeners, &messages), 2);
    daemon_setup(&d);
    start();
    sse_t *crowd = sse_start(&d, "/events?topic=crowd", listeners);
    size_t size = sizeof(told_t) + (size_t) messages * sizeof(uint64_t);
    told_t *told = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    ck_assert_ptr_ne(told, MAP_FAILED);
    told->count = messages;

    double began = load_now();
    for (int i = 0; i < PUBLISHERS; i++)
        pids[i] = start_publisher(i, told);
    for (int i = 1; i < steps; i++) {
        wait_published(told, messages * i / steps);
        disturb(i - 1);
    }
    for (int i = 0; i < PUBLISHERS; i++)
        ck_assert_int_eq(daemon_wait_process(&d, pids[i]), 0);
    uint64_t last = (uint64_t) sse_publish(&d, "crowd", "the last", 8);
    sse_wait(&d, crowd, last);
    double took = load_now() - began;
    sse_stop(&d, crowd);

    ck_assert_int_eq(told->wrong, 0);
    read_all(crowd->client[0].begin, last, told, &all);
    ck_assert_uint_le(all.count, (unsigned) (messages + 1 + told->retries));
    expect_crowd(crowd, &all);
    if (wanted != NULL)
        printf("%" PRIu64 " messages, %d without an answer, %.1f s, %.0f deliveries/s\n", all.count,
            told->retries, took, (double) all.count * listeners / took);
    daemon_teardown(&d);
}
END_TEST

int
main(void)
{
    Suite *s = suite_create("events crowd");
    TCase *tc = daemon_case(s, "crowd");

    tcase_add_test(tc, a_crowd_gets_each_message_once_and_in_order);
    return daemon_main(s);
}
