/*
 * rv_acceptor: when accepting pauses, what is said and counted of it, and how
 * the kernel is asked to wake one process of several.
 *
 * The owner is the test, which takes clients on as long as it says that there
 * is room. Time goes on as it does, and by `ahead` when the test says so.
 */
#include "rv_acceptor.h"

#include "rv_connection.h"
#include "rv_exclusive.h"
#include "rv_fd.h"
#include "rv_log.h"
#include "rv_stats_fold.h"

#include <arpa/inet.h>
#include <check.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

enum { ROOM = 64, CALM_MSEC = 10 * 1000 };

static rv_loop_t *loop;
static rv_stats_t *stats;
static rv_acceptors_t *acceptors;
static rv_addr_t address;
static int listening;
static int64_t ahead; /* seconds */

/* In place of the C library's, for the whole program. */
int
clock_gettime(clockid_t clock, struct timespec *now)
{
    int result = (int) syscall(SYS_clock_gettime, clock, now);

    now->tv_sec += (time_t) ahead;
    return result;
}

/* --- the owner ---------------------------------------------------------------------- */

static int taken, lacking; /* lacking: errno of what it has none of */
static int clients[ROOM];

static int
prepare(void *data)
{
    ck_assert_ptr_eq(data, &taken);
    errno = lacking;
    return lacking == 0 ? RV_OK : RV_ERROR;
}

static void
take(void *data, const rv_acceptor_client_t *client)
{
    ck_assert_ptr_eq(data, &taken);
    ck_assert_ptr_eq(client->service, &listening);
    ck_assert_ptr_eq(client->conf, &address);
    ck_assert_int_lt(taken, ROOM);
    clients[taken++] = client->fd;
}

static void
start(const char *method)
{
    const rv_acceptor_owner_t owner = { prepare, take, &taken };

    loop = rv_loop_create(method);
    ck_assert_ptr_nonnull(loop);
    acceptors = rv_acceptors_create(loop, stats, &owner);
    ck_assert_ptr_nonnull(acceptors);

    address = (rv_addr_t){ .length = sizeof(struct sockaddr_in) };
    address.sockaddr.in.sin_family = AF_INET;
    address.sockaddr.in.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    listening = rv_fd_socket(AF_INET, SOCK_STREAM);
    ck_assert_int_eq(bind(listening, &address.sockaddr.sa, address.length), 0);
    ck_assert_int_eq(listen(listening, ROOM), 0);
    ck_assert_int_eq(getsockname(listening, &address.sockaddr.sa, &address.length), 0);
    ck_assert_int_eq(rv_acceptors_listen(acceptors, listening, &listening, &address), RV_OK);
}

static void
setup(void)
{
    static rv_stats_defs_t defs;

    rv_log_terminal(RV_LOG_NONE);
    ck_assert_int_eq(rv_stats_define(&defs, "connections", rv_connection_stats), RV_OK);
    size_t size = rv_stats_size(&defs, 1);
    void *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    stats = rv_stats_create(memory, &defs, 1);
    ck_assert_int_eq(rv_stats_claim(stats), 0);
    ck_assert_int_eq(rv_stats_own(stats, 0), RV_OK);
    start(NULL);
}

static void
stop(void)
{
    rv_acceptors_destroy(acceptors);
    rv_loop_destroy(loop);
    while (taken > 0)
        close(clients[--taken]);
}

static void
connect_client(void)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    ck_assert_int_eq(connect(fd, &address.sockaddr.sa, address.length), 0);
    close(fd); /* it is in the queue all the same */
}

static void
step_to_rest(void)
{
    for (int i = 0; i < 20; i++)
        ck_assert_int_eq(rv_loop_once(loop, 0), RV_OK);
}

static uint64_t
count_pauses(const char *name)
{
    uint64_t values[RV_STATS_CELLS];

    rv_stats_snapshot(stats, values, rv_stats_plain(stats));
    return values[rv_stats_find(stats, "connections", name)];
}

static void
assert_pauses(unsigned limit, unsigned descriptors)
{
    ck_assert_uint_eq(count_pauses("pauses{reason=\"limit\"}"), limit);
    ck_assert_uint_eq(count_pauses("pauses{reason=\"descriptors\"}"), descriptors);
}

