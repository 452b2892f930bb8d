/*
 * test_command: the options of the command line.
 */
#include "daemon.h"
#include "rv_module.h"

#include <dirent.h>
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

/* Names, sizes and times of a folder's files, the harness's own apart. */
static void
list_folder(const char *folder, char *text, size_t room)
{
    struct dirent **entries;
    int n = scandir(folder, &entries, NULL, alphasort);

    ck_assert_int_ge(n, 0);
    for (int i = 0; i < n; i++) {
        char path[512];
        struct stat st;
        size_t used = strlen(text);

        snprintf(path, sizeof(path), "%s%s", folder, entries[i]->d_name);
        ck_assert_int_eq(lstat(path, &st), 0);
        if (strcmp(entries[i]->d_name, "terminal") != 0 && !S_ISDIR(st.st_mode))
            snprintf(text + used, room - used, "%s %o %ld %ld.%ld\n", path, st.st_mode,
                (long) st.st_size, (long) st.st_mtim.tv_sec, st.st_mtim.tv_nsec);
        free(entries[i]);
    }
    free(entries);
}

static void
list_all(char *text, size_t room)
{
    text[0] = '\0';
    list_folder(d.prefix, text, room);
    list_folder(daemon_path(&d, "logs/"), text, room);
}

/* --- -t, -T, -q ----------------------------------------------------------------------------- */

START_TEST(a_test_of_a_good_file_succeeds_and_changes_nothing)
{
    char wanted[256], before[4096], after[4096];

    daemon_conf(&d,
        "[main]\nerror_log = logs/error.log info\n[zone stats]\ntype = file\npath = zone\n"
        "[http]\nlisten = 127.0.0.1:%PORT%\nlisten = unix:s.sock\n"
        "[location /]\nhandler = stub_status\n");
    list_all(before, sizeof(before));
    ck_assert_int_eq(daemon_run(&d, "-t", NULL), 0);
    snprintf(wanted, sizeof(wanted), "reeve: configuration file %s test is successful\n", d.conf);
    ck_assert_str_eq(d.output, wanted);
    list_all(after, sizeof(after));
    ck_assert_str_eq(after, before);
}
END_TEST

START_TEST(a_test_beside_a_running_daemon_does_not_touch_it)
{
    char before[4096], after[4096];

    daemon_conf(&d, DAEMON_CONF);
    daemon_start(&d);
    list_all(before, sizeof(before));
    ck_assert_int_eq(daemon_run(&d, "-t", NULL), 0);
    ck_assert_int_eq(daemon_run(&d, "-T", NULL), 0);
    daemon_wait_workers(&d, 2);
    list_all(after, sizeof(after));
    ck_assert_str_eq(after, before);
}
END_TEST

START_TEST(a_test_of_a_bad_file_fails_and_says_why)
{
    char wanted[512];

    daemon_conf(&d, "[main]\nworker_proceses = 2\n[http]\nlisten = 127.0.0.1:%PORT%\n");
    for (int quiet = 0; quiet < 2; quiet++) {
        ck_assert_int_eq(daemon_run(&d, "-t", quiet ? "-q" : NULL, NULL), 1);
        snprintf(wanted, sizeof(wanted),
            "reeve: [emerg] unknown directive \"worker_proceses\" in %s:2\n"
            "reeve: configuration file %s test failed\n",
            d.conf, d.conf);
        ck_assert_str_eq(d.output, wanted);
    }
}
END_TEST

START_TEST(a_quiet_test_of_a_good_file_says_nothing)
{
    daemon_conf(&d, DAEMON_CONF);
    ck_assert_int_eq(daemon_run(&d, "-t", "-q", NULL), 0);
    ck_assert_str_eq(d.output, "");
    ck_assert_int_eq(daemon_run(&d, "-qt", NULL), 0);
    ck_assert_str_eq(d.output, "");
}
END_TEST

START_TEST(capital_t_prints_the_file_as_it_is)
{
    static const char text[] = "# mine\n[main]\n  daemon = on  ; yes\n\n[http]\nlisten = 1234\n";
    char wanted[512];

    daemon_conf(&d, text);
    ck_assert_int_eq(daemon_run(&d, "-T", "-q", NULL), 0);
    snprintf(wanted, sizeof(wanted), "# configuration file %s:\n%s", d.conf, text);
    ck_assert_msg(strncmp(d.output, wanted, strlen(wanted)) == 0, "%s", d.output);
    ck_assert_int_eq(daemon_run(&d, "-T", NULL), 0);
    daemon_expect_output(&d, "test is successful\n");
    daemon_expect_output(&d, text);
}
END_TEST

/* --- -v, -V, -h --------------------------------------------------------------------------------- */

static const struct {
    const char *option, *topic;
    const char *output[4];
} helps[] = {
    { "-v", NULL, { "reeve version: reeve/" } },
    { "-V", NULL, { "reeve version: reeve/", "built by ", "configure arguments:" } },
    { "-h", NULL, { "Usage: reeve ", "-s signal", "-g directives" } },
    { "-?", NULL, { "Usage: reeve ", "-s signal", "-g directives" } },
    { "-h", "directives", { "[main]\n", "[zone NAME]\n", "[location PATH]\n" } },
};

