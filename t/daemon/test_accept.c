/*
 * test_accept: many workers at one socket.
 *
 * One of them wakes for a client, and whatever becomes of that one, a client that
 * waits is found by another.
 */
#include "test_http.h"

#include "look.h"
#include "rv_base.h"

#include <errno.h>
#include <signal.h>
#include <sys/stat.h>

#define HELLO HTTP_STATUS HTTP_RETURN("/hello", "200 hello")
#define GET "GET /hello HTTP/1.1\r\nHost: a\r\n\r\n"

enum {
    WORKERS = 16,
    CLIENTS = 160,
    CALM_MSEC = 10 * 1000 /* without a pause, and the next is told */
};

static daemon_t d;
static char text[4096];
static pid_t pids[WORKERS];
static int fds[CLIENTS];

static const char *const addresses[] = { "127.0.0.1:%PORT%", "unix:reeve.sock" };

static void
start(int workers, const char *events, const char *address)
{
    /* what is preloaded removes a file */
    const char *sandbox = d.preload[0] == '\0' ? "" : "sandbox = off\n";
    char conf[1024];

    snprintf(conf, sizeof(conf),
        "[main]\n%sworker_processes = %d\nerror_log = logs/error.log info\npid = logs/reeve.pid\n"
        "[events]\n%s[zone stats]\ntype = %s\n[http]\nlisten = %s\n" HELLO,
        sandbox, workers, events, look_type(), address);
    daemon_conf(&d, conf);
    daemon_start(&d);
    daemon_wait_workers(&d, workers);
    ck_assert_int_eq(daemon_children(d.master, pids, WORKERS), workers);
}

static int
connect_to(const char *address)
{
    int fd = strncmp(address, "unix:", 5) == 0 ? daemon_connect_unix(daemon_path(&d, address + 5))
                                               : daemon_connect(&d);

    ck_assert_int_ne(fd, -1);
    return fd;
}

static void
expect_answer(int fd)
{
    ck_assert_int_eq(daemon_answer(fd, text, sizeof(text), 0), 200);
}

/* A client that is answered, and stays. */
static int
come(void)
{
    int fd = http_open(&d, GET);

    expect_answer(fd);
    return fd;
}

static void
leave(int from, int to)
{
    for (int i = from; i < to; i++)
        close(fds[i]);
}

static char
state_of(pid_t pid)
{
    char value[64];

    return daemon_proc_status(pid, "State", value, sizeof(value))[0];
}

static int
is_stopped(daemon_t *unused, void *data)
{
    (void) unused;
    return state_of(*(const pid_t *) data) == 'T';
}

static int
one_is_stopped(daemon_t *unused, void *data)
{
    int stopped = 0;

    (void) data;
    for (int i = 0; i < 4; i++)
        stopped += is_stopped(unused, &pids[i]);
    return stopped == 1;
}

/* --- one wakes ---------------------------------------------------------------------- */

/* How often workers have gone to sleep. */
static long
count_sleeps(void)
{
    char value[64];
    long sum = 0;

    for (int i = 0; i < WORKERS; i++)
        sum += atol(daemon_proc_status(pids[i], "voluntary_ctxt_switches", value, sizeof(value)));
    return sum;
}

/* Comes, says nothing, and goes when the server has noticed that it does. */
static void
visit(const char *address)
{
    int fd = connect_to(address);

    ck_assert_int_eq(shutdown(fd, SHUT_WR), 0);
    ck_assert_int_eq(daemon_read_end(fd, text, sizeof(text)), 0);
    close(fd);
}

START_TEST(a_client_wakes_one_of_sixteen_idle_workers)
{
    enum { VISITS = 200, SLEEPS = 3, TIMERS = 2 };
    const char *address = addresses[_i];

    daemon_setup(&d);
    start(WORKERS, "", address);
    for (int i = 0; i < WORKERS; i++)
        visit(address);

    int64_t began = http_now();
    long before = count_sleeps();
    for (int i = 0; i < VISITS; i++)
        visit(address);
    long sleeps = count_sleeps() - before;

    /* each of the workers wakes each second of itself, for each of its timers */
    long own = WORKERS * TIMERS * (long) ((http_now() - began) / 1000 + 2);
    ck_assert_msg(sleeps < VISITS * SLEEPS + own,
        "%d clients woke workers %ld times (%ld for timers)", VISITS, sleeps, own);
    daemon_teardown(&d);
}
END_TEST

