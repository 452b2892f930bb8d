/*
 * rv_cycle: generations beside each other, in a temporary prefix.
 *
 * A generation is a configuration as text. What it leaves behind is counted:
 * descriptors of this process, files of the prefix.
 */
#include "rv_cycle.h"

#include "descriptors.h"
#include "rv_log_output.h"
#include "rv_stats_fold.h"

#include <check.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

enum { TEXT_SIZE = 1024 };

/* What most of them begin with: two workers, a log, a unix socket. */
#define MAIN "[main]\nworker_processes = 2\nerror_log = logs/error.log\npid = reeve.pid\n"
#define LOCATION "[location /]\nhandler = return\nreturn = 200 ok\n"
#define PLAIN MAIN "[http]\nlisten = unix:a\n" LOCATION
#define FILE_ZONE "[zone stats]\ntype = file\npath = zone\n"

static char prefix[] = "/tmp/rv_test_cycle_XXXXXX/";
static char conf_path[TEXT_SIZE];
static rv_cycle_options_t options;
static char reason[RV_CYCLE_REASON];
static int files;

static int
remove_one(const char *path, RV_UNUSED const struct stat *st, RV_UNUSED int type, struct FTW *at)
{
    return at->level == 0 ? 0 : remove(path);
}

static int
count_one(const char *path, RV_UNUSED const struct stat *st, int type, RV_UNUSED struct FTW *at)
{
    files += type != FTW_D && strstr(path, "/logs/") == NULL;
    return 0;
}

/* Those of the prefix, logs apart: a log may stay to say why. */
static int
count_files(void)
{
    files = 0;
    ck_assert_int_eq(nftw(prefix, count_one, 16, FTW_PHYS), 0);
    return files;
}

static void
setup_run(void)
{
    prefix[sizeof(prefix) - 2] = '\0'; /* mkdtemp wants to end in its X's */
    ck_assert_ptr_nonnull(mkdtemp(prefix));
    prefix[sizeof(prefix) - 2] = '/';
    snprintf(conf_path, sizeof(conf_path), "%sreeve.conf", prefix);
    options = (rv_cycle_options_t){ .prefix = prefix, .conf = conf_path };
}

static void
clear(void)
{
    (void) nftw(prefix, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

static void
teardown_run(void)
{
    clear();
    rmdir(prefix);
}

static const char *
in_prefix(const char *name)
{
    static char path[TEXT_SIZE];

    snprintf(path, sizeof(path), "%s%s", prefix, name);
    return path;
}

static int
exists(const char *name)
{
    struct stat st;

    return lstat(in_prefix(name), &st) == 0;
}

static unsigned
mode(const char *name)
{
    struct stat st;

    ck_assert_int_eq(lstat(in_prefix(name), &st), 0);
    return st.st_mode & 0777;
}

static void
write_conf(const char *text)
{
    FILE *f = fopen(conf_path, "w");

    ck_assert_ptr_nonnull(f);
    ck_assert_int_ge(fputs(text, f), 0);
    ck_assert_int_eq(fclose(f), 0);
}

static rv_cycle_t *
read_cycle(const char *text)
{
    write_conf(text);
    rv_cycle_t *cycle = rv_cycle_read(&options, 1);
    ck_assert_ptr_nonnull(cycle);
    return cycle;
}

static rv_cycle_t *
open_cycle(const char *text, const rv_cycle_t *old)
{
    rv_cycle_t *cycle = read_cycle(text);
    const rv_conf_message_t *message = rv_conf_messages(cycle->conf);

    ck_assert_msg(message == NULL, "%s", message == NULL ? "" : message->text);
    ck_assert_msg(rv_cycle_open(cycle, old, reason) == RV_OK, "%s", reason);
    return cycle;
}

/* It takes the place of `old`, or of none. */
static void
commit(rv_cycle_t *cycle, rv_cycle_t *old)
{
    ck_assert_msg(rv_cycle_listen_all(cycle, reason) == RV_OK, "%s", reason);
    rv_cycle_commit(cycle, old);
    if (old != NULL)
        rv_cycle_close_listeners(old, 1);
}

/* Somebody accepts there. */
static int
is_served(const char *name)
{
    struct sockaddr_un addr = { .sun_family = AF_UNIX };
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);

    snprintf(addr.sun_path, sizeof(addr.sun_path), "%.60s%.40s", prefix, name);
    int result = connect(fd, (struct sockaddr *) &addr, sizeof(addr));
    close(fd);
    return result == 0;
}

static ino_t
socket_of(const rv_cycle_t *cycle)
{
    struct stat st;

    ck_assert_int_eq(fstat(cycle->listeners->listener.fds[0], &st), 0);
    return st.st_ino;
}

/* A free TCP port, to which *fd is bound. */
static unsigned
bind_port(int *fd)
{
    struct sockaddr_in addr = { .sin_family = AF_INET };
    socklen_t length = sizeof(addr);
    int on = 1;

    addr.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    *fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    ck_assert_int_eq(setsockopt(*fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)), 0);
    ck_assert_int_eq(bind(*fd, (struct sockaddr *) &addr, length), 0);
    ck_assert_int_eq(getsockname(*fd, (struct sockaddr *) &addr, &length), 0);
    return ntohs(addr.sin_port);
}

