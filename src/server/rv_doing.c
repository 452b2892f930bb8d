/*
 * rv_doing: what a worker was doing, and for how long it lived, in words.
 *
 * What a worker has noted is taken with care: a number that means nothing in
 * this generation is left out.
 */
#include "rv_doing.h"

#include "rv_activity.h"

#include <stdio.h>

static const char *const words[] = {
    [RV_ACTIVITY_STARTING] = "starting",
    [RV_ACTIVITY_IDLE] = "idle",
    [RV_ACTIVITY_SERVING] = "serving",
    [RV_ACTIVITY_ANSWERING] = "answering",
    [RV_ACTIVITY_DRAINING] = "beginning to drain",
    [RV_ACTIVITY_EXITING] = "exiting",
};

static const rv_cycle_listener_t *
find_listener(const rv_cycle_t *cycle, unsigned number)
{
    const rv_cycle_listener_t *l = cycle->listeners;

    while (l != NULL && l->number != number)
        l = l->next;
    return l;
}

const char *
rv_doing(const rv_cycle_t *cycle, unsigned slot, char text[RV_DOING_TEXT])
{
    rv_activity_t activity = rv_activity_of(slot);
    const rv_cycle_listener_t *l = find_listener(cycle, activity.listener);
    const char *handler = rv_activity_name(activity.handler);
    const char *word = activity.kind < rv_countof(words) ? words[activity.kind] : "lost";
    char address[RV_ADDR_TEXT];

    if (l == NULL)
        snprintf(text, RV_DOING_TEXT, "%s", word);
    else
        snprintf(text, RV_DOING_TEXT, "%s at \"%s\", %s \"%s\"", word,
            rv_addr_format(&l->listener.addr, address), handler == NULL ? "service" : "handler",
            handler == NULL ? l->service->name : handler);
    return text;
}

const char *
rv_doing_time(int64_t msec, char text[RV_DOING_TIME])
{
    static const struct {
        int64_t msec;
        const char *name;
    } units[] = { { 24 * 3600 * 1000, "d" }, { 3600 * 1000, "h" }, { 60 * 1000, "m" },
        { 1000, "s" }, { 1, "ms" } };
    size_t i = 0;

    while (i < rv_countof(units) - 1 && msec < units[i].msec)
        i++;
    int n =
        snprintf(text, RV_DOING_TIME, "%lld%s", (long long) (msec / units[i].msec), units[i].name);

    /* and the next smaller one, down to seconds */
    int64_t rest = msec % units[i].msec;
    if (++i < rv_countof(units) - 1 && rest >= units[i].msec)
        snprintf(text + n, (size_t) (RV_DOING_TIME - n), "%lld%s",
            (long long) (rest / units[i].msec), units[i].name);
    return text;
}
