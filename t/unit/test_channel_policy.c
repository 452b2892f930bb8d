/*
 * rv_channel: what becomes of a message that has to wait, by its policy.
 *
 * The channel is corked, so that all that is sent waits, and each message has
 * the weight of one or more units: how many bytes a transport takes is no matter then.
 */
#include "rv_channel.h"

#include "rv_channel_record.h"

#include <check.h>
#include <errno.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

#if defined(__has_feature)
#define HAS_FEATURE(name) __has_feature(name)
#else
#define HAS_FEATURE(name) 0
#endif
#if defined(__SANITIZE_ADDRESS__) || HAS_FEATURE(address_sanitizer)
enum { SANITIZED = 1 }; /* it needs room itself */
#else
enum { SANITIZED = 0 };
#endif

enum { UNIT = 20000, ROOM = 4, LIMIT = ROOM * UNIT, TYPE = 70, OTHER_TYPE = 71, KEY = 99 };

static const rv_channel_transport_t *transport;
static rv_channel_t *from, *to;
static rv_channel_totals_t before;

static void
open_corked(int row)
{
    int fds[2];

    transport = rv_channel_transport((size_t) row);
    ck_assert_int_eq(rv_channel_pair(transport, fds), RV_OK);
    from = rv_channel_create(transport, fds[0]);
    to = rv_channel_create(transport, fds[1]);
    ck_assert_ptr_nonnull(from);
    ck_assert_ptr_nonnull(to);
    rv_channel_cork(from, 1);
    rv_channel_set_limit(LIMIT);
    before = *rv_channel_totals();
}

static void
close_pair(void)
{
    rv_channel_destroy(from);
    rv_channel_destroy(to);
    ck_assert_uint_eq(rv_channel_totals()->queued, before.queued);
}

/* One whose number stands in `slot`, and that weighs so many units. */
static rv_message_t
message(uint32_t number, rv_channel_policy_t policy, unsigned units)
{
    size_t own = transport->whole_records ? RV_CHANNEL_RECORD : sizeof(rv_channel_head_t);

    return (rv_message_t){
        .type = TYPE, .slot = number, .fd = -1, .policy = policy, .weight = units * UNIT - own
    };
}

static int
send_one(uint32_t number, rv_channel_policy_t policy, unsigned units)
{
    const rv_message_t msg = message(number, policy, units);

    return rv_channel_send(from, &msg);
}

static int
send_typed(uint32_t number, rv_channel_policy_t policy, uint16_t type)
{
    rv_message_t msg = message(number, policy, 1);

    msg.type = type;
    return rv_channel_send(from, &msg);
}

static int
send_about(uint32_t number, uint64_t about, unsigned units)
{
    rv_message_t msg = message(number, RV_CHANNEL_COALESCE, units);

    msg.same = about;
    return rv_channel_send(from, &msg);
}

static int
send_control(uint32_t number, uint32_t key)
{
    rv_message_t msg = message(number, RV_CHANNEL_FAIL, 1);

    msg.key = key;
    return rv_channel_send(from, &msg);
}

/* So many messages wait, which weigh so much, and so many have gone. */
static void
assert_counts(unsigned waiting, unsigned units, uint64_t full, uint64_t dropped)
{
    const rv_channel_counts_t *counts = rv_channel_counts(from);
    const rv_channel_totals_t *totals = rv_channel_totals();

    ck_assert_uint_eq(counts->waiting, waiting);
    ck_assert_uint_eq(counts->queued, (size_t) units * UNIT);
    ck_assert_uint_eq(counts->full, full);
    ck_assert_uint_eq(counts->dropped, dropped);
    ck_assert_uint_eq(totals->queued, before.queued + waiting);
    ck_assert_uint_eq(totals->full, before.full + full);
    ck_assert_uint_eq(totals->dropped, before.dropped + dropped);
}

/* Lets all go: these arrive, up to a 0, in this order, and no others. */
static void
assert_arrive(const uint32_t *numbers)
{
    rv_message_t msg;
    unsigned n = 0;

    rv_channel_cork(from, 0);
    while (rv_channel_flush(from) == RV_AGAIN || numbers[n] != 0) {
        int result = rv_channel_receive(to, &msg);

        if (result == RV_AGAIN)
            continue;
        ck_assert_int_eq(result, RV_OK);
        ck_assert_uint_eq(msg.slot, numbers[n]);
        n++;
    }
    ck_assert_int_eq(rv_channel_receive(to, &msg), RV_AGAIN);
    ck_assert_uint_eq(rv_channel_counts(from)->sent, rv_channel_counts(to)->received);
    ck_assert_uint_eq(rv_channel_counts(from)->waiting, 0);
    ck_assert_uint_eq(rv_channel_counts(from)->queued, 0);
}

