/*
 * rv_control: forked workers that are introduced to each other, and part.
 *
 * The test is the master. Each worker writes what it receives into a log in
 * shared memory, greets whom it gets to know once it may, and tells how many
 * descriptors it has when asked. A stopped worker is one that does not read.
 */
#include "rv_control.h"

#include "rv_peers.h"

#include <check.h>
#include <dirent.h>
#include <poll.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { HELLO = RV_CONTROL_USER, ASK, FILL };
enum { MAX_WORKERS = 64, MAX_NOTES = 256, LIMIT_MSEC = 60 * 1000 };

typedef struct {
    unsigned type;
    unsigned slot; /* whom it is about, or from */
    int genuine;
    int32_t pid;
} note_t;

typedef struct {
    atomic_uint count;
    note_t note[MAX_NOTES];
    atomic_int descriptors; /* -1: not answered yet */
} log_t;

static log_t *logs;      /* one for each worker that was ever spawned */
static unsigned spawned; /* how many */

static int
open_descriptors(void)
{
    DIR *dir = opendir("/proc/self/fd");
    int n = 0;

    if (dir == NULL)
        return 0;
    while (readdir(dir) != NULL)
        n++;
    closedir(dir);
    return n;
}

static log_t *own_log;
static int started;

static void
note(unsigned type, unsigned slot, const rv_message_t *msg)
{
    unsigned n = atomic_load(&own_log->count);

    if (n == MAX_NOTES)
        _exit(99);
    own_log->note[n] = (note_t){ type, slot, rv_control_is_genuine(msg), msg->pid };
    atomic_store(&own_log->count, n + 1);
}

static void
greet(const rv_process_t *p)
{
    const rv_process_t *self = rv_process_self();
    const rv_message_t msg = {
        .type = HELLO, .slot = self->slot, .generation = self->generation, .fd = -1
    };

    if (started && p != self && p->channel[0] != NULL)
        (void) rv_channel_send(p->channel[0], &msg);
}

static void
take_peers(rv_message_t *msg)
{
    rv_process_id_t peer;
    int result;

    for (unsigned i = 0; (result = rv_control_peer(msg, i, &peer)) == RV_OK; i++) {
        note(msg->type, peer.slot, msg);
        if (rv_control_enter(msg, i, &peer) != RV_OK)
            _exit(97);
        greet(rv_process_at(peer.slot));
    }
    if (result != RV_DONE)
        _exit(98);
}

static void
let_through(const rv_message_t *msg)
{
    if (rv_control_uncork(msg) != RV_OK)
        _exit(95);
}

static void
take(rv_message_t *msg)
{
    rv_control_log_t log;

    switch (msg->type) {
    case RV_CONTROL_OPEN:
    case RV_CONTROL_CLOSE:
        take_peers(msg);
        break;
    case RV_CONTROL_START:
        note(msg->type, msg->slot, msg);
        started = 1;
        let_through(msg);
        for (rv_process_t *p = rv_process_each(NULL); p != NULL; p = rv_process_each(p))
            greet(p);
        break;
    case RV_CONTROL_KNOWN:
        note(msg->type, msg->slot, msg);
        let_through(msg);
        for (rv_process_t *p = rv_process_each(NULL); p != NULL; p = rv_process_each(p)) {
            if (p != rv_process_self())
                (void) rv_channel_flush(p->channel[0]);
        }
        break;
    case RV_CONTROL_REOPEN:
        if (rv_control_log(msg, &log) != RV_OK || write(msg->fd, "x", 1) != 1
            || rv_control_reopened(&log) != RV_OK)
            _exit(96);
        note(msg->type, log.output, msg);
        break;
    case ASK:
        atomic_store(&own_log->descriptors, open_descriptors());
        break;
    case FILL:
        break;
    default:
        note(msg->type, msg->slot, msg);
    }
    if (msg->fd != -1)
        close(msg->fd);
}

static int
work(void *data)
{
    rv_channel_t *ch = rv_process_self()->channel[1];
    struct pollfd p = { .fd = rv_channel_fd(ch), .events = POLLIN };
    rv_message_t msg = { 0 };

    own_log = data;
    for (rv_process_t *other = rv_process_each(NULL); other != NULL;
         other = rv_process_each(other)) {
        if (other != rv_process_self())
            rv_channel_cork(other->channel[0], 1);
    }
    if (rv_control_ready() != RV_OK)
        return 1;
    while (msg.type != RV_CONTROL_TERMINATE) {
        int result = rv_channel_receive(ch, &msg);

        if (result == RV_AGAIN)
            poll(&p, 1, -1);
        else if (result == RV_OK)
            take(&msg);
        else
            return 2;
    }
    return 0;
}

