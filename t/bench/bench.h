/*
 * bench: what all programs of the bench stand on.
 *
 * A program runs as the child of a keeper, which waits for it, ends whatever it has left
 * running, and removes its folder: also when it is interrupted.
 */
#ifndef BENCH_H
#define BENCH_H

#include "rv_base.h"

#include <stddef.h>
#include <sys/types.h>

enum { BENCH_ROUNDS = 5, BENCH_PATH = 256 };

/* Of the processors that we may use: the first, the second, or where there is no second, any. */
typedef enum { BENCH_SERVER_CORE, BENCH_LOAD_CORE, BENCH_ANY_CORE } bench_core_t;

/* First in main, with argv[0]. Returns in the child. */
void bench_init(const char *self);

/* A path in a folder of the program's own; the last eight stay as they are. */
const char *bench_path(const char *name);

/* A program of the build: "reeve", "t/bench/reeve_uncounted". */
const char *bench_built(const char *name);

/* Tells errno, and ends the program. */
void bench_fail(const char *what) __attribute__((noreturn));
void bench_give_up(const char *fmt, ...) __attribute__((noreturn, format(printf, 1, 2)));

double bench_now(void); /* s */

/* Seconds of processor time, of RUSAGE_SELF or of RUSAGE_CHILDREN that are gone. */
double bench_cpu(int who);

void bench_pause(unsigned msec);

/* Zeroed, and shared with the children. */
void *bench_map(size_t size);

void bench_pin(bench_core_t core);

/* As fork; the child ends with this process. */
pid_t bench_fork(void);

/* From now on what this process writes to the terminal goes nowhere. */
void bench_be_quiet(void);

/* How many a process can have here. */
unsigned bench_most_connections(void);

/* Sends a signal to a child and waits for its end. */
void bench_end(pid_t pid, int number);

void bench_sort(double *figures, size_t n);

/* Sorts them too. */
double bench_median(double *figures, size_t n);

#endif
