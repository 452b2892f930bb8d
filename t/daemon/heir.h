/*
 * heir: one master after the other.
 *
 * The daemon is started by a path of the test's own, PREFIX/program, behind which the
 * test puts what the next upgrade is to start.
 */
#ifndef HEIR_H
#define HEIR_H

#include "daemon.h"

/* The built program is behind the path, and the daemon will be started by it. */
void heir_setup(daemon_t *d);

/* From now on a shell script with these lines is behind it; or the built program again. */
void heir_script(daemon_t *d, const char *lines);
void heir_link(daemon_t *d);

/* The number in PREFIX/logs/reeve.pid, and in that with .oldbin; 0: there is no such file. */
pid_t heir_pid(daemon_t *d);
pid_t heir_old_pid(daemon_t *d);

/* Waits until the log says of so many upgrades that they are done, and the pid file names another master
 * than that before; its pid. */
pid_t heir_wait(daemon_t *d, pid_t before, int count);

/* USR2: waits until a new master is ready; its pid. The old one is d->master still. */
pid_t heir_begin(daemon_t *d);

/* -s upgrade, status 0 expected; d->master is the new one then. */
void heir_upgrade(daemon_t *d);

/* The old master has ended with status 0; d->master is the new one from now on. */
void heir_succeeds(daemon_t *d, pid_t heir);

/* The workers of a master, without its heir; how many. */
int heir_workers(pid_t master, pid_t *pids, int room);

/* Waits until a master has so many workers, none of which drains. */
void heir_wait_workers(pid_t master, int count);

/* Fails the test unless the daemon, to every new client, answers. */
void heir_expect_hello(daemon_t *d);

/* Waits until the old master, d->master, is alone again: as it was before an upgrade, with so many workers
 * and descriptors. */
void heir_wait_undone(daemon_t *d, int workers, int descriptors);

#endif
