/*
 * zone_actors: a zone is handed over an exec, as an upgrade of the program does.
 *
 * One process each: the globals are those of the maker, or of the heir.
 */
#include "zone_actors.h"

#include "zone_fixture.h"

#include "rv_stats_fold.h"

#include <sys/socket.h>

enum { ROWS = 8 };

/* --- the content --------------------------------------------------------------------------- */

static const char *const names[NAMES] = { "both", "gauge", "other", "old_only", "new_only" };

static const rv_stats_def_t same[] = {
    { "both", RV_STATS_COUNTER, "Known to both." },
    { "gauge", RV_STATS_GAUGE, "What is now." },
    { "other", RV_STATS_COUNTER, "Another one." },
    { "old_only", RV_STATS_COUNTER, "Known to the old one." },
    { NULL, 0, NULL },
};

static const rv_stats_def_t changed[] = {
    { "new_only", RV_STATS_COUNTER, "Known to the new one." },
    { "other", RV_STATS_COUNTER, "Another one." },
    { "gauge", RV_STATS_GAUGE, "What is now." },
    { "both", RV_STATS_COUNTER, "Known to both." },
    { NULL, 0, NULL },
};

static rv_stats_defs_t defs;
static int inits, attaches;

static void
set_handle(rv_zone_t *zone, rv_stats_t *st)
{
    rv_zone_set_handle(zone, st, (void (*)(void *)) rv_stats_free);
}

static int
init(rv_zone_t *zone, rv_zone_t *old, RV_UNUSED void *data)
{
    void *memory = rv_zone_alloc(zone, rv_stats_size(&defs, ROWS));
    rv_stats_t *st = memory == NULL ? NULL : rv_stats_create(memory, &defs, ROWS);

    inits++;
    if (st == NULL)
        return RV_ERROR;

    set_handle(zone, st);
    if (old != NULL) {
        rv_stats_succeed(st, rv_zone_handle(old));
        rv_zone_hold(zone, old);
    }
    return RV_OK;
}

static int
attach(rv_zone_t *zone, RV_UNUSED void *data)
{
    size_t room;
    void *memory = rv_zone_content(zone, &room);
    rv_stats_t *st = memory == NULL ? NULL : rv_stats_attach(memory, room);

    attaches++;
    if (st == NULL)
        return RV_ERROR;

    set_handle(zone, st);
    return rv_stats_same(st, &defs, ROWS) ? RV_OK : RV_DONE;
}

static const rv_zone_calls_t calls = { .init = init, .attach = attach };

static rv_zone_spec_t
spec_of(const char *type, const char *path, const char *instance, const rv_stats_def_t *layout)
{
    defs = (rv_stats_defs_t){ 0 };
    if (rv_stats_define(&defs, "test", layout) != RV_OK)
        _exit(EXIT_FAILURE);
    return (rv_zone_spec_t){ .name = "test",
        .owner = "module",
        .type = type,
        .path = strcmp(type, "file") == 0 ? path : NULL,
        .instance = instance,
        .size = 256L * 1024,
        .need = rv_stats_size(&defs, ROWS),
        .calls = &calls };
}

/* --- a process that does as it is told --------------------------------------------------- */

static const zone_actors_t *actors;
static rv_zone_t *zone, *inherited;
static pid_t heir;

static rv_stats_t *
stats(void)
{
    return rv_zone_handle(zone);
}

static void
add(int name, int64_t delta)
{
    int cell = rv_stats_find(stats(), "test", names[name]);

    if (cell >= 0)
        rv_stats_apply(stats(), &(rv_stats_change_t){ (unsigned) cell, delta }, 1);
}

static void
tell_totals(int64_t total[NAMES])
{
    uint64_t values[RV_STATS_CELLS];

    rv_stats_snapshot(stats(), values, rv_stats_cells(stats()));
    for (int i = 0; i < NAMES; i++) {
        int cell = rv_stats_find(stats(), "test", names[i]);
        total[i] = cell < 0 ? -1 : (int64_t) values[cell];
    }
}

static void
keep_over_exec(int fd)
{
    (void) fcntl(fd, F_SETFD, 0);
}

