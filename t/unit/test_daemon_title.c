/*
 * rv_daemon: titles, which lie where the kernel keeps a process's arguments.
 *
 * Run with "title TEXT...", the program gives itself these titles one after
 * the other, and prints what ps would show.
 */
#include "rv_daemon.h"

#include <check.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum { TEXT_SIZE = 4096 };

/* All that is read up to the end. */
static const char *
read_all(int fd)
{
    static char text[4 * TEXT_SIZE];
    size_t length = 0;
    ssize_t n;

    while ((n = read(fd, text + length, sizeof(text) - 1 - length)) > 0)
        length += (size_t) n;
    text[length] = '\0';
    close(fd);
    return text;
}

/* What ps shows. */
static void
print_title(void)
{
    char text[TEXT_SIZE] = "";
    int fd = open("/proc/self/cmdline", O_RDONLY);
    ssize_t n = read(fd, text, sizeof(text) - 1);

    close(fd);
    while (n > 0 && text[n - 1] == '\0')
        n--;
    for (ssize_t i = 0; i < n; i++) {
        if (text[i] == '\0')
            text[i] = '|'; /* remains of what was there before would stand behind it */
    }
    printf("%s\n", text);
}

/* A word that stands for more than there can be room for. */
#define LONG_TITLE "long"

static int
show_titles(int argc, char **argv)
{
    static char many[16 * TEXT_SIZE];

    memset(many, 'z', sizeof(many) - 1);
    rv_daemon_title("too early: nothing");
    if (rv_daemon_title_init(argc, argv) != RV_OK)
        return 1;
    for (int i = 2; i < argc; i++) {
        rv_daemon_title(strcmp(argv[i], LONG_TITLE) == 0 ? many : argv[i]);
        print_title();
    }
    printf("%s %s\n", argv[1], getenv("RV_TEST_VARIABLE"));
    return setenv("RV_TEST_OTHER", "new", 1) == -1 || fflush(stdout) == EOF;
}

/* The lines that such a process writes. */
static const char *
titles(const char *first, const char *second)
{
    int fds[2];

    ck_assert_int_eq(pipe2(fds, O_CLOEXEC), 0);
    pid_t pid = fork();
    ck_assert_int_ne(pid, -1);
    if (pid == 0) {
        dup2(fds[1], STDOUT_FILENO);
        clearenv();
        setenv("RV_TEST_VARIABLE", "value", 1);
        execl("/proc/self/exe", "test_daemon_title", "title", first, second, (char *) NULL);
        _exit(99);
    }
    close(fds[1]);
    const char *text = read_all(fds[0]);
    int status;
    ck_assert_int_eq(waitpid(pid, &status, 0), pid);
    ck_assert_int_eq(status, 0);
    return text;
}

START_TEST(title_is_what_ps_shows)
{
    ck_assert_str_eq(titles("worker process is shutting down", "x"),
        "reeve: worker process is shutting down\nreeve: x\ntitle value\n");
}
END_TEST

START_TEST(title_without_room_is_cut)
{
    const char *text = titles(LONG_TITLE, "x");
    size_t length = strspn(text + strlen("reeve: "), "z");

    ck_assert_int_eq(strncmp(text, "reeve: ", 7), 0);
    ck_assert_uint_gt(length, 0);
    ck_assert_uint_lt(length, TEXT_SIZE);
    ck_assert_str_eq(text + 7 + length, "\nreeve: x\ntitle value\n");
}
END_TEST

START_TEST(title_is_text_and_no_format)
{
    ck_assert_str_eq(titles("%s%n%100d", "%"), "reeve: %s%n%100d\nreeve: %\ntitle value\n");
}
END_TEST

static Suite *
daemon_title_suite(void)
{
    Suite *suite = suite_create("daemon_title");
    TCase *tcase = tcase_create("daemon_title");

    tcase_set_timeout(tcase, 60);
    tcase_add_test(tcase, title_is_what_ps_shows);
    tcase_add_test(tcase, title_without_room_is_cut);
    tcase_add_test(tcase, title_is_text_and_no_format);
    suite_add_tcase(suite, tcase);
    return suite;
}

int
main(int argc, char **argv)
{
    if (argc > 2 && strcmp(argv[1], "title") == 0)
        return show_titles(argc, argv);

    SRunner *runner = srunner_create(daemon_title_suite());

    srunner_run_all(runner, CK_NORMAL);

    int failed = srunner_ntests_failed(runner);

    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
