/*
 * rv_activity: what each worker is doing, for whoever finds it dead or hanging.
 *
 * A slot is a word that is written whole, so that it says something sensible
 * whenever its writer dies, and a count of beats. Numbers, not pointers: the
 * master must not follow what a worker may have written wrongly.
 *
 * The globals: the slots, the own one, and the names of handlers, which a
 * worker inherits. A process without a slot writes to one that nobody reads,
 * so that nobody need ask.
 */
#include "rv_activity.h"

#include "rv_shm.h"

#include <stdatomic.h>
#include <string.h>

enum { LINE = 64, NAMES = 256 };

typedef struct {
    _Alignas(LINE) _Atomic uint64_t word; /* kind, handler and listener; 16 bits each */
    _Atomic uint64_t beats;
} slot_t;

static rv_shm_t memory;
static slot_t *slots;
static unsigned slot_count;
static slot_t nowhere;
static slot_t *own = &nowhere;
static const char *names[NAMES];

int
rv_activity_init(unsigned count)
{
    const rv_shm_type_t *type = rv_shm_type("anon"); /* needs no descriptor */

    if (type == NULL)
        type = rv_shm_type("auto");
    if (rv_shm_create(&memory, type, "activity", NULL, count * sizeof(slot_t), 0) != RV_OK)
        return RV_ERROR;

    slots = memory.addr;
    slot_count = count;
    return RV_OK;
}

void
rv_activity_free(void)
{
    if (slots != NULL)
        rv_shm_destroy(&memory);
    slots = NULL;
    slot_count = 0;
    own = &nowhere;
}

unsigned
rv_activity_define(const char *name)
{
    for (unsigned i = 1; i < NAMES; i++) {
        if (names[i] == NULL)
            names[i] = name;
        if (strcmp(names[i], name) == 0)
            return i;
    }
    return 0;
}

const char *
rv_activity_name(unsigned number)
{
    return number < NAMES ? names[number] : NULL;
}

void
rv_activity_own(unsigned slot)
{
    own = slot < slot_count ? &slots[slot] : &nowhere;
}

void
rv_activity_note(rv_activity_kind_t kind, unsigned listener, unsigned handler)
{
    uint64_t word = (uint64_t) kind | (uint64_t) (uint16_t) handler << 16
        | (uint64_t) (uint16_t) listener << 32;

    atomic_store_explicit(&own->word, word, memory_order_relaxed);
}

void
rv_activity_beat(void)
{
    uint64_t beats = atomic_load_explicit(&own->beats, memory_order_relaxed);

    atomic_store_explicit(&own->beats, beats + 1, memory_order_relaxed);
    rv_activity_note(RV_ACTIVITY_IDLE, 0, 0);
}

void
rv_activity_clear(unsigned slot)
{
    if (slot >= slot_count)
        return;
    atomic_store(&slots[slot].word, 0);
    atomic_store(&slots[slot].beats, 0);
}

rv_activity_t
rv_activity_of(unsigned slot)
{
    uint64_t word = slot < slot_count ? atomic_load(&slots[slot].word) : 0;

    return (rv_activity_t){ .kind = (rv_activity_kind_t) (word & 0xffff),
        .listener = (unsigned) (word >> 32 & 0xffff),
        .handler = (unsigned) (word >> 16 & 0xffff) };
}

uint64_t
rv_activity_beats(unsigned slot)
{
    return slot < slot_count ? atomic_load(&slots[slot].beats) : 0;
}
