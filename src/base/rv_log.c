/*
 * rv_log: one line for everything worth telling an operator.
 *
 * The globals are the set in use, the level from which on the terminal gets
 * lines too and what stands for it, and the text of the current second. Low layers do not log: they
 * return an error, and who knows what was attempted logs it once.
 */
#include "rv_log.h"

#include "rv_fd.h"
#include "rv_log_output.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

/* A line: what stands before the text, the text, the errno behind it. */
enum {
    HEAD_ROOM = 128,
    TEXT_ROOM = 2048,
    ERRNO_ROOM = 160,
    LINE_ROOM = HEAD_ROOM + TEXT_ROOM + ERRNO_ROOM + 2
};

static rv_log_set_t current;
static rv_log_level_t terminal = RV_LOG_NOTICE;
static int terminal_fd = STDERR_FILENO;

static const char *const level_names[] = { "", "emerg", "alert", "crit", "error", "warn", "notice",
    "info", "debug" };

rv_log_level_t
rv_log_level(const char *name)
{
    for (size_t i = RV_LOG_EMERG; i < rv_countof(level_names); i++) {
        if (strcmp(level_names[i], name) == 0)
            return (rv_log_level_t) i;
    }
    return RV_LOG_NONE;
}

void
rv_log_set_release(rv_log_set_t *set)
{
    for (unsigned i = 0; i < set->count; i++)
        rv_log_output_release(set->entry[i].output);
    set->count = 0;
}

void
rv_log_use(const rv_log_set_t *set)
{
    current = *set;
}

int
rv_log_uses_stderr(void)
{
    for (unsigned i = 0; i < current.count; i++) {
        if (rv_log_output_is_stderr(current.entry[i].output))
            return 1;
    }
    return 0;
}

void
rv_log_terminal(rv_log_level_t level)
{
    terminal = level;
    if (level == RV_LOG_NONE)
        rv_log_terminal_to(STDERR_FILENO);
}

void
rv_log_terminal_to(int fd)
{
    if (terminal_fd != STDERR_FILENO)
        rv_fd_close(&terminal_fd);
    terminal_fd = fd;
}

int
rv_log_enabled(rv_log_level_t level)
{
    if (level <= terminal)
        return 1;

    for (unsigned i = 0; i < current.count; i++) {
        if (level <= current.entry[i].level)
            return 1;
    }
    return 0;
}

unsigned
rv_log_descriptors(rv_log_level_t level, int *fds, unsigned room)
{
    unsigned count = 0;

    for (unsigned i = 0; i < current.count && count < room; i++) {
        unsigned output = current.entry[i].output;

        if (level <= current.entry[i].level && !rv_log_output_is_syslog(output))
            fds[count++] = rv_log_output_fd(output);
    }
    if (level <= terminal && !rv_log_uses_stderr() && count < room)
        fds[count++] = STDERR_FILENO;
    return count;
}

/* "2026/11/21 02:51:03", made once a second. */
static const char *
time_text(void)
{
    static char text[32];
    static time_t made;
    time_t now = time(NULL);

    if (now != made) {
        struct tm tm;

        localtime_r(&now, &tm);
        strftime(text, sizeof(text), "%Y/%m/%d %H:%M:%S", &tm);
        made = now;
    }
    return text;
}

/* Appends at most `room` bytes: text, a control character as \xNN, and "..."
 * where it does not fit or was cut before. Returns the new length. */
static size_t
append(char *line, size_t length, size_t room, const char *text, int cut)
{
    const unsigned char *p = (const unsigned char *) text;
    size_t limit = length + room - 3;

    for (; *p != '\0'; p++) {
        int plain = *p >= 0x20 && *p != 0x7f;

        if (length + (plain ? 1 : 4) > limit)
            break;
        if (plain)
            line[length++] = (char) *p;
        else
            length += (size_t) snprintf(line + length, 5, "\\x%02X", *p);
    }
    if (*p != '\0' || cut) {
        memcpy(line + length, "...", 3);
        length += 3;
    }
    return length;
}

static void
write_terminal(rv_log_level_t level, const char *message)
{
    char line[LINE_ROOM + 32];
    int n = snprintf(line, sizeof(line), RV_NAME ": [%s] %s", level_names[level], message);

    (void) rv_fd_write(terminal_fd, line, (size_t) n);
}

/* Writes to each output that wants it; 1 when one of them was stderr. */
static int
write_outputs(rv_log_level_t level, const char *line, size_t length, size_t text)
{
    int on_stderr = 0;

    for (unsigned i = 0; i < current.count; i++) {
        if (level > current.entry[i].level)
            continue;
        rv_log_output_write(current.entry[i].output, (int) level - 1, line, length, text);
        on_stderr |= rv_log_output_is_stderr(current.entry[i].output);
    }
    return on_stderr;
}

void
rv_log(rv_log_level_t level, int err, const char *fmt, ...)
{
    char text[TEXT_ROOM], line[LINE_ROOM];
    int saved = errno;
    va_list args;

    if (!rv_log_enabled(level))
        return;

    va_start(args, fmt);
    int cut = vsnprintf(text, sizeof(text), fmt, args) >= (int) sizeof(text);
    va_end(args);

    size_t start = (size_t) snprintf(
        line, HEAD_ROOM, "%s [%s] %ld#0: ", time_text(), level_names[level], (long) getpid());
    size_t length = append(line, start, TEXT_ROOM, text, cut);

    if (err != 0) {
        snprintf(text, sizeof(text), " (%d: %s)", err, strerror(err));
        length = append(line, length, ERRNO_ROOM, text, 0);
    }
    line[length++] = '\n';
    line[length] = '\0';

    int on_stderr = write_outputs(level, line, length, start);
    if (level <= terminal && !(on_stderr && terminal_fd == STDERR_FILENO))
        write_terminal(level, line + start);

    errno = saved;
}

void
rv_log_say(const char *fmt, ...)
{
    static const char head[] = RV_NAME ": ";
    char text[TEXT_ROOM], line[LINE_ROOM];
    va_list args;

    va_start(args, fmt);
    int cut = vsnprintf(text, sizeof(text), fmt, args) >= (int) sizeof(text);
    va_end(args);

    memcpy(line, head, sizeof(head) - 1);
    size_t length = append(line, sizeof(head) - 1, TEXT_ROOM, text, cut);
    line[length++] = '\n';
    (void) rv_fd_write(STDERR_FILENO, line, length);
}
