/*
 * test_metrics: the pages for Prometheus and the status page, held against
 * what their formats demand.
 */
#include "json.h"
#include "look.h"
#include "test_http.h"

#include <ctype.h>
#include <signal.h>

#define PAGES                                  \
    "[location /metrics]\nhandler = metrics\n" \
    "[location /status]\nhandler = status\n"   \
    "[location /hello]\nhandler = return\nreturn = 200 hello\n"
#define OPENMETRICS "application/openmetrics-text"

static daemon_t d;
static char text[4 * HTTP_ROOM];

static void
setup(void)
{
    daemon_setup(&d);
}

static void
teardown(void)
{
    daemon_teardown(&d);
}

static void
configure(int workers)
{
    daemon_conff(&d,
        "[main]\nworker_processes = %d\nerror_log = logs/error.log info\npid = logs/reeve.pid\n"
        "[zone stats]\ntype = %s\n[http]\nlisten = 127.0.0.1:%d\n%s",
        workers, look_type(), d.port, PAGES);
}

static void
start(int workers)
{
    configure(workers);
    daemon_start(&d);
}

/* The page, for a client that accepts this (NULL: says nothing), the head in front. */
static const char *
get(const char *path, const char *accept)
{
    char request[1024];
    int fd = http_connect(&d);

    snprintf(request, sizeof(request),
        "GET %s HTTP/1.1\r\nHost: x\r\nConnection: close\r\n%s%s%s\r\n", path,
        accept == NULL ? "" : "Accept: ", accept == NULL ? "" : accept,
        accept == NULL ? "" : "\r\n");
    http_send(fd, request);
    ck_assert_int_eq(daemon_answer(fd, text, sizeof(text), 0), 200);
    close(fd);
    return strstr(text, "\r\n\r\n") + 4;
}

/* --- the formats ----------------------------------------------------------------------- */

enum { FAMILIES = 256 };

typedef struct {
    char name[128], type[16];
} family_t;

typedef struct {
    int openmetrics;
    family_t family[FAMILIES];
    int count;
    double below, bound; /* of the last bucket; below is -1 when none is open */
} page_t;

