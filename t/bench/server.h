/*
 * server: reeve, and who stands beside it, each in the foreground with a configuration that
 * is the same for all as far as it can be.
 *
 * All answer /hello with six bytes. RV_NGINX, RV_H2O, RV_HAPROXY and RV_KORE in the environment
 * name programs in place of those in PATH.
 */
#ifndef SERVER_H
#define SERVER_H

#include "tree.h"

typedef enum {
    SERVER_HAS_STATUS = 1,  /* /stub_status, nginx's page */
    SERVER_HAS_WORKERS = 2, /* as many processes as wanted, that a reload replaces */
    SERVER_HAS_PIPELINING = 4,
    SERVER_IS_OURS = 8
} server_ability_t;

typedef struct {
    unsigned workers;     /* 0 is 1 */
    unsigned connections; /* of a worker at most; 0 is 1024 */
    const char *more;     /* lines for reeve's [main]; NULL: none */
    bench_core_t core;    /* where it runs */
} server_plan_t;

typedef struct {
    const char *name;
    unsigned abilities;
    int port;
    pid_t pid; /* its first process; 0: it does not run */
    server_plan_t plan;
} server_t;

/* By name: "reeve", "uncounted" (the same without transactions),
 * "unconfined" (without the filter of system calls), "bare", "nginx", "h2o",
 * "haproxy", "kore". RV_ERROR: it is not installed. */
int server_find(server_t *s, const char *name);

/* All of these that are there, and can do what is wanted; how many. */
unsigned server_find_all(server_t *list, const char *const *names, unsigned count, unsigned wanted);

/* Starts it. */
void server_launch(server_t *s, const server_plan_t *plan);

/* Starts it, and waits until it answers. */
void server_start(server_t *s, const server_plan_t *plan);

void server_stop(server_t *s);

/* Its first worker, where it has any. */
pid_t server_worker(const server_t *s);

/* Waits until it has so many workers, and none of these; the time is limited. */
void server_wait_workers(const server_t *s, unsigned count, const pid_t *old, int old_count);

#endif
