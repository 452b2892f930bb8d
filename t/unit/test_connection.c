/*
 * rv_connection: clients of a small service, on a loopback port.
 *
 * The service notes what it is called for; a test says what it is to do when
 * it is. Clients are sockets of the test itself, and the loop is stepped by
 * hand until what should happen has happened.
 */
#include "rv_connection.h"

#include "rv_log.h"
#include "rv_stats_fold.h"

#include <arpa/inet.h>
#include <check.h>
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

enum { LIMIT = 3, MANY = 16, LIMIT_MSEC = 60 * 1000 };

static rv_loop_t *loop;
static rv_stats_t *stats;
static rv_connections_t *all;
static rv_addr_t address;
static int at_start; /* descriptors */

/* --- the service --------------------------------------------------------------- */

static int opened, readied, drained, closed; /* calls */
static rv_connection_t *last;                /* what it was called with last */
static short happened;

/* What it does when called; NULL: nothing. */
static void (*in_open)(rv_connection_t *c);
static void (*in_ready)(rv_connection_t *c);
static void (*in_drain)(rv_connection_t *c);

static void
note(int *calls, rv_connection_t *c, void (*act)(rv_connection_t *c))
{
    (*calls)++;
    last = c;
    if (act != NULL)
        act(c);
}

static void
on_open(rv_connection_t *c)
{
    ck_assert_ptr_null(c->data);
    ck_assert_uint_eq(c->requests, 0);
    ck_assert_int_eq(c->state, RV_CONNECTION_WAITING);
    note(&opened, c, in_open);
}

static void
on_ready(rv_connection_t *c, short what)
{
    happened = what;
    note(&readied, c, in_ready);
}

static void
on_drain(rv_connection_t *c)
{
    note(&drained, c, in_drain);
}

static void
on_close(RV_UNUSED rv_connection_t *c)
{
    closed++;
}

static const rv_service_t service = {
    .name = "test", .open = on_open, .ready = on_ready, .drain = on_drain, .close = on_close
};

static const rv_stats_def_t counters[] = {
    { "bytes", RV_STATS_COUNTER, "Bytes." },
    { NULL, 0, NULL },
};

static int
open_descriptors(void)
{
    DIR *dir = opendir("/proc/self/fd");
    int n = 0;

    ck_assert_ptr_nonnull(dir);
    while (readdir(dir) != NULL)
        n++;
    closedir(dir);
    return n;
}

static void
create_stats(void)
{
    const rv_stats_owner_t owner = { .pid = getpid(), .generation = 1 };
    static rv_stats_defs_t defs; /* each test is a process of its own */

    ck_assert_int_eq(rv_stats_define(&defs, "connections", rv_connection_stats), RV_OK);
    ck_assert_int_eq(rv_stats_define(&defs, "test", counters), RV_OK);
    size_t size = rv_stats_size(&defs, 2);
    void *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    ck_assert_ptr_ne(memory, MAP_FAILED);
    stats = rv_stats_create(memory, &defs, 2);
    ck_assert_ptr_nonnull(stats);
    ck_assert_int_eq(rv_stats_claim(stats), 0);
    rv_stats_set_owner(stats, 0, &owner);
    ck_assert_int_eq(rv_stats_own(stats, 0), RV_OK);
}

static int
listen_anywhere(rv_addr_t *addr)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

    *addr = (rv_addr_t){ .length = sizeof(struct sockaddr_in) };
    addr->sockaddr.in.sin_family = AF_INET;
    addr->sockaddr.in.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    ck_assert_int_eq(bind(fd, &addr->sockaddr.sa, addr->length), 0);
    ck_assert_int_eq(listen(fd, 64), 0);
    ck_assert_int_eq(getsockname(fd, &addr->sockaddr.sa, &addr->length), 0);
    return fd;
}

static void
setup(void)
{
    rv_log_terminal(RV_LOG_NONE);
    create_stats();
    at_start = open_descriptors();
    loop = rv_loop_create(NULL);
    ck_assert_ptr_nonnull(loop);
    all = rv_connections_create(loop, stats, LIMIT);
    ck_assert_ptr_nonnull(all);
    ck_assert_int_eq(rv_connections_listen(all, listen_anywhere(&address), &service, &counters), 0);
}

