/*
 * rv_mesh: calls, each of which has exactly one outcome.
 *
 * The callers count what came of their calls in shared memory. What the called one does with a
 * call stands in the call.
 */
#include "rv_mesh.h"

#include "mesh_actors.h"
#include "rv_fd.h"
#include "rv_mesh_calls.h"

#include <check.h>
#include <errno.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { LONG_MSEC = 1000 * 1000, KEPT = 64 };

/* What the called one does. */
typedef enum { REPLY, REPLY_LARGE, REPLY_WITH_FD, KEEP, REPLY_TWICE, DIE } wish_t;

typedef struct {
    wish_t wish;
    uint32_t number;
} question_t;

typedef struct {
    atomic_uint made, answered, late, lost; /* calls, and what came of them */
    atomic_uint kept;                       /* by the called one, not answered yet */
    atomic_uint plain;                      /* messages that were no calls */
    atomic_int silent;                      /* who will not answer, its pid */
} shared_t;

static shared_t *shared;
static rv_process_t *caller, *called;

static int
type_of(const char *name)
{
    return rv_mesh_find("test", name);
}

/* --- the called one ------------------------------------------------------------------------ */

static rv_mesh_message_t kept[KEPT];
static char large[RV_CHANNEL_DATA * 3];

static void
reply(const rv_mesh_message_t *call, const void *data, size_t length, int fd)
{
    mesh_require(rv_mesh_reply(call, data, length, fd) == RV_OK);
}

static void
be_asked(const rv_mesh_message_t *msg)
{
    question_t q;

    mesh_require(msg->length == sizeof(q) && msg->call != 0);
    memcpy(&q, msg->data, sizeof(q));
    switch (q.wish) {
    case REPLY_TWICE:
        reply(msg, &q.number, sizeof(q.number), STDIN_FILENO);
        /* fall through */
    case REPLY:
        reply(msg, &q.number, sizeof(q.number), -1);
        break;
    case REPLY_LARGE:
        memcpy(large, &q.number, sizeof(q.number));
        reply(msg, large, sizeof(large), STDIN_FILENO);
        break;
    case REPLY_WITH_FD:
        reply(msg, &q.number, sizeof(q.number), STDIN_FILENO);
        break;
    case KEEP:
        kept[atomic_load(&shared->kept) % KEPT] = *msg;
        atomic_fetch_add(&shared->kept, 1);
        break;
    case DIE:
        raise(SIGKILL);
    }
}

static void
reply_to_kept(const void *arg)
{
    unsigned n = atomic_load(&shared->kept);

    (void) arg;
    for (unsigned i = 0; i < n; i++)
        (void) rv_mesh_reply(&kept[i], &i, sizeof(i), STDIN_FILENO);
    atomic_store(&shared->kept, 0);
}

/* A message that was no call cannot be answered. */
static void
be_told(const rv_mesh_message_t *msg)
{
    mesh_require(msg->call == 0);
    mesh_require(rv_mesh_reply(msg, "x", 1, -1) == RV_ERROR && errno == EINVAL);
    atomic_fetch_add(&shared->plain, 1);
}

static const rv_mesh_type_t types[] = {
    { .name = "ask", .receive = be_asked, .receive_master = be_asked },
    { .name = "coalesced",
        .policy = RV_CHANNEL_COALESCE,
        .receive = be_asked,
        .receive_master = be_asked },
    { .name = "tell", .receive = be_told, .receive_master = be_told },
    { .name = NULL },
};

/* --- the caller --------------------------------------------------------------------------------- */

/* An answer is no call either, so that nobody takes the answer to it for another's. */
static void
on_outcome(int result, const rv_mesh_message_t *answer, void *arg)
{
    atomic_uint *counts[] = { &shared->answered, &shared->late, &shared->lost };
    uint32_t number;

    if (result != RV_OK) {
        mesh_require(answer->length == 0 && answer->fd == -1);
        mesh_require(answer->from.pid == atomic_load(&shared->silent));
    } else {
        mesh_require(answer->length >= sizeof(number) && answer->call == 0);
        memcpy(&number, answer->data, sizeof(number));
        mesh_require((uint32_t) (uintptr_t) arg == number);
        mesh_require(rv_mesh_reply(answer, NULL, 0, -1) == RV_ERROR && errno == EINVAL);
        if (answer->fd != -1)
            close(answer->fd);
    }
    atomic_fetch_add(counts[result == RV_OK ? 0 : result == RV_AGAIN ? 1 : 2], 1);
}

