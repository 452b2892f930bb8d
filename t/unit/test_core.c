/*
 * rv_core: [main], [events] and [zone NAME], value by value.
 *
 * Directives are given as on a command line: "main.daemon = off; env = LANG".
 */
#include "rv_core.h"

#include "rv_conf_read.h"
#include "rv_cpu.h"

#include <check.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define PREFIX "/srv/reeve/"

extern char **environ;

static rv_pool_t *pool;
static rv_conf_t *cf;

static void
setup(void)
{
    pool = rv_pool_create();
    cf = rv_conf_create(pool, PREFIX);
    ck_assert_ptr_nonnull(cf);
    for (size_t i = 0; rv_core_module.sections[i] != NULL; i++)
        ck_assert_int_eq(rv_conf_add(cf, rv_core_module.sections[i]), RV_OK);
}

static void
teardown(void)
{
    rv_pool_destroy(pool);
}

/* The first message, "" where there is none. */
static const char *
first_message(void)
{
    return rv_conf_messages(cf) == NULL ? "" : rv_conf_messages(cf)->text;
}

static int
read_text(const char *text)
{
    (void) rv_conf_read_overrides(cf, text);
    return rv_conf_finish(cf);
}

static const rv_core_conf_t *
read_main(const char *text)
{
    ck_assert_msg(read_text(text) == RV_OK, "\"%s\": %s", text, first_message());
    return rv_conf_get(cf, "main", NULL);
}

START_TEST(without_a_word_everything_has_its_default)
{
    const rv_core_conf_t *core = read_main("");
    const rv_core_events_t *events = rv_conf_get(cf, "events", NULL);

    ck_assert_int_eq(core->daemon, 1);
    ck_assert_int_eq(core->master_process, 1);
    ck_assert_int_eq(core->graceful_term, 0);
    ck_assert_int_eq(core->no_pid, 0);
    ck_assert_int_eq(core->user.is_set, 0);
    ck_assert_uint_eq(core->worker_processes, rv_min(rv_cpu_count(), RV_CORE_WORKERS));
    ck_assert_int_eq(core->worker_rlimit_nofile.is_set, 0);
    ck_assert_int_eq(core->worker_rlimit_core.is_set, 0);
    ck_assert_int_eq(core->worker_priority, 0);
    ck_assert_uint_eq(core->worker_shutdown_timeout, 60 * 1000);
    ck_assert_uint_eq(core->worker_startup_timeout, 30 * 1000);
    ck_assert_uint_eq(core->worker_hang_timeout, 0);
    ck_assert_uint_eq(core->channel_queue, 1024 * 1024);
    ck_assert_str_eq(core->pid, RV_PID_PATH[0] == '/' ? RV_PID_PATH : PREFIX RV_PID_PATH);
    ck_assert_ptr_nonnull(core->logs);
    ck_assert_ptr_null(core->logs->next);
    ck_assert_int_eq(core->logs->level, RV_LOG_ERROR);
    ck_assert_ptr_null(core->working_directory);
    ck_assert_ptr_null(core->env);
    ck_assert_ptr_null(core->chroot);
    ck_assert_int_eq(core->sandbox, strcmp(RV_SANDBOX, "on") == 0);
    ck_assert_uint_eq(events->worker_connections, 1024);
    ck_assert_ptr_null(events->use);
    ck_assert_ptr_null(rv_conf_get(cf, "zone", "stats"));
    ck_assert_ptr_null(rv_conf_messages(cf));
}
END_TEST

