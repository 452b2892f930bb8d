/*
 * test_http_limits: how much, and how long.
 */
#include "test_http.h"

#include "rv_base.h"

#define HELLO HTTP_STATUS HTTP_RETURN("/hello", "200 hello")
#define GET "GET /hello HTTP/1.1\r\nHost: a\r\n\r\n"

static daemon_t d;
static char text[2 * 1024 * 1024];

/* --- sizes ------------------------------------------------------------------------------ */

static const struct {
    const char *size;
    size_t bytes;
} heads[] = { { "256", 256 }, { "1000", 1000 }, { "8k", 8192 }, { "64k", 65536 } };

/* A head of so many bytes: `first`, as many letters as it takes, `last`. */
static int
try_head(const char *first, const char *last, size_t length)
{
    size_t letters = length - strlen(first) - strlen(last);
    char *head = malloc(length + 1);

    ck_assert_ptr_nonnull(head);
    strcpy(head, first);
    memset(head + strlen(first), 'a', letters);
    strcpy(head + strlen(first) + letters, last);

    int fd = http_open(&d, head);
    int code = daemon_answer(fd, text, sizeof(text), 0);
    close(fd);
    free(head);
    return code;
}

START_TEST(head_of_the_greatest_size_is_taken_and_one_more_byte_is_not)
{
    static const char field[] = "GET / HTTP/1.1\r\nHost: a\r\nX: ";
    static const char request_line[] = "GET /?";
    static const char rest[] = " HTTP/1.1\r\nHost: a\r\n\r\n";
    size_t size = heads[_i].bytes;

    daemon_setup(&d);
    daemon_conff(&d,
        HTTP_MAIN("1") HTTP_LISTEN_AT "client_max_header_size = %s\n" HTTP_RETURN("/", "200 x"),
        d.port, heads[_i].size);
    daemon_start(&d);
    ck_assert_int_eq(try_head(field, "\r\n\r\n", size), 200);
    ck_assert_int_eq(try_head(field, "\r\n\r\n", size + 1), 431);
    ck_assert_int_eq(try_head(request_line, rest, size), 200);
    ck_assert_int_eq(try_head(request_line, rest, size + 1), 431); /* the line fits */
    ck_assert_int_eq(try_head(request_line, rest, size + strlen(rest)), 414);
    daemon_teardown(&d);
}
END_TEST

/* Posts so many bytes, in chunks of this size where it is not zero. */
static int
try_body(size_t length, size_t chunk)
{
    static char bytes[8192];
    char line[128];
    int fd = http_open(&d, "POST /hello HTTP/1.1\r\nHost: a\r\n");

    memset(bytes, 'b', sizeof(bytes));
    if (chunk == 0)
        snprintf(line, sizeof(line), "Content-Length: %zu\r\n\r\n", length);
    else
        snprintf(line, sizeof(line), "Transfer-Encoding: chunked\r\n\r\n");
    http_send(fd, line);
    for (size_t piece; length > 0; length -= piece) {
        piece = rv_min(length, chunk == 0 ? sizeof(bytes) : chunk);
        snprintf(line, sizeof(line), "%zx\r\n", piece);
        if (chunk != 0)
            http_send(fd, line);
        daemon_send(fd, bytes, piece);
        if (chunk != 0)
            http_send(fd, "\r\n");
    }
    if (chunk != 0)
        http_send(fd, "0\r\n\r\n");
    int code = daemon_answer(fd, text, sizeof(text), 0);
    close(fd);
    return code;
}

START_TEST(body_of_the_greatest_size_is_taken_and_one_more_byte_is_not)
{
    static const size_t chunks[] = { 0, 100, 8192 };

    daemon_setup(&d);
    daemon_conff(&d, HTTP_MAIN("1") HTTP_LISTEN_AT "client_max_body_size = 100k\n" HELLO, d.port);
    daemon_start(&d);
    for (size_t i = 0; i < rv_countof(chunks); i++) {
        ck_assert_int_eq(try_body(100 * 1024, chunks[i]), 200);
        ck_assert_int_eq(try_body(100 * 1024 + 1, chunks[i]), 413);
        ck_assert_int_eq(try_body(1000 * 1024, chunks[i]), 413);
    }
    daemon_teardown(&d);
}
END_TEST

START_TEST(body_size_of_zero_is_no_limit)
{
    http_start(&d, HTTP_MAIN("1") HTTP_LISTEN "client_max_body_size = 0\n" HELLO);
    ck_assert_int_eq(try_body(4 * 1024 * 1024, 0), 200);
    ck_assert_int_eq(try_body(4 * 1024 * 1024, 8192), 200);
    daemon_teardown(&d);
}
END_TEST

