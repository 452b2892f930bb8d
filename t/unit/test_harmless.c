/*
 * rv_harmless: what stays as it is, and what does not.
 */
#include "rv_harmless.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>

static const struct {
    const char *in, *out;
} texts[] = {
    { "", "" },
    { "plain text, 100 %", "plain text, 100 %" },
    { "a\tb", "a b" },
    { "\033[2J\033]0;title\a", "?[2J?]0;title?" },
    { "up\rdown\b\b\x7f", "up?down???" },
    { "gr\xc3\xbc\xc3\x9f dich", "gr\xc3\xbc\xc3\x9f dich" },
    { "\xe2\x82\xac 5, \xf0\x9f\x98\x80", "\xe2\x82\xac 5, \xf0\x9f\x98\x80" },
    { "\xc2\x9b"
      "2J",
        "??2J" }, /* CSI as UTF-8, */
    { "\x9b"
      "2J",
        "?2J" },                                   /* and as a byte */
    { "\xc0\x9b\xe0\x80\x9b", "?????" },           /* longer than needed */
    { "\xed\xa0\x80\xf4\x90\x80\x80", "???????" }, /* surrogates, beyond the last */
    { "\xe2\x80\xae"
      "txt.exe",
        "???txt.exe" },        /* from right to left */
    { "\xe2\x82", "??" },      /* cut off */
    { "\xff\xfd\x06", "???" }, /* telnet's own */
    { "\xe2\x28\xa1", "?(?" },
};

START_TEST(text_is_harmless)
{
    size_t length = strlen(texts[_i].in);
    char *text = malloc(length + 1); /* for sanitizers: not a byte more */

    memcpy(text, texts[_i].in, length + 1);
    rv_harmless(text, length);
    ck_assert_str_eq(text, texts[_i].out);
    free(text);
}
END_TEST

START_TEST(every_byte_alone_is_printable_or_gone)
{
    for (int c = 0; c < 256; c++) {
        char text[1] = { (char) c };

        rv_harmless(text, 1);
        ck_assert_int_ge(text[0], 0x20);
        ck_assert_int_lt(text[0], 0x7f);
    }
}
END_TEST

int
main(void)
{
    Suite *s = suite_create("harmless");
    TCase *tc = tcase_create("harmless");

    tcase_add_loop_test(tc, text_is_harmless, 0, sizeof(texts) / sizeof(texts[0]));
    tcase_add_test(tc, every_byte_alone_is_printable_or_gone);
    suite_add_tcase(s, tc);
    SRunner *sr = srunner_create(s);
    srunner_run_all(sr, CK_ENV);
    int failed = srunner_ntests_failed(sr);
    srunner_free(sr);
    return failed == 0 ? 0 : 1;
}
