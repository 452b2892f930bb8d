/*
 * rv_zone: zones that are files, and what stands in their way.
 *
 * A file that is not this zone, or belongs to a living daemon, is not touched,
 * neither at the path nor beside it; an opening that fails leaves nothing.
 */
#include "zone_fixture.h"

#include <sys/socket.h>
#include <sys/un.h>

#define SIZE 8192

/* The beginning of every zone, as it has been since the first version. */
#define AT_MAGIC 0
#define AT_VERSION 8

static const char *path, *fresh;
static char want[RV_ZONE_ERROR + 128];
static int init_result;

static volatile int *ready; /* a child has its zone */

static void
setup(void)
{
    fixture_clear();
    path = fixture_place()->path;
    fresh = fixture_place()->fresh;
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
        .type = "file",
        .path = path,
        .size = SIZE,
        .need = 100,
        .calls = &calls };
}

static void
assert_refused(const rv_zone_spec_t *spec, const char *what)
{
    zone_bytes_t was = zone_bytes_of(path), beside = zone_bytes_of(fresh);

    snprintf(want, sizeof(want), "zone \"%s\": %s", spec->name, what);
    zone_assert_refused(spec, NULL, want);
    zone_assert_bytes(path, was);
    zone_assert_bytes(fresh, beside);
}

/* The same of the file at the path. */
static void
assert_file_refused(const rv_zone_spec_t *spec, const char *what)
{
    char text[FIXTURE_TEXT];

    snprintf(text, sizeof(text), "\"%s\" %s", path, what);
    assert_refused(spec, text);
}

static void
assert_not_made(const rv_zone_spec_t *spec, int error)
{
    char text[FIXTURE_TEXT];

    snprintf(text, sizeof(text), "mapping %zu bytes of file %s failed (%d: %s)", spec->size,
        spec->path, error, strerror(error));
    assert_refused(spec, text);
}

/* --- another daemon --------------------------------------------------------------------------- */

/* Opens the zone, says so, and is there until it is killed. */
static pid_t
spawn_daemon(const rv_zone_spec_t *spec, int adopt)
{
    rv_zone_t *zone;

    *ready = 0;
    pid_t pid = fork();

    ck_assert_int_ne(pid, -1);
    if (pid == 0) {
        if (rv_zone_open(spec, NULL, &zone, zone_error()) != RV_OK
            || (adopt && rv_zone_adopt(zone) != RV_OK))
            _exit(EXIT_FAILURE);
        *ready = 1;
        for (;;)
            pause();
    }
    fixture_wait_for(ready, pid);
    return pid;
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
    rv_zone_t *zone = zone_opened(&spec, NULL);

    ck_assert_int_eq(rv_zone_adopt(zone), RV_OK);
    rv_zone_close(zone, 1);
    ck_assert(fixture_exists(path) && !fixture_exists(fresh));
}

/* --- at the path ------------------------------------------------------------------------------- */

/* A text, and what might be one's precious data: of any length. */
START_TEST(file_of_something_else_is_refused_and_left_alone)
{
    static const size_t sizes[] = { 1, 7, 8, 100, 4095, 4096, SIZE - 1, SIZE, SIZE + 1, 5 * SIZE };
    const rv_zone_spec_t spec = new_spec();

    for (size_t i = 0; i < rv_countof(sizes); i++) {
        fixture_make_file(path, sizes[i], 'p');
        assert_file_refused(&spec, "is not a zone");
        fixture_make_file(path, sizes[i], '\0');
        assert_file_refused(&spec, "is not a zone");
    }
}
END_TEST

START_TEST(file_of_another_zone_is_refused_and_left_alone)
{
    rv_zone_spec_t spec = new_spec();

    leave_file();
    spec.name = "test2";
    assert_file_refused(&spec, "is a zone of another name");
    spec.name = "tes";
    assert_file_refused(&spec, "is a zone of another name");
    spec.name = "test";
    spec.owner = "other";
    assert_file_refused(&spec, "is a zone of another owner");
    spec.owner = "modul";
    assert_file_refused(&spec, "is a zone of another owner");
    spec.owner = "module";
    rv_zone_close(zone_opened(&spec, NULL), 1);
}
END_TEST

