/*
 * route.h - which upstream a request is for. Pure.
 *
 * A listener's fixed upstream; else the request's authority (absolute-form
 * target, or Host; port and case ignored) as an upstream's name, its url's
 * host or one of its hosts; else the listener's default (the only upstream, if
 * there is just one).
 */
#ifndef ROUTE_H
#define ROUTE_H

#include <clientconn/head.h>

#include "daemon/base/conf.h"

/* NULL: none. */
const struct conf_upstream *route_find(
	const struct conf *conf, const struct conf_listener *l, struct cc_str authority);

#endif
