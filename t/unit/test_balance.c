/*
 * rv_balance: to whom a client goes, by what the rows of the others say.
 *
 * Rows and times are the test's own.
 */
#include "rv_balance.h"

#include "stats_fixture.h"

enum { NOW = 1000 * 1000, LIMIT = 1000, ROWS = 8, FIRST = 100 /* pid */ };

static rv_stats_defs_t defs;
static rv_stats_t *st;
static rv_balance_t *balance;
static int64_t now;
static rv_stats_owner_t owner[ROWS];

/* From now on that worker says so. */
static void
say(unsigned row, const char *name, int64_t delta)
{
    ck_assert_int_eq(rv_stats_own(st, row), RV_OK);
    stats_add(st, stats_cell(st, "connections", name), delta);
    rv_stats_heartbeat(st, (uint64_t) now);
    rv_stats_set_owner(st, row, &owner[row]);
}

/* Another worker, which has so many clients. */
static unsigned
add_worker(unsigned generation, int state, int64_t clients)
{
    int row = rv_stats_claim(st);

    ck_assert_int_ge(row, 0);
    owner[row] = (rv_stats_owner_t){ .slot = (unsigned) row + 10,
        .worker = (unsigned) row,
        .generation = generation,
        .pid = FIRST + row,
        .state = state };
    say((unsigned) row, "reading", clients / 3);
    say((unsigned) row, "writing", clients / 3);
    say((unsigned) row, "waiting", clients - 2 * (clients / 3));
    return (unsigned) row;
}

static unsigned
add_peer(int64_t clients)
{
    return add_worker(0, RV_PROCESS_READY, clients); /* the test's own generation */
}

static void
create(void)
{
    balance = rv_balance_create(st, LIMIT);
    ck_assert_ptr_nonnull(balance);
}

/* Where the client goes who makes so many: a row; -1: it stays. */
static int
choose(unsigned count)
{
    rv_process_id_t to;

    if (rv_balance_choose(balance, count, now, &to) != RV_OK)
        return -1;
    ck_assert_uint_eq(to.slot, to.worker + 10);
    ck_assert_int_eq(to.pid, FIRST + (int) to.worker);
    return (int) to.worker;
}

static int
pass(unsigned count)
{
    int row = choose(count);

    if (row != -1)
        rv_balance_say(balance, RV_OK);
    return row;
}

static void
setup(void)
{
    memset(&defs, 0, sizeof(defs));
    ck_assert_int_eq(rv_stats_define(&defs, "connections", rv_connection_stats), RV_OK);
    st = stats_of(&defs, ROWS);
    now = NOW;
}

static void
teardown(void)
{
    rv_balance_free(balance);
    rv_stats_free(st);
}

/* --- whether ------------------------------------------------------------------------- */

START_TEST(client_of_a_worker_with_its_share_stays)
{
    add_peer(100);
    add_peer(100);
    create();
    ck_assert_int_eq(choose(90), -1);
    ck_assert_int_eq(choose(100), -1);
    ck_assert_int_eq(choose(110), -1); /* within the margin */
    ck_assert_int_ne(choose(200), -1);
}
END_TEST

START_TEST(few_clients_stay_though_others_have_none)
{
    add_peer(0);
    create();
    ck_assert_int_eq(choose(8), -1);
    ck_assert_int_eq(choose(40), 0);
}
END_TEST

START_TEST(client_stays_where_nobody_else_is)
{
    create();
    ck_assert_int_eq(choose(LIMIT), -1);
}
END_TEST

/* --- to whom ---------------------------------------------------------------------------- */

START_TEST(client_goes_to_who_has_fewest)
{
    add_peer(50);
    unsigned least = add_peer(20);
    add_peer(80);
    create();
    ck_assert_int_eq(choose(200), (int) least);
}
END_TEST

