/*
 * rv_shm: shared memory, by one of several mechanisms.
 *
 * A mechanism is one row of the table `types` and the few functions it names;
 * configure decides which rows are compiled, and nothing else in the daemon
 * knows that there is more than one. Everything around them (checking, page
 * rounding, unwinding) is written once, in rv_shm_create.
 *
 * How unwinding works: a row's create writes what it has got into *shm at
 * once, and on failure just returns. rv_shm_create then undoes what it finds
 * there: an address is unmapped, a descriptor closed, and a name removed if
 * its descriptor is ours and the name is new. So the rule: shm->fd is set as
 * soon as a descriptor is there, and shm->existed before anything else can
 * fail; a name that somebody else made is never removed.
 *
 * Memory that is mapped must be there when it is touched. A file and a posix
 * segment lie in file systems that can be full, so their blocks are reserved
 * here: a full disk is an error of create and not a SIGBUS in a worker. Their
 * size is what others could change: memfd is sealed, the rest relies on modes.
 */
#include "rv_shm.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#if RV_HAVE_SYSVSHM
#include <sys/ipc.h>
#include <sys/shm.h>
#endif

#define PRIVATE_MODE 0600

static int
failed_with(int error)
{
    errno = error;
    return RV_ERROR;
}

static int
map_shared(rv_shm_t *shm, int fd, int flags)
{
    void *addr = mmap(NULL, shm->size, PROT_READ | PROT_WRITE, MAP_SHARED | flags, fd, 0);

    if (addr == MAP_FAILED)
        return RV_ERROR;

    shm->addr = addr;
    return RV_OK;
}

static void
unmap_pages(rv_shm_t *shm)
{
    munmap(shm->addr, shm->size);
}

/* For file systems that cannot reserve blocks: what is written is there. */
static int
write_zeros(int fd, off_t from, off_t to)
{
    static const char zeros[64 * 1024];

    while (from < to) {
        size_t part = (size_t) rv_min(to - from, (off_t) sizeof(zeros));
        ssize_t n = pwrite(fd, zeros, part, from);

        if (n < 0 && errno != EINTR)
            return RV_ERROR;

        if (n > 0)
            from += n;
    }

    return RV_OK;
}

/* Makes the file `size` bytes long, each with its place; `from` bytes of it
 * are there already and keep their content. */
static int
reserve(int fd, off_t from, off_t size)
{
    int error;

    do {
        error = posix_fallocate(fd, 0, size);
    } while (error == EINTR);

    if (error == EOPNOTSUPP || error == EINVAL)
        return write_zeros(fd, from, size);

    return error == 0 ? RV_OK : failed_with(error);
}

#if RV_HAVE_MEMFD

#ifndef MFD_NOEXEC_SEAL
#define MFD_NOEXEC_SEAL 0x0008U
#endif

/* Some kernels insist on being told that nobody will execute it (sysctl
 * vm.memfd_noexec), older ones do not know how that is said. */
static int
open_memfd(const char *name)
{
    int fd = memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING | MFD_NOEXEC_SEAL);

    if (fd == -1 && errno == EINVAL)
        fd = memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING);

    return fd;
}

/* Neither smaller, which would be a SIGBUS for everybody, nor larger: whoever
 * is handed the descriptor takes its size for the truth. And no more seals,
 * for one against writing would stop the next process from mapping it. */
static int
create_memfd(rv_shm_t *shm)
{
    shm->fd = open_memfd(shm->name);

    if (shm->fd == -1 || ftruncate(shm->fd, (off_t) shm->size) == -1)
        return RV_ERROR;

    if (fcntl(shm->fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) == -1)
        return RV_ERROR;

    return map_shared(shm, shm->fd, 0);
}

#endif

#if RV_HAVE_MAP_ANON

static int
create_anon(rv_shm_t *shm)
{
    return map_shared(shm, -1, MAP_ANONYMOUS);
}

#endif

#if RV_HAVE_MAP_DEVZERO

static int
create_devzero(rv_shm_t *shm)
{
    int fd = open("/dev/zero", O_RDWR | O_CLOEXEC);

    if (fd == -1)
        return RV_ERROR;

    int result = map_shared(shm, fd, 0);
    int error = errno;

    close(fd);
    errno = error;
    return result;
}

#endif

#if RV_HAVE_SYSVSHM

