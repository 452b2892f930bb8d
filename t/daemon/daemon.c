/*
 * daemon: setting up, tearing down, and what happens when a test fails.
 *
 * A test that fails ends where it stands, so it cannot clean up. Therefore all
 * tests of a program run below a guard, which inherits every process that they
 * leave behind, ends those, shows the logs of the tests that failed and
 * removes their folders. RV_KEEP in the environment: the folders stay.
 *
 * A test process is a subreaper as well: a daemon that has detached itself
 * becomes its child, so its exit status can be told.
 */
#include "daemon.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { CASE_LIMIT = 120 }; /* of one test, in seconds */

#define HTTP                      \
    "[http]\n"                    \
    "listen = 127.0.0.1:%PORT%\n" \
    "[location /hello]\n"         \
    "handler = return\n"          \
    "return = 200 hello\n"        \
    "[location /stub_status]\n"   \
    "handler = stub_status\n"

const char DAEMON_HTTP[] = HTTP;
const char DAEMON_CONF[] = "[main]\n"
                           "worker_processes = 2\n"
                           "error_log = logs/error.log info\n"
                           "pid = logs/reeve.pid\n" HTTP;

/* --- files ------------------------------------------------------------------------- */

char *
daemon_read(const char *path)
{
    char *text = NULL;
    size_t length = 0, room = 0;
    ssize_t n;
    int fd = open(path, O_RDONLY | O_CLOEXEC);

    if (fd == -1)
        return NULL;
    do {
        if (room - length < 2) {
            room = room == 0 ? 8192 : 2 * room;
            text = realloc(text, room);
            if (text == NULL)
                abort();
        }
        n = read(fd, text + length, room - length - 1);
        length += n > 0 ? (size_t) n : 0;
    } while (n > 0);
    close(fd);
    text[length] = '\0';
    return text;
}

void
daemon_write(const char *path, const void *bytes, size_t length)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);

    ck_assert_msg(fd != -1, "creating %s: %s", path, strerror(errno));
    ck_assert_int_eq(write(fd, bytes, length), (ssize_t) length);
    close(fd);
}

const char *
daemon_path(daemon_t *d, const char *name)
{
    static char paths[8][256];
    static unsigned next;
    char *path = paths[next++ % 8];

    snprintf(path, sizeof(paths[0]), "%s%s", d->prefix, name);
    return path;
}

/* Calls visit(path, data) for every file under the folder, which ends in "/";
 * a folder after what is in it. */
static void
walk(const char *folder, void (*visit)(const char *path, const struct stat *st, void *data),
    void *data)
{
    DIR *dir = opendir(folder);
    struct dirent *entry;

    while (dir != NULL && (entry = readdir(dir)) != NULL) {
        char path[512];
        struct stat st;

        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
            continue;
        snprintf(path, sizeof(path), "%s%s", folder, entry->d_name);
        if (lstat(path, &st) == -1)
            continue;
        if (S_ISDIR(st.st_mode)) {
            char below[520];

            snprintf(below, sizeof(below), "%s/", path);
            walk(below, visit, data);
        }
        visit(path, &st, data);
    }
    if (dir != NULL)
        closedir(dir);
}

static void
remove_one(const char *path, const struct stat *st, void *data)
{
    (void) st;
    (void) data;
    (void) remove(path);
}

static void
remove_folder(const char *folder)
{
    walk(folder, remove_one, NULL);
    (void) remove(folder);
}

/* --- the configuration --------------------------------------------------------------- */

void
daemon_conf(daemon_t *d, const char *text)
{
    FILE *f = fopen(d->conf, "w");
    const char *mark;

    ck_assert_ptr_nonnull(f);
    while ((mark = strstr(text, "%PORT%")) != NULL) {
        fprintf(f, "%.*s%d", (int) (mark - text), text, d->port);
        text = mark + strlen("%PORT%");
    }
    fputs(text, f);
    ck_assert_int_eq(fclose(f), 0);
}

void
daemon_conff(daemon_t *d, const char *fmt, ...)
{
    char *text = NULL;
    va_list args;

    va_start(args, fmt);
    ck_assert_int_ge(vasprintf(&text, fmt, args), 0);
    va_end(args);
    daemon_conf(d, text);
    free(text);
}

/* --- waiting --------------------------------------------------------------------------- */

static double
now(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (double) ts.tv_sec + (double) ts.tv_nsec / 1e9;
}

