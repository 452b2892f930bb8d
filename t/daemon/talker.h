/*
 * talker: a client of the chat.
 */
#ifndef TALKER_H
#define TALKER_H

#include <stddef.h>

typedef struct {
    int fd;     /* -1: it has gone */
    int worker; /* whose client it is, as its name tells */
    char name[64];
    char bytes[64 * 1024]; /* received, and not yet looked at */
    size_t length;
} talker_t;

/* Connects, and takes its name from the first line. */
void talker_join(talker_t *t, int port);

/* Ends what it says, and waits for the end. */
void talker_leave(talker_t *t);

void talker_say(talker_t *t, const char *text);

/* The next line, without its end, in one of a few buffers that are used in turn; NULL: the end. */
const char *talker_next(talker_t *t);

/* The next line is this; or one that comes, whatever else is said before; or the end. */
void talker_expect_next(talker_t *t, const char *line);
void talker_expect(talker_t *t, const char *line);
void talker_expect_end(talker_t *t);

#endif
