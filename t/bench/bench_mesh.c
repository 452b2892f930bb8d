/*
 * How the mesh grows: start, reload, and the death of every third worker, with hundreds of
 * them, beside nginx with as many, in turn.
 *
 * A start lasts from exec until every worker runs; here, until each has the descriptor of every
 * other as well, as /proc shows. A reload lasts until that is so of the new generation and nobody
 * of the old one is left. RV_BENCH_WORKERS="64 128" chooses the numbers of workers, RV_NGINX the
 * program to stand beside.
 */
#include "rv_base.h"
#include "rv_fd.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum {
    MOST = 512,
    CHILDREN = 3 * MOST,
    ROUNDS = 3,
    POLL_NSEC = 2 * 1000 * 1000,
    LIMIT = 60 /* seconds, for anything */
};

typedef enum { START, RELOAD, KILL, CPU, STEPS } step_t;

typedef struct server_s {
    const char *name;
    const char *program;
    void (*configure)(const char *path, int workers, int port);
    int (*is_complete)(const struct server_s *s, pid_t worker);
    int beside; /* descriptors of a worker that are no channels */

    pid_t master;
    int workers;
    double took[STEPS][ROUNDS];
} server_t;

static char folder[128], conf[160], reeve[512];

static void
fail(const char *what)
{
    perror(what);
    exit(1);
}

static double
now(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double) t.tv_sec + (double) t.tv_nsec / 1e9;
}

/* --- the two --------------------------------------------------------------------------- */

static void __attribute__((format(printf, 2, 3))) write_conf(const char *path, const char *fmt, ...)
{
    FILE *f = fopen(path, "w");
    va_list args;

    if (f == NULL)
        fail(path);
    va_start(args, fmt);
    vfprintf(f, fmt, args);
    va_end(args);
    if (fclose(f) != 0)
        fail(path);
}

static void
configure_reeve(const char *path, int workers, int port)
{
    write_conf(path,
        "[main]\ndaemon = off\nworker_processes = %d\n"
        "error_log = error.log notice\npid = reeve.pid\n"
        "[events]\nworker_connections = 64\n"
        "[http]\nlisten = 127.0.0.1:%d\n[location /]\nhandler = return\nreturn = 200 a\n",
        workers, port);
}

static void
configure_nginx(const char *path, int workers, int port)
{
    write_conf(path,
        "daemon off;\nworker_processes %d;\nerror_log error.log notice;\npid nginx.pid;\n"
        "events { worker_connections 64; }\n"
        "http { access_log off; server { listen 127.0.0.1:%d; } }\n",
        workers, port);
}

static char *const *
arguments(const server_t *s)
{
    static char *list[8];

    list[0] = (char *) (uintptr_t) s->program;
    list[1] = (char *) (uintptr_t) "-p";
    list[2] = folder;
    list[3] = (char *) (uintptr_t) "-c";
    list[4] = conf;
    return list;
}

/* --- /proc -------------------------------------------------------------------------------- */

static size_t
read_file(pid_t pid, const char *name, char *text, size_t room)
{
    char path[64];

    snprintf(path, sizeof(path), "/proc/%ld/%s", (long) pid, name);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    size_t length = 0;
    for (ssize_t n = 1; fd != -1 && n > 0 && length < room - 1; length += (size_t) n) {
        n = read(fd, text + length, room - 1 - length);
        n = n < 0 ? 0 : n;
    }
    if (fd != -1)
        close(fd);
    text[length] = '\0';
    return length;
}

static int
list_children(pid_t pid, pid_t *pids)
{
    static char text[CHILDREN * 8];
    char name[32], *end = text;
    int n = 0;

    snprintf(name, sizeof(name), "task/%ld/children", (long) pid);
    (void) read_file(pid, name, text, sizeof(text));
    for (long one; n < CHILDREN && (one = strtol(end, &end, 10)) > 0; n++)
        pids[n] = (pid_t) one;
    return n;
}

/* Younger kernels tell it as the size of the folder. */
static int
count_descriptors(pid_t pid)
{
    char path[64];
    struct stat st;
    int n = 0;

    snprintf(path, sizeof(path), "/proc/%ld/fd", (long) pid);
    if (stat(path, &st) == 0 && st.st_size > 0)
        return (int) st.st_size;

    DIR *directory = opendir(path);
    if (directory == NULL)
        return -1;
    for (struct dirent *e; (e = readdir(directory)) != NULL;)
        n += e->d_name[0] != '.';
    closedir(directory);
    return n;
}

