/*
 * rv_parse: numbers, sizes and times as an operator writes them.
 *
 * strtoul is of no use here: it skips white space, takes "-1" for a very large
 * number and stops quietly at the first letter. Everything below stands on
 * take_digits, which moves a cursor over a run of digits; a word is good only
 * if the cursor ends on its NUL. The rule: no sum or product is formed before
 * it is known to fit, and the caller's value is written last.
 */
#include "rv_parse.h"

#include <string.h>

typedef struct {
    const char *name;
    uint64_t factor;
} unit_t;

static const unit_t size_units[] = {
    { "", 1 },
    { "k", 1024 },
    { "K", 1024 },
    { "m", 1024 * 1024 },
    { "M", 1024 * 1024 },
    { "g", 1024 * 1024 * 1024 },
    { "G", 1024 * 1024 * 1024 },
};

/* From the largest down, which is the order in which they may be written. */
static const unit_t time_units[] = {
    { "d", 24 * 60 * 60 * 1000 },
    { "h", 60 * 60 * 1000 },
    { "m", 60 * 1000 },
    { "s", 1000 },
    { "ms", 1 },
};

#define BARE_SECONDS 1000

static int
is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static int
multiply(uint64_t a, uint64_t b, uint64_t *product)
{
    if (b != 0 && a > UINT64_MAX / b)
        return RV_ERROR;

    *product = a * b;
    return RV_OK;
}

static int
add(uint64_t a, uint64_t b, uint64_t *sum)
{
    if (a > UINT64_MAX - b)
        return RV_ERROR;

    *sum = a + b;
    return RV_OK;
}

static int
take_digits(const char **cursor, uint64_t *value)
{
    const char *p = *cursor;
    uint64_t n = 0;

    if (!is_digit(*p))
        return RV_ERROR;

    for (; is_digit(*p); p++) {
        if (multiply(n, 10, &n) != RV_OK || add(n, (uint64_t) (*p - '0'), &n) != RV_OK)
            return RV_ERROR;
    }

    *cursor = p;
    *value = n;
    return RV_OK;
}

/* Moves the cursor over the next unit, at or after units[*next]; *next is then
 * the one behind it, so that no unit can come twice or out of order. */
static int
take_time_unit(const char **cursor, size_t *next, uint64_t *factor)
{
    size_t length = strspn(*cursor, "dhms");

    for (size_t i = *next; i < rv_countof(time_units); i++) {
        const unit_t *unit = &time_units[i];

        if (strlen(unit->name) != length || memcmp(unit->name, *cursor, length) != 0)
            continue;

        *cursor += length;
        *next = i + 1;
        *factor = unit->factor;
        return RV_OK;
    }

    return RV_ERROR;
}

int
rv_parse_uint(const char *word, uint64_t *value)
{
    uint64_t n;

    if (take_digits(&word, &n) != RV_OK || *word != '\0')
        return RV_ERROR;

    *value = n;
    return RV_OK;
}

int
rv_parse_int(const char *word, int64_t *value)
{
    int negative = (*word == '-');
    uint64_t n;

    if (rv_parse_uint(word + negative, &n) != RV_OK)
        return RV_ERROR;

    if (n > (uint64_t) INT64_MAX + (uint64_t) negative)
        return RV_ERROR;

    /* -INT64_MIN does not exist: negate one less, then take the one away. */
    *value = (negative && n > 0) ? -(int64_t) (n - 1) - 1 : (int64_t) n;
    return RV_OK;
}

int
rv_parse_size(const char *word, size_t *bytes)
{
    uint64_t n;

    if (take_digits(&word, &n) != RV_OK)
        return RV_ERROR;

    for (size_t i = 0; i < rv_countof(size_units); i++) {
        if (strcmp(word, size_units[i].name) != 0)
            continue;

        if (n > SIZE_MAX / size_units[i].factor)
            return RV_ERROR;

        *bytes = (size_t) (n * size_units[i].factor);
        return RV_OK;
    }

    return RV_ERROR;
}

int
rv_parse_msec(const char *word, uint64_t *msec)
{
    uint64_t total = 0;
    uint64_t seconds;
    size_t next = 0;

    if (rv_parse_uint(word, &seconds) == RV_OK)
        return multiply(seconds, BARE_SECONDS, msec);

    do {
        uint64_t n;
        uint64_t factor;

        if (take_digits(&word, &n) != RV_OK || take_time_unit(&word, &next, &factor) != RV_OK)
            return RV_ERROR;

        if (multiply(n, factor, &n) != RV_OK || add(total, n, &total) != RV_OK)
            return RV_ERROR;
    } while (*word != '\0');

    *msec = total;
    return RV_OK;
}

int
rv_parse_flag(const char *word, int *on)
{
    static const char *const words[] = { "off", "on" };

    for (size_t i = 0; i < rv_countof(words); i++) {
        if (strcmp(word, words[i]) == 0) {
            *on = (int) i;
            return RV_OK;
        }
    }

    return RV_ERROR;
}
