/*
 * rv_sse: server-sent events, as bytes (text/event-stream).
 *
 * A line ends in CR, LF, or both, and would end the field that it is in: so each line
 * of a text is a field of its own, and a client puts LF between them.
 */
#include "rv_sse.h"

#include <string.h>

static const char FIELD[] = "data: ";

typedef struct {
    char *bytes; /* NULL: only counted */
    size_t length;
} out_t;

static void
add(out_t *out, const char *bytes, size_t length)
{
    if (out->bytes != NULL)
        memcpy(out->bytes + out->length, bytes, length);
    out->length += length;
}

static void
add_id(out_t *out, uint64_t id)
{
    char digits[20];
    size_t n = sizeof(digits);

    do {
        digits[--n] = (char) ('0' + id % 10);
        id /= 10;
    } while (id > 0);
    add(out, "id: ", 4);
    add(out, digits + n, sizeof(digits) - n);
    add(out, "\n", 1);
}

/* The bytes up to a line's end. */
static size_t
line_length(const char *text, size_t length)
{
    const char *lf = memchr(text, '\n', length);
    size_t line = lf != NULL ? (size_t) (lf - text) : length;
    const char *cr = memchr(text, '\r', line);

    return cr != NULL ? (size_t) (cr - text) : line;
}

size_t
rv_sse_event(char *bytes, uint64_t id, const char *text, size_t length)
{
    out_t out = { bytes, 0 };
    size_t at = 0;

    add_id(&out, id);
    for (;;) {
        size_t line = line_length(text + at, length - at);

        add(&out, FIELD, sizeof(FIELD) - 1);
        add(&out, text + at, line);
        add(&out, "\n", 1);
        at += line;
        if (at == length)
            break;
        at += text[at] == '\r' && at + 1 < length && text[at + 1] == '\n' ? 2 : 1;
    }
    add(&out, "\n", 1);
    return out.length;
}
