/*
 * rv_lines: clients that speak in lines.
 *
 * Writing appends to the client's own buffer and wakes its connection; the send comes when the
 * loop gets to it, for all that was written until then. Only where the buffer would
 * be over its limit is it sent at once: a burst within one step is nobody's fault.
 */
#include "rv_lines.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

enum {
    CHUNK = 16 * 1024, /* received at once */
    LEAST = 512,       /* of a buffer for what is to be sent */
    PRINTED = 1024     /* bytes of a formatted text, with its NUL */
};

rv_lines_t *
rv_lines_begin(rv_connection_t *c, rv_lines_all_t *all)
{
    rv_lines_t *l = calloc(1, sizeof(*l));

    if (l == NULL || rv_connection_watch(c, RV_LOOP_READ, all->timeout) != RV_OK) {
        free(l);
        rv_connection_close(c);
        return NULL;
    }
    l->connection = c;
    l->all = all;
    l->number = ++all->begun;
    l->next = all->first;
    l->link = &all->first;
    if (l->next != NULL)
        l->next->link = &l->next;
    all->first = l;
    all->count++;
    c->data = l;
    return l;
}

void
rv_lines_free(rv_lines_t *l)
{
    *l->link = l->next;
    if (l->next != NULL)
        l->next->link = l->link;
    l->all->count--;
    free(l->in);
    free(l->out);
    free(l);
}

rv_lines_t *
rv_lines_find(const rv_lines_all_t *all, unsigned number)
{
    rv_lines_t *l = all->first;

    while (l != NULL && l->number != number)
        l = l->next;
    return l;
}

/* --- lines come ------------------------------------------------------------------------ */

static void
give_line(rv_lines_t *l)
{
    size_t length = l->in_length;

    if (length > 0 && l->in[length - 1] == '\r')
        length--;
    l->in[length] = '\0';
    l->in_length = 0;
    if (length > l->all->longest)
        l->all->line(l, NULL, 0);
    else
        l->all->line(l, l->in, length);
}

/* A piece without LF. RV_ERROR: no memory. */
static int
add_piece(rv_lines_t *l, const char *piece, size_t length)
{
    const size_t room = l->all->longest + 1; /* for a CR */

    if (l->skipping)
        return RV_OK;
    if (l->in == NULL && (l->in = malloc(room + 1)) == NULL)
        return RV_ERROR;
    if (length > room - l->in_length) {
        l->skipping = 1;
        l->in_length = 0;
        l->all->line(l, NULL, 0);
        return RV_OK;
    }
    memcpy(l->in + l->in_length, piece, length);
    l->in_length += length;
    return RV_OK;
}

static int
split(rv_lines_t *l, const char *text, size_t length)
{
    const char *end = text + length;

    while (text < end && !l->ending && !l->cut) {
        const char *lf = memchr(text, '\n', (size_t) (end - text));
        const char *stop = lf != NULL ? lf : end;

        if (add_piece(l, text, (size_t) (stop - text)) != RV_OK)
            return RV_ERROR;
        if (lf != NULL && !l->skipping)
            give_line(l);
        l->skipping = l->skipping && lf == NULL;
        text = stop + 1;
    }
    if (l->in_length == 0) {
        free(l->in);
        l->in = NULL;
    }
    return RV_OK;
}

/* RV_ERROR: the client is gone. */
static int
receive(rv_lines_t *l)
{
    static char chunk[CHUNK];
    ssize_t n = recv(l->connection->fd, chunk, sizeof(chunk), 0);

    if (n == -1)
        return errno == EAGAIN || errno == EINTR ? RV_OK : RV_ERROR;
    return n == 0 ? RV_ERROR : split(l, chunk, (size_t) n);
}

/* --- lines go ---------------------------------------------------------------------------- */

/* Sends what the kernel takes. RV_ERROR: the client is gone. */
static int
flush(rv_lines_t *l)
{
    while (l->out_sent < l->out_length) {
        ssize_t n = send(
            l->connection->fd, l->out + l->out_sent, l->out_length - l->out_sent, MSG_NOSIGNAL);

        if (n == -1 && errno == EINTR)
            continue;
        if (n == -1)
            return errno == EAGAIN ? RV_OK : RV_ERROR;
        l->out_sent += (size_t) n;
    }
    free(l->out);
    l->out = NULL;
    l->out_length = l->out_room = l->out_sent = 0;
    return RV_OK;
}

/* Room for so many more bytes. RV_ERROR: there is none to be had, or allowed. */
static int
make_room(rv_lines_t *l, size_t length)
{
    if (length > l->all->unsent - (l->out_length - l->out_sent)
        && (flush(l) != RV_OK || length > l->all->unsent - (l->out_length - l->out_sent)))
        return RV_ERROR;

    if (l->out_sent > 0 && length > l->out_room - l->out_length) {
        l->out_length -= l->out_sent;
        memmove(l->out, l->out + l->out_sent, l->out_length);
        l->out_sent = 0;
    }
    if (length <= l->out_room - l->out_length)
        return RV_OK;

    size_t room = rv_max(rv_max(2 * l->out_room, l->out_length + length), (size_t) LEAST);
    char *out = realloc(l->out, room);
    if (out == NULL)
        return RV_ERROR;
    l->out = out;
    l->out_room = room;
    return RV_OK;
}

void
rv_lines_write(rv_lines_t *l, const void *bytes, size_t length)
{
    if (l->cut || l->ending)
        return;
    rv_connection_wake(l->connection);
    if (make_room(l, length) != RV_OK) {
        l->cut = 1;
        return;
    }
    memcpy(l->out + l->out_length, bytes, length);
    l->out_length += length;
}

void
rv_lines_printf(rv_lines_t *l, const char *fmt, ...)
{
    char text[PRINTED];
    va_list args;

    va_start(args, fmt);
    int n = vsnprintf(text, sizeof(text), fmt, args);
    va_end(args);
    rv_lines_write(l, text, rv_min((size_t) n, sizeof(text) - 1));
}

void
rv_lines_write_all(rv_lines_all_t *all, const rv_lines_t *except, const void *bytes, size_t length)
{
    for (rv_lines_t *l = all->first; l != NULL; l = l->next) {
        if (l != except)
            rv_lines_write(l, bytes, length);
    }
}

void
rv_lines_end(rv_lines_t *l)
{
    l->ending = 1;
    rv_connection_wake(l->connection);
}

/* --- the connection ------------------------------------------------------------------------ */

/* What it waits for, and is counted as. */
static int
wait_on(rv_lines_t *l)
{
    rv_connection_state_t state = l->out != NULL ? RV_CONNECTION_WRITING
        : l->in != NULL                          ? RV_CONNECTION_READING
                                                 : RV_CONNECTION_WAITING;
    short what = l->out != NULL ? RV_LOOP_READ | RV_LOOP_WRITE : RV_LOOP_READ;

    rv_connection_set_state(l->connection, state, NULL, 0);
    return l->connection->watching == what
        ? RV_OK
        : rv_connection_watch(l->connection, what, l->all->timeout);
}

void
rv_lines_ready(rv_connection_t *c, short what)
{
    rv_lines_t *l = c->data;
    int result = what & EV_TIMEOUT ? RV_ERROR : RV_OK;

    if (result == RV_OK && what & RV_LOOP_READ)
        result = receive(l);
    if (result == RV_OK && !l->cut)
        result = flush(l);
    if (result != RV_OK || l->cut || (l->ending && l->out == NULL) || wait_on(l) != RV_OK)
        rv_connection_close(c);
}