static void
assert_numbers_arrive(uint32_t first, uint32_t last)
{
    uint32_t *numbers = calloc(last - first + 2, sizeof(*numbers));

    ck_assert_ptr_nonnull(numbers);
    for (uint32_t n = first; n <= last; n++)
        numbers[n - first] = n;
    assert_arrive(numbers);
    free(numbers);
}

#define ASSERT_ARRIVE(...) assert_arrive((const uint32_t[]){ __VA_ARGS__, 0 })

/* --- fail ------------------------------------------------------------------------------ */

START_TEST(fail_keeps_what_waits_and_refuses_what_comes)
{
    open_corked(_i);
    for (uint32_t n = 1; n <= ROOM; n++) {
        ck_assert_int_eq(send_one(n, RV_CHANNEL_FAIL, 1), RV_OK);
        assert_counts(n, n, 0, 0);
    }
    ck_assert_int_eq(send_one(5, RV_CHANNEL_FAIL, 1), RV_AGAIN);
    ck_assert_int_eq(send_one(6, RV_CHANNEL_FAIL, 1), RV_AGAIN);
    assert_counts(ROOM, ROOM, 2, 0);
    ASSERT_ARRIVE(1, 2, 3, 4);
    ck_assert_uint_eq(rv_channel_counts(from)->most, LIMIT);
    close_pair();
}
END_TEST

START_TEST(what_is_larger_than_the_limit_waits_alone)
{
    open_corked(_i);
    ck_assert_int_eq(send_one(1, RV_CHANNEL_FAIL, 3 * ROOM), RV_OK);
    assert_counts(1, 3 * ROOM, 0, 0);
    ck_assert_int_eq(send_one(2, RV_CHANNEL_FAIL, 1), RV_AGAIN);
    ASSERT_ARRIVE(1);

    rv_channel_cork(from, 1);
    ck_assert_int_eq(send_one(3, RV_CHANNEL_FAIL, 1), RV_OK);
    ck_assert_int_eq(send_one(4, RV_CHANNEL_FAIL, ROOM), RV_AGAIN);
    assert_counts(1, 1, 2, 0);
    ASSERT_ARRIVE(3);
    ck_assert_uint_eq(rv_channel_counts(from)->most, 3 * LIMIT);
    close_pair();
}
END_TEST

START_TEST(control_messages_wait_beside_all_others_and_weigh_nothing)
{
    open_corked(_i);
    for (uint32_t n = 1; n <= ROOM; n++)
        ck_assert_int_eq(send_one(n, RV_CHANNEL_FAIL, 1), RV_OK);
    for (uint32_t n = 11; n <= 13; n++)
        ck_assert_int_eq(send_control(n, n), RV_OK);
    ck_assert_int_eq(send_control(21, 11), RV_OK);
    ck_assert_int_eq(send_one(5, RV_CHANNEL_FAIL, 1), RV_AGAIN);
    assert_counts(ROOM + 3, ROOM, 1, 0);
    ASSERT_ARRIVE(1, 2, 3, 4, 12, 13, 21);
    close_pair();
}
END_TEST

START_TEST(descriptors_that_wait_weigh_something)
{
    open_corked(_i);
    rv_message_t msg = message(1, RV_CHANNEL_FAIL, 1);
    const int more[] = { STDERR_FILENO };

    msg.fd = STDIN_FILENO;
    ck_assert_int_eq(rv_channel_send(from, &msg), RV_OK);
    ck_assert_uint_eq(rv_channel_counts(from)->queued, UNIT + RV_CHANNEL_FD);
    msg.more = more;
    msg.more_count = 1;
    ck_assert_int_eq(rv_channel_send(from, &msg), RV_OK);
    ck_assert_uint_eq(rv_channel_counts(from)->queued, 2 * UNIT + 3 * RV_CHANNEL_FD);
    close_pair();
}
END_TEST

/* --- oldest ------------------------------------------------------------------------------ */

START_TEST(oldest_of_its_type_makes_way)
{
    open_corked(_i);
    ck_assert_int_eq(send_typed(1, RV_CHANNEL_OLDEST, OTHER_TYPE), RV_OK);
    ck_assert_int_eq(send_control(2, KEY), RV_OK);
    for (uint32_t n = 3; n <= 5; n++)
        ck_assert_int_eq(send_typed(n, RV_CHANNEL_OLDEST, TYPE), RV_OK);
    assert_counts(5, ROOM, 0, 0);
    ck_assert_int_eq(send_typed(6, RV_CHANNEL_OLDEST, TYPE), RV_OK);
    assert_counts(5, ROOM, 0, 1);
    ck_assert_int_eq(send_typed(7, RV_CHANNEL_OLDEST, TYPE), RV_OK);
    assert_counts(5, ROOM, 0, 2);
    ASSERT_ARRIVE(1, 2, 5, 6, 7);
    close_pair();
}
END_TEST

