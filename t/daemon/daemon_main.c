/*
 * daemon_main: the program that runs a suite, and what happens when a test fails.
 *
 * A test that fails ends where it stands, so it cannot clean up. Therefore all
 * tests of a program run below a guard, which inherits every process that they
 * leave behind, ends those, shows the logs of the tests that failed and
 * removes their folders. RV_KEEP in the environment: the folders stay.
 */
#include "daemon_internal.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

enum { CASE_LIMIT = 120 }; /* of one test, in seconds */

TCase *
daemon_case(Suite *suite, const char *name)
{
    TCase *tc = tcase_create(name);

    tcase_set_timeout(tc, CASE_LIMIT);
    suite_add_tcase(suite, tc);
    return tc;
}

static volatile sig_atomic_t runner;

static void
pass_on(int number)
{
    kill(runner, number);
}

/* The last lines of what a failed test has left. */
static void
show_file(const char *path, const struct stat *st, void *data)
{
    enum { TAIL = 4000, FILES = 12 };
    static int shown;
    int is_output = strstr(path, "/logs/") != NULL || strstr(path, "/terminal") != NULL
        || strstr(path, ".san/") != NULL;
    char *text = S_ISREG(st->st_mode) && is_output ? daemon_read(path) : NULL;

    (void) data;
    if (text == NULL)
        return;
    size_t length = strlen(text);
    if (length > 0 && shown++ < FILES)
        printf("--- %s\n%s\n", path, length > TAIL ? text + length - TAIL : text);
    free(text);
}

static void
end_processes(void)
{
    pid_t pids[64];
    int n;

    while ((n = daemon_children(getpid(), pids, 64)) > 0) {
        n = n > 64 ? 64 : n; /* it tells how many there are */
        for (int i = 0; i < n; i++) {
            kill(pids[i], SIGKILL);
            waitpid(pids[i], NULL, 0);
        }
    }
}

static int
run_suite(Suite *suite)
{
    SRunner *sr = srunner_create(suite);

    srunner_run_all(sr, CK_ENV);
    int failed = srunner_ntests_failed(sr);
    srunner_free(sr);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}

int
daemon_main(Suite *suite)
{
    static Suite *kept; /* the guard never frees it: reachable for a leak check */
    const char *tmp = getenv("TMPDIR");
    char folder[64];
    int status = 0;
    pid_t pid;

    kept = suite;
    if (tmp == NULL || strlen(tmp) > 32) /* a unix socket's path must fit */
        tmp = "/tmp";
    snprintf(folder, sizeof(folder), "%s/rv.XXXXXX", tmp);
    if (mkdtemp(folder) == NULL || chmod(folder, 0755) == -1) {
        perror(folder);
        return EXIT_FAILURE;
    }
    strcat(folder, "/");
    setenv("RV_TEST_FOLDER", folder, 1);
    prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0);

    fflush(stdout);
    runner = fork();
    if (runner == 0)
        exit(run_suite(kept));
    signal(SIGPIPE, SIG_IGN);
    signal(SIGTERM, pass_on);
    signal(SIGINT, pass_on);

    while ((pid = wait(&status)) != runner) {
        if (pid == -1 && errno != EINTR)
            break;
    }
    end_processes();
    daemon_walk(folder, show_file, NULL);
    if (getenv("RV_KEEP") == NULL)
        daemon_remove_folder(folder);
    return WIFEXITED(status) ? WEXITSTATUS(status) : EXIT_FAILURE;
}
