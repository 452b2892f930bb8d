/*
 * rv_http_pass: what goes with a client to another worker.
 *
 * The parser decodes the path in its place, so what it has looked at cannot be parsed once
 * more: it goes on where it stood. Its pointers into the bytes are sent as offsets.
 */
#include "rv_http_pass.h"

#include <string.h>

enum { NONE = 0 }; /* no offset: in front of a text there is the method */

typedef struct {
    rv_http_parser_t parser; /* without its texts */
    size_t text[RV_HTTP_PARSE_TEXTS];
} packed_t;

static size_t
offset_of(const rv_http_request_t *r, const char *text)
{
    return text == NULL ? NONE : (size_t) (text - (r->in + r->start));
}

int
rv_http_pass_pack(const rv_connection_t *c, rv_connection_read_t *read)
{
    static packed_t packed; /* until it is sent */
    const rv_http_request_t *r = c->data;

    if (r == NULL)
        return RV_OK;
    if (c->state != RV_CONNECTION_READING || r->phase != RV_HTTP_HEAD_PHASE || r->out_length > 0)
        return RV_ERROR;

    packed.parser = r->parser;
    for (size_t i = 0; i < RV_HTTP_PARSE_TEXTS; i++) {
        char **text = rv_http_parse_text(&packed.parser, i);

        packed.text[i] = offset_of(r, *text);
        *text = NULL;
    }
    *read = (rv_connection_read_t){ .bytes = r->in + r->start,
        .length = r->filled - r->start,
        .state = &packed,
        .state_length = sizeof(packed),
        .began = r->began };
    return RV_OK;
}

/* A text that ends within what was looked at. */
static int
is_text(const rv_connection_read_t *read, size_t offset, size_t scanned)
{
    const char *bytes = read->bytes;

    return offset == NONE
        || (offset < scanned && memchr(bytes + offset, '\0', scanned - offset) != NULL);
}

static int
is_sound(const rv_connection_read_t *read, const packed_t *p)
{
    size_t scanned = p->parser.scanned;
    int sound = scanned <= read->length && p->parser.line <= scanned
        && p->parser.head_length <= read->length
        && (p->text[0] != NONE || !rv_http_parse_has_line(&p->parser)); /* the path */

    for (size_t i = 0; sound && i < RV_HTTP_PARSE_TEXTS; i++)
        sound = is_text(read, p->text[i], scanned);
    return sound;
}

static char *
text_at(rv_http_request_t *r, size_t offset)
{
    return offset == NONE ? NULL : r->in + offset;
}

int
rv_http_pass_unpack(rv_connection_t *c, const rv_connection_read_t *read)
{
    packed_t packed;

    if (read->state_length != sizeof(packed))
        return RV_ERROR;
    memcpy(&packed, read->state, sizeof(packed));
    if (!is_sound(read, &packed))
        return RV_ERROR;

    rv_http_request_t *r = rv_http_request_take(c);
    if (r == NULL || read->length > r->room)
        return RV_ERROR;

    memcpy(r->in, read->bytes, read->length);
    r->filled = read->length;
    r->began = read->began;
    r->counted = r->foreign = 1;
    r->parser = packed.parser;
    for (size_t i = 0; i < RV_HTTP_PARSE_TEXTS; i++)
        *rv_http_parse_text(&r->parser, i) = text_at(r, packed.text[i]);
    r->parser.path_length = r->parser.path == NULL ? 0 : strlen(r->parser.path);
    return RV_OK;
}
