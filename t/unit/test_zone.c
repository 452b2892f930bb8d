/*
 * rv_zone: named pieces of shared memory, from one generation to the next.
 *
 * The owner in these tests is a module that keeps one number and a text; it
 * carries the number over when its zone is made anew.
 */
#include "zone_fixture.h"

#define SIZE 65536

typedef struct {
    int number;
    char text[100];
} content_t;

static int inits;
static rv_zone_t *seen_old; /* by the last init */
static int released;        /* handles */
static int init_result;

static void
release(void *handle)
{
    released += *(int *) handle;
}

static int
init(rv_zone_t *zone, rv_zone_t *old, void *data)
{
    content_t *content = rv_zone_alloc(zone, sizeof(*content));

    inits++;
    seen_old = old;
    if (content == NULL)
        return RV_ERROR;

    content->number = old == NULL ? *(int *) data : ((content_t *) rv_zone_handle(old))->number + 1;
    rv_zone_set_handle(zone, content, NULL);
    return init_result;
}

static int first_number = 7;

static const rv_zone_calls_t calls = { .init = init };

static rv_zone_spec_t
spec_of(const char *type, size_t size)
{
    return (rv_zone_spec_t){ .name = "test",
        .owner = "module",
        .type = type,
        .instance = "unit",
        .size = size,
        .need = sizeof(content_t),
        .calls = &calls,
        .data = &first_number };
}

static content_t *
content_of(const rv_zone_t *zone)
{
    return rv_zone_handle(zone);
}

/* --- what can be checked before ---------------------------------------------------------- */

#define NAME47 "n23456789_123456789_123456789_123456789_1234567"
#define BAD_NAME(name) \
    "zone name \"" name "\" is not 1 to 47 letters, digits, \"_\", \"-\" or \".\""

static const struct {
    const char *name, *type, *path;
    size_t size;
    const char *error;
} specs[] = {
    { "stats", "auto", NULL, SIZE, NULL },
    { "a-b_c.D9", "anon", NULL, SIZE, NULL },
    { NAME47, "auto", NULL, SIZE, NULL },
    { "z", "file", "/tmp/x", SIZE, NULL },
    { "z", "posix", NULL, SIZE, NULL },
    { "", "auto", NULL, SIZE, BAD_NAME("") },
    { NAME47 "8", "auto", NULL, SIZE, BAD_NAME(NAME47 "8") },
    { "a/b", "auto", NULL, SIZE, BAD_NAME("a/b") },
    { "a b", "auto", NULL, SIZE, BAD_NAME("a b") },
    { "z", "nonsense", NULL, SIZE, "zone \"z\": type \"nonsense\" is not in this build" },
    { "z", "", NULL, SIZE, "zone \"z\": type \"\" is not in this build" },
    { "z", "auto", NULL, 0, "zone \"z\": size is zero" },
    { "z", "file", NULL, SIZE, "zone \"z\": type \"file\" needs a path" },
    { "z", "anon", "/tmp/x", SIZE, "zone \"z\": type \"anon\" takes no path" },
    { "z", "posix", "/tmp/x", SIZE, "zone \"z\": type \"posix\" takes no path" },
};

START_TEST(each_mistake_has_a_message_of_its_own)
{
    rv_zone_spec_t spec = spec_of(specs[_i].type, specs[_i].size);

    spec.name = specs[_i].name;
    spec.path = specs[_i].path;
    if (specs[_i].error == NULL) {
        ck_assert_msg(rv_zone_check(&spec, zone_error()) == RV_OK, "%s", zone_error());
        return;
    }
    ck_assert_int_eq(rv_zone_check(&spec, zone_error()), RV_ERROR);
    ck_assert_str_eq(zone_error(), specs[_i].error);
    zone_assert_refused(&spec, NULL, specs[_i].error);
    ck_assert_int_eq(inits, 0);
}
END_TEST

