/*
 * rv_addr: what an operator may write after "listen" and "allow", and how an
 * address looks in a log.
 */
#include "rv_addr.h"

#include <arpa/inet.h>
#include <check.h>
#include <stdlib.h>
#include <string.h>

#define PATH_OFFSET offsetof(struct sockaddr_un, sun_path)
#define PATH_SIZE sizeof(((struct sockaddr_un *) 0)->sun_path)

static rv_addr_t
parsed(const char *text)
{
    rv_addr_t addr;
    const char *error = NULL;

    ck_assert_msg(rv_addr_parse(text, &addr, &error) == RV_OK, "\"%s\": %s", text, error);
    ck_assert_msg(error == NULL, "\"%s\": *error was touched", text);
    return addr;
}

/* What is read is written again; NULL: the same text. */
static const struct {
    const char *text;
    const char *formatted;
    int family;
    socklen_t length;
} good[] = {
    { "127.0.0.1:80", NULL, AF_INET, sizeof(struct sockaddr_in) },
    { "0.0.0.0:65535", NULL, AF_INET, sizeof(struct sockaddr_in) },
    { "255.255.255.255:1", NULL, AF_INET, sizeof(struct sockaddr_in) },
    { "8080", "0.0.0.0:8080", AF_INET, sizeof(struct sockaddr_in) },
    { "*:8080", "0.0.0.0:8080", AF_INET, sizeof(struct sockaddr_in) },
    { "127.0.0.1:080", "127.0.0.1:80", AF_INET, sizeof(struct sockaddr_in) },
    { "[::1]:80", NULL, AF_INET6, sizeof(struct sockaddr_in6) },
    { "[::]:80", NULL, AF_INET6, sizeof(struct sockaddr_in6) },
    { "[::ffff:255.255.255.255]:65535", NULL, AF_INET6, sizeof(struct sockaddr_in6) },
    { "[2001:DB8:0:0::1]:443", "[2001:db8::1]:443", AF_INET6, sizeof(struct sockaddr_in6) },
    { "[1111:2222:3333:4444:5555:6666:7777:8888]:12345", NULL, AF_INET6,
        sizeof(struct sockaddr_in6) },
    { "unix:/run/x.sock", NULL, AF_UNIX, PATH_OFFSET + sizeof("/run/x.sock") },
    { "unix:x", NULL, AF_UNIX, PATH_OFFSET + 2 },
    { "unix: a b:80", NULL, AF_UNIX, PATH_OFFSET + sizeof(" a b:80") },
    { "unix:/\xc3\xa9", NULL, AF_UNIX, PATH_OFFSET + 4 },
};

START_TEST(address_is_read_and_written)
{
    rv_addr_t addr = parsed(good[_i].text);
    const char *wanted = (good[_i].formatted != NULL) ? good[_i].formatted : good[_i].text;
    char text[RV_ADDR_TEXT];

    ck_assert_int_eq(addr.sockaddr.sa.sa_family, good[_i].family);
    ck_assert_uint_eq(addr.length, good[_i].length);

    if (good[_i].family == AF_INET6) {
        ck_assert_uint_eq(addr.sockaddr.in6.sin6_flowinfo, 0);
        ck_assert_uint_eq(addr.sockaddr.in6.sin6_scope_id, 0);
    }

    ck_assert_ptr_eq(rv_addr_format(&addr, text), text);
    ck_assert_str_eq(text, wanted);

    rv_addr_t again = parsed(text);

    ck_assert(rv_addr_equal(&addr, &again));
}
END_TEST

