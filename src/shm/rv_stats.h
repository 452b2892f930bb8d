/*
 * rv_stats: counters that are exact whatever dies.
 *
 * A block of shared memory that describes itself: a header, a table of
 * definitions, a base, and a row per process slot. A process writes its own
 * row only, several values in one transaction. The master folds the row of a
 * dead process into the base. What is shown is the sum of base and rows.
 */
#ifndef RV_STATS_H
#define RV_STATS_H

#include "rv_base.h"
#include "rv_stats_row.h"

#include <sys/types.h>

#define RV_STATS_MAX 128   /* definitions */
#define RV_STATS_MODULE 32 /* room for a module's name, */
#define RV_STATS_NAME 48   /* and a value's, the NUL included */
#define RV_STATS_TEXT 512  /* text of the last reload's result */

typedef enum {
    RV_STATS_COUNTER = 1, /* only grows; kept when its process is gone */
    RV_STATS_GAUGE = 2    /* what is now; gone with its process */
} rv_stats_kind_t;

typedef struct {
    const char *name;
    rv_stats_kind_t kind;
    const char *help;
} rv_stats_def_t;

/* The definitions of all modules, in the order of their values. */
typedef struct {
    unsigned count;
    struct {
        const char *module;
        const rv_stats_def_t *def;
    } entry[RV_STATS_MAX];
} rv_stats_defs_t;

typedef struct rv_stats_s rv_stats_t;

/* Who a row belongs to. */
typedef struct {
    unsigned slot;
    unsigned worker; /* number in its generation */
    unsigned generation;
    pid_t pid;
    int state;       /* rv_process_state_t */
    int64_t started; /* seconds since 1970 */
} rv_stats_owner_t;

/* Adds a module's definitions, which end in one without a name. RV_ERROR:
 * there would be more than RV_STATS_MAX, or a name is too long. */
int rv_stats_define(rv_stats_defs_t *defs, const char *module, const rv_stats_def_t *def);

/* Bytes that rv_stats_create needs. */
size_t rv_stats_size(const rv_stats_defs_t *defs, unsigned rows);

/*
 * Lays out zeroed shared memory of rv_stats_size() bytes, aligned to 64, and returns this
 * process's handle on it; NULL and errno.
 */
rv_stats_t *rv_stats_create(void *memory, const rv_stats_defs_t *defs, unsigned rows);

/*
 * A handle on memory that rv_stats_create laid out before, by this program or
 * another version of it; `size` is what is mapped. NULL: it is not what it
 * should be (errno EINVAL), or memory is short.
 */
rv_stats_t *rv_stats_attach(void *memory, size_t size);

/* Gives back the handle, not the memory. */
void rv_stats_free(rv_stats_t *st);

/* Whether the memory has just these definitions, in this order, and rows. */
int rv_stats_same(const rv_stats_t *st, const rv_stats_defs_t *defs, unsigned rows);

/* The index of a value, or RV_ERROR. */
int rv_stats_find(const rv_stats_t *st, const char *module, const char *name);

/* How many definitions, and what one says. */
unsigned rv_stats_count(const rv_stats_t *st);
const char *rv_stats_name(const rv_stats_t *st, unsigned index);
rv_stats_kind_t rv_stats_kind(const rv_stats_t *st, unsigned index);

/* --- the writer of a row ------------------------------------------------ */

/* Makes the row of a slot this process's own. */
void rv_stats_own(rv_stats_t *st, unsigned slot);

/*
 * Adds to several values of the own row, all of them or, if this process is
 * killed at whatever instruction, none. At most RV_STATS_CHANGES, each index
 * once. Without an own row nothing happens.
 */
void rv_stats_apply(rv_stats_t *st, const rv_stats_change_t *changes, unsigned count);

/* Says that this process is alive, at this time in milliseconds. */
void rv_stats_heartbeat(rv_stats_t *st, uint64_t now);

/* --- the master --------------------------------------------------------- */

/* Prepares the row of a slot, before a process is forked into it. */
int rv_stats_prepare(rv_stats_t *st, unsigned slot);

/* Says whose a prepared row is; again when the owner's state has changed. */
int rv_stats_set_owner(rv_stats_t *st, const rv_stats_owner_t *owner);

/*
 * The process of that slot is dead: completes its last transaction, adds its
 * counters to the base, drops its gauges and frees the row. No reader ever
 * sees a count twice or not at all. RV_ERROR: the lock could not be had.
 */
int rv_stats_fold(rv_stats_t *st, unsigned slot);

/*
 * Makes `st` the successor of `old`: what old counts is shown by st too, until
 * rv_stats_retire(st, old) takes old's totals over for good, which is when no
 * process writes to old any more. RV_DONE: old is not the predecessor.
 */
void rv_stats_succeed(rv_stats_t *st, rv_stats_t *old);
int rv_stats_retire(rv_stats_t *st, const rv_stats_t *old);

/* The result of the last reload, for whoever reads the memory. */
void rv_stats_set_master(rv_stats_t *st, pid_t pid, unsigned generation);
void rv_stats_set_reload(rv_stats_t *st, int result, const char *text);

/* How many transactions or folds a dead process left behind and were completed. */
uint64_t rv_stats_recoveries(const rv_stats_t *st);

/* --- readers ------------------------------------------------------------- */

/*
 * Sums base and rows into values[rv_stats_count()]. Takes no lock and never
 * waits for a writer, stopped or dead as it may be.
 */
void rv_stats_snapshot(const rv_stats_t *st, uint64_t *values);

/* Copies one row: RV_DONE where the slot is free or past the last. */
int rv_stats_row(const rv_stats_t *st, unsigned slot, rv_stats_owner_t *owner, uint64_t *values);

#endif
