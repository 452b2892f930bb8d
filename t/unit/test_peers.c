/*
 * rv_peers: who comes and goes, as each worker is told of it.
 *
 * The test is the master, and has the other end of each worker's pair as well. What comes there
 * is entered into a table of the worker's own, as a worker does.
 */
#include "rv_peers.h"

#include "descriptors.h"
#include "rv_channel.h"
#include "rv_control.h"
#include "rv_fd.h"

#include <check.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

enum { SLOTS = 320, FILL = RV_CONTROL_USER };

typedef struct {
    rv_channel_t *end;
    int pid[SLOTS]; /* as it was told; 0: nobody */
    int messages;   /* about others */
} worker_t;

static worker_t worker[SLOTS];
static int last_pid;

static void
setup(void)
{
    size_t limit;

    ck_assert_int_eq(rv_fd_raise_limit(1024, &limit), RV_OK);
}

/* A new worker, which has inherited who was there. */
static rv_process_t *
join(unsigned slot, unsigned generation)
{
    rv_process_t *p = rv_process_at(slot);
    worker_t *w = &worker[slot];
    int fds[2];

    *w = (worker_t){ 0 };
    for (unsigned i = 0; i < SLOTS; i++)
        w->pid[i] = rv_process_at(i)->pid;
    ck_assert_int_eq(rv_channel_pair(NULL, fds), RV_OK);
    ck_assert_int_eq(rv_process_enter(slot, slot, generation, ++last_pid, fds[0]), RV_OK);
    w->end = rv_channel_create(NULL, fds[1]);
    ck_assert_ptr_nonnull(w->end);
    p->start_sent = 1;
    rv_peers_note(p);
    return p;
}

static void
leave(unsigned slot)
{
    rv_channel_destroy(worker[slot].end);
    rv_process_release(rv_process_at(slot));
    rv_peers_note(rv_process_at(slot));
}

/* The descriptor is the very socket that the master has. */
static void
check_descriptor(rv_message_t *msg, unsigned i, const rv_process_id_t *peer)
{
    int fd = rv_channel_take(msg, i), should = rv_process_at(peer->slot)->pid == peer->pid;
    struct stat a, b;

    ck_assert_int_eq(fstat(fd, &a), 0);
    if (should) {
        ck_assert_int_eq(fstat(rv_channel_fd(rv_process_at(peer->slot)->channel[0]), &b), 0);
        ck_assert_uint_eq(a.st_ino, b.st_ino);
    }
    close(fd);
}

static void
take(worker_t *w, rv_message_t *msg)
{
    rv_process_id_t peer;
    int result;

    if (msg->type == FILL)
        return;
    w->messages++;
    for (unsigned i = 0; (result = rv_control_peer(msg, i, &peer)) == RV_OK; i++) {
        if (msg->type == RV_CONTROL_OPEN)
            check_descriptor(msg, i, &peer);
        w->pid[peer.slot] = msg->type == RV_CONTROL_OPEN ? peer.pid : 0;
    }
    ck_assert_int_eq(result, RV_DONE);
}

/* Takes what is there, what waits and what was noted too. */
static void
read_all(unsigned slot)
{
    worker_t *w = &worker[slot];
    rv_channel_t *ch = rv_process_at(slot)->channel[0];
    rv_message_t msg;

    do {
        (void) rv_channel_flush(ch);
        while (rv_channel_receive(w->end, &msg) == RV_OK) {
            take(w, &msg);
            rv_channel_discard(&msg);
        }
        rv_peers_tell(0);
    } while (rv_channel_counts(ch)->waiting > 0);
    while (rv_channel_receive(w->end, &msg) == RV_OK) {
        take(w, &msg);
        rv_channel_discard(&msg);
    }
}

static void
assert_knows_all(unsigned slot)
{
    for (unsigned i = 0; i < SLOTS; i++) {
        if (i != slot)
            ck_assert_msg(worker[slot].pid[i] == rv_process_at(i)->pid,
                "worker %u takes slot %u for %d, not %d", slot, i, worker[slot].pid[i],
                (int) rv_process_at(i)->pid);
        ck_assert(rv_peers_is_told(rv_process_at(slot), rv_process_at(i)));
    }
}

/* Until the kernel takes no more. */
static void
fill(unsigned slot)
{
    static const char data[4096];
    const rv_message_t msg = { .type = FILL,
        .slot = RV_PROCESS_MASTER,
        .length = sizeof(data),
        .data = data,
        .fd = -1,
        .policy = RV_CHANNEL_NOW };

    while (rv_channel_send(rv_process_at(slot)->channel[0], &msg) == RV_OK)
        continue;
}

/* --- tests ----------------------------------------------------------------------------- */

START_TEST(many_that_come_at_once_are_few_messages)
{
    join(0, 1);
    for (unsigned i = 1; i < SLOTS; i++)
        join(i, 1);
    rv_peers_tell(0);

    read_all(0);
    assert_knows_all(0);
    ck_assert_int_eq(worker[0].messages, 2); /* of 253 descriptors and of the rest */
    read_all(SLOTS - 2);
    assert_knows_all(SLOTS - 2);
    ck_assert_int_eq(worker[SLOTS - 2].messages, 1);
    read_all(SLOTS - 1);
    assert_knows_all(SLOTS - 1);
    ck_assert_int_eq(worker[SLOTS - 1].messages, 0); /* it has inherited all others */
}
END_TEST

