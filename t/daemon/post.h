/*
 * post: the workers of module_post, told what to do and asked what they have seen.
 */
#ifndef POST_H
#define POST_H

#include "daemon.h"
#include "module_post.h"

typedef struct {
    unsigned long astray, gaps;
    struct {
        pid_t pid; /* 0: nobody */
        unsigned long value[POST_VALUES];
    } row[POST_ROWS];
} post_t;

/* Commands run with the program that has the module; before daemon_start. */
void post_setup(daemon_t *d);

/* The configuration with these lines in [main]. */
void post_conf(daemon_t *d, int workers, const char *more);

/* As module_post.c has it; WHO obeys before long. */
void post_order(
    daemon_t *d, const char *who, const char *deed, const char *to, unsigned count, unsigned size);

/* The same for a deed that ends who does it, who may be who was asked. */
void post_order_last(daemon_t *d, const char *who, const char *to, unsigned count, unsigned size);

/* Every worker writes to all others (1), or does not (0). */
void post_storm(daemon_t *d, int on);

void post_look(daemon_t *d, post_t *post);

/* The row of a process. */
unsigned long post_value(daemon_t *d, pid_t pid, post_value_t value);

/* Waits until it has that value. */
void post_wait(daemon_t *d, pid_t pid, post_value_t value, unsigned long number);

/* Waits until a process has no more descriptors than that. It may have had a client's when they were
 * counted, so it may have fewer. */
void post_wait_descriptors(daemon_t *d, pid_t pid, int most);

/* Fails the test when a message was not where or what it should be. */
void post_judge(daemon_t *d);

/* Waits until all that was sent was received; of those who have died too, which may never be. */
void post_settle(daemon_t *d);

/* The pid of the worker that was started last with this number. */
pid_t post_worker(daemon_t *d, unsigned number);

#endif
