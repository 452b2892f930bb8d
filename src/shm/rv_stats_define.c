/*
 * rv_stats_define: what may stand in a table of definitions.
 *
 * Names become names of metrics, keys of JSON and columns, so what would make
 * one of these invalid is refused here, once, with words.
 */
#include "rv_stats.h"

#include "rv_stats_layout.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define LOWER "abcdefghijklmnopqrstuvwxyz"
#define WORD LOWER "0123456789_"

/* Notes what is wrong with a definition. */
static int RV_PRINTF(4, 5)
    fail(rv_stats_defs_t *defs, const char *module, const char *name, const char *fmt, ...)
{
    int n =
        snprintf(defs->error, sizeof(defs->error), "module \"%s\", value \"%s\": ", module, name);
    va_list args;

    if (n >= 0 && (size_t) n < sizeof(defs->error)) {
        va_start(args, fmt);
        vsnprintf(defs->error + n, sizeof(defs->error) - (size_t) n, fmt, args);
        va_end(args);
    }
    return RV_ERROR;
}

static size_t
family_length(const char *name)
{
    return strcspn(name, "{");
}

/* A word, and behind it, where `labels` says so, {label="value"}. */
static int
is_name(const char *name, size_t room, int labels)
{
    size_t length = strspn(name, WORD);
    const char *rest = name + length;

    if (length == 0 || strchr(LOWER, name[0]) == NULL || strlen(name) >= room)
        return 0;
    if (rest[0] == '\0')
        return 1;
    if (!labels || rest[0] != '{')
        return 0;

    size_t label = strspn(++rest, WORD);
    if (label == 0 || strncmp(rest + label, "=\"", 2) != 0)
        return 0;
    rest += label + 2;
    label = strspn(rest, WORD);
    return label > 0 && strcmp(rest + label, "\"}") == 0;
}

static int
is_help(const char *help)
{
    for (const char *p = help; *p != '\0'; p++) {
        if ((unsigned char) *p < ' ')
            return 0;
    }
    return strlen(help) < RV_STATS_HELP;
}

/* Against what is defined already: a name stands once, a family in one place, of one
 * kind, and all of it with labels or a single one without. */
static int
check_family(rv_stats_defs_t *defs, const char *module, const rv_stats_def_t *def)
{
    size_t length = family_length(def->name);

    for (unsigned i = 0; i < defs->count; i++) {
        const rv_stats_def_t *other = defs->entry[i].def;
        const rv_stats_def_t *last = defs->entry[defs->count - 1].def;

        if (strcmp(defs->entry[i].module, module) != 0 || family_length(other->name) != length
            || strncmp(other->name, def->name, length) != 0)
            continue;
        if (strcmp(other->name, def->name) == 0)
            return fail(defs, module, def->name, "it is there already");
        if (other->kind != def->kind)
            return fail(defs, module, def->name, "\"%s\" is of another kind", other->name);
        if (other->name[length] == '\0' || def->name[length] == '\0')
            return fail(defs, module, def->name, "\"%s\" is the same without a label", other->name);
        if (family_length(last->name) != length || strncmp(last->name, def->name, length) != 0)
            return fail(defs, module, def->name, "it does not stand behind \"%s\"", other->name);
    }
    return RV_OK;
}

static int
check(rv_stats_defs_t *defs, const char *module, const rv_stats_def_t *def, unsigned cells)
{
    if (!is_name(module, RV_STATS_MODULE, 0))
        return fail(defs, module, def->name, "the module's name is malformed or too long");
    if (!is_name(def->name, RV_STATS_NAME, 1))
        return fail(defs, module, def->name, "the name is malformed or too long");
    if (!is_help(def->help))
        return fail(defs, module, def->name, "the help is too long or has control characters");
    if (cells == 0)
        return fail(defs, module, def->name, "there is no kind %d", (int) def->kind);
    if (def->kind == RV_STATS_HISTOGRAM && strchr(def->name, '{') != NULL)
        return fail(defs, module, def->name, "a histogram takes no label");
    if (defs->count == RV_STATS_MAX || cells > RV_STATS_CELLS - defs->cells)
        return fail(defs, module, def->name, "there are too many values");

    return check_family(defs, module, def);
}

int
rv_stats_define(rv_stats_defs_t *defs, const char *module, const rv_stats_def_t *def)
{
    for (; def->name != NULL; def++) {
        unsigned cells = rv_stats_layout_cells(def->kind);

        if (check(defs, module, def, cells) != RV_OK)
            return RV_ERROR;
        defs->entry[defs->count].module = module;
        defs->entry[defs->count].def = def;
        defs->count++;
        defs->cells += cells;
        defs->plain += def->kind == RV_STATS_HISTOGRAM ? 0 : 1;
    }
    return RV_OK;
}