START_TEST(what_is_said_counts)
{
    const rv_core_conf_t *core = read_main("daemon = off; master_process = off;"
                                           "worker_processes = 512; worker_rlimit_nofile = 65536;"
                                           "worker_rlimit_core = 512m; worker_priority = -20;"
                                           "worker_shutdown_timeout = 0;"
                                           "worker_startup_timeout = 100ms; pid = run/r.pid;"
                                           "worker_hang_timeout = 2s; channel_queue = 64k;"
                                           "working_directory = /var/lib; zone stats.size = 2m;"
                                           "zone stats.path = z; events.worker_connections = 7");
    const rv_core_events_t *events = rv_conf_get(cf, "events", NULL);
    const rv_core_zone_t *zone = rv_conf_get(cf, "zone", "stats");

    ck_assert_int_eq(core->daemon, 0);
    ck_assert_int_eq(core->master_process, 0);
    ck_assert_uint_eq(core->worker_processes, 512);
    ck_assert_int_eq(core->worker_rlimit_nofile.is_set, 1);
    ck_assert_uint_eq(core->worker_rlimit_nofile.value, 65536);
    ck_assert_uint_eq(core->worker_rlimit_core.value, 512 * 1024 * 1024);
    ck_assert_int_eq(core->worker_priority, -20);
    ck_assert_uint_eq(core->worker_shutdown_timeout, 0);
    ck_assert_uint_eq(core->worker_startup_timeout, 100);
    ck_assert_uint_eq(core->worker_hang_timeout, 2000);
    ck_assert_uint_eq(core->channel_queue, 64 * 1024);
    ck_assert_str_eq(core->pid, PREFIX "run/r.pid");
    ck_assert_str_eq(core->working_directory, "/var/lib");
    ck_assert_uint_eq(events->worker_connections, 7);
    ck_assert_str_eq(zone->type, "auto");
    ck_assert_uint_eq(zone->size, 2 * 1024 * 1024);
    ck_assert_str_eq(zone->path, PREFIX "z");
}
END_TEST

START_TEST(limit_of_nothing_is_a_limit)
{
    const rv_core_conf_t *core = read_main("worker_rlimit_core = 0");

    ck_assert_int_eq(core->worker_rlimit_core.is_set, 1);
    ck_assert_uint_eq(core->worker_rlimit_core.value, 0);
    ck_assert_int_eq(core->worker_rlimit_nofile.is_set, 0);
}
END_TEST

START_TEST(auto_is_as_many_workers_as_processors_to_be_had)
{
    cpu_set_t set, one;

    if (!RV_HAVE_SCHED_GETAFFINITY)
        return;
    ck_assert_int_eq(sched_getaffinity(0, sizeof(set), &set), 0);
    CPU_ZERO(&one);
    for (int i = 0; i < CPU_SETSIZE && CPU_COUNT(&one) == 0; i++) {
        if (CPU_ISSET(i, &set))
            CPU_SET(i, &one);
    }
    ck_assert_int_eq(sched_setaffinity(0, sizeof(one), &one), 0);
    ck_assert_uint_eq(read_main("worker_processes = auto")->worker_processes, 1);
}
END_TEST

