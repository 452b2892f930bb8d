/*
 * rv_notify: telling the service manager how this process fares.
 *
 * The globals are whom to tell, how often, and what could not be sent yet, the
 * oldest first. The order of what is told must be kept: a manager that hears
 * of the end of a reload before its beginning waits for ever. So nothing overtakes
 * what was kept, and when there is no room for more the oldest goes.
 *
 * There is no descriptor between two messages, so none that a child could have.
 */
#include "rv_notify.h"

#include "rv_fd.h"
#include "rv_parse.h"

#include <errno.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/un.h>
#include <unistd.h>

enum { KEPT = 16 };

static struct sockaddr_un manager;
static socklen_t manager_length; /* 0: there is none */
static int64_t watchdog;
static char kept[KEPT][RV_NOTIFY_TEXT];
static unsigned kept_count;

static int
set_manager(const char *name)
{
    size_t length = strlen(name);

    if ((name[0] != '/' && name[0] != '@') || length < 2 || length >= sizeof(manager.sun_path))
        return RV_ERROR;

    manager = (struct sockaddr_un){ .sun_family = AF_UNIX };
    memcpy(manager.sun_path, name, length);
    manager_length = (socklen_t) (offsetof(struct sockaddr_un, sun_path) + length);
    if (name[0] == '@')
        manager.sun_path[0] = '\0'; /* an abstract name has no end but its length */
    else
        manager_length++;
    return RV_OK;
}

/* Who follows this process has another pid, and the same duty. */
static void
set_watchdog(void)
{
    const char *usec = getenv("WATCHDOG_USEC"), *pid = getenv("WATCHDOG_PID");
    uint64_t interval, addressee;

    if (usec == NULL || rv_parse_uint(usec, &interval) != RV_OK || interval > INT64_MAX)
        return;
    if (pid != NULL
        && (rv_parse_uint(pid, &addressee) != RV_OK || addressee != (uint64_t) getpid()))
        return;

    (void) unsetenv("WATCHDOG_PID");
    watchdog = interval == 0 ? 0 : rv_max((int64_t) interval / 2000, 1);
}

int
rv_notify_init(void)
{
    const char *name = getenv("NOTIFY_SOCKET");

    manager_length = 0;
    watchdog = 0;
    kept_count = 0;
    if (name == NULL || name[0] == '\0')
        return RV_OK;

    if (set_manager(name) != RV_OK)
        return RV_ERROR;
    set_watchdog();
    return RV_OK;
}

static int
send_now(const char *text)
{
    int fd = rv_fd_socket(AF_UNIX, SOCK_DGRAM);

    if (fd == -1)
        return RV_ERROR;

    ssize_t n = sendto(
        fd, text, strlen(text), MSG_NOSIGNAL, (const struct sockaddr *) &manager, manager_length);
    rv_fd_close(&fd);
    if (n != -1)
        return RV_OK;
    return errno == EAGAIN || errno == EWOULDBLOCK || errno == ENOBUFS ? RV_AGAIN : RV_ERROR;
}

static void
drop_oldest(void)
{
    memmove(kept[0], kept[1], --kept_count * sizeof(kept[0]));
}

int
rv_notify_flush(void)
{
    while (kept_count > 0) {
        int result = send_now(kept[0]);

        if (result == RV_AGAIN)
            return RV_AGAIN;
        drop_oldest();
        if (result == RV_ERROR)
            return RV_ERROR;
    }
    return RV_OK;
}

int
rv_notify(const char *fmt, ...)
{
    va_list args;

    if (manager_length == 0)
        return RV_OK;

    if (kept_count == KEPT)
        drop_oldest();
    va_start(args, fmt);
    vsnprintf(kept[kept_count++], sizeof(kept[0]), fmt, args);
    va_end(args);
    return rv_notify_flush();
}

int64_t
rv_notify_watchdog(void)
{
    return watchdog;
}
