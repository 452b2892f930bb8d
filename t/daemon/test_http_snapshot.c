/*
 * test_http_snapshot: the status page while clients come and go.
 *
 * Whatever the four workers are at, each page must add up. Active is a sum, so
 * that it is one proves nothing; but how many connections have ended, which is
 * accepts less active, can only grow, and where none comes or goes Active
 * cannot move. A page that catches a half-done change breaks one or the other.
 */
#include "test_http.h"

#include "rv_base.h"

#include <stdatomic.h>
#include <sys/mman.h>
#include <sys/wait.h>

enum { CLIENTS = 6, CONTROLS = 4, SNAPSHOTS = 4000, KEPT = 40 };

static const char conf[] = HTTP_MAIN("4") HTTP_LISTEN
    "keepalive_requests = 1000000\n" HTTP_STATUS HTTP_RETURN("/hello", "200 hello");

#define GET "GET /hello HTTP/1.1\r\nHost: a\r\n\r\n"
#define GET5 GET GET GET GET GET

/* Of the client processes, in shared memory. */
typedef struct {
    atomic_int ready, stop;
    struct {
        atomic_uint opened, requests, perhaps; /* perhaps: the server may not have seen it */
    } client[CLIENTS];
} shared_t;

static daemon_t d;
static shared_t *shared;
static pid_t pids[CLIENTS];
static int controls[CONTROLS];

/* --- clients ---------------------------------------------------------------------------- */

/* A client process may not fail a test: it ends with a status. */
static int
dial(unsigned self)
{
    int fd = daemon_connect(&d);

    if (fd == -1)
        _exit(2);
    shared->client[self].opened++;
    return fd;
}

static void
ask(int fd, const char *request, int answers)
{
    char text[1024];

    http_send(fd, request);
    while (answers-- > 0) {
        if (daemon_answer(fd, text, sizeof(text), 0) != 200)
            _exit(3);
    }
}

static void
stay_silent(int fd, unsigned self)
{
    (void) self;
    close(fd);
}

static void
stop_in_the_head(int fd, unsigned self)
{
    ask(fd, "GET /hel", 0);
    close(fd);
    shared->client[self].requests++;
}

static void
pipeline(int fd, unsigned self)
{
    ask(fd, GET5, 5);
    close(fd);
    shared->client[self].requests += 5;
}

static void
reset_in_the_body(int fd, unsigned self)
{
    ask(fd, "POST /hello HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\n1234", 0);
    http_reset(fd);
    shared->client[self].perhaps++;
}

static void
ask_and_stop_in_the_next(int fd, unsigned self)
{
    ask(fd, GET, 1);
    ask(fd, GET "GET", 1);
    close(fd);
    shared->client[self].requests += 3;
}

static void
be_refused(int fd, unsigned self)
{
    char text[1024];

    http_send(fd, "nonsense\r\n\r\n");
    if (daemon_answer(fd, text, sizeof(text), 0) != 400)
        _exit(4);
    close(fd);
    shared->client[self].requests++;
}

static void
come_and_go(unsigned self)
{
    static void (*const manners[])(int, unsigned) = { stay_silent, stop_in_the_head, pipeline,
        reset_in_the_body, ask_and_stop_in_the_next, be_refused };
    unsigned turn = self;

    shared->ready++;
    while (!shared->stop) {
        int fd = dial(self);

        manners[turn++ % rv_countof(manners)](fd, self);
    }
}

static void
stay_and_ask(unsigned self)
{
    int fds[KEPT];

    for (size_t i = 0; i < KEPT; i++) {
        fds[i] = dial(self);
        ask(fds[i], GET, 1);
    }
    shared->ready++;
    for (size_t i = 0; !shared->stop; i++) {
        ask(fds[i % KEPT], "GET /hello HT", 0);
        ask(fds[i % KEPT], "TP/1.1\r\nHost: a\r\n\r\n" GET, 2);
    }
    while (shared->stop < 2) /* not a connection may end before the last page */
        poll(NULL, 0, 5);
}

static int
are_ready(daemon_t *daemon, void *data)
{
    (void) daemon;
    (void) data;
    return shared->ready == CLIENTS;
}

