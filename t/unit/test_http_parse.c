/*
 * test_http_parse: request heads and chunked bodies, cut in every way.
 *
 * A case is bytes and the one outcome they must have: given whole, given in
 * two pieces cut at every position, and given byte by byte; each once alone
 * and once with the next request behind it, which must stay as it is.
 * The bytes end where their allocation ends, so that a sanitizer sees what is
 * read past them. What was not given yet are line feeds: whoever peeks at
 * them ends a line too early and has another outcome.
 */
#include "rv_http_parse.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NEXT "GET /%6eext?q HTTP/1.1\r\nHost: a\r\n\r\n"

#define BYTES(literal) (literal), sizeof(literal) - 1

enum {
    HOST = 0x1,
    LENGTH = 0x2,
    CODING = 0x4,
    CHUNKED = 0x8,
    CLOSE = 0x10,
    KEEP_ALIVE = 0x20,
    CONTINUE = 0x40,
    OTHER = 0x80,
    KEPT = 0x100 /* rv_http_parse_keep_alive */
};

typedef struct {
    const char *says;
    const char *bytes;
    size_t length;
    int rc;

    /* when rc is RV_OK */
    rv_http_method_t method;
    unsigned minor;
    const char *path;
    const char *query;
    unsigned flags;
    uint64_t content_length;
} head_case_t;

/* One request on its way in. */
typedef struct {
    const head_case_t *want;
    const char *rest;
    size_t total;
    size_t given;
    char *sent;
    char *buf;
    rv_http_parser_t parser;
    int rc;
} trial_t;

static char *
allocate(size_t size)
{
    char *p = malloc(size > 0 ? size : 1);

    if (p == NULL)
        ck_abort_msg("out of memory");
    return p;
}

static void
trial_begin(trial_t *t, const head_case_t *want, const char *rest)
{
    size_t rest_length = strlen(rest);

    memset(t, 0, sizeof(*t));
    t->want = want;
    t->rest = rest;
    t->total = want->length + rest_length;

    t->sent = allocate(t->total);
    memcpy(t->sent, want->bytes, want->length);
    memcpy(t->sent + want->length, rest, rest_length);

    t->buf = allocate(t->total);
    memset(t->buf, '\n', t->total);

    rv_http_parse_init(&t->parser);
    t->rc = RV_AGAIN;
}

static size_t
count_feeds(const char *bytes, size_t length)
{
    size_t n = 0;

    while (n < length && bytes[n] == '\n')
        n++;

    return n;
}

static void
trial_give(trial_t *t, size_t upto)
{
    memcpy(t->buf + t->given, t->sent + t->given, upto - t->given);
    t->given = upto;

    if (t->rc == RV_AGAIN)
        t->rc = rv_http_parse_head(&t->parser, t->buf, upto);

    if (t->rc == RV_AGAIN && t->parser.scanned != upto)
        ck_abort_msg("%s: %zu of %zu bytes were looked at", t->want->says, t->parser.scanned, upto);

    size_t untouched = count_feeds(t->buf + upto, t->total - upto);
    if (untouched < t->total - upto)
        ck_abort_msg("%s: byte %zu was written before it came", t->want->says, upto + untouched);
}

static unsigned
flags_of(const rv_http_parser_t *p)
{
    return (p->has_host ? HOST : 0u) | (p->has_length ? LENGTH : 0u)
        | (p->transfer_encoding ? CODING : 0u) | (p->chunked ? CHUNKED : 0u)
        | (p->connection_close ? CLOSE : 0u) | (p->connection_keep_alive ? KEEP_ALIVE : 0u)
        | (p->expect_continue ? CONTINUE : 0u) | (p->expect_other ? OTHER : 0u)
        | (rv_http_parse_keep_alive(p) ? KEPT : 0u);
}

static int
same_string(const char *a, const char *b)
{
    return a == NULL || b == NULL ? a == b : strcmp(a, b) == 0;
}

static void
expect(const trial_t *t, size_t cut, int holds, const char *what)
{
    if (!holds)
        ck_abort_msg("%s, cut at %zu: wrong %s", t->want->says, cut, what);
}

static void
check_head(const trial_t *t, size_t cut)
{
    const head_case_t *want = t->want;
    const rv_http_parser_t *p = &t->parser;

    expect(t, cut, p->method == want->method, "method");
    expect(t, cut, p->minor == want->minor, "version");
    expect(t, cut, same_string(p->path, want->path), "path");
    expect(t, cut, p->path_length == strlen(p->path), "path length");
    expect(t, cut, same_string(p->query, want->query), "query");
    expect(t, cut, flags_of(p) == want->flags, "fields");
    expect(t, cut, p->content_length == want->content_length, "content length");
    expect(t, cut, p->head_length == want->length, "head length");
    expect(t, cut, rv_http_parse_has_line(p), "has_line");
    expect(t, cut, memcmp(t->buf + want->length, t->rest, strlen(t->rest)) == 0,
        "bytes after the head");
}