/* --- pauses --------------------------------------------------------------------------- */

START_TEST(pause_is_news_after_ten_calm_seconds)
{
    const rv_acceptor_reason_t reason = _i == 0 ? RV_ACCEPTOR_LIMIT : RV_ACCEPTOR_DESCRIPTORS;
    const rv_acceptor_reason_t other = _i == 0 ? RV_ACCEPTOR_DESCRIPTORS : RV_ACCEPTOR_LIMIT;

    ck_assert_int_eq(rv_acceptors_pause(acceptors, reason), 1);
    ck_assert_int_eq(rv_acceptors_pause(acceptors, reason), 0); /* it is one already */
    for (int i = 0; i < 10; i++) { /* without an end, and without a calm time */
        ahead += 3600;
        rv_acceptors_resume(acceptors);
        ahead += CALM_MSEC / 1000 - 5;
        ck_assert_int_eq(rv_acceptors_pause(acceptors, reason), 0);
    }
    rv_acceptors_resume(acceptors);
    ahead += CALM_MSEC / 1000;
    ck_assert_int_eq(rv_acceptors_pause(acceptors, reason), 1);
    ck_assert_int_eq(rv_acceptors_pause(acceptors, other), 1); /* which is another matter */
    assert_pauses(_i == 0 ? 12 : 1, _i == 0 ? 1 : 12);
    stop();
}
END_TEST

START_TEST(clients_wait_until_no_reason_is_left)
{
    ck_assert_int_eq(rv_acceptors_pause(acceptors, RV_ACCEPTOR_LIMIT), 1);
    ck_assert_int_eq(rv_acceptors_pause(acceptors, RV_ACCEPTOR_DESCRIPTORS), 1);
    connect_client();
    step_to_rest();
    ahead += 1; /* descriptors are looked for, and found */
    step_to_rest();
    ck_assert_int_eq(taken, 0);
    rv_acceptors_resume(acceptors);
    step_to_rest();
    ck_assert_int_eq(taken, 1);
    assert_pauses(1, 1);
    stop();
}
END_TEST

START_TEST(client_for_whom_there_is_no_memory_waits)
{
    lacking = ENOMEM;
    connect_client();
    step_to_rest();
    ck_assert_int_eq(taken, 0);
    assert_pauses(0, 1);
    ahead += 1; /* in vain */
    step_to_rest();
    ck_assert_int_eq(taken, 0);
    assert_pauses(0, 2);

    lacking = 0;
    ahead += 1;
    step_to_rest();
    ck_assert_int_eq(taken, 1);
    assert_pauses(0, 2);
    stop();
}
END_TEST

START_TEST(socket_that_comes_in_a_pause_pauses_too)
{
    rv_acceptors_pause(acceptors, RV_ACCEPTOR_LIMIT);
    int second = rv_fd_dup(listening);
    ck_assert_int_eq(rv_acceptors_listen(acceptors, second, &listening, &address), RV_OK);
    connect_client();
    step_to_rest();
    ck_assert_int_eq(taken, 0);
    rv_acceptors_resume(acceptors);
    step_to_rest();
    ck_assert_int_eq(taken, 1);
    stop();
}
END_TEST

START_TEST(after_a_drain_nothing_is_left_to_do)
{
    for (int i = 0; i < 5; i++)
        connect_client();
    rv_acceptors_drain(acceptors);
    ck_assert_int_eq(taken, 5);
    rv_acceptors_pause(acceptors, RV_ACCEPTOR_LIMIT);
    rv_acceptors_resume(acceptors);
    ck_assert_int_eq(event_base_get_num_events(rv_loop_base(loop), EVENT_BASE_COUNT_ADDED), 0);
    stop();
}
END_TEST

/* --- waking one ------------------------------------------------------------------------ */

/* The events that the kernel watches the socket for, as /proc says; 0: it does not. */
static unsigned
watched_for(void)
{
    char name[64], line[256];
    unsigned events = 0, found;
    int fd;

    for (int set = 0; set < ROOM; set++) {
        snprintf(name, sizeof(name), "/proc/self/fdinfo/%d", set);
        FILE *file = fopen(name, "r");
        while (file != NULL && fgets(line, sizeof(line), file) != NULL) {
            if (sscanf(line, "tfd: %d events: %x", &fd, &found) == 2 && fd == listening)
                events = found;
        }
        if (file != NULL)
            fclose(file);
    }
    return events;
}