typedef struct {
    rv_process_id_t to;
    const char *type;
    wish_t wish;
    unsigned count;
    uint64_t msec;
    int is_dead; /* nobody is there */
} calls_t;

static void
do_call(const void *arg)
{
    const calls_t *c = arg;

    if (c->wish == KEEP || c->wish == DIE)
        atomic_store(&shared->silent, c->to.pid);
    for (uint32_t i = 0; i < c->count; i++) {
        const question_t q = { c->wish, i };
        int result = rv_mesh_call(
            &c->to, type_of(c->type), &q, sizeof(q), c->msec, on_outcome, (void *) (uintptr_t) i);

        mesh_require(result == (c->is_dead ? RV_ERROR : RV_OK));
        mesh_require(!c->is_dead || errno == ESRCH);
        atomic_fetch_add(&shared->made, !c->is_dead);
    }
}

static void
tell_to_call(const rv_process_t *p, rv_process_id_t to, wish_t wish, unsigned count, uint64_t msec)
{
    const calls_t c = { .to = to, .type = "ask", .wish = wish, .count = count, .msec = msec };

    if (p == NULL)
        do_call(&c);
    else
        mesh_do(p, do_call, &c, sizeof(c));
}

static unsigned
outcomes(void)
{
    return atomic_load(&shared->answered) + atomic_load(&shared->late) + atomic_load(&shared->lost);
}

static void
wait_for_outcomes(void)
{
    mesh_until(outcomes() >= atomic_load(&shared->made));
    ck_assert_uint_eq(outcomes(), atomic_load(&shared->made));
}

static void
setup(void)
{
    shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    ck_assert_ptr_ne(shared, MAP_FAILED);
    mesh_setup(types);
    caller = mesh_spawn(1, 0);
    called = mesh_spawn(1, 1);
}

/* --- tests ------------------------------------------------------------------------------------------ */

START_TEST(each_call_has_its_own_answer)
{
    static const wish_t wishes[] = { REPLY, REPLY_LARGE, REPLY_WITH_FD };
    unsigned made = 0;
    int held[] = { mesh_descriptors(caller), mesh_descriptors(called), mesh_descriptors_here() };

    for (size_t i = 0; i < rv_countof(wishes); i++) {
        tell_to_call(caller, mesh_id(called), wishes[i], 20, LONG_MSEC);
        tell_to_call(caller, rv_mesh_master(), wishes[i], 20, LONG_MSEC);
        tell_to_call(NULL, mesh_id(called), wishes[i], 20, LONG_MSEC);
        tell_to_call(called, mesh_id(caller), wishes[i], 20, LONG_MSEC);
        wait_for_outcomes();
        made += 80;
        ck_assert_uint_eq(atomic_load(&shared->answered), made);
    }
    ck_assert_int_eq(mesh_descriptors(caller), held[0]);
    ck_assert_int_eq(mesh_descriptors(called), held[1]);
    ck_assert_int_eq(mesh_descriptors_here(), held[2]);
    mesh_end();
}
END_TEST

START_TEST(no_answer_in_time_is_an_outcome_and_a_late_one_is_thrown_away)
{
    int held = mesh_descriptors(caller);

    tell_to_call(caller, mesh_id(called), KEEP, 3, 10);
    tell_to_call(caller, mesh_id(called), KEEP, 1, 0);
    wait_for_outcomes();
    ck_assert_uint_eq(atomic_load(&shared->late), 4);
    mesh_until(atomic_load(&shared->kept) == 4);
    mesh_do(called, reply_to_kept, NULL, 0);
    tell_to_call(caller, mesh_id(called), REPLY_TWICE, 5, LONG_MSEC);
    wait_for_outcomes();
    ck_assert_uint_eq(atomic_load(&shared->answered), 5);
    ck_assert_uint_eq(atomic_load(&shared->late), 4);
    ck_assert_int_eq(mesh_descriptors(caller), held);
    ck_assert_uint_eq(mesh_refused(caller), 0);
    mesh_end();
}
END_TEST

