/*
 * test_activation: sockets that a service manager has bound before the daemon was started.
 */
#include "manager.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static daemon_t d;

static void
setup(void)
{
    daemon_setup(&d);
    d.names = "web.socket:second";
}

static void
teardown(void)
{
    daemon_teardown(&d);
}

/* Serves /hello at these addresses. */
static void
conf(const char *main, const char *listen)
{
    daemon_conff(&d,
        "[main]\nworker_processes = 2\nerror_log = logs/error.log notice\n%s\n"
        "[http]\n%s\n[location /hello]\nhandler = return\nreturn = 200 hello\n",
        main, listen);
}

static void
conf_port(const char *main, int port, const char *options)
{
    char text[128];

    snprintf(text, sizeof(text), "listen = 127.0.0.1:%d %s", port, options);
    conf(main, text);
}

static void
expect_no_warning(void)
{
    ck_assert_int_eq(daemon_file_count(d.terminal, "descriptor"), 0);
    ck_assert_int_eq(daemon_log_count(&d, "descriptor"), 0);
}

/* The first test is run with daemon = on and off, with and without a master. */
static const char *const modes[] = { "daemon = on", "daemon = off",
    "daemon = on\nmaster_process = off", "daemon = off\nmaster_process = off" };

START_TEST(a_client_that_came_before_the_daemon_is_served)
{
    int port = 0, socket = manager_listen(&port, 0);
    int client = manager_ask(daemon_connect_port(port));

    manager_pass(&d, socket);
    conf_port(modes[_i], port, "");
    if (strstr(modes[_i], "daemon = on") != NULL) {
        daemon_start(&d);
    } else {
        d.master = daemon_launch(&d, NULL);
        daemon_wait_log(&d, " started, ", 1);
    }
    manager_expect_hello(client);
    expect_no_warning();
}
END_TEST

START_TEST(a_passed_socket_is_kept_over_a_reload)
{
    int port = 0, socket = manager_listen(&port, 0);

    manager_pass(&d, socket);
    conf_port("", port, "");
    daemon_start(&d);
    for (int i = 0; i < 3; i++) {
        daemon_reload(&d);
        manager_expect_hello(manager_ask(daemon_connect_port(port)));
    }
    daemon_signal(&d, "quit");
    daemon_wait_gone(&d);

    /* it is the manager's, and who comes now waits for the next daemon */
    int client = manager_ask(daemon_connect_port(port));
    daemon_start(&d);
    manager_expect_hello(client);
    expect_no_warning();
}
END_TEST

START_TEST(several_sockets_of_one_address_are_all_served)
{
    enum { CLIENTS = 32 };
    int port = 0, client[CLIENTS];

    for (int i = 0; i < 3; i++)
        manager_pass(&d, manager_listen(&port, 1));
    for (int i = 0; i < CLIENTS; i++)
        client[i] = manager_ask(daemon_connect_port(port));
    conf_port("", port, _i == 0 ? "reuseport" : "");
    daemon_start(&d);
    for (int i = 0; i < CLIENTS; i++)
        manager_expect_hello(client[i]);
    expect_no_warning();
}
END_TEST

START_TEST(a_passed_unix_socket_is_the_managers_to_remove)
{
    const char *path = daemon_path(&d, "web");
    int socket = manager_listen_unix(path, SOCK_STREAM);

    manager_pass(&d, socket);
    conf("", "listen = unix:web");
    daemon_start(&d);
    manager_expect_hello(manager_ask(daemon_connect_unix(path)));
    daemon_reload(&d);
    manager_expect_hello(manager_ask(daemon_connect_unix(path)));
    expect_no_warning();

    daemon_signal(&d, "stop");
    daemon_wait_gone(&d);
    ck_assert_int_eq(access(path, F_OK), 0);
    unlink(path);
}
END_TEST

START_TEST(other_addresses_are_bound_as_ever)
{
    int port = 0, socket = manager_listen(&port, 0);
    char text[128];

    manager_pass(&d, socket);
    snprintf(text, sizeof(text), "listen = 127.0.0.1:%d\nlisten = 127.0.0.1:%d", port, d.port);
    conf("", text);
    daemon_start(&d);
    manager_expect_hello(manager_ask(daemon_connect_port(port)));
    manager_expect_hello(manager_ask(daemon_connect(&d)));
    expect_no_warning();
}
END_TEST

