/*
 * rv_alive: whether a process lives.
 *
 * kill() finds zombies too, and in a container nobody may ever collect them:
 * where there is /proc, it tells.
 */
#include "rv_alive.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static int
is_zombie(pid_t pid)
{
    char path[64], text[64]; /* the state of any program is within that */

    snprintf(path, sizeof(path), "/proc/%ld/stat", (long) pid);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd == -1)
        return 0;

    ssize_t n = read(fd, text, sizeof(text) - 1);
    close(fd);
    text[n > 0 ? n : 0] = '\0';

    /* "pid (name) state", and the name may hold anything */
    const char *end = strrchr(text, ')');
    return end != NULL && end[1] == ' ' && (end[2] == 'Z' || end[2] == 'X');
}

int
rv_alive(pid_t pid)
{
    int saved = errno;
    int alive = pid > 0 && (kill(pid, 0) == 0 || errno == EPERM) && !is_zombie(pid);

    errno = saved;
    return alive;
}
