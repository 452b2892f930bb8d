/*
 * rv_options: the command line.
 *
 * The letters are nginx's. Paths are made absolute here, once: a daemon that
 * has changed its folder must still find its configuration.
 */
#include "rv_options.h"

#include "rv_command.h"
#include "rv_log.h"
#include "rv_parse.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

void
rv_options_help(void)
{
    printf("reeve version: %s/%s\n"
           "Usage: reeve [-?hvVtTq] [-s signal [-w seconds]] [-p prefix] [-c file] [-e file]\n"
           "             [-g directives] [-n descriptor]\n"
           "       reeve status [-js] [-p prefix] [-c file]\n"
           "\n"
           "  -?, -h         this help; \"-h directives\": every directive and its default\n"
           "  -v             version\n"
           "  -V             version, compiler and configure arguments\n"
           "  -t             test the configuration and exit\n"
           "  -T             test the configuration, print it and exit\n"
           "  -q             with -t: print nothing but errors\n"
           "  -s signal      to the running master: stop, quit, reload, reopen, upgrade, add,\n"
           "                 remove; waits for the outcome: exit status 0 done, 1 failed,\n"
           "                 2 under way\n"
           "  -w seconds     with -s: how long to wait (30), 0: not at all\n"
           "  -p prefix      where relative paths begin (%s)\n"
           "  -c file        configuration file (%s)\n"
           "  -e file        where to log until the configuration is read (stderr)\n"
           "  -g directives  override the file: \"daemon = off; http.listen = 9000\"\n"
           "  -n descriptor  write a newline to it when the daemon is ready\n"
           "\n"
           "  status         what the running daemon does and has done\n"
           "    -j           the same as JSON\n"
           "    -s           the same as nginx's stub_status\n",
        RV_NAME, RV_VERSION, RV_PREFIX, RV_CONF_PATH);
}

/* folder + name, or name alone where it is absolute; folder ends in "/". */
static const char *
join(const char *folder, const char *name, const char *end)
{
    size_t size = strlen(folder) + strlen(name) + strlen(end) + 1;
    char *path = malloc(size);

    if (path != NULL)
        snprintf(path, size, "%s%s%s", name[0] == '/' ? "" : folder, name, end);
    return path;
}

static int
set_paths(rv_options_t *o)
{
    char folder[4096];
    size_t length;

    if (getcwd(folder, sizeof(folder) - 1) == NULL)
        folder[0] = '\0';
    length = strlen(folder);
    if (length == 0 || folder[length - 1] != '/')
        memcpy(folder + length, "/", 2);

    if (o->prefix == NULL)
        o->prefix = RV_PREFIX;
    length = strlen(o->prefix);
    o->prefix = join(folder, o->prefix, length > 0 && o->prefix[length - 1] == '/' ? "" : "/");
    if (o->prefix == NULL)
        return RV_ERROR;

    o->conf = join(o->prefix, o->conf == NULL ? RV_CONF_PATH : o->conf, "");
    if (o->error_log != NULL && strcmp(o->error_log, "stderr") != 0
        && strcmp(o->error_log, "stdout") != 0)
        o->error_log = join(o->prefix, o->error_log, "");
    return o->conf == NULL ? RV_ERROR : RV_OK;
}

/* "stop, quit or reload", of the words that there are. */
static void
list_signals(char *text, size_t room)
{
    const char *last = NULL;
    size_t used = 0;

    text[0] = '\0';
    for (size_t i = 0; rv_signal_at(i) != NULL; i++) {
        const char *word = rv_signal_at(i)->command;

        if (word == NULL)
            continue;
        if (last != NULL && used < room)
            used += (size_t) snprintf(text + used, room - used, "%s%s", used > 0 ? ", " : "", last);
        last = word;
    }
    if (last != NULL && used < room)
        snprintf(text + used, room - used, " or %s", last);
}

