/*
 * rv_zone: what was in a file goes on in the next daemon.
 *
 * The content is a number, kept twice: a daemon that is killed with the lock in
 * its hands has changed the first one only, and repair tells by that. How often
 * which callback was called is counted outside the zone.
 */
#include "zone_fixture.h"

#define SIZE 16384

typedef struct {
    long first, second;
} content_t;

/* Seen by all processes of a test. */
typedef struct {
    volatile int inits, attaches, repairs;
    int init_result, attach_result;
    long seen; /* what init was shown */
    int alone;
} report_t;

static report_t *report;
static const char *path, *fresh;
static char want[RV_ZONE_ERROR];

static content_t *
content_of(const rv_zone_t *zone)
{
    size_t room;

    return rv_zone_content(zone, &room);
}

static int
init(rv_zone_t *zone, rv_zone_t *old, RV_UNUSED void *data)
{
    content_t *content = rv_zone_alloc(zone, sizeof(*content));

    report->inits++;
    report->seen = old == NULL ? -1 : content_of(old)->second;
    report->alone = old == NULL ? -1 : rv_zone_is_alone(old);
    content->first = content->second = old == NULL ? 1000 : report->seen + 1;
    return report->init_result;
}

static int
attach(rv_zone_t *zone, RV_UNUSED void *data)
{
    size_t room = 0;

    report->attaches++;
    ck_assert_ptr_nonnull(rv_zone_content(zone, &room));
    ck_assert_uint_gt(room, 100);
    ck_assert_uint_lt(room, 64 * SIZE);
    return report->attach_result;
}

static int
repair(rv_zone_t *zone, RV_UNUSED void *data)
{
    report->repairs++;
    content_of(zone)->second = content_of(zone)->first;
    return RV_OK;
}

static int
repair_badly(RV_UNUSED rv_zone_t *zone, RV_UNUSED void *data)
{
    report->repairs++;
    return RV_ERROR;
}

static int
repair_and_die(RV_UNUSED rv_zone_t *zone, RV_UNUSED void *data)
{
    return kill(getpid(), SIGKILL);
}

static rv_zone_calls_t calls;

static void
setup(void)
{
    fixture_clear();
    path = fixture_place()->path;
    fresh = fixture_place()->fresh;
    report = fixture_shared(sizeof(*report));
    calls = (rv_zone_calls_t){ .init = init, .attach = attach, .repair = repair };
}

static rv_zone_spec_t
new_spec(void)
{
    return (rv_zone_spec_t){ .name = "test",
        .owner = "module",
        .type = "file",
        .path = path,
        .size = SIZE,
        .need = sizeof(content_t),
        .calls = &calls };
}

static void
set_number(rv_zone_t *zone, long number)
{
    ck_assert_int_eq(rv_zone_lock(zone), RV_OK);
    content_of(zone)->first = content_of(zone)->second = number;
    rv_zone_unlock(zone);
}

static void
assert_number(const rv_zone_t *zone, long number)
{
    ck_assert_int_eq(content_of(zone)->first, number);
    ck_assert_int_eq(content_of(zone)->second, number);
}

/* In the place of the file; the opening was told to be the only one, and goes. */
static void
adopt_and_close(rv_zone_t *zone)
{
    ck_assert_int_eq(rv_zone_adopt(zone), RV_OK);
    ck_assert(fixture_exists(path) && !fixture_exists(fresh));
    rv_zone_close(zone, 1);
    ck_assert(fixture_exists(path));
}

/* --- another daemon ---------------------------------------------------------------------- */

/* It leaves its file, with the number 41, in this way. */
static enum { ENDED, KILLED, KILLED_WITH_THE_LOCK } way;

static void
be_a_daemon(void)
{
    const rv_zone_spec_t spec = new_spec();
    rv_zone_t *zone;

    if (rv_zone_open(&spec, NULL, &zone, zone_error()) != RV_OK || rv_zone_adopt(zone) != RV_OK)
        _exit(EXIT_FAILURE);
    content_of(zone)->first = content_of(zone)->second = 41;
    if (way == KILLED_WITH_THE_LOCK && rv_zone_lock(zone) == RV_OK)
        content_of(zone)->first = 42;
    if (way == ENDED)
        rv_zone_close(zone, 1);
    else
        kill(getpid(), SIGKILL);
}

