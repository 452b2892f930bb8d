/*
 * rv_channel: when there is room again, when a channel holds back, and the descriptors of messages
 * that wait.
 */
#include "rv_channel.h"

#include "descriptors.h"
#include "rv_channel_record.h"

#include <check.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

enum { TYPE = 70, LENGTH = 3000, LIMIT = 20 * RV_CHANNEL_RECORD, KEY = 99, PIPES = 4 };

static const rv_channel_transport_t *transport;
static rv_channel_t *from, *to;
static int told[2]; /* how often nothing, and something, was said to wait */
static int at_start;

static void
on_waiting(rv_channel_t *ch, int waiting, void *data)
{
    ck_assert_ptr_eq(ch, from);
    ck_assert_ptr_eq(data, told);
    told[waiting]++;
}

static void
open_pair(int row)
{
    int fds[2], small = 8192;

    at_start = descriptors_open();
    transport = rv_channel_transport((size_t) row);
    ck_assert_int_eq(rv_channel_pair(transport, fds), RV_OK);
    ck_assert_int_eq(setsockopt(fds[0], SOL_SOCKET, SO_SNDBUF, &small, sizeof(small)), 0);
    from = rv_channel_create(transport, fds[0]);
    to = rv_channel_create(transport, fds[1]);
    ck_assert_ptr_nonnull(from);
    ck_assert_ptr_nonnull(to);
    rv_channel_on_waiting(from, on_waiting, told);
    rv_channel_set_limit(LIMIT);
}

static void
close_pair(void)
{
    rv_channel_destroy(from);
    rv_channel_destroy(to);
    ck_assert_int_eq(descriptors_open(), at_start);
    ck_assert_uint_eq(rv_channel_totals()->queued, 0);
}

static int
send_number(uint32_t number, uint32_t key)
{
    static const char data[LENGTH];
    const rv_message_t msg = {
        .type = TYPE, .slot = number, .length = LENGTH, .data = data, .fd = -1, .key = key
    };

    return rv_channel_send(from, &msg);
}

static uint32_t
fill_from(uint32_t number)
{
    while (send_number(number, 0) == RV_OK)
        number++;
    return number;
}

/* Takes the next, flushing until one is there. */
static rv_message_t
take_next(void)
{
    rv_message_t msg;
    int result;

    while ((result = rv_channel_receive(to, &msg)) == RV_AGAIN)
        ck_assert_int_ne(rv_channel_flush(from), RV_ERROR);
    ck_assert_int_eq(result, RV_OK);
    return msg;
}

static void
assert_arrive(uint32_t first, uint32_t end)
{
    for (; first < end; first++)
        ck_assert_uint_eq(take_next().slot, first);
}

static void
assert_nothing_more_arrives(void)
{
    rv_message_t msg;

    ck_assert_int_eq(rv_channel_flush(from), RV_OK);
    ck_assert_int_eq(rv_channel_receive(to, &msg), RV_AGAIN);
}

/* --- room ------------------------------------------------------------------------------ */

START_TEST(room_is_told_once_when_half_is_free)
{
    uint64_t roomy = rv_channel_totals()->roomy;
    uint32_t taken = 0;

    open_pair(_i);
    for (int round = 0; round < 3; round++) {
        ck_assert_int_eq(rv_channel_take_room(from), 0);
        uint32_t end = fill_from(taken);
        while (rv_channel_counts(from)->queued > LIMIT / 2) {
            ck_assert_int_eq(rv_channel_take_room(from), 0);
            ck_assert_uint_eq(take_next().slot, taken++);
            (void) rv_channel_flush(from);
        }
        ck_assert_int_eq(rv_channel_take_room(from), 1);
        ck_assert_int_eq(rv_channel_take_room(from), 0);
        ck_assert_uint_eq(rv_channel_totals()->roomy, ++roomy);
        assert_arrive(taken, end);
        taken = end;
        ck_assert_int_eq(rv_channel_take_room(from), 0);
        assert_nothing_more_arrives();
    }
    ck_assert_uint_eq(rv_channel_totals()->roomy, roomy);
    close_pair();
}
END_TEST