static int
start_heir(int other_version)
{
    char fd[16], end[16];

    heir = fork();
    if (heir != 0)
        return heir == -1 ? RV_ERROR : RV_OK;

    keep_over_exec(rv_zone_fd(zone));
    keep_over_exec(actors->theirs[HEIR]);
    snprintf(fd, sizeof(fd), "%d", rv_zone_fd(zone));
    snprintf(end, sizeof(end), "%d", actors->theirs[HEIR]);
    execl("/proc/self/exe", "heir", actors->type, fd, end, other_version ? "changed" : "same",
        actors->instance, actors->path, (char *) NULL);
    _exit(EXIT_FAILURE);
}

static int
sweep(void)
{
    if (inherited == NULL || inherited == zone)
        return rv_stats_sweep(stats()) == RV_ERROR ? RV_ERROR : RV_OK;

    int result = rv_stats_sweep(rv_zone_handle(inherited)) == RV_ERROR ? RV_ERROR : RV_OK;
    if (result == RV_OK)
        result = rv_stats_retire(stats(), rv_zone_handle(inherited));
    rv_zone_hold(zone, NULL);
    return result;
}

static int
close_it(void)
{
    if (inherited != NULL)
        rv_zone_close(inherited, 1);
    rv_zone_close(zone, 1);
    return RV_OK;
}

static int
carry_out(zone_actors_request_t r)
{
    switch (r.what) {
    case ADD:
        for (long i = 0; i < r.value; i++) {
            add(BOTH, 1);
            add(OTHER, 1);
            add(OLD_ONLY, 1);
            add(NEW_ONLY, 1);
        }
        return RV_OK;
    case RAISE:
        add(GAUGE, 1);
        return RV_OK;
    case TOTALS:
        return RV_OK;
    case START:
        return start_heir(r.value != 0);
    case REAP:
        return waitpid(heir, NULL, 0) == heir ? RV_OK : RV_ERROR;
    case SWEEP:
        return sweep();
    case ADOPT:
        return rv_zone_adopt(zone);
    case CLOSE:
        return close_it();
    }
    return RV_ERROR;
}

static void
serve(int end)
{
    zone_actors_request_t r = { TOTALS, 0 };
    zone_actors_reply_t reply = { .pid = getpid() };

    reply.row = rv_stats_claim(stats());
    if (reply.row < 0 || rv_stats_own(stats(), (unsigned) reply.row) != RV_OK)
        _exit(EXIT_FAILURE);
    do {
        reply.result = carry_out(r);
        reply.inits = inits;
        reply.attaches = attaches;
        reply.is_old = zone == inherited;
        if (r.what != CLOSE)
            tell_totals(reply.total);
        if (write(end, &reply, sizeof(reply)) != (ssize_t) sizeof(reply))
            _exit(EXIT_FAILURE);
    } while (r.what != CLOSE && read(end, &r, sizeof(r)) == (ssize_t) sizeof(r));
    _exit(EXIT_SUCCESS);
}

void
zone_actors_be_the_maker(const zone_actors_t *a)
{
    const rv_zone_spec_t spec = spec_of(a->type, a->path, a->instance, same);

    actors = a;
    close(a->ours[MAKER]);
    close(a->ours[HEIR]);
    zone = zone_opened(&spec, NULL);
    if (rv_zone_adopt(zone) != RV_OK)
        _exit(EXIT_FAILURE);
    serve(a->theirs[MAKER]);
}

/* Type, descriptor, socket, definitions, instance, path. */
int
zone_actors_be_the_heir(char **argv)
{
    char error[RV_ZONE_ERROR];
    int end = atoi(argv[3]);
    const rv_stats_def_t *layout = strcmp(argv[4], "same") == 0 ? same : changed;
    const rv_zone_spec_t spec = spec_of(argv[1], argv[6], argv[5], layout);

    if (rv_zone_inherit(&spec, atoi(argv[2]), &inherited, error) == RV_OK
        && fcntl(rv_zone_fd(inherited), F_GETFD) == FD_CLOEXEC
        && rv_zone_open(&spec, inherited, &zone, error) == RV_OK)
        serve(end);

    const zone_actors_reply_t failed = { .result = RV_ERROR };
    fprintf(stderr, "the heir: %s\n", error);
    return write(end, &failed, sizeof(failed)) == (ssize_t) sizeof(failed) ? 0 : EXIT_FAILURE;
}
