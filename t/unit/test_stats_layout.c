/*
 * rv_stats_layout: the memory says what is in it.
 *
 * Run with "reader FD SIZE", the program is a viewer that knows nothing but
 * the descriptor: it maps the memory to read it, and prints what it finds.
 */
#include "rv_stats_layout.h"

#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define ROWS 5
#define PAGE 4096

static const rv_stats_def_t connection_defs[] = {
    { "accepts", RV_STATS_COUNTER, "connections accepted" },
    { "active", RV_STATS_GAUGE, "open connections" },
    { 0 },
};
static const rv_stats_def_t http_defs[] = {
    { "requests", RV_STATS_COUNTER, "requests begun" },
    { 0 },
};

enum { ACCEPTS, ACTIVE, REQUESTS, VALUES };

static rv_stats_defs_t defs;
static int fd;
static size_t size;
static char *memory;
static rv_stats_t *st;

static rv_stats_layout_t *
header(void)
{
    return (rv_stats_layout_t *) (void *) memory;
}

static void
setup(void)
{
    rv_stats_define(&defs, "connections", connection_defs);
    rv_stats_define(&defs, "http", http_defs);
    size = rv_stats_size(&defs, ROWS);

    char name[] = "/tmp/rv_test_layout_XXXXXX";
    fd = mkstemp(name);
    ck_assert_int_ge(fd, 0);
    unlink(name);
    ck_assert_int_eq(ftruncate(fd, (off_t) size), 0);
    memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    ck_assert_ptr_ne(memory, MAP_FAILED);
    st = rv_stats_create(memory, &defs, ROWS);
    ck_assert_ptr_nonnull(st);
}

static void
teardown(void)
{
    rv_stats_free(st);
    munmap(memory, size);
    close(fd);
}

/* A process in the slot that has accepted so many. */
static void
count_accepts(unsigned slot, int64_t accepts)
{
    const rv_stats_owner_t owner = { .slot = slot, .pid = 100 };

    ck_assert_int_eq(rv_stats_prepare(st, slot), RV_OK);
    ck_assert_int_eq(rv_stats_set_owner(st, &owner), RV_OK);
    rv_stats_own(st, slot);
    rv_stats_apply(st, &(rv_stats_change_t){ ACCEPTS, accepts }, 1);
    rv_stats_apply(st, &(rv_stats_change_t){ ACTIVE, 2 }, 1);
}

static uint64_t
accepts_in(const rv_stats_t *stats)
{
    uint64_t values[RV_STATS_MAX];

    rv_stats_snapshot(stats, values);
    return values[ACCEPTS];
}

/* --- another program reads it --------------------------------------------------------- */

/* The viewer. Its mapping is read only: a reader that writes anything crashes. */
static int
print_all(int from, size_t length)
{
    void *seen = mmap(NULL, length, PROT_READ, MAP_SHARED, from, 0);
    rv_stats_t *stats = seen == MAP_FAILED ? NULL : rv_stats_attach(seen, length);
    uint64_t values[RV_STATS_MAX];
    rv_stats_owner_t owner;

    if (stats == NULL)
        return EXIT_FAILURE;

    rv_stats_snapshot(stats, values);
    for (unsigned i = 0; i < rv_stats_count(stats); i++)
        printf("%s %s %llu\n", rv_stats_kind(stats, i) == RV_STATS_COUNTER ? "counter" : "gauge",
            rv_stats_name(stats, i), (unsigned long long) values[i]);
    for (unsigned slot = 0; slot < 100; slot++) {
        if (rv_stats_row(stats, slot, &owner, values) == RV_OK)
            printf("slot %u pid %ld accepts %llu\n", slot, (long) owner.pid,
                (unsigned long long) values[rv_stats_find(stats, "connections", "accepts")]);
    }
    rv_stats_free(stats);
    return EXIT_SUCCESS;
}

