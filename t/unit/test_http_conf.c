/*
 * rv_http_conf: which location answers a path, and whom.
 *
 * Locations are given as on a command line, "location /a.handler = return";
 * each answers with its own path, by which a test knows it again.
 */
#include "rv_http_conf.h"

#include "rv_conf_read.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static rv_pool_t *pool;
static rv_conf_t *cf;

static void
setup(void)
{
    pool = rv_pool_create();
    cf = rv_conf_create(pool, "/srv/");
    ck_assert_ptr_nonnull(cf);
    for (size_t i = 0; rv_http_conf_sections[i] != NULL; i++)
        ck_assert_int_eq(rv_conf_add(cf, rv_http_conf_sections[i]), RV_OK);
}

static void
teardown(void)
{
    rv_pool_destroy(pool);
}

static const char *
first_message(void)
{
    return rv_conf_messages(cf) == NULL ? "" : rv_conf_messages(cf)->text;
}

static void
set(const char *text)
{
    ck_assert_msg(rv_conf_read_overrides(cf, text) == RV_OK, "\"%s\": %s", text, first_message());
}

static const rv_http_conf_t *
finish(void)
{
    rv_http_conf_t *conf = rv_conf_get(cf, "http", NULL);

    ck_assert_msg(rv_conf_finish(cf) == RV_OK, "%s", first_message());
    ck_assert_int_eq(rv_http_conf_collect(cf, conf), RV_OK);
    return conf;
}

/* --- which location -------------------------------------------------------------- */

enum { MAX_LOCATIONS = 6 };

typedef struct {
    const char *location[MAX_LOCATIONS];
    const char *path;
    const char *answer; /* the location; NULL: none */
} find_case_t;

#define SOME                                     \
    {                                            \
        "/a", "/a/", "/a/b", "/a/b/c/", "/other" \
    }
#define BACKWARDS                                \
    {                                            \
        "/other", "/a/b/c/", "/a/b", "/a/", "/a" \
    }

static const find_case_t find_cases[] = {
    { { "/" }, "/", "/" },
    { { "/" }, "/anything", "/" },
    { { "/" }, "/any/thing/", "/" },
    { { "/hello" }, "/hello", "/hello" },
    { { "/hello" }, "/hello/", NULL },
    { { "/hello" }, "/hello/there", NULL },
    { { "/hello" }, "/helloo", NULL },
    { { "/hello" }, "/hell", NULL },
    { { "/hello" }, "/Hello", NULL },
    { { "/hello" }, "/", NULL },
    { { "/hello/" }, "/hello/", "/hello/" },
    { { "/hello/" }, "/hello/there", "/hello/" },
    { { "/hello/" }, "/hello", NULL },
    { { "/hello/" }, "/hello.html", NULL },
    { { "/", "/hello" }, "/hello/there", "/" },
    { { NULL }, "/", NULL },
    { SOME, "/a", "/a" },
    { SOME, "/a/", "/a/" },
    { SOME, "/a/x", "/a/" },
    { SOME, "/a/b", "/a/b" },
    { SOME, "/a/b/", "/a/" },
    { SOME, "/a/b/c", "/a/" },
    { SOME, "/a/b/c/", "/a/b/c/" },
    { SOME, "/a/b/c/d/e", "/a/b/c/" },
    { SOME, "/b", NULL },
    { BACKWARDS, "/a", "/a" },
    { BACKWARDS, "/a/x", "/a/" },
    { BACKWARDS, "/a/b", "/a/b" },
    { BACKWARDS, "/a/b/c/d/e", "/a/b/c/" },
};

START_TEST(exact_path_then_the_longest_that_begins_it)
{
    const find_case_t *c = &find_cases[_i];
    char text[256];

    for (int i = 0; i < MAX_LOCATIONS && c->location[i] != NULL; i++) {
        snprintf(text, sizeof(text), "location %s.handler = return; location %s.return = 200 %s",
            c->location[i], c->location[i], c->location[i]);
        set(text);
    }
    const rv_http_location_t *found = rv_http_conf_find(finish(), c->path, strlen(c->path));

    if (c->answer == NULL) {
        ck_assert_msg(found == NULL, "\"%s\" is answered", c->path);
    } else {
        ck_assert_msg(found != NULL, "\"%s\" is not answered", c->path);
        ck_assert_str_eq(found->reply.text, c->answer);
    }
}
END_TEST

/* What stands behind the path in memory is not part of it. */
START_TEST(path_ends_where_its_length_says)
{
    set("location /a.handler = return; location /a.return = 200");
    const rv_http_conf_t *conf = finish();

    ck_assert_ptr_nonnull(rv_http_conf_find(conf, "/abc", 2));
    ck_assert_ptr_null(rv_http_conf_find(conf, "/a", 1));
    ck_assert_ptr_null(rv_http_conf_find(conf, "/a\0", 3));
    ck_assert_ptr_null(rv_http_conf_find(conf, "*", 1));
}
END_TEST

