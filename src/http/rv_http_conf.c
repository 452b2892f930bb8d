/*
 * rv_http_conf: [http] and [location PATH].
 */
#include "rv_http_conf.h"

#include "rv_activity.h"
#include "rv_conf_set.h"
#include "rv_parse.h"

#include <string.h>

static int
set_listen(rv_conf_t *cf, const rv_directive_t *d, const char *value, void *field)
{
    rv_http_listen_t **last = field;
    rv_http_listen_t *listen = rv_pool_alloc(rv_conf_pool(cf), sizeof(*listen));

    if (listen == NULL)
        return rv_conf_set_invalid(cf, d, value);
    if (rv_cycle_read_listen(cf, value, &listen->listener) != RV_OK)
        return RV_ERROR;

    listen->line = rv_conf_line(cf);
    while (*last != NULL)
        last = &(*last)->next;
    *last = listen;
    return RV_OK;
}

static int
set_handler(rv_conf_t *cf, const rv_directive_t *d, const char *value, void *field)
{
    (void) d;
    for (size_t i = 0; rv_modules[i] != NULL; i++) {
        const rv_http_handler_t *handler = rv_modules[i]->http_handler;

        if (handler != NULL && strcmp(handler->name, value) == 0) {
            *(const rv_http_handler_t **) field = handler;
            return RV_OK;
        }
    }
    return rv_conf_error(cf, "unknown handler \"%s\"", value);
}

/* "CODE [TEXT]" */
static int
set_return(rv_conf_t *cf, const rv_directive_t *d, const char *value, void *field)
{
    rv_http_location_t *location = rv_container_of(field, rv_http_location_t, reply);
    char code[4];
    uint64_t number;

    size_t length = strcspn(value, " \t");
    if (length != 3)
        return rv_conf_set_invalid(cf, d, value);
    memcpy(code, value, length);
    code[length] = '\0';
    if (rv_parse_uint(code, &number) != RV_OK || number < 200 || number > 599)
        return rv_conf_set_invalid(cf, d, value);

    const char *text = value + length;
    text += strspn(text, " \t");
    location->reply.code = (unsigned) number;
    location->reply.text = rv_pool_strdup(rv_conf_pool(cf), text);
    return location->reply.text == NULL ? rv_conf_error(cf, "not enough memory") : RV_OK;
}

static int
add_rule(rv_conf_t *cf, const rv_directive_t *d, const char *value, rv_http_location_t *location,
    int allow)
{
    rv_http_rule_t **last = &location->rules;
    rv_http_rule_t *rule = rv_pool_alloc(rv_conf_pool(cf), sizeof(*rule));
    int cleared = 0;

    if (rule == NULL || rv_cidr_parse(value, &rule->cidr, &cleared) != RV_OK)
        return rv_conf_set_invalid(cf, d, value);
    if (cleared)
        rv_conf_warn(cf, "low address bits of \"%s\" are meaningless", value);

    rule->allow = allow;
    while (*last != NULL)
        last = &(*last)->next;
    *last = rule;
    return RV_OK;
}

static int
set_allow(rv_conf_t *cf, const rv_directive_t *d, const char *value, void *field)
{
    return add_rule(cf, d, value, rv_container_of(field, rv_http_location_t, rules), 1);
}

static int
set_deny(rv_conf_t *cf, const rv_directive_t *d, const char *value, void *field)
{
    return add_rule(cf, d, value, rv_container_of(field, rv_http_location_t, rules), 0);
}

static const rv_conf_bounds_t requests = { 1, 1000000000 };
static const rv_conf_bounds_t timeouts = { 1, 30LL * 24 * 3600 * 1000 };
static const rv_conf_bounds_t idle_timeouts = { 0, 30LL * 24 * 3600 * 1000 };
static const rv_conf_bounds_t head_sizes = { 256, 1024 * 1024 };

#define HTTP(field) offsetof(rv_http_conf_t, field)

