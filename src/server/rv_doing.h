/*
 * rv_doing: what a worker was doing, and for how long it lived, in words.
 */
#ifndef RV_DOING_H
#define RV_DOING_H

#include "rv_cycle.h"

#define RV_DOING_TEXT 256
#define RV_DOING_TIME 32

/*
 * Of the worker of this cycle in this slot, as it has noted: "idle", or
 * answering at "127.0.0.1:8080", handler "return".
 */
const char *rv_doing(const rv_cycle_t *cycle, unsigned slot, char text[RV_DOING_TEXT]);

/* Milliseconds as an operator writes a TIME: "350ms", "12s", "2d5h". */
const char *rv_doing_time(int64_t msec, char text[RV_DOING_TIME]);

#endif
