/*
 * rv_mesh: of many messages of several senders none is lost, none comes twice, and those of each
 * sender come in order, while a full queue stops the senders again and again.
 */
#include "rv_mesh.h"

#include "mesh_actors.h"

#include <check.h>
#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

enum { SENDERS = 3, MESSAGES = 3400, SLOTS = 8, QUEUE = 200 * 1024, LARGEST = 100 * 1000 };

typedef struct {
    atomic_uint received[SLOTS]; /* of the sender in that slot */
    atomic_uint stops[SLOTS];    /* how often that sender was refused for want of room */
    atomic_uint rooms[SLOTS];
} counts_t;

static counts_t *counts;

/* Lengths in turn; those above RV_CHANNEL_DATA are payloads. Every seventh brings a descriptor. */
static const size_t lengths[] = { 0, 1, 100, RV_CHANNEL_DATA, 3000, RV_CHANNEL_DATA + 1, 16, 40000,
    LARGEST, RV_CHANNEL_DATA - 1 };

static size_t
length_of(unsigned n)
{
    return lengths[n % rv_countof(lengths)];
}

static char
byte_of(unsigned n, size_t i)
{
    return (char) (n * 31 + i % 251);
}

/* --- the receiver ------------------------------------------------------------------------ */

static void
receive(const rv_mesh_message_t *msg)
{
    const char *data = msg->data;
    unsigned n = atomic_load(&counts->received[msg->from.slot]);

    mesh_require(msg->length == length_of(n));
    for (size_t i = 0; i < msg->length; i++)
        mesh_require(data[i] == byte_of(n, i));
    mesh_require((msg->fd != -1) == (n % 7 == 0));
    if (msg->fd != -1)
        close(msg->fd);
    atomic_store(&counts->received[msg->from.slot], n + 1);
}

/* --- the senders ----------------------------------------------------------------------------- */

static rv_process_id_t to;
static unsigned sent;

static int
send_next(int type)
{
    static char data[LARGEST];
    size_t length = length_of(sent);

    for (size_t i = 0; i < length; i++)
        data[i] = byte_of(sent, i);
    return rv_mesh_send(&to, type, data, length, sent % 7 == 0 ? STDIN_FILENO : -1);
}

static void
send_on(void)
{
    int type = rv_mesh_find("test", "numbered"), result = RV_OK;

    for (; sent < MESSAGES && result == RV_OK; sent += result == RV_OK)
        result = send_next(type);
    mesh_require(result != RV_ERROR);
    if (result == RV_AGAIN)
        atomic_fetch_add(&counts->stops[rv_mesh_self().slot], 1);
}

static void
begin(const void *arg)
{
    to = *(const rv_process_id_t *) arg;
    rv_channel_set_limit(QUEUE);
    send_on();
}

static void
on_room(const rv_process_id_t *who)
{
    mesh_require(who->slot == to.slot && who->pid == to.pid); /* nobody else was refused */
    atomic_fetch_add(&counts->rooms[rv_mesh_self().slot], 1);
    send_on();
}

static const rv_mesh_type_t types[] = {
    { .name = "numbered", .receive = receive, .receive_master = receive, .room = on_room },
    { .name = NULL },
};

/* Each time it was refused it was told of room once, and its queue is empty. */
static void
check_sender(const void *arg)
{
    const rv_channel_counts_t *own = rv_channel_counts(rv_process_at(to.slot)->channel[0]);
    unsigned slot = rv_mesh_self().slot;

    (void) arg;
    mesh_require(sent == MESSAGES);
    mesh_require(own->full == atomic_load(&counts->stops[slot]));
    mesh_require(own->full == atomic_load(&counts->rooms[slot]));
    mesh_require(own->sent == MESSAGES && own->waiting == 0 && own->queued == 0);
    mesh_require(own->dropped == 0 && own->most > 0 && own->most <= QUEUE);
    mesh_require(!rv_mesh_is_waiting());
}

START_TEST(all_arrive_in_order_and_once)
{
    rv_process_t *sender[SENDERS];
    int held[SENDERS];

    counts = mmap(NULL, sizeof(*counts), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    ck_assert_ptr_ne(counts, MAP_FAILED);
    mesh_setup(types);
    for (unsigned i = 0; i < SENDERS; i++)
        sender[i] = mesh_spawn(1, i);
    rv_process_t *receiver = mesh_spawn(1, SENDERS);
    for (unsigned i = 0; i < SENDERS; i++)
        held[i] = mesh_descriptors(sender[i]);
    const int own = mesh_descriptors(receiver);
    const rv_process_id_t id = mesh_id(receiver);

    mesh_freeze(receiver, 1); /* so that every queue is full once */
    for (unsigned i = 0; i < SENDERS; i++)
        mesh_do(sender[i], begin, &id, sizeof(id));
    mesh_freeze(receiver, 0);
    for (unsigned i = 0; i < SENDERS; i++)
        mesh_until(atomic_load(&counts->received[sender[i]->slot]) == MESSAGES);
    for (unsigned i = 0; i < SENDERS; i++) {
        mesh_do(sender[i], check_sender, NULL, 0);
        ck_assert_uint_gt(atomic_load(&counts->stops[sender[i]->slot]), 0);
        ck_assert_int_eq(mesh_descriptors(sender[i]), held[i]);
    }
    ck_assert_int_eq(mesh_descriptors(receiver), own);
    ck_assert_uint_eq(mesh_refused(receiver), 0);
    mesh_end();
}
END_TEST

static void
check_counts(const void *arg)
{
    const rv_process_id_t *other = arg, master = rv_mesh_master();

    mesh_require(rv_mesh_counts(other).received == 0 && rv_mesh_counts(other).sent == 0);
    mesh_require(rv_mesh_counts(&master).received == 1); /* that this be done */
}

START_TEST(a_worker_does_not_count_what_the_master_has_sent_and_received)
{
    counts = mmap(NULL, sizeof(*counts), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    ck_assert_ptr_ne(counts, MAP_FAILED);
    mesh_setup(types);
    const rv_process_id_t self = rv_mesh_self();
    rv_process_t *sender = mesh_spawn(1, 0);
    const rv_process_id_t id = mesh_id(sender);

    mesh_do(sender, begin, &self, sizeof(self));
    mesh_until(rv_mesh_counts(&id).received == MESSAGES);
    rv_process_t *next = mesh_spawn(1, 1);
    mesh_do(next, check_counts, &id, sizeof(id));
    mesh_end();
}
END_TEST

static Suite *
mesh_suite(void)
{
    Suite *suite = suite_create("mesh_order");
    TCase *tcase = tcase_create("mesh_order");

    tcase_set_timeout(tcase, 120);
    tcase_add_test(tcase, all_arrive_in_order_and_once);
    tcase_add_test(tcase, a_worker_does_not_count_what_the_master_has_sent_and_received);
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
