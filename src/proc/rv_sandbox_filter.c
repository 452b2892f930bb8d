/*
 * rv_sandbox_filter: the system calls that a worker may make.
 *
 * Two tables. Calls in the first pass with whatever arguments: they work on
 * what the process has. Calls in the second could reach further, and pass
 * only with the arguments of a row; several rows of one call are
 * alternatives. What is in neither, like fork, execve, socket, connect, and ptrace,
 * kills. Descriptors that a worker needs are made before the filter is loaded,
 * by the master, or by accept.
 *
 * Names of other architectures do no harm, and names that this libseccomp
 * does not know yet are passed over: C libraries prefer new calls where the
 * kernel has them, so old and new forms stand side by side.
 */
#include "rv_sandbox_filter.h"

#include <errno.h>

#if RV_HAVE_SECCOMP

#include <fcntl.h>
#include <seccomp.h>
#include <stdint.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#if !defined(F_ADD_SEALS)
#define F_ADD_SEALS 1033 /* younger than some C libraries */
#define F_GET_SEALS 1034
#endif

static const char *const plain[] = {
    /* the loop: waiting, timers, time */
    "epoll_create", "epoll_create1", "epoll_ctl", "epoll_wait", "epoll_pwait", "epoll_pwait2",
    "poll", "ppoll", "ppoll_time64", "select", "_newselect", "pselect6", "pselect6_time64",
    "eventfd2", "pipe", "pipe2", "timerfd_create", "timerfd_settime", "timerfd_settime64",
    "clock_gettime", "clock_gettime64", "clock_getres", "clock_getres_time64", "gettimeofday",
    "time", "times", "nanosleep", "clock_nanosleep", "clock_nanosleep_time64", "restart_syscall",

    /* connections and channels */
    "accept", "accept4", "read", "readv", "write", "writev", "recv", "recvfrom", "recvmsg", "send",
    "sendto", "sendmsg", "sendfile", "sendfile64", "close", "shutdown", "dup", "dup2", "dup3",
    "getsockname", "getpeername", "getsockopt", "setsockopt",

    /* files that are open, and looking at others */
    "pread64", "lseek", "_llseek", "fstat", "fstat64", "stat", "stat64", "lstat", "lstat64",
    "newfstatat", "fstatat64", "statx", "access", "faccessat", "faccessat2", "readlink",
    "readlinkat", "getdents64", "getcwd",

    /* a zone's file that was cut off is made whole by who finds it so */
    "fallocate", "pwrite64", "fstatfs", "fstatfs64",

    /* a large message is a file in memory */
    "memfd_create",

    /* memory, and locks in shared memory */
    "brk", "munmap", "mremap", "madvise", "msync", "shmdt", "futex", "futex_time64",
    "set_robust_list", "get_robust_list", "rseq", "membarrier", "getrandom",

    /* itself: signals, who it is, what it has used, the end */
    "rt_sigaction", "rt_sigprocmask", "rt_sigreturn", "sigreturn", "sigaltstack", "getpid",
    "gettid", "getppid", "getuid", "getuid32", "geteuid", "geteuid32", "getgid", "getgid32",
    "getegid", "getegid32", "getrusage", "getrlimit", "ugetrlimit", "sched_yield",
    "sched_getaffinity", "getcpu", "sysinfo", "uname", "exit", "exit_group"
};

enum { NOT_READING = O_ACCMODE | O_CREAT | O_TRUNC, OWN_PID = -1 };

#define ALL UINT32_MAX
#define POINTER UINT64_MAX

/* Such a call passes when the bits of the argument that are in the mask are
 * as in value. Of all but a pointer the kernel looks at 32 bits. */