static void
setup(void)
{
    size_t size = MAX_WORKERS * sizeof(*logs);

    rv_process_set_master(getpid());
    logs = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    ck_assert_ptr_ne(logs, MAP_FAILED);
}

static int
wait_a_little(int *left)
{
    const struct timespec pause = { 0, 5 * 1000 * 1000 };

    nanosleep(&pause, NULL);
    return (*left -= 5) > 0;
}

static log_t *
log_of(const rv_process_t *p)
{
    return &logs[p->worker];
}

static unsigned
count(const rv_process_t *p, unsigned type, unsigned slot)
{
    unsigned found = 0;

    for (unsigned i = 0; i < atomic_load(&log_of(p)->count); i++)
        found += log_of(p)->note[i].type == type && log_of(p)->note[i].slot == slot;
    return found;
}

/* Waits until the worker has noted this. */
static void
wait_for(const rv_process_t *p, unsigned type, unsigned slot)
{
    for (int left = LIMIT_MSEC; count(p, type, slot) == 0;)
        ck_assert_msg(
            wait_a_little(&left), "slot %u: no message of type %u, slot %u", p->slot, type, slot);
}

static rv_process_t *
spawn(unsigned generation)
{
    rv_process_t *p;
    rv_message_t msg;

    ck_assert_uint_lt(spawned, MAX_WORKERS);
    ck_assert_int_eq(rv_process_spawn(generation, spawned, work, &logs[spawned], &p), RV_OK);
    spawned++;
    for (int left = LIMIT_MSEC; rv_channel_receive(p->channel[0], &msg) != RV_OK;)
        ck_assert(wait_a_little(&left));
    ck_assert_uint_eq(msg.type, RV_CONTROL_READY);
    ck_assert(rv_control_is_genuine(&msg));
    return p;
}

/* Its generation is in force. */
static void
tell_of(rv_process_t *p)
{
    p->start_sent = 1;
    rv_peers_note(p);
    rv_peers_tell(0);
}

static void
introduce(rv_process_t *p)
{
    tell_of(p);
    ck_assert_uint_eq(rv_control_start(p), 0);
    wait_for(p, RV_CONTROL_START, RV_PROCESS_MASTER);
}

static void
bury(rv_process_t *p)
{
    ck_assert_int_eq(kill(p->pid, SIGKILL), 0);
    ck_assert_int_eq(waitpid(p->pid, NULL, 0), p->pid);
    rv_process_release(p);
    rv_peers_note(p);
    rv_peers_tell(0);
}

/* Stops it, and fills its socket so that what is sent now waits. */
static void
stop_reading(rv_process_t *p)
{
    static const char data[RV_CHANNEL_DATA];
    const rv_message_t msg = {
        .type = FILL, .slot = RV_PROCESS_MASTER, .length = sizeof(data), .data = data, .fd = -1
    };
    int status;

    ck_assert_int_eq(kill(p->pid, SIGSTOP), 0);
    ck_assert_int_eq(waitpid(p->pid, &status, WUNTRACED), p->pid);
    ck_assert(WIFSTOPPED(status));
    while (rv_channel_counts(p->channel[0])->queued == 0)
        ck_assert_int_eq(rv_channel_send(p->channel[0], &msg), RV_OK);
}

static void
flush(rv_process_t *p)
{
    for (int left = LIMIT_MSEC; rv_channel_flush(p->channel[0]) == RV_AGAIN;)
        ck_assert(wait_a_little(&left));
}

/* Lets it read again, and sends all that waits, and then what was noted. */
static void
go_on(rv_process_t *p)
{
    ck_assert_int_eq(kill(p->pid, SIGCONT), 0);
    flush(p);
    rv_peers_tell(0);
    flush(p);
}

/* How many descriptors the worker has once it has read all before this. */
static int
ask(rv_process_t *p)
{
    const rv_message_t msg = { .type = ASK, .slot = RV_PROCESS_MASTER, .fd = -1 };

    atomic_store(&log_of(p)->descriptors, -1);
    ck_assert_int_eq(rv_channel_send(p->channel[0], &msg), RV_OK);
    for (int left = LIMIT_MSEC; atomic_load(&log_of(p)->descriptors) == -1;)
        ck_assert(wait_a_little(&left));
    return atomic_load(&log_of(p)->descriptors);
}

static void
assert_all_genuine(const rv_process_t *p)
{
    for (unsigned i = 0; i < atomic_load(&log_of(p)->count); i++)
        ck_assert_msg(log_of(p)->note[i].genuine, "slot %u: forged message of type %u, slot %u",
            p->slot, log_of(p)->note[i].type, log_of(p)->note[i].slot);
}

