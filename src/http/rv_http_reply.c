/*
 * rv_http_reply: answers, as bytes in a request's output.
 *
 * The pieces of a head are copied one behind the other. What it begins with is made when
 * the second, or the status, is another than the last time.
 */
#include "rv_http_reply.h"

#include "rv_http_defer.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum {
    HEAD_ROOM = 512,  /* more than any head without its extra lines */
    TEXT_HEAD = 1024, /* for a head in front of a text */
    OUT_ROOM = 2048   /* kept from one request to the next */
};

#define LENGTH_UNKNOWN SIZE_MAX

static const struct {
    unsigned code;
    const char *name;
} names[] = {
    { 200, "OK" },
    { 201, "Created" },
    { 202, "Accepted" },
    { 204, "No Content" },
    { 301, "Moved Permanently" },
    { 302, "Found" },
    { 303, "See Other" },
    { 304, "Not Modified" },
    { 307, "Temporary Redirect" },
    { 308, "Permanent Redirect" },
    { 400, "Bad Request" },
    { 401, "Unauthorized" },
    { 403, "Forbidden" },
    { 404, "Not Found" },
    { 405, "Method Not Allowed" },
    { 408, "Request Timeout" },
    { 410, "Gone" },
    { 413, "Content Too Large" },
    { 414, "URI Too Long" },
    { 417, "Expectation Failed" },
    { 429, "Too Many Requests" },
    { 431, "Request Header Fields Too Large" },
    { 500, "Internal Server Error" },
    { 501, "Not Implemented" },
    { 502, "Bad Gateway" },
    { 503, "Service Unavailable" },
    { 504, "Gateway Timeout" },
    { 505, "HTTP Version Not Supported" },
};

static const char *
name_of(unsigned code)
{
    for (size_t i = 0; i < rv_countof(names); i++) {
        if (names[i].code == code)
            return names[i].name;
    }
    return "Unknown";
}

/* Room for `length` more bytes of output, or NULL. */
static char *
reserve(rv_http_request_t *r, size_t length)
{
    if (length > r->out_room - r->out_length) {
        size_t room = rv_max(r->out_room, (size_t) OUT_ROOM);

        while (room - r->out_length < length)
            room *= 2;
        char *more = realloc(r->out, room);
        if (more == NULL)
            return NULL;
        r->out = more;
        r->out_room = room;
    }
    return r->out + r->out_length;
}

static char *
put_bytes(char *p, const char *bytes, size_t length)
{
    memcpy(p, bytes, length);
    return p + length;
}

static char *
put(char *p, const char *text)
{
    return put_bytes(p, text, strlen(text));
}

#define PUT_LITERAL(p, literal) put_bytes((p), (literal), sizeof(literal) - 1)

static char *
put_number(char *p, size_t number)
{
    char digits[24];
    size_t n = sizeof(digits);

    do {
        digits[--n] = (char) ('0' + number % 10);
        number /= 10;
    } while (number > 0);
    memcpy(p, digits + n, sizeof(digits) - n);
    return p + sizeof(digits) - n;
}

/* These have no body, nor a length of one. */
static int
is_bodiless(unsigned code)
{
    return code == 204 || code == 304;
}

static char *
put_length(char *p, const rv_http_request_t *r, unsigned code, size_t length)
{
    if (is_bodiless(code))
        return p;
    if (length == LENGTH_UNKNOWN)
        return r->parser.minor > 0 ? PUT_LITERAL(p, "\r\nTransfer-Encoding: chunked") : p;
    return put_number(PUT_LITERAL(p, "\r\nContent-Length: "), length);
}

/* "HTTP/1.1 200 OK", Server, and Date: Sat, 21 Nov 2026 02:51:03 GMT. */
static char *
put_beginning(char *p, unsigned code)
{
    static char text[HEAD_ROOM / 2];
    static size_t length;
    static unsigned made_for;
    static time_t made;
    time_t now = time(NULL);

    if (now != made || code != made_for) {
        struct tm tm;

        gmtime_r(&now, &tm);
        int n = snprintf(text, sizeof(text), "HTTP/1.1 %u %s\r\nServer: " RV_NAME "/" RV_VERSION,
            code, name_of(code));
        length = (size_t) n
            + strftime(
                text + n, sizeof(text) - (size_t) n, "\r\nDate: %a, %d %b %Y %H:%M:%S GMT", &tm);
        made = now;
        made_for = code;
    }
    return put_bytes(p, text, length);
}

