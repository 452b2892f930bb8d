/*
 * rv_stats_layout: the memory says what is in it.
 *
 * Run with "reader FD SIZE", the program is a viewer that knows nothing but
 * the descriptor: it maps the memory to read it, and prints what it finds.
 */
#include "stats_fixture.h"

#include "rv_stats_layout.h"

#include <errno.h>
#include <stdio.h>

#define ROWS 5
#define PAGE 4096

static const rv_stats_def_t connection_defs[] = {
    { "accepts", RV_STATS_COUNTER, "connections accepted" },
    { "active", RV_STATS_GAUGE, "open connections" },
    { 0 },
};
static const rv_stats_def_t http_defs[] = {
    { "time", RV_STATS_HISTOGRAM, "time to answer" },
    { "requests", RV_STATS_COUNTER, "requests begun" },
    { 0 },
};

enum { ACCEPTS, ACTIVE, REQUESTS, TIME, VALUES }; /* the last takes many cells */

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

/* A process that has accepted so many; which row it has. */
static unsigned
count_accepts(int64_t accepts)
{
    unsigned row = stats_own(st);

    stats_add(st, ACCEPTS, accepts);
    stats_add(st, ACTIVE, 2);
    return row;
}

static uint64_t
accepts_in(const rv_stats_t *stats)
{
    return stats_total(stats, ACCEPTS);
}

/* --- another program reads it ------------------------------------------------------------- */

/* The viewer. Its mapping is read only: a reader that writes anything crashes. */
static int
print_all(int from, size_t length)
{
    static const char *const kinds[] = { "?", "counter", "gauge", "histogram" };
    void *seen = mmap(NULL, length, PROT_READ, MAP_SHARED, from, 0);
    rv_stats_t *stats = seen == MAP_FAILED ? NULL : rv_stats_attach(seen, length);
    uint64_t values[RV_STATS_CELLS];
    rv_stats_owner_t owner;
    rv_stats_view_t view;

    if (stats == NULL || rv_stats_view(stats, &view) != RV_OK)
        return EXIT_FAILURE;

    for (unsigned i = 0; i < rv_stats_count(stats); i++) {
        const rv_stats_info_t info = rv_stats_info(stats, i);
        const uint64_t *cell = view.totals + info.cell;
        uint64_t value = info.kind == RV_STATS_HISTOGRAM ? rv_stats_histogram_count(cell) : cell[0];

        printf("%s %s %s %llu (%s)\n", kinds[info.kind], info.module, info.name,
            (unsigned long long) value, info.help);
    }
    for (unsigned row = 0; row < 100; row++) {
        if (rv_stats_row(stats, row, &owner, values) == RV_OK)
            printf("slot %u generation %u accepts %llu\n", owner.slot, owner.generation,
                (unsigned long long) values[rv_stats_find(stats, "connections", "accepts")]);
    }
    rv_stats_view_free(&view);
    rv_stats_free(stats);
    return EXIT_SUCCESS;
}

START_TEST(other_program_finds_names_kinds_and_values)
{
    char number[16], length[32], text[1024] = "";
    int out[2], status;

    ck_assert_int_eq(rv_stats_fold(st, count_accepts(7)), RV_OK);
    unsigned row = count_accepts(30);
    const rv_stats_owner_t owner = { .slot = 2, .generation = 5, .pid = getpid() };
    rv_stats_set_owner(st, row, &owner);
    rv_stats_change_t changes[RV_STATS_OBSERVATION];
    rv_stats_apply(st, changes, rv_stats_observe(st, TIME, 1000, 4, changes));
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
        "counter connections accepts 37 (connections accepted)\n"
        "gauge connections active 2 (open connections)\n"
        "histogram http time 4 (time to answer)\n"
        "counter http requests 0 (requests begun)\n"
        "slot 2 generation 5 accepts 30\n");
}
END_TEST

START_TEST(memory_may_lie_where_the_other_process_likes)
{
    unsigned row = count_accepts(7);
    char *again = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    ck_assert_ptr_ne(again, memory);
    rv_stats_t *other = rv_stats_attach(again, size);
    ck_assert_ptr_nonnull(other);

    /* both ways: what is written there is read here */
    ck_assert_int_eq(rv_stats_own(other, row), RV_OK);
    stats_add(other, ACCEPTS, 5);
    ck_assert_uint_eq(accepts_in(st), 12);
    ck_assert_int_eq(rv_stats_fold(other, row), RV_OK);
    ck_assert_uint_eq(accepts_in(st), 12);
    ck_assert(rv_stats_same(other, &defs, ROWS));
    rv_stats_free(other);
    munmap(again, size);
}
END_TEST

