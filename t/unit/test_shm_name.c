/*
 * rv_shm: memory that has a name or a file in the system.
 *
 * What exists already is left alone, what is to be found again is opened,
 * looked at or mapped, and what a process left behind can be removed.
 */
#include "shm_fixture.h"

#include <limits.h>

#define TEXT_SIZE FIXTURE_TEXT

static const rv_shm_type_t *file;
static const char *path, *other;
static size_t page;

static void
setup(void)
{
    fixture_clear();
    file = rv_shm_type("file");
    path = fixture_place()->path;
    other = fixture_place()->other;
    page = fixture_place()->page;
}

/* How many segments this process made, and how many of them are not marked as
 * removed (01000 among the permissions). */
static void
sysv_segments(pid_t creator, int *made, int *unmarked)
{
    FILE *table = fopen("/proc/sysvipc/shm", "re");
    char line[1024];
    unsigned perms;
    int pid;

    *made = *unmarked = 0;
    ck_assert_ptr_nonnull(table);

    while (fgets(line, sizeof(line), table) != NULL) {
        if (sscanf(line, "%*s %*s %o %*s %d", &perms, &pid) != 2 || pid != creator)
            continue;

        *made += 1;
        *unmarked += (perms & 01000) == 0;
    }

    fclose(table);
}

START_TEST(sysv_segment_is_removed_at_once)
{
    const rv_shm_type_t *type = rv_shm_type("sysv");
    int made;
    int unmarked;

    if (type == NULL || access("/proc/sysvipc/shm", R_OK) == -1)
        return;

    rv_shm_t shm = fixture_created(type, page);

    sysv_segments(getpid(), &made, &unmarked);
    ck_assert_int_eq(made, 1);
    ck_assert_int_eq(unmarked, 0);

    rv_shm_destroy(&shm);
    sysv_segments(getpid(), &made, &unmarked);
    ck_assert_int_eq(made, 0);
}
END_TEST

START_TEST(sysv_segment_goes_with_a_killed_process)
{
    const rv_shm_type_t *type = rv_shm_type("sysv");
    int made;
    int unmarked;

    if (type == NULL || access("/proc/sysvipc/shm", R_OK) == -1)
        return;

    pid_t pid = fork();

    ck_assert_int_ne(pid, -1);

    if (pid == 0) {
        rv_shm_t shm;

        _exit(fixture_create(&shm, type, page) == RV_OK ? kill(getpid(), SIGKILL) : EXIT_FAILURE);
    }

    int status;

    ck_assert_int_eq(waitpid(pid, &status, 0), pid);
    ck_assert(WIFSIGNALED(status));
    sysv_segments(pid, &made, &unmarked);
    ck_assert_int_eq(made, 0);
}
END_TEST

START_TEST(posix_name_of_somebody_else_is_left_alone)
{
    const rv_shm_type_t *type = rv_shm_type("posix");

    if (type == NULL)
        return;

    rv_shm_t shm = fixture_created(type, page);

    strcpy(shm.addr, "mine");
    fixture_assert_refused(type, page, EEXIST);
    ck_assert(fixture_is_left_in_the_system());
    ck_assert_str_eq(shm.addr, "mine");

    rv_shm_destroy(&shm);
    ck_assert(!fixture_is_left_in_the_system());

    shm = fixture_created(type, page);
    ck_assert_int_eq(((char *) shm.addr)[0], 0);
    rv_shm_destroy(&shm);
}
END_TEST

START_TEST(what_a_killed_process_left_is_seen_and_removed)
{
    const rv_shm_type_t *type = rv_shm_type_at(_i);
    const char *where = type->flags & RV_SHM_PATH ? fixture_place()->path : fixture_place()->name;
    char seen[sizeof("left")] = "";
    int before = descriptors_open();

    if ((type->flags & (RV_SHM_NAMED | RV_SHM_PATH)) == 0) {
        ck_assert_int_eq(rv_shm_peek(type, where, seen, sizeof(seen)), RV_ERROR);
        ck_assert_int_eq(errno, ENOTSUP);
        rv_shm_remove(type, where);
        return;
    }

    ck_assert_int_eq(rv_shm_peek(type, where, seen, sizeof(seen)), RV_ERROR);
    ck_assert_int_eq(errno, ENOENT);

    pid_t pid = fork();

    ck_assert_int_ne(pid, -1);

    if (pid == 0) {
        rv_shm_t shm = fixture_created(type, page);

        strcpy(shm.addr, "left");
        kill(getpid(), SIGKILL);
    }

    ck_assert_int_eq(waitpid(pid, NULL, 0), pid);
    ck_assert_int_eq(rv_shm_peek(type, where, seen, sizeof(seen)), RV_OK);
    ck_assert_str_eq(seen, "left");
    ck_assert_int_eq(rv_shm_peek(type, where, seen, page + 1), RV_ERROR);
    ck_assert_int_eq(errno, EINVAL);
    ck_assert_int_eq(descriptors_open(), before);

    errno = ENOTTY;
    rv_shm_remove(type, where);
    ck_assert_int_eq(errno, ENOTTY);
    ck_assert(!fixture_is_left_in_the_system());
}
END_TEST