static void
teardown(void)
{
    rv_connections_destroy(all);
    rv_loop_destroy(loop);
    ck_assert_int_eq(open_descriptors(), at_start);
}

static int
connect_client(void)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    ck_assert_int_ne(fd, -1);
    ck_assert_msg(connect(fd, &address.sockaddr.sa, address.length) == 0, "%s", strerror(errno));
    return fd;
}

/* Steps until *value is `expected`. */
static void
step_until(const int *value, int expected)
{
    int64_t until = rv_loop_now() + LIMIT_MSEC;

    while (*value != expected && rv_loop_now() < until)
        ck_assert_int_eq(rv_loop_once(loop, 10), RV_OK);
    ck_assert_int_eq(*value, expected);
}

/* Steps for as long as there is anything to do. */
static void
step_to_rest(void)
{
    for (int i = 0; i < 20; i++)
        ck_assert_int_eq(rv_loop_once(loop, 0), RV_OK);
}

static uint64_t
count(const char *module, const char *name)
{
    uint64_t values[RV_STATS_CELLS];

    rv_stats_snapshot(stats, values, rv_stats_plain(stats));
    return values[rv_stats_find(stats, module, name)];
}

/* accepts and handled; then how many wait, read, write. */
static void
assert_counts(unsigned accepts, unsigned waiting, unsigned reading, unsigned writing)
{
    ck_assert_uint_eq(count("connections", "accepts"), accepts);
    ck_assert_uint_eq(count("connections", "handled"), accepts);
    ck_assert_uint_eq(count("connections", "waiting"), waiting);
    ck_assert_uint_eq(count("connections", "reading"), reading);
    ck_assert_uint_eq(count("connections", "writing"), writing);
    ck_assert_uint_eq(rv_connections_count(all), waiting + reading + writing);
}

static void
assert_sees_the_end(int client)
{
    char byte;

    ck_assert_int_eq(read(client, &byte, 1), 0);
    close(client);
}

/* --- tests --------------------------------------------------------------------------- */

START_TEST(client_is_handed_to_the_service)
{
    int client = connect_client();
    rv_addr_t peer, own = { .length = sizeof(own.sockaddr) };
    char byte = 0;

    step_until(&opened, 1);
    ck_assert_ptr_eq(last->service, &service);
    ck_assert_ptr_eq(last->conf, &counters);
    ck_assert_ptr_eq(last->all, all);
    ck_assert_int_le(last->opened, rv_loop_now());
    ck_assert_int_eq(getsockname(client, &own.sockaddr.sa, &own.length), 0);
    rv_connection_peer(last, &peer);
    ck_assert(rv_addr_equal(&peer, &own));
    ck_assert_int_eq(write(client, "x", 1), 1);
    ck_assert_int_eq(recv(last->fd, &byte, 1, 0), 1);
    ck_assert_int_eq(recv(last->fd, &byte, 1, 0), -1);
    ck_assert_int_eq(errno, EAGAIN); /* it does not block */

    rv_connection_close(last);
    ck_assert_int_eq(closed, 1);
    assert_sees_the_end(client);
}
END_TEST

START_TEST(states_are_counted)
{
    int client[2] = { connect_client(), connect_client() };
    rv_stats_change_t more = { (unsigned) rv_stats_find(stats, "test", "bytes"), 100 };
    step_until(&opened, 2);
    assert_counts(2, 2, 0, 0);
    rv_connection_set_state(last, RV_CONNECTION_READING, NULL, 0);
    assert_counts(2, 1, 1, 0);
    rv_connection_set_state(last, RV_CONNECTION_WRITING, &more, 1);
    assert_counts(2, 1, 0, 1);
    ck_assert_uint_eq(count("test", "bytes"), 100);
    more.delta = 11;
    rv_connection_set_state(last, RV_CONNECTION_WRITING, &more, 1); /* as it is */
    rv_connection_set_state(last, RV_CONNECTION_WRITING, &more, 0);
    assert_counts(2, 1, 0, 1);
    ck_assert_uint_eq(count("test", "bytes"), 111);
    rv_connection_close(last);
    assert_counts(2, 1, 0, 0);
    rv_connections_destroy(all);
    all = rv_connections_create(loop, stats, LIMIT);
    assert_counts(2, 0, 0, 0);
    ck_assert_int_eq(closed, 2);
    close(client[0]);
    close(client[1]);
}
END_TEST

