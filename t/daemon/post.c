/*
 * post: the workers of module_post, told what to do and asked what they have seen.
 */
#include "post.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void
post_setup(daemon_t *d)
{
    char program[256];

    snprintf(program, sizeof(program), "%s/t/reeve", getenv("RV_BUILD"));
    setenv("RV_BINARY", program, 1);
    daemon_setup(d);
}

void
post_conf(daemon_t *d, int workers, const char *more)
{
    daemon_conff(d,
        "[main]\nworker_processes = %d\nerror_log = logs/error.log notice\n%s\n%s"
        "[location /post/]\nhandler = post\n",
        workers, more, DAEMON_HTTP);
}

typedef struct {
    const char *path;
    char *text;
    size_t room;
} question_t;

static int
is_answered(daemon_t *d, void *data)
{
    const question_t *q = data;

    return daemon_get(d, q->path, q->text, q->room) == 200;
}

/* A worker that is killed meanwhile answers nothing, and one that has just come may not know who is
 * to obey: it is asked again. */
static void
ask(daemon_t *d, const char *path, char *text, size_t room)
{
    question_t question = { path, text, room };

    daemon_wait(d, is_answered, &question, path);
}

void
post_order(
    daemon_t *d, const char *who, const char *deed, const char *to, unsigned count, unsigned size)
{
    char path[256], text[1024];

    snprintf(path, sizeof(path), "/post/order/%s/%s/%s/%u/%u", who, deed, to, count, size);
    ask(d, path, text, sizeof(text));
}

void
post_order_last(daemon_t *d, const char *who, const char *to, unsigned count, unsigned size)
{
    char path[256], text[1024];

    snprintf(path, sizeof(path), "/post/order/%s/last/%s/%u/%u", who, to, count, size);
    ck_assert_int_ne(daemon_get(d, path, text, sizeof(text)), 503);
}

void
post_storm(daemon_t *d, int on)
{
    char text[1024];

    ask(d, on ? "/post/storm/1" : "/post/storm/0", text, sizeof(text));
}

void
post_look(daemon_t *d, post_t *post)
{
    static char text[POST_ROWS * 256];
    char *line = text, *end;

    memset(post, 0, sizeof(*post));
    ask(d, "/post/seen", text, sizeof(text));
    post->astray = strtoul(line, &end, 10);
    post->gaps = strtoul(end, &end, 10);
    while (*end == '\n' && end[1] != '\0') {
        unsigned long place = strtoul(end, &end, 10);

        ck_assert_uint_lt(place, POST_ROWS);
        post->row[place].pid = (pid_t) strtol(end, &end, 10);
        for (size_t i = 0; i < POST_VALUES; i++)
            post->row[place].value[i] = strtoul(end, &end, 10);
    }
}

unsigned long
post_value(daemon_t *d, pid_t pid, post_value_t value)
{
    static post_t post;

    post_look(d, &post);
    for (size_t i = 0; i < POST_ROWS; i++) {
        if (post.row[i].pid == pid)
            return post.row[i].value[value];
    }
    return 0;
}

typedef struct {
    pid_t pid;
    post_value_t value;
    unsigned long number;
} wanted_t;

static int
has_value(daemon_t *d, void *data)
{
    const wanted_t *wanted = data;

    return post_value(d, wanted->pid, wanted->value) == wanted->number;
}

void
post_wait(daemon_t *d, pid_t pid, post_value_t value, unsigned long number)
{
    wanted_t wanted = { pid, value, number };
    char what[128];

    snprintf(
        what, sizeof(what), "process %ld has %lu of value %d", (long) pid, number, (int) value);
    daemon_wait(d, has_value, &wanted, what);
}

typedef struct {
    pid_t pid;
    int most;
} descriptors_t;

static int
has_no_more(daemon_t *unused, void *data)
{
    const descriptors_t *wanted = data;
    int count = daemon_fd_count(wanted->pid);

    (void) unused;
    return count != -1 && count <= wanted->most;
}

void
post_wait_descriptors(daemon_t *d, pid_t pid, int most)
{
    descriptors_t wanted = { pid, most };
    char what[128];

    snprintf(what, sizeof(what), "process %ld has no more than %d descriptors", (long) pid, most);
    daemon_wait(d, has_no_more, &wanted, what);
}

void
post_judge(daemon_t *d)
{
    static post_t post;

    post_look(d, &post);
    ck_assert_uint_eq(post.astray, 0);
    ck_assert_uint_eq(post.gaps, 0);
}

pid_t
post_worker(daemon_t *d, unsigned number)
{
    char *log = daemon_read(d->log), text[64];
    const char *line = log;
    long pid = 0;

    ck_assert_ptr_nonnull(log);
    snprintf(text, sizeof(text), " worker %u started, pid ", number);
    while ((line = strstr(line, text)) != NULL) {
        line += strlen(text);
        pid = atol(line);
    }
    free(log);
    ck_assert_int_gt(pid, 0);
    return (pid_t) pid;
}

static int
is_settled(daemon_t *d, void *data)
{
    static post_t post;
    unsigned long sent = 0, received = 0;

    (void) data;
    post_look(d, &post);
    for (size_t i = 0; i < POST_ROWS; i++) {
        sent += post.row[i].value[POST_SENT];
        received += post.row[i].value[POST_RECEIVED];
    }
    return sent == received;
}

void
post_settle(daemon_t *d)
{
    daemon_wait(d, is_settled, NULL, "all that was sent has been received");
}
