/*
 * rv_channel: what is no message of ours is refused, counted, and leaves no
 * descriptor behind; the next message is not touched by it.
 *
 * The bytes of a real message are taken off the socket, spoiled by a row of a
 * table, and put back with as many descriptors as a message can carry.
 */
#include "rv_channel.h"

#include "descriptors.h"

#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define LENGTH 100
#define MAX_FDS 253 /* the most that one message can carry */

enum { MAGIC, TYPE, DATA_LENGTH, HEAD_WORDS = 10 };

typedef struct {
    const char *what;
    int word;       /* of the head, that gets value; -1: none */
    uint32_t value; /* xored into it */
    int longer;     /* bytes more than there should be, or fewer */
    int on_stream;  /* also a whole record can be so */
} fault_t;

enum { HEAD = HEAD_WORDS * sizeof(uint32_t) };

static const fault_t faults[] = {
    { "another magic", MAGIC, 0x01000000, 0, 1 },
    { "no magic", MAGIC, 0x72766d32, 0, 1 },
    { "a type beyond 16 bits", TYPE, 0x10000, 0, 1 },
    { "more length than a message may have", DATA_LENGTH, 0x8000, 0, 1 },
    { "all the length there is", DATA_LENGTH, 0x80000000, 0, 1 },
    { "one byte short", -1, 0, -1, 0 },
    { "one byte long", -1, 0, 1, 0 },
    { "less length than there is", DATA_LENGTH, 4, 0, 0 },
    { "more length than there is", DATA_LENGTH, 8, 0, 0 },
    { "no data", -1, 0, -LENGTH, 0 },
    { "half a head", -1, 0, HEAD / 2 - HEAD - LENGTH, 0 },
    { "one byte", -1, 0, 1 - HEAD - LENGTH, 0 },
    { "longer than any message", -1, 0, RV_CHANNEL_DATA, 0 },
    { "one byte more than the longest", DATA_LENGTH, LENGTH ^ RV_CHANNEL_DATA,
        RV_CHANNEL_DATA - LENGTH + 1, 0 },
};

/* How many descriptors come with it. */
static const int fd_counts[] = { 0, 1, 2, 3, 4, 5, 100, MAX_FDS };

static const rv_channel_transport_t *transport;
static rv_channel_t *from, *to;
static char bytes[3 * RV_CHANNEL_DATA];

static int
transports(void)
{
    int n = 0;

    while (rv_channel_transport((size_t) n) != NULL)
        n++;
    return n;
}

static void
open_pair(int row)
{
    int fds[2];

    transport = rv_channel_transport((size_t) row);
    ck_assert_int_eq(rv_channel_pair(transport, fds), RV_OK);
    from = rv_channel_create(transport, fds[0]);
    to = rv_channel_create(transport, fds[1]);
    ck_assert_ptr_nonnull(from);
    ck_assert_ptr_nonnull(to);
}

static void
close_pair(void)
{
    rv_channel_destroy(from);
    rv_channel_destroy(to);
}

static void
send_good(void)
{
    static const char data[LENGTH] = "good";
    const rv_message_t msg = { .type = 70, .length = LENGTH, .data = data, .fd = -1 };

    ck_assert_int_eq(rv_channel_send(from, &msg), RV_OK);
}

static void
assert_good_arrives(void)
{
    rv_message_t msg;

    ck_assert_int_eq(rv_channel_receive(to, &msg), RV_OK);
    ck_assert_uint_eq(msg.length, LENGTH);
    ck_assert_str_eq(msg.data, "good");
    ck_assert_int_eq(msg.fd, -1);
}

/* The bytes of a good message, in `bytes`. */
static size_t
good_bytes(void)
{
    memset(bytes, 0, sizeof(bytes));
    send_good();

    ssize_t n = recv(rv_channel_fd(to), bytes, sizeof(bytes), 0);

    ck_assert_int_ge(n, HEAD + LENGTH);
    return (size_t) n;
}

/* Puts bytes[0..length) on the socket, and standard input so many times. */
static void
put_bytes(size_t length, int fds)
{
    char control[CMSG_SPACE(MAX_FDS * sizeof(int))] __attribute__((aligned(8))) = { 0 };
    struct iovec iov = { bytes, length };
    struct msghdr m = { .msg_iov = &iov, .msg_iovlen = 1 };
    int list[MAX_FDS] = { STDIN_FILENO };

    if (fds > 0) {
        m.msg_control = control;
        m.msg_controllen = CMSG_SPACE((size_t) fds * sizeof(int));
        struct cmsghdr *cmsg = CMSG_FIRSTHDR(&m);
        cmsg->cmsg_level = SOL_SOCKET;
        cmsg->cmsg_type = SCM_RIGHTS;
        cmsg->cmsg_len = CMSG_LEN((size_t) fds * sizeof(int));
        memcpy(CMSG_DATA(cmsg), list, (size_t) fds * sizeof(int));
    }
    ck_assert_int_eq(sendmsg(rv_channel_fd(from), &m, 0), (ssize_t) length);
}

static void
assert_refused(const char *what, int fds, uint64_t count)
{
    rv_message_t msg;

    errno = 0;
    int result = rv_channel_receive(to, &msg);

    ck_assert_msg(
        result == RV_ERROR && errno == EPROTO, "%s, %d descriptors: result %d", what, fds, result);
    ck_assert_msg(
        rv_channel_counts(to)->refused == count, "%s, %d descriptors: not counted", what, fds);
}

static size_t
spoil(const fault_t *fault, size_t length)
{
    uint32_t head[HEAD_WORDS];

    memcpy(head, bytes, sizeof(head));
    if (fault->word != -1)
        head[fault->word] ^= fault->value;
    memcpy(bytes, head, sizeof(head));
    return length + (size_t) fault->longer;
}