static void
trial_end(trial_t *t, size_t cut)
{
    ck_assert_msg(t->rc == t->want->rc, "%s, cut at %zu: %d instead of %d", t->want->says, cut,
        t->rc, t->want->rc);

    if (t->rc == RV_OK)
        check_head(t, cut);

    free(t->sent);
    free(t->buf);
}

static void
check_with_rest(const head_case_t *want, const char *rest)
{
    size_t total = want->length + strlen(rest);
    trial_t t;

    for (size_t cut = 0; cut <= total; cut++) {
        trial_begin(&t, want, rest);
        trial_give(&t, cut);
        if (want->rc == RV_OK && cut < want->length)
            ck_assert_msg(t.rc == RV_AGAIN, "%s: complete after %zu bytes", want->says, cut);
        trial_give(&t, total);
        trial_end(&t, cut);
    }

    trial_begin(&t, want, rest);
    for (size_t upto = 1; upto <= total; upto++)
        trial_give(&t, upto);
    trial_end(&t, 1);
}

static void
check_case(const head_case_t *want)
{
    check_with_rest(want, "");
    if (want->rc != RV_AGAIN)
        check_with_rest(want, NEXT);
}

#define PLAIN RV_HTTP_GET, 1, "/", NULL

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
    check_case(&good[_i]);
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
    check_case(&unfinished[_i]);
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
    check_case(&want);
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

    check_case(&want);
}
END_TEST

START_TEST(a_missing_host_is_400_even_with_an_absolute_target)
{
    head_case_t want = {
        .says = "absolute, no Host", BYTES("GET http://a/ HTTP/1.1\r\n\r\n"), 400
    };

    check_case(&want);
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
    check_case(&bad_lines[_i]);
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
    check_case(&other_versions[_i]);
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
    check_case(&several_faults[_i]);
}
END_TEST

#define FIELD(text) BYTES("GET / HTTP/1.1\r\nHost: a\r\n" text "\r\nB: c\r\n\r\n")

static const head_case_t bad_fields[] = {
    { .says = "no colon", FIELD("A"), 400 },
    { .says = "a word without colon", FIELD("A b"), 400 },
    { .says = "no name", FIELD(": b"), 400 },
    { .says = "only a colon", FIELD(":"), 400 },
    { .says = "a space before the colon", FIELD("A : b"), 400 },
    { .says = "a tab before the colon", FIELD("A\t: b"), 400 },
    { .says = "a name that is no token", FIELD("A(b): c"), 400 },
    { .says = "a name with a byte over 127", FIELD("\xc3\xa9: c"), 400 },
    { .says = "a folded line", FIELD("A: b\r\n c"), 400 },
    { .says = "a line folded with a tab", FIELD("A: b\r\n\tc"), 400 },
    { .says = "a folded field", FIELD("A: b\r\n C: d"), 400 },
    { .says = "a line of one space", FIELD(" "), 400 },
    { .says = "a first line that is folded", BYTES("GET / HTTP/1.1\r\n Host: a\r\n\r\n"), 400 },
    { .says = "a NUL in a name", FIELD("A\0: b"), 400 },
    { .says = "a NUL in a value", FIELD("A: b\0c"), 400 },
    { .says = "a NUL at the end", FIELD("A: b\0"), 400 },
    { .says = "a bare CR in a name", FIELD("A\r: b"), 400 },
    { .says = "a bare CR in a value", FIELD("A: b\rc"), 400 },
    { .says = "two CRs", FIELD("A: b\r"), 400 },
    { .says = "a CR before the empty line", BYTES("GET / HTTP/1.0\r\n\r\r\n"), 400 },
    { .says = "a control character", FIELD("A: \x01"), 400 },
    { .says = "an escape", FIELD("A: \x1b[0m"), 400 },
    { .says = "a delete", FIELD("A: \x7f"), 400 },
};

START_TEST(a_malformed_field_is_400)
{
    check_case(&bad_fields[_i]);
}
END_TEST

#define ONLY(text) BYTES("GET / HTTP/1.1\r\n" text "\r\n\r\n")

