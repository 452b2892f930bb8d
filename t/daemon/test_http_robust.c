/*
 * test_http_robust: clients that break off, dawdle or never read.
 *
 * None of them costs anybody else anything.
 */
#include "test_http.h"

#include "rv_base.h"

#include <errno.h>

#define HELLO "keepalive_requests = 100000000\n" HTTP_STATUS HTTP_RETURN("/hello", "200 hello")
#define GET "GET /hello HTTP/1.1\r\nHost: a\r\n\r\n"
#define POST "POST /hello HTTP/1.1\r\nHost: a\r\n"

enum { GET_LENGTH = sizeof(GET) - 1, MANY = 1000 };

static const char conf[] = HTTP_MAIN("1") HTTP_LISTEN HELLO;

static daemon_t d;
static char text[1024 * 1024];
static char gets[MANY * GET_LENGTH];

static void
fill_gets(void)
{
    for (size_t i = 0; i < MANY; i++)
        memcpy(gets + i * GET_LENGTH, GET, GET_LENGTH);
}

/*
 * Goes on with a stream of requests as long as the server takes them, up to
 * `most` bytes; `sent` is how many it has taken. 1: it took some now.
 */
static int
stuff(int fd, size_t *sent, size_t most)
{
    size_t before = *sent;

    while (*sent < most) {
        size_t at = *sent % sizeof(gets);
        size_t length = rv_min(sizeof(gets) - at, most - *sent);
        ssize_t n = send(fd, gets + at, length, MSG_NOSIGNAL | MSG_DONTWAIT);

        if (n == -1 && errno == EAGAIN)
            break;
        ck_assert_int_gt(n, 0);
        *sent += (size_t) n;
    }
    return *sent > before;
}

/* All this one wants is an answer, and soon. */
static void
expect_service(void)
{
    ck_assert_int_eq(daemon_get(&d, "/hello", text, sizeof(text)), 200);
    ck_assert_str_eq(text, "hello");
}

/* --- breaking off --------------------------------------------------------------------- */

static const char *const phases[] = { "", "G", "GET /hello HTTP/1.1\r\nHost: a\r\n", GET,
    GET GET "GET", POST "Content-Length: 9\r\n\r\n", POST "Content-Length: 9\r\n\r\n1234",
    POST "Expect: 100-continue\r\nContent-Length: 9\r\n\r\n",
    POST "Transfer-Encoding: chunked\r\n\r\n", POST "Transfer-Encoding: chunked\r\n\r\n5\r\n12",
    POST "Transfer-Encoding: chunked\r\n\r\n5\r\n12345\r\n0\r\n", "nonsense\r\n\r\n",
    POST "Content-Length: 99999999\r\n\r\n12345" };

START_TEST(client_that_resets_leaves_nothing_behind)
{
    enum { TIMES = 20 };
    daemon_status_t first, s;

    http_start(&d, conf);
    fill_gets();
    int control = http_connect(&d);
    unsigned asked = http_wait_counts(control, 0, 1, 0, &first);
    for (size_t i = 0; i < rv_countof(phases); i++) {
        for (int n = 0; n < TIMES; n++) {
            int fd = http_open(&d, phases[i]);

            if (n % 2 == 0) /* the server has seen it; else it may find it reset */
                http_status(control, &s);
            http_reset(fd);
        }
        expect_service();
    }
    for (int n = 0; n < TIMES; n++) { /* while answers are stuck */
        int fd = http_connect(&d);
        size_t sent = 0;

        while (stuff(fd, &sent, sizeof(gets) * 100))
            http_status(control, &s);
        http_reset(fd);
    }
    expect_service();
    http_wait_counts(control, 0, 1, 0, &s);
    ck_assert_uint_eq(asked, 1);
    ck_assert_uint_eq(s.accepts - first.accepts, (TIMES + 1) * rv_countof(phases) + TIMES + 1);
    ck_assert_uint_eq(s.handled, s.accepts);
    ck_assert_int_eq(daemon_log_count(&d, "[error]") + daemon_log_count(&d, "[crit]"), 0);
    close(control);
    daemon_teardown(&d);
}
END_TEST

static const struct {
    const char *bytes;
    int answers;
} halves[] = {
    { "", 0 },
    { "GET /hel", 0 },
    { GET, 1 },
    { GET "GET /hel", 1 },
    { GET GET GET, 3 },
    { POST "Content-Length: 5\r\n\r\nabcde", 1 },
    { POST "Content-Length: 5\r\n\r\nabcd", 0 },
    { POST "Transfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\n\r\n", 1 },
    { POST "Transfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\n", 0 },
    { "GET /hello HTTP/1.0\r\n\r\n", 1 },
    { "nonsense\r\n\r\n", 1 },
};

