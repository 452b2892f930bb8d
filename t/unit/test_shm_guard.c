/*
 * rv_shm_guard: somebody cuts a file off that is mapped here, and nobody dies.
 *
 * One writes to a page of its mapping at a time, in a child that may die of it.
 */
#include "shm_fixture.h"

#include "rv_shm_guard.h"

#include <sys/resource.h>

enum { PAGES = 8 };

static const char *path;
static size_t page;
static rv_shm_t shm;
static void *looked;
static size_t looked_size;

/* Seen by all processes of a test. */
typedef struct {
    volatile int stop, started;
    int result;
} report_t;

static report_t *report;

static void
setup(void)
{
    fixture_clear();
    path = fixture_place()->path;
    page = fixture_place()->page;
    report = fixture_shared(sizeof(*report));
    shm = fixture_created(rv_shm_type("file"), PAGES * page);
    memset(shm.addr, 'x', shm.size);
}

static char *
at(size_t offset)
{
    return (char *) shm.addr + offset;
}

/* Somebody else does this: the descriptor is not ours. */
static void
cut(size_t size)
{
    ck_assert_int_eq(truncate(path, (off_t) size), 0);
}

/* --- the file is lengthened ------------------------------------------------------------------ */

/* To nothing, to whole pages, and by less than a page. */
static const struct {
    unsigned pages;
    int more; /* bytes */
} cuts[] = { { 0, 0 }, { 0, 1 }, { 1, 0 }, { PAGES / 2, 0 }, { PAGES / 2, 100 }, { PAGES - 1, 0 },
    { PAGES, -1 }, { PAGES, -100 } };

START_TEST(writing_goes_on_wherever_it_was_cut_off)
{
    size_t size = (size_t) ((long) (cuts[_i].pages * page) + cuts[_i].more);

    for (size_t i = 0; i < PAGES; i++) {
        memset(shm.addr, 'x', shm.size);
        cut(size);
        *at(i * page) = 'a';
        *at((i + 1) * page - 1) = 'b';
        ck_assert_int_eq(*at(i * page), 'a');
        ck_assert_int_eq(*at((i + 1) * page - 1), 'b');
        ck_assert_int_eq(*at(0), i == 0 ? 'a' : size > 0 ? 'x' : '\0');
    }
    memset(shm.addr, 'y', shm.size);
    if (size <= (PAGES - 1) * page) /* otherwise no page was missing */
        ck_assert_uint_eq(fixture_file_size(path), shm.size);
    rv_shm_destroy(&shm);
}
END_TEST

START_TEST(what_was_cut_off_is_zeros_and_the_rest_as_it_was)
{
    size_t size = 3 * page + 10;

    cut(size);
    for (size_t i = 0; i < shm.size; i++)
        ck_assert_int_eq(*at(i), i < size ? 'x' : '\0');
    rv_shm_destroy(&shm);
}
END_TEST

/* What one writes after that, others see; it is the file and no copy. */
static void
look_for_answer(void)
{
    while (*(volatile char *) at(5 * page) != '?') {}
    *at(6 * page) = '!';
}

START_TEST(memory_that_was_cut_off_is_still_shared)
{
    cut(page);
    pid_t pid = fixture_spawn(look_for_answer);
    *at(5 * page) = '?';
    fixture_wait(pid);
    ck_assert_int_eq(*at(6 * page), '!');

    char byte = 0;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ck_assert_int_eq(pread(fd, &byte, 1, (off_t) (6 * page)), 1);
    ck_assert_int_eq(byte, '!');
    close(fd);
    rv_shm_destroy(&shm);
}
END_TEST

START_TEST(file_that_was_lengthened_does_no_harm)
{
    cut(3 * shm.size);
    for (size_t i = 0; i < PAGES; i++)
        *at(i * page) = 'a';
    ck_assert_uint_eq(fixture_file_size(path), 3 * shm.size);
    cut(shm.size);
    ck_assert_int_eq(*at(page), 'a');
    ck_assert_int_eq(*at(page + 1), 'x');
    rv_shm_destroy(&shm);
}
END_TEST

/* The file is cut off and lengthened all the time, at any page, as others write. */
static void
write_all_the_time(void)
{
    report->started = 1;
    for (size_t i = 0; !report->stop; i++) {
        *(volatile char *) at(i % PAGES * page) = 'a';
        *(volatile char *) at((i * 3 + 1) % PAGES * page + i % page) = 'b';
    }
}

