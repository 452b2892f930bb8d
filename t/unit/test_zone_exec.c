/*
 * rv_zone: a zone is handed over an exec, as an upgrade of the program does.
 *
 * The test tells two processes what to do (zone_actors.h), and looks from
 * outside what names there are.
 */
#include "zone_actors.h"

#include "zone_fixture.h"

#include <sys/socket.h>

static zone_actors_t actors;

/* --- the test's side ------------------------------------------------------------------------- */

static const char *const types[] = { "memfd", "posix", "file" };

static zone_actors_reply_t
answer(int who)
{
    zone_actors_reply_t reply;

    ck_assert_int_eq(read(actors.ours[who], &reply, sizeof(reply)), (ssize_t) sizeof(reply));
    return reply;
}

static void
tell(int who, zone_actors_what_t what, long value)
{
    const zone_actors_request_t r = { what, value };

    ck_assert_int_eq(write(actors.ours[who], &r, sizeof(r)), (ssize_t) sizeof(r));
}

static zone_actors_reply_t
ask(int who, zone_actors_what_t what, long value)
{
    tell(who, what, value);

    zone_actors_reply_t reply = answer(who);
    ck_assert_int_eq(reply.result, RV_OK);
    return reply;
}

static pid_t maker, heir;

static char *
segment(int i)
{
    static char name[64];

    snprintf(name, sizeof(name), "reeve.%.20s.test.%d", actors.instance, i);
    return name;
}

static void
clear(void)
{
    fixture_clear();
    for (int i = 0; i < 4; i++)
        fixture_remove_segment(segment(i));
}

static void
setup(void)
{
    actors.path = fixture_place()->path;
    actors.instance = fixture_place()->name;
    clear();
}

static void
teardown_run(void)
{
    setup();
    fixture_teardown_run();
}

static void
be_the_maker(void)
{
    zone_actors_be_the_maker(&actors);
}

/* 0: this type is not in this build. */
static int
start_maker(int i)
{
    int pair[2];

    if (rv_shm_type(types[i]) == NULL)
        return 0;

    actors.type = types[i];
    for (int who = MAKER; who <= HEIR; who++) {
        ck_assert_int_eq(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0);
        actors.ours[who] = pair[0];
        actors.theirs[who] = pair[1];
    }
    maker = fixture_spawn(be_the_maker);
    close(actors.theirs[MAKER]);
    ck_assert_int_eq(answer(MAKER).inits, 1);
    return 1;
}

/* From the outside: whether the name or the file is there; memfd has none. */
static int
is_there(int number)
{
    if (strcmp(actors.type, "file") == 0)
        return number == 0 && fixture_exists(actors.path);

    int fd = fixture_open_segment(segment(number));
    if (fd != -1)
        close(fd);
    return fd != -1;
}

static int
has_name(void)
{
    return strcmp(actors.type, "memfd") != 0;
}

static void
assert_totals(int who, int64_t both, int64_t gauge)
{
    zone_actors_reply_t reply = ask(who, TOTALS, 0);

    ck_assert_int_eq(reply.total[BOTH], both);
    ck_assert_int_eq(reply.total[OTHER], both);
    ck_assert_int_eq(reply.total[GAUGE], gauge);
}

static void
end(int who)
{
    ck_assert_int_eq(ask(who, CLOSE, 0).pid, who == MAKER ? maker : heir);
    if (who == MAKER)
        fixture_wait(maker);
}

/* Answers once it is at work. */
static zone_actors_reply_t
start_the_heir(int other_version)
{
    ask(MAKER, START, other_version);
    zone_actors_reply_t reply = answer(HEIR);

    ck_assert_int_eq(reply.result, RV_OK);
    heir = reply.pid;
    return reply;
}

static void
kill_heir(void)
{
    ck_assert_int_eq(kill(heir, SIGKILL), 0);
    ask(MAKER, REAP, 0);
}

/* --- the same version ------------------------------------------------------------------------- */

