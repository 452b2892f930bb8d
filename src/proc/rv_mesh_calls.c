/*
 * rv_mesh_calls: the calls of this process that wait for their answer.
 *
 * In the order of their deadlines; most have the same time, so that a new one comes last.
 * Each is taken out before who has called is told, who may call again.
 * The globals: that list, its length, and the number that was given last.
 */
#include "rv_mesh_calls.h"

#include <stdlib.h>
#include <time.h>

typedef struct call_s {
    struct call_s *next;
    struct call_s *before;
    uint32_t number;
    rv_mesh_calls_entry_t entry;
} call_t;

static call_t *first, *last;
static unsigned count;
static uint32_t given;

static int
is_same(const rv_process_id_t *a, const rv_process_id_t *b)
{
    return a->slot == b->slot && a->pid == b->pid && a->generation == b->generation;
}

static call_t *
find(uint32_t number)
{
    call_t *call = first;

    while (call != NULL && call->number != number)
        call = call->next;
    return call;
}

static void
insert(call_t *call)
{
    call_t *before = last;

    while (before != NULL && before->entry.until > call->entry.until)
        before = before->before;
    call->before = before;
    count++;
    call->next = before == NULL ? first : before->next;
    *(before == NULL ? &first : &before->next) = call;
    *(call->next == NULL ? &last : &call->next->before) = call;
}

static void
take_out(call_t *call)
{
    count--;
    *(call->before == NULL ? &first : &call->before->next) = call->next;
    *(call->next == NULL ? &last : &call->next->before) = call->before;
}

static void
tell(call_t *call, int result, const rv_mesh_message_t *answer)
{
    rv_mesh_calls_entry_t entry = call->entry;

    take_out(call);
    free(call);
    entry.answered(result, answer, entry.arg);
}

static void
tell_none(call_t *call, int result)
{
    const rv_mesh_message_t none = { .from = call->entry.to, .type = call->entry.type, .fd = -1 };

    tell(call, result, &none);
}

int64_t
rv_mesh_calls_until(uint64_t msec)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t) t.tv_sec * 1000 + t.tv_nsec / 1000000
        + (int64_t) rv_min(msec, (uint64_t) INT32_MAX);
}

uint32_t
rv_mesh_calls_add(const rv_mesh_calls_entry_t *entry)
{
    call_t *call = malloc(sizeof(*call));

    if (call == NULL)
        return 0;
    given += given == UINT32_MAX ? 2 : 1;
    *call = (call_t){ .number = given, .entry = *entry };
    insert(call);
    return call->number;
}

void
rv_mesh_calls_undo(uint32_t number)
{
    call_t *call = find(number);

    take_out(call);
    free(call);
}

int
rv_mesh_calls_answer(const rv_mesh_message_t *answer)
{
    call_t *call = find(answer->call);
    rv_mesh_message_t told = *answer;

    if (call == NULL || call->entry.type != answer->type
        || !is_same(&call->entry.to, &answer->from))
        return RV_ERROR;
    told.call = 0; /* to be answered itself it is not */
    tell(call, RV_OK, &told);
    return RV_OK;
}

/* From the beginning each time: who is told may change the list. New calls to the dead are not
 * taken. */
void
rv_mesh_calls_gone(const rv_process_id_t *id)
{
    call_t *call;

    do {
        for (call = first; call != NULL && !is_same(&call->entry.to, id);)
            call = call->next;
        if (call != NULL)
            tell_none(call, RV_ERROR);
    } while (call != NULL);
}

/* As many as there are now: who is told may call again, for no time at all. */
void
rv_mesh_calls_expire(int64_t now)
{
    for (unsigned left = count; left > 0 && first != NULL && first->entry.until <= now; left--)
        tell_none(first, RV_AGAIN);
}

int64_t
rv_mesh_calls_due(void)
{
    return first == NULL ? INT64_MAX : first->entry.until;
}

void
rv_mesh_calls_forget(void)
{
    while (first != NULL) {
        call_t *call = first;

        first = call->next;
        free(call);
    }
    last = NULL;
    count = 0;
}
