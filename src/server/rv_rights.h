/*
 * rv_rights: what a worker may do, as the configuration has it.
 */
#ifndef RV_RIGHTS_H
#define RV_RIGHTS_H

#include "rv_cycle.h"

/*
 * Sets the limits of this process, confines it to the `chroot`, makes it the
 * unprivileged user, and gives up all capabilities. The environment is to be
 * set before. RV_ERROR after a line in the log.
 */
int rv_rights_give_up(const rv_core_conf_t *core);

/* In the master, before it forks workers: loads what each of them would load for these, and makes
 * what rv_rights_confine needs. */
void rv_rights_load(const rv_core_conf_t *core);

/*
 * With `sandbox = on`: from now on any system call that neither the daemon nor
 * a module has declared ends the process. The last step of a worker's start.
 * RV_ERROR after a line in the log.
 */
int rv_rights_confine(const rv_core_conf_t *core);

/* Collects an error in cf for each name in a module's list that is no system call. */
void rv_rights_check(const rv_core_conf_t *core, rv_conf_t *cf);

#endif
