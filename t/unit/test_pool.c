/*
 * rv_pool: memory that is given back all at once.
 */
#include "rv_pool.h"

#include <check.h>
#include <errno.h>
#include <stdalign.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define LONGEST 100000

static rv_pool_t *pool;

static void
setup(void)
{
    pool = rv_pool_create();
    ck_assert_ptr_nonnull(pool);
}

static void
teardown(void)
{
    rv_pool_destroy(pool);
}

static int
is_all(const unsigned char *memory, int byte, size_t size)
{
    for (size_t i = 0; i < size; i++) {
        if (memory[i] != byte)
            return 0;
    }
    return 1;
}

START_TEST(memory_is_zeroed_and_aligned_for_any_type)
{
    for (size_t size = 0; size <= 300; size++) {
        unsigned char *memory = rv_pool_alloc(pool, size);

        ck_assert_ptr_nonnull(memory);
        ck_assert_uint_eq((uintptr_t) memory % alignof(max_align_t), 0);
        ck_assert(is_all(memory, 0, size));
        memset(memory, 0xff, size);
    }
}
END_TEST

/* Also where the heap gives back what somebody has written to before. */
START_TEST(used_memory_is_zeroed_too)
{
    for (int round = 0; round < 10; round++) {
        rv_pool_t *other = rv_pool_create();

        for (size_t size = 1; size < 2000; size += 100) {
            unsigned char *memory = rv_pool_alloc(other, size);

            ck_assert(is_all(memory, 0, size));
            memset(memory, 0xff, size);
        }
        rv_pool_destroy(other);
    }
}
END_TEST

START_TEST(pieces_do_not_overlap)
{
    enum { PIECES = 200 };
    unsigned char *piece[PIECES];

    for (int i = 0; i < PIECES; i++) {
        piece[i] = rv_pool_alloc(pool, (size_t) i);
        ck_assert_ptr_nonnull(piece[i]);
        memset(piece[i], i, (size_t) i);
    }
    for (int i = 0; i < PIECES; i++)
        ck_assert(is_all(piece[i], i, (size_t) i));
}
END_TEST

START_TEST(array_has_room_for_all_of_it)
{
    unsigned char *memory = rv_pool_array(pool, 1000, 24);

    ck_assert_ptr_nonnull(memory);
    ck_assert(is_all(memory, 0, 24000));
    memset(memory, 1, 24000);

    ck_assert_ptr_nonnull(rv_pool_array(pool, 0, 24));
    ck_assert_ptr_nonnull(rv_pool_array(pool, 24, 0));
    ck_assert_ptr_nonnull(rv_pool_array(pool, SIZE_MAX, 0));
}
END_TEST

START_TEST(array_too_large_for_a_size_is_refused)
{
    static const struct {
        size_t count, size;
    } cases[] = {
        { SIZE_MAX, 1 },
        { 1, SIZE_MAX },
        { SIZE_MAX, SIZE_MAX },
        { SIZE_MAX / 2, 3 },
        { SIZE_MAX / 8 + 1, 8 },
        { SIZE_MAX / 2 + 1, 2 },
        { 2, SIZE_MAX / 2 + 1 },
        { SIZE_MAX / 16 + 2, 16 },
    };

    for (size_t i = 0; i < rv_countof(cases); i++) {
        errno = 0;
        ck_assert_ptr_null(rv_pool_array(pool, cases[i].count, cases[i].size));
        ck_assert_int_eq(errno, ENOMEM);
    }
    errno = 0;
    ck_assert_ptr_null(rv_pool_alloc(pool, SIZE_MAX));
    ck_assert_int_eq(errno, ENOMEM);

    ck_assert_ptr_nonnull(rv_pool_alloc(pool, 1));
}
END_TEST

START_TEST(strings_are_copies)
{
    char text[] = "listen";
    const char *copy = rv_pool_strdup(pool, text);

    text[0] = 'x';
    ck_assert_str_eq(copy, "listen");
    ck_assert_str_eq(rv_pool_strdup(pool, ""), "");

    /* whatever lies behind it in memory */
    char longer[200] = "";
    for (size_t length = 0; length < sizeof(longer) - 1; length++) {
        longer[length] = 'x';
        copy = rv_pool_strdup(pool, longer);
        memset(rv_pool_alloc(pool, length), 'y', length);
        ck_assert_str_eq(copy, longer);
    }
}
END_TEST

START_TEST(printed_text_has_any_length)
{
    char *text = malloc(LONGEST + 1);

    ck_assert_ptr_nonnull(text);
    memset(text, 'x', LONGEST);
    text[LONGEST] = '\0';

    ck_assert_str_eq(rv_pool_printf(pool, "%s:%d", "a", 7), "a:7");
    ck_assert_str_eq(rv_pool_printf(pool, "%s", ""), "");
    ck_assert_str_eq(rv_pool_printf(pool, "%s", text), text);

    const char *framed = rv_pool_printf(pool, "<%s>", text);
    ck_assert_uint_eq(strlen(framed), LONGEST + 2);
    ck_assert_int_eq(framed[0], '<');
    ck_assert_int_eq(framed[LONGEST + 1], '>');
    free(text);
}
END_TEST

static long
mapped_megabytes(void)
{
    FILE *file = fopen("/proc/self/statm", "re");
    long pages = 0;

    ck_assert_ptr_nonnull(file);
    ck_assert_int_eq(fscanf(file, "%ld", &pages), 1);
    fclose(file);
    return pages / 1024 * sysconf(_SC_PAGESIZE) / 1024;
}

/* A sanitizer keeps up to 256 MB of freed memory back. */
START_TEST(destroying_gives_all_memory_back)
{
    enum { ROUNDS = 128, SIZE = 8 * 1024 * 1024, ALLOWED = 400 };
    long before = mapped_megabytes();

    for (int round = 0; round < ROUNDS; round++) {
        rv_pool_t *other = rv_pool_create();

        ck_assert_ptr_nonnull(rv_pool_alloc(other, SIZE / 2));
        ck_assert_ptr_nonnull(rv_pool_alloc(other, SIZE / 2));
        rv_pool_destroy(other);
    }
    ck_assert_int_lt(mapped_megabytes() - before, ALLOWED);
}
END_TEST

START_TEST(destroying_nothing_does_nothing)
{
    rv_pool_destroy(NULL);
    rv_pool_destroy(rv_pool_create());
}
END_TEST

static Suite *
pool_suite(void)
{
    Suite *suite = suite_create("pool");
    TCase *tcase = tcase_create("pool");

    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_set_timeout(tcase, 120);
    tcase_add_test(tcase, memory_is_zeroed_and_aligned_for_any_type);
    tcase_add_test(tcase, used_memory_is_zeroed_too);
    tcase_add_test(tcase, pieces_do_not_overlap);
    tcase_add_test(tcase, array_has_room_for_all_of_it);
    tcase_add_test(tcase, array_too_large_for_a_size_is_refused);
    tcase_add_test(tcase, strings_are_copies);
    tcase_add_test(tcase, printed_text_has_any_length);
    tcase_add_test(tcase, destroying_gives_all_memory_back);
    tcase_add_test(tcase, destroying_nothing_does_nothing);

    suite_add_tcase(suite, tcase);
    return suite;
}

int
main(void)
{
    SRunner *runner = srunner_create(pool_suite());

    srunner_run_all(runner, CK_NORMAL);

    int failed = srunner_ntests_failed(runner);

    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