START_TEST(one_megabyte_is_the_limit_of_a_body_that_nobody_set)
{
    http_start(&d, DAEMON_CONF);
    ck_assert_int_eq(try_body(1024 * 1024, 0), 200);
    ck_assert_int_eq(try_body(1024 * 1024 + 1, 0), 413);
    daemon_teardown(&d);
}
END_TEST

/* --- how many requests ----------------------------------------------------------------------- */

START_TEST(last_request_that_a_connection_may_make_is_told_so)
{
    char connection[32];

    http_start(&d, HTTP_MAIN("1") HTTP_LISTEN "keepalive_requests = 3\n" HELLO);
    int fd = http_connect(&d);
    for (int i = 1; i <= 3; i++) {
        http_send(fd, GET);
        ck_assert_int_eq(daemon_answer(fd, text, sizeof(text), 0), 200);
        ck_assert_ptr_nonnull(http_field(text, "Connection", connection, sizeof(connection)));
        ck_assert_str_eq(connection, i < 3 ? "keep-alive" : "close");
    }
    ck_assert_int_eq(daemon_read_end(fd, text, sizeof(text)), 0);
    close(fd);

    /* what was pipelined behind it does not take its answer away */
    fd = http_open(&d, GET GET GET GET);
    for (int i = 0; i < 512; i++)
        http_send(fd, GET GET GET GET);
    const char *at = text;
    http_answer_t a;
    int answers = 0;
    ck_assert_int_gt(daemon_read_end(fd, text, sizeof(text)), 0);
    while (http_next(&at, &a, 0))
        answers++;
    ck_assert_int_eq(answers, 3);
    close(fd);
    daemon_teardown(&d);
}
END_TEST

/* --- how long ---------------------------------------------------------------------------------- */

/* The connection ends with this answer (0: none), not before so much time has
 * passed, but for what rounding takes off. */
static void
expect_end(int fd, int code, int64_t began, int64_t msec)
{
    const char *at = text;
    http_answer_t a;

    ck_assert_int_ge(daemon_read_end(fd, text, sizeof(text)), 0);
    ck_assert_int_ge(http_now() - began, msec - 20);
    close(fd);
    if (code != 0) {
        ck_assert(http_next(&at, &a, 0));
        ck_assert_int_eq(a.code, code);
    }
    ck_assert_str_eq(at, "");
}

START_TEST(request_that_does_not_go_on_is_timed_out)
{
    static const char *const bodies[] = { "Content-Length: 2\r\n\r\n", "Content-Length: 2\r\n\r\na",
        "Transfer-Encoding: chunked\r\n\r\n", "Transfer-Encoding: chunked\r\n\r\n2\r\nab",
        "Transfer-Encoding: chunked\r\n\r\n0\r\nX: y\r\n" };
    int heads_open[sizeof(GET)], bodies_open[rv_countof(bodies)];

    http_start(&d, HTTP_MAIN("1") HTTP_LISTEN "client_header_timeout = 400ms\n" HELLO);
    int64_t began = http_now();
    int silent = http_connect(&d);
    for (size_t i = 1; i < sizeof(GET) - 1; i++) {
        heads_open[i] = http_connect(&d);
        daemon_send(heads_open[i], GET, i);
    }
    for (size_t i = 0; i < rv_countof(bodies); i++) {
        bodies_open[i] = http_open(&d, "POST /hello HTTP/1.1\r\nHost: a\r\n");
        http_send(bodies_open[i], bodies[i]);
    }

    for (size_t i = 1; i < sizeof(GET) - 1; i++)
        expect_end(heads_open[i], 408, began, 400);
    for (size_t i = 0; i < rv_countof(bodies); i++)
        expect_end(bodies_open[i], 408, began, 400);
    expect_end(silent, 0, began, 400); /* who never asked gets no answer */
    daemon_teardown(&d);
}
END_TEST

/* A byte every tenth of a second would take six seconds. */
START_TEST(dripping_head_is_cut_at_the_deadline)
{
    static const char head[] =
        "GET /hello HTTP/1.1\r\nHost: a\r\nConnection: close\r\nX: yyyyyyy\r\n\r\n";
    size_t sent = 0;

    http_start(&d, HTTP_MAIN("1") HTTP_LISTEN "client_header_timeout = 1s\n" HELLO);
    int fd = http_connect(&d);
    int64_t began = http_now();
    while (sent < sizeof(head) - 1 && !http_readable(fd, 100))
        daemon_send(fd, head + sent++, 1);
    expect_end(fd, 408, began, 1000);
    ck_assert_uint_gt(sent, 1);

    /* the next request of a connection has its own time */
    fd = http_connect(&d);
    for (int i = 0; i < 6; i++) {
        for (sent = 0; sent < 2; sent++) {
            daemon_send(fd, &GET[sent], 1);
            ck_assert(!http_readable(fd, 100));
        }
        http_send(fd, &GET[2]);
        ck_assert_int_eq(daemon_answer(fd, text, sizeof(text), 0), 200);
    }
    close(fd);
    daemon_teardown(&d);
}
END_TEST

