/*
 * rv_mesh_payload: what is too large for a message, and what somebody hostile says that it is.
 */
#include "rv_mesh_payload.h"

#include "mesh_actors.h"
#include "rv_control.h"
#include "rv_fd.h"

#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

enum { LENGTH = 100 * 1000, PAGE = 4096 };

static char data[LENGTH];

static void
fill(void)
{
    for (size_t i = 0; i < sizeof(data); i++)
        data[i] = (char) (i * 13 + i / 257);
}

static size_t
mapped(void)
{
    char line[512];
    size_t lines = 0;
    FILE *maps = fopen("/proc/self/maps", "r");

    ck_assert_ptr_nonnull(maps);
    while (fgets(line, sizeof(line), maps) != NULL)
        lines += strstr(line, "reeve message") != NULL;
    fclose(maps);
    return lines;
}

/* --- as it should be ---------------------------------------------------------------------- */

START_TEST(what_was_put_in_is_taken_out)
{
    static const size_t lengths[] = { 1, PAGE - 1, PAGE, PAGE + 1, LENGTH };
    int held = mesh_descriptors_here();

    fill();
    for (size_t i = 0; i < rv_countof(lengths); i++) {
        rv_mesh_payload_t payload;
        int fd = rv_mesh_payload_create(data, lengths[i]);

        ck_assert_int_ne(fd, -1);
        ck_assert(fcntl(fd, F_GETFD) & FD_CLOEXEC);
        ck_assert_int_eq(rv_mesh_payload_open(&payload, fd, lengths[i]), RV_OK);
        ck_assert_uint_eq(payload.length, lengths[i]);
        close(fd);
        ck_assert_int_eq(memcmp(payload.data, data, lengths[i]), 0);
        rv_mesh_payload_close(&payload);
        ck_assert_ptr_null(payload.data);
    }
    ck_assert_int_eq(mesh_descriptors_here(), held);
    ck_assert_uint_eq(mapped(), 0);
}
END_TEST

START_TEST(nobody_can_change_it_any_more)
{
    fill();
    int fd = rv_mesh_payload_create(data, LENGTH);

    ck_assert_int_ne(fd, -1);
    if (RV_HAVE_MEMFD) {
        ck_assert_int_eq(ftruncate(fd, 1), -1);
        ck_assert_int_eq(ftruncate(fd, LENGTH + 1), -1);
        ck_assert_int_eq(pwrite(fd, "x", 1, 0), -1);
        ck_assert_ptr_eq(mmap(NULL, LENGTH, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0), MAP_FAILED);
    }
    close(fd);
}
END_TEST

/* --- faults ------------------------------------------------------------------------------------ */

/* No further descriptor, or file of any length, can be had. */
static void
limit(int what, rlim_t most, struct rlimit *usual)
{
    struct rlimit less;

    ck_assert_int_eq(getrlimit(what, usual), 0);
    less = *usual;
    less.rlim_cur = most;
    ck_assert_int_eq(setrlimit(what, &less), 0);
}

START_TEST(without_descriptors_or_room_there_is_none_and_nothing_leaks)
{
    static const struct {
        int what;
        rlim_t most;
        int err;
    } faults[] = { { RLIMIT_NOFILE, 1, EMFILE }, { RLIMIT_FSIZE, PAGE, EFBIG } };
    int held = mesh_descriptors_here();

    signal(SIGXFSZ, SIG_IGN); /* as the daemon */
    for (size_t i = 0; i < rv_countof(faults); i++) {
        struct rlimit usual;

        limit(faults[i].what, faults[i].most, &usual);
        int fd = rv_mesh_payload_create(data, LENGTH), err = errno;
        ck_assert_int_eq(setrlimit(faults[i].what, &usual), 0);
        ck_assert_int_eq(fd, -1);
        ck_assert_int_eq(err, faults[i].err);
        ck_assert_int_eq(mesh_descriptors_here(), held);
    }
}
END_TEST

/* --- hostile ------------------------------------------------------------------------------------- */

static int
sealed(size_t length, int seals)
{
#if RV_HAVE_MEMFD
    int fd = memfd_create("hostile", MFD_CLOEXEC | MFD_ALLOW_SEALING);

    if (fd != -1 && (ftruncate(fd, (off_t) length) == -1 || fcntl(fd, F_ADD_SEALS, seals) == -1))
        rv_fd_close(&fd);
    return fd;
#else
    (void) length;
    (void) seals;
    return open("/dev/null", O_RDONLY | O_CLOEXEC);
#endif
}