static char *
put_head(char *p, const rv_http_request_t *r, unsigned code, const char *type, size_t length,
    const char *extra)
{
    p = put_beginning(p, code);
    if (type != NULL)
        p = put(PUT_LITERAL(p, "\r\nContent-Type: "), type);
    p = put_length(p, r, code, length);
    p = r->keep ? PUT_LITERAL(p, "\r\nConnection: keep-alive\r\n")
                : PUT_LITERAL(p, "\r\nConnection: close\r\n");
    return PUT_LITERAL(put(p, extra), "\r\n");
}

/* The head, with room for so many bytes behind it, which it returns; NULL: no memory. */
static char *
begin(rv_http_request_t *r, unsigned code, const char *type, size_t length, const char *extra)
{
    const char *lines = extra == NULL ? "" : extra;
    size_t body = length == LENGTH_UNKNOWN ? 0 : length;
    size_t variable = strlen(lines) + (type == NULL ? 0 : strlen(type)) + body;
    char *p = reserve(r, HEAD_ROOM + variable);

    rv_http_defer_end(r);
    if (p == NULL) {
        r->keep = 0;
        return NULL;
    }
    p = put_head(p, r, code, type, length, lines);
    r->out_length = (size_t) (p - r->out);
    return p;
}

void
rv_http_reply(rv_http_request_t *r, unsigned code, const char *type, const void *body,
    size_t length, const char *extra)
{
    char *p = begin(r, code, type, length, extra);

    if (p != NULL && r->parser.method != RV_HTTP_HEAD && !is_bodiless(code) && length > 0) {
        memcpy(p, body, length);
        r->out_length += length;
    }
}

void
rv_http_reply_text_begin(rv_text_t *text)
{
    *text = (rv_text_t){ 0 };
    if (rv_text_reserve(text, TEXT_HEAD) != NULL)
        text->length = TEXT_HEAD;
}

/* Makes the text the output: its head ends where the body begins. */
static void
take_text(rv_http_request_t *r, unsigned code, const char *type, rv_text_t *text, const char *lines)
{
    char *end = put_head(text->data, r, code, type, text->length - TEXT_HEAD, lines);
    size_t unused = TEXT_HEAD - (size_t) (end - text->data);

    memmove(text->data + unused, text->data, TEXT_HEAD - unused);
    rv_http_defer_end(r);
    free(r->out);
    r->out = text->data;
    r->out_room = text->room;
    r->out_length = text->length;
    r->out_sent = unused;
    *text = (rv_text_t){ 0 };
}

void
rv_http_reply_text(
    rv_http_request_t *r, unsigned code, const char *type, rv_text_t *text, const char *extra)
{
    const char *lines = extra == NULL ? "" : extra;
    size_t head = HEAD_ROOM + strlen(type) + strlen(lines);

    if (text->failed)
        rv_http_reply_status(r, 503, NULL);
    else if (r->out_length > 0 || r->parser.method == RV_HTTP_HEAD || is_bodiless(code)
        || head > TEXT_HEAD)
        rv_http_reply(r, code, type, text->data + TEXT_HEAD, text->length - TEXT_HEAD, extra);
    else
        take_text(r, code, type, text, lines);
    rv_text_free(text);
}

int
rv_http_reply_begin(rv_http_request_t *r, unsigned code, const char *type, const char *extra)
{
    return begin(r, code, type, LENGTH_UNKNOWN, extra) == NULL ? RV_ERROR : RV_OK;
}

void
rv_http_reply_status(rv_http_request_t *r, unsigned code, const char *extra)
{
    char text[64];
    int n = snprintf(text, sizeof(text), "%u %s\n", code, name_of(code));

    rv_http_reply(r, code, "text/plain", text, (size_t) n, extra);
}

void
rv_http_reply_continue(rv_http_request_t *r)
{
    static const char line[] = "HTTP/1.1 100 Continue\r\n\r\n";
    char *p = reserve(r, sizeof(line));

    if (p != NULL)
        r->out_length += (size_t) (PUT_LITERAL(p, line) - p);
}
