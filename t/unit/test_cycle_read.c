/*
 * rv_cycle: what reading a configuration says of it, as a whole.
 */
#include "rv_cycle.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { TEXT_SIZE = 256, MAX_MESSAGES = 6 };

#define HTTP "[http]\nlisten = 127.0.0.1:8080\n"
#define LOCATION "[location /]\nhandler = return\nreturn = 200 ok\n"

static char directory[] = "/tmp/rv_test_cycle_read_XXXXXX";
static char prefix[TEXT_SIZE];
static char path[2 * TEXT_SIZE];
static rv_cycle_options_t options;

static void
setup_run(void)
{
    ck_assert_ptr_nonnull(mkdtemp(directory));
    snprintf(prefix, sizeof(prefix), "%s/", directory);
    snprintf(path, sizeof(path), "%sreeve.conf", prefix);
    options = (rv_cycle_options_t){ .prefix = prefix, .conf = path };
}

static void
clear(void)
{
    unlink(path);
    rmdir(path);
}

static void
teardown_run(void)
{
    clear();
    rmdir(directory);
}

static rv_cycle_t *
read_bytes(const char *text, size_t length)
{
    FILE *f = fopen(path, "w");

    ck_assert_ptr_nonnull(f);
    ck_assert_uint_eq(fwrite(text, 1, length, f), length);
    ck_assert_int_eq(fclose(f), 0);
    rv_cycle_t *cycle = rv_cycle_read(&options, 1);
    ck_assert_ptr_nonnull(cycle);
    return cycle;
}

static rv_cycle_t *
read_text(const char *text)
{
    return read_bytes(text, strlen(text));
}

/* A message with "PATH" for the file's name. */
static const char *
without_path(const char *text)
{
    static char result[2048];
    const char *at = strstr(text, path);

    if (at == NULL)
        snprintf(result, sizeof(result), "%s", text);
    else
        snprintf(result, sizeof(result), "%.*sPATH%s", (int) (at - text), text, at + strlen(path));
    return result;
}

typedef struct {
    const char *text;
    const char *message[MAX_MESSAGES]; /* all there are, warnings too */
} case_t;

static const case_t cases[] = {
    { HTTP LOCATION, { NULL } },
    { "", { "no \"listen\" directive: nothing would be served in PATH" } },
    { LOCATION, { "no \"listen\" directive: nothing would be served in PATH" } },
    { "# nothing\n\n", { "no \"listen\" directive: nothing would be served in PATH" } },
    { "[echo]\nlisten = 7007\n", { NULL } },
    { "[http]\nlisten = 8080\nlisten = 8080\n" LOCATION,
        { "duplicate \"listen\" at \"0.0.0.0:8080\" in PATH" } },
    { "[http]\nlisten = 8080\n" LOCATION "[echo]\nlisten = *:8080\n",
        { "duplicate \"listen\" at \"0.0.0.0:8080\" in PATH" } },
    { "[http]\nlisten = 8080 reuse\n" LOCATION,
        { "unknown option \"reuse\" in \"listen = 8080 reuse\" in PATH:2" } },
    { HTTP LOCATION "[zone other]\nsize = 1m\n",
        { "zone \"other\" is not used by any module in PATH" } },
    { HTTP LOCATION "[zone stats]\nsize = 1k\n", { "" } },
    { "[main]\nworker_proceses = 3\n" HTTP LOCATION,
        { "unknown directive \"worker_proceses\" in PATH:2" } },
    { "[main]\ndaemon = of\ndaemon = off\n[htp]\nlisten = 80\n" HTTP LOCATION,
        { "invalid value \"of\" in directive \"daemon\", it must be \"on\" or \"off\" in PATH:2",
            "duplicate directive \"daemon\" in PATH:3", "unknown section \"[htp]\" in PATH:4" } },
    { HTTP "[location /a]\nhandler = none\n[location b]\nhandler = stub_status\n",
        { "unknown handler \"none\" in PATH:4",
            "location \"b\" does not begin with \"/\" in PATH:5" } },
};

/* An expected text of "" stands for any. */
static void
assert_has(const rv_cycle_t *cycle, const char *expected)
{
    for (const rv_conf_message_t *m = rv_conf_messages(cycle->conf); m != NULL; m = m->next) {
        if (strncmp(without_path(m->text), expected, strlen(expected)) == 0)
            return;
    }
    for (const rv_conf_message_t *m = rv_conf_messages(cycle->conf); m != NULL; m = m->next)
        fprintf(stderr, "message: %s\n", m->text);
    ck_abort_msg("case %s\nno message \"%s\"", cycle->text, expected);
}

START_TEST(every_error_is_told_with_its_place)
{
    const case_t *c = &cases[_i];
    rv_cycle_t *cycle = read_text(c->text);
    size_t expected = 0, found = 0;

    for (; expected < MAX_MESSAGES && c->message[expected] != NULL; expected++)
        assert_has(cycle, c->message[expected]);
    for (const rv_conf_message_t *m = rv_conf_messages(cycle->conf); m != NULL; m = m->next)
        found++;
    ck_assert_msg(found == expected, "%zu messages:\n%s", found, c->text);
    rv_cycle_free(cycle, 0);
}
END_TEST

