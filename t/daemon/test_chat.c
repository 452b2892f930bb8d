/*
 * test_chat: clients of the chat, on four workers.
 *
 * A client's first name tells its worker. Whoever is the first of a worker here is called so.
 */
#include "look.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { WORKERS = 4, ROOM = 256 };

typedef struct {
    int fd; /* -1: it has gone */
    int worker;
    char name[64];
    char bytes[64 * 1024]; /* received, and not yet looked at */
    size_t length;
} talker_t;

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

/* --- a client ------------------------------------------------------------------------------ */

static void
say(talker_t *t, const char *text)
{
    daemon_send(t->fd, text, strlen(text));
}

/* The next line, without its end, in one of a few buffers that are used in turn; NULL: the end. */
static const char *
next_line(talker_t *t)
{
    static char lines[4][16 * 1024];
    static unsigned turn;
    char *line = lines[turn++ % 4], *lf;

    while ((lf = memchr(t->bytes, '\n', t->length)) == NULL) {
        ck_assert_uint_lt(t->length, sizeof(t->bytes));
        ssize_t n = recv(t->fd, t->bytes + t->length, sizeof(t->bytes) - t->length, 0);

        if (n == -1 && errno == ECONNRESET)
            n = 0;
        ck_assert_msg(n >= 0, "%s waits for a line: %s", t->name, strerror(errno));
        if (n == 0)
            return NULL;
        t->length += (size_t) n;
    }
    size_t length = (size_t) (lf - t->bytes);
    ck_assert_uint_lt(length, sizeof(lines[0]));
    memcpy(line, t->bytes, length);
    line[length] = '\0';
    t->length -= length + 1;
    memmove(t->bytes, lf + 1, t->length);
    return line;
}

static void
expect_next(talker_t *t, const char *line)
{
    const char *next = next_line(t);

    ck_assert_msg(next != NULL, "%s has got the end, not \"%s\"", t->name, line);
    ck_assert_str_eq(next, line);
}

/* Passes over what else is said. */
static void
expect(talker_t *t, const char *line)
{
    const char *next = next_line(t);

    while (next != NULL && strcmp(next, line) != 0)
        next = next_line(t);
    ck_assert_msg(next != NULL, "%s has got the end, not \"%s\"", t->name, line);
}

static void
expect_end(talker_t *t)
{
    while (next_line(t) != NULL)
        continue;
    close(t->fd);
    t->fd = -1;
}

static talker_t *
join(void)
{
    talker_t *t = &talkers[count++];

    ck_assert_int_le(count, ROOM);
    memset(t, 0, sizeof(*t));
    t->fd = daemon_connect_port(port);
    ck_assert_int_ne(t->fd, -1);
    const char *hello = next_line(t);
    ck_assert_ptr_nonnull(hello);
    ck_assert_int_eq(sscanf(hello, "* you are %63[^;];", t->name), 1);
    ck_assert_int_eq(sscanf(t->name, "guest-%d-", &t->worker), 1);
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
        say(t, "/quit\n");
        expect_end(t);
        count--;
    }
}

/* One of each worker, who have heard of one another. */
static void
join_all(void)
{
    char line[128];

    for (int worker = 0; worker < WORKERS; worker++)
        (void) join_at(worker);
    for (int i = 0; i < WORKERS - 1; i++) {
        snprintf(line, sizeof(line), "* %s has joined", talkers[WORKERS - 1].name);
        expect(&talkers[i], line);
    }
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
        say(&talkers[i], i % 2 ? "hello, world\r\n" : "hello, world\n"); /* as telnet, as nc */
        snprintf(line, sizeof(line), "%s: hello, world", talkers[i].name);
        for (int j = 0; j < WORKERS; j++) {
            if (j != i)
                expect_next(&talkers[j], line);
        }
    }
    talker_t *same = join_at(2); /* the same worker's, too */
    say(same, "me too\n");
    snprintf(line, sizeof(line), "%s: me too", same->name);
    for (int j = 0; j < WORKERS; j++)
        expect(&talkers[j], line);
}
END_TEST

