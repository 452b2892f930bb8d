/*
 * test_http_room: more clients than there is room for.
 *
 * A client that there is no room for waits in the kernel's queue, connected
 * but not accepted, and is served when another leaves. Nobody is turned away.
 */
#include "test_http.h"

#include "rv_base.h"

#define METRICS "[location /metrics]\nhandler = metrics\n"
#define HELLO \
    "keepalive_requests = 1000000\n" HTTP_STATUS METRICS HTTP_RETURN("/hello", "200 hello")
#define GET "GET /hello HTTP/1.1\r\nHost: a\r\n\r\n"

enum {
    MOST = 100,
    CALM_MSEC = 10 * 1000 /* without a pause, and the next is told */
};

static daemon_t d;
static char text[HTTP_ROOM];
static int fds[MOST];

/* Of these clients, how many have been answered or turned away. */
static int
count_readable(int from, int to)
{
    int count = 0;

    for (int i = from; i < to; i++)
        count += fds[i] != -1 && http_readable(fds[i], 0);
    return count;
}

typedef struct {
    int from, to, count;
} readable_t;

static int
so_many_are_readable(daemon_t *daemon, void *data)
{
    const readable_t *wanted = data;

    (void) daemon;
    return count_readable(wanted->from, wanted->to) >= wanted->count;
}

static void
expect_answer(int fd)
{
    ck_assert_int_eq(daemon_answer(fd, text, sizeof(text), 0), 200);
}

/* The first `count` of these clients are answered, the others wait: the queue is
 * first come, first served. */
static void
expect_served(int from, int to, int count)
{
    readable_t wanted = { from, to, count };

    daemon_wait(&d, so_many_are_readable, &wanted, "clients that waited are answered");
    for (int i = from; i < from + count; i++)
        expect_answer(fds[i]);
    ck_assert_int_eq(count_readable(from, to), 0);
}

/* The status stays as it is for a while: nobody else is accepted. */
static void
expect_accepted(int control, uint64_t accepts, uint64_t active)
{
    daemon_status_t s;

    for (int i = 0; i < 50; i++) {
        http_status(control, &s);
        ck_assert_uint_eq(s.accepts, accepts);
        ck_assert_uint_eq(s.handled, accepts);
        ck_assert_uint_eq(s.active, active);
    }
}

/* How often accepting has paused for this reason. */
static int
count_pauses(int control, const char *reason)
{
    char line[128];

    http_send(control, "GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n");
    expect_answer(control);
    snprintf(line, sizeof(line), "\nreeve_connections_pauses_total{reason=\"%s\"} ", reason);
    const char *found = strstr(text, line);
    ck_assert_msg(found != NULL, "not in the metrics: %s", line);
    return atoi(found + strlen(line));
}

static void
come(int from, int to)
{
    for (int i = from; i < to; i++)
        fds[i] = http_open(&d, GET);
}

static void
leave(int from, int to)
{
    for (int i = from; i < to; i++) {
        close(fds[i]);
        fds[i] = -1;
    }
}

static const char few_conf[] =
    HTTP_MAIN("1") "[events]\nworker_connections = 8\n" HTTP_LISTEN HELLO;

START_TEST(clients_over_worker_connections_wait_and_are_served)
{
    daemon_status_t s;

    http_start(&d, few_conf);
    int64_t began = http_now();
    int control = http_connect(&d);
    http_status(control, &s);
    uint64_t before = s.accepts;

    come(0, 7); /* with the control connection: 8 */
    expect_served(0, 7, 7);
    come(7, 12);
    expect_accepted(control, before + 7, 8);
    ck_assert_int_eq(count_readable(0, 12), 0);
    daemon_wait_log(&d, "[warn]", 1);

    leave(0, 3);
    expect_served(7, 12, 3);
    expect_accepted(control, before + 10, 8);

    /* who was served late is a client like any other */
    for (int i = 7; i < 10; i++) {
        http_send(fds[i], GET);
        expect_answer(fds[i]);
    }
    leave(3, 10);
    expect_served(10, 12, 2);
    expect_accepted(control, before + 12, 3);
    leave(10, 12);

    come(12, 19); /* once more: it is said once only, unless there is a long time between */
    expect_served(12, 19, 7);
    ck_assert_int_le(daemon_log_count(&d, "[warn]"), 1 + (http_now() - began) / CALM_MSEC);
    ck_assert_int_ge(daemon_log_count(&d, "8 worker_connections are in use"), 1);
    /* full twice, and again whenever one who waited took the place of one who left,
     * unless several did at once */
    ck_assert_int_ge(count_pauses(control, "limit"), 3);
    ck_assert_int_le(count_pauses(control, "limit"), 2 + 5);
    ck_assert_int_eq(count_pauses(control, "descriptors"), 0);
    leave(12, 19);
    close(control);
    daemon_teardown(&d);
}
END_TEST

/* Every one of them comes, is answered once and goes. */
static void
expect_all_answered(int count)
{
    readable_t one = { 0, count, 1 };

    for (int left = count; left > 0;) {
        daemon_wait(&d, so_many_are_readable, &one, "a client is answered");
        for (int i = 0; i < count; i++) {
            if (fds[i] == -1 || !http_readable(fds[i], 0))
                continue;
            expect_answer(fds[i]);
            leave(i, i + 1);
            left--;
        }
    }
}

START_TEST(crowd_is_served_by_a_few_connections)
{
    daemon_status_t s;

    http_start(&d, few_conf);
    come(0, MOST);
    expect_all_answered(MOST);
    int control = http_connect(&d);
    http_wait_counts(control, 0, 1, 0, &s);
    ck_assert_uint_eq(s.handled, s.accepts);
    ck_assert_uint_eq(s.accepts, MOST + 1);
    close(control);
    daemon_teardown(&d);
}
END_TEST

START_TEST(clients_wait_where_descriptors_run_out)
{
    daemon_status_t s;

    http_start(&d,
        "[main]\nworker_processes = 1\nworker_rlimit_nofile = 40\n"
        "error_log = logs/error.log info\npid = logs/reeve.pid\n" HTTP_LISTEN HELLO);
    int64_t began = http_now();
    int control = http_connect(&d);
    http_status(control, &s);
    come(0, MOST);
    daemon_wait_log(&d, "[warn]", 1);
    ck_assert_int_ge(daemon_log_count(&d, "descriptors run short, accepting pauses"), 1);
    ck_assert_int_eq(count_pauses(control, "descriptors"), 1);
    http_status(control, &s); /* still at work */
    ck_assert_uint_eq(s.handled, s.accepts);
    ck_assert_uint_lt(s.accepts, 40);

    expect_all_answered(MOST);
    http_wait_counts(control, 0, 1, 0, &s);
    ck_assert_uint_eq(s.handled, s.accepts);
    ck_assert_uint_eq(s.accepts, MOST + 1);
    /* not a line for each client that leaves */
    ck_assert_int_le(daemon_log_count(&d, "[warn]"), 1 + (http_now() - began) / CALM_MSEC);
    ck_assert_int_eq(daemon_log_count(&d, "[crit]"), 0);
    ck_assert_int_eq(count_pauses(control, "limit"), 0);
    close(control);
    daemon_teardown(&d);
}
END_TEST

int
main(void)
{
    Suite *s = suite_create("http room");
    TCase *tc = daemon_case(s, "room");

    tcase_add_test(tc, clients_over_worker_connections_wait_and_are_served);
    tcase_add_test(tc, crowd_is_served_by_a_few_connections);
    tcase_add_test(tc, clients_wait_where_descriptors_run_out);
    return daemon_main(s);
}
