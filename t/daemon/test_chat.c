/*
 * test_chat: clients of the chat, on four workers.
 *
 * A client's first name tells its worker. Whoever is the first of a worker here is called so.
 */
#include "look.h"
#include "talker.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { WORKERS = 4, ROOM = 256 };

static daemon_t d;
static int port;
static talker_t talkers[ROOM]; /* one of each worker first */
static int count;

static void
setup(void)
{
    daemon_setup(&d);
    port = daemon_free_port();
    count = 0;
}

static void
teardown(void)
{
    for (int i = 0; i < count; i++) {
        if (talkers[i].fd != -1)
            close(talkers[i].fd);
    }
    daemon_teardown(&d);
}

static void
start(const char *main_lines, const char *chat_lines)
{
    daemon_conff(&d,
        "[main]\nworker_processes = %d\nerror_log = logs/error.log info\n%s"
        "[zone stats]\ntype = %s\n[http]\nlisten = 127.0.0.1:%d\n"
        "[chat]\nlisten = 127.0.0.1:%d reuseport\n%s",
        WORKERS, main_lines, look_type(), d.port, port, chat_lines);
    daemon_start(&d);
}

/* --- clients ------------------------------------------------------------------------------- */

static talker_t *
join(void)
{
    talker_t *t = &talkers[count++];

    ck_assert_int_le(count, ROOM);
    talker_join(t, port);
    return t;
}

/* One of this worker. */
static talker_t *
join_at(int worker)
{
    for (;;) {
        talker_t *t = join();

        if (t->worker == worker)
            return t;
        talker_leave(t);
        count--;
    }
}

/* How many clients the workers tell of; `silent` is the line that stands for one which tells nothing. */
static int
ask_who(talker_t *t, const char *silent)
{
    int answers = 0, here, all = 0;

    talker_say(t, "/who\n");
    while (answers < WORKERS) {
        const char *line = talker_next(t);

        ck_assert_ptr_nonnull(line);
        if (sscanf(line, "* worker %*d, %d here:", &here) == 1)
            all += here;
        answers += strncmp(line, "* worker", 8) == 0;
        ck_assert(strncmp(line, "* worker", 8) != 0 || strstr(line, " here:") != NULL
            || strcmp(line, silent) == 0);
    }
    return all;
}

/* One of each worker, who have heard of one another. */
static void
join_all(void)
{
    char line[128];

    for (int worker = 0; worker < WORKERS; worker++)
        (void) join_at(worker);
    for (int i = 0; i < WORKERS - 1; i++) {
        snprintf(line, sizeof(line), "%s has joined", talkers[WORKERS - 1].name);
        talker_expect(&talkers[i], line);
    }
    for (int i = 0; i < WORKERS; i++) /* each has heard what any worker has sent before */
        (void) ask_who(&talkers[i], "");
}

static pid_t
pid_of(int worker)
{
    char text[64];
    pid_t pid = -1;

    snprintf(text, sizeof(text), "worker %d started, pid ", worker);
    char *log = daemon_read(d.log);
    for (char *at = log; at != NULL && (at = strstr(at, text)) != NULL; at++)
        pid = (pid_t) atoi(at + strlen(text));
    free(log);
    ck_assert_int_gt(pid, 0);
    return pid;
}

/* --- what is said ------------------------------------------------------------------------------ */

START_TEST(a_line_reaches_everybody_at_all_workers_but_who_said_it)
{
    char line[128];

    start("", "");
    join_all();
    for (int i = 0; i < WORKERS; i++) {
        talker_say(
            &talkers[i], i % 2 ? "hello, world\r\n" : "hello, world\n"); /* as telnet, as nc */
        snprintf(line, sizeof(line), "%s: hello, world", talkers[i].name);
        for (int j = 0; j < WORKERS; j++) {
            if (j != i)
                talker_expect_next(&talkers[j], line);
        }
    }
    talker_t *same = join_at(2); /* the same worker's, too */
    talker_say(same, "me too\n");
    snprintf(line, sizeof(line), "%s: me too", same->name);
    for (int j = 0; j < WORKERS; j++)
        talker_expect(&talkers[j], line);
}
END_TEST

