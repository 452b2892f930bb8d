/*
 * test_worker: what a worker is: its user, its limits, its surroundings.
 */
#include "daemon.h"

#include "rv_base.h"

#include <grp.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

static daemon_t d;

static void
setup(void)
{
    daemon_setup(&d);
}

static void
teardown(void)
{
    daemon_teardown(&d);
}

#define MAIN "[main]\nerror_log = logs/error.log info\nworker_processes = 1\n"

static void
start_with(const char *directives)
{
    daemon_conff(&d, MAIN "%s%s", directives, DAEMON_HTTP);
    daemon_start(&d);
}

/* What cannot be tested is said, not passed over in silence. */
static int
is_root(const char *test)
{
    if (geteuid() == 0)
        return 1;
    printf("skipped, only root can do this: %s\n", test);
    fflush(stdout);
    return 0;
}

static void
expect_user(pid_t pid, uid_t uid, gid_t gid, const char *groups)
{
    char text[256], wanted[128];

    snprintf(wanted, sizeof(wanted), "%u\t%u\t%u\t%u", uid, uid, uid, uid);
    ck_assert_str_eq(daemon_proc_status(pid, "Uid", text, sizeof(text)), wanted);
    snprintf(wanted, sizeof(wanted), "%u\t%u\t%u\t%u", gid, gid, gid, gid);
    ck_assert_str_eq(daemon_proc_status(pid, "Gid", text, sizeof(text)), wanted);
    daemon_proc_status(pid, "Groups", text, sizeof(text));
    text[strspn(text, "0123456789 ")] = '\0';
    while (text[0] != '\0' && text[strlen(text) - 1] == ' ')
        text[strlen(text) - 1] = '\0';
    if (groups != NULL)
        ck_assert_str_eq(text, groups);
}

static void
expect_hello(void)
{
    char text[256];

    ck_assert_int_eq(daemon_get(&d, "/hello", text, sizeof(text)), 200);
}

START_TEST(roots_workers_run_as_nobody)
{
    char text[64], groups[32];

    if (!is_root("roots_workers_run_as_nobody"))
        return;
    const struct passwd *pw = getpwnam("nobody");
    ck_assert_ptr_nonnull(pw);
    start_with("");
    snprintf(groups, sizeof(groups), "%u", pw->pw_gid);
    expect_user(daemon_worker(&d), pw->pw_uid, pw->pw_gid, groups);
    expect_user(d.master, 0, 0, NULL);
    ck_assert_str_eq(
        daemon_proc_status(daemon_worker(&d), "CapEff", text, sizeof(text)), "0000000000000000");
    expect_hello();
}
END_TEST

START_TEST(a_respawned_worker_and_a_reloaded_one_are_unprivileged_too)
{
    if (!is_root("a_respawned_worker_and_a_reloaded_one_are_unprivileged_too"))
        return;
    const struct passwd *pw = getpwnam("nobody");
    start_with("");
    ck_assert_int_eq(kill(daemon_worker(&d), SIGKILL), 0);
    daemon_wait_log(&d, "worker 0 started", 2);
    daemon_wait_workers(&d, 1);
    expect_hello();
    expect_user(daemon_worker(&d), pw->pw_uid, pw->pw_gid, NULL);
    daemon_reload(&d);
    daemon_wait_workers(&d, 1);
    expect_user(daemon_worker(&d), pw->pw_uid, pw->pw_gid, NULL);
}
END_TEST

START_TEST(user_and_group_are_honoured)
{
    if (!is_root("user_and_group_are_honoured"))
        return;
    const struct passwd *pw = getpwnam("daemon");
    const struct group *gr = getgrnam("sys");
    if (pw == NULL || gr == NULL) {
        printf("skipped, there is no user daemon or group sys: user_and_group_are_honoured\n");
        return;
    }
    start_with("user = daemon sys\n");
    expect_user(daemon_worker(&d), pw->pw_uid, gr->gr_gid, NULL);
    daemon_conff(&d, MAIN "user = daemon\n%s", DAEMON_HTTP);
    daemon_reload(&d);
    daemon_wait_workers(&d, 1);
    expect_user(daemon_worker(&d), pw->pw_uid, pw->pw_gid, NULL);
}
END_TEST

