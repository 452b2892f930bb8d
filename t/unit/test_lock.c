/*
 * rv_lock: processes that share memory exclude each other, and notice when
 * one of them died in the middle.
 *
 * Everything that processes of a test have in common lies in one shared page.
 * Children report by their exit status and say "I hold it" with a byte in a
 * pipe; that one waits is what /proc says. Nobody waits for time to pass.
 */
#include "rv_lock.h"

#include <check.h>
#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#define PROCESSES 4
#define ROUNDS 100000

/* What rv_lock_acquire or rv_lock_try said, as an exit status. */
#define SAID_OK 10
#define SAID_REPAIRED 11
#define SAID_NOT_RECOVERABLE 12
#define SAID_AGAIN 13
#define SAID_ANYTHING_ELSE 14

typedef struct {
    rv_lock_t lock;
    volatile long counter;
    volatile int repairs;
} shared_t;

static shared_t *shared;

static void
setup(void)
{
    shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

    ck_assert_ptr_ne(shared, MAP_FAILED);
    ck_assert_int_eq(rv_lock_init(&shared->lock), RV_OK);
}

static void
teardown(void)
{
    munmap(shared, sizeof(*shared));
}

static int
repair_well(void *data)
{
    ((shared_t *) data)->repairs++;
    return RV_OK;
}

static int
repair_badly(void *data)
{
    ((shared_t *) data)->repairs++;
    errno = EIO;
    return RV_ERROR;
}

static int
repair_and_die(void *data)
{
    ((shared_t *) data)->repairs++;
    return kill(getpid(), SIGKILL);
}

static int
acquire_once(rv_lock_repair_t repair)
{
    switch (rv_lock_acquire(&shared->lock, repair, shared)) {
    case RV_OK:
        rv_lock_release(&shared->lock);
        return SAID_OK;
    case RV_LOCK_REPAIRED:
        rv_lock_release(&shared->lock);
        return SAID_REPAIRED;
    default:
        return errno == ENOTRECOVERABLE ? SAID_NOT_RECOVERABLE : SAID_ANYTHING_ELSE;
    }
}

static pid_t
spawn(int (*body)(rv_lock_repair_t), rv_lock_repair_t repair)
{
    pid_t pid = fork();

    ck_assert_int_ne(pid, -1);

    if (pid == 0)
        _exit(body(repair));

    return pid;
}

static int
exit_status(pid_t pid)
{
    int status;

    ck_assert_int_eq(waitpid(pid, &status, 0), pid);
    ck_assert(WIFEXITED(status));
    return WEXITSTATUS(status);
}

/* Returns once the new process holds the lock; it never gives it back. */
static pid_t
spawn_owner(void)
{
    int ready[2];
    char byte = 0;

    ck_assert_int_eq(pipe(ready), 0);

    pid_t pid = fork();

    ck_assert_int_ne(pid, -1);

    if (pid == 0) {
        if (rv_lock_acquire(&shared->lock, NULL, NULL) == RV_OK && write(ready[1], "h", 1) == 1)
            for (;;)
                pause();

        _exit(1);
    }

    close(ready[1]);
    ck_assert_int_eq(read(ready[0], &byte, 1), 1);
    close(ready[0]);
    return pid;
}

/* A child that does nothing but acquire sleeps only when it has to wait. */
static void
wait_until_asleep(pid_t pid)
{
    char path[64];
    char state = '?';

    snprintf(path, sizeof(path), "/proc/%d/stat", (int) pid);

    while (state != 'S') {
        FILE *stat = fopen(path, "re");

        ck_assert_ptr_nonnull(stat);
        ck_assert_int_eq(fscanf(stat, "%*d %*s %c", &state), 1);
        fclose(stat);
        sched_yield();
    }
}

static void
spawn_waiting(pid_t pids[PROCESSES], rv_lock_repair_t repair)
{
    for (size_t i = 0; i < PROCESSES; i++)
        pids[i] = spawn(acquire_once, repair);

    for (size_t i = 0; i < PROCESSES; i++)
        wait_until_asleep(pids[i]);
}