/* --- its size ----------------------------------------------------------------------------- */

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
        for (unsigned n = 0; n < rows[i]; n++)
            count_accepts(3);
        stats_add(st, rv_stats_cells(st) - 1, 1);
        ck_assert_uint_eq(accepts_in(st), 3 * rows[i]);
        munmap(pages, room + PAGE);
    }
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
    count_accepts(1);
    (void) accepts_in(st);
    ck_assert_int_eq(mincore(large, need, there), 0);
    for (size_t i = 0; i < pages; i++)
        used += there[i] & 1;
    ck_assert_uint_ge(pages, 50);
    ck_assert_uint_le(used, 4);
    free(there);
}
END_TEST

/* --- what is not what it should be -------------------------------------------------------- */

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
    header()->cells = RV_STATS_CELLS + 1;
    assert_refused(size);
    header()->cells = rv_stats_cells(st);
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
    rv_stats_geometry_t at;

    memset(memory, 0, size);
    rv_stats_layout_place(&at, &defs, ROWS);
    ck_assert_uint_eq(rv_stats_layout_size(&at), size);
    ck_assert_int_eq(rv_stats_layout_fill(header(), &at, &defs), RV_OK);
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
        uint64_t values[RV_STATS_CELLS];
        rv_stats_owner_t owner;
        rv_stats_view_t view;

        memcpy(pages + room - size, memory, size);
        mprotect(pages + room, PAGE, PROT_NONE);
        rv_stats_t *stats = rv_stats_attach(pages + room - size, size);
        if (stats == NULL)
            _exit(errno == EINVAL ? 0 : 1);
        for (unsigned i = 0; i < rv_stats_count(stats); i++)
            (void) rv_stats_find(stats, "x", rv_stats_info(stats, i).name);
        rv_stats_snapshot(stats, values, RV_STATS_CELLS);
        for (unsigned row = 0; row < header()->rows && row < 100; row++)
            (void) rv_stats_row(stats, row, &owner, values);
        if (rv_stats_view(stats, &view) == RV_OK)
            rv_stats_view_free(&view);
        rv_stats_free(stats);
        _exit(0);
    }
    ck_assert_int_eq(waitpid(pid, &status, 0), pid);
    return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

static const size_t fields[] = { offsetof(rv_stats_layout_t, count),
    offsetof(rv_stats_layout_t, cells), offsetof(rv_stats_layout_t, plain),
    offsetof(rv_stats_layout_t, rows), offsetof(rv_stats_layout_t, def_size),
    offsetof(rv_stats_layout_t, row_size), offsetof(rv_stats_layout_t, def_offset),
    offsetof(rv_stats_layout_t, base_offset), offsetof(rv_stats_layout_t, base_size),
    offsetof(rv_stats_layout_t, row_offset), offsetof(rv_stats_layout_t, value_offset),
    offsetof(rv_stats_layout_t, rows_used) };

