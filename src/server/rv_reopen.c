/*
 * rv_reopen: log files that were moved away are made anew.
 */
#include "rv_reopen.h"

#include "rv_log_output.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

int
rv_reopen(void (*pass)(unsigned output, int fd), char reason[RV_CYCLE_REASON])
{
    unsigned output = 0;
    int result, failed = 0;

    reason[0] = '\0';
    rv_log(RV_LOG_NOTICE, 0, "reopening logs");
    while ((result = rv_log_output_reopen(&output)) != RV_DONE) {
        if (result == RV_OK && pass != NULL)
            pass(output - 1, rv_log_output_fd(output - 1));
        if (result == RV_OK)
            continue;

        failed = 1;
        snprintf(reason, RV_CYCLE_REASON, "reopening log \"%s\" failed (%d: %s)",
            rv_log_output_target(output - 1), errno, strerror(errno));
        rv_log(RV_LOG_ERROR, 0, "%s", reason);
    }
    return failed ? RV_ERROR : RV_OK;
}
