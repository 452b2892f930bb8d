/*
 * rv_core: the daemon's own sections, [main], [events] and [zone NAME].
 */
#ifndef RV_CORE_H
#define RV_CORE_H

#include "rv_affinity.h"
#include "rv_daemon.h"
#include "rv_log.h"
#include "rv_module.h"

#define RV_CORE_WORKERS 512 /* so that two generations fit into the table */

typedef struct rv_core_log_s {
    struct rv_core_log_s *next;
    const char *target;
    rv_log_level_t level;
} rv_core_log_t;

typedef struct rv_core_env_s {
    struct rv_core_env_s *next;
    const char *text; /* NAME or NAME=VALUE */
} rv_core_env_t;

typedef struct {
    int is_set; /* otherwise it stays as it is */
    size_t value;
} rv_core_limit_t;

typedef struct {
    int daemon;
    int master_process;
    int graceful_term;
    struct {
        rv_daemon_user_t user;
        int is_set; /* by the operator */
    } user;
    uint64_t worker_processes;
    rv_core_limit_t worker_rlimit_nofile;
    rv_core_limit_t worker_rlimit_core; /* bytes */
    int64_t worker_priority;
    rv_affinity_t worker_cpu_affinity;
    uint64_t worker_shutdown_timeout; /* ms */
    uint64_t worker_startup_timeout;  /* ms */
    uint64_t worker_hang_timeout;     /* ms; 0: for ever */
    size_t channel_queue;             /* bytes that wait for one process */
    const char *pid;                  /* NULL: none, or not read yet */
    int no_pid;                       /* "pid = off" */
    rv_core_log_t *logs;
    const char *working_directory; /* NULL: as it is */
    rv_core_env_t *env;
    const char *chroot; /* NULL: none */
    int sandbox;        /* workers have a filter of system calls */
} rv_core_conf_t;

typedef struct {
    uint64_t worker_connections;
    int accept_balance; /* workers that have many clients pass new ones on */
    const char *use;    /* libevent's method; NULL: the best */
} rv_core_events_t;

typedef struct {
    const char *type; /* NULL: not said */
    size_t size;      /* 0: not said */
    const char *path;
    int mlock;
    int hugepages;
} rv_core_zone_t;

extern const rv_module_t rv_core_module;

/*
 * Gives the worker the environment that the configuration asks for: TZ, and
 * what `env` names. The time zone is in force, and its file read, after this.
 */
int rv_core_set_environment(const rv_core_conf_t *core);

#endif
