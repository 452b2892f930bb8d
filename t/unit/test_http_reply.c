/*
 * rv_http_reply: answers, byte for byte.
 *
 * In what is expected, "DATE" stands for any date as HTTP writes it.
 */
#include "rv_http_reply.h"

#include "rv_http_request.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { DATE_LENGTH = 29, TEXT_SIZE = 4096 };

#define SERVER "Server: reeve/" RV_VERSION "\r\nDate: DATE\r\n"
#define KEEP "Connection: keep-alive\r\n"
#define CLOSE "Connection: close\r\n"

static rv_http_request_t *r;

static void
setup(void)
{
    r = calloc(1, sizeof(*r));
    ck_assert_ptr_nonnull(r);
    r->parser.method = RV_HTTP_GET;
    r->keep = 1;
}

static void
teardown(void)
{
    free(r->out);
    free(r);
}

/* The output so far, with "DATE" in the place of dates; it is forgotten. */
static const char *
take_output(void)
{
    static char text[TEXT_SIZE];
    const char *from = r->out, *end = r->out + r->out_length;
    char *to = text;

    ck_assert_uint_le(r->out_length, r->out_room);
    ck_assert_uint_lt(r->out_length, sizeof(text));
    while (from < end) {
        *to++ = *from++;
        if (to - text >= 6 && memcmp(to - 6, "Date: ", 6) == 0 && end - from > DATE_LENGTH) {
            to = stpcpy(to, "DATE");
            from += DATE_LENGTH;
        }
    }
    *to = '\0';
    r->out_length = 0;
    return text;
}

START_TEST(answer_has_its_head_and_its_body)
{
    rv_http_reply(r, 200, "text/plain", "hello", 5, NULL);
    ck_assert_str_eq(take_output(),
        "HTTP/1.1 200 OK\r\n" SERVER "Content-Type: text/plain\r\nContent-Length: 5\r\n" KEEP
        "\r\nhello");
}
END_TEST

START_TEST(connection_that_ends_is_told_so)
{
    r->keep = 0;
    rv_http_reply(r, 200, "text/plain", "x", 1, NULL);
    ck_assert_str_eq(take_output(),
        "HTTP/1.1 200 OK\r\n" SERVER "Content-Type: text/plain\r\nContent-Length: 1\r\n" CLOSE
        "\r\nx");
}
END_TEST

START_TEST(head_is_answered_without_the_body_but_its_length)
{
    r->parser.method = RV_HTTP_HEAD;
    rv_http_reply(r, 200, "text/plain", "hello", 5, NULL);
    ck_assert_str_eq(take_output(),
        "HTTP/1.1 200 OK\r\n" SERVER "Content-Type: text/plain\r\nContent-Length: 5\r\n" KEEP
        "\r\n");
}
END_TEST

START_TEST(answer_of_unknown_length_is_in_chunks_but_for_old_clients)
{
    r->parser.minor = 1;
    ck_assert_int_eq(rv_http_reply_begin(r, 200, "text/plain", "X: y\r\n"), RV_OK);
    ck_assert_str_eq(take_output(),
        "HTTP/1.1 200 OK\r\n" SERVER
        "Content-Type: text/plain\r\nTransfer-Encoding: chunked\r\n" KEEP "X: y\r\n\r\n");
    r->parser.minor = 0;
    r->keep = 0;
    ck_assert_int_eq(rv_http_reply_begin(r, 200, NULL, NULL), RV_OK);
    ck_assert_str_eq(take_output(), "HTTP/1.1 200 OK\r\n" SERVER CLOSE "\r\n");
}
END_TEST

START_TEST(empty_body_has_its_length_too)
{
    rv_http_reply(r, 200, NULL, NULL, 0, NULL);
    ck_assert_str_eq(
        take_output(), "HTTP/1.1 200 OK\r\n" SERVER "Content-Length: 0\r\n" KEEP "\r\n");
}
END_TEST