/* --- what is passed for nothing --------------------------------------------------------- */

START_TEST(a_socket_that_no_directive_wants_is_told_and_closed)
{
    int port = 0, other = 0, kept = manager_listen(&other, 0), unused = manager_listen(&port, 0);
    char text[256];

    manager_pass(&d, kept);
    manager_pass(&d, unused);
    conf_port("", other, "");
    daemon_start(&d);
    snprintf(text, sizeof(text),
        "reeve: [warn] descriptor 4 (\"second\", 127.0.0.1:%d) was passed for nothing and is "
        "closed: no \"listen\" has its address\n",
        port);
    ck_assert_str_eq(d.output, text);
    close(unused);
    ck_assert_int_eq(daemon_connect_port(port), -1);
    manager_expect_hello(manager_ask(daemon_connect_port(other)));
}
END_TEST

static int
datagram(void)
{
    return socket(AF_INET, SOCK_DGRAM, 0);
}

static int
idle(void)
{
    return socket(AF_INET, SOCK_STREAM, 0);
}

static int
file(void)
{
    return open("/dev/null", O_RDONLY | O_CLOEXEC);
}

static const struct {
    int (*open)(void);
    const char *why;
} useless[] = {
    { datagram, "not a stream socket" },
    { idle, "not listening" },
    { file, "not a socket" },
};

START_TEST(what_cannot_be_accepted_from_is_told_and_closed)
{
    int fd = useless[_i].open();

    ck_assert_int_ne(fd, -1);
    manager_pass(&d, fd);
    conf_port("", d.port, "");
    daemon_start(&d);
    daemon_expect_output(&d, "descriptor 3 (\"web.socket\", ");
    daemon_expect_output(&d, useless[_i].why);
    manager_expect_hello(manager_ask(daemon_connect(&d)));
    close(fd);
}
END_TEST

START_TEST(a_descriptor_that_is_not_there_is_told)
{
    setenv("LISTEN_FDS", "2", 1);
    conf_port("", d.port, "");
    daemon_start(&d);
    daemon_expect_output(&d, "descriptor 3 (\"web.socket\", no address)");
    daemon_expect_output(&d, "descriptor 4 (\"second\", no address)");
    manager_expect_hello(manager_ask(daemon_connect(&d)));
}
END_TEST

START_TEST(a_count_that_makes_no_sense_is_told)
{
    setenv("LISTEN_FDS", "many", 1);
    conf_port("", d.port, "");
    daemon_start(&d);
    ck_assert_str_eq(
        d.output, "reeve: [warn] LISTEN_FDS is not a number of descriptors, ignored\n");
}
END_TEST

START_TEST(what_is_for_another_process_is_left_alone)
{
    int port = 0, socket = manager_listen(&port, 0);

    manager_pass(&d, socket);
    setenv("LISTEN_PID", "1", 1);
    conf_port("", port, "");
    ck_assert_int_eq(daemon_run(&d, NULL), 1);
    daemon_expect_output(&d, "bind() to \"127.0.0.1:");
    ck_assert_ptr_null(strstr(d.output, "[warn]"));
}
END_TEST

int
main(void)
{
    Suite *s = suite_create("activation");
    TCase *tc = daemon_case(s, "activation");

    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_add_loop_test(
        tc, a_client_that_came_before_the_daemon_is_served, 0, sizeof(modes) / sizeof(modes[0]));
    tcase_add_test(tc, a_passed_socket_is_kept_over_a_reload);
    tcase_add_loop_test(tc, several_sockets_of_one_address_are_all_served, 0, 2);
    tcase_add_test(tc, a_passed_unix_socket_is_the_managers_to_remove);
    tcase_add_test(tc, other_addresses_are_bound_as_ever);
    tcase_add_test(tc, a_socket_that_no_directive_wants_is_told_and_closed);
    tcase_add_loop_test(tc, what_cannot_be_accepted_from_is_told_and_closed, 0,
        sizeof(useless) / sizeof(useless[0]));
    tcase_add_test(tc, a_descriptor_that_is_not_there_is_told);
    tcase_add_test(tc, a_count_that_makes_no_sense_is_told);
    tcase_add_test(tc, what_is_for_another_process_is_left_alone);
    return daemon_main(s);
}