static void
kill_owner(pid_t pid)
{
    int status;

    ck_assert_int_eq(kill(pid, SIGKILL), 0);
    ck_assert_int_eq(waitpid(pid, &status, 0), pid);
    ck_assert(WIFSIGNALED(status));
}

static int
count_rounds(rv_lock_repair_t repair)
{
    for (int i = 0; i < ROUNDS; i++) {
        if (rv_lock_acquire(&shared->lock, repair, NULL) != RV_OK)
            return EXIT_FAILURE;

        long seen = shared->counter;

        shared->counter = seen + 1;
        rv_lock_release(&shared->lock);
    }

    return EXIT_SUCCESS;
}

START_TEST(processes_exclude_each_other)
{
    pid_t pids[PROCESSES];

    /* None starts to count before all are there. */
    ck_assert_int_eq(rv_lock_acquire(&shared->lock, NULL, NULL), RV_OK);

    for (size_t i = 0; i < PROCESSES; i++)
        pids[i] = spawn(count_rounds, NULL);

    rv_lock_release(&shared->lock);

    for (size_t i = 0; i < PROCESSES; i++)
        ck_assert_int_eq(exit_status(pids[i]), EXIT_SUCCESS);

    ck_assert_int_eq(shared->counter, (long) PROCESSES * ROUNDS);
}
END_TEST

START_TEST(next_owner_repairs_after_a_killed_one)
{
    kill_owner(spawn_owner());

    ck_assert_int_eq(rv_lock_acquire(&shared->lock, repair_well, shared), RV_LOCK_REPAIRED);
    ck_assert_int_eq(shared->repairs, 1);
    rv_lock_release(&shared->lock);

    ck_assert_int_eq(rv_lock_acquire(&shared->lock, repair_well, shared), RV_OK);
    ck_assert_int_eq(shared->repairs, 1);
    rv_lock_release(&shared->lock);

    ck_assert_int_eq(exit_status(spawn(acquire_once, repair_well)), SAID_OK);
    ck_assert_int_eq(shared->repairs, 1);
}
END_TEST

START_TEST(every_death_is_repaired)
{
    for (int i = 1; i <= 3; i++) {
        kill_owner(spawn_owner());
        ck_assert_int_eq(acquire_once(repair_well), SAID_REPAIRED);
        ck_assert_int_eq(shared->repairs, i);
    }
}
END_TEST

START_TEST(one_of_those_who_wait_repairs)
{
    int said[SAID_ANYTHING_ELSE + 1] = { 0 };
    pid_t owner = spawn_owner();
    pid_t pids[PROCESSES];

    spawn_waiting(pids, repair_well);
    kill_owner(owner);

    for (size_t i = 0; i < PROCESSES; i++)
        said[exit_status(pids[i])]++;

    ck_assert_int_eq(said[SAID_REPAIRED], 1);
    ck_assert_int_eq(said[SAID_OK], PROCESSES - 1);
    ck_assert_int_eq(shared->repairs, 1);
}
END_TEST

START_TEST(repair_that_was_killed_is_done_again)
{
    int status;

    kill_owner(spawn_owner());

    pid_t pid = spawn(acquire_once, repair_and_die);

    ck_assert_int_eq(waitpid(pid, &status, 0), pid);
    ck_assert(WIFSIGNALED(status));

    ck_assert_int_eq(acquire_once(repair_well), SAID_REPAIRED);
    ck_assert_int_eq(shared->repairs, 2);
    ck_assert_int_eq(acquire_once(repair_well), SAID_OK);
}
END_TEST

