/*
 * mesh_actors: a mesh of forked workers, and the test as their master.
 *
 * What the loops of rv_worker and rv_master do for the mesh, without libevent and all else.
 */
#include "mesh_actors.h"

#include "descriptors.h"
#include "rv_control.h"
#include "rv_peers.h"

#include <check.h>
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { ACTORS = 256, LIMIT_MSEC = 60 * 1000, STEP_MSEC = 20, ROOM = 256 };

typedef struct {
    atomic_uint done; /* deeds */
    atomic_uint refused;
    atomic_int descriptors;
} actor_t;

typedef struct {
    mesh_deed_t deed;
    char arg[ROOM];
} order_t;

static actor_t *actors;                 /* shared, one for each worker that ever was */
static unsigned spawned;                /* how many */
static actor_t *of[RV_PROCESS_SLOTS];   /* the one of a slot */
static unsigned told[RV_PROCESS_SLOTS]; /* deeds */
static actor_t *own;                    /* in a worker */
static int started, ended;              /* in a worker */
static unsigned refused;                /* in the master */
static int writable[RV_PROCESS_SLOTS];  /* something waits for the channel to be so */
static int type_do;

static void take_order(const rv_mesh_message_t *msg);

static const rv_mesh_type_t order_types[] = {
    { .name = "do", .flags = RV_MESH_ANY_GENERATION, .receive = take_order },
    { .name = NULL },
};

static int64_t
now_msec(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t) t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

void
mesh_fail(const char *condition, const char *file, int line)
{
    fprintf(stderr, "%s:%d: in worker %ld: %s is false, errno %d\n", file, line, (long) getpid(),
        condition, errno);
    _exit(90);
}

int
mesh_descriptors_here(void)
{
    return descriptors_open() - 1; /* the folder's own */
}

/* --- a loop's step, of both ------------------------------------------------------------- */

static void
on_waiting(rv_channel_t *ch, int on, void *data)
{
    (void) ch;
    *(int *) data = on;
}

static void
watch(rv_process_t *p)
{
    int is_self = p == rv_process_self();

    writable[p->slot] = 0;
    rv_channel_on_waiting(p->channel[is_self], on_waiting, &writable[p->slot]);
    if (rv_process_self() != NULL && !is_self && !started)
        rv_channel_cork(p->channel[0], 1);
}

/* Waits until something can be read, or what waits be sent, and sends that. */
static void
wait_for_channels(int64_t msec)
{
    struct pollfd fds[RV_PROCESS_SLOTS];
    nfds_t n = 0;
    const rv_process_t *self = rv_process_self();

    for (rv_process_t *p = rv_process_each(NULL); p != NULL; p = rv_process_each(p)) {
        int reads = self == NULL || p == self;

        fds[n++] = (struct pollfd){ .fd = rv_channel_fd(p->channel[p == self]),
            .events = (short) ((reads ? POLLIN : 0) | (writable[p->slot] ? POLLOUT : 0)) };
        if (fds[n - 1].events == 0)
            n--;
    }
    (void) poll(fds, n, (int) rv_max(rv_min(msec, rv_mesh_due() - now_msec()), 0));
    for (rv_process_t *p = rv_process_each(NULL); p != NULL; p = rv_process_each(p)) {
        if (writable[p->slot])
            (void) rv_channel_flush(p->channel[p == self]);
    }
}

/* --- a worker ------------------------------------------------------------------------------- */

static void
take_order(const rv_mesh_message_t *msg)
{
    order_t order;

    mesh_require(msg->length <= sizeof(order) && msg->from.slot == RV_PROCESS_MASTER);
    memcpy(&order, msg->data, msg->length);
    order.deed(order.arg);
    atomic_fetch_add(&own->done, 1);
}

