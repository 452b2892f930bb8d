/*
 * rv_shm: memory that processes share, by every mechanism of this build.
 *
 * Most tests run once for each row of rv_shm_type_at. Names and files lie
 * under one name and in one directory that belong to this run; both are
 * cleared before each test, and removed at the end even after a failure.
 * Run with "heir FD", the program is the other side of an exec.
 */
#include "rv_shm.h"

#include <check.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define TEXT_SIZE 256

static char directory[] = "/tmp/rv_test_shm_XXXXXX";
static char name[TEXT_SIZE];
static char path[TEXT_SIZE];
static char other_path[TEXT_SIZE];
static size_t page;

/* The posix segment as a process sees it that knows no more than its name. */
#if RV_HAVE_POSIX_SHM

static int
open_segment(const char *segment)
{
    char text[TEXT_SIZE + 1];

    snprintf(text, sizeof(text), "/%s", segment);
    return shm_open(text, O_RDWR, 0);
}

static void
remove_segment(const char *segment)
{
    char text[TEXT_SIZE + 1];

    snprintf(text, sizeof(text), "/%s", segment);
    shm_unlink(text);
}

#else

static int
open_segment(RV_UNUSED const char *segment)
{
    return -1;
}

static void
remove_segment(RV_UNUSED const char *segment)
{
}

#endif

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

static void
clear(void)
{
    remove_segment(name);
    unlink(path);
    unlink(other_path);
}

static void
setup_run(void)
{
    ck_assert_ptr_nonnull(mkdtemp(directory));
    page = (size_t) sysconf(_SC_PAGESIZE);
    snprintf(name, sizeof(name), "rv_test_%d", (int) getpid());
    snprintf(path, sizeof(path), "%s/zone", directory);
    snprintf(other_path, sizeof(other_path), "%s/other", directory);
}

static void
teardown_run(void)
{
    clear();
    rmdir(directory);
}

static int
create(rv_shm_t *shm, const rv_shm_type_t *type, size_t size)
{
    return rv_shm_create(shm, type, name, (type->flags & RV_SHM_PATH) != 0 ? path : NULL, size);
}

static rv_shm_t
created(const rv_shm_type_t *type, size_t size)
{
    rv_shm_t shm;

    ck_assert_msg(create(&shm, type, size) == RV_OK, "%s: %s", type->name, strerror(errno));
    return shm;
}

static int
open_descriptors(void)
{
    DIR *dir = opendir("/proc/self/fd");
    int n = 0;

    ck_assert_ptr_nonnull(dir);

    while (readdir(dir) != NULL)
        n++;

    closedir(dir);
    return n;
}

static int
is_mapped(void *addr)
{
    return msync(addr, page, MS_ASYNC) == 0;
}

/* Neither a name nor a file. */
static int
is_left_in_the_system(void)
{
    int fd = open_segment(name);

    if (fd != -1)
        close(fd);

    return fd != -1 || access(path, F_OK) == 0;
}

static void
assert_empty(const rv_shm_t *shm)
{
    ck_assert_ptr_null(shm->addr);
    ck_assert_int_eq(shm->fd, -1);
    ck_assert_ptr_null(shm->name);
    ck_assert_ptr_null(shm->path);
}

static void
assert_success(pid_t pid)
{
    int status;

    ck_assert_int_eq(waitpid(pid, &status, 0), pid);
    ck_assert(WIFEXITED(status));
    ck_assert_int_eq(WEXITSTATUS(status), EXIT_SUCCESS);
}

static void
make_file(const char *file, size_t size)
{
    int fd = open(file, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

    ck_assert_int_ne(fd, -1);
    ck_assert_int_eq(ftruncate(fd, (off_t) size), 0);
    close(fd);
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
        clear();

        rv_shm_t shm = created(rv_shm_type_at(_i), pages[i] * page + extra[i]);
        const char *bytes = shm.addr;

        ck_assert_uint_eq(shm.size, (pages[i] + extra[i]) * page);
        ck_assert_int_eq(shm.existed, 0);
        ck_assert_str_eq(shm.name, name);

        for (size_t k = 0; k < shm.size; k++)
            ck_assert_int_eq(bytes[k], 0);

        memset(shm.addr, 0xff, shm.size);
        rv_shm_destroy(&shm);
    }
}
END_TEST

