/*
 * rv_conf: sections and directives as tables, and what a file made of them.
 *
 * A section belongs to a module and fills one structure; "[location PATH]"
 * may stand several times, once per PATH, and fills a structure each. A
 * directive is a row: how it is called, which function reads it, where the
 * result goes, its default and a line of help. Defaults go through the same
 * functions as the file's values, so that a table cannot promise what the
 * program does not do.
 *
 * Every error is collected, with the file and line it is in; nothing is logged here.
 */
#ifndef RV_CONF_H
#define RV_CONF_H

#include "rv_base.h"
#include "rv_pool.h"

typedef struct rv_conf_s rv_conf_t;
typedef struct rv_directive_s rv_directive_t;

/* Reads value into *field. On bad input it calls rv_conf_error and returns
 * RV_ERROR. */
typedef int (*rv_directive_set_t)(
    rv_conf_t *cf, const rv_directive_t *d, const char *value, void *field);

#define RV_DIRECTIVE_REPEAT 0x1 /* may stand several times in a section */

struct rv_directive_s {
    const char *name;
    rv_directive_set_t set;
    size_t offset;       /* of the field in the section's structure */
    const char *initial; /* the default as text; NULL: the field stays zero */
    const char *help;    /* one line, in lower case */
    const void *arg;     /* what `set` wants to know: bounds, a table of words */
    unsigned flags;
};

typedef struct {
    const char *name;
    const char *argument;             /* what stands after the name, "PATH"; NULL: nothing does */
    size_t size;                      /* of the structure, which begins zeroed */
    const rv_directive_t *directives; /* up to one without a name */
    /* Called once all is read and defaults are in, unless one of the section's
     * directives was an error; may be NULL. */
    int (*finish)(rv_conf_t *cf, const char *argument, void *conf);
} rv_conf_section_t;

/* Relative paths in the file are under `prefix`, which ends in "/". All that
 * is read lives in the pool, as does the result. NULL and errno. */
rv_conf_t *rv_conf_create(rv_pool_t *pool, const char *prefix);

/* Makes a section known. Before anything is read. */
int rv_conf_add(rv_conf_t *cf, const rv_conf_section_t *section);

rv_pool_t *rv_conf_pool(const rv_conf_t *cf);

/* The structure of [name argument]; NULL where there is none. A section that
 * takes no argument (argument NULL) always has one. */
void *rv_conf_get(const rv_conf_t *cf, const char *name, const char *argument);

/*
 * The structures of all [name ...] in the file's order: begin with *at = NULL;
 * NULL after the last. Where `argument` is not NULL it gets the section's.
 */
void *rv_conf_each(const rv_conf_t *cf, const char *name, const void **at, const char **argument);

/* A path as the operator wrote it, made absolute; in the pool. */
const char *rv_conf_path(rv_conf_t *cf, const char *path);

/*
 * Collects an error, with the place that is being read appended. Returns
 * RV_ERROR, for the caller to return.
 */
int rv_conf_error(rv_conf_t *cf, const char *fmt, ...) RV_PRINTF(2, 3);

/* As rv_conf_error for what need not stop anybody. */
void rv_conf_warn(rv_conf_t *cf, const char *fmt, ...) RV_PRINTF(2, 3);

/*
 * For checks after the reading: errors are from now on in the line that
 * rv_conf_line told while it was read, or in that of [name argument]; 0: in the file.
 */
unsigned rv_conf_line(const rv_conf_t *cf);
void rv_conf_at_line(rv_conf_t *cf, unsigned line);
void rv_conf_at_section(rv_conf_t *cf, const char *name, const char *argument);

typedef struct rv_conf_message_s {
    struct rv_conf_message_s *next;
    int is_warning;
    const char *text;
} rv_conf_message_t;

/* What was collected, in the file's order. */
const rv_conf_message_t *rv_conf_messages(const rv_conf_t *cf);

/* How many of them are errors. */
unsigned rv_conf_error_count(const rv_conf_t *cf);

/*
 * For readers (rv_conf_read). place: where errors are from now on, "FILE", and the line, 0 for
 * none. skip: a section that is not one: its directives are passed over. begin: "[name argument]"
 * was read (argument NULL: none). directive: "name = value" was read. An error is collected and
 * RV_ERROR returned. With `overrides` on, what is set is final: the file's values are passed
 * over. finish: no more input; sets defaults and calls every section's finish.
 */
void rv_conf_place(rv_conf_t *cf, const char *file, unsigned line);
void rv_conf_overrides(rv_conf_t *cf, int on);
void rv_conf_skip(rv_conf_t *cf);
int rv_conf_begin(rv_conf_t *cf, const char *name, const char *argument);
int rv_conf_directive(rv_conf_t *cf, const char *name, const char *value);
int rv_conf_finish(rv_conf_t *cf);

#endif
