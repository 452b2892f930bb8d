/*
 * test_events: messages by topic, published at one worker and heard at all.
 */
#include "heir.h"
#include "look.h"
#include "sse.h"

#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { WORKERS = 4 };

static daemon_t d;
static sse_reader_t reader[2 * WORKERS];

static void
setup(void)
{
    daemon_setup(&d);
    memset(reader, 0, sizeof(reader));
}

static void
teardown(void)
{
    daemon_teardown(&d);
}

static void
configure(const char *lines)
{
    daemon_conff(&d,
        "[main]\nworker_processes = %d\nerror_log = logs/error.log info\n"
        "[events]\nworker_connections = 4096\n[zone stats]\ntype = %s\n"
        "[http]\nlisten = 127.0.0.1:%d reuseport\nkeepalive_requests = 1000000\n"
        "[location /events]\nhandler = events\n[location /publish]\nhandler = publish\n"
        "[location /hello]\nhandler = return\nreturn = 200 hello\n%s",
        WORKERS, look_type(), d.port, lines);
}

static void
start(const char *lines)
{
    configure(lines);
    daemon_start(&d);
}

/* --- one reader -------------------------------------------------------------------------- */

/* Listens to a topic: the first block says where it begins. */
static void
listen_to(sse_reader_t *r, const char *topic, uint64_t since)
{
    char path[256], line[64] = "";

    snprintf(path, sizeof(path), "/events?topic=%s", topic);
    if (since > 0)
        snprintf(line, sizeof(line), "Last-Event-ID: %" PRIu64 "\r\n", since);
    sse_open(&d, r, path, line);
    ck_assert(sse_block(r));
    ck_assert(!r->is_event);
    ck_assert_int_eq(r->retry, 2000);
    if (since > 0)
        ck_assert_uint_eq(r->id, since);
    ck_assert_uint_gt(r->id, 0);
}

static uint64_t
publish(const char *topic, const char *text)
{
    int64_t id = sse_publish(&d, topic, text, strlen(text));

    ck_assert_int_gt(id, 0);
    return (uint64_t) id;
}

static void
expect_event(sse_reader_t *r, uint64_t id, const char *data)
{
    ck_assert(sse_event(r));
    ck_assert_msg(strcmp(r->data, data) == 0, "\"%.40s\", not \"%.40s\"", r->data, data);
    ck_assert_str_eq(r->name, "");
    ck_assert_uint_eq(r->id, id);
}

/* What has this id, and something before it, is not to be had any more. */
static void
expect_lost(sse_reader_t *r, uint64_t after)
{
    char data[128];

    ck_assert(sse_event(r));
    ck_assert_str_eq(r->name, "lost");
    snprintf(data, sizeof(data), "{\"after\":%" PRIu64 ",\"until\":%" PRIu64 "}", after, r->id);
    ck_assert_str_eq(r->data, data);
}

START_TEST(a_message_reaches_all_who_listen_to_its_topic)
{
    look_t look;

    start("");
    for (int i = 0; i < 2 * WORKERS; i++)
        listen_to(&reader[i], i % 2 ? "odd" : "even", 0);
    look_open(&d, &look);
    look_wait(&d, &look, "events", "listeners", 8);
    ck_assert_uint_eq(publish("nobody", "is there") + 1, publish("odd", "one"));
    uint64_t two = publish("even", "two lines,\r\nthe second \xc3\xbc\rthe third"),
             three = publish("odd", "");
    for (int i = 1; i < 2 * WORKERS; i += 2) {
        expect_event(&reader[i], two - 1, "one");
        expect_event(&reader[i], three, "");
        expect_event(&reader[i - 1], two, "two lines,\nthe second \xc3\xbc\nthe third");
    }
    for (int i = 0; i < 2 * WORKERS; i++)
        sse_close(&reader[i]);
    look_wait(&d, &look, "events", "listeners", 0);
    ck_assert_int_eq(look_total(&look, "events", "published"), 4);
    ck_assert_int_eq(look_total(&look, "events", "delivered"), 12);
    look_close(&look);
}
END_TEST