static void
begin(void (*live)(unsigned self), daemon_status_t *first)
{
    http_start(&d, conf);
    for (size_t i = 0; i < CONTROLS; i++)
        controls[i] = http_connect(&d);
    http_wait_counts(controls[0], 0, 1, CONTROLS - 1, first);

    shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    ck_assert_ptr_ne(shared, MAP_FAILED);
    for (unsigned i = 0; i < CLIENTS; i++) {
        pids[i] = fork();
        if (pids[i] == 0) {
            for (size_t k = 0; k < CONTROLS; k++)
                close(controls[k]);
            live(i);
            _exit(0);
        }
    }
    daemon_wait(&d, are_ready, NULL, "the clients are at work");
}

static void
end(void)
{
    shared->stop = 2;
    for (size_t i = 0; i < CLIENTS; i++)
        ck_assert_int_eq(daemon_wait_process(&d, pids[i]), 0);
}

/* --- what the pages must say ---------------------------------------------------------------- */

static void
expect_to_add_up(const daemon_status_t *s, const daemon_status_t *last)
{
    ck_assert_uint_eq(s->active, s->reading + s->writing + s->waiting);
    ck_assert_uint_ge(s->accepts, s->handled);
    ck_assert_uint_ge(s->handled, s->active);
    ck_assert_uint_ge(s->active, CONTROLS);
    ck_assert_uint_ge(s->writing, 1);
    ck_assert_uint_lt(s->active, UINT32_MAX); /* none below zero */
    ck_assert_uint_lt(s->reading, UINT32_MAX);
    ck_assert_uint_lt(s->waiting, UINT32_MAX);

    ck_assert_uint_ge(s->accepts, last->accepts);
    ck_assert_uint_ge(s->handled, last->handled);
    ck_assert_uint_gt(s->requests, last->requests);
    ck_assert_msg(s->accepts - s->active >= last->accepts - last->active,
        "fewer connections have ended than before: %" PRIu64 " of %" PRIu64 ", %" PRIu64
        " of %" PRIu64,
        last->accepts - last->active, last->accepts, s->accepts - s->active, s->accepts);
}

START_TEST(every_page_adds_up_while_clients_come_and_go)
{
    daemon_status_t first, last, s;
    uint64_t opened = 0, requests = 0, perhaps = 0;
    unsigned n = 0;

    begin(come_and_go, &first);
    last = first;
    for (; n < SNAPSHOTS; n++, last = s) {
        http_status(controls[n % CONTROLS], &s);
        expect_to_add_up(&s, &last);
    }
    end();

    for (size_t i = 0; i < CLIENTS; i++) {
        opened += shared->client[i].opened;
        requests += shared->client[i].requests;
        perhaps += shared->client[i].perhaps;
    }
    ck_assert_uint_gt(opened, SNAPSHOTS / 10); /* there was some coming and going */
    n += http_wait_counts(controls[0], 0, 1, CONTROLS - 1, &s);
    ck_assert_uint_eq(s.active, CONTROLS);
    ck_assert_uint_eq(s.accepts, first.accepts + opened);
    ck_assert_uint_eq(s.handled, s.accepts);
    ck_assert_uint_ge(s.requests, first.requests + n + requests);
    ck_assert_uint_le(s.requests, first.requests + n + requests + perhaps);

    for (size_t i = 0; i < CONTROLS; i++)
        close(controls[i]);
    daemon_teardown(&d);
}
END_TEST

START_TEST(active_does_not_move_while_nobody_comes_or_goes)
{
    daemon_status_t first, s;

    begin(stay_and_ask, &first);
    for (unsigned n = 0; n < SNAPSHOTS; n++) {
        http_status(controls[n % CONTROLS], &s);
        ck_assert_uint_eq(s.active, CONTROLS + CLIENTS * KEPT);
        ck_assert_uint_eq(s.accepts, first.accepts + CLIENTS * KEPT);
        ck_assert_uint_eq(s.handled, s.accepts);
    }
    shared->stop = 1;
    end();
    for (size_t i = 0; i < CONTROLS; i++)
        close(controls[i]);
    daemon_teardown(&d);
}
END_TEST

int
main(void)
{
    Suite *s = suite_create("http snapshot");
    TCase *tc = daemon_case(s, "snapshot");

    tcase_add_test(tc, every_page_adds_up_while_clients_come_and_go);
    tcase_add_test(tc, active_does_not_move_while_nobody_comes_or_goes);
    return daemon_main(s);
}
