/*
 * rv_control: what a worker believes, message by message.
 *
 * The test is a worker of a made-up table; messages are given to it as if
 * they had been received.
 */
#include "rv_control.h"

#include <check.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum { MASTER_PID = 100, FIRST_PID = 4711, SECOND_PID = 4712 };
enum { FIRST = 3, SECOND = 4, NOBODYS = 5 };

typedef struct {
    int genuine;
    unsigned type;
    uint32_t slot;
    uint32_t generation;
    pid_t pid;
} case_t;

/* FIRST is of generation 2, SECOND of 3. */
static const case_t cases[] = {
    { 1, RV_CONTROL_USER, FIRST, 2, FIRST_PID },
    { 1, RV_CONTROL_USER + 1000, FIRST, 2, FIRST_PID },
    { 1, RV_CONTROL_USER, SECOND, 3, SECOND_PID },
    { 1, RV_CONTROL_READY, FIRST, 2, FIRST_PID },
    { 1, RV_CONTROL_OPEN, RV_PROCESS_MASTER, 0, MASTER_PID },
    { 1, RV_CONTROL_CLOSE, RV_PROCESS_MASTER, 9, MASTER_PID },
    { 1, RV_CONTROL_START, RV_PROCESS_MASTER, 0, MASTER_PID },
    { 1, RV_CONTROL_QUIT, RV_PROCESS_MASTER, 0, MASTER_PID },
    { 1, RV_CONTROL_TERMINATE, RV_PROCESS_MASTER, 0, MASTER_PID },
    { 1, RV_CONTROL_REOPEN, RV_PROCESS_MASTER, 0, MASTER_PID },
    { 1, RV_CONTROL_USER, RV_PROCESS_MASTER, 0, MASTER_PID },

    /* orders are the master's alone */
    { 0, RV_CONTROL_OPEN, FIRST, 2, FIRST_PID },
    { 0, RV_CONTROL_CLOSE, FIRST, 2, FIRST_PID },
    { 0, RV_CONTROL_START, FIRST, 2, FIRST_PID },
    { 0, RV_CONTROL_QUIT, FIRST, 2, FIRST_PID },
    { 0, RV_CONTROL_TERMINATE, FIRST, 2, FIRST_PID },
    { 0, RV_CONTROL_REOPEN, FIRST, 2, FIRST_PID },
    { 0, RV_CONTROL_USER - 1, FIRST, 2, FIRST_PID },
    { 0, 0, FIRST, 2, FIRST_PID },
    { 0, RV_CONTROL_QUIT, RV_PROCESS_MASTER, 0, FIRST_PID },
    { 0, RV_CONTROL_USER, RV_PROCESS_MASTER, 0, FIRST_PID },
    { 0, RV_CONTROL_QUIT, RV_PROCESS_MASTER, 0, -1 },
    { 0, RV_CONTROL_QUIT, RV_PROCESS_MASTER, 0, 0 },

    /* another's slot, another generation, another process */
    { 0, RV_CONTROL_USER, SECOND, 3, FIRST_PID },
    { 0, RV_CONTROL_USER, FIRST, 2, SECOND_PID },
    { 0, RV_CONTROL_USER, FIRST, 2, MASTER_PID },
    { 0, RV_CONTROL_USER, FIRST, 2, -1 },
    { 0, RV_CONTROL_USER, FIRST, 1, FIRST_PID },
    { 0, RV_CONTROL_USER, FIRST, 3, FIRST_PID },
    { 0, RV_CONTROL_READY, FIRST, 3, FIRST_PID },
    { 0, RV_CONTROL_READY, FIRST, 2, SECOND_PID },

    /* nobody's slot, and no slot */
    { 0, RV_CONTROL_USER, NOBODYS, 0, 0 },
    { 0, RV_CONTROL_USER, NOBODYS, 2, FIRST_PID },
    { 0, RV_CONTROL_USER, RV_PROCESS_SLOTS, 2, FIRST_PID },
    { 0, RV_CONTROL_USER, RV_PROCESS_MASTER - 1, 0, MASTER_PID },
    { 0, RV_CONTROL_USER, RV_PROCESS_SLOTS + FIRST, 2, FIRST_PID },
};

