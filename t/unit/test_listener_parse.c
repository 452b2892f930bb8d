/*
 * rv_listener: what may stand behind `listen`.
 */
#include "rv_listener.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { WORDS = 8 };

static char error[RV_LISTENER_ERROR];

/* Reads a directive's value: RV_OK, or RV_ERROR and `error`. */
static int
parse(const char *text, rv_listener_t *ls)
{
    char copy[256], *words[WORDS], *save = NULL;
    size_t n = 0;

    snprintf(copy, sizeof(copy), "%s", text);
    for (char *word = strtok_r(copy, " ", &save); word != NULL; word = strtok_r(NULL, " ", &save))
        words[n++] = word;
    error[0] = '\0';
    return rv_listener_parse(ls, words, n, error);
}

typedef struct {
    const char *text;
    const char *addr;
    int backlog;
    unsigned mode;
    int reuseport;
    int ipv6only;
} good_t;

static const good_t good[] = {
    { "127.0.0.1:80", "127.0.0.1:80", 511, 0666, 0, 1 },
    { "8080", "0.0.0.0:8080", 511, 0666, 0, 1 },
    { "*:8080", "0.0.0.0:8080", 511, 0666, 0, 1 },
    { "[::1]:80", "[::1]:80", 511, 0666, 0, 1 },
    { "[::]:80 ipv6only=off", "[::]:80", 511, 0666, 0, 0 },
    { "[::]:80 ipv6only=on", "[::]:80", 511, 0666, 0, 1 },
    { "8080 reuseport", "0.0.0.0:8080", 511, 0666, 1, 1 },
    { "8080 backlog=1", "0.0.0.0:8080", 1, 0666, 0, 1 },
    { "8080 backlog=1000000", "0.0.0.0:8080", 1000000, 0666, 0, 1 },
    { "unix:/run/r.sock", "unix:/run/r.sock", 511, 0666, 0, 1 },
    { "unix:/run/r.sock mode=0660", "unix:/run/r.sock", 511, 0660, 0, 1 },
    { "unix:/run/r.sock mode=600 backlog=5", "unix:/run/r.sock", 5, 0600, 0, 1 },
    { "unix:/run/r.sock mode=0", "unix:/run/r.sock", 511, 0, 0, 1 },
    { "[::1]:80 reuseport backlog=9 ipv6only=off", "[::1]:80", 9, 0666, 1, 0 },
};

START_TEST(good_directive_is_taken)
{
    const good_t *c = &good[_i];
    char text[RV_ADDR_TEXT];
    rv_listener_t ls;

    if (!RV_HAVE_REUSEPORT && c->reuseport)
        return;
    ck_assert_msg(parse(c->text, &ls) == RV_OK, "\"%s\": %s", c->text, error);
    ck_assert_str_eq(rv_addr_format(&ls.addr, text), c->addr);
    ck_assert_int_eq(ls.backlog, c->backlog);
    ck_assert_uint_eq(ls.mode, c->mode);
    ck_assert_int_eq(ls.reuseport, c->reuseport);
    ck_assert_int_eq(ls.ipv6only, c->ipv6only);
    ck_assert_ptr_null(ls.fds);
    ck_assert_uint_eq(ls.count, 0);
}
END_TEST

static const struct {
    const char *text;
    const char *error; /* a part of it */
} bad[] = {
    { "", "no address" },
    { "0", "port" },
    { "65536", "port" },
    { "127.0.0.1", "" },
    { "localhost:80", "" },
    { "unix:", "" },
    { "[::1:80", "" },
    { "8080 reuse", "unknown option \"reuse\"" },
    { "8080 reuseport=on", "unknown option \"reuseport=on\"" },
    { "8080 backlog", "unknown option \"backlog\"" },
    { "8080 REUSEPORT", "unknown option \"REUSEPORT\"" },
    { "8080 backlog=", "\"backlog=\"" },
    { "8080 backlog=0", "\"backlog=0\"" },
    { "8080 backlog=-1", "\"backlog=-1\"" },
    { "8080 backlog=1000001", "\"backlog=1000001\"" },
    { "8080 backlog=1k", "\"backlog=1k\"" },
    { "8080 backlog=4294967297", "\"backlog=4294967297\"" },
    { "8080 mode=0660", "\"mode=0660\"" },
    { "8080 ipv6only=on", "\"ipv6only=on\"" },
    { "[::]:80 ipv6only=yes", "\"ipv6only=yes\"" },
    { "[::]:80 mode=0660", "\"mode=0660\"" },
    { "unix:/run/r.sock reuseport", "\"reuseport\"" },
    { "unix:/run/r.sock ipv6only=on", "\"ipv6only=on\"" },
    { "unix:/run/r.sock mode=", "\"mode=\"" },
    { "unix:/run/r.sock mode=8", "\"mode=8\"" },
    { "unix:/run/r.sock mode=1777", "\"mode=1777\"" },
    { "unix:/run/r.sock mode=00660", "\"mode=00660\"" },
    { "unix:/run/r.sock mode=rw", "\"mode=rw\"" },
    { "unix:/run/r.sock mode=-1", "\"mode=-1\"" },
};

START_TEST(bad_directive_is_an_error_that_says_what)
{
    rv_listener_t ls;

    ck_assert_msg(parse(bad[_i].text, &ls) == RV_ERROR, "\"%s\"", bad[_i].text);
    ck_assert_msg(error[0] != '\0' && strstr(error, bad[_i].error) != NULL, "\"%s\": %s",
        bad[_i].text, error);
}
END_TEST

static Suite *
listener_suite(void)
{
    Suite *suite = suite_create("listener_parse");
    TCase *tcase = tcase_create("listener_parse");

    tcase_set_timeout(tcase, 60);
    tcase_add_loop_test(tcase, good_directive_is_taken, 0, (int) rv_countof(good));
    tcase_add_loop_test(tcase, bad_directive_is_an_error_that_says_what, 0, (int) rv_countof(bad));
    suite_add_tcase(suite, tcase);
    return suite;
}

int
main(void)
{
    SRunner *runner = srunner_create(listener_suite());

    srunner_run_all(runner, CK_NORMAL);

    int failed = srunner_ntests_failed(runner);

    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
