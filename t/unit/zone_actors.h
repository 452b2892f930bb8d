/*
 * zone_actors: a zone is handed over an exec, as an upgrade of the program does.
 *
 * Two processes do what the test tells them: the maker, which has made the zone,
 * and the heir, which the maker has started. The heir is the test's program again and
 * knows nothing but its arguments; it may have other definitions than the maker. The
 * content is that of rv_stats, the callbacks are like those of the daemon's.
 */
#ifndef ZONE_ACTORS_H
#define ZONE_ACTORS_H

#include <stdint.h>
#include <sys/types.h>

enum { MAKER = 0, HEIR = 1 };

/* What there is to count. Another version has lost one and got one, in another order. */
enum { BOTH, GAUGE, OTHER, OLD_ONLY, NEW_ONLY, NAMES };

typedef enum {
    ADD = 1, /* so many to all counters, one after the other */
    RAISE,   /* the gauge by one */
    TOTALS,  /* tell them */
    START,   /* the heir; of the other version if so */
    REAP,    /* the heir, which has ended */
    SWEEP,   /* the rows of the dead; takes over what the zone before has counted */
    ADOPT,   /* the zone is this one's from now on */
    CLOSE    /* it for good, and end */
} zone_actors_what_t;

typedef struct {
    zone_actors_what_t what;
    long value;
} zone_actors_request_t;

/* To each request; the first one comes unasked. */
typedef struct {
    pid_t pid;
    int result, inits, attaches, row;
    int is_old;           /* the zone that was inherited is the one in use */
    int64_t total[NAMES]; /* -1: unknown to it */
} zone_actors_reply_t;

/* What the two are to know. */
typedef struct {
    const char *type, *instance, *path;
    int ours[2], theirs[2]; /* sockets: the test's ends, and those of the two */
} zone_actors_t;

/* Makes the zone and does what is asked; does not return. */
void zone_actors_be_the_maker(const zone_actors_t *actors);

enum { ZONE_ACTORS_ARGUMENTS = 7 };

/* The same in a program that was started with so many arguments. */
int zone_actors_be_the_heir(char **argv);

#endif
