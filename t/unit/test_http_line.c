/*
 * test_http_line: the request line, what is around it, and the whole of a head.
 */
#include "head_cases.h"

#include <stdio.h>
#include <string.h>

static const head_case_t good[] = {
    { "HTTP/1.1", BYTES("GET / HTTP/1.1\r\nHost: a\r\n\r\n"), RV_OK, PLAIN, HOST | KEPT, 0 },
    { "HTTP/1.0 needs no Host", BYTES("GET / HTTP/1.0\r\n\r\n"), RV_OK, RV_HTTP_GET, 0, "/", NULL,
        0, 0 },
    { "HTTP/1.9 is taken for 1.1", BYTES("GET / HTTP/1.9\r\nHost: a\r\n\r\n"), RV_OK, RV_HTTP_GET,
        9, "/", NULL, HOST | KEPT, 0 },
    { "a bare LF ends a line", BYTES("GET / HTTP/1.1\nHost: a\n\n"), RV_OK, PLAIN, HOST | KEPT, 0 },
    { "line ends may be mixed", BYTES("GET / HTTP/1.1\nHost: a\r\nA: b\n\r\n"), RV_OK, PLAIN,
        HOST | KEPT, 0 },
    { "a line feed before the request line", BYTES("\nGET / HTTP/1.1\nHost: a\n\n"), RV_OK, PLAIN,
        HOST | KEPT, 0 },
    { "empty lines before the request line", BYTES("\r\n\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n"),
        RV_OK, PLAIN, HOST | KEPT, 0 },
    { "unknown fields are passed over",
        BYTES(
            "GET / HTTP/1.1\r\nX: y\r\nHost: a\r\n!#$%&'*+-.^_`|~09azAZ: 1\r\nHosts: b c\r\n\r\n"),
        RV_OK, PLAIN, HOST | KEPT, 0 },
    { "a field may be empty, hold tabs, colons and bytes over 127",
        BYTES("GET / HTTP/1.1\r\nA:\r\nB: \t \r\nC: x\ty: \xc3\xa9\xff\r\nHost: a\r\n\r\n"), RV_OK,
        PLAIN, HOST | KEPT, 0 },
    { "a query keeps its bytes", BYTES("GET /a?b=%2e&c=/../?d HTTP/1.1\r\nHost: a\r\n\r\n"), RV_OK,
        RV_HTTP_GET, 1, "/a", "b=%2e&c=/../?d", HOST | KEPT, 0 },
    { "everything at once",
        BYTES("POST /%61/./b//c/../d?e HTTP/1.1\r\nhOST: a:80\r\nCONTENT-length:\t 42 \r\n"
              "connection: Close\r\nexpect: 100-Continue\r\n\r\n"),
        RV_OK, RV_HTTP_POST, 1, "/a/b/d", "e", HOST | LENGTH | CLOSE | CONTINUE, 42 },
};

START_TEST(a_good_request_is_understood_however_it_is_cut)
{
    head_cases_check(&good[_i]);
}
END_TEST

static const head_case_t unfinished[] = {
    { .says = "nothing", BYTES(""), RV_AGAIN },
    { .says = "empty lines", BYTES("\r\n\n\r\n"), RV_AGAIN },
    { .says = "half a method", BYTES("GE"), RV_AGAIN },
    { .says = "a line without its end", BYTES("GET / HTTP/1.1\r"), RV_AGAIN },
    { .says = "a head without its end", BYTES("GET / HTTP/1.1\r\nHost: a\r\n\r"), RV_AGAIN },
};

START_TEST(an_unfinished_head_waits_for_more)
{
    head_cases_check(&unfinished[_i]);
}
END_TEST

static const struct {
    const char *name;
    rv_http_method_t method;
} method_cases[] = {
    { "GET", RV_HTTP_GET },
    { "HEAD", RV_HTTP_HEAD },
    { "POST", RV_HTTP_POST },
    { "PUT", RV_HTTP_PUT },
    { "DELETE", RV_HTTP_DELETE },
    { "OPTIONS", RV_HTTP_OPTIONS },
    { "PATCH", RV_HTTP_PATCH },
    { "TRACE", RV_HTTP_TRACE },
    { "get", RV_HTTP_UNKNOWN },
    { "Get", RV_HTTP_UNKNOWN },
    { "GE", RV_HTTP_UNKNOWN },
    { "GETS", RV_HTTP_UNKNOWN },
    { "M-SEARCH", RV_HTTP_UNKNOWN },
    { "!", RV_HTTP_UNKNOWN },
};

