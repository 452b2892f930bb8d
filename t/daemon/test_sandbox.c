/*
 * test_sandbox: what a worker has, and what it cannot do, taken over or not.
 *
 * The deeds are those of module_hostile.c, which the program of these tests has.
 */
#include "daemon.h"

#include "rv_base.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static daemon_t d;

static void
setup(void)
{
    char program[256];

    snprintf(program, sizeof(program), "%s/t/reeve", getenv("RV_BUILD"));
    setenv("RV_BINARY", program, 1);
    daemon_setup(&d);
}

static void
teardown(void)
{
    daemon_teardown(&d);
}

static void
configure(const char *directives)
{
    daemon_conff(&d,
        "[main]\nworker_processes = 1\nerror_log = logs/error.log notice\n%s%s"
        "[location /do/]\nhandler = hostile\n",
        directives, DAEMON_HTTP);
}

static void
start_with(const char *directives)
{
    configure(directives);
    daemon_start(&d);
}

static void
expect_hello(void)
{
    char text[256];

    ck_assert_int_eq(daemon_get(&d, "/hello", text, sizeof(text)), 200);
    ck_assert_str_eq(text, "hello");
}

static void
expect_status(pid_t pid, const char *name, const char *value)
{
    char text[256];

    daemon_proc_status(pid, name, text, sizeof(text));
    ck_assert_msg(strcmp(text, value) == 0, "%s is %s", name, text);
}

static int
is_root(const char *test)
{
    if (geteuid() == 0)
        return 1;
    printf("skipped, only root can do this: %s\n", test);
    fflush(stdout);
    return 0;
}

/* --- what a worker has ---------------------------------------------------------------- */

static const char *const no_rights[] = { "CapInh", "CapPrm", "CapEff", "CapAmb", "CapBnd" };

static void
expect_no_rights(pid_t worker)
{
    for (size_t i = 0; RV_HAVE_CAPABILITIES && i < sizeof(no_rights) / sizeof(no_rights[0]); i++) {
        if (geteuid() == 0 || strcmp(no_rights[i], "CapBnd") != 0)
            expect_status(worker, no_rights[i], "0000000000000000");
    }
    if (RV_HAVE_CAPABILITIES)
        expect_status(worker, "NoNewPrivs", "1");
}

START_TEST(a_worker_has_no_capability_and_cannot_get_one)
{
    char before[64], text[64];

    start_with("");
    expect_no_rights(daemon_worker(&d));
    expect_status(daemon_worker(&d), "Seccomp", strcmp(RV_SANDBOX, "on") == 0 ? "2" : "0");
    daemon_proc_status(getpid(), "CapEff", before, sizeof(before));
    ck_assert_str_eq(daemon_proc_status(d.master, "CapEff", text, sizeof(text)), before);
    expect_status(d.master, "Seccomp", "0");
}
END_TEST

START_TEST(not_even_where_workers_run_as_root)
{
    if (!is_root("not_even_where_workers_run_as_root"))
        return;
    start_with("user = root\nsandbox = off\n");
    expect_status(daemon_worker(&d), "Uid", "0\t0\t0\t0");
    expect_no_rights(daemon_worker(&d));
    expect_hello();
}
END_TEST

START_TEST(a_process_without_a_master_has_no_sandbox)
{
    configure("master_process = off\n");
    daemon_start_foreground(&d, NULL);
    expect_status(d.master, "Seccomp", "0");
    expect_status(d.master, "NoNewPrivs", "0");
    expect_hello();
}
END_TEST

/* root's /proc/PID is a sign of a process that leaves no core for its user. */
START_TEST(a_core_takes_worker_rlimit_core)
{
    static const struct {
        const char *directive;
        int is_users;
    } cases[] = { { "", 0 }, { "worker_rlimit_core = 0\n", 0 },
        { "worker_rlimit_core = 1m\n", 1 } };
    char path[64];
    struct stat st;

    if (!is_root("a_core_takes_worker_rlimit_core"))
        return;
    start_with(cases[_i].directive);
    snprintf(path, sizeof(path), "/proc/%ld/fd", (long) daemon_worker(&d));
    ck_assert_int_eq(stat(path, &st), 0);
    ck_assert_int_eq(st.st_uid != 0, cases[_i].is_users);
    if (RV_HAVE_MEMFD) /* by what the master has open */
        ck_assert_int_eq(daemon_run(&d, "status", NULL), 0);
}
END_TEST

