/*
 * rv_mesh: the types of messages, by module and name.
 */
#include "mesh_actors.h"

#include <check.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const rv_mesh_type_t types[] = { { .name = "note" }, { .name = "any" }, { .name = NULL } };

START_TEST(modules_may_use_the_same_name_and_one_may_not_twice)
{
    static const rv_mesh_type_t again[] = { { .name = "new" }, { .name = "note" },
        { .name = NULL } };

    mesh_setup(types);
    ck_assert_int_eq(rv_mesh_register("other", types), RV_OK);
    ck_assert_int_ne(rv_mesh_find("other", "note"), rv_mesh_find("test", "note"));
    ck_assert_int_ge(rv_mesh_find("other", "note"), 0);
    ck_assert_int_eq(rv_mesh_register("other", again), RV_ERROR);
    ck_assert_int_eq(errno, EEXIST);

    ck_assert_int_eq(rv_mesh_find("other", "none"), RV_ERROR);
    ck_assert_int_eq(errno, ENOENT);
    ck_assert_int_eq(rv_mesh_find("none", "note"), RV_ERROR);
}
END_TEST

START_TEST(there_is_an_end_to_types)
{
    static char names[512][16];
    rv_mesh_type_t one[2] = { { .name = NULL }, { .name = NULL } };
    static rv_mesh_type_t all[512][2];
    int n = 0;

    mesh_setup(NULL);
    for (; n < 512; n++) {
        snprintf(names[n], sizeof(names[n]), "%d", n);
        one[0].name = names[n];
        memcpy(all[n], one, sizeof(one));
        if (rv_mesh_register("test", all[n]) != RV_OK)
            break;
        ck_assert_int_ge(rv_mesh_find("test", names[n]), 0);
    }
    ck_assert_int_eq(errno, ENOSPC);
    ck_assert_int_gt(n, 100);
    ck_assert_int_lt(n, 512);
}
END_TEST

static Suite *
mesh_suite(void)
{
    Suite *suite = suite_create("mesh_types");
    TCase *tcase = tcase_create("mesh_types");

    tcase_set_timeout(tcase, 120);
    tcase_add_test(tcase, modules_may_use_the_same_name_and_one_may_not_twice);
    tcase_add_test(tcase, there_is_an_end_to_types);
    suite_add_tcase(suite, tcase);
    return suite;
}

int
main(void)
{
    SRunner *runner = srunner_create(mesh_suite());

    srunner_run_all(runner, CK_NORMAL);

    int failed = srunner_ntests_failed(runner);

    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
