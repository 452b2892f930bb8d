/*
 * rv_conf_read: an INI file, and the command line's overrides, into rv_conf.
 *
 * The file's syntax is inih's: "[section]", "name = value", comments that
 * begin a line with "#" or ";" or stand after " ;". What inih would cut or pass
 * over in silence is an error here: lines over 199 bytes, section and
 * directive names over 49, control characters, a line that is neither of these.
 */
#ifndef RV_CONF_READ_H
#define RV_CONF_READ_H

#include "rv_conf.h"

#define RV_CONF_READ_LINE 199 /* inih's limits, in bytes */
#define RV_CONF_READ_NAME 49
#define RV_CONF_READ_FILE (1024 * 1024)

/*
 * "main.daemon = off; http.listen = 9000": the section is what stands before
 * the last dot, main where there is none. Before the file, whose values for
 * the same directives are then passed over. RV_ERROR: errors were collected.
 */
int rv_conf_read_overrides(rv_conf_t *cf, const char *text);

/*
 * Reads the file. RV_ERROR: errors were collected. *text, where text is not
 * NULL, gets its content, in the pool.
 */
int rv_conf_read_file(rv_conf_t *cf, const char *path, const char **text);

#endif
