/*
 * json: a strict reader of JSON, as RFC 8259 has it.
 *
 * One function for each kind of value goes over it and tells where it ends;
 * looking something up is going over what comes before.
 */
#include "json.h"

#include <check.h>
#include <ctype.h>
#include <stdlib.h>
#include <string.h>

enum { DEPTH = 32 };

static const char *wrong; /* the furthest place that could not be read */

static const char *skip_value(const char *p, int depth);

static const char *
wrong_at(const char *p)
{
    if (wrong == NULL || p > wrong)
        wrong = p;
    return NULL;
}

static const char *
skip_space(const char *p)
{
    return p + strspn(p, " \t\r\n");
}

/* One character of more than one byte, in its shortest form. */
static const char *
skip_wide(const char *p)
{
    const unsigned char *s = (const unsigned char *) p;
    int more = s[0] >= 0xf0 ? 3 : s[0] >= 0xe0 ? 2 : 1;
    unsigned long code = s[0] & (0x3fu >> more);
    static const unsigned long least[] = { 0, 0x80, 0x800, 0x10000 };

    if (s[0] < 0xc2 || s[0] > 0xf4)
        return wrong_at(p);
    for (int i = 1; i <= more; i++) {
        if ((s[i] & 0xc0) != 0x80)
            return wrong_at(p);
        code = code << 6 | (s[i] & 0x3fu);
    }
    return code < least[more] || code > 0x10ffff || code >> 11 == 0x1b ? wrong_at(p) : p + more + 1;
}

static const char *
skip_escape(const char *p)
{
    if (p[1] != 'u')
        return p[1] != '\0' && strchr("\"\\/bfnrt", p[1]) != NULL ? p + 2 : wrong_at(p);
    for (int i = 2; i < 6; i++) {
        if (!isxdigit((unsigned char) p[i]))
            return wrong_at(p);
    }
    return p + 6;
}

static const char *
skip_string(const char *p)
{
    if (*p != '"')
        return wrong_at(p);
    for (p++; p != NULL && *p != '"';) {
        if ((unsigned char) *p < 0x20)
            return wrong_at(p);
        if (*p == '\\')
            p = skip_escape(p);
        else
            p = (unsigned char) *p < 0x80 ? p + 1 : skip_wide(p);
    }
    return p == NULL ? NULL : p + 1;
}

static const char *
skip_digits(const char *p)
{
    return isdigit((unsigned char) *p) ? p + strspn(p, "0123456789") : wrong_at(p);
}

static const char *
skip_number(const char *p)
{
    p += *p == '-';
    if ((p = *p == '0' ? p + 1 : skip_digits(p)) == NULL)
        return NULL;
    if (*p == '.' && (p = skip_digits(p + 1)) == NULL)
        return NULL;
    if (*p == 'e' || *p == 'E') {
        p += p[1] == '+' || p[1] == '-' ? 2 : 1;
        p = skip_digits(p);
    }
    return p;
}

/* 1: the string that ends at `end` is a name before it in the same object. */
static int
is_twice(const char *object, const char *name, const char *end, int depth)
{
    const char *p = skip_space(object + 1);

    while (p < name) {
        if (strncmp(p, name, (size_t) (end - name)) == 0)
            return 1;
        p = skip_space(skip_space(skip_string(p)) + 1); /* the colon */
        p = skip_space(skip_space(skip_value(p, depth)) + 1);
    }
    return 0;
}

static const char *
skip_group(const char *group, int depth)
{
    char end = *group == '{' ? '}' : ']';
    const char *p = skip_space(group + 1);

    if (depth == DEPTH)
        return wrong_at(group);
    if (*p == end)
        return p + 1;
    for (;; p = skip_space(p + 1)) {
        if (end == '}') {
            const char *name = p;

            if ((p = skip_string(p)) == NULL)
                return NULL;
            if (is_twice(group, name, p, depth + 1))
                return wrong_at(name);
            p = skip_space(p);
            if (*p != ':')
                return wrong_at(p);
            p = skip_space(p + 1);
        }
        if ((p = skip_value(p, depth + 1)) == NULL)
            return NULL;
        p = skip_space(p);
        if (*p != ',')
            return *p == end ? p + 1 : wrong_at(p);
    }
}

static const char *
skip_value(const char *p, int depth)
{
    static const char *const words[] = { "true", "false", "null" };

    for (size_t i = 0; i < 3; i++) {
        if (strncmp(p, words[i], strlen(words[i])) == 0)
            return p + strlen(words[i]);
    }
    if (*p == '{' || *p == '[')
        return skip_group(p, depth);
    return *p == '"' ? skip_string(p) : skip_number(p);
}

const char *
json_check(const char *text)
{
    wrong = NULL;
    const char *end = skip_value(skip_space(text), 0);

    if (end == NULL)
        return wrong;
    end = skip_space(end);
    return *end == '\0' ? NULL : end;
}

/* --- looking up ----------------------------------------------------------------------- */

/* Goes to the value of this name or index, NULL: to the next one of any name. */
static const char *
enter(const char *p, const char *step, size_t length, int index, int *count)
{
    int is_object = *p == '{';

    *count = 0;
    if (*p != '{' && *p != '[')
        return NULL;
    for (p = skip_space(p + 1); *p != '}' && *p != ']'; (*count)++) {
        const char *name = p + 1;

        if (is_object)
            p = skip_space(skip_space(skip_string(p)) + 1);
        if (is_object ? strncmp(name, step, length) == 0 && name[length] == '"' : *count == index)
            return p;
        p = skip_space(skip_value(p, 0));
        if (*p == ',')
            p = skip_space(p + 1);
    }
    return NULL;
}

const char *
json_at(const char *text, const char *path)
{
    const char *p = skip_space(text);
    int count;

    while (p != NULL && *path != '\0') {
        size_t length = strcspn(path, "/");

        p = enter(p, path, length, atoi(path), &count);
        path += length + (path[length] == '/');
    }
    return p;
}

double
json_number(const char *text, const char *path)
{
    const char *p = json_at(text, path);

    if (p == NULL || (*p != '-' && !isdigit((unsigned char) *p)))
        ck_abort_msg("no number at \"%s\" in:\n%s", path, text);
    return strtod(p, NULL);
}

int
json_is(const char *text, const char *path, const char *string)
{
    const char *p = json_at(text, path);
    size_t length = strlen(string);

    return p != NULL && *p == '"' && strncmp(p + 1, string, length) == 0 && p[length + 1] == '"';
}

int
json_count(const char *text, const char *path)
{
    const char *p = json_at(text, path);
    int count;

    if (p == NULL || (*p != '{' && *p != '['))
        return -1;
    (void) enter(p, "", 0, -1, &count);
    return count;
}
