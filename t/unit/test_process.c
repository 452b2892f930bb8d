/*
 * rv_process: the table of processes, and what a forked worker has of it.
 *
 * A worker looks at itself and answers with its exit status: 0, or the line
 * of the check that failed.
 */
#include "rv_process.h"

#include "descriptors.h"

#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#define GENERATION 4
#define NOBODY 65534
#define KEY 5

/* For a worker: what does not hold is its exit status, for the test to show. */
#define expect(condition)              \
    do {                               \
        if (!(condition))              \
            _exit(__LINE__ % 251 + 1); \
    } while (0)

static int at_start; /* descriptors before the first worker */
static int earlier;  /* workers before the one at hand, for itself to count */

static void
setup(void)
{
    rv_process_set_master(getpid());
    at_start = descriptors_open();
}

static rv_process_t *
spawn(unsigned worker, int (*run)(void *), void *data)
{
    rv_process_t *p = NULL;

    ck_assert_int_eq(rv_process_spawn(GENERATION, worker, run, data, &p), RV_OK);
    ck_assert_ptr_nonnull(p);
    return p;
}

static void
assert_status(pid_t pid, int expected)
{
    int status;

    ck_assert_int_eq(waitpid(pid, &status, 0), pid);
    ck_assert_msg(WIFEXITED(status) && WEXITSTATUS(status) == expected, "worker's status %#x: %d",
        status, WEXITSTATUS(status));
}

static void
kill_and_release(rv_process_t *p)
{
    int status;

    ck_assert_int_eq(kill(p->pid, SIGKILL), 0);
    ck_assert_int_eq(waitpid(p->pid, &status, 0), p->pid);
    rv_process_release(p);
}

static int
is_readable(int fd)
{
    struct pollfd p = { .fd = fd, .events = POLLIN };

    return poll(&p, 1, 60 * 1000) == 1;
}

/* --- what workers do ----------------------------------------------------- */

static int
live(RV_UNUSED void *data)
{
    while (pause() == -1)
        continue;
    return 0;
}

static int
return_number(void *data)
{
    return *(int *) data;
}

static int
check_row(void *data)
{
    const rv_process_t *self = rv_process_self();

    expect(self != NULL);
    expect(self == rv_process_at(*(unsigned *) data));
    expect(self->slot == *(unsigned *) data);
    expect(self->pid == getpid());
    expect(self->generation == GENERATION);
    expect(self->worker == 10 + self->slot);
    expect(self->channel[0] == NULL);
    expect(self->channel[1] != NULL);
    expect(rv_process_master() == getppid());
    expect(rv_process_find(getpid()) == self);
    return 0;
}

/* Writing ends of those before it, the end of its own, and nothing else. */
static int
check_descriptors(RV_UNUSED void *data)
{
    int others = 0;

    for (rv_process_t *p = rv_process_each(NULL); p != NULL; p = rv_process_each(p)) {
        if (p == rv_process_self())
            continue;
        expect(p->channel[0] != NULL);
        expect(p->channel[1] == NULL);
        expect(fcntl(rv_channel_fd(p->channel[0]), F_GETFD) == FD_CLOEXEC);
        others++;
    }
    expect(others == earlier);
    expect(descriptors_open() == at_start + earlier + 1);
    expect(fcntl(rv_channel_fd(rv_process_self()->channel[1]), F_GETFD) == FD_CLOEXEC);
    return 0;
}

static int
check_signals(RV_UNUSED void *data)
{
    sigset_t blocked;

    expect(sigprocmask(SIG_BLOCK, NULL, &blocked) == 0);
    for (int i = 1; i < 32; i++)
        expect(i == SIGKILL || i == SIGSTOP || sigismember(&blocked, i) == (i != SIGBUS));
    return 0;
}

static int
check_nothing_waits(RV_UNUSED void *data)
{
    rv_channel_t *ch = rv_process_at(0)->channel[0];

    expect(ch != NULL);
    expect(!rv_channel_is_waiting(ch, KEY));
    expect(rv_channel_flush(ch) == RV_OK);
    expect(descriptors_open() == at_start + 2);
    return 0;
}

