/*
 * test_config: what a configuration file may hold, and how an error is told.
 */
#include "daemon.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static daemon_t d;

static void
setup(void)
{
    daemon_setup(&d);
}

static void
teardown(void)
{
    daemon_teardown(&d);
}

#define COUNT(table) ((int) (sizeof(table) / sizeof((table)[0])))

/* 10, 50 and 200 bytes */
#define A10 "aaaaaaaaaa"
#define A50 A10 A10 A10 A10 A10
#define A200 A50 A50 A50 A50

/* --- errors with a line ---------------------------------------------------------------- */

/* The file is `text` and then what it takes to serve; the error is in its last
 * line. A text that begins with [http] stands alone. */
static const struct {
    const char *text;
    const char *message;
} bad[] = {
    /* the form of the file */
    { "[main]\nnonsense", "no \"=\" in \"nonsense\"" },
    { "[main]\n= 5", "no directive name before \"=\"" },
    { "[main]\ndaemon =", "no value for directive \"daemon\"" },
    { "daemon = on", "directive \"daemon\" before the first section" },
    { "[main]\n\n# a comment\n[events", "no \"]\" after the section's name" },
    { "[main] x", "unexpected \"x\" after \"]\"" },
    { "[]", "section without a name" },
    { "[main]\nenv = " A200, "line is longer than 199 bytes" },
    { "[" A50 "]", "section name is longer than 49 bytes: \"" A50 "\"" },
    { "[location /" A50 "]", "section name is longer than 49 bytes: \"location /" A50 "\"" },
    { "[main]\n" A50 " = 1", "directive name is longer than 49 bytes: \"" A50 "\"" },
    { "[main]\nenv = a\001b", "control character in line" },
    { "[main]\nenv = a\033[2Jb", "control character in line" },
    { "[main]\nenv = a\177", "control character in line" },

    /* names */
    { "[man]", "unknown section \"[man]\"" },
    { "[main x]", "section \"[main]\" takes no argument" },
    { "[location]", "section \"[location]\" needs an argument: \"[location PATH]\"" },
    { "[zone]", "section \"[zone]\" needs an argument: \"[zone NAME]\"" },
    { "[main]\n[events]\n[main]", "duplicate section \"[main]\", first in line 1" },
    { "[zone stats]\n[zone stats]", "duplicate section \"[zone stats]\", first in line 1" },
    { "[main]\nworker_proceses = 3", "unknown directive \"worker_proceses\"" },
    { "[main]\nworker_connections = 3", "unknown directive \"worker_connections\"" },
    { "[main]\nDaemon = on", "unknown directive \"Daemon\"" },
    { "[main]\ndaemon = on\ndaemon = on", "duplicate directive \"daemon\"" },

    /* values */
    { "[main]\ndaemon = of",
        "invalid value \"of\" in directive \"daemon\", it must be \"on\" or \"off\"" },
    { "[main]\nmaster_process = 1", "invalid value \"1\" in directive \"master_process\", " },
    { "[main]\nworker_processes = 0",
        "value \"0\" in directive \"worker_processes\" is out of range, 1 to 512" },
    { "[main]\nworker_processes = 513", "value \"513\" in directive \"worker_processes\" is out" },
    { "[main]\nworker_processes = -1", "invalid value \"-1\" in directive \"worker_processes\"" },
    { "[main]\nworker_processes = 2x", "invalid value \"2x\" in directive \"worker_processes\"" },
    { "[main]\nworker_processes = 99999999999999999999",
        "invalid value \"99999999999999999999\" in directive \"worker_processes\"" },
    { "[main]\nworker_priority = 21",
        "value \"21\" in directive \"worker_priority\" is out of range, -20 to 20" },
    { "[main]\nworker_priority = low", "invalid value \"low\" in directive \"worker_priority\"" },
    { "[main]\nworker_rlimit_core = 1q",
        "invalid value \"1q\" in directive \"worker_rlimit_core\"" },
    { "[main]\nworker_shutdown_timeout = 5parsecs",
        "invalid value \"5parsecs\" in directive \"worker_shutdown_timeout\"" },
    { "[main]\nworker_startup_timeout = 1ms",
        "value \"1ms\" in directive \"worker_startup_timeout\" is out of range" },
    { "[main]\nuser = a b c", "invalid value \"a b c\" in directive \"user\"" },
    { "[main]\nerror_log = x.log loud", "unknown log level \"loud\"" },
    { "[main]\nerror_log = x.log info info", "invalid value \"x.log info info\" in directive" },
    { "[main]\nerror_log = syslog:server=nowhere", "invalid port in syslog server \"nowhere\"" },
    { "[main]\nerror_log = syslog:facility=none", "unknown syslog facility \"none\"" },
    { "[main]\nerror_log = syslog:tag=a-b", "syslog tag \"a-b\" is not 1 to 32 letters, " },
    { "[main]\nerror_log = syslog:colour=red", "unknown syslog parameter \"colour=red\"" },
    { "[main]\nenv = =x", "invalid value \"=x\" in directive \"env\"" },
    { "[events]\nworker_connections = 0",
        "value \"0\" in directive \"worker_connections\" is out of range, 1 to 10000000" },
    { "[events]\nuse = magic", "event method \"magic\" is not available here" },
    { "[zone stats]\ntype = paper", "paper\"" },
    { "[zone stats]\nsize = 0", "zone size is zero" },
    { "[zone stats]\nmlock = maybe", "invalid value \"maybe\" in directive \"mlock\"" },
    { "[zone stats]\nsize = 12q", "invalid value \"12q\" in directive \"size\"" },
    { "[http]\nlisten = 127.0.0.1:99999", "invalid port in \"listen = 127.0.0.1:99999\"" },
    { "[http]\nlisten = 300.0.0.1:80", "invalid address in \"listen = 300.0.0.1:80\"" },
    { "[http]\nlisten = localhost:80", "invalid address in \"listen = localhost:80\"" },
    { "[http]\nlisten = [::1:80", "invalid address in \"listen = [::1:80\"" },
    { "[http]\nlisten = unix:", "no path in \"listen = unix:\"" },
    { "[http]\nlisten = 80 backlog=0", "invalid option \"backlog=0\" for this address in " },
    { "[http]\nlisten = 80 mode=0660", "invalid option \"mode=0660\" for this address in " },
    { "[http]\nlisten = unix:x mode=0999", "invalid option \"mode=0999\" for this address in " },
    { "[http]\nlisten = unix:x reuseport", "invalid option \"reuseport\" for this address in " },
    { "[http]\nlisten = 80 ipv6only=on", "invalid option \"ipv6only=on\" for this address in " },
    { "[http]\nlisten = 80 fast", "unknown option \"fast\" in \"listen = 80 fast\"" },
    { "[http]\nlisten = 8080\nlisten = 0.0.0.0:8080", "duplicate \"listen\" at \"0.0.0.0:8080\"" },
    { "[http]\nkeepalive_timeout = -1", "invalid value \"-1\" in directive \"keepalive_timeout\"" },
    { "[http]\nkeepalive_requests = 0", "value \"0\" in directive \"keepalive_requests\" is out" },
    { "[http]\nclient_header_timeout = 0",
        "value \"0\" in directive \"client_header_timeout\" is out of range" },
    { "[http]\nclient_max_header_size = 10",
        "value \"10\" in directive \"client_max_header_size\" is out of range, 256 to 1048576" },
    { "[location /a]\nhandler = nothing", "unknown handler \"nothing\"" },
    { "[location /a]\nhandler = return\nreturn = 99 x",
        "invalid value \"99 x\" in directive \"return\"" },
    { "[location /a]\nhandler = return\nreturn = 600 x", "invalid value \"600 x\" in directive" },
    { "[location /a]\nhandler = stub_status\nallow = 10.0.0.0/33",
        "invalid value \"10.0.0.0/33\" in directive \"allow\"" },
    { "[location /a]\nhandler = stub_status\ndeny = nobody",
        "invalid value \"nobody\" in directive \"deny\"" },
    { "[location /a]", "no \"handler\" in location \"/a\"" },
    { "[location a]", "location \"a\" does not begin with \"/\"" },
};

