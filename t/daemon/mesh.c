/*
 * mesh: the channel table of a running daemon, as the kernel shows it.
 *
 * Nothing here asks the daemon. Where the kernel does not tell the peers of
 * unix sockets, who holds which end still has to be as it should.
 */
#include "mesh.h"

#include "mesh_sockets.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

static int peers_known;

/* --- the descriptors of one process ---------------------------------------------------- */

static int
by_fd(const void *a, const void *b)
{
    return ((const mesh_fd_t *) a)->fd - ((const mesh_fd_t *) b)->fd;
}

static void
read_fd(mesh_process_t *p, int directory, const char *name)
{
    mesh_fd_t *f = &p->fd[p->count];
    struct stat st;
    char text[sizeof(f->kind)];
    ssize_t n = readlinkat(directory, name, text, sizeof(text) - 1);

    if (n == -1 || fstatat(directory, name, &st, AT_SYMLINK_NOFOLLOW) == -1)
        return; /* closed meanwhile */

    text[n] = '\0';
    memset(f, 0, sizeof(*f));
    f->fd = atoi(name);
    f->writable = (st.st_mode & S_IWUSR) != 0;
    if (sscanf(text, "socket:[%lu]", &f->inode) == 1)
        snprintf(f->kind, sizeof(f->kind), "socket");
    else if (sscanf(text, "pipe:[%lu]", &f->inode) == 1)
        snprintf(f->kind, sizeof(f->kind), "pipe %s", f->writable ? "w" : "r");
    else
        memcpy(f->kind, text, (size_t) n); /* zeroed before: rows are compared as bytes */
    p->count++;
}

/* What the list of sockets says of the descriptors. */
static void
mark_ends(mesh_t *m)
{
    for (int i = 0; i < m->count; i++) {
        mesh_process_t *p = &m->process[i];

        for (int j = 0; j < p->count; j++) {
            const mesh_socket_t *s = mesh_sockets_find(p->fd[j].inode);
            p->fd[j].is_end = s != NULL && s->connected;
        }
    }
}

void
mesh_read_process(mesh_process_t *p, pid_t pid)
{
    char path[64];
    struct dirent *entry;

    *p = (mesh_process_t){ .pid = pid, .slot = -1, .worker = -1, .generation = -1 };
    snprintf(path, sizeof(path), "/proc/%d/fd", (int) pid);
    DIR *directory = opendir(path);
    if (directory == NULL)
        return; /* gone meanwhile */

    while ((entry = readdir(directory)) != NULL) {
        ck_assert_msg(p->count < MESH_FDS, "process %d has too many descriptors", (int) pid);
        if (entry->d_name[0] != '.')
            read_fd(p, dirfd(directory), entry->d_name);
    }
    closedir(directory);
    qsort(p->fd, (size_t) p->count, sizeof(p->fd[0]), by_fd);
}

/* The last line of the log about each pid: pids come again. */
static void
read_slots(daemon_t *d, mesh_t *m)
{
    char *log = daemon_read(d->log);

    for (char *at = log; at != NULL; at = strchr(at, '\n')) {
        unsigned worker, slot, generation;
        long pid;

        at += *at == '\n';
        const char *text = strstr(at, ": worker ");
        if (text == NULL)
            break;
        if (sscanf(text, ": worker %u started, pid %ld, slot %u, generation %u", &worker, &pid,
                &slot, &generation)
            == 4) {
            mesh_process_t *p = (mesh_process_t *) (uintptr_t) mesh_find(m, (pid_t) pid);
            if (p != NULL) {
                p->worker = (int) worker;
                p->slot = (int) slot;
                p->generation = (int) generation;
            }
        }
        at = (char *) (uintptr_t) text + 1;
    }
    free(log);
}

/* --- the judgement ------------------------------------------------------------------------ */

static int __attribute__((format(printf, 2, 3))) wrong(mesh_t *m, const char *fmt, ...)
{
    va_list args;

    va_start(args, fmt);
    vsnprintf(m->wrong, sizeof(m->wrong), fmt, args);
    va_end(args);
    return 0;
}

/* How often a process holds the socket or pipe. */
static int
holds(const mesh_process_t *p, unsigned long inode)
{
    int n = 0;

    for (int i = 0; i < p->count; i++)
        n += p->fd[i].inode == inode;
    return n;
}

static int
holders(const mesh_t *m, unsigned long inode)
{
    int n = 0;

    for (int i = 0; i < m->count; i++)
        n += holds(&m->process[i], inode);
    return n;
}

/* The end that this worker holds once and nobody else holds: there must be one. */
static int
find_own(mesh_t *m, mesh_process_t *p)
{
    int found = 0;

    for (int i = 0; i < p->count; i++) {
        if (p->fd[i].is_end && holders(m, p->fd[i].inode) == 1) {
            p->own = p->fd[i].inode;
            p->peer = mesh_sockets_find(p->own)->peer;
            found++;
        }
    }
    return found == 1 || wrong(m, "worker %d holds %d ends alone, not 1", (int) p->pid, found);
}

/* The end that the master holds and this worker does not, where the kernel
 * gives no peers. */
