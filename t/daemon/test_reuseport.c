/*
 * test_reuseport: a socket for each worker, while their number and the options
 * of the address change, under clients that never pause or wait in queues.
 */
#include "load.h"

#include "rv_auto_config.h"

#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { MOST = 8, ROUNDS = 10, WAITING = 32 };

static daemon_t d;
static load_t *load;
static int addresses; /* 2: IPv6 too */

static void
setup(void)
{
    struct sockaddr_in6 in6 = { .sin6_family = AF_INET6, .sin6_addr = in6addr_loopback };
    int fd = socket(AF_INET6, SOCK_STREAM, 0);

    addresses = fd != -1 && bind(fd, (struct sockaddr *) &in6, sizeof(in6)) == 0 ? 2 : 1;
    if (fd != -1)
        close(fd);
    daemon_setup(&d);
}

static void
teardown(void)
{
    daemon_teardown(&d);
}

static void
configure(int workers, const char *options)
{
    char ipv6[128] = "";

    if (addresses == 2)
        snprintf(ipv6, sizeof(ipv6), "listen = [::1]:%d %s\n", d.port, options);
    daemon_conff(&d,
        "[main]\nerror_log = logs/error.log notice\nworker_processes = %d\n"
        "[http]\nlisten = 127.0.0.1:%d %s\n%s%s"
        "[location /hello]\nhandler = return\nreturn = 200 hello\n",
        workers, d.port, options, ipv6, LOAD_PAGES);
}

/* A reload that does not wait for the old workers' end. */
static void
change_to(int workers, const char *options)
{
    int before = daemon_log_count(&d, "reload done");

    configure(workers, options);
    ck_assert_int_eq(kill(d.master, SIGHUP), 0);
    daemon_wait_log(&d, "reload done", before + 1);
}

static void
start_load(void)
{
    load = load_create(&d);
    load_add(load, LOAD_FRESH, 3);
    if (addresses == 2) {
        load->ipv6 = 1;
        load_add(load, LOAD_FRESH, 2);
    }
    load_wait_answers(&d, load, 20);
}

static void
expect_no_failure(void)
{
    load_wait_answers(&d, load, 20);
    load_stop(&d, load);
    load_sum_t sum = load_sum(load);

    if (sum.failures > 0)
        load_print(load);
    ck_assert_uint_eq(sum.failures, 0);
    ck_assert_uint_eq(sum.answered, sum.sent);
}

static int
has_sockets(daemon_t *daemon, void *data)
{
    return daemon_listening(daemon->port) == addresses * *(const int *) data;
}

static void
wait_sockets(int each)
{
    daemon_wait(&d, has_sockets, &each, "there is a socket for each worker");
}

/* --- clients that never pause ------------------------------------------------------------- */

/* In every other round at once, so that sockets come back which were given up; then
 * when they have gone. */
START_TEST(fewer_and_more_workers_fail_no_request)
{
    configure(MOST, "reuseport");
    daemon_start(&d);
    wait_sockets(MOST);
    start_load();
    for (int i = 0; i < ROUNDS; i++) {
        change_to(1, "reuseport");
        load_wait_answers(&d, load, 20);
        if (i % 2 == 1)
            wait_sockets(1);
        change_to(MOST, "reuseport");
        load_wait_answers(&d, load, 20);
    }
    wait_sockets(MOST);
    expect_no_failure();
    daemon_wait_log(&d, "is gone", 2 * ROUNDS);
    daemon_wait_workers(&d, MOST);
}
END_TEST

static void
scale(const char *word)
{
    ck_assert_int_eq(daemon_run(&d, "-s", word, NULL), 0);
}

START_TEST(one_worker_more_or_fewer_fails_no_request)
{
    configure(2, "reuseport");
    daemon_start(&d);
    start_load();
    for (int i = 0; i < ROUNDS; i++) {
        scale("add");
        scale("add");
        load_wait_answers(&d, load, 10);
        scale("remove");
        load_wait_answers(&d, load, 10);
        scale("remove");
        load_wait_answers(&d, load, 10);
    }
    scale("add");
    wait_sockets(3);
    expect_no_failure();
    daemon_wait_workers(&d, 3);
}
END_TEST

static int
is_settled(daemon_t *daemon, void *data)
{
    pid_t pids[64];
    int workers = daemon_children(daemon->master, pids, 64);

    (void) data;
    return workers == daemon_count_titles(daemon, "reeve: worker process")
        && daemon_listening(daemon->port) == addresses * workers;
}

/* No order waits for the one before. */
START_TEST(orders_that_come_at_once_fail_no_request)
{
    static const int orders[] = { SIGTTIN, SIGHUP, SIGTTIN, SIGTTOU, SIGTTIN, SIGHUP, SIGTTOU };
    enum { ORDERS = 100 };

    configure(3, "reuseport");
    daemon_start(&d);
    start_load();
    srandom(1);
    for (int i = 0; i < ORDERS; i++) {
        ck_assert_int_eq(kill(d.master, orders[random() % 7]), 0);
        if (random() % 3 == 0)
            load_wait_answers(&d, load, (unsigned) random() % 10);
    }
    daemon_wait(&d, is_settled, NULL, "each worker has its socket, and no other is left");
    expect_no_failure();
}
END_TEST