static const struct {
    const char *name;
    unsigned argument;
    uint64_t mask;
    int value;
} limited[] = {
    { "open", 1, NOT_READING, 0 }, { "openat", 2, NOT_READING, 0 }, { "mmap", 2, PROT_EXEC, 0 },
    { "mmap2", 2, PROT_EXEC, 0 }, { "mprotect", 2, PROT_EXEC, 0 }, { "ioctl", 1, ALL, FIONBIO },
    { "ioctl", 1, ALL, FIONREAD }, { "ioctl", 1, ALL, TIOCOUTQ }, { "fcntl", 1, ALL, F_GETFD },
    { "fcntl", 1, ALL, F_SETFD }, { "fcntl", 1, ALL, F_GETFL }, { "fcntl", 1, ALL, F_SETFL },
    { "fcntl", 1, ALL, F_DUPFD }, { "fcntl", 1, ALL, F_DUPFD_CLOEXEC },
    { "fcntl", 1, ALL, F_ADD_SEALS }, { "fcntl", 1, ALL, F_GET_SEALS },
    { "fcntl64", 1, ALL, F_ADD_SEALS }, { "fcntl64", 1, ALL, F_GET_SEALS },
    { "fcntl64", 1, ALL, F_GETFD }, { "fcntl64", 1, ALL, F_SETFD }, { "fcntl64", 1, ALL, F_GETFL },
    { "fcntl64", 1, ALL, F_SETFL }, { "fcntl64", 1, ALL, F_DUPFD },
    { "fcntl64", 1, ALL, F_DUPFD_CLOEXEC }, { "kill", 0, ALL, OWN_PID },
    { "tkill", 0, ALL, OWN_PID }, { "tgkill", 0, ALL, OWN_PID },
    { "prlimit64", 2, POINTER, 0 }, /* asking, not setting */
};

/* libseccomp's results are errno with the sign changed. */
static int
done(int result)
{
    if (result >= 0 || result == -EEXIST)
        return RV_OK;

    errno = -result;
    return RV_ERROR;
}

static int
add_limited(scmp_filter_ctx filter)
{
    for (size_t i = 0; i < rv_countof(limited); i++) {
        int number = seccomp_syscall_resolve_name(limited[i].name);
        int value = limited[i].value == OWN_PID ? (int) getpid() : limited[i].value;
        const struct scmp_arg_cmp compare = { .arg = limited[i].argument,
            .op = SCMP_CMP_MASKED_EQ,
            .datum_a = limited[i].mask,
            .datum_b = (uint32_t) value };

        if (number != __NR_SCMP_ERROR
            && done(seccomp_rule_add_array(filter, SCMP_ACT_ALLOW, number, 1, &compare)) != RV_OK)
            return RV_ERROR;
    }
    return RV_OK;
}

static int
add_plain(scmp_filter_ctx filter)
{
    for (size_t i = 0; i < rv_countof(plain); i++) {
        if (rv_sandbox_filter_knows(plain[i]) && rv_sandbox_filter_allow(filter, plain[i]) != RV_OK)
            return RV_ERROR;
    }
    return RV_OK;
}

int
rv_sandbox_filter_is_there(void)
{
    return 1;
}

int
rv_sandbox_filter_knows(const char *name)
{
    return seccomp_syscall_resolve_name(name) != __NR_SCMP_ERROR;
}

rv_sandbox_filter_t *
rv_sandbox_filter_create(void)
{
    scmp_filter_ctx filter = seccomp_init(SCMP_ACT_KILL_PROCESS);

    if (filter == NULL) {
        errno = ENOMEM;
        return NULL;
    }
    if (done(seccomp_attr_set(filter, SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_KILL_PROCESS)) == RV_OK
        && add_plain(filter) == RV_OK && add_limited(filter) == RV_OK)
        return filter;

    rv_sandbox_filter_destroy(filter);
    return NULL;
}

int
rv_sandbox_filter_allow(rv_sandbox_filter_t *filter, const char *name)
{
    int number = seccomp_syscall_resolve_name(name);

    if (number == __NR_SCMP_ERROR) {
        errno = EINVAL;
        return RV_ERROR;
    }
    return done(seccomp_rule_add(filter, SCMP_ACT_ALLOW, number, 0));
}

int
rv_sandbox_filter_load(rv_sandbox_filter_t *filter)
{
    return done(seccomp_load(filter));
}

void
rv_sandbox_filter_destroy(rv_sandbox_filter_t *filter)
{
    int saved = errno;

    if (filter != NULL)
        seccomp_release(filter);
    errno = saved;
}

#else

int
rv_sandbox_filter_is_there(void)
{
    return 0;
}

int
rv_sandbox_filter_knows(const char *name)
{
    (void) name;
    return 1;
}

rv_sandbox_filter_t *
rv_sandbox_filter_create(void)
{
    errno = ENOSYS;
    return NULL;
}

int
rv_sandbox_filter_allow(rv_sandbox_filter_t *filter, const char *name)
{
    (void) filter;
    (void) name;
    errno = ENOSYS;
    return RV_ERROR;
}

int
rv_sandbox_filter_load(rv_sandbox_filter_t *filter)
{
    (void) filter;
    errno = ENOSYS;
    return RV_ERROR;
}

void
rv_sandbox_filter_destroy(rv_sandbox_filter_t *filter)
{
    (void) filter;
}

#endif
