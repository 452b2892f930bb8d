/*
 * rv_connection_pass: a client's connection goes to another worker.
 *
 * The message has the descriptor, what the connection object knew, and the bytes that were
 * read. It never waits in this process: a client is to be served by somebody, not to stand
 * in a queue. It is counted nowhere from just before it is sent until it has arrived: at no
 * moment in two rows. Yet a reader that sums row by row, while it goes, may see it in both.
 *
 * Both workers have the same program and configuration, so the listener's number says which
 * service it is, and the structure is sent as it is. The globals: whose the connections
 * that come are.
 */
#include "rv_connection_pass.h"

#include "rv_activity.h"
#include "rv_fd.h"
#include "rv_log.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

typedef struct {
    int64_t opened; /* as in rv_connection_t */
    int64_t began;  /* as in rv_connection_read_t, whose state and bytes follow */
    uint32_t listener;
    uint32_t requests;
    uint32_t peer_length;
    uint32_t state_length;
    uint8_t state;
    uint8_t fresh;
    uint8_t peer[sizeof(struct sockaddr_in6)];
} luggage_t;

typedef struct {
    const rv_service_t *service; /* NULL: there is no such listener */
    const void *conf;
} listener_t;

static struct {
    rv_connections_t *all;
    int type;
    listener_t *listener; /* by number */
    unsigned listeners;
} here;

/* --- what comes goes where ----------------------------------------------------------- */

int
rv_connection_pass_init(rv_connections_t *all)
{
    here.type = rv_mesh_find("connections", "pass");
    here.all = all;
    return here.type < 0 ? RV_ERROR : RV_OK;
}

int
rv_connection_pass_listener(unsigned number, const rv_service_t *service, const void *conf)
{
    if (number >= here.listeners) {
        listener_t *more = realloc(here.listener, (number + 1) * sizeof(*more));

        if (more == NULL)
            return RV_ERROR;
        memset(more + here.listeners, 0, (number + 1 - here.listeners) * sizeof(*more));
        here.listener = more;
        here.listeners = number + 1;
    }
    here.listener[number] = (listener_t){ service, conf };
    return RV_OK;
}

void
rv_connection_pass_finish(void)
{
    free(here.listener);
    memset(&here, 0, sizeof(here));
}

/* --- it goes ----------------------------------------------------------------------------- */

static void
pack_luggage(luggage_t *l, const rv_connection_t *c, const rv_connection_read_t *read)
{
    memset(l, 0, sizeof(*l));
    l->opened = c->opened;
    l->began = read->began;
    l->listener = c->listener;
    l->requests = c->requests;
    l->peer_length = c->peer_length;
    l->state_length = (uint32_t) read->state_length;
    l->state = c->state;
    l->fresh = c->fresh;
    memcpy(l->peer, &c->peer, c->peer_length);
}

static int
send_connection(
    const rv_connection_t *c, const rv_process_id_t *to, const rv_connection_read_t *read)
{
    size_t length = sizeof(luggage_t) + read->state_length + read->length;
    luggage_t luggage;

    pack_luggage(&luggage, c, read);
    if (length == sizeof(luggage))
        return rv_mesh_send(to, here.type, &luggage, length, c->fd);

    char *data = malloc(length), *p = data;
    if (data == NULL)
        return RV_ERROR;
    memcpy(p, &luggage, sizeof(luggage));
    p += sizeof(luggage);
    if (read->state_length > 0)
        memcpy(p, read->state, read->state_length);
    if (read->length > 0)
        memcpy(p + read->state_length, read->bytes, read->length);
    int result = rv_mesh_send(to, here.type, data, length, c->fd);
    free(data);
    return result;
}

int
rv_connection_pass(rv_connection_t *c, const rv_process_id_t *to)
{
    rv_connection_read_t read = { .bytes = NULL };

    errno = ESRCH;
    if (to->slot == RV_PROCESS_MASTER)
        return RV_ERROR;
    errno = EBUSY;
    if (!c->fresh
        && (c->service->pack == NULL || c->service->unpack == NULL
            || c->service->pack(c, &read) != RV_OK))
        return RV_ERROR;

    rv_connection_count(c, -1);
    int result = send_connection(c, to, &read);
    if (result == RV_OK)
        rv_connection_passed(c);
    else
        rv_connection_count(c, 1);
    return result;
}

/* --- it comes ------------------------------------------------------------------------------ */

/* What came is believed as far as it must be: a worker is nobody's to trust. */
static rv_connection_t *
take(const rv_mesh_message_t *msg, luggage_t *l)
{
    rv_acceptor_client_t client = { .fd = msg->fd };

    errno = EINVAL;
    if (here.all == NULL || msg->fd == -1 || msg->length < sizeof(*l))
        return NULL;
    memcpy(l, msg->data, sizeof(*l));
    if (l->listener >= here.listeners || here.listener[l->listener].service == NULL
        || l->state > RV_CONNECTION_WRITING || l->peer_length > sizeof(l->peer)
        || l->state_length > msg->length - sizeof(*l)
        || (!l->fresh && here.listener[l->listener].service->unpack == NULL))
        return NULL;

    client.listener = l->listener;
    client.service = here.listener[l->listener].service;
    client.conf = here.listener[l->listener].conf;
    client.length = (socklen_t) l->peer_length;
    memcpy(&client.peer, l->peer, l->peer_length);
    rv_connection_t *c = rv_connections_take(here.all, &client, l->state);
    if (c == NULL)
        return NULL;

    c->opened = l->opened;
    c->requests = l->requests;
    return c;
}

static void
receive(const rv_mesh_message_t *msg)
{
    luggage_t luggage;
    rv_connection_t *c = take(msg, &luggage);

    if (c == NULL) {
        int fd = msg->fd;

        rv_log(RV_LOG_ERROR, errno, "taking a connection from worker %u failed", msg->from.worker);
        rv_fd_discard(&fd);
        return;
    }
    const char *state = (const char *) msg->data + sizeof(luggage);
    const rv_connection_read_t read = { .state = state,
        .state_length = luggage.state_length,
        .bytes = state + luggage.state_length,
        .length = msg->length - sizeof(luggage) - luggage.state_length,
        .began = luggage.began };

    rv_activity_note(RV_ACTIVITY_SERVING, c->listener, 0);
    if (luggage.fresh)
        c->service->open(c);
    else
        c->service->unpack(c, &read);
    if (c->fd != -1 && rv_connections_draining(here.all)) /* the others were told so already */
        c->service->drain(c);
    rv_activity_note(RV_ACTIVITY_IDLE, 0, 0);
}

const rv_mesh_type_t rv_connection_pass_messages[] = {
    { .name = "pass", .policy = RV_CHANNEL_NOW, .receive = receive },
    { .name = NULL },
};