static int
make_pipe(void)
{
    int fds[2];

    if (pipe(fds) == -1)
        return -1;
    close(fds[1]);
    return fds[0];
}

static int
make_socket(void)
{
    return socket(AF_UNIX, SOCK_STREAM, 0);
}

static int
make_device(void)
{
    return open("/dev/zero", O_RDONLY | O_CLOEXEC);
}

static int
make_folder(void)
{
    return open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}

/* A file of a disk, which could be one that never answers. */
static int
make_file(void)
{
    char name[] = "/tmp/reeve-payload-XXXXXX";
    int fd = mkstemp(name);

    if (fd != -1 && (unlink(name) == -1 || ftruncate(fd, LENGTH) == -1))
        rv_fd_close(&fd);
    return fd;
}

static int
make_good(void)
{
    return rv_mesh_payload_create(data, LENGTH);
}

static int
make_unsealed(void)
{
    return sealed(LENGTH, 0);
}

static int
make_shrinkable(void)
{
    return sealed(LENGTH, F_SEAL_WRITE);
}

static int
make_writable(void)
{
    return sealed(LENGTH, F_SEAL_SHRINK | F_SEAL_GROW);
}

static const struct {
    const char *what;
    int (*make)(void);
    uint64_t length;   /* that is said */
    int without_seals; /* refused there too */
} hostile[] = {
    { "pipe", make_pipe, LENGTH, 1 },
    { "socket", make_socket, LENGTH, 1 },
    { "device", make_device, LENGTH, 1 },
    { "folder", make_folder, LENGTH, 1 },
    { "no length", make_good, 0, 1 },
    { "one byte more", make_good, LENGTH + 1, 1 },
    { "one byte less", make_good, LENGTH - 1, 1 },
    { "more than may be", make_good, RV_MESH_PAYLOAD_LARGEST + 1, 1 },
    { "all there is", make_good, UINT64_MAX, 1 },
    { "file", make_file, LENGTH, 0 },
    { "unsealed", make_unsealed, LENGTH, 0 },
    { "may be cut", make_shrinkable, LENGTH, 0 },
    { "may be written", make_writable, LENGTH, 0 },
};

START_TEST(what_is_no_payload_is_not_opened)
{
    rv_mesh_payload_t payload;
    int held = mesh_descriptors_here();

    fill();
    if (!RV_HAVE_MEMFD && !hostile[_i].without_seals)
        return;
    int fd = hostile[_i].make();
    ck_assert_msg(fd != -1, "%s: %s", hostile[_i].what, strerror(errno));
    ck_assert_msg(rv_mesh_payload_open(&payload, fd, (size_t) hostile[_i].length) == RV_ERROR, "%s",
        hostile[_i].what);
    ck_assert_int_eq(errno, EPROTO);
    ck_assert_ptr_null(payload.data);
    close(fd);
    ck_assert_int_eq(mesh_descriptors_here(), held);
}
END_TEST

/* --- on the mesh ------------------------------------------------------------------------------------ */

static atomic_uint *received;
enum { LARGE = 2 }; /* a flag as rv_mesh.c has it */

static void
receive(const rv_mesh_message_t *msg)
{
    mesh_require(msg->length == LENGTH && memcmp(msg->data, data, LENGTH) == 0);
    if (msg->fd != -1)
        close(msg->fd);
    atomic_fetch_add(received, 1);
}

static const rv_mesh_type_t types[] = {
    { .name = "large", .receive = receive, .receive_master = receive },
    { .name = "deaf", .receive_master = receive },
    { .name = NULL },
};