START_TEST(both_count_in_rows_of_their_own_and_see_the_same)
{
    if (!start_maker(_i))
        return;
    ask(MAKER, ADD, 5);
    ask(MAKER, RAISE, 0);

    zone_actors_reply_t reply = start_the_heir(0);
    ck_assert_int_eq(reply.attaches, 1);
    ck_assert_int_eq(reply.inits, 0);
    ck_assert_int_eq(reply.is_old, 1);
    ck_assert_int_eq(reply.row, 1);
    ck_assert_int_ne(reply.pid, maker);
    assert_totals(HEIR, 5, 1);

    ask(HEIR, ADD, 7);
    ask(HEIR, RAISE, 0);
    assert_totals(HEIR, 12, 2);
    assert_totals(MAKER, 12, 2);

    tell(MAKER, ADD, 30000); /* at once */
    tell(HEIR, ADD, 40000);
    ck_assert_int_eq(answer(MAKER).result, RV_OK);
    ck_assert_int_eq(answer(HEIR).result, RV_OK);
    assert_totals(HEIR, 70012, 2);
    assert_totals(MAKER, 70012, 2);
    kill_heir();
    end(MAKER);
}
END_TEST

START_TEST(killed_heir_is_swept_by_the_maker)
{
    if (!start_maker(_i))
        return;
    ask(MAKER, ADD, 5);
    ask(MAKER, RAISE, 0);

    for (int i = 1; i <= 3; i++) {
        start_the_heir(0);
        ask(HEIR, RAISE, 0);
        tell(HEIR, ADD, 100);
        ck_assert_int_eq(answer(HEIR).result, RV_OK);
        assert_totals(MAKER, 5 + i * 100, 2);
        kill_heir();
        ask(MAKER, SWEEP, 0);
        assert_totals(MAKER, 5 + i * 100, 1);
        ask(MAKER, SWEEP, 0);
        assert_totals(MAKER, 5 + i * 100, 1);
        ck_assert_int_eq(is_there(0), has_name());
    }
    end(MAKER);
    ck_assert_int_eq(is_there(0), strcmp(actors.type, "file") == 0);
}
END_TEST

START_TEST(killed_maker_is_swept_by_the_heir)
{
    if (!start_maker(_i))
        return;
    ask(MAKER, ADD, 5);
    ask(MAKER, RAISE, 0);
    start_the_heir(0);
    ask(HEIR, ADD, 7);
    ask(HEIR, RAISE, 0);
    ask(HEIR, SWEEP, 0); /* of the living nothing is touched */
    assert_totals(HEIR, 12, 2);

    fixture_kill(maker);
    assert_totals(HEIR, 12, 2);
    ask(HEIR, SWEEP, 0);
    assert_totals(HEIR, 12, 1);
    ask(HEIR, ADD, 1);
    assert_totals(HEIR, 13, 1);
    ck_assert_int_eq(is_there(0), has_name());
    ask(HEIR, ADOPT, 0);
    end(HEIR);
    ck_assert_int_eq(is_there(0), strcmp(actors.type, "file") == 0);
}
END_TEST

/* Its start has failed: the maker goes on, and can be inherited from again. */
START_TEST(end_of_the_heir_takes_nothing_from_the_maker)
{
    if (!start_maker(_i))
        return;
    for (int i = 1; i <= 2; i++) {
        start_the_heir(0);
        ask(HEIR, ADD, 10);
        end(HEIR); /* as if it were its own */
        ask(MAKER, REAP, 0);
        ask(MAKER, SWEEP, 0);
        assert_totals(MAKER, i * 10, 0);
        ck_assert_int_eq(is_there(0), has_name());
    }
    end(MAKER);
    ck_assert_int_eq(is_there(0), strcmp(actors.type, "file") == 0);
}
END_TEST

START_TEST(end_of_the_maker_takes_nothing_from_an_heir_that_adopted)
{
    if (!start_maker(_i))
        return;
    ask(MAKER, ADD, 5);
    start_the_heir(0);
    ask(HEIR, ADOPT, 0);
    end(MAKER);
    ck_assert_int_eq(is_there(0), has_name());
    ask(HEIR, SWEEP, 0);
    assert_totals(HEIR, 5, 0);
    end(HEIR);
    ck_assert_int_eq(is_there(0), strcmp(actors.type, "file") == 0);
}
END_TEST

/* --- another version ----------------------------------------------------------------------------- */

static void
assert_carried_over(int64_t maker_added, int64_t heir_added)
{
    zone_actors_reply_t reply = ask(HEIR, TOTALS, 0);

    ck_assert_int_eq(reply.total[BOTH], maker_added + heir_added);
    ck_assert_int_eq(reply.total[OTHER], maker_added + heir_added);
    ck_assert_int_eq(reply.total[NEW_ONLY], heir_added);
    ck_assert_int_eq(reply.total[OLD_ONLY], -1);
}

