/*
 * rv_zone: somebody cuts a zone's file off, while it is in use or between two
 * daemons.
 *
 * The content is a number at the beginning of the zone and one near its end,
 * which are the same. A daemon keeps a third one in its own memory, by which it
 * puts them back. It is the same with a segment of posix, which others can cut
 * off as well.
 */
#include "zone_fixture.h"

#include <sys/resource.h>

#define SIZE 32768
#define AT_END 28000 /* of the content: in its last page */

static int inits, restores, init_result;
static int in_use;   /* others have the zone; */
static int early;    /* calls for content in it while they take it for whole */
static long known;   /* of the number, outside the zone */
static long *number; /* in the zone */
static const char *path;
static char want[RV_ZONE_ERROR];
static volatile int *said;

static long *
last_number(void)
{
    return (long *) (void *) ((char *) number + AT_END);
}

static int
init(rv_zone_t *zone, RV_UNUSED rv_zone_t *old, RV_UNUSED void *data)
{
    early += in_use && rv_zone_is_whole(zone);
    inits++;
    number = rv_zone_alloc(zone, AT_END + 100);
    if (number == NULL || *number != 0 || *last_number() != 0 || init_result != RV_OK)
        return RV_ERROR;

    *number = *last_number() = 1000;
    return RV_OK;
}

static int
attach(rv_zone_t *zone, RV_UNUSED void *data)
{
    size_t room;

    number = rv_zone_content(zone, &room);
    return RV_OK;
}

static int
repair(RV_UNUSED rv_zone_t *zone, RV_UNUSED void *data)
{
    *last_number() = *number;
    return RV_OK;
}

static int
restore(rv_zone_t *zone, RV_UNUSED void *data)
{
    early += rv_zone_is_whole(zone);
    restores++;
    *number = *last_number() = known;
    return RV_OK;
}

static int
restore_badly(RV_UNUSED rv_zone_t *zone, RV_UNUSED void *data)
{
    restores++;
    return RV_ERROR;
}

static rv_zone_calls_t calls;

static void
clear(void)
{
    char segment[FIXTURE_TEXT];

    snprintf(segment, sizeof(segment), "reeve.%s.test.0", fixture_place()->name);
    fixture_remove_segment(segment);
    fixture_clear();
}

static void
teardown_run(void)
{
    clear();
    fixture_teardown_run();
}

static void
setup(void)
{
    clear();
    path = fixture_place()->path;
    said = fixture_shared(sizeof(*said));
    calls =
        (rv_zone_calls_t){ .init = init, .attach = attach, .repair = repair, .restore = restore };
}

static rv_zone_t *
opened(const char *type)
{
    const rv_zone_spec_t spec = { .name = "test",
        .owner = "module",
        .type = type,
        .path = strcmp(type, "file") == 0 ? path : NULL,
        .instance = fixture_place()->name,
        .size = SIZE,
        .need = AT_END + 100,
        .calls = &calls };

    in_use = 0;
    rv_zone_t *zone = zone_opened_saying(&spec, NULL, NULL);
    ck_assert_int_eq(rv_zone_adopt(zone), RV_OK);
    in_use = 1;
    return zone;
}

/* --- in use -------------------------------------------------------------------------------- */

/* What can be cut off, and where: in the header, in the content, at the end. */
static const char *const types[] = { "file", "posix" };
static const long cuts[] = { 0, 1, 100, 4096, SIZE / 2, SIZE / 2 + 1, SIZE - 4096, SIZE - 1 };

enum { CUTS = rv_countof(cuts), CASES = rv_countof(types) * CUTS };

/* NULL: this one is not in this build. */
static rv_zone_t *
opened_and_cut_off(int i)
{
    const char *type = types[i / CUTS];

    if (rv_shm_type(type) == NULL)
        return NULL;

    rv_zone_t *zone = opened(type);
    ck_assert_int_eq(rv_zone_mend(zone), RV_OK);
    *number = *last_number() = known = 50;
    ck_assert_int_eq(ftruncate(rv_zone_fd(zone), cuts[i % CUTS]), 0);
    return zone;
}

/* As good as new: the lock, the file, what there is to tell. */
static void
assert_normal(rv_zone_t *zone, long value)
{
    struct stat st;
    rv_zone_info_t info;

    ck_assert_int_eq(early, 0);
    ck_assert(rv_zone_is_whole(zone));
    ck_assert_int_eq(*number, value);
    ck_assert_int_eq(*last_number(), value);
    ck_assert_int_eq(rv_zone_mend(zone), RV_OK);
    ck_assert_int_eq(rv_zone_look_after(zone), RV_OK);
    ck_assert_int_eq(rv_zone_lock(zone), RV_OK);
    rv_zone_unlock(zone);
    ck_assert_int_eq(fstat(rv_zone_fd(zone), &st), 0);
    ck_assert_int_eq(st.st_size, SIZE);
    rv_zone_info(zone, &info);
    ck_assert_str_eq(info.name, "test");
    ck_assert_str_eq(info.owner, "module");
    ck_assert_uint_eq(info.size, SIZE);
    ck_assert_uint_gt(info.used, AT_END);
}

