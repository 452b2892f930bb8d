/*
 * rv_return: `handler = return`, a fixed answer.
 */
#include "rv_http_parse.h"
#include "rv_http_reply.h"

#include <stdio.h>
#include <string.h>

enum { URL_ROOM = 1024 };

static int
is_redirect(unsigned code)
{
    return code == 301 || code == 302 || code == 303 || code == 307 || code == 308;
}

static int
check(rv_conf_t *cf, const char *path, const rv_http_location_t *location)
{
    if (location->reply.code == 0)
        return rv_conf_error(cf, "no \"return\" in location \"%s\" with handler \"return\"", path);

    if (is_redirect(location->reply.code) && location->reply.text[0] == '\0')
        return rv_conf_error(
            cf, "\"return = %u\" in location \"%s\" needs a URL", location->reply.code, path);
    if (is_redirect(location->reply.code) && strlen(location->reply.text) >= URL_ROOM)
        return rv_conf_error(
            cf, "the URL in location \"%s\" is longer than %d bytes", path, URL_ROOM - 1);
    return RV_OK;
}

static void
answer(rv_http_request_t *r, const rv_http_location_t *location)
{
    const char *text = location->reply.text;
    char line[URL_ROOM + 16];

    if (is_redirect(location->reply.code)) {
        snprintf(line, sizeof(line), "Location: %s\r\n", text);
        rv_http_reply_status(r, location->reply.code, line);
    } else {
        rv_http_reply(r, location->reply.code, "text/plain", text, strlen(text), NULL);
    }
}

static const rv_http_handler_t handler = {
    .name = "return",
    .methods = RV_HTTP_GET | RV_HTTP_HEAD | RV_HTTP_POST | RV_HTTP_PUT | RV_HTTP_DELETE
        | RV_HTTP_OPTIONS | RV_HTTP_PATCH,
    .check = check,
    .answer = answer,
};

const rv_module_t rv_return_module = { .name = "return", .http_handler = &handler };
