/*
 * rv_stats as it is read: a snapshot is the sum of one moment, whatever the
 * writers and the master do at the same time.
 *
 * First an instruction at a time: the reader is single-stepped, stopped
 * anywhere, and overtaken by others before it goes on. Then all at once.
 */
#include "rv_stats_layout.h"
#include "stats_step.h"

#define ROWS 4
#define MOST_RUNS 150 /* of a reader; more instructions are taken in strides */

static const rv_stats_def_t all_defs[] = {
    { "accepts", RV_STATS_COUNTER, "" },
    { "requests", RV_STATS_COUNTER, "" },
    { "reading", RV_STATS_GAUGE, "" },
    { "waiting", RV_STATS_GAUGE, "" },
    { 0 },
};

enum { ACCEPTS, REQUESTS, READING, WAITING, VALUES };

typedef struct {
    uint64_t value[VALUES];
} totals_t;

/* Whatever stands open: two requests for each connection, reading = waiting. */
static const rv_stats_change_t began[] = { { ACCEPTS, 1 }, { REQUESTS, 2 }, { READING, 1 },
    { WAITING, 1 } };
static const rv_stats_change_t ended[] = { { WAITING, -1 }, { READING, -1 } };

/* Beside the statistics, what children report. */
typedef struct {
    totals_t read;
    volatile uint64_t snapshots;
} report_t;

static rv_stats_defs_t defs;
static step_t s;
static report_t *report;
static rv_stats_t *st;
static unsigned row; /* this process's */

static void
setup(void)
{
    rv_stats_define(&defs, "http", all_defs);
    size_t size = rv_stats_size(&defs, ROWS);
    void *memory = stats_shared(size);
    report = stats_shared(sizeof(*report));
    st = rv_stats_create(memory, &defs, ROWS);
    ck_assert_ptr_nonnull(st);
    step_init(&s, memory, size);
}

static void
teardown(void)
{
    rv_stats_free(st);
    step_free(&s);
}

static totals_t
totals(void)
{
    totals_t t;

    rv_stats_snapshot(st, t.value, VALUES);
    return t;
}

static int
same(const totals_t *a, const totals_t *b)
{
    return memcmp(a, b, sizeof(*a)) == 0;
}

/* --- an instruction at a time ------------------------------------------------------------- */

static void
read_totals(void)
{
    report->read = totals();
}

/* The second undoes what the first did to some of the values. */
static void
write_twice(void)
{
    rv_stats_apply(st, began, 4);
    rv_stats_apply(st, ended, 2);
}

/* Each time somebody else writes to the row that was just emptied. Twice: then
 * the same base is in force again. */
static void
fold_and_write_twice(void)
{
    for (int i = 0; i < 2; i++) {
        if (rv_stats_fold(st, row) != RV_OK)
            abort();
        row = stats_own(st);
        rv_stats_apply(st, began, 4);
    }
}

/* What `began` does to a row, by hand: this far the writer has come before the reader begins, */
static void
leave_transaction_open(void)
{
    const rv_stats_row_ref_t r = rv_stats_layout_row(st, row);

    r.row->entries = 0;
    r.row->sequence++;
    for (unsigned i = 0; i < 4; i++) {
        r.row->journal[i].cell = began[i].cell;
        r.row->journal[i].value = r.value[began[i].cell] + (uint64_t) began[i].delta;
    }
}

/* and this far when it is overtaken: not all values are stored yet. */
static void
go_on_with_transaction(void)
{
    const rv_stats_row_ref_t r = rv_stats_layout_row(st, row);

    r.row->entries = 4;
    r.value[ACCEPTS] = r.row->journal[0].value;
    r.value[REQUESTS] = r.row->journal[1].value;
}

static void
nothing(void)
{
}

static const struct {
    void (*before)(void);
    void (*overtake)(void);
    size_t states; /* at least */
} actions[] = {
    { nothing, write_twice, 3 },
    { nothing, fold_and_write_twice, 3 },
    { leave_transaction_open, go_on_with_transaction, 2 },
};

static totals_t states[8];
static size_t state_count;

static int
is_a_state(const totals_t *t)
{
    for (size_t i = 0; i < state_count; i++) {
        if (same(t, &states[i]))
            return 1;
    }
    return 0;
}

/* All states that the action goes through, when nobody is in its way. */
static void
collect_states(void (*action)(void))
{
    states[0] = totals();
    state_count = 1;

    pid_t pid = step_start(&s, action);
    for (int steps = 0, running = 1; running; steps++) {
        running = step_once(&s, pid);
        ck_assert_int_lt(steps, STEP_MOST);
        const totals_t now = totals();
        if (!is_a_state(&now)) {
            ck_assert_uint_lt(state_count, rv_countof(states));
            states[state_count++] = now;
        }
    }
    step_let_go(pid);
}

static int
count_steps(void (*body)(void))
{
    pid_t pid = step_start(&s, body);
    int steps = 1;

    while (step_once(&s, pid))
        steps++;
    step_let_go(pid);
    return steps;
}

/* Its writer's own copy is that of before, too. */
static void
restore(void)
{
    step_restore(&s);
    ck_assert_int_eq(rv_stats_own(st, row), RV_OK);
}