static const struct {
    const char *text;
    const char *error; /* a part of it */
} bad[] = {
    { "worker_processes = 0", "out of range, 1 to 512" },
    { "worker_processes = 513", "out of range, 1 to 512" },
    { "worker_processes = -1", "invalid value \"-1\" in directive \"worker_processes\"" },
    { "worker_processes = Auto", "invalid value \"Auto\"" },
    { "worker_processes = 4 4", "invalid value \"4 4\"" },
    { "daemon = yes", "it must be \"on\" or \"off\"" },
    { "master_process = 1", "it must be \"on\" or \"off\"" },
    { "worker_rlimit_nofile = many", "invalid value \"many\"" },
    { "worker_rlimit_core = -1", "invalid value \"-1\"" },
    { "worker_priority = 21", "out of range, -20 to 20" },
    { "worker_priority = -21", "out of range, -20 to 20" },
    { "worker_hang_timeout = 1999ms",
        "\"1999ms\" in directive \"worker_hang_timeout\" is neither 0 nor at least 2000ms" },
    { "worker_hang_timeout = 2d", "out of range" },
    { "channel_queue = 65535", "out of range" },
    { "channel_queue = 2g", "out of range" },
    { "worker_hang_timeout = never", "invalid value \"never\"" },
    { "worker_cpu_affinity = 0102", "invalid mask \"0102\" in directive" },
    { "worker_cpu_affinity = 01 00", "invalid mask \"00\" in directive" },
    { "worker_cpu_affinity = auto 01 10", "invalid value \"auto 01 10\"" },
    { "worker_cpu_affinity = 01 auto", "invalid mask \"auto\"" },
    { "worker_shutdown_timeout = soon", "invalid value \"soon\"" },
    { "worker_startup_timeout = 99ms", "out of range" },
    { "worker_startup_timeout = 2d", "out of range" },
    { "error_log = logs/e.log loud", "unknown log level \"loud\"" },
    { "error_log = logs/e.log ERROR", "unknown log level \"ERROR\"" },
    { "error_log = a b c", "invalid value \"a b c\"" },
    { "error_log = syslog:server=nowhere", "syslog server \"nowhere\"" },
    { "error_log = syslog:facility=none", "facility \"none\"" },
    { "error_log = syslog:colour=red info", "colour=red" },
    { "env = =value", "invalid value \"=value\"" },
    { "user = a b c", "invalid value \"a b c\"" },
    { "sandbox = yes", "it must be \"on\" or \"off\"" },
    { "events.worker_connections = 0", "out of range" },
    { "events.worker_connections = 10000001", "out of range" },
    { "events.use = magic", "event method \"magic\" is not available" },
    { "zone stats.type = magic", "zone type \"magic\"" },
    { "zone stats.size = 1x", "invalid value \"1x\"" },
    { "main.deamon = on", "unknown directive \"deamon\"" },
    { "worker_connections = 5", "unknown directive \"worker_connections\"" },
};

START_TEST(bad_value_is_an_error_that_says_what)
{
    ck_assert_msg(read_text(bad[_i].text) == RV_ERROR, "\"%s\"", bad[_i].text);
    ck_assert_msg(strstr(first_message(), bad[_i].error) != NULL, "\"%s\": %s", bad[_i].text,
        first_message());
    ck_assert_uint_eq(rv_conf_error_count(cf), 1);
}
END_TEST

static const struct {
    const char *text;
    int automatic;
    unsigned count;
    const char *warning; /* "": none */
} affinities[] = {
    { "", 0, 0, "" },
    { "worker_cpu_affinity = auto", 1, 0, "" },
    { "worker_cpu_affinity = auto 0110; worker_processes = 3", 1, 1, "" },
    { "worker_cpu_affinity = 01 10; worker_processes = 2", 0, 2, "" },
    { "worker_cpu_affinity = 01 10; worker_processes = 3", 0, 2,
        "2 masks in \"worker_cpu_affinity\" for 3 workers, the last is for all further ones" },
    { "worker_cpu_affinity = 01 10; worker_processes = 1", 0, 2,
        "2 masks in \"worker_cpu_affinity\" for 1 workers" },
};

START_TEST(masks_are_for_one_worker_after_another)
{
    const rv_affinity_t *affinity = &read_main(affinities[_i].text)->worker_cpu_affinity;

    ck_assert_int_eq(affinity->automatic, affinities[_i].automatic);
    ck_assert_uint_eq(affinity->count, affinities[_i].count);
    ck_assert_msg(
        strncmp(first_message(), affinities[_i].warning, strlen(affinities[_i].warning)) == 0
            && (affinities[_i].warning[0] == '\0') == (first_message()[0] == '\0'),
        "\"%s\": %s", affinities[_i].text, first_message());
}
END_TEST

START_TEST(user_must_exist_where_it_counts)
{
    if (geteuid() == 0) {
        ck_assert_int_eq(read_text("user = no.such.user"), RV_ERROR);
        ck_assert_ptr_nonnull(strstr(first_message(), "there is no user \"no.such.user\""));
    } else {
        ck_assert_int_eq(read_main("user = no.such.user")->user.is_set, 1);
        ck_assert_int_eq(rv_conf_messages(cf)->is_warning, 1);
        ck_assert_ptr_nonnull(strstr(first_message(), "no effect: not started as root"));
    }
}
END_TEST

