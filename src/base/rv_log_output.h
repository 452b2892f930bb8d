/*
 * rv_log_output: where log lines end up.
 *
 * Files, standard error and syslog sockets stand in one table for the life of
 * the process and are inherited over fork, so that an output has the same
 * index in the master and in all workers: the master alone opens, and passes a
 * new descriptor with its index.
 */
#ifndef RV_LOG_OUTPUT_H
#define RV_LOG_OUTPUT_H

#include "rv_base.h"

#define RV_LOG_OUTPUTS 64 /* open at once, in all generations */

/* Room for what may be wrong with a target, in words. */
#define RV_LOG_OUTPUT_ERROR 128

/*
 * Opens `target`: "stderr", "stdout", a path, or "syslog:" with an optional comma list
 * of server=ADDR (unix:PATH or IP:PORT; unix:/dev/log), facility=NAME (daemon)
 * and tag=WORD (reeve). The same target that is open already is shared.
 * RV_OK: *output is its index, to be given back with rv_log_output_release.
 * RV_ERROR: `error` says it in words and errno is 0, or `error` is empty and
 * errno tells.
 */
int rv_log_output_open(const char *target, unsigned *output, char error[RV_LOG_OUTPUT_ERROR]);

/* Checks a target's syntax, opens nothing. RV_OK, or RV_ERROR and `error`. */
int rv_log_output_check(const char *target, char error[RV_LOG_OUTPUT_ERROR]);

/* Closes the output once everybody who opened it has released it. */
void rv_log_output_release(unsigned output);

/* The target it was opened for. */
const char *rv_log_output_target(unsigned output);

/* Its descriptor; the table's. */
int rv_log_output_fd(unsigned output);

/*
 * Opens the next file or syslog socket after *output anew, its descriptor
 * taking the place of the old one. Begin with *output = 0; RV_OK: *output is
 * the one opened, plus 1. RV_ERROR: so too, but it could not be opened, errno
 * says why, and it goes on as it was. RV_DONE: there is none left.
 */
int rv_log_output_reopen(unsigned *output);

/* Puts fd, which it takes over, in the place of the output's descriptor. */
void rv_log_output_replace(unsigned output, int fd);

/* In a forked child: what the parent has lost is not the child's to report. */
void rv_log_output_forked(void);

/* 1 when the output is standard error, or syslog. */
int rv_log_output_is_stderr(unsigned output);
int rv_log_output_is_syslog(unsigned output);

/*
 * Writes one line, which ends in a newline. `severity` is syslog's, `text` the
 * offset in the line of what a syslog server wants to see (it adds the time itself).
 * What is not taken is counted; the count is written as soon as writing works again.
 */
void rv_log_output_write(
    unsigned output, int severity, const char *line, size_t length, size_t text);

#endif
