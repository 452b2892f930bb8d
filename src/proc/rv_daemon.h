/*
 * rv_daemon: becoming a daemon, a user, a name in the process list.
 */
#ifndef RV_DAEMON_H
#define RV_DAEMON_H

#include "rv_base.h"

#include <sys/types.h>

typedef struct {
    const char *name; /* the caller's */
    uid_t uid;
    gid_t gid;
} rv_daemon_user_t;

/*
 * Goes on in a child of its own session, with /dev/null for standard input and output. The parent
 * stays until rv_daemon_ready, then exits with 0; if the child ends before that, with 1. RV_OK in
 * the child, *notify is for rv_daemon_ready; RV_ERROR and errno where there is no child.
 */
int rv_daemon_detach(int *notify);

/* If *notify is a descriptor: lets the parent go, and unless told to keep it
 * puts /dev/null in the place of standard error. */
void rv_daemon_ready(int *notify, int keep_stderr);

/* Opens /dev/null for each standard descriptor that is closed, so that nothing
 * else gets its number. First of all. */
int rv_daemon_fill_standard(void);

/*
 * The absolute path of the program that runs, by the name that it was called by: links are not
 * followed, since an upgrade may put another program behind them. The caller's to free; NULL:
 * errno.
 */
char *rv_daemon_program(const char *name);

/* Puts /dev/null in the place of a standard descriptor. */
int rv_daemon_to_null(int fd);

/*
 * Looks up a user and a group (NULL: the user's own). RV_ERROR: *missing is
 * which of the two names there is not.
 */
int rv_daemon_user(
    const char *user, const char *group, rv_daemon_user_t *result, const char **missing);

/*
 * Takes the user's groups, which are looked up in files of the system. Then
 * becomes the user, for good. Root only; RV_ERROR and errno.
 */
int rv_daemon_take_groups(const rv_daemon_user_t *user);
int rv_daemon_become(const rv_daemon_user_t *user);

/* Loads what looking up groups needs: before a fork, so that not every child has to. */
void rv_daemon_load_groups(const rv_daemon_user_t *user);

/*
 * Makes room for titles, once, at the very start of main; argv and environ are moved. Then
 * sets what ps shows, "reeve: TEXT".
 */
int rv_daemon_title_init(int argc, char **argv);
void rv_daemon_title(const char *text);

#endif
