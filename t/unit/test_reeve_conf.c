/*
 * conf/reeve.conf and the manuals, held against the tables of the program.
 *
 * In the configuration "#name = value" shows a default, "name = value" is set.
 * The sources are where RV_SOURCE says, or above the current folder.
 */
#include "rv_cycle.h"
#include "rv_options.h"
#include "rv_signal.h"

#include "rv_fd.h"

#include <check.h>
#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { TEXT_SIZE = 512, LIMIT = 1024 * 1024 };

static char *conf;     /* conf/reeve.conf */
static char *manual_5; /* reeve.conf.5; NULL: there is none */
static char *manual_8;

/* NULL where there is no such file. */
static char *
read_source(const char *name)
{
    static const char *const above[] = { "", "../", "../../", "../../../" };
    const char *root = getenv("RV_SOURCE");
    char path[2 * TEXT_SIZE], *text;
    size_t length;

    for (size_t i = 0; i < rv_countof(above); i++) {
        if (root != NULL)
            snprintf(path, sizeof(path), "%s/%s", root, name);
        else
            snprintf(path, sizeof(path), "%s%s", above[i], name);
        if (rv_fd_read_file(path, LIMIT, &text, &length) == RV_OK)
            return text;
    }
    return NULL;
}

static void
setup(void)
{
    conf = read_source("conf/reeve.conf");
    manual_5 = read_source("src/server/reeve.conf.5");
    manual_8 = read_source("src/server/reeve.8");
    ck_assert_msg(conf != NULL, "conf/reeve.conf is not to be found: set RV_SOURCE");
}

static void
teardown(void)
{
    free(conf);
    free(manual_5);
    free(manual_8);
}

/* --- the tables ------------------------------------------------------------------ */

typedef void (*visit_t)(const rv_conf_section_t *section, const rv_directive_t *d);

/* Every directive of every section; of a section without any, NULL. */
static void
each_directive(visit_t visit)
{
    for (size_t i = 0; rv_modules[i] != NULL; i++) {
        const rv_conf_section_t *const *s = rv_modules[i]->sections;

        for (; s != NULL && *s != NULL; s++) {
            for (const rv_directive_t *d = (*s)->directives; d->name != NULL; d++)
                visit(*s, d);
        }
    }
}

static const rv_conf_section_t *
find_section(const char *name, size_t length)
{
    for (size_t i = 0; rv_modules[i] != NULL; i++) {
        const rv_conf_section_t *const *s = rv_modules[i]->sections;

        for (; s != NULL && *s != NULL; s++) {
            if (strlen((*s)->name) == length && memcmp((*s)->name, name, length) == 0)
                return *s;
        }
    }
    return NULL;
}

static const rv_directive_t *
find_directive(const rv_conf_section_t *section, const char *name)
{
    for (const rv_directive_t *d = section->directives; d->name != NULL; d++) {
        if (strcmp(d->name, name) == 0)
            return d;
    }
    return NULL;
}

/* What configure may have been told otherwise has this default when it was not. */
static const struct {
    const char *name;
    const char *plain;
} configured[] = {
    { "user", "nobody nogroup" },
    { "user", "nobody nobody" },
    { "pid", "logs/reeve.pid" },
    { "error_log", "logs/error.log error" },
    { "sandbox", "on" },
};

static int
is_default(const rv_directive_t *d, const char *value)
{
    for (size_t i = 0; i < rv_countof(configured); i++) {
        if (strcmp(configured[i].name, d->name) == 0 && strcmp(configured[i].plain, value) == 0)
            return 1;
    }
    return strcmp(d->initial, value) == 0;
}

/* --- lines of the file --------------------------------------------------------------- */

typedef struct {
    const rv_conf_section_t *section; /* of the line; NULL: before the first */
    char name[64];                    /* of a directive; "": it is none */
    char value[TEXT_SIZE];
    int is_comment; /* "#name = value" */
    unsigned number;
    const char *next;
} line_t;

