/*
 * module_hostile: what somebody would do who has taken over a worker.
 *
 * A module of the test program alone. "GET /do/NAME" of a location with
 * "handler = hostile" does the deed of that name; the answer is "PID passed", or
 * "PID failed N" with errno. A deed that the sandbox does not allow has
 * no answer, and some never end.
 */
#include "rv_channel_record.h"
#include "rv_control.h"
#include "rv_fd.h"
#include "rv_http_parse.h"
#include "rv_http_reply.h"
#include "rv_http_request.h"
#include "rv_worker.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

/* --- against the sandbox ------------------------------------------------------------- */

static int
do_execve(rv_http_request_t *r)
{
    char name[] = "true", *const argv[] = { name, NULL }, *const none[] = { NULL };
    pid_t pid = fork();
    int status = -1;

    (void) r;
    if (pid == 0) {
        execve("/bin/true", argv, none);
        _exit(1);
    }
    return pid != -1 && waitpid(pid, &status, 0) == pid && status == 0 ? 0 : -1;
}

/* Not after fork, which kills too; where this passes there is no such program. */
static int
do_exec(rv_http_request_t *r)
{
    char *const none[] = { NULL };

    (void) r;
    return execve("/no/such/program", none, none) == -1 && errno != ENOENT ? -1 : 0;
}

static int
do_ptrace(rv_http_request_t *r)
{
    (void) r;
    return ptrace(PTRACE_ATTACH, 0, NULL, NULL) == -1 && errno != ESRCH ? -1 : 0;
}

static int
do_write(rv_http_request_t *r)
{
    int fd = open("/dev/null", O_WRONLY | O_CLOEXEC);

    (void) r;
    return fd == -1 ? -1 : close(fd);
}

static int
do_read(rv_http_request_t *r)
{
    int fd = open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    (void) r;
    return fd == -1 ? -1 : close(fd);
}

static int
do_netlink(rv_http_request_t *r)
{
    int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, 0);

    (void) r;
    return fd == -1 ? -1 : close(fd);
}

static int
do_abort(rv_http_request_t *r)
{
    (void) r;
    abort();
}

/* --- against the master ---------------------------------------------------------------- */

/* A message's head, to be written wrongly. */
typedef rv_channel_head_t head_t;

enum { MOST = 253, LONGEST = 3 * RV_CHANNEL_DATA };

static int
own_end(void)
{
    return rv_channel_fd(rv_process_self()->channel[1]);
}

/* Sends these bytes and so many copies of a descriptor, and waits as long as there is
 * no room. */
static int
send_raw(const void *bytes, size_t length, int fd, unsigned copies)
{
    char control[CMSG_SPACE(sizeof(int) * MOST)] __attribute__((aligned(8))) = { 0 };
    struct iovec iov = { .iov_base = (void *) (uintptr_t) bytes, .iov_len = length };
    struct msghdr m = { .msg_iov = &iov, .msg_iovlen = 1 };
    ssize_t n;

    if (copies > 0) {
        m.msg_control = control;
        m.msg_controllen = CMSG_SPACE(sizeof(int) * copies);
        struct cmsghdr *cmsg = CMSG_FIRSTHDR(&m);
        cmsg->cmsg_level = SOL_SOCKET;
        cmsg->cmsg_type = SCM_RIGHTS;
        cmsg->cmsg_len = CMSG_LEN(sizeof(int) * copies);
        for (unsigned i = 0; i < copies; i++)
            memcpy(CMSG_DATA(cmsg) + i * sizeof(int), &fd, sizeof(int));
    }
    do {
        n = sendmsg(own_end(), &m, MSG_NOSIGNAL);
        if (n == -1 && errno != EAGAIN && errno != ETOOMANYREFS)
            return -1;
        if (n == -1) {
            (void) poll(&(struct pollfd){ own_end(), POLLOUT, 0 }, 1, -1);
            continue;
        }
        iov.iov_base = (char *) iov.iov_base + n; /* a stream may take a part */
        iov.iov_len -= (size_t) n;
        m.msg_controllen = 0;
    } while (iov.iov_len > 0);
    return 0;
}