/* --- chroot ----------------------------------------------------------------------------- */

/* The hour and minute of the first line with this text. */
static int
minutes_of(const char *text)
{
    char *log = daemon_read(d.log), *line = strstr(log, text);
    int hour, minute;

    ck_assert_ptr_nonnull(line);
    while (line > log && line[-1] != '\n')
        line--;
    ck_assert_int_eq(sscanf(line, "%*s %d:%d", &hour, &minute), 2);
    free(log);
    return 60 * hour + minute;
}

START_TEST(a_worker_sees_its_chroot_and_works)
{
    char root[256], wanted[256];

    if (!is_root("a_worker_sees_its_chroot_and_works"))
        return;
    setenv("TZ", "Asia/Tokyo", 1);
    ck_assert_int_eq(mkdir(daemon_path(&d, "empty"), 0755), 0);
    start_with("chroot = empty\n");
    snprintf(wanted, sizeof(wanted), "%sempty", d.prefix);
    pid_t worker = daemon_worker(&d);
    ck_assert_str_eq(daemon_proc_link(worker, "root", root, sizeof(root)), wanted);
    ck_assert_str_eq(daemon_proc_link(worker, "cwd", root, sizeof(root)), wanted);
    ck_assert_str_eq(daemon_proc_link(d.master, "root", root, sizeof(root)), "/");
    expect_hello();

    /* what it needs of the outside is there: logs are reopened, the time is local */
    ck_assert_int_eq(rename(d.log, daemon_path(&d, "logs/old.log")), 0);
    daemon_signal(&d, "reopen");
    daemon_wait_file(&d, d.log, "reopen", 0);
    daemon_reload(&d);
    expect_hello();
    daemon_signal(&d, "quit");
    int apart = minutes_of("told to quit, worker 0") - minutes_of("reload done");
    ck_assert_msg(apart >= 0 && apart <= 2, "the clocks are %d minutes apart", apart);
    daemon_wait_gone(&d);
}
END_TEST

START_TEST(a_chroot_that_cannot_be_is_a_failed_start)
{
    configure("chroot = missing\n");
    ck_assert_int_eq(daemon_run(&d, NULL), 1);
    daemon_expect_output(&d, "missing\" failed (2: No such file or directory)");
    ck_assert_int_eq(access(d.pid, F_OK), -1);
}
END_TEST

START_TEST(a_chroot_takes_a_start_as_root)
{
    configure("chroot = logs\n");
    d.unprivileged = 1;
    ck_assert_int_eq(chmod(daemon_path(&d, "logs"), 0777), 0);
    ck_assert_int_eq(daemon_run(&d, NULL), 1);
    daemon_expect_output(&d, "logs\" failed (1: Operation not permitted)");
    ck_assert_int_eq(access(d.pid, F_OK), -1);
}
END_TEST

/* --- the sandbox -------------------------------------------------------------------------- */

static const char *const deeds[] = { "execve", "exec", "ptrace", "write", "netlink" };

/* Another worker is there, and has come to the end of its start. */
static int
is_replaced(daemon_t *unused, void *data)
{
    char text[16];
    pid_t pid = 0;

    (void) unused;
    return daemon_children(d.master, &pid, 1) == 1 && pid != *(const pid_t *) data
        && strcmp(daemon_proc_status(pid, "Seccomp", text, sizeof(text)), "2") == 0;
}

/* 0: the worker died of it. */
static int
try_deed(const char *name, char *text, size_t room)
{
    char path[64];

    snprintf(path, sizeof(path), "/do/%s", name);
    return daemon_get(&d, path, text, room);
}

