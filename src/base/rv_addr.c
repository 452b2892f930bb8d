/*
 * rv_addr: socket addresses and networks as text.
 *
 * A text is cut in two, host and port, by its shape alone; inet_pton then
 * decides what is an address. What comes from the kernel (a peer's name) is
 * trusted less than what comes from the operator: the path of a unix socket
 * need not end in a NUL, may be abstract, and may hold bytes that would forge
 * a line of a log, so it is always handled with its length.
 *
 * The rule for networks: an IPv4 address mapped into IPv6 is an IPv4 address,
 * on both sides of a match. Without that, "deny 10.0.0.0/8" would be evaded by
 * whoever comes in over a dual-stack socket.
 */
#include "rv_addr.h"
#include "rv_parse.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>

#define UNIX_PREFIX "unix:"
#define UNIX_PREFIX_LENGTH (sizeof(UNIX_PREFIX) - 1)
#define UNIX_PATH_OFFSET offsetof(struct sockaddr_un, sun_path)
#define UNIX_PATH_SIZE sizeof(((struct sockaddr_un *) 0)->sun_path)

/* The part of an IPv6 address in front of a mapped IPv4 address. */
#define MAPPED_BYTES 12
#define MAPPED_BITS (8 * MAPPED_BYTES)

static const char error_address[] = "invalid address";
static const char error_brackets[] = "IPv6 address needs brackets";
static const char error_port[] = "invalid port";
static const char error_no_port[] = "no port";
static const char error_no_path[] = "no path";
static const char error_path[] = "control character in path";
static const char error_path_length[] = "path too long";

static int
is_control(char c)
{
    return (unsigned char) c < 0x20 || c == 0x7f;
}

/* inet_pton wants a whole string, and what is given is part of one. */
static int
host_to_address(int family, const char *host, size_t length, void *address)
{
    char text[INET6_ADDRSTRLEN];

    if (length >= sizeof(text))
        return RV_ERROR;

    memcpy(text, host, length);
    text[length] = '\0';
    return inet_pton(family, text, address) == 1 ? RV_OK : RV_ERROR;
}

static const char *
parse_port(const char *text, in_port_t *port)
{
    uint64_t n;

    if (*text == '\0')
        return error_no_port;

    if (rv_parse_uint(text, &n) != RV_OK || n < 1 || n > 65535)
        return error_port;

    *port = htons((uint16_t) n);
    return NULL;
}

static const char *
parse_unix(const char *path, rv_addr_t *addr)
{
    struct sockaddr_un *un = &addr->sockaddr.un;
    size_t length = strlen(path);

    if (length == 0)
        return error_no_path;

    if (length >= sizeof(un->sun_path))
        return error_path_length;

    for (size_t i = 0; i < length; i++) {
        if (is_control(path[i]))
            return error_path;
    }

    un->sun_family = AF_UNIX;
    memcpy(un->sun_path, path, length + 1);
    addr->length = (socklen_t) (UNIX_PATH_OFFSET + length + 1);
    return NULL;
}

/* From behind the opening bracket. */
static const char *
parse_inet6(const char *text, rv_addr_t *addr)
{
    struct sockaddr_in6 *in6 = &addr->sockaddr.in6;
    const char *end = strchr(text, ']');

    if (end == NULL)
        return error_address;

    in6->sin6_family = AF_INET6;
    addr->length = sizeof(*in6);

    if (host_to_address(AF_INET6, text, (size_t) (end - text), &in6->sin6_addr) != RV_OK)
        return error_address;

    if (end[1] != ':')
        return end[1] == '\0' ? error_no_port : error_address;

    return parse_port(end + 2, &in6->sin6_port);
}

static const char *
parse_inet(const char *text, rv_addr_t *addr)
{
    struct sockaddr_in *in = &addr->sockaddr.in;
    const char *colon = strchr(text, ':');

    in->sin_family = AF_INET;
    in->sin_addr.s_addr = htonl(INADDR_ANY);
    addr->length = sizeof(*in);

    if (colon == NULL) {
        struct in_addr host;

        return inet_pton(AF_INET, text, &host) == 1 ? error_no_port
                                                    : parse_port(text, &in->sin_port);
    }

    if (strchr(colon + 1, ':') != NULL)
        return error_brackets;

    size_t length = (size_t) (colon - text);
    int any = (length == 1 && text[0] == '*');

    if (!any && host_to_address(AF_INET, text, length, &in->sin_addr) != RV_OK)
        return error_address;

    return parse_port(colon + 1, &in->sin_port);
}

