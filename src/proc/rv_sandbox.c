/*
 * rv_sandbox: rights that a worker gives up.
 *
 * A change of the user away from root already takes the effective and the
 * permitted capabilities, but a daemon may have been started with some and no
 * root, or its workers may run as root: they are dropped in any case. An empty
 * inheritable set empties the ambient one with it.
 *
 * What the kernel leaves after a change of the user is for it to say
 * (/proc/sys/fs/suid_dumpable): 0, no core file and /proc/PID for root alone; 2,
 * the same, and cores that only root can read; 1, cores that are the new user's. A
 * worker's user may have other processes, so 1 is made 0 unless cores were
 * asked for.
 */
#include "rv_sandbox.h"

#include <errno.h>
#include <unistd.h>

#if RV_HAVE_CAPABILITIES
#include <linux/capability.h>
#include <sys/syscall.h>
#endif

#if RV_HAVE_CAPABILITIES || RV_HAVE_DUMPABLE
#include <sys/prctl.h>
#endif

int
rv_sandbox_chroot(const char *path)
{
    return chroot(path) == 0 && chdir("/") == 0 ? RV_OK : RV_ERROR;
}

#if RV_HAVE_CAPABILITIES

void
rv_sandbox_bound(void)
{
    int saved = errno;

    for (unsigned long cap = 0; prctl(PR_CAPBSET_READ, cap, 0, 0, 0) >= 0; cap++)
        (void) prctl(PR_CAPBSET_DROP, cap, 0, 0, 0);
    errno = saved;
}

int
rv_sandbox_drop(void)
{
    struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };
    struct __user_cap_data_struct none[_LINUX_CAPABILITY_U32S_3] = { { 0 } };

    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == -1)
        return RV_ERROR;
    return syscall(SYS_capset, &header, none) == 0 ? RV_OK : RV_ERROR;
}

#else

void
rv_sandbox_bound(void)
{
}

int
rv_sandbox_drop(void)
{
    return RV_OK;
}

#endif

#if RV_HAVE_DUMPABLE

void
rv_sandbox_set_core(int allowed)
{
    int is_users = prctl(PR_GET_DUMPABLE, 0, 0, 0, 0) == 1;

    if (!allowed != !is_users)
        (void) prctl(PR_SET_DUMPABLE, allowed ? 1 : 0, 0, 0, 0);
}

#else

void
rv_sandbox_set_core(int allowed)
{
    (void) allowed;
}

#endif
