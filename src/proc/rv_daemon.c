/*
 * rv_daemon: becoming a daemon, a user, a name in the process list.
 *
 * The globals are where the kernel keeps the arguments, which is where a
 * title goes. argv and the environment lie there one behind the other, so the
 * environment is copied elsewhere first and its room is used too.
 */
#include "rv_daemon.h"

#include "rv_fd.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <limits.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;

static char *title;
static size_t title_room;
static char **moved_args __attribute__((used));
static char **moved_texts __attribute__((used));   /* kept: libc may hold pointers to them */
static char **moved_environ __attribute__((used)); /* libc takes entries out of it */

int
rv_daemon_fill_standard(void)
{
    int fd;

    do {
        fd = open("/dev/null", O_RDWR); /* kept over exec, as the others are */
        if (fd == -1)
            return RV_ERROR;
    } while (fd <= STDERR_FILENO);

    rv_fd_close(&fd);
    return RV_OK;
}

/* folder/name, in fresh memory; a folder that is none is the working directory. */
static char *
join(const char *folder, size_t length, const char *name)
{
    char here[PATH_MAX], *path;

    if (length == 0 || folder[0] != '/') {
        if (getcwd(here, sizeof(here)) == NULL)
            return NULL;
    } else {
        here[0] = '\0';
    }
    size_t room = strlen(here) + length + strlen(name) + 3;
    path = malloc(room);
    if (path != NULL)
        snprintf(path, room, "%s%s%.*s/%s", here, here[0] != '\0' && length > 0 ? "/" : "",
            (int) length, folder, name);
    return path;
}

/* As a shell finds it. */
static char *
search(const char *name)
{
    const char *folder = getenv("PATH");

    for (; folder != NULL; folder = *folder == '\0' ? NULL : folder + 1) {
        size_t length = strcspn(folder, ":");
        char *path = join(folder, length, name);

        if (path != NULL && access(path, X_OK) == 0)
            return path;
        free(path);
        folder += length;
    }
    errno = ENOENT;
    return NULL;
}

char *
rv_daemon_program(const char *name)
{
    if (name[0] == '/')
        return strdup(name);

    return strchr(name, '/') == NULL ? search(name) : join("", 0, name);
}

int
rv_daemon_to_null(int fd)
{
    int null = open("/dev/null", O_RDWR | O_CLOEXEC);

    if (null == -1)
        return RV_ERROR;

    int result = dup2(null, fd) == -1 ? RV_ERROR : RV_OK;
    if (null != fd)
        rv_fd_close(&null);
    return result;
}

/* The parent: waits for a byte and the end that follows it, or for the end of the child. */
static void
wait_for_child(int fd, pid_t pid)
{
    char bytes[2];
    int status = 0, ready = 0;
    ssize_t n;

    while ((n = read(fd, bytes, sizeof(bytes))) > 0 || (n == -1 && errno == EINTR))
        ready |= n > 0;

    if (ready)
        _exit(0);

    if (waitpid(pid, &status, 0) == pid && WIFSIGNALED(status))
        fprintf(stderr, RV_NAME ": [emerg] master process %ld exited on signal %d\n", (long) pid,
            WTERMSIG(status));
    _exit(1);
}

int
rv_daemon_detach(int *notify)
{
    int fds[2];

    if (pipe(fds) == -1)
        return RV_ERROR;

    pid_t pid = fork();
    if (pid == -1) {
        rv_fd_close(&fds[0]);
        rv_fd_close(&fds[1]);
        return RV_ERROR;
    }
    if (pid != 0) {
        close(fds[1]);
        wait_for_child(fds[0], pid);
    }

    rv_fd_close(&fds[0]);
    *notify = fds[1];
    if (fcntl(fds[1], F_SETFD, FD_CLOEXEC) == -1 || setsid() == -1)
        return RV_ERROR;

    return rv_daemon_to_null(STDIN_FILENO) == RV_OK ? rv_daemon_to_null(STDOUT_FILENO) : RV_ERROR;
}

void
rv_daemon_ready(int *notify, int keep_stderr)
{
    if (*notify == -1)
        return;

    if (!keep_stderr)
        (void) rv_daemon_to_null(STDERR_FILENO);
    (void) rv_fd_write(*notify, "", 1);
    rv_fd_close(notify);
}

int
rv_daemon_user(const char *user, const char *group, rv_daemon_user_t *result, const char **missing)
{
    const struct passwd *pw = getpwnam(user);
    const struct group *gr = NULL;

    if (pw == NULL) {
        *missing = user;
        return RV_ERROR;
    }
    result->name = user;
    result->uid = pw->pw_uid;
    result->gid = pw->pw_gid;
    if (group == NULL)
        return RV_OK;

    gr = getgrnam(group);
    if (gr == NULL) {
        *missing = group;
        return RV_ERROR;
    }
    result->gid = gr->gr_gid;
    return RV_OK;
}

int
rv_daemon_take_groups(const rv_daemon_user_t *user)
{
    if (setgid(user->gid) == -1 || initgroups(user->name, user->gid) == -1)
        return RV_ERROR;

    return RV_OK;
}

void
rv_daemon_load_groups(const rv_daemon_user_t *user)
{
    gid_t one;
    int room = 1;

    (void) getgrouplist(user->name, user->gid, &one, &room);
}

int
rv_daemon_become(const rv_daemon_user_t *user)
{
    return setuid(user->uid) == 0 ? RV_OK : RV_ERROR;
}

/* Where the run of strings that begins at `end` ends. */
static char *
end_of_strings(char *end, char **strings)
{
    for (; *strings != NULL; strings++) {
        if (*strings == end)
            end += strlen(end) + 1;
    }
    return end;
}

static void
free_strings(char **strings)
{
    for (char **s = strings; s != NULL && *s != NULL; s++)
        free(*s);
    free(strings);
}

static char **
copy_strings(char **strings, size_t count)
{
    char **copy = calloc(count + 1, sizeof(char *));

    for (size_t i = 0; copy != NULL && i < count; i++) {
        copy[i] = strdup(strings[i]);
        if (copy[i] == NULL) {
            free_strings(copy);
            return NULL;
        }
    }
    return copy;
}

int
rv_daemon_title_init(int argc, char **argv)
{
    size_t n = 0;

    if (argc == 0)
        return RV_ERROR;
    while (environ[n] != NULL)
        n++;

    char *begin = argv[0];
    char *end = end_of_strings(end_of_strings(begin, argv), environ);
    char **args = copy_strings(argv, (size_t) argc);
    char **texts = copy_strings(environ, n);
    char **env = calloc(n + 1, sizeof(char *));
    if (args == NULL || texts == NULL || env == NULL) {
        free_strings(args);
        free_strings(texts);
        free(env);
        return RV_ERROR;
    }

    for (int i = 0; i < argc; i++)
        argv[i] = args[i];
    memcpy(env, texts, n * sizeof(char *));
    moved_args = args;
    moved_texts = texts;
    moved_environ = environ = env;
    title = begin;
    title_room = (size_t) (end - begin);
    return RV_OK;
}

void
rv_daemon_title(const char *text)
{
    if (title == NULL)
        return;

    int n = snprintf(title, title_room, RV_NAME ": %s", text);
    size_t used = rv_min((size_t) n, title_room - 1);
    memset(title + used, 0, title_room - used);
}