START_TEST(child_and_parent_see_each_other_write)
{
    rv_shm_t shm = created(rv_shm_type_at(_i), 2 * page);
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
    assert_success(pid);
    assert_answered(&shm);

    close(started[0]);
    close(started[1]);
    rv_shm_destroy(&shm);
}
END_TEST

START_TEST(heir_keeps_what_its_creator_gave_up)
{
    rv_shm_t shm = created(rv_shm_type_at(_i), page);
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
    assert_success(pid);

    close(gone[0]);
    close(gone[1]);
}
END_TEST

START_TEST(descriptor_is_kept_only_where_it_can_be_handed_on)
{
    const rv_shm_type_t *type = rv_shm_type_at(_i);
    int kept = (type->flags & RV_SHM_EXEC) != 0;
    int before = open_descriptors();
    rv_shm_t shm = created(type, page);

    ck_assert_int_eq(shm.fd != -1, kept);
    ck_assert_int_eq(open_descriptors(), before + kept);

    if (kept)
        ck_assert_int_eq(fcntl(shm.fd, F_GETFD), FD_CLOEXEC);

    rv_shm_destroy(&shm);
    ck_assert_int_eq(open_descriptors(), before);
}
END_TEST

START_TEST(destroy_leaves_nothing_but_a_file)
{
    const rv_shm_type_t *type = rv_shm_type_at(_i);
    rv_shm_t shm = created(type, page);
    void *addr = shm.addr;

    ck_assert(is_mapped(addr));
    ck_assert_int_eq(is_left_in_the_system(), (type->flags & (RV_SHM_NAMED | RV_SHM_PATH)) != 0);

    errno = ENOTTY;
    rv_shm_destroy(&shm);
    ck_assert_int_eq(errno, ENOTTY);

    ck_assert(!is_mapped(addr));
    assert_empty(&shm);
    ck_assert_int_eq(is_left_in_the_system(), (type->flags & RV_SHM_KEPT) != 0);
    rv_shm_destroy(&shm);
}
END_TEST

START_TEST(detach_leaves_names_alone)
{
    const rv_shm_type_t *type = rv_shm_type_at(_i);
    int before = open_descriptors();
    rv_shm_t shm = created(type, page);
    void *addr = shm.addr;

    errno = ENOTTY;
    rv_shm_detach(&shm);
    ck_assert_int_eq(errno, ENOTTY);

    ck_assert(!is_mapped(addr));
    assert_empty(&shm);
    ck_assert_int_eq(open_descriptors(), before);
    ck_assert_int_eq(is_left_in_the_system(), (type->flags & (RV_SHM_NAMED | RV_SHM_PATH)) != 0);
    rv_shm_detach(&shm);
    rv_shm_destroy(&shm);
}
END_TEST

static int
open_from_outside(const rv_shm_type_t *type, const char *where)
{
    return (type->flags & RV_SHM_NAMED) != 0 ? open_segment(where)
                                             : open(where, O_RDWR | O_CLOEXEC);
}

static void
tell_where(const rv_shm_t *shm, char where[TEXT_SIZE])
{
    if (shm->path != NULL)
        snprintf(where, TEXT_SIZE, "%s", shm->path);
    else if ((shm->type->flags & RV_SHM_NAMED) != 0)
        snprintf(where, TEXT_SIZE, "%s", shm->name);
    else
        snprintf(where, TEXT_SIZE, "/proc/%d/fd/%d", (int) getpid(), shm->fd);
}

START_TEST(process_that_inherited_nothing_maps_it)
{
    const rv_shm_type_t *type = rv_shm_type_at(_i);
    char where[TEXT_SIZE] = "";
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

    rv_shm_t shm = created(type, 2 * page);

    ask(&shm);
    tell_where(&shm, where);
    ck_assert_int_eq(write(address[1], where, sizeof(where)), sizeof(where));
    assert_success(pid);
    assert_answered(&shm);

    close(address[0]);
    close(address[1]);
    rv_shm_destroy(&shm);
}
END_TEST

