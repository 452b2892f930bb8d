/*
 * rv_zone: zones that have a name in the system.
 *
 * A name that a dead daemon left is taken over, one of a living daemon or of
 * something else is not touched, and in the end none of ours is left.
 */
#include "zone_fixture.h"

#define SIZE 8192
#define TEXT_SIZE 256
#define SEGMENTS "/dev/shm" /* where the names of posix zones can be looked at */

static char want[TEXT_SIZE];
static char instance[32];
static int init_result;

static volatile int *ready; /* a child has its zone */

static void
setup_run(void)
{
    snprintf(instance, sizeof(instance), "unit%ld", (long) getpid());
}

static void
segment_name(char name[TEXT_SIZE], int i)
{
    snprintf(name, TEXT_SIZE, "/reeve.%s.test.%d", instance, i);
}

static void
clear(void)
{
    char name[TEXT_SIZE];

    for (int i = 0; i < 20; i++) {
        segment_name(name, i);
        shm_unlink(name);
    }
}

static void
teardown_run(void)
{
    clear();
}

static void
setup(void)
{
    clear();
    ready = fixture_shared(sizeof(*ready));
}

static int
init(rv_zone_t *zone, RV_UNUSED rv_zone_t *old, RV_UNUSED void *data)
{
    char *text = rv_zone_alloc(zone, 100);

    if (text == NULL || text[0] != '\0')
        return RV_ERROR;

    snprintf(text, 100, "by %ld", (long) getpid());
    rv_zone_set_handle(zone, text, NULL);
    errno = ENODEV;
    return init_result;
}

static const rv_zone_calls_t calls = { .init = init };

static rv_zone_spec_t
new_spec(void)
{
    return (rv_zone_spec_t){ .name = "test",
        .owner = "module",
        .type = "posix",
        .instance = instance,
        .size = SIZE,
        .need = 100,
        .calls = &calls };
}

static const char *
text_of(const rv_zone_t *zone)
{
    return rv_zone_handle(zone);
}

static const char *
by(pid_t pid)
{
    snprintf(want, sizeof(want), "by %ld", (long) pid);
    return want;
}

/* --- another daemon --------------------------------------------------------------------------- */

/* Opens the zone, says so, and is there until it is killed. */
static void
live(const rv_zone_spec_t *spec)
{
    rv_zone_t *zone;

    if (rv_zone_open(spec, NULL, &zone, zone_error()) != RV_OK)
        _exit(EXIT_FAILURE);
    rv_zone_adopt(zone);
    *ready = 1;
    for (;;)
        pause();
}

static pid_t
spawn_daemon(const rv_zone_spec_t *spec)
{
    *ready = 0;
    pid_t pid = fork();

    ck_assert_int_ne(pid, -1);
    if (pid == 0)
        live(spec);
    fixture_wait_for(ready, pid);
    return pid;
}

/* --- names ---------------------------------------------------------------------------------------- */

/* Which of our names there are, as bits. */
static unsigned
names(void)
{
    char name[TEXT_SIZE], file[TEXT_SIZE + sizeof(SEGMENTS)];
    unsigned found = 0;

    for (int i = 0; i < 20; i++) {
        segment_name(name, i);
        snprintf(file, sizeof(file), SEGMENTS "%s", name);
        found |= access(file, F_OK) == 0 ? 1u << i : 0;
    }
    return found;
}

START_TEST(name_goes_with_the_one_who_is_to_remove_it)
{
    const rv_zone_spec_t spec = new_spec();
    int status;

    rv_zone_t *zone = zone_opened(&spec, NULL);
    rv_zone_adopt(zone);
    ck_assert_uint_eq(names(), 1);
    ck_assert_ptr_eq(zone_opened(&spec, zone), zone);
    ck_assert_uint_eq(names(), 1);

    pid_t pid = fork();
    if (pid == 0) { /* a worker */
        rv_zone_close(zone, 0);
        rv_zone_close(zone, 0);
        _exit(0);
    }
    ck_assert_int_eq(waitpid(pid, &status, 0), pid);
    ck_assert_uint_eq(names(), 1);
    rv_zone_close(zone, 1);
    ck_assert_uint_eq(names(), 1);
    rv_zone_close(zone, 1);
    ck_assert_uint_eq(names(), 0);
}
END_TEST

START_TEST(name_of_a_dead_daemon_is_taken_over)
{
    const rv_zone_spec_t spec = new_spec();

    fixture_kill(spawn_daemon(&spec));
    ck_assert_uint_eq(names(), 1);
    rv_zone_t *zone = zone_opened(&spec, NULL);
    ck_assert_uint_eq(names(), 1);
    ck_assert_str_eq(text_of(zone), by(getpid()));
    rv_zone_close(zone, 1);
    ck_assert_uint_eq(names(), 0);
}
END_TEST

