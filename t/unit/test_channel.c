/*
 * rv_channel: messages from end to end, by every transport of this build.
 *
 * Each test runs once for each row of rv_channel_transport.
 */
#include "rv_channel.h"

#include "descriptors.h"

#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define TYPE 70
#define SLOT 7
#define GENERATION 3

typedef struct {
    const rv_channel_transport_t *transport;
    rv_channel_t *end[2];
} pair_t;

static char data[RV_CHANNEL_DATA];

static pair_t
make_pair(int row)
{
    pair_t pair = { .transport = rv_channel_transport((size_t) row) };
    int fds[2];

    ck_assert_ptr_nonnull(pair.transport);
    ck_assert_int_eq(rv_channel_pair(pair.transport, fds), RV_OK);
    pair.end[0] = rv_channel_create(pair.transport, fds[0]);
    pair.end[1] = rv_channel_create(pair.transport, fds[1]);
    ck_assert_ptr_nonnull(pair.end[0]);
    ck_assert_ptr_nonnull(pair.end[1]);

    for (size_t i = 0; i < sizeof(data); i++)
        data[i] = (char) (i * 7 + i / 251);
    return pair;
}

static void
destroy_pair(pair_t *pair)
{
    rv_channel_destroy(pair->end[0]);
    rv_channel_destroy(pair->end[1]);
}

static rv_message_t
message(uint32_t length)
{
    return (rv_message_t){ .type = TYPE,
        .slot = SLOT,
        .generation = GENERATION,
        .length = length,
        .data = data,
        .fd = -1 };
}

static void
send_message(rv_channel_t *ch, uint32_t length, int fd)
{
    rv_message_t msg = message(length);

    msg.fd = fd;
    ck_assert_int_eq(rv_channel_send(ch, &msg), RV_OK);
}

static rv_message_t
receive(rv_channel_t *ch)
{
    rv_message_t msg;
    int result = rv_channel_receive(ch, &msg);

    ck_assert_msg(result == RV_OK, "nothing received: %d, %s", result, strerror(errno));
    return msg;
}

static void
assert_nothing_there(rv_channel_t *ch)
{
    rv_message_t msg;

    ck_assert_int_eq(rv_channel_receive(ch, &msg), RV_AGAIN);
}

static void
assert_as_sent(const rv_message_t *msg, uint32_t length)
{
    ck_assert_uint_eq(msg->type, TYPE);
    ck_assert_uint_eq(msg->slot, SLOT);
    ck_assert_uint_eq(msg->generation, GENERATION);
    ck_assert_uint_eq(msg->length, length);
    ck_assert_int_eq(memcmp(msg->data, data, length), 0);
}

static int
is_same_file(int a, int b)
{
    struct stat x, y;

    ck_assert_int_eq(fstat(a, &x), 0);
    ck_assert_int_eq(fstat(b, &y), 0);
    return x.st_dev == y.st_dev && x.st_ino == y.st_ino;
}

static void
assert_success(pid_t pid)
{
    int status;

    ck_assert_int_eq(waitpid(pid, &status, 0), pid);
    ck_assert(WIFEXITED(status));
    ck_assert_int_eq(WEXITSTATUS(status), EXIT_SUCCESS);
}

START_TEST(transports_are_rows_up_to_null)
{
    size_t n = 0;

    while (rv_channel_transport(n) != NULL) {
        ck_assert_ptr_nonnull(rv_channel_transport(n)->name);
        n++;
    }
    ck_assert_uint_gt(n, 0);
    ck_assert_str_eq(rv_channel_transport(0)->name, RV_HAVE_SEQPACKET ? "seqpacket" : "stream");
    ck_assert_str_eq(rv_channel_transport(n - 1)->name, "stream");
    ck_assert_ptr_null(rv_channel_transport(n + 100));
}
END_TEST

START_TEST(first_transport_is_the_default)
{
    rv_message_t msg = message(10);
    int fds[2], type;
    socklen_t size = sizeof(type);

    ck_assert_int_eq(rv_channel_pair(NULL, fds), RV_OK);
    ck_assert_int_eq(getsockopt(fds[0], SOL_SOCKET, SO_TYPE, &type, &size), 0);
    ck_assert_int_eq(type, rv_channel_transport(0)->socket_type);

    rv_channel_t *from = rv_channel_create(NULL, fds[0]);
    rv_channel_t *to = rv_channel_create(rv_channel_transport(0), fds[1]);

    ck_assert_int_eq(rv_channel_send(from, &msg), RV_OK);
    msg = receive(to);
    assert_as_sent(&msg, 10);
    rv_channel_destroy(from);
    rv_channel_destroy(to);
    rv_channel_destroy(NULL);
}
END_TEST

