/*
 * janitor.h - the life of a pool's connections: how long one may be idle, when it
 * is replaced because of its age, and what the server's own timeout seems to be.
 */
#ifndef JANITOR_H
#define JANITOR_H

#include <stdbool.h>
#include <stdint.h>

struct conf_upstream;
struct pool;
struct pool_conn;

/* The connection came up: its life begins, and a successor that was waited for is here. */
void janitor_opened(struct pool_conn *pc);
/* Something is in flight on it, or nothing any more. Called whenever that may have changed. */
void janitor_look(struct pool_conn *pc);
/* Old ones that carry nothing go, as far as nobody would miss them. */
void janitor_retire_idle(struct pool *pool);
/* Closes what is idle beyond max_idle; to be called once the waiting requests were served. */
void janitor_trim(struct pool *pool);
/* It is over, or takes nothing new: whatever the janitor wanted of it. */
void janitor_forget(struct pool_conn *pc);
/* The library says CLOSED, with its reason: what that teaches about the server. */
void janitor_closed(struct pool_conn *pc);
/* pool->up are other settings now; from are those before. */
void janitor_reconfigure(struct pool *pool, const struct conf_upstream *from);
/*
 * The connection that is idle for longest goes, although it might stay idle: its descriptor is
 * needed elsewhere. false: none is idle.
 */
bool janitor_give_up(struct pool *pool);
/* Since when it is idle, ms; UINT64_MAX: none is. */
uint64_t janitor_idle_since(const struct pool *pool);
/* Is a new connection wanted so that an old one can go? */
bool janitor_wants_successor(const struct pool *pool);

#endif