START_TEST(descriptor_is_mapped_after_an_exec)
{
    const rv_shm_type_t *type = rv_shm_type_at(_i);
    char number[TEXT_SIZE];

    if ((type->flags & RV_SHM_EXEC) == 0)
        return;

    rv_shm_t shm = created(type, 2 * page);

    ask(&shm);

    pid_t pid = fork();

    ck_assert_int_ne(pid, -1);

    if (pid == 0) {
        snprintf(number, sizeof(number), "%d", dup(shm.fd));
        execl("/proc/self/exe", "test_shm", "heir", number, (char *) NULL);
        _exit(EXIT_FAILURE);
    }

    assert_success(pid);
    assert_answered(&shm);
    rv_shm_destroy(&shm);
}
END_TEST

static void
assert_refused(const rv_shm_type_t *type, size_t size, int error)
{
    int before = open_descriptors();
    rv_shm_t shm;

    memset(&shm, 0x5a, sizeof(shm));
    ck_assert_int_eq(create(&shm, type, size), RV_ERROR);
    ck_assert_msg(errno == error, "%s, %zu bytes: %s", type->name, size, strerror(errno));
    assert_empty(&shm);
    ck_assert_int_eq(open_descriptors(), before);
    rv_shm_destroy(&shm);
}

START_TEST(impossible_sizes_are_refused)
{
    const rv_shm_type_t *type = rv_shm_type_at(_i);

    assert_refused(type, 0, EINVAL);
    assert_refused(type, SIZE_MAX, ENOMEM);
    assert_refused(type, SIZE_MAX - page + 1, ENOMEM);
    assert_refused(type, SIZE_MAX - page, ENOMEM);
    assert_refused(type, (size_t) PTRDIFF_MAX + 1, ENOMEM);
    assert_refused(type, PTRDIFF_MAX, ENOMEM);
    ck_assert(!is_left_in_the_system());
}
END_TEST

/* Larger than any address space, but not than a sparse memfd: that is created,
 * sized and sealed before mmap fails. Reserved memory could fill the machine. */
START_TEST(failed_mapping_leaves_nothing)
{
    const rv_shm_type_t *type = rv_shm_type_at(_i);
    int before = open_descriptors();
    rv_shm_t shm;

    if ((type->flags & (RV_SHM_NAMED | RV_SHM_PATH)) != 0)
        return;

    ck_assert_int_eq(create(&shm, type, SIZE_MAX / 4), RV_ERROR);
    ck_assert_int_ne(errno, 0);
    assert_empty(&shm);
    ck_assert_int_eq(open_descriptors(), before);
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

    int before = open_descriptors();

    ck_assert_int_eq(getrlimit(RLIMIT_FSIZE, &saved), 0);
    small = saved;
    small.rlim_cur = page;
    signal(SIGXFSZ, SIG_IGN);
    ck_assert_int_eq(setrlimit(RLIMIT_FSIZE, &small), 0);

    int result = create(&shm, type, 4 * page);
    int error = errno;

    /* Before any assertion: Check reports through a file. */
    setrlimit(RLIMIT_FSIZE, &saved);

    ck_assert_int_eq(result, RV_ERROR);
    ck_assert_int_eq(error, EFBIG);
    assert_empty(&shm);
    ck_assert_int_eq(open_descriptors(), before);
    ck_assert(!is_left_in_the_system());
}
END_TEST

START_TEST(bad_names_are_refused)
{
    static const char *const names[] = { NULL, "", "a/b", "/a" };
    const rv_shm_type_t *type = rv_shm_type_at(_i);
    const char *right = (type->flags & RV_SHM_PATH) != 0 ? path : NULL;
    const char *wrong = (right == NULL) ? path : NULL;
    rv_shm_t shm;

    for (size_t i = 0; i < rv_countof(names); i++) {
        ck_assert_int_eq(rv_shm_create(&shm, type, names[i], right, page), RV_ERROR);
        ck_assert_int_eq(errno, EINVAL);
        assert_empty(&shm);
    }

    ck_assert_int_eq(rv_shm_create(&shm, type, name, wrong, page), RV_ERROR);
    ck_assert_int_eq(errno, EINVAL);
    assert_empty(&shm);
    ck_assert(!is_left_in_the_system());
}
END_TEST

