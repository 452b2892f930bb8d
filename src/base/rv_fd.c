/*
 * rv_fd: descriptors, close-on-exec and non-blocking from their creation.
 *
 * Where the kernel has no call that sets both at once, the flags follow in a
 * second step: reeve forks and execs from one thread only, so nothing can
 * come between.
 */
#include "rv_fd.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

void
rv_fd_close(int *fd)
{
    if (*fd == -1)
        return;

    int saved = errno;
    close(*fd);
    errno = saved;
    *fd = -1;
}

void
rv_fd_discard(int *fd)
{
    const struct linger no = { 0, 0 };
    int saved = errno;

    if (*fd != -1) /* of anything but a socket this fails, and does not matter */
        (void) setsockopt(*fd, SOL_SOCKET, SO_LINGER, &no, sizeof(no));
    errno = saved;
    rv_fd_close(fd);
}

static RV_UNUSED int
set_flags(int fd)
{
    int flags = fcntl(fd, F_GETFL);

    if (flags == -1 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) == -1
        || fcntl(fd, F_SETFD, FD_CLOEXEC) == -1)
        return RV_ERROR;

    return RV_OK;
}

#if RV_HAVE_PIPE2

int
rv_fd_pipe(int fds[2])
{
    return pipe2(fds, O_CLOEXEC | O_NONBLOCK) == 0 ? RV_OK : RV_ERROR;
}

#else

int
rv_fd_pipe(int fds[2])
{
    if (pipe(fds) == -1)
        return RV_ERROR;

    if (set_flags(fds[0]) == RV_OK && set_flags(fds[1]) == RV_OK)
        return RV_OK;

    rv_fd_close(&fds[0]);
    rv_fd_close(&fds[1]);
    return RV_ERROR;
}

#endif

#if RV_HAVE_ACCEPT4

int
rv_fd_socket(int family, int type)
{
    return socket(family, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
}

int
rv_fd_socketpair(int type, int fds[2])
{
    type |= SOCK_CLOEXEC | SOCK_NONBLOCK;
    return socketpair(AF_UNIX, type, 0, fds) == 0 ? RV_OK : RV_ERROR;
}

int
rv_fd_accept(int fd, struct sockaddr *addr, socklen_t *length)
{
    return accept4(fd, addr, length, SOCK_CLOEXEC | SOCK_NONBLOCK);
}

#else

static int
with_flags(int fd)
{
    if (fd != -1 && set_flags(fd) != RV_OK)
        rv_fd_close(&fd);

    return fd;
}

int
rv_fd_socket(int family, int type)
{
    return with_flags(socket(family, type, 0));
}

int
rv_fd_socketpair(int type, int fds[2])
{
    if (socketpair(AF_UNIX, type, 0, fds) == -1)
        return RV_ERROR;

    if (set_flags(fds[0]) == RV_OK && set_flags(fds[1]) == RV_OK)
        return RV_OK;

    rv_fd_close(&fds[0]);
    rv_fd_close(&fds[1]);
    return RV_ERROR;
}

int
rv_fd_accept(int fd, struct sockaddr *addr, socklen_t *length)
{
    return with_flags(accept(fd, addr, length));
}

#endif

int
rv_fd_dup(int fd)
{
    return fcntl(fd, F_DUPFD_CLOEXEC, 0);
}

int
rv_fd_raise_limit(size_t wanted, size_t *limit)
{
    struct rlimit now;

    if (getrlimit(RLIMIT_NOFILE, &now) == -1)
        return RV_OK; /* nobody says that there is one */

    if (now.rlim_cur < wanted) {
        now.rlim_cur = rv_min((rlim_t) wanted, now.rlim_max);
        (void) setrlimit(RLIMIT_NOFILE, &now);
        (void) getrlimit(RLIMIT_NOFILE, &now);
    }
    *limit = (size_t) now.rlim_cur;
    return now.rlim_cur < wanted ? RV_ERROR : RV_OK;
}

int
rv_fd_create(const char *path, int flags, unsigned mode)
{
    char folder[PATH_MAX];
    int fd = open(path, flags | O_CREAT | O_CLOEXEC, mode);
    const char *slash = strrchr(path, '/');

    if (fd != -1 || errno != ENOENT || slash == NULL || slash == path
        || (size_t) (slash - path) >= sizeof(folder))
        return fd;

    memcpy(folder, path, (size_t) (slash - path));
    folder[slash - path] = '\0';
    if (mkdir(folder, 0755) == -1) {
        errno = ENOENT;
        return -1;
    }
    return open(path, flags | O_CREAT | O_CLOEXEC, mode);
}

int
rv_fd_write(int fd, const void *data, size_t length)
{
    const char *p = data;

    while (length > 0) {
        ssize_t n = write(fd, p, length);
        if (n == -1 && errno == EINTR)
            continue;
        if (n == -1)
            return RV_ERROR;
        p += n;
        length -= (size_t) n;
    }
    return RV_OK;
}

/* Reads fd to its end into *data, which holds `room` bytes and grows. */
static int
read_all(int fd, size_t room, size_t limit, char **data, size_t *length)
{
    *length = 0;
    for (;;) {
        if (*length == room) {
            if (room > limit) {
                errno = EFBIG;
                return RV_ERROR;
            }
            char *more = realloc(*data, room * 2 + 1);
            if (more == NULL)
                return RV_ERROR;
            *data = more;
            room *= 2;
        }

        ssize_t n = read(fd, *data + *length, room - *length);
        if (n == -1 && errno == EINTR)
            continue;
        if (n == -1)
            return RV_ERROR;
        if (n == 0)
            break;
        *length += (size_t) n;
    }

    if (*length > limit) {
        errno = EFBIG;
        return RV_ERROR;
    }
    (*data)[*length] = '\0';
    return RV_OK;
}

int
rv_fd_read_file(const char *path, size_t limit, char **data, size_t *length)
{
    enum { FIRST = 4096 };

    *data = NULL;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
    if (fd == -1)
        return RV_ERROR;

    struct stat st;
    if (fstat(fd, &st) == -1)
        goto failed;
    if (!S_ISREG(st.st_mode)) { /* a pipe might never end */
        errno = S_ISDIR(st.st_mode) ? EISDIR : EINVAL;
        goto failed;
    }

    *data = malloc(FIRST + 1);
    if (*data == NULL || read_all(fd, FIRST, limit, data, length) != RV_OK)
        goto failed;

    rv_fd_close(&fd);
    return RV_OK;

failed:
    rv_fd_close(&fd);
    free(*data);
    *data = NULL;
    return RV_ERROR;
}
