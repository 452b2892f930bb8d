/*
 * rv_fd: descriptors, close-on-exec and non-blocking from their creation.
 */
#ifndef RV_FD_H
#define RV_FD_H

#include "rv_base.h"

#include <sys/socket.h>

/* Closes *fd where it is one, and sets it to -1. Keeps errno. */
void rv_fd_close(int *fd);

/*
 * The same for a descriptor that another process has sent: never waits, though
 * that process may have told the socket to linger when it is closed.
 */
void rv_fd_discard(int *fd);

/* A pipe, both ends close-on-exec and non-blocking. */
int rv_fd_pipe(int fds[2]);

/* A socket, close-on-exec and non-blocking; -1 and errno. */
int rv_fd_socket(int family, int type);

/* A connected pair of sockets, both close-on-exec and non-blocking. */
int rv_fd_socketpair(int type, int fds[2]);

/* accept(), the new descriptor close-on-exec and non-blocking; -1 and errno.
 * *length is the room at addr, then what was used of it. */
int rv_fd_accept(int fd, struct sockaddr *addr, socklen_t *length);

/* A second descriptor, close-on-exec, for what fd refers to; -1 and errno. */
int rv_fd_dup(int fd);

/* Raises the soft limit of descriptors where it is below this, up to the hard one. RV_ERROR: that
 * is lower, it is as far as it goes, and is in *limit. */
int rv_fd_raise_limit(size_t wanted, size_t *limit);

/* open(), close-on-exec; to create a file in a folder that is missing, that
 * folder (not those above it) is made first. -1 and errno. */
int rv_fd_create(const char *path, int flags, unsigned mode);

/* Writes all of it, also to a slow blocking descriptor. */
int rv_fd_write(int fd, const void *data, size_t length);

/*
 * Reads a whole file of at most `limit` bytes (EFBIG above it; EISDIR for a
 * folder, EINVAL for what is no file). *data is NUL-terminated, the NUL not counted in *length,
 * and the caller's to free.
 */
int rv_fd_read_file(const char *path, size_t limit, char **data, size_t *length);

#endif
