/*
 * figure: what was measured, as a line.
 *
 * With BENCH_FORMAT=json in the environment a line is a JSON object; the same is added to the
 * file that BENCH_FILE names.
 */
#ifndef FIGURE_H
#define FIGURE_H

#include "bench.h"

enum { FIGURE_SERVERS = 8, FIGURE_SAMPLES = 24, FIGURE_NAME = 64 };

typedef struct {
    const char *name;
    double samples[FIGURE_SAMPLES];
    unsigned count;
    double wanted; /* our median in parts of this one's, at most; 0: nothing is wanted */
} figure_server_t;

/* The first server is ours. */
typedef struct {
    char name[FIGURE_NAME]; /* "requests.return" */
    const char *unit;
    long at;       /* what grows, the number of workers for instance; -1: nothing */
    double wanted; /* our median, at most; below 0: nothing is wanted */
    figure_server_t servers[FIGURE_SERVERS];
    unsigned count;
} figure_t;

/* An empty one. */
void figure_init(figure_t *f, const char *name, const char *unit, long at);

/* What is wanted beside this server. */
void figure_want(figure_t *f, const char *server, double wanted);

void figure_add(figure_t *f, const char *server, double sample);

void figure_print(const figure_t *f);

/* 1: BENCH_ONLY in the environment is how this name begins, or goes on; or it is not set. Others
 * need not be measured, and are not printed. */
int figure_is_chosen(const char *name);

#endif
