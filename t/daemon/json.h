/*
 * json: a strict reader of JSON, as RFC 8259 has it.
 *
 * Stricter even: a name twice in an object, and a text that is not UTF-8, are errors.
 */
#ifndef JSON_H
#define JSON_H

#include <stddef.h>

/* NULL: the text is one value and nothing else. Otherwise where it is wrong. */
const char *json_check(const char *text);

/*
 * The value at a path of names and indices, "workers/0/pid", in a text that
 * was checked; NULL: there is none.
 */
const char *json_at(const char *text, const char *path);

/* The number there; fails the test where there is none. */
double json_number(const char *text, const char *path);

/* 1 when that is there and is this string, of plain characters. */
int json_is(const char *text, const char *path, const char *string);

/* How many values an array or an object has; -1: it is neither. */
int json_count(const char *text, const char *path);

#endif
