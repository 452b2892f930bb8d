/*
 * rv_cycle: one generation, from reading its configuration to giving it up.
 *
 * What two generations share is shared by duplicate (listeners) or counted
 * (zones, log outputs), so each gives up its own without asking about the other.
 */
#include "rv_cycle.h"

#include "rv_conf_read.h"
#include "rv_conf_set.h"
#include "rv_counts.h"
#include "rv_fd.h"
#include "rv_log_output.h"
#include "rv_rights.h"
#include "rv_stats_fold.h"
#include "rv_stats_zone.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* --- reading ------------------------------------------------------------------- */

/* A [zone NAME] that no module asked for. */
static void
check_unused_zones(const rv_cycle_t *cycle)
{
    const void *at = NULL;
    const char *name;

    while (rv_conf_each(cycle->conf, "zone", &at, &name) != NULL) {
        const rv_cycle_zone_t *z = cycle->zones;

        while (z != NULL && strcmp(z->spec.name, name) != 0)
            z = z->next;
        rv_conf_at_section(cycle->conf, "zone", name);
        if (z == NULL)
            rv_conf_warn(cycle->conf, "zone \"%s\" is not used by any module", name);
    }
}

static void
call_configure(rv_cycle_t *cycle)
{
    cycle->core = rv_conf_get(cycle->conf, "main", NULL);
    cycle->events = rv_conf_get(cycle->conf, "events", NULL);

    rv_rights_check(cycle->core, cycle->conf);
    if (rv_stats_zone_add(cycle) != RV_OK)
        return;

    for (size_t i = 0; rv_modules[i] != NULL; i++) {
        if (rv_modules[i]->configure != NULL)
            (void) rv_modules[i]->configure(cycle, cycle->conf);
    }
    if (rv_conf_error_count(cycle->conf) > 0)
        return;

    check_unused_zones(cycle);
    rv_conf_at_line(cycle->conf, 0);
    if (cycle->listeners == NULL)
        rv_conf_error(cycle->conf, "no \"listen\" directive: nothing would be served");
}

static int
read_conf(rv_cycle_t *cycle)
{
    const rv_cycle_options_t *options = cycle->options;

    cycle->conf = rv_conf_create(cycle->pool, options->prefix);
    if (cycle->conf == NULL)
        return RV_ERROR;

    for (size_t i = 0; rv_modules[i] != NULL; i++) {
        const rv_conf_section_t *const *section = rv_modules[i]->sections;

        for (; section != NULL && *section != NULL; section++) {
            if (rv_conf_add(cycle->conf, *section) != RV_OK)
                return RV_ERROR;
        }
    }

    if (options->overrides != NULL)
        (void) rv_conf_read_overrides(cycle->conf, options->overrides);
    (void) rv_conf_read_file(cycle->conf, options->conf, &cycle->text);
    if (cycle->text != NULL && rv_conf_finish(cycle->conf) == RV_OK)
        call_configure(cycle);

    cycle->core = rv_conf_get(cycle->conf, "main", NULL);
    return RV_OK;
}

rv_cycle_t *
rv_cycle_read(const rv_cycle_options_t *options, unsigned generation)
{
    rv_pool_t *pool = rv_pool_create();
    rv_cycle_t *cycle = pool == NULL ? NULL : rv_pool_alloc(pool, sizeof(*cycle));

    if (cycle == NULL)
        goto failed;

    cycle->pool = pool;
    cycle->options = options;
    cycle->generation = generation;
    if (read_conf(cycle) == RV_OK)
        return cycle;

failed:
    rv_pool_destroy(pool);
    return NULL;
}

void
rv_cycle_log_messages(const rv_cycle_t *cycle, rv_log_level_t level)
{
    for (const rv_conf_message_t *m = rv_conf_messages(cycle->conf); m != NULL; m = m->next)
        rv_log(m->is_warning ? RV_LOG_WARN : level, 0, "%s", m->text);
}

/* --- modules ask ----------------------------------------------------------------- */

