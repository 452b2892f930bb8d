/*
 * rv_stats_outcome: what became of the actions that a master was told to do.
 *
 * Each kind has a sequence number of its own, odd while the end of an action is
 * being written: two masters, before and after an upgrade, write of different kinds.
 */
#include "rv_stats_outcome.h"

#include "rv_stats_layout.h"

#include <string.h>
#include <time.h>

enum { TORN_TRIES = 1000 }; /* the writer may stand still in the middle of it */

static rv_stats_layout_outcome_t *
at(const rv_stats_t *st, rv_stats_action_t action)
{
    return &st->header->outcome[action];
}

void
rv_stats_begin(rv_stats_t *st, rv_stats_action_t action)
{
    atomic_fetch_add(&at(st, action)->begun, 1);
    rv_stats_layout_refresh(st);
}

static void
write_outcome(rv_stats_layout_outcome_t *to, const rv_stats_outcome_t *from)
{
    /* odd already where a master was killed in here */
    uint32_t sequence = atomic_load(&to->sequence) | 1;

    atomic_store(&to->sequence, sequence);
    atomic_thread_fence(memory_order_release);
    rv_stats_layout_copy(to->text, sizeof(to->text), from->text);
    atomic_store(&to->time, from->time);
    atomic_store(&to->result, from->result);
    atomic_store(&to->begun, from->begun);
    atomic_store(&to->finished, from->finished);
    atomic_store(&to->sequence, sequence + 1);
}

void
rv_stats_finish(rv_stats_t *st, rv_stats_action_t action, int result, const char *text)
{
    rv_stats_outcome_t o;

    rv_stats_outcome(st, action, &o);
    o.finished = rv_max(o.finished + 1, o.begun); /* of several that were begun together */
    o.begun = o.finished;
    o.time = time(NULL);
    o.result = result;
    rv_stats_layout_copy(o.text, sizeof(o.text), text);
    write_outcome(at(st, action), &o);
    rv_stats_layout_refresh(st);
}

void
rv_stats_outcome_succeed(rv_stats_t *st, const rv_stats_t *old)
{
    for (int i = 0; i < RV_STATS_ACTIONS; i++) {
        rv_stats_outcome_t before, now;

        rv_stats_outcome(old, (rv_stats_action_t) i, &before);
        rv_stats_outcome(st, (rv_stats_action_t) i, &now);
        if (before.begun > now.begun || before.finished > now.finished)
            write_outcome(at(st, (rv_stats_action_t) i), &before);
    }
    rv_stats_layout_refresh(st);
}

void
rv_stats_outcome(const rv_stats_t *st, rv_stats_action_t action, rv_stats_outcome_t *o)
{
    const rv_stats_layout_outcome_t *from = at(st, action);
    uint32_t sequence;
    int tries = TORN_TRIES;

    do {
        sequence = atomic_load(&from->sequence);
        o->begun = atomic_load(&from->begun);
        o->finished = atomic_load(&from->finished);
        o->time = atomic_load(&from->time);
        o->result = atomic_load(&from->result);
        memcpy(o->text, from->text, sizeof(o->text));
        atomic_thread_fence(memory_order_acquire);
    } while ((sequence % 2 != 0 || atomic_load(&from->sequence) != sequence) && --tries > 0);

    o->text[RV_STATS_TEXT - 1] = '\0';
}