START_TEST(what_is_no_message_is_refused_and_counted)
{
    const fault_t *fault = &faults[_i / transports()];

    open_pair(_i % transports());
    int before = descriptors_open();
    uint64_t refused = 0;

    for (size_t i = 0; i < rv_countof(fd_counts); i++) {
        if (transport->whole_records && !fault->on_stream)
            continue;
        put_bytes(spoil(fault, good_bytes()), fd_counts[i]);
        send_good();
        assert_refused(fault->what, fd_counts[i], ++refused);
        ck_assert_msg(descriptors_open() == before, "%s: %d descriptors leaked", fault->what,
            descriptors_open() - before);
        assert_good_arrives();
    }
    ck_assert_uint_eq(rv_channel_counts(to)->received, refused);
    close_pair();
}
END_TEST

START_TEST(more_than_one_descriptor_is_refused_and_none_leaks)
{
    open_pair(_i);
    int before = descriptors_open();

    for (int fds = 2; fds <= MAX_FDS; fds++) {
        put_bytes(good_bytes(), fds);
        send_good();
        assert_refused("a good message", fds, (uint64_t) fds - 1);
        ck_assert_int_eq(descriptors_open(), before);
        assert_good_arrives();
    }
    close_pair();
}
END_TEST

START_TEST(what_the_caller_refuses_is_counted_too)
{
    open_pair(_i);
    ck_assert_uint_eq(rv_channel_refuse(to), 1);
    put_bytes(good_bytes(), 2);
    assert_refused("two descriptors", 2, 2);
    ck_assert_uint_eq(rv_channel_refuse(to), 3);
    ck_assert_uint_eq(rv_channel_counts(to)->refused, 3);
    close_pair();
}
END_TEST

/* Nothing of a datagram tells it from the end but that somebody sent it. */
START_TEST(empty_datagram_is_not_the_end)
{
    open_pair(_i);
    int before = descriptors_open();

    if (!transport->whole_records && RV_HAVE_SCM_CREDENTIALS) {
        for (int fds = 0; fds < 3; fds++) {
            put_bytes(0, fds);
            send_good();
            assert_refused("an empty datagram", fds, (uint64_t) fds + 1);
            ck_assert_int_eq(descriptors_open(), before);
            assert_good_arrives();
        }
    }
    close_pair();
}
END_TEST

/* All processes of a mesh have the same open socket, and the same flags of it. */
START_TEST(an_end_that_somebody_made_blocking_does_not_block)
{
    const rv_message_t msg = { .type = 70, .length = sizeof(bytes) / 3, .data = bytes, .fd = -1 };
    rv_message_t got;
    int result;

    open_pair(_i);
    ck_assert_int_eq(fcntl(rv_channel_fd(to), F_SETFL, 0), 0);
    ck_assert_int_eq(fcntl(rv_channel_fd(from), F_SETFL, 0), 0);
    ck_assert_int_eq(rv_channel_receive(to, &got), RV_AGAIN);
    while ((result = rv_channel_send(from, &msg)) == RV_OK)
        continue;
    ck_assert_int_eq(result, RV_AGAIN);
    close_pair();
}
END_TEST

START_TEST(what_was_not_received_is_thrown_away_with_its_descriptors)
{
    rv_message_t msg;

    open_pair(_i);
    int before = descriptors_open();
    for (int i = 0; i < 5; i++) {
        put_bytes(good_bytes(), i % 3);
        put_bytes(spoil(&faults[i % 2], good_bytes()), i);
    }
    rv_channel_drain(to);
    ck_assert_int_eq(descriptors_open(), before);
    ck_assert_int_eq(rv_channel_receive(to, &msg), RV_AGAIN);
    send_good();
    assert_good_arrives();
    close_pair();
}
END_TEST

START_TEST(storm_of_junk_hides_nothing)
{
    enum { ROUNDS = 200 };
    rv_message_t msg;
    unsigned good = 0, refused = 0;

    open_pair(_i);
    int before = descriptors_open();

    for (unsigned i = 0; i < ROUNDS; i++) {
        put_bytes(spoil(&faults[i % 5], good_bytes()), (int) i % MAX_FDS);
        send_good();
        while (good + refused < 2 * (i + 1)) {
            if (rv_channel_receive(to, &msg) == RV_OK)
                good++;
            else if (errno == EPROTO)
                refused++;
        }
    }
    ck_assert_uint_eq(good, ROUNDS);
    ck_assert_uint_eq(refused, ROUNDS);
    ck_assert_uint_eq(rv_channel_counts(to)->refused, ROUNDS);
    ck_assert_int_eq(descriptors_open(), before);
    close_pair();
}
END_TEST

static Suite *
channel_suite(void)
{
    Suite *suite = suite_create("channel_refused");
    TCase *tcase = tcase_create("channel_refused");
    int n = transports();

    tcase_set_timeout(tcase, 60);
    tcase_add_loop_test(
        tcase, what_is_no_message_is_refused_and_counted, 0, n * (int) rv_countof(faults));
    tcase_add_loop_test(tcase, more_than_one_descriptor_is_refused_and_none_leaks, 0, n);
    tcase_add_loop_test(tcase, what_the_caller_refuses_is_counted_too, 0, n);
    tcase_add_loop_test(tcase, empty_datagram_is_not_the_end, 0, n);
    tcase_add_loop_test(tcase, an_end_that_somebody_made_blocking_does_not_block, 0, n);
    tcase_add_loop_test(tcase, what_was_not_received_is_thrown_away_with_its_descriptors, 0, n);
    tcase_add_loop_test(tcase, storm_of_junk_hides_nothing, 0, n);
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