/* --- whom ------------------------------------------------------------------------- */

typedef struct {
    const char *rules; /* "+WHO -WHO ...": allow and deny */
    const char *client;
    int allowed;
} rule_case_t;

static const rule_case_t rule_cases[] = {
    { "", "1.2.3.4", 1 },
    { "-all", "1.2.3.4", 0 },
    { "-all", "[::1]", 0 },
    { "-all", "unix:", 0 },
    { "+all -all", "1.2.3.4", 1 },
    { "+127.0.0.1 -all", "127.0.0.1", 1 },
    { "+127.0.0.1 -all", "127.0.0.2", 0 },
    { "+127.0.0.1 -all", "[::ffff:127.0.0.1]", 1 },
    { "-all +127.0.0.1", "127.0.0.1", 0 },
    { "+10.0.0.0/8 -10.1.0.0/16", "10.1.2.3", 1 },
    { "-10.1.0.0/16 +10.0.0.0/8 -all", "10.1.2.3", 0 },
    { "-10.1.0.0/16 +10.0.0.0/8 -all", "10.2.2.3", 1 },
    { "-10.1.0.0/16", "10.2.2.3", 1 },
    { "+::1 -all", "[::1]", 1 },
    { "+::1 -all", "[::2]", 0 },
    { "+2001:db8::/32 -all", "[2001:db8:ffff::1]", 1 },
    { "+unix: -all", "unix:", 1 },
    { "+unix: -all", "127.0.0.1", 0 },
    { "-unix:", "127.0.0.1", 1 },
};

static rv_addr_t
client_of(const char *text)
{
    char with_port[64];
    const char *error = "";
    rv_addr_t addr = { .length = sizeof(sa_family_t) };

    addr.sockaddr.sa.sa_family = AF_UNIX;
    if (strcmp(text, "unix:") == 0)
        return addr;
    snprintf(with_port, sizeof(with_port), "%s:4711", text);
    ck_assert_msg(rv_addr_parse(with_port, &addr, &error) == RV_OK, "%s: %s", text, error);
    return addr;
}

START_TEST(first_rule_that_matches_counts)
{
    const rule_case_t *c = &rule_cases[_i];
    rv_addr_t client = client_of(c->client);
    char copy[128], text[128], *save = NULL;

    set("location /.handler = stub_status");
    snprintf(copy, sizeof(copy), "%s", c->rules);
    for (char *rule = strtok_r(copy, " ", &save); rule != NULL; rule = strtok_r(NULL, " ", &save)) {
        snprintf(
            text, sizeof(text), "location /.%s = %s", rule[0] == '+' ? "allow" : "deny", rule + 1);
        set(text);
    }
    const rv_http_location_t *location = rv_http_conf_find(finish(), "/", 1);

    ck_assert_msg(
        rv_http_conf_allows(location, &client) == c->allowed, "\"%s\" for %s", c->rules, c->client);
}
END_TEST

/* --- directives ---------------------------------------------------------------------- */

START_TEST(without_a_word_everything_has_its_default)
{
    const rv_http_conf_t *conf = finish();

    ck_assert_ptr_null(conf->listens);
    ck_assert_uint_eq(conf->path_count, 0);
    ck_assert_uint_eq(conf->keepalive_timeout, 75 * 1000);
    ck_assert_uint_eq(conf->keepalive_requests, 1000);
    ck_assert_uint_eq(conf->keepalive_min_timeout, 5 * 1000);
    ck_assert_uint_eq(conf->client_header_timeout, 60 * 1000);
    ck_assert_uint_eq(conf->send_timeout, 60 * 1000);
    ck_assert_uint_eq(conf->client_max_header_size, 8 * 1024);
    ck_assert_uint_eq(conf->client_max_body_size, 1024 * 1024);
}
END_TEST

START_TEST(listens_are_kept_in_order)
{
    static const char *const expected[] = { "127.0.0.1:80", "[::1]:81", "unix:/srv/run/s",
        "unix:/run/t" };
    const rv_http_listen_t *l;
    char text[RV_ADDR_TEXT];

    set("http.listen = 127.0.0.1:80 backlog=9; http.listen = [::1]:81; http.listen = unix:run/s;"
        "http.listen = unix:/run/t \t mode=0600");
    l = finish()->listens;
    ck_assert_int_eq(l->listener.backlog, 9);
    for (size_t i = 0; i < rv_countof(expected); i++, l = l->next) {
        ck_assert_ptr_nonnull(l);
        ck_assert_str_eq(rv_addr_format(&l->listener.addr, text), expected[i]);
    }
    ck_assert_ptr_null(l);
}
END_TEST

