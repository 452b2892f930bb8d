/*
 * rv_http_query: one parameter of a query, decoded.
 */
#include "rv_http_query.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>

static const struct {
    const char *query;
    int result;
    const char *value; /* of "topic" */
} queries[] = {
    { NULL, RV_DONE, "" },
    { "", RV_DONE, "" },
    { "topic", RV_OK, "" },
    { "topic=", RV_OK, "" },
    { "topic=x", RV_OK, "x" },
    { "a=1&topic=x&b=2", RV_OK, "x" },
    { "topic=x&topic=y", RV_OK, "x" },
    { "topics=y&topi=z&xtopic=w", RV_DONE, "" },
    { "Topic=x", RV_DONE, "" },
    { "&&topic=x&", RV_OK, "x" },
    { "=topic", RV_DONE, "" },
    { "a=topic=x", RV_DONE, "" },
    { "topic=a=b", RV_OK, "a=b" },
    { "topic=a+b%2Bc%20d", RV_OK, "a b+c d" },
    { "topic=%26%3d%25", RV_OK, "&=%" },
    { "%74opi%63=x", RV_OK, "x" },
    { "topic%3dx", RV_DONE, "" },
    { "topic=%C3%A4", RV_OK, "\xc3\xa4" },
    { "topic=1234567", RV_OK, "1234567" },
    { "topic=%31234567", RV_OK, "1234567" },
    { "topic=12345678", 400, NULL },
    { "topic=%", 400, NULL },
    { "topic=%4", 400, NULL },
    { "topic=%4g", 400, NULL },
    { "topic=%00", 400, NULL },
    { "topic=%4&topic=x", 400, NULL },
    { "topic=x&a=%zz", 400, NULL },
    { "%zz=1&topic=x", 400, NULL },
};

START_TEST(parameter_is_found_and_decoded)
{
    char value[8];

    memset(value, 'x', sizeof(value));
    int result = rv_http_query_get(queries[_i].query, "topic", value, sizeof(value));
    ck_assert_int_eq(result, queries[_i].result);
    if (queries[_i].value != NULL)
        ck_assert_str_eq(value, queries[_i].value);
    else
        ck_assert_ptr_nonnull(memchr(value, '\0', sizeof(value)));
}
END_TEST

int
main(void)
{
    Suite *s = suite_create("http query");
    TCase *tc = tcase_create("query");

    tcase_add_loop_test(tc, parameter_is_found_and_decoded, 0, (int) rv_countof(queries));
    suite_add_tcase(s, tc);

    SRunner *runner = srunner_create(s);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
