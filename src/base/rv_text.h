/*
 * rv_text: text that grows.
 */
#ifndef RV_TEXT_H
#define RV_TEXT_H

#include "rv_base.h"

#include <string.h>

/* Zero to begin with. */
typedef struct {
    char *data; /* NUL-terminated once anything was added; owned */
    size_t length;
    size_t room;
    int failed; /* memory was short: what follows was dropped */
} rv_text_t;

/* Adds, as printf does, and at its price. */
void rv_text_add(rv_text_t *text, const char *fmt, ...) RV_PRINTF(2, 3);

/* Room for so many bytes more and a NUL, NULL where memory is short. */
char *rv_text_reserve(rv_text_t *text, size_t length);

/* --- for what is added thousands of times: no more than a copy ---------------------- */

static inline void
rv_text_add_bytes(rv_text_t *text, const char *bytes, size_t length)
{
    char *to = length < text->room - text->length ? text->data + text->length
                                                  : rv_text_reserve(text, length);

    if (to == NULL)
        return;
    memcpy(to, bytes, length);
    to[length] = '\0';
    text->length += length;
}

static inline void
rv_text_add_string(rv_text_t *text, const char *string)
{
    rv_text_add_bytes(text, string, strlen(string));
}

/* Most numbers have one digit: rv_text_add_digits is for the others. */
void rv_text_add_digits(rv_text_t *text, uint64_t number);

static inline void
rv_text_add_number(rv_text_t *text, uint64_t number)
{
    if (number < 10)
        rv_text_add_bytes(text, (char[]){ (char) ('0' + number) }, 1);
    else
        rv_text_add_digits(text, number);
}

static inline void
rv_text_add_signed(rv_text_t *text, int64_t number)
{
    if (number < 0)
        rv_text_add_bytes(text, "-", 1);
    rv_text_add_number(text, number < 0 ? 0 - (uint64_t) number : (uint64_t) number);
}

/* Adds a number of seconds, from microseconds: "0.000123". */
void rv_text_add_seconds(rv_text_t *text, uint64_t usec);

/* Adds a string of JSON, or of a Prometheus label, the quotes included. What is no UTF-8 is
 * passed on as it is. */
void rv_text_add_quoted(rv_text_t *text, const char *string);

void rv_text_free(rv_text_t *text);

#endif
