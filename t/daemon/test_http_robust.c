/*
 * test_http_robust: clients that break off, dawdle or never read.
 *
 * None of them costs anybody else anything.
 */
#include "test_http.h"

#include "rv_base.h"

#include <errno.h>
#include <sys/wait.h>

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
        ssize_t n = send(fd, gets + at, sizeof(gets) - at, MSG_NOSIGNAL | MSG_DONTWAIT);

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

/* Reads to the end; how often the text occurs that each answer begins with. */
static size_t
count_answers(int fd)
{
    static const char mark[] = "HTTP/1.1 200 ";
    size_t count = 0, matched = 0;
    ssize_t n;

    while ((n = recv(fd, text, sizeof(text), 0)) > 0) {
        for (ssize_t i = 0; i < n; i++) {
            matched = text[i] == mark[matched] ? matched + 1 : text[i] == mark[0];
            if (matched == sizeof(mark) - 1) {
                count++;
                matched = 0;
            }
        }
    }
    ck_assert_int_eq(n, 0);
    return count;
}

START_TEST(client_that_half_closes_gets_answers_that_were_stuck)
{
    size_t sent = 0;
    daemon_status_t s;

    http_start(&d, conf);
    fill_gets();
    int control = http_connect(&d);
    int fd = http_connect(&d);
    while (stuff(fd, &sent, sizeof(gets) * 1000) || s.writing != 2)
        http_status(control, &s);
    ck_assert_uint_lt(sent, sizeof(gets) * 1000);
    shutdown(fd, SHUT_WR);
    ck_assert_uint_eq(count_answers(fd), sent / GET_LENGTH);
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
            daemon_send(fds[i], GET + at, 1);
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

/* KiB of memory that the only worker has. */
static long
worker_memory(void)
{
    char value[64];
    pid_t worker;

    ck_assert_int_eq(daemon_children(d.master, &worker, 1), 1);
    return strtol(daemon_proc_status(worker, "VmRSS", value, sizeof(value)), NULL, 10);
}

/* AddressSanitizer, where the daemon is built with it, keeps what is freed. */
static void
give_back_memory(void)
{
    const char *set = getenv("ASAN_OPTIONS");
    char options[1024];

    snprintf(options, sizeof(options), "%s:quarantine_size_mb=0", set == NULL ? "" : set);
    setenv("ASAN_OPTIONS", options, 1);
}

START_TEST(clients_that_never_read_are_cut_and_take_no_memory)
{
    enum { CLIENTS = 10, MOST = 16 * 1024 * 1024 };
    int fds[CLIENTS], moved;
    size_t sent[CLIENTS] = { 0 };
    daemon_status_t s;

    daemon_setup(&d);
    give_back_memory();
    daemon_conf(&d, HTTP_MAIN("1") HTTP_LISTEN "send_timeout = 2s\n" HELLO);
    daemon_start(&d);
    fill_gets();
    int control = http_connect(&d);
    http_status(control, &s);
    long before = worker_memory();
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
    ck_assert_int_lt(worker_memory() - before, 8 * 1024);

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

/* --- and one that does all he can -------------------------------------------------------------- */

/* Writes so many requests from a process of its own. */
static pid_t
flood(int fd, size_t requests)
{
    pid_t pid = fork();

    if (pid != 0)
        return pid;
    for (size_t i = 0; i < requests / MANY; i++)
        daemon_send(fd, gets, sizeof(gets));
    shutdown(fd, SHUT_WR);
    _exit(0);
}

START_TEST(flood_of_requests_is_answered_to_the_last_while_the_client_reads)
{
    enum { REQUESTS = 300 * MANY };

    /* a stream that stalls ends in a 408, soon */
    http_start(&d, HTTP_MAIN("1") HTTP_LISTEN "client_header_timeout = 2s\n" HELLO);
    fill_gets();
    int fd = http_connect(&d);
    pid_t pid = flood(fd, REQUESTS);
    ck_assert_uint_eq(count_answers(fd), REQUESTS);
    ck_assert_int_eq(daemon_wait_process(&d, pid), 0);
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
    tcase_add_test(tc, flood_of_requests_is_answered_to_the_last_while_the_client_reads);
    return daemon_main(s);
}
