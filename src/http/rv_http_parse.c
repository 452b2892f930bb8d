/*
 * rv_http_parse: a request head, line by line.
 *
 * The only search is for the next LF, from where the last one ended; a line is
 * looked at once, when it is whole. So the outcome cannot depend on how the
 * bytes came in, and a client that sends one byte at a time costs no more than
 * one that sends them all. What follows the head is never touched: it is the
 * body, or the next request.
 *
 * Where a request could be read in two ways it is refused, not repaired: a
 * proxy in front of us may have read it the other way.
 */
#include "rv_http_parse.h"

#include "rv_http_chars.h"
#include "rv_http_target.h"

#include <string.h>
#include <strings.h>

enum { REQUEST_LINE, FIELDS, COMPLETE };

typedef struct {
    const char *text;
    size_t length;
} text_t;

#define TEXT(literal) (literal), sizeof(literal) - 1

typedef struct {
    text_t name;
    rv_http_method_t method;
} method_name_t;

static const method_name_t methods[] = {
    { { TEXT("GET") }, RV_HTTP_GET },
    { { TEXT("HEAD") }, RV_HTTP_HEAD },
    { { TEXT("POST") }, RV_HTTP_POST },
    { { TEXT("PUT") }, RV_HTTP_PUT },
    { { TEXT("DELETE") }, RV_HTTP_DELETE },
    { { TEXT("OPTIONS") }, RV_HTTP_OPTIONS },
    { { TEXT("PATCH") }, RV_HTTP_PATCH },
    { { TEXT("TRACE") }, RV_HTTP_TRACE },
    { { TEXT("CONNECT") }, RV_HTTP_CONNECT },
};

char **
rv_http_parse_text(rv_http_parser_t *p, size_t i)
{
    char **const texts[RV_HTTP_PARSE_TEXTS] = { &p->path, &p->query, &p->accept,
        &p->last_event_id };

    return i < RV_HTTP_PARSE_TEXTS ? texts[i] : NULL;
}

void
rv_http_parse_init(rv_http_parser_t *p)
{
    memset(p, 0, sizeof(*p));
}

static int
is_blank(char ch)
{
    return ch == ' ' || ch == '\t';
}

static text_t
trim(const char *begin, const char *end)
{
    while (begin < end && is_blank(*begin))
        begin++;

    while (begin < end && is_blank(end[-1]))
        end--;

    return (text_t){ begin, (size_t) (end - begin) };
}

static int
same_word(text_t text, text_t word)
{
    return text.length == word.length && strncasecmp(text.text, word.text, word.length) == 0;
}

static int
is_digit(char ch)
{
    return ch >= '0' && ch <= '9';
}

static rv_http_method_t
find_method(const char *name, size_t length)
{
    for (size_t i = 0; i < rv_countof(methods); i++)
        if (methods[i].name.length == length && memcmp(methods[i].name.text, name, length) == 0)
            return methods[i].method;

    return RV_HTTP_UNKNOWN;
}

/* Syntax first, whatever it is; then the version, then the method. */
static int
parse_request_line(rv_http_parser_t *p, char *line, size_t length)
{
    const char *end = line + length;
    size_t method = rv_http_chars_span(line, length, RV_HTTP_CHARS_TOKEN);

    if (method == 0 || method == length || line[method] != ' ')
        return 400;

    char *target = line + method + 1;
    char *space = memchr(target, ' ', (size_t) (end - target));
    if (space == NULL)
        return 400;

    const char *version = space + 1; /* HTTP/1.1 */
    if (end - version != 8 || memcmp(version, "HTTP/", 5) != 0 || !is_digit(version[5])
        || version[6] != '.' || !is_digit(version[7]))
        return 400;

    p->method = find_method(line, method);
    p->minor = (unsigned) (version[7] - '0');

    if (rv_http_target_parse(p, target, (size_t) (space - target)) != RV_OK)
        return 400;

    if (version[5] != '1')
        return 505;

    return p->method == RV_HTTP_UNKNOWN ? 501 : RV_OK;
}

static int
set_host(rv_http_parser_t *p, text_t value)
{
    if (p->has_host || !rv_http_target_is_authority(value.text, value.length))
        return 400;

    p->has_host = 1;
    return RV_OK;
}

static int
set_content_length(rv_http_parser_t *p, text_t value)
{
    uint64_t n = 0;

    if (p->has_length || value.length == 0)
        return 400;

    for (size_t i = 0; i < value.length; i++) {
        if (!is_digit(value.text[i]))
            return 400;

        unsigned digit = (unsigned) (value.text[i] - '0');
        if (n > (UINT64_MAX - digit) / 10)
            return 400;

        n = n * 10 + digit;
    }

    p->has_length = 1;
    p->content_length = n;
    return RV_OK;
}