static void
terminate_all(void)
{
    for (rv_process_t *p = rv_process_each(NULL); p != NULL; p = rv_process_each(p)) {
        int status;

        ck_assert_int_eq(rv_control_order(p, RV_CONTROL_TERMINATE), RV_OK);
        ck_assert_int_eq(waitpid(p->pid, &status, 0), p->pid);
        ck_assert_msg(status == 0, "worker in slot %u: status %#x", p->slot, status);
        rv_process_release(p);
    }
}

/* --- tests ------------------------------------------------------------------------- */

START_TEST(everybody_can_speak_to_everybody_it_knows)
{
    enum { WORKERS = 5 };
    rv_process_t *p[WORKERS];

    for (int i = 0; i < WORKERS; i++) {
        p[i] = spawn(1);
        introduce(p[i]);
    }
    for (int i = 0; i < WORKERS; i++) {
        for (unsigned j = 0; j < WORKERS; j++) {
            if (p[i]->slot != j)
                wait_for(p[i], HELLO, j);
        }
        assert_all_genuine(p[i]);
    }

    /* of the later ones it was told, the earlier ones it has inherited */
    for (unsigned i = 0; i < WORKERS * WORKERS; i++)
        ck_assert_uint_eq(
            count(p[i / WORKERS], RV_CONTROL_OPEN, i % WORKERS), i % WORKERS > i / WORKERS);
    terminate_all();
}
END_TEST

START_TEST(dead_worker_is_forgotten_and_its_successor_known)
{
    enum { ROUNDS = 12 };
    rv_process_t *p[3];

    for (int i = 0; i < 3; i++) {
        p[i] = spawn(1);
        introduce(p[i]);
    }
    int held = ask(p[0]);
    int own = open_descriptors();

    for (unsigned i = 0; i < ROUNDS; i++) {
        rv_process_t *dead = p[i % 3];

        bury(dead);
        for (int j = 0; j < 3; j++) {
            if (p[j] != dead)
                ck_assert_int_eq(ask(p[j]), held - 1);
        }
        ck_assert_ptr_eq(spawn(2 + i), dead);
        introduce(dead);
        for (int j = 0; j < 3; j++) {
            ck_assert_int_eq(ask(p[j]), held);
            assert_all_genuine(p[j]);
        }
        ck_assert_int_eq(open_descriptors(), own);
    }
    terminate_all();
}
END_TEST

START_TEST(what_is_said_to_who_has_not_taken_the_open_waits)
{
    rv_process_t *stopped = spawn(1), *other = spawn(1);

    introduce(stopped);
    introduce(other);
    stop_reading(stopped);

    rv_process_t *p = spawn(1);
    tell_of(p);
    ck_assert_uint_eq(rv_control_start(p), 1);
    wait_for(other, HELLO, p->slot); /* who reads hears of it at once */
    ck_assert_uint_eq(rv_control_introduce(p), 1);
    ck_assert_uint_eq(count(p, RV_CONTROL_KNOWN, RV_PROCESS_MASTER), 0);

    go_on(stopped);
    ck_assert_uint_eq(rv_control_introduce(p), 0);
    wait_for(p, RV_CONTROL_KNOWN, RV_PROCESS_MASTER);
    wait_for(stopped, HELLO, p->slot);
    assert_all_genuine(stopped);
    terminate_all();
}
END_TEST

START_TEST(who_comes_and_goes_unseen_is_one_close)
{
    rv_process_t *stopped = spawn(1);

    introduce(stopped);
    int held = ask(stopped);

    stop_reading(stopped);
    for (int i = 0; i < 5; i++) {
        rv_process_t *p = spawn(1);
        tell_of(p);
        ck_assert_uint_eq(p->slot, 1);
        bury(p);
    }
    go_on(stopped);
    ck_assert_int_eq(ask(stopped), held);
    ck_assert_uint_eq(count(stopped, RV_CONTROL_OPEN, 1), 0);
    ck_assert_uint_eq(count(stopped, RV_CONTROL_CLOSE, 1), 1);
    terminate_all();
}
END_TEST

START_TEST(successor_that_comes_unseen_is_one_open)
{
    rv_process_t *stopped = spawn(1), *p = spawn(1);

    introduce(stopped);
    introduce(p);
    tell_of(p);
    int held = ask(stopped);
    stop_reading(stopped);
    bury(p);
    ck_assert_ptr_eq(spawn(2), p);
    tell_of(p);
    go_on(stopped);

    ck_assert_int_eq(rv_control_order(p, RV_CONTROL_START), RV_OK);
    wait_for(stopped, RV_CONTROL_OPEN, 1);
    ck_assert_int_eq(ask(stopped), held);
    ck_assert_uint_eq(count(stopped, RV_CONTROL_CLOSE, 1), 0);
    wait_for(stopped, HELLO, 1);
    ck_assert_int_eq(log_of(stopped)->note[atomic_load(&log_of(stopped)->count) - 1].pid, p->pid);
    assert_all_genuine(stopped);
    terminate_all();
}
END_TEST

