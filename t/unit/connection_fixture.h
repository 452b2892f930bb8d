/*
 * What the suites of rv_connection have in common: clients of a small service, on a loopback
 * port.
 *
 * The service notes what it is called for; a test says what it is to do when
 * it is. Clients are sockets of the test itself, and the loop is stepped by
 * hand until what should happen has happened.
 */
#ifndef CONNECTION_FIXTURE_H
#define CONNECTION_FIXTURE_H

#include "rv_connection.h"

#include "descriptors.h"
#include "rv_log.h"
#include "rv_stats_fold.h"

#include <arpa/inet.h>
#include <check.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

enum { LIMIT = 3, LIMIT_MSEC = 60 * 1000 }; /* connections at most; for anything */

static rv_loop_t *loop;
static rv_stats_t *stats;
static rv_connections_t *all;
static rv_addr_t address;
static int at_start; /* descriptors */

/* --- the service --------------------------------------------------------------- */

static int opened, readied, drained, closed; /* calls */
static rv_connection_t *last;                /* what it was called with last */
static short happened;

/* What it does when called; NULL: nothing. */
static void (*in_open)(rv_connection_t *c);
static void (*in_ready)(rv_connection_t *c);
static void (*in_drain)(rv_connection_t *c);

static void
note(int *calls, rv_connection_t *c, void (*act)(rv_connection_t *c))
{
    (*calls)++;
    last = c;
    if (act != NULL)
        act(c);
}

static void
on_open(rv_connection_t *c)
{
    ck_assert_ptr_null(c->data);
    ck_assert_uint_eq(c->requests, 0);
    ck_assert_int_eq(c->state, RV_CONNECTION_WAITING);
    note(&opened, c, in_open);
}

static void
on_ready(rv_connection_t *c, short what)
{
    happened = what;
    note(&readied, c, in_ready);
}

static void
on_drain(rv_connection_t *c)
{
    note(&drained, c, in_drain);
}

static void
on_close(RV_UNUSED rv_connection_t *c)
{
    closed++;
}

static const rv_service_t service = {
    .name = "test", .open = on_open, .ready = on_ready, .drain = on_drain, .close = on_close
};

static const rv_stats_def_t counters[] = {
    { "bytes", RV_STATS_COUNTER, "Bytes." },
    { NULL, 0, NULL },
};

/* --- before and after ------------------------------------------------------------ */

static void
create_stats(void)
{
    const rv_stats_owner_t owner = { .pid = getpid(), .generation = 1 };
    static rv_stats_defs_t defs; /* each test is a process of its own */

    ck_assert_int_eq(rv_stats_define(&defs, "connections", rv_connection_stats), RV_OK);
    ck_assert_int_eq(rv_stats_define(&defs, "test", counters), RV_OK);
    size_t size = rv_stats_size(&defs, 2);
    void *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    ck_assert_ptr_ne(memory, MAP_FAILED);
    stats = rv_stats_create(memory, &defs, 2);
    ck_assert_ptr_nonnull(stats);
    ck_assert_int_eq(rv_stats_claim(stats), 0);
    rv_stats_set_owner(stats, 0, &owner);
    ck_assert_int_eq(rv_stats_own(stats, 0), RV_OK);
}

/* A listening socket on a port of the kernel's choice. */
static int
listen_anywhere(rv_addr_t *addr)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

    *addr = (rv_addr_t){ .length = sizeof(struct sockaddr_in) };
    addr->sockaddr.in.sin_family = AF_INET;
    addr->sockaddr.in.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    ck_assert_int_eq(bind(fd, &addr->sockaddr.sa, addr->length), 0);
    ck_assert_int_eq(listen(fd, 64), 0);
    ck_assert_int_eq(getsockname(fd, &addr->sockaddr.sa, &addr->length), 0);
    return fd;
}

static void
setup(void)
{
    rv_log_terminal(RV_LOG_NONE);
    create_stats();
    at_start = descriptors_open();
    loop = rv_loop_create(NULL);
    ck_assert_ptr_nonnull(loop);
    all = rv_connections_create(loop, stats, LIMIT);
    ck_assert_ptr_nonnull(all);
    ck_assert_int_eq(rv_connections_listen(all, listen_anywhere(&address), &service, &counters), 0);
}

static void
teardown(void)
{
    rv_connections_destroy(all);
    rv_loop_destroy(loop);
    ck_assert_int_eq(descriptors_open(), at_start);
}

/* --- clients, steps, counts ----------------------------------------------------------- */

static int
connect_client(void)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    ck_assert_int_ne(fd, -1);
    ck_assert_msg(connect(fd, &address.sockaddr.sa, address.length) == 0, "%s", strerror(errno));
    return fd;
}

/* Steps until *value is `expected`. */
static void
step_until(const int *value, int expected)
{
    int64_t until = rv_loop_now() + LIMIT_MSEC;

    while (*value != expected && rv_loop_now() < until)
        ck_assert_int_eq(rv_loop_once(loop, 10), RV_OK);
    ck_assert_int_eq(*value, expected);
}

/* Steps for as long as there is anything to do. */
static void
step_to_rest(void)
{
    for (int i = 0; i < 20; i++)
        ck_assert_int_eq(rv_loop_once(loop, 0), RV_OK);
}

static uint64_t
count(const char *module, const char *name)
{
    uint64_t values[RV_STATS_CELLS];

    rv_stats_snapshot(stats, values, rv_stats_plain(stats));
    return values[rv_stats_find(stats, module, name)];
}

/* accepts and handled; then how many wait, read, write. */
static void
assert_counts(unsigned accepts, unsigned waiting, unsigned reading, unsigned writing)
{
    ck_assert_uint_eq(count("connections", "accepts"), accepts);
    ck_assert_uint_eq(count("connections", "handled"), accepts);
    ck_assert_uint_eq(count("connections", "waiting"), waiting);
    ck_assert_uint_eq(count("connections", "reading"), reading);
    ck_assert_uint_eq(count("connections", "writing"), writing);
    ck_assert_uint_eq(rv_connections_count(all), waiting + reading + writing);
}

static void
assert_sees_the_end(int client)
{
    char byte;

    ck_assert_int_eq(read(client, &byte, 1), 0);
    close(client);
}

#endif
