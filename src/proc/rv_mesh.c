/*
 * rv_mesh: messages between processes, for modules.
 *
 * A message says by its type, a number, whose it is; the numbers are given before the first
 * fork, so that all processes have the same. Who may send to whom is decided twice: by the
 * sender, who can tell its caller, and by the receiver, who need not believe it.
 *
 * The globals: the types, how often a full queue had room again when that was last looked at, and
 * whether the master is gone: the others hold its ends, so that no socket tells.
 */
#include "rv_mesh.h"

#include "rv_control.h"
#include "rv_fd.h"
#include "rv_mesh_calls.h"
#include "rv_mesh_payload.h"

#include <errno.h>
#include <string.h>

enum {
    TYPES = 256,
    ANSWER = 1, /* flags of a message: it is the answer to a call, */
    LARGE = 2   /* and its data is behind its first descriptor */
};

static struct {
    const char *module;
    const rv_mesh_type_t *type;
} types[TYPES];
static unsigned count;
static uint64_t roomy;
static int is_orphan;

/* --- types ---------------------------------------------------------------------------- */

int
rv_mesh_find(const char *module, const char *name)
{
    for (unsigned i = 0; i < count; i++) {
        if (strcmp(types[i].module, module) == 0 && strcmp(types[i].type->name, name) == 0)
            return (int) i;
    }
    errno = ENOENT;
    return RV_ERROR;
}

int
rv_mesh_register(const char *module, const rv_mesh_type_t *table)
{
    for (const rv_mesh_type_t *t = table; t->name != NULL; t++) {
        if (rv_mesh_find(module, t->name) >= 0) {
            errno = EEXIST;
            return RV_ERROR;
        }
        if (count == TYPES) {
            errno = ENOSPC;
            return RV_ERROR;
        }
        types[count].module = module;
        types[count++].type = t;
    }
    return RV_OK;
}

/* --- receivers --------------------------------------------------------------------------- */

static rv_process_id_t
id_of(const rv_process_t *p)
{
    return (rv_process_id_t){ p->slot, p->worker, p->generation, p->pid };
}

rv_process_id_t
rv_mesh_master(void)
{
    return (rv_process_id_t){ .slot = RV_PROCESS_MASTER, .pid = rv_process_master() };
}

rv_process_id_t
rv_mesh_self(void)
{
    return rv_process_self() == NULL ? rv_mesh_master() : id_of(rv_process_self());
}

/* In a worker those of its generation; in the master those that serve. */
static int
is_reached(const rv_process_t *p)
{
    const rv_process_t *self = rv_process_self();

    if (self != NULL)
        return p != self && p->generation == self->generation;
    return p->state == RV_PROCESS_READY && p->start_sent;
}

int
rv_mesh_next(unsigned *slot, rv_process_id_t *id)
{
    for (const rv_process_t *p = rv_process_from(*slot); p != NULL; p = rv_process_each(p)) {
        if (!is_reached(p))
            continue;
        *id = id_of(p);
        *slot = p->slot + 1;
        return RV_OK;
    }
    return RV_DONE;
}

int
rv_mesh_worker(unsigned number, rv_process_id_t *id)
{
    rv_process_id_t each;
    unsigned slot = 0;

    while (rv_mesh_next(&slot, &each) == RV_OK) {
        if (each.worker != number)
            continue;
        *id = each;
        return RV_OK;
    }
    return RV_ERROR;
}

/* The row of that very process, the own one for the master; NULL: it is not there. */
static rv_process_t *
find_row(const rv_process_id_t *id)
{
    rv_process_t *self = rv_process_self();

    if (id->slot == RV_PROCESS_MASTER)
        return id->pid == rv_process_master() ? self : NULL;
    if (id->slot >= RV_PROCESS_SLOTS)
        return NULL;

    rv_process_t *p = rv_process_at(id->slot);
    return p != self && p->state != RV_PROCESS_FREE && p->pid == id->pid
            && p->generation == id->generation
        ? p
        : NULL;
}

rv_mesh_counts_t
rv_mesh_counts(const rv_process_id_t *id)
{
    rv_process_t *p = find_row(id);

    if (p == NULL)
        return (rv_mesh_counts_t){ 0 };
    const rv_channel_counts_t *c =
        rv_channel_counts(p == rv_process_self() ? p->channel[1] : p->channel[0]);
    return (rv_mesh_counts_t){ c->sent, p->received, c->full, c->dropped, c->queued, c->most };
}

typedef struct {
    int type;
    uint64_t about;
    uint16_t flags;
    uint32_t call;
    const void *data;
    size_t length;
    int fd;
} letter_t;

