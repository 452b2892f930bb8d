/*
 * test_upgrade_path: which program is started, with what, and what of the daemon has a name.
 */
#include "heir.h"
#include "look.h"

#include "rv_shm.h"

#include <dirent.h>
#include <errno.h>
#include <signal.h>
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
    heir_setup(&d);
}

static void
teardown(void)
{
    daemon_teardown(&d);
}

/* --- the program ----------------------------------------------------------------------------- */

/* What is started next notes its arguments and its folder, and goes on as the built program. */
static void
note_what_is_started(void)
{
    heir_script(&d,
        "{ pwd; for a; do echo \"[$a]\"; done; } > \"${0%/*}/noted\"\n"
        "exec \"$RV_BINARY\" \"$@\"");
}

/* By a relative path, by a name that PATH finds, by an absolute one. */
START_TEST(program_is_found_however_it_was_called)
{
    char path[4096], wanted[1024], folder[128];

    daemon_conf(&d, DAEMON_CONF);
    ck_assert_int_eq(chdir(d.prefix), 0);
    if (_i == 0)
        d.program = "./program";
    if (_i == 1) {
        snprintf(path, sizeof(path), "/nonexistent:%s:%s", d.prefix, getenv("PATH"));
        setenv("PATH", path, 1);
        d.program = "program";
    }
    daemon_start(&d);
    ck_assert_int_eq(chdir("/"), 0);
    setenv("PATH", "/bin:/usr/bin", 1);
    note_what_is_started();
    heir_upgrade(&d);
    heir_expect_hello(&d);

    char *noted = daemon_read(daemon_path(&d, "noted"));
    ck_assert_ptr_nonnull(noted);
    snprintf(folder, sizeof(folder), "%s", d.prefix);
    folder[strlen(folder) - 1] = '\0';
    snprintf(wanted, sizeof(wanted), "%s\n[-p]\n[%s]\n[-c]\n[%s]\n", folder, d.prefix, d.conf);
    ck_assert_str_eq(noted, wanted);
    free(noted);
}
END_TEST

/* A prefix and a file that are relative, and options that override the file. */
START_TEST(options_are_the_same_again)
{
    char folder[128], text[256];

    snprintf(folder, sizeof(folder), "%s", d.prefix);
    folder[strlen(folder) - 1] = '\0';
    char *name = strrchr(folder, '/') + 1;
    name[-1] = '\0';
    ck_assert_int_eq(chdir(folder), 0);

    daemon_conf(&d, DAEMON_CONF);
    d.program = NULL;
    snprintf(text, sizeof(text),
        "cd '%s' && exec '%s/program' -p '%s' -c reeve.conf -g 'worker_processes = 3'", folder,
        name, name);
    ck_assert_int_eq(system(text), 0);
    daemon_wait_master(&d);
    daemon_wait_workers(&d, 3);
    heir_upgrade(&d);
    daemon_wait_workers(&d, 3);
    heir_upgrade(&d);
    daemon_wait_workers(&d, 3);
    heir_expect_hello(&d);
    daemon_reload(&d);
    daemon_wait_workers(&d, 3);
}
END_TEST

START_TEST(name_that_nothing_finds_any_more_is_a_reason)
{
    daemon_conf(&d, DAEMON_CONF);
    d.program = NULL; /* by descriptor, as "reeve", which PATH does not find */
    setenv("PATH", "/nonexistent", 1);
    daemon_start(&d);
    ck_assert_int_eq(daemon_run(&d, "-s", "upgrade", NULL), 1);
    ck_assert_str_eq(
        d.output, "reeve: [emerg] upgrade failed: where the program is could not be found out\n");
    heir_wait_undone(&d, 2, daemon_fd_count(d.master));
}
END_TEST

/* --- zones -------------------------------------------------------------------------------------- */

static const struct {
    const char *type, *more;
    int outside, continues;
} zones[] = {
    { "memfd", "", 1, 1 },
    { "posix", "", 1, 1 },
    { "file", "path = logs/stats.zone\n", 1, 1 },
    { "anon", "", 0, 0 },
    { "sysv", "", 0, 0 },
};

static void
start_with_zone(int i)
{
    daemon_conff(&d,
        "[main]\nworker_processes = 2\nerror_log = logs/error.log info\npid = logs/reeve.pid\n"
        "[zone stats]\ntype = %s\n%s%s",
        zones[i].type, zones[i].more, DAEMON_HTTP);
    daemon_start(&d);
}

/* As /stub_status says it, this request included. */
static uint64_t
requests(void)
{
    daemon_status_t status;

    daemon_status(&d, &status);
    ck_assert_uint_eq(status.active, status.reading + status.writing + status.waiting);
    return status.requests;
}

static int
has_requests(daemon_t *unused, void *data)
{
    uint64_t *wanted = data;

    (void) unused;
    ++*wanted; /* by the question */
    return requests() == *wanted;
}

START_TEST(counters_go_on_where_their_memory_does)
{
    uint64_t asked = 0;

    if (rv_shm_type(zones[_i].type) == NULL)
        return; /* not in this build */
    start_with_zone(_i);
    for (int round = 0; round < 3; round++) {
        for (int i = 0; i < 5; i++)
            heir_expect_hello(&d);
        asked += 6;
        ck_assert_uint_eq(requests(), asked);
        if (zones[_i].outside) {
            heir_upgrade(&d);
        } else {
            pid_t heir = heir_begin(&d);
            ck_assert_int_eq(kill(d.master, SIGQUIT), 0);
            heir_succeeds(&d, heir);
        }
        if (!zones[_i].continues)
            asked = 0;
    }
    asked++;
    ck_assert_uint_eq(requests(), asked);
    ck_assert_int_eq(daemon_run(&d, "status", NULL), !zones[_i].outside);

    /* and what has a name is where the next start looks for it, or gone */
    daemon_reload(&d);
    heir_expect_hello(&d);
    daemon_signal(&d, "quit");
    daemon_wait_gone(&d);
    ck_assert_int_eq(d.status, 0);
    if (strcmp(zones[_i].type, "file") != 0)
        return;
    ck_assert_int_eq(access(daemon_path(&d, "logs/stats.zone"), F_OK), 0);
    daemon_start(&d);
    asked += 1 + 1;
    ck_assert_uint_eq(requests(), asked);
}
END_TEST