void
daemon_wait(daemon_t *d, int (*condition)(daemon_t *, void *), void *data, const char *what)
{
    const struct timespec pause = { 0, 5 * 1000 * 1000 };
    double end = now() + DAEMON_LIMIT;

    while (!condition(d, data)) {
        if (now() >= end)
            ck_abort_msg("in %d seconds it did not come about: %s", DAEMON_LIMIT, what);
        nanosleep(&pause, NULL);
    }
}

int
daemon_file_count(const char *path, const char *text)
{
    char *all = daemon_read(path);
    int count = 0;

    for (char *p = all; p != NULL && *p != '\0' && (p = strstr(p, text)) != NULL; count++) {
        p += strcspn(p, "\n");
        if (*p++ == '\0')
            p = NULL;
    }
    free(all);
    return count;
}

int
daemon_log_count(daemon_t *d, const char *text)
{
    return daemon_file_count(d->log, text);
}

typedef struct {
    const char *path, *text;
    int count;
} lines_t;

static int
has_lines(daemon_t *d, void *data)
{
    const lines_t *lines = data;

    (void) d;
    return daemon_file_count(lines->path, lines->text) >= lines->count;
}

void
daemon_wait_file(daemon_t *d, const char *path, const char *text, int count)
{
    lines_t lines = { path, text, count };
    char what[512];

    snprintf(what, sizeof(what), "%d times \"%s\" in %s", count, text, path);
    daemon_wait(d, has_lines, &lines, what);
}

void
daemon_wait_log(daemon_t *d, const char *text, int count)
{
    daemon_wait_file(d, d->log, text, count);
}

void
daemon_expect_output(daemon_t *d, const char *text)
{
    ck_assert_msg(
        strstr(d->output, text) != NULL, "no \"%s\" in what was written:\n%s", text, d->output);
}

/* --- setting up ------------------------------------------------------------------------ */

/*
 * A bound socket that does not listen keeps everybody from being given its
 * port, and allows the daemon, which sets SO_REUSEADDR too, to bind it.
 */
static int
reserve_port(int *port)
{
    struct sockaddr_in in = { .sin_family = AF_INET };
    socklen_t length = sizeof(in);
    int on = 1, fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    in.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    ck_assert_int_ne(fd, -1);
    ck_assert_int_eq(bind(fd, (struct sockaddr *) &in, sizeof(in)), 0);
    ck_assert_int_eq(setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)), 0);
    ck_assert_int_eq(getsockname(fd, (struct sockaddr *) &in, &length), 0);
    *port = ntohs(in.sin_port);
    return fd;
}

int
daemon_free_port(void)
{
    int port;

    (void) reserve_port(&port); /* until the test's process ends */
    return port;
}

/* A log_path for both, behind what is set already. */
static void
divert_sanitizers(daemon_t *d)
{
    static const char *const names[] = { "ASAN_OPTIONS", "UBSAN_OPTIONS" };
    char options[1024];

    for (size_t i = 0; i < 2; i++) {
        const char *set = getenv(names[i]);

        snprintf(options, sizeof(options), "%s%slog_path=%slog", set ? set : "", set ? ":" : "",
            d->sanitizer);
        setenv(names[i], options, 1);
    }
}

static void
make_folder(const char *path, mode_t mode)
{
    ck_assert_msg(mkdir(path, mode) == 0, "creating %s: %s", path, strerror(errno));
    ck_assert_int_eq(chmod(path, mode), 0); /* whatever the umask */
}

void
daemon_setup(daemon_t *d)
{
    static unsigned number;
    const char *folder = getenv("RV_TEST_FOLDER");

    memset(d, 0, sizeof(*d));
    ck_assert_msg(folder != NULL && getenv("RV_BINARY") != NULL && getenv("RV_BUILD") != NULL,
        "RV_BINARY and RV_BUILD are not set: run \"make test\"");
    prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0);
    signal(SIGPIPE, SIG_IGN);

    number++;
    snprintf(d->prefix, sizeof(d->prefix), "%s%ld.%u/", folder, (long) getpid(), number);
    snprintf(d->sanitizer, sizeof(d->sanitizer), "%s%ld.%u.san/", folder, (long) getpid(), number);
    snprintf(d->conf, sizeof(d->conf), "%sreeve.conf", d->prefix);
    snprintf(d->log, sizeof(d->log), "%slogs/error.log", d->prefix);
    snprintf(d->pid, sizeof(d->pid), "%slogs/reeve.pid", d->prefix);
    snprintf(d->terminal, sizeof(d->terminal), "%sterminal", d->prefix);
    make_folder(d->prefix, 0755);
    make_folder(daemon_path(d, "logs"), 0755);
    make_folder(d->sanitizer, 0777);
    divert_sanitizers(d);
    d->reserved = reserve_port(&d->port);
}

