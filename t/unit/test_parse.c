/*
 * rv_parse: what an operator may write for a number, a size and a time.
 *
 * Each table row is a word and its value, or a word that must be refused. A
 * refused word must leave the caller's value and errno alone.
 */
#include "rv_parse.h"

#include <check.h>
#include <errno.h>
#include <stdlib.h>

#define UNTOUCHED 4242
#define UNTOUCHED_ERRNO 77

typedef struct {
    const char *word;
    int result;
    uint64_t value;
} unsigned_case_t;

typedef struct {
    const char *word;
    int result;
    int64_t value;
} signed_case_t;

/* clang-format off */
#define GOOD(word, value) { word, RV_OK, value }
#define BAD(word) { word, RV_ERROR, UNTOUCHED }
/* clang-format on */

static const unsigned_case_t uint_cases[] = {
    GOOD("0", 0),
    GOOD("7", 7),
    GOOD("007", 7),
    GOOD("4294967296", 4294967296),
    GOOD("18446744073709551615", UINT64_MAX),
    GOOD("000000000000000000000000000000001", 1),
    BAD("18446744073709551616"),
    BAD("18446744073709551620"),
    BAD("99999999999999999999"),
    BAD("184467440737095516150"),
    BAD(""),
    BAD("-1"),
    BAD("-0"),
    BAD("+1"),
    BAD(" 1"),
    BAD("1 "),
    BAD("1\n"),
    BAD("\t1"),
    BAD("0x10"),
    BAD("1e3"),
    BAD("1.5"),
    BAD("1k"),
    BAD("12a4"),
    BAD("abc"),
    BAD("\xd9\xa1"),
};

static const signed_case_t int_cases[] = {
    GOOD("0", 0),
    GOOD("-0", 0),
    GOOD("12", 12),
    GOOD("-12", -12),
    GOOD("9223372036854775807", INT64_MAX),
    GOOD("-9223372036854775807", -INT64_MAX),
    GOOD("-9223372036854775808", INT64_MIN),
    BAD("9223372036854775808"),
    BAD("-9223372036854775809"),
    BAD("18446744073709551615"),
    BAD("-18446744073709551615"),
    BAD("-18446744073709551616"),
    BAD(""),
    BAD("-"),
    BAD("--1"),
    BAD("+1"),
    BAD("- 1"),
    BAD(" -1"),
    BAD("-1 "),
    BAD("1-"),
};

static const unsigned_case_t size_cases[] = {
    GOOD("0", 0),
    GOOD("0g", 0),
    GOOD("100", 100),
    GOOD("1k", 1024),
    GOOD("1K", 1024),
    GOOD("8m", 8388608),
    GOOD("8M", 8388608),
    GOOD("3g", 3221225472),
    GOOD("3G", 3221225472),
    GOOD("18446744073709551615", UINT64_MAX),
    GOOD("18014398509481983k", 18446744073709550592u),
    GOOD("17179869183g", 18446744072635809792u),
    BAD("18446744073709551616"),
    BAD("18014398509481984k"),
    BAD("17592186044416m"),
    BAD("17179869184g"),
    BAD("18446744073709551615g"),
    BAD(""),
    BAD("k"),
    BAD("-1k"),
    BAD("+1k"),
    BAD("1 k"),
    BAD("1k "),
    BAD("1kb"),
    BAD("1kk"),
    BAD("1k1"),
    BAD("1t"),
    BAD("1.5m"),
};

static const unsigned_case_t msec_cases[] = {
    GOOD("0", 0),
    GOOD("60", 60000),
    GOOD("250ms", 250),
    GOOD("2s", 2000),
    GOOD("2m", 120000),
    GOOD("2h", 7200000),
    GOOD("2d", 172800000),
    GOOD("1h30m", 5400000),
    GOOD("1m500ms", 60500),
    GOOD("1d2h3m4s5ms", 93784005),
    GOOD("90m", 5400000),
    GOOD("0h0m", 0),
    GOOD("18446744073709551615ms", UINT64_MAX),
    GOOD("18446744073709551", 18446744073709551000u),
    GOOD("18446744073709551s615ms", UINT64_MAX),
    BAD("18446744073709552"),
    BAD("18446744073709552s"),
    BAD("18446744073709551s616ms"),
    BAD("18446744073709551616ms"),
    BAD("213503982335d"),
    BAD(""),
    BAD("m"),
    BAD("ms"),
    BAD("-1s"),
    BAD("+1s"),
    BAD(" 1s"),
    BAD("1s "),
    BAD("1 s"),
    BAD("1h 30m"),
    BAD("1h30"),
    BAD("30m1h"),
    BAD("1h1h"),
    BAD("1s1s"),
    BAD("1ms1s"),
    BAD("5msms"),
    BAD("1hm"),
    BAD("1sm"),
    BAD("1w"),
    BAD("1S"),
    BAD("1M"),
    BAD("1.5h"),
    BAD("1hour"),
};

