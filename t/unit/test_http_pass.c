/*
 * rv_http_pass: a part of a head, from one connection object to another.
 */
#include "rv_http_pass.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>

static const char request[] = "GET /one/..%2ftwo?x=%31 HTTP/1.1\r\nHost: a\r\nAccept: text/html\r\n"
                              "Last-Event-ID: 17\r\nConnection: close\r\n\r\n";
static const rv_http_conf_t conf = { .client_max_header_size = 1024 };

static rv_connection_t from, to;

static void
setup(void)
{
    memset(&from, 0, sizeof(from));
    from.conf = &conf;
    from.state = RV_CONNECTION_READING;
    to = from;
}

static void
teardown(void)
{
    rv_http_request_release(&from);
    rv_http_request_release(&to);
    rv_http_request_free_all();
}

static int
add(rv_http_request_t *r, const char *bytes, size_t length)
{
    memcpy(r->in + r->filled, bytes, length);
    r->filled += length;
    return rv_http_request_head(r);
}

/* So much of it is read, behind what is no part of it. */
static rv_http_request_t *
read_part(size_t length)
{
    rv_http_request_t *r = rv_http_request_take(&from);

    ck_assert_ptr_nonnull(r);
    r->start = r->filled = 7;
    r->counted = 1;
    r->began = 12345;
    ck_assert_int_eq(add(r, request, length), RV_AGAIN);
    return r;
}

START_TEST(head_goes_on_where_it_was_cut)
{
    const size_t length = sizeof(request) - 1, cut = (size_t) _i;
    rv_connection_read_t read = { .bytes = NULL };

    read_part(cut);
    ck_assert_int_eq(rv_http_pass_pack(&from, &read), RV_OK);
    ck_assert_uint_eq(read.length, cut);
    ck_assert_int_eq(rv_http_pass_unpack(&to, &read), RV_OK);

    rv_http_request_t *r = to.data;
    ck_assert(r->counted);
    ck_assert_int_eq(r->began, 12345);
    ck_assert_int_eq(add(r, request + cut, length - cut), RV_OK);
    ck_assert_str_eq(r->parser.path, "/two");
    ck_assert_str_eq(r->parser.query, "x=%31");
    ck_assert_uint_eq(r->parser.path_length, 4);
    ck_assert_str_eq(r->parser.accept, "text/html");
    ck_assert_str_eq(r->parser.last_event_id, "17");
    ck_assert(r->parser.connection_close);
    ck_assert_uint_eq(r->parser.head_length, length);
}
END_TEST

START_TEST(nothing_goes_with_an_idle_connection)
{
    rv_connection_read_t read = { .bytes = NULL };

    from.state = RV_CONNECTION_WAITING;
    ck_assert_int_eq(rv_http_pass_pack(&from, &read), RV_OK);
    ck_assert_uint_eq(read.length + read.state_length, 0);
}
END_TEST

START_TEST(connection_that_is_answered_stays)
{
    rv_connection_read_t read = { .bytes = NULL };
    rv_http_request_t *r = read_part(10);

    from.state = RV_CONNECTION_WRITING;
    ck_assert_int_eq(rv_http_pass_pack(&from, &read), RV_ERROR);
    from.state = RV_CONNECTION_READING;
    r->out_length = 1;
    ck_assert_int_eq(rv_http_pass_pack(&from, &read), RV_ERROR);
    r->out_length = 0;
    ck_assert_int_eq(rv_http_pass_pack(&from, &read), RV_OK);
}
END_TEST

/* Each word of the state but those that are none of pointers and lengths may be any; what is taken
 * points into the bytes. */
START_TEST(state_that_points_elsewhere_is_refused)
{
    static const size_t wrong[] = { 1u << 20, (size_t) -1, 91, 90 };
    rv_connection_read_t read = { .bytes = NULL };
    size_t words[64];

    read_part(90); /* up to the middle of a field */
    ck_assert_int_eq(rv_http_pass_pack(&from, &read), RV_OK);
    ck_assert_uint_le(read.state_length, sizeof(words));
    for (size_t i = 0; i < read.state_length / sizeof(words[0]); i++) {
        for (size_t k = 0; k < rv_countof(wrong); k++) {
            rv_connection_read_t other = read;

            memcpy(words, read.state, read.state_length);
            words[i] = wrong[k];
            other.state = words;
            if (rv_http_pass_unpack(&to, &other) != RV_OK)
                continue;
            rv_http_request_t *r = to.data;

            for (size_t n = 0; n < RV_HTTP_PARSE_TEXTS; n++) {
                const char *text = *rv_http_parse_text(&r->parser, n);

                ck_assert(
                    text == NULL || (text > r->in && text + strlen(text) < r->in + r->filled));
            }
            ck_assert_uint_le(r->parser.path_length, r->filled);
            ck_assert_uint_le(r->parser.scanned, r->filled);
            ck_assert_uint_le(r->parser.line, r->parser.scanned);
            ck_assert_uint_le(r->parser.head_length, r->filled);
            rv_http_request_release(&to);
        }
    }
    read.state_length--;
    ck_assert_int_eq(rv_http_pass_unpack(&to, &read), RV_ERROR);
}
END_TEST

START_TEST(more_than_a_head_may_have_is_refused)
{
    static char bytes[4096];
    rv_connection_read_t read = { .bytes = NULL };

    read_part(10);
    ck_assert_int_eq(rv_http_pass_pack(&from, &read), RV_OK);
    read.bytes = bytes;
    read.length = sizeof(bytes);
    ck_assert_int_eq(rv_http_pass_unpack(&to, &read), RV_ERROR);
}
END_TEST

int
main(void)
{
    Suite *suite = suite_create("http_pass");
    TCase *tc = tcase_create("http_pass");

    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_add_loop_test(tc, head_goes_on_where_it_was_cut, 1, (int) sizeof(request) - 1);
    tcase_add_test(tc, nothing_goes_with_an_idle_connection);
    tcase_add_test(tc, connection_that_is_answered_stays);
    tcase_add_test(tc, state_that_points_elsewhere_is_refused);
    tcase_add_test(tc, more_than_a_head_may_have_is_refused);
    suite_add_tcase(suite, tc);

    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
