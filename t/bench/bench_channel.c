/*
 * What a message costs between two workers: rv_mesh beside a bare SEQPACKET socketpair.
 *
 * Both are two processes that wait by epoll and neither block nor copy; the bare ones call
 * recv and send (recvmsg and sendmsg for a descriptor) and know nothing else. A round trip is there and
 * back, one at a time; a message's time is that of many when the sender never
 * waits but for room. The broadcast is measured at the sender, by its processor time.
 */
#include "channel_bare.h"

#include "figure.h"
#include "rv_control.h"
#include "rv_loop.h"
#include "rv_mesh.h"
#include "rv_peers.h"

#include <stddef.h>
#include <stdio.h>
#include <string.h>

enum { ROUNDS = 7 };

static const kind_t kinds[] = {
    { "16_bytes", 16, 0, 20000, 100000, 3000 },
    { "1_KiB", 1024, 0, 20000, 100000, 3000 },
    { "16_KiB", 16384, 0, 5000, 20000, 500 },
    { "with_a_descriptor", 16, 1, 10000, 50000, 0 },
};

/* --- the mesh --------------------------------------------------------------------------------- */

static const kind_t *kind; /* of this round */
static rv_loop_t *loop;
static unsigned received;
static int readable, started;

static void
on_receive(const rv_mesh_message_t *m)
{
    received++;
    if (m->fd != -1)
        close(m->fd);
}

static const rv_mesh_type_t types[] = {
    { .name = "bench", .receive = on_receive },
    { .name = NULL },
};

static void
on_readable(int fd, short what, void *unused)
{
    (void) fd;
    (void) what;
    (void) unused;
    readable = 1;
}

/* As a worker does between two steps of its loop. */
static void
take(rv_message_t *msg)
{
    rv_process_id_t peer;

    if (!rv_control_is_genuine(msg)) {
        bench_fail("a message that is not genuine");
    } else if (msg->type >= RV_CONTROL_USER) {
        if (rv_mesh_receive(msg) != RV_OK)
            bench_fail("a message that is refused");
    } else if (msg->type == RV_CONTROL_START) {
        started = 1;
        (void) rv_control_uncork(msg);
    } else if (msg->type == RV_CONTROL_OPEN) {
        for (unsigned i = 0; rv_control_peer(msg, i, &peer) == RV_OK; i++) {
            if (rv_control_enter(msg, i, &peer) != RV_OK
                || rv_loop_watch_channel(loop, rv_process_at(peer.slot)->channel[0], NULL, NULL)
                    != RV_OK)
                bench_fail("entering a worker");
        }
    }
    rv_channel_discard(msg);
}

static void
step(int64_t msec)
{
    rv_message_t msg;

    if (rv_loop_once(loop, msec) != RV_OK)
        bench_fail("the loop");
    for (int result = RV_OK; readable && result == RV_OK;) {
        result = rv_channel_receive(rv_process_self()->channel[1], &msg);
        if (result == RV_OK)
            take(&msg);
        else if (result != RV_AGAIN)
            bench_fail("receiving");
    }
    readable = 0;
}

static void
mesh_receive(unsigned count)
{
    while (received < count)
        step(-1);
    received -= count;
}

static void
mesh_send(const rv_process_id_t *to, size_t length)
{
    for (int result;
         (result = rv_mesh_send(to, 0, data, length, kind->with_fd ? passed : -1)) != RV_OK;) {
        if (result == RV_ERROR)
            bench_fail("rv_mesh_send");
        step(-1);
    }
}

static void
mesh_begin(void)
{
    loop = rv_loop_create(NULL);
    if (loop == NULL
        || rv_loop_watch_channel(loop, rv_process_self()->channel[1], on_readable, NULL) != RV_OK)
        bench_fail("the loop");
    for (rv_process_t *p = rv_process_each(NULL); p != NULL; p = rv_process_each(p)) {
        if (p != rv_process_self()
            && rv_loop_watch_channel(loop, p->channel[0], NULL, NULL) != RV_OK)
            bench_fail("the loop");
    }
    while (!started)
        step(-1);
}

/* Until what waits is sent. */
static void
mesh_end(void)
{
    while (rv_mesh_is_waiting())
        step(-1);
}

static int
mesh_answer(void *unused)
{
    rv_process_id_t other;

    (void) unused;
    mesh_begin();
    while (rv_mesh_worker(1, &other) != RV_OK)
        step(-1);
    for (unsigned i = 0; i < kind->trips; i++) {
        mesh_receive(1);
        mesh_send(&other, kind->length);
    }
    mesh_receive(kind->messages);
    mesh_send(&other, 1);
    mesh_end();
    return 0;
}