/* As a browser gets it. */
START_TEST(the_answer_is_a_stream_of_events)
{
    static const char request[] = "GET /events?topic=a HTTP/1.1\r\nHost: a\r\n\r\n";
    static const char *const lines[] = { "HTTP/1.1 200 OK\r\n",
        "\r\nContent-Type: text/event-stream\r\n", "\r\nCache-Control: no-store\r\n",
        "\r\nTransfer-Encoding: chunked\r\n", "\r\nretry: 2000\nid: " };
    char text[2048] = "";
    size_t length = 0;

    start("");
    int fd = daemon_connect(&d);
    daemon_send(fd, request, sizeof(request) - 1);
    while (strstr(text, "\n\n") == NULL) {
        ssize_t n = recv(fd, text + length, sizeof(text) - 1 - length, 0);
        ck_assert_int_gt(n, 0);
        length += (size_t) n;
        text[length] = '\0';
    }
    for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++)
        ck_assert_msg(strstr(text, lines[i]) != NULL, "%s is not in\n%s", lines[i], text);
    close(fd);
}
END_TEST

START_TEST(what_is_no_message_or_topic_is_refused)
{
    static char text[70000];
    static const char *const paths[] = { "/events", "/events?topic=", "/events?topic=a%20b",
        "/events?topic=a%0ab", "/events?topic=a&since=x", "/events?topic=%zz" };
    char body[1024], topic[80];

    start("");
    for (size_t i = 0; i < sizeof(paths) / sizeof(paths[0]); i++)
        ck_assert_int_eq(daemon_get(&d, paths[i], body, sizeof(body)), 400);
    ck_assert_int_eq(daemon_get(&d, "/publish?topic=a", body, sizeof(body)), 405);
    memset(topic, 't', sizeof(topic));
    topic[65] = '\0';
    ck_assert_int_eq(sse_publish(&d, topic, "a", 1), -400);
    ck_assert_int_gt(sse_publish(&d, topic + 1, "a", 1), 0);
    ck_assert_int_eq(sse_publish(&d, "", "a", 1), -400);
    ck_assert_int_eq(sse_publish(&d, "%3cb%3e", "a", 1), -400);
    memset(text, 'x', sizeof(text));
    ck_assert_int_eq(sse_publish(&d, "a", text, 16 * 1024 + 1), -413);
    ck_assert_int_eq(sse_publish(&d, "a", text, sizeof(text)), -413);
    listen_to(&reader[0], "a", 0);
    ck_assert_int_gt(sse_publish(&d, "a", text, 16 * 1024), 0);
    ck_assert(sse_event(&reader[0]));
    ck_assert_uint_eq(strlen(reader[0].data), 16 * 1024);
    sse_close(&reader[0]);
}
END_TEST

/* --- coming late, and again -------------------------------------------------------------- */

START_TEST(who_comes_again_misses_nothing)
{
    char text[64], path[64];
    uint64_t ids[50];

    start("");
    listen_to(&reader[0], "a", 0); /* and has not heard anything yet */
    sse_close(&reader[0]);
    for (int i = 0; i < 50; i++) {
        snprintf(text, sizeof(text), "%d", i);
        ids[i] = publish("a", text);
        (void) publish("b", "not this");
    }
    for (int from = 0; from < 50; from += 7) {
        uint64_t since = from == 0 ? reader[0].id : ids[from - 1];

        listen_to(&reader[1], "a", since);
        for (int i = from; i < 50; i++) {
            snprintf(text, sizeof(text), "%d", i);
            expect_event(&reader[1], ids[i], text);
        }
        sse_close(&reader[1]);
    }
    listen_to(&reader[1], "a", ids[48]);
    expect_event(&reader[1], ids[49], "49");
    uint64_t more = publish("b", "not this"), mine = publish("a", "new");
    ck_assert_uint_eq(more + 1, mine);
    expect_event(&reader[1], mine, "new");
    sse_close(&reader[1]);

    /* in the URL, too, where a header does not say better */
    snprintf(path, sizeof(path), "/events?topic=a&since=%" PRIu64, ids[47]);
    sse_open(&d, &reader[0], path, "");
    expect_event(&reader[0], ids[48], "48");
    sse_close(&reader[0]);
    snprintf(text, sizeof(text), "last-event-id: %" PRIu64 "\r\n", ids[48]);
    sse_open(&d, &reader[0], path, text);
    expect_event(&reader[0], ids[49], "49");
    sse_close(&reader[0]);
}
END_TEST