static void
take_peers(rv_message_t *msg)
{
    rv_process_id_t peer;
    int result;

    for (unsigned i = 0; (result = rv_control_peer(msg, i, &peer)) == RV_OK; i++) {
        const rv_process_id_t gone = mesh_id(rv_process_at(peer.slot));

        mesh_require(rv_control_enter(msg, i, &peer) == RV_OK);
        if (msg->type == RV_CONTROL_OPEN)
            watch(rv_process_at(peer.slot));
        rv_mesh_gone(&gone);
    }
    mesh_require(result == RV_DONE);
}

static void
take(rv_message_t *msg)
{
    if (!rv_control_is_genuine(msg)) {
        atomic_fetch_add(&own->refused, 1);
    } else if (msg->type >= RV_CONTROL_USER) {
        if (rv_mesh_receive(msg) != RV_OK)
            atomic_fetch_add(&own->refused, 1);
    } else if (msg->type == RV_CONTROL_OPEN || msg->type == RV_CONTROL_CLOSE) {
        take_peers(msg);
    } else if (msg->type == RV_CONTROL_START || msg->type == RV_CONTROL_KNOWN) {
        started |= msg->type == RV_CONTROL_START;
        mesh_require(rv_control_uncork(msg) == RV_OK);
    } else if (msg->type == RV_CONTROL_TERMINATE) {
        ended = 1;
    }
    rv_channel_discard(msg);
}

static int
work(void *data)
{
    rv_channel_t *ch = rv_process_self()->channel[1];
    rv_message_t msg;
    int result;

    own = data;
    rv_mesh_forget();
    for (rv_process_t *p = rv_process_each(NULL); p != NULL; p = rv_process_each(p))
        watch(p);
    mesh_require(rv_control_ready() == RV_OK);
    while (!ended) {
        wait_for_channels(STEP_MSEC);
        while ((result = rv_channel_receive(ch, &msg)) == RV_OK)
            take(&msg);
        if (result == RV_ERROR && errno == EPROTO)
            atomic_fetch_add(&own->refused, 1);
        else
            mesh_require(result == RV_AGAIN);
        rv_mesh_settle(now_msec());
    }
    _exit(0); /* the buffers of the test's output are the test's */
}

/* --- the master --------------------------------------------------------------------------------- */

static void
take_from(rv_process_t *p)
{
    rv_message_t msg;
    int result;

    while ((result = rv_channel_receive(p->channel[0], &msg)) != RV_AGAIN && result != RV_DONE) {
        if (result == RV_OK && msg.type == RV_CONTROL_READY)
            p->state = RV_PROCESS_READY;
        else if (result != RV_OK || msg.pid != p->pid || msg.slot != p->slot
            || msg.generation != p->generation || rv_mesh_receive(&msg) != RV_OK)
            refused++;
        if (result == RV_OK)
            rv_channel_discard(&msg);
        else if (errno != EPROTO)
            return;
    }
}

int64_t
mesh_limit(void)
{
    return now_msec() + LIMIT_MSEC;
}

void
mesh_step(int64_t limit, const char *condition, int line)
{
    wait_for_channels(STEP_MSEC);
    for (rv_process_t *p = rv_process_each(NULL); p != NULL; p = rv_process_each(p)) {
        take_from(p);
        if (p->unknown_count > 0)
            (void) rv_control_introduce(p);
        siginfo_t end = { .si_pid = 0 };
        if (waitid(P_PID, (id_t) p->pid, &end, WEXITED | WNOHANG | WNOWAIT) == 0 && end.si_pid != 0
            && end.si_code == CLD_EXITED)
            ck_abort_msg("worker %u has ended with %d", p->worker, end.si_status);
    }
    rv_peers_tell(0);
    rv_mesh_settle(now_msec());
    ck_assert_msg(now_msec() < limit, "line %d: never so: %s", line, condition);
}

