/*
 * rv_stats_witness: what the kernel has handed over is counted exactly once,
 * wherever the process is killed between accept() and its transaction.
 *
 * Real connections on the loopback: how many the kernel has handed over is
 * how many were made less those that the listener still has.
 */
#include "stats_step.h"

#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>

#define ROWS 2
#define MOST_RUN 300000 /* instructions, in all runs of a test together */

static const rv_stats_def_t all_defs[] = {
    { "first", RV_STATS_COUNTER, "connections accepted at listeners 0 and 2" },
    { "second", RV_STATS_COUNTER, "and at listener 1" },
    { "active", RV_STATS_GAUGE, "open connections" },
    { 0 },
};

enum { FIRST, SECOND, ACTIVE, VALUES };

/* Listener 2 never has a connection. */
enum { LISTENERS = 3, MOST_CLIENTS = 8 };
static const unsigned counted_as[LISTENERS] = { FIRST, SECOND, FIRST };
static const int connections[LISTENERS] = { 1, 2, 0 };

/* The room for the address, as it is said to the kernel. */
static const struct {
    int listener;
    uint32_t room;
} attempts[] = { { 0, 100 }, { 2, 64 }, { 2, 128 }, { 1, 128 }, { 1, 64 }, { 2, 100 } };

static rv_stats_defs_t defs;
static rv_stats_t *st;
static step_t s;
static unsigned row;
static int listeners[LISTENERS];
static struct sockaddr_in addresses[LISTENERS];
static int clients[MOST_CLIENTS], client_count;
static size_t attempt_count;

static void
setup(void)
{
    rv_stats_define(&defs, "m", all_defs);
    size_t size = rv_stats_size(&defs, ROWS);
    void *memory = stats_shared(size);
    st = rv_stats_create(memory, &defs, ROWS);
    ck_assert_ptr_nonnull(st);
    step_init(&s, memory, size);

    for (int i = 0; i < LISTENERS; i++) {
        struct sockaddr_in *a = &addresses[i];
        socklen_t length = sizeof(*a);

        *a = (struct sockaddr_in){ .sin_family = AF_INET };
        a->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        listeners[i] = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
        ck_assert_int_eq(bind(listeners[i], (struct sockaddr *) a, sizeof(*a)), 0);
        ck_assert_int_eq(listen(listeners[i], MOST_CLIENTS), 0);
        ck_assert_int_eq(getsockname(listeners[i], (struct sockaddr *) a, &length), 0);
    }
}

static void
teardown(void)
{
    for (int i = 0; i < LISTENERS; i++)
        close(listeners[i]);
    rv_stats_free(st);
    step_free(&s);
}

/* --- connections -------------------------------------------------------------------------- */

/* How many wait at the listener. */
static int
waiting(int listener)
{
    struct tcp_info info = { 0 };
    socklen_t length = sizeof(info);

    ck_assert_int_eq(getsockopt(listeners[listener], IPPROTO_TCP, TCP_INFO, &info, &length), 0);
    return (int) info.tcpi_unacked;
}

/* Nothing of it stays with the kernel. */
static void
reset(int fd)
{
    const struct linger now = { .l_onoff = 1 };

    (void) setsockopt(fd, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
    close(fd);
}

/* One more, and it waits at the listener, unless somebody is quick. */
static void
connect_one(int listener)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    ck_assert_int_ge(fd, 0);
    ck_assert_int_lt(client_count, MOST_CLIENTS);
    ck_assert_int_eq(
        connect(fd, (struct sockaddr *) &addresses[listener], sizeof(addresses[listener])), 0);
    clients[client_count++] = fd;
}

static void
connect_all(void)
{
    for (int i = 0; i < LISTENERS; i++) {
        for (int n = 0; n < connections[i]; n++)
            connect_one(i);
        while (waiting(i) != connections[i])
            stats_moment();
    }
}

/* Those that nobody has accepted, and the clients'; returns how many of the first. */
static int
disconnect(int listener)
{
    int left = 0;

    for (int fd; (fd = accept(listeners[listener], NULL, NULL)) != -1; left++)
        reset(fd);
    return left;
}

/* How many clients were told of the end of their connection. */
static int
closed(void)
{
    int count = 0;

    for (int i = 0; i < client_count; i++) {
        struct pollfd p = { .fd = clients[i], .events = POLLIN };

        count += poll(&p, 1, 0) == 1;
    }
    return count;
}

static void
disconnect_clients(void)
{
    while (client_count > 0)
        reset(clients[--client_count]);
}

