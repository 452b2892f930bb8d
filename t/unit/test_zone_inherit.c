/*
 * rv_zone: the zone behind a descriptor, and zones that are only looked at.
 *
 * What happens over a real exec is in test_zone_exec.c.
 */
#include "zone_fixture.h"

#define SIZE 16384

#define AT_VERSION 8 /* in every zone, since the first version */

static int inits, attaches, attach_result;
static long carried_over;
static size_t room_seen;
static rv_zone_spec_t spec;

static long *
number_of(const rv_zone_t *zone)
{
    size_t room;

    return rv_zone_content(zone, &room);
}

static int
init(rv_zone_t *zone, rv_zone_t *old, RV_UNUSED void *data)
{
    inits++;
    long *number = rv_zone_alloc(zone, sizeof(*number));
    carried_over = old == NULL ? 0 : *number_of(old);
    *number = carried_over + 1;
    return RV_OK;
}

static int
attach(rv_zone_t *zone, RV_UNUSED void *data)
{
    attaches++;
    ck_assert_ptr_nonnull(rv_zone_content(zone, &room_seen));
    return attach_result;
}

static const rv_zone_calls_t calls = { .init = init, .attach = attach };

static const char *const types[] = { "memfd", "posix", "file" };

static void
clear(void)
{
    char segment[FIXTURE_TEXT];

    for (int i = 0; i < 3; i++) {
        snprintf(segment, sizeof(segment), "reeve.%s.test.%d", fixture_place()->name, i);
        fixture_remove_segment(segment);
    }
    fixture_clear();
}

static void
teardown_run(void)
{
    clear();
    fixture_teardown_run();
}

/* A zone in use; NULL: its type is not in this build. */
static rv_zone_t *
opened(int i)
{
    const rv_shm_type_t *type = rv_shm_type(types[i]);

    if (type == NULL)
        return NULL;

    spec = (rv_zone_spec_t){ .name = "test",
        .owner = "module",
        .type = type->name,
        .path = fixture_path_for(type),
        .instance = fixture_place()->name,
        .size = SIZE,
        .need = sizeof(long),
        .calls = &calls };
    rv_zone_t *zone = zone_opened(&spec, NULL);
    ck_assert_int_eq(rv_zone_adopt(zone), RV_OK);
    *number_of(zone) = 41;
    return zone;
}

/* As one that came over an exec: not close-on-exec. */
static int
copy_of(const rv_zone_t *zone)
{
    int fd = dup(rv_zone_fd(zone));

    ck_assert_int_ge(fd, 0);
    return fd;
}

static rv_zone_t *
inherited(int fd)
{
    rv_zone_t *zone = NULL;

    ck_assert_msg(rv_zone_inherit(&spec, fd, &zone, zone_error()) == RV_OK, "%s", zone_error());
    ck_assert_str_eq(zone_error(), "");
    ck_assert_int_eq(fcntl(fd, F_GETFD), FD_CLOEXEC);
    return zone;
}

static void
assert_not_inherited(int fd, const char *what)
{
    char want[RV_ZONE_ERROR];
    rv_zone_t *zone = NULL;

    snprintf(want, sizeof(want), "zone \"%s\": %s", spec.name, what);
    ck_assert_int_eq(rv_zone_inherit(&spec, fd, &zone, zone_error()), RV_ERROR);
    ck_assert_str_eq(zone_error(), want);
    ck_assert_ptr_null(zone);
    ck_assert_int_eq(fcntl(fd, F_GETFD), -1); /* it was taken over */
}

/* --- inheriting --------------------------------------------------------------------------- */

START_TEST(inherited_zone_is_the_same_memory)
{
    rv_zone_t *zone = opened(_i);

    if (zone == NULL)
        return;
    rv_zone_t *other = inherited(copy_of(zone));
    ck_assert_ptr_ne(other, zone);
    ck_assert_ptr_ne(number_of(other), number_of(zone));
    ck_assert_int_eq(attaches, 1);
    ck_assert_uint_gt(room_seen, SIZE / 2);
    ck_assert_int_eq(rv_zone_is_alone(other), 0);
    ck_assert_str_eq(rv_zone_type(other), types[_i]);
    ck_assert_int_eq(*number_of(other), 41);
    *number_of(zone) = 50;
    ck_assert_int_eq(*number_of(other), 50);

    ck_assert_ptr_eq(zone_opened(&spec, other), other); /* it serves */
    ck_assert_int_eq(inits, 1);
    rv_zone_close(other, 1);
    rv_zone_close(other, 1);
    *number_of(zone) = 60;
    rv_zone_close(zone, 1);
}
END_TEST

