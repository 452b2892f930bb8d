/*
 * rv_conf_set: the functions that read a directive's value.
 *
 * Each fits rv_directive_t's `set`; the type in front of it is the field's.
 * Modules write their own where none of these fits.
 */
#ifndef RV_CONF_SET_H
#define RV_CONF_SET_H

#include "rv_conf.h"

/* For `arg` of _uint, _int, _size and _msec: the smallest and largest value. */
typedef struct {
    int64_t min;
    int64_t max;
} rv_conf_bounds_t;

/* For `arg` of _word: up to an entry without a name. */
typedef struct {
    const char *name;
    int value;
} rv_conf_word_t;

/* int */ int rv_conf_set_flag(rv_conf_t *, const rv_directive_t *, const char *, void *);
/* int */ int rv_conf_set_word(rv_conf_t *, const rv_directive_t *, const char *, void *);
/* int64_t */ int rv_conf_set_int(rv_conf_t *, const rv_directive_t *, const char *, void *);
/* uint64_t */ int rv_conf_set_uint(rv_conf_t *, const rv_directive_t *, const char *, void *);
/* size_t, bytes */
int rv_conf_set_size(rv_conf_t *, const rv_directive_t *, const char *, void *);
/* uint64_t, milliseconds */
int rv_conf_set_msec(rv_conf_t *, const rv_directive_t *, const char *, void *);
/* const char * */
int rv_conf_set_string(rv_conf_t *, const rv_directive_t *, const char *, void *);
/* const char *, made absolute */
int rv_conf_set_path(rv_conf_t *, const rv_directive_t *, const char *, void *);

/*
 * Splits value at white space into at most `max` words, in the pool. Returns
 * how many there are, or max + 1 where there are more.
 */
size_t rv_conf_set_split(rv_conf_t *cf, const char *value, char **words, size_t max);

/* Collects the usual error, `invalid value "V" in directive "D"`. */
int rv_conf_set_invalid(rv_conf_t *cf, const rv_directive_t *d, const char *value);

#endif
