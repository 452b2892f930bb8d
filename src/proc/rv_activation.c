/*
 * rv_activation: sockets that a service manager opened for this process.
 *
 * The globals are the table of what was passed and the text that its names are
 * in. What comes over exec cannot be close-on-exec, and what this process opens always is:
 * so a descriptor of our own is never taken for one that was passed.
 */
#include "rv_activation.h"

#include "rv_parse.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { FIRST = 3 };

static rv_activation_t passed[RV_ACTIVATION_MAX];
static unsigned count;
static char *names;

static const char *const variables[] = { "LISTEN_PID", "LISTEN_PIDFDID", "LISTEN_FDS",
    "LISTEN_FDNAMES" };

/* The descriptor, made fit for use here; -1: there is none. */
static int
take(int fd)
{
    int flags = fcntl(fd, F_GETFD);
    int status = fcntl(fd, F_GETFL);

    if (flags == -1 || status == -1 || flags & FD_CLOEXEC)
        return -1;

    if (fcntl(fd, F_SETFD, flags | FD_CLOEXEC) == -1
        || fcntl(fd, F_SETFL, status | O_NONBLOCK) == -1)
        return -1;
    return fd;
}

/* Each descriptor's name, from the list NAME:NAME:..., which is cut up. */
static void
set_names(char *list)
{
    for (unsigned i = 0; i < count && list != NULL; i++) {
        char *name = strsep(&list, ":");

        if (name[0] != '\0')
            passed[i].name = name;
    }
}

/* How many there are, 0 where the variables are another process's. */
static int
read_count(uint64_t *number)
{
    const char *pid = getenv("LISTEN_PID"), *fds = getenv("LISTEN_FDS");
    uint64_t addressee;

    *number = 0;
    if (fds == NULL || pid == NULL || rv_parse_uint(pid, &addressee) != RV_OK
        || addressee != (uint64_t) getpid())
        return RV_OK;

    if (rv_parse_uint(fds, number) == RV_OK && *number <= RV_ACTIVATION_MAX)
        return RV_OK;
    *number = 0;
    return RV_ERROR;
}

int
rv_activation_take(void)
{
    const char *list = getenv("LISTEN_FDNAMES");
    uint64_t number;
    int result = read_count(&number);

    for (count = 0; count < number; count++) {
        int fd = FIRST + (int) count;

        passed[count] = (rv_activation_t){ .number = fd, .fd = take(fd), .name = "unknown" };
    }
    free(names);
    names = list == NULL ? NULL : strdup(list);
    set_names(names);

    for (size_t i = 0; i < rv_countof(variables); i++)
        (void) unsetenv(variables[i]);
    return result;
}

rv_activation_t *
rv_activation_at(unsigned i)
{
    return i < count ? &passed[i] : NULL;
}
