/*
 * rv_listener: listening sockets, and how they pass from one generation to the next.
 *
 * The master binds; workers inherit. The file of a unix socket belongs to the
 * youngest generation that has its address, which is why bound_path moves on
 * only when that generation is committed (rv_cycle does so).
 */
#include "rv_listener.h"

#include "rv_fd.h"
#include "rv_listener_group.h"
#include "rv_loop.h"
#include "rv_parse.h"

#include <errno.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#if RV_HAVE_REUSEPORT
enum { REUSEPORT = SO_REUSEPORT };
#else
enum { REUSEPORT = 0 }; /* the option is not in the table */
#endif

/* --- the directive --------------------------------------------------------------- */

static RV_UNUSED int
set_reuseport(rv_listener_t *ls, const char *value)
{
    (void) value;
    ls->reuseport = 1;
    return ls->addr.sockaddr.sa.sa_family == AF_UNIX ? RV_ERROR : RV_OK;
}

static int
set_backlog(rv_listener_t *ls, const char *value)
{
    uint64_t n;

    if (rv_parse_uint(value, &n) != RV_OK || n == 0 || n > 1000000)
        return RV_ERROR;
    ls->backlog = (int) n;
    return RV_OK;
}

static int
set_mode(rv_listener_t *ls, const char *value)
{
    if (ls->addr.sockaddr.sa.sa_family != AF_UNIX || value[0] == '\0' || strlen(value) > 4
        || value[strspn(value, "01234567")] != '\0')
        return RV_ERROR;
    ls->mode = (unsigned) strtoul(value, NULL, 8);
    return ls->mode > 0777 ? RV_ERROR : RV_OK;
}

static int
set_ipv6only(rv_listener_t *ls, const char *value)
{
    if (ls->addr.sockaddr.sa.sa_family != AF_INET6)
        return RV_ERROR;
    return rv_parse_flag(value, &ls->ipv6only);
}

static const struct {
    const char *name;
    int (*set)(rv_listener_t *ls, const char *value);
} options[] = {
#if RV_HAVE_REUSEPORT
    { "reuseport", set_reuseport },
#endif
    { "backlog=", set_backlog },
    { "mode=", set_mode },
    { "ipv6only=", set_ipv6only },
};

static int
set_option(rv_listener_t *ls, const char *word, char *error)
{
    for (size_t i = 0; i < rv_countof(options); i++) {
        size_t length = strlen(options[i].name);
        int takes_value = options[i].name[length - 1] == '=';

        if (takes_value ? strncmp(word, options[i].name, length) != 0
                        : strcmp(word, options[i].name) != 0)
            continue;
        if (options[i].set(ls, word + length) == RV_OK)
            return RV_OK;

        snprintf(error, RV_LISTENER_ERROR, "invalid option \"%s\" for this address", word);
        return RV_ERROR;
    }
    snprintf(error, RV_LISTENER_ERROR, "unknown option \"%s\"", word);
    return RV_ERROR;
}

int
rv_listener_parse(
    rv_listener_t *ls, char *const *words, size_t count, char error[RV_LISTENER_ERROR])
{
    const char *why;

    *ls = (rv_listener_t){ .backlog = RV_LISTENER_BACKLOG, .mode = 0666, .ipv6only = 1 };
    if (count == 0 || rv_addr_parse(words[0], &ls->addr, &why) != RV_OK) {
        snprintf(error, RV_LISTENER_ERROR, "%s", count == 0 ? "no address" : why);
        return RV_ERROR;
    }
    for (size_t i = 1; i < count; i++) {
        if (set_option(ls, words[i], error) != RV_OK)
            return RV_ERROR;
    }
    return RV_OK;
}

/* --- opening ---------------------------------------------------------------------- */

/* Whether somebody answers at a unix socket's path. */
static int
is_live(const rv_addr_t *addr)
{
    int fd = rv_fd_socket(AF_UNIX, SOCK_STREAM);

    if (fd == -1)
        return 1;
    int live = connect(fd, &addr->sockaddr.sa, addr->length) == 0
        || (errno != ECONNREFUSED && errno != ENOENT);
    rv_fd_close(&fd);
    return live;
}

/* Removes a socket that nobody listens at any more. */
static void
remove_stale(const rv_addr_t *addr)
{
    struct stat st;

    if (lstat(addr->sockaddr.un.sun_path, &st) == 0 && S_ISSOCK(st.st_mode) && !is_live(addr))
        (void) unlink(addr->sockaddr.un.sun_path);
}