/* The message names the least size; with that it works. */
START_TEST(size_that_is_too_small_is_told_with_what_is_needed)
{
    rv_zone_spec_t spec = spec_of("auto", 100);
    size_t size = 0, need = 0;

    spec.need = 5000;
    ck_assert_int_eq(rv_zone_check(&spec, zone_error()), RV_ERROR);
    ck_assert_int_eq(
        sscanf(zone_error(), "zone \"test\": size %zu is smaller than its content needs, %zu",
            &size, &need),
        2);
    ck_assert_uint_eq(size, 100);
    ck_assert_uint_ge(need, 5000);
    ck_assert_uint_le(need, 6000);

    spec.size = need - 1;
    ck_assert_int_eq(rv_zone_check(&spec, zone_error()), RV_ERROR);
    spec.size = need;
    ck_assert_int_eq(rv_zone_check(&spec, zone_error()), RV_OK);

    spec.need = SIZE_MAX - 10; /* header and all do not fit into a number */
    ck_assert_int_eq(rv_zone_check(&spec, zone_error()), RV_ERROR);
}
END_TEST

/* --- opening ---------------------------------------------------------------------------- */

static const char *const types[] = { "auto", "memfd", "anon", "devzero", "sysv" };

START_TEST(zone_is_filled_once_and_shared_with_children)
{
    rv_zone_spec_t spec = spec_of(types[_i], SIZE);
    int status;

    if (rv_zone_check(&spec, zone_error()) != RV_OK)
        return; /* not in this build */
    rv_zone_t *zone = zone_opened(&spec, NULL);
    ck_assert_int_eq(inits, 1);
    ck_assert_ptr_null(seen_old);
    ck_assert_str_eq(rv_zone_name(zone), "test");
    if (_i > 0)
        ck_assert_str_eq(rv_zone_type(zone), types[_i]);
    ck_assert_uint_eq(zone_generation(zone), 1);
    ck_assert_uint_eq(zone_recoveries(zone), 0);
    ck_assert_int_eq(content_of(zone)->number, 7);
    ck_assert_str_eq(content_of(zone)->text, "");

    pid_t pid = fork();
    ck_assert_int_ne(pid, -1);
    if (pid == 0) {
        content_of(zone)->number = 1234;
        _exit(0);
    }
    ck_assert_int_eq(waitpid(pid, &status, 0), pid);
    ck_assert_int_eq(content_of(zone)->number, 1234);
    rv_zone_close(zone, 1);
}
END_TEST

START_TEST(same_zone_in_the_next_generation_is_the_same_memory)
{
    rv_zone_spec_t spec = spec_of("auto", SIZE);
    rv_zone_t *zone = zone_opened(&spec, NULL);
    char name[] = "test", owner[] = "module"; /* other text, same content */

    content_of(zone)->number = 99;
    spec.name = name;
    spec.owner = owner;
    rv_zone_t *again = zone_opened(&spec, zone);
    ck_assert_ptr_eq(again, zone);
    ck_assert_int_eq(inits, 1);
    ck_assert_int_eq(content_of(again)->number, 99);

    rv_zone_close(zone, 1); /* the old generation is gone */
    ck_assert_int_eq(content_of(again)->number, 99);
    ck_assert_int_eq(rv_zone_lock(again), RV_OK);
    rv_zone_unlock(again);
    rv_zone_close(again, 1);
}
END_TEST

static const struct {
    const char *type;
    size_t size, need;
} changes[] = {
    { "anon", 2 * SIZE, sizeof(content_t) },
    { "anon", SIZE / 2, sizeof(content_t) },
    { "sysv", SIZE, sizeof(content_t) },
    { "posix", SIZE, sizeof(content_t) },
    { "anon", SIZE, sizeof(content_t) + 1000 },
};

START_TEST(changed_zone_is_new_memory_and_its_owner_carries_over)
{
    rv_zone_spec_t spec = spec_of("anon", SIZE);
    rv_zone_t *old = zone_opened(&spec, NULL);

    content_of(old)->number = 41;
    spec.type = changes[_i].type;
    spec.size = changes[_i].size;
    spec.need = changes[_i].need;
    rv_zone_t *zone = zone_opened(&spec, old);
    ck_assert_ptr_ne(zone, old);
    ck_assert_int_eq(inits, 2);
    ck_assert_ptr_eq(seen_old, old);
    ck_assert_int_eq(content_of(zone)->number, 42);
    ck_assert_str_eq(rv_zone_type(zone), changes[_i].type);

    /* the old generation goes on with its own */
    content_of(old)->number = 5;
    ck_assert_int_eq(content_of(zone)->number, 42);
    ck_assert_int_eq(rv_zone_lock(old), RV_OK);
    ck_assert_int_eq(rv_zone_lock(zone), RV_OK);
    rv_zone_unlock(zone);
    rv_zone_unlock(old);
    rv_zone_close(old, 1);
    ck_assert_int_eq(content_of(zone)->number, 42);
    rv_zone_close(zone, 1);
}
END_TEST