START_TEST(coming_and_going_is_told_to_all)
{
    char line[256];

    start("", "");
    join_all();
    talker_t *one = join_at(1);
    talker_say(one, "here I am\n");
    talker_leave(one);
    for (int i = 0; i < WORKERS; i++) {
        snprintf(line, sizeof(line), "%s has joined", one->name);
        talker_expect(&talkers[i], line); /* between these may be what others have said before */
        snprintf(line, sizeof(line), "%s: here I am", one->name);
        talker_expect(&talkers[i], line);
        snprintf(line, sizeof(line), "%s has left", one->name);
        talker_expect(&talkers[i], line);
    }
}
END_TEST

/* All talk at once; of each the lines come in order, at every client. */
START_TEST(lines_of_one_client_arrive_in_order_everywhere)
{
    enum { LINES = 200 };
    int next[WORKERS], from, line;
    char text[64];

    start("channel_queue = 64m\n", ""); /* records of the portable form are large */
    join_all();
    for (int n = 0; n < LINES; n++) {
        for (int i = 0; i < WORKERS; i++) {
            snprintf(text, sizeof(text), "say %d %d\n", i, n);
            talker_say(&talkers[i], text);
        }
    }
    for (int i = 0; i < WORKERS; i++) {
        memset(next, 0, sizeof(next));
        for (int n = 0; n < (WORKERS - 1) * LINES; n++) {
            const char *got = talker_next(&talkers[i]);

            ck_assert_ptr_nonnull(got);
            ck_assert_int_eq(sscanf(got, "%*[^:]: say %d %d", &from, &line), 2);
            ck_assert_int_eq(line, next[from]++);
        }
    }
}
END_TEST

START_TEST(what_would_move_a_terminal_is_made_harmless)
{
    char line[128];

    start("", "");
    join_all();
    daemon_send(talkers[0].fd, "a\033[2J\0\x9b\xc2\x9b\xc3\xbc\b\n", 14);
    snprintf(line, sizeof(line), "%s: a?[2J????\xc3\xbc?", talkers[0].name);
    for (int i = 1; i < WORKERS; i++)
        talker_expect_next(&talkers[i], line);
}
END_TEST

START_TEST(empty_long_and_half_lines_are_not_said)
{
    static char text[100 * 1000];
    char line[2048];

    start("", "");
    join_all();
    memset(text, 'x', sizeof(text) - 1);
    talker_say(&talkers[0], "\n\r\n\r\n");
    for (size_t length = 1024; length < sizeof(text); length = length * 4 + 1) {
        daemon_send(talkers[0].fd, text, length);
        talker_say(&talkers[0], length % 2 ? "\n" : "\r\n");
    }
    talker_say(&talkers[0], "half a line"); /* which goes on later */
    look_t look;
    look_open(&d, &look);
    look_wait(&d, &look, "connections", "reading", 1);
    look_close(&look);
    talker_say(&talkers[0], ", and the rest\nand half a line");
    for (int i = 0; i < 3; i++)
        talker_expect_next(&talkers[0], "* that line is too long, and was not said");
    ck_assert_int_eq(shutdown(talkers[0].fd, SHUT_WR), 0);

    snprintf(line, sizeof(line), "%s: %.1024s", talkers[0].name, text);
    talker_expect_next(&talkers[3], line);
    snprintf(line, sizeof(line), "%s: half a line, and the rest", talkers[0].name);
    talker_expect_next(&talkers[3], line);
    snprintf(line, sizeof(line), "%s has left", talkers[0].name);
    talker_expect_next(&talkers[3], line);
}
END_TEST

/* --- /who ---------------------------------------------------------------------------------------- */

START_TEST(who_is_there_is_known_over_all_workers)
{
    char line[256];

    start("", "");
    join_all();
    for (int i = 0; i < WORKERS; i++)
        ck_assert_int_eq(ask_who(&talkers[i], ""), WORKERS);
    talker_t *one = join_at(2);
    snprintf(line, sizeof(line), "%s has joined", one->name);
    talker_expect(&talkers[0], line);
    ck_assert_int_eq(ask_who(&talkers[0], ""), WORKERS + 1);
    talker_say(&talkers[0], "/who\n");
    snprintf(line, sizeof(line), "* worker 2, 2 here: %s %s", one->name, talkers[2].name);
    talker_expect(&talkers[0], line);
}
END_TEST