static const char *
parse_text(const char *text, rv_addr_t *addr)
{
    if (strncmp(text, UNIX_PREFIX, UNIX_PREFIX_LENGTH) == 0)
        return parse_unix(text + UNIX_PREFIX_LENGTH, addr);

    if (text[0] == '[')
        return parse_inet6(text + 1, addr);

    return parse_inet(text, addr);
}

int
rv_addr_parse(const char *text, rv_addr_t *addr, const char **error)
{
    rv_addr_t parsed;

    memset(&parsed, 0, sizeof(parsed));

    const char *failure = parse_text(text, &parsed);

    if (failure != NULL) {
        *error = failure;
        return RV_ERROR;
    }

    *addr = parsed;
    return RV_OK;
}

/* 0 for a socket without a name. The bytes of an abstract name all count, its
 * leading NUL included; a path ends at its NUL or where the kernel says. */
static size_t
unix_name_length(const rv_addr_t *addr)
{
    const char *path = addr->sockaddr.un.sun_path;

    if (addr->length <= UNIX_PATH_OFFSET)
        return 0;

    size_t length = rv_min(addr->length - UNIX_PATH_OFFSET, UNIX_PATH_SIZE);

    return path[0] == '\0' ? length : strnlen(path, length);
}

static void
format_unix(const rv_addr_t *addr, char *text)
{
    const char *name = addr->sockaddr.un.sun_path;
    size_t length = unix_name_length(addr);

    memcpy(text, UNIX_PREFIX, UNIX_PREFIX_LENGTH);
    text += UNIX_PREFIX_LENGTH;

    for (size_t i = 0; i < length; i++)
        text[i] = is_control(name[i]) ? '?' : name[i];

    if (length > 0 && name[0] == '\0')
        text[0] = '@';

    text[length] = '\0';
}

_Static_assert(RV_ADDR_TEXT > UNIX_PREFIX_LENGTH + UNIX_PATH_SIZE, "RV_ADDR_TEXT");
_Static_assert(RV_ADDR_TEXT > INET6_ADDRSTRLEN + sizeof("[]:65535"), "RV_ADDR_TEXT");

const char *
rv_addr_format(const rv_addr_t *addr, char text[RV_ADDR_TEXT])
{
    const rv_sockaddr_t *sockaddr = &addr->sockaddr;
    char host[INET6_ADDRSTRLEN];

    switch (sockaddr->sa.sa_family) {
    case AF_INET:
        inet_ntop(AF_INET, &sockaddr->in.sin_addr, host, sizeof(host));
        snprintf(text, RV_ADDR_TEXT, "%s:%u", host, (unsigned) ntohs(sockaddr->in.sin_port));
        break;
    case AF_INET6:
        inet_ntop(AF_INET6, &sockaddr->in6.sin6_addr, host, sizeof(host));
        snprintf(text, RV_ADDR_TEXT, "[%s]:%u", host, (unsigned) ntohs(sockaddr->in6.sin6_port));
        break;
    case AF_UNIX:
        format_unix(addr, text);
        break;
    default:
        snprintf(text, RV_ADDR_TEXT, "unknown");
        break;
    }

    return text;
}

static int
unix_equal(const rv_addr_t *a, const rv_addr_t *b)
{
    size_t length = unix_name_length(a);

    return length == unix_name_length(b)
        && memcmp(a->sockaddr.un.sun_path, b->sockaddr.un.sun_path, length) == 0;
}