static const rv_directive_t http_directives[] = {
    { "listen", set_listen, HTTP(listens), NULL,
        "where to accept clients (ADDR:PORT|[V6]:PORT|PORT|unix:PATH [reuseport] [backlog=N] "
        "[mode=0660] [ipv6only=on|off])",
        NULL, RV_DIRECTIVE_REPEAT },
    { "keepalive_timeout", rv_conf_set_msec, HTTP(keepalive_timeout), "75s",
        "how long an idle connection is kept; 0: never (TIME)", &idle_timeouts, 0 },
    { "keepalive_requests", rv_conf_set_uint, HTTP(keepalive_requests), "1000",
        "requests of one connection (N)", &requests, 0 },
    { "keepalive_min_timeout", rv_conf_set_msec, HTTP(keepalive_min_timeout), "5s",
        "how long an idle connection of a draining worker still has (TIME)", &idle_timeouts, 0 },
    { "client_header_timeout", rv_conf_set_msec, HTTP(client_header_timeout), "60s",
        "time for a request's head, and between two reads of its body (TIME)", &timeouts, 0 },
    { "send_timeout", rv_conf_set_msec, HTTP(send_timeout), "60s",
        "time between two writes of an answer (TIME)", &timeouts, 0 },
    { "client_max_header_size", rv_conf_set_size, HTTP(client_max_header_size), "8k",
        "largest head of a request (SIZE)", &head_sizes, 0 },
    { "client_max_body_size", rv_conf_set_size, HTTP(client_max_body_size), "1m",
        "largest body of a request; 0: any (SIZE)", NULL, 0 },
    { .name = NULL },
};

static const rv_directive_t location_directives[] = {
    { "handler", set_handler, offsetof(rv_http_location_t, handler), NULL,
        "what answers (stub_status|status|metrics|return)", NULL, 0 },
    { "return", set_return, offsetof(rv_http_location_t, reply), NULL,
        "the answer of handler return (CODE [TEXT])", NULL, 0 },
    { "allow", set_allow, offsetof(rv_http_location_t, rules), NULL,
        "who may ask; with deny, the first that matches counts (CIDR|all|unix:)", NULL,
        RV_DIRECTIVE_REPEAT },
    { "deny", set_deny, offsetof(rv_http_location_t, rules), NULL, "who may not (CIDR|all|unix:)",
        NULL, RV_DIRECTIVE_REPEAT },
    { .name = NULL },
};

static int
finish_location(rv_conf_t *cf, const char *path, void *conf)
{
    rv_http_location_t *location = conf;

    if (path[0] != '/')
        return rv_conf_error(cf, "location \"%s\" does not begin with \"/\"", path);
    if (location->handler == NULL)
        return rv_conf_error(cf, "no \"handler\" in location \"%s\"", path);
    location->handler_number = rv_activity_define(location->handler->name);
    if (location->handler->check != NULL)
        return location->handler->check(cf, path, location);
    return RV_OK;
}

static const rv_conf_section_t http_section = { "http", NULL, sizeof(rv_http_conf_t),
    http_directives, NULL };
static const rv_conf_section_t location_section = { "location", "PATH", sizeof(rv_http_location_t),
    location_directives, finish_location };
const rv_conf_section_t *const rv_http_conf_sections[] = { &http_section, &location_section, NULL };

int
rv_http_conf_collect(rv_conf_t *cf, rv_http_conf_t *conf)
{
    const void *at = NULL;
    const rv_http_location_t *location;
    const char *path;
    size_t n = 0;

    while (rv_conf_each(cf, "location", &at, NULL) != NULL)
        conf->path_count++;

    conf->paths = rv_pool_array(rv_conf_pool(cf), conf->path_count, sizeof(*conf->paths));
    if (conf->paths == NULL)
        return rv_conf_error(cf, "not enough memory");

    at = NULL;
    while ((location = rv_conf_each(cf, "location", &at, &path)) != NULL) {
        size_t length = strlen(path);

        conf->paths[n++] = (rv_http_path_t){ path, length, path[length - 1] == '/', location };
    }
    return RV_OK;
}

const rv_http_location_t *
rv_http_conf_find(const rv_http_conf_t *conf, const char *path, size_t length)
{
    const rv_http_path_t *best = NULL;

    for (size_t i = 0; i < conf->path_count; i++) {
        const rv_http_path_t *p = &conf->paths[i];

        if (p->length > length || memcmp(p->path, path, p->length) != 0)
            continue;
        if (p->length == length)
            return p->location;
        if (p->is_prefix && (best == NULL || p->length > best->length))
            best = p;
    }
    return best == NULL ? NULL : best->location;
}

int
rv_http_conf_allows(const rv_http_location_t *location, const rv_addr_t *client)
{
    for (const rv_http_rule_t *rule = location->rules; rule != NULL; rule = rule->next) {
        if (rv_cidr_match(&rule->cidr, client))
            return rule->allow;
    }
    return 1;
}
