/*
 * rv_balance: accept_balance, clients from workers that have many to those that have few.
 *
 * How many clients others have is in their rows of the statistics. These are read every few
 * milliseconds, while clients come; in between, what was passed is counted on top. A
 * worker that has few clients, or hardly more than its share, reads and passes nothing.
 *
 * What must not happen: that a client goes to and fro, so only one that has just been accepted is
 * passed, once; that a worker which is stopped or hangs gets many, so none goes to one that
 * gave no sign of life for a while, and no more than a few until they are seen to have been taken;
 * that several fill the last places of one at once, so each keeps to its part; that two workers
 * which know little of each other exchange clients, so there is a margin.
 */
#include "rv_balance.h"

#include "rv_connection_pass.h"
#include "rv_mesh.h"

#include <stdlib.h>
#include <string.h>

enum {
    FRESH_MSEC = 5,     /* how old what is known may be, */
    ROWS_PER_MSEC = 16, /* and longer where there is much to read */
    ALIVE_MSEC = 2000,  /* since the last sign of life, which comes each second */
    ON_THE_WAY = 16,    /* clients that one worker may have to take */
    MARGIN = 8,         /* more than the share, and */
    MARGIN_PART = 16,   /* this part of it */
    LOOK_MSEC = 200,    /* between two looks whether a full worker can pass clients */
    TRIES = 3
};

typedef struct {
    rv_process_id_t id; /* pid 0: not one to pass to */
    uint64_t count;     /* of its clients, as far as is known */
    uint64_t read;      /* how many they were when this was read */
    uint64_t taken;     /* by it, as it says */
    int64_t seen;       /* ms: when this was read */
    unsigned on_the_way;
    int refuses; /* until it is read again */
} peer_t;

struct rv_balance_s {
    const rv_stats_t *stats;
    rv_process_id_t self;
    unsigned limit;
    unsigned cell;  /* of "taken"; the three states follow */
    int64_t next;   /* ms: when to read again */
    int64_t looked; /* ms: when this worker was full */

    peer_t *peer; /* by row */
    unsigned rows;
    unsigned peers; /* that one can pass to */
    uint64_t sum;   /* of their clients */
    peer_t *chosen;
};

rv_balance_t *
rv_balance_create(const rv_stats_t *st, unsigned limit)
{
    rv_balance_t *b = calloc(1, sizeof(*b));
    int cell = rv_stats_find(st, "connections", "taken");

    if (b == NULL || cell < 0) {
        free(b);
        return NULL;
    }
    b->stats = st;
    b->self = rv_mesh_self();
    b->limit = limit;
    b->cell = (unsigned) cell;
    b->next = INT64_MIN;
    return b;
}

void
rv_balance_free(rv_balance_t *b)
{
    if (b == NULL)
        return;

    free(b->peer);
    free(b);
}

/* --- what is known of others ------------------------------------------------------------ */

static int
make_room(rv_balance_t *b, unsigned rows)
{
    if (rows <= b->rows)
        return RV_OK;

    peer_t *more = realloc(b->peer, rows * sizeof(*more));
    if (more == NULL)
        return RV_ERROR;
    memset(more + b->rows, 0, (rows - b->rows) * sizeof(*more));
    b->peer = more;
    b->rows = rows;
    return RV_OK;
}

static int
is_peer(const rv_balance_t *b, const rv_stats_process_t *p, int64_t now)
{
    return p->owner.generation == b->self.generation && p->owner.pid != b->self.pid
        && p->owner.state == RV_PROCESS_READY && p->owner.worker < RV_STATS_UNKNOWN
        && (int64_t) p->heartbeat + ALIVE_MSEC >= now;
}

