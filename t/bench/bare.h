/*
 * bare: the least that a server can do, to stand beside.
 */
#ifndef BARE_H
#define BARE_H

/* Serves at this port of 127.0.0.1: one loop of epoll_wait, recv and send, with an answer that
 * is always the same, after a look for the requests' ends. Never returns. */
void bare_serve(int port) __attribute__((noreturn));

#endif