static int
set_signal(rv_options_t *o, const char *word)
{
    char words[256];

    o->signal = rv_signal_command(word);
    if (o->signal != NULL)
        return RV_OK;

    list_signals(words, sizeof(words));
    rv_log(RV_LOG_EMERG, 0, "invalid option: \"-s %s\", it must be %s", word, words);
    return RV_ERROR;
}

static int
set_ready_fd(rv_options_t *o, const char *word)
{
    uint64_t fd;

    if (rv_parse_uint(word, &fd) == RV_OK && fd <= INT_MAX) {
        o->ready_fd = (int) fd;
        return RV_OK;
    }
    rv_log(RV_LOG_EMERG, 0, "invalid option: \"-n %s\", it must be a descriptor", word);
    return RV_ERROR;
}

static int
set_wait(rv_options_t *o, const char *word)
{
    if (rv_parse_msec(word, &o->wait) == RV_OK)
        return RV_OK;

    rv_log(RV_LOG_EMERG, 0, "invalid option: \"-w %s\", it must be a time", word);
    return RV_ERROR;
}

/* Behind the word status two letters have another meaning. */
static int
set_option(rv_options_t *o, int letter, char *value)
{
    if (o->status && (letter == 'j' || letter == 's')) {
        o->form = letter == 'j' ? RV_VIEWER_JSON : RV_VIEWER_STUB;
        return RV_OK;
    }
    switch (letter) {
    case 'h':
        o->help = 1;
        return RV_OK;
    case 'v':
        o->version = 1;
        return RV_OK;
    case 'V':
        o->version = o->configure = 1;
        return RV_OK;
    case 'T':
        o->dump = 1;
        o->test = 1;
        return RV_OK;
    case 't':
        o->test = 1;
        return RV_OK;
    case 'q':
        o->quiet = 1;
        return RV_OK;
    case 's':
        return set_signal(o, value);
    case 'w':
        return set_wait(o, value);
    case 'n':
        return set_ready_fd(o, value);
    case 'p':
        o->prefix = value;
        return RV_OK;
    case 'c':
        o->conf = value;
        return RV_OK;
    case 'e':
        o->error_log = value;
        return RV_OK;
    case 'g':
        o->overrides = value;
        return RV_OK;
    default:
        return RV_ERROR;
    }
}

/* Reads options up to the first word that is none. */
static int
read_options(rv_options_t *o, int argc, char **argv, const char *letters)
{
    int letter;

    while ((letter = getopt(argc, argv, letters)) != -1) {
        if (letter == ':') {
            rv_log(RV_LOG_EMERG, 0, "option \"-%c\" needs a value", optopt);
            return RV_ERROR;
        }
        if (letter == '?' && optopt == '?') {
            o->help = 1;
        } else if (letter == '?') {
            rv_log(RV_LOG_EMERG, 0, "invalid option: \"-%c\"", optopt);
            return RV_ERROR;
        } else if (set_option(o, letter, optarg) != RV_OK) {
            return RV_ERROR;
        }
    }
    return RV_OK;
}

int
rv_options_parse(rv_options_t *o, int argc, char **argv)
{
    static char help[] = "-h", version[] = "-v";

    *o = (rv_options_t){ .wait = RV_COMMAND_WAIT_MSEC, .ready_fd = -1 };
    opterr = 0;
    if (argc == 2 && strcmp(argv[1], "--help") == 0)
        argv[1] = help;
    if (argc == 2 && strcmp(argv[1], "--version") == 0)
        argv[1] = version;
    if (read_options(o, argc, argv, "+:hvVtTqs:w:p:c:e:g:n:") != RV_OK)
        return RV_ERROR;

    if (!o->help && o->signal == NULL && optind < argc && strcmp(argv[optind], "status") == 0) {
        o->status = 1;
        optind++;
        if (read_options(o, argc, argv, "+:hjsp:c:g:") != RV_OK)
            return RV_ERROR;
    }
    if (o->help && optind < argc)
        o->topic = argv[optind++];
    if (optind < argc) {
        rv_log(RV_LOG_EMERG, 0, "invalid argument: \"%s\"", argv[optind]);
        return RV_ERROR;
    }
    return set_paths(o);
}
