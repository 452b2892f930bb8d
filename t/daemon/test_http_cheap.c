/*
 * test_http_cheap: what a worker asks of the allocator and of the kernel for a request.
 *
 * preload_calls and preload_memory count it. A client has its answer before the worker has done all that it
 * does for it; the worker has when it sleeps. What its timers do each second comes to that
 * and is allowed for: little beside what would be one call per request. A sanitizer's
 * allocator is its own affair: there only the system calls are looked at.
 */
#include "test_http.h"

#include "counts.h"
#include "rv_base.h"

#define SIX "GET /six HTTP/1.1\r\nHost: a\r\n\r\n"
#define POST "POST /six HTTP/1.1\r\nHost: a\r\nContent-Length: 12\r\n\r\nsmall enough"
#define METRICS "GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n"
#define TIMES_16(x) x x x x x x x x x x x x x x x x

enum {
    WRITES = 500,
    CLIENTS = 200,
    PER_CLIENT = 350 /* bytes */
};

static daemon_t d;
static counts_t *counts;
static pid_t worker;
static int client; /* who stays */
static char text[HTTP_ROOM];

#define NAME(name) #name,
static const char *const names[] = { COUNTS_ALLOCATIONS(NAME) COUNTS_CALLS(NAME) };

static const struct {
    const char *bytes; /* in one write */
    int requests;
} writes[] = {
    { HTTP_STATUS_REQUEST, 1 },
    { SIX, 1 },
    { POST, 1 },
    { TIMES_16(HTTP_STATUS_REQUEST), 16 },
    { TIMES_16(SIX), 16 },
};

static const char *const methods[] = { "epoll", "poll", "select" };

/* --- the worker --------------------------------------------------------------------- */

static void
start(const char *preload, const char *method)
{
    daemon_setup(&d);
    setenv(COUNTS_VARIABLE, daemon_path(&d, "counts"), 1);
    counts = counts_map(O_CREAT);
    ck_assert_ptr_ne(counts, NULL);
    daemon_preload(&d, preload);
    daemon_conff(&d,
        HTTP_MAIN("1") "[events]\nuse = %s\n" HTTP_LISTEN_AT
                       "keepalive_requests = 1000000\n" HTTP_STATUS HTTP_RETURN(
                           "/six", "200 sixsix") "[location /metrics]\nhandler = metrics\n",
        method, d.port);
    daemon_start(&d);
    worker = daemon_worker(&d);
    counts->pid = (int) worker;
    client = http_connect(&d);
}

static void
stop(void)
{
    close(client);
    daemon_teardown(&d);
}

static int
is_asleep(daemon_t *unused, void *data)
{
    char state[64];

    (void) unused;
    (void) data;
    return daemon_proc_status(worker, "State", state, sizeof(state))[0] == 'S';
}

/* Until it has nothing more to do for the answers that were read. */
static void
rest(void)
{
    daemon_wait(&d, is_asleep, NULL, "the worker waits for events");
}

static void
ask(int fd, const char *bytes, int requests)
{
    http_send(fd, bytes);
    for (int i = 0; i < requests; i++)
        ck_assert_int_eq(daemon_answer(fd, text, sizeof(text), 0), 200);
}

/* What this, written over and over, makes the worker do; how often its timers may have
 * come to that. */
static uint64_t
measure(size_t i, uint64_t *done)
{
    enum { TIMERS = 2 };
    uint64_t before[COUNTS_MOST];

    ask(client, writes[i].bytes, writes[i].requests);
    rest();
    int64_t began = http_now();
    for (int n = 0; n < COUNTS_MOST; n++)
        before[n] = counts->of[n];
    for (int n = 0; n < WRITES; n++)
        ask(client, writes[i].bytes, writes[i].requests);
    rest();
    for (int n = 0; n < COUNTS_MOST; n++)
        done[n] = counts->of[n] - before[n];
    return TIMERS * (uint64_t) ((http_now() - began) / 1000 + 2);
}

