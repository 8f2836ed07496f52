/*
 * origin_frames.c - HTTP/2 frame by frame, for serve functions that misbehave in ways in which no
 * HTTP/2 library would.
 */
#include "tests/daemon/origin_int.h"

bool oc_read_exactly(struct origin_conn *oc, void *buf, size_t n)
{
	for (size_t at = 0; at < n;) {
		ssize_t got = oc_read(oc, (char *)buf + at, n - at);

		if (got <= 0)
			return false;
		at += (size_t)got;
	}
	return true;
}

bool oc_say_frame(struct origin_conn *oc, uint8_t type, uint8_t flags, uint32_t stream,
	const void *payload, uint8_t n)
{
	const uint8_t head[9] = {0, 0, n, type, flags, (uint8_t)(stream >> 24),
		(uint8_t)(stream >> 16), (uint8_t)(stream >> 8), (uint8_t)stream};

	return oc_write(oc, head, 9) && oc_write(oc, payload, n);
}

bool oc_h2_greet(struct origin_conn *oc)
{
	char preface[24];

	return oc_read_exactly(oc, preface, sizeof(preface)) && oc_say_frame(oc, 4, 0, 0, "", 0);
}

uint32_t oc_h2_request(struct origin_conn *oc)
{
	static const char nothing[1];
	uint8_t head[9], payload[65536];

	while (oc_read_exactly(oc, head, 9)) {
		size_t n = (size_t)head[0] << 16 | (size_t)head[1] << 8 | head[2];

		if (n > sizeof(payload) || !oc_read_exactly(oc, payload, n))
			return 0;
		if (head[3] == 4 && !(head[4] & 1))
			oc_say_frame(oc, 4, 1, 0, nothing, 0);
		if (head[3] == 1)
			return (uint32_t)head[5] << 24 | (uint32_t)head[6] << 16 |
			       (uint32_t)head[7] << 8 | head[8];
	}
	return 0;
}

bool oc_say_goaway(struct origin_conn *oc, uint32_t last, uint8_t code)
{
	const uint8_t payload[8] = {(uint8_t)(last >> 24), (uint8_t)(last >> 16),
		(uint8_t)(last >> 8), (uint8_t)last, 0, 0, 0, code};

	return oc_say_frame(oc, 7, 0, 0, payload, sizeof(payload));
}
