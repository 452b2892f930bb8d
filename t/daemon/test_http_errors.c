/*
 * test_http_errors: what is wrong with a request, whole and cut in two.
 *
 * A case is the bytes of a connection and the status of the last answer to
 * them. They are sent at once, and then on as many connections as they have
 * bytes, each cut at another place: the second part goes out when the status
 * page shows that the server has seen the first of all of them. What comes
 * back must be the same each time, to the byte but for the date.
 */
#include "test_http.h"

#include "rv_base.h"

enum { LONGEST = 1024 };

#define A16 "aaaaaaaaaaaaaaaa"
#define A64 A16 A16 A16 A16
#define A256 A64 A64 A64 A64
#define END "Host: a\r\nConnection: close\r\n\r\n"
#define GET_A "GET /a HTTP/1.1\r\nHost: a\r\n"
#define POST_A "POST /a HTTP/1.1\r\nConnection: close\r\nHost: a\r\n"
#define CHUNKED POST_A "Transfer-Encoding: chunked\r\n\r\n"

static const char conf[] = HTTP_MAIN("1") HTTP_LISTEN
    "keepalive_requests = 1000000\n"
    "client_max_header_size = 256\n"
    "client_max_body_size = 16\n" HTTP_STATUS HTTP_RETURN("/a", "200 hello")
        HTTP_RETURN("/x/y", "200 hello") HTTP_RETURN("/denied", "200 hello") "deny = all\n";

typedef struct {
    const char *says;
    int code;
    const char *bytes;
    size_t length;
    unsigned rest; /* places to cut it that leave the connection idle */
} case_t;

#define ONE(says, code, bytes)           \
    {                                    \
        says, code, HTTP_BYTES(bytes), 0 \
    }
#define TWO(says, code, bytes)           \
    {                                    \
        says, code, HTTP_BYTES(bytes), 1 \
    }

