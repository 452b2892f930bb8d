/*
 * outside: strace and wrk, where they are installed.
 */
#include "outside.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum { MSEC = 1000, ATTACH_MSEC = 5000 };

static void __attribute__((noreturn)) run(const char *const *arguments, const char *output)
{
    int fd = open(bench_path(output), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

    bench_be_quiet();
    if (fd != -1)
        (void) dup2(fd, STDOUT_FILENO);
    bench_pin(BENCH_LOAD_CORE);
    execvp(arguments[0], (char *const *) (uintptr_t) arguments);
    _exit(127);
}

static int
is_traced(pid_t pid)
{
    char text[4096];
    long tracer = 0;

    (void) tree_read(pid, "status", text, sizeof(text));
    const char *at = strstr(text, "TracerPid:");
    return at != NULL && sscanf(at, "TracerPid: %ld", &tracer) == 1 && tracer > 0;
}

/* RV_ERROR: it has ended instead. */
static int
wait_attached(pid_t tracer, pid_t pid)
{
    for (unsigned waited = 0; waited < ATTACH_MSEC; waited++) {
        if (is_traced(pid))
            return RV_OK;
        if (waitpid(tracer, NULL, WNOHANG) != 0)
            return RV_ERROR;
        bench_pause(1);
    }
    bench_end(tracer, SIGINT);
    return RV_ERROR;
}

/* From the last line of its table: "100.00  0.123  1  123456  12 total"; errors may be missing. */
static double
total_calls(const char *path)
{
    FILE *file = fopen(path, "r");
    char line[256];
    double calls = 0;

    while (file != NULL && fgets(line, sizeof(line), file) != NULL) {
        if (strstr(line, "total") != NULL)
            (void) sscanf(line, "%*s %*s %*s %lf", &calls);
    }
    if (file != NULL)
        fclose(file);
    return calls;
}

int
outside_count_calls(const server_t *s, const load_plan_t *plan, double *calls)
{
    pid_t worker = server_worker(s);
    char pid[16], path[BENCH_PATH];
    const char *const arguments[] = { "strace", "-c", "-p", pid, "-o", path, NULL };
    int result = RV_ERROR;
    load_t l;

    snprintf(pid, sizeof(pid), "%ld", (long) worker);
    snprintf(path, sizeof(path), "%s", bench_path("strace"));
    load_start(&l, plan);
    load_wait(&l);
    pid_t tracer = bench_fork();
    if (tracer == 0)
        run(arguments, "strace.out");
    if (wait_attached(tracer, worker) == RV_OK) {
        unsigned long answers = l.counts->answers;
        bench_pause(MSEC);
        kill(tracer, SIGINT);
        answers = l.counts->answers - answers;
        bench_end(tracer, SIGINT);
        *calls = total_calls(path) / (double) rv_max(answers, 1ul);
        result = *calls > 0 ? RV_OK : RV_ERROR;
    }
    load_stop(&l);
    return result;
}

/* "  123456 requests in 1.10s, 20MB read" */
static double
total_requests(const char *path)
{
    FILE *file = fopen(path, "r");
    char line[256];
    double requests = 0;

    while (file != NULL && fgets(line, sizeof(line), file) != NULL) {
        if (strstr(line, " requests in ") != NULL)
            (void) sscanf(line, "%lf", &requests);
    }
    if (file != NULL)
        fclose(file);
    return requests;
}

int
outside_run_wrk(const server_t *s, const load_plan_t *plan, double *usec)
{
    char connections[16], url[128];
    const char *const arguments[] = { "wrk", "-t1", "-d1s", "-c", connections, url, NULL };
    double cpu = tree_cpu(s->pid);

    snprintf(connections, sizeof(connections), "%u", plan->busy);
    snprintf(url, sizeof(url), "http://127.0.0.1:%d%s", s->port, plan->path);
    pid_t pid = bench_fork();
    if (pid == 0)
        run(arguments, "wrk.out");
    (void) waitpid(pid, NULL, 0);
    double requests = total_requests(bench_path("wrk.out"));
    if (requests < 1)
        return RV_ERROR;
    *usec = (tree_cpu(s->pid) - cpu) / requests;
    return RV_OK;
}