START_TEST(size_of_zero_is_the_size_that_it_has)
{
    rv_zone_info_t info;
    rv_zone_t *zone = opened(_i);

    if (zone == NULL)
        return;
    spec.size = 0;
    rv_zone_t *other = inherited(copy_of(zone));
    rv_zone_info(other, &info);
    ck_assert_uint_eq(info.size, SIZE);

    spec.size = SIZE;
    ck_assert_ptr_eq(zone_opened(&spec, other), other);
    rv_zone_close(other, 0);
    rv_zone_close(other, 0);
    rv_zone_close(zone, 1);
}
END_TEST

/* Another size is asked for, or the owner says that it does not fit. */
START_TEST(inherited_zone_that_does_not_serve_is_carried_over)
{
    rv_zone_t *zone = opened(_i % 3);

    if (zone == NULL)
        return;
    attach_result = _i < 3 ? RV_OK : RV_DONE;
    if (_i < 3)
        spec.size = 0;
    rv_zone_t *other = inherited(copy_of(zone));
    if (_i < 3)
        spec.size = 2L * SIZE;
    rv_zone_t *next = zone_opened(&spec, other);
    ck_assert_ptr_ne(next, other);
    ck_assert_int_eq(inits, 2);
    ck_assert_int_eq(carried_over, 41);
    ck_assert_int_eq(*number_of(next), 42);
    rv_zone_close(other, 0);
    rv_zone_close(next, 1);
    ck_assert_int_eq(*number_of(zone), 41);
    rv_zone_close(zone, 1);
}
END_TEST

START_TEST(what_is_no_zone_of_ours_is_not_inherited)
{
    char text[FIXTURE_TEXT], what[FIXTURE_TEXT];
    const char *other = fixture_place()->other;
    rv_zone_t *zone = opened(_i);

    if (zone == NULL)
        return;
    snprintf(what, sizeof(what), "%s", spec.path == NULL ? types[_i] : spec.path);

    fixture_make_file(other, SIZE, 'p');
    snprintf(text, sizeof(text), "\"%.200s\" is not a zone", what);
    assert_not_inherited(open(other, O_RDWR), text);
    fixture_make_file(other, 10, 'p');
    assert_not_inherited(open(other, O_RDWR), text);
    fixture_make_file(other, 0, 'p');
    snprintf(text, sizeof(text), "mapping what was inherited failed (%d: %s)", ENODATA,
        strerror(ENODATA));
    assert_not_inherited(open(other, O_RDWR), text);
    snprintf(
        text, sizeof(text), "mapping what was inherited failed (%d: %s)", EINVAL, strerror(EINVAL));
    assert_not_inherited(open("/dev/null", O_RDWR), text);

    spec.name = "test2";
    snprintf(text, sizeof(text), "\"%.200s\" is a zone of another name", what);
    assert_not_inherited(copy_of(zone), text);
    spec.name = "test";
    spec.owner = "other";
    snprintf(text, sizeof(text), "\"%.200s\" is a zone of another owner", what);
    assert_not_inherited(copy_of(zone), text);
    spec.owner = "module";
    attach_result = RV_ERROR;
    assert_not_inherited(copy_of(zone), "its content is not understood");
    attach_result = RV_OK;
    if (_i > 0) { /* somebody made it longer, or cut it off */
        ck_assert_int_eq(ftruncate(rv_zone_fd(zone), 2L * SIZE), 0);
        assert_not_inherited(copy_of(zone), "its size is not what its header says");
        ck_assert_int_eq(ftruncate(rv_zone_fd(zone), SIZE / 2), 0);
        assert_not_inherited(copy_of(zone), "its size is not what its header says");
    }
    spec.type = "nonsense";
    assert_not_inherited(copy_of(zone), "type \"nonsense\" is not in this build");

    rv_zone_close(zone, 1);
}
END_TEST

/* --- looking --------------------------------------------------------------------------------- */

