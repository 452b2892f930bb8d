/*
 * test_upgrade_load: ten upgrades in a row, under clients that never pause.
 */
#include "heir.h"
#include "load.h"
#include "look.h"
#include "mesh.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <time.h>
#include <unistd.h>

enum { UPGRADES = 10, WORKERS = 3 };

static daemon_t d;

static void
configure(const char *options)
{
    daemon_conff(&d,
        "[main]\nworker_processes = %d\nerror_log = logs/error.log notice\npid = logs/reeve.pid\n"
        "[zone stats]\ntype = %s\n"
        "[http]\nkeepalive_requests = 1000000000\nkeepalive_min_timeout = 300ms\n"
        "listen = 127.0.0.1:%d %s\nlisten = unix:%ss.sock\n%s",
        WORKERS, look_type(), d.port, options, d.prefix, LOAD_PAGES);
}

/* --- who watches ------------------------------------------------------------------------------ */

/* A client of the unix socket: each request must be answered. Written by a process of its own. */
typedef struct {
    _Atomic int stop;
    _Atomic uint64_t answered, failed;
} watcher_t;

static void
ask_by_unix_socket(watcher_t *w, const char *path)
{
    static const char request[] = "GET /one HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
    char text[1024];

    while (!w->stop) {
        int fd = daemon_connect_unix(path);

        if (fd != -1)
            daemon_send(fd, request, sizeof(request) - 1);
        if (fd != -1 && daemon_answer(fd, text, sizeof(text), 0) == 200)
            w->answered++;
        else
            w->failed++;
        if (fd != -1)
            close(fd);
    }
}

static watcher_t *
start_watcher(pid_t *pid)
{
    watcher_t *w =
        mmap(NULL, sizeof(*w), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

    ck_assert_ptr_ne(w, MAP_FAILED);
    fflush(stdout);
    *pid = fork();
    ck_assert_int_ne(*pid, -1);
    if (*pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        ask_by_unix_socket(w, daemon_path(&d, "s.sock"));
        _exit(0);
    }
    return w;
}

/* -s upgrade; looks all the time meanwhile: nothing contradicts itself, no counter goes down. */
static void
upgrade(const look_t *look, uint64_t *before)
{
    pid_t sender = daemon_launch(&d, "-s", "upgrade", NULL);
    rv_stats_view_t view;

    while (daemon_alive(sender)) {
        look_take(look, &view);
        look_judge(look, &view);
        look_judge_growth(look, &view, before);
        rv_stats_view_free(&view);
        nanosleep(&(struct timespec){ 0, 1000 * 1000 }, NULL);
    }
    if (daemon_wait_process(&d, sender) != 0)
        ck_abort_msg("%s", daemon_read(d.terminal));
    heir_succeeds(&d, heir_pid(&d));
}

static void
expect_no_failure(const load_t *load, const watcher_t *w)
{
    load_sum_t sum = load_sum(load);

    load_print(load);
    ck_assert_msg(sum.failures == 0, "%lu of %lu requests failed", (unsigned long) sum.failures,
        (unsigned long) sum.sent);
    ck_assert_uint_eq(sum.unanswered, 0);
    ck_assert_uint_eq(w->failed, 0);
    ck_assert_uint_gt(w->answered, UPGRADES);
}

/* A new master has a socket twice as long as the one before it may come back. */
static int
has_each_socket_once(daemon_t *daemon, void *unused)
{
    char name[32], link[2][128];
    int most = daemon_fd_count(daemon->master) + 64;

    (void) unused;
    for (int a = 0; a < most; a++) {
        snprintf(name, sizeof(name), "fd/%d", a);
        daemon_proc_link(daemon->master, name, link[0], sizeof(link[0]));
        for (int b = a + 1; b < most && strncmp(link[0], "socket:", 7) == 0; b++) {
            snprintf(name, sizeof(name), "fd/%d", b);
            if (strcmp(daemon_proc_link(daemon->master, name, link[1], sizeof(link[1])), link[0])
                == 0)
                return 0;
        }
    }
    return 1;
}

/* --- the test ------------------------------------------------------------------------------------ */

static const char *const options[] = { "", "reuseport" };

START_TEST(ten_upgrades_fail_no_request_and_leak_nothing)
{
    static uint64_t before[RV_STATS_CELLS];
    static mesh_t first, now;
    look_t look;
    pid_t pid;

    daemon_setup(&d);
    heir_setup(&d);
    configure(options[_i]);
    daemon_start(&d);
    heir_upgrade(&d); /* the heir of an heir has what its father had */
    daemon_wait_log(&d, "which this one follows, is gone", 1);
    daemon_wait(&d, has_each_socket_once, NULL, "what was passed is given up");
    mesh_wait(&d, WORKERS, &first);
    look_open(&d, &look);

    load_t *load = load_create(&d);
    load_add(load, LOAD_KEPT, 2);
    load_add(load, LOAD_FRESH, 2);
    load_add(load, LOAD_PIPELINED, 1);
    load_add(load, LOAD_STATUS, 1);
    watcher_t *w = start_watcher(&pid);
    load_wait_answers(&d, load, 10);
    for (int i = 0; i < UPGRADES; i++) {
        upgrade(&look, before);
        load_wait_answers(&d, load, 5);
    }
    load_stop(&d, load);
    w->stop = 1;
    ck_assert_int_eq(daemon_wait_process(&d, pid), 0);
    expect_no_failure(load, w);

    load_sum_t sum = load_sum(load);
    look_wait_connections(&d, &look, 0);
    look_wait(&d, &look, "connections", "accepts", (int64_t) (sum.opened + w->answered));
    look_wait(&d, &look, "connections", "handled", (int64_t) (sum.opened + w->answered));
    look_wait(&d, &look, "http", "requests", (int64_t) (sum.answered + w->answered));
    look_close(&look);
    daemon_wait_log(&d, "which this one follows, is gone", UPGRADES + 1);
    mesh_wait_same_kinds(&d, WORKERS, &first, &now);
    ck_assert_int_eq(daemon_log_count(&d, "[error]"), 0);
    ck_assert_int_eq(daemon_log_count(&d, "[warn]"), 0);
    daemon_teardown(&d);
}
END_TEST

int
main(void)
{
    Suite *s = suite_create("upgrade_load");
    TCase *tc = daemon_case(s, "upgrade_load");

    tcase_add_loop_test(tc, ten_upgrades_fail_no_request_and_leak_nothing, 0, 2);
    return daemon_main(s);
}