static int
answer(RV_UNUSED void *data)
{
    rv_channel_t *ch = rv_process_self()->channel[1];
    rv_message_t msg;

    expect(is_readable(rv_channel_fd(ch)));
    expect(rv_channel_receive(ch, &msg) == RV_OK);
    expect(msg.pid == rv_process_master());
    msg.type++;
    expect(rv_channel_send(ch, &msg) == RV_OK);

    /* the master alone holds the other end: this is how its death is seen */
    expect(is_readable(rv_channel_fd(ch)));
    expect(rv_channel_receive(ch, &msg) == RV_DONE);
    return 0;
}

/* --- tests ----------------------------------------------------------------- */

START_TEST(worker_exits_with_what_it_returned)
{
    int number = 42;
    rv_process_t *p = spawn(0, return_number, &number);

    ck_assert_int_eq(p->state, RV_PROCESS_STARTING);
    ck_assert_int_eq(rv_process_next(), 1);
    ck_assert_ptr_nonnull(p->channel[0]);
    ck_assert_ptr_null(p->channel[1]);
    assert_status(p->pid, 42);
    rv_process_release(p);
    ck_assert_int_eq(descriptors_open(), at_start);
}
END_TEST

START_TEST(slots_are_unique_and_used_again)
{
    rv_process_t *p[4];

    for (unsigned i = 0; i < 4; i++) {
        p[i] = spawn(i, live, NULL);
        ck_assert_uint_eq(p[i]->slot, i);
        ck_assert_ptr_eq(rv_process_find(p[i]->pid), p[i]);
    }
    pid_t gone = p[1]->pid;
    kill_and_release(p[1]);
    ck_assert_ptr_null(rv_process_find(gone));
    ck_assert_int_eq(p[1]->state, RV_PROCESS_FREE);
    ck_assert_int_eq(rv_process_next(), 1);
    ck_assert_ptr_eq(rv_process_each(p[0]), p[2]);

    p[1] = spawn(1, live, NULL);
    ck_assert_uint_eq(p[1]->slot, 1);
    for (unsigned i = 0; i < 4; i++)
        kill_and_release(p[i]);
    ck_assert_ptr_null(rv_process_each(NULL));
    ck_assert_int_eq(descriptors_open(), at_start);
}
END_TEST

START_TEST(each_goes_through_the_rows_in_order)
{
    rv_process_t *p[3], *at = NULL;

    ck_assert_ptr_null(rv_process_each(NULL));
    ck_assert_ptr_null(rv_process_self());
    for (unsigned i = 0; i < 3; i++)
        p[i] = spawn(i, live, NULL);
    for (unsigned i = 0; i < 3; i++) {
        at = rv_process_each(at);
        ck_assert_ptr_eq(at, p[i]);
    }
    ck_assert_ptr_null(rv_process_each(at));
    for (unsigned i = 0; i < 3; i++)
        kill_and_release(p[i]);
}
END_TEST

START_TEST(worker_knows_its_row)
{
    rv_process_t *first = spawn(10, live, NULL);
    unsigned slot = 1;
    rv_process_t *p = spawn(11, check_row, &slot);

    ck_assert_ptr_null(rv_process_self());
    ck_assert_uint_eq(p->worker, 11);
    ck_assert_uint_eq(p->generation, GENERATION);
    assert_status(p->pid, 0);
    rv_process_release(p);
    kill_and_release(first);
}
END_TEST

START_TEST(worker_holds_its_own_end_and_one_of_each_before_it)
{
    rv_process_t *p[5];

    for (int i = 0; i < 5; i++) {
        earlier = i;
        rv_process_t *looking = spawn((unsigned) i, check_descriptors, NULL);
        assert_status(looking->pid, 0);
        rv_process_release(looking);
        p[i] = spawn((unsigned) i, live, NULL);
        ck_assert_int_eq(descriptors_open(), at_start + i + 1);
    }
    for (int i = 0; i < 5; i++)
        kill_and_release(p[i]);
    ck_assert_int_eq(descriptors_open(), at_start);
}
END_TEST

START_TEST(worker_begins_with_all_signals_but_faults_blocked)
{
    sigset_t before, after;

    sigemptyset(&before);
    sigaddset(&before, SIGUSR2);
    ck_assert_int_eq(sigprocmask(SIG_SETMASK, &before, NULL), 0);
    rv_process_t *p = spawn(0, check_signals, NULL);

    assert_status(p->pid, 0);
    ck_assert_int_eq(sigprocmask(SIG_BLOCK, NULL, &after), 0);
    for (int i = 1; i < 32; i++)
        ck_assert_int_eq(sigismember(&after, i), i == SIGUSR2);
    rv_process_release(p);
}
END_TEST

