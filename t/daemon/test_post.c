/*
 * test_post: messages between the processes of a running daemon, whatever happens to these.
 *
 * The module is module_post.c, which the program of these tests has. It checks by itself that each
 * message is for whom it has reached, and the next of its sender's; the tests count.
 */
#include "post.h"

#include "json.h"

#include "rv_base.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { WORKERS = 4, LARGE = 50 * 1000 };

static daemon_t d;
static const char *const names[WORKERS + 1] = { "0", "1", "2", "3", "m" };
static pid_t pids[WORKERS + 1];

static void
setup(void)
{
    post_setup(&d);
}

static void
teardown(void)
{
    daemon_teardown(&d);
}

static void
start(const char *more)
{
    post_conf(&d, WORKERS, more);
    daemon_start(&d);
    daemon_settle(&d);
    for (unsigned i = 0; i < WORKERS; i++)
        pids[i] = post_worker(&d, i);
    pids[WORKERS] = d.master;
    post_settle(&d); /* their first words */
}

static unsigned long
value(int who, post_value_t what)
{
    return post_value(&d, pids[who], what);
}

/* As many letters as a socket holds at least. */
static unsigned
few(void)
{
    return RV_HAVE_SEQPACKET ? 150 : 5;
}

static double
total(const char *name)
{
    char path[64];

    ck_assert_int_eq(daemon_run(&d, "status", "-j", NULL), 0);
    snprintf(path, sizeof(path), "totals/channel/%s", name);
    return json_number(d.output, path);
}

/* --- all to all ----------------------------------------------------------------------- */

static const char *const sandboxes[] = { "", "sandbox = on\n" };

START_TEST(letters_and_calls_pass_between_all)
{
    enum { SMALL = 20, PAYLOADS = 6, CALLS = 5, PEERS = WORKERS };
    unsigned long before[WORKERS + 1];

    if (_i == 1 && strcmp(RV_SANDBOX, "on") != 0)
        return;
    start(sandboxes[_i]);
    for (int i = 0; i <= WORKERS; i++)
        before[i] = value(i, POST_RECEIVED);
    for (int from = 0; from <= WORKERS; from++) {
        for (int to = 0; to <= WORKERS; to++) {
            if (from == to)
                continue;
            post_order(&d, names[from], "send", names[to], SMALL, 100);
            post_order(&d, names[from], "send", names[to], PAYLOADS, LARGE);
            post_order(&d, names[from], "call", names[to], CALLS, 100);
        }
    }
    for (int i = 0; i <= WORKERS; i++) {
        post_wait(&d, pids[i], POST_RECEIVED, before[i] + PEERS * (SMALL + PAYLOADS));
        post_wait(&d, pids[i], POST_ANSWERED, PEERS * CALLS);
        ck_assert_uint_eq(value(i, POST_FAILED), 0);
        ck_assert_uint_eq(value(i, POST_UNANSWERED), 0);
    }
    post_judge(&d);
    ck_assert_int_eq(daemon_log_count(&d, "refused"), 0);
    ck_assert_int_eq(daemon_log_count(&d, "was killed"), 0);
}
END_TEST

/* Hundreds of payloads and descriptors later everybody has what it had. */
START_TEST(nothing_is_left_behind)
{
    int held[WORKERS + 1];

    start("");
    for (int i = 0; i <= WORKERS; i++)
        held[i] = daemon_fd_count(pids[i]);
    for (int i = 0; i < 4; i++) {
        post_order(&d, "0", "send", "1", 50, LARGE);
        post_order(&d, "1", "send", "m", 50, LARGE);
        post_order(&d, "m", "send", "2", 20, 0); /* with the answers no more than a queue holds */
        post_order(&d, "2", "call", "m", 10, LARGE); /* nor is this */
        post_wait(&d, pids[2], POST_ANSWERED, 10 * ((unsigned long) i + 1));
    }
    post_settle(&d);
    for (int i = 0; i <= WORKERS; i++)
        post_wait_descriptors(&d, pids[i], held[i]);
    post_judge(&d);
}
END_TEST

/* --- deaths -------------------------------------------------------------------------------- */

static int
is_dead(daemon_t *unused, void *data)
{
    (void) unused;
    return !daemon_alive(*(const pid_t *) data);
}