START_TEST(ends_do_not_block_and_end_with_an_exec)
{
    pair_t pair = make_pair(_i);

    for (int i = 0; i < 2; i++) {
        int fd = rv_channel_fd(pair.end[i]);

        ck_assert_int_ne(fcntl(fd, F_GETFL) & O_NONBLOCK, 0);
        ck_assert_int_ne(fcntl(fd, F_GETFD) & FD_CLOEXEC, 0);
    }
    destroy_pair(&pair);
}
END_TEST

START_TEST(message_arrives_as_it_was_sent)
{
    static const uint32_t lengths[] = { 0, 1, 100, 4096, RV_CHANNEL_DATA - 1, RV_CHANNEL_DATA };
    pair_t pair = make_pair(_i);

    for (size_t i = 0; i < rv_countof(lengths); i++) {
        send_message(pair.end[0], lengths[i], -1);
        rv_message_t msg = receive(pair.end[1]);
        assert_as_sent(&msg, lengths[i]);
        ck_assert_int_eq(msg.fd, -1);
        assert_nothing_there(pair.end[1]);
    }
    ck_assert_uint_eq(rv_channel_counts(pair.end[0])->sent, rv_countof(lengths));
    ck_assert_uint_eq(rv_channel_counts(pair.end[1])->received, rv_countof(lengths));
    ck_assert_uint_eq(rv_channel_counts(pair.end[1])->refused, 0);
    destroy_pair(&pair);
}
END_TEST

START_TEST(messages_keep_their_order_and_their_bounds)
{
    enum { MESSAGES = 8 };
    pair_t pair = make_pair(_i);

    for (uint32_t i = 0; i < MESSAGES; i++) {
        rv_message_t msg = message(i * 31);

        msg.type = (uint16_t) (TYPE + i);
        ck_assert_int_eq(rv_channel_send(pair.end[0], &msg), RV_OK);
    }
    for (uint32_t i = 0; i < MESSAGES; i++) {
        rv_message_t msg = receive(pair.end[1]);

        ck_assert_uint_eq(msg.type, TYPE + i);
        ck_assert_uint_eq(msg.length, i * 31);
        ck_assert_int_eq(memcmp(msg.data, data, msg.length), 0);
    }
    assert_nothing_there(pair.end[1]);
    destroy_pair(&pair);
}
END_TEST

START_TEST(both_ends_speak)
{
    pair_t pair = make_pair(_i);

    send_message(pair.end[0], 5, -1);
    send_message(pair.end[1], 6, -1);

    rv_message_t msg = receive(pair.end[1]);
    assert_as_sent(&msg, 5);
    msg = receive(pair.end[0]);
    assert_as_sent(&msg, 6);
    destroy_pair(&pair);
}
END_TEST

START_TEST(sixteen_kib_are_the_limit)
{
    static char more[RV_CHANNEL_DATA + 1];
    pair_t pair = make_pair(_i);
    rv_message_t msg = message(RV_CHANNEL_DATA + 1);

    ck_assert_int_eq(RV_CHANNEL_DATA, 16384);
    msg.data = more;
    ck_assert_int_eq(rv_channel_send(pair.end[0], &msg), RV_ERROR);
    ck_assert_int_eq(errno, EMSGSIZE);
    ck_assert_uint_eq(rv_channel_counts(pair.end[0])->sent, 0);
    assert_nothing_there(pair.end[1]);

    send_message(pair.end[0], RV_CHANNEL_DATA, -1);
    msg = receive(pair.end[1]);
    assert_as_sent(&msg, RV_CHANNEL_DATA);
    destroy_pair(&pair);
}
END_TEST

START_TEST(descriptor_is_passed)
{
    pair_t pair = make_pair(_i);
    char byte = 0;
    int fds[2];

    ck_assert_int_eq(pipe(fds), 0);
    send_message(pair.end[0], 1000, fds[1]);
    ck_assert_int_ne(fcntl(fds[1], F_GETFD), -1); /* it stays the sender's */

    rv_message_t msg = receive(pair.end[1]);
    assert_as_sent(&msg, 1000);
    ck_assert_int_ne(msg.fd, -1);
    ck_assert_int_ne(msg.fd, fds[1]);
    ck_assert(is_same_file(msg.fd, fds[1]));
    ck_assert_int_ne(fcntl(msg.fd, F_GETFD) & FD_CLOEXEC, 0);

    close(fds[1]);
    ck_assert_int_eq(write(msg.fd, "x", 1), 1);
    ck_assert_int_eq(read(fds[0], &byte, 1), 1);
    close(msg.fd);
    ck_assert_int_eq(read(fds[0], &byte, 1), 0); /* nobody else holds it */
    close(fds[0]);
    destroy_pair(&pair);
}
END_TEST

