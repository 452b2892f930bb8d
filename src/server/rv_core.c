/*
 * rv_core: the daemon's own sections, [main], [events] and [zone NAME].
 */
#include "rv_core.h"

#include "rv_conf_set.h"
#include "rv_cpu.h"
#include "rv_log_output.h"
#include "rv_loop.h"
#include "rv_parse.h"
#include "rv_sandbox_filter.h"
#include "rv_shm.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

extern char **environ;

static int
set_user(rv_conf_t *cf, const rv_directive_t *d, const char *value, void *field)
{
    rv_core_conf_t *core = rv_container_of(field, rv_core_conf_t, user);
    char *words[2] = { NULL, NULL };
    const char *missing;
    size_t n = rv_conf_set_split(cf, value, words, 2);

    if (n < 1 || n > 2)
        return rv_conf_set_invalid(cf, d, value);

    core->user.is_set = value != d->initial;
    if (geteuid() != 0)
        return RV_OK; /* no choice, and perhaps no such user */

    if (rv_daemon_user(words[0], words[1], &core->user.user, &missing) == RV_OK)
        return RV_OK;
    return rv_conf_error(
        cf, "there is no %s \"%s\"", missing == words[0] ? "user" : "group", missing);
}

static int
set_worker_processes(rv_conf_t *cf, const rv_directive_t *d, const char *value, void *field)
{
    if (strcmp(value, "auto") != 0)
        return rv_conf_set_uint(cf, d, value, field);

    *(uint64_t *) field = rv_min(rv_cpu_count(), RV_CORE_WORKERS);
    return RV_OK;
}

static int
set_limit(rv_conf_t *cf, const rv_directive_t *d, const char *value, void *field)
{
    rv_core_limit_t *limit = field;

    limit->is_set = 1;
    return rv_conf_set_size(cf, d, value, &limit->value);
}

/* "auto [MASK]" or "MASK ..." */
static int
set_affinity(rv_conf_t *cf, const rv_directive_t *d, const char *value, void *field)
{
    enum { MAX = 128 }; /* more than a line holds */
    rv_affinity_t *affinity = field;
    char *words[MAX] = { NULL };
    size_t n = rv_conf_set_split(cf, value, words, MAX);

    if (n < 1 || n > MAX)
        return rv_conf_set_invalid(cf, d, value);

    affinity->automatic = strcmp(words[0], "auto") == 0;
    affinity->count = (unsigned) n - (affinity->automatic ? 1 : 0);
    if (affinity->automatic && affinity->count > 1)
        return rv_conf_set_invalid(cf, d, value);

    affinity->mask = rv_pool_array(rv_conf_pool(cf), n, sizeof(*affinity->mask));
    if (affinity->mask == NULL)
        return rv_conf_error(cf, "not enough memory");
    for (unsigned i = 0; i < affinity->count; i++) {
        const char *mask = words[n - affinity->count + i];

        if (rv_affinity_parse(mask, &affinity->mask[i]) != RV_OK)
            return rv_conf_error(cf, "invalid mask \"%s\" in directive \"%s\"", mask, d->name);
    }
    return RV_OK;
}

/* Workers beat once a second: what is asked of them must leave room for that. */
static int
set_hang_timeout(rv_conf_t *cf, const rv_directive_t *d, const char *value, void *field)
{
    enum { LEAST_MSEC = 2000 };

    if (rv_conf_set_msec(cf, d, value, field) != RV_OK)
        return RV_ERROR;
    if (*(uint64_t *) field != 0 && *(uint64_t *) field < LEAST_MSEC)
        return rv_conf_error(cf, "\"%s\" in directive \"%s\" is neither 0 nor at least %dms", value,
            d->name, LEAST_MSEC);
    return RV_OK;
}

/* "off" or a path */
static int
set_pid(rv_conf_t *cf, const rv_directive_t *d, const char *value, void *field)
{
    rv_core_conf_t *core = rv_container_of(field, rv_core_conf_t, pid);

    core->no_pid = strcmp(value, "off") == 0;
    return core->no_pid ? RV_OK : rv_conf_set_path(cf, d, value, field);
}