START_TEST(what_it_is_and_what_it_can_do_is_told)
{
    ck_assert_int_eq(daemon_run_bare(&d, helps[_i].option, helps[_i].topic, NULL), 0);
    for (int i = 0; i < 4 && helps[_i].output[i] != NULL; i++)
        daemon_expect_output(&d, helps[_i].output[i]);
    ck_assert_ptr_null(strstr(d.output, "[emerg]"));
}
END_TEST

START_TEST(the_version_is_one_line)
{
    ck_assert_int_eq(daemon_run_bare(&d, "-v", NULL), 0);
    ck_assert_int_eq(daemon_file_count(d.terminal, ""), 1);
    ck_assert_int_eq(d.output[strlen(d.output) - 1], '\n');
}
END_TEST

START_TEST(help_on_directives_tells_of_every_one)
{
    int told = 0;

    ck_assert_int_eq(daemon_run_bare(&d, "-h", "directives", NULL), 0);
    for (size_t i = 0; rv_modules[i] != NULL; i++) {
        const rv_conf_section_t *const *section = rv_modules[i]->sections;

        for (; section != NULL && *section != NULL; section++) {
            const rv_directive_t *directive = (*section)->directives;

            for (; directive->name != NULL; directive++, told++) {
                char name[64];

                snprintf(name, sizeof(name), "\n  %s ", directive->name);
                daemon_expect_output(&d, name);
                daemon_expect_output(&d, directive->help);
            }
        }
    }
    ck_assert_int_gt(told, 30);
}
END_TEST

static const struct {
    const char *arguments[3];
    const char *message;
} invalid[] = {
    { { "-x" }, "invalid option: \"-x\"" },
    { { "-tx" }, "invalid option: \"-x\"" },
    { { "--nonsense" }, "invalid option: \"--" },
    { { "start" }, "invalid argument: \"start\"" },
    { { "-t", "more" }, "invalid argument: \"more\"" },
    { { "-s" }, "option \"-s\" needs a value" },
    { { "-g" }, "option \"-g\" needs a value" },
    { { "-h", "nonsense" }, "no help on \"nonsense\", only on \"directives\"" },
};

START_TEST(an_invalid_option_is_an_error)
{
    char wanted[256];

    ck_assert_int_eq(
        daemon_run_bare(&d, invalid[_i].arguments[0], invalid[_i].arguments[1], NULL), 1);
    snprintf(wanted, sizeof(wanted), "reeve: [emerg] %s", invalid[_i].message);
    ck_assert_msg(strncmp(d.output, wanted, strlen(wanted)) == 0, "%s", d.output);
}
END_TEST

/* --- -g ------------------------------------------------------------------------------------------- */

START_TEST(the_command_line_overrides_the_file)
{
    char overrides[256], text[256];
    int other = daemon_free_port();

    daemon_conf(&d, DAEMON_CONF);
    snprintf(overrides, sizeof(overrides),
        "worker_processes = 3; main.worker_priority = 1 ;http.listen = 127.0.0.1:%d;"
        "location /hello.return = 200 bye; ",
        other);
    ck_assert_int_eq(daemon_run(&d, "-g", overrides, NULL), 0);
    daemon_wait_master(&d);
    daemon_wait_workers(&d, 3);
    ck_assert_int_eq(daemon_connect(&d), -1); /* replaced, not added */
    d.port = other;
    ck_assert_int_eq(daemon_get(&d, "/hello", text, sizeof(text)), 200);
    ck_assert_str_eq(text, "bye");

    daemon_reload(&d); /* they stay in force */
    daemon_wait_workers(&d, 3);
    ck_assert_int_eq(daemon_get(&d, "/hello", text, sizeof(text)), 200);
    ck_assert_str_eq(text, "bye");
}
END_TEST

START_TEST(a_repeatable_directive_may_be_repeated_on_the_command_line)
{
    char overrides[256];
    int a = daemon_free_port(), b = daemon_free_port();

    daemon_conf(&d, DAEMON_CONF);
    snprintf(overrides, sizeof(overrides), "http.listen = 127.0.0.1:%d; http.listen = 127.0.0.1:%d",
        a, b);
    ck_assert_int_eq(daemon_run(&d, "-g", overrides, NULL), 0);
    daemon_wait_master(&d);
    ck_assert_int_eq(daemon_connect(&d), -1);
    int first = daemon_connect_port(a), second = daemon_connect_port(b);
    ck_assert_int_ne(first, -1);
    ck_assert_int_ne(second, -1);
    close(first);
    close(second);
}
END_TEST

static const struct {
    const char *text, *message;
} wrong[] = {
    { "worker_proceses = 3", "unknown directive \"worker_proceses\" in command line" },
    { "htp.listen = 80", "unknown section \"[htp]\" in command line" },
    { "daemon", "no \"=\" in \"daemon\" in command line" },
    { "daemon = of", "invalid value \"of\" in directive \"daemon\"" },
    { "daemon = on; daemon = off", "duplicate directive \"daemon\" in command line" },
    { "pid =", "no value for directive \"pid\" in command line" },
};

