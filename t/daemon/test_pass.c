/*
 * test_pass: connections that go from worker to worker, and clients that notice nothing.
 */
#include "test_pass.h"

/* --- idle ------------------------------------------------------------------------------ */

static void
ask_and_pass(int listener)
{
    enum { PASSES = 30 };
    int fd = pass_connect(listener);
    pass_who_t who = pass_who(fd);

    for (unsigned i = 1; i <= PASSES; i++) {
        unsigned to = (who.worker + 1 + i % 2) % workers;

        pass_on(who.worker, listener == PASS_UNIX ? -1 : fd, to);
        who = pass_who(fd);
        ck_assert_uint_eq(who.worker, to);
        ck_assert_uint_eq(who.requests, i + 1);
    }
    ck_assert_int_eq(look_total(&look, "connections", "passed"), PASSES);
    ck_assert_int_eq(look_total(&look, "connections", "taken"), PASSES);
    pass_expect_counts(workers + 1, asked);
    close(fd);
}

START_TEST(kept_alive_connection_goes_on_in_each_worker)
{
    pass_start(3);
    ask_and_pass(_i);
    pass_stop();
}
END_TEST

START_TEST(connection_that_was_never_used_goes_on_in_another_worker)
{
    pass_start(2);
    for (unsigned i = 0; i < 10; i++) {
        int fd = pass_connect(0);

        look_wait_connections(&d, &look, workers + 1);
        unsigned to = pass_by(0, fd, 1).passed == 1 ? 1 : 0;
        if (to == 0)
            pass_on(1, fd, 0);
        pass_who_t who = pass_who(fd);
        ck_assert_uint_eq(who.worker, to);
        ck_assert_uint_eq(who.requests, 1);
        close(fd);
        look_wait_connections(&d, &look, workers);
    }
    pass_expect_counts(workers, asked);
    pass_stop();
}
END_TEST

/* What a service of another kind keeps is none of rv_connection_pass's affair. */
START_TEST(client_of_echo_goes_on_in_another_worker)
{
    unsigned passed = 0;
    char text[16] = "";

    pass_start(2);
    int fd = daemon_connect_port(echo_port);
    ck_assert_int_ne(fd, -1);
    opened++;
    for (int i = 0; i < 10; i++) {
        daemon_send(fd, "echo", 4);
        ck_assert_int_eq(recv(fd, text, 4, MSG_WAITALL), 4);
        ck_assert_str_eq(text, "echo");
        pass_outcome_t first = pass_by((unsigned) i % 2, fd, 1 - (unsigned) i % 2);
        passed += first.passed;
    }
    ck_assert_uint_ge(passed, 9); /* the first time it may have been the other one's */
    close(fd);
    pass_stop();
}
END_TEST

/* --- with a part of a request ------------------------------------------------------------- */

static const char request[] = "GET /one%2f../t%77o?x=%31 HTTP/1.1\r\nHost: a\r\n"
                              "Accept: text/plain, */*\r\nX-More: 1\r\n\r\n";
static const char understood[] = "path \"/two\" query \"x=%31\" accept \"text/plain, */*\"";

/* Cut at each place, passed there; and on again with one byte more, which may be read or not. */
START_TEST(request_that_was_read_in_part_is_answered_by_another_worker)
{
    const size_t length = sizeof(request) - 1;

    pass_start(2);
    int fd = pass_connect(0);
    pass_who_t who = pass_who(fd);

    for (size_t cut = 1; cut < length - 1; cut++) {
        unsigned other = 1 - who.worker, again = cut % 2;

        daemon_send(fd, request, cut);
        look_wait(&d, &look, "connections", "reading", 1);
        pass_on(who.worker, fd, other);
        daemon_send(fd, request + cut, 1);
        if (again)
            pass_on(other, fd, who.worker);
        daemon_send(fd, request + cut + 1, length - cut - 1);

        unsigned answers = again ? who.worker : other;
        who = pass_read_who(fd);
        ck_assert_uint_eq(who.worker, answers);
        ck_assert_str_eq(who.rest, understood);
    }
    pass_expect_counts(workers + 1, asked);
    close(fd);
    pass_stop();
}
END_TEST

