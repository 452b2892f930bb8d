/*
 * bench: what all programs of the bench stand on.
 *
 * Whoever loses its parent becomes the keeper's child, so it knows all there are.
 */
#include "bench.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { PATHS = 8, PATIENCE_MSEC = 10 * 1000, STEP_MSEC = 10, SPARE_DESCRIPTORS = 200 };

static char folder[64], objects[BENCH_PATH];

void
bench_fail(const char *what)
{
    perror(what);
    exit(1);
}

void
bench_give_up(const char *fmt, ...)
{
    va_list args;

    va_start(args, fmt);
    vfprintf(stderr, fmt, args);
    va_end(args);
    fputc('\n', stderr);
    exit(1);
}

double
bench_now(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double) t.tv_sec + (double) t.tv_nsec / 1e9;
}

double
bench_cpu(int who)
{
    struct rusage r;

    getrusage(who, &r);
    return (double) (r.ru_utime.tv_sec + r.ru_stime.tv_sec)
        + (double) (r.ru_utime.tv_usec + r.ru_stime.tv_usec) / 1e6;
}

void
bench_pause(unsigned msec)
{
    struct timespec left = { msec / 1000, msec % 1000 * 1000000L };

    while (nanosleep(&left, &left) == -1 && errno == EINTR)
        continue;
}

void *
bench_map(size_t size)
{
    void *p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

    if (p == MAP_FAILED)
        bench_fail("mmap");
    return p;
}

/* --- figures ------------------------------------------------------------------------------- */

static int
compare(const void *a, const void *b)
{
    double x = *(const double *) a, y = *(const double *) b;

    return (x > y) - (x < y);
}

void
bench_sort(double *figures, size_t n)
{
    qsort(figures, n, sizeof(*figures), compare);
}

double
bench_median(double *figures, size_t n)
{
    bench_sort(figures, n);
    return figures[n / 2];
}

/* --- places ------------------------------------------------------------------------------ */

const char *
bench_path(const char *name)
{
    static char paths[PATHS][BENCH_PATH];
    static unsigned next;
    char *path = paths[next++ % PATHS];

    snprintf(path, BENCH_PATH, "%s/%s", folder, name);
    return path;
}

const char *
bench_built(const char *name)
{
    static char paths[PATHS][BENCH_PATH + 64];
    static unsigned next;
    char *path = paths[next++ % PATHS];

    snprintf(path, sizeof(paths[0]), "%s/%s", objects, name);
    return path;
}

static int
remove_one(const char *path, const struct stat *st, int type, struct FTW *walk)
{
    (void) st;
    (void) type;
    (void) walk;
    return remove(path);
}

static void
make_folder(void)
{
    snprintf(folder, sizeof(folder), "/tmp/reeve-bench.XXXXXX");
    if (mkdtemp(folder) == NULL || chmod(folder, 0755) == -1)
        bench_fail(folder);
}

/* --- processes --------------------------------------------------------------------------- */

void
bench_pin(bench_core_t core)
{
    cpu_set_t all, one;
    int wanted = core == BENCH_LOAD_CORE ? 1 : 0, n = 0;

    if (core == BENCH_ANY_CORE || sched_getaffinity(0, sizeof(all), &all) == -1
        || CPU_COUNT(&all) < 2)
        return;
    for (int i = 0; i < CPU_SETSIZE; i++) {
        if (!CPU_ISSET(i, &all) || n++ != wanted)
            continue;
        CPU_ZERO(&one);
        CPU_SET(i, &one);
        (void) sched_setaffinity(0, sizeof(one), &one);
    }
}

pid_t
bench_fork(void)
{
    pid_t parent = getpid(), pid = fork();

    if (pid == -1)
        bench_fail("fork");
    if (pid > 0)
        return pid;

    (void) prctl(PR_SET_PDEATHSIG, SIGTERM);
    if (getppid() != parent)
        _exit(1);
    return 0;
}

