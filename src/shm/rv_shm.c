/*
 * rv_shm: shared memory, by one of several mechanisms.
 *
 * Which one is a row of the table in rv_shm_type.c, and nothing else in the
 * daemon knows that there is more than one. Everything around them (checking,
 * page rounding, unwinding) is written once, here: after a failure an address
 * is unmapped, a descriptor closed, and its name removed.
 */
#include "rv_shm.h"

#include "rv_shm_guard.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define HUGE_PAGE ((size_t) 2 * 1024 * 1024) /* other sizes: none are had */

static int
failed_with(int error)
{
    errno = error;
    return RV_ERROR;
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
whole_pages(size_t size, size_t page, size_t *rounded)
{
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

/* One try, with huge pages or without. */
static int
create(rv_shm_t *shm, const char *name, const char *path, size_t size)
{
    size_t page = shm->huge ? HUGE_PAGE : (size_t) sysconf(_SC_PAGESIZE);

    if (whole_pages(size, page, &shm->size) != RV_OK)
        return RV_ERROR;

    if (copy_names(shm, name, path) == RV_OK && shm->type->create(shm) == RV_OK)
        return RV_OK;

    if (shm->fd != -1 && shm->type->remove != NULL) {
        int error = errno;

        shm->type->remove(place_of(shm));
        errno = error;
    }

    rv_shm_detach(shm);
    return RV_ERROR;
}

int
rv_shm_create(rv_shm_t *shm, const rv_shm_type_t *type, const char *name, const char *path,
    size_t size, int huge)
{
    rv_shm_t ordinary = { .type = type, .fd = -1 };
    rv_shm_t of_huge_pages = { .type = type, .fd = -1, .huge = 1 };

    *shm = ordinary;
    if (check_names(type, name, path) != RV_OK)
        return RV_ERROR;

    if (huge && (type->flags & RV_SHM_HUGE) && create(&of_huge_pages, name, path, size) == RV_OK) {
        *shm = of_huge_pages;
        return RV_OK;
    }
    int result = create(&ordinary, name, path, size);
    *shm = ordinary;
    return result;
}

/* The size of what can be mapped. */
static int
size_of(int fd, size_t *size)
{
    struct stat st;

    if (fstat(fd, &st) == -1)
        return RV_ERROR;

    if (!S_ISREG(st.st_mode))
        return failed_with(EINVAL);

    *size = (size_t) st.st_size;
    return *size > 0 ? RV_OK : failed_with(ENODATA);
}

/* Of a memfd of huge pages these are its blocks. */
static int
is_huge(int fd, int *huge)
{
    struct stat st;

    if (fstat(fd, &st) == -1)
        return RV_ERROR;

    *huge = (size_t) st.st_blksize == HUGE_PAGE;
    return RV_OK;
}

int
rv_shm_attach(rv_shm_t *shm, const rv_shm_type_t *type, int fd, const char *name, const char *path)
{
    *shm = (rv_shm_t){ .type = type, .fd = fd };
    (void) fcntl(fd, F_SETFD, FD_CLOEXEC); /* it was inherited over an exec, and is for this one */

    if (size_of(fd, &shm->size) == RV_OK && is_huge(fd, &shm->huge) == RV_OK
        && copy_names(shm, name, path) == RV_OK && rv_shm_type_map(shm) == RV_OK)
        return RV_OK;

    rv_shm_detach(shm);
    return RV_ERROR;
}

int
rv_shm_open(const rv_shm_type_t *type, const char *where)
{
    return type->open == NULL ? failed_with(ENOTSUP) : type->open(where, O_RDWR);
}

int
rv_shm_pin(const rv_shm_t *shm)
{
    return mlock(shm->addr, shm->size) == 0 ? RV_OK : RV_ERROR;
}

int
rv_shm_mend(rv_shm_t *shm)
{
    size_t have = 0;

    if (size_of(shm->fd, &have) != RV_OK && errno != ENODATA)
        return RV_ERROR;
    if (have < shm->size && rv_shm_guard_reserve(shm->fd, have, shm->size) != RV_OK)
        return RV_ERROR;

    return rv_shm_guard_heal(shm->addr);
}

int
rv_shm_move(rv_shm_t *shm, const char *path)
{
    char *copy = strdup(path);

    if (copy == NULL || rename(shm->path, path) == -1) {
        free(copy);
        return RV_ERROR;
    }
    free(shm->path);
    shm->path = copy;
    return RV_OK;
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
    size_t mapped;

    if (fstat(fd, &st) == -1)
        return RV_ERROR;

    if (st.st_uid != geteuid())
        return failed_with(EPERM);

    if (!S_ISREG(st.st_mode) || st.st_size < (off_t) size)
        return failed_with(EINVAL);

    void *addr = rv_shm_look(fd, &mapped);

    if (addr == NULL)
        return RV_ERROR;

    memcpy(copy, addr, size);
    rv_shm_look_away(addr, mapped);
    return RV_OK;
}

int
rv_shm_peek(const rv_shm_type_t *type, const char *where, void *copy, size_t size)
{
    if (type->open == NULL)
        return failed_with(ENOTSUP);

    int fd = type->open(where, O_RDONLY);

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

void *
rv_shm_look(int fd, size_t *size)
{
    if (size_of(fd, size) != RV_OK)
        return NULL;

    void *addr = mmap(NULL, *size, PROT_READ, MAP_SHARED, fd, 0);

    if (addr == MAP_FAILED)
        return NULL;

    if (rv_shm_guard_add(addr, *size, fd) == RV_OK)
        return addr;

    munmap(addr, *size);
    return NULL;
}

void
rv_shm_look_away(void *addr, size_t size)
{
    rv_shm_guard_remove(addr);
    munmap(addr, size);
}