START_TEST(return_is_a_code_and_the_rest_of_the_line)
{
    set("location /a.handler = return; location /a.return = 503 \t so  sorry, come back ");
    set("location /b.handler = return; location /b.return = 204");
    const rv_http_conf_t *conf = finish();
    const rv_http_location_t *a = rv_http_conf_find(conf, "/a", 2);
    const rv_http_location_t *b = rv_http_conf_find(conf, "/b", 2);

    ck_assert_uint_eq(a->reply.code, 503);
    ck_assert_str_eq(a->reply.text, "so  sorry, come back");
    ck_assert_str_eq(a->handler->name, "return");
    ck_assert_uint_eq(b->reply.code, 204);
    ck_assert_str_eq(b->reply.text, "");
}
END_TEST

#define RETURN "location /.handler = return; location /.return = "

static const struct {
    const char *text;
    const char *error; /* a part of it */
} bad[] = {
    { "http.listen = localhost", "\"listen = localhost\"" },
    { "http.listen = 80 reuse", "unknown option \"reuse\" in \"listen = 80 reuse\"" },
    { "http.keepalive_timeout = 31d", "out of range" },
    { "http.keepalive_requests = 0", "out of range" },
    { "http.client_header_timeout = 0", "out of range" },
    { "http.send_timeout = 0", "out of range" },
    { "http.client_max_header_size = 255", "out of range, 256 to 1048576" },
    { "http.client_max_header_size = 2m", "out of range, 256 to 1048576" },
    { "http.client_max_body_size = -1", "invalid value \"-1\"" },
    { RETURN "20", "invalid value \"20\"" },
    { RETURN "2000", "invalid value \"2000\"" },
    { RETURN "199", "invalid value \"199\"" },
    { RETURN "600", "invalid value \"600\"" },
    { RETURN "hello", "invalid value \"hello\"" },
    { RETURN "-10 x", "invalid value \"-10 x\"" },
    { RETURN "301", "needs a URL" },
    { RETURN "308 ", "needs a URL" },
    { "location /.handler = return", "no \"return\" in location \"/\"" },
    { "location /.handler = none", "unknown handler \"none\"" },
    { "location /.handler = http", "unknown handler \"http\"" },
    { "location /.allow = all", "no \"handler\" in location \"/\"" },
    { "location a.handler = stub_status", "\"a\" does not begin with \"/\"" },
    { "location /.allow = localhost", "invalid value \"localhost\"" },
    { "location /.deny = 1.2.3.4/33", "invalid value \"1.2.3.4/33\"" },
    { "location /.deny = 1.2.3.4 all", "invalid value \"1.2.3.4 all\"" },
    { "location.handler = stub_status", "needs an argument" },
    { "http x.listen = 80", "takes no argument" },
};

START_TEST(bad_value_is_an_error_that_says_what)
{
    (void) rv_conf_read_overrides(cf, bad[_i].text);
    ck_assert_msg(rv_conf_finish(cf) == RV_ERROR, "\"%s\"", bad[_i].text);
    ck_assert_msg(strstr(first_message(), bad[_i].error) != NULL, "\"%s\": %s", bad[_i].text,
        first_message());
}
END_TEST

START_TEST(host_bits_of_a_network_are_a_warning)
{
    set("location /.handler = stub_status; location /.allow = 10.1.2.3/8; location /.deny = all");
    const rv_http_location_t *location = rv_http_conf_find(finish(), "/", 1);
    rv_addr_t client = client_of("10.9.9.9");

    ck_assert_int_eq(rv_conf_messages(cf)->is_warning, 1);
    ck_assert_ptr_nonnull(strstr(first_message(), "\"10.1.2.3/8\""));
    ck_assert_int_eq(rv_http_conf_allows(location, &client), 1);
}
END_TEST

static Suite *
http_conf_suite(void)
{
    Suite *suite = suite_create("http_conf");
    TCase *tcase = tcase_create("http_conf");

    tcase_set_timeout(tcase, 60);
    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_add_loop_test(
        tcase, exact_path_then_the_longest_that_begins_it, 0, (int) rv_countof(find_cases));
    tcase_add_test(tcase, path_ends_where_its_length_says);
    tcase_add_loop_test(tcase, first_rule_that_matches_counts, 0, (int) rv_countof(rule_cases));
    tcase_add_test(tcase, without_a_word_everything_has_its_default);
    tcase_add_test(tcase, listens_are_kept_in_order);
    tcase_add_test(tcase, return_is_a_code_and_the_rest_of_the_line);
    tcase_add_loop_test(tcase, bad_value_is_an_error_that_says_what, 0, (int) rv_countof(bad));
    tcase_add_test(tcase, host_bits_of_a_network_are_a_warning);
    suite_add_tcase(suite, tcase);
    return suite;
}

int
main(void)
{
    SRunner *runner = srunner_create(http_conf_suite());

    srunner_run_all(runner, CK_NORMAL);

    int failed = srunner_ntests_failed(runner);

    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
