/*
 * rv_replay: a ring of messages, over its end and over the death of its writer.
 */
#include "rv_replay.h"

#include <check.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { SIZE = 4096, FIRST = 1000, ROOM = 64 * 1024 };

static void *memory;
static rv_replay_t ring;
static char batch[ROOM];

static void
setup(void)
{
    memory = mmap(NULL, ROOM, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    ck_assert_ptr_ne(memory, MAP_FAILED);
    ck_assert_int_eq(rv_replay_create(&ring, memory, SIZE, FIRST), RV_OK);
}

static void
teardown(void)
{
    munmap(memory, ROOM);
}

/* The text of a message says its id, and is longer or shorter by that. */
static size_t
make_text(uint64_t id, char text[512])
{
    size_t length = (size_t) snprintf(text, 512, "%llu:", (unsigned long long) id);

    while (length < 8 + id * 7 % 400) {
        text[length] = (char) ('a' + (id + length) % 26);
        length++;
    }
    return length;
}

static uint64_t
add(rv_replay_t *r)
{
    char text[512], topic[16];
    uint64_t expected = rv_replay_last(r) + 1, id = 0;
    size_t length = make_text(expected, text);
    int n = snprintf(topic, sizeof(topic), "t%llu", (unsigned long long) expected % 3);

    ck_assert_int_eq(rv_replay_append(r, topic, (size_t) n, text, length, &id), RV_OK);
    ck_assert_uint_eq(id, expected);
    ck_assert_uint_eq(rv_replay_last(r), expected);
    return id;
}

static void
expect_message(const rv_replay_message_t *m, uint64_t id)
{
    char text[512], topic[16];
    size_t length = make_text(id, text);
    int n = snprintf(topic, sizeof(topic), "t%llu", (unsigned long long) id % 3);

    ck_assert_uint_eq(m->id, id);
    ck_assert_uint_eq(m->topic_length, (unsigned) n);
    ck_assert_mem_eq(m->topic, topic, (size_t) n);
    ck_assert_uint_eq(m->text_length, length);
    ck_assert_mem_eq(m->text, text, length);
}

/* Reads all that there is, and expects ids from `from` to the last. */
static void
expect_all(const rv_replay_t *r, rv_replay_cursor_t *cursor, uint64_t from, size_t room)
{
    rv_replay_message_t m;
    size_t length;
    int lost;

    while ((length = rv_replay_read(r, cursor, UINT64_MAX, batch, room, &lost)) > 0) {
        ck_assert_uint_le(length, room);
        for (size_t at = 0; rv_replay_next(batch, length, &at, &m) == RV_OK;)
            expect_message(&m, from++);
    }
    ck_assert_uint_eq(from, rv_replay_last(r) + 1);
    ck_assert_uint_eq(cursor->id, rv_replay_last(r));
}

/* The oldest that is held. */
static uint64_t
oldest(const rv_replay_t *r)
{
    rv_replay_cursor_t cursor = { 0, 0 };
    rv_replay_message_t m = { 0, NULL, NULL, 0, 0 };
    size_t at = 0;
    int lost;
    size_t length = rv_replay_read(r, &cursor, UINT64_MAX, batch, sizeof(batch), &lost);

    ck_assert_int_eq(lost, 1);
    ck_assert_int_eq(rv_replay_next(batch, length, &at, &m), RV_OK);
    return m.id;
}

START_TEST(reader_that_keeps_up_gets_each_message_once)
{
    rv_replay_cursor_t cursor = { FIRST, 0 };

    expect_all(&ring, &cursor, FIRST + 1, SIZE);
    for (int i = 0; i < 1000; i++) {
        uint64_t id = add(&ring);

        if (i % 5 == 0) /* 5 are always held */
            expect_all(&ring, &cursor, rv_max(id - 4, (uint64_t) FIRST + 1), SIZE / 4);
    }
}
END_TEST

START_TEST(reader_may_begin_anywhere)
{
    for (int i = 0; i < 100; i++)
        (void) add(&ring);
    uint64_t first = oldest(&ring);
    ck_assert_uint_gt(first, FIRST + 50);
    ck_assert_uint_lt(first, FIRST + 100);

    for (uint64_t id = first - 1; id <= FIRST + 100; id++) {
        rv_replay_cursor_t cursor = { id, 0 };

        expect_all(&ring, &cursor, id + 1, SIZE);
    }
}
END_TEST

/* Older than what is held, and what was never given out: all there is, and it is told. */
START_TEST(reader_is_told_of_what_it_has_missed)
{
    static const uint64_t ids[] = { 0, 1, FIRST, FIRST + 1, FIRST + 101, UINT64_MAX };
    int lost;

    for (int i = 0; i < 100; i++)
        (void) add(&ring);
    uint64_t first = oldest(&ring);
    for (size_t i = 0; i < rv_countof(ids); i++) {
        rv_replay_cursor_t cursor = { ids[i], 0 };

        ck_assert_uint_eq(rv_replay_read(&ring, &cursor, 0, batch, sizeof(batch), &lost), 0);
        ck_assert_int_eq(lost, 1);
        expect_all(&ring, &cursor, first, SIZE);
    }

    /* one that stood still for too long */
    rv_replay_cursor_t cursor = { FIRST + 100, 0 };
    expect_all(&ring, &cursor, FIRST + 101, SIZE);
    for (int i = 0; i < 100; i++)
        (void) add(&ring);
    ck_assert_uint_gt(rv_replay_read(&ring, &cursor, UINT64_MAX, batch, sizeof(batch), &lost), 0);
    ck_assert_int_eq(lost, 1);
}
END_TEST

START_TEST(reader_may_stop_at_an_id)
{
    rv_replay_cursor_t cursor = { FIRST, 0 };
    int lost;

    for (int i = 0; i < 5; i++)
        (void) add(&ring);
    (void) rv_replay_read(&ring, &cursor, FIRST + 3, batch, sizeof(batch), &lost);
    ck_assert_uint_eq(cursor.id, FIRST + 3);
    ck_assert_uint_eq(rv_replay_read(&ring, &cursor, FIRST + 3, batch, sizeof(batch), &lost), 0);
    expect_all(&ring, &cursor, FIRST + 4, SIZE);
}
END_TEST

START_TEST(messages_have_a_largest_size)
{
    const size_t most = rv_replay_largest(ring.size);
    char *text = calloc(1, SIZE);
    uint64_t id = 0;

    add(&ring);
    ck_assert_int_eq(rv_replay_append(&ring, "t", 1, text, most, &id), RV_ERROR);
    ck_assert_int_eq(errno, EMSGSIZE);
    ck_assert_int_eq(rv_replay_append(&ring, "t", SIZE_MAX, text, most, &id), RV_ERROR);
    ck_assert_uint_eq(rv_replay_last(&ring), FIRST + 1);
    ck_assert_int_eq(rv_replay_append(&ring, "t", 1, text, most - 100, &id), RV_OK);
    ck_assert_int_eq(rv_replay_append(&ring, "", 0, "", 0, &id), RV_OK);
    ck_assert_uint_eq(id, FIRST + 3);
    free(text);
}
END_TEST

/* To a larger one, a smaller one, one that takes none of its messages. */
START_TEST(messages_are_carried_over)
{
    static const size_t sizes[] = { ROOM, SIZE, SIZE / 2, 1200 };
    char *other = calloc(1, ROOM);
    rv_replay_t to;

    for (int i = 0; i < 30; i++)
        (void) add(&ring);
    uint64_t first = oldest(&ring);
    ck_assert_int_eq(rv_replay_create(&to, other, sizes[_i], FIRST + 500), RV_OK);
    rv_replay_copy(&to, &ring);
    ck_assert_uint_eq(rv_replay_last(&to), FIRST + 500);
    ck_assert_int_eq(rv_replay_check(&to, other, sizes[_i]), RV_OK);
    if (_i < 3) {
        uint64_t now = oldest(&to);
        ck_assert(sizes[_i] < SIZE ? now > first : now == first);
    }
    ck_assert_uint_eq(add(&to), FIRST + 501);
    rv_replay_cursor_t cursor = { FIRST + 500, 0 };
    expect_all(&to, &cursor, FIRST + 501, ROOM);
    free(other);
}
END_TEST

START_TEST(memory_that_is_none_is_refused)
{
    rv_replay_t r;

    for (int i = 0; i < 100; i++)
        (void) add(&ring);
    ck_assert_int_eq(rv_replay_check(&r, memory, SIZE), RV_OK);
    ck_assert_int_eq(rv_replay_check(&r, memory, SIZE - 8), RV_ERROR);
    ck_assert_int_eq(rv_replay_check(&r, memory, 100), RV_ERROR);
    ck_assert_int_eq(rv_replay_create(&r, memory, 100, 0), RV_ERROR);
    ((char *) memory)[3] ^= 1;
    ck_assert_int_eq(rv_replay_check(&r, memory, SIZE), RV_ERROR);
}
END_TEST

/* Whatever stands there: nothing is read beyond, and nothing goes on for ever. */
START_TEST(memory_that_was_scribbled_over_harms_no_reader)
{
    rv_replay_message_t m;
    uint64_t id;
    int lost;

    srand(1);
    for (int round = 0; round < 3000; round++) {
        char *copy = malloc(SIZE); /* for sanitizers: not a byte more */
        rv_replay_t r;

        ck_assert_int_eq(rv_replay_create(&r, copy, SIZE, FIRST), RV_OK);
        for (int i = 0; i < 40; i++)
            (void) add(&r);
        for (int i = 0; i < 1 + round % 20; i++)
            copy[(size_t) rand() % (round % 2 ? 64 : SIZE)] = (char) rand();
        rv_replay_cursor_t cursor = { FIRST + 40 - (uint64_t) round % 45, 0 };
        for (int i = 0; i < 3; i++) {
            size_t length = rv_replay_read(&r, &cursor, UINT64_MAX, batch, SIZE, &lost);
            ck_assert_uint_le(length, SIZE);
            for (size_t at = 0; rv_replay_next(batch, length, &at, &m) == RV_OK;)
                ck_assert_uint_le(at, length);
            (void) rv_replay_append(&r, "t", 1, "text", 4, &id);
        }
        (void) rv_replay_check(&r, copy, SIZE);
        free(copy);
    }
}
END_TEST

/* In a process that will be killed: without Check, which would be hurt by that. */
static void
write_for_ever(int told)
{
    char text[512], topic[16];
    uint64_t id;

    for (;;) {
        uint64_t next = rv_replay_last(&ring) + 1;
        size_t length = make_text(next, text);
        int n = snprintf(topic, sizeof(topic), "t%llu", (unsigned long long) next % 3);

        if (rv_replay_append(&ring, topic, (size_t) n, text, length, &id) != RV_OK || id != next
            || write(told, &id, sizeof(id)) != sizeof(id))
            _exit(1);
    }
}

/*
 * A writer is killed, at any time; the next goes on: no message is half there, none that was told
 * to be there is missing, and no id is given twice.
 */
START_TEST(writer_may_be_killed_at_any_time)
{
    int told[2];
    uint64_t id = FIRST, last = FIRST;

    for (int round = 0; round < 200; round++) {
        ck_assert_int_eq(pipe(told), 0);
        pid_t pid = fork();
        ck_assert_int_ne(pid, -1);
        if (pid == 0)
            write_for_ever(told[1]);
        close(told[1]);
        const struct timespec some = { 0, rand() % 1000 * 1000 };
        ck_assert_int_eq(read(told[0], &last, sizeof(last)), sizeof(last));
        nanosleep(&some, NULL); /* so that it is killed somewhere else each time */
        ck_assert_int_eq(kill(pid, SIGKILL), 0);
        ck_assert_int_eq(waitpid(pid, NULL, 0), pid);
        while (read(told[0], &id, sizeof(id)) == sizeof(id))
            last = id;
        close(told[0]);

        ck_assert_int_eq(rv_replay_check(&ring, memory, SIZE), RV_OK);
        ck_assert_uint_ge(rv_replay_last(&ring), last);
        ck_assert_uint_le(rv_replay_last(&ring), last + 1);
        uint64_t first = oldest(&ring);
        rv_replay_cursor_t cursor = { first - 1, 0 };
        expect_all(&ring, &cursor, first, SIZE);
    }
}
END_TEST

int
main(void)
{
    Suite *s = suite_create("replay");
    TCase *tc = tcase_create("replay");

    tcase_set_timeout(tc, 120);
    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_add_test(tc, reader_that_keeps_up_gets_each_message_once);
    tcase_add_test(tc, reader_may_begin_anywhere);
    tcase_add_test(tc, reader_is_told_of_what_it_has_missed);
    tcase_add_test(tc, reader_may_stop_at_an_id);
    tcase_add_test(tc, messages_have_a_largest_size);
    tcase_add_loop_test(tc, messages_are_carried_over, 0, 4);
    tcase_add_test(tc, memory_that_is_none_is_refused);
    tcase_add_test(tc, memory_that_was_scribbled_over_harms_no_reader);
    tcase_add_test(tc, writer_may_be_killed_at_any_time);
    suite_add_tcase(s, tc);
    SRunner *sr = srunner_create(s);
    srunner_run_all(sr, CK_ENV);
    int failed = srunner_ntests_failed(sr);
    srunner_free(sr);
    return failed == 0 ? 0 : 1;
}