START_TEST(posix_name_can_be_too_long)
{
    const rv_shm_type_t *type = rv_shm_type("posix");
    char long_name[NAME_MAX + 2] = "";
    rv_shm_t shm;

    if (type == NULL)
        return;

    memset(long_name, 'n', NAME_MAX + 1);
    ck_assert_int_eq(rv_shm_create(&shm, type, long_name, NULL, page, 0), RV_ERROR);
    ck_assert_int_eq(errno, ENAMETOOLONG);
    fixture_assert_empty(&shm);
}
END_TEST

START_TEST(memory_in_a_file_system_is_reserved)
{
    const rv_shm_type_t *type = rv_shm_type_at(_i);
    struct stat st;

    if ((type->flags & (RV_SHM_NAMED | RV_SHM_PATH)) == 0)
        return;

    rv_shm_t shm = fixture_created(type, 64 * page);

    ck_assert_int_eq(fstat(shm.fd, &st), 0);
    ck_assert_uint_eq(st.st_size, shm.size);
    ck_assert_uint_ge(512 * (size_t) st.st_blocks, shm.size);
    ck_assert_uint_eq(st.st_mode & 07777, 0600);
    rv_shm_destroy(&shm);
}
END_TEST

/* --- files ---------------------------------------------------------------------------------- */

static void
assert_bytes(const char *where, size_t size, int byte)
{
    FILE *f = fopen(where, "re");

    ck_assert_ptr_nonnull(f);
    for (size_t i = 0; i < size; i++)
        ck_assert_int_eq(fgetc(f), byte);
    ck_assert_int_eq(fgetc(f), EOF);
    fclose(f);
}

START_TEST(file_that_exists_is_left_alone)
{
    const size_t sizes[] = { 0, 1, page - 1, page, page + 1, 3 * page };

    for (size_t i = 0; i < rv_countof(sizes); i++) {
        fixture_make_file(path, sizes[i], 'x');
        fixture_assert_refused(file, page, EEXIST);
        assert_bytes(path, sizes[i], 'x');
    }

    ck_assert_int_eq(unlink(path), 0);
    ck_assert_int_eq(mkfifo(path, 0600), 0);
    fixture_assert_refused(file, page, EEXIST);
    ck_assert(fixture_exists(path));

    ck_assert_int_eq(unlink(path), 0);
    ck_assert_int_eq(mkdir(path, 0700), 0);
    fixture_assert_refused(file, page, EEXIST);
    ck_assert(fixture_exists(path));
}
END_TEST

START_TEST(link_is_not_followed)
{
    ck_assert_int_eq(symlink(other, path), 0);
    fixture_assert_refused(file, page, EEXIST);
    ck_assert(!fixture_exists(other));
    ck_assert_int_eq(rv_shm_open(file, path), -1);
    ck_assert_int_eq(errno, ELOOP);

    fixture_make_file(other, page, 'x');
    fixture_assert_refused(file, page, EEXIST);
    ck_assert_int_eq(rv_shm_open(file, path), -1);
    ck_assert_int_eq(errno, ELOOP);
    ck_assert(fixture_exists(path));
}
END_TEST

START_TEST(folder_that_is_missing_is_told)
{
    char missing[TEXT_SIZE];
    rv_shm_t shm;

    snprintf(missing, sizeof(missing), "%.40s/none/zone", fixture_place()->directory);
    ck_assert_int_eq(rv_shm_create(&shm, file, "name", missing, page, 0), RV_ERROR);
    ck_assert_int_eq(errno, ENOENT);
    fixture_assert_empty(&shm);
}
END_TEST

