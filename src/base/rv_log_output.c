/*
 * rv_log_output: where log lines end up.
 *
 * The one global of this file is the table. An output is shared by everybody
 * who opened the same target, in whichever generation, and its index is never
 * used for another target before all of them have released it: a worker of an
 * old generation may still be sent a new descriptor by that index.
 *
 * A line that cannot be written is counted and given up: the disk being full
 * must not stop the service.
 */
#include "rv_log_output.h"

#include "rv_addr.h"
#include "rv_fd.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <syslog.h>
#include <time.h>
#include <unistd.h>

typedef enum { FREE, FILE_OUTPUT, STDERR_OUTPUT, STDOUT_OUTPUT, SYSLOG_OUTPUT } kind_t;

typedef struct {
    rv_addr_t server;
    int facility;
    char tag[33];
} syslog_t;

typedef struct {
    kind_t kind;
    unsigned users;
    int fd;
    uint64_t lost; /* lines since the last that was written */
    int cut;       /* the last line was written in part */
    char *target;
    syslog_t syslog;
} output_t;

static output_t table[RV_LOG_OUTPUTS];

static const struct {
    const char *name;
    int value;
} facilities[] = {
    { "kern", LOG_KERN },
    { "user", LOG_USER },
    { "mail", LOG_MAIL },
    { "daemon", LOG_DAEMON },
    { "auth", LOG_AUTH },
    { "syslog", LOG_SYSLOG },
    { "lpr", LOG_LPR },
    { "news", LOG_NEWS },
    { "uucp", LOG_UUCP },
    { "cron", LOG_CRON },
    { "local0", LOG_LOCAL0 },
    { "local1", LOG_LOCAL1 },
    { "local2", LOG_LOCAL2 },
    { "local3", LOG_LOCAL3 },
    { "local4", LOG_LOCAL4 },
    { "local5", LOG_LOCAL5 },
    { "local6", LOG_LOCAL6 },
    { "local7", LOG_LOCAL7 },
};

static const char syslog_prefix[] = "syslog:";

static int
set_server(syslog_t *s, const char *value, char *error)
{
    const char *why;

    if (rv_addr_parse(value, &s->server, &why) == RV_OK)
        return RV_OK;

    snprintf(error, RV_LOG_OUTPUT_ERROR, "%s in syslog server \"%s\"", why, value);
    return RV_ERROR;
}

static int
set_facility(syslog_t *s, const char *value, char *error)
{
    for (size_t i = 0; i < rv_countof(facilities); i++) {
        if (strcmp(facilities[i].name, value) == 0) {
            s->facility = facilities[i].value;
            return RV_OK;
        }
    }
    snprintf(error, RV_LOG_OUTPUT_ERROR, "unknown syslog facility \"%s\"", value);
    return RV_ERROR;
}

static int
set_tag(syslog_t *s, const char *value, char *error)
{
    static const char word[] = "abcdefghijklmnopqrstuvwxyz"
                               "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_";
    size_t length = strlen(value);

    if (length == 0 || length >= sizeof(s->tag) || strspn(value, word) != length) {
        snprintf(error, RV_LOG_OUTPUT_ERROR,
            "syslog tag \"%s\" is not 1 to 32 letters, digits or \"_\"", value);
        return RV_ERROR;
    }
    memcpy(s->tag, value, length + 1);
    return RV_OK;
}

static const struct {
    const char *name;
    int (*set)(syslog_t *s, const char *value, char *error);
} parameters[] = {
    { "server=", set_server },
    { "facility=", set_facility },
    { "tag=", set_tag },
};

static int
set_parameter(syslog_t *s, const char *word, char *error)
{
    for (size_t i = 0; i < rv_countof(parameters); i++) {
        size_t length = strlen(parameters[i].name);
        if (strncmp(word, parameters[i].name, length) == 0)
            return parameters[i].set(s, word + length, error);
    }
    snprintf(error, RV_LOG_OUTPUT_ERROR, "unknown syslog parameter \"%s\"", word);
    return RV_ERROR;
}