START_TEST(other_version_counts_on_from_all_that_the_old_one_counts)
{
    if (!start_maker(_i))
        return;
    ask(MAKER, ADD, 5);
    ask(MAKER, RAISE, 0);

    zone_actors_reply_t reply = start_the_heir(1);
    ck_assert_int_eq(reply.attaches, 1);
    ck_assert_int_eq(reply.inits, 1);
    ck_assert_int_eq(reply.is_old, 0);
    assert_carried_over(5, 0);

    ask(HEIR, RAISE, 0);
    tell(MAKER, ADD, 20000); /* at once, in memory of their own */
    tell(HEIR, ADD, 30000);
    ck_assert_int_eq(answer(MAKER).result, RV_OK);
    ck_assert_int_eq(answer(HEIR).result, RV_OK);
    assert_carried_over(20005, 30000);
    assert_totals(HEIR, 50005, 2);
    assert_totals(MAKER, 20005, 1);
    ask(HEIR, ADOPT, 0);
    assert_carried_over(20005, 30000);

    if (_i == 0)
        end(MAKER);
    else
        fixture_kill(maker);
    assert_carried_over(20005, 30000);
    ask(HEIR, SWEEP, 0);
    assert_carried_over(20005, 30000);
    assert_totals(HEIR, 50005, 1);
    ask(HEIR, ADD, 1);
    assert_totals(HEIR, 50006, 1);
    end(HEIR);
}
END_TEST

/* Killed, or ended by itself, before it was adopted; the maker never noticed. */
START_TEST(end_of_another_version_leaves_the_old_one_as_it_was)
{
    if (!start_maker(_i % 3))
        return;
    ask(MAKER, ADD, 5);
    zone_bytes_t was = zone_bytes_of(actors.path);

    start_the_heir(1);
    ask(HEIR, ADD, 7);
    if (_i < 3) {
        kill_heir();
    } else {
        end(HEIR);
        ask(MAKER, REAP, 0);
        ck_assert(!fixture_exists(fixture_place()->fresh));
        ck_assert(!is_there(1));
    }
    ck_assert_int_eq(is_there(0), has_name());
    zone_assert_bytes(actors.path, was);
    assert_totals(MAKER, 5, 0);

    start_the_heir(1); /* what a killed one has left is not in the way */
    assert_carried_over(5, 0);
    ask(HEIR, ADOPT, 0);
    end(MAKER);
    ask(HEIR, SWEEP, 0);
    assert_carried_over(5, 0);
    end(HEIR);
    ck_assert_int_eq(is_there(0), strcmp(actors.type, "file") == 0);
    ck_assert(!is_there(1));
}
END_TEST

static Suite *
zone_exec_suite(void)
{
    Suite *suite = suite_create("zone_exec");
    TCase *tcase = tcase_create("zone_exec");
    int n = (int) rv_countof(types);

    tcase_add_unchecked_fixture(tcase, fixture_setup_run, teardown_run);
    tcase_add_checked_fixture(tcase, setup, clear);
    tcase_set_timeout(tcase, 60);
    tcase_add_loop_test(tcase, both_count_in_rows_of_their_own_and_see_the_same, 0, n);
    tcase_add_loop_test(tcase, killed_heir_is_swept_by_the_maker, 0, n);
    tcase_add_loop_test(tcase, killed_maker_is_swept_by_the_heir, 0, n);
    tcase_add_loop_test(tcase, end_of_the_heir_takes_nothing_from_the_maker, 0, n);
    tcase_add_loop_test(tcase, end_of_the_maker_takes_nothing_from_an_heir_that_adopted, 0, n);
    tcase_add_loop_test(tcase, other_version_counts_on_from_all_that_the_old_one_counts, 0, n);
    tcase_add_loop_test(tcase, end_of_another_version_leaves_the_old_one_as_it_was, 0, 2 * n);

    suite_add_tcase(suite, tcase);
    return suite;
}

int
main(int argc, char **argv)
{
    if (argc == ZONE_ACTORS_ARGUMENTS)
        return zone_actors_be_the_heir(argv);

    return fixture_run(zone_exec_suite());
}
