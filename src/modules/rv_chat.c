/*
 * rv_chat: a room for talk over telnet or nc. The module to read after rv_echo: it shows how
 * workers tell one another things.
 *
 *     [chat]
 *     listen = 127.0.0.1:7008
 *
 * Each worker knows its own clients and nothing else. What one of them says is written to the
 * worker's other clients and sent to all other workers, which write it to theirs. Messages of one
 * worker arrive in the order in which they were sent, so lines of one client do everywhere. Who is there is asked
 * of every worker when somebody wants to know: there is no list that could be wrong
 * after a worker has died.
 */
#include "rv_conf_set.h"
#include "rv_cycle.h"
#include "rv_fd.h"
#include "rv_harmless.h"
#include "rv_lines.h"
#include "rv_mesh.h"
#include "rv_worker.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    NAME = 24,           /* bytes of a name */
    LONGEST = 8 * 1024,  /* the most that `max_line` can be */
    WHO_MSEC = 1000,     /* how long another worker may take to say who is there */
    WHO_BYTES = 8 * 1024 /* of names that one worker tells; then only how many more */
};

/* --- the section, as in rv_echo ---------------------------------------------------------- */

typedef struct {
    const char *listen;    /* NULL: the module is not used */
    uint64_t idle_timeout; /* ms */
    size_t max_line;       /* bytes */
    size_t buffer;         /* bytes */
} chat_conf_t;

static const rv_conf_bounds_t line_bounds = { 80, LONGEST };
static const rv_conf_bounds_t buffer_bounds = { 2 * LONGEST, 1 << 30 };

static const rv_directive_t directives[] = {
    { "listen", rv_conf_set_string, offsetof(chat_conf_t, listen), NULL,
        "where to chat; as [http] listen (ADDR:PORT|...)", NULL, 0 },
    { "idle_timeout", rv_conf_set_msec, offsetof(chat_conf_t, idle_timeout), "1h",
        "when to close a client who neither says nor hears anything (TIME)", NULL, 0 },
    { "max_line", rv_conf_set_size, offsetof(chat_conf_t, max_line), "1k",
        "the longest line that a client may say (SIZE)", &line_bounds, 0 },
    { "buffer", rv_conf_set_size, offsetof(chat_conf_t, buffer), "64k",
        "what may wait for a client before it is cut off (SIZE)", &buffer_bounds, 0 },
    { .name = NULL },
};
static const rv_conf_section_t section = { "chat", NULL, sizeof(chat_conf_t), directives, NULL };
static const rv_conf_section_t *const sections[] = { &section, NULL };

/* --- counters ------------------------------------------------------------------------------ */

static const rv_stats_def_t counters[] = {
    { "clients", RV_STATS_GAUGE, "Clients in the chat." },
    { "lines", RV_STATS_COUNTER, "Lines that chat clients have said." },
    { "cut_off", RV_STATS_COUNTER, "Chat clients that were cut off because they read too slowly." },
    { "missed", RV_STATS_COUNTER,
        "Times that a worker's chat clients missed a line because its queue was full." },
    { NULL, 0, NULL },
};

enum { CLIENTS, LINES, CUT_OFF, MISSED };

/* --- what a worker knows --------------------------------------------------------------------- */

typedef struct question_s question_t;

typedef struct client_s {
    rv_lines_t lines; /* first of all: c->data is both */
    struct client_s *next, **link;
    question_t *question; /* its /who, until all have answered; NULL: none */
    char name[NAME + 1];
} client_t;

/* A /who. Goes when the last answer is there, and that may be after the client. */
struct question_s {
    client_t *client; /* NULL: it has gone */
    unsigned open;    /* answers that are still to come */
    unsigned people;
    unsigned silent; /* workers that have not answered in time */
};

static client_t *clients;
static unsigned guests; /* so many, so far */
static unsigned number; /* of this worker */
static rv_stats_t *stats;
static int cell[4]; /* of the counters */
static int line_type, who_type;
static rv_lines_options_t options;

static void
count(unsigned counter, int64_t change)
{
    const rv_stats_change_t one = { (unsigned) cell[counter], change };

    rv_stats_apply(stats, &one, 1);
}

/* --- telling clients and workers ---------------------------------------------------------------- */

static void RV_PRINTF(2, 3) tell(client_t *client, const char *fmt, ...)
{
    char text[256];
    va_list args;

    va_start(args, fmt);
    int n = vsnprintf(text, sizeof(text), fmt, args);
    va_end(args);
    rv_lines_write(&client->lines, text, rv_min((size_t) n, sizeof(text) - 1));
}

static void
tell_here(const client_t *except, const void *line, size_t length)
{
    for (client_t *c = clients; c != NULL; c = c->next) {
        if (c != except)
            rv_lines_write(&c->lines, line, length);
    }
}

