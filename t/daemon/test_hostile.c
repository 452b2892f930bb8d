/*
 * test_hostile: a worker that was taken over does what it can against the master.
 *
 * The deeds are those of module_hostile.c, which the program of these tests has.
 * Whatever a worker does, the master goes on: it reloads, replaces
 * workers, stops, and holds no descriptor that it did not hold before.
 */
#include "daemon.h"

#include "rv_base.h"

#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static daemon_t d;
static int descriptors; /* of the master, before the deed */

static void
setup(void)
{
    char program[256];

    snprintf(program, sizeof(program), "%s/t/reeve", getenv("RV_BUILD"));
    setenv("RV_BINARY", program, 1);
    daemon_setup(&d);
}

static void
teardown(void)
{
    daemon_teardown(&d);
}

static void
start(int workers)
{
    daemon_conff(&d,
        "[main]\nworker_processes = %d\nerror_log = logs/error.log notice\n"
        "worker_shutdown_timeout = 100ms\n%s"
        "[location /do/]\nhandler = hostile\n",
        workers, DAEMON_HTTP);
    daemon_start(&d);
    descriptors = daemon_fd_count(d.master);
}

/* Asks for a deed that has no answer; the connection stays open. */
static int
begin(const char *deed, int receive_room)
{
    struct sockaddr_in in = { .sin_family = AF_INET, .sin_port = htons((uint16_t) d.port) };
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    char request[128];

    in.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    ck_assert_int_ne(fd, -1);
    if (receive_room > 0)
        setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &receive_room, sizeof(receive_room));
    ck_assert_int_eq(connect(fd, (struct sockaddr *) &in, sizeof(in)), 0);
    int n = snprintf(request, sizeof(request), "GET /do/%s HTTP/1.1\r\nHost: h\r\n\r\n", deed);
    daemon_send(fd, request, (size_t) n);
    return fd;
}

/* Asks for a deed that has one, and returns who did it. */
static pid_t
commit(const char *deed)
{
    char path[64], text[256], outcome[16];
    long pid;

    snprintf(path, sizeof(path), "/do/%s", deed);
    ck_assert_int_eq(daemon_get(&d, path, text, sizeof(text)), 200);
    ck_assert_int_eq(sscanf(text, "%ld %15s", &pid, outcome), 2);
    ck_assert_msg(strcmp(outcome, "passed") == 0, "%s: %s", deed, text);
    return (pid_t) pid;
}

/* The master does all that is asked of it, and has what it had. */
static void
expect_sound_master(int workers)
{
    char text[256];

    daemon_settle(&d);
    daemon_wait_workers(&d, workers);
    daemon_wait_fd_count(&d, d.master, descriptors);
    daemon_reload(&d);
    daemon_wait_workers(&d, workers);
    daemon_wait_fd_count(&d, d.master, descriptors);
    ck_assert_int_eq(daemon_get(&d, "/hello", text, sizeof(text)), 200);
    if (RV_HAVE_MEMFD) /* else nobody can look into it from outside */
        ck_assert_int_eq(daemon_run(&d, "status", NULL), 0);
}

/* In kilobytes. */
static long
memory(void)
{
    char text[64];

    return atol(daemon_proc_status(d.master, "VmRSS", text, sizeof(text)));
}

/* --- refused, and no more than that ------------------------------------------------------ */

static const char *const nuisances[] = { "garbage", "foreign", "ready", "descriptors" };

START_TEST(what_is_no_message_of_a_worker_is_refused)
{
    start(2);
    pid_t worker = commit(nuisances[_i]);
    daemon_wait_log(&d, "refused", 1);
    daemon_wait_fd_count(&d, d.master, descriptors);
    ck_assert(daemon_alive(worker));
    expect_sound_master(2);
    ck_assert_int_eq(daemon_log_count(&d, "refused"), 1); /* of many, one is logged */
    ck_assert_int_eq(daemon_log_count(&d, "was killed"), 0);
}
END_TEST