/* By name for posix, by path for a file; all of it, whatever size it is. */
START_TEST(what_exists_is_opened_and_mapped)
{
    const rv_shm_type_t *type = rv_shm_type_at((size_t) _i);
    const char *where = type->flags & RV_SHM_PATH ? path : fixture_place()->name;
    int before = descriptors_open();
    rv_shm_t shm;

    if (type->open == NULL) {
        ck_assert_int_eq(rv_shm_open(type, where), -1);
        ck_assert_int_eq(errno, ENOTSUP);
        return;
    }
    ck_assert_int_eq(rv_shm_open(type, where), -1);
    ck_assert_int_eq(errno, ENOENT);

    rv_shm_t first = fixture_created(type, 3 * page);
    strcpy(first.addr, "from the first");

    int fd = rv_shm_open(type, where);
    ck_assert_int_eq(fcntl(fd, F_GETFD), FD_CLOEXEC);
    ck_assert_int_eq(
        rv_shm_attach(&shm, type, fd, fixture_place()->name, fixture_path_for(type)), RV_OK);
    ck_assert_int_eq(shm.fd, fd);
    ck_assert_uint_eq(shm.size, 3 * page);
    ck_assert_str_eq(shm.addr, "from the first");
    strcpy((char *) first.addr + 2 * page, "and on");
    ck_assert_str_eq((char *) shm.addr + 2 * page, "and on");

    rv_shm_detach(&first);
    ck_assert_str_eq(shm.addr, "from the first");
    ck_assert(fixture_is_left_in_the_system());
    rv_shm_destroy(&shm);
    ck_assert_int_eq(fixture_is_left_in_the_system(), (type->flags & RV_SHM_KEPT) != 0);
    ck_assert_int_eq(descriptors_open(), before);
}
END_TEST

/* Whatever becomes of it, the descriptor is not the caller's any more. */
START_TEST(what_is_no_memory_is_not_mapped)
{
    static const struct {
        const char *what;
        int error;
    } cases[] = { { "fifo", EINVAL }, { "folder", EINVAL }, { "device", EINVAL },
        { "empty", ENODATA }, { "closed", EBADF } };
    int before = descriptors_open();

    fixture_make_file(other, 0, 'x');
    ck_assert_int_eq(mkfifo(path, 0600), 0);
    for (size_t i = 0; i < rv_countof(cases); i++) {
        rv_shm_t shm;
        int fd = i == 0 ? rv_shm_open(file, path)
            : i == 1    ? open(fixture_place()->directory, O_RDONLY | O_CLOEXEC)
            : i == 2    ? rv_shm_open(file, "/dev/null")
            : i == 3    ? rv_shm_open(file, other)
                        : dup(0);
        ck_assert_int_ge(fd, 0);
        if (i == 4)
            close(fd);
        memset(&shm, 0x5a, sizeof(shm));
        ck_assert_int_eq(rv_shm_attach(&shm, file, fd, "name", path), RV_ERROR);
        ck_assert_msg(errno == cases[i].error, "%s: %s", cases[i].what, strerror(errno));
        fixture_assert_empty(&shm);
        ck_assert_int_eq(descriptors_open(), before);
    }
}
END_TEST

START_TEST(file_keeps_its_content)
{
    rv_shm_t shm = fixture_created(file, page + 1);

    ck_assert_str_eq(shm.path, path);
    strcpy(shm.addr, "kept");
    rv_shm_destroy(&shm);

    ck_assert_uint_eq(fixture_file_size(path), 2 * page);
    ck_assert_int_eq(rv_shm_attach(&shm, file, rv_shm_open(file, path), "name", path), RV_OK);
    ck_assert_str_eq(shm.addr, "kept");
    rv_shm_destroy(&shm);
    ck_assert(fixture_exists(path));
}
END_TEST

START_TEST(file_takes_the_place_of_another)
{
    char missing[TEXT_SIZE];
    rv_shm_t shm = fixture_created(file, page);

    fixture_make_file(other, 10, 'x');
    strcpy(shm.addr, "new");

    snprintf(missing, sizeof(missing), "%.40s/none/zone", fixture_place()->directory);
    ck_assert_int_eq(rv_shm_move(&shm, missing), RV_ERROR);
    ck_assert_int_eq(errno, ENOENT);
    ck_assert_str_eq(shm.path, path);
    ck_assert(fixture_exists(path));

    ck_assert_int_eq(rv_shm_move(&shm, other), RV_OK);
    ck_assert_str_eq(shm.path, other);
    ck_assert(!fixture_exists(path));
    ck_assert_uint_eq(fixture_file_size(other), page);
    strcpy(shm.addr, "newer"); /* it is the same memory */
    rv_shm_destroy(&shm);

    char seen[sizeof("newer")];
    ck_assert_int_eq(rv_shm_peek(file, other, seen, sizeof(seen)), RV_OK);
    ck_assert_str_eq(seen, "newer");
}
END_TEST