START_TEST(idle_connection_is_closed_after_keepalive_timeout)
{
    http_start(&d,
        HTTP_MAIN("1") HTTP_LISTEN "keepalive_timeout = 400ms\nclient_header_timeout = 1d\n" HELLO);
    int64_t began = http_now();
    int fd = http_open(&d, GET);
    ck_assert_int_eq(daemon_answer(fd, text, sizeof(text), 0), 200);
    expect_end(fd, 0, began, 400);
    daemon_teardown(&d);
}
END_TEST

START_TEST(keepalive_timeout_of_zero_keeps_no_connection)
{
    char connection[32];

    http_start(&d, HTTP_MAIN("1") HTTP_LISTEN "keepalive_timeout = 0\n" HELLO);
    http_exchange(&d, HTTP_BYTES(GET), text, sizeof(text));
    ck_assert_ptr_nonnull(http_field(text, "Connection", connection, sizeof(connection)));
    ck_assert_str_eq(connection, "close");
    daemon_teardown(&d);
}
END_TEST

/* 1: the answers of the only client beside this one do not move any more; 0:
 * they do, and the server waits for the rest of a head. */
static int
wait_stuck(int control)
{
    const struct timespec pause = { 0, 5 * 1000 * 1000 };
    daemon_status_t s;

    for (int still = 0; still < 60;) { /* longer than an acknowledgement is held back */
        http_status(control, &s);
        if (s.reading == 1)
            return 0;
        still = s.writing == 2 ? still + 1 : 0;
        nanosleep(&pause, NULL);
    }
    return 1;
}

/*
 * Sends pipelined requests, each time up to the middle of one, until the answers
 * are stuck because nobody reads them: the rest of the request that was begun.
 */
static const char *
stick(int fd, int control, unsigned *requests)
{
    enum { BATCH = 50, PIECE = 10 }; /* so few that their answers are made at one go */
    static char batch[BATCH * (sizeof(GET) - 1)];

    for (size_t i = 0; i < BATCH; i++)
        memcpy(batch + i * (sizeof(GET) - 1), GET, sizeof(GET) - 1);

    daemon_send(fd, batch, PIECE);
    *requests = 0;
    do {
        daemon_send(fd, batch + PIECE, sizeof(batch) - (sizeof(GET) - 1));
        *requests += BATCH - 1;
    } while (!wait_stuck(control));
    return &GET[PIECE];
}

START_TEST(client_that_reads_late_has_all_his_time_for_the_next_head)
{
    unsigned requests;

    http_start(&d,
        HTTP_MAIN("1") HTTP_LISTEN
        "client_header_timeout = 1s\nkeepalive_requests = 1000000\n" HELLO);
    int control = http_connect(&d);
    int fd = http_connect(&d);
    http_send(fd, GET);
    ck_assert_int_eq(daemon_answer(fd, text, sizeof(text), 0), 200);
    size_t length = strlen(text);
    const char *rest = stick(fd, control, &requests);

    int64_t began = http_now();
    expect_end(http_open(&d, "G"), 408, began, 1000);  /* a clock: somebody else's time is over */
    for (size_t left = requests * length; left > 0;) { /* at one go */
        ssize_t n = recv(fd, text, rv_min(left, sizeof(text)), 0);

        ck_assert_int_gt(n, 0);
        left -= (size_t) n;
    }
    ck_assert(!http_readable(fd, 100)); /* no 408: the time has begun anew */
    http_send(fd, rest);
    ck_assert_int_eq(daemon_answer(fd, text, sizeof(text), 0), 200);
    close(fd);
    close(control);
    daemon_teardown(&d);
}
END_TEST

int
main(void)
{
    Suite *s = suite_create("http limits");
    TCase *tc = daemon_case(s, "limits");

    tcase_add_loop_test(tc, head_of_the_greatest_size_is_taken_and_one_more_byte_is_not, 0,
        (int) rv_countof(heads));
    tcase_add_test(tc, body_of_the_greatest_size_is_taken_and_one_more_byte_is_not);
    tcase_add_test(tc, body_size_of_zero_is_no_limit);
    tcase_add_test(tc, one_megabyte_is_the_limit_of_a_body_that_nobody_set);
    tcase_add_test(tc, last_request_that_a_connection_may_make_is_told_so);
    tcase_add_test(tc, request_that_does_not_go_on_is_timed_out);
    tcase_add_test(tc, dripping_head_is_cut_at_the_deadline);
    tcase_add_test(tc, idle_connection_is_closed_after_keepalive_timeout);
    tcase_add_test(tc, keepalive_timeout_of_zero_keeps_no_connection);
    tcase_add_test(tc, client_that_reads_late_has_all_his_time_for_the_next_head);
    return daemon_main(s);
}
