/*
 * daemon: the built reeve in a folder of its own, driven from outside.
 *
 * Every test starts with daemon_setup and ends with daemon_teardown, which
 * stops what is left and then fails the test when something is wrong that no
 * test may leave behind: an [alert] in the log or on the terminal, a
 * sanitizer's line, a process that still runs, a file that should be gone.
 * Nothing here waits for a time: daemon_wait waits for a state.
 */
#ifndef DAEMON_H
#define DAEMON_H

#include <check.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* How long a state may take to come about before the test fails, in seconds:
 * generous, since machines are slow and sanitizers slower. */
#define DAEMON_LIMIT 60

typedef struct {
    char prefix[128];   /* of this test alone, ends in "/" */
    char conf[192];     /* PREFIX/reeve.conf */
    char log[192];      /* PREFIX/logs/error.log */
    char pid[192];      /* PREFIX/logs/reeve.pid */
    int port;           /* free when the test began */
    pid_t master;       /* 0: not running */
    char output[65536]; /* what the last command wrote, standard output and error */
    int alert_expected; /* set by a test that provokes one */

    int status;            /* of the master that daemon_wait_gone saw go; 128 + N: signal N */
    int unprivileged;      /* set: commands run as nobody, where the test runs as root */
    void (*prepare)(void); /* called before a command runs, in its process; NULL: nothing */
    int own_pids;      /* set: commands run as process 1 of a namespace, see daemon_can_own_pids */
    int closed;        /* set: commands begin without descriptors 0, 1 and 2 */
    char preload[256]; /* LD_PRELOAD of the commands, "": none */
    int pass[16];      /* descriptors that commands get, from 3 on; the test's all the same */
    int passed;        /* how many of them */
    const char *program; /* what starts it, as execvp finds it; NULL: the built one */
    const char *names;   /* LISTEN_FDNAMES, with LISTEN_FDS and LISTEN_PID; NULL: none of them */
    char terminal[192];  /* PREFIX/terminal: all that the commands wrote */
    char sanitizer[192]; /* a folder for what sanitizers write */
    int reserved;        /* keeps the port for this test */
} daemon_t;

/* A new folder with logs/ in it, and a free port. */
void daemon_setup(daemon_t *d);

/* Stops the daemon if it runs, checks all that is said above, removes the folder. */
void daemon_teardown(daemon_t *d);

/*
 * Writes the configuration file. In `text`, "%PORT%" becomes the port. A
 * convenient one is DAEMON_CONF: two workers, /hello, /stub_status.
 */
void daemon_conf(daemon_t *d, const char *text);
extern const char DAEMON_CONF[];

/* What follows [main] in DAEMON_CONF: the sections that make it serve. */
extern const char DAEMON_HTTP[];

