/*
 * rv_http_chunked: a body in chunks, passed over.
 *
 * Keeps no byte: it is given the body piece by piece and says where it ends.
 * Line ends are as in the head, CRLF or LF, with one exception: a chunk
 * extension ends in CRLF only, because a proxy in front that takes a lone LF
 * for a part of the extension would see other requests than we do.
 */
#ifndef RV_HTTP_CHUNKED_H
#define RV_HTTP_CHUNKED_H

#include "rv_base.h"

#define RV_HTTP_CHUNKED_LINE 4096    /* longest size or trailer line */
#define RV_HTTP_CHUNKED_TRAILER 8192 /* longest trailer */

typedef struct {
    unsigned state;
    uint64_t left;    /* bytes of this chunk still to come */
    uint64_t total;   /* bytes of content so far */
    unsigned line;    /* bytes of the size, extension or trailer line so far */
    unsigned trailer; /* bytes of all trailer lines so far */
} rv_http_chunked_t;

/* Prepares for a new body. */
void rv_http_chunked_init(rv_http_chunked_t *c);

/*
 * Passes over what buf holds of the body; *used is how many bytes of buf
 * belong to it, and what follows them was not looked at.
 * RV_OK: the body, its trailer included, is complete.
 * RV_AGAIN: all of buf was used, more is to come.
 * 400: malformed, or a line or trailer over the lengths above (line ends
 * count), or more content than 64 bits can tell. It stays 400.
 * The caller watches c->total: the sum of the announced chunk sizes, counted
 * as soon as a size line is complete; it never wraps.
 */
int rv_http_chunked_skip(rv_http_chunked_t *c, const char *buf, size_t length, size_t *used);

#endif