START_TEST(file_of_another_version_is_refused_and_left_alone)
{
    const rv_zone_spec_t spec = new_spec();

    leave_file();
    patch(AT_VERSION, 77);
    assert_file_refused(&spec, "is a zone of another layout version");
    patch(AT_VERSION, 1);
    assert_file_refused(&spec, "is a zone of another layout version");
    patch(AT_MAGIC, 'x');
    assert_file_refused(&spec, "is not a zone");
}
END_TEST

START_TEST(what_is_no_file_is_refused_and_left_alone)
{
    struct sockaddr_un addr = { .sun_family = AF_UNIX };
    rv_zone_spec_t spec = new_spec();

    ck_assert_int_eq(mkfifo(path, 0600), 0);
    snprintf(want, sizeof(want), "zone \"test\": \"%s\" is not a file", path);
    zone_assert_refused(&spec, NULL, want);
    ck_assert(fixture_exists(path) && !fixture_exists(fresh));

    ck_assert_int_eq(unlink(path), 0);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    snprintf(addr.sun_path, sizeof(addr.sun_path), "%s", path);
    ck_assert_int_eq(bind(fd, (struct sockaddr *) &addr, sizeof(addr)), 0);
    snprintf(want, sizeof(want), "zone \"test\": opening \"%s\" failed (%d: %s)", path, ENXIO,
        strerror(ENXIO));
    zone_assert_refused(&spec, NULL, want);
    ck_assert(fixture_exists(path) && !fixture_exists(fresh));
    close(fd);

    ck_assert_int_eq(unlink(path), 0);
    ck_assert_int_eq(mkdir(path, 0700), 0);
    snprintf(want, sizeof(want), "zone \"test\": opening \"%s\" failed (%d: %s)", path, EISDIR,
        strerror(EISDIR));
    zone_assert_refused(&spec, NULL, want);
    ck_assert(fixture_exists(path) && !fixture_exists(fresh));

    spec.path = "/dev/null"; /* which has no bytes, as an empty file has none */
    zone_assert_refused(&spec, NULL, "zone \"test\": \"/dev/null\" is not a file");
}
END_TEST

/* Not even one to a file of ours, or to nothing. */
START_TEST(link_is_refused_and_left_alone)
{
    const rv_zone_spec_t spec = new_spec();
    const char *other = fixture_place()->other;
    char target[FIXTURE_TEXT], text[FIXTURE_TEXT];

    leave_file();
    ck_assert_int_eq(rename(path, other), 0);
    snprintf(text, sizeof(text), "opening \"%s\" failed (%d: %s)", path, ELOOP, strerror(ELOOP));
    for (int i = 0; i < 2; i++) {
        ck_assert_int_eq(symlink(i == 0 ? other : "nothing", path), 0);
        assert_refused(&spec, text);
        ck_assert_int_gt(readlink(path, target, sizeof(target)), 0);
        ck_assert_int_eq(unlink(path), 0);
    }
}
END_TEST

START_TEST(file_of_a_living_daemon_is_refused_and_left_alone)
{
    rv_zone_spec_t spec = new_spec();
    pid_t pid = spawn_daemon(&spec, 1);

    assert_file_refused(&spec, "is in use");
    spec.size *= 2;
    assert_file_refused(&spec, "is in use");
    spec.size = SIZE;
    fixture_kill(pid);
    rv_zone_close(zone_opened(&spec, NULL), 1);
}
END_TEST

/* In the next generation, by another name for the same file. */
START_TEST(file_in_use_by_ourselves_is_refused_and_left_alone)
{
    char other[FIXTURE_TEXT];
    rv_zone_spec_t spec = new_spec();
    rv_zone_t *old = zone_opened(&spec, NULL);

    ck_assert_int_eq(rv_zone_adopt(old), RV_OK);
    ck_assert_ptr_eq(zone_opened(&spec, old), old);
    snprintf(other, sizeof(other), "%.40s/./zone", fixture_place()->directory);
    spec.path = other;
    zone_bytes_t was = zone_bytes_of(path);
    snprintf(want, sizeof(want), "zone \"test\": \"%s\" is in use", other);
    zone_assert_refused(&spec, old, want);
    zone_assert_bytes(path, was);
    rv_zone_close(old, 1);
    rv_zone_close(old, 1);
    ck_assert(fixture_exists(path));
}
END_TEST

