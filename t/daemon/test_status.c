/*
 * test_status: the status page, its bytes and what it counts.
 */
#include "test_http.h"

#include "rv_base.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/wait.h>

static const char conf[] = HTTP_MAIN("1") HTTP_LISTEN
    "keepalive_requests = 1000000\n" HTTP_STATUS HTTP_RETURN("/hello", "200 hello");

static daemon_t d;
static char text[HTTP_ROOM];

/* --- the bytes ------------------------------------------------------------------------ */

/* An IMF-fixdate, and of this minute. */
static void
expect_now(const char *date)
{
    char again[64];
    struct tm tm = { 0 };
    time_t now = time(NULL);

    ck_assert_msg(strptime(date, "%a, %d %b %Y %H:%M:%S GMT", &tm) != NULL, "Date: %s", date);
    strftime(again, sizeof(again), "%a, %d %b %Y %H:%M:%S GMT", &tm);
    ck_assert_str_eq(date, again);
    ck_assert_int_le(labs((long) (timegm(&tm) - now)), 10);
}

/* Sends a request of this method and holds the answer against the whole of what
 * it should be; the connection is the only one. */
static void
expect_page(const char *method, const char *line, const char *connection, int has_body)
{
    static const char body[] = "Active connections: 1 \n"
                               "server accepts handled requests\n"
                               " %d %d %d \n"
                               "Reading: 0 Writing: 1 Waiting: 0 \n";
    static int count;
    char request[256], wanted[1024], page[256], date[64];

    count++;
    snprintf(page, sizeof(page), body, count, count, count);
    snprintf(
        request, sizeof(request), "%s /stub_status HTTP/1.1\r\nHost: a\r\n%s\r\n", method, line);
    int fd = http_open(&d, request);
    ck_assert_int_eq(daemon_answer(fd, text, sizeof(text), !has_body), 200);

    ck_assert_ptr_nonnull(http_field(text, "Date", date, sizeof(date)));
    expect_now(date);
    snprintf(wanted, sizeof(wanted),
        "HTTP/1.1 200 OK\r\nServer: " RV_NAME "/" RV_VERSION "\r\nDate: %s\r\n"
        "Content-Type: text/plain\r\nContent-Length: %zu\r\nConnection: %s\r\n\r\n%s",
        date, strlen(page), connection, has_body ? page : "");
    ck_assert_str_eq(text, wanted);

    shutdown(fd, SHUT_WR);
    ck_assert_int_eq(daemon_read_end(fd, text, sizeof(text)), 0);
    close(fd);
}

START_TEST(page_is_nginx_s_byte_for_byte)
{
    http_start(&d, conf);
    expect_page("GET", "", "keep-alive", 1);
    expect_page("GET", "Connection: close\r\n", "close", 1);
    expect_page("HEAD", "", "keep-alive", 0);
    expect_page("HEAD", "Connection: close\r\n", "close", 0);
    daemon_teardown(&d);
}
END_TEST

START_TEST(other_methods_are_told_which_are_allowed)
{
    static const char *const methods[] = { "POST", "PUT", "DELETE", "OPTIONS", "PATCH", "TRACE" };
    char request[128], allow[64];

    http_start(&d, conf);
    int fd = http_connect(&d);
    for (size_t i = 0; i < rv_countof(methods); i++) {
        snprintf(
            request, sizeof(request), "%s /stub_status HTTP/1.1\r\nHost: a\r\n\r\n", methods[i]);
        http_send(fd, request);
        ck_assert_int_eq(daemon_answer(fd, text, sizeof(text), 0), 405);
        ck_assert_ptr_nonnull(http_field(text, "Allow", allow, sizeof(allow)));
        ck_assert_str_eq(allow, "GET, HEAD");
    }
    close(fd);
    daemon_teardown(&d);
}
END_TEST

/* --- what is counted, and when ---------------------------------------------------------- */