START_TEST(zone_is_looked_at_by_whoever_can_map_it)
{
    rv_zone_info_t info;
    void *content = NULL;
    size_t size = 0, room = 0, own_room;
    rv_zone_t *zone = opened(_i);

    if (zone == NULL)
        return;
    void *memory = rv_shm_look(rv_zone_fd(zone), &size);
    ck_assert_ptr_nonnull(memory);
    ck_assert_int_eq(rv_zone_look(memory, size, &info, &content, &room), RV_OK);
    ck_assert_str_eq(info.name, "test");
    ck_assert_str_eq(info.owner, "module");
    ck_assert_ptr_null(info.type);
    ck_assert_uint_eq(info.size, SIZE);
    ck_assert_uint_eq(info.generation, 1);
    ck_assert_uint_eq(info.recoveries, 0);
    ck_assert_int_eq(*(long *) content, 41);
    ck_assert_ptr_nonnull(rv_zone_content(zone, &own_room));
    ck_assert_uint_eq(room, own_room);
    ck_assert_uint_le((size_t) ((char *) content - (char *) memory) + room, size);
    rv_shm_look_away(memory, size);
    rv_zone_close(zone, 1);
}
END_TEST

START_TEST(what_is_no_zone_of_this_version_is_not_looked_at)
{
    static _Alignas(8) char copy[SIZE];
    rv_zone_info_t info;
    void *content;
    size_t room;
    rv_zone_t *zone = opened(2);

    ck_assert_int_eq(pread(rv_zone_fd(zone), copy, SIZE, 0), SIZE);
    ck_assert_int_eq(rv_zone_look(copy, SIZE, &info, &content, &room), RV_OK);
    ck_assert_int_eq(rv_zone_look(copy, 8, &info, &content, &room), RV_ERROR);
    ck_assert_int_eq(rv_zone_look(copy, 0, &info, &content, &room), RV_ERROR);
    copy[AT_VERSION]++;
    ck_assert_int_eq(rv_zone_look(copy, SIZE, &info, &content, &room), RV_ERROR);
    copy[AT_VERSION]--;
    copy[0]++;
    ck_assert_int_eq(rv_zone_look(copy, SIZE, &info, &content, &room), RV_ERROR);
    memset(copy, 0, SIZE);
    ck_assert_int_eq(rv_zone_look(copy, SIZE, &info, &content, &room), RV_ERROR);
    rv_zone_close(zone, 1);
}
END_TEST

/* A name that has been written over has no end; nobody reads on behind it. */
START_TEST(names_end_where_their_room_does)
{
    static _Alignas(8) char copy[SIZE];
    rv_zone_info_t info;
    void *content;
    size_t room;
    rv_zone_t *zone = opened(2);

    ck_assert_int_eq(pread(rv_zone_fd(zone), copy, SIZE, 0), SIZE);
    memset(memmem(copy, SIZE, "test", 5), 'n', 2UL * RV_ZONE_NAME);
    ck_assert_int_eq(rv_zone_look(copy, SIZE, &info, &content, &room), RV_OK);
    ck_assert_uint_eq(strlen(info.name), RV_ZONE_NAME - 1);
    ck_assert_uint_eq(strlen(info.owner), RV_ZONE_NAME - 1);
    rv_zone_close(zone, 1);
}
END_TEST

static Suite *
zone_inherit_suite(void)
{
    Suite *suite = suite_create("zone_inherit");
    TCase *tcase = tcase_create("zone_inherit");
    int n = (int) rv_countof(types);

    tcase_add_unchecked_fixture(tcase, fixture_setup_run, teardown_run);
    tcase_add_checked_fixture(tcase, clear, clear);
    tcase_set_timeout(tcase, 60);
    tcase_add_loop_test(tcase, inherited_zone_is_the_same_memory, 0, n);
    tcase_add_loop_test(tcase, size_of_zero_is_the_size_that_it_has, 0, n);
    tcase_add_loop_test(tcase, inherited_zone_that_does_not_serve_is_carried_over, 0, 2 * n);
    tcase_add_loop_test(tcase, what_is_no_zone_of_ours_is_not_inherited, 0, n);
    tcase_add_loop_test(tcase, zone_is_looked_at_by_whoever_can_map_it, 0, n);
    tcase_add_test(tcase, what_is_no_zone_of_this_version_is_not_looked_at);
    tcase_add_test(tcase, names_end_where_their_room_does);

    suite_add_tcase(suite, tcase);
    return suite;
}

int
main(void)
{
    return fixture_run(zone_inherit_suite());
}