START_TEST(a_method_is_known_by_its_exact_name_and_501_otherwise)
{
    char bytes[64];
    head_case_t want = { .says = method_cases[_i].name, .bytes = bytes };
    int n = snprintf(bytes, sizeof(bytes), "%s / HTTP/1.1\r\nHost: a\r\n\r\n", want.says);

    want.length = (size_t) n;
    want.rc = method_cases[_i].method != RV_HTTP_UNKNOWN ? RV_OK : 501;
    want.method = method_cases[_i].method;
    want.minor = 1;
    want.path = "/";
    want.flags = HOST | KEPT;
    head_cases_check(&want);
}
END_TEST

typedef struct {
    const char *method;
    const char *target;
    const char *path; /* NULL: 400 */
    const char *query;
} target_case_t;

static const target_case_t targets[] = {
    { "GET", "/a/b.html", "/a/b.html", NULL },
    { "GET", "/?", "/", "" },
    { "GET", "/a?b", "/a", "b" },
    { "GET", "/a??b", "/a", "?b" },
    { "GET", "/%41%7a%2B%2b", "/Az++", NULL },
    { "GET", "/a%3fb?c%3f", "/a?b", "c%3f" },
    { "GET", "/%23", "/#", NULL },
    { "GET", "/%20%09%0a%0d%01%7f%ff", "/ \t\n\r\x01\x7f\xff", NULL },
    { "GET", "/%252e%252e/", "/%2e%2e/", NULL },
    { "GET", "//", "/", NULL },
    { "GET", "//a///b//", "/a/b/", NULL },
    { "GET", "/a%2f%2Fb", "/a/b", NULL },
    { "GET", "/.", "/", NULL },
    { "GET", "/./", "/", NULL },
    { "GET", "/a/.", "/a/", NULL },
    { "GET", "/a/./b", "/a/b", NULL },
    { "GET", "/a/..", "/", NULL },
    { "GET", "/a/../", "/", NULL },
    { "GET", "/a/b/..", "/a/", NULL },
    { "GET", "/a/b/../c", "/a/c", NULL },
    { "GET", "/a/b/../../c", "/c", NULL },
    { "GET", "/a//../b", "/b", NULL },
    { "GET", "/a/%2e%2E/b", "/b", NULL },
    { "GET", "/a%2f..%2fb", "/b", NULL },
    { "GET", "/...", "/...", NULL },
    { "GET", "/.a/..b/c./d..", "/.a/..b/c./d..", NULL },
    { "GET", "/\"<>\\^`{|}", "/\"<>\\^`{|}", NULL },
    { "GET", "/a:b@c", "/a:b@c", NULL },
    { "GET", "/*", "/*", NULL },
    { "GET", "http://a/b", "/b", NULL },
    { "GET", "HTTP://a:80/b/../c?d", "/c", "d" },
    { "GET", "http://a", "/", NULL },
    { "GET", "http://a:", "/", NULL },
    { "GET", "http://a?b/c", "/", "b/c" },
    { "GET", "http://a:80?", "/", "" },
    { "GET", "http://[::1]:80/a", "/a", NULL },
    { "OPTIONS", "*", "*", NULL },
    { "OPTIONS", "/a", "/a", NULL },
    { "CONNECT", "a:443", "a:443", NULL },
    { "CONNECT", "[::1]:443", "[::1]:443", NULL },

    { "GET", "", NULL, NULL },
    { "GET", "a", NULL, NULL },
    { "GET", "?a", NULL, NULL },
    { "GET", "*", NULL, NULL },
    { "OPTIONS", "**", NULL, NULL },
    { "OPTIONS", "*?a", NULL, NULL },
    { "GET", "a:443", NULL, NULL },
    { "GET", "/a#b", NULL, NULL },
    { "GET", "/a?b#c", NULL, NULL },
    { "GET", "http://a/#", NULL, NULL },
    { "GET", "/a\tb", NULL, NULL },
    { "GET", "/a\x01", NULL, NULL },
    { "GET", "/a\rb", NULL, NULL },
    { "GET", "/a\x7f", NULL, NULL },
    { "GET", "/\xc3\xa9", NULL, NULL },
    { "GET", "/?\xff", NULL, NULL },
    { "GET", "/%", NULL, NULL },
    { "GET", "/%4", NULL, NULL },
    { "GET", "/%4?1", NULL, NULL },
    { "GET", "/%g1", NULL, NULL },
    { "GET", "/%1g", NULL, NULL },
    { "GET", "/%-1", NULL, NULL },
    { "GET", "/a%00b", NULL, NULL },
    { "GET", "/..", NULL, NULL },
    { "GET", "/../", NULL, NULL },
    { "GET", "//..", NULL, NULL },
    { "GET", "/./../a", NULL, NULL },
    { "GET", "/a/../..", NULL, NULL },
    { "GET", "/a/../../a", NULL, NULL },
    { "GET", "/%2e%2e/a", NULL, NULL },
    { "GET", "/..%2fa", NULL, NULL },
    { "GET", "http://a/..", NULL, NULL },
    { "GET", "http:", NULL, NULL },
    { "GET", "http:/a", NULL, NULL },
    { "GET", "http://", NULL, NULL },
    { "GET", "http:///a", NULL, NULL },
    { "GET", "http://:80/a", NULL, NULL },
    { "GET", "http://a:b/", NULL, NULL },
    { "GET", "http://a@b/", NULL, NULL },
    { "GET", "http://[::1/", NULL, NULL },
    { "GET", "ftp://a/", NULL, NULL },
    { "CONNECT", "/", NULL, NULL },
    { "CONNECT", "*", NULL, NULL },
    { "CONNECT", "a", NULL, NULL },
    { "CONNECT", "a:", NULL, NULL },
    { "CONNECT", ":443", NULL, NULL },
    { "CONNECT", "a:443/", NULL, NULL },
    { "CONNECT", "http://a:443", NULL, NULL },
};