static const head_case_t hosts[] = {
    { "a name", ONLY("Host: example.com"), RV_OK, PLAIN, HOST | KEPT, 0 },
    { "a port", ONLY("Host: example.com:8080"), RV_OK, PLAIN, HOST | KEPT, 0 },
    { "an empty port", ONLY("Host: example.com:"), RV_OK, PLAIN, HOST | KEPT, 0 },
    { "an address", ONLY("Host: 127.0.0.1"), RV_OK, PLAIN, HOST | KEPT, 0 },
    { "an IPv6 address", ONLY("Host: [2001:db8::1]:80"), RV_OK, PLAIN, HOST | KEPT, 0 },
    { "odd but allowed", ONLY("Host: a_b-%41~!$&'()*+,;="), RV_OK, PLAIN, HOST | KEPT, 0 },
    { "empty", ONLY("Host:"), RV_OK, PLAIN, HOST | KEPT, 0 },
    { "blank", ONLY("Host: \t"), RV_OK, PLAIN, HOST | KEPT, 0 },
    { "only a port", ONLY("Host: :80"), RV_OK, PLAIN, HOST | KEPT, 0 },
    { "no blank, upper case", ONLY("HOST:a"), RV_OK, PLAIN, HOST | KEPT, 0 },
    { "blanks around", ONLY("Host:\t a \t"), RV_OK, PLAIN, HOST | KEPT, 0 },
    { "in HTTP/1.0", BYTES("GET / HTTP/1.0\nHost: a\n\n"), RV_OK, RV_HTTP_GET, 0, "/", NULL, HOST,
        0 },

    { .says = "missing", ONLY("A: b"), 400 },
    { .says = "missing, no field at all", BYTES("GET / HTTP/1.1\r\n\r\n"), 400 },
    { .says = "missing in HTTP/1.2", BYTES("GET / HTTP/1.2\r\n\r\n"), 400 },
    { .says = "two", ONLY("Host: a\r\nHost: b"), 400 },
    { .says = "the same twice", ONLY("Host: a\r\nhost: a"), 400 },
    { .says = "two, the first empty", ONLY("Host:\r\nHost: a"), 400 },
    { .says = "two in HTTP/1.0", BYTES("GET / HTTP/1.0\nHost: a\nHost: a\n\n"), 400 },
    { .says = "a space", ONLY("Host: a b"), 400 },
    { .says = "a tab", ONLY("Host: a\tb"), 400 },
    { .says = "a slash", ONLY("Host: a/b"), 400 },
    { .says = "a user", ONLY("Host: a@b"), 400 },
    { .says = "a question mark", ONLY("Host: a?b"), 400 },
    { .says = "a number sign", ONLY("Host: a#b"), 400 },
    { .says = "a control character", ONLY("Host: a\x01"), 400 },
    { .says = "a byte over 127", ONLY("Host: \xc3\xa9"), 400 },
    { .says = "a port of letters", ONLY("Host: a:b"), 400 },
    { .says = "two ports", ONLY("Host: a:1:2"), 400 },
    { .says = "an IPv6 address without brackets", ONLY("Host: 2001:db8::1"), 400 },
    { .says = "an open bracket", ONLY("Host: [::1"), 400 },
    { .says = "empty brackets", ONLY("Host: []"), 400 },
    { .says = "text after the bracket", ONLY("Host: [::1]a"), 400 },
};

START_TEST(one_sound_host_is_required)
{
    check_case(&hosts[_i]);
}
END_TEST

static const head_case_t lengths[] = {
    { "zero", FIELD("Content-Length: 0"), RV_OK, PLAIN, HOST | LENGTH | KEPT, 0 },
    { "leading zeros", FIELD("content-length:0042"), RV_OK, PLAIN, HOST | LENGTH | KEPT, 42 },
    { "the largest", FIELD("Content-Length: 18446744073709551615"), RV_OK, PLAIN,
        HOST | LENGTH | KEPT, UINT64_MAX },
    { "in HTTP/1.0", BYTES("GET / HTTP/1.0\nContent-Length: 7\n\n"), RV_OK, RV_HTTP_GET, 0, "/",
        NULL, LENGTH, 7 },

    { .says = "one too large", FIELD("Content-Length: 18446744073709551616"), 400 },
    { .says = "far too large", FIELD("Content-Length: 99999999999999999999999"), 400 },
    { .says = "empty", FIELD("Content-Length:"), 400 },
    { .says = "negative", FIELD("Content-Length: -1"), 400 },
    { .says = "a plus sign", FIELD("Content-Length: +1"), 400 },
    { .says = "hex", FIELD("Content-Length: 0x1"), 400 },
    { .says = "a fraction", FIELD("Content-Length: 1.0"), 400 },
    { .says = "a space", FIELD("Content-Length: 1 2"), 400 },
    { .says = "a list", FIELD("Content-Length: 1,1"), 400 },
    { .says = "two", FIELD("Content-Length: 1\r\nContent-Length: 2"), 400 },
    { .says = "two, equal", FIELD("Content-Length: 1\r\nContent-Length: 1"), 400 },
    { .says = "two, zero", FIELD("Content-Length: 0\r\nContent-Length: 0"), 400 },
};