/* The master hears of the death and of the letters at the same time. */
START_TEST(what_a_worker_said_before_it_was_killed_arrives)
{
    start("");
    unsigned long at_master = value(WORKERS, POST_RECEIVED), at_worker = value(1, POST_RECEIVED);

    daemon_freeze(&d, pids[WORKERS]);
    post_order_last(&d, "3", "m", few(), 100);
    daemon_wait(&d, is_dead, &pids[3], "worker 3 is dead"); /* it might have been asked next */
    post_order_last(&d, "2", "1", few(), 100);
    daemon_wait(&d, is_dead, &pids[2], "worker 2 is dead");
    ck_assert_int_eq(kill(d.master, SIGCONT), 0);
    post_wait(&d, pids[WORKERS], POST_RECEIVED, at_master + few());
    daemon_wait_log(&d, " started, pid ", WORKERS + 2);
    daemon_wait_workers(&d, WORKERS);
    /* those who came instead have greeted it */
    post_wait(&d, pids[1], POST_RECEIVED, at_worker + few() + 2);
    post_judge(&d);
    ck_assert_int_eq(daemon_log_count(&d, "refused"), 0);
}
END_TEST

START_TEST(calls_of_a_worker_that_is_killed_are_lost_and_not_late)
{
    start("");
    daemon_freeze(&d, pids[1]);
    post_order(&d, "0", "call", "1", 5, 100);
    post_order(&d, "m", "call", "1", 5, 100);
    post_order(&d, "0", "call", "2", 5, 100);
    post_wait(&d, pids[0], POST_MADE, 10);
    post_wait(&d, pids[WORKERS], POST_MADE, 5);
    ck_assert_int_eq(kill(pids[1], SIGKILL), 0);
    post_wait(&d, pids[0], POST_LOST, 5);
    post_wait(&d, pids[WORKERS], POST_LOST, 5);
    post_wait(&d, pids[0], POST_ANSWERED, 5);

    daemon_wait_log(&d, " started, pid ", WORKERS + 1);
    daemon_wait_workers(&d, WORKERS);
    post_order(&d, "0", "call", "1", 5, 100); /* the one that came instead */
    post_wait(&d, pids[0], POST_ANSWERED, 10);
    ck_assert_uint_eq(value(0, POST_LATE), 0);
    post_judge(&d);
}
END_TEST

/* --- other generations ----------------------------------------------------------------------- */

static int
is_leaving(daemon_t *unused, void *data)
{
    (void) unused;
    (void) data;
    return daemon_count_titles(&d, "reeve: worker process is shutting down") == 1
        && daemon_count_titles(&d, "reeve: worker process") == WORKERS;
}

/* Reloads while somebody asks a worker for something; that one's number is returned, and stays. */
static int
reload_but_one(int *client)
{
    static const char request[] = "GET /post/seen HTTP/1.1\r\nHost: a\r\n\r\n";
    static char text[POST_ROWS * 256];
    pid_t old[WORKERS];
    int number = 0;

    memcpy(old, pids, sizeof(old));
    *client = daemon_connect(&d);
    daemon_send(*client, request, strlen(request)); /* whoever answers has it, and keeps it */
    ck_assert_int_eq(daemon_answer(*client, text, sizeof(text), 0), 200);
    daemon_send(*client, request, strlen(request) / 2);
    ck_assert_int_eq(kill(d.master, SIGHUP), 0);
    daemon_wait_log(&d, "reload done", 1);
    daemon_wait(&d, is_leaving, NULL, "one worker of the old generation is left");
    while (number < WORKERS - 1 && strstr(daemon_title(old[number], text, 128), "shutting") == NULL)
        number++; /* one that is just exiting has no title */
    pids[WORKERS] = old[number];
    for (unsigned i = 0; i < WORKERS; i++)
        pids[i] = post_worker(&d, i);
    return number;
}

