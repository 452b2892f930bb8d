/*
 * figure: what was measured, as a line.
 */
#include "figure.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void
figure_init(figure_t *f, const char *name, const char *unit, long at)
{
    memset(f, 0, sizeof(*f));
    snprintf(f->name, sizeof(f->name), "%s", name);
    f->unit = unit;
    f->at = at;
    f->wanted = -1;
}

static figure_server_t *
find(figure_t *f, const char *name)
{
    for (unsigned i = 0; i < f->count; i++) {
        if (strcmp(f->servers[i].name, name) == 0)
            return &f->servers[i];
    }
    if (f->count == FIGURE_SERVERS)
        bench_give_up("%s: too many servers", f->name);
    f->servers[f->count].name = name;
    return &f->servers[f->count++];
}

void
figure_want(figure_t *f, const char *server, double wanted)
{
    find(f, server)->wanted = wanted;
}

void
figure_add(figure_t *f, const char *server, double sample)
{
    figure_server_t *s = find(f, server);

    if (s->count == FIGURE_SAMPLES)
        bench_give_up("%s: too many samples", f->name);
    s->samples[s->count++] = sample;
}

static double
median(const figure_server_t *s)
{
    double sorted[FIGURE_SAMPLES];

    memcpy(sorted, s->samples, sizeof(sorted));
    return s->count == 0 ? 0 : bench_median(sorted, s->count);
}

/* Three digits, or all of a large number; no exponent, which not all who read it know. */
static const char *
number(double value)
{
    static char texts[4][32];
    static unsigned next;
    char *text = texts[next++ % rv_countof(texts)];
    double size = value < 0 ? -value : value;

    snprintf(text, sizeof(texts[0]), "%.*f",
        size >= 100 || value == (double) (long) value ? 0
            : size >= 10                              ? 1
                                                      : 2,
        value);
    return text;
}

/* Ours in parts of theirs: of what was measured in the same round, where that can be said. */
static double
ratio(const figure_t *f, unsigned i)
{
    const figure_server_t *ours = &f->servers[0], *theirs = &f->servers[i];
    double ratios[FIGURE_SAMPLES], m = median(theirs);

    for (unsigned k = 0; k < theirs->count; k++) {
        if (ours->count != theirs->count || theirs->samples[k] <= 0)
            return m > 0 ? median(ours) / m : 0;
        ratios[k] = ours->samples[k] / theirs->samples[k];
    }
    return bench_median(ratios, theirs->count);
}

static void
find_range(const figure_server_t *s, double *least, double *most)
{
    double sorted[FIGURE_SAMPLES];

    memcpy(sorted, s->samples, sizeof(sorted));
    bench_sort(sorted, s->count);
    *least = sorted[0];
    *most = sorted[s->count - 1];
}

static void
print_text(const figure_t *f)
{
    char name[FIGURE_NAME + 24];
    double least, most;

    snprintf(name, sizeof(name), f->at < 0 ? "%s" : "%s at %ld", f->name, f->at);
    printf("%-36s", name);
    for (unsigned i = 0; i < f->count; i++) {
        const figure_server_t *s = &f->servers[i];

        if (s->count == 0)
            continue;
        find_range(s, &least, &most);
        printf("%s %s %s%s%s", i == 0 ? "" : " |", s->name, number(median(s)),
            *f->unit == '\0' ? "" : " ", f->unit);
        if (s->count > 1)
            printf(" (%s-%s)", number(least), number(most));
        if (i > 0)
            printf(" ratio %.2f", ratio(f, i));
        if (i == 0 && f->wanted >= 0)
            printf(", wanted %s", number(f->wanted));
        if (i > 0 && s->wanted > 0)
            printf(", wanted %.2f", s->wanted);
    }
    printf("\n");
}

static void
print_json(const figure_t *f, FILE *out)
{
    double least, most;

    fprintf(out, "{\"figure\":\"%s\",\"unit\":\"%s\"", f->name, f->unit);
    if (f->at >= 0)
        fprintf(out, ",\"at\":%ld", f->at);
    if (f->wanted >= 0)
        fprintf(out, ",\"wanted\":%g", f->wanted);
    for (unsigned i = 0; i < f->count; i++) {
        const figure_server_t *s = &f->servers[i];

        if (s->count == 0)
            continue;
        find_range(s, &least, &most);
        fprintf(out, ",\"%s\":{\"median\":%.6g,\"least\":%.6g,\"most\":%.6g", s->name, median(s),
            least, most);
        if (i > 0)
            fprintf(out, ",\"ratio\":%.4g", ratio(f, i));
        if (s->wanted > 0)
            fprintf(out, ",\"wanted\":%g", s->wanted);
        fprintf(out, "}");
    }
    fprintf(out, "}\n");
}

/* For whoever draws. */
static void
keep(const figure_t *f, const char *path)
{
    FILE *out = fopen(path, "a");

    if (out == NULL)
        bench_fail(path);
    print_json(f, out);
    if (fclose(out) != 0)
        bench_fail(path);
}

void
figure_print(const figure_t *f)
{
    const char *format = getenv("BENCH_FORMAT"), *path = getenv("BENCH_FILE");

    if (!figure_is_chosen(f->name) || f->count == 0 || f->servers[0].count == 0)
        return;
    if (format != NULL && strcmp(format, "json") == 0)
        print_json(f, stdout);
    else
        print_text(f);
    if (path != NULL)
        keep(f, path);
}

int
figure_is_chosen(const char *name)
{
    const char *only = getenv("BENCH_ONLY");

    return only == NULL || strncmp(name, only, rv_min(strlen(name), strlen(only))) == 0;
}