START_TEST(what_was_passed_is_counted_on_top)
{
    int got[2] = { 0, 0 };

    add_peer(0);
    add_peer(4);
    create();
    for (int i = 0; i < 12; i++)
        got[pass(200)]++;
    ck_assert_int_eq(got[0], 8);
    ck_assert_int_eq(got[1], 4);
}
END_TEST

START_TEST(no_more_than_its_excess_leaves_a_worker)
{
    unsigned count = 40;

    add_peer(20);
    create();
    while (pass(count) != -1)
        count--; /* it is passed: one fewer here */
    ck_assert_uint_ge(count, 30);
    ck_assert_uint_le(count, 40);
}
END_TEST

static const struct {
    unsigned generation;
    int state;
    int64_t age; /* ms, of its last sign of life */
} unfit[] = {
    { 1, RV_PROCESS_READY, 0 },
    { 0, RV_PROCESS_STARTING, 0 },
    { 0, RV_PROCESS_DRAINING, 0 },
    { 0, RV_PROCESS_READY, 2001 },
};

START_TEST(who_is_not_there_for_clients_gets_none)
{
    now = NOW - unfit[_i].age;
    add_worker(unfit[_i].generation, unfit[_i].state, 0);
    now = NOW;
    create();
    ck_assert_int_eq(choose(500), -1);
    unsigned other = add_peer(100);
    now += 100; /* it is seen then */
    ck_assert_int_eq(choose(500), (int) other);
}
END_TEST

/* --- who does not take them ---------------------------------------------------------------- */

START_TEST(worker_that_takes_nothing_gets_no_more_than_a_few)
{
    unsigned row = add_peer(0);
    int few = 0;

    create();
    while (pass(LIMIT - 1) != -1) {
        now++;
        ck_assert_int_lt(++few, 100);
    }
    ck_assert_int_gt(few, 0);
    now += 100;
    say(row, "taken", 0); /* alive it is */
    ck_assert_int_eq(pass(LIMIT - 1), -1);

    say(row, "taken", 1);
    now++;
    ck_assert_int_eq(pass(LIMIT - 1), (int) row);
}
END_TEST

START_TEST(worker_that_refuses_is_not_asked_again_at_once)
{
    unsigned full = add_peer(0), other = add_peer(50);

    create();
    ck_assert_int_eq(choose(500), (int) full);
    rv_balance_say(balance, RV_AGAIN);
    ck_assert_int_eq(choose(500), (int) other);
    now += 100;
    ck_assert_int_eq(choose(500), (int) full);
}
END_TEST

/* --- full -------------------------------------------------------------------------------- */

START_TEST(last_place_is_kept_while_others_have_room)
{
    unsigned row = add_peer(LIMIT - 2);

    create();
    ck_assert_int_eq(choose(LIMIT - 1), -1); /* hardly more than its share */
    ck_assert_int_eq(pass(LIMIT), (int) row);
    ck_assert_int_eq(pass(LIMIT), (int) row);
    ck_assert_int_eq(pass(LIMIT), -1); /* that one is full too */
}
END_TEST

int
main(void)
{
    Suite *suite = suite_create("balance");
    TCase *tc = tcase_create("balance");

    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_add_test(tc, client_of_a_worker_with_its_share_stays);
    tcase_add_test(tc, few_clients_stay_though_others_have_none);
    tcase_add_test(tc, client_stays_where_nobody_else_is);
    tcase_add_test(tc, client_goes_to_who_has_fewest);
    tcase_add_test(tc, what_was_passed_is_counted_on_top);
    tcase_add_test(tc, no_more_than_its_excess_leaves_a_worker);
    tcase_add_loop_test(tc, who_is_not_there_for_clients_gets_none, 0, (int) rv_countof(unfit));
    tcase_add_test(tc, worker_that_takes_nothing_gets_no_more_than_a_few);
    tcase_add_test(tc, worker_that_refuses_is_not_asked_again_at_once);
    tcase_add_test(tc, last_place_is_kept_while_others_have_room);
    suite_add_tcase(suite, tc);
    return stats_run(suite);
}