START_TEST(memory_in_a_file_system_is_reserved)
{
    const rv_shm_type_t *type = rv_shm_type_at(_i);
    struct stat st;

    if ((type->flags & (RV_SHM_NAMED | RV_SHM_PATH)) == 0)
        return;

    rv_shm_t shm = created(type, 64 * page);

    ck_assert_int_eq(fstat(shm.fd, &st), 0);
    ck_assert_uint_eq(st.st_size, shm.size);
    ck_assert_uint_ge(512 * (size_t) st.st_blocks, shm.size);
    ck_assert_uint_eq(st.st_mode & 07777, 0600);
    rv_shm_destroy(&shm);
}
END_TEST

START_TEST(memfd_keeps_its_size)
{
    const rv_shm_type_t *type = rv_shm_type("memfd");

    if (type == NULL)
        return;

    rv_shm_t shm = created(type, 2 * page);

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

    rv_shm_t shm = created(type, page);

    ck_assert_int_eq(add_seal(shm.fd), -1);
    ck_assert_int_eq(errno, EPERM);
    rv_shm_destroy(&shm);
}
END_TEST

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

    rv_shm_t shm = created(type, page);

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

        _exit(create(&shm, type, page) == RV_OK ? kill(getpid(), SIGKILL) : EXIT_FAILURE);
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

    rv_shm_t shm = created(type, page);

    strcpy(shm.addr, "mine");
    assert_refused(type, page, EEXIST);
    ck_assert(is_left_in_the_system());
    ck_assert_str_eq(shm.addr, "mine");

    rv_shm_destroy(&shm);
    ck_assert(!is_left_in_the_system());

    shm = created(type, page);
    ck_assert_int_eq(((char *) shm.addr)[0], 0);
    rv_shm_destroy(&shm);
}
END_TEST

START_TEST(what_a_killed_process_left_is_seen_and_removed)
{
    const rv_shm_type_t *type = rv_shm_type_at(_i);
    const char *where = (type->flags & RV_SHM_PATH) != 0 ? path : name;
    char seen[sizeof("left")] = "";
    int before = open_descriptors();

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
        rv_shm_t shm = created(type, page);

        strcpy(shm.addr, "left");
        kill(getpid(), SIGKILL);
    }

    ck_assert_int_eq(waitpid(pid, NULL, 0), pid);
    ck_assert_int_eq(rv_shm_peek(type, where, seen, sizeof(seen)), RV_OK);
    ck_assert_str_eq(seen, "left");
    ck_assert_int_eq(rv_shm_peek(type, where, seen, page + 1), RV_ERROR);
    ck_assert_int_eq(errno, EINVAL);
    ck_assert_int_eq(open_descriptors(), before);

    errno = ENOTTY;
    rv_shm_remove(type, where);
    ck_assert_int_eq(errno, ENOTTY);
    ck_assert(!is_left_in_the_system());
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
    ck_assert_int_eq(rv_shm_create(&shm, type, long_name, NULL, page), RV_ERROR);
    ck_assert_int_eq(errno, ENAMETOOLONG);
    assert_empty(&shm);
}
END_TEST

START_TEST(file_keeps_its_content)
{
    const rv_shm_type_t *type = rv_shm_type("file");
    rv_shm_t shm = created(type, page + 1);

    ck_assert_int_eq(shm.existed, 0);
    ck_assert_str_eq(shm.path, path);
    strcpy(shm.addr, "kept");
    rv_shm_destroy(&shm);

    shm = created(type, page + 1);
    ck_assert_int_eq(shm.existed, 1);
    ck_assert_str_eq(shm.addr, "kept");
    rv_shm_destroy(&shm);
    ck_assert_int_eq(access(path, F_OK), 0);
}
END_TEST

START_TEST(file_of_another_size_is_refused_and_kept)
{
    const rv_shm_type_t *type = rv_shm_type("file");
    struct stat st;

    make_file(path, 2 * page);
    assert_refused(type, page, EFBIG);
    assert_refused(type, 3 * page, EFBIG);
    ck_assert_int_eq(stat(path, &st), 0);
    ck_assert_uint_eq(st.st_size, 2 * page);

    make_file(path, 0);
    assert_refused(type, page, EFBIG);
    make_file(path, page + 1);
    assert_refused(type, page + 1, EFBIG);
    ck_assert_int_eq(access(path, F_OK), 0);
}
END_TEST