static void
setup(void)
{
    rv_process_set_master(MASTER_PID);
    ck_assert_int_eq(rv_process_enter(FIRST, 0, 2, FIRST_PID, -1), RV_OK);
    ck_assert_int_eq(rv_process_enter(SECOND, 1, 3, SECOND_PID, -1), RV_OK);
}

START_TEST(kernels_pid_decides_who_may_say_what)
{
    const case_t *c = &cases[_i];
    const rv_message_t msg = { .type = (uint16_t) c->type,
        .slot = c->slot,
        .generation = c->generation,
        .pid = c->pid,
        .fd = -1 };

    ck_assert_msg(rv_control_is_genuine(&msg) == c->genuine,
        "type %u, slot %u, generation %u, pid %d", c->type, c->slot, c->generation, (int) c->pid);
}
END_TEST

START_TEST(who_has_gone_is_believed_no_more)
{
    const rv_message_t msg = {
        .type = RV_CONTROL_USER, .slot = FIRST, .generation = 2, .pid = FIRST_PID, .fd = -1
    };

    ck_assert(rv_control_is_genuine(&msg));
    rv_process_release(rv_process_at(FIRST));
    ck_assert(!rv_control_is_genuine(&msg));
    ck_assert_int_eq(rv_process_enter(FIRST, 0, 4, FIRST_PID + 10, -1), RV_OK);
    ck_assert(!rv_control_is_genuine(&msg));
}
END_TEST

/* A message as the master would send it. */
static rv_message_t
about(rv_control_type_t type, const rv_process_id_t *peer, uint32_t length, int fd)
{
    return (rv_message_t){ .type = (uint16_t) type,
        .slot = RV_PROCESS_MASTER,
        .length = length,
        .data = peer,
        .fd = fd,
        .pid = MASTER_PID };
}

START_TEST(open_enters_and_close_releases)
{
    const rv_process_id_t told = { .slot = 9, .worker = 4, .generation = 6, .pid = 4720 };
    rv_process_id_t peer;
    int fd = open("/dev/null", O_RDONLY);
    rv_message_t msg = about(RV_CONTROL_OPEN, &told, sizeof(told), fd);

    ck_assert_int_eq(rv_control_peer(&msg, 0, &peer), RV_OK);
    ck_assert_mem_eq(&peer, &told, sizeof(told));
    ck_assert_int_eq(rv_control_enter(&msg, 0, &peer), RV_OK);
    ck_assert_int_eq(msg.fd, -1); /* taken over */

    ck_assert_int_eq(rv_control_peer(&msg, 1, &peer), RV_DONE);

    const rv_process_t *p = rv_process_at(9);
    ck_assert_ptr_eq(rv_process_find(4720), p);
    ck_assert_uint_eq(p->worker, 4);
    ck_assert_uint_eq(p->generation, 6);
    ck_assert_int_eq(rv_channel_fd(p->channel[0]), fd);

    msg = about(RV_CONTROL_CLOSE, &told, sizeof(told), -1);
    ck_assert_int_eq(rv_control_peer(&msg, 0, &peer), RV_OK);
    ck_assert_int_eq(rv_control_enter(&msg, 0, &peer), RV_OK);
    ck_assert_int_eq(p->state, RV_PROCESS_FREE);
    ck_assert_int_eq(fcntl(fd, F_GETFD), -1);
    ck_assert_int_eq(rv_control_enter(&msg, 0, &peer), RV_OK); /* of an empty slot: nothing */
}
END_TEST