/* Makes a mesh of two, the first of which sends to the second. */
static void
setup_mesh(rv_process_t *worker[2])
{
    fill();
    received =
        mmap(NULL, sizeof(*received), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    ck_assert_ptr_ne(received, MAP_FAILED);
    mesh_setup(types);
    worker[0] = mesh_spawn(1, 0);
    worker[1] = mesh_spawn(1, 1);
}

static void
send_good(const void *arg)
{
    const rv_process_id_t *to = arg;
    int type = rv_mesh_find("test", "large");

    mesh_require(rv_mesh_send(to, type, data, LENGTH, -1) == RV_OK);
    mesh_require(rv_mesh_send(to, type, data, LENGTH, STDIN_FILENO) == RV_OK);
    mesh_require(rv_mesh_send(to, type, data, RV_MESH_PAYLOAD_LARGEST + 1, -1) == RV_ERROR);
    mesh_require(errno == EMSGSIZE);
}

START_TEST(payloads_pass_and_leave_nothing_behind)
{
    rv_process_t *worker[2];

    setup_mesh(worker);
    const rv_process_id_t to = mesh_id(worker[1]), master = rv_mesh_master();
    int held[] = { mesh_descriptors(worker[0]), mesh_descriptors(worker[1]),
        mesh_descriptors_here() };
    for (unsigned i = 1; i <= 10; i++) {
        mesh_do(worker[0], send_good, &to, sizeof(to));
        mesh_do(worker[0], send_good, &master, sizeof(to));
        mesh_until(atomic_load(received) == 4 * i);
    }
    ck_assert_int_eq(mesh_descriptors(worker[0]), held[0]);
    ck_assert_int_eq(mesh_descriptors(worker[1]), held[1]);
    ck_assert_int_eq(mesh_descriptors_here(), held[2]);
    ck_assert_uint_eq(mapped(), 0);
    mesh_end();
}
END_TEST

typedef struct {
    int row; /* of hostile; beyond: see below */
    unsigned slot;
} attack_t;

enum { NO_DESCRIPTOR = rv_countof(hostile), WRONG_DATA, THREE, UNWANTED, TWO_SMALL, ATTACKS };

/* A message that says of itself that it is a payload, in ways that it should not be. */
static void
attack(const void *arg)
{
    const attack_t *a = arg;
    const rv_process_t *self = rv_process_self();
    int is_row = a->row < NO_DESCRIPTOR;
    uint64_t length = is_row ? hostile[a->row].length : LENGTH;
    int fd = is_row ? hostile[a->row].make() : make_good();
    const int more[] = { fd, fd };
    const rv_message_t msg = {
        .type = (uint16_t) (RV_CONTROL_USER
            + rv_mesh_find("test", a->row == UNWANTED ? "deaf" : "large")),
        .flags = a->row == TWO_SMALL ? 0 : LARGE,
        .slot = self->slot,
        .generation = self->generation,
        .length = a->row == WRONG_DATA ? 4 : sizeof(length),
        .data = &length,
        .fd = a->row == NO_DESCRIPTOR ? -1 : fd,
        .more = more,
        .more_count = a->row == THREE ? 2
            : a->row == TWO_SMALL     ? 1
                                      : 0,
    };

    mesh_require(fd != -1);
    mesh_require(rv_channel_send(rv_process_at(a->slot)->channel[0], &msg) == RV_OK);
    close(fd);
}

START_TEST(hostile_payloads_are_refused_and_their_descriptors_closed)
{
    rv_process_t *worker[2];
    unsigned refused = 0;

    setup_mesh(worker);
    int held = mesh_descriptors(worker[1]);
    for (int i = 0; i < ATTACKS; i++) {
        const attack_t a = { i, worker[1]->slot };

        if (!RV_HAVE_MEMFD && i < NO_DESCRIPTOR && !hostile[i].without_seals)
            continue;
        mesh_do(worker[0], attack, &a, sizeof(a));
        refused++;
        mesh_until(mesh_refused(worker[1]) == refused);
        ck_assert_int_eq(mesh_descriptors(worker[1]), held);
    }
    ck_assert_uint_eq(atomic_load(received), 0);

    const rv_process_id_t to = mesh_id(worker[1]);
    mesh_do(worker[0], send_good, &to, sizeof(to));
    mesh_until(atomic_load(received) == 2);
    mesh_end();
}
END_TEST

static Suite *
mesh_suite(void)
{
    Suite *suite = suite_create("mesh_payload");
    TCase *tcase = tcase_create("mesh_payload");

    tcase_set_timeout(tcase, 120);
    tcase_add_test(tcase, what_was_put_in_is_taken_out);
    tcase_add_test(tcase, nobody_can_change_it_any_more);
    tcase_add_test(tcase, without_descriptors_or_room_there_is_none_and_nothing_leaks);
    tcase_add_loop_test(tcase, what_is_no_payload_is_not_opened, 0, rv_countof(hostile));
    tcase_add_test(tcase, payloads_pass_and_leave_nothing_behind);
    tcase_add_test(tcase, hostile_payloads_are_refused_and_their_descriptors_closed);
    suite_add_tcase(suite, tcase);
    return suite;
}

int
main(void)
{
    SRunner *runner = srunner_create(mesh_suite());

    srunner_run_all(runner, CK_NORMAL);

    int failed = srunner_ntests_failed(runner);

    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