static const struct {
    const char *text;
    const char *error;
} bad[] = {
    { "", "no port" },
    { ":80", "invalid address" },
    { "0", "invalid port" },
    { "65536", "invalid port" },
    { "18446744073709551617", "invalid port" },
    { "-1", "invalid port" },
    { "+80", "invalid port" },
    { " 80", "invalid port" },
    { "80 ", "invalid port" },
    { "80x", "invalid port" },
    { "http", "invalid port" },
    { "127.0.0.1", "no port" },
    { "127.0.0.1:", "no port" },
    { "127.0.0.1:0", "invalid port" },
    { "127.0.0.1:65536", "invalid port" },
    { "127.0.0.1:-80", "invalid port" },
    { "127.0.0.1:+80", "invalid port" },
    { "127.0.0.1: 80", "invalid port" },
    { "127.0.0.1:80 ", "invalid port" },
    { "127.0.0.1:80/", "invalid port" },
    { "127.0.0.1 :80", "invalid address" },
    { " 127.0.0.1:80", "invalid address" },
    { "127.0.0:80", "invalid address" },
    { "127.0.0.256:80", "invalid address" },
    { "127.0.0.1.5:80", "invalid address" },
    { "0x7f.0.0.1:80", "invalid address" },
    { "localhost:80", "invalid address" },
    { "**:80", "invalid address" },
    { "1111111111111111111111111111111111111111111111111111111111:80", "invalid address" },
    { "::1", "IPv6 address needs brackets" },
    { "::1:80", "IPv6 address needs brackets" },
    { "127.0.0.1:80:80", "IPv6 address needs brackets" },
    { "[::1]", "no port" },
    { "[::1]:", "no port" },
    { "[::1]:0", "invalid port" },
    { "[::1]:65536", "invalid port" },
    { "[::1]:80x", "invalid port" },
    { "[::1]80", "invalid address" },
    { "[::1", "invalid address" },
    { "[]:80", "invalid address" },
    { "[::1%lo]:80", "invalid address" },
    { "[127.0.0.1]:80", "invalid address" },
    { "[1:2:3:4:5:6:7:8:9]:80", "invalid address" },
    { "[[::1]]:80", "invalid address" },
    { "[*]:80", "invalid address" },
    { "unix:", "no path" },
    { "unix:/run/a\nb", "control character in path" },
    { "unix:/run/a\x7f", "control character in path" },
    { "unix", "invalid port" },
};

START_TEST(bad_address_is_refused_with_a_reason)
{
    rv_addr_t addr;
    rv_addr_t before;
    const char *error = NULL;

    memset(&addr, 0x5a, sizeof(addr));
    before = addr;

    ck_assert_msg(rv_addr_parse(bad[_i].text, &addr, &error) == RV_ERROR, "\"%s\" was accepted",
        bad[_i].text);
    ck_assert_str_eq(error, bad[_i].error);
    ck_assert_mem_eq(&addr, &before, sizeof(addr));
}
END_TEST

START_TEST(unix_path_fills_sun_path_and_no_more)
{
    char text[sizeof("unix:") + PATH_SIZE + 1] = "unix:";
    char formatted[RV_ADDR_TEXT];
    rv_addr_t addr;
    const char *error = NULL;

    memset(text + 5, 'p', PATH_SIZE - 1);
    addr = parsed(text);
    ck_assert_uint_eq(addr.length, sizeof(struct sockaddr_un));
    ck_assert_str_eq(rv_addr_format(&addr, formatted), text);

    text[5 + PATH_SIZE - 1] = 'p';
    ck_assert_int_eq(rv_addr_parse(text, &addr, &error), RV_ERROR);
    ck_assert_str_eq(error, "path too long");
}
END_TEST

static rv_addr_t
unix_peer(const char *name, size_t length)
{
    rv_addr_t addr;

    /* What lies behind the length is anything. */
    memset(&addr, 'Z', sizeof(addr));
    addr.sockaddr.un.sun_family = AF_UNIX;
    memcpy(addr.sockaddr.un.sun_path, name, length);
    addr.length = (socklen_t) (PATH_OFFSET + length);
    return addr;
}