static int
set_transfer_encoding(rv_http_parser_t *p, text_t value)
{
    static const text_t chunked = { TEXT("chunked") };

    if (p->minor == 0 || p->transfer_encoding)
        return 400;

    p->transfer_encoding = 1;
    if (!same_word(value, chunked))
        return 501;

    p->chunked = 1;
    return RV_OK;
}

static int
set_connection(rv_http_parser_t *p, text_t value)
{
    static const text_t close = { TEXT("close") };
    static const text_t keep_alive = { TEXT("keep-alive") };
    const char *end = value.text + value.length;

    for (const char *begin = value.text; begin < end;) {
        const char *comma = memchr(begin, ',', (size_t) (end - begin));
        text_t option = trim(begin, comma != NULL ? comma : end);

        if (same_word(option, close))
            p->connection_close = 1;
        else if (same_word(option, keep_alive))
            p->connection_keep_alive = 1;

        begin = comma != NULL ? comma + 1 : end;
    }

    return RV_OK;
}

static int
set_expect(rv_http_parser_t *p, text_t value)
{
    static const text_t expect_continue = { TEXT("100-continue") };

    if (!same_word(value, expect_continue))
        p->expect_other = 1;
    else if (p->minor > 0)
        p->expect_continue = 1;

    return RV_OK;
}

/* The byte behind it is a blank or of the line's end. */
static int
keep_first(char **field, text_t value)
{
    if (*field == NULL) {
        *field = (char *) (uintptr_t) value.text;
        (*field)[value.length] = '\0';
    }
    return RV_OK;
}

static int
set_accept(rv_http_parser_t *p, text_t value)
{
    return keep_first(&p->accept, value);
}

static int
set_last_event_id(rv_http_parser_t *p, text_t value)
{
    return keep_first(&p->last_event_id, value);
}

typedef struct {
    text_t name;
    int (*set)(rv_http_parser_t *p, text_t value);
} field_t;

static const field_t fields[] = {
    { { TEXT("Host") }, set_host },
    { { TEXT("Content-Length") }, set_content_length },
    { { TEXT("Transfer-Encoding") }, set_transfer_encoding },
    { { TEXT("Connection") }, set_connection },
    { { TEXT("Expect") }, set_expect },
    { { TEXT("Accept") }, set_accept },
    { { TEXT("Last-Event-ID") }, set_last_event_id },
};

/* A folded line begins with a blank, so it has no name: 400. */
static int
parse_field(rv_http_parser_t *p, const char *line, size_t length)
{
    text_t name = { line, rv_http_chars_span(line, length, RV_HTTP_CHARS_TOKEN) };
    size_t rest = length - name.length;

    if (name.length == 0 || rest == 0 || line[name.length] != ':'
        || rv_http_chars_span(line + name.length, rest, RV_HTTP_CHARS_FIELD) != rest)
        return 400;

    for (size_t i = 0; i < rv_countof(fields); i++)
        if (same_word(name, fields[i].name))
            return fields[i].set(p, trim(line + name.length + 1, line + length));

    return RV_OK;
}

static int
finish_head(rv_http_parser_t *p)
{
    if (p->minor > 0 && !p->has_host)
        return 400;

    if (p->has_length && p->transfer_encoding)
        return 400;

    p->state = COMPLETE;
    p->head_length = p->line;
    return RV_OK;
}

/* RV_AGAIN: the head goes on. */
static int
parse_line(rv_http_parser_t *p, char *line, size_t length)
{
    int rc;

    if (length == 0)
        return p->state == FIELDS ? finish_head(p) : RV_AGAIN;

    if (p->state == FIELDS) {
        rc = parse_field(p, line, length);
    } else {
        rc = parse_request_line(p, line, length);
        p->state = FIELDS;
    }

    return rc == RV_OK ? RV_AGAIN : rc;
}

int
rv_http_parse_head(rv_http_parser_t *p, char *buf, size_t length)
{
    int rc = p->state == COMPLETE ? RV_OK : RV_AGAIN;

    while (rc == RV_AGAIN && p->scanned < length) {
        char *line = buf + p->line;
        char *end = memchr(buf + p->scanned, '\n', length - p->scanned);

        if (end == NULL) {
            p->scanned = length;
            break;
        }

        p->scanned = p->line = (size_t) (end - buf) + 1;
        if (end > line && end[-1] == '\r')
            end--;

        rc = parse_line(p, line, (size_t) (end - line));
    }

    return rc;
}

int
rv_http_parse_has_line(const rv_http_parser_t *p)
{
    return p->state != REQUEST_LINE;
}

int
rv_http_parse_keep_alive(const rv_http_parser_t *p)
{
    if (p->connection_close)
        return 0;

    return p->minor > 0 || p->connection_keep_alive;
}
