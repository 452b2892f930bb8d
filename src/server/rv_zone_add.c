/*
 * rv_zone_add: shared memory for modules.
 */
#include "rv_zone_add.h"

#include <string.h>

enum { HEADER = 4096, PAGE = 4096 }; /* room for the zone's own needs, and whole pages */

/* What the configuration says of it. */
static void
apply_conf(rv_zone_spec_t *spec, const rv_core_zone_t *conf)
{
    if (conf == NULL)
        return;

    spec->type = conf->type;
    spec->path = conf->path;
    spec->huge = conf->hugepages;
    spec->pinned = conf->mlock;
    if (conf->size != 0)
        spec->size = conf->size;
}

/* The name of the zone that has this path already, or NULL. */
static const char *
find_path(const rv_cycle_t *cycle, const char *path)
{
    for (const rv_cycle_zone_t *z = cycle->zones; z != NULL; z = z->next) {
        if (z->spec.path != NULL && strcmp(z->spec.path, path) == 0)
            return z->spec.name;
    }
    return NULL;
}

int
rv_zone_add(rv_cycle_t *cycle, const char *name, size_t size, const char *owner,
    const rv_zone_calls_t *calls, void *data)
{
    rv_conf_t *cf = cycle->conf;
    rv_cycle_zone_t **last = &cycle->zones;
    char error[RV_ZONE_ERROR];
    const char *other;

    for (; *last != NULL; last = &(*last)->next) {
        if (strcmp((*last)->spec.name, name) == 0)
            return rv_conf_error(cf, "zone \"%s\" is declared twice, by \"%s\" and \"%s\"", name,
                (*last)->spec.owner, owner);
    }

    rv_cycle_zone_t *z = rv_pool_alloc(cycle->pool, sizeof(*z));
    if (z == NULL)
        return rv_conf_error(cf, "not enough memory");

    z->spec = (rv_zone_spec_t){ .name = name,
        .owner = owner,
        .type = "auto",
        .size = size == 0 || size > SIZE_MAX / 2 ? size : (size + HEADER + PAGE - 1) / PAGE * PAGE,
        .need = size,
        .calls = calls,
        .data = data };
    apply_conf(&z->spec, rv_conf_get(cf, "zone", name));
    if (z->spec.path != NULL && (other = find_path(cycle, z->spec.path)) != NULL) {
        rv_conf_at_section(cf, "zone", name);
        rv_conf_error(
            cf, "zone \"%s\": \"%s\" is the path of zone \"%s\"", name, z->spec.path, other);
        rv_conf_at_line(cf, 0);
        return RV_ERROR;
    }
    *last = z;
    if (rv_zone_check(&z->spec, error) == RV_OK)
        return RV_OK;

    rv_conf_at_section(cf, "zone", name);
    rv_conf_error(cf, "%s", error);
    rv_conf_at_line(cf, 0);
    return RV_ERROR;
}
