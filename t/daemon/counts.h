/*
 * counts: how often one process calls functions of libc, in a file that it and a test map.
 *
 * preload_calls and preload_memory do the counting. They map the file when the first process
 * starts, and those that it forks share that: a sandboxed worker need open nothing. The test
 * says which of the processes is counted.
 */
#ifndef COUNTS_H
#define COUNTS_H

#include <fcntl.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

/* The variable that names the file, which is there before the daemon starts. */
#define COUNTS_VARIABLE "RV_TEST_COUNTS"

#define COUNTS_ALLOCATIONS(x) \
    x(malloc) x(calloc) x(realloc) x(free) x(posix_memalign) x(aligned_alloc)
#define COUNTS_CALLS(x)                                                                     \
    x(recv) x(recvfrom) x(recvmsg) x(read) x(readv) x(send) x(sendto) x(sendmsg) x(write)   \
        x(writev) x(epoll_wait) x(poll) x(select) x(epoll_ctl) x(timerfd_settime) x(accept) \
            x(accept4) x(getsockopt) x(setsockopt) x(shutdown) x(close) x(mmap) x(munmap)

#define COUNTS_NUMBER(name) COUNTS_##name,
enum { COUNTS_ALLOCATIONS(COUNTS_NUMBER) COUNTS_CALLS(COUNTS_NUMBER) COUNTS_MOST };

typedef struct {
    _Atomic int pid;      /* who is counted, by the test's choice; 0: nobody */
    _Atomic int64_t live; /* bytes allocated since then, less those given back */
    _Atomic uint64_t of[COUNTS_MOST];
} counts_t;

/* The file that the variable names, with these further flags of open; NULL: there is none. */
static inline counts_t *
counts_map(int flags)
{
    const char *path = getenv(COUNTS_VARIABLE);
    int fd = path == NULL ? -1 : open(path, O_RDWR | O_CLOEXEC | flags, 0600);

    if (fd == -1)
        return NULL;

    void *p = MAP_FAILED;
    if (ftruncate(fd, sizeof(counts_t)) == 0)
        p = mmap(NULL, sizeof(counts_t), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    close(fd);
    return p == MAP_FAILED ? NULL : p;
}

#endif
