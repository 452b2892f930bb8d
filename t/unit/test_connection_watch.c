/*
 * rv_connection: one client, what it is watched for, and its timer; objects
 * that are used again.
 */
#include "connection_fixture.h"

/* A client that the service has open: `last`. */
static int
open_one(void)
{
    int client = connect_client();

    step_until(&opened, opened + 1);
    return client;
}

static void
watch(short what, const struct timeval *timeout)
{
    ck_assert_int_eq(rv_connection_watch(last, what, timeout), RV_OK);
}

static void
read_byte(rv_connection_t *c)
{
    char byte;

    if (happened == RV_LOOP_READ)
        ck_assert_int_eq(recv(c->fd, &byte, 1, 0), 1);
}

START_TEST(service_is_called_for_what_it_watches)
{
    int client = open_one();

    step_to_rest();
    ck_assert_int_eq(write(client, "xyz", 3), 3);
    step_to_rest();
    ck_assert_int_eq(readied, 0); /* it did not ask */

    in_ready = read_byte;
    watch(RV_LOOP_READ, NULL);
    step_until(&readied, 3); /* as long as there is something */
    ck_assert_int_eq(happened, RV_LOOP_READ);
    step_to_rest();
    ck_assert_int_eq(readied, 3);

    watch(RV_LOOP_WRITE, NULL);
    step_until(&readied, 4);
    ck_assert_int_eq(happened, RV_LOOP_WRITE);
    watch(RV_LOOP_READ, NULL);
    step_to_rest();
    ck_assert_int_eq(readied, 4);

    close(client);
    in_ready = rv_connection_close;
    step_until(&closed, 1);
    ck_assert_int_eq(happened, RV_LOOP_READ);
}
END_TEST

/* How long until the service is called; it must be for the timer. */
static int64_t
time_until_timeout(void)
{
    int64_t begin = rv_loop_now();

    step_until(&readied, readied + 1);
    ck_assert_int_eq(happened, EV_TIMEOUT);
    return rv_loop_now() - begin;
}

START_TEST(timer_runs_out_and_begins_anew)
{
    const struct timeval *timeout = rv_connections_timeout(all, 100);
    int client = open_one();

    ck_assert_ptr_nonnull(timeout);
    watch(RV_LOOP_READ, timeout);
    ck_assert_int_ge(time_until_timeout(), 50);
    ck_assert_int_ge(time_until_timeout(), 50); /* without a word */

    in_ready = read_byte;
    for (int i = 0; i < 3; i++) {
        int before = readied;

        ck_assert_int_eq(write(client, "x", 1), 1);
        while (readied == before || happened != RV_LOOP_READ)
            ck_assert_int_eq(rv_loop_once(loop, 10), RV_OK);
        ck_assert_int_ge(time_until_timeout(), 50);
    }
    watch(RV_LOOP_WRITE, timeout); /* which never has to wait */
    step_until(&readied, readied + 1);
    ck_assert_int_eq(happened, RV_LOOP_WRITE);
    close(client);
}
END_TEST

START_TEST(timer_may_be_changed_and_taken_away)
{
    const struct timeval *slow = rv_connections_timeout(all, 3600 * 1000);
    const struct timeval *fast = rv_connections_timeout(all, 30);
    const struct timeval plain = { 0, 30 * 1000 };
    int client = open_one();

    watch(RV_LOOP_READ, slow);
    watch(RV_LOOP_READ, fast);
    (void) time_until_timeout();
    watch(RV_LOOP_READ, slow);
    watch(RV_LOOP_READ, &plain);
    (void) time_until_timeout();

    int before = readied;
    watch(RV_LOOP_READ, fast);
    watch(RV_LOOP_READ, NULL);
    for (int i = 0; i < 6; i++)
        ck_assert_int_eq(rv_loop_once(loop, 20), RV_OK);
    ck_assert_int_eq(readied, before);
    watch(RV_LOOP_READ, &plain);
    watch(RV_LOOP_READ, NULL);
    for (int i = 0; i < 6; i++)
        ck_assert_int_eq(rv_loop_once(loop, 20), RV_OK);
    ck_assert_int_eq(readied, before);
    close(client);
}
END_TEST

START_TEST(service_is_called_for_who_is_woken)
{
    int client = open_one();

    for (int i = 0; i < 2; i++) {
        watch(i == 0 ? RV_LOOP_READ : 0, NULL);
        rv_connection_wake(last);
        rv_connection_wake(last);
        ck_assert_int_eq(readied, i); /* not inside, and once */
        step_to_rest();
        ck_assert_int_eq(readied, i + 1);
    }
    ck_assert_int_eq(happened, RV_LOOP_WRITE);
    ck_assert_int_eq(write(client, "x", 1), 1); /* that is not watched for now */
    rv_connection_wake(last);
    rv_connection_close(last);
    step_to_rest();
    ck_assert_int_eq(readied, 2);
    close(client);
}
END_TEST

START_TEST(timer_of_a_closed_client_does_not_go_off)
{
    const struct timeval *timeout = rv_connections_timeout(all, 20);
    int client = open_one();

    watch(RV_LOOP_READ, timeout);
    rv_connection_close(last);
    close(client);
    client = open_one(); /* in the same object */
    for (int i = 0; i < 5; i++)
        ck_assert_int_eq(rv_loop_once(loop, 10), RV_OK);
    ck_assert_int_eq(readied, 0);
    close(client);
}
END_TEST

