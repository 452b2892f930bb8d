/*
 * test_pass_faults: connections that are passed while workers stop, drain and are killed.
 */
#include "test_pass.h"

enum { CLIENTS = 300, FEW = 12, RELOADS = 8 };

static const char first[] = "GET /t%77o?1 HTTP/1.1\r\n";
static const char second[] = "Host: a\r\n\r\n";
static const char understood[] = "path \"/two\" query \"1\" accept \"\"";

static void
stop_worker(unsigned worker)
{
    daemon_freeze(&d, pids[worker]);
}

/* A client at that worker, of whose next request it has read this. */
static int
come_to(unsigned worker, const char *text)
{
    int64_t reading = look_total(&look, "connections", "reading") + (text[0] != '\0');
    int fd = pass_connect(0);
    pass_who_t who = pass_who(fd);

    http_send(fd, text);
    look_wait(&d, &look, "connections", "reading", reading);
    if (who.worker != worker)
        pass_on(who.worker, fd, worker);
    return fd;
}

static void
start_with_new_guides(void)
{
    for (unsigned i = 0; i < workers; i++)
        close(guides[i]);
    daemon_wait_log(&d, "was killed by signal 9", 1);
    daemon_wait_workers(&d, (int) workers);
    pass_find_guides();
}

/* --- killed -------------------------------------------------------------------------- */

START_TEST(connection_goes_on_when_who_has_passed_it_is_killed)
{
    char target[64], text[64];

    pass_start(2);
    int fd = come_to(0, first);
    snprintf(target, sizeof(target), "/pass?to=1&kill=1&port=%u", pass_port(fd));
    pass_ask(guides[0], target);
    ck_assert_int_le(daemon_read_end(guides[0], text, sizeof(text)), 0);

    http_send(fd, second);
    pass_who_t who = pass_read_who(fd);
    ck_assert_uint_eq(who.worker, 1);
    ck_assert_str_eq(who.rest, understood);
    close(fd);
    start_with_new_guides();
    pass_expect_counts(workers, asked + 1); /* one was not answered */
    pass_stop();
}
END_TEST

START_TEST(connection_that_a_killed_worker_had_not_looked_at_is_closed)
{
    char text[64];

    pass_start(2);
    int fd = come_to(0, _i == 0 ? "" : first);
    stop_worker(1);
    ck_assert_uint_eq(pass_by(0, fd, 1).passed, 1);
    look_wait_connections(&d, &look, workers); /* on its way it is counted nowhere */
    ck_assert(!http_readable(fd, 0));

    ck_assert_int_eq(kill(pids[1], SIGKILL), 0);
    ck_assert_int_le(daemon_read_end(fd, text, sizeof(text)), 0);
    close(fd);
    start_with_new_guides();
    pass_expect_counts(workers, asked + (unsigned) _i);
    pass_stop();
}
END_TEST

/* --- stopped --------------------------------------------------------------------------- */

static int clients[CLIENTS];

typedef struct {
    unsigned count;
} answered_t;

static int
are_answered(daemon_t *unused, void *data)
{
    const answered_t *wanted = data;
    unsigned count = 0;

    (void) unused;
    for (unsigned i = 0; i < CLIENTS; i++)
        count += http_readable(clients[i], 0) != 0;
    ck_assert_uint_le(count, wanted->count);
    return count == wanted->count;
}

START_TEST(what_a_stopped_worker_does_not_take_is_served_where_it_is)
{
    static char long_line[4000];
    unsigned by[2] = { 0, 0 };

    pass_start(2);
    memset(long_line, 'x', sizeof(long_line) - 1);
    for (int i = 0; i < CLIENTS; i++) {
        clients[i] = pass_connect(0);
        (void) pass_who(clients[i]);
        http_send(clients[i], first);
        http_send(clients[i], "X: ");
        http_send(clients[i], long_line);
    }
    look_wait(&d, &look, "connections", "reading", CLIENTS);
    while (pass_by(1, -2, 0).again > 0) /* those whom worker 1 has accepted */
        continue;
    look_wait(&d, &look, "connections", "reading", CLIENTS);
    stop_worker(1);
    pass_outcome_t o = pass_by(0, -2, 1);
    ck_assert_uint_gt(o.passed, 0);
    ck_assert_uint_gt(o.again, 0);
    ck_assert_uint_eq(o.passed + o.again, CLIENTS);
    ck_assert_uint_eq(o.failed, 0);
    look_wait_connections(&d, &look, workers + o.again);

    for (int i = 0; i < CLIENTS; i++) {
        http_send(clients[i], "\r\n");
        http_send(clients[i], second);
    }
    answered_t wanted = { o.again };
    daemon_wait(&d, are_answered, &wanted, "those who stayed are answered");
    ck_assert_int_eq(kill(pids[1], SIGCONT), 0);
    for (int i = 0; i < CLIENTS; i++) {
        pass_who_t who = pass_read_who(clients[i]);

        by[who.worker]++;
        ck_assert_str_eq(who.rest, understood);
    }
    ck_assert_uint_eq(by[0], o.again);
    ck_assert_uint_eq(by[1], o.passed);
    pass_expect_counts(workers + CLIENTS, asked);
    for (int i = 0; i < CLIENTS; i++)
        close(clients[i]);
    pass_stop();
}
END_TEST

