/*
 * test_http: requests and their answers.
 */
#include "test_http.h"

#include "rv_base.h"

#define HOST " HTTP/1.1\r\nHost: a\r\n"

static daemon_t d;
static char text[1024 * 1024];

/* --- one connection, many requests ------------------------------------------------------ */

static const struct {
    const char *request;
    const char *connection; /* what the answer says */
} lives[] = {
    { "GET /a" HOST "\r\n", "keep-alive" },
    { "GET /a" HOST "Connection: keep-alive\r\n\r\n", "keep-alive" },
    { "GET /a" HOST "Connection: close\r\n\r\n", "close" },
    { "GET /a" HOST "Connection: x, Close\r\n\r\n", "close" },
    { "GET /a HTTP/1.0\r\n\r\n", "close" },
    { "GET /a HTTP/1.0\r\nHost: a\r\n\r\n", "close" },
    { "GET /a HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n", "keep-alive" },
    { "HEAD /a HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", "keep-alive" },
    { "GET /none" HOST "\r\n", "keep-alive" },
    { "POST /a" HOST "Content-Length: 2\r\n\r\nab", "keep-alive" },
};

START_TEST(connection_lives_as_long_as_the_client_wants)
{
    const char *request = lives[_i].request;
    char connection[32];

    http_start(&d, DAEMON_CONF);
    int fd = http_connect(&d);
    for (int i = 0; i < 3; i++) {
        http_send(fd, request);
        ck_assert_int_gt(daemon_answer(fd, text, sizeof(text), request[0] == 'H'), 0);
        ck_assert_ptr_nonnull(http_field(text, "Connection", connection, sizeof(connection)));
        ck_assert_str_eq(connection, lives[_i].connection);
        if (strcmp(connection, "close") == 0)
            break;
    }
    if (strcmp(connection, "close") != 0)
        shutdown(fd, SHUT_WR);
    ck_assert_int_eq(daemon_read_end(fd, text, sizeof(text)), 0);
    close(fd);
    daemon_teardown(&d);
}
END_TEST

/* --- pipelining -------------------------------------------------------------------------- */

/* The paths answer with their last character. */
static const char pipeline_conf[] =
    HTTP_MAIN("2") HTTP_LISTEN HTTP_RETURN("/0", "200 0") HTTP_RETURN("/1", "200 1")
        HTTP_RETURN("/2", "404 2") HTTP_RETURN("/3", "200 3") HTTP_RETURN("/4", "503 4");

/* Writes request number n of a pipeline, of a kind that changes with n. */
static void
put_request(FILE *f, unsigned n)
{
    switch (n % 6) {
    case 0:
    case 3:
        fprintf(f, "GET /%u" HOST "\r\n", n % 5);
        break;
    case 1:
        fprintf(f, "POST /%u" HOST "Content-Length: %u\r\n\r\n%0*u", n % 5, n % 89 + 1,
            (int) (n % 89 + 1), 7u);
        break;
    case 2:
        fprintf(f, "POST /%u" HOST "Transfer-Encoding: chunked\r\n\r\n", n % 5);
        fprintf(f, "%x;x=y\r\n%0*u\r\n1\r\n\n\r\n0\r\nT: v\r\n\r\n", n % 89 + 1, (int) (n % 89 + 1),
            7u);
        break;
    case 4:
        fprintf(f, "HEAD /%u" HOST "\r\n", n % 5);
        break;
    default:
        fprintf(f, "GET /%u HTTP/1.1\nHost: a\n\n", n % 5);
    }
}

static const unsigned depths[] = { 1, 2, 3, 10, 100, 999, 1000 };

START_TEST(pipelined_requests_are_answered_in_order)
{
    unsigned depth = depths[_i], n = 0;
    char *requests, connection[32];
    const char *at = text;
    size_t length;
    http_answer_t a;
    FILE *f = open_memstream(&requests, &length);

    for (unsigned i = 0; i < depth; i++)
        put_request(f, i);
    fclose(f);

    http_start(&d, pipeline_conf);
    int fd = http_connect(&d);
    daemon_send(fd, requests, length);
    shutdown(fd, SHUT_WR);
    ck_assert_int_gt(daemon_read_end(fd, text, sizeof(text)), 0);
    while (http_next(&at, &a, n % 6 == 4)) {
        static const int codes[] = { 200, 200, 404, 200, 503 };

        ck_assert_int_eq(a.code, codes[n % 5]);
        ck_assert_uint_eq(a.body_length, n % 6 == 4 ? 0 : 1);
        if (n % 6 != 4)
            ck_assert_int_eq(a.body[0], (int) ('0' + n % 5));
        n++;
        /* the thousandth is the last that keepalive_requests allows */
        ck_assert_ptr_nonnull(http_field(a.head, "Connection", connection, sizeof(connection)));
        ck_assert_str_eq(connection, n == 1000 ? "close" : "keep-alive");
    }
    ck_assert_uint_eq(n, depth);

    free(requests);
    close(fd);
    daemon_teardown(&d);
}
END_TEST

