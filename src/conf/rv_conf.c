/*
 * rv_conf: sections and directives as tables, and what a file made of them.
 *
 * An instance is one section as it stands in the file: its structure, and for
 * each directive how it was set. Nothing that was read stops the reading: an
 * operator gets all errors of a file at once.
 */
#include "rv_conf.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_SECTIONS = 64 };

typedef enum { UNSET = 0, BY_FILE, BY_OVERRIDE } how_t;

typedef struct instance_s {
    struct instance_s *next;
    const rv_conf_section_t *section;
    const char *argument;
    void *conf;
    unsigned char *how; /* how_t, one for each directive */
    const char *file;
    unsigned line;
    int in_file; /* the file itself has opened it */
    int failed;  /* one of its directives was an error, told already */
} instance_t;

struct rv_conf_s {
    rv_pool_t *pool;
    const char *prefix;

    const rv_conf_section_t *section[MAX_SECTIONS];
    size_t sections;

    instance_t *first;
    instance_t **last;
    instance_t *current; /* what directives go to; NULL after an unknown section */

    const char *file;
    unsigned line;
    int overriding;

    rv_conf_message_t *messages;
    rv_conf_message_t **last_message;
    unsigned errors;
};

rv_conf_t *
rv_conf_create(rv_pool_t *pool, const char *prefix)
{
    rv_conf_t *cf = rv_pool_alloc(pool, sizeof(*cf));

    if (cf == NULL)
        return NULL;

    cf->pool = pool;
    cf->prefix = prefix;
    cf->last = &cf->first;
    cf->last_message = &cf->messages;
    return cf;
}

rv_pool_t *
rv_conf_pool(const rv_conf_t *cf)
{
    return cf->pool;
}

static size_t
count_directives(const rv_conf_section_t *section)
{
    size_t n = 0;

    while (section->directives[n].name != NULL)
        n++;
    return n;
}

static instance_t *
new_instance(rv_conf_t *cf, const rv_conf_section_t *section, const char *argument)
{
    instance_t *in = rv_pool_alloc(cf->pool, sizeof(*in));

    if (in == NULL)
        return NULL;

    in->section = section;
    in->conf = rv_pool_alloc(cf->pool, section->size);
    in->how = rv_pool_alloc(cf->pool, count_directives(section) + 1);
    in->argument = argument == NULL ? NULL : rv_pool_strdup(cf->pool, argument);
    if (in->conf == NULL || in->how == NULL || (argument != NULL && in->argument == NULL))
        return NULL;

    *cf->last = in;
    cf->last = &in->next;
    return in;
}

int
rv_conf_add(rv_conf_t *cf, const rv_conf_section_t *section)
{
    if (cf->sections == MAX_SECTIONS) {
        errno = ENOSPC;
        return RV_ERROR;
    }
    cf->section[cf->sections++] = section;

    /* a section without an argument exists though the file may not name it */
    if (section->argument == NULL && new_instance(cf, section, NULL) == NULL)
        return RV_ERROR;

    return RV_OK;
}

static int
same_argument(const char *a, const char *b)
{
    return a == b || (a != NULL && b != NULL && strcmp(a, b) == 0);
}

static instance_t *
find_instance(const rv_conf_t *cf, const char *name, const char *argument)
{
    for (instance_t *in = cf->first; in != NULL; in = in->next) {
        if (strcmp(in->section->name, name) == 0 && same_argument(in->argument, argument))
            return in;
    }
    return NULL;
}

void *
rv_conf_get(const rv_conf_t *cf, const char *name, const char *argument)
{
    instance_t *in = find_instance(cf, name, argument);

    return in == NULL ? NULL : in->conf;
}

void *
rv_conf_each(const rv_conf_t *cf, const char *name, const void **at, const char **argument)
{
    const instance_t *in = *at == NULL ? cf->first : ((const instance_t *) *at)->next;

    while (in != NULL && strcmp(in->section->name, name) != 0)
        in = in->next;

    if (in == NULL)
        return NULL;

    *at = in;
    if (argument != NULL)
        *argument = in->argument;
    return in->conf;
}

const char *
rv_conf_path(rv_conf_t *cf, const char *path)
{
    if (path[0] == '/')
        return rv_pool_strdup(cf->pool, path);

    return rv_pool_printf(cf->pool, "%s%s", cf->prefix, path);
}

static void RV_PRINTF(3, 0) collect(rv_conf_t *cf, int is_warning, const char *fmt, va_list args)
{
    char text[1024], where[512] = "";
    rv_conf_message_t *message = rv_pool_alloc(cf->pool, sizeof(*message));

    cf->errors += is_warning ? 0 : 1;
    if (message == NULL)
        return;

    vsnprintf(text, sizeof(text), fmt, args);
    if (cf->file != NULL && cf->line != 0)
        snprintf(where, sizeof(where), " in %s:%u", cf->file, cf->line);
    else if (cf->file != NULL)
        snprintf(where, sizeof(where), " in %s", cf->file);

    message->is_warning = is_warning;
    message->text = rv_pool_printf(cf->pool, "%s%s", text, where);
    if (message->text == NULL)
        return;

    *cf->last_message = message;
    cf->last_message = &message->next;
}

int
rv_conf_error(rv_conf_t *cf, const char *fmt, ...)
{
    va_list args;

    va_start(args, fmt);
    collect(cf, 0, fmt, args);
    va_end(args);
    return RV_ERROR;
}

