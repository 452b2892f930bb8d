/*
 * rv_pidfile: one process at a time holds it, and the kernel says which.
 *
 * Record locks are a process's, so whoever else is to see the file is forked.
 */
#include "rv_pidfile.h"

#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define TEXT_SIZE 256

static char directory[] = "/tmp/rv_test_pidfile_XXXXXX";
static char path[2 * TEXT_SIZE];
static char other_path[TEXT_SIZE];

/* What a forked process saw. */
typedef struct {
    int result;
    int err;
    pid_t pid;
} seen_t;

static void
setup_run(void)
{
    ck_assert_ptr_nonnull(mkdtemp(directory));
    snprintf(path, sizeof(path), "%s/reeve.pid", directory);
    snprintf(other_path, sizeof(other_path), "%s/other", directory);
}

static void
clear(void)
{
    unlink(path);
    unlink(other_path);
    rmdir(other_path);
}

static void
teardown_run(void)
{
    clear();
    rmdir(directory);
}

static int
exists(const char *file)
{
    struct stat st;

    return lstat(file, &st) == 0;
}

static void
write_file(const char *file, const char *text)
{
    FILE *f = fopen(file, "w");

    ck_assert_ptr_nonnull(f);
    ck_assert_int_ge(fputs(text, f), 0);
    ck_assert_int_eq(fclose(f), 0);
}

/* Without opening it here, which would drop the lock on closing. */
static void
assert_text(const char *expected)
{
    char command[2 * TEXT_SIZE + 16], text[64] = "";

    snprintf(command, sizeof(command), "cat '%s'", path);
    FILE *f = popen(command, "r");
    ck_assert_ptr_nonnull(f);
    ck_assert_uint_eq(fread(text, 1, sizeof(text) - 1, f), strlen(expected));
    ck_assert_int_eq(pclose(f), 0);
    ck_assert_str_eq(text, expected);
}

static void
assert_own_text(void)
{
    char text[64];

    snprintf(text, sizeof(text), "%ld\n", (long) getpid());
    assert_text(text);
}

/* In another process: find (create 0), or create and go away (create 1). */
static seen_t
elsewhere(int create)
{
    seen_t seen = { .pid = -1 };
    rv_pidfile_t file;
    int fds[2], status;

    ck_assert_int_eq(pipe(fds), 0);
    pid_t pid = fork();
    ck_assert_int_ne(pid, -1);
    if (pid == 0) {
        seen.result =
            create ? rv_pidfile_create(&file, path, &seen.pid) : rv_pidfile_find(path, &seen.pid);
        seen.err = errno;
        _exit(write(fds[1], &seen, sizeof(seen)) != sizeof(seen));
    }
    ck_assert_int_eq(waitpid(pid, &status, 0), pid);
    ck_assert_int_eq(status, 0);
    ck_assert_int_eq(read(fds[0], &seen, sizeof(seen)), sizeof(seen));
    close(fds[0]);
    close(fds[1]);
    return seen;
}

static rv_pidfile_t
create_here(void)
{
    rv_pidfile_t file;
    pid_t holder = -1;

    ck_assert_int_eq(rv_pidfile_create(&file, path, &holder), RV_OK);
    ck_assert_int_ne(file.fd, -1);
    return file;
}

START_TEST(file_has_the_pid_and_goes_with_it)
{
    struct stat st;

    ck_assert_int_eq(elsewhere(0).result, RV_DONE);
    rv_pidfile_t file = create_here();

    assert_own_text();
    ck_assert_int_eq(stat(path, &st), 0);
    ck_assert_uint_eq(st.st_mode & 0022, 0); /* nobody else may write it */
    ck_assert_int_ne(fcntl(file.fd, F_GETFD) & FD_CLOEXEC, 0);

    rv_pidfile_remove(&file);
    ck_assert_int_eq(file.fd, -1);
    ck_assert(!exists(path));
    ck_assert_int_eq(elsewhere(0).result, RV_DONE);
}
END_TEST

START_TEST(second_process_is_told_who_holds_it)
{
    rv_pidfile_t file = create_here();

    seen_t seen = elsewhere(1);
    ck_assert_int_eq(seen.result, RV_AGAIN);
    ck_assert_int_eq(seen.pid, getpid());

    seen = elsewhere(0);
    ck_assert_int_eq(seen.result, RV_OK);
    ck_assert_int_eq(seen.pid, getpid());
    assert_own_text(); /* and it has not been touched */
    rv_pidfile_remove(&file);
}
END_TEST

START_TEST(pid_is_the_kernels_whatever_the_file_says)
{
    rv_pidfile_t file = create_here();

    ck_assert_int_eq(pwrite(file.fd, "1      ", 7, 0), 7);
    ck_assert_int_eq(elsewhere(0).pid, getpid());
    ck_assert_int_eq(elsewhere(1).pid, getpid());
    rv_pidfile_remove(&file);
}
END_TEST

