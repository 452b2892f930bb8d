/*
 * What the suites of zones have in common: opening, and what a zone tells.
 */
#ifndef ZONE_FIXTURE_H
#define ZONE_FIXTURE_H

#include "shm_fixture.h"

#include "rv_zone.h"

static inline char *
zone_error(void)
{
    static char error[RV_ZONE_ERROR];

    return error;
}

/* What is said of a zone that could be opened; NULL: anything. */
static inline rv_zone_t *
zone_opened_saying(const rv_zone_spec_t *spec, rv_zone_t *old, const char *warning)
{
    rv_zone_t *zone = NULL;

    ck_assert_msg(rv_zone_open(spec, old, &zone, zone_error()) == RV_OK, "%s", zone_error());
    if (warning != NULL)
        ck_assert_str_eq(zone_error(), warning);
    return zone;
}

/* Without a warning. */
static inline rv_zone_t *
zone_opened(const rv_zone_spec_t *spec, rv_zone_t *old)
{
    return zone_opened_saying(spec, old, "");
}

static inline void
zone_assert_refused(const rv_zone_spec_t *spec, rv_zone_t *old, const char *message)
{
    int before = descriptors_open();
    rv_zone_t *zone = NULL;

    ck_assert_int_eq(rv_zone_open(spec, old, &zone, zone_error()), RV_ERROR);
    ck_assert_str_eq(zone_error(), message);
    ck_assert_ptr_null(zone);
    ck_assert_int_eq(descriptors_open(), before);
}

static inline unsigned
zone_generation(const rv_zone_t *zone)
{
    rv_zone_info_t info;

    rv_zone_info(zone, &info);
    return info.generation;
}

static inline unsigned
zone_recoveries(const rv_zone_t *zone)
{
    rv_zone_info_t info;

    rv_zone_info(zone, &info);
    return info.recoveries;
}

/* --- a file, byte by byte ----------------------------------------------------------------- */

typedef struct {
    char *bytes; /* NULL: there is no file */
    size_t size;
} zone_bytes_t;

static inline zone_bytes_t
zone_bytes_of(const char *path)
{
    zone_bytes_t b = { NULL, 0 };
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);

    if (fd == -1)
        return b;
    b.size = fixture_file_size(path);
    b.bytes = malloc(b.size + 1);
    ck_assert_ptr_nonnull(b.bytes);
    ck_assert_int_eq(pread(fd, b.bytes, b.size, 0), (ssize_t) b.size);
    close(fd);
    return b;
}

/* It is as it was; gives `was` back. */
static inline void
zone_assert_bytes(const char *path, zone_bytes_t was)
{
    zone_bytes_t now = zone_bytes_of(path);

    ck_assert_int_eq(now.bytes == NULL, was.bytes == NULL);
    ck_assert_uint_eq(now.size, was.size);
    if (was.bytes != NULL)
        ck_assert_msg(memcmp(now.bytes, was.bytes, was.size) == 0, "\"%s\" was changed", path);
    free(now.bytes);
    free(was.bytes);
}

#endif
