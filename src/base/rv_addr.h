/*
 * rv_addr: socket addresses and networks as text.
 *
 * Numeric addresses only: nothing here asks a resolver.
 */
#ifndef RV_ADDR_H
#define RV_ADDR_H

#include "rv_base.h"

#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/un.h>

typedef union {
    struct sockaddr sa;
    struct sockaddr_in in;
    struct sockaddr_in6 in6;
    struct sockaddr_un un;
} rv_sockaddr_t;

typedef struct {
    rv_sockaddr_t sockaddr;
    socklen_t length;
} rv_addr_t;

/* Room for any address as rv_addr_format writes it, the NUL included. */
#define RV_ADDR_TEXT 128

/* A network: family AF_UNSPEC matches every address, AF_UNIX every local one. */
typedef struct {
    int family;
    unsigned bits;         /* leading bits of the address that count */
    unsigned char net[16]; /* network byte order; bits past `bits` are zero */
} rv_cidr_t;

/*
 * Reads ADDR:PORT, [V6]:PORT, PORT (every IPv4 address), *:PORT or unix:PATH.
 * PORT is 1 to 65535; PATH fits into sun_path with its NUL and has no control
 * characters. On success *error is untouched; on failure RV_ERROR is returned,
 * *addr is untouched and *error is a constant text such as "invalid port".
 */
int rv_addr_parse(const char *text, rv_addr_t *addr, const char **error);

/*
 * Writes the address as rv_addr_parse reads it (IPv6 in brackets) and returns
 * text. What only a peer can have is written for people: a socket without a
 * name is "unix:", the first byte of an abstract name is an "@", a control
 * character is a "?", another family is "unknown".
 */
const char *rv_addr_format(const rv_addr_t *addr, char text[RV_ADDR_TEXT]);

/* 1 when both name the same address (family, address, port or path). */
int rv_addr_equal(const rv_addr_t *a, const rv_addr_t *b);

/*
 * Reads "all", "unix:", an IPv4 or IPv6 address, or ADDRESS/BITS. Host bits
 * that are set are cleared: then *cleared is 1, otherwise 0. A network within
 * ::ffff:0:0/96 becomes the IPv4 network that it is. RV_ERROR leaves *cidr
 * and *cleared alone.
 */
int rv_cidr_parse(const char *text, rv_cidr_t *cidr, int *cleared);

/* 1 when the address lies in the network. An IPv4 address mapped into IPv6
 * (::ffff:1.2.3.4) is matched as the IPv4 address that it is. */
int rv_cidr_match(const rv_cidr_t *cidr, const rv_addr_t *addr);

#endif