START_TEST(a_deed_that_the_sandbox_does_not_allow_ends_the_worker)
{
    char text[256];

    start_with("sandbox = on\n");
    pid_t worker = daemon_worker(&d);
    expect_status(worker, "Seccomp", "2");
    ck_assert_int_eq(try_deed(deeds[_i], text, sizeof(text)), 0);
    snprintf(text, sizeof(text),
        "worker 0 (pid %ld) was killed by signal %d (a system call that the sandbox does not allow)",
        (long) worker, SIGSYS);
    daemon_wait_log(&d, text, 1);
    daemon_wait(&d, is_replaced, &worker, "another worker is there, in its sandbox");
    expect_hello();
    daemon_reload(&d);
    expect_hello();
}
END_TEST

START_TEST(without_the_sandbox_it_passes)
{
    char text[256], wanted[64];

    start_with("sandbox = off\n");
    pid_t worker = daemon_worker(&d);
    expect_status(worker, "Seccomp", "0");
    ck_assert_int_eq(try_deed(deeds[_i], text, sizeof(text)), 200);
    snprintf(wanted, sizeof(wanted), "%ld passed", (long) worker);
    ck_assert_str_eq(text, wanted);
    ck_assert_int_eq(daemon_worker(&d), worker);
}
END_TEST

START_TEST(what_a_service_needs_passes_in_the_sandbox)
{
    char text[256], wanted[64];

    start_with("sandbox = on\n");
    snprintf(wanted, sizeof(wanted), "%ld passed", (long) daemon_worker(&d));
    ck_assert_int_eq(try_deed("read", text, sizeof(text)), 200);
    ck_assert_str_eq(text, wanted);

    /* a crash is told as one */
    ck_assert_int_eq(try_deed("abort", text, sizeof(text)), 0);
    snprintf(text, sizeof(text), "was killed by signal %d", SIGABRT);
    daemon_wait_log(&d, text, 1);
    ck_assert_int_eq(daemon_log_count(&d, "the sandbox does not allow"), 0);
    expect_hello();
}
END_TEST

START_TEST(every_method_of_the_loop_works_in_the_sandbox)
{
    static const char *const methods[] = { "epoll", "poll", "select" };

    daemon_conff(&d,
        "[main]\nworker_processes = 2\nsandbox = on\nerror_log = logs/error.log notice\n"
        "[events]\nuse = %s\n%s",
        methods[_i], DAEMON_HTTP);
    daemon_start(&d);
    expect_hello();
    daemon_reload(&d);
    expect_hello();
    ck_assert_int_eq(daemon_log_count(&d, "was killed"), 0);
}
END_TEST

START_TEST(sandbox_is_refused_where_the_program_has_none)
{
    if (RV_HAVE_SECCOMP)
        return;
    configure("sandbox = on\n");
    ck_assert_int_eq(daemon_run(&d, "-t", NULL), 1);
    daemon_expect_output(&d, "\"sandbox = on\" needs a program that was built with libseccomp in ");
}
END_TEST

/* A sanitizer makes calls of its own. */
static void
add_sandbox_tests(TCase *tc)
{
    int count = (int) (sizeof(deeds) / sizeof(deeds[0]));

    tcase_add_loop_test(tc, without_the_sandbox_it_passes, 0, count);
    if (strcmp(RV_SANDBOX, "on") != 0)
        return;

    tcase_add_loop_test(tc, a_deed_that_the_sandbox_does_not_allow_ends_the_worker, 0, count);
    tcase_add_test(tc, what_a_service_needs_passes_in_the_sandbox);
    tcase_add_loop_test(tc, every_method_of_the_loop_works_in_the_sandbox, 0, 3);
}

int
main(void)
{
    Suite *s = suite_create("sandbox");
    TCase *tc = daemon_case(s, "sandbox");

    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_add_test(tc, a_worker_has_no_capability_and_cannot_get_one);
    tcase_add_test(tc, not_even_where_workers_run_as_root);
    tcase_add_test(tc, a_process_without_a_master_has_no_sandbox);
    tcase_add_loop_test(tc, a_core_takes_worker_rlimit_core, 0, 3);
    tcase_add_test(tc, a_worker_sees_its_chroot_and_works);
    tcase_add_test(tc, a_chroot_that_cannot_be_is_a_failed_start);
    tcase_add_test(tc, a_chroot_takes_a_start_as_root);
    tcase_add_test(tc, sandbox_is_refused_where_the_program_has_none);
    add_sandbox_tests(tc);
    return daemon_main(s);
}
