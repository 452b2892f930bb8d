/*
 * rv_stats: counters that are exact whatever dies.
 *
 * A block of shared memory that describes itself: a header, a table of
 * definitions, a base, and rows. A process claims a row and writes that one
 * only, several values in one transaction. The master folds the row of a
 * dead process into the base. What is shown is the sum of base and rows.
 *
 * A value is found by module and name and is one cell of a row, a histogram
 * several. Cells of counters and gauges come first: whoever needs no histogram
 * reads only these.
 */
#ifndef RV_STATS_H
#define RV_STATS_H

#include "rv_base.h"
#include "rv_stats_histogram.h"
#include "rv_stats_row.h"

#include <sys/types.h>

#define RV_STATS_MAX 128    /* definitions */
#define RV_STATS_CELLS 4096 /* cells of a row */
#define RV_STATS_MODULE 32  /* room for a module's name, */
#define RV_STATS_NAME 48    /* and a value's, */
#define RV_STATS_HELP 112   /* and its help, the NUL included */
#define RV_STATS_TEXT 512   /* text of the last reload's result */

typedef enum {
    RV_STATS_COUNTER = 1,  /* only grows; kept when its process is gone */
    RV_STATS_GAUGE = 2,    /* what is now; gone with its process */
    RV_STATS_HISTOGRAM = 3 /* of durations, in microseconds; kept as a counter is */
} rv_stats_kind_t;

/*
 * A name is lower-case letters, digits and "_", and may be followed by a label, but for
 * a histogram's: restarts{reason="exit"}. Those that differ in the label alone are of one kind
 * and stand one behind the other.
 */
typedef struct {
    const char *name;
    rv_stats_kind_t kind;
    const char *help; /* one sentence, one line */
} rv_stats_def_t;

/* The definitions of all modules. Lives as long as what was created by it. */
typedef struct {
    unsigned count;
    unsigned cells;
    unsigned plain;  /* cells that are no histogram's */
    char error[256]; /* what rv_stats_define has refused, in words */
    struct {
        const char *module;
        const rv_stats_def_t *def;
    } entry[RV_STATS_MAX];
} rv_stats_defs_t;

typedef struct rv_stats_s rv_stats_t;

/* What the memory says of one value. */
typedef struct {
    const char *module;
    const char *name;
    const char *help;
    unsigned kind; /* rv_stats_kind_t; 0: one that this version does not know */
    unsigned cell; /* the first */
} rv_stats_info_t;

/* Who a row belongs to. */
typedef struct {
    unsigned slot;
    unsigned worker; /* number in its generation; RV_STATS_MASTER: the master itself */
    unsigned generation;
    pid_t pid;
    int state;         /* rv_process_state_t */
    int64_t started;   /* seconds since 1970 */
    uint64_t restarts; /* of this worker number so far */
} rv_stats_owner_t;

#define RV_STATS_MASTER UINT32_MAX
#define RV_STATS_UNKNOWN (UINT32_MAX - 1) /* claimed, and nobody's yet */

/* Adds a module's definitions, which end in one without a name. RV_ERROR: there
 * would be too many, or one is malformed; defs->error says what. */
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
 * another version of it; `size` is what is mapped, readable at least. NULL: it is not what it
 * should be (errno EINVAL), or memory is short.
 */
rv_stats_t *rv_stats_attach(void *memory, size_t size);

/* Gives back the handle, not the memory. */
void rv_stats_free(rv_stats_t *st);

/* Whether the memory has just these definitions, in this order, and rows; then
 * the handle is as good as one of rv_stats_create. */
int rv_stats_same(rv_stats_t *st, const rv_stats_defs_t *defs, unsigned rows);

/* The first cell of a value, or RV_ERROR. */
int rv_stats_find(const rv_stats_t *st, const char *module, const char *name);

/* How many definitions, and what one says; texts live as long as the handle. */
unsigned rv_stats_count(const rv_stats_t *st);
rv_stats_info_t rv_stats_info(const rv_stats_t *st, unsigned index);

/* How many cells a row has, and how many of these are no histogram's. */
unsigned rv_stats_cells(const rv_stats_t *st);
unsigned rv_stats_plain(const rv_stats_t *st);

