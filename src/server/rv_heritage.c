/*
 * rv_heritage: what a master hands over to the one that is to take its place.
 *
 * A line for each thing: a word, its descriptor, what cannot be asked of that,
 * and last the address or the path, which may hold anything but a line's end.
 */
#include "rv_heritage.h"

#include "rv_fd.h"
#include "rv_inherit.h"
#include "rv_text.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { WORD = 64, REST = 4096 };

/* One line of it. */
typedef struct {
    char word[WORD];
    int fd;
    unsigned backlog, mode, own; /* of a listener */
    unsigned said;               /* of workers: what the configuration said */
    char type[WORD], name[WORD]; /* of a zone */
    char rest[REST];
} line_t;

/* --- writing ---------------------------------------------------------------------- */

static void
write_listeners(rv_text_t *text, const rv_cycle_t *cycle)
{
    for (const rv_cycle_listener_t *l = cycle->listeners; l != NULL; l = l->next) {
        char address[RV_ADDR_TEXT];
        const rv_listener_t *ls = &l->listener;

        for (unsigned i = 0; i < ls->count; i++)
            rv_text_add(text, "listen %d %d %u %d %s\n", ls->fds[i], ls->backlog, ls->mode,
                ls->bound_path, rv_addr_format(&ls->addr, address));
    }
}

static void
write_zones(rv_text_t *text, const rv_cycle_t *cycle)
{
    for (const rv_cycle_zone_t *z = cycle->zones; z != NULL; z = z->next) {
        int fd = rv_zone_fd(z->zone);

        if (fd != -1)
            rv_text_add(text, "zone %d %s %s %s\n", fd, rv_zone_type(z->zone), z->spec.name,
                z->spec.path == NULL ? "" : z->spec.path);
    }
}

char *
rv_heritage_write(const rv_heritage_t *h, const rv_cycle_t *cycle)
{
    rv_text_t text = { 0 };

    rv_text_add(&text, "master %ld\ngeneration %u\nready %d\nalive %d\nworkers %u %u\n",
        (long) h->master, h->generation, h->ready, h->alive, cycle->workers, cycle->said);
    if (h->keeper != -1)
        rv_text_add(&text, "keeper %d\n", h->keeper);
    write_listeners(&text, cycle);
    write_zones(&text, cycle);
    if (!text.failed)
        return text.data;

    rv_text_free(&text);
    return NULL;
}

/* --- reading ---------------------------------------------------------------------- */

/* The next line; *at goes behind it. RV_DONE: there is none. RV_ERROR: it says nothing known. */
static int
read_line(const char **at, line_t *line)
{
    char text[REST + 4 * WORD];
    size_t length = strcspn(*at, "\n");
    int used = 0;

    if (**at == '\0')
        return RV_DONE;
    if (length >= sizeof(text) || (*at)[length] != '\n')
        return RV_ERROR;
    memcpy(text, *at, length);
    text[length] = '\0';
    *at += length + 1;

    *line = (line_t){ .fd = -1 };
    if (sscanf(text, "%63s %d %n", line->word, &line->fd, &used) != 2)
        return RV_ERROR;
    const char *more = text + used;

    if (strcmp(line->word, "listen") == 0 && used > 0)
        return sscanf(
                   more, "%u %u %u %4095[^\n]", &line->backlog, &line->mode, &line->own, line->rest)
                == 4
            ? RV_OK
            : RV_ERROR;
    if (strcmp(line->word, "workers") == 0 && used > 0)
        return sscanf(more, "%u", &line->said) == 1 ? RV_OK : RV_ERROR;
    if (strcmp(line->word, "zone") == 0 && used > 0)
        return sscanf(more, "%63s %63s %4095[^\n]", line->type, line->name, line->rest) >= 2
            ? RV_OK
            : RV_ERROR;
    return RV_OK;
}

/* 1: the number is a descriptor. */
static int
is_descriptor(const line_t *line)
{
    static const char *const others[] = { "master", "generation", "workers" };

    for (size_t i = 0; i < rv_countof(others); i++) {
        if (strcmp(line->word, others[i]) == 0)
            return 0;
    }
    return 1;
}

/* Sets the flags of every descriptor that the text names. RV_ERROR: malformed, or not open. */
static int
set_flags(const char *text, int flags)
{
    line_t line;
    int result;

    while ((result = read_line(&text, &line)) == RV_OK) {
        if (is_descriptor(&line) && fcntl(line.fd, F_SETFD, flags) == -1)
            return RV_ERROR;
    }
    return result == RV_DONE ? RV_OK : RV_ERROR;
}

