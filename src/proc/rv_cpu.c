/*
 * rv_cpu: how many processors this process may really use.
 *
 * A container's limit is mostly a quota: microseconds of CPU time in each
 * period. More workers than that would only be throttled in turn.
 */
#include "rv_cpu.h"

#include "rv_fd.h"

#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { PATH_ROOM = 1024, FILE_LIMIT = 64 * 1024 };

#if RV_HAVE_SCHED_GETAFFINITY

static unsigned
affinity(void)
{
    cpu_set_t set;

    if (sched_getaffinity(0, sizeof(set), &set) == 0 && CPU_COUNT(&set) > 0)
        return (unsigned) CPU_COUNT(&set);

    long n = sysconf(_SC_NPROCESSORS_ONLN);
    return n < 1 ? 1 : (unsigned) n;
}

#else

static unsigned
affinity(void)
{
    long n = sysconf(_SC_NPROCESSORS_ONLN);

    return n < 1 ? 1 : (unsigned) n;
}

#endif

/* Two numbers, quota and period, as whole processors; 0: no limit. */
static unsigned
whole(long long quota, long long period)
{
    if (quota <= 0 || period <= 0)
        return 0;
    return (unsigned) ((quota + period - 1) / period);
}

static int
read_text(char *path, const char *folder, const char *name, char **text)
{
    size_t length;
    int n = snprintf(path, PATH_ROOM, "%s/%s", folder, name);

    if (n < 0 || n >= PATH_ROOM)
        return RV_ERROR;
    return rv_fd_read_file(path, FILE_LIMIT, text, &length);
}

/* "max 100000" or "150000 100000" */
static unsigned
quota_v2(const char *folder)
{
    char path[PATH_ROOM], *text;
    long long quota = 0, period = 0;

    if (read_text(path, folder, "cpu.max", &text) != RV_OK)
        return 0;
    int n = sscanf(text, "%lld %lld", &quota, &period);
    free(text);
    return n == 2 ? whole(quota, period) : 0;
}

static long long
read_number(const char *folder, const char *name)
{
    char path[PATH_ROOM], *text;

    if (read_text(path, folder, name, &text) != RV_OK)
        return -1;
    long long number = strtoll(text, NULL, 10);
    free(text);
    return number;
}

static unsigned
quota_v1(const char *folder)
{
    return whole(read_number(folder, "cpu.cfs_quota_us"), read_number(folder, "cpu.cfs_period_us"));
}

static unsigned
smaller(unsigned a, unsigned b)
{
    return a == 0 || (b != 0 && b < a) ? b : a;
}

/* The smallest quota of the group and of all above it, up to the mount. */
static unsigned
climb(const char *mount, const char *group, unsigned (*quota)(const char *))
{
    char folder[PATH_ROOM];
    size_t base = strlen(mount);
    unsigned result = 0;

    int n = snprintf(folder, sizeof(folder), "%s%s", mount, group);
    if (n < 0 || (size_t) n >= sizeof(folder))
        return 0;

    for (;;) {
        result = smaller(result, quota(folder));
        char *slash = strrchr(folder, '/');
        if (slash == NULL || strlen(folder) <= base)
            break;
        *slash = '\0';
    }
    return result;
}

/* Whether the comma list has the word "cpu". */
static int
has_cpu(const char *list, size_t length)
{
    static const char word[] = "cpu";
    const char *end = list + length;

    while (list < end) {
        const char *comma = memchr(list, ',', (size_t) (end - list));
        size_t n = (size_t) ((comma == NULL ? end : comma) - list);

        if (n == sizeof(word) - 1 && memcmp(list, word, n) == 0)
            return 1;
        list += n + 1;
    }
    return 0;
}

/* One line, "ID:CONTROLLERS:GROUP". */
static unsigned
quota_of_line(const char *cgroups, char *line)
{
    char mount[PATH_ROOM];
    char *list = strchr(line, ':');
    char *group = list == NULL ? NULL : strchr(list + 1, ':');

    if (group == NULL)
        return 0;

    size_t length = (size_t) (group - (list + 1));
    if (length == 0)
        return climb(cgroups, group + 1, quota_v2);
    if (!has_cpu(list + 1, length))
        return 0;

    snprintf(mount, sizeof(mount), "%s/cpu", cgroups);
    return climb(mount, group + 1, quota_v1);
}

unsigned
rv_cpu_quota(const char *cgroups, const char *membership)
{
    char *text, *save = NULL;
    size_t length;
    unsigned result = 0;

    if (rv_fd_read_file(membership, FILE_LIMIT, &text, &length) != RV_OK)
        return 0;

    for (char *line = strtok_r(text, "\n", &save); line != NULL; line = strtok_r(NULL, "\n", &save))
        result = smaller(result, quota_of_line(cgroups, line));

    free(text);
    return result;
}

unsigned
rv_cpu_count(void)
{
    return smaller(affinity(), rv_cpu_quota("/sys/fs/cgroup", "/proc/self/cgroup"));
}