START_TEST(each_descriptor_comes_with_its_own_message)
{
    pair_t pair = make_pair(_i);
    int fds[2];

    ck_assert_int_eq(pipe(fds), 0);
    send_message(pair.end[0], 1, -1);
    send_message(pair.end[0], 2, fds[0]);
    send_message(pair.end[0], 3, -1);
    send_message(pair.end[0], 4, fds[1]);

    for (uint32_t i = 1; i <= 4; i++) {
        rv_message_t msg = receive(pair.end[1]);

        assert_as_sent(&msg, i);
        ck_assert_int_eq(msg.fd != -1, i % 2 == 0);
        if (msg.fd == -1)
            continue;
        ck_assert_int_eq(fcntl(msg.fd, F_GETFL) & O_ACCMODE, i == 2 ? O_RDONLY : O_WRONLY);
        close(msg.fd);
    }
    close(fds[0]);
    close(fds[1]);
    destroy_pair(&pair);
}
END_TEST

START_TEST(no_descriptor_leaks)
{
    int before = descriptors_open();
    pair_t pair = make_pair(_i);

    for (int i = 0; i < 100; i++) {
        send_message(pair.end[0], 10, STDIN_FILENO);
        rv_message_t msg = receive(pair.end[1]);
        close(msg.fd);
    }
    ck_assert_int_eq(descriptors_open(), before + 2);

    /* nor those of messages that nobody takes */
    for (int i = 0; i < 5; i++)
        send_message(pair.end[0], 10, STDIN_FILENO);
    destroy_pair(&pair);
    ck_assert_int_eq(descriptors_open(), before);
}
END_TEST

/* In a forked process, with a lie about who it is. */
static void
send_as_child(pair_t *pair, pid_t *child)
{
    rv_message_t msg = message(3);

    msg.pid = 1;
    *child = fork();
    ck_assert_int_ne(*child, -1);
    if (*child == 0)
        _exit(rv_channel_send(pair->end[0], &msg) == RV_OK ? EXIT_SUCCESS : EXIT_FAILURE);
    assert_success(*child);
}

START_TEST(pid_is_that_of_who_sent)
{
    pair_t pair = make_pair(_i);
    pid_t first, second;

    send_as_child(&pair, &first);
    send_message(pair.end[0], 3, -1);
    send_as_child(&pair, &second);

    /* the senders are gone, and are known all the same */
    ck_assert_int_eq(receive(pair.end[1]).pid, first);
    ck_assert_int_eq(receive(pair.end[1]).pid, getpid());
    ck_assert_int_eq(receive(pair.end[1]).pid, second);
    destroy_pair(&pair);
}
END_TEST

START_TEST(sending_to_nobody_is_an_error)
{
    pair_t pair = make_pair(_i);
    rv_message_t msg = message(1);

    rv_channel_destroy(pair.end[1]);
    ck_assert_int_eq(rv_channel_send(pair.end[0], &msg), RV_ERROR);
    ck_assert(errno == EPIPE || errno == ECONNRESET);
    msg.key = 1;
    ck_assert_int_eq(rv_channel_send(pair.end[0], &msg), RV_ERROR);
    ck_assert_int_eq(rv_channel_is_waiting(pair.end[0], 1), 0);
    rv_channel_destroy(pair.end[0]);
}
END_TEST

START_TEST(what_was_sent_before_the_end_still_arrives)
{
    pair_t pair = make_pair(_i);
    rv_message_t msg;

    send_message(pair.end[0], 9, -1);
    rv_channel_destroy(pair.end[0]);
    msg = receive(pair.end[1]);
    assert_as_sent(&msg, 9);
    ck_assert_int_eq(rv_channel_receive(pair.end[1], &msg), RV_DONE);
    ck_assert_int_eq(rv_channel_receive(pair.end[1], &msg), RV_DONE);
    rv_channel_destroy(pair.end[1]);
}
END_TEST

static Suite *
channel_suite(void)
{
    Suite *suite = suite_create("channel");
    TCase *tcase = tcase_create("channel");
    int n = 0;

    while (rv_channel_transport((size_t) n) != NULL)
        n++;

    tcase_set_timeout(tcase, 60);
    tcase_add_test(tcase, transports_are_rows_up_to_null);
    tcase_add_test(tcase, first_transport_is_the_default);
    tcase_add_loop_test(tcase, ends_do_not_block_and_end_with_an_exec, 0, n);
    tcase_add_loop_test(tcase, message_arrives_as_it_was_sent, 0, n);
    tcase_add_loop_test(tcase, messages_keep_their_order_and_their_bounds, 0, n);
    tcase_add_loop_test(tcase, both_ends_speak, 0, n);
    tcase_add_loop_test(tcase, sixteen_kib_are_the_limit, 0, n);
    tcase_add_loop_test(tcase, descriptor_is_passed, 0, n);
    tcase_add_loop_test(tcase, each_descriptor_comes_with_its_own_message, 0, n);
    tcase_add_loop_test(tcase, no_descriptor_leaks, 0, n);
    tcase_add_loop_test(tcase, pid_is_that_of_who_sent, 0, n);
    tcase_add_loop_test(tcase, sending_to_nobody_is_an_error, 0, n);
    tcase_add_loop_test(tcase, what_was_sent_before_the_end_still_arrives, 0, n);
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
