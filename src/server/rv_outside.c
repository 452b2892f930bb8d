/*
 * rv_outside: a running daemon as others see it.
 *
 * A zone of type memfd, posix or file is a descriptor of the master, and
 * /proc/PID/fd opens it for whoever could as well stop the process. Where there is no
 * such folder, posix and file are found by name. The zones are mapped
 * for reading only, so nothing here can do harm.
 */
#include "rv_outside.h"

#include "rv_pidfile.h"
#include "rv_shm.h"

#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static const char *
type_of(const char *link)
{
    if (strncmp(link, "/memfd:", 7) == 0)
        return "memfd";
    return strncmp(link, "/dev/shm/" RV_NAME ".", 10 + strlen(RV_NAME)) == 0 ? "posix" : "file";
}

static int
is_mapped(const rv_outside_t *o, const struct stat *st)
{
    for (unsigned i = 0; i < o->count; i++) {
        if (o->zone[i].device == st->st_dev && o->zone[i].inode == st->st_ino)
            return 1;
    }
    return 0;
}

/* Maps what fd, which is taken over, refers to, if it is a zone. */
static void
map_zone(rv_outside_t *o, int fd, const char *type)
{
    struct stat st;
    void *content;
    size_t room;

    if (fd == -1)
        return;
    if (fstat(fd, &st) == -1 || !S_ISREG(st.st_mode) || is_mapped(o, &st)
        || o->count == RV_OUTSIDE_ZONES) {
        o->left_out |= o->count == RV_OUTSIDE_ZONES;
        close(fd);
        return;
    }

    rv_outside_zone_t *z = &o->zone[o->count];
    *z = (rv_outside_zone_t){ .fd = fd, .device = st.st_dev, .inode = st.st_ino };
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
    o->count++;
}

/* Everything that the master has open and that is a file: few things are. RV_ERROR and errno. */
static int
map_descriptors(rv_outside_t *o, pid_t pid)
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
        map_zone(o, open(name, O_RDONLY | O_CLOEXEC | O_NONBLOCK), type_of(link));
    }
    globfree(&found);
    return RV_OK;
}

/* posix and file, where the configuration says that they are. */
static void
map_by_name(rv_outside_t *o, rv_cycle_t *cycle)
{
    enum { NUMBERS = 16 };
    const char *instance = rv_cycle_instance(cycle);
    char name[PATH_MAX];

    for (const rv_cycle_zone_t *z = cycle->zones; z != NULL && instance != NULL; z = z->next) {
        const rv_shm_type_t *type = rv_shm_type(z->spec.type);

        if (type == NULL || type->open == NULL)
            continue;
        if (z->spec.path != NULL)
            map_zone(o, type->open(z->spec.path, O_RDONLY), type->name);
        for (int i = 0; i < NUMBERS && z->spec.path == NULL; i++) {
            snprintf(name, sizeof(name), RV_NAME ".%s.%s.%d", instance, z->spec.name, i);
            map_zone(o, type->open(name, O_RDONLY), type->name);
        }
    }
}

void
rv_outside_unmap(rv_outside_t *o)
{
    for (unsigned i = 0; i < o->count; i++) {
        rv_stats_free(o->zone[i].stats);
        rv_shm_look_away(o->zone[i].memory, o->zone[i].size);
        close(o->zone[i].fd);
    }
    *o = (rv_outside_t){ 0 };
}

/* The counters in force, those that they succeed linked to them; NULL: there are none. Those
 * of two masters at a time name the younger one; 0: what is not named serves too. */
static rv_stats_t *
find_stats(const rv_outside_t *o, pid_t pid)
{
    rv_stats_t *found = NULL;
    unsigned youngest = 0;

    for (unsigned i = 0; i < o->count; i++) {
        rv_stats_master_t master;

        if (o->zone[i].stats == NULL)
            continue;
        rv_stats_master(o->zone[i].stats, &master);
        if (master.master != 0 && (pid == 0 || master.master == pid) && !master.superseded
            && master.generation >= youngest) {
            found = o->zone[i].stats;
            youngest = master.generation;
        }
        for (unsigned k = 0; k < o->count; k++) {
            if (o->zone[k].stats != NULL)
                (void) rv_stats_link(o->zone[i].stats, o->zone[k].stats);
        }
    }
    return found;
}

int
rv_outside_map(rv_outside_t *o, rv_cycle_t *cycle, pid_t pid)
{
    *o = (rv_outside_t){ 0 };
    if (map_descriptors(o, pid) != RV_OK)
        o->error = errno;
    o->stats = find_stats(o, pid);
    if (o->stats == NULL)
        o->stats = find_stats(o, 0); /* they are its descriptors in any case */
    if (o->stats == NULL) {
        map_by_name(o, cycle);
        o->stats = find_stats(o, pid);
    }
    return o->stats == NULL ? RV_ERROR : RV_OK;
}

int
rv_outside_find(rv_cycle_t *cycle, const char **path, pid_t *pid)
{
    if (cycle->core->no_pid) {
        rv_log(RV_LOG_EMERG, 0, "\"pid = off\": there is no pid file to find the master by");
        return RV_ERROR;
    }
    *path = cycle->core->pid;
    if (*path == NULL)
        *path = rv_conf_path(cycle->conf, RV_PID_PATH);

    int found = *path == NULL ? RV_ERROR : rv_pidfile_find_any(*path, pid);
    if (found == RV_DONE)
        rv_log(RV_LOG_EMERG, 0, "not running: no process holds \"%s\"", *path);
    else if (found != RV_OK)
        rv_log(RV_LOG_EMERG, errno, "reading pid file \"%s\" failed", *path);
    return found == RV_OK ? RV_OK : RV_ERROR;
}