START_TEST(an_unknown_user_or_group_is_an_error)
{
    if (!is_root("an_unknown_user_or_group_is_an_error"))
        return;
    daemon_conff(&d, MAIN "user = no_such_user\n%s", DAEMON_HTTP);
    ck_assert_int_eq(daemon_run(&d, "-t", NULL), 1);
    daemon_expect_output(&d, "there is no user \"no_such_user\" in ");
    daemon_conff(&d, MAIN "user = nobody no_such_group\n%s", DAEMON_HTTP);
    ck_assert_int_eq(daemon_run(&d, "-t", NULL), 1);
    daemon_expect_output(&d, "there is no group \"no_such_group\" in ");
}
END_TEST

/* Whoever starts it: this is the way of a user on a desktop. */
START_TEST(without_root_everything_runs_as_who_started_it)
{
    char text[256];

    d.unprivileged = 1;
    if (geteuid() == 0) {
        ck_assert_int_eq(chmod(daemon_path(&d, "logs"), 0777), 0);
    }
    daemon_conff(&d, MAIN "user = nobody\n%s", DAEMON_HTTP);
    daemon_start(&d);
    daemon_expect_output(&d, "the \"user\" directive has no effect: not started as root in ");
    char uid[64];
    snprintf(uid, sizeof(uid), "%s", daemon_proc_status(d.master, "Uid", text, sizeof(text)));
    ck_assert_str_eq(daemon_proc_status(daemon_worker(&d), "Uid", text, sizeof(text)), uid);
    expect_hello();
    daemon_reload(&d);
    daemon_signal(&d, "quit");
    daemon_wait_gone(&d);
    ck_assert_int_eq(d.status, 0);
}
END_TEST

/* --- limits -------------------------------------------------------------------------------- */

/* "SOFT HARD" of a line of /proc/PID/limits. */
static const char *
limit_of(pid_t pid, const char *name, char *text, size_t room)
{
    char path[64], soft[32] = "", hard[32] = "";

    snprintf(path, sizeof(path), "/proc/%ld/limits", (long) pid);
    char *all = daemon_read(path);
    ck_assert_ptr_nonnull(all);
    char *line = strstr(all, name);
    ck_assert_ptr_nonnull(line);
    ck_assert_int_eq(sscanf(line + strlen(name), "%31s %31s", soft, hard), 2);
    free(all);
    snprintf(text, room, "%s %s", soft, hard);
    return text;
}

START_TEST(limits_of_a_worker_are_its_own)
{
    char text[128], before[128];

    start_with("worker_rlimit_nofile = 789\nworker_rlimit_core = 1m\n");
    pid_t worker = daemon_worker(&d);
    ck_assert_str_eq(limit_of(worker, "Max open files", text, sizeof(text)), "789 789");
    ck_assert_str_eq(limit_of(worker, "Max core file size", text, sizeof(text)), "1048576 1048576");
    limit_of(getpid(), "Max open files", before, sizeof(before));
    ck_assert_str_eq(limit_of(d.master, "Max open files", text, sizeof(text)), before);

    daemon_conff(&d, MAIN "worker_rlimit_nofile = 1234\nworker_rlimit_core = 0\n%s", DAEMON_HTTP);
    daemon_reload(&d);
    worker = daemon_worker(&d);
    ck_assert_str_eq(limit_of(worker, "Max open files", text, sizeof(text)), "1234 1234");
    ck_assert_str_eq(limit_of(worker, "Max core file size", text, sizeof(text)), "0 0");
}
END_TEST

/* A process that has changed its user is not dumped unless it asks for it, and
 * then /proc/PID is its user's, not root's. */