/* With a head alone; on a stream every message has the length of the longest. */
static int
send_head(const head_t *h, int fd, unsigned copies)
{
    static char record[sizeof(*h) + RV_CHANNEL_DATA];

    memcpy(record, h, sizeof(*h));
    return send_raw(
        record, rv_channel_transport(0)->whole_records ? sizeof(record) : sizeof(*h), fd, copies);
}

static head_t
genuine(void)
{
    const rv_process_t *self = rv_process_self();
    const rv_message_t msg = {
        .type = RV_CONTROL_READY, .slot = self->slot, .generation = self->generation, .fd = -1
    };

    return rv_channel_record_head(&msg);
}

/* Bytes of all lengths: up to where headers end, and around the longest message. */
static int
do_garbage(rv_http_request_t *r)
{
    static char bytes[LONGEST];
    static const size_t lengths[] = { RV_CHANNEL_DATA - 1, RV_CHANNEL_DATA,
        RV_CHANNEL_DATA + sizeof(head_t), RV_CHANNEL_DATA + sizeof(head_t) + 1, LONGEST };
    uint32_t seed = 1;
    int result = 0;

    (void) r;
    for (size_t i = 0; i < sizeof(bytes); i++) {
        seed = seed * 1664525u + 1013904223u;
        bytes[i] = (char) (seed >> 24);
    }
    for (size_t n = 0; n < 256 && result == 0; n++)
        result = send_raw(bytes + n, n, -1, 0);
    for (size_t i = 0; i < rv_countof(lengths) && result == 0; i++)
        result = send_raw(bytes, lengths[i], -1, 0);
    return result;
}

/* Well formed, and not this worker's to send. */
static int
do_foreign(rv_http_request_t *r)
{
    static const uint32_t slots[] = { 0, 1, 2, RV_PROCESS_SLOTS - 1, RV_PROCESS_SLOTS,
        RV_PROCESS_MASTER, RV_PROCESS_MASTER - 1 };
    int result = 0;

    (void) r;
    for (uint32_t type = 0; type < 80 && result == 0; type++) {
        for (size_t i = 0; i < rv_countof(slots) && result == 0; i++) {
            head_t h = genuine();

            h.type = type;
            h.slot = slots[i];
            h.generation += (uint32_t) (i % 3) - 1;
            result = send_head(&h, -1, 0);
        }
    }
    return result;
}

static int
do_ready(rv_http_request_t *r)
{
    const head_t h = genuine();
    int result = 0;

    (void) r;
    for (int i = 0; i < 3 && result == 0; i++)
        result = send_head(&h, -1, 0);
    return result;
}

/* With garbage, with messages that are right but for them and tell of them or not, and very many. */
static int
do_descriptors(rv_http_request_t *r)
{
    static const unsigned copies[] = { 1, 2, 4, 5, 100, MOST };
    head_t h = genuine();
    int null = open("/dev/null", O_RDONLY | O_CLOEXEC), result = null == -1 ? -1 : 0;

    (void) r;
    for (size_t i = 0; i < 5 * rv_countof(copies) && result == 0; i++) {
        h.fd_count = (uint16_t) (i % 2 == 0 ? 0 : copies[i % rv_countof(copies)]);
        result = send_head(&h, null, copies[i % rv_countof(copies)]);
        if (result == 0)
            result = send_raw("x", 1, null, copies[i % rv_countof(copies)]);
    }
    rv_fd_close(&null);
    return result;
}

/* A client's connection, full of what the client does not read, with the wish
 * that whoever closes it waits for that. The master has the last descriptor of it. */
static int
do_linger(rv_http_request_t *r)
{
    const struct linger wish = { 1, 1000 };
    static char bytes[65536];
    int fd = r->connection->fd;

    while (send(fd, bytes, sizeof(bytes), MSG_NOSIGNAL | MSG_DONTWAIT) > 0)
        continue;
    if (setsockopt(fd, SOL_SOCKET, SO_LINGER, &wish, sizeof(wish)) == -1)
        return -1;
    if (send_raw("x", 1, fd, 1) == -1 || send_raw("x", 1, fd, MOST) == -1)
        return -1;
    raise(SIGKILL);
    return 0;
}

