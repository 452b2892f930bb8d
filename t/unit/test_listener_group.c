/*
 * rv_listener_group, rv_listener_scale: which sockets of an address get
 * clients, and what becomes of those that get no more.
 *
 * Where a client went is seen in the queues, since nobody accepts here but the
 * tests. In each test once over IPv4 and once over IPv6.
 */
#include "rv_listener_group.h"

#include "rv_listener_scale.h"

#include <check.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { WORKERS = 8, CLIENTS = 64 };

static const char *const hosts[] = { "127.0.0.1", "[::1]" };

static char error[RV_LISTENER_ERROR];
static rv_addr_t addr;
static int clients[CLIENTS];

/* Whether this machine has the address. */
static int
has_address(const char *host)
{
    char word[64], *words[] = { word };
    rv_listener_t ls;

    snprintf(word, sizeof(word), "%s:1", host);
    ck_assert_int_eq(rv_listener_parse(&ls, words, 1, error), RV_OK);
    int fd = socket(ls.addr.sockaddr.sa.sa_family, SOCK_STREAM, 0);
    addr = ls.addr;
    addr.sockaddr.in.sin_port = 0; /* that of IPv6 is in the same place */
    int has = fd != -1 && bind(fd, &addr.sockaddr.sa, addr.length) == 0;
    if (fd != -1)
        close(fd);
    return has;
}

/* What follows `old` for so many workers; it listens, and is not committed. */
static rv_listener_t
next(const rv_listener_t *old, int reuseport, unsigned workers)
{
    rv_listener_t ls = { .backlog = 2 * CLIENTS, .ipv6only = 1, .reuseport = reuseport };
    socklen_t length = sizeof(addr.sockaddr);

    ls.addr = addr;
    ck_assert_msg(rv_listener_open(&ls, workers, old, error) == RV_OK, "%s", error);
    if (old == NULL) { /* the first one chooses the port */
        ck_assert_int_eq(rv_listener_listen_at(&ls, 0, error), RV_OK);
        ck_assert_int_eq(getsockname(ls.fds[0], &addr.sockaddr.sa, &length), 0);
        ls.addr = addr;
        ls.kept = 1;
    }
    ck_assert_msg(rv_listener_listen(&ls, error) == RV_OK, "%s", error);
    return ls;
}

static rv_listener_t
commit(rv_listener_t ls, rv_listener_t *old)
{
    ck_assert_msg(rv_listener_commit(&ls, old, error) == RV_OK, "%s", error);
    if (old != NULL)
        rv_listener_close(old, 1);
    return ls;
}

/* A listener of so many sockets, which has grown from one. */
static rv_listener_t
grown(unsigned workers)
{
    rv_listener_t one = commit(next(NULL, 1, 1), NULL);

    return commit(next(&one, 1, workers), &one);
}

static void
connect_all(void)
{
    for (int i = 0; i < CLIENTS; i++) {
        clients[i] = socket(addr.sockaddr.sa.sa_family, SOCK_STREAM, 0);
        ck_assert_int_ne(clients[i], -1);
        ck_assert_msg(
            connect(clients[i], &addr.sockaddr.sa, addr.length) == 0, "%s", strerror(errno));
    }
}

/* How many clients wait at the sockets from one place to before another. */
static int
waiting(const rv_listener_t *ls, unsigned from, unsigned to)
{
    int sum = 0;

    for (unsigned i = from; i < to; i++)
        sum += rv_listener_group_waiting(ls->fds[i]);
    return sum;
}

static void
accept_all(const rv_listener_t *ls)
{
    for (unsigned i = 0; i < ls->count; i++) {
        for (int fd; (fd = accept(ls->fds[i], NULL, NULL)) != -1; close(fd))
            continue;
    }
    for (int i = 0; i < CLIENTS; i++)
        close(clients[i]);
}

/* The clients that come now go to the first `active` sockets, and to each of these some. */
static void
expect_clients_at(const rv_listener_t *ls, unsigned active)
{
    connect_all();
    ck_assert_int_eq(waiting(ls, active, ls->count), 0);
    ck_assert_int_eq(waiting(ls, 0, active), CLIENTS);
    for (unsigned i = 0; i < active; i++)
        ck_assert_int_gt(waiting(ls, i, i + 1), 0);
    accept_all(ls);
}

