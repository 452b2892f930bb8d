/*
 * head_cases: request heads that are given to the parser, cut in every way.
 */
#ifndef HEAD_CASES_H
#define HEAD_CASES_H

#include "rv_http_parse.h"

#include <check.h>

/* A request that follows. */
#define NEXT "GET /%6eext?q HTTP/1.1\r\nHost: a\r\n\r\n"

#define BYTES(literal) (literal), sizeof(literal) - 1

enum {
    HOST = 0x1,
    LENGTH = 0x2,
    CODING = 0x4,
    CHUNKED = 0x8,
    CLOSE = 0x10,
    KEEP_ALIVE = 0x20,
    CONTINUE = 0x40,
    OTHER = 0x80,
    KEPT = 0x100 /* rv_http_parse_keep_alive */
};

typedef struct {
    const char *says;
    const char *bytes;
    size_t length;
    int rc;

    /* when rc is RV_OK */
    rv_http_method_t method;
    unsigned minor;
    const char *path;
    const char *query;
    unsigned flags;
    uint64_t content_length;
} head_case_t;

#define PLAIN RV_HTTP_GET, 1, "/", NULL

#define ADD_TABLE(tcase, test, table) \
    tcase_add_loop_test((tcase), (test), 0, (int) rv_countof(table))

/* Fails the test unless the outcome is the one of the case, whatever the pieces, and whatever
 * follows. */
void head_cases_check(const head_case_t *want);

/* What the parser has found, as flags. */
unsigned head_cases_flags(const rv_http_parser_t *p);

/* The caller's to free, never NULL; its end is where the allocation ends. */
char *head_cases_allocate(size_t size);

/* 1 where both are NULL, or the same. */
int head_cases_same(const char *a, const char *b);

/* Runs the tests of one case; the exit status of the program. */
int head_cases_run(const char *name, void (*add)(TCase *));

#endif
