/*
 * mesh: the channel table of a running daemon, as the kernel shows it.
 *
 * Read from /proc/PID/fd of the master and its workers, and the kernel's list
 * of unix sockets with their peers. For each worker there must be one
 * socketpair: an own end that the worker alone holds, and the other end that
 * the master and every other worker hold, each once. No process may hold any
 * other connected unix socket.
 *
 * Which slot and generation a worker has is not the kernel's to know; that
 * comes from the log, which must be kept at level notice.
 */
#ifndef MESH_H
#define MESH_H

#include "daemon.h"

#define MESH_PROCESSES 80
#define MESH_FDS 256

typedef struct {
    int fd;
    unsigned long inode; /* of a socket or pipe, 0: it is neither */
    int writable;
    int is_end;     /* of a channel, or another connected unix socket */
    char kind[104]; /* what /proc says, without the inode */
} mesh_fd_t;

typedef struct {
    pid_t pid;
    int slot, worker, generation; /* -1: the master's, or not in the log */
    int count;
    mesh_fd_t fd[MESH_FDS];
    unsigned long own, peer; /* inodes of its pair; 0: not found */
} mesh_process_t;

typedef struct {
    int count; /* the master first */
    mesh_process_t process[MESH_PROCESSES];
    char wrong[256]; /* what is not as it should be, "" when the table is right */
} mesh_t;

/* Reads the table of the running daemon, which must have left its terminal, and
 * judges it. */
void mesh_read(daemon_t *d, mesh_t *m);

/* Reads the descriptors of one process; is_end is not filled in. */
void mesh_read_process(mesh_process_t *p, pid_t pid);

/* Waits until the table is right and of so many workers; fails the test and
 * prints the whole table when it does not become so. */
void mesh_wait(daemon_t *d, int workers, mesh_t *m);

/* Prints all of it on standard output. */
void mesh_print(const mesh_t *m);

/* Fails the test unless both are of the same processes, which hold the very
 * same descriptors. */
void mesh_expect_same(const mesh_t *before, const mesh_t *now);

/* Waits as mesh_wait does, and until the processes hold the same kinds of
 * descriptors beside the mesh as before (NULL: no matter): the master, and each
 * of the workers. */
void mesh_wait_same_kinds(daemon_t *d, int workers, const mesh_t *before, mesh_t *m);

/* The row of a process, or NULL. */
const mesh_process_t *mesh_find(const mesh_t *m, pid_t pid);

/* How many workers are of this generation. */
int mesh_generation_count(const mesh_t *m, int generation);

#endif