START_TEST(peer_of_a_unix_socket_is_written_for_people)
{
    char longest[PATH_SIZE];
    char text[RV_ADDR_TEXT];
    rv_addr_t addr = unix_peer("", 0);

    ck_assert_str_eq(rv_addr_format(&addr, text), "unix:");

    addr = unix_peer("/run/x", 6);
    ck_assert_str_eq(rv_addr_format(&addr, text), "unix:/run/x");

    addr = unix_peer("\0abc", 4);
    ck_assert_str_eq(rv_addr_format(&addr, text), "unix:@abc");

    addr = unix_peer("\0a\0b", 4);
    ck_assert_str_eq(rv_addr_format(&addr, text), "unix:@a?b");

    addr = unix_peer("/a\nb\x1b", 6);
    ck_assert_str_eq(rv_addr_format(&addr, text), "unix:/a?b?");

    memset(longest, 'p', sizeof(longest));
    addr = unix_peer(longest, sizeof(longest));
    ck_assert_uint_eq(strlen(rv_addr_format(&addr, text)), 5 + sizeof(longest));

    addr.sockaddr.sa.sa_family = AF_UNSPEC;
    ck_assert_str_eq(rv_addr_format(&addr, text), "unknown");
}
END_TEST

static const struct {
    const char *a;
    const char *b;
    int equal;
} pairs[] = {
    { "127.0.0.1:80", "127.0.0.1:080", 1 },
    { "*:80", "80", 1 },
    { "127.0.0.1:80", "127.0.0.1:81", 0 },
    { "127.0.0.1:80", "127.0.0.2:80", 0 },
    { "[::1]:80", "[0:0::1]:80", 1 },
    { "[::1]:80", "[::1]:81", 0 },
    { "[::1]:80", "[::2]:80", 0 },
    { "[::]:80", "0.0.0.0:80", 0 },
    { "[::ffff:1.2.3.4]:80", "1.2.3.4:80", 0 },
    { "unix:/a", "unix:/a", 1 },
    { "unix:/a", "unix:/ab", 0 },
    { "unix:/ab", "unix:/ac", 0 },
    { "unix:/a", "80", 0 },
};

START_TEST(addresses_are_compared)
{
    rv_addr_t a = parsed(pairs[_i].a);
    rv_addr_t b = parsed(pairs[_i].b);

    ck_assert_int_eq(rv_addr_equal(&a, &b), pairs[_i].equal);
    ck_assert_int_eq(rv_addr_equal(&b, &a), pairs[_i].equal);
}
END_TEST

START_TEST(unix_names_are_compared_by_their_length)
{
    rv_addr_t with_nul = parsed("unix:/a");
    rv_addr_t without = unix_peer("/a", 2);
    rv_addr_t abstract = unix_peer("\0a\0b", 4);
    rv_addr_t other = unix_peer("\0a\0c", 4);
    rv_addr_t nameless = unix_peer("", 0);

    ck_assert(rv_addr_equal(&with_nul, &without));
    ck_assert(rv_addr_equal(&abstract, &abstract));
    ck_assert(!rv_addr_equal(&abstract, &other));
    ck_assert(!rv_addr_equal(&nameless, &without));
    ck_assert(rv_addr_equal(&nameless, &nameless));
}
END_TEST