START_TEST(coming_going_and_names_are_told_to_all)
{
    char line[256];

    start("", "");
    join_all();
    talker_t *one = join_at(1);
    say(one, "/nick Anna-1\n");
    expect(one, "* you are Anna-1");
    say(one, "here I am\n/nick\n/nick guest-0-1\n/nick two words\n/nick \033[1m\n");
    for (int i = 0; i < 4; i++)
        expect_next(
            one, "* a name is up to 24 letters, digits, \"-\", \"_\", \".\"; not \"guest\"...");
    say(one, "/dance\n");
    expect_next(one, "* there is /nick NAME, /who, and /quit");
    say(one, "/quit\nnot said\n");
    expect_next(one, "* bye");
    ck_assert_ptr_null(next_line(one));
    for (int i = 0; i < WORKERS; i++) {
        snprintf(line, sizeof(line), "* %s has joined", one->name);
        expect(&talkers[i], line);
        snprintf(line, sizeof(line), "* %s is now Anna-1", one->name);
        expect_next(&talkers[i], line);
        expect_next(&talkers[i], "Anna-1: here I am");
        expect_next(&talkers[i], "* Anna-1 has left");
    }
}
END_TEST

/* All talk at once; of each the lines come in order, at every client. */
START_TEST(lines_of_one_client_arrive_in_order_everywhere)
{
    enum { LINES = 200 };
    int next[WORKERS], from, line;
    char text[64];

    start("", "");
    join_all();
    for (int n = 0; n < LINES; n++) {
        for (int i = 0; i < WORKERS; i++) {
            snprintf(text, sizeof(text), "say %d %d\n", i, n);
            say(&talkers[i], text);
        }
    }
    for (int i = 0; i < WORKERS; i++) {
        memset(next, 0, sizeof(next));
        for (int n = 0; n < (WORKERS - 1) * LINES; n++) {
            const char *got = next_line(&talkers[i]);

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
        expect_next(&talkers[i], line);
}
END_TEST

START_TEST(empty_long_and_half_lines_are_not_said)
{
    static char text[100 * 1000];
    char line[2048];

    start("", "max_line = 100\n");
    join_all();
    memset(text, 'x', sizeof(text) - 1);
    say(&talkers[0], "\n  \r\n\r\n");
    for (size_t length = 100; length < sizeof(text); length = length * 9 + 1) {
        daemon_send(talkers[0].fd, text, length);
        say(&talkers[0], length % 2 ? "\n" : "\r\n");
    }
    say(&talkers[0], "half a line"); /* which goes on later */
    look_t look;
    look_open(&d, &look);
    look_wait(&d, &look, "connections", "reading", 1);
    look_close(&look);
    say(&talkers[0], ", and the rest\nand half a line");
    for (int i = 0; i < 3; i++)
        expect_next(&talkers[0], "* that line is too long, and was not said");
    ck_assert_int_eq(shutdown(talkers[0].fd, SHUT_WR), 0);

    snprintf(line, sizeof(line), "%s: %.100s", talkers[0].name, text);
    expect_next(&talkers[3], line);
    snprintf(line, sizeof(line), "%s: half a line, and the rest", talkers[0].name);
    expect_next(&talkers[3], line);
    snprintf(line, sizeof(line), "* %s has left", talkers[0].name);
    expect_next(&talkers[3], line);
}
END_TEST

/* --- /who ---------------------------------------------------------------------------------------- */

/* How many people /who finds; `rest` is how its last line goes on. */
static int
ask_who(talker_t *t, const char *rest)
{
    char after[128];
    int people, said = 0, all;

    say(t, "/who\n");
    for (;;) {
        const char *line = next_line(t);

        ck_assert_ptr_nonnull(line);
        if (sscanf(line, "* worker %*d, %d here:", &people) == 1)
            said += people;
        if (sscanf(line, "* %d in al%127[^\n]", &all, after) == 2)
            break;
    }
    ck_assert_str_eq(after + 1, rest);
    ck_assert_int_eq(said, all);
    return all;
}

START_TEST(who_is_there_is_known_over_all_workers)
{
    char line[256];

    start("", "");
    join_all();
    for (int i = 0; i < WORKERS; i++)
        ck_assert_int_eq(ask_who(&talkers[i], ""), WORKERS);
    talker_t *one = join_at(2);
    say(one, "/nick zoe\n");
    expect(one, "* you are zoe");
    say(&talkers[0], "/who\n");
    snprintf(line, sizeof(line), "* worker 2, 2 here: zoe %s", talkers[2].name);
    expect(&talkers[0], line);
    expect(&talkers[0], "* 5 in all");
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
    expect_end(&talkers[3]);
    expect_end(&talkers[4]);
    ck_assert_int_eq(ask_who(&talkers[0], ""), 3);

    talker_t *again = join_at(3);
    ck_assert_int_eq(ask_who(&talkers[0], ""), 4);
    say(again, "it is me\n");
    snprintf(line, sizeof(line), "%s: it is me", again->name);
    for (int i = 0; i < 3; i++)
        expect(&talkers[i], line);
    say(&talkers[1], "welcome\n");
    snprintf(line, sizeof(line), "%s: welcome", talkers[1].name);
    expect(again, line);
}
END_TEST

/* --- who is too slow -------------------------------------------------------------------------------- */

/* Says something long, until a counter of the chat is what it should be. */
static void
say_until(talker_t *t, const look_t *look, const char *counter)
{
    static char text[1001];

    memset(text, 'y', sizeof(text) - 1);
    text[sizeof(text) - 2] = '\n';
    for (int i = 0; look_total(look, "chat", counter) == 0; i++) {
        ck_assert_int_lt(i, 100 * 1000);
        say(t, text);
    }
}

/* The others have read all that was said, until somebody had left. */
static void
expect_left(talker_t *t, const char *name)
{
    char line[256];

    snprintf(line, sizeof(line), "* %s has left, cut off: it read too slowly", name);
    expect(t, line);
}

START_TEST(a_slow_reader_is_cut_off_and_not_waited_for)
{
    look_t look;

    start("", "");
    (void) join_at(0);
    (void) join_at(1); /* who reads nothing from now on */
    look_open(&d, &look);
    say_until(&talkers[0], &look, "cut_off");
    expect_left(&talkers[0], talkers[1].name);
    ck_assert_int_eq(look_total(&look, "chat", "cut_off"), 1);
    look_wait(&d, &look, "chat", "clients", 1);
    ck_assert_int_eq(look_total(&look, "connections", "writing"), 0);
    ck_assert_int_eq(look_total(&look, "chat", "missed"), 0);
    look_close(&look);
    ck_assert_int_eq(ask_who(&talkers[0], ""), 1);
}
END_TEST

/* What a queue has no room for is told to who has said it; all else arrives in the end. */
START_TEST(a_worker_that_sleeps_holds_up_nobody)
{
    char line[256];
    look_t look;

    start("channel_queue = 64k\n", "buffer = 64m\n");
    join_all();
    look_open(&d, &look);
    pid_t pid = pid_of(3);
    ck_assert_int_eq(kill(pid, SIGSTOP), 0);
    say_until(&talkers[0], &look, "missed");
    expect(&talkers[0], "* that did not reach the clients of 1 workers: they are too busy");
    say(&talkers[1], "one\n");
    snprintf(line, sizeof(line), "%s: one", talkers[1].name);
    expect(&talkers[0], line);
    expect(&talkers[2], line);
    ck_assert_int_eq(ask_who(&talkers[1], ", and 1 workers have not answered"), 3);

    ck_assert_int_eq(kill(pid, SIGCONT), 0);
    expect(&talkers[3], line);
    look_close(&look);
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
        expect(&talkers[i], bye);
        expect_end(&talkers[i]);
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
    expect_end(t);
}
END_TEST

START_TEST(nobody_listens_unless_told_where)
{
    daemon_conff(&d, "[chat]\nmax_line = 1k\n[http]\nlisten = 127.0.0.1:%d\n", d.port);
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
    tcase_add_test(tc, coming_going_and_names_are_told_to_all);
    tcase_add_test(tc, lines_of_one_client_arrive_in_order_everywhere);
    tcase_add_test(tc, what_would_move_a_terminal_is_made_harmless);
    tcase_add_test(tc, empty_long_and_half_lines_are_not_said);
    tcase_add_test(tc, who_is_there_is_known_over_all_workers);
    tcase_add_test(tc, clients_of_a_killed_worker_are_gone_and_may_come_again);
    tcase_add_test(tc, a_slow_reader_is_cut_off_and_not_waited_for);
    tcase_add_test(tc, a_worker_that_sleeps_holds_up_nobody);
    tcase_add_test(tc, a_reload_says_good_bye_and_everybody_may_come_again);
    tcase_add_test(tc, who_is_silent_for_long_is_let_go);
    tcase_add_test(tc, nobody_listens_unless_told_where);
    return daemon_main(s);
}