/* Takes "name = value" apart; what does not look like it has an empty name. */
static void
take_apart(line_t *line, const char *text)
{
    size_t length = strspn(text, "abcdefghijklmnopqrstuvwxyz_");

    line->name[0] = '\0';
    if (length > 0 && length < sizeof(line->name) && strncmp(text + length, " = ", 3) == 0) {
        snprintf(line->name, sizeof(line->name), "%.*s", (int) length, text);
        snprintf(line->value, sizeof(line->value), "%s", text + length + 3);
    }
}

/* The next line; 0 after the last. Begin with a zeroed line. */
static int
next_line(line_t *line)
{
    const char *from = line->next == NULL ? conf : line->next;
    const char *end = strchr(from, '\n');
    char text[TEXT_SIZE];

    if (end == NULL)
        return 0;
    snprintf(text, sizeof(text), "%.*s", (int) (end - from), from);
    line->next = end + 1;
    line->number++;
    line->is_comment = text[0] == '#';
    line->name[0] = '\0';
    if (text[0] == '[') {
        size_t length = strcspn(text + 1, " ]");

        line->section = find_section(text + 1, length);
        ck_assert_msg(
            line->section != NULL, "line %u: there is no section \"%s\"", line->number, text);
        ck_assert_int_eq(text[1 + length] == ' ', line->section->argument != NULL);
    } else {
        take_apart(line, text + line->is_comment);
        ck_assert_msg(line->name[0] != '\0' || text[0] == '\0' || strncmp(text, "# ", 2) == 0
                || strcmp(text, "#") == 0,
            "line %u is neither a comment nor \"[#]name = value\": %s", line->number, text);
    }
    return 1;
}

static void
count_in_file(const rv_conf_section_t *section, const rv_directive_t *d)
{
    line_t line = { 0 };
    int found = 0;

    while (next_line(&line))
        found += line.section == section && strcmp(line.name, d->name) == 0;
    ck_assert_msg(found > 0, "[%s] does not show \"%s\"", section->name, d->name);
    ck_assert_msg(found == 1 || (d->flags & RV_DIRECTIVE_REPEAT) || section->argument != NULL,
        "[%s] shows \"%s\" %d times", section->name, d->name, found);
}

START_TEST(every_directive_is_shown_in_its_section)
{
    each_directive(count_in_file);
}
END_TEST

START_TEST(nothing_is_shown_that_is_not_there)
{
    line_t line = { 0 };

    while (next_line(&line)) {
        if (line.name[0] == '\0')
            continue;
        ck_assert_msg(line.section != NULL, "line %u stands before the first section", line.number);
        ck_assert_msg(find_directive(line.section, line.name) != NULL,
            "line %u: [%s] has no \"%s\"", line.number, line.section->name, line.name);
    }
    ck_assert_uint_gt(line.number, 10);
}
END_TEST

START_TEST(shown_defaults_are_the_defaults)
{
    line_t line = { 0 };
    int seen = 0;

    while (next_line(&line)) {
        const rv_directive_t *d =
            line.name[0] == '\0' ? NULL : find_directive(line.section, line.name);

        if (d == NULL || !line.is_comment || d->initial == NULL)
            continue;
        ck_assert_msg(is_default(d, line.value), "line %u: the default of \"%s\" is \"%s\"",
            line.number, d->name, d->initial);
        seen++;
    }
    ck_assert_int_gt(seen, 10);
}
END_TEST

/* --- the file as the program reads it -------------------------------------------------- */

/* Reads this text as a configuration file: the first message, or NULL. */
static const char *
read_text(const char *text, size_t length)
{
    static char message[TEXT_SIZE];
    char path[] = "/tmp/rv_test_reeve_conf_XXXXXX";
    const rv_cycle_options_t options = { .prefix = "/srv/reeve/", .conf = path };
    int fd = mkstemp(path);

    ck_assert_int_ne(fd, -1);
    ck_assert_int_eq(rv_fd_write(fd, text, length), RV_OK);
    rv_cycle_t *cycle = rv_cycle_read(&options, 1);
    unlink(path);
    close(fd);
    ck_assert_ptr_nonnull(cycle);
    const rv_conf_message_t *m = rv_conf_messages(cycle->conf);
    if (m != NULL)
        snprintf(message, sizeof(message), "%s", m->text);
    rv_cycle_free(cycle, 0);
    return m == NULL ? NULL : message;
}

