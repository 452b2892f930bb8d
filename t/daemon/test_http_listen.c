/*
 * test_http_listen: where clients come from, who may ask, and another service
 * beside HTTP.
 */
#include "test_http.h"

#include "rv_base.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/stat.h>

#define MAIN HTTP_MAIN("1")
#define HELLO HTTP_STATUS HTTP_RETURN("/hello", "200 hello")
#define GET "GET /hello HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"

static daemon_t d;
static char text[HTTP_ROOM];

/* --- addresses ------------------------------------------------------------------------- */

/* A connection to this port from this address, which says the family; -1. */
static int
connect_from(const char *from, const char *to, int port)
{
    const struct timeval limit = { DAEMON_LIMIT, 0 };
    int is_v6 = strchr(to, ':') != NULL;
    struct sockaddr_in in = { .sin_family = AF_INET };
    struct sockaddr_in6 in6 = { .sin6_family = AF_INET6 };
    struct sockaddr *addr = is_v6 ? (struct sockaddr *) &in6 : (struct sockaddr *) &in;
    void *host = is_v6 ? (void *) &in6.sin6_addr : (void *) &in.sin_addr;
    socklen_t length = is_v6 ? sizeof(in6) : sizeof(in);
    int fd = socket(addr->sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);

    ck_assert_int_ne(fd, -1);
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
    if (from != NULL) {
        ck_assert_int_eq(inet_pton(addr->sa_family, from, host), 1);
        ck_assert_int_eq(bind(fd, addr, length), 0);
    }
    ck_assert_int_eq(inet_pton(addr->sa_family, to, host), 1);
    in.sin_port = in6.sin6_port = htons((uint16_t) port);
    if (connect(fd, addr, length) == 0)
        return fd;
    close(fd);
    return -1;
}

static int
has_v6(void)
{
    struct sockaddr_in6 in6 = { .sin6_family = AF_INET6, .sin6_addr = IN6ADDR_LOOPBACK_INIT };
    int fd = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);
    int yes = fd != -1 && bind(fd, (struct sockaddr *) &in6, sizeof(in6)) == 0;

    close(fd);
    return yes;
}

/* The code of the answer at this connection, which is closed. */
static int
code_at(int fd)
{
    ck_assert_int_ne(fd, -1);
    http_send(fd, GET);
    int code = daemon_answer(fd, text, sizeof(text), 0);
    close(fd);
    return code;
}

START_TEST(every_address_that_is_listened_on_answers)
{
    int other = daemon_free_port(), any = daemon_free_port();

    daemon_setup(&d);
    daemon_conff(&d,
        HTTP_MAIN(
            "2") "[http]\nlisten = 127.0.0.1:%d\nlisten = 127.0.0.1:%d reuseport backlog=7\n"
                 "listen = 127.0.0.2:%d\nlisten = unix:logs/a.sock mode=0600\nlisten = %d\n" HELLO,
        d.port, other, d.port, any);
    daemon_start(&d);
    for (int i = 0; i < 20; i++) {
        ck_assert_int_eq(code_at(connect_from(NULL, "127.0.0.1", d.port)), 200);
        ck_assert_int_eq(code_at(connect_from(NULL, "127.0.0.1", other)), 200);
        ck_assert_int_eq(code_at(connect_from(NULL, "127.0.0.2", d.port)), 200);
        ck_assert_int_eq(code_at(connect_from(NULL, "127.0.0.3", any)), 200);
        ck_assert_int_eq(code_at(daemon_connect_unix(daemon_path(&d, "logs/a.sock"))), 200);
    }
    ck_assert_int_eq(connect_from(NULL, "127.0.0.3", d.port), -1);
    daemon_teardown(&d);
}
END_TEST

START_TEST(unix_socket_has_its_mode_and_goes_with_the_daemon)
{
    struct stat st;

    http_start(
        &d, MAIN "[http]\nlisten = unix:logs/a.sock mode=0640\nlisten = unix:logs/b.sock\n" HELLO);
    ck_assert_int_eq(stat(daemon_path(&d, "logs/a.sock"), &st), 0);
    ck_assert(S_ISSOCK(st.st_mode));
    ck_assert_int_eq(st.st_mode & 0777, 0640);
    ck_assert_int_eq(stat(daemon_path(&d, "logs/b.sock"), &st), 0);
    ck_assert_int_eq(st.st_mode & 0777, 0666);

    daemon_signal(&d, "quit");
    daemon_wait_gone(&d);
    ck_assert_int_eq(stat(daemon_path(&d, "logs/a.sock"), &st), -1);
    ck_assert_int_eq(stat(daemon_path(&d, "logs/b.sock"), &st), -1);
    daemon_teardown(&d);
}
END_TEST

