/*
 * look: the counters of a running daemon, mapped by the test itself.
 */
#include "look.h"

#include "rv_shm.h"
#include "rv_zone.h"

#include <dirent.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

const char *
look_type(void)
{
    return rv_shm_type("memfd") != NULL ? "memfd" : "posix";
}

void
look_close(look_t *look)
{
    rv_stats_free(look->stats);
    if (look->memory != NULL)
        rv_shm_look_away(look->memory, look->size);
    if (look->fd != -1)
        close(look->fd);
    *look = (look_t){ .fd = -1 };
}

/* 1: this file is the zone of the counters that this master has in force. */
static int
map(look_t *look, const char *path, pid_t master)
{
    rv_stats_master_t m = { .master = 0 };
    rv_zone_info_t info;
    struct stat st;
    void *content;
    size_t room;

    *look = (look_t){ .fd = -1 };
    if (stat(path, &st) == -1 || !S_ISREG(st.st_mode))
        return 0;
    look->fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    look->memory = look->fd == -1 ? NULL : rv_shm_look(look->fd, &look->size);
    if (look->memory != NULL
        && rv_zone_look(look->memory, look->size, &info, &content, &room) == RV_OK
        && strcmp(info.name, "stats") == 0) {
        look->stats = rv_stats_attach(content, room);
        ck_assert_ptr_nonnull(look->stats);
        rv_stats_master(look->stats, &m);
    }
    if (m.master == master)
        return 1;
    look_close(look);
    return 0;
}

void
look_open(daemon_t *d, look_t *look)
{
    char path[512];
    struct dirent *entry;
    int found = 0;

    snprintf(path, sizeof(path), "/proc/%ld/fd", (long) d->master);
    DIR *dir = opendir(path);
    ck_assert_ptr_nonnull(dir);
    while (!found && (entry = readdir(dir)) != NULL) {
        snprintf(path, sizeof(path), "/proc/%ld/fd/%s", (long) d->master, entry->d_name);
        found = map(look, path, d->master);
    }
    closedir(dir);
    ck_assert_msg(found, "the master has no counters among its descriptors");
}

void
look_take(const look_t *look, rv_stats_view_t *view)
{
    ck_assert_int_eq(rv_stats_view(look->stats, view), RV_OK);
}

int64_t
look_value(const look_t *look, const uint64_t *values, const char *module, const char *name)
{
    int cell = rv_stats_find(look->stats, module, name);

    ck_assert_msg(cell >= 0, "no counter %s %s", module, name);
    return (int64_t) values[cell];
}

int64_t
look_total(const look_t *look, const char *module, const char *name)
{
    rv_stats_view_t view;

    look_take(look, &view);
    int64_t value = look_value(look, view.totals, module, name);
    rv_stats_view_free(&view);
    return value;
}

int64_t
look_connections(const look_t *look, const uint64_t *values)
{
    static const char *const states[] = { "reading", "writing", "waiting" };
    int64_t sum = 0;

    for (size_t i = 0; i < 3; i++)
        sum += look_value(look, values, "connections", states[i]);
    return sum;
}

typedef struct {
    const look_t *look;
    const char *module, *name; /* NULL: all connections */
    int64_t value;
} wanted_t;

static int
is_so(daemon_t *d, void *data)
{
    const wanted_t *w = data;
    rv_stats_view_t view;

    (void) d;
    look_take(w->look, &view);
    int64_t now = w->module == NULL ? look_connections(w->look, view.totals)
                                    : look_value(w->look, view.totals, w->module, w->name);
    rv_stats_view_free(&view);
    return now == w->value;
}

void
look_wait(daemon_t *d, const look_t *look, const char *module, const char *name, int64_t value)
{
    wanted_t wanted = { look, module, name, value };
    char what[128];

    snprintf(what, sizeof(what), "%s %s is %" PRId64, module, name, value);
    daemon_wait(d, is_so, &wanted, what);
}

void
look_wait_connections(daemon_t *d, const look_t *look, int64_t count)
{
    wanted_t wanted = { look, NULL, NULL, count };
    char what[64];

    snprintf(what, sizeof(what), "%" PRId64 " connections are open", count);
    daemon_wait(d, is_so, &wanted, what);
}

static void
judge_values(const look_t *look, const uint64_t *values, const char *whose)
{
    int64_t accepts = look_value(look, values, "connections", "accepts");
    int64_t handled = look_value(look, values, "connections", "handled");
    int64_t requests = look_value(look, values, "http", "requests");
    int duration = rv_stats_find(look->stats, "http", "request_duration");

    ck_assert_msg(accepts >= handled && handled >= 0,
        "%s: %" PRId64 " accepted, %" PRId64 " handled", whose, accepts, handled);
    ck_assert_int_ge(duration, 0);
    uint64_t count = rv_stats_histogram_count(&values[duration]);
    ck_assert_msg((int64_t) count <= requests, "%s: %" PRIu64 " durations of %" PRId64 " requests",
        whose, count, requests);

    for (unsigned i = 0; i < rv_stats_count(look->stats); i++) {
        rv_stats_info_t info = rv_stats_info(look->stats, i);

        ck_assert_msg((int64_t) values[info.cell] >= 0, "%s: %s %s is %" PRId64, whose, info.module,
            info.name, (int64_t) values[info.cell]);
    }
}

void
look_judge(const look_t *look, const rv_stats_view_t *view)
{
    char whose[64];

    judge_values(look, view->totals, "all");
    for (unsigned i = 0; i < view->count; i++) {
        const rv_stats_process_t *p = &view->process[i];

        snprintf(whose, sizeof(whose), "process %ld", (long) p->owner.pid);
        judge_values(look, p->values, whose);
    }
}

void
look_judge_growth(const look_t *look, const rv_stats_view_t *view, uint64_t *before)
{
    unsigned cells = rv_stats_cells(look->stats), count = rv_stats_count(look->stats);

    for (unsigned i = 0; i < count; i++) {
        rv_stats_info_t info = rv_stats_info(look->stats, i);
        unsigned next =
            info.cell + (info.kind == RV_STATS_HISTOGRAM ? RV_STATS_HISTOGRAM_CELLS : 1);

        for (unsigned k = info.cell; info.kind != RV_STATS_GAUGE && k < next; k++)
            ck_assert_msg(view->totals[k] >= before[k],
                "%s %s (cell %u of it) was %" PRIu64 " and is %" PRIu64, info.module, info.name,
                k - info.cell, before[k], view->totals[k]);
    }
    memcpy(before, view->totals, cells * sizeof(*before));
}
