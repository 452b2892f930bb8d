/*
 * rv_mesh: messages of modules between forked workers, and between them and their master.
 *
 * Each process notes what it receives in shared memory.
 */
#include "rv_mesh.h"

#include "mesh_actors.h"
#include "rv_control.h"
#include "rv_fd.h"

#include <check.h>
#include <errno.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

enum { NOTES = 512, PLACES = 16, AT_MASTER = PLACES - 1, WORKERS = 3 };

typedef struct {
    rv_process_id_t from;
    int type;
    uint32_t value;
    size_t length;
    ino_t file; /* 0: no descriptor came */
} note_t;

typedef struct {
    atomic_uint count;
    note_t note[NOTES];
} notes_t;

static notes_t *notes; /* of each slot, and of the master */
static rv_process_t *worker[WORKERS];

static notes_t *
own_notes(void)
{
    return &notes[rv_process_self() == NULL ? AT_MASTER : rv_process_self()->slot];
}

static void
take_note(const rv_mesh_message_t *msg)
{
    notes_t *own = own_notes();
    unsigned n = atomic_load(&own->count);
    note_t note = { .from = msg->from, .type = msg->type, .length = msg->length };
    struct stat st;

    mesh_require(n < NOTES && msg->call == 0 && msg->sent > 0);
    if (msg->length >= sizeof(note.value))
        memcpy(&note.value, msg->data, sizeof(note.value));
    if (msg->fd != -1) {
        mesh_require(fstat(msg->fd, &st) == 0);
        note.file = st.st_ino;
        close(msg->fd);
    }
    own->note[n] = note;
    atomic_store(&own->count, n + 1);
}

enum { NOTE, ANY, WORKERS_ONLY, MASTER_ONLY };

static const rv_mesh_type_t types[] = {
    { .name = "note", .receive = take_note, .receive_master = take_note },
    { .name = "any",
        .flags = RV_MESH_ANY_GENERATION,
        .receive = take_note,
        .receive_master = take_note },
    { .name = "workers only", .receive = take_note },
    { .name = "master only", .receive_master = take_note },
    { .name = NULL },
};

