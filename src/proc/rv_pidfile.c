/*
 * rv_pidfile: the file that says which process is the master.
 *
 * POSIX record locks belong to a process, are not inherited over fork, and
 * name their holder: just what is wanted here.
 */
#include "rv_pidfile.h"

#include "rv_fd.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static struct flock
whole_file(void)
{
    return (struct flock){ .l_type = F_WRLCK, .l_whence = SEEK_SET };
}

/* RV_OK: somebody, *pid, holds it. RV_DONE: nobody. */
static int
find_holder(int fd, pid_t *pid)
{
    struct flock lock = whole_file();

    if (fcntl(fd, F_GETLK, &lock) == -1)
        return RV_ERROR;
    if (lock.l_type == F_UNLCK)
        return RV_DONE;

    *pid = lock.l_pid;
    return RV_OK;
}

/* Whether path still names the file behind fd: its owner may just have
 * removed it. */
static int
is_at(const char *path, int fd)
{
    struct stat a, b;

    return fstat(fd, &a) == 0 && stat(path, &b) == 0 && a.st_dev == b.st_dev
        && a.st_ino == b.st_ino;
}

static int
is_file(int fd)
{
    struct stat st;

    return fstat(fd, &st) == 0 && S_ISREG(st.st_mode);
}

static int
write_pid(int fd)
{
    char text[32];
    int n = snprintf(text, sizeof(text), "%ld\n", (long) getpid());

    if (ftruncate(fd, 0) == -1 || lseek(fd, 0, SEEK_SET) == -1)
        return RV_ERROR;

    return rv_fd_write(fd, text, (size_t) n);
}

int
rv_pidfile_create(const char *path, int *fd, pid_t *holder)
{
    for (;;) {
        struct flock lock = whole_file();

        *fd = rv_fd_create(path, O_RDWR | O_NOFOLLOW | O_NONBLOCK, 0644);
        if (*fd == -1)
            return RV_ERROR;
        if (!is_file(*fd)) {
            rv_fd_close(fd);
            errno = EINVAL;
            return RV_ERROR;
        }

        if (fcntl(*fd, F_SETLK, &lock) == -1) {
            int found = errno == EACCES || errno == EAGAIN ? find_holder(*fd, holder) : RV_ERROR;
            rv_fd_close(fd);
            if (found == RV_DONE)
                continue; /* it has just gone */
            return found == RV_OK ? RV_AGAIN : RV_ERROR;
        }

        if (!is_at(path, *fd)) {
            rv_fd_close(fd);
            continue;
        }
        if (write_pid(*fd) == RV_OK)
            return RV_OK;

        (void) unlink(path);
        rv_fd_close(fd);
        return RV_ERROR;
    }
}

int
rv_pidfile_find(const char *path, pid_t *pid)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);

    if (fd == -1)
        return errno == ENOENT ? RV_DONE : RV_ERROR;

    int found = find_holder(fd, pid);
    rv_fd_close(&fd);
    return found;
}

void
rv_pidfile_remove(const char *path, int *fd)
{
    if (*fd == -1)
        return;

    (void) unlink(path);
    rv_fd_close(fd);
}
