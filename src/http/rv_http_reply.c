/*
 * rv_http_reply: answers, as bytes in a request's output.
 *
 * The pieces of a head are copied one behind the other; nothing is formatted
 * that is the same for all, and the date is made once a second.
 */
#include "rv_http_reply.h"

#include "rv_http_defer.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum {
    HEAD_ROOM = 512, /* more than any head without its extra lines */
    OUT_ROOM = 2048  /* kept from one request to the next */
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

/* "Sat, 21 Nov 2026 02:51:03 GMT" */
static const char *
date_text(void)
{
    static char text[32];
    static time_t made;
    time_t now = time(NULL);

    if (now != made) {
        struct tm tm;

        gmtime_r(&now, &tm);
        strftime(text, sizeof(text), "%a, %d %b %Y %H:%M:%S GMT", &tm);
        made = now;
    }
    return text;
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
put(char *p, const char *text)
{
    size_t length = strlen(text);

    memcpy(p, text, length);
    return p + length;
}

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
        return r->parser.minor > 0 ? put(p, "\r\nTransfer-Encoding: chunked") : p;
    return put_number(put(p, "\r\nContent-Length: "), length);
}

static char *
put_head(char *p, const rv_http_request_t *r, unsigned code, const char *type, size_t length,
    const char *extra)
{
    p = put(p, "HTTP/1.1 ");
    p = put_number(p, code);
    p = put(p, " ");
    p = put(p, name_of(code));
    p = put(p, "\r\nServer: " RV_NAME "/" RV_VERSION "\r\nDate: ");
    p = put(p, date_text());
    if (type != NULL) {
        p = put(p, "\r\nContent-Type: ");
        p = put(p, type);
    }
    p = put_length(p, r, code, length);
    p = put(p, r->keep ? "\r\nConnection: keep-alive\r\n" : "\r\nConnection: close\r\n");
    p = put(p, extra);
    return put(p, "\r\n");
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
        r->out_length += (size_t) (put(p, line) - p);
}
