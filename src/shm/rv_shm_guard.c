/*
 * rv_shm_guard: memory that others can cut off does not kill us.
 *
 * The one signal handler that has to act by itself: the instruction that
 * touched the page is run again when it returns, so there must be a page.
 * It makes nothing but system calls. The globals: the table of mappings and
 * whether the handler is set.
 */
#include "rv_shm_guard.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

enum { MAPPINGS = 512 };

typedef struct {
    char *addr; /* NULL: not in use */
    size_t size;
    int fd;
    volatile sig_atomic_t replaced; /* by zeros */
} mapping_t;

static mapping_t table[MAPPINGS];
static int is_set;

static mapping_t *
find(const char *addr)
{
    for (size_t i = 0; i < rv_countof(table); i++) {
        mapping_t *m = &table[i];

        if (m->addr != NULL && addr >= m->addr && addr < m->addr + m->size)
            return m;
    }
    return NULL;
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

int
rv_shm_guard_reserve(int fd, size_t from, size_t size)
{
    int error;

    do {
        error = posix_fallocate(fd, 0, (off_t) size);
    } while (error == EINTR);

    if (error == EOPNOTSUPP || error == EINVAL)
        return write_zeros(fd, (off_t) from, (off_t) size);

    errno = error;
    return error == 0 ? RV_OK : RV_ERROR;
}

/* Makes the file as long as it was, each byte with its place. */
static int
lengthen(int fd, size_t size)
{
    struct stat st;

    return fstat(fd, &st) == 0 ? rv_shm_guard_reserve(fd, (size_t) st.st_size, size) : RV_ERROR;
}

/* Maps something else, a file or zeros, at the same address. */
static int
replace(mapping_t *m, int flags, int fd)
{
    char *addr = mmap(m->addr, m->size, PROT_READ | PROT_WRITE, flags | MAP_FIXED, fd, 0);

    if (addr == MAP_FAILED)
        return RV_ERROR;

    m->addr = addr;
    return RV_OK;
}

static void
on_bus(int number, siginfo_t *info, void *context)
{
    int saved = errno;
    mapping_t *m = info->si_code == BUS_ADRERR ? find(info->si_addr) : NULL;

    (void) context;
    if (m == NULL) { /* not ours, or sent by somebody: it kills, once this has returned */
        (void) signal(number, SIG_DFL);
        raise(number);
    } else if (lengthen(m->fd, m->size) != RV_OK) {
        m->replaced = replace(m, MAP_PRIVATE | MAP_ANONYMOUS, -1) == RV_OK;
    }
    errno = saved;
}

static int
set_handler(void)
{
    struct sigaction sa = { .sa_flags = SA_SIGINFO };

    if (is_set)
        return RV_OK;

    sa.sa_sigaction = on_bus;
    sigfillset(&sa.sa_mask);
    if (sigaction(SIGBUS, &sa, NULL) == -1)
        return RV_ERROR;

    is_set = 1;
    return RV_OK;
}

int
rv_shm_guard_add(void *addr, size_t size, int fd)
{
    if (set_handler() != RV_OK)
        return RV_ERROR;

    for (size_t i = 0; i < rv_countof(table); i++) {
        if (table[i].addr == NULL) {
            table[i] = (mapping_t){ .addr = addr, .size = size, .fd = fd };
            return RV_OK;
        }
    }
    errno = ENOMEM;
    return RV_ERROR;
}

void
rv_shm_guard_remove(const void *addr)
{
    for (size_t i = 0; i < rv_countof(table); i++) {
        if (addr != NULL && table[i].addr == addr)
            table[i].addr = NULL;
    }
}

int
rv_shm_guard_heal(const void *addr)
{
    mapping_t *m = find(addr);
    struct stat st;

    if (m == NULL || !m->replaced)
        return RV_OK;
    if (fstat(m->fd, &st) == -1 || st.st_size < (off_t) m->size)
        return RV_ERROR;
    if (replace(m, MAP_SHARED, m->fd) != RV_OK)
        return RV_ERROR;

    m->replaced = 0;
    return RV_OK;
}