/* --- tearing down ---------------------------------------------------------------------- */

static void __attribute__((format(printf, 2, 3))) complain(char *trouble, const char *fmt, ...)
{
    size_t length = strlen(trouble);
    va_list args;

    va_start(args, fmt);
    vsnprintf(trouble + length, 4096 - length, fmt, args);
    va_end(args);
}

/* The master that the pid file names, where the test did not tell. */
static void
find_master(daemon_t *d)
{
    char *text = daemon_read(d->pid);
    pid_t pid = text == NULL ? 0 : (pid_t) atoi(text);
    char title[64];

    if (d->master == 0 && pid > 0
        && strncmp(daemon_title(pid, title, sizeof(title)), "reeve: master", 13) == 0)
        d->master = pid;
    free(text);
}

static void
stop_master(daemon_t *d, char *trouble)
{
    double end = now() + DAEMON_LIMIT;

    find_master(d);
    if (d->master == 0)
        return;
    if (!daemon_alive(d->master)) {
        complain(trouble, "the master is gone, nobody knows why\n");
        return;
    }
    kill(d->master, SIGTERM);
    while (daemon_alive(d->master) && now() < end)
        nanosleep(&(struct timespec){ 0, 2 * 1000 * 1000 }, NULL);
    if (daemon_alive(d->master)) {
        complain(trouble, "the master does not stop\n");
        kill(d->master, SIGKILL);
    }
    int status = daemon_wait_process(d, d->master);
    if (status > 0)
        complain(trouble, "the master ended with status %d\n", status);
    d->master = 0;
}

/* Every descendant is a child of ours once those between are gone. */
static void
look_for_processes(char *trouble)
{
    double end = now() + DAEMON_LIMIT;
    pid_t pids[64], pid;

    while ((pid = waitpid(-1, NULL, WNOHANG)) != -1 && now() < end) {
        if (pid == 0)
            nanosleep(&(struct timespec){ 0, 2 * 1000 * 1000 }, NULL);
    }
    int n = pid == -1 ? 0 : daemon_children(getpid(), pids, 64);

    n = n > 64 ? 64 : n; /* it tells how many there are */
    for (int i = 0; i < n; i++) {
        char title[128];

        complain(trouble, "process %ld survives: %s\n", (long) pids[i],
            daemon_title(pids[i], title, sizeof(title)));
        kill(pids[i], SIGKILL);
    }
}

typedef struct {
    daemon_t *d;
    char *trouble;
} look_t;

static void
look_at_file(const char *path, const struct stat *st, void *data)
{
    static const char *const bad[] = { "[alert]", "ERROR: AddressSanitizer", "ERROR: LeakSanitizer",
        "runtime error:", "WARNING: ThreadSanitizer" };
    look_t *look = data;

    if (S_ISSOCK(st->st_mode))
        complain(look->trouble, "a socket is left: %s\n", path);
    if (strcmp(path, look->d->pid) == 0)
        complain(look->trouble, "a pid file is left: %s\n", path);
    if (!S_ISREG(st->st_mode) || strcmp(path, look->d->conf) == 0)
        return;

    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        if (i == 0 && look->d->alert_expected)
            continue;
        if (daemon_file_count(path, bad[i]) > 0)
            complain(look->trouble, "\"%s\" in %s\n", bad[i], path);
    }
}

/* What a process wrote that was killed while it looked for leaks is no report. */
static void
look_at_sanitizer(const char *path, const struct stat *st, void *data)
{
    static const char *const reports[] = {
        "ERROR: ", "runtime error: ", "WARNING: ", "SUMMARY: ", "fatal error"
    };
    char *text = daemon_read(path);

    (void) st;
    for (size_t i = 0; text != NULL && i < sizeof(reports) / sizeof(reports[0]); i++) {
        if (strstr(text, reports[i]) != NULL) {
            complain(data, "a sanitizer wrote %s:\n%.2000s\n", path, text);
            break;
        }
    }
    free(text);
}

