/*
 * rv_shm: memory that processes share, by every mechanism of this build.
 *
 * Most tests run once for each row of rv_shm_type_at. Run with "heir FD", the
 * program is the other side of an exec.
 */
#include "shm_fixture.h"

#include <sys/resource.h>

#if RV_HAVE_MEMFD

static int
add_seal(int fd)
{
    return fcntl(fd, F_ADD_SEALS, F_SEAL_GROW);
}

#else

static int
add_seal(RV_UNUSED int fd)
{
    return 0;
}

#endif

static size_t page;

static void
setup(void)
{
    fixture_clear();
    page = fixture_place()->page;
}

static int
is_mapped(void *addr)
{
    return msync(addr, page, MS_ASYNC) == 0;
}

/* Sees "from us" at the start of the memory and answers at its end. */
static int
answer(volatile char *addr, size_t size)
{
    if (memcmp((char *) addr, "from us", sizeof("from us")) != 0)
        return EXIT_FAILURE;

    memcpy((char *) addr + size - sizeof("from it"), "from it", sizeof("from it"));
    return EXIT_SUCCESS;
}

static void
ask(const rv_shm_t *shm)
{
    memcpy(shm->addr, "from us", sizeof("from us"));
}

static void
assert_answered(const rv_shm_t *shm)
{
    ck_assert_str_eq((char *) shm->addr + shm->size - sizeof("from it"), "from it");
}

static int
map_and_answer(int fd)
{
    struct stat st;

    if (fd == -1 || fstat(fd, &st) == -1)
        return EXIT_FAILURE;

    size_t size = (size_t) st.st_size;
    void *addr = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

    return addr != MAP_FAILED ? answer(addr, size) : EXIT_FAILURE;
}

START_TEST(mechanisms_are_found_by_name)
{
    size_t n = 0;

    for (const rv_shm_type_t *type; (type = rv_shm_type_at(n)) != NULL; n++)
        ck_assert_ptr_eq(rv_shm_type(type->name), type);

    ck_assert_uint_gt(n, 0);
    ck_assert_ptr_null(rv_shm_type_at(n));
    ck_assert_ptr_null(rv_shm_type_at(SIZE_MAX));
    ck_assert_ptr_nonnull(rv_shm_type("file"));
    ck_assert_ptr_null(rv_shm_type("mem"));
    ck_assert_ptr_null(rv_shm_type("MEMFD"));
    ck_assert_ptr_null(rv_shm_type(""));
}
END_TEST

START_TEST(auto_is_the_first_that_leaves_no_name)
{
    static const char *const order[] = { "memfd", "anon", "devzero", "sysv" };
    const rv_shm_type_t *wanted = NULL;

    for (size_t i = 0; i < rv_countof(order) && wanted == NULL; i++)
        wanted = rv_shm_type(order[i]);

    ck_assert_ptr_eq(rv_shm_type("auto"), wanted);
}
END_TEST

START_TEST(new_memory_is_zero_and_whole_pages)
{
    static const size_t extra[] = { 1, 0, 1 };
    static const size_t pages[] = { 0, 1, 3 };

    for (size_t i = 0; i < rv_countof(pages); i++) {
        fixture_clear();

        rv_shm_t shm = fixture_created(rv_shm_type_at(_i), pages[i] * page + extra[i]);
        const char *bytes = shm.addr;

        ck_assert_uint_eq(shm.size, (pages[i] + extra[i]) * page);
        ck_assert_str_eq(shm.name, fixture_place()->name);
        ck_assert_int_eq(shm.huge, 0);

        for (size_t k = 0; k < shm.size; k++)
            ck_assert_int_eq(bytes[k], 0);

        memset(shm.addr, 0xff, shm.size);
        rv_shm_destroy(&shm);
    }
}
END_TEST

START_TEST(child_and_parent_see_each_other_write)
{
    rv_shm_t shm = fixture_created(rv_shm_type_at(_i), 2 * page);
    int started[2];
    char byte = 0;

    ck_assert_int_eq(pipe(started), 0);

    pid_t pid = fork();

    ck_assert_int_ne(pid, -1);

    /* The question is asked after the fork: it cannot be a copy. */
    if (pid == 0)
        _exit(read(started[0], &byte, 1) == 1 ? answer(shm.addr, shm.size) : EXIT_FAILURE);

    ask(&shm);
    ck_assert_int_eq(write(started[1], "g", 1), 1);
    fixture_wait(pid);
    assert_answered(&shm);

    close(started[0]);
    close(started[1]);
    rv_shm_destroy(&shm);
}
END_TEST

