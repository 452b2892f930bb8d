/*
 * rv_http_query: the parameters in the query of a request, "topic=x&since=7".
 */
#ifndef RV_HTTP_QUERY_H
#define RV_HTTP_QUERY_H

#include "rv_base.h"

/*
 * Decodes the first parameter of this name, as a form would send it ("%XX", and "+"
 * for a space), into value[0..room), NUL-terminated. `query` is
 * r->parser.query, NULL where the request has none; a name without "=" has the value "".
 * RV_OK. RV_DONE: there is no such parameter, value is "". 400, which is the status to answer:
 * a "%XX" anywhere in the query is not one, or stands for a NUL; or value has no room for it.
 */
int rv_http_query_get(const char *query, const char *name, char *value, size_t room);

#endif