START_TEST(clients_are_spread_over_idle_workers)
{
    int before[WORKERS];

    daemon_setup(&d);
    start(WORKERS, "", addresses[0]);
    for (int i = 0; i < WORKERS; i++)
        before[i] = daemon_fd_count(pids[i]);
    for (int i = 0; i < CLIENTS; i++)
        fds[i] = come();
    for (int i = 0; i < WORKERS; i++) {
        int clients = daemon_fd_count(pids[i]) - before[i];

        ck_assert_int_ge(clients, 1); /* it would be ten */
        ck_assert_int_le(clients, CLIENTS / 4);
    }
    leave(0, CLIENTS);
    daemon_teardown(&d);
}
END_TEST

START_TEST(clients_are_served_with_any_method)
{
    static const char *const events[] = { "", "use = epoll\n", "use = poll\n", "use = select\n" };

    for (size_t i = 0; i < rv_countof(events); i++) {
        daemon_setup(&d);
        start(4, events[i], addresses[_i]);
        for (int n = 0; n < 50; n++) {
            int fd = connect_to(addresses[_i]);

            http_send(fd, GET);
            expect_answer(fd);
            close(fd);
        }
        daemon_teardown(&d);
    }
}
END_TEST

/* --- nobody waits in vain ------------------------------------------------------------- */

START_TEST(clients_are_served_while_all_workers_but_one_are_stopped)
{
    daemon_setup(&d);
    start(4, "", addresses[0]);
    for (int spared = 0; spared < 4; spared++) {
        for (int i = 0; i < 4; i++) {
            ck_assert_int_eq(kill(pids[i], i == spared ? SIGCONT : SIGSTOP), 0);
            if (i != spared)
                daemon_wait(&d, is_stopped, &pids[i], "the worker is stopped");
        }
        for (int i = 0; i < 20; i++)
            close(come());
    }
    for (int i = 0; i < 4; i++)
        ck_assert_int_eq(kill(pids[i], SIGCONT), 0);
    daemon_teardown(&d);
}
END_TEST

/* The one that was woken for a client gets this signal before it accepts. */
static void
start_with_signal(const char *signal, const char **file)
{
    daemon_setup(&d);
    const char *folder = daemon_path(&d, "orders"); /* where anybody may remove files */
    ck_assert_int_eq(mkdir(folder, 0777), 0);
    ck_assert_int_eq(chmod(folder, 0777), 0);
    *file = daemon_path(&d, "orders/before");
    setenv("RV_TEST_BEFORE_ACCEPT", *file, 1);
    daemon_preload(&d, "preload_accept");
    start(4, "", addresses[0]);
    daemon_write(*file, signal, strlen(signal));
}

START_TEST(client_whose_worker_is_stopped_before_it_accepts_is_served_by_another)
{
    const char *file;

    start_with_signal("19", &file);
    close(come());
    ck_assert_int_eq(access(file, F_OK), -1);
    daemon_wait(&d, one_is_stopped, NULL, "the worker that was woken is stopped");
    for (int i = 0; i < 50; i++) /* and all that come after it */
        close(come());

    for (int i = 0; i < 4; i++)
        ck_assert_int_eq(kill(pids[i], SIGCONT), 0);
    for (int i = 0; i < 50; i++)
        close(come());
    daemon_teardown(&d);
}
END_TEST

START_TEST(client_whose_worker_is_killed_before_it_accepts_is_served)
{
    const char *file;

    start_with_signal("9", &file);
    for (int i = 1; i <= 3; i++) {
        close(come());
        daemon_wait_log(&d, "was killed by signal 9", i);
        if (i < 3)
            daemon_write(file, "9", 1);
    }
    daemon_teardown(&d);
}
END_TEST

/* --- no room in the system ---------------------------------------------------------------- */

static int clients_before[WORKERS], kept;

/* Another client has come; now each of the four workers has some. */
static int
each_has_clients(daemon_t *unused, void *data)
{
    int have = 0;

    (void) unused;
    (void) data;
    if (kept >= CLIENTS) /* the oldest goes */
        close(fds[kept % CLIENTS]);
    fds[kept++ % CLIENTS] = come();
    for (int i = 0; i < 4; i++)
        have += daemon_fd_count(pids[i]) > clients_before[i];
    return have == 4;
}

static int
three_have_paused(daemon_t *unused, void *data)
{
    (void) unused;
    (void) data;
    close(come());
    return daemon_log_count(&d, "[warn]") >= 3;
}