START_TEST(v6_address_is_of_v6_clients_only_unless_told_otherwise)
{
    int both = daemon_free_port();

    if (!has_v6())
        return;
    daemon_setup(&d);
    daemon_conff(&d,
        MAIN
        "[http]\nlisten = 127.0.0.1:%d\nlisten = [::]:%d\nlisten = [::]:%d ipv6only=off\n" HTTP_RETURN(
            "/hello", "200 hello") "allow = ::1\nallow = 127.0.0.0/8\ndeny = all\n",
        d.port, d.port, both);
    daemon_start(&d);
    ck_assert_int_eq(code_at(connect_from(NULL, "::1", d.port)), 200);
    ck_assert_int_eq(code_at(connect_from(NULL, "127.0.0.1", d.port)), 200);
    ck_assert_int_eq(connect_from(NULL, "127.0.0.2", d.port), -1); /* [::] does not take it */
    ck_assert_int_eq(code_at(connect_from(NULL, "::1", both)), 200);
    ck_assert_int_eq(code_at(connect_from(NULL, "127.0.0.2", both)), 200); /* mapped, and allowed */
    daemon_teardown(&d);
}
END_TEST

/* --- allow and deny -------------------------------------------------------------------------- */

static const struct {
    const char *rules;
    const char *from; /* 127.0.0.x, ::1 or NULL: the unix socket */
    int code;
} rights[] = {
    { "", "127.0.0.1", 200 },
    { "deny = all\n", "127.0.0.1", 403 },
    { "deny = all\n", NULL, 403 },
    { "deny = all\n", "::1", 403 },
    { "allow = all\ndeny = all\n", "127.0.0.1", 200 },
    { "deny = all\nallow = all\n", "127.0.0.1", 403 },
    { "allow = 127.0.0.1\ndeny = all\n", "127.0.0.1", 200 },
    { "allow = 127.0.0.1\ndeny = all\n", "127.0.0.2", 403 },
    { "allow = 127.0.0.1\ndeny = all\n", NULL, 403 },
    { "allow = 127.0.0.1\n", "127.0.0.2", 200 },
    { "deny = 127.0.0.2\nallow = 127.0.0.0/8\ndeny = all\n", "127.0.0.2", 403 },
    { "deny = 127.0.0.2\nallow = 127.0.0.0/8\ndeny = all\n", "127.0.0.3", 200 },
    { "deny = 127.0.0.2\n", "127.0.0.3", 200 },
    { "allow = 127.0.0.4/30\ndeny = all\n", "127.0.0.3", 403 },
    { "allow = 127.0.0.4/30\ndeny = all\n", "127.0.0.4", 200 },
    { "allow = 127.0.0.4/30\ndeny = all\n", "127.0.0.7", 200 },
    { "allow = 127.0.0.4/30\ndeny = all\n", "127.0.0.8", 403 },
    { "deny = 0.0.0.0/0\n", "127.0.0.1", 403 },
    { "deny = 0.0.0.0/0\n", "::1", 200 },
    { "deny = 0.0.0.0/0\n", NULL, 200 },
    { "deny = unix:\n", NULL, 403 },
    { "deny = unix:\n", "127.0.0.1", 200 },
    { "allow = unix:\ndeny = all\n", NULL, 200 },
    { "allow = unix:\ndeny = all\n", "127.0.0.1", 403 },
    { "allow = ::1\ndeny = all\n", "::1", 200 },
    { "allow = ::/127\ndeny = all\n", "::1", 200 },
    { "allow = ::2\ndeny = all\n", "::1", 403 },
    { "deny = ::/0\n", "127.0.0.1", 200 },
};