START_TEST(who_asks_for_what_is_gone_is_told_so)
{
    static char text[16 * 1024];
    uint64_t first, last = 0;

    start(""); /* the zone is of 1m */
    memset(text, 'x', sizeof(text));
    first = publish("a", "the first");
    for (int i = 0; i < 100; i++)
        last = (uint64_t) sse_publish(&d, "b", text, sizeof(text));
    uint64_t mine = publish("a", "mine");
    ck_assert_uint_eq(mine, last + 1);

    static const char *const since[] = { "1", "18446744073709551615", "nonsense" };
    for (int i = 0; i < 3; i++) {
        char line[64];

        snprintf(line, sizeof(line), "Last-Event-ID: %s\r\n", since[i]);
        sse_open(&d, &reader[0], "/events?topic=a", line);
        expect_lost(&reader[0], i < 2 ? strtoull(since[i], NULL, 10) : 0);
        ck_assert_uint_gt(reader[0].id, first);
        expect_event(&reader[0], mine, "mine");
        sse_close(&reader[0]);
    }
    listen_to(&reader[0], "a", first);
    expect_lost(&reader[0], first);
    expect_event(&reader[0], mine, "mine");
    sse_close(&reader[0]);
}
END_TEST

/* Heartbeats say where it stands: it has not missed the messages of others. */
START_TEST(who_hears_nothing_for_long_does_not_fall_behind)
{
    static char text[16 * 1024];
    uint64_t last = 0;

    start("[topics]\nheartbeat = 1s\nretry = 5s\n");
    sse_open(&d, &reader[0], "/events?topic=a", "");
    ck_assert(sse_block(&reader[0]));
    ck_assert_int_eq(reader[0].retry, 5000);
    for (int i = 0; i < 100; i++)
        last = (uint64_t) sse_publish(&d, "b", text, sizeof(text));
    while (reader[0].id < last) {
        ck_assert(sse_block(&reader[0]));
        ck_assert(!reader[0].is_event);
    }
    sse_close(&reader[0]);
    uint64_t mine = publish("a", "mine");
    char line[64];
    snprintf(line, sizeof(line), "Last-Event-ID: %" PRIu64 "\r\n", reader[0].id);
    sse_open(&d, &reader[0], "/events?topic=a", line);
    expect_event(&reader[0], mine, "mine");
    sse_close(&reader[0]);
}
END_TEST

/* Not waited for; what it has not got it gets when it comes again, however much that is. */
START_TEST(a_slow_listener_is_cut_off_and_may_come_again)
{
    enum { SIZE = 16 * 1024, LIMIT = 4000 };
    static char text[SIZE + 1];
    look_t look;
    int sent = 0;

    start("[zone events]\nsize = 64m\n");
    look_open(&d, &look);
    listen_to(&reader[0], "a", 0); /* who reads nothing for now, */
    const uint64_t begin = reader[0].id;
    listen_to(&reader[1], "a", 0); /* and who does */
    while (look_total(&look, "http", "streams_cut") == 0) {
        ck_assert_int_lt(sent, LIMIT);
        memset(text, 'a' + sent % 26, SIZE);
        uint64_t id = publish("a", text);
        expect_event(&reader[1], id, text);
        sent++;
    }
    look_close(&look);

    int got = 0, opened = 1;
    while (got < sent) {
        while (got < sent && sse_event(&reader[0])) {
            memset(text, 'a' + got++ % 26, SIZE);
            ck_assert_int_eq(strcmp(reader[0].data, text), 0);
        }
        sse_close(&reader[0]);
        if (got == sent)
            break;
        listen_to(&reader[0], "a", reader[0].id);
        opened++;
    }
    ck_assert_int_eq(opened, 2);

    /* from the beginning: more than its socket takes, and what is new comes behind that */
    listen_to(&reader[0], "a", begin);
    uint64_t new = publish("a", "new");
    expect_event(&reader[1], new, "new");
    for (got = 0; got < sent; got++) {
        memset(text, 'a' + got % 26, SIZE);
        expect_event(&reader[0], begin + 1 + (uint64_t) got, text);
    }
    expect_event(&reader[0], new, "new");
    sse_close(&reader[0]);
    sse_close(&reader[1]);
}
END_TEST

/* --- workers come and go ----------------------------------------------------------------- */

/* The worker finishes: it has said all that there was, and where to go on. */
static void
expect_good_bye(sse_reader_t *r, uint64_t id)
{
    ck_assert(sse_block(r));
    ck_assert(!r->is_event);
    ck_assert_int_eq(r->retry, 100);
    ck_assert_uint_eq(r->id, id);
    ck_assert(!sse_block(r));
    sse_close(r);
}

