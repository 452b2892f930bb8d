/*
 * load: clients that never pause, each a process of its own.
 *
 * A client writes into its own part of shared memory and nowhere else. It
 * exits when told to, between two requests.
 */
#include "load.h"

#include <arpa/inet.h>
#include <errno.h>
#include <inttypes.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { BATCH = 8, LIMIT = 30, ROOM = 4096, PATHS = 4 };

#define LONG_TEXT                                        \
    "three is a longer text that shows where bytes are " \
    "lost or come twice 0123456789012345678901234567890123456789"

static const struct {
    const char *path, *body;
} pages[PATHS] = {
    { "/one", "one" },
    { "/two", "two two" },
    { "/three", LONG_TEXT },
    { "/four", "4" },
};

#define PAGE(path, text) "[location " path "]\nhandler = return\nreturn = 200 " text "\n"

const char LOAD_PAGES[] = PAGE("/one", "one") PAGE("/two", "two two") PAGE("/three", LONG_TEXT)
    PAGE("/four", "4") "[location /stub_status]\nhandler = stub_status\n";

/* One connection of this client. */
typedef struct {
    int fd; /* -1: none */
    int port;
    int closing; /* the server has said so */
    double opened;
    size_t sent, received; /* of the connection, bytes */
    unsigned asked, answers;
    char in[ROOM];
    size_t filled;
} connection_t;

static load_t *all;
static load_client_t *self;
static connection_t c;

double
load_now(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (double) ts.tv_sec + (double) ts.tv_nsec / 1e9;
}

/* --- one connection ------------------------------------------------------------------ */

/*
 * Closes. Mostly without the wait that is TCP's custom, since tens of
 * thousands of connections in TIME_WAIT would slow down all that follows.
 */
static void
hang_up(void)
{
    const struct linger at_once = { 1, 0 };

    if (c.fd != -1 && c.closing && random() % 8 > 0)
        setsockopt(c.fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof(at_once));
    if (c.fd != -1)
        close(c.fd);
    if (c.fd != -1 && c.received == 0)
        self->unanswered++;
    c.fd = -1;
}

/* Notes what went wrong, and gives up the connection. */
static void __attribute__((format(printf, 2, 3))) note_failure(int err, const char *fmt, ...)
{
    static const char *const kinds[] = { "kept-alive", "connection-per-request", "pipelining",
        "status" };
    uint64_t n = self->failures;
    char why[128];
    va_list args;

    va_start(args, fmt);
    vsnprintf(why, sizeof(why), fmt, args);
    va_end(args);
    if (n < LOAD_FAILURES) {
        load_failure_t *f = &self->failure[n];

        snprintf(f->text, sizeof(f->text),
            "%s: %s; errno %d (%s); on this connection %zu bytes sent, %zu received, %u requests, "
            "%u answers",
            kinds[self->kind], why, err, err == 0 ? "none" : strerror(err), c.sent, c.received,
            c.asked, c.answers);
        f->port = c.port;
        f->opened = c.opened;
        f->failed = load_now();
    }
    self->failures = n + 1;
    hang_up();
}

static int
new_socket(void)
{
    const struct timeval limit = { LIMIT, 0 };
    struct sockaddr_in from = { .sin_family = AF_INET };
    int on = 1, fd = socket(self->ipv6 ? AF_INET6 : AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    from.sin_addr.s_addr = htonl(self->address);
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit));
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof(on));
    if (!self->ipv6 && bind(fd, (struct sockaddr *) &from, sizeof(from)) == -1) {
        perror("bind");
        _exit(1);
    }
    return fd;
}

static int
connect_to_server(int fd)
{
    struct sockaddr_in to = { .sin_family = AF_INET, .sin_port = htons((uint16_t) all->port) };
    struct sockaddr_in6 to6 = { .sin6_family = AF_INET6, .sin6_port = to.sin_port };

    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    to6.sin6_addr = in6addr_loopback;
    return self->ipv6 ? connect(fd, (struct sockaddr *) &to6, sizeof(to6))
                      : connect(fd, (struct sockaddr *) &to, sizeof(to));
}

static void
open_connection(void)
{
    struct sockaddr_in6 from; /* the port of IPv4 is in the same place */
    socklen_t length = sizeof(from);

    memset(&c, 0, sizeof(c));
    c.fd = new_socket();
    c.opened = load_now();
    if (connect_to_server(c.fd) == -1) {
        int err = errno;

        close(c.fd);
        c.fd = -1;
        if (err != EADDRNOTAVAIL) /* all ports are used up: no fault of the server */
            note_failure(err, "connect");
        return;
    }
    self->opened++;
    getsockname(c.fd, (struct sockaddr *) &from, &length);
    c.port = ntohs(from.sin6_port);
}