START_TEST(group_must_exist_where_it_counts)
{
    if (geteuid() != 0)
        return;
    ck_assert_int_eq(read_text("user = root no.such.group"), RV_ERROR);
    ck_assert_ptr_nonnull(strstr(first_message(), "there is no group \"no.such.group\""));
}
END_TEST

START_TEST(user_is_whom_workers_run_as)
{
    if (geteuid() != 0)
        return;
    const rv_core_conf_t *core = read_main("user = root");
    ck_assert_int_eq(core->user.is_set, 1);
    ck_assert_str_eq(core->user.user.name, "root");
    ck_assert_uint_eq(core->user.user.uid, 0);
    ck_assert_uint_eq(core->user.user.gid, 0);
}
END_TEST

START_TEST(chroot_is_a_path_under_the_prefix)
{
    ck_assert_str_eq(read_main("chroot = empty")->chroot, PREFIX "empty");
    teardown();
    setup();
    ck_assert_str_eq(read_main("chroot = /var/empty")->chroot, "/var/empty");
}
END_TEST

START_TEST(sandbox_is_an_error_where_the_program_has_none)
{
    ck_assert_int_eq(read_main("sandbox = off")->sandbox, 0);
    teardown();
    setup();
    if (RV_HAVE_SECCOMP) {
        ck_assert_int_eq(read_main("sandbox = on")->sandbox, 1);
        return;
    }
    ck_assert_int_eq(read_text("sandbox = on"), RV_ERROR);
    ck_assert_ptr_nonnull(strstr(first_message(), "built with libseccomp"));
}
END_TEST

START_TEST(logs_are_kept_in_order_with_their_levels)
{
    static const struct {
        const char *target;
        rv_log_level_t level;
    } expected[] = {
        { PREFIX "logs/a.log", RV_LOG_ERROR },
        { "/var/log/b.log", RV_LOG_DEBUG },
        { "stderr", RV_LOG_EMERG },
        { "stdout", RV_LOG_INFO },
        { "syslog:server=127.0.0.1:514,tag=t", RV_LOG_NOTICE },
        { PREFIX "stderr.log", RV_LOG_WARN },
    };
    const rv_core_log_t *log =
        read_main("error_log = logs/a.log; error_log = /var/log/b.log debug;"
                  "error_log = stderr emerg; error_log = stdout info; daemon = off;"
                  "error_log = syslog:server=127.0.0.1:514,tag=t notice;"
                  "error_log = stderr.log \t warn")
            ->logs;

    for (size_t i = 0; i < rv_countof(expected); i++, log = log->next) {
        ck_assert_ptr_nonnull(log);
        ck_assert_str_eq(log->target, expected[i].target);
        ck_assert_int_eq(log->level, expected[i].level);
    }
    ck_assert_ptr_null(log);
}
END_TEST

START_TEST(standard_output_is_for_the_foreground)
{
    ck_assert_int_eq(read_text("error_log = stdout"), RV_ERROR);
    ck_assert_str_eq(first_message(), "\"error_log = stdout\" needs \"daemon = off\"");
}
END_TEST

START_TEST(pid_file_may_be_none)
{
    const rv_core_conf_t *core = read_main("pid = off");

    ck_assert_ptr_null(core->pid);
    ck_assert_int_eq(core->no_pid, 1);
}
END_TEST

START_TEST(sixteen_logs_are_enough)
{
    char text[1024] = "";
    size_t length = 0;

    for (int i = 0; i < RV_LOG_SET_MAX; i++)
        length +=
            (size_t) snprintf(text + length, sizeof(text) - length, "error_log = logs/%d.log; ", i);
    (void) read_main(text);
    teardown();

    setup();
    snprintf(text + length, sizeof(text) - length, "error_log = logs/one.more");
    ck_assert_int_eq(read_text(text), RV_ERROR);
    ck_assert_ptr_nonnull(strstr(first_message(), "more than 16 error_log directives"));
}
END_TEST

/* --- the environment ---------------------------------------------------------------- */

