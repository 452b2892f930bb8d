/*
 * rv_http_pass: what goes with a client to another worker.
 */
#ifndef RV_HTTP_PASS_H
#define RV_HTTP_PASS_H

#include "rv_http_request.h"

/* As rv_service_t says: a client can go while it is idle, or has sent a part of a head. */
int rv_http_pass_pack(const rv_connection_t *c, rv_connection_read_t *read);

/* Makes the request of which there are some bytes, as c->data. It was counted where it
 * began, and its duration is not taken. RV_ERROR: they are not what pack gives, or memory
 * is short. */
int rv_http_pass_unpack(rv_connection_t *c, const rv_connection_read_t *read);

#endif
