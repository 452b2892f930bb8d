/*
 * What the suites of rv_stats have in common: shared memory, rows for
 * processes, and the processes themselves.
 */
#ifndef STATS_FIXTURE_H
#define STATS_FIXTURE_H

#include "rv_stats_fold.h"
#include "rv_stats_outcome.h"

#include <check.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

/* Zeroed memory, shared with all children. */
static inline void *
stats_shared(size_t size)
{
    void *p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

    ck_assert_ptr_ne(p, MAP_FAILED);
    return p;
}

static inline rv_stats_t *
stats_of(const rv_stats_defs_t *defs, unsigned rows)
{
    rv_stats_t *st = rv_stats_create(stats_shared(rv_stats_size(defs, rows)), defs, rows);

    ck_assert_ptr_nonnull(st);
    return st;
}

/* A row that belongs to that process. */
static inline unsigned
stats_claim(rv_stats_t *st, pid_t pid)
{
    int row = rv_stats_claim(st);

    ck_assert_int_ge(row, 0);
    const rv_stats_owner_t owner = { .slot = (unsigned) row, .pid = pid };
    rv_stats_set_owner(st, (unsigned) row, &owner);
    return (unsigned) row;
}

/* A row that this process writes, in the name of any. */
static inline unsigned
stats_own(rv_stats_t *st)
{
    unsigned row = stats_claim(st, 100);

    ck_assert_int_eq(rv_stats_own(st, row), RV_OK);
    return row;
}

static inline void
stats_add(rv_stats_t *st, unsigned cell, int64_t delta)
{
    rv_stats_apply(st, &(rv_stats_change_t){ cell, delta }, 1);
}

static inline uint64_t
stats_total(const rv_stats_t *st, unsigned cell)
{
    uint64_t values[RV_STATS_CELLS];

    rv_stats_snapshot(st, values, rv_stats_cells(st));
    return values[cell];
}

/* The cell of a value that is there. */
static inline unsigned
stats_cell(const rv_stats_t *st, const char *module, const char *name)
{
    int cell = rv_stats_find(st, module, name);

    ck_assert_msg(cell >= 0, "there is no %s of %s", name, module);
    return (unsigned) cell;
}

/* --- processes ---------------------------------------------------------------------------- */

static inline pid_t
stats_spawn(void (*body)(void))
{
    pid_t pid = fork();

    ck_assert_int_ne(pid, -1);
    if (pid == 0) {
        body();
        _exit(0);
    }
    return pid;
}

static inline void
stats_kill(pid_t pid)
{
    int status;

    ck_assert_int_eq(kill(pid, SIGKILL), 0);
    ck_assert_int_eq(waitpid(pid, &status, 0), pid);
    ck_assert_msg(WIFSIGNALED(status), "it had exited before");
}

/* It ends by itself, and well. */
static inline void
stats_wait(pid_t pid)
{
    int status;

    ck_assert_int_eq(waitpid(pid, &status, 0), pid);
    ck_assert_msg(WIFEXITED(status) && WEXITSTATUS(status) == 0, "status %x", (unsigned) status);
}

/* Between two looks at a condition. */
static inline void
stats_moment(void)
{
    nanosleep(&(struct timespec){ .tv_nsec = 2000000 }, NULL);
}

/* --- a suite's main ----------------------------------------------------------------------- */

static inline int
stats_run(Suite *suite)
{
    SRunner *runner = srunner_create(suite);

    srunner_run_all(runner, CK_NORMAL);

    int failed = srunner_ntests_failed(runner);

    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}

#endif
