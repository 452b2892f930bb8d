/*
 * module_post: what stands in its rows, for the module and the tests.
 */
#ifndef MODULE_POST_H
#define MODULE_POST_H

enum { POST_ROWS = 256 }; /* the last is the master's */

/* In this order behind the slot and the pid of a line of /post/seen; the line before all others is
 * the messages that went astray, and those that were not the next. */
typedef enum {
    POST_SENT = 0,
    POST_AGAIN,
    POST_FAILED,
    POST_RECEIVED,
    POST_MADE, /* calls, */
    POST_ANSWERED,
    POST_LATE,
    POST_LOST,
    POST_UNANSWERED, /* calls of others that could not be */
    POST_ROOMS,
    POST_OBEYED, /* orders */
    POST_VALUES
} post_value_t;

#endif