static void
setup(void)
{
    notes = mmap(
        NULL, PLACES * sizeof(*notes), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    ck_assert_ptr_ne(notes, MAP_FAILED);
    mesh_setup(types);
}

static void
spawn_all(void)
{
    for (unsigned i = 0; i < WORKERS; i++)
        worker[i] = mesh_spawn(1, i);
}

static unsigned
noted(unsigned place)
{
    return atomic_load(&notes[place].count);
}

static note_t
last_note(unsigned place)
{
    ck_assert_uint_gt(noted(place), 0);
    return notes[place].note[noted(place) - 1];
}

static int
is_same(const rv_process_id_t *a, const rv_process_id_t *b)
{
    return memcmp(a, b, sizeof(*a)) == 0;
}

static int
number_of(int type)
{
    return rv_mesh_find("test", types[type].name);
}

/* --- what workers are told to do ------------------------------------------------------------ */

typedef struct {
    rv_process_id_t to;
    int type;
    uint32_t value;
    int fd;
    int result, err; /* that are expected */
} sending_t;

static void
do_send(const void *arg)
{
    const sending_t *s = arg;
    int result = rv_mesh_send(&s->to, number_of(s->type), &s->value, sizeof(s->value), s->fd);
    int err = errno;

    mesh_require(result == s->result);
    mesh_require(result == RV_OK || err == s->err);
}

static void
tell_to_send(const rv_process_t *p, const sending_t *s)
{
    mesh_do(p, do_send, s, sizeof(*s));
}

/* A message from one to the other arrives as it was sent. */
static void
assert_passes(const rv_process_t *from, const rv_process_id_t *to, unsigned place, uint32_t value)
{
    const sending_t s = { .to = *to, .type = NOTE, .value = value, .fd = -1, .result = RV_OK };
    const rv_process_id_t expected = from == NULL ? rv_mesh_master() : mesh_id(from);
    unsigned n = noted(place);

    if (from == NULL)
        do_send(&s);
    else
        tell_to_send(from, &s);
    mesh_until(noted(place) == n + 1);
    note_t note = last_note(place);
    ck_assert(is_same(&note.from, &expected));
    ck_assert_uint_eq(note.value, value);
    ck_assert_uint_eq(note.length, sizeof(value));
    ck_assert_int_eq(note.type, number_of(NOTE));
    ck_assert_uint_eq(note.file, 0);
}

static void
assert_not_sent(const rv_process_t *from, rv_process_id_t to, int type, int err)
{
    const sending_t s = { .to = to, .type = type, .fd = -1, .result = RV_ERROR, .err = err };

    tell_to_send(from, &s);
}

/* --- who is who ------------------------------------------------------------------------------ */

static void
look_around(const void *arg)
{
    const rv_process_t *self = rv_process_self();
    rv_process_id_t id = rv_mesh_self();
    unsigned slot = 0, others = 0;

    (void) arg;
    mesh_require(id.slot == self->slot && id.pid == getpid() && id.worker == self->worker);
    mesh_require(rv_mesh_worker(self->worker, &id) == RV_ERROR);
    mesh_require(rv_mesh_worker(WORKERS, &id) == RV_ERROR);
    while (rv_mesh_next(&slot, &id) == RV_OK) {
        const unsigned number = id.worker;

        mesh_require(id.pid != getpid() && id.generation == self->generation);
        mesh_require(rv_mesh_worker(number, &id) == RV_OK && id.worker == number);
        others++;
    }
    mesh_require(others == WORKERS - 1);
}

START_TEST(everybody_finds_everybody_of_its_generation)
{
    rv_process_id_t id;
    unsigned slot = 0, n = 0;

    spawn_all();
    rv_process_t *old = mesh_spawn(7, 0);
    for (int i = 0; i < WORKERS; i++)
        mesh_do(worker[i], look_around, NULL, 0);
    mesh_kill(old);

    for (; rv_mesh_next(&slot, &id) == RV_OK; n++) {
        const rv_process_id_t expected = mesh_id(worker[n]);
        ck_assert(is_same(&id, &expected));
    }
    ck_assert_uint_eq(n, WORKERS);
    ck_assert_int_eq(rv_mesh_worker(1, &id), RV_OK);
    ck_assert_int_eq(id.pid, worker[1]->pid);
    id = rv_mesh_self();
    ck_assert_uint_eq(id.slot, RV_PROCESS_MASTER);
    mesh_end();
}
END_TEST

/* --- sending ---------------------------------------------------------------------------------- */

START_TEST(messages_pass_between_all)
{
    uint32_t value = 1;

    spawn_all();
    for (int i = 0; i < WORKERS; i++) {
        const rv_process_id_t to = mesh_id(worker[i]), master = rv_mesh_master();

        assert_passes(NULL, &to, worker[i]->slot, value++);
        assert_passes(worker[i], &master, AT_MASTER, value++);
        for (int j = 0; j < WORKERS; j++) {
            if (i != j)
                assert_passes(worker[j], &to, worker[i]->slot, value++);
        }
        ck_assert_uint_eq(mesh_refused(worker[i]), 0);
    }
    ck_assert_uint_eq(mesh_refused_here(), 0);
    mesh_end();
}
END_TEST

START_TEST(a_descriptor_arrives_and_stays_the_senders_too)
{
    struct stat st;
    int fds[2];

    ck_assert_int_eq(pipe(fds), 0);
    ck_assert_int_eq(fstat(fds[0], &st), 0);
    spawn_all(); /* they inherit it */
    int held = mesh_descriptors(worker[0]), receivers = mesh_descriptors(worker[1]);
    const sending_t s = { .to = mesh_id(worker[1]), .type = NOTE, .fd = fds[0], .result = RV_OK };

    for (unsigned i = 1; i <= 20; i++) {
        tell_to_send(worker[0], &s);
        mesh_until(noted(worker[1]->slot) == i);
        ck_assert_uint_eq(last_note(worker[1]->slot).file, st.st_ino);
    }
    ck_assert_int_eq(mesh_descriptors(worker[0]), held);
    ck_assert_int_eq(mesh_descriptors(worker[1]), receivers);
    mesh_end();
}
END_TEST

START_TEST(nothing_is_sent_to_who_is_not_there)
{
    spawn_all();
    rv_process_id_t to = mesh_id(worker[1]), self = mesh_id(worker[0]);

    assert_not_sent(worker[0], self, NOTE, ESRCH);
    self.slot = 9;
    assert_not_sent(worker[0], self, NOTE, ESRCH);
    self.slot = RV_PROCESS_SLOTS;
    assert_not_sent(worker[0], self, NOTE, ESRCH);
    self = rv_mesh_master();
    self.pid++;
    assert_not_sent(worker[0], self, NOTE, ESRCH);
    self = rv_mesh_master();
    ck_assert_int_eq(rv_mesh_send(&self, number_of(NOTE), NULL, 0, -1), RV_ERROR); /* to itself */
    ck_assert_int_eq(errno, ESRCH);

    mesh_kill(worker[1]);
    assert_not_sent(worker[0], to, NOTE, ESRCH);
    worker[1] = mesh_spawn(1, 1); /* another one in the slot */
    ck_assert_uint_eq(worker[1]->slot, to.slot);
    assert_not_sent(worker[0], to, NOTE, ESRCH);
    ck_assert_uint_eq(noted(to.slot), 0);
    mesh_end();
}
END_TEST

START_TEST(a_type_is_sent_only_to_who_receives_it)
{
    spawn_all();
    assert_not_sent(worker[0], rv_mesh_master(), WORKERS_ONLY, EPERM);
    assert_not_sent(worker[0], mesh_id(worker[1]), MASTER_ONLY, EPERM);
    const rv_process_id_t to = mesh_id(worker[1]);
    ck_assert_int_eq(rv_mesh_send(&to, number_of(MASTER_ONLY), NULL, 0, -1), RV_ERROR);
    ck_assert_int_eq(errno, EPERM);
    ck_assert_int_eq(rv_mesh_send(&to, -1, NULL, 0, -1), RV_ERROR);
    ck_assert_int_eq(errno, EINVAL);
    ck_assert_int_eq(rv_mesh_send(&to, 200, NULL, 0, -1), RV_ERROR);
    ck_assert_int_eq(errno, EINVAL);
    mesh_end();
}
END_TEST

/* --- generations -------------------------------------------------------------------------------- */

/* What somebody sends who does not ask whether it may. */
static void
send_unasked(const void *arg)
{
    const sending_t *s = arg;
    const rv_process_t *self = rv_process_self();
    int fd = rv_fd_dup(STDIN_FILENO);
    const rv_message_t msg = { .type = (uint16_t) (RV_CONTROL_USER + number_of(s->type)),
        .slot = self->slot,
        .generation = s->value,
        .fd = fd };

    mesh_require(rv_channel_send(rv_process_at(s->to.slot)->channel[0], &msg) == RV_OK);
    rv_fd_close(&fd);
}

START_TEST(another_generation_is_refused_unless_the_type_is_for_it)
{
    rv_process_t *old = mesh_spawn(1, 0), *new = mesh_spawn(2, 0);
    int held = mesh_descriptors(new);
    sending_t s = { .to = mesh_id(new), .type = ANY, .value = 5, .fd = -1, .result = RV_OK };

    assert_not_sent(old, mesh_id(new), NOTE, EPERM);
    assert_not_sent(new, mesh_id(old), NOTE, EPERM);
    tell_to_send(old, &s);
    mesh_until(noted(new->slot) == 1);
    ck_assert_uint_eq(last_note(new->slot).from.generation, 1);
    s.to = mesh_id(old);
    tell_to_send(new, &s);
    mesh_until(noted(old->slot) == 1);
    ck_assert_uint_eq(mesh_refused(new), 0);

    /* its own generation, the receiver's, one that never was */
    for (uint32_t generation = 1; generation <= 3; generation++) {
        s = (sending_t){ .to = mesh_id(new), .type = NOTE, .value = generation };
        mesh_do(old, send_unasked, &s, sizeof(s));
        mesh_until(mesh_refused(new) == generation);
    }
    ck_assert_uint_eq(noted(new->slot), 1);
    ck_assert_int_eq(mesh_descriptors(new), held);
    mesh_end();
}
END_TEST

/* --- broadcast ------------------------------------------------------------------------------------ */

static void
count_told(const rv_process_id_t *to, int result, void *arg)
{
    unsigned *count = arg;

    mesh_require(to->pid != getpid());
    count[result == RV_OK]++;
}

static void
do_broadcast(const void *arg)
{
    unsigned told[2] = { 0, 0 };
    const unsigned *expected = arg;

    mesh_require(
        rv_mesh_broadcast(number_of(NOTE), 0, expected, sizeof(*expected), count_told, told)
        == expected[0]);
    mesh_require(told[0] == expected[0] && told[1] == expected[1]);
    mesh_require(rv_mesh_broadcast(number_of(NOTE), 0, NULL, 0, NULL, NULL) == expected[0]);
}

START_TEST(a_broadcast_reaches_all_others_of_the_generation)
{
    const unsigned expected[2] = { 0, WORKERS - 1 };

    spawn_all();
    rv_process_t *other = mesh_spawn(2, 0);
    mesh_do(worker[1], do_broadcast, expected, sizeof(expected));
    mesh_until(noted(worker[0]->slot) == 2 && noted(worker[2]->slot) == 2);
    mesh_kill(other);
    do_broadcast((const unsigned[]){ 0, WORKERS }); /* the master's reaches all */
    for (int i = 0; i < WORKERS; i++)
        mesh_until(noted(worker[i]->slot) == (i == 1 ? 2 : 4));
    ck_assert_uint_eq(noted(other->slot), 0);
    mesh_end();
}
END_TEST

/* The dead one is in the table still: the kernel knows more. */
START_TEST(a_broadcast_tells_who_was_not_reached)
{
    const unsigned expected[2] = { 1, WORKERS - 2 };

    spawn_all();
    ck_assert_int_eq(kill(worker[0]->pid, SIGKILL), 0);
    siginfo_t end;
    ck_assert_int_eq(waitid(P_PID, (id_t) worker[0]->pid, &end, WEXITED | WNOWAIT), 0);
    mesh_do(worker[1], do_broadcast, expected, sizeof(expected));
    mesh_until(noted(worker[2]->slot) == 2);
    mesh_bury(worker[0]);
    mesh_end();
}
END_TEST

/* --- the dying ---------------------------------------------------------------------------------------- */

/* As many as a socket holds at least. */
static uint32_t
last_words(void)
{
    return rv_channel_transport(0)->whole_records ? 5 : 50;
}

static void
send_and_die(const void *arg)
{
    sending_t s = *(const sending_t *) arg;

    for (s.value = 1; s.value <= last_words(); s.value++)
        do_send(&s);
    raise(SIGKILL);
}

START_TEST(what_was_sent_before_a_death_arrives)
{
    const uint32_t n = last_words() + 1;

    spawn_all();
    sending_t s = { .to = mesh_id(worker[1]), .type = NOTE, .fd = STDIN_FILENO, .result = RV_OK };

    mesh_freeze(worker[1], 1);
    mesh_tell(worker[0], send_and_die, &s, sizeof(s));
    mesh_bury(worker[0]);
    worker[0] = mesh_spawn(1, 0); /* and what the next one in its slot says comes after it */
    s.value = n;
    tell_to_send(worker[0], &s);
    mesh_freeze(worker[1], 0);
    mesh_until(noted(worker[1]->slot) == n);
    for (uint32_t i = 0; i < n; i++)
        ck_assert_uint_eq(notes[worker[1]->slot].note[i].value, i + 1);
    ck_assert_int_ne(notes[worker[1]->slot].note[0].from.pid, worker[0]->pid);
    ck_assert_int_eq(last_note(worker[1]->slot).from.pid, worker[0]->pid);

    s.to = rv_mesh_master();
    mesh_tell(worker[0], send_and_die, &s, sizeof(s));
    mesh_bury(worker[0]);
    ck_assert_uint_eq(noted(AT_MASTER), n - 1);
    ck_assert_uint_eq(mesh_refused(worker[1]), 0);
    mesh_end();
}
END_TEST

static Suite *
mesh_suite(void)
{
    Suite *suite = suite_create("mesh");
    TCase *tcase = tcase_create("mesh");

    tcase_set_timeout(tcase, 120);
    tcase_add_checked_fixture(tcase, setup, NULL);
    tcase_add_test(tcase, everybody_finds_everybody_of_its_generation);
    tcase_add_test(tcase, messages_pass_between_all);
    tcase_add_test(tcase, a_descriptor_arrives_and_stays_the_senders_too);
    tcase_add_test(tcase, nothing_is_sent_to_who_is_not_there);
    tcase_add_test(tcase, a_type_is_sent_only_to_who_receives_it);
    tcase_add_test(tcase, another_generation_is_refused_unless_the_type_is_for_it);
    tcase_add_test(tcase, a_broadcast_reaches_all_others_of_the_generation);
    tcase_add_test(tcase, a_broadcast_tells_who_was_not_reached);
    tcase_add_test(tcase, what_was_sent_before_a_death_arrives);
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