static int
mesh_ask(void *unused)
{
    rv_process_id_t other;

    (void) unused;
    mesh_begin();
    if (rv_mesh_worker(0, &other) != RV_OK)
        bench_fail("rv_mesh_worker");
    double began = bench_now();
    for (unsigned i = 0; i < kind->trips; i++) {
        mesh_send(&other, kind->length);
        mesh_receive(1);
    }
    shared->trip = (bench_now() - began) / kind->trips;
    began = bench_now();
    for (unsigned i = 0; i < kind->messages; i++) {
        mesh_send(&other, kind->length);
        mesh_end(); /* as the bare one: where the kernel takes no more, it is waited for */
    }
    mesh_receive(1);
    shared->message = (bench_now() - began) / kind->messages;
    return 0;
}

static int
mesh_listen(void *unused)
{
    (void) unused;
    mesh_begin();
    mesh_receive(kind->broadcasts);
    return 0;
}

static void
note_refused(const rv_process_id_t *to, int result, void *first)
{
    if (result != RV_OK && *(unsigned *) first > to->slot)
        *(unsigned *) first = to->slot;
}

/* A broadcast goes to all at once: where one's queue is full it is waited for before. */
static int
mesh_broadcast(void *unused)
{
    (void) unused;
    mesh_begin();
    double began = bench_cpu(RUSAGE_SELF);
    for (unsigned n = 0; n < kind->broadcasts; n++) {
        unsigned refused = RV_PROCESS_SLOTS;

        while (rv_channel_totals()->queued > 32)
            step(-1);
        if (rv_mesh_broadcast(0, 0, data, kind->length, note_refused, &refused) != 0)
            bench_fail("rv_mesh_broadcast");
    }
    mesh_end();
    shared->broadcast = (bench_cpu(RUSAGE_SELF) - began) / kind->broadcasts;
    return 0;
}

/* The master: forks them in turn, introduces, waits for their ends. */
static void
mesh_run(int (*const run[])(void *), unsigned count)
{
    rv_process_t *p[RECEIVERS + 1];

    for (unsigned i = 0; i < count; i++) {
        if (rv_process_spawn(1, i, run[i], NULL, &p[i]) != RV_OK)
            bench_fail("rv_process_spawn");
        rv_peers_note(p[i]);
    }
    rv_peers_tell(0); /* an empty socket takes it at once */
    for (unsigned i = 0; i < count; i++)
        (void) rv_control_start(p[i]);
    reap(count);
    for (unsigned i = 0; i < count; i++)
        rv_process_release(p[i]);
}

static void
mesh_pair(const kind_t *k)
{
    static int (*const run[])(void *) = { mesh_answer, mesh_ask };

    kind = k;
    mesh_run(run, 2);
}

static void
mesh_broadcasts(const kind_t *k)
{
    int (*run[RECEIVERS + 1])(void *);

    kind = k;
    for (int i = 0; i < RECEIVERS; i++)
        run[i] = mesh_listen;
    run[RECEIVERS] = mesh_broadcast;
    mesh_run(run, RECEIVERS + 1);
}

/* --- figures ---------------------------------------------------------------------------------- */

static void
add(figure_t *f, const result_t *mesh, const result_t *bare, size_t offset)
{
    const double *ours = (const double *) (const void *) ((const char *) mesh + offset);
    const double *other = (const double *) (const void *) ((const char *) bare + offset);

    figure_add(f, "mesh", *ours * 1e6);
    figure_add(f, "bare", *other * 1e6);
}

static void
measure(const kind_t *k)
{
    static const struct {
        const char *name;
        size_t offset;
    } parts[] = {
        { "round_trip", offsetof(result_t, trip) },
        { "message", offsetof(result_t, message) },
        { "broadcast_to_16_cpu", offsetof(result_t, broadcast) },
    };
    figure_t figures[rv_countof(parts)];
    char name[FIGURE_NAME];

    for (size_t i = 0; i < rv_countof(parts); i++) {
        snprintf(name, sizeof(name), "channel.%s.%s", parts[i].name, k->name);
        figure_init(&figures[i], name, "us", -1);
    }
    for (int r = 0; r < ROUNDS; r++) {
        mesh_pair(k);
        if (k->broadcasts > 0)
            mesh_broadcasts(k);
        result_t mesh = *shared;

        bare_pair(k);
        if (k->broadcasts > 0)
            bare_broadcast(k);
        for (size_t i = 0; i < rv_countof(parts); i++)
            add(&figures[i], &mesh, shared, parts[i].offset);
    }
    for (size_t i = 0; i < rv_countof(parts) - (k->broadcasts == 0); i++) {
        figure_want(&figures[i], "bare", 1.25);
        figure_print(&figures[i]);
    }
}

int
main(int argc, char **argv)
{
    (void) argc;
    bench_init(argv[0]);
    if (!figure_is_chosen("channel."))
        return 0;
    shared = bench_map(sizeof(*shared));
    if (rv_mesh_register("bench", types) != RV_OK)
        bench_fail("rv_mesh_register");
    passed = dup(STDIN_FILENO);
    rv_process_set_master(getpid());
    for (size_t i = 0; i < rv_countof(kinds); i++)
        measure(&kinds[i]);
    return 0;
}
