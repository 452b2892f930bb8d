/*
 * daemon_teardown: nothing may be left when a test is over.
 */
#include "daemon_internal.h"
#include "rv_shm.h"

#include <dirent.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static void __attribute__((format(printf, 2, 3))) complain(char *trouble, const char *fmt, ...)
{
    size_t length = strlen(trouble);
    va_list args;

    va_start(args, fmt);
    vsnprintf(trouble + length, 4096 - length, fmt, args);
    va_end(args);
}

/* The master that the pid file names, where the test did not tell. */
static void
find_master(daemon_t *d)
{
    pid_t pid = daemon_read_pid(d);
    char title[64];

    if (d->master == 0 && pid > 0
        && strncmp(daemon_title(pid, title, sizeof(title)), "reeve: master", 13) == 0)
        d->master = pid;
}

static void
stop_master(daemon_t *d, char *trouble)
{
    double end = daemon_now() + DAEMON_LIMIT;

    find_master(d);
    if (d->master == 0)
        return;
    if (!daemon_alive(d->master)) {
        complain(trouble, "the master is gone, nobody knows why\n");
        return;
    }
    kill(d->master, SIGTERM);
    while (daemon_alive(d->master) && daemon_now() < end)
        nanosleep(&(struct timespec){ 0, 2 * 1000 * 1000 }, NULL);
    if (daemon_alive(d->master)) {
        complain(trouble, "the master does not stop\n");
        kill(d->master, SIGKILL);
    }
    int status = daemon_wait_process(d, d->master);
    if (status > 0)
        complain(trouble, "the master ended with status %d\n", status);
    d->master = 0;
}

/* Every descendant is a child of ours once those between are gone. */
static void
look_for_processes(char *trouble)
{
    double end = daemon_now() + DAEMON_LIMIT;
    pid_t pids[64], pid;

    while ((pid = waitpid(-1, NULL, WNOHANG)) != -1 && daemon_now() < end) {
        if (pid == 0)
            nanosleep(&(struct timespec){ 0, 2 * 1000 * 1000 }, NULL);
    }
    int n = pid == -1 ? 0 : daemon_children(getpid(), pids, 64);

    n = n > 64 ? 64 : n; /* it tells how many there are */
    for (int i = 0; i < n; i++) {
        char title[128];

        complain(trouble, "process %ld survives: %s\n", (long) pids[i],
            daemon_title(pids[i], title, sizeof(title)));
        kill(pids[i], SIGKILL);
    }
}

typedef struct {
    daemon_t *d;
    char *trouble;
} look_t;

static void
look_at_file(const char *path, const struct stat *st, void *data)
{
    static const char *const bad[] = { "[alert]", "ERROR: AddressSanitizer", "ERROR: LeakSanitizer",
        "runtime error:", "WARNING: ThreadSanitizer" };
    look_t *look = data;

    if (S_ISSOCK(st->st_mode))
        complain(look->trouble, "a socket is left: %s\n", path);
    if (strcmp(path, look->d->pid) == 0)
        complain(look->trouble, "a pid file is left: %s\n", path);
    if (!S_ISREG(st->st_mode) || strcmp(path, look->d->conf) == 0)
        return;

    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        if (i == 0 && look->d->alert_expected)
            continue;
        if (daemon_file_count(path, bad[i]) > 0)
            complain(look->trouble, "\"%s\" in %s\n", bad[i], path);
    }
}

/* What a process wrote that was killed while it looked for leaks is no report. */
static void
look_at_sanitizer(const char *path, const struct stat *st, void *data)
{
    static const char *const reports[] = {
        "ERROR: ", "runtime error: ", "WARNING: ", "SUMMARY: ", "fatal error"
    };
    char *text = daemon_read(path);

    (void) st;
    for (size_t i = 0; text != NULL && i < sizeof(reports) / sizeof(reports[0]); i++) {
        if (strstr(text, reports[i]) != NULL) {
            complain(data, "a sanitizer wrote %s:\n%.2000s\n", path, text);
            break;
        }
    }
    free(text);
}

/* Names of POSIX shared memory carry a hash of the pid file's path. Where there is no
 * memfd the counters of all tests are such, and masters that were killed leave theirs. */
static void
look_at_memory(daemon_t *d, char *trouble)
{
    char path[512];
    uint32_t hash = 2166136261u;
    char part[32];
    DIR *dir = opendir("/dev/shm");
    struct dirent *entry;

    for (const char *p = d->pid; *p != '\0'; p++)
        hash = (hash ^ (unsigned char) *p) * 16777619u;
    snprintf(part, sizeof(part), "reeve.%08x.", hash);
    while (dir != NULL && (entry = readdir(dir)) != NULL) {
        if (strstr(entry->d_name, part) == NULL)
            continue;
        snprintf(path, sizeof(path), "/dev/shm/%s", entry->d_name);
        if (rv_shm_type("memfd") != NULL)
            complain(trouble, "shared memory is left: %s\n", entry->d_name);
        else
            (void) unlink(path);
    }
    if (dir != NULL)
        closedir(dir);
}

void
daemon_teardown(daemon_t *d)
{
    char trouble[4096] = "";
    look_t look = { d, trouble };

    stop_master(d, trouble);
    look_for_processes(trouble);
    daemon_walk(d->prefix, look_at_file, &look);
    daemon_walk(d->sanitizer, look_at_sanitizer, trouble);
    look_at_memory(d, trouble);
    close(d->reserved);
    ck_assert_msg(trouble[0] == '\0', "at the end of the test:\n%s", trouble);

    if (getenv("RV_KEEP") == NULL) {
        daemon_remove_folder(d->prefix);
        daemon_remove_folder(d->sanitizer);
    }
}