/* Options of an address that is kept. */
START_TEST(a_change_of_options_fails_no_request)
{
    static const char *const options[] = { "reuseport", "backlog=100", "reuseport backlog=200",
        "reuseport", "" };

    configure(4, "");
    daemon_start(&d);
    start_load();
    for (int i = 0; i < 2 * (int) (sizeof(options) / sizeof(options[0])); i++) {
        change_to(4, options[i % 5]);
        load_wait_answers(&d, load, 20);
    }
    wait_sockets(1);
    expect_no_failure();
}
END_TEST

/* A reload that comes to nothing leaves every socket to the worker it had. */
START_TEST(failed_reloads_fail_no_request)
{
    configure(4, "reuseport");
    daemon_start(&d);
    start_load();
    for (int i = 1; i <= ROUNDS; i++) {
        configure(i % 2 == 0 ? 1 : MOST, "reuseport\n[main]\nworking_directory = /no/such/folder");
        ck_assert_int_eq(kill(d.master, SIGHUP), 0);
        daemon_wait_log(&d, "reload failed", i);
        load_wait_answers(&d, load, 10);
    }
    wait_sockets(4);
    expect_no_failure();
}
END_TEST

/* --- clients that wait ---------------------------------------------------------------------- */

static int clients[WAITING];

/* So many that some wait at each worker's socket. */
static void
ask_all(void)
{
    static const char request[] = "GET /hello HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";

    for (int i = 0; i < WAITING; i++) {
        clients[i] = daemon_connect(&d);
        ck_assert_int_ne(clients[i], -1);
        daemon_send(clients[i], request, strlen(request));
    }
}

static void
expect_answers(void)
{
    char text[1024];

    for (int i = 0; i < WAITING; i++) {
        ck_assert_msg(daemon_answer(clients[i], text, sizeof(text), 0) == 200,
            "client %d of %d was not answered", i, WAITING);
        close(clients[i]);
    }
}

/* The old workers stand still, and do not wake up before all is over. */
START_TEST(who_waits_at_a_worker_that_is_no_more_is_served)
{
    pid_t old[4];

    configure(4, "reuseport");
    daemon_start(&d);
    ck_assert_int_eq(daemon_children(d.master, old, 4), 4);
    for (int i = 0; i < 4; i++)
        ck_assert_int_eq(kill(old[i], SIGSTOP), 0);
    ask_all();
    change_to(1, "reuseport");
    expect_answers();
    wait_sockets(1);
    ask_all();
    expect_answers();
    for (int i = 0; i < 4; i++)
        ck_assert_int_eq(kill(old[i], SIGCONT), 0);
    daemon_wait_log(&d, "generation 1 is gone", 1);
    daemon_wait_workers(&d, 1);
}
END_TEST

/* The worker with the highest number, by its line in the log. */
static pid_t
last_worker(int number)
{
    char line[64], *text = daemon_read(d.log), *at;
    long pid = 0;

    snprintf(line, sizeof(line), "worker %d started, pid ", number);
    ck_assert_ptr_nonnull(text);
    at = strstr(text, line);
    ck_assert_ptr_nonnull(at);
    pid = atol(at + strlen(line));
    free(text);
    return (pid_t) pid;
}

START_TEST(who_waits_at_a_worker_that_is_removed_is_served)
{
    configure(3, "reuseport");
    daemon_start(&d);
    pid_t removed = last_worker(2);
    ck_assert_int_eq(kill(removed, SIGSTOP), 0);
    ask_all();
    scale("remove");
    expect_answers();
    wait_sockets(2);
    ask_all();
    expect_answers();
    ck_assert_int_eq(kill(removed, SIGCONT), 0);
    daemon_wait_workers(&d, 2);
}
END_TEST

/* The others stand still too, and one of them dies before it has looked at what it was passed. */
START_TEST(who_waits_is_served_by_the_successor_of_a_dead_worker)
{
    configure(2, "reuseport");
    daemon_start(&d);
    pid_t first = last_worker(0), removed = last_worker(1);
    ck_assert_int_eq(kill(removed, SIGSTOP), 0);
    ck_assert_int_eq(kill(first, SIGSTOP), 0);
    ask_all();
    scale("remove");
    ck_assert_int_eq(kill(first, SIGKILL), 0);
    expect_answers();
    wait_sockets(1);
    ck_assert_int_eq(kill(removed, SIGCONT), 0);
    daemon_wait_workers(&d, 1);
}
END_TEST

/* Whether this kernel can say which sockets get clients; otherwise all stay open. */
#if RV_HAVE_REUSEPORT_CBPF
enum { CAN_CHOOSE = 1 };
#else
enum { CAN_CHOOSE = 0 };
#endif

int
main(void)
{
    Suite *s = suite_create("reuseport");
    TCase *tc = daemon_case(s, "reuseport");

    tcase_add_checked_fixture(tc, setup, teardown);
    if (CAN_CHOOSE) {
        tcase_add_test(tc, fewer_and_more_workers_fail_no_request);
        tcase_add_test(tc, one_worker_more_or_fewer_fails_no_request);
        tcase_add_test(tc, orders_that_come_at_once_fail_no_request);
        tcase_add_test(tc, a_change_of_options_fails_no_request);
        tcase_add_test(tc, failed_reloads_fail_no_request);
        tcase_add_test(tc, who_waits_at_a_worker_that_is_no_more_is_served);
        tcase_add_test(tc, who_waits_at_a_worker_that_is_removed_is_served);
        tcase_add_test(tc, who_waits_is_served_by_the_successor_of_a_dead_worker);
    }
    return daemon_main(s);
}