/* --- beside it ----------------------------------------------------------------------------------- */

START_TEST(new_file_is_beside_the_path_until_it_is_adopted)
{
    const rv_zone_spec_t spec = new_spec();
    struct stat st;
    rv_zone_t *zone = zone_opened(&spec, NULL);

    ck_assert(!fixture_exists(path) && fixture_exists(fresh));
    ck_assert_int_eq(stat(fresh, &st), 0);
    ck_assert_uint_eq(st.st_mode & 07777, 0600);
    ck_assert_int_eq(rv_zone_adopt(zone), RV_OK);
    ck_assert(fixture_exists(path) && !fixture_exists(fresh));
    ck_assert_int_eq(rv_zone_adopt(zone), RV_OK); /* by the next generation */
    rv_zone_close(zone, 1);
    ck_assert(fixture_exists(path) && !fixture_exists(fresh));
}
END_TEST

/* It was killed before its start was through: with a zone, while it was
 * filled, before it had a byte. */
START_TEST(new_file_of_a_killed_daemon_is_replaced)
{
    const rv_zone_spec_t spec = new_spec();

    for (int i = 0; i < 3; i++) {
        if (i == 0)
            fixture_kill(spawn_daemon(&spec, 0));
        else
            fixture_make_file(fresh, i == 1 ? SIZE : 0, '\0');
        ck_assert(!fixture_exists(path) && fixture_exists(fresh));

        rv_zone_t *zone = zone_opened(&spec, NULL);
        ck_assert_int_eq(rv_zone_adopt(zone), RV_OK);
        ck_assert(fixture_exists(path) && !fixture_exists(fresh));
        rv_zone_close(zone, 1);
        ck_assert_int_eq(unlink(path), 0);
    }
}
END_TEST

START_TEST(new_file_of_a_living_daemon_is_left_alone)
{
    const rv_zone_spec_t spec = new_spec();
    pid_t pid = spawn_daemon(&spec, 0);

    assert_not_made(&spec, EEXIST);
    fixture_kill(pid);
    rv_zone_close(zone_opened(&spec, NULL), 1);
    ck_assert(!fixture_exists(fresh));
}
END_TEST

START_TEST(file_of_something_else_beside_it_is_left_alone)
{
    const rv_zone_spec_t spec = new_spec();
    const char *other = fixture_place()->other;

    for (size_t size = 1; size < 3 * SIZE; size *= 3) {
        fixture_make_file(fresh, size, 'p');
        assert_not_made(&spec, EEXIST);
    }
    ck_assert_int_eq(unlink(fresh), 0);

    fixture_make_file(other, 0, 'x');
    ck_assert_int_eq(symlink(other, fresh), 0);
    assert_not_made(&spec, EEXIST);
    ck_assert_uint_eq(fixture_file_size(other), 0);
    ck_assert_int_eq(unlink(fresh), 0);

    ck_assert_int_eq(mkfifo(fresh, 0600), 0);
    snprintf(want, sizeof(want), "zone \"test\": mapping %d bytes of file %s failed (%d: %s)", SIZE,
        path, EEXIST, strerror(EEXIST));
    zone_assert_refused(&spec, NULL, want);
    ck_assert(fixture_exists(fresh));
    ck_assert_int_eq(unlink(fresh), 0);

    ck_assert_int_eq(mkdir(fresh, 0700), 0);
    zone_assert_refused(&spec, NULL, want);
    ck_assert(fixture_exists(fresh));
}
END_TEST

/* --- openings that fail ------------------------------------------------------------------------- */

START_TEST(file_that_cannot_be_filled_does_not_stay)
{
    const rv_zone_spec_t spec = new_spec();
    char text[FIXTURE_TEXT];

    init_result = RV_ERROR;
    snprintf(text, sizeof(text), "filling it failed (%d: %s)", ENODEV, strerror(ENODEV));
    assert_refused(&spec, text);
    ck_assert(!fixture_exists(path) && !fixture_exists(fresh));
}
END_TEST