/* "TARGET [LEVEL]" */
static int
set_error_log(rv_conf_t *cf, const rv_directive_t *d, const char *value, void *field)
{
    char *words[2] = { NULL, NULL };
    char error[RV_LOG_OUTPUT_ERROR];
    rv_core_log_t **last = field;
    rv_core_log_t *log = rv_pool_alloc(rv_conf_pool(cf), sizeof(*log));
    size_t n = rv_conf_set_split(cf, value, words, 2);
    unsigned count = 1;

    if (log == NULL || n < 1 || n > 2)
        return rv_conf_set_invalid(cf, d, value);

    log->level = n == 2 ? rv_log_level(words[1]) : RV_LOG_ERROR;
    if (log->level == RV_LOG_NONE)
        return rv_conf_error(cf, "unknown log level \"%s\"", words[1]);
    if (rv_log_output_check(words[0], error) != RV_OK)
        return rv_conf_error(cf, "%s", error);

    int is_file = strcmp(words[0], "stderr") != 0 && strcmp(words[0], "stdout") != 0
        && strncmp(words[0], "syslog:", 7) != 0;
    log->target = is_file ? rv_conf_path(cf, words[0]) : words[0];
    for (; *last != NULL; last = &(*last)->next) {
        if (++count > RV_LOG_SET_MAX)
            return rv_conf_error(cf, "more than %d error_log directives", RV_LOG_SET_MAX);
    }
    *last = log;
    return RV_OK;
}

static int
set_env(rv_conf_t *cf, const rv_directive_t *d, const char *value, void *field)
{
    rv_core_env_t **last = field;
    rv_core_env_t *env = rv_pool_alloc(rv_conf_pool(cf), sizeof(*env));

    if (value[0] == '=')
        return rv_conf_set_invalid(cf, d, value);
    if (env == NULL || (env->text = rv_pool_strdup(rv_conf_pool(cf), value)) == NULL)
        return rv_conf_error(cf, "not enough memory");

    while (*last != NULL)
        last = &(*last)->next;
    *last = env;
    return RV_OK;
}

static int
set_sandbox(rv_conf_t *cf, const rv_directive_t *d, const char *value, void *field)
{
    if (rv_conf_set_flag(cf, d, value, field) != RV_OK)
        return RV_ERROR;

    if (!*(int *) field || rv_sandbox_filter_is_there())
        return RV_OK;
    return rv_conf_error(cf, "\"sandbox = on\" needs a program that was built with libseccomp");
}

static int
set_use(rv_conf_t *cf, const rv_directive_t *d, const char *value, void *field)
{
    if (rv_loop_has_method(value))
        return rv_conf_set_string(cf, d, value, field);

    return rv_conf_error(cf, "event method \"%s\" is not available here", value);
}

static int
set_type(rv_conf_t *cf, const rv_directive_t *d, const char *value, void *field)
{
    if (rv_shm_type(value) != NULL)
        return rv_conf_set_string(cf, d, value, field);

    return rv_conf_error(cf, "zone type \"%s\" is not in this build", value);
}

static int
set_zone_size(rv_conf_t *cf, const rv_directive_t *d, const char *value, void *field)
{
    if (rv_conf_set_size(cf, d, value, field) != RV_OK)
        return RV_ERROR;

    return *(size_t *) field > 0 ? RV_OK : rv_conf_error(cf, "zone size is zero");
}

static const rv_conf_bounds_t workers = { 1, RV_CORE_WORKERS };
static const rv_conf_bounds_t priorities = { -20, 20 };
static const rv_conf_bounds_t connections = { 1, 10000000 };
static const rv_conf_bounds_t queues = { 64 * 1024, 1024 * 1024 * 1024 };
static const rv_conf_bounds_t hangs = { 0, 24 * 3600 * 1000 };
static const rv_conf_bounds_t startup = { 100, 24 * 3600 * 1000 };

