/*
 * test_balance: accept_balance, where one worker gets all clients.
 *
 * The kernel gives them to one because accept() fails in all others, which are fine
 * otherwise: they take what is passed to them. Without epoll the one that can is woken with them.
 */
#include "look.h"
#include "test_http.h"

#include "rv_base.h"

#include <errno.h>
#include <signal.h>

#define GET "GET /hello HTTP/1.1\r\nHost: a\r\n\r\n"

enum { WORKERS = 4, CLIENTS = 400, ALIVE_MSEC = 2000 };

static daemon_t d;
static look_t look;
static pid_t pids[WORKERS]; /* the first is the one that accepts */
static int fds[CLIENTS];

static void
start(const char *events)
{
    char order[64];

    daemon_setup(&d);
    const char *file = daemon_path(&d, "fail");
    setenv("RV_TEST_FAIL_ACCEPT", file, 1);
    daemon_preload(&d, "preload_accept");
    daemon_conff(&d,
        "[main]\nsandbox = off\nworker_processes = %d\nerror_log = logs/error.log info\n"
        "pid = logs/reeve.pid\n[events]\nuse = poll\n%s[zone stats]\ntype = %s\n"
        "[http]\nlisten = 127.0.0.1:%d\nlisten = unix:reeve.sock\n" HTTP_STATUS HTTP_RETURN(
            "/hello", "200 hello"),
        WORKERS, events, look_type(), d.port);
    daemon_start(&d);
    daemon_wait_workers(&d, WORKERS);
    ck_assert_int_eq(daemon_children(d.master, pids, WORKERS), WORKERS);
    snprintf(order, sizeof(order), "%d %ld", EMFILE, (long) pids[0]);
    daemon_write(file, order, strlen(order));
    look_open(&d, &look);
}

static void
answer(int fd)
{
    char text[1024];

    ck_assert_int_eq(daemon_answer(fd, text, sizeof(text), 0), 200);
}

/* Clients that are answered, and stay. */
static void
come(int from, int to)
{
    for (int i = from; i < to; i++) {
        fds[i] =
            i % 2 == 0 ? daemon_connect(&d) : daemon_connect_unix(daemon_path(&d, "reeve.sock"));
        ck_assert_int_ne(fds[i], -1);
        http_send(fds[i], GET);
        answer(fds[i]);
    }
}

static void
leave(int from, int to)
{
    for (int i = from; i < to; i++)
        close(fds[i]);
}

/* How many connections that worker has. */
static int64_t
count(pid_t pid)
{
    rv_stats_view_t view;
    int64_t found = -1;

    look_take(&look, &view);
    look_judge(&look, &view);
    for (unsigned i = 0; i < view.count; i++) {
        if (view.process[i].owner.pid == pid)
            found = look_connections(&look, view.process[i].values);
    }
    rv_stats_view_free(&view);
    ck_assert_int_ne(found, -1);
    return found;
}

static void
expect_exact(int clients)
{
    look_wait_connections(&d, &look, clients);
    ck_assert_int_eq(look_total(&look, "connections", "accepts"), clients);
    ck_assert_int_eq(look_total(&look, "connections", "handled"), clients);
    ck_assert_int_eq(look_total(&look, "http", "requests"), clients);
}

static void
stop(int clients)
{
    leave(0, clients);
    look_wait_connections(&d, &look, 0);
    look_close(&look);
    daemon_teardown(&d);
}

/* --- spread --------------------------------------------------------------------------- */

START_TEST(clients_of_one_worker_are_spread_over_all)
{
    start("accept_balance = on\n");
    come(0, CLIENTS);
    expect_exact(CLIENTS);
    for (int i = 0; i < WORKERS; i++) {
        ck_assert_int_ge(count(pids[i]), CLIENTS / WORKERS / 2);
        ck_assert_int_le(count(pids[i]), CLIENTS / WORKERS * 3 / 2);
    }
    int64_t passed = look_total(&look, "connections", "passed");
    ck_assert_int_eq(look_total(&look, "connections", "taken"), passed);
    ck_assert_int_eq(CLIENTS - passed, count(pids[0])); /* each at most once */
    stop(CLIENTS);
}
END_TEST

START_TEST(clients_stay_where_they_are_when_it_is_off)
{
    start(_i == 0 ? "" : "accept_balance = off\n");
    come(0, CLIENTS);
    expect_exact(CLIENTS);
    ck_assert_int_eq(count(pids[0]), CLIENTS);
    ck_assert_int_eq(look_total(&look, "connections", "passed"), 0);
    stop(CLIENTS);
}
END_TEST