START_TEST(name_of_a_living_daemon_is_not)
{
    const rv_zone_spec_t spec = new_spec();
    char name[TEXT_SIZE], text[SIZE];

    pid_t pid = spawn_daemon(&spec);
    rv_zone_t *zone = zone_opened(&spec, NULL);
    ck_assert_uint_eq(names(), 3);
    ck_assert_str_eq(text_of(zone), by(getpid()));

    segment_name(name, 0);
    int fd = shm_open(name, O_RDONLY, 0);
    ck_assert_int_eq(read(fd, text, sizeof(text)), SIZE);
    close(fd);
    by(pid);
    ck_assert_ptr_nonnull(memmem(text, sizeof(text), want, strlen(want)));

    rv_zone_close(zone, 1);
    ck_assert_uint_eq(names(), 1);
    fixture_kill(pid);
    rv_zone_close(zone_opened(&spec, NULL), 1);
    ck_assert_uint_eq(names(), 0);
}
END_TEST

/* Who opened it, and has gone to the background since, is not asked. */
START_TEST(name_belongs_to_the_process_that_adopted_it)
{
    const rv_zone_spec_t spec = new_spec();
    rv_zone_t *zone = zone_opened(&spec, NULL);
    int status;

    pid_t pid = fork();
    ck_assert_int_ne(pid, -1);
    if (pid == 0) {
        rv_zone_adopt(zone);
        _exit(0);
    }
    ck_assert_int_eq(waitpid(pid, &status, 0), pid);
    rv_zone_t *other = zone_opened(&spec, NULL);
    ck_assert_uint_eq(names(), 1);
    rv_zone_close(other, 1);
    rv_zone_close(zone, 0);
}
END_TEST

/* The old one goes on being used; both go in the end. */
START_TEST(changed_zone_gets_another_name)
{
    rv_zone_spec_t spec = new_spec();
    rv_zone_t *old = zone_opened(&spec, NULL);

    spec.size *= 2;
    rv_zone_t *zone = zone_opened(&spec, old);
    ck_assert_uint_eq(names(), 3);
    rv_zone_close(old, 1);
    ck_assert_uint_eq(names(), 2);
    rv_zone_close(zone, 1);
    ck_assert_uint_eq(names(), 0);
}
END_TEST

START_TEST(name_of_something_else_is_left_alone)
{
    const rv_zone_spec_t spec = new_spec();
    char name[TEXT_SIZE];
    rv_zone_t *zone = NULL;

    for (int i = 0; i < 20; i++) {
        segment_name(name, i);
        int fd = shm_open(name, O_RDWR | O_CREAT | O_EXCL, 0600);
        ck_assert_int_eq(ftruncate(fd, i % 2 == 0 ? SIZE : 10), 0);
        close(fd);
        if (i == 0) {
            rv_zone_close(zone_opened(&spec, NULL), 1);
            ck_assert_uint_eq(names(), 1);
        }
    }
    ck_assert_int_eq(rv_zone_open(&spec, NULL, &zone, zone_error()), RV_ERROR);
    snprintf(want, sizeof(want), "zone \"test\": mapping %d bytes of posix failed (%d: %s)", SIZE,
        EEXIST, strerror(EEXIST));
    ck_assert_str_eq(zone_error(), want);
    ck_assert_uint_eq(names(), (1u << 20) - 1);
}
END_TEST

START_TEST(zone_that_cannot_be_filled_leaves_no_name)
{
    const rv_zone_spec_t spec = new_spec();
    rv_zone_t *zone = NULL;

    init_result = RV_ERROR;
    ck_assert_int_eq(rv_zone_open(&spec, NULL, &zone, zone_error()), RV_ERROR);
    ck_assert_uint_eq(names(), 0);
}
END_TEST

static Suite *
zone_name_suite(void)
{
    Suite *suite = suite_create("zone_name");
    TCase *tcase = tcase_create("zone_name");

    tcase_add_unchecked_fixture(tcase, setup_run, teardown_run);
    tcase_add_checked_fixture(tcase, setup, clear);
    tcase_set_timeout(tcase, 60);
    tcase_add_test(tcase, name_goes_with_the_one_who_is_to_remove_it);
    tcase_add_test(tcase, name_of_a_dead_daemon_is_taken_over);
    tcase_add_test(tcase, name_of_a_living_daemon_is_not);
    tcase_add_test(tcase, name_belongs_to_the_process_that_adopted_it);
    tcase_add_test(tcase, changed_zone_gets_another_name);
    tcase_add_test(tcase, name_of_something_else_is_left_alone);
    tcase_add_test(tcase, zone_that_cannot_be_filled_leaves_no_name);

    suite_add_tcase(suite, tcase);
    return suite;
}

int
main(void)
{
    return fixture_run(zone_name_suite());
}
