/*
 * rv_cycle: one generation, from reading its configuration to giving it up.
 *
 * Read and opened beside the one in force, a cycle is complete before
 * anything of the old one is touched; discarding it leaves no trace.
 */
#ifndef RV_CYCLE_H
#define RV_CYCLE_H

#include "rv_connection.h"
#include "rv_core.h"
#include "rv_listener.h"
#include "rv_log.h"
#include "rv_module.h"
#include "rv_zone.h"

typedef struct {
    const char *prefix;    /* ends in "/" */
    const char *conf;      /* path of the file */
    const char *overrides; /* -g; NULL: none */
} rv_cycle_options_t;

typedef struct rv_cycle_listener_s {
    struct rv_cycle_listener_s *next;
    unsigned number; /* in this generation, from 1 */
    rv_listener_t listener;
    const rv_service_t *service;
    const void *conf;
} rv_cycle_listener_t;

typedef struct rv_cycle_zone_s {
    struct rv_cycle_zone_s *next;
    rv_zone_spec_t spec;
    rv_zone_t *zone;     /* NULL: not open */
    const char *warning; /* what was said when it was opened; NULL: nothing */
    int failed;          /* mending it failed, and that was logged */
    int gone;            /* its file is no more in its place, and that was logged */
} rv_cycle_zone_t;

/* One worker number, whoever fills it at the time. */
typedef struct {
    int slot;              /* -1: nobody does */
    unsigned early_deaths; /* in a row */
    int64_t due;           /* ms: when to fork the next */
} rv_cycle_worker_t;

struct rv_cycle_s {
    rv_cycle_t *next; /* the master's list */
    rv_pool_t *pool;
    rv_conf_t *conf;
    const rv_cycle_options_t *options;
    const char *text; /* of the file */
    unsigned generation;

    const rv_core_conf_t *core;
    const rv_core_events_t *events;
    rv_cycle_listener_t *listeners;
    rv_cycle_zone_t *zones;
    rv_stats_t *stats;
    rv_log_set_t log;

    unsigned said;             /* worker_processes, */
    unsigned workers;          /* and how many there are to be, since some were added or removed */
    rv_cycle_worker_t *worker; /* RV_CORE_WORKERS, `workers` of them in use */
    unsigned living;           /* processes of this generation */
};

/*
 * Reads and checks the configuration; nothing outside is touched. The result
 * is to be asked for errors (rv_conf_error_count(cycle->conf)) before anything else.
 * NULL: not enough memory.
 */
rv_cycle_t *rv_cycle_read(const rv_cycle_options_t *options, unsigned generation);

/* Logs what reading collected: errors at `level`, warnings as such. */
void rv_cycle_log_messages(const rv_cycle_t *cycle, rv_log_level_t level);

#define RV_CYCLE_REASON 512

/*
 * Opens listeners, logs and zones; what `old` (NULL: there is none) has too is
 * shared with it. RV_ERROR: nothing is open, `reason` says why.
 */
int rv_cycle_open(rv_cycle_t *cycle, const rv_cycle_t *old, char reason[RV_CYCLE_REASON]);

/*
 * Listens at the addresses that are new. The last step before the commit, and
 * the last that can fail: RV_ERROR, and `reason` says why.
 */
int rv_cycle_listen_all(rv_cycle_t *cycle, char reason[RV_CYCLE_REASON]);

/*
 * The cycle takes the old one's place (NULL: there is none): zones are this process's to remove,
 * unix sockets that both have are now its own, and lines go to its logs. The old one's listeners
 * are to be closed then.
 */
void rv_cycle_commit(rv_cycle_t *cycle, rv_cycle_t *old);

/* After the death of a process that may have held a zone's lock: what it left
 * half-done is repaired and logged. */
void rv_cycle_look_after_zones(const rv_cycle_t *cycle);

/* Looks whether zones' files were cut off. 1: the one of the counters was, and
 * is whole again but for who its rows belong to. */
int rv_cycle_mend_zones(const rv_cycle_t *cycle);

/* Looks whether zones' files are where they were, and logs it once where not. */
void rv_cycle_check_files(const rv_cycle_t *cycle);

/* 0: the counters' memory was cut off, and what a page would show is not all. */
int rv_cycle_counts_are_whole(const rv_cycle_t *cycle);

/* Closes this process's listening descriptors; with `remove` the files of unix
 * sockets that are the cycle's own go too. */
void rv_cycle_close_listeners(rv_cycle_t *cycle, int remove);

/*
 * Gives up all that it holds. With `remove`, which is for the master alone,
 * also the names that it has in the system.
 */
void rv_cycle_free(rv_cycle_t *cycle, int remove);

/* --- for the configure hook of modules ------------------------------------------ */

/* Reads the value of a `listen` directive; a unix socket's path is under the
 * prefix. RV_ERROR: collected in cf. */
int rv_cycle_read_listen(rv_conf_t *cf, const char *value, rv_listener_t *listener);

/* Asks for a listener, whose text stood in the file; clients go to the service. Errors are
 * collected in cf. An address may be asked for once. */
int rv_cycle_listen(rv_cycle_t *cycle, rv_conf_t *cf, const rv_listener_t *listener,
    const rv_service_t *service, const void *conf);

/* The same of a service with one address: that of `listen` in the section that has the service's
 * name. NULL: it listens nowhere. */
int rv_cycle_listen_at(rv_cycle_t *cycle, rv_conf_t *cf, const char *value,
    const rv_service_t *service, const void *conf);

/* What tells this daemon's names in the system from another's; NULL: not enough memory. */
const char *rv_cycle_instance(const rv_cycle_t *cycle);

/* The one at this address, or NULL. */
rv_cycle_listener_t *rv_cycle_find_listener(const rv_cycle_t *cycle, const rv_addr_t *addr);

/* The zone of this name once it is open, or NULL. */
rv_zone_t *rv_cycle_find_zone(const rv_cycle_t *cycle, const char *name);

#endif
