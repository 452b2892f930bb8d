/*
 * rv_http_conf: [http] and [location PATH].
 */
#ifndef RV_HTTP_CONF_H
#define RV_HTTP_CONF_H

#include "rv_addr.h"
#include "rv_cycle.h"
#include "rv_listener.h"
#include "rv_module.h"

typedef struct rv_http_request_s rv_http_request_t;
typedef struct rv_http_location_s rv_http_location_t;
typedef struct rv_http_stream_s rv_http_stream_t;

/*
 * What answers the requests of a location. A module brings one as its
 * http_handler and is then known to the `handler` directive by this name.
 */
typedef struct rv_http_handler_s {
    const char *name;
    unsigned methods; /* rv_http_method_t or'ed; others are answered with 405 */

    /* Bytes of a request's body that it takes, complete, when it answers (rv_http_body.h); more
     * is answered with 413. 0: it has no use for bodies. client_max_body_size limits all. */
    size_t body_limit;

    /* Checks a location that uses it; may be NULL. RV_ERROR after rv_conf_error. */
    int (*check)(rv_conf_t *cf, const char *path, const rv_http_location_t *location);

    /* Answers with one rv_http_reply, later (rv_http_defer.h), or with a stream
     * (rv_http_stream.h). */
    void (*answer)(rv_http_request_t *r, const rv_http_location_t *location);
} rv_http_handler_t;

typedef struct rv_http_rule_s {
    struct rv_http_rule_s *next;
    int allow;
    rv_cidr_t cidr;
} rv_http_rule_t;

struct rv_http_location_s {
    const rv_http_handler_t *handler;
    unsigned handler_number; /* of rv_activity */
    struct {
        unsigned code; /* 0: the directive is not there */
        const char *text;
    } reply;
    rv_http_rule_t *rules; /* in the file's order */
};

typedef struct {
    const char *path;
    size_t length;
    int is_prefix; /* ends in "/" */
    const rv_http_location_t *location;
} rv_http_path_t;

typedef struct rv_http_listen_s {
    struct rv_http_listen_s *next;
    rv_listener_t listener;
    unsigned line; /* of the file, for errors */
} rv_http_listen_t;

typedef struct {
    rv_http_listen_t *listens;
    uint64_t keepalive_timeout; /* ms; 0: connections are not kept */
    uint64_t keepalive_requests;
    uint64_t keepalive_min_timeout; /* ms */
    uint64_t client_header_timeout; /* ms */
    uint64_t send_timeout;          /* ms */
    size_t client_max_header_size;  /* bytes */
    size_t client_max_body_size;    /* bytes */

    rv_http_path_t *paths;
    size_t path_count;
} rv_http_conf_t;

/* For the http module's table. */
extern const rv_conf_section_t *const rv_http_conf_sections[];

/* Puts the locations into conf->paths. */
int rv_http_conf_collect(rv_conf_t *cf, rv_http_conf_t *conf);

/* The location of a path: the very same, or else the longest that ends in "/"
 * and begins it. NULL: none. */
const rv_http_location_t *rv_http_conf_find(
    const rv_http_conf_t *conf, const char *path, size_t length);

/* 1 where the first rule that matches says allow, or none matches. */
int rv_http_conf_allows(const rv_http_location_t *location, const rv_addr_t *client);

#endif
