/*
 * rv_channel: what the kernel does not take at once waits, in order, and is
 * neither lost nor sent twice; control messages wait once for each key.
 *
 * The socket's buffer is made small, and nobody reads until a test says so.
 */
#include "rv_channel.h"

#include "descriptors.h"

#include <check.h>
#include <errno.h>
#include <grp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define LENGTH 3000
#define KEY 99
#define NOBODY 65534

static rv_channel_t *from, *to;
static int at_start; /* descriptors before the channels */
static int told[2];  /* how often the queue was said to be empty, and not to be */

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
    const rv_channel_transport_t *transport = rv_channel_transport((size_t) row);
    int fds[2], small = 8192;

    at_start = descriptors_open();
    ck_assert_int_eq(rv_channel_pair(transport, fds), RV_OK);
    ck_assert_int_eq(setsockopt(fds[0], SOL_SOCKET, SO_SNDBUF, &small, sizeof(small)), 0);
    from = rv_channel_create(transport, fds[0]);
    to = rv_channel_create(transport, fds[1]);
    ck_assert_ptr_nonnull(from);
    ck_assert_ptr_nonnull(to);
    rv_channel_on_waiting(from, on_waiting, told);
    ck_assert_ptr_eq(rv_channel_waiting_data(from), told);
}

/* And nothing has leaked. */
static void
close_pair(void)
{
    rv_channel_destroy(from);
    rv_channel_destroy(to);
    ck_assert_int_eq(descriptors_open(), at_start);
}

/* A message whose number stands in `slot` and in its data. */
static int
send_number(uint32_t number, uint32_t key, int fd)
{
    static char data[LENGTH];
    const rv_message_t msg = {
        .type = 70, .slot = number, .length = LENGTH, .data = data, .fd = fd, .key = key
    };

    memset(data, (int) (number & 0x7f), sizeof(data));
    return rv_channel_send(from, &msg);
}

static size_t
queued(void)
{
    return rv_channel_counts(from)->queued;
}

/* Numbers from `first` up until some wait; the next number. */
static uint32_t
send_until_some_wait(uint32_t first)
{
    while (queued() == 0)
        ck_assert_int_eq(send_number(first++, 0, -1), RV_OK);
    return first;
}

/* Takes one message, flushing as long as none is there. */
static rv_message_t
take_next(void)
{
    rv_message_t msg;

    for (;;) {
        int result = rv_channel_receive(to, &msg);

        if (result == RV_OK)
            return msg;
        ck_assert_int_eq(result, RV_AGAIN);
        ck_assert_int_ne(rv_channel_flush(from), RV_ERROR);
    }
}

static void
assert_number(const rv_message_t *msg, uint32_t number)
{
    char expected[LENGTH];

    memset(expected, (int) (number & 0x7f), sizeof(expected));
    ck_assert_uint_eq(msg->slot, number);
    ck_assert_uint_eq(msg->length, LENGTH);
    ck_assert_int_eq(memcmp(msg->data, expected, LENGTH), 0);
}

static void
assert_numbers_arrive(uint32_t first, uint32_t end)
{
    for (; first < end; first++) {
        rv_message_t msg = take_next();
        assert_number(&msg, first);
    }
}

static void
assert_nothing_more_arrives(void)
{
    rv_message_t msg;

    ck_assert_int_eq(rv_channel_flush(from), RV_OK);
    ck_assert_int_eq(rv_channel_receive(to, &msg), RV_AGAIN);
}

START_TEST(what_does_not_fit_waits_and_arrives_in_order)
{
    uint32_t n;

    open_pair(_i);
    n = send_until_some_wait(0);
    for (uint32_t end = n + 20; n < end; n++)
        ck_assert_int_eq(send_number(n, 0, -1), RV_OK);
    ck_assert_int_eq(rv_channel_flush(from), RV_AGAIN);

    /* also what is sent once there is room again comes behind what waits */
    for (uint32_t i = 0; i < 30; i++) {
        rv_message_t msg = take_next();

        assert_number(&msg, i);
        ck_assert_int_eq(send_number(n++, 0, -1), RV_OK);
    }
    assert_numbers_arrive(30, n);
    assert_nothing_more_arrives();
    ck_assert_uint_eq(queued(), 0);
    ck_assert_uint_eq(rv_channel_counts(from)->sent, n);
    ck_assert_uint_eq(rv_channel_counts(from)->full, 0);
    ck_assert_uint_eq(rv_channel_counts(to)->refused, 0);
    close_pair();
}
END_TEST