START_TEST(request_is_counted_from_its_first_byte_to_its_answer_s_last)
{
    daemon_status_t a, b;

    http_start(&d, conf);
    int control = http_connect(&d);
    http_wait_counts(control, 0, 1, 0, &a);
    ck_assert_uint_eq(a.active, 1);
    ck_assert_uint_eq(a.accepts, a.handled);

    int fd = http_connect(&d); /* silent: accepted, no request */
    unsigned asked = http_wait_counts(control, 0, 1, 1, &b);
    ck_assert_uint_eq(b.accepts, a.accepts + 1);
    ck_assert_uint_eq(b.handled, a.handled + 1);
    ck_assert_uint_eq(b.requests, a.requests + asked);

    http_send(fd, "P");
    asked += http_wait_counts(control, 1, 1, 0, &b);
    ck_assert_uint_eq(b.requests, a.requests + asked + 1);

    http_send(fd, "OST /hello HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r"); /* one byte short */
    for (int i = 0; i < 20; i++)
        asked += http_wait_counts(control, 1, 1, 0, &b);

    http_send(fd, "\n"); /* the body is still to come */
    asked += http_wait_counts(control, 0, 2, 0, &b);
    http_send(fd, "1234");
    for (int i = 0; i < 20; i++)
        asked += http_wait_counts(control, 0, 2, 0, &b);

    http_send(fd, "5");
    ck_assert_int_eq(daemon_answer(fd, text, sizeof(text), 0), 200);
    asked += http_wait_counts(control, 0, 1, 1, &b);
    ck_assert_uint_eq(b.requests, a.requests + asked + 1);
    ck_assert_uint_eq(b.accepts, a.accepts + 1);

    close(fd);
    asked += http_wait_counts(control, 0, 1, 0, &b);
    ck_assert_uint_eq(b.active, 1);
    ck_assert_uint_eq(b.requests, a.requests + asked + 1);
    close(control);
    daemon_teardown(&d);
}
END_TEST

START_TEST(second_of_two_pipelined_requests_counts)
{
    static const char get[] = "GET /hello HTTP/1.1\r\nHost: a\r\n\r\n";
    daemon_status_t a, b;

    http_start(&d, conf);
    int control = http_connect(&d);
    http_status(control, &a);

    int fd = http_connect(&d);
    http_send(fd, "GET /hello HTTP/1.1\r\nHost: a\r\n\r\nG");
    ck_assert_int_eq(daemon_answer(fd, text, sizeof(text), 0), 200);
    unsigned asked = http_wait_counts(control, 1, 1, 0, &b);
    ck_assert_uint_eq(b.requests, a.requests + asked + 2);

    http_send(fd, get + 1);
    ck_assert_int_eq(daemon_answer(fd, text, sizeof(text), 0), 200);
    http_send(fd,
        "GET /hello HTTP/1.1\r\nHost: a\r\n\r\n"
        "HEAD /hello HTTP/1.1\r\nHost: a\r\n\r\n");
    ck_assert_int_eq(daemon_answer(fd, text, sizeof(text), 0), 200);
    ck_assert_int_eq(daemon_answer(fd, text, sizeof(text), 1), 200);
    asked += http_wait_counts(control, 0, 1, 1, &b);
    ck_assert_uint_eq(b.requests, a.requests + asked + 4);

    close(fd);
    close(control);
    daemon_teardown(&d);
}
END_TEST

START_TEST(refused_request_counts_as_one)
{
    daemon_status_t a, b;

    http_start(&d, conf);
    int control = http_connect(&d);
    http_status(control, &a);
    http_exchange(&d, HTTP_BYTES("nonsense\r\n\r\n"), text, sizeof(text));
    ck_assert_int_eq(strncmp(text, "HTTP/1.1 400 ", 13), 0);
    unsigned asked = http_wait_counts(control, 0, 1, 0, &b);
    ck_assert_uint_eq(b.requests, a.requests + asked + 1);
    ck_assert_uint_eq(b.accepts, a.accepts + 1);
    close(control);
    daemon_teardown(&d);
}
END_TEST

/* Sends requests until the server takes no more because nobody reads. */
static void
stuff(int fd, int control)
{
    static const char get[] = "GET /hello HTTP/1.1\r\nHost: a\r\n\r\n";
    char many[(sizeof(get) - 1) * 512];
    daemon_status_t before, after = { .writing = 0 };
    size_t at = 0;

    for (size_t i = 0; i < 512; i++)
        memcpy(many + i * (sizeof(get) - 1), get, sizeof(get) - 1);

    do {
        ssize_t n;

        while ((n = send(fd, many + at, sizeof(many) - at, MSG_NOSIGNAL | MSG_DONTWAIT)) > 0)
            at = (at + (size_t) n) % sizeof(many);
        ck_assert_int_eq(errno, EAGAIN);
        before = after;
        http_status(control, &after);
    } while (after.writing != 2 || before.writing != 2 || after.requests != before.requests + 1);
}

START_TEST(answer_that_is_stuck_counts_as_writing)
{
    daemon_status_t s;

    http_start(&d, conf);
    int control = http_connect(&d);
    int fd = http_connect(&d);
    stuff(fd, control);
    for (int i = 0; i < 20; i++)
        http_wait_counts(control, 0, 2, 0, &s);

    close(fd);
    http_wait_counts(control, 0, 1, 0, &s);
    ck_assert_uint_eq(s.active, 1);
    close(control);
    daemon_teardown(&d);
}
END_TEST