static void
leave_file(int in_this_way)
{
    int status;

    way = (unsigned) in_this_way;
    pid_t pid = fixture_spawn(be_a_daemon);
    ck_assert_int_eq(waitpid(pid, &status, 0), pid);
    ck_assert_int_eq(status, way == ENDED ? 0 : SIGKILL);
    ck_assert(fixture_exists(path));
    report->inits = report->attaches = report->repairs = 0;
}

/* --- the same zone --------------------------------------------------------------------------- */

START_TEST(content_goes_on_after_an_end_and_a_kill)
{
    const rv_zone_spec_t spec = new_spec();

    leave_file(_i);
    rv_zone_t *zone = zone_opened(&spec, NULL);
    ck_assert(!fixture_exists(fresh)); /* it is used where it is */
    ck_assert_int_eq(report->attaches, 1);
    ck_assert_int_eq(report->inits, 0);
    ck_assert_int_eq(report->repairs, 0);
    ck_assert_int_eq(rv_zone_is_alone(zone), 1);
    assert_number(zone, 41);
    ck_assert_uint_eq(zone_generation(zone), 1);
    ck_assert_uint_eq(zone_recoveries(zone), 0);

    ck_assert_int_eq(rv_zone_adopt(zone), RV_OK);
    ck_assert_int_eq(rv_zone_is_alone(zone), 0);
    set_number(zone, 50);
    rv_zone_close(zone, 1);

    calls.attach = NULL; /* which is as good as one that says so */
    zone = zone_opened(&spec, NULL);
    assert_number(zone, 50);
    rv_zone_close(zone, 1); /* it was not adopted, and stays */
    ck_assert(fixture_exists(path));
    ck_assert_int_eq(report->inits, 0);
}
END_TEST

START_TEST(memory_is_given_out_behind_what_was_given_out_before)
{
    const rv_zone_spec_t spec = new_spec();

    leave_file(ENDED);
    rv_zone_t *zone = zone_opened(&spec, NULL);
    char *more = rv_zone_alloc(zone, 100);
    ck_assert_ptr_nonnull(more);
    ck_assert(more >= (char *) content_of(zone) + sizeof(content_t));
    memset(more, 'm', 100);
    assert_number(zone, 41);
    adopt_and_close(zone);
}
END_TEST

/* The daemons before may have workers still. */
static int release_worker[2];

static void
be_a_daemon_with_a_worker(void)
{
    const rv_zone_spec_t spec = new_spec();
    rv_zone_t *zone = zone_opened(&spec, NULL);
    char byte;

    ck_assert_int_eq(rv_zone_adopt(zone), RV_OK);
    if (fork() == 0) {
        close(release_worker[1]);
        (void) !read(release_worker[0], &byte, 1); /* its end is that of the test */
        _exit(0);
    }
    kill(getpid(), SIGKILL);
}

START_TEST(file_is_in_use_as_long_as_a_worker_has_it)
{
    const rv_zone_spec_t spec = new_spec();
    rv_zone_t *zone;

    ck_assert_int_eq(pipe(release_worker), 0);
    ck_assert_int_eq(fixture_signal_of(fixture_spawn(be_a_daemon_with_a_worker)), SIGKILL);
    snprintf(want, sizeof(want),
        "zone \"test\": \"%s\" is in use by workers of a daemon that was killed, until they have "
        "finished",
        path);
    zone_assert_refused(&spec, NULL, want);

    close(release_worker[0]);
    close(release_worker[1]);
    while (rv_zone_open(&spec, NULL, &zone, zone_error()) != RV_OK) {
        ck_assert_str_eq(zone_error(), want);
        nanosleep(&(struct timespec){ .tv_nsec = 1000000 }, NULL);
    }
    adopt_and_close(zone);
}
END_TEST

/* --- one that died with the lock ----------------------------------------------------------------- */

START_TEST(content_of_one_that_died_with_the_lock_is_repaired_once)
{
    const rv_zone_spec_t spec = new_spec();

    leave_file(KILLED_WITH_THE_LOCK);
    rv_zone_t *zone = zone_opened(&spec, NULL);
    ck_assert_int_eq(report->repairs, 1);
    ck_assert_int_eq(report->inits, 0);
    assert_number(zone, 42);
    ck_assert_uint_eq(zone_recoveries(zone), 1);
    ck_assert_uint_eq(zone_generation(zone), 1);
    adopt_and_close(zone);

    zone = zone_opened(&spec, NULL);
    ck_assert_int_eq(report->repairs, 1);
    assert_number(zone, 42);
    set_number(zone, 50); /* the lock is free */
    ck_assert_uint_eq(zone_recoveries(zone), 1);
    adopt_and_close(zone);
}
END_TEST