/* So many answers, and then the end. */
static void
expect_answers(int fd, int wanted)
{
    const char *at = text;
    http_answer_t a;
    int count = 0;

    text[0] = '\0';
    ck_assert_int_ge(daemon_read_end(fd, text, sizeof(text)), 0);
    while (http_next(&at, &a, 0))
        count++;
    ck_assert_int_eq(count, wanted);
    close(fd);
}

START_TEST(client_that_half_closes_gets_what_he_has_asked_for)
{
    daemon_status_t s;

    http_start(&d, conf);
    int control = http_connect(&d);
    for (size_t i = 0; i < rv_countof(halves); i++) {
        int fd = http_open(&d, halves[i].bytes);

        shutdown(fd, SHUT_WR);
        expect_answers(fd, halves[i].answers);
    }
    http_wait_counts(control, 0, 1, 0, &s);
    close(control);
    daemon_teardown(&d);
}
END_TEST

/* What has come: answers that are all as long as the first. */
typedef struct {
    size_t count, bytes;
    size_t matched; /* of the mark */
} answers_t;

/* Reads what there is, up to `room` bytes. 0: there is no more. */
static int
count_answers(int fd, size_t room, answers_t *answers)
{
    static const char mark[] = "HTTP/1.1 200 ";
    size_t matched = answers->matched;
    ssize_t n = recv(fd, text, rv_min(room, sizeof(text)), 0);

    ck_assert_int_ge(n, 0);
    answers->bytes += (size_t) n;
    for (ssize_t i = 0; i < n; i++) {
        matched = text[i] == mark[matched] ? matched + 1 : text[i] == mark[0];
        if (matched == sizeof(mark) - 1) {
            answers->count++;
            matched = 0;
        }
    }
    answers->matched = matched;
    return n > 0;
}

/* Asks once, and says how long the answer is. */
static size_t
answer_length(int fd)
{
    http_send(fd, GET);
    ck_assert_int_eq(daemon_answer(fd, text, sizeof(text), 0), 200);
    return strlen(text);
}

START_TEST(client_that_half_closes_gets_answers_that_were_stuck)
{
    size_t sent = 0;
    answers_t answers = { 0 };
    daemon_status_t s;

    http_start(&d, conf);
    fill_gets();
    int control = http_connect(&d);
    int fd = http_connect(&d);
    size_t length = answer_length(fd);
    while (stuff(fd, &sent, sizeof(gets) * 1000) || s.writing != 2)
        http_status(control, &s);
    ck_assert_uint_lt(sent, sizeof(gets) * 1000);
    shutdown(fd, SHUT_WR);
    while (count_answers(fd, sizeof(text), &answers))
        continue;
    ck_assert_uint_eq(answers.count, sent / GET_LENGTH);
    ck_assert_uint_eq(answers.bytes, answers.count * length);
    close(fd);
    close(control);
    daemon_teardown(&d);
}
END_TEST

/* --- dawdling ----------------------------------------------------------------------------- */

START_TEST(two_hundred_dripping_clients_hold_up_nobody)
{
    enum { CLIENTS = 200 };
    static int fds[CLIENTS];
    daemon_status_t s;

    http_start(&d, conf);
    int control = http_connect(&d);
    for (int i = 0; i < CLIENTS; i++)
        fds[i] = http_connect(&d);
    http_wait_counts(control, 0, 1, CLIENTS, &s);
    for (int at = 0; at < GET_LENGTH; at++) {
        for (int i = 0; i < CLIENTS; i++)
            daemon_send(fds[i], &GET[at], 1);
        expect_service();
        if (at < GET_LENGTH - 1)
            http_wait_counts(control, CLIENTS, 1, 0, &s);
    }
    for (int i = 0; i < CLIENTS; i++)
        ck_assert_int_eq(daemon_answer(fds[i], text, sizeof(text), 0), 200);
    http_wait_counts(control, 0, 1, CLIENTS, &s);
    for (int i = 0; i < CLIENTS; i++)
        close(fds[i]);
    close(control);
    daemon_teardown(&d);
}
END_TEST

/* --- never reading -------------------------------------------------------------------------- */

