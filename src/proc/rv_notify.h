/*
 * rv_notify: telling the service manager how this process fares.
 *
 * sd_notify(3) without its library: a datagram of lines NAME=VALUE to the unix
 * socket that NOTIFY_SOCKET names, a path or, with an "@", an abstract name.
 * Nothing is sent where there is no such variable.
 */
#ifndef RV_NOTIFY_H
#define RV_NOTIFY_H

#include "rv_base.h"

#define RV_NOTIFY_TEXT 1024 /* of a datagram; what is longer is cut off */

/*
 * Reads NOTIFY_SOCKET, WATCHDOG_USEC and WATCHDOG_PID, before any fork.
 * NOTIFY_SOCKET stays in the environment for who is to follow this process, and so
 * does the watchdog's interval where it was meant for this one. RV_ERROR:
 * NOTIFY_SOCKET is there and names no socket that can be sent to.
 */
int rv_notify_init(void);

/*
 * Sends one datagram. It never waits: what the manager has no room for is kept,
 * and sent before the next one or by rv_notify_flush. RV_OK, also where nobody is
 * to be told; RV_AGAIN: kept; RV_ERROR and errno: it is lost.
 */
int rv_notify(const char *fmt, ...) RV_PRINTF(1, 2);

/* Sends what was kept. As rv_notify. */
int rv_notify_flush(void);

/* How often WATCHDOG=1 is to be sent, ms: twice in the time that the manager
 * waits for it. 0: never. */
int64_t rv_notify_watchdog(void);

#endif
