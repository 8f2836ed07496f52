#!/usr/bin/env python3
"""Writes seeds of the two client fuzzers, whose input is steps (client.h), into corpus/.

A seed is a name and its steps. Seeds that a fuzzer found are files of their own beside these.
"""
import os

# Owner.
def begin(how=0): return bytes([0x40, how])
NOWAIT, RESERVED, LENGTH, EXPECT, CLOSE, MANY_FIELDS = 4, 8, 16, 32, 64, 128
GET, POST, HEAD = 0, 1, 2
def cancel(i): return bytes([0x42, i])
def send(i, n, end=0, trailers=0): return bytes([0x43, i | (end << 4) | (trailers << 5), n])
def consumed(i, n64): return bytes([0x44, i, n64])
RESERVE, RELEASE = bytes([0x45, 1]), bytes([0x45, 0])
NONE, CANCEL, CLOSE_CONN, FREE, DRAIN, BEGIN = range(6)
def in_callback(act, leave=0, keep=0):
    """act % 6 is the act: the value that also says keep and how many 16 bytes to leave."""
    return bytes([0x46, next(a for a in range(256)
                             if a % 6 == act and a >> 4 == leave and bool(a & 8) == bool(keep))])
def now(act): return bytes([0x47, act])
def send_behind_end(i): return bytes([0x48, i])
TOGGLE_HOOK = bytes([0x49, 0])

# World.
EOF, BROKEN, STUCK = bytes([0x80, 0]), bytes([0x80, 1]), bytes([0x80, 2])
def piece(n): return bytes([0x80, 3 | n << 3])
def fail_in(n): return bytes([0x80, 4 | (n - 1) << 3])
MS1, MS100, S5, S10, S60, S1000 = (bytes([0x80, 5 | i << 3]) for i in range(6))
LOOP, LOOPS = bytes([0xc0]), bytes([0xc3])

# Options.
PLAIN, MAX_REQUESTS, MAX_AGE, PING_SOON, NO_IDLE = (bytes([o]) for o in (0, 1, 2, 4, 8))

# The HTTP/1 server.
def raw(b): return bytes([0x00, len(b)]) + b
def head(i): return bytes([0x01, i])
(OK8, OK0, CHUNKED, UNTIL_EOF, OK_CLOSE, OLD_KEEP, OLD, CONTINUE, HINTS, UPGRADE, NO_CONTENT,
 NOT_MODIFIED, TIMEOUT, LONG, TWO_LENGTHS, REFUSES) = range(16)
def zeros(n): return bytes([0x02, n])
def chunk(n): return bytes([0x03, n - 1])
LAST, TRAILERS = bytes([0x04, 0]), bytes([0x04, 1])