/* --- looking ---------------------------------------------------------------------------------- */

static void *looked;

static void
write_there(void)
{
    signal(SIGSEGV, SIG_DFL); /* whatever else a sanitizer may do */
    *(volatile char *) looked = 'w';
}

START_TEST(looking_maps_all_of_it_for_reading_only)
{
    size_t size = 0;
    rv_shm_t shm = fixture_created(file, 3 * page);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    int before = descriptors_open();

    looked = rv_shm_look(fd, &size);
    ck_assert_ptr_nonnull(looked);
    ck_assert_uint_eq(size, 3 * page);
    strcpy((char *) shm.addr + 2 * page, "seen");
    ck_assert_str_eq((char *) looked + 2 * page, "seen");
    int killer = fixture_signal_of(fixture_spawn(write_there));
    ck_assert_int_eq(killer, SIGSEGV);

    rv_shm_look_away(looked, size);
    ck_assert_int_eq(msync(looked, page, MS_ASYNC), -1);
    ck_assert_int_eq(descriptors_open(), before); /* it is the caller's */
    close(fd);
    rv_shm_destroy(&shm);
}
END_TEST

START_TEST(what_is_no_memory_is_not_looked_at)
{
    size_t size;
    int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);

    ck_assert_ptr_null(rv_shm_look(fd, &size));
    ck_assert_int_eq(errno, EINVAL);
    close(fd);

    fixture_make_file(path, 0, 'x');
    fd = open(path, O_RDONLY | O_CLOEXEC);
    ck_assert_ptr_null(rv_shm_look(fd, &size));
    ck_assert_int_eq(errno, ENODATA);
    close(fd);
    ck_assert_ptr_null(rv_shm_look(fd, &size));
    ck_assert_int_eq(errno, EBADF);
}
END_TEST

/* A right that only root has to give: the file is another user's. */
START_TEST(what_another_user_left_is_not_believed)
{
    char seen[4];

    if (geteuid() != 0)
        return;

    fixture_make_file(path, page, 'x');
    ck_assert_int_eq(rv_shm_peek(file, path, seen, sizeof(seen)), RV_OK);
    ck_assert_int_eq(chown(path, 65534, (gid_t) -1), 0);
    ck_assert_int_eq(rv_shm_peek(file, path, seen, sizeof(seen)), RV_ERROR);
    ck_assert_int_eq(errno, EPERM);
}
END_TEST

static Suite *
shm_name_suite(void)
{
    Suite *suite = suite_create("shm_name");
    TCase *tcase = tcase_create("shm_name");
    int n = fixture_count_types();

    tcase_add_unchecked_fixture(tcase, fixture_setup_run, fixture_teardown_run);
    tcase_add_checked_fixture(tcase, setup, fixture_clear);
    tcase_set_timeout(tcase, 60);
    tcase_add_test(tcase, sysv_segment_is_removed_at_once);
    tcase_add_test(tcase, sysv_segment_goes_with_a_killed_process);
    tcase_add_test(tcase, posix_name_of_somebody_else_is_left_alone);
    tcase_add_loop_test(tcase, what_a_killed_process_left_is_seen_and_removed, 0, n);
    tcase_add_test(tcase, posix_name_can_be_too_long);
    tcase_add_loop_test(tcase, memory_in_a_file_system_is_reserved, 0, n);
    tcase_add_test(tcase, file_that_exists_is_left_alone);
    tcase_add_test(tcase, link_is_not_followed);
    tcase_add_test(tcase, folder_that_is_missing_is_told);
    tcase_add_loop_test(tcase, what_exists_is_opened_and_mapped, 0, n);
    tcase_add_test(tcase, what_is_no_memory_is_not_mapped);
    tcase_add_test(tcase, file_keeps_its_content);
    tcase_add_test(tcase, file_takes_the_place_of_another);
    tcase_add_test(tcase, looking_maps_all_of_it_for_reading_only);
    tcase_add_test(tcase, what_is_no_memory_is_not_looked_at);
    tcase_add_test(tcase, what_another_user_left_is_not_believed);

    suite_add_tcase(suite, tcase);
    return suite;
}

int
main(void)
{
    return fixture_run(shm_name_suite());
}