START_TEST(who_was_not_refused_is_not_told_of_room)
{
    open_pair(_i);
    uint32_t n = 0;

    while (rv_channel_counts(from)->queued < LIMIT * 3 / 4)
        ck_assert_int_eq(send_number(n++, 0), RV_OK);
    assert_arrive(0, n);
    assert_nothing_more_arrives();
    ck_assert_int_eq(rv_channel_take_room(from), 0);
    ck_assert_uint_eq(rv_channel_totals()->roomy, 0);
    close_pair();
}
END_TEST

START_TEST(what_the_parent_was_refused_is_no_affair_of_the_child)
{
    open_pair(_i);
    uint32_t end = fill_from(0);

    assert_arrive(0, end);
    (void) rv_channel_flush(from);
    ck_assert_uint_gt(rv_channel_totals()->most, 0);
    rv_channel_inherit(from); /* as if after a fork */
    rv_channel_forked();
    ck_assert_uint_eq(rv_channel_counts(from)->sent, 0);
    ck_assert_uint_eq(rv_channel_counts(from)->full, 0);
    ck_assert_uint_eq(rv_channel_counts(from)->most, 0);
    ck_assert_int_eq(rv_channel_take_room(from), 0);
    ck_assert_uint_eq(rv_channel_totals()->most, 0);
    close_pair();
}
END_TEST

/* --- cork ---------------------------------------------------------------------------------- */

START_TEST(cork_holds_back_and_lets_go_in_order)
{
    open_pair(_i);
    rv_channel_cork(from, 1);
    rv_channel_cork(from, 1);
    for (uint32_t n = 1; n < 5; n++)
        ck_assert_int_eq(send_number(n, 0), RV_OK);
    ck_assert_int_eq(send_number(5, KEY), RV_OK);
    ck_assert_int_eq(rv_channel_is_waiting(from, KEY), 1);
    ck_assert_int_eq(rv_channel_flush(from), RV_AGAIN);
    ck_assert_uint_eq(rv_channel_counts(from)->waiting, 5);
    ck_assert_int_eq(told[1], 0); /* what is held back is not to be flushed */

    rv_channel_cork(from, 0);
    ck_assert_int_eq(told[1], 1);
    rv_channel_cork(from, 0);
    ck_assert_int_eq(told[1], 1);
    ck_assert_int_eq(send_number(6, 0), RV_OK); /* behind what waits */
    assert_arrive(1, 7);
    assert_nothing_more_arrives();
    close_pair();
}
END_TEST

START_TEST(cork_stops_what_waits_already)
{
    open_pair(_i);
    uint32_t n = 0;

    while (rv_channel_counts(from)->queued == 0)
        ck_assert_int_eq(send_number(n++, 0), RV_OK);
    ck_assert_int_eq(told[1], 1);
    rv_channel_cork(from, 1);
    ck_assert_int_eq(told[0], 1);
    ck_assert_int_eq(send_number(n++, 0), RV_OK);
    rv_channel_cork(from, 0);
    ck_assert_int_eq(told[1], 2);
    assert_arrive(0, n);
    assert_nothing_more_arrives();

    rv_channel_cork(from, 1); /* nothing waits: nobody is told anything */
    rv_channel_cork(from, 0);
    ck_assert_int_eq(told[1], 2);
    close_pair();
}
END_TEST

START_TEST(who_watches_later_is_told_of_what_is_let_go)
{
    open_pair(_i);
    rv_channel_on_waiting(from, NULL, NULL);
    rv_channel_cork(from, 1);
    ck_assert_int_eq(send_number(0, 0), RV_OK);
    rv_channel_on_waiting(from, on_waiting, told);
    ck_assert_int_eq(told[1], 0);
    rv_channel_cork(from, 0);
    ck_assert_int_eq(told[1], 1);
    assert_arrive(0, 1);
    close_pair();
}
END_TEST

/* --- descriptors -------------------------------------------------------------------------------- */

static int pipes[PIPES][2];