void
rv_conf_warn(rv_conf_t *cf, const char *fmt, ...)
{
    va_list args;

    va_start(args, fmt);
    collect(cf, 1, fmt, args);
    va_end(args);
}

const rv_conf_message_t *
rv_conf_messages(const rv_conf_t *cf)
{
    return cf->messages;
}

unsigned
rv_conf_error_count(const rv_conf_t *cf)
{
    return cf->errors;
}

void
rv_conf_place(rv_conf_t *cf, const char *file, unsigned line)
{
    cf->file = file;
    cf->line = line;
}

unsigned
rv_conf_line(const rv_conf_t *cf)
{
    return cf->line;
}

void
rv_conf_at_line(rv_conf_t *cf, unsigned line)
{
    cf->line = line;
}

void
rv_conf_at_section(rv_conf_t *cf, const char *name, const char *argument)
{
    const instance_t *in = find_instance(cf, name, argument);

    cf->line = in == NULL ? 0 : in->line;
}

void
rv_conf_skip(rv_conf_t *cf)
{
    cf->current = NULL;
}

void
rv_conf_overrides(rv_conf_t *cf, int on)
{
    cf->overriding = on;
    cf->current = NULL;
}

static const rv_conf_section_t *
find_section(const rv_conf_t *cf, const char *name)
{
    for (size_t i = 0; i < cf->sections; i++) {
        if (strcmp(cf->section[i]->name, name) == 0)
            return cf->section[i];
    }
    return NULL;
}

/* Finds or makes the instance; each may be opened by the file once. */
static instance_t *
open_instance(rv_conf_t *cf, const rv_conf_section_t *section, const char *argument)
{
    instance_t *in = find_instance(cf, section->name, argument);

    if (in == NULL)
        in = new_instance(cf, section, argument);
    if (in == NULL) {
        rv_conf_error(cf, "not enough memory");
        return NULL;
    }
    if (cf->overriding)
        return in;

    if (in->in_file) {
        rv_conf_error(cf, "duplicate section \"[%s%s%s]\", first in line %u", section->name,
            argument ? " " : "", argument ? argument : "", in->line);
        return NULL;
    }
    in->in_file = 1;
    in->file = cf->file;
    in->line = cf->line;
    return in;
}

int
rv_conf_begin(rv_conf_t *cf, const char *name, const char *argument)
{
    const rv_conf_section_t *section = find_section(cf, name);

    cf->current = NULL;
    if (section == NULL)
        return rv_conf_error(cf, "unknown section \"[%s]\"", name);

    if (section->argument == NULL && argument != NULL)
        return rv_conf_error(cf, "section \"[%s]\" takes no argument", name);

    if (section->argument != NULL && argument == NULL)
        return rv_conf_error(
            cf, "section \"[%s]\" needs an argument: \"[%s %s]\"", name, name, section->argument);

    cf->current = open_instance(cf, section, argument);
    return cf->current == NULL ? RV_ERROR : RV_OK;
}

/* Sets the directive at index i of the section, or passes it over. */
static int
set_directive(rv_conf_t *cf, const instance_t *in, size_t i, const char *value)
{
    const rv_directive_t *d = &in->section->directives[i];
    how_t how = cf->overriding ? BY_OVERRIDE : BY_FILE;

    if (in->how[i] == BY_OVERRIDE && how == BY_FILE)
        return RV_OK;
    if (in->how[i] == how && !(d->flags & RV_DIRECTIVE_REPEAT))
        return rv_conf_error(cf, "duplicate directive \"%s\"", d->name);

    in->how[i] = (unsigned char) how;
    if (value[0] == '\0')
        return rv_conf_error(cf, "no value for directive \"%s\"", d->name);

    return d->set(cf, d, value, (char *) in->conf + d->offset);
}

int
rv_conf_directive(rv_conf_t *cf, const char *name, const char *value)
{
    instance_t *in = cf->current;
    int result = RV_DONE;

    if (in == NULL)
        return RV_ERROR; /* its section was an error already */

    for (size_t i = 0; result == RV_DONE && in->section->directives[i].name != NULL; i++) {
        if (strcmp(in->section->directives[i].name, name) == 0)
            result = set_directive(cf, in, i, value);
    }
    if (result == RV_DONE)
        result = rv_conf_error(cf, "unknown directive \"%s\"", name);

    in->failed |= result != RV_OK;
    return result;
}

static void
set_defaults(rv_conf_t *cf, const instance_t *in)
{
    for (size_t i = 0; in->section->directives[i].name != NULL; i++) {
        const rv_directive_t *d = &in->section->directives[i];

        if (in->how[i] == UNSET && d->initial != NULL)
            (void) d->set(cf, d, d->initial, (char *) in->conf + d->offset);
    }
}

int
rv_conf_finish(rv_conf_t *cf)
{
    const char *file = cf->file;

    for (const instance_t *in = cf->first; in != NULL; in = in->next) {
        rv_conf_place(cf, file, in->line);
        set_defaults(cf, in);
    }

    for (const instance_t *in = cf->first; in != NULL; in = in->next) {
        rv_conf_place(cf, file, in->line);
        if (in->section->finish != NULL && !in->failed)
            (void) in->section->finish(cf, in->argument, in->conf);
    }

    rv_conf_place(cf, file, 0);
    return cf->errors == 0 ? RV_OK : RV_ERROR;
}