static void
retire(rv_listener_t *ls, unsigned left)
{
    const struct timespec pause = { 0, 20 * 1000 * 1000 };

    while (ls->count > left) {
        rv_listener_scale_retire(ls);
        nanosleep(&pause, NULL);
    }
}

/* In each test: RV_OK where this machine can do it. */
#define ON(host)            \
    if (!has_address(host)) \
    return

/* --- generations ---------------------------------------------------------------------- */

START_TEST(clients_go_to_as_many_sockets_as_there_are_workers)
{
    static const unsigned counts[] = { WORKERS, 1, 5, 2, WORKERS };

    ON(hosts[_i]);
    rv_listener_t ls = grown(3);
    for (size_t i = 0; i < rv_countof(counts); i++) {
        ls = commit(next(&ls, 1, counts[i]), &ls);
        expect_clients_at(&ls, counts[i]);
    }
    ck_assert_int_eq(ls.limited, 0);
    rv_listener_close(&ls, 1);
}
END_TEST

START_TEST(what_listens_before_the_commit_gets_no_client)
{
    ON(hosts[_i]);
    rv_listener_t two = grown(2), eight = next(&two, 1, WORKERS);

    expect_clients_at(&eight, 2);
    eight = commit(eight, &two);
    expect_clients_at(&eight, WORKERS);
    rv_listener_close(&eight, 1);
}
END_TEST

START_TEST(group_is_as_it_was_when_there_is_no_commit)
{
    ON(hosts[_i]);
    rv_listener_t four = grown(4);
    for (unsigned workers = 1; workers <= WORKERS; workers++) {
        rv_listener_t ls = next(&four, 1, workers);

        rv_listener_close(&ls, 1);
        expect_clients_at(&four, 4);
    }

    /* also where some of it gets no clients any more */
    rv_listener_t two = commit(next(&four, 1, 2), &four);
    rv_listener_t ls = next(&two, 1, WORKERS);
    rv_listener_close(&ls, 1);
    expect_clients_at(&two, 2);
    rv_listener_close(&two, 1);
}
END_TEST

START_TEST(reuseport_off_leaves_the_first_socket_to_all_workers)
{
    ON(hosts[_i]);
    rv_listener_t four = grown(4), one = commit(next(&four, 0, 4), &four);

    expect_clients_at(&one, 1);
    retire(&one, 1);
    rv_listener_t again = commit(next(&one, 1, 3), &one);
    expect_clients_at(&again, 3);
    rv_listener_close(&again, 1);
}
END_TEST

/* --- sockets that are given up ------------------------------------------------------------ */

START_TEST(socket_is_closed_when_nobody_waits_there)
{
    ON(hosts[_i]);
    rv_listener_t eight = grown(WORKERS);
    connect_all();
    rv_listener_t one = commit(next(&eight, 1, 1), &eight);

    /* the last one that has clients keeps all before it */
    unsigned last = WORKERS - 1;
    while (waiting(&one, last, last + 1) == 0)
        last--;
    retire(&one, last + 1);
    rv_listener_scale_retire(&one);
    ck_assert_uint_eq(one.count, last + 1);
    ck_assert_int_eq(waiting(&one, 0, one.count), CLIENTS);

    accept_all(&one);
    retire(&one, 1);
    ck_assert_int_eq(one.limited, 0);
    expect_clients_at(&one, 1);
    rv_listener_close(&one, 1);
}
END_TEST

/* Such as that of an old worker that stands still. */
START_TEST(duplicate_that_is_left_over_takes_no_client)
{
    ON(hosts[_i]);
    rv_listener_t four = grown(4);
    int left = dup(four.fds[2]);
    rv_listener_t one = commit(next(&four, 1, 1), &four);

    retire(&one, 1);
    ck_assert_int_eq(accept(left, NULL, NULL), -1);
    ck_assert_int_eq(errno, EINVAL);
    one = commit(next(&one, 1, 4), &one);
    expect_clients_at(&one, 4);
    close(left);
    rv_listener_close(&one, 1);
}
END_TEST

/* --- one more, one fewer ------------------------------------------------------------------ */

static void
add(rv_listener_t *ls)
{
    unsigned before = ls->active;

    ck_assert_msg(rv_listener_scale_open(ls, error) == RV_OK, "%s", error);
    expect_clients_at(ls, before);
    ck_assert_msg(rv_listener_scale_listen(ls, error) == RV_OK, "%s", error);
    expect_clients_at(ls, before);
    rv_listener_scale_commit(ls);
    expect_clients_at(ls, before + 1);
}