/* One worker makes the master's end of the other's channel wait, and give
 * away descriptors; the other one then makes use of it. */
START_TEST(what_another_worker_does_to_a_channel_does_not_block_the_master)
{
    start(2);
    pid_t first = commit("options");
    daemon_freeze(&d, first);
    ck_assert_int_ne(commit("garbage"), first);
    ck_assert_int_ne(commit("foreign"), first);
    daemon_wait_log(&d, "refused", 1);
    daemon_wait_fd_count(&d, d.master, descriptors);
    ck_assert_int_eq(kill(first, SIGCONT), 0);
    expect_sound_master(2);
}
END_TEST

/* --- killed --------------------------------------------------------------------------------- */

static const char *const floods[] = { "flood", "flood-ready", "flood-reopened" };

/* The number in "is killed: N of its messages were refused". */
static int
refused_before_death(void)
{
    static const char words[] = "is killed: ";
    char *log = daemon_read(d.log), *line = strstr(log, words);

    ck_assert_ptr_nonnull(line);
    int n = atoi(line + strlen(words));
    free(log);
    return n;
}

START_TEST(a_worker_that_floods_is_killed)
{
    enum { TIMES = 3, LIMIT = 1000, TURN = 64, KILOBYTES = 16 * 1024 };

    start(2);
    long before = memory();
    for (int i = 1; i <= TIMES; i++) {
        int fd = begin(floods[_i], 0);

        daemon_wait_log(&d, "of its messages were refused", i);
        daemon_wait_log(&d, " started, pid ", 2 + i);
        close(fd);
    }
    ck_assert_int_ge(refused_before_death(), LIMIT);
    ck_assert_int_le(refused_before_death(), LIMIT + TURN);
    expect_sound_master(2);
    ck_assert_int_le(memory() - before, KILOBYTES);
}
END_TEST

START_TEST(a_worker_that_closes_its_channel_is_replaced)
{
    start(2);
    int fd = begin("close", 0);
    daemon_wait_log(&d, "does not exit and is killed", 1);
    daemon_wait_log(&d, " started, pid ", 3);
    close(fd);
    expect_sound_master(2);
}
END_TEST

START_TEST(a_worker_that_never_reads_holds_up_neither_reload_nor_stop)
{
    start(2);
    int fd = begin("deaf", 0);
    expect_sound_master(2);
    ck_assert_int_eq(daemon_log_count(&d, "does not exit and is killed"), 1);
    close(fd);

    fd = begin("deaf", 0);
    ck_assert_int_eq(kill(d.master, SIGTERM), 0);
    daemon_wait_gone(&d);
    ck_assert_int_le(d.status, 0);
    close(fd);
}
END_TEST

/* A client that does not read, and a socket that waits for it when it is closed:
 * by the master, which got it from a worker that is dead. */
START_TEST(a_descriptor_that_lingers_does_not_block_the_master)
{
    start(2);
    int fd = begin("linger", 4096);
    daemon_wait_log(&d, " started, pid ", 3);
    expect_sound_master(2);
    close(fd);
}
END_TEST

int
main(void)
{
    Suite *s = suite_create("hostile");
    TCase *tc = daemon_case(s, "hostile");

    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_add_loop_test(tc, what_is_no_message_of_a_worker_is_refused, 0, 4);
    tcase_add_test(tc, what_another_worker_does_to_a_channel_does_not_block_the_master);
    tcase_add_loop_test(tc, a_worker_that_floods_is_killed, 0, 3);
    tcase_add_test(tc, a_worker_that_closes_its_channel_is_replaced);
    tcase_add_test(tc, a_worker_that_never_reads_holds_up_neither_reload_nor_stop);
    tcase_add_test(tc, a_descriptor_that_lingers_does_not_block_the_master);
    return daemon_main(s);
}
