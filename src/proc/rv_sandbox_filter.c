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
 * Making the program takes libseccomp a thousand times the memory of the program. So a
 * process that is going to fork makes it, and each child puts its own process id
 * where a number stands that is nobody's.
 *
 * Names of other architectures do no harm, and names that this libseccomp
 * does not know yet are passed over: C libraries prefer new calls where the
 * kernel has them, so old and new forms stand side by side.
 */
#include "rv_sandbox_filter.h"

#include <errno.h>

#if RV_HAVE_SECCOMP

#include "rv_fd.h"

#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <seccomp.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
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

enum {
    NOT_READING = O_ACCMODE | O_CREAT | O_TRUNC,
    OWN_PID = 0x7ffffffe /* the kernel gives out no more than 2^22 */
};

struct rv_sandbox_filter_s {
    scmp_filter_ctx rules; /* NULL once the program is made */
    struct sock_filter *program;
    size_t size; /* bytes of it */
};

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
allow(scmp_filter_ctx rules, int number)
{
    return done(seccomp_rule_add(rules, SCMP_ACT_ALLOW, number, 0));
}

static int
add_limited(scmp_filter_ctx rules)
{
    for (size_t i = 0; i < rv_countof(limited); i++) {
        int number = seccomp_syscall_resolve_name(limited[i].name);
        const struct scmp_arg_cmp compare = { .arg = limited[i].argument,
            .op = SCMP_CMP_MASKED_EQ,
            .datum_a = limited[i].mask,
            .datum_b = (uint32_t) limited[i].value };

        if (number != __NR_SCMP_ERROR
            && done(seccomp_rule_add_array(rules, SCMP_ACT_ALLOW, number, 1, &compare)) != RV_OK)
            return RV_ERROR;
    }
    return RV_OK;
}

static int
add_plain(scmp_filter_ctx rules)
{
    for (size_t i = 0; i < rv_countof(plain); i++) {
        int number = seccomp_syscall_resolve_name(plain[i]);

        if (number != __NR_SCMP_ERROR && allow(rules, number) != RV_OK)
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
    rv_sandbox_filter_t *filter = calloc(1, sizeof(*filter));

    if (filter == NULL)
        return NULL;
    filter->rules = seccomp_init(SCMP_ACT_KILL_PROCESS);
    if (filter->rules == NULL)
        errno = ENOMEM;
    else if (done(seccomp_attr_set(filter->rules, SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_KILL_PROCESS))
            == RV_OK
        && add_plain(filter->rules) == RV_OK && add_limited(filter->rules) == RV_OK)
        return filter;

    rv_sandbox_filter_destroy(filter);
    return NULL;
}

int
rv_sandbox_filter_allow(rv_sandbox_filter_t *filter, const char *name)
{
    int number = seccomp_syscall_resolve_name(name);

    if (number == __NR_SCMP_ERROR || filter->rules == NULL) {
        errno = EINVAL;
        return RV_ERROR;
    }
    return allow(filter->rules, number);
}

/* --- the program --------------------------------------------------------------------- */

/* The longest that the kernel takes is half of what a pipe does. */
static int
copy_program(rv_sandbox_filter_t *filter, const int *pipe)
{
    struct sock_filter program[BPF_MAXINSNS];

    if (done(seccomp_export_bpf(filter->rules, pipe[1])) != RV_OK)
        return RV_ERROR;

    ssize_t n = read(pipe[0], program, sizeof(program));
    if (n <= 0)
        return RV_ERROR;
    filter->size = (size_t) n;
    filter->program = malloc(filter->size);
    if (filter->program == NULL)
        return RV_ERROR;
    memcpy(filter->program, program, filter->size);
    return RV_OK;
}

int
rv_sandbox_filter_finish(rv_sandbox_filter_t *filter)
{
    int pipe[2], result;

    if (filter->rules == NULL)
        return RV_OK;
    if (rv_fd_pipe(pipe) != RV_OK)
        return RV_ERROR;
    result = copy_program(filter, pipe);
    if (result == RV_OK) {
        seccomp_release(filter->rules);
        filter->rules = NULL;
    }
    rv_fd_close(&pipe[0]);
    rv_fd_close(&pipe[1]);
    return result;
}

int
rv_sandbox_filter_load(rv_sandbox_filter_t *filter)
{
    if (rv_sandbox_filter_finish(filter) != RV_OK)
        return RV_ERROR;

    const struct sock_fprog program = {
        .len = (unsigned short) (filter->size / sizeof(*filter->program)),
        .filter = filter->program,
    };
    for (size_t i = 0; i < program.len; i++) {
        struct sock_filter *f = &filter->program[i];

        if (f->code == (BPF_JMP | BPF_JEQ | BPF_K) && f->k == OWN_PID)
            f->k = (uint32_t) getpid();
    }
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == -1)
        return RV_ERROR;
    return prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program, 0, 0) == 0 ? RV_OK : RV_ERROR;
}

void
rv_sandbox_filter_destroy(rv_sandbox_filter_t *filter)
{
    int saved = errno;

    if (filter != NULL) {
        if (filter->rules != NULL)
            seccomp_release(filter->rules);
        free(filter->program);
        free(filter);
    }
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
rv_sandbox_filter_finish(rv_sandbox_filter_t *filter)
{
    (void) filter;
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