/* Also where it is of another size, or not as it should be by the word of its owner. */
START_TEST(content_is_repaired_before_it_is_carried_over)
{
    rv_zone_spec_t spec = new_spec();

    leave_file(KILLED_WITH_THE_LOCK);
    if (_i == 0)
        spec.size *= 2;
    else
        report->attach_result = RV_DONE;
    rv_zone_t *zone = zone_opened(&spec, NULL);
    ck_assert_int_eq(report->repairs, 1);
    ck_assert_int_eq(report->seen, 42);
    assert_number(zone, 43);
    adopt_and_close(zone);
}
END_TEST

START_TEST(content_beyond_repair_is_made_anew_with_a_warning)
{
    const rv_zone_spec_t spec = new_spec();

    leave_file(KILLED_WITH_THE_LOCK);
    calls.repair = _i == 0 ? repair_badly : NULL;
    rv_zone_t *zone =
        zone_opened_saying(&spec, NULL, "zone \"test\" was beyond repair and is made anew");
    ck_assert_int_eq(report->repairs, _i == 0);
    ck_assert_int_eq(report->inits, 1);
    assert_number(zone, 1000);
    ck_assert_uint_eq(zone_generation(zone), 2);
    ck_assert_uint_eq(zone_recoveries(zone), 0);
    adopt_and_close(zone);
}
END_TEST

static void
open_it(void)
{
    const rv_zone_spec_t spec = new_spec();

    (void) zone_opened(&spec, NULL);
}

START_TEST(content_of_one_that_died_in_a_repair_is_made_anew)
{
    const rv_zone_spec_t spec = new_spec();

    leave_file(KILLED_WITH_THE_LOCK);
    calls.repair = repair_and_die;
    ck_assert_int_eq(fixture_signal_of(fixture_spawn(open_it)), SIGKILL);
    ck_assert_int_eq(report->inits, 0);

    snprintf(want, sizeof(want), "zone \"test\": \"%s\" is unfinished and is made anew", path);
    rv_zone_t *zone = zone_opened_saying(&spec, NULL, want);
    ck_assert_int_eq(report->inits, 1);
    assert_number(zone, 1000);
    adopt_and_close(zone);
    rv_zone_close(zone_opened(&spec, NULL), 1);
}
END_TEST

/* --- carried over ---------------------------------------------------------------------------------------- */

START_TEST(file_of_another_size_is_carried_over_and_replaced)
{
    static const size_t sizes[] = { 3 * SIZE, SIZE / 2, SIZE + 1 };
    rv_zone_spec_t spec = new_spec();

    leave_file(KILLED);
    zone_bytes_t was = zone_bytes_of(path);
    spec.size = sizes[_i];
    rv_zone_t *zone = zone_opened(&spec, NULL);
    ck_assert_int_eq(report->attaches, 1);
    ck_assert_int_eq(report->inits, 1);
    ck_assert_int_eq(report->seen, 41);
    ck_assert_int_eq(report->alone, 1);
    ck_assert_int_eq(rv_zone_is_alone(zone), 0);
    assert_number(zone, 42);
    zone_assert_bytes(path, was);

    adopt_and_close(zone);
    ck_assert_uint_ge(fixture_file_size(path), sizes[_i]);
    ck_assert_uint_lt(fixture_file_size(path), sizes[_i] + 4096);
    zone = zone_opened(&spec, NULL);
    ck_assert_int_eq(report->inits, 1);
    assert_number(zone, 42);
    adopt_and_close(zone);
}
END_TEST

/* In the middle of a page: the file is whole pages, and serves again. */
START_TEST(size_that_is_no_whole_pages_is_the_same_the_next_time)
{
    rv_zone_spec_t spec = new_spec();

    spec.size = SIZE - 100;
    adopt_and_close(zone_opened(&spec, NULL));
    report->inits = 0;
    adopt_and_close(zone_opened(&spec, NULL));
    ck_assert_int_eq(report->inits, 0);
}
END_TEST

START_TEST(content_is_carried_over_where_its_owner_says_so)
{
    const rv_zone_spec_t spec = new_spec();

    leave_file(KILLED);
    report->attach_result = RV_DONE;
    rv_zone_t *zone = zone_opened(&spec, NULL);
    ck_assert_int_eq(report->seen, 41);
    assert_number(zone, 42);
    rv_zone_t *again = zone_opened(&spec, zone); /* the new one serves */
    ck_assert_ptr_eq(again, zone);
    rv_zone_close(again, 1);
    adopt_and_close(zone);
}
END_TEST

