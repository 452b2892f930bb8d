/*
 * rv_conf_read: an INI file, and the command line's overrides, into rv_conf.
 *
 * inih takes the lines apart, but says neither which line it is at nor that
 * it met an empty section, and cuts what is too long. So the lines come to it
 * through a reader of ours, which looks at each first: it counts, opens
 * sections, and hands inih an empty line in place of one that is an error.
 */
#include "rv_conf_read.h"

#include "rv_fd.h"

#include <errno.h>
#include <ini.h>
#include <stdlib.h>
#include <string.h>

typedef struct {
    rv_conf_t *cf;
    const char *path;
    const char *at; /* the next line */
    const char *end;
    unsigned line;
    int in_section; /* some section was opened, or tried */
} reader_t;

static int
is_blank(char c)
{
    return c == ' ' || c == '\t' || c == '\r';
}

/* Cuts white space off both ends of [*from, *to). */
static void
trim(const char **from, const char **to)
{
    while (*from < *to && is_blank(**from))
        (*from)++;
    while (*from < *to && is_blank((*to)[-1]))
        (*to)--;
}

static const char *
find_control(const char *from, const char *to)
{
    for (; from < to; from++) {
        unsigned char c = (unsigned char) *from;
        if ((c < 0x20 && c != '\t') || c == 0x7f)
            return from;
    }
    return NULL;
}

/* Opens "name argument", the text between the brackets. */
static int
begin_section(rv_conf_t *cf, const char *from, const char *to)
{
    char text[RV_CONF_READ_LINE + 1];

    trim(&from, &to);
    size_t length = (size_t) (to - from);
    if (length == 0)
        return rv_conf_error(cf, "section without a name");
    if (length > RV_CONF_READ_NAME)
        return rv_conf_error(cf, "section name is longer than %d bytes: \"%.*s\"",
            RV_CONF_READ_NAME, (int) length, from);

    memcpy(text, from, length);
    text[length] = '\0';

    char *argument = strpbrk(text, " \t");
    if (argument != NULL) {
        *argument++ = '\0';
        argument += strspn(argument, " \t");
    }
    return rv_conf_begin(cf, text, argument);
}

static int
check_section(rv_conf_t *cf, const char *from, const char *to)
{
    const char *close = memchr(from, ']', (size_t) (to - from));

    if (close == NULL)
        return rv_conf_error(cf, "no \"]\" after the section's name");

    const char *rest = close + 1, *end = to;
    trim(&rest, &end);
    if (rest < end && *rest != ';')
        return rv_conf_error(cf, "unexpected \"%.*s\" after \"]\"", (int) (end - rest), rest);

    return begin_section(cf, from + 1, close);
}

static int
check_directive(rv_conf_t *cf, const char *from, const char *to)
{
    const char *equals = from;

    /* up to inih's separators, or to what it takes for a comment */
    while (equals < to && *equals != '=' && *equals != ':'
        && !(*equals == ';' && equals > from && is_blank(equals[-1])))
        equals++;
    if (equals == to || *equals == ';')
        return rv_conf_error(cf, "no \"=\" in \"%.*s\"", (int) (to - from), from);

    const char *name = from, *name_end = equals;
    trim(&name, &name_end);
    if (name == name_end)
        return rv_conf_error(cf, "no directive name before \"=\"");
    if (name_end - name > RV_CONF_READ_NAME)
        return rv_conf_error(cf, "directive name is longer than %d bytes: \"%.*s\"",
            RV_CONF_READ_NAME, (int) (name_end - name), name);

    return RV_OK;
}

/* RV_OK: inih is to see the line. */
static int
check_line(reader_t *r, const char *from, const char *to)
{
    rv_conf_t *cf = r->cf;

    int is_section = from < to && *from == '[';

    if (is_section) {
        r->in_section = 1;
        rv_conf_skip(cf); /* should it be none */
    }
    if (to - from > RV_CONF_READ_LINE)
        return rv_conf_error(cf, "line is longer than %d bytes", RV_CONF_READ_LINE);

    const char *control = find_control(from, to);
    if (control != NULL)
        return rv_conf_error(
            cf, *control == '\0' ? "NUL byte in line" : "control character in line");

    if (from == to || *from == '#' || *from == ';')
        return RV_DONE;

    if (is_section) {
        (void) check_section(cf, from, to);
        return RV_DONE; /* what inih thinks of sections does not matter */
    }
    return check_directive(cf, from, to);
}

