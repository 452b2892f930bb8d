/*
 * test_many: the mesh of many workers, as /proc shows it: 64 of them, or as many as RV_TEST_WORKERS
 * says, up to 512.
 *
 * The table is the one that mesh.h tells of. Looked at from its columns: each worker
 * has one end that nobody else has, its own; and of the ends that the master has, all but one,
 * which is the other end of its own. Beside these, all workers have the same number of
 * descriptors, whatever has happened.
 */
#include "daemon.h"
#include "mesh_sockets.h"

#include <dirent.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { MOST = 512, PIDS = 2 * MOST + 1, ENDS = MOST + 8, USUAL = 64 };

typedef struct {
    pid_t pid;
    int count; /* of its ends of channels, in the order of their inodes */
    unsigned long end[ENDS];
    int others; /* descriptors that are none */
} holder_t;

static daemon_t d;
static int workers;
static holder_t master, holder[MOST];
static int beside; /* what a worker holds beside the mesh; -1: not known yet */
static pid_t pids[PIDS], old[PIDS];
static int old_count;
static char wrong[256];

static double
seconds(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (double) ts.tv_sec;
}

/* --- one process ------------------------------------------------------------------------ */

static int
compare(const void *a, const void *b)
{
    unsigned long x = *(const unsigned long *) a, y = *(const unsigned long *) b;

    return (x > y) - (x < y);
}

/* 0: it is no socket, or none that is connected to one. */
static unsigned long
read_end(int directory, const char *name)
{
    char text[64];
    unsigned long inode = 0;
    ssize_t n = readlinkat(directory, name, text, sizeof(text) - 1);

    text[n > 0 ? n : 0] = '\0';
    (void) sscanf(text, "socket:[%lu]", &inode);
    const mesh_socket_t *s = mesh_sockets_find(inode);
    return s != NULL && s->connected ? inode : 0;
}

static void
read_holder(holder_t *h, pid_t pid)
{
    char path[64];
    struct dirent *entry;

    *h = (holder_t){ .pid = pid };
    snprintf(path, sizeof(path), "/proc/%d/fd", (int) pid);
    DIR *directory = opendir(path);
    while (directory != NULL && (entry = readdir(directory)) != NULL) {
        unsigned long end = read_end(dirfd(directory), entry->d_name);

        if (end != 0 && h->count < ENDS)
            h->end[h->count++] = end;
        else
            h->others += entry->d_name[0] != '.';
    }
    if (directory != NULL)
        closedir(directory);
    qsort(h->end, (size_t) h->count, sizeof(h->end[0]), compare);
}

/* --- the judgement ------------------------------------------------------------------------ */

static int
is_wrong(const char *what, pid_t pid, int is, int should)
{
    snprintf(wrong, sizeof(wrong), "process %d: %s %d, not %d", (int) pid, what, is, should);
    return 0;
}

/* The ends that one of two has and the other has not; how many, and the last of them. */
static int
count_missing(const holder_t *from, const holder_t *in, unsigned long *one)
{
    int count = 0;

    for (int i = 0, j = 0; i < from->count; i++) {
        while (j < in->count && in->end[j] < from->end[i])
            j++;
        if (j == in->count || in->end[j] != from->end[i]) {
            *one = from->end[i];
            count++;
        }
    }
    return count;
}

static int
has_twice(const holder_t *h)
{
    for (int i = 1; i < h->count; i++) {
        if (h->end[i] == h->end[i - 1])
            return 1;
    }
    return 0;
}

static int
check_worker(const holder_t *h)
{
    unsigned long own = 0, other = 0;

    if (h->count != workers || has_twice(h))
        return is_wrong("ends of channels", h->pid, h->count, workers);
    int alone = count_missing(h, &master, &own), missing = count_missing(&master, h, &other);
    if (alone != 1 || missing != 1)
        return is_wrong("ends that it alone has", h->pid, alone, 1);

    const mesh_socket_t *s = mesh_sockets_find(own);
    if (s != NULL && s->peer != 0 && s->peer != other)
        return is_wrong(
            "what it cannot write to is not itself", h->pid, (int) s->peer, (int) other);
    return beside == -1 || h->others == beside
        || is_wrong("descriptors beside the mesh", h->pid, h->others, beside);
}

/* The workers are so many, all of them new, and hold what they should, the master too. */
static int
check_all(void)
{
    int n = daemon_children(d.master, pids, PIDS);

    if (n != workers)
        return is_wrong("workers", d.master, n, workers);
    (void) mesh_sockets_read();
    read_holder(&master, d.master);
    if (master.count != workers || has_twice(&master))
        return is_wrong("ends of channels", d.master, master.count, workers);

    for (int i = 0; i < workers; i++) {
        read_holder(&holder[i], pids[i]);
        if (!check_worker(&holder[i]))
            return 0;
    }
    return 1;
}

static int
is_whole(daemon_t *unused, void *until)
{
    (void) unused;
    while (old_count > 0 && !daemon_alive(old[old_count - 1]))
        old_count--;
    if (old_count > 0)
        (void) is_wrong("so many live on", old[old_count - 1], old_count, 0);
    else if (check_all())
        return 1;
    ck_assert_msg(seconds() < *(double *) until, "%s", wrong);
    return 0;
}

