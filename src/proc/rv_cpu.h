/*
 * rv_cpu: how many processors this process may really use.
 */
#ifndef RV_CPU_H
#define RV_CPU_H

#include "rv_base.h"

/*
 * The smaller of the affinity mask and the CPU quota of the control group
 * (version 2's cpu.max and version 1's cpu.cfs_quota_us, of the group itself
 * and of those above it), rounded up; at least 1.
 */
unsigned rv_cpu_count(void);

/*
 * The quota alone, 0 where there is none. `cgroups` is where the hierarchies
 * are mounted ("/sys/fs/cgroup"), `membership` the file that says which group this process
 * is in ("/proc/self/cgroup").
 */
unsigned rv_cpu_quota(const char *cgroups, const char *membership);

#endif