/* The old master's, which is killed: the new one's counters are whole without it. */
START_TEST(counters_of_a_new_master_that_is_killed_are_kept)
{
    uint64_t asked = 0;

    if (rv_shm_type(zones[_i].type) == NULL)
        return;
    start_with_zone(_i);
    pid_t heir = heir_begin(&d);
    ck_assert_int_eq(kill(d.master, SIGWINCH), 0);
    heir_wait_workers(d.master, 0);
    for (int i = 0; i < 5; i++)
        heir_expect_hello(&d);
    asked += 5;
    ck_assert_int_eq(kill(heir, SIGKILL), 0);
    daemon_wait_log(&d, "this master process goes on: ", 1);
    daemon_wait(&d, has_requests, &asked, "all requests are counted");
    ck_assert_int_eq(daemon_run(&d, "status", NULL), 0);
    daemon_signal(&d, "quit");
    daemon_wait_gone(&d);
}
END_TEST

/* --- a unix socket ------------------------------------------------------------------------------ */

static void
expect_unix(const char *path, int there)
{
    static const char request[] = "GET /hello HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
    char text[1024];
    int fd = daemon_connect_unix(path);

    ck_assert_msg((fd != -1) == there, "%s: %s", path, strerror(errno));
    if (fd == -1)
        return;
    daemon_send(fd, request, sizeof(request) - 1);
    ck_assert_int_eq(daemon_answer(fd, text, sizeof(text), 0), 200);
    close(fd);
}

static void
configure_unix(const char *name)
{
    daemon_conff(&d,
        "[main]\nworker_processes = 2\nerror_log = logs/error.log info\npid = logs/reeve.pid\n"
        "[http]\nlisten = 127.0.0.1:%d\nlisten = unix:%s%s\n"
        "[location /hello]\nhandler = return\nreturn = 200 hello\n",
        d.port, d.prefix, name);
}

/* 0: the old master ends; 1: the new one; 2: the new one is killed. The file is the other's still. */
START_TEST(unix_socket_is_there_as_long_as_one_of_two_masters)
{
    static const int signals[] = { SIGQUIT, SIGTERM, SIGKILL };
    struct stat before, after;
    const char *path = daemon_path(&d, "a\"'$;.sock");

    configure_unix("a\"'$;.sock");
    daemon_start(&d);
    ck_assert_int_eq(stat(path, &before), 0);
    pid_t heir = heir_begin(&d);
    expect_unix(path, 1);
    ck_assert_int_eq(kill(_i == 0 ? d.master : heir, signals[_i]), 0);
    if (_i == 0)
        heir_succeeds(&d, heir);
    else
        daemon_wait_log(&d, "this master process goes on: ", 1);
    expect_unix(path, 1);
    ck_assert_int_eq(stat(path, &after), 0);
    ck_assert_uint_eq(after.st_ino, before.st_ino);
    heir_upgrade(&d);
    expect_unix(path, 1);
    daemon_signal(&d, "stop");
    daemon_wait_gone(&d);
    ck_assert_int_eq(access(path, F_OK), -1);
}
END_TEST

static int
is_missing(daemon_t *unused, void *path)
{
    (void) unused;
    return access(path, F_OK) == -1;
}

/* The new configuration has another socket: each master has its own as long as it lives. 0: the old one
 * ends, 1: the new one. */
START_TEST(unix_socket_of_one_master_goes_with_it)
{
    char path[256];

    configure_unix("a.sock");
    daemon_start(&d);
    configure_unix("b.sock");
    pid_t heir = heir_begin(&d);
    expect_unix(daemon_path(&d, "a.sock"), 1);
    expect_unix(daemon_path(&d, "b.sock"), 1);
    ck_assert_int_eq(kill(_i == 0 ? d.master : heir, SIGQUIT), 0);
    if (_i == 0)
        heir_succeeds(&d, heir);
    daemon_wait_log(
        &d, _i == 0 ? "which this one follows, is gone" : "this master process goes on: ", 1);
    expect_unix(daemon_path(&d, _i == 0 ? "b.sock" : "a.sock"), 1);
    snprintf(path, sizeof(path), "%s%s", d.prefix, _i == 0 ? "a.sock" : "b.sock");
    daemon_wait(&d, is_missing, path, "the other's socket is removed");
}
END_TEST

int
main(void)
{
    Suite *s = suite_create("upgrade_path");
    TCase *tc = daemon_case(s, "upgrade_path");

    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_add_loop_test(tc, program_is_found_however_it_was_called, 0, 3);
    tcase_add_test(tc, options_are_the_same_again);
    tcase_add_test(tc, name_that_nothing_finds_any_more_is_a_reason);
    tcase_add_loop_test(
        tc, counters_go_on_where_their_memory_does, 0, (int) (sizeof(zones) / sizeof(zones[0])));
    tcase_add_loop_test(tc, counters_of_a_new_master_that_is_killed_are_kept, 0, 3);
    tcase_add_loop_test(tc, unix_socket_is_there_as_long_as_one_of_two_masters, 0, 3);
    tcase_add_loop_test(tc, unix_socket_of_one_master_goes_with_it, 0, 2);
    return daemon_main(s);
}