START_TEST(at_the_limit_clients_wait_and_none_is_lost)
{
    int client[MANY];

    for (int i = 0; i < MANY; i++)
        client[i] = connect_client();
    step_until(&opened, LIMIT);
    step_to_rest();
    ck_assert_int_eq(opened, LIMIT);
    assert_counts(LIMIT, LIMIT, 0, 0);
    int64_t begin = rv_loop_now(); /* and waiting costs nothing */
    ck_assert_int_eq(rv_loop_once(loop, 50), RV_OK);
    ck_assert_int_ge(rv_loop_now() - begin, 45);

    /* as one goes, one more is let in */
    for (int i = LIMIT; i < MANY; i++) {
        rv_connection_close(last);
        step_until(&opened, i + 1);
        step_to_rest();
        assert_counts((unsigned) i + 1, LIMIT, 0, 0);
    }
    for (int i = 0; i < MANY; i++)
        close(client[i]);
}
END_TEST

/* Lets this process have descriptors below n; what the limit was. */
static rlim_t
limit_descriptors(rlim_t n)
{
    struct rlimit limit;

    ck_assert_int_eq(getrlimit(RLIMIT_NOFILE, &limit), 0);
    rlim_t before = limit.rlim_cur;
    limit.rlim_cur = n;
    ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &limit), 0);
    return before;
}

/* Leaves no room for one more. */
static rlim_t
use_up_descriptors(void)
{
    int next = dup(0);

    ck_assert_int_eq(close(next), 0);
    return limit_descriptors((rlim_t) next);
}

START_TEST(without_descriptors_accepting_pauses_and_goes_on)
{
    int client = connect_client();
    rlim_t before = use_up_descriptors();

    ck_assert_int_eq(rv_loop_once(loop, 1000), RV_OK);
    int64_t begin = rv_loop_now();
    int steps = 0;
    for (; rv_loop_now() - begin < 700; steps++)
        ck_assert_int_eq(rv_loop_once(loop, 50), RV_OK);
    ck_assert_int_lt(steps, 100); /* it is not tried over and over */
    ck_assert_int_eq(opened, 0);
    assert_counts(0, 0, 0, 0);

    limit_descriptors(before);
    step_until(&opened, 1);
    assert_counts(1, 1, 0, 0);
    close(client);
}
END_TEST

START_TEST(client_that_goes_ends_the_pause)
{
    int first = connect_client(), second;

    step_until(&opened, 1);
    rv_connection_t *c = last;
    second = connect_client();
    rlim_t before = use_up_descriptors();
    ck_assert_int_eq(rv_loop_once(loop, 1000), RV_OK);
    ck_assert_int_eq(opened, 1);

    rv_connection_close(c); /* whose descriptor the next one gets */
    step_to_rest();
    ck_assert_int_eq(opened, 2);
    limit_descriptors(before);
    close(first);
    close(second);
}
END_TEST

START_TEST(descriptors_are_left_to_others)
{
    enum { LEFT = 10 };
    int client[LIMIT], fds[LEFT];

    for (int i = 0; i < LIMIT; i++)
        client[i] = connect_client();
    rlim_t before = limit_descriptors((rlim_t) client[LIMIT - 1] + 1 + LEFT + 1);
    rv_connections_reserve(all, LEFT);
    step_to_rest();
    ck_assert_int_eq(opened, 1); /* there is room for three */
    for (int i = 0; i < LEFT; i++)
        ck_assert_msg((fds[i] = dup(0)) != -1, "only %d are left", i);
    for (int i = 0; i < LEFT; i++)
        close(fds[i]);

    rv_connection_close(last); /* whose place one more may have */
    step_to_rest();
    ck_assert_int_eq(opened, 2);
    limit_descriptors(before);
    for (int i = 0; i < LIMIT; i++)
        close(client[i]);
}
END_TEST