START_TEST(holes_of_a_file_are_filled)
{
    struct stat st;

    make_file(path, 64 * page);

    rv_shm_t shm = created(rv_shm_type("file"), 64 * page);

    ck_assert_int_eq(shm.existed, 1);
    ck_assert_int_eq(fstat(shm.fd, &st), 0);
    ck_assert_uint_ge(512 * (size_t) st.st_blocks, shm.size);
    rv_shm_destroy(&shm);
}
END_TEST

START_TEST(link_is_not_followed)
{
    const rv_shm_type_t *type = rv_shm_type("file");

    ck_assert_int_eq(symlink(other_path, path), 0);
    assert_refused(type, page, ELOOP);
    ck_assert_int_eq(access(other_path, F_OK), -1);

    make_file(other_path, page);
    assert_refused(type, page, ELOOP);
}
END_TEST

START_TEST(only_a_regular_file_will_do)
{
    const rv_shm_type_t *type = rv_shm_type("file");
    char missing[TEXT_SIZE];
    rv_shm_t shm;

    ck_assert_int_eq(mkfifo(path, 0600), 0);
    assert_refused(type, page, EINVAL);
    ck_assert_int_eq(access(path, F_OK), 0);

    ck_assert_int_eq(rv_shm_create(&shm, type, name, directory, page), RV_ERROR);
    ck_assert_int_eq(errno, EISDIR);
    assert_empty(&shm);

    ck_assert_int_eq(rv_shm_create(&shm, type, name, "/dev/null", page), RV_ERROR);
    ck_assert_int_eq(errno, EINVAL);
    assert_empty(&shm);

    snprintf(missing, sizeof(missing), "%s/none/zone", directory);
    ck_assert_int_eq(rv_shm_create(&shm, type, name, missing, page), RV_ERROR);
    ck_assert_int_eq(errno, ENOENT);
    assert_empty(&shm);
}
END_TEST

static void
add_for_each_mechanism(TCase *tcase)
{
    int n = 0;

    while (rv_shm_type_at((size_t) n) != NULL)
        n++;

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
    tcase_add_loop_test(tcase, memory_in_a_file_system_is_reserved, 0, n);
    tcase_add_loop_test(tcase, what_a_killed_process_left_is_seen_and_removed, 0, n);
}

static void
add_for_one_mechanism(TCase *tcase)
{
    tcase_add_test(tcase, mechanisms_are_found_by_name);
    tcase_add_test(tcase, auto_is_the_first_that_leaves_no_name);
    tcase_add_test(tcase, memfd_keeps_its_size);
    tcase_add_test(tcase, memfd_takes_no_more_seals);
    tcase_add_test(tcase, sysv_segment_is_removed_at_once);
    tcase_add_test(tcase, sysv_segment_goes_with_a_killed_process);
    tcase_add_test(tcase, posix_name_of_somebody_else_is_left_alone);
    tcase_add_test(tcase, posix_name_can_be_too_long);
    tcase_add_test(tcase, file_keeps_its_content);
    tcase_add_test(tcase, file_of_another_size_is_refused_and_kept);
    tcase_add_test(tcase, holes_of_a_file_are_filled);
    tcase_add_test(tcase, link_is_not_followed);
    tcase_add_test(tcase, only_a_regular_file_will_do);
}

static Suite *
shm_suite(void)
{
    Suite *suite = suite_create("shm");
    TCase *tcase = tcase_create("shm");

    tcase_add_unchecked_fixture(tcase, setup_run, teardown_run);
    tcase_add_checked_fixture(tcase, clear, clear);
    tcase_set_timeout(tcase, 60);
    add_for_each_mechanism(tcase);
    add_for_one_mechanism(tcase);

    suite_add_tcase(suite, tcase);
    return suite;
}

int
main(int argc, char **argv)
{
    if (argc == 3 && strcmp(argv[1], "heir") == 0)
        return map_and_answer(atoi(argv[2]));

    SRunner *runner = srunner_create(shm_suite());

    srunner_run_all(runner, CK_NORMAL);

    int failed = srunner_ntests_failed(runner);

    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