/* The variables of a worker, separated by blanks. */
static const char *
environment(const char *text)
{
    static char list[512];
    size_t length = 0;

    clearenv();
    setenv("PATH", "/bin", 1);
    setenv("TZ", "UTC", 1);
    setenv("KEEP", "kept", 1);
    setenv("KEEPER", "gone", 1);
    ck_assert_int_eq(rv_core_set_environment(read_main(text)), RV_OK);
    list[0] = '\0';
    for (char **variable = environ; *variable != NULL; variable++)
        length += (size_t) snprintf(
            list + length, sizeof(list) - length, "%s%s", length == 0 ? "" : " ", *variable);
    return list;
}

static const struct {
    const char *text;
    const char *variables;
} environments[] = {
    { "", "TZ=UTC" },
    { "env = KEEP", "TZ=UTC KEEP=kept" },
    { "env = NEW=a=b", "TZ=UTC NEW=a=b" },
    { "env = NEW=", "TZ=UTC NEW=" },
    { "env = MISSING; env = KEE", "TZ=UTC" },
    { "env = KEEP; env = PATH", "TZ=UTC KEEP=kept PATH=/bin" },
    { "env = KEEP=mine", "TZ=UTC KEEP=mine" },
    { "env = TZ=Europe/Berlin", "TZ=Europe/Berlin" },
    { "env = TZ", "TZ=UTC" },
    { "env = KEEP; env = KEEP=mine", "TZ=UTC KEEP=mine" },
    { "env = A=1; env = A=2; env = AB=3", "TZ=UTC A=2 AB=3" },
};

START_TEST(workers_get_the_variables_that_env_names)
{
    ck_assert_str_eq(environment(environments[_i].text), environments[_i].variables);
}
END_TEST

START_TEST(without_a_time_zone_none_is_made_up)
{
    static char *none[] = { NULL };
    const rv_core_conf_t *core = read_main("");

    environ = none;
    ck_assert_int_eq(rv_core_set_environment(core), RV_OK);
    ck_assert_ptr_null(environ[0]);
    ck_assert_int_eq(setenv("LATER", "1", 1), 0); /* it may still be added to */
    ck_assert_str_eq(getenv("LATER"), "1");
}
END_TEST

static Suite *
core_suite(void)
{
    Suite *suite = suite_create("core");
    TCase *tcase = tcase_create("core");

    tcase_set_timeout(tcase, 60);
    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_add_test(tcase, without_a_word_everything_has_its_default);
    tcase_add_test(tcase, what_is_said_counts);
    tcase_add_test(tcase, limit_of_nothing_is_a_limit);
    tcase_add_test(tcase, auto_is_as_many_workers_as_processors_to_be_had);
    tcase_add_loop_test(tcase, bad_value_is_an_error_that_says_what, 0, (int) rv_countof(bad));
    tcase_add_loop_test(
        tcase, masks_are_for_one_worker_after_another, 0, (int) rv_countof(affinities));
    tcase_add_test(tcase, user_must_exist_where_it_counts);
    tcase_add_test(tcase, group_must_exist_where_it_counts);
    tcase_add_test(tcase, user_is_whom_workers_run_as);
    tcase_add_test(tcase, chroot_is_a_path_under_the_prefix);
    tcase_add_test(tcase, sandbox_is_an_error_where_the_program_has_none);
    tcase_add_test(tcase, logs_are_kept_in_order_with_their_levels);
    tcase_add_test(tcase, standard_output_is_for_the_foreground);
    tcase_add_test(tcase, pid_file_may_be_none);
    tcase_add_test(tcase, sixteen_logs_are_enough);
    tcase_add_loop_test(
        tcase, workers_get_the_variables_that_env_names, 0, (int) rv_countof(environments));
    tcase_add_test(tcase, without_a_time_zone_none_is_made_up);
    suite_add_tcase(suite, tcase);
    return suite;
}

int
main(void)
{
    SRunner *runner = srunner_create(core_suite());

    srunner_run_all(runner, CK_NORMAL);

    int failed = srunner_ntests_failed(runner);

    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