static int
line_of(const char *text)
{
    int line = 1;

    for (; *text != '\0'; text++)
        line += *text == '\n';
    return line;
}

START_TEST(an_error_is_told_with_its_place)
{
    char place[256];
    const char *text = bad[_i].text;
    int alone = strncmp(text, "[http]", 6) == 0;

    daemon_conff(&d, "%s\n%s", text, alone ? "" : DAEMON_HTTP);
    ck_assert_int_eq(daemon_run(&d, "-t", NULL), 1);
    snprintf(place, sizeof(place), " in %s:%d\n", d.conf, line_of(text));
    char *line = strstr(d.output, "reeve: [emerg] ");
    char *message = line == NULL ? NULL : strstr(line, bad[_i].message);
    char *found = message == NULL ? NULL : strstr(message, place);
    ck_assert_msg(found != NULL && memchr(line, '\n', (size_t) (found - line)) == NULL,
        "for\n%s\nwanted %s%s, got\n%s", text, bad[_i].message, place, d.output);
    ck_assert_msg(strstr(found, "[emerg]") == NULL, "more than one error:\n%s", d.output);
}
END_TEST

static const char many[] = "[main]\n"
                           "worker_proceses = 3\n"
                           "daemon = of\n"
                           "pid = logs/reeve.pid\n"
                           "[events]\n"
                           "worker_connections = 0\n"
                           "[http]\n"
                           "listen = 127.0.0.1:%PORT%\n"
                           "listen = unix:s.sock\n"
                           "[zone stats]\n"
                           "type = paper\n"
                           "[location /a]\n"
                           "[location /b]\n"
                           "handler = return\n"
                           "[nothing]\n"
                           "x = 1\n"
                           "broken\n";