START_TEST(content_that_is_not_understood_is_refused_and_left_alone)
{
    const rv_zone_spec_t spec = new_spec();

    leave_file(KILLED);
    zone_bytes_t was = zone_bytes_of(path);
    report->attach_result = RV_ERROR;
    zone_assert_refused(&spec, NULL, "zone \"test\": its content is not understood");
    zone_assert_bytes(path, was);
    ck_assert(!fixture_exists(fresh));
    ck_assert_int_eq(report->inits, 0);
}
END_TEST

/* At a reload: the old generation goes on with its file, by then without a name. */
START_TEST(file_is_replaced_while_the_old_generation_uses_it)
{
    rv_zone_spec_t spec = new_spec();
    rv_zone_t *old = zone_opened(&spec, NULL);

    ck_assert_int_eq(rv_zone_adopt(old), RV_OK);
    set_number(old, 70);
    spec.size *= 2;
    rv_zone_t *zone = zone_opened(&spec, old);
    ck_assert_int_eq(report->seen, 70);
    ck_assert_int_eq(report->alone, 0);
    ck_assert(fixture_exists(path) && fixture_exists(fresh));
    ck_assert_int_eq(rv_zone_adopt(zone), RV_OK);
    ck_assert(fixture_exists(path) && !fixture_exists(fresh));
    set_number(old, 90);
    assert_number(zone, 71);
    rv_zone_close(old, 1);
    adopt_and_close(zone);

    zone = zone_opened(&spec, NULL);
    assert_number(zone, 71);
    adopt_and_close(zone);
}
END_TEST

/* Memory becomes a file: what this daemon has counts, not what once was in the file. */
START_TEST(zone_that_becomes_a_file_keeps_its_content)
{
    rv_zone_spec_t spec = new_spec();

    leave_file(ENDED);
    spec.type = "auto";
    spec.path = NULL;
    rv_zone_t *old = zone_opened(&spec, NULL);
    set_number(old, 70);

    spec = new_spec();
    rv_zone_t *zone = zone_opened(&spec, old);
    ck_assert_int_eq(report->seen, 70);
    assert_number(zone, 71);
    rv_zone_close(old, 1);
    adopt_and_close(zone);

    fixture_make_file(path, 100, 'p'); /* but what is not ours is not replaced */
    snprintf(want, sizeof(want), "zone \"test\": \"%s\" is not a zone", path);
    spec.type = "auto";
    spec.path = NULL;
    old = zone_opened(&spec, NULL);
    spec = new_spec();
    zone_assert_refused(&spec, old, want);
    ck_assert_uint_eq(fixture_file_size(path), 100);
    rv_zone_close(old, 1);
}
END_TEST

static Suite *
zone_keep_suite(void)
{
    Suite *suite = suite_create("zone_keep");
    TCase *tcase = tcase_create("zone_keep");

    tcase_add_unchecked_fixture(tcase, fixture_setup_run, fixture_teardown_run);
    tcase_add_checked_fixture(tcase, setup, fixture_clear);
    tcase_set_timeout(tcase, 60);
    tcase_add_loop_test(tcase, content_goes_on_after_an_end_and_a_kill, ENDED, KILLED + 1);
    tcase_add_test(tcase, memory_is_given_out_behind_what_was_given_out_before);
    tcase_add_test(tcase, file_is_in_use_as_long_as_a_worker_has_it);
    tcase_add_test(tcase, content_of_one_that_died_with_the_lock_is_repaired_once);
    tcase_add_loop_test(tcase, content_is_repaired_before_it_is_carried_over, 0, 2);
    tcase_add_loop_test(tcase, content_beyond_repair_is_made_anew_with_a_warning, 0, 2);
    tcase_add_test(tcase, content_of_one_that_died_in_a_repair_is_made_anew);
    tcase_add_loop_test(tcase, file_of_another_size_is_carried_over_and_replaced, 0, 3);
    tcase_add_test(tcase, size_that_is_no_whole_pages_is_the_same_the_next_time);
    tcase_add_test(tcase, content_is_carried_over_where_its_owner_says_so);
    tcase_add_test(tcase, content_that_is_not_understood_is_refused_and_left_alone);
    tcase_add_test(tcase, file_is_replaced_while_the_old_generation_uses_it);
    tcase_add_test(tcase, zone_that_becomes_a_file_keeps_its_content);

    suite_add_tcase(suite, tcase);
    return suite;
}

int
main(void)
{
    return fixture_run(zone_keep_suite());
}