static void
open_pipes(void)
{
    for (int i = 0; i < PIPES; i++)
        ck_assert_int_eq(pipe(pipes[i]), 0);
}

static void
close_pipes(void)
{
    for (int i = 0; i < PIPES; i++) {
        close(pipes[i][0]);
        close(pipes[i][1]);
    }
}

/* With `count` descriptors, those of the pipes in turn. */
static int
send_descriptors(unsigned count)
{
    int fds[RV_CHANNEL_FDS + 1];
    const rv_message_t msg = { .type = TYPE,
        .slot = count,
        .fd = count == 0 ? -1 : pipes[0][0],
        .more = fds + 1,
        .more_count = count == 0 ? 0 : count - 1 };

    for (int i = 0; i <= RV_CHANNEL_FDS; i++)
        fds[i] = pipes[i % PIPES][0];
    return rv_channel_send(from, &msg);
}

static int
is_same(int a, int b)
{
    struct stat x, y;

    return fstat(a, &x) == 0 && fstat(b, &y) == 0 && x.st_ino == y.st_ino && x.st_dev == y.st_dev;
}

static void
assert_descriptors_arrive(unsigned count)
{
    rv_message_t msg = take_next();

    ck_assert_uint_eq(msg.slot, count);
    ck_assert_uint_eq(msg.more_count, count == 0 ? 0 : count - 1);
    ck_assert(count == 0 ? msg.fd == -1 : is_same(msg.fd, pipes[0][0]));
    for (unsigned i = 0; i < msg.more_count; i++)
        ck_assert(is_same(msg.more[i], pipes[(i + 1) % PIPES][0]));
    rv_channel_discard(&msg);
    ck_assert_int_eq(msg.fd, -1);
    ck_assert_uint_eq(msg.more_count, 0);
}

START_TEST(all_descriptors_arrive_in_their_order)
{
    static const unsigned counts[] = { 0, 1, 2, 3, 64, RV_CHANNEL_FDS, 1 };

    open_pair(_i);
    open_pipes();
    int held = descriptors_open();
    for (size_t i = 0; i < rv_countof(counts); i++) {
        ck_assert_int_eq(send_descriptors(counts[i]), RV_OK);
        assert_descriptors_arrive(counts[i]);
        ck_assert_int_eq(descriptors_open(), held);
    }
    ck_assert_int_eq(send_descriptors(RV_CHANNEL_FDS + 1), RV_ERROR);
    ck_assert_int_eq(errno, EMSGSIZE);
    assert_nothing_more_arrives();
    ck_assert_uint_eq(rv_channel_counts(to)->refused, 0);
    close_pipes();
    close_pair();
}
END_TEST

START_TEST(two_descriptors_may_wait_and_more_may_not)
{
    open_pair(_i);
    open_pipes();
    int held = descriptors_open();

    rv_channel_cork(from, 1);
    ck_assert_int_eq(send_descriptors(2), RV_OK);
    ck_assert_int_eq(send_descriptors(1), RV_OK);
    ck_assert_int_eq(descriptors_open(), held + 3);
    ck_assert_int_eq(send_descriptors(3), RV_ERROR);
    ck_assert_int_eq(errno, EINVAL);
    ck_assert_int_eq(send_descriptors(RV_CHANNEL_FDS), RV_ERROR);
    ck_assert_int_eq(descriptors_open(), held + 3);
    ck_assert_uint_eq(rv_channel_counts(from)->waiting, 2);

    rv_channel_cork(from, 0);
    assert_descriptors_arrive(2);
    assert_descriptors_arrive(1);
    assert_nothing_more_arrives();
    ck_assert_int_eq(descriptors_open(), held);
    close_pipes();
    close_pair();
}
END_TEST

/* No further descriptor can be had (0), or again (1). */
static void
allow_descriptors(int on)
{
    static struct rlimit usual;
    struct rlimit none;

    if (on) {
        ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &usual), 0);
        return;
    }
    ck_assert_int_eq(getrlimit(RLIMIT_NOFILE, &usual), 0);
    none = usual;
    none.rlim_cur = 1;
    ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &none), 0);
}

