/*
 * rv_mesh_payload: what is too large for one message, as a file in memory.
 */
#include "rv_mesh_payload.h"

#include "rv_fd.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#if RV_HAVE_MEMFD

enum { SEALS_ARE_KNOWN = 1 };

#if !defined(MFD_NOEXEC_SEAL)
#define MFD_NOEXEC_SEAL 8U /* younger than some C libraries */
#endif

enum { SEALS = F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE };

/* Younger kernels want to be told that it is no program, older ones do not know how. */
static int
create_file(void)
{
    const unsigned flags = MFD_CLOEXEC | MFD_ALLOW_SEALING;
    int fd = memfd_create("reeve message", flags | MFD_NOEXEC_SEAL);

    return fd == -1 && errno == EINVAL ? memfd_create("reeve message", flags) : fd;
}

static int
seal(int fd)
{
    return fcntl(fd, F_ADD_SEALS, SEALS) == 0 ? RV_OK : RV_ERROR;
}

static int
is_sealed(int fd)
{
    int seals = fcntl(fd, F_GET_SEALS);

    return seals != -1
        && (seals & (F_SEAL_SHRINK | F_SEAL_WRITE)) == (F_SEAL_SHRINK | F_SEAL_WRITE);
}

#else

enum { SEALS_ARE_KNOWN = 0 };

/* A file that has lost its name at once, unless its process was killed just then. */
static int
create_file(void)
{
    static unsigned number;
    char name[64];
    int fd;

    do {
        snprintf(name, sizeof(name), "/reeve-%ld-%u", (long) getpid(), ++number);
        fd = shm_open(name, O_RDWR | O_CREAT | O_EXCL, 0600);
    } while (fd == -1 && errno == EEXIST);
    if (fd != -1)
        (void) shm_unlink(name);
    return fd;
}

static int
seal(int fd)
{
    (void) fd;
    return RV_OK;
}

static int
is_sealed(int fd)
{
    (void) fd;
    return 0;
}

#endif

int
rv_mesh_payload_create(const void *data, size_t length)
{
    int fd = create_file();

    if (fd == -1)
        return -1;
    if (rv_fd_write(fd, data, length) != RV_OK || seal(fd) != RV_OK)
        rv_fd_close(&fd);
    return fd;
}

static int
read_copy(rv_mesh_payload_t *payload, int fd)
{
    size_t done = 0;

    payload->data = malloc(payload->length);
    if (payload->data == NULL)
        return RV_ERROR;
    while (done < payload->length) {
        ssize_t n = pread(fd, (char *) payload->data + done, payload->length - done, (off_t) done);

        if (n == -1 && errno == EINTR)
            continue;
        if (n <= 0) {
            errno = n == 0 ? EPROTO : errno;
            rv_mesh_payload_close(payload);
            return RV_ERROR;
        }
        done += (size_t) n;
    }
    return RV_OK;
}

int
rv_mesh_payload_open(rv_mesh_payload_t *payload, int fd, size_t length)
{
    struct stat st;

    *payload = (rv_mesh_payload_t){ .length = length };
    if (fstat(fd, &st) == -1)
        return RV_ERROR;
    if (!S_ISREG(st.st_mode) || length == 0 || length > RV_MESH_PAYLOAD_LARGEST
        || (uintmax_t) st.st_size != length) {
        errno = EPROTO;
        return RV_ERROR;
    }
    if (!SEALS_ARE_KNOWN)
        return read_copy(payload, fd);
    if (!is_sealed(fd)) {
        errno = EPROTO;
        return RV_ERROR;
    }
    /* many kernels do not let a sealed file be shared, though nobody is going to write */
    payload->data = mmap(NULL, length, PROT_READ, MAP_PRIVATE, fd, 0);
    payload->is_mapped = 1;
    if (payload->data != MAP_FAILED)
        return RV_OK;
    payload->data = NULL;
    return RV_ERROR;
}

void
rv_mesh_payload_close(rv_mesh_payload_t *payload)
{
    if (payload->data != NULL && payload->is_mapped)
        munmap(payload->data, payload->length);
    else
        free(payload->data);
    payload->data = NULL;
}