START_TEST(one_content_length_of_digits_is_allowed)
{
    check_case(&lengths[_i]);
}
END_TEST

static const head_case_t codings[] = {
    { "chunked", FIELD("Transfer-Encoding: chunked"), RV_OK, PLAIN, HOST | CODING | CHUNKED | KEPT,
        0 },
    { "any case", FIELD("TRANSFER-encoding: \tChunKED "), RV_OK, PLAIN,
        HOST | CODING | CHUNKED | KEPT, 0 },

    { .says = "gzip", FIELD("Transfer-Encoding: gzip"), 501 },
    { .says = "identity", FIELD("Transfer-Encoding: identity"), 501 },
    { .says = "a list", FIELD("Transfer-Encoding: gzip, chunked"), 501 },
    { .says = "chunked twice in a list", FIELD("Transfer-Encoding: chunked, chunked"), 501 },
    { .says = "a parameter", FIELD("Transfer-Encoding: chunked;a=b"), 501 },
    { .says = "quoted", FIELD("Transfer-Encoding: \"chunked\""), 501 },
    { .says = "less than chunked", FIELD("Transfer-Encoding: chunke"), 501 },
    { .says = "empty", FIELD("Transfer-Encoding:"), 501 },
    { .says = "twice", FIELD("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked"), 400 },
    { .says = "in HTTP/1.0", BYTES("GET / HTTP/1.0\nTransfer-Encoding: chunked\n\n"), 400 },
    { .says = "unknown in HTTP/1.0", BYTES("GET / HTTP/1.0\nTransfer-Encoding: gzip\n\n"), 400 },
    { .says = "then a length", FIELD("Transfer-Encoding: chunked\r\nContent-Length: 1"), 400 },
    { .says = "after a length", FIELD("Content-Length: 0\r\nTransfer-Encoding: chunked"), 400 },
};

START_TEST(chunked_is_the_only_coding_and_excludes_a_length)
{
    check_case(&codings[_i]);
}
END_TEST

#define OLD(text) BYTES("GET / HTTP/1.0\r\n" text "\r\n\r\n")
#define PLAIN_OLD RV_HTTP_GET, 0, "/", NULL

static const head_case_t connections[] = {
    { "1.1, close", FIELD("Connection: close"), RV_OK, PLAIN, HOST | CLOSE, 0 },
    { "1.1, any case", FIELD("CONNECTION: CLOSE"), RV_OK, PLAIN, HOST | CLOSE, 0 },
    { "1.1, keep-alive", FIELD("Connection: keep-alive"), RV_OK, PLAIN, HOST | KEEP_ALIVE | KEPT,
        0 },
    { "1.1, both", FIELD("Connection: keep-alive, close"), RV_OK, PLAIN, HOST | CLOSE | KEEP_ALIVE,
        0 },
    { "1.1, in a list", FIELD("Connection: upgrade ,\tclose\t, te"), RV_OK, PLAIN, HOST | CLOSE,
        0 },
    { "1.1, no blanks", FIELD("Connection: a,close"), RV_OK, PLAIN, HOST | CLOSE, 0 },
    { "1.1, empty elements", FIELD("Connection: ,, ,close,"), RV_OK, PLAIN, HOST | CLOSE, 0 },
    { "1.1, repeated", FIELD("Connection: close\r\nConnection: te"), RV_OK, PLAIN, HOST | CLOSE,
        0 },
    { "1.1, other words", FIELD("Connection: closed, clos, not close"), RV_OK, PLAIN, HOST | KEPT,
        0 },
    { "1.1, empty", FIELD("Connection:"), RV_OK, PLAIN, HOST | KEPT, 0 },
    { "1.0, nothing", OLD("A: b"), RV_OK, PLAIN_OLD, 0, 0 },
    { "1.0, keep-alive", OLD("Connection: Keep-Alive"), RV_OK, PLAIN_OLD, KEEP_ALIVE | KEPT, 0 },
    { "1.0, close", OLD("Connection: close"), RV_OK, PLAIN_OLD, CLOSE, 0 },
    { "1.0, both", OLD("Connection: close\r\nConnection: keep-alive"), RV_OK, PLAIN_OLD,
        CLOSE | KEEP_ALIVE, 0 },
};

START_TEST(a_connection_is_kept_as_version_and_options_say)
{
    check_case(&connections[_i]);
}
END_TEST

