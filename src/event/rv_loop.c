/*
 * rv_loop: libevent, as little of it as the daemon needs.
 *
 * The loop is stepped from outside: nothing is decided in a callback beyond
 * noting that something happened. A process has one thread, so the base goes
 * without locks.
 */
#include "rv_loop.h"

#include "rv_log.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

struct rv_loop_s {
    struct event_base *base;
    struct event *alarm; /* ends a step that was given a limit */
};

struct rv_loop_watch_s {
    struct event *event;
};

enum { RETRY_USEC = 5000 }; /* where the kernel does not say when it is worth it */

typedef struct {
    rv_loop_t *loop;
    rv_channel_t *channel;
    rv_loop_watch_t *read;
    struct event *retry; /* NULL: nothing has waited yet */
} channel_watch_t;

static void
on_log(int severity, const char *text)
{
    static const rv_log_level_t levels[] = { RV_LOG_DEBUG, RV_LOG_INFO, RV_LOG_WARN, RV_LOG_ERROR };

    rv_log(levels[rv_min((unsigned) severity, 3u)], 0, "libevent: %s", text);
}

static void
on_fatal(int err)
{
    rv_log(RV_LOG_ALERT, 0, "libevent gave up with error %d", err);
    exit(1);
}

void
rv_loop_log(void)
{
    event_set_log_callback(on_log);
    event_set_fatal_callback(on_fatal);
}

const char **
rv_loop_methods(void)
{
    return event_get_supported_methods();
}

int
rv_loop_has_method(const char *method)
{
    for (const char **m = rv_loop_methods(); *m != NULL; m++) {
        if (strcmp(*m, method) == 0)
            return 1;
    }
    return 0;
}

static void
on_alarm(int fd, short what, void *data)
{
    (void) fd;
    (void) what;
    (void) data;
}

static struct event_base *
new_base(const char *method)
{
    struct event_config *config = event_config_new();

    if (config == NULL)
        return NULL;

    event_config_set_flag(config, EVENT_BASE_FLAG_NOLOCK);
    for (const char **m = rv_loop_methods(); method != NULL && *m != NULL; m++) {
        if (strcmp(*m, method) != 0)
            event_config_avoid_method(config, *m);
    }

    struct event_base *base = event_base_new_with_config(config);
    event_config_free(config);
    return base;
}

rv_loop_t *
rv_loop_create(const char *method)
{
    rv_loop_t *loop = calloc(1, sizeof(*loop));

    if (loop == NULL)
        return NULL;

    loop->base = new_base(method);
    if (loop->base == NULL)
        goto failed;

    loop->alarm = event_new(loop->base, -1, 0, on_alarm, NULL);
    if (loop->alarm == NULL)
        goto failed;
    return loop;

failed:
    rv_loop_destroy(loop);
    errno = ENOMEM;
    return NULL;
}

void
rv_loop_destroy(rv_loop_t *loop)
{
    if (loop->alarm != NULL)
        event_free(loop->alarm);
    if (loop->base != NULL)
        event_base_free(loop->base);
    free(loop);
}

int
rv_loop_reinit(rv_loop_t *loop)
{
    /* the epoll set is the parent's too until the base has one of its own */
    return event_reinit(loop->base) == 0 ? RV_OK : RV_ERROR;
}

struct event_base *
rv_loop_base(rv_loop_t *loop)
{
    return loop->base;
}

int
rv_loop_once(rv_loop_t *loop, int64_t msec)
{
    if (msec >= 0) {
        struct timeval limit = { msec / 1000, msec % 1000 * 1000 };
        event_add(loop->alarm, &limit);
    }

    int result = event_base_loop(loop->base, EVLOOP_ONCE);
    if (msec >= 0)
        event_del(loop->alarm);

    return result == -1 ? RV_ERROR : RV_OK;
}

int64_t
rv_loop_now_usec(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t) now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

int64_t
rv_loop_now(void)
{
    return rv_loop_now_usec() / 1000;
}