START_TEST(first_rule_that_matches_says_who_may_ask)
{
    const char *from = rights[_i].from;
    int is_v6 = from != NULL && strchr(from, ':') != NULL;
    const char *to = is_v6 ? "::1" : "127.0.0.1";

    if (is_v6 && !has_v6())
        return;
    daemon_setup(&d);
    daemon_conff(&d,
        MAIN "[http]\nlisten = %s:%d\nlisten = unix:logs/a.sock\n" HTTP_RETURN(
            "/hello", "200 hello") "%s",
        is_v6 ? "[::1]" : to, d.port, rights[_i].rules);
    daemon_start(&d);
    int fd = from == NULL ? daemon_connect_unix(daemon_path(&d, "logs/a.sock"))
                          : connect_from(from, to, d.port);
    ck_assert_msg(code_at(fd) == rights[_i].code, "%s may%s ask:\n%s",
        from == NULL ? "unix:" : from, rights[_i].code == 200 ? " not" : "", rights[_i].rules);
    daemon_teardown(&d);
}
END_TEST

/* --- echo -------------------------------------------------------------------------------------- */

/* Sends this and has it back. */
static void
expect_echo(int fd, const char *bytes, size_t length)
{
    size_t have = 0;

    daemon_send(fd, bytes, length);
    while (have < length) {
        ssize_t n = recv(fd, text + have, length - have, 0);

        ck_assert_int_gt(n, 0);
        have += (size_t) n;
    }
    ck_assert_mem_eq(text, bytes, length);
}

START_TEST(echo_sends_back_what_it_is_sent_beside_http)
{
    static char bytes[20000];
    int port = daemon_free_port();
    daemon_status_t s;

    for (size_t i = 0; i < sizeof(bytes); i++)
        bytes[i] = (char) (i * i >> 3);
    daemon_setup(&d);
    daemon_conff(&d, MAIN HTTP_LISTEN_AT HELLO "[echo]\nlisten = 127.0.0.1:%d\n", d.port, port);
    daemon_start(&d);

    int control = http_connect(&d), fd = daemon_connect_port(port);
    for (size_t length = 1; length <= sizeof(bytes); length = length * 3 + 1) {
        expect_echo(fd, bytes, length);
        http_wait_counts(control, 0, 1, 1, &s); /* a connection like others */
    }
    ck_assert_uint_eq(s.accepts, 2);

    shutdown(fd, SHUT_WR);
    ck_assert_int_eq(daemon_read_end(fd, text, sizeof(text)), 0);
    close(fd);
    http_wait_counts(control, 0, 1, 0, &s);
    close(control);
    daemon_teardown(&d);
}
END_TEST

START_TEST(silent_client_of_echo_is_closed_after_idle_timeout)
{
    int port = daemon_free_port();

    daemon_setup(&d);
    daemon_conff(&d,
        MAIN HTTP_LISTEN_AT HELLO "[echo]\nlisten = 127.0.0.1:%d\nidle_timeout = 300ms\n", d.port,
        port);
    daemon_start(&d);
    int64_t began = http_now();
    int fd = daemon_connect_port(port);
    expect_echo(fd, "a", 1);
    ck_assert_int_eq(daemon_read_end(fd, text, sizeof(text)), 0);
    ck_assert_int_ge(http_now() - began, 280);
    close(fd);
    daemon_teardown(&d);
}
END_TEST

START_TEST(echo_listens_on_a_unix_socket_under_the_prefix)
{
    http_start(&d, MAIN "[echo]\nlisten = unix:logs/echo.sock mode=0600\n");
    int fd = daemon_connect_unix(daemon_path(&d, "logs/echo.sock"));
    ck_assert_int_ne(fd, -1);
    expect_echo(fd, "hello", 5);

    daemon_signal(&d, "quit"); /* does not wait for a client that may stay for ever */
    daemon_wait_gone(&d);
    ck_assert_int_eq(daemon_read_end(fd, text, sizeof(text)), 0);
    close(fd);
    daemon_teardown(&d);
}
END_TEST

int
main(void)
{
    Suite *s = suite_create("http listen");
    TCase *tc = daemon_case(s, "listen");

    tcase_add_test(tc, every_address_that_is_listened_on_answers);
    tcase_add_test(tc, unix_socket_has_its_mode_and_goes_with_the_daemon);
    tcase_add_test(tc, v6_address_is_of_v6_clients_only_unless_told_otherwise);
    tcase_add_loop_test(tc, first_rule_that_matches_says_who_may_ask, 0, (int) rv_countof(rights));
    tcase_add_test(tc, echo_sends_back_what_it_is_sent_beside_http);
    tcase_add_test(tc, silent_client_of_echo_is_closed_after_idle_timeout);
    tcase_add_test(tc, echo_listens_on_a_unix_socket_under_the_prefix);
    return daemon_main(s);
}