START_TEST(worker_does_not_inherit_what_waits_for_another)
{
    static const char data[RV_CHANNEL_DATA];
    rv_message_t msg = { .type = 70, .length = sizeof(data), .data = data, .fd = -1 };
    rv_process_t *stopped = spawn(0, live, NULL);

    while (rv_channel_counts(stopped->channel[0])->queued == 0)
        ck_assert_int_eq(rv_channel_send(stopped->channel[0], &msg), RV_OK);
    msg.key = KEY;
    msg.fd = STDIN_FILENO;
    ck_assert_int_eq(rv_channel_send(stopped->channel[0], &msg), RV_OK);

    rv_process_t *p = spawn(1, check_nothing_waits, NULL);
    assert_status(p->pid, 0);
    ck_assert_int_eq(rv_channel_is_waiting(stopped->channel[0], KEY), 1);
    rv_process_release(p);
    kill_and_release(stopped);
    ck_assert_int_eq(descriptors_open(), at_start);
}
END_TEST

START_TEST(master_and_worker_speak_and_the_end_is_seen)
{
    rv_message_t msg = { .type = 70, .fd = -1 };
    rv_process_t *p = spawn(0, answer, NULL);
    pid_t pid = p->pid;

    ck_assert_int_eq(rv_channel_send(p->channel[0], &msg), RV_OK);
    ck_assert(is_readable(rv_channel_fd(p->channel[0])));
    ck_assert_int_eq(rv_channel_receive(p->channel[0], &msg), RV_OK);
    ck_assert_uint_eq(msg.type, 71);
    ck_assert_int_eq(msg.pid, pid);

    rv_process_release(p);
    assert_status(pid, 0);
}
END_TEST

START_TEST(death_of_a_worker_is_seen_on_its_channel)
{
    rv_process_t *p = spawn(0, live, NULL);
    rv_message_t msg;

    ck_assert_int_eq(rv_channel_receive(p->channel[0], &msg), RV_AGAIN);
    ck_assert_int_eq(kill(p->pid, SIGKILL), 0);
    ck_assert(is_readable(rv_channel_fd(p->channel[0])));
    ck_assert_int_eq(rv_channel_receive(p->channel[0], &msg), RV_DONE);
    kill_and_release(p);
}
END_TEST

/* As somebody whose processes the kernel counts: 0, or what went wrong. */
static int
fail_to_fork(void)
{
    const struct rlimit none = { 0, 0 };
    rv_process_t *p = NULL;

    if (geteuid() == 0) {
        expect(setgroups(0, NULL) == 0);
        expect(setgid(NOBODY) == 0);
        expect(setuid(NOBODY) == 0);
    }
    expect(setrlimit(RLIMIT_NPROC, &none) == 0);
    int before = descriptors_open();

    errno = 0;
    expect(rv_process_spawn(GENERATION, 0, live, NULL, &p) == RV_ERROR);
    expect(errno == EAGAIN);
    expect(p == NULL);
    expect(rv_process_each(NULL) == NULL);
    expect(rv_process_at(0)->state == RV_PROCESS_FREE);
    expect(rv_process_at(0)->channel[0] == NULL);
    expect(descriptors_open() == before);

    sigset_t blocked;
    expect(sigprocmask(SIG_BLOCK, NULL, &blocked) == 0);
    expect(!sigismember(&blocked, SIGTERM));
    return 0;
}

START_TEST(failed_fork_leaves_nothing)
{
    pid_t pid = fork();

    ck_assert_int_ne(pid, -1);
    if (pid == 0)
        _exit(fail_to_fork());
    assert_status(pid, 0);
}
END_TEST

START_TEST(without_descriptors_no_worker_is_started)
{
    struct rlimit limit;
    rv_process_t *p = NULL;

    ck_assert_int_eq(getrlimit(RLIMIT_NOFILE, &limit), 0);
    rlim_t before = limit.rlim_cur;
    limit.rlim_cur = 4;
    ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &limit), 0);
    int result = rv_process_spawn(GENERATION, 0, live, NULL, &p);
    int err = errno;
    limit.rlim_cur = before;
    ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &limit), 0);

    ck_assert_int_eq(result, RV_ERROR);
    ck_assert_int_eq(err, EMFILE);
    ck_assert_ptr_null(rv_process_each(NULL));
    ck_assert_int_eq(descriptors_open(), at_start);
}
END_TEST

