/*
 * test_zone_lock: a worker that is killed while it holds a zone's lock.
 *
 * No module that ships takes such a lock, so this program is a reeve of its
 * own, with one module more: run under the name "reeve" it is that, else the
 * tests. The module's zone holds a value in two halves. A GET of its location
 * under /die changes one half and is killed; under /value, it adds to the value and
 * says what it found. The repair fails where there is a file PREFIX/broken.
 */
#include "rv_module.h"

/* In front of Check, whose macros have common names. */
#define main reeve_main
int reeve_main(int argc, char **argv);
#include "rv_main.c" /* NOLINT(bugprone-suspicious-include) */
#undef main

#include "rv_conf_set.h"
#include "rv_http_parse.h"
#include "rv_http_reply.h"
#include "rv_http_request.h"
#include "rv_zone_add.h"

#include "json.h"
#include "test_http.h"

#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <sys/stat.h>

/* --- the module ----------------------------------------------------------------------- */

typedef struct {
    int a, b; /* equal, unless somebody died between the two */
} value_t;

typedef struct {
    int zone; /* whether there is one */
} keeper_t;

static const rv_directive_t directives[] = {
    { "zone", rv_conf_set_flag, offsetof(keeper_t, zone), "on", "for tests", NULL, 0 },
    { .name = NULL },
};
static const rv_conf_section_t section = { "keeper", NULL, sizeof(keeper_t), directives, NULL };
static const rv_conf_section_t *const sections[] = { &section, NULL };

static char broken[PATH_MAX], repairs[PATH_MAX];
static rv_zone_t *kept; /* of this worker's generation */

static value_t *
content(const rv_zone_t *zone)
{
    size_t room;

    return rv_zone_content(zone, &room);
}

static int
init_zone(rv_zone_t *zone, rv_zone_t *old, void *data)
{
    value_t *value = rv_zone_alloc(zone, sizeof(*value));

    (void) data;
    if (value == NULL)
        return RV_ERROR;
    if (old != NULL)
        *value = *content(old);
    return RV_OK;
}

/* Each call adds a byte to a file. */
static int
repair_zone(rv_zone_t *zone, void *data)
{
    value_t *value = content(zone);
    int fd = open(repairs, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0666);

    (void) data;
    if (fd == -1 || write(fd, "r", 1) != 1 || close(fd) != 0)
        abort();
    if (access(broken, F_OK) == 0)
        return RV_ERROR;
    value->b = value->a;
    return RV_OK;
}

static int
configure(rv_cycle_t *cycle, rv_conf_t *cf)
{
    static const rv_zone_calls_t calls = { .init = init_zone, .repair = repair_zone };
    const keeper_t *conf = rv_conf_get(cf, "keeper", NULL);

    snprintf(broken, sizeof(broken), "%sbroken", cycle->options->prefix);
    snprintf(repairs, sizeof(repairs), "%slogs/repairs", cycle->options->prefix);
    if (!conf->zone)
        return RV_OK;
    return rv_zone_add(cycle, "kept", sizeof(value_t), "keeper", &calls, NULL);
}

static int
init_worker(rv_worker_t *w)
{
    kept = rv_cycle_find_zone(w->cycle, "kept");
    return RV_OK;
}

static void
answer(rv_http_request_t *r, const rv_http_location_t *location)
{
    char text[128];
    int n, result = rv_zone_lock(kept);
    value_t *value = content(kept);

    (void) location;
    if (strcmp(r->parser.path, "/die") == 0) {
        value->a++;
        raise(SIGKILL);
    }
    if (result != RV_ERROR) {
        value->a++;
        value->b++;
    }
    n = snprintf(text, sizeof(text), "lock %d, value %d %d", result, value->a, value->b);
    if (result != RV_ERROR)
        rv_zone_unlock(kept);
    rv_http_reply(r, 200, "text/plain", text, (size_t) n, NULL);
}

static const rv_http_handler_t handler = {
    .name = "keeper", .methods = RV_HTTP_GET, .answer = answer
};

/* What repair_zone does, and a sandbox would not allow. */
static const char *const syscalls[] = { "open", "openat", NULL };

