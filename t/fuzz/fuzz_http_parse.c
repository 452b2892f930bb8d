/*
 * fuzz_http_parse: the same bytes, whole and in two pieces, must mean the same.
 *
 * The first byte of the input chooses where the rest is cut. The rest is given
 * to the head parser and to the chunked body each; a difference, or an
 * outcome that breaks the contract, aborts.
 *
 * clang: -fsanitize=fuzzer,address,undefined. Elsewhere: -DRV_FUZZ_MAIN, and
 * the files named on the command line are the inputs.
 */
#include "rv_http_parse.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define REQUIRE(condition) require((condition), #condition)

static void
require(int condition, const char *text)
{
    if (condition)
        return;

    fprintf(stderr, "does not hold: %s\n", text);
    abort();
}

typedef struct {
    char *buf;
    rv_http_parser_t parser;
    int rc;
} head_t;

/* The rest of the buffer holds line feeds until its bytes are given. */
static void
parse_head(head_t *h, const char *data, size_t size, size_t cut)
{
    h->buf = malloc(size > 0 ? size : 1);
    REQUIRE(h->buf != NULL);
    memset(h->buf, '\n', size);
    memcpy(h->buf, data, cut);

    rv_http_parse_init(&h->parser);
    h->rc = rv_http_parse_head(&h->parser, h->buf, cut);

    memcpy(h->buf + cut, data + cut, size - cut);
    if (h->rc == RV_AGAIN)
        h->rc = rv_http_parse_head(&h->parser, h->buf, size);
}

static void
require_sound_path(const rv_http_parser_t *p)
{
    REQUIRE(strlen(p->path) == p->path_length);

    if (p->method == RV_HTTP_CONNECT || strcmp(p->path, "*") == 0)
        return;

    REQUIRE(p->path[0] == '/');
    REQUIRE(strstr(p->path, "//") == NULL);
    REQUIRE(strstr(p->path, "/./") == NULL);
    REQUIRE(strstr(p->path, "/../") == NULL);

    const char *last = strrchr(p->path, '/');
    REQUIRE(strcmp(last, "/.") != 0 && strcmp(last, "/..") != 0);
}

static void
require_sound_head(const head_t *h, const char *data, size_t size)
{
    const rv_http_parser_t *p = &h->parser;

    REQUIRE(h->rc == RV_OK || h->rc == RV_AGAIN || h->rc == 400 || h->rc == 501 || h->rc == 505);

    if (h->rc == RV_AGAIN)
        REQUIRE(p->scanned == size);

    if (h->rc != RV_OK)
        return;

    REQUIRE(p->head_length > 0 && p->head_length <= size);
    REQUIRE(memcmp(h->buf + p->head_length, data + p->head_length, size - p->head_length) == 0);
    REQUIRE(p->method != RV_HTTP_UNKNOWN);
    REQUIRE(p->has_host || p->minor == 0);
    REQUIRE(!p->has_length || !p->chunked);
    REQUIRE(p->query == NULL || p->query + strlen(p->query) < h->buf + p->head_length);
    require_sound_path(p);
}

static void
require_same_head(const head_t *a, const head_t *b)
{
    rv_http_parser_t p = a->parser;
    rv_http_parser_t q = b->parser;

    REQUIRE(a->rc == b->rc);
    if (a->rc != RV_OK)
        return;

    REQUIRE(p.path - a->buf == q.path - b->buf && strcmp(p.path, q.path) == 0);
    REQUIRE((p.query == NULL) == (q.query == NULL));
    REQUIRE(p.query == NULL || strcmp(p.query, q.query) == 0);

    REQUIRE(p.scanned == q.scanned && p.line == q.line && p.state == q.state);
    REQUIRE(p.method == q.method && p.minor == q.minor);
    REQUIRE(p.path_length == q.path_length && p.head_length == q.head_length);
    REQUIRE(p.has_host == q.has_host && p.has_length == q.has_length);
    REQUIRE(p.content_length == q.content_length);
    REQUIRE(p.chunked == q.chunked && p.transfer_encoding == q.transfer_encoding);
    REQUIRE(p.expect_continue == q.expect_continue && p.expect_other == q.expect_other);
    REQUIRE(p.connection_close == q.connection_close);
    REQUIRE(p.connection_keep_alive == q.connection_keep_alive);
}

static void
fuzz_head(const char *data, size_t size, size_t cut)
{
    head_t whole, pieces;

    parse_head(&whole, data, size, size);
    parse_head(&pieces, data, size, cut);

    require_sound_head(&whole, data, size);
    require_sound_head(&pieces, data, size);
    require_same_head(&whole, &pieces);

    free(whole.buf);
    free(pieces.buf);
}

static void
fuzz_chunked(const char *data, size_t size, size_t cut)
{
    rv_http_chunked_t whole, pieces;
    size_t used, first, second = 0;

    rv_http_chunked_init(&whole);
    int rc = rv_http_chunked_skip(&whole, data, size, &used);
    REQUIRE(rc == RV_OK || rc == RV_AGAIN || rc == 400);
    REQUIRE(used <= size && (rc != RV_AGAIN || used == size));

    rv_http_chunked_init(&pieces);
    int rc2 = rv_http_chunked_skip(&pieces, data, cut, &first);
    if (rc2 == RV_AGAIN)
        rc2 = rv_http_chunked_skip(&pieces, data + cut, size - cut, &second);

    REQUIRE(rc == rc2 && used == first + second);
    REQUIRE(whole.total == pieces.total && whole.left == pieces.left);
    REQUIRE(whole.state == pieces.state);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0)
        return 0;

    const char *bytes = (const char *) data + 1;
    size_t cut = data[0] % size;

    fuzz_head(bytes, size - 1, cut);
    fuzz_chunked(bytes, size - 1, cut);
    return 0;
}

#ifdef RV_FUZZ_MAIN

int
main(int argc, char **argv)
{
    static uint8_t data[1 << 20];

    for (int i = 1; i < argc; i++) {
        FILE *file = fopen(argv[i], "rb");
        if (file == NULL) {
            perror(argv[i]);
            return EXIT_FAILURE;
        }

        LLVMFuzzerTestOneInput(data, fread(data, 1, sizeof(data), file));
        fclose(file);
    }

    return EXIT_SUCCESS;
}

#endif