START_TEST(writers_survive_a_file_that_changes_all_the_time)
{
    pid_t pid = fixture_spawn(write_all_the_time);

    fixture_wait_for(&report->started, pid);
    for (size_t i = 0; i < 2000; i++) {
        cut(i % (PAGES + 1) * page + (i % 3 == 0 ? i % page : 0));
        *(volatile char *) at(i * 5 % PAGES * page) = 'p';
    }
    report->stop = 1;
    fixture_wait(pid);
    rv_shm_destroy(&shm);
}
END_TEST

START_TEST(segment_of_posix_is_guarded_too)
{
    const rv_shm_type_t *posix = rv_shm_type("posix");

    if (posix == NULL)
        return;
    rv_shm_t segment = fixture_created(posix, PAGES * page);
    int fd = fixture_open_segment(fixture_place()->name);

    memset(segment.addr, 'x', segment.size);
    ck_assert_int_eq(ftruncate(fd, 10), 0);
    ((volatile char *) segment.addr)[5 * page] = 'a';
    ck_assert_int_eq(((char *) segment.addr)[9], 'x');
    ck_assert_int_eq(((char *) segment.addr)[10], '\0');
    close(fd);
    rv_shm_destroy(&segment);
    rv_shm_destroy(&shm);
}
END_TEST

/* --- for reading only --------------------------------------------------------------------------- */

static void
read_all(void)
{
    long sum = 0;

    for (size_t i = 0; i < looked_size; i += page)
        sum += ((volatile char *) looked)[i];
    report->result = sum == 0 ? 1 : 2;
}

START_TEST(reader_of_a_file_that_is_cut_off_survives_and_leaves_it)
{
    static const unsigned pages[] = { 0, 1, PAGES - 1 };
    int fd = open(path, O_RDONLY | O_CLOEXEC);

    for (size_t i = 0; i < rv_countof(pages); i++) {
        cut(shm.size);
        memset(shm.addr, 'x', shm.size);
        looked = rv_shm_look(fd, &looked_size);
        ck_assert_ptr_nonnull(looked);
        ck_assert_uint_eq(looked_size, PAGES * page);
        cut(pages[i] * page);
        fixture_wait(fixture_spawn(read_all));
        ck_assert_int_ne(report->result, 0);
        ck_assert_uint_eq(fixture_file_size(path), pages[i] * page);
        rv_shm_look_away(looked, looked_size);
    }
    close(fd);
    rv_shm_destroy(&shm);
}
END_TEST

/* --- no room for it -------------------------------------------------------------------------------- */

static struct rlimit no_limit;

/* As a full disk is: the file cannot be made longer. */
static void
limit_files(void)
{
    struct rlimit small;

    signal(SIGXFSZ, SIG_IGN);
    getrlimit(RLIMIT_FSIZE, &no_limit);
    small = no_limit;
    small.rlim_cur = page;
    setrlimit(RLIMIT_FSIZE, &small);
}

static void
write_where_no_room_is(void)
{
    limit_files();
    *at(5 * page) = 'a';
    *at(0) = 'b';
    if (*at(5 * page) != 'a' || *at(5 * page + 1) != '\0' || rv_shm_mend(&shm) != RV_ERROR)
        _exit(1);
    setrlimit(RLIMIT_FSIZE, &no_limit);
    if (rv_shm_mend(&shm) != RV_OK || *at(5 * page) != '\0')
        _exit(2);
    *at(5 * page) = 'c';
}

START_TEST(zeros_take_its_place_until_there_is_room)
{
    cut(2 * page);
    fixture_wait(fixture_spawn(write_where_no_room_is));
    ck_assert_uint_eq(fixture_file_size(path), shm.size);
    ck_assert_int_eq(*at(5 * page), 'c'); /* that is the file again */
    ck_assert_int_eq(*at(0), 'x');        /* and that went to the zeros */
    rv_shm_destroy(&shm);
}
END_TEST

/* --- mending ----------------------------------------------------------------------------------------- */

START_TEST(mended_file_is_as_long_as_it_was)
{
    struct stat st;

    ck_assert_int_eq(rv_shm_mend(&shm), RV_OK);
    for (size_t i = 0; i <= PAGES; i += 4) {
        memset(shm.addr, 'x', shm.size);
        cut(i * page);
        ck_assert_int_eq(rv_shm_mend(&shm), RV_OK);
        ck_assert_int_eq(stat(path, &st), 0);
        ck_assert_uint_eq(st.st_size, shm.size);
        ck_assert_uint_ge(512 * (size_t) st.st_blocks, shm.size);
        for (size_t k = 0; k < PAGES; k++)
            ck_assert_int_eq(*at(k * page), k < i ? 'x' : '\0');
    }
    rv_shm_destroy(&shm);
}
END_TEST