/* So many that some worker has no room for all names, which keeps its line short. */
START_TEST(a_crowd_is_counted_and_some_are_named)
{
    enum { CROWD = 100 * WORKERS };
    int fds[CROWD], here, all = 0;
    const char *line = "";
    size_t named = 0;
    look_t look;

    start("", "");
    talker_t *t = join();
    look_open(&d, &look);
    for (int i = 0; i < CROWD; i++)
        ck_assert_int_ne(fds[i] = daemon_connect_port(port), -1);
    look_wait_connections(&d, &look, CROWD + 1);
    talker_say(t, "/who\n");
    for (int answers = 0; answers < WORKERS; answers++) {
        while (sscanf(line = talker_next(t), "* worker %*d, %d here:", &here) != 1)
            continue;
        all += here;
        ck_assert_uint_le(strlen(line), 1024);
        for (const char *at = line; (at = strstr(at, " guest-")) != NULL; at++)
            named++;
    }
    ck_assert_int_eq(all, CROWD + 1);
    ck_assert_uint_gt(named, 0);
    ck_assert_uint_lt(named, CROWD + 1);
    look_close(&look);
    for (int i = 0; i < CROWD; i++)
        close(fds[i]);
}
END_TEST

static int
is_dead(daemon_t *unused, void *data)
{
    (void) unused;
    return !daemon_alive(*(const pid_t *) data);
}

START_TEST(clients_of_a_killed_worker_are_gone_and_may_come_again)
{
    char line[256];

    start("", "");
    join_all();
    (void) join_at(3);
    pid_t pid = pid_of(3);
    ck_assert_int_eq(kill(pid, SIGKILL), 0);
    daemon_wait(&d, is_dead, &pid, "the worker is dead");
    daemon_wait_log(&d, "worker 3 started", 2);
    talker_expect_end(&talkers[3]);
    talker_expect_end(&talkers[4]);
    talker_t *again = join_at(3);
    snprintf(line, sizeof(line), "%s has joined", again->name);
    for (int i = 0; i < 3; i++)
        talker_expect(&talkers[i], line); /* so they know the new worker */
    ck_assert_int_eq(ask_who(&talkers[0], ""), 4);
    talker_say(again, "it is me\n");
    snprintf(line, sizeof(line), "%s: it is me", again->name);
    for (int i = 0; i < 3; i++)
        talker_expect(&talkers[i], line);
    talker_say(&talkers[1], "welcome\n");
    snprintf(line, sizeof(line), "%s: welcome", talkers[1].name);
    talker_expect(again, line);
}
END_TEST

/* --- who is too slow -------------------------------------------------------------------------------- */

/* Says something long until it is told something, while these two, if any, read along. */
static void
say_until_told(talker_t *t, talker_t *one, talker_t *two)
{
    static char text[1001];
    char first;

    memset(text, 'y', sizeof(text) - 1);
    text[sizeof(text) - 2] = '\n';
    ck_assert_uint_eq(t->length, 0);
    for (int i = 0; recv(t->fd, &first, 1, MSG_PEEK | MSG_DONTWAIT) == -1; i++) {
        ck_assert_int_lt(i, 100 * 1000);
        talker_say(t, text);
        for (int reader = 0; one != NULL && reader < 2; reader++)
            ck_assert_ptr_nonnull(talker_next(reader == 0 ? one : two));
    }
}

START_TEST(a_slow_reader_is_cut_off_and_not_waited_for)
{
    char line[128];
    look_t look;

    start("channel_queue = 64m\n", ""); /* so that nothing is missed */
    (void) join_at(0);
    talker_t *slow = join_at(1);
    snprintf(line, sizeof(line), "%s has joined", slow->name);
    talker_expect(&talkers[0], line);
    say_until_told(&talkers[0], NULL, NULL);
    snprintf(line, sizeof(line), "%s has left, cut off: it read too slowly", slow->name);
    talker_expect_next(&talkers[0], line);
    look_open(&d, &look);
    look_wait_connections(&d, &look, 1);
    look_wait(&d, &look, "connections", "writing", 0);
    look_close(&look);
    ck_assert_int_eq(ask_who(&talkers[0], ""), 1);
}
END_TEST

