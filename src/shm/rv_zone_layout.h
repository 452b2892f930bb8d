/*
 * rv_zone_layout: what is in front of a zone's content, and a process's handle on it.
 */
#ifndef RV_ZONE_LAYOUT_H
#define RV_ZONE_LAYOUT_H

#include "rv_lock.h"
#include "rv_shm.h"
#include "rv_zone.h"

#include <stdatomic.h>

#define RV_ZONE_LAYOUT_MAGIC UINT64_C(0x72656576657a6e32) /* "reevezn2" */
#define RV_ZONE_LAYOUT_VERSION 2

typedef struct {
    uint64_t magic;
    uint32_t version;
    _Atomic uint32_t generation;
    uint64_t size;
    uint64_t used; /* the allocator: the content up to here is given out */
    char name[RV_ZONE_NAME];
    char owner[RV_ZONE_NAME];
    _Atomic int64_t pid;    /* who removes the name in the end */
    _Atomic uint32_t dirty; /* set while init or repair is at work */
    _Atomic uint32_t recoveries;
    _Atomic int64_t holder; /* of the lock; says to the next daemon that it died so */
    rv_lock_t lock;
} rv_zone_header_t;

struct rv_zone_s {
    rv_shm_t shm;
    rv_zone_spec_t spec;
    char name[RV_ZONE_NAME];
    char owner[RV_ZONE_NAME];
    char *path; /* file: where it is to be in the end; owned */
    unsigned users;
    int outcome;              /* of the last repair: RV_ZONE_REPAIRED or RV_ZONE_REBUILT */
    unsigned told_generation; /* what rv_zone_news has told of */
    unsigned told_recoveries;
    int adopted;
    int alone;
    int fits;      /* the content can be used as it is */
    uint64_t used; /* as in the header, in case that one is cut off */
    unsigned generation;
    unsigned recoveries;
    rv_zone_t *held; /* one opening of an older zone */
    void *handle;
    void (*release)(void *);
};

/* The header; the zone begins with it. */
rv_zone_header_t *rv_zone_layout_header(const rv_zone_t *zone);

/* Bytes up to a multiple of 64. */
size_t rv_zone_layout_align(size_t n);

/* What header and end mark take. */
size_t rv_zone_layout_overhead(void);

/* Writes the header of a new zone, or of one that was cut off. */
int rv_zone_layout_write(rv_zone_t *zone);

/* Sets the end mark. In a zone that others have it comes after the content: they leave
 * one without it alone. */
void rv_zone_layout_mark(rv_zone_t *zone);

/* 1: the end mark is there: nothing was cut off. */
int rv_zone_layout_has_mark(const void *memory, size_t size);
int rv_zone_layout_is_whole(const rv_zone_t *zone);

/* 1: what is given out lies between header and end mark. */
int rv_zone_layout_is_plausible(const rv_zone_header_t *h);

/* Calls init, the content marked as unfinished meanwhile. */
int rv_zone_layout_init(rv_zone_t *zone, rv_zone_t *old);

/* Empties the zone and calls init; its generation is one higher. */
int rv_zone_layout_rebuild(rv_zone_t *zone);

/* Calls repair or restore, or, where it fails or is NULL, rebuilds; zone->outcome says which. */
int rv_zone_layout_repair(rv_zone_t *zone, int (*call)(rv_zone_t *, void *));

#endif