START_TEST(a_worker_of_root_can_leave_a_core_file)
{
    char path[64];
    struct stat st;

    if (!is_root("a_worker_of_root_can_leave_a_core_file"))
        return;
    start_with("worker_rlimit_core = 1m\n");
    snprintf(path, sizeof(path), "/proc/%ld/fd", (long) daemon_worker(&d));
    ck_assert_int_eq(stat(path, &st), 0);
    ck_assert_uint_eq(st.st_uid, getpwnam("nobody")->pw_uid);
}
END_TEST

START_TEST(a_limit_that_cannot_be_set_is_a_failed_start)
{
    struct rlimit limit;

    d.unprivileged = 1;
    ck_assert_int_eq(chmod(daemon_path(&d, "logs"), 0777), 0);
    ck_assert_int_eq(getrlimit(RLIMIT_NOFILE, &limit), 0);
    daemon_conff(&d, MAIN "worker_rlimit_nofile = %llu\n%s",
        (unsigned long long) limit.rlim_max + 1000, DAEMON_HTTP);
    ck_assert_int_eq(daemon_run(&d, NULL), 1);
    daemon_expect_output(&d, "setting worker_rlimit_nofile to ");
    daemon_expect_output(&d, "failed (1: Operation not permitted)");
    ck_assert_int_eq(access(d.pid, F_OK), -1);
}
END_TEST

START_TEST(worker_priority_is_of_the_workers_alone)
{
    start_with("worker_priority = 7\n");
    ck_assert_int_eq(getpriority(PRIO_PROCESS, (id_t) daemon_worker(&d)), 7);
    ck_assert_int_eq(getpriority(PRIO_PROCESS, (id_t) d.master), getpriority(PRIO_PROCESS, 0));
    if (geteuid() != 0)
        return;
    daemon_conff(&d, MAIN "worker_priority = -5\n%s", DAEMON_HTTP);
    daemon_reload(&d);
    ck_assert_int_eq(getpriority(PRIO_PROCESS, (id_t) daemon_worker(&d)), -5);
}
END_TEST

/* --- processors ---------------------------------------------------------------------------- */

static const char *
processors_of(pid_t pid)
{
    static char text[1024];

    return daemon_proc_status(pid, "Cpus_allowed_list", text, sizeof(text));
}

/* The first processor that this test may use, "3"; and it as a mask, "1000". */
static void
first_processor(char *mask, size_t room)
{
    int first = atoi(processors_of(getpid()));

    ck_assert_uint_lt((size_t) first + 1, room);
    memset(mask, '0', (size_t) first + 1);
    mask[0] = '1';
    mask[first + 1] = '\0';
}

START_TEST(each_worker_runs_on_a_processor_of_its_own)
{
    char before[1024], mask[128];
    pid_t pids[8];

    if (!RV_HAVE_SCHED_SETAFFINITY)
        return;
    daemon_conff(&d,
        "[main]\nerror_log = logs/error.log info\nworker_processes = 3\n"
        "worker_cpu_affinity = auto\n%s",
        DAEMON_HTTP);
    daemon_start(&d);
    snprintf(before, sizeof(before), "%s", processors_of(getpid()));
    ck_assert_int_eq(daemon_children(d.master, pids, 8), 3);
    for (int i = 0; i < 3; i++)
        ck_assert_uint_eq(
            strspn(processors_of(pids[i]), "0123456789"), strlen(processors_of(pids[i])));
    ck_assert_str_eq(processors_of(d.master), before);

    /* fewer masks than workers: the last is for the others too */
    first_processor(mask, sizeof(mask));
    daemon_conff(&d,
        "[main]\nerror_log = logs/error.log info\nworker_processes = 2\n"
        "worker_cpu_affinity = %s\n%s",
        mask, DAEMON_HTTP);
    daemon_reload(&d);
    ck_assert_int_eq(daemon_children(d.master, pids, 8), 2);
    for (int i = 0; i < 2; i++)
        ck_assert_int_eq(atoi(processors_of(pids[i])), atoi(before));

    daemon_conff(&d, MAIN "%s", DAEMON_HTTP);
    daemon_reload(&d);
    ck_assert_str_eq(processors_of(daemon_worker(&d)), before);
}
END_TEST