static const char *
is_word(const char *p)
{
    if (!isalpha((unsigned char) *p) && *p != '_')
        return NULL;
    return p + strspn(p, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_");
}

/* HELP and TYPE come together, once for a family, and it is named as is the custom. */
static void
take_head(page_t *page, const char *help, const char *type)
{
    family_t *f = &page->family[page->count];
    char again[128];
    int at = 0;

    ck_assert_int_lt(page->count, FAMILIES);
    ck_assert_msg(sscanf(help, "# HELP %127s %n", f->name, &at) == 1 && help[at] != '\0',
        "not a HELP: %s", help);
    ck_assert_msg(type != NULL && sscanf(type, "# TYPE %127s %15s", again, f->type) == 2
            && strcmp(f->name, again) == 0,
        "no TYPE behind: %s", help);
    for (int i = 0; i < page->count; i++)
        ck_assert_str_ne(page->family[i].name, f->name);

    const char *total = strstr(f->name, "_total");
    int is_total = total != NULL && total[6] == '\0';
    ck_assert_msg(is_total == (!page->openmetrics && strcmp(f->type, "counter") == 0),
        "a %s of the name %s", f->type, f->name);
    page->count++;
    page->below = -1;
    page->bound = 0;
}

static void
take_bucket(page_t *page, const char *line, const char *labels, double value)
{
    char bound[32];

    ck_assert_msg(sscanf(labels, "{le=\"%31[^\"]\"}", bound) == 1, "%s", line);
    double le = strcmp(bound, "+Inf") == 0 ? 1e300 : strtod(bound, NULL);
    ck_assert_msg(page->below < 0 || le > page->bound, "buckets out of order: %s", line);
    ck_assert_msg(value >= page->below, "not cumulative: %s", line);
    page->bound = le;
    page->below = value;
}

static const char *
suffix_of(const page_t *page, const char *line, const char *end)
{
    const family_t *f = &page->family[page->count - 1];
    size_t length = strlen(f->name);
    static char suffix[64];

    ck_assert_msg(
        page->count > 0 && (size_t) (end - line) >= length && strncmp(line, f->name, length) == 0,
        "not of the family before it: %s", line);
    snprintf(suffix, sizeof(suffix), "%.*s", (int) ((size_t) (end - line) - length), line + length);
    return suffix;
}

static void
take_sample(page_t *page, const char *line)
{
    const char *labels = is_word(line);
    char *end;

    ck_assert_msg(labels != NULL, "not a name: %s", line);
    const char *suffix = suffix_of(page, line, labels);
    const char *number = *labels == '{' ? strstr(labels, "} ") : labels - 1;
    ck_assert_msg(number != NULL && number[1] == ' ', "no value: %s", line);
    double value = strtod(number + 2, &end);
    ck_assert_msg(end != number + 2 && *end == '\0', "no value: %s", line);
    ck_assert_msg(value >= 0, "negative: %s", line);
    ck_assert_msg(strstr(line, "pid") == NULL, "a pid: %s", line);

    const char *type = page->family[page->count - 1].type;
    if (strcmp(type, "histogram") != 0) {
        const char *wanted = !page->openmetrics ? ""
            : strcmp(type, "counter") == 0      ? "_total"
            : strcmp(type, "info") == 0         ? "_info"
                                                : "";
        ck_assert_msg(strcmp(suffix, wanted) == 0, "a %s: %s", type, line);
    } else if (strcmp(suffix, "_bucket") == 0) {
        take_bucket(page, line, labels, value);
    } else if (strcmp(suffix, "_count") == 0) {
        ck_assert_msg(page->bound > 1e299 && page->below == value, "not +Inf's: %s", line);
    } else {
        ck_assert_str_eq(suffix, "_sum");
    }
}

static void
expect_no_series_twice(char *const *lines, int count)
{
    for (int i = 0; i < count; i++) {
        size_t length = (size_t) (strrchr(lines[i], ' ') - lines[i]) + 1;

        for (int k = 0; k < i; k++)
            ck_assert_msg(lines[i][0] == '#' || strncmp(lines[i], lines[k], length) != 0,
                "twice: %s", lines[i]);
    }
}

/* Fails the test unless this is a page of that format. */
static void
expect_format(const char *body, int openmetrics)
{
    enum { LINES = 4096 };
    static char *lines[LINES];
    static page_t page;
    char *all = strdup(body), *save = NULL;
    int count = 0;

    page = (page_t){ .openmetrics = openmetrics };
    ck_assert_ptr_nonnull(all);
    ck_assert_msg(body[0] != '\0' && body[strlen(body) - 1] == '\n', "no newline at the end");
    ck_assert_ptr_null(strstr(body, "\n\n"));
    for (char *p = strtok_r(all, "\n", &save); p != NULL; p = strtok_r(NULL, "\n", &save)) {
        ck_assert_int_lt(count, LINES - 1);
        lines[count++] = p;
    }
    lines[count] = NULL;
    if (openmetrics)
        ck_assert_str_eq(lines[--count], "# EOF");

    for (int i = 0; i < count; i++) {
        if (lines[i][0] != '#')
            take_sample(&page, lines[i]);
        else
            take_head(&page, lines[i], lines[i + 1]);
        i += lines[i][0] == '#'; /* two lines */
    }
    expect_no_series_twice(lines, count);
    free(all);
}

/* The value of a series, written as on the page; -1: there is none. */
static double
series(const char *body, const char *name)
{
    size_t length = strlen(name);

    for (const char *p = body; p != NULL && *p != '\0'; p = strchr(p, '\n'), p += p != NULL) {
        if (strncmp(p, name, length) == 0 && p[length] == ' ')
            return strtod(p + length, NULL);
    }
    return -1;
}

START_TEST(both_formats_are_what_they_should_be)
{
    start(3);
    for (int i = 0; i < 20; i++) {
        char page[1024];

        ck_assert_int_eq(daemon_get(&d, "/hello", page, sizeof(page)), 200);
    }
    const char *body = get("/metrics", NULL);
    expect_format(body, 0);
    ck_assert(series(body, "reeve_connections_accepts_total") == 21);
    ck_assert(series(body, "reeve_workers{state=\"ready\"}") == 3);
    ck_assert(series(body, "reeve_http_request_duration_seconds_count") >= 1);
    ck_assert(series(body, "reeve_http_request_duration_seconds_sum") > 0);
    ck_assert(series(body, "process_start_time_seconds") >= (double) time(NULL) - 600);
    ck_assert(series(body, "reeve_zone_size_bytes{zone=\"stats\"}") > 4096);

    body = get("/metrics", OPENMETRICS);
    expect_format(body, 1);
    ck_assert(series(body, "reeve_connections_accepts_total") == 22);
}
END_TEST

START_TEST(accept_chooses_the_format)
{
    static const struct {
        const char *accept;
        int openmetrics;
    } cases[] = {
        { NULL, 0 },
        { "", 0 },
        { "*/*", 0 },
        { "text/plain", 0 },
        { "text/*", 0 },
        { "application/json", 0 },
        { "application/*", 0 },
        { OPENMETRICS, 1 },
        { "Application/OpenMetrics-Text", 1 },
        { OPENMETRICS "; version=1.0.0; charset=utf-8", 1 },
        { OPENMETRICS "2", 0 },
        { OPENMETRICS ";q=0", 0 },
        { OPENMETRICS ";q=0.000, */*", 0 },
        { OPENMETRICS "; q=0.5, text/plain; q=0.9", 0 },
        { OPENMETRICS ";version=1.0.0;q=0.9,text/plain;q=0.5", 1 },
        { "text/plain;version=0.0.4;q=0.5," OPENMETRICS ";q=0.6", 1 },
        { "text/plain;q=0.3 ,\t" OPENMETRICS ";Q=0.3", 1 },
        { OPENMETRICS ";q=0.5, text/*;q=0.8, */*;q=0.1", 0 },
        { OPENMETRICS ";version=1.0.0," OPENMETRICS
                      ";version=0.0.1;q=0.75,text/plain;version=0.0.4;q=0.5,*/*;q=0.1",
            1 },
        { ",,;;q=,", 0 },
        { "q=1;" OPENMETRICS, 0 },
        { ";", 0 },
        { "\"", 0 },
    };
    char type[128], vary[64];

    start(1);
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        const char *body = get("/metrics", cases[i].accept);

        ck_assert_ptr_nonnull(http_field(text, "Content-Type", type, sizeof(type)));
        ck_assert_msg(strcmp(type,
                          cases[i].openmetrics ? OPENMETRICS "; version=1.0.0; charset=utf-8"
                                               : "text/plain; version=0.0.4; charset=utf-8")
                == 0,
            "Accept: %s\nContent-Type: %s", cases[i].accept, type);
        ck_assert_ptr_nonnull(http_field(text, "Vary", vary, sizeof(vary)));
        ck_assert_str_eq(vary, "Accept");
        expect_format(body, cases[i].openmetrics);
    }
}
END_TEST

