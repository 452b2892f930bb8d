/*
 * rv_options: the command line, word by word.
 */
#include "rv_options.h"

#include "rv_log.h"

#include <check.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { MAX_WORDS = 12 };

static rv_options_t o;

/* What has come to the terminal since. */
static char terminal[4096];

/* Words are separated by blanks, "_" stands for one within a word. */
static int
parse(const char *line)
{
    static char copy[512], name[] = "reeve";
    char *argv[MAX_WORDS] = { name }, *save = NULL;
    int argc = 1, fds[2];

    snprintf(copy, sizeof(copy), "%s", line);
    for (char *word = strtok_r(copy, " ", &save); word != NULL; word = strtok_r(NULL, " ", &save)) {
        for (char *p = word; *p != '\0'; p++)
            *p = (char) (*p == '_' ? ' ' : *p);
        argv[argc++] = word;
    }

    ck_assert_int_eq(pipe2(fds, O_NONBLOCK), 0);
    int kept = dup(STDERR_FILENO);
    optind = 1; /* a new line */
    dup2(fds[1], STDERR_FILENO);
    static rv_options_t before[64]
        __attribute__((used)); /* their texts are for the process's life: reachable */
    static size_t lines;

    before[lines++ % 64] = o;
    int result = rv_options_parse(&o, argc, argv);
    dup2(kept, STDERR_FILENO);

    ssize_t n = read(fds[0], terminal, sizeof(terminal) - 1);
    terminal[n > 0 ? n : 0] = '\0';
    close(kept);
    close(fds[0]);
    close(fds[1]);
    return result;
}

static void
assert_parses(const char *line)
{
    ck_assert_msg(parse(line) == RV_OK, "\"%s\": %s", line, terminal);
    ck_assert_str_eq(terminal, "");
}

typedef struct {
    const char *line;
    int help, version, configure, test, dump, quiet;
} flags_t;

static const flags_t flags[] = {
    { "", 0, 0, 0, 0, 0, 0 },
    { "-h", 1, 0, 0, 0, 0, 0 },
    { "-?", 1, 0, 0, 0, 0, 0 },
    { "-v", 0, 1, 0, 0, 0, 0 },
    { "-V", 0, 1, 1, 0, 0, 0 },
    { "-t", 0, 0, 0, 1, 0, 0 },
    { "-T", 0, 0, 0, 1, 1, 0 },
    { "-q", 0, 0, 0, 0, 0, 1 },
    { "-tq", 0, 0, 0, 1, 0, 1 },
    { "-q -t -T", 0, 0, 0, 1, 1, 1 },
    { "-hvVtTq", 1, 1, 1, 1, 1, 1 },
    { "-t --", 0, 0, 0, 1, 0, 0 },
};

START_TEST(letters_are_flags)
{
    const flags_t *c = &flags[_i];

    assert_parses(c->line);
    ck_assert_int_eq(o.help, c->help);
    ck_assert_int_eq(o.version, c->version);
    ck_assert_int_eq(o.configure, c->configure);
    ck_assert_int_eq(o.test, c->test);
    ck_assert_int_eq(o.dump, c->dump);
    ck_assert_int_eq(o.quiet, c->quiet);
    ck_assert_ptr_null(o.topic);
    ck_assert_ptr_null(o.signal);
    ck_assert_ptr_null(o.error_log);
    ck_assert_ptr_null(o.overrides);
}
END_TEST

static const struct {
    const char *line;
    int number;
} signals[] = {
    { "-s stop", SIGINT },
    { "-s quit", SIGQUIT },
    { "-s reload", SIGHUP },
    { "-s reopen", SIGUSR1 },
    { "-sstop", SIGINT },
    { "-qs quit -c x", SIGQUIT },
};

START_TEST(signal_is_a_word)
{
    assert_parses(signals[_i].line);
    ck_assert_ptr_nonnull(o.signal);
    ck_assert_int_eq(o.signal->number, signals[_i].number);
}
END_TEST

/* "." in front of an expected path is the current folder. */
static const struct {
    const char *line;
    const char *prefix;
    const char *conf;
    const char *error_log; /* NULL: none */
} paths[] = {
    { "-p /srv/r", "/srv/r/", "/srv/r/" RV_CONF_PATH, NULL },
    { "-p /srv/r/", "/srv/r/", "/srv/r/" RV_CONF_PATH, NULL },
    { "-p /", "/", "/" RV_CONF_PATH, NULL },
    { "-p sub", "./sub/", "./sub/" RV_CONF_PATH, NULL },
    { "-p /srv -c my.conf", "/srv/", "/srv/my.conf", NULL },
    { "-c my.conf -p /srv", "/srv/", "/srv/my.conf", NULL },
    { "-p /srv -c /etc/my.conf", "/srv/", "/etc/my.conf", NULL },
    { "-p sub -c my.conf", "./sub/", "./sub/my.conf", NULL },
    { "-p /srv -e early.log", "/srv/", "/srv/" RV_CONF_PATH, "/srv/early.log" },
    { "-p /srv -e /var/early.log", "/srv/", "/srv/" RV_CONF_PATH, "/var/early.log" },
    { "-p /srv -e stderr", "/srv/", "/srv/" RV_CONF_PATH, "stderr" },
    { "-p /first -p /srv", "/srv/", "/srv/" RV_CONF_PATH, NULL },
    { "-p /with_blank", "/with blank/", "/with blank/" RV_CONF_PATH, NULL },
};