START_TEST(many_that_go_at_once_are_one_message)
{
    for (unsigned i = 0; i < 100; i++)
        join(i, 1);
    rv_peers_tell(0);
    read_all(0);
    worker[0].messages = 0;

    for (unsigned i = 20; i < 80; i++)
        leave(i);
    for (unsigned i = 20; i < 40; i++)
        join(i, 1);
    rv_peers_tell(0);
    read_all(0);
    assert_knows_all(0);
    ck_assert_int_eq(worker[0].messages, 2); /* one of the new, one of the empty slots */
}
END_TEST

START_TEST(who_does_not_read_costs_one_message)
{
    const rv_process_t *sleeper = join(0, 1);

    for (unsigned i = 1; i < 10; i++)
        join(i, 1);
    rv_peers_tell(0);
    fill(0);
    int held = descriptors_open();

    for (int round = 0; round < 50; round++) {
        for (unsigned i = 1; i < 10; i++)
            leave(i);
        for (unsigned i = 1; i < 10; i++)
            join(i, 1);
        rv_peers_tell(0);
        ck_assert_uint_le(rv_channel_counts(sleeper->channel[0])->waiting, 1);
        ck_assert_int_le(descriptors_open(), held + 1);
        ck_assert(!rv_peers_is_told(sleeper, rv_process_at(1 + (unsigned) round % 9)));
    }
    read_all(0);
    assert_knows_all(0);
}
END_TEST

START_TEST(a_generation_that_is_not_in_force_is_kept_from_those_before_it)
{
    join(0, 1);
    rv_process_t *p = join(1, 2);

    p->start_sent = 0;
    join(2, 2);
    rv_peers_tell(0);
    read_all(0);
    ck_assert_int_eq(worker[0].pid[1], 0);
    ck_assert_int_ne(worker[0].pid[2], 0);
    ck_assert(!rv_peers_is_told(rv_process_at(0), p));
    ck_assert(rv_peers_is_told(rv_process_at(2), p));

    p->start_sent = 1;
    rv_peers_tell(0);
    read_all(0);
    assert_knows_all(0);
}
END_TEST

START_TEST(who_was_told_to_go_is_spared_for_a_while)
{
    const int64_t left = 1000, due = left + RV_PEERS_LEAVING_MSEC;

    join(0, 1)->left = left;
    ck_assert_int_eq(rv_peers_due(), INT64_MAX);
    join(1, 1);
    rv_peers_tell(left);
    ck_assert_int_eq(rv_peers_due(), due);
    rv_peers_tell(due - 1);
    ck_assert(!rv_peers_is_told(rv_process_at(0), rv_process_at(1)));

    rv_peers_tell(due);
    ck_assert_int_eq(rv_peers_due(), INT64_MAX);
    read_all(0);
    assert_knows_all(0);
}
END_TEST

/* Whatever happens in whatever order, somebody reading or not. */
START_TEST(everybody_ends_with_the_same_table)
{
    enum { FEW = 24, STEPS = 4000 };

    srand((unsigned) _i + 1);
    join(0, 1);
    for (int step = 0; step < STEPS; step++) {
        unsigned slot = (unsigned) rand() % FEW;
        int lives = rv_process_at(slot)->state != RV_PROCESS_FREE;

        switch (rand() % 5) {
        case 0:
        case 1:
            lives ? leave(slot) : (void) join(slot, 1);
            break;
        case 2:
            rv_peers_tell(0);
            break;
        case 3:
            if (lives)
                read_all(slot);
            break;
        default:
            if (lives)
                fill(slot);
        }
    }
    rv_peers_tell(0);
    for (unsigned i = 0; i < FEW; i++) {
        if (rv_process_at(i)->state == RV_PROCESS_FREE)
            continue;
        read_all(i);
        assert_knows_all(i);
    }
}
END_TEST

static Suite *
peers_suite(void)
{
    Suite *suite = suite_create("peers");
    TCase *tcase = tcase_create("peers");

    tcase_set_timeout(tcase, 60);
    tcase_add_checked_fixture(tcase, setup, NULL);
    tcase_add_test(tcase, many_that_come_at_once_are_few_messages);
    tcase_add_test(tcase, many_that_go_at_once_are_one_message);
    tcase_add_test(tcase, who_does_not_read_costs_one_message);
    tcase_add_test(tcase, a_generation_that_is_not_in_force_is_kept_from_those_before_it);
    tcase_add_test(tcase, who_was_told_to_go_is_spared_for_a_while);
    tcase_add_loop_test(tcase, everybody_ends_with_the_same_table, 0, 5);
    suite_add_tcase(suite, tcase);
    return suite;
}

int
main(void)
{
    SRunner *runner = srunner_create(peers_suite());

    srunner_run_all(runner, CK_NORMAL);

    int failed = srunner_ntests_failed(runner);

    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
