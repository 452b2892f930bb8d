/*
 * rv_viewer: `reeve status`, a look at a running daemon from outside.
 *
 * A zone of type memfd, posix or file is a descriptor of the master, and
 * /proc/PID/fd opens it for whoever could as well stop the process. Where there is no
 * such folder, posix and file are found by name. The zones are mapped
 * for reading only, so nothing here can do harm.
 */
#include "rv_viewer.h"

#include "rv_pidfile.h"
#include "rv_report.h"
#include "rv_shm.h"

#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

typedef struct {
    int fd;
    void *memory;
    size_t size;
    dev_t device;
    ino_t inode;
    rv_zone_info_t info;
    rv_stats_t *stats; /* NULL: another zone's */
} mapped_t;

enum { ROOM = 256 };

typedef struct {
    mapped_t zone[ROOM];
    unsigned count;
    int left_out;
} viewer_t;

static const char *
type_of(const char *link)
{
    if (strncmp(link, "/memfd:", 7) == 0)
        return "memfd";
    return strncmp(link, "/dev/shm/" RV_NAME ".", 10 + strlen(RV_NAME)) == 0 ? "posix" : "file";
}

static int
is_mapped(const viewer_t *v, const struct stat *st)
{
    for (unsigned i = 0; i < v->count; i++) {
        if (v->zone[i].device == st->st_dev && v->zone[i].inode == st->st_ino)
            return 1;
    }
    return 0;
}

/* Maps what fd, which is taken over, refers to, if it is a zone. */
static void
map_zone(viewer_t *v, int fd, const char *type)
{
    struct stat st;
    void *content;
    size_t room;

    if (fd == -1)
        return;
    if (fstat(fd, &st) == -1 || !S_ISREG(st.st_mode) || is_mapped(v, &st) || v->count == ROOM) {
        v->left_out |= v->count == ROOM;
        close(fd);
        return;
    }

    mapped_t *z = &v->zone[v->count];
    *z = (mapped_t){ .fd = fd, .device = st.st_dev, .inode = st.st_ino };
    z->memory = rv_shm_look(fd, &z->size);
    if (z->memory == NULL || rv_zone_look(z->memory, z->size, &z->info, &content, &room) != RV_OK) {
        if (z->memory != NULL)
            rv_shm_look_away(z->memory, z->size);
        close(fd);
        return;
    }
    z->info.type = type;
    if (strcmp(z->info.name, "stats") == 0)
        z->stats = rv_stats_attach(content, room);
    v->count++;
}

/* Everything that the master has open and that is a file: few things are. RV_ERROR and errno. */
static int
map_descriptors(viewer_t *v, pid_t pid)
{
    char path[PATH_MAX], link[PATH_MAX];
    glob_t found;

    snprintf(path, sizeof(path), "/proc/%ld/fd", (long) pid);
    if (access(path, R_OK | X_OK) == -1)
        return RV_ERROR;

    snprintf(path, sizeof(path), "/proc/%ld/fd/*", (long) pid);
    if (glob(path, GLOB_NOSORT, NULL, &found) != 0) {
        errno = EACCES;
        return RV_ERROR;
    }
    for (size_t i = 0; i < found.gl_pathc; i++) {
        const char *name = found.gl_pathv[i];
        struct stat st;

        if (stat(name, &st) == -1 || !S_ISREG(st.st_mode))
            continue;
        ssize_t n = readlink(name, link, sizeof(link) - 1);
        if (n <= 0)
            continue;
        link[n] = '\0';
        map_zone(v, open(name, O_RDONLY | O_CLOEXEC | O_NONBLOCK), type_of(link));
    }
    globfree(&found);
    return RV_OK;
}

/* posix and file, where the configuration says that they are. */
static void
map_by_name(viewer_t *v, rv_cycle_t *cycle)
{
    enum { NUMBERS = 16 };
    const char *instance = rv_cycle_instance(cycle);
    char name[PATH_MAX];

    for (const rv_cycle_zone_t *z = cycle->zones; z != NULL && instance != NULL; z = z->next) {
        const rv_shm_type_t *type = rv_shm_type(z->spec.type);

        if (type == NULL || type->open == NULL)
            continue;
        if (z->spec.path != NULL)
            map_zone(v, type->open(z->spec.path, O_RDONLY), type->name);
        for (int i = 0; i < NUMBERS && z->spec.path == NULL; i++) {
            snprintf(name, sizeof(name), RV_NAME ".%s.%s.%d", instance, z->spec.name, i);
            map_zone(v, type->open(name, O_RDONLY), type->name);
        }
    }
}

static void
unmap(viewer_t *v)
{
    for (unsigned i = 0; i < v->count; i++) {
        rv_stats_free(v->zone[i].stats);
        rv_shm_look_away(v->zone[i].memory, v->zone[i].size);
        close(v->zone[i].fd);
    }
}