START_TEST(malformed_open_and_close_are_refused)
{
    const rv_process_id_t good = { .slot = 9 }, beyond = { .slot = RV_PROCESS_SLOTS },
                          far = { .slot = UINT32_MAX };
    const uint32_t whole = sizeof(good);
    const rv_message_t messages[] = {
        about(RV_CONTROL_OPEN, &good, whole, -1),
        about(RV_CONTROL_OPEN, &good, whole - 1, 0),
        about(RV_CONTROL_OPEN, &good, 0, 0),
        about(RV_CONTROL_CLOSE, &good, whole - 4, -1),
        about(RV_CONTROL_CLOSE, &good, whole + 1, -1),
        about(RV_CONTROL_OPEN, &beyond, whole, 0),
        about(RV_CONTROL_CLOSE, &beyond, whole, -1),
        about(RV_CONTROL_CLOSE, &far, whole, -1),
    };
    rv_process_id_t peer;

    for (size_t i = 0; i < rv_countof(messages); i++)
        ck_assert_msg(rv_control_peer(&messages[i], 0, &peer) == RV_ERROR, "message %zu", i);
}
END_TEST

/* In a forked worker: is told to open, and to close, itself. */
static int
check_own_slot(RV_UNUSED void *data)
{
    const rv_process_t *self = rv_process_self();
    const rv_process_id_t own = { .slot = self->slot, .pid = getpid() };
    const rv_message_t open = about(RV_CONTROL_OPEN, &own, sizeof(own), 0);
    const rv_message_t close = about(RV_CONTROL_CLOSE, &own, sizeof(own), -1);
    rv_process_id_t peer;

    return rv_control_peer(&open, 0, &peer) == RV_ERROR
            && rv_control_peer(&close, 0, &peer) == RV_ERROR
        ? 7
        : 1;
}

START_TEST(worker_does_not_close_itself)
{
    rv_process_t *p;
    int status;

    ck_assert_int_eq(rv_process_spawn(1, 0, check_own_slot, NULL, &p), RV_OK);
    ck_assert_int_eq(waitpid(p->pid, &status, 0), p->pid);
    ck_assert(WIFEXITED(status));
    ck_assert_int_eq(WEXITSTATUS(status), 7);
    rv_process_release(p);
}
END_TEST

START_TEST(reopen_needs_an_index_and_a_descriptor)
{
    const rv_control_log_t said = { 5, 7 };
    rv_message_t msg = {
        .type = RV_CONTROL_REOPEN, .length = sizeof(said), .data = &said, .fd = STDIN_FILENO
    };
    rv_control_log_t log = { 0, 0 };

    ck_assert_int_eq(rv_control_log(&msg, &log), RV_OK);
    ck_assert_uint_eq(log.output, 5);
    ck_assert_uint_eq(log.round, 7);
    msg.fd = -1;
    ck_assert_int_eq(rv_control_log(&msg, &log), RV_ERROR);
    msg.fd = STDIN_FILENO;
    msg.length = 3;
    ck_assert_int_eq(rv_control_log(&msg, &log), RV_ERROR);
    msg.length = 0;
    ck_assert_int_eq(rv_control_log(&msg, &log), RV_ERROR);
}
END_TEST

static Suite *
mesh_suite(void)
{
    Suite *suite = suite_create("control_genuine");
    TCase *tcase = tcase_create("mesh_genuine");

    tcase_set_timeout(tcase, 60);
    tcase_add_checked_fixture(tcase, setup, NULL);
    tcase_add_loop_test(tcase, kernels_pid_decides_who_may_say_what, 0, (int) rv_countof(cases));
    tcase_add_test(tcase, who_has_gone_is_believed_no_more);
    tcase_add_test(tcase, open_enters_and_close_releases);
    tcase_add_test(tcase, malformed_open_and_close_are_refused);
    tcase_add_test(tcase, worker_does_not_close_itself);
    tcase_add_test(tcase, reopen_needs_an_index_and_a_descriptor);
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
