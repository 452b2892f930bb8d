/*
 * heir: one master after the other.
 */
#include "heir.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

void
heir_setup(daemon_t *d)
{
    static char program[256];

    snprintf(program, sizeof(program), "%sprogram", d->prefix);
    d->program = program;
    heir_link(d);
}

/* In one step: what is started meanwhile is the one or the other. */
static void
put_in_place(daemon_t *d, const char *path)
{
    ck_assert_msg(rename(path, daemon_path(d, "program")) == 0, "%s: %s", path, strerror(errno));
}

void
heir_script(daemon_t *d, const char *lines)
{
    const char *path = daemon_path(d, "script");
    char text[1024];
    int n = snprintf(text, sizeof(text), "#!/bin/sh\n%s\n", lines);

    daemon_write(path, text, (size_t) n);
    ck_assert_int_eq(chmod(path, 0755), 0);
    put_in_place(d, path);
}

void
heir_link(daemon_t *d)
{
    const char *path = daemon_path(d, "link");

    ck_assert_msg(symlink(getenv("RV_BINARY"), path) == 0, "%s: %s", path, strerror(errno));
    put_in_place(d, path);
}

static pid_t
number_in(const char *path)
{
    char *text = daemon_read(path);
    pid_t pid = text == NULL ? 0 : (pid_t) atoi(text);

    free(text);
    return pid;
}

pid_t
heir_pid(daemon_t *d)
{
    return number_in(d->pid);
}

pid_t
heir_old_pid(daemon_t *d)
{
    return number_in(daemon_path(d, "logs/reeve.pid.oldbin"));
}

static int
has_heir(daemon_t *d, void *before)
{
    pid_t pid = heir_pid(d);

    return pid != 0 && pid != *(pid_t *) before;
}

pid_t
heir_wait(daemon_t *d, pid_t before, int count)
{
    daemon_wait_log(d, "upgrade done, new master process ", count);
    daemon_wait(d, has_heir, &before, "the new master has the pid file");
    pid_t heir = heir_pid(d);
    ck_assert(daemon_alive(heir));
    return heir;
}

pid_t
heir_begin(daemon_t *d)
{
    int before = daemon_log_count(d, "upgrade done, new master process ");

    ck_assert_int_eq(kill(d->master, SIGUSR2), 0);
    return heir_wait(d, d->master, before + 1);
}

void
heir_succeeds(daemon_t *d, pid_t heir)
{
    daemon_wait_gone(d);
    ck_assert_int_eq(d->status, 0);
    ck_assert_int_eq(heir_pid(d), heir);
    ck_assert_int_eq(heir_old_pid(d), 0);
    d->master = heir;
}

void
heir_upgrade(daemon_t *d)
{
    int status = daemon_run(d, "-s", "upgrade", NULL);

    ck_assert_msg(status == 0, "-s upgrade: exit status %d\n%s", status, d->output);
    ck_assert_str_eq(d->output, "");
    ck_assert_int_eq(heir_old_pid(d), 0); /* the old one is no master any more */
    heir_succeeds(d, heir_pid(d));
}

int
heir_workers(pid_t master, pid_t *pids, int room)
{
    char title[128];
    int n = daemon_children(master, pids, room), workers = 0;

    ck_assert_int_le(n, room);
    for (int i = 0; i < n; i++) {
        daemon_title(pids[i], title, sizeof(title));
        if (strncmp(title, "reeve: worker process", 21) == 0)
            pids[workers++] = pids[i];
    }
    return workers;
}

typedef struct {
    pid_t master;
    int count;
} workers_t;

static int
has_workers(daemon_t *unused, void *data)
{
    const workers_t *w = data;
    daemon_t d = { .master = w->master };
    pid_t pids[64];

    (void) unused;
    return heir_workers(w->master, pids, 64) == w->count
        && daemon_count_titles(&d, "reeve: worker process") == w->count;
}

void
heir_wait_workers(pid_t master, int count)
{
    workers_t workers = { master, count };
    char what[64];

    snprintf(what, sizeof(what), "process %ld has %d workers", (long) master, count);
    daemon_wait(NULL, has_workers, &workers, what);
}

void
heir_expect_hello(daemon_t *d)
{
    char text[1024];

    ck_assert_int_eq(daemon_get(d, "/hello", text, sizeof(text)), 200);
    ck_assert_str_eq(text, "hello");
}

void
heir_wait_undone(daemon_t *d, int workers, int descriptors)
{
    daemon_wait_workers(d, workers);
    daemon_wait_fd_count(d, d->master, descriptors);
    ck_assert_int_eq(heir_pid(d), d->master);
    ck_assert_int_eq(heir_old_pid(d), 0);
    heir_expect_hello(d);
}