/* --- the writer of a row ------------------------------------------------ */

/* Makes a claimed row this process's own. RV_ERROR: not enough memory. */
int rv_stats_own(rv_stats_t *st, unsigned row);

/*
 * Adds to several values of the own row, all of them or, if this process is
 * killed at whatever instruction, none. At most RV_STATS_CHANGES, each cell
 * once. Without an own row nothing happens.
 */
void rv_stats_apply(rv_stats_t *st, const rv_stats_change_t *changes, unsigned count);

#define RV_STATS_OBSERVATION 3

/*
 * Writes to `changes` what `times` observations of so many microseconds do to
 * the own row's histogram at `cell`; at most RV_STATS_OBSERVATION changes,
 * returns how many. Nothing is changed by it.
 */
unsigned rv_stats_observe(
    const rv_stats_t *st, int cell, uint64_t usec, unsigned times, rv_stats_change_t *changes);

/*
 * For what the kernel does and we then count: a word in the own row, set to
 * `initial`, for the kernel to change in the same call (the length that accept()
 * stores). If this process dies after that and before a transaction has changed
 * the counter at `cell`, the fold counts one. Valid until the next call.
 */
uint32_t *rv_stats_witness(rv_stats_t *st, unsigned cell, uint32_t initial);

/* Says that this process is alive, at this time in milliseconds. */
void rv_stats_heartbeat(rv_stats_t *st, uint64_t now);

/* --- readers ------------------------------------------------------------- */

/*
 * Sums base and rows into values, the first `cells` of them. Takes no lock and never
 * waits for a writer, stopped or dead as it may be.
 */
void rv_stats_snapshot(const rv_stats_t *st, uint64_t *values, unsigned cells);

/* Copies one row: RV_DONE where nobody has it. */
int rv_stats_row(const rv_stats_t *st, unsigned row, rv_stats_owner_t *owner, uint64_t *values);

/* How many rows have ever been used; all of them are below that. */
unsigned rv_stats_rows(const rv_stats_t *st);

/* 0: it was cut off, and not all that this process would show is there. */
int rv_stats_is_whole(const rv_stats_t *st);

/* What the header says. */
typedef struct {
    pid_t master;
    int64_t started; /* seconds since 1970 */
    unsigned generation;
    int superseded;   /* other memory is in force */
    uint64_t reloads; /* of this master, how many; 0: the next three mean nothing */
    int64_t reload_time;
    int reload_result; /* 0: done */
    char reload_text[RV_STATS_TEXT];
} rv_stats_master_t;

void rv_stats_master(const rv_stats_t *st, rv_stats_master_t *master);

/* A process, its values by the definitions of the whole. */
typedef struct {
    rv_stats_owner_t owner;
    uint64_t heartbeat; /* ms; 0: none yet */
    const uint64_t *values;
} rv_stats_process_t;

/*
 * For who looks often: who a row belongs to, and `count` of its values from that cell on,
 * p->values, which may be of different moments. RV_DONE: nobody has it.
 */
int rv_stats_glance(const rv_stats_t *st, unsigned row, unsigned cell, unsigned count,
    uint64_t *values, rv_stats_process_t *p);

/* All that there is to show, at one moment. */
typedef struct {
    rv_stats_master_t master;
    uint64_t *totals;
    rv_stats_process_t *process; /* by worker number, the older generation first */
    unsigned count;
    uint64_t *values; /* of all processes */
} rv_stats_view_t;

/* Takes it; RV_ERROR: not enough memory. */
int rv_stats_view(const rv_stats_t *st, rv_stats_view_t *view);
void rv_stats_view_free(rv_stats_view_t *view);

/*
 * Whether `old` is the memory that st succeeds; then what st shows includes it, as
 * long as it counts (rv_stats_fold.h). For readers that have mapped both.
 */
int rv_stats_link(rv_stats_t *st, rv_stats_t *old);

/*
 * 0: there is a predecessor that counts and is not linked: what it counts is as old
 * as the last rv_stats_carry, and its processes are not listed.
 */
int rv_stats_is_complete(const rv_stats_t *st);

#endif
