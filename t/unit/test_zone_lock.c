/*
 * rv_zone: its lock, and what becomes of the content when somebody dies with it.
 *
 * The content is two numbers that are always equal while nobody holds the
 * lock. It counts how often it was filled and repaired outside the zone, in
 * memory that no rebuilding clears.
 */
#include "zone_fixture.h"

#define SIZE 16384
#define WAITING 3

typedef struct {
    long first, second;
    char *more; /* at the end of all that the owner has asked for */
} content_t;

/* Seen by all processes of a test. */
typedef struct {
    volatile int inits, repairs, locked, repaired, rebuilt, failed;
    int init_result;
} report_t;

static report_t *report;
static rv_zone_t *zone;
static content_t *content;

static int
init(rv_zone_t *z, rv_zone_t *old, RV_UNUSED void *data)
{
    report->inits++;
    if (report->init_result != RV_OK || (report->inits > 1 && old != NULL))
        return RV_ERROR;

    content = rv_zone_alloc(z, sizeof(*content));
    content->more = rv_zone_alloc(z, 100);
    if (content->first != 0 || content->more[99] != 0)
        return RV_ERROR; /* it must be zeroed */
    content->first = content->second = 1000;
    return RV_OK;
}

static int
repair_well(RV_UNUSED rv_zone_t *z, void *data)
{
    report->repairs++;
    ck_assert_ptr_eq(data, report);
    content->second = content->first;
    return RV_OK;
}

static int
repair_badly(RV_UNUSED rv_zone_t *z, RV_UNUSED void *data)
{
    report->repairs++;
    return RV_ERROR;
}

static int
repair_and_die(RV_UNUSED rv_zone_t *z, RV_UNUSED void *data)
{
    report->repairs++;
    content->first = -1;
    return kill(getpid(), SIGKILL);
}

static void
setup(void)
{
    report = fixture_shared(sizeof(*report));
}

static void
open_with(int (*repair)(rv_zone_t *, void *))
{
    static rv_zone_calls_t calls;
    const rv_zone_spec_t spec = { .name = "test",
        .owner = "module",
        .type = "auto",
        .size = SIZE,
        .need = 1000,
        .calls = &calls,
        .data = report };

    calls = (rv_zone_calls_t){ .init = init, .repair = repair };
    zone = zone_opened(&spec, NULL);
    ck_assert_int_eq(report->inits, 1);
}

/* --- other processes ------------------------------------------------------------------------ */

/* Holds the lock, in the middle of a change, and never gives it back. */
static void
hold(void)
{
    if (rv_zone_lock(zone) != RV_OK)
        _exit(EXIT_FAILURE);
    content->first++;
    report->locked = 1;
    for (;;)
        pause();
}

static pid_t
spawn_holder(void)
{
    report->locked = 0;
    pid_t pid = fixture_spawn(hold);

    fixture_wait_for(&report->locked, pid);
    return pid;
}

/* Takes the lock once and tells what that said. */
static void
try(void)
{
    switch (rv_zone_lock(zone)) {
    case RV_OK:
        break;
    case RV_ZONE_REPAIRED:
        report->repaired++;
        break;
    case RV_ZONE_REBUILT:
        report->rebuilt++;
        break;
    default:
        report->failed++;
        return;
    }
    if (content->first != content->second)
        _exit(EXIT_FAILURE);
    rv_zone_unlock(zone);
}

static void
assert_normal(void)
{
    ck_assert_int_eq(rv_zone_lock(zone), RV_OK);
    content->first++;
    content->second++;
    rv_zone_unlock(zone);
    fixture_wait(fixture_spawn(try));
    ck_assert_int_eq(report->failed, 0);
}

/* --- tests ------------------------------------------------------------------------------------ */

static void
count(void)
{
    for (int i = 0; i < 20000; i++) {
        if (rv_zone_lock(zone) != RV_OK || content->first != content->second)
            _exit(EXIT_FAILURE);
        content->first++;
        content->second++;
        rv_zone_unlock(zone);
    }
}