static void
read_row(rv_balance_t *b, unsigned row, int64_t now)
{
    enum { TAKEN, WAITING, READING, WRITING, VALUES };
    peer_t *peer = &b->peer[row];
    rv_stats_process_t p;
    uint64_t v[VALUES];

    if (rv_stats_glance(b->stats, row, b->cell, VALUES, v, &p) != RV_OK || !is_peer(b, &p, now)) {
        memset(peer, 0, sizeof(*peer));
        return;
    }
    if (peer->id.pid != p.owner.pid || peer->taken != v[TAKEN])
        peer->on_the_way = 0;
    peer->id = (rv_process_id_t){ p.owner.slot, p.owner.worker, p.owner.generation, p.owner.pid };
    peer->count = v[WAITING] + v[READING] + v[WRITING] + peer->on_the_way;
    peer->read = peer->count;
    peer->taken = v[TAKEN];
    peer->seen = now;
    peer->refuses = 0;
    b->peers++;
    b->sum += peer->count;
}

static void
read_rows(rv_balance_t *b, int64_t now)
{
    unsigned rows = rv_stats_rows(b->stats);

    b->next = now + FRESH_MSEC + rows / ROWS_PER_MSEC;
    b->peers = 0;
    b->sum = 0;
    if (make_room(b, rows) != RV_OK)
        return;
    for (unsigned i = 0; i < rows; i++)
        read_row(b, i, now);
}

/* Whether it has taken what was passed to it, but for a few. */
static int
keeps_up(rv_balance_t *b, unsigned row, int64_t now)
{
    peer_t *p = &b->peer[row];

    if (p->on_the_way >= ON_THE_WAY && p->seen != now) {
        b->peers--;
        b->sum -= p->count;
        read_row(b, row, now);
    }
    return p->id.pid != 0 && p->on_the_way < ON_THE_WAY;
}

/* Others pass to it too: each keeps to its part of the places that were free. */
static int
has_room(const rv_balance_t *b, const peer_t *p)
{
    uint64_t places = b->limit > p->read ? b->limit - p->read : 0;

    return places > 0 && p->count - p->read < rv_max(places / rv_max(b->peers, 1u), (uint64_t) 1);
}

static peer_t *
find_least(rv_balance_t *b, int64_t now)
{
    peer_t *least = NULL;

    for (unsigned i = 0; i < b->rows && b->peers > 0; i++) {
        peer_t *p = &b->peer[i];

        if (p->id.pid != 0 && !p->refuses && (least == NULL || p->count < least->count)
            && keeps_up(b, i, now) && has_room(b, p))
            least = p;
    }
    return least;
}

/* --- what becomes of a client ------------------------------------------------------------- */

int
rv_balance_choose(rv_balance_t *b, unsigned count, int64_t now, rv_process_id_t *to)
{
    int full = count >= b->limit;

    if (!full && count <= MARGIN)
        return RV_DONE;
    if (now >= b->next)
        read_rows(b, now);

    uint64_t share = (b->sum + count) / (b->peers + 1);
    if (!full && count <= share + MARGIN + share / MARGIN_PART)
        return RV_DONE;
    peer_t *least = find_least(b, now);
    if (least == NULL && full) { /* its part of what was known to be free is used up */
        read_rows(b, now);
        least = find_least(b, now);
    }
    if (least == NULL || (!full && least->count + 1 >= count))
        return RV_DONE;

    b->chosen = least;
    *to = least->id;
    return RV_OK;
}

void
rv_balance_say(rv_balance_t *b, int result)
{
    peer_t *p = b->chosen;

    p->refuses = result != RV_OK;
    if (result != RV_OK)
        return;
    p->count++;
    p->on_the_way++;
    b->sum++;
}

void
rv_balance_look(rv_balance_t *b, rv_connections_t *all, int64_t now)
{
    rv_process_id_t to;

    if (!rv_connections_are_full(all) || now < b->looked + LOOK_MSEC)
        return;
    b->looked = now;
    if (rv_balance_choose(b, rv_connections_count(all), now, &to) == RV_OK)
        rv_connections_accept_again(all);
}

int
rv_balance_fresh(rv_connection_t *c, void *balance)
{
    rv_balance_t *b = balance;
    unsigned count = rv_connections_count(c->all);
    rv_process_id_t to;

    for (int i = 0; i < TRIES; i++) {
        if (rv_balance_choose(b, count, c->opened, &to) != RV_OK)
            return RV_DONE;

        int result = rv_connection_pass(c, &to);
        rv_balance_say(b, result);
        if (result == RV_OK)
            return RV_OK;
    }
    return RV_DONE;
}
