/*
 * rv_text: text that grows.
 */
#ifndef RV_TEXT_H
#define RV_TEXT_H

#include "rv_base.h"

/* Zero to begin with. */
typedef struct {
    char *data; /* NUL-terminated once anything was added; owned */
    size_t length;
    size_t room;
    int failed; /* memory was short: what follows was dropped */
} rv_text_t;

/* Adds, as printf does. */
void rv_text_add(rv_text_t *text, const char *fmt, ...) RV_PRINTF(2, 3);

/* Adds a number of seconds, from microseconds: "0.000123". */
void rv_text_add_seconds(rv_text_t *text, uint64_t usec);

/* Adds a string of JSON, or of a Prometheus label, the quotes included. What is no UTF-8 is
 * passed on as it is. */
void rv_text_add_quoted(rv_text_t *text, const char *string);

void rv_text_free(rv_text_t *text);

#endif
