/*
 * rv_signal: signals are bits that nothing loses, each process has its own.
 */
#include "rv_signal.h"

#include "descriptors.h"

#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define STORM 1000

typedef struct {
    int number;
    const char *name;
    const char *command;
    unsigned sets;
} row_t;

/* DESIGN's table, as an operator knows it. */
static const row_t rows[] = {
    { SIGQUIT, "SIGQUIT", "quit", RV_SIGNAL_QUIT },
    { SIGTERM, "SIGTERM", NULL, RV_SIGNAL_TERM },
    { SIGINT, "SIGINT", "stop", RV_SIGNAL_TERMINATE },
    { SIGHUP, "SIGHUP", "reload", RV_SIGNAL_RELOAD },
    { SIGUSR1, "SIGUSR1", "reopen", RV_SIGNAL_REOPEN },
    { SIGUSR2, "SIGUSR2", "upgrade", RV_SIGNAL_UPGRADE },
    { SIGWINCH, "SIGWINCH", NULL, RV_SIGNAL_DRAIN },
    { SIGTTIN, "SIGTTIN", "add", RV_SIGNAL_ADD },
    { SIGTTOU, "SIGTTOU", "remove", RV_SIGNAL_REMOVE },
    { SIGCHLD, "SIGCHLD", NULL, RV_SIGNAL_CHILD },
};

static const rv_signal_t *
row_of(int number)
{
    for (size_t i = 0; rv_signal_at(i) != NULL; i++) {
        if (rv_signal_at(i)->number == number)
            return rv_signal_at(i);
    }
    return NULL;
}

static int
is_readable(int fd)
{
    struct pollfd p = { .fd = fd, .events = POLLIN };

    return poll(&p, 1, 0) == 1;
}

static void
setup(void)
{
    ck_assert_int_eq(rv_signal_init(), RV_OK);
}

START_TEST(table_says_what_a_signal_does)
{
    const rv_signal_t *row = row_of(rows[_i].number);

    ck_assert_ptr_nonnull(row);
    ck_assert_str_eq(row->name, rows[_i].name);
    ck_assert_uint_eq(row->sets, rows[_i].sets);
    ck_assert_int_eq(row->command == NULL, rows[_i].command == NULL);
    if (rows[_i].command != NULL) {
        ck_assert_str_eq(row->command, rows[_i].command);
        ck_assert_ptr_eq(rv_signal_command(rows[_i].command), row);
    }
}
END_TEST

START_TEST(no_signal_stands_twice_in_the_table)
{
    for (size_t i = 0; rv_signal_at(i) != NULL; i++) {
        ck_assert_ptr_eq(row_of(rv_signal_at(i)->number), rv_signal_at(i));
        ck_assert_int_eq(strncmp(rv_signal_at(i)->name, "SIG", 3), 0);
    }
    ck_assert_ptr_null(rv_signal_at(1000));
}
END_TEST

START_TEST(only_words_of_the_table_are_commands)
{
    static const char *const words[] = { "", "sto", "stopp", "STOP", "restart", "SIGHUP", "hup" };

    for (size_t i = 0; i < rv_countof(words); i++)
        ck_assert_msg(rv_signal_command(words[i]) == NULL, "\"%s\"", words[i]);
}
END_TEST

START_TEST(signal_is_seen_and_taken_once)
{
    const row_t *row = &rows[_i];

    ck_assert(!is_readable(rv_signal_fd()));
    ck_assert_uint_eq(rv_signal_take(), 0);
    errno = ENOTTY;
    raise(row->number);
    ck_assert_int_eq(errno, ENOTTY);
    ck_assert(is_readable(rv_signal_fd()));
    ck_assert_uint_eq(rv_signal_take(), row->sets);
    ck_assert(!is_readable(rv_signal_fd()));
    ck_assert_uint_eq(rv_signal_take(), 0);
}
END_TEST

START_TEST(signals_that_mean_nothing_do_no_harm)
{
    static const int numbers[] = { SIGPIPE, SIGXFSZ };

    for (size_t i = 0; i < rv_countof(numbers); i++) {
        ck_assert_ptr_nonnull(row_of(numbers[i]));
        raise(numbers[i]);
    }
    ck_assert_uint_eq(rv_signal_take(), 0);
    ck_assert(!is_readable(rv_signal_fd()));
}
END_TEST