/* --- against nginx ------------------------------------------------------------------------ */

enum { STEPS = 7 };

/* The same clients for both; what the page says of each step, the requests for
 * it taken off, since their number is a matter of timing. */
static void
play(int port, daemon_status_t pages[STEPS])
{
    static const struct {
        const char *bytes;
        int reading, waiting;
    } script[STEPS - 1] = {
        { "", 0, 1 },
        { "G", 1, 0 },
        { "ET /stub_status HTTP/1.1\r\nHost: a\r\n", 1, 0 },
        { "\r\n", 0, 1 },
        { "HEAD /stub_status HTTP/1.1\r\nHost: a\r\n\r\nGET /", 1, 0 },
        { "stub_status HTTP/1.0\r\n\r\n", 0, 0 },
    };
    int control = daemon_connect_port(port), fd = -1;
    unsigned asked = http_wait_counts(control, 0, 1, 0, &pages[0]);

    ck_assert_uint_eq(pages[0].requests, asked);
    for (size_t i = 1; i < STEPS; i++) {
        if (i == 1)
            fd = daemon_connect_port(port);
        http_send(fd, script[i - 1].bytes);
        asked += http_wait_counts(control, (unsigned) script[i - 1].reading, 1,
            (unsigned) script[i - 1].waiting, &pages[i]);
        pages[i].requests -= asked;
    }
    close(fd);
    close(control);
}

/* nginx without a master on this port; 0: there is none here. */
static pid_t
start_nginx(int port)
{
    char line[512];

    if (system("nginx -V 2>&1 | grep -q http_stub_status_module") != 0)
        return 0;
    snprintf(line, sizeof(line),
        "daemon off; master_process off; pid nginx.pid; error_log stderr;\n"
        "events {}\n"
        "http { access_log off; client_body_temp_path n1; proxy_temp_path n2;\n"
        "fastcgi_temp_path n3; uwsgi_temp_path n4; scgi_temp_path n5; server {\n"
        "listen 127.0.0.1:%d; lingering_close off; location / { stub_status; } } }\n",
        port);
    daemon_write(daemon_path(&d, "nginx.conf"), line, strlen(line));

    pid_t pid = fork();
    if (pid == 0) {
        int null = open("/dev/null", O_RDWR);

        dup2(null, STDOUT_FILENO);
        dup2(null, STDERR_FILENO);
        execlp(
            "nginx", "nginx", "-p", d.prefix, "-c", daemon_path(&d, "nginx.conf"), (char *) NULL);
        _exit(127);
    }
    return pid;
}

static int
answers(daemon_t *daemon, void *port)
{
    int fd = daemon_connect_port(*(int *) port);

    (void) daemon;
    close(fd);
    return fd != -1;
}

START_TEST(counts_are_nginx_s_at_each_step)
{
    daemon_status_t ours[STEPS], nginx[STEPS];
    int port = daemon_free_port();
    char a[256], b[256];

    http_start(&d, conf);
    play(d.port, ours);

    pid_t pid = start_nginx(port);
    if (pid > 0) {
        daemon_wait(&d, answers, &port, "nginx answers");
        play(port, nginx);
        kill(pid, SIGTERM);
        waitpid(pid, NULL, 0);
    }
    for (size_t i = 1; pid > 0 && i < STEPS; i++) {
        nginx[i].accepts -= nginx[0].accepts - ours[0].accepts; /* `answers` connected, too */
        nginx[i].handled -= nginx[0].handled - ours[0].handled;
        http_format_status(&ours[i], a, sizeof(a));
        http_format_status(&nginx[i], b, sizeof(b));
        ck_assert_msg(strcmp(a, b) == 0, "step %zu:\n%snginx:\n%s", i, a, b);
    }
    daemon_teardown(&d);
}
END_TEST

int
main(void)
{
    Suite *s = suite_create("status");
    TCase *tc = daemon_case(s, "status");

    tcase_add_test(tc, page_is_nginx_s_byte_for_byte);
    tcase_add_test(tc, other_methods_are_told_which_are_allowed);
    tcase_add_test(tc, request_is_counted_from_its_first_byte_to_its_answer_s_last);
    tcase_add_test(tc, second_of_two_pipelined_requests_counts);
    tcase_add_test(tc, refused_request_counts_as_one);
    tcase_add_test(tc, answer_that_is_stuck_counts_as_writing);
    tcase_add_test(tc, counts_are_nginx_s_at_each_step);
    return daemon_main(s);
}