START_TEST(service_may_close_wherever_it_is_called)
{
    int client = connect_client();

    in_open = rv_connection_close;
    step_until(&closed, 1);
    assert_sees_the_end(client);
    in_open = NULL;
    in_ready = rv_connection_close;
    client = connect_client();
    step_until(&opened, 2);
    ck_assert_int_eq(rv_connection_watch(last, RV_LOOP_READ, NULL), RV_OK);
    ck_assert_int_eq(write(client, "x", 1), 1);
    step_until(&closed, 2);
    close(client);

    in_drain = rv_connection_close;
    int clients[LIMIT];
    for (int i = 0; i < LIMIT; i++)
        clients[i] = connect_client();
    step_until(&opened, 2 + LIMIT);
    rv_connections_drain(all);
    ck_assert_int_eq(closed, 2 + LIMIT);
    ck_assert_int_eq(drained, LIMIT);
    for (int i = 0; i < LIMIT; i++)
        assert_sees_the_end(clients[i]);
    assert_counts(2 + LIMIT, 0, 0, 0);
}
END_TEST

START_TEST(drain_stops_accepting_and_tells_everybody)
{
    int before = open_descriptors(), client[2] = { connect_client(), connect_client() };
    int late = socket(AF_INET, SOCK_STREAM, 0);

    step_until(&opened, 2);
    ck_assert_int_eq(rv_connections_draining(all), 0);
    rv_connections_drain(all);
    ck_assert_int_eq(rv_connections_draining(all), 1);
    ck_assert_int_eq(drained, 2);
    ck_assert_int_eq(closed, 0);
    ck_assert_int_eq(open_descriptors(), before + 4); /* the port is closed, clients are not */
    ck_assert_int_eq(connect(late, &address.sockaddr.sa, address.length), -1);
    ck_assert_int_eq(errno, ECONNREFUSED);

    rv_connection_close(last);
    step_to_rest();
    assert_counts(2, 1, 0, 0);
    close(client[0]);
    close(client[1]);
    close(late);
}
END_TEST

/* At a socket that nobody else has they would wait in vain. */
START_TEST(drain_takes_on_who_waits_already)
{
    int client[2] = { connect_client(), connect_client() };

    rv_connections_drain(all);
    ck_assert_int_eq(opened, 2);
    ck_assert_int_eq(drained, 2);
    assert_counts(2, 2, 0, 0);
    close(client[0]);
    close(client[1]);
}
END_TEST

START_TEST(drain_ends_a_pause_for_good)
{
    int client[MANY];

    for (int i = 0; i < MANY; i++)
        client[i] = connect_client();
    step_until(&opened, LIMIT);
    rv_connections_drain(all);
    rv_connection_close(last);
    step_to_rest();
    ck_assert_int_eq(opened, LIMIT);
    for (int i = 0; i < MANY; i++)
        close(client[i]);
}
END_TEST

static Suite *
connection_suite(void)
{
    Suite *suite = suite_create("connection");
    TCase *tcase = tcase_create("connection");

    tcase_set_timeout(tcase, 120);
    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_add_test(tcase, client_is_handed_to_the_service);
    tcase_add_test(tcase, states_are_counted);
    tcase_add_test(tcase, at_the_limit_clients_wait_and_none_is_lost);
    tcase_add_test(tcase, without_descriptors_accepting_pauses_and_goes_on);
    tcase_add_test(tcase, client_that_goes_ends_the_pause);
    tcase_add_test(tcase, descriptors_are_left_to_others);
    tcase_add_test(tcase, service_may_close_wherever_it_is_called);
    tcase_add_test(tcase, drain_stops_accepting_and_tells_everybody);
    tcase_add_test(tcase, drain_takes_on_who_waits_already);
    tcase_add_test(tcase, drain_ends_a_pause_for_good);
    suite_add_tcase(suite, tcase);
    return suite;
}

int
main(void)
{
    SRunner *runner = srunner_create(connection_suite());

    srunner_run_all(runner, CK_NORMAL);

    int failed = srunner_ntests_failed(runner);

    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
