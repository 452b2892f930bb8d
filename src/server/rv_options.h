/*
 * rv_options: the command line.
 */
#ifndef RV_OPTIONS_H
#define RV_OPTIONS_H

#include "rv_base.h"
#include "rv_signal.h"
#include "rv_viewer.h"

typedef struct {
    int help;                  /* -? -h */
    const char *topic;         /* -h directives */
    int version;               /* -v */
    int configure;             /* -V */
    int test;                  /* -t, -T */
    int dump;                  /* -T */
    int quiet;                 /* -q */
    const rv_signal_t *signal; /* -s */
    uint64_t wait;             /* -w, ms: for what becomes of it */
    int ready_fd;              /* -n; -1: none */
    int status;                /* the word status: look at a running daemon */
    rv_viewer_form_t form;     /* -j, -s behind it */
    const char *prefix;        /* -p; ends in "/", absolute */
    const char *conf;          /* -c; absolute */
    const char *error_log;     /* -e */
    const char *overrides;     /* -g */
} rv_options_t;

/*
 * Reads the command line; texts live until the process ends. RV_ERROR: what is
 * wrong stands on the terminal.
 */
int rv_options_parse(rv_options_t *options, int argc, char **argv);

/* What -h prints. */
void rv_options_help(void);

#endif
