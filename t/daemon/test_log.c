/*
 * test_log: where lines go, and what happens when they cannot.
 */
#include "daemon.h"

#include <ctype.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
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
start_with(const char *logs)
{
    daemon_conff(&d, "[main]\nworker_processes = 2\n%s%s", logs, DAEMON_HTTP);
    daemon_start(&d);
}

static void
expect_hello(void)
{
    char text[256];

    ck_assert_int_eq(daemon_get(&d, "/hello", text, sizeof(text)), 200);
}

/* The worker that was is gone, and there are two again. */
static int
is_replaced(daemon_t *daemon, void *data)
{
    return !daemon_alive(*(pid_t *) data)
        && daemon_count_titles(daemon, "reeve: worker process") == 2;
}

/* --- the form of a line ---------------------------------------------------------------- */

START_TEST(every_line_has_time_level_and_process)
{
    char *save = NULL;
    int lines = 0;

    start_with("error_log = logs/error.log debug\n");
    expect_hello();
    daemon_reload(&d);
    daemon_signal(&d, "quit");
    daemon_wait_gone(&d);

    char *log = daemon_read(d.log);
    for (char *line = strtok_r(log, "\n", &save); line != NULL;
         line = strtok_r(NULL, "\n", &save)) {
        int end = 0;

        (void) sscanf(line,
            "%*4[0-9]/%*2[0-9]/%*2[0-9] %*2[0-9]:%*2[0-9]:%*2[0-9] [%*[a-z]] %*[0-9]#0: %n", &end);
        ck_assert_msg(end > 0 && line[end] != '\0', "%s", line);
        lines++;
    }
    ck_assert_int_gt(lines, 8);
    free(log);
}
END_TEST

START_TEST(control_characters_do_not_reach_a_log_or_a_terminal)
{
    char path[256];

    snprintf(path, sizeof(path), "%sa\n[alert] 1#0: b\033.conf", d.prefix);
    d.alert_expected = 1; /* as part of a name */
    daemon_conf(&d, DAEMON_CONF);
    ck_assert_int_eq(rename(d.conf, path), 0);
    ck_assert_int_eq(daemon_run_bare(&d, "-p", d.prefix, "-c", path, NULL), 0);
    daemon_wait_master(&d);
    daemon_reload(&d);
    ck_assert_int_eq(daemon_log_count(&d, "/a\\x0A[alert] 1#0: b\\x1B.conf\" begins"), 1);
    ck_assert_int_eq(daemon_log_count(&d, "\033"), 0);

    ck_assert_int_eq(unlink(path), 0);
    ck_assert_int_eq(daemon_run_bare(&d, "-p", d.prefix, "-c", path, "-t", NULL), 1);
    daemon_expect_output(&d, "/a\\x0A[alert] 1#0: b\\x1B.conf\" failed (2: ");
    ck_assert_ptr_null(strchr(d.output, '\033'));
}
END_TEST

/* --- several logs -------------------------------------------------------------------------- */

START_TEST(each_log_has_its_level)
{
    start_with("error_log = logs/error.log notice\nerror_log = logs/worse.log error\n");
    const char *worse = daemon_path(&d, "logs/worse.log");
    ck_assert_int_eq(daemon_file_count(worse, ""), 0);
    ck_assert_int_gt(daemon_log_count(&d, "[notice]"), 0);

    ck_assert_int_eq(kill(daemon_worker(&d), SIGKILL), 0);
    daemon_wait_log(&d, "was killed by signal 9", 1);
    daemon_wait_file(&d, worse, "was killed by signal 9", 1);
    ck_assert_int_eq(daemon_file_count(worse, ""), 1);
}
END_TEST

START_TEST(without_a_level_errors_are_logged)
{
    start_with("error_log = logs/error.log\n");
    daemon_signal(&d, "reopen");
    ck_assert_int_eq(kill(daemon_worker(&d), SIGKILL), 0);
    daemon_wait_log(&d, "[error]", 1);
    daemon_signal(&d, "quit");
    daemon_wait_gone(&d);
    ck_assert_int_eq(daemon_log_count(&d, ""), 1);
}
END_TEST

START_TEST(a_daemon_that_logs_to_stderr_keeps_it)
{
    start_with("error_log = stderr notice\n");
    ck_assert(daemon_has_file(d.master, d.terminal));
    ck_assert(daemon_has_file(daemon_worker(&d), d.terminal));
    daemon_wait_file(&d, d.terminal, "[notice]", 3);
    ck_assert_int_eq(daemon_file_count(d.terminal, "reeve: ["), 0); /* not twice */
    daemon_signal(&d, "quit");
    daemon_wait_gone(&d);
    ck_assert_int_eq(daemon_file_count(d.terminal, "#0: exit\n"), 1);
}
END_TEST

