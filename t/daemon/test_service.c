/*
 * test_service: the files for systemd and logrotate, held against the programs.
 */
#include "manager.h"

#include <linux/capability.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define PROGRAM "/usr/local/reeve/sbin/reeve"

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

/* A file of conf/, to be freed. */
static char *
shipped(const char *name)
{
    char path[512];

    snprintf(path, sizeof(path), "%s/conf/%s", getenv("RV_SOURCE"), name);
    char *text = daemon_read(path);
    ck_assert_msg(text != NULL, "%s", path);
    return text;
}

/* The same in this test's folder, each `from` in it made a `to`; its path. */
static const char *
copy(const char *name, const char *from, const char *to)
{
    static char made[16384];
    const char *path = daemon_path(&d, name);
    char *text = shipped(name), *at = text, *next;

    made[0] = '\0';
    for (; (next = strstr(at, from)) != NULL; at = next + strlen(from)) {
        ck_assert_uint_lt(strlen(made) + strlen(text) + strlen(to), sizeof(made));
        strncat(made, at, (size_t) (next - at));
        strcat(made, to);
    }
    strcat(made, at);
    free(text);
    daemon_write(path, made, strlen(made));
    return path;
}

/* What a command of the system writes, and its exit status; 127: there is none. */
static int
run(const char *command, char *text, size_t room)
{
    char line[1024];

    snprintf(line, sizeof(line), "{ %s; } 2>&1", command);
    FILE *f = popen(line, "r");
    ck_assert_ptr_nonnull(f);
    text[fread(text, 1, room - 1, f)] = '\0';
    int status = pclose(f);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

/* Takes the lines that end like this out of the text. */
static void
forgive(char *text, const char *end)
{
    char *at, *next;

    for (at = text; *at != '\0'; at = next) {
        next = at + strcspn(at, "\n");
        size_t length = (size_t) (next - at);

        next += *next == '\n';
        if (length >= strlen(end) && strncmp(at + length - strlen(end), end, strlen(end)) == 0) {
            memmove(at, next, strlen(next) + 1);
            next = at;
        }
    }
}

START_TEST(systemd_understands_service_and_socket)
{
    char text[8192], command[512];
    int version = 0;

    if (run("systemd-analyze --version", text, sizeof(text)) != 0
        || sscanf(text, "systemd %d", &version) != 1) {
        printf("not tried: systemd-analyze\n");
        return;
    }
    const char *service = copy("reeve.service", PROGRAM, getenv("RV_BINARY"));
    const char *socket = copy("reeve.socket", PROGRAM, PROGRAM);
    snprintf(command, sizeof(command), "systemd-analyze verify --man=no %s %s", service, socket);
    int status = run(command, text, sizeof(text));
    if (version < 253)
        forgive(text, "Failed to parse service type, ignoring: notify-reload");
    ck_assert_str_eq(text, "");
    ck_assert_int_eq(status, 0);
}
END_TEST

/* The first line "NAME=VALUE" from *at on, VALUE in value; *at is behind it. */
static int
setting(const char **at, const char *name, char *value, size_t room)
{
    char wanted[64];

    snprintf(wanted, sizeof(wanted), "\n%s=", name);
    const char *found = strstr(*at, wanted);
    if (found == NULL)
        return 0;
    found += strlen(wanted);
    *at = found + strcspn(found, "\n");
    snprintf(value, room, "%.*s", (int) (*at - found), found);
    return 1;
}

START_TEST(the_socket_is_what_the_shipped_configuration_listens_at)
{
    char *socket = shipped("reeve.socket"), *conf = shipped("reeve.conf");
    char address[128], wanted[160];
    const char *at = socket;

    ck_assert(setting(&at, "ListenStream", address, sizeof(address)));
    snprintf(wanted, sizeof(wanted), "\nlisten = %s\n", address);
    ck_assert_msg(strstr(conf, wanted) != NULL, "%s", wanted);
    free(socket);
    free(conf);
}
END_TEST

/* --- as the unit starts it ---------------------------------------------------------------- */

static const struct {
    const char *name;
    int number;
} capabilities[] = {
    { "CAP_KILL", CAP_KILL },
    { "CAP_NET_BIND_SERVICE", CAP_NET_BIND_SERVICE },
    { "CAP_SETGID", CAP_SETGID },
    { "CAP_SETUID", CAP_SETUID },
    { "CAP_SYS_CHROOT", CAP_SYS_CHROOT },
    { "CAP_SYS_NICE", CAP_SYS_NICE },
    { "CAP_SYS_RESOURCE", CAP_SYS_RESOURCE },
};

static unsigned long long kept; /* a bit for each */

static void
read_capabilities(void)
{
    char *unit = shipped("reeve.service"), value[512], *save = NULL;
    const char *at = unit;

    kept = 0;
    while (setting(&at, "CapabilityBoundingSet", value, sizeof(value))) {
        for (char *w = strtok_r(value, " ", &save); w != NULL; w = strtok_r(NULL, " ", &save)) {
            size_t i = 0;

            while (i < sizeof(capabilities) / sizeof(capabilities[0])
                && strcmp(capabilities[i].name, w) != 0)
                i++;
            ck_assert_msg(i < sizeof(capabilities) / sizeof(capabilities[0]), "%s", w);
            kept |= 1ull << capabilities[i].number;
        }
    }
    free(unit);
    ck_assert(kept != 0);
}

static void
drop_capabilities(void)
{
    for (int i = 0; prctl(PR_CAPBSET_READ, i, 0, 0, 0) >= 0; i++) {
        if ((kept >> i & 1) == 0 && prctl(PR_CAPBSET_DROP, i, 0, 0, 0) == -1)
            _exit(125);
    }
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == -1)
        _exit(125);
}