START_TEST(processes_exclude_each_other)
{
    pid_t pids[WAITING];

    open_with(repair_well);
    for (int i = 0; i < WAITING; i++)
        pids[i] = fixture_spawn(count);
    for (int i = 0; i < WAITING; i++)
        fixture_wait(pids[i]);
    ck_assert_int_eq(content->first, 1000 + WAITING * 20000);
    ck_assert_int_eq(report->repairs, 0);
}
END_TEST

START_TEST(content_is_repaired_once_after_a_death)
{
    open_with(repair_well);
    for (int i = 1; i <= 3; i++) {
        fixture_kill(spawn_holder());
        ck_assert_int_ne(content->first, content->second);
        ck_assert_int_eq(rv_zone_lock(zone), RV_ZONE_REPAIRED);
        ck_assert_int_eq(content->first, 1000 + 2 * i - 1); /* what was there has stayed */
        ck_assert_int_eq(content->second, content->first);
        ck_assert_int_eq(report->repairs, i);
        rv_zone_unlock(zone);
        assert_normal();
        ck_assert_int_eq(report->repairs, i);
        ck_assert_uint_eq(zone_recoveries(zone), (unsigned) i);
    }
    ck_assert_int_eq(report->inits, 1);
    ck_assert_uint_eq(zone_generation(zone), 1);
}
END_TEST

START_TEST(one_of_those_who_wait_repairs)
{
    pid_t pids[WAITING];

    open_with(repair_well);
    pid_t holder = spawn_holder();
    for (int i = 0; i < WAITING; i++)
        pids[i] = fixture_spawn(try);
    for (int i = 0; i < WAITING; i++)
        fixture_wait_until_asleep(pids[i]);
    fixture_kill(holder);
    for (int i = 0; i < WAITING; i++)
        fixture_wait(pids[i]);
    ck_assert_int_eq(report->repairs, 1);
    ck_assert_int_eq(report->repaired, 1);
    ck_assert_int_eq(report->failed, 0);
    ck_assert_int_eq(report->rebuilt, 0);
    ck_assert_uint_eq(zone_recoveries(zone), 1);
}
END_TEST

/* Beyond repair: with a repair that fails, and with none at all. */
static int (*const no_repairs[])(rv_zone_t *, void *) = { repair_badly, NULL };

START_TEST(content_beyond_repair_is_made_anew_under_the_lock)
{
    open_with(no_repairs[_i]);
    const content_t *before = content;
    memset(content->more, 'x', 100);

    for (unsigned i = 1; i <= 3; i++) {
        content->more[99] = 'x';
        ck_assert_ptr_nonnull(rv_zone_alloc(zone, 5000)); /* it could not be had twice */
        fixture_kill(spawn_holder());

        ck_assert_int_eq(rv_zone_lock(zone), RV_ZONE_REBUILT);
        ck_assert_uint_eq(zone_generation(zone), 1 + i);
        ck_assert_int_eq(report->inits, 1 + (int) i);
        ck_assert_ptr_eq(content, before);
        ck_assert_int_eq(content->first, 1000);
        ck_assert_int_eq(content->second, 1000);
        ck_assert_int_eq(content->more[99], 0);

        pid_t pid = fixture_spawn(try); /* the lock is held */
        fixture_wait_until_asleep(pid);
        rv_zone_unlock(zone);
        fixture_wait(pid);
        ck_assert_int_eq(report->rebuilt, 0);
        assert_normal();
    }
    ck_assert_int_eq(report->repairs, no_repairs[_i] == NULL ? 0 : 3);
    ck_assert_uint_eq(zone_recoveries(zone), 0);
}
END_TEST