static const signed_case_t flag_cases[] = {
    GOOD("on", 1),
    GOOD("off", 0),
    BAD(""),
    BAD("o"),
    BAD("On"),
    BAD("OFF"),
    BAD("on "),
    BAD(" on"),
    BAD("ono"),
    BAD("offf"),
    BAD("1"),
    BAD("0"),
    BAD("yes"),
    BAD("true"),
};

static void
check_unsigned(const unsigned_case_t *c, int result, uint64_t value)
{
    ck_assert_msg(result == c->result, "\"%s\": result %d", c->word, result);
    ck_assert_msg(value == c->value, "\"%s\": value %ju", c->word, (uintmax_t) value);
    ck_assert_msg(errno == UNTOUCHED_ERRNO, "\"%s\": errno %d", c->word, errno);
}

static void
check_signed(const signed_case_t *c, int result, int64_t value)
{
    ck_assert_msg(result == c->result, "\"%s\": result %d", c->word, result);
    ck_assert_msg(value == c->value, "\"%s\": value %jd", c->word, (intmax_t) value);
    ck_assert_msg(errno == UNTOUCHED_ERRNO, "\"%s\": errno %d", c->word, errno);
}

START_TEST(digits_are_a_number)
{
    uint64_t value = UNTOUCHED;

    errno = UNTOUCHED_ERRNO;
    int result = rv_parse_uint(uint_cases[_i].word, &value);

    check_unsigned(&uint_cases[_i], result, value);
}
END_TEST

START_TEST(minus_makes_it_negative)
{
    int64_t value = UNTOUCHED;

    errno = UNTOUCHED_ERRNO;
    int result = rv_parse_int(int_cases[_i].word, &value);

    check_signed(&int_cases[_i], result, value);
}
END_TEST

START_TEST(sizes_have_units)
{
    size_t value = UNTOUCHED;

    errno = UNTOUCHED_ERRNO;
    int result = rv_parse_size(size_cases[_i].word, &value);

    check_unsigned(&size_cases[_i], result, value);
}
END_TEST

START_TEST(times_have_units)
{
    uint64_t value = UNTOUCHED;

    errno = UNTOUCHED_ERRNO;
    int result = rv_parse_msec(msec_cases[_i].word, &value);

    check_unsigned(&msec_cases[_i], result, value);
}
END_TEST

START_TEST(flags_are_on_or_off)
{
    int value = UNTOUCHED;

    errno = UNTOUCHED_ERRNO;
    int result = rv_parse_flag(flag_cases[_i].word, &value);

    check_signed(&flag_cases[_i], result, value);
}
END_TEST

static Suite *
parse_suite(void)
{
    Suite *suite = suite_create("parse");
    TCase *tcase = tcase_create("parse");

    tcase_add_loop_test(tcase, digits_are_a_number, 0, (int) rv_countof(uint_cases));
    tcase_add_loop_test(tcase, minus_makes_it_negative, 0, (int) rv_countof(int_cases));
    tcase_add_loop_test(tcase, times_have_units, 0, (int) rv_countof(msec_cases));
    tcase_add_loop_test(tcase, flags_are_on_or_off, 0, (int) rv_countof(flag_cases));

    /* The table's limits are those of a 64-bit size_t. */
    if (SIZE_MAX == UINT64_MAX)
        tcase_add_loop_test(tcase, sizes_have_units, 0, (int) rv_countof(size_cases));

    suite_add_tcase(suite, tcase);
    return suite;
}

int
main(void)
{
    SRunner *runner = srunner_create(parse_suite());

    srunner_run_all(runner, CK_NORMAL);

    int failed = srunner_ntests_failed(runner);

    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
