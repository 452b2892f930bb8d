/*
 * rv_base: what every file may rely on.
 *
 * Result codes, a few macros and the version. A function that can fail
 * returns one of these codes and leaves errno as the failing call set it.
 */
#ifndef RV_BASE_H
#define RV_BASE_H

#include "rv_auto_config.h"

#include <stddef.h>
#include <stdint.h>

#define RV_NAME "reeve"
#define RV_VERSION "0.1.0"

#define RV_OK 0       /* done */
#define RV_ERROR (-1) /* failed, errno says why where a system call did */
#define RV_AGAIN (-2) /* nothing was done, or not yet all: call again later */
#define RV_DONE (-3)  /* there is no more: end of input, declined */

#define rv_countof(array) (sizeof(array) / sizeof((array)[0]))

/* Evaluate one argument twice: no calls that do something. */
#define rv_min(a, b) ((a) < (b) ? (a) : (b))
#define rv_max(a, b) ((a) > (b) ? (a) : (b))

#define rv_container_of(ptr, type, member) \
    ((type *) (void *) &((char *) (ptr))[-(ptrdiff_t) offsetof(type, member)])

#define RV_UNUSED __attribute__((unused))
#define RV_PRINTF(fmt, args) __attribute__((format(printf, fmt, args)))

#endif
