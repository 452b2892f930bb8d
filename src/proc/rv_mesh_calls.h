/*
 * rv_mesh_calls: the calls of this process that wait for their answer.
 */
#ifndef RV_MESH_CALLS_H
#define RV_MESH_CALLS_H

#include "rv_mesh.h"

typedef struct {
    rv_process_id_t to;
    int type;
    int64_t until; /* ms, monotonic */
    rv_mesh_answered_t answered;
    void *arg;
} rv_mesh_calls_entry_t;

/* When a call that is made now and has so many milliseconds is over. */
int64_t rv_mesh_calls_until(uint64_t msec);

/* Notes a call; its number, which is not 0. 0: no memory. */
uint32_t rv_mesh_calls_add(const rv_mesh_calls_entry_t *entry);

/* It was not sent: forgets it without a word. */
void rv_mesh_calls_undo(uint32_t number);

/* Tells who has called. RV_ERROR: nobody waits for this answer (any more), or not from there. */
int rv_mesh_calls_answer(const rv_mesh_message_t *answer);

/* That process has died. */
void rv_mesh_calls_gone(const rv_process_id_t *id);

/* Those whose time is over. */
void rv_mesh_calls_expire(int64_t now);

/* When the next one's is; INT64_MAX: there is none. */
int64_t rv_mesh_calls_due(void);

void rv_mesh_calls_forget(void);

#endif