START_TEST(no_content_has_neither)
{
    rv_http_reply(r, 204, NULL, "x", 1, NULL);
    ck_assert_str_eq(take_output(), "HTTP/1.1 204 No Content\r\n" SERVER KEEP "\r\n");
    rv_http_reply(r, 304, NULL, "x", 1, NULL);
    ck_assert_str_eq(take_output(), "HTTP/1.1 304 Not Modified\r\n" SERVER KEEP "\r\n");
}
END_TEST

START_TEST(further_lines_stand_in_the_head)
{
    rv_http_reply(r, 405, "text/plain", "no\n", 3, "Allow: GET, HEAD\r\nX: y\r\n");
    ck_assert_str_eq(take_output(),
        "HTTP/1.1 405 Method Not Allowed\r\n" SERVER
        "Content-Type: text/plain\r\nContent-Length: 3\r\n" KEEP
        "Allow: GET, HEAD\r\nX: y\r\n\r\nno\n");
}
END_TEST

static const struct {
    unsigned code;
    const char *name;
} names[] = {
    { 400, "Bad Request" },
    { 403, "Forbidden" },
    { 404, "Not Found" },
    { 405, "Method Not Allowed" },
    { 408, "Request Timeout" },
    { 413, "Content Too Large" },
    { 414, "URI Too Long" },
    { 417, "Expectation Failed" },
    { 431, "Request Header Fields Too Large" },
    { 500, "Internal Server Error" },
    { 501, "Not Implemented" },
    { 503, "Service Unavailable" },
    { 505, "HTTP Version Not Supported" },
    { 299, "Unknown" },
};

START_TEST(usual_answer_is_its_name)
{
    char expected[512];
    unsigned code = names[_i].code;

    r->keep = 0;
    rv_http_reply_status(r, code, NULL);
    snprintf(expected, sizeof(expected),
        "HTTP/1.1 %u %s\r\n" SERVER "Content-Type: text/plain\r\nContent-Length: %zu\r\n" CLOSE
        "\r\n%u %s\n",
        code, names[_i].name, strlen(names[_i].name) + 5, code, names[_i].name);
    ck_assert_str_eq(take_output(), expected);
}
END_TEST

START_TEST(continue_comes_ahead_of_the_answer)
{
    rv_http_reply_continue(r);
    rv_http_reply(r, 200, NULL, NULL, 0, NULL);
    ck_assert_str_eq(take_output(),
        "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\n" SERVER "Content-Length: 0\r\n" KEEP
        "\r\n");
}
END_TEST

/* What the clock says; 0: what it is. */
static time_t fake_time;

time_t
time(time_t *now)
{
    struct timespec real;
    time_t result = fake_time;

    if (result == 0 && clock_gettime(CLOCK_REALTIME, &real) == 0)
        result = real.tv_sec;
    if (now != NULL)
        *now = result;
    return result;
}

START_TEST(date_is_now_as_http_writes_it)
{
    static const struct {
        time_t time;
        const char *line;
    } dates[] = {
        { 784111777, "\r\nDate: Sun, 06 Nov 1994 08:49:37 GMT\r\n" },
        { 784111778, "\r\nDate: Sun, 06 Nov 1994 08:49:38 GMT\r\n" },
        { 1795229463, "\r\nDate: Sat, 21 Nov 2026 02:51:03 GMT\r\n" },
    };

    for (size_t i = 0; i < rv_countof(dates); i++) {
        fake_time = dates[i].time;
        rv_http_reply(r, 200, NULL, NULL, 0, NULL);
        ck_assert_ptr_nonnull(memmem(r->out, r->out_length, dates[i].line, strlen(dates[i].line)));
        r->out_length = 0;
    }
}
END_TEST

