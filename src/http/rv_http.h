/*
 * rv_http: the HTTP service, from a request's first byte to its answer's last.
 */
#ifndef RV_HTTP_H
#define RV_HTTP_H

#include "rv_module.h"

extern const rv_module_t rv_http_module;

#endif