START_TEST(owner_puts_back_what_it_knows)
{
    rv_zone_t *zone = opened_and_cut_off(_i);

    if (zone == NULL)
        return;
    ck_assert_int_eq(rv_zone_mend(zone), RV_ZONE_REPAIRED);
    ck_assert_int_eq(restores, 1);
    ck_assert_int_eq(inits, 1);
    assert_normal(zone, 50);
    ck_assert_int_eq(restores, 1);
    ck_assert_uint_eq(zone_generation(zone), 1);
    ck_assert_uint_eq(zone_recoveries(zone), 1);
    rv_zone_close(zone, 1);
}
END_TEST

START_TEST(content_that_nobody_knows_is_made_anew)
{
    calls.restore = _i % 2 == 0 ? restore_badly : NULL;
    rv_zone_t *zone = opened_and_cut_off(_i);

    if (zone == NULL)
        return;
    ck_assert_int_eq(rv_zone_mend(zone), RV_ZONE_REBUILT);
    ck_assert_int_eq(inits, 2);
    assert_normal(zone, 1000);
    ck_assert_uint_eq(zone_generation(zone), 2);
    ck_assert_uint_eq(zone_recoveries(zone), 0);
    rv_zone_close(zone, 1);
}
END_TEST

START_TEST(next_daemon_goes_on_with_a_mended_file)
{
    rv_zone_t *zone = opened_and_cut_off(2);

    ck_assert_int_eq(rv_zone_mend(zone), RV_ZONE_REPAIRED);
    rv_zone_close(zone, 1);
    zone = opened("file");
    ck_assert_int_eq(inits, 1);
    assert_normal(zone, 50);
    ck_assert_uint_eq(zone_recoveries(zone), 1);
    rv_zone_close(zone, 1);
}
END_TEST

START_TEST(content_that_cannot_be_made_anew_is_an_error)
{
    calls.restore = NULL;
    rv_zone_t *zone = opened_and_cut_off(0);

    init_result = RV_ERROR;
    ck_assert_int_eq(rv_zone_mend(zone), RV_ERROR);
    ck_assert_int_eq(inits, 2);
    rv_zone_close(zone, 1);
}
END_TEST

/* A worker had repaired the zone, and had made it anew, which this process does not know. */
static rv_zone_t *the_zone;

static void
die_with_the_lock(void)
{
    if (rv_zone_lock(the_zone) >= 0)
        kill(getpid(), SIGKILL);
}

static void
take_the_lock(void)
{
    if (rv_zone_lock(the_zone) < 0)
        _exit(1);
    rv_zone_unlock(the_zone);
}

START_TEST(what_others_did_to_the_zone_is_not_forgotten)
{
    the_zone = opened("file");
    for (int i = 0; i < 2; i++) {
        ck_assert_int_eq(fixture_signal_of(fixture_spawn(die_with_the_lock)), SIGKILL);
        fixture_wait(fixture_spawn(take_the_lock));
        calls.repair = NULL;
    }
    ck_assert_uint_eq(zone_generation(the_zone), 2);
    ck_assert_uint_eq(zone_recoveries(the_zone), 1);

    known = 50;
    ck_assert_int_eq(truncate(path, SIZE / 2), 0);
    ck_assert_int_eq(rv_zone_mend(the_zone), RV_ZONE_REPAIRED);
    assert_normal(the_zone, 50);
    ck_assert_uint_eq(zone_generation(the_zone), 2);
    ck_assert_uint_eq(zone_recoveries(the_zone), 2);
    rv_zone_close(the_zone, 1);
}
END_TEST

/* A worker writes all the time, and sees what the master put back. */
static void
write_all_the_time(void)
{
    volatile long *mine = number + 10;

    mine[0] = 1;
    *said = 1;
    for (long i = 1; *said < 2; i++)
        mine[i % 3000] = i;
    if (*number != 77 || *last_number() != 77)
        _exit(EXIT_FAILURE);
}

START_TEST(worker_that_writes_meanwhile_survives_and_goes_on)
{
    rv_zone_t *zone = opened("file");
    pid_t pid = fixture_spawn(write_all_the_time);

    fixture_wait_for(said, pid);
    known = 77;
    for (int i = 0; i < 300; i++) {
        ck_assert_int_eq(truncate(path, i % 9 * 4096 - (i % 9 == 8 ? 1 : 0)), 0);
        ck_assert_int_eq(rv_zone_mend(zone), RV_ZONE_REPAIRED);
    }
    *said = 2;
    fixture_wait(pid);
    assert_normal(zone, 77);
    rv_zone_close(zone, 1);
}
END_TEST

START_TEST(file_that_was_lengthened_is_whole)
{
    rv_zone_t *zone = opened("file");

    ck_assert_int_eq(truncate(path, 2L * SIZE), 0);
    ck_assert_int_eq(rv_zone_mend(zone), RV_OK);
    ck_assert_int_eq(*last_number(), 1000);
    ck_assert_int_eq(restores, 0);
    rv_zone_close(zone, 1);
}
END_TEST

