/*
 * mesh_actors: a mesh of forked workers, and the test as their master.
 *
 * A worker has a small loop and does what it is told: a function of the test program, with an
 * argument, that is called in the worker. Nothing here waits for a time.
 */
#ifndef MESH_ACTORS_H
#define MESH_ACTORS_H

#include "rv_mesh.h"

#include <stddef.h>

/* In a worker, where a failed ck_assert would not be seen. */
#define mesh_require(condition) ((condition) ? (void) 0 : mesh_fail(#condition, __FILE__, __LINE__))
void mesh_fail(const char *condition, const char *file, int line);

/* Waits until it is true, and does the master's work meanwhile. */
#define mesh_until(condition)                                                                  \
    for (int64_t limit_ = mesh_limit(); !(condition); mesh_step(limit_, #condition, __LINE__)) \
    continue
int64_t mesh_limit(void);
void mesh_step(int64_t limit, const char *condition, int line);

/* This process becomes the master, and registers the types of the test as those of module "test". */
void mesh_setup(const rv_mesh_type_t *types);

/* Starts a worker and introduces it: it may send when this returns. */
rv_process_t *mesh_spawn(unsigned generation, unsigned number);
rv_process_id_t mesh_id(const rv_process_t *p);

/* Calls it in the worker, after what it was told before; mesh_tell does not wait for its end. */
typedef void (*mesh_deed_t)(const void *arg);
void mesh_tell(const rv_process_t *p, mesh_deed_t deed, const void *arg, size_t length);
void mesh_do(const rv_process_t *p, mesh_deed_t deed, const void *arg, size_t length);

/* Kills the worker, takes what it has sent to the master, and tells the others. */
void mesh_kill(rv_process_t *p);

/* The same where it kills itself. */
void mesh_bury(rv_process_t *p);

/* Stops it (1), or lets it go on (0). */
void mesh_freeze(const rv_process_t *p, int on);

/* How many messages it has refused, and how many descriptors it has. */
unsigned mesh_refused(const rv_process_t *p);
int mesh_descriptors(const rv_process_t *p);
unsigned mesh_refused_here(void);
int mesh_descriptors_here(void);

/* Ends all workers; each has to end as it should. */
void mesh_end(void);

#endif
