/*
 * rv_affinity: which processors a process runs on.
 *
 * As nginx has it: masks in binary, the last digit being processor 0, one mask for each
 * worker; or one processor for each, in turn.
 */
#ifndef RV_AFFINITY_H
#define RV_AFFINITY_H

#include "rv_base.h"

#define RV_AFFINITY_CPUS 1024

typedef struct {
    uint64_t word[RV_AFFINITY_CPUS / 64];
} rv_affinity_set_t;

typedef struct {
    int automatic;           /* one processor for each, of those of mask[0] where there is one */
    unsigned count;          /* of masks; 0 and not automatic: wherever the system likes */
    rv_affinity_set_t *mask; /* of worker 0, 1, ...; the last is for all further ones too */
} rv_affinity_t;

/* Reads a mask, "0101". RV_ERROR: it is none, or has no processor in it. */
int rv_affinity_parse(const char *text, rv_affinity_set_t *set);

/* The processors that this process may run on. RV_ERROR and errno. */
int rv_affinity_allowed(rv_affinity_set_t *set);

/*
 * What is meant for this worker, of the processors `allowed` where it is automatic. RV_ERROR:
 * none is left (EINVAL).
 */
int rv_affinity_choose(const rv_affinity_t *affinity, unsigned worker,
    const rv_affinity_set_t *allowed, rv_affinity_set_t *set);

/* Runs this process there from now on. RV_ERROR and errno, ENOSYS where the system cannot. */
int rv_affinity_bind(const rv_affinity_set_t *set);

/* All of that for worker `worker`; RV_ERROR and errno. */
int rv_affinity_apply(const rv_affinity_t *affinity, unsigned worker);

#endif