static void
expect_at_most(uint64_t most, const uint64_t *done, size_t i, int from, int to)
{
    const char *bytes = writes[i].bytes;

    for (int n = from; n < to; n++)
        ck_assert_msg(done[n] <= most, "%s is called %d times for %d times %d \"%.*s\"", names[n],
            (int) done[n], WRITES, writes[i].requests, (int) strcspn(bytes, "\r"), bytes);
}

/* --- calls -------------------------------------------------------------------------- */

START_TEST(requests_take_one_recv_and_one_send_per_write)
{
    uint64_t done[COUNTS_MOST];

    start("preload_calls", methods[_i]);
    for (size_t i = 0; i < rv_countof(writes); i++) {
        uint64_t timers = measure(i, done);
        uint64_t waits = done[COUNTS_epoll_wait] + done[COUNTS_poll] + done[COUNTS_select];

        ck_assert_uint_eq(done[COUNTS_recv], WRITES);
        ck_assert_uint_eq(done[COUNTS_send], WRITES);
        ck_assert_uint_gt(waits, 0);
        ck_assert_uint_le(waits, WRITES + timers);
        done[COUNTS_recv] = done[COUNTS_send] = 0;
        done[COUNTS_epoll_wait] = done[COUNTS_poll] = done[COUNTS_select] = 0;
        expect_at_most(timers, done, i, COUNTS_recv, COUNTS_MOST);
    }
    stop();
}
END_TEST

/* --- memory ------------------------------------------------------------------------- */

START_TEST(requests_on_a_kept_connection_allocate_nothing)
{
    uint64_t done[COUNTS_MOST];

    start("preload_memory", "epoll");
    for (size_t i = 0; i < rv_countof(writes); i++) {
        measure(i, done);
        expect_at_most(0, done, i, 0, COUNTS_recv);
    }
    ck_assert_uint_gt(counts->of[COUNTS_malloc], 0); /* for the client */
    stop();
}
END_TEST

/* All of them have sent the beginning of something, then the rest. */
START_TEST(idle_clients_keep_no_memory_of_what_they_have_asked)
{
    static const char *const asked[] = { TIMES_16(HTTP_STATUS_REQUEST), TIMES_16(METRICS) };
    int fds[CLIENTS];
    daemon_status_t s;

    start("preload_memory", "epoll");
    http_status(client, &s);
    rest();
    int64_t before = counts->live;
    for (int i = 0; i < CLIENTS; i++) {
        fds[i] = http_connect(&d);
        daemon_send(fds[i], asked[_i], 10);
    }
    http_wait_counts(client, CLIENTS, 1, 0, &s);
    ck_assert_int_gt((counts->live - before) / CLIENTS, 1024); /* it would be seen */

    for (int i = 0; i < CLIENTS; i++)
        ask(fds[i], asked[_i] + 10, 16);
    http_wait_counts(client, 0, 1, CLIENTS, &s);
    rest();
    int64_t each = (counts->live - before) / CLIENTS;
    ck_assert_int_gt(each, 0);
    ck_assert_int_lt(each, PER_CLIENT);
    for (int i = 0; i < CLIENTS; i++)
        close(fds[i]);
    stop();
}
END_TEST

/* Whether what allocates in the daemon is libc. */
static int
can_count_memory(void)
{
    if (strstr(RV_COMPILER_FLAGS, "-fsanitize=") == NULL)
        return 1;
    printf("not tried: memory, which is a sanitizer's\n");
    return 0;
}

int
main(void)
{
    Suite *s = suite_create("http cheap");
    TCase *tc = daemon_case(s, "cheap");

    tcase_add_loop_test(
        tc, requests_take_one_recv_and_one_send_per_write, 0, (int) rv_countof(methods));
    if (can_count_memory()) {
        tcase_add_test(tc, requests_on_a_kept_connection_allocate_nothing);
        tcase_add_loop_test(tc, idle_clients_keep_no_memory_of_what_they_have_asked, 0, 2);
    }
    return daemon_main(s);
}
