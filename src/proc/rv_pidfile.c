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

#define BESIDE ".new"

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
    if (*pid > 0)
        return RV_OK;
    errno = ESRCH; /* it is outside of this container: to us the kernel gives it no number */
    return RV_ERROR;
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

/* RV_DONE: it was another one's until just now. */
static int
try_create(int *fd, const char *path, pid_t *holder)
{
    struct flock lock = whole_file();

    *fd = rv_fd_create(path, O_RDWR | O_NOFOLLOW | O_NONBLOCK, 0644);
    if (*fd == -1)
        return RV_ERROR;
    if (!is_file(*fd)) {
        errno = EINVAL;
        return RV_ERROR;
    }
    if (fcntl(*fd, F_SETLK, &lock) == -1) {
        int found = errno == EACCES || errno == EAGAIN ? find_holder(*fd, holder) : RV_ERROR;

        return found == RV_OK ? RV_AGAIN : found;
    }
    if (!is_at(path, *fd))
        return RV_DONE;
    if (write_pid(*fd) == RV_OK)
        return RV_OK;

    int err = errno;
    (void) unlink(path);
    errno = err;
    return RV_ERROR;
}

int
rv_pidfile_create(rv_pidfile_t *file, const char *path, pid_t *holder)
{
    int result;

    file->fd = -1;
    if (strlen(path) >= sizeof(file->path)) {
        errno = ENAMETOOLONG;
        return RV_ERROR;
    }
    snprintf(file->path, sizeof(file->path), "%s", path);
    do {
        rv_fd_close(&file->fd);
        result = try_create(&file->fd, path, holder);
    } while (result == RV_DONE);

    if (result != RV_OK)
        rv_fd_close(&file->fd);
    return result;
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

int
rv_pidfile_find_old(const char *path, pid_t *pid)
{
    char old[PATH_MAX];

    if (snprintf(old, sizeof(old), "%s" RV_PIDFILE_OLD, path) >= (int) sizeof(old))
        return RV_DONE;
    return rv_pidfile_find(old, pid);
}

int
rv_pidfile_find_any(const char *path, pid_t *pid)
{
    int found = rv_pidfile_find(path, pid);

    if (found == RV_DONE)
        found = rv_pidfile_find_old(path, pid);
    if (found == RV_DONE) /* it may have moved back just then */
        found = rv_pidfile_find(path, pid);
    return found;
}

static int
move(rv_pidfile_t *file, const char *to)
{
    if (file->fd == -1 || !is_at(file->path, file->fd) || rename(file->path, to) == 0) {
        snprintf(file->path, sizeof(file->path), "%s", to);
        return RV_OK;
    }
    return RV_ERROR;
}

int
rv_pidfile_make_room(rv_pidfile_t *file)
{
    char to[PATH_MAX];

    if (snprintf(to, sizeof(to), "%s" RV_PIDFILE_OLD, file->path) >= (int) sizeof(to)) {
        errno = ENAMETOOLONG;
        return RV_ERROR;
    }
    return move(file, to);
}

/* Takes the end off the path; where it has another one nothing happens. */
static int
move_from(rv_pidfile_t *file, const char *end)
{
    char to[PATH_MAX];
    size_t length = strlen(file->path);

    if (length < strlen(end) || strcmp(file->path + length - strlen(end), end) != 0)
        return RV_OK;

    length -= strlen(end);
    memcpy(to, file->path, length);
    to[length] = '\0';
    return move(file, to);
}

int
rv_pidfile_move_back(rv_pidfile_t *file)
{
    return move_from(file, RV_PIDFILE_OLD);
}

int
rv_pidfile_create_beside(rv_pidfile_t *file, const char *path, pid_t *holder)
{
    char beside[PATH_MAX];
    int found = rv_pidfile_find(path, holder);

    file->fd = -1;
    if (found != RV_DONE)
        return found == RV_OK ? RV_AGAIN : RV_ERROR;
    if (snprintf(beside, sizeof(beside), "%s" BESIDE, path) < (int) sizeof(beside))
        return rv_pidfile_create(file, beside, holder);

    errno = ENAMETOOLONG;
    return RV_ERROR;
}

int
rv_pidfile_take_place(rv_pidfile_t *file)
{
    return move_from(file, BESIDE);
}

void
rv_pidfile_remove(rv_pidfile_t *file)
{
    if (file->fd == -1)
        return;

    if (is_at(file->path, file->fd))
        (void) unlink(file->path);
    rv_fd_close(&file->fd);
}