START_TEST(a_processor_that_there_is_not_is_told_of_and_no_more)
{
    char mask[128];

    memset(mask, '0', 101);
    mask[0] = '1';
    mask[101] = '\0';
    daemon_conff(&d, MAIN "worker_cpu_affinity = %s\n%s", mask, DAEMON_HTTP);
    daemon_start(&d);
    if (strstr(processors_of(getpid()), "100") == NULL)
        daemon_wait_log(&d, "setting worker_cpu_affinity of worker 0 failed (", 1);
    expect_hello();
}
END_TEST

/* --- surroundings ----------------------------------------------------------------------------- */

START_TEST(working_directory_is_where_a_worker_stands)
{
    char text[512], wanted[256], master[512];

    ck_assert_int_eq(mkdir(daemon_path(&d, "here"), 0777), 0);
    start_with("working_directory = here\n");
    snprintf(wanted, sizeof(wanted), "%shere", d.prefix);
    ck_assert_str_eq(daemon_proc_link(daemon_worker(&d), "cwd", text, sizeof(text)), wanted);
    daemon_proc_link(getpid(), "cwd", text, sizeof(text));
    ck_assert_str_eq(daemon_proc_link(d.master, "cwd", master, sizeof(master)), text);
}
END_TEST

/* NAME keeps, NAME=VALUE sets, TZ stays, everything else goes. */
START_TEST(a_worker_has_the_environment_that_it_was_given)
{
    char file[256];

    snprintf(file, sizeof(file), "%senv/environ", d.prefix);
    ck_assert_int_eq(mkdir(daemon_path(&d, "env"), 0700), 0);
    ck_assert_int_eq(chmod(daemon_path(&d, "env"), 0777), 0);
    setenv("RV_TEST_ENVIRON", file, 1);
    setenv("RV_KEPT", "as it was", 1);
    setenv("RV_KEPT_NOT", "x", 1);
    setenv("RV_CHANGED", "before", 1);
    setenv("TZ", "UTC", 1);
    daemon_preload(&d, "preload_worker");
    /* what is preloaded writes a file */
    start_with(
        "sandbox = off\nenv = RV_KEPT\nenv = RV_CHANGED=after = all\nenv = RV_NEW=1\nenv = RV_NONE\n");
    expect_hello();

    char *text = daemon_read(file);
    ck_assert_ptr_nonnull(text);
    ck_assert_str_eq(text, "TZ=UTC\nRV_KEPT=as it was\nRV_CHANGED=after = all\nRV_NEW=1\n");
    free(text);
}
END_TEST

int
main(void)
{
    Suite *s = suite_create("worker");
    TCase *tc = daemon_case(s, "worker");

    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_add_test(tc, roots_workers_run_as_nobody);
    tcase_add_test(tc, a_respawned_worker_and_a_reloaded_one_are_unprivileged_too);
    tcase_add_test(tc, user_and_group_are_honoured);
    tcase_add_test(tc, an_unknown_user_or_group_is_an_error);
    tcase_add_test(tc, without_root_everything_runs_as_who_started_it);
    tcase_add_test(tc, limits_of_a_worker_are_its_own);
    tcase_add_test(tc, a_worker_of_root_can_leave_a_core_file);
    tcase_add_test(tc, a_limit_that_cannot_be_set_is_a_failed_start);
    tcase_add_test(tc, worker_priority_is_of_the_workers_alone);
    tcase_add_test(tc, each_worker_runs_on_a_processor_of_its_own);
    tcase_add_test(tc, a_processor_that_there_is_not_is_told_of_and_no_more);
    tcase_add_test(tc, working_directory_is_where_a_worker_stands);
    tcase_add_test(tc, a_worker_has_the_environment_that_it_was_given);
    return daemon_main(s);
}