START_TEST(file_that_nobody_holds_is_stale)
{
    char text[64];

    /* though the pid in it is alive, and longer than what replaces it */
    snprintf(text, sizeof(text), "%ld and more than that\n", (long) getppid());
    write_file(path, text);
    ck_assert_int_eq(elsewhere(0).result, RV_DONE);
    rv_pidfile_t file = create_here();

    assert_own_text();
    ck_assert_int_eq(elsewhere(0).pid, getpid());
    rv_pidfile_remove(&file);
}
END_TEST

START_TEST(file_of_a_killed_process_is_stale)
{
    rv_pidfile_t file;
    int fds[2], status;
    pid_t holder, pid;
    char byte;

    ck_assert_int_eq(pipe(fds), 0);
    pid = fork();
    ck_assert_int_ne(pid, -1);
    if (pid == 0) {
        if (rv_pidfile_create(&file, path, &holder) == RV_OK && write(fds[1], "x", 1) == 1)
            pause();
        _exit(1);
    }
    ck_assert_int_eq(read(fds[0], &byte, 1), 1);
    ck_assert_int_eq(rv_pidfile_find(path, &holder), RV_OK);
    ck_assert_int_eq(holder, pid);
    ck_assert_int_eq(kill(pid, SIGKILL), 0);
    ck_assert_int_eq(waitpid(pid, &status, 0), pid);

    ck_assert(exists(path));
    ck_assert_int_eq(elsewhere(0).result, RV_DONE);
    file = create_here();
    assert_own_text();
    rv_pidfile_remove(&file);
}
END_TEST

START_TEST(child_does_not_hold_what_its_parent_does)
{
    rv_pidfile_t file = create_here();
    int status;
    pid_t pid = fork();

    ck_assert_int_ne(pid, -1);
    if (pid == 0) {
        close(file.fd);
        _exit(0);
    }
    ck_assert_int_eq(waitpid(pid, &status, 0), pid);
    ck_assert_int_eq(elsewhere(0).pid, getpid());
    rv_pidfile_remove(&file);
}
END_TEST

START_TEST(what_cannot_be_opened_is_an_error)
{
    rv_pidfile_t file;
    pid_t holder;

    ck_assert_int_eq(rv_pidfile_create(&file, directory, &holder), RV_ERROR);
    ck_assert_int_eq(errno, EISDIR);
    ck_assert_int_eq(file.fd, -1);

    write_file(other_path, "");
    snprintf(path, sizeof(path), "%s/reeve.pid", other_path);
    ck_assert_int_eq(rv_pidfile_create(&file, path, &holder), RV_ERROR);
    ck_assert_int_eq(errno, ENOTDIR);
    ck_assert_int_eq(file.fd, -1);
    ck_assert_int_eq(rv_pidfile_find(path, &holder), RV_ERROR);
    rv_pidfile_remove(&file); /* of what was never created: nothing */
}
END_TEST

START_TEST(missing_folder_is_made)
{
    ck_assert_int_eq(unlink(other_path), -1);
    snprintf(path, sizeof(path), "%s/reeve.pid", other_path);
    ck_assert_int_eq(elsewhere(0).result, RV_DONE);
    rv_pidfile_t file = create_here();

    assert_own_text();
    rv_pidfile_remove(&file);
    ck_assert_int_eq(rmdir(other_path), 0);
}
END_TEST

START_TEST(link_is_not_followed)
{
    rv_pidfile_t file;
    pid_t holder;

    write_file(other_path, "precious");
    ck_assert_int_eq(symlink(other_path, path), 0);
    ck_assert_int_eq(rv_pidfile_create(&file, path, &holder), RV_ERROR);
    ck_assert_int_eq(errno, ELOOP);
    ck_assert(exists(path));

    unlink(path);
    ck_assert_int_eq(rename(other_path, path), 0);
    assert_text("precious");
}
END_TEST

/* "pid = /dev/null" must not cost a system its /dev/null. */
START_TEST(what_is_no_file_is_refused_and_left_alone)
{
    rv_pidfile_t file;
    pid_t holder;

    ck_assert_int_eq(mkfifo(path, 0600), 0);
    ck_assert_int_eq(rv_pidfile_create(&file, path, &holder), RV_ERROR);
    ck_assert_int_eq(file.fd, -1);
    ck_assert_msg(exists(path), "it was removed");
}
END_TEST

/* --- the race of who removes the file with who creates it ------------------------ */

enum { RACERS = 4, ROUNDS = 400 };

static atomic_int *holders; /* how many believe that they hold it */

/* 0, or what is wrong. */
static int
race(void)
{
    struct stat st;
    rv_pidfile_t file;
    pid_t holder;

    for (int won = 0; won < ROUNDS;) {
        int result = rv_pidfile_create(&file, path, &holder);

        if (result == RV_AGAIN)
            continue;
        if (result != RV_OK)
            return 1;
        if (atomic_fetch_add(holders, 1) != 0)
            return 2;
        if (fstat(file.fd, &st) == -1 || st.st_nlink != 1) /* that of before, which is gone */
            return 3;
        won++;
        atomic_fetch_sub(holders, 1);
        rv_pidfile_remove(&file);
    }
    return 0;
}