START_TEST(one_more_and_one_fewer)
{
    ON(hosts[_i]);
    rv_listener_t ls = grown(2);

    add(&ls);
    add(&ls);
    ck_assert_uint_eq(ls.count, 4);
    ck_assert_int_eq(rv_listener_scale_down(&ls), ls.fds[3]);
    ck_assert_int_eq(rv_listener_scale_down(&ls), ls.fds[2]);
    expect_clients_at(&ls, 2);
    add(&ls); /* the one that is still there */
    ck_assert_uint_eq(ls.count, 4);
    retire(&ls, 3);
    expect_clients_at(&ls, 3);
    rv_listener_close(&ls, 1);
}
END_TEST

START_TEST(one_more_is_undone)
{
    ON(hosts[_i]);
    rv_listener_t ls = grown(2);

    ck_assert_int_eq(rv_listener_scale_open(&ls, error), RV_OK);
    ck_assert_int_eq(rv_listener_scale_undo(&ls), -1);
    ck_assert_uint_eq(ls.count, 2);
    expect_clients_at(&ls, 2);

    ck_assert_int_eq(rv_listener_scale_open(&ls, error), RV_OK);
    ck_assert_int_eq(rv_listener_scale_listen(&ls, error), RV_OK);
    ck_assert_int_eq(rv_listener_scale_undo(&ls), ls.fds[2]);
    expect_clients_at(&ls, 2);
    retire(&ls, 2);
    expect_clients_at(&ls, 2);
    rv_listener_close(&ls, 1);
}
END_TEST

START_TEST(one_socket_for_all_stays_one)
{
    ON(hosts[_i]);
    rv_listener_t ls = commit(next(NULL, 0, 2), NULL);

    ck_assert_int_eq(rv_listener_scale_open(&ls, error), RV_OK);
    ck_assert_int_eq(rv_listener_scale_listen(&ls, error), RV_OK);
    rv_listener_scale_commit(&ls);
    ck_assert_int_eq(rv_listener_scale_down(&ls), -1);
    ck_assert_int_eq(rv_listener_scale_undo(&ls), -1);
    rv_listener_scale_retire(&ls);
    ck_assert_uint_eq(ls.count, 1);
    expect_clients_at(&ls, 1);
    rv_listener_close(&ls, 1);
}
END_TEST

#if RV_HAVE_REUSEPORT_CBPF

/* Whether this kernel, and not only this build, has such programs. */
static int
can_choose(void)
{
    int fd = socket(AF_INET, SOCK_STREAM, 0), on = 1;
    int can = setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof(on)) == 0
        && rv_listener_group_limit(fd, 1) == RV_OK;

    close(fd);
    return can;
}

#else

static int
can_choose(void)
{
    return 0;
}

#endif

static Suite *
group_suite(void)
{
    Suite *suite = suite_create("listener_group");
    TCase *tcase = tcase_create("listener_group");
    const int n = (int) rv_countof(hosts);

    tcase_set_timeout(tcase, 120);
    tcase_add_loop_test(tcase, one_socket_for_all_stays_one, 0, n);
    if (can_choose()) {
        tcase_add_loop_test(tcase, clients_go_to_as_many_sockets_as_there_are_workers, 0, n);
        tcase_add_loop_test(tcase, what_listens_before_the_commit_gets_no_client, 0, n);
        tcase_add_loop_test(tcase, group_is_as_it_was_when_there_is_no_commit, 0, n);
        tcase_add_loop_test(tcase, reuseport_off_leaves_the_first_socket_to_all_workers, 0, n);
        tcase_add_loop_test(tcase, socket_is_closed_when_nobody_waits_there, 0, n);
        tcase_add_loop_test(tcase, duplicate_that_is_left_over_takes_no_client, 0, n);
        tcase_add_loop_test(tcase, one_more_and_one_fewer, 0, n);
        tcase_add_loop_test(tcase, one_more_is_undone, 0, n);
    }
    suite_add_tcase(suite, tcase);
    return suite;
}

int
main(void)
{
    SRunner *runner = srunner_create(group_suite());

    srunner_run_all(runner, CK_NORMAL);

    int failed = srunner_ntests_failed(runner);

    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
