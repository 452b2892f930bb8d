/*
 * rv_echo: sends back what it is sent. The smallest module that has everything:
 * copy it to begin one of your own.
 *
 * A section of the configuration, a counter, a service, every hook, and the
 * system calls that it takes:
 *
 *     [echo]
 *     listen = 127.0.0.1:7007
 */
#include "rv_conf_set.h"
#include "rv_cycle.h"
#include "rv_log.h"
#include "rv_worker.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>

/* --- the section: directives as rows, and the structure that they fill ----------- */

typedef struct {
    const char *listen;    /* NULL: the module is not used */
    uint64_t idle_timeout; /* ms */
} echo_conf_t;

static const rv_directive_t directives[] = {
    { "listen", rv_conf_set_string, offsetof(echo_conf_t, listen), NULL,
        "where to echo; as [http] listen (ADDR:PORT|...)", NULL, 0 },
    { "idle_timeout", rv_conf_set_msec, offsetof(echo_conf_t, idle_timeout), "60s",
        "when to close a silent connection (TIME)", NULL, 0 },
    { .name = NULL },
};
static const rv_conf_section_t section = { "echo", NULL, sizeof(echo_conf_t), directives, NULL };
static const rv_conf_section_t *const sections[] = { &section, NULL };

/* --- the counter -------------------------------------------------------------------- */

static const rv_stats_def_t counters[] = {
    { "bytes", RV_STATS_COUNTER, "Bytes echoed." },
    { NULL, 0, NULL },
};

static int bytes;                     /* its index */
static const struct timeval *timeout; /* both of this worker */

/* --- the service: what happens to a client -------------------------------------------- */

static void
echo_open(rv_connection_t *c)
{
    if (rv_connection_watch(c, RV_LOOP_READ, timeout) != RV_OK)
        rv_connection_close(c);
}

/* A client that does not read its echo is let go: this is a sample. */
static void
echo_ready(rv_connection_t *c, short what)
{
    char data[4096];
    ssize_t n = what & EV_TIMEOUT ? 0 : recv(c->fd, data, sizeof(data), 0);

    if (n == -1 && (errno == EAGAIN || errno == EINTR))
        return;
    if (n <= 0 || send(c->fd, data, (size_t) n, MSG_NOSIGNAL) != n) {
        rv_connection_close(c);
        return;
    }
    const rv_stats_change_t echoed = { (unsigned) bytes, n };
    rv_connection_set_state(c, RV_CONNECTION_WAITING, &echoed, 1);
}

static void
echo_drain(rv_connection_t *c)
{
    rv_connection_close(c);
}

static void
echo_close(rv_connection_t *c)
{
    (void) c; /* nothing hangs on c->data */
}

/* May the client go to another worker, and what was read of it and not echoed? Always, nothing. */
static int
echo_pack(const rv_connection_t *c, rv_connection_read_t *read)
{
    (void) c;
    (void) read;
    return RV_OK;
}

/* One has come from another worker. */
static void
echo_unpack(rv_connection_t *c, const rv_connection_read_t *read)
{
    (void) read;
    echo_open(c);
}

static const rv_service_t service = {
    .name = "echo",
    .open = echo_open,
    .ready = echo_ready,
    .drain = echo_drain,
    .close = echo_close,
    .pack = echo_pack,
    .unpack = echo_unpack,
};

/* --- the hooks, in the order of their calls --------------------------------------------- */

/* In the master, for each generation: checks, asks for listeners and zones. */
static int
configure(rv_cycle_t *cycle, rv_conf_t *cf)
{
    const echo_conf_t *conf = rv_conf_get(cf, "echo", NULL);

    return rv_cycle_listen_at(cycle, cf, conf->listen, &service, conf);
}

/* In a new worker, before it is READY. */
static int
init_worker(rv_worker_t *w)
{
    const echo_conf_t *conf = rv_conf_get(w->cycle->conf, "echo", NULL);

    bytes = rv_stats_find(w->stats, "echo", "bytes");
    timeout = rv_connections_timeout(w->connections, conf->idle_timeout);
    return timeout == NULL ? RV_ERROR : RV_OK;
}

/* In a worker that is told to finish, before the service's own drain. */
static void
drain(rv_worker_t *w)
{
    rv_log_debug("echo: worker %u drains", w->number);
    (void) w;
}

/* In a worker about to exit: gives back what init_worker took. */
static void
exit_worker(rv_worker_t *w)
{
    (void) w;
}

/* --- for the sandbox: calls that no other part of a worker makes ------------------------- */

/* An echo needs none. One that sent elsewhere would name "socket" and "connect". */
static const char *const syscalls[] = { NULL };

const rv_module_t rv_echo_module = {
    .name = "echo",
    .sections = sections,
    .stats = counters,
    .configure = configure,
    .init_worker = init_worker,
    .drain = drain,
    .exit_worker = exit_worker,
    .syscalls = syscalls,
};