void
bench_be_quiet(void)
{
    int null = open("/dev/null", O_RDWR | O_CLOEXEC);

    for (int fd = 0; fd <= STDERR_FILENO && null != -1; fd++)
        (void) dup2(null, fd);
}

unsigned
bench_most_connections(void)
{
    struct rlimit files;

    getrlimit(RLIMIT_NOFILE, &files);
    rlim_t most = rv_min(files.rlim_cur, (rlim_t) 1024 * 1024);
    return most < SPARE_DESCRIPTORS ? 0 : (unsigned) most - SPARE_DESCRIPTORS;
}

/* RV_OK: it has ended before the time was over. */
static int
wait_for(pid_t pid)
{
    for (unsigned waited = 0; waited < PATIENCE_MSEC; waited += STEP_MSEC) {
        pid_t got = waitpid(pid, NULL, WNOHANG);

        if (got != 0)
            return RV_OK;
        bench_pause(STEP_MSEC);
    }
    return RV_ERROR;
}

void
bench_end(pid_t pid, int number)
{
    if (kill(pid, number) == -1)
        return;
    kill(pid, SIGCONT); /* it may be stopped */
    if (wait_for(pid) != RV_OK) {
        kill(pid, SIGKILL);
        (void) waitpid(pid, NULL, 0);
    }
}

/* --- the keeper -------------------------------------------------------------------------------- */

static volatile sig_atomic_t interrupted;

static void
on_signal(int number)
{
    interrupted = number;
}

static void
set_handler(void (*handler)(int))
{
    static const int numbers[] = { SIGINT, SIGTERM, SIGHUP, SIGQUIT };
    struct sigaction sa = { .sa_handler = handler };

    for (size_t i = 0; i < rv_countof(numbers); i++)
        sigaction(numbers[i], &sa, NULL);
}

/* Of whatever is left: one process. 0: there is none. */
static pid_t
find_child(void)
{
    char path[64];
    long pid = 0;

    snprintf(path, sizeof(path), "/proc/self/task/%ld/children", (long) getpid());
    FILE *file = fopen(path, "r");
    if (file != NULL) {
        if (fscanf(file, "%ld", &pid) != 1)
            pid = 0;
        fclose(file);
    }
    return (pid_t) pid;
}

static void
end_all(void)
{
    for (pid_t pid; (pid = find_child()) != 0;)
        bench_end(pid, SIGTERM);
}

static void
keep(pid_t child)
{
    int status;

    do {
        if (interrupted)
            kill(child, SIGTERM);
    } while (waitpid(child, &status, 0) == -1 && errno == EINTR);
    end_all();
    if (nftw(folder, remove_one, 16, FTW_DEPTH | FTW_PHYS) == -1)
        perror(folder);
    exit(WIFEXITED(status) ? WEXITSTATUS(status) : 1);
}

/* Servers are there, which not everybody has in PATH. */
static void
use_system_programs(void)
{
    const char *path = getenv("PATH");
    char longer[4096];

    snprintf(longer, sizeof(longer), "%s:/usr/sbin:/usr/local/sbin",
        path == NULL ? "/usr/bin:/bin" : path);
    (void) setenv("PATH", longer, 1);
}

void
bench_init(const char *self)
{
    const char *slash = strrchr(self, '/');
    struct rlimit files;

    snprintf(objects, sizeof(objects), "%.*s/../..", slash == NULL ? 1 : (int) (slash - self),
        slash == NULL ? "." : self);
    set_handler(on_signal);
    make_folder();
    getrlimit(RLIMIT_NOFILE, &files);
    files.rlim_cur = files.rlim_max;
    (void) setrlimit(RLIMIT_NOFILE, &files);
    setvbuf(stdout, NULL, _IOLBF, 0);

    use_system_programs();
    (void) prctl(PR_SET_CHILD_SUBREAPER, 1);
    pid_t child = fork();
    if (child == -1)
        bench_fail("fork");
    if (child > 0)
        keep(child);
    set_handler(SIG_DFL);
    (void) prctl(PR_SET_PDEATHSIG, SIGTERM);
}
