/*
 * head_cases: request heads that are given to the parser, cut in every way.
 *
 * A case is bytes and the one outcome they must have: given whole, given in
 * two pieces cut at every position, and given byte by byte; each once alone
 * and once with the next request behind it, which must stay as it is.
 * The bytes end where their allocation ends, so that a sanitizer sees what is
 * read past them. What was not given yet are line feeds: whoever peeks at
 * them ends a line too early and has another outcome.
 */
#include "head_cases.h"

#include <stdlib.h>
#include <string.h>

/* One request on its way in. */
typedef struct {
    const head_case_t *want;
    const char *rest;
    size_t total;
    size_t given;
    char *sent;
    char *buf;
    rv_http_parser_t parser;
    int rc;
} trial_t;

char *
head_cases_allocate(size_t size)
{
    char *p = malloc(size > 0 ? size : 1);

    if (p == NULL)
        ck_abort_msg("out of memory");
    return p;
}

static void
trial_begin(trial_t *t, const head_case_t *want, const char *rest)
{
    size_t rest_length = strlen(rest);

    memset(t, 0, sizeof(*t));
    t->want = want;
    t->rest = rest;
    t->total = want->length + rest_length;

    t->sent = head_cases_allocate(t->total);
    memcpy(t->sent, want->bytes, want->length);
    memcpy(t->sent + want->length, rest, rest_length);

    t->buf = head_cases_allocate(t->total);
    memset(t->buf, '\n', t->total);

    rv_http_parse_init(&t->parser);
    t->rc = RV_AGAIN;
}

static size_t
count_feeds(const char *bytes, size_t length)
{
    size_t n = 0;

    while (n < length && bytes[n] == '\n')
        n++;

    return n;
}

static void
trial_give(trial_t *t, size_t upto)
{
    memcpy(t->buf + t->given, t->sent + t->given, upto - t->given);
    t->given = upto;

    if (t->rc == RV_AGAIN)
        t->rc = rv_http_parse_head(&t->parser, t->buf, upto);

    if (t->rc == RV_AGAIN && t->parser.scanned != upto)
        ck_abort_msg("%s: %zu of %zu bytes were looked at", t->want->says, t->parser.scanned, upto);

    size_t untouched = count_feeds(t->buf + upto, t->total - upto);
    if (untouched < t->total - upto)
        ck_abort_msg("%s: byte %zu was written before it came", t->want->says, upto + untouched);
}

unsigned
head_cases_flags(const rv_http_parser_t *p)
{
    return (p->has_host ? HOST : 0u) | (p->has_length ? LENGTH : 0u)
        | (p->transfer_encoding ? CODING : 0u) | (p->chunked ? CHUNKED : 0u)
        | (p->connection_close ? CLOSE : 0u) | (p->connection_keep_alive ? KEEP_ALIVE : 0u)
        | (p->expect_continue ? CONTINUE : 0u) | (p->expect_other ? OTHER : 0u)
        | (rv_http_parse_keep_alive(p) ? KEPT : 0u);
}

int
head_cases_same(const char *a, const char *b)
{
    return a == NULL || b == NULL ? a == b : strcmp(a, b) == 0;
}

static void
expect(const trial_t *t, size_t cut, int holds, const char *what)
{
    if (!holds)
        ck_abort_msg("%s, cut at %zu: wrong %s", t->want->says, cut, what);
}

static void
check_head(const trial_t *t, size_t cut)
{
    const head_case_t *want = t->want;
    const rv_http_parser_t *p = &t->parser;

    expect(t, cut, p->method == want->method, "method");
    expect(t, cut, p->minor == want->minor, "version");
    expect(t, cut, head_cases_same(p->path, want->path), "path");
    expect(t, cut, p->path_length == strlen(p->path), "path length");
    expect(t, cut, head_cases_same(p->query, want->query), "query");
    expect(t, cut, head_cases_flags(p) == want->flags, "fields");
    expect(t, cut, p->content_length == want->content_length, "content length");
    expect(t, cut, p->head_length == want->length, "head length");
    expect(t, cut, rv_http_parse_has_line(p), "has_line");
    expect(t, cut, memcmp(t->buf + want->length, t->rest, strlen(t->rest)) == 0,
        "bytes after the head");
}

static void
trial_end(trial_t *t, size_t cut)
{
    ck_assert_msg(t->rc == t->want->rc, "%s, cut at %zu: %d instead of %d", t->want->says, cut,
        t->rc, t->want->rc);

    if (t->rc == RV_OK)
        check_head(t, cut);

    free(t->sent);
    free(t->buf);
}

static void
check_with_rest(const head_case_t *want, const char *rest)
{
    size_t total = want->length + strlen(rest);
    trial_t t;

    for (size_t cut = 0; cut <= total; cut++) {
        trial_begin(&t, want, rest);
        trial_give(&t, cut);
        if (want->rc == RV_OK && cut < want->length)
            ck_assert_msg(t.rc == RV_AGAIN, "%s: complete after %zu bytes", want->says, cut);
        trial_give(&t, total);
        trial_end(&t, cut);
    }

    trial_begin(&t, want, rest);
    for (size_t upto = 1; upto <= total; upto++)
        trial_give(&t, upto);
    trial_end(&t, 1);
}

void
head_cases_check(const head_case_t *want)
{
    check_with_rest(want, "");
    if (want->rc != RV_AGAIN)
        check_with_rest(want, NEXT);
}

int
head_cases_run(const char *name, void (*add)(TCase *))
{
    Suite *suite = suite_create(name);
    TCase *tcase = tcase_create(name);

    add(tcase);
    tcase_set_timeout(tcase, 60);
    suite_add_tcase(suite, tcase);

    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