/* --- what is not guarded ------------------------------------------------------------------------------- */

static void
touch_a_file_of_our_own(void)
{
    int fd = open(path, O_RDWR | O_CLOEXEC);
    volatile char *own = mmap(NULL, PAGES * page, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

    cut(0);
    own[page] = 'a';
}

/* The guarded mapping has gone; its addresses may be anybody's. */
static void
touch_after_the_guard(void)
{
    void *addr = shm.addr;
    int fd = open(path, O_RDWR | O_CLOEXEC);

    rv_shm_guard_remove(addr);
    (void) mmap(addr, shm.size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, fd, 0);
    cut(0);
    *at(page) = 'a';
}

static void
be_sent_one(void)
{
    kill(getpid(), SIGBUS);
}

static void (*const faults[])(
    void) = { touch_a_file_of_our_own, touch_after_the_guard, be_sent_one };

START_TEST(sigbus_that_is_not_ours_kills)
{
    int number = fixture_signal_of(fixture_spawn(faults[_i]));

    ck_assert_int_eq(number, SIGBUS);
    rv_shm_destroy(&shm);
}
END_TEST

START_TEST(errno_is_kept)
{
    cut(0);
    errno = ENOTTY;
    *(volatile char *) at(page) = 'a';
    ck_assert_int_eq(errno, ENOTTY);
    rv_shm_destroy(&shm);
}
END_TEST

/* Mappings come and go; only so many are there at a time. */
START_TEST(guards_are_given_back)
{
    char *addr = shm.addr;
    int most = 0;

    for (int i = 0; i < 1000; i++) {
        ck_assert_int_eq(rv_shm_guard_add(addr + page, 1, shm.fd), RV_OK);
        rv_shm_guard_remove(addr + page);
        rv_shm_guard_remove(addr + 2 * page);
        rv_shm_guard_remove(NULL);
    }
    while (most < 1000 && rv_shm_guard_add(addr + page, 1, shm.fd) == RV_OK)
        most++;
    ck_assert_int_ge(most, 32);
    ck_assert_int_lt(most, 1000);
    ck_assert_int_eq(errno, ENOMEM);

    /* which is an error of mapping, and leaves nothing */
    rv_shm_t one_more;
    int before = descriptors_open();
    const char *other = fixture_place()->other;
    ck_assert_int_eq(
        rv_shm_create(&one_more, rv_shm_type("file"), "name", other, page, 0), RV_ERROR);
    ck_assert_int_eq(errno, ENOMEM);
    fixture_assert_empty(&one_more);
    ck_assert_int_eq(descriptors_open(), before);
    ck_assert(!fixture_exists(other));
    rv_shm_destroy(&shm);
}
END_TEST

static Suite *
shm_guard_suite(void)
{
    Suite *suite = suite_create("shm_guard");
    TCase *tcase = tcase_create("shm_guard");

    tcase_add_unchecked_fixture(tcase, fixture_setup_run, fixture_teardown_run);
    tcase_add_checked_fixture(tcase, setup, fixture_clear);
    tcase_set_timeout(tcase, 60);
    tcase_add_loop_test(tcase, writing_goes_on_wherever_it_was_cut_off, 0, (int) rv_countof(cuts));
    tcase_add_test(tcase, what_was_cut_off_is_zeros_and_the_rest_as_it_was);
    tcase_add_test(tcase, memory_that_was_cut_off_is_still_shared);
    tcase_add_test(tcase, file_that_was_lengthened_does_no_harm);
    tcase_add_test(tcase, writers_survive_a_file_that_changes_all_the_time);
    tcase_add_test(tcase, segment_of_posix_is_guarded_too);
    tcase_add_test(tcase, reader_of_a_file_that_is_cut_off_survives_and_leaves_it);
    tcase_add_test(tcase, zeros_take_its_place_until_there_is_room);
    tcase_add_test(tcase, mended_file_is_as_long_as_it_was);
    tcase_add_loop_test(tcase, sigbus_that_is_not_ours_kills, 0, (int) rv_countof(faults));
    tcase_add_test(tcase, errno_is_kept);
    tcase_add_test(tcase, guards_are_given_back);

    suite_add_tcase(suite, tcase);
    return suite;
}

int
main(void)
{
    return fixture_run(shm_guard_suite());
}
