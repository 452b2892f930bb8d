/*
 * What the suites of rv_control have in common: forked workers that are introduced to each other,
 * and part.
 *
 * The test is the master. Each worker writes what it receives into a log in
 * shared memory, greets whom it gets to know once it may, and tells how many
 * descriptors it has when asked. A stopped worker is one that does not read.
 */
#ifndef CONTROL_FIXTURE_H
#define CONTROL_FIXTURE_H

#include "rv_control.h"

#include "descriptors.h"
#include "rv_peers.h"

#include <check.h>
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

static log_t *own_log;
static int started;

static inline void
note(unsigned type, unsigned slot, const rv_message_t *msg)
{
    unsigned n = atomic_load(&own_log->count);

    if (n == MAX_NOTES)
        _exit(99);
    own_log->note[n] = (note_t){ type, slot, rv_control_is_genuine(msg), msg->pid };
    atomic_store(&own_log->count, n + 1);
}

static inline void
greet(const rv_process_t *p)
{
    const rv_process_t *self = rv_process_self();
    const rv_message_t msg = {
        .type = HELLO, .slot = self->slot, .generation = self->generation, .fd = -1
    };

    if (started && p != self && p->channel[0] != NULL)
        (void) rv_channel_send(p->channel[0], &msg);
}

static inline void
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

static inline void
let_through(const rv_message_t *msg)
{
    if (rv_control_uncork(msg) != RV_OK)
        _exit(95);
}

static inline void
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
        atomic_store(&own_log->descriptors, descriptors_open());
        break;
    case FILL:
        break;
    default:
        note(msg->type, msg->slot, msg);
    }
    if (msg->fd != -1)
        close(msg->fd);
}

static inline int
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

static inline void
setup(void)
{
    size_t size = MAX_WORKERS * sizeof(*logs);

    rv_process_set_master(getpid());
    logs = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    ck_assert_ptr_ne(logs, MAP_FAILED);
}

static inline int
wait_a_little(int *left)
{
    const struct timespec pause = { 0, 5 * 1000 * 1000 };

    nanosleep(&pause, NULL);
    return (*left -= 5) > 0;
}

static inline log_t *
log_of(const rv_process_t *p)
{
    return &logs[p->worker];
}

static inline unsigned
count(const rv_process_t *p, unsigned type, unsigned slot)
{
    unsigned found = 0;

    for (unsigned i = 0; i < atomic_load(&log_of(p)->count); i++)
        found += log_of(p)->note[i].type == type && log_of(p)->note[i].slot == slot;
    return found;
}

/* Waits until the worker has noted this. */
static inline void
wait_for(const rv_process_t *p, unsigned type, unsigned slot)
{
    for (int left = LIMIT_MSEC; count(p, type, slot) == 0;)
        ck_assert_msg(
            wait_a_little(&left), "slot %u: no message of type %u, slot %u", p->slot, type, slot);
}

static inline rv_process_t *
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
static inline void
tell_of(rv_process_t *p)
{
    p->start_sent = 1;
    rv_peers_note(p);
    rv_peers_tell(0);
}

static inline void
introduce(rv_process_t *p)
{
    tell_of(p);
    ck_assert_uint_eq(rv_control_start(p), 0);
    wait_for(p, RV_CONTROL_START, RV_PROCESS_MASTER);
}

static inline void
bury(rv_process_t *p)
{
    ck_assert_int_eq(kill(p->pid, SIGKILL), 0);
    ck_assert_int_eq(waitpid(p->pid, NULL, 0), p->pid);
    rv_process_release(p);
    rv_peers_note(p);
    rv_peers_tell(0);
}

/* Stops it, and fills its socket so that what is sent now waits. */
static inline void
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

static inline void
flush(rv_process_t *p)
{
    for (int left = LIMIT_MSEC; rv_channel_flush(p->channel[0]) == RV_AGAIN;)
        ck_assert(wait_a_little(&left));
}

/* Lets it read again, and sends all that waits, and then what was noted. */
static inline void
go_on(rv_process_t *p)
{
    ck_assert_int_eq(kill(p->pid, SIGCONT), 0);
    flush(p);
    rv_peers_tell(0);
    flush(p);
}

/* How many descriptors the worker has once it has read all before this. */
static inline int
ask(rv_process_t *p)
{
    const rv_message_t msg = { .type = ASK, .slot = RV_PROCESS_MASTER, .fd = -1 };

    atomic_store(&log_of(p)->descriptors, -1);
    ck_assert_int_eq(rv_channel_send(p->channel[0], &msg), RV_OK);
    for (int left = LIMIT_MSEC; atomic_load(&log_of(p)->descriptors) == -1;)
        ck_assert(wait_a_little(&left));
    return atomic_load(&log_of(p)->descriptors);
}

static inline void
assert_all_genuine(const rv_process_t *p)
{
    for (unsigned i = 0; i < atomic_load(&log_of(p)->count); i++)
        ck_assert_msg(log_of(p)->note[i].genuine, "slot %u: forged message of type %u, slot %u",
            p->slot, log_of(p)->note[i].type, log_of(p)->note[i].slot);
}

static inline void
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

#endif