static const struct {
    const char *head;
    const char *accept; /* NULL: none */
} accepts[] = {
    { "GET / HTTP/1.1\r\nHost: a\r\n\r\n", NULL },
    { "GET / HTTP/1.1\r\nHost: a\r\nAccept: text/plain\r\n\r\n", "text/plain" },
    { "GET / HTTP/1.1\nHost: a\nACCEPT:  a/b;q=0.5, */* \t \nX: y\n\n", "a/b;q=0.5, */*" },
    { "GET / HTTP/1.1\r\nHost: a\r\nAccept:\r\n\r\n", "" },
    { "GET / HTTP/1.1\r\nHost: a\r\nAccept: a/b\r\nAccept: c/d\r\n\r\n", "a/b" },
    { "GET / HTTP/1.1\r\nHost: a\r\nAccept-Encoding: gzip\r\n\r\n", NULL },
};

START_TEST(what_the_client_accepts_is_kept)
{
    rv_http_parser_t p;
    char *head = strdup(accepts[_i].head);
    size_t length = strlen(head);

    /* a byte at a time: what was found must not be changed by what follows */
    rv_http_parse_init(&p);
    for (size_t n = 1; n < length; n++)
        ck_assert_int_eq(rv_http_parse_head(&p, head, n), RV_AGAIN);
    ck_assert_int_eq(rv_http_parse_head(&p, head, length), RV_OK);

    if (accepts[_i].accept == NULL)
        ck_assert_ptr_null(p.accept);
    else
        ck_assert_str_eq(p.accept, accepts[_i].accept);
    free(head);
}
END_TEST

static const head_case_t expectations[] = {
    { "100-continue", FIELD("Expect: 100-continue"), RV_OK, PLAIN, HOST | CONTINUE | KEPT, 0 },
    { "any case", FIELD("EXPECT:100-CONTINUE "), RV_OK, PLAIN, HOST | CONTINUE | KEPT, 0 },
    { "another", FIELD("Expect: 200-ok"), RV_OK, PLAIN, HOST | OTHER | KEPT, 0 },
    { "a list", FIELD("Expect: 100-continue, a"), RV_OK, PLAIN, HOST | OTHER | KEPT, 0 },
    { "both", FIELD("Expect: 100-continue\r\nExpect: a"), RV_OK, PLAIN,
        HOST | CONTINUE | OTHER | KEPT, 0 },
    { "1.0 ignores 100-continue", OLD("Expect: 100-continue"), RV_OK, PLAIN_OLD, 0, 0 },
    { "1.0, another", OLD("Expect: a"), RV_OK, PLAIN_OLD, OTHER, 0 },
};

START_TEST(an_expectation_is_told_apart)
{
    check_case(&expectations[_i]);
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
    ck_assert_uint_eq(flags_of(&p), 0);
    ck_assert_uint_eq(first + p.head_length, length);
}
END_TEST

typedef struct {
    const char *says;
    const char *bytes;
    size_t length;
    int rc;
    uint64_t total; /* unless rc is 400 */
} body_case_t;