static int
do_flood(rv_http_request_t *r)
{
    const head_t none = { .magic = 0 };

    (void) r;
    while (send_head(&none, -1, 0) == 0)
        continue;
    return -1;
}

static int
do_flood_ready(rv_http_request_t *r)
{
    const head_t h = genuine();

    (void) r;
    while (send_head(&h, -1, 0) == 0)
        continue;
    return -1;
}

/* Right in all respects, but for that nobody has asked. */
static int
do_flood_reopened(rv_http_request_t *r)
{
    static char record[sizeof(head_t) + RV_CHANNEL_DATA];
    const rv_control_log_t log = { 0, 0 };
    head_t h = genuine();
    size_t length = sizeof(h) + sizeof(log);

    (void) r;
    h.type = RV_CONTROL_REOPENED;
    h.length = sizeof(log);
    memcpy(record, &h, sizeof(h));
    memcpy(record + sizeof(h), &log, sizeof(log));
    if (rv_channel_transport(0)->whole_records)
        length = sizeof(record);
    while (send_raw(record, length, -1, 0) == 0)
        continue;
    return -1;
}

static int
do_deaf(rv_http_request_t *r)
{
    (void) r;
    while (poll(NULL, 0, -1) <= 0)
        continue;
    return -1;
}

static int
do_close(rv_http_request_t *r)
{
    (void) close(own_end());
    return do_deaf(r);
}

/* The master has the same open sockets for its ends: what is set here is set there. */
static int
do_options(rv_http_request_t *r)
{
    enum { PASSPIDFD = 76, PASSSEC = 34 };
    const int on = 1;
    int result = 0;

    (void) r;
    for (const rv_process_t *p = rv_process_each(NULL); p != NULL; p = rv_process_each(p)) {
        int fd = rv_channel_fd(p->channel[p == rv_process_self()]);

        result |= fcntl(fd, F_SETFL, 0);
        (void) setsockopt(fd, SOL_SOCKET, PASSPIDFD, &on, sizeof(on)); /* not in every kernel */
        (void) setsockopt(fd, SOL_SOCKET, PASSSEC, &on, sizeof(on));
    }
    return result;
}

/* --- the handler ------------------------------------------------------------------------- */

static const struct {
    const char *name;
    int (*deed)(rv_http_request_t *r); /* -1 and errno */
} deeds[] = {
    { "execve", do_execve },
    { "exec", do_exec },
    { "ptrace", do_ptrace },
    { "write", do_write },
    { "read", do_read },
    { "netlink", do_netlink },
    { "abort", do_abort },
    { "garbage", do_garbage },
    { "foreign", do_foreign },
    { "ready", do_ready },
    { "descriptors", do_descriptors },
    { "linger", do_linger },
    { "flood", do_flood },
    { "flood-ready", do_flood_ready },
    { "flood-reopened", do_flood_reopened },
    { "deaf", do_deaf },
    { "close", do_close },
    { "options", do_options },
};

static void
answer(rv_http_request_t *r, const rv_http_location_t *location)
{
    const char *name = strrchr(r->parser.path, '/') + 1;
    char text[64];
    int n = -1;

    (void) location;
    for (size_t i = 0; i < rv_countof(deeds); i++) {
        if (strcmp(deeds[i].name, name) != 0)
            continue;
        n = deeds[i].deed(r) == 0
            ? snprintf(text, sizeof(text), "%ld passed", (long) getpid())
            : snprintf(text, sizeof(text), "%ld failed %d", (long) getpid(), errno);
    }
    if (n == -1)
        rv_http_reply_status(r, 404, NULL);
    else
        rv_http_reply(r, 200, "text/plain", text, (size_t) n, NULL);
}

static const rv_http_handler_t handler = {
    .name = "hostile", .methods = RV_HTTP_GET, .answer = answer
};

extern const rv_module_t rv_hostile_module;

const rv_module_t rv_hostile_module = { .name = "hostile", .http_handler = &handler };
