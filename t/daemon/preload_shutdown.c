/*
 * preload_shutdown: a worker that stops just before it gives up receiving, if the file
 * exists that RV_TEST_STOP_SHUTDOWN names.
 */
#include <dlfcn.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static const char *stop_file;

/* A copy: the title of the process is written over the environment. */
__attribute__((constructor)) static void
init(void)
{
    const char *value = getenv("RV_TEST_STOP_SHUTDOWN");

    stop_file = value == NULL ? NULL : strdup(value);
}

int
shutdown(int fd, int how)
{
    int (*next)(int, int) = (int (*)(int, int)) dlsym(RTLD_NEXT, "shutdown");

    if (how == SHUT_RD && stop_file != NULL && access(stop_file, F_OK) == 0)
        raise(SIGSTOP);
    return next(fd, how);
}
