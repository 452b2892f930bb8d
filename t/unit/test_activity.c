/*
 * rv_activity and rv_doing: what one process notes is what another reads, and says.
 */
#include "rv_activity.h"
#include "rv_doing.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum { SLOTS = 4 };

static void
setup(void)
{
    ck_assert_int_eq(rv_activity_init(SLOTS), RV_OK);
}

static void
teardown(void)
{
    rv_activity_free();
}

/* Notes this in a process of its own, which has this slot. */
static void
note_elsewhere(unsigned slot, rv_activity_kind_t kind, unsigned listener, unsigned handler)
{
    int status;
    pid_t child = fork();

    ck_assert_int_ne(child, -1);
    if (child == 0) {
        rv_activity_own(slot);
        rv_activity_beat();
        rv_activity_note(kind, listener, handler);
        _exit(0);
    }
    ck_assert_int_eq(waitpid(child, &status, 0), child);
    ck_assert_int_eq(status, 0);
}

START_TEST(what_a_dead_process_has_noted_is_seen_in_its_slot_alone)
{
    note_elsewhere(2, RV_ACTIVITY_ANSWERING, 65535, 255);
    rv_activity_t activity = rv_activity_of(2);
    ck_assert_int_eq(activity.kind, RV_ACTIVITY_ANSWERING);
    ck_assert_uint_eq(activity.listener, 65535);
    ck_assert_uint_eq(activity.handler, 255);
    ck_assert_uint_eq(rv_activity_beats(2), 1);
    for (unsigned slot = 0; slot < SLOTS; slot++) {
        if (slot != 2) {
            ck_assert_int_eq(rv_activity_of(slot).kind, RV_ACTIVITY_STARTING);
            ck_assert_uint_eq(rv_activity_beats(slot), 0);
        }
    }

    rv_activity_clear(2);
    ck_assert_int_eq(rv_activity_of(2).kind, RV_ACTIVITY_STARTING);
    ck_assert_uint_eq(rv_activity_beats(2), 0);
}
END_TEST

START_TEST(without_a_slot_nothing_is_noted_and_nothing_breaks)
{
    rv_activity_note(RV_ACTIVITY_IDLE, 1, 1);
    rv_activity_own(SLOTS);
    rv_activity_note(RV_ACTIVITY_IDLE, 1, 1);
    rv_activity_beat();
    for (unsigned slot = 0; slot <= SLOTS; slot++) {
        ck_assert_int_eq(rv_activity_of(slot).kind, RV_ACTIVITY_STARTING);
        ck_assert_uint_eq(rv_activity_beats(slot), 0);
    }
}
END_TEST

START_TEST(a_name_has_one_number)
{
    char same[] = "one";
    unsigned one = rv_activity_define("one"), two = rv_activity_define("two");

    ck_assert_uint_ne(one, 0);
    ck_assert_uint_ne(one, two);
    ck_assert_uint_eq(rv_activity_define(same), one);
    ck_assert_str_eq(rv_activity_name(two), "two");
    ck_assert_ptr_null(rv_activity_name(0));
    ck_assert_ptr_null(rv_activity_name(two + 1));
    ck_assert_ptr_null(rv_activity_name(65535));
}
END_TEST

START_TEST(names_that_are_too_many_are_left_out)
{
    static char names[300][8];
    unsigned last = 1;

    for (unsigned i = 0; i < rv_countof(names); i++) {
        snprintf(names[i], sizeof(names[i]), "h%u", i);
        last = rv_activity_define(names[i]);
    }
    ck_assert_uint_eq(last, 0);
    ck_assert_str_eq(rv_activity_name(rv_activity_define("h0")), "h0");
}
END_TEST

/* --- in words -------------------------------------------------------------------------- */

static const struct {
    unsigned kind, listener, handler;
    const char *text;
} doings[] = {
    { RV_ACTIVITY_STARTING, 0, 0, "starting" },
    { RV_ACTIVITY_IDLE, 0, 0, "idle" },
    { RV_ACTIVITY_SERVING, 1, 0, "serving at \"127.0.0.1:8080\", service \"http\"" },
    { RV_ACTIVITY_SERVING, 2, 0, "serving at \"unix:/run/e\", service \"echo\"" },
    { RV_ACTIVITY_ANSWERING, 1, 1, "answering at \"127.0.0.1:8080\", handler \"return\"" },
    { RV_ACTIVITY_ANSWERING, 1, 2, "answering at \"127.0.0.1:8080\", service \"http\"" },
    { RV_ACTIVITY_ANSWERING, 3, 1, "answering" },
    { RV_ACTIVITY_ANSWERING, 65535, 65535, "answering" },
    { 6, 0, 0, "lost" },
    { 65535, 1, 0, "lost at \"127.0.0.1:8080\", service \"http\"" },
};

START_TEST(a_note_in_words)
{
    static const rv_service_t http = { .name = "http" }, echo = { .name = "echo" };
    rv_cycle_listener_t second = { .number = 2, .service = &echo };
    rv_cycle_listener_t first = { .next = &second, .number = 1, .service = &http };
    const rv_cycle_t cycle = { .listeners = &first };
    char text[RV_DOING_TEXT];
    const char *why;

    ck_assert_int_eq(rv_addr_parse("127.0.0.1:8080", &first.listener.addr, &why), RV_OK);
    ck_assert_int_eq(rv_addr_parse("unix:/run/e", &second.listener.addr, &why), RV_OK);
    ck_assert_uint_eq(rv_activity_define("return"), 1);
    rv_activity_own(0);
    rv_activity_note((rv_activity_kind_t) doings[_i].kind, doings[_i].listener, doings[_i].handler);
    ck_assert_str_eq(rv_doing(&cycle, 0, text), doings[_i].text);
}
END_TEST

static const struct {
    int64_t msec;
    const char *text;
} times[] = {
    { 0, "0ms" },
    { 350, "350ms" },
    { 999, "999ms" },
    { 1000, "1s" },
    { 12999, "12s" },
    { 60000, "1m" },
    { 61500, "1m1s" },
    { 3599999, "59m59s" },
    { 3600000, "1h" },
    { 7 * 3600 * 1000 + 59000, "7h" },
    { 26 * 3600 * 1000, "1d2h" },
    { INT64_C(400) * 24 * 3600 * 1000, "400d" },
};

START_TEST(a_time_as_it_is_written_in_the_configuration)
{
    char text[RV_DOING_TIME];

    ck_assert_str_eq(rv_doing_time(times[_i].msec, text), times[_i].text);
}
END_TEST

int
main(void)
{
    Suite *suite = suite_create("activity");
    TCase *tcase = tcase_create("activity");
    SRunner *runner = srunner_create(suite);

    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_add_test(tcase, what_a_dead_process_has_noted_is_seen_in_its_slot_alone);
    tcase_add_test(tcase, without_a_slot_nothing_is_noted_and_nothing_breaks);
    tcase_add_test(tcase, a_name_has_one_number);
    tcase_add_test(tcase, names_that_are_too_many_are_left_out);
    tcase_add_loop_test(tcase, a_note_in_words, 0, (int) rv_countof(doings));
    tcase_add_loop_test(
        tcase, a_time_as_it_is_written_in_the_configuration, 0, (int) rv_countof(times));
    suite_add_tcase(suite, tcase);

    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