/* The zone as it was, larger, and of another type. */
START_TEST(nothing_is_missed_over_a_reload)
{
    const char *zones[] = { "", "[zone events]\nsize = 2m\n",
        "[zone events]\ntype = file\npath = logs/events.zone\n" };

    start("");
    uint64_t first = publish("a", "zero"), last = first;
    for (int i = 0; i < 3; i++) {
        listen_to(&reader[0], "a", 0);
        last = publish("a", "one");
        configure(zones[i]);
        daemon_reload(&d);
        expect_event(&reader[0], last, "one");
        expect_good_bye(&reader[0], last);
        uint64_t two = publish("a", "two");
        ck_assert_uint_gt(two, last);
        listen_to(&reader[0], "a", last);
        expect_event(&reader[0], two, "two");
        sse_close(&reader[0]);
        listen_to(&reader[0], "a", first - 1); /* from the very beginning */
        expect_event(&reader[0], first, "zero");
        sse_close(&reader[0]);
    }
}
END_TEST

/* By whom the others are not told: they look for themselves. */
START_TEST(what_a_worker_of_the_old_generation_publishes_is_heard)
{
    static const char hello[] = "GET /hello HTTP/1.1\r\nHost: a\r\n\r\n";
    static const char post[] =
        "POST /publish?topic=a HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nlate";
    char text[1024];

    start("");
    int fd = daemon_connect(&d);
    daemon_send(fd, hello, sizeof(hello) - 1);
    ck_assert_int_eq(daemon_answer(fd, text, sizeof(text), 0), 200);
    ck_assert_int_eq(kill(d.master, SIGHUP), 0);
    daemon_wait_log(&d, "reload done, generation 2", 1);
    daemon_wait_log(&d, "told to quit", WORKERS);
    listen_to(&reader[0], "a", 0);
    daemon_send(fd, post, sizeof(post) - 1);
    ck_assert_int_eq(daemon_answer(fd, text, sizeof(text), 0), 200);
    ck_assert_ptr_nonnull(strstr(text, "\r\nConnection: close\r\n"));
    close(fd);
    expect_event(&reader[0], reader[0].id + 1, "late");
    sse_close(&reader[0]);
}
END_TEST

START_TEST(ids_grow_over_a_restart_and_who_comes_again_is_told)
{
    start("");
    listen_to(&reader[0], "a", 0);
    uint64_t one = publish("a", "one");
    expect_event(&reader[0], one, "one");
    daemon_signal(&d, "quit");
    daemon_wait_gone(&d);
    expect_good_bye(&reader[0], one);

    daemon_start(&d);
    uint64_t two = publish("a", "two");
    ck_assert_uint_gt(two, one);
    listen_to(&reader[0], "a", one);
    expect_lost(&reader[0], one);
    expect_event(&reader[0], two, "two");
    sse_close(&reader[0]);
}
END_TEST

/* In a file the messages are kept; and a new master has the memory of the old one. */
START_TEST(messages_outlive_the_daemon)
{
    char lines[128];

    if (_i == 1)
        heir_setup(&d);
    snprintf(lines, sizeof(lines), "[zone events]\ntype = %s\n",
        _i == 0 ? "file\npath = logs/events.zone" : look_type());
    start(lines);
    uint64_t one = publish("a", "one"), two = publish("a", "two");
    if (_i == 0) {
        daemon_signal(&d, "quit");
        daemon_wait_gone(&d);
        daemon_start(&d);
    } else {
        heir_upgrade(&d);
    }
    listen_to(&reader[0], "a", one);
    expect_event(&reader[0], two, "two");
    uint64_t three = publish("a", "three");
    ck_assert_uint_eq(three, two + 1);
    expect_event(&reader[0], three, "three");
    sse_close(&reader[0]);
}
END_TEST

int
main(void)
{
    Suite *s = suite_create("events");
    TCase *tc = daemon_case(s, "events");

    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_add_test(tc, a_message_reaches_all_who_listen_to_its_topic);
    tcase_add_test(tc, the_answer_is_a_stream_of_events);
    tcase_add_test(tc, what_is_no_message_or_topic_is_refused);
    tcase_add_test(tc, who_comes_again_misses_nothing);
    tcase_add_test(tc, who_asks_for_what_is_gone_is_told_so);
    tcase_add_test(tc, who_hears_nothing_for_long_does_not_fall_behind);
    tcase_add_test(tc, a_slow_listener_is_cut_off_and_may_come_again);
    tcase_add_test(tc, nothing_is_missed_over_a_reload);
    tcase_add_test(tc, what_a_worker_of_the_old_generation_publishes_is_heard);
    tcase_add_test(tc, ids_grow_over_a_restart_and_who_comes_again_is_told);
    tcase_add_loop_test(tc, messages_outlive_the_daemon, 0, 2);
    return daemon_main(s);
}