START_TEST(reader_overtaken_anywhere_sees_one_state)
{
    row = stats_own(st);
    write_twice();
    rv_stats_apply(st, began, 4);
    actions[_i].before();
    step_save(&s);
    collect_states(actions[_i].overtake);
    ck_assert_uint_ge(state_count, actions[_i].states);

    restore();
    int steps = count_steps(read_totals);
    ck_assert_int_ge(steps, 50);
    for (int at = _i % 2; at < steps; at += 1 + steps / MOST_RUNS) {
        restore();
        pid_t pid = step_start(&s, read_totals);
        for (int i = 0; i < at; i++)
            step_once(&s, pid);
        actions[_i].overtake();
        step_let_go(pid);
        ck_assert_msg(is_a_state(&report->read), "overtaken after %d instructions", at);
    }
}
END_TEST

/* --- all at once -------------------------------------------------------------------------- */

/* What is true of every snapshot, and of two that follow each other. */
static int
is_sane(const totals_t *last, const totals_t *now)
{
    return now->value[REQUESTS] == 2 * now->value[ACCEPTS]
        && now->value[READING] == now->value[WAITING] && now->value[READING] <= ROWS
        && now->value[ACCEPTS] >= last->value[ACCEPTS];
}

static void
read_for_ever(void)
{
    totals_t last = totals(), now;

    for (;; last = now) {
        now = totals();
        if (!is_sane(&last, &now)) {
            report->read = now;
            _exit(EXIT_FAILURE);
        }
        report->snapshots++;
    }
}

static void
write_for_ever(void)
{
    for (;;) {
        rv_stats_apply(st, began, 4);
        rv_stats_apply(st, ended, 2);
    }
}

static uint64_t
accepts_of(unsigned of)
{
    rv_stats_owner_t owner;
    totals_t t;

    ck_assert_int_eq(rv_stats_row(st, of, &owner, t.value), RV_OK);
    return t.value[ACCEPTS];
}

static void
wait_for_accepts(unsigned of, uint64_t number)
{
    while (accepts_of(of) < number)
        stats_moment();
}

static void
wait_for_snapshots(pid_t reader, uint64_t number)
{
    for (uint64_t wanted = report->snapshots + number; report->snapshots < wanted;) {
        ck_assert_msg(waitpid(reader, NULL, WNOHANG) == 0, "the reader saw something impossible");
        stats_moment();
    }
}

START_TEST(nothing_is_torn_lost_or_doubled_while_writers_are_killed_and_folded)
{
    enum { ROUNDS = 30 };
    uint64_t expected = 0;

    pid_t reader = stats_spawn(read_for_ever);
    wait_for_snapshots(reader, 1);
    for (int round = 0; round < ROUNDS; round++) {
        row = stats_own(st);
        pid_t writer = stats_spawn(write_for_ever);
        wait_for_accepts(row, (uint64_t) (round % 4));
        stats_kill(writer);

        expected += accepts_of(row);
        ck_assert_int_eq(rv_stats_fold(st, row), RV_OK);
        const totals_t now = totals();
        ck_assert_uint_eq(now.value[ACCEPTS], expected);
        ck_assert_uint_eq(now.value[REQUESTS], 2 * expected);
        ck_assert_uint_eq(now.value[READING], 0);
        ck_assert_uint_eq(now.value[WAITING], 0);
        wait_for_snapshots(reader, 1);
    }
    stats_kill(reader);
    ck_assert_uint_gt(expected, 0);
}
END_TEST

/* Nobody waits for a writer that stands still in its transaction, or holds a lock. */
START_TEST(stopped_writers_stop_no_reader)
{
    enum { ROUNDS = 20 };
    int status;

    row = stats_own(st);
    pid_t writer = stats_spawn(write_for_ever);
    for (int round = 1; round <= ROUNDS; round++) {
        wait_for_accepts(row, (uint64_t) (round * 100));
        ck_assert_int_eq(kill(writer, SIGSTOP), 0);
        ck_assert_int_eq(waitpid(writer, &status, WUNTRACED), writer);
        ck_assert(WIFSTOPPED(status));

        const totals_t first = totals(), second = totals();
        ck_assert(same(&first, &second));
        ck_assert(is_sane(&first, &second));
        ck_assert_int_eq(kill(writer, SIGCONT), 0);
    }
    stats_kill(writer);
}
END_TEST

static Suite *
stats_read_suite(void)
{
    Suite *suite = suite_create("stats_read");
    TCase *tcase = tcase_create("stats_read");

    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_set_timeout(tcase, 120);
    tcase_add_loop_test(
        tcase, reader_overtaken_anywhere_sees_one_state, 0, (int) rv_countof(actions));
    tcase_add_test(tcase, nothing_is_torn_lost_or_doubled_while_writers_are_killed_and_folded);
    tcase_add_test(tcase, stopped_writers_stop_no_reader);

    suite_add_tcase(suite, tcase);
    return suite;
}

int
main(int argc, char **argv)
{
    (void) argc;
    step_bind_now(argv);
    return stats_run(stats_read_suite());
}
