/*
 * daemon_run: running the command, and the life of the daemon.
 *
 * What a command writes goes to a file, never to a pipe: a daemon that keeps
 * its terminal would keep the pipe open.
 */
#include "daemon_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

enum { ARGUMENTS = 32, NOBODY = 65534, DESCRIPTORS = 256 };

static void
become_nobody(daemon_t *d)
{
    if (!d->unprivileged || geteuid() != 0)
        return;
    if (setgroups(0, NULL) == -1 || setgid(NOBODY) == -1 || setuid(NOBODY) == -1)
        _exit(126);
}

/* As a service manager does it. */
static void
pass_descriptors(const daemon_t *d)
{
    int high[sizeof(d->pass) / sizeof(d->pass[0])];
    char text[32];

    for (int i = 0; i < d->passed; i++)
        high[i] = fcntl(d->pass[i], F_DUPFD_CLOEXEC, DESCRIPTORS);
    for (int i = 0; i < d->passed; i++)
        dup2(high[i], STDERR_FILENO + 1 + i);
    if (d->names == NULL)
        return;

    snprintf(text, sizeof(text), "%ld", (long) getpid());
    setenv("LISTEN_PID", text, 0); /* a test may say another */
    snprintf(text, sizeof(text), "%d", d->passed);
    setenv("LISTEN_FDS", text, 0);
    setenv("LISTEN_FDNAMES", d->names, 1);
}

/* The built one by descriptor, because nobody may not be allowed to look into the folder that
 * it is in. */
static void
execute_program(const daemon_t *d, const char **argv, int binary)
{
    if (d->program != NULL && argv[0] == d->program)
        execvp(argv[0], (char *const *) argv);
    else
        fexecve(binary, (char *const *) argv, environ);
}

/* The child: never comes back. */
static void
execute(daemon_t *d, const char **argv, int terminal, int binary)
{
    int null = open("/dev/null", O_RDWR);

    setpgid(0, 0);
    dup2(null, STDIN_FILENO);
    dup2(terminal, STDOUT_FILENO);
    dup2(terminal, STDERR_FILENO);
    close(null);
    close(terminal);
    signal(SIGPIPE, SIG_DFL);
    for (int fd = STDERR_FILENO + 1; fd < DESCRIPTORS; fd++) /* Check's own are not */
        (void) fcntl(fd, F_SETFD, FD_CLOEXEC);
    binary = fcntl(binary, F_DUPFD_CLOEXEC, DESCRIPTORS);
    pass_descriptors(d);
    if (d->prepare != NULL)
        d->prepare();
    if (d->preload[0] != '\0')
        setenv("LD_PRELOAD", d->preload, 1);
    become_nobody(d);
    for (int fd = 0; d->closed && fd <= STDERR_FILENO; fd++)
        close(fd);
    execute_program(d, argv, binary);
    _exit(127);
}

/* As fork, but the child is process 1. An ordinary user takes a namespace of users too. */
static pid_t
fork_into_namespace(void)
{
    long flags = CLONE_NEWPID | SIGCHLD | (geteuid() == 0 ? 0 : CLONE_NEWUSER);

    return (pid_t) syscall(SYS_clone, flags, NULL, NULL, NULL, NULL);
}

int
daemon_can_own_pids(void)
{
    pid_t pid = fork_into_namespace();

    if (pid == 0)
        _exit(0);
    if (pid != -1)
        return waitpid(pid, NULL, 0) == pid;
    printf("not tried: a namespace of processes: %s\n", strerror(errno));
    return 0;
}