START_TEST(every_error_of_a_file_is_told)
{
    static const int lines[] = { 2, 3, 6, 11, 12, 13, 15, 17 };
    char place[256];

    daemon_conf(&d, many);
    ck_assert_int_eq(daemon_run(&d, "-t", NULL), 1);
    for (int i = 0; i < COUNT(lines); i++) {
        snprintf(place, sizeof(place), " in %s:%d\n", d.conf, lines[i]);
        ck_assert_msg(strstr(d.output, place) != NULL, "no line%s in\n%s", place, d.output);
    }
}
END_TEST

START_TEST(every_address_that_is_there_twice_is_told)
{
    char place[256];

    daemon_conf(&d,
        "[http]\nlisten = 127.0.0.1:%PORT%\nlisten = unix:s.sock\n"
        "listen = 127.0.0.1:%PORT%\nlisten = unix:s.sock mode=0600\n"
        "[location /]\nhandler = stub_status\n");
    ck_assert_int_eq(daemon_run(&d, "-t", NULL), 1);
    for (int line = 4; line <= 5; line++) {
        snprintf(place, sizeof(place), "\" in %s:%d\n", d.conf, line);
        daemon_expect_output(&d, place);
    }
    daemon_expect_output(&d, "reeve: [emerg] duplicate \"listen\" at \"127.0.0.1:");
    daemon_expect_output(&d, "reeve: [emerg] duplicate \"listen\" at \"unix:");
}
END_TEST

START_TEST(a_start_with_a_broken_file_leaves_nothing)
{
    char wanted[256];

    daemon_conf(&d, many);
    ck_assert_int_eq(daemon_run(&d, NULL), 1);
    snprintf(wanted, sizeof(wanted),
        "reeve: [emerg] unknown directive \"worker_proceses\" in %s:2\n", d.conf);
    daemon_expect_output(&d, wanted);
    ck_assert_int_eq(access(d.pid, F_OK), -1);
    ck_assert_int_eq(access(d.log, F_OK), -1);
    ck_assert_int_eq(access(daemon_path(&d, "s.sock"), F_OK), -1);
    ck_assert_int_eq(daemon_connect(&d), -1);
}
END_TEST