/* Whoever waited may find that it is another content: the generation tells. */
START_TEST(one_of_those_who_wait_rebuilds)
{
    pid_t pids[WAITING];

    open_with(NULL);
    pid_t holder = spawn_holder();
    for (int i = 0; i < WAITING; i++)
        pids[i] = fixture_spawn(try);
    for (int i = 0; i < WAITING; i++)
        fixture_wait_until_asleep(pids[i]);
    fixture_kill(holder);
    for (int i = 0; i < WAITING; i++)
        fixture_wait(pids[i]);
    ck_assert_int_eq(report->rebuilt, 1);
    ck_assert_int_eq(report->inits, 2);
    ck_assert_int_eq(report->failed, 0);
    ck_assert_uint_eq(zone_generation(zone), 2);
}
END_TEST

/* Half repaired is not repaired, and nothing is known of it. */
START_TEST(death_in_a_repair_leads_to_new_content)
{
    int status;

    open_with(repair_and_die);
    fixture_kill(spawn_holder());
    pid_t pid = fixture_spawn(try);
    ck_assert_int_eq(waitpid(pid, &status, 0), pid);
    ck_assert(WIFSIGNALED(status));
    ck_assert_int_eq(content->first, -1);

    ck_assert_int_eq(rv_zone_lock(zone), RV_ZONE_REBUILT);
    ck_assert_int_eq(report->repairs, 1);
    ck_assert_int_eq(content->first, 1000);
    ck_assert_uint_eq(zone_generation(zone), 2);
    rv_zone_unlock(zone);
    assert_normal();
}
END_TEST

START_TEST(content_that_cannot_be_made_anew_locks_everybody_out)
{
    open_with(NULL);
    report->init_result = RV_ERROR;
    fixture_kill(spawn_holder());
    ck_assert_int_eq(rv_zone_lock(zone), RV_ERROR);
    ck_assert_int_eq(report->inits, 2);

    report->init_result = RV_OK; /* too late */
    ck_assert_int_eq(rv_zone_lock(zone), RV_ERROR);
    fixture_wait(fixture_spawn(try));
    ck_assert_int_eq(report->failed, 1);
    ck_assert_int_eq(report->inits, 2);
}
END_TEST

/* A worker has the zone of the master that it was forked from, and closes it for itself. */
static void
close_it(void)
{
    rv_zone_close(zone, 0);
}

START_TEST(zone_that_a_worker_closes_stays_with_the_others)
{
    open_with(repair_well);
    fixture_wait(fixture_spawn(close_it));
    assert_normal();
    rv_zone_close(zone, 1);
}
END_TEST

/* --- looking after the death of a process ------------------------------------------------------- */

START_TEST(looking_after_a_death_repairs_at_once)
{
    open_with(repair_well);
    ck_assert_int_eq(rv_zone_look_after(zone), RV_OK);
    fixture_kill(spawn_holder());
    ck_assert_int_ne(content->first, content->second);

    ck_assert_int_eq(rv_zone_look_after(zone), RV_ZONE_REPAIRED);
    ck_assert_int_eq(content->first, content->second);
    ck_assert_uint_eq(zone_recoveries(zone), 1);
    ck_assert_int_eq(rv_zone_look_after(zone), RV_OK);
    assert_normal();
    ck_assert_int_eq(report->repairs, 1);
}
END_TEST

START_TEST(looking_after_a_death_makes_anew_what_is_beyond_repair)
{
    open_with(repair_badly);
    fixture_kill(spawn_holder());
    ck_assert_int_eq(rv_zone_look_after(zone), RV_ZONE_REBUILT);
    ck_assert_uint_eq(zone_generation(zone), 2);
    ck_assert_int_eq(report->repairs, 1);
    ck_assert_int_eq(content->first, 1000);
    assert_normal();

    report->init_result = RV_ERROR;
    fixture_kill(spawn_holder());
    ck_assert_int_eq(rv_zone_look_after(zone), RV_ERROR);
    ck_assert_int_eq(rv_zone_look_after(zone), RV_ERROR);
}
END_TEST