START_TEST(clients_that_never_read_are_cut_and_take_no_memory)
{
    enum { CLIENTS = 10, MOST = 16 * 1024 * 1024 };
    int fds[CLIENTS], moved;
    size_t sent[CLIENTS] = { 0 };
    daemon_status_t s;

    daemon_setup(&d);
    http_give_back_memory();
    daemon_conf(&d, HTTP_MAIN("1") HTTP_LISTEN "send_timeout = 2s\n" HELLO);
    daemon_start(&d);
    fill_gets();
    int control = http_connect(&d);
    http_status(control, &s);
    long before = http_worker_memory(&d, "VmRSS");
    for (int i = 0; i < CLIENTS; i++)
        fds[i] = http_connect(&d);
    do {
        moved = 0;
        for (int i = 0; i < CLIENTS; i++)
            moved += stuff(fds[i], &sent[i], MOST);
        expect_service();
        http_status(control, &s);
    } while (moved > 0 || s.writing < CLIENTS + 1);

    for (int i = 0; i < CLIENTS; i++)
        ck_assert_uint_lt(sent[i], MOST);
    ck_assert_int_lt(http_worker_memory(&d, "VmRSS") - before, 8 * 1024);

    int64_t end = http_now() + DAEMON_LIMIT * 1000;
    do {
        expect_service();
        http_status(control, &s);
        ck_assert_int_lt(http_now(), end);
    } while (s.active > 1);
    for (int i = 0; i < CLIENTS; i++)
        close(fds[i]);
    close(control);
    daemon_teardown(&d);
}
END_TEST

START_TEST(idle_connections_have_no_buffers)
{
    enum { CLIENTS = 800 };
    static int fds[CLIENTS];
    daemon_status_t s;

    daemon_setup(&d);
    http_give_back_memory();
    daemon_conf(&d, HTTP_MAIN("1") HTTP_LISTEN "client_max_header_size = 64k\n" HELLO);
    daemon_start(&d);
    int control = http_connect(&d);
    http_status(control, &s);
    long before = http_worker_memory(&d, "VmRSS");
    for (int i = 0; i < CLIENTS; i++) {
        fds[i] = http_connect(&d);
        ck_assert_uint_gt(answer_length(fds[i]), 0);
    }
    http_wait_counts(control, 0, 1, CLIENTS, &s);
    ck_assert_int_lt(http_worker_memory(&d, "VmRSS") - before, 2 * 1024);
    for (int i = 0; i < CLIENTS; i++)
        close(fds[i]);
    close(control);
    daemon_teardown(&d);
}
END_TEST

/* --- and one that does all he can -------------------------------------------------------------- */

/* Sends so many requests, reading what comes meanwhile and then the rest. */
static void
expect_burst(int fd, size_t requests, size_t length)
{
    size_t sent = 0;
    answers_t answers = { 0 };
    struct pollfd p = { .fd = fd };

    while (answers.bytes < requests * length) {
        p.events = (short) (sent < requests * GET_LENGTH ? POLLIN | POLLOUT : POLLIN);
        ck_assert_int_eq(poll(&p, 1, DAEMON_LIMIT * 1000), 1);
        if (p.revents & POLLOUT)
            stuff(fd, &sent, requests * GET_LENGTH);
        if (p.revents & ~POLLOUT && !count_answers(fd, 16 * 1024, &answers))
            ck_abort_msg("%zu of %zu requests are answered:\n%s", answers.count, requests, text);
    }
    ck_assert_uint_eq(answers.count, requests);
    ck_assert_uint_eq(answers.bytes, requests * length);
}

START_TEST(bursts_of_requests_are_answered_to_the_last)
{
    /* A burst that stalls ends in a 408. A unix socket is full and has room
     * again all the time, so that this happens at its end, too. */
    http_start(
        &d, HTTP_MAIN("1") "[http]\nlisten = unix:logs/a.sock\nclient_header_timeout = 2s\n" HELLO);
    fill_gets();
    int fd = daemon_connect_unix(daemon_path(&d, "logs/a.sock"));
    ck_assert_int_ne(fd, -1);
    size_t length = answer_length(fd);
    for (size_t i = 0; i < 300; i++)
        expect_burst(fd, 3000 + i, length);
    close(fd);
    daemon_teardown(&d);
}
END_TEST

int
main(void)
{
    Suite *s = suite_create("http robust");
    TCase *tc = daemon_case(s, "robust");

    tcase_add_test(tc, client_that_resets_leaves_nothing_behind);
    tcase_add_test(tc, client_that_half_closes_gets_what_he_has_asked_for);
    tcase_add_test(tc, client_that_half_closes_gets_answers_that_were_stuck);
    tcase_add_test(tc, two_hundred_dripping_clients_hold_up_nobody);
    tcase_add_test(tc, clients_that_never_read_are_cut_and_take_no_memory);
    tcase_add_test(tc, idle_connections_have_no_buffers);
    tcase_add_test(tc, bursts_of_requests_are_answered_to_the_last);
    return daemon_main(s);
}
