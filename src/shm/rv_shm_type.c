/*
 * rv_shm_type: the mechanisms, a row each and the few functions that it names.
 *
 * A row's create writes what it has got into *shm at once, and on failure just
 * returns; rv_shm_create undoes what it finds there. So the rule: shm->fd is
 * set as soon as a descriptor is there, and only for a name that is new; one
 * that somebody else made is never removed.
 *
 * Memory that is mapped must be there when it is touched. A file and a posix
 * segment lie in file systems that can be full, so their blocks are reserved
 * here: a full disk is an error of create and not a SIGBUS in a worker. Their
 * size is what others can change (memfd is sealed): rv_shm_guard is for that.
 */
#include "rv_shm.h"

#include "rv_shm_guard.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
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
map_shared(rv_shm_t *shm, int fd, int flags)
{
    void *addr = mmap(NULL, shm->size, PROT_READ | PROT_WRITE, MAP_SHARED | flags, fd, 0);

    if (addr == MAP_FAILED)
        return RV_ERROR;

    shm->addr = addr;
    return RV_OK;
}

int
rv_shm_type_map(rv_shm_t *shm)
{
    if (map_shared(shm, shm->fd, 0) != RV_OK)
        return RV_ERROR;

    return shm->type->flags & RV_SHM_LOOSE ? rv_shm_guard_add(shm->addr, shm->size, shm->fd)
                                           : RV_OK;
}

static void
unmap_pages(rv_shm_t *shm)
{
    rv_shm_guard_remove(shm->addr);
    munmap(shm->addr, shm->size);
}

#if RV_HAVE_MEMFD

#ifndef MFD_NOEXEC_SEAL
#define MFD_NOEXEC_SEAL 0x0008U
#endif

/* Some kernels insist on being told that nobody will execute it (sysctl
 * vm.memfd_noexec), older ones do not know how that is said. */
static int
open_memfd(const char *name, unsigned flags)
{
    int fd = memfd_create(name, flags | MFD_NOEXEC_SEAL);

    if (fd == -1 && errno == EINVAL)
        fd = memfd_create(name, flags);

    return fd;
}

/* Neither smaller, which would be a SIGBUS for everybody, nor larger: whoever
 * is handed the descriptor takes its size for the truth. And no more seals,
 * for one against writing would stop the next process from mapping it. */
static int
create_memfd(rv_shm_t *shm)
{
    shm->fd = open_memfd(
        shm->name, MFD_CLOEXEC | MFD_ALLOW_SEALING | (shm->huge ? (unsigned) MFD_HUGETLB : 0));

    if (shm->fd == -1 || ftruncate(shm->fd, (off_t) shm->size) == -1)
        return RV_ERROR;

    if (fcntl(shm->fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) == -1)
        return RV_ERROR;

    return rv_shm_type_map(shm);
}

#endif

#if RV_HAVE_MAP_ANON

#ifndef MAP_HUGETLB
#define MAP_HUGETLB 0
#endif

static int
create_anon(rv_shm_t *shm)
{
    return map_shared(shm, -1, MAP_ANONYMOUS | (shm->huge ? MAP_HUGETLB : 0));
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

#ifndef SHM_HUGETLB
#define SHM_HUGETLB 0
#endif

/* Removed at once, attached or not: the kernel keeps a removed segment as long
 * as somebody has it attached, and nobody has to clean up after a crash. */
static int
create_sysv(rv_shm_t *shm)
{
    int id =
        shmget(IPC_PRIVATE, shm->size, IPC_CREAT | PRIVATE_MODE | (shm->huge ? SHM_HUGETLB : 0));

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

    if (length < POSIX_NAME)
        return RV_OK;

    errno = ENAMETOOLONG;
    return RV_ERROR;
}

static int
create_posix(rv_shm_t *shm)
{
    char name[POSIX_NAME];

    if (posix_name(shm->name, name) != RV_OK)
        return RV_ERROR;

    shm->fd = shm_open(name, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, PRIVATE_MODE);

    if (shm->fd == -1 || rv_shm_guard_reserve(shm->fd, 0, shm->size) != RV_OK)
        return RV_ERROR;

    return rv_shm_type_map(shm);
}

static int
open_posix(const char *word, int mode)
{
    char name[POSIX_NAME];

    return posix_name(word, name) == RV_OK ? shm_open(name, mode | O_CLOEXEC, 0) : -1;
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
open_file(const char *path, int mode)
{
    return open(path, mode | FILE_FLAGS);
}

static int
create_file(rv_shm_t *shm)
{
    shm->fd = open(shm->path, O_RDWR | FILE_FLAGS | O_CREAT | O_EXCL, PRIVATE_MODE);

    if (shm->fd == -1 || rv_shm_guard_reserve(shm->fd, 0, shm->size) != RV_OK)
        return RV_ERROR;

    return rv_shm_type_map(shm);
}

static void
remove_file(const char *path)
{
    unlink(path);
}

/* The anonymous ones first and the best of them first: "auto" is the first row. */
static const rv_shm_type_t types[] = {
#if RV_HAVE_MEMFD
    { "memfd", RV_SHM_OUTSIDE | RV_SHM_EXEC | RV_SHM_HUGE, create_memfd, unmap_pages, NULL, NULL },
#endif
#if RV_HAVE_MAP_ANON
    { "anon", RV_SHM_HUGE, create_anon, unmap_pages, NULL, NULL },
#endif
#if RV_HAVE_MAP_DEVZERO
    { "devzero", 0, create_devzero, unmap_pages, NULL, NULL },
#endif
#if RV_HAVE_SYSVSHM
    { "sysv", RV_SHM_HUGE, create_sysv, unmap_sysv, NULL, NULL },
#endif
#if RV_HAVE_POSIX_SHM
    { "posix", RV_SHM_OUTSIDE | RV_SHM_EXEC | RV_SHM_NAMED | RV_SHM_LOOSE, create_posix,
        unmap_pages, open_posix, remove_posix },
#endif
    { "file", RV_SHM_OUTSIDE | RV_SHM_EXEC | RV_SHM_PATH | RV_SHM_KEPT | RV_SHM_LOOSE, create_file,
        unmap_pages, open_file, remove_file },
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