#define MAIN(field) offsetof(rv_core_conf_t, field)

static const rv_directive_t main_directives[] = {
    { "daemon", rv_conf_set_flag, MAIN(daemon), "on", "go to the background (on|off)", NULL, 0 },
    { "master_process", rv_conf_set_flag, MAIN(master_process), "on",
        "a master with workers; off: one process, for debugging (on|off)", NULL, 0 },
    { "graceful_term", rv_conf_set_flag, MAIN(graceful_term), "off",
        "SIGTERM does what SIGQUIT does (on|off)", NULL, 0 },
    { "user", set_user, MAIN(user), RV_USER " " RV_GROUP,
        "whom workers run as when started as root (USER [GROUP])", NULL, 0 },
    { "worker_processes", set_worker_processes, MAIN(worker_processes), "auto",
        "how many workers; auto: one for each processor to be had (N|auto)", &workers, 0 },
    { "worker_rlimit_nofile", set_limit, MAIN(worker_rlimit_nofile), NULL,
        "limit of open descriptors of a worker (N)", NULL, 0 },
    { "worker_rlimit_core", set_limit, MAIN(worker_rlimit_core), NULL,
        "limit of a worker's core file (SIZE)", NULL, 0 },
    { "worker_priority", rv_conf_set_int, MAIN(worker_priority), "0",
        "nice value of the workers, -20 to 20 (N)", &priorities, 0 },
    { "worker_cpu_affinity", set_affinity, MAIN(worker_cpu_affinity), NULL,
        "which processors each worker runs on (auto [MASK]|MASK ...)", NULL, 0 },
    { "worker_shutdown_timeout", rv_conf_set_msec, MAIN(worker_shutdown_timeout), "60s",
        "how long a worker may take to finish its connections (TIME)", NULL, 0 },
    { "worker_startup_timeout", rv_conf_set_msec, MAIN(worker_startup_timeout), "30s",
        "how long a new generation may take to get ready (TIME)", &startup, 0 },
    { "worker_hang_timeout", set_hang_timeout, MAIN(worker_hang_timeout), "0",
        "how long a worker may hang before it is replaced; 0: for ever (TIME)", &hangs, 0 },
    { "channel_queue", rv_conf_set_size, MAIN(channel_queue), "1m",
        "how much may wait to be sent to one other process (SIZE)", &queues, 0 },
    { "pid", set_pid, MAIN(pid), RV_PID_PATH, "the file with the master's process id (PATH|off)",
        NULL, 0 },
    { "error_log", set_error_log, MAIN(logs), RV_ERROR_LOG_PATH " error",
        "where to log, from which level on (PATH|stderr|stdout|syslog:... [LEVEL])", NULL,
        RV_DIRECTIVE_REPEAT },
    { "working_directory", rv_conf_set_path, MAIN(working_directory), NULL,
        "working directory of the workers (PATH)", NULL, 0 },
    { "env", set_env, MAIN(env), NULL, "a variable that workers keep, or get (NAME[=VALUE])", NULL,
        RV_DIRECTIVE_REPEAT },
    { "chroot", rv_conf_set_path, MAIN(chroot), NULL,
        "root directory of the workers, when started as root (PATH)", NULL, 0 },
    { "sandbox", set_sandbox, MAIN(sandbox), RV_SANDBOX,
        "end a worker that makes a system call it has no need of (on|off)", NULL, 0 },
    { .name = NULL },
};

static const rv_directive_t events_directives[] = {
    { "worker_connections", rv_conf_set_uint, offsetof(rv_core_events_t, worker_connections),
        "1024", "client connections of a worker at a time (N)", &connections, 0 },
    { "accept_balance", rv_conf_set_flag, offsetof(rv_core_events_t, accept_balance), "off",
        "a worker with more than its share passes new clients to others (on|off)", NULL, 0 },
    { "use", set_use, offsetof(rv_core_events_t, use), NULL,
        "libevent's method; otherwise the best (epoll|poll|select|...)", NULL, 0 },
    { .name = NULL },
};