static const rv_module_t keeper = { .name = "keeper",
    .sections = sections,
    .http_handler = &handler,
    .configure = configure,
    .init_worker = init_worker,
    .syscalls = syscalls };

extern const rv_module_t rv_core_module;
extern const rv_module_t rv_http_module;
extern const rv_module_t rv_status_module;
extern const rv_module_t rv_return_module;

/* In the place of the one that configure wrote. */
const rv_module_t *const rv_modules[] = { &rv_core_module, &rv_http_module, &rv_status_module,
    &rv_return_module, &keeper, NULL };

/* --- tests ------------------------------------------------------------------------------- */

static daemon_t d;

static void
setup(void)
{
    daemon_setup(&d);
    if (geteuid() == 0) /* workers are nobody */
        ck_assert_int_eq(chmod(daemon_path(&d, "logs"), 0777), 0);
}

static void
teardown(void)
{
    daemon_teardown(&d);
}

static void
write_conf(int workers, const char *more)
{
    daemon_conff(&d,
        "[main]\nworker_processes = %d\nerror_log = logs/error.log info\npid = logs/reeve.pid\n"
        "[http]\nlisten = 127.0.0.1:%d\n%s"
        "[location /value]\nhandler = keeper\n[location /die]\nhandler = keeper\n"
        "[location /status]\nhandler = status\n[location /hello]\nhandler = return\n"
        "return = 200 hello\n",
        workers, d.port, more);
}

static void
expect_value(const char *wanted)
{
    char text[256];

    ck_assert_int_eq(daemon_get(&d, "/value", text, sizeof(text)), 200);
    ck_assert_str_eq(text, wanted);
}

static void
kill_holder(void)
{
    char text[256];

    ck_assert_int_eq(daemon_get(&d, "/die", text, sizeof(text)), 0);
}

static int
repair_count(void)
{
    char *text = daemon_read(daemon_path(&d, "logs/repairs"));
    int count = text == NULL ? 0 : (int) strlen(text);

    free(text);
    return count;
}

/* The number that the status page has of the zone "kept". */
static int
of_zone(const char *name)
{
    static char text[64 * 1024];
    char path[64];

    ck_assert_int_eq(daemon_get(&d, "/status", text, sizeof(text)), 200);
    ck_assert_ptr_null(json_check(text));
    for (int i = 0; i < json_count(text, "zones"); i++) {
        snprintf(path, sizeof(path), "zones/%d/name", i);
        if (!json_is(text, path, "kept"))
            continue;
        snprintf(path, sizeof(path), "zones/%d/%s", i, name);
        return (int) json_number(text, path);
    }
    ck_abort_msg("no zone \"kept\" in:\n%s", text);
}

/* `values`: of the status page's totals. */
static int
of_totals(const char *name)
{
    static char text[64 * 1024];
    char path[64];

    ck_assert_int_eq(daemon_get(&d, "/status", text, sizeof(text)), 200);
    snprintf(path, sizeof(path), "totals/zones/%s", name);
    return (int) json_number(text, path);
}

static const char repaired[] = "[warn]";
static const char rebuilt[] = "zone \"kept\" was made anew, what it held is lost";

START_TEST(the_master_has_the_zone_repaired_once)
{
    write_conf(2, "");
    daemon_start(&d);
    expect_value("lock 0, value 1 1");
    kill_holder();
    daemon_wait_log(&d, "zone \"kept\" was repaired: ", 1);
    ck_assert_int_eq(daemon_log_count(&d, repaired), 1);
    ck_assert_int_eq(repair_count(), 1);
    expect_value("lock 0, value 3 3");
    expect_value("lock 0, value 4 4");
    ck_assert_int_eq(repair_count(), 1);
    ck_assert_int_eq(of_zone("recoveries"), 1);
    ck_assert_int_eq(of_zone("generation"), 1);
    ck_assert_int_eq(of_totals("recoveries"), 1);
    ck_assert_int_eq(of_totals("rebuilds"), 0);
}
END_TEST