/* --- accepts ------------------------------------------------------------------------------ */

static int
accept_one(int listener, uint32_t room)
{
    const rv_stats_change_t changes[] = { { counted_as[listener], 1 }, { ACTIVE, 1 } };
    struct sockaddr_storage address;
    uint32_t *word = rv_stats_witness(st, counted_as[listener], room);
    int fd = accept(listeners[listener], (struct sockaddr *) &address, word);

    if (fd != -1)
        rv_stats_apply(st, changes, 2);
    return fd;
}

static void
accept_all(void)
{
    for (size_t i = 0; i < attempt_count; i++)
        (void) accept_one(attempts[i].listener, attempts[i].room);
}

/* Before the process begins, somebody else has had its row: */

static void
nobody(void)
{
}

/* one that has only tried to accept, */
static void
tried(void)
{
    unsigned used = stats_own(st);

    ck_assert_int_eq(accept_one(2, 128), -1);
    ck_assert_int_eq(rv_stats_fold(st, used), RV_OK);
}

/* or one that died between the two. */
static void
died(void)
{
    unsigned used = stats_own(st);

    *rv_stats_witness(st, FIRST, 128) = 16;
    ck_assert_int_eq(rv_stats_fold(st, used), RV_OK);
}

static const struct {
    void (*history)(void);
    uint64_t first;
    size_t attempts; /* it matters for the first only */
} histories[] = { { nobody, 0, rv_countof(attempts) }, { tried, 0, 2 }, { died, 1, 2 } };

static void
make_process(int history)
{
    histories[history].history();
    row = stats_own(st);
    ck_assert_uint_eq(row, 0);
    ck_assert_uint_eq(stats_total(st, FIRST), histories[history].first);
    step_save(&s);
    attempt_count = histories[history].attempts;
}

/* Which instructions to be killed after: where the memory has changed or the kernel
 * has handed something over; the others, all or, if there are too many, some of them. */
static int
choose(char *chosen)
{
    char *last = s.image + s.size;
    int was_waiting = 3, steps = 0;

    connect_all();
    pid_t pid = step_start(&s, accept_all);
    memcpy(last, s.memory, s.size);
    for (int running = 1; running;) {
        running = step_once(&s, pid);
        int now_waiting = waiting(0) + waiting(1);
        ck_assert_int_lt(++steps, STEP_MOST);
        chosen[steps] = now_waiting != was_waiting || memcmp(last, s.memory, s.size) != 0;
        was_waiting = now_waiting;
        memcpy(last, s.memory, s.size);
    }
    step_let_go(pid);
    disconnect_clients();
    ck_assert_int_lt(was_waiting, 3);
    (void) disconnect(1);

    long stride = 1 + (long) steps * steps / 2 / MOST_RUN;
    for (long i = 0; i <= steps; i += stride)
        chosen[i] = 1;
    return steps;
}

static void
assert_counted(uint64_t first, uint64_t second, int steps)
{
    uint64_t values[VALUES];

    rv_stats_snapshot(st, values, VALUES);
    ck_assert_msg(values[FIRST] == first && values[SECOND] == second,
        "killed after %d: %d and %d, not %d and %d", steps, (int) values[FIRST],
        (int) values[SECOND], (int) first, (int) second);
    ck_assert_uint_eq(values[ACTIVE], 0);
}

START_TEST(connection_is_counted_once_wherever_its_process_is_killed)
{
    char *chosen = calloc(STEP_MOST, 1);

    (void) disconnect(0); /* so that accept() is bound before the steps are counted */
    make_process(_i);
    int steps = choose(chosen), seen[2] = { 0 };

    for (int at = 0; at <= steps; at++) {
        if (!chosen[at])
            continue;
        step_restore(&s);
        connect_all();
        step_kill_after(&s, accept_all, at, NULL);
        ck_assert_int_eq(rv_stats_fold(st, row), RV_OK);

        int handed[] = { connections[0] - disconnect(0), connections[1] - disconnect(1) };
        assert_counted(histories[_i].first + (uint64_t) handed[0], (uint64_t) handed[1], at);
        ck_assert_int_eq(rv_stats_fold(st, row), RV_OK);
        assert_counted(histories[_i].first + (uint64_t) handed[0], (uint64_t) handed[1], at);
        disconnect_clients();
        seen[handed[0]]++;
    }
    ck_assert_int_ge(seen[0], 10);
    ck_assert_int_ge(seen[1], 10);
    free(chosen);
}
END_TEST

