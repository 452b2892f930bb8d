/*
 * rv_control: the orders of the master, and the logs that it passes.
 */
#include "control_fixture.h"

START_TEST(orders_arrive_once_and_in_order)
{
    static const rv_control_type_t orders[] = { RV_CONTROL_START, RV_CONTROL_QUIT,
        RV_CONTROL_TERMINATE };
    rv_process_t *p = spawn(1);
    int status;

    stop_reading(p);
    for (int i = 0; i < 10; i++)
        ck_assert_int_eq(rv_control_order(p, RV_CONTROL_START), RV_OK);
    for (size_t i = 1; i < rv_countof(orders); i++)
        ck_assert_int_eq(rv_control_order(p, orders[i]), RV_OK);
    go_on(p);
    ck_assert_int_eq(waitpid(p->pid, &status, 0), p->pid);
    ck_assert_int_eq(status, 0);

    const log_t *log = log_of(p);
    ck_assert_uint_eq(atomic_load(&log->count), rv_countof(orders));
    for (size_t i = 0; i < rv_countof(orders); i++)
        ck_assert_uint_eq(log->note[i].type, orders[i]);
    assert_all_genuine(p);
    ck_assert_int_eq(rv_control_order(p, RV_CONTROL_QUIT), RV_ERROR);
    rv_process_release(p);
}
END_TEST

/* Until it has taken all logs of the last round. */
static void
take_answers(rv_process_t *p)
{
    rv_message_t msg;

    for (int left = LIMIT_MSEC; p->reopening > 0;) {
        if (rv_channel_receive(p->channel[0], &msg) != RV_OK)
            ck_assert(wait_a_little(&left));
        else if (msg.type == RV_CONTROL_REOPENED)
            ck_assert_int_eq(rv_control_take_reopened(p, &msg), RV_OK);
    }
    msg = (rv_message_t){ .length = 3, .data = "xx" };
    ck_assert_int_eq(rv_control_take_reopened(p, &msg), RV_ERROR);
}

START_TEST(reopened_logs_reach_everybody_the_last_of_each_counts)
{
    rv_process_t *stopped = spawn(1), *p = spawn(1);
    int old[2], now[2], other[2];
    char bytes[8];

    ck_assert_int_eq(pipe(old) | pipe(now) | pipe(other), 0);
    stop_reading(stopped);
    rv_control_reopen(3, old[1], 1);
    rv_control_reopen(3, now[1], 2);
    rv_control_reopen(4, other[1], 2);
    ck_assert_int_eq(rv_control_has_reopened(2), 0);
    ck_assert_int_eq(rv_control_has_reopened(1), 1); /* nobody waits for that one any more */
    wait_for(p, RV_CONTROL_REOPEN, 4);
    take_answers(p);
    ck_assert_int_eq(rv_control_has_reopened(2), 0);
    go_on(stopped);
    wait_for(stopped, RV_CONTROL_REOPEN, 4);
    take_answers(stopped);
    ck_assert_int_eq(rv_control_has_reopened(2), 1);

    ck_assert_uint_eq(count(stopped, RV_CONTROL_REOPEN, 3), 1);
    ck_assert_uint_eq(count(p, RV_CONTROL_REOPEN, 3), 2);
    ck_assert_int_eq(read(old[0], bytes, sizeof(bytes)), 1);
    ck_assert_int_eq(read(now[0], bytes, sizeof(bytes)), 2);
    ck_assert_int_eq(read(other[0], bytes, sizeof(bytes)), 2);
    terminate_all();
}
END_TEST

static Suite *
control_suite(void)
{
    Suite *suite = suite_create("control_orders");
    TCase *tcase = tcase_create("orders");

    tcase_set_timeout(tcase, 120);
    tcase_add_checked_fixture(tcase, setup, NULL);
    tcase_add_test(tcase, orders_arrive_once_and_in_order);
    tcase_add_test(tcase, reopened_logs_reach_everybody_the_last_of_each_counts);
    suite_add_tcase(suite, tcase);
    return suite;
}

int
main(void)
{
    SRunner *runner = srunner_create(control_suite());

    srunner_run_all(runner, CK_NORMAL);

    int failed = srunner_ntests_failed(runner);

    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
