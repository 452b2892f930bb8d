/*
 * rv_rights: the system calls that modules name.
 *
 * The modules of this program are those below.
 */
#include "rv_rights.h"

#include <check.h>
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

static const char *names[3]; /* what the module "caller" declares, up to NULL */

static const rv_module_t silent = { .name = "silent" };
static const rv_module_t caller = { .name = "caller", .syscalls = names };
const rv_module_t *const rv_modules[] = { &silent, &caller, NULL };

static rv_pool_t *pool;
static rv_conf_t *cf;

static void
setup(void)
{
    pool = rv_pool_create();
    cf = rv_conf_create(pool, "/srv/reeve/");
    ck_assert_ptr_nonnull(cf);
}

static void
teardown(void)
{
    rv_pool_destroy(pool);
}

static const rv_core_conf_t confined = { .master_process = 1, .sandbox = 1 };
static const rv_core_conf_t free_one = { .master_process = 1, .sandbox = 0 };
static const rv_core_conf_t alone = { .master_process = 0, .sandbox = 1 };

START_TEST(a_name_that_is_no_system_call_is_an_error)
{
    names[0] = "make_coffee";
    names[1] = "connect";
    rv_rights_check(&confined, cf);
    ck_assert_uint_eq(rv_conf_error_count(cf), RV_HAVE_SECCOMP);
    if (RV_HAVE_SECCOMP)
        ck_assert_ptr_nonnull(strstr(rv_conf_messages(cf)->text,
            "module \"caller\" names an unknown system call \"make_coffee\""));
}
END_TEST

START_TEST(where_there_is_no_sandbox_no_name_matters)
{
    names[0] = "make_coffee";
    rv_rights_check(&free_one, cf);
    rv_rights_check(&alone, cf);
    ck_assert_uint_eq(rv_conf_error_count(cf), 0);
    ck_assert_int_eq(rv_rights_confine(&free_one), RV_OK);
}
END_TEST

/* What becomes of a confined child that opens a socket; 128 + N: signal N. */
static int
open_socket(void)
{
    int status;
    pid_t pid = fork();

    ck_assert_int_ne(pid, -1);
    if (pid == 0) {
        if (rv_rights_confine(&confined) != RV_OK)
            _exit(2);
        _exit(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0) == -1);
    }
    ck_assert_int_eq(waitpid(pid, &status, 0), pid);
    return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}

START_TEST(a_worker_may_do_what_its_modules_name)
{
    ck_assert_int_eq(open_socket(), 128 + SIGSYS);
    names[0] = "socket";
    ck_assert_int_eq(open_socket(), 0);
}
END_TEST

START_TEST(a_filter_that_cannot_be_made_is_an_error)
{
    names[0] = "make_coffee";
    ck_assert_int_eq(rv_rights_confine(&confined), RV_ERROR);
    ck_assert_int_eq(errno, RV_HAVE_SECCOMP ? EINVAL : ENOSYS);
}
END_TEST

static Suite *
rights_suite(void)
{
    Suite *suite = suite_create("rights");
    TCase *tcase = tcase_create("rights");

    tcase_set_timeout(tcase, 60);
    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_add_test(tcase, a_name_that_is_no_system_call_is_an_error);
    tcase_add_test(tcase, where_there_is_no_sandbox_no_name_matters);
    tcase_add_test(tcase, a_filter_that_cannot_be_made_is_an_error);
    if (strcmp(RV_SANDBOX, "on") == 0) /* a sanitizer makes calls of its own */
        tcase_add_test(tcase, a_worker_may_do_what_its_modules_name);
    suite_add_tcase(suite, tcase);
    return suite;
}

int
main(void)
{
    SRunner *runner = srunner_create(rights_suite());

    srunner_run_all(runner, CK_NORMAL);

    int failed = srunner_ntests_failed(runner);

    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