/* An ini_reader, in the manner of fgets. */
static char *
read_line(char *line, int room, void *data)
{
    reader_t *r = data;

    if (r->at == r->end)
        return NULL;

    const char *from = r->at;
    const char *to = memchr(from, '\n', (size_t) (r->end - from));
    r->at = to == NULL ? r->end : to + 1;
    to = to == NULL ? r->end : to;
    rv_conf_place(r->cf, r->path, ++r->line);

    /* without the white space: inih takes an indented line for more of the
     * value before it */
    trim(&from, &to);
    line[0] = '\0';
    if (check_line(r, from, to) == RV_OK && to - from < room) {
        memcpy(line, from, (size_t) (to - from));
        line[to - from] = '\0';
    }
    return line;
}

static int
on_directive(void *data, const char *section, const char *name, const char *value)
{
    reader_t *r = data;

    (void) section; /* the reader has opened it */
    if (!r->in_section)
        rv_conf_error(r->cf, "directive \"%s\" before the first section", name);
    else
        (void) rv_conf_directive(r->cf, name, value);

    return 1;
}

int
rv_conf_read_file(rv_conf_t *cf, const char *path, const char **text)
{
    static const char mark[] = "\xef\xbb\xbf"; /* UTF-8's byte order mark */
    char *data;
    size_t length;

    rv_conf_place(cf, NULL, 0);
    if (rv_fd_read_file(path, RV_CONF_READ_FILE, &data, &length) != RV_OK)
        return rv_conf_error(
            cf, "reading configuration file \"%s\" failed (%d: %s)", path, errno, strerror(errno));

    reader_t reader = { .cf = cf, .path = path, .at = data, .end = data + length };
    if (length >= 3 && memcmp(data, mark, 3) == 0)
        reader.at += 3;

    int bad_line = ini_parse_stream(read_line, &reader, on_directive, &reader);
    if (bad_line < 0)
        rv_conf_error(cf, "not enough memory");
    if (bad_line > 0 && rv_conf_error_count(cf) == 0) {
        rv_conf_at_line(cf, (unsigned) bad_line);
        rv_conf_error(cf, "malformed line");
    }

    if (text != NULL)
        *text = rv_pool_strdup(rv_conf_pool(cf), data);
    free(data);

    rv_conf_place(cf, path, 0);
    return rv_conf_error_count(cf) == 0 ? RV_OK : RV_ERROR;
}

/* One "section.name = value" of the command line. */
static void
override_one(rv_conf_t *cf, char *text)
{
    char *equals = strchr(text, '=');
    if (find_control(text, text + strlen(text)) != NULL) {
        rv_conf_error(cf, "control character in \"%s\"", text);
        return;
    }
    if (equals == NULL) {
        rv_conf_error(cf, "no \"=\" in \"%s\"", text);
        return;
    }

    const char *key = text, *key_end = equals;
    const char *value = equals + 1, *value_end = value + strlen(value);
    trim(&key, &key_end);
    trim(&value, &value_end);
    text[key_end - text] = '\0';
    text[value_end - text] = '\0';

    const char *name = key;
    const char *dot = strrchr(key, '.');
    int found;
    if (dot == NULL) {
        found = rv_conf_begin(cf, "main", NULL);
    } else {
        found = begin_section(cf, key, dot);
        name = dot + 1;
    }
    if (found == RV_OK)
        (void) rv_conf_directive(cf, name, value);
}

int
rv_conf_read_overrides(rv_conf_t *cf, const char *text)
{
    char *copy = rv_pool_strdup(rv_conf_pool(cf), text);
    char *save = NULL;

    if (copy == NULL)
        return rv_conf_error(cf, "not enough memory");

    rv_conf_place(cf, "command line", 0);
    rv_conf_overrides(cf, 1);
    for (char *part = strtok_r(copy, ";", &save); part != NULL; part = strtok_r(NULL, ";", &save)) {
        if (part[strspn(part, " \t\r\n")] != '\0')
            override_one(cf, part);
    }
    rv_conf_overrides(cf, 0);
    rv_conf_place(cf, NULL, 0);
    return rv_conf_error_count(cf) == 0 ? RV_OK : RV_ERROR;
}
