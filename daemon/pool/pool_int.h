/* pool_int.h - what the two parts of a pool share: pool.c decides and queues, pool_conn.c connects. */
#ifndef POOL_INT_H
#define POOL_INT_H

#include "daemon/pool/pool.h"

/* ---- pool_conn.c ------------------------------------------------------- */

/* Begins to connect. 0; CC_ERESOLVE: the addresses are not known, ops->resolved comes; CC_ENOMEM. */
int pool_conn_dial(struct pool *pool);
/* The library's numbers have changed, or may have: the lists follow them. Nothing is retired here. */
void pool_look(struct pool_conn *pc);
/* The connections to this address go as soon as another one is up. */
void pool_conn_strand(struct pool *pool, const struct endpoint *ep);
/*
 * At max_connections no other one can come up first, so one goes that is stranded or old: one that
 * carries nothing, or else the HTTP/2 one that carries the least, but not the only one, as it would
 * stop everybody for as long as its longest stream runs, unless its address was left out. One at a time: its successor may fail.
 */
void pool_conn_make_way(struct pool *pool);
/* max_connections was lowered: those that carry least take no more requests. */
void pool_conn_shrink(struct pool *pool);
void pool_conn_free(struct pool_conn *pc); /* whatever its state is */

/* ---- pool.c ------------------------------------------------------------ */

/* One came up. */
void pool_connected(struct pool *pool);
/*
 * One could not be opened, or was closed unused; err and detail say why, for who waits. of_address:
 * its address pauses (upstream.h) and the others need not; else all do.
 */
void pool_failed(struct pool *pool, int err, const char *detail, bool of_address);
/* The server takes connections and closes them without an answer, whatever is sent. */
bool pool_slams(const struct pool *pool);
/* Slots may have come free, connections may be wanted; the last connection may be gone. */
void pool_changed(struct pool *pool);

#endif