START_TEST(generations_do_not_hear_each_other)
{
    char old[8];
    int client;

    start("");
    snprintf(old, sizeof(old), "o%d", reload_but_one(&client));
    post_settle(&d);
    int held = daemon_fd_count(pids[0]);
    unsigned long received = value(0, POST_RECEIVED), at_old = value(WORKERS, POST_RECEIVED);

    post_order(&d, "0", "send", old, 3, 0);
    post_wait(&d, pids[0], POST_FAILED, 1);
    post_order(&d, old, "send", "o0", 3, 0);
    post_wait(&d, pids[WORKERS], POST_FAILED, 1);
    ck_assert_int_eq(daemon_log_count(&d, "refused"), 0);

    /* one that does not keep to it */
    post_order(&d, old, "unasked", "o0", 3, 0);
    daemon_wait_log(&d, "refused: it is not for this worker", 1);
    post_order(&d, old, "call", "m", 1, 0); /* the master is everybody's */
    post_wait(&d, pids[WORKERS], POST_ANSWERED, 1);
    post_wait_descriptors(&d, pids[0], held);
    ck_assert_uint_eq(value(0, POST_RECEIVED), received);
    ck_assert_uint_eq(value(WORKERS, POST_RECEIVED), at_old);
    if (RV_HAVE_MEMFD)
        ck_assert_int_eq((int) total("refused"), 3);
    post_judge(&d);
    close(client);
}
END_TEST

/* --- a receiver that does not read --------------------------------------------------------------- */

enum { QUEUE = 256 * 1024 };

static long
memory(pid_t pid)
{
    char text[64];

    return atol(daemon_proc_status(pid, "VmRSS", text, sizeof(text)));
}

START_TEST(a_stopped_receiver_costs_its_queue_and_nothing_is_lost)
{
    enum { MANY = 5000, SIZE = 1000, ROUNDS = 5, KILOBYTES = 4 * 1024 };

    start("channel_queue = 256k\n");
    daemon_freeze(&d, pids[1]);
    unsigned long received = value(0, POST_RECEIVED);
    post_order(&d, "0", "send", "1", MANY, SIZE); /* until it is told that there is no room */
    post_order(&d, "2", "send", "0", few(), 0);   /* which does not hold up others */
    post_wait(&d, pids[0], POST_RECEIVED, received + few());
    ck_assert_uint_eq(value(0, POST_AGAIN), 1);

    unsigned long sent = value(0, POST_SENT);
    long before = memory(pids[0]);
    for (int i = 0; i < ROUNDS;
         i++) /* the order in hand is forgotten, and each is refused at once */
        post_order(&d, "0", "send", "1", MANY, SIZE);
    post_wait(&d, pids[0], POST_AGAIN, 1 + ROUNDS);
    ck_assert_uint_eq(value(0, POST_SENT), sent);
    ck_assert_int_lt(memory(pids[0]) - before, KILOBYTES);
    if (RV_HAVE_MEMFD) { /* else nobody can look into it from outside */
        ck_assert_int_ge((int) total("full"), 1 + ROUNDS);
        ck_assert_int_gt((int) total("queued"), QUEUE / 20000);
        ck_assert_int_gt((int) total("queued_most_bytes"), QUEUE / 2);
        ck_assert_int_le((int) total("queued_most_bytes"), QUEUE + 20000);
    }

    ck_assert_int_eq(kill(pids[1], SIGCONT), 0);
    post_settle(&d);
    post_wait(&d, pids[0], POST_SENT, sent + MANY); /* the last order, as room came */
    post_settle(&d);
    ck_assert_uint_eq(value(0, POST_ROOMS), value(0, POST_AGAIN) - ROUNDS);
    post_judge(&d);
    if (RV_HAVE_MEMFD) {
        ck_assert_int_eq((int) total("dropped"), 0);
        ck_assert_int_eq((int) total("queued"), 0);
        ck_assert_int_eq((int) total("refused"), 0);
    }
}
END_TEST

/* Each is a file in memory, of which the socket knows only that it is a descriptor. */
START_TEST(payloads_for_a_stopped_receiver_cost_no_more_than_others)
{
    enum { PAYLOADS = 500 };

    start("channel_queue = 256k\n");
    unsigned long sent = value(0, POST_SENT);

    daemon_freeze(&d, pids[1]);
    post_order(&d, "0", "send", "1", PAYLOADS, LARGE);
    post_wait(&d, pids[0], POST_AGAIN, 1);
    ck_assert_uint_le(value(0, POST_SENT) - sent, 2 * (QUEUE / LARGE));
    ck_assert_int_eq(kill(pids[1], SIGCONT), 0);
    post_wait(&d, pids[0], POST_SENT, sent + PAYLOADS);
    post_settle(&d);
    post_judge(&d);
}
END_TEST