START_TEST(who_watches_is_told_once_when_it_begins_and_ends)
{
    open_pair(_i);
    uint32_t n = send_until_some_wait(0);

    ck_assert_int_eq(told[1], 1);
    ck_assert_int_eq(told[0], 0);
    for (uint32_t end = n + 20; n < end; n++)
        ck_assert_int_eq(send_number(n, 0, -1), RV_OK);
    ck_assert_int_eq(told[1], 1);

    assert_numbers_arrive(0, n);
    assert_nothing_more_arrives();
    ck_assert_int_eq(told[1], 1);
    ck_assert_int_gt(told[0], 0);

    (void) send_until_some_wait(n);
    ck_assert_int_eq(told[1], 2);
    close_pair();
}
END_TEST

START_TEST(waiting_descriptor_is_kept_for_its_message)
{
    struct stat sent, got;
    int fds[2];

    open_pair(_i);
    uint32_t n = send_until_some_wait(0);

    ck_assert_int_eq(pipe(fds), 0);
    ck_assert_int_eq(fstat(fds[0], &sent), 0);
    ck_assert_int_eq(send_number(n, 0, fds[0]), RV_OK);
    close(fds[0]);
    close(fds[1]);

    assert_numbers_arrive(0, n);
    rv_message_t msg = take_next();
    assert_number(&msg, n);
    ck_assert_int_ne(msg.fd, -1);
    ck_assert_int_eq(fstat(msg.fd, &got), 0);
    ck_assert_uint_eq(got.st_ino, sent.st_ino);
    close(msg.fd);
    close_pair();
}
END_TEST

START_TEST(full_queue_refuses_and_sends_nothing)
{
    uint32_t n = 0;
    int result;

    open_pair(_i);
    while ((result = send_number(n, 0, -1)) == RV_OK)
        n++;
    ck_assert_int_eq(result, RV_AGAIN);
    ck_assert_int_eq(send_number(n, 0, STDIN_FILENO), RV_AGAIN);
    ck_assert_uint_eq(rv_channel_counts(from)->full, 2);
    ck_assert_uint_le(queued(), RV_CHANNEL_QUEUE);
    ck_assert_uint_gt(queued(), RV_CHANNEL_QUEUE / 2);

    assert_numbers_arrive(0, n);
    assert_nothing_more_arrives();
    ck_assert_uint_eq(rv_channel_counts(to)->received, n);

    ck_assert_int_eq(send_number(n, 0, -1), RV_OK);
    assert_numbers_arrive(n, n + 1);
    close_pair();
}
END_TEST

START_TEST(control_message_is_never_refused)
{
    enum { KEYS = 200 };
    uint32_t n = 0;

    open_pair(_i);
    while (send_number(n, 0, -1) == RV_OK)
        n++;
    for (uint32_t key = 1; key <= KEYS; key++)
        ck_assert_int_eq(send_number(1000000 + key, key, -1), RV_OK);
    ck_assert_int_eq(send_number(n, 0, -1), RV_AGAIN);

    assert_numbers_arrive(0, n);
    assert_numbers_arrive(1000001, 1000001 + KEYS);
    assert_nothing_more_arrives();
    close_pair();
}
END_TEST

