/*
 * rv_build: a new generation, read and opened beside the one in force.
 *
 * Whatever fails here has touched nothing that the generation in force uses.
 */
#include "rv_build.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

int
rv_build_pid_moves(const rv_cycle_t *cycle, const rv_cycle_t *old)
{
    const char *a = cycle->core->pid, *b = old->core->pid;

    return a == NULL || b == NULL ? a != b : strcmp(a, b) != 0;
}

int
rv_build_pidfile(rv_pidfile_t *file, const char *path, int beside, char reason[RV_CYCLE_REASON])
{
    pid_t holder;

    *file = (rv_pidfile_t){ .fd = -1 };
    if (path == NULL)
        return RV_OK;

    int result = beside ? rv_pidfile_create_beside(file, path, &holder)
                        : rv_pidfile_create(file, path, &holder);
    if (result == RV_OK)
        return RV_OK;

    if (result == RV_AGAIN)
        snprintf(
            reason, RV_CYCLE_REASON, "already running, pid %ld, by \"%s\"", (long) holder, path);
    else
        snprintf(reason, RV_CYCLE_REASON, "creating pid file \"%s\" failed (%d: %s)", path, errno,
            strerror(errno));
    return RV_ERROR;
}

/* All that is wrong, as far as there is room. */
static void
list_errors(const rv_cycle_t *cycle, char *reason)
{
    size_t used = 0;

    for (const rv_conf_message_t *m = rv_conf_messages(cycle->conf); m != NULL; m = m->next) {
        if (!m->is_warning && used < RV_CYCLE_REASON)
            used += (size_t) snprintf(
                reason + used, RV_CYCLE_REASON - used, "%s%s", used > 0 ? "; " : "", m->text);
    }
}

/* What the file says, and what of it a running daemon cannot change. */
static int
check(const rv_cycle_t *cycle, const rv_cycle_t *current, char *reason)
{
    rv_cycle_log_messages(cycle, RV_LOG_EMERG);
    if (rv_conf_error_count(cycle->conf) > 0) {
        list_errors(cycle, reason);
        return RV_ERROR;
    }
    if (!cycle->core->master_process) {
        snprintf(reason, RV_CYCLE_REASON, "\"master_process\" cannot be changed by a reload");
        return RV_ERROR;
    }
    if (!cycle->core->daemon != !current->core->daemon)
        rv_log(RV_LOG_WARN, 0, "\"daemon\" cannot be changed by a reload");
    return RV_OK;
}

rv_cycle_t *
rv_build_next(const rv_cycle_options_t *options, unsigned generation, const rv_cycle_t *current,
    rv_pidfile_t *pidfile, char reason[RV_CYCLE_REASON])
{
    rv_cycle_t *cycle = rv_cycle_read(options, generation);

    if (cycle == NULL) {
        snprintf(reason, RV_CYCLE_REASON, "not enough memory");
        return NULL;
    }
    if (check(cycle, current, reason) != RV_OK)
        goto failed;

    int moves = rv_build_pid_moves(cycle, current);
    if (moves && rv_build_pidfile(pidfile, cycle->core->pid, 0, reason) != RV_OK)
        goto failed;

    if (rv_cycle_open(cycle, current, reason) == RV_OK)
        return cycle;

    if (moves)
        rv_pidfile_remove(pidfile);

failed:
    rv_cycle_free(cycle, 0);
    return NULL;
}