/* --- Expect --------------------------------------------------------------------------------- */

#define CONTINUE "HTTP/1.1 100 Continue\r\n\r\n"
#define EXPECT "POST /hello" HOST "Connection: close\r\nExpect: 100-continue\r\n"

static const struct {
    const char *head, *body;
    int together; /* both are sent at once, so that nobody waits for 100 */
    int code;
} expectations[] = {
    { EXPECT "Content-Length: 4\r\n\r\n", "body", 0, 200 },
    { EXPECT "Transfer-Encoding: chunked\r\n\r\n", "1\r\na\r\n0\r\n\r\n", 0, 200 },
    { EXPECT "Content-Length: 4\r\n\r\n", "body", 1, 200 },
    { EXPECT "Transfer-Encoding: chunked\r\n\r\n", "1\r\na\r\n0\r\n\r\n", 1, 200 },
    { EXPECT "Content-Length: 0\r\n\r\n", "", 1, 200 },
    { EXPECT "\r\n", "", 1, 200 },
    { EXPECT "Content-Length: 99999999\r\n\r\n", "", 1, 413 },
    { EXPECT "Content-Length: 4\r\nExpect: 200-ok\r\n\r\n", "", 1, 417 },
    { "POST /hello" HOST "Connection: close\r\nExpect: 100-Continue\r\nContent-Length: 4\r\n\r\n",
        "body", 0, 200 },
};

START_TEST(client_that_expects_continue_is_told_so_where_he_waits)
{
    char both[512];
    http_answer_t a;
    const char *at = text;

    http_start(&d, DAEMON_CONF);
    int fd = http_connect(&d);
    if (expectations[_i].together) {
        snprintf(both, sizeof(both), "%s%s", expectations[_i].head, expectations[_i].body);
        http_send(fd, both);
    } else {
        http_send(fd, expectations[_i].head);
        ck_assert_int_eq(daemon_answer(fd, text, sizeof(text), 0), 100);
        ck_assert_str_eq(text, CONTINUE);
        http_send(fd, expectations[_i].body);
    }
    ck_assert_int_gt(daemon_read_end(fd, text, sizeof(text)), 0);
    ck_assert(http_next(&at, &a, 0));
    ck_assert_int_eq(a.code, expectations[_i].code);
    ck_assert_str_eq(at, "");
    close(fd);
    daemon_teardown(&d);
}
END_TEST

/* --- return ------------------------------------------------------------------------------------ */

static const struct {
    const char *value;    /* of the directive */
    const char *status;   /* the answer's first line */
    const char *location; /* NULL: none */
    const char *body;     /* NULL: neither a body nor a length; "*": some */
} returns[] = {
    { "200 hello  world ", "200 OK", NULL, "hello  world" },
    { "200", "200 OK", NULL, "" },
    { "201 made", "201 Created", NULL, "made" },
    { "204", "204 No Content", NULL, NULL },
    { "204 nothing", "204 No Content", NULL, NULL },
    { "301 /new", "301 Moved Permanently", "/new", "*" },
    { "302 http://a.b/c?d=e", "302 Found", "http://a.b/c?d=e", "*" },
    { "307 /x", "307 Temporary Redirect", "/x", "*" },
    { "308 /x", "308 Permanent Redirect", "/x", "*" },
    { "304", "304 Not Modified", NULL, NULL },
    { "404 not here", "404 Not Found", NULL, "not here" },
    { "410", "410 Gone", NULL, "" },
    { "503 later", "503 Service Unavailable", NULL, "later" },
};