/* --- draining -------------------------------------------------------------------------- */

static int
are_draining(daemon_t *daemon, void *data)
{
    (void) data;
    return daemon_count_titles(daemon, "reeve: worker process is shutting down") == (int) workers;
}

/* Reads an answer that says that the connection is closed, and the end of it. */
static void
expect_last_answer(int fd, char *text, size_t room)
{
    ck_assert_int_eq(daemon_answer(fd, text, room, 0), 200);
    ck_assert_ptr_nonnull(strstr(text, "\r\nConnection: close\r\n"));
    asked++;
}

START_TEST(draining_worker_takes_a_connection_and_finishes_it)
{
    char text[4096], target[64], by[32];

    pass_start(2);
    int idle = come_to(0, ""), half = come_to(0, first), other = come_to(1, first);
    pid_t old = pids[1];

    ck_assert_int_eq(kill(d.master, SIGHUP), 0);
    daemon_wait(&d, are_draining, NULL, "the old workers drain");
    snprintf(target, sizeof(target), "/pass?to=1&listener=1");
    pass_ask(guides[0], target);
    expect_last_answer(guides[0], text, sizeof(text));
    ck_assert_ptr_nonnull(strstr(text, "passed 2 again 0 failed 0"));

    snprintf(by, sizeof(by), "worker 1 pid %ld ", (long) old);
    http_send(half, second);
    expect_last_answer(half, text, sizeof(text));
    ck_assert_ptr_nonnull(strstr(text, by));
    ck_assert_ptr_nonnull(strstr(text, understood));
    pass_ask(idle, "/who");
    expect_last_answer(idle, text, sizeof(text));
    ck_assert_ptr_nonnull(strstr(text, by));
    http_send(other, second);
    expect_last_answer(other, text, sizeof(text));
    close(idle);
    close(half);
    close(other);
    close(guides[0]);
    close(guides[1]);
    daemon_wait_workers(&d, (int) workers);
    pass_find_guides();
    pass_expect_counts(workers, asked);
    pass_stop();
}
END_TEST

/* Between its last look and its end; nobody can send it anything after that. */
START_TEST(connection_that_comes_as_a_worker_is_about_to_exit_is_finished)
{
    char text[4096], by[32];

    preloaded = "preload_shutdown";
    pass_start(2);
    int half = come_to(0, first);
    pid_t old = pids[1];
    daemon_write(daemon_path(&d, "stop"), "", 0);
    ck_assert_int_eq(kill(d.master, SIGHUP), 0);
    daemon_wait(&d, are_draining, NULL, "the old workers drain");
    close(guides[1]);
    daemon_wait_frozen(&d, old); /* it has no more clients */
    ck_assert_int_eq(unlink(daemon_path(&d, "stop")), 0);

    pass_ask(guides[0], "/pass?to=1&listener=1");
    expect_last_answer(guides[0], text, sizeof(text));
    ck_assert_ptr_nonnull(strstr(text, "passed 1 again 0 failed 0"));
    ck_assert_int_eq(kill(old, SIGCONT), 0);
    snprintf(by, sizeof(by), "worker 1 pid %ld ", (long) old);
    http_send(half, second);
    expect_last_answer(half, text, sizeof(text));
    ck_assert_ptr_nonnull(strstr(text, by));
    close(half);
    close(guides[0]);
    daemon_wait_workers(&d, (int) workers);
    pass_find_guides();
    pass_expect_counts(workers, asked);
    pass_stop();
}
END_TEST

/* --- all of it ------------------------------------------------------------------------- */

typedef struct {
    int fd;
    int lost; /* its worker was killed */
} client_t;

static client_t crowd[FEW];

/* It may find its worker dead. */
static void
say(client_t *c, const char *text)
{
    if (send(c->fd, text, strlen(text), MSG_NOSIGNAL) != (ssize_t) strlen(text))
        c->lost = 1;
}

static void
come_again(client_t *c)
{
    if (c->fd != -1)
        close(c->fd);
    *c = (client_t){ .fd = pass_connect(0) };
}

/* An answer, or with `may_be_lost` none; then it comes anew, and so it does when it was told to. */
static void
hear(client_t *c, const char *wanted, int may_be_lost)
{
    static char text[4096];
    int code = c->lost ? 0 : daemon_answer(c->fd, text, sizeof(text), 0);

    ck_assert_msg(code == 200 || (code == 0 && may_be_lost), "answered with %d", code);
    if (code == 200) {
        ck_assert_msg(strstr(text, wanted) != NULL, "%s", text);
        asked++;
    }
    if (code != 200 || strstr(text, "\r\nConnection: close\r\n") != NULL)
        come_again(c);
}

