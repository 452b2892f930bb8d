/*
 * preload_worker: a worker that is slow, or dies, while it gets ready, and one
 * that tells its environment.
 *
 * A worker with a working_directory calls chdir. There it waits as long as the
 * file exists that RV_TEST_HOLD names, and dies if that of RV_TEST_DIE does.
 * When it accepts a connection it writes its environment to RV_TEST_ENVIRON.
 */
#include <dlfcn.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

static const char *hold_file, *die_file, *environ_file;

/* A copy: the title of the process is written over the environment. */
static const char *
variable(const char *name)
{
    const char *value = getenv(name);

    return value == NULL ? NULL : strdup(value);
}

__attribute__((constructor)) static void
init(void)
{
    hold_file = variable("RV_TEST_HOLD");
    die_file = variable("RV_TEST_DIE");
    environ_file = variable("RV_TEST_ENVIRON");
}

static int
exists(const char *file)
{
    return file != NULL && access(file, F_OK) == 0;
}

static void
wait_while_held(void)
{
    while (exists(hold_file))
        nanosleep(&(struct timespec){ 0, 5 * 1000 * 1000 }, NULL);
}

int
chdir(const char *path)
{
    int (*next)(const char *) = (int (*)(const char *)) dlsym(RTLD_NEXT, "chdir");

    wait_while_held();
    if (exists(die_file))
        raise(SIGKILL);
    return next(path);
}

static void
write_environment(void)
{
    int fd = open(environ_file, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);

    for (char **e = environ; fd != -1 && *e != NULL; e++) {
        (void) !write(fd, *e, strlen(*e));
        (void) !write(fd, "\n", 1);
    }
    if (fd != -1)
        close(fd);
}

int
accept4(int fd, struct sockaddr *addr, socklen_t *length, int flags)
{
    int (*next)(int, struct sockaddr *, socklen_t *, int) =
        (int (*)(int, struct sockaddr *, socklen_t *, int)) dlsym(RTLD_NEXT, "accept4");

    if (environ_file != NULL)
        write_environment();
    return next(fd, addr, length, flags);
}

/* Where the build has no accept4. */
int
accept(int fd, struct sockaddr *addr, socklen_t *length)
{
    int (*next)(int, struct sockaddr *, socklen_t *) =
        (int (*)(int, struct sockaddr *, socklen_t *)) dlsym(RTLD_NEXT, "accept");

    if (environ_file != NULL)
        write_environment();
    return next(fd, addr, length);
}
