/*
 * module_post: workers that write to each other as a test tells them.
 *
 * A module of the test program alone. Each message says for whom it is and which of its sender's
 * messages to that one; the receiver checks both. What comes of all this stands in memory that all
 * processes have in common, a row for each slot and one for the master:
 *
 *     GET /post/order/WHO/DEED/TO/COUNT/SIZE   tells a process to do something
 *     GET /post/seen                           the rows, as below in print_row
 *     GET /post/storm/N                        N > 0: each worker writes to all others, every N ms
 *
 * WHO and TO: a worker's number, "o" and the number of one of another generation, "m" for the master.
 */
#include "module_post.h"

#include "rv_control.h"
#include "rv_http_parse.h"
#include "rv_http_reply.h"
#include "rv_http_request.h"
#include "rv_worker.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

enum {
    AT_MASTER = POST_ROWS - 1,
    LARGEST = 200 * 1000,
    STORM_CALL_MSEC = 2000,
    CALL_MSEC = 100 * 1000,
    BATCH = 6
};

typedef struct {
    atomic_int pid;
    atomic_ulong value[POST_VALUES];
} row_t;

typedef struct {
    row_t row[POST_ROWS];
    atomic_ulong astray; /* messages that were for another process */
    atomic_ulong gaps;   /* messages that came out of order, or again, or not */
    atomic_int storm;
} shared_t;

static shared_t *shared;
static row_t *own;
static rv_loop_watch_t *timer;
static uint64_t call_msec = CALL_MSEC;     /* in a storm answers are lost too */
static int file = -1;                      /* to be sent */
static unsigned to_whom[POST_ROWS];        /* how many messages this process has sent to a slot, */
static rv_process_id_t sent_to[POST_ROWS]; /* while this was in it */
static unsigned by_whom[POST_ROWS];
static rv_process_id_t sent_by[POST_ROWS];

static unsigned
place_of(const rv_process_id_t *id)
{
    return id->slot == RV_PROCESS_MASTER ? AT_MASTER : id->slot % AT_MASTER;
}

static void
count(post_value_t value)
{
    atomic_fetch_add(&own->value[value], 1);
}

static int
is_same(const rv_process_id_t *a, const rv_process_id_t *b)
{
    return memcmp(a, b, sizeof(*a)) == 0;
}

/* The number that comes next between this process and that one. */
static unsigned *
number_with(unsigned *numbers, rv_process_id_t *ids, const rv_process_id_t *id)
{
    unsigned place = place_of(id);

    if (!is_same(&ids[place], id)) {
        ids[place] = *id;
        numbers[place] = 0;
    }
    return &numbers[place];
}

/* --- messages ------------------------------------------------------------------------- */

typedef struct {
    rv_process_id_t to;
    unsigned number;
} head_t;

typedef struct {
    char who[16], deed[16], to[16];
    unsigned count, size;
} order_t;

static void take(const rv_mesh_message_t *msg);
static void take_call(const rv_mesh_message_t *msg);
static void take_order(const rv_mesh_message_t *msg);
static void on_room(const rv_process_id_t *to);

enum { LETTER, POSTCARD, CALL, ORDER };

static const rv_mesh_type_t types[] = {
    { .name = "letter", .receive = take, .receive_master = take, .room = on_room },
    { .name = "postcard", .policy = RV_CHANNEL_OLDEST, .receive = take, .receive_master = take },
    { .name = "call", .receive = take_call, .receive_master = take_call },
    { .name = "order",
        .flags = RV_MESH_ANY_GENERATION,
        .receive = take_order,
        .receive_master = take_order },
    { .name = NULL },
};

static int
type_of(int type)
{
    return rv_mesh_find("post", types[type].name);
}

/* Postcards may be dropped on their way. */
static void
check(const rv_mesh_message_t *msg, int may_miss)
{
    rv_process_id_t self = rv_mesh_self();
    unsigned *next = number_with(by_whom, sent_by, &msg->from);
    head_t head;

    memcpy(&head, msg->data, sizeof(head));
    if (!is_same(&head.to, &self))
        atomic_fetch_add(&shared->astray, 1);
    if (may_miss ? head.number < *next : head.number != *next)
        atomic_fetch_add(&shared->gaps, 1);
    *next = head.number + 1;
}

static void
take(const rv_mesh_message_t *msg)
{
    check(msg, msg->type == type_of(POSTCARD));
    if (msg->fd != -1)
        close(msg->fd);
    count(POST_RECEIVED);
}

static void
take_call(const rv_mesh_message_t *msg)
{
    check(msg, 0);
    if (rv_mesh_reply(msg, &msg->from, sizeof(msg->from), file) != RV_OK)
        count(POST_UNANSWERED);
}

