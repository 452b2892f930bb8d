/*
 * test_post_storm: workers that are killed at random while all write to and call each other.
 *
 * Each message says for whom it is, by slot, pid and generation, and which of its sender's it is. In the
 * end nobody has got what was for another one, no call is without an outcome, and nobody has
 * a descriptor that it did not have before. POST_KILLS is how many are killed, 300 unless it says so:
 *
 *     RV_BUILD=$PWD/objs POST_KILLS=10000 objs/t/daemon/test_post_storm
 */
#include "post.h"

#include "rv_base.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { WORKERS = 48, FEW = 300, MANY = 1000, OLD_MSEC = 1200, SEEN = 4 * WORKERS };

static daemon_t d;

static void
setup(void)
{
    post_setup(&d);
}

static void
teardown(void)
{
    daemon_teardown(&d);
}

static int64_t
now_msec(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t) t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static uint32_t
random_below(uint32_t end)
{
    static uint32_t seed = 20261121;

    seed = seed * 1664525u + 1013904223u;
    return (uint32_t) ((uint64_t) (seed >> 8) * end >> 24);
}

/* --- killing -------------------------------------------------------------------------- */

static struct {
    pid_t pid;
    int64_t since; /* ms: when it was seen first */
} seen[SEEN];

/* How long it has been there, ms. */
static int64_t
age_of(pid_t pid)
{
    size_t gone = 0;

    for (size_t i = 0; i < SEEN; i++) {
        if (seen[i].pid == pid)
            return now_msec() - seen[i].since;
    }
    while (gone < SEEN - 1 && seen[gone].pid != 0 && daemon_alive(seen[gone].pid))
        gone++;
    seen[gone].pid = pid;
    seen[gone].since = now_msec();
    return 0;
}

/*
 * Kills one of those that are at least that old: who dies young is replaced later each time, so that in
 * the end there would be nobody to kill.
 */
static int
kill_one(int64_t age)
{
    pid_t pids[SEEN];
    int n = daemon_children(d.master, pids, SEEN);

    if (n == 0)
        return 0;
    for (int i = 0; i < n; i++)
        (void) age_of(pids[i]);
    pid_t pid = pids[random_below((uint32_t) n)];
    return age_of(pid) >= age && daemon_alive(pid) && kill(pid, SIGKILL) == 0;
}

static void
kill_all(int kills)
{
    const int64_t age = kills > MANY ? OLD_MSEC : 0;
    const struct timespec pause = { 0, 2 * 1000 * 1000 };
    int64_t until = now_msec() + (int64_t) kills * 1000;

    for (int done = 0; done < kills;) {
        done += kill_one(age);
        nanosleep(&pause, NULL); /* for others to run, not for anything to happen */
        ck_assert_msg(now_msec() < until, "%d kills of %d", done, kills);
    }
}

/* --- afterwards -------------------------------------------------------------------------- */

static int
has_no_open_call(daemon_t *unused, void *data)
{
    static post_t post;
    pid_t pids[SEEN];
    int n = daemon_children(d.master, pids, SEEN);

    (void) unused;
    (void) data;
    pids[n++] = d.master;
    post_look(&d, &post);
    for (size_t i = 0; i < POST_ROWS; i++) {
        const unsigned long *v = post.row[i].value;
        int lives = 0;

        for (int j = 0; j < n; j++)
            lives |= pids[j] == post.row[i].pid;
        if (lives && v[POST_MADE] != v[POST_ANSWERED] + v[POST_LATE] + v[POST_LOST])
            return 0;
    }
    return 1;
}

static void
report(int kills, int64_t msec)
{
    static post_t post;
    const unsigned long *v = NULL;

    post_look(&d, &post);
    for (size_t i = 0; i < POST_ROWS; i++) {
        if (post.row[i].pid == d.master)
            v = post.row[i].value;
    }
    ck_assert_ptr_nonnull(v);
    ck_assert_uint_gt(v[POST_RECEIVED], 0);
    printf("%d kills in %lld ms; the master has received %lu messages\n", kills, (long long) msec,
        v[POST_RECEIVED]);
}

START_TEST(nothing_goes_astray_while_workers_are_killed)
{
    const char *wish = getenv("POST_KILLS");
    int kills = wish == NULL ? FEW : atoi(wish), held, each = 0;
    int64_t began = now_msec();
    pid_t pids[WORKERS];

    post_conf(&d, WORKERS, "channel_queue = 64k\n");
    daemon_start(&d);
    daemon_settle(&d);
    daemon_wait_workers(&d, WORKERS);
    post_settle(&d);
    held = daemon_fd_count(d.master);
    daemon_children(d.master, pids, WORKERS);
    for (int i = 0; i < WORKERS; i++)
        each = rv_max(each, daemon_fd_count(pids[i]));

    post_storm(&d, 1);
    kill_all(kills);
    daemon_wait_workers(&d, WORKERS);
    post_storm(&d, 0);
    daemon_wait(&d, has_no_open_call, NULL, "each call has had its outcome");
    post_judge(&d);
    report(kills, now_msec() - began);

    post_wait_descriptors(&d, d.master, held);
    daemon_children(d.master, pids, WORKERS);
    for (int i = 0; i < WORKERS; i++)
        post_wait_descriptors(&d, pids[i], each);
    ck_assert_int_eq(daemon_log_count(&d, "refused"), 0);
}
END_TEST

int
main(void)
{
    Suite *s = suite_create("post_storm");
    TCase *tc = daemon_case(s, "post_storm");

    if (getenv("POST_KILLS") != NULL)
        tcase_set_timeout(tc, 3600);
    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_add_test(tc, nothing_goes_astray_while_workers_are_killed);
    return daemon_main(s);
}