START_TEST(return_answers_with_code_and_text)
{
    char value[64];
    http_answer_t a;
    const char *at = text, *body = returns[_i].body;

    daemon_setup(&d);
    daemon_conff(
        &d, HTTP_MAIN("1") HTTP_LISTEN_AT HTTP_RETURN("/a", "%s"), d.port, returns[_i].value);
    daemon_start(&d);
    http_exchange(&d, HTTP_BYTES("GET /a" HOST "Connection: close\r\n\r\n"), text, sizeof(text));
    ck_assert(http_next(&at, &a, 0));
    ck_assert_str_eq(at, "");

    snprintf(value, sizeof(value), "HTTP/1.1 %s\r\n", returns[_i].status);
    ck_assert_int_eq(strncmp(text, value, strlen(value)), 0);
    ck_assert_int_eq(
        http_field(text, "Location", value, sizeof(value)) != NULL, returns[_i].location != NULL);
    if (returns[_i].location != NULL)
        ck_assert_str_eq(value, returns[_i].location);

    ck_assert_int_eq(
        http_field(text, "Content-Length", value, sizeof(value)) != NULL, body != NULL);
    if (body != NULL && strcmp(body, "*") != 0)
        ck_assert_str_eq(a.body, body);
    else if (body != NULL)
        ck_assert_uint_gt(a.body_length, 0);
    daemon_teardown(&d);
}
END_TEST

/* --- where a path leads ---------------------------------------------------------------------------- */

static const char places_conf[] = HTTP_MAIN("1") HTTP_LISTEN HTTP_RETURN("/a/b/c", "200 abc")
    HTTP_RETURN("/", "200 root") HTTP_RETURN("/a/b/", "200 ab/") HTTP_RETURN("/a", "200 a")
        HTTP_RETURN("/a/", "200 a/") HTTP_RETURN("/with space", "200 space");

static const struct {
    const char *target, *place;
} places[] = {
    { "/", "root" },
    { "/x", "root" },
    { "/a", "a" },
    { "/ab", "root" },
    { "/a/", "a/" },
    { "/a/x", "a/" },
    { "/a/b", "a/" },
    { "/a/b/", "ab/" },
    { "/a/b/c", "abc" },
    { "/a/b/cd", "ab/" },
    { "/a/b/c/", "ab/" },
    { "/a/b/c/d/e", "ab/" },
    { "/A", "root" },

    { "/a?", "a" },
    { "/a?/b/c", "a" },
    { "/?a=/a", "root" },
    { "/a?b?c=../..", "a" },
    { "/%61", "a" },
    { "/%61%2Fb%2fc", "abc" },
    { "/a%3Fb", "root" },
    { "/%2561", "root" },
    { "/with%20space", "space" },
    { "/with+space", "root" },

    { "//a", "a" },
    { "//a///b//c", "abc" },
    { "/./a/.", "a/" },
    { "/a/..", "root" },
    { "/a/b/../b/./c", "abc" },
    { "/x/y/../../a", "a" },
    { "/x/%2e%2e/a", "a" },
    { "/a/b/c/..", "ab/" },
    { "/..a", "root" },
    { "/a/...", "a/" },

    { "http://other", "root" },
    { "http://other/", "root" },
    { "http://other/a", "a" },
    { "HTTP://[::1]:80/a/b/c?d", "abc" },
    { "http://other?x=/a", "root" },
};

START_TEST(target_leads_to_its_location)
{
    char request[256];
    const char *at;
    http_answer_t a;

    http_start(&d, places_conf);
    int fd = http_connect(&d);
    for (size_t i = 0; i < rv_countof(places); i++) {
        snprintf(request, sizeof(request), "GET %s" HOST "\r\n", places[i].target);
        http_send(fd, request);
        ck_assert_int_eq(daemon_answer(fd, text, sizeof(text), 0), 200);
        at = text;
        ck_assert(http_next(&at, &a, 0));
        ck_assert_msg(strcmp(a.body, places[i].place) == 0, "%s is %s instead of %s",
            places[i].target, a.body, places[i].place);
    }
    close(fd);
    daemon_teardown(&d);
}
END_TEST

int
main(void)
{
    Suite *s = suite_create("http");
    TCase *tc = daemon_case(s, "http");

    tcase_add_loop_test(
        tc, connection_lives_as_long_as_the_client_wants, 0, (int) rv_countof(lives));
    tcase_add_loop_test(tc, pipelined_requests_are_answered_in_order, 0, (int) rv_countof(depths));
    tcase_add_loop_test(tc, client_that_expects_continue_is_told_so_where_he_waits, 0,
        (int) rv_countof(expectations));
    tcase_add_loop_test(tc, return_answers_with_code_and_text, 0, (int) rv_countof(returns));
    tcase_add_test(tc, target_leads_to_its_location);
    return daemon_main(s);
}
