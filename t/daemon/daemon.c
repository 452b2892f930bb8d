/*
 * daemon: a folder and a port of a test's own, its files, and waiting.
 *
 * A test process is a subreaper: a daemon that has detached itself becomes its
 * child, so its exit status can be told.
 */
#include "daemon_internal.h"
#include "rv_shm.h"

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
#include <time.h>
#include <unistd.h>

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
void
daemon_walk(const char *folder, void (*visit)(const char *path, const struct stat *st, void *data),
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
            daemon_walk(below, visit, data);
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

void
daemon_remove_folder(const char *folder)
{
    daemon_walk(folder, remove_one, NULL);
    (void) remove(folder);
}

/* --- the configuration --------------------------------------------------------------- */

void
daemon_conf(daemon_t *d, const char *text)
{
    FILE *f = fopen(d->conf, "w");
    const char *mark, *all = text;

    ck_assert_ptr_nonnull(f);
    while ((mark = strstr(text, "%PORT%")) != NULL) {
        fprintf(f, "%.*s%d", (int) (mark - text), text, d->port);
        text = mark + strlen("%PORT%");
    }
    fputs(text, f);
    /* what -s and status look at is seen from outside: by default so where there is memfd */
    if (rv_shm_type("memfd") == NULL && strstr(all, "[http]") != NULL
        && strstr(all, "zone") == NULL)
        fputs("\n[zone stats]\ntype = posix\n", f);
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

double
daemon_now(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (double) ts.tv_sec + (double) ts.tv_nsec / 1e9;
}

void
daemon_wait(daemon_t *d, int (*condition)(daemon_t *, void *), void *data, const char *what)
{
    const struct timespec pause = { 0, 5 * 1000 * 1000 };
    double end = daemon_now() + DAEMON_LIMIT;

    while (!condition(d, data)) {
        if (daemon_now() >= end)
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