START_TEST(memory_that_nobody_can_cut_off_needs_no_mending)
{
    static const char *const others[] = { "memfd", "anon", "devzero", "sysv" };

    for (size_t i = 0; i < rv_countof(others); i++) {
        if (rv_shm_type(others[i]) == NULL)
            continue;
        rv_zone_t *zone = opened(others[i]);
        ck_assert_int_eq(rv_zone_mend(zone), RV_DONE);
        rv_zone_close(zone, 1);
    }
    ck_assert_int_eq(restores, 0);
}
END_TEST

/* As on a full disk. */
static void
mend_where_no_room_is(void)
{
    struct rlimit limit, small;

    signal(SIGXFSZ, SIG_IGN);
    getrlimit(RLIMIT_FSIZE, &limit);
    small = limit;
    small.rlim_cur = 4096;
    setrlimit(RLIMIT_FSIZE, &small);
    if (rv_zone_mend(the_zone) != RV_ERROR || errno != EFBIG)
        _exit(1);
    *last_number() = 3; /* it lives on */
    setrlimit(RLIMIT_FSIZE, &limit);
    if (rv_zone_mend(the_zone) != RV_ZONE_REPAIRED)
        _exit(2);
}

START_TEST(file_is_mended_once_there_is_room)
{
    the_zone = opened_and_cut_off(0);
    fixture_wait(fixture_spawn(mend_where_no_room_is));
    assert_normal(the_zone, 50);
    rv_zone_close(the_zone, 1);
}
END_TEST

/* --- between two daemons -------------------------------------------------------------------- */

static const long left[] = { 100, 700, 4096, SIZE / 2, SIZE / 2 + 1, SIZE - 4096, SIZE - 9,
    SIZE - 8, SIZE - 1 };

/* And, at last, cut off and lengthened again by whoever did it. */
START_TEST(file_that_was_cut_off_is_made_anew_with_a_warning)
{
    size_t i = (size_t) _i;

    rv_zone_close(opened("file"), 1);
    ck_assert_int_eq(truncate(path, i < rv_countof(left) ? left[i] : SIZE / 2), 0);
    if (i == rv_countof(left))
        ck_assert_int_eq(truncate(path, SIZE), 0);

    rv_zone_t *zone = opened("file");
    snprintf(want, sizeof(want), "zone \"test\": \"%s\" was cut off and is made anew", path);
    ck_assert_str_eq(zone_error(), want);
    ck_assert_int_eq(inits, 2);
    assert_normal(zone, 1000);
    rv_zone_close(zone, 1);

    zone = opened("file");
    ck_assert_str_eq(zone_error(), "");
    ck_assert_int_eq(inits, 2);
    rv_zone_close(zone, 1);
}
END_TEST

/* What was given out cannot be less than nothing, nor more than all. */
START_TEST(file_with_a_damaged_header_is_made_anew_with_a_warning)
{
    static const uint64_t used[] = { 0, SIZE, UINT64_MAX - 100 };
    enum { AT_USED = 24 };

    rv_zone_close(opened("file"), 1);
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    ck_assert_int_eq(pwrite(fd, &used[_i], sizeof(used[_i]), AT_USED), sizeof(used[_i]));
    close(fd);

    rv_zone_t *zone = opened("file");
    snprintf(want, sizeof(want), "zone \"test\": \"%s\" is unfinished and is made anew", path);
    ck_assert_str_eq(zone_error(), want);
    assert_normal(zone, 1000);
    rv_zone_close(zone, 1);
}
END_TEST

static Suite *
zone_mend_suite(void)
{
    Suite *suite = suite_create("zone_mend");
    TCase *tcase = tcase_create("zone_mend");

    tcase_add_unchecked_fixture(tcase, fixture_setup_run, teardown_run);
    tcase_add_checked_fixture(tcase, setup, clear);
    tcase_set_timeout(tcase, 60);
    tcase_add_loop_test(tcase, owner_puts_back_what_it_knows, 0, CASES);
    tcase_add_loop_test(tcase, content_that_nobody_knows_is_made_anew, 0, CASES);
    tcase_add_test(tcase, next_daemon_goes_on_with_a_mended_file);
    tcase_add_test(tcase, content_that_cannot_be_made_anew_is_an_error);
    tcase_add_test(tcase, what_others_did_to_the_zone_is_not_forgotten);
    tcase_add_test(tcase, worker_that_writes_meanwhile_survives_and_goes_on);
    tcase_add_test(tcase, file_that_was_lengthened_is_whole);
    tcase_add_test(tcase, memory_that_nobody_can_cut_off_needs_no_mending);
    tcase_add_test(tcase, file_is_mended_once_there_is_room);
    tcase_add_loop_test(
        tcase, file_that_was_cut_off_is_made_anew_with_a_warning, 0, (int) rv_countof(left) + 1);
    tcase_add_loop_test(tcase, file_with_a_damaged_header_is_made_anew_with_a_warning, 0, 3);

    suite_add_tcase(suite, tcase);
    return suite;
}

int
main(void)
{
    return fixture_run(zone_mend_suite());
}
