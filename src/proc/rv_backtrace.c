/*
 * rv_backtrace: where a process was when it was told to abort.
 *
 * All of this but the beginning runs in a signal handler, in a process that may
 * hang anywhere, in malloc or with its stack at the end. So the handler has a
 * stack of its own, uses memory that is there already and write() alone, and
 * what the first backtrace() would load is loaded beforehand. If it hangs
 * nevertheless, the master's patience is a second.
 */
#include "rv_backtrace.h"

#include "rv_log.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#if RV_HAVE_BACKTRACE
#include <execinfo.h>
#endif

enum { FRAMES = 64, STACK = 64 * 1024, OUTPUTS = RV_LOG_SET_MAX };

static char stack[STACK];

#if RV_HAVE_BACKTRACE

static void *frame[FRAMES];
static const char heading[] = "aborted, it was here, in the innermost function first:\n";

static int
get_frames(void)
{
    return backtrace(frame, FRAMES);
}

static void
put_frame(int fd, int i)
{
    backtrace_symbols_fd(&frame[i], 1, fd);
}

#else

static const char heading[] = "aborted; this system does not tell where it was\n";

static int
get_frames(void)
{
    return 0;
}

static void
put_frame(int fd, int i)
{
    (void) fd;
    (void) i;
}

#endif

static char *
put_text(char *to, const char *text)
{
    size_t length = strlen(text);

    memcpy(to, text, length);
    return to + length;
}

static char *
put_number(char *to, unsigned long number)
{
    char digits[24];
    size_t i = sizeof(digits);

    do
        digits[--i] = (char) ('0' + number % 10);
    while ((number /= 10) > 0);
    memcpy(to, digits + i, sizeof(digits) - i);
    return to + sizeof(digits) - i;
}

/* "4711#0: ", as other lines have it, and "#3 " unless it is the heading. */
static void
put_line(int fd, int i)
{
    char line[160];
    char *end = put_text(put_number(line, (unsigned long) getpid()), "#0: ");

    if (i == 0) {
        end = put_text(end, heading);
    } else {
        end = put_text(put_number(put_text(end, "#"), (unsigned long) i), " ");
    }
    (void) !write(fd, line, (size_t) (end - line));
    if (i > 0)
        put_frame(fd, i);
}

static void
on_abort(int number)
{
    int fds[OUTPUTS];
    unsigned outputs = rv_log_descriptors(RV_LOG_ERROR, fds, OUTPUTS);
    int count = get_frames();

    /* the first one is this function: the heading has its place */
    for (unsigned o = 0; o < outputs; o++) {
        for (int i = 0; i < count || i == 0; i++)
            put_line(fds[o], i);
    }
    (void) raise(number); /* with what it does by default, once this returns */
}

void
rv_backtrace_load(void)
{
    (void) get_frames();
}

int
rv_backtrace_init(void)
{
    const stack_t own = { .ss_sp = stack, .ss_size = sizeof(stack) };
    struct sigaction sa = { .sa_flags = SA_ONSTACK | (int) SA_RESETHAND };

    sa.sa_handler = on_abort;
    sigfillset(&sa.sa_mask);
    rv_backtrace_load();
    if (sigaltstack(&own, NULL) == -1 || sigaction(SIGABRT, &sa, NULL) == -1)
        return RV_ERROR;
    return RV_OK;
}