/* The master stands still: the next one to take the lock repairs. */
START_TEST(the_next_holder_has_it_repaired_once)
{
    write_conf(2, "");
    daemon_start(&d);
    ck_assert_int_eq(kill(d.master, SIGSTOP), 0);
    kill_holder();
    expect_value("lock 2, value 2 2");
    ck_assert_int_eq(repair_count(), 1);
    expect_value("lock 0, value 3 3");
    ck_assert_int_eq(kill(d.master, SIGCONT), 0);
    daemon_wait_log(&d, " started, pid ", 3);
    expect_value("lock 0, value 4 4");
    ck_assert_int_eq(repair_count(), 1);
    ck_assert_int_eq(of_zone("recoveries"), 1);
}
END_TEST

START_TEST(a_zone_beyond_repair_is_made_anew)
{
    write_conf(2, "");
    daemon_start(&d);
    expect_value("lock 0, value 1 1");
    daemon_write(daemon_path(&d, "broken"), "", 0);
    kill_holder();
    daemon_wait_log(&d, rebuilt, 1);
    ck_assert_int_eq(daemon_log_count(&d, "[error]"), 2); /* and the death */
    ck_assert_int_eq(repair_count(), 1);
    expect_value("lock 0, value 1 1");
    ck_assert_int_eq(of_zone("generation"), 2);
    ck_assert_int_eq(of_totals("rebuilds"), 1);
    ck_assert_int_eq(unlink(daemon_path(&d, "broken")), 0);

    kill_holder();
    daemon_wait_log(&d, "zone \"kept\" was repaired: ", 1);
    expect_value("lock 0, value 3 3");
    ck_assert_int_eq(of_zone("generation"), 2);
}
END_TEST

/* A connection of an old worker, which is told to die after the reload. */
static void
die_while_draining(const char *more)
{
    write_conf(1, "");
    daemon_start(&d);
    expect_value("lock 0, value 1 1");
    int fd = http_open(&d, "GET /die HTTP/1.1\r\nHost: x\r\n");
    expect_value("lock 0, value 2 2"); /* so that one has been accepted */
    write_conf(1, more);
    ck_assert_int_eq(kill(d.master, SIGHUP), 0);
    daemon_wait_log(&d, "reload done", 1);

    char text[256];
    http_send(fd, "\r\n");
    ck_assert_int_eq(daemon_answer(fd, text, sizeof(text), 0), 0);
    close(fd);
    daemon_wait_log(&d, "generation 1 is gone", 1);
    ck_assert_int_eq(daemon_log_count(&d, "zone \"kept\" was repaired: "), 1);
    ck_assert_int_eq(daemon_log_count(&d, repaired), 1);
    ck_assert_int_eq(repair_count(), 1);
    ck_assert_int_eq(of_totals("recoveries"), 1);
}

START_TEST(zone_of_a_draining_generation_is_looked_after)
{
    die_while_draining("[zone kept]\nsize = 64k\n"); /* new memory */
    expect_value("lock 0, value 3 3");
}
END_TEST

START_TEST(zone_that_two_generations_share_is_looked_after)
{
    die_while_draining("");
    expect_value("lock 0, value 4 4");
}
END_TEST

START_TEST(zone_that_a_reload_removed_is_looked_after)
{
    char text[256];

    die_while_draining("[keeper]\nzone = off\n");
    ck_assert_int_eq(daemon_get(&d, "/hello", text, sizeof(text)), 200);
}
END_TEST

int
main(int argc, char **argv)
{
    char path[PATH_MAX];

    if (strcmp(argv[0], "reeve") == 0)
        return reeve_main(argc, argv);

    ssize_t n = readlink("/proc/self/exe", path, sizeof(path) - 1);
    if (n <= 0)
        return EXIT_FAILURE;
    path[n] = '\0';
    setenv("RV_BINARY", path, 1);

    Suite *s = suite_create("zone_lock");
    TCase *tc = daemon_case(s, "zone_lock");

    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_add_test(tc, the_master_has_the_zone_repaired_once);
    tcase_add_test(tc, the_next_holder_has_it_repaired_once);
    tcase_add_test(tc, a_zone_beyond_repair_is_made_anew);
    tcase_add_test(tc, zone_of_a_draining_generation_is_looked_after);
    tcase_add_test(tc, zone_that_two_generations_share_is_looked_after);
    tcase_add_test(tc, zone_that_a_reload_removed_is_looked_after);
    return daemon_main(s);
}
