/*
 * test_http_body: a handler that wants bodies gets them whole.
 *
 * However the body came, by its length or in chunks, at once or byte by byte,
 * and whatever follows it. The handler is that of module_waiter.c, which takes 100 KiB.
 */
#include "test_http.h"
#include "test_http_waiter.h"

#include "rv_base.h"

#define POST "POST /do/echo HTTP/1.1\r\nHost: a\r\n"
#define LATER "POST /do/echo-after HTTP/1.1\r\nHost: a\r\n"
#define CHUNKED "Transfer-Encoding: chunked\r\n\r\n"

enum { MOST = 100 * 1024 };

static daemon_t d;
static char text[2 * MOST + 4096], body[MOST + 2], request[8 * MOST];

static const char conf[] = HTTP_MAIN("1") WAITER_LISTEN HTTP_STATUS WAITER;

static const char *
body_of_answer(void)
{
    return strstr(text, "\r\n\r\n") + 4;
}

static void
expect_body(int fd, const char *wanted)
{
    ck_assert_int_eq(daemon_answer(fd, text, sizeof(text), 0), 200);
    ck_assert_str_eq(body_of_answer(), wanted);
}

static const struct {
    const char *request;
    const char *bodies[4]; /* of the answers, up to NULL */
} requests[] = {
    { POST "Content-Length: 5\r\n\r\nhello", { "hello" } },
    { POST "Content-Length: 0\r\n\r\n", { "" } },
    { POST "\r\n", { "" } },
    { "GET /do/echo HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nget", { "get" } },
    { POST CHUNKED "5\r\nhello\r\n0\r\n\r\n", { "hello" } },
    { POST CHUNKED "0\r\n\r\n", { "" } },
    { POST CHUNKED "1\r\na\r\n002;x=y\r\nbc\r\n3\r\n\r\n0\r\n0\r\nTrailer: 5\r\n\r\n",
        { "abc\r\n0" } },
    { POST CHUNKED "9\n5\r\nhello\n\n2\n\r\n\n0\n\n", { "5\r\nhello\n\r\n" } },
    { POST CHUNKED "2\r\nab\r\n0\r\n\r\n" POST "Content-Length: 2\r\n\r\ncd" POST CHUNKED
                   "1\r\ne\r\n0\r\n\r\n",
        { "ab", "cd", "e" } },
    { POST "Content-Length: 2\r\n\r\nab" HELLO_REQUEST POST "Content-Length: 1\r\n\r\nc",
        { "ab", "hello", "c" } },
    { LATER "Content-Length: 2\r\n\r\nab" HELLO_REQUEST LATER CHUNKED "1\r\nc\r\n0\r\n\r\n",
        { "ab", "hello", "c" } },
    { "POST /hello HTTP/1.1\r\nHost: a\r\n" CHUNKED "3\r\nabc\r\n0\r\n\r\n" POST CHUNKED
      "2\r\nde\r\n0\r\n\r\n",
        { "hello", "de" } },
};

START_TEST(body_is_whole_and_what_follows_is_answered)
{
    waiter_start(&d, conf);
    for (size_t i = 0; i < rv_countof(requests); i++) {
        int whole = http_open(&d, requests[i].request), bytewise = http_connect(&d);

        for (const char *at = requests[i].request; *at != '\0'; at++)
            daemon_send(bytewise, at, 1);
        for (const char *const *wanted = requests[i].bodies; *wanted != NULL; wanted++) {
            expect_body(whole, *wanted);
            expect_body(bytewise, *wanted);
        }
        close(whole);
        close(bytewise);
    }
    waiter_wait_exact(&d, 0);
    daemon_teardown(&d);
}
END_TEST

/* A request with the body, of so many bytes, in such chunks; 0: not in chunks. */
static size_t
make_request(size_t length, size_t chunk)
{
    char *at = request;

    if (chunk == 0) {
        at += sprintf(at, POST "Content-Length: %zu\r\n\r\n", length);
        memcpy(at, body, length);
        return (size_t) (at + length - request);
    }
    at = stpcpy(at, POST CHUNKED);
    for (size_t sent = 0; sent < length; sent += chunk) {
        size_t n = rv_min(chunk, length - sent);

        at += sprintf(at, "%zx\r\n", n);
        memcpy(at, body + sent, n);
        at = stpcpy(at + n, "\r\n");
    }
    return (size_t) (stpcpy(at, "0\r\n\r\n") - request);
}

static void
fill_body(void)
{
    for (size_t i = 0; i < MOST + 1; i++)
        body[i] = (char) ('a' + i * 7 % 26);
}

START_TEST(largest_body_is_taken_and_one_more_byte_is_not)
{
    static const size_t chunks[] = { 0, 10, 4096, MOST + 1 };

    waiter_start(&d, conf);
    fill_body();
    for (size_t i = 0; i < rv_countof(chunks); i++) {
        int fd = http_connect(&d);

        daemon_send(fd, request, make_request(MOST, chunks[i]));
        ck_assert_int_eq(daemon_answer(fd, text, sizeof(text), 0), 200);
        ck_assert_uint_eq(strlen(body_of_answer()), MOST);
        ck_assert_int_eq(memcmp(body_of_answer(), body, MOST), 0);
        daemon_send(fd, request, make_request(MOST + 1, chunks[i]));
        ck_assert_int_eq(daemon_answer(fd, text, sizeof(text), 0), 413);
        close(fd);
    }
    daemon_teardown(&d);
}
END_TEST

