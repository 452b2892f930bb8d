/*
 * rv_parse: numbers, sizes and times as an operator writes them.
 *
 * Each function takes a whole NUL-terminated word. It returns RV_OK and
 * stores the value, or returns RV_ERROR and leaves *value alone: an empty
 * word, a sign, white space, an unknown unit, a value that does not fit.
 * None of them touches errno.
 */
#ifndef RV_PARSE_H
#define RV_PARSE_H

#include "rv_base.h"

/* Decimal digits only. */
int rv_parse_uint(const char *word, uint64_t *value);

/* As rv_parse_uint, with an optional leading minus. */
int rv_parse_int(const char *word, int64_t *value);

/* Bytes: digits and an optional k, K, m, M, g or G (powers of 1024). */
int rv_parse_size(const char *word, size_t *bytes);

/*
 * Milliseconds: digits and a unit, ms, s, m, h or d; bare digits are seconds.
 * Several parts may follow each other from the largest unit down, as in
 * 1h30m; each unit at most once. Bare digits stand alone: 1h30 is an error,
 * for some would read minutes and some seconds.
 */
int rv_parse_msec(const char *word, uint64_t *msec);

/* "on" or "off", in lower case. */
int rv_parse_flag(const char *word, int *on);

#endif
