/*
 * daemon_proc: looking at processes.
 */
#include "daemon_internal.h"

#include <ctype.h>
#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

int
daemon_read_stat(pid_t pid, pid_t *parent, char *state)
{
    char path[64], text[512];
    long ppid;

    snprintf(path, sizeof(path), "/proc/%ld/stat", (long) pid);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t n = fd == -1 ? -1 : read(fd, text, sizeof(text) - 1);
    if (fd != -1)
        close(fd);
    if (n <= 0)
        return 0;
    text[n] = '\0';

    char *end = strrchr(text, ')'); /* the name before it may hold anything */
    if (end == NULL || sscanf(end, ") %c %ld", state, &ppid) != 2)
        return 0;
    *parent = (pid_t) ppid;
    return 1;
}

static int
compare(const void *a, const void *b)
{
    return *(const pid_t *) a - *(const pid_t *) b;
}

int
daemon_children(pid_t pid, pid_t *pids, int room)
{
    DIR *dir = opendir("/proc");
    struct dirent *entry;
    pid_t parent;
    char state;
    int n = 0;

    while (dir != NULL && (entry = readdir(dir)) != NULL) {
        pid_t child = (pid_t) atoi(entry->d_name);

        if (child <= 0 || !daemon_read_stat(child, &parent, &state) || parent != pid)
            continue;
        if (n < room)
            pids[n] = child;
        n++;
    }
    if (dir != NULL)
        closedir(dir);
    qsort(pids, (size_t) (n < room ? n : room), sizeof(pid_t), compare);
    return n;
}

int
daemon_alive(pid_t pid)
{
    pid_t parent;
    char state;

    return daemon_read_stat(pid, &parent, &state) && state != 'Z' && state != 'X';
}

long
daemon_cpu(pid_t pid)
{
    char path[64];
    long user = 0, system = 0;

    snprintf(path, sizeof(path), "/proc/%ld/stat", (long) pid);
    char *text = daemon_read(path);
    char *end = text == NULL ? NULL : strrchr(text, ')');
    if (end != NULL)
        (void) sscanf(end, ") %*c %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %ld %ld", &user, &system);
    free(text);
    return user + system;
}

const char *
daemon_title(pid_t pid, char *text, size_t room)
{
    char path[64];

    snprintf(path, sizeof(path), "/proc/%ld/cmdline", (long) pid);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t n = fd == -1 ? 0 : read(fd, text, room - 1);
    if (fd != -1)
        close(fd);
    text[n < 0 ? 0 : n] = '\0';
    return text;
}

int
daemon_count_titles(daemon_t *d, const char *wanted)
{
    pid_t pids[256];
    char title[64];
    int n = daemon_children(d->master, pids, 256), count = 0;

    for (int i = 0; i < n; i++)
        count += strcmp(daemon_title(pids[i], title, sizeof(title)), wanted) == 0;
    return count;
}

pid_t
daemon_worker(daemon_t *d)
{
    pid_t pid = 0;

    ck_assert_int_ge(daemon_children(d->master, &pid, 1), 1);
    return pid;
}

static int
has_workers(daemon_t *d, void *data)
{
    int wanted = *(int *) data;
    pid_t pid;

    return daemon_children(d->master, &pid, 1) == wanted
        && daemon_count_titles(d, "reeve: worker process") == wanted;
}

void
daemon_wait_workers(daemon_t *d, int count)
{
    char what[64];

    snprintf(what, sizeof(what), "the master has %d workers", count);
    daemon_wait(d, has_workers, &count, what);
}

int
daemon_fd_count(pid_t pid)
{
    char path[64];
    int n = 0;

    snprintf(path, sizeof(path), "/proc/%ld/fd", (long) pid);
    DIR *dir = opendir(path);
    if (dir == NULL)
        return -1;
    for (struct dirent *entry; (entry = readdir(dir)) != NULL;)
        n += isdigit((unsigned char) entry->d_name[0]) != 0;
    closedir(dir);
    return n;
}

static int
count_listening(const char *list, int port)
{
    FILE *f = fopen(list, "r");
    unsigned own, state;
    char line[512];
    int n = 0;

    while (f != NULL && fgets(line, sizeof(line), f) != NULL) {
        if (sscanf(line, " %*d: %*x:%x %*x:%*x %x", &own, &state) == 2)
            n += (int) own == port && state == 10; /* TCP_LISTEN */
    }
    if (f != NULL)
        fclose(f);
    return n;
}

int
daemon_listening(int port)
{
    return count_listening("/proc/net/tcp", port) + count_listening("/proc/net/tcp6", port);
}

typedef struct {
    pid_t pid;
    int count;
} fds_t;

static int
has_fds(daemon_t *d, void *data)
{
    const fds_t *fds = data;

    (void) d;
    return daemon_fd_count(fds->pid) == fds->count;
}

void
daemon_wait_fd_count(daemon_t *d, pid_t pid, int count)
{
    fds_t fds = { pid, count };
    char what[96], title[32];

    snprintf(what, sizeof(what), "%ld, %s, has %d descriptors", (long) pid,
        daemon_title(pid, title, sizeof(title)), count);
    daemon_wait(d, has_fds, &fds, what);
}

void
daemon_settle(daemon_t *d)
{
    int reopened = daemon_log_count(d, "reopening logs");

    ck_assert_int_eq(kill(d->master, SIGUSR1), 0);
    daemon_wait_log(d, "reopening logs", reopened + 1);
}

const char *
daemon_proc_status(pid_t pid, const char *name, char *text, size_t room)
{
    char path[64];
    size_t length = strlen(name);

    snprintf(path, sizeof(path), "/proc/%ld/status", (long) pid);
    char *all = daemon_read(path), *save = NULL;
    text[0] = '\0';
    for (char *line = all == NULL ? NULL : strtok_r(all, "\n", &save); line != NULL;
         line = strtok_r(NULL, "\n", &save)) {
        if (strncmp(line, name, length) == 0 && line[length] == ':')
            snprintf(text, room, "%s", line + length + 1 + strspn(line + length + 1, " \t"));
    }
    free(all);
    return text;
}

const char *
daemon_proc_link(pid_t pid, const char *name, char *text, size_t room)
{
    char path[128];

    snprintf(path, sizeof(path), "/proc/%ld/%s", (long) pid, name);
    ssize_t n = readlink(path, text, room - 1);
    text[n < 0 ? 0 : n] = '\0';
    return text;
}

int
daemon_has_file(pid_t pid, const char *path)
{
    char folder[64], name[512];
    struct stat wanted, st;
    int found = 0;

    snprintf(folder, sizeof(folder), "/proc/%ld/fd", (long) pid);
    DIR *dir = opendir(folder);
    if (dir == NULL || stat(path, &wanted) == -1)
        ck_abort_msg("%s or %s cannot be read", folder, path);
    for (struct dirent *entry; (entry = readdir(dir)) != NULL;) {
        snprintf(name, sizeof(name), "%s/%s", folder, entry->d_name);
        found |= stat(name, &st) == 0 && st.st_dev == wanted.st_dev && st.st_ino == wanted.st_ino;
    }
    closedir(dir);
    return found;
}