static int
fail(const rv_listener_t *ls, const char *call, char *error)
{
    char text[RV_ADDR_TEXT];
    int err = errno;

    snprintf(error, RV_LISTENER_ERROR, "%s to \"%s\" failed (%d: %s)", call,
        rv_addr_format(&ls->addr, text), err, strerror(err));
    return RV_ERROR;
}

static int
set_socket_options(const rv_listener_t *ls, int fd)
{
    int on = 1;
    int family = ls->addr.sockaddr.sa.sa_family;

    if (family == AF_UNIX)
        return RV_OK;

    if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) == -1
        || setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on)) == -1) /* inherited */
        return RV_ERROR;

    if (family == AF_INET6
        && setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &ls->ipv6only, sizeof(int)) == -1)
        return RV_ERROR;

    if (ls->reuseport && setsockopt(fd, SOL_SOCKET, REUSEPORT, &on, sizeof(on)) == -1)
        return RV_ERROR;

    return RV_OK;
}

/* It listens at once: what is bound and does not would be taken for stale by
 * another daemon. Nobody can connect before it has its mode. */
static int
bind_unix(rv_listener_t *ls, int fd, char *error)
{
    remove_stale(&ls->addr);

    mode_t before = umask(~(mode_t) ls->mode & 0777);
    int result = bind(fd, &ls->addr.sockaddr.sa, ls->addr.length);
    int err = errno;
    umask(before);
    errno = err;
    if (result == -1)
        return fail(ls, "bind()", error);

    ls->bound_path = 1;
    if (listen(fd, ls->backlog) == -1)
        return fail(ls, "listen()", error);
    return RV_OK;
}

static int
bind_new(rv_listener_t *ls, int fd, char *error)
{
    if (set_socket_options(ls, fd) != RV_OK)
        return fail(ls, "setsockopt()", error);

    if (ls->addr.sockaddr.sa.sa_family == AF_UNIX)
        return bind_unix(ls, fd, error);

    if (bind(fd, &ls->addr.sockaddr.sa, ls->addr.length) == -1)
        return fail(ls, "bind()", error);
    return RV_OK;
}

int
rv_listener_push(rv_listener_t *ls, int fd)
{
    int *fds = realloc(ls->fds, (ls->count + 1) * sizeof(int));

    if (fds == NULL) {
        rv_fd_close(&fd);
        return RV_ERROR;
    }
    ls->fds = fds;
    fds[ls->count++] = fd;
    return RV_OK;
}

/* A duplicate of the old one's. To be joined by others at its address, it must
 * share it. */
static int
open_duplicate(rv_listener_t *ls, const rv_listener_t *old, char *error)
{
    int fd = rv_fd_dup(old->fds[ls->count]), on = 1;

    if (fd == -1)
        return fail(ls, "dup()", error);
    if (rv_listener_push(ls, fd) != RV_OK)
        return fail(ls, "malloc()", error);
    ls->kept = ls->count;

    if (!ls->reuseport || old->reuseport || old->count > 1)
        return RV_OK;
    if (setsockopt(fd, SOL_SOCKET, REUSEPORT, &on, sizeof(on)) == -1)
        return fail(ls, "setsockopt()", error);
    ls->lent_reuseport = 1;
    return RV_OK;
}

int
rv_listener_bind_more(rv_listener_t *ls, char error[RV_LISTENER_ERROR])
{
    int fd = rv_fd_socket(ls->addr.sockaddr.sa.sa_family, SOCK_STREAM);

    if (fd == -1)
        return fail(ls, "socket()", error);
    if (bind_new(ls, fd, error) != RV_OK) {
        rv_fd_close(&fd);
        return RV_ERROR;
    }
    return rv_listener_push(ls, fd) == RV_OK ? RV_OK : fail(ls, "malloc()", error);
}

/* Only [::] has a choice: of any other address the kernel says "on". */
static int
ipv6only_differs(const rv_listener_t *ls, const rv_listener_t *old)
{
    return ls->addr.sockaddr.sa.sa_family == AF_INET6
        && IN6_IS_ADDR_UNSPECIFIED(&ls->addr.sockaddr.in6.sin6_addr)
        && old->ipv6only != ls->ipv6only;
}

