/* queue.c - which requests wait and whose turn it is. No clock, no memory. */
#include "daemon/pool/queue.h"

/* ---- lanes ------------------------------------------------------------- */

static bool carries_lane(const struct queue_item *item)
{
	return !list_empty(&item->lane.turn);
}

static struct queue_item *carrier_of(struct list *turn)
{
	return container_of(turn, struct queue_item, lane.turn);
}

/* Neighbouring uids in different buckets, as are those that differ by a power of two. */
static struct list *bucket_of(struct queue *q, uint32_t uid)
{
	return &q->buckets[(uid * 2654435769u) >> 25];
}

_Static_assert(QUEUE_BUCKETS == 1u << (32 - 25), "a bucket for each hash");

static struct queue_lane *find_lane(struct queue *q, uint32_t uid)
{
	list_each (l, tmp, bucket_of(q, uid)) {
		struct queue_item *carrier = container_of(l, struct queue_item, lane.bucket);

		if (carrier->uid == uid)
			return &carrier->lane;
	}
	return NULL;
}

/* The item is the first of its user: the lane is its own, and the last to be served. */
static struct queue_lane *open_lane(struct queue *q, struct queue_item *item)
{
	list_add_tail(&q->turns, &item->lane.turn);
	list_add_tail(bucket_of(q, item->uid), &item->lane.bucket);
	return &item->lane;
}

static void put_in_place_of(struct list *old, struct list *node)
{
	list_add_before(old, node);
	list_del(old);
}

/* The item is out already; another of its user carries the lane on, else the lane is gone. */
static void pass_lane_on(struct queue_lane *old)
{
	struct queue_lane *lane;

	if (list_empty(&old->items)) {
		list_del(&old->turn);
		list_del(&old->bucket);
		return;
	}
	lane = &container_of(old->items.next, struct queue_item, link)->lane;
	list_splice_tail(&lane->items, &old->items);
	put_in_place_of(&old->turn, &lane->turn);
	put_in_place_of(&old->bucket, &lane->bucket);
}

/* ---- the queue --------------------------------------------------------- */

void queue_init(struct queue *q, bool fair, unsigned max)
{
	list_init(&q->first);
	list_init(&q->turns);
	list_init(&q->by_age);
	for (int i = 0; i < QUEUE_BUCKETS; i++)
		list_init(&q->buckets[i]);
	q->count = 0;
	q->max = max;
	q->fair = fair;
}

void queue_item_init(struct queue_item *item)
{
	list_init(&item->link);
	list_init(&item->age);
	list_init(&item->lane.items);
	list_init(&item->lane.turn);
	list_init(&item->lane.bucket);
	item->uid = 0;
	item->queued = item->at_head = false;
}

/* NULL: none is open for it. */
static struct queue_lane *lane_for(struct queue *q, const struct queue_item *item)
{
	if (q->fair)
		return find_lane(q, item->uid);
	return list_empty(&q->turns) ? NULL : &carrier_of(q->turns.next)->lane;
}

static struct list *list_for(struct queue *q, struct queue_item *item)
{
	struct queue_lane *lane;

	if (item->at_head)
		return &q->first;
	lane = lane_for(q, item);
	return lane ? &lane->items : &open_lane(q, item)->items;
}

static void enter(struct queue *q, struct queue_item *item)
{
	list_add_tail(list_for(q, item), &item->link);
	item->queued = true;
	q->count++;
}

static void leave(struct queue *q, struct queue_item *item)
{
	list_del(&item->link);
	if (carries_lane(item))
		pass_lane_on(&item->lane);
	item->queued = false;
	q->count--;
}

bool queue_push(struct queue *q, struct queue_item *item, uint32_t uid, bool at_head)
{
	if (q->count >= q->max && !at_head)
		return false;
	item->uid = uid;
	item->at_head = at_head;
	enter(q, item);
	list_add_tail(&q->by_age, &item->age);
	return true;
}

void queue_remove(struct queue *q, struct queue_item *item)
{
	if (!item->queued)
		return;
	leave(q, item);
	list_del(&item->age);
}

struct queue_item *queue_first(const struct queue *q)
{
	const struct list *from = &q->first;

	if (list_empty(from)) {
		if (list_empty(&q->turns))
			return NULL;
		from = &carrier_of(q->turns.next)->lane.items;
	}
	return container_of(from->next, struct queue_item, link);
}

/* Out of its lane, which is the last to be served now; still in by_age. */
static struct queue_item *serve(struct queue *q)
{
	struct queue_item *item = queue_first(q);

	if (!item)
		return NULL;
	if (!item->at_head) { /* before it leaves, and perhaps its lane with it */
		struct list *turn = q->turns.next;

		list_del(turn);
		list_add_tail(&q->turns, turn);
	}
	leave(q, item);
	return item;
}

struct queue_item *queue_take(struct queue *q)
{
	struct queue_item *item = serve(q);

	if (item)
		list_del(&item->age);
	return item;
}

void queue_move(struct queue *to, struct queue *from)
{
	struct queue_item *item;

	while ((item = serve(from)))
		enter(to, item);
	list_splice_tail(&to->by_age, &from->by_age);
}

void queue_configure(struct queue *q, bool fair, unsigned max)
{
	struct queue old;

	q->max = max;
	if (q->fair == fair)
		return;
	queue_init(&old, q->fair, max);
	queue_move(&old, q);
	q->fair = fair;
	queue_move(q, &old);
}

unsigned queue_count(const struct queue *q)
{
	return q->count;
}

struct queue_item *queue_oldest(const struct queue *q)
{
	if (list_empty(&q->by_age))
		return NULL;
	return container_of(q->by_age.next, struct queue_item, age);
}