START_TEST(full_table_takes_no_more)
{
    rv_process_t *p = NULL;

    for (unsigned i = 0; i < RV_PROCESS_SLOTS; i++)
        ck_assert_int_eq(rv_process_enter(i, 0, 1, (pid_t) (100000 + i), -1), RV_OK);
    ck_assert_int_eq(rv_process_next(), RV_ERROR);
    ck_assert_int_eq(rv_process_spawn(GENERATION, 0, live, NULL, &p), RV_ERROR);
    ck_assert_int_eq(errno, EAGAIN);

    rv_process_release(rv_process_at(RV_PROCESS_SLOTS - 1));
    p = spawn(0, live, NULL);
    ck_assert_uint_eq(p->slot, RV_PROCESS_SLOTS - 1);
    kill_and_release(p);
    for (unsigned i = 0; i < RV_PROCESS_SLOTS - 1; i++)
        rv_process_release(rv_process_at(i));
}
END_TEST

START_TEST(what_is_entered_stands_in_the_table_and_is_closed_with_it)
{
    int fds[2];

    ck_assert_int_eq(rv_channel_pair(NULL, fds), RV_OK);
    ck_assert_int_eq(rv_process_enter(30, 3, 8, 4711, fds[0]), RV_OK);
    const rv_process_t *p = rv_process_at(30);

    ck_assert_ptr_eq(rv_process_each(NULL), p);
    ck_assert_ptr_eq(rv_process_find(4711), p);
    ck_assert_int_eq(p->state, RV_PROCESS_READY);
    ck_assert_uint_eq(p->slot, 30);
    ck_assert_uint_eq(p->worker, 3);
    ck_assert_uint_eq(p->generation, 8);
    ck_assert_int_eq(rv_channel_fd(p->channel[0]), fds[0]);

    ck_assert_int_eq(rv_process_enter(30, 3, 9, 4712, fds[1]), RV_OK);
    ck_assert_int_eq(fcntl(fds[0], F_GETFD), -1);
    ck_assert_ptr_null(rv_process_find(4711));
    ck_assert_uint_eq(p->generation, 9);

    rv_process_release(rv_process_at(30));
    ck_assert_int_eq(fcntl(fds[1], F_GETFD), -1);
    ck_assert_ptr_null(rv_process_each(NULL));
    rv_process_release(rv_process_at(30));
    ck_assert_int_eq(descriptors_open(), at_start);
}
END_TEST

static Suite *
process_suite(void)
{
    Suite *suite = suite_create("process");
    TCase *tcase = tcase_create("process");

    tcase_set_timeout(tcase, 60);
    tcase_add_checked_fixture(tcase, setup, NULL);
    tcase_add_test(tcase, worker_exits_with_what_it_returned);
    tcase_add_test(tcase, slots_are_unique_and_used_again);
    tcase_add_test(tcase, each_goes_through_the_rows_in_order);
    tcase_add_test(tcase, worker_knows_its_row);
    tcase_add_test(tcase, worker_holds_its_own_end_and_one_of_each_before_it);
    tcase_add_test(tcase, worker_begins_with_all_signals_but_faults_blocked);
    tcase_add_test(tcase, worker_does_not_inherit_what_waits_for_another);
    tcase_add_test(tcase, master_and_worker_speak_and_the_end_is_seen);
    tcase_add_test(tcase, death_of_a_worker_is_seen_on_its_channel);
    tcase_add_test(tcase, failed_fork_leaves_nothing);
    tcase_add_test(tcase, without_descriptors_no_worker_is_started);
    tcase_add_test(tcase, full_table_takes_no_more);
    tcase_add_test(tcase, what_is_entered_stands_in_the_table_and_is_closed_with_it);
    suite_add_tcase(suite, tcase);
    return suite;
}

int
main(void)
{
    SRunner *runner = srunner_create(process_suite());

    srunner_run_all(runner, CK_NORMAL);

    int failed = srunner_ntests_failed(runner);

    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