START_TEST(without_a_descriptor_for_it_it_does_not_wait_and_nothing_changes)
{
    open_pair(_i);
    open_pipes();
    int held = descriptors_open();

    rv_channel_cork(from, 1);
    ck_assert_int_eq(send_descriptors(1), RV_OK);
    size_t queued = rv_channel_counts(from)->queued;
    allow_descriptors(0);
    ck_assert_int_eq(send_descriptors(2), RV_ERROR);
    ck_assert_int_eq(errno, EMFILE);
    allow_descriptors(1);
    ck_assert_int_eq(descriptors_open(), held + 1);
    ck_assert_uint_eq(rv_channel_counts(from)->queued, queued);
    ck_assert_uint_eq(rv_channel_totals()->queued, 1);
    rv_channel_cork(from, 0);
    assert_descriptors_arrive(1);
    assert_nothing_more_arrives();
    close_pipes();
    close_pair();
}
END_TEST

/* A stream may take a part of a message, its descriptors with it. The rest must follow. */
START_TEST(the_rest_of_a_message_needs_no_descriptor)
{
    open_pair(_i);
    open_pipes();
    allow_descriptors(0);
    int result = send_descriptors(3);
    allow_descriptors(1);
    ck_assert_int_eq(result, RV_OK);
    ck_assert_uint_eq(rv_channel_counts(from)->waiting, transport->whole_records ? 1 : 0);
    assert_descriptors_arrive(3);
    assert_nothing_more_arrives();
    close_pipes();
    close_pair();
}
END_TEST

/* What cannot be received whole for want of descriptors is refused, none leaks, and the next one comes. */
START_TEST(receiver_without_descriptors_refuses_and_goes_on)
{
    rv_message_t msg;

    open_pair(_i);
    open_pipes();
    int held = descriptors_open();
    ck_assert_int_eq(send_descriptors(2), RV_OK);
    allow_descriptors(0);
    int result = rv_channel_receive(to, &msg);
    int err = errno;
    allow_descriptors(1);
    if (!transport->whole_records) { /* a stream has lost where records begin */
        ck_assert_int_eq(result, RV_ERROR);
        ck_assert_int_eq(err, EPROTO);
        ck_assert_int_eq(send_descriptors(2), RV_OK);
        assert_descriptors_arrive(2);
        ck_assert_uint_eq(rv_channel_counts(to)->refused, 1);
    }
    ck_assert_int_eq(descriptors_open(), held);
    close_pipes();
    close_pair();
}
END_TEST

static Suite *
channel_suite(void)
{
    Suite *suite = suite_create("channel_room");
    TCase *tcase = tcase_create("channel_room");
    int n = 0;

    while (rv_channel_transport((size_t) n) != NULL)
        n++;

    tcase_set_timeout(tcase, 60);
    tcase_add_loop_test(tcase, room_is_told_once_when_half_is_free, 0, n);
    tcase_add_loop_test(tcase, who_was_not_refused_is_not_told_of_room, 0, n);
    tcase_add_loop_test(tcase, what_the_parent_was_refused_is_no_affair_of_the_child, 0, n);
    tcase_add_loop_test(tcase, cork_holds_back_and_lets_go_in_order, 0, n);
    tcase_add_loop_test(tcase, cork_stops_what_waits_already, 0, n);
    tcase_add_loop_test(tcase, who_watches_later_is_told_of_what_is_let_go, 0, n);
    tcase_add_loop_test(tcase, all_descriptors_arrive_in_their_order, 0, n);
    tcase_add_loop_test(tcase, two_descriptors_may_wait_and_more_may_not, 0, n);
    tcase_add_loop_test(
        tcase, without_a_descriptor_for_it_it_does_not_wait_and_nothing_changes, 0, n);
    tcase_add_loop_test(tcase, the_rest_of_a_message_needs_no_descriptor, 0, n);
    tcase_add_loop_test(tcase, receiver_without_descriptors_refuses_and_goes_on, 0, n);
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