/* Until the table is right, without those who are old. */
static void
wait_whole(void)
{
    double until = seconds() + DAEMON_LIMIT / 2;

    daemon_wait(&d, is_whole, &until, "the table of channels is right");
}

/* --- the daemon ----------------------------------------------------------------------------- */

static void
configure(int count)
{
    daemon_conff(&d,
        "[main]\n"
        "worker_processes = %d\n"
        "error_log = logs/error.log notice\n"
        "pid = logs/reeve.pid\n"
        "[events]\n"
        "worker_connections = 64\n"
        "%s",
        count, DAEMON_HTTP);
    workers = count;
}

static int
how_many(void)
{
    const char *text = getenv("RV_TEST_WORKERS");
    int n = text == NULL ? USUAL : atoi(text);

    return n < 4 ? 4 : n > MOST ? MOST : n;
}

/* From now on all hold the same beside the mesh: as in a small one, where all have their START. */
static void
start(void)
{
    configure(2);
    daemon_start(&d);
    daemon_settle(&d);
    beside = -1;
    old_count = 0;
    wait_whole();
    beside = holder[0].others;
    ck_assert_int_eq(holder[1].others, beside);
    daemon_signal(&d, "stop");
    daemon_wait_gone(&d);

    configure(how_many());
    daemon_start(&d);
    wait_whole();
}

static void
expect_service(void)
{
    char text[1024];

    ck_assert_int_eq(daemon_get(&d, "/hello", text, sizeof(text)), 200);
    ck_assert_str_eq(text, "hello");
}

static void
reload(void)
{
    memcpy(old, pids, sizeof(old));
    old_count = workers;
    ck_assert_int_eq(kill(d.master, SIGHUP), 0);
    wait_whole();
}

START_TEST(each_of_many_workers_has_an_end_of_every_other)
{
    daemon_setup(&d);
    start();
    expect_service();
    daemon_teardown(&d);
}
END_TEST

START_TEST(a_third_of_many_is_replaced_in_every_table)
{
    daemon_setup(&d);
    start();
    for (int round = 0; round < 2; round++) {
        for (int i = round; i < workers; i += 3) {
            old[old_count++] = pids[i];
            ck_assert_int_eq(kill(pids[i], SIGKILL), 0);
        }
        wait_whole();
    }
    expect_service();
    daemon_teardown(&d);
}
END_TEST

START_TEST(a_reload_of_many_leaves_nothing_behind)
{
    daemon_setup(&d);
    start();
    int held = daemon_fd_count(d.master);

    for (int i = 0; i < 2; i++) {
        reload();
        ck_assert_int_eq(daemon_log_count(&d, "reload done"), i + 1);
    }
    daemon_wait_fd_count(&d, d.master, held);
    expect_service();
    daemon_teardown(&d);
}
END_TEST

/* --- what is scarce ------------------------------------------------------------------------- */

/* As a login has it: far below what there are channels for in a reload. */
static void
have_a_low_limit(void)
{
    struct rlimit limit;

    getrlimit(RLIMIT_NOFILE, &limit);
    limit.rlim_cur = (rlim_t) how_many() + 32;
    (void) setrlimit(RLIMIT_NOFILE, &limit);
}

START_TEST(a_low_soft_limit_of_descriptors_is_enough)
{
    daemon_setup(&d);
    d.prepare = have_a_low_limit;
    start();
    reload();
    expect_service();
    d.prepare = NULL;
    daemon_teardown(&d);
}
END_TEST

/* So many may also be on their way to others, of all that the user has. */
static void
have_just_enough(void)
{
    struct rlimit limit;

    getrlimit(RLIMIT_NOFILE, &limit);
    limit.rlim_max = limit.rlim_cur = (rlim_t) how_many() * 4 + 80;
    (void) setrlimit(RLIMIT_NOFILE, &limit);
}

START_TEST(more_descriptors_on_their_way_than_a_user_may_have_all_arrive)
{
    daemon_setup(&d);
    d.unprivileged = 1;
    ck_assert_int_eq(chmod(daemon_path(&d, "logs"), 0777), 0);
    d.prepare = have_just_enough;
    start();
    reload();
    ck_assert_int_eq(daemon_log_count(&d, "descriptors, the limit is"), 0);
    expect_service();
    d.prepare = NULL;
    daemon_teardown(&d);
}
END_TEST

int
main(void)
{
    Suite *s = suite_create("many");
    TCase *tc = daemon_case(s, "many");

    tcase_add_test(tc, each_of_many_workers_has_an_end_of_every_other);
    tcase_add_test(tc, a_third_of_many_is_replaced_in_every_table);
    tcase_add_test(tc, a_reload_of_many_leaves_nothing_behind);
    tcase_add_test(tc, a_low_soft_limit_of_descriptors_is_enough);
    tcase_add_test(tc, more_descriptors_on_their_way_than_a_user_may_have_all_arrive);
    return daemon_main(s);
}