H1 = {
    'get': PLAIN + begin() + LOOPS + head(OK8) + zeros(8) + LOOPS,
    'two_gets': PLAIN + (begin() + LOOPS + head(OK8) + zeros(8) + LOOPS) * 2,
    'waiting': PLAIN + begin() * 3 + LOOPS + (head(OK0) + LOOPS) * 3,
    'waiting_is_cancelled': PLAIN + begin() * 3 + LOOPS + cancel(1) + (head(OK0) + LOOPS) * 2,
    'full': PLAIN + begin() + begin(NOWAIT) + LOOPS + head(OK0) + LOOPS + begin(NOWAIT) + LOOPS,
    'reserved': PLAIN + RESERVE + begin(NOWAIT) + begin(RESERVED) + LOOPS + head(OK0) + LOOPS
                + RESERVE + RELEASE + LOOPS,
    'pipelined_in_callback': PLAIN + begin() + in_callback(BEGIN) + LOOPS + head(OK0) + LOOPS
                + head(OK0) + LOOPS,
    'chunked_with_trailers': PLAIN + begin() + LOOPS + head(CHUNKED) + chunk(5) + LOOP + chunk(100)
                + TRAILERS + LOOPS + begin() + LOOPS,
    'until_eof': PLAIN + begin() + LOOPS + head(UNTIL_EOF) + zeros(99) + EOF + LOOPS,
    'http_1_0': PLAIN + begin() + LOOPS + head(OLD_KEEP) + zeros(8) + LOOPS + begin() + LOOPS
                + head(OLD) + zeros(3) + EOF + LOOPS,
    'close': PLAIN + begin() * 2 + LOOPS + head(OK_CLOSE) + LOOP + zeros(8) + LOOPS,
    'client_says_close': PLAIN + begin(CLOSE) + LOOPS + head(OK0) + LOOPS + begin() + LOOPS,
    'interim': PLAIN + begin() + LOOPS + head(CONTINUE) + head(HINTS) + LOOP + head(OK0) + LOOPS,
    'upgrade': PLAIN + begin() + LOOPS + head(UPGRADE) + zeros(4) + LOOPS,
    'head_no_body': PLAIN + begin(HEAD) + LOOPS + head(OK8) + LOOPS + begin() + LOOPS
                + head(NO_CONTENT) + LOOPS + begin() + LOOPS + head(NOT_MODIFIED) + LOOPS,
    'post_chunked': PLAIN + begin(POST) + LOOP + send(0, 2) + LOOP + send(0, 4, end=1) + LOOPS
                + head(OK0) + LOOPS,
    'post_trailers': PLAIN + begin(POST) + send(0, 2) + send(0, 0, trailers=1) + LOOPS + head(OK0)
                + LOOPS,
    'post_length': PLAIN + begin(POST | LENGTH) + send(0, 2, end=1) + LOOPS + head(OK0) + LOOPS,
    'post_too_long': PLAIN + begin(POST | LENGTH) + send(0, 3, end=1) + LOOPS,
    'post_too_short': PLAIN + begin(POST | LENGTH) + send(0, 1, end=1) + LOOPS,
    'length_without_body': PLAIN + begin(LENGTH) + LOOPS + head(OK0) + LOOPS + begin() + LOOPS,
    'post_answered_early': PLAIN + begin(POST) + send(0, 4) + LOOPS + head(OK8) + zeros(8) + LOOPS
                + send(0, 1, end=1) + LOOPS,
    'expect': PLAIN + begin(POST | EXPECT) + LOOPS + head(CONTINUE) + LOOPS + send(0, 1, end=1)
                + LOOPS + head(OK0) + LOOPS,
    'expect_refused': PLAIN + begin(POST | EXPECT) + LOOPS + head(REFUSES) + zeros(8) + LOOPS,
    'post_fills': PLAIN + piece(31) + begin(POST) + (send(0, 255) + LOOPS) * 6 + send(0, 1, end=1)
                + LOOPS + head(OK0) + LOOPS,
    'stuck': PLAIN + STUCK + begin(POST) + send(0, 200) + LOOPS + STUCK + LOOPS + send(0, 1, end=1)
                + LOOPS + head(OK0) + LOOPS,
    'surplus': PLAIN + begin() + LOOPS + head(OK8) + zeros(12) + LOOPS,
    'unasked': PLAIN + LOOPS + head(OK0) + LOOPS + begin() + LOOPS,
    'unasked_later': PLAIN + begin() + LOOPS + head(OK0) + LOOPS + head(TIMEOUT) + LOOPS,
    'timeout_first': PLAIN + begin() + LOOPS + head(TIMEOUT) + LOOPS,
    'timeout_on_reuse': PLAIN + begin() + LOOPS + head(OK0) + LOOPS + begin() + LOOPS
                + head(TIMEOUT) + EOF + LOOPS,
    'two_lengths': PLAIN + begin() + LOOPS + head(TWO_LENGTHS) + zeros(8) + LOOPS,
    'not_http': PLAIN + begin() + LOOPS + raw(b'SSH-2.0-x\r\n') + LOOPS,
    'bare_lf': PLAIN + begin() + LOOPS + raw(b'HTTP/1.1 200 OK\nContent-Length: 0\n\n') + LOOPS,
    'head_too_big': PLAIN + begin() + LOOPS + raw(b'HTTP/1.1 200 OK\r\nA: ' + b'a' * 200)
                + raw(b'a' * 250) * 5 + LOOPS,
    'eof_idle': PLAIN + LOOPS + EOF + LOOPS,
    'eof_without_answer': PLAIN + begin() * 2 + LOOPS + EOF + LOOPS,
    'eof_in_body': PLAIN + begin() + LOOPS + head(LONG) + zeros(200) + LOOP + EOF + LOOPS,
    'eof_in_chunk': PLAIN + begin() + LOOPS + head(CHUNKED) + raw(b'ff\r\nabc') + EOF + LOOPS,
    'broken': PLAIN + begin(POST) + LOOPS + BROKEN + send(0, 9) + LOOPS,
    'cut_to_bytes': PLAIN + piece(1) + begin(POST) + send(0, 1, end=1) + LOOPS * 30 + head(CHUNKED)
                + chunk(9) + TRAILERS + LOOPS * 30,
    'cancel_waiting': PLAIN + begin() + LOOPS + cancel(0) + LOOPS + begin() + LOOPS,
    'cancel_unsent': PLAIN + STUCK + begin() * 2 + LOOPS + cancel(0) + LOOPS,
    'cancel_in_body': PLAIN + begin() * 2 + LOOPS + head(LONG) + zeros(200) + LOOPS + cancel(0)
                + LOOP + zeros(255) * 8 + LOOPS + MS100 + LOOPS,
    'cancel_in_short_body': PLAIN + begin() * 2 + LOOPS + head(OK8) + zeros(3) + LOOPS + cancel(0)
                + LOOP + zeros(5) + LOOPS + head(OK0) + LOOPS,
    'cancel_in_chunks': PLAIN + begin() * 2 + LOOPS + head(CHUNKED) + chunk(9) + LOOPS + cancel(0)
                + chunk(8) + LOOP + TRAILERS + LOOPS + head(OK0) + LOOPS,
    'cancel_in_too_many_chunks': PLAIN + begin() * 2 + LOOPS + head(CHUNKED) + LOOPS + cancel(0)
                + (chunk(128) * 9 + LOOP) * 60,
    'cancel_and_nothing_comes': PLAIN + begin() * 2 + LOOPS + head(OK8) + zeros(3) + LOOPS
                + cancel(0) + LOOPS + MS100 + LOOPS,
    'cancel_and_cut': PLAIN + begin() * 2 + LOOPS + head(OK8) + zeros(3) + LOOPS + cancel(0) + EOF
                + LOOPS,
    'cancel_and_surplus': PLAIN + begin() * 2 + LOOPS + head(OK8) + zeros(3) + LOOPS + cancel(0)
                + zeros(9) + LOOPS,
    'cancel_before_the_turn': PLAIN + begin() + LOOPS + head(OK0) + LOOPS + begin() + cancel(1)
                + LOOPS + begin() + LOOPS + head(OK0) + LOOPS,
    'cancel_with_body_out': PLAIN + begin(POST) + send(0, 2) + LOOPS + head(OK8) + zeros(3) + LOOPS
                + cancel(0) + LOOPS,
    'sends_behind_the_end': PLAIN + begin() + begin(POST) + send(1, 1, end=1) + send_behind_end(0)
                + send_behind_end(1) + LOOPS + head(OK0) + LOOPS + send_behind_end(1) + LOOPS,
    'hook_comes_later': PLAIN + TOGGLE_HOOK + begin() + LOOPS + head(OK0) + LOOPS
                + TOGGLE_HOOK + LOOPS + TOGGLE_HOOK + EOF + LOOPS + TOGGLE_HOOK + LOOPS,
    'many_fields': PLAIN + begin(MANY_FIELDS) + LOOPS + head(OK0) + LOOPS,
    'post_without_body': PLAIN + begin(POST) + send(0, 0, end=1) + LOOPS + head(OK0) + LOOPS,
    'reads_before_reuse': NO_IDLE + begin() + LOOPS + head(OK0) + LOOPS + S60 + head(TIMEOUT) + EOF
                + begin() + LOOPS,
    'interim_flood': PLAIN + begin() + LOOPS + head(HINTS) * 60 + LOOPS,
    'interim_to_head': PLAIN + begin(HEAD) + LOOPS + head(HINTS) + head(OK8) + LOOPS,
    'interim_only_then_eof': PLAIN + begin() + LOOPS + head(CONTINUE) + EOF + LOOPS,
    'bytes_before_request_left': PLAIN + LOOPS + STUCK + begin() + head(OK0) + LOOPS,
    'memory_in_request': PLAIN + LOOPS + b''.join(fail_in(n) + begin(POST) + send(i, 9, end=1)
                + LOOPS + head(OK0) + LOOPS for i, n in enumerate((1, 2, 3, 4, 5, 6))),
    'memory_in_chunk': PLAIN + begin(POST) + LOOPS + send(0, 4) + fail_in(1) + LOOPS,
    'memory_in_trailers': PLAIN + begin(POST) + LOOPS + send(0, 1) + fail_in(2)
                + send(0, 0, trailers=1) + LOOPS,
    'memory_in_answer': PLAIN + begin() + LOOPS + fail_in(1) + head(OK8) + zeros(8) + LOOPS,
    'memory_in_body': PLAIN + begin() + LOOPS + head(CHUNKED) + LOOPS + fail_in(1) + chunk(99)
                + LOOPS,
    'cancel_until_eof': PLAIN + begin() + LOOPS + head(UNTIL_EOF) + zeros(9) + LOOPS + cancel(0)
                + LOOPS + EOF + LOOPS,
    'cancel_in_head': PLAIN + begin() * 2 + in_callback(CANCEL) + LOOPS + head(OK8) + zeros(8)
                + LOOPS + head(OK0) + LOOPS,
    'cancel_then_close': PLAIN + begin() + LOOPS + head(LONG) + zeros(9) + LOOPS + cancel(0)
                + now(CLOSE_CONN) + LOOPS,
    'cancel_then_drain': PLAIN + begin() + LOOPS + head(OK8) + zeros(3) + LOOPS + cancel(0)
                + now(DRAIN) + zeros(5) + LOOPS,
    'freed_in_head': PLAIN + begin() + in_callback(FREE) + LOOPS + head(OK8) + zeros(8) + LOOPS,
    'closed_in_body': PLAIN + begin() * 2 + LOOPS + head(LONG) + LOOPS + in_callback(CLOSE_CONN)
                + zeros(99) + LOOPS,
    'drain': PLAIN + begin() * 2 + LOOPS + now(DRAIN) + head(OK8) + zeros(8) + LOOPS,
    'drain_idle': PLAIN + RESERVE + now(DRAIN) + LOOPS + RELEASE + LOOPS,
    'not_consumed': PLAIN + begin() + in_callback(NONE, keep=1) + LOOPS + head(LONG)
                + zeros(255) * 30 + LOOPS + consumed(0, 255) + LOOPS + zeros(255) * 10 + LOOPS,
    'body_left': PLAIN + begin() + in_callback(NONE, leave=15) + LOOPS + head(LONG)
                + (zeros(255) + LOOPS) * 4 + in_callback(NONE) + zeros(255) + LOOPS,
    'idle_timeout': PLAIN + begin() + LOOPS + head(OK0) + LOOPS + S60 + LOOPS + begin() + LOOPS,
    'max_requests': MAX_REQUESTS + begin() * 3 + LOOPS + (head(OK0) + LOOPS) * 2,
    'max_age': MAX_AGE + begin() + LOOPS + S10 + begin(NOWAIT) + head(OK0) + LOOPS,
    'memory': b''.join([PLAIN] + [fail_in(n) + begin(POST) + send(n - 1, 1, end=1) + LOOP
                for n in (3, 5)] + [head(CHUNKED) + fail_in(2) + chunk(9) + LOOPS]),
}