START_TEST(reading_touches_nothing)
{
    static const char *const texts[] = {
        PLAIN FILE_ZONE,
        MAIN "[http]\nlisten = unix:a\nlisten = unix:b mode=0600\n" LOCATION FILE_ZONE,
        MAIN "[http]\nlistn = unix:a\n" LOCATION FILE_ZONE,
        "",
    };
    int before = descriptors_open();

    for (size_t i = 0; i < rv_countof(texts); i++) {
        rv_cycle_free(read_cycle(texts[i]), i % 2 == 0);
        ck_assert_int_eq(count_files(), 1);
        ck_assert_int_eq(descriptors_open(), before);
        ck_assert(!exists("logs"));
    }
}
END_TEST

START_TEST(open_cycle_has_everything_and_leaves_nothing)
{
    int before = descriptors_open();
    rv_cycle_t *cycle = open_cycle(MAIN "[http]\nlisten = unix:a mode=0600\n" LOCATION FILE_ZONE
                                        "[echo]\nlisten = unix:b\n",
        NULL);

    commit(cycle, NULL);
    ck_assert_uint_eq(cycle->core->worker_processes, 2);
    ck_assert_int_eq(cycle->worker[0].slot, -1);
    ck_assert_int_eq(cycle->worker[1].slot, -1);
    ck_assert_ptr_nonnull(cycle->stats);
    ck_assert_ptr_nonnull(rv_cycle_find_zone(cycle, "stats"));
    ck_assert_ptr_null(rv_cycle_find_zone(cycle, "none"));
    ck_assert_str_eq(cycle->listeners->service->name, "http");
    ck_assert_str_eq(cycle->listeners->next->service->name, "echo");
    ck_assert_ptr_null(cycle->listeners->next->next);
    ck_assert(is_served("a") && exists("zone") && exists("logs/error.log"));
    ck_assert_uint_eq(mode("a"), 0600);
    ck_assert_uint_eq(cycle->log.count, 1);

    ck_assert_int_gt(rv_stats_find(cycle->stats, "connections", "accepts"), -1);
    ck_assert_int_gt(rv_stats_find(cycle->stats, "http", "requests"), -1);
    ck_assert_int_gt(rv_stats_find(cycle->stats, "echo", "bytes"), -1);

    rv_cycle_free(cycle, 1);
    ck_assert_int_eq(descriptors_open(), before);
    ck_assert(!exists("a"));
    ck_assert(exists("zone")); /* which is kept on disk */
    ck_assert_int_eq(count_files(), 2);
}
END_TEST

START_TEST(worker_gives_its_copy_up_and_takes_no_name_away)
{
    rv_cycle_t *cycle = open_cycle(PLAIN FILE_ZONE, NULL);

    commit(cycle, NULL);
    pid_t pid = fork();
    int status;

    ck_assert_int_ne(pid, -1);
    if (pid == 0) {
        rv_cycle_free(cycle, 0);
        _exit(0);
    }
    ck_assert_int_eq(waitpid(pid, &status, 0), pid);
    ck_assert_int_eq(status, 0);
    ck_assert(is_served("a") && exists("zone"));
    rv_cycle_free(cycle, 1);
}
END_TEST

#define WITH(listen, zone) MAIN "[http]\nlisten = unix:a mode=0666\n" listen LOCATION zone

/* What cannot be opened: a port somebody has, files that stand in the way. */
static const struct {
    const char *text; /* "PORT" is the port */
    const char *folder;
    const char *file;
    const char *reason; /* a part of it */
} faults[] = {
    { WITH("listen = 127.0.0.1:PORT\n", FILE_ZONE), "x", NULL, "bind() to \"127.0.0.1:" },
    { WITH("listen = unix:b\n", FILE_ZONE), NULL, "b", "b\" failed (98: Address already in use)" },
    { "[main]\nerror_log = d\n[http]\nlisten = unix:a mode=0666\n" LOCATION FILE_ZONE, "d", NULL,
        "d\" failed (21: Is a directory)" },
    { WITH("", "[zone stats]\ntype = file\npath = z\n"), "z", NULL, "\"stats\": opening \"" },
};

