/*
 * rv_sse: events as a browser reads them.
 */
#include "rv_sse.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>

static const struct {
    uint64_t id;
    const char *text, *event;
} events[] = {
    { 1, "hello", "id: 1\ndata: hello\n\n" },
    { 0, "", "id: 0\ndata: \n\n" },
    { UINT64_MAX, "x", "id: 18446744073709551615\ndata: x\n\n" },
    { 2, "two\nlines", "id: 2\ndata: two\ndata: lines\n\n" },
    { 3, "a\r\nb\rc\n\rd", "id: 3\ndata: a\ndata: b\ndata: c\ndata: \ndata: d\n\n" },
    { 4, "end\n", "id: 4\ndata: end\ndata: \n\n" },
    { 5, "end\r", "id: 5\ndata: end\ndata: \n\n" },
    { 6, "\n\nid: 9\nevent: x", "id: 6\ndata: \ndata: \ndata: id: 9\ndata: event: x\n\n" },
    { 7, " leading", "id: 7\ndata:  leading\n\n" },
    { 8, "\n\n\n\n\n\n\n\n",
        "id: 8\ndata: \ndata: \ndata: \ndata: \ndata: \ndata: \ndata: \ndata: \ndata: \n\n" },
};

START_TEST(event_says_the_text_and_nothing_else)
{
    size_t length = strlen(events[_i].text), expected = strlen(events[_i].event);

    ck_assert_uint_eq(rv_sse_event(NULL, events[_i].id, events[_i].text, length), expected);
    ck_assert_uint_le(expected, RV_SSE_FRAME + RV_SSE_WORST * length);
    char *text = malloc(length + 1), *event = malloc(expected); /* for sanitizers */
    memcpy(text, events[_i].text, length + 1);
    ck_assert_uint_eq(rv_sse_event(event, events[_i].id, text, length), expected);
    ck_assert_mem_eq(event, events[_i].event, expected);
    free(text);
    free(event);
}
END_TEST

int
main(void)
{
    Suite *s = suite_create("sse");
    TCase *tc = tcase_create("sse");

    tcase_add_loop_test(
        tc, event_says_the_text_and_nothing_else, 0, sizeof(events) / sizeof(events[0]));
    suite_add_tcase(s, tc);
    SRunner *sr = srunner_create(s);
    srunner_run_all(sr, CK_ENV);
    int failed = srunner_ntests_failed(sr);
    srunner_free(sr);
    return failed == 0 ? 0 : 1;
}