static void
on_answer(int result, const rv_mesh_message_t *answer, void *arg)
{
    static const post_value_t outcomes[] = { POST_ANSWERED, POST_LATE, POST_LOST };
    rv_process_id_t self = rv_mesh_self();

    (void) arg;
    count(outcomes[result == RV_OK ? 0 : result == RV_AGAIN ? 1 : 2]);
    if (result != RV_OK)
        return;
    if (memcmp(answer->data, &self, sizeof(self)) != 0)
        atomic_fetch_add(&shared->astray, 1);
    if (answer->fd != -1)
        close(answer->fd);
}

/* Result as of rv_mesh_send. Every fifth brings a descriptor. */
static int
send_one(const rv_process_id_t *to, int type, size_t size)
{
    static char data[LARGEST];
    unsigned *number = number_with(to_whom, sent_to, to);
    const head_t head = { *to, *number };

    size = rv_max(rv_min(size, sizeof(data)), sizeof(head));
    memcpy(data, &head, sizeof(head));
    int result = type == CALL
        ? rv_mesh_call(to, type_of(type), data, size, call_msec, on_answer, NULL)
        : rv_mesh_send(to, type_of(type), data, size, *number % 5 == 0 ? file : -1);
    *number += result == RV_OK;
    count(result == RV_AGAIN  ? POST_AGAIN
            : result != RV_OK ? POST_FAILED
            : type == CALL    ? POST_MADE
                              : POST_SENT);
    return result;
}

/* --- orders ------------------------------------------------------------------------------ */

static int
find_other_generation(unsigned number, rv_process_id_t *id)
{
    const rv_process_t *self = rv_process_self();

    for (const rv_process_t *p = rv_process_each(NULL); p != NULL; p = rv_process_each(p)) {
        if (p == self || self == NULL || p->generation == self->generation || p->worker != number)
            continue;
        *id = (rv_process_id_t){ p->slot, p->worker, p->generation, p->pid };
        return RV_OK;
    }
    return RV_ERROR;
}

static int
find(const char *name, rv_process_id_t *id)
{
    const rv_process_t *self = rv_process_self();

    if (name[0] == 'o')
        return find_other_generation((unsigned) atoi(name + 1), id);
    *id = name[0] == 'm' ? rv_mesh_master() : rv_mesh_self();
    if (name[0] == 'm' || (self != NULL && self->worker == (unsigned) atoi(name)))
        return RV_OK;
    return rv_mesh_worker((unsigned) atoi(name), id);
}

static order_t at_hand; /* what is left of it to be done when there is room */
static rv_process_id_t at_hand_to;

static void
on_room(const rv_process_id_t *to)
{
    count(POST_ROOMS);
    if (!is_same(to, &at_hand_to))
        return;
    while (at_hand.count > 0 && send_one(&at_hand_to, LETTER, at_hand.size) == RV_OK)
        at_hand.count--;
}

/* All of them, as room comes. */
static void
do_send(const order_t *order, const rv_process_id_t *to)
{
    at_hand = *order;
    at_hand_to = *to;
    while (at_hand.count > 0 && send_one(to, LETTER, at_hand.size) == RV_OK)
        at_hand.count--;
}

static void
do_postcards(const order_t *order, const rv_process_id_t *to)
{
    for (unsigned i = 0; i < order->count; i++)
        (void) send_one(to, POSTCARD, order->size);
}

static void
do_call(const order_t *order, const rv_process_id_t *to)
{
    for (unsigned i = 0; i < order->count; i++)
        (void) send_one(to, CALL, order->size);
}

static void
do_last(const order_t *order, const rv_process_id_t *to)
{
    for (unsigned i = 0; i < order->count; i++)
        (void) send_one(to, LETTER, order->size);
    raise(SIGKILL);
}

/* As somebody who does not ask whether the other one is of its generation. */
static void
do_unasked(const order_t *order, const rv_process_id_t *to)
{
    rv_process_id_t self = rv_mesh_self();
    const rv_message_t msg = { .type = (uint16_t) (RV_CONTROL_USER + type_of(LETTER)),
        .slot = self.slot,
        .generation = self.generation,
        .fd = file };

    for (unsigned i = 0; i < order->count; i++)
        (void) rv_channel_send(rv_process_at(to->slot)->channel[0], &msg);
}

static void
obey(const order_t *order)
{
    static const struct {
        const char *name;
        void (*deed)(const order_t *order, const rv_process_id_t *to);
    } deeds[] = { { "send", do_send }, { "postcards", do_postcards }, { "call", do_call },
        { "last", do_last }, { "unasked", do_unasked } };
    rv_process_id_t to;

    for (size_t i = 0; i < rv_countof(deeds); i++) {
        if (strcmp(deeds[i].name, order->deed) != 0)
            continue;
        if (find(order->to, &to) == RV_OK)
            deeds[i].deed(order, &to);
        else
            count(POST_FAILED);
    }
    count(POST_OBEYED);
}

static void
take_order(const rv_mesh_message_t *msg)
{
    order_t order;

    memcpy(&order, msg->data, sizeof(order));
    obey(&order);
}