START_TEST(only_one_holds_it_however_many_come_and_go)
{
    pid_t racer[RACERS];

    holders =
        mmap(NULL, sizeof(*holders), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    ck_assert_ptr_ne(holders, MAP_FAILED);
    for (int i = 0; i < RACERS; i++) {
        racer[i] = fork();
        ck_assert_int_ne(racer[i], -1);
        if (racer[i] == 0)
            _exit(race());
    }
    for (int i = 0; i < RACERS; i++) {
        int status;

        ck_assert_int_eq(waitpid(racer[i], &status, 0), racer[i]);
        ck_assert_msg(WIFEXITED(status) && WEXITSTATUS(status) == 0, "status %#x", status);
    }
    ck_assert(!exists(path));
}
END_TEST

/* --- two masters ------------------------------------------------------------------ */

START_TEST(file_makes_room_for_another_and_comes_back)
{
    rv_pidfile_t file = create_here(), heirs;
    char moved[2 * TEXT_SIZE + 16];
    pid_t pid, holder;
    int fds[2], status;

    snprintf(moved, sizeof(moved), "%s.oldbin", path);
    ck_assert_int_eq(rv_pidfile_make_room(&file), RV_OK);
    ck_assert_str_eq(file.path, moved);
    ck_assert(!exists(path) && exists(moved));

    /* whoever looks finds the one that is there, and then the new one */
    ck_assert_int_eq(pipe(fds), 0);
    pid = fork();
    ck_assert_int_ne(pid, -1);
    if (pid == 0) {
        int found = rv_pidfile_find(path, &holder) == RV_DONE
            && rv_pidfile_find_any(path, &holder) == RV_OK && holder == getppid();

        _exit(!found || rv_pidfile_create(&heirs, path, &holder) != RV_OK
            || write(fds[1], "x", 1) != 1 || pause() != 0);
    }
    ck_assert_int_eq(read(fds[0], moved, 1), 1);
    ck_assert_int_eq(rv_pidfile_find_any(path, &holder), RV_OK);
    ck_assert_int_eq(holder, pid);

    /* it is killed: what it has left is replaced */
    ck_assert_int_eq(kill(pid, SIGKILL), 0);
    ck_assert_int_eq(waitpid(pid, &status, 0), pid);
    ck_assert_int_eq(rv_pidfile_move_back(&file), RV_OK);
    ck_assert_str_eq(file.path, path);
    assert_own_text();
    ck_assert_int_eq(rv_pidfile_move_back(&file), RV_OK); /* where it is already */
    ck_assert_int_eq(elsewhere(0).pid, getpid());
    rv_pidfile_remove(&file);
    ck_assert(!exists(path));
}
END_TEST

/* Somebody has put another file there: it is not ours to remove. */
START_TEST(file_of_another_is_not_removed)
{
    rv_pidfile_t file = create_here();

    ck_assert_int_eq(unlink(path), 0);
    write_file(path, "precious");
    rv_pidfile_remove(&file);
    ck_assert_int_eq(file.fd, -1);
    assert_text("precious");
}
END_TEST

static Suite *
pidfile_suite(void)
{
    Suite *suite = suite_create("pidfile");
    TCase *tcase = tcase_create("pidfile");

    tcase_add_unchecked_fixture(tcase, setup_run, teardown_run);
    tcase_add_checked_fixture(tcase, clear, clear);
    tcase_set_timeout(tcase, 120);
    tcase_add_test(tcase, file_has_the_pid_and_goes_with_it);
    tcase_add_test(tcase, second_process_is_told_who_holds_it);
    tcase_add_test(tcase, pid_is_the_kernels_whatever_the_file_says);
    tcase_add_test(tcase, file_that_nobody_holds_is_stale);
    tcase_add_test(tcase, file_of_a_killed_process_is_stale);
    tcase_add_test(tcase, child_does_not_hold_what_its_parent_does);
    tcase_add_test(tcase, what_cannot_be_opened_is_an_error);
    tcase_add_test(tcase, missing_folder_is_made);
    tcase_add_test(tcase, link_is_not_followed);
    tcase_add_test(tcase, what_is_no_file_is_refused_and_left_alone);
    tcase_add_test(tcase, only_one_holds_it_however_many_come_and_go);
    tcase_add_test(tcase, file_makes_room_for_another_and_comes_back);
    tcase_add_test(tcase, file_of_another_is_not_removed);
    suite_add_tcase(suite, tcase);
    return suite;
}

int
main(void)
{
    SRunner *runner = srunner_create(pidfile_suite());

    srunner_run_all(runner, CK_NORMAL);

    int failed = srunner_ntests_failed(runner);

    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