static int
has_mesh(const server_t *s, pid_t worker)
{
    return count_descriptors(worker) == s->workers + s->beside;
}

static int
is_there(const server_t *s, pid_t worker)
{
    (void) s;
    return worker > 0;
}

static int
is_running(const server_t *s, pid_t worker)
{
    static const char title[] = "nginx: worker process";
    char text[64];

    (void) s;
    (void) read_file(worker, "cmdline", text, sizeof(text));
    return strncmp(text, title, sizeof(title) - 1) == 0 && strstr(text, "shutting") == NULL;
}

/* KiB that a process takes for itself, what is shared counted by its part. */
static long
proportional_size(pid_t pid)
{
    static char text[4096];
    long size = 0;

    (void) read_file(pid, "smaps_rollup", text, sizeof(text));
    const char *at = strstr(text, "\nPss:");
    if (at != NULL)
        (void) sscanf(at, "\nPss: %ld", &size);
    return size;
}

/* --- steps -------------------------------------------------------------------------------- */

/* Waits until there are so many workers, all complete and none of `old`. */
static void
wait_complete(const server_t *s, const pid_t *old, int old_count, pid_t *pids)
{
    const struct timespec pause = { 0, POLL_NSEC };
    double until = now() + LIMIT;
    int done = 0;

    for (; now() < until; nanosleep(&pause, NULL)) {
        while (old_count > 0 && kill(old[old_count - 1], 0) == -1)
            old_count--;
        if (old_count > 0)
            continue;
        if (list_children(s->master, pids) != s->workers)
            continue;
        for (done = rv_min(done, s->workers); done < s->workers; done++) {
            if (!s->is_complete(s, pids[done]))
                break;
        }
        if (done == s->workers)
            return;
    }
    fprintf(stderr, "%s: %d of %d workers are complete after %d seconds\n", s->name, done,
        s->workers, LIMIT);
    kill(s->master, SIGTERM);
    exit(1);
}

static int
free_port(void)
{
    struct sockaddr_in in = { .sin_family = AF_INET };
    socklen_t length = sizeof(in);
    int fd = rv_fd_socket(AF_INET, SOCK_STREAM);

    in.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (fd == -1 || bind(fd, (struct sockaddr *) &in, sizeof(in)) == -1
        || getsockname(fd, (struct sockaddr *) &in, &length) == -1)
        fail("bind");
    close(fd);
    return ntohs(in.sin_port);
}

static void
start(server_t *s, int workers, pid_t *pids)
{
    s->configure(conf, workers, free_port());
    s->workers = workers;
    s->master = fork();
    if (s->master == 0) {
        int null = open("/dev/null", O_RDWR);

        (void) dup2(null, 1);
        (void) dup2(null, 2);
        execvp(s->program, arguments(s));
        _exit(127);
    }
    wait_complete(s, NULL, 0, pids);
}

static void
stop(server_t *s)
{
    kill(s->master, SIGTERM);
    waitpid(s->master, NULL, 0);
}

/* Of the processes that are gone by now. */
static double
cpu_of_children(void)
{
    struct rusage r;

    getrusage(RUSAGE_CHILDREN, &r);
    return (double) (r.ru_utime.tv_sec + r.ru_stime.tv_sec)
        + (double) (r.ru_utime.tv_usec + r.ru_stime.tv_usec) / 1e6;
}

static void
measure(server_t *s, int workers, int round)
{
    static pid_t pids[CHILDREN], old[CHILDREN];
    double cpu = cpu_of_children(), began = now();

    start(s, workers, pids);
    s->took[START][round] = now() - began;

    memcpy(old, pids, sizeof(old));
    began = now();
    kill(s->master, SIGHUP);
    wait_complete(s, old, workers, pids);
    s->took[RELOAD][round] = now() - began;

    int killed = 0;
    began = now();
    for (int i = 0; i < workers; i += 3) {
        old[killed++] = pids[i];
        kill(pids[i], SIGKILL);
    }
    wait_complete(s, old, killed, pids);
    s->took[KILL][round] = now() - began;

    stop(s);
    s->took[CPU][round] = cpu_of_children() - cpu;
}

/* --- what is printed ------------------------------------------------------------------------- */

static int
compare(const void *a, const void *b)
{
    double x = *(const double *) a, y = *(const double *) b;

    return (x > y) - (x < y);
}

