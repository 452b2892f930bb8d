/*
 * rv_cpu: the quota of made-up control groups, and the affinity mask.
 *
 * Each case is a tree in a folder of its own: what /proc/self/cgroup would
 * say, and the files that stand under /sys/fs/cgroup.
 */
#include "rv_cpu.h"

#include <check.h>
#include <errno.h>
#include <ftw.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { MAX_FILES = 8, TEXT_SIZE = 512 };

typedef struct {
    const char *path;
    const char *text; /* "-> NAME": a link */
} file_t;

typedef struct {
    const char *what;
    const char *membership; /* NULL: there is no such file */
    unsigned quota;
    file_t file[MAX_FILES];
} case_t;

static const case_t cases[] = {
    { "nothing at all", NULL, 0, { { "cpu.max", "100000 100000\n" } } },
    { "an empty file", "", 0, { { "cpu.max", "100000 100000\n" } } },
    { "no files", "0::/a\n", 0, { { NULL, NULL } } },

    { "v2, one processor", "0::/a\n", 1, { { "a/cpu.max", "100000 100000\n" } } },
    { "v2, no limit", "0::/a\n", 0, { { "a/cpu.max", "max 100000\n" } } },
    { "v2, a half is one", "0::/a\n", 1, { { "a/cpu.max", "50000 100000\n" } } },
    { "v2, one and a half are two", "0::/a\n", 2, { { "a/cpu.max", "150000 100000\n" } } },
    { "v2, just over two are three", "0::/a\n", 3, { { "a/cpu.max", "200001 100000\n" } } },
    { "v2, another period", "0::/a\n", 4, { { "a/cpu.max", "40000 10000" } } },
    { "v2, more than there are", "0::/a\n", 640, { { "a/cpu.max", "64000000 100000\n" } } },
    { "v2, the root itself", "0::/\n", 2, { { "cpu.max", "200000 100000\n" } } },
    { "v2, above is less", "0::/a/b/c\n", 2,
        { { "a/cpu.max", "200000 100000\n" }, { "a/b/cpu.max", "400000 100000\n" },
            { "a/b/c/cpu.max", "300000 100000\n" } } },
    { "v2, below is less", "0::/a/b\n", 1,
        { { "a/cpu.max", "400000 100000\n" }, { "a/b/cpu.max", "100000 100000\n" } } },
    { "v2, only above", "0::/a/b\n", 3,
        { { "a/cpu.max", "300000 100000\n" }, { "a/b/cpu.max", "max 100000\n" } } },
    { "v2, at the mount", "0::/a/b\n", 2,
        { { "cpu.max", "200000 100000\n" }, { "a/b/cpu.max", "max 100000\n" } } },
    { "v2, a container that sees only its own", "0::/docker/f00\n", 2,
        { { "cpu.max", "200000 100000\n" } } },
    { "v2, another's limit", "0::/a\n", 0,
        { { "a/cpu.max", "max 100000\n" }, { "a/b/cpu.max", "100000 100000\n" },
            { "ab/cpu.max", "100000 100000\n" } } },
    { "v2, nonsense", "0::/a\n", 0, { { "a/cpu.max", "many\n" } } },
    { "v2, no period", "0::/a\n", 0, { { "a/cpu.max", "100000\n" } } },
    { "v2, a period of nothing", "0::/a\n", 0, { { "a/cpu.max", "100000 0\n" } } },
    { "v2, empty", "0::/a\n", 0, { { "a/cpu.max", "" } } },

    { "v1", "4:cpu:/a\n", 2,
        { { "cpu/a/cpu.cfs_quota_us", "200000\n" }, { "cpu/a/cpu.cfs_period_us", "100000\n" } } },
    { "v1, no limit", "4:cpu:/a\n", 0,
        { { "cpu/a/cpu.cfs_quota_us", "-1\n" }, { "cpu/a/cpu.cfs_period_us", "100000\n" } } },
    { "v1, rounded up", "4:cpu:/a\n", 2,
        { { "cpu/a/cpu.cfs_quota_us", "100001\n" }, { "cpu/a/cpu.cfs_period_us", "100000\n" } } },
    { "v1, with cpuacct", "4:cpu,cpuacct:/a\n", 3,
        { { "cpu,cpuacct/a/cpu.cfs_quota_us", "300000\n" },
            { "cpu,cpuacct/a/cpu.cfs_period_us", "100000\n" }, { "cpu", "-> cpu,cpuacct" } } },
    { "v1, behind cpuacct", "4:cpuacct,cpu:/a\n", 3,
        { { "cpuacct,cpu/a/cpu.cfs_quota_us", "300000\n" },
            { "cpuacct,cpu/a/cpu.cfs_period_us", "100000\n" }, { "cpu", "-> cpuacct,cpu" } } },
    { "v1, above is less", "4:cpu:/a/b\n", 1,
        { { "cpu/a/cpu.cfs_quota_us", "50000\n" }, { "cpu/a/cpu.cfs_period_us", "50000\n" },
            { "cpu/a/b/cpu.cfs_quota_us", "400000\n" },
            { "cpu/a/b/cpu.cfs_period_us", "100000\n" } } },
    { "v1, a container that sees only its own", "4:cpu:/docker/f00\n", 2,
        { { "cpu/cpu.cfs_quota_us", "200000\n" }, { "cpu/cpu.cfs_period_us", "100000\n" } } },
    { "v1, others' controllers", "5:cpuset:/a\n6:cpuacct:/a\n7:memory:/a\n8:name=cpu:/a\n", 0,
        { { "cpu/a/cpu.cfs_quota_us", "100000\n" }, { "cpu/a/cpu.cfs_period_us", "100000\n" } } },
    { "v1, no period", "4:cpu:/a\n", 0, { { "cpu/a/cpu.cfs_quota_us", "200000\n" } } },

    { "both, v1 counts", "9:memory:/a\n4:cpu:/a\n0::/a\n", 2,
        { { "cpu/a/cpu.cfs_quota_us", "200000\n" }, { "cpu/a/cpu.cfs_period_us", "100000\n" } } },
    { "both, the smaller counts", "4:cpu:/a\n0::/a\n", 1,
        { { "cpu/a/cpu.cfs_quota_us", "200000\n" }, { "cpu/a/cpu.cfs_period_us", "100000\n" },
            { "a/cpu.max", "100000 100000\n" } } },
    { "lines that are none", "nonsense\n:\n::\n4:cpu\n0::/a", 2,
        { { "a/cpu.max", "200000 100000\n" } } },
};