/* The counters in force, those that they succeed linked to them; NULL: there are none. */
static rv_stats_t *
find_stats(const viewer_t *v, pid_t pid)
{
    rv_stats_t *found = NULL;
    unsigned youngest = 0;

    for (unsigned i = 0; i < v->count; i++) {
        rv_stats_master_t master;

        if (v->zone[i].stats == NULL)
            continue;
        rv_stats_master(v->zone[i].stats, &master);
        if (master.master == pid && !master.superseded && master.generation >= youngest) {
            found = v->zone[i].stats;
            youngest = master.generation;
        }
        for (unsigned k = 0; k < v->count; k++) {
            if (v->zone[k].stats != NULL)
                (void) rv_stats_link(v->zone[i].stats, v->zone[k].stats);
        }
    }
    return found;
}

static int
print(const viewer_t *v, const rv_stats_t *stats, rv_viewer_form_t form)
{
    static void (*const forms[])(const rv_report_t *, rv_text_t *) = {
        [RV_VIEWER_TABLE] = rv_report_table,
        [RV_VIEWER_JSON] = rv_report_json,
        [RV_VIEWER_STUB] = rv_report_stub,
    };
    rv_text_t text = { 0 };
    rv_report_t r;

    if (v->left_out)
        rv_log(RV_LOG_WARN, 0, "there are more than %d files, not all were looked at", ROOM);
    if (!rv_stats_is_complete(stats))
        rv_log(RV_LOG_WARN, 0,
            "memory of a generation that drains cannot be mapped from outside: "
            "its workers are not listed, what they count is of the last second");
    if (rv_report_take(&r, stats) != RV_OK) {
        rv_log(RV_LOG_EMERG, ENOMEM, "reading the counters failed");
        return 1;
    }
    for (unsigned i = 0; i < v->count; i++) {
        if (v->zone[i].stats == stats || v->zone[i].stats == NULL) /* no predecessors */
            rv_report_add_zone(&r, &v->zone[i].info);
    }
    forms[form](&r, &text);
    rv_report_free(&r);

    int failed = text.failed || fwrite(text.data, 1, text.length, stdout) != text.length
        || fflush(stdout) != 0;
    if (failed)
        rv_log(RV_LOG_EMERG, text.failed ? ENOMEM : errno, "printing the status failed");
    rv_text_free(&text);
    return failed;
}

/* Why there is nothing to be seen. */
static void
explain(const rv_cycle_t *cycle, pid_t pid, int error)
{
    const rv_core_zone_t *conf = rv_conf_get(cycle->conf, "zone", "stats");

    if (error != 0)
        rv_log(RV_LOG_EMERG, error, "looking at the descriptors of process %ld failed%s",
            (long) pid, error == EACCES ? ", it takes the rights of its owner" : "");
    else if (conf != NULL && conf->path != NULL)
        rv_log(RV_LOG_EMERG, 0,
            "zone \"stats\" of process %ld has nothing to show: \"%s\" was cut off and is mended within "
            "a second, or is not in use yet",
            (long) pid, conf->path);
    else
        rv_log(RV_LOG_EMERG, 0,
            "zone \"stats\" of process %ld cannot be mapped from outside: it is of type anon, devzero "
            "or sysv; \"type = memfd\" (or posix, or file) in [zone stats] and a reload change that",
            (long) pid);
}

static int
view(rv_cycle_t *cycle, rv_viewer_form_t form)
{
    const char *path = cycle->core->pid;
    static viewer_t v;
    int error = 0, status = 1;
    pid_t pid;

    if (path == NULL)
        path = rv_conf_path(cycle->conf, RV_PID_PATH);
    int found = path == NULL ? RV_ERROR : rv_pidfile_find(path, &pid);
    if (found == RV_DONE)
        rv_log(RV_LOG_EMERG, 0, "not running: no process holds \"%s\"", path);
    else if (found != RV_OK)
        rv_log(RV_LOG_EMERG, errno, "reading pid file \"%s\" failed", path);
    if (found != RV_OK)
        return 1;

    if (map_descriptors(&v, pid) != RV_OK)
        error = errno;
    rv_stats_t *stats = find_stats(&v, pid);
    if (stats == NULL) {
        map_by_name(&v, cycle);
        stats = find_stats(&v, pid);
    }
    if (stats == NULL || !rv_stats_is_whole(stats))
        explain(cycle, pid, error);
    else
        status = print(&v, stats, form);
    unmap(&v);
    return status;
}

int
rv_viewer_run(const rv_cycle_options_t *options, rv_viewer_form_t form)
{
    /* for the pid file and the zones, however broken the rest of it is */
    rv_cycle_t *cycle = rv_cycle_read(options, 1);

    if (cycle == NULL) {
        rv_log(RV_LOG_EMERG, ENOMEM, "reading the configuration failed");
        return 1;
    }
    int status = view(cycle, form);
    rv_cycle_free(cycle, 0);
    return status;
}
