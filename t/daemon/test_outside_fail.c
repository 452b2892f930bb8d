/*
 * test_outside_fail: `reeve status` when things are not as they should be.
 */
#include "json.h"
#include "look.h"
#include "test_http.h"

#include "rv_lock.h"
#include "rv_shm.h"
#include "rv_stats_layout.h"
#include "rv_zone_layout.h"

#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>

static daemon_t d;

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
start(int workers, const char *zone)
{
    daemon_conff(&d,
        "[main]\nworker_processes = %d\nerror_log = logs/error.log info\npid = logs/reeve.pid\n"
        "[zone stats]\ntype = %s\n%s",
        workers, zone, DAEMON_HTTP);
    daemon_start(&d);
}

static void
ask(int times)
{
    char text[1024];

    for (int i = 0; i < times; i++)
        ck_assert_int_eq(daemon_get(&d, "/hello", text, sizeof(text)), 200);
}

static const char *
status_json(void)
{
    ck_assert_msg(daemon_run(&d, "status", "-j", NULL) == 0, "%s", d.output);
    const char *wrong = json_check(d.output);
    ck_assert_msg(wrong == NULL, "not JSON from here on:\n%s", wrong);
    return d.output;
}

static void
expect_failure(const char *message)
{
    static const char *const forms[] = { NULL, "-j", "-s" };

    for (size_t i = 0; i < 3; i++) {
        int status =
            i == 0 ? daemon_run(&d, "status", NULL) : daemon_run(&d, "status", forms[i], NULL);

        ck_assert_msg(status == 1, "exit status %d\n%s", status, d.output);
        daemon_expect_output(&d, message);
        ck_assert_msg(strncmp(d.output, "reeve: [emerg] ", 15) == 0, "%s", d.output);
        ck_assert_msg(strchr(d.output, '\n') == d.output + strlen(d.output) - 1,
            "more than one line:\n%s", d.output);
    }
}

/* --- processes that do not run --------------------------------------------------------- */

