/*
 * rv_main: what the command does, by its options.
 *
 * The one global is the log of -e. Whatever fails before the daemon runs is told on the terminal,
 * and the exit status is 1: never "exit 0, then died".
 */
#include "rv_announce.h"
#include "rv_build.h"
#include "rv_command.h"
#include "rv_connection_pass.h"
#include "rv_cycle.h"
#include "rv_daemon.h"
#include "rv_fd.h"
#include "rv_inherit.h"
#include "rv_log_output.h"
#include "rv_master.h"
#include "rv_options.h"
#include "rv_pidfile.h"
#include "rv_process.h"
#include "rv_viewer.h"
#include "rv_worker.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static void
print_version(const rv_options_t *o)
{
    printf("%s version: %s/%s\n", RV_NAME, RV_NAME, RV_VERSION);
    if (o->configure)
        printf("built by %s\nconfigure arguments: %s\n", RV_COMPILER, RV_CONFIGURE_ARGS);
}

static int
print_directives(void)
{
    for (size_t i = 0; rv_modules[i] != NULL; i++) {
        const rv_conf_section_t *const *section = rv_modules[i]->sections;

        for (; section != NULL && *section != NULL; section++) {
            const char *argument = (*section)->argument;

            printf("\n[%s%s%s]\n", (*section)->name, argument ? " " : "", argument ? argument : "");
            for (const rv_directive_t *d = (*section)->directives; d->name != NULL; d++)
                printf("  %-26s %s%s%s\n", d->name, d->help, d->initial ? "; default: " : "",
                    d->initial ? d->initial : "");
        }
    }
    return 0;
}

static int
print_help(const rv_options_t *o)
{
    if (o->topic == NULL) {
        rv_options_help();
        return 0;
    }
    if (strcmp(o->topic, "directives") == 0)
        return print_directives();

    rv_log(RV_LOG_EMERG, 0, "no help on \"%s\", only on \"directives\"", o->topic);
    return 1;
}

static rv_cycle_t *
read_cycle(const rv_cycle_options_t *options, unsigned generation)
{
    rv_cycle_t *cycle = rv_cycle_read(options, generation);

    if (cycle == NULL)
        rv_log(RV_LOG_EMERG, ENOMEM, "reading the configuration failed");
    return cycle;
}

static int
test(const rv_options_t *o, const rv_cycle_options_t *options)
{
    rv_cycle_t *cycle = read_cycle(options, 1);

    if (cycle == NULL)
        return 1;

    int failed = rv_conf_error_count(cycle->conf) > 0;
    rv_cycle_log_messages(cycle, RV_LOG_EMERG);
    if (failed || !o->quiet)
        rv_log_say(
            "configuration file %s test %s", options->conf, failed ? "failed" : "is successful");
    if (!failed && o->dump)
        printf("# configuration file %s:\n%s\n", options->conf, cycle->text);

    rv_cycle_free(cycle, 0);
    return failed;
}

/* "master process" and the command line as it was given. */
static const char *
make_title(int argc, char **argv)
{
    static char title[1024];
    size_t length = (size_t) snprintf(title, sizeof(title), "master process");

    for (int i = 0; i < argc && length < sizeof(title); i++)
        length += (size_t) snprintf(title + length, sizeof(title) - length, " %s", argv[i]);
    return title;
}

typedef struct {
    const rv_cycle_t *cycle;
    int *notify;
} alone_t;

static void
on_ready(void *data)
{
    alone_t *alone = data;

    rv_log(RV_LOG_NOTICE, 0, "%s/%s started, without a master process", RV_NAME, RV_VERSION);
    rv_announce_ready(alone->cycle, *alone->notify != -1);
    rv_daemon_ready(alone->notify, rv_log_uses_stderr());
    rv_log_terminal(RV_LOG_NONE);
}

