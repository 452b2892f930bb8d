/*
 * rv_channel_flow: what weighs more than its bytes does not pile up where nobody reads.
 */
#include "rv_channel.h"

#include <check.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* The limit is one of the queue too, where a record counts as well. */
enum { UNIT = 100 * 1000, ROOM = 4, LIMIT = ROOM * (UNIT + 17 * 1000), TYPE = 70 };

static rv_channel_t *from, *beside, *to; /* both write to the same socket */

static void
open_all(int row)
{
    const rv_channel_transport_t *transport = rv_channel_transport((size_t) row);
    int fds[2];

    ck_assert_int_eq(rv_channel_pair(transport, fds), RV_OK);
    beside = rv_channel_create(transport, dup(fds[0]));
    from = rv_channel_create(transport, fds[0]);
    to = rv_channel_create(transport, fds[1]);
    ck_assert(beside != NULL && from != NULL && to != NULL);
    rv_channel_set_limit(LIMIT);
}

static void
close_all(void)
{
    rv_channel_destroy(from);
    rv_channel_destroy(beside);
    rv_channel_destroy(to);
    ck_assert_uint_eq(rv_channel_totals()->queued, 0);
}

static int
send_one(rv_channel_t *ch, uint32_t number, size_t weight)
{
    const rv_message_t msg = { .type = TYPE, .slot = number, .fd = -1, .weight = weight };

    return rv_channel_send(ch, &msg);
}

static unsigned
waiting(void)
{
    return rv_channel_counts(from)->waiting;
}

static void
take(uint32_t number)
{
    rv_message_t msg;

    ck_assert_int_eq(rv_channel_receive(to, &msg), RV_OK);
    ck_assert_uint_eq(msg.slot, number);
}

START_TEST(no_more_is_on_its_way_than_the_limit)
{
    open_all(_i);
    for (uint32_t n = 0; n < 2 * ROOM; n++)
        ck_assert_int_eq(send_one(from, n, UNIT), RV_OK);
    ck_assert_uint_eq(rv_channel_counts(from)->sent, ROOM);
    ck_assert_uint_eq(waiting(), ROOM);
    ck_assert_int_eq(send_one(from, 99, UNIT), RV_AGAIN); /* and the queue is full */

    ck_assert_int_eq(rv_channel_flush(from), RV_AGAIN);
    ck_assert_int_eq(errno, ENOBUFS); /* to be tried again after a while */
    ck_assert_uint_eq(waiting(), ROOM);

    for (uint32_t n = 0; n < ROOM; n++)
        take(n);
    ck_assert_int_eq(rv_channel_flush(from), RV_OK);
    for (uint32_t n = ROOM; n < 2 * ROOM; n++)
        take(n);
    close_all();
}
END_TEST

START_TEST(what_is_heavier_than_the_limit_goes_alone)
{
    open_all(_i);
    ck_assert_int_eq(send_one(from, 0, 10 * LIMIT), RV_OK);
    ck_assert_uint_eq(waiting(), 0);
    ck_assert_int_eq(send_one(from, 1, 10 * LIMIT), RV_OK);
    ck_assert_uint_eq(waiting(), 1);
    ck_assert_int_eq(rv_channel_flush(from), RV_AGAIN);
    take(0);
    ck_assert_int_eq(rv_channel_flush(from), RV_OK);
    take(1);
    close_all();
}
END_TEST

START_TEST(what_weighs_nothing_more_is_not_held)
{
    open_all(_i);
    ck_assert_int_eq(send_one(from, 0, 10 * LIMIT), RV_OK);
    for (uint32_t n = 1; n < 5; n++)
        ck_assert_int_eq(send_one(from, n, 0), RV_OK);
    ck_assert_uint_eq(waiting(), 0);
    ck_assert_int_eq(send_one(from, 5, 1), RV_OK);
    ck_assert_int_eq(send_one(from, 6, 0), RV_OK); /* but not before what waits */
    ck_assert_uint_eq(waiting(), 2);
    for (uint32_t n = 0; n < 5; n++)
        take(n);
    ck_assert_int_eq(rv_channel_flush(from), RV_OK);
    take(5);
    take(6);
    close_all();
}
END_TEST

/* The socket is never empty then: what is taken shows as what leaves it. */
START_TEST(others_who_write_too_do_not_hold_it_for_ever)
{
    enum { BESIDE = 3 };
    uint32_t next = 100, taken = 100;

    open_all(_i);
    for (; next < 100 + BESIDE; next++)
        ck_assert_int_eq(send_one(beside, next, 0), RV_OK);
    ck_assert_int_eq(send_one(from, 0, LIMIT), RV_OK);
    ck_assert_int_eq(send_one(from, 1, LIMIT), RV_OK);
    ck_assert_uint_eq(waiting(), 1);

    for (; taken < 100 + BESIDE; taken++) {
        take(taken);
        ck_assert_int_eq(rv_channel_flush(from), RV_AGAIN); /* not yet */
        ck_assert_int_eq(send_one(beside, next++, 0), RV_OK);
        ck_assert_int_eq(rv_channel_flush(from), RV_AGAIN);
    }
    take(0);
    ck_assert_int_eq(rv_channel_flush(from), RV_OK);
    for (; taken < next; taken++)
        take(taken);
    take(1);
    close_all();
}
END_TEST

START_TEST(a_child_holds_nothing_for_what_its_parent_sent)
{
    open_all(_i);
    ck_assert_int_eq(send_one(from, 0, LIMIT), RV_OK);
    rv_channel_inherit(from); /* as if after a fork */
    ck_assert_int_eq(send_one(from, 1, LIMIT), RV_OK);
    ck_assert_uint_eq(waiting(), 0);
    close_all();
}
END_TEST

static Suite *
channel_suite(void)
{
    Suite *suite = suite_create("channel_flow");
    TCase *tcase = tcase_create("channel_flow");
    int n = 0;

    while (rv_channel_transport((size_t) n) != NULL)
        n++;

    tcase_set_timeout(tcase, 60);
    tcase_add_loop_test(tcase, no_more_is_on_its_way_than_the_limit, 0, n);
    tcase_add_loop_test(tcase, what_is_heavier_than_the_limit_goes_alone, 0, n);
    tcase_add_loop_test(tcase, what_weighs_nothing_more_is_not_held, 0, n);
    tcase_add_loop_test(tcase, others_who_write_too_do_not_hold_it_for_ever, 0, n);
    tcase_add_loop_test(tcase, a_child_holds_nothing_for_what_its_parent_sent, 0, n);
    suite_add_tcase(suite, tcase);
    return suite;
}

int
main(void)
{
    SRunner *runner = srunner_create(channel_suite());

    srunner_run_all(runner, CK_NORMAL);

    int failed = srunner_ntests_failed(runner);

    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