START_TEST(several_make_way_for_a_heavy_one)
{
    open_corked(_i);
    for (uint32_t n = 1; n <= ROOM; n++)
        ck_assert_int_eq(send_one(n, RV_CHANNEL_OLDEST, 1), RV_OK);
    ck_assert_int_eq(send_one(5, RV_CHANNEL_OLDEST, 3), RV_OK);
    assert_counts(2, ROOM, 0, 3);
    ck_assert_int_eq(send_one(6, RV_CHANNEL_OLDEST, 2 * ROOM), RV_OK); /* all, and it waits alone */
    assert_counts(1, 2 * ROOM, 0, 5);
    ASSERT_ARRIVE(6);
    close_pair();
}
END_TEST

START_TEST(nothing_makes_way_in_vain)
{
    open_corked(_i);
    ck_assert_int_eq(send_typed(1, RV_CHANNEL_OLDEST, TYPE), RV_OK);
    for (uint32_t n = 2; n <= ROOM; n++)
        ck_assert_int_eq(send_typed(n, RV_CHANNEL_FAIL, OTHER_TYPE), RV_OK);

    /* the one that may go is too light; none may; it is not one's own policy */
    ck_assert_int_eq(send_one(11, RV_CHANNEL_OLDEST, 2), RV_AGAIN);
    ck_assert_int_eq(send_typed(12, RV_CHANNEL_OLDEST, OTHER_TYPE + 1), RV_AGAIN);
    ck_assert_int_eq(send_one(13, RV_CHANNEL_FAIL, 1), RV_AGAIN);
    ck_assert_int_eq(send_one(14, RV_CHANNEL_OLDEST, 2 * ROOM), RV_AGAIN);
    assert_counts(ROOM, ROOM, 4, 0);
    ASSERT_ARRIVE(1, 2, 3, 4);
    close_pair();
}
END_TEST

/* --- coalesce ------------------------------------------------------------------------------ */

START_TEST(of_what_is_about_the_same_the_last_waits)
{
    open_corked(_i);
    ck_assert_int_eq(send_about(1, 0, 1), RV_OK);
    ck_assert_int_eq(send_about(2, UINT64_MAX, 1), RV_OK);
    ck_assert_int_eq(send_about(3, 0, 1), RV_OK);
    assert_counts(2, 2, 0, 1);
    ck_assert_int_eq(send_about(4, 1, 2), RV_OK);
    assert_counts(3, ROOM, 0, 1);

    /* in a full queue too, as long as it is not heavier */
    ck_assert_int_eq(send_about(5, UINT64_MAX, 1), RV_OK);
    ck_assert_int_eq(send_about(6, UINT64_MAX, 2), RV_AGAIN);
    ck_assert_int_eq(send_about(7, 2, 1), RV_AGAIN);
    ck_assert_int_eq(send_about(8, 1, 1), RV_OK);
    assert_counts(3, 3, 2, 3);
    ASSERT_ARRIVE(3, 5, 8);
    close_pair();
}
END_TEST

START_TEST(what_is_of_another_type_or_policy_stays)
{
    open_corked(_i);
    ck_assert_int_eq(send_typed(1, RV_CHANNEL_COALESCE, OTHER_TYPE), RV_OK);
    ck_assert_int_eq(send_typed(2, RV_CHANNEL_FAIL, TYPE), RV_OK);
    ck_assert_int_eq(send_control(3, KEY), RV_OK);
    ck_assert_int_eq(send_about(4, 0, 1), RV_OK);
    ck_assert_int_eq(send_typed(5, RV_CHANNEL_FAIL, TYPE), RV_OK);
    assert_counts(5, ROOM, 0, 0);
    ASSERT_ARRIVE(1, 2, 3, 4, 5);
    close_pair();
}
END_TEST

START_TEST(alone_it_may_be_replaced_by_what_is_larger_than_the_limit)
{
    open_corked(_i);
    ck_assert_int_eq(send_about(1, 7, 1), RV_OK);
    ck_assert_int_eq(send_about(2, 7, 2 * ROOM), RV_OK);
    assert_counts(1, 2 * ROOM, 0, 1);
    ASSERT_ARRIVE(2);
    close_pair();
}
END_TEST

/* --- now, and never ---------------------------------------------------------------------------- */