START_TEST(heir_keeps_what_its_creator_gave_up)
{
    rv_shm_t shm = fixture_created(rv_shm_type_at(_i), page);
    int gone[2];
    char byte = 0;

    ck_assert_int_eq(pipe(gone), 0);
    ask(&shm);

    pid_t pid = fork();

    ck_assert_int_ne(pid, -1);

    if (pid == 0)
        _exit(read(gone[0], &byte, 1) == 1 ? answer(shm.addr, shm.size) : EXIT_FAILURE);

    rv_shm_destroy(&shm);
    ck_assert_int_eq(write(gone[1], "g", 1), 1);
    fixture_wait(pid);

    close(gone[0]);
    close(gone[1]);
}
END_TEST

START_TEST(descriptor_is_kept_only_where_it_can_be_handed_on)
{
    const rv_shm_type_t *type = rv_shm_type_at(_i);
    int kept = (type->flags & RV_SHM_EXEC) != 0;
    int before = descriptors_open();
    rv_shm_t shm = fixture_created(type, page);

    ck_assert_int_eq(shm.fd != -1, kept);
    ck_assert_int_eq(descriptors_open(), before + kept);

    if (kept)
        ck_assert_int_eq(fcntl(shm.fd, F_GETFD), FD_CLOEXEC);

    rv_shm_destroy(&shm);
    ck_assert_int_eq(descriptors_open(), before);
}
END_TEST

START_TEST(destroy_leaves_nothing_but_a_file)
{
    const rv_shm_type_t *type = rv_shm_type_at(_i);
    rv_shm_t shm = fixture_created(type, page);
    void *addr = shm.addr;

    ck_assert(is_mapped(addr));
    ck_assert_int_eq(
        fixture_is_left_in_the_system(), (type->flags & (RV_SHM_NAMED | RV_SHM_PATH)) != 0);

    errno = ENOTTY;
    rv_shm_destroy(&shm);
    ck_assert_int_eq(errno, ENOTTY);

    ck_assert(!is_mapped(addr));
    fixture_assert_empty(&shm);
    ck_assert_int_eq(fixture_is_left_in_the_system(), (type->flags & RV_SHM_KEPT) != 0);
    rv_shm_destroy(&shm);
}
END_TEST

START_TEST(detach_leaves_names_alone)
{
    const rv_shm_type_t *type = rv_shm_type_at(_i);
    int before = descriptors_open();
    rv_shm_t shm = fixture_created(type, page);
    void *addr = shm.addr;

    errno = ENOTTY;
    rv_shm_detach(&shm);
    ck_assert_int_eq(errno, ENOTTY);

    ck_assert(!is_mapped(addr));
    fixture_assert_empty(&shm);
    ck_assert_int_eq(descriptors_open(), before);
    ck_assert_int_eq(
        fixture_is_left_in_the_system(), (type->flags & (RV_SHM_NAMED | RV_SHM_PATH)) != 0);
    rv_shm_detach(&shm);
    rv_shm_destroy(&shm);
}
END_TEST

static int
open_from_outside(const rv_shm_type_t *type, const char *where)
{
    return (type->flags & RV_SHM_NAMED) != 0 ? fixture_open_segment(where)
                                             : open(where, O_RDWR | O_CLOEXEC);
}

static void
tell_where(const rv_shm_t *shm, char where[FIXTURE_TEXT])
{
    if (shm->path != NULL)
        snprintf(where, FIXTURE_TEXT, "%s", shm->path);
    else if ((shm->type->flags & RV_SHM_NAMED) != 0)
        snprintf(where, FIXTURE_TEXT, "%s", shm->name);
    else
        snprintf(where, FIXTURE_TEXT, "/proc/%d/fd/%d", (int) getpid(), shm->fd);
}

