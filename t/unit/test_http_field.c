/*
 * test_http_field: the fields of a request head that mean something here.
 */
#include "head_cases.h"

#include <stdlib.h>
#include <string.h>

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
    head_cases_check(&bad_fields[_i]);
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
    head_cases_check(&hosts[_i]);
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
    head_cases_check(&lengths[_i]);
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
    head_cases_check(&codings[_i]);
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
    head_cases_check(&connections[_i]);
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

START_TEST(where_a_client_of_events_stood_is_kept)
{
    char head[] = "GET / HTTP/1.1\r\nHost: a\r\nlast-event-id:  17 \r\n"
                  "Last-Event-ID: 18\r\nAccept: */*\r\n\r\n";
    rv_http_parser_t p;

    rv_http_parse_init(&p);
    ck_assert_int_eq(rv_http_parse_head(&p, head, strlen(head)), RV_OK);
    ck_assert_str_eq(p.last_event_id, "17");
    ck_assert_str_eq(p.accept, "*/*");
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
    head_cases_check(&expectations[_i]);
}
END_TEST

START_TEST(a_missing_host_is_400_even_with_an_absolute_target)
{
    head_case_t want = {
        .says = "absolute, no Host", BYTES("GET http://a/ HTTP/1.1\r\n\r\n"), 400
    };

    head_cases_check(&want);
}
END_TEST

static void
add(TCase *tcase)
{
    ADD_TABLE(tcase, a_malformed_field_is_400, bad_fields);
    ADD_TABLE(tcase, one_sound_host_is_required, hosts);
    tcase_add_test(tcase, a_missing_host_is_400_even_with_an_absolute_target);
    ADD_TABLE(tcase, one_content_length_of_digits_is_allowed, lengths);
    ADD_TABLE(tcase, chunked_is_the_only_coding_and_excludes_a_length, codings);
    ADD_TABLE(tcase, a_connection_is_kept_as_version_and_options_say, connections);
    ADD_TABLE(tcase, an_expectation_is_told_apart, expectations);
    ADD_TABLE(tcase, what_the_client_accepts_is_kept, accepts);
    tcase_add_test(tcase, where_a_client_of_events_stood_is_kept);
}

int
main(void)
{
    return head_cases_run("http_field", add);
}