static pid_t
spawn(daemon_t *d, const char **argv)
{
    int terminal = open(d->terminal, O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
    int binary = open(getenv("RV_BINARY"), O_RDONLY | O_CLOEXEC);

    ck_assert_msg(terminal != -1 && binary != -1, "%s: %s", getenv("RV_BINARY"), strerror(errno));
    fflush(stdout);
    pid_t pid = d->own_pids ? fork_into_namespace() : fork();
    ck_assert_int_ne(pid, -1);
    if (pid == 0)
        execute(d, argv, terminal, binary);
    close(terminal);
    close(binary);
    return pid;
}

static void
take_output(daemon_t *d, off_t from)
{
    int fd = open(d->terminal, O_RDONLY | O_CLOEXEC);
    ssize_t n = fd == -1 ? 0 : pread(fd, d->output, sizeof(d->output) - 1, from);

    if (fd != -1)
        close(fd);
    d->output[n < 0 ? 0 : n] = '\0';
}

static int
run(daemon_t *d, const char **argv)
{
    struct stat st;
    off_t from = stat(d->terminal, &st) == 0 ? st.st_size : 0;
    int status = daemon_wait_process(d, spawn(d, argv));

    take_output(d, from);
    return status;
}

static int
collect(const char **argv, int n, va_list args)
{
    char *arg;

    while ((arg = va_arg(args, char *)) != NULL) {
        ck_assert_int_lt(n, ARGUMENTS - 1);
        argv[n++] = arg;
    }
    argv[n] = NULL;
    return n;
}

int
daemon_run(daemon_t *d, ...)
{
    const char *argv[ARGUMENTS] = { "reeve", "-p", d->prefix, "-c", d->conf };
    va_list args;

    va_start(args, d);
    collect(argv, 5, args);
    va_end(args);
    return run(d, argv);
}

int
daemon_run_bare(daemon_t *d, ...)
{
    const char *argv[ARGUMENTS] = { "reeve" };
    va_list args;

    va_start(args, d);
    collect(argv, 1, args);
    va_end(args);
    return run(d, argv);
}

pid_t
daemon_read_pid(const daemon_t *d)
{
    char *text = daemon_read(d->pid);
    pid_t pid = text == NULL ? 0 : (pid_t) atoi(text);

    free(text);
    return pid;
}

pid_t
daemon_launch(daemon_t *d, ...)
{
    const char *argv[ARGUMENTS] = { "reeve", "-p", d->prefix, "-c", d->conf };
    va_list args;

    va_start(args, d);
    collect(argv, 5, args);
    va_end(args);
    return spawn(d, argv);
}

void
daemon_preload(daemon_t *d, const char *name)
{
    snprintf(d->preload, sizeof(d->preload), "%s/t/daemon/%s.so", getenv("RV_BUILD"), name);
    ck_assert_msg(access(d->preload, R_OK) == 0, "%s: %s", d->preload, strerror(errno));
}

/* The master and its workers wait for something. The command returns a moment
 * before that, when the master has still its last descriptors to close. */
static int
is_at_rest(daemon_t *d, void *data)
{
    pid_t pids[64], parent;
    char state;
    int n = daemon_children(d->master, pids, 64);

    (void) data;
    for (int i = 0; i < n && i < 64; i++) {
        if (!daemon_read_stat(pids[i], &parent, &state) || state != 'S')
            return 0;
    }
    return daemon_read_stat(d->master, &parent, &state) && state == 'S';
}

static const char *
program_of(const daemon_t *d)
{
    return d->program == NULL ? "reeve" : d->program;
}

void
daemon_start(daemon_t *d)
{
    const char *argv[] = { program_of(d), "-p", d->prefix, "-c", d->conf, NULL };
    int status = run(d, argv);

    ck_assert_msg(status == 0, "start: exit status %d\n%s", status, d->output);
    d->master = daemon_read_pid(d);
    ck_assert_msg(d->master > 0 && daemon_alive(d->master), "no master by %s", d->pid);
    daemon_wait(d, is_at_rest, NULL, "the daemon has done all of its start");
}

static int
has_master(daemon_t *d, void *data)
{
    (void) data;
    d->master = daemon_read_pid(d);
    return d->master > 0;
}

void
daemon_wait_master(daemon_t *d)
{
    daemon_wait(d, has_master, NULL, "a pid file");
}

/* Whether somebody listens at 127.0.0.1:port, without a connection that would
 * be counted. */
static int
is_listening(int port)
{
    char line[256], wanted[64];
    FILE *f = fopen("/proc/net/tcp", "r");
    int found = 0;

    snprintf(wanted, sizeof(wanted), ": 0100007F:%04X 00000000:0000 0A", (unsigned) port);
    while (f != NULL && !found && fgets(line, sizeof(line), f) != NULL)
        found = strstr(line, wanted) != NULL;
    if (f != NULL)
        fclose(f);
    return found;
}

static int
is_up(daemon_t *d, void *data)
{
    (void) data;
    if (!daemon_alive(d->master))
        ck_abort_msg("the master has ended");
    return daemon_read_pid(d) == d->master && is_listening(d->port);
}

void
daemon_start_foreground(daemon_t *d, ...)
{
    const char *argv[ARGUMENTS] = { program_of(d), "-p", d->prefix, "-c", d->conf };
    char overrides[1024] = "daemon = off";
    va_list args;

    va_start(args, d);
    int n = collect(argv, 5, args);
    va_end(args);
    for (int i = 5; i < n - 1; i++) {
        if (strcmp(argv[i], "-g") == 0)
            snprintf(overrides, sizeof(overrides), "daemon = off; %s", argv[i + 1]);
    }
    argv[n++] = "-g";
    argv[n++] = overrides;
    argv[n] = NULL;

    d->master = spawn(d, argv);
    daemon_wait(d, is_up, NULL, "the foreground process is up");
}

void
daemon_signal(daemon_t *d, const char *word)
{
    int status = daemon_run(d, "-s", word, "-w", "0", NULL);

    ck_assert_msg(status == 0, "-s %s: exit status %d\n%s", word, status, d->output);
}

/* --- ends ------------------------------------------------------------------------------ */

static int
is_gone(daemon_t *d, void *data)
{
    (void) d;
    return !daemon_alive(*(pid_t *) data);
}

int
daemon_wait_process(daemon_t *d, pid_t pid)
{
    int status;
    char what[64];

    snprintf(what, sizeof(what), "process %ld ends", (long) pid);
    daemon_wait(d, is_gone, &pid, what);
    if (waitpid(pid, &status, 0) != pid)
        return -1;
    return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}

static int
is_stopped(daemon_t *d, void *data)
{
    char state[32];

    (void) d;
    return daemon_proc_status(*(pid_t *) data, "State", state, sizeof(state))[0] == 'T';
}

void
daemon_wait_frozen(daemon_t *d, pid_t pid)
{
    char what[64];

    snprintf(what, sizeof(what), "process %ld is stopped", (long) pid);
    daemon_wait(d, is_stopped, &pid, what);
}

void
daemon_freeze(daemon_t *d, pid_t pid)
{
    ck_assert_int_eq(kill(pid, SIGSTOP), 0);
    daemon_wait_frozen(d, pid);
}

void
daemon_wait_gone(daemon_t *d)
{
    d->status = daemon_wait_process(d, d->master);
    d->master = 0;
}

/* --- reload ---------------------------------------------------------------------------- */

typedef struct {
    size_t from;      /* of the log: what is older does not count */
    unsigned current; /* the generation in force before */
} reload_t;

static const char reload_done[] = "reload done, generation ";

/* The number behind this text in a line; 0: it is not there. */
static unsigned
number_behind(const char *line, const char *text)
{
    const char *at = strstr(line, text), *end = strchr(line, '\n');

    return at == NULL || (end != NULL && at > end) ? 0 : (unsigned) atoi(at + strlen(text));
}

/* The generation that this master has in force, as the log tells; after an upgrade the first
 * one of a master is not 1. */
static unsigned
generation_in_force(const char *log, pid_t master)
{
    unsigned generation = 1, started = 1;
    char mark[32];
    int length = snprintf(mark, sizeof(mark), " %ld#0: ", (long) master);

    for (const char *p = log; p != NULL && (p = strstr(p, mark)) != NULL; p++) {
        const char *text = p + length;

        if (strncmp(text, reload_done, strlen(reload_done)) == 0)
            generation = number_behind(text, reload_done);
        else if (strncmp(text, "worker ", 7) == 0 && number_behind(text, ", generation ") > 0)
            started = number_behind(text, ", generation ");
        else if (strncmp(text, "reeve/", 6) == 0)
            generation = started;
    }
    return generation;
}

static int
is_reloaded(daemon_t *d, void *data)
{
    const reload_t *reload = data;
    char *log = daemon_read(d->log), gone[64];
    int over = 0;

    if (log != NULL && strlen(log) > reload->from) {
        const char *line = strstr(log + reload->from, reload_done);

        if (strstr(log + reload->from, "reload failed") != NULL)
            ck_abort_msg("%s", log + reload->from);
        snprintf(gone, sizeof(gone), "generation %u is gone", reload->current);
        over = line != NULL && strstr(line, gone) != NULL;
    }
    free(log);
    return over;
}

void
daemon_reload(daemon_t *d)
{
    char *log = daemon_read(d->log);
    reload_t reload = { log == NULL ? 0 : strlen(log), generation_in_force(log, d->master) };

    free(log);
    ck_assert_int_eq(kill(d->master, SIGHUP), 0);
    daemon_wait(d, is_reloaded, &reload, "reload done, and the old generation gone");
}