/* --- files that are none ------------------------------------------------------------------- */

static void
expect_unreadable(const char *path, const char *reason)
{
    char wanted[512];

    ck_assert_int_eq(daemon_run_bare(&d, "-p", d.prefix, "-c", path, NULL), 1);
    snprintf(wanted, sizeof(wanted),
        "reeve: [emerg] reading configuration file \"%s\" failed (%s)\n", path, reason);
    ck_assert_str_eq(d.output, wanted);
    ck_assert_int_eq(access(d.pid, F_OK), -1);
}

START_TEST(a_file_that_cannot_be_read_is_an_error)
{
    expect_unreadable(daemon_path(&d, "missing.conf"), "2: No such file or directory");
    expect_unreadable(daemon_path(&d, "logs"), "21: Is a directory");

    daemon_conf(&d, DAEMON_CONF);
    ck_assert_int_eq(chmod(d.conf, 0), 0);
    d.unprivileged = 1;
    expect_unreadable(d.conf, "13: Permission denied");
}
END_TEST

START_TEST(a_file_that_is_no_file_is_an_error)
{
    const char *path = daemon_path(&d, "fifo");

    ck_assert_int_eq(mkfifo(path, 0644), 0);
    ck_assert_int_eq(daemon_run_bare(&d, "-p", d.prefix, "-c", path, "-t", NULL), 1);
    daemon_expect_output(&d, "reading configuration file \"");
}
END_TEST

START_TEST(a_file_that_serves_nothing_is_an_error)
{
    static const char *const texts[] = { "", "\n\n", "# nothing\n", "[main]\ndaemon = off\n",
        "[http]\n", "\xef\xbb\xbf" };

    daemon_conf(&d, texts[_i]);
    ck_assert_int_eq(daemon_run(&d, NULL), 1);
    daemon_expect_output(&d, "no \"listen\" directive: nothing would be served in ");
    ck_assert_int_eq(access(d.pid, F_OK), -1);
}
END_TEST

START_TEST(a_nul_byte_is_an_error_and_hides_nothing)
{
    static const char text[] = "[main]\nenv = a\0b\nworker_proceses = 1\n[http]\nlisten = 1\n";
    char place[256];

    daemon_write(d.conf, text, sizeof(text) - 1);
    ck_assert_int_eq(daemon_run(&d, "-t", NULL), 1);
    snprintf(place, sizeof(place), "NUL byte in line in %s:2\n", d.conf);
    daemon_expect_output(&d, place);
    snprintf(place, sizeof(place), "unknown directive \"worker_proceses\" in %s:3\n", d.conf);
    daemon_expect_output(&d, place);
}
END_TEST

/* --- what is accepted ------------------------------------------------------------------------- */

static const char *const good[] = {
    "[main]\n[events]\n[zone stats]\n[echo]\n",                        /* empty sections */
    "  [main]  \n\tdaemon=on\n   pid   =   logs/reeve.pid   \n",       /* indented, blanks */
    "[main]\n# a comment\n; another\n  # and one more\ndaemon = on\n", /* comments */
    "[main] ; why not\ndaemon = on ; and here\n",                      /* at a line's end */
    "\n\n[main]\n\n\ndaemon = on\n\n",                                 /* empty lines */
    "[ main ]\ndaemon = on\n[zone   stats]\n",                         /* blanks in brackets */
    "[main]\r\ndaemon = on\r\n\r\n# x\r\n[events]\r\n",                /* CRLF */
    "\xef\xbb\xbf[main]\ndaemon = on\n",                               /* a byte order mark */
    "[main]\nenv = A=\xc3\xa9\n",                                      /* UTF-8 */
    "[main]\nenv = A=b = c\n",                                         /* "=" in a value */
    "[zone not_used]\n",                                               /* a warning */
    "[location /" A10 A10 A10 "123456789]\nhandler = stub_status\n",   /* 49 bytes */
    ("[main]\nworker_processes = 512\nworker_priority = -20\nworker_shutdown_timeout = 1d\n"
     "worker_rlimit_core = 1m\nenv = A\nenv = B=1\n[events]\nuse = epoll\n"),
};

