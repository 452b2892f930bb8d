/*
 * rv_zone: zones that are files.
 *
 * A file that is not this zone, or belongs to a living daemon, is not touched;
 * what a dead one left is taken over; a start that fails leaves none.
 */
#include "rv_zone.h"

#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define SIZE 8192
#define TEXT_SIZE 256

/* The beginning of every zone, as it has been since the first version. */
#define AT_MAGIC 0
#define AT_VERSION 8
#define AT_SIZE 16

static char directory[] = "/tmp/rv_test_zone_XXXXXX";
static char path[64], want[TEXT_SIZE], error[RV_ZONE_ERROR];
static int init_result;

static volatile int *ready; /* a child has its zone */

static void
setup_run(void)
{
    ck_assert_ptr_nonnull(mkdtemp(directory));
    snprintf(path, sizeof(path), "%s/zone", directory);
}

static void
clear(void)
{
    unlink(path);
}

static void
teardown_run(void)
{
    clear();
    rmdir(directory);
}

static void
setup(void)
{
    clear();
    ready = mmap(NULL, sizeof(*ready), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    ck_assert_ptr_ne((void *) ready, MAP_FAILED);
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

static rv_zone_spec_t
new_spec(void)
{
    return (rv_zone_spec_t){ .name = "test",
        .owner = "module",
        .type = "file",
        .path = path,
        .size = SIZE,
        .need = 100,
        .init = init };
}

static rv_zone_t *
opened(const rv_zone_spec_t *spec, rv_zone_t *old)
{
    rv_zone_t *zone = NULL;

    ck_assert_msg(rv_zone_open(spec, old, &zone, error) == RV_OK, "%s", error);
    return zone;
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

static void
assert_refused(const rv_zone_spec_t *spec, const char *what)
{
    rv_zone_t *zone = NULL;

    ck_assert_int_eq(rv_zone_open(spec, NULL, &zone, error), RV_ERROR);
    snprintf(want, sizeof(want), "zone \"%s\": \"%s\" %s", spec->name, path, what);
    ck_assert_str_eq(error, want);
    ck_assert_ptr_null(zone);
}

/* --- another daemon --------------------------------------------------------------------------- */

/* Opens the zone, says so, and is there until it is killed. */
static void
live(const rv_zone_spec_t *spec)
{
    rv_zone_t *zone;

    if (rv_zone_open(spec, NULL, &zone, error) != RV_OK)
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
    while (!*ready) {
        ck_assert_int_eq(waitpid(pid, NULL, WNOHANG), 0);
        sched_yield();
    }
    return pid;
}

static void
kill_it(pid_t pid)
{
    int status;

    ck_assert_int_eq(kill(pid, SIGKILL), 0);
    ck_assert_int_eq(waitpid(pid, &status, 0), pid);
    ck_assert(WIFSIGNALED(status));
}

/* --- its content -------------------------------------------------------------------------------------- */

static int
holds(const char *text)
{
    static char data[SIZE];
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t n = fd == -1 ? 0 : read(fd, data, sizeof(data));

    if (fd != -1)
        close(fd);
    return n > 0 && memmem(data, (size_t) n, text, strlen(text)) != NULL;
}

static void
patch(off_t at, int byte)
{
    char value = (char) byte;
    int fd = open(path, O_WRONLY | O_CLOEXEC);

    ck_assert_int_eq(pwrite(fd, &value, 1, at), 1);
    close(fd);
}

/* A file that a daemon left. */
static void
leave_file(void)
{
    const rv_zone_spec_t spec = new_spec();
    rv_zone_t *zone = opened(&spec, NULL);

    rv_zone_adopt(zone);
    rv_zone_close(zone, 1);
    ck_assert_int_eq(access(path, F_OK), 0);
}

START_TEST(file_of_something_else_is_refused_and_left_alone)
{
    rv_zone_spec_t spec = new_spec();
    FILE *file = fopen(path, "we");

    fprintf(file, "precious%*s", SIZE - 8, "");
    ck_assert_int_eq(fclose(file), 0);
    assert_refused(&spec, "is not a zone");
    ck_assert(holds("precious"));
}
END_TEST

START_TEST(file_of_another_zone_is_refused_and_left_alone)
{
    rv_zone_spec_t spec = new_spec();

    leave_file();
    spec.name = "test2";
    assert_refused(&spec, "is a zone of another name");
    spec.name = "tes";
    assert_refused(&spec, "is a zone of another name");
    spec.name = "test";
    spec.owner = "other";
    assert_refused(&spec, "is a zone of another owner");
    ck_assert(holds(by(getpid())));
    spec.owner = "module";
    rv_zone_close(opened(&spec, NULL), 1);
}
END_TEST

START_TEST(file_of_another_version_is_refused)
{
    const rv_zone_spec_t spec = new_spec();

    leave_file();
    patch(AT_VERSION, 77);
    assert_refused(&spec, "is a zone of another layout version");
    patch(AT_VERSION, 1);
    patch(AT_SIZE + 1, 77);
    assert_refused(&spec, "is a zone of another size");
    patch(AT_SIZE + 1, SIZE >> 8);
    patch(AT_MAGIC, 'x');
    assert_refused(&spec, "is not a zone");
}
END_TEST

START_TEST(file_of_another_size_is_refused)
{
    rv_zone_spec_t spec = new_spec();
    static const size_t sizes[] = { 2 * SIZE, SIZE / 2 };

    leave_file();
    for (size_t i = 0; i < rv_countof(sizes); i++) {
        rv_zone_t *zone = NULL;

        spec.size = sizes[i];
        ck_assert_int_eq(rv_zone_open(&spec, NULL, &zone, error), RV_ERROR);
        ck_assert_ptr_nonnull(strstr(error, "zone \"test\": "));
        ck_assert_ptr_nonnull(strstr(error, path));
        ck_assert_ptr_nonnull(strstr(error, "another size"));
    }
    ck_assert(holds(by(getpid())));
}
END_TEST

START_TEST(file_of_a_dead_daemon_is_taken_over_and_filled_anew)
{
    const rv_zone_spec_t spec = new_spec();
    pid_t pid = spawn_daemon(&spec);

    kill_it(pid);
    ck_assert(holds(by(pid)));
    rv_zone_t *zone = opened(&spec, NULL);
    ck_assert_str_eq(text_of(zone), by(getpid()));
    ck_assert_uint_eq(rv_zone_generation(zone), 1);
    ck_assert_int_eq(rv_zone_lock(zone), RV_OK);
    rv_zone_unlock(zone);
    rv_zone_adopt(zone);
    rv_zone_close(zone, 1);
    ck_assert(holds(by(getpid()))); /* it is there to be looked at */
}
END_TEST

START_TEST(file_of_a_living_daemon_is_refused_and_left_alone)
{
    const rv_zone_spec_t spec = new_spec();
    pid_t pid = spawn_daemon(&spec);

    assert_refused(&spec, "is in use");
    ck_assert(holds(by(pid)));
    kill_it(pid);
    rv_zone_close(opened(&spec, NULL), 1);
}
END_TEST

/* In the next generation, by another name for the same file. */
START_TEST(file_in_use_by_ourselves_is_refused_and_left_alone)
{
    char other[96];
    rv_zone_spec_t spec = new_spec();
    rv_zone_t *old = opened(&spec, NULL), *zone = NULL;

    ck_assert_ptr_eq(opened(&spec, old), old);
    snprintf(other, sizeof(other), "%s/./zone", directory);
    spec.path = other;
    ck_assert_int_eq(rv_zone_open(&spec, old, &zone, error), RV_ERROR);
    ck_assert_ptr_nonnull(strstr(error, "is in use"));
    ck_assert_str_eq(text_of(old), by(getpid()));
    rv_zone_close(old, 1);
    rv_zone_close(old, 1);
}
END_TEST

START_TEST(file_that_was_never_in_use_does_not_stay)
{
    const rv_zone_spec_t spec = new_spec();
    rv_zone_t *zone = NULL;

    init_result = RV_ERROR;
    ck_assert_int_eq(rv_zone_open(&spec, NULL, &zone, error), RV_ERROR);
    snprintf(
        want, sizeof(want), "zone \"test\": filling it failed (%d: %s)", ENODEV, strerror(ENODEV));
    ck_assert_str_eq(error, want);
    ck_assert_int_eq(access(path, F_OK), -1);

    init_result = RV_OK; /* a start that failed later */
    zone = opened(&spec, NULL);
    rv_zone_close(zone, 1);
    ck_assert_int_eq(access(path, F_OK), -1);
}
END_TEST

START_TEST(file_that_was_there_before_stays_when_filling_it_fails)
{
    const rv_zone_spec_t spec = new_spec();
    rv_zone_t *zone = NULL;

    leave_file();
    init_result = RV_ERROR;
    ck_assert_int_eq(rv_zone_open(&spec, NULL, &zone, error), RV_ERROR);
    ck_assert_int_eq(access(path, F_OK), 0);
    init_result = RV_OK;
    rv_zone_close(opened(&spec, NULL), 1);
}
END_TEST

START_TEST(file_that_cannot_be_made_is_told_with_errno)
{
    rv_zone_spec_t spec = new_spec();
    rv_zone_t *zone = NULL;
    char missing[96];

    snprintf(missing, sizeof(missing), "%s/missing/zone", directory);
    spec.path = missing;
    ck_assert_int_eq(rv_zone_open(&spec, NULL, &zone, error), RV_ERROR);
    snprintf(want, sizeof(want), "zone \"test\": mapping %d bytes of file %s failed (%d: %s)", SIZE,
        missing, ENOENT, strerror(ENOENT));
    ck_assert_str_eq(error, want);
}
END_TEST

static Suite *
zone_file_suite(void)
{
    Suite *suite = suite_create("zone_file");
    TCase *tcase = tcase_create("zone_file");

    tcase_add_unchecked_fixture(tcase, setup_run, teardown_run);
    tcase_add_checked_fixture(tcase, setup, clear);
    tcase_set_timeout(tcase, 60);
    tcase_add_test(tcase, file_of_something_else_is_refused_and_left_alone);
    tcase_add_test(tcase, file_of_another_zone_is_refused_and_left_alone);
    tcase_add_test(tcase, file_of_another_version_is_refused);
    tcase_add_test(tcase, file_of_another_size_is_refused);
    tcase_add_test(tcase, file_of_a_dead_daemon_is_taken_over_and_filled_anew);
    tcase_add_test(tcase, file_of_a_living_daemon_is_refused_and_left_alone);
    tcase_add_test(tcase, file_in_use_by_ourselves_is_refused_and_left_alone);
    tcase_add_test(tcase, file_that_was_never_in_use_does_not_stay);
    tcase_add_test(tcase, file_that_was_there_before_stays_when_filling_it_fails);
    tcase_add_test(tcase, file_that_cannot_be_made_is_told_with_errno);

    suite_add_tcase(suite, tcase);
    return suite;
}

int
main(void)
{
    SRunner *runner = srunner_create(zone_file_suite());

    srunner_run_all(runner, CK_NORMAL);

    int failed = srunner_ntests_failed(runner);

    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