int
rv_listener_open(
    rv_listener_t *ls, unsigned workers, const rv_listener_t *old, char error[RV_LISTENER_ERROR])
{
    unsigned shared = old == NULL ? 0 : old->count;

    if (old != NULL && ipv6only_differs(ls, old)) {
        snprintf(error, RV_LISTENER_ERROR, "\"ipv6only\" of a bound address cannot be changed");
        return RV_ERROR;
    }
    ls->fds = NULL;
    ls->count = ls->kept = 0;
    ls->bound_path = ls->lent_reuseport = ls->held = 0;
    ls->active = ls->reuseport ? workers : 1;
    ls->before = old == NULL ? 0 : old->active;
    ls->limited = old == NULL ? 0 : old->limited;
    ls->since = old == NULL ? 0 : old->since;

    while (ls->count < rv_max(ls->active, shared)) {
        if ((ls->count < shared ? open_duplicate(ls, old, error) : rv_listener_bind_more(ls, error))
            != RV_OK)
            goto failed;
    }
    return RV_OK;

failed:
    rv_listener_close(ls, 1);
    return RV_ERROR;
}

int
rv_listener_listen_at(rv_listener_t *ls, unsigned i, char error[RV_LISTENER_ERROR])
{
    return listen(ls->fds[i], ls->backlog) == 0 ? RV_OK : fail(ls, "listen()", error);
}

/* What is new gets no client before the commit. A first socket that has been
 * alone so far is a group only when the second one has joined it. */
static void
hold_back(rv_listener_t *ls)
{
    if (!ls->held && ls->before > 0)
        ls->held = rv_listener_group_limit(ls->fds[0], ls->before) == RV_OK;
}

int
rv_listener_listen(rv_listener_t *ls, char error[RV_LISTENER_ERROR])
{
    for (unsigned i = ls->kept; i < ls->count; i++) {
        hold_back(ls);
        if (rv_listener_listen_at(ls, i, error) != RV_OK)
            return RV_ERROR;
        hold_back(ls);
    }
    return RV_OK;
}

void
rv_listener_choose(rv_listener_t *ls)
{
    ls->limited = 0;
    if (ls->count > ls->active)
        ls->limited = rv_listener_group_limit(ls->fds[0], ls->active) == RV_OK;
    else if (ls->reuseport)
        rv_listener_group_free(ls->fds[0], ls->count);
}

static void
commit_group(rv_listener_t *ls)
{
    if (ls->active < ls->before)
        ls->since = rv_loop_now();
    ls->held = 0;
    rv_listener_choose(ls);
}

int
rv_listener_commit(rv_listener_t *ls, rv_listener_t *old, char error[RV_LISTENER_ERROR])
{
    int is_unix = ls->addr.sockaddr.sa.sa_family == AF_UNIX;

    ls->lent_reuseport = 0;
    if (old == NULL)
        return RV_OK;

    commit_group(ls);
    ls->bound_path |= old->bound_path;
    old->bound_path = 0;
    if (is_unix && ls->mode != old->mode && chmod(ls->addr.sockaddr.un.sun_path, ls->mode) == -1)
        return fail(ls, "chmod()", error);

    for (unsigned i = 0; ls->backlog != old->backlog && i < ls->kept; i++) {
        if (rv_listener_listen_at(ls, i, error) != RV_OK)
            return RV_ERROR;
    }
    return RV_OK;
}

/* The sockets that were there before are as they were. */
static void
give_back(rv_listener_t *ls)
{
    int off = 0;

    if (ls->lent_reuseport)
        (void) setsockopt(ls->fds[0], SOL_SOCKET, REUSEPORT, &off, sizeof(off));
    if (ls->held && !ls->limited)
        rv_listener_group_free(ls->fds[0], ls->before);
    ls->lent_reuseport = ls->held = 0;
}

void
rv_listener_close(rv_listener_t *ls, int remove)
{
    while (ls->count > 0) {
        if (remove && ls->count == ls->kept)
            give_back(ls);
        rv_fd_close(&ls->fds[--ls->count]);
    }
    if (remove && ls->bound_path)
        (void) unlink(ls->addr.sockaddr.un.sun_path);

    free(ls->fds);
    ls->fds = NULL;
    ls->bound_path = ls->lent_reuseport = ls->held = 0;
}

void
rv_listener_keep(rv_listener_t *ls, unsigned worker)
{
    unsigned left = 0;

    for (unsigned i = 0; i < ls->count; i++) {
        if (ls->reuseport && i != worker && i < ls->active)
            rv_fd_close(&ls->fds[i]);
        else
            ls->fds[left++] = ls->fds[i];
    }
    ls->count = left;
}

int
rv_listener_pop(rv_listener_t *ls)
{
    return ls->count == 0 ? -1 : ls->fds[--ls->count];
}