# The HTTP/2 server.
def stream(i): return i
def frame(type, flags, stream, payload=b''):
    return bytes([0x00, type, flags, stream, len(payload)]) + payload
def h2_raw(b): return bytes([0x01, len(b), 0]) + b
def answer(i, which=0, end=0): return bytes([0x02, stream(i), which | end << 7])
OK, OK_NO_CONTENT, NOT_MOD, NOT_FOUND, H2_HINTS, LENGTH8, H2_UPGRADE, LENGTH16 = range(8)
def data(i, n, end=0): return bytes([0x03, stream(i), n | end << 7])
def settings(streams, window=0): return bytes([0x04, streams, window])
def goaway(last, code=0): return bytes([0x05, last, code])
def flood(n8, settings=0): return bytes([0x06, n8, settings])
def id_of(i): return 2 * i + 1
def rst(i, code): return frame(3, 0, id_of(i), bytes([0, 0, 0, code]))
def window(id, n): return frame(8, 0, id, n.to_bytes(4, 'big'))
def set_one(key, value): return frame(4, 0, 0, bytes([0, key]) + value.to_bytes(4, 'big'))
ACK = frame(4, 1, 0)
# Most scripts: settings, so that the limit is known.
START = PLAIN + settings(10, 255) + ACK + LOOPS

