/*
 * rv_http_body: what follows the head of a request.
 *
 * The bytes of a body leave the request's buffer as they come, so that there
 * is room for more. Memory for those that are kept is taken as they arrive, not
 * as they are announced. What is content and what is not among chunks is known
 * without a look into the state of rv_http_chunked: it counts a chunk's content as soon
 * as its size line is complete, and that ends with a LF. So pieces that end with
 * one hold no content until some is due, and then nothing else.
 */
#include "rv_http_body.h"

#include <stdlib.h>
#include <string.h>

enum {
    BODY_ROOM = 512,           /* at first */
    CHUNK_OVERHEAD = 64 * 1024 /* what chunking may take beside the content */
};

static int
is_wanted(const rv_http_request_t *r)
{
    return r->location != NULL && r->location->handler->body_limit > 0;
}

const char *
rv_http_body(const rv_http_request_t *r, size_t *length)
{
    *length = r->body.length;
    return r->body.length == 0 ? "" : r->body.data;
}

uint64_t
rv_http_body_limit(const rv_http_request_t *r)
{
    uint64_t limit = r->conf->client_max_body_size;

    if (limit == 0)
        limit = (UINT64_MAX - CHUNK_OVERHEAD) / 2;
    return is_wanted(r) ? rv_min(limit, (uint64_t) r->location->handler->body_limit) : limit;
}

void
rv_http_body_begin(rv_http_request_t *r)
{
    r->start += r->parser.head_length;
    r->phase = RV_HTTP_BODY_PHASE;
    r->body_left = r->parser.has_length ? r->parser.content_length : 0;
    r->body_seen = 0;
    rv_http_chunked_init(&r->chunked);
}

void
rv_http_body_free(rv_http_request_t *r)
{
    if (r->body.data == NULL)
        return;

    free(r->body.data);
    memset(&r->body, 0, sizeof(r->body));
}

/* Adds to what is collected. 503: there is no memory for it. */
static int
keep(rv_http_request_t *r, const char *bytes, size_t length)
{
    size_t needed = r->body.length + length + 1;

    if (length == 0)
        return RV_OK;
    if (needed > r->body.room) {
        size_t room = rv_max(rv_max(needed, r->body.room * 2), (size_t) BODY_ROOM);
        char *data = realloc(r->body.data, room);

        if (data == NULL)
            return 503;
        r->body.data = data;
        r->body.room = room;
    }
    memcpy(r->body.data + r->body.length, bytes, length);
    r->body.length += length;
    r->body.data[r->body.length] = '\0';
    return RV_OK;
}

/* Takes `used` bytes at the start of the body out of the buffer. */
static void
drop(rv_http_request_t *r, size_t used)
{
    memmove(r->in + r->start, r->in + r->start + used, r->filled - r->start - used);
    r->filled -= used;
}

static int
read_known(rv_http_request_t *r)
{
    size_t used = (size_t) rv_min((uint64_t) (r->filled - r->start), r->body_left);
    int result = is_wanted(r) ? keep(r, r->in + r->start, used) : RV_OK;

    r->body_left -= used;
    drop(r, used);
    if (result != RV_OK)
        return result;
    return r->body_left == 0 ? RV_OK : RV_AGAIN;
}

/* As rv_http_chunked_skip, and keeps the content. */
static int
take_chunks(rv_http_request_t *r, const char *bytes, size_t length, size_t *used)
{
    int result = RV_AGAIN;

    for (*used = 0; result == RV_AGAIN && *used < length;) {
        uint64_t due = r->chunked.total - r->body.length, limit = rv_http_body_limit(r);
        const char *at = bytes + *used, *line = memchr(at, '\n', length - *used);
        size_t piece = line == NULL ? length - *used : (size_t) (line + 1 - at), skipped;

        if (r->chunked.total > limit)
            return 413;
        if (due > 0)
            piece = (size_t) rv_min((uint64_t) (length - *used), due);
        if (due > 0 && keep(r, at, piece) != RV_OK)
            return 503;
        result = rv_http_chunked_skip(&r->chunked, at, piece, &skipped);
        *used += skipped;
    }
    return result;
}

static int
read_chunked(rv_http_request_t *r)
{
    const char *bytes = r->in + r->start;
    size_t have = r->filled - r->start, used = 0;
    uint64_t limit = rv_http_body_limit(r);
    int result = is_wanted(r) ? take_chunks(r, bytes, have, &used)
                              : rv_http_chunked_skip(&r->chunked, bytes, have, &used);

    drop(r, used);
    r->body_seen += used;
    if (result != RV_OK && result != RV_AGAIN)
        return result;
    return r->chunked.total <= limit && r->body_seen <= 2 * limit + CHUNK_OVERHEAD ? result : 413;
}

int
rv_http_body_read(rv_http_request_t *r)
{
    return r->parser.chunked ? read_chunked(r) : read_known(r);
}