/* All that takes the rights of root, one after the other. */
START_TEST(the_rights_that_the_unit_leaves_are_enough)
{
    char text[1024];

    if (geteuid() != 0) {
        printf("not tried: capabilities, which are root's\n");
        return;
    }
    read_capabilities();
    d.prepare = drop_capabilities;
    daemon_conff(&d,
        "[main]\nworker_processes = 1\nuser = nobody\nworker_priority = -5\n"
        "worker_rlimit_nofile = 4096\nerror_log = logs/error.log notice\n%s",
        DAEMON_HTTP);
    daemon_start(&d);
    d.prepare = NULL;
    ck_assert_int_eq(daemon_get(&d, "/hello", text, sizeof(text)), 200);
    daemon_reload(&d);

    pid_t worker = daemon_worker(&d);
    ck_assert_int_ne(atoi(daemon_proc_status(worker, "Uid", text, sizeof(text))), 0);
    ck_assert_int_eq(kill(worker, SIGSTOP), 0); /* will have to be killed */
    ck_assert_int_eq(kill(d.master, SIGTERM), 0);
    daemon_wait_gone(&d);
    ck_assert_int_eq(d.status, 0);
    ck_assert_int_eq(daemon_log_count(&d, "does not exit and is killed"), 1);
    ck_assert_int_eq(daemon_log_count(&d, " failed "), 0);
}
END_TEST

/* --- rotation ------------------------------------------------------------------------------ */

START_TEST(logrotate_moves_the_log_and_the_daemon_follows)
{
    char text[8192], command[1024];

    if (run("logrotate --version", text, sizeof(text)) != 0) {
        printf("not tried: logrotate\n");
        return;
    }
    daemon_conff(&d, "[main]\nerror_log = logs/error.log notice\n%s", DAEMON_HTTP);
    daemon_start(&d);
    const char *path = copy("reeve.logrotate", "/usr/local/reeve/", d.prefix);
    char *wanted = daemon_read(path);

    /* "make install" knows one prefix, and the test's program is elsewhere */
    snprintf(command, sizeof(command), "#!/bin/sh\nexec %s -p %s -c %s \"$@\"\n",
        getenv("RV_BINARY"), d.prefix, d.conf);
    ck_assert_ptr_nonnull(strstr(wanted, "sbin/reeve -s reopen\n"));
    free(wanted);
    mkdir(daemon_path(&d, "sbin"), 0755);
    daemon_write(daemon_path(&d, "sbin/reeve"), command, strlen(command));
    chmod(daemon_path(&d, "sbin/reeve"), 0755);

    chmod(path, 0644);
    snprintf(command, sizeof(command), "logrotate -f -s %s %s", daemon_path(&d, "state"), path);
    int status = run(command, text, sizeof(text));
    ck_assert_msg(status == 0, "%s", text);
    ck_assert_int_eq(
        daemon_file_count(daemon_path(&d, "logs/error.log.1"), "workers are ready"), 1);
    daemon_reload(&d); /* which is told in the new one */

    daemon_signal(&d, "quit");
    daemon_wait_gone(&d);
    status = run(command, text, sizeof(text)); /* there is nobody to be told */
    ck_assert_msg(status == 0, "%s", text);
}
END_TEST

int
main(void)
{
    Suite *s = suite_create("service");
    TCase *tc = daemon_case(s, "service");

    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_add_test(tc, systemd_understands_service_and_socket);
    tcase_add_test(tc, the_socket_is_what_the_shipped_configuration_listens_at);
    tcase_add_test(tc, the_rights_that_the_unit_leaves_are_enough);
    tcase_add_test(tc, logrotate_moves_the_log_and_the_daemon_follows);
    return daemon_main(s);
}