START_TEST(of_control_messages_with_one_key_the_last_waits)
{
    open_pair(_i);
    uint32_t n = send_until_some_wait(0);

    ck_assert_int_eq(rv_channel_is_waiting(from, KEY), 0);
    int before = descriptors_open();
    for (uint32_t i = 0; i < 50; i++)
        ck_assert_int_eq(send_number(500 + i, KEY, STDIN_FILENO), RV_OK);
    ck_assert_int_eq(descriptors_open(), before + 1);
    ck_assert_int_eq(send_number(600, KEY + 1, -1), RV_OK);
    ck_assert_int_eq(rv_channel_is_waiting(from, KEY), 1);
    ck_assert_int_eq(rv_channel_is_waiting(from, KEY + 1), 1);
    ck_assert_int_eq(rv_channel_is_waiting(from, KEY + 2), 0);

    assert_numbers_arrive(0, n);
    rv_message_t msg = take_next();
    assert_number(&msg, 549);
    ck_assert_int_ne(msg.fd, -1);
    close(msg.fd);
    assert_numbers_arrive(600, 601);
    ck_assert_int_eq(rv_channel_is_waiting(from, KEY), 0);
    assert_nothing_more_arrives();
    close_pair();
}
END_TEST

/* The last word stands where it was said, not where the first one stood. */
START_TEST(replaced_control_message_moves_to_the_end)
{
    open_pair(_i);
    uint32_t n = send_until_some_wait(0);

    ck_assert_int_eq(send_number(500, KEY, -1), RV_OK);
    ck_assert_int_eq(send_number(n, 0, -1), RV_OK);
    ck_assert_int_eq(send_number(501, KEY, -1), RV_OK);
    ck_assert_int_eq(send_number(n + 1, 0, -1), RV_OK);

    assert_numbers_arrive(0, n + 1);
    assert_numbers_arrive(501, 502);
    assert_numbers_arrive(n + 1, n + 2);
    assert_nothing_more_arrives();
    close_pair();
}
END_TEST

/* Only control messages, so that one of them is what a stream has half. */
START_TEST(control_message_that_is_half_sent_is_not_replaced)
{
    uint32_t n = 0;

    open_pair(_i);
    while (!rv_channel_is_waiting(from, KEY))
        ck_assert_int_eq(send_number(n++, KEY, -1), RV_OK);
    ck_assert_int_eq(send_number(n++, KEY, -1), RV_OK);
    ck_assert_int_eq(send_number(n++, KEY, -1), RV_OK);

    uint32_t last = 0;
    while (rv_channel_is_waiting(from, KEY) || last != n - 1) {
        rv_message_t msg = take_next();

        assert_number(&msg, msg.slot);
        ck_assert(rv_channel_counts(to)->received == 1 || msg.slot > last);
        last = msg.slot;
    }
    ck_assert_uint_eq(rv_channel_counts(to)->refused, 0);
    assert_nothing_more_arrives();
    close_pair();
}
END_TEST

START_TEST(what_waits_for_a_peer_that_is_gone_is_given_up)
{
    open_pair(_i);
    int before = descriptors_open();
    uint32_t n = send_until_some_wait(0);

    for (uint32_t i = 0; i < 10; i++)
        ck_assert_int_eq(send_number(n, i, STDIN_FILENO), RV_OK);
    rv_channel_destroy(to);
    to = NULL;

    ck_assert_int_eq(rv_channel_flush(from), RV_ERROR);
    ck_assert(errno == EPIPE || errno == ECONNRESET);
    ck_assert_int_eq(descriptors_open(), before - 1);
    ck_assert_uint_eq(queued(), 0);
    ck_assert_int_gt(told[0], 0);
    ck_assert_int_eq(rv_channel_is_waiting(from, 1), 0);
    ck_assert_int_eq(send_number(n, 0, -1), RV_ERROR);
    close_pair();
}
END_TEST

START_TEST(destroying_gives_up_what_waits)
{
    open_pair(_i);
    uint32_t n = send_until_some_wait(0);

    for (uint32_t i = 0; i < 10; i++)
        ck_assert_int_eq(send_number(n, i, STDIN_FILENO), RV_OK);
    close_pair();
}
END_TEST

static int
send_what_waits(void)
{
    int before = descriptors_open();

    rv_channel_inherit(from);
    if (rv_channel_is_waiting(from, KEY) || rv_channel_flush(from) != RV_OK)
        return 1;
    return descriptors_open() == before - 1 && rv_channel_waiting_data(from) == told ? 0 : 2;
}

