/*
 * rv_peers: whom each worker has still to be told of.
 *
 * The master's book. A change of the table is noted, and told when all that
 * happened at once has been noted: in few messages, of many slots each.
 */
#ifndef RV_PEERS_H
#define RV_PEERS_H

#include "rv_base.h"
#include "rv_process.h"

/* From being told to go to being told of others again, ms: most are gone by then. */
#define RV_PEERS_LEAVING_MSEC 100

/*
 * After p was forked, or has died: every other living worker is to be told. p itself knows all
 * that live, for it has inherited the table.
 */
void rv_peers_note(const rv_process_t *p);

/*
 * Sends what was noted, to whom it concerns already: a generation that is not in force yet
 * is kept from those before it, and nobody is told of anything for a while after it was told to go.
 * What the kernel does not take stays noted, for the next call after the channel's messages have
 * left.
 */
void rv_peers_tell(int64_t now);

/* When somebody is to be told who was spared so far, ms; INT64_MAX: nobody. */
int64_t rv_peers_due(void);

/* 1 when the kernel has taken all that `to` has to be told about the slot. */
int rv_peers_is_told(const rv_process_t *to, const rv_process_t *about);

#endif