static const struct {
    const char *text;
    int family;
    unsigned bits;
    int cleared;
    const char *net; /* as inet_ntop writes it */
} networks[] = {
    { "all", AF_UNSPEC, 0, 0, NULL },
    { "unix:", AF_UNIX, 0, 0, NULL },
    { "10.0.0.0/8", AF_INET, 8, 0, "10.0.0.0" },
    { "10.1.2.3/8", AF_INET, 8, 1, "10.0.0.0" },
    { "192.168.255.255/17", AF_INET, 17, 1, "192.168.128.0" },
    { "255.255.255.255/31", AF_INET, 31, 1, "255.255.255.254" },
    { "1.2.3.4", AF_INET, 32, 0, "1.2.3.4" },
    { "1.2.3.4/32", AF_INET, 32, 0, "1.2.3.4" },
    { "0.0.0.0/0", AF_INET, 0, 0, "0.0.0.0" },
    { "1.2.3.4/0", AF_INET, 0, 1, "0.0.0.0" },
    { "::/0", AF_INET6, 0, 0, "::" },
    { "::1", AF_INET6, 128, 0, "::1" },
    { "2001:db8::/32", AF_INET6, 32, 0, "2001:db8::" },
    { "2001:db8:ffff::1/33", AF_INET6, 33, 1, "2001:db8:8000::" },
    { "fe80::1/127", AF_INET6, 127, 1, "fe80::" },
    { "::ffff:10.0.0.0/104", AF_INET, 8, 0, "10.0.0.0" },
    { "::ffff:10.1.0.0/104", AF_INET, 8, 1, "10.0.0.0" },
    { "::ffff:1.2.3.4", AF_INET, 32, 0, "1.2.3.4" },
    { "::ffff:0:0/96", AF_INET, 0, 0, "0.0.0.0" },
    { "::ffff:0:0/95", AF_INET6, 95, 1, "::fffe:0:0" },
};

START_TEST(network_is_read)
{
    static const unsigned char zero[16];
    rv_cidr_t cidr;
    int cleared = -1;
    char net[INET6_ADDRSTRLEN];

    ck_assert_int_eq(rv_cidr_parse(networks[_i].text, &cidr, &cleared), RV_OK);
    ck_assert_int_eq(cidr.family, networks[_i].family);
    ck_assert_uint_eq(cidr.bits, networks[_i].bits);
    ck_assert_int_eq(cleared, networks[_i].cleared);

    if (networks[_i].net == NULL) {
        ck_assert_mem_eq(cidr.net, zero, sizeof(zero));
        return;
    }

    ck_assert_ptr_nonnull(inet_ntop(cidr.family, cidr.net, net, sizeof(net)));
    ck_assert_str_eq(net, networks[_i].net);

    if (cidr.family == AF_INET)
        ck_assert_mem_eq(cidr.net + 4, zero, sizeof(cidr.net) - 4);
}
END_TEST

static const char *const bad_networks[] = {
    "",
    "any",
    "All",
    "all ",
    "unix",
    "unix:/run/x",
    "10",
    "10.0.0",
    "10.0.0.0/",
    "10.0.0.0/33",
    "10.0.0.0/-1",
    "10.0.0.0/+8",
    "10.0.0.0/ 8",
    "10.0.0.0/8 ",
    " 10.0.0.0/8",
    "10.0.0.0/8/8",
    "10.0.0.0/255.0.0.0",
    "10.0.0.0/18446744073709551624",
    "10.0.0.256",
    "10.0.0.0:80",
    "::1/129",
    "::1/",
    "::g",
    "[::1]",
    "fe80::1%lo",
    "1111:2222:3333:4444:5555:6666:7777:8888:9999:aaaa/8",
    "/8",
    "*",
};

START_TEST(bad_network_is_refused)
{
    rv_cidr_t cidr;
    rv_cidr_t before;
    int cleared = 42;

    memset(&cidr, 0x5a, sizeof(cidr));
    before = cidr;

    ck_assert_msg(rv_cidr_parse(bad_networks[_i], &cidr, &cleared) == RV_ERROR,
        "\"%s\" was accepted", bad_networks[_i]);
    ck_assert_mem_eq(&cidr, &before, sizeof(cidr));
    ck_assert_int_eq(cleared, 42);
}
END_TEST