START_TEST(a_log_that_cannot_be_opened_is_a_failed_start)
{
    daemon_conff(&d, "[main]\nerror_log = /no/such/folder/error.log\n%s", DAEMON_HTTP);
    ck_assert_int_eq(daemon_run(&d, NULL), 1);
    ck_assert_str_eq(d.output,
        "reeve: [emerg] opening log \"/no/such/folder/error.log\" failed (2: No such file or "
        "directory)\n");
    ck_assert_int_eq(access(d.pid, F_OK), -1);
    ck_assert_int_eq(daemon_connect(&d), -1);
}
END_TEST

/* --- reopening -------------------------------------------------------------------------------- */

/* All processes write to path, and none has old any more. */
static int
all_have_moved(daemon_t *daemon, void *data)
{
    const char *const *paths = data;
    pid_t pids[8];
    int n = daemon_children(daemon->master, pids, 7);

    pids[n++] = daemon->master;
    for (int i = 0; i < n; i++) {
        if (access(paths[0], F_OK) == -1 || !daemon_has_file(pids[i], paths[0])
            || daemon_has_file(pids[i], paths[1]))
            return 0;
    }
    return 1;
}

/* The folder is root's: a worker could not open the file by itself. */
START_TEST(after_reopen_everybody_writes_to_the_new_file)
{
    const char *paths[] = { d.log, daemon_path(&d, "logs/old.log") };

    start_with("error_log = logs/error.log info\n");
    ck_assert_int_eq(chmod(daemon_path(&d, "logs"), 0700), 0);
    for (int i = 0; i < 2; i++) {
        ck_assert_int_eq(rename(d.log, paths[1]), 0);
        if (i == 0)
            daemon_signal(&d, "reopen");
        else
            ck_assert_int_eq(kill(d.master, SIGUSR1), 0);
        daemon_wait(&d, all_have_moved, paths, "all processes have the new log");
    }
    int lines = daemon_file_count(paths[1], "");
    daemon_signal(&d, "quit");
    daemon_wait_gone(&d);
    ck_assert_int_eq(daemon_log_count(&d, "told to quit, worker"), 2);
    ck_assert_int_eq(daemon_file_count(paths[1], ""), lines);
}
END_TEST

START_TEST(a_worker_that_comes_after_reopen_has_the_new_file)
{
    const char *paths[] = { d.log, daemon_path(&d, "logs/old.log") };

    start_with("error_log = logs/error.log info\n");
    ck_assert_int_eq(rename(d.log, paths[1]), 0);
    daemon_signal(&d, "reopen");
    daemon_wait(&d, all_have_moved, paths, "all processes have the new log");
    ck_assert_int_eq(kill(daemon_worker(&d), SIGKILL), 0);
    daemon_wait_log(&d, "worker 0 started", 1);
    daemon_wait_workers(&d, 2);
    daemon_wait(&d, all_have_moved, paths, "all processes have the new log");
}
END_TEST

START_TEST(a_log_that_cannot_be_reopened_is_kept)
{
    const char *old = daemon_path(&d, "logs/old.log");
    char line[512];

    start_with("error_log = logs/error.log info\n");
    ck_assert_int_eq(rename(d.log, old), 0);
    ck_assert_int_eq(mkdir(d.log, 0755), 0);
    ck_assert_int_eq(kill(d.master, SIGUSR1), 0);
    snprintf(line, sizeof(line),
        "[error] %ld#0: reopening log \"%s\" failed (21: Is a directory)\n", (long) d.master,
        d.log);
    daemon_wait_file(&d, old, line, 1);
    expect_hello();
    daemon_signal(&d, "quit");
    daemon_wait_gone(&d);
    ck_assert_int_eq(daemon_file_count(old, "told to quit, worker"), 2);
    ck_assert_int_eq(daemon_file_count(old, "#0: exit\n"), 1);
}
END_TEST

START_TEST(a_lone_process_reopens_its_log)
{
    const char *paths[] = { d.log, daemon_path(&d, "logs/old.log") };

    start_with("master_process = off\nerror_log = logs/error.log info\n");
    ck_assert_int_eq(kill(d.master, SIGHUP), 0); /* makes a line */
    daemon_wait_log(&d, "reload refused", 1);
    ck_assert_int_eq(rename(d.log, paths[1]), 0);
    daemon_signal(&d, "reopen");
    daemon_wait(&d, all_have_moved, paths, "the process has the new log");
}
END_TEST

/* --- syslog ------------------------------------------------------------------------------------- */