static void
show(int workers, server_t *servers, int count)
{
    static const char *const names[] = {
        [START] = "start", [RELOAD] = "reload", [KILL] = "third_killed", [CPU] = "cpu_of_all"
    };

    for (int step = 0; step < STEPS; step++) {
        for (int i = 0; i < count; i++)
            qsort(servers[i].took[step], ROUNDS, sizeof(double), compare);
        double ours = servers[0].took[step][ROUNDS / 2];
        printf("mesh.%s.%d_workers  reeve %.2f s", names[step], workers, ours);
        for (int i = 1; i < count; i++)
            printf("  %s %.2f s (%.2f)", servers[i].name, servers[i].took[step][ROUNDS / 2],
                ours / servers[i].took[step][ROUNDS / 2]);
        printf("\n");
    }
}

static void
show_sizes(server_t *servers, int count, int workers)
{
    static pid_t pids[CHILDREN];

    printf("mesh.worker.%d_workers ", workers);
    for (int i = 0; i < count; i++) {
        long size = 0;

        start(&servers[i], workers, pids);
        for (int w = 0; w < workers; w++)
            size += proportional_size(pids[w]);
        printf(" %s %ld KiB, %d descriptors; master %ld KiB ", servers[i].name, size / workers,
            count_descriptors(pids[0]), proportional_size(servers[i].master));
        stop(&servers[i]);
    }
    printf("\n");
}

/* What a worker of ours holds beside the mesh, once it serves. */
static int
count_beside(server_t *s)
{
    static pid_t pids[CHILDREN];
    const struct timespec settled = { 0, 300 * 1000 * 1000 };
    server_t two = *s;

    two.is_complete = is_there;
    start(&two, 2, pids);
    nanosleep(&settled, NULL);
    int n = count_descriptors(pids[0]) - 2;
    stop(&two);
    return n;
}

/* Whether it can be run; nothing is measured beside one that cannot. */
static int
is_installed(const char *program)
{
    int status;
    pid_t pid = fork();

    if (pid == 0) {
        int null = open("/dev/null", O_RDWR);

        (void) dup2(null, 2);
        execlp(program, program, "-v", (char *) NULL);
        _exit(127);
    }
    return pid != -1 && waitpid(pid, &status, 0) == pid && status == 0;
}

static void
prepare(const char *self)
{
    const char *slash = strrchr(self, '/');
    struct rlimit files;

    snprintf(folder, sizeof(folder), "/tmp/reeve-bench.XXXXXX");
    if (mkdtemp(folder) == NULL || chmod(folder, 0755) == -1)
        fail(folder);
    snprintf(conf, sizeof(conf), "%s/conf", folder);
    snprintf(reeve, sizeof(reeve), "%.*s/../../reeve", slash == NULL ? 1 : (int) (slash - self),
        slash == NULL ? "." : self);
    getrlimit(RLIMIT_NOFILE, &files); /* nginx's master keeps both ends of each pair */
    files.rlim_cur = files.rlim_max;
    (void) setrlimit(RLIMIT_NOFILE, &files);
}

static void
clean_up(void)
{
    static const char *const names[] = { "conf", "error.log", "reeve.pid", "nginx.pid",
        "client_body_temp", "proxy_temp", "fastcgi_temp", "uwsgi_temp", "scgi_temp" };
    char path[192];

    for (size_t i = 0; i < rv_countof(names); i++) {
        snprintf(path, sizeof(path), "%s/%s", folder, names[i]);
        (void) remove(path);
    }
    if (rmdir(folder) == -1)
        fail(folder);
}

int
main(int argc, char **argv)
{
    const char *sizes = getenv("RV_BENCH_WORKERS"), *nginx = getenv("RV_NGINX");
    server_t servers[] = {
        { .name = "reeve", .configure = configure_reeve, .is_complete = has_mesh },
        { .name = "nginx", .configure = configure_nginx, .is_complete = is_running },
    };

    (void) argc;
    prepare(argv[0]);
    servers[0].program = reeve;
    servers[1].program = nginx == NULL ? "nginx" : nginx;
    int count = is_installed(servers[1].program) ? 2 : 1;
    servers[0].beside = count_beside(&servers[0]);

    setvbuf(stdout, NULL, _IOLBF, 0);
    char *at = (char *) (uintptr_t) (sizes == NULL ? "256 512" : sizes);
    for (long n; (n = strtol(at, &at, 10)) > 0;) {
        int workers = (int) rv_min(n, (long) MOST);

        for (int round = 0; round < ROUNDS; round++) {
            for (int i = 0; i < count; i++)
                measure(&servers[i], workers, round);
        }
        show(workers, servers, count);
        show_sizes(servers, count, workers);
    }
    clean_up();
    return 0;
}