START_TEST(process_that_inherited_nothing_maps_it)
{
    const rv_shm_type_t *type = rv_shm_type_at(_i);
    char where[FIXTURE_TEXT] = "";
    int address[2];

    if ((type->flags & RV_SHM_OUTSIDE) == 0)
        return;

    ck_assert_int_eq(pipe(address), 0);

    pid_t pid = fork();

    ck_assert_int_ne(pid, -1);

    if (pid == 0) {
        if (read(address[0], where, sizeof(where)) != sizeof(where))
            _exit(EXIT_FAILURE);

        _exit(map_and_answer(open_from_outside(type, where)));
    }

    rv_shm_t shm = fixture_created(type, 2 * page);

    ask(&shm);
    tell_where(&shm, where);
    ck_assert_int_eq(write(address[1], where, sizeof(where)), sizeof(where));
    fixture_wait(pid);
    assert_answered(&shm);

    close(address[0]);
    close(address[1]);
    rv_shm_destroy(&shm);
}
END_TEST

START_TEST(descriptor_is_mapped_after_an_exec)
{
    const rv_shm_type_t *type = rv_shm_type_at(_i);
    char number[FIXTURE_TEXT];

    if ((type->flags & RV_SHM_EXEC) == 0)
        return;

    rv_shm_t shm = fixture_created(type, 2 * page);

    ask(&shm);

    pid_t pid = fork();

    ck_assert_int_ne(pid, -1);

    if (pid == 0) {
        snprintf(number, sizeof(number), "%d", dup(shm.fd));
        execl("/proc/self/exe", "test_shm", "heir", number, (char *) NULL);
        _exit(EXIT_FAILURE);
    }

    fixture_wait(pid);
    assert_answered(&shm);
    rv_shm_destroy(&shm);
}
END_TEST

START_TEST(impossible_sizes_are_refused)
{
    const rv_shm_type_t *type = rv_shm_type_at(_i);

    fixture_assert_refused(type, 0, EINVAL);
    fixture_assert_refused(type, SIZE_MAX, ENOMEM);
    fixture_assert_refused(type, SIZE_MAX - page + 1, ENOMEM);
    fixture_assert_refused(type, SIZE_MAX - page, ENOMEM);
    fixture_assert_refused(type, (size_t) PTRDIFF_MAX + 1, ENOMEM);
    fixture_assert_refused(type, PTRDIFF_MAX, ENOMEM);
    ck_assert(!fixture_is_left_in_the_system());
}
END_TEST

/* Larger than any address space, but not than a sparse memfd: that is created,
 * sized and sealed before mmap fails. Reserved memory could fill the machine. */
START_TEST(failed_mapping_leaves_nothing)
{
    const rv_shm_type_t *type = rv_shm_type_at(_i);
    int before = descriptors_open();
    rv_shm_t shm;

    if ((type->flags & (RV_SHM_NAMED | RV_SHM_PATH)) != 0)
        return;

    ck_assert_int_eq(fixture_create(&shm, type, SIZE_MAX / 4), RV_ERROR);
    ck_assert_int_ne(errno, 0);
    fixture_assert_empty(&shm);
    ck_assert_int_eq(descriptors_open(), before);
}
END_TEST

START_TEST(failure_half_way_leaves_nothing)
{
    const rv_shm_type_t *type = rv_shm_type_at(_i);
    struct rlimit saved;
    struct rlimit small;
    rv_shm_t shm;

    if ((type->flags & RV_SHM_EXEC) == 0)
        return;

    int before = descriptors_open();

    ck_assert_int_eq(getrlimit(RLIMIT_FSIZE, &saved), 0);
    small = saved;
    small.rlim_cur = page;
    signal(SIGXFSZ, SIG_IGN);
    ck_assert_int_eq(setrlimit(RLIMIT_FSIZE, &small), 0);

    int result = fixture_create(&shm, type, 4 * page);
    int error = errno;

    /* Before any assertion: Check reports through a file. */
    setrlimit(RLIMIT_FSIZE, &saved);

    ck_assert_int_eq(result, RV_ERROR);
    ck_assert_int_eq(error, EFBIG);
    fixture_assert_empty(&shm);
    ck_assert_int_eq(descriptors_open(), before);
    ck_assert(!fixture_is_left_in_the_system());
}
END_TEST