START_TEST(orders_arrive_once_and_in_order)
{
    static const rv_control_type_t orders[] = { RV_CONTROL_START, RV_CONTROL_QUIT,
        RV_CONTROL_TERMINATE };
    rv_process_t *p = spawn(1);
    int status;

    stop_reading(p);
    for (int i = 0; i < 10; i++)
        ck_assert_int_eq(rv_control_order(p, RV_CONTROL_START), RV_OK);
    for (size_t i = 1; i < rv_countof(orders); i++)
        ck_assert_int_eq(rv_control_order(p, orders[i]), RV_OK);
    go_on(p);
    ck_assert_int_eq(waitpid(p->pid, &status, 0), p->pid);
    ck_assert_int_eq(status, 0);

    const log_t *log = log_of(p);
    ck_assert_uint_eq(atomic_load(&log->count), rv_countof(orders));
    for (size_t i = 0; i < rv_countof(orders); i++)
        ck_assert_uint_eq(log->note[i].type, orders[i]);
    assert_all_genuine(p);
    ck_assert_int_eq(rv_control_order(p, RV_CONTROL_QUIT), RV_ERROR);
    rv_process_release(p);
}
END_TEST

/* Until it has taken all logs of the last round. */
static void
take_answers(rv_process_t *p)
{
    rv_message_t msg;

    for (int left = LIMIT_MSEC; p->reopening > 0;) {
        if (rv_channel_receive(p->channel[0], &msg) != RV_OK)
            ck_assert(wait_a_little(&left));
        else if (msg.type == RV_CONTROL_REOPENED)
            ck_assert_int_eq(rv_control_take_reopened(p, &msg), RV_OK);
    }
    msg = (rv_message_t){ .length = 3, .data = "xx" };
    ck_assert_int_eq(rv_control_take_reopened(p, &msg), RV_ERROR);
}

START_TEST(reopened_logs_reach_everybody_the_last_of_each_counts)
{
    rv_process_t *stopped = spawn(1), *p = spawn(1);
    int old[2], now[2], other[2];
    char bytes[8];

    ck_assert_int_eq(pipe(old) | pipe(now) | pipe(other), 0);
    stop_reading(stopped);
    rv_control_reopen(3, old[1], 1);
    rv_control_reopen(3, now[1], 2);
    rv_control_reopen(4, other[1], 2);
    ck_assert_int_eq(rv_control_has_reopened(2), 0);
    ck_assert_int_eq(rv_control_has_reopened(1), 1); /* nobody waits for that one any more */
    wait_for(p, RV_CONTROL_REOPEN, 4);
    take_answers(p);
    ck_assert_int_eq(rv_control_has_reopened(2), 0);
    go_on(stopped);
    wait_for(stopped, RV_CONTROL_REOPEN, 4);
    take_answers(stopped);
    ck_assert_int_eq(rv_control_has_reopened(2), 1);

    ck_assert_uint_eq(count(stopped, RV_CONTROL_REOPEN, 3), 1);
    ck_assert_uint_eq(count(p, RV_CONTROL_REOPEN, 3), 2);
    ck_assert_int_eq(read(old[0], bytes, sizeof(bytes)), 1);
    ck_assert_int_eq(read(now[0], bytes, sizeof(bytes)), 2);
    ck_assert_int_eq(read(other[0], bytes, sizeof(bytes)), 2);
    terminate_all();
}
END_TEST

static Suite *
mesh_suite(void)
{
    Suite *suite = suite_create("control");
    TCase *tcase = tcase_create("mesh");

    tcase_set_timeout(tcase, 120);
    tcase_add_checked_fixture(tcase, setup, NULL);
    tcase_add_test(tcase, everybody_can_speak_to_everybody_it_knows);
    tcase_add_test(tcase, dead_worker_is_forgotten_and_its_successor_known);
    tcase_add_test(tcase, what_is_said_to_who_has_not_taken_the_open_waits);
    tcase_add_test(tcase, who_comes_and_goes_unseen_is_one_close);
    tcase_add_test(tcase, successor_that_comes_unseen_is_one_open);
    tcase_add_test(tcase, orders_arrive_once_and_in_order);
    tcase_add_test(tcase, reopened_logs_reach_everybody_the_last_of_each_counts);
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
