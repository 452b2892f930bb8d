/*
 * What the suites of shared memory have in common: a directory, a path and a
 * name that belong to the run, mappings, and other processes.
 */
#ifndef SHM_FIXTURE_H
#define SHM_FIXTURE_H

#include "rv_shm.h"

#include "descriptors.h"

#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { FIXTURE_TEXT = 256 };

/* --- the place -------------------------------------------------------------------------- */

typedef struct {
    char directory[64];
    char path[96];  /* of the file that most tests use, */
    char fresh[96]; /* of that one as long as it is new, */
    char other[96]; /* and of another one, all in the directory */
    char name[64];  /* in the system (posix) */
    size_t page;
} fixture_place_t;

static inline fixture_place_t *
fixture_place(void)
{
    static fixture_place_t place;

    return &place;
}

/* The posix segment as a process sees it that knows no more than its name. */
#if RV_HAVE_POSIX_SHM

static inline int
fixture_open_segment(const char *name)
{
    char text[FIXTURE_TEXT + 1];

    snprintf(text, sizeof(text), "/%s", name);
    return shm_open(text, O_RDWR | O_CLOEXEC, 0);
}

static inline void
fixture_remove_segment(const char *name)
{
    char text[FIXTURE_TEXT + 1];

    snprintf(text, sizeof(text), "/%s", name);
    shm_unlink(text);
}

#else

static inline int
fixture_open_segment(RV_UNUSED const char *name)
{
    return -1;
}

static inline void
fixture_remove_segment(RV_UNUSED const char *name)
{
}

#endif

static inline int
fixture_remove_entry(
    const char *path, RV_UNUSED const struct stat *st, RV_UNUSED int type, struct FTW *at)
{
    return at->level == 0 ? 0 : remove(path);
}

/* Before and after each test. */
static inline void
fixture_clear(void)
{
    fixture_remove_segment(fixture_place()->name);
    (void) nftw(fixture_place()->directory, fixture_remove_entry, 8, FTW_DEPTH | FTW_PHYS);
}