int
rv_cycle_read_listen(rv_conf_t *cf, const char *value, rv_listener_t *listener)
{
    enum { WORDS = 8, PREFIX = 5 };
    char *words[WORDS] = { NULL }, error[RV_LISTENER_ERROR] = "too many words";
    size_t n = rv_conf_set_split(cf, value, words, WORDS);

    if (n > 0 && strncmp(words[0], "unix:", PREFIX) == 0 && words[0][PREFIX] != '\0') {
        const char *path = rv_conf_path(cf, words[0] + PREFIX);

        if (path == NULL || (words[0] = rv_pool_printf(rv_conf_pool(cf), "unix:%s", path)) == NULL)
            return rv_conf_error(cf, "not enough memory");
    }
    if (n <= WORDS && rv_listener_parse(listener, words, n, error) == RV_OK)
        return RV_OK;
    return rv_conf_error(cf, "%s in \"listen = %s\"", error, value);
}

int
rv_cycle_listen(rv_cycle_t *cycle, rv_conf_t *cf, const rv_listener_t *listener,
    const rv_service_t *service, const void *conf)
{
    rv_cycle_listener_t **last = &cycle->listeners;
    char text[RV_ADDR_TEXT];
    unsigned number = 1;

    for (; *last != NULL; last = &(*last)->next, number++) {
        if (rv_addr_equal(&(*last)->listener.addr, &listener->addr))
            return rv_conf_error(
                cf, "duplicate \"listen\" at \"%s\"", rv_addr_format(&listener->addr, text));
    }

    rv_cycle_listener_t *l = rv_pool_alloc(cycle->pool, sizeof(*l));
    if (l == NULL)
        return rv_conf_error(cf, "not enough memory");

    l->listener = *listener;
    l->number = number;
    l->service = service;
    l->conf = conf;
    *last = l;
    return RV_OK;
}

int
rv_cycle_listen_at(rv_cycle_t *cycle, rv_conf_t *cf, const char *value, const rv_service_t *service,
    const void *conf)
{
    rv_listener_t listener;

    if (value == NULL)
        return RV_OK;
    rv_conf_at_section(cf, service->name, NULL); /* where errors are */
    int result = rv_cycle_read_listen(cf, value, &listener);
    if (result == RV_OK)
        result = rv_cycle_listen(cycle, cf, &listener, service, conf);
    rv_conf_at_line(cf, 0);
    return result;
}

rv_zone_t *
rv_cycle_find_zone(const rv_cycle_t *cycle, const char *name)
{
    for (const rv_cycle_zone_t *z = cycle->zones; z != NULL; z = z->next) {
        if (strcmp(z->spec.name, name) == 0)
            return z->zone;
    }
    return NULL;
}

/* --- opening ---------------------------------------------------------------------- */

rv_cycle_listener_t *
rv_cycle_find_listener(const rv_cycle_t *cycle, const rv_addr_t *addr)
{
    rv_cycle_listener_t *l = cycle == NULL ? NULL : cycle->listeners;

    while (l != NULL && !rv_addr_equal(&l->listener.addr, addr))
        l = l->next;
    return l;
}

static int
no_memory(char *reason)
{
    snprintf(reason, RV_CYCLE_REASON, "not enough memory");
    return RV_ERROR;
}

static int
open_listeners(rv_cycle_t *cycle, const rv_cycle_t *old, char *reason)
{
    for (rv_cycle_listener_t *l = cycle->listeners; l != NULL; l = l->next) {
        const rv_cycle_listener_t *same = rv_cycle_find_listener(old, &l->listener.addr);

        if (rv_listener_open(
                &l->listener, cycle->workers, same == NULL ? NULL : &same->listener, reason)
            != RV_OK)
            return RV_ERROR;
    }
    return RV_OK;
}

static int
open_logs(rv_cycle_t *cycle, char *reason)
{
    for (const rv_core_log_t *log = cycle->core->logs; log != NULL; log = log->next) {
        char error[RV_LOG_OUTPUT_ERROR];
        unsigned output;

        if (rv_log_output_open(log->target, &output, error) != RV_OK) {
            if (error[0] != '\0')
                snprintf(reason, RV_CYCLE_REASON, "%s", error);
            else
                snprintf(reason, RV_CYCLE_REASON, "opening log \"%s\" failed (%d: %s)", log->target,
                    errno, strerror(errno));
            return RV_ERROR;
        }
        cycle->log.entry[cycle->log.count].output = output;
        cycle->log.entry[cycle->log.count].level = log->level;
        cycle->log.count++;
    }
    return RV_OK;
}