/* --- what is on it -------------------------------------------------------------------- */

static int
has_pid(const char *body, pid_t pid)
{
    char number[32];

    snprintf(number, sizeof(number), "\"%ld\"", (long) pid);
    return strstr(body, number) != NULL;
}

START_TEST(a_worker_has_one_series_also_while_another_drains)
{
    char name[96];
    pid_t pids[8];

    start(2);
    int fd = http_open(&d, "GET /hello HTTP/1.1\r\n");
    while (series(get("/metrics", NULL), "reeve_connections_reading") < 1)
        continue;
    configure(3);
    ck_assert_int_eq(kill(d.master, SIGHUP), 0);
    daemon_wait_log(&d, "reload done", 1);

    const char *body = get("/metrics", NULL);
    while (series(body, "reeve_workers{state=\"draining\"}") != 1)
        body = get("/metrics", NULL);
    expect_format(body, 0);
    ck_assert(series(body, "reeve_workers{state=\"ready\"}") == 3);
    ck_assert(series(body, "reeve_generation") == 2);
    ck_assert(series(body, "reeve_connections_reading") == 1);
    ck_assert(series(body, "reeve_master_reloads_total{result=\"done\"}") == 1);
    for (int i = 0; i < 3; i++) { /* the new ones read nothing */
        snprintf(name, sizeof(name), "reeve_worker_connections_reading{worker=\"%d\"}", i);
        ck_assert(series(body, name) == 0);
    }
    ck_assert(series(body, "reeve_worker_connections_reading{worker=\"3\"}") == -1);
    int n = daemon_children(d.master, pids, 8);
    for (int i = 0; i < n; i++)
        ck_assert(!has_pid(body, pids[i]));
    close(fd);
}
END_TEST

START_TEST(restarts_are_told_by_their_reason_and_worker)
{
    start(1);
    pid_t first = daemon_worker(&d);
    ck_assert_int_eq(kill(first, SIGKILL), 0);
    daemon_wait_log(&d, "worker 0 started", 2);
    const char *body = get("/metrics", NULL);
    ck_assert(series(body, "reeve_workers_restarts_total{reason=\"signal\"}") == 1);
    ck_assert(series(body, "reeve_workers_restarts_total{reason=\"exit\"}") == 0);
    ck_assert(series(body, "reeve_worker_restarts_total{worker=\"0\"}") == 1);
    ck_assert(series(body, "reeve_last_reload_successful") == 1);
}
END_TEST

static int
has_reload_failed(daemon_t *unused, void *data)
{
    (void) unused;
    (void) data;
    const char *body = get("/metrics", NULL);
    return series(body, "reeve_last_reload_successful") == 0
        && series(body, "reeve_master_reloads_total{result=\"failed\"}") == 1;
}