static int
open_syslog(const char *path)
{
    const struct timeval limit = { DAEMON_LIMIT, 0 };
    struct sockaddr_un un = { .sun_family = AF_UNIX };
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);

    ck_assert_uint_lt(strlen(path), sizeof(un.sun_path));
    strcpy(un.sun_path, path);
    ck_assert_int_eq(bind(fd, (struct sockaddr *) &un, sizeof(un)), 0);
    ck_assert_int_eq(chmod(path, 0666), 0);
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
    return fd;
}

/* The next line, without its "<PRI>Mmm dd hh:mm:ss "; the time must be one of
 * the last seconds. */
static const char *
next_line(int fd, int *priority, char line[2048])
{
    char when[32], wanted[32];
    struct tm tm;
    int end = 0;

    ssize_t n = recv(fd, line, 2047, 0);
    ck_assert_msg(n > 0, "nothing came to syslog");
    line[n] = '\0';
    ck_assert_msg(strchr(line, '\n') == NULL, "a newline in: %s", line);
    (void) sscanf(line, "<%d>%n", priority, &end);
    ck_assert_msg(end > 0 && strlen(line + end) > 16 && line[end + 15] == ' ', "%s", line);
    snprintf(when, sizeof(when), "%.15s", line + end);

    for (time_t ago = 0; ago < 2 * DAEMON_LIMIT; ago++) {
        time_t t = time(NULL) - ago;

        strftime(wanted, sizeof(wanted), "%b %e %H:%M:%S", localtime_r(&t, &tm));
        if (strcmp(wanted, when) == 0)
            return line + end + 16;
    }
    ck_abort_msg("not the time: %s", line);
    return NULL;
}

/* 3 * 8 is the facility daemon, 16 * 8 local0; error is 3, notice 5. */
START_TEST(syslog_gets_lines_in_its_own_form)
{
    char line[2048], wanted[256];
    int priority, fd = open_syslog(daemon_path(&d, "log.sock"));

    daemon_conff(&d,
        "[main]\nworker_processes = 1\nerror_log = syslog:server=unix:%slog.sock notice\n%s",
        d.prefix, DAEMON_HTTP);
    daemon_start(&d);
    const char *text = next_line(fd, &priority, line);
    snprintf(wanted, sizeof(wanted), "reeve[%ld]: worker 0 started, pid ", (long) d.master);
    ck_assert_msg(strncmp(text, wanted, strlen(wanted)) == 0, "%s", text);
    ck_assert_int_eq(priority, 3 * 8 + 5);

    snprintf(wanted, sizeof(wanted), "reeve[%ld]: worker 0 (pid %ld) was killed by signal 9",
        (long) d.master, (long) daemon_worker(&d));
    ck_assert_int_eq(kill(daemon_worker(&d), SIGKILL), 0);
    do
        text = next_line(fd, &priority, line);
    while (strstr(text, "was killed") == NULL);
    ck_assert_msg(strncmp(text, wanted, strlen(wanted)) == 0, "%s", text);
    ck_assert_int_eq(priority, 3 * 8 + 3);
    ck_assert_int_eq(unlink(daemon_path(&d, "log.sock")), 0);
}
END_TEST

START_TEST(syslog_lines_carry_the_facility_and_the_tag)
{
    char line[2048], wanted[64];
    int priority, fd = open_syslog(daemon_path(&d, "log.sock"));

    daemon_conff(&d,
        "[main]\nerror_log = syslog:server=unix:%slog.sock,facility=local0,tag=front_1 notice\n%s",
        d.prefix, DAEMON_HTTP);
    daemon_start(&d);
    const char *text = next_line(fd, &priority, line);
    snprintf(wanted, sizeof(wanted), "front_1[%ld]: ", (long) d.master);
    ck_assert_msg(strncmp(text, wanted, strlen(wanted)) == 0, "%s", text);
    ck_assert_int_eq(priority, 16 * 8 + 5);
    ck_assert_int_eq(unlink(daemon_path(&d, "log.sock")), 0);
}
END_TEST

START_TEST(a_syslog_that_was_restarted_is_found_again_by_reopen)
{
    char line[2048];
    int priority, fd = open_syslog(daemon_path(&d, "log.sock"));

    daemon_conff(&d,
        "[main]\nworker_processes = 1\nerror_log = syslog:server=unix:%slog.sock notice\n%s",
        d.prefix, DAEMON_HTTP);
    daemon_start(&d);
    close(fd);
    ck_assert_int_eq(unlink(daemon_path(&d, "log.sock")), 0);
    expect_hello();
    ck_assert_int_eq(kill(daemon_worker(&d), SIGKILL), 0);
    daemon_wait_workers(&d, 1);
    expect_hello();

    fd = open_syslog(daemon_path(&d, "log.sock"));
    daemon_signal(&d, "reopen");
    ck_assert_int_eq(kill(d.master, SIGHUP), 0);
    while (strstr(next_line(fd, &priority, line), "reload done") == NULL)
        continue;
    ck_assert_int_eq(unlink(daemon_path(&d, "log.sock")), 0);
}
END_TEST

