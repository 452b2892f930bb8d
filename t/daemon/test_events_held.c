/*
 * test_events_held: a process that is stopped while it holds the lock of the messages.
 *
 * The test is that process: it has the zone's file mapped, and takes the lock.
 */
#include "look.h"
#include "sse.h"

#include "rv_zone_layout.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

enum { WORKERS = 3, SIZE = 4096 };

static daemon_t d;
static sse_reader_t here, behind;
static rv_zone_header_t *zone;

static void
configure(const char *size)
{
    daemon_conff(&d,
        "[main]\nworker_processes = %d\nerror_log = logs/error.log info\n"
        "[zone stats]\ntype = %s\n[zone events]\ntype = file\npath = logs/events.zone\nsize = %s\n"
        "[http]\nlisten = 127.0.0.1:%d reuseport\n"
        "[location /events]\nhandler = events\n[location /publish]\nhandler = publish\n"
        "[location /hello]\nhandler = return\nreturn = 200 hello\n",
        WORKERS, look_type(), size, d.port);
}

static void
setup(void)
{
    daemon_setup(&d);
    configure("2m");
    daemon_start(&d);
    memset(&here, 0, sizeof(here));
    memset(&behind, 0, sizeof(behind));

    int fd = open(daemon_path(&d, "logs/events.zone"), O_RDWR | O_CLOEXEC);
    ck_assert_int_ne(fd, -1);
    zone = mmap(NULL, SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    ck_assert_ptr_ne(zone, MAP_FAILED);
    close(fd);
}

static void
teardown(void)
{
    munmap(zone, SIZE);
    daemon_teardown(&d);
}

static void
hold(void)
{
    ck_assert_int_eq(rv_lock_acquire(&zone->lock, NULL, NULL), RV_OK);
}

static void
let_go(void)
{
    rv_lock_release(&zone->lock);
}

static int64_t
publish(const char *text)
{
    return sse_publish(&d, "a", text, strlen(text));
}

static void
expect_event(sse_reader_t *r, int64_t id, const char *text)
{
    ck_assert(sse_event(r));
    ck_assert_str_eq(r->data, text);
    ck_assert_int_eq((int64_t) r->id, id);
}

static int
is_published(daemon_t *unused, void *id)
{
    (void) unused;
    *(int64_t *) id = publish("two");
    return *(int64_t *) id > 0;
}

START_TEST(nobody_is_held_up_and_nothing_is_missed)
{
    char text[512], line[64];

    sse_open(&d, &here, "/events?topic=a", "");
    ck_assert(sse_block(&here));
    int64_t one = publish("one"), two = 0;
    ck_assert_int_gt(one, 0);
    expect_event(&here, one, "one");

    hold();
    snprintf(line, sizeof(line), "Last-Event-ID: %lld\r\n", (long long) one - 1);
    sse_open(&d, &behind, "/events?topic=a", line);
    for (int i = 0; i < 4 * WORKERS; i++) { /* at each worker */
        ck_assert_int_eq(publish("not taken"), -503);
        ck_assert_int_eq(daemon_get(&d, "/hello", text, sizeof(text)), 200);
    }
    let_go();

    daemon_wait(&d, is_published, &two, "messages are taken again");
    ck_assert_int_eq(two, one + 1);
    expect_event(&here, two, "two");
    expect_event(&behind, one, "one");
    expect_event(&behind, two, "two");
    sse_close(&here);
    sse_close(&behind);
}
END_TEST

/* The content has to be copied for that. */
START_TEST(reload_that_would_have_to_wait_is_undone)
{
    char text[512];
    int64_t one = publish("one");

    hold();
    configure("3m");
    ck_assert_int_eq(daemon_run(&d, "-s", "reload", NULL), 1);
    daemon_expect_output(&d, "zone \"events\": filling it failed (110: Connection timed out)");
    ck_assert_int_eq(daemon_get(&d, "/hello", text, sizeof(text)), 200);
    let_go();
    ck_assert_msg(daemon_run(&d, "-s", "reload", NULL) == 0, "%s", d.output);
    snprintf(text, sizeof(text), "Last-Event-ID: %lld\r\n", (long long) one - 1);
    sse_open(&d, &behind, "/events?topic=a", text);
    expect_event(&behind, one, "one");
    sse_close(&behind);
}
END_TEST

/* One that is killed with the lock leaves all that was there. */
START_TEST(what_is_kept_outlives_who_is_killed_with_the_lock)
{
    char line[64];
    int64_t one = publish("one");
    pid_t pid = fork();

    ck_assert_int_ne(pid, -1);
    if (pid == 0) {
        (void) rv_lock_acquire(&zone->lock, NULL, NULL);
        _exit(0);
    }
    ck_assert_int_eq(daemon_wait_process(&d, pid), 0);
    ck_assert_int_eq(publish("two"), one + 1);
    daemon_wait_log(&d, "zone \"events\" was repaired", 1);
    ck_assert_int_eq(daemon_log_count(&d, "made anew"), 0);

    snprintf(line, sizeof(line), "Last-Event-ID: %lld\r\n", (long long) one - 1);
    sse_open(&d, &behind, "/events?topic=a", line);
    expect_event(&behind, one, "one");
    expect_event(&behind, one + 1, "two");
    sse_close(&behind);
}
END_TEST

static int
is_taken(daemon_t *unused, void *before)
{
    int64_t id = publish("after");

    (void) unused;
    ck_assert_msg(id == -503 || id > *(int64_t *) before, "id %lld", (long long) id);
    return id > 0;
}

START_TEST(memory_that_was_cut_off_takes_no_message)
{
    int64_t one = publish("one");

    ck_assert_int_eq(truncate(daemon_path(&d, "logs/events.zone"), 100), 0);
    daemon_wait(&d, is_taken, &one, "the zone is mended");
}
END_TEST

int
main(void)
{
    Suite *s = suite_create("events_held");
    TCase *tc = daemon_case(s, "events_held");

    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_add_test(tc, nobody_is_held_up_and_nothing_is_missed);
    tcase_add_test(tc, what_is_kept_outlives_who_is_killed_with_the_lock);
    tcase_add_test(tc, memory_that_was_cut_off_takes_no_message);
    tcase_add_test(tc, reload_that_would_have_to_wait_is_undone);
    return daemon_main(s);
}