static rv_http_method_t
method_named(const char *name)
{
    if (strcmp(name, "CONNECT") == 0)
        return RV_HTTP_CONNECT;

    return strcmp(name, "OPTIONS") == 0 ? RV_HTTP_OPTIONS : RV_HTTP_GET;
}

START_TEST(a_target_becomes_a_path_and_a_query_or_400)
{
    const target_case_t *t = &targets[_i];
    char bytes[256];
    int n =
        snprintf(bytes, sizeof(bytes), "%s %s HTTP/1.1\r\nHost: a\r\n\r\n", t->method, t->target);
    head_case_t want = { t->target, bytes, (size_t) n, t->path != NULL ? RV_OK : 400,
        method_named(t->method), 1, t->path, t->query, HOST | KEPT, 0 };

    head_cases_check(&want);
}
END_TEST

#define LINE(text) BYTES(text "\r\nHost: a\r\n\r\n")

static const head_case_t bad_lines[] = {
    { .says = "no version", LINE("GET /"), 400 },
    { .says = "no version, a space", LINE("GET / "), 400 },
    { .says = "no target", LINE("GET HTTP/1.1"), 400 },
    { .says = "only a method", LINE("GET"), 400 },
    { .says = "no method", LINE(" / HTTP/1.1"), 400 },
    { .says = "only blanks", LINE("  "), 400 },
    { .says = "a space before the method", LINE(" GET / HTTP/1.1"), 400 },
    { .says = "two spaces after the method", LINE("GET  / HTTP/1.1"), 400 },
    { .says = "two spaces before the version", LINE("GET /  HTTP/1.1"), 400 },
    { .says = "a space after the version", LINE("GET / HTTP/1.1 "), 400 },
    { .says = "a space in the target", LINE("GET /a b HTTP/1.1"), 400 },
    { .says = "tabs for spaces", LINE("GET\t/\tHTTP/1.1"), 400 },
    { .says = "a method that is no token", LINE("G(T / HTTP/1.1"), 400 },
    { .says = "a method with a byte over 127", LINE("G\xc9T / HTTP/1.1"), 400 },
    { .says = "a bare CR", LINE("GET / HTTP/1.1\r"), 400 },
    { .says = "a bare CR before the request line", BYTES("\r\r\nGET / HTTP/1.0\r\n\r\n"), 400 },
    { .says = "a NUL in the method", LINE("G\0T / HTTP/1.1"), 400 },
    { .says = "a NUL in the target", LINE("GET /\0 HTTP/1.1"), 400 },
    { .says = "a NUL at the end", LINE("GET / HTTP/1.1\0"), 400 },
    { .says = "another protocol", LINE("GET / HTCPCP/1.0"), 400 },
    { .says = "the version in lower case", LINE("GET / http/1.1"), 400 },
    { .says = "no minor version", LINE("GET / HTTP/1"), 400 },
    { .says = "an empty minor version", LINE("GET / HTTP/1."), 400 },
    { .says = "two digits", LINE("GET / HTTP/1.10"), 400 },
    { .says = "two digits in front", LINE("GET / HTTP/11.1"), 400 },
    { .says = "three parts", LINE("GET / HTTP/1.1.1"), 400 },
    { .says = "no digits", LINE("GET / HTTP/a.b"), 400 },
    { .says = "a comma", LINE("GET / HTTP/1,1"), 400 },
};

START_TEST(a_malformed_request_line_is_400)
{
    head_cases_check(&bad_lines[_i]);
}
END_TEST

