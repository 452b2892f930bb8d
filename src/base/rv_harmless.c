/*
 * rv_harmless: text of strangers that is shown on somebody's terminal.
 *
 * A terminal that takes UTF-8 acts on U+0080 to U+009F as another acts on the bytes 0x80 to
 * 0x9f: so what stays is well-formed UTF-8 without them.
 */
#include "rv_harmless.h"

#include <string.h>

/* How many bytes follow a first one, and what the whole must be at least: no longer than needed. */
static const struct {
    unsigned char mask, is;
    unsigned follow;
    uint32_t least;
} forms[] = {
    { 0x80, 0x00, 0, 0 },
    { 0xe0, 0xc0, 1, 0x80 },
    { 0xf0, 0xe0, 2, 0x800 },
    { 0xf8, 0xf0, 3, 0x10000 },
};

/* From, to: not to be shown. */
static const uint32_t harmful[][2] = {
    { 0x00, 0x1f },         /* C0 */
    { 0x7f, 0x9f },         /* DEL, C1 */
    { 0x200e, 0x200f },     /* marks of direction */
    { 0x2028, 0x202e },     /* ends of line and paragraph, embeddings of direction */
    { 0x2066, 0x2069 },     /* isolates of direction */
    { 0xd800, 0xdfff },     /* surrogates, which are no characters */
    { 0x110000, 0x1fffff }, /* nor are these */
};

static int
is_harmful(uint32_t code)
{
    for (size_t i = 0; i < rv_countof(harmful); i++) {
        if (code >= harmful[i][0] && code <= harmful[i][1])
            return 1;
    }
    return 0;
}

/* The bytes of the harmless character at `at`; 0: there is none. */
static size_t
measure(const unsigned char *at, size_t left)
{
    size_t form = 0;

    while (form < rv_countof(forms) && (at[0] & forms[form].mask) != forms[form].is)
        form++;
    if (form == rv_countof(forms) || forms[form].follow >= left)
        return 0;

    uint32_t code = at[0] & (unsigned char) ~forms[form].mask;
    for (unsigned i = 1; i <= forms[form].follow; i++) {
        if ((at[i] & 0xc0) != 0x80)
            return 0;
        code = code << 6 | (at[i] & 0x3f);
    }
    return code < forms[form].least || is_harmful(code) ? 0 : 1 + forms[form].follow;
}

void
rv_harmless(char *text, size_t length)
{
    for (size_t i = 0; i < length;) {
        size_t bytes = measure((const unsigned char *) text + i, length - i);

        if (bytes == 0)
            text[i] = text[i] == '\t' ? ' ' : '?';
        i += rv_max(bytes, (size_t) 1);
    }
}
