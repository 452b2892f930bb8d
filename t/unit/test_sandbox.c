/*
 * rv_sandbox, rv_sandbox_filter: what a process cannot do any more.
 *
 * Each test happens in a child, which ends with a signal or a status.
 */
#include "rv_sandbox.h"

#include "rv_fd.h"
#include "rv_mesh_payload.h"
#include "rv_sandbox_filter.h"

#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { PAGE = 4096 };

/* The exit status of a child that does this; 128 + N: signal N. */
static int
in_child(int (*deed)(const void *), const void *data)
{
    int status;
    pid_t pid = fork();

    ck_assert_int_ne(pid, -1);
    if (pid == 0)
        _exit(deed(data));
    ck_assert_int_eq(waitpid(pid, &status, 0), pid);
    return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}

static int
is_root(const char *test)
{
    if (geteuid() == 0)
        return 1;
    printf("skipped, only root can do this: %s\n", test);
    return 0;
}

/* --- rights ----------------------------------------------------------------------- */

/* The value of a line "Name:" of /proc/self/status. */
static unsigned long long
own_status(const char *name)
{
    char line[256];
    FILE *f = fopen("/proc/self/status", "r");
    unsigned long long value = ~0ULL;
    size_t length = strlen(name);

    while (f != NULL && fgets(line, sizeof(line), f) != NULL) {
        if (strncmp(line, name, length) == 0 && line[length] == ':')
            value = strtoull(line + length + 1, NULL, 16);
    }
    if (f != NULL)
        fclose(f);
    return value;
}

static int
drop(const void *data)
{
    static const char *const sets[] = { "CapInh", "CapPrm", "CapEff", "CapAmb" };

    (void) data;
    rv_sandbox_bound();
    if (rv_sandbox_drop() != RV_OK)
        return 1;
    for (size_t i = 0; i < rv_countof(sets); i++) {
        if (own_status(sets[i]) != 0)
            return 2 + (int) i;
    }
    if (own_status("NoNewPrivs") != 1)
        return 10;
    return geteuid() == 0 && own_status("CapBnd") != 0 ? 11 : 0;
}

START_TEST(no_capability_is_left_and_none_can_come)
{
    if (RV_HAVE_CAPABILITIES)
        ck_assert_int_eq(in_child(drop, NULL), 0);
}
END_TEST

static int
look_outside(const void *folder)
{
    struct stat st;

    if (rv_sandbox_chroot(folder) != RV_OK)
        return 1;
    return stat("/etc", &st) == -1 && stat("../etc", &st) == -1 && stat("inside", &st) == 0 ? 0 : 2;
}

START_TEST(nothing_is_seen_outside_of_a_chroot)
{
    char folder[] = "/tmp/rv.XXXXXX", inside[64];

    if (!is_root("nothing_is_seen_outside_of_a_chroot"))
        return;
    ck_assert_ptr_nonnull(mkdtemp(folder));
    snprintf(inside, sizeof(inside), "%s/inside", folder);
    ck_assert_int_eq(mkdir(inside, 0700), 0);
    int status = in_child(look_outside, folder);
    rmdir(inside);
    rmdir(folder);
    ck_assert_int_eq(status, 0);
}
END_TEST

START_TEST(chroot_to_what_is_not_there_is_an_error)
{
    ck_assert_int_eq(rv_sandbox_chroot("/no/such/folder"), RV_ERROR);
    ck_assert_int_eq(errno, geteuid() == 0 ? ENOENT : errno);
}
END_TEST

static const struct {
    int before;
    int allowed;
    int after;
} cores[] = { { 0, 0, 0 }, { 0, 1, 1 }, { 1, 0, 0 }, { 1, 1, 1 } };

static int
set_core(const void *data)
{
    int i = *(const int *) data;

    if (prctl(PR_SET_DUMPABLE, cores[i].before, 0, 0, 0) == -1)
        return 1;
    rv_sandbox_set_core(cores[i].allowed);
    return prctl(PR_GET_DUMPABLE, 0, 0, 0, 0) == cores[i].after ? 0 : 2;
}

START_TEST(a_core_is_left_where_it_is_allowed)
{
    if (RV_HAVE_DUMPABLE)
        ck_assert_int_eq(in_child(set_core, &_i), 0);
}
END_TEST

/* --- the filter --------------------------------------------------------------------- */

typedef struct {
    const char *name;
    int (*call)(void); /* -1: it failed */
    int killed;
    const char *needs; /* what a module would declare; NULL: cannot be had by one name */
} call_t;

static int
call_execve(void)
{
    char *const none[] = { NULL };

    return execve("/no/such/program", none, none);
}

static int
call_fork(void)
{
    pid_t pid = fork();

    if (pid == 0)
        _exit(0);
    return pid == -1 ? -1 : 0;
}