START_TEST(answers_of_pipelined_requests_follow_each_other)
{
    enum { ANSWERS = 500, ROOM = 100000 };
    size_t each;

    rv_http_reply(r, 200, "text/plain", "0", 1, NULL);
    each = r->out_length;
    for (int i = 1; i < ANSWERS; i++) {
        char digit = (char) ('0' + i % 10);
        rv_http_reply(r, 200, "text/plain", &digit, 1, NULL);
    }
    ck_assert_uint_eq(r->out_length, ANSWERS * each);
    ck_assert_uint_le(r->out_length, r->out_room);
    for (size_t i = 0; i < ANSWERS; i++) {
        ck_assert_int_eq(strncmp(r->out + i * each, "HTTP/1.1 200 OK\r\n", 17), 0);
        ck_assert_int_eq(r->out[(i + 1) * each - 1], (int) ('0' + i % 10));
    }
}
END_TEST

START_TEST(large_body_is_copied_whole)
{
    enum { LENGTH = 1024 * 1024 + 7 };
    char *body = malloc(LENGTH);

    ck_assert_ptr_nonnull(body);
    for (size_t i = 0; i < LENGTH; i++)
        body[i] = (char) (i * 31 + i / 253);
    rv_http_reply(r, 200, "application/octet-stream", body, LENGTH, NULL);
    ck_assert_uint_le(r->out_length, r->out_room);
    ck_assert_int_eq(memcmp(r->out + r->out_length - LENGTH, body, LENGTH), 0);
    ck_assert_ptr_nonnull(memmem(r->out, 400, "Content-Length: 1048583\r\n", 25));
    free(body);
}
END_TEST

static void
begin_text(rv_text_t *text, size_t length)
{
    rv_http_reply_text_begin(text);
    for (size_t i = 0; i < length; i++)
        rv_text_add_bytes(text, (char[]){ (char) (i * 31 + i / 253) }, 1);
}

/* The unsent output, and that the text of so many bytes is its end. */
static void
expect_text(const char *before, const char *lines, size_t length)
{
    const char *begin = r->out + r->out_sent, *body = r->out + r->out_length - length;
    char wanted[64];

    snprintf(wanted, sizeof(wanted), "Content-Length: %zu\r\n", length);
    ck_assert_uint_le(r->out_length, r->out_room);
    ck_assert_int_eq(strncmp(begin, before, strlen(before)), 0);
    ck_assert_ptr_nonnull(memmem(begin, (size_t) (body - begin), wanted, strlen(wanted)));
    ck_assert_ptr_nonnull(memmem(begin, (size_t) (body - begin), lines, strlen(lines)));
    ck_assert_int_eq(memcmp(body - 4, "\r\n\r\n", 4), 0);
    for (size_t i = 0; i < length; i++)
        ck_assert_int_eq(body[i], (char) (i * 31 + i / 253));
    r->out_length = r->out_sent = 0;
}

START_TEST(text_becomes_the_output)
{
    static const size_t lengths[] = { 0, 1, 3000, 300000 };
    rv_text_t text;

    for (size_t i = 0; i < rv_countof(lengths); i++) {
        begin_text(&text, lengths[i]);
        const char *data = text.data;
        rv_http_reply_text(r, 200, "text/plain", &text, "X-Line: 1\r\n");
        ck_assert_ptr_null(text.data);
        ck_assert_ptr_eq(r->out, data);
        expect_text("HTTP/1.1 200 OK\r\n", "X-Line: 1\r\n", lengths[i]);
    }
}
END_TEST

START_TEST(text_follows_other_answers_and_others_follow_it)
{
    rv_text_t text;

    rv_http_reply_continue(r);
    begin_text(&text, 3000);
    rv_http_reply_text(r, 200, "text/plain", &text, NULL);
    expect_text("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\n", "text/plain", 3000);

    begin_text(&text, 0);
    rv_http_reply_text(r, 200, "text/plain", &text, NULL);
    begin_text(&text, 300000);
    rv_http_reply_text(r, 200, "text/html", &text, NULL);
    expect_text("HTTP/1.1 200 OK\r\n", "Content-Length: 0\r\n", 300000);
}
END_TEST

