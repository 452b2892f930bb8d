/*
 * rv_channel: the bytes of messages, which any writer could have put there.
 *
 * They are made by taking those of a real message off the socket, changing
 * them, and putting them back, whole or in parts.
 */
#include "rv_channel.h"

#include <check.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#define TYPE 70
#define SLOT 7
#define GENERATION 3

/* Words of a message's head, as the bytes have them. */
enum { HEAD_PID = 5, HEAD_WORDS = 10 };

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

/* All the bytes of one message of `length` bytes, taken off the socket; not the descriptor that they tell of. */
static size_t
take_bytes(pair_t *pair, uint32_t length, int fd, char *bytes, size_t room)
{
    send_message(pair->end[0], length, fd);

    ssize_t n = recv(rv_channel_fd(pair->end[1]), bytes, room, 0);

    ck_assert_int_gt(n, (int) (HEAD_WORDS * sizeof(uint32_t)));
    return (size_t) n;
}

static void
put_bytes(pair_t *pair, const char *bytes, size_t length, int fd)
{
    char control[CMSG_SPACE(sizeof(int))] __attribute__((aligned(8))) = { 0 };
    struct iovec iov = { (void *) (uintptr_t) bytes, length };
    struct msghdr m = { .msg_iov = &iov, .msg_iovlen = 1 };

    if (fd != -1) {
        m.msg_control = control;
        m.msg_controllen = sizeof(control);
        *CMSG_FIRSTHDR(&m) = (struct cmsghdr){
            .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS, .cmsg_len = CMSG_LEN(sizeof(int))
        };
        memcpy(CMSG_DATA(CMSG_FIRSTHDR(&m)), &fd, sizeof(int));
    }
    ck_assert_int_eq(sendmsg(rv_channel_fd(pair->end[0]), &m, 0), (ssize_t) length);
}

START_TEST(pid_in_the_bytes_is_not_believed)
{
    static char bytes[RV_CHANNEL_DATA + 1024];
    pair_t pair = make_pair(_i);
    size_t length = take_bytes(&pair, 3, -1, bytes, sizeof(bytes));
    uint32_t head[HEAD_WORDS];

    if (!RV_HAVE_SCM_CREDENTIALS) { /* then there is nothing else to believe */
        destroy_pair(&pair);
        return;
    }
    memcpy(head, bytes, sizeof(head));
    head[HEAD_PID] = 1;
    memcpy(bytes, head, sizeof(head));
    put_bytes(&pair, bytes, length, -1);

    rv_message_t msg = receive(pair.end[1]);
    assert_as_sent(&msg, 3);
    ck_assert_int_eq(msg.pid, getpid());
    destroy_pair(&pair);
}
END_TEST

/* Puts `bytes` on the socket in two parts, a descriptor with the first. */
static void
put_in_two(pair_t *pair, const char *bytes, size_t length, size_t at)
{
    put_bytes(pair, bytes, at, STDIN_FILENO);
    assert_nothing_there(pair->end[1]);
    put_bytes(pair, bytes + at, length - at, -1);

    rv_message_t msg = receive(pair->end[1]);
    assert_as_sent(&msg, 9000);
    ck_assert(is_same_file(msg.fd, STDIN_FILENO));
    close(msg.fd);
}

START_TEST(record_on_a_stream_may_come_in_parts)
{
    static const size_t at[] = { 1, 4, 39, 40, 41, 4096, 9039, 9040, 9041 };
    static char bytes[RV_CHANNEL_DATA + 1024];
    pair_t pair = make_pair(_i);

    if (pair.transport->whole_records) {
        size_t length = take_bytes(&pair, 9000, STDIN_FILENO, bytes, sizeof(bytes));

        for (size_t i = 0; i < rv_countof(at); i++)
            put_in_two(&pair, bytes, length, at[i]);
        put_in_two(&pair, bytes, length, length - 1);
        ck_assert_uint_eq(rv_channel_counts(pair.end[1])->received, rv_countof(at) + 1);
        ck_assert_uint_eq(rv_channel_counts(pair.end[1])->refused, 0);
    }
    destroy_pair(&pair);
}
END_TEST

static Suite *
channel_suite(void)
{
    Suite *suite = suite_create("channel_bytes");
    TCase *tcase = tcase_create("channel_bytes");
    int n = 0;

    while (rv_channel_transport((size_t) n) != NULL)
        n++;

    tcase_set_timeout(tcase, 60);
    tcase_add_loop_test(tcase, pid_in_the_bytes_is_not_believed, 0, n);
    tcase_add_loop_test(tcase, record_on_a_stream_may_come_in_parts, 0, n);
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