START_TEST(zone_of_another_owner_is_refused)
{
    rv_zone_spec_t spec = spec_of("anon", SIZE);
    rv_zone_t *old = zone_opened(&spec, NULL);

    spec.owner = "other";
    zone_assert_refused(&spec, old, "zone \"test\" belongs to \"module\", not to \"other\"");
    spec.size *= 2;
    zone_assert_refused(&spec, old, "zone \"test\" belongs to \"module\", not to \"other\"");
    ck_assert_int_eq(content_of(old)->number, 7);
    rv_zone_close(old, 1); /* the one opening that there is */
}
END_TEST

START_TEST(owner_that_cannot_fill_it_undoes_the_opening)
{
    rv_zone_spec_t spec = spec_of("anon", SIZE);
    rv_zone_t *old = zone_opened(&spec, NULL), *zone = NULL;

    init_result = RV_ERROR;
    spec.size *= 2;
    errno = 0;
    ck_assert_int_eq(rv_zone_open(&spec, old, &zone, zone_error()), RV_ERROR);
    ck_assert_ptr_nonnull(strstr(zone_error(), "zone \"test\": filling it failed ("));
    ck_assert_ptr_null(zone);

    spec.size = SIZE; /* the old one is as it was */
    rv_zone_t *again = zone_opened(&spec, old);
    ck_assert_ptr_eq(again, old);
    ck_assert_int_eq(content_of(old)->number, 7);
    rv_zone_close(again, 1);
    rv_zone_close(old, 1);
}
END_TEST

START_TEST(memory_that_cannot_be_had_is_told_with_errno)
{
    rv_zone_spec_t spec = spec_of("anon", SIZE_MAX / 2);
    char want[128];

    snprintf(want, sizeof(want), "zone \"test\": mapping %zu bytes of anon failed (%d: %s)",
        spec.size, ENOMEM, strerror(ENOMEM));
    zone_assert_refused(&spec, NULL, want);
}
END_TEST

/* --- handles ------------------------------------------------------------------------------ */

START_TEST(handle_is_given_back_with_the_last_opening)
{
    rv_zone_spec_t spec = spec_of("anon", SIZE);
    rv_zone_t *zone = zone_opened(&spec, NULL);
    int first = 1, second = 10;

    rv_zone_set_handle(zone, &first, release);
    ck_assert_ptr_eq(rv_zone_handle(zone), &first);
    rv_zone_set_handle(zone, &second, release); /* the first is of no use any more */
    ck_assert_int_eq(released, 1);
    ck_assert_ptr_eq(rv_zone_handle(zone), &second);

    ck_assert_ptr_eq(zone_opened(&spec, zone), zone);
    rv_zone_close(zone, 0);
    ck_assert_int_eq(released, 1);
    rv_zone_close(zone, 0);
    ck_assert_int_eq(released, 11);
}
END_TEST

START_TEST(held_zone_stays_open_as_long_as_its_holder)
{
    rv_zone_spec_t spec = spec_of("anon", SIZE);
    rv_zone_t *old = zone_opened(&spec, NULL);
    content_t *content = content_of(old);
    int one = 1;

    rv_zone_set_handle(old, &one, release);
    spec.size *= 2;
    seen_old = NULL;
    rv_zone_t *zone = zone_opened(&spec, NULL);
    rv_zone_hold(zone, old);
    rv_zone_close(old, 1);
    ck_assert_int_eq(released, 0);
    ck_assert_int_eq(content->number, 7);
    rv_zone_hold(zone, NULL);
    ck_assert_int_eq(released, 1);

    /* and so when the holder itself is closed */
    spec.size = SIZE;
    old = zone_opened(&spec, NULL);
    rv_zone_set_handle(old, &one, release);
    rv_zone_hold(zone, old);
    rv_zone_close(old, 1);
    ck_assert_int_eq(released, 1);
    rv_zone_close(zone, 1);
    ck_assert_int_eq(released, 2);
}
END_TEST

