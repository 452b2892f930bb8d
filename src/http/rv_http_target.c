/*
 * rv_http_target: what stands between the method and the version.
 *
 * Everything happens in place, because nothing ever gets longer: a target is
 * first made a string (its delimiter becomes the NUL), then cut at the query,
 * decoded, and only then normalised, so that "%2e%2e" and "%2F" cannot hide a
 * segment from the check that nobody leaves the root. Decoding happens once:
 * "%252e" is the text "%2e".
 */
#include "rv_http_target.h"

#include "rv_http_chars.h"

#include <ctype.h>
#include <string.h>
#include <strings.h>

/* The length of a host at the beginning of text, 0 when there is none. */
static size_t
host_length(const char *text, size_t length)
{
    size_t n = 1;

    if (length == 0 || text[0] != '[')
        return rv_http_chars_span(text, length, RV_HTTP_CHARS_HOST);

    while (n < length && (rv_http_chars_span(text + n, 1, RV_HTTP_CHARS_HOST) || text[n] == ':'))
        n++;

    return n > 1 && n < length && text[n] == ']' ? n + 1 : 0;
}

/* 1 when text is a colon and digits, or empty. */
static int
is_port(const char *text, size_t length)
{
    if (length > 0 && text[0] != ':')
        return 0;

    for (size_t i = 1; i < length; i++)
        if (text[i] < '0' || text[i] > '9')
            return 0;

    return 1;
}

int
rv_http_target_is_authority(const char *text, size_t length)
{
    size_t host = host_length(text, length);

    return is_port(text + host, length - host);
}

static unsigned
hex_value(char ch)
{
    return (unsigned) (ch <= '9' ? ch - '0' : (ch | 0x20) - 'a' + 10);
}

/* Replaces each %XX of the string; 400 for what is not hex, and for %00. */
static int
decode(char *path, size_t *length)
{
    char *out = path;

    for (const char *in = path; *in != '\0'; in++) {
        if (*in != '%') {
            *out++ = *in;
            continue;
        }

        if (!isxdigit((unsigned char) in[1]) || !isxdigit((unsigned char) in[2]))
            return 400;

        *out = (char) (hex_value(in[1]) << 4 | hex_value(in[2]));
        if (*out++ == '\0')
            return 400;

        in += 2;
    }

    *out = '\0';
    *length = (size_t) (out - path);
    return RV_OK;
}

/* Drops empty and "." segments, and ".." with the segment before it. */
static int
normalise(char *path, size_t *length)
{
    const char *end = path + *length;
    const char *in = path + 1;
    char *out = path + 1; /* a slash is always before it */

    while (in < end) {
        const char *slash = memchr(in, '/', (size_t) (end - in));
        const char *next = slash != NULL ? slash + 1 : end;
        size_t n = (size_t) ((slash != NULL ? slash : end) - in);

        if (n == 2 && memcmp(in, "..", 2) == 0) {
            if (out == path + 1)
                return 400;
            for (out--; out[-1] != '/'; out--)
                ;
        } else if (n > 1 || (n == 1 && *in != '.')) {
            memmove(out, in, (size_t) (next - in));
            out += next - in;
        }

        in = next;
    }

    *out = '\0';
    *length = (size_t) (out - path);
    return RV_OK;
}

static int
parse_path(rv_http_parser_t *p, char *path)
{
    char *query = strchr(path, '?');

    if (query != NULL) {
        *query = '\0';
        p->query = query + 1;
    }

    p->path = path;
    if (decode(path, &p->path_length) != RV_OK)
        return 400;

    return normalise(path, &p->path_length);
}

static int
parse_absolute(rv_http_parser_t *p, char *authority)
{
    size_t length = strcspn(authority, "/?");
    size_t host = host_length(authority, length);
    char *path = authority + length;

    if (host == 0 || !is_port(authority + host, length - host))
        return 400;

    /* room for the slash of an empty path: the host is not needed any more */
    if (*path != '/')
        *--path = '/';

    return parse_path(p, path);
}

static int
parse_authority(rv_http_parser_t *p, char *authority, size_t length)
{
    size_t host = host_length(authority, length);
    size_t port = length - host;

    /* the port may not be left out here: there is no scheme to imply one */
    if (host == 0 || port < sizeof(":0") - 1 || !is_port(authority + host, port))
        return 400;

    p->path = authority;
    p->path_length = length;
    return RV_OK;
}

int
rv_http_target_parse(rv_http_parser_t *p, char *target, size_t length)
{
    static const char scheme[] = "http://";

    if (rv_http_chars_span(target, length, RV_HTTP_CHARS_TARGET) != length)
        return 400;

    target[length] = '\0';

    if (p->method == RV_HTTP_CONNECT)
        return parse_authority(p, target, length);

    if (target[0] == '/')
        return parse_path(p, target);

    if (strncasecmp(target, scheme, sizeof(scheme) - 1) == 0)
        return parse_absolute(p, target + sizeof(scheme) - 1);

    if (strcmp(target, "*") != 0)
        return 400;

    /* which form an unknown method takes is not for us to say */
    if (p->method != RV_HTTP_OPTIONS && p->method != RV_HTTP_UNKNOWN)
        return 400;

    p->path = target;
    p->path_length = length;
    return RV_OK;
}
