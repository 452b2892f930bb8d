/*
 * rv_http_chunked: where a body in chunks ends.
 *
 * One table of states, and in each the kinds of bytes that may come with the
 * state that follows; what the table does not mention is malformed. Only the
 * content itself is not looked at byte by byte. Nothing here may depend on how
 * the body was cut into pieces: all that is known between two bytes is in
 * rv_http_chunked_t.
 */
#include "rv_http_chunked.h"

#include <ctype.h>
#include <string.h>

enum {
    MALFORMED, /* zero: what the table leaves out */
    SIZE_BEGIN,
    SIZE,
    SIZE_BLANK,
    EXTENSION,
    SIZE_CR,
    DATA,
    DATA_END,
    DATA_CR,
    TRAILER, /* from here on: the trailer */
    NAME,
    VALUE,
    VALUE_CR,
    LAST_CR,
    COMPLETE,
    STATES
};

enum { CONTROL, HEX, BLANK, SEMICOLON, COLON, TEXT, CR, LF, KINDS };

/* clang-format off */

#define ANY_TEXT(state)                                                       \
    [HEX] = (state), [BLANK] = (state), [SEMICOLON] = (state),                \
    [COLON] = (state), [TEXT] = (state)

static const unsigned char next_state[STATES][KINDS] = {
    [SIZE_BEGIN] = { [HEX] = SIZE },
    [SIZE] = { [HEX] = SIZE, [BLANK] = SIZE_BLANK, [SEMICOLON] = EXTENSION,
        [CR] = SIZE_CR, [LF] = DATA },
    [SIZE_BLANK] = { [BLANK] = SIZE_BLANK, [SEMICOLON] = EXTENSION },
    [EXTENSION] = { ANY_TEXT(EXTENSION), [CR] = SIZE_CR },
    [SIZE_CR] = { [LF] = DATA },
    [DATA_END] = { [CR] = DATA_CR, [LF] = SIZE_BEGIN },
    [DATA_CR] = { [LF] = SIZE_BEGIN },
    [TRAILER] = { [HEX] = NAME, [TEXT] = NAME, [CR] = LAST_CR, [LF] = COMPLETE },
    [NAME] = { [HEX] = NAME, [TEXT] = NAME, [COLON] = VALUE },
    [VALUE] = { ANY_TEXT(VALUE), [CR] = VALUE_CR, [LF] = TRAILER },
    [VALUE_CR] = { [LF] = TRAILER },
    [LAST_CR] = { [LF] = COMPLETE },
};

/* clang-format on */

void
rv_http_chunked_init(rv_http_chunked_t *c)
{
    memset(c, 0, sizeof(*c));
    c->state = SIZE_BEGIN;
}

static unsigned
kind_of(unsigned char byte)
{
    switch (byte) {
    case '\t':
    case ' ':
        return BLANK;
    case ';':
        return SEMICOLON;
    case ':':
        return COLON;
    case '\r':
        return CR;
    case '\n':
        return LF;
    default:
        break;
    }

    if (isxdigit(byte))
        return HEX;

    return byte < ' ' || byte == 0x7f ? CONTROL : TEXT;
}

static unsigned
add_digit(rv_http_chunked_t *c, unsigned char byte)
{
    int digit = byte <= '9' ? byte - '0' : (byte | 0x20) - 'a' + 10;

    if (c->left > UINT64_MAX >> 4)
        return MALFORMED;

    c->left = c->left << 4 | (uint64_t) digit;
    return SIZE;
}

static unsigned
begin_data(rv_http_chunked_t *c)
{
    if (c->left == 0)
        return TRAILER;

    if (c->left > UINT64_MAX - c->total)
        return MALFORMED;

    c->total += c->left;
    return DATA;
}

static unsigned
step(rv_http_chunked_t *c, unsigned char byte)
{
    unsigned next = next_state[c->state][kind_of(byte)];

    c->line++;
    c->trailer += c->state >= TRAILER;

    if (c->line > RV_HTTP_CHUNKED_LINE || c->trailer > RV_HTTP_CHUNKED_TRAILER)
        return MALFORMED;

    if (byte == '\n')
        c->line = 0;

    if (next == SIZE)
        return add_digit(c, byte);

    return next == DATA ? begin_data(c) : next;
}

static size_t
skip_data(rv_http_chunked_t *c, size_t length)
{
    size_t n = c->left < length ? (size_t) c->left : length;

    c->left -= n;
    if (c->left == 0)
        c->state = DATA_END;

    return n;
}

int
rv_http_chunked_skip(rv_http_chunked_t *c, const char *buf, size_t length, size_t *used)
{
    size_t i = 0;

    while (i < length && c->state != COMPLETE && c->state != MALFORMED) {
        if (c->state == DATA)
            i += skip_data(c, length - i);
        else
            c->state = step(c, (unsigned char) buf[i++]);
    }

    *used = i;

    if (c->state == MALFORMED)
        return 400;

    return c->state == COMPLETE ? RV_OK : RV_AGAIN;
}