START_TEST(a_wrong_override_is_an_error)
{
    daemon_conf(&d, DAEMON_CONF);
    ck_assert_int_eq(daemon_run(&d, "-g", wrong[_i].text, NULL), 1);
    daemon_expect_output(&d, wrong[_i].message);
    ck_assert_int_eq(access(d.pid, F_OK), -1);
    ck_assert_int_eq(daemon_connect(&d), -1);
}
END_TEST

/* --- -e --------------------------------------------------------------------------------------------- */

START_TEST(an_early_log_has_what_goes_wrong_before_there_is_another)
{
    const char *early = daemon_path(&d, "early.log");

    daemon_conf(&d, "[main]\nworker_proceses = 3\n[http]\nlisten = 127.0.0.1:%PORT%\n");
    ck_assert_int_eq(daemon_run(&d, "-e", "early.log", NULL), 1);
    ck_assert_int_eq(daemon_file_count(early, "#0: unknown directive \"worker_proceses\" in "), 1);
    ck_assert_int_eq(daemon_file_count(early, " [emerg] "), 1);
    daemon_expect_output(&d, "reeve: [emerg] unknown directive \"worker_proceses\" in ");

    daemon_conf(&d, DAEMON_CONF);
    ck_assert_int_eq(daemon_run(&d, "-e", "early.log", NULL), 0);
    daemon_wait_master(&d);
    daemon_wait_log(&d, "workers are ready", 1);
    ck_assert_int_eq(daemon_file_count(early, ""), 1);
    ck_assert(!daemon_has_file(daemon_worker(&d), early));
}
END_TEST

START_TEST(an_early_log_that_cannot_be_opened_is_an_error)
{
    char wanted[512];

    daemon_conf(&d, DAEMON_CONF);
    ck_assert_int_eq(daemon_run(&d, "-e", "no/such/folder.log", NULL), 1);
    snprintf(wanted, sizeof(wanted),
        "reeve: [emerg] opening log \"%sno/such/folder.log\" failed (2: No such file or "
        "directory)\n",
        d.prefix);
    ck_assert_str_eq(d.output, wanted);
    ck_assert_int_eq(access(d.pid, F_OK), -1);
}
END_TEST

/* --- -p, -c ------------------------------------------------------------------------------------------- */

/* A prefix in the current folder, a configuration in the prefix; and the
 * daemon finds both again though they were relative. */
START_TEST(paths_are_relative_to_the_prefix)
{
    char folder[128], text[256];

    snprintf(folder, sizeof(folder), "%s", d.prefix);
    folder[strlen(folder) - 1] = '\0';
    char *name = strrchr(folder, '/') + 1;
    name[-1] = '\0';
    ck_assert_int_eq(chdir(folder), 0);

    daemon_conf(&d, DAEMON_CONF);
    ck_assert_int_eq(daemon_run_bare(&d, "-p", name, "-c", "reeve.conf", NULL), 0);
    daemon_wait_master(&d);
    ck_assert_int_eq(daemon_get(&d, "/hello", text, sizeof(text)), 200);
    ck_assert_int_eq(access(d.log, F_OK), 0);
    daemon_reload(&d);
    ck_assert_int_eq(daemon_run_bare(&d, "-p", name, "-c", "reeve.conf", "-s", "quit", NULL), 0);
    daemon_wait_gone(&d);
    ck_assert_int_eq(d.status, 0);
}
END_TEST

int
main(void)
{
    Suite *s = suite_create("command");
    TCase *tc = daemon_case(s, "command");

    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_add_test(tc, a_test_of_a_good_file_succeeds_and_changes_nothing);
    tcase_add_test(tc, a_test_beside_a_running_daemon_does_not_touch_it);
    tcase_add_test(tc, a_test_of_a_bad_file_fails_and_says_why);
    tcase_add_test(tc, a_quiet_test_of_a_good_file_says_nothing);
    tcase_add_test(tc, capital_t_prints_the_file_as_it_is);
    tcase_add_loop_test(tc, what_it_is_and_what_it_can_do_is_told, 0, 5);
    tcase_add_test(tc, the_version_is_one_line);
    tcase_add_test(tc, help_on_directives_tells_of_every_one);
    tcase_add_loop_test(tc, an_invalid_option_is_an_error, 0, 8);
    tcase_add_test(tc, the_command_line_overrides_the_file);
    tcase_add_test(tc, a_repeatable_directive_may_be_repeated_on_the_command_line);
    tcase_add_loop_test(tc, a_wrong_override_is_an_error, 0, 6);
    tcase_add_test(tc, an_early_log_has_what_goes_wrong_before_there_is_another);
    tcase_add_test(tc, an_early_log_that_cannot_be_opened_is_an_error);
    tcase_add_test(tc, paths_are_relative_to_the_prefix);
    return daemon_main(s);
}