/* The text of a faulty configuration, for which *fd has to be open. */
static const char *
make_fault(int i, int *fd)
{
    static char text[TEXT_SIZE];
    const char *port = strstr(faults[i].text, "PORT");

    if (faults[i].folder != NULL)
        ck_assert_int_eq(mkdir(in_prefix(faults[i].folder), 0755), 0);
    if (faults[i].file != NULL)
        close(open(in_prefix(faults[i].file), O_WRONLY | O_CREAT, 0644));

    *fd = -1;
    if (port == NULL)
        return faults[i].text;
    snprintf(text, sizeof(text), "%.*s%u%s", (int) (port - faults[i].text), faults[i].text,
        bind_port(fd), port + 4);
    ck_assert_int_eq(listen(*fd, 1), 0);
    return text;
}

START_TEST(what_cannot_be_opened_leaves_nothing_half_open)
{
    int fd;
    rv_cycle_t *cycle = read_cycle(make_fault(_i, &fd));
    int before = descriptors_open(), had = count_files();

    ck_assert_uint_eq(rv_conf_error_count(cycle->conf), 0);
    ck_assert_int_eq(rv_cycle_open(cycle, NULL, reason), RV_ERROR);
    ck_assert_msg(strstr(reason, faults[_i].reason) != NULL, "%s", reason);
    ck_assert_int_eq(descriptors_open(), before);
    ck_assert_int_eq(count_files(), had);
    ck_assert(!exists("a") && !exists("zone"));
    rv_cycle_free(cycle, 1);
    ck_assert_int_eq(count_files(), had);
    close(fd);
}
END_TEST

START_TEST(reload_that_fails_leaves_the_old_one_as_it_was)
{
    static const char plain[] = MAIN "[http]\nlisten = unix:a mode=0600 backlog=5\n" LOCATION;
    int fd;
    rv_cycle_t *old = open_cycle(plain, NULL);

    commit(old, NULL);
    rv_cycle_t *cycle = read_cycle(make_fault(_i, &fd));
    int before = descriptors_open(), had = count_files();
    ck_assert_int_eq(rv_cycle_open(cycle, old, reason), RV_ERROR);
    ck_assert_int_eq(descriptors_open(), before);
    rv_cycle_free(cycle, 0);

    ck_assert_int_eq(count_files(), had);
    ck_assert_uint_eq(mode("a"), 0600);
    ck_assert(is_served("a"));
    rv_cycle_free(old, 1);
    ck_assert(!exists("a"));
    close(fd);
}
END_TEST

/* Somebody listens at the new port after it was bound, which the kernel allows. */
START_TEST(commit_that_fails_leaves_the_old_one_as_it_was)
{
    char text[TEXT_SIZE];
    int fd;
    unsigned port = bind_port(&fd);
    rv_cycle_t *old = open_cycle(MAIN "[http]\nlisten = unix:a mode=0600\n" LOCATION, NULL);

    commit(old, NULL);
    snprintf(text, sizeof(text), "%slisten = 127.0.0.1:%u\n%s",
        MAIN "[http]\nlisten = unix:a mode=0666\n", port, LOCATION);
    rv_cycle_t *cycle = open_cycle(text, old);
    ck_assert_int_eq(listen(fd, 1), 0);
    ck_assert_int_eq(rv_cycle_listen_all(cycle, reason), RV_ERROR);
    ck_assert_msg(strstr(reason, "listen() to \"127.0.0.1:") != NULL, "%s", reason);
    rv_cycle_free(cycle, 1);
    ck_assert_uint_eq(mode("a"), 0600);
    ck_assert(is_served("a"));
    rv_cycle_free(old, 1);
    close(fd);
}
END_TEST

START_TEST(what_both_have_is_the_same)
{
    int before = descriptors_open();
    rv_cycle_t *old = open_cycle(PLAIN FILE_ZONE, NULL);

    commit(old, NULL);
    int held = descriptors_open() - before;
    rv_cycle_t *cycle = open_cycle(PLAIN FILE_ZONE, old);
    ck_assert_int_eq(descriptors_open(), before + held + 1); /* the duplicate of the socket */
    ck_assert_uint_eq(socket_of(cycle), socket_of(old));
    ck_assert_uint_eq(cycle->log.entry[0].output, old->log.entry[0].output);
    ck_assert_ptr_eq(rv_cycle_find_zone(cycle, "stats"), rv_cycle_find_zone(old, "stats"));
    ck_assert_ptr_eq(cycle->stats, old->stats);

    commit(cycle, old);
    rv_cycle_free(old, 1);
    ck_assert_int_eq(descriptors_open(), before + held);
    ck_assert(is_served("a") && exists("zone"));
    int log = rv_log_output_fd(cycle->log.entry[0].output);
    ck_assert_int_eq(write(log, "still open\n", 11), 11);

    rv_cycle_free(cycle, 1);
    ck_assert_int_eq(descriptors_open(), before);
    ck_assert(!exists("a"));
}
END_TEST