START_TEST(storm_of_one_loses_none_of_another)
{
    int fd = rv_signal_fd();

    /* as small a pipe as there is, so that it overflows */
    (void) fcntl(fd, F_SETPIPE_SZ, 1);
    for (int i = 0; i < 10 * STORM; i++)
        raise(SIGHUP);
    errno = ENOTTY;
    raise(SIGHUP);
    ck_assert_int_eq(errno, ENOTTY);
    raise(SIGUSR1);
    for (int i = 0; i < STORM; i++)
        raise(SIGCHLD);
    raise(SIGQUIT);

    ck_assert(is_readable(fd));
    ck_assert_uint_eq(
        rv_signal_take(), RV_SIGNAL_RELOAD | RV_SIGNAL_REOPEN | RV_SIGNAL_CHILD | RV_SIGNAL_QUIT);
    ck_assert(!is_readable(fd));
    ck_assert_uint_eq(rv_signal_take(), 0);
}
END_TEST

START_TEST(it_is_known_how_often_one_came)
{
    raise(SIGTTIN);
    raise(SIGTTOU);
    raise(SIGTTIN);
    raise(SIGTTIN);
    ck_assert_uint_eq(rv_signal_take(), RV_SIGNAL_ADD | RV_SIGNAL_REMOVE);
    ck_assert_uint_eq(rv_signal_times(RV_SIGNAL_ADD), 3);
    ck_assert_uint_eq(rv_signal_times(RV_SIGNAL_REMOVE), 1);
    ck_assert_uint_eq(rv_signal_times(RV_SIGNAL_ADD), 0);
}
END_TEST

START_TEST(storm_from_outside_loses_nothing)
{
    unsigned came = 0;
    int status;
    pid_t pid = fork();

    ck_assert_int_ne(pid, -1);
    if (pid == 0) {
        for (int i = 0; i < STORM; i++)
            kill(getppid(), SIGHUP);
        kill(getppid(), SIGUSR1);
        _exit(0);
    }

    /* and its end is a SIGCHLD */
    while (!(came & RV_SIGNAL_CHILD)) {
        struct pollfd p = { .fd = rv_signal_fd(), .events = POLLIN };

        (void) poll(&p, 1, 60 * 1000);
        came |= rv_signal_take();
    }
    ck_assert_int_eq(waitpid(pid, &status, 0), pid);
    ck_assert_uint_eq(came, RV_SIGNAL_RELOAD | RV_SIGNAL_REOPEN | RV_SIGNAL_CHILD);
}
END_TEST

/* In a child: until its parent waits for something. */
static void
wait_for_parent_to_sleep(void)
{
    const struct timespec pause = { 0, 5 * 1000 * 1000 };
    char name[64], state = 'R';

    snprintf(name, sizeof(name), "/proc/%ld/stat", (long) getppid());
    while (state != 'S') {
        FILE *f = fopen(name, "r");

        if (f == NULL || fscanf(f, "%*d %*s %c", &state) != 1)
            _exit(1);
        fclose(f);
        nanosleep(&pause, NULL);
    }
}

START_TEST(system_calls_go_on_after_a_signal)
{
    char byte;
    int fds[2], status;

    ck_assert_int_eq(pipe(fds), 0);
    pid_t pid = fork();

    ck_assert_int_ne(pid, -1);
    if (pid == 0) {
        for (int i = 0; i < 3; i++) {
            wait_for_parent_to_sleep();
            kill(getppid(), SIGHUP);
        }
        wait_for_parent_to_sleep();
        _exit(write(fds[1], "x", 1) != 1);
    }
    ck_assert_int_eq(read(fds[0], &byte, 1), 1);
    ck_assert_int_eq(waitpid(pid, &status, 0), pid);
    ck_assert_int_eq(status, 0);
}
END_TEST

/* 0, or what is wrong. */
static int
be_a_child(void)
{
    raise(SIGUSR1); /* still the parent's pipe */
    if (rv_signal_init() != RV_OK)
        return 1;
    if (rv_signal_take() != 0)
        return 2; /* it should have forgotten */
    raise(SIGHUP);
    raise(SIGTERM);
    return rv_signal_take() == (RV_SIGNAL_RELOAD | RV_SIGNAL_TERM) ? 0 : 3;
}

