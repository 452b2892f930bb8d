/*
 * rv_chat: a room for talk over telnet or nc. The module to read after rv_echo: it shows how
 * workers tell one another things.
 *
 *     [chat]
 *     listen = 127.0.0.1:7008
 *
 * A worker knows its own clients and nothing else. What one of them says it writes to the others,
 * and sends to all other workers, which write it to theirs. Who is there is asked of all when
 * somebody wants to know, so that no list is wrong after a worker has died. Nobody is
 * waited for: neither a client that does not read, nor a worker that does not answer.
 */
#include "rv_conf_set.h"
#include "rv_cycle.h"
#include "rv_harmless.h"
#include "rv_lines.h"
#include "rv_mesh.h"
#include "rv_worker.h"

#include <stdio.h>
#include <string.h>

enum {
    LONGEST = 1024,     /* bytes of a line that a client may say */
    UNSENT = 64 * 1024, /* bytes that may wait for a client; beyond them it is cut off */
    NAME = 64,          /* room for a name, and what is around it */
    WHO_BYTES = 1024,   /* of a worker's answer to /who, */
    WHO_MSEC = 1000     /* and when it has to be there */
};

/* --- the section, as in rv_echo ------------------------------------------------------ */

typedef struct {
    const char *listen;    /* NULL: the module is not used */
    uint64_t idle_timeout; /* ms */
} chat_conf_t;

static const rv_directive_t directives[] = {
    { "listen", rv_conf_set_string, offsetof(chat_conf_t, listen), NULL,
        "where to chat; as [http] listen (ADDR:PORT|...)", NULL, 0 },
    { "idle_timeout", rv_conf_set_msec, offsetof(chat_conf_t, idle_timeout), "1h",
        "when to close a client who neither says nor hears anything (TIME)", NULL, 0 },
    { .name = NULL },
};
static const rv_conf_section_t section = { "chat", NULL, sizeof(chat_conf_t), directives, NULL };
static const rv_conf_section_t *const sections[] = { &section, NULL };

/* --- what is said reaches all clients of all workers ------------------------------------ */

static unsigned worker;         /* its number; */
static rv_lines_all_t clients;  /* its clients, which have numbers too; */
static int line_type, who_type; /* and those of the messages */

static void
say(rv_lines_t *client, const char *what, const char *more)
{
    char line[LONGEST + NAME];
    int n = snprintf(line, sizeof(line), "guest-%u-%u%s%s\n", worker, client->number, what, more);

    rv_lines_write_all(&clients, client, line, (size_t) n);
    unsigned missed = rv_mesh_broadcast(line_type, 0, line, (size_t) n, NULL, NULL);
    if (missed > 0)
        rv_lines_printf(client, "* that has not reached %u workers, they are too busy\n", missed);
}

/* In each of the other workers. */
static void
on_line(const rv_mesh_message_t *msg)
{
    rv_lines_write_all(&clients, NULL, msg->data, msg->length);
}

/* --- /who ---------------------------------------------------------------------------------- */

/* This worker's clients in one line, as many as there is room for; its length. */
static size_t
list_clients(char line[WHO_BYTES])
{
    const rv_lines_t *client = clients.first;
    int n = snprintf(line, NAME, "* worker %u, %u here:", worker, clients.count);

    for (; client != NULL && n < WHO_BYTES - 2 * NAME; client = client->next)
        n += snprintf(line + n, NAME, " guest-%u-%u", worker, client->number);
    n += snprintf(line + n, NAME, client == NULL ? "\n" : " ...\n");
    return (size_t) n;
}

/* In each of the other workers. */
static void
on_who(const rv_mesh_message_t *msg)
{
    char line[WHO_BYTES];

    (void) rv_mesh_reply(msg, line, list_clients(line), -1);
}

/* Once for each worker that was asked: it has answered, or WHO_MSEC are over, or it has died.
 * The client may have gone meanwhile. */
static void
on_answer(int result, const rv_mesh_message_t *answer, void *number)
{
    rv_lines_t *client = rv_lines_find(&clients, (unsigned) (uintptr_t) number);

    if (client == NULL)
        return;
    if (result == RV_OK)
        rv_lines_write(client, answer->data, answer->length);
    else
        rv_lines_printf(client, "* worker %u has not answered\n", answer->from.worker);
}

static void
ask_who(rv_lines_t *client)
{
    void *number = (void *) (uintptr_t) client->number;
    char line[WHO_BYTES];
    rv_process_id_t other;
    unsigned slot = 0;

    rv_lines_write(client, line, list_clients(line));
    while (rv_mesh_next(&slot, &other) == RV_OK) {
        if (rv_mesh_call(&other, who_type, NULL, 0, WHO_MSEC, on_answer, number) != RV_OK)
            rv_lines_printf(client, "* worker %u cannot be asked\n", other.worker);
    }
}

/* --- the service ------------------------------------------------------------------------------ */

static void
on_text(rv_lines_t *client, char *text, size_t length)
{
    if (text == NULL) {
        rv_lines_printf(client, "* that line is too long, and was not said\n");
    } else if (strcmp(text, "/who") == 0) {
        ask_who(client);
    } else if (length > 0) {
        rv_harmless(text, length); /* to the terminals of others */
        say(client, ": ", text);
    }
}

static void
chat_open(rv_connection_t *c)
{
    rv_lines_t *client = rv_lines_begin(c, &clients);

    if (client == NULL)
        return;
    rv_lines_printf(client, "* you are guest-%u-%u; there is /who\n", worker, client->number);
    say(client, " has joined", "");
}

static void
chat_drain(rv_connection_t *c)
{
    rv_lines_printf(c->data, "* this worker finishes, please connect again\n");
    rv_lines_end(c->data);
}

static void
chat_close(rv_connection_t *c)
{
    rv_lines_t *client = c->data;

    if (client == NULL) /* it was not begun */
        return;
    say(client, " has left", client->cut ? ", cut off: it read too slowly" : "");
    rv_lines_free(client);
}

static const rv_service_t service = {
    .name = "chat",
    .open = chat_open,
    .ready = rv_lines_ready,
    .drain = chat_drain,
    .close = chat_close,
};

/* --- messages, and hooks --------------------------------------------------------------- */

static const rv_mesh_type_t messages[] = {
    { .name = "line", .flags = RV_MESH_NO_DESCRIPTOR, .receive = on_line },
    { .name = "who", .flags = RV_MESH_NO_DESCRIPTOR, .receive = on_who },
    { .name = NULL },
};

static int
configure(rv_cycle_t *cycle, rv_conf_t *cf)
{
    const chat_conf_t *conf = rv_conf_get(cf, "chat", NULL);

    return rv_cycle_listen_at(cycle, cf, conf->listen, &service, conf);
}

static int
init_worker(rv_worker_t *w)
{
    const chat_conf_t *conf = rv_conf_get(w->cycle->conf, "chat", NULL);
    const struct timeval *timeout = rv_connections_timeout(w->connections, conf->idle_timeout);

    worker = w->number;
    clients = (rv_lines_all_t){ LONGEST, UNSENT, timeout, .line = on_text };
    line_type = rv_mesh_find("chat", "line");
    who_type = rv_mesh_find("chat", "who");
    return timeout == NULL ? RV_ERROR : RV_OK;
}

const rv_module_t rv_chat_module = {
    .name = "chat",
    .sections = sections,
    .messages = messages,
    .configure = configure,
    .init_worker = init_worker,
};
