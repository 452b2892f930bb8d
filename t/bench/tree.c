/*
 * tree: what a server's processes take, as /proc tells.
 */
#include "tree.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

size_t
tree_read(pid_t pid, const char *name, char *text, size_t room)
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

int
tree_children(pid_t pid, pid_t *pids)
{
    static char text[TREE_MOST * 8];
    char name[32], *end = text;
    int n = 0;

    snprintf(name, sizeof(name), "task/%ld/children", (long) pid);
    (void) tree_read(pid, name, text, sizeof(text));
    for (long one; n < TREE_MOST && (one = strtol(end, &end, 10)) > 0; n++)
        pids[n] = (pid_t) one;
    return n;
}

/* Younger kernels tell it as the size of the folder. */
int
tree_descriptors(pid_t pid)
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

/* The same as utime and stime of /proc/PID/stat, but not in hundredths of a second. */
static double
cpu_of(pid_t pid)
{
    struct timespec t;
    clockid_t clock;

    if (clock_getcpuclockid(pid, &clock) != 0 || clock_gettime(clock, &t) == -1)
        return 0;
    return (double) t.tv_sec * 1e6 + (double) t.tv_nsec / 1e3;
}

double
tree_cpu(pid_t pid)
{
    pid_t *pids = malloc(TREE_MOST * sizeof(*pids));
    double sum = cpu_of(pid);

    if (pids == NULL)
        bench_fail("malloc");
    int n = tree_children(pid, pids);
    for (int i = 0; i < n; i++)
        sum += tree_cpu(pids[i]);
    free(pids);
    return sum;
}

double
tree_memory(pid_t pid)
{
    static char text[4096];
    long kib = 0;

    (void) tree_read(pid, "smaps_rollup", text, sizeof(text));
    const char *at = strstr(text, "\nPss:");
    if (at == NULL || sscanf(at, "\nPss: %ld", &kib) != 1)
        return 0;
    return (double) kib * 1024;
}