/* All begin a request, one has its worker pass the others to any, all end theirs. */
static void
play_round(unsigned round, void (*meanwhile)(unsigned), int may_be_lost)
{
    client_t *guide = &crowd[round % FEW];

    for (client_t *c = crowd; c < crowd + FEW; c++) {
        if (c != guide)
            say(c, first);
    }
    say(guide, "GET /shuffle HTTP/1.1\r\nHost: a\r\n\r\n");
    meanwhile(round);
    hear(guide, "passed", may_be_lost);
    for (client_t *c = crowd; c < crowd + FEW; c++) {
        if (c == guide)
            continue;
        say(c, second);
        hear(c, understood, may_be_lost);
    }
}

static void
play(unsigned rounds, void (*meanwhile)(unsigned), int may_be_lost)
{
    static uint64_t before[RV_STATS_CELLS];
    rv_stats_view_t view;

    for (client_t *c = crowd; c < crowd + FEW; c++) {
        c->fd = -1;
        come_again(c);
    }
    for (unsigned i = 0; i < rounds; i++) {
        play_round(i, meanwhile, may_be_lost);
        look_take(&look, &view);
        look_judge(&look, &view);
        look_judge_growth(&look, &view, before);
        rv_stats_view_free(&view);
    }
}

static void
close_guides(void)
{
    for (unsigned i = 0; i < workers; i++)
        close(guides[i]);
}

/* Nobody is there who should not be, and after the last client nobody at all. */
static void
send_home(void)
{
    look_wait_connections(&d, &look, FEW);
    for (client_t *c = crowd; c < crowd + FEW; c++)
        close(c->fd);
    look_wait_connections(&d, &look, 0);
}

static void
do_nothing(unsigned round)
{
    (void) round;
}

START_TEST(nothing_is_lost_or_miscounted_while_connections_go_to_and_fro)
{
    pass_start(4);
    play(300, do_nothing, 0);
    pass_expect_counts(workers + FEW, asked);
    int64_t passed = look_total(&look, "connections", "passed");
    ck_assert_int_gt(passed, 100);
    ck_assert_int_eq(look_total(&look, "connections", "taken"), passed);
    close_guides();
    send_home();
    pass_find_guides();
    pass_stop();
}
END_TEST

static unsigned killed;

static void
kill_one(unsigned round)
{
    if (round % 10 != 5)
        return;
    daemon_wait_log(&d, "was killed by signal 9", (int) killed);
    daemon_wait_workers(&d, (int) workers);
    daemon_children(d.master, pids, PASS_MOST);
    ck_assert_int_eq(kill(pids[(unsigned) rand() % workers], SIGKILL), 0);
    killed++;
}

START_TEST(counts_are_right_when_workers_are_killed_meanwhile)
{
    pass_start(4);
    close_guides();
    killed = 0;
    play(150, kill_one, 1);
    for (client_t *c = crowd; c < crowd + FEW; c++) { /* all are there */
        say(c, "GET /two?1 HTTP/1.1\r\nHost: a\r\n\r\n");
        hear(c, understood, 0);
    }
    daemon_wait_log(&d, "was killed by signal 9", (int) killed);
    ck_assert_int_eq(look_total(&look, "connections", "accepts"), opened);
    ck_assert_int_ge(look_total(&look, "connections", "handled"), opened - killed);
    send_home();
    daemon_wait_workers(&d, (int) workers);
    pass_find_guides();
    pass_stop();
}
END_TEST

static int reloads;

/* When the last is done; the clients go on meanwhile, since old workers wait for them. */
static void
reload_now_and_then(unsigned round)
{
    if (round % 20 != 5 || daemon_log_count(&d, "reload done") < reloads)
        return;
    ck_assert_int_eq(kill(d.master, SIGHUP), 0);
    reloads++;
}

START_TEST(nobody_is_lost_when_connections_are_passed_during_reloads)
{
    pass_start(4);
    close_guides(); /* no old worker stays for their sake */
    reloads = 0;
    play(100, reload_now_and_then, 0);
    for (unsigned i = 0; reloads < RELOADS; i++)
        play_round(i, reload_now_and_then, 0);
    daemon_wait_log(&d, "reload done", RELOADS);
    send_home();
    daemon_wait_workers(&d, (int) workers);
    ck_assert_int_gt(look_total(&look, "connections", "passed"), 100);
    pass_find_guides();
    pass_expect_counts(workers, asked);
    pass_stop();
}
END_TEST

int
main(void)
{
    Suite *s = suite_create("pass_faults");
    TCase *tc = daemon_case(s, "pass_faults");

    tcase_add_test(tc, connection_goes_on_when_who_has_passed_it_is_killed);
    tcase_add_loop_test(tc, connection_that_a_killed_worker_had_not_looked_at_is_closed, 0, 2);
    tcase_add_test(tc, what_a_stopped_worker_does_not_take_is_served_where_it_is);
    tcase_add_test(tc, draining_worker_takes_a_connection_and_finishes_it);
    tcase_add_test(tc, connection_that_comes_as_a_worker_is_about_to_exit_is_finished);
    tcase_add_test(tc, nothing_is_lost_or_miscounted_while_connections_go_to_and_fro);
    tcase_add_test(tc, counts_are_right_when_workers_are_killed_meanwhile);
    tcase_add_test(tc, nobody_is_lost_when_connections_are_passed_during_reloads);
    return daemon_main(s);
}
