/*
 * rv_viewer: `reeve status`, a look at a running daemon from outside.
 */
#ifndef RV_VIEWER_H
#define RV_VIEWER_H

#include "rv_cycle.h"

typedef enum { RV_VIEWER_TABLE, RV_VIEWER_JSON, RV_VIEWER_STUB } rv_viewer_form_t;

/*
 * Finds the master by its pid file, maps what it has for reading, and prints it. Asks
 * nobody and waits for nobody. Returns the exit status; what is wrong stands on the terminal.
 */
int rv_viewer_run(const rv_cycle_options_t *options, rv_viewer_form_t form);

#endif