static const head_case_t other_versions[] = {
    { .says = "HTTP/2.0", LINE("GET / HTTP/2.0"), 505 },
    { .says = "HTTP/0.9", LINE("GET / HTTP/0.9"), 505 },
    { .says = "HTTP/9.9", LINE("GET / HTTP/9.9"), 505 },
    { .says = "the preface of HTTP/2", BYTES("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"), 505 },
};

START_TEST(a_version_other_than_1_is_505)
{
    head_cases_check(&other_versions[_i]);
}
END_TEST

static const head_case_t several_faults[] = {
    { .says = "bad target before unknown method", LINE("FOO /%zz HTTP/1.1"), 400 },
    { .says = "bad target before version", LINE("GET /%zz HTTP/2.0"), 400 },
    { .says = "fragment before unknown method", LINE("FOO /#a HTTP/1.1"), 400 },
    { .says = "bad version before unknown method", LINE("FOO / HTTP/1"), 400 },
    { .says = "version before unknown method", LINE("FOO / HTTP/2.0"), 505 },
    { .says = "version before a bad field", LINE("GET / HTTP/2.0\r\nA"), 505 },
    { .says = "unknown method before a bad field", LINE("FOO / HTTP/1.1\r\nA"), 501 },
    { .says = "a NUL before unknown method", LINE("FOO / HTTP/1.1\0"), 400 },
    { .says = "coding before a bad field",
        LINE("GET / HTTP/1.1\r\nTransfer-Encoding: x\r\nA"),
        501 },
    { .says = "a bad field before coding",
        LINE("GET / HTTP/1.1\r\nA\r\nTransfer-Encoding: x"),
        400 },
    { .says = "a NUL in a field before its coding",
        LINE("GET / HTTP/1.1\r\nTransfer-Encoding: x\0"),
        400 },
    { .says = "coding before both lengths",
        LINE("GET / HTTP/1.1\r\nContent-Length: 1\r\nTransfer-Encoding: x"),
        501 },
    { .says = "coding before a missing Host",
        BYTES("GET / HTTP/1.1\r\nTransfer-Encoding: x\r\n\r\n"),
        501 },
};

START_TEST(the_first_of_several_faults_is_answered)
{
    head_cases_check(&several_faults[_i]);
}
END_TEST

START_TEST(the_request_line_is_known_to_be_complete_at_its_line_feed)
{
    char bytes[] = "\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n";
    size_t line = strlen("\r\nGET / HTTP/1.1\r\n");
    rv_http_parser_t p;

    rv_http_parse_init(&p);
    for (size_t n = 0; n < sizeof(bytes); n++) {
        rv_http_parse_head(&p, bytes, n);
        ck_assert_int_eq(rv_http_parse_has_line(&p), n >= line);
    }
}
END_TEST

START_TEST(the_next_request_is_parsed_from_where_the_head_ended)
{
    char bytes[] = "GET /a HTTP/1.1\nHost: a\nConnection: close\n\nHEAD /b HTTP/1.0\n\n";
    size_t length = sizeof(bytes) - 1;
    rv_http_parser_t p;

    rv_http_parse_init(&p);
    ck_assert_int_eq(rv_http_parse_head(&p, bytes, length), RV_OK);
    ck_assert_str_eq(p.path, "/a");

    size_t first = p.head_length;
    rv_http_parse_init(&p);
    ck_assert_int_eq(rv_http_parse_head(&p, bytes + first, length - first), RV_OK);
    ck_assert_int_eq(p.method, RV_HTTP_HEAD);
    ck_assert_str_eq(p.path, "/b");
    ck_assert_uint_eq(head_cases_flags(&p), 0);
    ck_assert_uint_eq(first + p.head_length, length);
}
END_TEST

static void
add(TCase *tcase)
{
    ADD_TABLE(tcase, a_good_request_is_understood_however_it_is_cut, good);
    ADD_TABLE(tcase, an_unfinished_head_waits_for_more, unfinished);
    ADD_TABLE(tcase, a_method_is_known_by_its_exact_name_and_501_otherwise, method_cases);
    ADD_TABLE(tcase, a_target_becomes_a_path_and_a_query_or_400, targets);
    ADD_TABLE(tcase, a_malformed_request_line_is_400, bad_lines);
    ADD_TABLE(tcase, a_version_other_than_1_is_505, other_versions);
    ADD_TABLE(tcase, the_first_of_several_faults_is_answered, several_faults);
    tcase_add_test(tcase, the_request_line_is_known_to_be_complete_at_its_line_feed);
    tcase_add_test(tcase, the_next_request_is_parsed_from_where_the_head_ended);
}

int
main(void)
{
    return head_cases_run("http_line", add);
}