static int
call_ptrace(void)
{
    return (int) ptrace(PTRACE_TRACEME, 0, NULL, NULL);
}

static int
call_open_write(void)
{
    return open("/dev/null", O_WRONLY | O_CLOEXEC);
}

static int
call_open_create(void)
{
    return open("/no/such/folder/file", O_RDONLY | O_CREAT | O_CLOEXEC, 0600);
}

static int
call_open_truncate(void)
{
    return open("/dev/null", O_RDONLY | O_TRUNC | O_CLOEXEC);
}

static int
call_open_read(void)
{
    return open("/dev/null", O_RDONLY | O_CLOEXEC);
}

static int
call_netlink(void)
{
    return socket(AF_NETLINK, SOCK_RAW, 0);
}

static int
call_inet(void)
{
    return socket(AF_INET, SOCK_STREAM, 0);
}

/* What a message to another process is, where it is large. */
static int
call_payload(void)
{
    rv_mesh_payload_t payload;
    int fd = RV_HAVE_MEMFD ? rv_mesh_payload_create("x", 1) : rv_fd_dup(STDIN_FILENO);

    if (!RV_HAVE_MEMFD) /* then it is a file that has had a name */
        return close(fd);
    if (fd == -1 || rv_mesh_payload_open(&payload, fd, 1) != RV_OK)
        return -1;
    rv_mesh_payload_close(&payload);
    return close(fd);
}

static int
call_map_code(void)
{
    return mmap(NULL, PAGE, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) == MAP_FAILED
        ? -1
        : 0;
}

static int
call_map(void)
{
    return mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)
            == MAP_FAILED
        ? -1
        : 0;
}

static int
call_make_code(void)
{
    static char page[2 * PAGE];
    char *start = page + PAGE - (uintptr_t) page % PAGE;

    return mprotect(start, PAGE, PROT_READ | PROT_EXEC);
}

static int
call_prctl(void)
{
    return prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
}

static int
call_signal_parent(void)
{
    return kill(getppid(), 0);
}

static int
call_signal_self(void)
{
    return kill(getpid(), 0) == 0 && raise(SIGCHLD) == 0 ? 0 : -1;
}

static int
call_ioctl(void)
{
    return ioctl(STDIN_FILENO, TIOCGPGRP, &(int){ 0 }) == -1 && errno != ENOTTY ? -1 : 0;
}

static int
call_nonblocking(void)
{
    int fds[2], on = 1;

    return pipe(fds) == 0 && ioctl(fds[0], FIONBIO, &on) == 0
            && fcntl(fds[1], F_SETFL, O_NONBLOCK) == 0
        ? 0
        : -1;
}

static int
call_own_signals(void)
{
    return fcntl(STDIN_FILENO, F_SETOWN, getpid());
}

static int
call_get_limit(void)
{
    struct rlimit limit;

    return getrlimit(RLIMIT_NOFILE, &limit);
}

static int
call_set_limit(void)
{
    const struct rlimit limit = { 64, 64 };

    return setrlimit(RLIMIT_NOFILE, &limit);
}

static int
call_unlink(void)
{
    return unlink("/no/such/file");
}

static int
call_setuid(void)
{
    return setuid(getuid());
}

static int
call_filter(void)
{
    return (int) syscall(SYS_seccomp, 0, 0, NULL);
}

static int
call_memory_and_time(void)
{
    char *p = malloc(1024 * 1024);

    if (p == NULL)
        return -1;
    memset(p, 1, 1024 * 1024);
    free(p);
    return (int) nanosleep(&(struct timespec){ 0, 1 }, NULL);
}

static const call_t calls[] = {
    { "execve", call_execve, 1, "execve" },
    { "fork", call_fork, 1, NULL }, /* clone, vfork, or clone3, and wait4 */
    { "ptrace", call_ptrace, 1, "ptrace" },
    { "open for writing", call_open_write, 1, "openat" },
    { "open to create", call_open_create, 1, "openat" },
    { "open to truncate", call_open_truncate, 1, "openat" },
    { "open for reading", call_open_read, 0, NULL },
    { "socket of netlink", call_netlink, 1, "socket" },
    { "socket of inet", call_inet, 1, "socket" },
    { "mmap of code", call_map_code, 1, "mmap" },
    { "mmap", call_map, 0, NULL },
    { "mprotect to code", call_make_code, 1, "mprotect" },
    { "prctl", call_prctl, 1, "prctl" },
    { "kill of another", call_signal_parent, 1, "kill" },
    { "kill and raise of itself", call_signal_self, 0, NULL },
    { "ioctl", call_ioctl, 1, "ioctl" },
    { "FIONBIO and F_SETFL", call_nonblocking, 0, NULL },
    { "F_SETOWN", call_own_signals, 1, "fcntl" },
    { "getrlimit", call_get_limit, 0, NULL },
    { "setrlimit", call_set_limit, 1, "prlimit64" },
    { "unlink", call_unlink, 1, "unlink" },
    { "setuid", call_setuid, 1, "setuid" },
    { "seccomp", call_filter, 1, "seccomp" },
    { "malloc, free, and sleep", call_memory_and_time, 0, NULL },
    { "payload", call_payload, 0, NULL },
};