/* The channel to that very process; NULL and errno. */
static rv_channel_t *
find_channel(const rv_process_id_t *to, const letter_t *letter)
{
    const rv_process_t *self = rv_process_self(), *p = find_row(to);
    const rv_mesh_type_t *type = types[letter->type].type;

    errno = ESRCH;
    if (p == NULL || (p == self && is_orphan))
        return NULL;
    errno = EPERM;
    if (!(letter->flags & ANSWER) && (p == self ? type->receive_master : type->receive) == NULL)
        return NULL;
    if (p == self)
        return p->channel[1];
    return self == NULL || p->generation == self->generation || type->flags & RV_MESH_ANY_GENERATION
        ? p->channel[0]
        : NULL;
}

/* --- sending ------------------------------------------------------------------------------ */

/* Somebody waits for each call and each answer: none stands for another. */
static rv_channel_policy_t
policy_of(const letter_t *letter)
{
    rv_channel_policy_t policy = types[letter->type].type->policy;

    return letter->call != 0 && policy == RV_CHANNEL_COALESCE ? RV_CHANNEL_FAIL : policy;
}

static rv_message_t
make_message(const letter_t *letter)
{
    rv_process_id_t self = rv_mesh_self();

    return (rv_message_t){ .type = (uint16_t) (RV_CONTROL_USER + letter->type),
        .flags = letter->flags,
        .call = letter->call,
        .slot = self.slot,
        .generation = self.generation,
        .length = (uint32_t) letter->length,
        .data = letter->data,
        .fd = letter->fd,
        .policy = policy_of(letter),
        .same = letter->about };
}

/* What the message carries instead of its data. */
static int
send_large(rv_channel_t *ch, const letter_t *letter)
{
    const uint64_t length = letter->length;
    letter_t outer = *letter;

    if (letter->length > RV_MESH_PAYLOAD_LARGEST) {
        errno = EMSGSIZE;
        return RV_ERROR;
    }
    outer.flags |= LARGE;
    outer.data = &length;
    outer.length = sizeof(length);
    outer.fd = rv_mesh_payload_create(letter->data, letter->length);
    if (outer.fd == -1)
        return RV_ERROR;

    rv_message_t msg = make_message(&outer);
    msg.more = &letter->fd;
    msg.more_count = letter->fd == -1 ? 0 : 1;
    msg.weight = letter->length;
    int result = rv_channel_send(ch, &msg);
    rv_fd_close(&outer.fd);
    return result;
}

static int
send_letter(const rv_process_id_t *to, const letter_t *letter)
{
    if (letter->type < 0 || (unsigned) letter->type >= count) {
        errno = EINVAL;
        return RV_ERROR;
    }
    rv_channel_t *ch = find_channel(to, letter);
    if (ch == NULL)
        return RV_ERROR;
    if (letter->length > RV_CHANNEL_DATA)
        return send_large(ch, letter);

    rv_message_t msg = make_message(letter);
    return rv_channel_send(ch, &msg);
}

int
rv_mesh_send_about(
    const rv_process_id_t *to, int type, uint64_t about, const void *data, size_t length, int fd)
{
    const letter_t letter = {
        .type = type, .about = about, .data = data, .length = length, .fd = fd
    };

    return send_letter(to, &letter);
}

int
rv_mesh_send(const rv_process_id_t *to, int type, const void *data, size_t length, int fd)
{
    return rv_mesh_send_about(to, type, 0, data, length, fd);
}

unsigned
rv_mesh_broadcast(int type, uint64_t about, const void *data, size_t length,
    void (*told)(const rv_process_id_t *, int, void *), void *arg)
{
    rv_process_id_t to;
    unsigned slot = 0, missed = 0;

    while (rv_mesh_next(&slot, &to) == RV_OK) {
        int result = rv_mesh_send_about(&to, type, about, data, length, -1);

        missed += result != RV_OK;
        if (told != NULL)
            told(&to, result, arg);
    }
    return missed;
}

int
rv_mesh_call(const rv_process_id_t *to, int type, const void *data, size_t length, uint64_t msec,
    rv_mesh_answered_t answered, void *arg)
{
    const rv_mesh_calls_entry_t entry = { .to = *to,
        .type = type,
        .until = rv_mesh_calls_until(msec),
        .answered = answered,
        .arg = arg };
    letter_t letter = { .type = type, .data = data, .length = length, .fd = -1 };

    letter.call = rv_mesh_calls_add(&entry);
    if (letter.call == 0)
        return RV_ERROR;
    int result = send_letter(to, &letter);
    if (result != RV_OK) {
        int err = errno;

        rv_mesh_calls_undo(letter.call);
        errno = err;
    }
    return result;
}

int
rv_mesh_reply(const rv_mesh_message_t *call, const void *data, size_t length, int fd)
{
    const letter_t letter = { .type = call->type,
        .flags = ANSWER,
        .call = call->call,
        .data = data,
        .length = length,
        .fd = fd };

    if (call->call == 0) {
        errno = EINVAL;
        return RV_ERROR;
    }
    return send_letter(&call->from, &letter);
}

