/*
 * rv_proc_stat: what the kernel says of another process: whether it runs, and for how long it did.
 */
#include "rv_proc_stat.h"

#include "rv_fd.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

int
rv_proc_stat_parse(const char *text, long ticks, rv_proc_stat_t *stat)
{
    const char *end = strrchr(text, ')'); /* of the name, which may hold anything */
    unsigned long long user, system;

    if (end == NULL || ticks <= 0)
        return RV_ERROR;
    if (sscanf(end + 1, " %c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %llu %llu", &stat->state,
            &user, &system)
        != 3)
        return RV_ERROR;
    stat->cpu = (int64_t) ((user + system) * 1000 / (unsigned long long) ticks);
    return RV_OK;
}

int
rv_proc_stat_read(pid_t pid, rv_proc_stat_t *stat)
{
    enum { LIMIT = 4096 };
    char path[64], *text;
    size_t length;

    snprintf(path, sizeof(path), "/proc/%ld/stat", (long) pid);
    if (rv_fd_read_file(path, LIMIT, &text, &length) != RV_OK)
        return RV_ERROR;
    int result = rv_proc_stat_parse(text, sysconf(_SC_CLK_TCK), stat);
    free(text);
    return result;
}