static void
assert_path(const char *path, const char *expected)
{
    char folder[PATH_MAX];

    ck_assert_ptr_nonnull(path);
    ck_assert_int_eq(path[0] == '/' || strcmp(path, "stderr") == 0, 1);
    if (expected[0] != '.') {
        ck_assert_str_eq(path, expected);
        return;
    }
    ck_assert_ptr_nonnull(getcwd(folder, sizeof(folder)));
    ck_assert_int_eq(strncmp(path, folder, strlen(folder)), 0);
    ck_assert_str_eq(path + strlen(folder), expected + 1);
}

START_TEST(paths_are_absolute_and_under_the_prefix)
{
    if (RV_CONF_PATH[0] == '/') /* of this build: the prefix has no say in it */
        return;
    assert_parses(paths[_i].line);
    assert_path(o.prefix, paths[_i].prefix);
    assert_path(o.conf, paths[_i].conf);
    if (paths[_i].error_log == NULL)
        ck_assert_ptr_null(o.error_log);
    else
        assert_path(o.error_log, paths[_i].error_log);
}
END_TEST

START_TEST(without_paths_they_are_those_of_the_build)
{
    assert_parses("");
    ck_assert_str_eq(o.prefix, RV_PREFIX);
    ck_assert_str_eq(o.conf, RV_CONF_PATH[0] == '/' ? RV_CONF_PATH : RV_PREFIX RV_CONF_PATH);
}
END_TEST

START_TEST(prefix_without_a_folder_is_the_root)
{
    ck_assert_int_eq(chdir("/"), 0);
    assert_parses("-p sub");
    ck_assert_str_eq(o.prefix, "/sub/");
}
END_TEST

START_TEST(overrides_are_taken_as_they_are)
{
    assert_parses("-g main.daemon_=_off;_http.listen_=_9000");
    ck_assert_str_eq(o.overrides, "main.daemon = off; http.listen = 9000");
}
END_TEST

START_TEST(help_may_have_a_topic)
{
    assert_parses("-h directives");
    ck_assert_int_eq(o.help, 1);
    ck_assert_str_eq(o.topic, "directives");
}
END_TEST

static const struct {
    const char *line;
    const char *error; /* a part of it */
} bad[] = {
    { "-x", "invalid option: \"-x\"" },
    { "-tx", "invalid option: \"-x\"" },
    { "--helpless", "invalid option: \"--\"" },
    { "-p", "option \"-p\" needs a value" },
    { "-c", "option \"-c\" needs a value" },
    { "-e", "option \"-e\" needs a value" },
    { "-g", "option \"-g\" needs a value" },
    { "-s", "option \"-s\" needs a value" },
    { "-t -s", "option \"-s\" needs a value" },
    { "-s restart", "invalid option: \"-s restart\"" },
    { "-s STOP", "invalid option: \"-s STOP\"" },
    { "-s _", "invalid option: \"-s  \"" },
    { "stop", "invalid argument: \"stop\"" },
    { "-t stop", "invalid argument: \"stop\"" },
    { "-t -- -q", "invalid argument: \"-q\"" },
    { "-h directives more", "invalid argument: \"more\"" },
    { "stop -t", "invalid argument: \"stop\"" },
};

START_TEST(bad_line_is_an_error_on_the_terminal)
{
    ck_assert_msg(parse(bad[_i].line) == RV_ERROR, "\"%s\"", bad[_i].line);
    ck_assert_msg(
        strncmp(terminal, "reeve: [emerg] ", 15) == 0 && strstr(terminal, bad[_i].error) != NULL,
        "\"%s\": %s", bad[_i].line, terminal);
    ck_assert_ptr_eq(strchr(terminal, '\n'), terminal + strlen(terminal) - 1); /* one line */
}
END_TEST

static Suite *
options_suite(void)
{
    Suite *suite = suite_create("options");
    TCase *tcase = tcase_create("options");

    tcase_set_timeout(tcase, 60);
    tcase_add_loop_test(tcase, letters_are_flags, 0, (int) rv_countof(flags));
    tcase_add_loop_test(tcase, signal_is_a_word, 0, (int) rv_countof(signals));
    tcase_add_loop_test(tcase, paths_are_absolute_and_under_the_prefix, 0, (int) rv_countof(paths));
    tcase_add_test(tcase, without_paths_they_are_those_of_the_build);
    tcase_add_test(tcase, prefix_without_a_folder_is_the_root);
    tcase_add_test(tcase, overrides_are_taken_as_they_are);
    tcase_add_test(tcase, help_may_have_a_topic);
    tcase_add_loop_test(tcase, bad_line_is_an_error_on_the_terminal, 0, (int) rv_countof(bad));
    suite_add_tcase(suite, tcase);
    return suite;
}

int
main(void)
{
    SRunner *runner = srunner_create(options_suite());

    srunner_run_all(runner, CK_NORMAL);

    int failed = srunner_ntests_failed(runner);

    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