/* Names of POSIX shared memory carry a hash of the pid file's path. */
static void
look_at_memory(daemon_t *d, char *trouble)
{
    uint32_t hash = 2166136261u;
    char part[32];
    DIR *dir = opendir("/dev/shm");
    struct dirent *entry;

    for (const char *p = d->pid; *p != '\0'; p++)
        hash = (hash ^ (unsigned char) *p) * 16777619u;
    snprintf(part, sizeof(part), "reeve.%08x.", hash);
    while (dir != NULL && (entry = readdir(dir)) != NULL) {
        if (strstr(entry->d_name, part) != NULL)
            complain(trouble, "shared memory is left: %s\n", entry->d_name);
    }
    if (dir != NULL)
        closedir(dir);
}

void
daemon_teardown(daemon_t *d)
{
    char trouble[4096] = "";
    look_t look = { d, trouble };

    stop_master(d, trouble);
    look_for_processes(trouble);
    walk(d->prefix, look_at_file, &look);
    walk(d->sanitizer, look_at_sanitizer, trouble);
    look_at_memory(d, trouble);
    close(d->reserved);
    ck_assert_msg(trouble[0] == '\0', "at the end of the test:\n%s", trouble);

    if (getenv("RV_KEEP") == NULL) {
        remove_folder(d->prefix);
        remove_folder(d->sanitizer);
    }
}

/* --- the program -------------------------------------------------------------------------- */

TCase *
daemon_case(Suite *suite, const char *name)
{
    TCase *tc = tcase_create(name);

    tcase_set_timeout(tc, CASE_LIMIT);
    suite_add_tcase(suite, tc);
    return tc;
}

static volatile sig_atomic_t runner;

static void
pass_on(int number)
{
    kill(runner, number);
}

/* The last lines of what a failed test has left. */
static void
show_file(const char *path, const struct stat *st, void *data)
{
    enum { TAIL = 4000, FILES = 12 };
    static int shown;
    int is_output = strstr(path, "/logs/") != NULL || strstr(path, "/terminal") != NULL
        || strstr(path, ".san/") != NULL;
    char *text = S_ISREG(st->st_mode) && is_output ? daemon_read(path) : NULL;

    (void) data;
    if (text == NULL)
        return;
    size_t length = strlen(text);
    if (length > 0 && shown++ < FILES)
        printf("--- %s\n%s\n", path, length > TAIL ? text + length - TAIL : text);
    free(text);
}

static void
end_processes(void)
{
    pid_t pids[64];
    int n;

    while ((n = daemon_children(getpid(), pids, 64)) > 0) {
        n = n > 64 ? 64 : n; /* it tells how many there are */
        for (int i = 0; i < n; i++) {
            kill(pids[i], SIGKILL);
            waitpid(pids[i], NULL, 0);
        }
    }
}

static int
run_suite(Suite *suite)
{
    SRunner *sr = srunner_create(suite);

    srunner_run_all(sr, CK_ENV);
    int failed = srunner_ntests_failed(sr);
    srunner_free(sr);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}

int
daemon_main(Suite *suite)
{
    static Suite *kept; /* the guard never frees it: reachable for a leak check */
    const char *tmp = getenv("TMPDIR");
    char folder[64];
    int status = 0;
    pid_t pid;

    kept = suite;
    if (tmp == NULL || strlen(tmp) > 32) /* a unix socket's path must fit */
        tmp = "/tmp";
    snprintf(folder, sizeof(folder), "%s/rv.XXXXXX", tmp);
    if (mkdtemp(folder) == NULL || chmod(folder, 0755) == -1) {
        perror(folder);
        return EXIT_FAILURE;
    }
    strcat(folder, "/");
    setenv("RV_TEST_FOLDER", folder, 1);
    prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0);

    fflush(stdout);
    runner = fork();
    if (runner == 0)
        exit(run_suite(kept));
    signal(SIGTERM, pass_on);
    signal(SIGINT, pass_on);

    while ((pid = wait(&status)) != runner) {
        if (pid == -1 && errno != EINTR)
            break;
    }
    end_processes();
    walk(folder, show_file, NULL);
    if (getenv("RV_KEEP") == NULL)
        remove_folder(folder);
    return WIFEXITED(status) ? WEXITSTATUS(status) : EXIT_FAILURE;
}