START_TEST(failed_repair_shuts_everybody_out_until_init)
{
    kill_owner(spawn_owner());

    ck_assert_int_eq(acquire_once(repair_badly), SAID_NOT_RECOVERABLE);
    ck_assert_int_eq(acquire_once(repair_well), SAID_NOT_RECOVERABLE);
    ck_assert_int_eq(exit_status(spawn(acquire_once, repair_well)), SAID_NOT_RECOVERABLE);
    ck_assert_int_eq(shared->repairs, 1);

    ck_assert_int_eq(rv_lock_init(&shared->lock), RV_OK);
    ck_assert_int_eq(exit_status(spawn(acquire_once, repair_well)), SAID_OK);
    ck_assert_int_eq(acquire_once(repair_well), SAID_OK);
    ck_assert_int_eq(shared->repairs, 1);
}
END_TEST

START_TEST(failed_repair_wakes_all_who_wait)
{
    pid_t owner = spawn_owner();
    pid_t pids[PROCESSES];

    spawn_waiting(pids, repair_badly);
    kill_owner(owner);

    for (size_t i = 0; i < PROCESSES; i++)
        ck_assert_int_eq(exit_status(pids[i]), SAID_NOT_RECOVERABLE);

    ck_assert_int_eq(shared->repairs, 1);
}
END_TEST

/* The one that knows is killed before it can tell: nobody repairs again. */
START_TEST(broken_lock_stays_broken_after_one_more_death)
{
    kill_owner(spawn_owner());
    ck_assert_int_eq(acquire_once(repair_badly), SAID_NOT_RECOVERABLE);

    pid_t pid = fork();

    ck_assert_int_ne(pid, -1);

    if (pid == 0) {
        pthread_mutex_lock(&shared->lock.mutex);
        _exit(EXIT_SUCCESS);
    }

    ck_assert_int_eq(exit_status(pid), EXIT_SUCCESS);
    ck_assert_int_eq(acquire_once(repair_well), SAID_NOT_RECOVERABLE);
    ck_assert_int_eq(acquire_once(repair_well), SAID_NOT_RECOVERABLE);
    ck_assert_int_eq(shared->repairs, 1);
}
END_TEST

START_TEST(no_repair_is_a_failed_one)
{
    kill_owner(spawn_owner());

    ck_assert_int_eq(acquire_once(NULL), SAID_NOT_RECOVERABLE);
    ck_assert_int_eq(acquire_once(repair_well), SAID_NOT_RECOVERABLE);
    ck_assert_int_eq(shared->repairs, 0);
}
END_TEST

START_TEST(taking_it_twice_is_an_error_and_no_deadlock)
{
    ck_assert_int_eq(rv_lock_acquire(&shared->lock, NULL, NULL), RV_OK);
    ck_assert_int_eq(rv_lock_acquire(&shared->lock, NULL, NULL), RV_ERROR);
    ck_assert_int_eq(errno, EDEADLK);
    rv_lock_release(&shared->lock);
    ck_assert_int_eq(exit_status(spawn(acquire_once, NULL)), SAID_OK);
}
END_TEST

static int
release_and_try(RV_UNUSED rv_lock_repair_t repair)
{
    rv_lock_release(&shared->lock);
    return pthread_mutex_trylock(&shared->lock.mutex) == EBUSY ? EXIT_SUCCESS : EXIT_FAILURE;
}

START_TEST(only_the_owner_can_release_it)
{
    ck_assert_int_eq(rv_lock_acquire(&shared->lock, NULL, NULL), RV_OK);
    ck_assert_int_eq(exit_status(spawn(release_and_try, NULL)), EXIT_SUCCESS);
    rv_lock_release(&shared->lock);
}
END_TEST

/* --- without waiting ------------------------------------------------------------------ */

static int
try_once(rv_lock_repair_t repair)
{
    int result = rv_lock_try(&shared->lock, repair, shared);

    if (result == RV_AGAIN)
        return SAID_AGAIN;
    if (result == RV_ERROR)
        return errno == ENOTRECOVERABLE ? SAID_NOT_RECOVERABLE : SAID_ANYTHING_ELSE;

    rv_lock_release(&shared->lock);
    return result == RV_LOCK_REPAIRED ? SAID_REPAIRED : SAID_OK;
}