START_TEST(file_is_read_without_a_word)
{
    const char *message = read_text(conf, strlen(conf));

    ck_assert_msg(message == NULL, "%s", message);
}
END_TEST

/* A zone's file is of no use by itself, a user other than root has none to
 * choose, and not every build has a sandbox. */
static int
is_left_out(const char *name)
{
    return strcmp(name, "path") == 0 || (strcmp(name, "user") == 0 && geteuid() != 0)
        || (strcmp(name, "sandbox") == 0 && !RV_HAVE_SECCOMP);
}

/* A user takes one "#" off. */
START_TEST(each_shown_line_may_be_put_into_force)
{
    size_t length = strlen(conf);
    char *text = malloc(length);
    line_t line = { 0 };
    const char *from = conf;

    for (; next_line(&line); from = line.next) {
        size_t before = (size_t) (from - conf);

        if (!line.is_comment || line.name[0] == '\0' || is_left_out(line.name))
            continue;
        memcpy(text, conf, before);
        memcpy(text + before, from + 1, length - before - 1);
        const char *message = read_text(text, length - 1);
        ck_assert_msg(message == NULL, "line %u: %s", line.number, message);
    }
    free(text);
}
END_TEST

/* --- reeve.conf(5) ---------------------------------------------------------------------- */

/* Where "[name" has its part of the manual, and where that ends. */
static const char *
manual_section(const char *name, const char **end)
{
    char heading[64];

    snprintf(heading, sizeof(heading), "\n.Ss [%s", name);
    const char *at = strstr(manual_5, heading);
    if (at == NULL || (at[strlen(heading)] != ']' && at[strlen(heading)] != ' '))
        return NULL;
    const char *sub = strstr(at + 1, "\n.Ss ["), *head = strstr(at + 1, "\n.Sh ");
    *end = sub != NULL && (head == NULL || sub < head) ? sub : head;
    *end = *end == NULL ? manual_5 + strlen(manual_5) : *end;
    return at;
}

/* From a directive's item to the next; 0: it has none. */
static int
manual_item(const rv_conf_section_t *section, const char *name, char *text, size_t room)
{
    char item[64];
    const char *end, *at = manual_section(section->name, &end);

    snprintf(item, sizeof(item), "\n.It Ic %s ", name);
    at = at == NULL ? NULL : strstr(at, item);
    if (at == NULL || at >= end)
        return 0;
    const char *next = strstr(at + 1, "\n.It Ic ");
    end = next != NULL && next < end ? next : end;
    snprintf(text, room, "%.*s", (int) (end - at), at);
    return 1;
}

/* The word or words behind "Default:", without what mdoc needs to set them. */
static void
take_default(const char *item, char *value, size_t room)
{
    const char *at = strstr(item, "\nDefault:");

    value[0] = '\0';
    if (at == NULL)
        return;
    at += strlen("\nDefault:");
    at += strspn(at, " \n");
    if (at[0] == '.')
        at += 4; /* ".Cm " and the like */
    snprintf(value, room, "%.*s", (int) strcspn(at, "\n"), at);
    for (size_t n = strlen(value); n > 0 && strchr(" .", value[n - 1]) != NULL; n--)
        value[n - 1] = '\0';
}

static void
check_in_manual(const rv_conf_section_t *section, const rv_directive_t *d)
{
    char item[8 * TEXT_SIZE], value[TEXT_SIZE];

    ck_assert_msg(manual_item(section, d->name, item, sizeof(item)),
        "reeve.conf(5) has no \".It Ic %s\" in [%s]", d->name, section->name);
    take_default(item, value, sizeof(value));
    if (d->initial == NULL || strcmp(d->name, "user") == 0)
        return;
    ck_assert_msg(is_default(d, value), "[%s] %s: reeve.conf(5) says \"%s\", the default is \"%s\"",
        section->name, d->name, value, d->initial);
}

START_TEST(manual_has_every_directive_with_its_default)
{
    if (manual_5 != NULL)
        each_directive(check_in_manual);
}
END_TEST

