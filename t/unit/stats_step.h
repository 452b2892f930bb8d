/*
 * A process that is followed an instruction at a time.
 *
 * It stands still after each of its instructions, while the test looks at the
 * memory as an operator's reader would. What its death leaves depends on the
 * shared memory and on the list of locks that the kernel looks through then; so
 * it is killed once after every instruction that has changed one of these, in
 * a run of its own each.
 */
#ifndef STATS_STEP_H
#define STATS_STEP_H

#include "stats_fixture.h"

#include <errno.h>
#include <linux/futex.h>
#include <sched.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>

#define STEP_MOST 200000
#define STEP_CHANGES 600
#define STEP_LOCKS (sizeof(struct robust_list_head) / sizeof(long))

typedef struct {
    char *memory; /* what the process changes */
    char *image;  /* of it, as each run finds it */
    size_t size;
    volatile int *done;     /* the process is */
    void (*restored)(void); /* the image is back in the memory; or NULL */
} step_t;

/* Where something has changed: after that many instructions each. */
typedef struct {
    int steps; /* instructions in all */
    int changes;
    int after[STEP_CHANGES];
} step_path_t;

/*
 * To be called first in main. A function is not to be looked up by the dynamic
 * linker when it is called first: then the same instructions are not as many in
 * the next run.
 */
static inline void
step_bind_now(char **argv)
{
    if (getenv("LD_BIND_NOW") == NULL && setenv("LD_BIND_NOW", "1", 1) == 0)
        (void) execv("/proc/self/exe", argv);
}

/* On one processor the steps take half the time. */
static inline void
step_init(step_t *s, void *memory, size_t size)
{
    cpu_set_t cpu;

    CPU_ZERO(&cpu);
    CPU_SET(sched_getcpu(), &cpu);
    (void) sched_setaffinity(0, sizeof(cpu), &cpu);
    *s = (step_t){ .memory = memory, .size = size, .image = malloc(2 * size) };
    s->done = stats_shared(sizeof(*s->done));
}

static inline void
step_free(step_t *s)
{
    free(s->image);
    munmap((void *) s->done, sizeof(*s->done));
    *s = (step_t){ 0 };
}

static inline void
step_save(step_t *s)
{
    memcpy(s->image, s->memory, s->size);
}

static inline void
step_restore(const step_t *s)
{
    memcpy(s->memory, s->image, s->size);
    if (s->restored != NULL)
        s->restored();
}

static inline pid_t
step_start(const step_t *s, void (*body)(void))
{
    int status;

    *s->done = 0;
    pid_t pid = fork();
    ck_assert_int_ne(pid, -1);
    if (pid == 0) {
        if (ptrace(PTRACE_TRACEME, 0, NULL, NULL) == -1)
            _exit(errno);
        raise(SIGSTOP);
        body();
        *s->done = 1;
        _exit(0);
    }
    ck_assert_int_eq(waitpid(pid, &status, 0), pid);
    ck_assert_msg(WIFSTOPPED(status), "tracing a child failed (%d: %s)", WEXITSTATUS(status),
        strerror(WEXITSTATUS(status)));
    return pid;
}

/* 0 when the process is through with what it had to do. An assertion that holds
 * costs a write(): here there is none. */
static inline int
step_once(const step_t *s, pid_t pid)
{
    int status = 0;

    if (ptrace(PTRACE_SINGLESTEP, pid, NULL, NULL) != 0 || waitpid(pid, &status, 0) != pid
        || !WIFSTOPPED(status) || WSTOPSIG(status) != SIGTRAP)
        ck_abort_msg("status is %x, errno %d", (unsigned) status, errno);
    return !*s->done;
}

static inline void
step_let_go(pid_t pid)
{
    ck_assert_int_eq(ptrace(PTRACE_CONT, pid, NULL, NULL), 0);
    stats_wait(pid);
}

/* Where in the process the kernel will look for its locks. */
static inline long
step_lock_list(pid_t pid)
{
    struct robust_list_head *head = NULL;
    size_t length;

    ck_assert_int_eq(syscall(SYS_get_robust_list, pid, &head, &length), 0);
    return (long) head;
}

static inline void
step_copy_locks(pid_t pid, long list, long words[STEP_LOCKS])
{
    for (size_t i = 0; i < STEP_LOCKS; i++)
        words[i] = ptrace(PTRACE_PEEKDATA, pid, list + (long) (i * sizeof(long)), NULL);
}

/* Runs the body once, `look` at every stop; where something has changed goes to *path. */
static inline void
step_follow(const step_t *s, void (*body)(void), void (*look)(int steps), step_path_t *path)
{
    char *last = s->image + s->size;
    long locks[2][STEP_LOCKS];
    pid_t pid = step_start(s, body);
    long list = step_lock_list(pid);
    int steps = 0;

    path->changes = 0;
    memcpy(last, s->memory, s->size);
    step_copy_locks(pid, list, locks[0]);
    for (int running = 1; running;) {
        running = step_once(s, pid);
        if (++steps == STEP_MOST)
            ck_abort_msg("it takes more than %d instructions", STEP_MOST);
        look(steps);
        step_copy_locks(pid, list, locks[1]);
        if (memcmp(last, s->memory, s->size) == 0
            && memcmp(locks[0], locks[1], sizeof(locks[0])) == 0)
            continue;

        ck_assert_int_lt(path->changes, STEP_CHANGES);
        path->after[path->changes++] = steps;
        memcpy(last, s->memory, s->size);
        memcpy(locks[0], locks[1], sizeof(locks[0]));
    }
    path->steps = steps;
    step_let_go(pid);
}

/* Runs the body up to there, and kills it; returns who it was. */
static inline pid_t
step_kill_after(const step_t *s, void (*body)(void), int steps, void (*look)(int steps))
{
    step_restore(s);
    pid_t pid = step_start(s, body);

    for (int i = 0; i < steps && step_once(s, pid); i++)
        continue;
    if (look != NULL)
        look(steps);
    stats_kill(pid);
    return pid;
}

/* The same at the place of path's ith change. */
static inline pid_t
step_kill_at(
    const step_t *s, void (*body)(void), const step_path_t *path, int i, void (*look)(int steps))
{
    pid_t pid = step_kill_after(s, body, path->after[i], look);

    ck_assert_msg(
        *s->done == (path->after[i] == path->steps), "it has not %d instructions", path->steps);
    return pid;
}

#endif