/* --- without steps ------------------------------------------------------------------------ */

START_TEST(accept_that_finds_nothing_counts_nothing)
{
    row = stats_own(st);
    for (int i = 0; i < 100; i++) {
        ck_assert_int_eq(accept_one(2, i % 2 ? 128 : 64), -1);
        ck_assert_int_eq(errno, EAGAIN);
        ck_assert_uint_eq(stats_total(st, FIRST), 0);
    }
    ck_assert_int_eq(rv_stats_fold(st, row), RV_OK);
    ck_assert_uint_eq(stats_total(st, FIRST), 0);
    ck_assert_uint_eq(stats_total(st, SECOND), 0);
}
END_TEST

/* The kernel has changed the word, and only the fold shows it. */
START_TEST(what_was_handed_over_and_not_counted_is_counted_by_the_fold)
{
    row = stats_own(st);
    stats_add(st, SECOND, 5);
    *rv_stats_witness(st, SECOND, 128) = 16;
    ck_assert_uint_eq(stats_total(st, SECOND), 5);
    ck_assert_int_eq(rv_stats_fold(st, row), RV_OK);
    ck_assert_uint_eq(stats_total(st, SECOND), 6);
    ck_assert_uint_eq(stats_total(st, FIRST), 0);

    row = stats_own(st);
    *rv_stats_witness(st, SECOND, 128) = 16;
    stats_add(st, SECOND, 1);
    ck_assert_int_eq(rv_stats_fold(st, row), RV_OK);
    ck_assert_uint_eq(stats_total(st, SECOND), 7);
}
END_TEST

START_TEST(word_of_a_process_without_a_row_is_as_good)
{
    connect_one(0);
    while (waiting(0) != 1)
        stats_moment();
    struct sockaddr_storage address;
    uint32_t *word = rv_stats_witness(st, FIRST, sizeof(address));
    int fd = accept(listeners[0], (struct sockaddr *) &address, word);
    ck_assert_int_ge(fd, 0);
    ck_assert_uint_eq(*word, sizeof(struct sockaddr_in));
    ck_assert_int_eq(address.ss_family, AF_INET);
    reset(fd);
    disconnect_clients();
    ck_assert_uint_eq(stats_total(st, FIRST), 0);
}
END_TEST

static void
accept_for_ever(void)
{
    for (;;) {
        int fd = accept_one(0, 128);
        if (fd != -1)
            close(fd);
    }
}

/* Wherever that is: the kernel's part of accept() too. */
START_TEST(connections_are_what_is_counted_while_processes_are_killed_at_random)
{
    enum { ROUNDS = 300 };
    uint64_t handed = 0;
    cpu_set_t all;

    memset(&all, 0xff, sizeof(all));
    (void) sched_setaffinity(0, sizeof(all), &all);

    for (int round = 0; round < ROUNDS; round++) {
        row = stats_own(st);
        pid_t pid = stats_spawn(accept_for_ever);

        for (int i = 0; i < 3; i++)
            connect_one(0);
        for (int want = round % 4; want < 3 && waiting(0) > want;)
            continue;
        stats_kill(pid);
        ck_assert_int_eq(rv_stats_fold(st, row), RV_OK);
        while (waiting(0) + closed() != 3)
            stats_moment(); /* the kernel is not done with one */
        handed += (uint64_t) (3 - disconnect(0));
        ck_assert_uint_eq(stats_total(st, FIRST), handed);
        disconnect_clients();
    }
    ck_assert_uint_gt(handed, ROUNDS / 4);
}
END_TEST

static Suite *
stats_witness_suite(void)
{
    Suite *suite = suite_create("stats_witness");
    TCase *tcase = tcase_create("stats_witness");

    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_set_timeout(tcase, 120);
    tcase_add_loop_test(tcase, connection_is_counted_once_wherever_its_process_is_killed, 0,
        (int) rv_countof(histories));
    tcase_add_test(tcase, accept_that_finds_nothing_counts_nothing);
    tcase_add_test(tcase, what_was_handed_over_and_not_counted_is_counted_by_the_fold);
    tcase_add_test(tcase, word_of_a_process_without_a_row_is_as_good);
    tcase_add_test(tcase, connections_are_what_is_counted_while_processes_are_killed_at_random);

    suite_add_tcase(suite, tcase);
    return suite;
}

int
main(int argc, char **argv)
{
    (void) argc;
    step_bind_now(argv);
    return stats_run(stats_witness_suite());
}