static int
pass_on(const order_t *order)
{
    rv_process_id_t who, self = rv_mesh_self();

    if (find(order->who, &who) != RV_OK)
        return RV_ERROR;
    if (!is_same(&who, &self))
        return rv_mesh_send(&who, type_of(ORDER), order, sizeof(*order), -1);
    obey(order);
    return RV_OK;
}

/* --- the storm ------------------------------------------------------------------------------- */

/* Some of all kinds to somebody, for each of whom this process knows. */
static void
on_storm(int fd, short what, void *data)
{
    static const size_t sizes[] = { 0, 100, 16000, 20000 };
    static unsigned turn;
    static unsigned slot;
    rv_process_id_t to;

    (void) fd;
    (void) what;
    (void) data;
    call_msec = atomic_load(&shared->storm) == 0 ? CALL_MSEC : STORM_CALL_MSEC;
    if (atomic_load(&shared->storm) == 0)
        return;
    for (int i = 0; i < BATCH; i++, turn++) {
        if (rv_mesh_next(&slot, &to) != RV_OK)
            slot = 0; /* all have had something */
        else
            (void) send_one(
                &to, turn % 3 == 0 ? CALL : LETTER, sizes[turn % 16 < 13 ? turn % 2 : turn % 4]);
    }
    to = rv_mesh_master();
    (void) send_one(&to, turn / BATCH % 2 == 0 ? CALL : LETTER, sizes[turn % 4]);
}

/* --- the module -------------------------------------------------------------------------------- */

static int
configure(rv_cycle_t *cycle, rv_conf_t *cf)
{
    (void) cycle;
    (void) cf;
    if (shared == NULL) {
        shared =
            mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
        own = &shared->row[AT_MASTER];
    }
    return shared == MAP_FAILED ? RV_ERROR : RV_OK;
}

static int
init_worker(rv_worker_t *w)
{
    enum { STORM_MSEC = 20 };
    unsigned slot = 0;
    rv_process_id_t self = rv_mesh_self(), to;

    own = &shared->row[place_of(&self)];
    for (size_t i = 0; i < POST_VALUES; i++)
        atomic_store(&own->value[i], 0);
    atomic_store(&own->pid, (int) getpid());
    memset(sent_to, 0, sizeof(sent_to)); /* the master's */
    memset(sent_by, 0, sizeof(sent_by));
    file = open("/dev/null", O_RDONLY | O_CLOEXEC);
    timer = rv_loop_every(w->loop, STORM_MSEC, on_storm, NULL);

    /* the first words, from before others may know this worker */
    while (rv_mesh_next(&slot, &to) == RV_OK)
        (void) send_one(&to, LETTER, 0);
    return RV_OK;
}

static void
exit_worker(rv_worker_t *w)
{
    (void) w;
    rv_loop_unwatch(timer);
}

static int
print_row(const row_t *row, unsigned place, char *text, size_t room)
{
    int n = snprintf(text, room, "%u %d", place, atomic_load(&row->pid));

    for (size_t i = 0; i < POST_VALUES; i++)
        n += snprintf(text + n, room - (size_t) n, " %lu", atomic_load(&row->value[i]));
    return n + snprintf(text + n, room - (size_t) n, "\n");
}

static void
answer_seen(rv_http_request_t *r)
{
    static char text[POST_ROWS * 256];
    int n = snprintf(
        text, sizeof(text), "%lu %lu\n", atomic_load(&shared->astray), atomic_load(&shared->gaps));

    atomic_store(&shared->row[AT_MASTER].pid, (int) rv_process_master());
    for (unsigned i = 0; i < POST_ROWS; i++) {
        if (atomic_load(&shared->row[i].pid) != 0)
            n += print_row(&shared->row[i], i, text + n, sizeof(text) - (size_t) n);
    }
    rv_http_reply(r, 200, "text/plain", text, (size_t) n, NULL);
}

static void
answer(rv_http_request_t *r, const rv_http_location_t *location)
{
    order_t order = { .count = 0 };
    const char *path = r->parser.path;
    int storm;

    (void) location;
    if (sscanf(path, "/post/order/%15[^/]/%15[^/]/%15[^/]/%u/%u", order.who, order.deed, order.to,
            &order.count, &order.size)
        == 5) {
        rv_http_reply_status(r, pass_on(&order) == RV_OK ? 200 : 503, NULL);
    } else if (sscanf(path, "/post/storm/%d", &storm) == 1) {
        atomic_store(&shared->storm, storm);
        rv_http_reply_status(r, 200, NULL);
    } else if (strcmp(path, "/post/seen") == 0) {
        answer_seen(r);
    } else {
        rv_http_reply_status(r, 404, NULL);
    }
}

static const rv_http_handler_t handler = {
    .name = "post", .methods = RV_HTTP_GET, .answer = answer
};

extern const rv_module_t rv_post_module;

const rv_module_t rv_post_module = { .name = "post",
    .http_handler = &handler,
    .messages = types,
    .configure = configure,
    .init_worker = init_worker,
    .exit_worker = exit_worker };
