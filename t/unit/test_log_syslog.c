/*
 * rv_log_output: syslog servers as places where log lines end up.
 *
 * The test is the server: a datagram socket that gets what a syslog daemon
 * would get.
 */
#include "rv_log.h"
#include "rv_log_output.h"

#include <arpa/inet.h>
#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <syslog.h>
#include <time.h>
#include <unistd.h>

#define TEXT_SIZE 16384
#define WHEN "2026/11/21 02:51:03 [error] 7#0: "

static char directory[] = "/tmp/rv_test_syslog_XXXXXX";
static char path[64];
static char target[128];
static char text[TEXT_SIZE];
static char why[RV_LOG_OUTPUT_ERROR];
static int server = -1;

static void
setup_run(void)
{
    ck_assert_ptr_nonnull(mkdtemp(directory));
    snprintf(path, sizeof(path), "%s/socket", directory);
    snprintf(target, sizeof(target), "syslog:server=unix:%s", path);
}

static void
clear(void)
{
    unlink(path);
}

static void
teardown_run(void)
{
    clear();
    rmdir(directory);
}

/* A server that does not wait: what is not there yet is an error of the test. */
static void
start_server(void)
{
    struct sockaddr_un addr = { .sun_family = AF_UNIX };

    snprintf(addr.sun_path, sizeof(addr.sun_path), "%s", path);
    unlink(path);
    server = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    ck_assert_int_eq(bind(server, (struct sockaddr *) &addr, sizeof(addr)), 0);
}

static void
stop_server(void)
{
    close(server);
    server = -1;
    unlink(path);
}

static const char *
received(void)
{
    ssize_t n = recv(server, text, sizeof(text) - 1, 0);

    ck_assert_msg(n >= 0, "nothing was received: %s", strerror(errno));
    text[n] = '\0';
    return text;
}

static unsigned
opened(const char *what)
{
    unsigned output = 4242;

    ck_assert_msg(
        rv_log_output_open(what, &output, why) == RV_OK, "%s: %s %s", what, why, strerror(errno));
    return output;
}

static void
write_line(unsigned output, int severity, const char *message)
{
    char line[TEXT_SIZE];
    int n = snprintf(line, sizeof(line), "%s%s\n", WHEN, message);

    rv_log_output_write(output, severity, line, (size_t) n, strlen(WHEN));
}

/* "<PRI>Mmm dd hh:mm:ss TAG[PID]: MESSAGE", the time not before `since`. */
static void
assert_received(int priority, const char *tag, const char *message, time_t since)
{
    char want[TEXT_SIZE], head[16];
    struct tm tm;
    time_t now = time(NULL);

    received();
    int length = snprintf(head, sizeof(head), "<%d>", priority);
    ck_assert_msg(strncmp(text, head, (size_t) length) == 0, "received: %s", text);

    ck_assert_ptr_nonnull(localtime_r(&now, &tm));
    int year = tm.tm_year;
    const char *rest = strptime(text + length, "%b %d %H:%M:%S", &tm);
    ck_assert_msg(rest == text + length + 15, "received: %s", text);
    tm.tm_year = year;
    tm.tm_isdst = -1;
    ck_assert_int_ge(mktime(&tm), since);
    ck_assert_int_le(mktime(&tm), now);

    snprintf(want, sizeof(want), " %s[%ld]: %s", tag, (long) getpid(), message);
    ck_assert_str_eq(rest, want);
}

START_TEST(line_is_sent_as_rfc_3164_has_it)
{
    time_t since = time(NULL);

    start_server();
    unsigned output = opened(target);
    ck_assert(fcntl(rv_log_output_fd(output), F_GETFD) & FD_CLOEXEC);
    write_line(output, LOG_ERR, "worker 3 exited");
    assert_received(LOG_DAEMON | LOG_ERR, "reeve", "worker 3 exited", since);
    write_line(output, LOG_DEBUG, "");
    assert_received(LOG_DAEMON | LOG_DEBUG, "reeve", "", since);
}
END_TEST

static const struct {
    const char *name;
    int value;
} facilities[] = {
    { "kern", 0 },
    { "user", 1 },
    { "mail", 2 },
    { "daemon", 3 },
    { "auth", 4 },
    { "syslog", 5 },
    { "lpr", 6 },
    { "news", 7 },
    { "uucp", 8 },
    { "cron", 9 },
    { "local0", 16 },
    { "local1", 17 },
    { "local2", 18 },
    { "local3", 19 },
    { "local4", 20 },
    { "local5", 21 },
    { "local6", 22 },
    { "local7", 23 },
};