/* FNV-1a; NULL: nothing */
static uint32_t
add_hash(uint32_t hash, const char *text)
{
    for (const char *p = text; p != NULL && *p != '\0'; p++)
        hash = (hash ^ (unsigned char) *p) * 16777619u;
    return hash;
}

/* By its pid file; without one by all that it was started with. */
const char *
rv_cycle_instance(const rv_cycle_t *cycle)
{
    const rv_cycle_options_t *o = cycle->options;
    uint32_t hash = add_hash(2166136261u, cycle->core->pid);

    if (cycle->core->pid == NULL)
        hash = add_hash(add_hash(add_hash(hash, o->prefix), o->conf), o->overrides);
    return rv_pool_printf(cycle->pool, "%08x", hash);
}

static int
open_zones(rv_cycle_t *cycle, const rv_cycle_t *old, char *reason)
{
    const char *instance = rv_cycle_instance(cycle);

    if (instance == NULL)
        return no_memory(reason);

    for (rv_cycle_zone_t *z = cycle->zones; z != NULL; z = z->next) {
        rv_zone_t *before = old == NULL ? NULL : rv_cycle_find_zone(old, z->spec.name);

        z->spec.instance = instance;
        if (rv_zone_open(&z->spec, before, &z->zone, reason) != RV_OK)
            return RV_ERROR;
        if (reason[0] != '\0') /* for the log, once it is the cycle's */
            z->warning = rv_pool_strdup(cycle->pool, reason);
    }
    cycle->stats = rv_zone_handle(rv_cycle_find_zone(cycle, "stats"));
    return RV_OK;
}

static void
close_all(rv_cycle_t *cycle, int remove)
{
    for (rv_cycle_zone_t *z = cycle->zones; z != NULL; z = z->next) {
        if (z->zone != NULL)
            rv_zone_close(z->zone, remove);
        z->zone = NULL;
    }
    rv_cycle_close_listeners(cycle, remove);
    rv_log_set_release(&cycle->log);
    cycle->stats = NULL;
}

/* What was added or removed stays so until the file says another number. */
static void
set_workers(rv_cycle_t *cycle, const rv_cycle_t *old)
{
    cycle->said = cycle->workers = (unsigned) cycle->core->worker_processes;
    if (old != NULL && old->said == cycle->said)
        cycle->workers = old->workers;
}

/*
 * Two generations side by side: in the master a channel for each worker, and for each a message
 * that waits; in a worker the channels, and as many again that are not given to clients.
 */
static void
make_room(const rv_cycle_t *cycle)
{
    const size_t others = 64;
    size_t generation = 2 * (size_t) cycle->workers, limit;

    for (const rv_cycle_listener_t *l = cycle->listeners; l != NULL; l = l->next)
        generation += l->listener.reuseport ? cycle->workers : 1;

    size_t wanted = others + 2 * generation;
    if (rv_fd_raise_limit(wanted, &limit) != RV_OK)
        rv_log(RV_LOG_WARN, 0, "%u workers may take %zu descriptors, the limit is %zu",
            cycle->workers, wanted, limit);
}

int
rv_cycle_open(rv_cycle_t *cycle, const rv_cycle_t *old, char reason[RV_CYCLE_REASON])
{
    cycle->worker = rv_pool_array(cycle->pool, RV_CORE_WORKERS, sizeof(*cycle->worker));
    if (cycle->worker == NULL)
        return no_memory(reason);
    for (size_t i = 0; i < RV_CORE_WORKERS; i++)
        cycle->worker[i].slot = -1;
    set_workers(cycle, old);
    if (cycle->core->master_process)
        make_room(cycle);

    /* listeners first: the likeliest to fail, and the last to leave a trace */
    if (open_listeners(cycle, old, reason) == RV_OK && open_logs(cycle, reason) == RV_OK
        && open_zones(cycle, old, reason) == RV_OK)
        return RV_OK;

    close_all(cycle, 1);
    return RV_ERROR;
}

int
rv_cycle_listen_all(rv_cycle_t *cycle, char reason[RV_CYCLE_REASON])
{
    for (rv_cycle_listener_t *l = cycle->listeners; l != NULL; l = l->next) {
        if (rv_listener_listen(&l->listener, reason) != RV_OK)
            return RV_ERROR;
    }
    return RV_OK;
}