/* More than a message holds. */
START_TEST(long_head_that_was_read_in_part_goes_along)
{
    enum { LONG = 50000 };
    static char line[LONG];

    pass_start(2);
    int fd = pass_connect(0);
    pass_who_t who = pass_who(fd);
    memset(line, 'x', sizeof(line));
    for (int i = 0; i < 4; i++) {
        http_send(fd, "GET /two HTTP/1.1\r\nX-Long: ");
        daemon_send(fd, line, sizeof(line));
        look_wait(&d, &look, "connections", "reading", 1);
        pass_on(who.worker, fd, 1 - who.worker);
        http_send(fd, "\r\nHost: a\r\n\r\n");
        unsigned before = who.worker;
        who = pass_read_who(fd);
        ck_assert_uint_eq(who.worker, 1 - before);
    }
    close(fd);
    pass_stop();
}
END_TEST

/* A pipelined request of which a part is there stays behind the answered one. */
START_TEST(part_of_a_pipelined_request_goes_along)
{
    pass_start(2);
    int fd = pass_connect(0);
    http_send(fd, "GET /one HTTP/1.1\r\nHost: a\r\n\r\nGET /tw");
    pass_who_t who = pass_read_who(fd);
    look_wait(&d, &look, "connections", "reading", 1);
    pass_on(who.worker, fd, 1 - who.worker);
    http_send(fd, "o?2 HTTP/1.1\r\nHost: a\r\n\r\n");
    pass_who_t next = pass_read_who(fd);
    ck_assert_uint_eq(next.worker, 1 - who.worker);
    ck_assert_str_eq(next.rest, "path \"/two\" query \"2\" accept \"\"");
    pass_expect_counts(workers + 1, asked);
    close(fd);
    pass_stop();
}
END_TEST

/* --- what stays ---------------------------------------------------------------------------- */

START_TEST(connection_in_the_middle_of_a_request_stays)
{
    pass_start(2);
    int fd = pass_connect(0);
    pass_who_t who = pass_who(fd);

    pass_ask(fd, who.worker == 0 ? "/pass-self?to=1" : "/pass-self?to=0");
    pass_outcome_t o = pass_read_outcome(fd);
    ck_assert(o.failed == 1 && o.error == EBUSY);

    http_send(fd, "POST /one HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nab");
    look_wait(&d, &look, "connections", "writing", 1);
    o = pass_by(who.worker, fd, 1 - who.worker);
    ck_assert(o.failed == 1 && o.error == EBUSY);
    http_send(fd, "cd");
    ck_assert_uint_eq(pass_read_who(fd).worker, who.worker);

    o = pass_by(who.worker, fd, 7); /* there is none */
    ck_assert(o.failed == 1 && o.error == ESRCH);
    o = pass_by(who.worker, fd, who.worker);
    ck_assert(o.failed == 1 && o.error == ESRCH);
    ck_assert_uint_eq(pass_who(fd).worker, who.worker);
    ck_assert_int_eq(look_total(&look, "connections", "passed"), 0);
    pass_expect_counts(workers + 1, asked);
    close(fd);
    pass_stop();
}
END_TEST

int
main(void)
{
    Suite *s = suite_create("pass");
    TCase *tc = daemon_case(s, "pass");

    tcase_add_loop_test(tc, kept_alive_connection_goes_on_in_each_worker, 1, PASS_UNIX + 1);
    tcase_add_test(tc, connection_that_was_never_used_goes_on_in_another_worker);
    tcase_add_test(tc, client_of_echo_goes_on_in_another_worker);
    tcase_add_test(tc, request_that_was_read_in_part_is_answered_by_another_worker);
    tcase_add_test(tc, long_head_that_was_read_in_part_goes_along);
    tcase_add_test(tc, part_of_a_pipelined_request_goes_along);
    tcase_add_test(tc, connection_in_the_middle_of_a_request_stays);
    return daemon_main(s);
}