static const struct {
    const char *network;
    const char *address;
    int matches;
} matches[] = {
    { "all", "1.2.3.4:80", 1 },
    { "all", "[::1]:80", 1 },
    { "all", "unix:/x", 1 },
    { "unix:", "unix:/x", 1 },
    { "unix:", "1.2.3.4:80", 0 },
    { "unix:", "[::1]:80", 0 },
    { "10.0.0.0/8", "10.255.255.255:80", 1 },
    { "10.0.0.0/8", "11.0.0.0:80", 0 },
    { "10.0.0.0/8", "unix:/x", 0 },
    { "10.0.0.0/8", "[a00::]:80", 0 },
    { "192.168.128.0/17", "192.168.128.0:80", 1 },
    { "192.168.128.0/17", "192.168.255.255:80", 1 },
    { "192.168.128.0/17", "192.168.127.255:80", 0 },
    { "1.2.3.4", "1.2.3.4:80", 1 },
    { "1.2.3.4", "1.2.3.5:80", 0 },
    { "1.2.3.4/31", "1.2.3.5:80", 1 },
    { "0.0.0.0/0", "255.255.255.255:80", 1 },
    { "0.0.0.0/0", "[::1]:80", 0 },
    { "0.0.0.0/0", "unix:/x", 0 },
    { "::/0", "[ffff::1]:80", 1 },
    { "::/0", "1.2.3.4:80", 0 },
    { "::/0", "unix:/x", 0 },
    { "2001:db8::/33", "[2001:db8:7fff::1]:80", 1 },
    { "2001:db8::/33", "[2001:db8:8000::1]:80", 0 },
    { "::1", "[::1]:80", 1 },
    { "::1", "[::2]:80", 0 },
    { "10.0.0.0/8", "[::ffff:10.1.2.3]:80", 1 },
    { "10.0.0.0/8", "[::ffff:11.1.2.3]:80", 0 },
    { "10.0.0.0/8", "[::10.1.2.3]:80", 0 },
    { "::/0", "[::ffff:10.1.2.3]:80", 0 },
    { "::ffff:10.0.0.0/104", "[::ffff:10.1.2.3]:80", 1 },
    { "::ffff:10.0.0.0/104", "10.1.2.3:80", 1 },
    { "::ffff:10.0.0.0/104", "[::ffff:11.1.2.3]:80", 0 },
};

START_TEST(address_is_matched_with_a_network)
{
    rv_addr_t addr = parsed(matches[_i].address);
    rv_cidr_t cidr;
    int cleared;

    ck_assert_int_eq(rv_cidr_parse(matches[_i].network, &cidr, &cleared), RV_OK);
    ck_assert_msg(rv_cidr_match(&cidr, &addr) == matches[_i].matches, "\"%s\" in \"%s\"",
        matches[_i].address, matches[_i].network);
}
END_TEST

static Suite *
addr_suite(void)
{
    Suite *suite = suite_create("addr");
    TCase *tcase = tcase_create("addr");

    tcase_add_loop_test(tcase, address_is_read_and_written, 0, (int) rv_countof(good));
    tcase_add_loop_test(tcase, bad_address_is_refused_with_a_reason, 0, (int) rv_countof(bad));
    tcase_add_test(tcase, unix_path_fills_sun_path_and_no_more);
    tcase_add_test(tcase, peer_of_a_unix_socket_is_written_for_people);
    tcase_add_loop_test(tcase, addresses_are_compared, 0, (int) rv_countof(pairs));
    tcase_add_test(tcase, unix_names_are_compared_by_their_length);
    tcase_add_loop_test(tcase, network_is_read, 0, (int) rv_countof(networks));
    tcase_add_loop_test(tcase, bad_network_is_refused, 0, (int) rv_countof(bad_networks));
    tcase_add_loop_test(tcase, address_is_matched_with_a_network, 0, (int) rv_countof(matches));

    suite_add_tcase(suite, tcase);
    return suite;
}

int
main(void)
{
    SRunner *runner = srunner_create(addr_suite());

    srunner_run_all(runner, CK_NORMAL);

    int failed = srunner_ntests_failed(runner);

    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