/* master_process = off */
static int
run_alone(rv_cycle_t *cycle, int *notify)
{
    alone_t alone = { cycle, notify };
    char reason[RV_CYCLE_REASON];
    rv_pidfile_t file;
    int status = 1;

    if (rv_build_pidfile(&file, cycle->core->pid, 0, reason) != RV_OK) {
        rv_log(RV_LOG_EMERG, 0, "%s", reason);
    } else if (rv_cycle_listen_all(cycle, reason) != RV_OK) {
        rv_log(RV_LOG_EMERG, 0, "%s", reason);
        rv_pidfile_remove(&file);
    } else {
        rv_process_set_master(getpid());
        rv_cycle_commit(cycle, NULL);
        if (geteuid() == 0)
            rv_log(RV_LOG_WARN, 0, "\"master_process = off\" keeps the rights of root");
        status = rv_worker_run_alone(cycle, on_ready, &alone);
        rv_pidfile_remove(&file);
    }
    rv_cycle_free(cycle, 1);
    return status;
}

/* -e: where lines go until the configuration names its own logs. */
static rv_log_set_t early_log;

static int
open_early_log(const char *target)
{
    char error[RV_LOG_OUTPUT_ERROR];

    if (rv_log_output_open(target, &early_log.entry[0].output, error) != RV_OK) {
        rv_log(RV_LOG_EMERG, errno, "opening log \"%s\" failed%s%s", target,
            error[0] == '\0' ? "" : ": ", error);
        return RV_ERROR;
    }
    early_log.count = 1;
    early_log.entry[0].level = RV_LOG_NOTICE;
    rv_log_use(&early_log);
    return RV_OK;
}

/* Before anything is opened: another daemon with this pid file? */
static int
may_start(const rv_cycle_t *cycle)
{
    const char *path = cycle->core->pid;
    pid_t pid;

    if (cycle->core->daemon && getpid() == 1) { /* with it all others would end */
        rv_log(RV_LOG_EMERG, 0, "process 1 cannot go to the background: it takes \"daemon = off\"");
        return RV_ERROR;
    }
    if (path == NULL || rv_pidfile_find_any(path, &pid) != RV_OK)
        return RV_OK;

    rv_log(RV_LOG_EMERG, 0, "already running, pid %ld, by \"%s\"", (long) pid, path);
    return RV_ERROR;
}

/* What an older master or a service manager has passed goes to *given. */
static int
inherit(const rv_heritage_t *h, rv_cycle_t **given, const rv_cycle_t *cycle)
{
    char reason[RV_CYCLE_REASON] = "not enough memory";

    *given = rv_inherit_create();
    int result = *given == NULL ? RV_ERROR
        : h->master != 0        ? rv_heritage_give(h, *given, cycle, reason)
                                : rv_inherit_activation(*given, cycle);
    if (result != RV_OK)
        rv_log(RV_LOG_EMERG, 0, "%s", reason);
    return result;
}

/* Reads and opens the first generation; NULL: what is wrong was told. */
static rv_cycle_t *
open_first(const rv_cycle_options_t *options, const rv_heritage_t *h, rv_cycle_t **given)
{
    rv_cycle_t *cycle = read_cycle(options, h->generation + 1);
    char reason[RV_CYCLE_REASON] = "";

    if (cycle == NULL)
        return NULL;

    rv_cycle_log_messages(cycle, RV_LOG_EMERG);
    if (rv_conf_error_count(cycle->conf) > 0)
        goto failed;
    if (h->master == 0 && may_start(cycle) != RV_OK)
        goto failed;
    if (inherit(h, given, cycle) != RV_OK)
        goto failed;
    if (rv_cycle_open(cycle, *given, reason) == RV_OK)
        return cycle;

    rv_log(RV_LOG_EMERG, 0, "%s", reason);
failed:
    rv_cycle_free(*given, 0);
    rv_cycle_free(cycle, 1);
    return NULL;
}