START_TEST(bad_names_are_refused)
{
    static const char *const names[] = { NULL, "", "a/b", "/a" };
    const rv_shm_type_t *type = rv_shm_type_at(_i);
    const char *right = fixture_path_for(type);
    const char *wrong = right == NULL ? fixture_place()->path : NULL;
    rv_shm_t shm;

    for (size_t i = 0; i < rv_countof(names); i++) {
        ck_assert_int_eq(rv_shm_create(&shm, type, names[i], right, page, 0), RV_ERROR);
        ck_assert_int_eq(errno, EINVAL);
        fixture_assert_empty(&shm);
    }

    ck_assert_int_eq(rv_shm_create(&shm, type, fixture_place()->name, wrong, page, 0), RV_ERROR);
    ck_assert_int_eq(errno, EINVAL);
    fixture_assert_empty(&shm);
    ck_assert(!fixture_is_left_in_the_system());
}
END_TEST

START_TEST(memfd_keeps_its_size)
{
    const rv_shm_type_t *type = rv_shm_type("memfd");

    if (type == NULL)
        return;

    rv_shm_t shm = fixture_created(type, 2 * page);

    ck_assert_int_eq(ftruncate(shm.fd, 0), -1);
    ck_assert_int_eq(errno, EPERM);
    ck_assert_int_eq(ftruncate(shm.fd, (off_t) page), -1);
    ck_assert_int_eq(errno, EPERM);
    ck_assert_int_eq(ftruncate(shm.fd, (off_t) (3 * page)), -1);
    ck_assert_int_eq(errno, EPERM);
    ck_assert_int_eq(ftruncate(shm.fd, (off_t) (2 * page)), 0);
    rv_shm_destroy(&shm);
}
END_TEST

START_TEST(memfd_takes_no_more_seals)
{
    const rv_shm_type_t *type = rv_shm_type("memfd");

    if (type == NULL)
        return;

    rv_shm_t shm = fixture_created(type, page);

    ck_assert_int_eq(add_seal(shm.fd), -1);
    ck_assert_int_eq(errno, EPERM);
    rv_shm_destroy(&shm);
}
END_TEST

static Suite *
shm_suite(void)
{
    Suite *suite = suite_create("shm");
    TCase *tcase = tcase_create("shm");
    int n = fixture_count_types();

    tcase_add_unchecked_fixture(tcase, fixture_setup_run, fixture_teardown_run);
    tcase_add_checked_fixture(tcase, setup, fixture_clear);
    tcase_set_timeout(tcase, 60);
    tcase_add_test(tcase, mechanisms_are_found_by_name);
    tcase_add_test(tcase, auto_is_the_first_that_leaves_no_name);
    tcase_add_loop_test(tcase, new_memory_is_zero_and_whole_pages, 0, n);
    tcase_add_loop_test(tcase, child_and_parent_see_each_other_write, 0, n);
    tcase_add_loop_test(tcase, heir_keeps_what_its_creator_gave_up, 0, n);
    tcase_add_loop_test(tcase, descriptor_is_kept_only_where_it_can_be_handed_on, 0, n);
    tcase_add_loop_test(tcase, destroy_leaves_nothing_but_a_file, 0, n);
    tcase_add_loop_test(tcase, detach_leaves_names_alone, 0, n);
    tcase_add_loop_test(tcase, process_that_inherited_nothing_maps_it, 0, n);
    tcase_add_loop_test(tcase, descriptor_is_mapped_after_an_exec, 0, n);
    tcase_add_loop_test(tcase, impossible_sizes_are_refused, 0, n);
    tcase_add_loop_test(tcase, failed_mapping_leaves_nothing, 0, n);
    tcase_add_loop_test(tcase, failure_half_way_leaves_nothing, 0, n);
    tcase_add_loop_test(tcase, bad_names_are_refused, 0, n);
    tcase_add_test(tcase, memfd_keeps_its_size);
    tcase_add_test(tcase, memfd_takes_no_more_seals);

    suite_add_tcase(suite, tcase);
    return suite;
}

int
main(int argc, char **argv)
{
    if (argc == 3 && strcmp(argv[1], "heir") == 0)
        return map_and_answer(atoi(argv[2]));

    return fixture_run(shm_suite());
}