/* --- its memory ------------------------------------------------------------------------------ */

static int
init_nothing(RV_UNUSED rv_zone_t *zone, RV_UNUSED rv_zone_t *old, RV_UNUSED void *data)
{
    return RV_OK;
}

static const rv_zone_calls_t no_content = { .init = init_nothing };

START_TEST(memory_is_zeroed_aligned_and_ends_with_the_zone)
{
    rv_zone_spec_t spec = spec_of("auto", SIZE);
    size_t total = 0;
    char *last = NULL, *p;

    spec.calls = &no_content;
    rv_zone_t *zone = zone_opened(&spec, NULL);
    for (size_t size = 1; (p = rv_zone_alloc(zone, size)) != NULL; size = size * 3 % 1000 + 1) {
        ck_assert_uint_eq((uintptr_t) p % 64, 0);
        ck_assert(last == NULL || p >= last);
        for (size_t i = 0; i < size; i++)
            ck_assert_int_eq(p[i], 0);
        memset(p, 0xff, size);
        last = p + size;
        total += size;
    }
    ck_assert_int_eq(errno, ENOMEM);
    ck_assert_uint_le(total, SIZE);
    ck_assert_uint_ge(total, SIZE / 2);
    ck_assert_int_eq(rv_zone_lock(zone), RV_OK); /* the header is as it was */
    rv_zone_unlock(zone);
    rv_zone_close(zone, 1);
}
END_TEST

START_TEST(memory_may_be_taken_to_the_last_byte)
{
    rv_zone_spec_t spec = spec_of("auto", SIZE);
    static const size_t too_much[] = { SIZE, SIZE_MAX, SIZE_MAX - 62, SIZE_MAX / 2 };
    size_t room = 0;

    spec.calls = &no_content;
    rv_zone_t *zone = zone_opened(&spec, NULL);
    for (size_t i = 0; i < rv_countof(too_much); i++) {
        errno = 0;
        ck_assert_ptr_null(rv_zone_alloc(zone, too_much[i]));
        ck_assert_int_eq(errno, ENOMEM);
    }
    ck_assert_ptr_nonnull(rv_zone_alloc(zone, 0));

    while (rv_zone_alloc(zone, 64) != NULL)
        room += 64;
    ck_assert_uint_ge(room, SIZE - 1024);
    ck_assert_ptr_null(rv_zone_alloc(zone, 1));
    rv_zone_close(zone, 1);

    zone = zone_opened(&spec, NULL);
    ck_assert_ptr_null(rv_zone_alloc(zone, room + 1));
    char *all = rv_zone_alloc(zone, room);
    ck_assert_ptr_nonnull(all);
    memset(all, 0xff, room);
    rv_zone_close(zone, 1);
}
END_TEST

static Suite *
zone_suite(void)
{
    Suite *suite = suite_create("zone");
    TCase *tcase = tcase_create("zone");

    tcase_set_timeout(tcase, 60);
    tcase_add_loop_test(tcase, each_mistake_has_a_message_of_its_own, 0, (int) rv_countof(specs));
    tcase_add_test(tcase, size_that_is_too_small_is_told_with_what_is_needed);
    tcase_add_loop_test(
        tcase, zone_is_filled_once_and_shared_with_children, 0, (int) rv_countof(types));
    tcase_add_test(tcase, same_zone_in_the_next_generation_is_the_same_memory);
    tcase_add_loop_test(
        tcase, changed_zone_is_new_memory_and_its_owner_carries_over, 0, (int) rv_countof(changes));
    tcase_add_test(tcase, zone_of_another_owner_is_refused);
    tcase_add_test(tcase, owner_that_cannot_fill_it_undoes_the_opening);
    tcase_add_test(tcase, memory_that_cannot_be_had_is_told_with_errno);
    tcase_add_test(tcase, handle_is_given_back_with_the_last_opening);
    tcase_add_test(tcase, held_zone_stays_open_as_long_as_its_holder);
    tcase_add_test(tcase, memory_is_zeroed_aligned_and_ends_with_the_zone);
    tcase_add_test(tcase, memory_may_be_taken_to_the_last_byte);

    suite_add_tcase(suite, tcase);
    return suite;
}

int
main(void)
{
    return fixture_run(zone_suite());
}