START_TEST(discarded_generation_leaves_no_trace)
{
    static const char other[] =
        MAIN "error_log = logs/other.log\n"
             "[http]\nlisten = unix:a mode=0666\nlisten = unix:b\n" LOCATION FILE_ZONE;
    rv_cycle_t *old = open_cycle(MAIN "[http]\nlisten = unix:a mode=0600\n" LOCATION, NULL);

    commit(old, NULL);
    int before = descriptors_open(), had = count_files();
    rv_cycle_t *cycle = open_cycle(other, old);
    ck_assert(exists("b") && exists("zone.new") && !exists("zone"));
    rv_cycle_free(cycle, 1);

    ck_assert_int_eq(descriptors_open(), before);
    ck_assert(!exists("b"));
    ck_assert(!exists("zone"));
    ck_assert_int_eq(count_files(), had);
    ck_assert_uint_eq(mode("a"), 0600);
    ck_assert(is_served("a"));
    rv_cycle_free(old, 1);
}
END_TEST

START_TEST(what_only_the_old_one_has_goes_at_the_commit)
{
    rv_cycle_t *old =
        open_cycle(MAIN "[http]\nlisten = unix:a mode=0600\nlisten = unix:b\n" LOCATION, NULL);

    commit(old, NULL);
    rv_cycle_t *cycle =
        open_cycle(MAIN "[http]\nlisten = unix:c\nlisten = unix:a mode=0660\n" LOCATION, old);
    ck_assert(is_served("a") && is_served("b"));
    commit(cycle, old);
    ck_assert(is_served("a") && !exists("b") && is_served("c"));
    ck_assert_uint_eq(mode("a"), 0660);

    rv_cycle_free(old, 1); /* whose workers have gone by now */
    ck_assert(is_served("a") && is_served("c"));
    rv_cycle_free(cycle, 1);
    ck_assert(!exists("a") && !exists("c"));
}
END_TEST

START_TEST(counts_go_on_in_a_zone_of_another_size)
{
    const rv_stats_owner_t owner = { .pid = getpid(), .generation = 1 };
    uint64_t values[RV_STATS_CELLS];
    rv_cycle_t *old = open_cycle(PLAIN, NULL);
    int accepts = rv_stats_find(old->stats, "connections", "accepts");
    const rv_stats_change_t change = { (unsigned) accepts, 41 };
    commit(old, NULL);
    int row = rv_stats_claim(old->stats);
    ck_assert_int_ge(row, 0);
    rv_stats_set_owner(old->stats, (unsigned) row, &owner);
    ck_assert_int_eq(rv_stats_own(old->stats, (unsigned) row), RV_OK);
    rv_stats_apply(old->stats, &change, 1);

    rv_cycle_t *cycle = open_cycle(PLAIN "[zone stats]\nsize = 8m\n", old);
    ck_assert_ptr_ne(cycle->stats, old->stats);
    rv_stats_snapshot(cycle->stats, values, RV_STATS_CELLS);
    ck_assert_uint_eq(values[accepts], 41);
    rv_cycle_free(cycle, 1);
    rv_stats_snapshot(old->stats, values, RV_STATS_CELLS);
    ck_assert_uint_eq(values[accepts], 41);
    rv_cycle_free(old, 1);
}
END_TEST

static Suite *
cycle_suite(void)
{
    Suite *suite = suite_create("cycle");
    TCase *tcase = tcase_create("cycle");

    tcase_add_unchecked_fixture(tcase, setup_run, teardown_run);
    tcase_add_checked_fixture(tcase, clear, NULL);
    tcase_set_timeout(tcase, 120);
    tcase_add_test(tcase, reading_touches_nothing);
    tcase_add_test(tcase, open_cycle_has_everything_and_leaves_nothing);
    tcase_add_test(tcase, worker_gives_its_copy_up_and_takes_no_name_away);
    tcase_add_loop_test(
        tcase, what_cannot_be_opened_leaves_nothing_half_open, 0, (int) rv_countof(faults));
    tcase_add_loop_test(
        tcase, reload_that_fails_leaves_the_old_one_as_it_was, 0, (int) rv_countof(faults));
    tcase_add_test(tcase, commit_that_fails_leaves_the_old_one_as_it_was);
    tcase_add_test(tcase, what_both_have_is_the_same);
    tcase_add_test(tcase, discarded_generation_leaves_no_trace);
    tcase_add_test(tcase, what_only_the_old_one_has_goes_at_the_commit);
    tcase_add_test(tcase, counts_go_on_in_a_zone_of_another_size);
    suite_add_tcase(suite, tcase);
    return suite;
}

int
main(void)
{
    SRunner *runner = srunner_create(cycle_suite());

    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
