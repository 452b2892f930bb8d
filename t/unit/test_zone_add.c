/*
 * rv_zone_add: zones that modules ask for, as the configuration has them.
 *
 * Here a module's configure hook is the test itself, on a cycle that was read.
 */
#include "rv_zone_add.h"

#include "shm_fixture.h"

#define CONF "[http]\nlisten = unix:a\n[location /]\nhandler = return\nreturn = 200 ok\n"

static rv_cycle_options_t options;
static char prefix[80];

static int
init(rv_zone_t *zone, rv_zone_t *old, void *data)
{
    char *memory = rv_zone_alloc(zone, *(size_t *) data);

    if (memory == NULL)
        return RV_ERROR;

    memset(memory, old == NULL ? 'n' : 'o', *(size_t *) data);
    rv_zone_set_handle(zone, memory, NULL);
    return RV_OK;
}

static const rv_zone_calls_t calls = { .init = init };
static size_t need = 10000;

static void
setup(void)
{
    fixture_clear();
    snprintf(prefix, sizeof(prefix), "%.60s/", fixture_place()->directory);
    options = (rv_cycle_options_t){ .prefix = prefix, .conf = fixture_place()->other };
}

static rv_cycle_t *
read_cycle(const char *zone)
{
    FILE *file = fopen(options.conf, "we");

    ck_assert_ptr_nonnull(file);
    fprintf(file, CONF "%s", zone);
    ck_assert_int_eq(fclose(file), 0);

    rv_cycle_t *cycle = rv_cycle_read(&options, 1);
    ck_assert_ptr_nonnull(cycle);
    ck_assert_uint_eq(rv_conf_error_count(cycle->conf), 0);
    return cycle;
}

static int
add(rv_cycle_t *cycle)
{
    return rv_zone_add(cycle, "extra", need, "module", &calls, &need);
}

static const rv_cycle_zone_t *
zone_of(const rv_cycle_t *cycle, const char *name)
{
    const rv_cycle_zone_t *z = cycle->zones;

    while (z != NULL && strcmp(z->spec.name, name) != 0)
        z = z->next;
    ck_assert_ptr_nonnull(z);
    return z;
}

/* An error; with `line`, of the section that begins there. */
static void
assert_told(const rv_cycle_t *cycle, const char *text, const char *line)
{
    const rv_conf_message_t *m = rv_conf_messages(cycle->conf);

    while (m != NULL && strstr(m->text, text) == NULL)
        m = m->next;
    ck_assert_msg(m != NULL, "no message \"%s\"", text);
    ck_assert(!m->is_warning);
    ck_assert_ptr_nonnull(strstr(m->text, line));
    ck_assert_uint_eq(rv_conf_error_count(cycle->conf), 1);
}

START_TEST(zone_has_room_for_what_was_asked_for)
{
    static const size_t sizes[] = { 1, 100, 4096, 10000, 1000000 };

    for (size_t i = 0; i < rv_countof(sizes); i++) {
        char error[RV_ZONE_ERROR];
        rv_zone_t *zone;
        rv_cycle_t *cycle = read_cycle("");

        need = sizes[i];
        ck_assert_int_eq(add(cycle), RV_OK);
        const rv_cycle_zone_t *z = zone_of(cycle, "extra");
        ck_assert_str_eq(z->spec.type, "auto");
        ck_assert_str_eq(z->spec.owner, "module");
        ck_assert_ptr_null(rv_cycle_find_zone(cycle, "extra")); /* not yet open */
        ck_assert_msg(rv_zone_open(&z->spec, NULL, &zone, error) == RV_OK, "%s", error);
        ck_assert_int_eq(((char *) rv_zone_handle(zone))[need - 1], 'n');
        rv_zone_close(zone, 1);
        rv_cycle_free(cycle, 0);
    }
}
END_TEST

START_TEST(configuration_says_what_it_is)
{
    rv_cycle_t *cycle =
        read_cycle("[zone extra]\ntype = file\npath = z\nsize = 1m\nmlock = on\nhugepages = on\n");
    char path[FIXTURE_TEXT];

    ck_assert_int_eq(add(cycle), RV_OK);
    const rv_zone_spec_t *spec = &zone_of(cycle, "extra")->spec;
    snprintf(path, sizeof(path), "%sz", prefix);
    ck_assert_str_eq(spec->type, "file");
    ck_assert_str_eq(spec->path, path);
    ck_assert_uint_eq(spec->size, 1024UL * 1024);
    ck_assert_uint_eq(spec->need, need);
    ck_assert_int_eq(spec->pinned, 1);
    ck_assert_int_eq(spec->huge, 1);
    rv_cycle_free(cycle, 0);
}
END_TEST