static rv_loop_watch_t *
watch_for(rv_loop_t *loop, int fd, short what, const struct timeval *every, rv_loop_ready_t ready,
    void *data)
{
    rv_loop_watch_t *watch = calloc(1, sizeof(*watch));

    if (watch == NULL)
        return NULL;

    watch->event = event_new(loop->base, fd, (short) (what | EV_PERSIST), ready, data);
    if (watch->event != NULL && event_add(watch->event, every) == 0)
        return watch;

    rv_loop_unwatch(watch);
    return NULL;
}

rv_loop_watch_t *
rv_loop_watch(rv_loop_t *loop, int fd, short what, rv_loop_ready_t ready, void *data)
{
    return watch_for(loop, fd, what, NULL, ready, data);
}

rv_loop_watch_t *
rv_loop_every(rv_loop_t *loop, int64_t msec, rv_loop_ready_t ready, void *data)
{
    struct timeval every = { msec / 1000, msec % 1000 * 1000 };

    return watch_for(loop, -1, 0, &every, ready, data);
}

void
rv_loop_unwatch(rv_loop_watch_t *watch)
{
    if (watch == NULL)
        return;

    if (watch->event != NULL)
        event_free(watch->event);
    free(watch);
}

/* --- channels ----------------------------------------------------------------- */

static void on_retry(int fd, short what, void *data);

/* Until the socket is writable, or for some time. */
static void
retry(channel_watch_t *watch, int writable)
{
    const struct timeval pause = { 0, RETRY_USEC };
    int fd = writable ? rv_channel_fd(watch->channel) : -1;
    short what = writable ? EV_WRITE | EV_PERSIST : 0;

    if (watch->retry == NULL) {
        watch->retry = event_new(watch->loop->base, fd, what, on_retry, watch);
    } else {
        event_del(watch->retry);
        event_assign(watch->retry, watch->loop->base, fd, what, on_retry, watch);
    }
    if (watch->retry == NULL || event_add(watch->retry, writable ? NULL : &pause) == -1)
        rv_log(RV_LOG_CRIT, ENOMEM, "waiting until a channel takes more failed");
}

/*
 * That a queue has become empty ends the step of the loop; nobody is told. A socket that is
 * writable may still not take a descriptor, where too many are on their way: it would be tried
 * again and again until the receiver has read.
 */
static void
on_retry(int fd, short what, void *data)
{
    channel_watch_t *watch = data;

    (void) what;
    if (rv_channel_flush(watch->channel) != RV_AGAIN)
        return; /* where the other end is gone, its death is reported otherwise */

    int writable = errno == EAGAIN || errno == EWOULDBLOCK;
    if (fd == -1 || !writable)
        retry(watch, writable);
}

static void
on_waiting(rv_channel_t *ch, int waiting, void *data)
{
    channel_watch_t *watch = data;

    (void) ch;
    if (waiting)
        retry(watch, 1);
    else if (watch->retry != NULL)
        event_del(watch->retry);
}

static void
free_channel_watch(channel_watch_t *watch)
{
    rv_loop_unwatch(watch->read);
    if (watch->retry != NULL)
        event_free(watch->retry);
    free(watch);
}

int
rv_loop_watch_channel(rv_loop_t *loop, rv_channel_t *ch, rv_loop_ready_t ready, void *data)
{
    channel_watch_t *watch = calloc(1, sizeof(*watch));

    if (watch == NULL)
        return RV_ERROR;

    watch->loop = loop;
    watch->channel = ch;
    if (ready != NULL) {
        watch->read = rv_loop_watch(loop, rv_channel_fd(ch), RV_LOOP_READ, ready, data);
        if (watch->read == NULL) {
            free_channel_watch(watch);
            return RV_ERROR;
        }
    }
    rv_channel_on_waiting(ch, on_waiting, watch);
    return RV_OK;
}

void
rv_loop_unwatch_channel(rv_channel_t *ch)
{
    if (ch == NULL || rv_channel_waiting_data(ch) == NULL)
        return;

    free_channel_watch(rv_channel_waiting_data(ch));
    rv_channel_on_waiting(ch, NULL, NULL);
}