START_TEST(now_is_refused_where_it_would_wait)
{
    open_corked(_i);
    ck_assert_int_eq(send_one(1, RV_CHANNEL_NOW, 1), RV_AGAIN);
    assert_counts(0, 0, 1, 0);
    rv_channel_cork(from, 0);
    ck_assert_int_eq(send_one(2, RV_CHANNEL_NOW, 1), RV_OK);

    uint32_t n = 3; /* until the kernel takes no more; on a stream it may take a part */
    while (send_one(n, RV_CHANNEL_NOW, 1) == RV_OK)
        n++;
    ck_assert_uint_le(rv_channel_counts(from)->waiting, transport->whole_records ? 1 : 0);
    ck_assert_uint_eq(rv_channel_counts(from)->full, 2);
    ck_assert_int_eq(send_control(n, KEY), RV_OK); /* not asked for its policy */

    assert_numbers_arrive(2, n);
    close_pair();
}
END_TEST

START_TEST(what_waits_for_the_dead_is_dropped_and_counted)
{
    open_corked(_i);
    for (uint32_t n = 1; n <= 3; n++)
        ck_assert_int_eq(send_one(n, RV_CHANNEL_FAIL, 1), RV_OK);
    ck_assert_int_eq(send_control(4, KEY), RV_OK);
    rv_channel_destroy(to);
    to = NULL;
    rv_channel_cork(from, 0);
    ck_assert_int_eq(rv_channel_flush(from), RV_ERROR);
    assert_counts(0, 0, 0, 3);
    ck_assert_int_eq(send_one(5, RV_CHANNEL_FAIL, 1), RV_ERROR);
    ck_assert_int_eq(rv_channel_take_room(from), 0);
    assert_counts(0, 0, 0, 3);
    close_pair();
}
END_TEST

START_TEST(what_waits_when_the_channel_is_closed_is_counted)
{
    open_corked(_i);
    for (uint32_t n = 1; n <= 3; n++)
        ck_assert_int_eq(send_one(n, RV_CHANNEL_FAIL, 1), RV_OK);
    ck_assert_int_eq(send_control(4, KEY), RV_OK);
    close_pair();
    ck_assert_uint_eq(rv_channel_totals()->dropped, before.dropped + 3);
}
END_TEST

START_TEST(without_memory_it_does_not_wait_and_nothing_changes)
{
    struct rlimit usual, none;
    unsigned n = 0;

    open_corked(_i);
    rv_channel_set_limit(SIZE_MAX);
    ck_assert_int_eq(getrlimit(RLIMIT_AS, &usual), 0);
    none = usual;
    none.rlim_cur = 0;
    ck_assert_int_eq(setrlimit(RLIMIT_AS, &none), 0);
    while (send_one(n + 1, RV_CHANNEL_FAIL, 1) == RV_OK)
        n++;
    int err = errno;
    ck_assert_int_eq(setrlimit(RLIMIT_AS, &usual), 0);
    ck_assert_int_eq(err, ENOMEM);
    assert_counts(n, n, 0, 0);
    assert_numbers_arrive(1, n);
    close_pair();
}
END_TEST

static Suite *
channel_suite(void)
{
    Suite *suite = suite_create("channel_policy");
    TCase *tcase = tcase_create("channel_policy");
    int n = 0;

    while (rv_channel_transport((size_t) n) != NULL)
        n++;

    tcase_set_timeout(tcase, 60);
    tcase_add_loop_test(tcase, fail_keeps_what_waits_and_refuses_what_comes, 0, n);
    tcase_add_loop_test(tcase, what_is_larger_than_the_limit_waits_alone, 0, n);
    tcase_add_loop_test(tcase, control_messages_wait_beside_all_others_and_weigh_nothing, 0, n);
    tcase_add_loop_test(tcase, descriptors_that_wait_weigh_something, 0, n);
    tcase_add_loop_test(tcase, oldest_of_its_type_makes_way, 0, n);
    tcase_add_loop_test(tcase, several_make_way_for_a_heavy_one, 0, n);
    tcase_add_loop_test(tcase, nothing_makes_way_in_vain, 0, n);
    tcase_add_loop_test(tcase, of_what_is_about_the_same_the_last_waits, 0, n);
    tcase_add_loop_test(tcase, what_is_of_another_type_or_policy_stays, 0, n);
    tcase_add_loop_test(tcase, alone_it_may_be_replaced_by_what_is_larger_than_the_limit, 0, n);
    tcase_add_loop_test(tcase, now_is_refused_where_it_would_wait, 0, n);
    tcase_add_loop_test(tcase, what_waits_for_the_dead_is_dropped_and_counted, 0, n);
    tcase_add_loop_test(tcase, what_waits_when_the_channel_is_closed_is_counted, 0, n);
    if (!SANITIZED)
        tcase_add_loop_test(tcase, without_memory_it_does_not_wait_and_nothing_changes, 0, n);
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