/* A line from this client for everybody else, whose terminal shows it already. */
static void RV_PRINTF(2, 3) say(client_t *from, const char *fmt, ...)
{
    char line[LONGEST + NAME + 64];
    va_list args;

    va_start(args, fmt);
    int n = vsnprintf(line, sizeof(line), fmt, args);
    va_end(args);
    size_t length = rv_min((size_t) n, sizeof(line) - 1);

    tell_here(from, line, length);
    unsigned missed = rv_mesh_broadcast(line_type, 0, line, length, NULL, NULL);
    if (missed > 0) {
        count(MISSED, missed);
        tell(from, "* that did not reach the clients of %u workers: they are too busy\n", missed);
    }
}

/* What a client of another worker says. No descriptor belongs to a message of ours. */
static void
on_line(const rv_mesh_message_t *msg)
{
    rv_fd_discard(&(int){ msg->fd });
    tell_here(NULL, msg->data, msg->length);
}

/* --- /who -------------------------------------------------------------------------------------- */

typedef struct {
    uint32_t people;
    char names[WHO_BYTES]; /* those that there is room for, one behind the other */
} people_t;

/* Those that are here; how many bytes that takes. */
static size_t
list_people(people_t *people)
{
    size_t length = 0;

    people->people = 0;
    for (const client_t *c = clients; c != NULL; c = c->next) {
        size_t more = strlen(c->name) + 1;

        if (length + more <= sizeof(people->names)) {
            people->names[length] = ' ';
            memcpy(people->names + length + 1, c->name, more - 1);
            length += more;
        }
        people->people++;
    }
    return offsetof(people_t, names) + length;
}

/* Another worker wants to know. */
static void
on_who(const rv_mesh_message_t *msg)
{
    people_t people;

    rv_fd_discard(&(int){ msg->fd });
    (void) rv_mesh_reply(msg, &people, list_people(&people), -1);
}

static void
show_people(question_t *q, unsigned worker, const void *list, size_t length)
{
    const size_t start = offsetof(people_t, names);
    uint32_t people;

    if (q->client == NULL || length < start)
        return;
    memcpy(&people, list, sizeof(people));
    q->people += people;
    if (people == 0)
        return;
    tell(q->client, "* worker %u, %u here:", worker, (unsigned) people);
    rv_lines_write(&q->client->lines, (const char *) list + start, length - start);
    rv_lines_write(&q->client->lines, "\n", 1);
}

/* One answer fewer is to come. */
static void
close_question(question_t *q)
{
    if (--q->open > 0)
        return;
    if (q->client != NULL) {
        tell(q->client, "* %u in all", q->people);
        if (q->silent > 0)
            tell(q->client, ", and %u workers have not answered", q->silent);
        tell(q->client, "\n");
        q->client->question = NULL;
    }
    free(q);
}

/* Called exactly once for each call: the clients of a worker that has died are gone, too. */
static void
on_people(int result, const rv_mesh_message_t *answer, void *arg)
{
    question_t *q = arg;

    if (result == RV_OK) {
        rv_fd_discard(&(int){ answer->fd });
        show_people(q, answer->from.worker, answer->data, answer->length);
    }
    q->silent += result == RV_AGAIN;
    close_question(q);
}

static void
ask_who(client_t *client, char *unused)
{
    question_t *q = client->question == NULL ? calloc(1, sizeof(*q)) : NULL;
    rv_process_id_t worker;
    people_t people;
    unsigned slot = 0;

    (void) unused;
    if (q == NULL)
        return; /* it will be told soon */
    q->client = client;
    q->open = 1;
    client->question = q;
    while (rv_mesh_next(&slot, &worker) == RV_OK) {
        int result = rv_mesh_call(&worker, who_type, NULL, 0, WHO_MSEC, on_people, q);

        q->open += result == RV_OK;
        q->silent += result == RV_AGAIN;
    }
    show_people(q, number, &people, list_people(&people));
    close_question(q);
}

/* --- what else a client may say ------------------------------------------------------------------- */

/* Nobody takes the name of a guest: these are never given twice at a time. */
static int
is_name(const char *name)
{
    static const char allowed[] =
        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.";
    size_t length = strlen(name);

    return length > 0 && length <= NAME && strspn(name, allowed) == length
        && strncmp(name, "guest", 5) != 0;
}

static void
change_name(client_t *client, char *name)
{
    if (!is_name(name)) {
        tell(client,
            "* a name is up to %d letters, digits, \"-\", \"_\", \".\"; not \"guest\"...\n", NAME);
        return;
    }
    say(client, "* %s is now %s\n", client->name, name);
    snprintf(client->name, sizeof(client->name), "%s", name);
    tell(client, "* you are %s\n", name);
}

