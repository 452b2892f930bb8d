/*
 * rv_http_target: the request target, made a path and a query in place.
 */
#ifndef RV_HTTP_TARGET_H
#define RV_HTTP_TARGET_H

#include "rv_http_parse.h"

/*
 * Takes target[0..length) apart in the form that p->method allows, and sets
 * p->path, p->path_length and p->query, which point into target.
 * target[length], the delimiter, is overwritten.
 * RV_OK, or 400: not a target, or not one for this method.
 */
int rv_http_target_parse(rv_http_parser_t *p, char *target, size_t length);

/* 1 when text is what a Host field may hold: host, or host:port, or nothing. */
int rv_http_target_is_authority(const char *text, size_t length);

#endif