static void
assert_exclusive(void)
{
    const unsigned exclusive = 1u << 28;

    ck_assert_uint_eq(watched_for() & exclusive, exclusive);
}

START_TEST(socket_is_watched_exclusively_whenever_it_is_watched)
{
    assert_exclusive();
    rv_acceptors_pause(acceptors, RV_ACCEPTOR_LIMIT);
    ck_assert_uint_eq(watched_for(), 0);
    rv_acceptors_resume(acceptors);
    assert_exclusive();
    connect_client(); /* after which it is last in the queue */
    step_to_rest();
    ck_assert_int_eq(taken, 1);
    assert_exclusive();
    ahead += 1; /* the round */
    step_to_rest();
    assert_exclusive();
    stop();
}
END_TEST

static void
on_byte(int fd, short what, void *data)
{
    char byte;

    ck_assert_int_eq(what, RV_LOOP_READ);
    ck_assert_int_eq(read(fd, &byte, 1), 1);
    ++*(int *) data;
}

START_TEST(what_comes_before_the_queue_is_entered_anew_is_not_missed)
{
    int fds[2], came = 0, set = RV_EXCLUSIVE_UNKNOWN;

    ck_assert_int_eq(rv_fd_pipe(fds), RV_OK);
    rv_loop_watch_t *watch = rv_loop_watch(loop, fds[0], RV_LOOP_READ, on_byte, &came);
    ck_assert_ptr_nonnull(watch);
    for (int i = 1; i <= 3; i++) {
        ck_assert_int_eq(write(fds[1], "x", 1), 1);
        ck_assert_int_eq(rv_exclusive_queue(loop, &set, fds[0]), RV_OK);
        step_to_rest();
        ck_assert_int_eq(came, i);
    }
    rv_loop_unwatch(watch); /* as if nothing had been done to it */
    ck_assert_int_eq(rv_exclusive_queue(loop, &set, fds[0]), RV_ERROR);
    close(fds[0]);
    close(fds[1]);
    stop();
}
END_TEST

START_TEST(other_methods_watch_as_they_do)
{
    static const char *const methods[] = { "poll", "select" };
    int set = RV_EXCLUSIVE_UNKNOWN;

    stop();
    start(methods[_i]);
    ck_assert_int_eq(rv_exclusive_queue(loop, &set, listening), RV_ERROR);
    for (int i = 1; i <= 3; i++) {
        connect_client();
        step_to_rest();
        ck_assert_int_eq(taken, i);
        rv_acceptors_pause(acceptors, RV_ACCEPTOR_LIMIT);
        rv_acceptors_resume(acceptors);
    }
    stop();
}
END_TEST

static Suite *
acceptor_suite(void)
{
    Suite *suite = suite_create("acceptor");
    TCase *tcase = tcase_create("acceptor");

    tcase_set_timeout(tcase, 120);
    tcase_add_checked_fixture(tcase, setup, NULL);
    tcase_add_loop_test(tcase, pause_is_news_after_ten_calm_seconds, 0, 2);
    tcase_add_test(tcase, clients_wait_until_no_reason_is_left);
    tcase_add_test(tcase, client_for_whom_there_is_no_memory_waits);
    tcase_add_test(tcase, socket_that_comes_in_a_pause_pauses_too);
    tcase_add_test(tcase, after_a_drain_nothing_is_left_to_do);
    if (RV_HAVE_EPOLLEXCLUSIVE) {
        tcase_add_test(tcase, socket_is_watched_exclusively_whenever_it_is_watched);
        tcase_add_test(tcase, what_comes_before_the_queue_is_entered_anew_is_not_missed);
    }
    tcase_add_loop_test(tcase, other_methods_watch_as_they_do, 0, 2);
    suite_add_tcase(suite, tcase);
    return suite;
}

int
main(void)
{
    SRunner *runner = srunner_create(acceptor_suite());

    srunner_run_all(runner, CK_NORMAL);

    int failed = srunner_ntests_failed(runner);

    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
