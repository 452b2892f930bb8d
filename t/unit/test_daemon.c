/*
 * rv_daemon: into the background, and another user.
 *
 * A daemon that a test detaches is an orphan; the test takes it over as its
 * subreaper, so that none is left.
 */
#include "rv_daemon.h"

#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { TEXT_SIZE = 4096, LIMIT_MSEC = 60 * 1000, NOBODY = 65534 };

static int
is_dev_null(int fd)
{
    struct stat a, b;

    return fstat(fd, &a) == 0 && stat("/dev/null", &b) == 0 && a.st_rdev == b.st_rdev
        && S_ISCHR(a.st_mode);
}

static int
wait_for(pid_t pid)
{
    int status;

    ck_assert_int_eq(waitpid(pid, &status, 0), pid);
    return status;
}

/* Until it waits for something, or is gone. */
static void
wait_until_asleep(pid_t pid)
{
    const struct timespec pause = { 0, 5 * 1000 * 1000 };
    char name[64], state = 'R';

    snprintf(name, sizeof(name), "/proc/%ld/stat", (long) pid);
    for (int left = LIMIT_MSEC; state == 'R'; left -= 5) {
        FILE *f = fopen(name, "r");

        ck_assert_ptr_nonnull(f);
        ck_assert_int_eq(fscanf(f, "%*d %*s %c", &state), 1);
        fclose(f);
        ck_assert_int_gt(left, 0);
        nanosleep(&pause, NULL);
    }
}

/* --- detaching ----------------------------------------------------------------- */

/* What the daemon does after its first breath; does not return. */
typedef void (*life_t)(int *notify, int report);

static int report_end;   /* what daemons write to */
static int terminal_end; /* what they write on standard error */

/* Runs the daemon in a child, which stands for the command that starts it. */
static pid_t
start(life_t life)
{
    int report[2], terminal[2];

    ck_assert_int_eq(pipe2(report, O_CLOEXEC), 0);
    ck_assert_int_eq(pipe2(terminal, O_CLOEXEC), 0);
    ck_assert_int_eq(prctl(PR_SET_CHILD_SUBREAPER, 1), 0);

    pid_t pid = fork();
    ck_assert_int_ne(pid, -1);
    if (pid == 0) {
        int notify = -1;

        if (dup2(report[0], STDIN_FILENO) == -1 || dup2(report[1], STDOUT_FILENO) == -1
            || dup2(terminal[1], STDERR_FILENO) == -1 || rv_daemon_detach(&notify) != RV_OK)
            _exit(99);
        life(&notify, report[1]);
        _exit(98);
    }
    close(report[1]);
    close(terminal[1]);
    report_end = report[0];
    terminal_end = terminal[0];
    return pid;
}

/* All that is read up to the end. */
static const char *
read_all(int fd)
{
    static char text[TEXT_SIZE];
    size_t length = 0;
    ssize_t n;

    while ((n = read(fd, text + length, sizeof(text) - 1 - length)) > 0)
        length += (size_t) n;
    text[length] = '\0';
    close(fd);
    return text;
}

static void
say(int fd, const char *text)
{
    if (write(fd, text, strlen(text)) == -1)
        _exit(97);
}

static void
get_ready(int *notify, int report)
{
    if (getsid(0) != getpid())
        say(report, "not a session of its own\n");
    if (!is_dev_null(STDIN_FILENO) || !is_dev_null(STDOUT_FILENO))
        say(report, "standard input or output is not /dev/null\n");
    if (is_dev_null(STDERR_FILENO))
        say(report, "standard error was taken away too early\n");
    say(STDERR_FILENO, "before\n");
    rv_daemon_ready(notify, 0);
    if (*notify != -1)
        say(report, "notify is still open\n");
    if (!is_dev_null(STDERR_FILENO))
        say(report, "standard error is not /dev/null\n");
    rv_daemon_ready(notify, 0); /* again: nothing */
    say(STDERR_FILENO, "after\n");
    say(report, "done\n");
    _exit(0);
}

START_TEST(command_returns_0_once_the_daemon_is_ready)
{
    int status = wait_for(start(get_ready));

    ck_assert(WIFEXITED(status));
    ck_assert_int_eq(WEXITSTATUS(status), 0);
    ck_assert_str_eq(read_all(report_end), "done\n");
    ck_assert_str_eq(read_all(terminal_end), "before\n");
    ck_assert_int_gt(wait(&status), 0);
    ck_assert_int_eq(status, 0);
}
END_TEST

static void
keep_the_terminal(int *notify, int report)
{
    rv_daemon_ready(notify, 1);
    say(STDERR_FILENO, "still here\n");
    say(report, "done\n");
    _exit(0);
}

