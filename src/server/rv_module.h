/*
 * rv_module: what a module is.
 *
 * A module brings sections of the configuration, counters, and hooks. All may
 * be left out. The hooks in the order of their calls; src/modules/rv_echo.c has every one of them:
 *
 *     configure     master, for each generation: the configuration is read
 *     init_worker   worker, once: before it is READY
 *     drain         worker, once: told to finish; it stops accepting after this
 *     exit_worker   worker, once: about to exit, its connections are closed
 */
#ifndef RV_MODULE_H
#define RV_MODULE_H

#include "rv_conf.h"
#include "rv_mesh.h"
#include "rv_stats.h"

typedef struct rv_cycle_s rv_cycle_t;
typedef struct rv_worker_s rv_worker_t;
struct rv_http_handler_s; /* rv_http_conf.h, for those who have one */

typedef struct {
    const char *name;
    const rv_conf_section_t *const *sections;     /* up to NULL */
    const rv_stats_def_t *stats;                  /* up to one without a name */
    const struct rv_http_handler_s *http_handler; /* of a [location] */

    const rv_mesh_type_t *messages; /* up to one without a name */

    /*
     * Checks what was read and asks for listeners (rv_cycle_listen) and zones
     * (rv_zone_add). Errors go to rv_conf_error. Touches nothing outside:
     * `reeve -t` calls it too.
     */
    int (*configure)(rv_cycle_t *cycle, rv_conf_t *cf);

    /* RV_ERROR, after a line in the log, ends the worker: at start the daemon
     * with it, at a reload the new generation. */
    int (*init_worker)(rv_worker_t *worker);

    void (*drain)(rv_worker_t *worker);
    void (*exit_worker)(rv_worker_t *worker);

    /*
     * With `sandbox = on` a worker that has called init_worker of all modules may
     * make no system call but those that rv_sandbox_filter.c lists: it can
     * accept, receive and send, and open files for reading. Here a module names what
     * it needs beyond that, up to NULL: { "socket", "connect", NULL }. A
     * name allows the call with all arguments, to all modules; an unknown one
     * is an error of the configuration.
     */
    const char *const *syscalls;
} rv_module_t;

/* All modules of this build, up to NULL; written by configure. */
extern const rv_module_t *const rv_modules[];

#endif
