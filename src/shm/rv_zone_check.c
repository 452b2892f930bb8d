/*
 * rv_zone_check: what can be wrong with a zone before anything is opened, each with a
 * message of its own.
 */
#include "rv_zone.h"

#include "rv_shm.h"
#include "rv_zone_layout.h"

#include <stdio.h>
#include <string.h>

static int
check_name(const char *name, char *error)
{
    static const char word[] = "abcdefghijklmnopqrstuvwxyz"
                               "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-.";
    size_t length = strlen(name);

    if (length == 0 || length >= RV_ZONE_NAME || strspn(name, word) != length) {
        snprintf(error, RV_ZONE_ERROR,
            "zone name \"%s\" is not 1 to %d letters, digits, \"_\", \"-\" or \".\"", name,
            RV_ZONE_NAME - 1);
        return RV_ERROR;
    }
    return RV_OK;
}

int
rv_zone_check(const rv_zone_spec_t *spec, char error[RV_ZONE_ERROR])
{
    const rv_shm_type_t *type = rv_shm_type(spec->type);
    size_t need =
        rv_zone_layout_overhead() + rv_zone_layout_align(rv_min(spec->need, SIZE_MAX / 2));

    if (check_name(spec->name, error) != RV_OK)
        return RV_ERROR;
    if (strlen(spec->owner) >= RV_ZONE_NAME) {
        snprintf(
            error, RV_ZONE_ERROR, "zone \"%s\": the name of its owner is too long", spec->name);
        return RV_ERROR;
    }

    if (type == NULL)
        snprintf(error, RV_ZONE_ERROR, "zone \"%s\": type \"%s\" is not in this build", spec->name,
            spec->type);
    else if (spec->size == 0)
        snprintf(error, RV_ZONE_ERROR, "zone \"%s\": size is zero", spec->name);
    else if (spec->size < need)
        snprintf(error, RV_ZONE_ERROR,
            "zone \"%s\": size %zu is smaller than its content needs, %zu", spec->name, spec->size,
            need);
    else if ((type->flags & RV_SHM_PATH) && spec->path == NULL)
        snprintf(
            error, RV_ZONE_ERROR, "zone \"%s\": type \"%s\" needs a path", spec->name, type->name);
    else if (!(type->flags & RV_SHM_PATH) && spec->path != NULL)
        snprintf(
            error, RV_ZONE_ERROR, "zone \"%s\": type \"%s\" takes no path", spec->name, type->name);
    else
        return RV_OK;

    return RV_ERROR;
}