START_TEST(object_that_is_used_again_is_new)
{
    for (int i = 0; i < 200; i++) {
        int client = open_one(); /* on_open looks at it */

        last->data = &opened;
        last->requests = 7;
        rv_connection_set_state(last, RV_CONNECTION_READING, NULL, 0);
        watch(RV_LOOP_READ, NULL);
        rv_connection_close(last);
        assert_sees_the_end(client);
    }
    assert_counts(200, 0, 0, 0);
    ck_assert_int_eq(readied, 0);
}
END_TEST

START_TEST(several_ports_share_the_limit)
{
    rv_addr_t first = address;
    int client[2 * LIMIT];

    ck_assert_int_eq(rv_connections_listen(all, listen_anywhere(&address), &service, NULL), RV_OK);
    for (int i = 0; i < LIMIT; i++)
        client[i] = connect_client();
    step_until(&opened, LIMIT);
    ck_assert_ptr_null(last->conf);
    address = first;
    for (int i = LIMIT; i < 2 * LIMIT; i++)
        client[i] = connect_client();
    step_to_rest();
    ck_assert_int_eq(opened, LIMIT);
    rv_connection_close(last);
    step_until(&opened, LIMIT + 1);
    ck_assert_ptr_eq(last->conf, &counters);
    for (int i = 0; i < 2 * LIMIT; i++)
        close(client[i]);
}
END_TEST

/* When descriptors run short just as the limit is reached. */
START_TEST(end_of_a_pause_does_not_pass_the_limit)
{
    enum { LEFT = 5 };
    int spare = dup(0), client[LIMIT + 1];
    struct rlimit limit;

    for (int i = 0; i <= LIMIT; i++)
        client[i] = connect_client();
    ck_assert_int_eq(getrlimit(RLIMIT_NOFILE, &limit), 0);
    rlim_t before = limit.rlim_cur;
    limit.rlim_cur = (rlim_t) client[LIMIT] + LIMIT + LEFT + 1;
    ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &limit), 0);
    rv_connections_reserve(all, LEFT);
    step_until(&opened, LIMIT);
    close(spare); /* there is room again */
    for (int64_t begin = rv_loop_now(); rv_loop_now() - begin < 700;)
        ck_assert_int_eq(rv_loop_once(loop, 50), RV_OK);
    ck_assert_int_eq(opened, LIMIT);

    rv_connection_close(last);
    step_until(&opened, LIMIT + 1);
    limit.rlim_cur = before;
    ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &limit), 0);
    for (int i = 0; i <= LIMIT; i++)
        close(client[i]);
}
END_TEST

START_TEST(client_of_a_unix_socket_is_a_local_one)
{
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    rv_addr_t peer;

    /* a name without a file, of the kernel's choice */
    address = (rv_addr_t){ .sockaddr.sa.sa_family = AF_UNIX, .length = sizeof(address.sockaddr) };
    ck_assert_int_eq(bind(fd, &address.sockaddr.sa, sizeof(sa_family_t)), 0);
    ck_assert_int_eq(getsockname(fd, &address.sockaddr.sa, &address.length), 0);
    ck_assert_int_eq(listen(fd, 1), 0);
    ck_assert_int_eq(rv_connections_listen(all, fd, &service, NULL), RV_OK);

    int client = socket(AF_UNIX, SOCK_STREAM, 0);
    ck_assert_int_eq(connect(client, &address.sockaddr.sa, address.length), 0);
    step_until(&opened, 1);
    rv_connection_peer(last, &peer);
    ck_assert_int_eq(peer.sockaddr.sa.sa_family, AF_UNIX);
    close(client);
}
END_TEST

static void
wait_no_time(rv_connection_t *c)
{
    static const struct timeval none = { 0, 0 };

    ck_assert_int_eq(rv_connection_watch(c, RV_LOOP_READ, readied == 1 ? &none : NULL), RV_OK);
}

/* Watched for the same as before, but for the time. */
START_TEST(no_time_at_all_is_over_at_once)
{
    int client = open_one();

    in_ready = wait_no_time;
    watch(RV_LOOP_READ, NULL);
    rv_connection_wake(last);
    while (readied < 2)
        ck_assert_int_eq(rv_loop_once(loop, LIMIT_MSEC), RV_OK);
    ck_assert_int_eq(happened, EV_TIMEOUT);
    close(client);
}
END_TEST

static Suite *
connection_suite(void)
{
    Suite *suite = suite_create("connection_watch");
    TCase *tcase = tcase_create("connection_watch");

    tcase_set_timeout(tcase, 120);
    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_add_test(tcase, service_is_called_for_what_it_watches);
    tcase_add_test(tcase, timer_runs_out_and_begins_anew);
    tcase_add_test(tcase, timer_may_be_changed_and_taken_away);
    tcase_add_test(tcase, service_is_called_for_who_is_woken);
    tcase_add_test(tcase, timer_of_a_closed_client_does_not_go_off);
    tcase_add_test(tcase, object_that_is_used_again_is_new);
    tcase_add_test(tcase, several_ports_share_the_limit);
    tcase_add_test(tcase, end_of_a_pause_does_not_pass_the_limit);
    tcase_add_test(tcase, client_of_a_unix_socket_is_a_local_one);
    tcase_add_test(tcase, no_time_at_all_is_over_at_once);
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