START_TEST(text_that_failed_or_is_not_wanted_is_dropped)
{
    rv_text_t text;

    begin_text(&text, 3000);
    r->parser.method = RV_HTTP_HEAD;
    rv_http_reply_text(r, 200, "text/plain", &text, NULL);
    ck_assert_str_eq(take_output(),
        "HTTP/1.1 200 OK\r\n" SERVER "Content-Type: text/plain\r\nContent-Length: 3000\r\n" KEEP
        "\r\n");
    r->parser.method = RV_HTTP_GET;
    begin_text(&text, 3000);
    text.failed = 1;
    rv_http_reply_text(r, 200, "text/plain", &text, NULL);
    ck_assert_ptr_null(text.data);
    ck_assert_int_eq(strncmp(r->out, "HTTP/1.1 503 Service Unavailable\r\n", 34), 0);
}
END_TEST

START_TEST(text_with_more_in_its_head_than_there_is_room_for_is_whole)
{
    static char line[3000];
    rv_text_t text;

    memset(line, 'x', sizeof(line) - 1);
    memcpy(line + sizeof(line) - 3, "\r\n", 2);
    begin_text(&text, 3000);
    rv_http_reply_text(r, 200, "text/plain", &text, line);
    expect_text("HTTP/1.1 200 OK\r\n", line, 3000);
}
END_TEST

/* Lengths around every size that the output might begin with. */
START_TEST(output_never_outgrows_its_room)
{
    static char body[4096], type[700], extra[1000];

    memset(type, 't', sizeof(type) - 1);
    memset(extra, 'e', sizeof(extra) - 1);
    memcpy(extra + sizeof(extra) - 3, "\r\n", 3);
    for (size_t length = 0; length < sizeof(body); length += 13) {
        size_t before = r->out_length;

        rv_http_reply(r, 431, type, body, length, extra);
        ck_assert_msg(r->out_length <= r->out_room, "body of %zu bytes: %zu bytes in %zu", length,
            r->out_length, r->out_room);
        ck_assert_uint_gt(r->out_length, before + sizeof(type) + sizeof(extra) + length);
        free(r->out);
        r->out = NULL;
        r->out_length = r->out_room = 0;
    }
}
END_TEST

static Suite *
http_reply_suite(void)
{
    Suite *suite = suite_create("http_reply");
    TCase *tcase = tcase_create("http_reply");

    tcase_set_timeout(tcase, 60);
    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_add_test(tcase, answer_has_its_head_and_its_body);
    tcase_add_test(tcase, connection_that_ends_is_told_so);
    tcase_add_test(tcase, head_is_answered_without_the_body_but_its_length);
    tcase_add_test(tcase, answer_of_unknown_length_is_in_chunks_but_for_old_clients);
    tcase_add_test(tcase, empty_body_has_its_length_too);
    tcase_add_test(tcase, no_content_has_neither);
    tcase_add_test(tcase, further_lines_stand_in_the_head);
    tcase_add_loop_test(tcase, usual_answer_is_its_name, 0, (int) rv_countof(names));
    tcase_add_test(tcase, continue_comes_ahead_of_the_answer);
    tcase_add_test(tcase, date_is_now_as_http_writes_it);
    tcase_add_test(tcase, answers_of_pipelined_requests_follow_each_other);
    tcase_add_test(tcase, large_body_is_copied_whole);
    tcase_add_test(tcase, text_becomes_the_output);
    tcase_add_test(tcase, text_follows_other_answers_and_others_follow_it);
    tcase_add_test(tcase, text_that_failed_or_is_not_wanted_is_dropped);
    tcase_add_test(tcase, text_with_more_in_its_head_than_there_is_room_for_is_whole);
    tcase_add_test(tcase, output_never_outgrows_its_room);
    suite_add_tcase(suite, tcase);
    return suite;
}

int
main(void)
{
    SRunner *runner = srunner_create(http_reply_suite());

    srunner_run_all(runner, CK_NORMAL);

    int failed = srunner_ntests_failed(runner);

    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