/* Before the first and after the last one. */
static inline void
fixture_setup_run(void)
{
    fixture_place_t *p = fixture_place();

    snprintf(p->directory, sizeof(p->directory), "/tmp/rv_test_XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(p->directory));
    snprintf(p->path, sizeof(p->path), "%.40s/zone", p->directory);
    snprintf(p->fresh, sizeof(p->fresh), "%.40s/zone.new", p->directory);
    snprintf(p->other, sizeof(p->other), "%.40s/other", p->directory);
    snprintf(p->name, sizeof(p->name), "rv_test_%d", (int) getpid());
    p->page = (size_t) sysconf(_SC_PAGESIZE);
}

static inline void
fixture_teardown_run(void)
{
    fixture_clear();
    rmdir(fixture_place()->directory);
}

static inline int
fixture_exists(const char *path)
{
    struct stat st;

    return lstat(path, &st) == 0;
}

/* Of `size` bytes, each of them `byte`. */
static inline void
fixture_make_file(const char *path, size_t size, int byte)
{
    FILE *file = fopen(path, "we");

    ck_assert_ptr_nonnull(file);
    for (size_t i = 0; i < size; i++)
        ck_assert_int_ne(fputc(byte, file), EOF);
    ck_assert_int_eq(fclose(file), 0);
}

static inline size_t
fixture_file_size(const char *path)
{
    struct stat st;

    ck_assert_int_eq(stat(path, &st), 0);
    return (size_t) st.st_size;
}

/* --- mappings ----------------------------------------------------------------------------- */

static inline const char *
fixture_path_for(const rv_shm_type_t *type)
{
    return type->flags & RV_SHM_PATH ? fixture_place()->path : NULL;
}

static inline int
fixture_create(rv_shm_t *shm, const rv_shm_type_t *type, size_t size)
{
    return rv_shm_create(shm, type, fixture_place()->name, fixture_path_for(type), size, 0);
}

static inline rv_shm_t
fixture_created(const rv_shm_type_t *type, size_t size)
{
    rv_shm_t shm;

    ck_assert_msg(fixture_create(&shm, type, size) == RV_OK, "%s: %s", type->name, strerror(errno));
    return shm;
}

/* Neither a name nor a file. */
static inline int
fixture_is_left_in_the_system(void)
{
    int fd = fixture_open_segment(fixture_place()->name);

    if (fd != -1)
        close(fd);
    return fd != -1 || fixture_exists(fixture_place()->path);
}

static inline void
fixture_assert_empty(const rv_shm_t *shm)
{
    ck_assert_ptr_null(shm->addr);
    ck_assert_int_eq(shm->fd, -1);
    ck_assert_ptr_null(shm->name);
    ck_assert_ptr_null(shm->path);
}

static inline void
fixture_assert_refused(const rv_shm_type_t *type, size_t size, int error)
{
    int before = descriptors_open();
    rv_shm_t shm;

    memset(&shm, 0x5a, sizeof(shm));
    ck_assert_int_eq(fixture_create(&shm, type, size), RV_ERROR);
    ck_assert_msg(errno == error, "%s, %zu bytes: %s", type->name, size, strerror(errno));
    fixture_assert_empty(&shm);
    ck_assert_int_eq(descriptors_open(), before);
    rv_shm_destroy(&shm);
}

static inline int
fixture_count_types(void)
{
    int n = 0;

    while (rv_shm_type_at((size_t) n) != NULL)
        n++;
    return n;
}

/* --- processes ---------------------------------------------------------------------------- */

/* Zeroed memory, shared with all children. */
static inline void *
fixture_shared(size_t size)
{
    void *p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

    ck_assert_ptr_ne(p, MAP_FAILED);
    return p;
}

static inline pid_t
fixture_spawn(void (*body)(void))
{
    pid_t pid = fork();

    ck_assert_int_ne(pid, -1);
    if (pid == 0) {
        body();
        _exit(EXIT_SUCCESS);
    }
    return pid;
}

/* It ends by itself, and well. */
static inline void
fixture_wait(pid_t pid)
{
    int status;

    ck_assert_int_eq(waitpid(pid, &status, 0), pid);
    ck_assert_msg(WIFEXITED(status) && WEXITSTATUS(status) == 0, "status %x", (unsigned) status);
}

/* The signal that it dies of. */
static inline int
fixture_signal_of(pid_t pid)
{
    int status;

    ck_assert_int_eq(waitpid(pid, &status, 0), pid);
    ck_assert_msg(WIFSIGNALED(status), "status %x", (unsigned) status);
    return WTERMSIG(status);
}

static inline void
fixture_kill(pid_t pid)
{
    ck_assert_int_eq(kill(pid, SIGKILL), 0);
    ck_assert_int_eq(fixture_signal_of(pid), SIGKILL);
}

/* Until a living process has said so. */
static inline void
fixture_wait_for(const volatile int *said, pid_t pid)
{
    while (!*said) {
        ck_assert_int_eq(waitpid(pid, NULL, WNOHANG), 0);
        nanosleep(&(struct timespec){ .tv_nsec = 1000000 }, NULL);
    }
}

/* A child that does nothing but take a lock sleeps only when it has to wait. */
static inline void
fixture_wait_until_asleep(pid_t pid)
{
    char path[64], state = '?';

    snprintf(path, sizeof(path), "/proc/%d/stat", (int) pid);
    while (state != 'S') {
        FILE *stat = fopen(path, "re");

        ck_assert_ptr_nonnull(stat);
        ck_assert_int_eq(fscanf(stat, "%*d %*s %c", &state), 1);
        fclose(stat);
    }
}

/* --- a suite's main ----------------------------------------------------------------------- */

static inline int
fixture_run(Suite *suite)
{
    SRunner *runner = srunner_create(suite);

    srunner_run_all(runner, CK_NORMAL);

    int failed = srunner_ntests_failed(runner);

    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}

#endif