START_TEST(child_does_not_send_what_its_parent_has_waiting)
{
    open_pair(_i);
    uint32_t n = send_until_some_wait(0);

    for (uint32_t end = n + 10; n < end; n++)
        ck_assert_int_eq(send_number(n, 0, -1), RV_OK);
    ck_assert_int_eq(send_number(n, KEY, STDIN_FILENO), RV_OK);

    pid_t pid = fork();
    int status;

    ck_assert_int_ne(pid, -1);
    if (pid == 0)
        _exit(send_what_waits());
    ck_assert_int_eq(waitpid(pid, &status, 0), pid);
    ck_assert_int_eq(status, 0);

    assert_numbers_arrive(0, n);
    rv_message_t msg = take_next();
    assert_number(&msg, n);
    close(msg.fd);
    assert_nothing_more_arrives();
    close_pair();
}
END_TEST

/* As somebody whom the kernel limits: 0, or what went wrong. */
static int
pass_more_than_the_kernel_carries(void)
{
    enum { FEW = 64, MANY = 100 };
    const struct rlimit limit = { FEW, FEW };
    rv_message_t msg;
    int waited = 0;

    if (geteuid() == 0
        && (setgroups(0, NULL) == -1 || setgid(NOBODY) == -1 || setuid(NOBODY) == -1))
        return 1;
    if (setrlimit(RLIMIT_NOFILE, &limit) == -1)
        return 2;

    const rv_message_t one = { .type = 70, .fd = STDIN_FILENO };
    for (int i = 0; i < MANY; i++) {
        if (rv_channel_send(from, &one) != RV_OK)
            return 3;
        waited |= rv_channel_counts(from)->queued > 0;
    }
    for (int i = 0; i < MANY; i++) {
        (void) rv_channel_flush(from);
        if (rv_channel_receive(to, &msg) != RV_OK || msg.fd == -1)
            return 4;
        close(msg.fd);
    }
    return waited ? 0 : 5;
}

START_TEST(too_many_descriptors_on_their_way_wait)
{
    int large = 1024 * 1024;

    open_pair(_i);
    (void) setsockopt(rv_channel_fd(from), SOL_SOCKET, SO_SNDBUF, &large, sizeof(large));

    pid_t pid = fork();
    int status;

    ck_assert_int_ne(pid, -1);
    if (pid == 0)
        _exit(pass_more_than_the_kernel_carries());
    ck_assert_int_eq(waitpid(pid, &status, 0), pid);
    ck_assert_msg(WIFEXITED(status) && WEXITSTATUS(status) == 0, "status %#x", status);
    close_pair();
}
END_TEST

static Suite *
channel_suite(void)
{
    Suite *suite = suite_create("channel_queue");
    TCase *tcase = tcase_create("channel_queue");
    int n = 0;

    while (rv_channel_transport((size_t) n) != NULL)
        n++;

    tcase_set_timeout(tcase, 60);
    tcase_add_loop_test(tcase, what_does_not_fit_waits_and_arrives_in_order, 0, n);
    tcase_add_loop_test(tcase, who_watches_is_told_once_when_it_begins_and_ends, 0, n);
    tcase_add_loop_test(tcase, waiting_descriptor_is_kept_for_its_message, 0, n);
    tcase_add_loop_test(tcase, full_queue_refuses_and_sends_nothing, 0, n);
    tcase_add_loop_test(tcase, control_message_is_never_refused, 0, n);
    tcase_add_loop_test(tcase, of_control_messages_with_one_key_the_last_waits, 0, n);
    tcase_add_loop_test(tcase, replaced_control_message_moves_to_the_end, 0, n);
    tcase_add_loop_test(tcase, control_message_that_is_half_sent_is_not_replaced, 0, n);
    tcase_add_loop_test(tcase, what_waits_for_a_peer_that_is_gone_is_given_up, 0, n);
    tcase_add_loop_test(tcase, destroying_gives_up_what_waits, 0, n);
    tcase_add_loop_test(tcase, child_does_not_send_what_its_parent_has_waiting, 0, n);
    tcase_add_loop_test(tcase, too_many_descriptors_on_their_way_wait, 0, n);
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