START_TEST(facility_and_tag_are_the_operators)
{
    char what[256];
    time_t since = time(NULL);

    start_server();
    snprintf(what, sizeof(what), "%s,facility=%s,tag=web_%d", target, facilities[_i].name, _i);
    unsigned output = opened(what);
    ck_assert_str_eq(rv_log_output_target(output), what);
    write_line(output, LOG_WARNING, "x");
    snprintf(what, sizeof(what), "web_%d", _i);
    assert_received(facilities[_i].value * 8 + 4, what, "x", since);
}
END_TEST

START_TEST(severity_is_that_of_the_level)
{
    rv_log_set_t set = { .count = 1 };
    time_t since = time(NULL);

    start_server();
    set.entry[0].output = opened(target);
    set.entry[0].level = RV_LOG_DEBUG;
    rv_log_use(&set);
    rv_log_terminal(RV_LOG_NONE);
    for (int level = RV_LOG_EMERG; level <= RV_LOG_DEBUG; level++) {
        rv_log((rv_log_level_t) level, ENOENT, "opening \"%s\" failed", "x\ny");
        assert_received(LOG_DAEMON | (level - RV_LOG_EMERG), "reeve",
            "opening \"x\\x0Ay\" failed (2: No such file or directory)", since);
    }
}
END_TEST

START_TEST(long_line_is_sent_in_one_piece)
{
    static char message[2001];
    time_t since = time(NULL);

    memset(message, 'x', sizeof(message) - 1);
    start_server();
    write_line(opened(target), LOG_ERR, message);
    assert_received(LOG_DAEMON | LOG_ERR, "reeve", message, since);
}
END_TEST

START_TEST(server_is_reached_over_udp)
{
    struct sockaddr_in addr = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    socklen_t length = sizeof(addr);
    char what[64];
    time_t since = time(NULL);

    server = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0); /* loopback: it waits for it */
    ck_assert_int_eq(bind(server, (struct sockaddr *) &addr, sizeof(addr)), 0);
    ck_assert_int_eq(getsockname(server, (struct sockaddr *) &addr, &length), 0);
    snprintf(what, sizeof(what), "syslog:tag=a,server=127.0.0.1:%d", ntohs(addr.sin_port));
    write_line(opened(what), LOG_ERR, "x");
    assert_received(LOG_DAEMON | LOG_ERR, "a", "x", since);
}
END_TEST

START_TEST(missing_server_is_an_error_with_errno)
{
    unsigned output;

    ck_assert_int_eq(rv_log_output_open(target, &output, why), RV_ERROR);
    ck_assert_int_eq(errno, ENOENT);
    ck_assert_str_eq(why, "");

    start_server();
    close(server); /* nobody listens there any more */
    ck_assert_int_eq(rv_log_output_open(target, &output, why), RV_ERROR);
    ck_assert_int_eq(errno, ECONNREFUSED);
    ck_assert_str_eq(why, "");
}
END_TEST

START_TEST(lines_lost_while_the_server_was_gone_are_reported)
{
    unsigned at = 0;
    time_t since = time(NULL);

    start_server();
    unsigned output = opened(target);
    stop_server();
    write_line(output, LOG_ERR, "lost");
    write_line(output, LOG_ERR, "lost");

    start_server();
    ck_assert_int_eq(rv_log_output_reopen(&at), RV_OK);
    ck_assert_uint_eq(at, output + 1);
    write_line(output, LOG_ERR, "back");
    assert_received(LOG_DAEMON | LOG_WARNING, "reeve", "2 log lines were lost here", since);
    assert_received(LOG_DAEMON | LOG_ERR, "reeve", "back", since);
}
END_TEST

START_TEST(server_that_is_missing_at_a_reopen_changes_nothing)
{
    unsigned at = 0;

    start_server();
    unsigned output = opened(target);
    int fd = rv_log_output_fd(output);
    ck_assert_int_eq(unlink(path), 0);
    ck_assert_int_eq(rv_log_output_reopen(&at), RV_ERROR);
    ck_assert_int_eq(errno, ENOENT);
    ck_assert_int_eq(rv_log_output_fd(output), fd);
    write_line(output, LOG_ERR, "x"); /* the old connection still works */
    received();
}
END_TEST

START_TEST(slow_server_loses_lines_but_never_blocks)
{
    enum { LINES = 5000 };
    char want[64];
    time_t since = time(NULL);
    int lines = 0;

    start_server();
    unsigned output = opened(target);
    for (int i = 0; i < LINES; i++)
        write_line(output, LOG_ERR, "x");

    while (recv(server, text, sizeof(text), 0) > 0)
        lines++;
    ck_assert_int_gt(lines, 0);
    ck_assert_int_lt(lines, LINES);
    write_line(output, LOG_ERR, "after");
    snprintf(want, sizeof(want), "%d log lines were lost here", LINES - lines);
    assert_received(LOG_DAEMON | LOG_WARNING, "reeve", want, since);
    assert_received(LOG_DAEMON | LOG_ERR, "reeve", "after", since);
}
END_TEST

/* --- targets that are refused --------------------------------------------------------- */

