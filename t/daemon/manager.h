/*
 * manager: what a service manager has to do with a daemon, played by the test.
 */
#ifndef MANAGER_H
#define MANAGER_H

#include "daemon.h"

/* A listening socket at 127.0.0.1:*port, where 0 becomes a free one; with
 * `shared` others may bind the same. */
int manager_listen(int *port, int shared);

/* One of this type at a unix socket's path; a stream listens. */
int manager_listen_unix(const char *path, int type);

/* From now on commands get this descriptor too, which stays the test's. */
void manager_pass(daemon_t *d, int fd);

/* A socket of datagrams, and NOTIFY_SOCKET says where: PREFIX/notify, to be removed
 * by the test, or an abstract name. */
int manager_hear(daemon_t *d, int abstract);

/* The next datagram, waited for, and who has sent it. */
pid_t manager_heard(int fd, char *text, size_t room);

/* Fails the test unless the next one is this, as printf puts it together, from the master. */
void manager_expect(daemon_t *d, int fd, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

/* Fails the test where there is one more. */
void manager_expect_silence(int fd);

/* A connection that has asked for /hello. */
int manager_ask(int fd);

/* Fails the test unless it is answered "hello"; closes it. */
void manager_expect_hello(int fd);

#endif