static rv_sandbox_filter_t *filter; /* made by the parent */

static int
confined(const void *data)
{
    const call_t *c = data;

    if (rv_sandbox_drop() != RV_OK || rv_sandbox_filter_load(filter) != RV_OK)
        return 1;
    rv_sandbox_filter_destroy(filter);
    int result = c->call();
    return c->killed || result != -1 ? 0 : 2;
}

/* What becomes of a child that makes this call, when `more`, if any, is allowed beside. */
static int
status_of(const call_t *call, const char *more)
{
    filter = rv_sandbox_filter_create();
    ck_assert_ptr_nonnull(filter);
    if (more != NULL)
        ck_assert_int_eq(rv_sandbox_filter_allow(filter, more), RV_OK);
    ck_assert_int_eq(rv_sandbox_filter_finish(filter), RV_OK);
    ck_assert_int_eq(rv_sandbox_filter_allow(filter, "socket"), RV_ERROR); /* too late */

    int status = in_child(confined, call);
    rv_sandbox_filter_destroy(filter);
    return status;
}

START_TEST(a_call_that_is_not_needed_kills)
{
    int status = status_of(&calls[_i], NULL);

    ck_assert_msg(
        status == (calls[_i].killed ? 128 + SIGSYS : 0), "%s: status %d", calls[_i].name, status);
}
END_TEST

START_TEST(a_call_that_a_module_names_passes)
{
    if (calls[_i].needs == NULL)
        return;
    int status = status_of(&calls[_i], calls[_i].needs);
    ck_assert_msg(status == 0, "%s: status %d", calls[_i].name, status);
}
END_TEST

START_TEST(what_is_no_system_call_is_an_error)
{
    filter = rv_sandbox_filter_create();
    ck_assert_ptr_nonnull(filter);
    ck_assert_int_eq(rv_sandbox_filter_allow(filter, "make_coffee"), RV_ERROR);
    ck_assert_int_eq(errno, EINVAL);
    ck_assert_int_eq(rv_sandbox_filter_allow(filter, "socket"), RV_OK);
    ck_assert_int_eq(rv_sandbox_filter_allow(filter, "socket"), RV_OK); /* two modules may */
    ck_assert_int_eq(rv_sandbox_filter_allow(filter, "read"), RV_OK);   /* it is there already */
    ck_assert_int_eq(rv_sandbox_filter_knows("make_coffee"), 0);
    ck_assert_int_eq(rv_sandbox_filter_knows("socket"), 1);
    rv_sandbox_filter_destroy(filter);
}
END_TEST

START_TEST(without_libseccomp_there_is_no_filter)
{
    if (rv_sandbox_filter_is_there())
        return;
    ck_assert_ptr_null(rv_sandbox_filter_create());
    ck_assert_int_eq(errno, ENOSYS);
    ck_assert_int_eq(rv_sandbox_filter_knows("anything"), 1);
    rv_sandbox_filter_destroy(NULL);
}
END_TEST

/* A sanitizer's own calls would be killed too. */
static void
add_filter_tests(TCase *tcase)
{
    if (!rv_sandbox_filter_is_there() || strstr(RV_COMPILER_FLAGS, "-fsanitize") != NULL)
        return;

    tcase_add_loop_test(tcase, a_call_that_is_not_needed_kills, 0, (int) rv_countof(calls));
    tcase_add_loop_test(tcase, a_call_that_a_module_names_passes, 0, (int) rv_countof(calls));
    tcase_add_test(tcase, what_is_no_system_call_is_an_error);
}

static Suite *
sandbox_suite(void)
{
    Suite *suite = suite_create("sandbox");
    TCase *tcase = tcase_create("sandbox");

    tcase_set_timeout(tcase, 60);
    tcase_add_test(tcase, no_capability_is_left_and_none_can_come);
    tcase_add_test(tcase, nothing_is_seen_outside_of_a_chroot);
    tcase_add_test(tcase, chroot_to_what_is_not_there_is_an_error);
    tcase_add_loop_test(tcase, a_core_is_left_where_it_is_allowed, 0, (int) rv_countof(cores));
    tcase_add_test(tcase, without_libseccomp_there_is_no_filter);
    add_filter_tests(tcase);
    suite_add_tcase(suite, tcase);
    return suite;
}

int
main(void)
{
    SRunner *runner = srunner_create(sandbox_suite());

    srunner_run_all(runner, CK_NORMAL);

    int failed = srunner_ntests_failed(runner);

    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