/* What a queue has no room for is told to who has said it; all else arrives in the end. */
START_TEST(a_worker_that_sleeps_holds_up_nobody)
{
    static const char silent[] = "* worker 3 has not answered";
    char line[256];

    start("channel_queue = 512k\n", "");
    join_all();
    talker_t *hasty = join_at(1);
    snprintf(line, sizeof(line), "%s has joined", hasty->name);
    for (int i = 0; i < WORKERS; i++)
        talker_expect(&talkers[i], line);
    pid_t pid = pid_of(3);
    ck_assert_int_eq(kill(pid, SIGSTOP), 0);
    say_until_told(&talkers[0], &talkers[1], &talkers[2]);
    talker_expect_next(&talkers[0], "* that has not reached 1 workers, they are too busy");
    talker_say(hasty, "/who\n"); /* and does not wait for it */
    talker_leave(hasty);
    talker_say(&talkers[1], "one\n");
    snprintf(line, sizeof(line), "%s: one", talkers[1].name);
    talker_expect(&talkers[0], line);
    talker_expect(&talkers[2], line);
    ck_assert_int_eq(ask_who(&talkers[1], silent), 3);

    ck_assert_int_eq(kill(pid, SIGCONT), 0);
    talker_expect(&talkers[3], line);
}
END_TEST

/* --- the worker goes ---------------------------------------------------------------------------------- */

START_TEST(a_reload_says_good_bye_and_everybody_may_come_again)
{
    static const char bye[] = "* this worker finishes, please connect again";

    start("", "");
    join_all();
    daemon_reload(&d);
    for (int i = 0; i < WORKERS; i++) {
        talker_expect(&talkers[i], bye);
        talker_expect_end(&talkers[i]);
    }
    count = 0;
    join_all();
    ck_assert_int_eq(ask_who(&talkers[1], ""), WORKERS);
    ck_assert_int_eq(daemon_log_count(&d, "worker_shutdown_timeout"), 0);
}
END_TEST

START_TEST(who_is_silent_for_long_is_let_go)
{
    start("", "idle_timeout = 100ms\n");
    talker_t *t = join();
    talker_expect_end(t);
}
END_TEST

START_TEST(nobody_listens_unless_told_where)
{
    daemon_conff(&d, "[chat]\nidle_timeout = 1s\n[http]\nlisten = 127.0.0.1:%d\n", d.port);
    daemon_start(&d);
    ck_assert_int_eq(daemon_connect_port(port), -1);
}
END_TEST

int
main(void)
{
    Suite *s = suite_create("chat");
    TCase *tc = daemon_case(s, "chat");

    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_add_test(tc, a_line_reaches_everybody_at_all_workers_but_who_said_it);
    tcase_add_test(tc, coming_and_going_is_told_to_all);
    tcase_add_test(tc, lines_of_one_client_arrive_in_order_everywhere);
    tcase_add_test(tc, what_would_move_a_terminal_is_made_harmless);
    tcase_add_test(tc, empty_long_and_half_lines_are_not_said);
    tcase_add_test(tc, who_is_there_is_known_over_all_workers);
    tcase_add_test(tc, a_crowd_is_counted_and_some_are_named);
    tcase_add_test(tc, clients_of_a_killed_worker_are_gone_and_may_come_again);
    tcase_add_test(tc, a_slow_reader_is_cut_off_and_not_waited_for);
    tcase_add_test(tc, a_worker_that_sleeps_holds_up_nobody);
    tcase_add_test(tc, a_reload_says_good_bye_and_everybody_may_come_again);
    tcase_add_test(tc, who_is_silent_for_long_is_let_go);
    tcase_add_test(tc, nobody_listens_unless_told_where);
    return daemon_main(s);
}
