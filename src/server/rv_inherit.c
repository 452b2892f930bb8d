/*
 * rv_inherit: listening sockets that were open before this process began.
 *
 * Which socket is for which directive is told by its address alone: names and
 * the order of descriptors are another configuration's affair, and may be wrong.
 */
#include "rv_inherit.h"

#include "rv_activation.h"
#include "rv_fd.h"
#include "rv_listener_inherit.h"

static const char no_memory[] = "not enough memory";

rv_cycle_t *
rv_inherit_create(void)
{
    rv_pool_t *pool = rv_pool_create();
    rv_cycle_t *given = pool == NULL ? NULL : rv_pool_alloc(pool, sizeof(*given));

    if (given == NULL) {
        rv_pool_destroy(pool);
        return NULL;
    }
    given->pool = pool;
    return given;
}

/* The listener of the same address, a new one where there is none. */
static rv_listener_t *
enter(rv_cycle_t *given, const rv_listener_t *ls)
{
    rv_cycle_listener_t *l = rv_cycle_find_listener(given, &ls->addr);

    if (l != NULL)
        return &l->listener;
    l = rv_pool_alloc(given->pool, sizeof(*l));
    if (l == NULL)
        return NULL;

    l->listener = *ls;
    l->next = given->listeners;
    given->listeners = l;
    return &l->listener;
}

rv_listener_t *
rv_inherit_listener(rv_cycle_t *given, int fd, const char **why)
{
    rv_listener_t looked, *ls;

    if (rv_listener_inherit_look(&looked, fd, why) != RV_OK)
        return NULL;

    *why = no_memory;
    ls = enter(given, &looked);
    return ls != NULL && rv_listener_inherit_add(ls, fd) == RV_OK ? ls : NULL;
}

/* What is passed is wanted where a directive has its address. */
static const char *
refuse(const rv_activation_t *a, const rv_cycle_t *wanted, char text[RV_ADDR_TEXT])
{
    rv_listener_t looked;
    const char *why;

    if (a->fd == -1)
        return "not open";
    if (rv_listener_inherit_look(&looked, a->fd, &why) != RV_OK)
        return why;

    rv_addr_format(&looked.addr, text);
    return rv_cycle_find_listener(wanted, &looked.addr) == NULL ? "no \"listen\" has its address"
                                                                : NULL;
}

int
rv_inherit_activation(rv_cycle_t *given, const rv_cycle_t *wanted)
{
    rv_activation_t *a;

    if (rv_activation_take() != RV_OK)
        rv_log(RV_LOG_WARN, 0, "LISTEN_FDS is not a number of descriptors, ignored");

    for (unsigned i = 0; (a = rv_activation_at(i)) != NULL; i++) {
        char text[RV_ADDR_TEXT] = "no address";
        const char *why = refuse(a, wanted, text);

        if (why != NULL) {
            rv_log(RV_LOG_WARN, 0,
                "descriptor %d (\"%s\", %s) was passed for nothing and is closed: %s", a->number,
                a->name, text, why);
            rv_fd_close(&a->fd);
        } else if (rv_inherit_listener(given, a->fd, &why) == NULL) {
            return RV_ERROR;
        }
        a->fd = -1;
    }
    return RV_OK;
}