static int
parse_syslog(const char *parameter_list, syslog_t *s, char *error)
{
    const char *why;
    char copy[256];
    char *save = NULL;

    s->facility = LOG_DAEMON;
    snprintf(s->tag, sizeof(s->tag), "%s", RV_NAME);
    if (rv_addr_parse("unix:/dev/log", &s->server, &why) != RV_OK)
        return RV_ERROR;

    if (strlen(parameter_list) >= sizeof(copy)) {
        snprintf(error, RV_LOG_OUTPUT_ERROR, "syslog parameters are too long");
        return RV_ERROR;
    }
    snprintf(copy, sizeof(copy), "%s", parameter_list);

    for (char *word = strtok_r(copy, ",", &save); word != NULL; word = strtok_r(NULL, ",", &save)) {
        if (set_parameter(s, word, error) != RV_OK)
            return RV_ERROR;
    }
    return RV_OK;
}

/* Says what `target` is; nothing is opened. */
static int
parse_target(const char *target, output_t *out, char *error)
{
    error[0] = '\0';
    out->kind = FILE_OUTPUT;
    if (target[0] == '\0') {
        snprintf(error, RV_LOG_OUTPUT_ERROR, "empty log target");
        return RV_ERROR;
    }
    if (strcmp(target, "stderr") == 0)
        out->kind = STDERR_OUTPUT;
    if (strcmp(target, "stdout") == 0)
        out->kind = STDOUT_OUTPUT;

    if (strncmp(target, syslog_prefix, sizeof(syslog_prefix) - 1) != 0)
        return RV_OK;

    out->kind = SYSLOG_OUTPUT;
    return parse_syslog(target + sizeof(syslog_prefix) - 1, &out->syslog, error);
}

int
rv_log_output_check(const char *target, char error[RV_LOG_OUTPUT_ERROR])
{
    output_t out;

    return parse_target(target, &out, error);
}

static int
connect_syslog(const syslog_t *s)
{
    int fd = rv_fd_socket(s->server.sockaddr.sa.sa_family, SOCK_DGRAM);

    if (fd != -1 && connect(fd, &s->server.sockaddr.sa, s->server.length) == -1)
        rv_fd_close(&fd);

    return fd;
}

static int
open_descriptor(const output_t *out)
{
    switch (out->kind) {
    case STDERR_OUTPUT:
        return STDERR_FILENO;
    case STDOUT_OUTPUT:
        return STDOUT_FILENO;
    case SYSLOG_OUTPUT:
        return connect_syslog(&out->syslog);
    default:
        return rv_fd_create(out->target, O_WRONLY | O_APPEND | O_NOCTTY, 0644);
    }
}

static output_t *
find(const char *target)
{
    output_t *unused = NULL;

    for (size_t i = 0; i < RV_LOG_OUTPUTS; i++) {
        if (table[i].kind == FREE) {
            if (unused == NULL)
                unused = &table[i];
        } else if (strcmp(table[i].target, target) == 0) {
            return &table[i];
        }
    }
    return unused;
}

int
rv_log_output_open(const char *target, unsigned *output, char error[RV_LOG_OUTPUT_ERROR])
{
    output_t *out = find(target);

    errno = 0;
    if (out == NULL) {
        snprintf(error, RV_LOG_OUTPUT_ERROR, "more than %d logs are open", RV_LOG_OUTPUTS);
        return RV_ERROR;
    }

    if (out->kind == FREE) {
        output_t fresh = { .fd = -1 };

        if (parse_target(target, &fresh, error) != RV_OK)
            return RV_ERROR;
        fresh.target = strdup(target);
        if (fresh.target == NULL)
            return RV_ERROR;
        fresh.fd = open_descriptor(&fresh);
        if (fresh.fd == -1) {
            free(fresh.target);
            return RV_ERROR;
        }
        *out = fresh;
    }

    out->users++;
    *output = (unsigned) (out - table);
    return RV_OK;
}

