/*
 * rv_log: one line for everything worth telling an operator.
 *
 *     2026/11/21 02:51:03 [notice] 4711#0: worker 3 started, slot 5
 *
 * A set says which outputs (rv_log_output) are written to, and from which
 * level on.
 */
#ifndef RV_LOG_H
#define RV_LOG_H

#include "rv_base.h"

typedef enum {
    RV_LOG_NONE = 0,
    RV_LOG_EMERG,
    RV_LOG_ALERT, /* this should never happen */
    RV_LOG_CRIT,
    RV_LOG_ERROR,
    RV_LOG_WARN,
    RV_LOG_NOTICE,
    RV_LOG_INFO,
    RV_LOG_DEBUG
} rv_log_level_t;

#define RV_LOG_SET_MAX 16 /* in one set */

typedef struct {
    unsigned count;
    struct {
        unsigned output; /* as rv_log_output_open gave it */
        rv_log_level_t level;
    } entry[RV_LOG_SET_MAX];
} rv_log_set_t;

/* The level called `name`, or RV_LOG_NONE. */
rv_log_level_t rv_log_level(const char *name);

/* Releases all of a set's outputs. */
void rv_log_set_release(rv_log_set_t *set);

/* From now on lines go to this set, which is copied. */
void rv_log_use(const rv_log_set_t *set);

/* 1 when the set in use has standard error. */
int rv_log_uses_stderr(void);

/*
 * Lines of this level and graver also go to standard error, as
 * "reeve: [emerg] ...". So it is, from RV_LOG_NOTICE on, in a new process.
 */
void rv_log_terminal(rv_log_level_t level);

/* Such lines go to fd, which is taken over, in place of standard error, until
 * rv_log_terminal(RV_LOG_NONE). */
void rv_log_terminal_to(int fd);

/* 1 when a line of this level would go anywhere. */
int rv_log_enabled(rv_log_level_t level);

/*
 * Writes one line. err, where it is not 0, is an errno: its number and text
 * are appended. Control characters are written as \xNN, overlong lines end in "...".
 * Never fails, never changes errno: a line that an output does not take is
 * counted, and the count is written there once writing works again.
 */
void rv_log(rv_log_level_t level, int err, const char *fmt, ...) RV_PRINTF(3, 4);

/*
 * The descriptors, at most `room`, that lines of this level go to, syslog apart; how many. For a
 * signal handler that has something to say.
 */
unsigned rv_log_descriptors(rv_log_level_t level, int *fds, unsigned room);

/* "reeve: TEXT" on standard error alone: the answer to a command. */
void rv_log_say(const char *fmt, ...) RV_PRINTF(1, 2);

#ifdef RV_DEBUG
#define rv_log_debug(...) rv_log(RV_LOG_DEBUG, 0, __VA_ARGS__)
#else
#define rv_log_debug(...) ((void) 0)
#endif

#endif