START_TEST(calls_of_a_dead_process_are_told_so)
{
    const rv_process_id_t id = mesh_id(called);

    tell_to_call(caller, id, KEEP, 5, LONG_MSEC);
    tell_to_call(NULL, id, KEEP, 5, LONG_MSEC);
    tell_to_call(caller, rv_mesh_master(), REPLY, 1, LONG_MSEC);
    mesh_kill(called);
    wait_for_outcomes();
    ck_assert_uint_eq(atomic_load(&shared->lost), 10);
    ck_assert_uint_eq(atomic_load(&shared->answered), 1);

    const calls_t c = { .to = id, .type = "ask", .count = 1, .msec = LONG_MSEC, .is_dead = 1 };
    mesh_do(caller, do_call, &c, sizeof(c));
    called = mesh_spawn(1, 1); /* it has the slot, and not the calls */
    mesh_do(caller, do_call, &c, sizeof(c));
    tell_to_call(caller, mesh_id(called), REPLY, 5, LONG_MSEC);
    wait_for_outcomes();
    ck_assert_uint_eq(atomic_load(&shared->answered), 6);
    mesh_end();
}
END_TEST

START_TEST(what_was_answered_before_the_death_is_an_answer)
{
    tell_to_call(caller, mesh_id(called), REPLY, 5, LONG_MSEC);
    wait_for_outcomes();
    tell_to_call(caller, mesh_id(called), DIE, 1, LONG_MSEC);
    mesh_bury(called);
    wait_for_outcomes();
    ck_assert_uint_eq(atomic_load(&shared->answered), 5);
    ck_assert_uint_eq(atomic_load(&shared->lost), 1);
    mesh_end();
}
END_TEST

/* Else an answer could be that to another one's call. */
START_TEST(calls_and_answers_are_not_coalesced)
{
    const calls_t c = {
        .to = mesh_id(called), .type = "coalesced", .wish = KEEP, .count = 10, .msec = LONG_MSEC
    };

    mesh_freeze(called, 1);
    rv_channel_cork(called->channel[0], 1);
    do_call(&c);
    ck_assert_uint_eq(rv_channel_counts(called->channel[0])->waiting, 10);
    rv_channel_cork(called->channel[0], 0);
    mesh_freeze(called, 0);
    mesh_until(atomic_load(&shared->kept) == 10);
    mesh_do(called, reply_to_kept, NULL, 0);
    wait_for_outcomes();
    ck_assert_uint_eq(atomic_load(&shared->answered), 10);
    mesh_end();
}
END_TEST

/* --- a callback may call again ------------------------------------------------------------------- */

static rv_process_id_t again_to;
static unsigned left;

static void
call_again(int result, const rv_mesh_message_t *answer, void *arg)
{
    const question_t q = { REPLY, 0 };

    (void) answer;
    (void) arg;
    atomic_fetch_add(result == RV_OK ? &shared->answered : &shared->lost, 1);
    if (left == 0)
        return;
    left--;
    int sent = rv_mesh_call(&again_to, type_of("ask"), &q, sizeof(q), LONG_MSEC, call_again, NULL);
    mesh_require(sent == RV_OK || errno == ESRCH);
}

static void
begin_again(const void *arg)
{
    again_to = *(const rv_process_id_t *) arg;
    left = 50;
    call_again(RV_OK, NULL, NULL);
}

START_TEST(an_outcome_may_lead_to_the_next_call)
{
    const rv_process_id_t to = mesh_id(called);

    mesh_do(caller, begin_again, &to, sizeof(to));
    mesh_until(atomic_load(&shared->answered) == 51);
    mesh_end();
}
END_TEST

/* The socket to the master takes more as long as any worker lives: that must not look like a master. */
static void
lose_master(const void *arg)
{
    const question_t q = { KEEP, 0 };
    const rv_process_id_t master = rv_mesh_master();

    (void) arg;
    again_to = master;
    left = 1000;
    for (int i = 0; i < 3; i++)
        mesh_require(
            rv_mesh_call(&master, type_of("ask"), &q, sizeof(q), LONG_MSEC, call_again, NULL)
            == RV_OK);
    rv_mesh_lost_master();
    mesh_require(rv_mesh_send(&master, type_of("tell"), NULL, 0, -1) == RV_ERROR && errno == ESRCH);
    mesh_require(rv_mesh_due() == INT64_MAX);
}

START_TEST(without_a_master_calls_of_it_end_and_none_begin)
{
    mesh_do(caller, lose_master, NULL, 0);
    ck_assert_uint_eq(atomic_load(&shared->lost), 3);
    mesh_end();
}
END_TEST