START_TEST(other_program_finds_names_kinds_and_values)
{
    char number[16], length[32], text[1024] = "";
    int out[2], status;

    count_accepts(1, 7);
    ck_assert_int_eq(rv_stats_fold(st, 1), RV_OK);
    count_accepts(2, 30);
    ck_assert_int_eq(pipe(out), 0);

    pid_t pid = fork();
    ck_assert_int_ne(pid, -1);
    if (pid == 0) {
        dup2(out[1], STDOUT_FILENO);
        snprintf(number, sizeof(number), "%d", fd);
        snprintf(length, sizeof(length), "%zu", size);
        execl("/proc/self/exe", "test_stats_layout", "reader", number, length, (char *) NULL);
        _exit(127);
    }
    close(out[1]);
    for (ssize_t n, room = 0; (n = read(out[0], text + room, sizeof(text) - 1 - room)) > 0;)
        room += n;
    close(out[0]);
    ck_assert_int_eq(waitpid(pid, &status, 0), pid);
    ck_assert(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    ck_assert_str_eq(text,
        "counter accepts 37\n"
        "gauge active 2\n"
        "counter requests 0\n"
        "slot 2 pid 100 accepts 30\n");
}
END_TEST

START_TEST(memory_may_lie_where_the_other_process_likes)
{
    count_accepts(1, 7);
    char *again = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    ck_assert_ptr_ne(again, memory);
    rv_stats_t *other = rv_stats_attach(again, size);
    ck_assert_ptr_nonnull(other);

    /* both ways: what is written there is read here */
    rv_stats_own(other, 1);
    rv_stats_apply(other, &(rv_stats_change_t){ ACCEPTS, 5 }, 1);
    ck_assert_uint_eq(accepts_in(st), 12);
    ck_assert_int_eq(rv_stats_fold(other, 1), RV_OK);
    ck_assert_uint_eq(accepts_in(st), 12);
    ck_assert(rv_stats_same(other, &defs, ROWS));
    rv_stats_free(other);
    munmap(again, size);
}
END_TEST

/* --- its size --------------------------------------------------------------------------- */

/* Every row is written to its end, and the next page belongs to nobody. */
START_TEST(memory_of_the_size_asked_for_is_enough)
{
    static const unsigned rows[] = { 1, 2, 7, 64, 1024 };

    for (size_t i = 0; i < rv_countof(rows); i++) {
        size_t need = rv_stats_size(&defs, rows[i]), room = (need + PAGE - 1) / PAGE * PAGE;
        char *pages =
            mmap(NULL, room + PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

        ck_assert_uint_eq(need % 64, 0);
        ck_assert_int_eq(mprotect(pages + room, PAGE, PROT_NONE), 0);
        rv_stats_free(st);
        st = rv_stats_create(pages + room - need, &defs, rows[i]);
        ck_assert_ptr_nonnull(st);
        count_accepts(rows[i] - 1, 3);
        rv_stats_apply(st, &(rv_stats_change_t){ REQUESTS, 1 }, 1);
        ck_assert_uint_eq(accepts_in(st), 3);
        munmap(pages, room + PAGE);
    }
    ck_assert_uint_eq(rv_stats_layout_size(defs.count, ROWS), size);
}
END_TEST

/* A thousand rows are there, but memory is used for those in use. */
START_TEST(rows_never_used_stay_untouched)
{
    enum { MANY = 1024 };
    size_t need = rv_stats_size(&defs, MANY), used = 0;
    size_t pages = (need + PAGE - 1) / PAGE;
    char *large = mmap(NULL, need, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    unsigned char *there = malloc(pages);

    rv_stats_free(st);
    st = rv_stats_create(large, &defs, MANY);
    count_accepts(3, 1);
    (void) accepts_in(st);
    ck_assert_int_eq(mincore(large, need, there), 0);
    for (size_t i = 0; i < pages; i++)
        used += there[i] & 1;
    ck_assert_uint_ge(pages, 50);
    ck_assert_uint_le(used, 4);
    free(there);
}
END_TEST

/* --- what is not what it should be ------------------------------------------------------ */

static void
assert_refused(size_t length)
{
    errno = 0;
    ck_assert_ptr_null(rv_stats_attach(memory, length));
    ck_assert_int_eq(errno, EINVAL);
}

START_TEST(memory_of_something_else_is_refused)
{
    assert_refused(0);
    assert_refused(16);
    assert_refused(size - 1);
    assert_refused(size / 2);

    header()->version++;
    assert_refused(size);
    header()->version -= 2;
    assert_refused(size);
    header()->version++;
    header()->magic ^= 1;
    assert_refused(size);
    header()->magic ^= 1;
    header()->count = RV_STATS_MAX + 1;
    assert_refused(size);
    header()->count = VALUES;
    uint32_t row_size = header()->row_size;
    header()->row_size = 64; /* its values would be behind the end */
    assert_refused(header()->row_offset + ROWS * 64);
    header()->row_size = row_size;

    rv_stats_t *other = rv_stats_attach(memory, size);
    ck_assert_ptr_nonnull(other);
    rv_stats_free(other);
    memset(memory, 0, size);
    assert_refused(size);
}
END_TEST

/* Half made is not made: the magic number comes last. */
START_TEST(memory_that_is_not_filled_yet_is_refused)
{
    memset(memory, 0, size);
    ck_assert_int_eq(rv_stats_layout_fill(header(), &defs, ROWS), RV_OK);
    assert_refused(size);
    rv_stats_layout_finish(header());
    rv_stats_t *other = rv_stats_attach(memory, size);
    ck_assert_ptr_nonnull(other);
    rv_stats_free(other);
}
END_TEST

/* All that a reader does, in a process that may crash: behind the memory is a
 * page that is nobody's. */
static int
read_all_of_it(void)
{
    size_t room = (size + PAGE - 1) / PAGE * PAGE;
    int status;
    pid_t pid = fork();

    ck_assert_int_ne(pid, -1);
    if (pid == 0) {
        char *pages =
            mmap(NULL, room + PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        uint64_t values[RV_STATS_MAX];
        rv_stats_owner_t owner;

        memcpy(pages + room - size, memory, size);
        mprotect(pages + room, PAGE, PROT_NONE);
        rv_stats_t *stats = rv_stats_attach(pages + room - size, size);
        if (stats == NULL)
            _exit(errno == EINVAL ? 0 : 1);
        for (unsigned i = 0; i < rv_stats_count(stats); i++)
            (void) rv_stats_find(stats, "x", rv_stats_name(stats, i));
        rv_stats_snapshot(stats, values);
        for (unsigned slot = 0; slot < header()->rows && slot < 100; slot++)
            (void) rv_stats_row(stats, slot, &owner, values);
        _exit(0);
    }
    ck_assert_int_eq(waitpid(pid, &status, 0), pid);
    return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

/* Each number of the header in turn is some other number. */
START_TEST(damaged_header_is_refused_or_harmless)
{
    static const size_t fields[] = { offsetof(rv_stats_layout_t, count),
        offsetof(rv_stats_layout_t, rows), offsetof(rv_stats_layout_t, def_size),
        offsetof(rv_stats_layout_t, row_size), offsetof(rv_stats_layout_t, def_offset),
        offsetof(rv_stats_layout_t, base_offset), offsetof(rv_stats_layout_t, row_offset),
        offsetof(rv_stats_layout_t, value_offset), offsetof(rv_stats_layout_t, rows_used) };
    size_t field = fields[_i];
    uint32_t good, damaged;

    count_accepts(1, 7);
    memcpy(&good, memory + field, sizeof(good));
    const uint32_t wrong[] = { 0, 1, good - 1, good + 1, good + 64, good * 2, good * 1000,
        0x7fffffff, 0x80000000, 0xffffffc0, 0xffffffff };

    for (size_t i = 0; i < rv_countof(wrong); i++) {
        damaged = wrong[i];
        memcpy(memory + field, &damaged, sizeof(damaged));
        ck_assert_msg(read_all_of_it(), "crashed at offset %zu, value %u", field, damaged);
    }
    memcpy(memory + field, &good, sizeof(good));
    ck_assert_uint_eq(accepts_in(st), 7);
}
END_TEST

/* All of it is there, and more than our readers have room for. */
START_TEST(too_many_definitions_are_refused)
{
    enum { ROOM = 128 * 1024 };
    static _Alignas(64) char other[ROOM];
    rv_stats_layout_t *h = (rv_stats_layout_t *) (void *) other;

    memcpy(h, memory, sizeof(*h));
    h->count = RV_STATS_MAX;
    h->rows = 1;
    h->base_offset = h->def_offset + (RV_STATS_MAX + 1) * h->def_size + 64;
    h->base_offset -= h->base_offset % 64;
    h->row_offset = h->base_offset + 64 * RV_STATS_MAX;
    h->row_size = 64 * RV_STATS_MAX;
    rv_stats_t *stats = rv_stats_attach(other, ROOM);
    ck_assert_ptr_nonnull(stats);
    rv_stats_free(stats);

    h->count++;
    ck_assert_ptr_null(rv_stats_attach(other, ROOM));
    ck_assert_int_eq(errno, EINVAL);
}
END_TEST

/* Another version may leave room between the parts, and at the end of a row. */
START_TEST(offsets_say_where_the_parts_are)
{
    enum { ROOM = 64 * 1024, MORE = 256 };
    static _Alignas(64) char other[ROOM];
    rv_stats_layout_t *h = (rv_stats_layout_t *) (void *) other;

    count_accepts(0, 7);
    ck_assert_int_eq(rv_stats_fold(st, 0), RV_OK);
    count_accepts(1, 30);
    count_accepts(2, 100);
    memcpy(other, memory, header()->def_offset);
    h->def_offset += MORE;
    h->base_offset += 2 * MORE;
    h->row_offset += 3 * MORE;
    h->row_size += MORE;
    memcpy(other + h->def_offset, memory + header()->def_offset, VALUES * h->def_size);
    memcpy(other + h->base_offset, memory + header()->base_offset,
        header()->row_offset - header()->base_offset);
    for (unsigned i = 0; i < ROWS; i++)
        memcpy(other + h->row_offset + i * h->row_size,
            memory + header()->row_offset + i * header()->row_size, header()->row_size);

    rv_stats_t *stats = rv_stats_attach(other, ROOM);
    ck_assert_ptr_nonnull(stats);
    ck_assert_uint_eq(accepts_in(stats), 137);
    ck_assert_int_eq(rv_stats_find(stats, "http", "requests"), REQUESTS);
    rv_stats_free(stats);
}
END_TEST

/* --- texts -------------------------------------------------------------------------------- */

START_TEST(result_of_the_last_reload_is_kept)
{
    char text[2000];
    time_t before = time(NULL);

    rv_stats_set_master(st, 4711, 3);
    rv_stats_set_reload(st, 1, "unknown directive \"x\" in f:3");
    ck_assert_int_eq(header()->master, 4711);
    ck_assert_uint_eq(header()->generation, 3);
    ck_assert_int_eq(header()->reload_result, 1);
    ck_assert_uint_eq(header()->reloads, 1);
    ck_assert_str_eq(header()->reload_text, "unknown directive \"x\" in f:3");
    ck_assert_int_ge(header()->reload_time, before);
    ck_assert_int_le(header()->started, before);

    memset(text, 'x', sizeof(text) - 1);
    text[sizeof(text) - 1] = '\0';
    rv_stats_set_reload(st, 0, text);
    ck_assert_uint_eq(strlen(header()->reload_text), RV_STATS_TEXT - 1);
    ck_assert_uint_eq(header()->reloads, 2);
    count_accepts(1, 7);
    ck_assert_int_eq(rv_stats_fold(st, 1), RV_OK); /* the lock behind the text is sound */
    ck_assert_uint_eq(accepts_in(st), 7);
}
END_TEST

START_TEST(names_that_would_be_cut_are_refused)
{
    char longest[RV_STATS_NAME + 1], module[RV_STATS_MODULE + 1];
    rv_stats_def_t def[] = { { longest, RV_STATS_COUNTER, "" }, { 0 } };
    rv_stats_defs_t some = { 0 };

    memset(longest, 'n', sizeof(longest));
    memset(module, 'm', sizeof(module));
    longest[RV_STATS_NAME] = module[RV_STATS_MODULE] = '\0';
    ck_assert_int_eq(rv_stats_define(&some, "m", def), RV_ERROR);
    longest[RV_STATS_NAME - 1] = '\0';
    ck_assert_int_eq(rv_stats_define(&some, module, def), RV_ERROR);
    module[RV_STATS_MODULE - 1] = '\0';
    ck_assert_int_eq(rv_stats_define(&some, module, def), RV_OK);

    teardown();
    defs = some;
    setup(); /* two modules more */
    ck_assert_int_eq(rv_stats_find(st, module, longest), 0);
    ck_assert(rv_stats_same(st, &defs, ROWS));
}
END_TEST

static Suite *
stats_layout_suite(void)
{
    Suite *suite = suite_create("stats_layout");
    TCase *tcase = tcase_create("stats_layout");

    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_set_timeout(tcase, 120);
    tcase_add_test(tcase, other_program_finds_names_kinds_and_values);
    tcase_add_test(tcase, memory_may_lie_where_the_other_process_likes);
    tcase_add_test(tcase, memory_of_the_size_asked_for_is_enough);
    tcase_add_test(tcase, rows_never_used_stay_untouched);
    tcase_add_test(tcase, memory_of_something_else_is_refused);
    tcase_add_test(tcase, memory_that_is_not_filled_yet_is_refused);
    tcase_add_loop_test(tcase, damaged_header_is_refused_or_harmless, 0, 9);
    tcase_add_test(tcase, too_many_definitions_are_refused);
    tcase_add_test(tcase, offsets_say_where_the_parts_are);
    tcase_add_test(tcase, result_of_the_last_reload_is_kept);
    tcase_add_test(tcase, names_that_would_be_cut_are_refused);

    suite_add_tcase(suite, tcase);
    return suite;
}

int
main(int argc, char **argv)
{
    if (argc == 4 && strcmp(argv[1], "reader") == 0)
        return print_all(atoi(argv[2]), (size_t) atol(argv[3]));

    SRunner *runner = srunner_create(stats_layout_suite());

    srunner_run_all(runner, CK_NORMAL);

    int failed = srunner_ntests_failed(runner);

    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