static const case_t cases[] = {
    /* what is right, or wrong only in what it asks for */
    ONE("request", 200, "GET /a HTTP/1.1\r\n" END),
    ONE("bare line feeds", 200, "GET /a HTTP/1.1\nHost: a\nConnection: close\n\n"),
    ONE("empty lines before it", 200, "\r\n\n\r\nGET /a HTTP/1.1\r\n" END),
    ONE("HTTP/1.0", 200, "GET /a HTTP/1.0\r\n\r\n"),
    ONE("another minor version", 200, "GET /a HTTP/1.9\r\n" END),
    ONE("HEAD", 200, "HEAD /a HTTP/1.1\r\n" END),
    ONE("body", 200, POST_A "Content-Length: 5\r\n\r\n12345"),
    ONE("body of the limit", 200, POST_A "Content-Length: 16\r\n\r\n" A16),
    ONE("chunks", 200, CHUNKED "4\r\nabcd\r\n00B\r\n12345678901\r\n0\r\n\r\n"),
    ONE("chunks of the limit", 200, CHUNKED "10\r\n" A16 "\r\n0\r\n\r\n"),
    ONE("extensions and trailers", 200,
        CHUNKED "4;a=b;c=\"d\"\r\nabcd\r\n0;e\r\nX: y\r\nZ: \r\n\r\n"),
    TWO("two requests", 200, GET_A "\r\nGET /a HTTP/1.1\r\n" END),
    TWO("body and a request", 200,
        "POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nGETGET /a HTTP/1.1\r\n" END),
    ONE("absolute form", 200, "GET http://b.c:80/a HTTP/1.1\r\n" END),
    ONE("dot segments, codes, query", 200, "GET /z/../%78/./w/%2e%2e/y?q=/.. HTTP/1.1\r\n" END),
    ONE("Expect in HTTP/1.0", 200,
        "POST /a HTTP/1.0\r\nContent-Length: 1\r\nExpect: 100-continue\r\n\r\n1"),
    ONE("denied", 403, "GET /denied HTTP/1.1\r\n" END),
    ONE("denied with a body", 403, "POST /denied HTTP/1.1\r\nContent-Length: 3\r\n" END "abc"),
    ONE("not there", 404, "GET /b HTTP/1.1\r\n" END),
    ONE("below what is no folder", 404, "GET /a/ HTTP/1.1\r\n" END),
    ONE("asterisk", 404, "OPTIONS * HTTP/1.1\r\n" END),
    ONE("method not allowed", 405, "POST /stub_status HTTP/1.1\r\n" END),
    ONE("method never allowed", 405, "TRACE /a HTTP/1.1\r\n" END),

    /* the request line */
    ONE("one word", 400, "GET\r\n\r\n"),
    ONE("no version", 400, "GET /a\r\n\r\n"),
    ONE("two spaces", 400, "GET  /a HTTP/1.1\r\n" END),
    ONE("space before it", 400, " GET /a HTTP/1.1\r\n" END),
    ONE("space after it", 400, "GET /a HTTP/1.1 \r\n" END),
    ONE("no method", 400, "/a HTTP/1.1\r\n" END),
    ONE("method of no token", 400, "G@T /a HTTP/1.1\r\n" END),
    ONE("target without slash", 400, "GET a HTTP/1.1\r\n" END),
    ONE("fragment", 400, "GET /a#b HTTP/1.1\r\n" END),
    ONE("byte over 127", 400, "GET /\xe4 HTTP/1.1\r\n" END),
    ONE("half a code", 400, "GET /%4 HTTP/1.1\r\n" END),
    ONE("code of no digits", 400, "GET /%zz HTTP/1.1\r\n" END),
    ONE("coded NUL", 400, "GET /a%00 HTTP/1.1\r\n" END),
    ONE("above the root", 400, "GET /a/../../b HTTP/1.1\r\n" END),
    ONE("above the root in codes", 400, "GET /%2e%2E/b HTTP/1.1\r\n" END),
    ONE("NUL in the line", 400, "GET /a\0 HTTP/1.1\r\n" END),
    ONE("version of words", 400, "GET /a HTTP/x.y\r\n" END),
    ONE("version without dot", 400, "GET /a HTTP/11\r\n" END),
    ONE("version of two digits", 400, "GET /a HTTP/1.10\r\n" END),
    ONE("small letters", 400, "GET /a http/1.1\r\n" END),
    ONE("carriage return alone", 400, "GET /a HTTP/1.1\rHost: a\r\n\r\n"),

    /* the fields */
    ONE("no Host", 400, "GET /a HTTP/1.1\r\nConnection: close\r\n\r\n"),
    ONE("two Hosts", 400, GET_A "Host: a\r\n\r\n"),
    ONE("Host of no name", 400, "GET /a HTTP/1.1\r\nHost: a/b\r\n\r\n"),
    ONE("field without colon", 400, GET_A "Nocolon\r\n\r\n"),
    ONE("field without name", 400, GET_A ": x\r\n\r\n"),
    ONE("space before the colon", 400, GET_A "X : y\r\n\r\n"),
    ONE("folded field", 400, GET_A "X: y\r\n z\r\n\r\n"),
    ONE("NUL in a field", 400, GET_A "X: \0\r\n\r\n"),
    ONE("control character", 400, GET_A "X: \x01\r\n\r\n"),
    ONE("both lengths", 400,
        POST_A "Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
    ONE("both, the other way", 400,
        POST_A "Transfer-Encoding: chunked\r\nContent-Length: 0\r\n\r\n0\r\n\r\n"),
    ONE("two lengths", 400, POST_A "Content-Length: 1\r\nContent-Length: 1\r\n\r\n1"),
    ONE("list of lengths", 400, POST_A "Content-Length: 1, 1\r\n\r\n1"),
    ONE("negative length", 400, POST_A "Content-Length: -1\r\n\r\n"),
    ONE("empty length", 400, POST_A "Content-Length:\r\n\r\n"),
    ONE("length over 64 bits", 400, POST_A "Content-Length: 18446744073709551617\r\n\r\n1"),
    ONE("chunks in HTTP/1.0", 400,
        "POST /a HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),

    /* the body */
    ONE("chunk size of no digits", 400, CHUNKED "x\r\n\r\n"),
    ONE("empty chunk size", 400, CHUNKED "\r\n\r\n"),
    ONE("chunk longer than its size", 400, CHUNKED "3\r\nabcd\r\n0\r\n\r\n"),
    ONE("chunk size over 64 bits", 400, CHUNKED "10000000000000000\r\n\r\n"),
    ONE("trailer without colon", 400, CHUNKED "0\r\nX\r\n\r\n"),

    /* too large, or not to be had */
    ONE("body over the limit", 413, POST_A "Content-Length: 17\r\n\r\n" A16 "a"),
    ONE("length over the limit", 413, POST_A "Content-Length: 18446744073709551615\r\n\r\n"),
    ONE("chunk over the limit", 413, CHUNKED "11\r\n" A16 "a\r\n0\r\n\r\n"),
    ONE("chunks over the limit", 413, CHUNKED "10\r\n" A16 "\r\n1\r\na\r\n0\r\n\r\n"),
    ONE("line over the limit", 414, "GET /" A256 " HTTP/1.1\r\n" END),
    ONE("method over the limit", 414, A256 "a /a HTTP/1.1\r\n" END),
    ONE("line that never ends", 414, A256 A256),
    ONE("other expectation", 417, GET_A "Expect: tea\r\n\r\n"),
    ONE("field over the limit", 431, GET_A "X: " A256 "\r\n\r\n"),
    ONE("head over the limit", 431, GET_A "X: " A64 A64 A64 "\r\nY: " A16 "\r\nZ: " A16 "\r\n\r\n"),
    ONE("fault past the limit", 431, GET_A "X: " A64 A64 A64 "\r\nY: " A16 A16 "\r\nbad\r\n\r\n"),
    ONE("field that never ends", 431, GET_A "X: " A256 A256),
    ONE("unknown method", 501, "BREW /a HTTP/1.1\r\n" END),
    ONE("method in small letters", 501, "get /a HTTP/1.1\r\n" END),
    ONE("unknown coding", 501, POST_A "Transfer-Encoding: gzip\r\n\r\n"),
    ONE("two codings", 501, POST_A "Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n"),
    ONE("HTTP/2.0", 505, "GET /a HTTP/2.0\r\n" END),
    ONE("HTTP/0.9 by its name", 505, "GET /a HTTP/0.9\r\n" END),
};

static daemon_t d;
static char whole[HTTP_ROOM], part[HTTP_ROOM];

/* --- what an answer must be ------------------------------------------------------------- */

/* So many answers, the last with this code, each whole; the last one closes. */
static void
expect_answers(const case_t *c, const char *text)
{
    http_answer_t a = { .code = 0 };
    unsigned count = 0;
    int is_head = strncmp(c->bytes, "HEAD", 4) == 0;
    char connection[16];

    while (http_next(&text, &a, is_head))
        count++;
    ck_assert_msg(a.code == c->code, "%s: %d instead of %d", c->says, a.code, c->code);
    ck_assert_uint_eq(count, c->rest + 1);
    ck_assert_ptr_nonnull(http_field(a.head, "Connection", connection, sizeof(connection)));
    ck_assert_str_eq(connection, "close");
    if (c->code >= 400)
        ck_assert_uint_gt(a.body_length, 0);
}

/* --- whole, and in two parts ------------------------------------------------------------- */

/* As many connections as there are places to cut, the first part sent on each. */
static void
send_first_parts(const case_t *c, int *fds)
{
    for (size_t i = 1; i < c->length; i++) {
        fds[i] = http_connect(&d);
        daemon_send(fds[i], c->bytes, i);
    }
}

static int control;
static unsigned idle;

/* The server has seen a first byte of every connection. */
static int
are_seen(daemon_t *daemon, void *length)
{
    daemon_status_t s;

    (void) daemon;
    http_status(control, &s);
    return s.waiting == idle && s.active >= *(size_t *) length;
}

START_TEST(same_answer_wherever_the_request_is_cut)
{
    const case_t *c = &cases[_i];
    int fds[LONGEST];
    size_t length = c->length;

    http_start(&d, conf);
    http_exchange(&d, c->bytes, c->length, whole, sizeof(whole));
    expect_answers(c, whole);
    http_mask_dates(whole);

    control = http_connect(&d);
    idle = c->rest;
    send_first_parts(c, fds);
    daemon_wait(&d, are_seen, &length, "the first parts are read");
    for (size_t i = 1; i < length; i++)
        daemon_send(fds[i], c->bytes + i, length - i);
    for (size_t i = 1; i < length; i++) {
        ck_assert_msg(
            daemon_read_end(fds[i], part, sizeof(part)) >= 0, "%s, cut at %zu: reset", c->says, i);
        close(fds[i]);
        http_mask_dates(part);
        ck_assert_msg(strcmp(part, whole) == 0, "%s, cut at %zu:\n%sinstead of:\n%s", c->says, i,
            part, whole);
    }
    close(control);
    daemon_teardown(&d);
}
END_TEST

/* --- while the client is still sending ------------------------------------------------------ */

static const case_t refused[] = {
    ONE("malformed", 400, "nonsense\r\n\r\n"),
    ONE("malformed chunk", 400, CHUNKED "x\r\n"),
    ONE("length over the limit", 413, POST_A "Content-Length: 99999999\r\n\r\n"),
    ONE("chunk over the limit", 413, CHUNKED "fffffff\r\n"),
    ONE("line over the limit", 414, "GET /" A256),
    ONE("other expectation", 417, POST_A "Expect: tea\r\nContent-Length: 9\r\n\r\n"),
    ONE("field over the limit", 431, GET_A "X: " A256),
    ONE("unknown coding", 501, POST_A "Transfer-Encoding: gzip\r\n\r\n"),
    ONE("HTTP/2.0", 505, "GET /a HTTP/2.0\r\n\r\n"),
};

START_TEST(error_is_not_lost_though_the_client_is_still_sending)
{
    static char more[256 * 1024];
    const case_t *c = &refused[_i];
    daemon_status_t s;

    memset(more, 'a', sizeof(more));
    http_start(&d, conf);
    int fd = http_connect(&d);
    daemon_send(fd, c->bytes, c->length);
    for (int i = 0; i < 16; i++)
        daemon_send(fd, more, sizeof(more));
    ck_assert_msg(daemon_read_end(fd, whole, sizeof(whole)) > 0, "%s: reset", c->says);
    expect_answers(c, whole);
    for (int i = 0; i < 4; i++)
        daemon_send(fd, more, sizeof(more));
    close(fd);

    control = http_connect(&d);
    http_wait_counts(control, 0, 1, 0, &s);
    close(control);
    daemon_teardown(&d);
}
END_TEST

/* Who keeps his end open after an error is not waited for for ever. */
START_TEST(connection_ends_after_an_error_whatever_the_client_does)
{
    daemon_status_t s;

    http_start(&d, conf);
    control = http_connect(&d);
    int fd = http_open(&d, "nonsense\r\n\r\n");
    ck_assert_int_gt(daemon_read_end(fd, whole, sizeof(whole)), 0);
    http_wait_counts(control, 0, 1, 0, &s);
    close(fd);
    close(control);
    daemon_teardown(&d);
}
END_TEST

int
main(void)
{
    Suite *s = suite_create("http errors");
    TCase *tc = daemon_case(s, "errors");

    tcase_add_loop_test(tc, same_answer_wherever_the_request_is_cut, 0, (int) rv_countof(cases));
    tcase_add_loop_test(
        tc, error_is_not_lost_though_the_client_is_still_sending, 0, (int) rv_countof(refused));
    tcase_add_test(tc, connection_ends_after_an_error_whatever_the_client_does);
    return daemon_main(s);
}
