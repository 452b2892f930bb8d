/*
 * rv_affinity: masks as text, and what each worker gets of them.
 *
 * Sets are written as the lowest 64 processors in hexadecimal.
 */
#include "rv_affinity.h"

#include <check.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

static const struct {
    const char *text;
    uint64_t set; /* 0: it is an error */
} masks[] = {
    { "1", 0x1 },
    { "0001", 0x1 },
    { "0101", 0x5 },
    { "1000", 0x8 },
    { "1000000000000000000000000000000000000000000000000000000000000000", UINT64_C(1) << 63 },
    { "", 0 },
    { "0", 0 },
    { "0000", 0 },
    { "0102", 0 },
    { "-1", 0 },
    { "0x1", 0 },
    { "auto", 0 },
};

START_TEST(a_mask_is_binary_and_its_last_digit_is_processor_0)
{
    rv_affinity_set_t set;
    int result = rv_affinity_parse(masks[_i].text, &set);

    ck_assert_msg(
        (result == RV_OK) == (masks[_i].set != 0), "\"%s\": result %d", masks[_i].text, result);
    if (result == RV_OK)
        ck_assert_uint_eq(set.word[0], masks[_i].set);
}
END_TEST

START_TEST(a_mask_has_at_most_1024_digits)
{
    char text[RV_AFFINITY_CPUS + 2] = "1";
    rv_affinity_set_t set;

    memset(text + 1, '0', RV_AFFINITY_CPUS - 1);
    ck_assert_int_eq(rv_affinity_parse(text, &set), RV_OK);
    ck_assert_uint_eq(set.word[RV_AFFINITY_CPUS / 64 - 1], UINT64_C(1) << 63);
    text[RV_AFFINITY_CPUS] = '0';
    ck_assert_int_eq(rv_affinity_parse(text, &set), RV_ERROR);
}
END_TEST

enum { WORKERS = 5 };

static const struct {
    const char *what;
    int automatic;
    unsigned count;
    uint64_t mask[3];
    uint64_t allowed;
    uint64_t chosen[WORKERS]; /* of worker 0, 1, ...; 0: none is left */
} choices[] = {
    { "a mask each", 0, 3, { 1, 2, 4 }, 0xf, { 1, 2, 4, 4, 4 } },
    { "one for all", 0, 1, { 6 }, 0xf, { 6, 6, 6, 6, 6 } },
    { "a mask is the operator's word", 0, 1, { 8 }, 0x1, { 8, 8, 8, 8, 8 } },
    { "auto", 1, 0, { 0 }, 0xf, { 1, 2, 4, 8, 1 } },
    { "auto, of what may be used", 1, 0, { 0 }, 0x50, { 0x10, 0x40, 0x10, 0x40, 0x10 } },
    { "auto, of a mask", 1, 1, { 0x5 }, 0xf, { 1, 4, 1, 4, 1 } },
    { "auto, of what both have", 1, 1, { 0x7 }, 0xe, { 2, 4, 2, 4, 2 } },
    { "auto, of nothing", 1, 1, { 0x1 }, 0x2, { 0, 0, 0, 0, 0 } },
};

START_TEST(each_worker_gets_what_is_meant_for_it)
{
    rv_affinity_set_t mask[3] = { { .word = { choices[_i].mask[0] } },
        { .word = { choices[_i].mask[1] } }, { .word = { choices[_i].mask[2] } } };
    const rv_affinity_t affinity = { choices[_i].automatic, choices[_i].count, mask };
    const rv_affinity_set_t allowed = { .word = { choices[_i].allowed } };
    rv_affinity_set_t set;

    for (unsigned worker = 0; worker < WORKERS; worker++) {
        int result = rv_affinity_choose(&affinity, worker, &allowed, &set);

        ck_assert_msg(set.word[0] == choices[_i].chosen[worker], "%s: worker %u got %llx",
            choices[_i].what, worker, (unsigned long long) set.word[0]);
        ck_assert_int_eq(result, set.word[0] == 0 ? RV_ERROR : RV_OK);
        ck_assert(result == RV_OK || errno == EINVAL);
    }
}
END_TEST

START_TEST(a_process_runs_where_it_is_bound_to)
{
    const rv_affinity_t automatic = { .automatic = 1 };
    rv_affinity_set_t allowed, one, now;

    if (rv_affinity_allowed(&allowed) != RV_OK) {
        ck_assert_int_eq(errno, ENOSYS);
        return;
    }
    ck_assert_int_eq(rv_affinity_choose(&automatic, 1, &allowed, &one), RV_OK);
    ck_assert_int_eq(rv_affinity_bind(&one), RV_OK);
    ck_assert_int_eq(rv_affinity_allowed(&now), RV_OK);
    ck_assert_mem_eq(&now, &one, sizeof(now));
}
END_TEST

int
main(void)
{
    Suite *suite = suite_create("affinity");
    TCase *tcase = tcase_create("affinity");
    SRunner *runner = srunner_create(suite);

    tcase_add_loop_test(
        tcase, a_mask_is_binary_and_its_last_digit_is_processor_0, 0, (int) rv_countof(masks));
    tcase_add_test(tcase, a_mask_has_at_most_1024_digits);
    tcase_add_loop_test(tcase, each_worker_gets_what_is_meant_for_it, 0, (int) rv_countof(choices));
    tcase_add_test(tcase, a_process_runs_where_it_is_bound_to);
    suite_add_tcase(suite, tcase);

    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