START_TEST(daemon_that_logs_to_the_terminal_keeps_it)
{
    ck_assert_int_eq(wait_for(start(keep_the_terminal)), 0);
    ck_assert_str_eq(read_all(report_end), "done\n");
    ck_assert_str_eq(read_all(terminal_end), "still here\n");
    ck_assert_int_gt(wait(NULL), 0);
}
END_TEST

/* Reports, and is ready once it is signalled. */
static void
take_its_time(int *notify, int report)
{
    sigset_t set;
    int number;

    sigemptyset(&set);
    sigaddset(&set, SIGUSR1);
    sigprocmask(SIG_BLOCK, &set, NULL);
    if (write(report, &(pid_t){ getpid() }, sizeof(pid_t)) != sizeof(pid_t))
        _exit(1);
    sigwait(&set, &number);
    rv_daemon_ready(notify, 0);
    _exit(0);
}

START_TEST(command_waits_for_the_daemon_to_be_ready)
{
    pid_t daemon, command = start(take_its_time);

    ck_assert_int_eq(read(report_end, &daemon, sizeof(daemon)), sizeof(daemon));
    ck_assert_int_ne(daemon, command);
    wait_until_asleep(command);
    ck_assert_int_eq(waitpid(command, NULL, WNOHANG), 0);

    ck_assert_int_eq(kill(daemon, SIGUSR1), 0);
    ck_assert_int_eq(wait_for(command), 0);
    ck_assert_int_eq(wait_for(daemon), 0);
}
END_TEST

static void
fail_to_start(int *notify, int report)
{
    (void) notify;
    (void) report;
    say(STDERR_FILENO, "reason\n");
    _exit(0); /* not even this makes it a success */
}

START_TEST(command_returns_1_when_the_daemon_ends_before)
{
    int status = wait_for(start(fail_to_start));

    ck_assert(WIFEXITED(status));
    ck_assert_int_eq(WEXITSTATUS(status), 1);
    ck_assert_str_eq(read_all(terminal_end), "reason\n");
    ck_assert_int_eq(wait(NULL), -1); /* it was reaped */
}
END_TEST

static void
crash(int *notify, int report)
{
    (void) notify;
    (void) report;
    signal(SIGTERM, SIG_DFL);
    raise(SIGTERM);
}

START_TEST(command_says_when_the_daemon_was_killed)
{
    int status = wait_for(start(crash));
    const char *text = read_all(terminal_end);

    ck_assert(WIFEXITED(status));
    ck_assert_int_eq(WEXITSTATUS(status), 1);
    ck_assert_msg(strstr(text, "[emerg]") != NULL && strstr(text, "signal 15") != NULL, "%s", text);
}
END_TEST

/* As somebody whose processes the kernel counts. */
static int
fail_to_fork(void)
{
    const struct rlimit none = { 0, 0 };
    int notify = -1;

    if (geteuid() == 0
        && (setgroups(0, NULL) == -1 || setgid(NOBODY) == -1 || setuid(NOBODY) == -1))
        return 1;
    if (setrlimit(RLIMIT_NPROC, &none) == -1)
        return 2;
    int first_free = dup(0);
    close(first_free);
    if (rv_daemon_detach(&notify) != RV_ERROR || errno != EAGAIN)
        return 3;
    return notify == -1 && dup(0) == first_free ? 0 : 4;
}

START_TEST(failed_fork_is_an_error_and_leaves_nothing)
{
    pid_t pid = fork();

    ck_assert_int_ne(pid, -1);
    if (pid == 0)
        _exit(fail_to_fork());
    int status = wait_for(pid);
    ck_assert_msg(status == 0, "status %#x", status);
}
END_TEST

/* 0, or what is wrong. */
static int
fill(void)
{
    if (close(STDIN_FILENO) == -1 || close(STDERR_FILENO) == -1
        || dup2(report_end, STDOUT_FILENO) == -1)
        return 1;
    int first_free = STDERR_FILENO + 1;
    while (fcntl(first_free, F_GETFD) != -1)
        first_free++;
    if (rv_daemon_fill_standard() != RV_OK || dup(STDIN_FILENO) != first_free)
        return 2;
    return is_dev_null(STDIN_FILENO) && !is_dev_null(STDOUT_FILENO) && is_dev_null(STDERR_FILENO)
        ? 0
        : 3;
}

START_TEST(closed_standard_descriptors_are_filled_and_no_others)
{
    int fds[2];

    ck_assert_int_eq(pipe(fds), 0);
    report_end = fds[1];
    pid_t pid = fork();
    ck_assert_int_ne(pid, -1);
    if (pid == 0)
        _exit(fill());
    int status = wait_for(pid);
    ck_assert_msg(status == 0, "status %#x", status);
}
END_TEST

/* --- users --------------------------------------------------------------------- */