void
mesh_setup(const rv_mesh_type_t *types)
{
    rv_process_set_master(getpid());
    actors = mmap(
        NULL, ACTORS * sizeof(*actors), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    ck_assert_ptr_ne(actors, MAP_FAILED);
    ck_assert_int_eq(rv_mesh_register("actors", order_types), RV_OK);
    type_do = rv_mesh_find("actors", "do");
    if (types != NULL)
        ck_assert_int_eq(rv_mesh_register("test", types), RV_OK);
}

rv_process_id_t
mesh_id(const rv_process_t *p)
{
    return (rv_process_id_t){ p->slot, p->worker, p->generation, p->pid };
}

rv_process_t *
mesh_spawn(unsigned generation, unsigned number)
{
    rv_process_t *p;

    ck_assert_uint_lt(spawned, ACTORS);
    ck_assert_int_eq(rv_process_spawn(generation, number, work, &actors[spawned], &p), RV_OK);
    of[p->slot] = &actors[spawned++];
    told[p->slot] = 0;
    watch(p);
    rv_peers_note(p);
    rv_peers_tell(0);
    mesh_until(p->state == RV_PROCESS_READY);
    (void) rv_control_start(p);
    p->start_sent = 1;
    rv_peers_tell(0);
    mesh_until(p->unknown_count == 0);
    return p;
}

void
mesh_tell(const rv_process_t *p, mesh_deed_t deed, const void *arg, size_t length)
{
    const rv_process_id_t to = mesh_id(p);
    order_t order = { .deed = deed };

    ck_assert_uint_le(length, sizeof(order.arg));
    if (length > 0)
        memcpy(order.arg, arg, length);
    ck_assert_int_eq(rv_mesh_send(&to, type_do, &order, sizeof(order), -1), RV_OK);
    told[p->slot]++;
}

void
mesh_do(const rv_process_t *p, mesh_deed_t deed, const void *arg, size_t length)
{
    mesh_tell(p, deed, arg, length);
    mesh_until(atomic_load(&of[p->slot]->done) == told[p->slot]);
}

void
mesh_bury(rv_process_t *p)
{
    const rv_process_id_t id = mesh_id(p);

    ck_assert_int_eq(waitpid(p->pid, NULL, 0), p->pid);
    take_from(p);
    rv_peers_note(p);
    rv_process_release(p);
    rv_peers_tell(0);
    rv_mesh_gone(&id);
}

void
mesh_kill(rv_process_t *p)
{
    ck_assert_int_eq(kill(p->pid, SIGKILL), 0);
    mesh_bury(p);
}

void
mesh_freeze(const rv_process_t *p, int on)
{
    int status;

    ck_assert_int_eq(kill(p->pid, on ? SIGSTOP : SIGCONT), 0);
    if (!on)
        return;
    ck_assert_int_eq(waitpid(p->pid, &status, WUNTRACED), p->pid);
    ck_assert(WIFSTOPPED(status));
}

unsigned
mesh_refused(const rv_process_t *p)
{
    return atomic_load(&of[p->slot]->refused);
}

unsigned
mesh_refused_here(void)
{
    return refused;
}

static void
count_descriptors(const void *arg)
{
    (void) arg;
    atomic_store(&own->descriptors, mesh_descriptors_here());
}

int
mesh_descriptors(const rv_process_t *p)
{
    mesh_do(p, count_descriptors, NULL, 0);
    return atomic_load(&of[p->slot]->descriptors);
}

void
mesh_end(void)
{
    for (rv_process_t *p = rv_process_each(NULL); p != NULL; p = rv_process_each(p)) {
        int status;

        ck_assert_int_eq(rv_control_order(p, RV_CONTROL_TERMINATE), RV_OK);
        mesh_until(rv_channel_counts(p->channel[0])->waiting == 0);
        ck_assert_int_eq(waitpid(p->pid, &status, 0), p->pid);
        ck_assert_msg(status == 0, "worker %u: status %#x", p->worker, status);
        rv_peers_note(p);
        rv_process_release(p);
    }
}
