/*
 * test_http_chunked: chunked bodies, cut in every way.
 */
#include "head_cases.h"

#include <stdlib.h>
#include <string.h>

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
    char *piece = head_cases_allocate(length);

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
    char *bytes = head_cases_allocate(length);

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
    char *bytes = head_cases_allocate(size);
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
    char *bytes = head_cases_allocate(size + 1);

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

static void
add(TCase *tcase)
{
    ADD_TABLE(tcase, a_chunked_body_ends_in_the_same_place_however_it_is_cut, bodies);
    ADD_TABLE(tcase, a_line_over_4096_bytes_is_400, long_bodies);
    tcase_add_test(tcase, trailers_over_8192_bytes_are_400);
    tcase_add_test(tcase, many_chunks_may_be_longer_than_any_limit_of_a_line);
    tcase_add_test(tcase, the_total_counts_a_chunk_before_its_content_came);
    tcase_add_test(tcase, a_body_once_malformed_or_complete_stays_so);
}

int
main(void)
{
    return head_cases_run("http_chunked", add);
}
