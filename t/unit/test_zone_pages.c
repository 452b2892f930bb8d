/*
 * rv_zone: zones that are kept in memory (mlock) and zones of huge pages.
 *
 * What the machine does not have is a warning, and the zone is as good as any.
 */
#include "zone_fixture.h"

#include <grp.h>
#include <sys/resource.h>

#define SIZE 65536
#define HUGE_PAGE (2L * 1024 * 1024)
#define NOBODY 65534

static int inits;
static long carried_over;
static char want[RV_ZONE_ERROR];

static long *
number_of(const rv_zone_t *zone)
{
    size_t room;

    return rv_zone_content(zone, &room);
}

static int
init(rv_zone_t *zone, rv_zone_t *old, RV_UNUSED void *data)
{
    long *number = rv_zone_alloc(zone, SIZE / 2);

    inits++;
    if (number == NULL)
        return RV_ERROR;

    carried_over = old == NULL ? 0 : *number_of(old);
    *number = carried_over + 1;
    memset(number + 1, 'x', SIZE / 2 - sizeof(*number));
    return RV_OK;
}

static const rv_zone_calls_t calls = { .init = init };

static rv_zone_spec_t
spec_of(const rv_shm_type_t *type)
{
    return (rv_zone_spec_t){ .name = "test",
        .owner = "module",
        .type = type->name,
        .path = fixture_path_for(type),
        .instance = fixture_place()->name,
        .size = SIZE,
        .need = SIZE / 2,
        .calls = &calls };
}

/* It can be used as any other. */
static void
assert_works(rv_zone_t *zone)
{
    ck_assert_int_eq(rv_zone_lock(zone), RV_OK);
    *number_of(zone) += 1;
    rv_zone_unlock(zone);
    ck_assert_int_eq(rv_zone_adopt(zone), RV_OK);
}

/* What /proc says of the mapping that holds this address, in kB; -1: no such line. */
static long
mapping_says(const void *addr, const char *field)
{
    FILE *maps = fopen("/proc/self/smaps", "re");
    char line[1024];
    unsigned long from, to;
    int found = 0;
    long value = -1;

    ck_assert_ptr_nonnull(maps);
    while (value == -1 && fgets(line, sizeof(line), maps) != NULL) {
        if (sscanf(line, "%lx-%lx ", &from, &to) == 2)
            found = (uintptr_t) addr >= from && (uintptr_t) addr < to;
        else if (found && strncmp(line, field, strlen(field)) == 0)
            value = strtol(line + strlen(field), NULL, 10);
    }
    fclose(maps);
    return value;
}

/* --- mlock ---------------------------------------------------------------------------------- */

/* A sanitizer may have made it a call that does nothing. */
static int
can_be_pinned(void)
{
    void *page = fixture_shared(SIZE);
    int result = mlock(page, SIZE) == 0 && mapping_says(page, "Locked:") > 0;

    munmap(page, SIZE);
    return result;
}

START_TEST(pinned_zone_is_kept_in_memory)
{
    rv_zone_spec_t spec = spec_of(rv_shm_type_at((size_t) _i));

    if (!can_be_pinned())
        return;
    rv_zone_t *zone = zone_opened(&spec, NULL);
    ck_assert_int_eq(mapping_says(number_of(zone), "Locked:"), 0);
    ck_assert_int_eq(rv_zone_adopt(zone), RV_OK);

    spec.pinned = 1; /* from the next generation on */
    rv_zone_t *pinned = zone_opened(&spec, zone);
    ck_assert_int_eq(*number_of(pinned), pinned == zone ? 1 : 2);
    ck_assert_int_ge(mapping_says(number_of(pinned), "Locked:"), SIZE / 1024);
    assert_works(pinned);
    ck_assert_ptr_eq(zone_opened(&spec, pinned), pinned);

    rv_zone_close(pinned, 1);
    rv_zone_close(zone, 1);
    assert_works(pinned);
    rv_zone_close(pinned, 1);
}
END_TEST

/* One that may not pin anything. */
static void
open_pinned_without_the_right(void)
{
    const struct rlimit none = { 0, 0 };
    rv_zone_spec_t spec = spec_of(rv_shm_type("auto"));

    if (setrlimit(RLIMIT_MEMLOCK, &none) == -1)
        _exit(1);
    if (geteuid() == 0
        && (setgroups(0, NULL) == -1 || setgid(NOBODY) == -1 || setuid(NOBODY) == -1))
        _exit(2);
    spec.pinned = 1;
    snprintf(want, sizeof(want), "zone \"test\": mlock of %d bytes failed (%d: %s)", SIZE, EPERM,
        strerror(EPERM));
    rv_zone_t *zone = zone_opened_saying(&spec, NULL, want);
    ck_assert_int_eq(inits, 1);
    assert_works(zone);
    ck_assert_int_eq(mapping_says(number_of(zone), "Locked:"), 0);
    rv_zone_close(zone, 1);
}