/* The types of messages, the same for all processes. */
static int
register_messages(void)
{
    if (rv_mesh_register("connections", rv_connection_pass_messages) != RV_OK)
        return RV_ERROR; /* there are none before it */
    for (size_t i = 0; rv_modules[i] != NULL; i++) {
        if (rv_modules[i]->messages == NULL
            || rv_mesh_register(rv_modules[i]->name, rv_modules[i]->messages) == RV_OK)
            continue;
        rv_log(RV_LOG_EMERG, errno, "the types of messages of module \"%s\" are no good",
            rv_modules[i]->name);
        return RV_ERROR;
    }
    return RV_OK;
}

/* Whom to tell. -n was for the first master alone. */
static int
announce(const rv_heritage_t *h, int ready_fd)
{
    int follows = h->master != 0;

    (void) rv_announce_hold(follows);
    if (rv_announce_init(follows ? -1 : ready_fd) == RV_OK)
        return RV_OK;

    rv_log(RV_LOG_EMERG, errno, "\"-n %d\" is no descriptor to write to", ready_fd);
    return RV_ERROR;
}

static int
start(const rv_options_t *o, const rv_cycle_options_t *options, rv_master_options_t *master)
{
    rv_heritage_t *h = &master->heritage;
    int terminal;

    if (rv_heritage_take(h) != RV_OK) {
        rv_log(RV_LOG_EMERG, errno, "what another master process hands over is malformed");
        return 1;
    }
    if (h->master != 0 && (terminal = rv_fd_dup(h->ready)) != -1)
        rv_log_terminal_to(terminal);
    if (announce(h, o->ready_fd) != RV_OK || register_messages() != RV_OK)
        return 1;

    rv_cycle_t *cycle = open_first(options, h, &master->given);
    if (cycle == NULL)
        return 1;

    rv_log_use(&cycle->log); /* there is none yet that a failure could spoil */
    rv_log_set_release(&early_log);
    master->notify = h->ready;
    if (h->master == 0 && cycle->core->daemon && rv_daemon_detach(&master->notify) != RV_OK) {
        rv_log(RV_LOG_EMERG, errno, "going to the background failed");
    } else if (cycle->core->master_process) {
        return rv_master_run(master, cycle);
    } else if (h->master == 0) {
        rv_cycle_free(master->given, 0);
        return run_alone(cycle, &master->notify);
    } else {
        rv_log(RV_LOG_EMERG, 0, "\"master_process\" cannot be changed by an upgrade");
    }
    rv_cycle_free(master->given, 0);
    rv_cycle_free(cycle, 1);
    return 1;
}

int
main(int argc, char **argv)
{
    static rv_options_t o; /* its texts live as long as the process */

    rv_log_terminal(RV_LOG_WARN);
    if (rv_daemon_fill_standard() != RV_OK
        || rv_daemon_title_init(argc, argv) != RV_OK) { /* moves argv: before all else */
        rv_log(RV_LOG_EMERG, errno, "starting failed");
        return 1;
    }
    if (rv_options_parse(&o, argc, argv) != RV_OK)
        return 1;

    if (o.help)
        return print_help(&o);
    if (o.version) {
        print_version(&o);
        return 0;
    }

    const rv_cycle_options_t options = {
        .prefix = o.prefix, .conf = o.conf, .overrides = o.overrides
    };
    rv_loop_log();
    if (o.error_log != NULL && open_early_log(o.error_log) != RV_OK)
        return 1;
    if (o.test)
        return test(&o, &options);
    if (o.status)
        return rv_viewer_run(&options, o.form);
    if (o.signal != NULL)
        return rv_command_run(&options, o.signal, o.wait);

    static rv_master_options_t master; /* what it refers to lives as long */
    master = (rv_master_options_t){ .options = &options,
        .title = make_title(argc, argv),
        .command = { .program = rv_daemon_program(argv[0]), .argv = argv } };
    return start(&o, &options, &master);
}