START_TEST(file_that_was_never_adopted_does_not_stay)
{
    const rv_zone_spec_t spec = new_spec();

    rv_zone_close(zone_opened(&spec, NULL), 1);
    ck_assert(!fixture_exists(path) && !fixture_exists(fresh));

    /* an empty one is made use of then, and not before */
    fixture_make_file(path, 0, 'x');
    rv_zone_close(zone_opened(&spec, NULL), 1);
    ck_assert(!fixture_exists(fresh));
    ck_assert_uint_eq(fixture_file_size(path), 0);
}
END_TEST

START_TEST(file_that_was_there_stays_as_it_was_when_the_new_one_fails)
{
    rv_zone_spec_t spec = new_spec();
    char text[FIXTURE_TEXT];

    leave_file();
    spec.size *= 3;
    init_result = RV_ERROR;
    snprintf(text, sizeof(text), "filling it failed (%d: %s)", ENODEV, strerror(ENODEV));
    assert_refused(&spec, text);

    init_result = RV_OK; /* the new one is filled, but its start fails later */
    zone_bytes_t was = zone_bytes_of(path);
    rv_zone_close(zone_opened(&spec, NULL), 1);
    zone_assert_bytes(path, was);
    ck_assert(!fixture_exists(fresh));
}
END_TEST

START_TEST(file_that_cannot_be_made_is_told_with_errno)
{
    char long_path[FIXTURE_TEXT + 64];
    rv_zone_spec_t spec = new_spec();

    snprintf(long_path, sizeof(long_path), "%.40s/missing/zone", fixture_place()->directory);
    spec.path = long_path;
    assert_not_made(&spec, ENOENT);

    /* the name is just short enough, but not that of the new one */
    int n = snprintf(long_path, sizeof(long_path), "%.40s/", fixture_place()->directory);
    memset(long_path + n, 'z', 253);
    long_path[n + 253] = '\0';
    ck_assert_int_eq(rv_zone_open(&spec, NULL, &(rv_zone_t *){ NULL }, zone_error()), RV_ERROR);
    ck_assert_msg(strstr(zone_error(), strerror(ENAMETOOLONG)) != NULL
            || strlen(zone_error()) == RV_ZONE_ERROR - 1,
        "%s", zone_error());
    ck_assert(!fixture_exists(long_path));
}
END_TEST

static Suite *
zone_file_suite(void)
{
    Suite *suite = suite_create("zone_file");
    TCase *tcase = tcase_create("zone_file");

    tcase_add_unchecked_fixture(tcase, fixture_setup_run, fixture_teardown_run);
    tcase_add_checked_fixture(tcase, setup, fixture_clear);
    tcase_set_timeout(tcase, 60);
    tcase_add_test(tcase, file_of_something_else_is_refused_and_left_alone);
    tcase_add_test(tcase, file_of_another_zone_is_refused_and_left_alone);
    tcase_add_test(tcase, file_of_another_version_is_refused_and_left_alone);
    tcase_add_test(tcase, what_is_no_file_is_refused_and_left_alone);
    tcase_add_test(tcase, link_is_refused_and_left_alone);
    tcase_add_test(tcase, file_of_a_living_daemon_is_refused_and_left_alone);
    tcase_add_test(tcase, file_in_use_by_ourselves_is_refused_and_left_alone);
    tcase_add_test(tcase, new_file_is_beside_the_path_until_it_is_adopted);
    tcase_add_test(tcase, new_file_of_a_killed_daemon_is_replaced);
    tcase_add_test(tcase, new_file_of_a_living_daemon_is_left_alone);
    tcase_add_test(tcase, file_of_something_else_beside_it_is_left_alone);
    tcase_add_test(tcase, file_that_cannot_be_filled_does_not_stay);
    tcase_add_test(tcase, file_that_was_never_adopted_does_not_stay);
    tcase_add_test(tcase, file_that_was_there_stays_as_it_was_when_the_new_one_fails);
    tcase_add_test(tcase, file_that_cannot_be_made_is_told_with_errno);

    suite_add_tcase(suite, tcase);
    return suite;
}

int
main(void)
{
    return fixture_run(zone_file_suite());
}
