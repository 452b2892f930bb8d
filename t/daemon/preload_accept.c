/*
 * preload_accept: a worker to which something happens just before or after accept(), if
 * the file exists that a variable names.
 *
 * RV_TEST_DIE_ACCEPTED: it is killed when the kernel has just given it a connection, before
 * anything else can happen.
 * RV_TEST_BEFORE_ACCEPT: it is sent the signal that stands in the file before it accepts; only
 * one is, since it removes the file.
 * RV_TEST_FAIL_ACCEPT: accept() fails with the error that stands in the file, but not
 * for the process that stands behind it.
 */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static const char *die_file, *before_file, *fail_file;

/* A copy: the title of the process is written over the environment. */
static const char *
copy_variable(const char *name)
{
    const char *value = getenv(name);

    return value == NULL ? NULL : strdup(value);
}

__attribute__((constructor)) static void
init(void)
{
    die_file = copy_variable("RV_TEST_DIE_ACCEPTED");
    before_file = copy_variable("RV_TEST_BEFORE_ACCEPT");
    fail_file = copy_variable("RV_TEST_FAIL_ACCEPT");
}

static void
suffer(void)
{
    char text[8] = "";
    int fd = before_file == NULL ? -1 : open(before_file, O_RDONLY);

    if (fd == -1)
        return;
    if (read(fd, text, sizeof(text) - 1) > 0 && unlink(before_file) == 0)
        raise(atoi(text));
    close(fd);
}

static int
given(int client)
{
    if (client != -1 && die_file != NULL && access(die_file, F_OK) == 0)
        raise(SIGKILL);
    return client;
}

/* What accept() fails with in this process, or 0. */
static int
error(void)
{
    long number = 0, spared = 0;
    FILE *file = fail_file == NULL ? NULL : fopen(fail_file, "re");

    if (file == NULL)
        return 0;
    if (fscanf(file, "%ld %ld", &number, &spared) != 2 || spared == (long) getpid())
        number = 0;
    fclose(file);
    return (int) number;
}

int
accept4(int fd, struct sockaddr *addr, socklen_t *length, int flags)
{
    int (*next)(int, struct sockaddr *, socklen_t *, int) =
        (int (*)(int, struct sockaddr *, socklen_t *, int)) dlsym(RTLD_NEXT, "accept4");

    suffer();
    if ((errno = error()) != 0)
        return -1;
    return given(next(fd, addr, length, flags));
}

/* Where the build has no accept4. */
int
accept(int fd, struct sockaddr *addr, socklen_t *length)
{
    int (*next)(int, struct sockaddr *, socklen_t *) =
        (int (*)(int, struct sockaddr *, socklen_t *)) dlsym(RTLD_NEXT, "accept");

    suffer();
    if ((errno = error()) != 0)
        return -1;
    return given(next(fd, addr, length));
}
