/*
 * preload_accept: a worker that is killed when the kernel has just given it a connection.
 *
 * Before anything else can happen, if the file exists that RV_TEST_DIE_ACCEPTED names.
 */
#include <dlfcn.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static const char *die_file;

/* A copy: the title of the process is written over the environment. */
__attribute__((constructor)) static void
init(void)
{
    const char *value = getenv("RV_TEST_DIE_ACCEPTED");

    die_file = value == NULL ? NULL : strdup(value);
}

static int
given(int client)
{
    if (client != -1 && die_file != NULL && access(die_file, F_OK) == 0)
        raise(SIGKILL);
    return client;
}

int
accept4(int fd, struct sockaddr *addr, socklen_t *length, int flags)
{
    int (*next)(int, struct sockaddr *, socklen_t *, int) =
        (int (*)(int, struct sockaddr *, socklen_t *, int)) dlsym(RTLD_NEXT, "accept4");

    return given(next(fd, addr, length, flags));
}

/* Where the build has no accept4. */
int
accept(int fd, struct sockaddr *addr, socklen_t *length)
{
    int (*next)(int, struct sockaddr *, socklen_t *) =
        (int (*)(int, struct sockaddr *, socklen_t *)) dlsym(RTLD_NEXT, "accept");

    return given(next(fd, addr, length));
}