void
rv_cycle_commit(rv_cycle_t *cycle, rv_cycle_t *old)
{
    char error[RV_LISTENER_ERROR];

    for (rv_cycle_zone_t *z = cycle->zones; z != NULL; z = z->next) {
        if (rv_zone_adopt(z->zone) != RV_OK)
            rv_log(RV_LOG_ERROR, errno, "zone \"%s\": putting its file into place failed",
                rv_zone_name(z->zone));
    }

    for (rv_cycle_listener_t *l = cycle->listeners; l != NULL; l = l->next) {
        rv_cycle_listener_t *same = rv_cycle_find_listener(old, &l->listener.addr);

        if (rv_listener_commit(&l->listener, same == NULL ? NULL : &same->listener, error) != RV_OK)
            rv_log(RV_LOG_ERROR, 0, "%s", error);
    }
    rv_log_use(&cycle->log);
    for (const rv_cycle_zone_t *z = cycle->zones; z != NULL; z = z->next) {
        if (z->warning != NULL)
            rv_log(RV_LOG_WARN, 0, "%s", z->warning);
    }
}

/* What has become of a zone since it was looked at last, by whatever process. */
static void
report(const rv_cycle_t *cycle, rv_cycle_zone_t *z, int outcome, const char *why)
{
    const char *name = rv_zone_name(z->zone);
    unsigned repaired, rebuilt;

    if (outcome == RV_ERROR && !z->failed)
        rv_log(RV_LOG_CRIT, errno, "zone \"%s\" is of no use: %s", name, why);
    z->failed = outcome == RV_ERROR;
    if (!rv_zone_news(z->zone, &repaired, &rebuilt))
        return;

    if (repaired > 0)
        rv_log(RV_LOG_WARN, 0, "zone \"%s\" was repaired: %s", name, why);
    if (rebuilt > 0)
        rv_log(RV_LOG_ERROR, 0, "zone \"%s\" was made anew, what it held is lost: %s", name, why);
    rv_counts_recoveries(cycle->stats, repaired);
    rv_counts_rebuilds(cycle->stats, rebuilt);
}

void
rv_cycle_look_after_zones(const rv_cycle_t *cycle)
{
    for (rv_cycle_zone_t *z = cycle->zones; z != NULL; z = z->next) {
        if (z->zone != NULL)
            report(cycle, z, rv_zone_look_after(z->zone), "a process died in it");
    }
}

int
rv_cycle_mend_zones(const rv_cycle_t *cycle)
{
    int mended = 0;

    for (rv_cycle_zone_t *z = cycle->zones; z != NULL; z = z->next) {
        int outcome = rv_zone_mend(z->zone);
        int is_whole = outcome == RV_OK || outcome == RV_DONE;

        if (!is_whole && rv_zone_handle(z->zone) == cycle->stats)
            mended = 1;
        /* where nothing was cut off a process has found what another one left */
        report(cycle, z, outcome, is_whole ? "a process died in it" : "its file was cut off");
    }
    return mended;
}

void
rv_cycle_check_files(const rv_cycle_t *cycle)
{
    for (rv_cycle_zone_t *z = cycle->zones; z != NULL; z = z->next) {
        int gone = !rv_zone_is_in_place(z->zone);

        if (gone && !z->gone)
            rv_log(RV_LOG_ERROR, 0,
                "zone \"%s\": \"%s\" was removed or replaced, a reload makes the file anew",
                rv_zone_name(z->zone), z->spec.path);
        z->gone = gone;
    }
}

int
rv_cycle_counts_are_whole(const rv_cycle_t *cycle)
{
    const rv_zone_t *zone = rv_cycle_find_zone(cycle, "stats");

    return zone != NULL && rv_zone_is_whole(zone) && rv_stats_is_whole(cycle->stats);
}

void
rv_cycle_close_listeners(rv_cycle_t *cycle, int remove)
{
    for (rv_cycle_listener_t *l = cycle->listeners; l != NULL; l = l->next)
        rv_listener_close(&l->listener, remove);
}

void
rv_cycle_free(rv_cycle_t *cycle, int remove)
{
    if (cycle == NULL)
        return;

    close_all(cycle, remove);
    rv_pool_destroy(cycle->pool);
}