static void
quit(client_t *client, char *unused)
{
    (void) unused;
    tell(client, "* bye\n");
    rv_lines_end(&client->lines);
}

static const struct {
    const char *word;
    void (*act)(client_t *client, char *rest);
} commands[] = { { "/who", ask_who }, { "/nick", change_name }, { "/quit", quit } };

static void
obey(client_t *client, char *text)
{
    size_t length = strcspn(text, " ");
    char *rest = text + length + strspn(text + length, " ");

    for (size_t i = 0; i < rv_countof(commands); i++) {
        if (strlen(commands[i].word) == length && memcmp(commands[i].word, text, length) == 0) {
            commands[i].act(client, rest);
            return;
        }
    }
    tell(client, "* there is /nick NAME, /who, and /quit\n");
}

static void
on_text(rv_lines_t *lines, char *text, size_t length)
{
    client_t *client = (client_t *) lines;

    if (text == NULL) {
        tell(client, "* that line is too long, and was not said\n");
        return;
    }
    rv_harmless(text, length);
    if (text[0] == '/') {
        obey(client, text);
    } else if (text[strspn(text, " ")] != '\0') {
        count(LINES, 1);
        say(client, "%s: %s\n", client->name, text);
    }
}

/* --- the service -------------------------------------------------------------------------------------- */

static void
chat_open(rv_connection_t *c)
{
    client_t *client = calloc(1, sizeof(*client));

    if (client == NULL || rv_lines_begin(&client->lines, c, &options) != RV_OK) {
        free(client);
        c->data = NULL;
        rv_connection_close(c);
        return;
    }
    snprintf(client->name, sizeof(client->name), "guest-%u-%u", number, ++guests);
    client->next = clients;
    client->link = &clients;
    if (clients != NULL)
        clients->link = &client->next;
    clients = client;
    count(CLIENTS, 1);
    tell(client, "* you are %s; there is /nick NAME, /who, and /quit\n", client->name);
    say(client, "* %s has joined\n", client->name);
}

static void
chat_drain(rv_connection_t *c)
{
    tell(c->data, "* this worker finishes, please connect again\n");
    rv_lines_end(c->data);
}

/* However it has ended. */
static void
chat_close(rv_connection_t *c)
{
    client_t *client = c->data;

    if (client == NULL)
        return;
    *client->link = client->next;
    if (client->next != NULL)
        client->next->link = client->link;
    if (client->question != NULL)
        client->question->client = NULL;
    count(CLIENTS, -1);
    count(CUT_OFF, client->lines.cut);
    say(client, "* %s has left%s\n", client->name,
        client->lines.cut ? ", cut off: it read too slowly" : "");
    rv_lines_free(&client->lines);
    free(client);
}

static const rv_service_t service = {
    .name = "chat",
    .open = chat_open,
    .ready = rv_lines_ready,
    .drain = chat_drain,
    .close = chat_close,
};

/* --- messages to other workers, and hooks -------------------------------------------------------------- */

static const rv_mesh_type_t messages[] = {
    { .name = "line", .policy = RV_CHANNEL_FAIL, .receive = on_line },
    { .name = "who", .policy = RV_CHANNEL_FAIL, .receive = on_who },
    { .name = NULL },
};

static int
configure(rv_cycle_t *cycle, rv_conf_t *cf)
{
    const chat_conf_t *conf = rv_conf_get(cf, "chat", NULL);
    rv_listener_t listener;

    if (conf->listen == NULL)
        return RV_OK;

    rv_conf_at_section(cf, "chat", NULL);
    int result = rv_cycle_read_listen(cf, conf->listen, &listener);
    if (result == RV_OK)
        result = rv_cycle_listen(cycle, cf, &listener, &service, conf);
    rv_conf_at_line(cf, 0);
    return result;
}

static int
init_worker(rv_worker_t *w)
{
    const chat_conf_t *conf = rv_conf_get(w->cycle->conf, "chat", NULL);

    number = w->number;
    stats = w->stats;
    for (size_t i = 0; i < rv_countof(cell); i++)
        cell[i] = rv_stats_find(stats, "chat", counters[i].name);
    line_type = rv_mesh_find("chat", "line");
    who_type = rv_mesh_find("chat", "who");
    options = (rv_lines_options_t){ .longest = conf->max_line,
        .unsent = conf->buffer,
        .timeout = rv_connections_timeout(w->connections, conf->idle_timeout),
        .line = on_text };
    return options.timeout == NULL ? RV_ERROR : RV_OK;
}

const rv_module_t rv_chat_module = {
    .name = "chat",
    .sections = sections,
    .stats = counters,
    .messages = messages,
    .configure = configure,
    .init_worker = init_worker,
};
