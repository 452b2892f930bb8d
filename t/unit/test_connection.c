/*
 * rv_connection: clients come, are counted, and go; limits and draining.
 */
#include "connection_fixture.h"

enum { MANY = 16 };

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
    int before = descriptors_open(), client[2] = { connect_client(), connect_client() };
    int late = socket(AF_INET, SOCK_STREAM, 0);

    step_until(&opened, 2);
    ck_assert_int_eq(rv_connections_draining(all), 0);
    rv_connections_drain(all);
    ck_assert_int_eq(rv_connections_draining(all), 1);
    ck_assert_int_eq(drained, 2);
    ck_assert_int_eq(closed, 0);
    ck_assert_int_eq(descriptors_open(), before + 4); /* the port is closed, clients are not */
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