/* The same from pieces, as printf puts them together. */
void daemon_conff(daemon_t *d, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* Writes these bytes, whatever they are, to a file. */
void daemon_write(const char *path, const void *bytes, size_t length);

/* A port that is free, and kept so until the test ends. */
int daemon_free_port(void);

/* A tcase with the time limit of daemon tests, in this suite. */
TCase *daemon_case(Suite *suite, const char *name);

/* Runs reeve -p PREFIX -c CONF with these further arguments (up to NULL), waits
 * for its end, returns its exit status (128 + N: signal N) and fills output. */
int daemon_run(daemon_t *d, ...);

/* The same with nothing but these arguments. */
int daemon_run_bare(daemon_t *d, ...);

/* Whether this machine lets the test make namespaces of processes; says so where not. */
int daemon_can_own_pids(void);

/* Begins the same as daemon_run and does not wait: for daemon_wait_process. */
pid_t daemon_launch(daemon_t *d, ...);

/* From now on commands run with this object of t/daemon, "preload_fork". */
void daemon_preload(daemon_t *d, const char *name);

/* Starts it as a daemon: status 0 expected; fills master from the pid file. */
void daemon_start(daemon_t *d);

/* Starts it with daemon = off as a child with a process group of its own, waits
 * until the pid file and the port are there. Its terminal goes to PREFIX/terminal. */
void daemon_start_foreground(daemon_t *d, ...);

/* Waits for a pid file and takes master from it. */
void daemon_wait_master(daemon_t *d);

/* -s WORD, status 0 expected. */
void daemon_signal(daemon_t *d, const char *word);

/* Waits until the master is gone: master is 0 then, status its exit status. */
void daemon_wait_gone(daemon_t *d);

/* Waits until condition(d, data) is true, fails the test after DAEMON_LIMIT. */
void daemon_wait(daemon_t *d, int (*condition)(daemon_t *, void *), void *data, const char *what);

/* Waits until the log has so many lines with this text. */
void daemon_wait_log(daemon_t *d, const char *text, int count);
int daemon_log_count(daemon_t *d, const char *text);

/* The same for any file. */
void daemon_wait_file(daemon_t *d, const char *path, const char *text, int count);
int daemon_file_count(const char *path, const char *text);

/* Fails the test unless the last command wrote this. */
void daemon_expect_output(daemon_t *d, const char *text);

/* PREFIX/name; in one of a few buffers that are used in turn. */
const char *daemon_path(daemon_t *d, const char *name);

/* The whole of a file, NUL-terminated, to be freed; NULL: there is none. */
char *daemon_read(const char *path);

/* Sends HUP and waits for "reload done, generation N" in the log, N higher
 * than the last; and until no worker of an older generation lives. */
void daemon_reload(daemon_t *d);

/* --- /proc ------------------------------------------------------------------------ */

/* The children of a process, in order of their pids; how many. */
int daemon_children(pid_t pid, pid_t *pids, int room);

/* Waits until the master has exactly so many children, whose title is "reeve: worker process". */
void daemon_wait_workers(daemon_t *d, int count);

/* The first child of the master. */
pid_t daemon_worker(daemon_t *d);

/* How many children of the master have this title. */
int daemon_count_titles(daemon_t *d, const char *title);

/* How many descriptors a process has open; -1: no such process. */
int daemon_fd_count(pid_t pid);

/* How many sockets listen at this port, of any address. */
int daemon_listening(int port);

/* Waits until the process has so many. */
void daemon_wait_fd_count(daemon_t *d, pid_t pid, int count);

/* Waits until the master has done what it was told so far, the end of its start
 * included: it reopens its logs, and says so in one that takes notices. */
void daemon_settle(daemon_t *d);

/* What ps would show, "" where there is none. */
const char *daemon_title(pid_t pid, char *text, size_t room);

/* A zombie is not alive. */
int daemon_alive(pid_t pid);

/* Waits until the process is gone, and takes its exit status where it is ours
 * to take: as daemon_run's; -1: somebody else's. */
int daemon_wait_process(daemon_t *d, pid_t pid);

/* Stops it by SIGSTOP, and waits until it is; or waits until somebody else has. */
void daemon_freeze(daemon_t *d, pid_t pid);
void daemon_wait_frozen(daemon_t *d, pid_t pid);

/* The value of a line "Name:" of /proc/PID/status, "" where there is none. */
const char *daemon_proc_status(pid_t pid, const char *name, char *text, size_t room);

/* What a link /proc/PID/NAME points to, "" where there is none. */
const char *daemon_proc_link(pid_t pid, const char *name, char *text, size_t room);

/* 1 when one of the process's descriptors is this file. */
int daemon_has_file(pid_t pid, const char *path);

/* CPU time of a process, user and system, in clock ticks. */
long daemon_cpu(pid_t pid);

/* --- HTTP --------------------------------------------------------------------------- */

/* A connection to 127.0.0.1:port, or -1. Reads time out after DAEMON_LIMIT. */
int daemon_connect(daemon_t *d);
int daemon_connect_port(int port);
int daemon_connect_unix(const char *path);

/* Sends all of it. */
void daemon_send(int fd, const char *bytes, size_t length);

/*
 * Reads one whole answer (by Content-Length; head_only: without body) into
 * text; returns the status code, 0: closed before a whole answer came.
 */
int daemon_answer(int fd, char *text, size_t room, int head_only);

/* Reads to the end of the connection; how many bytes, -1: reset. */
long daemon_read_end(int fd, char *text, size_t room);

/* GET path on a connection of its own: status code, and the body in text; -1:
 * no connection. */
int daemon_get(daemon_t *d, const char *path, char *text, size_t room);

typedef struct {
    uint64_t active, accepts, handled, requests, reading, writing, waiting;
} daemon_status_t;

/* GET /stub_status, parsed; the form is checked byte for byte. */
void daemon_status(daemon_t *d, daemon_status_t *status);

/* main() of a daemon test: runs the suite. */
int daemon_main(Suite *suite);

#endif