/* Removed at once, attached or not: the kernel keeps a removed segment as long
 * as somebody has it attached, and nobody has to clean up after a crash. */
static int
create_sysv(rv_shm_t *shm)
{
    int id = shmget(IPC_PRIVATE, shm->size, IPC_CREAT | PRIVATE_MODE);

    if (id == -1)
        return RV_ERROR;

    void *addr = shmat(id, NULL, 0);
    int error = errno;

    if (addr != (void *) -1)
        shm->addr = addr;

    int removed = shmctl(id, IPC_RMID, NULL);

    if (shm->addr == NULL)
        errno = error;

    return shm->addr != NULL && removed == 0 ? RV_OK : RV_ERROR;
}

static void
unmap_sysv(rv_shm_t *shm)
{
    shmdt(shm->addr);
}

#endif

#if RV_HAVE_POSIX_SHM

#define POSIX_NAME (NAME_MAX + 2)

static int
posix_name(const char *word, char name[POSIX_NAME])
{
    int length = snprintf(name, POSIX_NAME, "/%s", word);

    return length < POSIX_NAME ? RV_OK : failed_with(ENAMETOOLONG);
}

static int
create_posix(rv_shm_t *shm)
{
    char name[POSIX_NAME];

    if (posix_name(shm->name, name) != RV_OK)
        return RV_ERROR;

    shm->fd = shm_open(name, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, PRIVATE_MODE);

    if (shm->fd == -1 || reserve(shm->fd, 0, (off_t) shm->size) != RV_OK)
        return RV_ERROR;

    return map_shared(shm, shm->fd, 0);
}

static int
open_posix(const char *word)
{
    char name[POSIX_NAME];

    return posix_name(word, name) == RV_OK ? shm_open(name, O_RDONLY | O_CLOEXEC, 0) : -1;
}

static void
remove_posix(const char *word)
{
    char name[POSIX_NAME];

    if (posix_name(word, name) == RV_OK)
        shm_unlink(name);
}

#endif

/* Never follows a link, never waits for the other end of a fifo. */
#define FILE_FLAGS (O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK)

static int
open_file(const char *path)
{
    return open(path, O_RDONLY | FILE_FLAGS);
}

static int
open_or_make_file(rv_shm_t *shm)
{
    int flags = O_RDWR | FILE_FLAGS;

    shm->fd = open(shm->path, flags | O_CREAT | O_EXCL, PRIVATE_MODE);

    if (shm->fd == -1 && errno == EEXIST) {
        shm->existed = 1;
        shm->fd = open(shm->path, flags);
    }

    return shm->fd != -1 ? RV_OK : RV_ERROR;
}

static int
check_file(const rv_shm_t *shm, const struct stat *st)
{
    if (!S_ISREG(st->st_mode))
        return failed_with(EINVAL);

    if (shm->existed && st->st_size != (off_t) shm->size)
        return failed_with(EFBIG);

    return RV_OK;
}

/* A file that exists is reserved too: a copy of it may have holes. */
static int
create_file(rv_shm_t *shm)
{
    struct stat st;

    if (open_or_make_file(shm) != RV_OK || fstat(shm->fd, &st) == -1
        || check_file(shm, &st) != RV_OK
        || reserve(shm->fd, st.st_size, (off_t) shm->size) != RV_OK)
        return RV_ERROR;

    return map_shared(shm, shm->fd, 0);
}

static void
remove_file(const char *path)
{
    unlink(path);
}

/* The anonymous ones first and the best of them first: "auto" is the first row. */
static const rv_shm_type_t types[] = {
#if RV_HAVE_MEMFD
    { "memfd", RV_SHM_OUTSIDE | RV_SHM_EXEC, create_memfd, unmap_pages, NULL, NULL },
#endif
#if RV_HAVE_MAP_ANON
    { "anon", 0, create_anon, unmap_pages, NULL, NULL },
#endif
#if RV_HAVE_MAP_DEVZERO
    { "devzero", 0, create_devzero, unmap_pages, NULL, NULL },
#endif
#if RV_HAVE_SYSVSHM
    { "sysv", 0, create_sysv, unmap_sysv, NULL, NULL },
#endif
#if RV_HAVE_POSIX_SHM
    { "posix", RV_SHM_OUTSIDE | RV_SHM_EXEC | RV_SHM_NAMED, create_posix, unmap_pages, open_posix,
        remove_posix },
#endif
    { "file", RV_SHM_OUTSIDE | RV_SHM_EXEC | RV_SHM_PATH | RV_SHM_KEPT, create_file, unmap_pages,
        open_file, remove_file },
};