START_TEST(child_that_begins_anew_has_its_own)
{
    int status, before = descriptors_open();

    ck_assert_int_eq(rv_signal_init(), RV_OK);
    ck_assert_int_eq(descriptors_open(), before);
    signal(SIGCHLD, SIG_DFL);
    raise(SIGHUP);
    ck_assert_uint_eq(rv_signal_take(), RV_SIGNAL_RELOAD);

    pid_t pid = fork();

    ck_assert_int_ne(pid, -1);
    if (pid == 0)
        _exit(be_a_child());
    ck_assert_int_eq(waitpid(pid, &status, 0), pid);
    ck_assert_msg(WIFEXITED(status) && WEXITSTATUS(status) == 0, "status %#x", status);
    ck_assert_uint_eq(rv_signal_take(), 0);

    /* one that has, and is signalled, does not wake its parent */
    pid = fork();
    ck_assert_int_ne(pid, -1);
    if (pid == 0)
        _exit(rv_signal_init() == RV_OK && raise(SIGHUP) == 0 ? 0 : 1);
    ck_assert_int_eq(waitpid(pid, &status, 0), pid);
    ck_assert_int_eq(status, 0);
    ck_assert(!is_readable(rv_signal_fd()));
}
END_TEST

START_TEST(blocked_signals_come_once_they_are_let_through)
{
    sigset_t all;

    sigfillset(&all);
    ck_assert_int_eq(sigprocmask(SIG_BLOCK, &all, NULL), 0);
    ck_assert_int_eq(rv_signal_init(), RV_OK);
    raise(SIGTERM);
    ck_assert_uint_eq(rv_signal_take(), 0);
    rv_signal_unblock();
    ck_assert_uint_eq(rv_signal_take(), RV_SIGNAL_TERM);
}
END_TEST

START_TEST(reset_gives_back_handlers_and_pipe)
{
    struct sigaction sa;

    int before = descriptors_open();
    rv_signal_reset();
    ck_assert_int_eq(descriptors_open(), before - 2);
    for (size_t i = 0; rv_signal_at(i) != NULL; i++) {
        ck_assert_int_eq(sigaction(rv_signal_at(i)->number, NULL, &sa), 0);
        ck_assert(sa.sa_handler == SIG_DFL);
    }
}
END_TEST

START_TEST(term_is_what_the_operator_wants_it_to_be)
{
    unsigned taken = RV_SIGNAL_TERM | RV_SIGNAL_CHILD;

    ck_assert_uint_eq(rv_signal_resolve(taken, 0), RV_SIGNAL_TERMINATE | RV_SIGNAL_CHILD);
    ck_assert_uint_eq(rv_signal_resolve(taken, 1), RV_SIGNAL_QUIT | RV_SIGNAL_CHILD);
    ck_assert_uint_eq(rv_signal_resolve(RV_SIGNAL_TERMINATE, 1), RV_SIGNAL_TERMINATE);
    ck_assert_uint_eq(rv_signal_resolve(RV_SIGNAL_QUIT, 0), RV_SIGNAL_QUIT);
}
END_TEST

static Suite *
signal_suite(void)
{
    Suite *suite = suite_create("signal");
    TCase *tcase = tcase_create("signal");

    tcase_set_timeout(tcase, 60);
    tcase_add_checked_fixture(tcase, setup, NULL);
    tcase_add_loop_test(tcase, table_says_what_a_signal_does, 0, (int) rv_countof(rows));
    tcase_add_test(tcase, term_is_what_the_operator_wants_it_to_be);
    tcase_add_test(tcase, no_signal_stands_twice_in_the_table);
    tcase_add_test(tcase, only_words_of_the_table_are_commands);
    tcase_add_loop_test(tcase, signal_is_seen_and_taken_once, 0, (int) rv_countof(rows));
    tcase_add_test(tcase, signals_that_mean_nothing_do_no_harm);
    tcase_add_test(tcase, storm_of_one_loses_none_of_another);
    tcase_add_test(tcase, it_is_known_how_often_one_came);
    tcase_add_test(tcase, storm_from_outside_loses_nothing);
    tcase_add_test(tcase, system_calls_go_on_after_a_signal);
    tcase_add_test(tcase, child_that_begins_anew_has_its_own);
    tcase_add_test(tcase, blocked_signals_come_once_they_are_let_through);
    tcase_add_test(tcase, reset_gives_back_handlers_and_pipe);
    suite_add_tcase(suite, tcase);
    return suite;
}

int
main(void)
{
    SRunner *runner = srunner_create(signal_suite());

    srunner_run_all(runner, CK_NORMAL);

    int failed = srunner_ntests_failed(runner);

    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
