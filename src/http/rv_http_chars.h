/*
 * rv_http_chars: what a byte may be part of.
 */
#ifndef RV_HTTP_CHARS_H
#define RV_HTTP_CHARS_H

#include <stddef.h>

enum {
    RV_HTTP_CHARS_FIELD = 0x1,  /* a field: all but control characters, and the tab */
    RV_HTTP_CHARS_TARGET = 0x2, /* a request's target: printable, but for blanks and # */
    RV_HTTP_CHARS_TOKEN = 0x4,  /* a name: letters, digits and !#$%&'*+-.^_`|~ */
    RV_HTTP_CHARS_HOST = 0x8    /* a host: letters, digits and -._~%!$&'()*+,;= */
};

extern const unsigned char rv_http_chars[256];

/* How many bytes at the beginning of text are of this kind. */
static inline size_t
rv_http_chars_span(const char *text, size_t length, unsigned kind)
{
    size_t n = 0;

    while (n < length && rv_http_chars[(unsigned char) text[n]] & kind)
        n++;
    return n;
}

#endif
