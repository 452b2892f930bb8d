/*
 * look: the counters of a running daemon, mapped by the test itself.
 *
 * Thousands of looks cost what one `reeve status` does.
 */
#ifndef LOOK_H
#define LOOK_H

#include "daemon.h"

#include "rv_stats.h"

typedef struct {
    int fd;
    void *memory;
    size_t size;
    rv_stats_t *stats;
} look_t;

/* A type of zone that this build has and that can be mapped from outside. */
const char *look_type(void);

/* Maps the counters in force, through /proc. */
void look_open(daemon_t *d, look_t *look);
void look_close(look_t *look);

/* Takes what there is to see, to be freed. */
void look_take(const look_t *look, rv_stats_view_t *view);

/* A value of totals, or of a process; fails the test where there is no such. */
int64_t look_value(
    const look_t *look, const uint64_t *values, const char *module, const char *name);

/* Of the totals at this moment. */
int64_t look_total(const look_t *look, const char *module, const char *name);

/* All connections. */
int64_t look_connections(const look_t *look, const uint64_t *values);

/* Waits until a value of the totals is this. */
void look_wait(
    daemon_t *d, const look_t *look, const char *module, const char *name, int64_t value);

/* Waits until so many connections are open. */
void look_wait_connections(daemon_t *d, const look_t *look, int64_t count);

/* Fails the test when a view contradicts itself. */
void look_judge(const look_t *look, const rv_stats_view_t *view);

/* Fails the test where a counter is lower than it was; then `before` is what is now. */
void look_judge_growth(const look_t *look, const rv_stats_view_t *view, uint64_t *before);

#endif
