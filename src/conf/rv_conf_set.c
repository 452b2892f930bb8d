/*
 * rv_conf_set: the functions that read a directive's value.
 */
#include "rv_conf_set.h"

#include "rv_parse.h"

#include <string.h>

int
rv_conf_set_invalid(rv_conf_t *cf, const rv_directive_t *d, const char *value)
{
    return rv_conf_error(cf, "invalid value \"%s\" in directive \"%s\"", value, d->name);
}

/* An unsigned value within the directive's bounds. */
static int
check_bounds(
    rv_conf_t *cf, const rv_directive_t *d, const char *value, uint64_t number, const char *unit)
{
    const rv_conf_bounds_t *bounds = d->arg;

    if (bounds == NULL || (number >= (uint64_t) bounds->min && number <= (uint64_t) bounds->max))
        return RV_OK;

    return rv_conf_error(cf, "value \"%s\" in directive \"%s\" is out of range, %lld%s to %lld%s",
        value, d->name, (long long) bounds->min, unit, (long long) bounds->max, unit);
}

int
rv_conf_set_flag(rv_conf_t *cf, const rv_directive_t *d, const char *value, void *field)
{
    if (rv_parse_flag(value, field) == RV_OK)
        return RV_OK;

    return rv_conf_error(cf,
        "invalid value \"%s\" in directive \"%s\", it must be \"on\" or \"off\"", value, d->name);
}

int
rv_conf_set_word(rv_conf_t *cf, const rv_directive_t *d, const char *value, void *field)
{
    for (const rv_conf_word_t *word = d->arg; word->name != NULL; word++) {
        if (strcmp(word->name, value) == 0) {
            *(int *) field = word->value;
            return RV_OK;
        }
    }
    return rv_conf_set_invalid(cf, d, value);
}

int
rv_conf_set_int(rv_conf_t *cf, const rv_directive_t *d, const char *value, void *field)
{
    const rv_conf_bounds_t *bounds = d->arg;
    int64_t number;

    if (rv_parse_int(value, &number) != RV_OK)
        return rv_conf_set_invalid(cf, d, value);

    if (bounds != NULL && (number < bounds->min || number > bounds->max))
        return rv_conf_error(cf, "value \"%s\" in directive \"%s\" is out of range, %lld to %lld",
            value, d->name, (long long) bounds->min, (long long) bounds->max);

    *(int64_t *) field = number;
    return RV_OK;
}

int
rv_conf_set_uint(rv_conf_t *cf, const rv_directive_t *d, const char *value, void *field)
{
    uint64_t number;

    if (rv_parse_uint(value, &number) != RV_OK)
        return rv_conf_set_invalid(cf, d, value);

    if (check_bounds(cf, d, value, number, "") != RV_OK)
        return RV_ERROR;

    *(uint64_t *) field = number;
    return RV_OK;
}

int
rv_conf_set_size(rv_conf_t *cf, const rv_directive_t *d, const char *value, void *field)
{
    size_t bytes;

    if (rv_parse_size(value, &bytes) != RV_OK)
        return rv_conf_set_invalid(cf, d, value);

    if (check_bounds(cf, d, value, bytes, "") != RV_OK)
        return RV_ERROR;

    *(size_t *) field = bytes;
    return RV_OK;
}

int
rv_conf_set_msec(rv_conf_t *cf, const rv_directive_t *d, const char *value, void *field)
{
    uint64_t msec;

    if (rv_parse_msec(value, &msec) != RV_OK)
        return rv_conf_set_invalid(cf, d, value);

    if (check_bounds(cf, d, value, msec, "ms") != RV_OK)
        return RV_ERROR;

    *(uint64_t *) field = msec;
    return RV_OK;
}

static int
no_memory(rv_conf_t *cf)
{
    return rv_conf_error(cf, "not enough memory");
}

int
rv_conf_set_string(rv_conf_t *cf, const rv_directive_t *d, const char *value, void *field)
{
    const char *copy = rv_pool_strdup(rv_conf_pool(cf), value);

    (void) d;
    if (copy == NULL)
        return no_memory(cf);

    *(const char **) field = copy;
    return RV_OK;
}

int
rv_conf_set_path(rv_conf_t *cf, const rv_directive_t *d, const char *value, void *field)
{
    const char *path = rv_conf_path(cf, value);

    (void) d;
    if (path == NULL)
        return no_memory(cf);

    *(const char **) field = path;
    return RV_OK;
}

size_t
rv_conf_set_split(rv_conf_t *cf, const char *value, char **words, size_t max)
{
    static const char blank[] = " \t";
    char *copy = rv_pool_strdup(rv_conf_pool(cf), value);
    char *save = NULL;
    size_t n = 0;

    if (copy == NULL) {
        no_memory(cf);
        return 0;
    }
    for (char *word = strtok_r(copy, blank, &save); word != NULL;
         word = strtok_r(NULL, blank, &save)) {
        if (n == max)
            return max + 1;
        words[n++] = word;
    }
    return n;
}