/* The handler's limit and that of all, and a handler that has none. */
START_TEST(smaller_limit_counts)
{
    waiter_start(&d, HTTP_MAIN("1") HTTP_LISTEN "client_max_body_size = 10\n" HTTP_STATUS WAITER);
    fill_body();
    for (size_t chunk = 0; chunk < 2; chunk++) {
        int fd = http_connect(&d);

        daemon_send(fd, request, make_request(10, chunk));
        ck_assert_int_eq(daemon_answer(fd, text, sizeof(text), 0), 200);
        daemon_send(fd, request, make_request(11, chunk));
        ck_assert_int_eq(daemon_answer(fd, text, sizeof(text), 0), 413);
        close(fd);
    }
    daemon_teardown(&d);

    waiter_start(&d, HTTP_MAIN("1") HTTP_LISTEN "client_max_body_size = 0\n" HTTP_STATUS WAITER);
    int fd = http_open(&d, "POST /hello HTTP/1.1\r\nHost: a\r\nContent-Length: 200000\r\n\r\n");
    for (int i = 0; i < 4; i++)
        daemon_send(fd, body, 50000);
    expect_body(fd, "hello");
    daemon_send(fd, request, make_request(MOST + 1, 0));
    ck_assert_int_eq(daemon_answer(fd, text, sizeof(text), 0), 413);
    close(fd);
    daemon_teardown(&d);
}
END_TEST

START_TEST(client_that_asks_first_is_told_to_go_on)
{
    waiter_start(&d, conf);
    int fd = http_open(&d, POST "Expect: 100-continue\r\nContent-Length: 5\r\n\r\n");
    ck_assert_int_eq(daemon_answer(fd, text, sizeof(text), 0), 100);
    http_send(fd, "hello");
    expect_body(fd, "hello");
    http_send(fd, POST "Expect: 100-continue\r\n" CHUNKED);
    ck_assert_int_eq(daemon_answer(fd, text, sizeof(text), 0), 100);
    http_send(fd, "2\r\nab\r\n0\r\n\r\n");
    expect_body(fd, "ab");
    http_send(fd, POST "Expect: 100-continue\r\nContent-Length: 102401\r\n\r\n");
    ck_assert_int_eq(daemon_answer(fd, text, sizeof(text), 0), 413);
    close(fd);
    daemon_teardown(&d);
}
END_TEST

/* Only a handler that is asked gets a body: one whose request is refused does not. */
START_TEST(body_of_a_refused_request_is_passed_over)
{
    waiter_start(&d, conf);
    int fd = http_open(
        &d, "PUT /do/echo HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nabcd" HELLO_REQUEST);
    ck_assert_int_eq(daemon_answer(fd, text, sizeof(text), 0), 405);
    ck_assert_ptr_nonnull(strstr(text, "\r\nAllow: GET, HEAD, POST\r\n"));
    expect_body(fd, "hello");
    http_send(
        fd, "POST /none HTTP/1.1\r\nHost: a\r\n" CHUNKED "2\r\nab\r\n0\r\n\r\n" HELLO_REQUEST);
    ck_assert_int_eq(daemon_answer(fd, text, sizeof(text), 0), 404);
    expect_body(fd, "hello");
    close(fd);
    daemon_teardown(&d);
}
END_TEST

static const char *const broken[] = { POST CHUNKED "2\r\nabc\r\n", POST CHUNKED "x\r\n",
    POST CHUNKED "2\r\nab\r\n0\r\nx\r\n\r\n" };

START_TEST(broken_chunks_are_refused)
{
    waiter_start(&d, conf);
    for (size_t i = 0; i < rv_countof(broken); i++) {
        int fd = http_open(&d, broken[i]);

        ck_assert_int_eq(daemon_answer(fd, text, sizeof(text), 0), 400);
        close(fd);
    }
    daemon_teardown(&d);
}
END_TEST

START_TEST(client_that_goes_in_the_middle_leaves_nothing_behind)
{
    enum { TIMES = 20 };
    daemon_status_t s;

    waiter_start(&d, conf);
    fill_body();
    int control = http_connect(&d);
    for (int i = 0; i < TIMES; i++) {
        int fd = http_connect(&d);

        daemon_send(fd, request, make_request(MOST, i % 2 == 0 ? 0 : 1000) / 2);
        http_wait_counts(control, 0, 2, 0, &s);
        if (i % 4 < 2)
            http_reset(fd);
        else
            close(fd);
        http_wait_counts(control, 0, 1, 0, &s);
    }
    close(control);
    waiter_wait_exact(&d, TIMES);
    daemon_teardown(&d);
}
END_TEST

START_TEST(parameter_of_the_query_is_decoded)
{
    waiter_start(&d, conf);
    int fd = http_open(&d, DO("query?a=1&topic=x%20y+z") DO("query") DO("query?topic=%zz"));
    expect_body(fd, "x y z");
    expect_body(fd, "there is none");
    ck_assert_int_eq(daemon_answer(fd, text, sizeof(text), 0), 400);
    close(fd);
    daemon_teardown(&d);
}
END_TEST

int
main(void)
{
    Suite *s = suite_create("http body");
    TCase *tc = daemon_case(s, "body");

    tcase_add_test(tc, body_is_whole_and_what_follows_is_answered);
    tcase_add_test(tc, largest_body_is_taken_and_one_more_byte_is_not);
    tcase_add_test(tc, smaller_limit_counts);
    tcase_add_test(tc, client_that_asks_first_is_told_to_go_on);
    tcase_add_test(tc, body_of_a_refused_request_is_passed_over);
    tcase_add_test(tc, broken_chunks_are_refused);
    tcase_add_test(tc, client_that_goes_in_the_middle_leaves_nothing_behind);
    tcase_add_test(tc, parameter_of_the_query_is_decoded);
    return daemon_main(s);
}
