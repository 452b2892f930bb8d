/*
 * preload_hang: a worker that comes to grief when it sends a certain answer.
 *
 * What the last word of the bytes is decides how.
 */
#include <dlfcn.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static void
spin(void)
{
    for (volatile unsigned i = 0;; i++)
        continue;
}

/* In a read from a pipe that nobody writes to. */
static void
block(void)
{
    int fds[2];
    char byte;

    if (pipe(fds) == 0)
        (void) !read(fds[0], &byte, 1);
}

static void
be_deaf(void)
{
    sigset_t all;

    sigfillset(&all);
    sigprocmask(SIG_BLOCK, &all, NULL);
    spin();
}

static void
be_killed(void)
{
    raise(SIGKILL);
}

static void
leave(void)
{
    _exit(3);
}

static const struct {
    const char *word;
    void (*act)(void);
} griefs[] = {
    { "\nspin", spin },
    { "\nblock", block },
    { "\ndeaf", be_deaf },
    { "\nkilled", be_killed },
    { "\nleave", leave },
    { "\nabort", abort },
};

ssize_t
send(int fd, const void *bytes, size_t length, int flags)
{
    ssize_t (*next)(int, const void *, size_t, int) =
        (ssize_t(*)(int, const void *, size_t, int)) dlsym(RTLD_NEXT, "send");

    for (size_t i = 0; i < sizeof(griefs) / sizeof(griefs[0]); i++) {
        size_t n = strlen(griefs[i].word);

        if (length >= n && memcmp((const char *) bytes + length - n, griefs[i].word, n) == 0)
            griefs[i].act();
    }
    return next(fd, bytes, length, flags);
}
