/*
 * talker: a client of the chat.
 */
#include "talker.h"

#include "daemon.h"

#include <check.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

void
talker_say(talker_t *t, const char *text)
{
    daemon_send(t->fd, text, strlen(text));
}

const char *
talker_next(talker_t *t)
{
    static char lines[4][16 * 1024];
    static unsigned turn;
    char *line = lines[turn++ % 4], *lf;

    while ((lf = memchr(t->bytes, '\n', t->length)) == NULL) {
        ck_assert_uint_lt(t->length, sizeof(t->bytes));
        ssize_t n = recv(t->fd, t->bytes + t->length, sizeof(t->bytes) - t->length, 0);

        if (n == -1 && errno == ECONNRESET)
            n = 0;
        ck_assert_msg(n >= 0, "%s waits for a line: %s", t->name, strerror(errno));
        if (n == 0)
            return NULL;
        t->length += (size_t) n;
    }
    size_t length = (size_t) (lf - t->bytes);
    ck_assert_uint_lt(length, sizeof(lines[0]));
    memcpy(line, t->bytes, length);
    line[length] = '\0';
    t->length -= length + 1;
    memmove(t->bytes, lf + 1, t->length);
    return line;
}

void
talker_expect_next(talker_t *t, const char *line)
{
    const char *next = talker_next(t);

    ck_assert_msg(next != NULL, "%s has got the end, not \"%s\"", t->name, line);
    ck_assert_str_eq(next, line);
}

void
talker_expect(talker_t *t, const char *line)
{
    const char *next = talker_next(t);

    while (next != NULL && strcmp(next, line) != 0)
        next = talker_next(t);
    ck_assert_msg(next != NULL, "%s has got the end, not \"%s\"", t->name, line);
}

void
talker_expect_end(talker_t *t)
{
    while (talker_next(t) != NULL)
        continue;
    close(t->fd);
    t->fd = -1;
}

void
talker_join(talker_t *t, int port)
{
    memset(t, 0, sizeof(*t));
    t->fd = daemon_connect_port(port);
    ck_assert_int_ne(t->fd, -1);
    const char *hello = talker_next(t);
    ck_assert_ptr_nonnull(hello);
    ck_assert_int_eq(sscanf(hello, "* you are %63[^;];", t->name), 1);
    ck_assert_int_eq(sscanf(t->name, "guest-%d-", &t->worker), 1);
}

void
talker_leave(talker_t *t)
{
    ck_assert_int_eq(shutdown(t->fd, SHUT_WR), 0);
    talker_expect_end(t);
}
