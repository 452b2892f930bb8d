/*
 * test_signals: what ends a daemon, and what -s does.
 */
#include "daemon.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
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

static void
expect_gone(void)
{
    daemon_wait_gone(&d);
    ck_assert_int_eq(d.status, 0);
    ck_assert_int_eq(access(d.pid, F_OK), -1);
    ck_assert_int_eq(daemon_connect(&d), -1);
    ck_assert_int_eq(daemon_log_count(&d, "[error]"), 0);
}

/* By signal where word is NULL. */
static const struct {
    int number;
    const char *word;
    const char *logged;
} ends[] = {
    { SIGTERM, NULL, "told to stop\n" },
    { SIGINT, NULL, "told to stop\n" },
    { SIGQUIT, NULL, "told to quit\n" },
    { 0, "stop", "told to stop\n" },
    { 0, "quit", "told to quit\n" },
};

START_TEST(the_daemon_ends_when_it_is_told_to)
{
    daemon_conf(&d, DAEMON_CONF);
    daemon_start(&d);
    if (ends[_i].word == NULL)
        ck_assert_int_eq(kill(d.master, ends[_i].number), 0);
    else
        daemon_signal(&d, ends[_i].word);
    expect_gone();
    ck_assert_int_eq(daemon_log_count(&d, ends[_i].logged), 1);
}
END_TEST

START_TEST(reload_by_command_and_by_signal)
{
    daemon_conf(&d, DAEMON_CONF);
    daemon_start(&d);
    daemon_reload(&d);
    daemon_signal(&d, "reload");
    daemon_wait_log(&d, "reload done, generation 3", 1);
    daemon_wait_log(&d, "generation 2 is gone", 1);
    daemon_wait_workers(&d, 2);
}
END_TEST

START_TEST(without_a_daemon_every_word_is_an_error)
{
    static const char *const words[] = { "stop", "quit", "reload", "reopen" };
    char wanted[256];

    daemon_conf(&d, DAEMON_CONF);
    ck_assert_int_eq(daemon_run(&d, "-s", words[_i], NULL), 1);
    snprintf(
        wanted, sizeof(wanted), "reeve: [emerg] not running: no process holds \"%s\"\n", d.pid);
    ck_assert_str_eq(d.output, wanted);
    ck_assert_int_eq(access(d.pid, F_OK), -1);
}
END_TEST

START_TEST(an_unknown_word_is_an_error_and_no_signal)
{
    char text[256];

    daemon_conf(&d, DAEMON_CONF);
    daemon_start(&d);
    ck_assert_int_eq(daemon_run(&d, "-s", "halt", NULL), 1);
    ck_assert_str_eq(d.output,
        "reeve: [emerg] invalid option: \"-s halt\", it must be quit, stop, reload, reopen, "
        "upgrade, add or remove\n");
    ck_assert_int_eq(daemon_get(&d, "/hello", text, sizeof(text)), 200);
}
END_TEST

/* --- a configuration that has been broken since ------------------------------------------- */

START_TEST(a_broken_configuration_does_not_keep_a_word_from_the_daemon)
{
    static const char *const words[] = { "stop", "quit" };

    daemon_conf(&d, DAEMON_CONF);
    daemon_start(&d);
    daemon_conf(&d, "[main]\nworker_proceses = 2\nnonsense\n[htp]\n");
    ck_assert_int_eq(daemon_run(&d, "-s", "reopen", NULL), 0);
    daemon_wait_log(&d, "reopening logs", 1);
    daemon_signal(&d, words[_i]);
    expect_gone();
}
END_TEST

START_TEST(a_configuration_that_is_gone_does_not_keep_a_word_from_the_daemon)
{
    daemon_conf(&d, DAEMON_CONF);
    daemon_start(&d);
    ck_assert_int_eq(unlink(d.conf), 0);
    daemon_signal(&d, "quit");
    expect_gone();
}
END_TEST

/* The pid file's place is still known when an error stands before it. */
START_TEST(a_pid_path_after_an_error_is_found)
{
    snprintf(d.pid, sizeof(d.pid), "%sother.pid", d.prefix);
    daemon_conff(&d, "[main]\npid = other.pid\nerror_log = logs/error.log notice\n%s", DAEMON_HTTP);
    daemon_start(&d);
    daemon_conff(&d, "nonsense\n[main]\ndaemon = perhaps\npid = other.pid\n%s", DAEMON_HTTP);
    daemon_signal(&d, "stop");
    expect_gone();
}
END_TEST

START_TEST(a_broken_reload_is_told_to_the_caller_and_to_the_log)
{
    char wanted[512], text[256];

    daemon_conf(&d, DAEMON_CONF);
    daemon_start(&d);
    daemon_conff(&d, "[main]\nworker_proceses = 2\n%s", DAEMON_HTTP);
    ck_assert_int_eq(daemon_run(&d, "-s", "reload", NULL), 1);
    snprintf(wanted, sizeof(wanted),
        "reeve: [emerg] reload failed: unknown directive \"worker_proceses\" in %s:2\n", d.conf);
    ck_assert_str_eq(d.output, wanted);

    snprintf(wanted, sizeof(wanted), "unknown directive \"worker_proceses\" in %s:2", d.conf);
    daemon_wait_log(&d, "reload failed, generation 1 goes on: ", 1);
    ck_assert_int_ge(daemon_log_count(&d, wanted), 1);
    ck_assert_int_eq(daemon_get(&d, "/hello", text, sizeof(text)), 200);
    daemon_wait_workers(&d, 2);

    daemon_conf(&d, DAEMON_CONF);
    daemon_reload(&d);
}
END_TEST

int
main(void)
{
    Suite *s = suite_create("signals");
    TCase *tc = daemon_case(s, "signals");

    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_add_loop_test(
        tc, the_daemon_ends_when_it_is_told_to, 0, (int) (sizeof(ends) / sizeof(ends[0])));
    tcase_add_test(tc, reload_by_command_and_by_signal);
    tcase_add_loop_test(tc, without_a_daemon_every_word_is_an_error, 0, 4);
    tcase_add_test(tc, an_unknown_word_is_an_error_and_no_signal);
    tcase_add_loop_test(tc, a_broken_configuration_does_not_keep_a_word_from_the_daemon, 0, 2);
    tcase_add_test(tc, a_configuration_that_is_gone_does_not_keep_a_word_from_the_daemon);
    tcase_add_test(tc, a_pid_path_after_an_error_is_found);
    tcase_add_test(tc, a_broken_reload_is_told_to_the_caller_and_to_the_log);
    return daemon_main(s);
}