START_TEST(few_clients_are_not_passed)
{
    start("accept_balance = on\n");
    come(0, 8);
    expect_exact(8);
    ck_assert_int_eq(count(pids[0]), 8);
    stop(8);
}
END_TEST

/* --- no room, nobody there -------------------------------------------------------------- */

START_TEST(full_worker_passes_clients_as_long_as_others_have_room)
{
    enum { LIMIT = 8 };

    start("accept_balance = on\nworker_connections = 8\n");
    come(0, WORKERS * LIMIT); /* without it the ninth would wait */
    expect_exact(WORKERS * LIMIT);
    for (int i = 0; i < WORKERS; i++)
        ck_assert_int_eq(count(pids[i]), LIMIT);
    stop(WORKERS * LIMIT);
}
END_TEST

/* Clients who wait at a full worker need not wait for one of its own to go. */
START_TEST(full_worker_looks_whether_others_have_room_again)
{
    enum { LIMIT = 8, ALL = WORKERS * LIMIT };

    start("accept_balance = on\nworker_connections = 8\n");
    come(0, ALL);
    int waiting = daemon_connect(&d);
    http_send(waiting, GET);
    ck_assert_int_eq(count(pids[0]), LIMIT);
    close(fds[ALL - 2]); /* which was passed; the last one has filled this worker */
    answer(waiting);
    ck_assert_int_eq(count(pids[0]), LIMIT);
    fds[ALL - 2] = waiting;
    stop(ALL);
}
END_TEST

/* The stopped ones have given no sign of life for as long as it takes. */
static int
are_silent(daemon_t *unused, void *data)
{
    rv_stats_view_t view;
    int silent = 0;

    (void) unused;
    (void) data;
    look_take(&look, &view);
    for (unsigned i = 0; i < view.count; i++)
        silent += view.process[i].owner.worker != RV_STATS_MASTER
            && (int64_t) view.process[i].heartbeat + ALIVE_MSEC < http_now();
    rv_stats_view_free(&view);
    return silent >= WORKERS - 1;
}

START_TEST(stopped_workers_get_no_clients)
{
    start("accept_balance = on\n");
    for (int i = 1; i < WORKERS; i++)
        ck_assert_int_eq(kill(pids[i], SIGSTOP), 0);
    daemon_wait(&d, are_silent, NULL, "the stopped workers are silent");
    come(0, CLIENTS / 4);
    expect_exact(CLIENTS / 4);
    ck_assert_int_eq(count(pids[0]), CLIENTS / 4);

    for (int i = 1; i < WORKERS; i++)
        ck_assert_int_eq(kill(pids[i], SIGCONT), 0);
    come(CLIENTS / 4, CLIENTS);
    expect_exact(CLIENTS);
    for (int i = 1; i < WORKERS; i++)
        ck_assert_int_ge(count(pids[i]), CLIENTS / WORKERS / 2);
    stop(CLIENTS);
}
END_TEST

/* A worker that was stopped just now may have some on the way, who are served when it goes on. */
START_TEST(worker_that_has_just_been_stopped_gets_few)
{
    start("accept_balance = on\n");
    for (int i = 1; i < WORKERS; i++)
        ck_assert_int_eq(kill(pids[i], SIGSTOP), 0);
    for (int i = 0; i < CLIENTS; i++)
        fds[i] = http_open(&d, GET);
    look_wait(&d, &look, "connections", "accepts", CLIENTS);
    int64_t on_the_way = look_total(&look, "connections", "passed");
    ck_assert_int_le(on_the_way, CLIENTS / 4);
    look_wait_connections(&d, &look, CLIENTS - on_the_way);
    for (int i = 1; i < WORKERS; i++)
        ck_assert_int_eq(kill(pids[i], SIGCONT), 0);
    for (int i = 0; i < CLIENTS; i++)
        answer(fds[i]);
    expect_exact(CLIENTS);
    stop(CLIENTS);
}
END_TEST

int
main(void)
{
    Suite *s = suite_create("balance");
    TCase *tc = daemon_case(s, "balance");

    tcase_add_test(tc, clients_of_one_worker_are_spread_over_all);
    tcase_add_loop_test(tc, clients_stay_where_they_are_when_it_is_off, 0, 2);
    tcase_add_test(tc, few_clients_are_not_passed);
    tcase_add_test(tc, full_worker_passes_clients_as_long_as_others_have_room);
    tcase_add_test(tc, full_worker_looks_whether_others_have_room_again);
    tcase_add_test(tc, stopped_workers_get_no_clients);
    tcase_add_test(tc, worker_that_has_just_been_stopped_gets_few);
    return daemon_main(s);
}