START_TEST(a_message_is_no_call)
{
    const rv_process_id_t to = mesh_id(called);

    ck_assert_int_eq(rv_mesh_send(&to, type_of("tell"), "x", 1, -1), RV_OK);
    mesh_until(atomic_load(&shared->plain) == 1);
    mesh_end();
}
END_TEST

/* --- the list of calls --------------------------------------------------------------------------- */

static unsigned outcome_count;
static int64_t outcome[16];

static void
note_outcome(int result, const rv_mesh_message_t *answer, void *arg)
{
    (void) answer;
    ck_assert_int_eq(result, RV_AGAIN);
    outcome[outcome_count++] = (int64_t) (uintptr_t) arg;
}

/* Again, for no time: it is not to go on for ever. */
static void
note_and_add(int result, const rv_mesh_message_t *answer, void *arg)
{
    const rv_mesh_calls_entry_t entry = { .until = 0, .answered = note_and_add };

    note_outcome(result, answer, arg);
    ck_assert_uint_ne(rv_mesh_calls_add(&entry), 0);
}

START_TEST(calls_are_given_up_in_the_order_of_their_times)
{
    static const int64_t untils[] = { 30, 10, 20, 10, 40, 5 };
    uint32_t number[rv_countof(untils)];

    ck_assert_int_eq(rv_mesh_calls_due(), INT64_MAX);
    for (size_t i = 0; i < rv_countof(untils); i++) {
        const rv_mesh_calls_entry_t entry = {
            .until = untils[i], .answered = note_outcome, .arg = (void *) (uintptr_t) i
        };
        number[i] = rv_mesh_calls_add(&entry);
        ck_assert_uint_ne(number[i], 0);
    }
    ck_assert_int_eq(rv_mesh_calls_due(), 5);
    rv_mesh_calls_undo(number[2]);
    rv_mesh_calls_expire(4);
    ck_assert_uint_eq(outcome_count, 0);
    rv_mesh_calls_expire(10);
    ck_assert_int_eq(rv_mesh_calls_due(), 30);
    rv_mesh_calls_expire(1000);
    ck_assert_int_eq(rv_mesh_calls_due(), INT64_MAX);
    ck_assert_uint_eq(outcome_count, 5);
    for (unsigned i = 0; i < 5; i++)
        ck_assert_int_eq(outcome[i], ((const int64_t[]){ 5, 1, 3, 0, 4 })[i]);
}
END_TEST

START_TEST(giving_up_ends_though_each_calls_again)
{
    const rv_mesh_calls_entry_t entry = { .until = 0, .answered = note_and_add };

    for (int i = 0; i < 3; i++)
        ck_assert_uint_ne(rv_mesh_calls_add(&entry), 0);
    rv_mesh_calls_expire(100);
    ck_assert_uint_eq(outcome_count, 3);
    rv_mesh_calls_forget();
    ck_assert_int_eq(rv_mesh_calls_due(), INT64_MAX);
    ck_assert_uint_eq(outcome_count, 3);
}
END_TEST

static Suite *
mesh_suite(void)
{
    Suite *suite = suite_create("mesh_calls");
    TCase *tcase = tcase_create("mesh"), *list = tcase_create("list");

    tcase_set_timeout(tcase, 120);
    tcase_add_checked_fixture(tcase, setup, NULL);
    tcase_add_test(tcase, each_call_has_its_own_answer);
    tcase_add_test(tcase, no_answer_in_time_is_an_outcome_and_a_late_one_is_thrown_away);
    tcase_add_test(tcase, calls_of_a_dead_process_are_told_so);
    tcase_add_test(tcase, what_was_answered_before_the_death_is_an_answer);
    tcase_add_test(tcase, calls_and_answers_are_not_coalesced);
    tcase_add_test(tcase, an_outcome_may_lead_to_the_next_call);
    tcase_add_test(tcase, without_a_master_calls_of_it_end_and_none_begin);
    tcase_add_test(tcase, a_message_is_no_call);
    tcase_add_test(list, calls_are_given_up_in_the_order_of_their_times);
    tcase_add_test(list, giving_up_ends_though_each_calls_again);
    suite_add_tcase(suite, tcase);
    suite_add_tcase(suite, list);
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