static int
send_all(const char *bytes, size_t length)
{
    while (length > 0) {
        ssize_t n = send(c.fd, bytes, length, MSG_NOSIGNAL);

        if (n == -1) {
            note_failure(errno, "send");
            return 0;
        }
        c.sent += (size_t) n;
        bytes += n;
        length -= (size_t) n;
    }
    return 1;
}

/* Sends these requests, now and then in two pieces. */
static int
ask(const char *requests, unsigned count)
{
    size_t length = strlen(requests);
    size_t piece = random() % 4 == 0 ? 1 + (size_t) random() % (length - 1) : length;

    c.asked += count;
    self->sent += count;
    return send_all(requests, piece) && send_all(requests + piece, length - piece);
}

/* Takes more bytes; 0: failed. */
static int
receive(void)
{
    if (c.filled >= ROOM - 1) {
        note_failure(0, "an answer without an end");
        return 0;
    }
    ssize_t n = recv(c.fd, c.in + c.filled, ROOM - 1 - c.filled, 0);
    if (n <= 0) {
        note_failure(n == 0 ? 0 : errno, n == 0 ? "closed without a word" : "recv");
        return 0;
    }
    c.received += (size_t) n;
    c.filled += (size_t) n;
    c.in[c.filled] = '\0';
    return 1;
}

/* Reads one answer, which must be 200 and, unless NULL, have this body, and
 * leaves it at the beginning of c.in. Its length, 0: failed. */
static size_t
read_answer(const char *body)
{
    const char *end, *at;

    while ((end = strstr(c.in, "\r\n\r\n")) == NULL) {
        if (!receive())
            return 0;
    }
    end += 4;
    at = strstr(c.in, "\r\nContent-Length: ");
    size_t length = at == NULL || at > end ? 0 : strtoul(at + 18, NULL, 10);
    while (c.filled < (size_t) (end - c.in) + length) {
        if (!receive())
            return 0;
    }
    at = strstr(c.in, "\r\nConnection: close\r\n");
    c.closing = at != NULL && at < end;

    if (strncmp(c.in, "HTTP/1.1 200 ", 13) != 0
        || (body != NULL && (strlen(body) != length || memcmp(end, body, length) != 0))) {
        self->wrong++;
        note_failure(0, "a wrong answer \"%.40s\", body \"%.20s\"", c.in, end);
        return 0;
    }
    c.answers++;
    self->answered++;
    return (size_t) (end - c.in) + length;
}

static void
drop_answer(size_t length)
{
    c.filled -= length;
    memmove(c.in, c.in + length, c.filled + 1);
}

/* After "Connection: close": there must be nothing more, and no reset. */
static void
expect_end(void)
{
    ssize_t n = 0;

    if (c.filled == 0)
        n = recv(c.fd, c.in, ROOM - 1, 0);
    if (c.filled > 0 || n > 0)
        note_failure(0, "bytes after an answer that said close");
    else if (n == -1)
        note_failure(errno, "the end of a connection that was to be closed");
    hang_up();
}

/* --- the kinds of clients ------------------------------------------------------------- */

static void
add_request(char *text, unsigned page, int close_after)
{
    sprintf(text + strlen(text), "GET %s HTTP/1.1\r\nHost: reeve\r\n%s\r\n", pages[page].path,
        close_after ? "Connection: close\r\n" : "");
}

/* Asks for so many pages at once, and takes as many as the server is willing to give. */
static void
ask_for_pages(unsigned count, int close_after)
{
    char text[2048] = "";
    unsigned page[BATCH];

    for (unsigned i = 0; i < count; i++) {
        page[i] = (unsigned) random() % PATHS;
        add_request(text, page[i], close_after);
    }
    if (!ask(text, count))
        return;
    for (unsigned i = 0; i < count; i++) {
        size_t length = read_answer(pages[page[i]].body);

        if (length == 0)
            return;
        drop_answer(length);
        if (c.closing) {
            expect_end();
            return;
        }
    }
}

static void
ask_for_page(void)
{
    ask_for_pages(1, 0);
}

static void
ask_for_batch(void)
{
    ask_for_pages(BATCH, 0);
}

static void
ask_and_close(void)
{
    ask_for_pages(1, 1);
    if (c.fd != -1)
        note_failure(0, "not closed after a request that said close");
}