int
rv_addr_equal(const rv_addr_t *a, const rv_addr_t *b)
{
    const rv_sockaddr_t *x = &a->sockaddr;
    const rv_sockaddr_t *y = &b->sockaddr;

    if (x->sa.sa_family != y->sa.sa_family)
        return 0;

    switch (x->sa.sa_family) {
    case AF_INET:
        return x->in.sin_port == y->in.sin_port && x->in.sin_addr.s_addr == y->in.sin_addr.s_addr;
    case AF_INET6:
        return x->in6.sin6_port == y->in6.sin6_port
            && memcmp(&x->in6.sin6_addr, &y->in6.sin6_addr, sizeof(x->in6.sin6_addr)) == 0;
    case AF_UNIX:
        return unix_equal(a, b);
    default:
        return 0;
    }
}

/* The bits of byte i that belong to the first `bits` bits. */
static unsigned char
byte_mask(unsigned bits, unsigned i)
{
    if (bits >= 8 * (i + 1))
        return 0xff;

    if (bits <= 8 * i)
        return 0;

    return (unsigned char) (0xff << (8 - bits % 8));
}

static int
clear_host_bits(rv_cidr_t *cidr)
{
    int cleared = 0;

    for (unsigned i = 0; i < sizeof(cidr->net); i++) {
        unsigned char kept = cidr->net[i] & byte_mask(cidr->bits, i);

        cleared |= (kept != cidr->net[i]);
        cidr->net[i] = kept;
    }

    return cleared;
}

static int
is_mapped(const unsigned char *address)
{
    static const unsigned char prefix[MAPPED_BYTES] = { [10] = 0xff, [11] = 0xff };

    return memcmp(address, prefix, sizeof(prefix)) == 0;
}

static void
unmap_network(rv_cidr_t *cidr)
{
    if (cidr->family != AF_INET6 || cidr->bits < MAPPED_BITS || !is_mapped(cidr->net))
        return;

    cidr->family = AF_INET;
    cidr->bits -= MAPPED_BITS;
    memmove(cidr->net, cidr->net + MAPPED_BYTES, 4);
    memset(cidr->net + 4, 0, sizeof(cidr->net) - 4);
}

static int
parse_network(const char *text, rv_cidr_t *cidr)
{
    const char *slash = strchr(text, '/');
    size_t length = (slash != NULL) ? (size_t) (slash - text) : strlen(text);

    cidr->family = (memchr(text, ':', length) != NULL) ? AF_INET6 : AF_INET;

    if (host_to_address(cidr->family, text, length, cidr->net) != RV_OK)
        return RV_ERROR;

    uint64_t most = (cidr->family == AF_INET6) ? 128 : 32;
    uint64_t bits = most;

    if (slash != NULL && (rv_parse_uint(slash + 1, &bits) != RV_OK || bits > most))
        return RV_ERROR;

    cidr->bits = (unsigned) bits;
    return RV_OK;
}

int
rv_cidr_parse(const char *text, rv_cidr_t *cidr, int *cleared)
{
    rv_cidr_t parsed = { .family = AF_UNSPEC };

    if (strcmp(text, UNIX_PREFIX) == 0)
        parsed.family = AF_UNIX;
    else if (strcmp(text, "all") != 0 && parse_network(text, &parsed) != RV_OK)
        return RV_ERROR;

    *cleared = clear_host_bits(&parsed);
    unmap_network(&parsed);
    *cidr = parsed;
    return RV_OK;
}

static int
in_network(const rv_cidr_t *cidr, int family, const unsigned char *address)
{
    if (cidr->family != family)
        return 0;

    for (unsigned i = 0; 8 * i < cidr->bits; i++) {
        if ((address[i] & byte_mask(cidr->bits, i)) != cidr->net[i])
            return 0;
    }

    return 1;
}

int
rv_cidr_match(const rv_cidr_t *cidr, const rv_addr_t *addr)
{
    const rv_sockaddr_t *sockaddr = &addr->sockaddr;

    if (cidr->family == AF_UNSPEC)
        return 1;

    if (sockaddr->sa.sa_family == AF_INET)
        return in_network(cidr, AF_INET, (const unsigned char *) &sockaddr->in.sin_addr);

    if (sockaddr->sa.sa_family == AF_INET6) {
        const unsigned char *address = sockaddr->in6.sin6_addr.s6_addr;

        return is_mapped(address) ? in_network(cidr, AF_INET, address + MAPPED_BYTES)
                                  : in_network(cidr, AF_INET6, address);
    }

    return cidr->family == sockaddr->sa.sa_family;
}
