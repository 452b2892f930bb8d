/*
 * rv_control: who is told of whom, and who may say what to whom.
 */
#include "control_fixture.h"

START_TEST(everybody_can_speak_to_everybody_it_knows)
{
    enum { WORKERS = 5 };
    rv_process_t *p[WORKERS];

    for (int i = 0; i < WORKERS; i++) {
        p[i] = spawn(1);
        introduce(p[i]);
    }
    for (int i = 0; i < WORKERS; i++) {
        for (unsigned j = 0; j < WORKERS; j++) {
            if (p[i]->slot != j)
                wait_for(p[i], HELLO, j);
        }
        assert_all_genuine(p[i]);
    }

    /* of the later ones it was told, the earlier ones it has inherited */
    for (unsigned i = 0; i < WORKERS * WORKERS; i++)
        ck_assert_uint_eq(
            count(p[i / WORKERS], RV_CONTROL_OPEN, i % WORKERS), i % WORKERS > i / WORKERS);
    terminate_all();
}
END_TEST

START_TEST(dead_worker_is_forgotten_and_its_successor_known)
{
    enum { ROUNDS = 12 };
    rv_process_t *p[3];

    for (int i = 0; i < 3; i++) {
        p[i] = spawn(1);
        introduce(p[i]);
    }
    int held = ask(p[0]);
    int own = descriptors_open();

    for (unsigned i = 0; i < ROUNDS; i++) {
        rv_process_t *dead = p[i % 3];

        bury(dead);
        for (int j = 0; j < 3; j++) {
            if (p[j] != dead)
                ck_assert_int_eq(ask(p[j]), held - 1);
        }
        ck_assert_ptr_eq(spawn(2 + i), dead);
        introduce(dead);
        for (int j = 0; j < 3; j++) {
            ck_assert_int_eq(ask(p[j]), held);
            assert_all_genuine(p[j]);
        }
        ck_assert_int_eq(descriptors_open(), own);
    }
    terminate_all();
}
END_TEST

START_TEST(what_is_said_to_who_has_not_taken_the_open_waits)
{
    rv_process_t *stopped = spawn(1), *other = spawn(1);

    introduce(stopped);
    introduce(other);
    stop_reading(stopped);

    rv_process_t *p = spawn(1);
    tell_of(p);
    ck_assert_uint_eq(rv_control_start(p), 1);
    wait_for(other, HELLO, p->slot); /* who reads hears of it at once */
    ck_assert_uint_eq(rv_control_introduce(p), 1);
    ck_assert_uint_eq(count(p, RV_CONTROL_KNOWN, RV_PROCESS_MASTER), 0);

    go_on(stopped);
    ck_assert_uint_eq(rv_control_introduce(p), 0);
    wait_for(p, RV_CONTROL_KNOWN, RV_PROCESS_MASTER);
    wait_for(stopped, HELLO, p->slot);
    assert_all_genuine(stopped);
    terminate_all();
}
END_TEST

START_TEST(who_comes_and_goes_unseen_is_one_close)
{
    rv_process_t *stopped = spawn(1);

    introduce(stopped);
    int held = ask(stopped);

    stop_reading(stopped);
    for (int i = 0; i < 5; i++) {
        rv_process_t *p = spawn(1);
        tell_of(p);
        ck_assert_uint_eq(p->slot, 1);
        bury(p);
    }
    go_on(stopped);
    ck_assert_int_eq(ask(stopped), held);
    ck_assert_uint_eq(count(stopped, RV_CONTROL_OPEN, 1), 0);
    ck_assert_uint_eq(count(stopped, RV_CONTROL_CLOSE, 1), 1);
    terminate_all();
}
END_TEST

START_TEST(successor_that_comes_unseen_is_one_open)
{
    rv_process_t *stopped = spawn(1), *p = spawn(1);

    introduce(stopped);
    introduce(p);
    tell_of(p);
    int held = ask(stopped);
    stop_reading(stopped);
    bury(p);
    ck_assert_ptr_eq(spawn(2), p);
    tell_of(p);
    go_on(stopped);

    ck_assert_int_eq(rv_control_order(p, RV_CONTROL_START), RV_OK);
    wait_for(stopped, RV_CONTROL_OPEN, 1);
    ck_assert_int_eq(ask(stopped), held);
    ck_assert_uint_eq(count(stopped, RV_CONTROL_CLOSE, 1), 0);
    wait_for(stopped, HELLO, 1);
    ck_assert_int_eq(log_of(stopped)->note[atomic_load(&log_of(stopped)->count) - 1].pid, p->pid);
    assert_all_genuine(stopped);
    terminate_all();
}
END_TEST

static Suite *
mesh_suite(void)
{
    Suite *suite = suite_create("control");
    TCase *tcase = tcase_create("mesh");

    tcase_set_timeout(tcase, 120);
    tcase_add_checked_fixture(tcase, setup, NULL);
    tcase_add_test(tcase, everybody_can_speak_to_everybody_it_knows);
    tcase_add_test(tcase, dead_worker_is_forgotten_and_its_successor_known);
    tcase_add_test(tcase, what_is_said_to_who_has_not_taken_the_open_waits);
    tcase_add_test(tcase, who_comes_and_goes_unseen_is_one_close);
    tcase_add_test(tcase, successor_that_comes_unseen_is_one_open);
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
