/*
 * mesh_sockets: sockets as the kernel lists them, whoever holds them.
 */
#ifndef MESH_SOCKETS_H
#define MESH_SOCKETS_H

#include <stdint.h>

typedef struct {
    unsigned long inode, peer; /* peer 0: not known, or none */
    int connected;             /* stream or seqpacket, and no listener */
} mesh_socket_t;

/* Reads the list anew. 0: the kernel does not tell the peers. */
int mesh_sockets_read(void);

/* NULL: there is no unix socket with this inode. */
const mesh_socket_t *mesh_sockets_find(unsigned long inode);

typedef struct {
    unsigned long inode; /* of the server's end */
    uint32_t address;    /* of the client, host byte order */
    int port;
} mesh_client_t;

/* All IPv4 connections that have this port here and are held by some process;
 * how many. The list is valid until the next call. */
int mesh_sockets_clients(int port, const mesh_client_t **list);

#endif