#define WORD32 "abcdefghijklmnopqrstuvwxyz_01234"
#define LONG64 "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"

static const struct {
    const char *target, *error;
} refused[] = {
    { "", "empty log target" },
    { "syslog:unknown=1", "unknown syslog parameter \"unknown=1\"" },
    { "syslog:server", "unknown syslog parameter \"server\"" },
    { "syslog:127.0.0.1:514", "unknown syslog parameter \"127.0.0.1:514\"" },
    { "syslog:tag=a,severity=info", "unknown syslog parameter \"severity=info\"" },
    { "syslog:facility=", "unknown syslog facility \"\"" },
    { "syslog:facility=local8", "unknown syslog facility \"local8\"" },
    { "syslog:facility=LOCAL7", "unknown syslog facility \"LOCAL7\"" },
    { "syslog:tag=", "syslog tag \"\" is not 1 to 32 letters, digits or \"_\"" },
    { "syslog:tag=a-b", "syslog tag \"a-b\" is not 1 to 32 letters, digits or \"_\"" },
    { "syslog:tag=" WORD32 "5",
        "syslog tag \"" WORD32 "5\" is not 1 to 32 letters, digits or \"_\"" },
    { "syslog:server=127.0.0.1:0", "invalid port in syslog server \"127.0.0.1:0\"" },
    { "syslog:tag=" LONG64 LONG64 LONG64 LONG64, "syslog parameters are too long" },
};

START_TEST(malformed_target_is_refused_in_words)
{
    unsigned output = 4242;

    errno = EEXIST;
    ck_assert_int_eq(rv_log_output_open(refused[_i].target, &output, why), RV_ERROR);
    ck_assert_str_eq(why, refused[_i].error);
    ck_assert_int_eq(errno, 0);
    ck_assert_uint_eq(output, 4242);

    snprintf(why, sizeof(why), "old");
    ck_assert_int_eq(rv_log_output_check(refused[_i].target, why), RV_ERROR);
    ck_assert_str_eq(why, refused[_i].error);
}
END_TEST

static const char *const accepted[] = {
    "syslog:",
    ("syslog:tag=" WORD32),
    "syslog:tag=A1_z,facility=mail,server=[::1]:514",
    "syslog:server=unix:/dev/log",
    "syslog",
    "stderr",
    "logs/error.log",
};

START_TEST(good_target_is_accepted)
{
    ck_assert_msg(rv_log_output_check(accepted[_i], why) == RV_OK, "%s: %s", accepted[_i], why);
}
END_TEST

/* What is wrong may itself be long: the message is cut, never overrun. */
START_TEST(long_malformed_target_fits_the_message)
{
    struct {
        char error[RV_LOG_OUTPUT_ERROR];
        char guard[64];
    } room;

    memset(&room, '#', sizeof(room));
    ck_assert_int_eq(
        rv_log_output_check("syslog:facility=" LONG64 LONG64 LONG64, room.error), RV_ERROR);
    ck_assert_uint_eq(strlen(room.error), RV_LOG_OUTPUT_ERROR - 1);
    for (size_t i = 0; i < sizeof(room.guard); i++)
        ck_assert_int_eq(room.guard[i], '#');
}
END_TEST

static Suite *
log_syslog_suite(void)
{
    Suite *suite = suite_create("log_syslog");
    TCase *tcase = tcase_create("log_syslog");

    tcase_add_unchecked_fixture(tcase, setup_run, teardown_run);
    tcase_add_checked_fixture(tcase, clear, clear);
    tcase_set_timeout(tcase, 120);
    tcase_add_test(tcase, line_is_sent_as_rfc_3164_has_it);
    tcase_add_loop_test(tcase, facility_and_tag_are_the_operators, 0, (int) rv_countof(facilities));
    tcase_add_test(tcase, severity_is_that_of_the_level);
    tcase_add_test(tcase, long_line_is_sent_in_one_piece);
    tcase_add_test(tcase, server_is_reached_over_udp);
    tcase_add_test(tcase, missing_server_is_an_error_with_errno);
    tcase_add_test(tcase, lines_lost_while_the_server_was_gone_are_reported);
    tcase_add_test(tcase, server_that_is_missing_at_a_reopen_changes_nothing);
    tcase_add_test(tcase, slow_server_loses_lines_but_never_blocks);
    tcase_add_loop_test(tcase, malformed_target_is_refused_in_words, 0, (int) rv_countof(refused));
    tcase_add_loop_test(tcase, good_target_is_accepted, 0, (int) rv_countof(accepted));
    tcase_add_test(tcase, long_malformed_target_fits_the_message);

    suite_add_tcase(suite, tcase);
    return suite;
}

int
main(void)
{
    SRunner *runner = srunner_create(log_syslog_suite());

    srunner_run_all(runner, CK_NORMAL);

    int failed = srunner_ntests_failed(runner);

    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