START_TEST(a_file_is_accepted)
{
    char wanted[256];

    daemon_conff(&d, "%s%s", good[_i], DAEMON_HTTP);
    ck_assert_msg(daemon_run(&d, "-t", NULL) == 0, "%s", d.output);
    snprintf(wanted, sizeof(wanted), "reeve: configuration file %s test is successful\n", d.conf);
    daemon_expect_output(&d, wanted);
    if (strstr(good[_i], "not_used") != NULL)
        daemon_expect_output(&d, "reeve: [warn] zone \"not_used\" is not used by any module in ");
    else
        ck_assert_str_eq(d.output, wanted);
}
END_TEST

/* As from an editor of another system: nothing of its marks reaches a client. */
START_TEST(marks_and_line_ends_of_another_system_are_not_part_of_a_value)
{
    char text[256];

    daemon_conf(&d,
        "\xef\xbb\xbf[main]\r\nerror_log = logs/error.log info\r\n[http]\r\n"
        "\tlisten = 127.0.0.1:%PORT%\r\n[location /hello]\r\n  handler = return\r\n"
        "  return = 200 hello world\r\n");
    daemon_start(&d);
    ck_assert_int_eq(daemon_get(&d, "/hello", text, sizeof(text)), 200);
    ck_assert_str_eq(text, "hello world");
}
END_TEST

START_TEST(a_line_of_199_bytes_is_whole)
{
    char line[256], text[512];
    int n = snprintf(line, sizeof(line), "return = 200 %s", A200);

    ck_assert_int_gt(n, 199);
    line[199] = '\0';
    daemon_conff(
        &d, "%s%s\n", "[http]\nlisten = 127.0.0.1:%PORT%\n[location /]\nhandler = return\n", line);
    daemon_start(&d);
    ck_assert_int_eq(daemon_get(&d, "/", text, sizeof(text)), 200);
    ck_assert_str_eq(text, line + strlen("return = 200 "));
}
END_TEST

START_TEST(the_configuration_that_ships_works)
{
    char path[512], overrides[128], text[256];

    snprintf(path, sizeof(path), "%s/conf/reeve.conf", getenv("RV_SOURCE"));
    snprintf(
        overrides, sizeof(overrides), "http.listen = 127.0.0.1:%d; worker_processes = 1", d.port);
    ck_assert_int_eq(daemon_run_bare(&d, "-p", d.prefix, "-c", path, "-g", overrides, NULL), 0);
    daemon_wait_master(&d);
    ck_assert_int_eq(daemon_get(&d, "/", text, sizeof(text)), 200);
    ck_assert_int_eq(daemon_get(&d, "/stub_status", text, sizeof(text)), 200);
}
END_TEST

int
main(void)
{
    Suite *s = suite_create("config");
    TCase *tc = daemon_case(s, "config");

    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_add_loop_test(tc, an_error_is_told_with_its_place, 0, COUNT(bad));
    tcase_add_test(tc, every_error_of_a_file_is_told);
    tcase_add_test(tc, every_address_that_is_there_twice_is_told);
    tcase_add_test(tc, a_start_with_a_broken_file_leaves_nothing);
    tcase_add_test(tc, a_file_that_cannot_be_read_is_an_error);
    tcase_add_test(tc, a_file_that_is_no_file_is_an_error);
    tcase_add_loop_test(tc, a_file_that_serves_nothing_is_an_error, 0, 6);
    tcase_add_test(tc, a_nul_byte_is_an_error_and_hides_nothing);
    tcase_add_loop_test(tc, a_file_is_accepted, 0, COUNT(good));
    tcase_add_test(tc, marks_and_line_ends_of_another_system_are_not_part_of_a_value);
    tcase_add_test(tc, a_line_of_199_bytes_is_whole);
    tcase_add_test(tc, the_configuration_that_ships_works);
    return daemon_main(s);
}