static const body_case_t bodies[] = {
    { "empty", BYTES("0\r\n\r\n"), RV_OK, 0 },
    { "one chunk", BYTES("5\r\nhello\r\n0\r\n\r\n"), RV_OK, 5 },
    { "two chunks", BYTES("5\r\nhello\r\nA\r\n0123456789\r\n0\r\n\r\n"), RV_OK, 15 },
    { "lower case, leading zeros", BYTES("00a\r\n0123456789\r\n000\r\n\r\n"), RV_OK, 10 },
    { "bare LFs", BYTES("5\nhello\n0\n\n"), RV_OK, 5 },
    { "content that looks like an end", BYTES("7\r\n\r\n0\r\n\r\n\r\n0\r\n\r\n"), RV_OK, 7 },
    { "content that ends in a CR", BYTES("6\r\nhello\r\n0\r\n\r\n"), RV_OK, 6 },
    { "content with NULs", BYTES("3\r\n\0\0\0\r\n0\r\n\r\n"), RV_OK, 3 },
    { "an extension", BYTES("5;a\r\nhello\r\n0;b=c;d=\"e:f\xff\t\"\r\n\r\n"), RV_OK, 5 },
    { "blanks before the extension", BYTES("1 \t; a = b\r\nx\r\n0\r\n\r\n"), RV_OK, 1 },
    { "an empty extension", BYTES("1;\r\nx\r\n0;\r\n\r\n"), RV_OK, 1 },
    { "trailers", BYTES("0\r\nA: b\r\nde-f:\r\nX:  y:;\t\xff \r\n\r\n"), RV_OK, 0 },
    { "trailers with bare LFs", BYTES("0\nA: b\nC: d\n\n"), RV_OK, 0 },

    { "nothing", BYTES(""), RV_AGAIN, 0 },
    { "half a size", BYTES("5"), RV_AGAIN, 0 },
    { "half a line end", BYTES("5\r"), RV_AGAIN, 0 },
    { "no content yet", BYTES("5\r\n"), RV_AGAIN, 5 },
    { "half the content", BYTES("5\r\nhe"), RV_AGAIN, 5 },
    { "no end of the chunk", BYTES("5\r\nhello"), RV_AGAIN, 5 },
    { "no last chunk", BYTES("5\r\nhello\r\n"), RV_AGAIN, 5 },
    { "no trailer", BYTES("0\r\n"), RV_AGAIN, 0 },
    { "half a trailer", BYTES("0\r\nA: b"), RV_AGAIN, 0 },
    { "no end of the trailer", BYTES("0\r\nA: b\r\n"), RV_AGAIN, 0 },
    { "half the end", BYTES("0\r\n\r"), RV_AGAIN, 0 },
    { "the largest size", BYTES("ffffffffffffffff\r\n"), RV_AGAIN, UINT64_MAX },

    { "no size", BYTES("\r\n"), 400, 0 },
    { "no size, a bare LF", BYTES("\n"), 400, 0 },
    { "no digit", BYTES("g\r\n"), 400, 0 },
    { "a letter after the size", BYTES("5g\r\n"), 400, 0 },
    { "hex with 0x", BYTES("0x5\r\nhello\r\n"), 400, 0 },
    { "a negative size", BYTES("-1\r\n"), 400, 0 },
    { "a plus sign", BYTES("+1\r\n"), 400, 0 },
    { "a blank before the size", BYTES(" 5\r\n"), 400, 0 },
    { "a blank after the size", BYTES("5 \r\n"), 400, 0 },
    { "a second word", BYTES("5 5\r\n"), 400, 0 },
    { "only an extension", BYTES(";a\r\n"), 400, 0 },
    { "a NUL in the size", BYTES("5\0\r\n"), 400, 0 },
    { "a NUL in an extension", BYTES("5;a\0\r\n"), 400, 0 },
    { "a control character in an extension", BYTES("5;a\x01\r\n"), 400, 0 },
    { "a bare CR in the size", BYTES("5\r5\r\n"), 400, 0 },
    { "a bare CR in an extension", BYTES("5;a\rb\r\n"), 400, 0 },
    { "a bare LF after an extension", BYTES("5;a\nhello\r\n0\r\n\r\n"), 400, 0 },
    { "a size too large", BYTES("10000000000000000\r\n"), 400, 0 },
    { "a size far too large", BYTES("fffffffffffffffffffffffff\r\n"), 400, 0 },
    { "a sum too large", BYTES("1\r\nx\r\nffffffffffffffff\r\n"), 400, 0 },
    { "content longer than its size", BYTES("4\r\nhello\r\n0\r\n\r\n"), 400, 0 },
    { "content shorter than its size", BYTES("7\r\nhello\r\n0\r\n\r\n"), 400, 0 },
    { "a bare CR after the content", BYTES("5\r\nhello\r0\r\n\r\n"), 400, 0 },
    { "an empty line after the content", BYTES("5\r\nhello\r\n\r\n0\r\n\r\n"), 400, 0 },
    { "a trailer without colon", BYTES("0\r\nA\r\n\r\n"), 400, 0 },
    { "a trailer without name", BYTES("0\r\n: a\r\n\r\n"), 400, 0 },
    { "a space before the colon", BYTES("0\r\nA : b\r\n\r\n"), 400, 0 },
    { "a folded trailer", BYTES("0\r\nA: b\r\n c\r\n\r\n"), 400, 0 },
    { "a bare CR in a trailer", BYTES("0\r\nA: b\rc\r\n\r\n"), 400, 0 },
    { "a bare CR at the end", BYTES("0\r\n\ra"), 400, 0 },
    { "a NUL in a trailer", BYTES("0\r\nA: \0\r\n\r\n"), 400, 0 },
    { "a control character in a trailer", BYTES("0\r\nA: \x1b\r\n\r\n"), 400, 0 },
};

/* Gives bytes[*at..upto) in an allocation of just that size. */
static int
skip_piece(rv_http_chunked_t *c, const char *bytes, size_t *at, size_t upto)
{
    size_t length = upto - *at;
    size_t used = SIZE_MAX;
    char *piece = allocate(length);

    memcpy(piece, bytes + *at, length);
    int rc = rv_http_chunked_skip(c, length > 0 ? piece : piece + 1, length, &used);
    free(piece);

    if (used > length || (rc == RV_AGAIN && used != length))
        ck_abort_msg("%zu of %zu bytes used, %d", used, length, rc);

    *at += used;
    return rc;
}

