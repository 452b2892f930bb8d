/*
 * preload_fork: fork fails as long as the file exists that RV_TEST_NO_FORK
 * names, as it does where there is no room for another process.
 */
#include <dlfcn.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char *file;

/* A copy: the title of the process is written over the environment. */
static const char *
variable(const char *name)
{
    const char *value = getenv(name);

    return value == NULL ? NULL : strdup(value);
}

__attribute__((constructor)) static void
init(void)
{
    file = variable("RV_TEST_NO_FORK");
}

pid_t
fork(void)
{
    pid_t (*next)(void) = (pid_t(*)(void)) dlsym(RTLD_NEXT, "fork");

    if (file != NULL && access(file, F_OK) == 0) {
        errno = EAGAIN;
        return -1;
    }
    return next();
}