/* A worker that is stopped, say, while it holds the lock: the master does not wait for it. */
START_TEST(looking_does_not_wait_for_one_that_lives)
{
    open_with(repair_well);
    pid_t pid = spawn_holder();
    ck_assert_int_eq(kill(pid, SIGSTOP), 0);

    for (int i = 0; i < 3; i++)
        ck_assert_int_eq(rv_zone_look_after(zone), RV_OK);
    ck_assert_int_ne(content->first, content->second); /* which is its own affair */
    ck_assert_int_eq(report->repairs, 0);

    pid_t waits = fixture_spawn(try); /* and it has the lock still */
    fixture_wait_until_asleep(waits);
    fixture_kill(pid);
    fixture_wait(waits);
    ck_assert_int_eq(report->repaired, 1);
    ck_assert_int_eq(rv_zone_look_after(zone), RV_OK);
    assert_normal();
}
END_TEST

/* The one that repairs is killed in the middle of it; the master looks. */
START_TEST(death_in_a_repair_is_looked_after)
{
    open_with(repair_and_die);
    fixture_kill(spawn_holder());
    ck_assert_int_eq(fixture_signal_of(fixture_spawn(try)), SIGKILL);
    ck_assert_int_eq(rv_zone_look_after(zone), RV_ZONE_REBUILT);
    ck_assert_int_eq(report->repairs, 1);
    ck_assert_int_eq(content->first, 1000);
    assert_normal();
}
END_TEST

/* A worker repaired, another made it anew: whoever looks is told of it all. */
START_TEST(all_processes_tell_the_same_of_it)
{
    rv_zone_info_t info;

    open_with(repair_well);
    fixture_kill(spawn_holder());
    fixture_wait(fixture_spawn(try));
    rv_zone_info(zone, &info);
    ck_assert_str_eq(info.name, "test");
    ck_assert_str_eq(info.owner, "module");
    ck_assert_str_eq(info.type, rv_zone_type(zone));
    ck_assert_uint_eq(info.size, SIZE);
    ck_assert_uint_gt(info.used, sizeof(content_t) + 100);
    ck_assert_uint_lt(info.used, SIZE);
    ck_assert_uint_eq(info.generation, 1);
    ck_assert_uint_eq(info.recoveries, 1);
}
END_TEST

static Suite *
zone_lock_suite(void)
{
    Suite *suite = suite_create("zone_lock");
    TCase *tcase = tcase_create("zone_lock");

    tcase_add_checked_fixture(tcase, setup, NULL);
    tcase_set_timeout(tcase, 60);
    tcase_add_test(tcase, processes_exclude_each_other);
    tcase_add_test(tcase, content_is_repaired_once_after_a_death);
    tcase_add_test(tcase, one_of_those_who_wait_repairs);
    tcase_add_loop_test(
        tcase, content_beyond_repair_is_made_anew_under_the_lock, 0, (int) rv_countof(no_repairs));
    tcase_add_test(tcase, one_of_those_who_wait_rebuilds);
    tcase_add_test(tcase, death_in_a_repair_leads_to_new_content);
    tcase_add_test(tcase, content_that_cannot_be_made_anew_locks_everybody_out);
    tcase_add_test(tcase, zone_that_a_worker_closes_stays_with_the_others);
    tcase_add_test(tcase, looking_after_a_death_repairs_at_once);
    tcase_add_test(tcase, looking_after_a_death_makes_anew_what_is_beyond_repair);
    tcase_add_test(tcase, looking_does_not_wait_for_one_that_lives);
    tcase_add_test(tcase, death_in_a_repair_is_looked_after);
    tcase_add_test(tcase, all_processes_tell_the_same_of_it);

    suite_add_tcase(suite, tcase);
    return suite;
}

int
main(void)
{
    return fixture_run(zone_lock_suite());
}