/* --- receiving ------------------------------------------------------------------------------ */

typedef void (*receive_t)(const rv_mesh_message_t *);

/* Who receives such a message; NULL: nobody does, or not from there. */
static receive_t
find_receiver(const rv_mesh_message_t *m, const rv_mesh_type_t *type)
{
    const rv_process_t *self = rv_process_self();

    if (self == NULL)
        return type->receive_master;
    if (m->from.slot != RV_PROCESS_MASTER && m->from.generation != self->generation
        && !(type->flags & RV_MESH_ANY_GENERATION))
        return NULL;
    return type->receive;
}

/* An answer that comes too late is nobody's fault. */
static int
is_accepted(const rv_mesh_message_t *m, const rv_message_t *msg)
{
    return msg->flags & ANSWER || find_receiver(m, types[m->type].type) != NULL;
}

static void
deliver(rv_mesh_message_t *m, unsigned flags)
{
    if (types[m->type].type->flags & RV_MESH_NO_DESCRIPTOR)
        rv_fd_discard(&m->fd);
    if (!(flags & ANSWER))
        find_receiver(m, types[m->type].type)(m);
    else if (rv_mesh_calls_answer(m) != RV_OK)
        rv_fd_discard(&m->fd);
}

/* The data is behind the first descriptor, and the one that was sent is the second. */
static int
deliver_large(rv_mesh_message_t *m, rv_message_t *msg)
{
    rv_mesh_payload_t payload;
    uint64_t length;

    if (msg->fd == -1 || msg->length != sizeof(length) || msg->more_count > 1)
        return RV_ERROR;
    memcpy(&length, msg->data, sizeof(length));
    if (rv_mesh_payload_open(&payload, msg->fd, length) != RV_OK)
        return RV_ERROR;

    rv_fd_discard(&msg->fd);
    m->data = payload.data;
    m->length = length;
    m->fd = msg->more_count == 1 ? msg->more[0] : -1;
    msg->more_count = 0;
    deliver(m, msg->flags);
    rv_mesh_payload_close(&payload);
    return RV_OK;
}

/* What the master sends is counted in the own row. */
static void
count_received(uint32_t slot)
{
    rv_process_t *p = slot == RV_PROCESS_MASTER ? rv_process_self() : rv_process_at(slot);

    if (p != NULL)
        p->received++;
}

int
rv_mesh_receive(rv_message_t *msg)
{
    unsigned number = msg->type - (unsigned) RV_CONTROL_USER;
    rv_mesh_message_t m = { .type = (int) number,
        .data = msg->data,
        .length = msg->length,
        .fd = msg->fd,
        .call = msg->call,
        .sent = msg->sent };

    if (msg->type < RV_CONTROL_USER || number >= count)
        return RV_ERROR;
    count_received(msg->slot);
    m.from = msg->slot == RV_PROCESS_MASTER ? rv_mesh_master() : id_of(rv_process_at(msg->slot));
    if (!is_accepted(&m, msg))
        return RV_ERROR;
    if (msg->flags & LARGE)
        return deliver_large(&m, msg);
    if (msg->more_count > 0)
        return RV_ERROR;

    msg->fd = -1; /* the callback's */
    deliver(&m, msg->flags);
    return RV_OK;
}

/* --- the loops ------------------------------------------------------------------------------- */

void
rv_mesh_gone(const rv_process_id_t *id)
{
    rv_mesh_calls_gone(id);
}

void
rv_mesh_lost_master(void)
{
    const rv_process_id_t master = rv_mesh_master();

    is_orphan = 1;
    rv_mesh_calls_gone(&master);
}

int64_t
rv_mesh_due(void)
{
    return rv_mesh_calls_due();
}

static void
tell_room(rv_channel_t *ch, const rv_process_id_t *to)
{
    if (ch == NULL || !rv_channel_take_room(ch))
        return;
    for (unsigned i = 0; i < count; i++) {
        if (types[i].type->room != NULL)
            types[i].type->room(to);
    }
}

void
rv_mesh_settle(int64_t now)
{
    const rv_process_t *self = rv_process_self();
    const rv_process_id_t master = rv_mesh_master();

    rv_mesh_calls_expire(now);
    if (rv_channel_totals()->roomy == roomy)
        return;

    roomy = rv_channel_totals()->roomy;
    for (const rv_process_t *p = rv_process_each(NULL); p != NULL; p = rv_process_each(p)) {
        const rv_process_id_t to = p == self ? master : id_of(p);

        tell_room(p == self ? p->channel[1] : p->channel[0], &to);
    }
}

int
rv_mesh_is_waiting(void)
{
    return rv_channel_totals()->queued > 0;
}

void
rv_mesh_forget(void)
{
    rv_mesh_calls_forget();
    is_orphan = 0;
    roomy = rv_channel_totals()->roomy;
}