/* What a status must be by itself, and after the one before it. */
static const char *
judge(const daemon_status_t *s, const daemon_status_t *before)
{
    if (s->active != s->reading + s->writing + s->waiting)
        return "active is not reading + writing + waiting";
    if (s->accepts < s->handled)
        return "fewer accepted than handled";
    if (s->active > 100000)
        return "a gauge is negative";
    if (s->writing == 0)
        return "the status does not count its own request";
    if (s->accepts < before->accepts || s->handled < before->handled
        || s->requests < before->requests)
        return "a counter went down";
    return NULL;
}

static void
ask_for_status(void)
{
    static daemon_status_t before;
    daemon_status_t s;

    if (!ask("GET /stub_status HTTP/1.1\r\nHost: reeve\r\n\r\n", 1))
        return;
    size_t length = read_answer(NULL);
    if (length == 0)
        return;

    const char *body = strstr(c.in, "\r\n\r\n") + 4;
    int n = sscanf(body,
        "Active connections: %" SCNu64 " \n"
        "server accepts handled requests\n"
        " %" SCNu64 " %" SCNu64 " %" SCNu64 " \n"
        "Reading: %" SCNu64 " Writing: %" SCNu64 " Waiting: %" SCNu64 " \n",
        &s.active, &s.accepts, &s.handled, &s.requests, &s.reading, &s.writing, &s.waiting);
    const char *why = n != 7 ? "not a status" : judge(&s, &before);
    if (why != NULL) {
        self->wrong++;
        note_failure(0, "%s: %.90s", why, body);
        return;
    }
    before = s;
    drop_answer(length);
    if (c.closing)
        expect_end();
}

static void
run_client(void)
{
    static void (*const work[])(
        void) = { ask_for_page, ask_and_close, ask_for_batch, ask_for_status };

    srandom((unsigned) getpid());
    c.fd = -1;
    while (!all->stop) {
        if (c.fd == -1)
            open_connection();
        if (c.fd != -1)
            work[self->kind]();
    }
    hang_up();
}

/* --- all of them ------------------------------------------------------------------------- */

load_t *
load_create(daemon_t *d)
{
    load_t *load =
        mmap(NULL, sizeof(*load), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

    ck_assert_ptr_ne(load, MAP_FAILED);
    load->port = d->port;
    return load;
}

void
load_add(load_t *load, load_kind_t kind, int count)
{
    for (int i = 0; i < count; i++) {
        ck_assert_int_lt(load->count, LOAD_CLIENTS);
        load_client_t *client = &load->client[load->count++];

        client->kind = kind;
        client->ipv6 = load->ipv6;
        client->address = 0x7f000100u + (uint32_t) load->count;
        fflush(stdout);
        pid_t pid = fork(); /* not into what both share */
        ck_assert_int_ne(pid, -1);
        if (pid == 0) {
            prctl(PR_SET_PDEATHSIG, SIGKILL);
            all = load;
            self = client;
            run_client();
            _exit(0);
        }
        client->pid = pid;
    }
}

void
load_stop(daemon_t *d, load_t *load)
{
    load->stop = 1;
    for (int i = 0; i < load->count; i++)
        ck_assert_int_eq(daemon_wait_process(d, load->client[i].pid), 0);
}

typedef struct {
    load_t *load;
    uint64_t wanted[LOAD_CLIENTS];
} answers_t;

static int
has_answers(daemon_t *d, void *data)
{
    const answers_t *a = data;

    (void) d;
    for (int i = 0; i < a->load->count; i++) {
        if (a->load->client[i].answered < a->wanted[i])
            return 0;
    }
    return 1;
}

void
load_wait_answers(daemon_t *d, load_t *load, unsigned more)
{
    answers_t a = { .load = load };

    for (int i = 0; i < load->count; i++)
        a.wanted[i] = load->client[i].answered + more;
    daemon_wait(d, has_answers, &a, "every client gets answers");
}

load_sum_t
load_sum(const load_t *load)
{
    load_sum_t s = { 0 };

    for (int i = 0; i < load->count; i++) {
        const load_client_t *client = &load->client[i];

        s.opened += client->opened;
        s.unanswered += client->unanswered;
        s.sent += client->sent;
        s.answered += client->answered;
        s.failures += client->failures;
        s.wrong += client->wrong;
    }
    return s;
}

void
load_print(const load_t *load)
{
    for (int i = 0; i < load->count; i++) {
        const load_client_t *client = &load->client[i];

        for (uint64_t n = 0; n < client->failures && n < LOAD_FAILURES; n++) {
            const load_failure_t *f = &client->failure[n];
            printf("client %d, port %d, opened at %.4f, failed at %.4f: %s\n", i, f->port,
                f->opened, f->failed, f->text);
        }
    }
    fflush(stdout);
}
