/*
 * rv_heritage: what one master writes another one reads; whatever else stands there is refused.
 */
#include "rv_heritage.h"
#include "rv_inherit.h"
#include "rv_log_output.h"

#include <arpa/inet.h>
#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

enum { TEXT_SIZE = 1024 };

#define LOCATION "[location /]\nhandler = return\nreturn = 200 ok\n"

/* What a path may hold that a configuration can say: odd bytes, and one that is no UTF-8. */
#define ODD "a'\"\\$%s;\xff=[x].sock"

static char prefix[] = "/tmp/rv_test_heritage_XXXXXX/";
static char conf_path[TEXT_SIZE];
static rv_cycle_options_t options;
static char reason[RV_CYCLE_REASON];
static rv_heritage_t taken;
static rv_cycle_t *cycles[64]; /* they share descriptors, and stay open until the end of a test */
static size_t cycle_count;

static int
remove_one(
    const char *path, RV_UNUSED const struct stat *st, RV_UNUSED int type, RV_UNUSED struct FTW *at)
{
    return remove(path);
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
teardown_run(void)
{
    (void) nftw(prefix, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

static void
setup(void)
{
    rv_log_terminal(RV_LOG_NONE); /* a warning is no part of a test's output */
}

static rv_cycle_t *
keep(rv_cycle_t *cycle)
{
    ck_assert_ptr_nonnull(cycle);
    ck_assert_uint_lt(cycle_count, rv_countof(cycles));
    cycles[cycle_count++] = cycle;
    return cycle;
}

static rv_cycle_t *
read_cycle(const char *listen)
{
    FILE *f = fopen(conf_path, "w");

    ck_assert_ptr_nonnull(f);
    fprintf(f,
        "[main]\nworker_processes = 2\npid = reeve.pid\nerror_log = error.log\n"
        "[zone stats]\ntype = file\npath = %szone\n[http]\n%s" LOCATION,
        prefix, listen);
    ck_assert_int_eq(fclose(f), 0);
    rv_cycle_t *cycle = keep(rv_cycle_read(&options, 1));
    const rv_conf_message_t *message = rv_conf_messages(cycle->conf);
    ck_assert_msg(message == NULL, "%s", message == NULL ? "" : message->text);
    return cycle;
}

/* In force, as the older master has it. */
static rv_cycle_t *
open_cycle(const char *listen)
{
    rv_cycle_t *cycle = read_cycle(listen);

    ck_assert_msg(rv_cycle_open(cycle, NULL, reason) == RV_OK, "%s", reason);
    ck_assert_msg(rv_cycle_listen_all(cycle, reason) == RV_OK, "%s", reason);
    rv_cycle_commit(cycle, NULL);
    return cycle;
}

static int
take(const char *text)
{
    free(taken.text);
    ck_assert_int_eq(setenv(RV_HERITAGE_VARIABLE, text, 1), 0);
    int result = rv_heritage_take(&taken);
    ck_assert_ptr_null(getenv(RV_HERITAGE_VARIABLE));
    return result;
}

/* A valid one, in a buffer that the next call uses again. */
static const char *
valid(void)
{
    static char text[TEXT_SIZE];
    static int fds[2] = { -1, -1 };

    if (fds[0] == -1)
        ck_assert_int_eq(pipe(fds), 0);
    snprintf(text, sizeof(text), "master 4711\ngeneration 7\nready %d\nalive %d\n", fds[1], fds[0]);
    return text;
}

/* --- there and back -------------------------------------------------------------------------- */

/* Names of unix sockets, and what follows them at "listen". */
static const char *const listens[][2] = {
    { "a.sock", "backlog=77 mode=0640" },
    { ODD, "" },
    { "b.sock", "mode=0600" },
};

START_TEST(what_is_written_is_what_is_read)
{
    char listen[TEXT_SIZE];
    int fds[2];

    snprintf(listen, sizeof(listen), "listen = unix:%s%s %s\nlisten = unix:%sc.sock\n", prefix,
        listens[_i][0], listens[_i][1], prefix);
    rv_cycle_t *old = open_cycle(listen);
    ck_assert_int_eq(pipe(fds), 0);
    const rv_heritage_t h = { .master = 4711,
        .generation = 7,
        .ready = fds[1],
        .alive = fds[0],
        .keeper = _i == 0 ? -1 : fds[1] };
    char *text = rv_heritage_write(&h, old);
    ck_assert_ptr_nonnull(text);
    ck_assert_int_eq(rv_heritage_keep(text), RV_OK);
    ck_assert_int_eq(fcntl(old->listeners->listener.fds[0], F_GETFD), 0);

    ck_assert_int_eq(take(text), RV_OK);
    free(text);
    ck_assert_int_eq(taken.master, h.master);
    ck_assert_uint_eq(taken.generation, h.generation);
    ck_assert_int_eq(taken.ready, h.ready);
    ck_assert_int_eq(taken.alive, h.alive);
    ck_assert_int_eq(taken.keeper, h.keeper);
    ck_assert_int_eq(fcntl(taken.alive, F_GETFD), FD_CLOEXEC);

    rv_cycle_t *wanted = read_cycle(listen), *given = keep(rv_inherit_create());
    ck_assert_msg(rv_heritage_give(&taken, given, wanted, reason) == RV_OK, "%s", reason);
    ck_assert_ptr_nonnull(rv_cycle_find_zone(given, "stats"));
    ck_assert_ptr_nonnull(given->stats);
    for (rv_cycle_listener_t *l = old->listeners; l != NULL; l = l->next) {
        rv_cycle_listener_t *same = rv_cycle_find_listener(given, &l->listener.addr);

        ck_assert_ptr_nonnull(same);
        ck_assert_int_eq(same->listener.fds[0], l->listener.fds[0]);
        ck_assert_int_eq(same->listener.backlog, l->listener.backlog);
        ck_assert_uint_eq(same->listener.mode, l->listener.mode);
        ck_assert_int_eq(same->listener.bound_path, 1);
        ck_assert_int_eq(fcntl(l->listener.fds[0], F_GETFD), FD_CLOEXEC);
    }
}
END_TEST

START_TEST(without_the_variable_there_is_nobody)
{
    ck_assert_int_eq(unsetenv(RV_HERITAGE_VARIABLE), 0);
    ck_assert_int_eq(rv_heritage_take(&taken), RV_OK);
    ck_assert_int_eq(taken.master, 0);
    ck_assert_int_eq(taken.keeper, -1);
}
END_TEST

/* --- what is refused ---------------------------------------------------------------------------- */

START_TEST(text_that_is_cut_off_is_refused)
{
    char text[TEXT_SIZE];

    snprintf(text, sizeof(text), "%s", valid());
    ck_assert_int_eq(take(text), RV_OK);
    for (size_t length = strlen(text); length-- > 0;) {
        text[length] = '\0';
        ck_assert_msg(take(text) == RV_ERROR, "it was taken:\n%s", text);
    }
}
END_TEST

START_TEST(line_that_is_missing_is_refused)
{
    static const char *const needed[] = { "master", "ready", "alive" };
    char text[TEXT_SIZE];

    for (size_t i = 0; i < rv_countof(needed); i++) {
        snprintf(text, sizeof(text), "%s", valid());
        char *line = strstr(text, needed[i]), *next = strchr(line, '\n') + 1;
        memmove(line, next, strlen(next) + 1);
        ck_assert_msg(take(text) == RV_ERROR, "it was taken:\n%s", text);
    }
}
END_TEST

static const char *const wrong[] = {
    "\n",
    " \n",
    "listen\n",
    "listen x 1 1 1 a\n",
    "listen 0\n",
    "listen 0 1\n",
    "listen 0 511 438\n",
    "listen 0 511 438 1\n",
    "listen 0 a b c d\n",
    "listen 1000000 511 438 1 unix:a\n",
    "listen -1 511 438 1 unix:a\n",
    "listen 99999999999999999999 511 438 1 unix:a\n",
    "zone\n",
    "zone 0\n",
    "zone 0 memfd\n",
    "zone -1 memfd stats \n",
    "zone 1000000 memfd stats \n",
    "keeper 1000000\n",
    "keeper\n",
    "master 0\n",
    "master -4711\n",
    "master x\n",
    "\x01\x02\xff\n",
    "no line's end",
};

START_TEST(line_that_is_malformed_is_refused)
{
    char text[TEXT_SIZE];

    snprintf(text, sizeof(text), "%s%s", valid(), wrong[_i]);
    ck_assert_int_eq(take(text), RV_ERROR);
    snprintf(text, sizeof(text), "%s%s", wrong[_i], valid());
    if (strncmp(wrong[_i], "master ", 7) != 0 || wrong[_i][7] == 'x') /* the last one counts */
        ck_assert_int_eq(take(text), RV_ERROR);
}
END_TEST

START_TEST(text_without_an_end_is_refused)
{
    enum { LENGTH = 100000 };
    static const char *const pieces[] = { "x", "listen ", "9", "zone 0 ", " ", "\xff" };
    size_t piece = strlen(pieces[_i]);
    char *text = malloc(LENGTH + 1);

    ck_assert_ptr_nonnull(text);
    for (size_t i = 0; i + piece <= LENGTH; i += piece)
        memcpy(text + i, pieces[_i], piece + 1);
    ck_assert_int_eq(take(text), RV_ERROR);
    text[LENGTH / 2] = '\n';
    ck_assert_int_eq(take(text), RV_ERROR);
    free(text);
}
END_TEST

/* No crash, whatever comes; mostly it is refused. */
START_TEST(bytes_that_are_changed_do_no_harm)
{
    enum { ROUNDS = 20000 };
    char text[TEXT_SIZE];
    int refused = 0;

    srandom(4711);
    for (int i = 0; i < ROUNDS; i++) {
        snprintf(text, sizeof(text), "%slisten 0 511 438 1 unix:a\nzone 0 memfd stats \n", valid());
        for (int k = (int) (random() % 4); k >= 0; k--)
            text[(size_t) random() % strlen(text)] = (char) (1 + random() % 255);
        refused += take(text) == RV_ERROR;
    }
    ck_assert_int_gt(refused, ROUNDS / 4);
}
END_TEST

/* --- what is no socket, and no zone --------------------------------------------------------------- */

static int
open_pipe(void)
{
    int fds[2];

    ck_assert_int_eq(pipe(fds), 0);
    return fds[0];
}

static int
open_file(void)
{
    int fd = open(conf_path, O_RDONLY);

    ck_assert_int_ne(fd, -1);
    return fd;
}

static int
open_datagram(void)
{
    return socket(AF_UNIX, SOCK_DGRAM, 0);
}

static int
open_mute(void) /* it does not listen */
{
    return socket(AF_INET, SOCK_STREAM, 0);
}

static int (*const opens[])(void) = { open_pipe, open_file, open_datagram, open_mute };

START_TEST(descriptor_that_is_no_listening_socket_is_refused)
{
    rv_cycle_t *wanted = read_cycle("listen = unix:a.sock\n"), *given = keep(rv_inherit_create());
    char text[TEXT_SIZE];

    snprintf(text, sizeof(text), "%slisten %d 511 438 1 unix:a.sock\n", valid(), opens[_i]());
    ck_assert_int_eq(take(text), RV_OK);
    ck_assert_int_eq(rv_heritage_give(&taken, given, wanted, reason), RV_ERROR);
    ck_assert_msg(strncmp(reason, "inheriting the socket of \"unix:a.sock\" failed: ", 47) == 0,
        "%s", reason);
    ck_assert_ptr_null(given->listeners);
}
END_TEST

/* It begins anew, and nothing of it stays open. */
START_TEST(descriptor_that_is_no_zone_is_left_out)
{
    static const char *const types[] = { "memfd", "posix", "file", "anon", "nonsense" };
    rv_cycle_t *wanted = read_cycle("listen = unix:a.sock\n");

    for (size_t i = 0; i < rv_countof(types); i++) {
        for (size_t k = 0; k < 3; k++) {
            const char *name = k == 2 ? "unknown" : "stats";
            rv_cycle_t *given = keep(rv_inherit_create());
            int fd = opens[k]();
            char text[TEXT_SIZE];

            snprintf(text, sizeof(text), "%szone %d %s %s %s\n", valid(), fd, types[i], name,
                i == 2 ? "/nonexistent/zone" : "");
            ck_assert_int_eq(take(text), RV_OK);
            ck_assert_msg(rv_heritage_give(&taken, given, wanted, reason) == RV_OK, "%s", reason);
            ck_assert_ptr_null(given->zones);
            ck_assert_int_eq(fcntl(fd, F_GETFD), -1);
        }
    }
}
END_TEST

int
main(void)
{
    Suite *s = suite_create("heritage");
    TCase *tc = tcase_create("heritage");

    tcase_add_unchecked_fixture(tc, setup_run, teardown_run);
    tcase_add_checked_fixture(tc, setup, NULL);
    tcase_add_loop_test(tc, what_is_written_is_what_is_read, 0, (int) rv_countof(listens));
    tcase_add_test(tc, without_the_variable_there_is_nobody);
    tcase_add_test(tc, text_that_is_cut_off_is_refused);
    tcase_add_test(tc, line_that_is_missing_is_refused);
    tcase_add_loop_test(tc, line_that_is_malformed_is_refused, 0, (int) rv_countof(wrong));
    tcase_add_loop_test(tc, text_without_an_end_is_refused, 0, 6);
    tcase_add_test(tc, bytes_that_are_changed_do_no_harm);
    tcase_add_loop_test(tc, descriptor_that_is_no_listening_socket_is_refused, 0, 4);
    tcase_add_test(tc, descriptor_that_is_no_zone_is_left_out);
    suite_add_tcase(s, tc);

    SRunner *sr = srunner_create(s);
    srunner_run_all(sr, CK_ENV);
    int failed = srunner_ntests_failed(sr);
    srunner_free(sr);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