int
rv_heritage_keep(const char *text)
{
    return set_flags(text, 0);
}

int
rv_heritage_take(rv_heritage_t *h)
{
    const char *value = getenv(RV_HERITAGE_VARIABLE);
    int master = 0, generation = 0;
    line_t line;

    *h = (rv_heritage_t){ .ready = -1, .alive = -1, .keeper = -1 };
    if (value == NULL)
        return RV_OK;

    h->text = strdup(value);
    (void) unsetenv(RV_HERITAGE_VARIABLE);
    if (h->text == NULL || set_flags(h->text, FD_CLOEXEC) != RV_OK)
        return RV_ERROR;

    const struct {
        const char *word;
        int *number;
    } numbers[] = { { "master", &master }, { "generation", &generation }, { "ready", &h->ready },
        { "alive", &h->alive }, { "keeper", &h->keeper } };

    const char *at = h->text;
    while (read_line(&at, &line) == RV_OK) { /* every line of it was read before */
        for (size_t i = 0; i < rv_countof(numbers); i++) {
            if (strcmp(numbers[i].word, line.word) == 0)
                *numbers[i].number = line.fd;
        }
    }
    h->master = master;
    h->generation = (unsigned) generation;
    return master > 0 && h->ready != -1 && h->alive != -1 ? RV_OK : RV_ERROR;
}

static int
give_listener(line_t *line, rv_cycle_t *given, char *reason)
{
    const char *why;
    rv_listener_t *ls = rv_inherit_listener(given, line->fd, &why);

    if (ls == NULL) {
        snprintf(reason, RV_CYCLE_REASON, "inheriting the socket of \"%.200s\" failed: %s",
            line->rest, why);
        return RV_ERROR;
    }
    ls->backlog = (int) line->backlog;
    ls->mode = line->mode;
    ls->bound_path = (int) line->own;
    return RV_OK;
}

static int
give_zone(line_t *line, rv_cycle_t *given, const rv_cycle_t *wanted, char *reason)
{
    const rv_cycle_zone_t *w = wanted->zones;
    char error[RV_ZONE_ERROR];

    while (w != NULL && strcmp(w->spec.name, line->name) != 0)
        w = w->next;
    if (w == NULL) {
        rv_fd_close(&line->fd);
        return RV_OK;
    }

    rv_cycle_zone_t *z = rv_pool_alloc(given->pool, sizeof(*z));
    if (z == NULL) {
        snprintf(reason, RV_CYCLE_REASON, "not enough memory");
        return RV_ERROR;
    }
    z->spec = w->spec;
    z->spec.type = line->type;
    z->spec.path = line->rest[0] == '\0' ? NULL : line->rest;
    z->spec.instance = rv_cycle_instance(wanted);
    z->spec.size = 0;
    if (rv_zone_inherit(&z->spec, line->fd, &z->zone, error) != RV_OK) {
        rv_log(RV_LOG_WARN, 0, "%s: it begins anew", error);
        return RV_OK;
    }
    z->spec = w->spec; /* its texts live longer */
    z->next = given->zones;
    given->zones = z;
    return RV_OK;
}

/* As many as there were, if the configuration says what it said before. */
static void
give_workers(const line_t *line, rv_cycle_t *given)
{
    if (line->fd < 1 || line->fd > RV_CORE_WORKERS)
        return;
    given->workers = (unsigned) line->fd;
    given->said = line->said;
}

int
rv_heritage_give(const rv_heritage_t *h, rv_cycle_t *given, const rv_cycle_t *wanted,
    char reason[RV_CYCLE_REASON])
{
    const char *at = h->text;
    line_t line;
    int result = RV_OK;

    while (result == RV_OK && read_line(&at, &line) == RV_OK) {
        if (strcmp(line.word, "listen") == 0)
            result = give_listener(&line, given, reason);
        else if (strcmp(line.word, "zone") == 0)
            result = give_zone(&line, given, wanted, reason);
        else if (strcmp(line.word, "workers") == 0)
            give_workers(&line, given);
    }
    rv_zone_t *stats = rv_cycle_find_zone(given, "stats");
    given->stats = stats == NULL ? NULL : rv_zone_handle(stats);
    return result;
}