H2 = {
    'many_gets': START + begin() * 6 + LOOPS
                + b''.join(answer(i) + data(i, 9, end=1) for i in range(6)) + LOOPS,
    'reserved': START + RESERVE * 3 + begin(RESERVED) + begin(NOWAIT) + RELEASE + LOOPS
                + answer(0, OK_NO_CONTENT, end=1) + LOOPS + begin(RESERVED) + LOOPS,
    'revoked': START + RESERVE * 5 + settings(2, 255) + LOOPS + begin(RESERVED) * 5 + LOOPS
                + answer(0, end=1) + answer(1, end=1) + LOOPS,
    'limit_zero_then_five': START + settings(0, 255) + LOOPS + begin() * 3 + begin(NOWAIT) + LOOPS
                + settings(5, 255) + LOOPS + answer(0, end=1) + answer(1, end=1) + LOOPS,
    'waiting_is_cancelled': START + settings(1, 255) + LOOPS + begin() * 3 + LOOPS + cancel(1)
                + answer(0, end=1) + LOOPS + answer(2, end=1) + LOOPS,
    'post_window': PLAIN + settings(10, 1) + LOOPS + begin(POST) + send(0, 8) + LOOPS
                + window(1, 1024) + LOOPS + window(0, 70000) + window(1, 70000)
                + send(0, 255, end=1) + LOOPS + answer(0, end=1) + LOOPS,
    'post_trailers': START + begin(POST) + send(0, 2) + LOOP + send(0, 0, trailers=1) + LOOPS
                + answer(0, end=1) + LOOPS,
    'post_trailers_after_window': PLAIN + settings(10, 1) + LOOPS + begin(POST) + send(0, 4)
                + send(0, 0, trailers=1) + LOOPS + window(1, 9999) + LOOPS + answer(0, end=1) + LOOPS,
    'post_answered_early': START + begin(POST) + send(0, 4) + LOOPS + answer(0) + data(0, 8, end=1)
                + LOOPS + send(0, 1) + LOOPS,
    'post_refused_early': START + begin(POST) + send(0, 4) + LOOPS + answer(0, end=1) + rst(0, 0)
                + LOOPS + begin() + LOOPS,
    'refused': START + begin() * 2 + LOOPS + rst(0, 7) + LOOPS + rst(1, 8) + LOOPS,
    'reset_in_body': START + begin() + LOOPS + answer(0, LENGTH8) + data(0, 4) + rst(0, 2) + LOOPS,
    'reset_protocol_error': START + begin() * 2 + LOOPS + rst(0, 1) + LOOPS + answer(1, end=1) + LOOPS,
    'length_too_short': START + begin() + LOOPS + answer(0, LENGTH8) + data(0, 4, end=1) + LOOPS,
    'length_too_long': START + begin() + LOOPS + answer(0, LENGTH8) + data(0, 12) + LOOPS,
    'hints': START + begin() + LOOPS + answer(0, H2_HINTS) + answer(0, H2_HINTS) + answer(0, OK)
                + data(0, 3, end=1) + LOOPS,
    'interim_flood': START + begin() + LOOPS + answer(0, H2_HINTS) * 300 + LOOPS,
    'interim_flood_of_a_post': START + begin(POST) + LOOPS + send(0, 1) + answer(0, H2_HINTS) * 300
                + LOOPS,
    'memory_in_request': START + b''.join(fail_in(n) + begin(POST) + send(i, 9, end=1) + LOOPS
                for i, n in enumerate((1, 2, 3, 4, 5, 6))),
    'memory_in_trailers': START + begin(POST) + LOOPS + send(0, 1) + fail_in(2)
                + send(0, 0, trailers=1) + LOOPS,
    'memory_in_head': START + begin() * 3 + LOOPS + fail_in(1) + answer(0) + LOOPS + fail_in(3)
                + answer(1) + data(1, 9) + LOOPS + fail_in(5) + answer(2, LENGTH8) + LOOPS,
    'memory_in_cancel': START + begin() * 2 + LOOPS + fail_in(1) + cancel(0) + LOOPS + fail_in(2)
                + cancel(1) + LOOPS,
    'memory_while_opening': b''.join([PLAIN, fail_in(3), settings(10, 255), LOOPS, begin(), LOOPS]),
    'many_fields': START + begin(MANY_FIELDS) + LOOPS + answer(0, end=1) + LOOPS,
    'flood_unread': START + begin() + STUCK + flood(200) + LOOPS * 4 + STUCK + LOOPS,
    'flood_of_settings': START + begin() + STUCK + flood(200, 1) + LOOPS * 4,
    'flood_read': START + begin() + flood(200) + LOOPS * 4 + answer(0, end=1) + LOOPS,
    'broken': START + begin(POST) + send(0, 9) + LOOPS + BROKEN + LOOPS,
    'broken_while_stuck': START + STUCK + begin(POST) + send(0, 9) + LOOPS + BROKEN + LOOPS,
    'broken_after_goaway': START + begin() + LOOPS + goaway(0) + LOOPS + BROKEN + LOOPS,
    'sends_behind_the_end': START + begin() + begin(POST) + send(1, 1, end=1) + send_behind_end(0)
                + send_behind_end(1) + LOOPS + send_behind_end(1) + answer(1, end=1) + LOOPS,
    'hook_comes_later': START + TOGGLE_HOOK + begin() + LOOPS + answer(0, end=1) + LOOPS
                + TOGGLE_HOOK + LOOPS + TOGGLE_HOOK + EOF + LOOPS + TOGGLE_HOOK + LOOPS,
    'trailers_wait_for_the_body': START + STUCK + begin(POST) + send(0, 200)
                + send(0, 0, trailers=1) + LOOPS + STUCK + LOOPS + answer(0, end=1) + LOOPS,
    'upgrade': START + begin() + LOOPS + answer(0, H2_UPGRADE) + LOOPS,
    'head_no_body': START + begin(HEAD) + LOOPS + answer(0, LENGTH16, end=1) + LOOPS,
    'goaway_covers': START + begin() * 3 + LOOPS + goaway(1) + LOOPS + answer(0, end=1)
                + answer(1, end=1) + LOOPS,
    'goaway_calm': START + begin() * 2 + LOOPS + goaway(0x80, 11) + LOOPS,
    'goaway_twice_then_grows': START + begin() * 3 + LOOPS + goaway(2) + LOOPS + goaway(0) + LOOPS
                + goaway(2) + LOOPS,
    'goaway_idle': START + RESERVE + goaway(0x80) + LOOPS + begin(RESERVED) + LOOPS,
    'goaway_while_waiting': START + settings(1, 255) + begin() * 3 + LOOPS + goaway(0) + LOOPS
                + answer(0, end=1) + LOOPS,
    'cancel_acknowledged': START + begin() * 2 + LOOPS + cancel(0) + LOOPS
                + frame(6, 1, 0, bytes(8)) + LOOPS + answer(1, end=1) + LOOPS,
    'cancel_unanswered': START + begin() * 2 + LOOPS + cancel(0) + LOOPS + S5 + S5 + LOOPS,
    'cancel_then_answered': START + begin() * 2 + LOOPS + cancel(0) + answer(0, end=1) + LOOPS
                + rst(0, 8) + LOOPS + frame(6, 1, 0, bytes(8)) + LOOPS,
    'cancel_all_at_limit': START + settings(2, 255) + LOOPS + begin() * 4 + LOOPS + cancel(0)
                + cancel(1) + LOOPS + frame(6, 1, 0, bytes(8)) + LOOPS,
    'cancel_in_body': START + begin() + LOOPS + answer(0) + data(0, 99) + LOOPS + cancel(0)
                + data(0, 99) + LOOPS + data(0, 9, end=1) + LOOPS + frame(6, 1, 0, bytes(8)) + LOOPS,
    'cancel_unsent': START + STUCK + begin() + LOOPS + cancel(0) + LOOPS + STUCK + LOOPS,
    'cancel_while_closing': START + begin() + LOOPS + cancel(0) + now(DRAIN) + LOOPS
                + frame(6, 1, 0, bytes(8)) + LOOPS,
    'ping': START + begin() + LOOPS + frame(6, 0, 0, b'abcdefgh') + LOOPS + answer(0, end=1) + LOOPS,
    'ping_answered': PING_SOON + settings(10, 255) + begin() + LOOPS + S5 + LOOPS
                + frame(6, 1, 0, bytes(8)) + LOOPS + S5 + LOOPS + S5 + LOOPS,
    'stale_on_reuse': NO_IDLE + settings(10, 255) + begin() + LOOPS + answer(0, end=1) + LOOPS + S60
                + LOOPS + begin() + LOOPS + frame(6, 1, 0, bytes(8)) + answer(1, end=1) + LOOPS,
    'stale_and_dead': NO_IDLE + settings(10, 255) + begin() + LOOPS + answer(0, end=1) + LOOPS + S60
                + LOOPS + begin() + LOOPS + S5 + S5 + LOOPS,
    'settings_late': PLAIN + begin() + LOOPS + S10 + S10 + LOOPS,
    'settings_refuse_first': PLAIN + begin() + LOOPS + settings(0, 255) + rst(0, 7) + LOOPS,
    'no_settings_first': PLAIN + begin() + LOOPS + answer(0, end=1) + LOOPS,
    'settings_without_streams': PLAIN + frame(4, 0, 0) + LOOPS + begin() * 8 + LOOPS,
    'settings_wrong': START + set_one(2, 7) + LOOPS,
    'settings_window_too_big': START + set_one(4, 1 << 31) + LOOPS,
    'settings_flood': START + frame(4, 0, 0) * 60 + STUCK + LOOPS,
    'table_size_and_frame_size': START + set_one(1, 0) + set_one(5, 65536) + set_one(6, 100) + LOOPS
                + begin(POST) + send(0, 255, end=1) + LOOPS + answer(0, end=1) + LOOPS,
    'window_overflow': START + begin(POST) + LOOPS + window(1, 0x7fffffff) + LOOPS,
    'window_zero': START + begin(POST) + LOOPS + window(1, 0) + LOOPS + window(0, 0) + LOOPS,
    'push_promise': START + begin() + LOOPS + frame(5, 4, 1, bytes([0, 0, 0, 2, 0x82])) + LOOPS,
    'headers_on_stream_0': START + begin() + LOOPS + frame(1, 4, 0, b'\x88') + LOOPS,
    'hpack_wrong': START + begin() + LOOPS + frame(1, 4, 1, b'\xff\xff\xff\xff\xff') + LOOPS,
    'no_status': START + begin() + LOOPS + frame(1, 5, 1, b'\x0f\x0d\x018') + LOOPS,
    'upper_case_name': START + begin() + LOOPS + frame(1, 5, 1, b'\x88\x00\x01A\x01b') + LOOPS,
    'connection_field': START + begin() + LOOPS
                + frame(1, 5, 1, b'\x88\x00\x0aconnection\x05close') + LOOPS,
    'cookies': START + begin() + LOOPS
                + frame(1, 5, 1, b'\x88\x00\x06cookie\x01a\x00\x06cookie\x01b') + LOOPS,
    'head_too_big': START + begin() + LOOPS + frame(1, 1, 1, b'\x88')
                + frame(9, 0, 1, b'\x00\x01a\x7f\x50' + b'a' * 207) * 6 + frame(9, 4, 1) + LOOPS,
    'trailers': START + begin() + LOOPS + answer(0) + data(0, 9)
                + frame(1, 5, 1, b'\x00\x05x-sum\x011') + LOOPS,
    'trailers_with_status': START + begin() + LOOPS + answer(0) + data(0, 9) + answer(0, end=1) + LOOPS,
    'data_before_head': START + begin() + LOOPS + data(0, 9) + LOOPS,
    'data_after_end': START + begin() * 2 + LOOPS + answer(0, end=1) + data(0, 9) + LOOPS,
    'data_on_idle_stream': START + begin() + LOOPS + data(3, 9) + LOOPS,
    'padded': START + begin() + LOOPS + answer(0) + frame(0, 9, 1, b'\x04abcd\0\0\0\0') + LOOPS,
    'frame_too_big': START + begin() + LOOPS + h2_raw(b'\x00\x50\x00\x00\x00\x00\x00\x00\x01') + LOOPS,
    'not_http_2': PLAIN + begin() + LOOPS + h2_raw(b'HTTP/1.1 400 Bad Request\r\n\r\n') + LOOPS,
    'unknown_frame': START + begin() + LOOPS + frame(0xfa, 0, 1, b'x') + answer(0, end=1) + LOOPS,
    'not_consumed_then': START + begin() + in_callback(NONE, keep=1) + LOOPS + answer(0)
                + data(0, 127) * 32 + LOOPS + consumed(0, 64) + LOOPS + data(0, 127, end=1) + LOOPS,
    'body_left': START + begin() + in_callback(NONE, leave=15) + LOOPS + answer(0)
                + (data(0, 127) + LOOP) * 4 + data(0, 9, end=1) + LOOPS + cancel(0) + LOOPS,
    'freed_in_body': START + begin() * 2 + LOOPS + answer(0) + LOOP + in_callback(FREE) + data(0, 9)
                + LOOPS,
    'closed_in_head': START + begin() * 2 + in_callback(CLOSE_CONN) + LOOPS + answer(0) + LOOPS,
    'begin_in_done': START + begin() + LOOPS + answer(0) + LOOP + in_callback(BEGIN) + data(0, 1)
                + LOOP + in_callback(BEGIN) + data(0, 0, end=1) + LOOPS,
    'drain': START + begin() * 2 + LOOPS + now(DRAIN) + LOOPS + answer(0, end=1) + LOOPS
                + answer(1, end=1) + LOOPS,
    'max_requests': MAX_REQUESTS + settings(10, 255) + LOOPS + begin() * 3 + LOOPS
                + answer(0, end=1) + answer(1, end=1) + LOOPS,
    'max_age': MAX_AGE + settings(10, 255) + begin() + LOOPS + S10 + begin(NOWAIT) + LOOPS
                + answer(0, end=1) + LOOPS,
    'broken_with_goaway_unread': START + begin(POST) + LOOPS + goaway(0x80) + BROKEN + send(0, 9)
                + LOOPS,
    'eof_in_body': START + begin() * 2 + LOOPS + answer(0) + data(0, 9) + EOF + LOOPS,
    'cut_to_bytes': PLAIN + piece(1) + settings(10, 255) + begin(POST) + send(0, 1, end=1)
                + LOOPS * 40 + answer(0) + data(0, 9, end=1) + LOOPS * 20,
    'memory_in_body': START + begin(POST) + LOOPS + fail_in(1) + send(0, 9) + LOOPS,
    'memory_in_answer': START + begin() * 2 + LOOPS + fail_in(2) + answer(0) + data(0, 99) + LOOPS,
}

def main():
    top = os.path.join(os.path.dirname(os.path.abspath(__file__)), 'corpus')
    for folder, seeds in (('h1_client', H1), ('h2_client', H2)):
        for name, steps in seeds.items():
            with open(os.path.join(top, folder, name), 'wb') as f:
                f.write(steps)

main()