static void
find_peer(mesh_t *m, mesh_process_t *p)
{
    const mesh_process_t *master = &m->process[0];

    for (int i = 0; i < master->count && p->peer == 0; i++) {
        if (master->fd[i].is_end && holds(p, master->fd[i].inode) == 0)
            p->peer = master->fd[i].inode;
    }
}

/* The other end of the worker's pair: with the master and all others, once. */
static int
check_pair(mesh_t *m, mesh_process_t *p)
{
    if (!find_own(m, p))
        return 0;

    if (!peers_known)
        find_peer(m, p);
    else if (mesh_sockets_find(p->peer) == NULL || mesh_sockets_find(p->peer)->peer != p->own)
        return wrong(m, "the own end of worker %d has no other end", (int) p->pid);

    for (int i = 0; i < m->count; i++) {
        const mesh_process_t *other = &m->process[i];
        int n = holds(other, p->peer), should = other != p;

        if (n != should)
            return wrong(m, "process %d holds the other end of worker %d %d times, not %d",
                (int) other->pid, (int) p->pid, n, should);
    }
    return 1;
}

/* Connected unix sockets: one for each worker, and no other. */
static int
check_ends(mesh_t *m, const mesh_process_t *p)
{
    int ends = 0;

    for (int i = 0; i < p->count; i++)
        ends += p->fd[i].is_end;
    return ends == m->count - 1
        || wrong(
            m, "process %d holds %d ends of channels, not %d", (int) p->pid, ends, m->count - 1);
}

static int
count_kind(const mesh_process_t *p, const char *kind)
{
    int n = 0;

    for (int i = 0; i < p->count; i++)
        n += strcmp(p->fd[i].kind, kind) == 0;
    return n;
}

/* A worker has not kept what is the master's: its pid file, its event loop, its
 * pipes but the one that tells of its death, and of that not the end to write to. */
static int
check_inherited(daemon_t *d, mesh_t *m, const mesh_process_t *p)
{
    const mesh_process_t *master = &m->process[0];
    int shared = 0;

    if (count_kind(p, d->terminal) > 0)
        return wrong(m, "worker %d has not left the terminal", (int) p->pid);
    if (count_kind(p, d->pid) > 0 || count_kind(p, "anon_inode:[eventpoll]") > 1)
        return wrong(m, "worker %d has the master's pid file or event loop", (int) p->pid);

    for (int i = 0; i < p->count; i++) {
        const mesh_fd_t *f = &p->fd[i];

        if (strncmp(f->kind, "pipe", 4) != 0 || holds(master, f->inode) != 2)
            continue;
        if (f->writable || ++shared > 1)
            return wrong(m, "worker %d has pipe %lu of the master", (int) p->pid, f->inode);
    }
    return shared == 1 || wrong(m, "worker %d would not see the master die", (int) p->pid);
}

/* The descriptors beside the mesh, sorted, in one text. */
static void
describe_rest(const mesh_process_t *p, char *text, size_t room)
{
    const mesh_fd_t *order[MESH_FDS];
    size_t used = 0;
    int n = 0;

    for (int i = 0; i < p->count; i++) {
        int at = n;

        if (p->fd[i].is_end)
            continue;
        for (; at > 0 && strcmp(order[at - 1]->kind, p->fd[i].kind) > 0; at--)
            order[at] = order[at - 1];
        order[at] = &p->fd[i];
        n++;
    }
    text[0] = '\0';
    for (int i = 0; i < n && used < room; i++)
        used += (size_t) snprintf(text + used, room - used, "%s, ", order[i]->kind);
}

/* Workers of one generation hold the same beside the mesh, and no two workers
 * have the same slot. */
static int
check_alike(mesh_t *m, const mesh_process_t *p)
{
    char text[4096], other[4096];

    if (p->slot == -1)
        return wrong(m, "worker %d is not in the log", (int) p->pid);

    describe_rest(p, text, sizeof(text));
    for (const mesh_process_t *q = &m->process[1]; q < p; q++) {
        if (q->slot == p->slot)
            return wrong(m, "workers %d and %d share slot %d", (int) q->pid, (int) p->pid, q->slot);
        describe_rest(q, other, sizeof(other));
        if (q->generation == p->generation && strcmp(text, other) != 0)
            return wrong(m, "workers %d and %d do not hold the same", (int) q->pid, (int) p->pid);
    }
    return 1;
}

void
mesh_read(daemon_t *d, mesh_t *m)
{
    pid_t pids[MESH_PROCESSES];
    int n = daemon_children(d->master, pids, MESH_PROCESSES - 1);

    m->count = 0;
    m->wrong[0] = '\0';
    int right = n < MESH_PROCESSES || wrong(m, "%d children are too many to look at", n);
    mesh_read_process(&m->process[m->count++], d->master);
    for (int i = 0; i < n && right; i++)
        mesh_read_process(&m->process[m->count++], pids[i]);
    peers_known = mesh_sockets_read();
    mark_ends(m);
    read_slots(d, m);

    for (int i = 1; i < m->count && right; i++) {
        mesh_process_t *p = &m->process[i];
        right = check_pair(m, p) && check_inherited(d, m, p) && check_alike(m, p);
    }
    for (int i = 0; i < m->count && right; i++)
        right = check_ends(m, &m->process[i]);
}