static void
check_body_cut(const body_case_t *want, const char *bytes, size_t length, size_t cut, size_t pace)
{
    rv_http_chunked_t c;
    size_t at = 0;

    rv_http_chunked_init(&c);
    int rc = skip_piece(&c, bytes, &at, cut);
    while (rc == RV_AGAIN && at < length)
        rc = skip_piece(&c, bytes, &at, rv_min(length, at + pace));

    ck_assert_msg(
        rc == want->rc, "%s, cut at %zu: %d instead of %d", want->says, cut, rc, want->rc);
    if (rc == 400)
        return;

    ck_assert_msg(at == want->length, "%s, cut at %zu: %zu bytes of %zu used", want->says, cut, at,
        want->length);
    ck_assert_msg(c.total == want->total, "%s, cut at %zu: wrong total", want->says, cut);
}

/* Each position, but few of those far from both ends of a long body. */
static size_t
next_cut(size_t cut, size_t length)
{
    return cut >= 64 && cut + 256 < length ? cut + 127 : cut + 1;
}

static void
check_body_with_rest(const body_case_t *want, const char *rest)
{
    size_t rest_length = strlen(rest);
    size_t length = want->length + rest_length;
    char *bytes = allocate(length);

    memcpy(bytes, want->bytes, want->length);
    memcpy(bytes + want->length, rest, rest_length);

    for (size_t cut = 0; cut <= length; cut = next_cut(cut, length))
        check_body_cut(want, bytes, length, cut, SIZE_MAX / 2);

    check_body_cut(want, bytes, length, 0, 1);
    free(bytes);
}

static void
check_body(const body_case_t *want)
{
    check_body_with_rest(want, "");
    if (want->rc != RV_AGAIN)
        check_body_with_rest(want, NEXT);
}

START_TEST(a_chunked_body_ends_in_the_same_place_however_it_is_cut)
{
    check_body(&bodies[_i]);
}
END_TEST

/* before, then as many 'x' as make it size bytes, then after */
static const struct {
    const char *says;
    const char *before;
    const char *after;
    size_t size;
    int rc;
} long_bodies[] = {
    { "the longest size line", "0;", "\r\n\r\n", RV_HTTP_CHUNKED_LINE + 2, RV_OK },
    { "a size line too long", "0;", "\r\n\r\n", RV_HTTP_CHUNKED_LINE + 3, 400 },
    { "a size line without end", "0;", "", RV_HTTP_CHUNKED_LINE + 1, 400 },
    { "the longest trailer line", "0\r\nA:", "\r\n\r\n", 3 + RV_HTTP_CHUNKED_LINE + 2, RV_OK },
    { "a trailer line too long", "0\r\nA:", "\r\n\r\n", 3 + RV_HTTP_CHUNKED_LINE + 3, 400 },
    { "a trailer name without end", "0\r\n", "", 3 + RV_HTTP_CHUNKED_LINE + 1, 400 },
};

START_TEST(a_line_over_4096_bytes_is_400)
{
    size_t size = long_bodies[_i].size;
    size_t before = strlen(long_bodies[_i].before);
    size_t after = strlen(long_bodies[_i].after);
    char *bytes = allocate(size);
    body_case_t want = { long_bodies[_i].says, bytes, size, long_bodies[_i].rc, 0 };

    memset(bytes, 'x', size);
    memcpy(bytes, long_bodies[_i].before, before);
    memcpy(bytes + size - after, long_bodies[_i].after, after);

    check_body(&want);
    free(bytes);
}
END_TEST

START_TEST(trailers_over_8192_bytes_are_400)
{
    size_t size = 3 + RV_HTTP_CHUNKED_TRAILER;
    char *bytes = allocate(size + 1);

    /* "0\r\n", lines of 8 bytes, and in the last 8 the end */
    memcpy(bytes, "0\r\n", 3);
    for (size_t at = 3; at < size; at += 8)
        memcpy(bytes + at, "abc: d\r\n", 8);

    memcpy(bytes + size - 8, "a: bc\n\r\n", 8);
    body_case_t longest = { "the longest trailer", bytes, size, RV_OK, 0 };
    check_body(&longest);

    memcpy(bytes + size - 8, "a: bcd\n\r\n", 9);
    body_case_t longer = { "a longer trailer", bytes, size + 1, 400, 0 };
    check_body(&longer);

    free(bytes);
}
END_TEST