START_TEST(trying_does_not_wait_for_an_owner_that_lives)
{
    ck_assert_int_eq(try_once(repair_well), SAID_OK);

    pid_t owner = spawn_owner();

    ck_assert_int_eq(try_once(repair_well), SAID_AGAIN);
    ck_assert_int_eq(exit_status(spawn(try_once, repair_well)), SAID_AGAIN);
    ck_assert_int_eq(shared->repairs, 0);

    kill_owner(owner);
    ck_assert_int_eq(try_once(repair_well), SAID_REPAIRED);
    ck_assert_int_eq(try_once(repair_well), SAID_OK);
    ck_assert_int_eq(shared->repairs, 1);
}
END_TEST

START_TEST(trying_holds_the_lock)
{
    ck_assert_int_eq(rv_lock_try(&shared->lock, NULL, NULL), RV_OK);
    ck_assert_int_eq(exit_status(spawn(try_once, repair_well)), SAID_AGAIN);

    pid_t pid = spawn(acquire_once, repair_well);

    wait_until_asleep(pid);
    rv_lock_release(&shared->lock);
    ck_assert_int_eq(exit_status(pid), SAID_OK);
}
END_TEST

START_TEST(trying_a_broken_lock_is_an_error)
{
    kill_owner(spawn_owner());
    ck_assert_int_eq(try_once(repair_badly), SAID_NOT_RECOVERABLE);
    ck_assert_int_eq(try_once(repair_well), SAID_NOT_RECOVERABLE);
    ck_assert_int_eq(acquire_once(repair_well), SAID_NOT_RECOVERABLE);
    ck_assert_int_eq(shared->repairs, 1);
}
END_TEST

START_TEST(one_that_is_not_trusted_is_waited_for_only_so_long)
{
    pid_t owner = spawn_owner();

    ck_assert_int_eq(rv_lock_acquire_within(&shared->lock, 1000, repair_well, shared), RV_ERROR);
    ck_assert_int_eq(errno, ETIMEDOUT);
    ck_assert_int_eq(kill(owner, SIGKILL), 0);
    ck_assert_int_eq(waitpid(owner, NULL, 0), owner);
    ck_assert_int_eq(
        rv_lock_acquire_within(&shared->lock, 1000, repair_well, shared), RV_LOCK_REPAIRED);
    rv_lock_release(&shared->lock);
    ck_assert_int_eq(rv_lock_acquire_within(&shared->lock, 1000, repair_well, shared), RV_OK);
    ck_assert_int_eq(shared->repairs, 1);
    rv_lock_release(&shared->lock);
}
END_TEST

static Suite *
lock_suite(void)
{
    Suite *suite = suite_create("lock");
    TCase *tcase = tcase_create("lock");

    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_set_timeout(tcase, 30);
    tcase_add_test(tcase, processes_exclude_each_other);
    tcase_add_test(tcase, next_owner_repairs_after_a_killed_one);
    tcase_add_test(tcase, every_death_is_repaired);
    tcase_add_test(tcase, one_of_those_who_wait_repairs);
    tcase_add_test(tcase, repair_that_was_killed_is_done_again);
    tcase_add_test(tcase, failed_repair_shuts_everybody_out_until_init);
    tcase_add_test(tcase, failed_repair_wakes_all_who_wait);
    tcase_add_test(tcase, broken_lock_stays_broken_after_one_more_death);
    tcase_add_test(tcase, no_repair_is_a_failed_one);
    tcase_add_test(tcase, taking_it_twice_is_an_error_and_no_deadlock);
    tcase_add_test(tcase, only_the_owner_can_release_it);
    tcase_add_test(tcase, trying_does_not_wait_for_an_owner_that_lives);
    tcase_add_test(tcase, trying_holds_the_lock);
    tcase_add_test(tcase, trying_a_broken_lock_is_an_error);
    tcase_add_test(tcase, one_that_is_not_trusted_is_waited_for_only_so_long);

    suite_add_tcase(suite, tcase);
    return suite;
}

int
main(void)
{
    SRunner *runner = srunner_create(lock_suite());

    srunner_run_all(runner, CK_NORMAL);

    int failed = srunner_ntests_failed(runner);

    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
