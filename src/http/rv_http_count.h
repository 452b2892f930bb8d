/*
 * rv_http_count: what is counted of requests, and of the connections that bring them.
 */
#ifndef RV_HTTP_COUNT_H
#define RV_HTTP_COUNT_H

#include "rv_http_request.h"

/* The definitions of the counters, for the module. */
extern const rv_stats_def_t rv_http_count_stats[];

/* In a worker, first. RV_ERROR: they are not defined. */
int rv_http_count_init(rv_stats_t *stats);

/* Counts the request, unless it is counted, and the connection by what is done with it. */
void rv_http_count_request(rv_http_request_t *r, rv_connection_state_t state);

/* Counts it as refused, too. */
void rv_http_count_refused(rv_http_request_t *r);

/* Notes that the answer is in `out`, for its time to be taken when it has been sent; not
 * that of a request which another worker has counted. */
void rv_http_count_answer(rv_http_request_t *r);

/* Takes the time of the answers that were noted, and enters a state: in most
 * cases one transaction. */
void rv_http_count_state(rv_http_request_t *r, rv_connection_state_t state);

/* Takes the time of a request that was answered by a stream, at its end. */
void rv_http_count_stream(rv_connection_t *c, int64_t began);

/* Counts a stream that was cut off. */
void rv_http_count_cut(rv_connection_t *c);

#endif