START_TEST(user_is_found_with_its_group_or_another)
{
    const char *missing = NULL;
    const struct passwd *pw = getpwuid(geteuid());
    rv_daemon_user_t user;

    ck_assert_ptr_nonnull(pw);
    const char *name = strdup(pw->pw_name);
    gid_t gid = pw->pw_gid;

    ck_assert_int_eq(rv_daemon_user(name, NULL, &user, &missing), RV_OK);
    ck_assert_str_eq(user.name, name);
    ck_assert_uint_eq(user.uid, geteuid());
    ck_assert_uint_eq(user.gid, gid);

    const struct group *gr;
    while ((gr = getgrent()) != NULL && gr->gr_gid == gid)
        continue;
    ck_assert_ptr_nonnull(gr);
    const char *group = strdup(gr->gr_name);
    gid = gr->gr_gid;
    endgrent();

    ck_assert_int_eq(rv_daemon_user(name, group, &user, &missing), RV_OK);
    ck_assert_uint_eq(user.uid, geteuid());
    ck_assert_uint_eq(user.gid, gid);
    free((void *) (uintptr_t) name);
    free((void *) (uintptr_t) group);
}
END_TEST

START_TEST(missing_user_or_group_is_named)
{
    static const char nobody[] = "no.such.user", none[] = "no.such.group";
    const char *missing = NULL;
    rv_daemon_user_t user;

    ck_assert_int_eq(rv_daemon_user(nobody, NULL, &user, &missing), RV_ERROR);
    ck_assert_ptr_eq(missing, nobody);
    ck_assert_int_eq(rv_daemon_user(nobody, none, &user, &missing), RV_ERROR);
    ck_assert_ptr_eq(missing, nobody);
    ck_assert_int_eq(rv_daemon_user("root", none, &user, &missing), RV_ERROR);
    ck_assert_ptr_eq(missing, none);
}
END_TEST

/* 0, or what is wrong. */
static int
become_nobody(void)
{
    const gid_t had[] = { 0, 1 };
    rv_daemon_user_t user = { .name = "root", .uid = NOBODY, .gid = NOBODY };
    const char *missing;
    uid_t uid[3];
    gid_t gid[3], groups[64];

    if (setgroups(rv_countof(had), had) == -1)
        return 1;
    if (rv_daemon_user("nobody", NULL, &user, &missing) != RV_OK)
        return 0; /* not everybody has one */
    if (rv_daemon_take_groups(&user) != RV_OK || rv_daemon_become(&user) != RV_OK)
        return 2;
    if (getresuid(&uid[0], &uid[1], &uid[2]) == -1 || getresgid(&gid[0], &gid[1], &gid[2]) == -1)
        return 3;
    for (int i = 0; i < 3; i++) {
        if (uid[i] != user.uid || gid[i] != user.gid)
            return 4;
    }
    for (int n = getgroups(rv_countof(groups), groups); n > 0; n--) {
        if (groups[n - 1] == 0 || groups[n - 1] == 1)
            return 5;
    }
    return setuid(0) == -1 && setgid(0) == -1 ? 0 : 6;
}

START_TEST(who_became_a_user_is_nobody_else_any_more)
{
    const rv_daemon_user_t root = { .name = "root", .uid = 0, .gid = 0 };

    if (geteuid() != 0) {
        ck_assert_int_eq(rv_daemon_become(&root), RV_ERROR);
        ck_assert_int_eq(errno, EPERM);
        return;
    }
    pid_t pid = fork();
    ck_assert_int_ne(pid, -1);
    if (pid == 0)
        _exit(become_nobody());
    int status = wait_for(pid);
    ck_assert_msg(status == 0, "status %#x", status);
}
END_TEST

static Suite *
daemon_suite(void)
{
    Suite *suite = suite_create("daemon");
    TCase *tcase = tcase_create("daemon");

    tcase_set_timeout(tcase, 60);
    tcase_add_test(tcase, command_returns_0_once_the_daemon_is_ready);
    tcase_add_test(tcase, command_waits_for_the_daemon_to_be_ready);
    tcase_add_test(tcase, daemon_that_logs_to_the_terminal_keeps_it);
    tcase_add_test(tcase, command_returns_1_when_the_daemon_ends_before);
    tcase_add_test(tcase, command_says_when_the_daemon_was_killed);
    tcase_add_test(tcase, failed_fork_is_an_error_and_leaves_nothing);
    tcase_add_test(tcase, closed_standard_descriptors_are_filled_and_no_others);
    tcase_add_test(tcase, user_is_found_with_its_group_or_another);
    tcase_add_test(tcase, missing_user_or_group_is_named);
    tcase_add_test(tcase, who_became_a_user_is_nobody_else_any_more);
    suite_add_tcase(suite, tcase);
    return suite;
}

int
main(void)
{
    SRunner *runner = srunner_create(daemon_suite());

    srunner_run_all(runner, CK_NORMAL);

    int failed = srunner_ntests_failed(runner);

    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
