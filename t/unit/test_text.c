/*
 * rv_text: text that grows.
 */
#include "rv_text.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>

START_TEST(pieces_stand_one_behind_the_other)
{
    rv_text_t text = { 0 };

    rv_text_add(&text, "%s is %d", "it", 5);
    rv_text_add(&text, ".");
    ck_assert_str_eq(text.data, "it is 5.");
    ck_assert_uint_eq(text.length, 8);
    rv_text_free(&text);
    ck_assert_ptr_null(text.data);
    ck_assert_uint_eq(text.length, 0);
}
END_TEST

/* Every length around the one at which it has to grow. */
START_TEST(it_grows_without_losing_a_byte)
{
    static char piece[5000];
    rv_text_t text = { 0 };

    memset(piece, 'x', sizeof(piece) - 1);
    for (size_t n = 4090; n < 4100; n++) {
        rv_text_add(&text, "%.*s", (int) n, piece);
        ck_assert_uint_eq(text.length, n);
        ck_assert_uint_eq(strlen(text.data), n);
        rv_text_add(&text, "%s", piece);
        ck_assert_uint_eq(strlen(text.data), n + sizeof(piece) - 1);
        rv_text_free(&text);
    }

    for (int i = 0; i < 100000; i++)
        rv_text_add(&text, "%d,", i % 10);
    ck_assert_uint_eq(text.length, 200000);
    ck_assert_uint_eq(strlen(text.data), 200000);
    ck_assert_int_eq(text.failed, 0);
    rv_text_free(&text);
}
END_TEST

static const struct {
    const char *string;
    const char *quoted;
} quotes[] = {
    { "", "\"\"" },
    { "plain", "\"plain\"" },
    { "a \"b\" \\ c", "\"a \\\"b\\\" \\\\ c\"" },
    { "line\nline", "\"line\\nline\"" },
    { "\t\x01", "\"\\u0009\\u0001\"" },
    { "\xc3\xa9", "\"\xc3\xa9\"" },
};

START_TEST(strings_are_quoted)
{
    rv_text_t text = { 0 };

    rv_text_add_quoted(&text, quotes[_i].string);
    ck_assert_str_eq(text.data, quotes[_i].quoted);
    rv_text_free(&text);
}
END_TEST

static const struct {
    uint64_t usec;
    const char *text;
} seconds[] = {
    { 0, "0.000000" },
    { 1, "0.000001" },
    { 999999, "0.999999" },
    { 1000000, "1.000000" },
    { 134217728, "134.217728" },
    { UINT64_MAX, "18446744073709.551615" },
};

START_TEST(microseconds_are_told_as_seconds)
{
    rv_text_t text = { 0 };

    rv_text_add_seconds(&text, seconds[_i].usec);
    ck_assert_str_eq(text.data, seconds[_i].text);
    rv_text_free(&text);
}
END_TEST

static const struct {
    int64_t number;
    const char *text;
    const char *unsigned_text; /* of the same bits */
} numbers[] = {
    { 0, "0", "0" },
    { 9, "9", "9" },
    { 10, "10", "10" },
    { 4711, "4711", "4711" },
    { -1, "-1", "18446744073709551615" },
    { -10, "-10", "18446744073709551606" },
    { INT64_MAX, "9223372036854775807", "9223372036854775807" },
    { INT64_MIN, "-9223372036854775808", "9223372036854775808" },
};

START_TEST(numbers_have_all_their_digits_and_no_more)
{
    rv_text_t text = { 0 };

    rv_text_add_signed(&text, numbers[_i].number);
    ck_assert_str_eq(text.data, numbers[_i].text);
    rv_text_free(&text);
    rv_text_add_number(&text, (uint64_t) numbers[_i].number);
    ck_assert_str_eq(text.data, numbers[_i].unsigned_text);
    rv_text_free(&text);
}
END_TEST

START_TEST(bytes_may_be_any_and_many)
{
    static char piece[5000];
    rv_text_t text = { 0 };

    memset(piece, 'x', sizeof(piece));
    rv_text_add_bytes(&text, "a\0b", 3);
    rv_text_add_string(&text, "");
    rv_text_add_string(&text, "cd");
    ck_assert_uint_eq(text.length, 5);
    ck_assert_mem_eq(text.data, "a\0bcd", 6);
    for (size_t n = 4080; n < 4096; n++) {
        rv_text_add_bytes(&text, piece, n);
        ck_assert_int_eq(text.data[text.length], '\0');
    }
    ck_assert_uint_eq(strlen(text.data + 5), (4080 + 4095) * 16 / 2);
    rv_text_free(&text);
}
END_TEST

START_TEST(without_memory_all_that_follows_is_dropped)
{
    char data[8] = "abc";
    rv_text_t text = { .data = data, .length = 3, .room = 3, .failed = 1 };

    rv_text_add_bytes(&text, "d", 1);
    rv_text_add_number(&text, 5);
    rv_text_add_number(&text, 55);
    rv_text_add(&text, "%s", "e");
    ck_assert_uint_eq(text.length, 3);
    ck_assert_str_eq(data, "abc");
}
END_TEST

int
main(void)
{
    Suite *suite = suite_create("rv_text");
    TCase *tc = tcase_create("text");

    tcase_add_test(tc, pieces_stand_one_behind_the_other);
    tcase_add_test(tc, it_grows_without_losing_a_byte);
    tcase_add_loop_test(tc, strings_are_quoted, 0, (int) rv_countof(quotes));
    tcase_add_loop_test(tc, microseconds_are_told_as_seconds, 0, (int) rv_countof(seconds));
    tcase_add_loop_test(
        tc, numbers_have_all_their_digits_and_no_more, 0, (int) rv_countof(numbers));
    tcase_add_test(tc, bytes_may_be_any_and_many);
    tcase_add_test(tc, without_memory_all_that_follows_is_dropped);
    suite_add_tcase(suite, tc);

    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