START_TEST(clients_are_served_while_accept_fails_in_all_workers_but_one)
{
    static const int errors[] = { EMFILE, ENFILE, ENOBUFS, ENOMEM };
    char order[64], line[64];

    daemon_setup(&d);
    const char *file = daemon_path(&d, "fail");
    setenv("RV_TEST_FAIL_ACCEPT", file, 1);
    daemon_preload(&d, "preload_accept");
    start(4, "", addresses[0]);
    for (int i = 0; i < 4; i++)
        clients_before[i] = daemon_fd_count(pids[i]);

    snprintf(order, sizeof(order), "%d %ld", errors[_i], (long) pids[0]);
    daemon_write(file, order, strlen(order));
    int64_t began = http_now();
    daemon_wait(&d, three_have_paused, NULL, "workers try in vain");
    for (int i = 0; i < 20; i++)
        close(come());
    snprintf(line, sizeof(line), "accept() failed, accepting pauses (%d: ", errors[_i]);
    ck_assert_int_ge(daemon_log_count(&d, line), 3);
    ck_assert_int_le(daemon_log_count(&d, line), 3 * (1 + (http_now() - began) / CALM_MSEC));

    ck_assert_int_eq(unlink(file), 0);
    kept = 0;
    daemon_wait(&d, each_has_clients, NULL, "all workers accept again");
    leave(0, rv_min(kept, (int) CLIENTS));
    daemon_teardown(&d);
}
END_TEST

/* --- full workers ----------------------------------------------------------------------- */

/* Workers who have two clients each, and one client who waits. */
static void
fill(int workers, int *waiting)
{
    daemon_setup(&d);
    start(workers, "worker_connections = 2\n", addresses[0]);
    for (int i = 0; i < 2 * workers; i++)
        fds[i] = come(); /* whoever is woken has room */
    daemon_wait_log(&d, "2 worker_connections are in use, accepting pauses", workers);
    *waiting = http_open(&d, GET);
}

START_TEST(client_finds_the_worker_that_has_room)
{
    look_t look;
    int waiting;

    fill(4, &waiting);
    for (int i = 0; i < 8; i++) {
        ck_assert(!http_readable(waiting, 0));
        close(fds[i]);
        expect_answer(waiting);
        fds[i] = waiting;
        waiting = http_open(&d, GET);
    }
    close(waiting);
    look_open(&d, &look);
    look_wait(&d, &look, "connections", "pauses{reason=\"limit\"}", 4 + 8);
    look_wait(&d, &look, "connections", "pauses{reason=\"descriptors\"}", 0);
    look_close(&look);
    leave(0, 8);
    daemon_teardown(&d);
}
END_TEST

START_TEST(client_who_waits_is_served_by_the_next_generation)
{
    int waiting;

    fill(4, &waiting);
    ck_assert(!http_readable(waiting, 0));
    daemon_reload(&d); /* which waits until the old one is gone */
    expect_answer(waiting);
    close(waiting);
    leave(0, 8);
    daemon_teardown(&d);
}
END_TEST

START_TEST(client_who_waits_is_served_by_the_successor_of_a_full_worker)
{
    int waiting;

    fill(4, &waiting);
    ck_assert_int_eq(kill(pids[_i], SIGKILL), 0);
    expect_answer(waiting);
    close(waiting);
    leave(0, 8);
    daemon_teardown(&d);
}
END_TEST

int
main(void)
{
    Suite *s = suite_create("accept");
    TCase *tc = daemon_case(s, "accept");
    const int count = (int) rv_countof(addresses);

    if (RV_HAVE_EPOLLEXCLUSIVE) {
        tcase_add_loop_test(tc, a_client_wakes_one_of_sixteen_idle_workers, 0, count);
        tcase_add_test(tc, clients_are_spread_over_idle_workers);
    }
    tcase_add_loop_test(tc, clients_are_served_with_any_method, 0, count);
    tcase_add_test(tc, clients_are_served_while_all_workers_but_one_are_stopped);
    tcase_add_test(tc, client_whose_worker_is_stopped_before_it_accepts_is_served_by_another);
    tcase_add_test(tc, client_whose_worker_is_killed_before_it_accepts_is_served);
    tcase_add_loop_test(tc, clients_are_served_while_accept_fails_in_all_workers_but_one, 0, 4);
    tcase_add_test(tc, client_finds_the_worker_that_has_room);
    tcase_add_test(tc, client_who_waits_is_served_by_the_next_generation);
    tcase_add_loop_test(tc, client_who_waits_is_served_by_the_successor_of_a_full_worker, 0, 4);
    return daemon_main(s);
}
