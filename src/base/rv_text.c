/*
 * rv_text: text that grows.
 *
 * Whoever writes a page looks once, at the end, whether memory was short.
 */
#include "rv_text.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

enum {
    FIRST_ROOM = 4096,
    DIGITS = 24, /* of a number of 64 bits, with a point */
    SECOND = 1000000
};

char *
rv_text_reserve(rv_text_t *text, size_t length)
{
    size_t room = rv_max(text->room, (size_t) FIRST_ROOM);

    if (text->failed)
        return NULL;

    while (room - text->length <= length)
        room *= 2;
    if (room != text->room) {
        char *more = realloc(text->data, room);

        if (more == NULL) {
            text->failed = 1;
            text->room = text->length; /* nothing more fits */
            return NULL;
        }
        text->data = more;
        text->room = room;
    }
    return text->data + text->length;
}

void
rv_text_add(rv_text_t *text, const char *fmt, ...)
{
    va_list args, again;

    va_start(args, fmt);
    va_copy(again, args);
    size_t left = text->room - text->length;
    int n = vsnprintf(left == 0 ? NULL : text->data + text->length, left, fmt, args);
    va_end(args);

    if (n > 0 && (size_t) n >= left) {
        char *to = rv_text_reserve(text, (size_t) n);

        if (to != NULL)
            vsnprintf(to, (size_t) n + 1, fmt, again);
    }
    va_end(again);
    if (n > 0 && !text->failed)
        text->length += (size_t) n;
}

/* The digits of a number, at least so many of them, in front of `end`; returns where they begin. */
static char *
digits(char *end, uint64_t number, int least)
{
    char *p = end;

    while (number > 0 || end - p < least) {
        *--p = (char) ('0' + number % 10);
        number /= 10;
    }
    return p;
}

void
rv_text_add_digits(rv_text_t *text, uint64_t number)
{
    char room[DIGITS], *end = room + sizeof(room), *p = digits(end, number, 1);

    rv_text_add_bytes(text, p, (size_t) (end - p));
}

void
rv_text_add_seconds(rv_text_t *text, uint64_t usec)
{
    char room[DIGITS], *end = room + sizeof(room), *p = digits(end, usec % SECOND, 6);

    *--p = '.';
    p = digits(p, usec / SECOND, 1);
    rv_text_add_bytes(text, p, (size_t) (end - p));
}

void
rv_text_add_quoted(rv_text_t *text, const char *string)
{
    rv_text_add_bytes(text, "\"", 1);
    for (; *string != '\0'; string++) {
        unsigned char c = (unsigned char) *string;

        if (c == '"' || c == '\\')
            rv_text_add(text, "\\%c", c);
        else if (c == '\n')
            rv_text_add_string(text, "\\n");
        else if (c < ' ')
            rv_text_add(text, "\\u%04x", c);
        else
            rv_text_add_bytes(text, string, 1);
    }
    rv_text_add_bytes(text, "\"", 1);
}

void
rv_text_free(rv_text_t *text)
{
    free(text->data);
    *text = (rv_text_t){ 0 };
}