static const rv_directive_t zone_directives[] = {
    { "type", set_type, offsetof(rv_core_zone_t, type), "auto",
        "kind of shared memory (auto|memfd|anon|devzero|sysv|posix|file)", NULL, 0 },
    { "size", set_zone_size, offsetof(rv_core_zone_t, size), NULL,
        "its size; otherwise what its owner asks for (SIZE)", NULL, 0 },
    { "path", rv_conf_set_path, offsetof(rv_core_zone_t, path), NULL,
        "the file of type file (PATH)", NULL, 0 },
    { "mlock", rv_conf_set_flag, offsetof(rv_core_zone_t, mlock), "off",
        "keep it in memory (on|off)", NULL, 0 },
    { "hugepages", rv_conf_set_flag, offsetof(rv_core_zone_t, hugepages), "off",
        "make it of huge pages, where the machine has some (on|off)", NULL, 0 },
    { .name = NULL },
};

static int
finish_main(rv_conf_t *cf, const char *argument, void *conf)
{
    rv_core_conf_t *core = conf;
    const rv_affinity_t *affinity = &core->worker_cpu_affinity;

    (void) argument;
    for (const rv_core_log_t *log = core->logs; log != NULL; log = log->next) {
        if (core->daemon && strcmp(log->target, "stdout") == 0)
            return rv_conf_error(cf, "\"error_log = stdout\" needs \"daemon = off\"");
    }
    if (core->user.is_set && geteuid() != 0)
        rv_conf_warn(cf, "the \"user\" directive has no effect: not started as root");
    if (!affinity->automatic && affinity->count > 0 && affinity->count != core->worker_processes)
        rv_conf_warn(cf, "%u masks in \"worker_cpu_affinity\" for %llu workers%s", affinity->count,
            (unsigned long long) core->worker_processes,
            affinity->count < core->worker_processes ? ", the last is for all further ones" : "");
    return RV_OK;
}

static const rv_conf_section_t main_section = { "main", NULL, sizeof(rv_core_conf_t),
    main_directives, finish_main };
static const rv_conf_section_t events_section = { "events", NULL, sizeof(rv_core_events_t),
    events_directives, NULL };
static const rv_conf_section_t zone_section = { "zone", "NAME", sizeof(rv_core_zone_t),
    zone_directives, NULL };
static const rv_conf_section_t *const sections[] = { &main_section, &events_section, &zone_section,
    NULL };

const rv_module_t rv_core_module = { .name = "core", .sections = sections };

/* What the environment has under this name, or NULL. */
static char *
find_variable(char **env, const char *name, size_t length)
{
    for (; *env != NULL; env++) {
        if (strncmp(*env, name, length) == 0 && (*env)[length] == '=')
            return *env;
    }
    return NULL;
}

/* Puts a variable in the place of one of the same name, or behind the last. */
static void
put_variable(char **env, char *text)
{
    size_t length = strcspn(text, "=");

    while (*env != NULL && (strncmp(*env, text, length) != 0 || (*env)[length] != '='))
        env++;
    *env = text;
}

int
rv_core_set_environment(const rv_core_conf_t *core)
{
    static char **made; /* the process keeps it to its end */
    size_t count = 1;

    for (const rv_core_env_t *e = core->env; e != NULL; e = e->next)
        count++;
    made = calloc(count + 1, sizeof(char *));
    if (made == NULL)
        return RV_ERROR;

    char *zone = find_variable(environ, "TZ", 2);
    if (zone != NULL)
        put_variable(made, zone);

    for (const rv_core_env_t *e = core->env; e != NULL; e = e->next) {
        /* the pool's text: a worker's cycle lives as long as its environment */
        char *text = strchr(e->text, '=') != NULL
            ? (char *) (uintptr_t) e->text
            : find_variable(environ, e->text, strlen(e->text));
        if (text != NULL)
            put_variable(made, text);
    }
    environ = made;
    tzset();
    return RV_OK;
}