const rv_shm_type_t *
rv_shm_type_at(size_t i)
{
    return i < rv_countof(types) ? &types[i] : NULL;
}

const rv_shm_type_t *
rv_shm_type(const char *name)
{
    if (strcmp(name, "auto") == 0)
        return types[0].remove == NULL ? &types[0] : NULL;

    for (size_t i = 0; i < rv_countof(types); i++) {
        if (strcmp(name, types[i].name) == 0)
            return &types[i];
    }

    return NULL;
}

static int
check_names(const rv_shm_type_t *type, const char *name, const char *path)
{
    int wants_path = (type->flags & RV_SHM_PATH) != 0;

    if (name == NULL || *name == '\0' || strchr(name, '/') != NULL)
        return failed_with(EINVAL);

    return wants_path == (path != NULL) ? RV_OK : failed_with(EINVAL);
}

/* At most PTRDIFF_MAX, for beyond it a size is negative as an off_t. */
static int
whole_pages(size_t size, size_t *rounded)
{
    size_t page = (size_t) sysconf(_SC_PAGESIZE);

    if (size == 0)
        return failed_with(EINVAL);

    if (size > PTRDIFF_MAX - (page - 1))
        return failed_with(ENOMEM);

    *rounded = (size + page - 1) / page * page;
    return RV_OK;
}

static int
copy_names(rv_shm_t *shm, const char *name, const char *path)
{
    shm->name = strdup(name);

    if (path != NULL)
        shm->path = strdup(path);

    return shm->name != NULL && (path == NULL || shm->path != NULL) ? RV_OK : RV_ERROR;
}

static const char *
place_of(const rv_shm_t *shm)
{
    return shm->path != NULL ? shm->path : shm->name;
}

int
rv_shm_create(
    rv_shm_t *shm, const rv_shm_type_t *type, const char *name, const char *path, size_t size)
{
    *shm = (rv_shm_t){ .type = type, .fd = -1 };

    if (check_names(type, name, path) != RV_OK || whole_pages(size, &shm->size) != RV_OK
        || copy_names(shm, name, path) != RV_OK)
        goto failed;

    if (type->create(shm) == RV_OK)
        return RV_OK;

failed:
    if (shm->fd != -1 && !shm->existed && type->remove != NULL) {
        int error = errno;

        type->remove(place_of(shm));
        errno = error;
    }

    rv_shm_detach(shm);
    return RV_ERROR;
}

void
rv_shm_detach(rv_shm_t *shm)
{
    int error = errno;

    if (shm->addr != NULL)
        shm->type->unmap(shm);

    if (shm->fd != -1)
        close(shm->fd);

    free(shm->name);
    free(shm->path);
    *shm = (rv_shm_t){ .type = shm->type, .fd = -1 };
    errno = error;
}

void
rv_shm_destroy(rv_shm_t *shm)
{
    int error = errno;

    if (shm->addr != NULL && (shm->type->flags & RV_SHM_NAMED) != 0)
        shm->type->remove(place_of(shm));

    errno = error;
    rv_shm_detach(shm);
}

static int
copy_from(int fd, void *copy, size_t size)
{
    struct stat st;

    if (fstat(fd, &st) == -1)
        return RV_ERROR;

    if (st.st_uid != geteuid())
        return failed_with(EPERM);

    if (!S_ISREG(st.st_mode) || st.st_size < (off_t) size)
        return failed_with(EINVAL);

    void *addr = mmap(NULL, size, PROT_READ, MAP_SHARED, fd, 0);

    if (addr == MAP_FAILED)
        return RV_ERROR;

    memcpy(copy, addr, size);
    munmap(addr, size);
    return RV_OK;
}

int
rv_shm_peek(const rv_shm_type_t *type, const char *where, void *copy, size_t size)
{
    if (type->open == NULL)
        return failed_with(ENOTSUP);

    int fd = type->open(where);

    if (fd == -1)
        return RV_ERROR;

    int result = copy_from(fd, copy, size);
    int error = errno;

    close(fd);
    errno = error;
    return result;
}

void
rv_shm_remove(const rv_shm_type_t *type, const char *where)
{
    int error = errno;

    if (type->remove != NULL)
        type->remove(where);

    errno = error;
}