START_TEST(zone_that_may_not_be_pinned_is_a_warning)
{
    if (can_be_pinned())
        fixture_wait(fixture_spawn(open_pinned_without_the_right));
}
END_TEST

/* --- huge pages ------------------------------------------------------------------------------- */

#ifdef MAP_HUGETLB

static int
has_huge_pages(void)
{
    void *addr = mmap(
        NULL, HUGE_PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS | MAP_HUGETLB, -1, 0);

    if (addr != MAP_FAILED)
        munmap(addr, HUGE_PAGE);
    return addr != MAP_FAILED;
}

#else

static int
has_huge_pages(void)
{
    return 0;
}

#endif

static void
assert_huge(const rv_zone_t *zone)
{
    ck_assert_int_eq(mapping_says(number_of(zone), "KernelPageSize:"), HUGE_PAGE / 1024);
}

START_TEST(zone_of_huge_pages_is_one_or_says_that_it_is_not)
{
    const rv_shm_type_t *type = rv_shm_type_at((size_t) _i);
    rv_zone_spec_t spec = spec_of(type);
    int huge = type->flags & RV_SHM_HUGE && has_huge_pages();

    spec.huge = 1;
    snprintf(want, sizeof(want),
        "zone \"test\": no huge pages for %d bytes of %s, using normal ones", SIZE, type->name);
    rv_zone_t *zone = zone_opened_saying(&spec, NULL, huge ? "" : want);
    ck_assert_int_eq(inits, 1);
    if (huge)
        assert_huge(zone);
    else
        ck_assert_int_lt(mapping_says(number_of(zone), "KernelPageSize:"), HUGE_PAGE / 1024);
    assert_works(zone);
    rv_zone_close(zone, 1);
}
END_TEST

START_TEST(memory_of_normal_pages_is_not_said_to_be_huge)
{
    const rv_shm_type_t *type = rv_shm_type_at((size_t) _i);
    int huge = type->flags & RV_SHM_HUGE && has_huge_pages();
    int before = descriptors_open();
    rv_shm_t shm;

    ck_assert_int_eq(
        rv_shm_create(&shm, type, fixture_place()->name, fixture_path_for(type), SIZE, 1), RV_OK);
    ck_assert_int_eq(shm.huge, huge);
    ck_assert_uint_eq(shm.size, huge ? HUGE_PAGE : SIZE);
    for (size_t i = 0; i < shm.size; i++)
        ck_assert_int_eq(((char *) shm.addr)[i], 0);
    memset(shm.addr, 'x', shm.size);
    rv_shm_destroy(&shm);
    ck_assert_int_eq(descriptors_open(), before);
}
END_TEST

/* After an exec: its pages are what they are, and nobody is warned of them. */
START_TEST(inherited_zone_of_huge_pages_is_still_one)
{
    const rv_shm_type_t *memfd = rv_shm_type("memfd");
    rv_zone_t *inherited = NULL;

    if (memfd == NULL || !has_huge_pages())
        return;
    rv_zone_spec_t spec = spec_of(memfd);
    spec.huge = 1;
    rv_zone_t *zone = zone_opened(&spec, NULL);
    int fd = fcntl(rv_zone_fd(zone), F_DUPFD_CLOEXEC, 3);
    ck_assert_int_eq(rv_zone_inherit(&spec, fd, &inherited, zone_error()), RV_OK);
    assert_huge(inherited);
    ck_assert_ptr_eq(zone_opened(&spec, inherited), inherited);
    rv_zone_close(inherited, 0);
    rv_zone_close(inherited, 0);
    rv_zone_close(zone, 1);
}
END_TEST

static void
clear(void)
{
    char segment[FIXTURE_TEXT];

    for (int i = 0; i < 3; i++) {
        snprintf(segment, sizeof(segment), "reeve.%s.test.%d", fixture_place()->name, i);
        fixture_remove_segment(segment);
    }
    fixture_clear();
}

static void
teardown_run(void)
{
    clear();
    fixture_teardown_run();
}

static Suite *
zone_pages_suite(void)
{
    Suite *suite = suite_create("zone_pages");
    TCase *tcase = tcase_create("zone_pages");
    int n = fixture_count_types();

    tcase_add_unchecked_fixture(tcase, fixture_setup_run, teardown_run);
    tcase_add_checked_fixture(tcase, clear, clear);
    tcase_set_timeout(tcase, 60);
    tcase_add_loop_test(tcase, pinned_zone_is_kept_in_memory, 0, n);
    tcase_add_test(tcase, zone_that_may_not_be_pinned_is_a_warning);
    tcase_add_loop_test(tcase, zone_of_huge_pages_is_one_or_says_that_it_is_not, 0, n);
    tcase_add_loop_test(tcase, memory_of_normal_pages_is_not_said_to_be_huge, 0, n);
    tcase_add_test(tcase, inherited_zone_of_huge_pages_is_still_one);

    suite_add_tcase(suite, tcase);
    return suite;
}

int
main(void)
{
    return fixture_run(zone_pages_suite());
}