static char folder[] = "/tmp/rv_test_cpu_XXXXXX";

static void
make_folders(char *path)
{
    for (char *slash = strchr(path + 1, '/'); slash != NULL; slash = strchr(slash + 1, '/')) {
        *slash = '\0';
        ck_assert(mkdir(path, 0755) == 0 || errno == EEXIST);
        *slash = '/';
    }
}

static void
make_file(const char *name, const char *text)
{
    char path[2 * TEXT_SIZE];

    snprintf(path, sizeof(path), "%s/%s", folder, name);
    make_folders(path);
    if (strncmp(text, "-> ", 3) == 0) {
        ck_assert_int_eq(symlink(text + 3, path), 0);
        return;
    }
    FILE *f = fopen(path, "w");
    ck_assert_ptr_nonnull(f);
    ck_assert_int_ge(fputs(text, f), 0);
    ck_assert_int_eq(fclose(f), 0);
}

static int
remove_one(
    const char *path, RV_UNUSED const struct stat *st, RV_UNUSED int type, RV_UNUSED struct FTW *at)
{
    return remove(path);
}

static void
remove_folder(void)
{
    (void) nftw(folder, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

static void
setup_run(void)
{
    ck_assert_ptr_nonnull(mkdtemp(folder));
}

static void
make_folder(void)
{
    remove_folder();
    ck_assert_int_eq(mkdir(folder, 0755), 0);
}

static unsigned
quota(const char *membership)
{
    char path[2 * TEXT_SIZE];

    snprintf(path, sizeof(path), "%s/membership", folder);
    if (membership != NULL)
        make_file("membership", membership);
    return rv_cpu_quota(folder, path);
}

START_TEST(quota_is_what_the_groups_say)
{
    const case_t *c = &cases[_i];

    for (int i = 0; i < MAX_FILES && c->file[i].path != NULL; i++)
        make_file(c->file[i].path, c->file[i].text);

    unsigned n = quota(c->membership);
    ck_assert_msg(n == c->quota, "%s: %u, not %u", c->what, n, c->quota);
}
END_TEST

/* A name of this length is nobody's, and must not be cut into somebody's. */
START_TEST(group_with_an_endless_name_has_no_quota)
{
    char membership[3000] = "0::/";

    make_file("cpu.max", "100000 100000\n");
    memset(membership + 4, 'a', sizeof(membership) - 5);
    ck_assert_uint_eq(quota(membership), 0);
}
END_TEST

START_TEST(count_is_at_least_one_and_what_the_mask_allows)
{
    cpu_set_t set, one;
    unsigned count = rv_cpu_count();

    ck_assert_uint_ge(count, 1);
    if (!RV_HAVE_SCHED_GETAFFINITY)
        return;
    ck_assert_int_eq(sched_getaffinity(0, sizeof(set), &set), 0);
    ck_assert_uint_le(count, (unsigned) CPU_COUNT(&set));

    for (int i = 0; i < CPU_SETSIZE; i++) {
        if (!CPU_ISSET(i, &set))
            continue;
        CPU_ZERO(&one);
        CPU_SET(i, &one);
        ck_assert_int_eq(sched_setaffinity(0, sizeof(one), &one), 0);
        ck_assert_uint_eq(rv_cpu_count(), 1);
    }
    ck_assert_int_eq(sched_setaffinity(0, sizeof(set), &set), 0);
    ck_assert_uint_eq(rv_cpu_count(), count);
}
END_TEST

static Suite *
cpu_suite(void)
{
    Suite *suite = suite_create("cpu");
    TCase *tcase = tcase_create("cpu");

    tcase_set_timeout(tcase, 60);
    tcase_add_unchecked_fixture(tcase, setup_run, remove_folder);
    tcase_add_checked_fixture(tcase, make_folder, NULL);
    tcase_add_loop_test(tcase, quota_is_what_the_groups_say, 0, (int) rv_countof(cases));
    tcase_add_test(tcase, group_with_an_endless_name_has_no_quota);
    tcase_add_test(tcase, count_is_at_least_one_and_what_the_mask_allows);
    suite_add_tcase(suite, tcase);
    return suite;
}

int
main(void)
{
    SRunner *runner = srunner_create(cpu_suite());

    srunner_run_all(runner, CK_NORMAL);

    int failed = srunner_ntests_failed(runner);

    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