/* Its descriptor is not ours to close. */
static int
is_standard(const output_t *out)
{
    return out->kind == STDERR_OUTPUT || out->kind == STDOUT_OUTPUT;
}

void
rv_log_output_release(unsigned output)
{
    output_t *out = &table[output];

    if (--out->users > 0)
        return;

    if (!is_standard(out))
        rv_fd_close(&out->fd);
    free(out->target);
    *out = (output_t){ .kind = FREE, .fd = -1 };
}

const char *
rv_log_output_target(unsigned output)
{
    return table[output].target;
}

int
rv_log_output_fd(unsigned output)
{
    return table[output].fd;
}

void
rv_log_output_forked(void)
{
    for (size_t i = 0; i < RV_LOG_OUTPUTS; i++)
        table[i].lost = 0;
}

int
rv_log_output_is_stderr(unsigned output)
{
    return table[output].kind == STDERR_OUTPUT;
}

int
rv_log_output_is_syslog(unsigned output)
{
    return table[output].kind == SYSLOG_OUTPUT;
}

int
rv_log_output_reopen(unsigned *output)
{
    for (unsigned i = *output; i < RV_LOG_OUTPUTS; i++) {
        if (table[i].kind != FILE_OUTPUT && table[i].kind != SYSLOG_OUTPUT)
            continue;

        *output = i + 1;
        int fd = open_descriptor(&table[i]);
        if (fd == -1)
            return RV_ERROR;
        rv_log_output_replace(i, fd);
        return RV_OK;
    }
    return RV_DONE;
}

void
rv_log_output_replace(unsigned output, int fd)
{
    if (output >= RV_LOG_OUTPUTS || table[output].kind == FREE || is_standard(&table[output])) {
        rv_fd_close(&fd);
        return;
    }
    rv_fd_close(&table[output].fd);
    table[output].fd = fd;
}

/* A syslog line in the form of RFC 3164, as every local daemon takes it. */
static int
write_syslog(const output_t *out, int severity, const char *text, size_t length)
{
    char line[4096], when[32];
    struct tm tm;
    time_t now = time(NULL);

    localtime_r(&now, &tm);
    strftime(when, sizeof(when), "%b %e %H:%M:%S", &tm);
    int n = snprintf(line, sizeof(line), "<%d>%s %s[%ld]: %.*s", out->syslog.facility | severity,
        when, out->syslog.tag, (long) getpid(), (int) length, text);

    size_t size = rv_min((size_t) n, sizeof(line) - 1);
    return send(out->fd, line, size, MSG_NOSIGNAL) == -1 ? RV_ERROR : RV_OK;
}

/* A full disk may take the beginning of a line. */
static int
write_file(output_t *out, const char *line, size_t length)
{
    size_t done = 0;

    while (done < length) {
        ssize_t n = write(out->fd, line + done, length - done);

        if (n == -1 && errno == EINTR)
            continue;
        if (n == -1) {
            out->cut |= done > 0;
            return RV_ERROR;
        }
        done += (size_t) n;
    }
    out->cut = 0;
    return RV_OK;
}

static int
write_one(output_t *out, int severity, const char *line, size_t length, size_t text)
{
    if (out->kind == SYSLOG_OUTPUT) /* without the newline */
        return write_syslog(out, severity, line + text, length - text - 1);

    return write_file(out, line, length);
}

void
rv_log_output_write(unsigned output, int severity, const char *line, size_t length, size_t text)
{
    output_t *out = &table[output];
    char note[256];

    if (out->lost > 0) {
        /* with the line's own beginning, time and pid, and on a line of its own */
        int n = snprintf(note, sizeof(note), "%s%.*s%llu log lines were lost here\n",
            out->cut ? "\n" : "", (int) rv_min(text, (size_t) 128), line,
            (unsigned long long) out->lost);

        if (write_one(out, LOG_WARNING, note, (size_t) n, text) != RV_OK) {
            out->lost++;
            return;
        }
        out->lost = 0;
    }

    if (write_one(out, severity, line, length, text) != RV_OK)
        out->lost++;
}