START_TEST(manual_has_no_other_directive)
{
    const rv_conf_section_t *section = NULL;

    for (const char *at = manual_5; at != NULL; at = strchr(at + 1, '\n')) {
        char name[64];

        if (strncmp(at, "\n.Ss [", 6) == 0)
            section = find_section(at + 6, strcspn(at + 6, " ]"));
        else if (strncmp(at, "\n.Sh ", 5) == 0)
            section = NULL;
        if (section == NULL || strncmp(at, "\n.It Ic ", 8) != 0)
            continue;
        snprintf(name, sizeof(name), "%.*s", (int) strcspn(at + 8, " \n"), at + 8);
        ck_assert_msg(find_directive(section, name) != NULL, "reeve.conf(5): [%s] has no \"%s\"",
            section->name, name);
    }
}
END_TEST

/* --- reeve(8) ------------------------------------------------------------------------------ */

/* What -h prints. */
static const char *
help(void)
{
    static char text[8 * TEXT_SIZE];
    int fds[2], kept = dup(STDOUT_FILENO);

    ck_assert_int_eq(pipe(fds), 0);
    fflush(stdout);
    dup2(fds[1], STDOUT_FILENO);
    rv_options_help();
    fflush(stdout);
    dup2(kept, STDOUT_FILENO);
    ssize_t n = read(fds[0], text, sizeof(text) - 1);
    ck_assert_int_gt(n, 0);
    text[n] = '\0';
    close(kept);
    close(fds[0]);
    close(fds[1]);
    return text;
}

START_TEST(manual_has_every_option)
{
    int seen = 0;

    for (const char *at = strstr(help(), "\n  -"); at != NULL && manual_8 != NULL;
         at = strstr(at + 1, "\n  -")) {
        char item[16];

        snprintf(item, sizeof(item), "\n.It Fl %c", at[4]);
        ck_assert_msg(strstr(manual_8, item) != NULL, "reeve(8) has no \"-%c\"", at[4]);
        seen++;
    }
    ck_assert_int_eq(seen, manual_8 == NULL ? 0 : 13);
}
END_TEST

START_TEST(manual_has_no_other_option)
{
    const char *text = help(), *at = manual_8 == NULL ? NULL : strstr(manual_8, "\n.It Fl ");

    for (; at != NULL; at = strstr(at + 1, "\n.It Fl ")) {
        char option[8];

        snprintf(option, sizeof(option), "  -%c", at[8]);
        ck_assert_msg(strstr(text, option) != NULL, "-h does not show \"-%c\"", at[8]);
    }
}
END_TEST

/* All that somebody may send; SIGCHLD is the kernel's. */
START_TEST(manual_has_every_signal)
{
    for (size_t i = 0; rv_signal_at(i) != NULL && manual_8 != NULL; i++) {
        const rv_signal_t *row = rv_signal_at(i);

        if (row->sets == RV_SIGNAL_CHILD)
            continue;
        ck_assert_msg(strstr(manual_8, row->name) != NULL, "reeve(8) has no %s", row->name);
        ck_assert_msg(row->command == NULL || strstr(manual_8, row->command) != NULL,
            "reeve(8) has no \"-s %s\"", row->command);
    }
}
END_TEST

static Suite *
reeve_conf_suite(void)
{
    Suite *suite = suite_create("reeve_conf");
    TCase *tcase = tcase_create("reeve_conf");

    tcase_set_timeout(tcase, 60);
    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_add_test(tcase, every_directive_is_shown_in_its_section);
    tcase_add_test(tcase, nothing_is_shown_that_is_not_there);
    tcase_add_test(tcase, shown_defaults_are_the_defaults);
    tcase_add_test(tcase, file_is_read_without_a_word);
    tcase_add_test(tcase, each_shown_line_may_be_put_into_force);
    tcase_add_test(tcase, manual_has_every_directive_with_its_default);
    tcase_add_test(tcase, manual_has_no_other_directive);
    tcase_add_test(tcase, manual_has_every_option);
    tcase_add_test(tcase, manual_has_no_other_option);
    tcase_add_test(tcase, manual_has_every_signal);
    suite_add_tcase(suite, tcase);
    return suite;
}

int
main(void)
{
    SRunner *runner = srunner_create(reeve_conf_suite());

    srunner_run_all(runner, CK_NORMAL);

    int failed = srunner_ntests_failed(runner);

    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
