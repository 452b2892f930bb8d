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

/* A connection that has asked for /hello. */
int manager_ask(int fd);

/* Fails the test unless it is answered "hello"; closes it. */
void manager_expect_hello(int fd);

#endif
