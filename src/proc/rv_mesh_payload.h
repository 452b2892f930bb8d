/*
 * rv_mesh_payload: what is too large for one message, as a file in memory.
 *
 * It is sealed, so that the sender cannot change it or cut it off while the receiver reads it
 * where it lies. Where there are no seals the receiver makes a copy.
 */
#ifndef RV_MESH_PAYLOAD_H
#define RV_MESH_PAYLOAD_H

#include "rv_base.h"

#include <stddef.h>

#define RV_MESH_PAYLOAD_LARGEST ((size_t) 256 * 1024 * 1024) /* bytes */

typedef struct {
    void *data;
    size_t length;
    int is_mapped;
} rv_mesh_payload_t;

/* A descriptor of a file in memory with a copy of the data; -1 and errno. */
int rv_mesh_payload_create(const void *data, size_t length);

/* Takes the data from such a descriptor, which stays the caller's. RV_ERROR: it has not that
 * length or is not sealed (EPROTO), or errno. */
int rv_mesh_payload_open(rv_mesh_payload_t *payload, int fd, size_t length);

void rv_mesh_payload_close(rv_mesh_payload_t *payload);

#endif
