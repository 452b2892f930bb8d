/*
 * rv_rights: what a worker may do, as the configuration has it.
 *
 * The order is forced. The user's groups are looked up in files that are out
 * of reach after chroot; chroot and the bounding set of capabilities take
 * rights of root; a change of the user decides about core files; and the filter
 * of system calls comes last of all, since nothing that is listed here would
 * pass it. The one global is that filter, which is the same for all workers.
 */
#include "rv_rights.h"

#include "rv_sandbox.h"
#include "rv_sandbox_filter.h"

#include <errno.h>
#include <sys/resource.h>
#include <unistd.h>

static rv_sandbox_filter_t *filter;

static int
set_limit(int resource, const rv_core_limit_t *wanted, const char *name)
{
    struct rlimit limit = { wanted->value, wanted->value };

    if (!wanted->is_set || setrlimit(resource, &limit) == 0)
        return RV_OK;

    rv_log(RV_LOG_EMERG, errno, "setting %s to %zu failed", name, wanted->value);
    return RV_ERROR;
}

/* What may need the rights of root. */
static int
set_limits(const rv_core_conf_t *core)
{
    if (core->worker_priority != 0
        && setpriority(PRIO_PROCESS, 0, (int) core->worker_priority) == -1)
        rv_log(RV_LOG_ERROR, errno, "setting worker_priority to %lld failed",
            (long long) core->worker_priority);

    if (set_limit(RLIMIT_NOFILE, &core->worker_rlimit_nofile, "worker_rlimit_nofile") != RV_OK)
        return RV_ERROR;
    return set_limit(RLIMIT_CORE, &core->worker_rlimit_core, "worker_rlimit_core");
}

static int
become_user(const rv_core_conf_t *core)
{
    const rv_core_limit_t *limit = &core->worker_rlimit_core;

    if (rv_daemon_become(&core->user.user) != RV_OK) {
        rv_log(RV_LOG_EMERG, errno, "becoming user \"%s\" failed", core->user.user.name);
        return RV_ERROR;
    }
    if (core->user.user.uid != 0)
        rv_sandbox_set_core(limit->is_set && limit->value > 0);
    return RV_OK;
}

int
rv_rights_give_up(const rv_core_conf_t *core)
{
    int is_root = geteuid() == 0;

    if (set_limits(core) != RV_OK)
        return RV_ERROR;
    if (is_root && rv_daemon_take_groups(&core->user.user) != RV_OK) {
        rv_log(RV_LOG_EMERG, errno, "taking the groups of \"%s\" failed", core->user.user.name);
        return RV_ERROR;
    }
    if (core->chroot != NULL && rv_sandbox_chroot(core->chroot) != RV_OK) {
        rv_log(RV_LOG_EMERG, errno, "chroot to \"%s\" failed", core->chroot);
        return RV_ERROR;
    }
    rv_sandbox_bound();
    if (is_root && become_user(core) != RV_OK)
        return RV_ERROR;

    if (rv_sandbox_drop() == RV_OK)
        return RV_OK;
    rv_log(RV_LOG_EMERG, errno, "giving up capabilities failed");
    return RV_ERROR;
}

/* --- system calls --------------------------------------------------------------- */

/* Calls visit for each system call that a module names, as long as it answers RV_OK. */
static int
each_syscall(int (*visit)(void *data, const rv_module_t *module, const char *name), void *data)
{
    for (size_t i = 0; rv_modules[i] != NULL; i++) {
        const char *const *name = rv_modules[i]->syscalls;

        for (; name != NULL && *name != NULL; name++) {
            if (visit(data, rv_modules[i], *name) != RV_OK)
                return RV_ERROR;
        }
    }
    return RV_OK;
}

static int
check_one(void *data, const rv_module_t *module, const char *name)
{
    if (!rv_sandbox_filter_knows(name))
        (void) rv_conf_error(
            data, "module \"%s\" names an unknown system call \"%s\"", module->name, name);
    return RV_OK;
}

void
rv_rights_check(const rv_core_conf_t *core, rv_conf_t *cf)
{
    if (core->sandbox && core->master_process)
        (void) each_syscall(check_one, cf);
}

static int
allow_one(void *data, const rv_module_t *module, const char *name)
{
    (void) module;
    return rv_sandbox_filter_allow(data, name);
}

static rv_sandbox_filter_t *
make_filter(void)
{
    rv_sandbox_filter_t *f = rv_sandbox_filter_create();

    if (f != NULL && each_syscall(allow_one, f) == RV_OK && rv_sandbox_filter_finish(f) == RV_OK)
        return f;
    rv_sandbox_filter_destroy(f);
    return NULL;
}

void
rv_rights_load(const rv_core_conf_t *core)
{
    if (geteuid() == 0)
        rv_daemon_load_groups(&core->user.user);
    if (core->sandbox && filter == NULL)
        filter = make_filter();
}

int
rv_rights_confine(const rv_core_conf_t *core)
{
    if (!core->sandbox)
        return RV_OK;

    if (filter == NULL) /* the master had no memory for it, for instance */
        filter = make_filter();
    int result = filter == NULL ? RV_ERROR : rv_sandbox_filter_load(filter);
    if (result != RV_OK)
        rv_log(RV_LOG_EMERG, errno, "loading the filter of system calls failed");
    rv_sandbox_filter_destroy(filter);
    filter = NULL;
    return result;
}
