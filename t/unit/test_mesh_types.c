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

/* --- descriptors ---------------------------------------------------------------------- */

static int received, came;

static void
take(const rv_mesh_message_t *msg)
{
    received++;
    came += msg->fd != -1;
}

static const rv_mesh_type_t bare[] = {
    { .name = "bare", .flags = RV_MESH_NO_DESCRIPTOR, .receive_master = take }, { .name = NULL }
};

static void
send_descriptor(const void *arg)
{
    const rv_process_id_t master = rv_mesh_master();

    (void) arg;
    mesh_require(rv_mesh_send(&master, rv_mesh_find("test", "bare"), "x", 1, 0) == RV_OK);
}

START_TEST(a_descriptor_that_the_type_is_not_for_is_closed_unseen)
{
    mesh_setup(bare);
    rv_process_t *worker = mesh_spawn(1, 0);
    int held = mesh_descriptors_here();

    for (int i = 1; i <= 5; i++) {
        mesh_do(worker, send_descriptor, NULL, 0);
        mesh_until(received == i);
    }
    ck_assert_int_eq(came, 0);
    ck_assert_int_eq(mesh_descriptors_here(), held);
    mesh_end();
}
END_TEST

static Suite *
mesh_suite(void)
{
    Suite *suite = suite_create("mesh_types");
    TCase *tcase = tcase_create("mesh_types");

    tcase_set_timeout(tcase, 120);
    tcase_add_test(tcase, a_descriptor_that_the_type_is_not_for_is_closed_unseen);
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
