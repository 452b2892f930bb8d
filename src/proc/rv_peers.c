/*
 * rv_peers: whom each worker has still to be told of.
 *
 * Of each worker the master keeps the set of the slots that it has to be told of, a bit each, and
 * says what is in a slot when the message leaves: OPEN with the descriptor, or CLOSE. So what
 * waits for a worker that does not read is 128 bytes, and no descriptor, whatever has come and gone
 * meanwhile; and how many messages there are goes with how often something happened, not with how
 * many workers it happened to.
 *
 * A message of many slots is sent at once or not at all. Where the kernel does not take it,
 * one of a single slot waits in the channel in its place: when that has left, it is time to try
 * again.
 *
 * The globals: the sets, whether any has something in it, when somebody is due, and what was noted
 * last and is not in the sets yet: all of them written to between two forks would be copied
 * for each child.
 */
#include "rv_peers.h"

#include "rv_control.h"

enum {
    BITS = 64,
    WORDS = RV_PROCESS_SLOTS / BITS,
    KEY_PEER = 1 << 24 /* of control messages, with the slot */
};

typedef struct {
    rv_control_type_t type;
    unsigned count;
    rv_process_id_t id[RV_CHANNEL_FDS];
    int fd[RV_CHANNEL_FDS]; /* of an OPEN */
} news_t;

static uint64_t untold[RV_PROCESS_SLOTS][WORDS];
static unsigned noted[256];
static unsigned noted_count;
static int any;
static int64_t due = INT64_MAX;

/* --- the sets ---------------------------------------------------------------------------- */

static int
has(const rv_process_t *to, unsigned slot)
{
    return (int) (untold[to->slot][slot / BITS] >> slot % BITS & 1);
}

static void
add(const rv_process_t *to, unsigned slot)
{
    untold[to->slot][slot / BITS] |= UINT64_C(1) << slot % BITS;
    any = 1;
}

static void
take_out(const rv_process_t *to, unsigned slot)
{
    untold[to->slot][slot / BITS] &= ~(UINT64_C(1) << slot % BITS);
}

static int
is_empty(const rv_process_t *to)
{
    for (unsigned i = 0; i < WORDS; i++) {
        if (untold[to->slot][i] != 0)
            return 0;
    }
    return 1;
}

static void
enter(const rv_process_t *p)
{
    for (unsigned i = 0; i < WORDS; i++)
        untold[p->slot][i] = 0;

    for (rv_process_t *to = rv_process_each(NULL); to != NULL; to = rv_process_each(to)) {
        if (to != p)
            add(to, p->slot);
    }
}

/* In order: who came later has inherited who came before, and is told of who comes after. */
static void
enter_noted(void)
{
    for (unsigned i = 0; i < noted_count; i++)
        enter(rv_process_at(noted[i]));
    noted_count = 0;
}

void
rv_peers_note(const rv_process_t *p)
{
    if (noted_count == rv_countof(noted))
        enter_noted();
    noted[noted_count++] = p->slot;
}

int
rv_peers_is_told(const rv_process_t *to, const rv_process_t *about)
{
    enter_noted();
    return !has(to, about->slot) && !rv_channel_is_waiting(to->channel[0], KEY_PEER | about->slot);
}

int64_t
rv_peers_due(void)
{
    return due;
}

/* --- telling -------------------------------------------------------------------------------- */

/* Nobody before it need know of a generation that may never be in force. */
static int
concerns(const rv_process_t *to, const rv_process_t *about)
{
    return about->state == RV_PROCESS_FREE || about->start_sent
        || about->generation <= to->generation;
}

/* What `to` is to be told, of this type, as much as goes into one message. */
static void
collect(const rv_process_t *to, rv_control_type_t type, news_t *news)
{
    news->type = type;
    news->count = 0;
    for (unsigned slot = 0; slot < RV_PROCESS_SLOTS && news->count < RV_CHANNEL_FDS; slot++) {
        const rv_process_t *p = rv_process_at(slot);
        int is_open = p->state != RV_PROCESS_FREE;

        if (!has(to, slot) || is_open != (type == RV_CONTROL_OPEN) || !concerns(to, p))
            continue;
        news->id[news->count] = (rv_process_id_t){ slot, p->worker, p->generation, p->pid };
        news->fd[news->count++] = is_open ? rv_channel_fd(p->channel[0]) : -1;
    }
}

static int
send_first(const rv_process_t *to, const news_t *news, unsigned count, rv_channel_policy_t policy)
{
    const rv_message_t msg = { .type = (uint16_t) news->type,
        .slot = RV_PROCESS_MASTER,
        .length = (uint32_t) (count * sizeof(news->id[0])),
        .data = news->id,
        .fd = news->fd[0],
        .more = news->fd + 1,
        .more_count = news->type == RV_CONTROL_OPEN ? count - 1 : 0,
        .key = KEY_PEER | news->id[0].slot,
        .policy = policy };

    return rv_channel_send(to->channel[0], &msg);
}

/* RV_OK: it has left, or the first of it waits; RV_ERROR: it stays noted. */
static int
send_news(const rv_process_t *to, const news_t *news)
{
    unsigned count = news->count;
    int result = send_first(to, news, count, RV_CHANNEL_NOW);

    if (result == RV_AGAIN) {
        count = 1;
        result = send_first(to, news, count, RV_CHANNEL_FAIL);
    }
    for (unsigned i = 0; result == RV_OK && i < count; i++)
        take_out(to, news->id[i].slot);
    return result;
}

/* As far as the kernel takes it. */
static void
tell(const rv_process_t *to)
{
    static const rv_control_type_t types[] = { RV_CONTROL_OPEN, RV_CONTROL_CLOSE };
    news_t news;

    for (size_t i = 0; i < rv_countof(types); i++) {
        do {
            if (rv_channel_counts(to->channel[0])->waiting > 0)
                return;
            collect(to, types[i], &news);
        } while (news.count > 0 && send_news(to, &news) == RV_OK);
    }
}

void
rv_peers_tell(int64_t now)
{
    enter_noted();
    if (!any)
        return;

    any = 0;
    due = INT64_MAX;
    for (rv_process_t *to = rv_process_each(NULL); to != NULL; to = rv_process_each(to)) {
        if (is_empty(to))
            continue;

        int64_t spared = to->left == 0 ? 0 : to->left + RV_PEERS_LEAVING_MSEC;
        if (spared > now)
            due = rv_min(due, spared);
        else
            tell(to);
        any |= !is_empty(to);
    }
}