START_TEST(unused_zone_is_no_error)
{
    rv_cycle_t *cycle = read_text(HTTP LOCATION "[zone other]\nsize = 1m\n");

    ck_assert_uint_eq(rv_conf_error_count(cycle->conf), 0);
    ck_assert_int_eq(rv_conf_messages(cycle->conf)->is_warning, 1);
    rv_cycle_free(cycle, 0);
}
END_TEST

/* It still says where the pid file is, which `-s stop` wants to know. */
START_TEST(broken_configuration_still_has_its_pid_file)
{
    rv_cycle_t *cycle = read_text("[main]\npid = run/x.pid\nnonsense\n[http]\nlisten = none\n");

    ck_assert_uint_gt(rv_conf_error_count(cycle->conf), 1);
    ck_assert_ptr_nonnull(cycle->core);
    ck_assert_str_eq(without_path(cycle->core->pid) + strlen(prefix), "run/x.pid");
    rv_cycle_free(cycle, 0);
}
END_TEST

static void
assert_unreadable(const char *expected)
{
    rv_cycle_t *cycle = rv_cycle_read(&options, 1);

    ck_assert_ptr_nonnull(cycle);
    ck_assert_uint_eq(rv_conf_error_count(cycle->conf), 1);
    assert_has(cycle, expected);
    rv_cycle_free(cycle, 0);
}

START_TEST(file_that_cannot_be_read_is_an_error_that_says_why)
{
    assert_unreadable("reading configuration file \"PATH\" failed (2: No such file or directory)");
    ck_assert_int_eq(mkdir(path, 0700), 0);
    assert_unreadable("reading configuration file \"PATH\" failed (21: Is a directory)");
}
END_TEST

START_TEST(nul_byte_is_an_error)
{
    static const char text[] = HTTP LOCATION "[main]\nda\0emon = off\n";
    rv_cycle_t *cycle = read_bytes(text, sizeof(text) - 1);

    assert_has(cycle, "NUL byte in line in PATH:7");
    rv_cycle_free(cycle, 0);
}
END_TEST

START_TEST(command_line_overrides_the_file)
{
    options.overrides = "main.worker_processes = 3; http.listen = 127.0.0.1:9; daemon = off";
    rv_cycle_t *cycle = read_text("[main]\nworker_processes = 7\npid = x\n" HTTP LOCATION);
    char text[RV_ADDR_TEXT];

    ck_assert_ptr_null(rv_conf_messages(cycle->conf));
    ck_assert_uint_eq(cycle->core->worker_processes, 3);
    ck_assert_int_eq(cycle->core->daemon, 0);
    ck_assert_str_eq(rv_addr_format(&cycle->listeners->listener.addr, text), "127.0.0.1:9");
    ck_assert_ptr_null(cycle->listeners->next);
    rv_cycle_free(cycle, 0);
}
END_TEST

START_TEST(error_of_the_command_line_is_told_so)
{
    options.overrides = "main.worker_processes = 0; nonsense";
    rv_cycle_t *cycle = read_text(HTTP LOCATION);

    ck_assert_uint_eq(rv_conf_error_count(cycle->conf), 2);
    assert_has(cycle,
        "value \"0\" in directive \"worker_processes\" is out of range, 1 to 512"
        " in command line");
    assert_has(cycle, "no \"=\" in \" nonsense\" in command line");
    rv_cycle_free(cycle, 0);
}
END_TEST

START_TEST(text_is_kept_to_be_shown)
{
    static const char text[] = "# first\n" HTTP "\n\n" LOCATION;
    rv_cycle_t *cycle = read_text(text);

    ck_assert_str_eq(cycle->text, text);
    ck_assert_uint_eq(cycle->generation, 1);
    ck_assert_ptr_eq(cycle->options, &options);
    rv_cycle_free(cycle, 0);
    rv_cycle_free(NULL, 1);
}
END_TEST

static Suite *
cycle_suite(void)
{
    Suite *suite = suite_create("cycle_read");
    TCase *tcase = tcase_create("cycle_read");

    tcase_add_unchecked_fixture(tcase, setup_run, teardown_run);
    tcase_add_checked_fixture(tcase, clear, NULL);
    tcase_set_timeout(tcase, 60);
    tcase_add_loop_test(tcase, every_error_is_told_with_its_place, 0, (int) rv_countof(cases));
    tcase_add_test(tcase, unused_zone_is_no_error);
    tcase_add_test(tcase, broken_configuration_still_has_its_pid_file);
    tcase_add_test(tcase, file_that_cannot_be_read_is_an_error_that_says_why);
    tcase_add_test(tcase, nul_byte_is_an_error);
    tcase_add_test(tcase, command_line_overrides_the_file);
    tcase_add_test(tcase, error_of_the_command_line_is_told_so);
    tcase_add_test(tcase, text_is_kept_to_be_shown);
    suite_add_tcase(suite, tcase);
    return suite;
}

int
main(void)
{
    SRunner *runner = srunner_create(cycle_suite());

    srunner_run_all(runner, CK_NORMAL);

    int failed = srunner_ntests_failed(runner);

    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