/* --- what tests ask for -------------------------------------------------------------------- */

const mesh_process_t *
mesh_find(const mesh_t *m, pid_t pid)
{
    for (int i = 0; i < m->count; i++) {
        if (m->process[i].pid == pid)
            return &m->process[i];
    }
    return NULL;
}

int
mesh_generation_count(const mesh_t *m, int generation)
{
    int n = 0;

    for (int i = 1; i < m->count; i++)
        n += m->process[i].generation == generation;
    return n;
}

/* One line: which processes hold this inode, in the order of the columns. */
static void
print_holders(const mesh_t *m, unsigned long inode, const char *what, pid_t pid)
{
    printf("%10lu %-12s %8d |", inode, what, (int) pid);
    for (int i = 0; i < m->count; i++) {
        int n = holds(&m->process[i], inode);

        printf(n == 0 ? "  ." : " %2d", n);
    }
    printf("\n");
}

/* Sockets that belong to no pair, where their first holder stands. */
static void
print_others(const mesh_t *m, int row)
{
    const mesh_process_t *p = &m->process[row];

    for (int i = 0; i < p->count; i++) {
        unsigned long inode = p->fd[i].inode;
        int known = !p->fd[i].is_end;

        for (int j = 0; j < m->count; j++)
            known |= m->process[j].own == inode || m->process[j].peer == inode
                || (j < row && holds(&m->process[j], inode) > 0);
        if (!known)
            print_holders(m, inode, "no pair", p->pid);
    }
}

void
mesh_print(const mesh_t *m)
{
    char rest[4096];

    printf("%s\n", m->wrong[0] == '\0' ? "the table is right" : m->wrong);
    for (int i = 0; i < m->count; i++) {
        const mesh_process_t *p = &m->process[i];

        describe_rest(p, rest, sizeof(rest));
        printf("column %d: pid %d, worker %d, slot %d, generation %d, %d descriptors: %s\n", i,
            (int) p->pid, p->worker, p->slot, p->generation, p->count, rest);
    }
    for (int i = 1; i < m->count; i++) {
        print_holders(m, m->process[i].own, "own end of", m->process[i].pid);
        print_holders(m, m->process[i].peer, "its other end", m->process[i].pid);
    }
    for (int i = 0; i < m->count; i++)
        print_others(m, i);
    fflush(stdout);
}

static int
has_same_kinds(const mesh_t *before, mesh_t *m)
{
    char a[4096], b[4096];

    for (int i = 0; i < m->count; i++) {
        const mesh_process_t *p = &m->process[i];

        describe_rest(&before->process[i > 0], a, sizeof(a));
        describe_rest(p, b, sizeof(b));
        if (strcmp(a, b) != 0)
            return wrong(m, "process %d holds other kinds of descriptors: %.150s", (int) p->pid, b);
    }
    return 1;
}

typedef struct {
    mesh_t *mesh;
    const mesh_t *before; /* NULL: kinds do not matter */
    int workers;
    double until;
} wait_t;

static double
seconds(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (double) ts.tv_sec;
}

static int
is_right(daemon_t *d, void *data)
{
    wait_t *w = data;

    mesh_read(d, w->mesh);
    if (w->mesh->wrong[0] == '\0' && w->mesh->count == w->workers + 1
        && (w->before == NULL || has_same_kinds(w->before, w->mesh)))
        return 1;

    if (seconds() < w->until)
        return 0;
    if (w->before != NULL) {
        printf("before: ");
        mesh_print(w->before);
    }
    mesh_print(w->mesh);
    ck_abort_msg("the table of %d workers does not become right: %d workers, %s", w->workers,
        w->mesh->count - 1, w->mesh->wrong);
}

void
mesh_wait(daemon_t *d, int workers, mesh_t *m)
{
    mesh_wait_same_kinds(d, workers, NULL, m);
}

void
mesh_wait_same_kinds(daemon_t *d, int workers, const mesh_t *before, mesh_t *m)
{
    wait_t w = { m, before, workers, seconds() + DAEMON_LIMIT / 2 };

    daemon_wait(d, is_right, &w, "the table of channels is right");
}

static void
differ(const mesh_t *before, const mesh_t *now, const char *why)
{
    printf("before: ");
    mesh_print(before);
    printf("now: ");
    mesh_print(now);
    ck_abort_msg("%s", why);
}

void
mesh_expect_same(const mesh_t *before, const mesh_t *now)
{
    if (before->count != now->count)
        differ(before, now, "there are other processes than before");

    for (int i = 0; i < now->count; i++) {
        const mesh_process_t *a = &before->process[i], *b = &now->process[i];

        if (a->pid != b->pid || a->count != b->count
            || memcmp(a->fd, b->fd, (size_t) a->count * sizeof(a->fd[0])) != 0)
            differ(before, now, "a process holds other descriptors than before");
    }
}