START_TEST(failed_reload_is_seen)
{
    start(1);
    daemon_conff(&d, "nonsense\n");
    ck_assert_int_eq(kill(d.master, SIGHUP), 0);
    daemon_wait(&d, has_reload_failed, NULL, "the failed reload is on the page");
}
END_TEST

/* A module declares a counter, and it is everywhere. */
START_TEST(counters_of_modules_appear)
{
    int port = daemon_free_port();
    char echo[64];

    daemon_conff(&d,
        "[main]\nworker_processes = 1\npid = logs/reeve.pid\n[zone stats]\ntype = %s\n"
        "[http]\nlisten = 127.0.0.1:%d\n%s[echo]\nlisten = 127.0.0.1:%d\n",
        look_type(), d.port, PAGES, port);
    daemon_start(&d);
    int fd = daemon_connect_port(port);
    ck_assert_int_ne(fd, -1);
    http_send(fd, "twelve bytes");
    ck_assert_int_eq(recv(fd, echo, 12, MSG_WAITALL), 12);

    const char *body = get("/metrics", NULL);
    ck_assert(series(body, "reeve_echo_bytes_total") == 12);
    ck_assert(series(body, "reeve_worker_echo_bytes_total{worker=\"0\"}") == 12);
    ck_assert(json_number(get("/status", NULL), "totals/echo/bytes") == 12);
    ck_assert_int_eq(daemon_run(&d, "status", NULL), 0);
    daemon_expect_output(&d, "\n  echo bytes                           12\n");
    close(fd);
}
END_TEST

/* --- others ------------------------------------------------------------------------------ */

START_TEST(promtool_has_nothing_to_say)
{
    const char *ci = getenv("CI");
    char line[512];

    if (system("command -v promtool > /dev/null 2>&1") != 0) {
        ck_assert_msg(ci == NULL || strcmp(ci, "true") != 0, "promtool is not installed");
        return;
    }
    start(2);
    for (int i = 0; i < 2; i++) { /* the second time with more to tell */
        const char *body = get("/metrics", NULL);

        daemon_write(daemon_path(&d, "page"), body, strlen(body));
        snprintf(line, sizeof(line), "promtool check metrics < '%s' > '%s' 2>&1",
            daemon_path(&d, "page"), daemon_path(&d, "said"));
        int status = system(line);
        char *said = daemon_read(daemon_path(&d, "said"));
        ck_assert_str_eq(said, "");
        ck_assert_int_eq(status, 0);
        free(said);
        daemon_reload(&d);
    }
}
END_TEST

/* The same names and strings in the same order; numbers go on by themselves. */
static void
expect_same_structure(const char *a, const char *b)
{
    static const char other[] = "{}[],:";

    for (;;) {
        a += strcspn(a, "{}[],:\"");
        b += strcspn(b, "{}[],:\"");
        ck_assert_msg(*a == *b, "they differ at:\n%.80s\n%.80s", a, b);
        if (*a == '\0')
            return;
        if (strchr(other, *a) == NULL) {
            size_t length = strcspn(a + 1, "\"");

            ck_assert_msg(strncmp(a, b, length + 2) == 0, "they differ at:\n%.80s\n%.80s", a, b);
            a += length + 1;
            b += length + 1;
        }
        a++;
        b++;
    }
}

START_TEST(status_page_is_what_the_command_prints)
{
    start(2);
    const char *body = get("/status", NULL);
    char type[64];

    ck_assert_ptr_nonnull(http_field(text, "Content-Type", type, sizeof(type)));
    ck_assert_str_eq(type, "application/json");
    ck_assert_ptr_null(json_check(body));
    ck_assert(json_number(body, "totals/connections/writing") == 1);
    ck_assert_int_eq(daemon_run(&d, "status", "-j", NULL), 0);
    ck_assert_ptr_null(json_check(d.output));
    expect_same_structure(body, d.output);
}
END_TEST

int
main(void)
{
    Suite *s = suite_create("metrics");
    TCase *tc = daemon_case(s, "metrics");

    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_add_test(tc, both_formats_are_what_they_should_be);
    tcase_add_test(tc, accept_chooses_the_format);
    tcase_add_test(tc, a_worker_has_one_series_also_while_another_drains);
    tcase_add_test(tc, restarts_are_told_by_their_reason_and_worker);
    tcase_add_test(tc, failed_reload_is_seen);
    tcase_add_test(tc, counters_of_modules_appear);
    tcase_add_test(tc, promtool_has_nothing_to_say);
    tcase_add_test(tc, status_page_is_what_the_command_prints);
    return daemon_main(s);
}
