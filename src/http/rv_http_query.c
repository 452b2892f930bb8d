/*
 * rv_http_query: the parameters in the query of a request, "topic=x&since=7".
 *
 * Cut first, decoded then, so that an encoded "&" or "=" is text. All of the
 * query is looked at, whatever is asked for: what is malformed is so for everybody.
 */
#include "rv_http_query.h"

#include <ctype.h>
#include <string.h>

static unsigned
hex_value(char ch)
{
    return (unsigned) (ch <= '9' ? ch - '0' : (ch | 0x20) - 'a' + 10);
}

/* The character at *text, which moves on behind it; 0: malformed. */
static char
next_char(const char **text)
{
    const char *at = *text;

    if (*at != '%') {
        *text = at + 1;
        return (char) (*at == '+' ? ' ' : *at);
    }
    if (!isxdigit((unsigned char) at[1]) || !isxdigit((unsigned char) at[2]))
        return '\0';
    *text = at + 3;
    return (char) (hex_value(at[1]) << 4 | hex_value(at[2]));
}

static int
is_well_formed(const char *text)
{
    while (*text != '\0') {
        if (next_char(&text) == '\0')
            return 0;
    }
    return 1;
}

static int
is_named(const char *text, const char *end, const char *name)
{
    while (text < end && *name != '\0') {
        if (next_char(&text) != *name++)
            return 0;
    }
    return text == end && *name == '\0';
}

static int
decode(const char *text, const char *end, char *value, size_t room)
{
    for (; text < end && room > 1; room--)
        *value++ = next_char(&text);
    *value = '\0';
    return text == end ? RV_OK : 400;
}

int
rv_http_query_get(const char *query, const char *name, char *value, size_t room)
{
    const char *next;

    value[0] = '\0';
    if (query == NULL)
        return RV_DONE;
    if (!is_well_formed(query))
        return 400;

    for (const char *at = query; *at != '\0'; at = next) {
        const char *end = at + strcspn(at, "&"), *equals = memchr(at, '=', (size_t) (end - at));
        const char *name_end = equals == NULL ? end : equals;

        next = *end == '&' ? end + 1 : end;
        if (is_named(at, name_end, name))
            return decode(equals == NULL ? end : equals + 1, end, value, room);
    }
    return RV_DONE;
}