START_TEST(zone_cannot_be_declared_twice)
{
    rv_cycle_t *cycle = read_cycle("");

    ck_assert_int_eq(add(cycle), RV_OK);
    ck_assert_int_eq(rv_zone_add(cycle, "extra", need, "other", &calls, &need), RV_ERROR);
    assert_told(cycle, "zone \"extra\" is declared twice, by \"module\" and \"other\"", "");
    rv_cycle_free(cycle, 0);

    cycle = read_cycle("");
    ck_assert_int_eq(rv_zone_add(cycle, "stats", need, "module", &calls, &need), RV_ERROR);
    assert_told(cycle, "zone \"stats\" is declared twice, by \"core\" and \"module\"", "");
    rv_cycle_free(cycle, 0);
}
END_TEST

static const struct {
    const char *conf, *name, *told;
    size_t need;
} mistakes[] = {
    { "", "no/name", "zone name \"no/name\" is not 1 to 47 letters", 10 },
    { "", "extra", "zone \"extra\": size is zero", 0 },
    { "[zone extra]\nsize = 8k\n", "extra",
        "zone \"extra\": size 8192 is smaller than its content needs, ", 10000 },
    { "[zone extra]\ntype = file\n", "extra", "zone \"extra\": type \"file\" needs a path", 10 },
    { "[zone extra]\ntype = anon\npath = z\n", "extra",
        "zone \"extra\": type \"anon\" takes no path", 10 },
};

START_TEST(each_mistake_is_told)
{
    rv_cycle_t *cycle = read_cycle(mistakes[_i].conf);

    need = mistakes[_i].need;
    ck_assert_int_eq(
        rv_zone_add(cycle, mistakes[_i].name, need, "module", &calls, &need), RV_ERROR);
    assert_told(cycle, mistakes[_i].told, *mistakes[_i].conf == '\0' ? "" : "/other:6");
    rv_cycle_free(cycle, 0);
}
END_TEST

/* It is opened with its generation, and carried over by init where its size has changed. */
START_TEST(zone_lives_with_the_generations)
{
    char reason[RV_CYCLE_REASON];
    rv_cycle_t *cycle[3];

    for (int i = 0; i < 3; i++) {
        cycle[i] = read_cycle(i < 2 ? "" : "[zone extra]\nsize = 1m\n");
        ck_assert_int_eq(add(cycle[i]), RV_OK);
        ck_assert_msg(
            rv_cycle_open(cycle[i], i == 0 ? NULL : cycle[i - 1], reason) == RV_OK, "%s", reason);
        ck_assert_int_eq(rv_cycle_listen_all(cycle[i], reason), RV_OK);
        rv_cycle_commit(cycle[i], i == 0 ? NULL : cycle[i - 1]);
    }
    rv_zone_t *first = rv_cycle_find_zone(cycle[0], "extra");
    rv_zone_t *last = rv_cycle_find_zone(cycle[2], "extra");
    ck_assert_ptr_eq(rv_cycle_find_zone(cycle[1], "extra"), first);
    ck_assert_ptr_ne(last, first);
    ck_assert_int_eq(*(char *) rv_zone_handle(first), 'n');
    ck_assert_int_eq(*(char *) rv_zone_handle(last), 'o');
    for (int i = 0; i < 3; i++)
        rv_cycle_free(cycle[i], 1);
}
END_TEST

static Suite *
zone_add_suite(void)
{
    Suite *suite = suite_create("zone_add");
    TCase *tcase = tcase_create("zone_add");

    tcase_add_unchecked_fixture(tcase, fixture_setup_run, fixture_teardown_run);
    tcase_add_checked_fixture(tcase, setup, fixture_clear);
    tcase_set_timeout(tcase, 60);
    tcase_add_test(tcase, zone_has_room_for_what_was_asked_for);
    tcase_add_test(tcase, configuration_says_what_it_is);
    tcase_add_test(tcase, zone_cannot_be_declared_twice);
    tcase_add_loop_test(tcase, each_mistake_is_told, 0, (int) rv_countof(mistakes));
    tcase_add_test(tcase, zone_lives_with_the_generations);

    suite_add_tcase(suite, tcase);
    return suite;
}

int
main(void)
{
    return fixture_run(zone_add_suite());
}