/* Each number of the header in turn is some other number. */
START_TEST(damaged_header_is_refused_or_harmless)
{
    size_t field = fields[_i];
    uint32_t good, damaged;

    count_accepts(7);
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
START_TEST(too_many_cells_are_refused)
{
    static _Alignas(128) char other[256 * 1024];
    rv_stats_layout_t *h = (rv_stats_layout_t *) (void *) other;

    memcpy(other, memory, header()->base_offset);
    h->rows = 1;
    h->base_size = 8 * (2 * RV_STATS_CELLS + 2);
    h->row_offset = h->base_offset + 2 * h->base_size;
    h->row_size = h->value_offset + 8 * (RV_STATS_CELLS + 2);
    h->cells = RV_STATS_CELLS;
    rv_stats_t *stats = rv_stats_attach(other, sizeof(other));
    ck_assert_ptr_nonnull(stats);
    rv_stats_free(stats);

    h->cells++;
    ck_assert_ptr_null(rv_stats_attach(other, sizeof(other)));
    ck_assert_int_eq(errno, EINVAL);
}
END_TEST

/* A cell that is not in the row, or a kind of another version. */
START_TEST(definition_that_cannot_be_read_is_no_value)
{
    static const struct {
        uint32_t kind, cell;
    } cases[] = { { RV_STATS_COUNTER, 3 + RV_STATS_HISTOGRAM_CELLS },
        { RV_STATS_COUNTER, UINT32_MAX }, { RV_STATS_HISTOGRAM, 4 },
        { RV_STATS_HISTOGRAM, UINT32_MAX }, { 0, 0 }, { 4, 0 }, { UINT32_MAX, 2 } };

    count_accepts(7);
    for (size_t i = 0; i < rv_countof(cases); i++) {
        rv_stats_layout_def_t *def = (void *) (memory + st->at.def_offset + 3 * st->at.def_size);

        def->kind = cases[i].kind;
        def->cell = cases[i].cell;
        rv_stats_t *other = rv_stats_attach(memory, size);
        ck_assert_ptr_nonnull(other);
        ck_assert_int_eq(rv_stats_find(other, "http", "requests"), RV_ERROR);
        const rv_stats_info_t info = rv_stats_info(other, 3);
        ck_assert_str_eq(info.name, "requests");
        ck_assert_uint_eq(info.kind, 0);
        ck_assert_uint_lt(info.cell, rv_stats_cells(other));
        ck_assert_int_eq(rv_stats_find(other, "connections", "active"), ACTIVE);
        ck_assert_uint_eq(accepts_in(other), 7);
        rv_stats_free(other);
    }
}
END_TEST

/* Another version may leave room between the parts, and at the end of a row. */
START_TEST(offsets_say_where_the_parts_are)
{
    enum { ROOM = 64 * 1024, MORE = 256 };
    static _Alignas(64) char other[ROOM];
    rv_stats_layout_t *h = (rv_stats_layout_t *) (void *) other;

    ck_assert_int_eq(rv_stats_fold(st, count_accepts(7)), RV_OK);
    count_accepts(30);
    count_accepts(100);
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

START_TEST(names_that_would_be_cut_are_refused)
{
    char longest[RV_STATS_NAME + 1], module[RV_STATS_MODULE + 1];
    char help[RV_STATS_HELP + 1] = "";
    rv_stats_def_t def[] = { { longest, RV_STATS_COUNTER, help }, { 0 } };
    rv_stats_defs_t some = { 0 };

    memset(longest, 'n', sizeof(longest));
    memset(module, 'm', sizeof(module));
    longest[RV_STATS_NAME] = module[RV_STATS_MODULE] = '\0';
    ck_assert_int_eq(rv_stats_define(&some, "m", def), RV_ERROR);
    longest[RV_STATS_NAME - 1] = '\0';
    ck_assert_int_eq(rv_stats_define(&some, module, def), RV_ERROR);
    module[RV_STATS_MODULE - 1] = '\0';
    memset(help, 'h', sizeof(help));
    help[RV_STATS_HELP] = '\0';
    ck_assert_int_eq(rv_stats_define(&some, module, def), RV_ERROR);
    help[RV_STATS_HELP - 1] = '\0';
    ck_assert_int_eq(rv_stats_define(&some, module, def), RV_OK);

    teardown();
    defs = some;
    setup(); /* two modules more */
    ck_assert_int_eq(rv_stats_find(st, module, longest), 0);
    ck_assert_str_eq(rv_stats_info(st, 0).help, help);
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
    tcase_add_loop_test(tcase, damaged_header_is_refused_or_harmless, 0, (int) rv_countof(fields));
    tcase_add_test(tcase, too_many_cells_are_refused);
    tcase_add_test(tcase, definition_that_cannot_be_read_is_no_value);
    tcase_add_test(tcase, offsets_say_where_the_parts_are);
    tcase_add_test(tcase, names_that_would_be_cut_are_refused);

    suite_add_tcase(suite, tcase);
    return suite;
}

int
main(int argc, char **argv)
{
    if (argc == 4 && strcmp(argv[1], "reader") == 0)
        return print_all(atoi(argv[2]), (size_t) atol(argv[3]));

    return stats_run(stats_layout_suite());
}