START_TEST(many_chunks_may_be_longer_than_any_limit_of_a_line)
{
    rv_http_chunked_t c;
    size_t used;

    rv_http_chunked_init(&c);
    for (unsigned i = 0; i < 10000; i++)
        ck_assert_int_eq(rv_http_chunked_skip(&c, "1;a\r\nx\r\n", 8, &used), RV_AGAIN);

    ck_assert_int_eq(rv_http_chunked_skip(&c, "0\r\n\r\nGET", 8, &used), RV_OK);
    ck_assert_uint_eq(used, 5);
    ck_assert_uint_eq(c.total, 10000);
}
END_TEST

START_TEST(the_total_counts_a_chunk_before_its_content_came)
{
    rv_http_chunked_t c;
    size_t used;

    rv_http_chunked_init(&c);
    ck_assert_int_eq(rv_http_chunked_skip(&c, "1000\r", 5, &used), RV_AGAIN);
    ck_assert_uint_eq(c.total, 0);
    ck_assert_int_eq(rv_http_chunked_skip(&c, "\n", 1, &used), RV_AGAIN);
    ck_assert_uint_eq(c.total, 4096);
}
END_TEST

START_TEST(a_body_once_malformed_or_complete_stays_so)
{
    rv_http_chunked_t c;
    size_t used;

    rv_http_chunked_init(&c);
    ck_assert_int_eq(rv_http_chunked_skip(&c, "z", 1, &used), 400);
    ck_assert_int_eq(rv_http_chunked_skip(&c, "0\r\n\r\n", 5, &used), 400);
    ck_assert_uint_eq(used, 0);

    rv_http_chunked_init(&c);
    ck_assert_int_eq(rv_http_chunked_skip(&c, "0\r\n\r\n", 5, &used), RV_OK);
    ck_assert_int_eq(rv_http_chunked_skip(&c, "5\r\n", 3, &used), RV_OK);
    ck_assert_uint_eq(used, 0);
}
END_TEST

#define ADD_TABLE(tcase, test, table) \
    tcase_add_loop_test((tcase), (test), 0, (int) rv_countof(table))

static Suite *
http_parse_suite(void)
{
    Suite *suite = suite_create("http_parse");
    TCase *line = tcase_create("request line");
    TCase *field = tcase_create("fields");
    TCase *body = tcase_create("chunked");

    ADD_TABLE(line, a_good_request_is_understood_however_it_is_cut, good);
    ADD_TABLE(line, an_unfinished_head_waits_for_more, unfinished);
    ADD_TABLE(line, a_method_is_known_by_its_exact_name_and_501_otherwise, method_cases);
    ADD_TABLE(line, a_target_becomes_a_path_and_a_query_or_400, targets);
    ADD_TABLE(line, a_malformed_request_line_is_400, bad_lines);
    ADD_TABLE(line, a_version_other_than_1_is_505, other_versions);
    ADD_TABLE(line, the_first_of_several_faults_is_answered, several_faults);
    tcase_add_test(line, the_request_line_is_known_to_be_complete_at_its_line_feed);
    tcase_add_test(line, the_next_request_is_parsed_from_where_the_head_ended);

    ADD_TABLE(field, a_malformed_field_is_400, bad_fields);
    ADD_TABLE(field, one_sound_host_is_required, hosts);
    tcase_add_test(field, a_missing_host_is_400_even_with_an_absolute_target);
    ADD_TABLE(field, one_content_length_of_digits_is_allowed, lengths);
    ADD_TABLE(field, chunked_is_the_only_coding_and_excludes_a_length, codings);
    ADD_TABLE(field, a_connection_is_kept_as_version_and_options_say, connections);
    ADD_TABLE(field, an_expectation_is_told_apart, expectations);
    ADD_TABLE(field, what_the_client_accepts_is_kept, accepts);

    ADD_TABLE(body, a_chunked_body_ends_in_the_same_place_however_it_is_cut, bodies);
    ADD_TABLE(body, a_line_over_4096_bytes_is_400, long_bodies);
    tcase_add_test(body, trailers_over_8192_bytes_are_400);
    tcase_add_test(body, many_chunks_may_be_longer_than_any_limit_of_a_line);
    tcase_add_test(body, the_total_counts_a_chunk_before_its_content_came);
    tcase_add_test(body, a_body_once_malformed_or_complete_stays_so);
    tcase_set_timeout(body, 60);

    suite_add_tcase(suite, line);
    suite_add_tcase(suite, field);
    suite_add_tcase(suite, body);
    return suite;
}

int
main(void)
{
    SRunner *runner = srunner_create(http_parse_suite());

    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);

    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