/* --- a log that takes nothing ----------------------------------------------------------------------- */

/* How many lines all processes together have lost, as the log says. */
static int
count_lost(const char *path)
{
    char *log = daemon_read(path);
    int lost = 0;

    for (char *p = log; p != NULL && (p = strstr(p, "#0: ")) != NULL; p++) {
        int n = 0, end = 0;

        (void) sscanf(p, "#0: %d log lines were lost here%n", &n, &end);
        lost += end > 0 ? n : 0;
    }
    free(log);
    return lost;
}

static int
is_there(daemon_t *daemon, void *path)
{
    (void) daemon;
    return access(path, F_OK) == 0;
}

START_TEST(a_full_disk_does_not_stop_the_service_and_is_told_of_later)
{
    char real[256];

    snprintf(real, sizeof(real), "%s", daemon_path(&d, "logs/real.log"));
    ck_assert_int_eq(symlink("/dev/full", d.log), 0);
    start_with("error_log = logs/error.log notice\n");
    expect_hello();
    pid_t worker = daemon_worker(&d);
    ck_assert_int_eq(kill(worker, SIGKILL), 0);
    daemon_wait(&d, is_replaced, &worker, "another worker");
    expect_hello();

    ck_assert_int_eq(unlink(d.log), 0);
    ck_assert_int_eq(symlink(real, d.log), 0);
    daemon_signal(&d, "reopen");
    daemon_wait(&d, is_there, real, "the log is reopened");
    ck_assert_int_eq(kill(d.master, SIGHUP), 0);
    daemon_wait_file(&d, real, "generation 1 is gone", 1);
    /* two starts, "started", the death, one more start, "reopening" */
    ck_assert_int_eq(daemon_file_count(real, "#0: 6 log lines were lost here\n"), 1);
    ck_assert_int_eq(count_lost(real), 6);
    expect_hello();
}
END_TEST

START_TEST(a_limit_on_file_sizes_does_not_end_the_daemon)
{
    const struct rlimit limit = { 4096, 4096 };
    static char filler[4096];

    memset(filler, 'x', sizeof(filler));
    filler[sizeof(filler) - 1] = '\n';
    daemon_write(d.log, filler, sizeof(filler));
    daemon_conff(&d,
        "[main]\nworker_processes = 1\nerror_log = logs/error.log info\n[zone stats]\n"
        "type = anon\n%s",
        DAEMON_HTTP);
    ck_assert_int_eq(setrlimit(RLIMIT_FSIZE, &limit), 0);
    daemon_start(&d);
    expect_hello();
    ck_assert_int_eq(kill(daemon_worker(&d), SIGKILL), 0);
    daemon_wait_workers(&d, 1);
    expect_hello();
    daemon_signal(&d, "quit");
    daemon_wait_gone(&d);
    ck_assert_int_eq(d.status, 0);
}
END_TEST

int
main(void)
{
    Suite *s = suite_create("log");
    TCase *tc = daemon_case(s, "log");

    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_add_test(tc, every_line_has_time_level_and_process);
    tcase_add_test(tc, control_characters_do_not_reach_a_log_or_a_terminal);
    tcase_add_test(tc, each_log_has_its_level);
    tcase_add_test(tc, without_a_level_errors_are_logged);
    tcase_add_test(tc, a_daemon_that_logs_to_stderr_keeps_it);
    tcase_add_test(tc, a_log_that_cannot_be_opened_is_a_failed_start);
    tcase_add_test(tc, after_reopen_everybody_writes_to_the_new_file);
    tcase_add_test(tc, a_worker_that_comes_after_reopen_has_the_new_file);
    tcase_add_test(tc, a_log_that_cannot_be_reopened_is_kept);
    tcase_add_test(tc, a_lone_process_reopens_its_log);
    tcase_add_test(tc, syslog_gets_lines_in_its_own_form);
    tcase_add_test(tc, syslog_lines_carry_the_facility_and_the_tag);
    tcase_add_test(tc, a_syslog_that_was_restarted_is_found_again_by_reopen);
    tcase_add_test(tc, a_full_disk_does_not_stop_the_service_and_is_told_of_later);
    tcase_add_test(tc, a_limit_on_file_sizes_does_not_end_the_daemon);
    return daemon_main(s);
}