/* The zone's memory, to be written to; *size is its size. */
static rv_zone_header_t *
map_zone(size_t *size)
{
    char path[512];
    struct dirent *entry;
    rv_zone_header_t *found = NULL;

    snprintf(path, sizeof(path), "/proc/%ld/fd", (long) d.master);
    DIR *dir = opendir(path);
    ck_assert_ptr_nonnull(dir);
    while (found == NULL && (entry = readdir(dir)) != NULL) {
        struct stat st;

        snprintf(path, sizeof(path), "/proc/%ld/fd/%s", (long) d.master, entry->d_name);
        if (stat(path, &st) == -1 || !S_ISREG(st.st_mode) || st.st_size < (1 << 20))
            continue;
        int fd = open(path, O_RDWR | O_CLOEXEC);
        ck_assert_int_ne(fd, -1);
        *size = (size_t) st.st_size;
        found = mmap(NULL, *size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
        ck_assert_ptr_ne(found, MAP_FAILED);
        ck_assert_uint_eq(found->magic, RV_ZONE_LAYOUT_MAGIC);
        close(fd);
    }
    closedir(dir);
    ck_assert_ptr_nonnull(found);
    return found;
}

static int
are_stopped(daemon_t *unused, void *data)
{
    const pid_t *pids = data;
    char state[32];

    (void) unused;
    for (int i = 0; pids[i] != 0; i++) {
        if (daemon_proc_status(pids[i], "State", state, sizeof(state))[0] != 'T')
            return 0;
    }
    return 1;
}

static void
signal_all(pid_t *pids, int number)
{
    for (int i = 0; pids[i] != 0; i++)
        ck_assert_int_eq(kill(pids[i], number), 0);
    if (number == SIGSTOP)
        daemon_wait(&d, are_stopped, pids, "all processes are stopped");
}

/* Takes every lock that there is, so that whoever wants one would wait for ever. */
START_TEST(status_waits_for_nobody_and_writes_nothing)
{
    static const char *const forms[] = { "-j", "-s" };
    pid_t pids[8] = { 0 };
    size_t size;
    look_t look;

    start(3, look_type());
    ask(5);
    look_open(&d, &look);
    look_wait_connections(&d, &look, 0);
    look_close(&look);
    ck_assert_int_eq(daemon_children(d.master, pids, 4), 3);
    pids[3] = d.master;
    signal_all(pids, SIGSTOP);

    rv_zone_header_t *zone = map_zone(&size);
    rv_stats_layout_t *stats =
        (rv_stats_layout_t *) ((char *) zone + rv_zone_layout_align(sizeof(*zone)));
    ck_assert_int_eq(rv_lock_acquire(&zone->lock, NULL, NULL), RV_OK);
    ck_assert_int_eq(rv_lock_acquire(&stats->lock, NULL, NULL), RV_OK);
    char *before = malloc(size);
    ck_assert_ptr_nonnull(before);
    memcpy(before, zone, size);

    for (size_t i = 0; i < 2; i++)
        ck_assert_int_eq(daemon_run(&d, "status", forms[i], NULL), 0);
    ck_assert_int_eq(daemon_run(&d, "status", NULL), 0);
    ck_assert(json_number(status_json(), "totals/http/requests") == 5);
    ck_assert_int_eq(memcmp(before, zone, size), 0);

    free(before);
    rv_lock_release(&stats->lock);
    rv_lock_release(&zone->lock);
    ck_assert_int_eq(munmap(zone, size), 0);
    signal_all(pids, SIGCONT);
    ask(1);
}
END_TEST

typedef struct {
    const char *path;
    double least, most;
} age_t;

static int
has_age(daemon_t *unused, void *data)
{
    const age_t *age = data;
    const char *text = status_json();

    (void) unused;
    if (strncmp(json_at(text, age->path), "null", 4) == 0)
        return 0; /* none yet */
    double now = json_number(text, age->path);
    return now >= age->least && now <= age->most;
}

START_TEST(heartbeat_of_a_stopped_process_grows_old)
{
    static age_t old[] = { { "workers/0/heartbeat_age", 3.5, 1000 },
        { "master/heartbeat_age", 3.5, 1000 } };
    static age_t young[] = { { "workers/0/heartbeat_age", 0, 1.5 },
        { "master/heartbeat_age", 0, 1.5 } };
    pid_t pids[4] = { 0 };

    start(1, look_type());
    daemon_wait(&d, has_age, &young[1], "the master has a heartbeat");
    ck_assert_int_eq(daemon_children(d.master, pids, 4), 1);
    pids[1] = d.master;
    signal_all(pids, SIGSTOP);
    for (int i = 0; i < 2; i++)
        daemon_wait(&d, has_age, &old[i], "the heartbeat is old");
    signal_all(pids, SIGCONT);
    for (int i = 0; i < 2; i++)
        daemon_wait(&d, has_age, &young[i], "the heartbeat is young again");
}
END_TEST

START_TEST(not_running_is_said)
{
    pid_t pids[4];

    daemon_conf(&d, DAEMON_CONF);
    expect_failure("not running: no process holds \"");
    start(2, "file\npath = logs/stats.zone");
    ck_assert_int_eq(daemon_run(&d, "status", NULL), 0);
    ck_assert_int_eq(daemon_children(d.master, pids, 4), 2);
    ck_assert_int_eq(kill(d.master, SIGKILL), 0);
    daemon_wait_gone(&d);
    for (int i = 0; i < 2; i++)
        ck_assert_int_eq(daemon_wait_process(&d, pids[i]), 0);
    ck_assert_int_eq(access(d.pid, F_OK), 0);
    expect_failure("not running: no process holds \"");
    start(2, look_type()); /* replaces what the killed one has left */
}
END_TEST

/* --- memory that cannot be seen --------------------------------------------------------- */

START_TEST(memory_of_each_type_is_shown_or_it_is_said_why_not)
{
    static const struct {
        const char *type, *more;
        int outside;
    } types[] = { { "anon", "", 0 }, { "devzero", "", 0 }, { "sysv", "", 0 }, { "memfd", "", 1 },
        { "posix", "", 1 }, { "file", "\npath = logs/stats.zone", 1 } };
    char text[256];

    if (rv_shm_type(types[_i].type) == NULL)
        return; /* not in this build */
    snprintf(text, sizeof(text), "%s%s", types[_i].type, types[_i].more);
    start(1, text);
    ask(2);
    if (types[_i].outside) {
        ck_assert(json_number(status_json(), "totals/connections/accepts") == 2);
        ck_assert(json_is(d.output, "zones/0/type", types[_i].type));
        return;
    }
    snprintf(text, sizeof(text), "zone \"stats\" of process %ld cannot be mapped from outside",
        (long) d.master);
    expect_failure(text);
    daemon_expect_output(&d, "; \"type = memfd\" (or posix, or file) in [zone stats] and a reload");
}
END_TEST

/* The advice of that message. */
START_TEST(reload_makes_memory_visible)
{
    if (rv_shm_type("anon") == NULL)
        return;
    start(1, "anon");
    ask(2);
    ck_assert_int_eq(daemon_run(&d, "status", NULL), 1);
    daemon_conff(&d,
        "[main]\nworker_processes = 1\npid = logs/reeve.pid\nerror_log = logs/error.log info\n"
        "[zone stats]\ntype = %s\n%s",
        look_type(), DAEMON_HTTP);
    daemon_reload(&d);
    ck_assert(json_number(status_json(), "totals/connections/accepts") == 2);
}
END_TEST

/* --- rights ------------------------------------------------------------------------------ */

START_TEST(somebody_else_is_told_that_it_takes_the_owner_s_rights)
{
    char text[128];

    if (geteuid() != 0)
        return;
    start(1, look_type());
    d.unprivileged = 1;
    snprintf(text, sizeof(text),
        "looking at the descriptors of process %ld failed, it takes the rights of its owner (13: ",
        (long) d.master);
    expect_failure(text);
    d.unprivileged = 0;
}
END_TEST

START_TEST(owner_needs_no_other_rights)
{
    if (geteuid() == 0)
        ck_assert_int_eq(chmod(daemon_path(&d, "logs"), 0777), 0);
    d.unprivileged = 1;
    start(1, look_type());
    ask(2);
    ck_assert(json_number(status_json(), "totals/connections/accepts") == 2);
}
END_TEST

/* --- the command ---------------------------------------------------------------------------- */

START_TEST(broken_configuration_does_not_matter)
{
    start(1, look_type());
    ask(2);
    daemon_conff(&d,
        "[main]\npid = logs/reeve.pid\nworker_proceses = 3\nerror_log = \n[nowhere]\nx = y\n"
        "[http]\nlisten = a:b:c\n");
    ck_assert_int_eq(daemon_run(&d, "-t", NULL), 1);
    ck_assert(json_number(status_json(), "totals/connections/accepts") == 2);
}
END_TEST

START_TEST(prefix_and_file_are_found_before_and_behind_the_word)
{
    start(1, look_type());
    ck_assert_int_eq(
        daemon_run_bare(&d, "-p", d.prefix, "-c", "reeve.conf", "status", "-s", NULL), 0);
    daemon_expect_output(&d, "Active connections: 0 \n");
    ck_assert_int_eq(daemon_run_bare(&d, "status", "-s", "-c", d.conf, "-p", d.prefix, NULL), 0);
    daemon_expect_output(&d, "Active connections: 0 \n");
    ck_assert_int_eq(daemon_run_bare(&d, "status", "-p", d.prefix, "-c", "other.conf", "-g",
                         "pid = logs/other.pid", NULL),
        1);
    daemon_expect_output(&d, "logs/other.pid\"\n");
    ck_assert_int_eq(daemon_run(&d, "status", "now", NULL), 1);
    daemon_expect_output(&d, "invalid argument: \"now\"");
    ck_assert_int_eq(daemon_run(&d, "status", "-x", NULL), 1);
    daemon_expect_output(&d, "invalid option: \"-x\"");
}
END_TEST

START_TEST(full_disk_is_a_failure)
{
    static const char *const forms[] = { "", "-j", "-s" };
    char line[1024];

    start(1, look_type());
    for (size_t i = 0; i < 3; i++) {
        snprintf(line, sizeof(line),
            "exec \"$RV_BINARY\" status -p '%s' -c '%s' %s > /dev/full 2> '%s'", d.prefix, d.conf,
            forms[i], daemon_path(&d, "told"));
        int status = system(line);
        ck_assert_msg(WIFEXITED(status) && WEXITSTATUS(status) == 1, "status -> %d", status);
        char *told = daemon_read(daemon_path(&d, "told"));
        ck_assert_str_eq(
            told, "reeve: [emerg] printing the status failed (28: No space left on device)\n");
        free(told);
    }
}
END_TEST

int
main(void)
{
    Suite *s = suite_create("outside_fail");
    TCase *tc = daemon_case(s, "outside_fail");

    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_add_test(tc, status_waits_for_nobody_and_writes_nothing);
    tcase_add_test(tc, heartbeat_of_a_stopped_process_grows_old);
    tcase_add_test(tc, not_running_is_said);
    tcase_add_loop_test(tc, memory_of_each_type_is_shown_or_it_is_said_why_not, 0, 6);
    tcase_add_test(tc, reload_makes_memory_visible);
    tcase_add_test(tc, somebody_else_is_told_that_it_takes_the_owner_s_rights);
    tcase_add_test(tc, owner_needs_no_other_rights);
    tcase_add_test(tc, broken_configuration_does_not_matter);
    tcase_add_test(tc, prefix_and_file_are_found_before_and_behind_the_word);
    tcase_add_test(tc, full_disk_is_a_failure);
    return daemon_main(s);
}