static int
has_all_or_dropped(daemon_t *unused, void *data)
{
    const unsigned long *sent = data;

    (void) unused;
    return value(1, POST_RECEIVED) + (unsigned long) total("dropped") == *sent;
}

START_TEST(what_its_policy_drops_is_counted)
{
    enum { MANY = 3000, SIZE = 1000 };

    if (!RV_HAVE_MEMFD)
        return;
    start("channel_queue = 256k\n");
    unsigned long sent = value(1, POST_RECEIVED) + MANY;
    daemon_freeze(&d, pids[1]);
    post_order(&d, "0", "postcards", "1", MANY, SIZE);
    post_wait(&d, pids[0], POST_OBEYED, 1);
    ck_assert_uint_eq(value(0, POST_AGAIN), 0);
    ck_assert_int_eq(kill(pids[1], SIGCONT), 0);
    daemon_wait(&d, has_all_or_dropped, &sent, "all have arrived or were dropped");
    ck_assert_int_gt((int) total("dropped"), 0);
    post_judge(&d);
}
END_TEST

/* What was held back for a worker that then dies is dropped, and said to be. */
START_TEST(what_waits_for_a_worker_that_is_killed_is_dropped)
{
    if (!RV_HAVE_MEMFD)
        return;
    start("channel_queue = 256k\n");
    daemon_freeze(&d, pids[1]);
    post_order(&d, "0", "send", "1", 5000, 1000);
    post_wait(&d, pids[0], POST_AGAIN, 1);
    int queued = (int) total("queued");
    ck_assert_int_gt(queued, 0);
    ck_assert_int_eq(kill(pids[1], SIGKILL), 0);
    daemon_wait_log(&d, " started, pid ", WORKERS + 1);
    daemon_wait_workers(&d, WORKERS);
    post_order(&d, "0", "call", "1", 1, 0); /* it has heard of all that by now */
    post_wait(&d, pids[0], POST_ANSWERED, 1);
    ck_assert_int_eq((int) total("queued"), 0);
    ck_assert_int_ge((int) total("dropped"), queued - WORKERS);
    post_judge(&d);
}
END_TEST

/* --- counters --------------------------------------------------------------------------------------- */

START_TEST(letters_and_their_delays_are_counted)
{
    enum { LETTERS = 100 };

    if (!RV_HAVE_MEMFD)
        return;
    start("");
    double sent = total("sent"), received = total("received"), delays = total("delay/count");
    post_order(&d, "0", "send", "1", LETTERS, 100);
    post_settle(&d);
    ck_assert(total("sent") >= sent + LETTERS);
    ck_assert(total("received") >= received + LETTERS);
    ck_assert(total("delay/count") >= delays + LETTERS);
    ck_assert(total("delay/count") <= total("received"));
    ck_assert(total("delay/sum") > 0);
    ck_assert(total("full") == 0 && total("dropped") == 0 && total("refused") == 0);
}
END_TEST

int
main(void)
{
    Suite *s = suite_create("post");
    TCase *tc = daemon_case(s, "post");

    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_add_loop_test(tc, letters_and_calls_pass_between_all, 0, 2);
    tcase_add_test(tc, nothing_is_left_behind);
    tcase_add_test(tc, what_a_worker_said_before_it_was_killed_arrives);
    tcase_add_test(tc, calls_of_a_worker_that_is_killed_are_lost_and_not_late);
    tcase_add_test(tc, generations_do_not_hear_each_other);
    tcase_add_test(tc, a_stopped_receiver_costs_its_queue_and_nothing_is_lost);
    tcase_add_test(tc, payloads_for_a_stopped_receiver_cost_no_more_than_others);
    tcase_add_test(tc, what_its_policy_drops_is_counted);
    tcase_add_test(tc, what_waits_for_a_worker_that_is_killed_is_dropped);
    tcase_add_test(tc, letters_and_their_delays_are_counted);
    return daemon_main(s);
}
